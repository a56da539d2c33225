//! Walks the files below a folder in a fixed order. Only the listings of open folders are in
//! memory.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;

/// An entry found by a walk: a file, link or special file.
#[derive(Debug)]
pub(crate) struct Found {
    /// The path below the folder, with `/` between components.
    pub path: String,
    /// The entry's metadata; links are not followed.
    pub meta: Metadata,
}

impl Found {
    /// Returns true if the entry is a regular file, neither a folder nor a link.
    pub(crate) fn is_file(&self) -> bool {
        self.meta.is_file()
    }
}

/// An iterator over the entries below a folder, depth first, with names in byte order. Folders
/// themselves are not returned. The walk continues after an error.
pub(crate) struct Walk {
    root: PathBuf,
    /// The listings that are not finished, innermost last, each in reverse order.
    open: Vec<(String, Vec<Name>)>,
    /// Errors found while listing folders, which are returned before the next entry.
    trouble: Vec<Error>,
}

impl Walk {
    /// Starts a walk below `root`.
    pub(crate) fn new(root: &Path) -> Result<Walk, Error> {
        let mut trouble = Vec::new();
        let names = listing(root, &mut trouble)?;
        Ok(Walk {
            root: root.to_path_buf(),
            open: vec![(String::new(), names)],
            trouble,
        })
    }

    fn step(&mut self) -> Result<Option<Found>, Error> {
        loop {
            if let Some(e) = self.trouble.pop() {
                return Err(e);
            }
            let Some((folder, names)) = self.open.last_mut() else {
                return Ok(None);
            };
            let Some((name, entry)) = names.pop() else {
                self.open.pop();
                continue;
            };
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            let meta = metadata_of(&entry);
            let meta = meta.map_err(|e| Error::io("look at", &self.root.join(&path), e))?;
            if meta.is_dir() {
                let names = listing(&self.root.join(&path), &mut self.trouble)?;
                self.open.push((path, names));
            } else {
                return Ok(Some(Found { path, meta }));
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The name of an entry in a folder, with the entry.
type Name = (String, DirEntry);

/// Returns the names in a folder in reverse byte order, so that they can be popped. Names that are
/// not UTF-8 are added to `trouble`.
fn listing(folder: &Path, trouble: &mut Vec<Error>) -> Result<Vec<Name>, Error> {
    let failed = |e| Error::io("list", folder, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_name().into_string() {
            Ok(name) => names.push((name, entry)),
            Err(name) => trouble.push(Error::Damaged {
                path: folder.join(name),
                why: "its name is no text".to_owned(),
            }),
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    Ok(names)
}

/// Returns the metadata of an entry; links are not followed. Linux finds the entry in its folder,
/// which is open: resolving its path again would take as long as reading its metadata.
fn metadata_of(entry: &DirEntry) -> io::Result<Metadata> {
    if cfg!(windows) {
        // The entry has the size from the folder's listing. NTFS does not update it there when a
        // file is written under another of its names.
        fs::symlink_metadata(entry.path())
    } else {
        entry.metadata()
    }
}

/// Compares two paths in the order in which `Walk` returns them: component by component.
pub fn order(one: &str, other: &str) -> std::cmp::Ordering {
    one.split('/').cmp(other.split('/'))
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| Error::io("list", folder, e))?.file_name();
        names.extend(name.into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk_yields_paths_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b/2", "b/10", "a.x", "a/z/q", "Info.plist", "00/00ff"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let paths: Vec<_> = Walk::new(dir.path())
            .unwrap()
            .map(|f| f.unwrap().path)
            .collect();
        assert_eq!(
            paths,
            ["00/00ff", "Info.plist", "a/z/q", "a.x", "b/10", "b/2"]
        );
        assert!(paths.is_sorted_by(|a, b| order(a, b).is_lt()));
    }
}
