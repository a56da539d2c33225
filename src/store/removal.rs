//! A phone's snapshots as input for a retention plan, and their removal: a single rename takes a
//! snapshot out of sight, then its files are removed.

use jiff::civil::DateTime;

use super::notes::Notes;
use super::retention::{Decision, Facts, Policy};
use super::trash::throw_away;
use super::{Draft, Error, Lock, SetAside, Snapshot, Store, sizes, snapshot};
use crate::base::time::civil;
use crate::base::udid::Udid;
use crate::store::draft::commit::recover;
use crate::store::{retention, trash};

impl Store {
    /// Returns the phones that have snapshots.
    pub fn phones(&self) -> Result<Vec<Udid>, Error> {
        let mut phones: Vec<Udid> = self.snapshots()?.iter().map(|s| s.udid().clone()).collect();
        phones.dedup();
        Ok(phones)
    }

    /// Returns the snapshots of one phone: the current backup, then the others, newest first.
    pub fn snapshots_of(&self, udid: &Udid) -> Result<Vec<Snapshot>, Error> {
        snapshot::of(self, udid)
    }

    /// Decides which of a phone's snapshots stay, and gives the reasons. `snapshots` must be sorted
    /// newest first. If the notes cannot be read, nothing is dropped, and the error is returned
    /// too.
    pub fn plan(
        &self,
        snapshots: &[Snapshot],
        policy: &Policy,
        now: DateTime,
    ) -> (Vec<Decision>, Option<Error>) {
        let Some(first) = snapshots.first() else {
            return (Vec::new(), None);
        };
        let (notes, trouble) = match self.notes(first.udid()) {
            Ok(notes) => (Some(notes), None),
            Err(e) => (None, Some(e)),
        };
        let facts: Vec<Facts> = snapshots
            .iter()
            .zip(ranks(snapshots.len()))
            .map(|(snapshot, rank)| facts(snapshot, rank, notes.as_ref()))
            .collect();
        (retention::plan(&facts, policy, now), trouble)
    }

    /// Finishes what a killed run left half done: a seal, or the removal of a snapshot. Returns
    /// what could not be finished and was set aside.
    pub fn recover(&self, udid: &Udid, _lock: &Lock) -> Result<Vec<SetAside>, Error> {
        recover(self, udid)
    }

    /// Removes the remains of snapshots and drafts that were dropped. The error names the first
    /// file that could not be removed. It stays in the trash, and the next run tries again.
    pub fn sweep(&self, udid: &Udid, _lock: &Lock) -> Result<(), Error> {
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
    pub fn percent(self) -> f64 {
        let part = (f64::from(self.folders) / 260.0).min(1.0);
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        (count(self.done) + part) / count(self.of.max(1)) * 100.0
    }
}

/// The free space that a phone asks for.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// The number of bytes it asks for.
    pub wanted_bytes: u64,
    /// The number of bytes without which its backup is sure to fail.
    pub least_bytes: u64,
}

/// The result of dropping snapshots to make room for a backup.
#[derive(Debug, Default)]
pub struct Room {
    /// The number of bytes by which free space grew.
    pub freed_bytes: u64,
    /// The stamps of the dropped snapshots.
    pub dropped: Vec<String>,
    /// The first error of a snapshot that could not be dropped. It does not keep the others.
    pub trouble: Option<Error>,
}

impl Draft {
    /// Drops the snapshots that no rule would keep once this draft is sealed, oldest first, until
    /// `need.wanted_bytes` have been freed. The current backup stays, since it is the last good one
    /// until then. Nothing is dropped if all of them together would free less than
    /// `need.least_bytes`, since the backup would fail anyway. `step` receives the progress,
    /// calculated as if all of them had to go.
    pub fn make_room(
        &mut self,
        need: Need,
        policy: &Policy,
        now: DateTime,
        step: &mut dyn FnMut(Removal),
    ) -> Result<Room, Error> {
        let store = &self.store;
        let before = store.free_space()?;
        let all = snapshot::of(store, &self.udid)?;
        // Without readable notes any snapshot may be pinned, so all stay. `create` reports the
        // error when it seals.
        let Ok(notes) = store.notes(&self.udid) else {
            return Ok(Room::default());
        };
        let ranked = all.iter().zip(ranks(all.len()));
        let mut ahead: Vec<Facts> = ranked
            .map(|(s, rank)| facts(s, rank, Some(&notes)))
            .collect();
        for (facts, snapshot) in ahead.iter_mut().zip(&all) {
            facts.ours |= facts.current && snapshot.beside().is_some();
            facts.current = false;
        }
        // The draft is not a good backup yet. It replaces the current backup in the plan, and must
        // not count as any other snapshot's replacement.
        ahead.push(Facts {
            udid: self.udid.clone(),
            made: now,
            rank: all.len(),
            current: true,
            ours: true,
            good: false,
            pinned: false,
            tagged: false,
            unknown: false,
            verified: None,
        });
        let mut room = Room::default();
        let decisions = retention::plan(&ahead, policy, now);
        let goes = all.iter().zip(&decisions).rev();
        let goes = goes.filter(|(old, decision)| !decision.keeps() && !old.is_current());
        let goes: Vec<&Snapshot> = goes.map(|(old, _)| old).collect();
        let size = sizes::together(&goes)?;
        // If the system cannot tell how much a removal frees, the total size is the upper limit.
        if size.frees.unwrap_or(size.bytes) < need.least_bytes {
            return Ok(room);
        }
        for (done, old) in goes.iter().enumerate() {
            if room.freed_bytes >= need.wanted_bytes {
                break;
            }
            match store.remove(&self.lock, old, By::Rule, (done, goes.len()), step) {
                Ok(()) => room.dropped.extend(old.stamp()),
                Err(e) => {
                    room.trouble.get_or_insert(e);
                }
            }
            room.freed_bytes = store.free_space()?.saturating_sub(before);
        }
        Ok(room)
    }
}

/// Returns ranks for `count` snapshots sorted newest first. A later snapshot has a greater rank.
fn ranks(count: usize) -> impl Iterator<Item = usize> {
    (0..count).rev()
}

/// Collects the facts about a snapshot for the plan. If the notes or the record cannot be read, the
/// snapshot may be pinned and is marked as unknown.
fn facts(snapshot: &Snapshot, rank: usize, notes: Option<&Notes>) -> Facts {
    let note = notes.map(|notes| notes.of(snapshot)).unwrap_or_default();
    Facts {
        udid: snapshot.udid().clone(),
        made: made(snapshot),
        rank,
        current: snapshot.is_current(),
        ours: snapshot.is_where_we_put_it(),
        good: snapshot.beside().is_some() && note.damaged.is_none(),
        pinned: note.pinned,
        tagged: !note.tags.is_empty(),
        unknown: notes.is_none() || (snapshot.beside().is_some() && snapshot.record().is_none()),
        verified: note.verified.and_then(|v| v.time.parse().ok()),
    }
}

/// Returns when a backup was made, in local time.
pub fn made(snapshot: &Snapshot) -> DateTime {
    civil(snapshot.date())
}
