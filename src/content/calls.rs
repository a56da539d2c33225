//! Reads the calls of a backup: telephone, FaceTime, and applications that use the phone's list.
//!
//! The database is HomeDomain/Library/CallHistoryDB/CallHistory.storedata, a store of Core Data.
//! Its tables are described by the projects ios-backup-parser (docs/schemas/calls.md) and iLEAPP
//! (scripts/artifacts/callHistory.py), both MIT. Phones include it only in encrypted backups.
//!
//! ```text
//! ZCALLRECORD                    a row for each call
//! ZHANDLE                        addresses
//! Z_2REMOTEPARTICIPANTHANDLES    the members of group calls; the numbers in the names differ
//! ```

use std::cmp::Reverse;
use std::collections::HashMap;

use rusqlite::Row;
use serde::Serialize;

use crate::content::contacts::{Directory, Region};
use crate::content::counts::number;
use crate::content::database::{Database, columns};
use crate::content::{Error, Kind, Time, value};
use crate::reader::backup::Backup;
use crate::reader::database::columns as columns_of;

const DOMAIN: &str = "HomeDomain";
const PATH: &str = "Library/CallHistoryDB/CallHistory.storedata";
/// The most members of group calls that are remembered. A crafted database could have any number.
const MEMBERS_MAX: usize = 1 << 20;
/// The years in which phones made calls.
const YEARS: std::ops::RangeInclusive<i16> = 2001..=2100;

columns! {
    Id = "Z_PK",
    Guid = "ZUNIQUE_ID",
    Date = "ZDATE",
    Duration = "ZDURATION",
    Address = "ZADDRESS",
    Originated = "ZORIGINATED",
    Answered = "ZANSWERED",
    Type = "ZCALLTYPE",
    Provider = "ZSERVICE_PROVIDER",
    Name = "ZNAME",
    Country = "ZISO_COUNTRY_CODE",
    Place = "ZLOCATION",
    Junk = "ZJUNKCONFIDENCE",
    Emergency = "ZWASEMERGENCYCALL",
}

/// The calls of an open backup.
pub struct Calls {
    db: Database,
    select: String,
    members: HashMap<i64, Vec<String>>,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// The row in the database.
    pub id: i64,
    /// The phone's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// The time it began.
    pub time: Option<Time>,
    /// The direction.
    pub direction: Direction,
    /// True if it came in and was not answered.
    pub missed: bool,
    /// Length in seconds.
    pub seconds: f64,
    /// The service that carried it.
    pub service: Service,
    /// The identifier of the application, for calls of other applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The other people; empty if the number was hidden.
    pub people: Vec<Party>,
    /// The country of the number, in two letters of ISO 3166.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The region of the number, as the phone named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// True if the phone took it for an unwanted call.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub junk: bool,
    /// True if it was an emergency call.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub emergency: bool,
    /// The reasons to doubt a date.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// The directions of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Another person called.
    Incoming,
    /// The owner of the phone called.
    Outgoing,
}

/// The services that carry calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The telephone network.
    Phone,
    /// FaceTime with a picture.
    FacetimeVideo,
    /// FaceTime without a picture.
    FacetimeAudio,
    /// Another application.
    App,
    /// A service whose number is not known.
    #[serde(untagged)]
    Unknown {
        /// Number of the service.
        call_type: i64,
    },
}

impl Service {
    fn of(number: Option<i64>) -> Service {
        match number {
            Some(1) | None => Service::Phone,
            Some(8) => Service::FacetimeVideo,
            Some(16) => Service::FacetimeAudio,
            Some(0) => Service::App,
            Some(call_type) => Service::Unknown { call_type },
        }
    }

    /// Returns the service as people name it.
    pub fn words(self) -> &'static str {
        match self {
            Service::Phone => "Phone",
            Service::FacetimeVideo => "FaceTime video",
            Service::FacetimeAudio => "FaceTime audio",
            Service::App => "App",
            Service::Unknown { .. } => "Unknown service",
        }
    }
}

/// A person in a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Party {
    /// The number or mail address. Other applications use identifiers of their own.
    pub address: String,
    /// The name in the contacts, else the one that the phone noted with the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Party {
    /// Returns the name, else the address.
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }
}

impl Calls {
    /// Opens the calls of a backup.
    pub fn open(backup: &Backup) -> Result<Calls, Error> {
        let db = Database::open(backup, DOMAIN, PATH)?
            .ok_or_else(|| Error::absent_private(Kind::Calls, backup))?;
        let needed = ["Z_PK", "ZDATE", "ZADDRESS", "ZORIGINATED"];
        let table = db.needed("ZCALLRECORD", &needed)?;
        let select = table.select(COLUMNS);
        let members = members(&db)?;
        Ok(Calls {
            db,
            select,
            members,
        })
    }

    /// Returns the country of most numbers: it is that of numbers without a country code.
    pub fn home(&self) -> Option<Region> {
        let mut counts: HashMap<String, u32> = HashMap::new();
        let counted = self.db.rows(&self.select, |row| {
            if let Some(country) = value::words(row, Column::Country as usize) {
                *counts.entry(country.to_lowercase()).or_default() += 1;
            }
            true
        });
        // A table that cannot be read to its end is an error of `each`.
        counted.ok()?;
        let most = counts
            .into_iter()
            .max_by_key(|(name, count)| (*count, Reverse(name.clone())));
        most.and_then(|(country, _)| Region::of_country(&country))
    }

    /// Returns the number of calls.
    pub fn count(&self) -> Result<u64, Error> {
        number(&self.db, "SELECT count(*) FROM ZCALLRECORD")
    }

    /// Calls `each` for all calls, oldest first, until it returns false. Names come from the
    /// directory.
    pub fn each(
        &self,
        names: Option<&Directory>,
        mut each: impl FnMut(Call) -> bool,
    ) -> Result<(), Error> {
        let sql = format!("{} ORDER BY t.ZDATE, t.Z_PK", self.select);
        self.db.rows(&sql, |row| each(self.call(row, names)))
    }

    fn call(&self, row: &Row<'_>, names: Option<&Directory>) -> Call {
        let text = |column: Column| value::words(row, column as usize);
        let number = |column: Column| value::integer(row, column as usize);
        let flag = |column: Column| value::flag(row, column as usize);
        let id = number(Column::Id).unwrap_or_default();
        let time = value::time(row, Column::Date as usize);
        let country = text(Column::Country).map(|country| country.to_lowercase());
        let mut addresses: Vec<String> = text(Column::Address).into_iter().collect();
        for member in self.members.get(&id).into_iter().flatten() {
            if !addresses.contains(member) {
                addresses.push(member.clone());
            }
        }
        let named = |address: &str| {
            let name = names.and_then(|names| names.name(address, country.as_deref()));
            name.map(str::to_owned)
        };
        let mut people: Vec<Party> = addresses
            .into_iter()
            .map(|address| Party {
                name: named(&address),
                address,
            })
            .collect();
        if let [one] = &mut people[..]
            && one.name.is_none()
        {
            one.name = text(Column::Name);
        }
        let is_outgoing = flag(Column::Originated);
        let doubt = value::doubt(row, Column::Date as usize, time, "its date", YEARS);
        Call {
            id,
            guid: text(Column::Guid),
            time,
            direction: if is_outgoing {
                Direction::Outgoing
            } else {
                Direction::Incoming
            },
            missed: !is_outgoing && number(Column::Answered) == Some(0),
            seconds: seconds(row, Column::Duration as usize),
            service: Service::of(number(Column::Type)),
            app: text(Column::Provider).filter(|provider| !is_apples(provider)),
            people,
            country,
            place: text(Column::Place),
            junk: flag(Column::Junk),
            emergency: flag(Column::Emergency),
            doubts: doubt.into_iter().collect(),
        }
    }
}

/// Returns a length in seconds; 0 for other values.
pub(super) fn seconds(row: &Row<'_>, column: usize) -> f64 {
    let text = value::text(row, column);
    let number: Option<f64> = text.and_then(|text| text.parse().ok());
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .unwrap_or_default()
}

/// Returns true for the provider of the telephone and of FaceTime.
fn is_apples(provider: &str) -> bool {
    provider.starts_with("com.apple.")
}

/// Reads the members of group calls, by the rows of the calls.
fn members(db: &Database) -> Result<HashMap<i64, Vec<String>>, Error> {
    let mut members: HashMap<i64, Vec<String>> = HashMap::new();
    let handles = db.table("ZHANDLE")?;
    if !handles.has("Z_PK") || !handles.has("ZVALUE") {
        return Ok(members);
    }
    let mut joins = Vec::new();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'
               AND name LIKE 'Z\\_%REMOTEPARTICIPANTHANDLES' ESCAPE '\\'";
    db.rows(sql, |row| {
        joins.extend(value::text(row, 0));
        true
    })?;
    let is_plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for join in joins.iter().filter(|name| is_plain(name)) {
        let columns = columns_of(db.connection(), join).map_err(|e| db.failed(e))?;
        let ending = |end: &str| {
            let found = columns.iter().find(|name| name.ends_with(end));
            found.filter(|name| is_plain(name))
        };
        let (Some(call), Some(handle)) = (
            ending("REMOTEPARTICIPANTCALLS"),
            ending("REMOTEPARTICIPANTHANDLES"),
        ) else {
            continue;
        };
        let sql = format!(
            "SELECT j.{call}, h.ZVALUE FROM {join} j JOIN ZHANDLE h ON h.Z_PK = j.{handle}
             ORDER BY 1, h.Z_PK"
        );
        let mut count = 0;
        db.rows(&sql, |row| {
            if let (Some(call), Some(address)) = (value::integer(row, 0), value::words(row, 1)) {
                members.entry(call).or_default().push(address);
            }
            count += 1;
            count < MEMBERS_MAX
        })?;
    }
    Ok(members)
}
