//! Drops old snapshots to free space for a draft.

use jiff::civil::DateTime;

use super::content::Draft;
use crate::store::error::Error;
use crate::store::planning::{facts, ranks};
use crate::store::removal::{By, Removal};
use crate::store::retention::{self, Facts, Policy};
use crate::store::sizes;
use crate::store::snapshot::{self, Snapshot};

/// The free space that a phone asks for.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// The number of bytes it asks for.
    pub wanted_bytes: u64,
    /// The number of bytes without which its backup is sure to fail.
    pub least_bytes: u64,
}

/// The result of dropping snapshots to free space for a backup.
#[derive(Debug, Default)]
pub struct FreedSpace {
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
    pub(crate) fn make_space(
        &mut self,
        need: Need,
        policy: &Policy,
        now: DateTime,
        step: &mut dyn FnMut(Removal),
    ) -> Result<FreedSpace, Error> {
        let store = &self.store;
        let before = store.free_space()?;
        let all = snapshot::of(store, &self.udid)?;
        // Without readable notes any snapshot may be pinned, so all stay. `create` reports the
        // error when it seals.
        let Ok(notes) = store.notes(&self.udid) else {
            return Ok(FreedSpace::default());
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
        let mut space = FreedSpace::default();
        let decisions = retention::plan(&ahead, policy, now);
        let goes = all.iter().zip(&decisions).rev();
        let goes = goes.filter(|(old, decision)| !decision.keeps() && !old.is_current());
        let goes: Vec<&Snapshot> = goes.map(|(old, _)| old).collect();
        let size = sizes::together(&goes)?;
        // If the system cannot tell how much a removal frees, the total size is the upper limit.
        if size.frees.unwrap_or(size.bytes) < need.least_bytes {
            return Ok(space);
        }
        for (done, old) in goes.iter().enumerate() {
            if space.freed_bytes >= need.wanted_bytes {
                break;
            }
            match store.remove(&self.lock, old, By::Rule, (done, goes.len()), step) {
                Ok(()) => space.dropped.extend(old.stamp()),
                Err(e) => {
                    space.trouble.get_or_insert(e);
                }
            }
            space.freed_bytes = store.free_space()?.saturating_sub(before);
        }
        Ok(space)
    }
}
