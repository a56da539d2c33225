//! `verify --deep`, `--sample` and `--repair`: damage inside of files, and what a repair restores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use idev_backup::backup_format::SCHEMA;
use idev_backup::backup_format::record::{FileRecord, file_id};
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::Silent;
use idev_backup::base::secret::Secret;
use idev_backup::reader::passwords::{Known, NoPasswords};
use idev_backup::simulator::{Password, PhoneConfig};
use idev_backup::store::METADATA;
use idev_backup::verify::Error;
use idev_backup::verify::{self, Depth, Options, Outcome, Report, Sample, Wrong};
use rusqlite::Connection;
use sha1::{Digest, Sha1};

use crate::advice::Advice as _;
use crate::rig::program::{ended, program};
use crate::rig::*;

fn deep() -> Options<'static> {
    Options {
        depth: Depth::Deep,
        ..Options::default()
    }
}

fn check(folder: &Path, options: &Options) -> Report {
    verify::verify(folder, options, &Silent).unwrap()
}

fn wrongs(report: &Report) -> Vec<(Wrong, &str)> {
    let named = report.findings.iter();
    let mut all: Vec<_> = named
        .map(|f| (f.wrong, f.relative_path.as_deref().unwrap_or(&f.file)))
        .collect();
    all.sort_by_key(|(wrong, name)| (wrong.word(), *name));
    all
}

/// A backup folder built by hand, so that a test knows the contents of its files.
struct Handmade(tempfile::TempDir);

impl Handmade {
    fn new(apps: &[&str]) -> Handmade {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, fields: plist::Dictionary| {
            plist::Value::Dictionary(fields)
                .to_file_binary(dir.path().join(name))
                .unwrap();
        };
        let entry = |fields: &[(&str, plist::Value)]| {
            fields
                .iter()
                .map(|(k, v)| (k.to_string(), v.clone()))
                .collect::<plist::Dictionary>()
        };
        write(
            "Status.plist",
            entry(&[("SnapshotState", "finished".into())]),
        );
        write("Info.plist", entry(&[]));
        let none = plist::Value::Dictionary(plist::Dictionary::new());
        let apps: plist::Dictionary = apps
            .iter()
            .map(|app| (app.to_string(), none.clone()))
            .collect();
        let lockdown = entry(&[("ProductVersion", "18.6.2".into())]);
        write(
            "Manifest.plist",
            entry(&[
                ("IsEncrypted", false.into()),
                ("Applications", plist::Value::Dictionary(apps)),
                ("Lockdown", plist::Value::Dictionary(lockdown)),
            ]),
        );
        Connection::open(dir.path().join("Manifest.db"))
            .unwrap()
            .execute_batch(SCHEMA)
            .unwrap();
        Handmade(dir)
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn place(&self, domain: &str, path: &str) -> PathBuf {
        let id = file_id(domain, path);
        self.folder().join(&id[..2]).join(id)
    }

    fn add(&self, domain: &str, path: &str, bytes: &[u8]) {
        let place = self.place(domain, path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
        let record = FileRecord {
            relative_path: path.to_owned(),
            size: bytes.len() as u64,
            mode: 0o100_644,
            digest: (!domain.starts_with("App")).then(|| Sha1::digest(bytes).to_vec()),
            ..FileRecord::default()
        };
        let database = Connection::open(self.folder().join("Manifest.db")).unwrap();
        let row = (file_id(domain, path), domain, path, 1, record.encode());
        database
            .execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", row)
            .unwrap();
    }
}

/// Returns the bytes of a database and of its write-ahead log. If `in_log` is true, the log holds
/// an update that the database file lacks.
fn database(folder: &Path, in_log: bool) -> (Vec<u8>, Vec<u8>) {
    let path = folder.join("made.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a TEXT)",
    )
    .unwrap();
    for n in 0..200 {
        db.execute("INSERT INTO t VALUES (?)", [format!("{n:0100}")])
            .unwrap();
    }
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    if in_log {
        db.execute_batch("UPDATE t SET a = 'x' || a").unwrap();
    }
    let read = |suffix: &str| fs::read(folder.join(format!("made.db{suffix}"))).unwrap_or_default();
    let both = (read(""), read("-wal"));
    drop(db);
    drop(fs::remove_file(path));
    both
}

fn property_list() -> Vec<u8> {
    let mut bytes = Vec::new();
    plist::Value::Array(vec!["a".into(), 7.into()])
        .to_writer_binary(&mut bytes)
        .unwrap();
    bytes
}

/// Checks that `verify --deep` opens databases and property lists, and reports corrupt ones and
/// files of apps that Manifest.plist does not list.
#[test]
fn deep_check_opens_file_contents() {
    let backup = Handmade::new(&["net.example"]);
    let scratch = tempfile::tempdir().unwrap();
    let (whole, _) = database(scratch.path(), false);
    backup.add("HomeDomain", "Library/a.db", &whole);
    backup.add("HomeDomain", "Library/a.plist", &property_list());
    backup.add(
        "HomeDomain",
        "Library/note.txt",
        b"no form that anybody knows",
    );
    backup.add("HomeDomain", "Library/empty.db", b"");
    let report = check(backup.folder(), &deep());
    assert_eq!(
        (report.outcome, report.restorable),
        (Outcome::NoDamageFound, Some(true)),
        "{:?}",
        report.findings
    );
    assert_eq!((report.opened, report.digests), (4, 4));
    assert_eq!(
        (
            report.inside.databases,
            report.inside.property_lists,
            report.inside.unknown
        ),
        (1, 1, 0)
    );

    let mut broken = whole.clone();
    let page = broken.len() - 4096;
    broken[page..page + 100].fill(0x5a);
    backup.add("AppDomain-net.example", "b.sqlite", &broken);
    backup.add("AppDomain-net.example", "b.plist", &property_list()[..10]);
    backup.add("AppDomain-net.stranger", "c", b"c");
    let report = check(backup.folder(), &deep());
    let expected = [
        (Wrong::NotRestored, "Manifest.plist"),
        (Wrong::Corrupt, "b.plist"),
        (Wrong::Corrupt, "b.sqlite"),
    ];
    assert_eq!(wrongs(&report), expected);
    assert_eq!(
        (report.outcome, report.restorable),
        (Outcome::Damaged, Some(false))
    );
    // A check of lower depth does not open files, and does not claim that it did.
    let shallow = check(backup.folder(), &Options::bytes());
    assert_eq!(
        (shallow.outcome, shallow.restorable, shallow.opened),
        (Outcome::Unchecked, None, 0)
    );
}

/// Checks that a database is checked together with its write-ahead log.
#[test]
fn database_is_checked_with_wal() {
    let backup = Handmade::new(&[]);
    let scratch = tempfile::tempdir().unwrap();
    let (mut main, log) = database(scratch.path(), true);
    // Simulate a copy that was made while the phone wrote the log back: the database is consistent
    // only together with its log.
    let page = main.len() - 4096;
    main[page..page + 200].fill(0x5a);
    backup.add("HomeDomain", "Library/a.db", &main);
    // The digest proves that the phone sent the file in this state.
    assert_eq!(
        wrongs(&check(backup.folder(), &deep())),
        [(Wrong::Inside, "Library/a.db")]
    );
    backup.add("HomeDomain", "Library/a.db-wal", &log);
    let report = check(backup.folder(), &deep());
    assert_eq!(wrongs(&report), []);
    assert_eq!(report.inside.databases, 1);
    // Without disk space for the copies, the check does not judge the database and does not report
    // it as damaged.
    let mut verify = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
    verify
        .args(["verify", "--deep", "--json"])
        .arg(backup.folder());
    verify.env("TMPDIR", scratch.path().join("nowhere"));
    let printed = verify.output().unwrap().stdout;
    let last = printed
        .trim_ascii_end()
        .rsplit(|byte| *byte == b'\n')
        .next();
    let report: serde_json::Value = serde_json::from_slice(last.unwrap()).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report}");
    assert_eq!(report["inside"]["unknown"], 1, "{report}");
}

/// Checks that, without our list of hashes, the digests in the phone's list reveal an altered file.
#[test]
fn phone_digests_reveal_altered_files() {
    let backup = Handmade::new(&[]);
    for n in 0..3 {
        backup.add("HomeDomain", &format!("Library/{n}"), &[n; 5000]);
    }
    let place = backup.place("HomeDomain", "Library/1");
    fs::write(&place, [9; 5000]).unwrap();
    assert_eq!(
        check(backup.folder(), &Options::bytes()).outcome,
        Outcome::Unchecked
    );
    let report = check(backup.folder(), &deep());
    assert_eq!(wrongs(&report), [(Wrong::Altered, "Library/1")]);
    assert_eq!(report.digests, 3);
}

/// Checks that the phone's digests reveal an altered byte in encrypted and in unencrypted backups.
/// The padding of an encrypted file proves only its end.
#[test]
fn digests_reveal_alteration_despite_encryption() {
    let password = Known(Secret::new(b"correct horse".to_vec()));
    let opening = Options {
        passwords: Some(&password),
        ..deep()
    };
    for encrypted in [false, true] {
        let rig = Rig::with(PhoneConfig {
            backup_password: encrypted.then(|| Password::new("correct horse")),
            ..config()
        });
        rig.try_create(&options(), &Silent).unwrap();
        // A copy outside of the store has no list of hashes.
        let alone = rig.dir.path().join("alone");
        copy_dir(&rig.current(), &alone);
        let report = check(&alone, &opening);
        assert_eq!(
            (report.outcome, report.restorable, report.encrypted),
            (Outcome::NoDamageFound, Some(true), encrypted),
            "{:?}",
            report.findings
        );
        let victim = rig
            .phone
            .files()
            .find(|f| f.domain == "HomeDomain" && (300..60_000).contains(&f.size()))
            .unwrap();
        let place = alone.join(&victim.file_id()[..2]).join(victim.file_id());
        let mut bytes = fs::read(&place).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&place, bytes).unwrap();
        let report = check(&alone, &opening);
        assert!(
            wrongs(&report).contains(&(Wrong::Altered, &*victim.path)),
            "{:?}",
            report.findings
        );
        assert_eq!(
            (report.outcome, report.restorable),
            (Outcome::Damaged, Some(false))
        );
    }
}

/// Checks that a backup that does not state its iOS version is not reported as restorable.
#[test]
fn missing_ios_version_prevents_restore() {
    let backup = Handmade::new(&[]);
    backup.add("HomeDomain", "a", b"a");
    let path = backup.folder().join("Manifest.plist");
    let mut fields: plist::Dictionary = plist::from_file(&path).unwrap();
    fields.remove("Lockdown");
    plist::Value::Dictionary(fields)
        .to_file_binary(&path)
        .unwrap();
    let report = check(backup.folder(), &deep());
    assert_eq!(wrongs(&report), [(Wrong::NotRestored, "Manifest.plist")]);
    assert_eq!(
        (report.outcome, report.restorable),
        (Outcome::NoDamageFound, Some(false))
    );
}

/// Checks that a deep check finds no damage in the files as the phone sent them.
#[test]
fn fresh_backup_passes_deep_check() {
    let rig = Rig::backed_up();
    let report = check(&rig.current(), &deep());
    assert_eq!(
        (report.outcome, report.restorable),
        (Outcome::Whole, Some(true)),
        "{:?}",
        report.findings
    );
    assert_eq!(
        (report.opened, report.hashed),
        (report.listed.unwrap(), report.files)
    );
}

/// Checks that `--sample` reads about the requested fraction of the files, and different files for
/// each salt.
#[test]
fn sample_reads_its_fraction() {
    let rig = Rig::backed_up();
    let sample = |fraction, salt| Options {
        sample: Some(Sample { fraction, salt }),
        ..Options::bytes()
    };
    let all = check(&rig.current(), &Options::bytes()).hashed;
    assert_eq!(check(&rig.current(), &sample(1.0, 7)).hashed, all);
    let counts: Vec<u64> = (0..40)
        .map(|salt| check(&rig.current(), &sample(0.25, salt)).hashed)
        .collect();
    let mean = counts.iter().sum::<u64>() as f64 / 40.0 / all as f64;
    assert!((0.15..0.35).contains(&mean), "{mean}");
    // Some of the samples contain the one altered file, but not all of them.
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 100)
        .unwrap()
        .file_id();
    let path = rig.current().join(&victim[..2]).join(&victim);
    let mut bytes = fs::read(&path).unwrap();
    bytes[50] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = (0..40)
        .filter(|salt| check(&rig.current(), &sample(0.25, *salt)).outcome == Outcome::Damaged)
        .count();
    assert!((2..30).contains(&found), "{found} of 40");
}

/// Creates a rig with two backups. The older one has its own copies of the files, as on a disk
/// without hard links.
fn with_independent_snapshot() -> (Rig, PathBuf, PathBuf) {
    let rig = Rig::backed_up();
    rig.create();
    let current = rig.current();
    let older = rig
        .store
        .snapshots()
        .unwrap()
        .into_iter()
        .find(|s| !s.is_current())
        .unwrap()
        .path()
        .to_path_buf();
    for entry in walkdir::WalkDir::new(&older)
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file())
    {
        let bytes = fs::read(entry.path()).unwrap();
        fs::remove_file(entry.path()).unwrap();
        fs::write(entry.path(), bytes).unwrap();
    }
    (rig, current, older)
}

/// Checks that a repair restores each damaged file that has an intact copy in another snapshot, and
/// no other file.
#[test]
fn repair_copies_only_intact_files() {
    let (rig, current, older) = with_independent_snapshot();
    let shared: Vec<String> = rig
        .phone
        .files()
        .filter(|f| f.size() > 200)
        .map(|f| format!("{}/{}", &f.file_id()[..2], f.file_id()))
        .filter(|path| fs::read(older.join(path)).ok() == fs::read(current.join(path)).ok())
        .take(4)
        .collect();
    let [altered, missing, cut, lost] = &shared[..] else {
        panic!("{shared:?}")
    };
    let before = tree(&current);
    let damage = |folder: &Path, path: &str| {
        let mut bytes = fs::read(folder.join(path)).unwrap();
        bytes[100] ^= 0x40;
        fs::write(folder.join(path), bytes).unwrap();
    };
    damage(&current, altered);
    fs::remove_file(current.join(missing)).unwrap();
    fs::write(current.join(cut), b"short").unwrap();
    fs::remove_file(current.join("Manifest.plist")).unwrap();
    // The file is damaged in the other backup too, so no undamaged copy exists.
    damage(&current, lost);
    damage(&older, lost);
    let old_tree = tree(&older);
    let repair = verify::repair(&current, &Options::bytes(), &Silent).unwrap();
    let mut files: Vec<&str> = repair.repaired.iter().map(|r| r.file.as_str()).collect();
    files.sort_unstable();
    let mut expected = vec![
        altered.as_str(),
        missing.as_str(),
        cut.as_str(),
        "Manifest.plist",
    ];
    expected.sort_unstable();
    assert_eq!(files, expected);
    let left: Vec<_> = repair
        .report
        .findings
        .iter()
        .map(|f| (f.wrong, f.file.as_str()))
        .collect();
    assert_eq!(left, [(Wrong::Altered, lost.as_str())]);
    assert_eq!(
        tree(&older),
        old_tree,
        "the repair must only read the other snapshot"
    );
    // Once the older snapshot has an intact copy, the repair restores everything.
    fs::write(older.join(lost), {
        let mut bytes = fs::read(older.join(lost)).unwrap();
        bytes[100] ^= 0x40;
        bytes
    })
    .unwrap();
    let repair = verify::repair(&current, &Options::bytes(), &Silent).unwrap();
    assert_eq!(
        (repair.repaired.len(), repair.report.outcome),
        (1, Outcome::Whole)
    );
    assert_eq!(tree(&current), before);
    rig.create();
}

/// Checks that a repair restores each metadata file, missing or empty, from the copy in the store.
#[test]
fn repair_restores_metadata_from_copies() {
    let rig = Rig::backed_up();
    let current = rig.current();
    let before = tree(&current);
    for name in METADATA {
        for is_emptied in [false, true] {
            fs::remove_file(current.join(name)).unwrap();
            if is_emptied {
                fs::write(current.join(name), "").unwrap();
            }
            let repair = verify::repair(&current, &Options::bytes(), &Silent).unwrap();
            let files: Vec<&str> = repair.repaired.iter().map(|r| r.file.as_str()).collect();
            assert_eq!(files, [name]);
            assert_eq!(
                (repair.report.outcome, repair.report.remarks),
                (Outcome::Whole, 0),
                "{name}: {:?}",
                repair.report.findings
            );
            assert_same(&before, &tree(&current), name);
        }
    }
    // If Status.plist and Info.plist are both from another backup or both empty, nothing identifies
    // the backup, so its list of hashes is not found.
    let status = fs::read(current.join("Status.plist")).unwrap();
    for left in [&b"another"[..], b""] {
        fs::write(current.join("Status.plist"), left).unwrap();
        let info = fs::read(current.join("Info.plist")).unwrap();
        fs::write(current.join("Info.plist"), left).unwrap();
        let error = verify::repair(&current, &Options::bytes(), &Silent).unwrap_err();
        assert!(error.to_string().contains("no list of hashes"), "{error}");
        fs::write(current.join("Info.plist"), info).unwrap();
    }
    fs::write(current.join("Status.plist"), status).unwrap();
    assert_eq!(
        verify::repair(&current, &Options::bytes(), &Silent)
            .unwrap()
            .report
            .damage,
        0
    );
}

/// Checks that a damaged file that is hard-linked into every snapshot is reported as damaged: no
/// intact copy is left. On a disk without hard links, the repair succeeds.
#[test]
fn hard_linked_damage_is_not_repaired() {
    let rig = Rig::backed_up();
    rig.create();
    let (current, older) = (rig.current(), rig.store.snapshots().unwrap().pop().unwrap());
    let shared = rig.phone.files().map(|f| f.file_id()).find(|id| {
        let path = format!("{}/{id}", &id[..2]);
        let same = |a: &Path, b: &Path| {
            fs::read(a)
                .ok()
                .filter(|bytes| bytes.len() > 100)
                .is_some_and(|a| Some(a) == fs::read(b).ok())
        };
        same(&current.join(&path), &older.path().join(&path))
    });
    let path = shared.map(|id| format!("{}/{id}", &id[..2])).unwrap();
    // Write in place, as a failing disk would: a hard link shares the damage.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(current.join(&path))
        .unwrap();
    std::io::Write::write_all(&mut &file, b"damage").unwrap();
    let is_shared = fs::read(older.path().join(&path))
        .unwrap()
        .starts_with(b"damage");
    let repair = verify::repair(&current, &Options::bytes(), &Silent).unwrap();
    assert_eq!(repair.repaired.is_empty(), is_shared);
    assert_eq!(repair.report.outcome == Outcome::Damaged, is_shared);
}

/// Checks that a repair fails while the store is locked, and for a folder without a list of hashes.
#[test]
fn repair_requires_lock_and_hashes() {
    let rig = Rig::backed_up();
    let lock = rig.store.lock(rig.udid()).unwrap();
    let busy = verify::repair(&rig.current(), &Options::bytes(), &Silent).unwrap_err();
    assert!(
        matches!(busy, Error::Store(idev_backup::store::Error::Busy { .. })),
        "{busy}"
    );
    drop(lock);
    let alone = rig.dir.path().join("elsewhere");
    copy_dir(&rig.current(), &alone);
    let error = verify::repair(&alone, &Options::bytes(), &Silent).unwrap_err();
    assert!(
        matches!(error, Error::NotInStore(_)) && error.hint().is_some(),
        "{error}"
    );
}

/// Checks that a missing file that the phone reported as unreadable is a fault of the phone, not
/// damage.
#[test]
fn complaint_makes_missing_file_phone_fault() {
    let rig = Rig::backed_up();
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 100)
        .unwrap()
        .file_id();
    let place = format!("{}/{victim}", &victim[..2]);
    fs::remove_file(rig.current().join(&place)).unwrap();
    let without_sums = rig.dir.path().join("elsewhere");
    copy_dir(&rig.current(), &without_sums);
    assert_eq!(
        check(&without_sums, &Options::default()).findings[0].wrong,
        Wrong::Missing
    );
    let complaint = verify::Complaint {
        file: place,
        device_path: "/var/mobile/x".into(),
        code: 5,
        text: "Input/output error".into(),
    };
    let options = Options {
        complaints: vec![complaint],
        ..Options::default()
    };
    let report = check(&without_sums, &options);
    assert_eq!(report.findings[0].wrong, Wrong::PhoneFault);
    assert_eq!(report.outcome, Outcome::NoDamageFound);
}

/// Checks that `verify` reads the phone's complaints from the report of the run that made the
/// backup.
#[test]
fn verify_uses_recorded_complaints() {
    let rig = Rig::backed_up();
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 100)
        .unwrap()
        .file_id();
    let place = format!("{}/{victim}", &victim[..2]);
    fs::remove_file(rig.current().join(&place)).unwrap();
    assert_eq!(ended(program(&rig).arg("verify")).code, 1);
    let snapshot = rig.store.snapshots().unwrap().remove(0);
    let path = snapshot.report().unwrap();
    let mut report: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["complaints"], serde_json::json!([]));
    report["complaints"] = serde_json::json!([{
        "file": place, "device_path": "/var/mobile/x", "code": 5, "text": "Input/output error",
    }]);
    fs::write(&path, report.to_string()).unwrap();
    let ran = ended(program(&rig).arg("verify"));
    assert_eq!(ran.code, 3, "{}", ran.all());
    assert!(
        ran.out.contains("  phone  ") && ran.out.contains(&victim),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("Input/output error (code 5)"),
        "{}",
        ran.out
    );
}

/// Checks that a leftover Snapshot folder is reported, whether it is empty or not.
#[test]
fn leftover_snapshot_folder_is_reported() {
    let backup = Handmade::new(&[]);
    fs::create_dir_all(backup.folder().join("Snapshot/00")).unwrap();
    let report = check(backup.folder(), &Options::default());
    assert_eq!(wrongs(&report), [(Wrong::Extra, "Snapshot")]);
    fs::write(backup.folder().join("Snapshot/00/x"), "x").unwrap();
    let report = check(backup.folder(), &Options::default());
    assert_eq!(wrongs(&report), [(Wrong::Unfinished, "Snapshot/00/x")]);
}

/// Checks that missing metadata files count among the files that a backup should have.
#[test]
fn damage_count_never_exceeds_total() {
    let rig = Rig::new();
    let backup = Handmade::new(&[]);
    for name in ["Info.plist", "Status.plist", "Manifest.plist"] {
        fs::remove_file(backup.folder().join(name)).unwrap();
    }
    let ran = ended(program(&rig).arg("verify").arg(backup.folder()));
    assert!(
        ran.out.starts_with("DAMAGED. 3 of 4 files are"),
        "{}",
        ran.out
    );
}

#[cfg(unix)]
#[test]
fn files_of_other_users_are_reported() {
    let rig = Rig::backed_up();
    let victim = rig.current().join(victim(&rig));
    // Only root may give a file away.
    if let Err(e) = std::os::unix::fs::chown(&victim, Some(12_345), None) {
        eprintln!("skipped: only root can give files away: {e}");
        return;
    }
    let report = check(&rig.current(), &Options::default());
    let found = &report.findings[0];
    assert_eq!((found.wrong, report.findings.len()), (Wrong::Shared, 1));
    assert!(victim.ends_with(&found.file), "{}", found.file);
    assert!(
        found.detail.starts_with("1 file owned by a different user"),
        "{}",
        found.detail
    );
    assert_eq!(report.outcome, Outcome::NoDamageFound);
}

#[cfg(unix)]
#[test]
fn world_readable_files_are_reported() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::backed_up();
    let path = rig.current().join("Info.plist");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let report = check(&rig.current(), &Options::default());
    assert_eq!(wrongs(&report), [(Wrong::Shared, "Info.plist")]);
    assert_eq!(report.outcome, Outcome::NoDamageFound);
}

/// Returns a copy of an encrypted backup made by another program, which the test may damage.
fn encrypted() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = others("pmeenan-golemine/e2e/fixtures/generated/ios-mini-encrypted-backup")?;
    let backup = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.is_dir())
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("backup");
    copy_dir(&backup, &copy);
    Some((dir, copy))
}

/// Checks that a deep check decrypts every byte of an encrypted backup: it reports altered and
/// truncated files and lists, and a wrong or missing password is an error.
#[test]
fn deep_check_decrypts_every_byte() {
    let Some((_dir, folder)) = encrypted() else {
        return;
    };
    let right = Known(Secret::new(b"G0lemine-M5!".to_vec()));
    let with = |passwords| Options {
        passwords: Some(passwords),
        ..deep()
    };
    let report = check(&folder, &with(&right));
    assert!(
        report.unlocked && report.encrypted && report.damage == 0,
        "{:?}",
        report.findings
    );
    assert_eq!(report.opened, report.listed.unwrap());
    assert!(report.inside.databases >= 2);

    let wrong = Known(Secret::new(b"other".to_vec()));
    for options in [with(&wrong), with(&NoPasswords)] {
        let error = verify::verify(&folder, &options, &Silent).unwrap_err();
        assert_eq!(error.kind(), FailureKind::WrongPassword, "{error}");
    }

    // Alter one byte in the second-to-last block of a file: only the padding in the last block
    // reveals it.
    let payload = |least: u64| {
        let files = walkdir::WalkDir::new(&folder)
            .min_depth(2)
            .into_iter()
            .map(Result::unwrap);
        files
            .filter(|e| e.metadata().unwrap().len() >= least)
            .map(|e| e.path().to_path_buf())
            .min()
            .unwrap()
    };
    let victim = payload(1000);
    let mut bytes = fs::read(&victim).unwrap();
    let whole = bytes.clone();
    let at = bytes.len() - 17;
    bytes[at] ^= 1;
    fs::write(&victim, &bytes).unwrap();
    let report = check(&folder, &with(&right));
    let damage = |report: &Report| {
        report
            .findings
            .iter()
            .find(|f| f.wrong.is_damage())
            .map(|f| f.wrong)
    };
    assert_eq!(damage(&report), Some(Wrong::Altered));
    // Truncate the file between two blocks (32 bytes), and inside of one (33 bytes).
    for length in [32, 33] {
        fs::write(&victim, &whole[..whole.len() - length]).unwrap();
        let report = check(&folder, &with(&right));
        assert!(
            matches!(damage(&report), Some(Wrong::Truncated | Wrong::Corrupt)),
            "{length}: {:?}",
            report.findings
        );
    }
    fs::write(&victim, &whole).unwrap();
    let list = fs::read(folder.join("Manifest.db")).unwrap();
    for length in [32, 33, list.len() - 16] {
        fs::write(folder.join("Manifest.db"), &list[..list.len() - length]).unwrap();
        let report = check(&folder, &with(&right));
        assert_eq!(damage(&report), Some(Wrong::Unreadable), "{length}");
        assert_ne!(report.restorable, Some(true));
    }
}

#[cfg(unix)]
#[test]
fn repair_never_follows_symlinks() {
    let (rig, current, older) = with_independent_snapshot();
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 200)
        .unwrap()
        .file_id();
    let folder = &victim[..2];
    let outside = rig.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let before = tree(&older);
    for to in [outside.clone(), older.join(folder)] {
        fs::remove_dir_all(current.join(folder))
            .or_else(|_| fs::remove_file(current.join(folder)))
            .unwrap();
        std::os::unix::fs::symlink(&to, current.join(folder)).unwrap();
        let repair = verify::repair(&current, &Options::bytes(), &Silent).unwrap();
        assert_eq!(repair.report.outcome, Outcome::Damaged);
        assert!(
            repair.repaired.is_empty() && !repair.hindered.is_empty(),
            "{:?}",
            repair.hindered
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(tree(&older), before);
    }
    // Once the link is removed, the repair restores every file.
    fs::remove_file(current.join(folder)).unwrap();
    let repair = verify::repair(&current, &Options::bytes(), &Silent).unwrap();
    assert_eq!(repair.report.damage, 0, "{:?}", repair.report.findings);
}

/// Checks that a repair ends, and reports damage, if the list matches its recorded hash but has an
/// unreadable record.
#[test]
fn repair_stops_at_unrepairable_list() {
    let (rig, current, _older) = with_independent_snapshot();
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 200)
        .unwrap()
        .file_id();
    // Simulate a phone that sent such a list: the recorded hash and our copy of the list match it.
    for snapshot in rig.store.snapshots().unwrap() {
        let place = snapshot.path().join("Manifest.db");
        let old = idev_backup::store::sums::hash_file(&place).unwrap().0;
        let database = Connection::open(&place).unwrap();
        let sql = "UPDATE Files SET file = x'00112233' WHERE fileID = ?";
        assert_eq!(database.execute(sql, [&victim]).unwrap(), 1);
        drop(database);
        fs::copy(&place, snapshot.beside().unwrap().join("Manifest.db")).unwrap();
        let new = idev_backup::store::sums::hash_file(&place).unwrap().0;
        let sums = snapshot.sums().unwrap();
        let hex = |hash| idev_backup::store::sums::hex(&hash);
        let text = fs::read_to_string(&sums)
            .unwrap()
            .replace(&hex(old), &hex(new));
        fs::write(&sums, text).unwrap();
    }
    let repair = verify::repair(&current, &deep(), &Silent).unwrap();
    assert_eq!(repair.report.outcome, Outcome::Damaged);
}

/// Checks that a symbolic link in place of a file is damage, and that a pipe in place of a metadata
/// file is damage and does not make the check hang.
#[cfg(unix)]
#[test]
fn symlinks_and_pipes_are_damage() {
    let backup = Handmade::new(&[]);
    backup.add("HomeDomain", "a", b"abc");
    let place = backup.place("HomeDomain", "a");
    fs::remove_file(&place).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &place).unwrap();
    let report = check(backup.folder(), &deep());
    assert_eq!(
        (wrongs(&report), report.restorable),
        (vec![(Wrong::Unreadable, "a")], Some(false))
    );
    for name in ["Manifest.db", "Status.plist", "Manifest.plist"] {
        let backup = Handmade::new(&[]);
        fs::remove_file(backup.folder().join(name)).unwrap();
        let pipe = backup.folder().join(name);
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        let report = check(backup.folder(), &deep());
        assert_eq!(report.outcome, Outcome::Damaged, "{name}");
    }
}

/// Checks that a file that only has the name of a database must have its listed size. Only a real
/// database may be shorter, because iOS compacts databases while it sends them.
#[test]
fn short_non_database_is_truncated() {
    let backup = Handmade::new(&[]);
    backup.add("HomeDomain", "Library/notes.db", &[b'x'; 5000]);
    fs::write(backup.place("HomeDomain", "Library/notes.db"), [b'x'; 3000]).unwrap();
    for options in [Options::default(), deep()] {
        let report = check(backup.folder(), &options);
        assert_eq!(wrongs(&report), [(Wrong::Truncated, "Library/notes.db")]);
    }
}

/// Checks that rows with an invalid record, an invalid id or unknown flags are reported.
#[test]
fn unusable_rows_are_reported() {
    let backup = Handmade::new(&[]);
    backup.add("HomeDomain", "a", b"abc");
    let sql = |statement: &str| {
        let database = Connection::open(backup.folder().join("Manifest.db")).unwrap();
        assert_eq!(database.execute(statement, []).unwrap(), 1);
    };
    let id = file_id("HomeDomain", "Library");
    sql(&format!(
        "INSERT INTO Files VALUES ('{id}', 'HomeDomain', 'Library', 2, x'00112233')"
    ));
    sql("INSERT INTO Files VALUES ('zz', 'HomeDomain', 'l', 4, NULL)");
    sql(&format!(
        "INSERT INTO Files VALUES ('{}', 'HomeDomain', 'o', 9, NULL)",
        file_id("HomeDomain", "o")
    ));
    let report = check(backup.folder(), &deep());
    let expected = [
        (Wrong::NotRestored, "o"),
        (Wrong::Misnamed, "l"),
        (Wrong::Unreadable, "Library"),
    ];
    assert_eq!(
        (wrongs(&report), report.restorable),
        (expected.to_vec(), Some(false))
    );
}

/// Checks that a rollback journal in a backup never reaches SQLite. SQLite would delete the file
/// that the end of a hot journal names, wherever that file is.
#[test]
fn hot_journal_never_reaches_sqlite() {
    let backup = Handmade::new(&[]);
    let scratch = tempfile::tempdir().unwrap();
    let (mut main, _) = database(scratch.path(), false);
    let page = main.len() - 4096;
    main[page..page + 100].fill(0x5a);
    let victim = scratch.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let name = victim.to_str().unwrap().as_bytes();
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    journal.extend([0; 12]);
    journal.extend(((main.len() / 4096) as u32).to_be_bytes());
    journal.extend(512u32.to_be_bytes());
    journal.extend(4096u32.to_be_bytes());
    journal.resize(512, 0);
    journal.extend((0x4000_0000u32 / 4096 + 1).to_be_bytes());
    journal.extend(name);
    journal.extend((name.len() as u32).to_be_bytes());
    let sum: u32 = name.iter().map(|b| u32::from(*b)).sum();
    journal.extend(sum.to_be_bytes());
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    backup.add("HomeDomain", "x.sqlite", &main);
    backup.add("HomeDomain", "x.sqlite-journal", &journal);
    let report = check(backup.folder(), &deep());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(report.inside.unknown, 1, "{:?}", report.findings);
}
