//! Starts other programs. None of them gets a secret of this program's environment.

use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// The variables that hold secrets.
pub const SECRETS: [&str; 3] = [
    "IDEV_BACKUP_PASSWORD",
    "IDEV_BACKUP_NEW_PASSWORD",
    "IDEV_BACKUP_SIM_PASSWORD",
];

/// Returns a command for a program of the system or of the user.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for secret in SECRETS {
        command.env_remove(secret);
    }
    command
}

/// Returns a command for the user's own shell text.
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

/// Returns a command for this program itself, which needs the password of a job.
pub fn this_program() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
