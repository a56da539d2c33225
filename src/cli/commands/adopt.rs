//! `idev-backup adopt` and `idev-backup copy`

use std::path::PathBuf;

use clap::Args;
use idev_backup::history::adopt;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::{WritableStoreArgs, path_parser};
use crate::cli::render::taken::reported;

/// Take a backup of Finder, iTunes, iMazing or another program into the store.
///
/// Example:  idev-backup adopt ~/Library/Application\ Support/MobileSync/Backup/00008130-001A2B3C4D5E6F70
///
/// It is checked, copied (by clones of its blocks where the disk can) and checked again; what it is
/// taken from stays as it is. It becomes the phone's current backup if it is the newest, else a
/// snapshot of its own date. It is pinned: `unpin` leaves it to the rules.
#[derive(Args)]
pub struct Adopt {
    /// The backup's folder
    #[arg(value_parser = path_parser())]
    backup: PathBuf,
    /// Take it in though it is damaged
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(crate) store: WritableStoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Adopt {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        reported("adopted", self.output.style(), |watch| {
            let store = self.store.open_by_hand()?;
            Ok(adopt::adopt(&store, &self.backup, self.force, watch)?)
        })
    }
}
