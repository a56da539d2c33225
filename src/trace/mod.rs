//! Recorded traffic: what passed between a computer and a phone, above TLS, as lines of JSON that
//! people can read and compare.
//!
//! A [`Recorder`] takes bytes where they are plain, one [`Tap`] per channel. [`framing`] cuts them
//! into messages, [`redact`] replaces secrets and identities before anything is written, `line` is
//! the form of a line (docs/format.md, "Traces"), and [`compare`] tells whether two messages mean
//! the same.

pub mod compare;
pub mod framing;
pub mod json;
pub mod line;
mod prose;
pub mod redact;
mod words;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use framing::{Framer, Framing};
use line::{Dir, Event, Head, Line, NotALine};
use redact::Redactor;

/// Where a recorder listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In the program that talks to a phone.
    Computer,
    /// In the simulated phone, and the daemon before it.
    Phone,
}

/// Writes a trace. Cloned freely; all clones write into one.
#[derive(Clone)]
pub struct Recorder {
    at: At,
    keep_metadata: bool,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    start: Instant,
    redactor: Redactor,
    channels: u32,
    failed: Option<io::Error>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({:?})", self.at)
    }
}

impl Recorder {
    /// Begins a trace at `time` (RFC 3339). Of files it has length and SHA-256; with
    /// `keep_metadata` also the contents of [`framing::METADATA`], *as they are*.
    pub fn new(
        mut out: Box<dyn Write + Send>,
        at: At,
        keep_metadata: bool,
        time: String,
    ) -> io::Result<Recorder> {
        let head = Head {
            trace: line::VERSION,
            by: concat!("idev-backup ", env!("CARGO_PKG_VERSION")).to_owned(),
            at: match at {
                At::Computer => "computer",
                At::Phone => "simulated phone",
            }
            .to_owned(),
            time,
            metadata: keep_metadata,
        };
        writeln!(out, "{}", head.to_json())?;
        Ok(Recorder {
            at,
            keep_metadata,
            inner: Arc::new(Mutex::new(Inner {
                out,
                start: Instant::now(),
                redactor: Redactor::default(),
                channels: 0,
                failed: None,
            })),
        })
    }

    /// A new channel: "usbmux", "lockdown" or a service's name, and the UDID of its phone where
    /// that is known.
    pub fn open(&self, name: &str, phone: Option<&str>) -> Tap {
        self.channel(name, phone, None)
    }

    fn channel(&self, name: &str, phone: Option<&str>, on: Option<u32>) -> Tap {
        let mut inner = lock(&self.inner);
        inner.channels += 1;
        let number = inner.channels;
        let shown = inner.redactor.word(name);
        let phone = phone.map(|udid| inner.redactor.udid(udid));
        inner.write(
            number,
            Event::Open {
                name: shown,
                phone,
                on,
            },
        );
        let framing = Framing::of(name);
        let channel = Channel {
            recorder: self.clone(),
            number,
            framing,
            state: Mutex::new(State {
                framer: Framer::new(framing, self.keep_metadata),
                over: false,
            }),
        };
        Tap(Arc::new(channel))
    }

    /// Flushes; the first thing that could not be written, if any, is the answer.
    pub fn finish(&self) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        match inner.failed.take() {
            Some(e) => Err(e),
            None => inner.out.flush(),
        }
    }
}

impl Inner {
    fn write(&mut self, channel: u32, event: Event) {
        if self.failed.is_some() {
            return;
        }
        let line = Line {
            seconds: self.start.elapsed().as_secs_f64(),
            channel,
            event,
        };
        // A line at once: a program that is killed leaves whole ones.
        let mut text = line.to_json().to_string();
        text.push('\n');
        if let Err(e) = self.out.write_all(text.as_bytes()) {
            self.failed = Some(e);
        }
    }
}

/// One channel of a trace, told of all bytes that pass. Cloned where two threads share a
/// connection; the channel ends with the last clone.
#[derive(Clone)]
pub struct Tap(Arc<Channel>);

struct Channel {
    recorder: Recorder,
    number: u32,
    framing: Framing,
    state: Mutex<State>,
}

struct State {
    framer: Framer,
    over: bool,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tap({})", self.0.number)
    }
}

impl Tap {
    /// These bytes were read here; none means that the other end closed the connection.
    pub fn read(&self, bytes: &[u8]) {
        match bytes {
            [] => self.0.end(self.0.there()),
            bytes => self.0.saw(self.0.there(), bytes),
        }
    }

    /// Reading failed: where the other end broke the connection, it ended it.
    pub fn failed(&self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ) {
            self.read(&[]);
        }
    }

    /// These bytes were written here.
    pub fn wrote(&self, bytes: &[u8]) {
        self.0.saw(self.0.here(), bytes);
    }

    /// The connection goes on as another channel: the daemon's, after Connect.
    pub fn becomes(&self, name: &str, phone: Option<&str>) -> Tap {
        lock(&self.0.state).over = true;
        self.0.recorder.channel(name, phone, Some(self.0.number))
    }
}

impl Channel {
    /// The direction in which this end speaks.
    fn here(&self) -> Dir {
        match self.recorder.at {
            At::Computer => Dir::ToPhone,
            At::Phone => Dir::FromPhone,
        }
    }

    fn there(&self) -> Dir {
        match self.recorder.at {
            At::Computer => Dir::FromPhone,
            At::Phone => Dir::ToPhone,
        }
    }

    fn saw(&self, dir: Dir, bytes: &[u8]) {
        let mut state = lock(&self.state);
        state
            .framer
            .push(dir, bytes, &mut |item| self.write(dir, item));
    }

    fn write(&self, dir: Dir, item: framing::Item) {
        let mut inner = lock(&self.recorder.inner);
        let message = inner.redactor.item(self.framing, item);
        inner.write(self.number, Event::Message(dir, message));
    }

    fn end(&self, by: Dir) {
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        for dir in [Dir::ToPhone, Dir::FromPhone] {
            state.framer.end(dir, &mut |item| self.write(dir, item));
        }
        lock(&self.recorder.inner).write(self.number, Event::Close(by));
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.end(self.here());
    }
}

/// A whole trace in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its first line.
    pub head: Head,
    /// The others.
    pub lines: Vec<Line>,
}

impl Trace {
    /// Reads a trace. Its last line may be cut, as of a program that was killed; nothing else may
    /// be wrong.
    pub fn parse(text: &str) -> Result<Trace, (usize, NotALine)> {
        let mut numbered = (1..).zip(text.lines());
        let (_, first) = numbered.next().unwrap_or((1, ""));
        let head = Head::parse(first).map_err(|e| (1, e))?;
        let is_whole = text.ends_with('\n');
        let last = text.lines().count();
        let mut lines = Vec::new();
        for (number, line) in numbered.filter(|(_, line)| !line.trim().is_empty()) {
            match Line::parse(line) {
                Ok(line) => lines.push(line),
                Err(_) if number == last && !is_whole => {}
                Err(e) => return Err((number, e)),
            }
        }
        Ok(Trace { head, lines })
    }
}

/// Why a trace cannot be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPlayable {
    /// A channel has two beginnings.
    OpenedTwice(u32),
    /// A channel has no beginning.
    NeverOpened(u32),
    /// No phone is in it, only a daemon.
    NoPhone,
}

impl fmt::Display for NotPlayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotPlayable::OpenedTwice(channel) => write!(f, "its channel {channel} begins twice"),
            NotPlayable::NeverOpened(channel) => write!(f, "its channel {channel} never begins"),
            NotPlayable::NoPhone => f.write_str("no phone speaks in it"),
        }
    }
}

impl std::error::Error for NotPlayable {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
