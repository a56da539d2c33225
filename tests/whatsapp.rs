//! `export whatsapp`: the readers find the truth about the phone, every format holds it, and
//! nothing that another person wrote does harm.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use idev_backup::base::progress::Silent;
use idev_backup::content::messages::{Period, Which};
use idev_backup::content::whatsapp::WhatsApp;
use idev_backup::export::Error;
use idev_backup::export::messages::{Format, Options, Report};
use idev_backup::export::whatsapp;
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::{Value, json};

use crate::content::{assert_has, backup_of, phone};
use crate::made::Made;
use crate::rig;

const DOMAIN: &str = "AppDomainGroup-group.net.whatsapp.WhatsApp.shared";
const ALL: [Format; 4] = [Format::Html, Format::Jsonl, Format::Csv, Format::Text];

fn options() -> Options {
    Options {
        formats: ALL.to_vec(),
        ..Options::default()
    }
}

fn export(backup: &Path, to: &Path) -> Result<Report, Error> {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let exported = whatsapp::export(&opened, to, &options(), &no, &Silent)?;
    assert!(exported.stopped.is_none(), "{:?}", exported.stopped);
    Ok(exported.report)
}

/// Returns all messages with the numbers of their conversations, by their identifiers.
fn read(whatsapp: &WhatsApp) -> HashMap<String, Value> {
    let mut found = HashMap::new();
    let chats = whatsapp.chats().iter().enumerate();
    let sets = chats.map(|(number, chat)| (Some(number), Which::Of(chat)));
    for (number, which) in sets.chain([(None, Which::WithoutChat)]) {
        let read = whatsapp.each(which, &Period::default(), |message| {
            let mut value = serde_json::to_value(&message).unwrap();
            value["chat"] = json!(number);
            assert!(found.insert(message.guid, value).is_none());
            true
        });
        read.unwrap();
    }
    found
}

#[test]
fn whatsapp_of_phone_is_true() {
    for ios in ["12.5.7", "18.6.2", "26.1"] {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
        let whatsapp = WhatsApp::open(&backup).unwrap();
        assert!(whatsapp.damage().is_empty(), "{:?}", whatsapp.damage());
        let found = read(&whatsapp);
        let truth = phone.truth()["whatsapp"].clone();
        let messages = truth["messages"].as_array().unwrap();
        assert_eq!(found.len(), messages.len());
        assert_eq!(found.len() as u64, whatsapp.count().unwrap());
        for message in messages {
            let guid = message["guid"].as_str().unwrap();
            let found = &found[guid];
            for (field, value) in message.as_object().unwrap() {
                let got = match field.as_str() {
                    "sender" => found["sender"]["address"].clone(),
                    "attachments" => {
                        let parts = found["parts"].as_array().unwrap().iter();
                        parts
                            .filter(|part| part["kind"] == "attachment")
                            .cloned()
                            .collect()
                    }
                    field => found[field].clone(),
                };
                assert_has(&got, value, &format!("iOS {ios}: {guid}.{field}"));
            }
            for field in [
                "text", "event", "unsent", "app", "link", "reply_to", "sender",
            ] {
                let is_known = found[field].is_null() || !message[field].is_null();
                assert!(is_known, "{guid}: {field} is {}", found[field]);
            }
            // A reply to a message that is gone has no quote.
            assert_eq!(
                found["reply_to"]["quote"].is_null(),
                message["reply_to"]["quote"].is_null()
            );
        }
        let chats: Vec<Value> = whatsapp
            .chats()
            .iter()
            .map(|chat| {
                let members: Vec<&str> = chat
                    .participants
                    .iter()
                    .map(|who| who.address.as_str())
                    .collect();
                json!({ "identifier": chat.identifier, "is_group": chat.is_group, "participants": members })
            })
            .collect();
        assert_has(&json!(chats), &without_names(&truth["chats"]), "chats");
        let titles: Vec<String> = whatsapp.chats().iter().map(|chat| chat.title()).collect();
        assert_eq!(
            titles,
            [
                "Ana Größe",
                "Choir <script>alert('wa')</script>",
                "نور",
                "Jörg (Praxis)"
            ]
        );
        let names: Vec<Option<&str>> = whatsapp.chats()[1]
            .participants
            .iter()
            .map(|who| who.name.as_deref())
            .collect();
        assert_eq!(
            (names[0], names[2], names[4]),
            (Some("Ana Größe"), Some("Sam 🦊"), Some("Kim"))
        );
    }
}

fn without_names(chats: &Value) -> Value {
    let mut chats = chats.clone();
    for chat in chats.as_array_mut().unwrap() {
        chat.as_object_mut().unwrap().remove("name");
    }
    chats
}

#[test]
fn whatsapp_is_in_every_format() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let to = inner.join("to");
    let report = export(&backup, &to).unwrap();
    let count = phone.truth()["whatsapp"]["messages"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!((report.messages, report.chats), (count as u64, 4));
    let files = &report.attachments;
    assert_eq!(
        (files.exported, files.missing, files.only_in_icloud),
        (4, 1, 1)
    );
    // The message of the year 4001.
    assert_eq!((report.damage.count, report.doubtful.count), (0, 1));
    assert_eq!(
        report.doubtful.first[0].why,
        "the date of a message is in the year 4001"
    );
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    assert_eq!(read("messages.jsonl").lines().count(), count);
    assert!(read("messages.csv").contains("<img src=x onerror=alert(1)> =1+1"));
    assert!(read("text/Ana Größe.txt").contains("> Hello from WhatsApp 👋"));
    assert!(read("index.html").contains("<h1>WhatsApp</h1>"));
    // No name leads out of the folder.
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    let ticket = to.join("attachments/Ana Größe/..%2F..%2FTicket.pdf");
    assert!(ticket.is_file());
    for entry in rig::tree(&to) {
        if let (true, Some(bytes)) = (entry.0.ends_with(".html"), entry.1) {
            let page = String::from_utf8(bytes).unwrap();
            for evil in ["<script>alert", "<img src=x"] {
                assert!(!page.contains(evil), "{}: {evil}", entry.0);
            }
        }
    }
    let before = rig::tree(&to);
    assert!(export(&backup, &to).unwrap().resumed);
    rig::assert_same(&before, &rig::tree(&to), "the export");
}

/// Writes a backup with only this database.
fn backup_with(database: &[u8], dir: &Path, name: &str) -> PathBuf {
    let mut made = Made::default();
    made.file(DOMAIN, "ChatStorage.sqlite", database);
    let folder = dir.join(name);
    made.write(&folder);
    folder
}

#[test]
fn damaged_whatsapp_is_named() {
    let phone = phone("18.6.2");
    let entry = phone
        .files()
        .find(|entry| entry.path == "ChatStorage.sqlite");
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
        match export(&backup, &dir.path().join(format!("to-{page}"))) {
            Err(e) => {
                assert!(e.to_string().contains("ChatStorage.sqlite"), "{e}");
                refused += 1;
            }
            Ok(report) => {
                let mut damage = report.damage.first.iter();
                partial += u32::from(damage.any(|one| one.why.contains("ChatStorage.sqlite")));
            }
        }
    }
    assert!(partial > 0 && refused > 0, "{partial} {refused}");
}

#[test]
fn absent_whatsapp_says_why() {
    let dir = rig::room();
    let path = dir.path().join("other.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE ZWAMESSAGE (Z_PK, ZTEXT)")
        .unwrap();
    drop(db);
    let unknown = backup_with(&fs::read(path).unwrap(), dir.path(), "unknown");
    let refused = export(&unknown, &dir.path().join("to")).unwrap_err();
    let expected = format!(
        "the schema of {DOMAIN}/ChatStorage.sqlite is not known: its table ZWAMESSAGE has no column"
    );
    assert!(refused.to_string().starts_with(&expected), "{refused}");
    let mut made = Made::default();
    made.file("HomeDomain", "a", b"a");
    let empty = dir.path().join("empty");
    made.write(&empty);
    let refused = export(&empty, &dir.path().join("to")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the backup has no WhatsApp chats: WhatsApp leaves them out while its own end-to-end \
         encrypted backup is on, or it is not installed"
    );
}
