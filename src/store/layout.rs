//! The names of the files that belong to a backup.

use std::path::Path;

/// The metadata files at the top of a backup, for all supported versions of iOS.
const TOP: [&str; 5] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.mbdb",
    "Manifest.plist",
    "Status.plist",
];

/// Returns true if a file with this path belongs to a backup: `xx/<fileID>`, `<fileID>` (iOS 9 and
/// older), and the metadata files. The phone's working folder `Snapshot/` does not belong to it.
///
/// All other files come from other programs. A leftover `Manifest.db-wal` would be applied by every
/// reader to the next backup's Manifest.db.
pub(crate) fn is_part(path: &str) -> bool {
    match path.split_once('/') {
        None => TOP.contains(&path) || is_id(path),
        Some((folder, name)) => is_folder(folder) && is_id(name),
    }
}

/// Returns true for the names of the folders that hold a backup's files: two hex digits.
pub(crate) fn is_folder(name: &str) -> bool {
    name.len() == 2 && is_hex(name)
}

/// Returns true for a file id: the SHA-1 of domain and path, as 40 hex digits.
fn is_id(name: &str) -> bool {
    name.len() == 40 && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Things that were left out of a backup. All are counted, and the first names are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of things left out.
    pub count: u64,
    /// The first names, escaped so that they can be printed.
    pub first: Vec<String>,
}

impl LeftOut {
    const NAMED_MAX: usize = 3;

    /// Counts another thing that was left out.
    pub(crate) fn add(&mut self, name: &Path) {
        self.count += 1;
        if self.first.len() < Self::NAMED_MAX {
            let name = name.to_string_lossy();
            self.first.push(name.escape_debug().to_string());
        }
    }

    /// Adds the things counted by `other`.
    pub(crate) fn merge(&mut self, other: LeftOut) {
        self.count += other.count;
        let room = Self::NAMED_MAX - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Returns the names that were kept, and the number of further ones.
    pub(crate) fn names(&self) -> String {
        let more = self.count.saturating_sub(self.first.len() as u64);
        let names = self.first.join(", ");
        if more == 0 {
            names
        } else {
            format!("{names} and {more} more")
        }
    }
}

/// Returns true if a folder is itself a backup.
pub fn is_backup(folder: &Path) -> bool {
    ["Manifest.db", "Manifest.mbdb", "Manifest.plist"]
        .iter()
        .any(|name| folder.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_backup_files_are_parts() {
        const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
        for path in ["Info.plist", "Manifest.db", ID, &format!("3d/{ID}")] {
            assert!(is_part(path), "{path}");
        }
        for path in [
            "",
            "Manifest.db-wal",
            "Manifest.db-shm",
            "Manifest.db-journal",
            ".DS_Store",
            "3d/.DS_Store",
            &format!("3d/._{ID}"),
            &format!("3d/{ID}.partial"),
            &format!("3d/{ID}\n"),
            &format!("Snapshot/3d/{ID}"),
            &format!("3d/x/{ID}"),
            &format!("3/{ID}"),
            "desktop.ini",
            "Thumbs.db",
            "stray\nfile",
        ] {
            assert!(!is_part(path), "{path}");
        }
    }

    #[test]
    fn left_out_names_are_bounded() {
        let mut all = LeftOut::default();
        for name in ["a\nb", "b", "c", "d"] {
            all.add(std::path::Path::new(name));
        }
        assert_eq!(all.names(), "a\\nb, b, c and 1 more");
        let mut both = LeftOut::default();
        both.merge(all);
        assert_eq!((both.count, both.first.len()), (4, 3));
    }
}
