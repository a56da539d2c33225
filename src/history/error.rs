//! The error type of the commands that list, keep, drop and take in backups.

use std::path::PathBuf;

use crate::backup_format::plists::Unreadable;
use crate::base::failure_kind::FailureKind;
use crate::{reader, store, verify};

/// The reasons that the history of a phone cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A backup cannot be checked.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// The name of a backup is empty.
    #[error("the name of the backup is empty")]
    EmptyName,
    /// The store holds no backups.
    #[error("the store holds no backups yet")]
    NoBackups,
    /// No backup has the name.
    #[error("{name:?} is neither a folder with a backup nor a backup {}", within(.phone.as_deref()))]
    NotFound {
        /// The name that was given.
        name: String,
        /// The phone that was given, whose backups alone were considered.
        phone: Option<String>,
        /// True if the name selects files of a backup rather than a backup.
        is_of_files: bool,
    },
    /// A folder was given as the backup, and a phone too.
    #[error("{} is a folder, and the backup of a phone ({phone:?}) was asked for", .folder.display())]
    FolderOfPhone {
        /// The folder that was given.
        folder: PathBuf,
        /// The phone that was given.
        phone: String,
    },
    /// No name was given, and the store holds backups of several phones.
    #[error("the store holds backups of several phones: {}", .phones.join(", "))]
    WhichPhone {
        /// The names of the first ones.
        phones: Vec<String>,
    },
    /// The name fits several backups.
    #[error("{name:?} matches {count} backups: {}", .candidates.join(", "))]
    Ambiguous {
        /// The name that was given.
        name: String,
        /// The number of backups that it fits.
        count: usize,
        /// Names of the first of them; each name fits one backup alone.
        candidates: Vec<String>,
    },
    /// The store holds no backup of the phone.
    #[error("the store holds no backup of a phone {0}")]
    NoPhone(String),
    /// The text fits several phones of the store.
    #[error("{text:?} matches {} phones of the store: {}", .phones.len(), .phones.join(", "))]
    AmbiguousPhone {
        /// The text that was given.
        text: String,
        /// The phones, each with its name.
        phones: Vec<String>,
    },
    /// The folder is in no store.
    #[error("{} is not in a store", .0.display())]
    NotInStore(PathBuf),
    /// The folder belongs to other programs and was never made a store.
    #[error("{} is a folder of other programs and not a store yet", .0.display())]
    NotOurs(PathBuf),
    /// The snapshot is pinned.
    #[error("{} is pinned", .0.display())]
    Pinned(PathBuf),
    /// The text cannot be the name of a snapshot.
    #[error("{0:?} cannot be a snapshot's name")]
    BadTag(String),
    /// The snapshot does not have the name that was to be removed.
    #[error("{} does not have the name {tag:?}", .path.display())]
    NoTag {
        /// The snapshot's folder.
        path: PathBuf,
        /// The name that was given.
        tag: String,
    },
    /// The backup that was to be taken in is damaged.
    #[error("{} is damaged, so it was not adopted: {}", .path.display(), .report.first_damage())]
    SourceDamaged {
        /// The backup's folder.
        path: PathBuf,
        /// The report of the check.
        report: Box<verify::Report>,
    },
    /// The store has the backup already, and that copy is known to be damaged.
    #[error("it is already in this store, as {}, which a check found damaged", .0.display())]
    PresentDamaged(PathBuf),
    /// A property list of the backup that was to be taken in cannot be read.
    #[error("cannot use {}: {why}", .path.display())]
    Metadata {
        /// The file that cannot be read.
        path: PathBuf,
        /// The reason it cannot be read.
        why: Unreadable,
    },
    /// The backup does not say which phone it belongs to.
    #[error("{} does not name the phone that it was made from", .0.display())]
    UnknownPhone(PathBuf),
    /// The copy of a backup is incomplete or damaged and was not put in place.
    #[error("the copy is damaged, so it was discarded: {}", .0.first_damage())]
    CopyDamaged(Box<verify::Report>),
}

/// Returns the place in which a backup was looked for.
fn within(phone: Option<&str>) -> String {
    match phone {
        Some(phone) => format!("of {phone:?} in the store"),
        None => "in the store".to_owned(),
    }
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Store(e) => e.kind(),
            Error::Verify(e) => e.kind(),
            _ => FailureKind::Failed,
        }
    }
}

impl From<reader::Error> for Error {
    fn from(e: reader::Error) -> Error {
        Error::Verify(e.into())
    }
}
