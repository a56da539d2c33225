//! `idev-backup export reminders`

use clap::Args;
use idev_backup::export::records::{Format, What};

use super::records::{CalendarFormats, RecordArgs};

/// Export the reminders as iCalendar, a page or a table
///
/// Example:  idev-backup export reminders latest --to ~/Reminders
///
/// All lists of all accounts are in one file. Exit code 3: done, but some reminders have problems.
#[derive(Args)]
pub struct Reminders {
    #[command(flatten)]
    args: RecordArgs<CalendarFormats>,
}

impl Reminders {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.args.run(What::Reminders, Format::Ics)
    }
}
