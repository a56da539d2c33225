//! Plans which snapshots of a phone stay: collects the facts about them for the retention rules.

use jiff::civil::DateTime;

use super::error::Error;
use super::notes::Notes;
use super::retention::{self, Decision, Facts, Policy};
use super::root::Store;
use super::snapshot::Snapshot;
use crate::base::time::civil;

impl Store {
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
}

/// Returns ranks for `count` snapshots sorted newest first. A later snapshot has a greater rank.
pub(super) fn ranks(count: usize) -> impl Iterator<Item = usize> {
    (0..count).rev()
}

/// Collects the facts about a snapshot for the plan. If the notes or the record cannot be read, the
/// snapshot may be pinned and is marked as unknown.
pub(super) fn facts(snapshot: &Snapshot, rank: usize, notes: Option<&Notes>) -> Facts {
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
fn made(snapshot: &Snapshot) -> DateTime {
    civil(snapshot.date())
}
