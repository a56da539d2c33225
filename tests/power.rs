//! The power fails at any moment of a backup: what the program asked of the file system is
//! recorded, and each of the disks that a power cut may leave of it is made and looked at. Each
//! time the last good backup is there to the last byte, `list` and `verify` say the truth, and the
//! next run succeeds.
//!
//! `IDEV_BACKUP_POWER_CUTS` is the number of moments of each backup, or `all`; 10 without it. The
//! seed picks them.

#![cfg(target_os = "linux")] // Where strace is.

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

/// A backup whose every step on the disk is known.
struct Story {
    rig: Rig,
    recording: Recording,
    /// The phone in its state after it had sent everything.
    phone: Arc<Phone>,
    /// The backups that were there before, newest first.
    before: Vec<Tree>,
    /// The backup that was made.
    made: Tree,
}

impl Story {
    /// Has the program make a backup, beside these that are there; one is to be kept. The system
    /// `refuses` some calls.
    fn of(rig: Rig, before: Vec<Tree>, cut: Option<Fault>, refuses: &[String]) -> Story {
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

    /// Returns the moments to try: one of each of many equal stretches, and half of them in the
    /// seal.
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

    /// Cuts the power at all these moments, and looks at what is left.
    fn tell(mut self, name: &str) {
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
                    self.look_at(&disk, ended, &format!("{name}: {cut:?} at {moment}"));
                }
            }
        }
        eprintln!(
            "{name}: {tried} power cuts at {} of {} moments left {made} different disks; none lost a backup",
            moments.len(),
            self.recording.moments()
        );
    }

    fn look_at(&mut self, disk: &Disk, ended: bool, when: &str) {
        let root = self.rig.dir.path().join("cut");
        fs::create_dir(&root).unwrap();
        disk.write_to(&root);
        let path = root.join("store");
        let current = path.join(UDID);
        if ended {
            assert!(tree(&current) == self.made, "{when}: done, and yet lost");
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

/// The seal had begun: the draft is the new backup.
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

/// The phone's first message that checks what it has sent: cut there, it knows of no end, and its
/// backup is sealed.
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
fn a_power_cut_in_a_first_backup_leaves_a_store_to_go_on_with() {
    if strace::is_there() {
        let (rig, before) = with_backups(0);
        Story::of(rig, before, None, &[]).tell("first backup");
    }
}

#[test]
fn a_power_cut_in_a_backup_loses_no_backup() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        Story::of(rig, before, None, &[]).tell("changes only");
    }
}

#[test]
fn a_power_cut_in_a_backup_that_the_phone_would_go_on_with_loses_no_backup() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        let cut = cut_at_its_check(&rig, &rig.dir.path().join("disk/store"));
        Story::of(rig, before, Some(cut), &[]).tell("gone on with");
    }
}

#[test]
fn a_power_cut_in_a_run_that_takes_a_draft_over_loses_no_backup() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        // The files are there, and not yet the manifests.
        rig.phone.suffer(&[Fault::CutAt(779)]);
        let store = Store::open(&rig.dir.path().join("disk/store")).unwrap();
        rig.try_in(&store, &options(), &Silent).unwrap_err();
        let story = Story::of(rig, before, None, &[]);
        assert!(story.phone.history().last().unwrap().resumed);
        story.tell("draft taken over");
    }
}

#[test]
fn a_power_cut_while_a_seal_is_brought_to_its_end_loses_no_backup() {
    if strace::is_there() {
        let (rig, mut before) = with_backups(2);
        let store = rig.dir.path().join("disk/store");
        let kill = ["-e", "inject=renameat2:signal=KILL"].map(str::to_owned);
        let around = strace::around(&rig.dir.path().join("log"), &kill);
        let ended = rig.program(&around, &store, 1).output().unwrap();
        assert_eq!(ended.status.code(), None, "{ended:?}");
        assert!(has_intent(&store));
        before.insert(0, tree(&draft(&store).join("root").join(UDID)));
        Story::of(rig, before, None, &[]).tell("seal brought to its end");
    }
}

#[test]
fn a_power_cut_on_a_disk_without_links_and_exchange_loses_no_backup() {
    if strace::is_there() {
        let (rig, before) = with_backups(2);
        Story::of(rig, before, None, &strace::exfat()).tell("as on exFAT");
    }
}

#[test]
fn the_tests_own_disk_loses_what_was_not_flushed() {
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
