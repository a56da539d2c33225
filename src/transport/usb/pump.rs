//! Connections to one phone over USB, shared by threads. A pump moves packets between the phone's
//! endpoints and [`Mux`]; readers and writers of a connection only touch `Mux`.
//!
//! The pump is a thread of its own, since transfers must be taken as they arrive, whether or not a
//! connection is being read. It sleeps in [`Pipe::wait`] and is woken by transfers, by time, and by
//! callers that have queued something to send.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::mux::{Mux, Standing};
use crate::base::cancel::{CancelToken, cancelled};
use crate::transport::error::Trouble;
use crate::transport::tick::TICK;

/// Longest wait for the phone's version, or for its answer to a new connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time without connections after which the phone is released, so that other programs can use it.
const UNUSED_MAX: Duration = Duration::from_secs(3);
/// Longest wait for the last packets to be sent when the phone is released.
const PARTING_MAX: Duration = Duration::from_secs(1);

/// A phone's two endpoints. Dropping it releases the phone.
pub trait Pipe: Send {
    /// Returns true if another packet may be sent now.
    fn has_room(&self) -> bool;

    /// Returns true if every packet has been sent.
    fn is_flushed(&self) -> bool;

    /// Starts sending a packet. Where the phone could not recognize its end, an empty transfer
    /// follows.
    fn send(&mut self, packet: Vec<u8>) -> Result<(), Trouble>;

    /// Waits until transfers arrive, one was sent, the [`Wake`] is called, or `patience` has
    /// passed. Passes each received transfer to `take`.
    fn wait(
        &mut self,
        patience: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble>;
}

/// Ends the current wait of a [`Pipe`], or its next one if it is not waiting.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A phone that this program holds open.
pub(crate) struct Link {
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
    /// The reason why the link is dead. The pump has ended, or is ending.
    over: Option<Trouble>,
    /// Set when the pump is to close all connections and end.
    leaving: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, for one tick at most.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, TICK);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Link {
    /// Starts the pump, and waits until the phone has sent its version.
    ///
    /// If the cause of an error is a [`Trouble`], the error wraps it.
    pub(crate) fn start(pipe: Box<dyn Pipe>, wake: Wake, token: &CancelToken) -> io::Result<Link> {
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
        link.await_version(token)?;
        Ok(link)
    }

    fn await_version(&self, token: &CancelToken) -> io::Result<()> {
        let since = Instant::now();
        let mut state = self.shared.lock();
        loop {
            match &state.over {
                Some(trouble) => return Err(trouble.clone().into()),
                None if state.mux.is_ready() => return Ok(()),
                None if token.stops() => return Err(cancelled()),
                None if since.elapsed() > ANSWER_WITHIN => return Err(Trouble::Silent.into()),
                None => state = self.shared.wait(state),
            }
        }
    }

    /// Returns true if the link accepts no new connections.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.shared.lock();
        state.over.is_some() || state.leaving
    }

    /// Opens a connection to a port of the phone. Returns `None` if the phone has been released
    /// meanwhile; the caller then opens it again.
    pub(crate) fn connect(&self, port: u16, token: &CancelToken) -> io::Result<Option<Connection>> {
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
        // From here on, dropping it closes the connection.
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
                (None, Standing::Opening) if token.stops() => return Err(cancelled()),
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
            // A pump that panicked has also released the phone and recorded the reason.
            drop(pump.join());
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// A connection to the phone. Dropping it closes it.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    port: u16,
}

impl Connection {
    /// Reads the bytes that are available, waiting up to one tick for some. Fails with `WouldBlock`
    /// if none arrive.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.once(|state, port| {
            let before = state.mux.deadline();
            let read = state.mux.read(Instant::now(), port, buffer);
            (
                read,
                state.mux.has_output() || state.mux.deadline() != before,
            )
        })
    }

    /// Sends as many bytes as the phone has room for, waiting up to one tick for room. Fails with
    /// `WouldBlock` if it has no room.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Sends several slices like [`Connection::write`], without copying them together first.
    pub(crate) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.once(|state, port| match &state.over {
            // Bytes received earlier may still be read, but nothing can be sent any more.
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

/// Runs the pump. [`Ending`] wakes all waiting connections however the pump ends, even by a panic.
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
        // Release the phone before notifying waiters, since one of them may open it at once.
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
            // The pipe decides packet by packet how many it takes at once.
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
            // The pipe may have room for more.
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
