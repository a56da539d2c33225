//! Options of the commands that write files into a folder.

use std::path::PathBuf;

use clap::Args;
use idev_backup::export::destination::Into;

/// Options for the folder to write into.
#[derive(Args, Clone)]
pub struct IntoArgs {
    /// Write into this folder, which must be empty or not exist yet
    #[arg(long, value_name = "DIR", value_parser = crate::cli::args::store::path_parser())]
    pub to: PathBuf,
    /// Replace the files that already exist in the folder
    #[arg(long)]
    overwrite: bool,
    /// Show what would be written, but write nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl IntoArgs {
    /// Returns the options in the form that the job takes.
    pub fn how(&self) -> Into {
        Into {
            overwrite: self.overwrite,
            dry_run: self.dry_run,
        }
    }
}
