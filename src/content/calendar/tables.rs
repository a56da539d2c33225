//! Reads the tables of the calendars.

use std::collections::{BTreeSet, HashMap};

use jiff::tz::TimeZone;
use rusqlite::Row;

use crate::content::calendar::record::{Alarm, Attendee, Event, Moment, Original, Place, Status};
use crate::content::calendar::rule::Rule;
use crate::content::counts::number;
use crate::content::database::{Database, Table, columns};
use crate::content::{Error, Time, value};

columns! {
    Id = "ROWID",
    Uid = "unique_identifier",
    Uuid = "UUID",
    Title = "summary",
    Notes = "description",
    Calendar = "calendar_id",
    Start = "start_date",
    StartZone = "start_tz",
    End = "end_date",
    AllDay = "all_day",
    Scale = "calendar_scale",
    Location = "location_id",
    Url = "url",
    Conference = "conference_url",
    Detected = "conference_url_detected",
    State = "status",
    Original = "orig_item_id",
    OriginalDate = "orig_date",
    Created = "creation_date",
    Modified = "last_modified",
}

/// The most rows of a table that are remembered. A crafted database could have any number.
const ROWS_MAX: usize = 1 << 20;
/// The time zone of times that are the same on every clock.
const FLOATING: &str = "_float";
/// The kind of item that is an event; databases without the column have events only.
const EVENT: i64 = 2;
/// The numbers of `Participant.entity_type`.
const GUEST: i64 = 7;
const ORGANIZER: i64 = 8;
/// The years that calendars have: 1604 stands for the unknown year of a birthday.
const YEARS: std::ops::RangeInclusive<i16> = 1604..=2200;
/// The seconds of a day.
const DAY: i64 = 86_400;

/// The rows around the events, by the rows of the events or by their own.
pub(super) struct Tables {
    items: Table,
    calendars: HashMap<i64, (Option<String>, Option<String>)>,
    places: HashMap<i64, Place>,
    guests: HashMap<i64, Vec<Attendee>>,
    organizers: HashMap<i64, Attendee>,
    rules: HashMap<i64, Vec<RawRule>>,
    exceptions: HashMap<i64, Vec<f64>>,
    alarms: HashMap<i64, Vec<Alarm>>,
    uids: HashMap<i64, String>,
}

/// A rule as the database has it; the event that it belongs to gives its end a meaning.
#[derive(Clone)]
struct RawRule {
    frequency: i64,
    interval: Option<i64>,
    count: Option<i64>,
    until: Option<Time>,
    specifier: Option<String>,
}

impl Tables {
    pub(super) fn read(db: &Database) -> Result<Tables, Error> {
        let needed = ["summary", "start_date", "end_date", "all_day"];
        let items = db.needed("CalendarItem", &needed)?;
        let mut tables = Tables {
            items,
            calendars: HashMap::new(),
            places: HashMap::new(),
            guests: HashMap::new(),
            organizers: HashMap::new(),
            rules: HashMap::new(),
            exceptions: HashMap::new(),
            alarms: HashMap::new(),
            uids: HashMap::new(),
        };
        tables.read_calendars(db)?;
        tables.read_places(db)?;
        tables.read_people(db)?;
        tables.read_rules(db)?;
        tables.read_alarms(db)?;
        if tables.items.has("orig_item_id") {
            let columns = ["ROWID", "unique_identifier", "UUID"];
            let sql = tables.items.select(&columns)
                + " WHERE t.ROWID IN (SELECT orig_item_id FROM CalendarItem)";
            let uids = &mut tables.uids;
            rows(db, &sql, |row| {
                let uid = value::words(row, 1).or_else(|| value::words(row, 2));
                uids.extend(value::integer(row, 0).zip(uid));
            })?;
        }
        Ok(tables)
    }

    fn read_calendars(&mut self, db: &Database) -> Result<(), Error> {
        let mut accounts = HashMap::new();
        let stores = db.table("Store")?;
        if stores.has("name") {
            rows(db, &stores.select(&["ROWID", "name"]), |row| {
                accounts.extend(value::integer(row, 0).zip(value::words(row, 1)));
            })?;
        }
        let calendars = db.table("Calendar")?;
        if calendars.has("title") {
            let sql = calendars.select(&["ROWID", "title", "store_id"]);
            rows(db, &sql, |row| {
                let store = value::integer(row, 2);
                let account = store.and_then(|store| accounts.get(&store).cloned());
                let names = (value::words(row, 1), account);
                self.calendars
                    .extend(value::integer(row, 0).map(|id| (id, names)));
            })?;
        }
        Ok(())
    }

    fn read_places(&mut self, db: &Database) -> Result<(), Error> {
        let table = db.table("Location")?;
        if !table.exists() {
            return Ok(());
        }
        let sql = table.select(&["ROWID", "title", "address", "latitude", "longitude"]);
        rows(db, &sql, |row| {
            let degrees = |column, limit: f64| {
                let number: Option<f64> = value::text(row, column)?.parse().ok();
                number.filter(|number| number.abs() <= limit && *number != 0.0)
            };
            let place = Place {
                title: value::words(row, 1),
                address: value::words(row, 2),
                latitude: degrees(3, 90.0),
                longitude: degrees(4, 180.0),
            };
            self.places
                .extend(value::integer(row, 0).map(|id| (id, place)));
        })
    }

    fn read_people(&mut self, db: &Database) -> Result<(), Error> {
        let mut identities = HashMap::new();
        let table = db.table("Identity")?;
        if table.has("display_name") {
            rows(
                db,
                &table.select(&["ROWID", "display_name", "address"]),
                |row| {
                    let known = (value::words(row, 1), value::words(row, 2));
                    identities.extend(value::integer(row, 0).map(|id| (id, known)));
                },
            )?;
        }
        let table = db.table("Participant")?;
        if !table.has("owner_id") || !table.has("entity_type") {
            return Ok(());
        }
        let columns = [
            "owner_id",
            "entity_type",
            "identity_id",
            "email",
            "phone_number",
            "status",
        ];
        let sql = table.select(&columns) + " ORDER BY t.owner_id, t.ROWID";
        rows(db, &sql, |row| {
            let Some(owner) = value::integer(row, 0) else {
                return;
            };
            let identity = value::integer(row, 2).and_then(|id| identities.get(&id));
            let (name, address) = identity.cloned().unwrap_or_default();
            let address = value::words(row, 3)
                .or(address)
                .or_else(|| value::words(row, 4));
            let bare = |address: String| address.trim_start_matches("mailto:").to_owned();
            let attendee = Attendee {
                name,
                address: address.map(bare),
                answer: match value::integer(row, 5) {
                    Some(1) => Some("accepted"),
                    Some(2) => Some("declined"),
                    Some(3) => Some("maybe"),
                    _ => None,
                },
            };
            match value::integer(row, 1) {
                Some(GUEST) => self.guests.entry(owner).or_default().push(attendee),
                Some(ORGANIZER) => drop(self.organizers.insert(owner, attendee)),
                _ => {}
            }
        })
    }

    fn read_rules(&mut self, db: &Database) -> Result<(), Error> {
        let table = db.table("Recurrence")?;
        if table.has("owner_id") && table.has("frequency") {
            let columns = [
                "owner_id",
                "frequency",
                "interval",
                "count",
                "end_date",
                "specifier",
            ];
            rows(db, &table.select(&columns), |row| {
                let rule = RawRule {
                    frequency: value::integer(row, 1).unwrap_or_default(),
                    interval: value::integer(row, 2),
                    count: value::integer(row, 3).filter(|count| *count > 0),
                    until: value::time(row, 4).filter(|time| YEARS.contains(&time.year())),
                    specifier: value::words(row, 5),
                };
                if let Some(owner) = value::integer(row, 0) {
                    self.rules.entry(owner).or_default().push(rule);
                }
            })?;
        }
        let table = db.table("ExceptionDate")?;
        if table.has("owner_id") && table.has("date") {
            let sql = table.select(&["owner_id", "date"]) + " ORDER BY t.owner_id, t.date";
            rows(db, &sql, |row| {
                let number = value::text(row, 1).and_then(|text| text.parse().ok());
                if let (Some(owner), Some(number)) = (value::integer(row, 0), number) {
                    self.exceptions.entry(owner).or_default().push(number);
                }
            })?;
        }
        Ok(())
    }

    fn read_alarms(&mut self, db: &Database) -> Result<(), Error> {
        let table = db.table("Alarm")?;
        if !table.has("calendaritem_owner_id") {
            return Ok(());
        }
        let columns = ["calendaritem_owner_id", "trigger_interval", "trigger_date"];
        let sql = table.select(&columns) + " ORDER BY t.ROWID";
        rows(db, &sql, |row| {
            // A trigger that has a date has no interval, or one without a meaning.
            let at = value::time(row, 2).filter(|time| YEARS.contains(&time.year()));
            let after = value::integer(row, 1).filter(|after| after.abs() < 366 * DAY);
            let alarm = at.map(Alarm::At).or(after.map(Alarm::After));
            if let (Some(owner), Some(alarm)) = (value::integer(row, 0), alarm) {
                self.alarms.entry(owner).or_default().push(alarm);
            }
        })
    }

    pub(super) fn each(
        &self,
        db: &Database,
        mut each: impl FnMut(Event) -> bool,
    ) -> Result<(), Error> {
        let sql = format!(
            "{}{} ORDER BY t.start_date, t.ROWID",
            self.items.select(COLUMNS),
            self.only_events()
        );
        db.rows(&sql, |row| each(self.event(row)))
    }

    fn only_events(&self) -> String {
        only_events(&self.items)
    }

    pub(super) fn zones(&self, db: &Database) -> Result<BTreeSet<String>, Error> {
        let mut zones = BTreeSet::new();
        if self.items.has("start_tz") {
            let sql = format!(
                "SELECT DISTINCT t.start_tz FROM CalendarItem t{}",
                self.only_events()
            );
            rows(db, &sql, |row| zones.extend(value::words(row, 0)))?;
        }
        zones.remove(FLOATING);
        Ok(zones)
    }

    fn event(&self, row: &Row<'_>) -> Event {
        let text = |column: Column| value::words(row, column as usize);
        let number = |column: Column| value::integer(row, column as usize);
        let time = |column: Column| value::time(row, column as usize);
        let id = number(Column::Id).unwrap_or_default();
        let all_day = value::flag(row, Column::AllDay as usize);
        let zone = text(Column::StartZone);
        let is_floating = zone.as_deref() == Some(FLOATING);
        let form = Form {
            all_day,
            is_floating,
        };
        let mut doubts = Vec::new();
        for (column, time, name) in [
            (Column::Start, time(Column::Start), "its beginning"),
            (Column::End, time(Column::End), "its end"),
        ] {
            doubts.extend(value::doubt(row, column as usize, time, name, YEARS));
        }
        let start = time(Column::Start).map(|time| form.moment(time));
        let end = time(Column::End).and_then(|time| form.end(time));
        let begins = start.map(|start| match start {
            Moment::Day(day) => day,
            Moment::Local(local) => local.date(),
            Moment::Point(time) => in_zone(time, zone.as_deref()).date(),
        });
        let mut rules = Vec::new();
        for raw in self.rules.get(&id).into_iter().flatten() {
            match raw.rule(form, begins) {
                Ok(rule) => rules.push(rule),
                Err(why) => doubts.push(why),
            }
        }
        let exceptions = self.exceptions.get(&id).into_iter().flatten();
        let names = number(Column::Calendar).and_then(|id| self.calendars.get(&id));
        let (calendar, account) = names.cloned().unwrap_or_default();
        let place = number(Column::Location).and_then(|id| self.places.get(&id));
        Event {
            id,
            uid: text(Column::Uid).or_else(|| text(Column::Uuid)),
            title: text(Column::Title),
            notes: text(Column::Notes),
            calendar,
            account,
            start,
            end,
            time_zone: zone.filter(|_| !all_day && !is_floating),
            all_day,
            birthday: text(Column::Scale).as_deref() == Some("gregorian"),
            location: place.filter(|place| **place != Place::default()).cloned(),
            url: text(Column::Url),
            conference: text(Column::Detected).or_else(|| text(Column::Conference)),
            status: match number(Column::State) {
                Some(1) => Some(Status::Confirmed),
                Some(2) => Some(Status::Tentative),
                Some(3) => Some(Status::Cancelled),
                _ => None,
            },
            organizer: self.organizers.get(&id).cloned(),
            attendees: self.guests.get(&id).cloned().unwrap_or_default(),
            rules,
            exceptions: exceptions
                .filter_map(|number| Time::from_real(*number))
                .map(|time| form.moment(time))
                .collect(),
            replaces: number(Column::Original)
                .filter(|id| *id > 0)
                .map(|of| Original {
                    id: of,
                    uid: self.uids.get(&of).cloned(),
                    start: time(Column::OriginalDate).map(|time| form.moment(time)),
                }),
            alarms: self.alarms.get(&id).cloned().unwrap_or_default(),
            created: time(Column::Created),
            modified: time(Column::Modified),
            doubts,
        }
    }
}

/// Returns the clause that selects events.
fn only_events(items: &Table) -> String {
    if items.has("entity_type") {
        format!(" WHERE t.entity_type IS NULL OR t.entity_type = {EVENT}")
    } else {
        String::new()
    }
}

/// Counts the events.
pub(super) fn count(db: &Database) -> Result<u64, Error> {
    let items = db.needed("CalendarItem", &["summary", "start_date"])?;
    let sql = format!("SELECT count(*) FROM CalendarItem t{}", only_events(&items));
    number(db, &sql)
}

impl RawRule {
    fn rule(&self, form: Form, begins: Option<jiff::civil::Date>) -> Result<Rule, String> {
        let mut rule = Rule::of(self.frequency, self.interval)?;
        rule.count = self.count.and_then(|count| u32::try_from(count).ok());
        if rule.count.is_none() {
            rule.until = self.until.map(|time| form.moment(time));
        }
        if let Some(specifier) = &self.specifier {
            rule.specify(specifier, begins)?;
        }
        Ok(rule)
    }
}

/// The form of an event's times.
#[derive(Clone, Copy)]
struct Form {
    all_day: bool,
    is_floating: bool,
}

impl Form {
    /// Gives a time its meaning: the fields in UTC are the local ones for whole days and for times
    /// without a zone.
    fn moment(self, time: Time) -> Moment {
        let local = in_zone(time, Some("UTC"));
        if self.all_day {
            Moment::Day(local.date())
        } else if self.is_floating {
            Moment::Local(local)
        } else {
            Moment::Point(time)
        }
    }

    /// Gives an end its meaning. Whole days end at the last second of the last day on the phone,
    /// and with the day after it in a record.
    fn end(self, time: Time) -> Option<Moment> {
        match self.moment(time) {
            Moment::Day(day)
                if in_zone(time, Some("UTC")).time() != jiff::civil::Time::midnight() =>
            {
                day.tomorrow().ok().map(Moment::Day)
            }
            end => Some(end),
        }
    }
}

fn in_zone(time: Time, zone: Option<&str>) -> jiff::civil::DateTime {
    let zone = zone.and_then(|name| TimeZone::get(name).ok());
    let zone = zone.unwrap_or(TimeZone::UTC);
    time.timestamp().to_zoned(zone).datetime()
}

/// Calls `each` for the rows of a table that is remembered, as far as its size is limited.
fn rows(db: &Database, sql: &str, mut each: impl FnMut(&Row<'_>)) -> Result<(), Error> {
    let mut count = 0;
    db.rows(sql, |row| {
        each(row);
        count += 1;
        count < ROWS_MAX
    })
}
