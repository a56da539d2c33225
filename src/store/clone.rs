//! A copy of a backup that shares its bytes where the file system lets it.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::disk::{self, CloneKind};
use super::walk::Walk;
use super::{Error, Origin, Snapshot};

/// Clones all plain files, folder by folder, on a few threads.
pub fn clone_backup(base: &Snapshot, target: &Path) -> Result<Origin, Error> {
    const THREADS: usize = 4;
    // A backup that another program made may be written in place by it: no file of it may be shared.
    let ours = base.beside().is_some();
    let (mut names, mut files, mut left_out) = (VecDeque::new(), 0, 0);
    let mut kind = CloneKind::Reflink;
    for entry in fs::read_dir(base.path()).map_err(|e| Error::io("list", base.path(), e))? {
        let name = entry
            .map_err(|e| Error::io("list", base.path(), e))?
            .file_name();
        let from = base.path().join(&name);
        let meta = fs::symlink_metadata(&from).map_err(|e| Error::io("look at", &from, e))?;
        if meta.is_dir() && name != "Snapshot" {
            names.push_back(name);
        } else if meta.is_file() {
            disk::clone_file(&from, &target.join(&name), &mut kind, ours)
                .map_err(|e| Error::io("clone", &from, e))?;
            files += 1;
        } else {
            left_out += 1;
        }
    }
    let queue = Mutex::new(names);
    let work = || -> Result<(u64, u64, CloneKind), Error> {
        let (mut files, mut left_out, mut kind) = (0, 0, kind);
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(name) = next else {
                return Ok((files, left_out, kind));
            };
            let (from, to) = (base.path().join(&name), target.join(&name));
            disk::make_private_dirs(&to)?;
            let mut made = to.clone();
            for found in Walk::new(&from)? {
                let found = match found {
                    Ok(found) if found.is_file() => found,
                    // Links and the like, and names that are no text: nothing of a backup.
                    Ok(_) | Err(Error::Damaged { .. }) => {
                        left_out += 1;
                        continue;
                    }
                    Err(e) => return Err(e),
                };
                let place = to.join(&found.path);
                if let Some(parent) = place.parent()
                    && parent != made
                {
                    disk::make_private_dirs(parent)?;
                    made = parent.to_path_buf();
                }
                let source = from.join(&found.path);
                disk::clone_file(&source, &place, &mut kind, ours)
                    .map_err(|e| Error::io("clone", &source, e))?;
                files += 1;
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join()).collect()
    });
    for result in results {
        let (more, left, how) = result.map_err(|_| Error::Damaged {
            path: base.path().to_path_buf(),
            why: "cloning it failed".to_owned(),
        })??;
        files += more;
        left_out += left;
        kind = how;
    }
    Ok(Origin::Cloned {
        kind,
        ours,
        files,
        left_out,
    })
}
