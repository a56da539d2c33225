//! Checks that our own folders are real folders. If one were a symbolic link, we would write to a
//! folder outside the store, and remove files from it.

use std::path::Path;
use std::{fs, io};

use super::error::Error;

/// Returns true if there is a real folder at `path`, and false if there is nothing. Anything else
/// is an error that names it, and links are never followed.
pub(super) fn is_real_folder(path: &Path) -> Result<bool, Error> {
    let what = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => return Ok(true),
        Ok(meta) if meta.is_symlink() => "a symbolic link",
        Ok(_) => "no folder",
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("look at", path, e)),
    };
    Err(Error::InTheWay {
        path: path.to_path_buf(),
        what,
    })
}
