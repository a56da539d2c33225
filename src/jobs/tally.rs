//! What was done so far, and what there is to say of single files: known to all threads that write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Error;
use super::opened::{Item, Opened};
use super::target::NoPlace;
use crate::monitor::{Event, Monitor};

/// Things that are kept of a list; the others are only counted.
const KEPT: usize = 1000;
/// How often progress is told.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

/// The first things of a list, and how many there are.
#[derive(Debug, Clone, Serialize)]
pub struct Listing<T> {
    /// How many.
    pub count: u64,
    /// The first thousand.
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
    /// Adds one.
    pub fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(one);
        }
    }
}

/// What is wrong with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Its name leads out of the target; it was not written.
    LeadsOut,
    /// Its bytes cannot be read; it was not written.
    Unreadable,
    /// It cannot be written.
    Unwritable,
    /// It has less bytes than the phone's list says.
    Truncated,
    /// It has more of them.
    OtherSize,
    /// It was written, and what its key gives does not end as it must.
    Altered,
}

impl Wrong {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Wrong::LeadsOut => "leads out",
            Wrong::Unreadable => "unreadable",
            Wrong::Unwritable => "unwritable",
            Wrong::Truncated => "truncated",
            Wrong::OtherSize => "other size",
            Wrong::Altered => "altered",
        }
    }
}

/// Something of the backup that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub wrong: Wrong,
    /// The phone's name of it: the domain ...
    pub domain: String,
    /// ... and the path in it.
    pub relative_path: String,
    /// In words.
    pub detail: String,
}

/// Something that has another name than on the phone.
#[derive(Debug, Clone, Serialize)]
pub struct Renamed {
    /// The phone's name of it: the domain ...
    pub domain: String,
    /// ... and the path in it.
    pub relative_path: String,
    /// Where it is, below the target.
    pub to: String,
}

/// What was done so far, known to all threads.
pub struct Tally<'a> {
    files: AtomicU64,
    /// Of whole files.
    written: AtomicU64,
    /// Of those under way too.
    bytes: AtomicU64,
    told: AtomicU64,
    begun: Instant,
    files_total: u64,
    bytes_total: u64,
    monitor: &'a dyn Monitor,
    interrupt: &'a AtomicBool,
    is_over: AtomicBool,
    lists: Mutex<Lists>,
}

/// What there is to say of single files.
#[derive(Default)]
pub struct Lists {
    /// What is not as it should be.
    pub problems: Listing<Problem>,
    /// What has another name.
    pub renamed: Listing<Renamed>,
    /// The target's disk keeps no modes.
    pub lost_modes: bool,
    /// Why all of it ended.
    pub stopped: Option<Error>,
}

impl<'a> Tally<'a> {
    /// Nothing so far, of so many files and bytes.
    pub fn new(
        files_total: u64,
        bytes_total: u64,
        monitor: &'a dyn Monitor,
        interrupt: &'a AtomicBool,
    ) -> Tally<'a> {
        Tally {
            files: AtomicU64::new(0),
            written: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            told: AtomicU64::new(0),
            begun: Instant::now(),
            files_total,
            bytes_total,
            monitor,
            interrupt,
            is_over: AtomicBool::new(false),
            lists: Mutex::default(),
        }
    }

    /// Files and bytes that were written.
    pub fn written(&self) -> (u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (read(&self.files), read(&self.written))
    }

    /// Nothing more is to be done.
    pub fn is_over(&self) -> bool {
        if self.interrupt.load(Ordering::Relaxed) {
            self.stop(Error::Interrupted);
        }
        self.is_over.load(Ordering::Relaxed)
    }

    /// What is known at the end, of a backup that is still the one that was opened.
    pub fn into_lists(self, backup: &Opened) -> Lists {
        let lists = self.lists.into_inner();
        let mut lists = lists.unwrap_or_else(PoisonError::into_inner);
        if lists.stopped.is_none() {
            lists.stopped = backup.is_still_there().err();
        }
        lists
    }

    /// Something is not as it should be.
    pub fn problem(&self, item: &Item, wrong: Wrong, detail: String) {
        self.with(|lists| {
            lists.problems.add(Problem {
                wrong,
                domain: item.domain.clone(),
                relative_path: item.relative_path.clone(),
                detail,
            });
        });
    }

    /// Something has another name.
    pub fn renamed(&self, item: &Item, to: String) {
        self.with(|lists| {
            lists.renamed.add(Renamed {
                domain: item.domain.clone(),
                relative_path: item.relative_path.clone(),
                to,
            });
        });
    }

    /// Something has no place, or nothing has any more.
    pub fn no_place(&self, item: &Item, why: NoPlace) {
        match why {
            NoPlace::This(detail) => self.problem(item, Wrong::Unwritable, detail),
            NoPlace::Any(error) => self.stop(error),
        }
    }

    /// All of it ends, for this reason.
    pub fn stop(&self, error: Error) {
        self.is_over.store(true, Ordering::Relaxed);
        self.with(|lists| {
            lists.stopped.get_or_insert(error);
        });
    }

    /// Changes the lists.
    pub fn with(&self, change: impl FnOnce(&mut Lists)) {
        change(&mut self.lists.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One file is whole.
    pub fn wrote(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more are there.
    pub fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress();
    }

    /// Tells how far it is, now and then.
    fn progress(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        let told = self.told.load(Ordering::Relaxed);
        let is_due = now >= told + BETWEEN_EVENTS.as_millis() as u64;
        // One thread tells.
        let relaxed = Ordering::Relaxed;
        if !is_due
            || self
                .told
                .compare_exchange(told, now, relaxed, relaxed)
                .is_err()
        {
            return;
        }
        let (files, _) = self.written();
        let bytes = self.bytes.load(relaxed);
        let percent = bytes as f64 * 100.0 / self.bytes_total.max(1) as f64;
        self.monitor.event(Event::Progress {
            percent: Some(percent.min(100.0)),
            bytes,
            files,
            files_total: Some(self.files_total),
        });
    }
}
