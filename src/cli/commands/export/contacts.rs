//! `idev-backup export contacts`

use clap::{Args, ValueEnum};
use idev_backup::export::contacts::{self, Format, Options};

use crate::cli::args::destination::IntoArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::commands::exporting;
use crate::cli::render::contacts::tell;

/// Export the contacts with their pictures
///
/// Example:  idev-backup export contacts latest --to ~/Contacts
///
/// Cards that the phone shows as one contact are one. Exit code 3: done, but something cannot be
/// read.
#[derive(Args)]
pub struct Contacts {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// The formats, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "vcf")]
    format: Vec<Formats>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Formats {
    /// vCard 4, for other address books
    Vcf,
    /// A page to read
    Html,
    /// A record for each person, for programs
    Jsonl,
    /// A table for spreadsheets
    Csv,
}

impl Contacts {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let options = Options {
            into: self.into.how(),
            formats: self.formats(),
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                contacts::export(backup, &self.into.to, &options, interrupt, monitor)
            },
            tell,
        )
    }

    fn formats(&self) -> Vec<Format> {
        exporting::formats(&self.format, |format| match format {
            Formats::Vcf => Format::Vcard,
            Formats::Html => Format::Html,
            Formats::Jsonl => Format::Jsonl,
            Formats::Csv => Format::Csv,
        })
    }
}
