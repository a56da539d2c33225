//! Times as people, scripts and folder names write them.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Format of a stamp: `YYYYMMDD-HHMMSS` in local time.
pub(crate) const STAMP: &str = "%Y%m%d-%H%M%S";

/// Formats a time for people: local time, to the minute.
pub fn local_text(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or_default();
    let zoned = timestamp.to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Returns a time in the local zone: "today 22:14", "yesterday 22:14" or "2026-11-20 22:14".
pub fn when(rfc3339: &str) -> String {
    let Ok(time) = rfc3339.parse::<Timestamp>() else {
        return rfc3339.to_owned();
    };
    let zone = TimeZone::system();
    let now = Timestamp::try_from(SystemTime::now())
        .unwrap_or_default()
        .to_zoned(zone.clone());
    let then = time.to_zoned(zone);
    let clock = then.strftime("%H:%M");
    match now.date().since(then.date()).map(|span| span.get_days()) {
        Ok(0) => format!("today {clock}"),
        Ok(1) => format!("yesterday {clock}"),
        _ => then.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

/// Returns a time in the local zone in at most 15 characters: "today 22:14", "yesterday 22:14", "20
/// Nov 22:14" in the same year, or "20 Nov 2025".
pub fn when_briefly(rfc3339: &str) -> String {
    let full = when(rfc3339);
    let Ok(time) = rfc3339.parse::<Timestamp>() else {
        return full;
    };
    if full.starts_with(char::is_alphabetic) {
        return full;
    }
    let then = time.to_zoned(TimeZone::system());
    let is_this_year = Zoned::now().year() == then.year();
    let format = if is_this_year {
        "%-d %b %H:%M"
    } else {
        "%-d %b %Y"
    };
    then.strftime(format).to_string()
}

/// Returns the day of a time in the local zone: "today", "yesterday", "20 Nov" or "20 Nov 2025".
pub fn day(rfc3339: &str) -> String {
    let brief = when_briefly(rfc3339);
    match brief.rsplit_once(' ') {
        Some((day, clock)) if clock.contains(':') => day.to_owned(),
        _ => brief,
    }
}

/// Returns a time in the local zone as "2026-11-20 22:14", even if it is today.
pub fn when_exactly(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => local_text(time.into()),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Formats a time for scripts: RFC 3339 in UTC, whole seconds.
pub fn rfc3339(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats seconds since 1970, as a phone notes times, in the format of [`rfc3339`]. Returns `None`
/// if no calendar has the time.
pub(crate) fn rfc3339_seconds(seconds: i64) -> Option<String> {
    let timestamp = Timestamp::from_second(seconds).ok()?;
    Some(timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Returns the age of something that was made at `then`. Returns `None` if that is in the future: a
/// clock was wrong, now or then, so the age is unknown. Up to two minutes count as zero, since
/// clocks may differ by that much.
pub fn age(now: SystemTime, then: SystemTime) -> Option<Duration> {
    match now.duration_since(then) {
        Ok(age) => Some(age),
        Err(e) if e.duration() <= Duration::from_secs(120) => Some(Duration::ZERO),
        Err(_) => None,
    }
}

/// Returns a stamp in local time, as Apple writes it into archive names.
pub(crate) fn stamp_of(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or_default();
    let zoned = timestamp.to_zoned(TimeZone::system());
    zoned.strftime(STAMP).to_string()
}

/// Parses a stamp of the form `YYYYMMDD-HHMMSS`.
pub(crate) fn parse_stamp(stamp: &str) -> Option<DateTime> {
    DateTime::strptime(STAMP, stamp).ok()
}

/// Returns a system time in local time.
pub(crate) fn local(time: SystemTime) -> DateTime {
    parse_stamp(&stamp_of(time)).unwrap_or_default()
}

/// Returns a timestamp in local time.
pub(crate) fn civil(moment: Timestamp) -> DateTime {
    Zoned::new(moment, TimeZone::system()).datetime()
}
