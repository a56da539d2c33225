//! `idev-backup tag`

use clap::Args;
use idev_backup::history::tag;

use crate::cli::args::snapshot::SnapshotArgs;

/// Tag a snapshot with a name: commands find it by the name, and rules keep it
///
/// Example:  idev-backup tag 20261120 "before iOS 27"
#[derive(Args)]
pub struct Tag {
    #[command(flatten)]
    of: SnapshotArgs,
    /// The tag: a name for the snapshot
    name: String,
    /// Remove the tag
    #[arg(long)]
    remove: bool,
}

impl Tag {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let words = if self.remove {
            format!("is not tagged {:?} any more", self.name)
        } else {
            format!("is tagged {:?}, and will be kept", self.name)
        };
        self.of
            .note(|of| Ok((tag::tag(of, &self.name, self.remove)?, words)))
    }
}
