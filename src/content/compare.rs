//! Compares the content of two backups of a phone.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use crate::content::items::{self, Item};
use crate::content::query::Query;
use crate::content::search::Skipped;
use crate::content::{Error, Kind};
use crate::reader::backup::Backup;

/// The most entries of a kind that are remembered, at some 30 bytes each.
const ITEMS_MAX: usize = 4 << 20;

/// The ways in which an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the second backup has it.
    Added,
    /// Both have it, with other texts or another time.
    Changed,
    /// Only the first backup has it.
    Gone,
}

/// An entry that differs, as the second backup has it, or the first if it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The way in which it differs.
    pub change: Change,
    /// The entry that differs.
    #[serde(flatten)]
    pub item: Item,
}

/// The numbers of differences of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The kind of content.
    pub kind: Kind,
    /// Number of entries that only the second backup has.
    pub added: u64,
    /// Number of entries that changed.
    pub changed: u64,
    /// Number of entries that only the first backup has.
    pub gone: u64,
    /// Number of entries that are equal in both.
    pub same: u64,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The numbers, of the kinds that both backups have.
    pub kinds: Vec<Total>,
    /// The kinds that could not be compared, because a backup does not have them or they cannot be
    /// read.
    pub not_compared: Vec<Skipped>,
}

/// Compares kinds of two backups. Calls `each` for every difference: for each kind first what was
/// added or changed, then what is gone. It ends when `each` returns false.
pub fn compare(
    before: &Backup,
    after: &Backup,
    kinds: &[Kind],
    mut each: impl FnMut(&Difference) -> bool,
) -> Compared {
    let mut compared = Compared::default();
    let mut goes_on = true;
    for kind in kinds {
        if !goes_on {
            break;
        }
        let mut of_kind = |difference: &Difference| {
            goes_on = each(difference);
            goes_on
        };
        match compare_kind(before, after, *kind, &mut of_kind) {
            Ok(total) => compared.kinds.push(total),
            Err((which, e)) => {
                let absent = matches!(e, Error::Absent(_) | Error::OnlyInEncrypted(_));
                compared.not_compared.push(Skipped {
                    kind: *kind,
                    absent,
                    why: format!("{which}: {e}"),
                });
            }
        }
    }
    // A kind that neither backup has needs no mention.
    let is_known = |one: &Skipped| !one.absent || compared_one_has(before, after, one.kind);
    compared.not_compared.retain(is_known);
    compared
}

fn compared_one_has(before: &Backup, after: &Backup, kind: Kind) -> bool {
    let has = |backup| {
        let mut has = false;
        // An error means that the backup has a database, unless it says otherwise.
        match items::each(backup, kind, &Query::all(), |_| {
            has = true;
            false
        }) {
            Err(Error::Absent(_) | Error::OnlyInEncrypted(_)) => false,
            Err(_) => true,
            Ok(()) => has,
        }
    };
    has(before) || has(after)
}

type Failed = (&'static str, Error);

fn compare_kind(
    before: &Backup,
    after: &Backup,
    kind: Kind,
    each: &mut dyn FnMut(&Difference) -> bool,
) -> Result<Total, Failed> {
    let hasher = RandomState::new();
    let key = |item: &Item| hasher.hash_one(&item.key);
    let print = |item: &Item| {
        // A contact has the time of its last change, which syncing sets too.
        let time = item.time.filter(|_| item.kind != Kind::Contacts);
        hasher.hash_one((item.own.as_ref().unwrap_or(&item.text), time))
    };
    let everything = Query::all();
    let mut known: HashMap<u64, u64> = HashMap::new();
    let read = items::each(before, kind, &everything, |item| {
        known.insert(key(&item), print(&item));
        known.len() < ITEMS_MAX
    });
    read.map_err(|e| ("the first backup", e))?;
    let mut total = Total {
        kind,
        added: 0,
        changed: 0,
        gone: 0,
        same: 0,
    };
    let mut goes_on = true;
    let read = items::each(after, kind, &everything, |item| {
        let change = match known.remove(&key(&item)) {
            Some(before) if before == print(&item) => {
                total.same += 1;
                return true;
            }
            Some(_) => {
                total.changed += 1;
                Change::Changed
            }
            None => {
                total.added += 1;
                Change::Added
            }
        };
        goes_on = each(&Difference { change, item });
        goes_on
    });
    read.map_err(|e| ("the second backup", e))?;
    if !goes_on || known.is_empty() {
        return Ok(total);
    }
    let read = items::each(before, kind, &everything, |item| {
        if known.remove(&key(&item)).is_none() {
            return true;
        }
        total.gone += 1;
        let change = Change::Gone;
        each(&Difference { change, item })
    });
    read.map_err(|e| ("the first backup", e))?;
    Ok(total)
}
