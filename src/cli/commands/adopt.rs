//! `idev-backup adopt` and `idev-backup copy`

use std::path::PathBuf;

use clap::Args;
use idev_backup::history::adopt;

use crate::cli::args::folders;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::{WritableStoreArgs, path_parser};
use crate::cli::ctrl_c;
use crate::cli::render::taken::{CONTINUES, reported};

/// Copy a backup made by Finder, iTunes, iMazing or another program into the store
///
/// Example:  idev-backup adopt /Volumes/Old/Backup/00008130-001A2B3C4D5E6F70
///
/// The backup is checked, copied (as clones of its blocks if the disk supports that) and checked
/// again. The original stays unchanged. The copy becomes the phone's current backup if it is the
/// newest, else a snapshot of its own date. It is pinned; after `unpin` the retention rules apply
/// to it.
#[derive(Args)]
pub struct Adopt {
    /// The backup's folder
    #[arg(value_parser = path_parser())]
    backup: PathBuf,
    /// Do it anyway: adopt a damaged backup
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
        ctrl_c::afterwards(CONTINUES);
        reported("adopted", self.output.style(), |watch| {
            let store = self.store.open_by_hand()?;
            let came = adopt::adopt(&store, &self.backup, self.force, watch)?;
            folders::remember_contents(&store);
            Ok(came)
        })
    }
}
