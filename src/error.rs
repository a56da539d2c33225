//! The reasons an action fails, and the kinds of failure that a script can distinguish.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::backup_format::plists::Unreadable;
use crate::mobilebackup::error_codes::Refusal;
use crate::mobilebackup::{self, DeviceFault};
use crate::store::{self, Snapshot};
use crate::transport::plist_stream::FrameError;
use crate::transport::{self, Trouble};
use crate::{device, doctor, restore, verify};

/// The reasons a job fails.
#[derive(Debug)]
pub enum Error {
    /// The connection to the phone, or one of the phone's services, failed.
    Device(device::Error),
    /// The backup dialog with the phone failed.
    Dialog(mobilebackup::Error),
    /// The dialog that changes the backup password failed. The phone may or may not have changed
    /// it.
    PasswordDialog(mobilebackup::Error),
    /// The preflight of a restore found problems that would make it fail.
    NotReady(Vec<doctor::Line>),
    /// The backup that is to be restored is damaged; nothing was sent.
    SourceDamaged(Box<verify::Report>),
    /// The dialog of a restore ended before the phone gave its verdict.
    RestoreDialog {
        /// The error that ended the dialog.
        cause: mobilebackup::Error,
        /// The state in which the phone was left.
        left: restore::Left,
    },
    /// The phone refused the restore.
    RestoreRefused {
        /// The phone's reason.
        refusal: Refusal,
        /// The state in which the phone was left.
        left: restore::Left,
    },
    /// The store could not be read or written.
    Store(store::Error),
    /// A file of the backup could not be written. The phone received an error; this is its cause.
    Keeping(store::Error),
    /// No phone is connected, or not the requested one.
    NoDevice {
        /// The requested phone, if any.
        wanted: Option<String>,
        /// The phones that are connected.
        present: Vec<String>,
    },
    /// Several phones are connected and none was requested, or the request matches several.
    WhichDevice {
        /// The requested phone, if any.
        wanted: Option<String>,
        /// The candidates, each with its name.
        present: Vec<String>,
    },
    /// The phone refused the backup.
    Verdict(Refusal),
    /// The phone reported success, but our own check of the backup failed.
    CheckFailed(Box<verify::Report>),
    /// The copy of a backup is incomplete or damaged and was not put in place.
    CopyDamaged(Box<verify::Report>),
    /// A file that describes the backup (its list or its keys, for example) cannot be read.
    Backup {
        /// The file that cannot be read.
        path: PathBuf,
        /// The reason it cannot be read.
        why: Unreadable,
    },
    /// A single file of a backup cannot be read.
    File {
        /// The file's domain and path.
        name: String,
        /// The reason it cannot be read.
        why: String,
    },
    /// The target folder, or something in it, cannot be written.
    Target {
        /// The target folder or the item in it.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// The user interrupted the job.
    Interrupted,
    /// The password does not open the backup.
    WrongPassword {
        /// The backup that the password does not open.
        of: String,
    },
    /// A password is needed, and none was given.
    NoPassword {
        /// The reason, as a whole sentence.
        why: String,
    },
    /// No valid new password was typed.
    Mistyped {
        /// The reason it was not accepted.
        why: String,
    },
    /// The passcode was not entered on the phone within the time limit.
    NoPasscode {
        /// The time limit.
        waited: std::time::Duration,
    },
    /// The rehearsal of a restore failed through its own fault. No phone was involved.
    Rehearsal {
        /// The reason the rehearsal failed.
        why: String,
        /// Advice for the user.
        hint: String,
        /// The kind of failure.
        class: Class,
    },
    /// The requested item does not exist.
    Nothing {
        /// The message, as a whole sentence.
        what: String,
        /// Advice for the user.
        hint: String,
    },
}

/// The kinds of failure that scripts can distinguish. docs/guide.md lists their exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Any failure without a class of its own.
    Failed,
    /// The phone is not connected.
    NoDevice,
    /// The phone is locked, does not trust this computer, or did not get its passcode in time.
    Locked,
    /// The backup password is wrong or missing.
    WrongPassword,
    /// The disk is full.
    NoSpace,
    /// The connection was lost.
    Lost,
    /// The user interrupted the job.
    Interrupted,
}

impl Class {
    /// Returns the exit code of the program. Stable, because scripts rely on it. The codes 2
    /// (usage) and 3 (done with problems) are not listed because they are not failures of a job.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Failed => 1,
            Class::NoDevice => 4,
            Class::Locked => 5,
            Class::WrongPassword => 6,
            Class::NoSpace => 7,
            Class::Lost => 8,
            Class::Interrupted => 130,
        }
    }
}

impl Error {
    /// Returns the kind of failure.
    pub fn class(&self) -> Class {
        match self {
            Error::NoDevice { .. } | Error::WhichDevice { .. } => Class::NoDevice,
            Error::Device(e) => class_of_device(e),
            Error::Dialog(e) | Error::PasswordDialog(e) => class_of_dialog(e),
            Error::RestoreDialog { cause, .. } => class_of_dialog(cause),
            Error::RestoreRefused { refusal, .. } => refusal.class,
            Error::Rehearsal { class, .. } => *class,
            Error::CheckFailed(_)
            | Error::CopyDamaged(_)
            | Error::SourceDamaged(_)
            | Error::NotReady(_)
            | Error::Backup { .. }
            | Error::File { .. }
            | Error::Nothing { .. } => Class::Failed,
            Error::WrongPassword { .. } | Error::NoPassword { .. } | Error::Mistyped { .. } => {
                Class::WrongPassword
            }
            Error::NoPasscode { .. } => Class::Locked,
            Error::Interrupted => Class::Interrupted,
            Error::Target { cause, .. } => match cause.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Class::NoSpace,
                _ => Class::Failed,
            },
            Error::Store(e) | Error::Keeping(e) if e.is_full() => Class::NoSpace,
            Error::Store(_) | Error::Keeping(_) => Class::Failed,
            Error::Verdict(refusal) => refusal.class,
        }
    }

    /// Returns advice on what to do next, if there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Device(e) => e.hint(),
            Error::Dialog(e) => hint_of_dialog(e).map(str::to_owned),
            Error::PasswordDialog(mobilebackup::Error::NoCommonVersion) => {
                Some("use a newer idev-backup".to_owned())
            }
            Error::PasswordDialog(_) => Some(
                "connect the phone again and run `idev-backup encryption status`. If encryption is on, either password may \
                 be the right one: `idev-backup encryption change` takes only that"
                    .to_owned(),
            ),
            Error::NotReady(lines) => {
                let hints: Vec<&str> = lines.iter().filter_map(|l| l.hint.as_deref()).collect();
                Some(hints.join("; "))
            }
            Error::SourceDamaged(report) => {
                let repair = restore::preflight::repair_hint(report);
                Some(if restore::tolerated(report) {
format!(
                        "{repair}. The phone has no digest of what is altered, so `--force` restores it as it is"
                    )
} else {
repair
})
            }
            Error::RestoreDialog { cause, left } => Some(match cause {
                mobilebackup::Error::Hostile(_) => {
                    "do not trust this phone, or what sits between it and this computer. It was told that there is no such \
                     thing, and nothing outside of the backup was read"
                        .to_owned()
                }
                mobilebackup::Error::NoCommonVersion => "use a newer idev-backup".to_owned(),
                cause => left.hint_after(cause).to_owned(),
            }),
            Error::RestoreRefused { refusal, .. } => refusal.hint.clone(),
            Error::Store(e) | Error::Keeping(e) => e.hint().map(str::to_owned),
            Error::NoDevice { .. } => Some(
                "connect it with a cable, unlock it and tap Trust; `idev-backup devices` shows what is there".to_owned(),
            ),
            Error::WhichDevice { .. } => Some(
                "choose one with --device and its UDID or name (`create --all` backs up all of them)".to_owned(),
            ),
            Error::Verdict(refusal) => refusal.hint.clone(),
            Error::CheckFailed(_) => Some(
                "run `idev-backup create --full`; if it happens again, check the disk"
                    .to_owned(),
            ),
            Error::CopyDamaged(_) => Some(
                "`idev-backup verify` tells whether what was copied is whole; if it is, check the disk that it was copied to"
                    .to_owned(),
            ),
            Error::Backup { .. } | Error::File { .. } => {
                Some("`idev-backup verify` tells what else of this backup is damaged, and what older ones hold".to_owned())
            }
            Error::Target { cause, .. } => Some(match cause.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "free space on that disk, or name a folder on another one with --to".to_owned()
                }
                _ => "name another folder with --to".to_owned(),
            }),
            Error::Interrupted => None,
            Error::WrongPassword { .. } => Some(
                "it is the password that the phone had when this backup was made; `idev-backup encryption check` tries \
                 another one"
                    .to_owned(),
            ),
            Error::NoPassword { .. } => Some(
                "run it in a terminal, which asks for it, or use --password-file, --password-command, --password-keyring or the \
                 variable IDEV_BACKUP_PASSWORD"
                    .to_owned(),
            ),
            Error::Mistyped { .. } => Some(
                "run it again, and type the same password both times; --password-file and --password-command take one that need not \
                 be typed"
                    .to_owned(),
            ),
            Error::NoPasscode { .. } => Some(
                "a phone asks for its passcode at each backup since iOS 16.1, and only there can it be entered. Run it when \
                 somebody is near the phone, or wait longer with --passcode-wait"
                    .to_owned(),
            ),
            Error::Rehearsal { hint, .. } | Error::Nothing { hint, .. } => Some(hint.clone()),
        }
    }
}

fn class_of_dialog(e: &mobilebackup::Error) -> Class {
    match e {
        mobilebackup::Error::Cancelled => Class::Interrupted,
        mobilebackup::Error::Wire {
            cause: FrameError::Io(_),
            ..
        }
        | mobilebackup::Error::HungUp { .. } => Class::Lost,
        _ => Class::Failed,
    }
}

fn class_of_device(e: &device::Error) -> Class {
    match e {
        device::Error::Cancelled => Class::Interrupted,
        device::Error::NotPaired
        | device::Error::TrustDenied
        | device::Error::TrustTimeout { .. } => Class::Locked,
        device::Error::Lockdown { code, .. } => match code.as_str() {
            "PasswordProtected"
            | "InvalidHostID"
            | "MissingHostID"
            | "UserDeniedPairing"
            | "EscrowLocked"
            | "DeviceLocked"
            | "PairingDialogResponsePending"
            | "MCChallengeRequired"
            | "MCProtected" => Class::Locked,
            _ => Class::Failed,
        },
        device::Error::Transport(transport::Error::Refused { number: 2, .. }) => Class::NoDevice,
        device::Error::Transport(transport::Error::NoDaemon { .. }) => Class::NoDevice,
        device::Error::Transport(transport::Error::Usb { trouble, .. }) => match trouble {
            Trouble::NoBus | Trouble::Unplugged => Class::NoDevice,
            Trouble::Silent | Trouble::Broken(_) | Trouble::Library { .. } => Class::Lost,
            // The phone is connected, but the user has to act.
            _ => Class::Failed,
        },
        device::Error::Transport(transport::Error::Io { .. })
        | device::Error::Wire {
            cause: FrameError::Io(_),
            ..
        } => Class::Lost,
        _ => Class::Failed,
    }
}

/// Reports drafts and imports that could not be finished and were set aside.
pub(crate) fn tell_aside(aside: &[store::SetAside], monitor: &dyn crate::base::progress::Monitor) {
    for aside in aside {
        monitor.problem(aside.to_string(), Some(aside.hint()));
    }
}

fn hint_of_dialog(e: &mobilebackup::Error) -> Option<&'static str> {
    Some(match e {
        mobilebackup::Error::Wire {
            cause: FrameError::Io(_),
            ..
        }
        | mobilebackup::Error::HungUp { .. } => {
            "check the cable, keep the phone awake and run `idev-backup create` again: it goes on where it stopped if \
             the phone allows it"
        }
        mobilebackup::Error::Hostile(_) => {
            "do not trust this phone, or what sits between it and this computer. Nothing outside the draft was touched"
        }
        mobilebackup::Error::Strange { .. } | mobilebackup::Error::Wire { .. } => {
            "unplug the phone, restart it and try again; if it happens again, please report it"
        }
        mobilebackup::Error::NoCommonVersion => "use a newer idev-backup",
        mobilebackup::Error::Cancelled => {
            "run `idev-backup create` when you like: it goes on where this run stopped if the phone allows it"
        }
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Device(e) => write!(f, "{e}"),
            Error::Dialog(e) => write!(f, "{e}"),
            Error::PasswordDialog(e) => write!(
                f,
                "{e}; it is not known whether the backup password was changed"
            ),
            Error::NotReady(lines) => {
                f.write_str("this restore cannot work, and was not begun")?;
                for line in lines {
                    write!(f, "\n  {}", line.says)?;
                    if let Some(means) = &line.means {
                        write!(f, ": {means}")?;
                    }
                }
                Ok(())
            }
            Error::SourceDamaged(report) => write!(
                f,
                "the backup is damaged, and nothing was sent to the phone: {}",
                report.first_damage()
            ),
            Error::RestoreDialog { cause, left } => write!(f, "{cause}\n  {left}"),
            Error::RestoreRefused {
                refusal,
                left: restore::Left::All { .. },
            } => write!(
                f,
                "{refusal}\n  The phone had received all files, and does not take them: it is as it was."
            ),
            Error::RestoreRefused { refusal, left } => write!(f, "{refusal}\n  {left}"),
            Error::Store(e) | Error::Keeping(e) => write!(f, "{e}"),
            Error::NoDevice { wanted: None, .. } => f.write_str("no iPhone or iPad is connected"),
            Error::NoDevice {
                wanted: Some(udid),
                present,
            } if present.is_empty() => {
                write!(f, "phone {udid} is not connected, nor is any other")
            }
            Error::NoDevice {
                wanted: Some(udid),
                present,
            } => {
                write!(
                    f,
                    "phone {udid} is not connected; there is {}",
                    present.join(", ")
                )
            }
            Error::WhichDevice {
                wanted: None,
                present,
            } => {
                write!(
                    f,
                    "{} phones are connected: {}",
                    present.len(),
                    present.join(", ")
                )
            }
            Error::WhichDevice {
                wanted: Some(wanted),
                present,
            } => {
                write!(
                    f,
                    "{} phones are meant by {wanted:?}: {}",
                    present.len(),
                    present.join(", ")
                )
            }
            Error::Verdict(refusal) => write!(f, "{refusal}"),
            Error::CheckFailed(report) => write!(
                f,
                "the phone says that the backup is complete, but our own check does not: {}",
                report.first_damage()
            ),
            Error::CopyDamaged(report) => write!(
                f,
                "the copy is not whole, and was not put in place: {}",
                report.first_damage()
            ),
            Error::Backup { path, why } => write!(f, "cannot use {}: {why}", path.display()),
            Error::File { name, why } => write!(f, "cannot read {name}: {why}"),
            Error::Target { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
            Error::Interrupted => f.write_str("interrupted"),
            Error::WrongPassword { of } => write!(f, "the password does not open {of}"),
            Error::NoPasscode { waited } => write!(
                f,
                "the phone asked for its passcode, and nobody entered it within {}",
                crate::base::units::span(*waited)
            ),
            Error::NoPassword { why } => f.write_str(why),
            Error::Mistyped { why } => write!(f, "no new password was given: {why}"),
            Error::Rehearsal { why, .. } => {
                write!(f, "the rehearsal could not be played to its end: {why}")
            }
            Error::Nothing { what, .. } => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<device::Error> for Error {
    fn from(e: device::Error) -> Self {
        Error::Device(e)
    }
}

impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Self {
        Error::Device(e.into())
    }
}

impl From<mobilebackup::Error> for Error {
    fn from(e: mobilebackup::Error) -> Self {
        Error::Dialog(e)
    }
}

impl From<store::Error> for Error {
    fn from(e: store::Error) -> Self {
        Error::Store(e)
    }
}

/// Formats a phone's error about one of its own files.
pub(crate) fn complaint(fault: &DeviceFault) -> String {
    format!(
        "the phone could not read its file {}: {} (code {})",
        fault.device_path, fault.text, fault.code
    )
}

/// Returns the error for a backup that is not where it was when its name was resolved.
pub(crate) fn moved(from: &Path, to: Option<&Snapshot>) -> Error {
    let from = from.display();
    Error::Nothing {
        what: match to {
            Some(to) => format!(
                "another run has put a newer backup in the place of {from} since; the one that was meant is now {}",
                to.path().display()
            ),
            None => format!(
                "{from} is not the backup that was meant any more: another run has removed or replaced it"
            ),
        },
        hint: "`idev-backup list` shows what is there now; then run the command again".to_owned(),
    }
}
