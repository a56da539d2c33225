//! Finds out why a path has no store: its disk is not mounted, a link is broken, or a store was
//! never made there.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The reason why a path has no store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// The system's file system table lists this mount point, but nothing is mounted there.
    NotMounted(PathBuf),
    /// The path goes through a symbolic link whose target does not exist.
    DeadLink {
        /// The path of the link.
        link: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// This folder exists and is empty, as a mount point is while its disk is not mounted.
    Empty(PathBuf),
    /// The folder does not exist. This is the longest part of the path that does.
    Missing(PathBuf),
    /// The folder has files, but not the mark of a store.
    NoMark,
}

impl Absence {
    /// Determines why `root` is not a store.
    pub(super) fn of(root: &Path) -> Absence {
        let table = |path| mount_points(&fs::read_to_string(path).unwrap_or_default());
        // Without the kernel's list of mounts, a mount point is recognized by its device number.
        let mounted = fs::read_to_string("/proc/self/mounts").ok();
        let mounted = mounted.map(|text| mount_points(&text));
        let is_mounted = |point: &Path| match &mounted {
            Some(mounted) => mounted.iter().any(|other| other == point),
            None => has_device_of_its_own(point),
        };
        cause(root, &table("/etc/fstab"), &is_mounted)
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absence::NotMounted(point) => write!(
                f,
                "the disk that belongs at {} is not mounted",
                point.display()
            ),
            Absence::DeadLink { link, target } => write!(
                f,
                "{} is a link to {}, which does not exist",
                link.display(),
                target.display()
            ),
            Absence::Empty(folder) => write!(
                f,
                "{} is an empty folder; if it is a mount point, its disk is not mounted",
                folder.display()
            ),
            Absence::Missing(above) => write!(
                f,
                "that folder does not exist (the last part of the path that exists is {})",
                above.display()
            ),
            Absence::NoMark => f.write_str("the folder has no .idev-backup/store.json"),
        }
    }
}

/// Determines the reason. `fstab` contains the mount points that the system knows.
fn cause(root: &Path, fstab: &[PathBuf], is_mounted: &dyn Fn(&Path) -> bool) -> Absence {
    let mut parts: Vec<&Path> = root.ancestors().collect();
    // The search begins at the root of the file system, since the first fault explains the others.
    parts.reverse();
    for part in &parts {
        if let Ok(target) = fs::read_link(part)
            && is_gone(part)
        {
            return Absence::DeadLink {
                link: part.to_path_buf(),
                target,
            };
        }
    }
    let known = |part: &&&Path| fstab.iter().any(|point| point == *part) && !is_mounted(part);
    if let Some(point) = parts.iter().skip(1).find(known) {
        return Absence::NotMounted(point.to_path_buf());
    }
    if let Some(point) = parts.iter().find(|part| is_disk_of_desktop(part))
        && is_gone(point)
    {
        return Absence::NotMounted(point.to_path_buf());
    }
    let above = parts.iter().rev().find(|part| part.is_dir());
    let Some(above) = above else {
        return Absence::Missing(root.to_path_buf());
    };
    let is_empty = fs::read_dir(above).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        return Absence::Empty(above.to_path_buf());
    }
    if *above == root {
        return Absence::NoMark;
    }
    Absence::Missing(above.to_path_buf())
}

fn is_gone(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Returns true for the folders that systems create when a disk is connected and remove when it is
/// disconnected: /Volumes/DISK and /run/media/USER/DISK.
fn is_disk_of_desktop(path: &Path) -> bool {
    let below = |folder: &str, depth: usize| {
        let rest = path.strip_prefix(folder);
        rest.is_ok_and(|rest| rest.components().count() == depth)
    };
    below("/Volumes", 1) || below("/run/media", 2)
}

/// Returns true if a folder is on a different file system than its parent.
fn has_device_of_its_own(point: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
        match (device(point), point.parent().and_then(device)) {
            (Some(own), Some(around)) => own != around,
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        point.exists()
    }
}

/// Parses the mount points in a file system table: the second field of each line. Spaces, tabs,
/// newlines and backslashes are written as octal escapes.
fn mount_points(table: &str) -> Vec<PathBuf> {
    let lines = table.lines().map(str::trim_start);
    let fields = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().nth(1));
    let points = fields.filter(|point| point.starts_with('/') && *point != "/");
    points.map(|point| unescaped(point).into()).collect()
}

fn unescaped(field: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(field.to_owned(), |text, (escape, letter)| {
            text.replace(escape, letter)
        })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn absence_causes_are_distinguished() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("mnt")).unwrap();
        fs::create_dir_all(at("full/files")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("mnt"), at("alive")).unwrap();
        let fstab = [at("disk"), at("full"), at("mounted")];
        let is_mounted = |point: &Path| point == at("mounted");
        let dead = Absence::DeadLink {
            link: at("link"),
            target: at("nowhere"),
        };
        for (path, is) in [
            ("mnt", Absence::Empty(at("mnt"))),
            ("mnt/deep/backups", Absence::Empty(at("mnt"))),
            ("alive/backups", Absence::Empty(at("alive"))),
            ("link", dead.clone()),
            ("link/deep/backups", dead),
            ("disk/backups", Absence::NotMounted(at("disk"))),
            ("full/files", Absence::NotMounted(at("full"))),
            (
                "mounted/backups",
                Absence::Missing(dir.path().to_path_buf()),
            ),
            ("gone/backups", Absence::Missing(dir.path().to_path_buf())),
        ] {
            assert_eq!(cause(&at(path), &fstab, &is_mounted), is, "{path}");
        }
        assert_eq!(cause(&at("full"), &[], &is_mounted), Absence::NoMark);
        let stick = Path::new("/run/media/nobody-of-this-name/stick");
        assert_eq!(
            cause(&stick.join("backups"), &[], &is_mounted),
            Absence::NotMounted(stick.to_path_buf())
        );
    }

    #[test]
    fn fstab_mount_points_are_parsed() {
        let table = "# /dev/sda1 /old ext4\n\nUUID=1 / ext4 defaults 0 1\nUUID=2\t/mnt/my\\040disk\text4 noauto\n\
                     UUID=3 none swap sw\n/dev/sdb /srv/backups xfs\nbroken\n";
        let points = mount_points(table);
        assert_eq!(
            points,
            [Path::new("/mnt/my disk"), Path::new("/srv/backups")]
        );
    }
}
