//! Tries a password on a backup.

use std::path::Path;

use serde::Serialize;

use crate::base::secret::Secret;
use crate::reader::Error;
use crate::reader::backup::Backup;
use crate::reader::opening;
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

/// Returns the password that opens the keys of a backup; `None` if it is not encrypted. Reads
/// nothing but Manifest.plist. A wrong password is an error.
pub fn password_of(folder: &Path, passwords: &dyn Passwords) -> Result<Option<Secret>, Error> {
    opening::password_of(folder, passwords)
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
