//! Deletes a snapshot, whichever program made it.

use serde::Serialize;

use crate::base::progress::{Monitor, Phase};
use crate::history::change::{Chosen, measured, removing, sweep};
use crate::history::{Error, tell_set_aside};
use crate::store::notes::Note;
use crate::store::removal::By;
use crate::store::{Snapshot, Store, sizes};

/// Consequences of deleting a snapshot, to show to the user before confirmation.
#[derive(Debug, Clone, Serialize)]
pub struct Deleted {
    /// UDID of the phone.
    pub udid: String,
    /// Folder in which the snapshot is, or was.
    pub path: String,
    /// Bytes that are free once the snapshot is gone; null if the system does not report it.
    pub frees_bytes: Option<u64>,
    /// True for the last backup of this phone in the store.
    pub last_of_phone: bool,
    /// True for the phone's current backup: without it, the phone has to send everything next time.
    pub current: bool,
    /// Names of the snapshot.
    pub tags: Vec<String>,
}

impl Deleted {
    /// Returns what the user should know before agreeing, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.last_of_phone {
            warnings.push("It is the ONLY backup of this phone in the store.".to_owned());
        }
        if self.current {
            let text = "It is the current backup: the next one will be a full backup.";
            warnings.push(text.to_owned());
        }
        if !self.tags.is_empty() {
            warnings.push(format!("It is tagged {}.", self.tags.join(", ")));
        }
        warnings
    }
}

/// Determines what deleting a snapshot would mean. Refuses one that cannot be deleted, such as a
/// pinned one.
pub fn consider(chosen: &Chosen, monitor: &dyn Monitor) -> Result<Deleted, Error> {
    let (store, old) = (&chosen.store, &chosen.snapshot);
    let note = deletable(store, old)?;
    monitor.phase(Phase::Measuring);
    let others = store.snapshots_of(old.udid())?;
    Ok(Deleted {
        udid: old.udid().to_string(),
        path: old.path().display().to_string(),
        frees_bytes: sizes::of(old, &mut measured(monitor))?.frees,
        last_of_phone: others.iter().all(|other| other.path() == old.path()),
        current: old.is_current(),
        tags: note.tags,
    })
}

/// Returns the notes about a snapshot that may be deleted. If they cannot be read, it may be
/// pinned.
fn deletable(store: &Store, old: &Snapshot) -> Result<Note, Error> {
    if !store.is_marked() {
        return Err(Error::NotOurs(store.root().to_path_buf()));
    }
    let note = store.notes(old.udid())?.of(old);
    if note.pinned {
        return Err(Error::Pinned(old.path().to_path_buf()));
    }
    Ok(note)
}

/// Removes the snapshot that was chosen and shown, whichever program made it. A pinned snapshot is
/// refused: the user has to unpin it first.
pub fn delete(chosen: &Chosen, seen: Deleted, monitor: &dyn Monitor) -> Result<Deleted, Error> {
    let (store, udid) = (&chosen.store, chosen.snapshot.udid());
    let lock = store.lock(udid)?;
    tell_set_aside(store.recover(udid, &lock)?, monitor);
    let old = &chosen.again(&lock)?;
    // The notes may have changed before the lock was taken.
    deletable(store, old)?;
    monitor.phase(Phase::Removing);
    store.remove(&lock, old, By::Name, (0, 1), &mut |removal| {
        monitor.event(removing(removal));
    })?;
    sweep(store, udid, &lock, monitor);
    Ok(seen)
}
