//! `idev-backup schedule status`

use std::time::{Duration, SystemTime};

use idev_backup::automation::policy;
use idev_backup::automation::schedule::When;
use idev_backup::automation::schedule::job_state::{LastRun, State};
use idev_backup::base::phone_names;
use idev_backup::base::time;
use idev_backup::base::units::span;
use idev_backup::doctor::check_schedule;
use idev_backup::history::{last_good, list as history};
use serde::Serialize;

use super::list;
use crate::cli::args::folders;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Shows the state of all jobs and returns the exit code.
pub fn run(store: &StoreArgs, as_json: bool) -> Result<u8, Failure> {
    let now = SystemTime::now();
    let zoned = jiff::Timestamp::try_from(now).unwrap_or_default();
    let zoned = zoned.to_zoned(jiff::tz::TimeZone::system());
    let mut jobs = Vec::new();
    let all = folders::jobs()?;
    for job in list::readable(&all) {
        let (last, state) = all.state(&job);
        let troubles = check_schedule::troubles(&all, &job, &last, state, &zoned);
        let next = job
            .when
            .parse::<When>()
            .ok()
            .and_then(|when| when.next(&zoned));
        let next = next.map(|next| next.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        jobs.push(Status {
            name: job.name,
            when: job.when,
            last: last.ok().flatten(),
            running: state == State::Running,
            troubles: troubles.into_iter().map(|t| t.says).collect(),
            next,
        });
    }
    let mut phones = Vec::new();
    if let Ok(store) = store.open() {
        for udid in history::current_phones(&store, None) {
            let last = policy::last_good(&store, &udid);
            phones.push(PhoneStatus {
                name: history::phone_name(&store, &udid),
                udid: udid.to_string(),
                retired: last_good::is_retired(&store, &udid),
                last_backup: last.map(time::rfc3339),
                age_seconds: last
                    .and_then(|last| time::age(now, last))
                    .map(|age| age.as_secs()),
            });
        }
    }
    let all = All { jobs, phones };
    if as_json {
        output::object("schedule_status", None, &all)
    } else {
        show_status(&all)
    }
    Ok(exit::DONE)
}

#[derive(Serialize)]
struct Status {
    name: String,
    when: String,
    last: Option<LastRun>,
    /// True if the job is running now.
    running: bool,
    next: Option<String>,
    /// Reasons why the job may not run as intended.
    troubles: Vec<String>,
}

#[derive(Serialize)]
struct PhoneStatus {
    udid: String,
    name: Option<String>,
    last_backup: Option<String>,
    /// Age of the last backup; `None` if the clock was wrong, now or then.
    age_seconds: Option<u64>,
    /// True if no more backups of the phone are expected.
    retired: bool,
}

#[derive(Serialize)]
struct All {
    jobs: Vec<Status>,
    phones: Vec<PhoneStatus>,
}

fn show_status(all: &All) {
    if all.jobs.is_empty() {
        output::line("There are no jobs; add one with `idev-backup schedule add --daily 22:00`.");
    }
    for job in &all.jobs {
        let last = match &job.last {
            None => "has not run yet".to_owned(),
            Some(LastRun {
                started,
                exit_code: Some(code),
                ..
            }) => {
                format!("ran {}: {}", time::when(started), exit::words(*code))
            }
            Some(LastRun { started, .. }) => {
                let what = if job.running {
                    "runs since"
                } else {
                    "began, and was ended before it could say how:"
                };
                format!("{what} {}", time::when(started))
            }
        };
        let next = job
            .next
            .as_deref()
            .map(|next| format!("; next {}", time::when(next)));
        let next = next.unwrap_or_default();
        output::line(&format!("{} ({}): {last}{next}", job.name, job.when));
        for trouble in &job.troubles {
            output::finding(&format!("  warning: {trouble}"));
        }
    }
    let named = all
        .phones
        .iter()
        .map(|p| (p.udid.as_str(), p.name.as_deref()));
    let names = phone_names::distinct(&named.collect::<Vec<_>>());
    for (phone, name) in all.phones.iter().zip(names) {
        let last = match (&phone.last_backup, phone.age_seconds) {
            (Some(date), Some(age)) => {
                let age = span(Duration::from_secs(age));
                format!("last good backup {}, {age} old", time::when(date))
            }
            (Some(date), None) => format!(
                "last good backup {}, which is in the future",
                time::when(date)
            ),
            (None, _) => "no good backup".to_owned(),
        };
        let retired = if phone.retired { "; retired" } else { "" };
        output::line(&output::one_line(&format!("{name}: {last}{retired}")));
    }
}
