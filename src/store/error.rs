//! Errors of the store.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::missing_store::Absence;
use super::names::{FORMAT, MARK};
use crate::base::failure_kind::FailureKind;
use crate::base::udid::Udid;
use crate::store::permissions;

/// An error while reading or writing a store.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    Io {
        /// The operation: "write", "rename", ...
        doing: &'static str,
        /// The file or folder that the operation was for.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The folder cannot be a store.
    NotAStore {
        /// The folder that was refused.
        path: PathBuf,
        /// The reason, for people.
        why: String,
    },
    /// The store has a format that this version does not know.
    OtherFormat {
        /// The store's root folder.
        path: PathBuf,
        /// The number of its format.
        format: u64,
    },
    /// No store was found at this path.
    NoStore {
        /// The path that the user named.
        path: PathBuf,
        /// The reason why no store was found.
        cause: Absence,
    },
    /// Another run is working on this phone.
    Busy {
        /// The phone's UDID.
        udid: Udid,
        /// The lock file that the other run holds.
        lock: PathBuf,
    },
    /// Something else is in the place of one of our own folders.
    InTheWay {
        /// The path of our folder.
        path: PathBuf,
        /// The kind of thing that was found instead.
        what: &'static str,
    },
    /// The phone's current backup is a symbolic link, which is read but never written through.
    Linked {
        /// The link's own path.
        path: PathBuf,
        /// The folder that the link points to.
        to: PathBuf,
    },
    /// A folder or file belongs to another user and this user has no permission to use it.
    NotYours {
        /// The refused access: "write to" or "read".
        doing: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
        /// The numeric id of this user.
        user: u32,
    },
    /// Root tried to write into a store of another user.
    AsRoot {
        /// The store's root folder.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
    },
    /// A snapshot was pinned or tagged after the decision to drop it.
    Pinned {
        /// The path of the snapshot.
        path: PathBuf,
    },
    /// A part of something that was dropped could not be removed.
    Stuck {
        /// The file or folder, in the trash.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The backup is not where it was when its name was resolved.
    Moved {
        /// The place of the backup at that time.
        from: PathBuf,
        /// The place of the backup now, if it is still there.
        to: Option<PathBuf>,
    },
    /// The contents of one of our own files are invalid.
    Damaged {
        /// The path of that file.
        path: PathBuf,
        /// The problem, for people.
        why: String,
    },
}

impl Error {
    /// Creates the error for a backup that is not where it was when its name was resolved.
    pub(crate) fn moved(from: &Path, to: Option<&Path>) -> Error {
        Error::Moved {
            from: from.to_path_buf(),
            to: to.map(Path::to_path_buf),
        }
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        if self.is_full() {
            FailureKind::NoSpace
        } else {
            FailureKind::Failed
        }
    }

    /// Creates an [`Error::Io`] for `doing` on `path`.
    pub fn io(doing: &'static str, path: &Path, cause: io::Error) -> Error {
        Error::Io {
            doing,
            path: path.to_path_buf(),
            cause,
        }
    }

    /// Creates the error for a file of ours that could not be read. A file that is not UTF-8 counts
    /// as damaged.
    pub(super) fn unreadable(path: &Path, cause: io::Error) -> Error {
        match cause.kind() {
            io::ErrorKind::InvalidData => Error::Damaged {
                path: path.to_path_buf(),
                why: "it is not valid UTF-8".to_owned(),
            },
            _ => Error::io("read", path, cause),
        }
    }

    /// Returns true if a permission is missing, so that nothing is known about what is there.
    pub fn is_refused(&self) -> bool {
        matches!(self, Error::NotYours { .. })
            || matches!(self, Error::Io { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Returns true if the disk or the user's quota is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Io { cause, .. }
            if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, cause } => {
                write!(f, "cannot {doing} {}: {cause}", path.display())
            }
            Error::NotAStore { path, why } => write!(f, "{} is not a store: {why}", path.display()),
            Error::OtherFormat { path, format } => {
                let age = if *format < FORMAT {
                    "an older"
                } else {
                    "a newer"
                };
                write!(
                    f,
                    "the store {} has format {format}, made by {age} idev-backup; this version reads and writes format {FORMAT}",
                    path.display()
                )
            }
            Error::NoStore { path, cause } => {
                write!(f, "no store found at {}: {cause}", path.display())
            }
            Error::Busy { udid, lock } => write!(
                f,
                "another idev-backup is working on phone {udid} in this store (it holds {})",
                lock.display()
            ),
            Error::InTheWay { path, what } => write!(
                f,
                "{} is {what} in the place of a folder of idev-backup, so nothing was read or \
                 written there",
                path.display()
            ),
            Error::Linked { path, to } => write!(
                f,
                "{} is a symbolic link to {}: a new backup would replace the link and be written \
                 to this disk",
                path.display(),
                to.display()
            ),
            Error::NotYours {
                doing,
                path,
                owner,
                user,
            } => write!(
                f,
                "cannot {doing} {}: it belongs to {}, and this user is {}. To become its owner: \
                 `sudo chown -R {user} {}`",
                path.display(),
                permissions::user(*owner),
                permissions::user(*user),
                permissions::quoted(path)
            ),
            Error::AsRoot { path, owner } => write!(
                f,
                "{} belongs to {}, and this user is root: its owner could not use the files that \
                 root writes there",
                path.display(),
                permissions::user(*owner)
            ),
            Error::Pinned { path } => write!(f, "{} is pinned, so it is kept", path.display()),
            Error::Stuck { path, cause } => write!(
                f,
                "the dropped backup cannot be removed completely: {}: {cause}",
                path.display()
            ),
            Error::Moved { from, to: Some(to) } => write!(
                f,
                "another run has replaced {} with a newer backup; the requested one is now {}",
                from.display(),
                to.display()
            ),
            Error::Moved { from, to: None } => write!(
                f,
                "{} is not the requested backup any more: another run has removed or replaced it",
                from.display()
            ),
            Error::Damaged { path, why } if path.ends_with(MARK) => {
                write!(f, "{} is damaged: {why}", path.display())
            }
            Error::Damaged { path, why } => write!(f, "{} cannot be used: {why}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { cause, .. } | Error::Stuck { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
