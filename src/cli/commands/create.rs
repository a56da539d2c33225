//! `idev-backup create`

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use idev_backup::automation::policy::{self, Outcome, Plan};
use idev_backup::backup;
use idev_backup::backup::create::{Options, Report};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::secret::Secret;
use idev_backup::base::udid::Udid;
use idev_backup::base::units::{count, counted, duration, parse_span, size};
use idev_backup::device::connector::Connector;
use idev_backup::history::list;
use idev_backup::reader::passwords::Known;
use idev_backup::store::Store;
use idev_backup::transport::Attached;
use serde::Serialize;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::keep::KeepArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::password::PasswordArgs;
use crate::cli::args::store::WritableStoreArgs;
use crate::cli::args::unattended::UnattendedArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::progress::{PROBLEMS_SHOWN, Show, Style, Watch};
use crate::cli::render::{log, output};

/// Back up a phone: everything the first time, then only what changed.
///
/// Example:  idev-backup create --store /srv/backups
///
/// The backup before stays untouched until the new one is complete and checked; then it becomes a
/// snapshot.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    device: DeviceArgs,
    /// Back up all connected phones at once
    #[arg(long)]
    pub(crate) all: bool,
    /// Have the phone send everything, whatever is there
    #[arg(long, env = "IDEV_BACKUP_CREATE_FULL")]
    full: bool,
    #[command(flatten)]
    pub(crate) backup: BackupArgs,
    /// Ask for the backup password first, and try it on the new backup
    #[arg(long)]
    ask_password: bool,
    /// Only if the last backup is older than this: 20h, 3d, 1h30m
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_IF_OLDER_THAN", value_parser = parse_span, help_heading = "Unattended")]
    if_older_than: Option<Duration>,
    /// A phone that is not there is no failure: end with 0
    #[arg(
        long,
        env = "IDEV_BACKUP_CONDITIONS_IF_PRESENT",
        help_heading = "Unattended"
    )]
    if_present: bool,
    /// How long to wait for the phone to be connected
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_WAIT_FOR_DEVICE", default_value = "0s", value_parser = parse_span, help_heading = "Unattended")]
    wait_for_device: Duration,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    pub(crate) store: WritableStoreArgs,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    // Keep this last: options that follow would appear under its headings in the help text.
    #[command(flatten)]
    unattended: UnattendedArgs,
}

/// How a backup is made, whoever asks for it.
#[derive(Args, Clone)]
pub struct BackupArgs {
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Leave the list of applications and their icons out of Info.plist
    #[arg(long, env = "IDEV_BACKUP_CREATE_NO_APPS")]
    no_apps: bool,
    /// Read every byte of the finished backup once more before it counts
    #[arg(long, env = "IDEV_BACKUP_CREATE_READ_AGAIN")]
    read_again: bool,
    /// Minutes of silence after which the phone is given up
    #[arg(long, value_name = "MINUTES", env = "IDEV_BACKUP_CREATE_PATIENCE", default_value_t = 31, value_parser = clap::value_parser!(u64).range(5..=600))]
    patience: u64,
}

impl BackupArgs {
    /// Returns the options in the form that the job takes.
    pub fn options(&self) -> Options {
        Options {
            keep: self.keep.policy(),
            keep_of: self.keep.of_phones(),
            apps: !self.no_apps,
            read_again: self.read_again,
            silence_max: Duration::from_secs(self.patience * 60),
            ..Options::default()
        }
    }
}

impl Create {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let mut plan = self.unattended.plan(self.if_older_than);
        plan.yields |= self.if_present || !self.wait_for_device.is_zero();
        let style = self.output.style();
        let password = self.password();
        // Install the handler only now: during a password prompt, Ctrl-C must end the program at
        // once.
        let token = CancelToken::new(interrupt());
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let prepared = password.and_then(|password| {
            let found = self.phones(&plan, &token, &watch)?;
            Ok((password, found))
        });
        match prepared {
            Ok((password, (connector, store, phones))) => {
                let options = Options {
                    full: self.full,
                    password: password.map(Known),
                    ..self.backup.options()
                };
                back_up(&connector, &store, &phones, &options, &plan, style)
            }
            Err(Failure::Device(e)) if self.if_present && policy::is_absent(&e) => {
                skipped(None, "", &e.to_string(), style);
                exit::DONE
            }
            // The user who interrupted it is watching, so no notification is needed.
            Err(e @ Failure::Interrupted) => output::failure(&e, None, self.output.json),
            Err(e) => {
                policy::tell_failed(e.describe(), self.wanted(), &plan, &token, &watch);
                output::failure(&e, None, self.output.json)
            }
        }
    }

    fn password(&self) -> Result<Option<Secret>, Failure> {
        if self.ask_password {
            self.password.present("Backup password").map(Some)
        } else {
            self.password.given()
        }
    }

    /// Returns the phone that the user named, unless all phones are meant.
    fn wanted(&self) -> Option<&str> {
        self.device.device.as_deref().filter(|_| !self.all)
    }

    fn phones(
        &self,
        plan: &Plan,
        token: &Arc<CancelToken>,
        watch: &Watch<'_>,
    ) -> Result<(Connector, Store, Vec<Attached>), Failure> {
        let store = self.store.open()?;
        let connector = self.connector.connector_with(token.clone())?;
        let wanted = self.wanted();
        let wait = self.wait_for_device;
        let phones = policy::phones(&connector, wanted, self.all, wait, watch);
        if phones.as_ref().is_err_and(policy::is_absent) {
            for phone in known(&store, wanted) {
                policy::tell_overdue(&store, &phone, plan, &connector.token, watch);
            }
        }
        Ok((connector, store, phones?))
    }
}

/// Returns the phones that have backups in the store and match `wanted`.
pub fn known(store: &Store, wanted: Option<&str>) -> Vec<Udid> {
    let snapshots = store.snapshots().unwrap_or_default();
    let matching = wanted.map(|text| list::phones_named(store, text).unwrap_or_default());
    let is_meant = |udid: &&Udid| {
        let matching = matching.as_ref();
        matching.is_none_or(|matching| matching.iter().any(|(other, _)| other == *udid))
    };
    let udids = snapshots
        .iter()
        .filter(|s| s.is_current())
        .map(|s| s.udid());
    udids.filter(is_meant).cloned().collect()
}

/// Backs up phones in parallel, each on its own thread, and reports the results.
pub fn back_up(
    connector: &Connector,
    store: &Store,
    phones: &[Attached],
    options: &Options,
    plan: &Plan,
    style: Style,
) -> u8 {
    let show = Show::new(style);
    let several = phones.len() > 1;
    let watches: Vec<Watch<'_>> = phones
        .iter()
        .map(|phone| {
            let name = several.then(|| phone.udid.to_string());
            show.watch(Some(phone.udid.as_str()), name)
        })
        .collect();
    let results: Vec<Option<Result<Outcome, backup::Error>>> = std::thread::scope(|scope| {
        let run = |phone: &Attached, watch: &Watch<'_>| {
            let run = policy::Run {
                connector,
                store,
                options,
                plan,
                monitor: watch,
            };
            let result = run.back_up(phone);
            watch.finish();
            result
        };
        let threads: Vec<_> = phones
            .iter()
            .zip(&watches)
            .map(|(phone, watch)| scope.spawn(move || run(phone, watch)))
            .collect();
        let (end, ended) = channel::<()>();
        let watches = &watches;
        scope.spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                watches.iter().for_each(Watch::tick);
            }
        });
        let results = threads
            .into_iter()
            .map(|thread| thread.join().ok())
            .collect();
        drop(end);
        results
    });
    let mut codes = vec![exit::DONE; results.len()];
    for ((result, watch), code) in results.iter().zip(&watches).zip(&mut codes) {
        *code = match result {
            // A thread that panicked has printed the reason.
            None => exit::FAILED,
            Some(result) => ended(watch.udid(), &watch.prefix(), result, store, style),
        };
    }
    exit::worst(&codes)
}

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
            let date = backup.date.as_deref().map(output::when).unwrap_or_default();
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
