//! Judges the jobs that the system starts: whether they run when they should, and how they ended.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, Zoned};

use super::{Level, Line};
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
    /// Advice for the user.
    pub hint: String,
}

/// Returns a line for each job, and one for each of its problems.
pub fn judge(jobs: &Jobs) -> Vec<Line> {
    let (found, unread) = jobs.list();
    if found.is_empty() && unread.is_empty() {
        return vec![
            Line::ok(TOPIC, "no job makes backups by itself")
                .hint("`idev-backup schedule add --daily 22:00` makes one"),
        ];
    }
    let mut lines = Vec::new();
    for job in &found {
        let name = format!("the job {} ({})", job.name, job.when);
        let (last, state) = jobs.state(job);
        if let Ok(last) = &last {
            lines.extend(
                ran(job, last.as_ref(), state).map(|(level, says, hint)| Line {
                    hint,
                    ..Line::new(level, TOPIC, format!("{name} {says}"))
                }),
            );
        }
        let troubles = troubles(jobs, job, &last, state, &now());
        lines.extend(troubles.into_iter().map(|trouble| {
            Line::warning(TOPIC, format!("{name}: {}", trouble.says)).hint(trouble.hint)
        }));
    }
    lines.extend(unread.into_iter().map(|e| Line {
        hint: e.hint().map(str::to_owned),
        ..Line::warning(TOPIC, e.to_string())
    }));
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
) -> Option<(Level, String, Option<String>)> {
    let Some(last) = last else {
        return Some((Level::Ok, "has not run yet".to_owned(), None));
    };
    let when = time::when(&last.started);
    Some(match last.exit_code {
        Some(0) => (Level::Ok, format!("ran {when} and did well"), None),
        None if state == State::Running => (Level::Ok, format!("runs since {when}"), None),
        None => return None,
        Some(code) => {
            let hint = format!(
                "`idev-backup schedule run {}` runs it here and shows why; docs/guide.md has the exit codes",
                job.name
            );
            (
                Level::Warning,
                format!("ran {when} and ended with {code}"),
                Some(hint),
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
    let anew = format!(
        "add it again with `idev-backup schedule add`, or remove it with `idev-backup schedule remove {}`",
        job.name
    );
    let here = format!("`idev-backup schedule run {}` runs it now", job.name);
    match installed(jobs, job) {
        Ok(true) => {}
        Ok(false) => troubles.push(Trouble {
            says: format!("nothing starts it any more: {} does not have it", job.with),
            hint: anew,
        }),
        Err((why, hint)) => troubles.push(Trouble {
            says: format!("whether anything starts it is not known: {why}"),
            hint: hint.to_owned(),
        }),
    }
    match last {
        Err(e) => troubles.push(Trouble {
            says: e.to_string(),
            hint: e.hint().unwrap_or_default().to_owned(),
        }),
        Ok(Some(last)) if state == State::Idle && last.exit_code.is_none() => {
            troubles.push(Trouble {
                says: format!(
                    "it began {}, and was ended before it could say how: it was killed, or the computer went off",
                    time::when(&last.started)
                ),
                hint: here,
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
                    hint: format!("was the computer off, or asleep? {here}"),
                });
            }
        }
        Ok(Some(last)) if job.when != When::Always.to_string() => {
            let since = last.started.parse::<Timestamp>().ok();
            let runs =
                since.and_then(|since| now.timestamp().duration_since(since).try_into().ok());
            if runs.is_some_and(|runs: Duration| runs > LONG) {
                troubles.push(Trouble {
                    says: format!("it runs since {} and does not end", time::when(&last.started)),
                    hint: "look at the phone: it may wait for its passcode. Else end that idev-backup; its draft is gone on with"
                        .to_owned(),
                });
            }
        }
        Ok(_) => {}
    }
    troubles
}

/// Returns true if the scheduler has the job, or the reason that this is unknown, with advice.
fn installed(jobs: &Jobs, job: &JobFile) -> Result<bool, (String, &'static str)> {
    let kind = job.with.parse::<Kind>().map_err(|why| {
        let why = format!("it was made by a newer idev-backup: {why}");
        (why, "use that one")
    })?;
    let always = job.when == When::Always.to_string();
    let installed = install::is_installed(kind, &job.name, always, &jobs.places);
    installed.map_err(|e| (e.to_string(), e.hint))
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
