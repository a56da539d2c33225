//! Damage to a backup: what `verify` finds of it, and what it calls it.

#![allow(clippy::unwrap_used)] // A test stops at what is unexpected.
#![allow(clippy::print_stderr)] // One that cannot run on this machine says so.

mod rig;

use std::fs;
use std::path::{Path, PathBuf};

use idev_backup::jobs::verify::{self, Options, Outcome, Report, Wrong};
use idev_backup::manifest::plists::Status;
use idev_backup::monitor::Silent;
use idev_backup::store::Store;
use rig::*;

fn check(folder: &Path, read_all: bool) -> Report {
    let options = Options {
        sums: None,
        fresh_hashes: false,
        read_all,
    };
    verify::verify(folder, &options, &Silent).unwrap()
}

/// The backup's folder of a store like the rig's.
fn copied(rig: &Rig, name: &str) -> PathBuf {
    let root = rig.dir.path().join(name);
    copy_dir(rig.store.root(), &root);
    Store::open(&root).unwrap().current_path(rig.udid())
}

/// A file of the phone, as `xx/<file id>`: of the smallest that is at least so large.
fn place(rig: &Rig, least: u64) -> String {
    let files = rig.phone.files().filter(|f| f.size() >= least);
    let id = files.min_by_key(|f| f.size()).unwrap().file_id();
    format!("{}/{id}", &id[..2])
}

fn cut(path: &Path, length: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn sql(folder: &Path, statement: &str) {
    let database = rusqlite::Connection::open(folder.join("Manifest.db")).unwrap();
    assert!(database.execute(statement, []).unwrap() > 0, "{statement}");
}

fn set_state(folder: &Path, state: &str) {
    let path = folder.join("Status.plist");
    let mut status: plist::Dictionary = plist::from_file(&path).unwrap();
    status.insert("SnapshotState".into(), state.into());
    plist::Value::Dictionary(status)
        .to_file_binary(&path)
        .unwrap();
}

/// How a copy of the backup is damaged.
type Damage = Box<dyn Fn(&Path)>;

#[test]
fn a_good_backup_is_whole_with_and_without_its_list_of_hashes() {
    let rig = Rig::backed_up();
    let report = check(&rig.current(), true);
    assert_eq!(report.outcome, Outcome::Whole, "{:?}", report.findings);
    assert_eq!((report.hashed, report.has_sums), (report.files, true));
    assert_eq!(report.listed, Some(report.files - 4));
    let quick = check(&rig.current(), false);
    assert_eq!((quick.outcome, quick.hashed), (Outcome::Whole, 0));
    // Anywhere else there is only the phone's list.
    let alone = rig.dir.path().join("elsewhere");
    copy_dir(&rig.current(), &alone);
    let report = check(&alone, true);
    assert_eq!(report.outcome, Outcome::Whole, "{:?}", report.findings);
    assert!(!report.has_sums);
}

#[test]
fn every_damage_is_found_and_called_what_it_is() {
    let rig = Rig::backed_up();
    let large = place(&rig, 90_000);
    let medium = place(&rig, 40_000);
    let first = {
        let mut all: Vec<_> = rig.phone.files().map(|f| f.file_id()).collect();
        all.sort();
        format!("{}/{}", &all[0][..2], all[0])
    };
    let at = |path: &String, damage: fn(&Path)| -> Damage {
        let path = path.clone();
        Box::new(move |folder| damage(&folder.join(&path)))
    };
    let top = |name: &'static str, damage: fn(&Path)| -> Damage {
        Box::new(move |folder| damage(&folder.join(name)))
    };
    let swap: Damage = {
        let (one, other) = (large.clone(), medium.clone());
        Box::new(move |folder| {
            let (one, other) = (folder.join(&one), folder.join(&other));
            let between = folder.join("between");
            fs::rename(&one, &between).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(&between, &other).unwrap();
        })
    };
    let rename_row: Damage = {
        let id = medium[3..].to_owned();
        Box::new(move |folder| {
            let rows = format!("UPDATE Files SET relativePath = 'x' WHERE fileID = '{id}'");
            sql(folder, &rows);
        })
    };
    let stranger: Damage = Box::new(|folder| {
        sql(
            folder,
            "UPDATE Files SET fileID = '../../../etc/passwd' WHERE flags = 1 AND fileID IN (SELECT fileID FROM Files WHERE flags = 1 LIMIT 1)",
        );
    });
    let extra: Damage = Box::new(|folder| {
        let name = "00".repeat(20);
        fs::create_dir_all(folder.join("00")).unwrap();
        fs::write(folder.join("00").join(name), "x").unwrap();
    });
    let snapshot: Damage = Box::new(|folder| {
        fs::create_dir_all(folder.join("Snapshot/ab")).unwrap();
        fs::write(folder.join("Snapshot/ab").join("ab".repeat(20)), "x").unwrap();
    });
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let empty = |path: &Path| cut(path, 0);

    // What is done, which file the finding names ("" for any), what it is called with hashes, and what it is called in
    // a folder without them (none: it cannot be known there).
    use Wrong::{Altered, Extra, Misnamed, Missing, Truncated, Unfinished, Unreadable};
    type Case<'a> = (&'a str, Damage, &'a str, Wrong, Option<Wrong>);
    let table: Vec<Case> = vec![
        (
            "truncated",
            at(&large, |p| cut(p, 50_000)),
            &large,
            Truncated,
            Some(Truncated),
        ),
        (
            "emptied",
            at(&large, |p| cut(p, 0)),
            &large,
            Altered,
            Some(Truncated),
        ),
        (
            "one bit",
            at(&large, |p| flip(p, 77_777)),
            &large,
            Altered,
            None,
        ),
        (
            "first bit of the first file",
            at(&first, |p| flip(p, 0)),
            &first,
            Altered,
            None,
        ),
        (
            "missing",
            at(&large, remove),
            &large,
            Missing,
            Some(Missing),
        ),
        (
            "the first missing",
            at(&first, remove),
            &first,
            Missing,
            Some(Missing),
        ),
        ("extra", extra, "", Extra, Some(Extra)),
        ("swapped", swap, &large, Truncated, Some(Truncated)),
        (
            "Manifest.db cut",
            top("Manifest.db", |p| cut(p, 5000)),
            "Manifest.db",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "Manifest.db cut in its head",
            top("Manifest.db", |p| cut(p, 10)),
            "Manifest.db",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "Manifest.db garbage",
            top("Manifest.db", |p| fs::write(p, [0x5a; 9000]).unwrap()),
            "Manifest.db",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "Manifest.db missing",
            top("Manifest.db", remove),
            "Manifest.db",
            Missing,
            Some(Unreadable),
        ),
        (
            "Manifest.plist empty",
            top("Manifest.plist", empty),
            "Manifest.plist",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "Manifest.plist missing",
            top("Manifest.plist", remove),
            "Manifest.plist",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "Info.plist empty",
            top("Info.plist", empty),
            "Info.plist",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "Status.plist empty",
            top("Status.plist", empty),
            "Status.plist",
            Unreadable,
            Some(Unreadable),
        ),
        (
            "not finished",
            Box::new(|f| set_state(f, "uploading")),
            "Status.plist",
            Unfinished,
            Some(Unfinished),
        ),
        (
            "a file left in Snapshot",
            snapshot,
            "",
            Unfinished,
            Some(Unfinished),
        ),
        (
            "a row with another's name",
            rename_row,
            &medium,
            Misnamed,
            Some(Misnamed),
        ),
        (
            "a row that is no file id",
            stranger,
            "",
            Misnamed,
            Some(Misnamed),
        ),
    ];
    for (number, (what, damage, file, with_sums, without)) in table.iter().enumerate() {
        let folder = copied(&rig, &format!("copy-{number}"));
        damage(&folder);
        let alone = rig.dir.path().join(format!("alone-{number}"));
        copy_dir(&folder, &alone);
        // A backup with another Status.plist than ours is no longer ours: the list is named, then.
        let sums = rig.store.current(rig.udid()).unwrap().unwrap().sums();
        let options = Options {
            sums,
            fresh_hashes: false,
            read_all: true,
        };
        let checked = [
            (
                verify::verify(&folder, &options, &Silent).unwrap(),
                Some(with_sums),
            ),
            (check(&alone, true), without.as_ref()),
        ];
        for (report, wrong) in checked {
            let Some(wrong) = wrong else {
                assert_eq!(
                    report.outcome,
                    Outcome::Whole,
                    "{what}: {:?}",
                    report.findings
                );
                continue;
            };
            let is_it = |f: &&verify::Finding| f.wrong == *wrong && f.file.contains(file);
            assert!(
                report.findings.iter().any(|f| is_it(&f)),
                "{what}: {wrong:?} is not among {:#?}",
                report.findings
            );
            let outcome = if wrong.is_damage() {
                Outcome::Damaged
            } else {
                Outcome::WholeWithRemarks
            };
            assert_eq!(report.outcome, outcome, "{what}: {:?}", report.findings);
            let counted = report
                .findings
                .iter()
                .filter(|f| f.wrong.is_damage())
                .count();
            assert_eq!(report.damage, counted as u64, "{what}");
            assert_eq!(report.first_damage().is_empty(), counted == 0, "{what}");
        }
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
        fs::remove_dir_all(alone).unwrap();
    }
}

#[test]
fn a_damaged_file_is_named_by_its_name_on_the_phone() {
    let rig = Rig::backed_up();
    let folder = copied(&rig, "copy");
    let file = rig.phone.files().find(|f| f.size() > 80_000).unwrap();
    fs::remove_file(folder.join(&file.file_id()[..2]).join(file.file_id())).unwrap();
    let report = check(&folder, false);
    assert_eq!((report.damage, report.findings.len()), (1, 1));
    let finding = &report.findings[0];
    assert_eq!(finding.domain.as_ref(), Some(&file.domain));
    assert_eq!(finding.relative_path.as_ref(), Some(&file.path));
}

#[test]
fn what_is_no_backup_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("absent")] {
        let error = verify::verify(&path, &Options::default(), &Silent).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_check_writes_nothing() {
    let rig = Rig::backed_up();
    let before = tree(rig.dir.path());
    check(&rig.current(), true);
    assert_same(&before, &tree(rig.dir.path()), "after the check");
}

/// Three backups that somebody else's program made: the folder "shared" lies beside the project, where it is present.
#[test]
fn backups_of_another_generator_are_judged_by_what_they_hold() {
    let shared = std::env::var_os("IDEV_BACKUP_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let generated = shared.join("data/pmeenan-golemine/e2e/fixtures/generated");
    if !generated.is_dir() {
        eprintln!("skipped: there is no folder {}", generated.display());
        return;
    }
    for (name, outcome, encrypted) in [
        ("ios-mini-backup", Outcome::Whole, false),
        ("ios-malformed-backup", Outcome::Whole, false),
        ("ios-mini-encrypted-backup", Outcome::WholeWithRemarks, true),
    ] {
        let store = Store::open(&generated.join(name)).unwrap();
        let backups = store.snapshots().unwrap();
        assert_eq!(backups.len(), 1, "{name}");
        let report = check(backups[0].path(), true);
        assert_eq!(report.outcome, outcome, "{name}: {:#?}", report.findings);
        assert_eq!(report.encrypted, encrypted, "{name}");
        assert_eq!(report.listed.is_some(), !encrypted, "{name}");
    }
}

#[test]
fn a_status_that_is_finished_is_read_as_finished() {
    let rig = Rig::backed_up();
    assert!(Status::read(&rig.current()).unwrap().is_finished());
    let folder = copied(&rig, "copy");
    set_state(&folder, "moving");
    let status = Status::read(&folder).unwrap();
    assert!(status.is_resumable() && !status.is_finished());
}
