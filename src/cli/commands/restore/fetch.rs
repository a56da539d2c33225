//! `idev-backup restore --from repository`: pulls the backup into the store, or finds out for a dry
//! run what that takes.

use idev_backup::history::list::Named;
use idev_backup::repository::{self, Choice, Copy, Lists, Restic};
use idev_backup::restore::Transfer;
use idev_backup::store::{Snapshot, Store, disk};

use super::Restore;
use crate::cli::args::{anywhere, folders, store};
use crate::cli::failure::Failure;
use crate::cli::render::progress::Watch;

/// A backup of the repository.
pub enum Fetched {
    /// The backup is in the store.
    Here(Named),
    /// Only its lists are on this computer.
    Lists(Lists, Transfer),
}

/// Finds the backup in the repository, and pulls it unless the store has it or this is a dry run.
pub fn fetch(args: &Restore, watch: &Watch<'_>) -> Result<Fetched, Failure> {
    let path = args.read.store().path()?;
    let (restic, copy) = found(args)?;
    let present = match Store::open_made(&path) {
        Ok(store) => repository::pulled(&copy, &store)?,
        // It is made below, or the error is reported there.
        Err(_) => None,
    };
    if let Some(present) = present {
        return Ok(Fetched::Here(named(&present)));
    }
    if args.dry_run {
        let transfer = Transfer {
            files: copy.files.unwrap_or(0),
            bytes: copy.bytes.unwrap_or(0),
            free_bytes: disk::free_space_for(&path),
            into: path,
        };
        return Ok(Fetched::Lists(anywhere::lists(restic, &copy)?, transfer));
    }
    let target = store::open(&path, args.new_store, true)?;
    repository::pull(&restic, &Choice::Ours(copy.clone()), &target, watch)?;
    folders::remember_contents(&target);
    let pulled = repository::pulled(&copy, &target)?;
    let pulled = pulled.ok_or_else(|| repository::Error::NoBackup(copy.snapshot.clone()))?;
    Ok(Fetched::Here(named(&pulled)))
}

fn named(snapshot: &Snapshot) -> Named {
    Named {
        folder: snapshot.path().to_path_buf(),
        id: Some(snapshot.id().clone()),
    }
}

/// Finds the backup: of the phone to restore to, if the repository has one of it.
fn found(args: &Restore) -> Result<(Restic, Copy), Failure> {
    let word = args.read.word();
    match args.device.device.as_deref() {
        Some(phone) => match args.from.copy(word, Some(phone)) {
            Err(Failure::Repository(repository::Error::NoSnapshot(_))) => {
                args.from.copy(word, None)
            }
            found => found,
        },
        None => args.from.copy(word, None),
    }
}
