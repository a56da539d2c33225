//! What is known of each file's bytes: from the journal, from the list of the backup before, or by reading them again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::journal::{self, BUCKETS, Fate, Replay};
use super::sums::{self, Sums, SumsWriter};
use super::walk::{Walk, order};
use super::{Error, Snapshot, disk};
use crate::udid::Udid;

/// Where the hashes of a list come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Files hashed while they were received.
    pub received: u64,
    /// Files that nothing happened to, with the hash they have had since they were received.
    pub carried: u64,
    /// Files read again, since neither was known.
    pub read_again: u64,
}

/// Proves what an earlier run left. Files below `Snapshot/` that cannot be proved are removed, and the phone will send
/// them again; one elsewhere makes the whole draft useless. Answers how many were removed.
pub fn prove(
    backup: &Path,
    journal: &Path,
    udid: &Udid,
    current: Option<&Snapshot>,
) -> Result<Option<u64>, Error> {
    let mut replays = Replays::new(journal, udid);
    let mut carried = Carried::open(current.and_then(Snapshot::sums).as_deref())?;
    let mut dropped = 0;
    for found in Walk::new(backup)? {
        let found = found?;
        let place = backup.join(&found.path);
        let expected = match replays.fate(&found.path)? {
            Fate::Received(hash, size) if size == found.meta.len() => Some(hash),
            Fate::Received(..) | Fate::Unknown => None,
            Fate::Untouched => {
                let base = current
                    .and_then(|base| fs::symlink_metadata(base.path().join(&found.path)).ok());
                if base.is_some_and(|base| disk::same_file(&base, &found.meta)) {
                    continue;
                }
                carried.hash_of(&found.path)?
            }
        };
        if expected.is_some() && expected == Some(sums::hash_file(&place)?.0) {
            continue;
        }
        if !found.path.starts_with("Snapshot/") {
            return Ok(None);
        }
        disk::remove_all(&place).map_err(|e| Error::io("remove", &place, e))?;
        dropped += 1;
    }
    Ok(Some(dropped))
}

/// The journal's buckets, one in memory at a time: walks go through them in order.
struct Replays {
    folder: PathBuf,
    prefix: String,
    loaded: Option<(usize, Replay)>,
    /// The bucket of names that are no ids is asked between all others; it is small.
    other: Option<Replay>,
}

impl Replays {
    fn new(folder: &Path, udid: &Udid) -> Replays {
        Replays {
            folder: folder.to_path_buf(),
            prefix: udid.to_string(),
            loaded: None,
            other: None,
        }
    }

    fn fate(&mut self, path: &str) -> Result<Fate, Error> {
        let path = format!("{}/{path}", self.prefix);
        let bucket = journal::bucket(&path);
        let replay = if bucket == BUCKETS - 1 {
            match &mut self.other {
                Some(replay) => replay,
                none => none.insert(Replay::load(&self.folder, bucket)?),
            }
        } else {
            match &mut self.loaded {
                Some((loaded, replay)) if *loaded == bucket => replay,
                other => {
                    // Let go of first: two at once would be the most memory that a run needs.
                    *other = None;
                    let replay = Replay::load(&self.folder, bucket)?;
                    &mut other.insert((bucket, replay)).1
                }
            }
        };
        Ok(replay.fate(&path))
    }
}

/// The hashes of the backup before, asked for in the order of the walk.
struct Carried {
    lines: Option<Sums>,
    ahead: Option<(String, sums::Hash)>,
}

impl Carried {
    fn open(list: Option<&Path>) -> Result<Carried, Error> {
        let lines = list.map(Sums::open).transpose()?;
        Ok(Carried { lines, ahead: None })
    }

    fn hash_of(&mut self, path: &str) -> Result<Option<sums::Hash>, Error> {
        loop {
            if self.ahead.is_none() {
                self.ahead = match self.lines.as_mut().and_then(Iterator::next).transpose() {
                    // From here on the files are read again.
                    Err(Error::Damaged { .. }) => {
                        self.lines = None;
                        None
                    }
                    other => other?,
                };
            }
            match &self.ahead {
                None => return Ok(None),
                Some((listed, hash)) => match order(listed, path) {
                    std::cmp::Ordering::Less => self.ahead = None,
                    std::cmp::Ordering::Equal => return Ok(Some(*hash)),
                    std::cmp::Ordering::Greater => return Ok(None),
                },
            }
        }
    }
}

/// Writes the list of hashes; what is not known is read again. `step` hears of each file.
pub fn write_sums(
    backup: &Path,
    udid: &Udid,
    journal: &Path,
    carried: Option<&Path>,
    list: &Path,
    step: &mut dyn FnMut(),
) -> Result<Tally, Error> {
    let mut replays = Replays::new(journal, udid);
    let mut carried = Carried::open(carried)?;
    let mut list = SumsWriter::create(list)?;
    let mut tally = Tally::default();
    for found in Walk::new(backup)? {
        let found = found?;
        if !found.is_file() {
            continue;
        }
        let known = match replays.fate(&found.path)? {
            Fate::Received(hash, size) if size == found.meta.len() => {
                tally.received += 1;
                Some(hash)
            }
            // A hash of what is there now would bless the damage.
            Fate::Received(_, size) => {
                return Err(Error::Damaged {
                    path: backup.join(&found.path),
                    why: format!(
                        "it was received with {size} bytes, and has {} now",
                        found.meta.len()
                    ),
                });
            }
            Fate::Unknown => None,
            Fate::Untouched => {
                let hash = carried.hash_of(&found.path)?;
                tally.carried += u64::from(hash.is_some());
                hash
            }
        };
        let hash = match known {
            Some(hash) => hash,
            None => {
                tally.read_again += 1;
                sums::hash_file(&backup.join(&found.path))?.0
            }
        };
        list.add(&found.path, &hash)?;
        step();
    }
    list.finish()?;
    Ok(tally)
}
