//! Counts the work done and collects the problems with single files. Shared by all threads that
//! write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::base::progress::{Event, Monitor};
use crate::export::Error;
use crate::export::destination::NoPlace;
use crate::reader::backup::{Backup, Item};

/// Number of items that a listing keeps; further ones are only counted.
const KEPT: usize = 1000;
/// Time of a progress event that was not sent yet.
const NEVER: u64 = u64::MAX;
/// Time between two progress events.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

/// The first items of a list, and their total number.
#[derive(Debug, Clone, Serialize)]
pub struct Listing<T> {
    /// The total number of items.
    pub count: u64,
    /// The first items, at most 1,000.
    pub first: Vec<T>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Listing {
            count: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Listing<T> {
    /// Adds an item, or only counts it if the listing is full.
    pub(crate) fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(one);
        }
    }
}

/// The kinds of problem with a single item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The item's name leads out of the target folder; it was not written.
    LeadsOut,
    /// The item's bytes cannot be read; it was not written.
    Unreadable,
    /// The item cannot be written to the target.
    Unwritable,
    /// The item has fewer bytes than the phone's list says.
    Truncated,
    /// The item has more bytes than the phone's list says.
    OtherSize,
    /// The item was written, but its content was altered: the decrypted bytes do not end as they
    /// must, or the digest differs from the one in the phone's list.
    Altered,
    /// Something else is in the item's place; it was not replaced.
    Different,
}

impl Wrong {
    /// Returns the problem in one or two words.
    pub fn word(self) -> &'static str {
        match self {
            Wrong::LeadsOut => "leads out",
            Wrong::Unreadable => "unreadable",
            Wrong::Unwritable => "unwritable",
            Wrong::Truncated => "truncated",
            Wrong::OtherSize => "other size",
            Wrong::Altered => "altered",
            Wrong::Different => "different",
        }
    }
}

/// A problem with an item of the backup.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// The kind of problem.
    pub wrong: Wrong,
    /// The item's domain in the backup.
    pub domain: String,
    /// The item's path in the domain.
    pub relative_path: String,
    /// The problem, in words.
    pub detail: String,
}

/// An item that has another name in the target folder than on the phone.
#[derive(Debug, Clone, Serialize)]
pub struct Renamed {
    /// The item's domain in the backup.
    pub domain: String,
    /// The item's path in the domain.
    pub relative_path: String,
    /// The item's path below the target folder.
    pub to: String,
}

/// The work done so far. Shared by all threads.
pub struct Tally<'a> {
    files: AtomicU64,
    /// Files that were there before, with the right contents.
    there: AtomicU64,
    /// Bytes of completely written files.
    written: AtomicU64,
    /// Bytes written so far, including files in progress.
    bytes: AtomicU64,
    /// Time of the last progress event in milliseconds since the start.
    told: AtomicU64,
    begun: Instant,
    files_total: u64,
    bytes_total: u64,
    monitor: &'a dyn Monitor,
    interrupt: &'a AtomicBool,
    is_over: AtomicBool,
    lists: Mutex<Lists>,
}

/// The messages about single files.
#[derive(Default)]
pub(crate) struct Lists {
    /// The problems that were found.
    pub problems: Listing<Problem>,
    /// The items that were renamed.
    pub renamed: Listing<Renamed>,
    /// True if the target's disk does not keep file modes.
    pub lost_modes: bool,
    /// The error that ended the whole job early, if any.
    pub stopped: Option<Error>,
}

impl<'a> Tally<'a> {
    /// Starts counting, given the total numbers of files and bytes.
    pub(crate) fn new(
        files_total: u64,
        bytes_total: u64,
        monitor: &'a dyn Monitor,
        interrupt: &'a AtomicBool,
    ) -> Tally<'a> {
        Tally {
            files: AtomicU64::new(0),
            there: AtomicU64::new(0),
            written: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            told: AtomicU64::new(NEVER),
            begun: Instant::now(),
            files_total,
            bytes_total,
            monitor,
            interrupt,
            is_over: AtomicBool::new(false),
            lists: Mutex::default(),
        }
    }

    /// Returns the numbers of files and bytes that were completely written.
    pub(crate) fn written(&self) -> (u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (read(&self.files), read(&self.written))
    }

    /// Returns the number of files that were there before, with the right contents.
    pub(crate) fn there(&self) -> u64 {
        self.there.load(Ordering::Relaxed)
    }

    /// Counts a file that was there before, with the right contents.
    pub(crate) fn found(&self) {
        self.there.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns true if all threads should stop.
    pub(crate) fn is_over(&self) -> bool {
        if self.interrupt.load(Ordering::Relaxed) {
            self.stop(Error::Interrupted);
        }
        self.is_over.load(Ordering::Relaxed)
    }

    /// Returns the lists at the end of the job. Sets `stopped` if another backup has replaced
    /// `backup` in the meantime.
    pub(crate) fn into_lists(self, backup: &Backup) -> Lists {
        let lists = self.lists.into_inner();
        let mut lists = lists.unwrap_or_else(PoisonError::into_inner);
        if lists.stopped.is_none() {
            lists.stopped = backup.is_still_there().err().map(Error::from);
        }
        lists
    }

    /// Records a problem with an item.
    pub(crate) fn problem(&self, item: &Item, wrong: Wrong, detail: String) {
        self.with(|lists| {
            lists.problems.add(Problem {
                wrong,
                domain: item.domain.clone(),
                relative_path: item.relative_path.clone(),
                detail,
            });
        });
    }

    /// Records that an item got another name.
    pub(crate) fn renamed(&self, item: &Item, to: String) {
        self.with(|lists| {
            lists.renamed.add(Renamed {
                domain: item.domain.clone(),
                relative_path: item.relative_path.clone(),
                to,
            });
        });
    }

    /// Records that an item has no place in the target, or ends the job if no item has one any
    /// more.
    pub(crate) fn no_place(&self, item: &Item, why: NoPlace) {
        match why {
            NoPlace::This(detail) => self.problem(item, Wrong::Unwritable, detail),
            NoPlace::Any(error) => self.stop(error),
        }
    }

    /// Ends the job with this error. Only the first error is kept.
    pub(crate) fn stop(&self, error: Error) {
        self.is_over.store(true, Ordering::Relaxed);
        self.with(|lists| {
            lists.stopped.get_or_insert(error);
        });
    }

    /// Changes the lists while holding their lock.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Lists)) {
        change(&mut self.lists.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a file that was completely written.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds to the bytes written so far, and reports progress.
    pub(crate) fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress();
    }

    /// Reports progress, at most once per `BETWEEN_EVENTS`.
    fn progress(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        let told = self.told.load(Ordering::Relaxed);
        let is_due = told == NEVER || now >= told + BETWEEN_EVENTS.as_millis() as u64;
        // Only the thread that wins the exchange reports.
        let relaxed = Ordering::Relaxed;
        if !is_due
            || self
                .told
                .compare_exchange(told, now, relaxed, relaxed)
                .is_err()
        {
            return;
        }
        let files = self.written().0 + self.there();
        let bytes = self.bytes.load(relaxed);
        // Without an expected number, the share is unknown.
        let bytes_total = Some(self.bytes_total).filter(|total| *total > 0);
        let percent = bytes_total.map(|total| bytes as f64 * 100.0 / total as f64);
        self.monitor.event(Event::Progress {
            percent: percent.map(|percent| percent.min(100.0)),
            bytes,
            files,
            files_total: Some(self.files_total),
            bytes_total,
        });
    }
}
