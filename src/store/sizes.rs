//! How large snapshots are: as they are seen, and as what their removal frees. A file that another
//! snapshot holds too, by a hard link, frees nothing.
//!
//! This walks all files, since what is freed changes whenever a neighbour comes or goes. What
//! shares blocks and not files (clones of APFS, btrfs, xfs) cannot be told apart without asking the
//! file system in its own way: there the number is an upper bound.

use std::collections::HashMap;
use std::fs::Metadata;

use super::walk::Walk;
use super::{Error, Snapshot};

/// How large a snapshot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that are free once it is gone, with what is ours beside it. `None` where the system
    /// does not tell.
    pub frees: Option<u64>,
}

/// Files with several names, as far as they were seen: how many names were met.
type Links = HashMap<(u64, u64), u64>;

/// Of one snapshot by itself.
pub fn of(snapshot: &Snapshot, step: &mut dyn FnMut()) -> Result<Size, Error> {
    let mut sum = Sum::new();
    walk(snapshot, &mut |meta, is_its_own| {
        step();
        sum.add(meta, is_its_own);
    })?;
    Ok(sum.size)
}

/// Of several that go at once: a file that only they share is freed too.
pub fn together(snapshots: &[&Snapshot]) -> Result<Size, Error> {
    let mut sum = Sum::new();
    for snapshot in snapshots {
        walk(snapshot, &mut |meta, is_its_own| sum.add(meta, is_its_own))?;
    }
    Ok(sum.size)
}

/// Of each by itself, and of all together, in one walk; `step` hears of each file.
pub fn each(snapshots: &[&Snapshot], step: &mut dyn FnMut()) -> Result<(Vec<Size>, Size), Error> {
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

/// Hands over each file, and whether it is the backup's own or ours beside it.
fn walk(snapshot: &Snapshot, take: &mut dyn FnMut(&Metadata, bool)) -> Result<(), Error> {
    let beside = snapshot.beside().map(|beside| (beside, false));
    for (folder, is_its_own) in std::iter::once((snapshot.path(), true)).chain(beside) {
        for found in Walk::new(folder)? {
            match found {
                Ok(found) if found.meta.is_file() => take(&found.meta, is_its_own),
                // A name that is no text, or no file: nothing of a backup.
                Ok(_) | Err(Error::Damaged { .. }) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// What was met so far.
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

/// The file's bytes, if this was the last of its names.
#[cfg(unix)]
fn freed_by(meta: &Metadata, links: &mut Links) -> u64 {
    use std::os::unix::fs::MetadataExt;
    if meta.nlink() > 1 {
        let met = links.entry((meta.dev(), meta.ino())).or_default();
        *met += 1;
        if *met < meta.nlink() {
            return 0;
        }
    }
    meta.len()
}

#[cfg(not(unix))]
fn freed_by(_: &Metadata, _: &mut Links) -> u64 {
    0
}
