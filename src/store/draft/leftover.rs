//! A draft that an earlier run left, with a note about the backup from which it was cloned.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::udid::Udid;
use crate::store::draft::commit;
use crate::store::{Error, Lock, SetAside, Snapshot, Store, sums};

/// The note that a draft keeps about its base.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Note {
    /// The id of the backup from which the draft was cloned; `None` for an empty draft.
    base: Option<String>,
    /// SHA-256 of that backup's Status.plist. The draft can only be resumed if this is unchanged.
    base_status: Option<String>,
}

impl Note {
    pub fn of(base: Option<&Snapshot>) -> Result<Note, Error> {
        let Some(base) = base else {
            return Ok(Note {
                base: None,
                base_status: None,
            });
        };
        let status = base.path().join("Status.plist");
        let hash = if status.exists() {
            Some(sums::hex(&sums::hash_file(&status)?.0))
        } else {
            None
        };
        Ok(Note {
            base: Some(base.id().to_string()),
            base_status: hash,
        })
    }
}

/// The leftovers of earlier runs: a draft, if there is one, and the folders that were set aside.
type Found = (Option<Leftover>, Vec<SetAside>);

/// A draft that an earlier run left.
pub struct Leftover {
    folder: PathBuf,
    backup: PathBuf,
}

impl Leftover {
    /// Finds a draft that an earlier run left. An interrupted seal is completed first. What cannot
    /// be completed is set aside.
    pub fn find(store: &Store, udid: &Udid, _lock: &Lock) -> Result<Found, Error> {
        let aside = commit::recover(store, udid)?;
        let folder = folder_of(store, udid);
        let leftover = Leftover {
            backup: folder.join("root").join(udid.as_str()),
            folder,
        };
        Ok((leftover.folder.exists().then_some(leftover), aside))
    }

    /// Returns the draft's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder with the draft's files, in Apple's layout.
    pub fn backup(&self) -> &Path {
        &self.backup
    }
}

pub(crate) fn folder_of(store: &Store, udid: &Udid) -> PathBuf {
    store.own_of(udid).join("draft")
}
