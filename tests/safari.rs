//! `export safari` and `export voice-memos`: the readers find the truth about the phone, and every
//! format holds it.

use std::fs;

use idev_backup::content::counts::counts;
use idev_backup::export::records::What;
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::{Value, json};

use crate::calls::{assert_harmless, bare, export, in_all_formats, lines};
use crate::content::{VERSIONS, backup_of, changed, phone, private_phone};
use crate::made::Made;
use crate::rig;

#[test]
fn safari_of_all_versions_is_true() {
    for ios in VERSIONS {
        let phone = private_phone(ios);
        let dir = rig::room();
        let backup = backup_of(&phone, dir.path());
        let to = dir.path().join("to");
        let report = export(&backup, &to, What::Safari, &in_all_formats()).unwrap();
        assert!(report.is_good() && report.absent.is_empty(), "{report:?}");
        let truth = &phone.truth()["safari"];
        for (name, kind) in [
            ("bookmarks", "bookmarks"),
            ("reading-list", "reading_list"),
            ("history", "history"),
        ] {
            let found = Value::from(bare(lines(&to, &format!("{name}.jsonl"))));
            let (mut found, mut truth) = (found, truth[kind].clone());
            if kind == "bookmarks" {
                // The truth is in the order of the rows.
                for list in [&mut found, &mut truth] {
                    let id = |one: &Value| one["id"].as_i64();
                    list.as_array_mut().unwrap().sort_by_key(id);
                }
            }
            assert_eq!(found, truth, "iOS {ios}: {kind}");
        }
        for name in ["reading-list", "history"] {
            assert_harmless(&to, name);
        }
    }
}

#[test]
fn bookmarks_are_for_browsers() {
    let dir = rig::room();
    let backup = backup_of(&phone("18.6.2"), dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Safari, &in_all_formats()).unwrap();
    assert!(report.is_good(), "{report:?}");
    assert_eq!(
        report.absent,
        [
            "the backup has no history of Safari: phones include it only in encrypted backups, and \
             this one is not encrypted"
        ]
    );
    assert!(!to.join("history.html").exists() && !to.join("history.jsonl").exists());
    let page = fs::read_to_string(to.join("bookmarks.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE NETSCAPE-Bookmark-file-1>\n"));
    assert_eq!(
        page.matches("<DL><p>").count(),
        page.matches("</DL><p>").count()
    );
    assert_eq!(page.matches("<DT><A HREF=").count(), 6);
    assert!(
        page.contains("<H3>Recipes &amp; more</H3>\n<DL><p>\n<DT><H3>Cakes</H3>"),
        "{page}"
    );
    for evil in ["<script", "HREF=\"javascript", "<b>"] {
        assert!(!page.contains(evil), "{evil}\n{page}");
    }
    let table = fs::read_to_string(to.join("bookmarks.csv")).unwrap();
    assert!(table.contains("\"'=HYPERLINK("), "{table}");
}

#[test]
fn folders_that_contain_each_other_end() {
    let sql = "INSERT INTO bookmarks (id, parent, type, title, url, order_index) VALUES (901, 902, 1, 'a', NULL, 0),
        (902, 901, 1, 'b', NULL, 0), (903, 901, 0, 'in the loop', 'https://example.com/loop', 0), (904, 904, 1, 'own', NULL, 0),
        (905, 999, 0, 'lost', 'https://example.com/lost', 0);
        UPDATE bookmarks SET last_modified = 'x' WHERE id = 20; UPDATE bookmarks SET extra_attributes = x'00' WHERE id = 40;";
    let dir = rig::room();
    let backup = dir.path().join("backup");
    changed(&phone("18.6.2"), "Bookmarks.db", sql, true).write(&backup);
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Safari, &in_all_formats()).unwrap();
    let found = lines(&to, "bookmarks.jsonl");
    let doubt = |id: i64| {
        let one = found.iter().find(|one| one["id"] == id).unwrap();
        one["doubts"][0].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(
        doubt(903),
        "its folders contain each other, or are too deep"
    );
    assert_eq!(doubt(905), "its folder is missing");
    assert_eq!(doubt(20), "its date is not a date: \"x\"");
    assert_eq!((found.len(), report.doubtful.count), (8, 4));
}

#[test]
fn voice_memos_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = backup_of(&phone, dir.path());
        let to = dir.path().join("to");
        let report = export(&backup, &to, What::VoiceMemos, &in_all_formats()).unwrap();
        assert!(report.is_good(), "{report:?}");
        assert_eq!((report.files.exported, report.files.only_in_icloud), (4, 1));
        let records = lines(&to, "voice-memos.jsonl");
        let found = Value::from(bare(records.clone()));
        assert_eq!(found, phone.truth()["voice_memos"], "iOS {ios}");
        assert_harmless(&to, "voice-memos");
        for record in records {
            let Some(path) = record["exported"].as_str() else {
                assert!(record["path"].is_null());
                continue;
            };
            assert!(
                path.starts_with("recordings/") && path.ends_with(".m4a"),
                "{path}"
            );
            assert!(fs::read(to.join(path)).unwrap()[4..].starts_with(b"ftypM4A "));
        }
        // Titles that other people chose lead nowhere.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}

#[test]
fn contents_are_counted() {
    let phone = private_phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let found = counts(&Backup::open(&backup, &NoPasswords).unwrap());
    assert!(found.not_counted.is_empty(), "{found:?}");
    let truth = phone.truth();
    let number = |of: &Value| of.as_array().unwrap().len() as u64;
    let messages = truth["messages"]["messages"].as_array().unwrap();
    let shown = messages
        .iter()
        .filter(|one| one["is_reaction"] != true)
        .count();
    let notes = truth["notes"].as_array().unwrap();
    let locked = notes.iter().filter(|note| note["locked"] == true).count();
    let photos = |videos: bool| {
        let all = truth["photos"]["photos"].as_array().unwrap().iter();
        all.filter(|one| one["deleted"] != true && one["video"] == videos)
            .count()
    };
    let expected = json!([
        { "one": "message", "count": shown, "within": [number(&truth["messages"]["chats"]), "conversation"] },
        { "one": "WhatsApp message", "count": number(&truth["whatsapp"]["messages"]) },
        { "one": "contact", "count": number(&truth["contacts"]) },
        { "one": "note", "count": number(&truth["notes"]), "locked": locked },
        { "one": "photo", "count": photos(false) },
        { "one": "video", "count": photos(true) },
        { "one": "call", "count": number(&truth["calls"]) },
        { "one": "voicemail message", "count": number(&truth["voicemail"]) },
        { "one": "event", "count": number(&truth["calendar"]) },
        { "one": "reminder", "count": number(&truth["reminders"]) },
        { "one": "bookmark", "count": number(&truth["safari"]["bookmarks"]) },
        { "one": "saved page", "count": number(&truth["safari"]["reading_list"]) },
        { "one": "visit", "count": number(&truth["safari"]["history"]) },
        { "one": "voice memo", "count": number(&truth["voice_memos"]) },
    ]);
    let mut found = serde_json::to_value(found.counts).unwrap();
    // Reactions to messages that are gone are not in the truth as such.
    found[0]["count"] = json!(shown);
    assert_eq!(found, expected);
    // A database that cannot be read does not keep the others from being counted.
    let sql = "ALTER TABLE ZCALLRECORD RENAME COLUMN ZDATE TO ZWHEN";
    let other = dir.path().join("other");
    changed(&phone, "CallHistory.storedata", sql, false).write(&other);
    let found = counts(&Backup::open(&other, &NoPasswords).unwrap());
    assert_eq!((found.counts.len(), found.not_counted.len()), (13, 1));
    assert!(found.not_counted[0].why.contains("has no column ZDATE"));
}

/// Checks the samples of another project, whose tests say what they hold.
#[test]
fn samples_of_another_project_are_read() {
    let Some(samples) = rig::others("novkostya-ios-backup-parser") else {
        return;
    };
    let mut made = Made::default();
    for name in ["Bookmarks.db", "History.db"] {
        let bytes = fs::read(samples.join(format!("safari.1.{name}"))).unwrap();
        made.file("HomeDomain", &format!("Library/Safari/{name}"), &bytes);
    }
    let dir = rig::room();
    let backup = dir.path().join("backup");
    made.write(&backup);
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Safari, &in_all_formats()).unwrap();
    let count = |sample: &str, sql: &str| {
        let db = rusqlite::Connection::open(samples.join(sample)).unwrap();
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    let bookmarks = "SELECT count(*) FROM bookmarks WHERE type = 0 AND read IS";
    let expected = [
        count("safari.1.Bookmarks.db", &format!("{bookmarks} NULL")),
        count("safari.1.Bookmarks.db", &format!("{bookmarks} NOT NULL")),
        count("safari.1.History.db", "SELECT count(*) FROM history_visits"),
    ];
    let found: Vec<u64> = report.records.iter().map(|one| one.count).collect();
    assert_eq!(found, expected);
}
