//! Reports which contacts `export contacts` wrote.

use idev_backup::base::units::{count, counted};
use idev_backup::export::contacts::Report;

use super::exported::{self, headline};
use crate::cli::render::output;

/// Reports the exported contacts and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.no_pictures.is_none() && report.complete;
    exported::tell("exported", report, (is_good, &report.unread), style, text)
}

fn text(report: &Report) -> Vec<String> {
    let amount = counted(report.people, "contact");
    let mut lines = vec![headline(
        &amount,
        &report.to,
        report.dry_run,
        report.complete,
    )];
    if report.pictures > 0 {
        let have = if report.pictures == 1 { "has" } else { "have" };
        lines.push(format!("  {} {have} a picture.", count(report.pictures)));
    }
    if let Some(why) = &report.no_pictures {
        lines.push(format!("  Some pictures are missing: {why}."));
    }
    lines
}
