//! Starts other programs, without passing on the secrets in this program's environment.

use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// The environment variables that hold secrets.
pub const SECRETS: [&str; 3] = [
    "IDEV_BACKUP_PASSWORD",
    "IDEV_BACKUP_NEW_PASSWORD",
    "IDEV_BACKUP_SIM_PASSWORD",
];

/// The environment variable that marks a run of this program as a scheduled job.
pub const JOB: &str = "IDEV_BACKUP_JOB";

/// Returns a command for a program of the system or of the user, without the secrets. A hook that
/// runs this program is not a job, although a job started it.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for variable in SECRETS.iter().chain([&JOB]) {
        command.env_remove(variable);
    }
    command
}

/// Returns a command that runs the user's own shell command line, without the secrets.
pub fn shell(text: impl AsRef<OsStr>) -> Command {
    let (shell, flag) = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    let mut command = command(shell);
    command.arg(flag).arg(text);
    command
}

/// Returns a command for this program itself. The secrets are kept, since a job needs its password.
pub(crate) fn this_program() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
