//! Compares the files of a backup with its list of hashes while they are sent to the phone.
//!
//! The bytes that the phone receives are the bytes that are hashed, so nothing can change between
//! a check and the sending. Worker threads hash copies of the blocks, because hashing in the thread
//! that sends would halve its speed. The end of a request is held back until all of its files have
//! been compared: a phone keeps the received files apart until it has all of them, so a file that
//! differs ends the restore before the phone has accepted anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::base::sha256::Sha256;
use crate::store::sums::Hash;
use crate::store::sums_index::SumsIndex;

/// Blocks that wait for each worker. With [`BLOCK_BYTES`], this bounds the memory.
const WAITING: usize = 16;
/// Bytes that are passed to a worker at once.
const BLOCK_BYTES: usize = 256 << 10;
/// Number of worker threads: one hashes as fast as a cable transfers where the processor has
/// instructions for SHA-256, and two where it does not.
const WORKERS: usize = 2;

/// A piece of work for a worker thread.
enum Work {
    Bytes(Vec<u8>),
    End {
        name: String,
        wanted: Hash,
    },
    /// The file was not sent to its end.
    Abandoned,
}

/// Results that the threads share.
#[derive(Default)]
struct Results {
    /// Files that were sent and are not compared yet.
    pending: u64,
    /// Files whose bytes match the list.
    matching: u64,
    /// Files whose bytes differ from the list.
    altered: Vec<String>,
}

#[derive(Default)]
struct Shared {
    /// Is set once a file differs.
    has_altered: AtomicBool,
    results: Mutex<Results>,
    changed: Condvar,
}

impl Shared {
    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares files with a list of hashes while they are sent.
pub(super) struct SentHashes {
    index: SumsIndex,
    shared: Arc<Shared>,
    workers: Vec<(SyncSender<Work>, JoinHandle<()>)>,
    next: usize,
    /// The lists and property lists that the phone has not requested.
    not_requested: BTreeMap<String, Hash>,
}

impl SentHashes {
    /// Starts the worker threads.
    pub(super) fn new(index: SumsIndex) -> SentHashes {
        let shared = Arc::<Shared>::default();
        let worker = |_| {
            let (sender, receiver) = sync_channel(WAITING);
            let shared = shared.clone();
            (sender, thread::spawn(move || work(&receiver, &shared)))
        };
        SentHashes {
            not_requested: index.others().clone(),
            index,
            workers: (0..WORKERS).map(worker).collect(),
            shared,
            next: 0,
        }
    }

    /// Begins the comparison of a file of the backup, by its path below the backup's folder.
    /// Returns `None` if the list does not name it.
    pub(super) fn begin(&mut self, name: &str) -> Result<Option<Comparison>, crate::store::Error> {
        let Some(wanted) = self.index.find(name)? else {
            return Ok(None);
        };
        self.not_requested.remove(name);
        self.next = (self.next + 1) % self.workers.len();
        self.shared.results().pending += 1;
        Ok(Some(Comparison {
            name: name.to_owned(),
            wanted,
            block: Vec::new(),
            to: self.workers[self.next].0.clone(),
            shared: self.shared.clone(),
            has_ended: false,
        }))
    }

    /// Returns true if a file that was sent differs from the list, as far as is known now.
    pub(super) fn has_altered(&self) -> bool {
        self.shared.has_altered.load(Ordering::Relaxed)
    }

    /// Waits until all files that were sent are compared. Returns true if none differs.
    pub(super) fn wait(&self) -> bool {
        let mut results = self.shared.results();
        while results.pending > 0 {
            let woken = self.shared.changed.wait(results);
            results = woken.unwrap_or_else(PoisonError::into_inner);
        }
        results.altered.is_empty()
    }

    /// Ends the workers, and returns what they found.
    pub(super) fn finish(mut self) -> Sent {
        for (sender, worker) in self.workers.drain(..) {
            drop(sender);
            // A worker only hashes. If it ever panics, its files stay pending and count as not
            // compared.
            drop(worker.join());
        }
        let payload_files = self.index.payload_files();
        let mut results = self.shared.results();
        Sent {
            matching: results.matching,
            not_compared: results.pending,
            altered: std::mem::take(&mut results.altered),
            payload_files,
            not_requested: std::mem::take(&mut self.not_requested)
                .into_iter()
                .collect(),
        }
    }
}

/// Result of the comparisons of a whole restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Number of files whose bytes matched the list of hashes while they were sent. A file that the
    /// phone requested twice counts twice.
    pub matching: u64,
    /// Number of files that were sent, but whose comparison did not end.
    pub not_compared: u64,
    /// Files that differ from the list of hashes.
    pub altered: Vec<String>,
    /// Number of payload files that the list of hashes names.
    pub payload_files: u64,
    /// Paths and hashes of the lists and property lists that the phone did not request.
    pub not_requested: Vec<(String, Hash)>,
}

/// The comparison of one file. Dropping it before the end abandons the file.
pub(super) struct Comparison {
    name: String,
    wanted: Hash,
    block: Vec<u8>,
    to: SyncSender<Work>,
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Comparison {
    /// Adds bytes that are being sent.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
            self.hand_on(Work::Bytes(block));
        }
    }

    /// Returns true if another file differs, so that this one is not needed any more.
    pub(super) fn is_in_vain(&self) -> bool {
        self.shared.has_altered.load(Ordering::Relaxed)
    }

    /// Ends the file.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let block = std::mem::take(&mut self.block);
        self.hand_on(Work::Bytes(block));
        let name = std::mem::take(&mut self.name);
        let wanted = self.wanted;
        self.hand_on(Work::End { name, wanted });
    }

    fn hand_on(&self, work: Work) {
        // The send fails only if the worker panicked. The file then stays pending.
        drop(self.to.send(work));
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        if !self.has_ended {
            self.hand_on(Work::Abandoned);
        }
    }
}

fn work(from: &Receiver<Work>, shared: &Shared) {
    let mut hash = Sha256::new();
    while let Ok(work) = from.recv() {
        let ended = match work {
            Work::Bytes(bytes) => {
                hash.update(&bytes);
                continue;
            }
            Work::End { name, wanted } => Some((name, wanted)),
            Work::Abandoned => None,
        };
        let found = std::mem::replace(&mut hash, Sha256::new()).finalize();
        let mut results = shared.results();
        results.pending -= 1;
        match ended {
            Some((_, wanted)) if wanted == found => results.matching += 1,
            Some((name, _)) => {
                results.altered.push(name);
                shared.has_altered.store(true, Ordering::Relaxed);
            }
            None => {}
        }
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sums::{self, hex};

    fn hashes(files: &[(&str, &[u8])]) -> SentHashes {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SHA256SUMS");
        let line = |(name, bytes): &(&str, &[u8])| {
            format!("{}  {name}\n", hex(&sums::hash(*bytes).unwrap().0))
        };
        std::fs::write(&path, files.iter().map(line).collect::<String>()).unwrap();
        SentHashes::new(SumsIndex::open(&path).unwrap().unwrap())
    }

    /// Checks files that are longer and shorter than a block, one that differs, one that is
    /// abandoned, and one that the list does not name.
    #[test]
    fn sent_files_are_compared() {
        let long = vec![5; 3 * BLOCK_BYTES + 1];
        let mut hashes = hashes(&[("a", &long), ("b", b"bee"), ("c", b"sea"), ("d", b"")]);
        for (name, sent, is_whole) in [
            ("a", &long[..], true),
            ("b", b"be", false),
            ("b", b"bee", true),
            ("d", b"", true),
        ] {
            let mut file = hashes.begin(name).unwrap().unwrap();
            sent.chunks(1000).for_each(|bytes| file.add(bytes));
            if is_whole {
                file.end();
            }
        }
        assert!(hashes.begin("x").unwrap().is_none());
        assert!(hashes.wait() && !hashes.has_altered());
        let mut file = hashes.begin("c").unwrap().unwrap();
        file.add(b"see");
        file.end();
        drop(file);
        assert!(!hashes.wait() && hashes.has_altered());
        let sent = hashes.finish();
        assert_eq!((sent.matching, sent.not_compared), (3, 0));
        assert_eq!(sent.altered, ["c"]);
    }
}
