//! Clones a backup. The clone shares data with the backup if the file system supports that.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::origin::Origin;
use crate::store::disk::{self, CloneKind};
use crate::store::error::Error;
use crate::store::layout::{self, LeftOut};
use crate::store::snapshot::Snapshot;
use crate::store::walk::Walk;

/// Clones the files that belong to a backup, folder by folder, on several threads. Everything else
/// in the backup's folder is left out and counted.
pub fn clone_backup(base: &Snapshot, target: &Path) -> Result<Origin, Error> {
    const THREADS: usize = 4;
    // Another program may change the files of its own backups in place, so none of those may be
    // shared.
    let ours = base.beside().is_some();
    let (mut names, mut files, mut left_out) = (VecDeque::new(), 0, LeftOut::default());
    let mut kind = CloneKind::Reflink;
    for entry in fs::read_dir(base.path()).map_err(|e| Error::io("list", base.path(), e))? {
        let name = entry
            .map_err(|e| Error::io("list", base.path(), e))?
            .file_name();
        let from = base.path().join(&name);
        let meta = fs::symlink_metadata(&from).map_err(|e| Error::io("look at", &from, e))?;
        let text = name.to_str().unwrap_or_default();
        if meta.is_dir() && layout::is_folder(text) {
            names.push_back(name);
        } else if meta.is_file() && layout::is_part(text) {
            disk::clone_file(&from, &target.join(&name), &mut kind, ours)
                .map_err(|e| Error::io("clone", &from, e))?;
            files += 1;
        } else if !(meta.is_dir() && text == "Snapshot") {
            left_out.add(Path::new(&name));
        }
    }
    let queue = Mutex::new(names);
    let work = || -> Result<(u64, LeftOut, CloneKind), Error> {
        let (mut files, mut left_out, mut kind) = (0, LeftOut::default(), kind);
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(name) = next else {
                return Ok((files, left_out, kind));
            };
            let (from, to) = (base.path().join(&name), target.join(&name));
            let folder = name.to_string_lossy();
            disk::make_private_dirs(&to)?;
            for found in Walk::new(&from)? {
                let found = match found {
                    Ok(found) => found,
                    // The name is not UTF-8.
                    Err(Error::Damaged { path, .. }) => {
                        left_out.add(path.strip_prefix(base.path()).unwrap_or(&path));
                        continue;
                    }
                    Err(e) => return Err(e),
                };
                let path = format!("{folder}/{}", found.path);
                if !found.is_file() || !layout::is_part(&path) {
                    left_out.add(Path::new(&path));
                    continue;
                }
                let source = from.join(&found.path);
                disk::clone_file(&source, &to.join(&found.path), &mut kind, ours)
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
        left_out.merge(left);
        kind = how;
    }
    Ok(Origin::Cloned {
        kind,
        ours,
        files,
        left_out,
    })
}
