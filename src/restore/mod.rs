//! Restores a backup to a phone: the one that was backed up, or another.
//!
//! First the preflight gathers and judges the facts (`subject`, `preflight`) and checks the backup; only
//! then is the phone asked to restore. It reads from the sealed backup through a temporary overlay
//! (`host`), and its verdict decides (`run`).

mod app_list;
pub mod compare;
mod error;
mod host;
pub mod partial;
pub mod preflight;
#[cfg(feature = "simulator")]
pub mod rehearse;
mod run;
pub mod subject;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::doctor::{Level, Line};
use crate::base::cancel::CancelToken;
use crate::base::failure_kind::FailureKind;
use crate::base::keep_awake::Awake;
use crate::base::progress::Monitor;
use crate::base::time;
use crate::device::connector::Connector;
use crate::device::{passcode_prompt, trust};
use crate::history::change;
use crate::history::list::Named;
use crate::reader::passwords::Known;
use crate::restore::run::{Job, await_return};
use crate::restore::subject::{Source, Target};
use crate::store::{self, Lock, Store, snapshot};
use crate::transport::Attached;
use crate::verify::{self, Depth, Outcome, Wrong};
use crate::{doctor, reader};

pub use error::Error;
pub use run::Left;

/// Options of a restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep the phone's own settings instead of applying those of the backup.
    pub keep_settings: bool,
    /// Also restore system files: messages, calls, accounts and the like.
    pub system_files: bool,
    /// Send the phone the list of applications, so that it installs them again.
    pub apps: bool,
    /// Remove from the phone what the backup does not have.
    pub remove_others: bool,
    /// Restart the phone at the end. Nothing from the backup appears before that.
    pub reboot: bool,
    /// Wait at most this long for the phone to come back after the restart.
    pub wait_back: Option<Duration>,
    /// Restore only domains that match one of these patterns; empty for all domains.
    pub only: Vec<String>,
    /// Allow a partial restore, although its effect on a real phone is unknown.
    pub partial_at_own_risk: bool,
    /// The depth of the check of the backup before anything is sent.
    pub depth: Depth,
    /// Continue in spite of damage that the phone does not notice ([`tolerated`]).
    pub force: bool,
    /// The backup password, if the backup is encrypted.
    pub password: Option<Known>,
    /// Keep the computer awake meanwhile.
    pub stay_awake: bool,
    /// Give up if the phone sends nothing for this long.
    pub silence_max: Duration,
    /// Time to wait for the user to tap "Trust".
    pub trust_wait: Duration,
    /// Returns advice for an error that a dry run reports as a finding.
    pub advise: Option<fn(&Error) -> Option<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep_settings: false,
            system_files: true,
            apps: true,
            remove_others: false,
            reboot: true,
            wait_back: None,
            only: Vec::new(),
            partial_at_own_risk: false,
            depth: Depth::Deep,
            force: false,
            password: None,
            stay_awake: false,
            silence_max: passcode_prompt::WAIT_MAX + Duration::from_secs(60),
            trust_wait: Duration::from_secs(120),
            advise: None,
        }
    }
}

/// The duration of each part of a restore, in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// Checking the backup.
    pub check: f64,
    /// The phone reading the lists and checking that it can restore.
    pub prepare: f64,
    /// Sending files to the phone, including the time it takes to put them in place.
    pub send: f64,
    /// Waiting for the phone to restart, if that was asked for.
    pub restart: f64,
    /// The whole run.
    pub total: f64,
}

/// The result of a restore; also the object that `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The phone, in its state before the restore.
    pub target: Target,
    /// The backup that was restored.
    pub source: Source,
    /// Number of files in the backup's list; null if the list could not be read.
    pub listed_files: Option<u64>,
    /// Number of files that were sent, each counted once.
    pub sent_files: u64,
    /// Total bytes of these files.
    pub sent_bytes: u64,
    /// True if the list of applications was sent.
    pub apps: bool,
    /// True if the phone keeps its own settings.
    pub kept_settings: bool,
    /// True if system files were to be restored.
    pub system_files: bool,
    /// True if the phone was to remove what the backup does not have.
    pub removed_others: bool,
    /// True if the phone was to restart.
    pub reboot: bool,
    /// True if the phone came back after the restart; null if the wait for it was skipped or
    /// interrupted.
    pub is_back: Option<bool>,
    /// Problems that did not make the restore fail.
    pub problems: Vec<String>,
    /// The duration of each part.
    pub seconds: Seconds,
}

/// Returns true if phones do not notice the damage. They check names, sizes and keys, and the
/// contents only of files for which their list has a digest, of the backup's own list, and of its
/// property lists.
pub fn tolerated(report: &verify::Report) -> bool {
    let known = report.findings.iter().filter(|f| is_contents(f)).count();
    known as u64 == report.damage
}

fn is_contents(finding: &verify::Finding) -> bool {
    let name = finding.file.as_str();
    matches!(
        finding.wrong,
        Wrong::Altered | Wrong::Swapped | Wrong::Corrupt
    ) && !finding.shows_on_phone
        && !store::METADATA.contains(&name)
        && name != "Manifest.mbdb"
}

/// Maximum number of files with tolerated damage that are listed by name.
const NAMED_MAX: usize = 50;

/// Lists the damaged files that are restored anyway, because nothing else will tell the user which
/// files on the phone are wrong.
fn tolerated_files(report: &verify::Report) -> String {
    let damaged = report.findings.iter().filter(|f| is_contents(f));
    let name = |f: &verify::Finding| {
        let path = f.relative_path.as_ref();
        let path = path.map_or_else(String::new, |path| format!(" ({path})"));
        format!("{} is {}{path}", f.file, f.wrong.word())
    };
    let names: Vec<String> = damaged.take(NAMED_MAX).map(name).collect();
    let more = report.damage.saturating_sub(names.len() as u64);
    match more {
        0 => names.join("; "),
        more => format!("{}; and {more} more", names.join("; ")),
    }
}

/// A restore before it begins: both sides, and the findings of the preflight before anything was
/// read or sent.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    /// The backup to restore.
    pub source: Source,
    /// The phone to restore to.
    pub target: Target,
    /// The findings about both.
    pub lines: Vec<Line>,
}

/// Examines backup and phone without changing either.
pub fn consider(
    connector: &Connector,
    phone: &Attached,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Considered, Error> {
    let source = Source::look(folder)?;
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    let target = Target::ask(phone, session.lockdown())?;
    partial::admit(folder, &source, &target, options)?;
    Ok(weigh(source, target, options))
}

fn weigh(source: Source, target: Target, options: &Options) -> Considered {
    let mut lines = preflight::judge_backup(&source, options);
    lines.extend(preflight::judge_phone(&source, &target, options));
    Considered {
        source,
        target,
        lines,
    }
}

/// Runs the preflight: finds out everything that can be known without restoring. `phone` is the
/// selected phone, or the error that prevented selecting one.
pub fn dry_run(
    connector: &Connector,
    phone: Result<Attached, Error>,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<doctor::Report, Error> {
    let source = Source::look(folder)?;
    let target = phone.and_then(|phone| {
        let mut session = connector.session(&phone)?;
        Ok(Target::ask(&phone, session.lockdown())?)
    });
    let mut lines = preflight::judge_backup(&source, options);
    match &target {
        Ok(target) => lines.extend(preflight::judge_phone(&source, target, options)),
        Err(e) => lines.push(problem("phone", e, options)),
    }
    let admitted = match &target {
        Ok(target) => partial::admit(folder, &source, target, options),
        Err(_) => Ok(()),
    };
    // Done before the check, which reads every byte: a part without files should be reported at
    // once.
    match admitted.and_then(|()| partial::show(folder, options)) {
        Ok(Some(part)) => lines.push(preflight::judge_part(&part, options)),
        // The check below reports a list that cannot be read or is encrypted.
        Ok(None) | Err(Error::Read(reader::Error::Metadata { .. })) => {}
        Err(e) => lines.push(problem("part", &e, options)),
    }
    match check(folder, options, &connector.token, monitor) {
        Ok(report) => lines.push(match known_damage(folder, options) {
            Some(damage) if report.outcome != Outcome::Damaged => damage,
            _ => preflight::judge_check(&report),
        }),
        Err(e) if e.kind() == FailureKind::WrongPassword => {
            lines.push(problem("check", &e, options));
        }
        Err(e) => return Err(e),
    }
    Ok(doctor::Report {
        level: lines
            .iter()
            .map(|line| line.level)
            .max()
            .unwrap_or(Level::Ok),
        not_looked_at: preflight::not_looked_at(target.is_ok()),
        lines,
    })
}

/// Returns the error that prevents a restore as a line of the dry run.
fn problem(name: &'static str, e: &Error, options: &Options) -> Line {
    let line = Line::problem(name, e.to_string());
    match options.advise.and_then(|advise| advise(e)) {
        Some(hint) => line.hint(hint),
        None => line,
    }
}

/// Returns the damage that an earlier check of contents found. A quick check looks at no contents,
/// so it cannot refute that.
fn known_damage(folder: &Path, options: &Options) -> Option<Line> {
    if options.depth != Depth::Quick {
        return None;
    }
    let of = snapshot::find(folder)?;
    // Other parts of the run report a store that cannot be read.
    let store = Store::open(of.path().parent()?).ok()?;
    let found = store.notes(of.udid()).ok()?.of(&of).damaged?;
    let when = found.parse::<jiff::Timestamp>();
    let when = when.map_or(found, |time| time::local_text(time.into()));
    let says =
        format!("a check found this backup damaged ({when}), and a quick one looks at no contents");
    Some(
        Line::problem("check", says).hint("leave --quick-check out: then every byte is read again"),
    )
}

fn check(
    folder: &Path,
    options: &Options,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    let how = verify::Options {
        token: Some(token.clone()),
        depth: options.depth,
        passwords: options.password.as_ref().map(|known| known as _),
        ..verify::Options::default()
    };
    Ok(verify::verify(folder, &how, monitor)?)
}

/// A lock on a backup. While it is held, no other run moves or drops the backup, whose files would
/// otherwise disappear during the restore.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held, and never looked at")] Option<Lock>);

/// Locks the backup in a folder. A store that this user cannot write to needs no lock.
pub fn hold(folder: &Path) -> Result<Held, Error> {
    hold_named(&Named {
        folder: folder.to_path_buf(),
        id: snapshot::look(folder)?.map(|found| found.id().clone()),
    })
}

/// Locks the backup that was found by its name. Fails if another backup has replaced it since.
pub fn hold_named(named: &Named) -> Result<Held, Error> {
    let lock = lock(&named.folder)?;
    let now = snapshot::look(&named.folder)?.map(|found| found.id().clone());
    if now == named.id {
        Ok(Held(lock))
    } else {
        Err(store::Error::moved(&named.folder, None).into())
    }
}

fn lock(folder: &Path) -> Result<Option<Lock>, Error> {
    let Some(of) = snapshot::look(folder)? else {
        return Ok(None);
    };
    let store = of.path().parent().map(Store::open);
    match store {
        Some(Ok(store)) if store.is_marked() => match store.lock(of.udid()) {
            Ok(lock) => Ok(Some(lock)),
            Err(busy @ store::Error::Busy { .. }) => Err(busy.into()),
            Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

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
    let mut problems = Vec::new();
    let source = Source::look(folder)?;
    if source.encrypted && options.password.is_none() {
        return Err(reader::Error::NoPassword {
            why: format!(
                "the backup {} is encrypted, and no password was given",
                source.path
            ),
        }
        .into());
    }
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    let target = Target::ask(phone, session.lockdown())?;
    partial::admit(folder, &source, &target, options)?;
    let Considered {
        source,
        target,
        lines,
    } = weigh(source, target, options);
    let obstacles = preflight::obstacles(&lines);
    if !obstacles.is_empty() {
        return Err(Error::NotReady(obstacles));
    }
    // The check may take long, and the phone ends an idle session.
    drop(session);
    // Done before the check, which reads every byte: a part without files should be reported at
    // once.
    let part = partial::show(folder, options)?;

    let clock = Instant::now();
    let checked = check(folder, options, &connector.token, monitor)?;
    change::record(&checked, monitor);
    let mut seconds = Seconds {
        check: clock.elapsed().as_secs_f64(),
        ..Seconds::default()
    };
    if checked.outcome == Outcome::Damaged {
        if !(options.force && tolerated(&checked)) {
            return Err(Error::SourceDamaged(Box::new(checked)));
        }
        let text = format!(
            "the backup is restored although it is damaged, as wanted: {}",
            tolerated_files(&checked)
        );
        monitor.problem(text.clone(), None);
        problems.push(text);
    }
    if let Some(damage) = known_damage(folder, options) {
        if !options.force {
            return Err(Error::NotReady(vec![damage]));
        }
        monitor.problem(damage.says.clone(), None);
        problems.push(damage.says);
    }
    if let Some(why) = preflight::not_restorable(&checked) {
        if !options.force {
            return Err(Error::NotReady(vec![preflight::judge_check(&checked)]));
        }
        let text = format!("the backup is restored although it lacks something, as wanted: {why}");
        monitor.problem(text.clone(), None);
        problems.push(text);
    }
    if connector.token.cancelled() {
        return Err(Error::Interrupted);
    }

    // The check may have taken an hour. If the phone was reconnected meanwhile, the daemon has
    // given it another number.
    let phone = &connector.phone(Some(phone.udid.as_str()))?;
    let mut session = connector.session(phone)?;
    // The phone never asks for files that no list names, so the list gives the total.
    let files_total = part.as_ref().map(|part| part.files).or(checked.listed);
    let job = Job {
        connector,
        phone,
        folder,
        source: &source,
        free_bytes: target.free_bytes,
        options,
        monitor,
        files_total,
        takes_less: preflight::takes_less(&source, &target, options),
        list: part.as_ref().map(|part| part.list.as_path()),
    };
    let (course, has_apps) = job.run(&mut session, &mut problems)?;
    seconds.prepare = course.preparing.as_secs_f64();
    seconds.send = course.sending.as_secs_f64();
    drop(session);

    let clock = Instant::now();
    let is_back = match options.wait_back.filter(|_| options.reboot) {
        Some(limit) => await_return(connector, phone, limit, monitor)?,
        None => None,
    };
    seconds.restart = clock.elapsed().as_secs_f64();
    if is_back == Some(false) {
        let text = "the phone said yes, and was not seen again after its restart".to_owned();
        monitor.problem(
            text.clone(),
            Some("look at its screen; `idev-backup devices` shows whether it is back".to_owned()),
        );
        problems.push(text);
    }
    seconds.total = started.elapsed().as_secs_f64();
    Ok(Report {
        target,
        source,
        listed_files: files_total,
        sent_files: course.sent_files,
        sent_bytes: course.sent_bytes,
        apps: has_apps,
        kept_settings: options.keep_settings,
        system_files: options.system_files,
        removed_others: options.remove_others,
        reboot: options.reboot,
        is_back,
        problems,
        seconds,
    })
}
