//! The computer's side of a restore: the phone reads from a sealed backup, and whoever watches is told.

use std::io::{self, Read};
use std::time::{Duration, Instant, SystemTime};

use crate::jobs::complaint;
use crate::mobilebackup::{DeviceFault, Entry, EntryKind, Fault, Host, Kind, Request};
use crate::monitor::{Event, Monitor, Phase};
use crate::path::BackupPath;
use crate::store::METADATA;
use crate::store::overlay::Overlay;

/// What happened while the phone was served.
#[derive(Debug, Default)]
pub struct Course {
    /// Files of the backup that were sent whole, without its bookkeeping.
    pub sent_files: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Files that the phone asked for and that are not there, up to a limit.
    pub absent: Vec<String>,
    /// Files that could not be read, each with why, up to a limit.
    pub unread: Vec<String>,
    /// What the phone asked for room.
    pub asked_bytes: Option<u64>,
    /// The phone's own progress, the last that it told.
    pub percent: Option<f64>,
    /// From the request to the first file.
    pub preparing: Duration,
    /// From the first file to the verdict.
    pub sending: Duration,
}

/// Names that are kept to be shown.
const NAMES_MAX: usize = 20;

/// How often progress is told.
const BETWEEN_NEWS: Duration = Duration::from_millis(100);

/// Serves the phone from a backup that nobody writes to.
pub struct SnapshotHost<'a> {
    overlay: Overlay,
    monitor: &'a dyn Monitor,
    files_total: Option<u64>,
    course: Course,
    phase: Phase,
    phase_began: Instant,
    told: Instant,
}

impl<'a> SnapshotHost<'a> {
    /// Begins to serve.
    pub fn new(
        overlay: Overlay,
        files_total: Option<u64>,
        monitor: &'a dyn Monitor,
    ) -> SnapshotHost<'a> {
        monitor.phase(Phase::Preparing);
        SnapshotHost {
            overlay,
            monitor,
            files_total,
            course: Course::default(),
            phase: Phase::Preparing,
            phase_began: Instant::now(),
            told: Instant::now(),
        }
    }

    /// What happened.
    pub fn finish(mut self) -> Course {
        self.note_time();
        self.course
    }

    fn enter(&mut self, phase: Phase) {
        if phase != self.phase {
            self.note_time();
            self.phase = phase;
            self.monitor.phase(phase);
        }
    }

    fn note_time(&mut self) {
        let spent = match self.phase {
            Phase::Preparing => &mut self.course.preparing,
            _ => &mut self.course.sending,
        };
        *spent += self.phase_began.elapsed();
        self.phase_began = Instant::now();
    }

    fn tell(&mut self) {
        if self.told.elapsed() >= BETWEEN_NEWS {
            self.told = Instant::now();
            self.monitor.event(Event::Progress {
                percent: self.course.percent,
                bytes: self.course.sent_bytes,
                files: self.course.sent_files,
                files_total: self.files_total,
            });
        }
    }

    fn done(&mut self, path: &BackupPath, result: io::Result<()>) -> Result<(), Fault> {
        result.map_err(|e| {
            note(&mut self.course.unread, || format!("{path}: {e}"));
            Fault::from(&e)
        })
    }
}

fn note(names: &mut Vec<String>, name: impl FnOnce() -> String) {
    if names.len() < NAMES_MAX {
        names.push(name());
    }
}

fn is_payload(path: &BackupPath) -> bool {
    path.name().len() == 40
}

impl Host for SnapshotHost<'_> {
    fn begins(&mut self, request: &Request) {
        if let Some(percent) = request.percent {
            self.course.percent = Some(percent);
        }
        match &request.kind {
            Kind::SendFiles(paths) if paths.iter().any(is_payload) => self.enter(Phase::Sending),
            Kind::Purge(amount) => self.course.asked_bytes = Some(*amount),
            _ => {}
        }
        self.tell();
    }

    fn free_space(&mut self) -> Result<u64, Fault> {
        self.overlay.free_space().map_err(|e| Fault::from(&e))
    }

    fn purge(&mut self, _: u64) -> Result<u64, Fault> {
        Err(Fault::NoSpace)
    }

    fn receive(&mut self, path: &BackupPath, body: &mut dyn Read) -> Result<(), Fault> {
        let kept = self.overlay.write(path, body);
        self.done(path, kept)
    }

    fn settle(&mut self) -> Vec<(BackupPath, Fault)> {
        Vec::new()
    }

    fn device_fault(&mut self, fault: DeviceFault) {
        self.monitor.problem(complaint(&fault), None);
    }

    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send + '_>, Fault> {
        let payload = is_payload(path);
        let file = match self.overlay.open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if payload || METADATA.contains(&path.name()) {
                    note(&mut self.course.absent, || path.to_string());
                }
                return Err(Fault::NotFound);
            }
            Err(e) => {
                note(&mut self.course.unread, || format!("{path}: {e}"));
                // Not "not found", whatever it is: the phone would believe that the file is gone.
                return Err(Fault::Io);
            }
        };
        self.tell();
        let base = (self.course.percent, self.files_total);
        Ok(Box::new(Counting {
            file,
            path: path.clone(),
            payload,
            bytes: 0,
            monitor: self.monitor,
            told: &mut self.told,
            base,
            course: &mut self.course,
        }))
    }

    fn list(&mut self, path: &BackupPath) -> Result<Vec<Entry>, Fault> {
        let listed = match self.overlay.list(path) {
            Ok(listed) => listed,
            Err(e) => {
                note(&mut self.course.unread, || format!("{path}: {e}"));
                return Err(Fault::from(&e));
            }
        };
        let entry = |(name, meta): (String, Option<std::fs::Metadata>)| Entry {
            name,
            kind: match &meta {
                None => EntryKind::Directory,
                Some(meta) if meta.is_dir() => EntryKind::Directory,
                Some(meta) if meta.is_file() => EntryKind::Regular,
                Some(_) => EntryKind::Unknown,
            },
            size: meta.as_ref().filter(|m| m.is_file()).map_or(0, |m| m.len()),
            modified: meta
                .and_then(|meta| meta.modified().ok())
                .unwrap_or(SystemTime::UNIX_EPOCH),
        };
        Ok(listed.into_iter().map(entry).collect())
    }

    fn make_dir(&mut self, path: &BackupPath) -> Result<(), Fault> {
        let made = self.overlay.make_dir(path);
        self.done(path, made)
    }

    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault> {
        let moved = self.overlay.rename(from, to);
        self.done(from, moved)
    }

    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault> {
        let copied = self.overlay.copy(from, to);
        self.done(from, copied)
    }

    fn remove(&mut self, path: &BackupPath) -> Result<(), Fault> {
        let removed = self.overlay.remove(path);
        self.done(path, removed)
    }
}

/// A file that tells of itself while it is read, so that one huge file shows progress. Counted once it was read to its end.
struct Counting<'a> {
    file: std::fs::File,
    path: BackupPath,
    payload: bool,
    bytes: u64,
    monitor: &'a dyn Monitor,
    told: &'a mut Instant,
    base: (Option<f64>, Option<u64>),
    course: &'a mut Course,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match self.file.read(buffer) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                note(&mut self.course.unread, || format!("{}: {e}", self.path));
                return Err(e);
            }
            other => other?,
        };
        self.bytes += n as u64;
        if n == 0 && self.payload && !buffer.is_empty() {
            // Whoever reads on after the end does not count it twice.
            self.payload = false;
            self.course.sent_files += 1;
            self.course.sent_bytes += self.bytes;
        }
        if self.bytes >= 1 << 20 && self.told.elapsed() >= BETWEEN_NEWS {
            *self.told = Instant::now();
            let (percent, files_total) = self.base;
            let more = if self.payload { self.bytes } else { 0 };
            self.monitor.event(Event::Progress {
                percent,
                bytes: self.course.sent_bytes + more,
                files: self.course.sent_files,
                files_total,
            });
        }
        Ok(n)
    }
}
