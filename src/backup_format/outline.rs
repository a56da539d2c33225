//! Names, types and sizes of the rows of Manifest.db, without their records.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use super::kind::Kind;
use super::row::Row;
use crate::backup_format::record::fast;

/// Columns that [`Outline::read`] expects.
pub(super) const OUTLINE: &str =
    "rowid, domain, relativePath, outline(domain, relativePath, flags, file)";

/// Result of the SQL function `outline` for a folder. For a file, it is the size.
const FOLDER: i64 = -1;
/// Result of the SQL function `outline` for a link.
const LINK: i64 = -2;

/// Name, type and size of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The domain.
    pub domain: String,
    /// The path inside the domain.
    pub relative_path: String,
    /// The type of the item.
    pub kind: Kind,
    /// Size in bytes; 0 for a folder or link.
    pub size: u64,
}

/// A row of a sorted list.
#[derive(Debug)]
pub(crate) enum Outlined {
    /// A row whose type and size are known.
    Outline(Outline),
    /// A row with unusual columns or an unusual record, read as a whole.
    Row(Row),
}

impl Outline {
    /// Reads an outline, or returns `None` if the row has none.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> Result<Option<Outline>> {
        let (kind, size) = match row.get_ref(3)? {
            ValueRef::Integer(FOLDER) => (Kind::Directory, 0),
            ValueRef::Integer(LINK) => (Kind::Link, 0),
            ValueRef::Integer(size) => (Kind::File, u64::try_from(size).unwrap_or(0)),
            _ => return Ok(None),
        };
        Ok(Some(Outline {
            domain: row.get(1)?,
            relative_path: row.get(2)?,
            kind,
            size,
        }))
    }
}

/// Registers the SQL function `outline`. It returns NULL for a row that must be read as a whole.
pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("outline", 4, flags, |row| {
        let is_text = |column| {
            matches!(row.get_raw(column), ValueRef::Text(text) if std::str::from_utf8(text).is_ok())
        };
        if !is_text(0) || !is_text(1) {
            return Ok(None);
        }
        Ok(match (row.get_raw(2), row.get_raw(3)) {
            (ValueRef::Integer(2), _) => Some(FOLDER),
            (ValueRef::Integer(4), _) => Some(LINK),
            (ValueRef::Integer(1), ValueRef::Blob(record)) => {
                fast::size(record).and_then(|size| i64::try_from(size).ok())
            }
            _ => None,
        })
    })
}
