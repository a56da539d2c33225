//! `idev-backup export voicemail`

use clap::Args;
use idev_backup::export::records::{Format, What};

use super::records::{Formats, RecordArgs};

/// Export the voicemail: recordings, and the transcripts that the phone made
///
/// Example:  idev-backup export voicemail latest --to ~/Voicemail
///
/// The recordings are AMR files, which VLC and other players play. Deleted messages that the phone
/// still has are marked. Exit code 3: done, but some messages or files have problems.
#[derive(Args)]
pub struct Voicemail {
    #[command(flatten)]
    args: RecordArgs<Formats>,
}

impl Voicemail {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.args.run(What::Voicemail, Format::Html)
    }
}
