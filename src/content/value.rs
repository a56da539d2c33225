//! Values of a row. Any column of a SQLite table can hold a value of any type, whatever its
//! declaration says.

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

/// Returns true for a number other than 0.
pub(crate) fn flag(row: &Row<'_>, column: usize) -> bool {
    integer(row, column).is_some_and(|number| number != 0)
}

/// Returns the bytes of a value; `None` if there are none.
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
