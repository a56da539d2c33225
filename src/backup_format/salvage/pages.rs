//! Recovers the rows of a Manifest.db that SQLite cannot open, since its beginning is damaged: this
//! module searches the file for rows page by page.
//!
//! ```text
//! page    13, free block u16, cells u16, content u16, fragments u8, then u16 for each cell: its
//!         offset (a table's leaf page)
//! cell    payload length varint, row number varint, payload; its excess is on other pages
//! payload header length varint, a type varint for each column, then the columns
//! ```
//! (SQLite's "Database File Format".) A page that the phone has freed may still hold rows that it
//! removed.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use rusqlite::{Connection, Statement, params};

use crate::backup_format::list_error::Error;
use crate::backup_format::temp_db::{self, Scratch};
use crate::backup_format::unreadable_rows::Unread;
use crate::base::plain_file;

/// First byte of a table's leaf page.
const LEAF: u8 = 13;
/// Length of a leaf page's header, in bytes.
const HEAD: usize = 8;
/// Length of a page in a phone's database, in bytes.
const PAGE: usize = 4096;
/// Number of columns in the table of files.
const COLUMNS: usize = 5;

/// Creates a database of the rows found on the pages of a file.
pub(crate) fn save(path: &Path, unread: &mut Unread) -> Result<Scratch, Error> {
    let file = plain_file::open(path).map_err(temp_db::Error::Read)?;
    let saved = Scratch::empty()?;
    let to = saved.connection();
    to.execute_batch(
        "CREATE TABLE Files (fileID, domain, relativePath, flags, file);
         CREATE UNIQUE INDEX ById ON Files(fileID);
         BEGIN",
    )?;
    let rows = rows(file, to)?;
    to.execute_batch("COMMIT")?;
    temp_db::bound(to)?;
    if rows == 0 {
        return Err(Error::Damaged("none of its rows can be read".to_owned()));
    }
    unread.note(
        "the beginning of the list of files is damaged; its rows were recovered page by page: \
         some may be missing, and files that the phone has removed may be included"
            .to_owned(),
    );
    Ok(saved)
}

fn rows(file: File, to: &Connection) -> Result<usize, Error> {
    // Of two copies of a row one is outdated; keep the one found first.
    let sql = "INSERT OR IGNORE INTO Files VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = to.prepare(sql)?;
    let mut file = BufReader::with_capacity(64 * PAGE, file);
    let mut page = vec![0; PAGE];
    let mut rows = 0;
    loop {
        match file.read_exact(&mut page) {
            Ok(()) => rows += leaf(&page, &mut insert)?,
            // Stop where the file is cut or cannot be read.
            Err(_) => return Ok(rows),
        }
    }
}

/// Saves the rows of a page and returns their number; 0 if the page is not a table's leaf page.
fn leaf(page: &[u8], insert: &mut Statement<'_>) -> Result<usize, Error> {
    let mut rows = 0;
    if page[0] != LEAF {
        return Ok(0);
    }
    let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
    let pointers = page[HEAD..].chunks_exact(2).take(cells);
    for pointer in pointers {
        let at = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
        let Some(row) = page.get(at..).and_then(row) else {
            continue;
        };
        let text = String::from_utf8_lossy;
        rows += insert.execute(params![
            text(row.id),
            text(row.domain),
            text(row.path),
            row.flags,
            row.archive
        ])?;
    }
    Ok(rows)
}

/// A row of the table of files, as stored on its page.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    id: &'a [u8],
    domain: &'a [u8],
    path: &'a [u8],
    flags: Option<u8>,
    /// The record; `None` if it continues on another page.
    archive: Option<&'a [u8]>,
}

/// Parses a cell. Returns `None` if it is not a row of the table of files.
fn row(cell: &[u8]) -> Option<Row<'_>> {
    let (_, rest) = varint(cell)?;
    let (_, payload) = varint(rest)?;
    let (head_bytes, mut types) = varint(payload)?;
    let mut values = payload.get(usize::try_from(head_bytes).ok()?..)?;
    let mut columns = [(0, Some(&[][..])); COLUMNS];
    for (place, column) in columns.iter_mut().enumerate() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let length = length(kind)?;
        // Only the last column may continue on another page.
        if length > values.len() && place + 1 < COLUMNS {
            return None;
        }
        *column = (kind, values.get(..length));
        values = values.get(length..).unwrap_or_default();
    }
    let is_text = |kind: u64| kind >= 13 && kind % 2 == 1;
    let [
        (_, id),
        (domain_kind, domain),
        (path_kind, path),
        (_, flags),
        (archive_kind, archive),
    ] = columns;
    let id = id?;
    let is_id = id.len() == 40 && id.iter().all(u8::is_ascii_hexdigit);
    if !is_id || !is_text(domain_kind) || !is_text(path_kind) {
        return None;
    }
    Some(Row {
        id,
        domain: domain?,
        path: path?,
        flags: match (columns[3].0, flags?) {
            (8, _) => Some(0),
            (9, _) => Some(1),
            (1, [flags]) => Some(*flags),
            _ => None,
        },
        archive: archive.filter(|_| archive_kind >= 12),
    })
}

/// Returns the length of a value of this type, in bytes.
fn length(kind: u64) -> Option<usize> {
    match kind {
        0 | 8 | 9 => Some(0),
        1..=4 => usize::try_from(kind).ok(),
        5 => Some(6),
        6 | 7 => Some(8),
        12.. => usize::try_from((kind - 12) / 2).ok(),
        _ => None,
    }
}

/// Reads a number of one to nine bytes, and returns it with the bytes that follow.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (place, byte) in bytes.iter().take(8).enumerate() {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    let last = bytes.get(8)?;
    Some((number << 8 | u64::from(*last), &bytes[9..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_loss_of_first_page() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Manifest.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(crate::backup_format::SCHEMA).unwrap();
        db.execute_batch("BEGIN").unwrap();
        for number in 0..300i64 {
            // The record of every tenth file continues on other pages.
            let archive = vec![7; if number % 10 == 0 { 9000 } else { 500 }];
            let row = (
                format!("{number:040x}"),
                "HomeDomain",
                format!("ä/{number}"),
                1 << (number % 3),
                archive,
            );
            db.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", row)
                .unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
        drop(db);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..PAGE].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let mut unread = Unread::default();
        let saved = save(&path, &mut unread).unwrap();
        let count = |clause: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM Files WHERE {clause}");
            saved
                .connection()
                .query_row(&sql, [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(
            count("domain = 'HomeDomain' AND relativePath LIKE 'ä/%'"),
            300
        );
        assert_eq!(count("length(file) = 500"), 270);
        assert_eq!(
            (count("flags = 1"), count("flags = 2"), count("flags = 4")),
            (100, 100, 100)
        );
        assert!(!unread.is_empty());
        // Damage bytes throughout the file.
        for byte in bytes.iter_mut().step_by(97) {
            *byte ^= 0xff;
        }
        std::fs::write(&path, &bytes).unwrap();
        drop(save(&path, &mut unread));
        std::fs::write(&path, [13; 9000]).unwrap();
        assert!(save(&path, &mut unread).is_err());
    }
}
