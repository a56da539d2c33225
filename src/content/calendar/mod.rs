//! Reads the events of a backup's calendars.
//!
//! The database is HomeDomain/Library/Calendar/Calendar.sqlitedb. Its tables are described by the
//! projects ios-backup-parser (docs/schemas/calendar.md) and iLEAPP (scripts/artifacts/
//! calendarAll.py), both MIT.
//!
//! ```text
//! CalendarItem   a row for each event, and up to iOS 12 for each reminder
//! Calendar, Store   the calendar of an event, and its account
//! Location       by CalendarItem.location_id
//! Participant, Identity   guests (entity_type 7) and the organizer (8), by owner_id
//! Recurrence     rules, by owner_id
//! ExceptionDate  occurrences that were removed, by owner_id
//! Alarm          by calendaritem_owner_id
//! ```
//! An occurrence that was moved is an event of its own, with `orig_item_id` and `orig_date`.

mod record;
mod rule;
mod tables;

pub use record::{Alarm, Attendee, Event, Moment, Original, Place, Status};
pub use rule::{Frequency, Rule};

use std::collections::BTreeSet;

use self::tables::Tables;
use crate::content::database::Database;
use crate::content::{Error, Kind};
use crate::reader::backup::Backup;

const DOMAIN: &str = "HomeDomain";
const PATH: &str = "Library/Calendar/Calendar.sqlitedb";

/// The events of an open backup.
pub struct Calendar {
    db: Database,
    tables: Tables,
}

impl Calendar {
    /// Opens the calendars of a backup.
    pub fn open(backup: &Backup) -> Result<Calendar, Error> {
        let db = open(backup)?.ok_or(Error::Absent(Kind::Calendar))?;
        let tables = Tables::read(&db)?;
        Ok(Calendar { db, tables })
    }

    /// Calls `each` for all events, by their beginning, until it returns false.
    pub fn each(&self, each: impl FnMut(Event) -> bool) -> Result<(), Error> {
        self.tables.each(&self.db, each)
    }

    /// Returns the number of events in a database, without reading the tables around them.
    pub(super) fn count(db: &Database) -> Result<u64, Error> {
        tables::count(db)
    }

    /// Returns the number of events.
    pub(crate) fn events(&self) -> Result<u64, Error> {
        tables::count(&self.db)
    }

    /// Returns the names of the time zones of all events.
    pub fn zones(&self) -> Result<BTreeSet<String>, Error> {
        self.tables.zones(&self.db)
    }
}

/// Opens the database of calendars.
pub(super) fn open(backup: &Backup) -> Result<Option<Database>, Error> {
    Database::open(backup, DOMAIN, PATH)
}
