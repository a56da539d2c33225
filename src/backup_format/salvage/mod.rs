//! Recovers the rows of a Manifest.db with damaged pages: everything that can still be read is
//! copied to a new database.
//!
//! 1. The table is read in the order of its rows. After a damaged page, a search finds the next row
//!    that can be read.
//! 2. The four indexes of the list repeat the id, domain, path and flags of each row. They provide
//!    the names of rows that were lost with a page of the table; only the records of those rows are
//!    gone.

pub(crate) mod pages;

use std::cell::RefCell;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::row::COLUMNS;
use crate::backup_format::list_error::{Error, is_damage};
use crate::backup_format::temp_db::{self, Scratch};
use crate::backup_format::unreadable_rows::{BadRow, Unread};

/// Most damaged places in the table that are skipped; after that, the rows come from the indexes.
const GAPS_MAX: usize = 10_000;
/// Columns that have an index each, as phones create them, with the names of the indexes.
const INDEXES: [(&str, &str); 4] = [
    ("fileID", "sqlite_autoindex_Files_1"),
    ("domain", "FilesDomainIdx"),
    ("relativePath", "FilesRelativePathIdx"),
    ("flags", "FilesFlagsIdx"),
];

/// Creates a database of the readable rows of `from`, with the same row numbers, and adds the
/// others to `unread`.
pub(super) fn save(from: &Connection, unread: &mut Unread) -> Result<Scratch, Error> {
    let saved = Scratch::empty()?;
    let to = saved.connection();
    // The columns have no types, so that each value stays as it is.
    to.execute_batch(
        "CREATE TABLE Files (fileID, domain, relativePath, flags, file);
         CREATE TABLE Lost (place INTEGER PRIMARY KEY, fileID, domain, relativePath, flags);
         BEGIN",
    )?;
    let insert = "INSERT INTO Files (rowid, fileID, domain, relativePath, flags, file) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut salvage = Salvage {
        from,
        to,
        insert: RefCell::new(to.prepare(insert)?),
        gaps: Vec::new(),
        without_record: 0,
    };
    salvage.table()?;
    salvage.indexes()?;
    salvage.rows_of_indexes(unread)?;
    let sentence = salvage.sentence();
    drop(salvage);
    let rows: i64 = to.query_row("SELECT count(*) FROM Files", [], |row| row.get(0))?;
    if rows == 0 {
        return Err(Error::Damaged("none of its rows can be read".to_owned()));
    }
    // Do not create indexes: creating one takes longer than the few passes that a command makes
    // over the rows.
    to.execute_batch("DROP TABLE Lost; COMMIT")?;
    temp_db::bound(to)?;
    unread.note(sentence);
    Ok(saved)
}

struct Salvage<'a> {
    from: &'a Connection,
    to: &'a Connection,
    insert: RefCell<Statement<'a>>,
    /// The row numbers before and after each unreadable part of the table, both exclusive.
    gaps: Vec<(i64, i64)>,
    /// The number of rows that keep their names but have lost their records.
    without_record: u64,
}

impl Salvage<'_> {
    /// Saves the rows that can be read from the table.
    fn table(&mut self) -> rusqlite::Result<()> {
        let mut last = i64::MIN;
        while self.gaps.len() < GAPS_MAX {
            match self.rows_behind(&mut last) {
                Ok(()) => return Ok(()),
                Err(e) if !is_damage(&e) => {
                    // The table is endless, or another limit was reached; use the rows found so
                    // far.
                    self.gaps.push((last, i64::MAX));
                    return Ok(());
                }
                Err(_) => {}
            }
            if self.row_without_record(&mut last)? {
                continue;
            }
            match self.next_readable(last) {
                Some(next) => {
                    self.gaps.push((last, next));
                    last = next - 1;
                }
                None => {
                    self.gaps.push((last, i64::MAX));
                    return Ok(());
                }
            }
        }
        self.gaps.push((last, i64::MAX));
        Ok(())
    }

    /// Saves rows up to the first unreadable one, and stores the number of the last saved row in
    /// `last`.
    fn rows_behind(&self, last: &mut i64) -> rusqlite::Result<()> {
        let sql = format!("{COLUMNS} WHERE rowid > ?1 ORDER BY rowid");
        let mut statement = self.from.prepare(&sql)?;
        let mut rows = statement.query([*last])?;
        while let Some(row) = rows.next()? {
            let place: i64 = row.get(5)?;
            self.put(place, row)?;
            *last = place;
        }
        Ok(())
    }

    fn put(&self, place: i64, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        let value = |column| row.get_ref(column);
        self.insert.borrow_mut().execute(params![
            place,
            Raw(value(0)?),
            Raw(value(1)?),
            Raw(value(2)?),
            Raw(value(3)?),
            Raw(value(4)?)
        ])?;
        Ok(())
    }

    /// Saves the next row without its record, if only the record is on a damaged page. Returns true
    /// if it saved a row.
    fn row_without_record(&mut self, last: &mut i64) -> rusqlite::Result<bool> {
        let sql = "SELECT fileID, domain, relativePath, flags, NULL, rowid FROM Files WHERE rowid > ?1 ORDER BY rowid LIMIT 1";
        let mut statement = self.from.prepare(sql)?;
        let mut rows = statement.query([*last])?;
        let Ok(Some(row)) = rows.next() else {
            return Ok(false);
        };
        let Ok(place) = row.get::<_, i64>(5) else {
            return Ok(false);
        };
        if self.put(place, row).is_err() {
            return Ok(false);
        }
        self.without_record += 1;
        *last = place;
        Ok(true)
    }

    /// Returns the number of a row after a damaged page: first with steps that double, then by
    /// bisecting the last step.
    fn next_readable(&self, last: i64) -> Option<i64> {
        // Searching after the last row finds none, which is the end.
        let probe = |from: i64| -> rusqlite::Result<Option<i64>> {
            let sql =
                "SELECT rowid FROM Files NOT INDEXED WHERE rowid >= ?1 ORDER BY rowid LIMIT 1";
            let mut statement = self.from.prepare(sql)?;
            statement.query_row([from], |row| row.get(0)).optional()
        };
        let mut bad = last;
        let mut step = 1i64;
        let mut good = loop {
            // A phone's row numbers begin with 1.
            let next = bad.max(0).saturating_add(step);
            match probe(next) {
                Ok(None) => return None,
                Ok(Some(found)) => break (next, found),
                Err(e) if !is_damage(&e) || next == i64::MAX => return None,
                Err(_) => bad = next,
            }
            step = step.saturating_mul(2);
        };
        while good.0 - bad.max(0) > 1 {
            let middle = bad.max(0) + (good.0 - bad.max(0)) / 2;
            match probe(middle) {
                Ok(Some(found)) => good = (middle, found),
                Ok(None) => return None,
                Err(_) => bad = middle,
            }
        }
        Some(good.1)
    }

    /// Returns true if the row is in an unreadable part of the table.
    fn is_in_gap(&self, place: i64) -> bool {
        let at = self.gaps.partition_point(|gap| gap.1 <= place);
        self.gaps.get(at).is_some_and(|gap| gap.0 < place)
    }

    /// Collects the indexed values of the lost rows.
    fn indexes(&self) -> rusqlite::Result<()> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        for (column, index) in INDEXES {
            // If the index is damaged too, read its other half from the end.
            for direction in ["", "DESC"] {
                let sql = format!(
                    "SELECT rowid, {column} FROM Files INDEXED BY {index} ORDER BY {column} {direction}"
                );
                if self.index(&sql, column).is_ok() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn index(&self, sql: &str, column: &str) -> rusqlite::Result<()> {
        let mut statement = self.from.prepare(sql)?;
        let sql = format!(
            "INSERT INTO Lost (place, {column}) VALUES (?1, ?2) ON CONFLICT (place) DO UPDATE SET {column} = ?2"
        );
        let mut insert = self.to.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place: i64 = row.get(0)?;
            if self.is_in_gap(place) {
                insert.execute(params![place, Raw(row.get_ref(1)?)])?;
            }
        }
        Ok(())
    }

    /// Saves the rows that were found in the indexes.
    fn rows_of_indexes(&mut self, unread: &mut Unread) -> rusqlite::Result<()> {
        let sql = format!("{COLUMNS} WHERE rowid = ?1");
        let mut again = self.from.prepare(&sql)?;
        let mut statement = (self.to).prepare(
            "SELECT fileID, domain, relativePath, flags, NULL, place FROM Lost ORDER BY place",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place: i64 = row.get(5)?;
            // The search may have skipped an intact page between two damaged ones.
            let whole = again.query_row([place], |row| self.put(place, row));
            if whole.is_ok() {
                continue;
            }
            let [id, domain, path, flags] = [0, 1, 2, 3].map(|column| row.get::<_, Value>(column));
            let (id, domain, path, flags) = (id?, domain?, path?, flags?);
            let is_known = |value: &Value| *value != Value::Null;
            if is_known(&id) && is_known(&domain) && is_known(&path) && is_known(&flags) {
                self.put(place, row)?;
                self.without_record += 1;
                continue;
            }
            let shown = |value: &Value| match value {
                Value::Text(text) => text.clone(),
                _ => "?".to_owned(),
            };
            unread.add(place as u64, || BadRow {
                name: format!("{}/{} ({})", shown(&domain), shown(&path), shown(&id)),
                why: "its row is on a damaged page".to_owned(),
            });
        }
        Ok(())
    }

    fn sentence(&self) -> String {
        let mut text = "pages of the list of files are damaged".to_owned();
        if self.without_record > 0 {
            text.push_str(&format!(
                "; {} files, folders and links are known only by name, without size, date and mode",
                self.without_record
            ));
        }
        text.push_str(if self.gaps.is_empty() {
            "; all names are known"
        } else {
            "; files that neither its table nor its indexes still name cannot be counted"
        });
        text
    }
}

/// A value copied from one database to another unchanged, even text that is not UTF-8.
struct Raw<'a>(ValueRef<'a>);

impl rusqlite::ToSql for Raw<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(self.0))
    }
}
