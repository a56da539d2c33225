//! Socket with bounded waits: silence has a limit, and a cancelled wait ends early.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::link::Connection;
use crate::trace::Tap;

/// Bidirectional byte stream.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// Interval at which a wait checks its limits.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Cancellation token, shared by the caller that cancels and the connections that wait.
///
/// A cancellation takes effect between two messages of the dialog; in the middle of one, both sides
/// would lose synchronization. But a message can hold files of many gigabytes, or never end, so
/// after a few seconds a cancellation takes effect anywhere.
#[derive(Debug, Default)]
pub struct Calm {
    cancel: Arc<AtomicBool>,
    /// Flags of the parent tokens, where this token covers only one phone.
    wider: Vec<Arc<AtomicBool>>,
    between_messages: AtomicBool,
    seen: OnceLock<Instant>,
}

/// Longest time that a cancellation waits for the end of a message.
const GRACE: Duration = Duration::from_secs(3);

impl Calm {
    /// Creates a token that is cancelled when `cancel` becomes true.
    pub fn new(cancel: Arc<AtomicBool>) -> Arc<Calm> {
        Arc::new(Calm {
            cancel,
            wider: Vec::new(),
            between_messages: AtomicBool::new(true),
            seen: OnceLock::new(),
        })
    }

    /// Returns a token with the same cancel flags, for another connection with its own position in
    /// its dialog.
    pub fn fork(&self) -> Arc<Calm> {
        Arc::new(Calm {
            cancel: self.cancel.clone(),
            wider: self.wider.clone(),
            between_messages: AtomicBool::new(true),
            seen: OnceLock::new(),
        })
    }

    /// Returns a child token, for one phone among several. Cancelling this token also cancels the
    /// child, but not the other way round.
    pub fn for_one(&self) -> Arc<Calm> {
        let mut wider = self.wider.clone();
        wider.push(self.cancel.clone());
        Arc::new(Calm {
            cancel: Arc::default(),
            wider,
            between_messages: AtomicBool::new(true),
            seen: OnceLock::new(),
        })
    }

    /// Cancels the token.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    /// Returns true if the token or one of its parents is cancelled.
    pub fn cancelled(&self) -> bool {
        let set = |flag: &Arc<AtomicBool>| flag.load(Ordering::SeqCst);
        set(&self.cancel) || self.wider.iter().any(set)
    }

    /// Records whether the dialog is between two messages, where a wait may be ended at once.
    pub fn set_between_messages(&self, between: bool) {
        self.between_messages.store(between, Ordering::SeqCst);
    }

    /// Returns the error that a cancelled operation reports.
    pub fn cancellation(&self) -> io::Error {
        cancelled()
    }

    /// Returns true if the operation under way must end now.
    pub fn stops(&self) -> bool {
        self.cancelled()
            && (self.between_messages.load(Ordering::SeqCst)
                || self.seen.get_or_init(Instant::now).elapsed() > GRACE)
    }
}

/// Marker of an error that [`Calm`] caused.
#[derive(Debug)]
struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Cancelled {}

/// Returns true if `error` means that a wait was cancelled.
pub fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

/// Returns the error of a cancelled wait.
pub(super) fn cancelled() -> io::Error {
    io::Error::other(Cancelled)
}

/// A connected socket: first the daemon's, and after Connect the phone's.
#[derive(Debug)]
pub enum Socket {
    /// A local socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    /// A TCP socket, for Windows, containers and other machines.
    Tcp(TcpStream),
    /// A connection to a phone on USB.
    Usb(Connection),
}

impl Socket {
    fn tick(&self) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Socket::Unix(s) => {
                s.set_read_timeout(Some(TICK))?;
                s.set_write_timeout(Some(TICK))
            }
            Socket::Tcp(s) => {
                s.set_nodelay(true)?;
                s.set_read_timeout(Some(TICK))?;
                s.set_write_timeout(Some(TICK))
            }
            // A USB connection already waits no longer than a tick.
            Socket::Usb(_) => Ok(()),
        }
    }
}

/// A [`Socket`] whose reads and writes wait up to a limit of silence, or until cancelled.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    calm: Arc<Calm>,
    silence_max: Duration,
    tap: Option<Tap>,
}

impl Wire {
    /// Wraps a connected socket.
    pub fn new(socket: Socket, calm: Arc<Calm>, silence_max: Duration) -> io::Result<Wire> {
        socket.tick()?;
        Ok(Wire {
            socket,
            calm,
            silence_max,
            tap: None,
        })
    }

    /// Records all bytes that pass from now on.
    pub fn record(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Stops recording here and returns the tap. From now on the bytes are encrypted; they are
    /// recorded in the layer above, as plaintext.
    pub fn take_tap(&mut self) -> Option<Tap> {
        self.tap.take()
    }

    /// Sets the cancellation token and the limit of silence. A service's dialog may be silent for
    /// longer than the daemon.
    pub fn with_patience(mut self, calm: Arc<Calm>, silence_max: Duration) -> Wire {
        self.set_patience(calm, silence_max);
        self
    }

    /// Sets the cancellation token and the limit of silence in place.
    pub fn set_patience(&mut self, calm: Arc<Calm>, silence_max: Duration) {
        self.calm = calm;
        self.silence_max = silence_max;
    }

    fn patiently(
        &mut self,
        mut once: impl FnMut(&mut Socket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut since = None;
        loop {
            match once(&mut self.socket) {
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if self.calm.stops() {
                        return Err(cancelled());
                    }
                    if since.get_or_insert_with(Instant::now).elapsed() >= self.silence_max {
                        let silence =
                            format!("nothing was heard for {} s", self.silence_max.as_secs());
                        return Err(io::Error::new(io::ErrorKind::TimedOut, silence));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.patiently(|socket| match socket {
            #[cfg(unix)]
            Socket::Unix(s) => s.read(buffer),
            Socket::Tcp(s) => s.read(buffer),
            Socket::Usb(c) => c.read(buffer),
        });
        match (&self.tap, &read) {
            (Some(tap), Ok(count)) => tap.read(&buffer[..*count]),
            (Some(tap), Err(e)) => tap.failed(e),
            (None, _) => {}
        }
        read
    }
}

impl Write for Wire {
    /// Writes several slices in one call: a TLS record holds at most 16 KiB, and a system call for
    /// each would cost more than its content.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.tap.is_some() {
            let first = pieces.iter().find(|piece| !piece.is_empty());
            return first.map_or(Ok(0), |piece| self.write(piece));
        }
        self.patiently(|socket| match socket {
            #[cfg(unix)]
            Socket::Unix(s) => s.write_vectored(pieces),
            Socket::Tcp(s) => s.write_vectored(pieces),
            Socket::Usb(c) => c.write_vectored(pieces),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.patiently(|socket| match socket {
            #[cfg(unix)]
            Socket::Unix(s) => s.write(bytes),
            Socket::Tcp(s) => s.write(bytes),
            Socket::Usb(c) => c.write(bytes),
        })?;
        if let Some(tap) = &self.tap {
            tap.wrote(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair(silence_max: Duration, cancel: &Arc<AtomicBool>) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wire = Wire::new(Socket::Tcp(near), Calm::new(cancel.clone()), silence_max).unwrap();
        (wire, listener.accept().unwrap().0)
    }

    #[test]
    fn silence_has_a_limit() {
        let (mut wire, _far) = pair(Duration::from_millis(1), &Arc::default());
        let error = wire.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_cancel_reaches_all_that_is_narrower_and_nothing_wider() {
        let all = Calm::new(Arc::default());
        let one = all.for_one();
        let part = one.for_one();
        part.cancel();
        assert!(part.cancelled() && !one.cancelled() && !all.cancelled());
        let other = one.for_one();
        all.cancel();
        assert!(other.cancelled() && one.fork().cancelled());
    }

    #[test]
    fn a_cancel_waits_for_the_end_of_the_message() {
        let cancel = Arc::new(AtomicBool::new(true));
        let (mut wire, mut far) = pair(Duration::from_secs(60), &cancel);
        wire.calm.set_between_messages(false);
        far.write_all(b"body").unwrap();
        wire.read_exact(&mut [0; 4]).unwrap();
        wire.calm.set_between_messages(true);
        assert!(is_cancelled(&wire.read(&mut [0; 4]).unwrap_err()));
    }
}
