//! What `doctor` tells of the jobs that make backups by themselves.

use std::fs;

use idev_backup::jobs::Error;
use idev_backup::jobs::doctor::{Level, Line};

use super::output;
use super::schedule::{Note, Ran, folder, notes, state_path};

/// A line for each.
pub fn examined() -> Vec<Line> {
    let line = |level, says: String| Line {
        level,
        topic: "schedule",
        udid: None,
        says,
        means: None,
        hint: None,
    };
    let (jobs, unread) = match notes() {
        Ok(found) => found,
        Err(e) => return vec![line(Level::Warning, e.to_string())],
    };
    if jobs.is_empty() && unread.is_empty() {
        let says = "no job makes backups by itself".to_owned();
        let hint = Some("`idev-backup schedule add --daily 22:00` makes one".to_owned());
        return vec![Line {
            hint,
            ..line(Level::Ok, says)
        }];
    }
    let told = |job: Note| {
        let state = folder().map(|folder| state_path(&folder.join(format!("{}.json", job.name))));
        let last = state.ok().and_then(|path| fs::read(path).ok());
        let last = last.and_then(|bytes| serde_json::from_slice::<Ran>(&bytes).ok());
        let name = format!("the job {} ({})", job.name, job.when);
        match last {
            None => line(Level::Ok, format!("{name} has not run yet")),
            Some(Ran { started, exit_code, .. }) => match exit_code {
                Some(0) => line(Level::Ok, format!("{name} ran {} and did well", output::when(&started))),
                None => line(Level::Ok, format!("{name} began {} and has not ended", output::when(&started))),
                Some(code) => Line {
                    hint: Some("`idev-backup schedule run NAME` runs it here and shows why; docs/guide.md has the exit codes".to_owned()),
                    ..line(Level::Warning, format!("{name} ran {} and ended with {code}", output::when(&started)))
                },
            },
        }
    };
    let warned = |e: Error| Line {
        hint: e.hint(),
        ..line(Level::Warning, e.to_string())
    };
    let jobs = jobs.into_iter().map(told);
    jobs.chain(unread.into_iter().map(warned)).collect()
}
