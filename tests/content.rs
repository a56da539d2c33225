//! The content of backups: what the readers find equals the truth about the simulated phone.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use idev_backup::Secret;
use idev_backup::content::contacts::Contacts;
use idev_backup::content::messages::{Messages, Part, Period, Which};
use idev_backup::content::{Error, Kind};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::{Known, NoPasswords};
use idev_backup::simulator::{Content, Password, Phone, PhoneConfig};
use serde_json::{Value, json};

use crate::made::Made;
use crate::rig;

/// The versions of iOS whose schemas the simulated phone has.
pub const VERSIONS: [&str; 6] = ["9.3.5", "12.5.7", "15.8.3", "16.7.10", "18.6.2", "26.1"];

pub fn phone(ios: &str) -> std::sync::Arc<Phone> {
    Phone::new(PhoneConfig {
        ios: ios.to_owned(),
        content: Content {
            small: 0,
            bulk: 0,
            ..Content::default()
        },
        ..PhoneConfig::default()
    })
}

/// Returns a phone whose files include those that are only in encrypted backups.
pub fn private_phone(ios: &str) -> std::sync::Arc<Phone> {
    Phone::new(PhoneConfig {
        ios: ios.to_owned(),
        content: Content {
            small: 0,
            bulk: 0,
            ..Content::default()
        },
        backup_password: Some(Password::new("password")),
        key_rounds: 10,
        ..PhoneConfig::default()
    })
}

/// Replaces a database of a phone, after a change by SQL statements. `log` leaves the change in the
/// write-ahead log.
pub fn changed(phone: &Phone, name: &str, sql: &str, log: bool) -> Made {
    let dir = rig::room();
    let mut made = Made::default();
    for entry in phone.files() {
        let mut bytes = Vec::new();
        std::io::copy(&mut entry.bytes(), &mut bytes).unwrap();
        if !entry.path.ends_with(name) {
            made.file(&entry.domain, &entry.path, &bytes);
            continue;
        }
        let path = dir.path().join("db");
        std::fs::write(&path, bytes).unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        if log {
            let wal = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;";
            db.execute_batch(wal).unwrap();
        }
        db.execute_batch(sql).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        made.file(&entry.domain, &entry.path, &bytes);
        if log {
            let bytes = std::fs::read(dir.path().join("db-wal")).unwrap();
            made.file(&entry.domain, &format!("{}-wal", entry.path), &bytes);
        }
    }
    made
}

/// Writes the files of a phone as a backup in a folder, and returns its path.
pub fn backup_of(phone: &Phone, folder: &Path) -> PathBuf {
    let backup = folder.join("backup");
    write(phone, &backup);
    backup
}

/// Writes the files of a phone as a backup, which is faster than the dialog with it.
fn write(phone: &Phone, folder: &Path) {
    let mut made = Made::default();
    for entry in phone.files() {
        let mut bytes = Vec::new();
        std::io::copy(&mut entry.bytes(), &mut bytes).unwrap();
        made.file(&entry.domain, &entry.path, &bytes);
    }
    made.write(folder);
}

/// Returns the messages that the reader finds, by their identifiers, with the number of their
/// conversation.
fn read(backup: &Backup) -> HashMap<String, Value> {
    let messages = Messages::open(backup).unwrap();
    let chats = messages.chats().unwrap();
    let mut found = HashMap::new();
    let mut keep = |chat: Option<usize>, which: Which<'_>| {
        let read = messages.each(which, &Period::default(), |message| {
            let mut value = serde_json::to_value(&message).unwrap();
            value["chat"] = json!(chat);
            assert!(found.insert(message.guid, value).is_none());
            true
        });
        read.unwrap();
    };
    for (number, chat) in chats.iter().enumerate() {
        keep(Some(number), Which::Of(chat));
    }
    keep(None, Which::WithoutChat);
    found
}

/// Returns the parts of a message of this kind, in the form of the truth.
fn attachments(message: &Value) -> Vec<&Value> {
    let parts = message["parts"].as_array();
    let parts = parts.into_iter().flatten();
    parts.filter(|part| part["kind"] == "attachment").collect()
}

/// Asserts that `found` has every field of `truth`; lists must have the same length.
pub fn assert_has(found: &Value, truth: &Value, place: &str) {
    match (found, truth) {
        (Value::Object(found), Value::Object(truth)) => {
            for (key, value) in truth {
                let found = found.get(key).unwrap_or(&Value::Null);
                assert_has(found, value, &format!("{place}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(truth)) => {
            assert_eq!(found.len(), truth.len(), "{place}: {found:?}");
            for (at, (found, truth)) in found.iter().zip(truth).enumerate() {
                assert_has(found, truth, &format!("{place}[{at}]"));
            }
        }
        _ => assert_eq!(found, truth, "{place}"),
    }
}

/// Compares all messages with the truth about a phone.
fn assert_true(found: &HashMap<String, Value>, truth: &Value, ios: &str) {
    let truth = truth["messages"]["messages"].as_array().unwrap();
    let shown = truth
        .iter()
        .filter(|message| message["is_reaction"] != true);
    let mut count = 0;
    for message in shown {
        count += 1;
        let guid = message["guid"].as_str().unwrap();
        let place = format!("iOS {ios}: {guid} {:?}", message["text"]);
        let found = found
            .get(guid)
            .unwrap_or_else(|| panic!("{place} is not found"));
        for (field, value) in message.as_object().unwrap() {
            let found = match field.as_str() {
                "sender" => found["sender"]["address"].clone(),
                "attachments" => attachments(found).into_iter().cloned().collect(),
                "undecodable" => found["undecodable"].is_string().into(),
                "styles" => found["parts"][0]["styles"].clone(),
                // Parts are joined by line breaks, also around the place of an attachment.
                "text" if message["attachments"].is_array() && found["text"].is_string() => {
                    found["text"].as_str().unwrap().replace('\n', "").into()
                }
                field => found[field].clone(),
            };
            assert_has(&found, value, &format!("{place}.{field}"));
        }
        for field in [
            "text",
            "event",
            "reactions",
            "edits",
            "unsent",
            "deleted",
            "undecodable",
            "link",
            "app",
        ] {
            assert!(
                found[field].is_null() || !message[field].is_null(),
                "{place}: {field} is {}",
                found[field]
            );
        }
    }
    assert_eq!(found.len(), count, "iOS {ios}");
}

#[test]
fn messages_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let folder = dir.path().join("backup");
        write(&phone, &folder);
        let backup = Backup::open(&folder, &NoPasswords).unwrap();
        let truth = phone.truth();
        assert_true(&read(&backup), &truth, ios);
        let messages = Messages::open(&backup).unwrap();
        let mut expected = truth["messages"]["chats"].clone();
        for chat in expected.as_array_mut().unwrap() {
            let members = chat["participants"].as_array_mut().unwrap();
            members.sort_by_key(|member| member.as_str().unwrap().to_owned());
        }
        let chats: Vec<Value> = messages
            .chats()
            .unwrap()
            .iter()
            .map(|chat| {
                let mut addresses: Vec<&str> = chat
                    .participants
                    .iter()
                    .map(|who| who.address.as_str())
                    .collect();
                addresses.sort_unstable();
                json!({
                    "identifier": chat.identifier,
                    "name": chat.name,
                    "is_group": chat.is_group,
                    "participants": addresses,
                })
            })
            .collect();
        assert_eq!(Value::from(chats), expected, "iOS {ios}");
    }
}

/// Checks that addresses get the names of their people in the contacts, by the rules of their
/// countries, and no other address does.
#[test]
fn people_are_named_by_contacts() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
    let mut messages = Messages::open(&backup).unwrap();
    let directory = Contacts::open(&backup).unwrap().directory(messages.home());
    messages.name_people(|handle| {
        let name = directory.name(&handle.address, handle.country.as_deref());
        name.map(str::to_owned)
    });
    let mut names = BTreeMap::new();
    for chat in messages.chats().unwrap() {
        names.extend(
            chat.participants
                .into_iter()
                .map(|who| (who.address, who.name)),
        );
    }
    let name = |address: &str| names[address].as_deref();
    assert_eq!(name("+447700900123"), Some("Ana Größe"));
    assert_eq!(name("jun@example.com"), Some("Jun 写真"));
    assert_eq!(name("+447700900456"), Some("نور الهدى"));
    assert_eq!(name("+491713920012"), Some("Dr. Jörg Müller-Lüdenscheidt"));
    assert!(name("+14155550134").is_some_and(|name| name.contains("<script>")));
    assert_eq!((name("+447415550134"), name("EXAMPLE-CO")), (None, None));
}

#[test]
fn periods_limit_messages() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let folder = dir.path().join("backup");
    write(&phone, &folder);
    let backup = Backup::open(&folder, &NoPasswords).unwrap();
    let messages = Messages::open(&backup).unwrap();
    let chats = messages.chats().unwrap();
    let all = |period: &Period| {
        let mut texts = Vec::new();
        let each = |message: idev_backup::content::messages::Message| {
            texts.push((message.time, message.guid));
            true
        };
        messages.each(Which::Of(&chats[0]), period, each).unwrap();
        texts
    };
    let whole = all(&Period::default());
    assert!(whole.is_sorted_by_key(|(time, _)| *time));
    let (since, until) = (whole[5].0, whole[9].0);
    assert_eq!(all(&Period { since, until }), whole[5..9]);
    assert_eq!(all(&Period { since, until: None }), whole[5..]);
    assert_eq!(all(&Period { since: None, until }), whole[..9]);
}

/// Checks the sample of another project, whose tests say what it holds. Its bodies are made by
/// hand: their class refers to one that does not exist, so that no decoder of the format accepts
/// them.
#[test]
fn sample_of_another_project_is_read() {
    let Some(samples) = rig::others("novkostya-ios-backup-parser") else {
        return;
    };
    let mut made = Made::default();
    let bytes = std::fs::read(samples.join("messages.1.sms.db")).unwrap();
    made.file("HomeDomain", "Library/SMS/sms.db", &bytes);
    let dir = rig::room();
    let folder = dir.path().join("backup");
    made.write(&folder);
    let found = read(&Backup::open(&folder, &NoPasswords).unwrap());
    assert_eq!(found["fx-msg-0001"]["text"], "Hello from the fixture");
    assert_eq!(found["fx-msg-0006"]["text"], "see attachment");
    assert_eq!(found["fx-msg-0009"]["undecodable"], "it is truncated");
    for body in ["fx-msg-0002", "fx-msg-0003", "fx-msg-0004", "fx-msg-0005"] {
        assert_eq!(found[body]["undecodable"], "a reference in it is wrong");
    }
}

/// Checks backups of another project, plain and encrypted, whose newest messages are only in the
/// logs beside the databases.
#[test]
fn backups_of_another_project_are_read() {
    let Some(samples) = rig::others("pmeenan-golemine") else {
        return;
    };
    let folder = samples.join("e2e/fixtures/generated");
    let read_of = |name: &str| {
        let inside = std::fs::read_dir(folder.join(name)).unwrap();
        let backup = inside
            .map(|entry| entry.unwrap().path())
            .find(|path| path.is_dir());
        let password = Known(Secret::new(b"G0lemine-M5!".to_vec()));
        read(&Backup::open(&backup.unwrap(), &password).unwrap())
    };
    let plain = read_of("ios-mini-backup");
    let encrypted = read_of("ios-mini-encrypted-backup");
    assert_eq!(plain, encrypted);
    let text = |guid: &str| plain[guid]["text"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        text("GOLEMINE-MSG-DIRECT-IN-0001"),
        "Did you find the brass gear?"
    );
    assert!(
        !text("GOLEMINE-MSG-GROUP-TYPED-0003").is_empty(),
        "{plain:?}"
    );
    let ore_map = &plain["GOLEMINE-MSG-GROUP-ATTACH-0004"];
    assert_eq!(attachments(ore_map)[0]["file"], "in_backup");
    let in_log = plain.keys().filter(|guid| guid.contains("WAL"));
    assert!(in_log.count() > 0, "{:?}", plain.keys());
    let malformed = read_of("ios-malformed-backup");
    let marked = malformed
        .values()
        .filter(|message| message["undecodable"].is_string());
    assert_eq!(marked.count(), 1);
}

#[test]
fn absent_and_unknown_databases_name_themselves() {
    let dir = rig::room();
    let open = |name: &str, bytes: Option<&[u8]>| {
        let mut made = Made::default();
        made.file("HomeDomain", "x", b"x");
        if let Some(bytes) = bytes {
            made.file("HomeDomain", "Library/SMS/sms.db", bytes);
        }
        let folder = dir.path().join(name);
        made.write(&folder);
        let backup = Backup::open(&folder, &NoPasswords).unwrap();
        Messages::open(&backup).err().unwrap()
    };
    assert!(matches!(open("none", None), Error::Absent(Kind::Messages)));
    let other = dir.path().join("other.db");
    let db = rusqlite::Connection::open(&other).unwrap();
    db.execute_batch("CREATE TABLE message (guid, body)")
        .unwrap();
    let e = open("other", Some(&std::fs::read(&other).unwrap())).to_string();
    assert_eq!(
        e,
        "the schema of HomeDomain/Library/SMS/sms.db is not known: its table message has no column \
         text, date, is_from_me"
    );
    let e = open("cut", Some(b"SQLite format 3\0 and no more")).to_string();
    assert!(
        e.starts_with("cannot read HomeDomain/Library/SMS/sms.db: "),
        "{e}"
    );
}

/// Checks that an encrypted backup gives the same messages, with rows that are only in the log.
#[test]
fn log_beside_database_is_read() {
    let dir = rig::room();
    let path = dir.path().join("sms.db");
    let phone = phone("15.8.3");
    let entry = phone
        .files()
        .find(|file| file.path.ends_with("sms.db"))
        .unwrap();
    std::io::copy(
        &mut entry.bytes(),
        &mut std::fs::File::create(&path).unwrap(),
    )
    .unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
         INSERT INTO message (guid, text, date) VALUES ('IN-THE-LOG', 'only in the log', 7e8);",
    )
    .unwrap();
    let mut made = Made::default();
    for name in ["sms.db", "sms.db-wal"] {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        made.file("HomeDomain", &format!("Library/SMS/{name}"), &bytes);
    }
    let folder = dir.path().join("backup");
    made.write(&folder);
    let before = rig::tree(&folder);
    let found = read(&Backup::open(&folder, &NoPasswords).unwrap());
    assert_eq!(found["IN-THE-LOG"]["text"], "only in the log");
    rig::assert_same(&before, &rig::tree(&folder), "the backup");
}

#[test]
fn parts_keep_their_order() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let folder = dir.path().join("backup");
    write(&phone, &folder);
    let backup = Backup::open(&folder, &NoPasswords).unwrap();
    let messages = Messages::open(&backup).unwrap();
    let chats = messages.chats().unwrap();
    let mut shown = Vec::new();
    let each = |message: idev_backup::content::messages::Message| {
        if message.text.as_deref() == Some("before and after") {
            shown = message.parts;
        }
        true
    };
    messages
        .each(Which::Of(&chats[0]), &Period::default(), each)
        .unwrap();
    let names: Vec<String> = shown
        .into_iter()
        .map(|part| match part {
            Part::Text { text, .. } => text,
            Part::Attachment(file) => file.name.unwrap(),
        })
        .collect();
    assert_eq!(names, ["IMG_0043.png", "before and after", "IMG_0044.png"]);
}

/// Has two messages answer each other, and a third one itself: each quotes the other once.
#[test]
fn replies_in_a_cycle_end() {
    let dir = rig::room();
    let backup = dir.path().join("backup");
    let sql = "UPDATE message SET thread_originator_guid = (SELECT m.guid FROM message m
                   WHERE m.ROWID = CASE message.ROWID WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 3 END)
               WHERE ROWID IN (1, 2, 3)";
    changed(&phone("18.6.2"), "sms.db", sql, false).write(&backup);
    let opened = Backup::open(&backup, &NoPasswords).unwrap();
    let messages = Messages::open(&opened).unwrap();
    let mut found = BTreeMap::new();
    for chat in &messages.chats().unwrap() {
        let each = |message: idev_backup::content::messages::Message| {
            let quote = message.reply_to.and_then(|reply| reply.quote);
            found.insert(message.id, (message.text, quote.and_then(|one| one.text)));
            true
        };
        messages
            .each(Which::Of(chat), &Period::default(), each)
            .unwrap();
    }
    let (one, other, third) = (&found[&1], &found[&2], &found[&3]);
    assert!(one.0.is_some() && other.0.is_some() && third.0.is_some());
    assert_eq!((&one.1, &other.1, &third.1), (&other.0, &one.0, &third.0));
}
