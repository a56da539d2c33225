//! `export calendar` and `export reminders`: the readers find the truth about the phone, and the
//! files of iCalendar hold all of it.

use std::fs;
use std::path::Path;

use idev_backup::content::calendar::Calendar;
use idev_backup::content::reminders::Reminders;
use idev_backup::content::{self, Kind};
use idev_backup::export::Error;
use idev_backup::export::records::{Format, Options, What};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::Value;

use crate::calls::{assert_harmless, bare, export, lines};
use crate::content::{VERSIONS, backup_of, changed, phone};
use crate::made::Made;
use crate::rig;

fn options() -> Options {
    Options {
        formats: vec![Format::Html, Format::Jsonl, Format::Csv, Format::Ics],
        ..Options::default()
    }
}

/// Returns the lines of a file of iCalendar, unfolded.
fn unfolded(to: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(to.join(name)).unwrap();
    assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    assert_eq!(text.matches("\r\n").count(), text.matches('\n').count());
    text.replace("\r\n ", "")
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn events_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
        let calendar = Calendar::open(&backup).unwrap();
        let mut found = Vec::new();
        let each = |event| {
            found.push(serde_json::to_value(event).unwrap());
            true
        };
        calendar.each(each).unwrap();
        let truth = phone.truth()["calendar"].as_array().unwrap().clone();
        assert_eq!(found.len(), truth.len(), "iOS {ios}");
        for (found, truth) in found.iter().zip(&truth) {
            assert_eq!(found, truth, "iOS {ios}");
        }
    }
}

#[test]
fn reminders_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
        let reminders = Reminders::open(&backup).unwrap();
        let mut found = Vec::new();
        let each = |reminder| {
            found.push(serde_json::to_value(reminder).unwrap());
            true
        };
        reminders.each(each).unwrap();
        let truth = phone.truth()["reminders"].as_array().unwrap().clone();
        assert_eq!(found.len(), truth.len(), "iOS {ios}");
        for (found, truth) in found.iter().zip(&truth) {
            assert_eq!(found, truth, "iOS {ios}");
        }
    }
}

#[test]
fn events_are_in_every_format() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Calendar, &options()).unwrap();
    assert!(report.is_good(), "{report:?}");
    let truth = phone.truth()["calendar"].as_array().unwrap().clone();
    assert_eq!(bare(lines(&to, "calendar.jsonl")), truth);
    assert_harmless(&to, "calendar");
    let found = unfolded(&to, "calendar.ics");
    let count = |line: &str| found.iter().filter(|found| *found == line).count();
    assert_eq!(
        (count("BEGIN:VEVENT"), count("END:VEVENT")),
        (truth.len(), truth.len())
    );
    assert_eq!((count("BEGIN:VTIMEZONE"), count("END:VCALENDAR")), (2, 1));
    for line in [
        "DTSTART;TZID=\"Europe/London\":20240312T093000",
        "DTEND;TZID=\"Europe/London\":20240312T110000",
        "LOCATION:Example Hall\\, 1 Example Street\\, London",
        "GEO:51.507400;-0.127800",
        "TRIGGER:-PT15M",
        "ATTENDEE;CN=\"Jun J 写真\";PARTSTAT=TENTATIVE:mailto:jun@example.com",
        "ORGANIZER;CN=\"Ana Größe\":mailto:ana@example.com",
        "DTSTART;VALUE=DATE:20240810",
        "DTEND;VALUE=DATE:20240824",
        "DTSTART:20240621T073000",
        "RRULE:FREQ=WEEKLY;BYDAY=TU,TH",
        "EXDATE;TZID=\"Europe/London\":20240402T183000",
        "RECURRENCE-ID;TZID=\"Europe/London\":20240409T183000",
        "RRULE:FREQ=MONTHLY;INTERVAL=2;COUNT=6;BYDAY=-1FR",
        "RRULE:FREQ=DAILY;UNTIL=20241231T230000Z",
        "STATUS:CANCELLED",
        "DTSTART;VALUE=DATE:16040412",
    ] {
        assert_eq!(count(line), 1, "{line}\n{}", found.join("\n"));
    }
    assert!(count("CATEGORIES:Work\\, and more") > 1);
    // A moved occurrence has the identifier of its event.
    let of = |title: &str| truth.iter().find(|event| event["title"] == title).unwrap();
    let uid = format!("UID:{}", of("Choir")["uid"].as_str().unwrap());
    assert_eq!(count(&uid), 2);
}

#[test]
fn reminders_are_in_every_format() {
    let phone = phone("26.1");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Reminders, &options()).unwrap();
    assert!(report.is_good(), "{report:?}");
    let truth = phone.truth()["reminders"].as_array().unwrap().clone();
    assert_eq!(bare(lines(&to, "reminders.jsonl")), truth);
    assert_harmless(&to, "reminders");
    let found = unfolded(&to, "reminders.ics");
    let count = |line: &str| found.iter().filter(|found| *found == line).count();
    assert_eq!(
        (count("BEGIN:VTODO"), count("END:VTODO")),
        (truth.len(), truth.len())
    );
    for line in [
        "SUMMARY:Bread\\; and butter\\, too",
        "STATUS:COMPLETED",
        "RRULE:FREQ=WEEKLY;INTERVAL=2",
        "RRULE:FREQ=YEARLY;COUNT=4",
        "DTSTART;VALUE=DATE:20240122",
        "DTSTART:20240112T090000Z",
        "PRIORITY:1",
    ] {
        assert_eq!(count(line), 1, "{line}\n{}", found.join("\n"));
    }
}

#[test]
fn bad_events_are_marked() {
    let sql = "INSERT INTO CalendarItem (ROWID, summary, start_date, start_tz, end_date, all_day, entity_type) VALUES
            (901, 'far', 63113904000, 'Europe/London', 63113907600, 0, 2), (902, 'long ago', -12622780800, '_float', -12622694401, 1, 2),
            (903, 'word', 'tomorrow', 'No/Where', NULL, 0, 2), (904, 'loop', 7e8, 'No/Where', 7e8, 0, 2);
        INSERT INTO Recurrence (owner_id, frequency, interval, specifier) VALUES (904, 77, -1, NULL), (904, 1, 0, 'X=9');
        UPDATE CalendarItem SET orig_item_id = 904, orig_date = 7e8 WHERE ROWID = 904;";
    let dir = rig::room();
    let backup = dir.path().join("backup");
    changed(&phone("18.6.2"), "Calendar.sqlitedb", sql, true).write(&backup);
    let to = dir.path().join("to");
    let report = export(&backup, &to, What::Calendar, &options()).unwrap();
    let records = lines(&to, "calendar.jsonl");
    let of = |id: i64| records.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(of(901)["doubts"][0], "its beginning is in the year 4001");
    assert_eq!(of(902)["doubts"][0], "its beginning is in the year 1601");
    assert_eq!(
        of(903)["doubts"][0],
        "its beginning is not a date: \"tomorrow\""
    );
    assert_eq!(of(904)["doubts"].as_array().unwrap().len(), 2);
    // Beginning and end of two, a word and its missing beginning, and two rules.
    assert_eq!((report.doubtful.count, report.is_good()), (8, false));
    let found = unfolded(&to, "calendar.ics");
    assert!(found.contains(&"DTSTART;TZID=\"Europe/London\":40010101T000000".to_owned()));
    assert!(!found.contains(&"SUMMARY:word".to_owned()));
}

#[test]
fn absent_and_unknown_databases_name_themselves() {
    let dir = rig::room();
    let mut made = Made::default();
    made.file("HomeDomain", "x", b"x");
    let empty = dir.path().join("empty");
    made.write(&empty);
    let to = dir.path().join("to");
    for (what, kind) in [
        (What::Calendar, Kind::Calendar),
        (What::Reminders, Kind::Reminders),
        (What::VoiceMemos, Kind::VoiceMemos),
    ] {
        let e = export(&empty, &to, what, &options()).unwrap_err();
        let is_so = matches!(&e, Error::Content(content::Error::Absent(of)) if *of == kind);
        assert!(is_so, "{e}");
    }
    let sql = "ALTER TABLE CalendarItem RENAME COLUMN summary TO heading";
    let other = dir.path().join("other");
    changed(&phone("18.6.2"), "Calendar.sqlitedb", sql, false).write(&other);
    let e = export(&other, &to, What::Calendar, &options()).unwrap_err();
    assert_eq!(
        e.to_string(),
        "the schema of HomeDomain/Library/Calendar/Calendar.sqlitedb is not known: its table \
         CalendarItem has no column summary"
    );
    assert!(!to.exists());
}

/// Checks the samples of another project, whose tests say what they hold.
#[test]
fn samples_of_another_project_are_read() {
    let Some(samples) = rig::others("novkostya-ios-backup-parser") else {
        return;
    };
    let mut made = Made::default();
    let stores = "Container_v1/Stores";
    for (sample, domain, path) in [
        (
            "calendar.1.Calendar.sqlitedb",
            "HomeDomain",
            "Library/Calendar/Calendar.sqlitedb".to_owned(),
        ),
        (
            "reminders.1.cloud.sqlite",
            "AppDomainGroup-group.com.apple.reminders",
            format!("{stores}/Data-A.sqlite"),
        ),
        (
            "reminders.1.local.sqlite",
            "AppDomainGroup-group.com.apple.reminders",
            format!("{stores}/Data-local.sqlite"),
        ),
    ] {
        made.file(domain, &path, &fs::read(samples.join(sample)).unwrap());
    }
    let dir = rig::room();
    let backup = dir.path().join("backup");
    made.write(&backup);
    let count = |sample: &str, sql: &str| {
        let db = rusqlite::Connection::open(samples.join(sample)).unwrap();
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    let calendar = dir.path().join("calendar");
    let report = export(&backup, &calendar, What::Calendar, &options()).unwrap();
    let sql = "SELECT count(*) FROM CalendarItem";
    assert_eq!(
        report.records[0].count,
        count("calendar.1.Calendar.sqlitedb", sql)
    );
    let events = lines(&calendar, "calendar.jsonl");
    let guests: usize = events
        .iter()
        .map(|event| event["attendees"].as_array().map_or(0, Vec::len))
        .sum();
    let sql = "SELECT count(*) FROM Participant WHERE entity_type = 7 AND owner_id IN (SELECT ROWID FROM CalendarItem)";
    assert_eq!(guests as u64, count("calendar.1.Calendar.sqlitedb", sql));
    let reminders = dir.path().join("reminders");
    let report = export(&backup, &reminders, What::Reminders, &options()).unwrap();
    let sql = "SELECT count(*) FROM ZREMCDREMINDER";
    let expected = count("reminders.1.cloud.sqlite", sql) + count("reminders.1.local.sqlite", sql);
    assert_eq!(report.records[0].count, expected);
    let records: Vec<Value> = lines(&reminders, "reminders.jsonl");
    assert!(
        records
            .iter()
            .any(|one| one["list"].is_string() && one["account"].is_string())
    );
}
