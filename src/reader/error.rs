//! The error type of the reader.

use std::io;
use std::path::PathBuf;

use super::source::Broken;
use crate::backup_format::plists::Unreadable;
use crate::base::failure_kind::FailureKind;
use crate::store;

/// The reasons that a backup, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder does not hold a backup.
    #[error("{} is not a backup of an iPhone or iPad", .0.display())]
    NoBackup(PathBuf),
    /// The folder does not exist.
    #[error("the folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// A file that describes the backup (its list or its keys, for example) cannot be read.
    #[error("cannot use {}: {why}", .path.display())]
    Metadata {
        /// The file that cannot be read.
        path: PathBuf,
        /// The reason it cannot be read.
        why: Unreadable,
    },
    /// A single file of the backup cannot be read.
    #[error("cannot read {name}: {why}")]
    File {
        /// The file's domain and path.
        name: String,
        /// The reason it cannot be read.
        why: String,
    },
    /// The item is a folder, and a file was asked for.
    #[error("cannot read {0}: it is a folder")]
    IsFolder(String),
    /// The backup has no file of this name or file id.
    #[error("the backup has no {0}")]
    NoFile(String),
    /// The backup has no such domain.
    #[error("the backup has no domain {0:?}")]
    NoDomain(String),
    /// The domain has nothing at the path.
    #[error("the backup has nothing at {path:?} in {domain}")]
    NoPath {
        /// The domain of the file.
        domain: String,
        /// The path in the domain.
        path: String,
    },
    /// A place in the backup begins with a slash and so names no domain.
    #[error("the domain before \"/{0}\" is missing")]
    NoDomainNamed(String),
    /// A pattern for names cannot be parsed.
    #[error("the pattern cannot be read: {0}")]
    Pattern(#[source] globset::Error),
    /// The tree is deeper than can be drawn.
    #[error("there are too many entries for a tree")]
    TreeTooLarge,
    /// Another run replaced the backup while it was read.
    #[error("a newer backup replaced {} while it was read", .0.display())]
    Replaced(PathBuf),
    /// The backup disappeared while it was read.
    #[error("{} was removed while it was read, or can no longer be read", .0.display())]
    Removed(PathBuf),
    /// The password does not open the backup.
    #[error("the password does not open {of}")]
    WrongPassword {
        /// The backup that the password does not open.
        of: String,
    },
    /// A password is needed, and none was given.
    #[error("{why}")]
    NoPassword {
        /// The reason, as a whole sentence.
        why: String,
    },
    /// The source of passwords that the caller provided failed.
    #[error("{0}")]
    PasswordSource(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The place of the backup's files cannot be read any more.
    #[error(transparent)]
    Source(#[from] Broken),
    /// The work was cancelled.
    #[error("interrupted")]
    Interrupted,
    /// The folder could not be accessed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns the error for a failure to read a file.
    pub(crate) fn of_read(name: String, error: io::Error) -> Error {
        match error.downcast::<Broken>() {
            Ok(broken) => broken.into(),
            Err(error) => Error::File {
                name,
                why: error.to_string(),
            },
        }
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::WrongPassword { .. } | Error::NoPassword { .. } => FailureKind::WrongPassword,
            Error::Interrupted => FailureKind::Interrupted,
            Error::Source(broken) => broken.kind,
            Error::Store(e) => e.kind(),
            _ => FailureKind::Failed,
        }
    }
}
