//! The error type of checks.

use std::path::PathBuf;

use crate::base::failure_kind::FailureKind;
use crate::{reader, store};

/// The reasons that a check or a repair cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backup cannot be opened.
    #[error(transparent)]
    Read(#[from] reader::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The backup is in no store, so no other backup can help to repair it.
    #[error("{} is not in a store, so it cannot be repaired from snapshots", .0.display())]
    NotInStore(PathBuf),
    /// The backup has no list of hashes of ours, so the right bytes are unknown.
    #[error("{} has no list of hashes: another program made or changed it, so the correct bytes \
        are unknown", .0.display())]
    NoHashes(PathBuf),
    /// The check was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Read(e) => e.kind(),
            Error::Store(e) => e.kind(),
            Error::Interrupted => FailureKind::Interrupted,
            _ => FailureKind::Failed,
        }
    }
}
