//! Locks the backup that is restored.

use std::path::Path;

use super::error::Error;
use crate::history::list::Named;
use crate::store::{self, Lock, Store, snapshot};

/// A lock on a backup. While it is held, no other run moves or drops the backup, whose files would
/// otherwise disappear during the restore.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held but never used")] Option<Lock>);

/// Locks the backup in a folder. A store that this user cannot write to needs no lock.
pub fn hold(folder: &Path) -> Result<Held, Error> {
    hold_named(&Named {
        folder: folder.to_path_buf(),
        id: snapshot::look(folder)?.map(|found| found.id().clone()),
    })
}

/// Locks the backup that was found by its name. Fails if another backup has replaced it since.
pub fn hold_named(named: &Named) -> Result<Held, Error> {
    let lock = lock(&named.folder)?;
    let now = snapshot::look(&named.folder)?.map(|found| found.id().clone());
    if now == named.id {
        Ok(Held(lock))
    } else {
        Err(store::Error::moved(&named.folder, None).into())
    }
}

fn lock(folder: &Path) -> Result<Option<Lock>, Error> {
    let Some(of) = snapshot::look(folder)? else {
        return Ok(None);
    };
    let store = of.path().parent().map(Store::open);
    match store {
        Some(Ok(store)) if store.is_marked() => match store.lock(of.udid()) {
            Ok(lock) => Ok(Some(lock)),
            Err(busy @ store::Error::Busy { .. }) => Err(busy.into()),
            Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}
