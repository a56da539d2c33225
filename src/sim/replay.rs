//! The phone's side of a trace, played to any client, and where the client departs from what was recorded.
//!
//! Scripted are lockdown's answers and the services that the trace has; all else (the daemon, pairing, TLS, services that it
//! lacks) is the simulated phone's own, since keys and ports are new each time. So a trace of one service alone can be
//! played too.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use plist::{Dictionary, Value};
use serde_json::Value as Json;

use super::tls::Link;
use crate::trace::compare;
use crate::trace::framing::{FileEnd, Framer, Framing};
use crate::trace::line::{AFC_OPERATIONS, Dir, Event, Message, Packet};
use crate::trace::redact::{self, Redactor};
use crate::trace::{NotPlayable, Trace};
use crate::transport::plist_stream::{self, Encoding};
use crate::udid::Udid;

const LOCKDOWN: &str = "lockdown";
/// How long a message waits for what came before it on another connection. A client that does something else will not come.
const ORDER_WAIT: Duration = Duration::from_secs(2);
/// Data bytes of a block, as phones send them.
const CHUNK_BYTES: usize = 32 << 10;
const DATA: u8 = 0x0c;

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
        let missing = |state: &mut State| state.passed[..order].iter().any(|passed| !passed);
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

    /// The script of one connection to lockdown.
    pub(super) fn lockdown(self: &Arc<Self>) -> LockdownScript<'_> {
        LockdownScript {
            replay: self,
            channel: self.take(LOCKDOWN),
            at: 0,
            _connected: self.connected(),
        }
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
        let mut player = Player {
            replay: self,
            channel,
            link,
            framer: Framer::new(channel.framing, false),
            came: VecDeque::new(),
            question: None,
        };
        let played = player.play(at);
        self.pass(at, channel.steps.len());
        player.link.close();
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

/// One connection to lockdown: questions and answers, found by what is asked.
pub(super) struct LockdownScript<'a> {
    replay: &'a Replay,
    channel: Option<usize>,
    at: usize,
    _connected: Connected<'a>,
}

/// What lockdown is to answer.
pub(super) struct Answer {
    /// The recorded answer.
    pub(super) reply: Json,
    /// Then the phone hung up.
    pub(super) last: bool,
}

impl LockdownScript<'_> {
    /// The recorded answer to a request; `None` where there is none, and the phone answers by itself.
    pub(super) fn answer(&mut self, request: &Dictionary) -> Option<Answer> {
        let item = crate::trace::framing::Item::Plist(Value::Dictionary(request.clone()));
        let came = super::lock(&self.replay.state)
            .redactor
            .item(Framing::Plists, item);
        let asked = compare::kind(&came);
        let here = self.channel.and_then(|channel| {
            let found = self.find(channel, self.at, &came)?;
            let skipped = self.skipped(channel, found);
            if let Some(skipped) = skipped {
                let what = format!("{asked} came, and {skipped} was recorded before it");
                self.replay.departs(LOCKDOWN, found + 1, what);
            }
            self.at = found + 2;
            self.replay.pass(channel, found);
            Some((channel, found))
        });
        let found = here.or_else(|| {
            // Another program asks at another time.
            let channels = 0..self.replay.channels.len();
            let mut lockdowns = channels.filter(|at| self.replay.channels[*at].name == LOCKDOWN);
            let found = lockdowns.find_map(|at| Some((at, self.find(at, 0, &came)?)));
            let what = match found {
                Some(_) => format!("{asked} came out of turn"),
                None => format!("{} has no recorded answer", described(&came)),
            };
            self.replay.departs(LOCKDOWN, 0, what);
            found
        });
        let (channel, at) = found?;
        let steps = &self.replay.channels[channel].steps;
        let What::Says(_, Message::Plist(reply)) = &steps.get(at + 1)?.what else {
            return None;
        };
        let after = steps.get(at + 2).map(|step| &step.what);
        Some(Answer {
            reply: reply.clone(),
            last: matches!(after, Some(What::Closes(Dir::FromPhone))),
        })
    }

    fn find(&self, channel: usize, from: usize, came: &Message) -> Option<usize> {
        let steps = &self.replay.channels[channel].steps;
        (from..steps.len()).find(|at| {
            let asks = |what: &What| match what {
                What::Says(Dir::ToPhone, asked) => compare::departure(asked, came, None).is_none(),
                _ => false,
            };
            let answered = |step: &Step| matches!(step.what, What::Says(Dir::FromPhone, _));
            asks(&steps[*at].what) && steps.get(at + 1).is_some_and(answered)
        })
    }

    /// The first request that was recorded between the last one and this.
    fn skipped(&self, channel: usize, found: usize) -> Option<String> {
        let steps = self.replay.channels[channel].steps.get(self.at..found)?;
        steps.iter().find_map(|step| match &step.what {
            What::Says(Dir::ToPhone, message) => Some(described(message)),
            _ => None,
        })
    }
}

/// A recorded answer of lockdown with what must be new each time: data (keys, bags) and ports.
pub(super) fn renewed(recorded: &Json, live: Option<&Dictionary>) -> Dictionary {
    let Value::Dictionary(mut reply) = redact::to_plist(recorded) else {
        return Dictionary::new();
    };
    for (key, value) in live.into_iter().flatten() {
        let is_data = recorded.get(key).is_some_and(|v| v.get("$data").is_some());
        if is_data || (key == "Port" && reply.contains_key(key)) {
            reply.insert(key.clone(), value.clone());
        }
    }
    reply
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

/// One connection to a service that is being played.
struct Player<'a> {
    replay: &'a Replay,
    channel: &'a Scripted,
    link: Link,
    framer: Framer,
    came: VecDeque<Message>,
    /// The phone's last message.
    question: Option<String>,
}

impl Player<'_> {
    fn play(&mut self, number: usize) -> io::Result<()> {
        let steps = &self.channel.steps;
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            match &step.what {
                What::Says(Dir::FromPhone, message) => {
                    self.replay.in_order(step.order);
                    self.say(message)?;
                }
                What::Says(Dir::ToPhone, recorded) => {
                    let Some(came) = self.next()? else {
                        let what = format!("the client hung up before {}", described(recorded));
                        self.replay.departs(&self.channel.name, at + 1, what);
                        return Ok(());
                    };
                    at = self.match_up(at, recorded, &came);
                    self.replay.pass(number, at);
                }
                What::Closes(Dir::FromPhone) => return Ok(()),
                What::Closes(Dir::ToPhone) => {
                    if let Some(more) = self.next()? {
                        let what = format!("{} came after the end", described(&more));
                        self.replay.departs(&self.channel.name, at + 1, what);
                    }
                    return Ok(());
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Compares; answers the step that this message takes. A service that is only asked is asked in any order.
    fn match_up(&mut self, at: usize, recorded: &Message, came: &Message) -> usize {
        let question = self.question.take();
        let Some(what) = compare::departure(recorded, came, question.as_deref()) else {
            return at;
        };
        let later = (self.channel.framing != Framing::DeviceLink)
            .then(|| {
                let steps = self.channel.steps.iter().enumerate().skip(at + 1);
                let mut same = steps.filter(|(_, step)| match &step.what {
                    What::Says(Dir::ToPhone, message) => {
                        compare::departure(message, came, None).is_none()
                    }
                    _ => false,
                });
                same.next().map(|(at, _)| at)
            })
            .flatten();
        let what = match later {
            Some(_) => format!(
                "{} was recorded before {}",
                described(recorded),
                described(came)
            ),
            None => what,
        };
        self.replay.departs(&self.channel.name, at + 1, what);
        later.unwrap_or(at)
    }

    /// The client's next message; `None` when it hung up.
    fn next(&mut self) -> io::Result<Option<Message>> {
        let mut buffer = [0; 64 << 10];
        while self.came.is_empty() {
            let count = self.link.read(&mut buffer)?;
            let mut items = Vec::new();
            let mut seen = |item| items.push(item);
            match &buffer[..count] {
                [] => self.framer.end(Dir::ToPhone, &mut seen),
                bytes => self.framer.push(Dir::ToPhone, bytes, &mut seen),
            }
            let redactor = &mut super::lock(&self.replay.state).redactor;
            let messages = items
                .into_iter()
                .map(|item| redactor.item(self.channel.framing, item));
            self.came.extend(messages);
            if count == 0 {
                break;
            }
        }
        Ok(self.came.pop_front())
    }

    fn say(&mut self, message: &Message) -> io::Result<()> {
        self.question = match message {
            Message::Plist(value) => compare::name(value).map(str::to_owned),
            _ => self.question.take(),
        };
        let bytes = encoded(message, self.channel.framing)?;
        // The computer's files follow from what the phone says.
        self.framer.push(Dir::FromPhone, &bytes, &mut |_| {});
        self.link.write_all(&bytes)?;
        self.link.flush()
    }
}

/// A message as it goes over the wire. Contents that the trace does not have are zeros.
fn encoded(message: &Message, framing: Framing) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match message {
        Message::Plist(value) => {
            let encoding = match framing {
                Framing::DeviceLink => Encoding::Binary,
                _ => Encoding::Xml,
            };
            plist_stream::write(&mut bytes, &redact::to_plist(value), encoding)
                .map_err(super::frame_error)?;
        }
        Message::FilesEnd => bytes.extend([0; 4]),
        Message::Raw(count) => bytes.resize(usize::try_from(*count).unwrap_or(0).min(1 << 20), 0),
        Message::Afc(packet) => return packet_bytes(packet),
        Message::File {
            from,
            to,
            size,
            body,
            end,
            ..
        } => {
            for text in from.iter().chain([to]) {
                bytes.extend(length(text.len())?);
                bytes.extend(text.as_bytes());
            }
            let zeros = || vec![0; usize::try_from(*size).unwrap_or(0)];
            let body = body.clone().unwrap_or_else(zeros);
            for chunk in body.chunks(CHUNK_BYTES) {
                bytes.extend(length(chunk.len() + 1)?);
                bytes.push(DATA);
                bytes.extend(chunk);
            }
            match end {
                FileEnd::Whole => bytes.extend([0, 0, 0, 1, 0]),
                FileEnd::Failed(code, text) => {
                    bytes.extend(length(text.len() + 1)?);
                    bytes.push(*code);
                    bytes.extend(text.as_bytes());
                }
                // A block that says more than it has.
                FileEnd::Cut => bytes.extend([0, 0, 0x80, 1, DATA]),
            }
        }
    }
    Ok(bytes)
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes).map_err(io::Error::other)?;
    Ok(length.to_be_bytes())
}

fn packet_bytes(packet: &Packet) -> io::Result<Vec<u8>> {
    const HEADER: u64 = 40;
    let known = AFC_OPERATIONS
        .iter()
        .find(|(_, name, ..)| *name == packet.operation);
    let operation = match known {
        Some((number, ..)) => *number,
        None => packet.operation.parse().map_err(io::Error::other)?,
    };
    let mut rest: Vec<u8> = packet
        .words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    for path in &packet.paths {
        rest.extend(path.as_bytes());
        rest.push(0);
    }
    let arguments = HEADER + rest.len() as u64;
    rest.resize(
        rest.len() + usize::try_from(packet.data).unwrap_or(0).min(1 << 20),
        0,
    );
    let mut bytes = b"CFA6LPAA".to_vec();
    for word in [
        HEADER + rest.len() as u64,
        arguments,
        packet.number,
        operation,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(rest);
    Ok(bytes)
}
