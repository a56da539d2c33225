//! Puts received files in their place while the next ones arrive: hash, write, rename, on a thread of its own.
//!
//! Decrypting what comes and hashing what came are the two heavy parts of a backup; on two threads they overlap.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::journal::Journal;
use super::{Error, disk};
use crate::path::BackupPath;

/// Bytes handed over at a time.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks under way at most: with [`BLOCK_BYTES`] the memory that this costs.
const BLOCKS: usize = 24;

enum Job {
    /// A file begins.
    Begin(BackupPath),
    /// Bytes of it.
    Block(Block),
    /// A file that fits in one block, begun, written and whole in one go.
    Small(BackupPath, Block),
    /// It is whole.
    Commit,
    /// It is not, and never was.
    Abort,
    /// Everything before this is to be in its place.
    Settle(Sender<Vec<(BackupPath, Error)>>),
}

/// A buffer, and how much of it is filled. Kept at its full length, so that it is zeroed only once.
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

    /// Fills it as far as the body goes.
    fn fill(&mut self, body: &mut dyn Read) -> io::Result<()> {
        self.filled = 0;
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
}

/// The thread's handle.
pub struct Keeper {
    jobs: Option<SyncSender<Job>>,
    empty: Receiver<Block>,
    spare: Vec<Block>,
    blocks_made: usize,
    worker: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. Files are written in `incoming` and renamed to their places below `root`.
    pub fn start(
        root: &Path,
        incoming: &Path,
        journal: Arc<Mutex<Journal>>,
    ) -> Result<Keeper, Error> {
        // A folder of an earlier run holds nothing but files that are not whole.
        disk::remove_all(incoming).map_err(|e| Error::io("empty", incoming, e))?;
        disk::make_private_dirs(incoming)?;
        let (jobs, queue) = sync_channel(BLOCKS * 4);
        let (give_back, empty) = channel();
        let mut writer = Writer {
            root: root.to_path_buf(),
            incoming: incoming.to_path_buf(),
            journal,
            count: 0,
            failures: Vec::new(),
        };
        let worker = std::thread::Builder::new().name("keeper".to_owned());
        let worker = worker.spawn(move || writer.work(&queue, &give_back));
        let worker = worker.map_err(|e| Error::io("start writing to", incoming, e))?;
        Ok(Keeper {
            jobs: Some(jobs),
            empty,
            spare: Vec::new(),
            blocks_made: 0,
            worker: Some(worker),
        })
    }

    /// Takes a file. If its body fails nothing stays of it; whether it could be written is told by [`Keeper::settle`].
    pub fn keep(&mut self, path: &BackupPath, body: &mut dyn Read) -> io::Result<()> {
        let mut block = self.block()?;
        if let Err(e) = block.fill(body) {
            self.spare.push(block);
            return Err(e);
        }
        if !block.is_full() {
            return self.send(Job::Small(path.clone(), block));
        }
        self.send(Job::Begin(path.clone()))?;
        loop {
            let more = block.is_full();
            self.send(Job::Block(block))?;
            if !more {
                return self.send(Job::Commit);
            }
            block = self.block()?;
            if let Err(e) = block.fill(body) {
                self.spare.push(block);
                self.send(Job::Abort)?;
                return Err(e);
            }
        }
    }

    /// Waits until everything taken is in its place; answers what is not.
    pub fn settle(&mut self) -> io::Result<Vec<(BackupPath, Error)>> {
        let (done, wait) = channel();
        self.send(Job::Settle(done))?;
        wait.recv().map_err(|_| gone())
    }

    fn send(&self, job: Job) -> io::Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())
    }

    /// An empty block: a new one while there are few, else one that was given back.
    fn block(&mut self) -> io::Result<Block> {
        if let Some(block) = self.spare.pop().or_else(|| self.empty.try_recv().ok()) {
            return Ok(block);
        }
        if self.blocks_made < BLOCKS {
            self.blocks_made += 1;
            return Ok(Block::new());
        }
        self.empty.recv().map_err(|_| gone())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            // A panic of the thread has printed itself; whatever it held is a temporary file.
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
    count: u64,
    failures: Vec<(BackupPath, Error)>,
}

/// A file being written.
struct Open {
    path: BackupPath,
    temporary: PathBuf,
    file: io::Result<File>,
    hash: Sha256,
    size: u64,
}

impl Writer {
    fn work(&mut self, queue: &Receiver<Job>, give_back: &Sender<Block>) {
        let mut open: Option<Open> = None;
        while let Ok(job) = queue.recv() {
            match job {
                Job::Begin(path) => open = Some(self.begin(path)),
                Job::Block(block) => {
                    if let Some(open) = &mut open {
                        open.write(&block.bytes[..block.filled]);
                    }
                    // Nobody takes blocks back when the run has ended.
                    drop(give_back.send(block));
                }
                Job::Commit => {
                    if let Some(open) = open.take() {
                        self.commit(open);
                    }
                }
                Job::Small(path, block) => {
                    let mut small = self.begin(path);
                    small.write(&block.bytes[..block.filled]);
                    drop(give_back.send(block));
                    self.commit(small);
                }
                Job::Abort => {
                    if let Some(Open {
                        file, temporary, ..
                    }) = open.take()
                    {
                        drop(file);
                        // What cannot be removed here goes with the folder.
                        drop(disk::remove_if_there(&temporary));
                    }
                }
                Job::Settle(done) => drop(done.send(std::mem::take(&mut self.failures))),
            }
        }
    }

    fn begin(&mut self, path: BackupPath) -> Open {
        self.count += 1;
        let temporary = self.incoming.join(format!("{}.partial", self.count));
        Open {
            path,
            file: disk::create_private(&temporary),
            temporary,
            hash: Sha256::new(),
            size: 0,
        }
    }

    fn commit(&mut self, open: Open) {
        let path = open.path.clone();
        if let Err(e) = self.put_in_place(open) {
            self.failures.push((path, e));
        }
    }

    fn put_in_place(&self, open: Open) -> Result<(), Error> {
        let place = open.path.below(&self.root);
        let written = open.file.and_then(|file| {
            // Linux makes all of the draft durable in one call at the end; others have no such call.
            if cfg!(target_os = "linux") {
                Ok(())
            } else {
                file.sync_data()
            }
        });
        let renamed = written.and_then(|()| rename_into(&open.temporary, &place));
        if let Err(e) = renamed {
            drop(disk::remove_if_there(&open.temporary));
            return Err(Error::io("write", &place, e));
        }
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.kept(&open.path, &open.hash.finalize().into(), open.size)
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

/// Renames, and makes the folder only where it turns out to be missing.
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
