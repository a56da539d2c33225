//! Remembers which stores this user has used, so that a store on a disk that is away is known to
//! be away.
//!
//! ```text
//! [{"path": "/media/disk/backups", "seen": "2026-11-27T22:14:00Z"}, …]
//! ```

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::base::{plain_file, time};
use crate::store::{self, disk};

/// Maximum number of stores that are remembered: the ones seen last.
const STORES_MAX: usize = 100;
/// Maximum size of the file.
const BYTES_MAX: usize = 1 << 20;

/// A store that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The store's root folder.
    pub path: PathBuf,
    /// Time at which the store was last opened, RFC 3339.
    pub seen: String,
}

/// Reads the stores that were used, the latest first. A file that is absent or unreadable counts as
/// empty: it only repeats what the user knows.
pub fn known(file: &Path) -> Vec<Known> {
    let bytes = plain_file::read(file).unwrap_or_default();
    if bytes.len() > BYTES_MAX {
        return Vec::new();
    }
    let mut stores: Vec<Known> = serde_json::from_slice(&bytes).unwrap_or_default();
    stores.truncate(STORES_MAX);
    stores
}

/// Notes that a store was opened at `now`. Writes at most once an hour for each store.
pub fn remember(file: &Path, store: &Path, now: SystemTime) -> Result<(), store::Error> {
    let seen = time::rfc3339(now);
    let mut stores = known(file);
    let hour = |text: &str| text.get(..13).map(str::to_owned);
    let first = stores.first();
    if first.is_some_and(|first| first.path == store && hour(&first.seen) == hour(&seen)) {
        return Ok(());
    }
    stores.retain(|known| known.path != store);
    let path = store.to_path_buf();
    stores.insert(0, Known { path, seen });
    stores.truncate(STORES_MAX);
    if let Some(folder) = file.parent() {
        disk::make_private_dirs(folder)?;
    }
    let text = serde_json::to_vec_pretty(&stores).unwrap_or_default();
    disk::write_whole(file, &text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn latest_store_comes_first() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("state/stores.json");
        assert!(known(&file).is_empty());
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let hour = Duration::from_secs(3600);
        remember(&file, Path::new("/a"), start)?;
        remember(&file, Path::new("/b"), start + hour)?;
        remember(&file, Path::new("/a"), start + 2 * hour)?;
        let paths: Vec<PathBuf> = known(&file).into_iter().map(|known| known.path).collect();
        assert_eq!(paths, [PathBuf::from("/a"), PathBuf::from("/b")]);
        std::fs::write(&file, "no JSON")?;
        assert!(known(&file).is_empty());
        Ok(())
    }
}
