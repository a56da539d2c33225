//! The problems that do not make a restore fail.

use crate::base::units::{count, counted};

/// A problem that a restore survives.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A damaged backup is restored, as requested.
    #[error("the backup is restored although it is damaged, as requested: {files}")]
    Damaged {
        /// The damaged files.
        files: String,
    },
    /// A backup that an earlier check found damaged is restored, as requested.
    #[error("{0}")]
    KnownDamage(String),
    /// An incomplete backup is restored, as requested.
    #[error("the backup is restored although it is incomplete, as requested: {why}")]
    Incomplete {
        /// The part that is missing.
        why: String,
    },
    /// The phone asked for files that it did not get, and reported success.
    #[error("the phone reported success, but {files} of the files it asked for {}: {first}",
        if *.is_absent { "could not be found in the backup" } else { "could not be read on this computer" })]
    NotSent {
        /// The number of these files.
        files: usize,
        /// True if they do not exist, false if they could not be read.
        is_absent: bool,
        /// The first of them.
        first: String,
    },
    /// The phone asked for fewer files than the backup's list names, and reported success.
    #[error(
        "the phone reported success, but asked for only {} of the {} that the backup's list names",
        count(*.sent), counted(*.listed, "file")
    )]
    FewerAsked {
        /// The number of files that it asked for.
        sent: u64,
        /// The number of files in the list.
        listed: u64,
    },
    /// The phone did not get the list of applications.
    #[error("the list of applications could not be sent to the phone: {why}")]
    NoApps {
        /// The reason.
        why: String,
    },
    /// The phone was not seen again after its restart.
    #[error("the phone confirmed the restore, but did not reappear after its restart")]
    NotBack,
}
