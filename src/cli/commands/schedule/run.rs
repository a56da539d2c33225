//! `idev-backup schedule run`

use std::ffi::OsString;
use std::path::Path;

use idev_backup::automation::schedule::job_run::Run;
use idev_backup::automation::schedule::job_state;

use crate::cli::args::folders;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::log::{self, Source};
use crate::cli::render::output;

/// Runs a job for the system's scheduler and returns the exit code.
pub fn run(job: &OsString) -> Result<u8, Failure> {
    let path = match Path::new(job) {
        path if path.is_absolute() => path.to_path_buf(),
        name => folders::jobs()?.path(&name.display().to_string()),
    };
    let run = Run::prepare(path)?;
    output::begin_job(&job_state::log_path(run.path()));
    if run.is_running_already() {
        let name = &run.job().name;
        output::tell(&format!(
            "Nothing to do: the job {name} is already running."
        ));
        return Ok(exit::DONE);
    }
    log::add(&job_state::start_line(run.job()), Source::Stdout);
    if let Some(e) = run.lock_error() {
        output::tell(&format!(
            "problem: cannot prevent a second run of this job: {e}"
        ));
    }
    let code = run.finish(interrupt)?;
    let how = exit::words(code);
    log::add(&format!("Ended with {code}: {how}."), Source::Stdout);
    Ok(code)
}
