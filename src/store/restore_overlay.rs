//! An overlay: a temporary layer over a sealed backup. While restoring, the phone may rename,
//! remove and write files in what it takes for the backup's folder, and the backup itself does not
//! change.
//!
//! Nothing is copied, linked or opened for writing. A map in memory holds the names that were
//! moved, removed or created. Files that the phone sends go into a private temporary folder that is
//! removed together with the overlay.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::disk;
use crate::base::backup_path::BackupPath;
use crate::base::plain_file;

/// The most changed names, and the most files taken from the phone. No phone is known to change any
/// during a restore.
const NAMES_MAX: usize = 10_000;
/// The longest path in bytes; iOS allows as much.
const NAME_BYTES_MAX: usize = 1024;
/// The most bytes taken from the phone in total.
const BYTES_MAX: u64 = 1 << 30;

/// The meaning of a path where it differs from the sealed backup.
#[derive(Debug, Clone)]
enum Node {
    /// The path was removed.
    Gone,
    /// A new folder. Its contents are nodes too.
    Folder,
    /// A file or folder of the sealed backup, with everything below it.
    Sealed(PathBuf),
    /// A file that was written to the overlay. It is never changed afterwards, so two paths may
    /// share it.
    Written(PathBuf),
}

/// The result of looking up a path.
enum Place {
    Nothing,
    Folder,
    /// A path in the sealed backup, which may or may not exist on disk.
    Sealed(PathBuf),
    Written(PathBuf),
}

/// The contents of a folder: each name with its metadata on disk, or `None` for a folder that
/// exists only in the overlay.
pub(crate) type Listing = Vec<(String, Option<Metadata>)>;

/// A sealed backup as it appears under another name, with the changes made over it.
#[derive(Debug)]
pub(crate) struct Overlay {
    name: String,
    sealed: PathBuf,
    nodes: BTreeMap<String, Node>,
    folder: Option<TempDir>,
    written_files: u64,
    written_bytes: u64,
    /// The folder of the last file that was looked up. No part of its path in the backup is a link.
    plain: Option<PathBuf>,
}

impl Overlay {
    /// Creates an overlay for the backup in `sealed`, which appears under `name`.
    pub(crate) fn new(sealed: &Path, name: &str) -> Overlay {
        Overlay {
            name: name.to_owned(),
            sealed: sealed.to_path_buf(),
            nodes: BTreeMap::new(),
            folder: None,
            written_files: 0,
            written_bytes: 0,
            plain: None,
        }
    }

    /// Opens a file. Links and special files count as missing.
    pub(crate) fn open(&mut self, path: &BackupPath) -> io::Result<File> {
        match self.place(path.as_str()) {
            Place::Nothing | Place::Folder => Err(io::ErrorKind::NotFound.into()),
            Place::Written(file) => plain_file::open(file.as_ref()),
            Place::Sealed(file) => {
                self.is_plain(&file)?;
                if fs::symlink_metadata(&file)?.is_file() {
                    plain_file::open(&file)
                } else {
                    Err(io::ErrorKind::NotFound.into())
                }
            }
        }
    }

    /// Returns the path of a file below the sealed backup's folder, with `/` between components, if
    /// the file comes from there.
    pub(crate) fn sealed_path(&self, path: &BackupPath) -> Option<String> {
        let Place::Sealed(file) = self.place(path.as_str()) else {
            return None;
        };
        let below = file.strip_prefix(&self.sealed).ok()?;
        let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    }

    /// Lists a folder. A missing folder is empty.
    pub(crate) fn list(&mut self, path: &BackupPath) -> io::Result<Listing> {
        let mut found = Listing::new();
        match self.place(path.as_str()) {
            Place::Nothing => return Ok(found),
            Place::Folder => {}
            Place::Written(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Place::Sealed(folder) => self.list_sealed(path.as_str(), &folder, &mut found)?,
        }
        let below = format!("{path}/");
        for (name, node) in self.below(path.as_str()) {
            let leaf = &name[below.len()..];
            if leaf.contains('/') {
                continue;
            }
            let meta = match node {
                Node::Gone => continue,
                Node::Folder => None,
                Node::Sealed(place) | Node::Written(place) => match fs::symlink_metadata(place) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    meta => Some(meta?),
                },
            };
            found.push((leaf.to_owned(), meta));
        }
        Ok(found)
    }

    fn list_sealed(&mut self, path: &str, folder: &Path, found: &mut Listing) -> io::Result<()> {
        match self
            .is_plain(folder)
            .and_then(|()| fs::symlink_metadata(folder))
        {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Ok(meta) if meta.is_symlink() => return Ok(()),
            Ok(_) => {}
            Err(e) => return Err(e),
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A name that is not UTF-8 cannot be sent to the phone.
            if let Ok(name) = entry.file_name().into_string()
                && !self.nodes.contains_key(&format!("{path}/{name}"))
            {
                found.push((name, Some(entry.metadata()?)));
            }
        }
        Ok(())
    }

    /// Makes a folder and its parents. Does nothing if the folder exists.
    pub(crate) fn make_dir(&mut self, path: &BackupPath) -> io::Result<()> {
        match self.is_dir(path.as_str())? {
            Some(true) => Ok(()),
            Some(false) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                self.make_parents(path.as_str())?;
                self.set(path.as_str(), Node::Folder)
            }
        }
    }

    /// Stores a file that the phone sends.
    pub(crate) fn write(&mut self, path: &BackupPath, body: &mut dyn Read) -> io::Result<()> {
        if self.is_dir(path.as_str())? == Some(true) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let file = self.new_file()?;
        let left = BYTES_MAX - self.written_bytes;
        let mut out = disk::create_private(&file)?;
        let took = io::copy(&mut body.take(left + 1), &mut out);
        drop(out);
        self.written_bytes += took.as_ref().map_or(0, |bytes| *bytes).min(left);
        let kept = match took {
            Ok(bytes) if bytes > left => Err(io::ErrorKind::StorageFull.into()),
            took => took.map(drop),
        };
        if let Err(e) = kept {
            disk::remove_if_there(&file)?;
            return Err(e);
        }
        self.make_parents(path.as_str())?;
        self.set(path.as_str(), Node::Written(file))
    }

    /// Makes `file` appear at a path, replacing whatever is there.
    pub(crate) fn show(&mut self, path: &BackupPath, file: PathBuf) -> io::Result<()> {
        self.set(path.as_str(), Node::Written(file))
    }

    /// Moves a file or folder, replacing whatever is at the new path. Creates missing parents.
    pub(crate) fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        self.copy(from, to)?;
        self.remove(from)
    }

    /// Gives a file or folder a second path, replacing whatever is there.
    pub(crate) fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> io::Result<()> {
        let (from, to) = (from.as_str(), to.as_str());
        let is_below = |one: &str, other: &str| {
            one.strip_prefix(other)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is_below(from, to) || is_below(to, from) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let node = match self.place(from) {
            Place::Nothing => return Err(io::ErrorKind::NotFound.into()),
            Place::Folder => Node::Folder,
            Place::Written(file) => Node::Written(file),
            Place::Sealed(place) => {
                self.is_plain(&place)?;
                let kind = fs::symlink_metadata(&place)?.file_type();
                if !kind.is_file() && !kind.is_dir() {
                    return Err(io::ErrorKind::NotFound.into());
                }
                Node::Sealed(place)
            }
        };
        let within: Vec<(String, Node)> = self
            .below(from)
            .map(|(name, node)| (format!("{to}{}", &name[from.len()..]), node.clone()))
            .collect();
        if self.nodes.len() + within.len() > NAMES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.make_parents(to)?;
        self.forget_below(to);
        self.set(to, node)?;
        self.nodes.extend(within);
        Ok(())
    }

    /// Removes a file or folder. Does nothing if it does not exist.
    pub(crate) fn remove(&mut self, path: &BackupPath) -> io::Result<()> {
        self.forget_below(path.as_str());
        self.set(path.as_str(), Node::Gone)
    }

    /// Returns the number of bytes that the phone may still send.
    pub(crate) fn free_space(&self) -> io::Result<u64> {
        let free = fs4::available_space(std::env::temp_dir())?;
        Ok(free.min(BYTES_MAX - self.written_bytes))
    }

    /// Looks up a path: the nearest node at or above it decides, else the sealed backup.
    fn place(&self, path: &str) -> Place {
        let mut end = path.len();
        // An overlay is nearly always empty and receives a million lookups, so the empty case is
        // fast.
        while !self.nodes.is_empty() {
            let (above, rest) = path.split_at(end);
            if let Some(node) = self.nodes.get(above) {
                return match node {
                    Node::Sealed(place) => Place::Sealed(join(place, rest)),
                    Node::Folder if rest.is_empty() => Place::Folder,
                    Node::Written(file) if rest.is_empty() => Place::Written(file.clone()),
                    _ => Place::Nothing,
                };
            }
            match above.rfind('/') {
                Some(at) => end = at,
                None => break,
            }
        }
        match path.strip_prefix(self.name.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Place::Sealed(join(&self.sealed, rest))
            }
            _ => Place::Nothing,
        }
    }

    /// Returns true for a folder and false for a file, or `None` if nothing exists at the path.
    fn is_dir(&mut self, path: &str) -> io::Result<Option<bool>> {
        match self.place(path) {
            Place::Nothing => Ok(None),
            Place::Folder => Ok(Some(true)),
            Place::Written(_) => Ok(Some(false)),
            Place::Sealed(place) => match self
                .is_plain(&place)
                .and_then(|()| fs::symlink_metadata(place))
            {
                Ok(meta) => Ok(Some(meta.is_dir())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            },
        }
    }

    /// Creates the missing folders above a path.
    fn make_parents(&mut self, path: &str) -> io::Result<()> {
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        for end in ends {
            match self.is_dir(&path[..end])? {
                Some(true) => {}
                Some(false) => return Err(io::ErrorKind::NotADirectory.into()),
                None => self.set(&path[..end], Node::Folder)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, path: &str, node: Node) -> io::Result<()> {
        if path.len() > NAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        if self.nodes.len() >= NAMES_MAX && !self.nodes.contains_key(path) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    /// Returns the nodes below a path, in order.
    fn below(&self, path: &str) -> impl Iterator<Item = (&String, &Node)> {
        let prefix = format!("{path}/");
        let from = prefix.clone();
        (self.nodes.range(from..)).take_while(move |(name, _)| name.starts_with(&prefix))
    }

    fn forget_below(&mut self, path: &str) {
        let names: Vec<String> = self.below(path).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.nodes.remove(&name);
        }
    }

    fn new_file(&mut self) -> io::Result<PathBuf> {
        if self.written_files >= NAMES_MAX as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.folder.is_none() {
            let mut builder = tempfile::Builder::new();
            builder.prefix("idev-backup-");
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
            self.folder = Some(builder.tempdir()?);
        }
        self.written_files += 1;
        let name = self.written_files.to_string();
        let folder = self.folder.as_ref();
        folder
            .map(|folder| folder.path().join(name))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns an error if a folder between the backup and `place` is a link, since that would lead
    /// out of the backup.
    fn is_plain(&mut self, place: &Path) -> io::Result<()> {
        let Some(folder) = place.parent().filter(|_| place != self.sealed) else {
            return Ok(());
        };
        if folder == self.sealed || self.plain.as_deref() == Some(folder) {
            return Ok(());
        }
        let within = folder.ancestors().take_while(|above| *above != self.sealed);
        for above in within {
            if fs::symlink_metadata(above)?.is_symlink() {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        self.plain = Some(folder.to_path_buf());
        Ok(())
    }
}

/// Appends `rest` to a path. `rest` is empty or begins with a slash.
fn join(place: &Path, rest: &str) -> PathBuf {
    let mut whole = place.to_path_buf();
    whole.extend(rest.split('/').filter(|part| !part.is_empty()));
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDID: &str = "00008030-001C195E0A88802E";

    fn path(name: &str) -> BackupPath {
        format!("{UDID}/{name}").parse().unwrap()
    }

    /// Returns a sealed backup's temporary folder and an overlay over it.
    fn sealed() -> (TempDir, Overlay) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("Status.plist", "status"),
            ("00/a", "one"),
            ("00/b", "two"),
            ("ff/c", "three"),
        ] {
            let file = dir.path().join("sealed").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let overlay = Overlay::new(&dir.path().join("sealed"), UDID);
        (dir, overlay)
    }

    fn assert_untouched(dir: &TempDir) {
        let mut found: Vec<(String, String)> = walkdir::WalkDir::new(dir.path().join("sealed"))
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let name = entry
                    .path()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        let wanted = [
            ("Status.plist", "status"),
            ("a", "one"),
            ("b", "two"),
            ("c", "three"),
        ];
        assert_eq!(found, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    fn text(overlay: &mut Overlay, name: &str) -> Option<String> {
        let mut text = String::new();
        let file = overlay.open(&path(name));
        file.ok()?.read_to_string(&mut text).unwrap();
        Some(text)
    }

    fn names(overlay: &mut Overlay, name: &str) -> Vec<String> {
        let listed = overlay.list(&path(name)).unwrap().into_iter();
        let mut names: Vec<String> = listed.map(|(name, _)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn overlay_shows_sealed_files() {
        let (_dir, mut overlay) = sealed();
        assert_eq!(text(&mut overlay, "00/a").as_deref(), Some("one"));
        assert_eq!(names(&mut overlay, "00"), ["a", "b"]);
        assert!(names(&mut overlay, "absent").is_empty());
        for other in ["00/x", "00", "00/a/b"] {
            assert_eq!(text(&mut overlay, other), None, "{other}");
        }
        let foreign: BackupPath = format!("{UDID}x/00/a").parse().unwrap();
        assert!(overlay.open(&foreign).is_err());
    }

    #[test]
    fn overlay_changes_leave_backup_untouched() {
        let (dir, mut overlay) = sealed();
        overlay.write(&path("00/a"), &mut &b"written"[..]).unwrap();
        overlay
            .write(&path("Snapshot/11/n"), &mut &b"new"[..])
            .unwrap();
        overlay.remove(&path("00/b")).unwrap();
        overlay.rename(&path("ff"), &path("ee/gg")).unwrap();
        assert_eq!(text(&mut overlay, "00/a").as_deref(), Some("written"));
        assert_eq!(text(&mut overlay, "Snapshot/11/n").as_deref(), Some("new"));
        assert_eq!(text(&mut overlay, "00/b"), None);
        assert_eq!(text(&mut overlay, "ff/c"), None);
        assert_eq!(text(&mut overlay, "ee/gg/c").as_deref(), Some("three"));
        assert_eq!(names(&mut overlay, "00"), ["a"]);
        assert_eq!(names(&mut overlay, "ee"), ["gg"]);
        assert_eq!(names(&mut overlay, "Snapshot"), ["11"]);
        assert!(names(&mut overlay, "ff").is_empty());
        // A moved file can be replaced at its new path, and a removed one created again.
        overlay.remove(&path("ee/gg/c")).unwrap();
        assert!(names(&mut overlay, "ee/gg").is_empty());
        overlay.make_dir(&path("ff/c")).unwrap();
        assert_eq!(names(&mut overlay, "ff"), ["c"]);
        overlay.rename(&path("Snapshot"), &path("00")).unwrap();
        assert_eq!(names(&mut overlay, "00"), ["11"]);
        assert_eq!(text(&mut overlay, "00/11/n").as_deref(), Some("new"));
        // Changing the second path does not change the first.
        overlay.copy(&path("00/11/n"), &path("second")).unwrap();
        overlay.write(&path("00/11/n"), &mut &b"other"[..]).unwrap();
        assert_eq!(text(&mut overlay, "second").as_deref(), Some("new"));
        let all = overlay.list(&UDID.parse().unwrap()).unwrap();
        assert!(all.iter().any(|(name, _)| name == "Status.plist"));
        let archive = format!("{UDID}-20261123-060000").parse().unwrap();
        overlay.copy(&UDID.parse().unwrap(), &archive).unwrap();
        assert_eq!(overlay.list(&archive).unwrap().len(), all.len());
        assert_untouched(&dir);
    }

    #[test]
    fn invalid_overlay_operations_change_nothing() {
        let (dir, mut overlay) = sealed();
        for (from, to) in [("00", "00/x"), ("00/a", "00"), ("absent", "x")] {
            assert!(overlay.rename(&path(from), &path(to)).is_err(), "{from}");
        }
        assert!(overlay.make_dir(&path("00/a")).is_err());
        assert!(overlay.write(&path("00"), &mut &b"x"[..]).is_err());
        assert!(overlay.write(&path("00/a/x"), &mut &b"x"[..]).is_err());
        overlay.rename(&path("00/a"), &path("00/a")).unwrap();
        overlay.remove(&path("absent")).unwrap();
        assert_eq!(text(&mut overlay, "00/a").as_deref(), Some("one"));
        assert_eq!(names(&mut overlay, "00"), ["a", "b"]);
        assert_untouched(&dir);
    }

    #[test]
    fn interrupted_body_leaves_nothing() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
        let (dir, mut overlay) = sealed();
        assert!(overlay.write(&path("00/a"), &mut Broken).is_err());
        assert_eq!(text(&mut overlay, "00/a").as_deref(), Some("one"));
        assert_untouched(&dir);
    }

    #[cfg(unix)]
    #[test]
    fn overlay_does_not_follow_links() {
        let (dir, mut overlay) = sealed();
        let sealed = dir.path().join("sealed");
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("out/secret"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("out"), sealed.join("11")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("out/secret"), sealed.join("l")).unwrap();
        for name in ["11/secret", "l"] {
            let error = overlay.open(&path(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
            assert!(overlay.copy(&path(name), &path("y")).is_err());
        }
        assert_eq!(names(&mut overlay, "11"), Vec::<String>::new());
        assert_eq!(names(&mut overlay, "11/deeper"), Vec::<String>::new());
    }
}
