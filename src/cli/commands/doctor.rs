//! `idev-backup doctor`

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use idev_backup::doctor::computer::Places;
use idev_backup::doctor::{Level, Options, Repository, Storage, check_schedule, examine};
use idev_backup::repository::Location;

use super::explain::explain;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::folders;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::CopiesArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::args::value_parsers::topic;
use crate::cli::failure::Failure;
use crate::cli::render::doctor::{Line, Report, show};
use crate::cli::render::output;
use crate::cli::{exit, hints};

/// Time limit for all answers of a phone or a disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Find out what prevents the next backup, or explain an error
///
/// Checks usbmuxd, USB, trust, the phone, the disk and the store.
/// Changes nothing, and works without a phone, without usbmuxd and without a store.
///
/// Example:  idev-backup doctor
///           idev-backup doctor explain 105
///
/// Exit code 0: all is well. 3: there are warnings. 1: there is a problem. 130: interrupted.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, verbatim_doc_comment)]
pub struct Doctor {
    #[command(subcommand)]
    explain: Option<Explain>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    overdue: OverdueArgs,
    /// Count findings of this topic instead of showing them, and leave them out of the exit code;
    /// several topics with commas, or the option again
    #[arg(long, value_name = "TOPIC", env = "IDEV_BACKUP_DOCTOR_IGNORE", value_delimiter = ',', value_parser = topic)]
    ignore: Vec<String>,
    #[command(flatten)]
    repository: CopiesArgs,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Mistakes in the config file, which is then ignored.
    #[arg(skip)]
    pub(crate) config: Vec<Line>,
}

#[derive(Subcommand)]
enum Explain {
    /// Explain an error code or message of a phone, usbmuxd, Finder, iTunes or idevicebackup2
    ///
    /// Example:  idev-backup doctor explain 'Multiple errors uploading files (MBErrorDomain/104)'
    ///
    /// Exit code 0: explained. 1: not a known error.
    Explain {
        /// The code or the message [default: read standard input]
        #[arg(allow_negative_numbers = true)]
        text: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Doctor {
    /// Returns true if the command explains an error instead of examining the system.
    pub fn explains(&self) -> bool {
        self.explain.is_some()
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        if let Some(Explain::Explain { text, json }) = &self.explain {
            return explain(text, *json);
        }
        let as_json = self.output.json;
        match self.examine() {
            Err(e) => output::failure(&e, None, as_json),
            Ok(report) => {
                if as_json {
                    output::object("doctor", None, &report);
                } else {
                    show(&report);
                }
                match report.level {
                    Level::Ok => exit::DONE,
                    Level::Warning => exit::DONE_WITH_PROBLEMS,
                    Level::Problem => exit::FAILED,
                }
            }
        }
    }

    fn repository(&self) -> Result<Option<Repository>, Failure> {
        let of = |place: Location| Repository {
            location: place.to_string(),
            storage: match (place.folder(), place.scheme()) {
                (Some(folder), _) => Storage::Folder(folder),
                (None, Some("rest")) => Storage::Rest,
                (None, Some("s3" | "b2" | "azure" | "gs")) => Storage::Bucket,
                (None, _) => Storage::Login,
            },
            limit: self.repository.copy_overdue_after,
        };
        Ok(self.repository.place()?.map(of))
    }

    fn examine(&self) -> Result<Report, Failure> {
        let options = Options {
            device: self.device.device.clone(),
            store: self.store.path()?,
            store_is_named: self.store.is_named(),
            repository: self.repository()?,
            age_max: self.overdue.limit(),
            patience: PATIENCE,
            now: SystemTime::now(),
            places: Places::default(),
        };
        let report = examine(&self.connector.connector()?, &options)?;
        let mut report = Report::new(report, hints::concern);
        // The library does not know the config file and the jobs, so add their findings here.
        report.lines.extend(self.config.iter().cloned());
        report.lines.extend(match folders::jobs() {
            Ok(jobs) => check_schedule::judge(&jobs)
                .iter()
                .map(|line| Line::new(line, hints::concern))
                .collect(),
            Err(e) => vec![Line {
                level: Level::Warning,
                topic: "schedule",
                udid: None,
                says: e.to_string(),
                means: None,
                hint: hints::of(&e),
                ignored: false,
            }],
        });
        report.ignore(&self.ignore);
        Ok(report)
    }
}
