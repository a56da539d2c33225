//! Replays the phone's side of a trace to any client, and records where the client departs from the
//! trace.
//!
//! The answers of lockdown and of the services in the trace are replayed. Everything else (the
//! daemon, pairing, TLS, services missing from the trace) comes from the simulated phone, since
//! keys and ports are new each time. A trace of a single service can therefore be replayed too.

mod lockdown;
mod player;

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::tls::Link;
use crate::base::udid::Udid;
use crate::simulator::replay::player::Player;
use crate::trace::framing::Framing;
use crate::trace::line::{Dir, Event, Message};
use crate::trace::redact::Redactor;
use crate::trace::{NotPlayable, Trace, compare};

pub(super) use lockdown::{Answer, LockdownScript, renewed};

const LOCKDOWN: &str = "lockdown";
/// Time that a message waits for messages that preceded it on other connections. A client that
/// departs from the trace may never send those.
const ORDER_WAIT: Duration = Duration::from_secs(2);

/// A trace that is being replayed.
#[derive(Debug)]
pub struct Replay {
    channels: Vec<Scripted>,
    udid: Option<Udid>,
    state: Mutex<State>,
    passed: Condvar,
}

/// Recorded traffic of one channel.
#[derive(Debug)]
struct Scripted {
    name: String,
    framing: Framing,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    /// Position among all lines of the trace.
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
    /// By channel: true once a client has opened it.
    used: Vec<bool>,
    /// By order: true once a message of the computer has arrived, or can no longer arrive.
    passed: Vec<bool>,
    /// Index of the first step that has not passed.
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

/// A difference between the client's behavior and the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Name of the channel.
    pub channel: String,
    /// Index of the message on the channel, counted from 1 in both directions; 0 if the departure
    /// does not concern a message.
    pub message: usize,
    /// Description of the difference.
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
    /// Prepares a trace for replay.
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
        // The daemon is not part of the phone.
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

    /// Returns the UDID of the phone in the trace.
    pub fn udid(&self) -> Option<&Udid> {
        self.udid.as_ref()
    }

    /// Returns true if the client was paired before the trace began. False if the trace does not
    /// show it.
    pub fn begins_paired(&self) -> bool {
        self.first_lockdown_request(&["StartSession", "Pair"]) == Some("StartSession")
    }

    /// Returns true if the trace has a session without TLS. No phone since iOS 5 works so.
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

    /// Returns the client's departures so far.
    pub fn departures(&self) -> Vec<Departure> {
        super::lock(&self.state).departures.clone()
    }

    /// Returns the names of the channels that no client has opened.
    pub fn unplayed(&self) -> Vec<String> {
        let state = super::lock(&self.state);
        let names = self.channels.iter().zip(&state.used);
        names
            .filter(|(_, used)| !**used)
            .map(|(channel, _)| channel.name.clone())
            .collect()
    }

    /// Returns the time since the last client disconnected. `None` while a client is connected, or
    /// before the first.
    pub fn idle_for(&self) -> Option<Duration> {
        let state = super::lock(&self.state);
        state
            .touched
            .filter(|_| state.open == 0)
            .map(|at| at.elapsed())
    }

    /// Returns true if the trace has a channel of this name.
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

    /// Claims the next channel of this name that no client has opened yet.
    fn take(&self, name: &str) -> Option<usize> {
        let mut state = super::lock(&self.state);
        let at = (0..self.channels.len())
            .find(|at| self.channels[*at].name == name && !state.used[*at])?;
        state.used[at] = true;
        Some(at)
    }

    /// Marks the computer's messages of a channel up to `up_to` as passed: they have arrived, or no
    /// longer can.
    fn pass(&self, channel: usize, up_to: usize) {
        let mut state = super::lock(&self.state);
        for step in self.channels[channel].steps.iter().take(up_to + 1) {
            state.passed[step.order] = true;
        }
        self.passed.notify_all();
    }

    /// Waits until the computer's messages that preceded this step on other channels have arrived.
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

    /// Returns the script of one lockdown connection, if the trace has any.
    pub(super) fn lockdown(self: &Arc<Self>) -> Option<LockdownScript<'_>> {
        self.has(LOCKDOWN).then(|| LockdownScript::new(self))
    }

    /// Replays one connection to a service.
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

/// Counts a client as connected until it is dropped.
struct Connected<'a>(&'a Replay);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        let mut state = super::lock(&self.0.state);
        state.open -= 1;
        state.touched = Some(Instant::now());
    }
}

/// Describes a message by its kind and the values that distinguish it from others of that kind.
fn described(message: &Message) -> String {
    match message {
        Message::Plist(value) => {
            let about = ["Key", "Domain", "Service", "Name"];
            let about = about.iter().filter_map(|key| value.get(key)?.as_str());
            let about: Vec<&str> = about.collect();
            let name = compare::kind(message);
            if about.is_empty() {
                name
            } else {
                format!("{name} {}", about.join(" "))
            }
        }
        other => compare::kind(other),
    }
}
