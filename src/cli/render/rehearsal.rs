//! Reports how a rehearsal of a restore ended.

use std::time::Duration;

use idev_backup::base::units::{count, counted, duration, size};
use idev_backup::restore::compare::Comparison;
use idev_backup::restore::{Options, Report};
use idev_backup::verify::Depth;

use crate::cli::render::output;

/// Describes the result for people.
pub fn words(
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
            let only = output::one_line(&options.only.join(", "));
            format!("a part of the backup ({only})")
        };
        let has = match options.depth {
            Depth::Quick => "what arrived is what lies here of",
            _ => "has every byte of",
        };
        format!(
            "REHEARSED in {}: a simulated phone took {what}, and {has} {} ({}), with {} folders \
             and links.",
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
