//! What is inside of files: databases and property lists, which an app must be able to open after a
//! restore.

use std::io::{self, Read};
use std::path::Path;

use rusqlite::ErrorCode;
use serde::Serialize;

use super::property_list::{self, Scan};
use crate::manifest::scratch::{self, Scratch};

/// Larger property lists are not looked into; those of phones have a few megabytes.
const PLIST_BYTES_MAX: u64 = 32 << 20;
/// Length of the beginning that tells what a file is: of XML, in two bytes for each letter, enough
/// for what stands before `<plist`.
pub const HEAD_BYTES: usize = 512;

/// How many files were looked into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Inside {
    /// Databases of SQLite that its own quick check finds whole.
    pub databases: u64,
    /// Property lists that can be read.
    pub property_lists: u64,
    /// Both, where it cannot be told: those of an app that extends SQLite, or that are too large.
    pub unknown: u64,
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SQLite's.
    Database,
    /// Binary or XML.
    PropertyList,
    /// Something else, of which nothing is claimed.
    Other,
}

impl Form {
    /// By the first bytes of a file.
    pub fn of(head: &[u8]) -> Form {
        if head.starts_with(b"SQLite format 3\0") {
            Form::Database
        } else if head.starts_with(b"bplist00") || property_list::is_xml(head) {
            Form::PropertyList
        } else {
            Form::Other
        }
    }
}

/// What came of a look inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It can be used.
    Fine,
    /// It cannot be told.
    Unknown,
    /// It cannot be used; why.
    Broken(String),
}

/// Checks a database where it lies.
pub fn database_at(path: &Path) -> Look {
    checked(Scratch::in_place(path))
}

/// Checks a database that comes as a stream of about so many bytes.
pub fn database_of(from: &mut dyn Read, bytes: u64) -> io::Result<Look> {
    match Scratch::make(from, bytes) {
        Err(scratch::Error::Read(e)) => Err(e),
        made => Ok(checked(made)),
    }
}

fn checked(opened: Result<Scratch, scratch::Error>) -> Look {
    let scratch = match opened {
        Ok(scratch) => scratch,
        Err(scratch::Error::Sqlite(e)) => return judged(&e),
        Err(scratch::Error::NoDatabase) => return Look::Broken("it is cut".to_owned()),
        // No room for a copy of it, or no right to read it: nothing of the database.
        Err(scratch::Error::Read(_) | scratch::Error::Write(_)) => return Look::Unknown,
    };
    quick_check(scratch.connection())
}

/// SQLite's own check of a database.
pub fn quick_check(connection: &rusqlite::Connection) -> Look {
    let word = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match word {
        Ok(word) if word == "ok" => Look::Fine,
        // "*** in database main *** Tree 2 page 3 ..." is of its structure; all else is of rules
        // that the app made.
        Ok(word) if word.contains("***") || word.contains("malformed") => {
            Look::Broken(word.replace('\n', " "))
        }
        Ok(_) => Look::Unknown,
        Err(e) => judged(&e),
    }
}

/// What an error of SQLite says of a database.
pub fn judged(e: &rusqlite::Error) -> Look {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Look::Broken(e.to_string()),
        // A function, a tokenizer or a collation of the app's own, for one.
        _ => Look::Unknown,
    }
}

/// Reads a property list of so many bytes.
pub fn property_list(from: &mut dyn Read, bytes: u64) -> io::Result<Look> {
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
    fn a_database_is_whole_or_broken_wherever_it_is_read_from() {
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
            // Both in memory and, by its claimed length, in a file.
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

    #[test]
    fn what_an_app_added_to_sqlite_is_not_called_broken() {
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
    fn a_property_list_is_read_or_broken() {
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
