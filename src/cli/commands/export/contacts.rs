//! `idev-backup export contacts`

use clap::{Args, ValueEnum};
use idev_backup::export::contacts::{self, Format, Options};

use crate::cli::args::destination::IntoArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::contacts::tell;
use crate::cli::render::output;
use crate::cli::render::progress::Show;

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
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let options = Options {
            into: self.into.how(),
            formats: self.formats(),
        };
        let exported = self.read.open().and_then(|backup| {
            let to = &self.into.to;
            Ok(contacts::export(
                &backup,
                to,
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
    fn formats(&self) -> Vec<Format> {
        let mut formats = Vec::new();
        for format in &self.format {
            let format = match format {
                Formats::Vcf => Format::Vcard,
                Formats::Html => Format::Html,
                Formats::Jsonl => Format::Jsonl,
                Formats::Csv => Format::Csv,
            };
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        formats
    }
}
