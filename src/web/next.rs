//! The next backup that the system's scheduler starts.

use std::path::Path;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use maud::{Markup, html};

use super::acting::Schedule;
use super::layout::t;
use super::schedule::PATH;
use super::site::Site;
use crate::automation::schedule::When;
use crate::automation::schedule::job_state::JobFile;
use crate::base::time;

/// Says when the next backup into this store begins, if a job of this user makes any.
pub(super) fn words(site: &Site) -> Markup {
    let hands = site.hands().ok();
    let Some(schedule) = hands.and_then(|hands| hands.options().schedule.as_ref()) else {
        return html! {};
    };
    let jobs = jobs(schedule, site.store().root());
    let now = now();
    html! {
        @if jobs.is_empty() { p.soft { "No backup is scheduled for this store." } }
        @for job in &jobs {
            p.soft {
                @match of(job, &now) {
                    Some(next) => {
                        "Next scheduled backup: " (next) " (job " bdi { (t(&job.name)) } ", " (t(&job.when)) ")."
                    },
                    None => {
                        "Phones are backed up when they are connected (job " bdi { (t(&job.name)) } ")."
                    },
                }
            }
        }
        p.soft { a href=(site.at(PATH)) { "Change the schedule" } }
    }
}

/// Returns the present time in the local zone.
pub(super) fn now() -> Zoned {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    now.to_zoned(TimeZone::system())
}

/// Returns the next time of a job in words.
pub(super) fn of(job: &JobFile, now: &Zoned) -> Option<String> {
    let when: When = job.when.parse().ok()?;
    Some(time::when(&when.next(now)?.timestamp().to_string()))
}

/// Returns the jobs that make backups into a store.
pub(super) fn jobs(schedule: &Schedule, root: &Path) -> Vec<JobFile> {
    let (jobs, _) = schedule.jobs.list();
    jobs.into_iter().filter(|job| is_for(job, root)).collect()
}

/// Returns true if a job makes backups into this store. One that names no store means that of the
/// settings, which is most likely this one.
fn is_for(job: &JobFile, root: &Path) -> bool {
    let makes = job
        .arguments
        .iter()
        .any(|word| word == "create" || word == "watch");
    let mut words = job.arguments.iter();
    let mut store = None;
    while let Some(word) = words.next() {
        if word == "--store" {
            store = words.next().map(String::as_str);
        } else if let Some(path) = word.strip_prefix("--store=") {
            store = Some(path);
        }
    }
    let is_same = |path: &str| {
        let path = job.folder.join(path);
        path == root || path.canonicalize().is_ok_and(|path| path == root)
    };
    makes && store.is_none_or(is_same)
}
