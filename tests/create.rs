//! A backup from the phone to the sealed folder, against the simulated phone: what is promised, what goes wrong, and that
//! the last good backup survives all of it.

#![allow(clippy::unwrap_used)] // A test stops at what is unexpected.
#![allow(clippy::print_stderr)] // One that cannot run on this machine says so.

mod rig;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idev_backup::device;
use idev_backup::device::tls::Pin;
use idev_backup::jobs::create::{self, Options, Report};
use idev_backup::jobs::{Class, Error, pair, verify};
use idev_backup::monitor::{Event, Monitor, Phase, Silent, Wait};
use idev_backup::secret::Secret;
use idev_backup::sim::{Daemon, Fault, Passcode, Phone, PhoneConfig, Trust};
use idev_backup::store::{self, METADATA, Store, sums};
use idev_backup::transport::Calm;
use rig::*;

/// A run that must fail; its error.
fn fails(rig: &Rig, options: &Options) -> Error {
    fails_with(rig, options, &Silent)
}

fn fails_with(rig: &Rig, options: &Options, monitor: &dyn Monitor) -> Error {
    let error = rig.try_create(options, monitor).unwrap_err();
    assert!(error.hint().is_some(), "no hint for: {error}");
    error
}

fn faults(specs: &[&str]) -> Vec<Fault> {
    specs.iter().map(|s| s.parse().unwrap()).collect()
}

/// The snapshots of the rig's phone beside the current backup, oldest first.
fn archives(store: &Store) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = store
        .snapshots()
        .unwrap()
        .iter()
        .filter(|s| !s.is_current() && s.udid().as_str() == UDID)
        .map(|s| s.path().to_path_buf())
        .collect();
    found.sort();
    found
}

#[test]
fn a_first_backup_holds_every_byte_of_the_phone_and_says_what_it_is() {
    let rig = Rig::new();
    let recorder = Recorder::default();
    let report = rig.try_create(&options(), &recorder).unwrap();
    let current = rig.current();
    rig.assert_holds_the_phone(&current);
    assert_whole(&current);

    // Apple's layout: metadata at the top, every other file at xx/<40 hex digits beginning with xx>.
    let files: Vec<String> = tree(&current)
        .into_iter()
        .filter_map(|(path, bytes)| bytes.map(|_| path))
        .collect();
    let ids: BTreeSet<String> = rig.phone.files().map(|f| f.file_id()).collect();
    for path in &files {
        let known = match path.split_once('/') {
            None => METADATA.contains(&path.as_str()),
            Some((part, name)) => name.starts_with(part) && part.len() == 2 && ids.contains(name),
        };
        assert!(known, "{path} has no place in a backup");
    }
    assert_eq!(files.len(), ids.len() + METADATA.len());

    // The list of hashes covers all of it.
    let snapshot = rig.store.current(rig.udid()).unwrap().unwrap();
    let listed: Vec<_> = sums::Sums::open(&snapshot.sums().unwrap())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(listed.len(), files.len());
    for (path, hash) in &listed {
        assert_eq!(*hash, sums::hash_file(&current.join(path)).unwrap().0, "{path}");
    }
    for name in METADATA {
        let copy = fs::read(snapshot.beside().unwrap().join(name)).unwrap();
        assert!(copy == fs::read(current.join(name)).unwrap(), "{name}");
    }

    // report.json is what was returned, but for what happens after it is written.
    let json = fs::read(snapshot.report().unwrap()).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let mut returned = serde_json::to_value(&report).unwrap();
    for late in ["seconds", "older", "dropped"] {
        json.as_object_mut().unwrap().remove(late).unwrap();
        returned.as_object_mut().unwrap().remove(late).unwrap();
    }
    assert_eq!(json, returned);
    assert!(report.full && !report.encrypted && report.problems.is_empty());
    assert_eq!(report.received_files, ids.len() as u64);
    assert_eq!(report.files, files.len() as u64);
    let bytes: u64 = rig.phone.files().map(|f| f.size()).sum();
    assert_eq!(report.received_bytes, bytes);
    assert_eq!(report.hashes.received, report.files);
    assert_eq!(report.path, current.display().to_string());
    assert_eq!(report.phone.model, "iPhone 15 Pro");

    assert_eq!(
        recorder.phases(),
        [
            Phase::Cloning,
            Phase::Describing,
            Phase::Scanning,
            Phase::Receiving,
            Phase::Arranging,
            Phase::PhoneChecking,
            Phase::Checking,
            Phase::Sealing,
        ]
    );
    let left = tree(&rig.own());
    let strange = |name: &&String| name.contains("partial") || name.starts_with("draft");
    assert_eq!(left.keys().find(strange), None);
    assert_eq!(rig.phone.history()[0].code, Some(0));
}

#[cfg(unix)]
#[test]
fn a_backup_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::backed_up();
    rig.create();
    let root = rig.store.root();
    for (path, bytes) in tree(root) {
        let mode = fs::metadata(root.join(&path)).unwrap().permissions().mode() & 0o777;
        let wanted = if bytes.is_some() { 0o600 } else { 0o700 };
        assert_eq!(mode, wanted, "{path}: {mode:o}");
    }
}

#[test]
fn a_second_backup_is_sent_only_what_changed_and_leaves_the_first_as_it_was() {
    let rig = Rig::backed_up();
    let first = tree(&rig.current());
    let times = modified(&rig.current());
    let report = rig.create();
    let content = small();
    assert!(!report.full);
    assert!(report.received_files <= u64::from(content.changes), "{report:?}");
    assert!(report.removed_files > 0 && report.hashes.carried > 30, "{report:?}");
    let outcome = &rig.phone.history()[1];
    assert_eq!(outcome.files, report.received_files);
    assert!(!outcome.full && !outcome.resumed);

    let archives = archives(&rig.store);
    assert_eq!((archives.len(), report.older), (1, 1));
    let name = archives[0].file_name().unwrap().to_str().unwrap();
    let stamp = name.strip_prefix(&format!("{UDID}-")).unwrap();
    let digits = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = stamp.split_once('-').unwrap();
    assert!(digits(date, 8) && digits(time, 6), "{name}");
    assert_same(&first, &tree(&archives[0]), "after the second backup");
    assert_eq!(times, modified(&archives[0]), "a shared file was written");
    assert_whole(&archives[0]);
    #[cfg(unix)]
    if report.draft.contains("hard links") {
        let shared = shared_files(&archives[0], &rig.current());
        for path in &shared {
            let now = fs::read(rig.current().join(path)).unwrap();
            assert_eq!(first[path].as_ref(), Some(&now), "{path}");
        }
        assert!(shared.len() > 30, "{} shared", shared.len());
    } else {
        eprintln!("this disk clones, so nothing is shared: {}", report.draft);
    }
}

fn modified(root: &Path) -> Vec<(String, std::time::SystemTime)> {
    let files = tree(root).into_iter().filter(|(_, bytes)| bytes.is_some());
    files
        .map(|(path, _)| {
            let time = fs::metadata(root.join(&path)).unwrap().modified().unwrap();
            (path, time)
        })
        .collect()
}

/// Paths that are one file in both folders.
#[cfg(unix)]
fn shared_files(one: &Path, other: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let files = tree(one).into_iter().filter(|(_, bytes)| bytes.is_some());
    files
        .map(|(path, _)| path)
        .filter(|path| match fs::metadata(other.join(path)) {
            Ok(meta) => meta.ino() == fs::metadata(one.join(path)).unwrap().ino(),
            Err(_) => false,
        })
        .collect()
}

#[test]
fn as_many_snapshots_stay_as_were_asked_for() {
    let rig = Rig::backed_up();
    let mut known = vec![tree(&rig.current())];
    for (keep, stay) in [(3, 1), (3, 2), (3, 3), (3, 3), (1, 1), (1, 1), (0, 0), (0, 0)] {
        let report = rig.create_with(&Options { keep, ..options() });
        let found = archives(&rig.store);
        assert_eq!(found.len(), stay, "keep {keep}");
        assert_eq!(report.older, stay as u64);
        for (archive, expected) in found.iter().rev().zip(known.iter().rev()) {
            assert_same(expected, &tree(archive), "the newest stay");
            assert_whole(archive);
        }
        // Beside the backups stand as many folders of ours, and a lock.
        let besides = fs::read_dir(rig.own()).unwrap().count() - 1;
        assert_eq!(besides, stay + 1, "keep {keep}");
        known.push(tree(&rig.current()));
    }
}

#[test]
fn a_full_backup_starts_empty() {
    let rig = Rig::backed_up();
    let first = tree(&rig.current());
    let report = rig.create_with(&Options {
        full: true,
        ..options()
    });
    assert!(report.full && rig.phone.history()[1].full);
    assert_eq!(report.received_files as usize, rig.phone.files().count());
    assert_eq!(report.hashes.carried, 0);
    assert_eq!(report.draft, "empty");
    // The backup before is not lost by it.
    assert_eq!(archives(&rig.store).len(), 1);
    assert_same(&first, &tree(&archives(&rig.store)[0]), "after --full");
}

#[test]
fn a_backup_that_another_program_made_is_kept_untouched_and_shares_no_file() {
    let rig = Rig::backed_up();
    let store = rig.new_store("foreign");
    let foreign = store.current_path(rig.udid());
    copy_dir(&rig.current(), &foreign);
    let before = tree(&foreign);
    let report = rig.create_in(&store, &Options { keep: 0, ..options() });
    assert!(!report.full, "its files are used: {report:?}");
    let archives = archives(&store);
    assert_eq!(archives.len(), 1, "only what is ours is dropped");
    assert_same(&before, &tree(&archives[0]), "the foreign backup");
    #[cfg(unix)]
    assert_eq!(
        shared_files(&archives[0], &store.current_path(rig.udid())),
        Vec::<String>::new()
    );
}

// ---- what is cut ----

/// Has a run cut short by `fault`: the last good backup stays, and the next run succeeds. `None` when the backup was over
/// before the fault came; else whether the phone went on where it had stopped.
fn cut_and_go_on(rig: &Rig, store: &Store, fault: Fault) -> Option<bool> {
    let current = store.current_path(rig.udid());
    let exists = current.exists();
    let before = exists.then(|| tree(&current));
    let listed = |s: &Store| format!("{:?}", idev_backup::jobs::list::list(s).unwrap());
    let listed_before = listed(store);
    rig.phone.suffer(std::slice::from_ref(&fault));
    let when = format!("{fault:?}");
    match rig.try_in(store, &options(), &Silent) {
        Ok(_) => return None,
        Err(e) => {
            assert_eq!(e.class(), Class::Lost, "{when}: {e}");
            assert!(e.hint().is_some(), "{when}");
        }
    }
    assert_eq!(current.exists(), exists, "{when}");
    if let Some(before) = before {
        assert_same(&before, &tree(&current), &when);
    }
    assert_eq!(listed_before, listed(store), "{when}");
    rig.phone.suffer(&[]);
    let report = rig.create_in(store, &Options { keep: 0, ..options() });
    let resumed = rig.phone.history().last().unwrap().resumed;
    let taken_over = report.draft.starts_with("taken over");
    assert!(!resumed || taken_over, "{when}: {}", report.draft);
    Some(resumed)
}

#[test]
fn a_changes_only_backup_cut_at_any_message_leaves_the_last_one_and_can_go_on() {
    let rig = Rig::backed_up();
    // The long stretches are 256 listings (5..) and 514 folders to be made (263..), and listings again at the end (790..).
    let stretches = (10..1040).step_by(103);
    let messages = (0..9).chain(stretches).chain(774..796).chain(1045..1060);
    let (mut cut, mut resumed) = (0, 0);
    for index in messages {
        if let Some(went_on) = cut_and_go_on(&rig, &rig.store, Fault::CutAt(index)) {
            cut += 1;
            resumed += u32::from(went_on);
        }
    }
    assert!(cut > 35, "{cut} were cut");
    assert!(resumed >= 6, "{resumed} of {cut} went on");
}

#[test]
fn a_first_backup_cut_after_any_byte_leaves_nothing_and_can_go_on() {
    let rig = Rig::new();
    let (mut cut, mut resumed) = (0, 0);
    // What is sent before the first file: some 90 KB of requests to make folders.
    for number in 0..40 {
        let store = rig.new_store(&format!("store-{number}"));
        let offset = 1 + number * 17_389;
        if let Some(went_on) = cut_and_go_on(&rig, &store, Fault::CutAfter(offset)) {
            cut += 1;
            resumed += u32::from(went_on);
        }
        fs::remove_dir_all(store.root()).unwrap();
    }
    assert!(cut > 25, "{cut} were cut");
    assert!(resumed > 12, "{resumed} of {cut} went on");
}

/// A rig whose run was cut when the phone had sent its files and not yet its manifests.
fn cut_after_the_files() -> Rig {
    let rig = Rig::backed_up();
    for index in 774..800 {
        rig.phone.suffer(&[Fault::CutAt(index)]);
        rig.try_create(&options(), &Silent).unwrap_err();
        if !snapshot_files(&rig).is_empty() {
            rig.phone.suffer(&[]);
            return rig;
        }
        fs::remove_dir_all(rig.draft()).unwrap();
    }
    panic!("the phone never sent a file");
}

/// The files below the draft's Snapshot/.
fn snapshot_files(rig: &Rig) -> Vec<std::path::PathBuf> {
    let folder = rig.draft_backup().join("Snapshot");
    if !folder.exists() {
        return Vec::new();
    }
    let files = tree(&folder).into_iter().filter(|(_, b)| b.is_some());
    files
        .filter(|(_, bytes)| bytes.as_ref().is_some_and(|b| !b.is_empty()))
        .map(|(path, _)| folder.join(path))
        .collect()
}

#[test]
fn a_draft_that_was_changed_behind_our_back_is_not_taken_over_as_it_is() {
    type Change = fn(&Rig);
    let table: [(&str, Change, &str); 7] = [
        (
            "truncated",
            |rig| {
                let path = &snapshot_files(rig)[0];
                let half = fs::metadata(path).unwrap().len() / 2;
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(half).unwrap();
            },
            "1 file of it dropped",
        ),
        (
            "altered",
            |rig| {
                let path = &snapshot_files(rig)[0];
                let mut bytes = fs::read(path).unwrap();
                bytes[0] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            "1 file of it dropped",
        ),
        (
            "a stranger below Snapshot",
            |rig| {
                let folder = rig.draft_backup().join("Snapshot").join("ab");
                fs::write(folder.join("ab".repeat(20)), "stranger").unwrap();
            },
            "1 file of it dropped",
        ),
        (
            "missing",
            |rig| fs::remove_file(&snapshot_files(rig)[0]).unwrap(),
            "taken over from a run that broke off",
        ),
        (
            "a journal cut in the middle of a line",
            |rig| {
                let journal = rig.draft().join("journal");
                for entry in fs::read_dir(journal).unwrap() {
                    let path = entry.unwrap().path();
                    let length = fs::metadata(&path).unwrap().len();
                    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                    file.set_len(length.saturating_sub(7)).unwrap();
                }
            },
            "",
        ),
        (
            "a file of the backup before replaced",
            |rig| {
                let id = rig.phone.files().next().unwrap().file_id();
                let path = rig.draft_backup().join(&id[..2]).join(&id);
                fs::remove_file(&path).unwrap();
                fs::write(&path, "forged").unwrap();
            },
            "cloned",
        ),
        (
            "its note garbled",
            |rig| fs::write(rig.draft().join("draft.json"), "{").unwrap(),
            "cloned",
        ),
    ];
    for (what, change, draft) in table {
        let rig = cut_after_the_files();
        change(&rig);
        let last = tree(&rig.current());
        let report = rig.create();
        assert!(report.draft.contains(draft), "{what}: {}", report.draft);
        assert_same(&last, &tree(&archives(&rig.store)[0]), what);
    }
}

// ---- a crash while the draft takes its place ----

/// A phone with two backups, taken apart: the store before the second, and what the second one consists of.
struct Sealing {
    rig: Rig,
    old: Tree,
    new: Tree,
}

/// How far the renames got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Intended,
    BesideRenamed,
    OldRenamedAway,
    BothRenamed,
    Exchanged,
    Archived,
    ThrownAway,
}

impl Sealing {
    /// Makes a store where a crash came after `step` of sealing.
    fn crashed(step: Step) -> Sealing {
        let rig = Rig::backed_up();
        let old = tree(&rig.current());
        rig.create();
        let new = tree(&rig.current());
        let (current, own, draft) = (rig.current(), rig.own(), rig.draft());
        let archive = archives(&rig.store)[0].clone();
        let archive_name = archive.file_name().unwrap().to_str().unwrap().to_owned();
        let stamp = {
            let snapshot = rig.store.current(rig.udid()).unwrap().unwrap();
            snapshot.stamp().unwrap()
        };
        // Backwards from the finished seal.
        fs::create_dir_all(draft.join("root")).unwrap();
        fs::create_dir_all(draft.join("journal")).unwrap();
        fs::create_dir_all(draft.join("incoming")).unwrap();
        fs::write(draft.join("draft.json"), "{}").unwrap();
        let intent = format!(r#"{{"stamp":"{stamp}","archive":"{archive_name}"}}"#);
        fs::write(draft.join("seal.json"), intent).unwrap();
        let in_draft = rig.draft_backup();
        match step {
            Step::ThrownAway => fs::rename(&draft, own.join("trash")).unwrap(),
            Step::Archived => {}
            Step::Exchanged => fs::rename(&archive, &in_draft).unwrap(),
            Step::BothRenamed => {}
            Step::OldRenamedAway => fs::rename(&current, &in_draft).unwrap(),
            Step::BesideRenamed | Step::Intended => {
                fs::rename(&current, &in_draft).unwrap();
                fs::rename(&archive, &current).unwrap();
            }
        }
        if step == Step::Intended {
            fs::rename(own.join(&stamp), draft.join("beside")).unwrap();
        }
        Sealing { rig, old, new }
    }
}

#[test]
fn a_crash_at_any_step_of_sealing_is_brought_to_its_end_by_the_next_run() {
    for step in [
        Step::Intended,
        Step::BesideRenamed,
        Step::OldRenamedAway,
        Step::BothRenamed,
        Step::Exchanged,
        Step::Archived,
        Step::ThrownAway,
    ] {
        let Sealing { rig, old, new } = Sealing::crashed(step);
        let when = format!("{step:?}");
        let report = rig.create();
        assert!(report.draft.starts_with("cloned"), "{when}: {}", report.draft);
        let found = archives(&rig.store);
        assert_eq!(found.len(), 2, "{when}");
        assert_same(&old, &tree(&found[0]), &when);
        assert_same(&new, &tree(&found[1]), &when);
        found.iter().for_each(|archive| assert_whole(archive));
        assert!(rig.listed().iter().all(|b| b.ours && b.complete), "{when}");
        assert!(!rig.draft().exists() && !rig.own().join("trash").exists());
    }
}

#[test]
fn a_first_backup_whose_sealing_crashed_is_not_lost() {
    let rig = Rig::backed_up();
    let first = tree(&rig.current());
    let stamp = rig.store.current(rig.udid()).unwrap().unwrap().stamp();
    fs::create_dir_all(rig.draft().join("root")).unwrap();
    let intent = format!(r#"{{"stamp":"{}","archive":null}}"#, stamp.unwrap());
    fs::write(rig.draft().join("seal.json"), intent).unwrap();
    fs::rename(rig.current(), rig.draft_backup()).unwrap();
    rig.create();
    assert_same(&first, &tree(&archives(&rig.store)[0]), "the first backup");
}
