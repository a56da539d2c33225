//! Writes a file for the user: completely or not at all.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::cli::failure::Failure;

/// Returns an error if the path exists and must not be replaced. Only a regular file can be
/// replaced, and only if `replace` is set.
pub fn refuse_if_there(file: &Path, replace: bool) -> Result<(), Failure> {
    match file.symlink_metadata() {
        Ok(meta) if replace && meta.is_file() => Ok(()),
        Ok(_) if replace => Err(Failure::Command {
            what: format!("{} is not a file, and is not replaced", file.display()),
            hint: "name a regular file, not a link, folder, pipe or device".to_owned(),
        }),
        Ok(_) => Err(is_there(file)),
        Err(_) => Ok(()),
    }
}

/// Writes a file that only its owner can read. Replaces an existing one only if `replace` is set.
pub fn write(
    file: &Path,
    replace: bool,
    fill: impl FnOnce(&mut File) -> Result<(), Failure>,
) -> Result<(), Failure> {
    refuse_if_there(file, replace)?;
    let cannot = |e: std::io::Error| cannot(file, &e);
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    // Temporary files are created with permissions for their owner only.
    let mut draft =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(cannot)?;
    fill(draft.as_file_mut())?;
    draft.as_file().sync_all().map_err(cannot)?;
    refuse_if_there(file, replace)?;
    let placed = if replace {
        draft.persist(file)
    } else {
        draft.persist_noclobber(file)
    };
    match placed {
        Ok(_) => Ok(()),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(is_there(file)),
        Err(e) => Err(cannot(e.error)),
    }
}

/// Replaces a file that another program reads, at once: a reader never finds a part of it. Unlike
/// other files of this program, it is readable for other users as far as the umask permits, because
/// that program may run as another user.
pub fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    refuse_if_there(file, true)?;
    let cannot = |e: std::io::Error| cannot(file, &e);
    let folder = file.parent().filter(|at| !at.as_os_str().is_empty());
    #[cfg_attr(not(unix), expect(unused_mut, reason = "other systems have no modes"))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let draft = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
    let mut draft = draft.map_err(cannot)?;
    draft.write_all(text.as_bytes()).map_err(cannot)?;
    draft.as_file().sync_all().map_err(cannot)?;
    draft.persist(file).map_err(|e| cannot(e.error))?;
    Ok(())
}

/// Returns the error of a file that cannot be written.
pub fn cannot(file: &Path, e: &std::io::Error) -> Failure {
    Failure::Command {
        what: format!("cannot write {}: {e}", file.display()),
        hint: "name another file, in a folder that you can write to, on a disk with free space"
            .to_owned(),
    }
}

fn is_there(file: &Path) -> Failure {
    Failure::Command {
        what: format!("{} already exists", file.display()),
        hint: "choose another name, or replace it with --overwrite".to_owned(),
    }
}
