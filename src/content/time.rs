//! Times as Apple's databases store them.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::ValueRef;
use serde::{Serialize, Serializer};

/// 2001-01-01 in seconds since 1970.
const EPOCH: i64 = 978_307_200;
/// Times above this are in nanoseconds since 2001, others in seconds. Messages stores nanoseconds
/// since iOS 11, and keeps the seconds of older rows. As seconds it would be 31 million years, as
/// nanoseconds 11 days.
const NANOSECONDS_MIN: i64 = 1_000_000_000_000_000;

/// A point in time. It is written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

impl Time {
    /// 1970-01-01 in UTC.
    pub(crate) const EPOCH: Time = Time(Timestamp::UNIX_EPOCH);

    /// Converts a value that counts seconds or nanoseconds since 2001. Returns `None` for NULL, for
    /// 0, for text that is not a number, and for times that no calendar has.
    pub(crate) fn since_2001(value: ValueRef<'_>) -> Option<Time> {
        let number = match value {
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).ok()?.trim();
                return match text.parse() {
                    Ok(whole) => Time::since_2001(ValueRef::Integer(whole)),
                    Err(_) => Time::since_2001(ValueRef::Real(text.parse().ok()?)),
                };
            }
            ValueRef::Integer(0) | ValueRef::Null | ValueRef::Blob(_) => return None,
            ValueRef::Real(number) => return Time::from_real(number),
            ValueRef::Integer(number) => number,
        };
        let since = if number.unsigned_abs() > NANOSECONDS_MIN.unsigned_abs() {
            SignedDuration::from_nanos(number)
        } else {
            SignedDuration::from_secs(number)
        };
        Time::after_2001(since)
    }

    /// Converts seconds or nanoseconds since 2001 with a fraction.
    pub(crate) fn from_real(number: f64) -> Option<Time> {
        if number == 0.0 {
            return None;
        }
        let is_nanoseconds = number.abs() > NANOSECONDS_MIN as f64;
        let seconds = if is_nanoseconds { number / 1e9 } else { number };
        // A double holds today's seconds to less than a microsecond.
        let since = SignedDuration::try_from_secs_f64(seconds).ok()?;
        let micros = i64::try_from(since.as_micros()).ok()?;
        Time::after_2001(SignedDuration::from_micros(micros))
    }

    /// Converts seconds since 1970.
    pub fn since_1970(seconds: i64) -> Option<Time> {
        Timestamp::from_second(seconds).ok().map(Time)
    }

    /// Returns the year in UTC.
    pub(crate) fn year(self) -> i16 {
        self.0.to_zoned(jiff::tz::TimeZone::UTC).year()
    }

    fn after_2001(since: SignedDuration) -> Option<Time> {
        let epoch = Timestamp::from_second(EPOCH).ok()?;
        epoch.checked_add(since).ok().map(Time)
    }

    /// Returns the seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        let second = self.0.as_second();
        // jiff rounds toward zero.
        if self.0.subsec_nanosecond() < 0 {
            second - 1
        } else {
            second
        }
    }

    /// Returns the time in a form with which it can be shown in any time zone.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_magnitude() {
        let text = |value| Time::since_2001(value).map(|time| time.to_string());
        let some = |text: &str| Some(text.to_owned());
        for (value, expected) in [
            (ValueRef::Integer(725_846_400), some("2024-01-02T00:00:00Z")),
            (
                ValueRef::Integer(725_846_400_123_456_789),
                some("2024-01-02T00:00:00.123456789Z"),
            ),
            (
                ValueRef::Real(725_846_400.5),
                some("2024-01-02T00:00:00.5Z"),
            ),
            (ValueRef::Text(b"725846400"), some("2024-01-02T00:00:00Z")),
            (
                ValueRef::Text(b" 725846400.25 "),
                some("2024-01-02T00:00:00.25Z"),
            ),
            (ValueRef::Integer(-1), some("2000-12-31T23:59:59Z")),
            // The years 1601 and 4001.
            (
                ValueRef::Integer(-12_622_780_800),
                some("1601-01-01T00:00:00Z"),
            ),
            (
                ValueRef::Integer(63_113_904_000),
                some("4001-01-01T00:00:00Z"),
            ),
            (ValueRef::Text(b"yesterday"), None),
            (ValueRef::Text(b"nan"), None),
            (ValueRef::Integer(0), None),
            (ValueRef::Null, None),
            (ValueRef::Blob(b"725846400"), None),
            (ValueRef::Integer(900_000_000_000_000), None),
            (ValueRef::Real(f64::INFINITY), None),
        ] {
            assert_eq!(text(value), expected, "{value:?}");
        }
        // The largest and smallest numbers are nanoseconds within a few centuries of 2001.
        for extreme in [i64::MAX, i64::MIN] {
            assert!(text(ValueRef::Integer(extreme)).is_some());
        }
    }

    #[test]
    fn seconds_are_rounded_down() {
        let seconds = |since_2001| Time::from_real(since_2001).map(Time::seconds);
        assert_eq!(seconds(0.5), Some(EPOCH));
        assert_eq!(seconds(-978_307_200.5), Some(-1));
    }
}
