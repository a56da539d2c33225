//! Changes the history of a phone on request: drops the snapshots that no rule keeps, pins, names
//! and deletes snapshots, and notes the result of a check.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::list::Named;
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::time::{self, local};
use crate::base::udid::Udid;
use crate::history::{Error, list, tell_set_aside};
use crate::store::notes::{Note, Verified};
use crate::store::removal::{By, Removal};
use crate::store::retention::{self, Policy};
use crate::store::{self, Snapshot, Store, sizes, snapshot};
use crate::verify::{Depth, Outcome, Report};

pub use crate::store::retention::Why;

/// Decision about one snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    /// UDID of the phone.
    pub udid: String,
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
            tell_set_aside(&store.recover(&udid, lock)?, monitor);
        }
        let all = store.snapshots_of(&udid)?;
        let own = retention::own(&how.of_phones, &udid);
        if let Some(own) = own {
            pruned.of_phones.insert(udid.to_string(), own.to_string());
        }
        let policy = own.unwrap_or(&how.policy);
        let (decisions, trouble) = store.plan(&all, policy, local(SystemTime::now()));
        if let Some(e) = trouble {
            monitor.problem(
                format!(
                    "no snapshots of phone {udid} are dropped, because it is unknown which are \
                     pinned: {e}"
                ),
                e.hint().map(str::to_owned),
            );
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
        for (snapshot, decision) in all.iter().zip(decisions) {
            pruned.snapshots.push(Fate {
                udid: udid.to_string(),
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
                if let Err(e) = removed {
                    pruned.stays(old, &e);
                    let text = format!("{name} stays: {e}");
                    monitor.problem(text, e.hint().map(str::to_owned));
                }
            }
        }
        sweep(store, &udid, &lock, monitor);
    }
    Ok(pruned)
}

/// Returns a callback that counts measured files and reports progress every 1,000 files.
fn measured(monitor: &dyn Monitor) -> impl FnMut() {
    let mut files = 0;
    move || {
        files += 1;
        if files % 1000 == 0 {
            monitor.event(Event::Progress {
                percent: None,
                bytes: 0,
                files,
                files_total: None,
            });
        }
    }
}

/// Returns the progress of a removal as an event.
pub(crate) fn removing(removal: Removal) -> Event {
    Event::Progress {
        percent: Some(removal.percent()),
        bytes: 0,
        files: 0,
        files_total: None,
    }
}

/// Finds a phone of a store by a text that [`matching`](crate::base::phone_names::matching)
/// understands.
pub fn phone(store: &Store, text: &str) -> Result<Udid, Error> {
    match &list::phones_named(store, text)?[..] {
        [(udid, _)] => Ok(udid.clone()),
        [] => Err(Error::NoPhone(text.to_owned())),
        several => {
            let shown = |(udid, name): &(Udid, Option<String>)| match name {
                Some(name) => format!("{name} ({udid})"),
                None => udid.to_string(),
            };
            let shown: Vec<String> = several.iter().map(shown).collect();
            Err(Error::AmbiguousPhone {
                text: text.to_owned(),
                phones: shown,
            })
        }
    }
}

/// A snapshot that a command was asked to act on.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The store that holds the snapshot.
    pub store: Store,
    /// The snapshot as it was when its name was resolved. Its path may hold another one later.
    pub snapshot: Snapshot,
}

impl Chosen {
    /// Finds the snapshot again under the lock. Fails if it is gone or has moved from the path that
    /// was shown.
    fn again(&self, lock: &store::Lock) -> Result<Snapshot, Error> {
        let seen = &self.snapshot;
        let there = self
            .store
            .again(seen.udid(), seen.id(), seen.path(), lock)?;
        match there {
            Some(there) if there.path() == self.snapshot.path() => Ok(there),
            there => Err(store::Error::moved(
                self.snapshot.path(),
                there.as_ref().map(Snapshot::path),
            )
            .into()),
        }
    }

    /// Finds the snapshot wherever it is now.
    pub(crate) fn where_it_is(&self) -> Result<Snapshot, Error> {
        let seen = &self.snapshot;
        let there = self.store.look_again(seen.udid(), seen.id(), seen.path())?;
        there.ok_or_else(|| store::Error::moved(self.snapshot.path(), None).into())
    }

    fn note(&self, change: impl FnOnce(&mut Note)) -> Result<Noted, Error> {
        let noted = self.store.note_again(&self.snapshot, change)?;
        match noted {
            Some(note) => Ok(Noted {
                path: self.snapshot.path().display().to_string(),
                note,
            }),
            None => Err(store::Error::moved(self.snapshot.path(), None).into()),
        }
    }
}

/// Finds a snapshot in a store by its path or by any name that [`list::find`] understands.
pub fn find<E: From<Error>>(store: Result<Store, E>, name: &str) -> Result<Chosen, E> {
    let named = list::resolve(store, Some(name))?;
    Ok(choose(named)?)
}

fn choose(named: Named) -> Result<Chosen, Error> {
    let Named { folder, id } = named;
    if let Ok(to) = folder.read_link()
        && snapshot::phone_of(&folder).is_some()
    {
        return Err(store::Error::Linked { path: folder, to }.into());
    }
    match (snapshot::find(&folder), id) {
        (Some(snapshot), Some(id)) if *snapshot.id() == id => {
            let store = Store::open(snapshot.path().parent().unwrap_or(&folder))?;
            Ok(Chosen { store, snapshot })
        }
        (Some(_), Some(_)) => Err(store::Error::moved(&folder, None).into()),
        _ => Err(Error::NotInStore(folder)),
    }
}

/// Notes about a snapshot, after a change.
#[derive(Debug, Clone, Serialize)]
pub struct Noted {
    /// Folder of the snapshot.
    pub path: String,
    /// Notes about the snapshot.
    #[serde(flatten)]
    pub note: Note,
}

/// Pins or unpins a snapshot.
pub fn pin(of: &Chosen, pinned: bool) -> Result<Noted, Error> {
    of.note(|note| note.pinned = pinned)
}

/// Note that a phone is retired, or is in use again.
#[derive(Debug, Clone, Serialize)]
pub struct Retired {
    /// UDID of the phone.
    pub udid: String,
    /// Name of the phone, from its newest backup.
    pub name: Option<String>,
    /// Time since which no more backups are expected, RFC 3339. Null if the note was withdrawn.
    pub retired: Option<String>,
}

/// Notes that no more backups of a phone are expected, or withdraws that note. The phone's backups
/// stay in either case.
pub fn retire(store: &Store, text: &str, is_undone: bool) -> Result<Retired, Error> {
    let udid = phone(store, text)?;
    let now = time::rfc3339(SystemTime::now());
    let retired = (!is_undone).then_some(now);
    store.retire(&udid, retired.clone())?;
    let newest = store.snapshots_of(&udid)?.into_iter().next();
    Ok(Retired {
        name: newest.and_then(|snapshot| list::describe(&snapshot).name),
        udid: udid.to_string(),
        retired,
    })
}

/// Longest name of a snapshot, in characters.
const TAG_CHARS_MAX: usize = 80;

/// Adds a name to a snapshot, or removes one.
pub fn tag(of: &Chosen, name: &str, remove: bool) -> Result<Noted, Error> {
    let name = name.trim();
    let is_text = !name.is_empty() && !name.contains(char::is_control);
    if !is_text || name.chars().count() > TAG_CHARS_MAX || name == "latest" {
        return Err(Error::BadTag(name.to_owned()));
    }
    let there = of.store.notes(of.snapshot.udid())?.of(&of.snapshot).tags;
    if remove && !there.iter().any(|tag| tag == name) {
        return Err(Error::NoTag {
            path: of.snapshot.path().to_path_buf(),
            tag: name.to_owned(),
        });
    }
    of.note(|note| {
        note.tags.retain(|tag| tag != name);
        if !remove {
            note.tags.push(name.to_owned());
        }
    })
}

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
    /// True if the snapshot is pinned, or if the notes that would tell cannot be read.
    pub pinned: bool,
    /// Names of the snapshot.
    pub tags: Vec<String>,
}

/// Determines what deleting a snapshot would mean.
pub fn consider(chosen: &Chosen, monitor: &dyn Monitor) -> Result<Deleted, Error> {
    let (store, old) = (&chosen.store, &chosen.snapshot);
    monitor.phase(Phase::Measuring);
    let note = store.notes(old.udid()).map(|notes| notes.of(old));
    let others = store.snapshots_of(old.udid())?;
    Ok(Deleted {
        udid: old.udid().to_string(),
        path: old.path().display().to_string(),
        frees_bytes: sizes::of(old, &mut measured(monitor))?.frees,
        last_of_phone: others.iter().all(|other| other.path() == old.path()),
        current: old.is_current(),
        pinned: note.as_ref().map_or(true, |note| note.pinned),
        tags: note.map(|note| note.tags).unwrap_or_default(),
    })
}

/// Removes the snapshot that was chosen and shown, whichever program made it. A pinned snapshot is
/// refused: the user has to unpin it first.
pub fn delete(chosen: &Chosen, seen: Deleted, monitor: &dyn Monitor) -> Result<Deleted, Error> {
    let (store, udid) = (&chosen.store, chosen.snapshot.udid());
    if !store.is_marked() {
        return Err(Error::NotOurs(store.root().to_path_buf()));
    }
    let lock = store.lock(udid)?;
    tell_set_aside(&store.recover(udid, &lock)?, monitor);
    let old = &chosen.again(&lock)?;
    // Read the notes again under the lock. If they cannot be read, nothing is dropped.
    if store.notes(udid)?.of(old).pinned {
        return Err(Error::Pinned(old.path().to_path_buf()));
    }
    monitor.phase(Phase::Removing);
    store.remove(&lock, old, By::Name, (0, 1), &mut |removal| {
        monitor.event(removing(removal));
    })?;
    sweep(store, udid, &lock, monitor);
    Ok(seen)
}

/// Removes what was dropped earlier and is still on the disk, and reports what cannot be removed.
fn sweep(store: &Store, udid: &Udid, lock: &store::Lock, monitor: &dyn Monitor) {
    if let Err(e) = store.sweep(udid, lock) {
        monitor.problem(e.to_string(), e.hint().map(str::to_owned));
    }
}

/// Notes the result of a check of all bytes, if the checked backup is a snapshot of a store and is
/// still there. A failure to note it harms no backup, so it is only reported.
pub fn record(report: &Report, monitor: &dyn Monitor) {
    let Some(of) = &report.of else {
        return;
    };
    let Some(Ok(store)) = of.path().parent().map(Store::open) else {
        return;
    };
    if !store.is_marked() {
        return;
    }
    let now = time::rfc3339(SystemTime::now());
    let how = match report.depth {
        Depth::Deep if report.restorable == Some(true) || report.hashed > 0 => "deep",
        Depth::Bytes if report.hashed > 0 => "bytes",
        _ => "",
    };
    let changed = match report.outcome {
        Outcome::Damaged => store.note_again(of, |note| note.damaged = Some(now)),
        // If the list of hashes is not the one that was sealed, the result withdraws nothing that
        // an earlier check found.
        _ if report.sample.is_some() || how.is_empty() || report.has_damaged_list => return,
        // Every byte is right, but the phone's list could not be read. The result of an earlier
        // check with the password stays.
        Outcome::Unchecked if report.not_compared > 0 => return,
        outcome => store.note_again(of, |note| {
            if outcome == Outcome::Unchecked && note.damaged.is_some() {
                return;
            }
            note.damaged = None;
            note.verified = Some(Verified {
                time: now,
                how: how.to_owned(),
            });
        }),
    };
    match changed {
        Ok(Some(_)) => {}
        Ok(None) => monitor.note(
            "The result of this check was not noted: the backup was removed or changed meanwhile."
                .to_owned(),
        ),
        Err(e) => monitor.note(format!("The result of this check could not be saved: {e}")),
    }
}
