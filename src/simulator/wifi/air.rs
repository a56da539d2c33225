//! The radio link of the simulated phone: TCP connections that fall silent while the phone sleeps,
//! and that no longer reach the phone after it has moved to another address.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::super::lock;
use super::Shared;

/// State of the link between one address of the phone and its computers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Bytes pass.
    Open,
    /// The phone sleeps: neither side hears anything until it wakes.
    Asleep,
    /// The phone has left this address: the computer never hears from it again, and the phone's own
    /// connections end with an error.
    Left,
}

/// The link that all connections to one address of the phone share.
#[derive(Debug)]
pub(super) struct Air {
    reach: Mutex<Reach>,
    changed: Condvar,
}

impl Air {
    pub(super) fn new() -> Arc<Air> {
        Arc::new(Air {
            reach: Mutex::new(Reach::Open),
            changed: Condvar::new(),
        })
    }

    pub(super) fn sleep(&self) {
        self.change(Reach::Asleep);
    }

    pub(super) fn wake(&self) {
        self.change(Reach::Open);
    }

    pub(super) fn leave(&self) {
        self.change(Reach::Left);
    }

    pub(super) fn has_left(&self) -> bool {
        *lock(&self.reach) == Reach::Left
    }

    pub(super) fn is_open(&self) -> bool {
        *lock(&self.reach) == Reach::Open
    }

    /// Changes the state. A phone that has left its address does not come back to it.
    fn change(&self, to: Reach) {
        let mut reach = lock(&self.reach);
        if *reach != Reach::Left {
            *reach = to;
        }
        self.changed.notify_all();
    }

    /// Waits while the phone sleeps. Fails if it has left this address.
    pub(super) fn pass(&self) -> io::Result<()> {
        let mut reach = lock(&self.reach);
        loop {
            match *reach {
                Reach::Open => return Ok(()),
                Reach::Asleep => {
                    reach = self
                        .changed
                        .wait(reach)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Reach::Left => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the phone has another address now",
                    ));
                }
            }
        }
    }
}

/// A TCP connection over the air.
#[derive(Debug)]
pub(in crate::simulator) struct Radio {
    stream: TcpStream,
    air: Arc<Air>,
    shared: Weak<Shared>,
}

impl Radio {
    pub(super) fn new(stream: TcpStream, air: &Arc<Air>, shared: &Arc<Shared>) -> Radio {
        Radio {
            stream,
            air: Arc::clone(air),
            shared: Arc::downgrade(shared),
        }
    }

    /// Returns a second handle to the connection.
    pub(in crate::simulator) fn try_clone(&self) -> io::Result<Radio> {
        Ok(Radio {
            stream: self.stream.try_clone()?,
            air: Arc::clone(&self.air),
            shared: Weak::clone(&self.shared),
        })
    }

    pub(in crate::simulator) fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(limit)
    }

    /// Ends the connection. The computer learns nothing of it if the phone has left the address.
    pub(in crate::simulator) fn cut(&self) -> io::Result<()> {
        let how = if self.air.has_left() {
            // Only wakes the phone's own reader: nothing is sent.
            Shutdown::Read
        } else {
            Shutdown::Both
        };
        self.stream.shutdown(how)
    }
}

impl Read for Radio {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.air.pass()?;
        let read = self.stream.read(buf);
        // What arrived after the phone fell asleep reaches it when it wakes.
        self.air.pass()?;
        read
    }
}

impl Write for Radio {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.air.pass()?;
        let shared = self.shared.upgrade();
        let allowed = match &shared {
            Some(shared) => shared.before_fault(buf.len()),
            None => buf.len(),
        };
        let count = if allowed == 0 {
            0
        } else {
            self.stream.write(&buf[..allowed])?
        };
        if let Some(shared) = &shared {
            shared.sent(count as u64);
        }
        if count == 0 && !buf.is_empty() {
            // A fault was due exactly here, and has changed the link.
            self.air.pass()?;
            return self.stream.write(buf);
        }
        Ok(count)
    }

    /// Writes many TLS records at once where no fault is due: one system call for each would wake
    /// the computer as often.
    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let may_fail = self
            .shared
            .upgrade()
            .is_some_and(|shared| shared.awaits_fault());
        if may_fail {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return first.map_or(Ok(0), |buf| self.write(buf));
        }
        self.air.pass()?;
        self.stream.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
