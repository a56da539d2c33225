//! `seal.json` and the renames that put a new backup in its place.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::free_names::archive_name;
use super::identity::{self, Prints};
use super::root::Store;
use super::snapshot::{self, Snapshot};
use super::{disk, walk};
use crate::base::plain_file;
use crate::base::udid::Udid;

/// The content of `seal.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The new backup's own stamp, which names the folder of ours that accompanies it.
    pub stamp: String,
    /// The archive name for the previous backup.
    pub archive: Option<String>,
    /// The name of the new backup if it does not become the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Intent {
    /// Reads an intent. Returns `None` without one. Names that a seal never gives count as
    /// damage.
    pub(super) fn read(path: &Path, udid: &Udid) -> Result<Option<Intent>, Error> {
        let damaged = |why: String| Error::Damaged {
            path: path.to_path_buf(),
            why,
        };
        let text = match plain_file::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| Error::io("read", path, e))?,
        };
        let intent: Intent = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        let names = [&intent.archive, &intent.place];
        let is_archive = |name: &String| {
            let stamp = name.strip_prefix(udid.as_str());
            let stamp = stamp.and_then(|rest| rest.strip_prefix('-'));
            stamp.is_some_and(snapshot::is_stamp)
        };
        if snapshot::is_stamp(&intent.stamp) && names.into_iter().flatten().all(is_archive) {
            Ok(Some(intent))
        } else {
            Err(damaged("it names what no seal would".to_owned()))
        }
    }
}

/// Returns the archive name for a backup that another program put in the place of a phone's current
/// backup.
fn archive_of(store: &Store, udid: &Udid, folder: &Path) -> Result<String, Error> {
    let other = Snapshot::open(store, udid.clone(), folder.to_path_buf(), None)?;
    archive_name(store, udid, &other)
}

/// Carries out the renames. Any of them may have happened already.
pub(super) fn finish(
    store: &Store,
    udid: &Udid,
    draft: &Path,
    intent: &Intent,
) -> Result<(), Error> {
    let own = store.own_of(udid);
    let root = draft.join("root");
    let new = root.join(udid.as_str());
    let current = match &intent.place {
        Some(name) => store.root().join(name),
        None => store.current_path(udid),
    };
    let beside = own.join(&intent.stamp);
    rename_if_there(&draft.join("beside"), &beside)?;

    // The new backup is checked, since the current one may have been changed by others meanwhile.
    if belongs(&own, &beside, &new)? {
        let moved = if current.exists() {
            if intent.place.is_some() {
                return Err(Error::Damaged {
                    path: current,
                    why: "a backup is to be put there, and something else has been put there meanwhile"
                        .to_owned(),
                });
            }
            match disk::exchange(&new, &current) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let archive = match &intent.archive {
                        Some(named) => named.clone(),
                        // As below, another program made it after this seal was intended.
                        None => archive_of(store, udid, &current)?,
                    };
                    fs::rename(&current, store.root().join(archive))
                        .and_then(|()| fs::rename(&new, &current))
                }
                Err(e) => Err(e),
            }
        } else {
            fs::rename(&new, &current)
        };
        moved.map_err(|e| Error::io("put in place", &current, e))?;
        // A file system may report success for a rename and lose the renamed folder. fusefat 0.1a
        // did so.
        if belongs(&own, &beside, &new)? || !belongs(&own, &beside, &current)? {
            return Err(Error::Damaged {
                path: current,
                why: "it is not the backup that was put there".to_owned(),
            });
        }
    }
    // After an exchange the previous backup is where the draft was.
    let archive = match &intent.archive {
        // Another program made it after this seal was intended. It must not be thrown away with the
        // draft.
        None if new.exists() => Some(archive_of(store, udid, &new)?),
        named => named.clone(),
    };
    if let Some(archive) = archive {
        rename_if_there(&new, &store.root().join(archive))?;
    }
    // The phone itself may have archived a backup during the run (iOS versions with an older
    // layout).
    for name in walk::names(&root)? {
        let is_archive = name.starts_with(udid.as_str()) && name != udid.as_str();
        if is_archive && !store.root().join(&name).exists() {
            rename_if_there(&root.join(&name), &store.root().join(&name))?;
        }
    }
    let failed = |e| Error::io("make durable", store.root(), e);
    disk::sync_parent(&current).map_err(failed)?;
    disk::sync_parent(&beside).map_err(failed)
}

/// Renames a file or folder. Returns false if it does not exist.
fn rename_if_there(from: &Path, to: &Path) -> Result<bool, Error> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("rename", from, e)),
    }
}

/// Returns true if `beside`, a folder in `own`, belongs to the backup in `folder`.
pub(super) fn belongs(own: &Path, beside: &Path, folder: &Path) -> Result<bool, Error> {
    let kept = identity::find(&snapshot::stamped(own)?, Some(beside), &Prints::of(folder));
    Ok(kept.is_some_and(|kept| kept.folder == beside))
}

/// Returns true if the metadata copies in `beside` are the same as the files in `backup`.
pub(super) fn has_its_copies(beside: &Path, backup: &Path) -> Result<bool, Error> {
    for name in ["Status.plist", "Info.plist"] {
        let same = disk::same_bytes(&beside.join(name), &backup.join(name));
        if !same.map_err(|e| Error::io("compare with the copy beside it", backup, e))? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rename_tolerates_only_absent_source() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        rename_if_there(&from, &to).unwrap();
        fs::create_dir_all(from.join("x")).unwrap();
        fs::create_dir_all(to.join("y")).unwrap();
        assert!(rename_if_there(&from, &to).is_err());
        assert!(from.join("x").exists() && to.join("y").exists());
        fs::remove_dir_all(&to).unwrap();
        rename_if_there(&from, &to).unwrap();
        assert!(to.join("x").exists() && !from.exists());
    }
}
