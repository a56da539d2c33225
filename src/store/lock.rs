//! One run per phone at a time. The system drops the lock when its holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::{Error, disk};
use crate::udid::Udid;

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
        let file = options
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Busy {
                udid: udid.clone(),
                lock: path,
            }),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", &path, e)),
        }
    }

    /// Whether a run holds the lock of `folder` now. Takes and leaves a shared one, and makes nothing.
    pub(super) fn is_held(folder: &Path) -> bool {
        let file = File::open(folder.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}
