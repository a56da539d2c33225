//! `idev-backup schedule remove`

use crate::cli::args::folders;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Removes a job and returns the exit code.
pub fn run(name: &str, as_json: bool) -> Result<u8, Failure> {
    let job = folders::jobs()?.remove(name)?;
    if as_json {
        output::object("schedule_removed", None, &job)
    } else {
        output::line(&format!("{name} was removed."))
    }
    Ok(exit::DONE)
}
