//! Errors of the store, each with a hint about what to do next.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::missing_store::Absence;
use super::names::{FORMAT, MARK, NOTES};
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
                why: "it is no text".to_owned(),
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

    /// Returns advice on what to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            e if e.is_full() => Some("free space on that disk, or choose another with --store"),
            Error::Io { cause, doing, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied if cfg!(target_os = "macos") => Some(
                    "give the terminal Full Disk Access (System Settings > Privacy & Security), or choose another \
                     folder with --store",
                ),
                io::ErrorKind::PermissionDenied if ["read", "list", "look at"].contains(doing) => {
                    Some(
                        "run this as the user who made the backup, or have its owner let you read it",
                    )
                }
                io::ErrorKind::PermissionDenied => {
                    Some("choose a folder that you may write, with --store")
                }
                io::ErrorKind::ReadOnlyFilesystem => Some(
                    "the disk is read-only: mount it for writing, or choose another with --store",
                ),
                io::ErrorKind::NotFound => {
                    Some("is the disk connected? Otherwise choose another with --store")
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    Some("something is in the way there: choose another folder with --store")
                }
                io::ErrorKind::FileTooLarge => Some(
                    "the disk cannot hold files over 4 GB (FAT32?): format it as exFAT, APFS, NTFS or ext4, or choose \
                     another with --store",
                ),
                _ => Some("check the disk and how it is connected, or choose another with --store"),
            },
            Error::Busy { .. } => {
                Some("wait for the other run to end, or stop it; a run that died holds no lock")
            }
            Error::InTheWay { .. } => Some(
                "look what put it there, and remove it; a link itself is removed, and never what it leads to",
            ),
            Error::Linked { .. } => Some(
                "back up into the folder that holds the one it leads to, with --store; or put that folder here in the place of \
                 the link",
            ),
            Error::NotYours { .. } => Some(
                "the command above gives it to you; or run idev-backup as the user that it belongs to",
            ),
            Error::AsRoot { .. } => {
                Some("run this without sudo, as the user that the store belongs to")
            }
            Error::Pinned { .. } => {
                Some("take the pin or the name away first: `idev-backup unpin`, `tag --remove`")
            }
            Error::Stuck { .. } => Some(
                "it is in nobody's way, and every run tries again. Close programs that have it open; an immutable file needs \
                 `sudo chattr -i` (Linux) or `chflags nouchg` (macOS)",
            ),
            Error::NoStore { cause, .. } => Some(match cause {
                Absence::NotMounted(_) | Absence::Empty(_) | Absence::DeadLink { .. } => {
                    "connect and mount the disk, and run the same command again. If a new store is to be made there, say so with \
                     `idev-backup create --new-store`"
                }
                Absence::Missing(_) | Absence::NoMark => {
                    "check the path, and whether its disk is connected. If a new store is to be made there, say so with \
                     `idev-backup create --new-store`"
                }
            }),
            Error::NotAStore { .. } => Some(
                "choose an empty folder, or one that idev-backup made, with --store; what is there stays as it is",
            ),
            Error::OtherFormat { format, .. } if *format < FORMAT => Some(
                "choose a new folder with --store; each backup of the old store is a plain folder that `idev-backup adopt` takes into \
                 the new one",
            ),
            Error::OtherFormat { .. } => {
                Some("use the version of idev-backup that made it, or a later one")
            }
            Error::Moved { .. } => {
                Some("`idev-backup list` shows what is there now; then run the command again")
            }
            Error::Damaged { path, .. } if path.ends_with(NOTES) => Some(
                "look into that file; without it all pins, names and dates of checks are forgotten",
            ),
            Error::Damaged { path, .. } if path.ends_with(MARK) => Some(
                "remove that one file: `idev-backup create --new-store` makes it anew, and nothing else is touched",
            ),
            Error::Damaged { .. } => Some(
                "check the disk; `idev-backup create --full` makes a backup that rests on nothing that is there",
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, cause } => {
                write!(f, "cannot {doing} {}: {cause}", path.display())
            }
            Error::NotAStore { path, why } => write!(f, "{} is no store: {why}", path.display()),
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
                write!(f, "there is no store at {}: {cause}", path.display())
            }
            Error::Busy { udid, lock } => write!(
                f,
                "another idev-backup is working on phone {udid} in this store (it holds {})",
                lock.display()
            ),
            Error::InTheWay { path, what } => write!(
                f,
                "{} is {what}, where idev-backup keeps a folder of its own: nothing was read or written there",
                path.display()
            ),
            Error::Linked { path, to } => write!(
                f,
                "{} is a symbolic link to {}: a new backup would take the place of the link, on this disk",
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
                "cannot {doing} {}: it belongs to {}, and this is {}. `sudo chown -R {user} {}` gives it to this user",
                path.display(),
                permissions::user(*owner),
                permissions::user(*user),
                permissions::quoted(path)
            ),
            Error::AsRoot { path, owner } => write!(
                f,
                "{} belongs to {}, and this is root: what root writes there its owner could not use",
                path.display(),
                permissions::user(*owner)
            ),
            Error::Pinned { path } => write!(f, "{} is pinned, and stays", path.display()),
            Error::Stuck { path, cause } => write!(
                f,
                "what was dropped cannot be removed whole: {}: {cause}",
                path.display()
            ),
            Error::Moved { from, to: Some(to) } => write!(
                f,
                "another run has put a newer backup in the place of {} since; the one that was meant is now {}",
                from.display(),
                to.display()
            ),
            Error::Moved { from, to: None } => write!(
                f,
                "{} is not the backup that was meant any more: another run has removed or replaced it",
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
