//! `export contacts`: the readers find the truth about the phone, and every format holds it.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use base64::Engine;
use idev_backup::base::progress::Silent;
use idev_backup::content::contacts::Contacts;
use idev_backup::export::contacts::{self, Format, Options, Report};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::{Value, json};

use crate::content::{VERSIONS, backup_of, phone};
use crate::made::Made;
use crate::rig;

const ALL: [Format; 4] = [Format::Vcard, Format::Html, Format::Jsonl, Format::Csv];

fn export(backup: &Path, to: &Path) -> Report {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let options = Options {
        formats: ALL.to_vec(),
        ..Options::default()
    };
    let exported = contacts::export(&opened, to, &options, &no, &Silent).unwrap();
    assert!(exported.stopped.is_none(), "{:?}", exported.stopped);
    exported.report
}

/// Returns the records of all people, with whether they have a picture where they have one.
fn people(backup: &Backup) -> Vec<Value> {
    let contacts = Contacts::open(backup).unwrap();
    let record = |person| {
        let mut value = serde_json::to_value(person).unwrap();
        if value["is_organization"] == false {
            value.as_object_mut().unwrap().remove("is_organization");
        }
        if contacts.picture(person).unwrap().is_some() {
            value["has_picture"] = json!(true);
        }
        value
    };
    contacts.people().iter().map(record).collect()
}

#[test]
fn contacts_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = backup_of(&phone, dir.path());
        let found = people(&Backup::open(&backup, &NoPasswords).unwrap());
        let truth = phone.truth()["contacts"].as_array().unwrap().clone();
        assert_eq!(found.len(), truth.len(), "iOS {ios}");
        for (found, truth) in found.iter().zip(&truth) {
            assert_eq!(found, truth, "iOS {ios}");
        }
    }
}

#[test]
fn contacts_are_in_every_format() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to);
    let truth = phone.truth()["contacts"].as_array().unwrap().clone();
    assert_eq!((report.people, report.pictures), (truth.len() as u64, 2));
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    let records = read("contacts.jsonl");
    assert_eq!(records.lines().count(), truth.len());
    let cards = read("contacts.vcf");
    let count = |line: &str| cards.lines().filter(|found| *found == line).count();
    assert_eq!(count("BEGIN:VCARD"), truth.len());
    assert_eq!(count("END:VCARD"), truth.len());
    assert!(cards.lines().all(|line| line.len() <= 75));
    let unfolded = cards.replace("\r\n ", "");
    for line in [
        "FN:Ana Größe",
        "TEL;TYPE=cell;VALUE=text:+44 7700 900123",
        "ADR;TYPE=home:;;1 Example Street\\nFlat 2;London;;N1 1AA;United Kingdom",
        "BDAY:19870314",
        "BDAY:--0412",
        "ANNIVERSARY:20150606",
        "RELATED;TYPE=parent;VALUE=text:Eva Größe",
        "CATEGORIES:Choir\\, old\\; and new",
        "KIND:org",
        "ORG:Practice & Sons\\; Berlin",
    ] {
        assert!(
            unfolded.lines().any(|found| found == line),
            "{line}\n{unfolded}"
        );
    }
    let photo = "PHOTO:data:image/png;base64,";
    let photo = unfolded
        .lines()
        .find_map(|line| line.strip_prefix(photo))
        .unwrap();
    let photo = base64::engine::general_purpose::STANDARD
        .decode(photo)
        .unwrap();
    assert_eq!(photo, fs::read(to.join("pictures/Ana Größe.png")).unwrap());
    let page = read("contacts.html");
    assert!(page.contains("Ana Größe") && page.contains("نور الهدى"));
    for evil in ["<script>alert", "href=\"javascript:"] {
        assert!(!page.contains(evil), "{evil}");
    }
    let table = read("contacts.csv");
    assert!(table.contains("\"'=HYPERLINK("), "{table}");
    let pictures: Vec<String> = rig::tree(&to.join("pictures")).into_keys().collect();
    assert_eq!(pictures, ["Ana Größe.png", "Practice & Sons; Berlin.png"]);
    // The same export runs again in its folder.
    let before = rig::tree(&to);
    assert!(export(&backup, &to).resumed);
    rig::assert_same(&before, &rig::tree(&to), "the export");
}

/// Checks the sample of another project, whose tests say what it holds.
#[test]
fn sample_of_another_project_is_read() {
    let Some(samples) = rig::others("novkostya-ios-backup-parser") else {
        return;
    };
    let mut made = Made::default();
    let path = samples.join("contacts.1.AddressBook.sqlitedb");
    let bytes = fs::read(&path).unwrap();
    made.file(
        "HomeDomain",
        "Library/AddressBook/AddressBook.sqlitedb",
        &bytes,
    );
    let dir = rig::room();
    let folder = dir.path().join("backup");
    made.write(&folder);
    let found = people(&Backup::open(&folder, &NoPasswords).unwrap());
    let db = rusqlite::Connection::open(path).unwrap();
    let count = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(found.len() as i64, count("SELECT count(*) FROM ABPerson"));
    let values = |field: &str| -> i64 {
        let of = |person: &Value| person[field].as_array().map_or(0, Vec::len) as i64;
        found.iter().map(of).sum()
    };
    let property = |number| {
        count(&format!(
            "SELECT count(*) FROM ABMultiValue WHERE property = {number}"
        ))
    };
    assert_eq!(values("numbers"), property(3));
    assert_eq!(values("mails"), property(4));
    assert_eq!(values("addresses"), property(5));
    assert!(values("numbers") > 0);
}
