//! Determines the expected hash of each file: from the journal, else from the previous backup's
//! list, else by reading the file.

use std::fs;
use std::path::{Path, PathBuf};

use super::journal::{BUCKETS, Fate, Replay};
use crate::base::udid::Udid;
use crate::store::draft::journal;
use crate::store::hash_sources::{Listing, Lists, Source, Sources};
use crate::store::sums::{self, Sums};
use crate::store::tally::Tally;
use crate::store::walk::{Walk, order};
use crate::store::{Error, Snapshot, disk};

/// An earlier backup's list of hashes, with the list of their sources.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The path of SHA256SUMS.
    pub sums: PathBuf,
    /// The path of the list of sources; `None` if that list fails its own check.
    pub sources: Option<PathBuf>,
}

/// Verifies the files that an earlier run left. Files below `Snapshot/` that cannot be proved are
/// removed, since the phone sends them again. Such a file anywhere else makes the whole draft
/// useless: then returns `None`. Otherwise returns the number of removed files.
pub(crate) fn prove(
    backup: &Path,
    journal: &Path,
    udid: &Udid,
    current: Option<&Snapshot>,
) -> Result<Option<u64>, Error> {
    let mut replays = Replays::new(journal, udid);
    let proven = current.map(Snapshot::proven).transpose()?.flatten();
    let mut carried = Carried::open(proven.as_ref())?;
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
                carried.hash_of(&found.path)?.map(|(hash, _)| hash)
            }
        };
        if found.is_file() && expected.is_some() && expected == Some(sums::hash_file(&place)?.0) {
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

/// The journal's replayed buckets. Walks visit the buckets in order, so one at a time is in memory.
struct Replays {
    folder: PathBuf,
    prefix: String,
    loaded: Option<(usize, Replay)>,
    /// The bucket of names that are not file ids. It stays in memory, since such names come between
    /// all others. It is small.
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
                    // The old bucket is freed first. Two at once would be the peak memory use of a
                    // run.
                    *other = None;
                    let replay = Replay::load(&self.folder, bucket)?;
                    &mut other.insert((bucket, replay)).1
                }
            }
        };
        Ok(replay.fate(&path))
    }
}

/// The hashes of the previous backup, read in the order of the walk.
struct Carried {
    lines: Option<Sums>,
    sources: Sources,
    ahead: Option<(String, sums::Hash)>,
}

impl Carried {
    fn open(list: Option<&Proven>) -> Result<Carried, Error> {
        let sources = list.and_then(|list| list.sources.as_deref());
        Ok(Carried {
            lines: list.map(|list| Sums::open(&list.sums)).transpose()?,
            sources: Sources::open(sources),
            ahead: None,
        })
    }

    /// Returns the hash of a path, and the source to record for it in the next backup. A hash of
    /// unknown source counts as read.
    fn hash_of(&mut self, path: &str) -> Result<Option<(sums::Hash, Source)>, Error> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.lines.as_mut().and_then(Iterator::next).transpose()?;
            }
            match &self.ahead {
                None => return Ok(None),
                Some((listed, hash)) => match order(listed, path) {
                    std::cmp::Ordering::Less => self.ahead = None,
                    std::cmp::Ordering::Equal => {
                        let source = self.sources.of(path).map_or(Source::Read, Source::in_next);
                        return Ok(Some((*hash, source)));
                    }
                    std::cmp::Ordering::Greater => return Ok(None),
                },
            }
        }
    }
}

/// Determines each file's SHA-256 for SHA256SUMS, and its source: from the journal, else from the
/// previous backup's list, else by reading the file. Writes both lists into `beside` and calls
/// `step` for each file.
pub(crate) fn write_sums(
    backup: &Path,
    udid: &Udid,
    journal: &Path,
    carried: Option<&Proven>,
    beside: &Path,
    step: &mut dyn FnMut(),
) -> Result<(Tally, Listing), Error> {
    let mut replays = Replays::new(journal, udid);
    let mut carried = Carried::open(carried)?;
    let mut lists = Lists::create(beside)?;
    let mut tally = Tally::default();
    for found in Walk::new(backup)? {
        let found = found?;
        if !found.is_file() {
            continue;
        }
        let known = match replays.fate(&found.path)? {
            Fate::Received(hash, size) if size == found.meta.len() => {
                Some((hash, Source::Received))
            }
            // Hashing the file as it is now would declare the damage to be correct.
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
            Fate::Untouched => carried.hash_of(&found.path)?,
        };
        let (hash, source) = match known {
            Some(known) => known,
            None => {
                tally.fresh += 1;
                let hash = sums::hash_file(&backup.join(&found.path))?.0;
                (hash, Source::Read)
            }
        };
        tally.count(source);
        lists.add(&found.path, &hash, found.meta.len(), source)?;
        step();
    }
    Ok((tally, lists.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::draft::journal::Journal;
    use crate::store::record::{self, Print};
    use crate::store::{Store, hash_sources};

    const UDID: &str = "00008030-001C195E0A88802E";
    /// The name of a file; the next one is in a different bucket of the journal.
    const ONE: &str = "ab/ab00000000000000000000000000000000000000";
    const TWO: &str = "cd/cd00000000000000000000000000000000000000";

    /// A store with a backup of ours whose list contains `ONE`, and a draft with an empty journal.
    struct World {
        dir: tempfile::TempDir,
        udid: Udid,
        current: Snapshot,
    }

    impl World {
        fn new() -> World {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::create(&dir.path().join("store")).unwrap();
            let udid: Udid = UDID.parse().unwrap();
            let beside = store.own_of(&udid).join("20261120-221401");
            let backup = dir.path().join("store").join(UDID);
            for name in ["Status.plist", "Info.plist"] {
                write(&beside, name, name);
                write(&backup, name, name);
            }
            write(&backup, ONE, "one");
            let mut lists = Lists::create(&beside).unwrap();
            lists.add(ONE, &hash("one"), 3, Source::Received).unwrap();
            record_in(&beside, lists.finish().unwrap());
            fs::create_dir(dir.path().join("draft")).unwrap();
            let current = store.current(&udid).unwrap().unwrap();
            World { dir, udid, current }
        }

        fn draft(&self) -> PathBuf {
            self.dir.path().join("draft")
        }

        fn journal(&self) -> PathBuf {
            self.dir.path().join("journal")
        }

        /// Writes a file into the draft.
        fn holds(&self, name: &str, text: &str) {
            write(&self.draft(), name, text);
        }

        /// Records in the journal that a file was received.
        fn received(&self, name: &str, text: &str) {
            let path = format!("{UDID}/{name}").parse().unwrap();
            let mut journal = Journal::open(&self.journal()).unwrap();
            let size = text.len() as u64;
            journal.kept(&path, &hash(text), size).unwrap();
            journal.flush().unwrap();
        }

        fn prove(&self, current: Option<&Snapshot>) -> Option<u64> {
            prove(&self.draft(), &self.journal(), &self.udid, current).unwrap()
        }

        fn sums(&self) -> Result<(Tally, Vec<(String, sums::Hash)>), Error> {
            let carried = self.current.proven()?;
            let mut steps = 0;
            let mut step = || steps += 1;
            let beside = self.dir.path();
            let (tally, listing) = write_sums(
                &self.draft(),
                &self.udid,
                &self.journal(),
                carried.as_ref(),
                beside,
                &mut step,
            )?;
            assert_eq!(steps, tally.received + tally.carried + tally.read_again);
            assert_eq!(listing.sums.lines, steps);
            let list = beside.join("SHA256SUMS");
            Ok((tally, Sums::open(&list)?.collect::<Result<_, _>>()?))
        }
    }

    /// Writes the record of a backup with two property lists.
    fn record_in(beside: &Path, listing: Listing) {
        let mut record = record::tests::record(1, "2026-11-20T21:14:01Z");
        for name in ["Status.plist", "Info.plist"] {
            let print = Print::of(&beside.join(name)).unwrap();
            record.metadata.insert(name.to_owned(), print);
        }
        (record.list, record.sources) = (listing.sums, listing.sources);
        record.write(beside).unwrap();
    }

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn hash(text: &str) -> sums::Hash {
        sums::hash(text.as_bytes()).unwrap().0
    }

    #[test]
    fn received_and_unchanged_files_are_proved() {
        let world = World::new();
        world.holds(TWO, "two");
        world.received(TWO, "two");
        // A copy is proved by its hash.
        world.holds(ONE, "one");
        assert_eq!(world.prove(Some(&world.current)), Some(0));
        assert_eq!(world.prove(None), None);
        if cfg!(unix) {
            // The same file (a hard link) needs no hash in any list.
            let place = "ef/ef";
            write(world.current.path(), place, "unlisted");
            fs::create_dir(world.draft().join("ef")).unwrap();
            let linked = fs::hard_link(world.current.path().join(place), world.draft().join(place));
            linked.unwrap();
            assert_eq!(world.prove(Some(&world.current)), Some(0));
        }
    }

    /// Checks that an unproved file below `Snapshot` is removed, and that any other unproved file
    /// makes the whole draft useless.
    #[test]
    fn unproved_files_are_not_kept() {
        let below = format!("Snapshot/{TWO}");
        for (held, received) in [
            ("two", None),
            ("two", Some("other")),
            ("two", Some("more than two")),
        ] {
            for (place, answer) in [(&*below, Some(1)), (TWO, None)] {
                let world = World::new();
                world.holds(ONE, "one");
                world.holds(place, held);
                if let Some(text) = received {
                    world.received(place, text);
                }
                let case = format!("{place} {received:?}");
                assert_eq!(world.prove(Some(&world.current)), answer, "{case}");
                let stays = world.draft().join(place).exists();
                assert_eq!(stays, answer.is_none(), "{case}");
                assert!(world.draft().join(ONE).exists(), "{case}");
            }
        }
        // The file has the previous one's size but other contents.
        let world = World::new();
        world.holds(ONE, "eno");
        assert_eq!(world.prove(Some(&world.current)), None);
    }

    #[test]
    fn each_hash_has_its_source() {
        let world = World::new();
        for (name, text) in [(ONE, "one"), (TWO, "two"), ("Info.plist", "read")] {
            world.holds(name, text);
        }
        world.received(TWO, "two");
        let (tally, list) = world.sums().unwrap();
        let wanted = Tally {
            received: 1,
            carried: 1,
            read_again: 1,
            fresh: 1,
        };
        assert_eq!(tally, wanted);
        let wanted = [("Info.plist", "read"), (ONE, "one"), (TWO, "two")];
        assert_eq!(
            list,
            wanted.map(|(name, text)| (name.to_owned(), hash(text)))
        );
    }

    #[test]
    fn size_mismatch_is_damage() {
        for (held, received) in [("tw", "two"), ("twoo", "two"), ("", "two")] {
            let world = World::new();
            world.holds(TWO, held);
            world.received(TWO, received);
            assert!(matches!(world.sums(), Err(Error::Damaged { .. })), "{held}");
        }
    }

    #[test]
    fn damaged_previous_list_is_ignored() {
        let world = World::new();
        let list = world.current.sums().unwrap();
        let whole = fs::read_to_string(&list).unwrap();
        // This list is well-formed, but is not the one that was sealed.
        let other = format!("{}  {ONE}\n", sums::hex(&hash("two")));
        for text in ["rubbish\n", "rubbish", "\u{0}\n", "", &other] {
            fs::write(&list, text).unwrap();
            world.holds(ONE, "one");
            let (tally, listed) = world.sums().unwrap();
            assert_eq!((tally.carried, tally.read_again), (0, 1));
            assert_eq!(listed, [(ONE.to_owned(), hash("one"))]);
        }
        fs::write(&list, whole).unwrap();
        assert_eq!(world.sums().unwrap().0.carried, 1);
    }

    #[test]
    fn hashes_without_source_are_reread() {
        let world = World::new();
        world.holds(ONE, "one");
        let sources = world.current.beside().unwrap().join(hash_sources::SOURCES);
        fs::write(sources, format!("carried  {ONE}\n")).unwrap();
        let (tally, _) = world.sums().unwrap();
        assert_eq!((tally.carried, tally.read_again, tally.fresh), (0, 1, 0));
    }
}
