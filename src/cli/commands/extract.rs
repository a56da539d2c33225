//! `idev-backup extract`

use clap::Args;
use idev_backup::export::files::{self, Options};
use idev_backup::reader::selection::Wanted;

use crate::cli::args::destination::IntoArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::args::value_parsers;
use crate::cli::ctrl_c::interrupt;
use crate::cli::render::extract::tell;
use crate::cli::render::output;
use crate::cli::render::progress::Show;

/// Write files of a backup into a folder, with the names, times and modes that they had on the
/// phone.
///
/// Example:  idev-backup extract latest --to photos 'CameraRollDomain/Media/DCIM/**'
///
/// A pattern with a `/` is for domain and path, one without for the last name alone; without any it
/// is everything. Exit code 3: done, but some files are not as they should be.
#[derive(Args)]
pub struct Extract {
    #[command(flatten)]
    read: ReadArgs,
    /// Which files: *.HEIC, 'HomeDomain/Library/{SMS,Notes}/**'
    #[arg(value_name = "PATTERN", value_parser = value_parsers::pattern)]
    patterns: Vec<String>,
    /// Only of these domains: 'AppDomain*-net.whatsapp.*'
    #[arg(long, value_name = "PATTERN", value_parser = value_parsers::pattern)]
    domain: Vec<String>,
    /// Letters' case makes no difference in patterns
    #[arg(long)]
    any_case: bool,
    #[command(flatten)]
    into: IntoArgs,
    /// Give group and others the rights that they had on the phone; without it only you can read
    /// the files
    #[arg(long)]
    modes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Extract {
    /// Lets the words begin with what is wanted: without a backup's name it is the current one.
    pub fn settle(&mut self) {
        if let Some(word) = self.read.take_word(&self.patterns) {
            self.patterns.insert(0, word);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let options = Options {
            wanted: Wanted {
                patterns: self.patterns.clone(),
                domains: self.domain.clone(),
                any_case: self.any_case,
                ..Wanted::default()
            },
            into: self.into.how(),
            all_modes: self.modes,
        };
        // While the user is prompted for a password, Ctrl-C ends the program at once.
        let extracted = self.read.open().and_then(|backup| {
            let to = &self.into.to;
            Ok(files::extract(&backup, to, &options, &interrupt(), &watch)?)
        });
        watch.finish();
        let json = self.output.json;
        match extracted {
            Err(e) => output::failure(&e, None, json),
            Ok(extracted) => {
                let code = tell(&extracted.report, self.output.style());
                match extracted.stopped {
                    Some(e) => output::failure(&e.into(), None, json),
                    None => code,
                }
            }
        }
    }
}
