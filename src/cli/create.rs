//! `idev-backup create`

use std::time::Duration;

use clap::Args;
use idev_backup::jobs::create::{self, Kind, Options, Report};
use idev_backup::jobs::phone::Reach;
use idev_backup::jobs::{Error, list};

use idev_backup::store::Store;
use idev_backup::transport::Attached;
use idev_backup::units::{counted, duration, size};
use serde::Serialize;

use super::progress::{Show, Style};
use super::{DeviceArgs, OutputArgs, ReachArgs, StoreArgs, exit, output};

/// Back up a phone: everything the first time, then only what changed.
///
/// Example:  idev-backup create --store /srv/backups
///
/// The backup before stays untouched until the new one is complete and checked; then it becomes a snapshot.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    device: DeviceArgs,
    /// Back up all connected phones at once
    #[arg(long, conflicts_with = "device")]
    all: bool,
    /// Have the phone send everything, whatever is there
    #[arg(long)]
    full: bool,
    /// Older snapshots of the phone that stay
    #[arg(long, value_name = "N", default_value_t = 3)]
    keep: usize,
    /// Leave the list of applications and their icons out of Info.plist
    #[arg(long)]
    no_apps: bool,
    /// Read every byte of the finished backup once more before it counts
    #[arg(long)]
    read_again: bool,
    /// Minutes of silence after which the phone is given up
    #[arg(long, value_name = "MINUTES", default_value_t = 31, value_parser = clap::value_parser!(u64).range(5..=600))]
    patience: u64,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Create {
    /// Runs it.
    pub fn run(&self) -> u8 {
        match self.phones() {
            Ok((reach, store, phones)) => {
                let options = Options {
                    full: self.full,
                    keep: self.keep,
                    apps: !self.no_apps,
                    read_again: self.read_again,
                    silence_max: Duration::from_secs(self.patience * 60),
                    ..Options::default()
                };
                back_up(&reach, &store, &phones, &options, self.output.style())
            }
            Err(e) => output::failure(&e, None, self.output.json),
        }
    }

    fn phones(&self) -> Result<(Reach, Store, Vec<Attached>), Error> {
        let store = Store::open_or_make(&self.store.path()?)?;
        let reach = self.reach.reach()?;
        let phones = if self.all {
            let phones = reach.phones()?;
            if phones.is_empty() {
                return Err(Error::NoDevice {
                    wanted: None,
                    present: Vec::new(),
                });
            }
            phones
        } else {
            vec![reach.phone(self.device.device.as_ref())?]
        };
        Ok((reach, store, phones))
    }
}

/// Backs up phones, each on a thread of its own, and tells what came of it.
pub fn back_up(
    reach: &Reach,
    store: &Store,
    phones: &[Attached],
    options: &Options,
    style: Style,
) -> u8 {
    let show = Show::new(style);
    let results: Vec<Option<Result<Report, Error>>> = std::thread::scope(|scope| {
        let run = |phone: &Attached| {
            let name = (phones.len() > 1).then(|| phone.udid.to_string());
            let watch = show.watch(Some(phone.udid.as_str()), name);
            let result = create::create(reach, phone, store, options, &watch);
            watch.finish();
            result
        };
        let threads: Vec<_> = phones
            .iter()
            .map(|phone| scope.spawn(move || run(phone)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok())
            .collect()
    });
    let mut codes = vec![exit::DONE; results.len()];
    for ((result, phone), code) in results.iter().zip(phones).zip(&mut codes) {
        *code = match result {
            // A thread that died has printed why.
            None => exit::FAILED,
            Some(Ok(report)) => {
                tell(report, style);
                if report.problems.is_empty() {
                    exit::DONE
                } else {
                    exit::DONE_WITH_PROBLEMS
                }
            }
            Some(Err(e)) => {
                let code = output::failure(e, Some(phone.udid.as_str()), style == Style::Json);
                reassure(e, store, style);
                code
            }
        };
    }
    exit::worst(&codes)
}

/// After a failure: is the last backup safe? It always is; people want to read it.
fn reassure(error: &Error, store: &Store, style: Style) {
    let said = error.hint().is_some_and(|h| h.contains("untouched"));
    if style != Style::People || said {
        return;
    }
    let backups = list::list(store).unwrap_or_default();
    for backup in backups.iter().filter(|b| b.current && b.complete) {
        let date = backup.date.as_deref().map(output::when).unwrap_or_default();
        output::tell(&format!(
            "  your last backup ({date}) is untouched: {}",
            backup.path
        ));
    }
}

#[derive(Serialize)]
struct Done<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

fn tell(report: &Report, style: Style) {
    match style {
        Style::Quiet => {}
        Style::Json => output::json(&Done {
            time: output::now(),
            event: "done",
            report,
        }),
        Style::People => summary(report).iter().for_each(|line| output::line(line)),
    }
}

/// The last lines, for people.
fn summary(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let time = |seconds: f64| duration(Duration::from_secs_f64(seconds));
    let hashes = &report.hashes;
    lines.push(format!(
        "Checked: {}, all there and of the right size; {} hashed while received, {} unchanged since they were.",
        counted(report.files, "file"),
        idev_backup::units::count(hashes.received + hashes.read_again),
        idev_backup::units::count(hashes.carried),
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
        "{done} in {}. {}, {}; {} new or changed ({}), {} gone.",
        time(report.seconds.total),
        counted(report.files, "file"),
        size(report.bytes),
        idev_backup::units::count(report.received_files),
        size(report.received_bytes),
        idev_backup::units::count(report.removed_files),
    ));
    for pair in report.contents.chunks(2) {
        let cells = pair.iter().map(|a| {
            let words = match a.kind {
                Kind::Passwords if !report.encrypted => "Keychain, locked to this phone",
                kind => kind.words(),
            };
            let what = format!("{} ({})", size(a.bytes), counted(a.files, "file"));
            format!("{words:<34}{what:<28}")
        });
        lines.push(format!("  {}", cells.collect::<String>().trim_end()));
    }
    if report.encrypted {
        lines.push(
            "  It is encrypted: what is in it can be told only with the backup password."
                .to_owned(),
        );
    } else {
        lines.push(
            "  Not in it, since backups of this phone are not encrypted: passwords, Health, Home, Wi-Fi settings, Safari \
             and call history."
                .to_owned(),
        );
    }
    lines.push("  Nor is what iCloud Photos keeps only in the cloud, and what some apps leave out of backups.".to_owned());
    lines.push(format!(
        "  The phone looked for changes for {}, sent for {}, and arranged and checked for {}.",
        time(report.seconds.scan),
        time(report.seconds.receive),
        time(report.seconds.finish),
    ));
    for problem in &report.problems {
        lines.push(format!("  problem: {problem}"));
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
