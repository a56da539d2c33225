//! The error type of exports.

use std::io;
use std::path::PathBuf;

use crate::base::failure_kind::FailureKind;
use crate::{content, reader};

/// The reasons that an export fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backup cannot be read.
    #[error(transparent)]
    Read(#[from] reader::Error),
    /// The target folder, or something in it, cannot be written.
    #[error("cannot write {}: {cause}", .path.display())]
    Target {
        /// The target folder or the item in it.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The target folder holds files already, and none of them is from an earlier run.
    #[error("{} is not empty and no earlier run filled it, so nothing was written", .0.display())]
    NotEmpty(PathBuf),
    /// The target folder holds an export of another backup, or one with other options.
    #[error("{} holds the export of another backup, or one with other options", .0.display())]
    OtherExport(PathBuf),
    /// The target folder contains the backup, or the other way round.
    #[error("{} and the backup {} are inside each other", .target.display(), .backup.display())]
    AroundBackup {
        /// The target folder.
        target: PathBuf,
        /// The backup's folder.
        backup: PathBuf,
    },
    /// The target folder is inside a store.
    #[error("{} is the store {} or a folder inside of it", .target.display(), .store.display())]
    InStore {
        /// The target folder.
        target: PathBuf,
        /// The store's folder.
        store: PathBuf,
    },
    /// The target folder is inside a backup, or a folder in which a store keeps its own files.
    #[error("{} is a backup, a folder of a store, or inside of one", .0.display())]
    InBackup(PathBuf),
    /// No file of the backup matches the patterns.
    #[error("no file matches these patterns, so nothing was written")]
    NothingMatches,
    /// The content cannot be read.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// No conversation fits the wish.
    #[error("no conversation fits {0:?}, so nothing was written")]
    NoChat(String),
    /// Links to the files of an encrypted backup were asked for.
    #[error("the files of this backup are encrypted, so links to them would be of no use")]
    LinksToEncrypted,
    /// The work was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Read(e) => e.kind(),
            Error::Content(e) => e.kind(),
            Error::Target { cause, .. } => FailureKind::of_disk(cause),
            Error::Interrupted => FailureKind::Interrupted,
            _ => FailureKind::Failed,
        }
    }
}
