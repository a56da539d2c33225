//! A file of a sealed backup, taken back from where its bytes are still whole. The one thing that is ever written into a sealed
//! backup: the bytes that its own list of hashes names, and nothing else.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::sums::Hash;
use super::{Error, Lock, METADATA, Snapshot, Store, disk, snapshot};
use crate::path::BackupPath;

impl Store {
    /// Puts the bytes that give `hash` back to `path`, from the phone's other backups or from the copies beside this one. Answers
    /// where they came from; `None` where nobody has them.
    ///
    /// What stands there is replaced, not changed: other snapshots that share it by a hard link keep what they have.
    pub fn take_back(
        &self,
        _lock: &Lock,
        backup: &Snapshot,
        path: &BackupPath,
        hash: &Hash,
    ) -> Result<Option<PathBuf>, Error> {
        let to = path.below(backup.path());
        let mut sources: Vec<PathBuf> = snapshot::of(self, backup.udid())?
            .iter()
            .filter(|other| other.path() != backup.path())
            .map(|other| path.below(other.path()))
            .collect();
        if METADATA.contains(&path.as_str()) {
            sources.extend(backup.beside().map(|beside| path.below(beside)));
        }
        let temporary = self.own_of(backup.udid()).join("mend.partial");
        for source in sources {
            if !fs::symlink_metadata(&source).is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            disk::remove_if_there(&temporary).map_err(|e| Error::io("remove", &temporary, e))?;
            match copy_if(&source, &temporary, hash) {
                Ok(true) => {
                    put(&temporary, &to).map_err(|e| Error::io("put back", &to, e))?;
                    return Ok(Some(source));
                }
                // Not these bytes, or they cannot be read either.
                Ok(false) => {}
                Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                    drop(disk::remove_if_there(&temporary));
                    return Err(Error::io("write", &temporary, e));
                }
                Err(_) => {}
            }
        }
        disk::remove_if_there(&temporary).map_err(|e| Error::io("remove", &temporary, e))?;
        Ok(None)
    }
}

/// Hashes what it copies: what is put in place is what was compared.
fn copy_if(from: &Path, to: &Path, wanted: &Hash) -> io::Result<bool> {
    let (mut from, mut to) = (File::open(from)?, disk::create_private(to)?);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                hash.update(&buffer[..length]);
                to.write_all(&buffer[..length])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    to.sync_all()?;
    let found: Hash = hash.finalize().into();
    Ok(found == *wanted)
}

fn put(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        disk::make_private_dirs(folder).map_err(io::Error::other)?;
    }
    fs::rename(from, to)?;
    disk::sync_parent(to)
}
