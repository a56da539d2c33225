//! Options of the commands that export content: the period, and the treatment of attachments.

use clap::{Args, ValueEnum};
use idev_backup::content::Time;
use idev_backup::content::messages::Period;
use idev_backup::export::messages::Attachments;

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

/// The option for the treatment of attachments.
#[derive(Args, Clone)]
pub struct AttachmentsArgs {
    /// Copy the files of attachments, link to them in the backup, or leave them out
    #[arg(long, value_enum, default_value_t = Files::Copy)]
    attachments: Files,
}

#[derive(Clone, Copy, ValueEnum)]
enum Files {
    /// Copy them
    Copy,
    /// Link to the files in the backup, which must not be encrypted
    Link,
    /// Leave them out
    None,
}

impl AttachmentsArgs {
    /// Returns the treatment of attachments.
    pub fn how(&self) -> Attachments {
        match self.attachments {
            Files::Copy => Attachments::Copy,
            Files::Link => Attachments::Link,
            Files::None => Attachments::None,
        }
    }
}

fn time(text: &str) -> Result<Time, String> {
    let seconds = value_parsers::date(text)?;
    Time::since_1970(seconds).ok_or_else(|| "no calendar has this time".to_owned())
}
