//! The work of each job: calls of the library's own functions, and their results for people.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::acting::{Hands, Pushing};
use super::fail::Fail;
use super::gaps;
use super::jobs::{Ended, Job, Work};
use super::site::Site;
use crate::automation::policy::{self, Described, Outcome, Run};
use crate::automation::pushing::NotNow;
use crate::backup;
use crate::base::progress::Monitor;
use crate::base::secret::Secret;
use crate::base::udid::Udid;
use crate::base::units::{count, counted, duration, size};
use crate::device;
use crate::history::change::{self, Chosen};
use crate::history::delete::{self, Deleted};
use crate::history::list::Named;
use crate::reader::passwords::{Known, Passwords};
use crate::repository;
use crate::restore::{self, rehearse};
use crate::store::Snapshot;
use crate::verify::{self, Depth};

/// Most findings, problems and differences that a result lists.
const LISTED_MAX: usize = 20;

/// Starts a backup of a phone. The error is the job that the phone already has.
pub(super) fn back_up(site: &Arc<Site>, udid: &Udid, phone: String) -> Result<Arc<Job>, Fail> {
    let (all, of) = (site.clone(), udid.clone());
    start(site, udid, phone, Work::BackUp, move |hands, job| {
        let connector = hands.connector(&job.token)?;
        let found = connector.phone(Some(of.as_str()));
        let found = found.inspect_err(|_| hands.disconnect());
        let found = found.map_err(|e| hands.describe(e))?;
        if found.udid != of {
            let absent = device::Error::NoDevice {
                wanted: Some(of.to_string()),
                present: Vec::new(),
            };
            return Err(hands.describe(absent));
        }
        let options = backup::Options {
            password: all.kept_password(&of).map(Known),
            ..hands.options().backup.clone()
        };
        let run = Run {
            connector: &connector,
            store: all.store(),
            options: &options,
            plan: &hands.options().plan,
            monitor: job,
        };
        match run.back_up(&found) {
            Ok(Outcome::Done(report)) => Ok(pushed(&all, hands, job, backed_up(&report))),
            Ok(Outcome::Skipped(why)) => Ok(Ended::new(true, format!("Nothing to do: {why}."))),
            Err(e) => Err(hands.describe(e)),
        }
    })
}

/// Pushes the backups to the repository if that is wanted, and adds its result to that of a backup.
/// A push that fails is a problem, and never makes the backup fail.
fn pushed(site: &Site, hands: &Hands, job: &Job, mut ended: Ended) -> Ended {
    let Some(Pushing {
        location,
        conditions,
        push,
    }) = &hands.options().push
    else {
        return ended;
    };
    let store = site.store();
    let place = location.as_deref().unwrap_or("the repository");
    let now = SystemTime::now();
    match conditions.not_now(store, place, now, &job.token) {
        Some(NotNow::NothingDue) => return ended,
        Some(NotNow::Against(why)) => {
            let line = format!("Nothing was pushed elsewhere: {why}.");
            ended.lines.push(line);
            return ended;
        }
        None => {}
    }
    let problems = job.progress().problems;
    match push(store, &job.token, job) {
        Ok(report) => {
            ended.good &= job.progress().problems == problems;
            ended.lines.push(format!(
                "Pushed to {place}: {}, {} new there.",
                counted(report.pushed.len() as u64, "backup"),
                size(report.bytes_added),
            ));
        }
        Err(_) if job.token.cancelled() => {
            ended.good = false;
            let line = "Cancelled. The backup is complete; it was not pushed elsewhere.";
            ended.lines.push(line.to_owned());
        }
        Err(failure) => {
            let text = format!("the push to the repository failed: {}", failure.text);
            let known = location.as_deref().map(|place| {
                let now = Timestamp::try_from(now).unwrap_or_default();
                store.note_failed_push(place, failure.text, now)
            });
            if let Some(Err(e)) = known {
                job.problem(repository::Problem::NotNoted(e).into());
            }
            ended.good = false;
            ended.lines.push(format!("Problem: {text}"));
            ended.hint.clone_from(&failure.hint);
            let told = Described {
                text,
                exit_code: failure.exit_code,
                hint: failure.hint,
            };
            policy::tell_push_failed(told, &hands.options().plan, &job.token, job);
        }
    }
    ended
}

fn backed_up(report: &backup::Report) -> Ended {
    let mut lines = vec![format!(
        "Done in {}. {}, {}; {} new or changed ({}), {} removed.",
        duration(Duration::from_secs_f64(report.seconds.total)),
        counted(report.listed.unwrap_or(report.files), "file"),
        size(report.bytes),
        count(report.received_files),
        size(report.received_bytes),
        count(report.removed_files),
    )];
    if report.password_opens == Some(false) {
        lines.push("The backup is encrypted, and the password DOES NOT OPEN it.".to_owned());
    }
    for gap in &report.missing {
        lines.push(format!("Missing: {}", gaps::words(gap)));
    }
    limited(
        &mut lines,
        report.problems.iter().map(|p| format!("Problem: {p}")),
    );
    Ended {
        good: report.problems.is_empty() && report.password_opens != Some(false),
        lines,
        hint: None,
    }
}

/// Starts a check of a backup. A deep one needs the password of an encrypted backup.
pub(super) fn verify(
    site: &Arc<Site>,
    snapshot: Snapshot,
    phone: String,
    password: Option<Secret>,
    is_deep: bool,
) -> Result<Arc<Job>, Fail> {
    let work = if is_deep {
        Work::VerifyDeep
    } else {
        Work::Verify
    };
    let udid = snapshot.udid().clone();
    start(site, &udid, phone, work, move |hands, job| {
        let known = password.map(Known);
        let options = verify::Options {
            depth: if is_deep { Depth::Deep } else { Depth::Bytes },
            passwords: known.as_ref().map(|known| known as &dyn Passwords),
            id: Some(snapshot.id().clone()),
            password_is_a_guess: !is_deep,
            token: Some(job.token.clone()),
            ..verify::Options::default()
        };
        let report = verify::verify(snapshot.path(), &options, job);
        let report = report.map_err(|e| hands.describe(e))?;
        change::record(&report, job);
        Ok(checked(&report))
    })
}

fn checked(report: &verify::Report) -> Ended {
    use verify::Outcome;
    let mut lines = vec![report.verdict()];
    let named = |finding: &verify::Finding| {
        let name = match (&finding.domain, &finding.relative_path) {
            (Some(domain), Some(path)) => format!("{domain}  {path}  ({})", finding.file),
            _ => finding.file.clone(),
        };
        format!("{}: {name}: {}", finding.wrong.word(), finding.detail)
    };
    limited(&mut lines, report.findings.iter().map(named));
    Ended {
        good: match report.outcome {
            Outcome::Whole | Outcome::NoDamageFound => report.remarks == 0,
            _ => false,
        },
        lines,
        hint: None,
    }
}

/// Starts a rehearsal of a restore.
pub(super) fn rehearse(
    site: &Arc<Site>,
    snapshot: Snapshot,
    phone: String,
    password: Option<Secret>,
) -> Result<Arc<Job>, Fail> {
    let udid = snapshot.udid().clone();
    start(site, &udid, phone, Work::Rehearse, move |hands, job| {
        let named = Named {
            folder: snapshot.path().to_path_buf(),
            id: Some(snapshot.id().clone()),
        };
        let options = restore::Options {
            password: password.map(Known),
            ..restore::Options::default()
        };
        let done = restore::hold_named(&named)
            .and_then(|held| rehearse::rehearse(&held, snapshot.path(), &options, &job.token, job));
        let done = done.map_err(|e| hands.describe(e))?;
        Ok(rehearsed(&done))
    })
}

fn rehearsed(done: &rehearse::Rehearsal) -> Ended {
    let compared = &done.compared;
    let mut lines = vec![if compared.is_same() {
        format!(
            "REHEARSED. A simulated phone restored the whole backup, and received every byte of \
             {} ({}), with {} folders and links.",
            counted(compared.files, "file"),
            size(compared.bytes),
            count(compared.others),
        )
    } else {
        format!(
            "THE REHEARSAL FAILED: what the phone received differs from the backup in {}.",
            counted(
                compared.missing + compared.extra + compared.different,
                "place"
            )
        )
    }];
    limited(&mut lines, compared.differences.iter().cloned());
    let problems = &done.restored.problems;
    limited(&mut lines, problems.iter().map(|p| format!("Problem: {p}")));
    lines.push(
        "A real phone may still refuse, because of Find My, its free space or its version of iOS."
            .to_owned(),
    );
    Ended {
        good: compared.is_same() && problems.is_empty(),
        lines,
        hint: None,
    }
}

/// Starts the deletion of a backup that was shown with its consequences.
pub(super) fn delete(
    site: &Arc<Site>,
    chosen: Chosen,
    seen: Deleted,
    phone: String,
) -> Result<Arc<Job>, Fail> {
    let udid = chosen.snapshot.udid().clone();
    start(site, &udid, phone, Work::Delete, move |hands, job| {
        let deleted = delete::delete(&chosen, seen, job);
        let deleted = deleted.map_err(|e| hands.describe(e))?;
        Ok(Ended::new(
            job.progress().problems == 0,
            format!("{} was deleted.", deleted.path),
        ))
    })
}

fn start(
    site: &Arc<Site>,
    udid: &Udid,
    phone: String,
    work: Work,
    run: impl FnOnce(&Hands, &Job) -> Result<Ended, Described> + Send + 'static,
) -> Result<Arc<Job>, Fail> {
    site.hands()?;
    let all = site.clone();
    let started = site.jobs().start(udid.clone(), phone, work, move |job| {
        let hands = all.hands().map_err(|_| Job::internal_error())?;
        let done = run(hands, job);
        all.look_again();
        (hands.options().changed)(all.store());
        done
    });
    started.map_err(|other| Fail::Busy(site.at(&format!("/job/{}", other.id))))
}

/// Adds the first lines, and the number of the others.
fn limited(lines: &mut Vec<String>, more: impl ExactSizeIterator<Item = String>) {
    let left = more.len().saturating_sub(LISTED_MAX) as u64;
    lines.extend(more.take(LISTED_MAX));
    if left > 0 {
        lines.push(format!("... and {} more", count(left)));
    }
}
