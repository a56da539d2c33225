//! Finds out the abilities of a store's disk by trying them in a temporary folder.

use std::path::Path;
use std::{fs, io};

use super::{Error, disk};

/// The abilities of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// The file system, if the system tells: "ext4", "exfat".
    pub file_system: Option<String>,
    /// True if a file can have several names (hard links), so that backups can share unchanged
    /// files.
    pub hard_links: bool,
    /// True if files can share blocks (copy-on-write clones).
    pub clones: bool,
    /// True if `a` and `A` are different files.
    pub case_sensitive: bool,
    /// True if files over 4 GB are possible. `None` if that is unknown, in particular if there is
    /// not enough free space to try.
    pub large_files: Option<bool>,
}

/// Tests a disk in a temporary folder below `folder`.
pub(super) fn probe(folder: &Path, free_bytes: u64) -> Result<Abilities, Error> {
    let failed = |cause| Error::io("write in", folder, cause);
    let scratch = tempfile::Builder::new().prefix("probe-").tempdir_in(folder);
    let scratch = scratch.map_err(failed)?;
    let file = scratch.path().join("a");
    write(&file).map_err(failed)?;
    let at = |name: &str| scratch.path().join(name);
    let abilities = Abilities {
        file_system: file_system(folder),
        hard_links: fs::hard_link(&file, at("link")).is_ok(),
        clones: reflink_copy::reflink(&file, at("clone")).is_ok(),
        case_sensitive: !at("A").exists(),
        large_files: disk::holds_large_files(scratch.path(), free_bytes),
    };
    scratch.close().map_err(failed)?;
    Ok(abilities)
}

fn write(path: &Path) -> io::Result<()> {
    use std::io::Write;
    disk::create_private(path)?.write_all(b"tried by idev-backup")
}

#[cfg(target_os = "linux")]
fn file_system(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = fs::canonicalize(folder).ok()?;
    mounted(&mounts, &folder)
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<String> {
    None
}

/// Returns the type of the file system that holds a path, from Linux's mountinfo. Each line has the
/// mount point as its fifth field, and the type after " - ". If two file systems are mounted at the
/// same place, the later one is visible.
#[cfg(any(target_os = "linux", test))]
fn mounted(mountinfo: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        // Spaces and tabs are written as octal numbers.
        let place = place.replace("\\040", " ").replace("\\011", "\t");
        let kind = kind.split(' ').next()?.to_owned();
        path.starts_with(&place).then_some((place.len(), kind))
    };
    let longest = mountinfo.lines().filter_map(mount).max_by_key(|m| m.0);
    longest.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_leaves_no_files_behind() {
        let dir = tempfile::tempdir().unwrap();
        let abilities = probe(dir.path(), 1 << 40).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        if cfg!(target_os = "linux") {
            assert!(abilities.hard_links && abilities.case_sensitive);
            assert_eq!(abilities.large_files, Some(true));
            assert!(abilities.file_system.is_some());
        }
        assert_eq!(probe(dir.path(), 1000).unwrap().large_files, None);
        assert!(probe(&dir.path().join("absent"), 1000).is_err());
    }

    #[test]
    fn nearest_mount_gives_file_system() {
        let mountinfo = "\
            21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
            22 21 0:5 / /proc rw - proc proc rw\n\
            30 21 8:17 / /media/my\\040disk rw shared:3 - exfat /dev/sdb1 rw\n\
            31 21 8:18 / /media/my rw - vfat /dev/sdc1 rw\n\
            rubbish\n";
        for (path, kind) in [
            ("/media/my disk/store/.idev-backup", "exfat"),
            ("/media/my/store", "vfat"),
            ("/media/mynd", "ext4"),
            ("/", "ext4"),
        ] {
            assert_eq!(
                mounted(mountinfo, Path::new(path)).as_deref(),
                Some(kind),
                "{path}"
            );
        }
        assert_eq!(mounted("", Path::new("/")), None);
    }
}
