//! Helpers for the file system: files that are complete or absent, private, and durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::Error;
use crate::base::plain_file;

/// Makes a folder and its parents, accessible only to their owner. Existing folders are not
/// changed.
pub fn make_private_dirs(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|e| Error::io("make the folder", path, e))
}

/// Creates a new file that only its owner can access.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a small file completely and durably: temporary name, fsync, rename.
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

/// Writes a small file completely and durably, even if several processes write it at the same time
/// with the same contents. Each uses its own temporary name, and the last rename wins.
pub(crate) fn write_shared(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let prefix = path.file_name().unwrap_or_default();
        let mut file = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(".partial")
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_parent(path)
    };
    write().map_err(|e| Error::io("write", path, e))
}

/// Returns the temporary name beside a file. The suffix is appended to the whole name, since
/// `Manifest.db` and `Manifest.plist` must not get the same temporary name.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Removes a file, if it exists.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes whatever is at a path, including whole folders. Does nothing if the path does not exist.
/// Links are removed, not followed.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
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

/// The method by which files are cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneKind {
    /// A copy-on-write clone: shares blocks, but not the file.
    Reflink,
    /// A hard link: the same file under a second name.
    HardLink,
    /// A copy of every byte.
    Copy,
}

/// Clones one file by the method `kind`. If the disk does not support that, falls back to the next
/// method and stores it in `kind` for the next file. Hard links are used only if `may_link`.
pub(crate) fn clone_file(
    from: &Path,
    to: &Path,
    kind: &mut CloneKind,
    may_link: bool,
) -> io::Result<()> {
    loop {
        let result = match kind {
            CloneKind::Reflink => reflink_copy::reflink(from, to),
            CloneKind::HardLink => fs::hard_link(from, to),
            CloneKind::Copy => return copy_file(from, to),
        };
        match result {
            Ok(()) => return Ok(()),
            // These are real errors, not a missing feature. Copying would fail too.
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

/// Copies one file to a new file that only its owner can access.
pub(crate) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = plain_file::open(from)?;
    let mut target = create_private(to)?;
    io::copy(&mut source, &mut target)?;
    if !cfg!(target_os = "linux") {
        target.sync_all()?;
    }
    Ok(())
}

/// Makes a rename in the folder above `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    // Windows has no way to flush a folder; NTFS logs its renames.
    if cfg!(unix)
        && let Some(parent) = path.parent()
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Makes everything written below `folder` durable. Linux flushes the whole file system in one
/// call. On other systems each file was flushed when it was written, and only the folders are
/// flushed here.
pub(crate) fn sync_tree(folder: &Path) -> Result<(), Error> {
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

/// Swaps two folders atomically. Returns false if the system or disk does not support that.
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
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

/// Returns the number of free bytes on the disk that holds a path, which need not exist yet.
pub fn free_space_for(path: &Path) -> Option<u64> {
    let above = path.ancestors().find(|above| above.exists())?;
    fs4::available_space(above).ok()
}

/// Returns true if a disk can hold files over 4 GB. Returns `None` if that is unknown, in
/// particular if there is not enough free space to try.
pub(crate) fn holds_large_files(folder: &Path, free_bytes: u64) -> Option<bool> {
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
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            None
        }
        // On Windows FAT32 gives ERROR_DISK_FULL or ERROR_INVALID_PARAMETER.
        Err(_) if cfg!(windows) => Some(false),
        Err(_) => None,
    }
}

/// Returns true if two files have the same contents, and false if one does not exist.
pub(crate) fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let open = |path: &Path| match plain_file::open(path) {
        Ok(file) => Ok(Some((file.metadata()?.len(), file))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    let (one, other) = match (open(one)?, open(other)?) {
        (Some(one), Some(other)) if one.0 == other.0 => (one.1, other.1),
        _ => return Ok(false),
    };
    let mut one = BufReader::with_capacity(64 << 10, one);
    let mut other = BufReader::with_capacity(64 << 10, other);
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if left[..length] != right[..length] || left.is_empty() != right.is_empty() {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        one.consume(length);
        other.consume(length);
    }
}

/// Returns true if both metadata are of the same file (hard links). Always false on systems that
/// cannot tell.
pub(crate) fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_tolerates_absent_paths() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(folder.join("c/d")).unwrap();
        fs::write(&file, "x").unwrap();
        // The function is not for folders: it fails and removes nothing.
        assert!(remove_if_there(&folder).is_err() && folder.exists());
        remove_if_there(&file).unwrap();
        remove_if_there(&file).unwrap();
        assert!(!file.exists());
        fs::write(&file, "x").unwrap();
        for path in [&folder, &file] {
            remove_all(path).unwrap();
            remove_all(path).unwrap();
            assert!(!path.exists());
        }
        // A path below a file fails with an error other than "not found", which is reported.
        #[cfg(unix)]
        {
            fs::write(&file, "x").unwrap();
            assert!(remove_all(&file.join("x")).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn removal_does_not_follow_links() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, link) = (dir.path().join("a"), dir.path().join("l"));
        fs::create_dir_all(folder.join("b")).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        remove_all(&link).unwrap();
        assert!(folder.join("b").exists() && !link.exists());
    }

    #[test]
    fn write_replaces_leftover_partial_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.json");
        fs::write(&path, "old").unwrap();
        fs::write(partial(&path), "half").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!partial(&path).exists());
        assert_ne!(
            partial(&dir.path().join("a.db")),
            partial(&dir.path().join("a.plist"))
        );
        assert!(create_private(&path).is_err(), "it was there already");
    }

    #[test]
    fn clone_links_only_when_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::write(&from, "bytes").unwrap();
        for (start, may_link) in [
            (CloneKind::Reflink, true),
            (CloneKind::Reflink, false),
            (CloneKind::HardLink, true),
            (CloneKind::Copy, true),
        ] {
            let to = dir.path().join(format!("{start:?}-{may_link}"));
            let mut kind = start;
            clone_file(&from, &to, &mut kind, may_link).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"bytes");
            assert!(may_link || kind != CloneKind::HardLink);
            let metas = [&from, &to].map(|path| fs::symlink_metadata(path).unwrap());
            let shared = cfg!(unix) && kind == CloneKind::HardLink;
            assert_eq!(
                same_file(&metas[0], &metas[1]),
                shared,
                "{start:?} {may_link}"
            );
            let mut kind = start;
            let absent = clone_file(
                &dir.path().join("absent"),
                &dir.path().join("x"),
                &mut kind,
                true,
            );
            assert_eq!(absent.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn absent_files_are_never_equal() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, text) in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "")] {
            fs::write(at(name), text).unwrap();
        }
        for (one, other, same) in [
            ("a", "b", true),
            ("a", "c", false),
            ("a", "absent", false),
            ("absent", "a", false),
            ("absent", "absent", false),
            ("d", "d", true),
        ] {
            assert_eq!(
                same_bytes(&at(one), &at(other)).unwrap(),
                same,
                "{one} {other}"
            );
        }
        assert!(same_bytes(dir.path(), &at("a")).is_err());
        let metas = ["a", "a", "b"].map(|name| fs::metadata(at(name)).unwrap());
        assert_eq!(same_file(&metas[0], &metas[1]), cfg!(unix));
        assert!(!same_file(&metas[0], &metas[2]));
    }

    #[test]
    fn folder_exchange_is_all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(one.join("1")).unwrap();
        fs::create_dir_all(other.join("2")).unwrap();
        let exchanged = exchange(&one, &other).unwrap();
        assert_eq!(
            (one.join("2").exists(), other.join("1").exists()),
            (exchanged, exchanged)
        );
        if cfg!(target_os = "linux") {
            assert!(exchanged);
            assert!(exchange(&one, &dir.path().join("absent")).is_err());
        }
    }

    #[test]
    fn large_file_probe_needs_space() {
        const ENOUGH: u64 = (5 << 30) + 1;
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holds_large_files(dir.path(), ENOUGH - 1), None);
        if cfg!(target_os = "linux") {
            assert_eq!(holds_large_files(dir.path(), ENOUGH), Some(true));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(holds_large_files(&dir.path().join("absent"), ENOUGH), None);
    }
}
