//! The paths of files in a backup, for many look-ups.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::reader::Error;
use crate::reader::backup::Backup;

/// Maximum number of paths that are remembered. A forged list could have any number.
const PATHS_MAX: usize = 4 << 20;
/// The domain and the folder of the attachments of messages.
pub(crate) const MESSAGES: (&str, &str) = ("MediaDomain", "Library/SMS");

/// The paths of one domain, as hashes: 16 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Paths {
    /// Reads the paths of all files below a folder of a domain.
    pub(crate) fn below(backup: &Backup, domain: &str, folder: &str) -> Result<Paths, Error> {
        let mut paths = Paths::default();
        backup.file_paths(domain, folder, |path| {
            let hash = paths.hasher.hash_one(path);
            paths.hashes.insert(hash);
            paths.hashes.len() < PATHS_MAX
        })?;
        Ok(paths)
    }

    /// Returns true if a file has this path.
    pub(crate) fn have(&self, path: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(path))
    }
}

/// Returns the path in its domain of an attachment of a message. The phone names it
/// `~/Library/SMS/…` or `/var/mobile/Library/SMS/…`.
pub(crate) fn of_attachment(name: &str) -> Option<String> {
    let (_, path) = name.split_once("Library/SMS/")?;
    Some(format!("Library/SMS/{path}"))
}
