//! `idev-backup export all`

use clap::Args;
use idev_backup::export::all::{self, Options};

use crate::cli::afterwards;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::all::tell;
use crate::cli::render::output;
use crate::cli::render::progress::Show;

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
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let options = Options {
            into: self.into.how(),
            records: self.records,
        };
        let exported = self.read.open().and_then(|backup| {
            let to = &self.into.to;
            Ok(all::export(&backup, to, &options, &interrupt(), &watch)?)
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
}
