//! Checks permissions before a run, so that a folder of another user is not discovered only after
//! everything has been received.

use std::path::Path;

use super::{Error, Store};
use crate::base::plain_file;
use crate::base::udid::Udid;

/// Returns the store's owner if root must not write into the store, else `None`. Root may write if
/// it owns the store's folder, or if a new file of root's gets the same owner as the folder.
#[cfg(any(unix, test))] // Only Unix has owners like these.
fn stranger(effective: u32, folder: u32, new_file: impl FnOnce() -> Option<u32>) -> Option<u32> {
    const ROOT: u32 = 0;
    if effective != ROOT || folder == ROOT {
        return None;
    }
    // A disk that is mounted for one user assigns every file to that user.
    (new_file() != Some(folder)).then_some(folder)
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::process::geteuid;

    use super::{Error, Store, Udid, stranger};
    use crate::store::layout;
    use crate::store::names::{METADATA, TRASH};

    impl Store {
        /// Returns an error if root would write into a store of another user. That user could not
        /// use the files that root creates.
        pub(crate) fn check_user(&self) -> Result<(), Error> {
            let own = self.own();
            let folder = if own.is_dir() {
                own
            } else {
                self.root().to_path_buf()
            };
            let Ok(meta) = fs::metadata(&folder) else {
                return Ok(());
            };
            let new_file = || {
                let file = tempfile::NamedTempFile::with_prefix_in("probe-", &folder).ok()?;
                Some(file.as_file().metadata().ok()?.uid())
            };
            match stranger(geteuid().as_raw(), meta.uid(), new_file) {
                Some(owner) => Err(Error::AsRoot {
                    path: self.root().to_path_buf(),
                    owner,
                }),
                None => Ok(()),
            }
        }

        /// Checks that this user may read and write everything that a backup of this phone needs,
        /// before the phone sends anything. The error names the folder concerned and its owner.
        pub(crate) fn check_rights(&self, udid: &Udid) -> Result<(), Error> {
            self.check_user()?;
            const ALL: Access = Access::READ_OK
                .union(Access::WRITE_OK)
                .union(Access::EXEC_OK);
            let (own, current) = (self.own_of(udid), self.current_path(udid));
            let whole = [self.root().to_path_buf(), self.own(), own.clone()];
            for path in whole.iter().chain([&current]) {
                may(path, ALL, "write to")?;
            }
            for name in ["draft", "import", TRASH] {
                may(&own.join(name), ALL, "write to")?;
            }
            for name in METADATA {
                may(&current.join(name), Access::READ_OK, "read")?;
            }
            for folder in folders(&current) {
                may(&folder, Access::READ_OK.union(Access::EXEC_OK), "read")?;
            }
            Ok(())
        }
    }

    /// Returns the folders with a backup's files, 256 at most.
    fn folders(backup: &Path) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(backup).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(layout::is_folder))
            .map(|entry| entry.path())
    }

    /// Returns an error if the system refuses this user the access. A missing file is not an error.
    fn may(path: &Path, access: Access, doing: &'static str) -> Result<(), Error> {
        match accessat(CWD, path, access, AtFlags::EACCESS) {
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
                let owner = fs::metadata(path).map(|meta| meta.uid());
                let cause = io::Error::from(io::ErrorKind::PermissionDenied);
                match owner {
                    Ok(owner) if owner != geteuid().as_raw() => Err(Error::NotYours {
                        doing,
                        path: path.to_path_buf(),
                        owner,
                        user: geteuid().as_raw(),
                    }),
                    _ => Err(Error::io(doing, path, cause)),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(not(unix))]
impl Store {
    pub(super) fn check_user(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Does nothing: this system has no owners like those of Unix.
    pub(crate) fn check_rights(&self, _: &Udid) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns true if this user has no permission to read a backup, so that nothing is known about it.
pub(crate) fn is_refused(backup: &Path) -> bool {
    let denied = |e: std::io::Error| e.kind() == std::io::ErrorKind::PermissionDenied;
    let status = plain_file::open(&backup.join("Status.plist"));
    status.err().is_some_and(denied) || std::fs::read_dir(backup).err().is_some_and(denied)
}

/// Returns a name for a user: "root" or the number.
pub(super) fn user(id: u32) -> String {
    if id == 0 {
        "root".to_owned()
    } else {
        format!("user {id}")
    }
}

/// Returns a path in quotes for a shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_refused_in_foreign_stores() {
        for (effective, folder, new_file, refused) in [
            (1000, 1000, Some(1000), None),
            (1000, 0, None, None),
            (0, 0, Some(0), None),
            (0, 1000, Some(0), Some(1000)),
            // The disk is mounted for one user.
            (0, 1000, Some(1000), None),
            (0, 1000, None, Some(1000)),
        ] {
            assert_eq!(stranger(effective, folder, || new_file), refused);
        }
    }

    #[test]
    fn paths_are_quoted_for_shells() {
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
