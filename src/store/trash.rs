//! The trash of a phone: folders being removed are in `trash/<number>/`, one for each removal.
//!
//! A folder is renamed into the trash in one step and removed there. A crash leaves the rest in the
//! trash, and never half a backup under its own name. What cannot be removed (an immutable file, or
//! on Windows one that another program has open) stays in the trash, where it does no harm.
//! [`sweep`] tries again at the end of every run, and reports it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::names::TRASH;
use super::{Error, disk};
use crate::store::real_folders;

/// Moves a folder into the trash, durably, and removes as much of it as possible. [`sweep`] reports
/// what is left. Calls `step` for each entry of the folder. Does nothing if the folder does not
/// exist.
pub(super) fn throw_away(own: &Path, folder: &Path, step: &mut dyn FnMut()) -> Result<(), Error> {
    if let Some(gone) = move_away(own, folder)? {
        gone.remove(step);
    }
    Ok(())
}

/// A folder that was moved into the trash.
pub(super) struct Gone {
    place: PathBuf,
}

/// Moves a folder into the trash, durably. Returns `None` if the folder does not exist.
///
/// The rename is durable before anything is removed. Otherwise a power failure could undo the
/// rename, and the folder would be back with parts missing.
pub(super) fn move_away(own: &Path, folder: &Path) -> Result<Option<Gone>, Error> {
    if !is_there(folder)? {
        return Ok(None);
    }
    let trash = own.join(TRASH);
    let durable = |e| Error::io("make durable", own, e);
    if !real_folders::is_real_folder(&trash)? {
        disk::make_private_dirs(&trash)?;
        disk::sync_parent(&trash).map_err(durable)?;
    }
    let place = free(&trash)?;
    fs::rename(folder, &place).map_err(|e| Error::io("rename", folder, e))?;
    disk::sync_parent(folder).map_err(durable)?;
    disk::sync_parent(&place).map_err(durable)?;
    Ok(Some(Gone { place }))
}

impl Gone {
    /// Removes the folder. A failure is not an error yet: [`sweep`] tries again and reports it.
    pub(super) fn remove(self, step: &mut dyn FnMut()) {
        if empty(&self.place, step).is_ok()
            && let Some(trash) = self.place.parent()
        {
            remove_if_empty(trash);
        }
    }
}

/// Removes everything in the trash. Continues after failures, and returns an error that names the
/// first file that cannot be removed.
pub(super) fn sweep(own: &Path) -> Result<(), Error> {
    let trash = own.join(TRASH);
    if !real_folders::is_real_folder(&trash)? {
        return Ok(());
    }
    let mut swept = Ok(());
    for part in entries(&trash).map_err(|e| Error::io("list", &trash, e))? {
        swept = swept.and(empty(&part, &mut || ()));
    }
    remove_if_empty(&trash);
    swept
}

/// Removes a folder and everything in it. Continues after an error, and returns the first one.
fn empty(folder: &Path, step: &mut dyn FnMut()) -> Result<(), Error> {
    let stuck = |path: &Path, cause| Error::Stuck {
        path: path.to_path_buf(),
        cause,
    };
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir());
    let mut emptied = Ok(());
    if is_folder {
        for part in entries(folder).map_err(|e| stuck(folder, e))? {
            emptied = emptied.and(remove_tree(&part).map_err(|(path, e)| stuck(&path, e)));
            step();
        }
    }
    emptied.and_then(|()| disk::remove_all(folder).map_err(|e| stuck(folder, e)))
}

/// Removes a file, a link or a whole folder. If a folder cannot be removed completely, removes as
/// much as possible. The error names the first file that cannot be removed.
fn remove_tree(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    let Err(first) = disk::remove_all(path) else {
        return Ok(());
    };
    let mut kept = None;
    for entry in walkdir::WalkDir::new(path)
        .follow_links(false)
        .contents_first(true)
        .into_iter()
        .flatten()
    {
        let removed = if entry.file_type().is_dir() {
            fs::remove_dir(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        if let Err(e) = removed
            && e.kind() != io::ErrorKind::NotFound
        {
            kept.get_or_insert((entry.into_path(), e));
        }
    }
    match kept {
        Some(kept) => Err(kept),
        None if fs::symlink_metadata(path).is_ok() => Err((path.to_path_buf(), first)),
        None => Ok(()),
    }
}

/// Removes the trash folder if it is empty. A failure does no harm.
fn remove_if_empty(trash: &Path) {
    if entries(trash).is_ok_and(|left| left.is_empty()) {
        drop(fs::remove_dir(trash));
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// Returns the first unused number in the trash as a path.
fn free(trash: &Path) -> Result<PathBuf, Error> {
    for number in 0u64.. {
        let place = trash.join(number.to_string());
        if !is_there(&place)? {
            return Ok(place);
        }
    }
    // No disk holds that many folders.
    Err(Error::io(
        "find a free name in",
        trash,
        io::ErrorKind::AlreadyExists.into(),
    ))
}

fn is_there(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trash_is_gone_when_empty() {
        let own = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir_all(own.path().join(name).join("x/y")).unwrap();
            let mut folders = 0;
            throw_away(own.path(), &own.path().join(name), &mut || folders += 1).unwrap();
            assert_eq!(folders, 1);
        }
        throw_away(own.path(), &own.path().join("absent"), &mut || ()).unwrap();
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0);
        sweep(own.path()).unwrap();
    }

    #[test]
    fn earlier_trash_is_swept() {
        let own = tempfile::tempdir().unwrap();
        fs::create_dir_all(own.path().join("trash/0/ab")).unwrap();
        fs::write(own.path().join("trash/file"), "x").unwrap();
        fs::create_dir(own.path().join("a")).unwrap();
        throw_away(own.path(), &own.path().join("a"), &mut || ()).unwrap();
        assert!(own.path().join("trash/0/ab").exists());
        sweep(own.path()).unwrap();
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0);
    }
}
