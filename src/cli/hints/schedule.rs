//! Advice for failures of scheduled jobs.

use idev_backup::automation::schedule::install::{self, Reason};
use idev_backup::automation::schedule::job_state::Error;

use super::store::store;

/// Returns the advice for a job that cannot be read, changed or run, if there is any.
pub fn job(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoJob { .. } => "`idev-backup schedule list` shows the jobs",
        Error::Unusable { .. } => {
            "remove the job with `idev-backup schedule remove`, and add it again"
        }
        Error::NoRecord { .. } => "its next run writes that file again",
        Error::Newer { .. } => "use that one",
        Error::Install(e) => scheduler(e),
        Error::Disk(e) => return store(e),
        _ => return None,
    })
}

/// Returns the advice for a scheduler that did not take, remove or show a job.
pub fn scheduler(error: &install::Error) -> &'static str {
    match error.reason {
        Reason::NoScheduler => {
            "install cron (`sudo apt install cron`), or log in to a systemd session"
        }
        Reason::ControlCharacter => {
            "move the program and its configuration to folders without such characters"
        }
        Reason::CrontabAltered => {
            "remove them with `crontab -e`, or use another kind: --with systemd"
        }
        Reason::Failed => {
            "check that it is installed and that you may use it, or choose another kind: --with \
            cron, systemd, launchd or task"
        }
    }
}
