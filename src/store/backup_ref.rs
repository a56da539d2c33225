//! Keeps track of the backup that a command refers to. A run that seals a new backup gives it the
//! path of the previous one, so commands identify a backup by its id rather than by its path.

use std::path::Path;

use super::notes::Note;
use super::{Error, Id, Lock, Snapshot, Store};
use crate::base::udid::Udid;

impl Store {
    /// Finds the backup with this id: at its previous path `stood` if it is still there, else at
    /// its new one. Returns `None` if it is gone. The result is valid for as long as the lock is
    /// held.
    pub(crate) fn again(
        &self,
        udid: &Udid,
        id: &Id,
        stood: &Path,
        _lock: &Lock,
    ) -> Result<Option<Snapshot>, Error> {
        self.look_again(udid, id, stood)
    }

    /// Finds the backup with this id without holding the lock. Another run may move it at any
    /// moment.
    pub(crate) fn look_again(
        &self,
        udid: &Udid,
        id: &Id,
        stood: &Path,
    ) -> Result<Option<Snapshot>, Error> {
        let mut all = self.snapshots_of(udid)?;
        // A backup may have been copied by hand, giving two with this id. The one at `stood` comes
        // first.
        all.sort_by_key(|other| other.path() != stood);
        Ok(all.into_iter().find(|other| other.id() == id))
    }

    /// Changes the notes about the backup that was seen, and returns the new ones. Returns `None`
    /// if that backup is gone. Waits while another process is changing the notes, but not for a
    /// running backup.
    pub(crate) fn note_again(
        &self,
        seen: &Snapshot,
        change: impl FnOnce(&mut Note),
    ) -> Result<Option<Note>, Error> {
        // A run that seals a backup moves other backups during the search. The next search finds
        // them in their new places.
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
