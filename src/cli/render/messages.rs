//! Reports which messages `export messages` wrote.

use idev_backup::base::units::counted;
use idev_backup::export::messages::Report;

use super::exported::{self, headline, numbers};
use super::extract::{problems, renamed, there};
use crate::cli::render::output;

/// Reports the exported messages and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0
        && report.undecodable == 0
        && report.damage.count == 0
        && report.doubtful.count == 0
        && report.no_names.is_none()
        && report.complete;
    exported::tell("exported", report, (is_good, &report.unread), style, text)
}

fn text(report: &Report) -> Vec<String> {
    let amount = format!(
        "{} in {}",
        counted(report.messages, "message"),
        counted(report.chats, "conversation")
    );
    let mut lines = vec![headline(
        &amount,
        &report.to,
        report.dry_run,
        report.complete,
    )];
    if let Some(why) = &report.no_names {
        lines.push(format!("  The names of people are not known: {why}."));
    }
    let files = &report.attachments;
    lines.extend(exported::files("Attachments", files.exported, files.bytes));
    lines.extend(there(files.there));
    lines.extend(numbers([
        (
            files.only_in_icloud,
            "attachment is only in iCloud.",
            "attachments are only in iCloud.",
        ),
        (
            files.missing,
            "attachment is not in the backup.",
            "attachments are not in the backup.",
        ),
        (
            report.deleted,
            "message was recently deleted; it is marked.",
            "messages were recently deleted; they are marked.",
        ),
        (
            report.undecodable,
            "message cannot be decoded; it is marked.",
            "messages cannot be decoded; they are marked.",
        ),
    ]));
    for (parts, what) in [
        (&report.damage, "Messages are missing"),
        (&report.doubtful, "Doubtful"),
    ] {
        for part in &parts.first {
            let chat = part.chat.as_deref().map(output::one_line);
            let chat = chat.map_or_else(String::new, |chat| format!("{chat}: "));
            lines.push(format!("  {what}: {chat}{}.", part.why));
        }
    }
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    lines
}
