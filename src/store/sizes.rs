//! How large snapshots are: as they are seen, and as what their removal frees. A file that another snapshot holds too, by a hard
//! link, frees nothing.
//!
//! This walks all files, since what is freed changes whenever a neighbour comes or goes. What shares blocks and not files (clones
//! of APFS, btrfs, xfs) cannot be told apart without asking the file system in its own way: there the number is an upper bound.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::Path;

use super::walk::Walk;
use super::{Error, Snapshot};

/// How large a snapshot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that are free once it is gone, with what is ours beside it. `None` where the system does not tell.
    pub frees: Option<u64>,
}

/// Files with several names, as far as they were seen: how many names were met.
type Links = HashMap<(u64, u64), u64>;

/// Of one snapshot by itself.
pub fn of(snapshot: &Snapshot) -> Result<Size, Error> {
    together(&[snapshot])
}

/// Of several that go at once: a file that only they share is freed too.
pub fn together(snapshots: &[&Snapshot]) -> Result<Size, Error> {
    let mut size = Size {
        frees: cfg!(unix).then_some(0),
        ..Size::default()
    };
    let mut links = Links::new();
    for snapshot in snapshots {
        let (files, bytes) = add(snapshot.path(), &mut links, &mut size.frees)?;
        size.files += files;
        size.bytes += bytes;
        if let Some(beside) = snapshot.beside() {
            add(beside, &mut links, &mut size.frees)?;
        }
    }
    Ok(size)
}

fn add(folder: &Path, links: &mut Links, frees: &mut Option<u64>) -> Result<(u64, u64), Error> {
    let (mut files, mut bytes) = (0, 0);
    for found in Walk::new(folder)? {
        let meta = found?.meta;
        if meta.is_file() {
            files += 1;
            bytes += meta.len();
            if let Some(frees) = frees {
                *frees += freed_by(&meta, links);
            }
        }
    }
    Ok((files, bytes))
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
