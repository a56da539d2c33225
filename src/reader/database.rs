//! Opens a SQLite database that is a file of a backup.

use rusqlite::Connection;

use crate::backup_format::manifest_db;
use crate::backup_format::temp_db::Scratch;
use crate::reader::backup::Backup;

/// Opens the database at a path of a domain; `None` if the backup has no such file. An encrypted
/// one is decrypted into a private temporary database.
pub(crate) fn open(
    backup: &Backup,
    domain: &str,
    relative_path: &str,
) -> Result<Option<Scratch>, String> {
    let Some(item) = backup.find(domain, relative_path).map_err(text)? else {
        return Ok(None);
    };
    let scratch = if backup.is_encrypted() {
        let mut bytes = backup.bytes(&item).map_err(text)?;
        Scratch::make(&mut bytes, item.size().unwrap_or(u64::MAX))
    } else {
        Scratch::in_place(&backup.path_of(&item).map_err(text)?)
    };
    let scratch = scratch.map_err(|e| manifest_db::Error::from(e).to_string())?;
    Ok(Some(scratch))
}

fn text(error: crate::reader::Error) -> String {
    error.to_string()
}

/// Returns the columns of a table; none if the database has no such table. A view does not count:
/// reading a crafted one might never end.
pub(crate) fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let is_table =
        "SELECT count(*) FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND rootpage > 0";
    if db.query_row(is_table, [table], |row| row.get::<_, i64>(0))? != 1 {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}
