//! Runs a job for the system's scheduler, and records its state during and after the run.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::job_state::{Error, JOB, JobFile, LastRun, hold, lock_path, record_path, write};
use crate::base::{child, time};

#[cfg(unix)]
use super::When;

/// Exit code that stands for a command without one, which was killed.
const KILLED: u8 = 1;

/// A run of a job that has not begun yet.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    job: JobFile,
    /// The job's lock; without one, a second run of the job cannot be noticed.
    lock: Result<Option<File>, Error>,
}

impl Run {
    /// Reads a job file and takes the job's lock.
    pub fn prepare(path: PathBuf) -> Result<Run, Error> {
        let job = JobFile::read(&path)?;
        let lock = hold(&lock_path(&path));
        Ok(Run { path, job, lock })
    }

    /// Returns the file of the job.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the contents of that file.
    pub fn job(&self) -> &JobFile {
        &self.job
    }

    /// Returns true if another process runs the job. That process keeps its record, and two runs
    /// would contact the same phones.
    pub fn is_running_already(&self) -> bool {
        matches!(self.lock, Ok(None))
    }

    /// Returns the reason that the lock could not be taken. The job can run without it.
    pub fn lock_error(&self) -> Option<&Error> {
        self.lock.as_ref().err()
    }

    /// Runs the job's command and returns its exit code. `interrupt` returns the flag that the user
    /// sets to end the command.
    pub fn finish(self, interrupt: impl FnOnce() -> Arc<AtomicBool>) -> Result<u8, Error> {
        let Run { path, job, lock } = self;
        let record = record_path(&path);
        let mut ran = LastRun {
            started: time::rfc3339(SystemTime::now()),
            ..LastRun::default()
        };
        write(&record, &ran)?;
        let program = child::this_program();
        let mut command = program.map_err(|e| Error::io("find", Path::new("idev-backup"), e))?;
        command.args(&job.arguments).envs(&job.environment);
        command.env(JOB, lock_path(&path));
        if job.folder.is_dir() {
            command.current_dir(&job.folder);
        }
        // A daemon replaces this process, so that a scheduler that stops the job stops the daemon.
        #[cfg(unix)]
        if job.when == When::Always.to_string() {
            // The daemon takes the lock itself: an inherited lock would pass on to its children,
            // and could outlive it in them.
            drop(lock);
            let e = std::os::unix::process::CommandExt::exec(&mut command);
            return Err(Error::io("run", &path, e));
        }
        let status = supervised(&mut command, &interrupt());
        let status = status.map_err(|e| Error::io("run", &path, e))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let code = code.unwrap_or(KILLED);
        ran.finished = Some(time::rfc3339(SystemTime::now()));
        ran.exit_code = Some(code);
        write(&record, &ran)?;
        drop(lock);
        Ok(code)
    }
}

/// Waits for a child process, and forwards an interrupt to it.
fn supervised(command: &mut Command, stop: &AtomicBool) -> io::Result<ExitStatus> {
    let mut child = command.spawn()?;
    let mut passed_on = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !passed_on && stop.load(Ordering::SeqCst) {
            passed_on = true;
            #[cfg(unix)]
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
