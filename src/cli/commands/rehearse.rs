//! `idev-backup restore --rehearse`: runs a complete restore to a simulated phone, and compares
//! every byte that it received with the backup.

use std::path::Path;
use std::slice;
use std::time::{Duration, Instant};

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::units::{count, counted, duration, size};
use idev_backup::restore::compare::Comparison;
use idev_backup::restore::rehearse::{Rehearsal, rehearse};
use idev_backup::restore::{Held, Options, Report};
use idev_backup::verify::Depth;
use serde::Serialize;

use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Watch, ticking};

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
            .for_each(|line| output::line(line)),
    }
    Ok(match (compared.is_same(), restored.problems.is_empty()) {
        (false, _) => exit::FAILED,
        (true, false) => exit::DONE_WITH_PROBLEMS,
        (true, true) => exit::DONE,
    })
}

fn words(
    restored: &Report,
    compared: &Comparison,
    options: &Options,
    took: Duration,
) -> Vec<String> {
    const SHOWN_MAX: usize = 20;
    let mut lines = vec![String::new()];
    let bad = compared.missing + compared.extra + compared.different;
    lines.push(if compared.is_same() {
            let what = if options.only.is_empty() {
"the whole backup".to_owned()
} else {
format!("a part of the backup ({})", output::one_line(&options.only.join(", ")))
};
            let has = match options.depth {
                Depth::Quick => "what arrived is what lies here of",
                _ => "has every byte of",
            };
            format!(
                "REHEARSED in {}: a simulated phone took {what}, and {has} {} ({}), with {} folders and links.",
                duration(took),
                counted(compared.files, "file"),
                size(compared.bytes),
                count(compared.others),
            )

} else {
format!(
            "THE REHEARSAL FAILED: what the phone received is not what the backup names, in {}.",
            counted(bad, "place")
        )
});
    if options.depth == Depth::Quick && compared.is_same() {
        lines.push(
            "  Whether that is still what the phone once gave was not checked: leave --quick-check out."
                .to_owned(),
        );
    }
    for difference in compared.differences.iter().take(SHOWN_MAX) {
        lines.push(format!("  {}", output::one_line(difference)));
    }
    if bad > SHOWN_MAX as u64 {
        lines.push(format!("  ... and {} more", bad - SHOWN_MAX as u64));
    }
    if !compared.is_same() {
        lines.push("  hint: `idev-backup verify --deep` tells whether the backup is whole; if it is, please report this".to_owned());
    }
    for problem in &restored.problems {
        lines.push(format!("  problem: {problem}"));
    }
    lines.push(
        "  What a real phone would say besides - Find My, room, its iOS - is told by `--dry-run` with the phone connected."
            .to_owned(),
    );
    lines
}
