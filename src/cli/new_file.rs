//! A file that a command writes for its owner: whole or absent, and never in the place of another
//! one without `--force`.

use std::fs::File;
use std::path::Path;

use idev_backup::jobs::Error;

/// An error where there is something of this name that is not to be replaced: nothing is but a
/// file, and that on demand.
pub fn refuse_if_there(file: &Path, replace: bool) -> Result<(), Error> {
    match file.symlink_metadata() {
        Ok(meta) if replace && meta.is_file() => Ok(()),
        Ok(_) if replace => Err(Error::Nothing {
            what: format!("{} is no file, and is not replaced", file.display()),
            hint: "name a file: a link, a folder, a pipe or a device stays what it is".to_owned(),
        }),
        Ok(_) => Err(is_there(file)),
        Err(_) => Ok(()),
    }
}

/// Writes a file that nobody but its owner can read: whole, or not at all.
pub fn write(
    file: &Path,
    replace: bool,
    fill: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    refuse_if_there(file, replace)?;
    let cannot = |e: std::io::Error| cannot(file, &e);
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    // Temporary files are made so that nobody else can open them.
    let mut draft =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(cannot)?;
    fill(draft.as_file_mut())?;
    draft.as_file().sync_all().map_err(cannot)?;
    refuse_if_there(file, replace)?;
    let placed = match replace {
        true => draft.persist(file),
        false => draft.persist_noclobber(file),
    };
    match placed {
        Ok(_) => Ok(()),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(is_there(file)),
        Err(e) => Err(cannot(e.error)),
    }
}

/// Returns the error of a file that cannot be written.
pub fn cannot(file: &Path, e: &std::io::Error) -> Error {
    Error::Nothing {
        what: format!("cannot write {}: {e}", file.display()),
        hint: "name another file, in a folder that you may write and that has room".to_owned(),
    }
}

fn is_there(file: &Path) -> Error {
    Error::Nothing {
        what: format!("{} is there already", file.display()),
        hint: "choose another name, or replace it with --force".to_owned(),
    }
}
