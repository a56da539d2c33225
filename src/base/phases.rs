//! Tracks the phases of a dialog with a phone: the current one, the time spent in each, and the
//! time of the last progress event.

use std::time::{Duration, Instant};

use crate::base::progress::{Event, Monitor, Phase};

/// Minimum time between two progress events.
const BETWEEN_NEWS: Duration = Duration::from_millis(100);

/// The phases of one dialog.
pub(crate) struct Phases<'a> {
    monitor: &'a dyn Monitor,
    now: Phase,
    began: Instant,
    ended: Vec<(Phase, Duration)>,
    told: Instant,
}

impl<'a> Phases<'a> {
    /// Begins with a phase that the caller has already reported.
    pub(crate) fn new(first: Phase, monitor: &'a dyn Monitor) -> Phases<'a> {
        let now = Instant::now();
        Phases {
            monitor,
            now: first,
            began: now,
            ended: Vec::new(),
            told: now,
        }
    }

    pub(crate) fn now(&self) -> Phase {
        self.now
    }

    /// Enters another phase and reports it. Does nothing if it is the current one.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if phase != self.now {
            let time = self.began.elapsed();
            match self.ended.iter_mut().find(|(ended, _)| *ended == self.now) {
                Some((_, sum)) => *sum += time,
                None => self.ended.push((self.now, time)),
            }
            self.began = Instant::now();
            self.now = phase;
            self.monitor.phase(phase);
        }
    }

    /// Returns the time spent in a phase so far.
    pub(crate) fn spent(&self, phase: Phase) -> Duration {
        let ended = self.ended.iter().filter(|(ended, _)| *ended == phase);
        let running = if phase == self.now {
            self.began.elapsed()
        } else {
            Duration::ZERO
        };
        running + ended.map(|(_, time)| *time).sum::<Duration>()
    }

    /// Reports progress, unless that was done within `BETWEEN_NEWS`.
    pub(crate) fn news(&mut self, progress: impl FnOnce() -> Event) {
        if self.told.elapsed() >= BETWEEN_NEWS {
            self.told = Instant::now();
            self.monitor.event(progress());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Heard(Mutex<Vec<String>>);

    impl Monitor for Heard {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    /// Checks that entering the current phase again sends no second event, and that the time of a
    /// phase adds up over all its entries.
    #[test]
    fn phases_report_changes_and_total_times() {
        let heard = Heard(Mutex::default());
        let mut phases = Phases::new(Phase::Scanning, &heard);
        let pause = Duration::from_millis(20);
        for phase in [Phase::Receiving, Phase::Receiving, Phase::Arranging] {
            std::thread::sleep(pause);
            phases.enter(phase);
        }
        phases.enter(Phase::Receiving);
        std::thread::sleep(pause);
        assert!(phases.spent(Phase::Scanning) >= pause);
        assert!(phases.spent(Phase::Receiving) >= 3 * pause);
        assert!(phases.spent(Phase::Arranging) < phases.spent(Phase::Receiving));
        assert_eq!(phases.spent(Phase::Sealing), Duration::ZERO);
        let told = heard.0.lock().unwrap();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let phase = |name: &str| format!("Phase {{ phase: {name} }}");
        assert_eq!(told, ["Receiving", "Arranging", "Receiving"].map(phase));
    }

    #[test]
    fn progress_events_are_rate_limited() {
        let heard = Heard(Mutex::default());
        let mut phases = Phases::new(Phase::Sending, &heard);
        let progress = || Event::Note {
            text: String::new(),
        };
        phases.news(progress);
        assert!(heard.0.lock().unwrap().is_empty(), "it has only begun");
        std::thread::sleep(BETWEEN_NEWS);
        phases.news(progress);
        phases.news(progress);
        assert_eq!(heard.0.lock().unwrap().len(), 1);
    }
}
