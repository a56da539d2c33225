//! Opens regular files of a store or a backup without following links and without blocking.
//!
//! Another user who can write to the folder could replace a file with a FIFO, a socket, a device or
//! a symbolic link. Opening a FIFO waits for a writer, and a link leads to a file that is not part
//! of the store.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file for reading. For anything else, returns an error of the kind `InvalidInput`
/// that says what it is.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a regular file with the caller's options. A file that `create` makes is a regular one.
pub(crate) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        // The conversion is lossless, since the flags have the C library's type `int`.
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32);
    }
    #[cfg(not(unix))]
    if let Ok(meta) = fs::symlink_metadata(path) {
        check(&meta)?;
    }
    match options.open(path) {
        Ok(file) => {
            check(&file.metadata()?)?;
            Ok(file)
        }
        // The system refuses links and sockets too, but its error messages do not explain why.
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            if let Ok(meta) = fs::symlink_metadata(path) {
                check(&meta)?;
            }
            Err(e)
        }
        Err(e) => Err(e),
    }
}

/// Reads the whole contents of a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns an error that says what was found in the place of a regular file.
fn check(meta: &Metadata) -> io::Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    let what = if meta.is_symlink() {
        "it is a symbolic link, not a file"
    } else if meta.is_dir() {
        "it is a folder, not a file"
    } else {
        "it is a FIFO, a socket or a device, not a file"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), b"text");
        let absent = open(&dir.path().join("absent")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        let folder = open(dir.path()).unwrap_err();
        assert!(folder.to_string().contains("folder"), "{folder}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn links_and_special_files_are_refused() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, word) in [("link", "link"), ("fifo", "FIFO"), ("socket", "socket")] {
            let mut append = OpenOptions::new();
            for opened in [
                open(&at(name)),
                open_with(append.append(true).create(true), &at(name)),
            ] {
                let error = opened.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
                assert!(error.to_string().contains(word), "{name}: {error}");
            }
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"text");
    }
}
