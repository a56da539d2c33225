//! `idev-backup export photos`

use clap::{Args, ValueEnum};
use idev_backup::export::photos::{self, Albums, Options};

use crate::cli::afterwards;
use crate::cli::args::destination::{CONTINUES, IntoArgs};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::commands::exporting;
use crate::cli::render::photos::tell;

/// Export the camera roll into folders by year and month, with original names and dates
///
/// Example:  idev-backup export photos latest --to ~/Pictures/iPhone
///
/// The still and the moving part of a Live Photo stay together under one name. Exit code 3: done,
/// but some files have problems.
#[derive(Args)]
pub struct Photos {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// Put all files into one folder, without years and months
    #[arg(long)]
    flat: bool,
    /// Export photos in "Recently Deleted" too, into a folder of that name
    #[arg(long)]
    deleted: bool,
    /// Export hidden photos too, into a folder named Hidden
    #[arg(long)]
    hidden: bool,
    /// Also write the albums, as folders below Albums
    #[arg(long, value_enum, value_name = "HOW")]
    albums: Option<How>,
    /// Also write photos.jsonl: a record for each photo, with its albums, people, dates and place
    #[arg(long)]
    index: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// Copies of the photos, which share their space where the disk can do so
    Folders,
    /// Symbolic links to the exported photos
    Links,
}

impl Photos {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        afterwards::note(CONTINUES);
        let options = Options {
            into: self.into.how(),
            flat: self.flat,
            deleted: self.deleted,
            hidden: self.hidden,
            albums: match self.albums {
                None => Albums::None,
                Some(How::Folders) => Albums::Folders,
                Some(How::Links) => Albums::Links,
            },
            index: self.index,
        };
        exporting::run(
            || self.read.open(),
            &self.output,
            |backup, interrupt, monitor| {
                photos::export(backup, &self.into.to, &options, interrupt, monitor)
            },
            tell,
        )
    }
}
