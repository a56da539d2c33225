//! The calendars of the simulated phone: Calendar.sqlitedb. Up to iOS 12 it has the reminders too.
//!
//! The columns are those of a phone with iOS 18, as the project ios-backup-parser lists them
//! (docs/schemas/calendar.md); reminders have the columns that iOS 12 has for them,
//! and others those that the project mvt reads.

use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::people::{ANA, JUN};
use super::reminders::{self, Draft as Reminder};
use super::{Contents, EPOCH, Plan, columns_of, database, rfc3339};

const ITEM: &[(u32, &str)] = &[
    (
        0,
        "ROWID INTEGER PRIMARY KEY AUTOINCREMENT, summary TEXT, location_id INTEGER, description TEXT, start_date REAL, \
         start_tz TEXT, end_date REAL, end_tz TEXT, all_day INTEGER, calendar_id INTEGER, orig_item_id INTEGER, orig_date REAL, \
         organizer_id INTEGER, status INTEGER, invitation_status INTEGER, availability INTEGER, privacy_level INTEGER, url TEXT, \
         last_modified REAL, hidden INTEGER, has_recurrences INTEGER, has_attendees INTEGER, UUID TEXT, entity_type INTEGER, \
         priority INTEGER, due_date REAL, due_tz TEXT, due_all_day INTEGER, completion_date REAL, creation_date REAL, \
         unique_identifier TEXT, travel_time INTEGER DEFAULT -1, external_id TEXT, external_mod_tag TEXT, action TEXT, \
         created_by_id INTEGER",
    ),
    (10, "calendar_scale TEXT, junk_status INTEGER"),
    (14, "conference_url TEXT"),
    (17, "conference_url_detected TEXT"),
];

const TABLES: &str = "
    CREATE TABLE Store (ROWID INTEGER PRIMARY KEY, name TEXT, type INTEGER, persistent_id TEXT);
    CREATE TABLE Calendar (ROWID INTEGER PRIMARY KEY, store_id INTEGER, title TEXT, flags INTEGER, color TEXT, type TEXT,
        sharing_status INTEGER, external_id TEXT, self_identity_email TEXT, owner_identity_id INTEGER,
        owner_identity_email TEXT, notes TEXT);
    CREATE TABLE Location (ROWID INTEGER PRIMARY KEY, title TEXT, address TEXT, latitude INTEGER, longitude INTEGER,
        item_owner_id INTEGER);
    CREATE TABLE Identity (display_name TEXT, address TEXT, first_name TEXT, last_name TEXT, UNIQUE (display_name, address));
    CREATE TABLE Participant (ROWID INTEGER PRIMARY KEY, entity_type INTEGER, type INTEGER, status INTEGER,
        pending_status INTEGER, role INTEGER, identity_id INTEGER, owner_id INTEGER, email TEXT, phone_number TEXT,
        is_self INTEGER, UUID TEXT, comment TEXT, last_modified REAL);
    CREATE TABLE Recurrence (ROWID INTEGER PRIMARY KEY, frequency INTEGER, interval INTEGER, week_start INTEGER,
        count INTEGER, cached_end_date REAL, cached_end_date_tz TEXT, end_date REAL, specifier TEXT, by_month_months INTEGER,
        owner_id INTEGER, external_id TEXT, UUID TEXT);
    CREATE TABLE ExceptionDate (ROWID INTEGER PRIMARY KEY, owner_id INTEGER, date REAL, sync_order INTEGER);
    CREATE TABLE Alarm (ROWID INTEGER PRIMARY KEY, trigger_date REAL, trigger_interval INTEGER, type INTEGER,
        proximity INTEGER, calendaritem_owner_id INTEGER);
    CREATE TABLE Attachment (ROWID INTEGER PRIMARY KEY, owner_id INTEGER, file_id INTEGER, filename TEXT, file_size INTEGER);
    CREATE TABLE AttachmentFile (ROWID INTEGER PRIMARY KEY, filename TEXT, file_size INTEGER, url TEXT, UUID TEXT, local_path TEXT);
    CREATE TABLE Sharee (owner_id INTEGER, identity_id INTEGER, access_level INTEGER);
    INSERT INTO Store VALUES (1, 'Default', 0, 'LOCAL'), (2, 'iCloud', 2, 'CLOUD');
    INSERT INTO Calendar (ROWID, store_id, title, color, sharing_status) VALUES (1, 2, 'Home', '#1BADF8', 0),
        (2, 2, 'Work, and more', '#CC73E1', 1), (3, 1, 'Birthdays', '#8295AF', 0);";

/// The calendars and their accounts.
const CALENDARS: [(&str, &str); 3] = [
    ("Home", "iCloud"),
    ("Work, and more", "iCloud"),
    ("Birthdays", "Default"),
];
/// Events that the script does not describe one by one.
const USUAL: u64 = 40;
const LONDON: &str = "Europe/London";
const NEW_YORK: &str = "America/New_York";
const FLOATING: &str = "_float";

/// The time of an event.
#[derive(Clone, Copy)]
enum When {
    /// Local time in a zone, and minutes.
    In(&'static str, DateTime, i64),
    /// Local time on every clock, and minutes.
    Floating(DateTime, i64),
    /// The first day and the number of days.
    Days(Date, i64),
}

/// An event that is to be written.
struct Draft {
    when: When,
    title: String,
    calendar: usize,
    notes: Option<&'static str>,
    place: bool,
    url: Option<&'static str>,
    conference: Option<&'static str>,
    status: i64,
    is_meeting: bool,
    birthday: bool,
    alarm: Option<i64>,
    rule: Option<Rule>,
    exceptions: Vec<When>,
    /// The row and the occurrence that it replaces.
    replaces: Option<(i64, When)>,
}

/// A rule by which an event repeats, with the truth about it.
struct Rule {
    frequency: i64,
    interval: i64,
    count: i64,
    until: Option<i64>,
    specifier: Option<&'static str>,
    truth: Value,
}

fn draft(when: When, title: &str) -> Draft {
    Draft {
        when,
        title: title.to_owned(),
        calendar: 0,
        notes: None,
        place: false,
        url: None,
        conference: None,
        status: 0,
        is_meeting: false,
        birthday: false,
        alarm: None,
        rule: None,
        exceptions: Vec::new(),
        replaces: None,
    }
}

/// Adds the database and the truth about it.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = Vec::new();
    let mut todo = Vec::new();
    let bytes = database(|db| {
        let columns = columns_of(plan.ios, ITEM);
        db.execute_batch(&format!("CREATE TABLE CalendarItem ({columns}); {TABLES}"))?;
        let mut found = Vec::new();
        for (id, draft) in (1..).zip(script(plan)) {
            write(plan, db, id, &draft)?;
            found.push((start_of(draft.when), id, truth_of(plan, id, &draft)));
        }
        found.sort_by_key(|(start, id, _)| (*start, *id));
        truth = found.into_iter().map(|(_, _, truth)| truth).collect();
        if plan.ios <= 12 {
            todo = tell_reminders(plan, db)?;
        }
        Ok(())
    });
    contents.file("HomeDomain", "Library/Calendar/Calendar.sqlitedb", bytes);
    contents.truth.insert("calendar".to_owned(), truth.into());
    if plan.ios <= 12 {
        contents.truth.insert("reminders".to_owned(), todo.into());
    }
}

fn script(plan: Plan) -> Vec<Draft> {
    let at = |month, day, hour| date(2024, month, day).at(hour, 30, 0, 0);
    let weekly = |specifier, days: &[&str]| Rule {
        frequency: 2,
        interval: 1,
        count: 0,
        until: None,
        specifier: Some(specifier),
        truth: json!({ "frequency": "weekly", "interval": 1, "days": days }),
    };
    let until = seconds(date(2024, 12, 31).at(23, 0, 0, 0), "UTC");
    let mut drafts = vec![
        Draft {
            place: true,
            is_meeting: true,
            alarm: Some(-900),
            calendar: 1,
            notes: Some("Bring the plans;\nand a pen, please. 📐"),
            url: Some("https://example.com/plans?a=1&b=2"),
            conference: Some("https://meet.example.com/room"),
            status: 1,
            ..draft(When::In(LONDON, at(3, 12, 9), 90), "Site visit")
        },
        draft(When::Days(date(2024, 5, 6), 1), "Bank holiday"),
        draft(When::Days(date(2024, 8, 10), 14), "Summer holiday 🏖️"),
        draft(When::Floating(at(6, 21, 7), 15), "Take the pill"),
        // It repeats over both changes of the clock.
        Draft {
            rule: Some(weekly("D=0TU,0TH", &["TU", "TH"])),
            exceptions: vec![When::In(LONDON, at(4, 2, 18), 60)],
            ..draft(When::In(LONDON, at(3, 5, 18), 60), "Choir")
        },
        Draft {
            replaces: Some((5, When::In(LONDON, at(4, 9, 18), 60))),
            ..draft(When::In(LONDON, at(4, 10, 19), 60), "Choir (moved)")
        },
        Draft {
            birthday: true,
            calendar: 2,
            rule: Some(Rule {
                frequency: 4,
                interval: 1,
                count: 0,
                until: None,
                specifier: None,
                truth: json!({ "frequency": "yearly", "interval": 1 }),
            }),
            ..draft(When::Days(date(1604, 4, 12), 1), "Jun’s birthday")
        },
        Draft {
            notes: Some("=1+1\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:injected"),
            url: Some("javascript:alert('event')"),
            ..draft(
                When::In(NEW_YORK, at(7, 4, 20), 120),
                "=HYPERLINK(\"http://example.com/\") <script>alert('event')</script>\r\nEND:VCALENDAR",
            )
        },
        Draft {
            rule: Some(Rule {
                frequency: 3,
                interval: 2,
                count: 6,
                until: None,
                specifier: Some("D=-1FR"),
                truth: json!({ "frequency": "monthly", "interval": 2, "count": 6, "days": ["-1FR"] }),
            }),
            ..draft(When::In(LONDON, at(1, 26, 16), 30), "Report")
        },
        Draft {
            rule: Some(Rule {
                frequency: 1,
                interval: 1,
                count: 0,
                until: Some(until),
                specifier: None,
                truth: json!({ "frequency": "daily", "interval": 1, "until": rfc3339(until) }),
            }),
            status: 2,
            ..draft(When::In(LONDON, at(12, 1, 8), 5), "Advent calendar")
        },
        Draft {
            status: 3,
            ..draft(When::In(LONDON, at(2, 29, 12), 60), "Lunch")
        },
    ];
    for number in 0..USUAL {
        let pick = |what, limit| plan.pick(&[70, what, number], limit);
        let day = date(2024, 1 + pick(1, 12) as i8, 1 + pick(2, 28) as i8);
        let when = When::In(LONDON, day.at(8 + pick(3, 12) as i8, 0, 0, 0), 60);
        let titles = [
            "Dentist",
            "Meeting",
            "Dinner with Ana",
            "Football",
            "Call Jun",
        ];
        drafts.push(Draft {
            calendar: pick(4, 2) as usize,
            ..draft(when, titles[pick(5, 5) as usize])
        });
    }
    drafts
}

/// Returns seconds since 2001 of a local time in a zone.
fn seconds(local: DateTime, zone: &str) -> i64 {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let zoned = local.to_zoned(zone);
    zoned.map_or(0, |zoned| zoned.timestamp().as_second() - EPOCH)
}

fn start_of(when: When) -> i64 {
    match when {
        When::In(zone, local, _) => seconds(local, zone),
        When::Floating(local, _) => seconds(local, "UTC"),
        When::Days(day, _) => seconds(day.at(0, 0, 0, 0), "UTC"),
    }
}

/// Returns the end as the database has it: whole days end a second early.
fn end_of(when: When) -> i64 {
    start_of(when)
        + match when {
            When::In(_, _, minutes) | When::Floating(_, minutes) => minutes * 60,
            When::Days(_, days) => days * 86_400 - 1,
        }
}

fn zone_of(when: When) -> &'static str {
    match when {
        When::In(zone, ..) => zone,
        When::Floating(..) | When::Days(..) => FLOATING,
    }
}

/// Returns a beginning as the truth has it.
fn shown(when: When) -> Value {
    match when {
        When::In(..) => rfc3339(start_of(when)),
        When::Floating(local, _) => local.to_string().into(),
        When::Days(day, _) => day.to_string().into(),
    }
}

fn shown_end(when: When) -> Value {
    match when {
        When::In(..) => rfc3339(end_of(when)),
        When::Floating(local, minutes) => {
            let end = local.checked_add(jiff::SignedDuration::from_mins(minutes));
            end.map_or(Value::Null, |end| end.to_string().into())
        }
        When::Days(day, days) => {
            let end = day.checked_add(jiff::SignedDuration::from_hours(24 * days));
            end.map_or(Value::Null, |end| end.to_string().into())
        }
    }
}

fn uid(plan: Plan, id: i64) -> String {
    plan.uuid(71, id.unsigned_abs())
}

fn write(plan: Plan, db: &Connection, id: i64, draft: &Draft) -> rusqlite::Result<()> {
    let when = draft.when;
    let (original, original_date) = match draft.replaces {
        Some((row, occurrence)) => (row, Some(start_of(occurrence) as f64)),
        None => (0, None),
    };
    db.execute(
        "INSERT INTO CalendarItem (ROWID, summary, description, start_date, start_tz, end_date, end_tz, all_day, calendar_id,
            orig_item_id, orig_date, organizer_id, status, url, last_modified, creation_date, hidden, has_recurrences,
            has_attendees, UUID, unique_identifier, entity_type, location_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13, ?13, 0, ?14, ?15, ?16, ?16, 2, ?17)",
        params![
            id,
            draft.title,
            draft.notes,
            start_of(when) as f64,
            zone_of(when),
            end_of(when) as f64,
            matches!(when, When::Days(..)),
            draft.calendar as i64 + 1,
            original,
            original_date,
            draft.status,
            draft.url,
            super::BEGIN as f64,
            draft.rule.is_some(),
            draft.is_meeting,
            uid(plan, id),
            i64::from(draft.place),
        ],
    )?;
    if plan.ios >= 10 && draft.birthday {
        db.execute(
            "UPDATE CalendarItem SET calendar_scale = 'gregorian' WHERE ROWID = ?1",
            [id],
        )?;
    }
    if plan.ios >= 14 {
        let sql = "UPDATE CalendarItem SET conference_url = ?2 WHERE ROWID = ?1";
        db.execute(sql, params![id, draft.conference])?;
    }
    if draft.place {
        db.execute(
            "INSERT INTO Location VALUES (1, 'Example Hall', '1 Example Street\nLondon', 51.5074, -0.1278, ?1)",
            [id],
        )?;
    }
    if draft.is_meeting {
        db.execute_batch(
            "INSERT INTO Identity (ROWID, display_name, address) VALUES (1, 'Ana Größe', 'mailto:ana@example.com'),
                (2, 'Jun \"J\" 写真', 'mailto:jun@example.com');",
        )?;
        for (row, entity, identity, email, status) in [
            (1, 8, 1, "ana@example.com", 1),
            (2, 7, 2, JUN.address, 3),
            (3, 7, 1, "ana@example.com", 1),
        ] {
            db.execute(
                "INSERT INTO Participant (ROWID, entity_type, identity_id, owner_id, email, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![row, entity, identity, id, email, status],
            )?;
        }
        db.execute(
            "UPDATE CalendarItem SET organizer_id = 1 WHERE ROWID = ?1",
            [id],
        )?;
    }
    if let Some(seconds) = draft.alarm {
        let sql =
            "INSERT INTO Alarm (trigger_interval, type, calendaritem_owner_id) VALUES (?1, 0, ?2)";
        db.execute(sql, params![seconds, id])?;
    }
    if let Some(rule) = &draft.rule {
        db.execute(
            "INSERT INTO Recurrence (frequency, interval, count, end_date, specifier, owner_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                rule.frequency,
                rule.interval,
                rule.count,
                rule.until.map(|until| until as f64),
                rule.specifier,
                id
            ],
        )?;
    }
    for exception in &draft.exceptions {
        let sql = "INSERT INTO ExceptionDate (owner_id, date, sync_order) VALUES (?1, ?2, 0)";
        db.execute(sql, params![id, start_of(*exception) as f64])?;
    }
    Ok(())
}

fn truth_of(plan: Plan, id: i64, draft: &Draft) -> Value {
    let (calendar, account) = CALENDARS[draft.calendar];
    let mut truth = json!({
        "id": id,
        "uid": uid(plan, id),
        "title": draft.title,
        "calendar": calendar,
        "account": account,
        "start": shown(draft.when),
        "end": shown_end(draft.when),
        "all_day": matches!(draft.when, When::Days(..)),
        "created": rfc3339(super::BEGIN),
        "modified": rfc3339(super::BEGIN),
    });
    let mut set = |field: &str, value: Value| truth[field] = value;
    if let When::In(zone, ..) = draft.when {
        set("time_zone", zone.into());
    }
    if let Some(notes) = draft.notes {
        set("notes", notes.into());
    }
    if let Some(url) = draft.url {
        set("url", url.into());
    }
    if let Some(url) = draft.conference.filter(|_| plan.ios >= 14) {
        set("conference", url.into());
    }
    if draft.birthday && plan.ios >= 10 {
        set("birthday", true.into());
    }
    if draft.place {
        let place = json!({ "title": "Example Hall", "address": "1 Example Street\nLondon", "latitude": 51.5074, "longitude": -0.1278 });
        set("location", place);
    }
    if let Some(status) = [
        None,
        Some("confirmed"),
        Some("tentative"),
        Some("cancelled"),
    ][draft.status as usize]
    {
        set("status", status.into());
    }
    if draft.is_meeting {
        let ana = json!({ "name": ANA.name, "address": "ana@example.com", "answer": "accepted" });
        set("organizer", ana.clone());
        let jun =
            json!({ "name": "Jun \"J\" 写真", "address": "jun@example.com", "answer": "maybe" });
        set("attendees", json!([jun, ana]));
    }
    if let Some(seconds) = draft.alarm {
        set("alarms", json!([{ "after": seconds }]));
    }
    if let Some(rule) = &draft.rule {
        set("rules", json!([rule.truth]));
    }
    if !draft.exceptions.is_empty() {
        set(
            "exceptions",
            draft.exceptions.iter().map(|one| shown(*one)).collect(),
        );
    }
    if let Some((row, occurrence)) = draft.replaces {
        let original = json!({ "id": row, "uid": uid(plan, row), "start": shown(occurrence) });
        set("replaces", original);
    }
    truth
}

/// Writes the reminders of iOS 12 and before.
fn tell_reminders(plan: Plan, db: &Connection) -> rusqlite::Result<Vec<Value>> {
    db.execute_batch("INSERT INTO Calendar (ROWID, store_id, title) VALUES (8, 2, 'Shopping'), (9, 2, 'House & garden')")?;
    let mut truth = Vec::new();
    for (id, draft) in (1001..).zip(reminders::script()) {
        let Reminder { due, all_day, .. } = draft;
        let list = if draft.list == 0 { 8 } else { 9 };
        db.execute(
            "INSERT INTO CalendarItem (ROWID, summary, description, due_date, due_all_day, completion_date, priority,
                creation_date, last_modified, calendar_id, UUID, entity_type, all_day)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, 3, 0)",
            params![
                id,
                draft.title,
                draft.notes,
                due.map(|due| due as f64),
                all_day,
                draft.completed_at.map(|at| at as f64),
                draft.priority,
                (super::BEGIN + id) as f64,
                list,
                plan.uuid(72, id.unsigned_abs()),
            ],
        )?;
        let mut record = reminders::truth_of(plan, "Calendar.sqlitedb", id, &draft);
        // The database of that time has neither flags nor parts, and no account of a reminder.
        for field in ["flagged", "parent", "rules", "account", "deleted"] {
            record.as_object_mut().map(|fields| fields.remove(field));
        }
        truth.push(record);
    }
    Ok(truth)
}
