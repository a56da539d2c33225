//! `export notes`: the readers find the truth about the phone, every format holds it, and nothing
//! that another person wrote does harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use idev_backup::base::progress::Silent;
use idev_backup::content::notes::Notes;
use idev_backup::export::Error;
use idev_backup::export::destination::Into;
use idev_backup::export::notes::{self, Attachments, Format, Options, Report};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::{Value, json};

use crate::content::{VERSIONS, backup_of, phone};
use crate::made::Made;
use crate::rig;

const DOMAIN: &str = "AppDomainGroup-group.com.apple.notes";
const ALL: [Format; 3] = [Format::Markdown, Format::Html, Format::Jsonl];

fn options() -> Options {
    Options {
        formats: ALL.to_vec(),
        ..Options::default()
    }
}

fn export(backup: &Path, to: &Path, options: &Options) -> Result<Report, Error> {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let exported = notes::export(&opened, to, options, &no, &Silent)?;
    assert!(exported.stopped.is_none(), "{:?}", exported.stopped);
    Ok(exported.report)
}

/// Returns the records of all notes, with "undecodable" reduced to a boolean.
fn read(backup: &Path) -> Vec<Value> {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let notes = Notes::open(&opened).unwrap();
    assert!(notes.damage().is_empty());
    let mut found = Vec::new();
    let read = notes.each(|note| {
        let mut value = serde_json::to_value(&note).unwrap();
        value.as_object_mut().unwrap().remove("id");
        reduce(&mut value);
        found.push(value);
        true
    });
    read.unwrap();
    assert_eq!(found.len() as u64, notes.count());
    found
}

fn reduce(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if name == "undecodable" {
                    assert!(value.as_str().is_some_and(|why| !why.is_empty()));
                    *value = json!(true);
                }
                reduce(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(reduce),
        _ => {}
    }
}

/// Returns the exported files with this extension, as paths below the folder.
fn files(to: &Path, extension: &str) -> Vec<String> {
    let all = rig::tree(to).into_iter();
    let files = all.filter(|(path, bytes)| bytes.is_some() && path.ends_with(extension));
    files.map(|(path, _)| path).collect()
}

#[test]
fn notes_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let found = read(&backup_of(&phone, dir.path()));
        let truth = phone.truth()["notes"].as_array().unwrap().clone();
        for (found, truth) in found.iter().zip(&truth) {
            assert_eq!(found, truth, "iOS {ios}: {}", truth["title"]);
        }
        assert_eq!(found.len(), truth.len(), "iOS {ios}");
        assert!(truth.len() > 10);
    }
}

#[test]
fn notes_are_in_every_format() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, &options()).unwrap();
    let truth = phone.truth()["notes"].as_array().unwrap().clone();
    assert_eq!(report.notes, truth.len() as u64);
    assert_eq!((report.locked, report.deleted), (1, 1));
    // A note and a table; two dates that cannot be right.
    assert_eq!((report.undecodable, report.damage.count), (2, 2));
    assert_eq!(report.attachments.missing, 2);
    let records = fs::read_to_string(to.join("notes.jsonl")).unwrap();
    assert_eq!(records.lines().count(), truth.len());
    assert_eq!(files(&to, ".md").len(), truth.len());
    assert_eq!(files(&to, ".html").len(), truth.len() + 1);
    let folder = to.join("notes/iCloud/Travel");
    let note = fs::read_to_string(folder.join("Italy%2F2024/Packing for Italy 🇮🇹.md"));
    let note = note.unwrap();
    let (matter, body) = note.split_once("\n---\n\n").unwrap();
    assert!(matter.contains("title: \"Packing for Italy 🇮🇹\"\naccount: \"iCloud\"\n"));
    assert!(matter.contains("folder: \"Travel/Italy/2024\"\n") && matter.contains("pinned: true"));
    for expected in [
        "# Packing for Italy 🇮🇹\n\n## Before the trip\n\n",
        "Book the [night train](<https://example.org/trains?a=1&b=2>), **not** the ~~bus~~; \
         *ask Ana* or ***Jun*** by <u>Friday</u> here\n",
        "* Passport\n* Clothes\n    * Socks \\* two\n- Camera\n1. Lock the door\n2. Water the plants\n",
        "- [x] Tickets\n- [ ] Insurance\n    - [ ] Copy of the policy\n",
        "```\nssh home && ./lights off\n# no `heading`\n```\n",
        "> The journey is the reward.\n\nThe end",
    ] {
        assert!(body.contains(expected), "{expected}\n{body}");
    }
    let costs = fs::read_to_string(to.join("notes/iCloud/Notes/Costs.md")).unwrap();
    let table = "| Item | Price | Paid |\n| --- | --- | --- |\n\
                 | Coffee \\| tea |  | \\<b\\>yes\\</b\\> |\n| Cake 🍰 | £4.50<br>with cream | no |\n";
    assert!(costs.contains(table), "{costs}");
    let rome = fs::read_to_string(folder.join("Rome.md")).unwrap();
    assert!(
        rome.contains(
            "![Colosseum \\<1\\>.png](../../../attachments/Rome/Colosseum%20%3C1%3E.png)"
        )
    );
    assert!(rome.contains("\\[Ticket.pdf (not in the backup)\\]"));
    assert!(rome.contains("[Museum \\[open\\] daily](<https://example.org/museum>)"));
    assert!(to.join("attachments/Rome/Page 2.png").exists());
    let locked = fs::read_to_string(to.join("notes/iCloud/Notes/Account numbers.md")).unwrap();
    assert!(locked.contains("locked: true") && !locked.contains("cipher"));
    // The same export runs again in its folder.
    let before = rig::tree(&to);
    assert!(export(&backup, &to, &options()).unwrap().resumed);
    rig::assert_same(&before, &rig::tree(&to), "the export");
}

#[test]
fn hostile_notes_do_no_harm() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("inner/to");
    fs::create_dir(dir.path().join("inner")).unwrap();
    export(&backup, &to, &options()).unwrap();
    // No title leads out of the folder, and two notes with one title are two files.
    assert_eq!(fs::read_dir(dir.path().join("inner")).unwrap().count(), 1);
    let hostile: Vec<String> = files(&to, ".md");
    let hostile = hostile.into_iter().filter(|path| path.contains("script"));
    assert_eq!(hostile.count(), 2);
    for path in files(&to, ".html") {
        let page = fs::read_to_string(to.join(&path)).unwrap();
        for evil in [
            "<script>alert",
            "<img src=x",
            "href=\"javascript:",
            "\u{202e}",
        ] {
            assert!(!page.contains(evil), "{path}: {evil}");
        }
        // Each link to a file leads to one.
        let folder = to.join(&path).parent().unwrap().to_path_buf();
        for link in page.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap();
            if !link.contains(':') {
                let file = folder.join(crate::messages::decoded(link));
                assert!(file.exists(), "{path}: {link}");
            }
        }
    }
    for path in files(&to, ".md") {
        let note = fs::read_to_string(to.join(&path)).unwrap();
        assert!(!note.contains("](<javascript:"), "{path}");
        assert_eq!(note.matches("\n---\n").count(), 1, "{path}\n{note}");
    }
}

#[test]
fn dry_run_of_notes_writes_nothing() {
    let phone = phone("12.5.7");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let options = Options {
        into: Into {
            dry_run: true,
            ..Into::default()
        },
        attachments: Attachments::None,
        ..options()
    };
    let report = export(&backup, &to, &options).unwrap();
    assert!(report.notes > 10 && !to.exists());
}

/// Writes a backup with only this database.
fn backup_with(database: &[u8], dir: &Path, name: &str) -> PathBuf {
    let mut made = Made::default();
    made.file(DOMAIN, "NoteStore.sqlite", database);
    let folder = dir.join(name);
    made.write(&folder);
    folder
}

#[test]
fn damaged_notes_are_named() {
    let phone = phone("18.6.2");
    let entry = phone.files().find(|entry| entry.path == "NoteStore.sqlite");
    let mut whole = Vec::new();
    std::io::copy(&mut entry.unwrap().bytes(), &mut whole).unwrap();
    let dir = rig::room();
    let (mut refused, mut partial) = (0, 0);
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        if page % 2 == 0 {
            bytes.truncate(page * 4096 + 100);
        } else {
            bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        }
        let backup = backup_with(&bytes, dir.path(), &format!("backup-{page}"));
        let to = dir.path().join(format!("to-{page}"));
        match export(&backup, &to, &options()) {
            Err(e) => {
                assert!(
                    e.to_string()
                        .contains(&format!("{DOMAIN}/NoteStore.sqlite")),
                    "{e}"
                );
                refused += 1;
            }
            Ok(report) => {
                let mut damage = report.damage.first.iter();
                let is_named = damage.any(|one| one.why.contains("NoteStore.sqlite"));
                partial += u32::from(is_named || report.undecodable > 2);
            }
        }
    }
    assert!(partial > 0 && refused > 0, "{partial} {refused}");
}

#[test]
fn unknown_notes_schema_names_itself() {
    let dir = rig::room();
    let database = |name: &str, sql: &str| {
        let path = dir.path().join(name);
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
        drop(db);
        fs::read(path).unwrap()
    };
    let objects = "CREATE TABLE ZICCLOUDSYNCINGOBJECT (Z_PK, Z_ENT, ZIDENTIFIER, ZTITLE1);
                   CREATE TABLE ZICNOTEDATA (Z_PK, ZNOTE, ZDATA);
                   CREATE TABLE Z_PRIMARYKEY (Z_ENT, Z_NAME);";
    for (name, sql, lacks) in [
        (
            "other",
            "CREATE TABLE t (n)",
            "it has no table ZICCLOUDSYNCINGOBJECT",
        ),
        ("entities", objects, "its table Z_PRIMARYKEY has no ICNote"),
    ] {
        let backup = backup_with(&database(name, sql), dir.path(), &format!("{name}-backup"));
        let refused = export(&backup, &dir.path().join("to"), &options()).unwrap_err();
        let expected = format!("the schema of {DOMAIN}/NoteStore.sqlite is not known: {lacks}");
        assert_eq!(refused.to_string(), expected);
    }
    let mut made = Made::default();
    made.file("HomeDomain", "a", b"a");
    let empty = dir.path().join("empty");
    made.write(&empty);
    let refused = export(&empty, &dir.path().join("to"), &options()).unwrap_err();
    assert!(refused.to_string().starts_with("the backup has no notes:"));
}

/// Checks the sample of another project, whose tests say what it holds.
#[test]
fn sample_of_notes_is_read() {
    let Some(samples) = rig::others("novkostya-ios-backup-parser") else {
        return;
    };
    let database = fs::read(samples.join("notes.1.NoteStore.sqlite")).unwrap();
    let dir = rig::room();
    let found = read(&backup_with(&database, dir.path(), "backup"));
    assert_eq!(found.len(), 6);
    let locked: Vec<&Value> = found.iter().filter(|note| note["locked"] == true).collect();
    assert_eq!(locked.len(), 1);
    assert!(locked[0].get("text").is_none());
    let broken = found.iter().filter(|note| note["undecodable"] == true);
    assert_eq!(broken.count(), 1);
    let texts = found.iter().filter(|note| note["text"].is_string());
    assert!(texts.count() >= 2, "{found:#?}");
}
