//! Problems that do not stop the work on a repository.

use super::Error;

/// A problem that a push or a pull survives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A backup is known to be damaged.
    #[error("{name} was not pushed: a check found it damaged")]
    DamagedBackup {
        /// The backup, in words.
        name: String,
    },
    /// A backup could not be pushed, and the others could.
    #[error("{name} was not pushed: {cause}")]
    NotPushed {
        /// The backup, in words.
        name: String,
        /// The reason for that.
        #[source]
        cause: Error,
    },
    /// A snapshot that lacks files could not be removed again.
    #[error(
        "snapshot {snapshot} lacks files of the backup, and it could not be removed from the \
        repository: {cause}"
    )]
    IncompleteStays {
        /// The id of the snapshot.
        snapshot: String,
        /// The reason for that.
        #[source]
        cause: Error,
    },
    /// The backups were pushed, and the repository could not be checked afterwards.
    #[error("the repository was not checked after the push: {0}")]
    NotChecked(#[source] Error),
    /// The store could not note when it was pushed.
    #[error("the store could not note this push: {0}")]
    NotNoted(#[source] crate::store::Error),
}
