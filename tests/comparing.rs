//! `diff --content` and `export all`.

use std::fs;
use std::sync::atomic::AtomicBool;

use idev_backup::base::progress::Silent;
use idev_backup::content::compare::{Change, Difference, compare};
use idev_backup::content::{Kind, items};
use idev_backup::export::Error;
use idev_backup::export::all::{self, Options};
use idev_backup::export::destination::Into;
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;

use crate::content::{backup_of, changed, phone, private_phone};
use crate::rig;
use crate::rig::Rig;
use crate::rig::program::{ended, program};

fn open(folder: &std::path::Path) -> Backup {
    Backup::open(folder, &NoPasswords).unwrap()
}

#[test]
fn equal_contents_are_the_same() {
    let phone = private_phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let compared = compare(&open(&backup), &open(&backup), &items::kinds(), |one| {
        panic!("{one:?}")
    });
    assert!(compared.not_compared.is_empty(), "{compared:?}");
    assert_eq!(compared.kinds.len(), items::kinds().len());
    assert!(
        compared.kinds.iter().all(|one| one.same > 0),
        "{compared:?}"
    );
}

#[test]
fn added_changed_and_gone_entries_are_named() {
    let phone = private_phone("18.6.2");
    let dir = rig::room();
    let before = backup_of(&phone, dir.path());
    let mut found = Vec::new();
    for (number, (name, sql)) in [
        (
            "sms.db",
            "DELETE FROM message WHERE thread_originator_part = '0:0:24';
             INSERT INTO message (guid, text, date) VALUES ('NEW', 'a new one', 7e8);",
        ),
        (
            "AddressBook.sqlitedb",
            "UPDATE ABPerson SET Note = 'another note' WHERE First = 'Ana'",
        ),
        (
            "Calendar.sqlitedb",
            "UPDATE CalendarItem SET end_date = end_date + 600 WHERE summary = 'Site visit'",
        ),
        (
            "CallHistory.storedata",
            "DELETE FROM ZCALLRECORD WHERE Z_PK = 1",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let after = dir.path().join(format!("after{number}"));
        changed(&phone, name, sql, false).write(&after);
        compare(
            &open(&before),
            &open(&after),
            &items::kinds(),
            |one: &Difference| {
                found.push((one.change, one.item.kind, one.item.text.clone()));
                true
            },
        );
    }
    let is = |at: usize, change: Change, kind: Kind, text: &str| {
        assert_eq!((found[at].0, found[at].1), (change, kind), "{found:?}");
        assert!(found[at].2.contains(text), "{found:?}");
    };
    is(0, Change::Added, Kind::Messages, "a new one");
    is(
        1,
        Change::Gone,
        Kind::Messages,
        "This answers your first message.",
    );
    is(2, Change::Changed, Kind::Contacts, "another note");
    is(3, Change::Changed, Kind::Calendar, "Site visit");
    is(4, Change::Gone, Kind::Calls, "+447700900123");
    assert_eq!(found.len(), 5, "{found:?}");
}

/// Checks that the entries of a kind which one backup lacks do not count as gone.
#[test]
fn absent_kinds_are_not_compared() {
    let dir = rig::room();
    let with = dir.path().join("with");
    changed(&private_phone("18.6.2"), "x", "", false).write(&with);
    let without = backup_of(&phone("18.6.2"), dir.path());
    let mut changes = 0;
    let compared = compare(
        &open(&with),
        &open(&without),
        &[Kind::Calls, Kind::Contacts],
        |_| {
            changes += 1;
            true
        },
    );
    assert_eq!((changes, compared.kinds.len()), (0, 1));
    let skipped = &compared.not_compared[0];
    assert!(
        skipped.absent && skipped.why.starts_with("the second backup: "),
        "{skipped:?}"
    );
    let compared = compare(&open(&without), &open(&without), &[Kind::Calls], |_| true);
    assert!(compared.not_compared.is_empty() && compared.kinds.is_empty());
}

#[test]
fn everything_is_exported() {
    let phone = private_phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let no = AtomicBool::new(false);
    let options = |dry_run| Options {
        into: Into {
            dry_run,
            ..Into::default()
        },
        records: true,
    };
    let run = |options: &Options, stop: &AtomicBool| {
        all::export(&open(&backup), &to, options, stop, &Silent)
    };
    let dry = run(&options(true), &no).unwrap();
    assert!(dry.stopped.is_none() && !to.exists());
    // An interrupted export goes on, and another one does not begin there.
    let yes = AtomicBool::new(true);
    let stopped = run(&options(false), &yes).unwrap();
    assert!(matches!(stopped.stopped, Some(Error::Interrupted)));
    assert!(!stopped.report.complete && !to.join("index.html").exists());
    let other = Options {
        records: false,
        ..options(false)
    };
    assert!(matches!(run(&other, &no), Err(Error::OtherExport(_))));
    let report = run(&options(false), &no).unwrap().report;
    assert!(report.complete && report.resumed);
    let failed: Vec<_> = report
        .kinds
        .iter()
        .filter(|one| one.failed.is_some())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    let page = fs::read_to_string(to.join("index.html")).unwrap();
    for row in report.kinds.iter().filter(|row| row.absent.is_none()) {
        let target = row.page.clone().unwrap_or_else(|| row.name.to_owned());
        assert!(to.join(&target).exists(), "{target}");
        assert!(
            page.contains(&format!("href=\"{target}")),
            "{target}: {page}"
        );
        let dry_row = dry
            .report
            .kinds
            .iter()
            .find(|one| one.name == row.name)
            .unwrap();
        assert_eq!(dry_row.exported[0], row.exported[0], "{}", row.name);
    }
    for file in [
        "messages/messages.jsonl",
        "contacts/contacts.vcf",
        "calls/calls.csv",
        "calendar/calendar.ics",
        "reminders/reminders.ics",
        "safari/bookmarks.html",
        "voice-memos/voice-memos.jsonl",
    ] {
        assert!(to.join(file).is_file(), "{file}");
    }
    let before = rig::tree(&to);
    let again = run(&options(false), &no).unwrap().report;
    assert!(again.resumed && again.complete);
    let numbers = |report: &all::Report| -> Vec<_> {
        let kinds = report.kinds.iter();
        kinds.map(|row| (row.name, row.exported.clone())).collect()
    };
    assert_eq!(numbers(&again), numbers(&report));
    rig::assert_same(&before, &rig::tree(&to), "the export");
}

#[test]
fn program_compares_and_exports() {
    let rig = Rig::backed_up();
    rig.create();
    let older = rig.store.snapshots().unwrap()[1]
        .path()
        .to_str()
        .unwrap()
        .to_owned();
    let run = |args: &[&str]| ended(program(&rig).args(args));
    let ran = run(&["diff", &older, "latest", "--content"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.starts_with("SAME. "), "{}", ran.out);
    let objects = run(&["diff", &older, "latest", "--content", "--json"]).objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["event"], "content_diff");
    let to = rig.dir.path().join("everything");
    let ran = run(&["export", "all", "latest", "--to", to.to_str().unwrap()]);
    assert!(ran.code == 0 || ran.code == 3, "{}", ran.all());
    assert!(
        ran.all()
            .contains("Calls: not there: the backup has no calls"),
        "{}",
        ran.all()
    );
    assert!(to.join("index.html").is_file());
}
