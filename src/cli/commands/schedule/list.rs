//! `idev-backup schedule list`

use idev_backup::automation::schedule::job_state::{JobFile, Jobs};
use serde::Serialize;

use crate::cli::args::folders;
use crate::cli::failure::Failure;
use crate::cli::render::{output, table};
use crate::cli::{exit, hints};

/// Lists the jobs and returns the exit code.
pub fn run(as_json: bool) -> Result<u8, Failure> {
    #[derive(Serialize)]
    struct Listed {
        jobs: Vec<JobFile>,
    }
    let jobs = readable(&folders::jobs()?);
    if as_json {
        output::object("schedules", None, &Listed { jobs });
        return Ok(exit::DONE);
    }
    if jobs.is_empty() {
        output::line("There are no jobs; add one with `idev-backup schedule add --daily 22:00`.");
        return Ok(exit::DONE);
    }
    let heads = ["NAME", "WHEN", "WITH", "COMMAND"].map(str::to_owned);
    let mut rows = vec![heads.to_vec()];
    rows.extend(jobs.into_iter().map(|job| {
        let words = job.arguments.join(" ");
        vec![job.name, job.when, job.with, words]
    }));
    for line in table::table(&rows) {
        output::lines(&line);
    }
    Ok(exit::DONE)
}

/// Returns the jobs that can be read, and reports the others as problems.
pub fn readable(jobs: &Jobs) -> Vec<JobFile> {
    let (found, unread) = jobs.list();
    for e in unread {
        output::tell(&format!("problem: {e}"));
        output::tell(&format!("  hint: {}", hints::job(&e).unwrap_or_default()));
    }
    found
}
