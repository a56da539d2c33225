//! `idev-backup pin` and `idev-backup unpin`

use clap::Args;
use idev_backup::history::tag;

use crate::cli::args::snapshot::SnapshotArgs;

/// Keep a snapshot regardless of the retention rules
///
/// Example:  idev-backup pin 20261120
#[derive(Args)]
pub struct Pin {
    #[command(flatten)]
    of: SnapshotArgs,
}

impl Pin {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.of
            .note("is pinned, and will be kept", |of| Ok(tag::pin(of, true)?))
    }
}

/// Unpin a snapshot, so that the retention rules apply to it again
///
/// Example:  idev-backup unpin 20261120
#[derive(Args)]
pub struct Unpin {
    #[command(flatten)]
    of: SnapshotArgs,
}

impl Unpin {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.of
            .note("is not pinned any more", |of| Ok(tag::pin(of, false)?))
    }
}
