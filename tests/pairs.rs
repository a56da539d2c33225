//! Runs two commands on one store at the same time, the second at every point at which the first
//! can meet it: after the first has resolved the name of its backup, and at the beginning of each
//! of its phases. For every pair, no backup is lost that no command named, and every reported
//! result is true.
//!
//! `IDEV_BACKUP_PAIRS` is the number of cases to run, or `all`; the default is 40.
//! `IDEV_BACKUP_TEST_SEED` selects other cases. Each failure names the seed, the two commands and
//! the point.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use idev_backup::backup::create;
use idev_backup::base::progress::{Event, Monitor, Silent};
use idev_backup::history::adopt::{self, Came};
use idev_backup::history::prune::{self, Prune};
use idev_backup::history::{change, delete, list, tag};
use idev_backup::restore;
use idev_backup::store::{Policy, Store, sums};
use idev_backup::verify::{self, Depth, Outcome};

use crate::advice::failure::Failure as Error;
use crate::advice::hints;
use crate::rig::{self, Random, Rig, Tree, UDID, copy_dir, options, tree};

/// Commands that may run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Command {
    Create,
    Delete,
    Prune,
    Verify,
    Repair,
    Adopt,
    Copy,
    Pin,
    Restore,
    List,
}

const COMMANDS: [Command; 10] = [
    Command::Create,
    Command::Delete,
    Command::Prune,
    Command::Verify,
    Command::Repair,
    Command::Adopt,
    Command::Copy,
    Command::Pin,
    Command::Restore,
    Command::List,
];

/// The result that a command reported.
#[derive(Debug)]
enum Said {
    /// A new backup was made, adopted or copied in.
    Made,
    /// The backup with this id is deleted.
    Deleted(String),
    /// This many snapshots were dropped.
    Pruned(u64),
    /// The backup with this id was checked; these files of it are damaged (none if it is whole).
    Checked(String, Vec<String>),
    /// The backup with this id was copied to another store.
    Copied(String),
    /// The backup with this id is pinned.
    Pinned(String),
    /// The store has the backups with these ids.
    Listed(Vec<String>),
    /// The restore of the backup with this id can work, as far as it depends on the backup.
    Restorable(String),
    /// The command failed with this error.
    Failed(String),
}

/// Calls a hook at the beginning of each phase and ignores all other events.
struct Phases<'a>(&'a (dyn Fn() + Sync));

impl Monitor for Phases<'_> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Phase { .. }) {
            (self.0)();
        }
    }
}

/// A phone, and the store that each case starts from.
struct World {
    rig: Rig,
    /// The ids of the store's three backups, newest first.
    ids: Vec<String>,
    /// A file that is damaged in the newest backup and whole in the one before.
    damaged: String,
}

/// A case's own copy of the store.
struct Case<'a> {
    world: &'a World,
    store: Store,
    target: PathBuf,
    foreign: PathBuf,
}

impl World {
    fn new() -> World {
        let rig = Rig::new();
        let early = rig.new_store("early");
        rig.create_in(&early, &options());
        fs::create_dir(rig.dir.path().join("foreign")).unwrap();
        let foreign = rig.dir.path().join("foreign").join(UDID);
        copy_dir(&early.current_path(rig.udid()), &foreign);
        for _ in 0..3 {
            rig.create();
        }
        let ids = ids(&rig.store);
        let damaged = damage(&rig);
        World { rig, ids, damaged }
    }

    fn case(&self, number: usize) -> Case<'_> {
        let at = |name: &str| self.rig.dir.path().join(format!("{name}-{number}"));
        copy_dir(self.rig.store.root(), &at("case"));
        Case {
            world: self,
            store: Store::open(&at("case")).unwrap(),
            target: at("target"),
            foreign: self.rig.dir.path().join("foreign").join(UDID),
        }
    }
}

fn ids(store: &Store) -> Vec<String> {
    let all = store.snapshots().unwrap();
    all.iter().map(|backup| backup.id().to_string()).collect()
}

/// Damages a file of the newest backup that the previous backup holds undamaged. Returns the file's
/// path in the backup.
fn damage(rig: &Rig) -> String {
    let all = rig.store.snapshots().unwrap();
    let before = tree(all[1].path());
    let list = sums::Sums::open(&all[0].sums().unwrap()).unwrap();
    let mut files = list.map(|line| line.unwrap().0).filter(|path| {
        let bytes = fs::read(all[0].path().join(path)).unwrap();
        path.len() > 42 && !bytes.is_empty() && before.get(path) == Some(&Some(bytes))
    });
    let file = files.next().unwrap();
    let path = all[0].path().join(&file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    file
}

impl Case<'_> {
    fn stamp(&self, index: usize) -> String {
        let id = &self.world.ids[index];
        let all = self.world.rig.store.snapshots().unwrap();
        let one = all.iter().find(|backup| &backup.id().to_string() == id);
        one.unwrap().stamp().unwrap()
    }

    /// Runs a command, and calls `hook` at each of its points.
    fn run(&self, command: Command, hook: &(dyn Fn() + Sync)) -> Said {
        let said = self.try_run(command, hook);
        said.unwrap_or_else(|e| {
            assert!(hints::of(&e).is_some(), "{command:?} gives no hint: {e}");
            Said::Failed(e.to_string())
        })
    }

    fn try_run(&self, command: Command, hook: &(dyn Fn() + Sync)) -> Result<Said, Error> {
        let (rig, monitor) = (&self.world.rig, Phases(hook));
        let store = || Ok::<_, Error>(self.store.clone());
        Ok(match command {
            Command::Create => {
                let keep = create::Options {
                    keep: 9.into(),
                    ..options()
                };
                rig.try_in(&self.store, &keep, &monitor)?;
                Said::Made
            }
            Command::Delete => {
                let chosen = change::find(store(), "latest")?;
                let id = chosen.snapshot.id().to_string();
                let seen = delete::consider(&chosen, &monitor)?;
                hook();
                delete::delete(&chosen, seen, &monitor)?;
                Said::Deleted(id)
            }
            Command::Prune => {
                let how = Prune {
                    policy: Policy::from(1),
                    ..Prune::default()
                };
                Said::Pruned(prune::prune(&self.store, &how, &monitor)?.dropped)
            }
            Command::Verify | Command::Repair => {
                let named = list::resolve(store(), Some("latest"))?;
                hook();
                let how = verify::Options {
                    id: named.id,
                    ..verify::Options::bytes()
                };
                let report = if command == Command::Verify {
                    verify::verify(&named.folder, &how, &monitor)?
                } else {
                    verify::repair(&named.folder, &how, &monitor)?.report
                };
                hook();
                change::record(&report, &monitor);
                let id = report.of.as_ref().unwrap().id().to_string();
                let files = report.findings.iter().map(|f| f.file.clone()).collect();
                let is_damaged = report.outcome == Outcome::Damaged;
                Said::Checked(id, if is_damaged { files } else { Vec::new() })
            }
            Command::Adopt => match adopt::adopt(&self.store, &self.foreign, false, &monitor)? {
                Came::Taken(_) => Said::Made,
                Came::There { why, .. } => Said::Failed(why),
            },
            Command::Copy => {
                // Copies the backup before the newest, which is whole.
                let chosen = change::find(store(), &self.stamp(1))?;
                hook();
                let target = Store::create(&self.target).unwrap();
                adopt::copy(&chosen, &target, &monitor)?;
                Said::Copied(chosen.snapshot.id().to_string())
            }
            Command::Pin => {
                let chosen = change::find(store(), &self.stamp(2))?;
                hook();
                tag::pin(&chosen, true)?;
                Said::Pinned(chosen.snapshot.id().to_string())
            }
            Command::Restore => {
                let folder = list::find(store(), Some(&self.stamp(1)))?;
                hook();
                let id = idev_backup::store::snapshot::find(&folder);
                let how = restore::Options {
                    depth: Depth::Bytes,
                    ..restore::Options::default()
                };
                let phone = rig
                    .connector()
                    .phone(Some(UDID))
                    .map_err(restore::Error::from);
                let report = restore::dry_run(&rig.connector(), phone, &folder, &how, &monitor)?;
                let check = report.lines.iter().find(|line| line.topic == "check");
                let level = check.map(|line| line.level);
                assert!(
                    level.is_some_and(|level| level < idev_backup::doctor::Level::Problem),
                    "{report:#?}"
                );
                Said::Restorable(id.map(|found| found.id().to_string()).unwrap_or_default())
            }
            Command::List => {
                let listed = list::list(&self.store)?;
                hook();
                Said::Listed(listed.into_iter().map(|backup| backup.path).collect())
            }
        })
    }

    /// Runs the first command, and the second at one of its points.
    fn both(&self, first: Command, second: Command, point: usize) -> [Said; 2] {
        let (met, other) = (AtomicUsize::new(0), Mutex::new(None));
        let said = self.run(first, &|| {
            if met.fetch_add(1, Ordering::Relaxed) == point {
                *other.lock().unwrap() = Some(self.run(second, &|| ()));
            }
        });
        let other = other.into_inner().unwrap();
        let other = other.unwrap_or_else(|| self.run(second, &|| ()));
        [said, other]
    }

    /// Checks the store and the reported results against the rules in the module documentation.
    fn judge(&self, said: &[Said; 2], commands: [Command; 2], case: &str) {
        let world = self.world;
        let case = &format!("{case}: {said:?}");
        let there: BTreeMap<String, PathBuf> = self
            .store
            .snapshots()
            .unwrap_or_else(|e| panic!("{case}: {e}"))
            .iter()
            .map(|backup| (backup.id().to_string(), backup.path().to_path_buf()))
            .collect();
        let deleted: BTreeSet<&str> = said.iter().filter_map(deleted).collect();
        let may_prune = commands.contains(&Command::Prune);
        let is_repaired = commands.contains(&Command::Repair);
        let pinned = |id: &String| {
            said.iter()
                .any(|said| matches!(said, Said::Pinned(of) if of == id))
        };
        let known = world.rig.store.snapshots().unwrap();
        let known: BTreeMap<String, Tree> = known
            .iter()
            .map(|backup| (backup.id().to_string(), tree(backup.path())))
            .collect();
        for (place, id) in world.ids.iter().enumerate() {
            let Some(path) = there.get(id) else {
                let may_go = deleted.contains(id.as_str())
                    || (may_prune && place > 0 && !pinned(id))
                    // If the newest is gone, the one before becomes the newest, which no rule
                    // drops.
                    && (place > 1 || deleted.is_empty());
                assert!(may_go, "{case}: backup {place} is gone");
                continue;
            };
            assert!(
                !deleted.contains(id.as_str()),
                "{case}: backup {place} is there"
            );
            let mut now = tree(path);
            let mut before = known[id].clone();
            if place == 0 && is_repaired {
                now.remove(&world.damaged);
                before.remove(&world.damaged);
            }
            rig::assert_same(&before, &now, case);
        }
        // New backups are whole, except for the damage in the backup that they started from.
        for (id, path) in there.iter().filter(|(id, _)| !world.ids.contains(id)) {
            let report = verify::verify(path, &rig::read_all(), &Silent).unwrap();
            let damage = report.findings.iter().filter(|f| f.wrong.is_damage());
            let others: Vec<_> = damage.filter(|f| f.file != world.damaged).collect();
            assert!(others.is_empty(), "{case}: {id}: {others:#?}");
        }
        let made = said
            .iter()
            .filter(|said| matches!(said, Said::Made))
            .count();
        let new = there.keys().filter(|id| !world.ids.contains(id)).count();
        let gone = deleted
            .iter()
            .filter(|id| !world.ids.iter().any(|known| known == *id));
        assert_eq!(new + gone.count(), made, "{case}: {there:?}");
        self.judge_words(said, is_repaired, case);
        let own = self.store.root().join(".idev-backup").join(UDID);
        for left in ["draft", "import", "trash"] {
            let kept_by_failure = said.iter().any(|said| matches!(said, Said::Failed(_)));
            assert!(
                kept_by_failure || !own.join(left).exists(),
                "{case}: {left} is left"
            );
        }
    }

    fn judge_words(&self, said: &[Said; 2], is_repaired: bool, case: &str) {
        let world = self.world;
        for said in said {
            match said {
                Said::Checked(id, files) if files.is_empty() => {
                    assert!(id != &world.ids[0] || is_repaired, "{case}");
                }
                Said::Checked(_, files) => {
                    assert!(files.iter().all(|file| *file == world.damaged), "{case}");
                }
                Said::Copied(id) => {
                    let target = Store::open(&self.target).unwrap();
                    let copy = target.current_path(world.rig.udid());
                    let all = world.rig.store.snapshots().unwrap();
                    let from = all.iter().find(|backup| &backup.id().to_string() == id);
                    rig::assert_same(&tree(from.unwrap().path()), &tree(&copy), case);
                }
                Said::Restorable(id) => assert_eq!(id, &world.ids[1], "{case}"),
                Said::Listed(paths) => assert!(!paths.is_empty(), "{case}"),
                Said::Pruned(dropped) => assert!(*dropped <= 2, "{case}"),
                Said::Failed(why) => assert!(!why.contains("damaged"), "{case}"),
                Said::Made | Said::Deleted(_) | Said::Pinned(_) => {}
            }
        }
        // A note belongs to the backup that was checked.
        let notes = self.store.notes(world.rig.udid()).unwrap();
        for backup in self.store.snapshots().unwrap() {
            let note = notes.of(&backup);
            let is_newest = backup.id().to_string() == world.ids[0];
            let is_known = world.ids.contains(&backup.id().to_string());
            assert!(note.damaged.is_none() || is_newest || !is_known, "{case}");
            assert!(
                note.verified.is_none() || !is_newest || is_repaired,
                "{case}"
            );
        }
    }
}

fn deleted(said: &Said) -> Option<&str> {
    match said {
        Said::Deleted(id) => Some(id),
        _ => None,
    }
}

#[test]
fn concurrent_commands_lose_no_backup() {
    let seed = rig::seed("pairs of commands");
    let wanted = std::env::var("IDEV_BACKUP_PAIRS").unwrap_or_else(|_| "40".to_owned());
    let world = World::new();
    let number = RefCell::new(0);
    let next = || number.replace_with(|number| *number + 1);
    // Run each command alone first, to count the points at which another can meet it.
    let mut cases = Vec::new();
    for first in COMMANDS {
        let (case, points) = (world.case(next()), AtomicUsize::new(0));
        let said = case.run(first, &|| {
            points.fetch_add(1, Ordering::Relaxed);
        });
        assert!(!matches!(said, Said::Failed(_)), "{first:?}: {said:?}");
        remove(&case);
        for point in 0..points.into_inner().max(1) {
            cases.extend(COMMANDS.map(|second| (first, second, point)));
        }
    }
    let mut random = Random::new(seed);
    let all = cases.len();
    if wanted != "all" {
        let wanted: usize = wanted.parse().unwrap();
        while cases.len() > wanted {
            cases.swap_remove(random.below(cases.len()));
        }
    }
    eprintln!("{} of {all} cases, seed {seed}", cases.len());
    for (first, second, point) in cases {
        let case = world.case(next());
        let said = case.both(first, second, point);
        let name = format!("seed {seed}: {second:?} at point {point} of {first:?}");
        case.judge(&said, [first, second], &name);
        remove(&case);
    }
}

fn remove(case: &Case<'_>) {
    for folder in [case.store.root(), case.target.as_path()] {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
