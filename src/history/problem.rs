//! The problems that do not make a change of the history fail.

use crate::base::udid::Udid;
use crate::store;

/// A problem that a change of the history survives.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The notes of a phone cannot be read, so the rules drop none of its snapshots.
    #[error(
        "no snapshots of phone {udid} are dropped, because it is unknown which are pinned: {cause}"
    )]
    PinsUnknown {
        /// The phone's UDID.
        udid: Udid,
        /// The error of the store.
        #[source]
        cause: store::Error,
    },
    /// A snapshot could not be removed.
    #[error("{name} stays: {cause}")]
    Stays {
        /// The name of the snapshot.
        name: String,
        /// The error of the store.
        #[source]
        cause: store::Error,
    },
    /// A damaged backup was adopted, as requested.
    #[error("it was adopted as it is, and {damage} of its files are damaged")]
    AdoptedDamaged {
        /// The number of damaged files.
        damage: u64,
        /// The folder of the backup in the store.
        path: String,
    },
    /// A backup was copied without hashes to compare it with.
    #[error(
        "the list of hashes of this backup is damaged: files without a usable hash were copied \
         without verification"
    )]
    Unproven,
    /// A file was copied without a usable hash.
    #[error("{0}")]
    UnprovenFile(String),
    /// Files of the import are left in the store.
    #[error("the backup is complete, but cleaning up afterwards failed: {0}")]
    NotTidied(#[source] store::Error),
}
