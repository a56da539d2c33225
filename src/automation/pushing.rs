//! Decides whether backups may be pushed elsewhere now, for runs that push without a user.

use std::time::{Duration, SystemTime};

use super::conditions::Hours;
use super::hooks;
use super::policy::local_minute;
use crate::base::cancel::CancelToken;
use crate::base::child;
use crate::store::Store;

/// First wait after a failed push while `watch` runs. Each later wait is twice as long.
const WAIT_FIRST: Duration = Duration::from_secs(15 * 60);
/// Longest wait after a failed push.
const WAIT_MAX: Duration = Duration::from_secs(6 * 3600);

/// Conditions for a push after a backup.
#[derive(Debug, Clone, Default)]
pub struct PushConditions {
    /// No push starts in these hours.
    pub quiet: Option<Hours>,
    /// Command that must succeed, for example one that fails on a metered connection.
    pub only_if: Option<String>,
    /// Time after which the command is killed; it then counts as failed.
    pub time_limit: Duration,
}

/// The reason that nothing is pushed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotNow {
    /// Everything is in the repository and was checked, as far as the store knows.
    NothingDue,
    /// The conditions are against it, with the reason.
    Against(String),
}

impl PushConditions {
    /// Returns the reason that nothing of a store is pushed to a repository at this time. `None`
    /// means that a push is due. If the notes cannot be read, the push itself finds out.
    pub fn not_now(
        &self,
        store: &Store,
        location: &str,
        now: SystemTime,
        token: &CancelToken,
    ) -> Option<NotNow> {
        let behind = store.not_copied(location);
        let is_behind = !behind.is_ok_and(|phones| phones.is_empty());
        if !is_behind && !store.copies_in(location).check_due {
            return Some(NotNow::NothingDue);
        }
        self.against(now, token).map(NotNow::Against)
    }

    /// Returns the reason against a push at this time. Runs the command, unless the time is
    /// against it already.
    pub fn against(&self, now: SystemTime, token: &CancelToken) -> Option<String> {
        if let Some(hours) = self.against_the_time(local_minute(now)) {
            return Some(format!("now are the quiet hours ({hours})"));
        }
        let command = self.only_if.as_ref()?;
        let is_stopped = || token.cancelled();
        let ran = hooks::run(child::shell(command), &[], self.time_limit, &is_stopped);
        let why = ran.err()?;
        Some(format!("the command that decides about pushes {why}"))
    }

    fn against_the_time(&self, minute: u16) -> Option<Hours> {
        self.quiet.filter(|hours| hours.hold(minute))
    }
}

/// Returns the wait after this number of failed pushes in a row.
pub fn wait_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    WAIT_FIRST.saturating_mul(doubled).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let minutes = |failures| wait_after(failures).as_secs() / 60;
        assert_eq!([1, 2, 3, 6, 40].map(minutes), [15, 30, 60, 360, 360]);
    }

    #[test]
    fn quiet_hours_hold_pushes_back() {
        let conditions = PushConditions {
            quiet: Some("08:00-18:00".parse().unwrap()),
            ..PushConditions::default()
        };
        assert!(conditions.against_the_time(8 * 60).is_some());
        assert!(conditions.against_the_time(18 * 60).is_none());
    }

    #[test]
    fn failing_command_holds_pushes_back() {
        let against = |command: &str| {
            let conditions = PushConditions {
                quiet: None,
                only_if: Some(command.to_owned()),
                time_limit: Duration::from_secs(60),
            };
            conditions.against(SystemTime::now(), &CancelToken::default())
        };
        assert_eq!(against("exit 0"), None);
        let why = against("echo metered&& exit 3").unwrap();
        assert!(why.contains("metered") && why.contains("failed"), "{why}");
    }
}
