//! `idev-backup extract`

use clap::Args;
use idev_backup::export::files::{self, Options};
use idev_backup::reader::selection::Wanted;

use crate::cli::afterwards;
use crate::cli::args::anywhere::AnywhereArgs;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::value_parsers;
use crate::cli::commands::exporting;
use crate::cli::render::extract::tell;

/// Extract files of a backup into a folder, with the names, times and modes they had on the phone
///
/// Example:  idev-backup extract latest --to photos 'CameraRollDomain/Media/DCIM/**'
///
/// A pattern with a `/` must match domain and path, one without only the file name. Without a
/// pattern, everything is extracted. Exit code 3: done, but some files have problems.
#[derive(Args)]
pub struct Extract {
    #[command(flatten)]
    read: AnywhereArgs,
    /// Files to extract: *.HEIC, 'HomeDomain/Library/{SMS,Notes}/**' [default: everything]
    #[arg(value_name = "PATTERN", value_parser = value_parsers::pattern)]
    patterns: Vec<String>,
    /// Only domains that match this pattern, such as 'AppDomain*-net.whatsapp.*'; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = value_parsers::pattern)]
    domain: Vec<String>,
    /// Ignore upper and lower case
    #[arg(short = 'i', long, alias = "any-case")]
    ignore_case: bool,
    #[command(flatten)]
    into: IntoArgs,
    /// Keep the permissions that group and others had on the phone [default: only you can read the
    /// files]
    #[arg(long)]
    modes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Extract {
    /// Uses the current backup if the first word is a pattern instead of a backup's name.
    pub fn settle(&mut self) {
        if let Some(word) = self.read.take_word(&self.patterns) {
            self.patterns.insert(0, word);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        afterwards::note(CONTINUES);
        let options = Options {
            wanted: Wanted {
                patterns: self.patterns.clone(),
                domains: self.domain.clone(),
                any_case: self.ignore_case,
                ..Wanted::default()
            },
            into: self.into.how(),
            all_modes: self.modes,
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                files::extract(backup, &self.into.to, &options, interrupt, monitor)
            },
            tell,
        )
    }
}
