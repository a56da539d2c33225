//! Reports which contacts `export contacts` wrote.

use idev_backup::base::units::{count, counted};
use idev_backup::export::contacts::Report;

use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::unread::tell_unread;

/// Reports the exported contacts and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.no_pictures.is_none() && report.complete;
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
    let amount = counted(report.people, "contact");
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would export {amount} into {}.", report.to),
        (false, true) => format!("Exported {amount} into {}.", report.to),
        (false, false) => format!("STOPPED. Exported {amount} into {}.", report.to),
    }];
    if report.pictures > 0 {
        let have = if report.pictures == 1 { "has" } else { "have" };
        lines.push(format!("  {} {have} a picture.", count(report.pictures)));
    }
    if let Some(why) = &report.no_pictures {
        lines.push(format!("  Some pictures are missing: {why}."));
    }
    lines
}
