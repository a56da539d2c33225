//! Starts other programs, without passing on the secrets in this program's environment.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Child, Command};

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

/// Returns a command that gets only those of our environment variables whose names pass.
pub(crate) fn isolated(program: impl AsRef<OsStr>, passes: impl Fn(&str) -> bool) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    let passing = |(name, _): &(OsString, OsString)| {
        let name = name.to_str().unwrap_or_default();
        passes(name) && !SECRETS.contains(&name) && name != JOB
    };
    command.envs(std::env::vars_os().filter(passing));
    command
}

/// Makes a program the leader of a process group of its own, so that Ctrl-C in a terminal reaches
/// only this program. Windows has no such groups: there Ctrl-C reaches the other program too.
pub(crate) fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Asks a program to end, as Ctrl-C would. Returns false if it does not know of that. On Windows
/// the console has told it.
pub(crate) fn interrupt(child: &Child) -> bool {
    // The number is not in use by another process, since this one has not been waited for.
    cfg!(windows) || shell(format!("kill -INT {}", child.id())).status().is_ok()
}

/// Returns a command for this program itself. The secrets are kept, since a job needs its password.
pub(crate) fn this_program() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
