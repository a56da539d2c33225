//! Options for pushing backups to a repository after they were made.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use idev_backup::automation::conditions::Hours;
use idev_backup::automation::pushing::PushConditions;
use idev_backup::base::units::parse_span;
use idev_backup::repository::{After, Waits};

use super::repository::RepositorySettings;

/// Number of parts of the data of which one is read back after a push.
pub const READ_BACK: &str = "30";

/// Options of pushes after a backup. The config file names the repository and its password.
#[derive(Args, Clone)]
#[command(next_help_heading = "Copies elsewhere")]
pub struct PushAfterArgs {
    /// Afterwards push what is not in the repository yet; the config file names the repository
    #[arg(long, env = "IDEV_BACKUP_REPOSITORY_PUSH")]
    push: bool,
    /// Push only if this command succeeds
    #[arg(long, value_name = "COMMAND", env = "IDEV_BACKUP_REPOSITORY_PUSH_IF")]
    push_if: Option<String>,
    /// Start no push during these hours, for example 08:00-18:00
    #[arg(
        long,
        value_name = "FROM-TO",
        env = "IDEV_BACKUP_REPOSITORY_QUIET_HOURS"
    )]
    push_quiet_hours: Option<Hours>,
    /// Retry a push up to N times after a lost connection
    #[arg(long, value_name = "N", env = "IDEV_BACKUP_REPOSITORY_RETRY", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    push_retry: u32,
    /// Wait this long before the first retry of a push, and twice as long before each further one
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_REPOSITORY_RETRY_WAIT", default_value = "1m", value_parser = parse_span)]
    push_retry_wait: Duration,
    /// After a push, read back one of N parts of the data
    #[arg(
        long,
        value_name = "N",
        env = "IDEV_BACKUP_REPOSITORY_READ_BACK",
        default_value = READ_BACK,
        hide = true
    )]
    read_back: NonZeroU32,
    #[command(flatten)]
    pub repository: RepositorySettings,
}

impl PushAfterArgs {
    /// Returns true if backups are to be pushed.
    pub fn is_wanted(&self) -> bool {
        self.push
    }

    /// Returns the conditions, with a limit on the time of the command that decides.
    pub fn conditions(&self, time_limit: Duration) -> PushConditions {
        PushConditions {
            quiet: self.push_quiet_hours,
            only_if: self.push_if.clone(),
            time_limit,
        }
    }

    /// Returns the check after a push.
    pub fn after(&self) -> After {
        After::Share(self.read_back)
    }

    /// Returns the limits on waiting.
    pub fn waits(&self) -> Waits {
        Waits {
            retries: self.push_retry,
            retry_wait: self.push_retry_wait,
            ..Waits::default()
        }
    }
}
