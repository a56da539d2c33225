//! A backup, given back to a phone: the one that it is of, or another.
//!
//! What can be known is found out first (`about`, `ready`), and the backup checked; only then is
//! the phone asked. It is served from the sealed backup through a throw-away draft (`host`), and
//! its verdict is the last word (`phone`).

pub mod about;
mod apps;
pub mod compare;
mod host;
pub mod part;
mod phone;
pub mod ready;
pub mod rehearsal;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::awake::Awake;
use super::doctor::{self, Level, Line};
use super::list::Named;
use super::password::Known;
use super::phone::Reach;
use super::verify::{self, Depth, Outcome, Wrong};
use super::{Error, history, list, pair, passcode};
use crate::monitor::Monitor;
use crate::store::{self, Lock, Store, snapshot};
use crate::transport::{Attached, Calm};
use about::{Source, Target};
pub use phone::Left;
use phone::{Job, await_return};

/// What may be asked of a restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep the phone's own settings; else it gets those of the backup.
    pub keep_settings: bool,
    /// Restore the files of the system too: messages, calls, accounts and the like.
    pub system_files: bool,
    /// Hand the list of applications over, so that the phone fetches them again.
    pub apps: bool,
    /// Remove from the phone what the backup does not have.
    pub remove_others: bool,
    /// Restart the phone in the end. Nothing of the backup appears before that.
    pub reboot: bool,
    /// After the restart, wait so long until the phone is back.
    pub wait_back: Option<Duration>,
    /// Only domains that match one of these patterns; all of them where there is none.
    pub only: Vec<String>,
    /// A part is wanted although nobody knows what a phone makes of it.
    pub partial_at_own_risk: bool,
    /// How thoroughly the backup is checked before anything is sent.
    pub depth: Depth,
    /// Go on with damage that phones do not mind ([`tolerated`]).
    pub force: bool,
    /// The backup password.
    pub password: Option<Known>,
    /// Keep the computer from falling asleep meanwhile.
    pub stay_awake: bool,
    /// Silence of the phone that is taken for its end.
    pub silence_max: Duration,
    /// How long to wait for "Trust".
    pub trust_wait: Duration,
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
            silence_max: passcode::WAIT_MAX + Duration::from_secs(60),
            trust_wait: Duration::from_secs(120),
        }
    }
}

/// Seconds of the parts of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// The backup was checked.
    pub check: f64,
    /// The phone read the lists and checked whether it can.
    pub prepare: f64,
    /// Files went to the phone, and it put them in their places.
    pub send: f64,
    /// The phone restarted, as far as that was waited for.
    pub restart: f64,
    /// All of it.
    pub total: f64,
}

/// What came of it: also the object of `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The phone, as it was before.
    pub target: Target,
    /// The backup.
    pub source: Source,
    /// Files that the list names; null where nothing could be read of it.
    pub listed_files: Option<u64>,
    /// Files that were sent, each counted once.
    pub sent_files: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// The list of applications was handed over.
    pub apps: bool,
    /// The phone keeps its own settings.
    pub kept_settings: bool,
    /// Files of the system were asked for.
    pub system_files: bool,
    /// What the backup lacks was to be removed.
    pub removed_others: bool,
    /// The phone was told to restart.
    pub reboot: bool,
    /// It was seen to be back after that; null where nobody waited, or not to the end.
    pub is_back: Option<bool>,
    /// What went wrong without failing the restore.
    pub problems: Vec<String>,
    /// How long its parts took.
    pub seconds: Seconds,
}

/// Damage of which phones take no notice: they look at names, sizes and keys, and at the contents
/// of files that their list has a digest of, and of the lists and property lists of the backup
/// itself.
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

/// Files with tolerated damage that are named.
const NAMED_MAX: usize = 50;

/// What is restored in spite of its damage: each file, since nobody else tells which ones are wrong
/// on the phone then.
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

/// A restore that is to be: what is on both sides, and what is found to be said of it before
/// anything was read or sent.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    /// The backup.
    pub source: Source,
    /// The phone.
    pub target: Target,
    /// What is to be said.
    pub lines: Vec<Line>,
}

/// Looks at backup and phone, and changes nothing.
pub fn consider(
    reach: &Reach,
    phone: &Attached,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Considered, Error> {
    let source = Source::look(folder)?;
    let mut session = pair::session_or_pair(reach, phone, options.trust_wait, monitor)?;
    let target = Target::ask(phone, session.lockdown())?;
    part::admit(folder, &source, &target, options)?;
    Ok(weigh(source, target, options))
}

fn weigh(source: Source, target: Target, options: &Options) -> Considered {
    let mut lines = ready::judge_backup(&source, options);
    lines.extend(ready::judge_phone(&source, &target, options));
    Considered {
        source,
        target,
        lines,
    }
}

/// Everything that can be known without the phone doing it. `phone` answers which one is meant, or
/// why there is none.
pub fn dry_run(
    reach: &Reach,
    phone: Result<Attached, Error>,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<doctor::Report, Error> {
    let source = Source::look(folder)?;
    let target = phone.and_then(|phone| {
        let mut session = reach.session(&phone)?;
        Ok(Target::ask(&phone, session.lockdown())?)
    });
    let mut lines = ready::judge_backup(&source, options);
    match &target {
        Ok(target) => lines.extend(ready::judge_phone(&source, target, options)),
        Err(e) => lines.push(problem("phone", e)),
    }
    let admitted = match &target {
        Ok(target) => part::admit(folder, &source, target, options),
        Err(_) => Ok(()),
    };
    // That nothing is in it shows before every byte is read.
    match admitted.and_then(|()| part::show(folder, options)) {
        Ok(Some(part)) => lines.push(ready::judge_part(&part, options)),
        // A list that cannot be read is told by the check, and so is one that is encrypted.
        Ok(None) | Err(Error::Backup { .. }) => {}
        Err(e) => lines.push(problem("part", &e)),
    }
    match check(folder, options, &reach.calm, monitor) {
        Ok(report) => lines.push(match known_damage(folder, options) {
            Some(damage) if report.outcome != Outcome::Damaged => damage,
            _ => ready::judge_check(&report),
        }),
        Err(e @ (Error::WrongPassword { .. } | Error::NoPassword { .. })) => {
            lines.push(problem("check", &e));
        }
        Err(e) => return Err(e),
    }
    Ok(doctor::Report {
        level: lines
            .iter()
            .map(|line| line.level)
            .max()
            .unwrap_or(Level::Ok),
        not_looked_at: ready::not_looked_at(target.is_ok()),
        lines,
    })
}

/// What keeps a restore from beginning, as a line of a dry run.
fn problem(name: &'static str, e: &Error) -> Line {
    let line = Line::problem(name, e.to_string());
    match e.hint() {
        Some(hint) => line.hint(hint),
        None => line,
    }
}

/// Where a check of contents has found the backup damaged, one that looks at none cannot say
/// otherwise.
fn known_damage(folder: &Path, options: &Options) -> Option<Line> {
    if options.depth != Depth::Quick {
        return None;
    }
    let of = snapshot::find(folder)?;
    // A store that cannot be read has its own way of being told.
    let store = Store::open(of.path().parent()?).ok()?;
    let found = store.notes(of.udid()).ok()?.of(&of).damaged?;
    let when = found.parse::<jiff::Timestamp>();
    let when = when.map_or(found, |time| list::local(time.into()));
    let says =
        format!("a check found this backup damaged ({when}), and a quick one looks at no contents");
    Some(
        Line::problem("check", says).hint("leave --quick-check out: then every byte is read again"),
    )
}

fn check(
    folder: &Path,
    options: &Options,
    calm: &Arc<Calm>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    let how = verify::Options {
        calm: Some(calm.clone()),
        depth: options.depth,
        passwords: options.password.as_ref().map(|known| known as _),
        ..verify::Options::default()
    };
    verify::verify(folder, &how, monitor)
}

/// As long as this is held, no other run moves or drops the backup, which then would be missing
/// file by file.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held, and never looked at")] Option<Lock>);

/// Takes hold of the backup in a folder. A store that cannot be written to holds still by itself.
pub fn hold(folder: &Path) -> Result<Held, Error> {
    hold_named(&Named {
        folder: folder.to_path_buf(),
        id: snapshot::look(folder)?.map(|found| found.id().clone()),
    })
}

/// Takes hold of the backup that was found by its name, and fails if another one stands in its
/// place by then.
pub fn hold_named(named: &Named) -> Result<Held, Error> {
    let lock = lock(&named.folder)?;
    let now = snapshot::look(&named.folder)?.map(|found| found.id().clone());
    if now == named.id {
        Ok(Held(lock))
    } else {
        Err(history::moved(&named.folder, None))
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

/// Restores a backup onto a phone. Returns once the phone has said yes. The caller has held the
/// backup since it was shown to anybody: else another run may have put a newer one in its place.
pub fn restore(
    _: &Held,
    reach: &Reach,
    phone: &Attached,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let started = Instant::now();
    // "Stop" on one phone is not meant for the others.
    let reach = &Reach {
        calm: reach.calm.for_one(),
        ..reach.clone()
    };
    let _awake = options.stay_awake.then(Awake::keep);
    let mut problems = Vec::new();
    let source = Source::look(folder)?;
    if source.encrypted && options.password.is_none() {
        return Err(Error::NoPassword {
            why: format!(
                "the backup {} is encrypted, and no password was given",
                source.path
            ),
        });
    }
    let mut session = pair::session_or_pair(reach, phone, options.trust_wait, monitor)?;
    let target = Target::ask(phone, session.lockdown())?;
    part::admit(folder, &source, &target, options)?;
    let Considered {
        source,
        target,
        lines,
    } = weigh(source, target, options);
    let obstacles = ready::obstacles(&lines);
    if !obstacles.is_empty() {
        return Err(Error::NotReady(obstacles));
    }
    // It may take a while, and a session that nobody uses ends.
    drop(session);
    // Before every byte is read: a part that has nothing in it is found out at once.
    let part = part::show(folder, options)?;

    let clock = Instant::now();
    let checked = check(folder, options, &reach.calm, monitor)?;
    history::record(&checked, monitor);
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
    if let Some(why) = ready::not_restorable(&checked) {
        if !options.force {
            return Err(Error::NotReady(vec![ready::judge_check(&checked)]));
        }
        let text = format!("the backup is restored although it lacks something, as wanted: {why}");
        monitor.problem(text.clone(), None);
        problems.push(text);
    }
    if reach.calm.cancelled() {
        return Err(Error::Interrupted);
    }

    // The check may have taken an hour: plugged in anew meanwhile, the phone has another number.
    let phone = &reach.phone(Some(phone.udid.as_str()))?;
    let mut session = reach.session(phone)?;
    // What no list names is never asked for.
    let files_total = part.as_ref().map(|part| part.files).or(checked.listed);
    let job = Job {
        reach,
        phone,
        folder,
        source: &source,
        free_bytes: target.free_bytes,
        options,
        monitor,
        files_total,
        takes_less: ready::takes_less(&source, &target, options),
        list: part.as_ref().map(|part| part.list.as_path()),
    };
    let (course, has_apps) = job.run(&mut session, &mut problems)?;
    seconds.prepare = course.preparing.as_secs_f64();
    seconds.send = course.sending.as_secs_f64();
    drop(session);

    let clock = Instant::now();
    let is_back = match options.wait_back.filter(|_| options.reboot) {
        Some(limit) => await_return(reach, phone, limit, monitor)?,
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
