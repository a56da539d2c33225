//! Implements the computer's side of a restore: serves the phone from a sealed backup and reports
//! progress.

use std::collections::HashSet;
use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use super::sent_hashes::{Comparison, Sent, SentHashes};
use crate::base::backup_path::BackupPath;
use crate::base::phases::Phases;
use crate::base::progress::{Event, Monitor, Phase};
use crate::mobilebackup::{DeviceFault, Entry, EntryKind, Fault, Host, Kind, Request};
use crate::store::restore_overlay::Overlay;
use crate::store::{self, METADATA};

/// A record of what happened while the phone was served.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// Number of the backup's data files that were sent to their end, each counted once. The last
    /// of them may not have arrived.
    pub sent_files: u64,
    /// True if the phone seems to have everything: it sent an empty request, or made another
    /// request after the last file of the list.
    pub asked_all: bool,
    /// Total bytes of these files.
    pub sent_bytes: u64,
    /// Files that the phone asked for and that do not exist, at most `NAMES_MAX` (20).
    pub absent: Vec<String>,
    /// Files that could not be read, each with the error, at most `NAMES_MAX` (20).
    pub unread: Vec<String>,
    /// The last progress that the phone reported, in percent.
    pub percent: Option<f64>,
    /// Time from the request to the first file.
    pub preparing: Duration,
    /// Time from the first file to the verdict.
    pub sending: Duration,
    /// Result of comparing the files with the list of hashes while they were sent; `None` if they
    /// were not compared.
    pub sent: Option<Sent>,
}

/// Maximum number of names that are kept for display.
const NAMES_MAX: usize = 20;

/// Maximum number of files remembered in order to count each only once. More than phones hold, at
/// some 20 bytes each.
const KNOWN_MAX: usize = 4 << 20;

/// The names of a backup's list of files: since iOS 10, and before.
const LISTS: [&str; 2] = ["Manifest.db", "Manifest.mbdb"];

/// Serves the phone from a backup that does not change meanwhile.
pub(crate) struct SnapshotHost<'a> {
    overlay: Overlay,
    monitor: &'a dyn Monitor,
    files_total: Option<u64>,
    bytes_total: Option<u64>,
    course: Course,
    known: HashSet<u64>,
    hashes: Option<SentHashes>,
    phases: Phases<'a>,
}

impl<'a> SnapshotHost<'a> {
    /// Begins to serve. The caller has already reported the phase [`Phase::Preparing`]. Compares
    /// the files with `hashes` while they are sent, if there are any.
    pub(crate) fn new(
        overlay: Overlay,
        files_total: Option<u64>,
        hashes: Option<SentHashes>,
        monitor: &'a dyn Monitor,
    ) -> SnapshotHost<'a> {
        SnapshotHost {
            overlay,
            monitor,
            files_total,
            bytes_total: None,
            course: Course::default(),
            known: HashSet::new(),
            hashes,
            phases: Phases::new(Phase::Preparing, monitor),
        }
    }

    /// Sets the size of the files that the phone is expected to request.
    pub(super) fn expecting(mut self, bytes: Option<u64>) -> Self {
        self.bytes_total = bytes;
        self
    }

    fn totals(&self) -> Totals {
        Totals {
            files: self.files_total,
            bytes: self.bytes_total,
        }
    }

    /// Returns the record of what happened.
    pub(crate) fn finish(self) -> Course {
        Course {
            preparing: self.phases.spent(Phase::Preparing),
            sending: self.phases.spent(Phase::Sending),
            sent: self.hashes.map(SentHashes::finish),
            ..self.course
        }
    }

    fn tell(&mut self) {
        let (course, totals) = (&self.course, self.totals());
        self.phases.news(|| progress(course, totals, 0));
    }

    /// Records that a file does not exist, unless the phone can do without it.
    fn note_absence(&mut self, path: &BackupPath) {
        let name = path.name();
        let is_missed = match LISTS.iter().position(|list| *list == name) {
            // Phones ask for both lists, and a backup has only one of them.
            Some(at) => {
                let other = LISTS[1 - at];
                let other = path
                    .as_str()
                    .strip_suffix(name)
                    .map(|folder| format!("{folder}{other}"));
                let other = other.and_then(|other| other.parse().ok());
                other.is_none_or(|other| self.overlay.open(&other).is_err())
            }
            None => is_payload(path) || METADATA.contains(&name),
        };
        if is_missed {
            note(&mut self.course.absent, || path.to_string());
        }
    }

    /// Begins to compare a file with the list of hashes, if that is wanted and the list names it.
    fn compare(&mut self, path: &BackupPath) -> Result<Option<Comparison>, store::Error> {
        match (&mut self.hashes, self.overlay.sealed_path(path)) {
            (Some(hashes), Some(name)) => hashes.begin(&name),
            _ => Ok(None),
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

/// Returns a value that identifies a file: names are SHA-1 hashes, and their first 64 bits suffice.
fn mark(path: &BackupPath) -> u64 {
    let start = path.name().get(..16);
    start
        .and_then(|start| u64::from_str_radix(start, 16).ok())
        .unwrap_or(0)
}

/// Limits the displayed number of files to the total, whatever the phone asks for.
fn shown(files: u64, total: Option<u64>) -> u64 {
    total.map_or(files, |total| files.min(total))
}

fn progress(course: &Course, totals: Totals, more_bytes: u64) -> Event {
    let bytes = course.sent_bytes + more_bytes;
    Event::Progress {
        percent: course.percent,
        bytes,
        files: shown(course.sent_files, totals.files),
        files_total: totals.files,
        bytes_total: totals.bytes.filter(|total| *total >= bytes),
    }
}

impl Host for SnapshotHost<'_> {
    fn begins(&mut self, request: &Request) {
        if let Some(percent) = request.percent {
            self.course.percent = Some(percent.clamp(0.0, 100.0));
        }
        // A phone that makes another request has received what was sent before.
        self.course.asked_all |=
            (self.files_total).is_some_and(|all| all > 0 && self.course.sent_files >= all);
        match &request.kind {
            Kind::SendFiles(paths) if paths.is_empty() && self.course.sent_files > 0 => {
                self.course.asked_all = true;
            }
            Kind::SendFiles(paths) if paths.iter().any(is_payload) => {
                self.phases.enter(Phase::Sending);
            }
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
        self.monitor.problem(fault.into());
    }

    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send + '_>, Fault> {
        // The session ends at the end of this request, so the rest need not be sent.
        if self.hashes.as_ref().is_some_and(SentHashes::has_altered) {
            return Err(Fault::Io);
        }
        let payload = is_payload(path);
        let file = match self.overlay.open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.note_absence(path);
                return Err(Fault::NotFound);
            }
            Err(e) => {
                note(&mut self.course.unread, || format!("{path}: {e}"));
                // Never "not found", whatever the error is: the phone would conclude that the file
                // was deleted.
                return Err(Fault::Io);
            }
        };
        let comparison = match self.compare(path) {
            Ok(comparison) => comparison,
            Err(e) => {
                note(&mut self.course.unread, || format!("{path}: {e}"));
                return Err(Fault::Io);
            }
        };
        self.tell();
        Ok(Box::new(Counting {
            file,
            comparison,
            path: path.clone(),
            payload,
            bytes: 0,
            phases: &mut self.phases,
            totals: Totals {
                files: self.files_total,
                bytes: self.bytes_total,
            },
            known: &mut self.known,
            course: &mut self.course,
        }))
    }

    fn confirm_sent(&mut self) -> Result<(), Fault> {
        match &self.hashes {
            Some(hashes) if !hashes.wait() => Err(Fault::Io),
            _ => Ok(()),
        }
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

/// The numbers of files and bytes that the phone is expected to request.
#[derive(Debug, Clone, Copy)]
struct Totals {
    files: Option<u64>,
    bytes: Option<u64>,
}

/// A file that reports progress while it is read, so that a huge file shows some. Counted once it
/// was read to its end.
struct Counting<'a, 'm> {
    file: std::fs::File,
    comparison: Option<Comparison>,
    path: BackupPath,
    payload: bool,
    bytes: u64,
    phases: &'a mut Phases<'m>,
    totals: Totals,
    known: &'a mut HashSet<u64>,
    course: &'a mut Course,
}

impl Read for Counting<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.comparison.as_ref().is_some_and(Comparison::is_in_vain) {
            return Err(io::Error::other("another file of the backup is altered"));
        }
        let n = match self.file.read(buffer) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                note(&mut self.course.unread, || format!("{}: {e}", self.path));
                return Err(e);
            }
            other => other?,
        };
        self.bytes += n as u64;
        if let Some(comparison) = &mut self.comparison {
            match n {
                0 if buffer.is_empty() => {}
                0 => comparison.end(),
                n => comparison.add(&buffer[..n]),
            }
        }
        if n == 0 && self.payload && !buffer.is_empty() {
            // Reading on after the end must not count the file twice.
            self.payload = false;
            // A file that the phone requests again is not counted again either.
            let is_new = self.known.len() >= KNOWN_MAX || self.known.insert(mark(&self.path));
            if is_new {
                self.course.sent_files += 1;
                self.course.sent_bytes += self.bytes;
            }
        }
        if self.bytes >= 1 << 20 {
            let more = if self.payload { self.bytes } else { 0 };
            let (course, totals) = (&*self.course, self.totals);
            self.phases.news(|| progress(course, totals, more));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use std::fs;

    fn path(name: &str) -> BackupPath {
        format!("U/{name}").parse().unwrap()
    }

    fn asks(names: &[&str], percent: f64) -> Request {
        Request {
            kind: Kind::SendFiles(names.iter().map(|name| path(name)).collect()),
            percent: Some(percent),
        }
    }

    fn send(host: &mut SnapshotHost<'_>, name: &str) {
        io::copy(&mut host.open(&path(name)).unwrap(), &mut io::sink()).unwrap();
    }

    #[test]
    fn one_manifest_list_is_enough() {
        for (has, asked, missed) in [
            (Some("Manifest.mbdb"), "Manifest.db", false),
            (Some("Manifest.db"), "Manifest.mbdb", false),
            (None, "Manifest.db", true),
            (Some("Manifest.db"), "Status.plist", true),
            (Some("Manifest.db"), "Anything.plist", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            if let Some(has) = has {
                fs::write(folder.path().join(has), "x").unwrap();
            }
            let mut host = SnapshotHost::new(Overlay::new(folder.path(), "U"), None, None, &Silent);
            assert!(host.open(&path(asked)).is_err());
            assert_eq!(host.finish().absent.is_empty(), !missed, "{has:?} {asked}");
        }
    }

    /// Checks that a file the phone requests twice counts once. All files count as requested only
    /// after the phone's next message.
    #[test]
    fn repeated_requests_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a", "b"].map(|letter| letter.repeat(40));
        for name in &names {
            let part = folder.path().join(&name[..2]);
            fs::create_dir(&part).unwrap();
            fs::write(part.join(name), "four").unwrap();
        }
        let [a, b] = names.map(|name| format!("{}/{name}", &name[..2]));
        let overlay = || Overlay::new(folder.path(), "U");
        let mut host = SnapshotHost::new(overlay(), Some(2), None, &Silent);
        host.begins(&asks(&[&a, &a], -1e300));
        assert_eq!(host.course.percent, Some(0.0));
        send(&mut host, &a);
        send(&mut host, &a);
        assert_eq!((host.course.sent_files, host.course.sent_bytes), (1, 4));
        host.begins(&asks(&[&b], 1e308));
        assert_eq!(host.course.percent, Some(100.0));
        assert!(!host.course.asked_all, "one of two");
        send(&mut host, &b);
        assert!(!host.course.asked_all, "it may lie in a buffer here");
        host.begins(&asks(&[], 97.0));
        assert!(host.finish().asked_all);

        // In a partial restore only the phone knows the total.
        let mut host = SnapshotHost::new(overlay(), Some(2), None, &Silent);
        host.begins(&asks(&[&a], 5.0));
        send(&mut host, &a);
        host.begins(&asks(&[], 97.0));
        assert!(host.finish().asked_all);
        assert_eq!(
            (shown(3, Some(2)), shown(1, Some(2)), shown(3, None)),
            (2, 1, 3)
        );
    }
}
