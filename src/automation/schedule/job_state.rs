//! The files of the jobs that the system starts: what a job runs, how it ended last, and the lock
//! that it holds while it runs.
//!
//! The system's scheduler always runs the program with the path of the job's file. The file holds
//! the command, its working directory and its environment, so that no scheduler has to quote them.
//! A second file next to it records how the job last ended. The system releases the lock when its
//! holder dies for any reason.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::install::{self, Places};
use crate::base::failure_kind::FailureKind;
use crate::store::{self, disk};

/// Environment variable that tells a command that it runs as a job, and names the job's lock.
pub use crate::base::child::JOB;

/// Time to wait for the lock: a process that only checks whether the job is running holds it for a
/// moment.
const PASSING_MAX: Duration = Duration::from_millis(500);

/// The reasons that a job cannot be read, changed or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file of the job cannot be read.
    #[error("this job does not exist: cannot read {}: {cause}", .path.display())]
    NoJob {
        /// The file of the job.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The contents of a job file are invalid.
    #[error("cannot use {}: {cause}", .path.display())]
    Unusable {
        /// The file of the job.
        path: PathBuf,
        /// The mistake in it.
        #[source]
        cause: serde_json::Error,
    },
    /// The record of the last run cannot be read.
    #[error("how it ran last cannot be read from {}: {why}", .path.display())]
    NoRecord {
        /// The file of the record.
        path: PathBuf,
        /// The defect of the file.
        why: String,
    },
    /// A newer version installed the job with a scheduler that this version does not know.
    #[error("the job {name} was made by a newer idev-backup: {why}")]
    Newer {
        /// The name of the job.
        name: String,
        /// The schedulers that this version knows.
        why: String,
    },
    /// The system's scheduler did not take or remove the job.
    #[error(transparent)]
    Install(#[from] install::Error),
    /// A file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] store::Error),
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Disk(e) => e.kind(),
            _ => FailureKind::Failed,
        }
    }

    /// Creates the error for `doing` on `path`.
    pub(super) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Error {
        store::Error::io(doing, path, cause).into()
    }
}

/// Contents of a job file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobFile {
    pub(super) version: u32,
    /// The name of the job.
    pub name: String,
    /// The times at which it runs, as [`When`](super::When) prints them.
    pub when: String,
    /// The name of the scheduler that starts it.
    pub with: String,
    /// The command and its options.
    pub arguments: Vec<String>,
    /// Working directory in which the job was added, since its options may contain relative paths.
    pub folder: PathBuf,
    /// The environment variables of the command.
    pub environment: BTreeMap<String, String>,
}

impl JobFile {
    /// Reads a job file.
    pub fn read(path: &Path) -> Result<JobFile, Error> {
        let bytes = fs::read(path).map_err(|cause| Error::NoJob {
            path: path.to_path_buf(),
            cause,
        })?;
        serde_json::from_slice(&bytes).map_err(|cause| Error::Unusable {
            path: path.to_path_buf(),
            cause,
        })
    }
}

/// Record of a job's last run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LastRun {
    /// Start time (RFC 3339).
    pub started: String,
    /// End time; `None` while the job runs, or if it was killed.
    pub finished: Option<String>,
    /// Exit code; `None` while the job runs, or if it was killed.
    pub exit_code: Option<u8>,
}

/// Current state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A process holds the job's lock.
    Running,
    /// No process holds the job's lock.
    Idle,
}

/// The jobs of a user.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// The folder of the job files.
    pub folder: PathBuf,
    /// The folders in which the system looks for its files.
    pub places: Places,
}

impl Jobs {
    /// Returns the path of a job's file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Returns the jobs by name, and an error for each one that cannot be read.
    pub fn list(&self) -> (Vec<JobFile>, Vec<Error>) {
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return (found, unread);
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let stem = name.strip_suffix(".json").unwrap_or_default();
            if super::check_name(stem).is_ok() {
                match JobFile::read(&path) {
                    Ok(job) => found.push(job),
                    Err(e) => unread.push(e),
                }
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        (found, unread)
    }

    /// Returns the record of a job's last run, and its current state.
    pub fn state(&self, job: &JobFile) -> (Result<Option<LastRun>, Error>, State) {
        let path = self.path(&job.name);
        let file = File::open(lock_path(&path));
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let state = if file.is_ok_and(held) {
            State::Running
        } else {
            State::Idle
        };
        (last_run(&record_path(&path)), state)
    }
}

/// Returns the lines that a job logged since it was last started, as [`start_line`] marks it.
/// `None` if it has no log.
pub fn last_log(path: &Path) -> Result<Option<Vec<String>>, Error> {
    let log = log_path(path);
    let older = log.with_extension("log.1");
    let mut text = String::new();
    for file in [&older, &log] {
        match fs::read(file) {
            Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", file, e)),
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().rposition(|line| line.contains(STARTED));
    let lines = lines.get(start.unwrap_or(0)..).unwrap_or_default();
    let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    Ok((!lines.is_empty()).then_some(lines))
}

/// Words of the line that begins each run in a job's log.
const STARTED: &str = " Started by the schedule: ";

/// Returns the line that begins a run of a job in its log, without its time.
pub fn start_line(job: &JobFile) -> String {
    format!("{}idev-backup {}", &STARTED[1..], job.arguments.join(" "))
}

/// Returns the path of a job's record: `backup.state.json` for `backup.json`. No job can have that
/// name.
pub(super) fn record_path(path: &Path) -> PathBuf {
    path.with_extension("state.json")
}

/// Returns the path of a job's lock: `backup.lock` for `backup.json`.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// Returns the path of a job's log: `backup.log` for `backup.json` and for `backup.lock`.
pub fn log_path(path: &Path) -> PathBuf {
    path.with_extension("log")
}

/// Returns the path of the log of the job that runs this program.
pub fn log_of_this_job() -> Option<PathBuf> {
    std::env::var_os(JOB).map(|lock| log_path(Path::new(&lock)))
}

/// Writes a job file or a record.
pub(super) fn write(path: &Path, what: &impl Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec_pretty(what).unwrap_or_default();
    Ok(disk::write_whole(path, &bytes)?)
}

fn last_run(path: &Path) -> Result<Option<LastRun>, Error> {
    let unreadable = |why: String| Error::NoRecord {
        path: path.to_path_buf(),
        why,
    };
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(e.to_string())),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string())),
    }
}

/// Returns true if a job runs this program.
pub fn runs_as_job() -> bool {
    std::env::var_os(JOB).is_some()
}

/// Takes the lock of the job that runs this program, if the job leaves that to this program.
pub fn hold_as_job() -> Option<File> {
    // Run even if the lock cannot be taken.
    hold(Path::new(&std::env::var_os(JOB)?)).ok().flatten()
}

/// Takes a lock. Returns `None` if another process holds it.
pub(super) fn hold(path: &Path) -> Result<Option<File>, Error> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(|e| Error::io("open", path, e))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if since.elapsed() < PASSING_MAX => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", path, e)),
        }
    }
}
