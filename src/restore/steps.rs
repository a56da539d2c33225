//! The steps of a restore: examine both sides, check the backup, let the phone take it, and wait
//! for the phone to come back.

use std::path::Path;
use std::time::Instant;

use super::check_source::{Outlined, check, known_damage, outline};
use super::dry_run::{Considered, weigh};
use super::error::Error;
use super::held::Held;
use super::host::Course;
use super::options::Options;
use super::partial::{self, Shown};
use super::preflight;
use super::problem::Problem;
use super::report::{Report, Seconds};
use super::run::{Job, await_return, left_after};
use super::subject::{Source, Target};
use super::tolerated::{tolerated, tolerated_files};
use crate::base::keep_awake::Awake;
use crate::base::progress::Monitor;
use crate::device::connector::Connector;
use crate::device::trust;
use crate::history::change;
use crate::reader;
use crate::store::sums::{self, Hash};
use crate::store::sums_index::SumsIndex;
use crate::transport::Attached;
use crate::verify::{self, Depth, Finding, Outcome, Wrong};

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
    let (checked, index) = steps.check(&source)?;
    steps.tolerate(&checked)?;
    if connector.token.cancelled() {
        return Err(Error::Interrupted);
    }

    // The check may have taken an hour. If the phone was reconnected meanwhile, the daemon has
    // given it another number.
    let phone = &connector.phone(Some(phone.udid.as_str()))?;
    // The phone never asks for files that no list names, so the list gives the total.
    let listed_files = part.as_ref().map(|part| part.files).or(checked.listed);
    let request = Request {
        phone,
        source: &source,
        target: &target,
        part: part.as_ref(),
        listed_files,
        index,
    };
    let (course, apps) = steps.send(request, checked)?;
    let is_back = steps.await_return(phone)?;
    steps.seconds.total = started.elapsed().as_secs_f64();
    Ok(Report {
        target,
        source,
        listed_files,
        sent_files: course.sent_files,
        sent_bytes: course.sent_bytes,
        compared_files: course.sent.map(|sent| sent.matching),
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

/// Everything that is sent to the phone, and to which phone.
struct Request<'a> {
    phone: &'a Attached,
    source: &'a Source,
    target: &'a Target,
    part: Option<&'a Shown>,
    /// Number of files that the phone is expected to request.
    listed_files: Option<u64>,
    /// The hashes to compare the files with while they are sent.
    index: Option<SumsIndex>,
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

    /// Checks the backup and notes the result in its history. Returns an index of its hashes if the
    /// contents of its files are still to be compared.
    fn check(&mut self, source: &Source) -> Result<(verify::Report, Option<SumsIndex>), Error> {
        let clock = Instant::now();
        let token = &self.connector.token;
        let outlined = outline(source, self.folder, self.options, token, self.monitor)?;
        if let Some(Outlined { checked, index }) = outlined {
            self.seconds.check = clock.elapsed().as_secs_f64();
            return Ok((checked, Some(index)));
        }
        let checked = check(self.folder, self.options, token, self.monitor)?;
        change::record(&checked, self.monitor);
        self.seconds.check = clock.elapsed().as_secs_f64();
        if checked.outcome == Outcome::Damaged && !(self.options.force && tolerated(&checked)) {
            return Err(Error::SourceDamaged(Box::new(checked)));
        }
        Ok((checked, None))
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
        request: Request<'_>,
        checked: verify::Report,
    ) -> Result<(Course, bool), Error> {
        let Request {
            phone,
            source,
            target,
            ..
        } = request;
        let mut session = self.connector.session(phone)?;
        let job = Job {
            connector: self.connector,
            phone,
            folder: self.folder,
            source,
            free_bytes: target.free_bytes,
            options: self.options,
            monitor: self.monitor,
            files_total: request.listed_files,
            takes_less: preflight::takes_less(source, target, self.options),
            list: request.part.map(|part| part.list.as_path()),
            index: request.index,
        };
        let (course, has_apps) = job.run(&mut session, &mut self.problems)?;
        if let Some(sent) = &course.sent
            && !sent.altered.is_empty()
        {
            let report = damaged(checked, &sent.altered);
            change::record(&report, self.monitor);
            return Err(Error::Altered {
                report: Box::new(report),
                left: left_after(&course, self.options.reboot),
            });
        }
        if let Some(compared) = compared(self.folder, checked, &course) {
            change::record(&compared, self.monitor);
        }
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

/// Returns the report of a check that found these files altered while they were sent.
fn damaged(checked: verify::Report, files: &[String]) -> verify::Report {
    let finding = |file: &String| Finding {
        wrong: Wrong::Altered,
        domain: None,
        relative_path: None,
        file: file.clone(),
        detail: "its contents have changed since they were received".to_owned(),
        hash: None,
        shows_on_phone: false,
    };
    verify::Report {
        outcome: Outcome::Damaged,
        damage: files.len() as u64,
        findings: files.iter().map(finding).collect(),
        ..checked
    }
}

/// Returns the report of a check of every byte, if every file that the list of hashes names was
/// compared while it was sent. A phone that leaves out system files does not request all of them.
fn compared(folder: &Path, checked: verify::Report, course: &Course) -> Option<verify::Report> {
    let sent = course.sent.as_ref()?;
    let is_all = sent.not_compared == 0
        && course.unread.is_empty()
        && course.sent_files >= sent.payload_files
        && sent.matching >= course.sent_files;
    // Property lists that the phone did not request.
    let is_right = |(name, wanted): &(String, Hash)| {
        sums::hash_file(&folder.join(name)).is_ok_and(|(found, _)| found == *wanted)
    };
    let outcome = if checked.remarks > 0 {
        Outcome::WholeWithRemarks
    } else {
        Outcome::Whole
    };
    let report = verify::Report {
        outcome,
        depth: Depth::Bytes,
        hashed: sent.matching,
        ..checked
    };
    (is_all && sent.not_requested.iter().all(is_right)).then_some(report)
}
