//! Searches the content of one or more backups of a phone.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use crate::content::items::{self, Item};
use crate::content::query::Query;
use crate::content::{Error, Kind};
use crate::reader::backup::Backup;

/// The most hits that are remembered, at 8 bytes each. Later ones may come twice.
const HITS_MAX: usize = 4 << 20;

/// A search through several backups, newest first.
pub struct Search {
    query: Query,
    kinds: Vec<Kind>,
    /// Hashes of the hits in newer backups.
    seen: HashSet<u64>,
    hasher: RandomState,
}

/// A kind that was not searched, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The kind.
    pub kind: Kind,
    /// True if the backup does not have it; that counts as no failure.
    pub absent: bool,
    /// The reason.
    pub why: String,
}

impl Search {
    /// Begins a search in these kinds.
    pub fn new(query: Query, kinds: Vec<Kind>) -> Search {
        Search {
            query,
            kinds,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Returns the words that are searched.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Searches a backup, which must be older than those before it. Calls `each` for every hit that
    /// no newer backup has, until it returns false. Returns what was not searched.
    pub fn backup(&mut self, backup: &Backup, mut each: impl FnMut(&Item) -> bool) -> Vec<Skipped> {
        let mut skipped = Vec::new();
        let mut goes_on = true;
        for kind in self.kinds.clone() {
            if !goes_on {
                break;
            }
            skipped.extend(self.kind(backup, kind, |item| {
                goes_on = each(item);
                goes_on
            }));
        }
        skipped
    }

    /// Searches one kind in a backup, as [`Search::backup`] does. Returns the reason if it was not
    /// searched.
    pub(crate) fn kind(
        &mut self,
        backup: &Backup,
        kind: Kind,
        mut each: impl FnMut(&Item) -> bool,
    ) -> Option<Skipped> {
        let searched = items::each(backup, kind, &self.query, |item| {
            let hash = self.hasher.hash_one((item.kind.word(), &item.key));
            let is_new = if self.seen.len() < HITS_MAX {
                self.seen.insert(hash)
            } else {
                !self.seen.contains(&hash)
            };
            !is_new || each(&item)
        });
        searched.err().map(|e| Skipped {
            kind,
            absent: matches!(e, Error::Absent(_) | Error::OnlyInEncrypted(_)),
            why: e.to_string(),
        })
    }
}
