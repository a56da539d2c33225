//! The reminders of the simulated phone from iOS 13 on: two stores of Core Data. The local one is
//! empty, and numbers its kinds otherwise.
//!
//! The columns are those that the project ios-backup-parser lists (docs/schemas/reminders.md); up
//! to iOS 15 all is in ZREMCDOBJECT.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{BEGIN, Contents, Plan, database, rfc3339};

/// The names of the lists.
const LISTS: [&str; 2] = ["Shopping", "House & garden"];
const ACCOUNT: &str = "iCloud";
/// The kinds of objects, in the order of their numbers.
const KINDS: [&str; 6] = [
    "REMCDObject",
    "REMCDAccount",
    "REMCDList",
    "REMCDRecurrenceRule",
    "REMCDReminder",
    "REMCDSharee",
];

/// A reminder that is to be written.
pub(super) struct Draft {
    pub(super) title: &'static str,
    pub(super) notes: Option<&'static str>,
    pub(super) list: usize,
    pub(super) due: Option<i64>,
    pub(super) all_day: bool,
    pub(super) completed_at: Option<i64>,
    pub(super) priority: i64,
    pub(super) flagged: bool,
    /// The row that it is a part of, counted from the first reminder.
    pub(super) parent: Option<i64>,
    /// The number of a frequency, an interval and a count, with the truth about them.
    pub(super) rule: Option<(i64, i64, i64, Value)>,
    pub(super) deleted: bool,
}

fn draft(title: &'static str) -> Draft {
    Draft {
        title,
        notes: None,
        list: 0,
        due: None,
        all_day: false,
        completed_at: None,
        priority: 0,
        flagged: false,
        parent: None,
        rule: None,
        deleted: false,
    }
}

/// Returns the reminders, oldest first.
pub(super) fn script() -> Vec<Draft> {
    const DAY: i64 = 86_400;
    vec![
        draft("Milk 🥛"),
        Draft {
            completed_at: Some(BEGIN + 3 * DAY + 77),
            ..draft("Bread; and butter, too")
        },
        Draft {
            list: 1,
            due: Some(BEGIN + 10 * DAY + 9 * 3600),
            priority: 1,
            flagged: true,
            notes: Some("Ask for the long ladder.\nSecond line."),
            rule: Some((1, 2, 0, json!({ "frequency": "weekly", "interval": 2 }))),
            ..draft("Clean the gutter")
        },
        Draft {
            list: 1,
            due: Some(BEGIN + 20 * DAY),
            all_day: true,
            priority: 5,
            rule: Some((
                3,
                1,
                4,
                json!({ "frequency": "yearly", "interval": 1, "count": 4 }),
            )),
            ..draft("Pay the insurance")
        },
        Draft {
            list: 1,
            parent: Some(2),
            priority: 9,
            ..draft("Borrow the ladder")
        },
        Draft {
            notes: Some("\r\nEND:VTODO\r\nBEGIN:VTODO"),
            ..draft("=1+1 <script>alert('reminder')</script>")
        },
        Draft {
            deleted: true,
            ..draft("قائمة")
        },
    ]
}

/// Adds the stores and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    if plan.ios <= 12 {
        return;
    }
    let name = format!("Data-{}.sqlite", plan.uuid(73, 0));
    let (domain, folder) = if plan.ios >= 17 {
        (
            "AppDomainGroup-group.com.apple.reminders",
            "Container_v1/Stores",
        )
    } else {
        ("HomeDomain", "Library/Reminders/Container_v1/Stores")
    };
    let local = database(|db| tables(plan, db, 3));
    contents.file(domain, &format!("{folder}/Data-local.sqlite"), local);
    let mut truth = Vec::new();
    let bytes = database(|db| {
        tables(plan, db, 1)?;
        truth = tell(plan, db, &name)?;
        Ok(())
    });
    contents.file(domain, &format!("{folder}/{name}"), bytes);
    contents.truth.insert("reminders".to_owned(), truth.into());
}

fn number(kind: &str, first: i64) -> i64 {
    let at = KINDS.iter().position(|name| *name == kind);
    first + at.unwrap_or_default() as i64
}

fn tables(plan: Plan, db: &Connection, first: i64) -> rusqlite::Result<()> {
    let of_reminder = "ZTITLE VARCHAR, ZNOTES VARCHAR, ZCOMPLETED INTEGER, ZCOMPLETIONDATE TIMESTAMP, ZFLAGGED INTEGER, \
        ZPRIORITY INTEGER, ZALLDAY INTEGER, ZCREATIONDATE TIMESTAMP, ZLASTMODIFIEDDATE TIMESTAMP, ZDUEDATE TIMESTAMP, \
        ZSTARTDATE TIMESTAMP, ZMARKEDFORDELETION INTEGER, ZPARENTREMINDER INTEGER, ZLIST INTEGER, ZACCOUNT INTEGER";
    let of_object = "Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZIDENTIFIER BLOB";
    let of_rule = "ZREMINDER4 INTEGER, ZFREQUENCY INTEGER, ZINTERVAL INTEGER, ZOCCURRENCECOUNT INTEGER, ZENDDATE TIMESTAMP, \
        ZREMINDER1 INTEGER, ZASSIGNEE INTEGER, ZFIRSTNAME VARCHAR, ZLASTNAME VARCHAR, ZADDRESS1 VARCHAR";
    db.execute_batch(
        "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER)",
    )?;
    for kind in KINDS {
        let sql = "INSERT INTO Z_PRIMARYKEY VALUES (?1, ?2, 0, 0)";
        db.execute(sql, params![number(kind, first), kind])?;
    }
    if plan.ios >= 16 {
        db.execute_batch(&format!(
            "CREATE TABLE ZREMCDREMINDER ({of_object}, {of_reminder}, ZDISPLAYDATEDATE TIMESTAMP);
             CREATE TABLE ZREMCDBASELIST ({of_object}, ZNAME VARCHAR, ZISGROUP INTEGER, ZSHARINGSTATUS INTEGER, ZACCOUNT INTEGER);
             CREATE TABLE ZREMCDOBJECT ({of_object}, ZNAME VARCHAR, {of_rule});"
        ))
    } else {
        db.execute_batch(&format!(
            "CREATE TABLE ZREMCDOBJECT ({of_object}, ZNAME VARCHAR, ZNAME1 VARCHAR, ZTITLE1 VARCHAR, {of_reminder}, {of_rule})"
        ))
    }
}

fn tell(plan: Plan, db: &Connection, store: &str) -> rusqlite::Result<Vec<Value>> {
    let is_split = plan.ios >= 16;
    let ent = |kind| number(kind, 1);
    db.execute(
        "INSERT INTO ZREMCDOBJECT (Z_PK, Z_ENT, ZNAME) VALUES (900, ?1, ?2)",
        params![ent("REMCDAccount"), ACCOUNT],
    )?;
    for (row, name) in (800..).zip(LISTS) {
        let (table, column) = if is_split {
            ("ZREMCDBASELIST", "ZNAME")
        } else {
            ("ZREMCDOBJECT", "ZNAME1")
        };
        let sql = format!("INSERT INTO {table} (Z_PK, Z_ENT, {column}) VALUES (?1, ?2, ?3)");
        db.execute(&sql, params![row, ent("REMCDList"), name])?;
    }
    let table = if is_split {
        "ZREMCDREMINDER"
    } else {
        "ZREMCDOBJECT"
    };
    let title = if is_split { "ZTITLE" } else { "ZTITLE1" };
    let mut truth = Vec::new();
    for (id, draft) in (1i64..).zip(script()) {
        let uid = plan.uuid(72, id.unsigned_abs());
        let bytes = uuid::Uuid::parse_str(&uid).map(|id| id.as_bytes().to_vec());
        db.execute(
            &format!(
                "INSERT INTO {table} (Z_PK, Z_ENT, ZIDENTIFIER, {title}, ZNOTES, ZCOMPLETED, ZCOMPLETIONDATE, ZFLAGGED, ZPRIORITY,
                    ZALLDAY, ZCREATIONDATE, ZLASTMODIFIEDDATE, ZDUEDATE, ZMARKEDFORDELETION, ZPARENTREMINDER, ZLIST, ZACCOUNT)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13, ?14, ?15, 900)"
            ),
            params![
                id,
                ent("REMCDReminder"),
                bytes.unwrap_or_default(),
                draft.title,
                draft.notes,
                draft.completed_at.is_some(),
                draft.completed_at.map(|at| at as f64),
                draft.flagged,
                draft.priority,
                draft.all_day,
                (BEGIN + id) as f64,
                draft.due.map(|due| due as f64),
                draft.deleted,
                draft.parent.map(|parent| parent + 1),
                800 + draft.list as i64,
            ],
        )?;
        if let Some((frequency, interval, count, _)) = &draft.rule {
            db.execute(
                "INSERT INTO ZREMCDOBJECT (Z_ENT, ZREMINDER4, ZFREQUENCY, ZINTERVAL, ZOCCURRENCECOUNT) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![ent("REMCDRecurrenceRule"), id, frequency, interval, count],
            )?;
        }
        truth.push(truth_of(plan, store, id, &draft));
    }
    Ok(truth)
}

/// Returns the record of a reminder.
pub(super) fn truth_of(plan: Plan, store: &str, id: i64, draft: &Draft) -> Value {
    let mut truth = json!({
        "store": store,
        "id": id,
        "uid": plan.uuid(72, id.unsigned_abs()),
        "title": draft.title,
        "list": LISTS[draft.list],
        "account": ACCOUNT,
        "completed": draft.completed_at.is_some(),
        "created": rfc3339(BEGIN + id),
        "modified": rfc3339(BEGIN + id),
    });
    let mut set = |field: &str, value: Value| truth[field] = value;
    if let Some(notes) = draft.notes {
        set("notes", notes.into());
    }
    if let Some(due) = draft.due {
        let text = rfc3339(due);
        let day = text
            .as_str()
            .and_then(|text| text.split('T').next())
            .map(str::to_owned);
        set("due", if draft.all_day { day.into() } else { text });
    }
    if let Some(at) = draft.completed_at {
        set("completed_at", rfc3339(at));
    }
    if draft.priority > 0 {
        set("priority", draft.priority.into());
    }
    for (field, flag) in [("flagged", draft.flagged), ("deleted", draft.deleted)] {
        if flag {
            set(field, true.into());
        }
    }
    if let Some(parent) = draft.parent {
        set("parent", (parent + 1).into());
    }
    if let Some((_, _, _, rule)) = &draft.rule {
        set("rules", json!([rule]));
    }
    truth
}
