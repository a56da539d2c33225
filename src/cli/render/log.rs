//! Log file: a copy of all lines on stderr, with a timestamp before each. Only one older file is
//! kept, so that the log cannot fill the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use clap::ValueEnum;
use idev_backup::base::time;

/// Size in bytes beyond which the log is renamed to FILE.1, replacing the previous one.
const BYTES_MAX: u64 = 1_000_000;

/// Severities that a log contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Errors only
    Error,
    /// Errors and problems
    Warning,
    /// Everything
    Info,
}

struct Log {
    path: PathBuf,
    level: Level,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    last: Level,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log. If two logs are started, the first one stays.
pub fn begin(path: &Path, level: Level) -> io::Result<()> {
    let (file, bytes) = open(path)?;
    let open = Mutex::new(Open {
        file,
        bytes,
        last: Level::Info,
    });
    let path = path.to_path_buf();
    drop(LOG.set(Log { path, level, open }));
    Ok(())
}

/// Adds lines printed for the user to the log.
pub fn add(text: &str) {
    let Some(log) = LOG.get() else { return };
    let mut open = log.open.lock().unwrap_or_else(PoisonError::into_inner);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let level = match line {
            // Hints and other indented lines belong to the line before.
            line if line.starts_with(' ') => open.last,
            line if line.contains("error: ") => Level::Error,
            line if line.contains("problem: ") => Level::Warning,
            _ => Level::Info,
        };
        open.last = level;
        if level > log.level {
            continue;
        }
        let now = time::rfc3339(SystemTime::now());
        let line = if line.starts_with(&now[..11]) {
            format!("{line}\n")
        } else {
            format!("{now} {line}\n")
        };
        if open.bytes > BYTES_MAX
            && let Ok((file, bytes)) = self::open(&log.path)
        {
            (open.file, open.bytes) = (file, bytes);
        }
        // On a full disk, the backup itself reports the error.
        if open.file.write_all(line.as_bytes()).is_ok() {
            open.bytes += line.len() as u64;
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > BYTES_MAX) {
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        std::fs::rename(path, older)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // The log names the phone and its files, so only its owner may read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}
