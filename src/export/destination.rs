//! Fills a folder with files of a backup. Nothing outside the folder is written, whatever the
//! backup's list says: `file_names` makes the names, folders are created one by
//! one and never through a link, and files are written under a temporary name and then renamed.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use crate::export::Error;
use crate::export::file_names::{Place, Rules, numbered};
use crate::store::{self, disk};

/// Options for filling a folder.
///
/// A folder that holds files is completed if an earlier run filled it, so that an interrupted run
/// can continue: files that are there with the right contents stay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Into {
    /// Replace existing files that differ, and fill any folder, whatever it holds.
    pub overwrite: bool,
    /// Write nothing; only check what would be written.
    pub dry_run: bool,
}

/// The folder that is filled.
pub(crate) struct Target {
    root: PathBuf,
    rules: Rules,
    how: Into,
    /// True if the folder held files before.
    holds_files: bool,
    /// Hashes of the paths in use. A million of them take some 20 MB.
    taken: HashSet<u64>,
    /// The last number appended to a name that was needed more than once, by the hash of the name
    /// without its number. A forged list can name one file a million times.
    numbers: HashMap<u64, u32>,
    /// Hashes of the folders that were created or checked.
    made: HashSet<u64>,
    hasher: RandomState,
}

/// The reasons for which an item cannot be written.
pub(crate) enum NoPlace {
    /// Only this item cannot be written.
    This(String),
    /// Nothing can be written any more.
    Any(Error),
}

impl Target {
    /// Checks the folder and creates it. `backup` is the folder of the backup that will be read.
    pub(crate) fn open(folder: &Path, backup: &Path, how: Into) -> Result<Target, Error> {
        let failed = |e| cannot_write(folder, e);
        let root = std::path::absolute(folder).map_err(failed)?;
        refuse_backups(&root, backup)?;
        let has_files = has_files(&root)?;
        let mut rules = Rules::of_system();
        if !how.dry_run {
            match has_files {
                None => make_root(&root)?,
                Some(_) => remove_abandoned(&root),
            }
            probe(&root, &mut rules).map_err(failed)?;
        }
        Ok(Target::with(root, rules, how, has_files == Some(true)))
    }

    fn with(root: PathBuf, rules: Rules, how: Into, holds_files: bool) -> Target {
        Target {
            root,
            rules,
            how,
            holds_files,
            taken: HashSet::new(),
            numbers: HashMap::new(),
            made: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Returns true if the folder held files before, with which each file must be compared.
    pub(crate) fn holds_files(&self) -> bool {
        self.holds_files
    }

    /// Returns true if the folder holds files, may not simply be filled, and so must be one that an
    /// earlier run filled. [`Target::trial`] finds that out.
    pub(crate) fn must_be_known(&self) -> bool {
        self.holds_files && !self.how.overwrite
    }

    /// Returns a copy that gives the same names and writes nothing.
    pub(crate) fn trial(&self) -> Target {
        let how = Into {
            dry_run: true,
            ..self.how
        };
        Target::with(self.root.clone(), self.rules, how, self.holds_files)
    }

    /// Returns the path of the folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the rules for names on its disk.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// Returns the path of a place, which need not exist.
    pub(crate) fn path_of(&self, place: &Place) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(&place.parts);
        path
    }

    /// Reserves a place. If it is already reserved, renames it to `name (2)` (or the next free
    /// number) and returns true.
    pub(crate) fn take(&mut self, place: &mut Place) -> bool {
        let Some(name) = place.parts.pop() else {
            return false;
        };
        place.parts.push(name.clone());
        if self.taken.insert(self.key(&place.path())) {
            return false;
        }
        let mut path_with = |number| {
            place.parts.pop();
            place.parts.push(numbered(&name, number));
            place.path()
        };
        // A long name is cut to make room for its number, so the count belongs to the cut name.
        let around = self.key(&path_with(0));
        let mut number = self.numbers.get(&around).copied().unwrap_or(1);
        loop {
            number += 1;
            let key = self.key(&path_with(number));
            if self.taken.insert(key) {
                self.numbers.insert(around, number);
                return true;
            }
        }
    }

    /// Returns true if [`Target::folder`] created this folder or passed through it.
    pub(crate) fn has_folder(&self, place: &Place) -> bool {
        self.made.contains(&self.key(&place.path()))
    }

    /// Creates a folder and its parents.
    pub(crate) fn folder(&mut self, parts: &[String]) -> Result<PathBuf, NoPlace> {
        let mut path = self.root.clone();
        let whole = self.key(&parts.join("/"));
        if parts.is_empty() || self.made.contains(&whole) {
            path.extend(parts);
            return Ok(path);
        }
        let mut name = String::new();
        for part in parts {
            path.push(part);
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(part);
            let key = self.key(&name);
            if self.made.contains(&key) {
                continue;
            }
            if !self.how.dry_run && !make_folder(&path)? {
                remove_abandoned(&path);
            }
            self.made.insert(key);
        }
        Ok(path)
    }

    fn key(&self, path: &str) -> u64 {
        if self.rules.folds_case {
            self.hasher.hash_one(path.to_lowercase())
        } else {
            self.hasher.hash_one(path)
        }
    }
}

/// Classifies an error of the target's disk: it concerns one file, or all of them.
pub(crate) fn no_place(path: &Path, doing: &str, e: io::Error) -> NoPlace {
    match e.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem => NoPlace::Any(cannot_write(path, e)),
        _ => NoPlace::This(format!("cannot {doing} {}: {e}", path.display())),
    }
}

/// Returns the error for a target that cannot be written.
pub(crate) fn cannot_write(path: &Path, cause: io::Error) -> Error {
    Error::Target {
        path: path.to_path_buf(),
        cause,
    }
}

/// Returns a builder of folders that only their owner can access.
fn private_folders() -> fs::DirBuilder {
    #[cfg(unix)]
    {
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
    }
    #[cfg(not(unix))]
    fs::DirBuilder::new()
}

/// Creates the target folder and its parents. Not done by the store's functions, whose errors speak
/// of a store.
fn make_root(root: &Path) -> Result<(), Error> {
    let made = private_folders().recursive(true).create(root);
    made.map_err(|e| cannot_write(root, e))
}

/// Creates a folder. Returns false if it was there already.
fn make_folder(path: &Path) -> Result<bool, NoPlace> {
    let failed = |e| no_place(path, "make the folder", e);
    match private_folders().create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(|()| true).map_err(failed),
    }
    // Anything may be in its place: a link could lead anywhere.
    if fs::symlink_metadata(path).map_err(failed)?.is_dir() {
        Ok(false)
    } else {
        Err(NoPlace::This(format!(
            "{} exists and is not a folder",
            path.display()
        )))
    }
}

/// Returns true if a target folder holds anything but folders, or `None` if it does not exist yet.
/// What cannot be read counts as a file, because it may be one.
fn has_files(root: &Path) -> Result<Option<bool>, Error> {
    match fs::read_dir(root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => drop(entries.map_err(|e| cannot_write(root, e))?),
    }
    let mut entries = walkdir::WalkDir::new(root).min_depth(1).into_iter();
    let has_files = entries.any(|entry| match entry {
        Ok(entry) => !entry.file_type().is_dir() && !is_abandoned(entry.path()),
        Err(_) => true,
    });
    Ok(Some(has_files))
}

/// Removes partly written files of runs that were killed from a folder. They only take space, so a
/// failure does no harm.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_abandoned(&entry.path()) {
            match fs::remove_file(entry.path()) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Returns the name that a file has while a thread of this process writes it.
pub(crate) fn partial_name(thread: usize) -> String {
    format!("{PARTIAL}{}-{thread}.partial", std::process::id())
}

/// Start of the names of files that are being written.
const PARTIAL: &str = ".idev-backup-";

/// Returns true for a partly written file that no run has changed for a while.
fn is_abandoned(path: &Path) -> bool {
    /// A run that writes a file does so all the time.
    const IDLE_MIN: Duration = Duration::from_secs(10 * 60);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let changed = || {
        let meta = fs::symlink_metadata(path).ok()?;
        meta.is_file()
            .then(|| meta.modified().ok()?.elapsed().ok())?
    };
    name.starts_with(PARTIAL)
        && name.ends_with(".partial")
        && changed().is_some_and(|idle| idle >= IDLE_MIN)
}

/// Refuses a target inside a backup or a store, or one that contains the backup.
fn refuse_backups(root: &Path, backup: &Path) -> Result<(), Error> {
    let source = fs::canonicalize(backup).unwrap_or_else(|_| backup.to_path_buf());
    // If the folder does not exist yet, use its nearest existing parent.
    let target = root
        .ancestors()
        .find_map(|path| fs::canonicalize(path).ok())
        .unwrap_or_else(|| root.to_path_buf());
    if target.starts_with(&source) || (root.exists() && source.starts_with(&target)) {
        return Err(Error::AroundBackup {
            target: root.to_path_buf(),
            backup: backup.to_path_buf(),
        });
    }
    // Files inside a store would be listed as one of its backups, or would get in their way.
    let holds_ours = |path: &Path| path.join(".idev-backup").exists();
    if let Some(store) = target.ancestors().find(|path| holds_ours(path)) {
        return Err(Error::InStore {
            target: root.to_path_buf(),
            store: store.to_path_buf(),
        });
    }
    let is_in_backup = target.ancestors().any(store::is_backup);
    let is_ours = |name: &std::ffi::OsStr| name == ".idev-backup";
    if is_in_backup || target.iter().any(is_ours) {
        return Err(Error::InBackup(root.to_path_buf()));
    }
    Ok(())
}

/// Tests which names the disk can hold, rather than guessing from its type.
fn probe(root: &Path, rules: &mut Rules) -> io::Result<()> {
    let plain = root.join(format!(".idev-backup-probe-{}", std::process::id()));
    disk::create_private(&plain)?;
    let upper = root.join(format!(".IDEV-BACKUP-PROBE-{}", std::process::id()));
    rules.folds_case = fs::symlink_metadata(upper).is_ok();
    disk::remove_if_there(&plain)?;
    if !rules.windows {
        let odd = root.join(format!(".idev-backup-probe-{}:?", std::process::id()));
        // FAT and related file systems refuse this name on every operating system.
        rules.windows = disk::create_private(&odd).is_err();
        disk::remove_if_there(&odd).or_else(|e| if rules.windows { Ok(()) } else { Err(e) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(dir: &Path, how: Into) -> Result<Target, Error> {
        Target::open(&dir.join("to"), &dir.join("backup"), how)
    }

    fn parts(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    fn place(path: &str) -> Place {
        Place {
            parts: parts(path),
            is_altered: false,
        }
    }

    #[test]
    fn duplicate_paths_are_numbered() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = target(dir.path(), Into::default()).unwrap();
        let mut take = |path: &str| {
            let mut place = place(path);
            let numbered = target.take(&mut place);
            (place.path(), numbered)
        };
        assert_eq!(take("a/b.txt"), ("a/b.txt".to_owned(), false));
        assert_eq!(take("a/b.txt"), ("a/b (2).txt".to_owned(), true));
        assert_eq!(take("a/b.txt"), ("a/b (3).txt".to_owned(), true));
        assert_eq!(take("c/b.txt"), ("c/b.txt".to_owned(), false));
        assert_eq!(take("d (2)"), ("d (2)".to_owned(), false));
        assert_eq!(take("d"), ("d".to_owned(), false));
        assert_eq!(take("d"), ("d (3)".to_owned(), true));
        assert_eq!(take("d"), ("d (4)".to_owned(), true));
    }

    #[test]
    fn numbering_many_duplicates_stays_fast() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = target(dir.path(), Into::default()).unwrap();
        // If cut to make room for a number, all of these names are equal.
        let long = |end: u32| format!("{}{end:04}", "a".repeat(240));
        let start = std::time::Instant::now();
        let mut paths = HashSet::new();
        for number in 0..20_000 {
            let mut same = place("a/b.txt");
            target.take(&mut same);
            let mut alike = place(&long(number / 2));
            target.take(&mut alike);
            assert!(paths.insert(same.path()) && paths.insert(alike.path()));
        }
        assert!(paths.contains("a/b (20000).txt"));
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }

    #[test]
    fn files_in_the_target_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("to/x");
        fs::create_dir_all(&inside).unwrap();
        let open = |overwrite| {
            let how = Into {
                overwrite,
                ..Into::default()
            };
            target(dir.path(), how).unwrap()
        };
        assert!(!open(false).holds_files());
        fs::write(inside.join(partial_name(0)), "half").unwrap();
        assert!(open(false).must_be_known(), "another run may be writing");
        fs::File::options()
            .write(true)
            .open(inside.join(partial_name(0)))
            .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
            .unwrap();
        let mut known = open(false);
        assert!(!known.holds_files());
        assert!(known.folder(&parts("x")).is_ok());
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
        fs::write(inside.join("file"), "").unwrap();
        assert!(open(false).must_be_known());
        assert!(open(true).holds_files() && !open(true).must_be_known());
        assert_eq!(fs::read_dir(dir.path().join("to")).unwrap().count(), 1);
    }

    #[test]
    fn dry_run_creates_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let how = Into {
            dry_run: true,
            ..Into::default()
        };
        let mut target = target(dir.path(), how).unwrap();
        assert!(target.folder(&parts("a/b")).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn backups_and_stores_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let backup = dir.path().join("backup");
        fs::create_dir_all(&backup).unwrap();
        fs::write(backup.join("Manifest.db"), "").unwrap();
        let how = Into {
            overwrite: true,
            ..Into::default()
        };
        for to in [&backup, &backup.join("to"), dir.path()] {
            assert!(Target::open(to, &backup, how).is_err(), "{}", to.display());
        }
        let other = tempfile::tempdir().unwrap();
        for name in ["store", "old"] {
            fs::create_dir(other.path().join(name)).unwrap();
        }
        fs::create_dir(other.path().join("store/.idev-backup")).unwrap();
        fs::write(other.path().join("old/Manifest.mbdb"), "").unwrap();
        for name in [
            "store",
            "store/sub",
            "store/00008030-001A2B3C4D5E6F70-20200101-000000",
            "store/a/b",
            "old",
            "old/x",
            "store/.idev-backup/x",
        ] {
            assert!(
                Target::open(&other.path().join(name), &backup, how).is_err(),
                "{name}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_not_created_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = target(dir.path(), Into::default()).unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, target.root().join("a")).unwrap();
        assert!(matches!(
            target.folder(&parts("a/b")),
            Err(NoPlace::This(_))
        ));
        assert!(matches!(target.folder(&parts("a")), Err(NoPlace::This(_))));
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
        assert!(target.folder(&parts("c/d")).is_ok() && target.has_folder(&place("c")));
    }
}
