//! Running jobs shown: bars on a terminal, a line per phase elsewhere, an event a line with `--json`.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use idev_backup::monitor::{Event, Monitor, Phase, Wait};
use idev_backup::units::{counted, duration, size};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output;

/// How often a line tells of a phase that goes on, where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// How to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bars, or lines without a terminal.
    People,
    /// Problems only.
    Quiet,
    /// Events.
    Json,
}

/// Shows jobs, several at once.
pub struct Show {
    style: Style,
    bars: Option<MultiProgress>,
}

impl Show {
    /// In this style.
    pub fn new(style: Style) -> Show {
        let bars = style == Style::People && std::io::stderr().is_terminal();
        Show {
            style,
            bars: bars.then(MultiProgress::new),
        }
    }

    /// A watcher of one phone's job. `name` stands before its lines where there are several.
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
                bar: None,
                wait: None,
            }),
        }
    }

    /// Prints a line above the bars.
    fn print(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| output::tell(text)),
            None => output::tell(text),
        }
    }
}

/// Watches one job.
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
    bar: Option<ProgressBar>,
    wait: Option<ProgressBar>,
}

/// An event as scripts get it.
#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    udid: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
}

impl Monitor for Watch<'_> {
    fn event(&self, event: Event) {
        match self.show.style {
            Style::Json => output::json(&Line {
                version: 1,
                time: output::now(),
                udid: self.udid.as_deref(),
                event: &event,
            }),
            Style::Quiet => {
                if let Event::Problem { text, hint } = &event {
                    self.problem_line(text, hint.as_deref());
                }
            }
            Style::People => self.people(event),
        }
    }
}

impl Watch<'_> {
    /// The job has ended; its bar goes.
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
                self.line(&state, &format!("{name} ({model}, iOS {ios}) -> {store}"));
                self.line(&state, &format!("{what}, {why}. {encrypted}."));
            }
            Event::Note { text } => self.line(&state, &text),
            Event::Problem { text, hint } => {
                drop(state);
                self.problem_line(&text, hint.as_deref());
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
        if let Some(bars) = &self.show.bars {
            let bar = bars.add(ProgressBar::new(1000));
            let template = match phase {
                Phase::Receiving => "{prefix}{bar:26} {msg}",
                _ => "{prefix}{spinner} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(format!("{}{}  ", prefix(state), words(phase)));
            bar.enable_steady_tick(Duration::from_millis(200));
            state.bar = Some(bar);
        } else if matches!(
            phase,
            Phase::Scanning | Phase::Receiving | Phase::PhoneChecking | Phase::Checking
        ) {
            self.line(state, words(phase));
        }
    }

    /// A phase that took its time leaves a line behind, on a terminal.
    fn end_phase(&self, state: &mut State) {
        if let Some(wait) = state.wait.take() {
            wait.finish_and_clear();
        }
        let Some(phase) = state.phase.take() else {
            return;
        };
        let took = state.since.elapsed();
        if let Some(bar) = state.bar.take() {
            let said = bar.message();
            bar.finish_and_clear();
            if took >= Duration::from_secs(1) {
                let said = if phase == Phase::Receiving {
                    said
                } else {
                    String::new()
                };
                self.line(
                    state,
                    &format!("{:<32} {:>8}  {said}", words(phase), duration(took)),
                );
            }
        }
    }

    fn progress(&self, state: &mut State, percent: Option<f64>, bytes: u64, files: u64) {
        let seconds = state.since.elapsed().as_secs_f64();
        let claimed = percent.map(|p| p.clamp(0.0, 100.0));
        let mut said = Vec::new();
        if state.phase == Some(Phase::Receiving) {
            said.extend(claimed.map(|p| format!("{p:.0} %")));
            said.push(size(bytes));
            if seconds > 0.2 {
                said.push(format!("{}/s", size((bytes as f64 / seconds) as u64)));
            }
        }
        said.push(counted(files, "file"));
        if let (Some(p), Some(Phase::Receiving)) = (claimed, state.phase)
            && p > 2.0
            && seconds > 3.0
        {
            let left = Duration::from_secs_f64(seconds * (100.0 - p) / p);
            said.push(format!("{} left", duration(left)));
        }
        match &state.bar {
            Some(bar) => {
                bar.set_position((claimed.unwrap_or(0.0) * 10.0) as u64);
                bar.set_message(said.join("  "));
            }
            None => {
                let quarter = claimed.is_some_and(|p| p >= state.told_percent + 25.0);
                if state.phase == Some(Phase::Receiving)
                    && (quarter || state.told.elapsed() >= BETWEEN_LINES)
                {
                    state.told = Instant::now();
                    state.told_percent = claimed.unwrap_or(state.told_percent);
                    let text = format!("receiving  {}", said.join("  "));
                    self.line(state, &text);
                }
            }
        }
    }

    fn waiting(&self, state: &mut State, what: Wait, limit_seconds: u64) {
        let text = match what {
            Wait::Trust => "Unlock the phone, tap Trust and enter its passcode",
            Wait::Passcode => "Enter the passcode on the phone to start the backup",
            Wait::Unlock => "Unlock the phone",
        };
        let limit = limit_seconds / 60;
        let limit = if limit > 0 {
            format!("{limit} min")
        } else {
            format!("{limit_seconds} s")
        };
        let text = format!("{text} ... (it waits up to {limit})");
        match &self.show.bars {
            Some(bars) => {
                let wait = bars.add(ProgressBar::new_spinner());
                wait.set_message(format!("{}{text}", prefix(state)));
                wait.enable_steady_tick(Duration::from_millis(200));
                state.wait = Some(wait);
            }
            None => self.line(state, &text),
        }
    }

    fn problem_line(&self, text: &str, hint: Option<&str>) {
        let state = self.state();
        self.line(&state, &format!("problem: {text}"));
        if let Some(hint) = hint {
            self.line(&state, &format!("  hint: {hint}"));
        }
    }

    fn line(&self, state: &State, text: &str) {
        let prefix = prefix(state);
        match self.show.bars {
            Some(_) => self.show.print(&format!("{prefix}{text}")),
            None => output::tell(&format!("{} {prefix}{text}", output::now())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefix(state: &State) -> String {
    state
        .name
        .as_ref()
        .map_or_else(String::new, |name| format!("{name}: "))
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Cloning => "Preparing the draft",
        Phase::Describing => "Reading settings and applications",
        Phase::Scanning => "Phone is looking for changes",
        Phase::Receiving => "Receiving",
        Phase::Arranging => "Phone is arranging the backup",
        Phase::PhoneChecking => "Phone is checking the backup",
        Phase::Checking => "Checking",
        Phase::Sealing => "Making it durable",
    }
}
