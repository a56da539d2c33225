//! Checks the databases and property lists in a backup, which an app must be able to open after a
//! restore.

use std::io::{self, Read};
use std::path::Path;

use rusqlite::ErrorCode;
use serde::Serialize;

use super::property_list::Scan;
use crate::backup_format::temp_db::{self, Scratch};
use crate::verify::property_list;

/// Size limit in bytes: larger property lists are not read. Those of phones have a few megabytes.
const PLIST_BYTES_MAX: u64 = 32 << 20;
/// Number of bytes at the beginning that identify a file's form. Enough for everything before
/// `<plist` in XML with two bytes per character.
pub(crate) const HEAD_BYTES: usize = 512;

/// Number of files that were opened and checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Inside {
    /// SQLite databases that SQLite's own quick check finds whole.
    pub databases: u64,
    /// Property lists that can be read.
    pub property_lists: u64,
    /// Files of either kind that could not be judged: databases of an app that extends SQLite, and
    /// files that are too large.
    pub unknown: u64,
}

/// Form of a file, from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Database of SQLite.
    Database,
    /// Property list, binary or XML.
    PropertyList,
    /// Anything else. It is not checked.
    Other,
}

impl Form {
    /// Returns the form of a file that begins with these bytes.
    pub(crate) fn of(head: &[u8]) -> Form {
        if head.starts_with(b"SQLite format 3\0") {
            Form::Database
        } else if head.starts_with(b"bplist00") || property_list::is_xml(head) {
            Form::PropertyList
        } else {
            Form::Other
        }
    }
}

/// Result of opening a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// The file can be used.
    Fine,
    /// The file could not be judged.
    Unknown,
    /// The file cannot be used; the reason.
    Broken(String),
}

/// Checks a database in place.
pub(crate) fn database_at(path: &Path) -> Look {
    checked(Scratch::in_place(path))
}

/// Checks a database that is read from a stream of about this many bytes.
pub(crate) fn database_of(from: &mut dyn Read, bytes: u64) -> io::Result<Look> {
    match Scratch::make(from, bytes) {
        Err(temp_db::Error::Read(e)) => Err(e),
        made => Ok(checked(made)),
    }
}

fn checked(opened: Result<Scratch, temp_db::Error>) -> Look {
    let scratch = match opened {
        Ok(scratch) => scratch,
        Err(temp_db::Error::Sqlite(e)) => return judged(&e),
        Err(temp_db::Error::NoDatabase) => return Look::Broken("it is truncated".to_owned()),
        // The disk is full, or the file may not be read: that says nothing about the database.
        Err(temp_db::Error::Read(_) | temp_db::Error::Write(_)) => return Look::Unknown,
    };
    quick_check(scratch.connection())
}

/// Runs SQLite's own check of a database.
pub(crate) fn quick_check(connection: &rusqlite::Connection) -> Look {
    let word = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match word {
        Ok(word) if word == "ok" => Look::Fine,
        // Messages such as "*** in database main *** Tree 2 page 3 ..." are about the structure.
        // All others are about constraints that the app made.
        Ok(word) if word.contains("***") || word.contains("malformed") => {
            Look::Broken(word.replace('\n', " "))
        }
        Ok(_) => Look::Unknown,
        Err(e) => judged(&e),
    }
}

/// Returns what an error of SQLite says about a database.
pub(crate) fn judged(e: &rusqlite::Error) -> Look {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Look::Broken(e.to_string()),
        // For example, the database uses a function, tokenizer or collation of the app.
        _ => Look::Unknown,
    }
}

/// Reads a property list of this many bytes.
pub(crate) fn property_list(from: &mut dyn Read, bytes: u64) -> io::Result<Look> {
    if bytes > PLIST_BYTES_MAX {
        return Ok(Look::Unknown);
    }
    let mut all = Vec::new();
    from.take(PLIST_BYTES_MAX).read_to_end(&mut all)?;
    Ok(match property_list::scan(&all) {
        Scan::Valid => Look::Fine,
        Scan::Unknown => Look::Unknown,
        Scan::Broken(why) => Look::Broken(format!("no valid property list: {why}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn database(folder: &Path) -> Vec<u8> {
        let path = folder.join("x.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode=WAL; CREATE TABLE t (a TEXT); CREATE INDEX i ON t(a);",
        )
        .unwrap();
        for n in 0..500 {
            db.execute("INSERT INTO t VALUES (?)", [format!("{n:0100}")])
                .unwrap();
        }
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(db);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn database_check_is_independent_of_source() {
        let folder = tempfile::tempdir().unwrap();
        let whole = database(folder.path());
        assert!(
            whole.len() > 40_000 && whole[18] == 2,
            "it has the mark of a log"
        );
        let mut broken = whole.clone();
        let page = broken.len() - 4096;
        broken[page..page + 64].fill(0x5a);
        let path = folder.path().join("y.db");
        for (bytes, fine) in [(&whole, true), (&broken, false)] {
            std::fs::write(&path, bytes).unwrap();
            // Once in memory and, because of the claimed length, once in a file.
            for length in [bytes.len() as u64, 100 << 20] {
                let look = database_of(&mut &bytes[..], length).unwrap();
                assert_eq!(look == Look::Fine, fine, "{look:?}");
            }
            let look = database_at(&path);
            assert_eq!(look == Look::Fine, fine, "{look:?}");
            assert!(fine || matches!(look, Look::Broken(_)));
        }
        assert!(matches!(
            database_of(&mut &whole[..20], 20).unwrap(),
            Look::Broken(_)
        ));
        let cut = &whole[..whole.len() / 2];
        assert!(matches!(
            database_of(&mut &cut[..], cut.len() as u64).unwrap(),
            Look::Broken(_)
        ));
    }

    /// Checks that a database that needs a collation of its app does not count as checked and
    /// whole.
    #[test]
    fn custom_collation_is_not_called_fine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE t (a TEXT); PRAGMA writable_schema = 1;")
            .unwrap();
        db.execute(
            "INSERT INTO sqlite_schema VALUES ('index', 'i', 't', 3, 'CREATE INDEX i ON t(a COLLATE apples)')",
            [],
        )
        .unwrap();
        drop(db);
        let look = database_at(&path);
        assert!(!matches!(look, Look::Fine), "{look:?}");
    }

    #[test]
    fn truncated_property_list_is_broken() {
        let mut bytes = Vec::new();
        plist::Value::Array(vec!["a".into()])
            .to_writer_binary(&mut bytes)
            .unwrap();
        let look = |bytes: &[u8]| property_list(&mut &bytes[..], bytes.len() as u64).unwrap();
        assert_eq!(look(&bytes), Look::Fine);
        assert!(matches!(look(&bytes[..bytes.len() - 3]), Look::Broken(_)));
        assert_eq!(Form::of(&bytes), Form::PropertyList);
        assert_eq!(Form::of(b"hello"), Form::Other);
    }
}
