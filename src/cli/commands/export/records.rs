//! Options and the run of the commands that export lists of records.

use clap::{Args, ValueEnum};
use idev_backup::export::records::{self, Format, Options, What};

use crate::cli::afterwards;
use crate::cli::args::content::PeriodArgs;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::progress::Show;
use crate::cli::render::records::tell;

/// Options that these commands share.
#[derive(Args)]
pub struct RecordArgs<F: ValueEnum + Clone + Send + Sync + 'static> {
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

impl<F: ValueEnum + Clone + Send + Sync + 'static> RecordArgs<F>
where
    Format: From<F>,
{
    /// Exports a kind and returns the exit code. `usual` is the format if none is asked for.
    pub fn run(&self, what: What, usual: Format) -> u8 {
        afterwards::note(CONTINUES);
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let options = Options {
            into: self.into.how(),
            formats: self.formats(usual),
            period: self.period.period(),
        };
        let exported = self.read.open().and_then(|backup| {
            let to = &self.into.to;
            Ok(records::export(
                &backup,
                to,
                what,
                &options,
                &interrupt(),
                &watch,
            )?)
        });
        watch.finish();
        let json = self.output.json;
        match exported {
            Err(e) => output::failure(&e, None, json),
            Ok(exported) => {
                let code = tell(&exported.report, self.output.style());
                match exported.stopped {
                    Some(e) => output::failure(&e.into(), None, json),
                    None if watch.had_problems() => exit::DONE_WITH_PROBLEMS,
                    None => code,
                }
            }
        }
    }

    /// Returns the formats, each once.
    fn formats(&self, usual: Format) -> Vec<Format> {
        let mut formats = Vec::new();
        for format in &self.format {
            let format = Format::from(format.clone());
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        if formats.is_empty() {
            formats.push(usual);
        }
        formats
    }
}
