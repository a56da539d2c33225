//! Writes the config file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use idev_backup::store::disk;

use crate::cli::failure::Failure;
use crate::cli::new_file;

/// Reads the text of the config file; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::Command {
            what: format!("cannot read the config file {}: {e}", path.display()),
            hint: "name another with --config, or set IDEV_BACKUP_CONFIG".to_owned(),
        }),
    }
}

/// Writes the config file, completely or not at all. A new one is readable by its owner alone; an
/// existing one keeps its permissions. Writes through a symbolic link, since some people keep such
/// files elsewhere.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let place = place(path)?;
    let cannot = |e: io::Error| new_file::cannot(path, &e);
    let folder = place.parent().unwrap_or(Path::new("."));
    disk::make_private_dirs(folder)?;
    // Temporary files are created with permissions for their owner only.
    let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    draft.write_all(text.as_bytes()).map_err(cannot)?;
    if let Ok(present) = fs::metadata(&place) {
        let permissions = present.permissions();
        draft
            .as_file()
            .set_permissions(permissions)
            .map_err(cannot)?;
    }
    draft.as_file().sync_all().map_err(cannot)?;
    draft.persist(&place).map_err(|e| cannot(e.error))?;
    Ok(())
}

/// Returns the file at the end of a link, or the path itself.
fn place(path: &Path) -> Result<PathBuf, Failure> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            Ok(path.to_path_buf())
        }
        Err(e) => Err(new_file::cannot(path, &e)),
    }
}
