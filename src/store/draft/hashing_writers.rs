//! Stores received files while the next ones arrive. Hashing, writing and renaming happen on
//! threads of their own.
//!
//! Decrypting incoming data and hashing and writing received data are the expensive parts of a
//! backup, and on several threads they overlap. A path always goes to the same thread, so if a file
//! is sent twice, the last version wins.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::early_flush::{EarlyFlush, Received};
use super::journal::Journal;
use crate::base::backup_path::BackupPath;
use crate::base::sha256::Sha256;
use crate::store::sums::Hash;
use crate::store::{Error, disk};

/// The size in bytes of the blocks handed to the threads.
const BLOCK_BYTES: usize = 256 << 10;
/// The most blocks in use at a time. Together with [`BLOCK_BYTES`] this limits the memory used.
const BLOCKS: usize = 24;

/// A batch with less free space than this many bytes is handed to its thread.
const SPACE_BYTES: usize = 16 << 10;
/// The most files in a batch. Without this limit empty files would never fill it.
const FILES_MAX: usize = 256;
/// The most writing threads; a disk gains little from more.
const THREADS_MAX: usize = 4;

enum Job {
    /// A batch of complete files.
    Batch(Batch),
    /// The beginning of a file that is larger than a block.
    Begin(BackupPath),
    /// The next bytes of that file.
    Block(Block),
    /// The end of that file: it is complete.
    Commit,
    /// The end of that file: its body failed, and it must be removed.
    Abort,
    /// A request for the failures so far, once all earlier jobs are done.
    Settle(Sender<Vec<(BackupPath, Error)>>),
}

/// A buffer and the number of bytes filled. The buffer keeps its full length, so it is zeroed only
/// once.
struct Block {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Block {
    fn new() -> Block {
        Block {
            bytes: vec![0; BLOCK_BYTES].into(),
            filled: 0,
        }
    }

    /// Fills the block from the body until either the block is full or the body ends.
    fn fill(&mut self, body: &mut dyn Read) -> io::Result<()> {
        while self.filled < BLOCK_BYTES {
            match body.read(&mut self.bytes[self.filled..]) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.filled == BLOCK_BYTES
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// A block of complete files, each with its length. Most files of a phone are small, and handing
/// over each one separately would cost more than writing it.
struct Batch {
    block: Block,
    files: Vec<(BackupPath, usize)>,
}

/// A writing thread, with the batch that is being collected for it.
struct WriterThread {
    jobs: SyncSender<Job>,
    batch: Option<Batch>,
    worker: JoinHandle<()>,
}

impl WriterThread {
    fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| gone())
    }
}

/// The handle of the writing threads.
pub(crate) struct WriterPool {
    threads: Vec<WriterThread>,
    pool: Pool,
}

/// The pool of unused blocks.
struct Pool {
    empty: Receiver<Block>,
    /// Blocks that were taken but never handed to a thread.
    spare: Vec<Block>,
    blocks_made: usize,
}

impl Pool {
    /// Returns an empty block: a returned one, a new one while there are fewer than [`BLOCKS`], or
    /// else the next one that is returned.
    fn block(&mut self) -> io::Result<Block> {
        let mut block = match self.spare.pop().map_or_else(|| self.empty.try_recv(), Ok) {
            Ok(block) => block,
            Err(_) if self.blocks_made < BLOCKS => {
                self.blocks_made += 1;
                Block::new()
            }
            Err(_) => self.empty.recv().map_err(|_| gone())?,
        };
        block.filled = 0;
        Ok(block)
    }
}

impl WriterPool {
    /// Starts the threads. Files are written in `incoming` and then renamed to their places below
    /// `root`.
    pub(crate) fn start(
        root: &Path,
        incoming: &Path,
        journal: &Arc<Mutex<Journal>>,
        flush: &EarlyFlush,
    ) -> Result<WriterPool, Error> {
        // A folder left by an earlier run contains only incomplete files.
        disk::remove_all(incoming).map_err(|e| Error::io("empty", incoming, e))?;
        disk::make_private_dirs(incoming)?;
        let (give_back, empty) = channel();
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..count.min(THREADS_MAX)).map(|number| {
            let (jobs, queue) = sync_channel(BLOCKS * 4);
            let mut writer = Writer {
                root: root.to_path_buf(),
                incoming: incoming.to_path_buf(),
                journal: journal.clone(),
                received: flush.received(),
                number,
                count: 0,
                failures: Vec::new(),
            };
            let give_back = give_back.clone();
            let worker = std::thread::Builder::new().name(format!("writer {number}"));
            let worker = worker.spawn(move || writer.work(&queue, &give_back));
            Ok(WriterThread {
                jobs,
                batch: None,
                worker: worker.map_err(|e| Error::io("start writing to", incoming, e))?,
            })
        });
        Ok(WriterPool {
            threads: threads.collect::<Result<_, Error>>()?,
            pool: Pool {
                empty,
                spare: Vec::new(),
                blocks_made: 0,
            },
        })
    }

    /// Stores a file. If reading the body fails, nothing of the file is kept. Errors of writing it
    /// are reported by [`WriterPool::settle`].
    pub(crate) fn keep(&mut self, path: &BackupPath, body: &mut dyn Read) -> io::Result<()> {
        // File ids are hashes, so their last digit spreads them evenly.
        let last = path.as_str().as_bytes().last().copied().unwrap_or_default();
        let number = usize::from(last) % self.threads.len();
        let thread = &mut self.threads[number];
        let mut batch = match thread.batch.take() {
            Some(batch) => batch,
            None => Batch {
                block: self.pool.block()?,
                files: Vec::new(),
            },
        };
        let start = batch.block.filled;
        let filled = batch.block.fill(body);
        if filled.is_err() || !batch.block.is_full() {
            match &filled {
                Ok(()) => batch.files.push((path.clone(), batch.block.filled - start)),
                Err(_) => batch.block.filled = start,
            }
            if BLOCK_BYTES - batch.block.filled < SPACE_BYTES || batch.files.len() >= FILES_MAX {
                thread.send(Job::Batch(batch))?;
            } else {
                thread.batch = Some(batch);
            }
            return filled;
        }
        let mut block = batch.block;
        // `start > 0` would not do, since the other files may be empty.
        if !batch.files.is_empty() {
            // The file does not fit behind the other files, so it begins a block of its own.
            let mut own = self.pool.block()?;
            own.filled = BLOCK_BYTES - start;
            own.bytes[..own.filled].copy_from_slice(&block.bytes[start..]);
            block.filled = start;
            let files = batch.files;
            thread.send(Job::Batch(Batch { block, files }))?;
            block = own;
            if let Err(e) = block.fill(body) {
                self.pool.spare.push(block);
                return Err(e);
            }
        }
        thread.send(Job::Begin(path.clone()))?;
        loop {
            let more = block.is_full();
            thread.send(Job::Block(block))?;
            if !more {
                return thread.send(Job::Commit);
            }
            block = self.pool.block()?;
            if let Err(e) = block.fill(body) {
                self.pool.spare.push(block);
                thread.send(Job::Abort)?;
                return Err(e);
            }
        }
    }

    /// Waits until all stored files are in their places. Returns those that could not be written.
    pub(crate) fn settle(&mut self) -> io::Result<Vec<(BackupPath, Error)>> {
        let (done, wait) = channel();
        for thread in &mut self.threads {
            if let Some(batch) = thread.batch.take() {
                thread.send(Job::Batch(batch))?;
            }
            thread.send(Job::Settle(done.clone()))?;
        }
        let mut failures = Vec::new();
        for _ in &self.threads {
            failures.extend(wait.recv().map_err(|_| gone())?);
        }
        Ok(failures)
    }
}

impl Drop for WriterPool {
    fn drop(&mut self) {
        for WriterThread { jobs, worker, .. } in self.threads.drain(..) {
            drop(jobs);
            // A thread that panicked has printed its message, and leaves only temporary files.
            drop(worker.join());
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes files has died")
}

struct Writer {
    root: PathBuf,
    incoming: PathBuf,
    journal: Arc<Mutex<Journal>>,
    received: Option<Received>,
    number: usize,
    count: u64,
    failures: Vec<(BackupPath, Error)>,
}

/// A file that is being written.
struct Open {
    path: BackupPath,
    temporary: PathBuf,
    file: io::Result<File>,
    hash: Sha256,
    size: u64,
}

/// A file that is in its place.
struct Kept {
    path: BackupPath,
    hash: Hash,
    size: u64,
}

impl Writer {
    fn work(&mut self, queue: &Receiver<Job>, give_back: &Sender<Block>) {
        let mut open: Option<Open> = None;
        while let Ok(job) = queue.recv() {
            match job {
                Job::Batch(Batch { block, files }) => {
                    let (mut rest, mut kept) = (block.filled(), Vec::with_capacity(files.len()));
                    for (path, length) in files {
                        let (body, more) = rest.split_at(length);
                        rest = more;
                        let mut small = self.begin(path);
                        small.write(body);
                        kept.extend(self.put_in_place(small));
                    }
                    self.note(kept);
                    self.count_bytes(&block);
                    // At the end of a run nothing receives returned blocks any more.
                    drop(give_back.send(block));
                }
                Job::Begin(path) => open = Some(self.begin(path)),
                Job::Block(block) => {
                    if let Some(open) = &mut open {
                        open.write(block.filled());
                    }
                    self.count_bytes(&block);
                    drop(give_back.send(block));
                }
                Job::Commit => {
                    let kept = open.take().and_then(|open| self.put_in_place(open));
                    self.note(kept);
                }
                Job::Abort => {
                    if let Some(Open {
                        file, temporary, ..
                    }) = open.take()
                    {
                        drop(file);
                        // If the file cannot be removed now, it is removed with the folder.
                        drop(disk::remove_if_there(&temporary));
                    }
                }
                Job::Settle(done) => drop(done.send(std::mem::take(&mut self.failures))),
            }
        }
    }

    fn begin(&mut self, path: BackupPath) -> Open {
        self.count += 1;
        let name = format!("{}-{}.partial", self.number, self.count);
        let temporary = self.incoming.join(name);
        Open {
            path,
            file: disk::create_private(&temporary),
            temporary,
            hash: Sha256::new(),
            size: 0,
        }
    }

    fn put_in_place(&mut self, open: Open) -> Option<Kept> {
        let place = open.path.below(&self.root);
        let written = open.file.and_then(|file| {
            // On Linux one call at the end makes the whole draft durable. Other systems have no
            // such call, so each file is flushed.
            if cfg!(target_os = "linux") {
                Ok(())
            } else {
                file.sync_data()
            }
        });
        match written.and_then(|()| rename_into(&open.temporary, &place)) {
            Ok(()) => Some(Kept {
                path: open.path,
                hash: open.hash.finalize(),
                size: open.size,
            }),
            Err(e) => {
                drop(disk::remove_if_there(&open.temporary));
                self.failures
                    .push((open.path, Error::io("write", &place, e)));
                None
            }
        }
    }

    /// Counts the bytes of a block, whether or not they could be written.
    fn count_bytes(&self, block: &Block) {
        if let Some(received) = &self.received {
            received.add(block.filled as u64);
        }
    }

    /// Records files that are in their places in the journal.
    fn note(&mut self, kept: impl IntoIterator<Item = Kept>) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        for Kept { path, hash, size } in kept {
            if let Err(e) = journal.kept(&path, &hash, size) {
                self.failures.push((path, e));
            }
        }
    }
}

impl Open {
    fn write(&mut self, block: &[u8]) {
        let Ok(file) = &mut self.file else { return };
        match file.write_all(block) {
            Ok(()) => {
                self.hash.update(block);
                self.size += block.len() as u64;
            }
            Err(e) => self.file = Err(e),
        }
    }
}

/// Renames a file into its place. Creates the folder above it only if it is missing.
fn rename_into(temporary: &Path, place: &Path) -> io::Result<()> {
    match fs::rename(temporary, place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = place.parent() {
                disk::make_private_dirs(parent).map_err(|e| match e {
                    Error::Io { cause, .. } => cause,
                    other => io::Error::other(other),
                })?;
            }
            fs::rename(temporary, place)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::draft::journal::{Fate, Replay, bucket};
    use crate::store::sums;

    /// A folder with a running pool.
    struct Place {
        dir: tempfile::TempDir,
        journal: Arc<Mutex<Journal>>,
        writers: WriterPool,
    }

    impl Place {
        fn new() -> Place {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::open(&dir.path().join("journal")).unwrap();
            let journal = Arc::new(Mutex::new(journal));
            let incoming = dir.path().join("incoming");
            fs::create_dir(&incoming).unwrap();
            fs::write(incoming.join("0-1.partial"), "of a run that died").unwrap();
            let flush = EarlyFlush::start(dir.path()).unwrap();
            let root = dir.path().join("root");
            let writers = WriterPool::start(&root, &incoming, &journal, &flush).unwrap();
            Place {
                dir,
                journal,
                writers,
            }
        }

        fn path(name: &str) -> BackupPath {
            format!("U/{}/{name}", &name[..2]).parse().unwrap()
        }

        fn keep(&mut self, name: &str, body: &[u8]) {
            let mut body = Interrupted(body, false);
            self.writers.keep(&Place::path(name), &mut body).unwrap();
        }

        /// Asserts that all files are in their places, complete, and in the journal.
        fn assert_holds(&mut self, files: &[(&str, &[u8])]) {
            assert!(self.writers.settle().unwrap().is_empty());
            self.journal.lock().unwrap().flush().unwrap();
            for (name, body) in files {
                let path = Place::path(name);
                let there = fs::read(path.below(&self.dir.path().join("root"))).unwrap();
                assert!(there == *body, "{name}: {} bytes", there.len());
                let folder = self.dir.path().join("journal");
                let replay = Replay::load(&folder, bucket(path.as_str())).unwrap();
                let (hash, size) = sums::hash(*body).unwrap();
                assert_eq!(replay.fate(path.as_str()), Fate::Received(hash, size));
            }
            let incoming = fs::read_dir(self.dir.path().join("incoming")).unwrap();
            assert_eq!(incoming.count(), 0, "files that are not whole stay");
        }
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    /// Returns names with the same last digit, so that one thread receives them all.
    fn name(number: usize) -> String {
        format!("{number:039x}0")
    }

    #[test]
    fn every_file_size_is_written() {
        for before in [
            0,
            1,
            SPACE_BYTES,
            BLOCK_BYTES - SPACE_BYTES,
            BLOCK_BYTES - 1,
        ] {
            let sizes = [
                before,
                0,
                1,
                BLOCK_BYTES - 1,
                BLOCK_BYTES,
                BLOCK_BYTES + 1,
                before,
                2 * BLOCK_BYTES,
                3 * BLOCK_BYTES + 5,
                BLOCK_BYTES - before,
            ];
            let files: Vec<_> = (0..)
                .zip(sizes)
                .map(|(n, size)| (name(n), bytes(size)))
                .collect();
            let mut place = Place::new();
            for (name, body) in &files {
                place.keep(name, body);
            }
            let files: Vec<_> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
            place.assert_holds(&files);
        }
    }

    #[test]
    fn empty_files_before_large_are_written() {
        let mut place = Place::new();
        let large = bytes(BLOCK_BYTES);
        let (one, two, three) = (name(1), name(2), name(3));
        place.keep(&one, b"");
        place.keep(&two, b"");
        place.keep(&three, &large);
        place.assert_holds(&[(&one, b""), (&two, b""), (&three, &large)]);
    }

    /// Checks that more files than fit in one batch are written, and that a file received twice has
    /// its last contents.
    #[test]
    fn last_write_of_file_wins() {
        let mut place = Place::new();
        let names: Vec<_> = (0..FILES_MAX * 2 + 3).map(name).collect();
        for name in &names {
            place.keep(name, b"");
        }
        let large = bytes(BLOCK_BYTES * (BLOCKS + 6));
        place.keep(&name(7), b"first");
        place.keep(&name(7), &large);
        place.keep(&name(8), &large);
        place.keep(&name(8), b"last");
        let mut files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        files[7].1 = &large;
        files[8].1 = b"last";
        place.assert_holds(&files);
    }

    /// A body whose every other read is interrupted.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                Err(io::ErrorKind::Interrupted.into())
            } else {
                self.0.read(buffer)
            }
        }
    }

    /// A body that fails after its bytes.
    struct Broken<'a>(&'a [u8]);

    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 if !buffer.is_empty() => Err(io::ErrorKind::ConnectionAborted.into()),
                read => Ok(read),
            }
        }
    }

    #[test]
    fn interrupted_file_leaves_nothing() {
        for length in [
            0,
            1,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            3 * BLOCK_BYTES,
        ] {
            let mut place = Place::new();
            place.keep(&name(1), b"before");
            let body = bytes(length);
            let broken = place
                .writers
                .keep(&Place::path(&name(2)), &mut Broken(&body));
            assert!(broken.is_err(), "{length}");
            place.keep(&name(3), b"after");
            place.assert_holds(&[(&name(1), b"before"), (&name(3), b"after")]);
            let absent = Place::path(&name(2)).below(&place.dir.path().join("root"));
            assert!(!absent.exists(), "{length}");
        }
    }

    #[test]
    fn failed_file_is_reported_once() {
        let mut place = Place::new();
        let blocked = place.dir.path().join("root/U");
        fs::create_dir_all(&blocked).unwrap();
        fs::write(blocked.join("00"), "no folder").unwrap();
        place.keep(&name(1), b"small");
        place.keep(&name(2), &bytes(BLOCK_BYTES + 1));
        let failed = place.writers.settle().unwrap();
        let failed: Vec<_> = failed
            .iter()
            .map(|(path, _)| path.name().to_owned())
            .collect();
        assert_eq!(failed, [name(1), name(2)]);
        place.assert_holds(&[]);
    }
}
