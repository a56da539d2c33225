//! Reports which files `extract` and `export` wrote.

use idev_backup::base::units::{count, counted, size};
use idev_backup::export::files::Report;
use idev_backup::export::outcome::{Listing, Problem, Renamed, Wrong};

use super::exported;
use crate::cli::render::output;

/// Number of problems, and of renamed files, that are shown.
const SHOWN_MAX: usize = 20;

/// Reports the extracted files and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0 && report.complete;
    exported::tell("extracted", report, (is_good, &report.unread), style, text)
}

fn text(report: &Report) -> Vec<String> {
    let amount = format!("{}, {},", counted(report.files, "file"), size(report.bytes));
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would extract {amount} into {}.", report.to),
        (false, true) => format!("Extracted {amount} into {}.", report.to),
        (false, false) => format!(
            "STOPPED. Extracted {amount} of {} into {}.",
            counted(report.chosen, "file"),
            report.to
        ),
    }];
    lines.extend(there(report.there));
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    let left_out = &report.links_left_out;
    if left_out.count > 0 {
        lines.push(format!(
            "  {} not created, because {} of {}:",
            counted(left_out.count, "link"),
            if left_out.count == 1 {
                "it points out"
            } else {
                "they point out"
            },
            if left_out.count == 1 {
                "its domain"
            } else {
                "their domains"
            },
        ));
        lines.extend(shown(left_out, |link| {
            format!("{}/{} -> {}", link.domain, link.relative_path, link.target)
        }));
    }
    if report.lost_modes {
        lines.push(
            "  The disk does not store permissions, so other users may be able to read the files."
                .to_owned(),
        );
    }
    lines
}

/// Describes the files that were there already.
pub fn there(there: u64) -> Option<String> {
    let was = if there == 1 { "was" } else { "were" };
    (there > 0).then(|| {
        format!(
            "  {} {was} there already, unchanged.",
            counted(there, "file")
        )
    })
}

/// Describes the files with problems.
pub fn problems(problems: &Listing<Problem>) -> Vec<String> {
    if problems.count == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "  {} {} problems:",
        match problems.count {
            1 => "1 file".to_owned(),
            many => format!("{} files", count(many)),
        },
        if problems.count == 1 { "has" } else { "have" },
    )];
    lines.extend(shown(problems, |problem| {
        format!(
            "{:<11} {}  {}: {}",
            problem.wrong.word(),
            problem.domain,
            problem.relative_path,
            problem.detail
        )
    }));
    if problems.first.iter().any(|p| p.wrong == Wrong::Different) {
        lines.push("  hint: --overwrite replaces the files that differ".to_owned());
    }
    lines
}

/// Describes the files that were renamed.
pub fn renamed(renamed: &Listing<Renamed>) -> Vec<String> {
    if renamed.count == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "  {} renamed:",
        match renamed.count {
            1 => "1 file was".to_owned(),
            many => format!("{} files were", count(many)),
        }
    )];
    lines.extend(shown(renamed, |one| {
        format!("{}/{} is {}", one.domain, one.relative_path, one.to)
    }));
    lines
}

fn shown<T>(listing: &Listing<T>, words: impl Fn(&T) -> String) -> Vec<String> {
    let lines = listing.first.iter().take(SHOWN_MAX);
    let mut lines: Vec<String> = lines
        .map(|one| format!("    {}", output::one_line(&words(one))))
        .collect();
    let more = listing.count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!(
            "    ... and {} more; --json lists up to 1,000",
            count(more)
        ));
    }
    lines
}
