//! Selects backups of every phone of a store.

use crate::base::phone_names;
use crate::base::time;
use crate::base::udid::Udid;
use crate::history::{Error, list};
use crate::store::{Snapshot, Store};

/// A backup of a store, with a name for messages.
#[derive(Debug, Clone)]
pub struct One {
    /// The backup.
    pub snapshot: Snapshot,
    /// The phone's name, which distinguishes it from the store's other phones, and the time of the
    /// backup if the phone has several in the selection.
    pub name: String,
}

/// Selects the newest backup of each phone, or with `older` all backups. The older ones of a phone
/// come first. Fails if the store has no backup.
pub fn each(store: &Store, older: bool) -> Result<Vec<One>, Error> {
    let mut snapshots = store.snapshots()?;
    if snapshots.is_empty() {
        return Err(Error::NoBackups);
    }
    let phones: Vec<(Udid, Option<String>)> = newest(&snapshots)
        .map(|snapshot| {
            let udid = snapshot.udid().clone();
            let name = list::phone_name(store, &udid);
            (udid, name)
        })
        .collect();
    let named: Vec<_> = phones
        .iter()
        .map(|(udid, name)| (udid.as_str(), name.as_deref()))
        .collect();
    let names = phone_names::distinct(&named);
    if older {
        // The sort is stable, and a phone's backups are listed newest first.
        snapshots.reverse();
        snapshots.sort_by(|a, b| a.udid().cmp(b.udid()));
    } else {
        snapshots = newest(&snapshots).cloned().collect();
    }
    let named = |snapshot: Snapshot| {
        let at = phones.iter().position(|(udid, _)| udid == snapshot.udid());
        let name = at.map_or_else(|| snapshot.udid().to_string(), |at| names[at].clone());
        let date = list::describe(&snapshot).date.filter(|_| older);
        One {
            name: match date {
                Some(date) => format!("{name}, {}", time::when(&date)),
                None => name,
            },
            snapshot,
        }
    };
    Ok(snapshots.into_iter().map(named).collect())
}

/// Returns the newest backup of each phone from a list that is sorted by phone, newest first.
fn newest(snapshots: &[Snapshot]) -> impl Iterator<Item = &Snapshot> {
    let is_first = |at: usize| {
        let before = at.checked_sub(1).map(|before| snapshots[before].udid());
        before != Some(snapshots[at].udid())
    };
    snapshots
        .iter()
        .enumerate()
        .filter(move |(at, _)| is_first(*at))
        .map(|(_, snapshot)| snapshot)
}
