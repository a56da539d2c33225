//! Repairs a file of a sealed backup from another place where its bytes are intact. Sealed backups
//! are never changed otherwise, and only bytes that match the backup's own list of hashes are
//! written.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::audit::Extent;
use super::record::{RECORD, RECORD_COPY};
use super::sums::{Hash, hash_file, unhex};
use super::{Error, Lock, RECORDED, Snapshot, Store, disk, snapshot};
use crate::base::backup_path::BackupPath;
use crate::base::plain_file;
use crate::base::sha256::Sha256;

impl Store {
    /// Restores the file at `path` with bytes whose hash is `hash`, from the phone's other backups
    /// or from the copies that accompany this one. Returns the file that was copied, or `None` if
    /// none has these bytes.
    ///
    /// The file is replaced, not changed in place. Other snapshots that share it by a hard link
    /// keep the old contents.
    pub(crate) fn take_back(
        &self,
        _lock: &Lock,
        backup: &Snapshot,
        path: &BackupPath,
        hash: &Hash,
    ) -> Result<Option<PathBuf>, Error> {
        let to = path.below(backup.path());
        folders(backup.path(), path).map_err(|e| Error::io("put back", &to, e))?;
        let is_right = |file: &Path| hash_file(file).is_ok_and(|(found, _)| found == *hash);
        if fs::symlink_metadata(&to).is_ok_and(|meta| meta.is_file()) && is_right(&to) {
            // The bytes are correct, so restoring them does not help.
            return Ok(None);
        }
        let others = snapshot::of(self, backup.udid())?;
        let mut roots: Vec<&Path> = (others.iter().map(Snapshot::path))
            .filter(|root| *root != backup.path())
            .collect();
        if RECORDED.contains(&path.as_str()) {
            roots.extend(backup.beside());
        }
        let temporary = self.own_of(backup.udid()).join("mend.partial");
        for root in roots {
            let source = path.below(root);
            let is_file = fs::symlink_metadata(&source).is_ok_and(|meta| meta.is_file());
            if !is_file || folders(root, path).is_err() {
                continue;
            }
            disk::remove_if_there(&temporary).map_err(|e| Error::io("remove", &temporary, e))?;
            match copy_if(&source, &temporary, hash) {
                Ok(true) => {
                    put(&temporary, &to).map_err(|e| Error::io("put back", &to, e))?;
                    return Ok(Some(source));
                }
                // The source has other bytes, or cannot be read either.
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

impl Store {
    /// Rewrites damaged files of our own whose correct contents can be proved: a copy of the record
    /// from the other copy, and copies of the metadata from the backup. Returns each file that was
    /// written with the file that its contents came from.
    pub(crate) fn mend_records(
        &self,
        _lock: &Lock,
        backup: &Snapshot,
    ) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
        let (Some(beside), Some(record)) = (backup.beside(), backup.record()) else {
            return Ok(Vec::new());
        };
        let mut mended = Vec::new();
        for fault in backup.audit(Extent::All)? {
            let to = beside.join(&fault.file);
            if fault.file == RECORD || fault.file == RECORD_COPY {
                record.write(beside)?;
                let other = if fault.file == RECORD {
                    RECORD_COPY
                } else {
                    RECORD
                };
                mended.push((to, beside.join(other)));
            } else if let Some(wanted) = record.metadata.get(&fault.file) {
                let from = backup.path().join(&fault.file);
                let temporary = self.own_of(backup.udid()).join("mend.partial");
                let failed = |e| Error::io("put back", &to, e);
                disk::remove_if_there(&temporary).map_err(failed)?;
                let hash = unhex(&wanted.sha256);
                // If the backup's file has other bytes or cannot be read, the damaged copy stays as
                // it is. The next check reports it again.
                if hash.is_some_and(|hash| copy_if(&from, &temporary, &hash).unwrap_or(false)) {
                    put(&temporary, &to).map_err(failed)?;
                    mended.push((to, from));
                }
                let rest = disk::remove_if_there(&temporary);
                rest.map_err(|e| Error::io("remove", &temporary, e))?;
            }
        }
        Ok(mended)
    }
}

/// Copies a file and returns true if its hash is `wanted`. The bytes are hashed while they are
/// copied, so what was compared is what is put in place.
fn copy_if(from: &Path, to: &Path, wanted: &Hash) -> io::Result<bool> {
    let (mut from, mut to) = (plain_file::open(from)?, disk::create_private(to)?);
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
    let found = hash.finalize();
    Ok(found == *wanted)
}

/// Returns an error if anything above a path is not a folder. Missing folders are allowed. A link
/// would lead out of the backup, or into another one.
fn folders(root: &Path, path: &BackupPath) -> io::Result<()> {
    let mut above = root.to_path_buf();
    for part in path.components() {
        match fs::symlink_metadata(&above) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                let what = format!("{} is no folder", above.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, what));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        above.push(part);
    }
    Ok(())
}

fn put(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        disk::make_private_dirs(folder).map_err(io::Error::other)?;
    }
    fs::rename(from, to)?;
    disk::sync_parent(to)
}
