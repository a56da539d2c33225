//! `idev-backup schedule`

pub(crate) mod add;
mod list;
mod log;
mod remove;
mod run;
mod status;

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Subcommand};

use self::add::{Add, StoreOfJob, name};
use crate::cli::args::store::StoreArgs;
use crate::cli::render::output;

/// Have the system's scheduler start backups
///
/// Example:  idev-backup schedule add --daily 22:00 -- --all --if-older-than 20h --notify
///
/// The store must exist. A job does not create one, because the disk of the real store may not be
/// mounted.
#[derive(Args)]
pub struct ScheduleCommand {
    #[command(subcommand)]
    what: What,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Add a job, replacing any job of the same name
    Add(Add),
    /// List the jobs
    List,
    /// Remove a job
    Remove {
        /// The job's name
        #[arg(default_value = "backup", value_parser = name)]
        name: String,
    },
    /// Run a job now, as the system's scheduler does
    Run {
        /// The job's name or file
        #[arg(default_value = "backup")]
        job: OsString,
    },
    /// Show what a job printed when it last ran
    ///
    /// A job that no terminal watches prints only problems. Everything else is in its log.
    Log {
        /// The job's name
        #[arg(default_value = "backup", value_parser = name)]
        name: String,
    },
    /// Show when each job ran, how it ended, when it runs next, and how old each phone's last good
    /// backup is
    Status {
        #[command(flatten)]
        store: StoreArgs,
    },
}

impl ScheduleCommand {
    /// Returns true if the command reads the config file. `schedule run` does not: it records how
    /// its command ended even if that command could not read the file.
    pub fn reads_config(&self) -> bool {
        !matches!(self.what, What::Run { .. })
    }

    /// Runs the command and returns its exit code. `config` is the config file named with
    /// `--config`.
    pub fn run(&self, config: Option<&Path>, store_of_job: StoreOfJob) -> u8 {
        let done = match &self.what {
            What::Add(add) => add.run(config, store_of_job, self.json),
            What::List => list::run(self.json),
            What::Remove { name } => remove::run(name, self.json),
            What::Run { job } => run::run(job),
            What::Log { name } => log::run(name, self.json),
            What::Status { store } => status::run(store, self.json),
        };
        done.unwrap_or_else(|e| output::failure(&e, None, self.json))
    }
}
