//! Folders for temporary files into which nobody else can look. They go with their owner, and also
//! where the program is told to end at once, which no owner hears of: a list of files can name what
//! an encrypted backup hides.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// Those that are there.
static THERE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A folder of mode 0700.
#[derive(Debug)]
pub struct PrivateDir(TempDir);

impl PrivateDir {
    /// Makes one in the folder for temporary files.
    pub fn new(prefix: &str) -> io::Result<PrivateDir> {
        PrivateDir::new_in(prefix, &std::env::temp_dir())
    }

    /// Makes one in `place`.
    pub fn new_in(prefix: &str, place: &Path) -> io::Result<PrivateDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = builder.tempdir_in(place)?;
        there.push(folder.path().to_path_buf());
        Ok(PrivateDir(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        there.retain(|path| path != self.0.path());
    }
}

/// Removes all of them, before the program ends without its owners' doing. What cannot be removed
/// stays.
pub fn remove_all() {
    // Whoever makes one just now waits for this, and so for the end.
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
    fn it_is_private_and_goes_with_its_owner() -> io::Result<()> {
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
