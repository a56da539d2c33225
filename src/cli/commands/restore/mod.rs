//! `idev-backup restore`

mod consent;
mod fetch;
mod rehearse;
mod what;

use std::io::IsTerminal;
use std::path::Path;
use std::slice;
use std::time::Duration;

use clap::Args;
use idev_backup::device::connector::Connector;
use idev_backup::doctor::Level;
use idev_backup::history::list::Of;
use idev_backup::reader::password_check;
use idev_backup::reader::passwords::Known;
use idev_backup::restore::subject::Source;
use idev_backup::restore::{self, Held, Options, Report, preflight};
use idev_backup::verify::Depth;
use serde::Serialize;

use self::fetch::Fetched;
use self::what::WhatArgs;
use crate::cli::args::anywhere::FromArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::NamedArgs;
use crate::cli::args::value_parsers::{self, PATIENCE};
use crate::cli::failure::Failure;
use crate::cli::render::doctor::{self as render, show};
use crate::cli::render::log;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch, ticking};
use crate::cli::render::restore::{summary, warnings};
use crate::cli::{exit, hints};

/// Longest time that `--wait` waits for the phone: a reboot after a restore takes minutes, because
/// the phone migrates its data.
const WAIT_BACK: Duration = Duration::from_secs(20 * 60);
/// Restore a backup to a phone, and overwrite what is on it
///
/// Example:  idev-backup restore latest --dry-run
///           idev-backup restore latest
///
/// `--dry-run` shows first what prevents the restore. `--rehearse` restores to a simulated phone.
/// A restore checks the backup, shows what it will overwrite, and asks for confirmation.
/// It never writes to the backup itself.
///
/// With `--dry-run`: exit code 0: all is well. 3: there are warnings. 1: there is a problem.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Restore {
    #[command(flatten)]
    read: NamedArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// `--device` was typed: a variable or the config file names a phone for any command, and not
    /// one to be overwritten by this.
    #[arg(skip)]
    pub(crate) device_is_named: bool,
    /// Show what would happen: check the backup, versions, space, Find My and what will be missing,
    /// but change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Restore to a simulated phone, and compare every byte that it received with the backup
    #[arg(long, conflicts_with_all = ["dry_run", "wait", "trace"])]
    pub(crate) rehearse: bool,
    /// Skip the confirmation. To restore to a different phone, also pass --device
    #[arg(long, short)]
    yes: bool,
    /// Create the store if it does not exist, for a backup of a repository [default: only in a
    /// terminal]
    #[arg(long)]
    new_store: bool,
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    what: WhatArgs,
    /// Do not restart the phone at the end; nothing from the backup appears before a restart
    #[arg(long)]
    no_reboot: bool,
    /// Wait until the phone is back after its restart
    #[arg(long, conflicts_with = "no_reboot")]
    wait: bool,
    /// Read and decrypt every byte of the backup before anything is sent; without this option, the
    /// contents are compared with the recorded hashes while they are sent
    #[arg(long, conflicts_with = "quick_check")]
    check_first: bool,
    /// Check only the names and sizes in the backup, not every byte
    #[arg(long)]
    quick_check: bool,
    /// Do it anyway: restore a damaged backup if only the contents of files are altered, which
    /// phones do not notice
    #[arg(long)]
    force: bool,
    /// Give up if the phone sends nothing for this long
    #[arg(long, value_name = "TIME", default_value = PATIENCE, value_parser = value_parsers::patience)]
    patience: Duration,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct DryRun<'a> {
    /// Path of the backup that was checked.
    path: String,
    #[serde(flatten)]
    report: &'a render::Report,
}

impl Restore {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let done = self.done(&watch);
        watch.finish();
        done.unwrap_or_else(|e| output::failure(&e, None, self.output.json))
    }

    fn done(&self, watch: &Watch<'_>) -> Result<u8, Failure> {
        let named = if self.from.is_repository() {
            match fetch::fetch(self, watch)? {
                Fetched::Here(named) => named,
                Fetched::Lists(lists, transfer) => {
                    let mut options = self.options(lists.folder())?;
                    options.transfer = Some(transfer);
                    let path = lists.source().name();
                    return self.dry_run(lists.folder(), path, &options, watch);
                }
            }
        } else {
            let phone = self.device.device.as_deref();
            self.read.find(phone.map_or(Of::Any, Of::Preferably))?
        };
        // Take the lock before showing the backup, and keep it while the user decides: a backup
        // that begins meanwhile would replace the data that the user agreed to restore. A dry run
        // asks nothing and needs no lock.
        let held = if self.dry_run {
            None
        } else {
            Some(restore::hold_named(&named)?)
        };
        let folder = named.folder;
        let options = self.options(&folder)?;
        if let (true, Some(held)) = (self.rehearse, &held) {
            return rehearse::run(held, &folder, &options, self.output.style(), watch);
        }
        let Some(held) = held else {
            let path = folder.display().to_string();
            return self.dry_run(&folder, path, &options, watch);
        };
        let connector = self.connector.connector()?;
        self.restore(&held, &connector, &folder, &options, watch)
    }

    /// Runs the preflight, and reports it for the backup at `path`.
    fn dry_run(
        &self,
        folder: &Path,
        path: String,
        options: &Options,
        watch: &Watch<'_>,
    ) -> Result<u8, Failure> {
        let connector = self.connector.connector()?;
        let wanted = self.device.device.as_deref();
        let phone = connector.phone(wanted).map_err(restore::Error::from);
        let report = restore::dry_run(&connector, phone, folder, options, watch)?;
        let report = render::Report::new(report, hints::before_restore);
        watch.finish();
        if self.output.json {
            let report = &report;
            output::object("dry_run", None, &DryRun { path, report });
        } else {
            show(&report)
        }
        Ok(match report.level {
            Level::Ok => exit::DONE,
            Level::Warning => exit::DONE_WITH_PROBLEMS,
            Level::Problem => exit::FAILED,
        })
    }

    fn restore(
        &self,
        held: &Held,
        connector: &Connector,
        folder: &Path,
        options: &Options,
        watch: &Watch<'_>,
    ) -> Result<u8, Failure> {
        let phone = connector.phone(self.device.device.as_deref())?;
        let seen = restore::consider(connector, &phone, folder, options, watch)?;
        let obstacles = preflight::obstacles(&seen.lines);
        if !obstacles.is_empty() {
            return Err(restore::Error::NotReady(obstacles).into());
        }
        if self.yes {
            consent::vouched(&seen, self.device_is_named)?;
            if self.output.style() == Style::People {
                warnings(&seen).iter().for_each(|line| output::tell(line));
            }
        } else {
            consent::agrees(&seen, options, || connector.token.cancelled())?
        }
        let report = ticking(slice::from_ref(watch), || {
            restore::restore(held, connector, &phone, folder, options, watch)
        })?;
        watch.finish();
        let restored = format!(
            "Restored {} to {}",
            report.source.path, report.target.facts.name
        );
        log::add(&restored, log::Source::Log);
        match self.output.style() {
            Style::Quiet => {}
            Style::Json => {
                let advised = |line| render::Line::new(line, hints::before_restore);
                let restored = Restored {
                    report: &report,
                    only: &options.only,
                    lines: seen.lines.iter().map(advised).collect(),
                };
                output::object("restored", Some(phone.udid.as_str()), &restored);
            }
            Style::People => (summary(&report, options).iter()).for_each(|line| output::line(line)),
        }
        Ok(if report.problems.is_empty() {
            exit::DONE
        } else {
            exit::DONE_WITH_PROBLEMS
        })
    }

    /// Builds the restore options. Asks for the password only if the backup is encrypted.
    fn options(&self, folder: &Path) -> Result<Options, Failure> {
        let source = Source::look(folder)?;
        let password = if !source.encrypted {
            None
        } else if self.dry_run && !std::io::stdin().is_terminal() {
            self.read.given_password()?
        } else {
            password_check::password_of(folder, self.read.password())?.map(Known)
        };
        Ok(Options {
            reboot: !self.no_reboot,
            wait_back: self.wait.then_some(WAIT_BACK),
            depth: if self.quick_check {
                Depth::Quick
            } else {
                Depth::Deep
            },
            compare_while_sending: !self.check_first && !self.rehearse,
            force: self.force,
            password,
            stay_awake: true,
            silence_max: self.patience,
            ..self.what.options()
        })
    }
}

/// The final `--json` object.
#[derive(Serialize)]
struct Restored<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Patterns given with `--only`.
    only: &'a [String],
    /// Findings of the preflight checks, as in a dry run.
    lines: Vec<render::Line>,
}
