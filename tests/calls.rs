//! `export calls` and `export voicemail`: the readers find the truth about the phone, every format
//! holds it, and bad rows are marked.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use idev_backup::base::progress::Silent;
use idev_backup::content::calls::Calls;
use idev_backup::content::contacts::Contacts;
use idev_backup::content::voicemail::Voicemail;
use idev_backup::content::{self, Kind, Time};
use idev_backup::export::Error;
use idev_backup::export::destination::Into;
use idev_backup::export::records::{self, Format, Options, Report, What};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::{Value, json};

use crate::content::{VERSIONS, backup_of, changed, phone, private_phone};
use crate::made::Made;
use crate::rig;

pub const ALL: [Format; 3] = [Format::Html, Format::Jsonl, Format::Csv];

pub fn export(backup: &Path, to: &Path, what: What, options: &Options) -> Result<Report, Error> {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let exported = records::export(&opened, to, what, options, &no, &Silent)?;
    assert!(exported.stopped.is_none(), "{:?}", exported.stopped);
    Ok(exported.report)
}

pub fn in_all_formats() -> Options {
    Options {
        formats: ALL.to_vec(),
        ..Options::default()
    }
}

pub fn lines(to: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(to.join(name)).unwrap();
    let line = |line| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

/// Removes the fields that only an export adds.
pub fn bare(mut records: Vec<Value>) -> Vec<Value> {
    for record in &mut records {
        let fields = record.as_object_mut().unwrap();
        assert_eq!(fields.remove("version"), Some(json!(1)));
        fields.remove("exported");
    }
    records
}

/// Asserts that a page and a table do no harm.
pub fn assert_harmless(to: &Path, stem: &str) {
    let page = fs::read_to_string(to.join(format!("{stem}.html"))).unwrap();
    for evil in ["<script>alert", "href=\"javascript:", "<b>"] {
        let body = page.split("<main>").nth(1).unwrap();
        let body = body.replace("<b><bdi>", "").replace("<b class", "");
        assert!(!body.contains(evil), "{evil}");
    }
    let table = fs::read_to_string(to.join(format!("{stem}.csv"))).unwrap();
    for line in table.lines() {
        assert!(!line.starts_with('=') && !line.contains(",="), "{line}");
    }
}

#[test]
fn calls_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = private_phone(ios);
        let dir = rig::room();
        let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
        let calls = Calls::open(&backup).unwrap();
        let names = Contacts::open(&backup).unwrap().directory(calls.home());
        let mut found = Vec::new();
        let each = |call| {
            found.push(serde_json::to_value(call).unwrap());
            true
        };
        calls.each(Some(&names), each).unwrap();
        let truth = phone.truth()["calls"].as_array().unwrap().clone();
        assert_eq!(found.len(), truth.len(), "iOS {ios}");
        for (found, truth) in found.iter().zip(&truth) {
            assert_eq!(found, truth, "iOS {ios}");
        }
    }
}

#[test]
fn voicemail_of_all_versions_is_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
        let voicemail = Voicemail::open(&backup).unwrap();
        let names = Contacts::open(&backup).unwrap().directory(voicemail.home());
        let mut found = Vec::new();
        let each = |recording| {
            found.push(serde_json::to_value(recording).unwrap());
            true
        };
        voicemail.each(Some(&names), each).unwrap();
        assert_eq!(Value::from(found), phone.truth()["voicemail"], "iOS {ios}");
    }
}

#[test]
fn calls_are_in_every_format() {
    let phone = private_phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Calls, &in_all_formats()).unwrap();
    assert!(report.is_good(), "{report:?}");
    let truth = phone.truth()["calls"].as_array().unwrap().clone();
    assert_eq!(bare(lines(&to, "calls.jsonl")), truth);
    assert_eq!(
        (report.records[0].one, report.records[0].count),
        ("call", truth.len() as u64)
    );
    let page = fs::read_to_string(to.join("calls.html")).unwrap();
    assert_eq!(page.matches("<li>").count(), truth.len());
    for text in [
        "نور الهدى",
        "Unknown number",
        "FaceTime video",
        "1:02:03",
        "Missed",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let table = fs::read_to_string(to.join("calls.csv")).unwrap();
    assert!(table.contains("\"'=HYPERLINK("), "{table}");
    assert_harmless(&to, "calls");
    // The same export runs again in its folder.
    let before = rig::tree(&to);
    let again = export(&backup, &to, What::Calls, &in_all_formats()).unwrap();
    assert!(again.resumed);
    rig::assert_same(&before, &rig::tree(&to), "the export");
    let period = Options {
        period: idev_backup::content::messages::Period {
            since: Time::since_1970(1_704_500_000),
            until: Time::since_1970(1_705_000_000),
        },
        ..in_all_formats()
    };
    let some = dir.path().join("some");
    export(&backup, &some, What::Calls, &period).unwrap();
    let times: Vec<String> = lines(&some, "calls.jsonl")
        .iter()
        .map(|call| call["time"].as_str().unwrap().to_owned())
        .collect();
    assert!(!times.is_empty() && times.len() < truth.len());
    let limits = "2024-01-06T00:13:20Z".."2024-01-11T19:06:40Z";
    assert!(times.iter().all(|time| limits.contains(&time.as_str())));
}

#[test]
fn voicemail_has_its_recordings() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let dry = Options {
        into: Into {
            dry_run: true,
            ..Into::default()
        },
        ..in_all_formats()
    };
    let report = export(&backup, &to, What::Voicemail, &dry).unwrap();
    assert!(report.dry_run && !to.exists());
    let report = export(&backup, &to, What::Voicemail, &in_all_formats()).unwrap();
    assert_eq!((report.files.exported, report.files.missing), (3, 1));
    let records = lines(&to, "voicemail.jsonl");
    assert_eq!(
        Value::from(bare(records.clone())),
        phone.truth()["voicemail"]
    );
    for record in &records {
        let Some(path) = record["exported"].as_str() else {
            assert!(record["path"].is_null());
            continue;
        };
        let bytes = fs::read(to.join(path)).unwrap();
        let seconds = record["seconds"].as_f64().unwrap() as usize;
        assert!(bytes.starts_with(b"#!AMR\n") && bytes.len() == 6 + 50 * seconds);
    }
    assert_harmless(&to, "voicemail");
    let again = export(&backup, &to, What::Voicemail, &in_all_formats()).unwrap();
    assert_eq!((again.files.exported, again.files.there), (0, 3));
    #[cfg(unix)]
    for entry in walkdir::WalkDir::new(&to) {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", entry.path().display());
    }
}

/// Checks that rows which cannot be right are exported, marked and counted, and that rows which are
/// only in the log are found.
#[test]
fn bad_rows_are_marked() {
    let phone = private_phone("18.6.2");
    let sql =
        "INSERT INTO ZCALLRECORD (Z_PK, ZDATE, ZADDRESS, ZORIGINATED, ZCALLTYPE, ZDURATION) VALUES
        (901, 63113904000, 'far future', 0, 1, 1), (902, -12622780800, 'long ago', 0, 1, 'x'),
        (903, 'yesterday', x'ff00', 1, 77, -5), (904, 7e8, 'good', 0, 8, 1e300);";
    for log in [false, true] {
        let dir = rig::room();
        let backup = dir.path().join("backup");
        changed(&phone, "CallHistory.storedata", sql, log).write(&backup);
        let to = dir.path().join("to");
        let report = export(&backup, &to, What::Calls, &in_all_formats()).unwrap();
        let records = lines(&to, "calls.jsonl");
        let truth = phone.truth()["calls"].as_array().unwrap().len();
        assert_eq!(records.len(), truth + 4);
        let of = |id: i64| records.iter().find(|one| one["id"] == id).unwrap();
        let doubts: Vec<&Value> = [901, 902, 903].map(|id| &of(id)["doubts"][0]).to_vec();
        assert_eq!(
            doubts,
            [
                "its date is in the year 4001",
                "its date is in the year 1601",
                "its date is not a date: \"yesterday\"",
            ]
        );
        assert!(of(904)["doubts"].is_null());
        assert_eq!(of(903)["service"], json!({ "call_type": 77 }));
        assert_eq!((report.doubtful.count, report.is_good()), (3, false));
        assert_eq!(report.doubtful.first[0].record, "call 902 (long ago)");
    }
}

#[test]
fn absent_calls_name_the_reason() {
    let dir = rig::room();
    let backup = backup_of(&phone("18.6.2"), dir.path());
    let to = dir.path().join("to");
    let e = export(&backup, &to, What::Calls, &in_all_formats()).unwrap_err();
    assert!(matches!(
        e,
        Error::Content(content::Error::OnlyInEncrypted(Kind::Calls))
    ));
    assert_eq!(
        e.to_string(),
        "the backup has no calls: phones include them only in encrypted backups, and this one is \
         not encrypted"
    );
    assert!(!to.exists());
}

#[test]
fn damaged_and_unknown_databases_name_themselves() {
    let dir = rig::room();
    let open = |name: &str, bytes: &[u8]| {
        let mut made = Made::default();
        made.file(
            "HomeDomain",
            "Library/CallHistoryDB/CallHistory.storedata",
            bytes,
        );
        let folder = dir.path().join(name);
        made.write(&folder);
        let backup = Backup::open(&folder, &NoPasswords).unwrap();
        Calls::open(&backup).err().map(|e| e.to_string()).unwrap()
    };
    let place = "HomeDomain/Library/CallHistoryDB/CallHistory.storedata";
    let other = dir.path().join("other.db");
    let db = rusqlite::Connection::open(&other).unwrap();
    db.execute_batch("CREATE TABLE ZCALLRECORD (Z_PK, ZDATE)")
        .unwrap();
    assert_eq!(
        open("other", &fs::read(&other).unwrap()),
        format!(
            "the schema of {place} is not known: its table ZCALLRECORD has no column ZADDRESS, \
             ZORIGINATED"
        )
    );
    let e = open("cut", b"SQLite format 3\0 and no more");
    assert!(e.starts_with(&format!("cannot read {place}: ")), "{e}");
}

/// Checks that a database that ends too early gives the rows before its end.
#[test]
fn cut_database_gives_its_beginning() {
    let phone = private_phone("18.6.2");
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
        INSERT INTO ZCALLRECORD (Z_PK, ZDATE, ZADDRESS, ZORIGINATED, ZCALLTYPE) SELECT i, 7e8 + i, 'x', 0, 1 FROM n;
        CREATE INDEX by_date ON ZCALLRECORD (ZDATE, Z_PK);";
    let dir = rig::room();
    let backup = dir.path().join("backup");
    changed(&phone, "CallHistory.storedata", sql, false).write(&backup);
    let id = idev_backup::backup_format::record::file_id(
        "HomeDomain",
        "Library/CallHistoryDB/CallHistory.storedata",
    );
    let path = backup.join(&id[..2]).join(&id);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 4096 / 2 * 4096;
    bytes[at..at + 4096].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Calls, &in_all_formats()).unwrap();
    assert!(
        !report.is_good() && report.incomplete.len() == 1,
        "{report:?}"
    );
    assert!(report.incomplete[0].contains("malformed"), "{report:?}");
    let count = lines(&to, "calls.jsonl").len();
    assert!(count > 100 && count < 8000, "{count}");
}

/// Checks the sample of another project, whose tests say what it holds.
#[test]
fn sample_of_another_project_is_read() {
    let Some(samples) = rig::others("novkostya-ios-backup-parser") else {
        return;
    };
    let path = samples.join("calls.1.CallHistory.storedata");
    let mut made = Made::default();
    made.file(
        "HomeDomain",
        "Library/CallHistoryDB/CallHistory.storedata",
        &fs::read(&path).unwrap(),
    );
    let dir = rig::room();
    let folder = dir.path().join("backup");
    made.write(&folder);
    let to = dir.path().join("to");
    let report = export(&folder, &to, What::Calls, &in_all_formats()).unwrap();
    let db = rusqlite::Connection::open(path).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    assert_eq!(
        report.records[0].count,
        count("SELECT count(*) FROM ZCALLRECORD")
    );
    let records = lines(&to, "calls.jsonl");
    let missed = records.iter().filter(|one| one["missed"] == true).count() as u64;
    let sql = "SELECT count(*) FROM ZCALLRECORD WHERE ZORIGINATED = 0 AND ZANSWERED = 0";
    assert_eq!(missed, count(sql));
    let members: usize = records
        .iter()
        .map(|one| one["people"].as_array().unwrap().len())
        .sum();
    assert!(members as u64 >= count("SELECT count(*) FROM Z_2REMOTEPARTICIPANTHANDLES"));
}
