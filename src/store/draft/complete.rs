//! A draft that is complete: nothing will be added to it.

use std::path::{Path, PathBuf};

use super::early_flush::EarlyFlush;
use crate::base::udid::Udid;
use crate::store::hash_sources::Listing;
use crate::store::lock::Lock;
use crate::store::root::Store;
use crate::store::tally::Tally;

/// A draft that is complete: nothing will be added to it.
pub struct Complete {
    pub(super) store: Store,
    pub(super) udid: Udid,
    pub(super) backup: PathBuf,
    pub(super) sums: PathBuf,
    pub(super) tally: Tally,
    pub(super) listing: Listing,
    pub(super) has_lost_list: bool,
    pub(super) flush: EarlyFlush,
    pub(super) lock: Lock,
}

impl Complete {
    /// Returns the folder with the backup's files.
    pub(crate) fn backup(&self) -> &Path {
        &self.backup
    }

    /// Returns the path of its SHA256SUMS.
    pub(crate) fn sums(&self) -> &Path {
        &self.sums
    }

    /// Returns true if the previous backup's list of hashes was damaged while this draft was made,
    /// so that the files cloned from it had to be read again.
    pub(crate) fn has_lost_list(&self) -> bool {
        self.has_lost_list
    }

    /// Returns how many hashes came from which source.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }
}
