//! `search`: hits in all kinds of content, each once, with the newest backup that has it.

use std::path::Path;

use idev_backup::content::items::{self, Item};
use idev_backup::content::messages::{Messages, Part, Period, Which};
use idev_backup::content::query::Query;
use idev_backup::content::search::Search;
use idev_backup::content::{Kind, Time};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;

use crate::content::{VERSIONS, backup_of, changed, phone, private_phone};
use crate::rig;
use crate::rig::Rig;
use crate::rig::program::{ended, program};

fn open(folder: &Path) -> Backup {
    Backup::open(folder, &NoPasswords).unwrap()
}

fn found(backup: &Backup, text: &str, ignore_case: bool) -> Vec<Item> {
    let mut found = Vec::new();
    let mut search = Search::new(Query::new(text, ignore_case), items::kinds());
    let skipped = search.backup(backup, |item| {
        found.push(item.clone());
        true
    });
    assert!(skipped.iter().all(|one| one.absent), "{skipped:?}");
    found
}

/// Checks that the search finds the messages that the full reader finds, in all versions.
#[test]
fn search_equals_reading_everything() {
    for ios in VERSIONS {
        let dir = rig::room();
        let backup = open(&backup_of(&phone(ios), dir.path()));
        let messages = Messages::open(&backup).unwrap();
        let texts = ["the", "😊", "birthday", "写真", "xyz not there"];
        for text in texts.into_iter().chain(["img_0045", "evil", "please wait"]) {
            let mut expected = Vec::new();
            let mut keep = |which: Which<'_>| {
                let each = |message: idev_backup::content::messages::Message| {
                    let files = message.parts.iter().filter_map(|part| match part {
                        Part::Attachment(file) => Some(file),
                        Part::Text { .. } => None,
                    });
                    let files: Vec<_> = files
                        .flat_map(|file| [file.name.clone(), file.transcription.clone()])
                        .collect();
                    let own = message
                        .reaction_to
                        .is_none()
                        .then_some(message.text)
                        .flatten();
                    let edits = message.edits.into_iter().flat_map(|edit| edit.versions);
                    let link = message.link.into_iter();
                    let link = link.flat_map(|one| [one.title, one.summary, one.url]);
                    let texts = [own, message.subject, message.app.and_then(|app| app.text)];
                    let texts = texts
                        .into_iter()
                        .chain(edits.map(|one| one.text))
                        .chain(link)
                        .chain(files);
                    if texts.flatten().any(|one| one.to_lowercase().contains(text)) {
                        expected.push(message.guid);
                    }
                    true
                };
                messages.each(which, &Period::default(), each).unwrap();
            };
            for chat in &messages.chats().unwrap() {
                keep(Which::Of(chat));
            }
            keep(Which::WithoutChat);
            expected.sort();
            let hits = found(&backup, text, true);
            let of_messages = hits.into_iter().filter(|hit| hit.kind == Kind::Messages);
            let mut guids: Vec<String> = of_messages.map(|hit| hit.key).collect();
            guids.sort();
            assert_eq!(guids, expected, "iOS {ios}: {text}");
            let is_file = ["img_0045", "evil", "please wait"].contains(&text);
            assert!(
                !is_file || ios < "14" || !guids.is_empty(),
                "iOS {ios}: {text}"
            );
        }
    }
}

#[test]
fn hits_name_people_and_places() {
    let dir = rig::room();
    let backup = open(&backup_of(&private_phone("18.6.2"), dir.path()));
    let kinds = |text: &str, ignore_case| {
        let mut kinds: Vec<Kind> = Vec::new();
        for item in found(&backup, text, ignore_case) {
            if !kinds.contains(&item.kind) {
                kinds.push(item.kind);
            }
        }
        kinds
    };
    assert_eq!(
        kinds("ANA GRÖßE", true),
        [
            Kind::Contacts,
            Kind::Notes,
            Kind::Calls,
            Kind::Voicemail,
            Kind::Calendar
        ]
    );
    assert!(kinds("ANA GRÖßE", false).is_empty());
    let hits = found(&backup, "about Saturday", false);
    assert_eq!(hits.len(), 1);
    assert_eq!(
        (hits[0].kind, hits[0].who.as_deref()),
        (Kind::Voicemail, Some("Ana Größe"))
    );
    let hits = found(&backup, "This answers your first message.", false);
    let hit = &hits[0];
    assert_eq!(
        (hit.who.as_deref(), hit.place.as_deref()),
        (Some("Me"), Some("Ana Größe"))
    );
    assert!(hit.time > Time::since_1970(1_704_000_000));
}

#[test]
fn names_of_attachments_are_found() {
    let dir = rig::room();
    let backup = open(&backup_of(&phone("18.6.2"), dir.path()));
    let hits = found(&backup, "IMG_0044", false);
    let hits: Vec<&Item> = hits
        .iter()
        .filter(|hit| hit.kind == Kind::Messages)
        .collect();
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert_eq!(
        (hits[0].who.as_deref(), hits[0].text.as_str()),
        (Some("Me"), "before and after\nIMG_0043.png\nIMG_0044.png")
    );
}

#[test]
fn deleted_messages_are_found_in_older_backups() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let text = "This answers your first message.";
    let newer = dir.path().join("newer");
    let sql = "DELETE FROM message WHERE thread_originator_part = '0:0:24'";
    changed(&phone, "sms.db", sql, false).write(&newer);
    let older = backup_of(&phone, dir.path());
    let mut search = Search::new(Query::new("message", false), vec![Kind::Messages]);
    let mut hits = |folder: &Path| {
        let mut hits = Vec::new();
        search.backup(&open(folder), |item| {
            hits.push(item.text.clone());
            true
        });
        hits
    };
    let (first, second) = (hits(&newer), hits(&older));
    assert!(first.len() > 1 && !first.iter().any(|one| one == text));
    assert_eq!(second, [text]);
}

#[test]
fn damaged_database_gives_other_kinds() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = dir.path().join("backup");
    let sql = "ALTER TABLE message RENAME COLUMN text TO words";
    changed(&phone, "sms.db", sql, false).write(&backup);
    let mut search = Search::new(Query::new("Ana", false), items::kinds());
    let mut kinds = Vec::new();
    let skipped = search.backup(&open(&backup), |item| {
        kinds.push(item.kind);
        true
    });
    assert!(kinds.contains(&Kind::Contacts) && kinds.contains(&Kind::Voicemail));
    assert_eq!(skipped.len(), 2);
    assert!(!skipped[0].absent && skipped[0].why.contains("has no column text"));
    assert!(skipped[1].absent && skipped[1].kind == Kind::Calls);
}

#[test]
fn program_searches_all_backups() {
    let rig = Rig::backed_up();
    rig.create();
    let run = |args: &[&str]| ended(program(&rig).arg("search").args(args));
    let ran = run(&["first message", "--all-backups"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines.len() >= 2 && lines.len().is_multiple_of(2),
        "{}",
        ran.out
    );
    assert!(lines[0].contains("message Me (Ana Größe)"), "{}", ran.out);
    assert!(
        lines.iter().all(|line| console_width(line) <= 80),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("in 2 backups."), "{}", ran.err);
    let objects = run(&["first message", "--all-backups", "--json"]).objects();
    let (last, hits) = objects.split_last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["backups"].as_u64()),
        (Some("content_searched"), Some(2))
    );
    assert_eq!(hits.len() as u64, last["hits"].as_u64().unwrap());
    assert!(
        hits.iter()
            .all(|hit| hit["kind"] == "messages" && hit["backup"].is_string())
    );
    let ran = run(&["FIRST MESSAGE"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(ran.err.contains("-i ignores that"), "{}", ran.err);
    assert!(!run(&["FIRST MESSAGE", "-i"]).out.is_empty());
    assert!(run(&["first message", "--in", "contacts"]).out.is_empty());
    let ran = run(&["x", "--in", "letters"]);
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(ran.err.contains("voicemail"), "{}", ran.err);
}

/// Returns the number of characters, which is at least the width of these lines.
fn console_width(line: &str) -> usize {
    line.chars().count()
}
