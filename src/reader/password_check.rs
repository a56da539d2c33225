//! Tries a password on a backup.

use std::path::Path;

use serde::Serialize;

use crate::reader::Error;
use crate::reader::backup::Backup;
use crate::reader::passwords::Passwords;

/// Result of trying a password on a backup.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Folder of the backup.
    pub path: String,
    /// The backup is encrypted. Otherwise no password is needed.
    pub encrypted: bool,
    /// Protection classes whose key is wrapped with the password and does not open. Their files are
    /// lost.
    pub closed_classes: Vec<u32>,
}

/// Tries a password on a backup: on its keys and on its list. A wrong password is an error.
pub fn check(folder: &Path, passwords: &dyn Passwords) -> Result<Proof, Error> {
    let open = Backup::open(folder, passwords)?;
    let closed = open.keys().map(|keys| keys.unopened().to_vec());
    Ok(Proof {
        path: folder.display().to_string(),
        encrypted: open.is_encrypted(),
        closed_classes: closed.unwrap_or_default(),
    })
}
