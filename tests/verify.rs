//! `verify`: the damage that it finds in a backup, and how it classifies it.

use std::fs;
use std::path::{Path, PathBuf};

use idev_backup::backup_format::keybag::KeyBag;
use idev_backup::backup_format::plists::Status;
use idev_backup::backup_format::record::file_id;
use idev_backup::base::progress::{Phase, Silent};
use idev_backup::store::Store;
use idev_backup::verify::{self, Options, Outcome, Report, Wrong};

use crate::advice::Advice as _;
use crate::rig::*;

use crate::rig::program::{ended, program};

fn check(folder: &Path, read_all: bool) -> Report {
    let options = if read_all {
        Options::bytes()
    } else {
        Options::default()
    };
    verify::verify(folder, &options, &Silent).unwrap()
}

/// Copies the rig's store. Returns the folder of the current backup in the copy.
fn copied(rig: &Rig, name: &str) -> PathBuf {
    let root = rig.dir.path().join(name);
    copy_dir(rig.store.root(), &root);
    Store::open(&root).unwrap().current_path(rig.udid())
}

/// Returns the smallest file of the phone with at least `least` bytes, as `xx/<file id>`.
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

/// Damages a copy of the backup.
type Damage = Box<dyn Fn(&Path)>;

/// Checks that only a check of all bytes against our hashes calls a backup whole.
#[test]
fn whole_requires_hashing_every_byte() {
    let rig = Rig::backed_up();
    let report = check(&rig.current(), true);
    assert_eq!(report.outcome, Outcome::Whole, "{:?}", report.findings);
    assert_eq!((report.hashed, report.has_sums), (report.files, true));
    assert_eq!(report.listed, Some(report.files - 4));
    let quick = check(&rig.current(), false);
    // Names and sizes alone prove nothing about the contents.
    assert_eq!((quick.outcome, quick.hashed), (Outcome::NoDamageFound, 0));
    assert_eq!(report.not_compared, 0);
    assert!((1..=report.files).contains(&quick.not_compared));
    // Outside of a store, only the phone's list is available.
    let alone = rig.dir.path().join("elsewhere");
    copy_dir(&rig.current(), &alone);
    let report = check(&alone, true);
    assert_eq!(report.outcome, Outcome::Unchecked, "{:?}", report.findings);
    assert!(!report.has_sums && report.not_compared > 0 && report.remarks == 0);
    let quick = check(&alone, false);
    assert_eq!(quick.outcome, Outcome::NoDamageFound);
}

/// Checks that every kind of damage is found and classified, in a store with hashes and in a folder
/// without them.
#[test]
fn every_damage_is_classified() {
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
    let stray: Damage = Box::new(|folder| fs::write(folder.join("notes.txt"), "x").unwrap());
    let snapshot: Damage = Box::new(|folder| {
        fs::create_dir_all(folder.join("Snapshot/ab")).unwrap();
        fs::write(folder.join("Snapshot/ab").join("ab".repeat(20)), "x").unwrap();
    });
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let empty = |path: &Path| cut(path, 0);

    // Each case has a label, the damage, the file that the finding names ("" for any), the finding
    // with hashes, and the finding in a folder without them (`None` if it cannot be detected).
    use Wrong::{
        Altered, Extra, Misnamed, Missing, Orphaned, Swapped, Truncated, Unfinished, Unreadable,
    };
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
            Truncated,
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
        ("orphaned", extra, "", Orphaned, Some(Orphaned)),
        ("extra", stray, "notes.txt", Extra, Some(Extra)),
        ("swapped", swap, &large, Swapped, Some(Truncated)),
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
            "a row with a changed path",
            rename_row,
            &medium,
            Misnamed,
            Some(Misnamed),
        ),
        (
            "a row with an invalid file id",
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
        // With a Status.plist other than ours, the backup no longer counts as ours, so the list is
        // passed explicitly.
        let sums = rig.store.current(rig.udid()).unwrap().unwrap().sums();
        let options = Options {
            sums,
            ..Options::bytes()
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
                    Outcome::Unchecked,
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
            } else if report.has_sums {
                Outcome::WholeWithRemarks
            } else {
                Outcome::Unchecked
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

/// Checks that a finding names the file's domain and path on the phone.
#[test]
fn findings_name_phone_paths() {
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

/// Checks that a backup in a store whose list of hashes cannot be found is unchecked, not whole.
#[test]
fn missing_hash_list_means_unchecked() {
    let rig = Rig::backed_up();
    let lists = ["Status.plist", "Info.plist"].map(|name| rig.current().join(name));
    let before = lists.each_ref().map(|path| fs::read(path).unwrap());
    // Simulate a backup that another program has continued.
    for (path, bytes) in lists.iter().zip(&before) {
        let mut fields: plist::Dictionary = plist::from_bytes(bytes).unwrap();
        fields.insert("UUID".into(), "another".into());
        plist::to_file_binary(path, &fields).unwrap();
    }
    let report = check(&rig.current(), true);
    assert_eq!(report.outcome, Outcome::Unchecked);
    let found = &report.findings;
    assert!(
        found.iter().any(|f| f.wrong == Wrong::Unchecked),
        "{found:?}"
    );
    // With one of them the backup is ours again, and the list of hashes shows what is wrong with
    // the other.
    fs::write(&lists[0], &before[0]).unwrap();
    let report = check(&rig.current(), true);
    assert_eq!(report.outcome, Outcome::Damaged);
    assert_eq!(report.findings[0].file, "Info.plist");
    fs::write(&lists[1], &before[1]).unwrap();
    assert_eq!(check(&rig.current(), true).outcome, Outcome::Whole);

    fs::write(rig.store.root().join(".idev-backup/store.json"), "{").unwrap();
    let error = verify::verify(&rig.current(), &Options::bytes(), &Silent).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
}

/// Checks that a file whose name is not UTF-8 is reported and does not stop the check of its
/// folder.
#[test]
#[cfg(target_os = "linux")]
fn non_utf8_names_hide_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let rig = Rig::backed_up();
    for folder in fs::read_dir(rig.current()).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            fs::write(folder.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        }
    }
    let report = check(&rig.current(), true);
    assert_eq!(
        report.outcome,
        Outcome::WholeWithRemarks,
        "{:?}",
        report.findings
    );
    assert!(report.findings.iter().all(|f| f.wrong == Wrong::Extra));
    rig.create();
    assert_whole(&rig.current());
}

/// Checks that an empty or absent folder is an error, not a damaged backup.
#[test]
fn non_backup_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("absent")] {
        let error = verify::verify(&path, &Options::default(), &Silent).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
}

/// Checks that a backup that a newer one replaces during the check is an error, not damage.
#[test]
fn replaced_backup_is_not_damaged() {
    let rig = Rig::backed_up();
    let newer = At(Phase::Checking, || {
        rig.create();
    });
    let error = verify::verify(&rig.current(), &Options::bytes(), &newer).unwrap_err();
    assert!(error.to_string().contains("a newer backup"), "{error}");
    assert!(error.hint().is_some());
}

/// Checks that files that the user has no permission to read are reported as errors, not as damage.
#[test]
#[cfg(target_os = "linux")]
fn unreadable_files_are_not_damage() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::backed_up();
    let victim = victim(&rig);
    let names = ["Manifest.db", "Info.plist", victim.to_str().unwrap(), "."];
    let cases = names.map(|name| ("verify", name));
    for (word, name) in cases.into_iter().chain([("info", "."), ("ls", ".")]) {
        let path = rig.current().join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let is_root = fs::metadata(path.join(".")).is_ok() || fs::read(&path).is_ok();
        let mut command = if is_root {
            crate::rig::program::without_root_privileges(&rig)
        } else {
            program(&rig)
        };
        let folder = rig.current();
        let ran = ended(command.arg(word).arg(folder));
        fs::set_permissions(&path, before).unwrap();
        let (code, err) = (ran.code, &ran.err);
        assert_eq!(code, 1, "{name}: {}", ran.all());
        assert!(err.contains("ermission denied"), "{name}: {err}");
        assert!(err.contains("the user who made"), "{name}: {err}");
        assert!(!ran.out.contains("DAMAGED"), "{name}: {}", ran.out);
    }
    let whole = ended(program(&rig).args(["verify", "latest", "--quiet"]));
    assert_eq!(whole.code, 0, "{}", whole.all());
}

#[test]
fn verify_writes_nothing() {
    let rig = Rig::backed_up();
    let before = tree(rig.dir.path());
    check(&rig.current(), true);
    assert_same(&before, &tree(rig.dir.path()), "after the check");
}

/// Checks three backups that golemine generated. They are in the folder `shared` beside the
/// project; the test is skipped if it is absent.
#[test]
fn golemine_backups_are_verified() {
    let Some(generated) = others("pmeenan-golemine/e2e/fixtures/generated") else {
        return;
    };
    for (name, outcome, encrypted) in [
        ("ios-mini-backup", Outcome::Unchecked, false),
        ("ios-malformed-backup", Outcome::Unchecked, false),
        ("ios-mini-encrypted-backup", Outcome::Unchecked, true),
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
fn finished_status_is_recognized() {
    let rig = Rig::backed_up();
    assert!(Status::read(&rig.current()).unwrap().is_finished());
    let folder = copied(&rig, "copy");
    set_state(&folder, "moving");
    let status = Status::read(&folder).unwrap();
    assert!(status.is_resumable() && !status.is_finished());
}

/// A file of a backup of iOS 9 or older: domain, path, bytes on disk, size in the list, and true if
/// it has a key.
type Old<'a> = (&'a str, &'a str, &'a [u8], u64, bool);

/// Creates a backup of iOS 9 or older with these files in one folder. Its list also has a folder
/// and a link.
fn old_backup(files: &[Old]) -> tempfile::TempDir {
    let string = |text: &[u8]| [&(text.len() as u16).to_be_bytes(), text].concat();
    let none = [0xff, 0xff];
    let record = |domain: &str, path: &str, link: Option<&str>, mode: u16, size: u64, key: bool| {
        let mut bytes = [string(domain.as_bytes()), string(path.as_bytes())].concat();
        bytes.extend(link.map_or(none.to_vec(), |target| string(target.as_bytes())));
        bytes.extend(none);
        bytes.extend(if key { string(&[4; 44]) } else { none.to_vec() });
        bytes.extend(mode.to_be_bytes());
        bytes.extend([0; 28]);
        bytes.extend(size.to_be_bytes());
        bytes.extend([4, 0]);
        bytes
    };
    let dir = tempfile::tempdir().unwrap();
    let mut list = b"mbdb\x05\x00".to_vec();
    list.extend(record("HomeDomain", "", None, 0o040_755, 0, false));
    list.extend(record("HomeDomain", "l", Some("/x"), 0o120_755, 0, false));
    let mut is_encrypted = false;
    for &(domain, path, bytes, size, key) in files {
        list.extend(record(domain, path, None, 0o100_644, size, key));
        fs::write(dir.path().join(file_id(domain, path)), bytes).unwrap();
        is_encrypted |= key;
    }
    fs::write(dir.path().join("Manifest.mbdb"), list).unwrap();
    let plist = |name: &str, key: &str, value: plist::Value| {
        let mut fields = plist::Dictionary::new();
        fields.insert(key.into(), value);
        if name == "Manifest.plist" {
            fields.insert("BackupKeyBag".into(), plist::Value::Data(key_bag()));
        }
        let path = dir.path().join(name);
        plist::Value::Dictionary(fields).to_file_xml(path).unwrap();
    };
    plist("Info.plist", "Device Name", "old".into());
    plist("Status.plist", "SnapshotState", "finished".into());
    plist("Manifest.plist", "IsEncrypted", is_encrypted.into());
    dir
}

/// Returns the smallest keybag that a password can open.
fn key_bag() -> Vec<u8> {
    let fields: [(&[u8; 4], &[u8]); 7] = [
        (b"UUID", &[1; 16]),
        (b"SALT", &[2; 20]),
        (b"ITER", &[0, 0, 0x27, 0x10]),
        (b"UUID", &[3; 16]),
        (b"CLAS", &[0, 0, 0, 4]),
        (b"WRAP", &[0, 0, 0, 2]),
        (b"WPKY", &[5; 40]),
    ];
    let field = |(tag, value): (&[u8; 4], &[u8])| {
        [&tag[..], &(value.len() as u32).to_be_bytes(), value].concat()
    };
    fields.into_iter().flat_map(field).collect()
}

/// Checks that damage to a backup of iOS 9 is found with its Manifest.mbdb.
#[test]
fn mbdb_backup_is_verified() {
    let files: [Old; 3] = [
        ("HomeDomain", "Library/a", b"0123456789", 10, false),
        ("HomeDomain", "Library/b", b"", 0, false),
        ("AppDomain-com.example", "c", &[7; 5000], 5000, false),
    ];
    let whole = old_backup(&files);
    let report = check(whole.path(), true);
    assert_eq!(report.outcome, Outcome::Unchecked, "{:?}", report.findings);
    assert!(report.findings.is_empty());
    assert_eq!((report.listed, report.files), (Some(3), 7));
    assert_eq!(report.contents.iter().map(|a| a.bytes).sum::<u64>(), 5010);

    let a = file_id("HomeDomain", "Library/a");
    let stranger = "ab".repeat(20);
    use Wrong::{Missing, Orphaned, OtherSize, Truncated, Unreadable};
    let table: [(&str, Wrong, Damage); 6] = [
        (&a, Missing, Box::new(|f| fs::remove_file(f).unwrap())),
        (&a, Truncated, Box::new(|f| cut(f, 9))),
        (&a, Truncated, Box::new(|f| cut(f, 0))),
        (&a, OtherSize, Box::new(|f| cut(f, 11))),
        (
            &stranger,
            Orphaned,
            Box::new(|f| fs::write(f, "x").unwrap()),
        ),
        ("Manifest.mbdb", Unreadable, Box::new(|f| cut(f, 200))),
    ];
    for (file, wrong, damage) in table {
        let old = old_backup(&files);
        damage(&old.path().join(file));
        let report = check(old.path(), true);
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|f| (&*f.file, f.wrong))
            .collect();
        assert_eq!(found, [(file, wrong)]);
    }
}

/// Checks that the size of an encrypted file of iOS 9 on disk is judged by its listed size, rounded
/// to whole blocks.
#[test]
fn encrypted_mbdb_sizes_are_checked() {
    let one = |on_disk: usize, size| {
        let bytes = vec![7; on_disk];
        let files: [Old; 2] = [
            ("HomeDomain", "Library/a", &bytes, size, true),
            ("HomeDomain", "Library/b", b"0123456789", 10, false),
        ];
        let report = check(old_backup(&files).path(), true);
        assert!(report.encrypted && report.listed == Some(2));
        report.findings.first().map(|finding| finding.wrong)
    };
    for (on_disk, size) in [
        (0, 0),
        (16, 0),
        (16, 1),
        (16, 15),
        (16, 16),
        (32, 16),
        (5008, 5000),
    ] {
        assert_eq!(one(on_disk, size), None, "{on_disk} for {size}");
    }
    for (on_disk, size) in [(0, 1), (1, 1), (15, 15), (10, 16), (31, 32)] {
        assert_eq!(
            one(on_disk, size),
            Some(Wrong::Truncated),
            "{on_disk} for {size}"
        );
    }
    // As short as a compacted database may be: only the password can show whether it is one.
    for (on_disk, size) in [(16, 17), (4992, 5000)] {
        assert_eq!(
            one(on_disk, size),
            Some(Wrong::Unchecked),
            "{on_disk} for {size}"
        );
    }
    for (on_disk, size) in [(1, 0), (17, 16), (32, 15), (48, 16), (33, 32)] {
        assert_eq!(
            one(on_disk, size),
            Some(Wrong::OtherSize),
            "{on_disk} for {size}"
        );
    }
}

/// Checks that names that lead out of their domain are damage, in Manifest.mbdb and in Manifest.db.
#[test]
fn escaping_names_are_damage() {
    let old = old_backup(&[
        ("HomeDomain", "Library/a", b"x", 1, false),
        ("SysContainerDomain-../../var", "b", b"x", 1, false),
        ("HomeDomain", "Library/../../c", b"x", 1, false),
    ]);
    let rig = Rig::backed_up();
    let new = copied(&rig, "copy");
    sql(
        &new,
        "UPDATE Files SET relativePath = '../' || relativePath WHERE flags = 2 AND relativePath != ''",
    );
    for (folder, list) in [(old.path(), "Manifest.mbdb"), (&new, "Manifest.db")] {
        let report = check(folder, false);
        assert_eq!(report.outcome, Outcome::Damaged);
        let leads_out = |f: &&verify::Finding| f.detail.contains("lead out");
        let Some(finding) = report.findings.iter().find(leads_out) else {
            panic!("{:#?}", report.findings);
        };
        // The rows with changed names also have ids that do not match.
        assert!(report.findings.len() <= 2, "{:#?}", report.findings);
        assert_eq!((finding.wrong, &*finding.file), (Wrong::Misnamed, list));
        let name = format!("{:?}/{:?}", finding.domain, finding.relative_path);
        assert!(name.contains("../"), "{name}");
    }
}

/// Checks that a missing or unreadable keybag is damage in an encrypted backup, and not in an
/// unencrypted one.
#[test]
fn unreadable_keybag_is_damage() {
    let check_with = |bag: Option<&[u8]>, is_encrypted: bool| {
        let old = old_backup(&[("HomeDomain", "a", b"x", 1, false)]);
        let mut fields = plist::Dictionary::new();
        fields.insert("IsEncrypted".into(), is_encrypted.into());
        if let Some(bag) = bag {
            fields.insert("BackupKeyBag".into(), plist::Value::Data(bag.to_vec()));
        }
        let path = old.path().join("Manifest.plist");
        plist::Value::Dictionary(fields)
            .to_file_binary(path)
            .unwrap();
        check(old.path(), false)
    };
    let bag = key_bag();
    let without_classes = &bag[..bag.len() - 24 - 12 - 12 - 48];
    for bad in [None, Some(&[][..]), Some(&bag[..50]), Some(without_classes)] {
        let report = check_with(bad, true);
        let why = report.first_damage();
        assert!(
            why.contains("its files cannot be decrypted"),
            "{bad:?}: {why}"
        );
        assert_eq!((report.outcome, report.damage), (Outcome::Damaged, 1));
        // An unencrypted backup does not need the keys.
        let outcome = check_with(bad, false).outcome;
        assert_eq!(outcome, Outcome::NoDamageFound, "{bad:?}");
    }
    let outcome = check_with(Some(&bag), true).outcome;
    assert_eq!(outcome, Outcome::NoDamageFound);
}

#[test]
fn simulated_keybag_is_parsed() {
    let rig = Rig::backed_up();
    let manifest = plist::Value::from_file(rig.current().join("Manifest.plist")).unwrap();
    let bag = manifest.as_dictionary().unwrap().get("BackupKeyBag");
    let bag = KeyBag::parse(bag.unwrap().as_data().unwrap()).unwrap();
    assert_eq!(bag.class_keys.len(), 11);
    assert_eq!(bag.first_derivation.unwrap().iterations, 10_000_000);
}

/// Checks that a check of every byte expects the size of the backup, and a quick one the number of
/// its files.
#[test]
fn check_knows_how_much_it_reads() {
    let rig = Rig::backed_up();
    let report = fs::read(
        rig.store
            .current(rig.udid())
            .unwrap()
            .unwrap()
            .report()
            .unwrap(),
    );
    let report: serde_json::Value = serde_json::from_slice(&report.unwrap()).unwrap();
    for (args, bytes) in [
        (&["verify"][..], report["bytes"].clone()),
        (&["verify", "--quick"], serde_json::Value::Null),
    ] {
        let ran = ended(program(&rig).args(args).arg("--json"));
        let progress = ran.object("progress");
        assert_eq!(progress["bytes_total"], bytes, "{progress}");
        assert_eq!(progress["files_total"], report["files"], "{progress}");
        assert!(
            progress["percent"].as_f64().is_some_and(|p| p <= 100.0),
            "{progress}"
        );
    }
}

/// Checks that the advice for a damaged backup that is in no store of ours does not name commands
/// for a store.
#[test]
fn damaged_foreign_backup_gets_own_advice() {
    let rig = Rig::backed_up();
    let folder = rig.dir.path().join("old").join(UDID);
    copy_dir(&rig.current(), &folder);
    let verified = |folder: &Path| {
        fs::remove_file(folder.join(crate::rig::victim(&rig))).unwrap();
        let ran = ended(program(&rig).arg("verify").arg(folder));
        assert_eq!(ran.code, 1, "{}", ran.all());
        ran.out
    };
    let out = verified(&folder);
    assert!(out.contains("hint: look for another copy"), "{out}");
    assert!(!out.contains("idev-backup create"), "{out}");
    let out = verified(&rig.current());
    assert!(out.contains("idev-backup create --full"), "{out}");
}
