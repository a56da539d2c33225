//! Opens a SQLite database that is a file of a backup.

use rusqlite::Connection;

use crate::backup_format::manifest_db;
use crate::backup_format::temp_db::Scratch;
use crate::backup_format::wal::Wal;
use crate::reader::backup::{Backup, Item};

/// Opens the database at a path of a domain, with the changes in its write-ahead log if the backup
/// has one; `None` if the backup has no such file. A database that is encrypted, has a log or is
/// not in the backup's folder is copied into memory or a private temporary file.
pub(crate) fn open(
    backup: &Backup,
    domain: &str,
    relative_path: &str,
) -> Result<Option<Scratch>, String> {
    let Some(item) = backup.find(domain, relative_path).map_err(text)? else {
        return Ok(None);
    };
    let failed = |e| manifest_db::Error::from(e).to_string();
    let wal = log_of(backup, &item)?;
    let is_copied = backup.is_encrypted() || backup.is_elsewhere() || wal.is_some();
    let scratch = if is_copied {
        let mut bytes = backup.bytes(&item).map_err(text)?;
        Scratch::with_wal(&mut bytes, item.size().unwrap_or(u64::MAX), wal)
    } else {
        Scratch::in_place(&backup.path_of(&item).map_err(text)?)
    };
    scratch.map_err(failed).map(Some)
}

/// Reads the write-ahead log of a database; `None` if there is none or it is empty. Rows that are
/// only in the log would be lost without notice if a log that cannot be read were ignored.
fn log_of(backup: &Backup, database: &Item) -> Result<Option<Wal>, String> {
    let path = format!("{}-wal", database.relative_path);
    let found = backup.find(&database.domain, &path).map_err(text)?;
    let Some(item) = found.filter(|item| item.size().unwrap_or(1) > 0) else {
        return Ok(None);
    };
    let mut bytes = backup.bytes(&item).map_err(text)?;
    Wal::read(&mut bytes).map_err(|e| format!("cannot read {}: {e}", item.name()))
}

fn text(error: crate::reader::Error) -> String {
    error.to_string()
}

/// Returns the columns of a table; none if the database has no such table. A view does not count:
/// reading a crafted one might never end.
pub(crate) fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    // A virtual table has no root page. Listing its columns would need the module that it names.
    let is_table =
        "SELECT count(*) FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND rootpage > 0";
    if db.query_row(is_table, [table], |row| row.get::<_, i64>(0))? != 1 {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

/// Returns `alias.name` if the columns include the name, else `NULL`, for use in a query.
pub(crate) fn column_or_null(columns: &[String], alias: &str, name: &str) -> String {
    if columns.iter().any(|column| column == name) {
        format!("{alias}.{name}")
    } else {
        "NULL".to_owned()
    }
}
