//! Makes the disk refuse, or kills the program, at each system call in turn: no space, I/O errors,
//! no permission, read-only. Every run must end with the matching exit code, an error and a hint.
//! The last good backup must be there to the last byte, `list` and `verify` must report the truth,
//! and the next run must succeed. Other tests make backups on disks of all kinds, including those
//! without links.
//!
//! The program runs under strace, which returns errors in place of the system, or kills the
//! program. `IDEV_BACKUP_DISK_FAULTS` is the number of calls of each kind to try, or `all`; by
//! default the seed selects one.

#![cfg(target_os = "linux")] // strace runs only on Linux.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::rig::{
    self, Random, Rig, Tree, UDID, assert_promise, assert_whole, copy_dir, holds, options, strace,
    tree,
};
use idev_backup::simulator::Phone;
use idev_backup::store::Store;

/// Selects the calls to refuse.
#[derive(Debug, Clone, Copy)]
enum Which {
    /// Refuses one call of each thread.
    Once,
    /// Refuses one call of each thread and all later ones, as on a disk that stays full.
    On,
}

/// Calls, the error that they return, and the selection of calls that fail.
const FAULTS: &[(&str, &str, Which)] = &[
    ("write,pwrite64", "ENOSPC", Which::On),
    ("write,pwrite64", "ENOSPC", Which::Once),
    ("write,pwrite64", "EDQUOT", Which::On),
    ("write,pwrite64", "EIO", Which::Once),
    ("write,pwrite64", "EROFS", Which::On),
    ("copy_file_range", "ENOSPC", Which::On),
    ("ftruncate", "ENOSPC", Which::On),
    ("?mkdir,mkdirat", "ENOSPC", Which::On),
    ("?mkdir,mkdirat", "EDQUOT", Which::Once),
    ("?mkdir,mkdirat", "EACCES", Which::On),
    ("?mkdir,mkdirat", "EROFS", Which::On),
    ("?mkdir,mkdirat", "EIO", Which::Once),
    ("?link,linkat", "ENOSPC", Which::On),
    ("?link,linkat", "EMLINK", Which::On),
    ("?link,linkat", "EIO", Which::Once),
    ("?open,openat", "EACCES", Which::Once),
    ("?open,openat", "EROFS", Which::On),
    ("?open,openat", "EIO", Which::Once),
    ("?open,openat", "EMFILE", Which::Once),
    ("read,pread64", "EIO", Which::Once),
    ("getdents64", "EIO", Which::Once),
    ("?stat,?lstat,statx,?newfstatat", "EIO", Which::Once),
    ("?rename,?renameat,renameat2", "ENOSPC", Which::On),
    ("?rename,?renameat,renameat2", "EIO", Which::Once),
    ("?rename,?renameat,renameat2", "EACCES", Which::On),
    ("?unlink,unlinkat,?rmdir", "EIO", Which::Once),
    ("?unlink,unlinkat,?rmdir", "EROFS", Which::On),
    ("fsync,fdatasync", "EIO", Which::Once),
    ("fsync,fdatasync", "ENOSPC", Which::Once),
    ("syncfs", "EIO", Which::Once),
    ("flock", "ENOLCK", Which::Once),
];

/// A store with a good backup, and a phone that can be backed up into it repeatedly.
struct Scene {
    rig: Rig,
    phone: Arc<Phone>,
    good: Tree,
    older: Tree,
}

/// The exit code and the output of a run of the program.
struct Ended {
    code: Option<i32>,
    told: String,
}

impl Scene {
    fn new() -> Scene {
        let rig = Rig::new();
        let first = rig.new_store("prepared");
        let mut backups = [(); 2].map(|()| {
            rig.create_in(&first, &options());
            tree(&first.current_path(rig.udid()))
        });
        Scene {
            good: std::mem::take(&mut backups[1]),
            older: std::mem::take(&mut backups[0]),
            phone: rig.phone.twin(),
            rig,
        }
    }

    fn store(&self) -> PathBuf {
        self.rig.dir.path().join("disk")
    }

    /// Restores the initial state.
    fn reset(&mut self) {
        let store = self.store();
        if store.exists() {
            fs::remove_dir_all(&store).unwrap();
        }
        copy_dir(&self.rig.dir.path().join("prepared"), &store);
        self.rig.connect(self.phone.twin());
    }

    /// Runs the program under strace with these options.
    fn run(&self, options: &[String]) -> Ended {
        let log = self.rig.dir.path().join("log");
        let mut program = self
            .rig
            .program(&strace::around(&log, options), &self.store(), 1);
        let output = program.output().unwrap();
        Ended {
            code: output.status.code(),
            told: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns the store's paths that a run uses, and for each call the highest number of times
    /// that one thread makes it on such a path.
    fn rehearse(&mut self) -> (BTreeSet<PathBuf>, BTreeMap<String, usize>) {
        self.reset();
        let calls: BTreeSet<&str> = FAULTS
            .iter()
            .flat_map(|(calls, ..)| calls.split(','))
            .collect();
        let calls = Vec::from_iter(calls).join(",");
        let ended = self.run(&["-e".to_owned(), format!("trace={calls}")]);
        assert_eq!((ended.code, ended.told.as_str()), (Some(0), ""));
        let log = fs::read_to_string(self.rig.dir.path().join("log")).unwrap();
        let store = self.store();
        let (mut paths, mut counts) = (BTreeSet::new(), HashMap::new());
        for call in strace::calls(&log) {
            let ours: Vec<PathBuf> = call
                .paths()
                .filter(|path| path.starts_with(&store))
                .collect();
            if !ours.is_empty() {
                *counts.entry((call.pid, call.name)).or_insert(0) += 1;
                paths.extend(ours);
            }
        }
        let mut most = BTreeMap::new();
        for ((_, name), count) in counts {
            let known: &mut usize = most.entry(name).or_default();
            *known = count.max(*known);
        }
        (paths, most)
    }

    /// Asserts the promises that hold after a run that met `error`.
    fn judge(&self, ended: &Ended, error: &str, when: &str) {
        let Ended { code, told } = ended;
        let when = &format!("{when}: exit code {code:?}: {told}");
        assert!(!told.contains("panicked"), "{when}");
        let store = self.store();
        let current = store.join(UDID);
        let is_full = matches!(error, "ENOSPC" | "EDQUOT");
        match code {
            Some(0 | 3) => {
                assert_whole(&current);
                self.rig.assert_holds_the_phone(&current);
                assert_eq!(told.is_empty(), *code == Some(0), "{when}");
            }
            Some(1) | Some(7) => {
                assert_eq!(*code == Some(7), is_full, "{when}");
                assert!(told.contains("error: "), "{when}");
                assert!(told.contains("hint: "), "{when}");
            }
            _ => panic!("{when}"),
        }
        assert!(holds(&store, &self.good), "{when}: the good backup is gone");
    }

    /// Makes a run that meets a fault, and then one that does not.
    fn suffer(&mut self, options: &[String], error: &str, when: &str) -> Ended {
        self.reset();
        let ended = self.run(options);
        self.judge(&ended, error, when);
        self.look_at_what_is_left(when);
        ended
    }

    /// Checks the store after a run, and again after the next run.
    fn look_at_what_is_left(&self, when: &str) {
        let made = tree_of(&self.store().join(UDID));
        // A run that failed after the phone had finished leaves either the new backup as its draft,
        // or no draft.
        let draft = self
            .store()
            .join(".idev-backup")
            .join(UDID)
            .join("draft/root")
            .join(UDID);
        let draft = tree_of(&draft);
        assert_promise(
            &self.store(),
            &[&self.good],
            &[&self.good, &self.older, &made, &draft],
            when,
        );
        self.rig.assert_goes_on(&self.store(), &[&self.good], when);
    }
}

/// Returns how often a single thread makes the most frequent of these calls.
fn most(calls: &str, counts: &BTreeMap<String, usize>) -> Option<usize> {
    let names = calls.split(',').map(|name| name.trim_start_matches('?'));
    names.filter_map(|name| counts.get(name)).max().copied()
}

fn tree_of(folder: &Path) -> Tree {
    if folder.is_dir() {
        tree(folder)
    } else {
        Tree::new()
    }
}

/// Selects the calls to refuse among `count`: one that the seed picks, or as many as the
/// environment asks for, evenly spread from the first to the last.
fn chosen(count: usize, random: &mut Random) -> Vec<usize> {
    let wanted = match std::env::var("IDEV_BACKUP_DISK_FAULTS") {
        Ok(text) if text == "all" => count,
        Ok(text) => text.parse().unwrap(),
        Err(_) => return vec![1 + random.below(count)],
    };
    let wanted = wanted.clamp(2, count.max(2));
    let mut chosen: Vec<usize> = (0..wanted)
        .map(|n| 1 + (count - 1) * n / (wanted - 1))
        .collect();
    chosen.dedup();
    chosen
}

#[test]
fn failing_system_calls_lose_no_backup() {
    if !strace::is_there() {
        return;
    }
    let mut scene = Scene::new();
    let mut random = Random::new(rig::seed("refused calls"));
    let (paths, counts) = scene.rehearse();
    let only: Vec<String> = paths
        .iter()
        .flat_map(|path| ["-P".to_owned(), path.to_str().unwrap().to_owned()])
        .collect();
    for (calls, error, from) in FAULTS {
        let Some(count) = most(calls, &counts) else {
            eprintln!("{calls}: never called here");
            continue;
        };
        let mut codes: BTreeMap<i32, u32> = BTreeMap::new();
        let chosen = chosen(count, &mut random);
        for number in &chosen {
            let which = match from {
                Which::Once => format!("{number}"),
                Which::On => format!("{number}+"),
            };
            let fault = format!("inject={calls}:error={error}:when={which}");
            let traced = format!("trace={calls}");
            let more = ["-e", &traced, "-e", &fault].map(str::to_owned);
            let options = [&only[..], &more].concat();
            let ended = scene.suffer(&options, error, &fault);
            *codes.entry(ended.code.unwrap()).or_default() += 1;
        }
        eprintln!(
            "{error} of {calls} ({from:?}): {} of {count} tried, exit codes {codes:?}; none lost a backup",
            chosen.len()
        );
    }
}

/// Checks that a run fails if a rename reports success without any effect.
#[test]
fn ineffective_rename_is_detected() {
    if !strace::is_there() {
        return;
    }
    let mut scene = Scene::new();
    scene.reset();
    let calls = "?rename,?renameat,renameat2";
    let current = scene.store().join(UDID);
    let lie = format!("inject={calls}:retval=0");
    let words = ["-P", current.to_str().unwrap(), "-e", &lie];
    let ended = scene.run(&words.map(str::to_owned));
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    assert!(
        ended.told.contains("is not the backup that was put there"),
        "{}",
        ended.told
    );
    assert!(ended.told.contains("hint: "), "{}", ended.told);
    assert!(tree(&current) == scene.good);
    scene.look_at_what_is_left("after a lie");
}

/// Calls before which the program is killed: those that change the disk.
const KILLED_BEFORE: &[&str] = &[
    "write,pwrite64",
    "?mkdir,mkdirat",
    "?link,linkat",
    "?rename,?renameat,renameat2",
    "?unlink,unlinkat,?rmdir",
    "fsync,fdatasync",
    "syncfs",
];

#[test]
fn kill_before_call_loses_no_backup() {
    if !strace::is_there() {
        return;
    }
    let mut scene = Scene::new();
    let mut random = Random::new(rig::seed("calls before which the program is killed"));
    let (_, counts) = scene.rehearse();
    for calls in KILLED_BEFORE {
        let Some(count) = most(calls, &counts) else {
            continue;
        };
        let (mut tried, mut killed) = (0, 0);
        for number in chosen(count, &mut random) {
            scene.reset();
            let kill = format!("inject={calls}:signal=KILL:when={number}");
            let ended = scene.run(&[
                "-e".to_owned(),
                format!("trace={calls}"),
                "-e".to_owned(),
                kill.clone(),
            ]);
            tried += 1;
            killed += u32::from(ended.code.is_none());
            scene.look_at_what_is_left(&kill);
        }
        eprintln!(
            "killed before {calls}: {killed} of {tried} tried, of {count}; none lost a backup"
        );
    }
}

/// A separate disk, in an image file.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Creates the disk with the command `make` and mounts it with the command `mount`. Returns
    /// `None` if a tool is missing or the system does not support it.
    fn mount(make: &str, mount: &str) -> Option<Disk> {
        let dir = rig::room();
        let (image, place) = (dir.path().join("image"), dir.path().join("disk"));
        fs::create_dir(&place).unwrap();
        fs::File::create(&image)
            .unwrap()
            .set_len(400 << 20)
            .unwrap();
        let quietly = |command: &str, paths: &[&Path]| {
            let mut words = command.split(' ');
            let mut program = Command::new(words.next().unwrap());
            let output = program.args(words).args(paths).output();
            output.is_ok_and(|output| output.status.success())
        };
        let made = quietly(make, &[&image]) && quietly(mount, &[&image, &place]);
        if !made {
            eprintln!("skipped: {make} with {mount} does not work here");
        }
        made.then(|| Disk(dir))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Checks backups on several file systems, and that each clones a backup by the best method that it
/// supports.
#[test]
fn every_file_system_holds_backups() {
    const LOOP: &str = "mount -o loop";
    for (make, mount, how) in [
        ("mkfs.ext4 -q", LOOP, "hard links"),
        ("mkfs.xfs -q", LOOP, "copy-on-write"),
        ("mkfs.btrfs -q", LOOP, "copy-on-write"),
        ("mkfs.vfat -F 32", LOOP, "full copies"),
        ("mkfs.exfat", LOOP, "full copies"),
        ("mkfs.exfat", "mount -t exfat-fuse -o loop", "full copies"),
    ] {
        let Some(disk) = Disk::mount(make, mount) else {
            continue;
        };
        let rig = Rig::new();
        let store = Store::create(&disk.path().join("store")).unwrap();
        let mut before = Vec::new();
        for round in 0..3 {
            let report = rig.create_in(&store, &options());
            assert!(
                round == 0 || report.draft.contains(how),
                "{make:?}: {}",
                report.draft
            );
            before.push(tree(&store.current_path(rig.udid())));
        }
        for backup in &before {
            assert!(holds(store.root(), backup), "{make}: a good backup is gone");
        }
        eprintln!("{make} with {mount}: three backups, cloned by {how}");
    }
}

/// Checks backups on a disk without hard links, copy-on-write clones and atomic exchange.
#[test]
fn disk_without_links_holds_backups() {
    if !strace::is_there() {
        return;
    }
    let mut scene = Scene::new();
    scene.reset();
    let ended = scene.run(&strace::exfat());
    assert_eq!((ended.code, ended.told.as_str()), (Some(0), ""));
    let store = Store::open(&scene.store()).unwrap();
    let current = store.current(scene.rig.udid()).unwrap().unwrap();
    assert_whole(current.path());
    let report = fs::read_to_string(current.report().unwrap()).unwrap();
    assert!(
        report.contains("full copies, because this disk supports neither"),
        "{report}"
    );
    scene.rig.assert_goes_on(
        &scene.store(),
        &[&scene.good, &tree(current.path())],
        "as on exFAT",
    );
}
