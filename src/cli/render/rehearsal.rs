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
            Depth::Quick => "received the stored contents of",
            _ => "received every byte of",
        };
        format!(
            "REHEARSED in {}: a simulated phone restored {what}, and {has} {} ({}), with {} \
            folders and links.",
            duration(took),
            counted(compared.files, "file"),
            size(compared.bytes),
            count(compared.others),
        )
    } else {
        format!(
            "THE REHEARSAL FAILED: what the phone received differs from the backup in {}.",
            counted(bad, "place")
        )
    });
    if options.depth == Depth::Quick && compared.is_same() {
        lines.push(
            "  The backup itself was not checked for altered bytes: leave out --quick-check to do \
            that."
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
        lines.push(
            "  hint: run `idev-backup verify --deep`; if the backup is whole, please report this"
                .to_owned(),
        );
    }
    for problem in &restored.problems {
        lines.push(format!("  problem: {problem}"));
    }
    lines.push(
        "  A real phone may still refuse (Find My, space, iOS version): connect it and check with \
        `--dry-run`."
            .to_owned(),
    );
    lines
}
