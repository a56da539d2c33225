//! Manifest.db: the list of all files, read row by row and never written.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::glance;
use super::record::{BadRecord, FileRecord, file_id};

/// The first bytes of a database that is not encrypted.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Longest value in a row; records have some hundred bytes.
const VALUE_BYTES_MAX: i32 = 16 << 20;

/// Why the list of files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is none.
    Absent,
    /// SQLite cannot make sense of it.
    Damaged(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Absent => f.write_str("it is missing"),
            Error::Damaged(why) => write!(f, "it is damaged: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        Error::Damaged(e.to_string())
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
pub struct Db(Connection);

impl Db {
    /// Opens the Manifest.db of the backup in `folder`. Nothing is locked or written, no file made beside it.
    pub fn open(folder: &Path) -> Result<Db, Error> {
        let path = std::path::absolute(folder.join("Manifest.db"))
            .map_err(|e| Error::Damaged(e.to_string()))?;
        let mut magic = [0; 16];
        match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::Absent),
            Err(e) => return Err(Error::Damaged(e.to_string())),
            Ok(mut file) => {
                file.read_exact(&mut magic)
                    .map_err(|_| Error::Damaged("it is cut".to_owned()))?;
            }
        }
        if &magic != MAGIC {
            return Err(Error::Damaged("it is no database".to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(&path), flags)?;
        // Bounded whatever the size: a phone's list can have 1.5 GB.
        connection.pragma_update(None, "cache_size", -4096)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        // A list from a stranger: no functions in its schema, no values beyond what a record can be, and a table that is
        // one, since a view could go on for ever.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
        let is_table = "SELECT count(*) FROM sqlite_schema WHERE name = 'Files' AND type = 'table' AND rootpage > 0";
        match connection.query_row(is_table, [], |row| row.get(0))? {
            1i64 => Ok(Db(connection)),
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
        let word: Option<String> = self.0.query_row(pragma, [], |row| row.get(0)).optional()?;
        match word.as_deref() {
            Some("ok") => Ok(()),
            other => Err(Error::Damaged(
                other.unwrap_or("SQLite's check says nothing").to_owned(),
            )),
        }
    }

    /// Calls `each` for every row, in the order of file ids, until it answers false.
    pub fn rows(&self, mut each: impl FnMut(Row) -> bool) -> Result<(), Error> {
        let sql = "SELECT fileID, domain, relativePath, flags, file FROM Files ORDER BY fileID";
        let mut statement = self.0.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let blob: Option<Vec<u8>> = row.get(4)?;
            let row = Row {
                file_id: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
                domain: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                relative_path: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                kind: match row.get(3)? {
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
}

/// A whole path as SQLite's URI form: `immutable` keeps it from making `-wal` and `-shm` beside a sealed backup.
fn uri(path: &Path) -> String {
    #[cfg(unix)]
    let text = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    // The extended form of Windows (`\\?\C:\...`) means the same file to SQLite without its prefix.
    #[cfg(not(unix))]
    let slashes = path.to_string_lossy().replace('\\', "/");
    #[cfg(not(unix))]
    let text = slashes.strip_prefix("//?/").unwrap_or(&slashes).as_bytes();
    let mut uri = String::from(if text.starts_with(b"/") {
        "file://"
    } else {
        "file:///"
    });
    for &byte in text {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(byte.into())
            }
            b':' if cfg!(windows) => uri.push(':'),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_no_database_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Db::open(dir.path()).unwrap_err(), Error::Absent);
        std::fs::write(dir.path().join("Manifest.db"), [7; 4096]).unwrap();
        assert!(matches!(Db::open(dir.path()), Err(Error::Damaged(_))));
    }
}
