//! The answers of restic: JSON, one object or list in each line.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::shortened;
use super::process::{Output, Sign};
use crate::base::progress::{Event, Monitor};
use crate::repository::Error;
use crate::repository::engine::Pushed;

/// Longest line that is read: the list of all snapshots is one line, with some 400 bytes for each.
const LINE_MAX: usize = 64 << 20;

/// Assembles lines from pieces.
struct Buffer {
    doing: &'static str,
    line: Vec<u8>,
}

impl Buffer {
    fn new(doing: &'static str) -> Buffer {
        Buffer {
            doing,
            line: Vec::new(),
        }
    }

    /// Adds a piece, and passes on the lines that are complete now.
    fn add(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(&str) -> Result<Sign, Error>,
    ) -> Result<Sign, Error> {
        let mut sign = Sign::Life;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE_MAX {
                return Err(garbage(self.doing, &String::from_utf8_lossy(&self.line)));
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") && self.pass_on(each)? == Sign::Progress {
                sign = Sign::Progress;
            }
        }
        Ok(sign)
    }

    /// Passes on the line, if there is one.
    fn pass_on(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<Sign, Error>,
    ) -> Result<Sign, Error> {
        let text = String::from_utf8(std::mem::take(&mut self.line));
        let text = text.map_err(|e| garbage(self.doing, &String::from_utf8_lossy(e.as_bytes())))?;
        match text.trim_end() {
            "" => Ok(Sign::Life),
            text => each(text),
        }
    }
}

/// Passes on the lines of a call.
pub(super) struct Lines<'a, F> {
    buffer: Buffer,
    each: F,
    monitor: &'a dyn Monitor,
}

impl<'a, F: FnMut(&str) -> Result<Sign, Error>> Lines<'a, F> {
    pub(super) fn new(doing: &'static str, monitor: &'a dyn Monitor, each: F) -> Lines<'a, F> {
        Lines {
            buffer: Buffer::new(doing),
            each,
            monitor,
        }
    }

    /// Passes on a last line that has no end.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.buffer.pass_on(&mut self.each).map(drop)
    }
}

impl<F: FnMut(&str) -> Result<Sign, Error>> Output for Lines<'_, F> {
    fn out(&mut self, bytes: &[u8]) -> Result<Sign, Error> {
        self.buffer.add(bytes, &mut self.each)
    }

    fn complaint(&mut self, line: &str) {
        note_retry(line, self.monitor);
    }
}

/// Returns the error about a line that is not understood.
pub(super) fn garbage(doing: &'static str, line: &str) -> Error {
    Error::Garbage {
        doing,
        line: shortened(line),
    }
}

/// Parses a line.
pub(super) fn parsed<T: DeserializeOwned>(doing: &'static str, line: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|_| garbage(doing, line))
}

/// A line of `restic backup`.
#[derive(Debug, Deserialize)]
#[serde(tag = "message_type", rename_all = "snake_case")]
enum Line {
    Status(Status),
    Summary(Summary),
    Error(Trouble),
    #[serde(other)]
    Other,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
struct Status {
    percent_done: f64,
    total_files: u64,
    files_done: u64,
    total_bytes: u64,
    bytes_done: u64,
}

#[derive(Debug, Deserialize)]
struct Summary {
    total_files_processed: u64,
    total_bytes_processed: u64,
    data_added: u64,
    #[serde(default)]
    snapshot_id: String,
}

#[derive(Debug, Deserialize)]
struct Trouble {
    #[serde(default)]
    item: String,
    #[serde(default)]
    error: serde_json::Value,
}

/// The output of `restic backup`.
pub(super) struct Pushing<'a> {
    buffer: Buffer,
    monitor: &'a dyn Monitor,
    last: Status,
    /// The summary, once it came.
    pub done: Option<Pushed>,
    /// The number of files that could not be read.
    pub unread: u64,
    /// The first of them, with the reason.
    pub first_unread: Option<String>,
}

impl<'a> Pushing<'a> {
    pub(super) fn new(doing: &'static str, monitor: &'a dyn Monitor) -> Pushing<'a> {
        Pushing {
            buffer: Buffer::new(doing),
            monitor,
            last: Status::default(),
            done: None,
            unread: 0,
            first_unread: None,
        }
    }

    /// Understands a line of the output.
    fn line(&mut self, line: &str) -> Result<Sign, Error> {
        match parsed(self.buffer.doing, line)? {
            Line::Status(status) => {
                if status == self.last {
                    return Ok(Sign::Life);
                }
                self.monitor.event(Event::Progress {
                    percent: Some(status.percent_done * 100.0),
                    bytes: status.bytes_done,
                    files: status.files_done,
                    files_total: Some(status.total_files),
                    bytes_total: Some(status.total_bytes).filter(|total| *total > 0),
                });
                self.last = status;
            }
            Line::Summary(summary) => {
                self.done = Some(Pushed {
                    id: summary.snapshot_id,
                    files: summary.total_files_processed,
                    bytes: summary.total_bytes_processed,
                    bytes_added: summary.data_added,
                });
            }
            Line::Error(trouble) => self.trouble(&trouble),
            Line::Other => {}
        }
        Ok(Sign::Progress)
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.unread += 1;
        let why = match &trouble.error {
            serde_json::Value::String(why) => why.clone(),
            error => {
                let inner = ["message", "Err"].iter().find_map(|key| error.get(*key));
                inner.unwrap_or(error).to_string()
            }
        };
        let told = || shortened(&format!("{}: {why}", trouble.item));
        self.first_unread.get_or_insert_with(told);
    }

    /// Understands a last line that has no end.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.out(b"\n").map(drop)
    }
}

impl Output for Pushing<'_> {
    fn out(&mut self, bytes: &[u8]) -> Result<Sign, Error> {
        let doing = self.buffer.doing;
        let mut buffer = std::mem::replace(&mut self.buffer, Buffer::new(doing));
        let sign = buffer.add(bytes, &mut |line| self.line(line));
        self.buffer = buffer;
        sign
    }

    /// Understands a line of the error output: a file that could not be read, or a request that
    /// restic repeats.
    fn complaint(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Line::Error(trouble)) => self.trouble(&trouble),
            _ => note_retry(line, self.monitor),
        }
    }
}

/// Passes on what restic says about a request that it repeats, so that the user knows why nothing
/// goes on.
pub(super) fn note_retry(line: &str, monitor: &dyn Monitor) {
    if line.contains("retrying after") {
        monitor.note(format!("restic: {}", shortened(line)));
    }
}

/// Reads the percentage in a line of progress for people, such as
/// `[0:05] 12.50%  30 / 240 packs`.
pub(super) fn percent(line: &str) -> Option<f64> {
    let rest = line.strip_prefix('[')?.split_once(']')?.1;
    rest.trim_start().split_once('%')?.0.parse().ok()
}

/// The output of a command that prints for people.
pub(super) struct Spoken<'a> {
    monitor: &'a dyn Monitor,
    last: f64,
    /// Lines that are worth repeating.
    pub remarks: Vec<String>,
}

impl<'a> Spoken<'a> {
    pub(super) fn new(monitor: &'a dyn Monitor) -> Spoken<'a> {
        Spoken {
            monitor,
            last: -1.0,
            remarks: Vec::new(),
        }
    }

    /// Understands a line.
    pub(super) fn line(&mut self, line: &str) -> Result<Sign, Error> {
        const REMARKS: [&str; 3] = ["additional files", "not referenced", "duplicate"];
        const REMARKS_MAX: usize = 20;
        match percent(line) {
            Some(percent) if percent == self.last => return Ok(Sign::Life),
            Some(percent) => {
                self.last = percent;
                self.monitor.event(Event::Progress {
                    percent: Some(percent),
                    bytes: 0,
                    files: 0,
                    files_total: None,
                    bytes_total: None,
                });
            }
            None => {
                let is_remark = REMARKS.iter().any(|word| line.contains(word));
                if is_remark && self.remarks.len() < REMARKS_MAX {
                    self.remarks.push(shortened(line));
                }
            }
        }
        Ok(Sign::Progress)
    }
}

/// Returns the error of a push that left files out.
pub(super) fn incomplete(pushing: Pushing<'_>) -> Error {
    Error::Incomplete {
        files: crate::base::units::counted(pushing.unread.max(1), "file"),
        first: pushing
            .first_unread
            .unwrap_or_else(|| "restic gave no reason".to_owned()),
        snapshot: pushing.done.map(|done| done.id).filter(|id| !id.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;

    fn lines_of(pieces: &[&[u8]]) -> Result<Vec<String>, Error> {
        let mut seen = Vec::new();
        let mut lines = Lines::new("read", &Silent, |line: &str| {
            seen.push(line.to_owned());
            Ok(Sign::Life)
        });
        for piece in pieces {
            lines.out(piece)?;
        }
        lines.finish()?;
        Ok(seen)
    }

    #[test]
    fn lines_are_put_together() {
        let seen = lines_of(&[b"a", b"b\n\nc\r\n", b"d"]).unwrap();
        assert_eq!(seen, ["ab", "c", "d"]);
        let garbage = lines_of(&[b"\xff\xfe\n"]).unwrap_err();
        assert!(matches!(garbage, Error::Garbage { .. }), "{garbage}");
    }

    #[test]
    fn summaries_and_errors_are_understood() {
        let mut pushing = Pushing::new("push", &Silent);
        for line in [
            r#"{"message_type":"status","percent_done":0.5,"total_files":1,"total_bytes":4}"#,
            r#"{"message_type":"verbose_status","action":"new"}"#,
            r#"{"message_type":"summary","files_new":3,"data_added":2475,"total_files_processed":3,"total_bytes_processed":9,"snapshot_id":"d165044e"}"#,
        ] {
            assert_eq!(pushing.line(line).unwrap(), Sign::Progress, "{line}");
        }
        let done = pushing.done.clone().unwrap();
        assert_eq!(
            (done.id.as_str(), done.files, done.bytes_added),
            ("d165044e", 3, 2475)
        );
        pushing.complaint(
            r#"{"message_type":"error","error":{"Op":"open","Err":13},"during":"archival","item":"/a"}"#,
        );
        assert_eq!(pushing.first_unread.as_deref(), Some("/a: 13"));
        for line in ["hello", "[]", r#"{"message_type":"summary"}"#] {
            assert!(pushing.line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn repeated_status_is_no_progress() {
        let status = r#"{"message_type":"status","percent_done":0.5,"bytes_done":4}"#;
        let mut pushing = Pushing::new("push", &Silent);
        assert_eq!(pushing.line(status).unwrap(), Sign::Progress);
        assert_eq!(pushing.line(status).unwrap(), Sign::Life);
        let mut spoken = Spoken::new(&Silent);
        let line = "[0:05] 12.50%  30 / 240 packs";
        assert_eq!(percent(line), Some(12.5));
        assert_eq!(spoken.line(line).unwrap(), Sign::Progress);
        assert_eq!(spoken.line(line).unwrap(), Sign::Life);
    }
}
