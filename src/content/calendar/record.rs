//! The record of an event.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::content::Time;
use crate::content::calendar::Rule;

/// An event of a calendar, or one moved occurrence.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Event {
    /// The row in the database.
    pub id: i64,
    /// The identifier that calendars on servers share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The title of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The notes below the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The name of its calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// The account of its calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The beginning, in the form that the event has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Moment>,
    /// The end. For an event of whole days it is the day after the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Moment>,
    /// The time zone of its beginning; none for whole days and for times without a zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// True if it lasts whole days.
    pub all_day: bool,
    /// True for the birthday of a contact.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub birthday: bool,
    /// The place, if the event has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
    /// The address of its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The address of its video conference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conference: Option<String>,
    /// The state: confirmed, tentative or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The person who invites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizer: Option<Attendee>,
    /// The guests that were invited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attendees: Vec<Attendee>,
    /// The rules by which it repeats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// The beginnings of occurrences that were removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Moment>,
    /// The occurrence that this event replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Original>,
    /// Alarms, in the order of their rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Alarm>,
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

impl Event {
    /// Returns the beginning as a point in time; one without a zone is taken in the reader's.
    pub fn time(&self) -> Option<Time> {
        self.start.map(Moment::time)
    }
}

/// A date, a time without a zone, or a point in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// A whole day of the calendar.
    Day(Date),
    /// A time that is the same on every clock.
    Local(DateTime),
    /// A point in time.
    Point(Time),
}

impl Moment {
    /// Returns the point in time; a time without a zone is taken in the reader's.
    pub fn time(self) -> Time {
        let local = match self {
            Moment::Day(day) => day.to_datetime(jiff::civil::Time::midnight()),
            Moment::Local(local) => local,
            Moment::Point(time) => return time,
        };
        let zoned = local.to_zoned(TimeZone::system());
        let second = zoned.map(|zoned| zoned.timestamp().as_second());
        // Only dates at the ends of the calendar have no point in time.
        Time::since_1970(second.unwrap_or_default()).unwrap_or(Time::EPOCH)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Moment::Day(day) => day.fmt(f),
            Moment::Local(local) => local.fmt(f),
            Moment::Point(time) => time.fmt(f),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The states of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The event takes place.
    Confirmed,
    /// The event may take place.
    Tentative,
    /// The event does not take place.
    Cancelled,
}

/// A place with its name, address and coordinates.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Place {
    /// The name, as the phone shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The postal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The latitude in degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// The longitude in degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
}

impl Place {
    /// Returns name and address in a line.
    pub fn words(&self) -> String {
        let parts = [&self.title, &self.address].into_iter().flatten();
        let parts: Vec<String> = parts.map(|part| part.replace('\n', ", ")).collect();
        parts.join(", ")
    }
}

/// A guest or the organizer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attendee {
    /// The name, as the phone shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The mail address, or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The answer: `accepted`, `declined` or `maybe`; absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<&'static str>,
}

impl Attendee {
    /// Returns the name, else the address.
    pub fn shown(&self) -> &str {
        let known = self.name.as_deref().or(self.address.as_deref());
        known.unwrap_or("Unknown")
    }
}

/// The occurrence that an event replaces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Original {
    /// The row of the event that repeats.
    pub id: i64,
    /// The identifier of that event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The beginning that the occurrence would have had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Moment>,
}

/// An alarm before or after the beginning, or at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Seconds after the beginning; negative before it.
    After(i64),
    /// A point in time.
    At(Time),
}
