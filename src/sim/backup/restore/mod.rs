//! Restore: the phone reads what a computer keeps, checks it, asks for every file, and puts all of
//! it into place when it starts again.
//!
//! The order is that of the on-device agent, as others read it out of its code:
//! ```text
//! Manifest.plist, Manifest.db -> device class, policy, iCloud restore (25)
//! Status.plist (204, 203) -> the manifests again (205) -> Info.plist: version of iOS (203) -> password (207)
//! room on the phone (106), Find My (211), setup (212) -> copy of the target's folder on the computer, if it was asked for
//! files, 128 in a message (205) -> an empty list of files -> into place (102 while a restore before still waits for its reboot)
//! ```

mod checks;
mod run;
mod take;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use self::run::Run;
use crate::secret::Secret;
use crate::sim::dialog::Stop;
use crate::sim::faults::Fault;
use crate::sim::ledger::{Ledger, Writer};
use crate::sim::lock;
use crate::sim::phone::Phone;
use crate::sim::wire::Wire;

/// Where the list of applications lies that are to be installed after a restore.
const APPLICATIONS: &str = "/iTunesRestore/RestoreApplications.plist";
/// How long a computer has to say goodbye before the phone starts again.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a computer asked for with a restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// `RestoreSystemFiles`.
    pub system_files: bool,
    /// `RestoreShouldReboot`.
    pub reboot: bool,
    /// Not `RestoreDontCopyBackup`: the computer is to copy its folder of the target first.
    pub copy: bool,
    /// `RestorePreserveSettings`: the phone keeps its own.
    pub preserve_settings: bool,
    /// `RemoveItemsNotRestored`.
    pub remove_items: bool,
    /// There was a password with it.
    pub password: bool,
}

/// How one restore ended, as the phone saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOutcome {
    /// The final ErrorCode; `None` if the computer went away before.
    pub code: Option<u64>,
    /// What the phone said or saw at the end; empty on success.
    pub text: String,
    /// The folder on the computer.
    pub source: String,
    /// What it was asked for.
    pub options: RestoreOptions,
    /// Whether system files were restored: the phone decides by the device class of the backup,
    /// where it has one.
    pub system_files: bool,
    /// Files that it got and found right.
    pub files: u64,
    /// Their bytes, decrypted.
    pub bytes: u64,
    /// Folders.
    pub folders: u64,
    /// Links.
    pub links: u64,
    /// System files that it did not ask for, since the backup is of another class of device.
    pub passed_over: u64,
    /// Files of its own that the backup lacks, and that go.
    pub removed: u64,
    /// The folder that the computer made as a copy.
    pub copied_to: Option<String>,
    /// Data bytes of the longest frame that the computer sent.
    pub longest_frame: u32,
    /// Bytes that the computer sent on this connection, up to the verdict.
    pub taken: u64,
    /// Bytes of RestoreApplications.plist at the end.
    pub applications: Option<u64>,
}

/// A restore that is not in place before the phone starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) struct Staged {
    /// The backup is this one of the phone's own.
    generation: Option<u32>,
}

impl Staged {
    /// Of a restore that nobody saw.
    pub(in crate::sim) fn unknown() -> Staged {
        Staged { generation: None }
    }
}

impl Phone {
    /// How its restores ended, oldest first.
    pub fn restores(&self) -> Vec<RestoreOutcome> {
        lock(&self.state).restores.clone()
    }

    /// What the last restore brought, however it ended.
    pub fn ledger(&self) -> Option<Ledger> {
        lock(&self.state).ledger.clone()
    }

    /// The list of applications that a computer left for it to fetch.
    pub fn applications(&self) -> Option<Vec<u8>> {
        self.media.read(APPLICATIONS)
    }

    /// It starts again: what a restore brought is in place now. After the restore of a backup of
    /// its own the phone holds what it held then; of other backups it keeps the list only.
    pub fn restart(&self) {
        let mut memory = lock(&self.memory);
        if let Some(staged) = memory.staged.take() {
            if let Some(generation) = staged.generation {
                memory.generation = generation;
                memory.kept = false;
            }
            drop(memory);
            self.media.remove(APPLICATIONS);
            self.media.remove("/iTunesRestore");
        }
    }

    /// A restore just told it to start again.
    pub(in crate::sim) fn is_to_restart(&self) -> bool {
        std::mem::take(&mut lock(&self.state).restart_asked)
    }
}

/// One restore with its verdict, noted down in the phone's history before the computer hears it.
pub(super) fn restore(
    phone: &Arc<Phone>,
    wire: &mut Wire,
    faults: &[Fault],
    request: &Dictionary,
) -> io::Result<()> {
    {
        let mut memory = lock(&phone.memory);
        if memory.busy {
            return wire.respond(14, "A backup is already in progress");
        }
        memory.busy = true;
        memory.started += 1;
    }
    let (options, password) = options(request);
    let text = |key: &str| request.get(key).and_then(Value::as_string);
    let target = text("TargetIdentifier").unwrap_or(phone.udid().as_str());
    wire.longest_frame = 0;
    let ended = Writer::begin(phone.config.ledger.as_deref())
        .map_err(Stop::from)
        .and_then(|ledger| {
            let source = text("SourceIdentifier").unwrap_or(target);
            let outcome = RestoreOutcome {
                source: source.to_owned(),
                options,
                ..RestoreOutcome::default()
            };
            let mut run = Run::new(phone, wire, faults, target, password, ledger, outcome);
            let ended = run.all();
            run.close(&ended)?;
            ended
        });
    {
        let mut memory = lock(&phone.memory);
        memory.busy = false;
        if let Ok(staged) = &ended {
            memory.staged = Some(*staged);
        }
    }
    let restarts = ended.is_ok() && options.reboot;
    let told = tell(wire, faults, ended, restarts);
    // Also where the computer did not hear the verdict.
    lock(&phone.state).restart_asked = restarts;
    told
}

fn tell(
    wire: &mut Wire,
    faults: &[Fault],
    ended: Result<Staged, Stop>,
    restarts: bool,
) -> io::Result<()> {
    match ended {
        Ok(_) if faults.contains(&Fault::NoFinalResponse) => return wire.stall(),
        Ok(_) => wire.respond(0, "")?,
        Err(Stop::Fails(code, text)) => wire.respond(code, &text)?,
        Err(Stop::Lost(e)) => return Err(e),
    }
    wire.message(vec!["DLMessageDisconnect".into(), "Bye".into()])?;
    if restarts {
        // The computer lets go of the sync lock and says goodbye meanwhile.
        wire.gone_within(GOODBYE);
    }
    Ok(())
}

fn options(request: &Dictionary) -> (RestoreOptions, Option<Secret>) {
    let options = request.get("Options").and_then(Value::as_dictionary);
    let flag = |key: &str, default: bool| {
        let value = options.and_then(|o| o.get(key)?.as_boolean());
        value.unwrap_or(default)
    };
    let password = options.and_then(|o| o.get("Password")?.as_string());
    let password = password.filter(|text| !text.is_empty());
    let options = RestoreOptions {
        system_files: flag("RestoreSystemFiles", false),
        reboot: flag("RestoreShouldReboot", true),
        copy: !flag("RestoreDontCopyBackup", false),
        preserve_settings: flag("RestorePreserveSettings", false),
        remove_items: flag("RemoveItemsNotRestored", false),
        password: password.is_some(),
    };
    let password = password.map(|text| Secret::new(text.as_bytes().to_vec()));
    (options, password)
}
