//! Pushes backups to the repository after `create`, and while `watch` runs. A push that fails is a
//! problem, and never makes a backup fail.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Instant, SystemTime};

use idev_backup::automation::policy::{self, Described, Plan};
use idev_backup::automation::pushing::{self, NotNow};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::Monitor;
use idev_backup::base::units::counted;
use idev_backup::repository::{self, Location, Push, PushReport};
use idev_backup::store::Store;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::args::push_after::PushAfterArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::failure::{Failure, PushFailed};
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::repository::pushed;
use crate::cli::{exit, hints};

/// The result of an attempt to push.
enum Attempt {
    /// Everything is in the repository, or was pushed now; true if there were problems.
    Done(bool),
    /// The conditions are against it, with the reason.
    NotNow(String),
    /// The push failed, which was reported.
    Failed(FailureKind),
}

/// Pushes the backups of a store, without a user.
pub struct Pusher<'a> {
    /// The options of the command.
    pub args: &'a PushAfterArgs,
    /// The store of the backups.
    pub store: &'a Store,
    /// The plan of the backups, whose hooks run after a failure.
    pub plan: &'a Plan,
    /// Cancels hooks and conditions.
    pub token: &'a CancelToken,
    /// The style of the output.
    pub style: Style,
}

#[derive(Serialize)]
struct Skipped<'a> {
    why: &'a str,
}

impl Pusher<'_> {
    /// Pushes once, and reports it. Returns the exit code.
    pub fn once(&self) -> u8 {
        if !self.args.is_wanted() || self.token.cancelled() {
            return exit::DONE;
        }
        match self.attempt(true) {
            Attempt::Done(false) => exit::DONE,
            Attempt::NotNow(why) => {
                self.not_now(&why);
                exit::DONE
            }
            Attempt::Failed(FailureKind::Interrupted) => exit::INTERRUPTED,
            Attempt::Done(true) | Attempt::Failed(_) => exit::DONE_WITH_PROBLEMS,
        }
    }

    /// Pushes at each message, until the sender is gone. After a failure it waits longer each time.
    pub fn follow(&self, messages: &Receiver<()>) {
        let mut failures = 0;
        let mut not_before = None;
        let mut told_why = None;
        let mut told_at: Option<Instant> = None;
        while messages.recv().is_ok() {
            let is_early = not_before.is_some_and(|time| Instant::now() < time);
            if is_early || self.token.cancelled() {
                continue;
            }
            let tells = told_at.is_none_or(|at| at.elapsed() >= super::watch::TELL_EVERY);
            match self.attempt(tells) {
                Attempt::Done(_) => {
                    (failures, not_before, told_why, told_at) = (0, None, None, None)
                }
                Attempt::NotNow(why) => {
                    if told_why.as_ref() != Some(&why) {
                        self.not_now(&why);
                        told_why = Some(why);
                    }
                }
                Attempt::Failed(_) => {
                    failures += 1;
                    not_before = Some(Instant::now() + pushing::wait_after(failures));
                    if tells {
                        told_at = Some(Instant::now());
                    }
                }
            }
        }
    }

    fn not_now(&self, why: &str) {
        match self.style {
            Style::Quiet => {}
            Style::Json => output::object("push_skipped", None, &Skipped { why }),
            Style::People => output::tell(&format!("Nothing was pushed elsewhere: {why}.")),
        }
    }

    /// Pushes if something is missing in the repository and the conditions allow it. A failure is
    /// told to the hooks if `tells` is true.
    fn attempt(&self, tells: bool) -> Attempt {
        let show = Show::new(self.style);
        let watch = show.watch(None, None);
        let place = match self.args.repository.0.place() {
            Ok(place) => place,
            Err(e) => return self.failed(e, None, tells, &watch),
        };
        let conditions = self.args.conditions(self.plan.hooks.time_limit);
        let location = place.to_string();
        match conditions.not_now(self.store, &location, SystemTime::now(), self.token) {
            Some(NotNow::NothingDue) => return Attempt::Done(false),
            Some(NotNow::Against(why)) => return Attempt::NotNow(why),
            None => {}
        }
        let token = CancelToken::new(interrupt());
        let done = push(self.args, self.store, token, &watch);
        watch.finish();
        match done {
            Ok(report) => {
                match self.style {
                    Style::Quiet => {}
                    Style::Json => output::object("pushed", None, &report),
                    Style::People => pushed(&report),
                }
                if report.failed > 0 {
                    return self.failed(unread(&report), Some(&place), tells, &watch);
                }
                Attempt::Done(watch.had_problems())
            }
            Err(e) => self.failed(e, Some(&place), tells, &watch),
        }
    }

    fn failed(
        &self,
        failure: Failure,
        place: Option<&Location>,
        tells: bool,
        watch: &Watch<'_>,
    ) -> Attempt {
        let kind = failure.kind();
        if kind == FailureKind::Interrupted {
            output::tell("The backups are complete; they were not all pushed elsewhere.");
            return Attempt::Failed(kind);
        }
        let hint = hints::of(&failure);
        let failed = PushFailed(failure);
        let text = failed.to_string();
        if let Some(place) = place {
            let why = failed.0.to_string();
            let noted = self
                .store
                .note_failed_push(&place.to_string(), why, Timestamp::now());
            if let Err(e) = noted {
                watch.problem(repository::Problem::NotNoted(e).into());
            }
        }
        watch.problem(failed.into());
        if tells {
            let described = Described {
                text,
                exit_code: exit::DONE_WITH_PROBLEMS,
                hint,
            };
            policy::tell_push_failed(described, self.plan, self.token, watch);
        }
        Attempt::Failed(kind)
    }
}

/// Pushes what is not in the repository yet, without a user.
pub fn push(
    args: &PushAfterArgs,
    store: &Store,
    token: Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<PushReport, Failure> {
    let restic = args.repository.0.open_unattended(&args.waits(), token)?;
    let how = Push {
        after: args.after(),
        ..Push::default()
    };
    Ok(repository::push(store, &restic, &how, monitor)?)
}

/// Returns the failure of a push that left backups out because they could not be read.
pub fn unread(report: &PushReport) -> Failure {
    let some = counted(report.failed, "backup");
    Failure::Command {
        what: format!("{some} could not be read as a whole"),
        hint: "check it with `idev-backup verify`; the next run tries again".to_owned(),
    }
}
