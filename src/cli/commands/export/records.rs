//! Options and the run of the commands that export lists of records.

use clap::{Args, ValueEnum};
use idev_backup::export::records::{self, Format, Options, What};

use crate::cli::afterwards;
use crate::cli::args::content::PeriodArgs;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::commands::exporting;
use crate::cli::render::records::tell;

/// Options that these commands share.
#[derive(Args)]
pub struct RecordArgs<F: ValueEnum + Copy + Send + Sync + 'static> {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// The formats, separated by commas [default: ics for calendar and reminders, else html]
    #[arg(long, value_enum, value_delimiter = ',')]
    format: Vec<F>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The formats of most lists.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Formats {
    /// A page to read, with a search
    Html,
    /// A record for each entry, for programs
    Jsonl,
    /// A table for spreadsheets
    Csv,
}

/// The formats of events and reminders.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CalendarFormats {
    /// iCalendar, for other calendars
    Ics,
    /// A page to read, with a search
    Html,
    /// A record for each entry, for programs
    Jsonl,
    /// A table for spreadsheets
    Csv,
}

impl From<CalendarFormats> for Format {
    fn from(format: CalendarFormats) -> Format {
        match format {
            CalendarFormats::Ics => Format::Ics,
            CalendarFormats::Html => Format::Html,
            CalendarFormats::Jsonl => Format::Jsonl,
            CalendarFormats::Csv => Format::Csv,
        }
    }
}

impl From<Formats> for Format {
    fn from(format: Formats) -> Format {
        match format {
            Formats::Html => Format::Html,
            Formats::Jsonl => Format::Jsonl,
            Formats::Csv => Format::Csv,
        }
    }
}

impl<F: ValueEnum + Copy + Send + Sync + 'static> RecordArgs<F>
where
    Format: From<F>,
{
    /// Exports a kind and returns the exit code. `usual` is the format if none is asked for.
    pub fn run(&self, what: What, usual: Format) -> u8 {
        afterwards::note(CONTINUES);
        let options = Options {
            into: self.into.how(),
            formats: self.formats(usual),
            period: self.period.period(),
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                records::export(backup, &self.into.to, what, &options, interrupt, monitor)
            },
            tell,
        )
    }

    /// Returns the formats, each once.
    fn formats(&self, usual: Format) -> Vec<Format> {
        match exporting::formats(&self.format, Format::from) {
            none if none.is_empty() => vec![usual],
            formats => formats,
        }
    }
}
