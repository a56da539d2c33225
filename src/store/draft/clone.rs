//! Clones a backup. The clone shares data with the backup if the file system supports that.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::origin::Origin;
use crate::store::disk::{self, CloneKind};
use crate::store::error::Error;
use crate::store::layout::{self, LeftOut};
use crate::store::snapshot::Snapshot;
use crate::store::walk::Walk;

/// Clones the files that belong to a backup, folder by folder, on several threads. Everything else
/// in the backup's folder is left out and counted.
pub(crate) fn clone_backup(base: &Snapshot, target: &Path) -> Result<Origin, Error> {
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
            let folder = Folder::open(base.path(), target, &name)?;
            for (name, file_type) in folder.entries()? {
                // With `/` on every system, as the layout names its parts.
                let mut path = folder.name.clone();
                path.push("/");
                path.push(&name);
                let path = PathBuf::from(path);
                if file_type.is_file() && path.to_str().is_some_and(layout::is_part) {
                    let cloned = folder.clone_file(&name, &mut kind, ours);
                    cloned.map_err(|e| Error::io("clone", &folder.from.join(&name), e))?;
                    files += 1;
                } else if file_type.is_dir() {
                    leave_out_below(base.path(), &path, &mut left_out)?;
                } else {
                    left_out.add(&path);
                }
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

/// A folder with files of the backup, and the folder into which they are cloned.
struct Folder {
    name: OsString,
    from: PathBuf,
    to: PathBuf,
    /// Both folders, opened. A name in an open folder is found faster than a path.
    #[cfg(unix)]
    opened: (fs::File, fs::File),
}

impl Folder {
    /// Opens a folder of the backup `base`, and creates the one of the same name in `target`.
    fn open(base: &Path, target: &Path, name: &OsStr) -> Result<Folder, Error> {
        let (from, to) = (base.join(name), target.join(name));
        disk::make_private_dirs(&to)?;
        #[cfg(unix)]
        let open = |folder: &Path| fs::File::open(folder).map_err(|e| Error::io("open", folder, e));
        Ok(Folder {
            name: name.to_owned(),
            #[cfg(unix)]
            opened: (open(&from)?, open(&to)?),
            from,
            to,
        })
    }

    /// Returns the names in the folder, sorted. Their types come with the listing, so no file is
    /// looked at: the lists of hashes and the check look at each file of the finished draft.
    fn entries(&self) -> Result<Vec<(OsString, FileType)>, Error> {
        let failed = |e| Error::io("list", &self.from, e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries.push((entry.file_name(), entry.file_type().map_err(failed)?));
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(entries)
    }

    /// Clones one file, as [`disk::clone_file`] does.
    fn clone_file(&self, name: &OsStr, kind: &mut CloneKind, ours: bool) -> io::Result<()> {
        #[cfg(unix)]
        if *kind == CloneKind::HardLink {
            use rustix::fs::{AtFlags, linkat};
            let (from, to) = &self.opened;
            if linkat(from, name, to, name, AtFlags::empty()).is_ok() {
                return Ok(());
            }
            // Any error is met again below, and decided there.
        }
        disk::clone_file(&self.from.join(name), &self.to.join(name), kind, ours)
    }
}

/// Counts everything in a folder that does not belong to the backup.
fn leave_out_below(base: &Path, folder: &Path, left_out: &mut LeftOut) -> Result<(), Error> {
    for found in Walk::new(&base.join(folder))? {
        match found {
            Ok(found) => left_out.add(&folder.join(found.path)),
            // The name is not UTF-8.
            Err(Error::Damaged { path, .. }) => {
                left_out.add(path.strip_prefix(base).unwrap_or(&path));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
