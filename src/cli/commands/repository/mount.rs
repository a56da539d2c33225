//! `idev-backup repository mount`

use std::path::PathBuf;

use clap::Args;
use idev_backup::repository::{self, Engine};

use crate::cli::args::repository::RepositoryArgs;
use crate::cli::args::store::path_parser;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::Show;

/// Show the repository as a folder, until Ctrl-C
///
/// Example:  idev-backup repository mount ~/phones
///
/// Linux, macOS with macFUSE, and FreeBSD. Below `ids/` and `snapshots/` each snapshot is a folder
/// that other commands read as a backup.
#[derive(Args)]
pub struct Mount {
    /// An empty folder
    #[arg(value_name = "FOLDER", value_parser = path_parser())]
    folder: PathBuf,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Mount {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match self.mount() {
            Err(e) => output::failure(&e, None, false),
            Ok(()) => exit::DONE,
        }
    }

    fn mount(&self) -> Result<(), Failure> {
        if cfg!(windows) {
            return Err(Failure::Command {
                what: "restic cannot mount a repository on Windows".to_owned(),
                hint: "fetch a backup with `idev-backup repository pull`".to_owned(),
            });
        }
        let folder = crate::cli::args::store::whole(&self.folder)?;
        let restic = self.repository.open()?;
        let show = Show::new(Style::People);
        let watch = show.watch(None, None);
        output::tell(&format!(
            "Mounting {} at {}; Ctrl-C ends it.",
            restic.access().location,
            folder.display()
        ));
        match restic.mount(&folder, &watch) {
            // Ctrl-C is its normal end.
            Ok(()) | Err(repository::Error::Interrupted) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}
