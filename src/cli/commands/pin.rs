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
        self.of.note(|of| {
            let (noted, _) = tag::pin(of, true)?;
            Ok((noted, "is pinned, and will be kept".to_owned()))
        })
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
        self.of.note(|of| {
            let (noted, was_pinned) = tag::pin(of, false)?;
            let done = if was_pinned {
                "is not pinned any more"
            } else {
                "was not pinned"
            };
            let tags: Vec<String> = noted
                .note
                .tags
                .iter()
                .map(|tag| format!("{tag:?}"))
                .collect();
            let words = if tags.is_empty() {
                done.to_owned()
            } else {
                format!("{done}, and stays because it is tagged {}", tags.join(", "))
            };
            Ok((noted, words))
        })
    }
}
