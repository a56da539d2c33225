//! A folder in which a backup is put together that was fetched from a repository, before it is
//! imported. Its files are moved from there and not copied.
//!
//! ```text
//! pull/lock         held while a backup is fetched
//! pull/raw/         what was restored, as the repository holds it
//! pull/root/        the same as a store: <UDID>/ and .idev-backup/<UDID>/<stamp>/
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use super::lock::Lock;
use super::names::OWN;
use super::trash::throw_away;
use super::walk::Walk;
use super::{Error, Store, disk};
use crate::base::udid::Udid;

/// The folder for one phone, and its lock. The phone's own lock stays free, so backups go on.
#[derive(Debug)]
pub(crate) struct Pulled {
    own: PathBuf,
    folder: PathBuf,
    udid: Udid,
    _lock: Lock,
}

impl Pulled {
    /// Takes the folder.
    pub(crate) fn begin(store: &Store, udid: &Udid) -> Result<Pulled, Error> {
        store.check_user()?;
        let own = store.own_of(udid);
        let folder = own.join("pull");
        Ok(Pulled {
            _lock: Lock::take(&folder, udid)?,
            own,
            folder,
            udid: udid.clone(),
        })
    }

    /// Returns the folder into which the repository's files are restored. Files that an interrupted
    /// run of the same snapshot has left are still there; those of another one are removed.
    pub(crate) fn raw(&self, snapshot: &str) -> Result<PathBuf, Error> {
        let raw = self.folder.join("raw");
        let note = self.folder.join("snapshot");
        if fs::read_to_string(&note).ok().as_deref() != Some(snapshot) {
            self.empty()?;
            disk::write_whole(&note, snapshot.as_bytes())?;
        }
        disk::make_private_dirs(&raw)?;
        Ok(raw)
    }

    /// Returns the bytes that an interrupted run has left.
    pub(crate) fn left_bytes(&self) -> u64 {
        let Ok(walk) = Walk::new(&self.folder.join("raw")) else {
            return 0;
        };
        walk.flatten().map(|found| found.meta.len()).sum()
    }

    /// Makes a store of what was restored: of the folder of the backup, and of `own`, the folder
    /// with our records. Both are below [`raw`](Pulled::raw), and one may be inside the other.
    pub(crate) fn as_store(&self, backup: &Path, own: Option<&Path>) -> Result<Store, Error> {
        let root = self.folder.join("root");
        throw_away(&self.own, &root, &mut || ())?;
        disk::make_private_dirs(&root)?;
        let rename =
            |from: &Path, to: &Path| fs::rename(from, to).map_err(|e| Error::io("rename", from, e));
        // The folder with our records comes first: it may be in the backup's folder.
        if let Some(own) = own.filter(|own| own.is_dir()) {
            rename(own, &root.join(OWN))?;
        }
        rename(backup, &root.join(self.udid.as_str()))?;
        Ok(Store::at(&root))
    }

    /// Removes everything that was restored.
    pub(crate) fn empty(&self) -> Result<(), Error> {
        for name in ["raw", "root"] {
            throw_away(&self.own, &self.folder.join(name), &mut || ())?;
        }
        let note = self.folder.join("snapshot");
        disk::remove_if_there(&note).map_err(|e| Error::io("remove", &note, e))
    }
}
