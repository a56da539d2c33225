//! Runs the user's commands at certain events of a backup, and shows desktop notifications. A
//! failure of either never makes a backup fail.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::base::cancel::CancelToken;
use crate::base::child;

/// Longest part of a command's output that an error message quotes, in bytes. The end of the output
/// is kept, since it says why the command failed.
const WORDS_MAX: u64 = 400;

/// A notification could not be shown, and the problem was reported. The next one in this run would
/// fail in the same way, so it is not reported again.
static UNSHOWN: AtomicBool = AtomicBool::new(false);

/// A hook that failed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The user's command failed.
    #[error("the command {} {why}", .turn.name())]
    Command {
        /// The event that it was run for.
        turn: Turn,
        /// The failure; completes "the command ...".
        why: String,
    },
    /// A desktop notification was not shown.
    #[error("desktop notifications cannot be shown: {program} {why}")]
    Notification {
        /// The program that shows notifications.
        program: String,
        /// The failure; completes "the program ...".
        why: String,
    },
}

/// Events that run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// A backup begins.
    OnStart,
    /// The phone waits for its passcode. Repeated at each reminder.
    OnWaitingForPasscode,
    /// A backup is done.
    OnSuccess,
    /// A backup failed.
    OnFailure,
    /// The last good backup is too old.
    OnOverdue,
    /// Backups could not be pushed to a repository.
    OnPushFailure,
}

impl Turn {
    /// Returns the name in the config file and in the object on standard input.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Turn::OnStart => "on_start",
            Turn::OnWaitingForPasscode => "on_waiting_for_passcode",
            Turn::OnSuccess => "on_success",
            Turn::OnFailure => "on_failure",
            Turn::OnOverdue => "on_overdue",
            Turn::OnPushFailure => "on_push_failure",
        }
    }
}

/// The user's commands.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// Command for [`Turn::OnStart`].
    pub on_start: Option<String>,
    /// Command for [`Turn::OnWaitingForPasscode`].
    pub on_waiting_for_passcode: Option<String>,
    /// Command for [`Turn::OnSuccess`].
    pub on_success: Option<String>,
    /// Command for [`Turn::OnFailure`].
    pub on_failure: Option<String>,
    /// Command for [`Turn::OnOverdue`].
    pub on_overdue: Option<String>,
    /// Command for [`Turn::OnPushFailure`].
    pub on_push_failure: Option<String>,
    /// Time after which a command is killed, with its children.
    pub time_limit: Duration,
    /// Show desktop notifications when the user has to act and when a backup failed.
    pub notify: bool,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks {
            on_start: None,
            on_waiting_for_passcode: None,
            on_success: None,
            on_failure: None,
            on_overdue: None,
            on_push_failure: None,
            time_limit: Duration::from_secs(60),
            notify: false,
        }
    }
}

/// The object that a command reads on its standard input.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Told<'a> {
    /// Version of this object's format.
    pub version: u32,
    /// Time of the event, RFC 3339.
    pub time: String,
    /// UDID of the phone, if it is known.
    pub udid: Option<&'a str>,
    /// Name of the event.
    pub event: &'static str,
    /// Text for people, one sentence.
    pub text: String,
    /// Time of the last good backup, RFC 3339.
    pub last_backup: Option<String>,
    /// Exit code of the program, after a failure.
    pub exit_code: Option<u8>,
    /// Advice on what to do, after a failure.
    pub hint: Option<String>,
    /// Contents of `report.json`, after a success.
    pub report: Option<&'a crate::backup::create::Report>,
}

impl Hooks {
    /// Returns true if there is a command for any event.
    pub fn any(&self) -> bool {
        let all = [
            Turn::OnStart,
            Turn::OnWaitingForPasscode,
            Turn::OnSuccess,
            Turn::OnFailure,
            Turn::OnOverdue,
            Turn::OnPushFailure,
        ];
        all.into_iter().any(|turn| self.command(turn).is_some())
    }

    fn command(&self, turn: Turn) -> Option<&str> {
        let command = match turn {
            Turn::OnStart => &self.on_start,
            Turn::OnWaitingForPasscode => &self.on_waiting_for_passcode,
            Turn::OnSuccess => &self.on_success,
            Turn::OnFailure => &self.on_failure,
            Turn::OnOverdue => &self.on_overdue,
            Turn::OnPushFailure => &self.on_push_failure,
        };
        command.as_deref()
    }

    /// Runs the command for an event, and shows a notification. Returns the failures. Cancelling
    /// `token` meanwhile stops both.
    pub(crate) fn at(&self, turn: Turn, told: &Told<'_>, token: &CancelToken) -> Vec<Problem> {
        let mut wrong = Vec::new();
        // If the backup itself was cancelled, the event still runs its command, and to the end.
        let was_stopped = token.cancelled();
        let is_stopped = || token.cancelled() && !was_stopped;
        if let Some(command) = self.command(turn) {
            let input = serde_json::to_vec(told).unwrap_or_default();
            if let Err(why) = run(child::shell(command), &input, self.time_limit, &is_stopped) {
                wrong.push(Problem::Command { turn, why });
            }
        }
        let shows = !matches!(turn, Turn::OnStart | Turn::OnSuccess);
        if self.notify && shows {
            let limit = self.time_limit.min(Duration::from_secs(10));
            let command = notification(&told.text);
            let program = command.get_program().to_string_lossy().into_owned();
            if let Err(why) = run(command, &[], limit, &is_stopped)
                && !UNSHOWN.swap(true, Ordering::SeqCst)
            {
                wrong.push(Problem::Notification { program, why });
            }
        }
        wrong
    }
}

/// Returns the system's command that shows a notification. The text contains the phone's name, so
/// it is passed as an argument or variable and never becomes part of a script.
fn notification(text: &str) -> Command {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    const TITLE: &str = "idev-backup";
    let mut command;
    if cfg!(target_os = "macos") {
        command = child::command("osascript");
        command.args(["-e", "on run argv"]);
        command.args([
            "-e",
            "display notification (item 1 of argv) with title (item 2 of argv)",
        ]);
        command.args(["-e", "end run", "--", &text, TITLE]);
    } else if cfg!(windows) {
        command = child::command("powershell");
        command.args(["-NoProfile", "-Command"]).arg(
            "Add-Type -AssemblyName System.Windows.Forms; $n = New-Object System.Windows.Forms.NotifyIcon; \
             $n.Icon = [System.Drawing.SystemIcons]::Information; $n.Visible = $true; \
             $n.ShowBalloonTip(10000, $env:NOTIFICATION_TITLE, $env:NOTIFICATION_TEXT, 'Info'); Start-Sleep 5; $n.Dispose()",
        );
        command
            .env("NOTIFICATION_TITLE", TITLE)
            .env("NOTIFICATION_TEXT", &text);
    } else {
        command = child::command("notify-send");
        command.args(["--app-name", TITLE, "--", TITLE, &text]);
    }
    command
}

/// Runs a command with `input` on its standard input. Kills it with its children after `limit`, or
/// as soon as `is_stopped` returns true.
pub(super) fn run(
    mut command: Command,
    input: &[u8],
    limit: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(), String> {
    let named = |e: std::io::Error| format!("could not be run: {e}");
    // Use files, not pipes: a child of the command that outlives it would keep a pipe open, and
    // reading to the end of that pipe would block.
    let mut said = tempfile::tempfile().map_err(named)?;
    let mut heard = tempfile::tempfile().map_err(named)?;
    heard.write_all(input).map_err(named)?;
    heard.seek(SeekFrom::Start(0)).map_err(named)?;
    command
        .stdin(heard)
        .stdout(Stdio::from(said.try_clone().map_err(named)?))
        .stderr(Stdio::from(said.try_clone().map_err(named)?));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut started = command.spawn().map_err(named)?;
    match wait(&mut started, limit, is_stopped).map_err(named)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("failed ({status}){}", last_words(&mut said))),
        None => {
            kill_with_children(&mut started);
            Err(if is_stopped() {
                "was stopped".to_owned()
            } else {
                format!("did not end within {} s and was killed", limit.as_secs())
            })
        }
    }
}

fn wait(
    child: &mut Child,
    limit: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit || is_stopped() {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Kills a process with its children, and ignores failures: a process that has ended already needs
/// no killing.
fn kill_with_children(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    #[cfg(windows)]
    drop(
        child::command("taskkill")
            .args(["/F", "/T", "/PID", &child.id().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status(),
    );
    drop(child.kill());
    drop(child.wait());
}

fn last_words(said: &mut File) -> String {
    let length = said.seek(SeekFrom::End(0)).unwrap_or(0);
    let start = length.saturating_sub(WORDS_MAX);
    let mut bytes = Vec::new();
    let read = said
        .seek(SeekFrom::Start(start))
        .and_then(|_| said.take(WORDS_MAX).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match read {
        Ok(_) if !words.is_empty() => format!(": {words}"),
        _ => String::new(),
    }
}
