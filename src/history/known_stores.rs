//! Remembers which stores this user has used and what they held, so that a store whose disk is
//! away is known to be away.
//!
//! ```text
//! {"version": 1, "stores": [
//!   {"path": "/media/disk/backups", "seen": "2026-11-27T22:14:00Z", "phones": [
//!     {"udid": "00008130-…", "name": "Mira's iPhone", "newest": "2026-11-27T22:13:00Z"}]}]}
//! ```
//! The file only repeats what the stores hold. A file that is absent or damaged counts as empty.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::list::describe;
use crate::base::{plain_file, time};
use crate::store::{self, Store, disk};

/// Maximum number of stores that are remembered: the ones seen last.
const STORES_MAX: usize = 100;
/// Maximum number of phones that are remembered of a store.
const PHONES_MAX: usize = 100;
/// Maximum size of the file.
const BYTES_MAX: u64 = 1 << 20;
/// Version of the file's format.
const VERSION: u32 = 1;

/// A store that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The store's root folder.
    pub path: PathBuf,
    /// Time at which the store was last opened, RFC 3339.
    pub seen: String,
    /// The phones that it held then.
    #[serde(default)]
    pub phones: Vec<KnownPhone>,
}

/// A phone that a store held when it was last opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPhone {
    /// UDID of the phone.
    pub udid: String,
    /// Name of the phone.
    pub name: Option<String>,
    /// Time at which the phone's newest backup was made, RFC 3339.
    pub newest: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    stores: Vec<Known>,
}

/// Reads the stores that were used, the one used last first.
pub fn known(file: &Path) -> Vec<Known> {
    let mut bytes = Vec::new();
    let read = plain_file::open(file).map(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
    match (read, serde_json::from_slice::<File>(&bytes)) {
        (Ok(Ok(_)), Ok(mut file)) if file.version == VERSION => {
            file.stores.truncate(STORES_MAX);
            file.stores
        }
        _ => Vec::new(),
    }
}

/// Notes that a store was opened at `now`. Does nothing if that was noted in the same hour.
pub fn remember(file: &Path, store: &Store, now: SystemTime) -> Result<(), store::Error> {
    let seen = time::rfc3339(now);
    let hour = |text: &str| text.get(..13).map(str::to_owned);
    let is_noted = |known: &Known| known.path == store.root() && hour(&known.seen) == hour(&seen);
    if known(file).iter().any(is_noted) {
        return Ok(());
    }
    refresh(file, store, now)
}

/// Notes what a store holds at `now`. A folder of other programs is not noted, nor a store that is
/// not made yet.
pub fn refresh(file: &Path, store: &Store, now: SystemTime) -> Result<(), store::Error> {
    // JSON holds only paths that are Unicode.
    if !store.is_marked() || store.root().to_str().is_none() {
        return Ok(());
    }
    let mut stores = known(file);
    stores.retain(|known| known.path != store.root());
    let known = Known {
        path: store.root().to_path_buf(),
        seen: time::rfc3339(now),
        phones: phones(store)?,
    };
    stores.insert(0, known);
    stores.truncate(STORES_MAX);
    if let Some(folder) = file.parent() {
        disk::make_private_dirs(folder)?;
    }
    let contents = File {
        version: VERSION,
        stores,
    };
    let text = serde_json::to_vec_pretty(&contents).unwrap_or_default();
    // Several runs may write it at the same time.
    disk::write_shared(file, &text)
}

fn phones(store: &Store) -> Result<Vec<KnownPhone>, store::Error> {
    let mut phones = Vec::new();
    for udid in store.phones()?.into_iter().take(PHONES_MAX) {
        let newest = store.current(&udid)?.map(|newest| describe(&newest));
        phones.push(KnownPhone {
            udid: udid.to_string(),
            name: newest.as_ref().and_then(|newest| newest.name.clone()),
            newest: newest.and_then(|newest| newest.date),
        });
    }
    Ok(phones)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn latest_store_comes_first() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("state/stores.json");
        let store = |name: &str| Store::create(&folder.path().join(name));
        let (one, other) = (store("a")?, store("b")?);
        let paths =
            || -> Vec<PathBuf> { known(&file).into_iter().map(|known| known.path).collect() };
        assert!(paths().is_empty());
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let hour = Duration::from_secs(3600);
        remember(&file, &one, start)?;
        remember(&file, &other, start + hour)?;
        assert_eq!(paths(), [other.root(), one.root()]);
        // Within the same hour, nothing is written.
        remember(&file, &one, start)?;
        assert_eq!(paths(), [other.root(), one.root()]);
        remember(&file, &one, start + 2 * hour)?;
        assert_eq!(paths(), [one.root(), other.root()]);
        for damage in ["no JSON", "{\"version\": 2, \"stores\": []}", "[]"] {
            std::fs::write(&file, damage)?;
            assert!(paths().is_empty());
            remember(&file, &one, start)?;
            assert_eq!(paths(), [one.root()]);
        }
        Ok(())
    }

    #[test]
    fn folders_of_others_are_not_noted() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("stores.json");
        let other = folder.path().join("other");
        std::fs::create_dir(&other)?;
        remember(&file, &Store::open(&other)?, SystemTime::UNIX_EPOCH)?;
        remember(&file, &Store::planned(&other)?, SystemTime::UNIX_EPOCH)?;
        assert!(!file.exists());
        Ok(())
    }
}
