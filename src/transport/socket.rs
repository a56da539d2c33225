//! Socket with bounded waits: silence has a limit, and a cancelled wait ends early.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::cancel::{CancelToken, cancelled};
use crate::trace::Tap;
use crate::transport::lifeline::{Dropped, Lifeline};
use crate::transport::tick::TICK;
use crate::transport::usb::pump::Connection;

/// Silence of a connection after which the end of the phone's heartbeat ends it too. While data
/// flows, the phone is there.
const SILENCE_WITHOUT_HEARTBEAT: Duration = Duration::from_secs(3);

/// A connected socket: first the daemon's, and after Connect the phone's.
#[derive(Debug)]
pub(crate) enum Socket {
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

/// A socket whose reads and writes wait up to a limit of silence, or until cancelled.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    token: Arc<CancelToken>,
    silence_max: Duration,
    tap: Option<Tap>,
    over_wifi: bool,
    lifeline: Option<Arc<Lifeline>>,
}

impl Wire {
    /// Wraps a connected socket.
    pub(crate) fn new(
        socket: Socket,
        token: Arc<CancelToken>,
        silence_max: Duration,
    ) -> io::Result<Wire> {
        socket.tick()?;
        Ok(Wire {
            socket,
            token,
            silence_max,
            tap: None,
            over_wifi: false,
            lifeline: None,
        })
    }

    /// Wraps a TCP socket, for tests of services.
    #[cfg(test)]
    pub(crate) fn over_tcp(
        socket: TcpStream,
        token: Arc<CancelToken>,
        silence_max: Duration,
    ) -> io::Result<Wire> {
        Wire::new(Socket::Tcp(socket), token, silence_max)
    }

    /// Marks a connection over Wi-Fi: its errors become [`Dropped`].
    pub(crate) fn set_over_wifi(&mut self) {
        self.over_wifi = true;
    }

    /// Ends waits when the phone's heartbeat has ended.
    pub(crate) fn tie(&mut self, lifeline: Arc<Lifeline>) {
        self.over_wifi = true;
        self.lifeline = Some(lifeline);
    }

    /// Records all bytes that pass from now on.
    pub(crate) fn record(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Stops recording here and returns the tap. From now on the bytes are encrypted; they are
    /// recorded in the layer above, as plaintext.
    pub(crate) fn take_tap(&mut self) -> Option<Tap> {
        self.tap.take()
    }

    /// Sets the cancellation token and the limit of silence. A service's dialog may be silent for
    /// longer than the daemon.
    pub(crate) fn with_patience(mut self, token: Arc<CancelToken>, silence_max: Duration) -> Wire {
        self.set_patience(token, silence_max);
        self
    }

    /// Sets the cancellation token and the limit of silence in place.
    pub fn set_patience(&mut self, token: Arc<CancelToken>, silence_max: Duration) {
        self.token = token;
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
                    if self.token.stops() {
                        return Err(cancelled());
                    }
                    let silent = since.get_or_insert_with(Instant::now).elapsed();
                    if silent >= SILENCE_WITHOUT_HEARTBEAT
                        && let Some(end) = self.lifeline.as_ref().and_then(|line| line.end())
                    {
                        return Err(end.into());
                    }
                    if silent >= self.silence_max {
                        let silence = format!(
                            "the other side sent nothing for {} s",
                            self.silence_max.as_secs()
                        );
                        return Err(io::Error::new(io::ErrorKind::TimedOut, silence));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if self.over_wifi => return Err(Dropped::Connection(e).into()),
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
    use crate::base::cancel::is_cancelled;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use std::net::TcpListener;

    fn pair(silence_max: Duration, cancel: &Arc<AtomicBool>) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wire = Wire::new(
            Socket::Tcp(near),
            CancelToken::new(cancel.clone()),
            silence_max,
        )
        .unwrap();
        (wire, listener.accept().unwrap().0)
    }

    #[test]
    fn silent_read_times_out() {
        let (mut wire, _far) = pair(Duration::from_millis(1), &Arc::default());
        let error = wire.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn cancellation_reaches_only_child_tokens() {
        let all = CancelToken::new(Arc::default());
        let one = all.for_one();
        let part = one.for_one();
        part.cancel();
        assert!(part.cancelled() && !one.cancelled() && !all.cancelled());
        let other = one.for_one();
        all.cancel();
        assert!(other.cancelled() && one.fork().cancelled());
    }

    #[test]
    fn cancellation_waits_for_message_end() {
        let cancel = Arc::new(AtomicBool::new(true));
        let (mut wire, mut far) = pair(Duration::from_secs(60), &cancel);
        wire.token.set_between_messages(false);
        far.write_all(b"body").unwrap();
        wire.read_exact(&mut [0; 4]).unwrap();
        wire.token.set_between_messages(true);
        assert!(is_cancelled(&wire.read(&mut [0; 4]).unwrap_err()));
    }
}
