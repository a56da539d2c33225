//! Limits the wait for the passcode, and reminds the user to enter it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::hook_runner::HookRunner;
use super::hooks::Turn;
use super::plan::Plan;
use crate::base::cancel::CancelToken;
use crate::base::progress::{Event, Monitor, Wait};
use crate::base::units::span;

/// A change in the phone's wait for its passcode: begun or over.
pub(super) enum Change {
    Waits,
    Over,
}

/// A monitor that passes all events on and informs the timer about waits for the passcode.
pub(super) struct Watched<'a> {
    pub(super) inner: &'a dyn Monitor,
    pub(super) passcode_wait: Option<Duration>,
    pub(super) changes: Mutex<Sender<Change>>,
}

impl Monitor for Watched<'_> {
    fn event(&self, mut event: Event) {
        // Shows the shorter limit: the phone's or ours.
        if let Event::Waiting {
            what: Wait::Passcode,
            limit_seconds,
        } = &mut event
        {
            let ours = self.passcode_wait.map_or(u64::MAX, |wait| wait.as_secs());
            *limit_seconds = ours.min(*limit_seconds);
        }
        let change = match &event {
            Event::Waiting {
                what: Wait::Passcode,
                ..
            } => Some(Change::Waits),
            Event::WaitOver {
                what: Wait::Passcode,
            } => Some(Change::Over),
            _ => None,
        };
        if let Some(change) = change {
            let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            // Fails only if the timer is gone, and the timer lives as long as this monitor.
            drop(changes.send(change));
        }
        self.inner.event(event);
    }
}

/// Reminds the user to enter the passcode, and gives up after the time limit.
pub(super) struct PasscodeTimer<'a> {
    pub(super) token: Arc<CancelToken>,
    pub(super) plan: &'a Plan,
    pub(super) hooks: &'a HookRunner<'a>,
    pub(super) given_up: &'a AtomicBool,
}

impl PasscodeTimer<'_> {
    /// Follows the changes until the monitor that reports them is dropped.
    pub(super) fn run(&self, changed: &Receiver<Change>) {
        let mut since: Option<Instant> = None;
        let mut reminded = Instant::now();
        loop {
            let next = since.and_then(|since| self.next(since, reminded));
            let change = match next {
                None => changed.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => changed.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match (change, since) {
                (Ok(Change::Waits), None) => {
                    since = Some(Instant::now());
                    reminded = Instant::now();
                    self.remind("enter the passcode on the phone to begin the backup");
                }
                (Ok(Change::Waits), Some(_)) => {}
                (Ok(Change::Over), _) => since = None,
                (Err(RecvTimeoutError::Timeout), Some(began)) => {
                    let waited = began.elapsed();
                    if self.plan.passcode_wait.is_some_and(|max| waited >= max) {
                        self.given_up.store(true, Ordering::SeqCst);
                        self.token.cancel();
                        since = None;
                    } else {
                        reminded = Instant::now();
                        let text =
                            format!("it has been waiting for its passcode for {}", span(waited));
                        self.hooks.monitor.note(format!(
                            "The phone has been waiting for its passcode for {}",
                            span(waited)
                        ));
                        self.remind(&text);
                    }
                }
                (Err(RecvTimeoutError::Timeout), None) => {}
                (Err(RecvTimeoutError::Disconnected), _) => return,
            }
        }
    }

    /// Returns the time of the next reminder or of giving up, whichever is first.
    fn next(&self, since: Instant, reminded: Instant) -> Option<Instant> {
        let end = self.plan.passcode_wait.map(|wait| since + wait);
        let reminder = self.plan.remind_every.filter(|every| !every.is_zero());
        let reminder = reminder.map(|every| reminded + every);
        end.into_iter().chain(reminder).min()
    }

    fn remind(&self, text: &str) {
        self.hooks
            .tell(Turn::OnWaitingForPasscode, text.to_owned(), |_| {});
    }
}
