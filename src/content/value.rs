//! Values of a row. Any column of a SQLite table can hold a value of any type, whatever its
//! declaration says.

use std::ops::RangeInclusive;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::content::Time;

/// Returns a value as text; `None` for NULL and for bytes that are not UTF-8.
pub(crate) fn text(row: &Row<'_>, column: usize) -> Option<String> {
    match row.get_ref(column).ok()? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// Returns a value as text, `None` if that is empty.
pub(crate) fn words(row: &Row<'_>, column: usize) -> Option<String> {
    text(row, column).filter(|text| !text.is_empty())
}

/// Returns a value as a whole number.
pub(crate) fn integer(row: &Row<'_>, column: usize) -> Option<i64> {
    match row.get_ref(column).ok()? {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) if number.is_finite() => Some(number as i64),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
        _ => None,
    }
}

/// Returns a value as a number with a fraction.
pub(crate) fn real(row: &Row<'_>, column: usize) -> Option<f64> {
    let number = match row.get_ref(column).ok()? {
        ValueRef::Integer(number) => number as f64,
        ValueRef::Real(number) => number,
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok()?,
        _ => return None,
    };
    Some(number).filter(|number| number.is_finite())
}

/// Returns true for a number other than 0.
pub(crate) fn flag(row: &Row<'_>, column: usize) -> bool {
    integer(row, column).is_some_and(|number| number != 0)
}

/// Returns the bytes of a value; `None` if it has another type.
pub(crate) fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a [u8]> {
    match row.get_ref(column).ok()? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) if !bytes.is_empty() => Some(bytes),
        _ => None,
    }
}

/// Returns a time that counts seconds or nanoseconds since 2001.
pub(crate) fn time(row: &Row<'_>, column: usize) -> Option<Time> {
    Time::since_2001(row.get_ref(column).ok()?)
}

/// Returns a time that counts seconds since 1970.
pub(crate) fn time_since_1970(row: &Row<'_>, column: usize) -> Option<Time> {
    let seconds = match row.get_ref(column).ok()? {
        ValueRef::Real(number) => number,
        _ => {
            return integer(row, column)
                .filter(|n| *n != 0)
                .and_then(Time::since_1970);
        }
    };
    Time::from_real(seconds - 978_307_200.0).filter(|_| seconds != 0.0)
}

/// Explains why a date is doubtful: it is not a date, or its year is outside of `years`. `name` is
/// the date in a sentence, such as "its end".
pub(crate) fn doubt(
    row: &Row<'_>,
    column: usize,
    time: Option<Time>,
    name: &str,
    years: RangeInclusive<i16>,
) -> Option<String> {
    if let Some(time) = time {
        let year = time.year();
        return (!years.contains(&year)).then(|| format!("{name} is in the year {year}"));
    }
    match row.get_ref(column).ok()? {
        ValueRef::Null | ValueRef::Integer(0) => None,
        ValueRef::Real(0.0) => None,
        ValueRef::Blob(_) => Some(format!("{name} is not a date but bytes")),
        _ => {
            let value: String = text(row, column)?.chars().take(40).collect();
            Some(format!("{name} is not a date: {value:?}"))
        }
    }
}

/// Returns true if a flag is not set, for records that leave it out then.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
