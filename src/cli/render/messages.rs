//! Reports which messages `export messages` wrote.

use idev_backup::base::units::{count, counted, size};
use idev_backup::export::messages::Report;

use super::extract::{problems, renamed, there};
use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::unread::tell_unread;

/// Reports the exported messages and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0
        && report.undecodable == 0
        && report.damage.count == 0
        && report.no_names.is_none()
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
    let amount = format!(
        "{} in {}",
        counted(report.messages, "message"),
        counted(report.chats, "conversation")
    );
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would export {amount} into {}.", report.to),
        (false, true) => format!("Exported {amount} into {}.", report.to),
        (false, false) => format!("STOPPED. Exported {amount} into {}.", report.to),
    }];
    if let Some(why) = &report.no_names {
        lines.push(format!("  The names of people are not known: {why}."));
    }
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
    ] {
        if number > 0 {
            let words = if number == 1 { one } else { many };
            lines.push(format!("  {} {words}", count(number)));
        }
    }
    for damage in &report.damage.first {
        let chat = damage
            .chat
            .as_deref()
            .map(|chat| format!("{}: ", output::one_line(chat)));
        let chat = chat.unwrap_or_default();
        lines.push(format!("  Messages are missing: {chat}{}.", damage.why));
    }
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    lines
}
