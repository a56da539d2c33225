//! `idev-backup export calendar`

use clap::Args;
use idev_backup::export::records::{Format, What};

use super::records::{CalendarFormats, RecordArgs};

/// Export the events of all calendars as iCalendar, a page or a table
///
/// Example:  idev-backup export calendar latest --to ~/Calendar
///
/// Repeating events have their rules, exceptions and moved occurrences, and times their time zones.
/// Exit code 3: done, but some events have problems.
#[derive(Args)]
pub struct Calendar {
    #[command(flatten)]
    args: RecordArgs<CalendarFormats>,
}

impl Calendar {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.args.run(What::Calendar, Format::Ics)
    }
}
