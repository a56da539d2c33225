//! Options of unattended backups.

use std::time::Duration;

use super::conditions::Conditions;
use super::hooks::Hooks;
use crate::backup::Error;

/// Options of an unattended backup. The default is to make it at once, without retries.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The conditions under which a backup is made.
    pub conditions: Conditions,
    /// Number of retries after a backup that failed.
    pub retries: u32,
    /// Time to wait before each retry.
    pub retry_wait: Duration,
    /// Time limit for entering the passcode; `None` waits as long as the phone does.
    pub passcode_wait: Option<Duration>,
    /// Time between reminders to enter the passcode; `None` for only the first notice.
    pub remind_every: Option<Duration>,
    /// Age of the last good backup from which it counts as overdue and the user is notified.
    pub overdue_after: Option<Duration>,
    /// The user's commands for notifications.
    pub hooks: Hooks,
    /// Allow the computer to fall asleep during a backup.
    pub may_sleep: bool,
    /// Describes a failure for the hooks. Without it, they get neither exit code nor advice.
    pub describe: Option<fn(&Error) -> Described>,
    /// Skip a phone that another run of this program is working on, instead of failing: an
    /// unattended run has no user to whom an error would be useful.
    pub yields: bool,
}

/// Description of a failure in the terms of the program that runs the hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The error message.
    pub text: String,
    /// The program's exit code for the failure.
    pub exit_code: u8,
    /// The program's advice.
    pub hint: Option<String>,
}
