//! `idev-backup restore --rehearse`: runs a complete restore to a simulated phone, and compares
//! every byte that it received with the backup.

use std::path::Path;
use std::slice;
use std::time::Instant;

use idev_backup::base::cancel::CancelToken;
use idev_backup::restore::compare::Comparison;
use idev_backup::restore::rehearse::{Rehearsal, rehearse};
use idev_backup::restore::{Held, Options, Report};
use serde::Serialize;

use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Watch, ticking};
use crate::cli::render::rehearsal::words;

/// Result of a rehearsal.
#[derive(Serialize)]
struct Rehearsed<'a> {
    #[serde(flatten)]
    restored: &'a Report,
    /// Patterns given with `--only`.
    only: &'a [String],
    compared: &'a Comparison,
}

/// Runs the command and returns its exit code.
pub fn run(
    held: &Held,
    folder: &Path,
    options: &Options,
    style: Style,
    watch: &Watch<'_>,
) -> Result<u8, Failure> {
    let began = Instant::now();
    let token = CancelToken::new(interrupt());
    let Rehearsal { restored, compared } = ticking(slice::from_ref(watch), || {
        rehearse(held, folder, options, &token, watch)
    })?;
    watch.finish();
    match style {
        Style::Json => {
            let rehearsed = Rehearsed {
                restored: &restored,
                only: &options.only,
                compared: &compared,
            };
            output::object("rehearsed", restored.source.udid.as_deref(), &rehearsed);
        }
        Style::Quiet if compared.is_same() => {}
        _ => words(&restored, &compared, options, began.elapsed())
            .iter()
            .for_each(|line| output::finding(line)),
    }
    Ok(match (compared.is_same(), restored.problems.is_empty()) {
        (false, _) => exit::FAILED,
        (true, false) => exit::DONE_WITH_PROBLEMS,
        (true, true) => exit::DONE,
    })
}
