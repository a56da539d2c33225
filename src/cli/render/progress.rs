//! Shows running jobs: bars on a terminal, a line per phase elsewhere, and one event per line with
//! `--json`.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use idev_backup::base::pace::Pace;
use idev_backup::base::problem::Problem;
use idev_backup::base::progress::{Event, Monitor, Phase, Wait};
use idev_backup::base::units::duration;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::output::{self, Style};
use super::status_line::{Status, shortened};
use crate::cli::hints;

/// Interval between lines about a phase that continues, without a terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Number of problems shown in full; a phone that cannot read its files has thousands.
pub const PROBLEMS_SHOWN: usize = 20;

/// Shows several jobs at once.
pub struct Show {
    style: Style,
    bars: Option<&'static MultiProgress>,
}

impl Show {
    /// Creates a display in this style.
    pub fn new(style: Style) -> Show {
        let bars = match style {
            Style::People => output::bars(),
            Style::Quiet | Style::Json => None,
        };
        Show { style, bars }
    }

    /// Creates a watcher for one phone's job. `name` precedes its lines if there are several
    /// phones.
    pub fn watch(&self, udid: Option<&str>, name: Option<String>) -> Watch<'_> {
        Watch {
            show: self,
            udid: udid.map(str::to_owned),
            state: Mutex::new(State {
                name,
                phase: None,
                since: Instant::now(),
                told: Instant::now(),
                told_percent: 0.0,
                seen: Seen::default(),
                pace: Pace::new(Instant::now()),
                problems: 0,
                bar: None,
                wait: None,
            }),
        }
    }
}

/// Shows the progress of one job.
pub struct Watch<'a> {
    show: &'a Show,
    udid: Option<String>,
    state: Mutex<State>,
}

struct State {
    name: Option<String>,
    phase: Option<Phase>,
    since: Instant,
    told: Instant,
    told_percent: f64,
    seen: Seen,
    pace: Pace,
    problems: usize,
    bar: Option<ProgressBar>,
    wait: Option<ProgressBar>,
}

/// The last progress of a phase.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    percent: Option<f64>,
    bytes: u64,
    bytes_total: Option<u64>,
    files: u64,
}

impl Seen {
    /// Returns the share of the work that is done, from 0 to 1, if it is known. The bytes tell more
    /// than the phone's own percentage, which stalls and jumps.
    fn share(&self) -> Option<f64> {
        let total = self.bytes_total.filter(|total| *total > 0);
        let of_bytes = total.map(|total| self.bytes as f64 / total as f64);
        let share = of_bytes.or(self.percent.map(|percent| percent / 100.0));
        share.map(|share| share.clamp(0.0, 1.0))
    }
}

/// A JSON event for scripts.
#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    udid: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
    /// The advice for a problem, null if there is none; not part of other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Option<String>>,
}

impl Monitor for Watch<'_> {
    fn event(&self, event: Event) {
        match self.show.style {
            Style::Json => {
                let mut hint = None;
                if let Event::Problem { problem } = &event {
                    self.state().problems += 1;
                    hint = Some(hints::problem(problem));
                }
                output::json(&Line {
                    version: 1,
                    time: output::now(),
                    udid: self.udid.as_deref(),
                    event: &event,
                    hint,
                });
            }
            Style::Quiet => match event {
                Event::Overdue { name, text } => overdue(&name, &text),
                Event::Problem { problem } => self.problem_line(&problem),
                // The job pauses until the user acts.
                Event::Waiting {
                    what,
                    limit_seconds,
                } => {
                    self.line(&self.state(), &wait_words(what, limit_seconds));
                }
                _ => {}
            },
            Style::People => self.people(event),
        }
    }
}

impl Watch<'_> {
    /// Returns true if the job survived any problem.
    pub fn had_problems(&self) -> bool {
        self.state().problems > 0
    }

    /// Returns the prefix of the job's lines.
    pub fn prefix(&self) -> String {
        prefix(&self.state())
    }

    /// Returns the number of problems that the job reported.
    pub fn problems(&self) -> usize {
        self.state().problems
    }

    /// Ends the display of the job and removes its bar.
    pub fn finish(&self) {
        self.end_phase(&mut self.state());
    }

    fn people(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::Plan {
                name,
                model,
                ios,
                store,
                full,
                why,
                encrypted,
            } => {
                let what = if full { "Everything" } else { "Changes only" };
                let encrypted = if encrypted {
                    "Encrypted"
                } else {
                    "Not encrypted"
                };
                // The prefix of a job has the name already.
                let told = match state.name {
                    Some(_) => format!("{model}, iOS {ios}"),
                    None => format!("{name} ({model}, iOS {ios})"),
                };
                let told = output::one_line(&told);
                self.line(&state, &format!("{told} -> {store}"));
                self.line(&state, &format!("{what}, {why}. {encrypted}."));
            }
            Event::Note { text } => self.line(&state, &text),
            Event::Overdue { name, text } => overdue(&name, &text),
            Event::Problem { problem } => {
                drop(state);
                self.problem_line(&problem);
            }
            Event::Phase { phase } => self.begin_phase(&mut state, phase),
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
                self.progress(&mut state);
            }
            Event::Waiting {
                what,
                limit_seconds,
            } => self.waiting(&mut state, what, limit_seconds),
            Event::WaitOver { .. } => {
                if let Some(wait) = state.wait.take() {
                    wait.finish_and_clear();
                }
            }
        }
    }

    fn begin_phase(&self, state: &mut State, phase: Phase) {
        self.end_phase(state);
        state.phase = Some(phase);
        state.since = Instant::now();
        state.told = Instant::now();
        state.told_percent = 0.0;
        state.seen = Seen::default();
        state.pace = Pace::new(state.since);
        if let Some(bars) = self.show.bars {
            // Hidden until it has its style.
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::hidden());
            let words = phase.words();
            let room = columns().saturating_sub(words.len() + 4) / 2;
            let prefix = shortened(&prefix(state), room);
            bar.set_prefix(format!("{prefix}{words}  "));
            bar.set_style(style(SPINNER));
            let bar = bars.add(bar);
            bar.enable_steady_tick(Duration::from_millis(200));
            state.bar = Some(bar);
        } else if matches!(
            phase,
            Phase::Scanning
                | Phase::Receiving
                | Phase::PhoneChecking
                | Phase::Checking
                | Phase::Extracting
                | Phase::Preparing
                | Phase::Sending
                | Phase::Restarting
                | Phase::Comparing
                | Phase::Measuring
                | Phase::Removing
        ) {
            self.line(state, phase.words());
        }
    }

    /// Ends a phase. On a terminal, prints a line about it if it took long enough.
    fn end_phase(&self, state: &mut State) {
        if let Some(wait) = state.wait.take() {
            wait.finish_and_clear();
        }
        let Some(phase) = state.phase.take() else {
            return;
        };
        let took = state.since.elapsed();
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
            if took >= Duration::from_secs(1) {
                let seen = Seen {
                    percent: None,
                    bytes_total: None,
                    ..state.seen
                };
                let said = if phase.moves_bytes(seen.bytes) {
                    status(phase, &seen, took, None).whole()
                } else {
                    String::new()
                };
                let text = format!("{:<32} {:>8}  {said}", phase.words(), duration(took));
                self.line(state, text.trim_end());
            }
        }
    }

    fn progress(&self, state: &mut State) {
        let Some(phase) = state.phase else {
            return;
        };
        let share = state.seen.share();
        let now = Instant::now();
        let left = share.and_then(|share| state.pace.left(now, share));
        let status = status(phase, &state.seen, state.since.elapsed(), left);
        match &state.bar {
            Some(bar) => show_on(bar, &status),
            None => {
                let percent = share.map(|share| share * 100.0);
                let quarter = percent.is_some_and(|p| p >= state.told_percent + 25.0);
                let has_lines = phase.moves_bytes(state.seen.bytes)
                    || matches!(phase, Phase::Removing | Phase::Measuring);
                if has_lines && (quarter || state.told.elapsed() >= BETWEEN_LINES) {
                    state.told = now;
                    state.told_percent = percent.unwrap_or(state.told_percent);
                    let text = format!("{}  {}", phase.words().to_lowercase(), status.whole());
                    self.line(state, &text);
                }
            }
        }
    }

    /// Prints a line about the current phase if nothing was printed for a while. Called regularly.
    pub fn tick(&self) {
        let mut state = self.state();
        // A job that has stalled has no time left to show.
        if state.bar.is_some() && state.seen.share().is_some() {
            self.progress(&mut state);
        }
        if self.show.style == Style::People
            && state.bar.is_none()
            && state.told.elapsed() >= BETWEEN_LINES
            && let Some(phase) = state.phase
        {
            state.told = Instant::now();
            let text = format!(
                "{}, for {} so far",
                phase.words(),
                duration(state.since.elapsed())
            );
            self.line(&state, &text);
        }
    }

    fn waiting(&self, state: &mut State, what: Wait, limit_seconds: u64) {
        let text = wait_words(what, limit_seconds);
        match self.show.bars {
            Some(bars) => {
                let wait = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
                wait.set_style(style("{spinner} {wide_msg}"));
                wait.set_message(format!("{}{text}", prefix(state)));
                let wait = bars.add(wait);
                wait.enable_steady_tick(Duration::from_millis(200));
                state.wait = Some(wait);
            }
            None => self.line(state, &text),
        }
    }

    fn problem_line(&self, problem: &Problem) {
        let mut state = self.state();
        state.problems += 1;
        if state.problems > PROBLEMS_SHOWN {
            return;
        }
        self.line(&state, &format!("problem: {problem}"));
        if let Some(hint) = hints::problem(problem) {
            self.line(&state, &format!("  hint: {hint}"));
        }
        if state.problems == PROBLEMS_SHOWN {
            self.line(
                &state,
                "problem: there may be more like these; report.json and --json name them all",
            );
        }
    }

    fn line(&self, state: &State, text: &str) {
        let prefix = prefix(state);
        match self.show.bars {
            Some(_) => output::tell(&format!("{prefix}{text}")),
            None => output::tell(&format!("{} {prefix}{text}", output::now())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports an overdue phone. Its name makes the prefix of a job superfluous.
fn overdue(name: &str, text: &str) {
    output::tell(&format!("OVERDUE: {}: {text}.", output::one_line(name)));
}

/// Runs a job and shows from time to time, even without a terminal, that it is still running.
pub fn ticking<T>(watches: &[Watch<'_>], job: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let (end, ended) = channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                watches.iter().for_each(Watch::tick);
            }
        });
        let done = job();
        drop(end);
        done
    })
}

fn prefix(state: &State) -> String {
    let name = state.name.as_deref().map(output::one_line);
    name.map_or_else(String::new, |name| format!("{name}: "))
}

/// Template of a bar whose job has a known end.
const BAR: &str = "{prefix}{bar:16} {wide_msg}";
/// Columns that the bar itself takes.
const BAR_COLUMNS: usize = 17;
/// Narrowest line that has place for a bar beside the words.
const WITH_BAR_MIN: usize = 70;
const NO_BAR: &str = "{prefix}{wide_msg}";
/// Template for a job of unknown length.
const SPINNER: &str = "{prefix}{spinner} {elapsed} {wide_msg}";

/// Returns a style in characters that the terminal can print.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    if output::speaks_utf8() {
        style.progress_chars("━╸─")
    } else {
        style.progress_chars("=>-").tick_chars("|/-\\ ")
    }
}

/// Returns the width of the terminal.
fn columns() -> usize {
    usize::from(console::Term::stderr().size().1)
}

/// Shows on a bar how far the job is. The words get as much of the line as is free.
fn show_on(bar: &ProgressBar, status: &Status) {
    let taken = console::measure_text_width(&bar.prefix());
    let free = columns().saturating_sub(taken + 1);
    let Some(percent) = status.percent else {
        // The spinner and the time take some columns too.
        return bar.set_message(status.fitting(free.saturating_sub(10)));
    };
    let has_bar = columns() >= WITH_BAR_MIN;
    bar.set_style(style(if has_bar { BAR } else { NO_BAR }));
    bar.set_position((percent * 10.0) as u64);
    let free = free.saturating_sub(if has_bar { BAR_COLUMNS } else { 0 });
    bar.set_message(status.fitting(free));
}

/// Returns how far a phase is.
fn status(phase: Phase, seen: &Seen, spent: Duration, left: Option<Duration>) -> Status {
    let percent = seen.share().map(|share| share * 100.0);
    if phase == Phase::Removing {
        return Status {
            percent,
            ..Status::default()
        };
    }
    let files = Some(seen.files);
    if !phase.moves_bytes(seen.bytes) {
        return Status {
            files,
            ..Status::default()
        };
    }
    let seconds = spent.as_secs_f64();
    Status {
        percent,
        bytes: Some(seen.bytes),
        bytes_total: seen.bytes_total,
        rate: (seconds > 0.2).then(|| (seen.bytes as f64 / seconds) as u64),
        files,
        left,
    }
}

fn wait_words(what: Wait, limit_seconds: u64) -> String {
    let limit = match limit_seconds / 60 {
        0 => format!("{limit_seconds} s"),
        minutes => format!("{minutes} min"),
    };
    format!("{} ... (waiting up to {limit})", what.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_progress_shows_only_percent() {
        let said = |phase, percent| {
            let seen = Seen {
                percent,
                files: 7,
                ..Seen::default()
            };
            status(phase, &seen, Duration::ZERO, None).whole()
        };
        assert_eq!(said(Phase::Removing, Some(37.4)), "37 %");
        assert_eq!(said(Phase::Measuring, None), "7 files");
        assert_eq!(said(Phase::Checking, None), "7 files");
        assert_eq!(said(Phase::Sending, Some(50.0)), "50 %  0 bytes  7 files");
    }

    #[test]
    fn bytes_outrank_the_phones_percentage() {
        let seen = |bytes_total| Seen {
            percent: Some(89.0),
            bytes: 880,
            bytes_total,
            files: 1,
        };
        assert_eq!(seen(None).share(), Some(0.89));
        assert_eq!(seen(Some(1900)).share(), Some(880.0 / 1900.0));
        assert_eq!(seen(Some(0)).share(), Some(0.89));
        assert_eq!(Seen::default().share(), None);
    }
}
