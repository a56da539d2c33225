//! A list of files that covers only part of a backup: a copy of Manifest.db without the other
//! domains.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::backup_format::list_error::Error;
use crate::backup_format::temp_db;

/// Size of a partial list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// The number of remaining files, folders and links.
    pub rows: u64,
    /// The number of files among them.
    pub files: u64,
}

/// Copies the Manifest.db of the backup in `folder` to `to`, which must not exist, and removes the
/// rows of all domains that `is_wanted` rejects.
pub(crate) fn write(
    folder: &Path,
    to: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Part, Error> {
    // Check first that it is a list of files, before copying it.
    crate::backup_format::manifest_db::Db::open(folder)?;
    let no_place = |e: std::io::Error| Error::NoPlace(e.to_string());
    fs::copy(folder.join("Manifest.db"), to).map_err(no_place)?;
    // A sealed backup may be read-only, but the copy is going to be changed.
    #[cfg(unix)]
    {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(to, private).map_err(no_place)?;
    }
    let db = Connection::open(to)?;
    temp_db::bound(&db)?;
    db.pragma_update(None, "journal_mode", "MEMORY")?;
    let mut domains = Vec::new();
    {
        let mut statement = db.prepare("SELECT DISTINCT domain FROM Files")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            domains.push(row.get::<_, Option<String>>(0)?);
        }
    }
    db.execute_batch("BEGIN")?;
    for domain in domains {
        let unwanted = domain.as_deref().is_none_or(|domain| !is_wanted(domain));
        if unwanted {
            db.execute("DELETE FROM Files WHERE domain IS ?1", [&domain])?;
        }
    }
    db.execute_batch("COMMIT")?;
    let count = |clause: &str| {
        let sql = format!("SELECT count(*) FROM Files {clause}");
        db.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    Ok(Part {
        rows: count("")?.unsigned_abs(),
        files: count("WHERE flags = 1")?.unsigned_abs(),
    })
}
