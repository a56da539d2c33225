//! Options about how a backup is made.

use std::time::Duration;

use clap::Args;
use idev_backup::backup::create::Options;

use crate::cli::args::keep::KeepArgs;
use crate::cli::args::value_parsers::{self, PATIENCE};

/// Options for making a backup, for all commands that make one.
#[derive(Args, Clone)]
pub struct BackupArgs {
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Leave the list of applications and their icons out of Info.plist
    #[arg(long, env = "IDEV_BACKUP_CREATE_NO_APPS")]
    no_apps: bool,
    /// Read every byte of the finished backup again before accepting it
    #[arg(long, env = "IDEV_BACKUP_CREATE_READ_AGAIN")]
    read_again: bool,
    /// Give up if the phone sends nothing for this long
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CREATE_PATIENCE", default_value = PATIENCE, value_parser = value_parsers::patience)]
    patience: Duration,
}

impl BackupArgs {
    /// Returns the options in the form that the job takes.
    pub fn options(&self) -> Options {
        Options {
            keep: self.keep.policy(),
            keep_of: self.keep.of_phones(),
            apps: !self.no_apps,
            read_again: self.read_again,
            silence_max: self.patience,
            ..Options::default()
        }
    }
}
