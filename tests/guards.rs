//! Backups that must never be accepted as complete, and data that must never be lost for a new
//! backup: cases found in a careful review.

use std::fs;
use std::path::PathBuf;

use idev_backup::backup::Error;
use idev_backup::backup::create::{self, Options};
use idev_backup::base::progress::{Phase, Silent};
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::mobilebackup;
use idev_backup::simulator::{Content, PhoneConfig};
use idev_backup::verify::{self, Outcome, Wrong};

use crate::advice::Advice as _;
use crate::rig::{self, At, Rig, UDID, assert_same, assert_whole, config, copy_dir, options, tree};

fn suffer(rig: &Rig, fault: &str) {
    rig.phone.suffer(&[fault.parse().unwrap()]);
}

/// Returns the path of a file of more than 80,000 bytes in the current backup.
fn photo(rig: &Rig) -> PathBuf {
    let file = rig.phone.files().find(|f| f.size() > 80_000).unwrap();
    let id = file.file_id();
    rig.current().join(&id[..2]).join(&id)
}

#[test]
fn truncated_file_is_not_carried_forward() {
    let rig = Rig::backed_up();
    let photo = photo(&rig);
    // Write a new file, because a snapshot may share the old one as a hard link.
    let whole = fs::read(&photo).unwrap();
    fs::remove_file(&photo).unwrap();
    fs::write(&photo, &whole[..100]).unwrap();
    let Err(Error::CheckFailed(report)) = rig.try_create(&options(), &Silent) else {
        panic!("the backup was sealed");
    };
    assert!(report.findings.iter().any(|f| f.wrong == Wrong::Truncated));
    // A quick check, which does not read every byte, finds the damage as well.
    let quick = verify::Options::default();
    let report = verify::verify(&rig.current(), &quick, &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Damaged, "{:?}", report.findings);
    let full = Options {
        full: true,
        ..options()
    };
    rig.create_with(&full);
}

#[test]
fn file_changed_after_receipt_is_refused() {
    let rig = Rig::new();
    let id = rig
        .phone
        .files()
        .find(|f| f.size() > 80_000)
        .unwrap()
        .file_id();
    let place = rig.draft_backup().join(&id[..2]).join(&id);
    let cut = At(Phase::Hashing, || {
        let file = fs::OpenOptions::new().write(true).open(&place).unwrap();
        file.set_len(5).unwrap();
    });
    let error = rig.try_create(&options(), &cut).unwrap_err();
    assert!(error.to_string().contains("was received with"), "{error}");
    assert!(!rig.current().exists());
}

#[test]
fn verdict_without_transfer_is_refused() {
    let rig = Rig::backed_up();
    let before = rig.untouchable();
    suffer(&rig, "error:0");
    let error = rig.try_create(&options(), &Silent).unwrap_err();
    assert!(
        matches!(error, Error::Dialog(mobilebackup::Error::Strange { .. })),
        "{error}"
    );
    assert_same(&before, &rig.untouchable(), "after an early verdict");
    rig.phone.suffer(&[]);
    rig.create();
}

#[test]
fn many_failed_files_do_not_hang() {
    let content = Content {
        small: 10,
        bulk: 80,
        bulk_size: 700_000,
        ..Content::default()
    };
    let rig = Rig::with(PhoneConfig {
        content,
        ..config()
    });
    suffer(&rig, "device-error:1");
    let error = rig.try_create(&options(), &Silent).unwrap_err();
    assert!(
        matches!(&error, Error::Refused(no) if no.code == 104),
        "{error}"
    );
}

#[test]
fn manual_copies_are_never_dropped() {
    let rig = Rig::backed_up();
    rig.create();
    let copy = rig.store.root().join(format!("{UDID}-20200101-000000"));
    copy_dir(&rig.current(), &copy);
    let kept = tree(&copy);
    for _ in 0..3 {
        rig.create_with(&Options {
            keep: 1.into(),
            ..options()
        });
    }
    assert_same(&kept, &tree(&copy), "the copy");
    let snapshots = rig.store.snapshots().unwrap();
    // The current one, one snapshot, and the copy.
    assert_eq!(snapshots.len(), 3);
    for snapshot in &snapshots {
        // The copy keeps its hash list, although the backup that it was copied from was dropped.
        assert!(snapshot.sums().is_some(), "{:?}", snapshot.path());
        assert_whole(snapshot.path());
    }
}

#[test]
fn unreadable_folder_blocks_no_other_phone() {
    let rig = Rig::backed_up();
    let other = rig.store.root().join("00008130-000000000000002E");
    fs::create_dir_all(other.join("Status.plist")).unwrap();
    let report = rig.create();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.older, 1);
    assert_eq!(rig.listed().len(), 3);
}

#[test]
fn encrypted_backup_without_manifest_is_damaged() {
    let rig = Rig::backed_up();
    let folder = rig.dir.path().join(UDID);
    fs::create_dir(&folder).unwrap();
    for name in ["Info.plist", "Status.plist"] {
        fs::copy(rig.current().join(name), folder.join(name)).unwrap();
    }
    let mut manifest = plist::Dictionary::new();
    manifest.insert("IsEncrypted".into(), true.into());
    plist::Value::Dictionary(manifest)
        .to_file_binary(folder.join("Manifest.plist"))
        .unwrap();
    let report = verify::verify(&folder, &verify::Options::default(), &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Damaged, "{:?}", report.findings);
}

#[test]
fn missing_hashes_are_reported() {
    let rig = Rig::backed_up();
    let sums = rig
        .store
        .current(rig.udid())
        .unwrap()
        .unwrap()
        .sums()
        .unwrap();
    let text = fs::read_to_string(&sums).unwrap();
    let check = || verify::verify(&rig.current(), &rig::read_all(), &Silent).unwrap();
    fs::write(&sums, text.split_once('\n').unwrap().1).unwrap();
    let report = check();
    assert_eq!(report.outcome, Outcome::Unchecked);
    // One remark names the file that the list lacks, and one names the list.
    assert_eq!(report.remarks, 2);
    fs::remove_file(&sums).unwrap();
    let report = check();
    assert_eq!(report.outcome, Outcome::Unchecked);
    assert_eq!(report.findings[0].wrong, Wrong::Unchecked);
}

#[test]
fn endless_manifest_is_unreadable() {
    let rig = Rig::backed_up();
    let folder = rig.dir.path().join(UDID);
    copy_dir(&rig.current(), &folder);
    let path = folder.join("Manifest.db");
    fs::remove_file(&path).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE VIEW Files AS WITH RECURSIVE f(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM f)
         SELECT printf('%040d', n) AS fileID, 'D' AS domain, 'p' AS relativePath, 1 AS flags, x'' AS file FROM f",
    )
    .unwrap();
    drop(db);
    let report = verify::verify(&folder, &rig::read_all(), &Silent).unwrap();
    let named = |f: &&verify::Finding| f.file == "Manifest.db" && f.wrong == Wrong::Unreadable;
    assert!(
        report.findings.iter().any(|f| named(&f)),
        "{:?}",
        report.findings
    );
}

#[test]
fn store_inside_backup_is_refused() {
    let rig = Rig::backed_up();
    let before = rig.untouchable();
    for inside in [
        ".idev-backup",
        UDID,
        &format!("{UDID}/new/folder"),
        ".idev-backup/x",
    ] {
        let path = rig.store.root().join(inside);
        let refused = idev_backup::store::Store::create(&path).unwrap_err();
        assert!(refused.hint().is_some(), "{refused}");
    }
    assert_same(&before, &rig.untouchable(), "after refusals");
}

#[test]
fn run_with_truncated_journal_is_resumed() {
    let rig = Rig::new();
    suffer(&rig, "cut-after:300000");
    rig.try_create(&options(), &Silent).unwrap_err();
    // A full disk or a kill leaves an incomplete last line.
    for bucket in fs::read_dir(rig.draft().join("journal")).unwrap() {
        let path = bucket.unwrap().path();
        let text = fs::read(&path).unwrap();
        fs::write(&path, [&text[..], b"K\t0123"].concat()).unwrap();
    }
    rig.phone.suffer(&[]);
    let report = rig.create();
    assert!(report.draft.starts_with("continuing"), "{}", report.draft);
}

#[test]
fn unencrypted_session_requires_explicit_option() {
    let rig = Rig::with(PhoneConfig {
        plain: true,
        ..config()
    });
    let error = rig.try_create(&options(), &Silent).unwrap_err();
    assert!(
        error.hint().unwrap().contains("--any-certificate"),
        "{error}"
    );
    assert!(!rig.current().exists());
    let connector = Connector {
        pin: Pin::Anyone,
        ..rig.connector()
    };
    create::create(&connector, &rig.attached(), &rig.store, &options(), &Silent).unwrap();
    assert_whole(&rig.current());
}
