//! Reports how a backup ended.

use std::time::Duration;

use idev_backup::automation::policy::Outcome;
use idev_backup::backup;
use idev_backup::backup::create::Report;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::time;
use idev_backup::base::units::{count, counted, duration, size};
use idev_backup::history::list;
use idev_backup::store::Store;
use idev_backup::store::draft::Leftover;
use serde::Serialize;

use crate::cli::exit;
use crate::cli::render::closing::{How, Part};
use crate::cli::render::log::{self, Source};
use crate::cli::render::missing;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::PROBLEMS_SHOWN;

/// A phone in reports.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub udid: &'a str,
    /// The name that distinguishes it from the other phones.
    pub name: &'a str,
    /// The words before each line about it.
    pub prefix: &'a str,
    /// The text by which commands find it, if there are other phones.
    pub selector: Option<&'a str>,
    /// True if one line must suffice, because there are other phones or later backups.
    pub is_brief: bool,
}

/// Reports how a backup ended.
pub fn ended(
    phone: &Named<'_>,
    result: &Result<Outcome, backup::Error>,
    store: &Store,
    style: Style,
) -> Part {
    let Named {
        udid, name, prefix, ..
    } = *phone;
    match result {
        Ok(Outcome::Skipped(why)) => {
            skipped(Some(udid), prefix, why, style);
            Part {
                result: How::NothingToDo,
                ..Part::ended(udid, name, exit::DONE, Some(why.clone()))
            }
        }
        Ok(Outcome::Done(report)) => {
            tell(report, phone, style);
            let files = counted(report.files, "file");
            let text = format!("{prefix}Done: {files} in {}", report.path);
            log::add(&text, Source::Log);
            if report.problems.is_empty() {
                Part::ended(udid, name, exit::DONE, None)
            } else {
                let why = counted(report.problems.len() as u64, "problem");
                Part::ended(udid, name, exit::DONE_WITH_PROBLEMS, Some(why))
            }
        }
        Err(e) => {
            let selector = phone.selector;
            let code = output::backup_failure(prefix, e, udid, selector, style == Style::Json);
            if style != Style::Json {
                received(udid, store, e);
                reassure(udid, store);
            }
            Part::ended(udid, name, code, Some(e.to_string()))
        }
    }
}

#[derive(Serialize)]
struct Skipped<'a> {
    why: &'a str,
}

/// Reports that there was nothing to do, which is not a failure.
pub fn skipped(udid: Option<&str>, name: &str, why: &str, style: Style) {
    match style {
        Style::Quiet => {}
        Style::Json => output::object("skipped", udid, &Skipped { why }),
        Style::People => output::tell(&format!("{name}Nothing to do: {why}.")),
    }
}

/// Reports what an interrupted run has received, and what the next run does with it.
fn received(udid: &str, store: &Store, error: &backup::Error) {
    let kind = error.kind();
    if !matches!(kind, FailureKind::Interrupted | FailureKind::Lost) {
        return;
    }
    let received = udid
        .parse()
        .map_or((0, 0), |udid| Leftover::received(store, &udid));
    output::tell(&match received {
        (0, _) => "  nothing was received".to_owned(),
        (files, bytes) => format!(
            "  received so far: {}, {}; the next run continues with them if the phone allows it",
            counted(files, "file"),
            size(bytes)
        ),
    });
}

/// Reports after a failure that the last backup is still intact. It always is, but users want to
/// see so.
fn reassure(udid: &str, store: &Store) {
    let backups = list::list(store).unwrap_or_default();
    let mut current = backups.iter().filter(|b| udid == b.udid && b.current);
    output::tell(&match current.find(|b| b.complete || b.refused) {
        Some(backup) if backup.refused => format!(
            "  your last backup is untouched, and this user may not read it: {}",
            backup.path
        ),
        Some(backup) => {
            let date = backup.date.as_deref().map(time::when).unwrap_or_default();
            format!("  your last backup ({date}) is untouched: {}", backup.path)
        }
        None => {
            "  there was no backup of this phone before, and what else the store holds is untouched"
                .to_owned()
        }
    });
}

#[derive(Serialize)]
struct Done<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

fn tell(report: &Report, phone: &Named<'_>, style: Style) {
    match style {
        Style::Quiet => {}
        Style::Json => output::json(&Done {
            time: output::now(),
            event: "done",
            report,
        }),
        Style::People if phone.is_brief => brief(report, phone.prefix)
            .iter()
            .for_each(|line| output::line(line)),
        Style::People => summary(report, phone.prefix)
            .iter()
            .for_each(|line| output::line(line)),
    }
}

/// Describes the checks made on the new backup.
fn checked(report: &Report) -> String {
    match (report.listed, report.other_sizes) {
        (None, _) => {
            "the phone's list is encrypted, so no file was compared with it (give the password to check it)"
                .to_owned()
        }
        (Some(_), 0) => "all present and of the right size".to_owned(),
        (Some(_), others) => format!(
            "all present, {} of them with a size that differs from the phone's list",
            count(others)
        ),
    }
}

/// Returns the final summary for people.
fn summary(report: &Report, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let hashes = &report.hashes;
    let read_again = match hashes.read_again {
        0 => String::new(),
        n => format!(", {} read from the disk again", count(n)),
    };
    // The phone's files. Without its list, Apple's own lists count as well.
    let listed = report.listed.unwrap_or(report.files);
    let files = counted(listed, "file");
    let lists = report.files.saturating_sub(listed);
    lines.push(format!(
        "{name}Checked {files}: {}; {} new, {} unchanged{read_again}.",
        checked(report),
        count(hashes.received.saturating_sub(lists)),
        count(hashes.carried),
    ));
    lines.push(String::new());
    let done = if report.problems.is_empty() {
        "Done".to_owned()
    } else {
        let problems = counted(report.problems.len() as u64, "problem");
        format!("Done, with {problems}")
    };
    lines.push(format!(
        "{name}{done} in {}. {files}, {}; {} new or changed ({}), {} removed.",
        duration(Duration::from_secs_f64(report.seconds.total)),
        size(report.bytes),
        count(report.received_files),
        size(report.received_bytes),
        count(report.removed_files),
    ));
    if !report.contents.is_empty() {
        lines.push(format!("  {}", contents(report)));
    }
    if !report.missing.is_empty() {
        let gaps: Vec<String> = report.missing.iter().map(missing::briefly).collect();
        lines.push(format!(
            "  Missing: {}. `idev-backup info` explains.",
            gaps.join("; ")
        ));
    }
    if report.encrypted {
        lines.push(encrypted(report).to_owned());
    }
    for shrunk in &report.shrunk {
        lines.push(format!("  MUCH SMALLER: {}", missing::shrunk(shrunk)));
    }
    for problem in report.problems.iter().take(PROBLEMS_SHOWN) {
        lines.push(format!("  problem: {problem}"));
    }
    if report.problems.len() > PROBLEMS_SHOWN {
        let more = (report.problems.len() - PROBLEMS_SHOWN) as u64;
        let more = counted(more, "more problem");
        lines.push(format!("  and {more}; report.json has them all"));
    }
    lines.push(format!("  {}{}", report.path, older(report)));
    lines
}

/// Returns the final summary in one line, and one more for each finding that asks for attention.
fn brief(report: &Report, prefix: &str) -> Vec<String> {
    let problems = match report.problems.len() as u64 {
        0 => String::new(),
        problems => format!(" with {}", counted(problems, "problem")),
    };
    let mut lines = vec![format!(
        "{prefix}backed up{problems} in {}. {}, {}; {} new or changed ({}).",
        duration(Duration::from_secs_f64(report.seconds.total)),
        counted(report.listed.unwrap_or(report.files), "file"),
        size(report.bytes),
        count(report.received_files),
        size(report.received_bytes),
    )];
    if report.password_opens == Some(false) {
        lines.push(format!("{prefix}problem: {}", encrypted(report).trim()));
    }
    let shrunk = report.shrunk.iter();
    lines.extend(shrunk.map(|one| format!("{prefix}MUCH SMALLER: {}", missing::shrunk(one))));
    lines
}

/// Returns the largest kinds of data, in one line.
fn contents(report: &Report) -> String {
    const NAMED: usize = 4;
    let mut amounts = report.contents.clone();
    amounts.sort_by_key(|amount| std::cmp::Reverse(amount.bytes));
    let named = amounts.iter().take(NAMED);
    let mut parts: Vec<String> = named
        .map(|amount| format!("{} {}", amount.kind.words(), size(amount.bytes)))
        .collect();
    let rest: u64 = amounts.iter().skip(NAMED).map(|amount| amount.bytes).sum();
    if rest > 0 {
        parts.push(format!("other {}", size(rest)));
    }
    parts.join(" · ")
}

fn encrypted(report: &Report) -> &'static str {
    match report.password_opens {
        Some(true) => "  The backup is encrypted, and the password opens it.",
        Some(false) => "  The backup is encrypted, and the password DOES NOT OPEN it.",
        None => {
            "  The backup is encrypted. `idev-backup encryption check` confirms that you know its password."
        }
    }
}

fn older(report: &Report) -> String {
    match (report.older, report.dropped.len() as u64) {
        (0, 0) => String::new(),
        (older, 0) => format!("   {}", counted(older, "older snapshot")),
        (older, dropped) => format!(
            "   {}; {} dropped",
            counted(older, "older snapshot"),
            count(dropped)
        ),
    }
}
