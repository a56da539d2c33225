//! The phone's side of a trace, played to any client, and where the client departs from what was
//! recorded.
//!
//! Scripted are lockdown's answers and the services that the trace has; all else (the daemon,
//! pairing, TLS, services that it lacks) is the simulated phone's own, since keys and ports are new
//! each time. So a trace of one service alone can be played too.

mod lockdown;
mod player;

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::tls::Link;
use crate::trace::compare;
use crate::trace::framing::Framing;
use crate::trace::line::{Dir, Event, Message};
use crate::trace::redact::Redactor;
use crate::trace::{NotPlayable, Trace};
use crate::udid::Udid;

pub(super) use lockdown::{Answer, LockdownScript, renewed};
use player::Player;

const LOCKDOWN: &str = "lockdown";
/// How long a message waits for what came before it on another connection. A client that does
/// something else will not come.
const ORDER_WAIT: Duration = Duration::from_secs(2);

/// A trace that is being played.
#[derive(Debug)]
pub struct Replay {
    channels: Vec<Scripted>,
    udid: Option<Udid>,
    state: Mutex<State>,
    passed: Condvar,
}

/// What one channel of the trace had.
#[derive(Debug)]
struct Scripted {
    name: String,
    framing: Framing,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    /// Its place among all steps of the trace.
    order: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Says(Dir, Message),
    Closes(Dir),
}

#[derive(Default)]
struct State {
    /// By channel: a client has opened it.
    used: Vec<bool>,
    /// By order: the computer's steps that came, or will not come.
    passed: Vec<bool>,
    /// All before this one have.
    first_missing: usize,
    redactor: Redactor,
    departures: Vec<Departure>,
    open: usize,
    touched: Option<Instant>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// Something in which the client did otherwise than what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// On which channel.
    pub channel: String,
    /// At which of its messages, counted from 1 in both directions; 0 where it is none.
    pub message: usize,
    /// What.
    pub what: String,
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message {
            0 => write!(f, "{}: {}", self.channel, self.what),
            n => write!(f, "{}, message {n}: {}", self.channel, self.what),
        }
    }
}

impl Replay {
    /// Makes a trace ready.
    pub fn new(trace: &Trace) -> Result<Arc<Replay>, NotPlayable> {
        let mut numbers = Vec::new();
        let mut channels: Vec<Scripted> = Vec::new();
        let mut udid = None;
        for (order, line) in trace.lines.iter().enumerate() {
            let at = numbers.iter().position(|number| *number == line.channel);
            let what = match (&line.event, at) {
                (Event::Open { name, phone, .. }, None) => {
                    udid = udid.or(phone.as_ref().and_then(|text| text.parse().ok()));
                    numbers.push(line.channel);
                    channels.push(Scripted {
                        name: name.clone(),
                        framing: Framing::of(name),
                        steps: Vec::new(),
                    });
                    continue;
                }
                (Event::Open { .. }, Some(_)) => {
                    return Err(NotPlayable::OpenedTwice(line.channel));
                }
                (Event::Message(dir, message), _) => What::Says(*dir, message.clone()),
                (Event::Close(by), _) => What::Closes(*by),
            };
            let at = at.ok_or(NotPlayable::NeverOpened(line.channel))?;
            channels[at].steps.push(Step { order, what });
        }
        // The daemon is no part of the phone.
        channels.retain(|channel| channel.name != "usbmux");
        if channels.is_empty() {
            return Err(NotPlayable::NoPhone);
        }
        let mut passed = vec![true; trace.lines.len()];
        for step in channels.iter().flat_map(|channel| &channel.steps) {
            passed[step.order] = !matches!(step.what, What::Says(Dir::ToPhone, _));
        }
        let state = State {
            used: vec![false; channels.len()],
            passed,
            redactor: Redactor::of_a_replay(),
            ..State::default()
        };
        Ok(Arc::new(Replay {
            channels,
            udid,
            state: Mutex::new(state),
            passed: Condvar::new(),
        }))
    }

    /// What the phone is called in the trace.
    pub fn udid(&self) -> Option<&Udid> {
        self.udid.as_ref()
    }

    /// The client was paired before the trace began, or the trace does not tell.
    pub fn begins_paired(&self) -> bool {
        self.first_lockdown_request(&["StartSession", "Pair"]) == Some("StartSession")
    }

    /// No session was secured, as by no phone since iOS 5.
    pub fn is_plain(&self) -> bool {
        self.messages().any(|(dir, message)| match message {
            Message::Plist(answer) if dir == Dir::FromPhone => {
                answer.get("EnableSessionSSL") == Some(&Json::Bool(false))
            }
            _ => false,
        })
    }

    fn first_lockdown_request(&self, names: &[&'static str]) -> Option<&'static str> {
        self.messages().find_map(|(_, message)| match message {
            Message::Plist(request) => {
                let name = request.get("Request")?.as_str()?;
                names.iter().find(|known| **known == name).copied()
            }
            _ => None,
        })
    }

    fn messages(&self) -> impl Iterator<Item = (Dir, &Message)> {
        let steps = self.channels.iter().flat_map(|channel| &channel.steps);
        steps.filter_map(|step| match &step.what {
            What::Says(dir, message) => Some((*dir, message)),
            What::Closes(_) => None,
        })
    }

    /// Where the client departed so far.
    pub fn departures(&self) -> Vec<Departure> {
        super::lock(&self.state).departures.clone()
    }

    /// Channels of the trace that no client has opened.
    pub fn unplayed(&self) -> Vec<String> {
        let state = super::lock(&self.state);
        let names = self.channels.iter().zip(&state.used);
        names
            .filter(|(_, used)| !**used)
            .map(|(channel, _)| channel.name.clone())
            .collect()
    }

    /// For how long nobody has been connected, once somebody was.
    pub fn idle_for(&self) -> Option<Duration> {
        let state = super::lock(&self.state);
        state
            .touched
            .filter(|_| state.open == 0)
            .map(|at| at.elapsed())
    }

    /// The trace has this service.
    pub(super) fn has(&self, name: &str) -> bool {
        self.channels.iter().any(|channel| channel.name == name)
    }

    fn departs(&self, channel: &str, message: usize, what: String) {
        super::lock(&self.state).departures.push(Departure {
            channel: channel.to_owned(),
            message,
            what,
        });
    }

    /// The next channel of this name that nobody has opened yet.
    fn take(&self, name: &str) -> Option<usize> {
        let mut state = super::lock(&self.state);
        let at = (0..self.channels.len())
            .find(|at| self.channels[*at].name == name && !state.used[*at])?;
        state.used[at] = true;
        Some(at)
    }

    /// The computer's steps of a channel up to there have come, or will not.
    fn pass(&self, channel: usize, up_to: usize) {
        let mut state = super::lock(&self.state);
        for step in self.channels[channel].steps.iter().take(up_to + 1) {
            state.passed[step.order] = true;
        }
        self.passed.notify_all();
    }

    /// Waits until what the computer had said elsewhere before this step has come.
    fn in_order(&self, order: usize) {
        let state = super::lock(&self.state);
        let missing = |state: &mut State| {
            while state.passed.get(state.first_missing) == Some(&true) {
                state.first_missing += 1;
            }
            state.first_missing < order
        };
        let waited = self.passed.wait_timeout_while(state, ORDER_WAIT, missing);
        let (mut state, result) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        if result.timed_out() {
            state.passed[..order].fill(true);
        }
    }

    fn connected(&self) -> Connected<'_> {
        super::lock(&self.state).open += 1;
        Connected(self)
    }

    /// The script of one connection to lockdown, where the trace has any.
    pub(super) fn lockdown(self: &Arc<Self>) -> Option<LockdownScript<'_>> {
        self.has(LOCKDOWN).then(|| LockdownScript::new(self))
    }

    /// Plays one connection to a service.
    pub(super) fn serve(&self, name: &str, link: Link) -> io::Result<()> {
        let _connected = self.connected();
        let Some(at) = self.take(name) else {
            self.departs(
                name,
                0,
                "it is opened once more than was recorded".to_owned(),
            );
            link.close();
            return Ok(());
        };
        let channel = &self.channels[at];
        let mut player = Player::new(self, channel, link);
        let played = player.play(at);
        self.pass(at, channel.steps.len());
        player.close();
        played
    }
}

/// A client is here as long as this lives.
struct Connected<'a>(&'a Replay);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        let mut state = super::lock(&self.0.state);
        state.open -= 1;
        state.touched = Some(Instant::now());
    }
}

/// A message with what tells it from others of its kind.
fn described(message: &Message) -> String {
    match message {
        Message::Plist(value) => {
            let about = ["Key", "Domain", "Service", "Name"];
            let about = about.iter().filter_map(|key| value.get(key)?.as_str());
            let about: Vec<&str> = about.collect();
            let name = compare::kind(message);
            match about.is_empty() {
                true => name,
                false => format!("{name} {}", about.join(" ")),
            }
        }
        other => compare::kind(other),
    }
}
