//! Adds jobs and removes them: their files, and what the system's scheduler has of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, iter};

use super::job_state::{Error, JobFile, Jobs, lock_path, log_path, record_path, write};
use super::{Job, Kind, When, install};
use crate::store::disk;

/// Environment variables that a job inherits from the shell in which it was added. Must never
/// include a password.
const INHERITED: [&str; 11] = [
    "HOME",
    "PATH",
    "USBMUXD_SOCKET_ADDRESS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "LANG",
];

/// A job that is to be added.
#[derive(Debug)]
pub struct NewJob<'a> {
    /// The name of the job.
    pub name: &'a str,
    /// The times at which it runs.
    pub when: When,
    /// The scheduler that starts it; `None` for the one that the system has.
    pub with: Option<Kind>,
    /// The command and its options.
    pub arguments: Vec<String>,
    /// Variables of the program that the command needs, beside those that each job inherits. Must
    /// never include a password.
    pub environment: BTreeMap<String, String>,
    /// The arguments with which this program runs a job. The path of the job's file follows them.
    pub runner: &'a [&'a str],
}

impl Jobs {
    /// Installs a job, replacing an older one of its name. If that fails, the older one stays;
    /// `problem` is called if that one may have been lost.
    pub fn add(&self, new: NewJob<'_>, problem: impl Fn(&str)) -> Result<JobFile, Error> {
        let kind = match new.with {
            Some(kind) => kind,
            None => install::detect()?,
        };
        disk::make_private_dirs(&self.folder)?;
        let path = self.path(new.name);
        let folder = std::env::current_dir().map_err(|e| Error::io("find", Path::new("."), e))?;
        let file = JobFile {
            version: 1,
            name: new.name.to_owned(),
            when: new.when.to_string(),
            with: kind.name().to_owned(),
            arguments: new.arguments,
            folder,
            environment: inherited().chain(new.environment).collect(),
        };
        let older = JobFile::read(&path).ok();
        write(&path, &file)?;
        let program = std::env::current_exe();
        let program = program.map_err(|e| Error::io("find", Path::new("idev-backup"), e))?;
        let job = |when| Job {
            name: new.name.to_owned(),
            when,
            command: iter::once(program.display().to_string())
                .chain(new.runner.iter().map(|word| (*word).to_owned()))
                .chain([path.display().to_string()])
                .collect(),
        };
        if let Err(e) = install::install(kind, &job(new.when), &self.places) {
            // Without a scheduler entry the job does not exist. An older job of this name
            // continues unchanged.
            install::discard(kind, new.name, &self.places);
            match &older {
                Some(older) => {
                    write(&path, older)?;
                    if let Err(why) = self.start_again(older, kind, job) {
                        problem(&format!(
                            "perhaps nothing starts the job {} any more: {why}",
                            older.name
                        ));
                    }
                }
                None => drop(fs::remove_file(&path)),
            }
            return Err(e.into());
        }
        // Remove the old scheduler entry only now: at every moment, one entry must start the job.
        if let Some(older) = older.filter(|older| older.with != kind.name())
            && let Err(e) = self.take_back(&older)
        {
            install::remove(kind, new.name, &self.places)?;
            write(&path, &older)?;
            return Err(e);
        }
        Ok(file)
    }

    /// Removes a job, and returns it if its file could be read.
    pub fn remove(&self, name: &str) -> Result<Option<JobFile>, Error> {
        let path = self.path(name);
        let job = match JobFile::read(&path) {
            Ok(job) if job.with.parse::<Kind>().is_ok() => {
                self.take_back(&job)?;
                Some(job)
            }
            Err(e) if !path.exists() => return Err(e),
            // No record is left of the scheduler that starts the job.
            _ => {
                install::remove_wherever(name, &self.places)?;
                None
            }
        };
        let log = log_path(&path);
        let older_log = log.with_extension("log.1");
        for file in [
            path.clone(),
            record_path(&path),
            lock_path(&path),
            log,
            older_log,
        ] {
            disk::remove_if_there(&file).map_err(|e| Error::io("remove", &file, e))?;
        }
        Ok(job)
    }

    /// Reinstalls the previous version of a job after its replacement could not be installed.
    fn start_again(
        &self,
        older: &JobFile,
        tried: Kind,
        job: impl Fn(When) -> Job,
    ) -> Result<(), String> {
        // The other schedulers change a job completely or not at all.
        if older.with != tried.name() || !matches!(tried, Kind::Systemd | Kind::Launchd) {
            return Ok(());
        }
        let when = older.when.parse::<When>()?;
        let installed = install::install(tried, &job(when), &self.places);
        installed.map(drop).map_err(|e| e.to_string())
    }

    /// Removes a job from the scheduler that starts it.
    fn take_back(&self, job: &JobFile) -> Result<(), Error> {
        let kind: Kind = job.with.parse().map_err(|why: String| Error::Newer {
            name: job.name.clone(),
            why,
        })?;
        Ok(install::remove(kind, &job.name, &self.places)?)
    }
}

/// Returns the variables of this program's environment that each job inherits.
fn inherited() -> impl Iterator<Item = (String, String)> {
    let is_set = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    INHERITED.into_iter().filter_map(is_set)
}
