//! One phone's connections over USB, shared by threads: a pump moves packets between its endpoints
//! and [`Mux`], whoever reads or writes a connection only touches `Mux`.
//!
//! The pump is a thread of its own, since transfers must be taken when they come, whoever is
//! reading. It sleeps in [`Pipe::wait`] and is woken by transfers, by time, and by whoever has made
//! something to send.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::Trouble;
use super::mux::{Mux, Standing};
use super::wire::{Calm, TICK, cancelled};

/// How long a phone may take to tell its version, or to answer a new connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A phone that nobody uses is given back after so long, so that other programs can have it.
const UNUSED_MAX: Duration = Duration::from_secs(3);
/// How long the last packets may take when it is given back.
const PARTING_MAX: Duration = Duration::from_secs(1);

/// A phone's two endpoints. Dropped, it gives the phone back.
pub trait Pipe: Send {
    /// Whether another packet may be sent now.
    fn has_room(&self) -> bool;

    /// Whether all that was sent has left.
    fn is_flushed(&self) -> bool;

    /// Begins to send a packet, whose end the phone can see: an empty one follows where that is
    /// needed.
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Trouble>;

    /// Waits until something happens: a transfer arrives, of which each is handed to `take`, one
    /// was sent, somebody calls the [`Wake`], or `patience` ends.
    fn wait(
        &mut self,
        patience: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble>;
}

/// Ends the wait of a [`Pipe`]; when it does not wait, its next one.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A phone that is held.
pub struct Link {
    shared: Arc<Shared>,
    pump: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: Wake,
}

struct State {
    mux: Mux,
    /// Why nothing goes any more. The pump has ended, or is ending.
    over: Option<Trouble>,
    /// Everything is to end.
    leaving: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, for one tick.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, TICK);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Link {
    /// Starts the pump, and waits until the phone has told its version.
    ///
    /// What fails for a [`Trouble`] holds it.
    pub fn start(pipe: Box<dyn Pipe>, wake: Wake, calm: &Calm) -> io::Result<Link> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                mux: Mux::new(),
                over: None,
                leaving: false,
            }),
            changed: Condvar::new(),
            wake,
        });
        let thread = std::thread::Builder::new().name("usb".to_owned());
        let pumped = shared.clone();
        let pump = thread.spawn(move || run(&pumped, pipe));
        let link = Link {
            shared,
            pump: Some(pump?),
        };
        link.await_version(calm)?;
        Ok(link)
    }

    fn await_version(&self, calm: &Calm) -> io::Result<()> {
        let since = Instant::now();
        let mut state = self.shared.lock();
        loop {
            match &state.over {
                Some(trouble) => return Err(trouble.clone().into()),
                None if state.mux.is_ready() => return Ok(()),
                None if calm.stops() => return Err(cancelled()),
                None if since.elapsed() > ANSWER_WITHIN => return Err(Trouble::Silent.into()),
                None => state = self.shared.wait(state),
            }
        }
    }

    /// Nothing goes through it any more.
    pub fn is_over(&self) -> bool {
        let state = self.shared.lock();
        state.over.is_some() || state.leaving
    }

    /// Opens a connection to a port of the phone. `None` when the phone was given back meanwhile:
    /// open it anew.
    pub fn connect(&self, port: u16, calm: &Calm) -> io::Result<Option<Connection>> {
        let mut state = self.shared.lock();
        if state.over.is_some() || state.leaving {
            return Ok(None);
        }
        let opened = state.mux.connect(port).map_err(Trouble::from)?;
        let Some(here) = opened else {
            return Err(Trouble::Crowded.into());
        };
        drop(state);
        (self.shared.wake)();
        // From here on it is closed when it is dropped.
        let connection = Connection {
            shared: self.shared.clone(),
            port: here,
        };
        let since = Instant::now();
        let mut state = self.shared.lock();
        loop {
            match (&state.over, state.mux.standing(here)) {
                (_, Standing::Open) => break,
                (Some(trouble), _) => return Err(trouble.clone().into()),
                (None, Standing::Opening) if calm.stops() => return Err(cancelled()),
                (None, Standing::Opening) if since.elapsed() > ANSWER_WITHIN => {
                    return Err(Trouble::Silent.into());
                }
                (None, Standing::Opening) => state = self.shared.wait(state),
                (None, Standing::Faulty(why)) => {
                    let words = Some(why.to_owned());
                    return Err(Trouble::Refused { words }.into());
                }
                (None, _) => {
                    let words = state.mux.words();
                    return Err(Trouble::Refused { words }.into());
                }
            }
        }
        drop(state);
        Ok(Some(connection))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.lock().leaving = true;
        (self.shared.wake)();
        if let Some(pump) = self.pump.take() {
            // A pump that panicked has given the phone back, too, and told so.
            drop(pump.join());
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// One connection. Closed when it is dropped.
pub struct Connection {
    shared: Arc<Shared>,
    port: u16,
}

impl Connection {
    /// Reads what is there, and waits a moment for something: `WouldBlock` when nothing came.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.once(|state, port| {
            let before = state.mux.deadline();
            let read = state.mux.read(Instant::now(), port, buffer);
            (
                read,
                state.mux.has_output() || state.mux.deadline() != before,
            )
        })
    }

    /// Sends what the phone has room for, and waits a moment for room: `WouldBlock` when there is
    /// none.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// The same of several pieces.
    pub fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.once(|state, port| match &state.over {
            // What was received may still be read; what is sent goes nowhere.
            Some(trouble) => (Err(trouble.clone().into()), false),
            None => (state.mux.write_vectored(port, pieces), true),
        })
    }

    fn once(
        &mut self,
        mut act: impl FnMut(&mut State, u16) -> (io::Result<usize>, bool),
    ) -> io::Result<usize> {
        let until = Instant::now() + TICK;
        let mut state = self.shared.lock();
        loop {
            let (done, wakes) = act(&mut state, self.port);
            match done {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    drop(state);
                    if wakes {
                        (self.shared.wake)();
                    }
                    return done;
                }
            }
            if let Some(trouble) = &state.over {
                return Err(trouble.clone().into());
            }
            if Instant::now() >= until {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state = self.shared.wait(state);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let port = self.port;
        if let Err(broken) = state.mux.close(port) {
            state.over.get_or_insert(broken.into());
        }
        drop(state);
        (self.shared.wake)();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.port)
    }
}

/// The pump's life. Whatever ends it, nobody goes on waiting for it.
fn run(shared: &Shared, pipe: Box<dyn Pipe>) {
    let mut ending = Ending {
        shared,
        pipe: Some(pipe),
        why: Trouble::Unplugged,
    };
    if let Some(pipe) = &mut ending.pipe
        && let Err(trouble) = pump(shared, &mut **pipe)
    {
        ending.why = trouble;
    }
}

struct Ending<'a> {
    shared: &'a Shared,
    pipe: Option<Box<dyn Pipe>>,
    why: Trouble,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // Given back before anybody is told, who may want it at once.
        self.pipe = None;
        let mut state = self.shared.lock();
        state.leaving = true;
        state.over.get_or_insert(self.why.clone());
        self.shared.changed.notify_all();
    }
}

fn pump(shared: &Shared, pipe: &mut dyn Pipe) -> Result<(), Trouble> {
    let mut unused_since = Instant::now();
    let mut parting: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let mut packets = Vec::new();
        let mut patience = UNUSED_MAX;
        {
            let mut state = shared.lock();
            if let Some(trouble) = &state.over {
                return Err(trouble.clone());
            }
            state.mux.tick(now)?;
            if !state.mux.is_unused() || !state.mux.is_ready() {
                unused_since = now;
            } else if now >= unused_since + UNUSED_MAX {
                state.leaving = true;
            }
            if state.leaving && parting.is_none() {
                state.mux.close_all()?;
                parting = Some(now);
            }
            // What a pipe takes at once is its own affair; it says so packet by packet.
            if pipe.has_room() {
                packets.extend(state.mux.output());
            }
            let all_is_said = packets.is_empty() && !state.mux.has_output();
            if parting.is_some() && all_is_said && pipe.is_flushed() {
                return Ok(());
            }
            if let Some(deadline) = state.mux.deadline() {
                patience = patience.min(deadline.saturating_duration_since(now));
            }
        }
        if let Some(since) = parting {
            if now >= since + PARTING_MAX {
                return Ok(());
            }
            patience = patience.min(Duration::from_millis(50));
        }
        if let Some(packet) = packets.pop() {
            pipe.send(packet)?;
            // There may be room for more.
            patience = Duration::ZERO;
        }
        let mut came = false;
        pipe.wait(patience, &mut |bytes| {
            came = true;
            shared.lock().mux.receive(bytes).map_err(Trouble::from)
        })?;
        if came || patience == Duration::ZERO {
            shared.changed.notify_all();
        }
    }
}
