//! What is printed: the only file that does. Data goes to stdout, everything else to stderr.

use std::io::Write;
use std::time::SystemTime;

use idev_backup::jobs::{Error, list};
use serde::Serialize;

use super::exit;

/// Prints a line of data. A reader that has gone away is no error of ours.
pub fn line(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Prints a line for whoever watches.
pub fn tell(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// An object as scripts get it. All have this head.
#[derive(Serialize)]
struct Object<'a, T> {
    /// Of the objects' form.
    version: u32,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    udid: Option<&'a str>,
    event: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// Prints an object under its head; `udid` where it is about one phone.
pub fn object(event: &str, udid: Option<&str>, body: &impl Serialize) {
    json(&Object {
        version: 1,
        time: now(),
        udid,
        event,
        body,
    });
}

/// RFC 3339, as all times for scripts.
pub fn now() -> String {
    list::rfc3339(SystemTime::now())
}

/// Prints an object that has its head already.
pub fn json(object: &impl Serialize) {
    match serde_json::to_string(object) {
        Ok(text) => line(&text),
        Err(e) => tell(&format!("error: cannot write JSON: {e}")),
    }
}

/// What a failure is to scripts.
#[derive(Serialize)]
struct Failure {
    text: String,
    hint: Option<String>,
    exit_code: u8,
}

/// Tells of a failure and answers its exit code; `udid` where it is about one phone.
pub fn failure(error: &Error, udid: Option<&str>, as_json: bool) -> u8 {
    let exit_code = exit::code(error.class());
    let hint = error.hint();
    tell(&format!("error: {error}"));
    if let Some(hint) = &hint {
        tell(&format!("  hint: {hint}"));
    }
    if as_json {
        let failure = Failure {
            text: error.to_string(),
            hint,
            exit_code,
        };
        object("error", udid, &failure);
    }
    exit_code
}

/// "today 22:14", "yesterday 22:14", "2026-11-20 22:14": local time.
pub fn when(rfc3339: &str) -> String {
    let Ok(time) = rfc3339.parse::<jiff::Timestamp>() else {
        return rfc3339.to_owned();
    };
    let zone = jiff::tz::TimeZone::system();
    let now = jiff::Timestamp::try_from(SystemTime::now())
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

/// Lines up the columns of a table; the last one is cut to the terminal's width.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|t| t.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let aligned = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(text, &width)| format!("{text:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(aligned).collect()
}
