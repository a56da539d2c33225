//! Reports which records `export calls` and similar commands wrote.

use idev_backup::base::units::{count, counted};
use idev_backup::export::records::Report;

use super::exported::{self, headline, numbers};
use super::extract::{problems, renamed, there};
use crate::cli::render::output;

/// Number of doubtful records that the text names; all are counted.
const NAMED_MAX: usize = 5;

/// Reports the exported records and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.is_good();
    exported::tell("exported", report, (is_good, &report.unread), style, text)
}

/// Returns a clause with a capital letter.
fn sentence(clause: &str) -> String {
    let mut characters = clause.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

fn text(report: &Report) -> Vec<String> {
    let amounts: Vec<String> = report
        .records
        .iter()
        .map(|one| counted(one.count, one.one))
        .collect();
    let amount = match amounts.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    };
    let mut lines = vec![headline(
        &amount,
        &report.to,
        report.dry_run,
        report.complete,
    )];
    if let Some(why) = &report.no_names {
        lines.push(format!("  The names of people are not known: {why}."));
    }
    let files = &report.files;
    lines.extend(exported::files("Recordings", files.exported, files.bytes));
    lines.extend(there(files.there));
    lines.extend(numbers([
        (
            files.only_in_icloud,
            "recording is only in iCloud.",
            "recordings are only in iCloud.",
        ),
        (
            files.missing,
            "recording is not in the backup.",
            "recordings are not in the backup.",
        ),
    ]));
    let doubtful = &report.doubtful;
    if doubtful.count > 0 {
        let one = doubtful.count == 1;
        lines.push(format!(
            "  {} of {} exported and marked:",
            counted(doubtful.count, "doubtful part"),
            if one { "a record is" } else { "records are" }
        ));
        for one in doubtful.first.iter().take(NAMED_MAX) {
            lines.push(format!(
                "    {}: {}",
                output::one_line(&one.record),
                output::one_line(&one.why)
            ));
        }
        let more = doubtful.count.saturating_sub(NAMED_MAX as u64);
        if more > 0 {
            lines.push(format!("    … and {} more; --json names them", count(more)));
        }
    }
    for why in &report.absent {
        lines.push(format!("  {}.", output::one_line(&sentence(why))));
    }
    for why in &report.incomplete {
        lines.push(format!("  Not everything: {}.", output::one_line(why)));
    }
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    lines
}
