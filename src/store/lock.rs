//! The lock that allows one run per phone at a time. The system releases it when the process ends
//! for whatever reason.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Error, disk};
use crate::base::plain_file;
use crate::base::udid::Udid;

/// The longest time to wait for short holders of the lock: a process that only checks for a run, or
/// a child process that is just being started and has inherited the lock.
const PASSING_MAX: Duration = Duration::from_millis(300);

/// A held lock on one phone's part of a store.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path, udid: &Udid) -> Result<Lock, Error> {
        disk::make_private_dirs(folder)?;
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file =
            plain_file::open_with(&mut options, &path).map_err(|e| Error::io("open", &path, e))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if since.elapsed() < PASSING_MAX => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Busy {
                        udid: udid.clone(),
                        lock: path,
                    });
                }
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
            }
        }
    }

    /// Returns true if a run holds the lock of `folder` now. Takes a shared lock for a moment, and
    /// does not create the lock file.
    pub(super) fn is_held(folder: &Path) -> bool {
        let file = plain_file::open(&folder.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}
