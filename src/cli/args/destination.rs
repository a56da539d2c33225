//! Options of the commands that write files into a folder.

use std::path::PathBuf;

use clap::Args;
use idev_backup::export::destination::Into;

/// Advice after an interruption.
pub const CONTINUES: &str = "run the same command again: it continues with the missing files";

/// Options for the folder to write into.
#[derive(Args, Clone)]
pub struct IntoArgs {
    /// Write into this folder: a new or empty one, or one that an earlier run filled, which is then
    /// completed
    #[arg(long, value_name = "DIR", value_parser = crate::cli::args::store::path_parser())]
    pub to: PathBuf,
    /// Replace the files in the folder that differ
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
