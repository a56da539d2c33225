//! Installation of jobs: passes the generated texts to the system's scheduler, and removes them.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{Job, Kind, When, cron, launchd, systemd, windows};
use crate::base::child;

/// Failure to install or remove a job.
#[derive(Debug)]
pub struct Error {
    /// The step that failed; completes "cannot ...".
    pub doing: String,
    /// The cause of the failure.
    pub why: String,
    /// The kind of the cause.
    pub reason: Reason,
}

/// The kinds of causes of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// This user has neither systemd nor cron.
    NoScheduler,
    /// The command of the job has a control character.
    ControlCharacter,
    /// `crontab -l` shows the crontab altered.
    CrontabAltered,
    /// The scheduler, or an operation on its files, failed.
    Failed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.why)
    }
}

impl std::error::Error for Error {}

/// Folders in which the system looks for its files.
#[derive(Debug, Clone)]
pub struct Places {
    /// The user's home folder.
    pub home: PathBuf,
    /// The user's folder for configuration.
    pub config: PathBuf,
}

/// Returns the scheduler that this system offers.
pub(crate) fn detect() -> Result<Kind, Error> {
    if cfg!(target_os = "macos") {
        return Ok(Kind::Launchd);
    }
    if cfg!(windows) {
        return Ok(Kind::Task);
    }
    if run(child::command("systemctl").args(["--user", "show-environment"])).is_ok() {
        return Ok(Kind::Systemd);
    }
    match child::command("crontab")
        .arg("-l")
        .stdin(Stdio::null())
        .output()
    {
        Ok(_) => Ok(Kind::Cron),
        Err(e) => Err(Error {
            doing: "find out what starts jobs here".to_owned(),
            why: format!("this user has no systemd session, and crontab does not work ({e})"),
            reason: Reason::NoScheduler,
        }),
    }
}

/// Installs a job, replacing an older one of the same name. Returns the path of the job's file, if
/// the scheduler uses one.
pub(crate) fn install(kind: Kind, job: &Job, places: &Places) -> Result<Option<PathBuf>, Error> {
    for word in &job.command {
        super::check_path(word).map_err(|why| Error {
            doing: format!("install the job {}", job.name),
            why,
            reason: Reason::ControlCharacter,
        })?;
    }
    match kind {
        Kind::Cron => write_crontab(&cron::with(&read_crontab()?, job)).map(|()| None),
        Kind::Systemd => {
            let (service, timer) = unit_files(&job.name, places);
            write(&service, systemd::service(job).as_bytes())?;
            match systemd::timer(job) {
                Some(text) => write(&timer, text.as_bytes())?,
                None => remove_file(&timer)?,
            }
            run(child::command("systemctl").args(["--user", "daemon-reload"]))?;
            let unit = match job.when {
                When::Always => format!("{}.service", systemd::unit(&job.name)),
                _ => format!("{}.timer", systemd::unit(&job.name)),
            };
            run(child::command("systemctl").args(["--user", "enable", "--now", &unit]))?;
            Ok(Some(service))
        }
        Kind::Launchd => {
            let path = agent_file(&job.name, places);
            // An agent of the same name may be loaded, and must be unloaded first.
            run(child::command("launchctl").args(["bootout", &agent_target(&job.name)])).ok();
            write(&path, launchd::agent(job).as_bytes())?;
            run(child::command("launchctl")
                .arg("bootstrap")
                .arg(domain())
                .arg(&path))?;
            Ok(Some(path))
        }
        Kind::Task => {
            // Windows neither replaces a file that is open nor lets every program read one, so the
            // file is written in place and closed before schtasks starts.
            let file = tempfile::Builder::new().suffix(".xml").tempfile();
            let written = file.and_then(|mut file| {
                file.write_all(&windows::encoded(&windows::task(job)))?;
                Ok(file.into_temp_path())
            });
            let path = written.map_err(|e| failed("write a file for schtasks", &e))?;
            let name = windows::task_name(&job.name);
            let mut command = child::command("schtasks");
            run(command
                .args(["/Create", "/F", "/TN", &name, "/XML"])
                .arg(&path))?;
            Ok(None)
        }
    }
}

/// Removes the files of a job whose installation failed, since some of them could still start it at
/// the next login.
pub(crate) fn discard(kind: Kind, name: &str, places: &Places) {
    let files = match kind {
        Kind::Systemd => {
            let (service, timer) = unit_files(name, places);
            vec![service, timer]
        }
        Kind::Launchd => vec![agent_file(name, places)],
        Kind::Cron | Kind::Task => Vec::new(),
    };
    for file in files {
        drop(remove_file(&file));
    }
}

/// Returns true if the scheduler has the job, according to its own files or programs. `always` says
/// that the job is one that runs all the time.
pub(crate) fn is_installed(
    kind: Kind,
    name: &str,
    always: bool,
    places: &Places,
) -> Result<bool, Error> {
    Ok(match kind {
        Kind::Cron => cron::names(&read_crontab()?).contains(&name.to_owned()),
        Kind::Systemd => {
            let (service, timer) = unit_files(name, places);
            // A job that always runs has no timer; every other job is started by its timer.
            if always {
                service.exists()
            } else {
                timer.exists()
            }
        }
        Kind::Launchd => agent_file(name, places).exists(),
        Kind::Task => {
            let name = windows::task_name(name);
            let asked = child::command("schtasks")
                .args(["/Query", "/TN", &name])
                .stdin(Stdio::null())
                .output();
            asked
                .map_err(|e| failed("ask schtasks", &e))?
                .status
                .success()
        }
    })
}

/// Removes a job from every scheduler that has it.
pub(crate) fn remove_wherever(name: &str, places: &Places) -> Result<(), Error> {
    let (service, timer) = unit_files(name, places);
    let lines = || read_crontab().is_ok_and(|crontab| cron::names(&crontab).contains(&name.into()));
    for (kind, is_there) in [
        (Kind::Cron, !cfg!(windows) && lines()),
        (Kind::Systemd, service.exists() || timer.exists()),
        (Kind::Launchd, agent_file(name, places).exists()),
        (Kind::Task, cfg!(windows)),
    ] {
        if is_there {
            remove(kind, name, places)?;
        }
    }
    Ok(())
}

/// Removes a job. An absent job is not an error.
pub(crate) fn remove(kind: Kind, name: &str, places: &Places) -> Result<(), Error> {
    match kind {
        Kind::Cron => match cron::without(&read_crontab()?, name) {
            Some(crontab) => write_crontab(&crontab),
            None => Ok(()),
        },
        Kind::Systemd => {
            let (service, timer) = unit_files(name, places);
            for (file, ending) in [(&timer, "timer"), (&service, "service")] {
                if file.exists() {
                    let unit = format!("{}.{ending}", systemd::unit(name));
                    run(child::command("systemctl").args(["--user", "disable", "--now", &unit]))?;
                    remove_file(file)?;
                }
            }
            run(child::command("systemctl").args(["--user", "daemon-reload"])).map(drop)
        }
        Kind::Launchd => {
            // An agent that is not loaded cannot be unloaded, so ignore the error.
            run(child::command("launchctl").args(["bootout", &agent_target(name)])).ok();
            remove_file(&agent_file(name, places))
        }
        Kind::Task => {
            let name = windows::task_name(name);
            let there = run(child::command("schtasks").args(["/Query", "/TN", &name])).is_ok();
            if there {
                run(child::command("schtasks").args(["/Delete", "/F", "/TN", &name])).map(drop)
            } else {
                Ok(())
            }
        }
    }
}

fn unit_files(name: &str, places: &Places) -> (PathBuf, PathBuf) {
    let folder = places.config.join("systemd").join("user");
    let file = |ending: &str| folder.join(format!("{}.{ending}", systemd::unit(name)));
    (file("service"), file("timer"))
}

fn agent_file(name: &str, places: &Places) -> PathBuf {
    let folder = places.home.join("Library").join("LaunchAgents");
    folder.join(format!("{}.plist", launchd::label(name)))
}

/// Returns launchd's domain for the session of the logged-in user.
fn domain() -> String {
    #[cfg(unix)]
    let user = rustix::process::getuid().as_raw();
    #[cfg(not(unix))]
    let user = 0;
    format!("gui/{user}")
}

fn agent_target(name: &str) -> String {
    format!("{}/{}", domain(), launchd::label(name))
}

/// Reads the user's crontab. Only the message "no crontab for" counts as an empty crontab: after
/// any other failure, writing a new one would lose the existing lines.
fn read_crontab() -> Result<Vec<u8>, Error> {
    const DOING: &str = "read your crontab";
    let output = child::command("crontab")
        .arg("-l")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|e| failed(DOING, &e))?;
    if output.status.success() {
        if holds(&output.stdout, b"\\r") {
            read_crontab_raw(&output.stdout)
        } else {
            Ok(output.stdout)
        }
    } else if String::from_utf8_lossy(&output.stderr).contains("no crontab for") {
        Ok(Vec::new())
    } else {
        Err(refused(DOING, &output))
    }
}

/// Reads the crontab through an editor. Debian's `crontab -l` prints a carriage return as `\r`, so
/// its output differs from the file; an editor gets the original bytes.
fn read_crontab_raw(shown: &[u8]) -> Result<Vec<u8>, Error> {
    const DOING: &str = "read your crontab";
    const EDITOR: &str = "sh -c 'cat \"$0\" > \"$CRONTAB_COPY\"'";
    let copy = tempfile::NamedTempFile::new().map_err(|e| failed(DOING, &e))?;
    let mut command = child::command("crontab");
    command
        .arg("-e")
        .env("EDITOR", EDITOR)
        .env("VISUAL", EDITOR);
    run(command.env("CRONTAB_COPY", copy.path()))?;
    let bytes = std::fs::read(copy.path()).map_err(|e| failed(DOING, &e))?;
    let mut as_shown = Vec::new();
    for byte in &bytes {
        match byte {
            b'\r' if holds(shown, b"\r") => as_shown.push(b'\r'),
            b'\r' => as_shown.extend_from_slice(b"\\r"),
            byte => as_shown.push(*byte),
        }
    }
    if as_shown == shown {
        Ok(bytes)
    } else {
        Err(Error {
            doing: DOING.to_owned(),
            why: "it has control characters that `crontab -l` does not show unchanged".to_owned(),
            reason: Reason::CrontabAltered,
        })
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn write_crontab(crontab: &[u8]) -> Result<(), Error> {
    const DOING: &str = "write your crontab";
    let named = |e: &io::Error| failed(DOING, e);
    let child = child::command("crontab")
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|e| named(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(crontab).map_err(|e| named(&e))?;
    }
    let output = child.wait_with_output().map_err(|e| named(&e))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(refused(DOING, &output))
    }
}

fn run(command: &mut Command) -> Result<Output, Error> {
    let doing = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        format!("run `{}`", words.join(" "))
    };
    let doing = doing();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| failed(&doing, &e))?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(refused(&doing, &output))
    }
}

/// Writes a file so that it is either complete or absent.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let doing = format!("write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file()
                .set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path).map(drop).map_err(|e| e.error)
    });
    written.map_err(|e| failed(&doing, &e))
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(failed(&format!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

fn failed(doing: &str, cause: &io::Error) -> Error {
    Error {
        doing: doing.to_owned(),
        why: cause.to_string(),
        reason: Reason::Failed,
    }
}

fn refused(doing: &str, output: &Output) -> Error {
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim();
    let why = if words.is_empty() {
        output.status.to_string()
    } else {
        words.to_owned()
    };
    Error {
        doing: doing.to_owned(),
        why,
        reason: Reason::Failed,
    }
}
