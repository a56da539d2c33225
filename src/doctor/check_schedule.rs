//! Judges the jobs that the system starts: whether they run when they should, and how they ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::{Timestamp, Zoned};

use super::{Concern, Level, Line};
use crate::automation::schedule::job_state::{Error, JobFile, Jobs, LastRun, State};
use crate::automation::schedule::{Kind, When, install};
use crate::base::time;

/// The subject of the findings.
const TOPIC: &str = "schedule";

/// A job that starts this much later than scheduled counts as not running at all. The margin allows
/// for a computer that was asleep or busy.
const LATE: Duration = Duration::from_secs(3600);

/// A backup that takes longer than this has hung, or its phone waits for the user.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// A problem that keeps a job from running as intended.
#[derive(Debug)]
pub struct Trouble {
    /// Description of the problem.
    pub says: String,
    /// The concern, by which a program gives advice.
    pub concern: Concern,
}

/// Returns a line for each job, and one for each of its problems.
pub fn judge(jobs: &Jobs) -> Vec<Line> {
    let (found, unread) = jobs.list();
    if found.is_empty() && unread.is_empty() {
        return vec![Line::ok(TOPIC, "no backup is scheduled").concern(Concern::NoJobs)];
    }
    let mut lines = Vec::new();
    for job in &found {
        let name = format!("the job {} ({})", job.name, job.when);
        let (last, state) = jobs.state(job);
        if let Ok(last) = &last {
            lines.extend(
                ran(job, last.as_ref(), state).map(|(level, says, concern)| Line {
                    concern,
                    ..Line::new(level, TOPIC, format!("{name} {says}"))
                }),
            );
        }
        let troubles = troubles(jobs, job, &last, state, &now());
        lines.extend(troubles.into_iter().map(|trouble| {
            Line::warning(TOPIC, format!("{name}: {}", trouble.says)).concern(trouble.concern)
        }));
    }
    lines.extend(
        unread
            .into_iter()
            .map(|e| Line::warning(TOPIC, e.to_string()).concern(Concern::Job(Arc::new(e)))),
    );
    lines
}

fn now() -> Zoned {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::system())
}

/// Describes a job's last run. Returns `None` if a problem already covers it.
fn ran(
    job: &JobFile,
    last: Option<&LastRun>,
    state: State,
) -> Option<(Level, String, Option<Concern>)> {
    let Some(last) = last else {
        return Some((Level::Ok, "has not run yet".to_owned(), None));
    };
    let when = time::when(&last.started);
    Some(match last.exit_code {
        Some(0) => (Level::Ok, format!("ran {when} and did well"), None),
        None if state == State::Running => (Level::Ok, format!("runs since {when}"), None),
        None => return None,
        Some(code) => {
            let name = job.name.clone();
            (
                Level::Warning,
                format!("ran {when} and ended with {code}"),
                Some(Concern::JobFailed { name }),
            )
        }
    })
}

/// Lists the problems that may keep a job from running as intended.
pub fn troubles(
    jobs: &Jobs,
    job: &JobFile,
    last: &Result<Option<LastRun>, Error>,
    state: State,
    now: &Zoned,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let name = job.name.clone();
    match installed(jobs, job) {
        Ok(true) => {}
        Ok(false) => troubles.push(Trouble {
            says: format!("nothing starts it any more: {} does not have it", job.with),
            concern: Concern::JobNotInstalled { name: name.clone() },
        }),
        Err((why, concern)) => troubles.push(Trouble {
            says: format!("whether anything starts it is not known: {why}"),
            concern,
        }),
    }
    match last {
        Err(e) => troubles.push(Trouble {
            says: e.to_string(),
            concern: Concern::JobUnrecorded,
        }),
        Ok(Some(last)) if state == State::Idle && last.exit_code.is_none() => {
            troubles.push(Trouble {
                says: format!(
                    "it began {}, and was ended before it could say how: it was killed, or the computer went off",
                    time::when(&last.started)
                ),
                concern: Concern::JobKilled { name },
            });
        }
        Ok(last) if state == State::Idle => {
            // A job is not due while it runs. A job that was added again counts from that time.
            let ran = last
                .iter()
                .flat_map(|last| [Some(&last.started), last.finished.as_ref()]);
            let ran = ran.flatten().filter_map(|time| time.parse().ok());
            let since = ran.chain(added(jobs, job)).max();
            if let Some(due) = since.and_then(|since| missed(job, since, now)) {
                troubles.push(Trouble {
                    says: format!("it was to run {}, and did not", time::when(&due)),
                    concern: Concern::JobMissed { name },
                });
            }
        }
        Ok(Some(last)) if job.when != When::Always.to_string() => {
            let since = last.started.parse::<Timestamp>().ok();
            let runs =
                since.and_then(|since| now.timestamp().duration_since(since).try_into().ok());
            if runs.is_some_and(|runs: Duration| runs > LONG) {
                troubles.push(Trouble {
                    says: format!(
                        "it runs since {} and does not end",
                        time::when(&last.started)
                    ),
                    concern: Concern::JobHangs,
                });
            }
        }
        Ok(_) => {}
    }
    troubles
}

/// Returns true if the scheduler has the job, or the reason that this is unknown.
fn installed(jobs: &Jobs, job: &JobFile) -> Result<bool, (String, Concern)> {
    let kind = job.with.parse::<Kind>().map_err(|why| {
        let why = format!("it was made by a newer idev-backup: {why}");
        (why, Concern::JobNewer)
    })?;
    let always = job.when == When::Always.to_string();
    let installed = install::is_installed(kind, &job.name, always, &jobs.places);
    installed.map_err(|e| (e.to_string(), Concern::Scheduler(Arc::new(e))))
}

fn added(jobs: &Jobs, job: &JobFile) -> Option<Timestamp> {
    let file = jobs.path(&job.name);
    file.metadata().ok()?.modified().ok()?.try_into().ok()
}

/// Returns the time at which the job should have run after `since`, if that is more than [`LATE`]
/// ago.
fn missed(job: &JobFile, since: Timestamp, now: &Zoned) -> Option<String> {
    let when: When = job.when.parse().ok()?;
    let next = when.next(&since.to_zoned(now.time_zone().clone()))?;
    let late = now.timestamp().duration_since(next.timestamp());
    let is_missed = Duration::try_from(late).is_ok_and(|late| late > LATE);
    is_missed.then(|| next.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
