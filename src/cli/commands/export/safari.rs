//! `idev-backup export safari`

use clap::Args;
use idev_backup::export::records::{Format, What};

use super::records::{Formats, RecordArgs};

/// Export Safari's bookmarks, reading list and history
///
/// Example:  idev-backup export safari latest --to ~/Safari
///
/// Browsers import bookmarks.html. Phones include the history only in encrypted backups. Exit code
/// 3: done, but some entries have problems.
#[derive(Args)]
pub struct Safari {
    #[command(flatten)]
    args: RecordArgs<Formats>,
}

impl Safari {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.args.run(What::Safari, Format::Html)
    }
}
