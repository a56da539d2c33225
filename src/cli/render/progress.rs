//! Shows running jobs: bars on a terminal, a line per phase elsewhere, and one event per line with
//! `--json`.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use idev_backup::base::problem::Problem;
use idev_backup::base::progress::{Event, Monitor, Phase, Wait};
use idev_backup::base::units::{counted, duration, size};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::{self, Style};
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
                percent: None,
                moved: Instant::now(),
                bytes: 0,
                files: 0,
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
    percent: Option<f64>,
    moved: Instant,
    bytes: u64,
    files: u64,
    problems: usize,
    bar: Option<ProgressBar>,
    wait: Option<ProgressBar>,
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
                ..
            } => self.progress(&mut state, percent, bytes, files),
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
        (state.percent, state.bytes, state.files) = (None, 0, 0);
        if let Some(bars) = self.show.bars {
            let bar = bars.add(ProgressBar::new(1000));
            let template = match phase {
                phase if moves_bytes(phase) || phase == Phase::Removing => {
                    "{prefix}{bar:16} {wide_msg}"
                }
                _ => "{prefix}{spinner} {elapsed} {wide_msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(format!("{}{}  ", prefix(state), words(phase)));
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
            self.line(state, words(phase));
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
                let said = match phase {
                    phase if moves_bytes(phase) => amount(state.bytes, state.files, took),
                    _ => String::new(),
                };
                let text = format!("{:<32} {:>8}  {said}", words(phase), duration(took));
                self.line(state, text.trim_end());
            }
        }
    }

    fn progress(&self, state: &mut State, percent: Option<f64>, bytes: u64, files: u64) {
        let spent = state.since.elapsed();
        (state.bytes, state.files) = (bytes, files);
        let percent = percent.map(|p| p.clamp(0.0, 100.0));
        if percent != state.percent {
            (state.percent, state.moved) = (percent, Instant::now());
        }
        let receiving = state.phase.is_some_and(moves_bytes);
        let mut said = said(state.phase, percent, bytes, files, spent);
        // A percentage that no longer changes gives no estimate of the time left.
        if let Some(p) = percent.filter(|p| receiving && *p > 2.0)
            && spent > Duration::from_secs(3)
            && state.moved.elapsed() < Duration::from_secs(5)
        {
            let left = spent.mul_f64((100.0 - p) / p);
            said.push(format!("{} left", duration(left)));
        }
        match &state.bar {
            Some(bar) => {
                bar.set_position((percent.unwrap_or(0.0) * 10.0) as u64);
                bar.set_message(said.join("  "));
            }
            None => {
                let quarter = percent.is_some_and(|p| p >= state.told_percent + 25.0);
                let has_lines =
                    receiving || matches!(state.phase, Some(Phase::Removing | Phase::Measuring));
                if has_lines && (quarter || state.told.elapsed() >= BETWEEN_LINES) {
                    state.told = Instant::now();
                    state.told_percent = percent.unwrap_or(state.told_percent);
                    let doing = state.phase.map_or("", words).to_lowercase();
                    let text = format!("{doing}  {}", said.join("  "));
                    self.line(state, &text);
                }
            }
        }
    }

    /// Prints a line about the current phase if nothing was printed for a while. Called regularly.
    pub fn tick(&self) {
        let mut state = self.state();
        if self.show.style == Style::People
            && state.bar.is_none()
            && state.told.elapsed() >= BETWEEN_LINES
            && let Some(phase) = state.phase
        {
            state.told = Instant::now();
            let text = format!(
                "{}, for {} so far",
                words(phase),
                duration(state.since.elapsed())
            );
            self.line(&state, &text);
        }
    }

    fn waiting(&self, state: &mut State, what: Wait, limit_seconds: u64) {
        let text = wait_words(what, limit_seconds);
        match self.show.bars {
            Some(bars) => {
                let wait = bars.add(ProgressBar::new_spinner());
                wait.set_message(format!("{}{text}", prefix(state)));
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

/// Returns the progress of a phase: the percentage if known, and the amount of work done.
fn said(
    phase: Option<Phase>,
    percent: Option<f64>,
    bytes: u64,
    files: u64,
    spent: Duration,
) -> Vec<String> {
    let percent = percent.map(|p| format!("{p:.0} %"));
    match phase {
        Some(Phase::Removing) => percent.into_iter().collect(),
        Some(phase) if moves_bytes(phase) => {
            let amount = amount(bytes, files, spent);
            percent.into_iter().chain([amount]).collect()
        }
        _ => vec![counted(files, "file")],
    }
}

/// Returns an amount in the form "1.5 GB  493 MB/s  20,019 files".
fn amount(bytes: u64, files: u64, spent: Duration) -> String {
    let rate = match spent.as_secs_f64() {
        seconds if seconds > 0.2 => format!("  {}/s", size((bytes as f64 / seconds) as u64)),
        _ => String::new(),
    };
    format!("{}{rate}  {}", size(bytes), counted(files, "file"))
}

fn wait_words(what: Wait, limit_seconds: u64) -> String {
    let text = match what {
        Wait::Trust => "Unlock the phone, tap Trust and enter its passcode",
        Wait::Passcode => "Enter the passcode on the phone",
        Wait::Unlock => "Unlock the phone",
    };
    let limit = match limit_seconds / 60 {
        0 => format!("{limit_seconds} s"),
        minutes => format!("{minutes} min"),
    };
    format!("{text} ... (waiting up to {limit})")
}

/// Returns true if the work of the phase is measured in bytes.
fn moves_bytes(phase: Phase) -> bool {
    matches!(phase, Phase::Receiving | Phase::Extracting | Phase::Sending)
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Cloning => "Preparing the draft",
        Phase::Describing => "Reading settings and applications",
        Phase::Scanning => "Phone is looking for changes",
        Phase::Receiving => "Receiving",
        Phase::Arranging => "Phone is arranging the backup",
        Phase::PhoneChecking => "Phone is checking the backup",
        Phase::Hashing => "Making the list of hashes",
        Phase::Checking => "Checking",
        Phase::Sealing => "Writing everything to the disk",
        Phase::Measuring => "Measuring the space to be freed",
        Phase::Removing => "Removing",
        Phase::Copying => "Copying",
        Phase::Extracting => "Extracting",
        Phase::Preparing => "Phone is preparing the restore",
        Phase::Sending => "Sending",
        Phase::Restarting => "Phone is restarting",
        Phase::Comparing => "Comparing the received files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_progress_shows_only_percent() {
        let said = |phase, percent| said(Some(phase), percent, 0, 7, Duration::ZERO).join("  ");
        assert_eq!(said(Phase::Removing, Some(37.4)), "37 %");
        assert_eq!(said(Phase::Measuring, None), "7 files");
        assert_eq!(said(Phase::Sending, Some(50.0)), "50 %  0 bytes  7 files");
    }
}
