//! Counts the work of several threads, and reports it to a monitor now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::progress::{Event, Monitor};

/// Time between two progress events.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

/// Time of an event that was not sent yet.
const NEVER: u64 = u64::MAX;

/// Counts files and bytes. Shared by all threads.
pub(crate) struct Meter<'a> {
    monitor: &'a dyn Monitor,
    files_total: Option<u64>,
    bytes_total: Option<u64>,
    files: AtomicU64,
    bytes: AtomicU64,
    begun: Instant,
    /// Time of the last event, in milliseconds since the start.
    told: AtomicU64,
}

impl<'a> Meter<'a> {
    /// Starts to count. The totals are those that are expected, where they are known.
    pub(crate) fn new(
        monitor: &'a dyn Monitor,
        files_total: Option<u64>,
        bytes_total: Option<u64>,
    ) -> Meter<'a> {
        Meter {
            monitor,
            files_total,
            bytes_total,
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            begun: Instant::now(),
            told: AtomicU64::new(NEVER),
        }
    }

    /// Counts bytes.
    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// Counts a file that is done.
    pub(crate) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        let told = self.told.load(Ordering::Relaxed);
        let is_due = told == NEVER || now >= told + BETWEEN_EVENTS.as_millis() as u64;
        // Only the thread that wins the exchange reports.
        let relaxed = Ordering::Relaxed;
        if is_due
            && self
                .told
                .compare_exchange(told, now, relaxed, relaxed)
                .is_ok()
        {
            self.monitor.event(self.event());
        }
    }

    fn event(&self) -> Event {
        let files = self.files.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        Event::Progress {
            percent: share(bytes, self.bytes_total).or(share(files, self.files_total)),
            bytes,
            files,
            files_total: self.files_total,
            bytes_total: self.bytes_total,
        }
    }
}

/// Returns the percentage of a total. A total that was exceeded was wrong, and gives none.
fn share(done: u64, total: Option<u64>) -> Option<f64> {
    let total = total.filter(|total| *total >= done && *total > 0)?;
    Some(done as f64 * 100.0 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Monitor for Heard {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn percent_is_of_the_known_total() {
        let heard = Heard::default();
        for (files_total, bytes_total, wanted) in [
            (Some(10), Some(200), Some(50.0)),
            (Some(10), None, Some(10.0)),
            (None, None, None),
            // More than was expected: the total was wrong.
            (None, Some(99), None),
            (Some(0), Some(0), None),
        ] {
            let meter = Meter::new(&heard, files_total, bytes_total);
            meter.add_bytes(100);
            meter.add_file();
            let Event::Progress { percent, .. } = meter.event() else {
                panic!("not progress");
            };
            assert_eq!(percent, wanted, "{files_total:?} {bytes_total:?}");
        }
    }

    #[test]
    fn events_are_rare() {
        let heard = Heard::default();
        let meter = Meter::new(&heard, None, None);
        for _ in 0..1000 {
            meter.add_bytes(1);
        }
        assert!(heard.0.lock().unwrap().len() < 20);
    }
}
