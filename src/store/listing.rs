//! The backups in a store.

use super::error::Error;
use super::root::{Store, no_store};
use super::snapshot::{self, Snapshot};
use crate::base::udid::Udid;

impl Store {
    /// Returns an error if the folder is not marked as a store and contains no backup of another
    /// program either.
    pub fn holds_something(&self) -> Result<(), Error> {
        if self.is_marked() || !self.snapshots()?.is_empty() {
            return Ok(());
        }
        Err(no_store(self.root()))
    }

    /// Returns the current backup of a phone, if there is one.
    pub fn current(&self, udid: &Udid) -> Result<Option<Snapshot>, Error> {
        let path = self.current_path(udid);
        if path.is_dir() {
            Snapshot::open(self, udid.clone(), path, None).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns every backup in the store, sorted by phone and then newest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        snapshot::all(self)
    }

    /// Returns the snapshots of one phone: the current backup, then the others, newest first.
    pub fn snapshots_of(&self, udid: &Udid) -> Result<Vec<Snapshot>, Error> {
        snapshot::of(self, udid)
    }

    /// Returns the phones that have snapshots.
    pub fn phones(&self) -> Result<Vec<Udid>, Error> {
        let mut phones: Vec<Udid> = self.snapshots()?.iter().map(|s| s.udid().clone()).collect();
        phones.dedup();
        Ok(phones)
    }
}
