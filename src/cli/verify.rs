//! `idev-backup verify`

use clap::Args;
use idev_backup::jobs::list;
use idev_backup::jobs::verify::{self, Options, Outcome, Report};
use idev_backup::store::Store;
use idev_backup::units::{counted, size};

use super::progress::Show;
use super::{OutputArgs, StoreArgs, exit, output, progress};

/// Check that a backup is whole: ours, Finder's, iTunes' or any other program's.
///
/// Example:  idev-backup verify ~/Backups/00008130-001A2B3C4D5E6F70
///
/// Exit code 0: whole. 3: whole, with remarks. 1: damaged, or it could not be checked.
#[derive(Args)]
pub struct Verify {
    /// The backup's folder; or in the store: `latest`, a phone, a time, or the beginning of either
    backup: Option<String>,
    /// Check names and sizes only, without reading every byte
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Verify {
    /// Runs it.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let checked = self.store.path().and_then(|path| {
            // Needed only where the backup is not named by its path.
            let store = Store::open(&path);
            let folder = list::find(store, self.backup.as_deref())?;
            let options = Options {
                read_all: !self.quick,
                ..Options::default()
            };
            verify::verify(&folder, &options, &watch)
        });
        watch.finish();
        match checked {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(report) => tell(&report, self.output.style()),
        }
    }
}

/// Tells what was found, and answers the exit code.
pub fn tell(report: &Report, style: progress::Style) -> u8 {
    let code = match report.outcome {
        Outcome::Whole => exit::DONE,
        Outcome::WholeWithRemarks => exit::DONE_WITH_PROBLEMS,
        Outcome::Damaged => exit::FAILED,
    };
    match style {
        progress::Style::Json => output::object("verified", None, report),
        progress::Style::Quiet if report.outcome == Outcome::Whole => {}
        _ => text(report).iter().for_each(|line| output::line(line)),
    }
    code
}

fn text(report: &Report) -> Vec<String> {
    const SHOWN_MAX: usize = 20;
    let mut lines = vec![match report.outcome {
        Outcome::Damaged => format!(
            "DAMAGED. {} of {} {} not what {} should be.",
            report.damage,
            counted(report.files.max(report.listed.unwrap_or(0)), "file"),
            if report.damage == 1 { "is" } else { "are" },
            if report.damage == 1 { "it" } else { "they" },
        ),
        _ => format!(
            "WHOLE. {}, {}, are what they should be.",
            counted(report.files, "file"),
            size(report.bytes)
        ),
    }];
    lines.push(match (report.listed, report.encrypted) {
        (Some(listed), _) => {
            format!(
                "  The phone's list names {}; each was looked for by name and size.",
                counted(listed, "file")
            )
        }
        (None, true) => {
            "  It is encrypted: the phone's own list of files cannot be read without the password."
                .to_owned()
        }
        (None, false) => "  The phone's own list of files could not be read.".to_owned(),
    });
    lines.push(match (report.has_sums, report.hashed) {
        (true, 0) => {
            "  Bytes were not read; there is a list of hashes to compare them with.".to_owned()
        }
        (true, hashed) => format!(
            "  Every byte of {} was read and compared with what was received.",
            counted(hashed, "file")
        ),
        (false, _) => {
            "  There is no list of hashes, so altered bytes cannot be found out.".to_owned()
        }
    });
    for finding in report.findings.iter().take(SHOWN_MAX) {
        let name = match (&finding.domain, &finding.relative_path) {
            (Some(domain), Some(path)) => format!("{domain}  {path}  ({})", finding.file),
            _ => finding.file.clone(),
        };
        lines.push(format!(
            "  {:<11} {name}: {}",
            finding.wrong.word(),
            finding.detail
        ));
    }
    let all = report.damage + report.remarks;
    if all > SHOWN_MAX as u64 {
        lines.push(format!(
            "  ... and {} more; --json lists up to 1,000",
            all - SHOWN_MAX as u64
        ));
    }
    if report.outcome == Outcome::Damaged {
        lines.push("  hint: `idev-backup list` shows older snapshots; a new backup: `idev-backup create --full`".to_owned());
    }
    lines
}
