//! Parts that the reports of `extract` and of all exports share.

use idev_backup::base::units::{count, counted, size};
use idev_backup::reader::backup::Unread;
use serde::Serialize;

use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::unread::tell_unread;

/// Prints the report of an export, as `text` or as the JSON event `event`. Returns the exit code.
pub fn tell<R: Serialize>(
    event: &'static str,
    report: &R,
    (is_good, unread): (bool, &Unread),
    style: output::Style,
    text: impl FnOnce(&R) -> Vec<String>,
) -> u8 {
    match style {
        output::Style::Json => output::object(event, None, report),
        output::Style::Quiet if is_good => {}
        _ => text(report).iter().for_each(|line| output::finding(line)),
    }
    let code = if is_good {
        exit::DONE
    } else {
        exit::DONE_WITH_PROBLEMS
    };
    tell_unread(unread, code)
}

/// Returns the first line of a report.
pub fn headline(amount: &str, to: &str, dry_run: bool, complete: bool) -> String {
    match (dry_run, complete) {
        (true, _) => format!("Would export {amount} into {to}."),
        (false, true) => format!("Exported {amount} into {to}."),
        (false, false) => format!("STOPPED. Exported {amount} into {to}."),
    }
}

/// Returns a line about the files that were written beside the records, if there are any.
pub fn files(what: &str, files: u64, bytes: u64) -> Option<String> {
    (files > 0).then(|| format!("  {what}: {}, {}.", counted(files, "file"), size(bytes)))
}

/// Returns a line for each number above zero, with its words for one and for several.
pub fn numbers<'a>(
    all: impl IntoIterator<Item = (u64, &'a str, &'a str)>,
) -> impl Iterator<Item = String> {
    let above_zero = all.into_iter().filter(|(number, ..)| *number > 0);
    above_zero.map(|(number, one, many)| {
        let words = if number == 1 { one } else { many };
        format!("  {} {words}", count(number))
    })
}
