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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::journal::Journal;

    const UDID: &str = "00008030-001C195E0A88802E";
    /// Two names of files, in different buckets of the journal.
    const ONE: &str = "ab/ab00000000000000000000000000000000000000";
    const TWO: &str = "cd/cd00000000000000000000000000000000000000";

    /// A store with a backup that we made, of which `ONE` is known; and a draft, with an empty journal.
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
            let mut list = SumsWriter::create(&beside.join("SHA256SUMS")).unwrap();
            list.add(ONE, &hash("one")).unwrap();
            list.finish().unwrap();
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

        /// The draft has a file.
        fn holds(&self, name: &str, text: &str) {
            write(&self.draft(), name, text);
        }

        /// The journal says that a file was received.
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
            let list = self.dir.path().join("SUMS");
            let carried = self.current.sums();
            let mut steps = 0;
            let mut step = || steps += 1;
            let tally = write_sums(
                &self.draft(),
                &self.udid,
                &self.journal(),
                carried.as_deref(),
                &list,
                &mut step,
            )?;
            assert_eq!(steps, tally.received + tally.carried + tally.read_again);
            Ok((tally, Sums::open(&list)?.collect::<Result<_, _>>()?))
        }
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
    fn what_was_received_or_is_the_backups_before_is_proved() {
        let world = World::new();
        world.holds(TWO, "two");
        world.received(TWO, "two");
        // A copy, known by its hash.
        world.holds(ONE, "one");
        assert_eq!(world.prove(Some(&world.current)), Some(0));
        assert_eq!(world.prove(None), None);
        if cfg!(unix) {
            // The very file, of which no list says anything.
            let place = "ef/ef";
            write(world.current.path(), place, "unlisted");
            fs::create_dir(world.draft().join("ef")).unwrap();
            let linked = fs::hard_link(world.current.path().join(place), world.draft().join(place));
            linked.unwrap();
            assert_eq!(world.prove(Some(&world.current)), Some(0));
        }
    }

    #[test]
    fn what_cannot_be_proved_goes_or_takes_the_draft_along() {
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
        // Of the size of the one before, and not it.
        let world = World::new();
        world.holds(ONE, "eno");
        assert_eq!(world.prove(Some(&world.current)), None);
    }

    #[test]
    fn each_hash_comes_from_where_it_is_known() {
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
        };
        assert_eq!(tally, wanted);
        let wanted = [("Info.plist", "read"), (ONE, "one"), (TWO, "two")];
        assert_eq!(
            list,
            wanted.map(|(name, text)| (name.to_owned(), hash(text)))
        );
    }

    #[test]
    fn a_file_of_another_size_than_was_received_has_no_hash() {
        for (held, received) in [("tw", "two"), ("twoo", "two"), ("", "two")] {
            let world = World::new();
            world.holds(TWO, held);
            world.received(TWO, received);
            assert!(matches!(world.sums(), Err(Error::Damaged { .. })), "{held}");
        }
    }

    #[test]
    fn a_damaged_list_of_the_backup_before_is_no_list() {
        let world = World::new();
        let rubbish = ["rubbish\n", "rubbish", "\u{0}\n"];
        for text in rubbish {
            fs::write(world.current.sums().unwrap(), text).unwrap();
            world.holds(ONE, "one");
            let (tally, list) = world.sums().unwrap();
            assert_eq!((tally.carried, tally.read_again), (0, 1));
            assert_eq!(list, [(ONE.to_owned(), hash("one"))]);
        }
    }
}
