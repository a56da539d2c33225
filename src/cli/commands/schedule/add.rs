//! `idev-backup schedule add`

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use idev_backup::automation::schedule::job_state::{self, JobFile};
use idev_backup::automation::schedule::jobs::NewJob;
use idev_backup::automation::schedule::{self, Kind, When};

use crate::cli::args::folders;
use crate::cli::args::store::WritableStoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Parses the command line of a job, with the config file that the user named, and returns the
/// options for its store, if the command has any.
pub(crate) type StoreOfJob =
    fn(&[String], Option<&Path>) -> Result<Option<WritableStoreArgs>, Failure>;

/// Options of a new job.
#[derive(Args)]
pub struct Add {
    /// The job's name
    #[arg(default_value = "backup", value_parser = name)]
    name: String,
    #[command(flatten)]
    when: WhenArgs,
    /// The scheduler: cron, systemd, launchd or task [default: the one that the system has]
    #[arg(long, value_name = "KIND")]
    with: Option<Kind>,
    /// Options for `create`, or with --watch for `watch`
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct WhenArgs {
    /// Run every day at this time
    #[arg(long, value_name = "HH:MM", value_parser = |text: &str| format!("daily {text}").parse::<When>())]
    daily: Option<When>,
    /// Run every week on this day at this time, for example "Sun 22:00"
    #[arg(long, value_name = "DAY HH:MM", value_parser = |text: &str| format!("weekly {text}").parse::<When>())]
    weekly: Option<When>,
    /// Run several times a day, for example every 6h or 30m
    #[arg(long, value_name = "TIME", value_parser = |text: &str| format!("every {text}").parse::<When>())]
    every: Option<When>,
    /// Run `watch` from the time you log in
    #[arg(long)]
    watch: bool,
}

impl WhenArgs {
    fn when(&self) -> When {
        let given = self.daily.or(self.weekly).or(self.every);
        given.unwrap_or(When::Always)
    }
}

/// The arguments with which this program runs a job. The path of the job's file follows them.
pub(crate) const RUNNER: [&str; 2] = ["schedule", "run"];

/// Parses the name of a job.
pub fn name(text: &str) -> Result<String, String> {
    schedule::check_name(text).map(|()| text.to_owned())
}

impl Add {
    /// Installs the job and returns the exit code. `config` is the config file named with
    /// `--config`.
    pub fn run(
        &self,
        config: Option<&Path>,
        store_of_job: StoreOfJob,
        as_json: bool,
    ) -> Result<u8, Failure> {
        let command = if self.when.watch { "watch" } else { "create" };
        let words = std::iter::once(command.to_owned()).chain(self.options.iter().cloned());
        let arguments: Vec<String> = words.collect();
        // Report a mistake now, not when the job runs at night.
        if let Some(store) = store_of_job(&arguments, config)? {
            check_store(&store)?;
        }
        let new = NewJob {
            name: &self.name,
            when: self.when.when(),
            with: self.with,
            arguments,
            environment: environment(config),
            runner: &RUNNER,
        };
        let problem = |why: &str| output::tell(&format!("problem: {why}"));
        let job = folders::jobs()?.add(new, problem)?;
        if as_json {
            output::object("schedule", None, &job)
        } else {
            show(&job)
        }
        Ok(exit::DONE)
    }
}

/// Returns the settings in this program's environment that the job needs. Passwords are no part of
/// them.
pub(crate) fn environment(config: Option<&Path>) -> BTreeMap<String, String> {
    let is_setting = |key: &str| {
        key.starts_with("IDEV_BACKUP_") && !key.contains("PASSWORD") && key != job_state::JOB
    };
    let environment = std::env::vars_os().filter_map(|(key, value)| {
        let (key, value) = (key.into_string().ok()?, value.into_string().ok()?);
        is_setting(&key).then_some((key, value))
    });
    let mut environment: BTreeMap<String, String> = environment.collect();
    if let Some(config) = config.and_then(|path| std::path::absolute(path).ok()) {
        let config = config.display().to_string();
        environment.insert("IDEV_BACKUP_CONFIG".to_owned(), config);
    }
    environment
}

fn check_store(store: &WritableStoreArgs) -> Result<(), Failure> {
    if store.is_new() {
        return Err(Failure::Command {
            what: "a job cannot create a store".to_owned(),
            hint: "run `idev-backup create --new-store` once, and add the job without --new-store"
                .to_owned(),
        });
    }
    let path = store.check()?;
    schedule::check_path(&path.display().to_string()).map_err(|what| Failure::Command {
        what,
        hint: "rename the folder".to_owned(),
    })
}

/// Reports a job that was added.
pub(crate) fn show(job: &JobFile) {
    let words = job.arguments.join(" ");
    output::line(&format!(
        "{}: `idev-backup {words}` runs {}, started by {}.",
        job.name, job.when, job.with
    ));
    if job.with == "systemd" {
        output::line(
            "The job runs only while you are logged in; `loginctl enable-linger` lets it always \
            run.",
        );
    }
    if job.when == When::Always.to_string() && ["cron", "task"].contains(&job.with.as_str()) {
        let by = match job.with.as_str() {
            "cron" => "the computer starts",
            _ => "you log in",
        };
        let command = format!("`idev-backup schedule run {}`", job.name);
        output::line(&format!(
            "It starts the next time {by}; to start it now, run {command}."
        ));
    }
    output::line(
        "The phone asks for its passcode each time, which must be entered on the phone: see \
        \"Schedules\" in the guide.",
    );
}
