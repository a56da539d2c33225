//! `idev-backup export calls`

use clap::Args;
use idev_backup::export::records::{Format, What};

use super::records::{Formats, RecordArgs};

/// Export the call history: telephone, FaceTime and other apps
///
/// Example:  idev-backup export calls latest --to ~/Calls
///
/// Phones include the call history only in encrypted backups. Names come from the contacts. Exit
/// code 3: done, but some calls have problems.
#[derive(Args)]
pub struct Calls {
    #[command(flatten)]
    args: RecordArgs<Formats>,
}

impl Calls {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.args.run(What::Calls, Format::Html)
    }
}
