//! Manifest.db: the list of all files, read row by row and never written.

use std::cell::{OnceCell, RefCell};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::by_path::Places;
use super::list_error::is_damage;
use super::outline::{self, OUTLINE};
use super::row::{COLUMNS, read_rows};
use super::salvage;
use crate::backup_format::keybag::FileKey;
use crate::backup_format::salvage::pages;
use crate::backup_format::temp_db::{self, Scratch};
use crate::backup_format::unreadable_rows::{BadRow, Unread};
use crate::base::plain_file;

pub(crate) use super::by_path::Child;
pub use super::kind::Kind;
pub use super::list_error::Error;
pub(crate) use super::outline::{Outline, Outlined};
pub use super::row::Row;

/// Memory for sorting rows, as SQLite's `cache_size`: a negative number counts KiB. With the
/// 4 MiB of other queries, the rows of a million files go through temporary files twice.
const SORT_CACHE_KIB: i64 = -16_384;
/// Name of the file in a backup's folder.
const NAME: &str = "Manifest.db";

/// An open list of files.
///
/// [`Db::rows`] is for checks, and fails at the first damage. `Db::select` and `Db::tree` are
/// for readers: they pass on every row that can be read, and `Db::unread` returns the others.
#[derive(Debug)]
pub struct Db {
    scratch: Scratch,
    /// The rows recovered from damaged pages; set when the first such page is found.
    saved: OnceCell<Box<Scratch>>,
    unread: RefCell<Unread>,
    /// The rows of a domain, for look-ups by path.
    pub(super) places: RefCell<Option<Places>>,
}

impl Db {
    /// Opens the Manifest.db of the backup in `folder`, without locks and without writing to it or
    /// creating files beside it.
    pub fn open(folder: &Path) -> Result<Db, Error> {
        Db::with_files(Scratch::in_place(&folder.join(NAME))?)
    }

    /// Recovers the rows from the pages of a list that SQLite cannot open.
    pub(crate) fn salvage(folder: &Path) -> Result<Db, Error> {
        let mut unread = Unread::default();
        let scratch = pages::save(&folder.join(NAME), &mut unread)?;
        Ok(Db {
            scratch,
            saved: OnceCell::new(),
            unread: RefCell::new(unread),
            places: RefCell::default(),
        })
    }

    /// Opens an encrypted list; encrypted backups have one since iOS 10.2.
    pub(crate) fn decrypt(folder: &Path, key: &FileKey) -> Result<Db, Error> {
        let file = plain_file::open(&folder.join(NAME)).map_err(temp_db::Error::Read)?;
        let bytes = file.metadata().map_err(temp_db::Error::Read)?.len();
        Db::with_files(Scratch::make(&mut key.decrypt(file, None), bytes)?)
    }

    /// Checks that `Files` is a table: a view could return rows without end.
    fn with_files(scratch: Scratch) -> Result<Db, Error> {
        let is_table = "SELECT count(*) FROM sqlite_schema WHERE name = 'Files' AND type = 'table' AND rootpage > 0";
        match scratch
            .connection()
            .query_row(is_table, [], |row| row.get(0))?
        {
            1i64 => Ok(Db {
                scratch,
                saved: OnceCell::new(),
                unread: RefCell::default(),
                places: RefCell::default(),
            }),
            _ => Err(Error::Damaged("its table of files is missing".to_owned())),
        }
    }

    /// Counts the steps of queries from zero again, for a list that stays open for long.
    #[cfg(feature = "web")]
    pub(crate) fn renew(&self) {
        self.scratch.renew();
        if let Some(saved) = self.saved.get() {
            saved.renew();
        }
    }

    /// Notes a row that cannot be read.
    pub(super) fn note(&self, place: i64, row: BadRow) {
        self.unread.borrow_mut().add(place as u64, || row);
    }

    /// Returns the rows that could not be read so far.
    pub(crate) fn unread(&self) -> Unread {
        self.unread.borrow().clone()
    }

    /// Runs SQLite's own check of the whole file. `quick` skips the comparison of indexes with
    /// their tables.
    pub fn check(&self, quick: bool) -> Result<(), Error> {
        let pragma = if quick {
            "PRAGMA quick_check(1)"
        } else {
            "PRAGMA integrity_check(1)"
        };
        let word: Option<String> = self
            .scratch
            .connection()
            .query_row(pragma, [], |row| row.get(0))
            .optional()?;
        match word.as_deref() {
            Some("ok") => Ok(()),
            other => Err(Error::Damaged(
                other.unwrap_or("SQLite's check gave no result").to_owned(),
            )),
        }
    }

    /// Calls `each` for every row, in the order of file ids, until it returns false. Fails at the
    /// first row that cannot be read.
    pub fn rows(&self, mut each: impl FnMut(Row) -> bool) -> Result<(), Error> {
        let mut bad = None;
        let sql = format!("{COLUMNS} ORDER BY fileID");
        let mut statement = self.scratch.connection().prepare(&sql)?;
        read_rows(&mut statement.query([])?, |_, row| match row {
            Ok(row) => each(row),
            Err(row) => {
                bad = Some(row);
                false
            }
        })?;
        match bad {
            None => Ok(()),
            Some(row) => Err(Error::Damaged(format!("{}: {}", row.name, row.why))),
        }
    }

    /// Calls `each` for the rows that match the filter, until it returns false.
    pub(crate) fn select(
        &self,
        filter: &Filter,
        mut each: impl FnMut(Row) -> bool,
    ) -> Result<(), Error> {
        // SQL narrows the rows down only by conditions for which the phone's list has an index;
        // `admits` decides.
        let mut clauses = &[""][..];
        let mut bounds = String::new();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        if let Some(domain) = &filter.domain {
            values.push(domain);
            if let Some(path) = filter.below.as_ref().filter(|_| filter.only_itself) {
                // Few rows have the same path, and many the same domain.
                bounds.push_str("WHERE +domain = ?1 AND relativePath = ?2");
                values.push(path);
            } else {
                bounds.push_str("WHERE domain = ?1");
            }
        } else if let Some(id) = &filter.file_id {
            // Another program stores ids as BLOB, which does not compare equal to text.
            bounds.push_str("WHERE fileID IN (?1, CAST(?1 AS BLOB))");
            values.push(id);
        } else if let Some(kind) = filter.kind {
            clauses = clauses_of(kind);
        }
        let order = match filter {
            Filter { sorted: true, .. } => Order::Name,
            Filter { by_id: true, .. } => Order::Id,
            _ => Order::Place,
        };
        let mut goes_on = true;
        for clause in clauses {
            if !goes_on {
                break;
            }
            let sql = format!("{COLUMNS} {clause}{bounds} {}", order.clause());
            self.in_order(&sql, &values, order, |row| {
                goes_on = !(filter.admits(&row.domain, &row.relative_path)
                    && filter.kind.is_none_or(|kind| kind == row.kind)
                    && filter.file_id.is_none_or(|id| id == row.file_id))
                    || each(row);
                goes_on
            })?;
        }
        Ok(())
    }

    /// Returns up to `limit` rows with row numbers above `after`, in their order, and the number of
    /// the last row that was read; `None` if there are no more. Rows that cannot be read count
    /// towards the limit.
    pub(crate) fn page(&self, after: i64, limit: usize) -> Result<(Vec<Row>, Option<i64>), Error> {
        let sql = format!("{COLUMNS} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        loop {
            let (mut rows, mut last, mut count) = (Vec::new(), None, 0);
            let read = self.query(self.source(), &sql, &[&after, &limit], |place, row| {
                last = Some(place);
                count += 1;
                match row {
                    Ok(row) => rows.push(row),
                    Err(row) => self.unread.borrow_mut().add(place as u64, || row),
                }
                true
            });
            match read {
                Err(e) if self.can_be_saved(&e) => self.save()?,
                Err(e) => return Err(e.into()),
                Ok(()) => return Ok((rows, last.filter(|_| count == limit))),
            }
        }
    }

    /// Runs a query with ordered rows. At a damaged page, recovers the list and continues with the
    /// recovered rows.
    fn in_order(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
        order: Order,
        mut each: impl FnMut(Row) -> bool,
    ) -> Result<(), Error> {
        let mut last: Option<Key> = None;
        loop {
            // Skip the rows that were passed on before the damaged page was found.
            let done = last.clone();
            let read = self.query(self.source(), sql, values, |place, row| {
                let row = match row {
                    Ok(row) => row,
                    Err(row) => {
                        self.unread.borrow_mut().add(place as u64, || row);
                        return true;
                    }
                };
                let key = order.key(place, &row);
                if done.as_ref().is_some_and(|done| key <= *done) {
                    return true;
                }
                last = Some(key);
                each(row)
            });
            match read {
                Err(e) if self.can_be_saved(&e) => self.save()?,
                read => return Ok(read?),
            }
        }
    }

    /// Returns the database from which rows are read.
    pub(super) fn source(&self) -> &Connection {
        self.saved
            .get()
            .map_or(&self.scratch, |saved| saved)
            .connection()
    }

    fn can_be_saved(&self, e: &rusqlite::Error) -> bool {
        self.saved.get().is_none() && is_damage(e)
    }

    /// Recovers all readable rows; later reads use the recovered database.
    fn save(&self) -> Result<(), Error> {
        let saved = salvage::save(self.scratch.connection(), &mut self.unread.borrow_mut())?;
        // `saved` is still empty, as `can_be_saved` has checked.
        drop(self.saved.set(Box::new(saved)));
        Ok(())
    }

    /// Returns the names of all domains, in order.
    pub fn domains(&self) -> Result<Vec<String>, Error> {
        if let Ok(Some(names)) = self.seek_domains() {
            return Ok(names);
        }
        let sql = "SELECT DISTINCT domain FROM Files ORDER BY domain";
        let mut statement = self.source().prepare(sql)?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Calls `each` for the rows at or below a path, in one domain or in all domains one after the
    /// other, until it returns false. Rows are sorted by name, each folder before its contents.
    pub(crate) fn tree(
        &self,
        domain: Option<&str>,
        below: &str,
        mut each: impl FnMut(Row) -> bool,
    ) -> Result<(), Error> {
        // Sort the paths only, without the records.
        self.sorted(domain, below, "rowid", |row| match row {
            Outlined::Outline(_) => true,
            Outlined::Row(row) => each(row),
        })
    }

    /// Calls `each` like `Db::tree`, with the name, the type and the size of each row. This is
    /// faster, because the list is read in its own order: the size is taken from each record before
    /// the rows are sorted, and records are not read again.
    pub(crate) fn outlines(
        &self,
        domain: Option<&str>,
        below: &str,
        each: impl FnMut(Outlined) -> bool,
    ) -> Result<(), Error> {
        self.sorted(domain, below, OUTLINE, each)
    }

    /// Selects `columns` of the rows at or below a path, sorted as in `Db::tree`.
    fn sorted(
        &self,
        domain: Option<&str>,
        below: &str,
        columns: &str,
        mut each: impl FnMut(Outlined) -> bool,
    ) -> Result<(), Error> {
        let filter = Filter {
            domain,
            below: Some(below).filter(|path| !path.is_empty()),
            ..Filter::default()
        };
        // '0' is the character after '/'. For a path, the index of paths is the better one, unless
        // the domain has few rows. The `+` keeps SQLite from using the other index.
        let behind = format!("{below}0");
        let (bounds, values): (_, &[&dyn ToSql]) = match below {
            "" if domain.is_none() => ("true", &[]),
            "" => ("domain = ?1", &[&domain]),
            _ if domain.is_some_and(|domain| self.has_few(domain).unwrap_or(false)) => (
                "domain = ?1 AND +relativePath >= ?2 AND +relativePath < ?3",
                &[&domain, &below, &behind],
            ),
            _ => (
                "+domain = ?1 AND relativePath >= ?2 AND relativePath < ?3",
                &[&domain, &below, &behind],
            ),
        };
        // Replacing the separator with the lowest character puts a folder's contents directly after
        // the folder.
        let sql = format!(
            "SELECT {columns} FROM Files WHERE {bounds} \
             ORDER BY domain, replace(relativePath, '/', char(1))"
        );
        // SQLite reads all paths before it returns the first row, so no row has been passed on if
        // the paths are damaged.
        let mut is_begun = false;
        let read = self.in_tree(&filter, &sql, values, &mut |row| {
            is_begun = true;
            each(row)
        });
        match read {
            Err(e) if !is_begun && self.can_be_saved(&e) => {
                self.save()?;
                Ok(self.in_tree(&filter, &sql, values, &mut each)?)
            }
            read => Ok(read?),
        }
    }

    fn in_tree(
        &self,
        filter: &Filter,
        sql: &str,
        values: &[&dyn ToSql],
        each: &mut dyn FnMut(Outlined) -> bool,
    ) -> rusqlite::Result<()> {
        outline::register(self.source())?;
        self.source()
            .pragma_update(None, "cache_size", SORT_CACHE_KIB)?;
        let mut statement = self.source().prepare(sql)?;
        let has_outlines = statement.column_count() > 1;
        let mut places = statement.query(values)?;
        let sql = format!("{COLUMNS} WHERE rowid = ?1");
        let mut one = self.source().prepare(&sql)?;
        let mut goes_on = true;
        while let Some(found) = places.next()?.filter(|_| goes_on) {
            if has_outlines && let Some(outline) = Outline::read(found)? {
                let is_wanted = filter.admits(&outline.domain, &outline.relative_path);
                goes_on = !is_wanted || each(Outlined::Outline(outline));
                continue;
            }
            let place: i64 = found.get(0)?;
            let read = read_rows(&mut one.query([place])?, |_, row| {
                match row {
                    Ok(row) => {
                        let is_wanted = filter.admits(&row.domain, &row.relative_path);
                        goes_on = !is_wanted || each(Outlined::Row(row));
                    }
                    Err(row) => self.unread.borrow_mut().add(place as u64, || row),
                }
                goes_on
            });
            match read {
                Err(e) if is_damage(&e) => {
                    let row = || BadRow {
                        name: format!("row {place}"),
                        why: "its page is damaged".to_owned(),
                    };
                    self.unread.borrow_mut().add(place as u64, row);
                }
                read => read?,
            }
        }
        Ok(())
    }

    fn query(
        &self,
        source: &Connection,
        sql: &str,
        values: &[&dyn ToSql],
        each: impl FnMut(i64, Result<Row, BadRow>) -> bool,
    ) -> rusqlite::Result<()> {
        let mut statement = source.prepare(sql)?;
        read_rows(&mut statement.query(values)?, each)
    }
}

/// The order in which rows are returned.
#[derive(Clone, Copy)]
enum Order {
    /// In the order of the list, by row number.
    Place,
    /// By file id.
    Id,
    /// By domain, then by path.
    Name,
}

/// Position of a row in an order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Place(i64),
    Id(String),
    Name(String, String),
}

impl Order {
    fn clause(self) -> &'static str {
        match self {
            Order::Place => "ORDER BY rowid",
            Order::Id => "ORDER BY fileID",
            Order::Name => "ORDER BY domain, relativePath",
        }
    }

    fn key(self, place: i64, row: &Row) -> Key {
        match self {
            Order::Place => Key::Place(place),
            Order::Id => Key::Id(row.file_id.clone()),
            Order::Name => Key::Name(row.domain.clone(), row.relative_path.clone()),
        }
    }
}

/// Returns the conditions that find the rows of a kind; each is a separate query.
fn clauses_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        // Most rows are files, so an index would only slow the query down.
        Kind::File | Kind::Other => &[""],
        // For rows without meaningful flags, the record gives the kind.
        Kind::Directory => &["WHERE flags = 2", "WHERE flags = 0", "WHERE flags IS NULL"],
        Kind::Link => &["WHERE flags = 4", "WHERE flags = 0", "WHERE flags IS NULL"],
    }
}

/// Selection of rows in a list, and their order.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Only rows of this domain.
    pub domain: Option<&'a str>,
    /// Only the row of this path, and rows below it.
    pub below: Option<&'a str>,
    /// Leave out the rows below `below`.
    pub only_itself: bool,
    /// Only rows with this file id.
    pub file_id: Option<&'a str>,
    /// Only rows of this kind.
    pub kind: Option<Kind>,
    /// Sort by file id.
    pub by_id: bool,
    /// Sort by domain, then by path, byte by byte. Without `by_id` or `sorted`, rows come in the
    /// order of the list, which is fastest.
    pub sorted: bool,
}

impl Filter<'_> {
    /// Returns true if the filter accepts a row with this name.
    pub(crate) fn admits(&self, domain: &str, relative_path: &str) -> bool {
        let is_below = |folder: &str| match relative_path.strip_prefix(folder) {
            Some("") => true,
            Some(rest) => !self.only_itself && (folder.is_empty() || rest.starts_with('/')),
            None => false,
        };
        self.domain.is_none_or(|wanted| wanted == domain) && self.below.is_none_or(is_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup_format::record::{FileRecord, file_id};

    /// Checks that the rows come sorted by file ID and that reading adds no file to the backup
    /// folder.
    #[test]
    fn rows_come_sorted_by_file_id() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a b#%é");
        std::fs::create_dir(&folder).unwrap();
        let db = Connection::open(folder.join("Manifest.db")).unwrap();
        db.execute_batch(crate::backup_format::SCHEMA).unwrap();
        for (domain, path, flags) in [
            ("HomeDomain", "b", 1),
            ("HomeDomain", "a", 2),
            ("MediaDomain", "l", 4),
        ] {
            let blob = FileRecord {
                size: 7,
                ..FileRecord::default()
            }
            .encode();
            db.execute(
                "INSERT INTO Files VALUES (?, ?, ?, ?, ?)",
                (file_id(domain, path), domain, path, flags, blob),
            )
            .unwrap();
        }
        drop(db);
        let opened = Db::open(&folder).unwrap();
        opened.check(false).unwrap();
        let mut ids = Vec::new();
        opened
            .rows(|row| {
                assert!(row.is_named_right());
                assert_eq!(row.record().unwrap().size, 7);
                ids.push(row.file_id);
                true
            })
            .unwrap();
        assert!(ids.len() == 3 && ids.is_sorted());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn tree_lists_folders_before_their_contents() {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("Manifest.db")).unwrap();
        db.execute_batch(crate::backup_format::SCHEMA).unwrap();
        let paths = [
            "", "a-b", "a/b", "a", "a.c/d", "a/b/c", "a.c", "a/b-", "a0", "b",
        ];
        for (domain, path) in paths.iter().map(|p| ("D", p)).chain([("E", &"a/x")]) {
            let id = file_id(domain, path);
            db.execute(
                "INSERT INTO Files VALUES (?, ?, ?, 1, NULL)",
                (id, domain, path),
            )
            .unwrap();
        }
        drop(db);
        let opened = Db::open(dir.path()).unwrap();
        let below = |path: &str, most: usize| {
            let mut found = Vec::new();
            let each = |row: Row| {
                found.push(row.relative_path);
                found.len() < most
            };
            opened.tree(Some("D"), path, each).unwrap();
            found
        };
        let all = [
            "", "a", "a/b", "a/b/c", "a/b-", "a-b", "a.c", "a.c/d", "a0", "b",
        ];
        assert_eq!(below("", 99), all);
        assert_eq!(below("", 3), all[..3]);
        assert_eq!(below("a", 99), ["a", "a/b", "a/b/c", "a/b-"]);
        assert!(below("x", 99).is_empty() && below("a/", 99).is_empty());
        let mut domains = Vec::new();
        let each = |row: Row| {
            domains.push(row.domain);
            true
        };
        opened.tree(None, "", each).unwrap();
        assert!(domains.len() == 11 && domains.is_sorted());
    }

    #[test]
    fn absent_and_damaged_databases_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Db::open(dir.path()).unwrap_err(), Error::Absent);
        std::fs::write(dir.path().join("Manifest.db"), [7; 4096]).unwrap();
        assert!(matches!(Db::open(dir.path()), Err(Error::Damaged(_))));
    }
}
