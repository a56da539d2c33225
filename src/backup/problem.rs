//! The problems that do not make a backup run fail.

use std::path::PathBuf;

use crate::{device, store};

/// A problem that a backup run survives.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A metadata file of the current backup, or a file of the store beside it, is damaged.
    #[error("{} is damaged: {why}", .path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// The damage.
        why: String,
    },
    /// The list of hashes of the current backup is damaged.
    #[error(
        "the list of hashes of the current backup is damaged, so none of its files are reused: \
         the phone sends everything again, and that backup stays as a snapshot as long as the \
         retention rules keep it"
    )]
    DamagedList,
    /// A damaged metadata file has no copy to restore it from.
    #[error(
        "that file has no undamaged copy, so no files are reused: the phone sends everything again"
    )]
    NoCopy,
    /// The list of hashes was damaged while the backup ran.
    #[error(
        "the list of hashes of the previous backup was damaged during this run: the hashes of \
         reused files were computed from their current contents on the disk, and later checks \
         compare with those"
    )]
    LostList,
    /// The backup is encrypted although the phone says that it does not encrypt, or the reverse.
    #[error(
        "the phone reports that it {} its backups, but this one {}",
        if *.is_encrypted { "does not encrypt" } else { "encrypts" },
        if *.is_encrypted { "is encrypted" } else { "is not encrypted" }
    )]
    OtherEncryption {
        /// True if the backup is encrypted.
        is_encrypted: bool,
    },
    /// A file is shorter than the phone's list says.
    #[error("{file}: {detail}")]
    ShortFile {
        /// The name of the file.
        file: String,
        /// The two sizes, in words.
        detail: String,
    },
    /// The backup is encrypted, and its password differs from the given one.
    #[error(
        "the given password does not open this backup: the backup is complete, but encrypted \
         with another password"
    )]
    OtherPassword,
    /// The given password could not be used to open the backup.
    #[error("the given password does not open this backup: {why}")]
    NotOpened {
        /// The reason.
        why: String,
    },
    /// The disk of the store cannot hold large files.
    #[error("this disk cannot hold files over 4 GB, such as long videos or large apps")]
    NoLargeFiles,
    /// A snapshot that should make space for the backup could not be removed.
    #[error("a snapshot could not be removed to free disk space: {0}")]
    NotRemoved(#[source] store::Error),
    /// The connection ended before the phone gave its verdict.
    #[error(
        "the connection ended before the phone confirmed the backup; the check of the received \
         files decides"
    )]
    Unconfirmed,
    /// The phone did not list its applications.
    #[error("this backup lacks the list of applications: {0}")]
    NoApps(#[source] device::Error),
    /// The phone did not send its media settings.
    #[error("this backup lacks some media settings: {0}")]
    NoMediaSettings(#[source] device::Error),
    /// The phone does not promise to stay awake.
    #[error("the phone may go to sleep and end the backup: {0}")]
    MaySleep(#[source] device::Error),
    /// Files of the run are left in the store.
    #[error("the backup is complete, but cleaning up afterwards failed: {0}")]
    NotTidied(#[source] store::Error),
}
