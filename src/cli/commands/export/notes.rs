//! `idev-backup export notes`

use clap::{Args, ValueEnum};
use idev_backup::export::notes::{self, Format, Options};

use crate::cli::afterwards;
use crate::cli::args::content::AttachmentsArgs;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::commands::exporting;
use crate::cli::render::notes::tell;

/// Export notes with their folders, styles, tables and attachments
///
/// Example:  idev-backup export notes latest --to ~/Notes
///
/// Locked notes are listed, and their text stays encrypted. Recently deleted notes are marked. An
/// interrupted export goes on where it stopped if the same command runs again. Exit code 3: done,
/// but some notes or files have problems.
#[derive(Args)]
pub struct Notes {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// The formats, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "md")]
    format: Vec<Formats>,
    #[command(flatten)]
    attachments: AttachmentsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Formats {
    /// Markdown: a file for each note, in folders
    Md,
    /// Pages to read, with an index and a search
    Html,
    /// A record for each note, for programs
    Jsonl,
}

impl Notes {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        afterwards::note(CONTINUES);
        let options = Options {
            into: self.into.how(),
            formats: self.formats(),
            attachments: self.attachments.how(),
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                notes::export(backup, &self.into.to, &options, interrupt, monitor)
            },
            tell,
        )
    }

    fn formats(&self) -> Vec<Format> {
        exporting::formats(&self.format, |format| match format {
            Formats::Md => Format::Markdown,
            Formats::Html => Format::Html,
            Formats::Jsonl => Format::Jsonl,
        })
    }
}
