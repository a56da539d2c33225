//! `idev-backup repository check`

use std::num::NonZeroU32;
use std::time::SystemTime;

use clap::Args;
use idev_backup::base::progress::{Monitor, Phase};
use idev_backup::repository::{Checked, Engine, Share};

use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::repository::checked;

/// Check the repository
///
/// Example:  idev-backup repository check --read-data
///
/// Without an option only the structure is checked: every part of every backup is there and is
/// listed. It reads no data.
#[derive(Args)]
pub struct Check {
    /// Read all data back, and compare it with its hashes
    #[arg(long)]
    read_data: bool,
    /// Read back one of N parts of the data: another part on each day
    #[arg(long, value_name = "N", conflicts_with = "read_data")]
    read_data_share: Option<NonZeroU32>,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Check {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let style = self.output.style();
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let done = self.check(&watch);
        watch.finish();
        match done {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(report) => {
                match style {
                    Style::Json => output::object("repository_checked", None, &report),
                    Style::Quiet => {}
                    Style::People => output::line(&checked(&report)),
                }
                exit::DONE
            }
        }
    }

    fn check(&self, watch: &Watch<'_>) -> Result<Checked, Failure> {
        const DAY_SECONDS: u64 = 24 * 60 * 60;
        let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let day = day.map_or(0, |since| since.as_secs() / DAY_SECONDS);
        let read = match self.read_data_share {
            Some(of) => Some(Share::in_turn(day, of)),
            None => self.read_data.then_some(Share::ALL),
        };
        let restic = self.repository.open()?;
        watch.phase(Phase::CheckingRepository);
        Ok(restic.check(read, watch)?)
    }
}
