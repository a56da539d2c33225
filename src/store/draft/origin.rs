//! The way in which a draft was created.

use crate::store::disk::CloneKind;
use crate::store::layout::LeftOut;

/// The way in which a draft was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The draft started empty.
    Fresh,
    /// The draft was cloned from the current backup.
    Cloned {
        /// The method by which files were cloned.
        kind: CloneKind,
        /// True if the current backup was as we had sealed it, so that its files could be shared.
        ours: bool,
        /// The number of files in the clone.
        files: u64,
        /// Things that are not part of a backup and were left out: links, files of other programs.
        left_out: LeftOut,
    },
    /// The draft continues a run that was interrupted.
    Resumed {
        /// The number of files that were dropped because they could not be proved complete.
        dropped: u64,
    },
}
