//! Reports how a backup ended.

use std::time::Duration;

use idev_backup::automation::policy::Outcome;
use idev_backup::backup;
use idev_backup::backup::create::Report;
use idev_backup::base::time;
use idev_backup::base::units::{count, counted, duration, size};
use idev_backup::history::list;
use idev_backup::store::Store;
use serde::Serialize;

use crate::cli::exit;
use crate::cli::render::log;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::PROBLEMS_SHOWN;

/// Reports how a backup ended, and returns its exit code.
pub fn ended(
    udid: Option<&str>,
    name: &str,
    result: &Result<Outcome, backup::Error>,
    store: &Store,
    style: Style,
) -> u8 {
    match result {
        Ok(Outcome::Skipped(why)) => {
            skipped(udid, name, why, style);
            exit::DONE
        }
        Ok(Outcome::Done(report)) => {
            tell(report, name, style);
            let files = counted(report.files, "file");
            log::add(&format!("{name}Done: {files} in {}", report.path));
            if report.problems.is_empty() {
                exit::DONE
            } else {
                exit::DONE_WITH_PROBLEMS
            }
        }
        Err(e) => {
            let code = output::backup_failure(name, e, udid, style == Style::Json);
            reassure(udid, store, style);
            code
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

/// Reports after a failure that the last backup is still intact. It always is, but users want to
/// see so.
fn reassure(udid: Option<&str>, store: &Store, style: Style) {
    if style == Style::Json {
        return;
    }
    let backups = list::list(store).unwrap_or_default();
    let mut current = backups
        .iter()
        .filter(|b| udid == Some(b.udid.as_str()) && b.current);
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

fn tell(report: &Report, name: &str, style: Style) {
    match style {
        Style::Quiet => {}
        Style::Json => output::json(&Done {
            time: output::now(),
            event: "done",
            report,
        }),
        Style::People => summary(report, name)
            .iter()
            .for_each(|line| output::line(line)),
    }
}

/// Describes the checks made on the new backup.
fn checked(report: &Report) -> String {
    match (report.listed, report.other_sizes) {
        (None, _) => "none of which was compared with the phone's list: that is encrypted, and without the password nobody knows \
             whether a file is missing"
            .to_owned(),
        (Some(_), 0) => "all there and of the right size".to_owned(),
        (Some(_), others) => format!(
            "all there, {} of them with another size than the phone's list says",
            count(others)
        ),
    }
}

/// Returns the final summary for people.
fn summary(report: &Report, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let time = |seconds: f64| duration(Duration::from_secs_f64(seconds));
    let hashes = &report.hashes;
    let read_again = match hashes.read_again {
        0 => String::new(),
        n => format!(", {} read from the disk once more", count(n)),
    };
    lines.push(format!(
        "{name}Checked: {}, {}; {} hashed while received, {} unchanged since they were{read_again}.",
        counted(report.files, "file"),
        checked(report),
        count(hashes.received),
        count(hashes.carried),
    ));
    lines.push(String::new());
    let done = if report.problems.is_empty() {
        "Done".to_owned()
    } else {
        format!(
            "Done, with {}",
            counted(report.problems.len() as u64, "problem")
        )
    };
    lines.push(format!(
        "{name}{done} in {}. {}, {}; {} new or changed ({}), {} gone.",
        time(report.seconds.total),
        counted(report.files, "file"),
        size(report.bytes),
        count(report.received_files),
        size(report.received_bytes),
        count(report.removed_files),
    ));
    for amount in &report.contents {
        let words = amount.kind.words();
        let files = counted(amount.files, "file");
        lines.push(format!("  {words:<34}{:>9}  {files}", size(amount.bytes)));
    }
    if report.encrypted {
        lines.push(
            match report.password_opens {
                Some(true) => "  It is encrypted, and the password opens this backup.",
                Some(false) => "  It is encrypted, and the password DOES NOT OPEN it.",
                None => {
                    "  It is encrypted. Whether you have its password tells `idev-backup encryption check latest`."
                }
            }
            .to_owned(),
        );
    } else {
        lines.push(
            "  Not in it, since backups of this phone are not encrypted: passwords, Health, Home, Wi-Fi settings, Safari \
             and call history."
                .to_owned(),
        );
    }
    let nor = if report.encrypted {
        "Not in it:"
    } else {
        "Nor is"
    };
    lines.push(format!(
        "  {nor} what iCloud Photos keeps only in the cloud, and what some apps leave out of backups."
    ));
    lines.push(format!(
        "  The phone looked for changes for {}, sent for {}, and arranged and checked for {}.",
        time(report.seconds.scan),
        time(report.seconds.receive),
        time(report.seconds.finish),
    ));
    for problem in report.problems.iter().take(PROBLEMS_SHOWN) {
        lines.push(format!("  problem: {problem}"));
    }
    if report.problems.len() > PROBLEMS_SHOWN {
        let more = (report.problems.len() - PROBLEMS_SHOWN) as u64;
        lines.push(format!(
            "  and {}; report.json names them all",
            counted(more, "other problem")
        ));
    }
    let older = match (report.older, report.dropped.len() as u64) {
        (0, 0) => String::new(),
        (older, 0) => format!("   older: {}", counted(older, "snapshot")),
        (older, dropped) => format!(
            "   older: {}; {} dropped",
            counted(older, "snapshot"),
            counted(dropped, "snapshot")
        ),
    };
    lines.push(format!("  {}{older}", report.path));
    lines
}
