//! Another program writes in the store while a backup is made: in the draft, in the last good
//! backup, or in our own folder. A backup that is reported as done verifies to the last byte,
//! nothing panics, and our program changes nothing in the last good backup that the other one left.
//!
//! The other program stops when our check begins, because later changes cannot be detected.
//! `IDEV_BACKUP_STRANGERS` is the number of backups to disturb in each place; the default is 6.

// On other systems an open file cannot be replaced or removed, so the other program could only make
// the backup fail.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::advice::Advice as _;
use crate::rig::{At, Random, Rig, Tree, UDID, copy_dir, holds, options, read_all, tree};
use idev_backup::backup::create::Options;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::{Phase, Silent};
use idev_backup::history::list;
use idev_backup::store::Store;
use idev_backup::verify::{self, Outcome};

/// Changes a random file or folder below `folder`. The path may disappear at any moment, so errors
/// are ignored.
///
/// Bytes are changed in place only in the last backup. Elsewhere the change could also reach the
/// lists of hashes, and a change to both a file and its hash cannot be detected.
fn meddle(folder: &Path, random: &mut Random) {
    let Some(path) = somewhere(folder, random) else {
        return;
    };
    let beside = path.with_extension("stranger");
    let open = || fs::OpenOptions::new().write(true).open(&path);
    let append = || fs::OpenOptions::new().append(true).open(&path);
    let in_place = folder.ends_with(UDID);
    let done = match random.below(8) {
        0 => fs::remove_file(&path),
        1 => append().and_then(|mut file| file.write_all(b"appended")),
        2 => open().and_then(|file| file.set_len(file.metadata()?.len() / 2)),
        3 if in_place => open().and_then(|mut file| file.write_all(b"in place")),
        4 => fs::write(&beside, "another").and_then(|()| fs::rename(&beside, &path)),
        5 => fs::write(&beside, "new"),
        6 => fs::create_dir(&beside),
        _ => fs::rename(&path, &beside),
    };
    drop(done);
}

/// Returns a random path below a folder.
fn somewhere(folder: &Path, random: &mut Random) -> Option<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder).ok()?.flatten().collect();
    names.sort_unstable_by_key(|entry| entry.file_name());
    while !names.is_empty() {
        let path = names.swap_remove(random.below(names.len())).path();
        let found = if path.is_dir() {
            somewhere(&path, random)
        } else {
            Some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Runs a backup while another thread meddles with `folder`, and checks the result. Returns true if
/// the backup was completed.
///
/// If the draft and the last backup share files, a change in place in the draft also changes the
/// last backup. Our program must not: the last backup stays as it was when the thread stopped.
fn disturbed(rig: &Rig, store: &Store, folder: &Path, seed: u64, when: &str) -> bool {
    let current = store.current_path(rig.udid());
    let mark_path = store.root().join(".idev-backup/store.json");
    let mark = fs::read(&mark_path).unwrap();
    let goes_on = Mutex::new(true);
    let left: OnceLock<Tree> = OnceLock::new();
    let halt = || {
        *goes_on.lock().unwrap() = false;
        left.get_or_init(|| tree(&current));
    };
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(seed);
            let pause = Duration::from_micros(100 << random.below(10));
            loop {
                std::thread::sleep(pause);
                let goes_on = goes_on.lock().unwrap();
                if !*goes_on {
                    break;
                }
                meddle(folder, &mut random);
            }
        });
        let result = rig.try_in(store, &thorough(), &At(Phase::Checking, halt));
        halt();
        result
    });
    if let Err(e) = &result {
        assert_eq!(e.kind(), FailureKind::Failed, "{when}: {e}");
        assert!(e.hint().is_some(), "{when}: no hint for {e}");
        assert!(!e.to_string().contains("died"), "{when}: {e}");
    } else {
        // The thread may also have damaged the mark of the store, after `create` had read it. That
        // says nothing about the backup, and `verify` refuses the store by name.
        match verify::verify(&current, &read_all(), &Silent) {
            Err(e) if fs::read(&mark_path).ok().as_ref() != Some(&mark) => {
                assert!(e.to_string().contains("store.json"), "{when}: {e}");
                fs::write(&mark_path, &mark).unwrap();
            }
            report => drop(report.unwrap()),
        }
        let report = verify::verify(&current, &read_all(), &Silent).unwrap();
        match report.outcome {
            Outcome::Whole => rig.assert_holds_the_phone(&current),
            // There may be extra files, and files that grew: phones are known to list those with
            // their earlier size.
            Outcome::WholeWithRemarks => {}
            Outcome::NoDamageFound | Outcome::Unchecked | Outcome::Damaged => {
                panic!("{when}: {:#?}", report.findings)
            }
        }
    }
    assert!(
        holds(store.root(), left.get().unwrap()),
        "{when}: the last backup was touched"
    );
    result.is_ok()
}

/// Returns options that read every file again, which is the only way to find a change in place that
/// keeps the file's size.
fn thorough() -> Options {
    Options {
        read_again: true,
        ..options()
    }
}

/// Disturbs backups in the folder `folder` of the store.
fn disturb(place: &str, folder: &str) {
    let rounds: u64 = match std::env::var("IDEV_BACKUP_STRANGERS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 6,
    };
    let mut rig = Rig::backed_up();
    let phone = rig.phone.twin();
    let prepared = rig.store.root().to_path_buf();
    let mut done = 0;
    for round in 0..rounds {
        let when = format!("{place}, round {round}");
        let store = rig.new_store(&format!("store-{round}"));
        copy_dir(&prepared, store.root());
        rig.connect(phone.twin());
        let current = store.current_path(rig.udid());
        let is_done = disturbed(&rig, &store, &store.root().join(folder), round, &when);
        done += u32::from(is_done);

        // Repair the store as a user would, following the hints.
        let mark = store.root().join(".idev-backup/store.json");
        if Store::open(store.root()).is_err() {
            fs::remove_file(mark).unwrap();
        }
        let store = Store::create(store.root()).unwrap();
        for backup in list::list(&store).unwrap() {
            drop(verify::verify(backup.path.as_ref(), &read_all(), &Silent));
        }
        let full = Options {
            full: true,
            ..options()
        };
        if let Err(e) = rig.try_in(&store, &thorough(), &Silent) {
            assert!(e.hint().is_some(), "{when}: no hint for {e}");
        }
        let full = rig.try_in(&store, &full, &Silent);
        full.unwrap_or_else(|e| panic!("{when}: a full backup: {e}"));
        rig.assert_holds_the_phone(&current);
        fs::remove_dir_all(store.root()).unwrap();
    }
    eprintln!(
        "{place}: {rounds} backups disturbed; {done} completed and whole, the others failed with an error; no backup was lost"
    );
}

/// Checks that no damaged backup is sealed when another program writes in the draft.
#[test]
fn draft_interference_seals_no_damage() {
    disturb("in the draft", &format!(".idev-backup/{UDID}/draft"));
}

/// Checks that no damaged backup is sealed when another program writes in the last good backup.
#[test]
fn backup_interference_seals_no_damage() {
    disturb("in the last backup", UDID);
}

/// Checks that no damaged backup is sealed when another program writes in our own folder.
#[test]
fn own_folder_interference_seals_no_damage() {
    disturb("in our own folder", ".idev-backup");
}
