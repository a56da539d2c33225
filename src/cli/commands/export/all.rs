//! `idev-backup export all`

use clap::Args;
use idev_backup::export::all::{self, Options};

use crate::cli::afterwards;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::commands::exporting;
use crate::cli::render::all::tell;

/// Export every kind of content into folders of one folder, with an index page
///
/// Example:  idev-backup export all latest --to ~/Phone
///
/// Each kind gets a folder with pages to read, and iCalendar and vCard where they exist. At the end
/// a table counts what was exported. An interrupted export goes on where it stopped if the same
/// command runs again. Exit code 3: done, but something has problems.
#[derive(Args)]
pub struct All {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// Write records for programs too: JSON Lines and tables beside the pages
    #[arg(long)]
    records: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl All {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        afterwards::note(CONTINUES);
        let options = Options {
            into: self.into.how(),
            records: self.records,
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                all::export(backup, &self.into.to, &options, interrupt, monitor)
            },
            tell,
        )
    }
}
