//! Drops the snapshots that no rule keeps.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::base::progress::{Monitor, Phase};
use crate::base::time::local;
use crate::base::udid::Udid;
use crate::history::change::{measured, removing, sweep};
use crate::history::{Error, Problem, list, tell_set_aside};
use crate::store::removal::By;
use crate::store::retention::{self, Policy, Why};
use crate::store::{self, Snapshot, Store, sizes};

/// Decision about one snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    /// UDID of the phone.
    pub udid: String,
    /// Name of the phone, if it is known.
    pub name: Option<String>,
    /// Time stamp that names the snapshot.
    pub stamp: Option<String>,
    /// Folder in which the snapshot is, or was.
    pub path: String,
    /// True if the snapshot stays.
    pub keep: bool,
    /// Reasons for keeping the snapshot; empty if no rule keeps it.
    pub why: Vec<Why>,
    /// Bytes that removing this snapshot alone frees. Null if the system does not report it, and
    /// for snapshots that stay.
    pub frees_bytes: Option<u64>,
}

/// Result of a prune, or of its dry run.
#[derive(Debug, Clone, Serialize)]
pub struct Pruned {
    /// Nothing was dropped: the report shows what would be.
    pub dry_run: bool,
    /// Retention rules, in words.
    pub policy: String,
    /// Rules of phones that have their own, by UDID.
    pub of_phones: BTreeMap<String, String>,
    /// All snapshots, by phone, newest first.
    pub snapshots: Vec<Fate>,
    /// Number of snapshots that were dropped, or would be.
    pub dropped: u64,
    /// Bytes that dropping all of them frees; null if the system does not report it.
    pub frees_bytes: Option<u64>,
}

impl Pruned {
    /// Corrects the report for a snapshot that could not be dropped.
    fn stays(&mut self, old: &Snapshot, e: &store::Error) {
        let path = old.path().display().to_string();
        if let Some(fate) = self.snapshots.iter_mut().find(|fate| fate.path == path) {
            fate.keep = true;
            fate.why = match e {
                store::Error::Pinned { .. } => vec![Why::Pinned],
                _ => Vec::new(),
            };
            let frees = fate.frees_bytes.take().unwrap_or_default();
            self.frees_bytes = self.frees_bytes.map(|all| all.saturating_sub(frees));
        }
        self.dropped = self.dropped.saturating_sub(1);
    }
}

/// Options of a prune.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Retention rules of the store.
    pub policy: Policy,
    /// Rules of phones that have their own.
    pub of_phones: BTreeMap<Udid, Policy>,
    /// Prune only the snapshots of this phone.
    pub udid: Option<Udid>,
    /// Decide, and drop nothing.
    pub dry_run: bool,
}

/// Drops the snapshots that no rule keeps. Killing it at any moment leaves the store consistent.
pub fn prune(store: &Store, how: &Prune, monitor: &dyn Monitor) -> Result<Pruned, Error> {
    let phones = match &how.udid {
        Some(udid) => vec![udid.clone()],
        None => store.phones()?,
    };
    let mut pruned = Pruned {
        dry_run: how.dry_run,
        policy: how.policy.to_string(),
        of_phones: BTreeMap::new(),
        snapshots: Vec::new(),
        dropped: 0,
        frees_bytes: cfg!(unix).then_some(0),
    };
    for udid in phones {
        // A dry run takes no lock, so it also works during a backup. An unmarked folder was never
        // written to and holds nothing of ours, so it needs no lock either.
        let lock = if how.dry_run || !store.is_marked() {
            None
        } else {
            Some(store.lock(&udid)?)
        };
        if let Some(lock) = &lock {
            tell_set_aside(store.recover(&udid, lock)?, monitor);
        }
        let all = store.snapshots_of(&udid)?;
        let own = retention::own(&how.of_phones, &udid);
        if let Some(own) = own {
            pruned.of_phones.insert(udid.to_string(), own.to_string());
        }
        let policy = own.unwrap_or(&how.policy);
        let (decisions, trouble) = store.plan(&all, policy, local(SystemTime::now()));
        if let Some(e) = trouble {
            let udid = udid.clone();
            monitor.problem(Problem::PinsUnknown { udid, cause: e }.into());
        }
        let goes: Vec<&Snapshot> = all
            .iter()
            .zip(&decisions)
            .filter(|(_, decision)| !decision.keeps())
            .map(|(snapshot, _)| snapshot)
            .collect();
        if !goes.is_empty() {
            monitor.phase(Phase::Measuring);
        }
        let (each, together) = sizes::each(&goes, &mut measured(monitor))?;
        let mut each = each.into_iter();
        pruned.frees_bytes = pruned.frees_bytes.zip(together.frees).map(|(a, b)| a + b);
        let name = list::phone_name(store, &udid);
        for (snapshot, decision) in all.iter().zip(decisions) {
            pruned.snapshots.push(Fate {
                udid: udid.to_string(),
                name: name.clone(),
                stamp: snapshot.stamp(),
                path: snapshot.path().display().to_string(),
                keep: decision.keeps(),
                frees_bytes: if decision.keeps() {
                    None
                } else {
                    each.next().and_then(|size| size.frees)
                },
                why: decision.why,
            });
        }
        pruned.dropped += goes.len() as u64;
        let Some(lock) = lock else {
            continue;
        };
        if !goes.is_empty() {
            monitor.phase(Phase::Removing);
            // Drop the oldest first: if the run is killed, the most wanted snapshots are left.
            for (done, old) in goes.iter().rev().enumerate() {
                let name = old.stamp().unwrap_or_default();
                monitor.note(format!("Dropping {name} ({} of {})", done + 1, goes.len()));
                let removed = store.remove(&lock, old, By::Rule, (done, goes.len()), &mut |r| {
                    monitor.event(removing(r));
                });
                // A snapshot that cannot be dropped does not stop the others from being dropped.
                if let Err(cause) = removed {
                    pruned.stays(old, &cause);
                    monitor.problem(Problem::Stays { name, cause }.into());
                }
            }
        }
        sweep(store, &udid, &lock, monitor);
    }
    Ok(pruned)
}
