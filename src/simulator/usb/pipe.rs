//! A connection over USB as a service sees it: a stream like that of a socket.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::mux::Moved;
use super::{Link, Shared};

/// A handle of a connection. The connection ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Pipe(Arc<Held>);

#[derive(Debug)]
struct Held {
    link: Arc<Shared>,
    id: u64,
    read_limit: Mutex<Option<Duration>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut link = self.link.lock();
        link.mux.forget(self.id);
        link.pump();
        drop(link);
        self.link.changed.notify_all();
    }
}

impl Pipe {
    pub(super) fn new(link: Arc<Shared>, id: u64) -> Pipe {
        Pipe(Arc::new(Held {
            link,
            id,
            read_limit: Mutex::default(),
        }))
    }

    /// Sets the longest time that a read may wait, for all handles; `None` means forever.
    pub(crate) fn set_read_timeout(&self, limit: Option<Duration>) {
        *crate::simulator::lock(&self.0.read_limit) = limit;
    }

    /// Ends the connection once all data is sent.
    pub(crate) fn cut(&self) {
        let mut link = self.0.link.lock();
        link.mux.close(self.0.id);
        link.pump();
        drop(link);
        self.0.link.changed.notify_all();
    }

    /// Repeats `act` until it moves data or the time limit is reached.
    fn wait(
        &self,
        limit: Option<Duration>,
        mut act: impl FnMut(&mut Link) -> Moved,
    ) -> io::Result<Option<usize>> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut link = self.0.link.lock();
        loop {
            match act(&mut link) {
                Moved::Bytes(count) => {
                    link.pump();
                    drop(link);
                    self.0.link.changed.notify_all();
                    return Ok(Some(count));
                }
                Moved::End => return Ok(None),
                Moved::Wait => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            link = self.0.link.wait(link, left);
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let limit = *crate::simulator::lock(&self.0.read_limit);
        let read = self.wait(limit, |link| link.mux.read(self.0.id, buf))?;
        Ok(read.unwrap_or(0))
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let wrote = self.wait(None, |link| link.mux.write(self.0.id, buf))?;
        wrote.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Writes all parts at once, so that they share messages.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let wrote = self.wait(None, |link| {
            let mut all = 0;
            for part in parts.iter().filter(|part| !part.is_empty()) {
                match link.mux.write(self.0.id, part) {
                    Moved::Bytes(count) => {
                        all += count;
                        if count < part.len() {
                            break;
                        }
                    }
                    other if all == 0 => return other,
                    Moved::Wait | Moved::End => break,
                }
            }
            Moved::Bytes(all)
        })?;
        wrote.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
