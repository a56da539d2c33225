//! State of a phone's heartbeat, shared by the thread that answers it and all connections that
//! depend on it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// End of a connection over Wi-Fi that only a new connection can mend.
#[derive(Debug)]
#[non_exhaustive]
pub enum Dropped {
    /// The connection itself ended: the phone left the network, or got another address.
    Connection(io::Error),
    /// The phone's heartbeat stopped.
    NoHeartbeat,
    /// The phone said that it goes to sleep, and has not been heard of since.
    Asleep,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dropped::Connection(cause) => write!(f, "the Wi-Fi connection ended: {cause}"),
            Dropped::NoHeartbeat => f.write_str("the phone's heartbeat over Wi-Fi stopped"),
            Dropped::Asleep => f.write_str("the phone went to sleep"),
        }
    }
}

impl std::error::Error for Dropped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Dropped::Connection(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<Dropped> for io::Error {
    fn from(dropped: Dropped) -> io::Error {
        let kind = match &dropped {
            Dropped::Connection(cause) => cause.kind(),
            _ => io::ErrorKind::ConnectionReset,
        };
        io::Error::new(kind, dropped)
    }
}

impl Dropped {
    /// Returns the drop that caused an error, if one did.
    pub fn of(error: &io::Error) -> Option<&Dropped> {
        error.get_ref()?.downcast_ref()
    }
}

const BEATS: u8 = 0;
const SLEEPY: u8 = 1;
const STOPPED: u8 = 2;
const STOPPED_ASLEEP: u8 = 3;

/// State of one heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Lifeline(AtomicU8);

impl Lifeline {
    /// Notes a sign of life.
    pub(crate) fn beat(&self) {
        self.0.store(BEATS, Ordering::SeqCst);
    }

    /// Notes that the phone is about to sleep.
    pub(crate) fn sleepy(&self) {
        self.0.store(SLEEPY, Ordering::SeqCst);
    }

    /// Notes that the heartbeat has ended.
    pub(crate) fn stop(&self) {
        let is_sleepy = self.0.load(Ordering::SeqCst) == SLEEPY;
        let end = if is_sleepy { STOPPED_ASLEEP } else { STOPPED };
        self.0.store(end, Ordering::SeqCst);
    }

    /// Returns the reason for giving up, if the heartbeat has ended.
    pub(crate) fn end(&self) -> Option<Dropped> {
        match self.0.load(Ordering::SeqCst) {
            STOPPED => Some(Dropped::NoHeartbeat),
            STOPPED_ASLEEP => Some(Dropped::Asleep),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_explains_the_end() {
        let line = Lifeline::default();
        assert!(line.end().is_none());
        line.sleepy();
        assert!(line.end().is_none());
        line.beat();
        line.stop();
        assert!(matches!(line.end(), Some(Dropped::NoHeartbeat)));
        line.sleepy();
        line.stop();
        assert!(matches!(line.end(), Some(Dropped::Asleep)));
        let error = io::Error::from(Dropped::Asleep);
        assert!(matches!(Dropped::of(&error), Some(Dropped::Asleep)));
    }
}
