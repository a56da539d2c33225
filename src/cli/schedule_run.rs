//! `idev-backup schedule run`: a job as the system starts it, and what is known of it meanwhile and
//! afterwards.
//!
//! A lock beside the job's file is held while it runs. The system drops it when its holder dies,
//! however it dies.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use idev_backup::child;
use idev_backup::jobs::Error;
#[cfg(unix)]
use idev_backup::schedule::When;
use serde::{Deserialize, Serialize};

use super::schedule::{Note, folder, io, read, write};
use super::{exit, output};

/// Tells a command that a job runs it, and which lock stands for that.
pub const JOB: &str = "IDEV_BACKUP_JOB";

/// Whoever only looks whether a job runs has its lock for a moment.
const PASSING_MAX: Duration = Duration::from_millis(500);

/// How a job ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ran {
    /// RFC 3339.
    pub started: String,
    /// None while it runs, and of one that was killed.
    pub finished: Option<String>,
    /// None likewise.
    pub exit_code: Option<u8>,
}

/// What a job does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody holds its lock.
    Running,
    /// Nobody does.
    Idle,
}

/// `backup.json` -> `backup.state.json`, which is no job's name.
pub fn state_path(path: &Path) -> PathBuf {
    path.with_extension("state.json")
}

/// `backup.json` -> `backup.lock`
pub fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// How a job ran last, and what it does now.
pub fn state_of(note: &Note, folder: &Path) -> (Result<Option<Ran>, Error>, State) {
    let path = folder.join(format!("{}.json", note.name));
    let file = File::open(lock_path(&path));
    let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let state = match file.is_ok_and(held) {
        true => State::Running,
        false => State::Idle,
    };
    (last(&state_path(&path)), state)
}

fn last(path: &Path) -> Result<Option<Ran>, Error> {
    let unreadable = |why: String| Error::Nothing {
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

/// A job runs this program.
pub fn runs_as_job() -> bool {
    std::env::var_os(JOB).is_some()
}

/// Holds the lock of the job that runs this program, if it is left to this program to do so.
pub fn hold_as_job() -> Option<File> {
    // That a lock cannot be taken is no reason not to run.
    hold(Path::new(&std::env::var_os(JOB)?)).ok().flatten()
}

/// Takes a lock; none where another has it.
fn hold(path: &Path) -> Result<Option<File>, Error> {
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

/// Runs a job as the system does, and notes how it ended.
pub fn run(job: &OsString) -> Result<u8, Error> {
    let path = match Path::new(job) {
        path if path.is_absolute() => path.to_path_buf(),
        name => folder()?.join(format!("{}.json", name.display())),
    };
    let note = read(&path)?;
    let state = state_path(&path);
    // One that runs keeps its note, and two would ask the same phones.
    let lock = match hold(&lock_path(&path)) {
        Ok(None) => {
            let name = &note.name;
            output::tell(&format!(
                "Nothing to do: the job {name} is running already."
            ));
            return Ok(exit::DONE);
        }
        Ok(lock) => lock,
        // That a lock cannot be taken is no reason not to run.
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
    // A daemon takes this program's place, so that whoever started it stops the right one.
    #[cfg(unix)]
    if note.when == When::Always.to_string() {
        // It takes the lock itself: handed over, it would go to its children too, and outlive it in
        // them.
        drop(lock);
        let e = std::os::unix::process::CommandExt::exec(&mut command);
        return Err(io("run", &path, e));
    }
    let status = supervised(&mut command).map_err(|e| io("run", &path, e))?;
    // Without a code it was killed.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.unwrap_or(exit::FAILED);
    ran.finished = Some(output::now());
    ran.exit_code = Some(code);
    write(&state, &ran)?;
    drop(lock);
    Ok(code)
}

/// Waits for a child, and passes on that this program shall end.
fn supervised(command: &mut Command) -> std::io::Result<ExitStatus> {
    let stop = super::interrupt();
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
