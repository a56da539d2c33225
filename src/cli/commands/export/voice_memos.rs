//! `idev-backup export voice-memos`

use clap::Args;
use idev_backup::export::records::{Format, What};

use super::records::{Formats, RecordArgs};

/// Export voice memos under their titles
///
/// Example:  idev-backup export voice-memos latest --to ~/Memos
///
/// The recordings are MPEG-4 audio files, with the time of the recording. Exit code 3: done, but
/// some recordings have problems.
#[derive(Args)]
pub struct VoiceMemos {
    #[command(flatten)]
    args: RecordArgs<Formats>,
}

impl VoiceMemos {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.args.run(What::VoiceMemos, Format::Html)
    }
}
