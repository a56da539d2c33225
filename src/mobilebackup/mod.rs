//! The backup dialog: what the phone asks of the computer that keeps its backup, and what it is
//! answered.
//!
//! `com.apple.mobilebackup2` turns the roles round: after one request of ours (Backup), the phone
//! asks and we answer, strictly in order, until it gives its verdict. Its words are from its own
//! side: "Download" means that we send.

pub mod files;
pub mod message;
mod nothing;
pub mod session;

use std::fmt;
use std::io::{self, Read};

pub use message::{Kind, Request, Verdict};
pub use session::Session;

use crate::path::{BackupPath, BadPath};
use crate::transport::plist_stream::FrameError;
use crate::transport::wire::is_cancelled;

/// What a password is changed with: the old one and the new one, where there is one. They are
/// UTF-8.
#[derive(Clone, Copy)]
pub struct Passwords<'a> {
    /// The present one; none while backups are not encrypted.
    pub old: Option<&'a str>,
    /// The one that is wanted; none to switch encryption off.
    pub new: Option<&'a str>,
}

/// What a phone is asked to do with a backup that it takes back. It is never asked to keep a copy
/// of what the computer has of it: that would be written into a backup that nobody may write to any
/// more.
#[derive(Clone, Copy)]
pub struct RestoreOptions<'a> {
    /// Take the system's own files too, such as messages, calls and accounts. The phone decides for
    /// itself where the backup is of another class of device.
    pub system_files: bool,
    /// Restart in the end. What was restored appears only after a restart.
    pub reboot: bool,
    /// Keep the phone's own settings.
    pub keep_settings: bool,
    /// Remove what the backup does not have.
    pub remove_others: bool,
    /// What opens an encrypted backup.
    pub password: Option<&'a str>,
}

/// The service's name.
pub const SERVICE: &str = "com.apple.mobilebackup2";

/// Why the dialog ended without a verdict.
#[derive(Debug)]
pub enum Error {
    /// The connection broke, or fell silent.
    Wire {
        /// What the phone was doing.
        doing: &'static str,
        /// What happened.
        cause: FrameError,
    },
    /// The phone named a path that no honest phone names. Nothing of it was touched.
    Hostile(BadPath),
    /// The phone sent what the protocol does not have.
    Strange {
        /// What the phone was doing.
        doing: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The phone hung up before its verdict, giving this reason.
    HungUp {
        /// Its own words, if any.
        reason: String,
    },
    /// No version of the protocol in common.
    NoCommonVersion,
    /// The wait was cancelled; the phone was told.
    Cancelled,
}

impl Error {
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

impl std::error::Error for Error {}

/// The little that a phone understands of what went wrong here.
///
/// Only a real "not found" may be [`Fault::NotFound`]: the phone believes that such a file is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// -1
    Generic,
    /// -1 too, as other computers answer what they do not know
    Unsupported,
    /// -6
    NotFound,
    /// -11
    Io,
    /// -15
    NoSpace,
}

impl Fault {
    /// DeviceLink's status, and the text that goes with it.
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

/// What kind of thing a folder holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    Regular,
    /// A folder.
    Directory,
    /// Neither.
    Unknown,
}

/// One name in a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file.
    pub size: u64,
    /// Its last change.
    pub modified: std::time::SystemTime,
}

/// A file that the phone could not read for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// Where the phone wanted it to be kept.
    pub path: BackupPath,
    /// Its path on the phone; never used as a path here.
    pub device_path: String,
    /// The phone's code for the cause.
    pub code: u8,
    /// The phone's words.
    pub text: String,
}

/// What the phone may ask of the computer that keeps its backup.
pub trait Host {
    /// The phone begins to ask for `request`; called before it is carried out.
    fn begins(&mut self, request: &Request);

    /// Bytes free for the backup.
    fn free_space(&mut self) -> Result<u64, Fault>;

    /// The phone lacks `amount` bytes; answers how many were freed.
    fn purge(&mut self, amount: u64) -> Result<u64, Fault>;

    /// Keeps a file that the phone sends. `body` ends where the file ends; an error of `body` means
    /// that the phone did not send the whole file, and then nothing may stay under its name.
    ///
    /// A host may finish the file later, but before [`Host::settle`] returns.
    fn receive(&mut self, path: &BackupPath, body: &mut dyn Read) -> Result<(), Fault>;

    /// Waits until everything received is in its place; answers what failed.
    fn settle(&mut self) -> Vec<(BackupPath, Fault)>;

    /// The phone could not read one of its files.
    fn device_fault(&mut self, fault: DeviceFault);

    /// Opens a file for the phone to read.
    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send + '_>, Fault>;

    /// Lists a folder; an absent one is empty.
    fn list(&mut self, path: &BackupPath) -> Result<Vec<Entry>, Fault>;

    /// Makes a folder; one that exists is fine.
    fn make_dir(&mut self, path: &BackupPath) -> Result<(), Fault>;

    /// Moves a file or folder, over what is there, making the folders above.
    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault>;

    /// Copies a file or a whole folder.
    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault>;

    /// Removes a file or a whole folder; an absent one is fine.
    fn remove(&mut self, path: &BackupPath) -> Result<(), Fault>;
}
