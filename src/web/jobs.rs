//! Jobs that the pages started: one for each phone at a time, each on a thread of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::site::locked;
use crate::automation::policy::Described;
use crate::base::cancel::CancelToken;
use crate::base::pace::Pace;
use crate::base::progress::{Event, Monitor, Phase, Wait};
use crate::base::udid::Udid;

/// Most ended jobs that are remembered.
const ENDED_MAX: usize = 20;
/// Most notes and problems of a job that are kept. Further problems are counted.
const LINES_MAX: usize = 50;

/// The work of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Makes a backup.
    BackUp,
    /// Compares every byte of a backup with what was received.
    Verify,
    /// Decrypts and opens everything in a backup.
    VerifyDeep,
    /// Restores a backup to a simulated phone.
    Rehearse,
    /// Deletes a backup.
    Delete,
}

impl Work {
    /// Names the work, for a heading with the name of the phone behind it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Work::BackUp => "Backup",
            Work::Verify => "Check",
            Work::VerifyDeep => "Deep check",
            Work::Rehearse => "Rehearsal of a restore",
            Work::Delete => "Deletion of a backup",
        }
    }

    /// Returns true if the work can end before it is done.
    pub(super) fn can_be_cancelled(self) -> bool {
        self != Work::Delete
    }
}

/// The result of a job.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// True if everything went well, false if there is something to look at.
    pub good: bool,
    /// Lines for people; the first one is the result.
    pub lines: Vec<String>,
    /// The next step that the program advises.
    pub hint: Option<String>,
}

impl Ended {
    pub(super) fn new(good: bool, line: String) -> Ended {
        Ended {
            good,
            lines: vec![line],
            hint: None,
        }
    }
}

/// The last progress of a phase.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) percent: Option<f64>,
    pub(super) bytes: u64,
    pub(super) bytes_total: Option<u64>,
    pub(super) files: u64,
}

impl Seen {
    /// Returns the share of the work that is done, from 0 to 1, if it is known.
    fn share(&self) -> Option<f64> {
        let total = self.bytes_total.filter(|total| *total > 0);
        let of_bytes = total.map(|total| self.bytes as f64 / total as f64);
        let share = of_bytes.or(self.percent.map(|percent| percent / 100.0));
        share.map(|share| share.clamp(0.0, 1.0))
    }
}

struct State {
    phase: Option<Phase>,
    since: Instant,
    seen: Seen,
    pace: Pace,
    /// The action that the phone waits for, and the time at which the wait ends.
    wait: Option<(Wait, Instant)>,
    lines: Vec<String>,
    problems: u64,
    ended: Option<Ended>,
}

/// The progress of a job at one moment.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// The phase, if one has begun.
    pub(super) phase: Option<Phase>,
    /// Time since the phase began.
    pub(super) spent: Duration,
    /// Amounts of the phase so far.
    pub(super) seen: Seen,
    /// Share of the phase's work that is done, from 0 to 1, if it is known.
    pub(super) share: Option<f64>,
    /// Time left of the phase, if it can be estimated.
    pub(super) left: Option<Duration>,
    /// The action that the phone waits for, and the time left for it.
    pub(super) wait: Option<(Wait, Duration)>,
    /// Notes and problems.
    pub(super) lines: Vec<String>,
    /// Number of problems, also of those that are not listed.
    pub(super) problems: u64,
    /// The result, once the job has ended.
    pub(super) ended: Option<Ended>,
}

/// A job: work on the backups of a phone, with its progress.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) udid: Udid,
    /// The phone's name.
    pub(super) phone: String,
    pub(super) work: Work,
    pub(super) begun: SystemTime,
    pub(super) token: Arc<CancelToken>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    ended: Arc<AtomicU64>,
}

impl Job {
    /// Returns the description of a failure that is a mistake of this program.
    pub(super) fn internal_error() -> Described {
        Described {
            text: "an internal error occurred".to_owned(),
            exit_code: 1,
            hint: None,
        }
    }

    /// Returns the present progress.
    pub(super) fn progress(&self) -> Progress {
        let mut state = locked(&self.state);
        let now = Instant::now();
        let share = state.seen.share();
        let left = share.and_then(|share| state.pace.left(now, share));
        Progress {
            phase: state.phase,
            spent: state.since.elapsed(),
            seen: state.seen,
            share,
            left,
            wait: state
                .wait
                .map(|(what, until)| (what, until.saturating_duration_since(now))),
            lines: state.lines.clone(),
            problems: state.problems,
            ended: state.ended.clone(),
        }
    }

    /// Returns true until the job has ended.
    pub(super) fn runs(&self) -> bool {
        locked(&self.state).ended.is_none()
    }

    fn end(&self, ended: Ended) {
        let mut state = locked(&self.state);
        state.wait = None;
        state.ended = Some(ended);
        // Whoever sees the end also sees it counted.
        self.ended.fetch_add(1, Ordering::SeqCst);
        drop(state);
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

impl Monitor for Job {
    fn event(&self, event: Event) {
        let mut state = locked(&self.state);
        let add = |state: &mut State, text: String| {
            if state.lines.len() < LINES_MAX {
                state.lines.push(text);
            }
        };
        match event {
            Event::Plan {
                full,
                why,
                encrypted,
                ..
            } => {
                let what = if full { "Everything" } else { "Changes only" };
                let not = if encrypted {
                    "Encrypted"
                } else {
                    "Not encrypted"
                };
                add(&mut state, format!("{what}, {why}. {not}."));
            }
            Event::Note { text } => add(&mut state, text),
            Event::Overdue { text, .. } => add(&mut state, format!("Overdue: {text}.")),
            Event::Problem { problem } => {
                state.problems += 1;
                add(&mut state, format!("Problem: {problem}"));
            }
            Event::Phase { phase } => {
                state.phase = Some(phase);
                state.since = Instant::now();
                state.seen = Seen::default();
                state.pace = Pace::new(state.since);
                state.wait = None;
            }
            Event::Progress {
                percent,
                bytes,
                files,
                bytes_total,
                ..
            } => {
                state.seen = Seen {
                    percent,
                    bytes,
                    bytes_total,
                    files,
                };
            }
            Event::Waiting {
                what,
                limit_seconds,
            } => {
                let until = Instant::now().checked_add(Duration::from_secs(limit_seconds));
                state.wait = until.map(|until| (what, until));
            }
            Event::WaitOver { .. } => state.wait = None,
        }
        drop(state);
        self.tell();
    }
}

/// All jobs of a server.
pub(super) struct Jobs {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    next: AtomicU64,
    changed: watch::Sender<u64>,
    /// Number of jobs that have ended, also of those that are no longer remembered.
    ended: Arc<AtomicU64>,
    one_ended: Condvar,
}

impl Jobs {
    pub(super) fn new() -> Jobs {
        Jobs {
            jobs: Mutex::default(),
            next: AtomicU64::new(1),
            changed: watch::Sender::new(0),
            ended: Arc::default(),
            one_ended: Condvar::new(),
        }
    }

    /// Returns a receiver that notices each change of a job.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells the pages that something else than a job changed, such as the connected phones.
    pub(super) fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Returns a job.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Job>> {
        locked(&self.jobs).iter().find(|job| job.id == id).cloned()
    }

    /// Returns all jobs, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        locked(&self.jobs).iter().cloned().collect()
    }

    /// Returns the running job of a phone.
    pub(super) fn of(&self, udid: &Udid) -> Option<Arc<Job>> {
        let jobs = locked(&self.jobs);
        jobs.iter()
            .find(|job| job.udid == *udid && job.runs())
            .cloned()
    }

    /// Returns the number of jobs that have ended since the server began. A page that was made with
    /// the same number is up to date.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    /// Starts a job. If the phone has a running job, returns that one as an error.
    pub(super) fn start(
        self: &Arc<Self>,
        udid: Udid,
        phone: String,
        work: Work,
        run: impl FnOnce(&Job) -> Result<Ended, Described> + Send + 'static,
    ) -> Result<Arc<Job>, Arc<Job>> {
        let mut jobs = locked(&self.jobs);
        if let Some(other) = jobs.iter().find(|job| job.udid == udid && job.runs()) {
            return Err(other.clone());
        }
        let now = Instant::now();
        let job = Arc::new(Job {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            udid,
            phone,
            work,
            begun: SystemTime::now(),
            token: CancelToken::new(Arc::default()),
            state: Mutex::new(State {
                phase: None,
                since: now,
                seen: Seen::default(),
                pace: Pace::new(now),
                wait: None,
                lines: Vec::new(),
                problems: 0,
                ended: None,
            }),
            changed: self.changed.clone(),
            ended: self.ended.clone(),
        });
        jobs.push_front(job.clone());
        while jobs.iter().filter(|job| !job.runs()).count() > ENDED_MAX {
            let Some(oldest) = jobs.iter().rposition(|job| !job.runs()) else {
                break;
            };
            jobs.remove(oldest);
        }
        drop(jobs);
        let (all, of_thread) = (self.clone(), job.clone());
        let spawned = thread::Builder::new()
            .name("job".to_owned())
            .spawn(move || {
                let job = of_thread;
                let done = catch_unwind(AssertUnwindSafe(|| run(&job)));
                let done = done.unwrap_or_else(|_| Err(Job::internal_error()));
                job.end(done.unwrap_or_else(|failure| failed(&job, failure)));
                all.one_ended.notify_all();
            });
        if let Err(e) = spawned {
            job.end(Ended::new(false, format!("The job could not start: {e}.")));
        }
        Ok(job)
    }

    /// Cancels all jobs, and waits until they have ended, at most this long.
    pub(super) fn end(&self, most: Option<Duration>) {
        let begun = Instant::now();
        let mut jobs = locked(&self.jobs);
        while jobs.iter().any(|job| job.runs()) {
            jobs.iter().for_each(|job| job.token.cancel());
            if most.is_some_and(|most| begun.elapsed() > most) {
                return;
            }
            let waited = self
                .one_ended
                .wait_timeout(jobs, Duration::from_millis(200));
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn failed(job: &Job, failure: Described) -> Ended {
    if job.token.cancelled() && job.work.can_be_cancelled() {
        let text = match job.work {
            Work::BackUp => {
                "Cancelled. The last backup is as it was; the next run continues with what was \
                 received, if the phone allows it."
            }
            _ => "Cancelled. Nothing was changed.",
        };
        return Ended::new(false, text.to_owned());
    }
    Ended {
        good: false,
        lines: vec![format!("It failed: {}", failure.text)],
        hint: failure.hint,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::base::problem::Problem;

    fn udid(text: &str) -> Udid {
        text.parse().unwrap()
    }

    const ONE: &str = "00008130-001A2B3C4D5E6F70";
    const OTHER: &str = "00008130-001A2B3C4D5E6F71";

    fn wait_for(job: &Job) -> Ended {
        let begun = Instant::now();
        loop {
            if let Some(ended) = job.progress().ended {
                return ended;
            }
            assert!(begun.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn phones_have_one_job_each() {
        let jobs = Arc::new(Jobs::new());
        let (go, wait) = channel::<()>();
        let first = jobs.start(udid(ONE), "A".to_owned(), Work::BackUp, move |job| {
            job.phase(Phase::Receiving);
            job.event(Event::Progress {
                percent: None,
                bytes: 30,
                files: 2,
                files_total: None,
                bytes_total: Some(60),
            });
            wait.recv().ok();
            Ok(Ended::new(true, "done".to_owned()))
        });
        let first = first.unwrap_or_else(|_| panic!("not started"));
        let second = jobs.start(udid(ONE), "A".to_owned(), Work::Verify, |_| {
            Ok(Ended::new(true, String::new()))
        });
        assert_eq!(second.err().map(|job| job.id), Some(first.id));
        let other = jobs.start(udid(OTHER), "B".to_owned(), Work::Delete, |job| {
            job.problem(Problem::from(std::io::Error::other("a problem")));
            panic!("a mistake")
        });
        let other = other.unwrap_or_else(|_| panic!("not started"));
        let ended = wait_for(&other);
        assert!(!ended.good && ended.lines[0].contains("internal error"));
        assert_eq!(other.progress().problems, 1);
        while first.progress().share != Some(0.5) {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(jobs.of(&udid(ONE)).is_some() && jobs.of(&udid(OTHER)).is_none());
        go.send(()).unwrap();
        assert!(wait_for(&first).good && jobs.ended() == 2);
    }

    #[test]
    fn ended_jobs_are_forgotten() {
        let jobs = Arc::new(Jobs::new());
        for _ in 0..ENDED_MAX + 5 {
            let job = jobs.start(udid(ONE), "A".to_owned(), Work::Verify, |_| {
                Ok(Ended::new(true, String::new()))
            });
            wait_for(&job.unwrap_or_else(|_| panic!("not started")));
        }
        assert!(jobs.all().len() <= ENDED_MAX + 1);
        assert_eq!(jobs.ended(), ENDED_MAX as u64 + 5);
        assert!(jobs.get(1).is_none() && jobs.get(ENDED_MAX as u64 + 5).is_some());
    }

    #[test]
    fn failed_deletions_are_no_cancellations() {
        let jobs = Arc::new(Jobs::new());
        let job = jobs.start(udid(ONE), "A".to_owned(), Work::Delete, |job| {
            job.token.cancel();
            Err(Job::internal_error())
        });
        let ended = wait_for(&job.unwrap_or_else(|_| panic!("not started")));
        assert!(ended.lines[0].starts_with("It failed"), "{ended:?}");
    }

    #[test]
    fn end_cancels_and_waits() {
        let jobs = Arc::new(Jobs::new());
        let job = jobs.start(udid(ONE), "A".to_owned(), Work::BackUp, |job| {
            while !job.token.cancelled() {
                thread::sleep(Duration::from_millis(5));
            }
            Err(Job::internal_error())
        });
        jobs.end(None);
        let ended = job.ok().and_then(|job| job.progress().ended);
        let ended = ended.unwrap_or_else(|| panic!("it still runs"));
        assert!(ended.lines[0].starts_with("Cancelled"), "{ended:?}");
    }
}
