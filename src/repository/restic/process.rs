//! Runs restic as a child process: feeds it the password, passes on what it prints, and ends it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::environment::passes;
use crate::base::child;
use crate::base::units::span;
use crate::repository::{Access, Error};

/// Interval at which cancellation and silence are checked.
const TICK: Duration = Duration::from_millis(100);

/// Longest time that restic gets to remove its lock after it was asked to end. It finishes the
/// requests that are under way.
const END_MAX: Duration = Duration::from_secs(30);

/// The bytes of error output that are kept: the first and the last ones.
const STDERR_MAX: usize = 16 << 10;

/// A call of restic.
pub(super) struct Call<'a> {
    /// The work, in words that follow "cannot".
    pub doing: &'static str,
    pub args: Vec<OsString>,
    /// The folder in which it runs.
    pub folder: Option<&'a Path>,
    /// Checks, after the start and before restic gets the password, that the folder is the right
    /// one.
    pub is_right: &'a dyn Fn() -> bool,
    /// True if silence means that it hangs, because this call reports its progress.
    pub is_watched: bool,
}

impl Call<'_> {
    pub(super) fn new<const N: usize>(doing: &'static str, args: [&str; N]) -> Call<'static> {
        Call {
            doing,
            args: args.iter().map(OsString::from).collect(),
            folder: None,
            is_right: &|| true,
            is_watched: true,
        }
    }
}

/// The end of a call.
pub(super) struct Ended {
    pub status: ExitStatus,
    /// The error output; of a long one the beginning and the end.
    pub stderr: String,
}

/// A piece of what restic prints.
enum News {
    Out(Vec<u8>),
    /// A line of its error output.
    Complaint(String),
}

/// The meaning of a piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The work goes on.
    Progress,
    /// The program runs, and nothing else is known.
    Life,
}

/// A receiver of what restic prints.
pub(super) trait Output {
    /// Receives a piece of the output.
    fn out(&mut self, bytes: &[u8]) -> Result<Sign, Error>;

    /// Receives a line of the error output.
    fn complaint(&mut self, _line: &str) {}
}

/// Returns a command with restic's environment.
fn command(access: &Access, with_repository: bool) -> Command {
    let mut command = child::isolated(&access.program, passes);
    // Times of snapshots are given and printed in UTC. Progress comes twice a second, also without
    // a terminal.
    command.env("TZ", "UTC").env("RESTIC_PROGRESS_FPS", "2");
    if with_repository {
        command.env("RESTIC_REPOSITORY", access.location.expose());
    }
    command
}

/// Runs a call that needs the repository.
pub(super) fn run(
    access: &Access,
    call: &Call<'_>,
    output: &mut dyn Output,
) -> Result<Ended, Error> {
    let mut command = command(access, true);
    for option in &access.options {
        command.arg("-o").arg(option);
    }
    for (name, limit) in [
        ("--limit-upload", access.limit_upload),
        ("--limit-download", access.limit_download),
    ] {
        if let Some(limit) = limit {
            command.arg(name).arg(limit.to_string());
        }
    }
    command.args(&call.args);
    if let Some(folder) = call.folder {
        command.current_dir(folder);
    }
    watched(access, call, &mut command, true, output)
}

/// Runs a call that needs no repository and no password.
pub(super) fn run_alone(
    access: &Access,
    call: &Call<'_>,
    output: &mut dyn Output,
) -> Result<Ended, Error> {
    let mut command = command(access, false);
    command.args(&call.args);
    watched(access, call, &mut command, false, output)
}

fn watched(
    access: &Access,
    call: &Call<'_>,
    command: &mut Command,
    with_password: bool,
    output: &mut dyn Output,
) -> Result<Ended, Error> {
    if access.cancel.cancelled() {
        return Err(Error::Interrupted);
    }
    child::apart(command);
    let stdin = if with_password {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    let started = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Running(started.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound if call.folder.is_none_or(Path::is_dir) => Error::NoProgram {
            program: access.program.clone(),
        },
        io::ErrorKind::NotFound => {
            Error::Moved(call.folder.map(Path::to_path_buf).unwrap_or_default())
        }
        _ => Error::NotStarted {
            program: access.program.clone(),
            cause,
        },
    })?);
    // restic works in its folder now, and waits for the password.
    if !(call.is_right)() {
        return Err(Error::Moved(
            call.folder.map(Path::to_path_buf).unwrap_or_default(),
        ));
    }
    if let Some(mut stdin) = child.0.stdin.take() {
        let password = access.password.expose();
        // A program that has ended does not read it. Its status and its words tell why.
        stdin
            .write_all(password)
            .and_then(|()| stdin.write_all(b"\n"))
            .ok();
    }
    let (news, heard) = sync_channel(16);
    if let Some(stdout) = child.0.stdout.take() {
        let news = news.clone();
        std::thread::spawn(move || pass_on(stdout, &news));
    }
    let complaints = child.0.stderr.take().map(|stderr| {
        let news = news.clone();
        std::thread::spawn(move || listen(stderr, &news))
    });
    drop(news);
    let stopped = hear(access, call, &heard, output);
    if let Err(e) = stopped {
        child.end(&heard);
        return Err(e);
    }
    let status = child.0.wait();
    let status = status.map_err(|cause| Error::Io {
        doing: call.doing,
        cause,
    })?;
    let stderr = complaints.and_then(|thread| thread.join().ok());
    Ok(Ended {
        status,
        stderr: stderr.unwrap_or_default(),
    })
}

/// Passes on the news until restic has closed its output.
fn hear(
    access: &Access,
    call: &Call<'_>,
    heard: &Receiver<News>,
    output: &mut dyn Output,
) -> Result<(), Error> {
    let mut last = Instant::now();
    let mut prompt = Prompt::default();
    loop {
        match heard.recv_timeout(TICK) {
            Ok(News::Out(bytes)) => {
                if output.out(prompt.removed(&bytes))? == Sign::Progress {
                    last = Instant::now();
                }
            }
            Ok(News::Complaint(line)) => {
                last = Instant::now();
                output.complaint(&line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return output.out(prompt.rest()).map(drop);
            }
        }
        if access.cancel.cancelled() {
            return Err(Error::Interrupted);
        }
        if call.is_watched && last.elapsed() > access.waits.silence_max {
            return Err(Error::Silent {
                doing: call.doing,
                limit: span(access.waits.silence_max),
            });
        }
    }
}

/// Removes the line with which restic announces, in its output, that it reads the password.
#[derive(Default)]
struct Prompt {
    /// The beginning of the output, while it may still be that line.
    held: Vec<u8>,
    is_over: bool,
}

impl Prompt {
    const LINE: &[u8] = b"reading repository password from stdin\n";

    /// Returns the part of the output that is not the line, as far as that is certain.
    fn removed<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.is_over {
            return bytes;
        }
        self.held.extend_from_slice(bytes);
        if self.held.starts_with(Prompt::LINE) {
            self.is_over = true;
            return &self.held[Prompt::LINE.len()..];
        }
        if Prompt::LINE.starts_with(&self.held) {
            return &[];
        }
        self.is_over = true;
        &self.held
    }

    /// Returns what is still held at the end of the output.
    fn rest(&self) -> &[u8] {
        if self.is_over { &[] } else { &self.held }
    }
}

/// A child process, which does not outlive this value.
struct Running(Child);

impl Running {
    /// Asks the program to end, waits for that, and kills it if it does not end.
    fn end(&mut self, heard: &Receiver<News>) {
        let asked = Instant::now();
        if child::interrupt(&self.0) {
            while asked.elapsed() < END_MAX {
                if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                // Its pipes must not fill up, or it could not end.
                heard.recv_timeout(TICK / 2).ok();
            }
        }
        self.kill();
    }

    fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

fn pass_on(mut from: impl Read, news: &SyncSender<News>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) if news.send(News::Out(buffer[..length].to_vec())).is_err() => return,
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}

/// Reads the error output, passes on its lines, and returns its beginning and its end.
fn listen(mut from: ChildStderr, news: &SyncSender<News>) -> String {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
    let mut buffer = vec![0; 4 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        for byte in &buffer[..length] {
            if first.len() < STDERR_MAX {
                first.push(*byte);
            } else {
                last.push(*byte);
                if last.len() > 2 * STDERR_MAX {
                    last.drain(..STDERR_MAX);
                }
            }
            if *byte == b'\n' {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                // The receiver is gone once the program is being ended.
                news.send(News::Complaint(text)).ok();
            } else if line.len() < STDERR_MAX {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        let text = String::from_utf8_lossy(&line).into_owned();
        news.send(News::Complaint(text)).ok();
    }
    if !last.is_empty() {
        first.extend_from_slice("\n[…]\n".as_bytes());
        first.append(&mut last);
    }
    String::from_utf8_lossy(&first).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_is_no_part_of_the_output() {
        let of = |pieces: &[&str]| {
            let mut prompt = Prompt::default();
            let mut all = Vec::new();
            for piece in pieces {
                all.extend_from_slice(prompt.removed(piece.as_bytes()));
            }
            all.extend_from_slice(prompt.rest());
            String::from_utf8(all).unwrap()
        };
        let line = "reading repository password from stdin\n";
        assert_eq!(of(&[line, "a"]), "a");
        assert_eq!(
            of(&["reading ", "repository password from stdin\nb", line]),
            format!("b{line}")
        );
        assert_eq!(of(&["reading", "s"]), "readings");
        assert_eq!(of(&["read"]), "read");
        assert_eq!(of(&[]), "");
    }
}
