//! What people do with a history: drop what no rule keeps, pin, name, delete; and what a check says of a snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::verify::{Depth, Outcome, Report};
use super::{Error, list};
use crate::monitor::{Event, Monitor, Phase};
use crate::store::history::{Removal, local};
use crate::store::notes::{Note, Verified};
pub use crate::store::retention::Why;
use crate::store::retention::{self, Policy};
use crate::store::{self, Snapshot, Store, sizes, snapshot};
use crate::udid::Udid;

/// What becomes of one snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    /// Which phone.
    pub udid: String,
    /// Its time, as it is named by.
    pub stamp: Option<String>,
    /// Where it is, or was.
    pub path: String,
    /// It stays.
    pub keep: bool,
    /// What keeps it; empty: no rule does.
    pub why: Vec<Why>,
    /// Bytes that its removal alone frees; null where the system does not tell, and for those that stay.
    pub frees_bytes: Option<u64>,
}

/// What a prune does, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Pruned {
    /// Nothing was dropped; this is what would be.
    pub dry_run: bool,
    /// The rules, in words.
    pub policy: String,
    /// Those of phones that have their own, by UDID.
    pub of_phones: BTreeMap<String, String>,
    /// Every snapshot, by phone, newest first.
    pub snapshots: Vec<Fate>,
    /// How many were dropped, or would be.
    pub dropped: u64,
    /// Bytes that all of them together free; null where the system does not tell.
    pub frees_bytes: Option<u64>,
}

/// How to prune.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// The rules.
    pub policy: Policy,
    /// Those of phones that have their own.
    pub of_phones: BTreeMap<Udid, Policy>,
    /// Only this phone's.
    pub udid: Option<Udid>,
    /// Decide, and drop nothing.
    pub dry_run: bool,
}

/// Drops the snapshots that no rule keeps. It may be killed at any moment.
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
        // What would be is looked at while others work.
        // And a folder to which nothing was ever written holds nothing of ours.
        let lock = match how.dry_run || !store.is_marked() {
            true => None,
            false => Some(store.lock(&udid)?),
        };
        if let Some(lock) = &lock {
            store.recover(&udid, lock)?;
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
                    "nothing of phone {udid} is dropped, since nobody knows what is pinned: {e}"
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
                frees_bytes: match decision.keeps() {
                    true => None,
                    false => each.next().and_then(|size| size.frees),
                },
                why: decision.why,
            });
        }
        pruned.dropped += goes.len() as u64;
        if let Some(lock) = lock.filter(|_| !goes.is_empty()) {
            monitor.phase(Phase::Removing);
            // The oldest first, so that what is left after a kill is what is wanted most.
            for (done, old) in goes.iter().rev().enumerate() {
                let name = old.stamp().unwrap_or_default();
                monitor.note(format!("Dropping {name} ({} of {})", done + 1, goes.len()));
                remove(store, &lock, old, (done, goes.len()), monitor)?;
            }
        }
    }
    Ok(pruned)
}

/// Counts files that are looked at, and tells now and then.
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

/// Removes one snapshot after `done`, of so many.
fn remove(
    place: &Store,
    lock: &store::Lock,
    old: &Snapshot,
    which: (usize, usize),
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    place.remove(lock, old, which, &mut |r| monitor.event(removing(r)))?;
    Ok(())
}

/// How far a removal is, as an event.
pub(super) fn removing(removal: Removal) -> Event {
    Event::Progress {
        percent: Some(removal.percent()),
        bytes: 0,
        files: 0,
        files_total: None,
    }
}

/// A phone of a store, by its UDID or how that begins.
pub fn phone(store: &Store, beginning: &str) -> Result<Udid, Error> {
    let phones = store.phones()?;
    let mut meant = phones
        .iter()
        .filter(|udid| list::head_is(udid.as_str(), beginning));
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(Error::Nothing {
            what: format!("the store holds no backup of a phone {beginning}"),
            hint: "`idev-backup list` shows what the store holds".to_owned(),
        }),
        _ => Err(Error::Nothing {
            what: format!("several phones of the store begin with {beginning}"),
            hint: "write more of its UDID; `idev-backup list` shows them".to_owned(),
        }),
    }
}

/// A snapshot in a store, by its path or by how [`list::find`] knows it.
pub fn find(store: Result<Store, store::Error>, name: &str) -> Result<(Store, Snapshot), Error> {
    let path = list::find(store, Some(name))?;
    match snapshot::find(&path) {
        Some(found) => {
            let store = Store::open(found.path().parent().unwrap_or(&path))?;
            Ok((store, found))
        }
        None => Err(Error::Nothing {
            what: format!("{} lies in no store", path.display()),
            hint: "`idev-backup list` shows what the store holds; `idev-backup adopt` takes a backup in".to_owned(),
        }),
    }
}

/// What is noted of a snapshot now.
#[derive(Debug, Clone, Serialize)]
pub struct Noted {
    /// Where it is.
    pub path: String,
    /// What is noted.
    #[serde(flatten)]
    pub note: Note,
}

/// Pins a snapshot, or takes the pin away.
pub fn pin(store: &Store, of: &Snapshot, pinned: bool) -> Result<Noted, Error> {
    noted(of, store.note(of, |note| note.pinned = pinned)?)
}

/// Longest name of a snapshot, in characters.
const TAG_CHARS_MAX: usize = 80;

/// Gives a snapshot a name, or takes one away.
pub fn tag(store: &Store, of: &Snapshot, name: &str, remove: bool) -> Result<Noted, Error> {
    let refused = |what: String, hint: &str| Error::Nothing {
        what,
        hint: hint.to_owned(),
    };
    let name = name.trim();
    let is_text = !name.is_empty() && !name.contains(char::is_control);
    if !is_text || name.chars().count() > TAG_CHARS_MAX || name == "latest" {
        return Err(refused(
            format!("{name:?} cannot be a snapshot's name"),
            "a name has 1 to 80 characters and is not `latest`",
        ));
    }
    let there = store.notes(of.udid())?.of(of).tags;
    if remove && !there.iter().any(|tag| tag == name) {
        return Err(refused(
            format!("{} has no name {name:?}", of.path().display()),
            "`idev-backup list` shows the names",
        ));
    }
    let note = store.note(of, |note| {
        note.tags.retain(|tag| tag != name);
        if !remove {
            note.tags.push(name.to_owned());
        }
    })?;
    noted(of, note)
}

fn noted(of: &Snapshot, note: Note) -> Result<Noted, Error> {
    Ok(Noted {
        path: of.path().display().to_string(),
        note,
    })
}

/// What deleting a snapshot means, for whoever is asked.
#[derive(Debug, Clone, Serialize)]
pub struct Deleted {
    /// Which phone.
    pub udid: String,
    /// Where it is, or was.
    pub path: String,
    /// Bytes that are free once it is gone; null where the system does not tell.
    pub frees_bytes: Option<u64>,
    /// It is the last backup of this phone in the store.
    pub last_of_phone: bool,
    /// It is the phone's current backup: the next one sends everything.
    pub current: bool,
    /// It is pinned, or whether it is cannot be known.
    pub pinned: bool,
    /// Its names.
    pub tags: Vec<String>,
}

/// What deleting a snapshot would mean.
pub fn consider(store: &Store, old: &Snapshot, monitor: &dyn Monitor) -> Result<Deleted, Error> {
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

/// Removes a snapshot, whoever made it. One that is pinned stays: the pin is taken away first.
pub fn delete(
    store: &Store,
    old: &Snapshot,
    seen: Deleted,
    monitor: &dyn Monitor,
) -> Result<Deleted, Error> {
    if !store.is_marked() {
        return Err(Error::Nothing {
            what: format!(
                "{} is a folder of other programs, and no store yet",
                store.root().display()
            ),
            hint: "delete it with the program that made it; `idev-backup adopt` takes a backup into a store".to_owned(),
        });
    }
    let lock = store.lock(old.udid())?;
    let status = |folder: &Path| std::fs::read(folder.join("Status.plist")).ok();
    let meant = status(old.path());
    store.recover(old.udid(), &lock)?;
    // A seal that was brought to its end may have put another backup there.
    let there = snapshot::find(old.path()).filter(|there| status(there.path()) == meant);
    let Some(old) = &there else {
        return Err(Error::Nothing {
            what: format!(
                "{} is not what it was: a backup that broke off has just been put in its place",
                old.path().display()
            ),
            hint: "look at `idev-backup list`, and delete again".to_owned(),
        });
    };
    // Read anew under the lock. Notes that cannot be read are no reason to drop anything.
    if store.notes(old.udid())?.of(old).pinned {
        return Err(Error::Nothing {
            what: format!("{} is pinned", old.path().display()),
            hint: "take the pin away first: `idev-backup unpin`".to_owned(),
        });
    }
    monitor.phase(Phase::Removing);
    remove(store, &lock, old, (0, 1), monitor)?;
    Ok(seen)
}

/// Notes what a check of all bytes found, if the folder is a snapshot of a store. That it cannot be noted harms no backup.
pub fn record(folder: &Path, report: &Report, monitor: &dyn Monitor) {
    let Some(of) = snapshot::find(folder) else {
        return;
    };
    let Some(Ok(store)) = of.path().parent().map(Store::open) else {
        return;
    };
    if !store.is_marked() {
        return;
    }
    let now = list::rfc3339(SystemTime::now());
    let how = match report.depth {
        Depth::Deep if report.restorable == Some(true) || report.hashed > 0 => "deep",
        Depth::Bytes if report.hashed > 0 => "bytes",
        _ => "",
    };
    let changed = match report.outcome {
        Outcome::Damaged => store.note(&of, |note| note.damaged = Some(now)),
        _ if report.sample.is_some() || how.is_empty() => return,
        // Every byte is right, and only the phone's list could not be read. What a check with the
        // password found stays.
        Outcome::Unchecked if report.not_compared > 0 => return,
        outcome => store.note(&of, |note| {
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
    if let Err(e) = changed {
        monitor.note(format!("The result of this check could not be noted: {e}"));
    }
}
