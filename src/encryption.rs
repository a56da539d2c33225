//! Switches the encryption of a phone's backups on or off, changes its password, and checks whether
//! a password opens a backup.

use std::time::Duration;

use serde::Serialize;

use crate::base::failure_kind::FailureKind;
use crate::base::progress::Monitor;
use crate::base::secret::Secret;
use crate::device::connector::{Connector, Encryption, Facts};
use crate::device::sync_lock::SyncLock;
use crate::device::{self, Session, passcode_prompt, trust};
use crate::history::{self, list};
use crate::mobilebackup;
use crate::mobilebackup::error_codes::{self, Refusal};
use crate::store::{self, Store};
use crate::transport::Attached;

/// The reasons that the encryption of a phone's backups cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection to the phone, or one of the phone's services, failed.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// The dialog with the phone could not be opened. Nothing was asked of the phone.
    #[error(transparent)]
    Dialog(mobilebackup::Error),
    /// The dialog failed. The phone may or may not have changed its password.
    #[error("{0}; it is unknown whether the backup password was changed")]
    PasswordDialog(mobilebackup::Error),
    /// The phone refused the change.
    #[error("{0}")]
    Refused(Refusal),
    /// The phone encrypts its backups already.
    #[error("the phone already encrypts its backups")]
    AlreadyOn,
    /// The phone does not encrypt its backups.
    #[error("the phone does not encrypt its backups")]
    NotOn,
    /// The phone's administrator demands encrypted backups.
    #[error("the phone's administrator requires encrypted backups")]
    Required,
    /// The password cannot be used.
    #[error("{0}")]
    BadPassword(&'static str),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The phone's backups in the store could not be listed.
    #[error(transparent)]
    History(#[from] history::Error),
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Device(e) => e.kind(),
            Error::Dialog(e) | Error::PasswordDialog(e) => e.kind(),
            Error::Refused(refusal) => refusal.kind,
            Error::BadPassword(_) => FailureKind::WrongPassword,
            Error::Store(e) => e.kind(),
            Error::History(e) => e.kind(),
            Error::AlreadyOn | Error::NotOn | Error::Required => FailureKind::Failed,
        }
    }
}

/// Number of times that the phone is asked whether a change that it agreed to is in effect.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// The phone confirmed a change of the encryption, and its state does not show it.
#[derive(Debug, thiserror::Error)]
#[error("the phone confirmed the change, but {}", match .is_on {
    None => "does not report whether it encrypts its backups",
    Some(true) => "reports that it still encrypts its backups",
    Some(false) => "reports that it still does not encrypt its backups",
})]
pub struct NotSeen {
    /// True if the phone says that it encrypts its backups; `None` if it does not say.
    pub is_on: Option<bool>,
}

/// Change to the encryption that the user asks for.
pub enum Wish {
    /// Encrypt backups with this password.
    On {
        /// The password that is to be set.
        new: Secret,
    },
    /// Stop encrypting backups.
    Off {
        /// The present password.
        old: Secret,
    },
    /// Replace the password.
    Change {
        /// The present password.
        old: Secret,
        /// The password that replaces it.
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

/// Options for asking a phone about its encryption.
#[derive(Debug, Clone)]
pub struct Options {
    /// Give up if the phone sends nothing for this long.
    pub silence_max: Duration,
    /// Longest wait for the owner to tap "Trust" on the phone.
    pub trust_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            silence_max: passcode_prompt::WAIT_MAX + Duration::from_secs(60),
            trust_wait: Duration::from_secs(120),
        }
    }
}

/// Change that was made to the encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Encryption was switched on.
    On,
    /// Encryption was switched off.
    Off,
    /// The password was replaced.
    Changed,
}

/// State of the phone's encryption after a query or a change.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Facts that the phone states about itself.
    pub phone: Facts,
    /// The change that was made; `None` if the state was only read.
    pub done: Option<Done>,
    /// The phone says that it will encrypt the next backup.
    pub encrypted: Option<bool>,
    /// The phone's administrator demands encrypted backups.
    pub required: bool,
    /// The phone's backups in the store, if there is a store.
    pub store: Option<StoreSpace>,
}

/// State of the store before a full backup.
#[derive(Debug, Clone, Serialize)]
pub struct StoreSpace {
    /// Folder of the store.
    pub path: String,
    /// The phone's current backup is encrypted.
    pub encrypted: Option<bool>,
    /// Size of the current backup in bytes, from our report: about what a full backup will take.
    pub bytes: Option<u64>,
    /// Number of encrypted backups of the phone. Each keeps the password that it was made with.
    pub encrypted_backups: u64,
    /// Free space in bytes.
    pub free_bytes: u64,
}

impl StoreSpace {
    /// Returns true if a full backup is known not to fit beside the present one.
    pub fn is_short(&self) -> bool {
        self.bytes.is_some_and(|bytes| bytes > self.free_bytes)
    }
}

/// Asks a phone about the encryption of its backups.
pub fn status(
    connector: &Connector,
    phone: &Attached,
    store: Option<&Store>,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    let facts = Facts::ask(session.lockdown())?;
    let encryption = Encryption::ask(session.lockdown())?;
    report(phone, facts, encryption, None, store)
}

/// Changes the encryption of a phone's backups as `wish` says. The phone only says that it agreed;
/// the next backup proves it.
pub fn change(
    connector: &Connector,
    phone: &Attached,
    store: Option<&Store>,
    wish: &Wish,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    let facts = Facts::ask(session.lockdown())?;
    let before = Encryption::ask(session.lockdown())?;
    admit(wish.done(), before)?;
    ask(
        connector,
        &mut session,
        phone,
        wish,
        before,
        options,
        monitor,
    )?;

    let wanted = wish.done() != Done::Off;
    let after = look_again(connector, &mut session, phone, wanted);
    if after.is_on != Some(wanted) {
        monitor.problem(NotSeen { is_on: after.is_on }.into());
    }
    report(phone, facts, after, Some(wish.done()), store)
}

/// Refuses a change that the phone's state makes pointless, before the user is asked for a
/// password.
pub fn admit(wanted: Done, state: Encryption) -> Result<(), Error> {
    match (wanted, state.is_on) {
        (Done::On, Some(true)) => Err(Error::AlreadyOn),
        (Done::Off | Done::Changed, Some(false)) => Err(Error::NotOn),
        (Done::Off, _) if state.is_required => Err(Error::Required),
        _ => Ok(()),
    }
}

fn ask(
    connector: &Connector,
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
    let sync = SyncLock::take(session, &connector.token)?;
    let verdict = std::thread::scope(|scope| {
        // Start the watch first: the phone does not say when it starts to report its passcode
        // sheet.
        let watch = passcode_prompt::Watch::start(session, connector, monitor, scope);
        let token = connector.token.fork();
        let stream = session.service(mobilebackup::SERVICE, &token, options.silence_max)?;
        let dialog = mobilebackup::Session::open(stream, token).map_err(not_opened)?;
        let verdict = dialog.change_password(phone.udid.as_str(), passwords);
        drop(watch);
        verdict.map_err(Error::PasswordDialog)
    });
    // If the phone is gone, its lock is gone as well. The verdict tells what matters.
    drop(sync.release());
    match verdict? {
        verdict if verdict.code == 0 => Ok(()),
        verdict => Err(Error::Refused(error_codes::explain_password(
            &verdict,
            before.is_required,
            wish.old_password().is_some(),
        ))),
    }
}

/// Converts an error from opening the dialog. Nothing has been asked of the phone by then.
fn not_opened(e: mobilebackup::Error) -> Error {
    match e {
        mobilebackup::Error::Wire { cause, .. } => {
            Error::Device(device::Error::wire("open the backup service", cause))
        }
        e => Error::Dialog(e),
    }
}

/// Returns the password as text, the only form that phones take.
fn text(password: &Secret) -> Result<&str, Error> {
    match std::str::from_utf8(password.expose()) {
        Ok("") => Err(Error::BadPassword("the password is empty")),
        Ok(text) => Ok(text),
        Err(_) => Err(Error::BadPassword("the password is not valid UTF-8")),
    }
}

/// Asks the phone for its state until it is as wanted, or until [`LOOKS`] is reached: a change may
/// take a moment to show.
fn look_again(
    connector: &Connector,
    session: &mut Session,
    phone: &Attached,
    wanted: bool,
) -> Encryption {
    let mut seen = Encryption::default();
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        match Encryption::ask(session.lockdown()) {
            Ok(encryption) => seen = encryption,
            // The old connection may have ended while the phone waited for its owner.
            Err(_) => match connector.session(phone) {
                Ok(fresh) => *session = fresh,
                Err(_) => break,
            },
        }
        if seen.is_on == Some(wanted) || connector.token.cancelled() {
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
        store: store.map(|store| space(store, phone)).transpose()?,
    })
}

fn space(store: &Store, phone: &Attached) -> Result<StoreSpace, Error> {
    let mut backups = list::list(store)?;
    backups.retain(|backup| backup.udid == phone.udid.as_str());
    let current = backups.iter().find(|backup| backup.current);
    let encrypted = backups.iter().filter(|b| b.encrypted == Some(true));
    Ok(StoreSpace {
        path: store.root().display().to_string(),
        encrypted: current.and_then(|backup| backup.encrypted),
        bytes: current.and_then(|backup| backup.bytes),
        encrypted_backups: encrypted.count() as u64,
        free_bytes: store.free_space()?,
    })
}
