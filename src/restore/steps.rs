//! The steps of a restore: examine both sides, check the backup, let the phone take it, and wait
//! for the phone to come back.

use std::path::Path;
use std::time::Instant;

use super::check_source::{check, known_damage};
use super::dry_run::{Considered, weigh};
use super::error::Error;
use super::held::Held;
use super::host::Course;
use super::options::Options;
use super::partial::{self, Shown};
use super::preflight;
use super::problem::Problem;
use super::report::{Report, Seconds};
use super::run::{Job, await_return};
use super::subject::{Source, Target};
use super::tolerated::{tolerated, tolerated_files};
use crate::base::keep_awake::Awake;
use crate::base::progress::Monitor;
use crate::device::connector::Connector;
use crate::device::trust;
use crate::history::change;
use crate::reader;
use crate::transport::Attached;
use crate::verify::{self, Outcome};

/// Restores a backup to a phone. Returns once the phone has reported success. The caller must hold
/// the lock since before the backup was shown to the user, or another run may have put a newer one
/// in its place.
pub fn restore(
    _: &Held,
    connector: &Connector,
    phone: &Attached,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let started = Instant::now();
    // Cancelling on one phone does not cancel the work on the others.
    let connector = &Connector {
        token: connector.token.for_one(),
        ..connector.clone()
    };
    let _awake = options.stay_awake.then(Awake::keep);
    let mut steps = Steps {
        connector,
        folder,
        options,
        monitor,
        problems: Vec::new(),
        seconds: Seconds::default(),
    };
    let (source, target) = steps.examine(phone)?;
    // Done before the check, which reads every byte: a part without files should be reported at
    // once.
    let part = partial::show(folder, options)?;
    let checked = steps.check()?;
    steps.tolerate(&checked)?;
    if connector.token.cancelled() {
        return Err(Error::Interrupted);
    }

    // The check may have taken an hour. If the phone was reconnected meanwhile, the daemon has
    // given it another number.
    let phone = &connector.phone(Some(phone.udid.as_str()))?;
    // The phone never asks for files that no list names, so the list gives the total.
    let listed_files = part.as_ref().map(|part| part.files).or(checked.listed);
    let (course, apps) = steps.send(phone, &source, &target, part.as_ref(), listed_files)?;
    let is_back = steps.await_return(phone)?;
    steps.seconds.total = started.elapsed().as_secs_f64();
    Ok(Report {
        target,
        source,
        listed_files,
        sent_files: course.sent_files,
        sent_bytes: course.sent_bytes,
        apps,
        kept_settings: options.keep_settings,
        system_files: options.system_files,
        removed_others: options.remove_others,
        reboot: options.reboot,
        is_back,
        problems: steps.problems,
        seconds: steps.seconds,
    })
}

/// The state that the steps of a restore share.
struct Steps<'a> {
    connector: &'a Connector,
    folder: &'a Path,
    options: &'a Options,
    monitor: &'a dyn Monitor,
    /// Problems that did not make the restore fail.
    problems: Vec<String>,
    seconds: Seconds,
}

impl Steps<'_> {
    /// Examines backup and phone. Fails if the preflight finds an obstacle.
    fn examine(&self, phone: &Attached) -> Result<(Source, Target), Error> {
        let source = Source::look(self.folder)?;
        if source.encrypted && self.options.password.is_none() {
            return Err(reader::Error::NoPassword {
                why: format!(
                    "the backup {} is encrypted, and no password was given",
                    source.path
                ),
            }
            .into());
        }
        // The session ends here: the check may take long, and the phone ends an idle session.
        let mut session =
            trust::session_or_pair(self.connector, phone, self.options.trust_wait, self.monitor)?;
        let target = Target::ask(phone, session.lockdown())?;
        partial::admit(self.folder, &source, &target, self.options)?;
        let Considered {
            source,
            target,
            lines,
        } = weigh(source, target, self.options);
        let obstacles = preflight::obstacles(&lines);
        if obstacles.is_empty() {
            Ok((source, target))
        } else {
            Err(Error::NotReady(obstacles))
        }
    }

    /// Checks the backup and notes the result in its history.
    fn check(&mut self) -> Result<verify::Report, Error> {
        let clock = Instant::now();
        let token = &self.connector.token;
        let checked = check(self.folder, self.options, token, self.monitor)?;
        change::record(&checked, self.monitor);
        self.seconds.check = clock.elapsed().as_secs_f64();
        if checked.outcome == Outcome::Damaged && !(self.options.force && tolerated(&checked)) {
            return Err(Error::SourceDamaged(Box::new(checked)));
        }
        Ok(checked)
    }

    /// Reports the faults of a backup that the user wants to restore anyway. Otherwise, a fault is
    /// an error.
    fn tolerate(&mut self, checked: &verify::Report) -> Result<(), Error> {
        if checked.outcome == Outcome::Damaged {
            let files = tolerated_files(checked);
            self.problem(Problem::Damaged { files });
        }
        if let Some(damage) = known_damage(self.folder, self.options) {
            if !self.options.force {
                return Err(Error::NotReady(vec![damage]));
            }
            self.problem(Problem::KnownDamage(damage.says));
        }
        if let Some(why) = preflight::not_restorable(checked) {
            if !self.options.force {
                return Err(Error::NotReady(vec![preflight::judge_check(checked)]));
            }
            self.problem(Problem::Incomplete { why });
        }
        Ok(())
    }

    /// Lets the phone take the backup. Returns the course of the dialog, and true if the list of
    /// applications was sent.
    fn send(
        &mut self,
        phone: &Attached,
        source: &Source,
        target: &Target,
        part: Option<&Shown>,
        files_total: Option<u64>,
    ) -> Result<(Course, bool), Error> {
        let mut session = self.connector.session(phone)?;
        let job = Job {
            connector: self.connector,
            phone,
            folder: self.folder,
            source,
            free_bytes: target.free_bytes,
            options: self.options,
            monitor: self.monitor,
            files_total,
            takes_less: preflight::takes_less(source, target, self.options),
            list: part.map(|part| part.list.as_path()),
        };
        let (course, has_apps) = job.run(&mut session, &mut self.problems)?;
        self.seconds.prepare = course.preparing.as_secs_f64();
        self.seconds.send = course.sending.as_secs_f64();
        Ok((course, has_apps))
    }

    /// Waits for the phone to come back after its restart. Returns `None` if the wait is skipped
    /// or interrupted.
    fn await_return(&mut self, phone: &Attached) -> Result<Option<bool>, Error> {
        let clock = Instant::now();
        let is_back = match self.options.wait_back.filter(|_| self.options.reboot) {
            Some(limit) => await_return(self.connector, phone, limit, self.monitor)?,
            None => None,
        };
        self.seconds.restart = clock.elapsed().as_secs_f64();
        if is_back == Some(false) {
            self.problem(Problem::NotBack);
        }
        Ok(is_back)
    }

    /// Reports a problem that does not make the restore fail.
    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem.to_string());
        self.monitor.problem(problem.into());
    }
}
