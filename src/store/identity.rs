//! Decides which folder of ours belongs to which backup.
//!
//! A record names the SHA-256 of each metadata file of its backup. A backup belongs to a record if
//! at most one of those files has changed. One damaged file therefore neither turns the backup into
//! another program's nor takes away its list of hashes. When another program continues a backup, it
//! rewrites all of these files, so the backup no longer belongs to the record.

use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};

use super::prints::Print;
use super::record::{Found, Record};
use super::sums::{self, Hash};
use super::{Error, RECORDED};

/// The metadata files in the order in which they are compared: the smallest first, and the list of
/// files last, since that can have 1.5 GB.
const COMPARED: [&str; RECORDED.len()] = [
    "Status.plist",
    "Manifest.plist",
    "Info.plist",
    "Manifest.db",
    "Manifest.mbdb",
];

/// The number of property lists in [`COMPARED`]; they come first.
const PROPERTY_LISTS: usize = 3;

/// The least number of metadata files for which one may differ. With fewer, all must be unchanged.
const TOLERANT_FROM: usize = 3;

/// The prints of the metadata files in a folder. Each file is hashed at most once, and only when
/// its print is needed.
pub(crate) struct Prints {
    folder: PathBuf,
    prints: [OnceCell<Seen>; COMPARED.len()],
}

/// The state of a metadata file.
#[derive(Debug, Clone)]
enum Seen {
    Print(Print, Hash),
    /// The file is missing, empty, not a regular file, or cannot be read.
    Lost(io::ErrorKind),
}

impl Prints {
    /// Prepares to hash the metadata files in a folder.
    pub(crate) fn of(folder: &Path) -> Prints {
        Prints {
            folder: folder.to_path_buf(),
            prints: std::array::from_fn(|_| OnceCell::new()),
        }
    }

    fn seen(&self, at: usize) -> &Seen {
        self.prints[at].get_or_init(|| match sums::hash_file(&self.folder.join(COMPARED[at])) {
            Ok((_, 0)) => Seen::Lost(io::ErrorKind::UnexpectedEof),
            Ok((hash, bytes)) => Seen::Print(Print::new(&hash, bytes), hash),
            Err(Error::Io { cause, .. }) => Seen::Lost(cause.kind()),
            Err(_) => Seen::Lost(io::ErrorKind::Other),
        })
    }

    fn print(&self, at: usize) -> Option<&Print> {
        match self.seen(at) {
            Seen::Print(print, _) => Some(print),
            Seen::Lost(_) => None,
        }
    }

    /// Returns the SHA-256 of Status.plist.
    pub(crate) fn status(&self) -> Option<Hash> {
        match self.seen(0) {
            Seen::Print(_, hash) => Some(*hash),
            Seen::Lost(_) => None,
        }
    }

    /// Returns false if the file cannot be the wanted one because its length differs. Does not read
    /// it.
    fn has_length(&self, at: usize, bytes: u64) -> bool {
        self.prints[at].get().is_some()
            || std::fs::metadata(self.folder.join(COMPARED[at]))
                .is_ok_and(|meta| meta.len() == bytes)
    }

    /// Returns true if this user may not read one of the small metadata files.
    pub(super) fn is_refused(&self) -> bool {
        (0..PROPERTY_LISTS)
            .any(|at| matches!(self.seen(at), Seen::Lost(kind) if *kind == io::ErrorKind::PermissionDenied))
    }
}

/// A folder of ours that may accompany a backup.
pub(crate) struct Kept {
    /// The path of the folder.
    pub folder: PathBuf,
    /// The record in the folder.
    pub found: Found,
    /// The copies of the metadata in the folder. They are used if both copies of the record are
    /// damaged.
    copies: Prints,
}

/// The result of comparing a metadata file with its sealed print.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    Same,
    Other,
    Lost,
    /// The backup had no such file when it was sealed.
    Unknown,
}

impl Kept {
    /// Reads the record of a folder.
    pub(crate) fn read(folder: &Path) -> Kept {
        Kept {
            folder: folder.to_path_buf(),
            found: Found::in_folder(folder),
            copies: Prints::of(folder),
        }
    }

    /// Returns the record, if one of its copies has a valid checksum.
    pub(crate) fn record(&self) -> Option<&Record> {
        self.found.record.as_ref()
    }

    /// Returns the SHA-256 of the copy of Status.plist.
    pub(crate) fn status(&self) -> Option<Hash> {
        self.copies.status()
    }

    fn has(&self, at: usize) -> bool {
        match self.record() {
            Some(record) => record.metadata.contains_key(COMPARED[at]),
            None => self.folder.join(COMPARED[at]).is_file(),
        }
    }

    fn compare(&self, backup: &Prints, at: usize) -> Compared {
        let wanted = match self.record() {
            Some(record) => record.metadata.get(COMPARED[at]),
            None => self.copies.print(at),
        };
        let Some(wanted) = wanted else {
            return Compared::Unknown;
        };
        if backup.has_length(at, wanted.bytes) && backup.print(at) == Some(wanted) {
            return Compared::Same;
        }
        // A different length already shows a change. Only a missing or empty file counts as lost.
        let path = backup.folder.join(COMPARED[at]);
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => Compared::Other,
            _ => Compared::Lost,
        }
    }

    /// Returns true if this folder belongs to the backup with these prints: at most one of the
    /// sealed metadata files has changed or is gone.
    pub(crate) fn belongs_to(&self, backup: &Prints) -> bool {
        let known = (0..COMPARED.len()).filter(|&at| self.has(at)).count();
        let may_differ = usize::from(known >= TOLERANT_FROM);
        let (mut same, mut others) = (0, 0);
        for at in 0..COMPARED.len() {
            match self.compare(backup, at) {
                Compared::Unknown => continue,
                Compared::Same => same += 1,
                Compared::Other | Compared::Lost => others += 1,
            }
            if others > may_differ {
                return false;
            }
            if same > 0 && same + may_differ >= known {
                return true;
            }
        }
        false
    }

    /// Returns true if the backup has all sealed property lists, unchanged.
    fn is_just(&self, backup: &Prints) -> bool {
        let mut known = (0..PROPERTY_LISTS).filter(|&at| self.has(at)).peekable();
        known.peek().is_some() && known.all(|at| self.compare(backup, at) == Compared::Same)
    }

    /// Returns true if this folder belonged to the backup before most of its metadata was lost.
    /// Used for a repair: files that are missing or empty do not count against the match.
    pub(crate) fn belonged_to(&self, backup: &Prints) -> bool {
        let compared = |at| self.compare(backup, at);
        let all = || (0..COMPARED.len()).map(compared);
        // Status.plist and Info.plist are rewritten for every backup.
        let is_tied = compared(0) == Compared::Same || compared(2) == Compared::Same;
        is_tied && all().filter(|c| *c == Compared::Other).count() <= 1
    }
}

/// Finds the folder of ours that belongs to a backup. A folder that matches all of the backup's
/// property lists is preferred to one with a difference. The folder `named` is checked first.
pub(crate) fn find(dirs: &[PathBuf], named: Option<&Path>, backup: &Prints) -> Option<Kept> {
    let named = named.map(Kept::read);
    if let Some(kept) = named.filter(|kept| kept.is_just(backup)) {
        return Some(kept);
    }
    let mut others = Vec::new();
    for dir in dirs {
        let kept = Kept::read(dir);
        if kept.is_just(backup) {
            return Some(kept);
        }
        others.push(kept);
    }
    others.into_iter().find(|kept| kept.belongs_to(backup))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::record::{RECORD, RECORD_COPY, tests::record};

    const NAMES: [&str; 4] = [
        "Info.plist",
        "Manifest.db",
        "Manifest.plist",
        "Status.plist",
    ];

    /// A backup and the folder of ours that accompanies it.
    struct Pair {
        dir: tempfile::TempDir,
    }

    impl Pair {
        fn new() -> Pair {
            let pair = Pair {
                dir: tempfile::tempdir().unwrap(),
            };
            let mut record = record(1, "2026-11-20T21:14:01Z");
            record.metadata.clear();
            for folder in [pair.backup(), pair.beside()] {
                fs::create_dir(&folder).unwrap();
                for name in NAMES {
                    fs::write(folder.join(name), format!("bytes of {name}")).unwrap();
                    let print = Print::of(&folder.join(name)).unwrap();
                    record.metadata.insert(name.to_owned(), print);
                }
            }
            record.write(&pair.beside()).unwrap();
            pair
        }

        fn backup(&self) -> PathBuf {
            self.dir.path().join("backup")
        }

        fn beside(&self) -> PathBuf {
            self.dir.path().join("beside")
        }

        fn is_ours(&self) -> bool {
            let dirs = [self.beside()];
            find(&dirs, None, &Prints::of(&self.backup())).is_some()
        }
    }

    fn flip(path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        bytes[3] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn identity_survives_one_damaged_file() {
        let pair = Pair::new();
        assert!(pair.is_ours());
        let backup = NAMES.map(|name| pair.backup().join(name));
        let beside = [&NAMES[..], &[RECORD, RECORD_COPY]].concat();
        let beside = beside.iter().map(|name| pair.beside().join(name));
        for path in backup.into_iter().chain(beside) {
            let whole = fs::read(&path).unwrap();
            flip(&path);
            assert!(pair.is_ours(), "{}", path.display());
            fs::remove_file(&path).unwrap();
            assert!(pair.is_ours(), "{} is gone", path.display());
            fs::write(&path, whole).unwrap();
        }
        assert!(pair.is_ours());
    }

    #[test]
    fn copies_replace_two_damaged_records() {
        let pair = Pair::new();
        for name in [RECORD, RECORD_COPY] {
            flip(&pair.beside().join(name));
        }
        assert!(pair.is_ours());
        for name in NAMES {
            let path = pair.backup().join(name);
            flip(&path);
            assert!(pair.is_ours(), "{name}");
            flip(&path);
        }
    }

    /// Checks that a backup that another program continued no longer counts as ours.
    #[test]
    fn backup_continued_elsewhere_is_foreign() {
        for damaged in [false, true] {
            let pair = Pair::new();
            if damaged {
                flip(&pair.beside().join(RECORD));
                flip(&pair.beside().join(RECORD_COPY));
            }
            for name in NAMES {
                fs::write(pair.backup().join(name), "new").unwrap();
                let is_first = name == NAMES[0];
                assert_eq!(pair.is_ours(), is_first, "{name}");
            }
        }
    }

    #[test]
    fn repair_matches_partly_damaged_backup() {
        let pair = Pair::new();
        for name in ["Manifest.plist", "Status.plist"] {
            fs::remove_file(pair.backup().join(name)).unwrap();
        }
        flip(&pair.backup().join("Manifest.db"));
        let prints = Prints::of(&pair.backup());
        let kept = Kept::read(&pair.beside());
        assert!(!kept.belongs_to(&prints) && kept.belonged_to(&prints));
        fs::write(pair.backup().join("Status.plist"), "another").unwrap();
        assert!(!kept.belonged_to(&Prints::of(&pair.backup())));
    }

    #[test]
    fn the_exact_folder_is_preferred() {
        let pair = Pair::new();
        let other = pair.dir.path().join("other");
        fs::create_dir(&other).unwrap();
        let mut similar = record(2, "2026-11-21T21:14:01Z");
        let found = Kept::read(&pair.beside());
        similar.metadata = found.record().unwrap().metadata.clone();
        similar
            .metadata
            .insert("Status.plist".to_owned(), Print::new(&[9; 32], 9));
        similar.write(&other).unwrap();
        let prints = Prints::of(&pair.backup());
        let dirs = [other.clone(), pair.beside()];
        for named in [None, Some(other.as_path())] {
            let found = find(&dirs, named, &prints).unwrap();
            assert_eq!(found.folder, pair.beside());
        }
    }
}
