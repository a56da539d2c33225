//! The backup that a command means, from the moment at which its name was resolved. A run that seals
//! a new backup puts it under the name of the one before, so a path is no name for a backup.

use super::notes::Note;
use super::sums::{self, Hash};
use super::{Error, Lock, Snapshot, Store};
use crate::udid::Udid;

/// The identity of a backup, wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    udid: Udid,
    id: Id,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Id {
    /// The folder beside it, which no other backup has.
    Beside(String),
    /// SHA-256 of the Status.plist of a backup that another program made.
    Status(Hash),
    /// The folder of one without a Status.plist.
    Folder(String),
}

impl Snapshot {
    /// Returns the identity of this backup as it stands on the disk now.
    pub fn meant(&self) -> Meant {
        let id = match self.beside().and_then(|dir| dir.file_name()) {
            Some(stamp) => Id::Beside(stamp.to_string_lossy().into_owned()),
            None => match sums::hash_file(&self.path().join("Status.plist")) {
                Ok((hash, length)) if length > 0 => Id::Status(hash),
                _ => {
                    let name = self.path().file_name().unwrap_or_default();
                    Id::Folder(name.to_string_lossy().into_owned())
                }
            },
        };
        let udid = self.udid().clone();
        Meant { udid, id }
    }
}

impl Store {
    /// Finds the backup that was meant by `seen`: where it stood, else where it stands now. `None` if it is gone. The
    /// answer holds for as long as the lock is held.
    pub fn again(
        &self,
        seen: &Snapshot,
        meant: &Meant,
        _lock: &Lock,
    ) -> Result<Option<Snapshot>, Error> {
        self.look_again(seen, meant)
    }

    /// The same without the lock: another run may move it at any moment.
    pub fn look_again(&self, seen: &Snapshot, meant: &Meant) -> Result<Option<Snapshot>, Error> {
        let mut all = self.snapshots_of(&meant.udid)?;
        // Somebody may have copied a backup by hand: then the one that was named comes first.
        all.sort_by_key(|other| other.path() != seen.path());
        Ok(all.into_iter().find(|other| other.meant() == *meant))
    }

    /// Changes what is noted of the backup that was meant, and of no other; `None` if it is gone. Waits for whoever writes
    /// there at the moment, and not for a backup that runs.
    pub fn note_meant(
        &self,
        seen: &Snapshot,
        meant: &Meant,
        change: impl FnOnce(&mut Note),
    ) -> Result<Option<Note>, Error> {
        // A run that seals a backup moves others, which are found in their new places at the next look.
        const LOOKS_MAX: usize = 5;
        let held = self.hold_notes(&meant.udid)?;
        for _ in 0..LOOKS_MAX {
            let Some(there) = self.look_again(seen, meant)? else {
                continue;
            };
            let key = Store::note_key(&there);
            // The key is of what stood there before this look.
            if there.meant() == *meant {
                return self.note_by(&held, &meant.udid, key, change).map(Some);
            }
        }
        Ok(None)
    }
}
