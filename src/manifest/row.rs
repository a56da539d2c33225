//! One row of Manifest.db, read whatever types a stranger's list has.

use rusqlite::Rows;
use rusqlite::types::ValueRef;

use super::glance;
use super::record::{BadRecord, FileRecord, file_id, kind_of_mode};
use super::unread::BadRow;

/// The columns that are read of each row, in the order in which [`read_rows`] expects them.
pub(super) const COLUMNS: &str =
    "SELECT fileID, domain, relativePath, flags, file, rowid FROM Files";

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

/// Calls `each` for every row with its number, until it answers false.
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

/// Reads a row, whatever types a stranger's list has.
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
            name: match domain.is_empty() && path.is_empty() {
                true => format!("row {place}"),
                false => format!("{domain}/{path} ({id})"),
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
        // A phone with iOS 10 wrote such rows: the record says what they are.
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

/// Returns a value as text; one that is not UTF-8 as what of it can be read.
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
    let mode = match glance::facts(archive) {
        Some(facts) => facts.mode,
        None => FileRecord::decode(archive).map_or(0, |record| record.mode),
    };
    kind_of_mode(mode)
}
