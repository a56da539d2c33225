//! Restore: the phone reads the backup on the computer, checks it, requests every file, and puts
//! all of them into place when it reboots.
//!
//! The order is that of the on-device agent, as others have reconstructed it from its code:
//! ```text
//! Manifest.plist, Manifest.db -> device class, policy, iCloud restore (25)
//! Status.plist (204, 203) -> the manifests again (205) -> Info.plist: version of iOS (203)
//!     -> password (207)
//! space on the phone (106), Find My (211), setup (212)
//!     -> copy of the target's folder on the computer, if it was asked for
//! files, 128 in a message (205) -> an empty list of files
//!     -> into place (102 while an earlier restore still waits for its reboot)
//! ```

mod checks;
mod run;
mod take;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use crate::base::secret::Secret;
use crate::simulator::backup::restore::run::Run;
use crate::simulator::dialog::Stop;
use crate::simulator::faults::Fault;
use crate::simulator::ledger::{Ledger, Writer};
use crate::simulator::lock;
use crate::simulator::phone::Phone;
use crate::simulator::wire::Wire;

/// Path of the list of applications to install after a restore.
const APPLICATIONS: &str = "/iTunesRestore/RestoreApplications.plist";
/// Time that a computer has to say goodbye before the phone reboots.
const GOODBYE: Duration = Duration::from_secs(5);

/// Options that a computer sent with a restore request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Value of the option `RestoreSystemFiles`.
    pub system_files: bool,
    /// Value of the option `RestoreShouldReboot`.
    pub reboot: bool,
    /// Absence of `RestoreDontCopyBackup`: the computer must first copy its folder of the target.
    pub copy: bool,
    /// Option `RestorePreserveSettings`: the phone keeps its own settings.
    pub preserve_settings: bool,
    /// Value of the option `RemoveItemsNotRestored`.
    pub remove_items: bool,
    /// True if the request included a password.
    pub password: bool,
}

/// Result of one restore, as the phone saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOutcome {
    /// Final ErrorCode; `None` if the computer disconnected before it was sent.
    pub code: Option<u64>,
    /// Last error that the phone reported or observed; empty on success.
    pub text: String,
    /// Name of the backup's folder on the computer.
    pub source: String,
    /// Options of the restore request.
    pub options: RestoreOptions,
    /// True if system files were restored. If the backup names a device class, the phone decides by
    /// that instead of by the option.
    pub system_files: bool,
    /// Number of files that the phone received and verified.
    pub files: u64,
    /// Size of those files in bytes, after decryption.
    pub bytes: u64,
    /// Number of folders.
    pub folders: u64,
    /// Number of symbolic links.
    pub links: u64,
    /// System files that the phone did not request, because the backup is from another device
    /// class.
    pub passed_over: u64,
    /// Number of the phone's own files that the backup lacks and the restore removes.
    pub removed: u64,
    /// Folder to which the computer copied its existing backup of the target.
    pub copied_to: Option<String>,
    /// Data bytes in the longest frame that the computer sent.
    pub longest_frame: u32,
    /// Bytes that the computer sent on this connection before the final result.
    pub taken: u64,
    /// Size in bytes of RestoreApplications.plist at the end.
    pub applications: Option<u64>,
}

/// A restore that the phone puts into place at its next reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Staged {
    /// Generation of the phone that the backup holds, if the backup is one of its own.
    generation: Option<u32>,
}

impl Staged {
    /// Creates the record of a restore about which nothing is known.
    pub(crate) fn unknown() -> Staged {
        Staged { generation: None }
    }
}

impl Phone {
    /// Returns the results of the phone's restores, oldest first.
    pub fn restores(&self) -> Vec<RestoreOutcome> {
        lock(&self.state).restores.clone()
    }

    /// Returns the list of what the last restore brought, however it ended.
    pub fn ledger(&self) -> Option<Ledger> {
        lock(&self.state).ledger.clone()
    }

    /// Returns the list of applications that a computer left for the phone to install.
    pub fn applications(&self) -> Option<Vec<u8>> {
        self.media.read(APPLICATIONS)
    }

    /// Reboots the phone, which puts the last restore into place. After the restore of one of its
    /// own backups the phone holds the files of that backup; from any other backup it keeps only
    /// the list.
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

    /// Returns true, once, if a restore has just asked the phone to reboot.
    pub(crate) fn is_to_restart(&self) -> bool {
        std::mem::take(&mut lock(&self.state).restart_asked)
    }
}

/// Runs one restore. The phone's history records the result before the computer receives it.
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
    // Restart even if the computer did not receive the final result.
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
        // Meanwhile the computer releases the sync lock and says goodbye.
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
