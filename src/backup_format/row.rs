//! Rows of Manifest.db, tolerant of the column types that other programs write.

use rusqlite::Rows;
use rusqlite::types::ValueRef;

use super::kind::Kind;
use super::record::{BadRecord, FileRecord, file_id, kind_of_mode};
use crate::backup_format::record::fast;
use crate::backup_format::unreadable_rows::BadRow;

/// Columns that are read of each row, in the order that [`read_rows`] expects.
pub(super) const COLUMNS: &str =
    "SELECT fileID, domain, relativePath, flags, file, rowid FROM Files";

/// A row of Manifest.db.
#[derive(Debug, Clone)]
pub struct Row {
    /// The file id: 40 hex digits, unless the list is damaged or forged.
    pub file_id: String,
    /// The domain: `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// The path inside the domain.
    pub relative_path: String,
    /// The type of the item.
    pub kind: Kind,
    /// The phone's metadata of the file, still encoded.
    pub archive: Vec<u8>,
}

impl Row {
    /// Returns true if the file id matches the domain and path.
    pub fn is_named_right(&self) -> bool {
        self.file_id == file_id(&self.domain, &self.relative_path)
    }

    /// Decodes the phone's metadata of the file.
    pub fn record(&self) -> Result<FileRecord, BadRecord> {
        FileRecord::decode(&self.archive)
    }

    /// Returns only the size, which is much faster. The rest of the record may be damaged.
    pub fn size(&self) -> Result<u64, BadRecord> {
        fast::size(&self.archive).map_or_else(|| Ok(self.record()?.size), Ok)
    }
}

/// Calls `each` for every row, with its row number, until it returns false.
pub(super) fn read_rows(
    rows: &mut Rows<'_>,
    mut each: impl FnMut(i64, Result<Row, BadRow>) -> bool,
) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        let place = row.get(5)?;
        if !each(place, read(row, place)?) {
            break;
        }
    }
    Ok(())
}

/// Reads a row with any column types. The inner error describes a row whose name is not UTF-8.
fn read(row: &rusqlite::Row<'_>, place: i64) -> rusqlite::Result<Result<Row, BadRow>> {
    let texts = (
        text(row.get_ref(0)?),
        text(row.get_ref(1)?),
        text(row.get_ref(2)?),
    );
    let (Ok(file_id), Ok(domain), Ok(relative_path)) = texts else {
        let [id, domain, path] = [texts.0, texts.1, texts.2].map(|text| match text {
            Ok(text) | Err(text) => text,
        });
        return Ok(Err(BadRow {
            name: if domain.is_empty() && path.is_empty() {
                format!("row {place}")
            } else {
                format!("{domain}/{path} ({id})")
            },
            why: "its name is not UTF-8".to_owned(),
        }));
    };
    let archive = match row.get_ref(4)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    };
    let kind = match row.get_ref(3)? {
        ValueRef::Integer(1) => Kind::File,
        ValueRef::Integer(2) => Kind::Directory,
        ValueRef::Integer(4) => Kind::Link,
        // A phone with iOS 10 wrote such rows; the record gives the type.
        ValueRef::Integer(0) | ValueRef::Null => kind_in(&archive),
        _ => Kind::Other,
    };
    Ok(Ok(Row {
        file_id,
        domain,
        relative_path,
        kind,
        archive,
    }))
}

/// Converts a value to text. Fails with the lossy text if it is not UTF-8.
fn text(value: ValueRef<'_>) -> Result<String, String> {
    match value {
        ValueRef::Null => Ok(String::new()),
        ValueRef::Integer(number) => Ok(number.to_string()),
        ValueRef::Real(number) => Ok(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(String::from_utf8_lossy(bytes).into_owned()),
        },
    }
}

fn kind_in(archive: &[u8]) -> Kind {
    let mode = match fast::facts(archive) {
        Some(facts) => facts.mode,
        None => FileRecord::decode(archive).map_or(0, |record| record.mode),
    };
    kind_of_mode(mode)
}
