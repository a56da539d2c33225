//! Rows of a backup's list that cannot be read: their number, and the names of the first ones.

use std::collections::HashSet;

use serde::Serialize;

/// Most rows that are named; the others are only counted.
const NAMED_MAX: usize = 100;
/// Most rows that are remembered, so that each is counted once although a command reads a list
/// several times.
const COUNTED_MAX: usize = 100_000;

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The name of the file as far as it can be read, else the number of the row.
    pub name: String,
    /// The reason, as a clause that begins with "its", "the" or a verb.
    pub why: String,
}

/// Summary of the unreadable parts of a list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Unread {
    /// The number of unreadable rows, each counted once.
    pub count: u64,
    /// True if there are more than `count`, since the number of remembered rows is limited.
    pub is_more: bool,
    /// The first unreadable rows.
    pub first: Vec<BadRow>,
    /// Sentences about the list as a whole, such as a damaged page.
    pub notes: Vec<String>,
    #[serde(skip)]
    seen: HashSet<u64>,
}

impl Unread {
    /// Adds a row. `key` identifies it, so that a second pass over the list does not count it
    /// again.
    pub(crate) fn add(&mut self, key: u64, row: impl FnOnce() -> BadRow) {
        if self.seen.contains(&key) {
            return;
        }
        if self.seen.len() == COUNTED_MAX {
            self.is_more = true;
            return;
        }
        self.seen.insert(key);
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(row());
        }
    }

    /// Adds a sentence about the list as a whole, once.
    pub(crate) fn note(&mut self, sentence: String) {
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// Returns true if the whole list was read.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.notes.is_empty()
    }

    /// Adds the rows and notes of `other`, whose rows must be different ones.
    pub fn join(&mut self, other: &Unread) {
        self.count += other.count;
        self.is_more |= other.is_more;
        let room = NAMED_MAX.saturating_sub(self.first.len());
        self.first.extend(other.first.iter().take(room).cloned());
        other.notes.iter().for_each(|text| self.note(text.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> BadRow {
        BadRow {
            name: format!("row {number}"),
            why: "its name is not UTF-8".to_owned(),
        }
    }

    #[test]
    fn each_bad_row_counts_once() {
        let mut unread = Unread::default();
        assert!(unread.is_empty());
        for number in [1, 2, 1, 2, 3] {
            unread.add(number, || row(number));
        }
        assert_eq!((unread.count, unread.first.len()), (3, 3));
        let mut joined = Unread::default();
        joined.note("a page is damaged".to_owned());
        joined.join(&unread);
        joined.note("a page is damaged".to_owned());
        assert_eq!((joined.count, joined.notes.len()), (3, 1));
    }

    #[test]
    fn many_bad_rows_stay_within_bounds() {
        let mut unread = Unread::default();
        for number in 0..COUNTED_MAX as u64 + 5 {
            unread.add(number, || row(number));
        }
        assert_eq!(unread.count, COUNTED_MAX as u64);
        assert!(unread.is_more && unread.first.len() == NAMED_MAX);
    }
}
