//! The backup dialog: the phone's requests to the computer that keeps its backup, and the answers.
//!
//! `com.apple.mobilebackup2` reverses the roles: after one request of ours (Backup), the phone asks
//! and we answer, strictly in order, until it sends its verdict. Its messages are named from its
//! own side: "Download" means that we send.

pub mod error_codes;
pub mod file_stream;
pub mod message;
mod null_host;
pub mod session;

use std::fmt;
use std::io::{self, Read};

use crate::base::backup_path::{BackupPath, BadPath};
use crate::base::cancel::is_cancelled;
use crate::base::failure_kind::FailureKind;
use crate::transport::plist_stream::FrameError;

pub use message::{Kind, Request, Verdict};
pub use session::Session;

/// Old and new backup password of a password change, as UTF-8.
#[derive(Clone, Copy)]
pub struct Passwords<'a> {
    /// The current password; `None` while backups are not encrypted.
    pub old: Option<&'a str>,
    /// The new password; `None` to turn encryption off.
    pub new: Option<&'a str>,
}

/// Options of a restore. We never ask the phone to copy the existing backup: it would write that
/// copy into a backup that must not change any more.
#[derive(Clone, Copy)]
pub struct RestoreOptions<'a> {
    /// Restore the system's own files too, such as messages, calls and accounts. The phone decides
    /// for itself if the backup comes from another class of device.
    pub system_files: bool,
    /// Restart the phone at the end. Restored content appears only after a restart.
    pub reboot: bool,
    /// Keep the phone's own settings.
    pub keep_settings: bool,
    /// Remove content that the backup does not have.
    pub remove_others: bool,
    /// The password of an encrypted backup.
    pub password: Option<&'a str>,
}

/// Name of the service.
pub const SERVICE: &str = "com.apple.mobilebackup2";

/// Failure of the dialog before the phone's verdict.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The connection broke, or the phone stopped answering.
    Wire {
        /// The phone's activity at the time; completes "while it ...".
        doing: &'static str,
        /// The error of the connection or of the message.
        cause: FrameError,
    },
    /// The phone named a path that no genuine backup uses. We did not touch any file for the
    /// request.
    Hostile(BadPath),
    /// The phone violated the protocol.
    Strange {
        /// The phone's activity at the time; completes "while it ...".
        doing: &'static str,
        /// The violation of the protocol.
        why: String,
    },
    /// The phone ended the dialog before its verdict.
    HungUp {
        /// The phone's reason; empty if it gave none.
        reason: String,
    },
    /// Phone and computer have no version of the protocol in common.
    NoCommonVersion,
    /// The wait was cancelled, and the phone has been informed.
    Cancelled,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Cancelled => FailureKind::Interrupted,
            Error::Wire {
                cause: FrameError::Io(_),
                ..
            }
            | Error::HungUp { .. } => FailureKind::Lost,
            _ => FailureKind::Failed,
        }
    }

    fn wire(doing: &'static str, cause: impl Into<FrameError>) -> Error {
        match cause.into() {
            FrameError::Io(e) if is_cancelled(&e) => Error::Cancelled,
            cause => Error::Wire { doing, cause },
        }
    }

    fn strange(doing: &'static str, why: impl Into<String>) -> Error {
        Error::Strange {
            doing,
            why: why.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Wire {
                doing,
                cause: FrameError::Io(e),
            } if e.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the connection to the phone was lost while it {doing}")
            }
            Error::Wire { doing, cause } => write!(
                f,
                "the connection to the phone failed while it {doing}: {cause}"
            ),
            Error::Hostile(path) => write!(f, "the phone asks for what no backup needs: {path}"),
            Error::Strange { doing, why } => write!(
                f,
                "the phone sent what makes no sense while it {doing}: {why}"
            ),
            Error::HungUp { reason } if reason.is_empty() => {
                f.write_str("the phone hung up without a verdict")
            }
            Error::HungUp { reason } => {
                write!(f, "the phone hung up without a verdict: {reason}")
            }
            Error::NoCommonVersion => {
                f.write_str("the phone speaks no version of the backup protocol that we know")
            }
            Error::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Wire { cause, .. } => Some(cause),
            Error::Hostile(path) => Some(path),
            _ => None,
        }
    }
}

/// Error codes that the phone understands.
///
/// Use [`Fault::NotFound`] only for a file that does not exist: the phone concludes that it is
/// gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An unspecified failure, status -1.
    Generic,
    /// An unsupported request, also status -1, as other computers answer it.
    Unsupported,
    /// A missing file, status -6.
    NotFound,
    /// A failed read or write, status -11.
    Io,
    /// A full disk, status -15.
    NoSpace,
}

impl Fault {
    /// Returns DeviceLink's status and the text that belongs to it.
    pub fn status(self) -> (i64, &'static str) {
        match self {
            Fault::Generic => (-1, "Operation failed"),
            Fault::Unsupported => (-1, "Operation not supported"),
            Fault::NotFound => (-6, "No such file or directory"),
            Fault::Io => (-11, "Input/output error"),
            Fault::NoSpace => (-15, "No space left on device"),
        }
    }
}

impl From<&io::Error> for Fault {
    fn from(e: &io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NotFound => Fault::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::NoSpace,
            _ => Fault::Io,
        }
    }
}

/// Type of an entry in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// A folder, also called directory.
    Directory,
    /// Neither a file nor a folder.
    Unknown,
}

/// Entry in a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name, without the folder's path.
    pub name: String,
    /// The type of the entry.
    pub kind: EntryKind,
    /// The size of a file, in bytes.
    pub size: u64,
    /// The time of the last change.
    pub modified: std::time::SystemTime,
}

/// File that the phone could not read for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// The path in the backup at which the phone wanted the file to be stored.
    pub path: BackupPath,
    /// The path on the phone, for display only.
    pub device_path: String,
    /// The phone's error code.
    pub code: u8,
    /// The phone's error text.
    pub text: String,
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the phone could not read its file {}: {} (code {})",
            self.device_path, self.text, self.code
        )
    }
}

/// The computer's side of the dialog: the operations that the phone may request.
pub trait Host {
    /// Announces a request before it is carried out.
    fn begins(&mut self, request: &Request);

    /// Returns the bytes available for the backup.
    fn free_space(&mut self) -> Result<u64, Fault>;

    /// Tries to free `amount` bytes that the phone is missing; returns how many were freed.
    fn purge(&mut self, amount: u64) -> Result<u64, Fault>;

    /// Stores a file that the phone sends. `body` ends where the file ends. An error of `body`
    /// means that the phone did not send the complete file; then no file may remain under its name.
    ///
    /// A host may finish the file later, but before [`Host::settle`] returns.
    fn receive(&mut self, path: &BackupPath, body: &mut dyn Read) -> Result<(), Fault>;

    /// Waits until every received file is in its place; returns the failures.
    fn settle(&mut self) -> Vec<(BackupPath, Fault)>;

    /// Records that the phone could not read one of its files.
    fn device_fault(&mut self, fault: DeviceFault);

    /// Opens a file for the phone to read.
    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send + '_>, Fault>;

    /// Lists a folder. An absent folder counts as empty.
    fn list(&mut self, path: &BackupPath) -> Result<Vec<Entry>, Fault>;

    /// Creates a folder unless it exists.
    fn make_dir(&mut self, path: &BackupPath) -> Result<(), Fault>;

    /// Moves a file or folder, replacing an existing target and creating its parent folders.
    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault>;

    /// Copies a file or a whole folder.
    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault>;

    /// Removes a file or a whole folder. An absent one is not an error.
    fn remove(&mut self, path: &BackupPath) -> Result<(), Fault>;
}
