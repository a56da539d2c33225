//! The encryption of a phone's backups: on, off, another password; and whether a password opens a
//! backup.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::password::Passwords;
use super::phone::{Encryption, Facts, Reach};
use super::verdict;
use super::{Error, list, opened, pair, passcode};
use crate::device::sync::SyncLock;
use crate::device::{self, Session};
use crate::mobilebackup;
use crate::monitor::Monitor;
use crate::secret::Secret;
use crate::store::Store;
use crate::transport::Attached;

/// How often the phone is asked whether it has taken over what it agreed to, and how long between.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// What is wanted.
pub enum Wish {
    /// Encrypt backups with this password.
    On {
        /// The password.
        new: Secret,
    },
    /// Encrypt them no more.
    Off {
        /// The present password.
        old: Secret,
    },
    /// Another password.
    Change {
        /// The present one.
        old: Secret,
        /// The one that follows it.
        new: Secret,
    },
}

impl Wish {
    fn old_password(&self) -> Option<&Secret> {
        match self {
            Wish::On { .. } => None,
            Wish::Off { old } | Wish::Change { old, .. } => Some(old),
        }
    }

    fn new_password(&self) -> Option<&Secret> {
        match self {
            Wish::On { new } | Wish::Change { new, .. } => Some(new),
            Wish::Off { .. } => None,
        }
    }

    fn done(&self) -> Done {
        match self {
            Wish::On { .. } => Done::On,
            Wish::Off { .. } => Done::Off,
            Wish::Change { .. } => Done::Changed,
        }
    }
}

/// How it is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Silence of the phone that is taken for its end.
    pub silence_max: Duration,
    /// How long to wait for "Trust".
    pub trust_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            silence_max: passcode::WAIT_MAX + Duration::from_secs(60),
            trust_wait: Duration::from_secs(120),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Encryption was switched on.
    On,
    /// It was switched off.
    Off,
    /// There is another password.
    Changed,
}

/// What is known afterwards.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The phone.
    pub phone: Facts,
    /// What was done; nothing where the state was only read.
    pub done: Option<Done>,
    /// The next backup will be encrypted, by the phone's word.
    pub encrypted: Option<bool>,
    /// The phone's administrator demands it.
    pub required: bool,
    /// The phone's backups in the store, where there is one.
    pub store: Option<Room>,
}

/// The store, before a full backup.
#[derive(Debug, Clone, Serialize)]
pub struct Room {
    /// Its folder.
    pub path: String,
    /// The phone's current backup is encrypted.
    pub encrypted: Option<bool>,
    /// What it takes, as our report counts it: about what a full backup will take.
    pub bytes: Option<u64>,
    /// Encrypted backups of the phone. Each keeps the password that it was made with.
    pub encrypted_backups: u64,
    /// Bytes free.
    pub free_bytes: u64,
}

impl Room {
    /// A full backup beside the present one will not fit, as far as that is known.
    pub fn is_short(&self) -> bool {
        self.bytes.is_some_and(|bytes| bytes > self.free_bytes)
    }
}

/// Asks a phone about the encryption of its backups.
pub fn status(
    reach: &Reach,
    phone: &Attached,
    store: Option<&Store>,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let mut session = pair::session_or_pair(reach, phone, options.trust_wait, monitor)?;
    let facts = Facts::ask(session.lockdown())?;
    let encryption = Encryption::ask(session.lockdown())?;
    report(phone, facts, encryption, None, store)
}

/// Has a phone encrypt its backups, or not, or with another password. Only the next backup proves
/// it: the phone gives its word and nothing else.
pub fn change(
    reach: &Reach,
    phone: &Attached,
    store: Option<&Store>,
    wish: &Wish,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let mut session = pair::session_or_pair(reach, phone, options.trust_wait, monitor)?;
    let facts = Facts::ask(session.lockdown())?;
    let before = Encryption::ask(session.lockdown())?;
    admit(wish.done(), before)?;
    ask(reach, &mut session, phone, wish, before, options, monitor)?;

    let wanted = wish.done() != Done::Off;
    let after = look_again(reach, &mut session, phone, wanted);
    if after.is_on != Some(wanted) {
        let says = match after.is_on {
            None => "does not say whether it encrypts its backups",
            Some(true) => "says that it still encrypts its backups",
            Some(false) => "says that it still does not encrypt its backups",
        };
        monitor.problem(
            format!("the phone agreed, but {says}"),
            Some("run `idev-backup encryption status` in a minute".to_owned()),
        );
    }
    report(phone, facts, after, Some(wish.done()), store)
}

/// Refuses what the phone's state makes pointless, before anybody is asked for a password.
pub fn admit(wanted: Done, state: Encryption) -> Result<(), Error> {
    let nothing = |what: &str, hint: &str| {
        Err(Error::Nothing {
            what: what.to_owned(),
            hint: hint.to_owned(),
        })
    };
    match (wanted, state.is_on) {
        (Done::On, Some(true)) => nothing(
            "the phone encrypts its backups already",
            "`idev-backup encryption change` sets another password",
        ),
        (Done::Off | Done::Changed, Some(false)) => nothing(
            "the phone does not encrypt its backups",
            "`idev-backup encryption on` has it do so",
        ),
        (Done::Off, _) if state.is_required => nothing(
            "the phone's administrator demands encrypted backups",
            "ask whoever administers the phone",
        ),
        _ => Ok(()),
    }
}

fn ask(
    reach: &Reach,
    session: &mut Session,
    phone: &Attached,
    wish: &Wish,
    before: Encryption,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let passwords = mobilebackup::Passwords {
        old: wish.old_password().map(text).transpose()?,
        new: wish.new_password().map(text).transpose()?,
    };
    let sync = SyncLock::take(session, &reach.calm)?;
    let verdict = std::thread::scope(|scope| {
        // First, since the phone does not say when it has begun to tell of its sheet.
        let watch = passcode::Watch::start(session, reach, monitor, scope);
        let calm = reach.calm.fork();
        let stream = session.service(mobilebackup::SERVICE, &calm, options.silence_max)?;
        let dialog = mobilebackup::Session::open(stream, calm).map_err(not_opened)?;
        let verdict = dialog.change_password(phone.udid.as_str(), passwords);
        drop(watch);
        verdict.map_err(Error::PasswordDialog)
    });
    // A phone that is gone needs no unlocking; the verdict says what matters.
    drop(sync.release());
    match verdict? {
        verdict if verdict.code == 0 => Ok(()),
        verdict => Err(Error::Verdict(verdict::explain_password(
            &verdict,
            before.is_required,
            wish.old_password().is_some(),
        ))),
    }
}

/// Nothing was asked yet.
fn not_opened(e: mobilebackup::Error) -> Error {
    match e {
        mobilebackup::Error::Wire { cause, .. } => {
            Error::Device(device::Error::wire("open the backup service", cause))
        }
        e => Error::Dialog(e),
    }
}

/// Phones take texts only.
fn text(password: &Secret) -> Result<&str, Error> {
    match std::str::from_utf8(password.expose()) {
        Ok("") => Err(no_password("the password is empty")),
        Ok(text) => Ok(text),
        Err(_) => Err(no_password("the password is no text in UTF-8")),
    }
}

fn no_password(why: &str) -> Error {
    Error::NoPassword {
        why: why.to_owned(),
    }
}

/// What the phone says now; it may take a moment.
fn look_again(reach: &Reach, session: &mut Session, phone: &Attached, wanted: bool) -> Encryption {
    let mut seen = Encryption::default();
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        match Encryption::ask(session.lockdown()) {
            Ok(encryption) => seen = encryption,
            // The old connection may have gone while the phone waited for its owner.
            Err(_) => match reach.session(phone) {
                Ok(fresh) => *session = fresh,
                Err(_) => break,
            },
        }
        if seen.is_on == Some(wanted) || reach.calm.cancelled() {
            break;
        }
    }
    seen
}

fn report(
    phone: &Attached,
    facts: Facts,
    encryption: Encryption,
    done: Option<Done>,
    store: Option<&Store>,
) -> Result<Report, Error> {
    Ok(Report {
        phone: facts,
        done,
        encrypted: encryption.is_on,
        required: encryption.is_required,
        store: store.map(|store| room(store, phone)).transpose()?,
    })
}

fn room(store: &Store, phone: &Attached) -> Result<Room, Error> {
    let mut backups = list::list(store)?;
    backups.retain(|backup| backup.udid == phone.udid.as_str());
    let current = backups.iter().find(|backup| backup.current);
    let encrypted = backups.iter().filter(|b| b.encrypted == Some(true));
    Ok(Room {
        path: store.root().display().to_string(),
        encrypted: current.and_then(|backup| backup.encrypted),
        bytes: current.and_then(|backup| backup.bytes),
        encrypted_backups: encrypted.count() as u64,
        free_bytes: store.free_space()?,
    })
}

/// What a password does to a backup.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// The backup.
    pub path: String,
    /// It is encrypted; else no password is needed.
    pub encrypted: bool,
    /// Protection classes whose key is for the password and yet does not open: their files are
    /// lost.
    pub closed_classes: Vec<u32>,
}

/// Tries a password on a backup: its keys, and its list. A wrong one is an error.
pub fn check(folder: &Path, passwords: &dyn Passwords) -> Result<Proof, Error> {
    let open = opened::Opened::open(folder, passwords)?;
    let closed = open.keys().map(|keys| keys.unopened().to_vec());
    Ok(Proof {
        path: folder.display().to_string(),
        encrypted: open.is_encrypted(),
        closed_classes: closed.unwrap_or_default(),
    })
}
