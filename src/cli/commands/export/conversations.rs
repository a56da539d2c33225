//! Shared parts of `export messages` and `export whatsapp`.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use idev_backup::base::progress::Monitor;
use idev_backup::export::messages::{Format, Options, Report};
use idev_backup::export::{Error, Exported};
use idev_backup::reader::Backup;

use crate::cli::afterwards;
use crate::cli::args::content::{AttachmentsArgs, PeriodArgs};
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::commands::exporting;
use crate::cli::render::messages::tell;

/// An export of conversations.
type Export =
    fn(&Backup, &Path, &Options, &AtomicBool, &dyn Monitor) -> Result<Exported<Report>, Error>;

/// Options of the commands that export conversations.
#[derive(Args)]
pub struct Conversations {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// The formats, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "html")]
    format: Vec<Formats>,
    /// Export only conversations with this in their title or in a member's name, or with this
    /// address (repeatable)
    #[arg(long, value_name = "NAME")]
    chat: Vec<String>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    attachments: AttachmentsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Formats {
    /// Pages to read, with an index and a search
    Html,
    /// A record for each message, for programs
    Jsonl,
    /// A table for spreadsheets
    Csv,
    /// A text file for each conversation
    Txt,
}

impl Conversations {
    /// Runs an export and returns its exit code.
    pub fn run(&self, export: Export) -> u8 {
        afterwards::note(CONTINUES);
        let options = Options {
            into: self.into.how(),
            formats: self.formats(),
            period: self.period.period(),
            chats: self.chat.clone(),
            attachments: self.attachments.how(),
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                export(backup, &self.into.to, &options, interrupt, monitor)
            },
            tell,
        )
    }

    fn formats(&self) -> Vec<Format> {
        exporting::formats(&self.format, |format| match format {
            Formats::Html => Format::Html,
            Formats::Jsonl => Format::Jsonl,
            Formats::Csv => Format::Csv,
            Formats::Txt => Format::Text,
        })
    }
}
