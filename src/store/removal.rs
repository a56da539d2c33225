//! Removes snapshots: a single rename takes a snapshot out of sight, then its files are removed.

use super::trash::throw_away;
use super::{Error, Lock, Snapshot, Store, snapshot};
use crate::base::udid::Udid;
use crate::store::trash;

impl Store {
    /// Removes the remains of snapshots and drafts that were dropped. The error names the first
    /// file that could not be removed. It stays in the trash, and the next run tries again.
    pub(crate) fn sweep(&self, udid: &Udid, _lock: &Lock) -> Result<(), Error> {
        trash::sweep(&self.own_of(udid))
    }

    /// Removes a snapshot and our own files that accompany it. `done` and `of` count the snapshots
    /// of the whole removal, for `step`, which is called after each folder. After a crash the
    /// snapshot is either complete or no longer listed. A snapshot that has been pinned meanwhile
    /// stays, and a rule never drops a tagged one.
    pub fn remove(
        &self,
        _lock: &Lock,
        old: &Snapshot,
        by: By,
        (done, of): (usize, usize),
        step: &mut dyn FnMut(Removal),
    ) -> Result<(), Error> {
        let mut folders = 0;
        let step = &mut || {
            folders += 1;
            step(Removal { done, of, folders });
        };
        let own = self.own_of(old.udid());
        let gone = {
            // The lock on the notes prevents a pin between this check and the move.
            let _held = self.hold_notes(old.udid())?;
            let note = self.notes(old.udid())?.of(old);
            if note.pinned || (by == By::Rule && !note.tags.is_empty()) {
                let path = old.path().to_path_buf();
                return Err(Error::Pinned { path });
            }
            trash::move_away(&own, old.path())?
        };
        if let Some(gone) = gone {
            gone.remove(step);
        }
        let left = snapshot::of(self, old.udid())?;
        let is_shared = left.iter().any(|other| other.beside() == old.beside());
        if let Some(beside) = old.beside().filter(|_| !is_shared) {
            throw_away(&own, beside, step)?;
        }
        if left.iter().all(|other| other.id() != old.id()) {
            // Leftover notes of a removed snapshot do no harm.
            drop(self.forget(old.udid(), old.id()));
        }
        Ok(())
    }
}

/// The reason for dropping a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person named the snapshot.
    Name,
    /// No retention rule keeps the snapshot.
    Rule,
}

/// The progress of the removal of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// The number of snapshots removed so far.
    pub done: usize,
    /// The number of snapshots to remove.
    pub of: usize,
    /// The number of folders removed so far from the snapshot being removed.
    pub folders: u32,
}

impl Removal {
    /// Returns the progress from 0 to 100. A backup has 256 folders of files and a few others, so
    /// 260 folders count as one snapshot.
    pub(crate) fn percent(self) -> f64 {
        let part = (f64::from(self.folders) / 260.0).min(1.0);
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        (count(self.done) + part) / count(self.of.max(1)) * 100.0
    }
}
