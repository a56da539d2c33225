//! `idev-backup schedule run`: runs a job for the system's scheduler, and records its state during
//! and after the run.
//!
//! The job holds a lock next to its file while it runs. The system releases the lock when the
//! holder dies for any reason.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use idev_backup::base::child;
use serde::{Deserialize, Serialize};

use super::schedule::{Note, folder, io, read, write};
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

#[cfg(unix)]
use idev_backup::automation::schedule::When;

/// Environment variable that tells a command that it runs as a job, and names the job's lock.
pub const JOB: &str = "IDEV_BACKUP_JOB";

/// Time to wait for the lock: a process that only checks whether the job is running holds it for a
/// moment.
const PASSING_MAX: Duration = Duration::from_millis(500);

/// Record of a job's last run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ran {
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

/// Returns the path of a job's record: `backup.state.json` for `backup.json`. No job can have that
/// name.
pub fn state_path(path: &Path) -> PathBuf {
    path.with_extension("state.json")
}

/// Returns the path of a job's lock: `backup.lock` for `backup.json`.
pub fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// Returns the record of a job's last run, and its current state.
pub fn state_of(note: &Note, folder: &Path) -> (Result<Option<Ran>, Failure>, State) {
    let path = folder.join(format!("{}.json", note.name));
    let file = File::open(lock_path(&path));
    let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let state = if file.is_ok_and(held) {
        State::Running
    } else {
        State::Idle
    };
    (last(&state_path(&path)), state)
}

fn last(path: &Path) -> Result<Option<Ran>, Failure> {
    let unreadable = |why: String| Failure::Command {
        what: format!(
            "how it ran last cannot be read from {}: {why}",
            path.display()
        ),
        hint: "its next run writes that file anew".to_owned(),
    };
    match fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
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
fn hold(path: &Path) -> Result<Option<File>, Failure> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(|e| io("open", path, e))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if since.elapsed() < PASSING_MAX => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(io("lock", path, e)),
        }
    }
}

/// Runs a job for the system's scheduler, and records how it ended.
pub fn run(job: &OsString) -> Result<u8, Failure> {
    let path = match Path::new(job) {
        path if path.is_absolute() => path.to_path_buf(),
        name => folder()?.join(format!("{}.json", name.display())),
    };
    let note = read(&path)?;
    let state = state_path(&path);
    // A running job keeps its record, and two runs would contact the same phones.
    let lock = match hold(&lock_path(&path)) {
        Ok(None) => {
            let name = &note.name;
            output::tell(&format!(
                "Nothing to do: the job {name} is running already."
            ));
            return Ok(exit::DONE);
        }
        Ok(lock) => lock,
        // Run even if the lock cannot be taken.
        Err(e) => {
            output::tell(&format!(
                "problem: two runs of this job are not told apart: {e}"
            ));
            None
        }
    };
    let mut ran = Ran {
        started: output::now(),
        ..Ran::default()
    };
    write(&state, &ran)?;
    let mut command = child::this_program().map_err(|e| io("find", Path::new("idev-backup"), e))?;
    command.args(&note.arguments).envs(&note.environment);
    command.env(JOB, lock_path(&path));
    if note.folder.is_dir() {
        command.current_dir(&note.folder);
    }
    // A daemon replaces this process, so that a scheduler that stops the job stops the daemon.
    #[cfg(unix)]
    if note.when == When::Always.to_string() {
        // The daemon takes the lock itself: an inherited lock would pass on to its children, and
        // could outlive it in them.
        drop(lock);
        let e = std::os::unix::process::CommandExt::exec(&mut command);
        return Err(io("run", &path, e));
    }
    let status = supervised(&mut command).map_err(|e| io("run", &path, e))?;
    // A child without an exit code was killed.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.unwrap_or(exit::FAILED);
    ran.finished = Some(output::now());
    ran.exit_code = Some(code);
    write(&state, &ran)?;
    drop(lock);
    Ok(code)
}

/// Waits for a child process, and forwards an interrupt to it.
fn supervised(command: &mut Command) -> std::io::Result<ExitStatus> {
    let stop = crate::cli::ctrl_c::interrupt();
    let mut child = command.spawn()?;
    let mut passed_on = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !passed_on && stop.load(std::sync::atomic::Ordering::SeqCst) {
            passed_on = true;
            #[cfg(unix)]
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
