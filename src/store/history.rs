//! Snapshots as a plan sees them, and how one goes: out of sight in one rename, then removed.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::notes::Notes;
use super::retention::{self, Decision, Facts, Policy};
use super::seal::{STAMP, recover};
use super::trash::{self, throw_away};
use super::{Draft, Error, Lock, SetAside, Snapshot, Store, sizes, snapshot, stamp_of};
use crate::udid::Udid;

impl Store {
    /// The phones that have snapshots.
    pub fn phones(&self) -> Result<Vec<Udid>, Error> {
        let mut phones: Vec<Udid> = self.snapshots()?.iter().map(|s| s.udid().clone()).collect();
        phones.dedup();
        Ok(phones)
    }

    /// Those of one phone, the current one first, then newest first.
    pub fn snapshots_of(&self, udid: &Udid) -> Result<Vec<Snapshot>, Error> {
        snapshot::of(self, udid)
    }

    /// What becomes of a phone's snapshots, which come newest first, and why. Where the notes
    /// cannot be read nothing is dropped, and the error tells.
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

    /// Finishes what a run that was killed left half done: a seal, or the removal of a snapshot.
    /// Returns what could not be finished and was set aside.
    pub fn recover(&self, udid: &Udid, _lock: &Lock) -> Result<Vec<SetAside>, Error> {
        recover(self, udid)
    }

    /// Removes what is left of snapshots and drafts that were dropped. The error names the first
    /// file that cannot be removed; it stays in the trash, for the next run to try again.
    pub fn sweep(&self, udid: &Udid, _lock: &Lock) -> Result<(), Error> {
        trash::sweep(&self.own_of(udid))
    }

    /// Removes a snapshot and what is ours beside it, after `done` of so many that go. A crash
    /// leaves it whole, or not listed any more; `step` hears how far it is after each folder. One
    /// that is pinned by now stays, and no rule drops one with a name.
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
            // Whoever pins it now does so before it goes, or is told that it is gone.
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
            // Notes of a snapshot that is gone harm nobody.
            drop(self.forget(old.udid(), old.id()));
        }
        Ok(())
    }
}

/// Who drops a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person named it.
    Name,
    /// No rule keeps it.
    Rule,
}

/// How far the removal of snapshots is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// Snapshots that are gone.
    pub done: usize,
    /// Snapshots that go.
    pub of: usize,
    /// Folders that are gone of the one after those.
    pub folders: u32,
}

impl Removal {
    /// 0 to 100. A backup has 256 folders of files, and some beside them.
    pub fn percent(self) -> f64 {
        let part = (f64::from(self.folders) / 260.0).min(1.0);
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        (count(self.done) + part) / count(self.of.max(1)) * 100.0
    }
}

/// The room that a phone asks for.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Bytes that it asks for.
    pub wanted_bytes: u64,
    /// Bytes without which its backup is sure to fail.
    pub least_bytes: u64,
}

/// What was dropped so that a phone has room.
#[derive(Debug, Default)]
pub struct Room {
    /// Bytes that the disk has more than before.
    pub freed_bytes: u64,
    /// The stamps of what was dropped.
    pub dropped: Vec<String>,
}

impl Draft {
    /// Drops what no rule would keep once this draft is sealed, the oldest first, until so many
    /// bytes are free. The backup that the draft began as stays: it is the last good one until
    /// then. Nothing is dropped if all of it together would free less than `need.least_bytes`,
    /// since the backup would fail all the same. `step` hears how far it is, as if all of them had
    /// to go.
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
        // What may be pinned stays; `create` tells of it when it seals.
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
        // The draft is no good backup yet, so it takes no other's place but that of the current
        // one.
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
        // Where the system does not tell what a removal frees, it is no more than all bytes.
        if size.frees.unwrap_or(size.bytes) < need.least_bytes {
            return Ok(room);
        }
        for (done, old) in goes.iter().enumerate() {
            if room.freed_bytes >= need.wanted_bytes {
                break;
            }
            store.remove(&self.lock, old, By::Rule, (done, goes.len()), step)?;
            room.dropped.extend(old.stamp());
            room.freed_bytes = store.free_space()?.saturating_sub(before);
        }
        Ok(room)
    }
}

/// Ranks for so many snapshots that come newest first: the later one has the greater rank.
fn ranks(count: usize) -> impl Iterator<Item = usize> {
    (0..count).rev()
}

/// What a plan needs to know. Without notes, or with a record that cannot be read, it may be
/// pinned.
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

/// A moment in local time.
pub fn local(time: SystemTime) -> DateTime {
    parse_stamp(&stamp_of(time)).unwrap_or_default()
}

/// Returns a moment's local time.
pub fn civil(moment: Timestamp) -> DateTime {
    Zoned::new(moment, TimeZone::system()).datetime()
}

/// Reads `YYYYMMDD-HHMMSS`.
pub fn parse_stamp(stamp: &str) -> Option<DateTime> {
    DateTime::strptime(STAMP, stamp).ok()
}
