//! Simulates power cuts at any moment of a backup. Each test records the program's calls to the
//! file system, builds the disks that a power cut may leave, and checks each of them: the last good
//! backup must be there to the last byte, `list` and `verify` must report the truth, and the next
//! run must succeed.
//!
//! `IDEV_BACKUP_POWER_CUTS` is the number of moments of each backup, or `all`; the default is 10.
//! The seed selects them.

#![cfg(target_os = "linux")] // strace runs only on Linux.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::rig::crash::{self, Cut, Disk, Recording};
use crate::rig::{
    self, Random, Rig, Tree, UDID, assert_promise, assert_same, assert_whole, holds, options,
    strace, tree,
};
use idev_backup::base::progress::Silent;
use idev_backup::simulator::{Fault, Phone};
use idev_backup::store::Store;

/// A backup, and a recording of its steps on the disk.
struct Story {
    rig: Rig,
    recording: Recording,
    /// The phone in its state after it had sent everything.
    phone: Arc<Phone>,
    /// The backups that existed before, newest first.
    before: Vec<Tree>,
    /// The backup that was made.
    made: Tree,
}

impl Story {
    /// Runs the program to make a backup in the store that holds `before`, and to keep one
    /// snapshot. `refuses` holds options of strace that refuse some calls.
    fn record(rig: Rig, before: Vec<Tree>, cut: Option<Fault>, refuses: &[String]) -> Story {
        let disk = rig.dir.path().join("disk");
        let store = disk.join("store");
        let mut recording = Recording::begin(&disk);
        let log = rig.dir.path().join("log");
        rig.phone.suffer(cut.as_slice());
        let options = [&crash::options(), refuses].concat();
        let mut program = rig.program(&strace::around(&log, &options), &store, 1);
        let ended = program.output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        let code = ended.status.code();
        assert!(matches!(code, Some(0 | 3)), "{code:?}: {told}");
        rig.phone.suffer(&[]);
        recording.replay(&strace::calls(&fs::read_to_string(&log).unwrap()));
        Story {
            phone: rig.phone.twin(),
            before,
            made: tree(&store.join(UDID)),
            recording,
            rig,
        }
    }

    /// Returns the moments to try: one from each of several equal intervals of the backup, and as
    /// many from the seal.
    fn moments(&self, name: &str) -> Vec<usize> {
        let all = self.recording.moments();
        let wanted = match std::env::var("IDEV_BACKUP_POWER_CUTS") {
            Ok(text) if text == "all" => return (0..all).collect(),
            Ok(text) => text.parse().unwrap(),
            Err(_) => 10,
        };
        let mut random = Random::new(rig::seed(name));
        let seal = self.recording.last_flush_of_all();
        let mut moments = Vec::new();
        for (from, to) in [(0, all), (seal, (seal + 24).min(all))] {
            let count = (wanted / 2).clamp(1, to - from);
            let begins = |n| from + (to - from) * n / count;
            moments.extend((0..count).map(|n| begins(n) + random.below(begins(n + 1) - begins(n))));
        }
        moments.push(all - 1);
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// Cuts the power at each of these moments, and checks the disks that this leaves.
    fn cut_power(mut self, name: &str) {
        let moments = self.moments(name);
        let (mut seen, mut tried, mut made) = (HashSet::new(), 0, 0);
        for &moment in &moments {
            for cut in [
                Cut::KeepsAll,
                Cut::LosesAll,
                Cut::LosesBytes,
                Cut::Shuffles(moment as u64),
            ] {
                let disk = self.recording.cut(moment, cut);
                tried += 1;
                if seen.insert(disk.mark()) {
                    made += 1;
                    let ended = moment + 1 == self.recording.moments();
                    self.check_disk(&disk, ended, &format!("{name}: {cut:?} at {moment}"));
                }
            }
        }
        eprintln!(
            "{name}: {tried} power cuts at {} of {} moments left {made} different disks; none lost a backup",
            moments.len(),
            self.recording.moments()
        );
    }

    fn check_disk(&mut self, disk: &Disk, ended: bool, when: &str) {
        let root = self.rig.dir.path().join("cut");
        fs::create_dir(&root).unwrap();
        disk.write_to(&root);
        let path = root.join("store");
        let current = path.join(UDID);
        if ended {
            assert!(
                tree(&current) == self.made,
                "{when}: the finished backup is lost"
            );
            assert_whole(&current);
        }
        let known: Vec<&Tree> = self.before.iter().chain([&self.made]).collect();
        let mut kept: Vec<&Tree> = self.before.iter().take(1).collect();
        assert_promise(&path, &kept, &known, when);
        if ended || has_intent(&path) && holds(&path, &self.made) {
            kept.push(&self.made);
        }
        self.rig.connect(self.phone.twin());
        self.rig.assert_goes_on(&path, &kept, when);
        fs::remove_dir_all(&root).unwrap();
    }
}

/// Returns true if the seal had begun, so that the draft is the new backup.
fn has_intent(store: &Path) -> bool {
    draft(store).join("seal.json").exists()
}

fn draft(store: &Path) -> PathBuf {
    store.join(".idev-backup").join(UDID).join("draft")
}

/// Creates a store on a disk of its own with `count` backups. Also returns the backups, newest
/// first.
fn with_backups(count: usize) -> (Rig, Vec<Tree>) {
    let rig = Rig::new();
    let disk = rig.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mut before = Vec::new();
    for _ in 0..count {
        let store = Store::create(&disk.join("store")).unwrap();
        rig.create_in(&store, &options());
        before.insert(0, tree(&store.current_path(rig.udid())));
    }
    (rig, before)
}

/// Finds the phone's first message that checks the files it has sent. A cut there leaves the phone
/// without an end of its backup, which is sealed nevertheless.
fn cut_at_its_check(rig: &Rig, store: &Path) -> Fault {
    let phone = rig.phone.clone();
    let mut other = Rig::new();
    let copy = other.new_store("copy");
    rig::copy_dir(store, copy.root());
    for index in 780.. {
        other.connect(phone.twin());
        other.phone.suffer(&[Fault::CutAt(index)]);
        let again = other.new_store(&format!("copy-{index}"));
        rig::copy_dir(copy.root(), again.root());
        if other.try_in(&again, &options(), &Silent).is_ok() {
            return Fault::CutAt(index);
        }
    }
    unreachable!("there are few messages")
}

#[test]
fn first_backup_survives_power_cut() {
    if strace::is_there() {
        let (rig, before) = with_backups(0);
        Story::record(rig, before, None, &[]).cut_power("first backup");
    }
}

#[test]
fn incremental_backup_survives_power_cut() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        Story::record(rig, before, None, &[]).cut_power("changes only");
    }
}

/// Checks power cuts in a run that seals its backup although the connection to the phone was cut
/// before the phone reported its result.
#[test]
fn unacknowledged_backup_survives_power_cut() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        let cut = cut_at_its_check(&rig, &rig.dir.path().join("disk/store"));
        Story::record(rig, before, Some(cut), &[]).cut_power("unacknowledged backup");
    }
}

#[test]
fn resumed_draft_survives_power_cut() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        // The phone has sent its files and not yet its manifests.
        rig.phone.suffer(&[Fault::CutAt(779)]);
        let store = Store::open(&rig.dir.path().join("disk/store")).unwrap();
        rig.try_in(&store, &options(), &Silent).unwrap_err();
        let story = Story::record(rig, before, None, &[]);
        assert!(story.phone.history().last().unwrap().resumed);
        story.cut_power("resumed draft");
    }
}

/// Checks power cuts in a run that completes the seal of a run that was killed.
#[test]
fn interrupted_seal_survives_power_cut() {
    if strace::is_there() {
        let (rig, mut before) = with_backups(2);
        let store = rig.dir.path().join("disk/store");
        let kill = ["-e", "inject=renameat2:signal=KILL"].map(str::to_owned);
        let around = strace::around(&rig.dir.path().join("log"), &kill);
        let ended = rig.program(&around, &store, 1).output().unwrap();
        assert_eq!(ended.status.code(), None, "{ended:?}");
        assert!(has_intent(&store));
        before.insert(0, tree(&draft(&store).join("root").join(UDID)));
        Story::record(rig, before, None, &[]).cut_power("interrupted seal");
    }
}

/// Checks power cuts on a disk that, like exFAT, has neither hard links nor an atomic exchange.
#[test]
fn exfat_backup_survives_power_cut() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        Story::record(rig, before, None, &strace::exfat()).cut_power("as on exFAT");
    }
}

/// Checks the simulation of power cuts: the recorded disk loses exactly the data that was not
/// flushed.
#[test]
fn recorded_disk_loses_unflushed_data() {
    let rig = Rig::new();
    let root = rig.dir.path().join("disk");
    fs::create_dir(&root).unwrap();
    if !strace::is_there() {
        return;
    }
    let mut recording = Recording::begin(&root);
    let log = rig.dir.path().join("log");
    let script = format!(
        "cd {}; echo one | tee a; sync a; echo two | tee b; sync .; echo three | tee c; mv a d",
        root.display()
    );
    let words = strace::around(&log, &crash::options());
    let mut command = std::process::Command::new(&words[0]);
    let ended = command
        .args(&words[1..])
        .args(["sh", "-c", &script])
        .output();
    assert!(ended.unwrap().status.success());
    recording.replay(&strace::calls(&fs::read_to_string(&log).unwrap()));
    let left = |cut| {
        let disk = rig.dir.path().join("cut");
        fs::create_dir(&disk).unwrap();
        recording.cut(recording.moments() - 1, cut).write_to(&disk);
        let left = tree(&disk);
        fs::remove_dir_all(&disk).unwrap();
        left
    };
    let expected = |files: &[(&str, &str)]| -> Tree {
        let files = files.iter();
        files
            .map(|(name, text)| ((*name).to_owned(), Some(text.as_bytes().to_vec())))
            .collect()
    };
    let all = expected(&[("b", "two\n"), ("c", "three\n"), ("d", "one\n")]);
    assert_same(&all, &left(Cut::KeepsAll), "everything is kept");
    let flushed = expected(&[("a", "one\n"), ("b", "")]);
    assert_same(&flushed, &left(Cut::LosesAll), "everything is lost");
    let names: Vec<String> = left(Cut::LosesBytes).into_keys().collect();
    assert_eq!(names, ["b", "c", "d"], "names are kept");
}
