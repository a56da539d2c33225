//! Recorded traffic: the messages between a computer and a phone, above TLS, as lines of JSON that
//! people can read and compare.
//!
//! A [`Recorder`] receives plaintext bytes, through one [`Tap`] per channel. [`framing`] splits
//! them into messages, [`redact`] replaces secrets and identities before anything is written,
//! `line` defines the format of a line (docs/format.md, "Traces"), and [`compare`] decides if two
//! messages mean the same.

#[cfg(feature = "simulator")]
pub mod compare;
mod direction;
pub mod framing;
pub mod json;
pub mod line;
pub mod redact;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use framing::{Framer, Framing};
use line::{Dir, Event, Head, Line, NotALine};
use redact::Redactor;

/// Side on which a recorder runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Inside the program that talks to a phone.
    Computer,
    /// Inside the simulated phone, with the daemon in front of it.
    Phone,
}

/// Writes a trace. All clones write to the same trace.
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
    /// Begins a trace at `time` (RFC 3339). The trace contains the length and SHA-256 of files;
    /// with `keep_metadata` it also contains the contents of [`framing::METADATA`], *unredacted*.
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

    /// Opens a channel: "usbmux", "lockdown" or a service's name, with the UDID of its phone if
    /// known.
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

    /// Flushes the trace. Returns the first write error, if any occurred.
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
        // Write each line at once: a program that is killed then leaves only complete lines.
        let mut text = line.to_json().to_string();
        text.push('\n');
        if let Err(e) = self.out.write_all(text.as_bytes()) {
            self.failed = Some(e);
        }
    }
}

/// Records all bytes of one channel. Two threads that share a connection hold clones; the channel
/// ends when the last one is dropped.
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
    /// Records bytes that were read. An empty slice means that the other end closed the connection.
    pub fn read(&self, bytes: &[u8]) {
        match bytes {
            [] => self.0.end(self.0.there()),
            bytes => self.0.saw(self.0.there(), bytes),
        }
    }

    /// Records a read error. If the other end broke the connection, the channel ends.
    pub(crate) fn failed(&self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ) {
            self.read(&[]);
        }
    }

    /// Records bytes that were written.
    pub fn wrote(&self, bytes: &[u8]) {
        self.0.saw(self.0.here(), bytes);
    }

    /// Continues the connection as another channel, as the daemon's does after Connect.
    pub(crate) fn becomes(&self, name: &str, phone: Option<&str>) -> Tap {
        lock(&self.0.state).over = true;
        self.0.recorder.channel(name, phone, Some(self.0.number))
    }
}

impl Channel {
    /// Returns the direction in which this side sends.
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

/// A complete trace in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// First line of the trace.
    pub head: Head,
    /// All other lines.
    pub lines: Vec<Line>,
}

impl Trace {
    /// Parses a trace. The last line may be cut off, as in the trace of a program that was killed;
    /// any other mistake is an error.
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

/// Error: a trace cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPlayable {
    /// A channel opens twice.
    OpenedTwice(u32),
    /// A channel never opens.
    NeverOpened(u32),
    /// The trace contains no phone, only a daemon.
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
