//! Log files: a copy of all lines on stderr, and for a scheduled job also of its report, with a
//! timestamp before each. Only one older file is kept, so that a log cannot fill the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
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

/// Origin of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A line for stderr.
    Stderr,
    /// A line of a report, for stdout.
    Stdout,
    /// A line for the user's log only.
    Log,
}

/// Purpose of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The file that the user named: a copy of stderr.
    User,
    /// The log of a scheduled job: a copy of stderr and of reports.
    Job,
}

struct Log {
    path: PathBuf,
    level: Level,
    purpose: Purpose,
    file: File,
    bytes: u64,
}

struct Logs {
    all: Vec<Log>,
    /// Severity of the last line, to which indented lines belong.
    last: Level,
}

static LOGS: Mutex<Logs> = Mutex::new(Logs {
    all: Vec::new(),
    last: Level::Info,
});

/// Starts a log. If two logs of one purpose are started, the first one stays.
pub fn begin(path: &Path, level: Level, purpose: Purpose) -> io::Result<()> {
    let (file, bytes) = open(path)?;
    let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    if !logs.all.iter().any(|log| log.purpose == purpose) {
        let path = path.to_path_buf();
        logs.all.push(Log {
            path,
            level,
            purpose,
            file,
            bytes,
        });
    }
    Ok(())
}

/// Adds lines to the logs, and returns the severity of the most severe one, by its words.
pub fn add(text: &str, source: Source) -> Level {
    add_at(text, source, None)
}

/// Adds lines of a known severity to the logs, and returns the severity of the most severe one.
pub fn add_at(text: &str, source: Source, known: Option<Level>) -> Level {
    let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut worst = Level::Info;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let level = known.unwrap_or_else(|| level_of(line, logs.last));
        logs.last = level;
        worst = worst.min(level);
        for log in &mut logs.all {
            log.add(line, level, source);
        }
    }
    worst
}

/// Returns the severity of a line that follows one of the severity `last`.
fn level_of(line: &str, last: Level) -> Level {
    let has = |words: &str| line.contains(words);
    match line {
        _ if has("error: ") => Level::Error,
        _ if has("problem: ") || has("OVERDUE: ") || has("MUCH SMALLER: ") => Level::Warning,
        // Hints and other indented lines belong to the line before.
        line if line.starts_with(' ') || has(":   hint: ") || has("Z   hint: ") => last,
        _ => Level::Info,
    }
}

impl Log {
    fn add(&mut self, line: &str, level: Level, source: Source) {
        let is_wanted = match self.purpose {
            Purpose::User => source != Source::Stdout,
            Purpose::Job => source != Source::Log,
        };
        if !is_wanted || level > self.level {
            return;
        }
        let now = time::rfc3339(SystemTime::now());
        let line = if line.starts_with(&now[..11]) {
            format!("{line}\n")
        } else {
            format!("{now} {line}\n")
        };
        if self.bytes > BYTES_MAX
            && let Ok((file, bytes)) = open(&self.path)
        {
            (self.file, self.bytes) = (file, bytes);
        }
        // On a full disk, the backup itself reports the error.
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.bytes += line.len() as u64;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_severities() {
        let mut last = Level::Info;
        for (line, level) in [
            ("2026-11-30T01:00:00Z Receiving", Level::Info),
            ("  nothing new", Level::Info),
            ("Kitchen iPad: error: the connection was lost", Level::Error),
            ("  hint: check the cable", Level::Error),
            (
                "2026-11-30T01:00:00Z problem: a file is gone",
                Level::Warning,
            ),
            ("2026-11-30T01:00:00Z   hint: look", Level::Warning),
            (
                "2026-11-30T01:00:00Z Mira's iPhone: problem: x",
                Level::Warning,
            ),
            (
                "2026-11-30T01:00:00Z Mira's iPhone:   hint: y",
                Level::Warning,
            ),
            ("2026-11-30T01:00:00Z Done", Level::Info),
            (
                "OVERDUE: Mira's iPhone: it has no good backup",
                Level::Warning,
            ),
            ("", Level::Info),
        ] {
            last = level_of(line, last);
            assert_eq!(last, level, "{line}");
        }
    }
}
