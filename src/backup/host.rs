//! Implements the computer's side of a backup: carries out the phone's requests in the draft, and
//! reports progress.

use std::io::Read;
use std::time::{Duration, SystemTime};

use super::problem::Problem;
use crate::base::backup_path::BackupPath;
use crate::base::phases::Phases;
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::units::size;
use crate::history::change::removing;
use crate::mobilebackup::error_codes::{ASKED_BEYOND_NEED_BYTES, Shortage};
use crate::mobilebackup::{DeviceFault, Entry, EntryKind, Fault, Host, Kind, Request};
use crate::store::draft::{FreedSpace, Need};
use crate::store::{self, Draft, METADATA, Policy};

/// Events and totals of one dialog with the phone.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// Number of received files that are part of the backup, not of its bookkeeping.
    pub received_files: u64,
    /// Size of these files in bytes.
    pub received_bytes: u64,
    /// Number of files that the phone removed from the backup.
    pub removed_files: u64,
    /// Files that the phone could not read.
    pub device_faults: Vec<DeviceFault>,
    /// The first error on our disk.
    pub disk_error: Option<store::Error>,
    /// The phone got as far as moving files to their places.
    pub arranged: bool,
    /// The phone sent its Status.plist.
    pub status_came: bool,
    /// Snapshots that were dropped because the phone asked for space.
    pub dropped: Vec<String>,
    /// Space that the phone still lacked after snapshots were dropped.
    pub shortage: Option<Shortage>,
    /// Time from the request to the first file.
    pub scanning: Duration,
    /// Time from the first file to the last.
    pub receiving: Duration,
    /// Time from the last file to the verdict.
    pub finishing: Duration,
}

/// Number of files that the phone could not read and that are kept to be shown; more are only
/// reported.
const FAULTS_MAX: usize = 100;

const STATUS: &str = "Status.plist";

/// Serves the phone from a draft.
pub(crate) struct DraftHost<'a> {
    draft: &'a mut Draft,
    keep: &'a Policy,
    may_drop: &'a dyn Fn() -> bool,
    monitor: &'a dyn Monitor,
    course: Course,
    phases: Phases<'a>,
    percent: Option<f64>,
    /// Size of the files that the phone is expected to send, in bytes.
    expected: Option<u64>,
}

impl<'a> DraftHost<'a> {
    /// Starts to serve. If the phone lacks space and `may_drop` returns true, snapshots that `keep`
    /// does not keep are dropped.
    pub(crate) fn new(
        draft: &'a mut Draft,
        keep: &'a Policy,
        may_drop: &'a dyn Fn() -> bool,
        monitor: &'a dyn Monitor,
    ) -> DraftHost<'a> {
        monitor.phase(Phase::Scanning);
        DraftHost {
            draft,
            keep,
            may_drop,
            monitor,
            course: Course::default(),
            phases: Phases::new(Phase::Scanning, monitor),
            percent: None,
            expected: None,
        }
    }

    /// Sets the size of the files that the phone is expected to send: that of the previous backup,
    /// if the phone sends everything. A phone announces only the size of each batch, of which there
    /// are many (libimobiledevice #1707 shows batches of some 50 MB).
    pub(crate) fn expecting(mut self, bytes: Option<u64>) -> Self {
        self.expected = bytes;
        self
    }

    /// Ends the service, and returns the course of the dialog.
    pub(crate) fn finish(self) -> Course {
        let spent = |phase| self.phases.spent(phase);
        Course {
            scanning: spent(Phase::Scanning),
            receiving: spent(Phase::Receiving),
            finishing: spent(Phase::Arranging) + spent(Phase::PhoneChecking),
            ..self.course
        }
    }

    fn tell(&mut self) {
        let (course, percent, expected) = (&self.course, self.percent, self.expected);
        self.phases.news(|| progress(course, percent, expected, 0));
    }

    /// Keeps the whole error for the user, and returns the short code that the phone receives.
    fn fault(&mut self, e: store::Error) -> Fault {
        let fault = match &e {
            store::Error::Io { cause, .. } => Fault::from(cause),
            _ => Fault::Generic,
        };
        if self.course.disk_error.is_none() {
            self.course.disk_error = Some(e);
        }
        fault
    }

    fn is_payload(path: &BackupPath) -> bool {
        path.name().len() == 40
    }
}

impl Host for DraftHost<'_> {
    fn begins(&mut self, request: &Request) {
        if let Some(percent) = request.percent {
            self.percent = Some(percent);
        }
        let arranged = matches!(self.phases.now(), Phase::Arranging | Phase::PhoneChecking);
        match &request.kind {
            Kind::Move(_) | Kind::Remove(_) => {
                self.course.arranged = true;
                self.phases.enter(Phase::Arranging);
            }
            Kind::SendFiles(_) | Kind::List(_) if arranged => {
                self.phases.enter(Phase::PhoneChecking);
            }
            // Some phones start to send files again after files changed under them.
            Kind::ReceiveFiles(_) if !arranged => self.phases.enter(Phase::Receiving),
            _ => {}
        }
        self.tell();
    }

    fn free_space(&mut self) -> Result<u64, Fault> {
        let free = self.draft.free_space().map_err(|e| self.fault(e))?;
        Ok(free)
    }

    fn purge(&mut self, amount: u64) -> Result<u64, Fault> {
        let now = crate::base::time::local(SystemTime::now());
        let need = Need {
            wanted_bytes: amount,
            least_bytes: amount.saturating_sub(ASKED_BEYOND_NEED_BYTES),
        };
        let before = self.phases.now();
        let (phases, monitor) = (&mut self.phases, self.monitor);
        // A backup that cannot be read must not cost one that can.
        let may_drop = (self.may_drop)();
        if !may_drop {
            monitor.note(
                "The phone needs more disk space, but older backups are not dropped: the given \
                 password does not open the current backup."
                    .to_owned(),
            );
        }
        let mut step = |removal| {
            if phases.now() != Phase::Removing {
                monitor.note("The phone asks for more disk space.".to_owned());
                phases.enter(Phase::Removing);
            }
            phases.news(|| removing(removal));
        };
        let space = if may_drop {
            self.draft.make_space(need, self.keep, now, &mut step)
        } else {
            Ok(FreedSpace::default())
        };
        self.phases.enter(before);
        let space = space.map_err(|e| self.fault(e))?;
        if let Some(e) = space.trouble {
            self.monitor.problem(Problem::NotRemoved(e).into());
        }
        if !space.dropped.is_empty() {
            let freed = size(space.freed_bytes);
            self.monitor.note(format!(
                "Dropped snapshots that the retention rules do not keep after this backup: {}; \
                 this freed {freed}.",
                space.dropped.join(", ")
            ));
        }
        self.course.dropped.extend(space.dropped);
        let freed_bytes = space.freed_bytes;
        let free_bytes = self.draft.free_space().map_err(|e| self.fault(e))?;
        // Note what the phone still lacks. It asks for more than it needs, so it may continue
        // despite that.
        self.course.shortage = Some(Shortage {
            asked_bytes: amount.saturating_sub(freed_bytes),
            free_bytes,
        });
        match freed_bytes {
            0 => Err(Fault::NoSpace),
            freed => Ok(freed),
        }
    }

    fn receive(&mut self, path: &BackupPath, body: &mut dyn Read) -> Result<(), Fault> {
        let payload = Self::is_payload(path);
        let mut counting = Counting {
            body,
            bytes: 0,
            phases: &mut self.phases,
            course: &self.course,
            percent: self.percent,
            expected: self.expected,
        };
        let kept = self.draft.keep(path, &mut counting);
        let bytes = counting.bytes;
        self.course.status_came |= kept.is_ok() && path.name() == STATUS;
        if kept.is_ok() && payload {
            self.course.received_files += 1;
            self.course.received_bytes += bytes;
        }
        self.tell();
        // Only reading the body can fail here, and the session knows that error. Errors of the disk
        // are reported by `settle`.
        kept.map_err(|_| Fault::Io)
    }

    fn settle(&mut self) -> Vec<(BackupPath, Fault)> {
        match self.draft.settle() {
            Ok(failed) => failed
                .into_iter()
                .map(|(path, e)| (path, self.fault(e)))
                .collect(),
            Err(e) => {
                let fault = self.fault(e);
                let status = format!("{}/Status.plist", self.draft.udid());
                status
                    .parse()
                    .map(|path| vec![(path, fault)])
                    .unwrap_or_default()
            }
        }
    }

    fn device_fault(&mut self, fault: DeviceFault) {
        // This file always fails on iOS 17, and nothing is lost (pymobiledevice3 #755).
        let harmless = fault
            .device_path
            .ends_with("FileProvider/backup/backup_manifest.db");
        if harmless {
            self.monitor.note(format!(
                "{}: a known fault of iOS 17, no data is lost",
                fault
            ));
        } else {
            self.monitor.problem(fault.clone().into());
        }
        if self.course.device_faults.len() < FAULTS_MAX {
            self.course.device_faults.push(fault);
        }
    }

    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send>, Fault> {
        let file = match self.draft.read(path) {
            // A missing file is an answer, not an error: every first backup begins with one.
            Err(store::Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(Fault::NotFound);
            }
            other => other.map_err(|e| self.fault(e))?,
        };
        let empty = file.metadata().is_ok_and(|m| m.len() == 0);
        if empty && METADATA.contains(&path.name()) {
            // An empty property list of an interrupted run would end in error 205 (libimobiledevice
            // #1582).
            return Err(Fault::NotFound);
        }
        Ok(Box::new(file))
    }

    fn list(&mut self, path: &BackupPath) -> Result<Vec<Entry>, Fault> {
        let folder = self.draft.place(path);
        let failed = |e| store::Error::io("list", &folder, e);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(self.fault(failed(e))),
        };
        let mut found = Vec::new();
        for entry in entries {
            match entry.and_then(|entry| describe(&entry)) {
                Ok(entry) => found.extend(entry),
                Err(e) => return Err(self.fault(failed(e))),
            }
        }
        Ok(found)
    }

    fn make_dir(&mut self, path: &BackupPath) -> Result<(), Fault> {
        self.draft.make_dir(path).map_err(|e| self.fault(e))
    }

    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault> {
        self.draft.rename(from, to).map_err(|e| self.fault(e))
    }

    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault> {
        self.draft.copy(from, to).map_err(|e| self.fault(e))
    }

    fn remove(&mut self, path: &BackupPath) -> Result<(), Fault> {
        if Self::is_payload(path) {
            self.course.removed_files += 1;
        }
        self.draft.remove(path).map_err(|e| self.fault(e))
    }
}

fn progress(
    course: &Course,
    percent: Option<f64>,
    expected: Option<u64>,
    more_bytes: u64,
) -> Event {
    let bytes = course.received_bytes + more_bytes;
    Event::Progress {
        percent,
        bytes,
        files: course.received_files,
        files_total: None,
        // The phone may have grown since the previous backup.
        bytes_total: expected.filter(|expected| *expected >= bytes),
    }
}

fn describe(entry: &std::fs::DirEntry) -> std::io::Result<Option<Entry>> {
    // A name that is not valid Unicode cannot be sent to the phone. The phone never made such a
    // name.
    let Ok(name) = entry.file_name().into_string() else {
        return Ok(None);
    };
    let meta = entry.metadata()?;
    let kind = match meta.file_type() {
        t if t.is_file() => EntryKind::Regular,
        t if t.is_dir() => EntryKind::Directory,
        _ => EntryKind::Unknown,
    };
    Ok(Some(Entry {
        name,
        kind,
        size: if meta.is_file() { meta.len() } else { 0 },
        modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
    }))
}

/// A body that reports progress while it is read, so that a single huge file shows progress.
struct Counting<'a, 'm> {
    body: &'a mut dyn Read,
    bytes: u64,
    phases: &'a mut Phases<'m>,
    course: &'a Course,
    percent: Option<f64>,
    expected: Option<u64>,
}

impl Read for Counting<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.body.read(buffer)?;
        self.bytes += n as u64;
        if self.bytes >= 1 << 20 {
            let (course, percent, bytes) = (self.course, self.percent, self.bytes);
            let expected = self.expected;
            self.phases
                .news(|| progress(course, percent, expected, bytes));
        }
        Ok(n)
    }
}
