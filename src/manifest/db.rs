//! Manifest.db: the list of all files, read row by row and never written.

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, OptionalExtension, Rows, ToSql};

use super::glance;
use super::record::{BadRecord, FileRecord, file_id};
use super::scratch::{self, Scratch};
use crate::keybag::FileKey;
use crate::plain_file;

/// What it is called in a backup's folder.
const NAME: &str = "Manifest.db";
/// What is read of each row.
const COLUMNS: &str = "SELECT fileID, domain, relativePath, flags, file FROM Files";

/// Why the list of files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is none.
    Absent,
    /// SQLite cannot make sense of it.
    Damaged(String),
    /// There is no place for what was decrypted of it.
    NoPlace(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Absent => f.write_str("it is missing"),
            Error::Damaged(why) => write!(f, "it is damaged: {why}"),
            Error::NoPlace(why) => write!(
                f,
                "what is decrypted of it cannot be kept in {} for the time being: {why}",
                std::env::temp_dir().display()
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<scratch::Error> for Error {
    fn from(e: scratch::Error) -> Self {
        match e {
            scratch::Error::Read(e) if e.kind() == io::ErrorKind::NotFound => Error::Absent,
            scratch::Error::Read(e) => Error::Damaged(e.to_string()),
            scratch::Error::Write(e) => Error::NoPlace(e.to_string()),
            scratch::Error::NoDatabase => {
                Error::Damaged("it is no database, or it is cut".to_owned())
            }
            scratch::Error::Sqlite(e) => e.into(),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        let is_endless = e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
        Error::Damaged(match is_endless {
            true => "it goes on far beyond its size".to_owned(),
            false => e.to_string(),
        })
    }
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, kept at `xx/<fileID>`.
    File,
    /// A folder; nothing is kept.
    Directory,
    /// A symbolic link; its target stands in the record.
    Link,
    /// Flags that nobody has described.
    Other,
}

impl Kind {
    /// How its rows are looked up.
    fn flag(self) -> Option<&'static str> {
        match self {
            // Most are files: an index would only be in the way.
            Kind::File | Kind::Other => None,
            Kind::Directory => Some("WHERE flags = 2"),
            Kind::Link => Some("WHERE flags = 4"),
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// 40 hex digits, in an honest list.
    pub file_id: String,
    /// `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// Path inside the domain.
    pub relative_path: String,
    /// What it stands for.
    pub kind: Kind,
    /// What the phone noted of it, as it stands in the list.
    pub archive: Vec<u8>,
}

impl Row {
    /// Whether the row's name is what its domain and path give.
    pub fn is_named_right(&self) -> bool {
        self.file_id == file_id(&self.domain, &self.relative_path)
    }

    /// What the phone noted of it.
    pub fn record(&self) -> Result<FileRecord, BadRecord> {
        FileRecord::decode(&self.archive)
    }

    /// Only its size, which is much faster; the rest of the record may be damaged.
    pub fn size(&self) -> Result<u64, BadRecord> {
        glance::size(&self.archive).map_or_else(|| Ok(self.record()?.size), Ok)
    }
}

/// An open list of files.
#[derive(Debug)]
pub struct Db(Scratch);

impl Db {
    /// Opens the Manifest.db of the backup in `folder`. Nothing is locked or written, no file made beside it.
    pub fn open(folder: &Path) -> Result<Db, Error> {
        Db::with_files(Scratch::in_place(&folder.join(NAME))?)
    }

    /// Opens one that is encrypted: since iOS 10.2 those of encrypted backups are.
    pub fn decrypt(folder: &Path, key: &FileKey) -> Result<Db, Error> {
        let file = plain_file::open(&folder.join(NAME)).map_err(scratch::Error::Read)?;
        let bytes = file.metadata().map_err(scratch::Error::Read)?.len();
        Db::with_files(Scratch::make(&mut key.decrypt(file, None), bytes)?)
    }

    /// A table that is one, since a view could go on for ever.
    fn with_files(scratch: Scratch) -> Result<Db, Error> {
        let is_table = "SELECT count(*) FROM sqlite_schema WHERE name = 'Files' AND type = 'table' AND rootpage > 0";
        match scratch
            .connection()
            .query_row(is_table, [], |row| row.get(0))?
        {
            1i64 => Ok(Db(scratch)),
            _ => Err(Error::Damaged("it has no table of files".to_owned())),
        }
    }

    /// SQLite's own check of the whole file. `quick` leaves out whether indexes match their tables.
    pub fn check(&self, quick: bool) -> Result<(), Error> {
        let pragma = if quick {
            "PRAGMA quick_check(1)"
        } else {
            "PRAGMA integrity_check(1)"
        };
        let word: Option<String> = self
            .0
            .connection()
            .query_row(pragma, [], |row| row.get(0))
            .optional()?;
        match word.as_deref() {
            Some("ok") => Ok(()),
            other => Err(Error::Damaged(
                other.unwrap_or("SQLite's check says nothing").to_owned(),
            )),
        }
    }

    /// Calls `each` for every row, in the order of file ids, until it answers false.
    pub fn rows(&self, each: impl FnMut(Row) -> bool) -> Result<(), Error> {
        self.query("ORDER BY fileID", &[], each)
    }

    /// Calls `each` for the rows that the filter lets through, until it answers false.
    pub fn select(&self, filter: &Filter, mut each: impl FnMut(Row) -> bool) -> Result<(), Error> {
        // Half of the bounds is looked up in the indexes of the phone's list; `admits` has the last word.
        let mut clause = String::new();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        if let Some(domain) = &filter.domain {
            clause.push_str("WHERE domain = ?1");
            values.push(domain);
            if let Some(path) = filter.below.as_ref().filter(|_| filter.only_itself) {
                clause.push_str(" AND relativePath = ?2");
                values.push(path);
            }
        } else if let Some(id) = &filter.file_id {
            clause.push_str("WHERE fileID = ?1");
            values.push(id);
        } else if let Some(kind) = filter.kind.and_then(Kind::flag) {
            clause.push_str(kind);
        }
        if filter.sorted {
            clause.push_str(" ORDER BY domain, relativePath");
        } else if filter.by_id {
            clause.push_str(" ORDER BY fileID");
        }
        self.query(&clause, &values, |row| {
            !(filter.admits(&row.domain, &row.relative_path)
                && filter.kind.is_none_or(|kind| kind == row.kind)
                && filter.file_id.is_none_or(|id| id == row.file_id))
                || each(row)
        })
    }

    /// Calls `each` for what is in a domain, or in all of them one after the other, at a path or below it, each folder before
    /// what it holds, by name, until it answers false.
    pub fn tree(
        &self,
        domain: Option<&str>,
        below: &str,
        mut each: impl FnMut(Row) -> bool,
    ) -> Result<(), Error> {
        let filter = Filter {
            domain,
            below: Some(below).filter(|path| !path.is_empty()),
            ..Filter::default()
        };
        // '0' is the character behind '/'. With a path its own index is the better one, so that of domains is ruled out.
        let behind = format!("{below}0");
        let (bounds, values): (_, &[&dyn ToSql]) = match below {
            "" if domain.is_none() => ("true", &[]),
            "" => ("domain = ?1", &[&domain]),
            _ => (
                "+domain = ?1 AND relativePath >= ?2 AND relativePath < ?3",
                &[&domain, &below, &behind],
            ),
        };
        // Paths alone are sorted, without the records, and with what separates names before all that is in them.
        let sql = format!(
            "SELECT rowid FROM Files WHERE {bounds} ORDER BY domain, replace(relativePath, '/', char(1))"
        );
        let mut statement = self.0.connection().prepare(&sql)?;
        let mut places = statement.query(values)?;
        let sql = format!("{COLUMNS} WHERE rowid = ?1");
        let mut one = self.0.connection().prepare(&sql)?;
        let mut goes_on = true;
        while let Some(place) = places.next()?.filter(|_| goes_on) {
            let place: i64 = place.get(0)?;
            read_rows(&mut one.query([place])?, |row| {
                goes_on = !filter.admits(&row.domain, &row.relative_path) || each(row);
                goes_on
            })?;
        }
        Ok(())
    }

    fn query(
        &self,
        clause: &str,
        values: &[&dyn ToSql],
        each: impl FnMut(Row) -> bool,
    ) -> Result<(), Error> {
        let mut statement = self
            .0
            .connection()
            .prepare(&format!("{COLUMNS} {clause}"))?;
        read_rows(&mut statement.query(values)?, each)
    }
}

fn read_rows(rows: &mut Rows<'_>, mut each: impl FnMut(Row) -> bool) -> Result<(), Error> {
    while let Some(row) = rows.next()? {
        let blob: Option<Vec<u8>> = row.get(4)?;
        let row = Row {
            file_id: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
            domain: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            relative_path: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            // What no phone writes is of no kind, and keeps nobody from the rest.
            kind: match row.get_ref(3)?.as_i64().unwrap_or_default() {
                1 => Kind::File,
                2 => Kind::Directory,
                4 => Kind::Link,
                _ => Kind::Other,
            },
            archive: blob.unwrap_or_default(),
        };
        if !each(row) {
            break;
        }
    }
    Ok(())
}

/// Which rows of a list, and in what order.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Only of this domain.
    pub domain: Option<&'a str>,
    /// Only of this path, and what is below it.
    pub below: Option<&'a str>,
    /// Not what is below it.
    pub only_itself: bool,
    /// Only what has this id.
    pub file_id: Option<&'a str>,
    /// Only what is of this kind.
    pub kind: Option<Kind>,
    /// By file id.
    pub by_id: bool,
    /// By domain, then by path, byte by byte. Else as they lie in the list, which is fastest.
    pub sorted: bool,
}

impl Filter<'_> {
    /// Whether it lets a row of this name through.
    pub fn admits(&self, domain: &str, relative_path: &str) -> bool {
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
    use rusqlite::Connection;

    #[test]
    fn a_list_is_read_in_the_order_of_its_ids_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a b#%é");
        std::fs::create_dir(&folder).unwrap();
        let db = Connection::open(folder.join("Manifest.db")).unwrap();
        db.execute_batch(crate::manifest::SCHEMA).unwrap();
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
    fn a_folder_comes_before_what_it_holds_and_nothing_comes_between() {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("Manifest.db")).unwrap();
        db.execute_batch(crate::manifest::SCHEMA).unwrap();
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
    fn what_is_no_database_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Db::open(dir.path()).unwrap_err(), Error::Absent);
        std::fs::write(dir.path().join("Manifest.db"), [7; 4096]).unwrap();
        assert!(matches!(Db::open(dir.path()), Err(Error::Damaged(_))));
    }
}
