//! Backups of the simulated phone, from the first message to the sealed folder: their guarantees,
//! their failures, and the survival of the last good backup.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idev_backup::backup::Error;
use idev_backup::backup::create::{self, Options, Report};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::{Event, Monitor, Phase, Silent, Wait};
use idev_backup::base::secret::Secret;
use idev_backup::device::tls::Pin;
use idev_backup::device::{self, trust};
use idev_backup::simulator::{Daemon, Fault, Passcode, Password, Phone, PhoneConfig, Trust};
use idev_backup::store::{self, METADATA, Store, sums};
use idev_backup::verify;

use crate::advice::Advice as _;
use crate::rig::*;

/// Runs a backup that must fail, and returns its error.
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

/// Returns the snapshots of the rig's phone beside the current backup, oldest first.
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

/// Checks that a first backup holds every byte of the phone in Apple's layout, and that its hash
/// list, report and phases describe it.
#[test]
fn first_backup_is_complete() {
    let rig = Rig::new();
    let recorder = Recorder::default();
    let report = rig.try_create(&options(), &recorder).unwrap();
    let current = rig.current();
    rig.assert_holds_the_phone(&current);
    assert_whole(&current);

    // Apple's layout: metadata at the top, every other file at xx/<40 hex digits beginning with
    // xx>.
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
        assert_eq!(
            *hash,
            sums::hash_file(&current.join(path)).unwrap().0,
            "{path}"
        );
    }
    for name in METADATA {
        let copy = fs::read(snapshot.beside().unwrap().join(name)).unwrap();
        assert!(copy == fs::read(current.join(name)).unwrap(), "{name}");
    }

    // report.json equals the returned report, except for fields that are set after it is written.
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
            Phase::Hashing,
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
fn backup_permissions_are_owner_only() {
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

/// Checks that the phone sends only changes for a second backup, and that the first backup becomes
/// an unchanged snapshot.
#[test]
fn second_backup_transfers_only_changes() {
    let rig = Rig::backed_up();
    let first = tree(&rig.current());
    let times = modified(&rig.current());
    let report = rig.create();
    let content = small();
    assert!(!report.full);
    assert!(
        report.received_files <= u64::from(content.changes),
        "{report:?}"
    );
    assert!(
        report.removed_files > 0 && report.hashes.carried > 30,
        "{report:?}"
    );
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

/// Returns the paths that are hard links to the same file in both folders.
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
fn keep_option_limits_snapshots() {
    let rig = Rig::backed_up();
    let mut known = vec![tree(&rig.current())];
    for (keep, stay) in [
        (3, 1),
        (3, 2),
        (3, 3),
        (3, 3),
        (1, 1),
        (1, 1),
        (0, 0),
        (0, 0),
    ] {
        let report = rig.create_with(&Options {
            keep: keep.into(),
            ..options()
        });
        let found = archives(&rig.store);
        assert_eq!(found.len(), stay, "keep {keep}");
        assert_eq!(report.older, stay as u64);
        for (archive, expected) in found.iter().rev().zip(known.iter().rev()) {
            assert_same(expected, &tree(archive), "the newest snapshots stay");
            assert_whole(archive);
        }
        // The program's own folder holds one folder for each backup, and otherwise only lock files.
        let besides = fs::read_dir(rig.own()).unwrap().map(Result::unwrap);
        let besides = besides.filter(|entry| entry.path().is_dir()).count();
        assert_eq!(besides, stay + 1, "keep {keep}");
        known.push(tree(&rig.current()));
    }
}

#[test]
fn full_backup_starts_empty() {
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
    // The previous backup becomes a snapshot.
    assert_eq!(archives(&rig.store).len(), 1);
    assert_same(&first, &tree(&archives(&rig.store)[0]), "after --full");
}

/// Checks that a current backup with an empty Status.plist is never deleted, whether or not the
/// store holds a copy of that file.
#[test]
fn unusable_backup_becomes_a_snapshot() {
    let rig = Rig::backed_up();
    let current = rig.store.current(rig.udid()).unwrap().unwrap();
    let empty = |folder: &Path| {
        let status = folder.join("Status.plist");
        fs::remove_file(&status).unwrap();
        fs::write(status, "").unwrap();
    };
    empty(current.path());
    let before = tree(&rig.current());
    let report = rig.create();
    assert!(!report.full, "Status.plist is read from its copy");
    assert_same(
        &before,
        &tree(&archives(&rig.store)[0]),
        "the backup with the empty Status.plist",
    );

    let current = rig.store.current(rig.udid()).unwrap().unwrap();
    empty(current.path());
    empty(current.beside().unwrap());
    let before = tree(&rig.current());
    let report = rig.create();
    assert!(report.full, "the phone cannot continue from that backup");
    let mut archived = archives(&rig.store).into_iter();
    assert!(
        archived.any(|folder| tree(&folder) == before),
        "the unusable backup is gone"
    );
}

#[test]
fn damaged_hash_list_forces_full_backup() {
    for bytes in [&b"rubbish\n"[..], b"\xff\xfe\n", b""] {
        let rig = Rig::backed_up();
        let sums = rig.store.current(rig.udid()).unwrap().unwrap().sums();
        fs::write(sums.unwrap(), bytes).unwrap();
        let report = rig.create();
        assert!(report.full && !report.problems.is_empty(), "{report:?}");
        assert_eq!(report.hashes.received, report.files, "{report:?}");
    }
}

/// Checks that a backup of another program stays as it was, and shares no hard link with the new
/// backup.
#[test]
fn foreign_backup_is_kept_unchanged() {
    let rig = Rig::backed_up();
    let store = rig.new_store("foreign");
    let foreign = store.current_path(rig.udid());
    copy_dir(&rig.current(), &foreign);
    let before = tree(&foreign);
    let report = rig.create_in(
        &store,
        &Options {
            keep: 0.into(),
            ..options()
        },
    );
    assert!(
        !report.full,
        "the files of the foreign backup are not used: {report:?}"
    );
    let archives = archives(&store);
    assert_eq!(archives.len(), 1, "only our own snapshots are dropped");
    assert_same(&before, &tree(&archives[0]), "the foreign backup");
    #[cfg(unix)]
    assert_eq!(
        shared_files(&archives[0], &store.current_path(rig.udid())),
        Vec::<String>::new()
    );
}

/// A monitor that takes its time at each phase, so that progress is due at the first file.
#[derive(Default)]
struct Slow(Recorder);

impl Monitor for Slow {
    fn event(&self, event: Event) {
        if matches!(event, Event::Phase { .. }) {
            std::thread::sleep(Duration::from_millis(600));
        }
        self.0.event(event);
    }
}

/// Checks that a full backup expects as many bytes as the previous backup has, and that neither a
/// first backup nor an incremental one expects any number.
#[test]
fn full_backup_expects_the_previous_size() {
    let rig = Rig::new();
    let expected = |full| {
        let slow = Slow::default();
        let options = Options { full, ..options() };
        rig.try_create(&options, &slow).unwrap();
        let events = slow.0.events().into_iter();
        let totals = events.filter_map(|event| match event {
            Event::Progress {
                bytes_total, bytes, ..
            } if bytes > 0 => Some(bytes_total),
            _ => None,
        });
        totals.collect::<Vec<_>>()
    };
    let first = expected(false);
    assert!(
        !first.is_empty() && first.iter().all(Option::is_none),
        "{first:?}"
    );
    let report = fs::read(
        rig.store
            .current(rig.udid())
            .unwrap()
            .unwrap()
            .report()
            .unwrap(),
    );
    let report: serde_json::Value = serde_json::from_slice(&report.unwrap()).unwrap();
    let full = expected(true);
    assert_eq!(full.first(), Some(&report["bytes"].as_u64()), "{full:?}");
    assert!(expected(false).iter().all(Option::is_none));
}

// ---- interrupted connections ----

/// Runs a backup that `fault` cuts short, and checks that the last good backup stays and that the
/// next run succeeds. Returns `None` if the backup ended before the fault occurred, and otherwise
/// true if the phone resumed where it had stopped.
fn cut_and_go_on(rig: &Rig, store: &Store, fault: Fault) -> Option<bool> {
    let current = store.current_path(rig.udid());
    let exists = current.exists();
    let before = exists.then(|| tree(&current));
    let listed = |s: &Store| format!("{:?}", idev_backup::history::list::list(s).unwrap());
    let listed_before = listed(store);
    rig.phone.suffer(std::slice::from_ref(&fault));
    let when = format!("{fault:?}");
    match rig.try_in(store, &options(), &Silent) {
        Ok(report) => {
            // The connection was cut after the phone had finished. The report contains a problem,
            // and the program's own check decided that the backup is good.
            let heard = rig.phone.history().last().unwrap().code.is_some();
            assert_eq!(report.problems.is_empty(), heard, "{when}: {report:?}");
            assert_whole(&current);
            return None;
        }
        Err(e) => {
            assert_eq!(e.kind(), FailureKind::Lost, "{when}: {e}");
            assert!(e.hint().is_some(), "{when}");
        }
    }
    assert_eq!(current.exists(), exists, "{when}");
    if let Some(before) = before {
        assert_same(&before, &tree(&current), &when);
    }
    assert_eq!(listed_before, listed(store), "{when}");
    rig.phone.suffer(&[]);
    let report = rig.create_in(
        store,
        &Options {
            keep: 0.into(),
            ..options()
        },
    );
    let resumed = rig.phone.history().last().unwrap().resumed;
    let taken_over = report.draft.starts_with("continuing");
    assert!(!resumed || taken_over, "{when}: {}", report.draft);
    Some(resumed)
}

/// Checks that an incremental backup that is cut at any message leaves the last good backup as it
/// was, and that the next run can resume.
#[test]
fn incremental_backup_survives_cut_at_message() {
    let rig = Rig::backed_up();
    // Messages 6 to 261 list folders and 263 to 776 make them; then come files, manifests, moves
    // and removals.
    let (mut cut, mut resumed, mut finished) = (0, 0_usize, 0);
    let places = (0..7).chain([150, 262, 400]).chain(775..792);
    for index in places.step_by(cut_every()).chain([792]) {
        match cut_and_go_on(&rig, &rig.store, Fault::CutAt(index)) {
            Some(went_on) => {
                cut += 1;
                resumed += usize::from(went_on);
            }
            None => finished += 1,
        }
    }
    assert!(cut >= 20 / cut_every(), "{cut} were cut");
    assert!(
        resumed >= 8 / cut_every(),
        "{resumed} of {cut} were resumed"
    );
    assert!(finished > 0, "no run was cut after the phone had finished");
}

/// Checks that a first backup that is cut after any byte leaves no backup, and that the next run
/// can resume.
#[test]
fn first_backup_survives_cut_at_byte() {
    let rig = Rig::new();
    let (mut cut, mut resumed) = (0, 0_usize);
    for number in (0..24).step_by(cut_every()) {
        let store = rig.new_store(&format!("store-{number}"));
        let offset = 1 + number * 21_389;
        if let Some(went_on) = cut_and_go_on(&rig, &store, Fault::CutAfter(offset)) {
            cut += 1;
            resumed += usize::from(went_on);
        }
        fs::remove_dir_all(store.root()).unwrap();
    }
    assert!(cut > 15 / cut_every(), "{cut} were cut");
    assert!(
        resumed > 10 / cut_every(),
        "{resumed} of {cut} were resumed"
    );
}

/// Checks that an incremental backup that is cut after any byte leaves the last good backup as it
/// was, and that the next run can resume.
#[test]
fn incremental_backup_survives_cut_at_byte() {
    let rig = Rig::backed_up();
    let (mut cut, mut resumed) = (0, 0_usize);
    // Most of the transfer consists of requests to list and make folders.
    for number in (0..18).step_by(cut_every()) {
        let offset = 161_000 + number * 3_001;
        if let Some(went_on) = cut_and_go_on(&rig, &rig.store, Fault::CutAfter(offset)) {
            cut += 1;
            resumed += usize::from(went_on);
        }
    }
    assert!(cut >= 8 / cut_every(), "{cut} were cut");
    assert!(
        resumed >= 4 / cut_every(),
        "{resumed} of {cut} were resumed"
    );
}

/// Cuts a run after the phone has sent its files and before it sends its manifests.
fn cut_after_the_files(rig: &Rig) {
    rig.phone.suffer(&[Fault::CutAt(779)]);
    rig.try_create(&options(), &Silent).unwrap_err();
    rig.phone.suffer(&[]);
    assert!(snapshot_files(rig).len() > 1);
}

/// Returns the files below the draft's Snapshot/ that are not empty.
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

/// Checks that a run does not rely on a draft that something else has changed since the last run:
/// it drops the changed files, or starts from the current backup.
#[test]
fn changed_draft_is_checked_before_resuming() {
    type Change = fn(&Rig);
    let table: [(&str, Change, &str); 9] = [
        (
            "truncated",
            |rig| {
                let path = &snapshot_files(rig)[0];
                let half = fs::metadata(path).unwrap().len() / 2;
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(half).unwrap();
            },
            "without 1 file that could not be verified",
        ),
        (
            "altered",
            |rig| {
                let path = &snapshot_files(rig)[0];
                let mut bytes = fs::read(path).unwrap();
                bytes[0] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            "without 1 file that could not be verified",
        ),
        (
            "an unknown file below Snapshot",
            |rig| {
                let folder = rig.draft_backup().join("Snapshot").join("ab");
                fs::write(folder.join("ab".repeat(20)), "stranger").unwrap();
            },
            "without 1 file that could not be verified",
        ),
        (
            "missing",
            |rig| fs::remove_file(&snapshot_files(rig)[0]).unwrap(),
            "continuing the interrupted backup",
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
            "a journal of rubbish",
            |rig| {
                for entry in fs::read_dir(rig.draft().join("journal")).unwrap() {
                    fs::write(entry.unwrap().path(), "rubbish\n").unwrap();
                }
            },
            "starting from",
        ),
        (
            "a journal that a power cut left as zeros and invalid UTF-8",
            |rig| {
                for entry in fs::read_dir(rig.draft().join("journal")).unwrap() {
                    fs::write(entry.unwrap().path(), b"\0\0\xff\xfe\n").unwrap();
                }
            },
            "starting from",
        ),
        (
            "a replaced file of the previous backup",
            |rig| {
                let id = rig.phone.files().next().unwrap().file_id();
                let path = rig.draft_backup().join(&id[..2]).join(&id);
                fs::remove_file(&path).unwrap();
                fs::write(&path, "forged").unwrap();
            },
            "starting from",
        ),
        (
            "a damaged draft.json",
            |rig| fs::write(rig.draft().join("draft.json"), "{").unwrap(),
            "starting from",
        ),
    ];
    let rig = Rig::backed_up();
    for (what, change, draft) in table {
        cut_after_the_files(&rig);
        change(&rig);
        let last = tree(&rig.current());
        let report = rig.create_with(&Options {
            keep: 1.into(),
            ..options()
        });
        assert!(report.draft.contains(draft), "{what}: {}", report.draft);
        assert_same(&last, &tree(&archives(&rig.store)[0]), what);
    }
}

// ---- crashes while sealing ----

/// A phone's two backups: the old one, and the new one that was being sealed.
struct Sealing {
    old: Tree,
    new: Tree,
}

/// The last rename that was completed.
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
    /// Prepares a store as a crash after `step` of sealing leaves it.
    fn crashed(rig: &Rig, step: Step) -> Sealing {
        rig.create_with(&Options {
            keep: 0.into(),
            ..options()
        });
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
        // Start from the finished seal and revert its steps, the last one first.
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
        Sealing { old, new }
    }
}

/// Checks that the next run completes a seal that crashed at any step.
#[test]
fn next_run_completes_crashed_seal() {
    let rig = Rig::new();
    for step in [
        Step::Intended,
        Step::BesideRenamed,
        Step::OldRenamedAway,
        Step::BothRenamed,
        Step::Exchanged,
        Step::Archived,
        Step::ThrownAway,
    ] {
        let Sealing { old, new } = Sealing::crashed(&rig, step);
        let when = format!("{step:?}");
        let report = rig.create();
        assert!(
            report.draft.starts_with("starting from"),
            "{when}: {}",
            report.draft
        );
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
fn first_backup_survives_seal_crash() {
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

// ---- faulty phones ----

/// The expected outcome of a fault.
#[derive(Debug)]
enum Comes {
    /// The backup succeeds without problems.
    Done,
    /// The backup succeeds with a problem that contains this text.
    Problem(&'static str),
    /// The backup fails with an error of this class that contains this text.
    Fails(FailureKind, &'static str),
}

/// Runs a backup with each of the phone's faults and checks for the expected outcome. At the end, a
/// backup without faults must succeed.
fn suffer(table: &[(&str, Comes)]) {
    let rig = Rig::backed_up();
    let impatient = Options {
        silence_max: Duration::from_millis(500),
        keep: 0.into(),
        ..options()
    };
    for (spec, comes) in table {
        rig.phone.suffer(&faults(&[spec]));
        let before = rig.untouchable();
        let outside = |t: Tree| -> Tree {
            let outside = t.into_iter();
            outside
                .filter(|(path, _)| !path.starts_with("store/"))
                .collect()
        };
        let result = rig.try_create(&impatient, &Silent);
        let after = rig.untouchable();
        match (comes, result) {
            (Comes::Fails(class, says), Err(e)) => {
                assert_eq!(e.kind(), *class, "{spec}: {e}");
                assert!(e.to_string().contains(says), "{spec}: {e}");
                assert!(e.hint().is_some(), "{spec}: no hint for {e}");
                assert_same(&before, &after, spec);
            }
            (Comes::Done, Ok(report)) => {
                assert_eq!(report.problems, Vec::<String>::new(), "{spec}");
            }
            (Comes::Problem(says), Ok(report)) => {
                assert!(report.problems[0].contains(says), "{spec}: {report:?}");
            }
            (_, result) => panic!("{spec}: expected {comes:?}, got {result:?}"),
        }
        assert_same(&outside(before), &outside(after), spec);
        assert_whole(&rig.current());
    }
    rig.phone.suffer(&[]);
    rig.create();
}

const fn refused(what: &'static str) -> Comes {
    Comes::Fails(FailureKind::Failed, what)
}

/// Checks that file names that no backup needs are refused, and that nothing outside the draft
/// changes.
#[test]
fn invalid_file_names_are_refused() {
    let own = |name: &str| format!("name:{UDID}/{name}");
    let (device, stream, climbs) = (own("nul"), own("a:b"), own("../../../etc/passwd"));
    let (nul, backslash) = (own("a\\0b"), own("..\\..\\x"));
    let mine = own("../store.json");
    suffer(&[
        ("name:../../etc/passwd", refused("leads out of the backup")),
        (
            "name:/etc/passwd",
            refused("outside of this phone's backup"),
        ),
        ("name:C:\\x", refused("backslash")),
        (nul.as_str(), refused("NUL")),
        (backslash.as_str(), refused("backslash")),
        (device.as_str(), refused("device name")),
        (stream.as_str(), refused("Windows cannot hold it")),
        (climbs.as_str(), refused("leads out")),
        (mine.as_str(), refused("leads out")),
        ("name:.idev-backup/store.json", refused("outside")),
    ]);
}

#[test]
fn malformed_messages_are_refused() {
    suffer(&[
        (
            "length:4294967295",
            refused("a name or text of 4294967295 bytes"),
        ),
        (
            "frame-length:4294967295",
            refused("a chunk of 4294967295 bytes"),
        ),
        ("frame-length:0", refused("a chunk of 0 bytes")),
        (
            "message-length:4294967295",
            refused("a message of 4294967295 bytes"),
        ),
        ("message-length:0", refused("not a valid property list")),
        ("deep-plist:5000", refused("nests too deeply")),
        ("laughs", refused("expands")),
        ("disorder", refused("sent invalid data")),
        ("unknown-message:DLMessageDanceTango", Comes::Done),
        ("refuse:com.apple.mobilebackup2", refused("InvalidService")),
    ]);
}

#[test]
fn phone_error_codes_map_to_classes() {
    use Comes::Fails;
    use FailureKind::{Interrupted, Locked, NoSpace, WrongPassword};
    suffer(&[
        ("error:1", refused("could not make the backup")),
        ("error:3", refused("an earlier run still exists")),
        ("error:13", Fails(Locked, "locked")),
        ("error:25", refused("restored from iCloud")),
        ("error:100", refused("input/output")),
        ("error:105", Fails(NoSpace, "not enough disk space")),
        ("error:106", Fails(NoSpace, "the phone itself")),
        ("error:202", Fails(Interrupted, "cancelled on the phone")),
        ("error:205", refused("damaged")),
        ("error:207", Fails(WrongPassword, "password")),
        ("error:208", Fails(Locked, "passcode")),
        ("error:212", refused("set up")),
        ("error:4711", refused("4711")),
    ]);
}

#[test]
fn incomplete_backup_is_never_sealed() {
    use Comes::{Done, Fails};
    suffer(&[
        ("device-error:5", refused("could not read its file")),
        ("file-provider", Done),
        ("missing-file", refused("the check of the files")),
        ("bad-manifest", refused("Manifest.db")),
        (
            "claim-size:900000000000000000",
            Fails(FailureKind::NoSpace, "needs 900.0 PB"),
        ),
    ]);
}

#[test]
fn silent_phone_times_out() {
    use Comes::{Fails, Problem};
    use FailureKind::Lost;
    suffer(&[
        ("no-final-response", Problem("before the phone confirmed")),
        ("stall-at:0", Fails(Lost, "opened the backup service")),
        ("stall-at:5", Fails(Lost, "sent nothing for")),
        ("stall-at:779", Fails(Lost, "sent nothing for")),
        ("stall-after:200000", Fails(Lost, "sent nothing for")),
    ]);
}

#[test]
fn failed_first_backup_is_not_listed() {
    let rig = Rig::new();
    for spec in ["missing-file", "bad-manifest", "error:1", "device-error:3"] {
        rig.phone.suffer(&faults(&[spec]));
        fails(&rig, &options());
        assert!(rig.listed().is_empty(), "{spec}");
    }
    rig.phone.suffer(&[]);
    rig.create();
}

/// Checks that the error for a full disk names the size that the phone asks for, the store and its
/// free space.
#[test]
fn no_space_error_names_required_size() {
    let rig = Rig::backed_up();
    rig.phone
        .suffer(&faults(&["claim-size:900000000000000000"]));
    let error = fails(&rig, &options());
    let text = error.to_string();
    let place = rig.store.root().display().to_string();
    assert!(text.contains("the backup needs 900.0 PB"), "{text}");
    assert!(text.contains(&place) && text.contains(" free"), "{text}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("exceeds its own capacity"), "{hint}");
}

#[test]
fn file_unreadable_on_phone_is_named() {
    let rig = Rig::backed_up();
    rig.phone.suffer(&faults(&["device-error:4"]));
    let recorder = Recorder::default();
    let error = fails_with(&rig, &options(), &recorder);
    assert!(error.to_string().contains("/var/mobile/"), "{error}");
    assert!(error.to_string().contains("Input/output error"), "{error}");
    let problem = |e: &Event| matches!(e, Event::Problem { problem } if problem.to_string().contains("/var/"));
    assert!(recorder.events().iter().any(problem));
}

// ---- the owner ----

#[test]
fn passcode_wait_is_announced() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    // Enters the passcode as soon as the phone asks for it.
    struct Owner(Arc<Phone>, Recorder);
    impl Monitor for Owner {
        fn event(&self, event: Event) {
            if matches!(&event, Event::Waiting { what: Wait::Passcode, limit_seconds } if *limit_seconds > 0)
            {
                self.0.enter_passcode();
            }
            self.1.event(event);
        }
    }
    let owner = Owner(rig.phone.clone(), Recorder::default());
    rig.try_create(&options(), &owner).unwrap();
    let waits = |e: &Event| {
        matches!(
            e,
            Event::WaitOver {
                what: Wait::Passcode
            }
        )
    };
    assert!(owner.1.events().iter().any(waits));
    assert_whole(&rig.current());
}

#[test]
fn blocked_phone_errors_name_the_cause() {
    let table: [(&str, PhoneConfig, FailureKind, &str); 6] = [
        (
            "the passcode is never entered",
            PhoneConfig {
                passcode: Passcode::Never,
                passcode_limit: Duration::from_millis(50),
                ..config()
            },
            FailureKind::Locked,
            "passcode was not entered",
        ),
        (
            "the owner taps Don't Trust",
            PhoneConfig {
                trust: Trust::Deny,
                ..config()
            },
            FailureKind::Locked,
            "Don't Trust",
        ),
        (
            "the owner does nothing",
            PhoneConfig {
                trust: Trust::Never,
                ..config()
            },
            FailureKind::Locked,
            "Trust was not tapped",
        ),
        (
            "it is locked and not paired",
            PhoneConfig {
                locked: true,
                ..config()
            },
            FailureKind::Locked,
            "",
        ),
        (
            "it is restored from iCloud",
            PhoneConfig {
                icloud_restore: true,
                ..config()
            },
            FailureKind::Failed,
            "restored from iCloud",
        ),
        (
            "it speaks no DeviceLink that we know",
            PhoneConfig {
                device_link: 100,
                ..config()
            },
            FailureKind::Failed,
            "",
        ),
    ];
    for (what, config, class, says) in table {
        let rig = Rig::with(config);
        let impatient = Options {
            trust_wait: Duration::from_millis(400),
            ..options()
        };
        match rig.try_create(&impatient, &Silent) {
            Ok(_) => assert_eq!(what, "it speaks no DeviceLink that we know"),
            Err(e) => {
                assert_eq!(e.kind(), class, "{what}: {e}");
                assert!(e.to_string().contains(says), "{what}: {e}");
                assert!(e.hint().is_some(), "{what}: {e}");
                assert!(rig.listed().is_empty(), "{what}");
            }
        }
    }
}

/// Checks backups of phones with another DeviceLink version, an older iOS, or a low battery and a
/// late tap on Trust.
#[test]
fn phone_variants_are_backed_up() {
    for config in [
        PhoneConfig {
            device_link: 300,
            ..config()
        },
        PhoneConfig {
            ios: "17.5.1".into(),
            ..config()
        },
        PhoneConfig {
            trust: Trust::After(Duration::from_millis(50)),
            battery: 5,
            ..config()
        },
    ] {
        let rig = Rig::with(config);
        assert_eq!(rig.create().problems, Vec::<String>::new());
        rig.create();
    }
}

/// Checks that a paired phone is backed up while it is locked, and that a note says so.
#[test]
fn locked_paired_phone_is_backed_up() {
    let rig = Rig::backed_up();
    rig.phone.lock_screen(true);
    let recorder = Recorder::default();
    rig.try_create(&options(), &recorder).unwrap();
    assert_whole(&rig.current());
    let notes = recorder.notes().join("\n");
    assert!(notes.contains("locked"), "{notes}");
}

#[test]
fn plan_event_states_encryption() {
    for will_encrypt in [false, true] {
        let rig = Rig::with(PhoneConfig {
            backup_password: will_encrypt.then(|| Password::new("correct horse")),
            ..config()
        });
        let recorder = Recorder::default();
        rig.try_create(&options(), &recorder).unwrap();
        let plan = |e: &Event| matches!(e, Event::Plan { encrypted, full: true, .. } if *encrypted == will_encrypt);
        assert!(recorder.events().iter().any(plan), "{will_encrypt}");
    }
}

/// Checks that a run can be cancelled in each phase that waits for the phone, and then changes no
/// backup.
#[test]
fn cancelled_run_ends_as_interrupted() {
    let rig = Rig::backed_up();
    for phase in [
        Phase::Cloning,
        Phase::Describing,
        Phase::Scanning,
        Phase::Receiving,
        Phase::Arranging,
        Phase::PhoneChecking,
    ] {
        let before = rig.untouchable();
        let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
        let connector = rig.connector_with(token.clone());
        let monitor = At(phase, || token.cancel());
        let error = create::create(
            &connector,
            &rig.attached(),
            &rig.store,
            &options(),
            &monitor,
        );
        let error = error.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Interrupted, "{phase:?}: {error}");
        assert_same(&before, &rig.untouchable(), &format!("{phase:?}"));
        rig.create_with(&Options {
            keep: 0.into(),
            ..options()
        });
    }
}

// ---- concurrent runs ----

/// Checks that a second run on the same phone fails because the first one holds the lock.
#[test]
fn second_run_reports_busy() {
    let rig = Rig::backed_up();
    let second: Mutex<Option<Error>> = Mutex::new(None);
    let monitor = At(Phase::Receiving, || {
        *second.lock().unwrap() = rig.try_create(&options(), &Silent).err();
    });
    rig.try_create(&options(), &monitor).unwrap();
    let error = second.into_inner().unwrap().unwrap();
    assert!(
        matches!(error, Error::Store(store::Error::Busy { .. })),
        "{error}"
    );
    assert!(error.hint().is_some());
    assert_whole(&rig.current());
}

#[test]
fn two_phones_share_one_store() {
    let rig = Rig::new();
    let other = Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        content: idev_backup::simulator::Content { seed: 7, ..small() },
        ..config()
    });
    rig.daemon.attach(other.clone());
    let connector = rig.connector();
    let phones = connector.phones().unwrap();
    assert_eq!(phones.len(), 2);
    for _ in 0..2 {
        std::thread::scope(|scope| {
            for phone in &phones {
                let (connector, rig) = (&connector, &rig);
                scope.spawn(move || {
                    create::create(connector, phone, &rig.store, &options(), &Silent).unwrap()
                });
            }
        });
    }
    rig.assert_holds_the_phone(&rig.current());
    for snapshot in rig.store.snapshots().unwrap() {
        assert_whole(snapshot.path());
    }
    assert_eq!(rig.store.snapshots().unwrap().len(), 4);
    let files = fs::read_dir(rig.store.current_path(other.udid())).unwrap();
    assert!(files.count() > 4);
}

// ---- pair records ----

/// Stores these bytes in the daemon as the phone's pair record.
fn save_record(rig: &Rig, bytes: Vec<u8>) {
    let connector = rig.connector();
    let saved = connector
        .daemon
        .daemon()
        .unwrap()
        .save_pair_record(&rig.attached(), &Secret::new(bytes));
    saved.unwrap();
}

fn record_of(rig: &Rig) -> plist::Dictionary {
    let record = rig
        .connector()
        .daemon
        .daemon()
        .unwrap()
        .pair_record(rig.udid())
        .unwrap()
        .unwrap();
    let value = plist::from_bytes::<plist::Value>(record.expose()).unwrap();
    value.into_dictionary().unwrap()
}

fn pair_again(rig: &Rig) {
    let (connector, phone) = (rig.connector(), rig.attached());
    trust::unpair(&connector, &phone).unwrap();
    let paired = trust::pair(&connector, &phone, Duration::from_secs(10), &Silent);
    assert_eq!(paired.unwrap(), trust::Outcome::Paired);
    rig.create();
}

/// Checks that a damaged pair record is reported, and that pairing again repairs it.
#[test]
fn damaged_pair_record_is_reported() {
    let rig = Rig::backed_up();
    let mut cut = record_of(&rig);
    cut.remove("HostPrivateKey");
    let mut without_key = Vec::new();
    plist::Value::Dictionary(cut)
        .to_writer_xml(&mut without_key)
        .unwrap();
    for bytes in [b"rubbish".to_vec(), Vec::new(), without_key] {
        save_record(&rig, bytes);
        let error = fails(&rig, &options());
        let is_it = matches!(error, Error::Device(device::Error::BadRecord { .. }));
        assert!(is_it, "{error}");
        pair_again(&rig);
    }
}

/// Checks that a phone whose key differs from the one in its pair record is refused until the user
/// pairs it again or accepts any certificate.
#[test]
fn mismatched_device_key_is_refused() {
    let rig = Rig::backed_up();
    let other = Rig::with(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        ..config()
    });
    let connector = other.connector();
    trust::pair(
        &connector,
        &other.attached(),
        Duration::from_secs(10),
        &Silent,
    )
    .unwrap();
    let mut record = record_of(&rig);
    let certificate = record_of(&other).get("DeviceCertificate").unwrap().clone();
    record.insert("DeviceCertificate".into(), certificate);
    let mut bytes = Vec::new();
    plist::Value::Dictionary(record)
        .to_writer_xml(&mut bytes)
        .unwrap();
    save_record(&rig, bytes);

    let error = fails(&rig, &options());
    assert!(
        matches!(error, Error::Device(device::Error::OtherKey)),
        "{error}"
    );
    let mut anyone = rig.connector();
    anyone.pin = Pin::Anyone;
    create::create(&anyone, &rig.attached(), &rig.store, &options(), &Silent).unwrap();
    pair_again(&rig);
}

#[test]
fn forgotten_pairing_is_renewed() {
    let rig = Rig::backed_up();
    rig.daemon.detach(rig.udid());
    let erased = Phone::new(config());
    rig.daemon.attach(erased.clone());
    let recorder = Recorder::default();
    rig.try_create(&options(), &recorder).unwrap();
    assert_whole(&rig.current());
    // The erased phone does not know the manifest of our backup, so it sends everything.
    assert!(erased.history()[0].full);

    let denies = Phone::new(PhoneConfig {
        trust: Trust::Deny,
        ..config()
    });
    rig.daemon.detach(rig.udid());
    rig.daemon.attach(denies);
    assert_eq!(fails(&rig, &options()).kind(), FailureKind::Locked);
}

#[test]
fn unplugged_phone_reports_lost_connection() {
    let rig = Rig::backed_up();
    let before = rig.untouchable();
    let pull = At(Phase::Receiving, || rig.daemon.detach(rig.udid()));
    let error = fails_with(&rig, &options(), &pull);
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert_same(&before, &rig.untouchable(), "unplugged");
    rig.daemon.attach(rig.phone.clone());
    rig.create();
}

// ---- the disk ----

#[test]
fn unusable_store_folders_are_refused() {
    let rig = Rig::backed_up();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let below = file.join("below");
    let marked = |name: &str, text: &str| {
        let root = dir.path().join(name);
        fs::create_dir_all(root.join(".idev-backup")).unwrap();
        fs::write(root.join(".idev-backup/store.json"), text).unwrap();
        root
    };
    let newer = marked("newer", "{\"format\": 3}");
    let older = marked("older", "{\"format\": 1}");
    let damaged = marked("damaged", "{\"form");
    let empty = marked("empty", "");
    let current = rig.current();
    let table: [(&Path, &str); 7] = [
        (&file, "it is no folder"),
        (&below, ""),
        (&current, "it is a backup itself"),
        (&newer, "format 3, made by a newer idev-backup"),
        (&older, "format 1, made by an older idev-backup"),
        (&damaged, "store.json is damaged"),
        (&empty, "store.json is damaged"),
    ];
    for (path, says) in table {
        let before = path.is_dir().then(|| tree(path));
        let error = Error::Store(Store::create(path).unwrap_err());
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.hint().is_some(), "{error}");
        assert_eq!(error.kind(), FailureKind::Failed, "{error}");
        assert_eq!(before, path.is_dir().then(|| tree(path)), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn unwritable_store_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let locked = rig.dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(locked.join("probe"), "x").is_ok() {
        eprintln!("skipped: this user (root?) may write everywhere");
        return;
    }
    let error = Error::Store(Store::create(&locked).unwrap_err());
    assert!(error.hint().unwrap().contains("--store"), "{error}");
}

/// A small tmpfs, on machines where the test may mount one.
#[cfg(target_os = "linux")]
struct Disk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Disk {
    fn mount(options: &str) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Disk(dir)),
            other => {
                eprintln!("skipped: no small disk can be mounted here: {other:?}");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let done = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0.path())
            .status();
        assert!(done.unwrap().success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn read_only_disk_is_reported() {
    let Some(disk) = Disk::mount("size=8m") else {
        return;
    };
    let rig = Rig::new();
    let store = Store::create(disk.0.path()).unwrap();
    disk.remount("ro");
    let error = rig.try_in(&store, &options(), &Silent).unwrap_err();
    assert!(error.hint().unwrap().contains("read-only"), "{error}");
    assert_eq!(error.kind(), FailureKind::Failed);
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_fails_before_transfer() {
    let Some(disk) = Disk::mount("size=16m") else {
        return;
    };
    let rig = Rig::new();
    let store = Store::create(disk.0.path()).unwrap();
    let error = rig.try_in(&store, &options(), &Silent).unwrap_err();
    assert_eq!(error.kind(), FailureKind::NoSpace, "{error}");
    assert!(error.to_string().contains("the backup needs 13"), "{error}");
    assert_eq!(rig.phone.history()[0].files, 0);
}

/// Checks that the last good backup stays as it was if the disk becomes full in any phase.
#[cfg(target_os = "linux")]
#[test]
fn disk_filling_up_keeps_last_backup() {
    use std::io::Write;
    // The phone requires 134 MB of free space before it sends anything.
    let Some(disk) = Disk::mount("size=150m") else {
        return;
    };
    let rig = Rig::new();
    let store = Store::create(disk.0.path()).unwrap();
    let current = store.current_path(rig.udid());
    rig.create_in(&store, &options());
    let filler = disk.0.path().join("filler");
    for phase in [
        Phase::Cloning,
        Phase::Describing,
        Phase::Receiving,
        Phase::Checking,
        Phase::Sealing,
    ] {
        let before = tree(&current);
        let fill = At(phase, || {
            let mut file = fs::File::create(&filler).unwrap();
            for size in [1 << 20, 4096, 1] {
                let block = vec![7; size];
                while file.write_all(&block).is_ok() {}
            }
        });
        let result = rig.try_in(
            &store,
            &Options {
                keep: 0.into(),
                ..options()
            },
            &fill,
        );
        fs::remove_file(&filler).unwrap();
        match result {
            Err(error) => {
                assert_eq!(error.kind(), FailureKind::NoSpace, "{phase:?}: {error}");
                assert!(error.hint().is_some(), "{phase:?}: {error}");
                assert_same(&before, &tree(&current), &format!("{phase:?}"));
            }
            // Sealing mostly renames files, which needs no space.
            Ok(_) => assert_eq!(phase, Phase::Sealing),
        }
        assert_whole(&current);
        rig.create_in(
            &store,
            &Options {
                keep: 0.into(),
                ..options()
            },
        );
    }
}

/// Checks that the default options keep three snapshots and list the installed applications.
#[test]
fn default_options_keep_three_snapshots() {
    let options = Options::default();
    assert!(!options.full && options.apps && !options.read_again);
    assert_eq!(options.keep.to_string(), "keep-last 3");
    let rig = Rig::new();
    let report: Report = rig.create_with(&Options {
        read_again: true,
        ..options
    });
    assert!(report.seconds.total > 0.0);
    let info = plist::from_file::<_, plist::Dictionary>(rig.current().join("Info.plist")).unwrap();
    assert!(info.get("Installed Applications").is_some());
    let checked = verify::verify(&rig.current(), &read_all(), &Silent).unwrap();
    assert_eq!((checked.files, checked.bytes), (report.files, report.bytes));
}

#[test]
fn stopped_daemon_reports_no_device() {
    let rig = Rig::new();
    let (connector, attached) = (rig.connector(), rig.attached());
    let Rig {
        dir, store, daemon, ..
    } = rig;
    drop::<Daemon>(daemon);
    let error = create::create(&connector, &attached, &store, &options(), &Silent).unwrap_err();
    assert_eq!(error.kind(), FailureKind::NoDevice, "{error}");
    assert!(error.hint().is_some());
    drop(dir);
}
