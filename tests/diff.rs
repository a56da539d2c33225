//! `diff`: the changes between two backups, however they were made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

use idev_backup::backup_format::record::{FileRecord, MODE_FILE};
use idev_backup::reader::Error;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::diff::{self, Change, Difference, Report};
use idev_backup::reader::passwords::NoPasswords;

use crate::made::Made;
use crate::rig;

fn compare(one: &Path, other: &Path) -> (Report, Vec<Difference>) {
    let open = |path| Backup::open(path, &NoPasswords).unwrap();
    let mut found = Vec::new();
    let no = AtomicBool::new(false);
    let report = diff::diff(open(one), open(other), &no, |d| found.push(d)).unwrap();
    found.sort_by_key(|d| d.relative_path.clone());
    (report, found)
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_idev-backup"))
        .args(arguments)
        .env_remove("IDEV_BACKUP_PASSWORD")
        .output()
        .unwrap()
}

fn describe(folder: &Path, ios: &str, apps: &[&str]) {
    let mut info = plist::Dictionary::new();
    info.insert("Product Version".into(), ios.into());
    info.insert("Device Name".into(), "Mira's\u{1b}[2J iPhone".into());
    let apps: Vec<plist::Value> = apps.iter().map(|app| (*app).into()).collect();
    info.insert("Installed Applications".into(), apps.into());
    let path = folder.join("Info.plist");
    plist::Value::Dictionary(info).to_file_xml(path).unwrap();
}

/// Creates two backups that differ in added, removed and changed items; all others are equal.
fn two(dir: &Path) -> (PathBuf, PathBuf) {
    let record = |last_modified, inode| FileRecord {
        mode: MODE_FILE | 0o644,
        last_modified,
        inode,
        ..FileRecord::default()
    };
    let (mut before, mut after) = (Made::default(), Made::default());
    for number in 0..500 {
        let name = format!("Library/same{number}");
        before.file("HomeDomain", &name, b"same");
        after.file("HomeDomain", &name, b"same");
    }
    before.file_with("HomeDomain", "touched", b"1", record(5, 1));
    after.file_with("HomeDomain", "touched", b"1", record(6, 1));
    before.file_with("HomeDomain", "restored", b"1", record(5, 1));
    after.file_with("HomeDomain", "restored", b"1", record(5, 2));
    before.file("HomeDomain", "grown", b"1");
    after.file("HomeDomain", "grown", b"12345");
    before.file("HomeDomain", "gone", b"123");
    after.file(
        "CameraRollDomain",
        "Media/DCIM/100APPLE/IMG_1.HEIC",
        b"1234",
    );
    before.link("HomeDomain", "link", "a");
    after.link("HomeDomain", "link", "b");
    after.folder("HomeDomain", "folder", 5);
    let (one, other) = (dir.join("one"), dir.join("other"));
    before.write(&one);
    after.write(&other);
    describe(&one, "17.5", &["com.example.a", "com.example.b"]);
    describe(&other, "18.0", &["com.example.b", "com.example.c"]);
    (one, other)
}

#[test]
fn diff_counts_every_change() {
    let dir = rig::room();
    let (one, other) = two(dir.path());
    let (report, found) = compare(&one, &other);
    let names: Vec<_> = found
        .iter()
        .map(|d| (d.relative_path.as_str(), d.change))
        .collect();
    assert_eq!(
        names,
        [
            ("Media/DCIM/100APPLE/IMG_1.HEIC", Change::Added),
            ("gone", Change::Removed),
            ("grown", Change::Changed),
            ("link", Change::Changed),
            ("touched", Change::Changed),
        ]
    );
    let amounts = report.amounts;
    assert_eq!((amounts.added.files, amounts.added.bytes), (1, 4));
    assert_eq!((amounts.removed.files, amounts.removed.bytes), (1, 3));
    assert_eq!((amounts.changed.files, amounts.changed.bytes), (3, 6));
    assert_eq!((report.unchanged, report.kinds.len()), (501, 2));
    assert_eq!(
        (report.apps_added, report.apps_removed),
        (
            vec!["com.example.c".to_owned()],
            vec!["com.example.a".to_owned()]
        )
    );
    assert_eq!(
        (report.before.ios.as_deref(), report.after.ios.as_deref()),
        (Some("17.5"), Some("18.0"))
    );
    // Compare in the other direction, and a backup with itself.
    let (back, _) = compare(&other, &one);
    assert_eq!(
        (back.amounts.added, back.amounts.removed),
        (amounts.removed, amounts.added)
    );
    let (same, none) = compare(&one, &one);
    assert_eq!((none.len(), same.unchanged), (0, 505));
}

#[test]
fn diff_prints_text_and_json() {
    let dir = rig::room();
    let (one, other) = two(dir.path());
    let paths = [one.to_str().unwrap(), other.to_str().unwrap()];
    let told = program(&["diff", paths[0], paths[1]]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(0));
    assert!(
        text.starts_with("DIFFERENT. Files added 1 (4 bytes), removed 1 (3 bytes), changed 3"),
        "{text}"
    );
    assert!(
        text.contains("  + CameraRollDomain/Media/DCIM/100APPLE/IMG_1.HEIC  4 bytes"),
        "{text}"
    );
    assert!(
        text.contains("  ~ HomeDomain/grown  1 bytes -> 5 bytes"),
        "{text}"
    );
    assert!(
        text.contains("iOS 18.0")
            && text.contains("1 app added: com.example.c")
            && !text.contains('\u{1b}')
    );
    let told = program(&["diff", paths[0], paths[1], "--json"]);
    let lines = String::from_utf8(told.stdout).unwrap();
    let events: Vec<serde_json::Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(events.len(), 6);
    assert!(events[..5].iter().all(|e| e["event"] == "difference"));
    assert_eq!(
        (&events[5]["event"], &events[5]["unchanged"]),
        (&"diff".into(), &501.into())
    );
    let empty = dir.path().join("empty");
    Made::default().write(&empty);
    let few = program(&["diff", empty.to_str().unwrap(), paths[0]]);
    assert!(
        String::from_utf8(few.stdout)
            .unwrap()
            .contains("... and 465 more; --all")
    );
    let all = program(&["diff", empty.to_str().unwrap(), paths[0], "--all"]);
    assert_eq!(
        String::from_utf8(all.stdout)
            .unwrap()
            .matches("\n  + ")
            .count(),
        505
    );
}

/// Checks that an interrupt ends the comparison, that a truncated list is reported with exit code
/// 3, and that an unreadable one is an error.
#[test]
fn diff_reports_interrupts_and_damage() {
    let dir = rig::room();
    let (one, other) = two(dir.path());
    let open = |path: &Path| Backup::open(path, &NoPasswords);
    let yes = AtomicBool::new(true);
    let ended = diff::diff(open(&one).unwrap(), open(&other).unwrap(), &yes, |_| {});
    assert!(matches!(ended, Err(Error::Interrupted)));
    let list = other.join("Manifest.db");
    let length = fs::metadata(&list).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&list).unwrap();
    file.set_len(length / 2 / 4096 * 4096).unwrap();
    // The rest of the list is compared, and the output states that the list is truncated.
    let compare = || program(&["diff", one.to_str().unwrap(), other.to_str().unwrap()]);
    let cut = compare();
    assert_eq!(cut.status.code(), Some(3), "{cut:?}");
    assert!(
        String::from_utf8_lossy(&cut.stderr).contains("problem: "),
        "{cut:?}"
    );
    fs::write(&list, [0; 4096]).unwrap();
    let nothing = compare();
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
}

/// Checks that encrypted and unencrypted backups are compared in either order, with a password for
/// each, and that a wrong password ends with exit code 6.
#[test]
fn encrypted_and_plain_backups_compare() {
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/data/pmeenan-golemine/e2e/fixtures/generated"
    );
    if !Path::new(data).exists() {
        eprintln!("skipped: {data} is not here");
        return;
    }
    let inside = |name: &str| {
        let entries = fs::read_dir(Path::new(data).join(name)).unwrap();
        let mut folders = entries
            .map(|e| e.unwrap().path())
            .filter(|path| path.is_dir());
        folders.next().unwrap()
    };
    let (plain, encrypted) = (
        inside("ios-mini-backup"),
        inside("ios-mini-encrypted-backup"),
    );
    let (plain, encrypted) = (plain.to_str().unwrap(), encrypted.to_str().unwrap());
    let right = if cfg!(windows) {
        "echo G0lemine-M5!"
    } else {
        "echo 'G0lemine-M5!'"
    };
    for options in [
        [plain, encrypted, "--password-command", right].as_slice(),
        &[encrypted, plain, "--password-command", right],
        &[encrypted, encrypted, "--password-command", right],
        &[plain, encrypted, "--other-password-command", right],
        &[
            encrypted,
            encrypted,
            "--password-command",
            right,
            "--other-password-command",
            right,
        ],
    ] {
        let told = program(&[&["diff"], options].concat());
        assert_eq!(told.status.code(), Some(0), "{options:?} {told:?}");
    }
    for options in [
        [encrypted, plain, "--password-command", "echo no"].as_slice(),
        &[
            encrypted,
            encrypted,
            "--password-command",
            right,
            "--other-password-command",
            "echo no",
        ],
    ] {
        let told = program(&[&["diff"], options].concat());
        assert_eq!(told.status.code(), Some(6), "{options:?} {told:?}");
    }
}
