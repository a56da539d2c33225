//! A draft that an earlier run left: what it was cloned from, and whether it can be of use.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, Lock, SetAside, Snapshot, Store, seal, sums};
use crate::udid::Udid;

/// What the draft remembers about itself.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Note {
    /// The id of the backup that it was cloned from; none for an empty draft.
    base: Option<String>,
    /// SHA-256 of that backup's Status.plist: it must still be the same for the draft to be of use.
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

/// What earlier runs left: a draft, and what was set aside.
type Found = (Option<Leftover>, Vec<SetAside>);

/// A draft that an earlier run left.
pub struct Leftover {
    folder: PathBuf,
    backup: PathBuf,
}

impl Leftover {
    /// Looks for one. A seal that was under way is brought to its end first; what could not be is
    /// set aside.
    pub fn find(store: &Store, udid: &Udid, _lock: &Lock) -> Result<Found, Error> {
        let aside = seal::recover(store, udid)?;
        let folder = folder_of(store, udid);
        let leftover = Leftover {
            backup: folder.join("root").join(udid.as_str()),
            folder,
        };
        Ok((leftover.folder.exists().then_some(leftover), aside))
    }

    /// Returns its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns its files, in Apple's layout.
    pub fn backup(&self) -> &Path {
        &self.backup
    }
}

pub(super) fn folder_of(store: &Store, udid: &Udid) -> PathBuf {
    store.own_of(udid).join("draft")
}
