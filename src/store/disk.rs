//! Whole or absent, private, durable: the few things that we ask of a file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Error;

/// Makes a folder, and those above it, for its owner only. Folders that exist are left as they are.
pub fn make_private_dirs(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|e| Error::io("make the folder", path, e))
}

/// A new file for its owner only.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a small file whole, durably: temporary name, fsync, rename.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = partial(path);
    let write = || {
        remove_if_there(&temporary)?;
        let mut file = create_private(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    write().map_err(|e| Error::io("write", path, e))
}

/// The temporary name beside a file. Appended: `Manifest.db` and `Manifest.plist` must not meet.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Removes a file that may be absent.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes whatever stands at a path, whole folders too; nothing there is fine. Links are removed, not followed.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// How a draft was cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneKind {
    /// Copy-on-write: shares blocks, not files.
    Reflink,
    /// The same files under a second name.
    HardLink,
    /// Every byte again.
    Copy,
}

/// Clones one file, by `kind` or by what the disk has less of: the kind that worked is kept for the next file.
/// Without `may_link` no file is shared.
pub fn clone_file(from: &Path, to: &Path, kind: &mut CloneKind, may_link: bool) -> io::Result<()> {
    loop {
        let result = match kind {
            CloneKind::Reflink => reflink_copy::reflink(from, to),
            CloneKind::HardLink => fs::hard_link(from, to),
            CloneKind::Copy => return copy_file(from, to),
        };
        match result {
            Ok(()) => return Ok(()),
            // Real trouble, not a lack of the feature; copying would meet it too.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::StorageFull
                ) =>
            {
                return Err(e);
            }
            Err(_) => {
                remove_if_there(to)?;
                *kind = match kind {
                    CloneKind::Reflink if may_link => CloneKind::HardLink,
                    _ => CloneKind::Copy,
                }
            }
        }
    }
}

/// Copies one file into a private one of its own.
pub fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = create_private(to)?;
    io::copy(&mut source, &mut target)?;
    if !cfg!(target_os = "linux") {
        target.sync_all()?;
    }
    Ok(())
}

/// Makes a rename in a folder durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    // Windows has no way to flush a folder; NTFS logs its renames.
    if cfg!(unix)
        && let Some(parent) = path.parent()
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Makes everything below `folder` durable that was written there. Linux flushes the whole file system in one call;
/// elsewhere each file was flushed when it was written, and the folders follow here.
pub fn sync_tree(folder: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("make durable", folder, e);
    #[cfg(target_os = "linux")]
    {
        let dir = File::open(folder).map_err(failed)?;
        rustix::fs::syncfs(&dir).map_err(|e| failed(e.into()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        for entry in walkdir::WalkDir::new(folder).follow_links(false) {
            let entry = entry.map_err(|e| failed(e.into()))?;
            if cfg!(unix) && entry.file_type().is_dir() {
                File::open(entry.path())
                    .and_then(|dir| dir.sync_all())
                    .map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Swaps two folders in one step; false where the system cannot.
pub fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(
                rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP,
            ) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _unused = (one, other);
        Ok(false)
    }
}

/// Whether a disk can hold files over 4 GB; `None` where trying would need room that is not there.
pub fn holds_large_files(folder: &Path, free_bytes: u64) -> Option<bool> {
    const LARGE: u64 = (4 << 30) + 1;
    if free_bytes < LARGE + (1 << 30) {
        return None;
    }
    let probe = folder.join("large.partial");
    let tried = create_private(&probe).and_then(|file| file.set_len(LARGE));
    remove_if_there(&probe).ok()?;
    match tried {
        Ok(()) => Some(true),
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Some(false),
        // Windows: ERROR_DISK_FULL or ERROR_INVALID_PARAMETER from FAT32.
        Err(_) if cfg!(windows) => Some(false),
        Err(_) => None,
    }
}

/// Whether two small files hold the same; one that is not there is like no other.
pub fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let read = |path: &Path| match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    let bytes = read(one)?;
    Ok(bytes.is_some() && bytes == read(other)?)
}

/// Whether two paths are one file under two names. Not known where the system does not tell.
pub fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        one.dev() == other.dev() && one.ino() == other.ino()
    }
    #[cfg(not(unix))]
    {
        let _unused = (one, other);
        false
    }
}
