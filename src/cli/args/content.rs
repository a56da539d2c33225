//! Options of the commands that export content: the period.

use clap::Args;
use idev_backup::content::Time;
use idev_backup::content::messages::Period;

use crate::cli::args::value_parsers;

/// Options for the period of an export.
#[derive(Args, Clone)]
pub struct PeriodArgs {
    /// Export only what is from this time or later: 2026-01-31, 2026-01-31T18:00, or 7d ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    /// Export only what is from before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
}

impl PeriodArgs {
    /// Returns the period.
    pub fn period(&self) -> Period {
        Period {
            since: self.since,
            until: self.until,
        }
    }
}

fn time(text: &str) -> Result<Time, String> {
    let seconds = value_parsers::date(text)?;
    Time::since_1970(seconds).ok_or_else(|| "no calendar has this time".to_owned())
}
