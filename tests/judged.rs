//! Comparison of a backup's files with the phone's list: `verify`, `extract`, `adopt` and the
//! rehearsal of a restore must all come to the same result.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use idev_backup::backup_format::record::{FileRecord, MODE_FILE, file_id};
use idev_backup::base::progress::Silent;
use idev_backup::base::secret::Secret;
use idev_backup::base::time;
use idev_backup::history::last_good::{last_good, rests_on};
use idev_backup::history::list::{self, Look};
use idev_backup::reader::passwords::Known;
use idev_backup::simulator::{Password, PhoneConfig};
use idev_backup::verify::{self, Depth, Options, Outcome, Report, Wrong};
use rusqlite::Connection;
use sha1::{Digest, Sha1};

use crate::made::Made;
use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

const DOMAIN: &str = "HomeDomain";

/// A file of a backup: its stored bytes, its entry in the list, and the expected finding.
struct Case {
    path: &'static str,
    stored: Vec<u8>,
    listed: u64,
    /// The bytes whose digest the list contains.
    digest_of: Option<Vec<u8>>,
    finding: Option<Wrong>,
}

/// Returns an intact database with one page for each of `rows`, and some more pages.
fn database(rows: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE t (a TEXT)").unwrap();
    for _ in 0..rows {
        db.execute("INSERT INTO t VALUES (?)", ["y".repeat(3000)])
            .unwrap();
    }
    drop(db);
    fs::read(path).unwrap()
}

fn property_list(folder: &Path, name: &str, fields: &[(&str, plist::Value)]) {
    let fields = fields.iter();
    let fields: plist::Dictionary = fields.map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    plist::Value::Dictionary(fields)
        .to_file_binary(folder.join(name))
        .unwrap();
}

/// Writes a backup of one file, as another program makes it: without hashes, and without a key bag.
fn write(case: &Case, folder: &Path) {
    let mut made = Made::default();
    let record = FileRecord {
        relative_path: case.path.to_owned(),
        size: case.listed,
        mode: MODE_FILE | 0o644,
        last_modified: 1_600_000_000,
        digest: (case.digest_of.as_ref()).map(|bytes| Sha1::digest(bytes).to_vec()),
        ..FileRecord::default()
    };
    made.row(DOMAIN, case.path, 1, record.encode(), Some(&case.stored));
    made.write(folder);
    let date = plist::Date::from(SystemTime::now());
    property_list(
        folder,
        "Status.plist",
        &[
            ("SnapshotState", "finished".into()),
            ("Version", "3.3".into()),
            ("UUID", "4A3C0000-0000-0000-0000-000000000001".into()),
            ("IsFullBackup", true.into()),
            ("BackupState", "new".into()),
            ("Date", date.into()),
        ],
    );
    let lockdown: plist::Dictionary = [
        ("ProductVersion", "18.6.2"),
        ("ProductType", "iPhone16,1"),
        ("UniqueDeviceID", UDID),
    ]
    .map(|(key, value)| (key.to_owned(), plist::Value::from(value)))
    .into_iter()
    .collect();
    property_list(
        folder,
        "Manifest.plist",
        &[
            ("IsEncrypted", false.into()),
            ("Lockdown", plist::Value::Dictionary(lockdown)),
        ],
    );
    property_list(
        folder,
        "Info.plist",
        &[
            ("Target Identifier", UDID.into()),
            ("Product Type", "iPhone16,1".into()),
            ("Product Version", "18.6.2".into()),
            ("Device Name", "Test".into()),
        ],
    );
}

fn cases() -> Vec<Case> {
    let whole = database(9);
    let length = whole.len() as u64;
    let case = |path, stored: &[u8], listed, digest_of: Option<&[u8]>, finding| Case {
        path,
        stored: stored.to_vec(),
        listed,
        digest_of: digest_of.map(<[u8]>::to_vec),
        finding,
    };
    let cut = &whole[..whole.len() - 4096];
    let (smaller, larger) = (database(4), database(20));
    let remark = Some(Wrong::OtherSize);
    vec![
        case("as-listed.db", &whole, length, Some(&whole), None),
        case("Call.storedata", &whole, length + 8192, None, remark),
        case("UPPER.SQLITE3", &whole, length + 4096, None, remark),
        case("grown", &whole, length - 4096, None, remark),
        // A real backup has such a file: its digest matches the stored bytes, its size is the
        // earlier one.
        case(
            "DataUsage.sqlite",
            &whole,
            length - 4096,
            Some(&whole),
            None,
        ),
        case("compacted.db", &whole, length + 4096, Some(&whole), None),
        case(
            "replaced.db",
            &smaller,
            length,
            Some(&whole),
            Some(Wrong::Altered),
        ),
        case(
            "replaced",
            &larger,
            length,
            Some(&whole),
            Some(Wrong::Altered),
        ),
        case("cut.db", cut, length, None, Some(Wrong::Truncated)),
        case(
            "cut.sqlite",
            &whole[..5000],
            length,
            None,
            Some(Wrong::Truncated),
        ),
        case(
            "no-database.db",
            b"short",
            3559,
            None,
            Some(Wrong::Truncated),
        ),
        case("book.epub", &[7; 1779], 3559, None, Some(Wrong::Truncated)),
        case("grown.log", &[7; 1779], 1000, None, remark),
    ]
}

fn check(folder: &Path, depth: Depth) -> Report {
    let options = Options {
        depth,
        ..Options::default()
    };
    verify::verify(folder, &options, &Silent).unwrap()
}

#[test]
fn every_command_judges_files_alike() {
    for case in cases() {
        let what = case.path;
        let rig = Rig::new();
        let folder = rig.dir.path().join("of-another-program").join(UDID);
        write(&case, &folder);
        let is_damage = case.finding.is_some_and(Wrong::is_damage);
        for depth in [Depth::Quick, Depth::Bytes, Depth::Deep] {
            let report = check(&folder, depth);
            let mut found: Vec<Wrong> = report.findings.iter().map(|f| f.wrong).collect();
            // A truncated or replaced database may also fail to open.
            found.retain(|wrong| *wrong != Wrong::Corrupt);
            let wanted: Vec<Wrong> = case.finding.into_iter().collect();
            assert_eq!(found, wanted, "{what} {depth:?}: {:?}", report.findings);
            let is_damaged = report.outcome == Outcome::Damaged;
            assert_eq!(is_damaged, is_damage, "{what} {depth:?}");
            assert!(
                depth < Depth::Deep || report.restorable == Some(!is_damage),
                "{what}"
            );
        }
        let run = |arguments: &[&str]| -> Ran {
            let mut command = program(&rig);
            ended(command.args(arguments).arg(&folder).arg("--json"))
        };
        let rehearsed = run(&["restore", "--rehearse"]);
        assert_eq!(
            rehearsed.code == 1,
            is_damage,
            "{what}: {}",
            rehearsed.all()
        );
        let to = rig.dir.path().join("extracted");
        let extracted = run(&["extract", "--to", to.to_str().unwrap()]);
        let problems = &extracted.object("extracted")["problems"]["first"];
        let wrong = match case.finding {
            Some(Wrong::Truncated) => Some("truncated"),
            Some(Wrong::Altered) => Some("altered"),
            Some(Wrong::OtherSize) if what == "grown.log" => Some("other_size"),
            _ => None,
        };
        assert_eq!(problems[0]["wrong"].as_str(), wrong, "{what}: {problems}");
        let adopted = run(&["adopt"]);
        assert_eq!(adopted.code == 0, !is_damage, "{what}: {}", adopted.all());
    }
}

/// Checks a phone that sends half of a file and reports a good backup: the backup is kept, and a
/// problem names the file.
#[test]
fn short_file_is_a_problem() {
    let rig = Rig::new();
    rig.phone.suffer(&["short-file".parse().unwrap()]);
    let ran = ended(program(&rig).arg("create"));
    assert_eq!(ran.code, 3, "{}", ran.all());
    let said = ran.all();
    assert!(
        said.contains("the phone's list says") && said.contains("Domain/"),
        "{said}"
    );
    assert!(!said.contains("all there and of the right size"), "{said}");
    rig.phone.suffer(&[]);
    for depth in [Depth::Quick, Depth::Bytes, Depth::Deep] {
        let report = check(&rig.current(), depth);
        let found: Vec<Wrong> = report.findings.iter().map(|f| f.wrong).collect();
        assert_eq!(found, [Wrong::Short], "{depth:?}: {:?}", report.findings);
        assert_eq!(report.other_sizes, 1);
    }
    let ran = ended(program(&rig).arg("verify"));
    assert_eq!(ran.code, 3, "{}", ran.all());
    // A phone compares sizes, so no restore begins, and the rehearsal reports the same.
    assert_eq!(check(&rig.current(), Depth::Deep).restorable, Some(false));
    let ran = ended(program(&rig).args(["restore", "latest", "--rehearse"]));
    assert_eq!(ran.code, 1, "{}", ran.all());
    let ran = ended(program(&rig).args(["restore", "latest", "--rehearse", "--force"]));
    assert!(ran.code == 1 && ran.all().contains("205"), "{}", ran.all());
}

fn encrypting() -> PhoneConfig {
    PhoneConfig {
        backup_password: Some(Password::new("correct horse")),
        ..config()
    }
}

/// Checks a backup without its password: the phone's list cannot be read, so missing files cannot
/// be detected.
#[test]
fn unread_manifest_is_never_whole() {
    let rig = Rig::with(encrypting());
    rig.phone.suffer(&["missing-file".parse().unwrap()]);
    let ran = ended(program(&rig).arg("create"));
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(!ran.all().contains("all present"), "{}", ran.all());
    assert!(
        ran.all().contains("give the password to check it"),
        "{}",
        ran.all()
    );
    for level in [
        &["verify"][..],
        &["verify", "--quick"],
        &["verify", "--sample", "50%"],
    ] {
        let ran = ended(program(&rig).args(level).arg("--json"));
        assert_eq!(ran.code, 3, "{level:?}: {}", ran.all());
        assert_eq!(ran.object("verified")["outcome"], "unchecked", "{level:?}");
        let ran = ended(program(&rig).args(level));
        assert!(ran.out.starts_with("UNCHECKED. "), "{}", ran.out);
    }
    // With the password, `verify` finds the missing file.
    let mut command = program(&rig);
    let ran = ended(
        command
            .arg("verify")
            .env("IDEV_BACKUP_PASSWORD", "correct horse"),
    );
    assert_eq!(ran.code, 1, "{}", ran.all());
}

#[test]
fn first_line_says_what_was_read() {
    let rig = Rig::backed_up();
    let first = |arguments: &[&str], code: i32| {
        let ran = ended(program(&rig).args(arguments));
        assert_eq!(ran.code, code, "{}", ran.all());
        ran.out.lines().next().unwrap().to_owned()
    };
    let files = check(&rig.current(), Depth::Quick).files;
    let sampled = first(&["verify", "--sample", "10%"], 0);
    assert!(sampled.starts_with("NO DAMAGE FOUND in "), "{sampled}");
    assert!(
        sampled.contains(&format!(" of {files} files that were read")),
        "{sampled}"
    );
    let quick = first(&["verify", "--quick"], 0);
    assert!(quick.contains("names and sizes"), "{quick}");
    assert!(first(&["verify"], 0).starts_with("WHOLE. "));
    let alone = rig.dir.path().join("alone");
    copy_dir(&rig.current(), &alone);
    let alone = alone.to_str().unwrap();
    assert!(first(&["verify", alone], 3).starts_with("UNCHECKED. "));
    assert!(first(&["verify", "--deep", alone], 0).starts_with("NO DAMAGE FOUND. "));
}

/// Checks that a file that holds another file's ciphertext counts as damaged, whatever its length.
#[test]
fn swapped_ciphertext_is_damage() {
    let rig = Rig::with(encrypting());
    rig.try_create(&options(), &Silent).unwrap();
    let alone = rig.dir.path().join("alone");
    copy_dir(&rig.current(), &alone);
    let place = |id: &str| alone.join(&id[..2]).join(id);
    let mut files: Vec<_> = rig.phone.files().map(|f| (f.size(), f.file_id())).collect();
    files.retain(|(size, _)| *size > 100);
    files.sort();
    // The padding of one in 256 wrong files is valid by chance, so swap three files.
    let (small, large) = (&files[..3], &files[files.len() - 3..]);
    for ((_, one), (_, other)) in small.iter().zip(large) {
        fs::copy(place(other), place(one)).unwrap();
    }
    let password = Known(Secret::new(b"correct horse".to_vec()));
    let options = Options {
        depth: Depth::Deep,
        passwords: Some(&password),
        ..Options::default()
    };
    let report = verify::verify(&alone, &options, &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Damaged, "{:?}", report.findings);
    assert_eq!(report.restorable, Some(false));
}

/// Checks dates outside the calendar, which the property lists of every phone contain.
#[test]
fn impossible_dates_are_not_damage() {
    let mut list = b"bplist00\x33".to_vec();
    list.extend((-63_114_076_800f64).to_be_bytes());
    list.push(8);
    list.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    list.extend([1u64, 0, 17].iter().flat_map(|n| n.to_be_bytes()));
    let xml = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><date>0000-12-30T00:00:00Z</date></plist>";
    for (stored, is_right) in [(&list[..], true), (xml, true), (&list[..30], false)] {
        let folder = tempfile::tempdir().unwrap();
        let case = Case {
            path: "Library/Preferences/com.example.plist",
            stored: stored.to_vec(),
            listed: stored.len() as u64,
            digest_of: None,
            finding: None,
        };
        write(&case, folder.path());
        let report = check(folder.path(), Depth::Deep);
        assert_eq!(report.damage == 0, is_right, "{:?}", report.findings);
        assert_eq!(report.inside.property_lists, u64::from(is_right));
    }
}

/// Checks a run of another program that the phone refused at once. It leaves a Status.plist that
/// says "finished", but must not count as a backup.
#[test]
fn aborted_runs_do_not_count() {
    let rig = Rig::new();
    let folder = rig.store.current_path(rig.udid());
    let case = &cases()[0];
    write(case, &folder);
    fs::remove_file(folder.join("Manifest.db")).unwrap();
    let id = file_id(DOMAIN, case.path);
    fs::remove_dir_all(folder.join(&id[..2])).unwrap();
    fs::write(folder.join("Manifest.plist"), "").unwrap();
    assert!(!rig.listed()[0].complete);
    let listed = ended(program(&rig).args(["list", "--json"]));
    assert!(listed.out.contains("\"last_good\":null"), "{}", listed.out);
    let ran = ended(program(&rig).args(["create", "--if-older-than", "20h"]));
    assert!(ran.code == 0 || ran.code == 3, "{}", ran.all());
    assert!(folder.join("Manifest.db").exists(), "{}", ran.all());
}

/// Checks that all commands find the same date of a backup. Other programs write it into only one
/// of three property lists.
#[test]
fn every_command_reads_one_date() {
    let rig = Rig::new();
    let folder = rig.store.current_path(rig.udid());
    write(&cases()[0], &folder);
    property_list(
        &folder,
        "Status.plist",
        &[("SnapshotState", "finished".into())],
    );
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
    property_list(
        &folder,
        "Manifest.plist",
        &[
            ("IsEncrypted", false.into()),
            ("Date", plist::Date::from(made).into()),
        ],
    );
    let (store, udid) = (&rig.store, rig.udid());
    assert_eq!(last_good(store, udid), Some(made));
    assert_eq!(rests_on(store, udid), Some(made));
    let look = Look {
        sizes: false,
        overdue: Duration::from_secs(86_400),
        now: made + Duration::from_secs(151 * 86_400),
    };
    let phone = &list::overview(store, &look).unwrap().phones[0];
    assert_eq!(phone.last_good, Some(time::rfc3339(made)));
    assert!(phone.overdue);
}
