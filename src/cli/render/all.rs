//! Reports what `export all` wrote: a table with a row for each kind.

use idev_backup::base::units::{count, counted};
use idev_backup::export::all::{Report, Row};

use super::exported;
use crate::cli::render::output;
use crate::cli::render::table::table;

/// Reports the exported kinds and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.is_good();
    exported::tell("exported", report, (is_good, &report.unread), style, text)
}

fn text(report: &Report) -> Vec<String> {
    let kinds = report.kinds.iter().filter(|row| is_there(row)).count();
    let amount = counted(kinds as u64, "kind");
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would export {amount} of content into {}.", report.to),
        (false, true) => format!(
            "Exported {amount} of content into {}; open index.html there.",
            report.to
        ),
        (false, false) => format!("STOPPED. Exported {amount} of content into {}.", report.to),
    }];
    let heads = [
        "",
        "EXPORTED",
        "DOUBTFUL",
        "IN ICLOUD",
        "MISSING",
        "PROBLEMS",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for row in report.kinds.iter().filter(|row| is_there(row)) {
        let entries = row.exported.first().map_or(0, |one| one.count);
        let number = |number: u64| {
            if number == 0 {
                String::new()
            } else {
                count(number)
            }
        };
        rows.push(vec![
            row.title(),
            count(entries),
            number(row.undecodable),
            number(row.only_in_icloud),
            number(row.missing),
            number(row.problems),
        ]);
    }
    lines.extend(table(&rows).into_iter().map(|line| format!("  {line}")));
    for row in &report.kinds {
        let title = row.title();
        for (word, why) in [("not there", &row.absent), ("FAILED", &row.failed)] {
            if let Some(why) = why {
                lines.push(format!("  {title}: {word}: {}", output::one_line(why)));
            }
        }
        for note in &row.notes {
            lines.push(format!("  {title}: {}", output::one_line(note)));
        }
    }
    lines
}

fn is_there(row: &Row) -> bool {
    row.absent.is_none() && row.failed.is_none()
}
