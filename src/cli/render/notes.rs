//! Reports which notes `export notes` wrote.

use idev_backup::base::units::{count, counted, size};
use idev_backup::export::notes::Report;

use super::extract::{problems, renamed, there};
use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::unread::tell_unread;

/// Reports the exported notes and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0
        && report.undecodable == 0
        && report.damage.count == 0
        && report.complete;
    match style {
        output::Style::Json => output::object("exported", None, report),
        output::Style::Quiet if is_good => {}
        _ => text(report).iter().for_each(|line| output::finding(line)),
    }
    let code = if is_good {
        exit::DONE
    } else {
        exit::DONE_WITH_PROBLEMS
    };
    tell_unread(&report.unread, code)
}

fn text(report: &Report) -> Vec<String> {
    let amount = counted(report.notes, "note");
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would export {amount} into {}.", report.to),
        (false, true) => format!("Exported {amount} into {}.", report.to),
        (false, false) => format!("STOPPED. Exported {amount} into {}.", report.to),
    }];
    let files = &report.attachments;
    if files.exported > 0 {
        lines.push(format!(
            "  Attachments: {}, {}.",
            counted(files.exported, "file"),
            size(files.bytes)
        ));
    }
    lines.extend(there(files.there));
    for (number, one, many) in [
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
    ] {
        if number > 0 {
            let words = if number == 1 { one } else { many };
            lines.push(format!("  {} {words}", count(number)));
        }
    }
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
