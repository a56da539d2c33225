//! The backup that a command means, from the moment at which its name was resolved. A run that
//! seals a new backup puts it under the name of the one before, so a path is no name for a backup.

use std::path::Path;

use super::notes::Note;
use super::{Error, Id, Lock, Snapshot, Store};
use crate::udid::Udid;

impl Store {
    /// Finds the backup with this id: where it stood, else where it stands now. `None` if it is
    /// gone. The answer holds for as long as the lock is held.
    pub fn again(
        &self,
        udid: &Udid,
        id: &Id,
        stood: &Path,
        _lock: &Lock,
    ) -> Result<Option<Snapshot>, Error> {
        self.look_again(udid, id, stood)
    }

    /// The same without the lock: another run may move it at any moment.
    pub fn look_again(
        &self,
        udid: &Udid,
        id: &Id,
        stood: &Path,
    ) -> Result<Option<Snapshot>, Error> {
        let mut all = self.snapshots_of(udid)?;
        // Somebody may have copied a backup by hand: then the one that was named comes first.
        all.sort_by_key(|other| other.path() != stood);
        Ok(all.into_iter().find(|other| other.id() == id))
    }

    /// Changes what is noted of the backup with this id, and of no other; `None` if it is gone.
    /// Waits for whoever writes there at the moment, and not for a backup that runs.
    pub fn note_again(
        &self,
        seen: &Snapshot,
        change: impl FnOnce(&mut Note),
    ) -> Result<Option<Note>, Error> {
        // A run that seals a backup moves others, which are found in their new places at the next
        // look.
        const LOOKS_MAX: usize = 5;
        let (udid, id) = (seen.udid(), seen.id());
        let held = self.hold_notes(udid)?;
        for _ in 0..LOOKS_MAX {
            if self.look_again(udid, id, seen.path())?.is_some() {
                return self.note_id(&held, udid, id, change).map(Some);
            }
        }
        Ok(None)
    }
}
