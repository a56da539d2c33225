//! The snapshot that a command acts on, and the steps that the commands of the history share.

use std::time::SystemTime;

use serde::Serialize;

use super::list::{Named, Of};
use crate::base::progress::{Event, Monitor};
use crate::base::time;
use crate::base::udid::Udid;
use crate::history::{Error, list};
use crate::store::notes::{Note, Verified};
use crate::store::removal::Removal;
use crate::store::{self, Snapshot, Store, snapshot};
use crate::verify::{Depth, Outcome, Report};

/// Returns a callback that counts measured files and reports progress every 1,000 files.
pub(super) fn measured(monitor: &dyn Monitor) -> impl FnMut() {
    let mut files = 0;
    move || {
        files += 1;
        if files % 1000 == 0 {
            monitor.event(Event::Progress {
                percent: None,
                bytes: 0,
                files,
                files_total: None,
                bytes_total: None,
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
        bytes_total: None,
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
    pub(super) fn again(&self, lock: &store::Lock) -> Result<Snapshot, Error> {
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

    pub(super) fn note(&self, change: impl FnOnce(&mut Note)) -> Result<Noted, Error> {
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
    find_of(store, Some(name), Of::Any)
}

/// Finds a snapshot as [`find`] does, of a certain phone. Without a name, finds the phone's current
/// backup.
pub fn find_of<E: From<Error>>(
    store: Result<Store, E>,
    name: Option<&str>,
    of: Of,
) -> Result<Chosen, E> {
    Ok(choose(list::resolve_of(store, name, of)?)?)
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

/// Removes what was dropped earlier and is still on the disk, and reports what cannot be removed.
pub(super) fn sweep(store: &Store, udid: &Udid, lock: &store::Lock, monitor: &dyn Monitor) {
    if let Err(e) = store.sweep(udid, lock) {
        monitor.problem(e.into());
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
        Err(store::Error::Io { cause, .. })
            if cause.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
        {
            monitor.note("The store is read-only, so the result is not saved.".to_owned());
        }
        Err(e) => monitor.note(format!("The result of this check could not be saved: {e}")),
    }
}
