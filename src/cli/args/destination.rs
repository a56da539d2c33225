//! Options of the commands that write files into a folder.

use std::path::PathBuf;

use clap::Args;
use idev_backup::export::destination::Into;

/// Where to, and whether.
#[derive(Args, Clone)]
pub struct IntoArgs {
    /// The folder to fill; must be empty or not there yet
    #[arg(long, value_name = "DIR", value_parser = crate::cli::args::store::path_parser())]
    pub to: PathBuf,
    /// Replace files that are in the folder already
    #[arg(long)]
    overwrite: bool,
    /// Only tell what would be written
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
