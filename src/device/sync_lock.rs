//! The sync session around a backup, which keeps Finder, iTunes and this program from working on
//! one phone at the same time.
//!
//! The steps follow the order of Apple's own programs: post syncWillStart, open the lock file
//! through AFC, post syncLockRequest, lock (retrying while another program holds the lock), post
//! syncDidStart; at the end unlock, close, post syncDidFinish.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::afc::{Afc, Handle};
use super::{Error, Session};
use crate::base::cancel::CancelToken;
use crate::device::notifications::Notifications;

const LOCK_FILE: &str = "/com.apple.itunes.lock_sync";
const TRIES: usize = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// The sync lock, held.
pub struct SyncLock {
    afc: Afc,
    handle: Handle,
    notifications: Notifications,
}

impl SyncLock {
    /// Takes the lock, waiting up to ten seconds for another program.
    pub fn take(session: &mut Session, token: &Arc<CancelToken>) -> Result<SyncLock, Error> {
        let mut notifications = Notifications::open(session, token)?;
        notifications.post("com.apple.itunes-mobdev.syncWillStart")?;
        let mut afc = Afc::open(session, token)?;
        let handle = afc.open_for_lock(LOCK_FILE)?;
        notifications.post("com.apple.itunes-mobdev.syncLockRequest")?;
        for _ in 0..TRIES {
            if token.cancelled() {
                return Err(Error::Cancelled);
            }
            if afc.lock(handle)? {
                notifications.post("com.apple.itunes-mobdev.syncDidStart")?;
                return Ok(SyncLock {
                    afc,
                    handle,
                    notifications,
                });
            }
            thread::sleep(BETWEEN_TRIES);
        }
        Err(Error::SyncLocked)
    }

    /// Returns true if no other program holds the lock now. Takes the lock for a moment, but posts
    /// no notification, so that the phone shows nothing.
    pub(crate) fn is_free(session: &mut Session, token: &Arc<CancelToken>) -> Result<bool, Error> {
        let mut afc = Afc::open(session, token)?;
        let handle = afc.open_for_lock(LOCK_FILE)?;
        let free = afc.lock(handle)?;
        if free {
            afc.unlock(handle)?;
        }
        afc.close(handle)?;
        Ok(free)
    }

    /// Releases the lock. The caller may ignore an error, since a phone that is gone needs no
    /// unlocking.
    pub(crate) fn release(mut self) -> Result<(), Error> {
        self.afc.unlock(self.handle)?;
        self.afc.close(self.handle)?;
        self.notifications
            .post("com.apple.itunes-mobdev.syncDidFinish")
    }
}
