//! `idev-backup schedule log`

use idev_backup::automation::schedule::job_state::{self, JobFile};
use serde::Serialize;

use crate::cli::args::folders;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

#[derive(Serialize)]
struct Logged {
    name: String,
    /// The log file, which also has the earlier runs.
    path: String,
    /// The lines of the last run; empty if the job has not run yet.
    lines: Vec<String>,
}

/// Shows what a job logged in its last run and returns the exit code.
pub fn run(name: &str, as_json: bool) -> Result<u8, Failure> {
    let path = folders::jobs()?.path(name);
    JobFile::read(&path)?;
    let lines = job_state::last_log(&path)?;
    let logged = Logged {
        name: name.to_owned(),
        path: job_state::log_path(&path).display().to_string(),
        lines: lines.unwrap_or_default(),
    };
    if as_json {
        output::object("schedule_log", None, &logged);
    } else if logged.lines.is_empty() {
        output::line(&format!("The job {name} has not run yet."));
    } else {
        logged.lines.iter().for_each(|line| output::line(line));
    }
    Ok(exit::DONE)
}
