//! `idev-backup schedule`
//!
//! The system's scheduler always runs `idev-backup schedule run FILE`. The file holds the command,
//! its working directory and its environment, so that no scheduler has to quote them. A second file
//! next to it records how the job last ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use idev_backup::automation::policy;
use idev_backup::automation::schedule::{self, Job, Kind, When, install};
use idev_backup::base::time;
use idev_backup::base::units::span;
use idev_backup::history::list;
use idev_backup::store::disk;
use serde::{Deserialize, Serialize};

use super::schedule_run::{Ran, State, lock_path, state_of, state_path};
use super::{create, schedule_health};
use crate::cli::args::folders::home;
use crate::cli::args::store::{StoreArgs, WritableStoreArgs};
use crate::cli::commands::schedule_run;
use crate::cli::failure::Failure;
use crate::cli::render::{output, table};
use crate::cli::{exit, hints};

/// Have the system start backups by itself.
///
/// Example:  idev-backup schedule add --daily 22:00 -- --all --if-older-than 20h --notify
///
/// The store must exist: a job makes no new one, since the disk of the one that is meant may not be
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
    /// Install a job, in the place of an older one of its name
    Add(Add),
    /// The jobs
    List,
    /// Take a job back
    Remove {
        /// Its name
        #[arg(default_value = "backup", value_parser = name)]
        name: String,
    },
    /// Run a job now, as the system does
    Run {
        /// Its name, or its file
        #[arg(default_value = "backup")]
        job: OsString,
    },
    /// When each job ran, how it ended, when it runs next, and how old each phone's last good
    /// backup is
    Status {
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Args)]
struct Add {
    /// What to call it
    #[arg(default_value = "backup", value_parser = name)]
    name: String,
    #[command(flatten)]
    when: WhenArgs,
    /// What starts it: cron, systemd, launchd or task [default: what the system has]
    #[arg(long, value_name = "KIND")]
    with: Option<Kind>,
    /// Options for `create`, or with --watch for `watch`
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct WhenArgs {
    /// Every day at this time
    #[arg(long, value_name = "HH:MM", value_parser = |text: &str| format!("daily {text}").parse::<When>())]
    daily: Option<When>,
    /// Every week on this day at this time, as "Sun 22:00"
    #[arg(long, value_name = "DAY HH:MM", value_parser = |text: &str| format!("weekly {text}").parse::<When>())]
    weekly: Option<When>,
    /// Several times a day, as 6h or 30m
    #[arg(long, value_name = "TIME", value_parser = |text: &str| format!("every {text}").parse::<When>())]
    every: Option<When>,
    /// `watch`, from when you log in
    #[arg(long)]
    watch: bool,
}

impl WhenArgs {
    fn when(&self) -> When {
        let given = self.daily.or(self.weekly).or(self.every);
        given.unwrap_or(When::Always)
    }
}

fn name(text: &str) -> Result<String, String> {
    schedule::check_name(text).map(|()| text.to_owned())
}

/// Contents of a job file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Note {
    version: u32,
    pub(crate) name: String,
    pub(crate) when: String,
    pub(crate) with: String,
    /// The command and its options.
    pub(crate) arguments: Vec<String>,
    /// Working directory in which the job was added, since its options may contain relative paths.
    pub(crate) folder: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
}

/// Environment variables that a job inherits from the shell in which it was added. Must never
/// include a password.
const INHERITED: [&str; 10] = [
    "HOME",
    "PATH",
    "USBMUXD_SOCKET_ADDRESS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "LANG",
];

/// Parses the command line of a job, with the config file that the user named, and returns the
/// options for its store, if the command has any.
pub(crate) type StoreOfJob =
    fn(&[String], Option<&Path>) -> Result<Option<WritableStoreArgs>, Failure>;

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
            What::Add(add) => self.add(add, config, store_of_job),
            What::List => self.list(),
            What::Remove { name } => self.remove(name),
            What::Run { job } => schedule_run::run(job),
            What::Status { store } => self.status(store),
        };
        done.unwrap_or_else(|e| output::failure(&e, None, self.json))
    }

    fn add(
        &self,
        add: &Add,
        config: Option<&Path>,
        store_of_job: StoreOfJob,
    ) -> Result<u8, Failure> {
        let when = add.when.when();
        let command = if add.when.watch { "watch" } else { "create" };
        let words = std::iter::once(command.to_owned()).chain(add.options.iter().cloned());
        let arguments: Vec<String> = words.collect();
        // Report a mistake now, not when the job runs at night.
        if let Some(store) = store_of_job(&arguments, config)? {
            if store.is_new() {
                return Err(Failure::Command {
                    what: "a job makes no new store".to_owned(),
                    hint: "run `idev-backup create --new-store` once, and add the job without --new-store"
                        .to_owned(),
                });
            }
            let path = store.check()?;
            schedule::check_path(&path.display().to_string()).map_err(|what| Failure::Command {
                what,
                hint: "rename that folder".to_owned(),
            })?;
        }
        let kind = match add.with {
            Some(kind) => kind,
            None => install::detect().map_err(told)?,
        };
        let folder = folder()?;
        disk::make_private_dirs(&folder)?;
        let path = folder.join(format!("{}.json", add.name));
        let ours = |key: &str| {
            key.starts_with("IDEV_BACKUP_") && !key.contains("PASSWORD") && key != schedule_run::JOB
        };
        let environment = std::env::vars_os().filter_map(|(key, value)| {
            let (key, value) = (key.into_string().ok()?, value.into_string().ok()?);
            (INHERITED.contains(&key.as_str()) || ours(&key)).then_some((key, value))
        });
        let mut environment: BTreeMap<String, String> = environment.collect();
        if let Some(config) = config.and_then(|path| std::path::absolute(path).ok()) {
            let config = config.display().to_string();
            environment.insert("IDEV_BACKUP_CONFIG".to_owned(), config);
        }
        let note = Note {
            version: 1,
            name: add.name.clone(),
            when: when.to_string(),
            with: kind.name().to_owned(),
            arguments,
            folder: std::env::current_dir().map_err(|e| io("find", Path::new("."), e))?,
            environment,
        };
        let older = read(&path).ok();
        write(&path, &note)?;
        let program =
            std::env::current_exe().map_err(|e| io("find", Path::new("idev-backup"), e))?;
        let job = |when| Job {
            name: add.name.clone(),
            when,
            command: vec![
                program.display().to_string(),
                "schedule".to_owned(),
                "run".to_owned(),
                path.display().to_string(),
            ],
        };
        let places = places()?;
        if let Err(e) = install::install(kind, &job(when), &places).map_err(told) {
            // Without a scheduler entry the job does not exist. An older job of this name
            // continues unchanged.
            install::discard(kind, &add.name, &places);
            match &older {
                Some(older) => {
                    write(&path, older)?;
                    start_again(older, kind, job, &places);
                }
                None => drop(fs::remove_file(&path)),
            }
            return Err(e);
        }
        // Remove the old scheduler entry only now: at every moment, one entry must start the job.
        if let Some(older) = older.filter(|older| older.with != kind.name())
            && let Err(e) = take_back(&older)
        {
            install::remove(kind, &add.name, &places).map_err(told)?;
            write(&path, &older)?;
            return Err(e);
        }
        self.show(&note)
    }

    fn show(&self, note: &Note) -> Result<u8, Failure> {
        if self.json {
            output::object("schedule", None, note);
            return Ok(exit::DONE);
        }
        let words = note.arguments.join(" ");
        output::line(&format!(
            "{}: `idev-backup {words}` runs {}, started by {}.",
            note.name, note.when, note.with
        ));
        if note.with == "systemd" {
            output::line(
                "It runs while you are logged in; `loginctl enable-linger` has it run without.",
            );
        }
        if note.when == When::Always.to_string() && ["cron", "task"].contains(&note.with.as_str()) {
            let by = match note.with.as_str() {
                "cron" => "the computer starts",
                _ => "you log in",
            };
            let command = format!("`idev-backup schedule run {}`", note.name);
            output::line(&format!(
                "It begins when {by} the next time; {command} runs it until then."
            ));
        }
        output::line(
            "A phone asks for its passcode each time, and somebody has to enter it: see \"Unattended\" in the guide.",
        );
        Ok(exit::DONE)
    }

    fn remove(&self, name: &str) -> Result<u8, Failure> {
        let path = folder()?.join(format!("{name}.json"));
        let note = match read(&path) {
            Ok(note) if note.with.parse::<Kind>().is_ok() => {
                take_back(&note)?;
                Some(note)
            }
            Err(e) if !path.exists() => return Err(e),
            // No record is left of the scheduler that starts the job.
            _ => {
                install::remove_wherever(name, &places()?).map_err(told)?;
                None
            }
        };
        for file in [path.clone(), state_path(&path), lock_path(&path)] {
            disk::remove_if_there(&file).map_err(|e| io("remove", &file, e))?;
        }
        if self.json {
            output::object("schedule_removed", None, &note)
        } else {
            output::line(&format!("{name} is removed."))
        }
        Ok(exit::DONE)
    }

    fn list(&self) -> Result<u8, Failure> {
        #[derive(Serialize)]
        struct Jobs {
            jobs: Vec<Note>,
        }
        let jobs = notes_told()?;
        if self.json {
            output::object("schedules", None, &Jobs { jobs });
            return Ok(exit::DONE);
        }
        if jobs.is_empty() {
            output::line("There are no jobs; `idev-backup schedule add --daily 22:00` makes one.");
            return Ok(exit::DONE);
        }
        let heads = ["NAME", "WHEN", "WITH", "COMMAND"].map(str::to_owned);
        let mut rows = vec![heads.to_vec()];
        rows.extend(jobs.into_iter().map(|job| {
            let words = job.arguments.join(" ");
            vec![job.name, job.when, job.with, words]
        }));
        for line in table::table(&rows) {
            output::lines(&line);
        }
        Ok(exit::DONE)
    }

    fn status(&self, store: &StoreArgs) -> Result<u8, Failure> {
        let now = SystemTime::now();
        let zoned = jiff::Timestamp::try_from(now).unwrap_or_default();
        let zoned = zoned.to_zoned(jiff::tz::TimeZone::system());
        let mut jobs = Vec::new();
        let folder = folder()?;
        for note in notes_told()? {
            let (last, state) = state_of(&note, &folder);
            let troubles = schedule_health::troubles(&note, &last, state, &zoned);
            let next = note
                .when
                .parse::<When>()
                .ok()
                .and_then(|when| when.next(&zoned));
            let next = next.map(|next| next.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            jobs.push(Status {
                name: note.name,
                when: note.when,
                last: last.ok().flatten(),
                running: state == State::Running,
                troubles: troubles.into_iter().map(|t| t.says).collect(),
                next,
            });
        }
        let mut phones = Vec::new();
        if let Ok(store) = store.open() {
            for udid in create::known(&store, None) {
                let last = policy::last_good(&store, &udid);
                let snapshot = store.current(&udid)?;
                phones.push(PhoneStatus {
                    name: snapshot.and_then(|s| list::describe(&s).name),
                    udid: udid.to_string(),
                    last_backup: last.map(time::rfc3339),
                    age_seconds: last
                        .and_then(|last| time::age(now, last))
                        .map(|age| age.as_secs()),
                });
            }
        }
        let all = All { jobs, phones };
        if self.json {
            output::object("schedule_status", None, &all)
        } else {
            show_status(&all)
        }
        Ok(exit::DONE)
    }
}

#[derive(Serialize)]
struct Status {
    name: String,
    when: String,
    last: Option<Ran>,
    /// True if the job is running now.
    running: bool,
    next: Option<String>,
    /// Reasons why the job may not run as intended.
    troubles: Vec<String>,
}

#[derive(Serialize)]
struct PhoneStatus {
    udid: String,
    name: Option<String>,
    last_backup: Option<String>,
    /// Age of the last backup; `None` if the clock was wrong, now or then.
    age_seconds: Option<u64>,
}

#[derive(Serialize)]
struct All {
    jobs: Vec<Status>,
    phones: Vec<PhoneStatus>,
}

fn show_status(all: &All) {
    if all.jobs.is_empty() {
        output::line("There are no jobs; `idev-backup schedule add --daily 22:00` makes one.");
    }
    for job in &all.jobs {
        let last = match &job.last {
            None => "has not run yet".to_owned(),
            Some(Ran {
                started,
                exit_code: Some(code),
                ..
            }) => {
                format!("ran {}: {}", time::when(started), exit::words(*code))
            }
            Some(Ran { started, .. }) => {
                let what = if job.running {
                    "runs since"
                } else {
                    "began, and was ended before it could say how:"
                };
                format!("{what} {}", time::when(started))
            }
        };
        let next = job
            .next
            .as_deref()
            .map(|next| format!("; next {}", time::when(next)));
        let next = next.unwrap_or_default();
        output::line(&format!("{} ({}): {last}{next}", job.name, job.when));
        for trouble in &job.troubles {
            output::line(&format!("  warning: {trouble}"));
        }
    }
    for phone in &all.phones {
        let name = phone.name.as_deref().unwrap_or("a phone");
        let last = match (&phone.last_backup, phone.age_seconds) {
            (Some(date), Some(age)) => {
                let age = span(Duration::from_secs(age));
                format!("last good backup {}, {age} old", time::when(date))
            }
            (Some(date), None) => format!(
                "last good backup {}, which lies in the future",
                time::when(date)
            ),
            (None, _) => "no good backup".to_owned(),
        };
        output::line(&output::one_line(&format!(
            "{name} ({}): {last}",
            phone.udid
        )));
    }
}

/// Reinstalls the previous version of a job after its replacement could not be installed.
fn start_again(older: &Note, tried: Kind, job: impl Fn(When) -> Job, places: &install::Places) {
    // The other schedulers change a job completely or not at all.
    if older.with != tried.name() || !matches!(tried, Kind::Systemd | Kind::Launchd) {
        return;
    }
    let when = older.when.parse::<When>();
    let installed = when
        .and_then(|when| install::install(tried, &job(when), places).map_err(|e| e.to_string()));
    if let Err(why) = installed {
        output::tell(&format!(
            "problem: perhaps nothing starts the job {} any more: {why}",
            older.name
        ));
    }
}

fn take_back(note: &Note) -> Result<(), Failure> {
    let kind: Kind = note.with.parse().map_err(|why: String| Failure::Command {
        what: format!(
            "the job {} was made by a newer idev-backup: {why}",
            note.name
        ),
        hint: "use that one".to_owned(),
    })?;
    install::remove(kind, &note.name, &places()?).map_err(told)
}

/// Returns the jobs. Reports those that cannot be read as problems and skips them.
fn notes_told() -> Result<Vec<Note>, Failure> {
    let (found, unread) = notes()?;
    for e in unread {
        output::tell(&format!("problem: {e}"));
        output::tell(&format!("  hint: {}", hints::of(&e).unwrap_or_default()));
    }
    Ok(found)
}

/// Returns the jobs, and an error for each one that cannot be read.
pub(crate) fn notes() -> Result<(Vec<Note>, Vec<Failure>), Failure> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let Ok(entries) = fs::read_dir(folder()?) else {
        return Ok((found, unread));
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let stem = name.strip_suffix(".json").unwrap_or_default();
        if schedule::check_name(stem).is_ok() {
            match read(&path) {
                Ok(note) => found.push(note),
                Err(e) => unread.push(e),
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((found, unread))
}

pub(crate) fn read(path: &Path) -> Result<Note, Failure> {
    let bytes = fs::read(path).map_err(|e| Failure::Command {
        what: format!("there is no such job: cannot read {}: {e}", path.display()),
        hint: "`idev-backup schedule list` shows the jobs".to_owned(),
    })?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::Command {
        what: format!("cannot use {}: {e}", path.display()),
        hint: "take the job away with `idev-backup schedule remove`, and add it anew".to_owned(),
    })
}

pub(crate) fn write(path: &Path, what: &impl Serialize) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(what).unwrap_or_default();
    Ok(disk::write_whole(path, &bytes)?)
}

pub(crate) fn folder() -> Result<PathBuf, Failure> {
    Ok(home()?.1.join("idev-backup").join("schedule"))
}

pub(crate) fn places() -> Result<install::Places, Failure> {
    let user = etcetera::home_dir().map_err(|_| Failure::Command {
        what: "you have no home folder".to_owned(),
        hint: "set HOME".to_owned(),
    })?;
    Ok(install::Places {
        home: user,
        config: home()?.1,
    })
}

pub(crate) fn told(e: install::Error) -> Failure {
    Failure::Command {
        what: e.to_string(),
        hint: e.hint.to_owned(),
    }
}

pub(crate) fn io(doing: &'static str, path: &Path, e: std::io::Error) -> Failure {
    Failure::Store(idev_backup::store::Error::io(doing, path, e))
}
