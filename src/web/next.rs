//! The next backup that the system's scheduler starts.

use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::layout::t;
use super::site::Site;
use crate::automation::schedule::When;
use crate::automation::schedule::job_state::JobFile;
use crate::base::time;

/// Says when the next backup into this store begins, if a job of this user makes any.
pub(super) fn words(site: &Site, now: SystemTime) -> Markup {
    let hands = site.hands().ok();
    let Some(scheduled) = hands.and_then(|hands| hands.options().scheduled.as_ref()) else {
        return html! {};
    };
    let (jobs, _) = scheduled.list();
    let root = site.store().root();
    let jobs: Vec<JobFile> = jobs.into_iter().filter(|job| is_for(job, root)).collect();
    let now = Timestamp::try_from(now).unwrap_or_default();
    let now = now.to_zoned(TimeZone::system());
    html! {
        @if jobs.is_empty() {
            p.soft { "No backup is scheduled for this store." }
        }
        @for job in &jobs {
            @let when: Option<When> = job.when.parse().ok();
            p.soft {
                @match (when, when.and_then(|when| when.next(&now))) {
                    (Some(When::Always), _) => {
                        "Phones are backed up when they are connected (job " bdi { (t(&job.name)) } ")."
                    },
                    (_, Some(next)) => {
                        "Next scheduled backup: " (time::when(&next.timestamp().to_string()))
                        " (job " bdi { (t(&job.name)) } ", " (job.when) ")."
                    },
                    _ => { "The job " bdi { (t(&job.name)) } " has no next time." },
                }
            }
        }
    }
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
