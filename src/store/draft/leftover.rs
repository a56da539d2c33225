//! A draft that an earlier run left.

use std::path::{Path, PathBuf};

use super::journal;
use crate::base::udid::Udid;
use crate::store::error::Error;
use crate::store::lock::Lock;
use crate::store::recovery::recover;
use crate::store::root::Store;
use crate::store::set_aside::SetAside;

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
    pub(crate) fn find(store: &Store, udid: &Udid, _lock: &Lock) -> Result<Found, Error> {
        let aside = recover(store, udid)?;
        let folder = store.draft_of(udid);
        let leftover = Leftover {
            backup: folder.join("root").join(udid.as_str()),
            folder,
        };
        Ok((leftover.folder.exists().then_some(leftover), aside))
    }

    /// Returns the number and the size of the files of a phone that runs have received without
    /// completing a backup. For reports: takes no lock and changes nothing.
    pub fn received(store: &Store, udid: &Udid) -> (u64, u64) {
        journal::received(&store.draft_of(udid).join("journal"))
    }

    /// Returns the draft's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns true if the phone had sent a file of its own, beside the lists and Info.plist.
    pub(crate) fn holds_files(&self) -> bool {
        journal::holds_files(&self.folder.join("journal"))
    }

    /// Returns the folder with the draft's files, in Apple's layout.
    pub(crate) fn backup(&self) -> &Path {
        &self.backup
    }
}
