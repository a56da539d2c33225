//! Private folders for temporary files that other users cannot read. A folder is removed when its
//! owner is dropped, and also when the program ends, because a thread that still runs then never
//! drops its own. This matters because a list of files can reveal names that an encrypted backup
//! hides.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use tempfile::TempDir;

/// The paths of all existing private folders.
static THERE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary folder of mode 0700.
#[derive(Debug)]
pub struct PrivateDir(TempDir);

impl PrivateDir {
    /// Creates a folder in the system's folder for temporary files.
    pub fn new(prefix: &str) -> io::Result<PrivateDir> {
        PrivateDir::new_in(prefix, &std::env::temp_dir())
    }

    /// Creates a folder in `place`.
    pub(crate) fn new_in(prefix: &str, place: &Path) -> io::Result<PrivateDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = builder.tempdir_in(place)?;
        there.push(folder.path().to_path_buf());
        Ok(PrivateDir(folder))
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // The lock is held meanwhile, so that the program does not end before the folder is gone.
        let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        drop(fs::remove_dir_all(self.0.path()));
        there.retain(|path| path != self.0.path());
    }
}

/// Removes all private folders before the program ends without dropping their owners. Folders that
/// cannot be removed stay.
pub fn remove_all() {
    // The lock is never released, so a thread that creates a folder now waits until the program
    // ends.
    let there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
    for path in there.iter() {
        drop(fs::remove_dir_all(path));
    }
    std::mem::forget(there);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_dir_is_removed_on_drop() -> io::Result<()> {
        let folder = PrivateDir::new("idev-backup-test-")?;
        let path = folder.path().to_path_buf();
        fs::write(path.join("file"), "x")?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o700);
        }
        let is_noted = || {
            let there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
            there.contains(&path)
        };
        assert!(is_noted());
        drop(folder);
        assert!(!is_noted() && !path.exists());
        Ok(())
    }
}
