//! Reads the reminders of a backup.
//!
//! Up to iOS 12 they are rows of the calendars' database, with `entity_type` 3. From iOS 13 on each
//! account has a store of Core Data, `Container_v1/Stores/Data-*.sqlite`: up to iOS 16 in
//! HomeDomain/Library/Reminders, from iOS 17 on in the domain of the group
//! `group.com.apple.reminders`. The tables are described by the projects ios-backup-parser
//! (docs/schemas/reminders.md) and iLEAPP (scripts/artifacts/reminders.py), both MIT.
//!
//! ```text
//! ZREMCDREMINDER   reminders from iOS 16 on; ZREMCDBASELIST: their lists
//! ZREMCDOBJECT     accounts and rules; in iOS 13 to 15 the reminders and lists too
//! ```
//! The numbers of a rule's frequency are those of EKRecurrenceFrequency, from 0, and 4 for hours.
//! The date of a reminder for a whole day is taken from the fields in UTC, as in the calendars.

use std::collections::HashMap;

use rusqlite::Row;
use serde::Serialize;

use crate::backup_format::manifest_db::{Filter, Kind as FileKind};
use crate::content::calendar::{self, Moment, Rule};
use crate::content::core_data::entities;
use crate::content::counts::number;
use crate::content::database::{Database, Table, columns};
use crate::content::{Error, Kind, Time, value};
use crate::reader::backup::Backup;
use crate::reader::database::columns as columns_of;

/// The places of stores, by domain and folder.
const PLACES: [(&str, &str); 2] = [
    (
        "AppDomainGroup-group.com.apple.reminders",
        "Container_v1/Stores",
    ),
    ("HomeDomain", "Library/Reminders/Container_v1/Stores"),
];
/// The most stores that are read; a phone has one for each account.
const STORES_MAX: usize = 256;
/// The most rows of a table that are remembered. A crafted database could have any number.
const ROWS_MAX: usize = 1 << 20;
/// The years in which reminders are due.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2200;
/// The kind of calendar item that is a reminder.
const REMINDER: i64 = 3;

columns! {
    Id = "Z_PK",
    Identifier = "ZIDENTIFIER",
    Title = "ZTITLE",
    Title1 = "ZTITLE1",
    Notes = "ZNOTES",
    Completed = "ZCOMPLETED",
    CompletedAt = "ZCOMPLETIONDATE",
    Flagged = "ZFLAGGED",
    Priority = "ZPRIORITY",
    AllDay = "ZALLDAY",
    Due = "ZDUEDATE",
    Start = "ZSTARTDATE",
    Created = "ZCREATIONDATE",
    Modified = "ZLASTMODIFIEDDATE",
    Deleted = "ZMARKEDFORDELETION",
    Parent = "ZPARENTREMINDER",
    List = "ZLIST",
    Account = "ZACCOUNT",
}

/// The columns of the calendars' database, up to iOS 12.
const OLD_COLUMNS: &[&str] = &[
    "ROWID",
    "UUID",
    "summary",
    "description",
    "completion_date",
    "priority",
    "due_date",
    "start_date",
    "all_day",
    "creation_date",
    "last_modified",
    "calendar_id",
    "due_all_day",
];

/// The reminders of an open backup.
pub struct Reminders {
    stores: Vec<Store>,
    /// The database of calendars, if reminders are in it.
    old: Option<Database>,
}

/// A store of an account.
struct Store {
    name: String,
    db: Database,
    select: String,
    lists: HashMap<i64, String>,
    accounts: HashMap<i64, String>,
    rules: HashMap<i64, Vec<Result<Rule, String>>>,
}

/// A reminder of one of the lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Reminder {
    /// The name of its store, since rows of different stores have the same numbers.
    pub store: String,
    /// The row in the store.
    pub id: i64,
    /// The identifier that all devices share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The title of the reminder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The notes below the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The name of its list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The name of its account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The time by which it is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
    /// The time from which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Moment>,
    /// True if it is completed.
    pub completed: bool,
    /// The time it was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// The priority: 1 to 4 are high, 5 is medium, 6 to 9 are low.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// True if it has a flag.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub flagged: bool,
    /// The row of the reminder that it is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<i64>,
    /// The rules by which it repeats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// True if it was deleted, and is still in the store.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub deleted: bool,
    /// The time it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// The time of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<Time>,
    /// The reasons to doubt a date or a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

impl Reminder {
    /// Returns the time by which a period chooses it: that when it is due, else its creation.
    pub fn time(&self) -> Option<Time> {
        self.due.map(Moment::time).or(self.created)
    }
}

impl Reminders {
    /// Opens the reminders of a backup.
    pub fn open(backup: &Backup) -> Result<Reminders, Error> {
        let mut stores = Vec::new();
        for (domain, folder) in PLACES {
            for path in paths(backup, domain, folder)? {
                if let Some(db) = Database::open(backup, domain, &path)? {
                    stores.push(Store::of(db, &path)?);
                }
            }
        }
        let mut old = None;
        if stores.is_empty()
            && let Some(db) = calendar::open(backup)?
        {
            let table = db.table("CalendarItem")?;
            // Without these columns, reminders were never in it.
            let has = ["entity_type", "due_date", "completion_date"];
            old = has.iter().all(|column| table.has(column)).then_some(db);
        }
        if stores.is_empty() && old.is_none() {
            return Err(Error::Absent(Kind::Reminders));
        }
        Ok(Reminders { stores, old })
    }

    /// Returns the number of reminders.
    pub fn count(&self) -> Result<u64, Error> {
        let mut count = 0;
        for store in &self.stores {
            count += number(
                &store.db,
                &format!("SELECT count(*) FROM ({})", store.select),
            )?;
        }
        if let Some(db) = &self.old {
            let sql = "SELECT count(*) FROM CalendarItem t WHERE t.entity_type = 3";
            count += number(db, sql)?;
        }
        Ok(count)
    }

    /// Calls `each` for all reminders, a store after the other and oldest first, until it returns
    /// false.
    pub fn each(&self, mut each: impl FnMut(Reminder) -> bool) -> Result<(), Error> {
        let mut goes_on = true;
        for store in &self.stores {
            let sql = format!("{} ORDER BY t.ZCREATIONDATE, t.Z_PK", store.select);
            store.db.rows(&sql, |row| {
                goes_on = each(store.reminder(row));
                goes_on
            })?;
            if !goes_on {
                return Ok(());
            }
        }
        match &self.old {
            Some(db) => old_reminders(db, each),
            None => Ok(()),
        }
    }
}

/// Returns the paths of the stores in a folder, in alphabetical order.
fn paths(backup: &Backup, domain: &str, folder: &str) -> Result<Vec<String>, Error> {
    let mut paths = Vec::new();
    let filter = Filter {
        domain: Some(domain),
        below: Some(folder),
        kind: Some(FileKind::File),
        ..Filter::default()
    };
    backup.each(&filter, |item| {
        let name = item.relative_path.rsplit('/').next().unwrap_or_default();
        if name.starts_with("Data-") && name.ends_with(".sqlite") {
            paths.push(item.relative_path);
        }
        paths.len() < STORES_MAX
    })?;
    paths.sort();
    Ok(paths)
}

impl Store {
    fn of(db: Database, path: &str) -> Result<Store, Error> {
        let kinds = entities(&db)?;
        let own = db.table("ZREMCDREMINDER")?;
        let (table, only) = if own.exists() {
            (
                db.needed("ZREMCDREMINDER", &["Z_PK", "ZTITLE"])?,
                String::new(),
            )
        } else {
            let table = db.needed("ZREMCDOBJECT", &["Z_PK", "Z_ENT", "ZCOMPLETED"])?;
            let kind = kinds.get("REMCDReminder").copied().unwrap_or(-1);
            (table, format!(" WHERE t.Z_ENT = {kind}"))
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut store = Store {
            name: name.to_owned(),
            select: table.select(COLUMNS) + &only,
            lists: HashMap::new(),
            accounts: HashMap::new(),
            rules: HashMap::new(),
            db,
        };
        let objects = store.db.table("ZREMCDOBJECT")?;
        store.read_names(&objects)?;
        store.read_rules(&objects, &kinds)?;
        Ok(store)
    }

    /// Reads the names of lists and accounts. The column of a name has a number in some versions.
    fn read_names(&mut self, objects: &Table) -> Result<(), Error> {
        for (table, to) in [
            ("ZREMCDBASELIST", &mut self.lists),
            ("ZREMCDOBJECT", &mut self.accounts),
        ] {
            let columns = columns_of(self.db.connection(), table).map_err(|e| self.db.failed(e))?;
            let names: Vec<&str> = columns
                .iter()
                .map(String::as_str)
                .filter(|name| {
                    let number = name.strip_prefix("ZNAME");
                    number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
                })
                .collect();
            if names.is_empty() || !columns.iter().any(|name| name == "Z_PK") {
                continue;
            }
            let sql = format!("SELECT t.Z_PK, t.{} FROM {table} t", names.join(", t."));
            self.db.rows(&sql, |row| {
                let name = (1..=names.len()).find_map(|column| value::words(row, column));
                to.extend(value::integer(row, 0).zip(name));
                to.len() < ROWS_MAX
            })?;
        }
        if self.lists.is_empty() && objects.exists() {
            self.lists.clone_from(&self.accounts);
        }
        Ok(())
    }

    fn read_rules(&mut self, objects: &Table, kinds: &HashMap<String, i64>) -> Result<(), Error> {
        let Some(kind) = kinds.get("REMCDRecurrenceRule") else {
            return Ok(());
        };
        // The column that points to the reminder has another number in each version.
        let to_reminder = [
            "ZREMINDER4",
            "ZREMINDER3",
            "ZREMINDER2",
            "ZREMINDER1",
            "ZREMINDER",
        ];
        let known: Vec<&str> = to_reminder
            .into_iter()
            .filter(|column| objects.has(column))
            .collect();
        if known.is_empty() || !objects.has("ZFREQUENCY") {
            return Ok(());
        }
        let columns = ["ZFREQUENCY", "ZINTERVAL", "ZOCCURRENCECOUNT", "ZENDDATE"];
        let sql = format!(
            "SELECT {}, t.{} FROM ZREMCDOBJECT t WHERE t.Z_ENT = {kind} ORDER BY t.Z_PK",
            objects.list("t", &columns),
            known.join(", t.")
        );
        self.db.rows(&sql, |row| {
            let frequency = value::integer(row, 0).unwrap_or(-1);
            let rule = Rule::of_reminder(frequency, value::integer(row, 1)).map(|mut rule| {
                let count = value::integer(row, 2).and_then(|count| u32::try_from(count).ok());
                rule.count = count.filter(|count| *count > 0);
                if rule.count.is_none() {
                    rule.until = value::time(row, 3).map(Moment::Point);
                }
                rule
            });
            let reminder = (4..4 + known.len()).find_map(|column| value::integer(row, column));
            if let Some(reminder) = reminder {
                self.rules.entry(reminder).or_default().push(rule);
            }
            self.rules.len() < ROWS_MAX
        })
    }

    fn reminder(&self, row: &Row<'_>) -> Reminder {
        let text = |column: Column| value::words(row, column as usize);
        let number = |column: Column| value::integer(row, column as usize);
        let time = |column: Column| value::time(row, column as usize);
        let flag = |column: Column| value::flag(row, column as usize);
        let id = number(Column::Id).unwrap_or_default();
        let all_day = flag(Column::AllDay);
        let mut doubts = Vec::new();
        for (column, name) in [
            (Column::Due, "its due date"),
            (Column::Start, "its beginning"),
            (Column::CompletedAt, "its completion"),
        ] {
            doubts.extend(value::doubt(
                row,
                column as usize,
                time(column),
                name,
                YEARS,
            ));
        }
        let mut rules = Vec::new();
        for rule in self.rules.get(&id).into_iter().flatten() {
            match rule {
                Ok(rule) => rules.push(rule.clone()),
                Err(why) => doubts.push(why.clone()),
            }
        }
        let identifier = value::bytes(row, Column::Identifier as usize);
        let identifier = identifier.and_then(|bytes| uuid::Uuid::from_slice(bytes).ok());
        Reminder {
            store: self.name.clone(),
            id,
            uid: identifier
                .map(|id| id.to_string().to_uppercase())
                .or_else(|| text(Column::Identifier)),
            title: text(Column::Title1).or_else(|| text(Column::Title)),
            notes: text(Column::Notes),
            list: number(Column::List).and_then(|id| self.lists.get(&id).cloned()),
            account: number(Column::Account).and_then(|id| self.accounts.get(&id).cloned()),
            due: time(Column::Due).map(|time| moment(time, all_day)),
            start: time(Column::Start).map(|time| moment(time, all_day)),
            completed: flag(Column::Completed),
            completed_at: time(Column::CompletedAt),
            priority: number(Column::Priority).filter(|n| (1..=9).contains(n)),
            flagged: flag(Column::Flagged),
            parent: number(Column::Parent),
            rules,
            deleted: flag(Column::Deleted),
            created: time(Column::Created),
            modified: time(Column::Modified),
            doubts,
        }
    }
}

fn moment(time: Time, all_day: bool) -> Moment {
    if all_day {
        let zoned = time.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        Moment::Day(zoned.date())
    } else {
        Moment::Point(time)
    }
}

/// Reads the reminders in the database of calendars.
fn old_reminders(db: &Database, mut each: impl FnMut(Reminder) -> bool) -> Result<(), Error> {
    let mut lists = HashMap::new();
    let table = db.table("Calendar")?;
    if table.has("title") {
        db.rows(&table.select(&["ROWID", "title"]), |row| {
            lists.extend(value::integer(row, 0).zip(value::words(row, 1)));
            lists.len() < ROWS_MAX
        })?;
    }
    let items = db.table("CalendarItem")?;
    let sql = format!(
        "{} WHERE t.entity_type = {REMINDER} ORDER BY t.ROWID",
        items.select(OLD_COLUMNS)
    );
    db.rows(&sql, |row| {
        let all_day = value::flag(row, 8) || value::flag(row, 12);
        let mut doubts = Vec::new();
        for (column, name) in [(6, "its due date"), (4, "its completion")] {
            let time = value::time(row, column);
            doubts.extend(value::doubt(row, column, time, name, YEARS));
        }
        each(Reminder {
            store: "Calendar.sqlitedb".to_owned(),
            id: value::integer(row, 0).unwrap_or_default(),
            uid: value::words(row, 1),
            title: value::words(row, 2),
            notes: value::words(row, 3),
            list: value::integer(row, 11).and_then(|id| lists.get(&id).cloned()),
            due: value::time(row, 6).map(|time| moment(time, all_day)),
            start: value::time(row, 7).map(|time| moment(time, all_day)),
            completed: value::time(row, 4).is_some(),
            completed_at: value::time(row, 4),
            priority: value::integer(row, 5).filter(|n| (1..=9).contains(n)),
            created: value::time(row, 9),
            modified: value::time(row, 10),
            doubts,
            ..Reminder::default()
        })
    })
}
