//! Options for unattended backups, shared by `create` and `watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use idev_backup::automation::conditions::{Conditions, Hours};
use idev_backup::automation::hooks::Hooks;
use idev_backup::automation::policy::Plan;
use idev_backup::automation::schedule::job_state;
use idev_backup::base::units::parse_span;

use crate::cli::hints;
use crate::cli::render::log::{self, Level, Purpose};
use crate::cli::render::output;

/// The option of commands that only report overdue backups.
#[derive(Args, Clone)]
pub struct OverdueArgs {
    /// Report a phone as overdue if its last good backup is older than this: 20h, 7d [default: 7d]
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_OVERDUE_AFTER", value_parser = parse_span)]
    overdue_after: Option<Duration>,
    /// Report a phone as overdue after this many days, as earlier versions did
    #[arg(long, alias = "max-age", value_name = "DAYS", hide = true)]
    overdue_days: Option<u32>,
}

impl OverdueArgs {
    /// Returns the age at which a backup is overdue; seven days by default.
    pub fn limit(&self) -> Duration {
        let days = |count: u32| Duration::from_secs(u64::from(count) * 86_400);
        match (self.overdue_days, self.overdue_after) {
            (Some(count), _) => days(count),
            (None, Some(time)) => time,
            (None, None) => days(7),
        }
    }
}

/// Conditions for starting a backup, and rules for retries.
#[derive(Args, Clone)]
#[command(next_help_heading = "Unattended")]
pub struct UnattendedArgs {
    /// Start only while the phone is charging
    #[arg(long, env = "IDEV_BACKUP_CONDITIONS_IF_CHARGING")]
    if_charging: bool,
    /// Start only if the phone's battery is charged to at least this percentage
    #[arg(long, value_name = "PERCENT", env = "IDEV_BACKUP_CONDITIONS_MIN_BATTERY", value_parser = clap::value_parser!(u64).range(0..=100))]
    min_battery: Option<u64>,
    /// Start no backup during these hours, for example 23:00-07:00
    #[arg(
        long,
        value_name = "FROM-TO",
        env = "IDEV_BACKUP_CONDITIONS_QUIET_HOURS"
    )]
    quiet_hours: Option<Hours>,
    /// Retry a failed or interrupted backup up to N times
    #[arg(long, value_name = "N", env = "IDEV_BACKUP_CONDITIONS_RETRY", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    retry: u32,
    /// Wait this long before each retry
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_RETRY_WAIT", default_value = "5m", value_parser = parse_span)]
    retry_wait: Duration,
    /// Wait this long for the passcode [default: as long as the phone does]
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_PASSCODE_WAIT", value_parser = parse_span)]
    passcode_wait: Option<Duration>,
    /// Repeat the reminder of the passcode at this interval
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_REMIND_EVERY", value_parser = parse_span)]
    remind_every: Option<Duration>,
    /// Report a phone as overdue if its last good backup is older than this, and run --on-overdue
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_OVERDUE_AFTER", value_parser = parse_span)]
    overdue_after: Option<Duration>,
    /// Let the computer sleep while a backup runs
    #[arg(long, env = "IDEV_BACKUP_CREATE_MAY_SLEEP")]
    may_sleep: bool,
    #[command(flatten)]
    hooks: HookArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Commands of the user, called hooks. Each receives a JSON object on its standard input.
#[derive(Args, Clone)]
#[command(next_help_heading = "Hooks")]
struct HookArgs {
    /// Run this command when a backup starts
    #[arg(long, value_name = "COMMAND", env = "IDEV_BACKUP_HOOKS_ON_START")]
    on_start: Option<String>,
    /// Run this command when the phone waits for its passcode
    #[arg(
        long,
        value_name = "COMMAND",
        env = "IDEV_BACKUP_HOOKS_ON_WAITING_FOR_PASSCODE"
    )]
    on_waiting_for_passcode: Option<String>,
    /// Run this command when a backup is done
    #[arg(long, value_name = "COMMAND", env = "IDEV_BACKUP_HOOKS_ON_SUCCESS")]
    on_success: Option<String>,
    /// Run this command when a backup has failed
    #[arg(long, value_name = "COMMAND", env = "IDEV_BACKUP_HOOKS_ON_FAILURE")]
    on_failure: Option<String>,
    /// Run this command when the last good backup is too old
    #[arg(long, value_name = "COMMAND", env = "IDEV_BACKUP_HOOKS_ON_OVERDUE")]
    on_overdue: Option<String>,
    /// Run this command when backups could not be pushed to the repository
    #[arg(
        long,
        value_name = "COMMAND",
        env = "IDEV_BACKUP_HOOKS_ON_PUSH_FAILURE"
    )]
    on_push_failure: Option<String>,
    /// Kill a hook that runs longer than this
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_HOOKS_TIME_LIMIT", default_value = "60s", value_parser = parse_span)]
    hook_time_limit: Duration,
    /// Show a desktop notification when the phone needs attention or a backup fails
    #[arg(long, env = "IDEV_BACKUP_HOOKS_NOTIFY")]
    notify: bool,
}

/// Options for the log.
#[derive(Args, Clone)]
#[command(next_help_heading = "Log")]
struct LogArgs {
    /// Also append everything printed to stderr to this file; beyond 1 MB it is renamed to FILE.1
    #[arg(long, value_name = "FILE", env = "IDEV_BACKUP_LOG_FILE", value_parser = crate::cli::args::store::path_parser())]
    log_file: Option<PathBuf>,
    /// Write only lines of this severity and above to the log file
    #[arg(
        long,
        value_name = "LEVEL",
        env = "IDEV_BACKUP_LOG_LEVEL",
        default_value = "info"
    )]
    log_level: Level,
}

impl UnattendedArgs {
    /// Starts the log and returns the plan for backups of phones whose last one is older than
    /// `older_than`.
    pub fn plan(&self, older_than: Option<Duration>) -> Plan {
        let hooks = &self.hooks;
        if let Some(file) = &self.log.log_file {
            // Failure to write the log is only a problem, since the backup matters more.
            if let Err(e) = log::begin(file, self.log.log_level, Purpose::User) {
                output::problem(
                    &format!("cannot write the log {}: {e}", file.display()),
                    "name another file with --log-file",
                );
            }
        }
        let conditions = Conditions {
            older_than,
            charging: self.if_charging,
            battery_min: self.min_battery,
            quiet: self.quiet_hours,
        };
        let waits = self.passcode_wait.is_some() || self.remind_every.is_some();
        let told = hooks.notify || self.overdue_after.is_some();
        let is_unattended = conditions != Conditions::default() || self.retry > 0 || waits || told;
        Plan {
            describe: Some(hints::describe_backup),
            conditions,
            retries: self.retry,
            retry_wait: self.retry_wait,
            passcode_wait: self.passcode_wait,
            remind_every: self.remind_every,
            overdue_after: self.overdue_after,
            yields: is_unattended || self.hooks().any() || job_state::runs_as_job(),
            hooks: self.hooks(),
            may_sleep: self.may_sleep,
        }
    }

    fn hooks(&self) -> Hooks {
        let hooks = &self.hooks;
        Hooks {
            on_start: hooks.on_start.clone(),
            on_waiting_for_passcode: hooks.on_waiting_for_passcode.clone(),
            on_success: hooks.on_success.clone(),
            on_failure: hooks.on_failure.clone(),
            on_overdue: hooks.on_overdue.clone(),
            on_push_failure: hooks.on_push_failure.clone(),
            time_limit: hooks.hook_time_limit,
            notify: hooks.notify,
        }
    }
}
