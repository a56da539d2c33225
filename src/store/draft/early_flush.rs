//! Writes received data to the disk while more is received, so that little is left to write when
//! the backup is sealed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::store::Error;

/// The number of received bytes after which a flush begins. A disk writes them in about a second,
/// and a flush of less would cost more than it saves.
const FLUSH_BYTES: u64 = 64 << 20;

/// A thread that flushes the draft's disk. On systems other than Linux no thread is needed, since
/// each file is flushed when it is complete.
///
/// If this is dropped, a flush under way ends on its own.
#[derive(Debug)]
pub(super) struct EarlyFlush {
    received: Option<Received>,
    worker: Option<JoinHandle<io::Result<()>>>,
}

/// Counts received bytes, and asks for a flush each time that enough have come.
#[derive(Debug, Clone)]
pub(super) struct Received {
    bytes: Arc<AtomicU64>,
    requests: SyncSender<()>,
}

impl Received {
    /// Counts bytes that were written.
    pub(super) fn add(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / FLUSH_BYTES != (before + bytes) / FLUSH_BYTES {
            self.flush();
        }
    }

    /// Asks for a flush, and does not wait for it.
    fn flush(&self) {
        // If a request is waiting already, it covers this one too. If the thread has failed,
        // `EarlyFlush::finish` returns its error.
        self.requests.try_send(()).ok();
    }
}

impl EarlyFlush {
    /// Starts the thread for the disk that holds `folder`.
    pub(super) fn start(folder: &Path) -> Result<EarlyFlush, Error> {
        let (requests, asked) = sync_channel(1);
        let worker = start(folder, asked).map_err(|e| Error::io("start writing to", folder, e))?;
        Ok(EarlyFlush {
            received: Some(Received {
                bytes: Arc::default(),
                requests,
            }),
            worker,
        })
    }

    /// Returns a counter for a thread that writes. `None` after [`EarlyFlush::finish`].
    pub(super) fn received(&self) -> Option<Received> {
        self.received.clone()
    }

    /// Asks for a flush of everything written so far, and does not wait for it.
    pub(super) fn begin(&self) {
        if let Some(received) = &self.received {
            received.flush();
        }
    }

    /// Waits for the flush under way, and returns the error of the first one that failed. All
    /// counters must have been dropped.
    ///
    /// The error must not be lost: the system reports it only once, so a later flush of the same
    /// disk would succeed.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.received = None;
        match self.worker.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(flushed)) => flushed,
            Some(Err(_)) => Err(io::Error::other(
                "the thread that flushes the disk has died",
            )),
        }
    }
}

#[cfg(target_os = "linux")]
fn start(folder: &Path, asked: Receiver<()>) -> io::Result<Option<JoinHandle<io::Result<()>>>> {
    let folder = std::fs::File::open(folder)?;
    let work = move || {
        while let Ok(()) = asked.recv() {
            rustix::fs::syncfs(&folder)?;
        }
        Ok(())
    };
    let thread = std::thread::Builder::new().name("flush".to_owned());
    thread.spawn(work).map(Some)
}

#[cfg(not(target_os = "linux"))]
fn start(_: &Path, _: Receiver<()>) -> io::Result<Option<JoinHandle<io::Result<()>>>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a counter and the receiving end of its requests.
    fn counter() -> (Received, Receiver<()>) {
        let (requests, asked) = sync_channel(1);
        let bytes = Arc::default();
        (Received { bytes, requests }, asked)
    }

    #[test]
    fn flush_begins_after_enough_bytes() {
        let (received, asked) = counter();
        received.add(FLUSH_BYTES - 1);
        assert!(asked.try_recv().is_err());
        received.clone().add(1);
        assert!(asked.try_recv().is_ok());
        // Requests do not pile up while a flush is under way.
        received.add(3 * FLUSH_BYTES);
        received.add(FLUSH_BYTES);
        assert!(asked.try_recv().is_ok() && asked.try_recv().is_err());
    }

    #[test]
    fn failed_flush_is_an_error() {
        let (requests, asked) = sync_channel(1);
        let worker = std::thread::spawn(move || match asked.recv() {
            Ok(()) => Err(io::Error::other("the disk is gone")),
            Err(_) => Ok(()),
        });
        let bytes = Arc::default();
        let mut flush = EarlyFlush {
            received: Some(Received { bytes, requests }),
            worker: Some(worker),
        };
        flush.received().unwrap().add(FLUSH_BYTES);
        assert_eq!(flush.finish().unwrap_err().to_string(), "the disk is gone");
    }

    #[test]
    fn flush_finishes_without_requests() {
        let dir = tempfile::tempdir().unwrap();
        EarlyFlush::start(dir.path()).unwrap().finish().unwrap();
        let mut flush = EarlyFlush::start(dir.path()).unwrap();
        flush.begin();
        flush.finish().unwrap();
        assert!(
            EarlyFlush::start(&dir.path().join("absent")).is_err() || !cfg!(target_os = "linux")
        );
    }
}
