//! Iterates over everything that a backup's list names.

use std::collections::VecDeque;

use crate::backup_format::manifest_db::Filter;
use crate::reader::Error;
use crate::reader::backup::{Backup, Item};
use crate::reader::manifest_feed::List;

/// Number of rows that are read from Manifest.db at once.
const BATCH: usize = 1000;

/// Iterator over the entries of a backup, in the order of its list. It holds at most
/// a thousand of them in memory, except for backups before iOS 10, whose lists are short.
///
/// Rows that cannot be read are left out; [`Backup::unread`] counts them. After an error the
/// iterator ends.
pub struct Entries<'a> {
    backup: &'a Backup,
    batch: VecDeque<Item>,
    /// Number of the last row that was read; `None` once all rows were read.
    after: Option<i64>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(backup: &'a Backup) -> Entries<'a> {
        Entries {
            backup,
            batch: VecDeque::new(),
            after: Some(i64::MIN),
        }
    }

    fn fill(&mut self, after: i64) -> Result<(), Error> {
        self.after = None;
        let (batch, last) = self.backup.batch(after)?;
        (self.batch, self.after) = (batch.into(), last);
        Ok(())
    }
}

impl Backup {
    /// Returns the items of the next rows after a row number, and the number of the last one;
    /// `None` if there are no more.
    pub(super) fn batch(&self, after: i64) -> Result<(Vec<Item>, Option<i64>), Error> {
        match self.list() {
            List::Db(db) => {
                let (rows, last) = db.page(after, BATCH).map_err(|e| self.bad_list(&e))?;
                let items = rows.into_iter().map(Item::from);
                Ok((items.filter_map(|item| self.prepared(item)).collect(), last))
            }
            List::Mbdb(_) => {
                let mut items = Vec::new();
                self.each(&Filter::default(), |item| {
                    items.push(item);
                    true
                })?;
                Ok((items, None))
            }
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Result<Item, Error>> {
        while self.batch.is_empty() {
            let after = self.after?;
            if let Err(e) = self.fill(after) {
                return Some(Err(e));
            }
        }
        self.batch.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::backup_format::SCHEMA;
    use crate::reader::passwords::NoPasswords;

    /// Checks that a list longer than a batch comes whole, in the order of its rows, and that a row
    /// that cannot be read is left out and counted.
    #[test]
    fn entries_cross_batch_borders() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let db = Connection::open(folder.path().join("Manifest.db"))?;
        db.execute_batch(SCHEMA)?;
        let rows = 2 * BATCH + 1;
        for row in 0..rows {
            let id = format!("{:040x}", rows - row);
            let sql = "INSERT INTO Files VALUES (?1, 'HomeDomain', ?2, 2, x'')";
            db.execute(sql, (id, format!("folder/{row:05}")))?;
        }
        let spoiled = "UPDATE Files SET relativePath = x'ff' WHERE relativePath = 'folder/01000'";
        db.execute(spoiled, ())?;
        drop(db);
        let backup = Backup::open(folder.path(), &NoPasswords)?;
        let entries = backup.entries().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(entries.len(), rows - 1);
        assert!(entries.is_sorted_by_key(|entry| entry.relative_path.clone()));
        assert_eq!(backup.unread().count, 1);
        Ok(())
    }
}
