//! Forgets the copies that no rule keeps, and removes their data.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::copy::Copy;
use super::engine::Engine;
use super::{Error, Restic, list};
use crate::base::progress::{Monitor, Phase};
use crate::base::time::{civil, local};
use crate::base::udid::Udid;
use crate::store::Store;
use crate::store::notes::Note;
use crate::store::retention::{self, Facts, Policy, Why};

/// Options of [`forget`].
#[derive(Debug, Clone, Default)]
pub struct Forget {
    /// The rules of retention.
    pub policy: Policy,
    /// Rules of phones that have their own.
    pub of_phones: BTreeMap<Udid, Policy>,
    /// Forget only copies of this phone, by its UDID.
    pub udid: Option<String>,
    /// Decide, and forget nothing.
    pub dry_run: bool,
    /// Leave the data there, which another run removes.
    pub keep_data: bool,
}

/// Decision about one copy.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    /// The copy in question.
    #[serde(flatten)]
    pub copy: Copy,
    /// True if the copy stays.
    pub keep: bool,
    /// The reasons for keeping it; empty if no rule does.
    pub why: Vec<Why>,
}

/// Result of [`forget`].
#[derive(Debug, Clone, Serialize)]
pub struct Forgotten {
    /// The place of the repository.
    pub location: String,
    /// Nothing was forgotten: the report shows what would be.
    pub dry_run: bool,
    /// The rules, in words.
    pub policy: String,
    /// All copies, by phone, newest first.
    pub copies: Vec<Fate>,
    /// Number of copies that were forgotten, or would be.
    pub forgotten: u64,
}

/// Forgets the copies that no rule keeps. The newest copy of each phone stays, and so do those of
/// backups that are pinned or tagged in the store.
pub fn forget(
    restic: &Restic,
    store: Option<&Store>,
    how: &Forget,
    monitor: &dyn Monitor,
) -> Result<Forgotten, Error> {
    let listing = list(restic)?;
    let mut copies = Vec::new();
    for phone in &listing.phones {
        if how.udid.as_ref().is_some_and(|udid| *udid != phone.udid) {
            continue;
        }
        let Ok(udid) = phone.udid.parse::<Udid>() else {
            continue;
        };
        let notes = store.map_or_else(|| Ok(Vec::new()), |store| notes(store, &udid))?;
        let known = store.map(|store| store.copies_in(&listing.location));
        let lacks_files = |copy: &Copy| {
            let known = known.as_ref();
            known.is_some_and(|known| known.lacks_files(&copy.snapshot))
        };
        let facts = facts(&udid, &phone.copies, &notes, lacks_files);
        let policy = retention::own(&how.of_phones, &udid).unwrap_or(&how.policy);
        let decisions = retention::plan(&facts, policy, local(SystemTime::now()));
        copies.extend(
            phone
                .copies
                .iter()
                .zip(decisions)
                .map(|(copy, decision)| Fate {
                    copy: copy.clone(),
                    keep: decision.keeps(),
                    why: decision.why,
                }),
        );
    }
    let gone: Vec<String> = copies
        .iter()
        .filter(|fate| !fate.keep)
        .map(|fate| fate.copy.snapshot.clone())
        .collect();
    if !how.dry_run && !gone.is_empty() {
        monitor.phase(Phase::Removing);
        restic.forget(&gone)?;
    }
    // An earlier run may have been interrupted before this, or have left the data on purpose.
    if !how.dry_run && !how.keep_data {
        monitor.phase(Phase::PruningRepository);
        restic.prune(monitor)?;
    }
    Ok(Forgotten {
        location: listing.location,
        dry_run: how.dry_run,
        policy: how.policy.to_string(),
        forgotten: gone.len() as u64,
        copies,
    })
}

/// Returns the notes about a phone's backups in the store. If they cannot be read, nothing may be
/// forgotten, since any backup may be pinned.
fn notes(store: &Store, udid: &Udid) -> Result<Vec<(crate::store::Snapshot, Note)>, Error> {
    let notes = store.notes(udid)?;
    let snapshots = store.snapshots_of(udid)?.into_iter();
    Ok(snapshots
        .map(|snapshot| {
            let note = notes.of(&snapshot);
            (snapshot, note)
        })
        .collect())
}

/// Returns the facts about a phone's copies, which are sorted newest first.
fn facts(
    udid: &Udid,
    copies: &[Copy],
    notes: &[(crate::store::Snapshot, Note)],
    lacks_files: impl Fn(&Copy) -> bool,
) -> Vec<Facts> {
    let one = |(rank, copy): (usize, &Copy)| {
        let note = notes.iter().find(|(snapshot, _)| copy.is_of(snapshot));
        let note = note.map(|(_, note)| note);
        Facts {
            udid: udid.clone(),
            made: civil(copy.time),
            rank: copies.len() - rank,
            current: false,
            ours: true,
            good: note.is_none_or(|note| note.damaged.is_none()) && !lacks_files(copy),
            pinned: note.is_some_and(|note| note.pinned),
            tagged: note.is_some_and(|note| !note.tags.is_empty()),
            unknown: false,
            verified: None,
        }
    };
    copies.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_copy_always_stays() {
        let udid: Udid = "00008030-001C195E0A88802E".parse().unwrap();
        let copy = |day: u32| Copy {
            snapshot: format!("snapshot{day}"),
            udid: udid.to_string(),
            name: None,
            ios: None,
            encrypted: None,
            files: None,
            bytes: None,
            backup: format!("backup{day}"),
            status: None,
            time: format!("2026-11-{day:02}T12:00:00Z").parse().unwrap(),
            host: "nas".to_owned(),
        };
        let copies: Vec<Copy> = (1..10).rev().map(copy).collect();
        let now = "2026-11-20T00:00:00".parse().unwrap();
        let kept = |policy: &Policy| {
            let decisions = retention::plan(&facts(&udid, &copies, &[], |_| false), policy, now);
            decisions.iter().filter(|decision| decision.keeps()).count()
        };
        assert_eq!(kept(&Policy::last(0)), 1);
        assert_eq!(kept(&Policy::last(2)), 2);
        assert_eq!(kept(&Policy::default()), 3);
    }
}
