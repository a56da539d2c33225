//! Runs the user's hooks about one phone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::hooks::{Told, Turn};
use super::plan::{Described, Plan};
use crate::backup::Error;
use crate::base::cancel::CancelToken;
use crate::base::progress::{Event, Monitor};
use crate::base::time;
use crate::base::units::span;
use crate::history::last_good::is_overdue;

/// The user's hooks, with the facts about one phone that they get.
pub(super) struct HookRunner<'a> {
    pub(super) plan: &'a Plan,
    pub(super) udid: Option<&'a str>,
    pub(super) name: String,
    pub(super) last: Option<String>,
    /// True if no further backup of the phone is expected, so that none is overdue.
    pub(super) is_retired: bool,
    pub(super) token: &'a CancelToken,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) problems: Mutex<Vec<String>>,
}

impl HookRunner<'_> {
    /// Runs the hooks for an event. `more` adds what is known about it.
    pub(super) fn tell<'b>(&'b self, turn: Turn, text: String, more: impl FnOnce(&mut Told<'b>)) {
        let mut told = Told {
            version: 1,
            time: time::rfc3339(SystemTime::now()),
            udid: self.udid,
            event: turn.name(),
            text: format!("{}: {text}", self.name),
            last_backup: self.last.clone(),
            exit_code: None,
            hint: None,
            report: None,
        };
        more(&mut told);
        for problem in self.plan.hooks.at(turn, &told, self.token) {
            let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
            problems.push(problem.to_string());
            self.monitor.problem(problem.into());
        }
    }

    /// Runs the hooks for a failure, and returns the error.
    pub(super) fn failed(&self, error: Error, last: Option<SystemTime>) -> Error {
        let described = self.plan.describe.map(|describe| describe(&error));
        self.failure(described, format!("its backup failed: {error}"));
        self.overdue(SystemTime::now(), last);
        error
    }

    /// Runs the hooks for a failure.
    pub(super) fn failure(&self, described: Option<Described>, text: String) {
        self.tell(Turn::OnFailure, text, |told| {
            if let Some(described) = described {
                told.exit_code = Some(described.exit_code);
                told.hint = described.hint;
            }
        });
    }

    /// Returns the problems of the hooks themselves.
    pub(super) fn problems(&self) -> Vec<String> {
        let problems = self.problems.lock();
        problems.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the hooks if the last good backup is overdue.
    pub(super) fn overdue(&self, now: SystemTime, last: Option<SystemTime>) {
        let found = overdue(now, last, self.plan.overdue_after);
        if let Some(text) = found.filter(|_| !self.is_retired) {
            self.monitor.event(Event::Overdue {
                name: self.name.clone(),
                text: text.clone(),
            });
            self.tell(Turn::OnOverdue, text, |_| {});
        }
    }
}

/// Returns a message if the last good backup is older than `limit`, or does not exist.
pub fn overdue(
    now: SystemTime,
    last: Option<SystemTime>,
    limit: Option<Duration>,
) -> Option<String> {
    let limit = limit?;
    let Some(last) = last else {
        return Some("it has no good backup".to_owned());
    };
    if !is_overdue(Some(last), now, limit) {
        return None;
    }
    let age = time::age(now, last)?;
    Some(format!("its last good backup is {} old", span(age)))
}
