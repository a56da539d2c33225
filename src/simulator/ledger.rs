//! List of what a restore brought to the phone, with a row for each file, folder and link. Tests
//! and rehearsals compare it with the manifest.
//!
//! It is a SQLite database on disk, since a phone can have a million files, and a rehearsal must do
//! with little memory:
//! ```text
//! Restored(fileID, domain, relativePath, kind file|folder|link, size, sha256, mode, modified,
//!          target)
//! Facts(name, value): how the restore ended, its options, RestoreApplications.plist
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params};

use super::entry::hex;
use super::manifest::TempFile;

const SCHEMA: &str = "
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2048;
    CREATE TABLE Restored (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, kind TEXT, size INTEGER, sha256 TEXT,
        mode INTEGER, modified INTEGER, target TEXT) WITHOUT ROWID;
    CREATE TABLE Facts (name TEXT PRIMARY KEY, value);
    BEGIN;";

/// A file, folder or link that a restore brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// File name under which the backup stores it: 40 hex digits.
    pub file_id: String,
    /// Domain, for example "CameraRollDomain".
    pub domain: String,
    /// Path inside the domain; empty for the domain's own folder.
    pub path: String,
    /// Type of the entry.
    pub kind: RestoredKind,
    /// Permissions and file type, as in the manifest.
    pub mode: u32,
    /// Last change of the contents, in seconds since 1970.
    pub modified: i64,
}

/// Type of a [`Restored`] entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoredKind {
    /// A file, with the size and hash of its decrypted contents.
    File {
        /// Length in bytes.
        size: u64,
        /// SHA-256 of the contents in hexadecimal; empty if the phone computes no hashes.
        sha256: String,
    },
    /// A folder, which has no contents.
    Folder,
    /// A symbolic link and its target.
    Link(String),
}

/// The list of what a restore brought. Dropping the last clone removes the file, unless the phone
/// was configured with a path for it.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Place>);

#[derive(Debug)]
enum Place {
    Temporary(TempFile),
    Named(PathBuf),
}

impl Ledger {
    /// Returns the path of the database.
    pub(crate) fn path(&self) -> &Path {
        match &*self.0 {
            Place::Temporary(file) => file.path(),
            Place::Named(path) => path,
        }
    }

    /// Passes each row to `row` in the order of `file_id`, until it returns false.
    pub fn each(&self, mut row: impl FnMut(Restored) -> bool) -> io::Result<()> {
        let read = |db: Connection| -> rusqlite::Result<()> {
            let mut statement = db.prepare("SELECT * FROM Restored ORDER BY fileID")?;
            let mut rows = statement.query([])?;
            while let Some(found) = rows.next()? {
                let kind = match found.get_ref("kind")?.as_str()? {
                    "file" => RestoredKind::File {
                        size: found.get::<_, i64>("size")?.cast_unsigned(),
                        sha256: found.get("sha256")?,
                    },
                    "link" => RestoredKind::Link(found.get("target")?),
                    _ => RestoredKind::Folder,
                };
                let restored = Restored {
                    file_id: found.get("fileID")?,
                    domain: found.get("domain")?,
                    path: found.get("relativePath")?,
                    kind,
                    mode: found.get("mode")?,
                    modified: found.get("modified")?,
                };
                if !row(restored) {
                    break;
                }
            }
            Ok(())
        };
        self.open().and_then(read).map_err(io::Error::other)
    }

    /// Returns the contents of RestoreApplications.plist on the phone when the restore ended.
    pub fn applications(&self) -> io::Result<Option<Vec<u8>>> {
        let read = |db: Connection| {
            let mut statement =
                db.prepare("SELECT value FROM Facts WHERE name = 'applications'")?;
            let mut rows = statement.query([])?;
            let value = rows.next()?.map(|row| row.get::<_, Option<Vec<u8>>>(0));
            // The fact is always recorded, as NULL if there was no such file.
            Ok(value.transpose()?.flatten())
        };
        self.open().and_then(read).map_err(io::Error::other)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(self.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.pragma_update(None, "cache_size", -2048)?;
        Ok(db)
    }
}

/// A ledger that is being written.
pub(super) struct Writer {
    db: Connection,
    place: Place,
    /// Temporary path until the ledger is complete, if its final path was given.
    partial: Option<PathBuf>,
}

impl Writer {
    /// Creates a ledger in a temporary file, or in one that moves to `named` once it is complete.
    pub(super) fn begin(named: Option<&Path>) -> io::Result<Writer> {
        let (place, partial) = match named {
            None => (Place::Temporary(TempFile::new()?), None),
            Some(path) => {
                let mut partial = path.as_os_str().to_owned();
                partial.push(".partial");
                let partial = PathBuf::from(partial);
                match fs::remove_file(&partial) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
                (Place::Named(path.to_owned()), Some(partial))
            }
        };
        let path = match (&place, &partial) {
            (_, Some(partial)) => partial.as_path(),
            (Place::Temporary(file), None) => file.path(),
            (Place::Named(path), None) => path,
        };
        let db = Connection::open(path).map_err(io::Error::other)?;
        db.execute_batch(SCHEMA).map_err(io::Error::other)?;
        Ok(Writer { db, place, partial })
    }

    /// Adds rows. Returns false if one of them exists already.
    pub(super) fn add(&self, rows: &[Restored]) -> io::Result<bool> {
        self.try_to_add(rows).map_err(io::Error::other)
    }

    fn try_to_add(&self, rows: &[Restored]) -> rusqlite::Result<bool> {
        let mut insert = self.db.prepare(
            "INSERT OR IGNORE INTO Restored VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let mut all_new = true;
        for row in rows {
            let (kind, size, sha256, target) = match &row.kind {
                RestoredKind::File { size, sha256 } => {
                    ("file", Some(size.cast_signed()), Some(sha256), None)
                }
                RestoredKind::Folder => ("folder", None, None, None),
                RestoredKind::Link(target) => ("link", None, None, Some(target)),
            };
            let values = params![
                row.file_id,
                row.domain,
                row.path,
                kind,
                size,
                sha256,
                row.mode,
                row.modified,
                target
            ];
            all_new &= insert.execute(values)? == 1;
        }
        Ok(all_new)
    }

    /// Returns how many of these ids have no row.
    pub(super) fn lacks(&self, ids: impl Iterator<Item = [u8; 20]>) -> io::Result<u64> {
        let count = || -> rusqlite::Result<u64> {
            let mut select = self
                .db
                .prepare("SELECT 1 FROM Restored WHERE fileID = ?1")?;
            let mut count = 0;
            for id in ids {
                count += u64::from(!select.exists([hex(&id)])?);
            }
            Ok(count)
        };
        count().map_err(io::Error::other)
    }

    /// Records one fact.
    pub(super) fn note(&self, name: &str, value: impl Into<Value>) -> io::Result<()> {
        let value: Value = value.into();
        let noted = self.db.execute(
            "INSERT OR REPLACE INTO Facts VALUES (?1, ?2)",
            params![name, value],
        );
        noted.map(drop).map_err(io::Error::other)
    }

    /// Completes the ledger and makes it readable.
    pub(super) fn finish(self) -> io::Result<Ledger> {
        self.db.execute_batch("COMMIT").map_err(io::Error::other)?;
        self.db.close().map_err(|(_, e)| io::Error::other(e))?;
        if let (Some(partial), Place::Named(path)) = (&self.partial, &self.place) {
            fs::rename(partial, path)?;
        }
        Ok(Ledger(Arc::new(self.place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, kind: RestoredKind) -> Restored {
        Restored {
            file_id: id.repeat(40),
            domain: "HomeDomain".into(),
            path: format!("Library/{id}"),
            kind,
            mode: 0o100_644,
            modified: -5,
        }
    }

    /// Checks that the rows are read sorted by file ID, and that the temporary file is removed with
    /// the last copy of the ledger.
    #[test]
    fn ledger_rows_are_read_in_order() {
        let file = RestoredKind::File {
            size: 5_000_000_000,
            sha256: "ab".repeat(32),
        };
        let rows = [
            row("a", RestoredKind::Folder),
            row("b", file),
            row("c", RestoredKind::Link("/var/somewhere".into())),
        ];
        let writer = Writer::begin(None).unwrap();
        assert!(writer.add(&rows[1..]).unwrap());
        assert!(writer.add(&rows[..1]).unwrap());
        assert!(!writer.add(&rows[..1]).unwrap(), "once");
        let ids = [[0xaa; 20], [0xab; 20], [0xcc; 20]];
        assert_eq!(writer.lacks(ids.into_iter()).unwrap(), 1);
        writer.note("applications", b"<plist/>".to_vec()).unwrap();
        let ledger = writer.finish().unwrap();
        let mut read = Vec::new();
        ledger
            .each(|row| {
                read.push(row);
                read.len() < 3
            })
            .unwrap();
        assert_eq!(read, rows);
        assert_eq!(ledger.applications().unwrap().unwrap(), b"<plist/>");
        let path = ledger.path().to_owned();
        drop(ledger.clone());
        assert!(path.exists());
        drop(ledger);
        assert!(!path.exists());
    }

    /// Checks that a ledger with a name replaces the previous one only when it is complete, and
    /// that it stays.
    #[test]
    fn named_ledger_appears_when_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        for id in ["a", "b"] {
            let writer = Writer::begin(Some(&path)).unwrap();
            writer.add(&[row(id, RestoredKind::Folder)]).unwrap();
            assert_eq!(path.exists(), id == "b", "the last one stays until then");
            let ledger = writer.finish().unwrap();
            let mut read = Vec::new();
            ledger
                .each(|row| {
                    read.push(row.file_id);
                    true
                })
                .unwrap();
            assert_eq!(read, [id.repeat(40)]);
        }
        assert!(path.exists());
    }
}
