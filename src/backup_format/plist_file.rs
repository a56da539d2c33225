//! Reads a property list of a backup, up to a limit of length.

use std::fs;
use std::path::Path;

use plist::Dictionary;

use crate::base::{bounded_plist, plain_file};

/// Failure to use a property list of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The file does not exist.
    Absent,
    /// The file cannot be read or parsed, for this reason.
    Damaged(String),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Absent => f.write_str("it is missing"),
            Unreadable::Damaged(why) => f.write_str(why),
        }
    }
}

/// Reads one of the property lists of the backup in `folder`. Info.plist can exceed 64 MiB on
/// phones with many apps.
pub fn read(folder: &Path, name: &str) -> Result<Dictionary, Unreadable> {
    let damaged = |e: &dyn std::fmt::Display| Unreadable::Damaged(e.to_string());
    length(folder, name)?;
    let bytes = plain_file::read(&folder.join(name)).map_err(|e| damaged(&e))?;
    let value = bounded_plist::parse(&bytes).map_err(|e| damaged(&e))?;
    value
        .into_dictionary()
        .ok_or_else(|| Unreadable::Damaged("it is not a dictionary".to_owned()))
}

/// Returns the length of a property list in bytes. Fails if the file does not exist, is empty, or
/// exceeds 512 MiB.
pub fn length(folder: &Path, name: &str) -> Result<u64, Unreadable> {
    const BYTES_MAX: u64 = 512 << 20;
    let damaged = |why: String| Err(Unreadable::Damaged(why));
    match fs::symlink_metadata(folder.join(name)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Unreadable::Absent),
        Err(e) => damaged(e.to_string()),
        Ok(meta) if !meta.is_file() => damaged("it is not a file".to_owned()),
        Ok(meta) if meta.len() == 0 => damaged("it is empty".to_owned()),
        Ok(meta) if meta.len() > BYTES_MAX => damaged("it is too large".to_owned()),
        Ok(meta) => Ok(meta.len()),
    }
}
