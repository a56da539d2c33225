//! Sizes of snapshots: the bytes they contain, and the bytes that their removal would free. A file
//! that another snapshot shares by a hard link frees nothing.
//!
//! Sizes are found by walking all files, since the freed bytes change whenever another snapshot is
//! added or removed. Files that share blocks (clones on APFS, btrfs, xfs) cannot be recognized
//! without interfaces specific to each file system. There the number is an upper bound.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;

use super::walk::Walk;
use super::{Error, Snapshot};

/// The size of one or several snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// The number of files.
    pub files: u64,
    /// The bytes of all files together.
    pub bytes: u64,
    /// The bytes freed by removing the snapshot and the folder of ours that accompanies it. `None`
    /// if the system cannot tell.
    pub frees: Option<u64>,
}

/// The files with several hard links whose links have not all been seen: the number of the others,
/// by device and inode. A tree needs a third of the memory of a hash table, which doubles its size
/// when it is full: 500,000 files need about 10 MB.
type Links = HashMap<u64, BTreeMap<u64, u32>>;

/// Returns the size of one snapshot. Calls `step` for each file.
pub(crate) fn of(snapshot: &Snapshot, step: &mut dyn FnMut()) -> Result<Size, Error> {
    let mut sum = Sum::new();
    walk(snapshot, &mut |meta, is_its_own| {
        step();
        sum.add(meta, is_its_own);
    })?;
    Ok(sum.size)
}

/// Returns the size of several snapshots that are removed together. Files that only these share are
/// freed too.
pub(crate) fn together(snapshots: &[&Snapshot]) -> Result<Size, Error> {
    let mut sum = Sum::new();
    for snapshot in snapshots {
        walk(snapshot, &mut |meta, is_its_own| sum.add(meta, is_its_own))?;
    }
    Ok(sum.size)
}

/// Returns the size of each snapshot, and the size of all together, from a single walk. Calls
/// `step` for each file.
pub(crate) fn each(
    snapshots: &[&Snapshot],
    step: &mut dyn FnMut(),
) -> Result<(Vec<Size>, Size), Error> {
    let (mut sizes, mut all) = (Vec::new(), Sum::new());
    for snapshot in snapshots {
        sizes.push(of_both(snapshot, &mut all, step)?);
    }
    Ok((sizes, all.size))
}

fn of_both(snapshot: &Snapshot, all: &mut Sum, step: &mut dyn FnMut()) -> Result<Size, Error> {
    let mut own = Sum::new();
    walk(snapshot, &mut |meta, is_its_own| {
        step();
        own.add(meta, is_its_own);
        all.add(meta, is_its_own);
    })?;
    Ok(own.size)
}

/// Passes each file to `take`, with true if it is part of the backup and false if it is one of our
/// own.
fn walk(snapshot: &Snapshot, take: &mut dyn FnMut(&Metadata, bool)) -> Result<(), Error> {
    let beside = snapshot.beside().map(|beside| (beside, false));
    for (folder, is_its_own) in std::iter::once((snapshot.path(), true)).chain(beside) {
        for found in Walk::new(folder)? {
            match found {
                Ok(found) if found.meta.is_file() => take(&found.meta, is_its_own),
                // Names that are not UTF-8, links and special files are not part of a backup.
                Ok(_) | Err(Error::Damaged { .. }) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// The totals of the files seen so far.
struct Sum {
    links: Links,
    size: Size,
}

impl Sum {
    fn new() -> Sum {
        Sum {
            links: Links::new(),
            size: Size {
                frees: cfg!(unix).then_some(0),
                ..Size::default()
            },
        }
    }

    fn add(&mut self, meta: &Metadata, is_its_own: bool) {
        if is_its_own {
            self.size.files += 1;
            self.size.bytes += meta.len();
        }
        if let Some(frees) = &mut self.size.frees {
            *frees += freed_by(meta, &mut self.links);
        }
    }
}

/// Returns the file's size in bytes if all of its links have now been seen, else 0.
#[cfg(unix)]
fn freed_by(meta: &Metadata, links: &mut Links) -> u64 {
    use std::collections::btree_map::Entry;
    use std::os::unix::fs::MetadataExt;
    if meta.nlink() > 1 {
        // No file system has as many links to a file as the type can count.
        let others = u32::try_from(meta.nlink() - 1).unwrap_or(u32::MAX);
        match links.entry(meta.dev()).or_default().entry(meta.ino()) {
            Entry::Vacant(new) => {
                new.insert(others);
                return 0;
            }
            Entry::Occupied(mut met) if *met.get() > 1 => {
                *met.get_mut() -= 1;
                return 0;
            }
            Entry::Occupied(met) => met.remove(),
        };
    }
    meta.len()
}

#[cfg(not(unix))]
fn freed_by(_: &Metadata, _: &mut Links) -> u64 {
    0
}
