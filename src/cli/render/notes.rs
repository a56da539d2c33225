//! Reports which notes `export notes` wrote.

use idev_backup::base::units::counted;
use idev_backup::export::notes::Report;

use super::exported::{self, headline, numbers};
use super::extract::{problems, renamed, there};
use crate::cli::render::output;

/// Reports the exported notes and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0
        && report.undecodable == 0
        && report.damage.count == 0
        && report.complete;
    exported::tell("exported", report, (is_good, &report.unread), style, text)
}

fn text(report: &Report) -> Vec<String> {
    let amount = counted(report.notes, "note");
    let mut lines = vec![headline(
        &amount,
        &report.to,
        report.dry_run,
        report.complete,
    )];
    let files = &report.attachments;
    lines.extend(exported::files("Attachments", files.exported, files.bytes));
    lines.extend(there(files.there));
    lines.extend(numbers([
        (
            files.missing,
            "attachment is not in the backup.",
            "attachments are not in the backup.",
        ),
        (
            report.locked,
            "note is locked with a password; its text is encrypted.",
            "notes are locked with a password; their text is encrypted.",
        ),
        (
            report.deleted,
            "note was recently deleted; it is marked.",
            "notes were recently deleted; they are marked.",
        ),
        (
            report.undecodable,
            "note or table cannot be decoded; it is marked.",
            "notes or tables cannot be decoded; they are marked.",
        ),
    ]));
    for damage in &report.damage.first {
        lines.push(match damage.note.as_deref() {
            Some(note) => format!("  {}: {}.", output::one_line(note), damage.why),
            None => format!("  Notes are missing: {}.", damage.why),
        });
    }
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    lines
}
