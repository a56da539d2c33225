//! Reads a backup in a repository without pulling it. Its lists are fetched into a private
//! temporary folder, and the contents of its files come from the engine as streams.
//!
//! Starting the engine for a file takes as long as reading some megabytes. If many files of a folder
//! are needed, they come as one stream, in the order of their names. A file that is opened out of
//! that order is read alone.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Error;
use super::copy::Copy;
use super::engine::Engine;
use super::tar::{Entries, Untar};
use crate::base::private_dir::PrivateDir;
use crate::reader::passwords::Passwords;
use crate::reader::source::{Broken, Source, Stream};
use crate::reader::{self, Backup};
use crate::store::walk;

/// The files that describe a backup; Manifest.mbdb is in backups of iOS 9 and older.
const LISTS: [&str; 5] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.mbdb",
    "Manifest.plist",
    "Status.plist",
];

/// Number of pieces that wait for the reader; each has some 64 KiB.
const WAITING: usize = 16;

/// A backup in a repository whose lists are on this computer.
pub struct Lists(Arc<dyn Remote>);

/// A source with a folder of its own.
trait Remote: Source {
    fn folder(&self) -> &Path;
}

/// Fetches the lists of a backup.
pub fn lists<E: Engine + Send + Sync + 'static>(
    engine: E,
    location: &str,
    copy: &Copy,
) -> Result<Lists, Error> {
    let folder = PrivateDir::new("idev-backup-lists-").map_err(|cause| Error::Io {
        doing: "make a temporary folder for the lists of the backup",
        cause,
    })?;
    engine.fetch(
        &copy.snapshot,
        &LISTS.map(|name| format!("/{name}")),
        folder.path(),
    )?;
    let id: String = copy.snapshot.chars().take(8).collect();
    Ok(Lists(Arc::new(InRepository {
        engine: Arc::new(engine),
        snapshot: copy.snapshot.clone(),
        name: format!("{location}, snapshot {id}"),
        folder,
        state: Mutex::default(),
    })))
}

impl Lists {
    /// Returns the folder with the lists. It is removed with the last value that needs it.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Returns the place of the backup's files.
    pub fn source(&self) -> Arc<dyn Source> {
        self.0.clone()
    }

    /// Opens the backup. Asks for the password only if the backup itself is encrypted.
    pub fn open(&self, passwords: &dyn Passwords) -> Result<Backup, reader::Error> {
        Backup::open_from(self.folder(), self.source(), passwords)
    }
}

/// The files of a backup in a repository.
struct InRepository<E> {
    engine: Arc<E>,
    snapshot: String,
    name: String,
    folder: PrivateDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Folders that will be read in the order of their files; an empty name means all of them.
    expected: BTreeSet<String>,
    /// The folder that is being read.
    series: Option<Series>,
    /// The folders that were expected, once the stream of the whole backup has broken at a damaged
    /// file: the others are read folder by folder.
    parted: Option<BTreeSet<String>>,
}

impl<E: Engine + Send + Sync + 'static> Remote for InRepository<E> {
    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl<E: Engine + Send + Sync + 'static> Source for InRepository<E> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn expect(&self, folder: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expected.insert(folder.to_owned());
    }

    fn open(&self, path: &str) -> io::Result<Stream> {
        if let Some(body) = self.in_series(path)? {
            return Ok(Box::new(body));
        }
        let feed = self.feed(&format!("/{path}"), |pieces, dump| dump(&mut Pipe(pieces)));
        let mut body = Body::new(Arc::new(Mutex::new(feed)));
        // A missing file shows here and not while it is read.
        body.more()?;
        Ok(Box::new(body))
    }
}

impl<E: Engine + Send + Sync + 'static> InRepository<E> {
    /// Opens a file in the stream of its folder, if that is expected and has not passed it.
    fn in_series(&self, path: &str) -> io::Result<Option<Body>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let has_broken = state.series.as_ref();
        if has_broken.is_some_and(|series| series.folder.is_empty() && series.is_broken()) {
            state.series = None;
            state.parted = Some(BTreeSet::new());
        }
        if let Some(parted) = &mut state.parted
            && !parent.is_empty()
            && parted.insert(parent.to_owned())
        {
            state.expected.insert(parent.to_owned());
        }
        for folder in ["", parent] {
            if state.expected.remove(folder) {
                // The engine of the last one ends before the next one starts.
                state.series = None;
                let feed = self.feed(&format!("/{folder}"), |pieces, dump| {
                    let mut files = Files(pieces);
                    let mut untar = Untar::new(&mut files);
                    dump(&mut untar)?;
                    untar.finish().map_err(cannot_read)
                });
                state.series = Some(Series {
                    folder: folder.to_owned(),
                    feed: Arc::new(Mutex::new(feed)),
                    passed: None,
                    next: None,
                });
            }
            let series = state.series.as_mut();
            if let Some(series) = series.filter(|series| series.folder == folder) {
                return series.open(path);
            }
        }
        Ok(None)
    }

    /// Starts a thread that runs `work`, which dumps a path of the snapshot into a writer.
    fn feed(&self, path: &str, work: Work) -> Feed {
        let (pieces, coming) = sync_channel(WAITING);
        let (engine, snapshot) = (self.engine.clone(), self.snapshot.clone());
        let path = path.to_owned();
        let thread = std::thread::spawn(move || {
            let end = work(&pieces, &mut |to| engine.dump(&snapshot, &path, to));
            // If the reader is gone, nobody needs to know the end.
            pieces.send(Piece::Over(end.err())).ok();
        });
        Feed::new(coming, Some(thread))
    }
}

/// Passes on what is dumped.
type Work = fn(&SyncSender<Piece>, Dump<'_>) -> Result<(), Error>;
type Dump<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), Error>;

fn cannot_read(cause: io::Error) -> Error {
    Error::Io {
        doing: "read the files of the backup",
        cause,
    }
}

/// A piece of what the engine dumps.
enum Piece {
    /// A file of this path begins.
    Begin(String),
    Bytes(Vec<u8>),
    /// The file is complete.
    End,
    /// Nothing more comes, for this reason or because all came.
    Over(Option<Error>),
}

fn send(pieces: &SyncSender<Piece>, piece: Piece) -> io::Result<()> {
    let sent = pieces.send(piece);
    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// Passes on the content of one file.
struct Pipe<'a>(&'a SyncSender<Piece>);

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, Piece::Bytes(bytes.to_vec())).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes on the files of an archive.
struct Files<'a>(&'a SyncSender<Piece>);

impl Entries for Files<'_> {
    fn begin(&mut self, path: &str) -> io::Result<()> {
        send(self.0, Piece::Begin(path.to_owned()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        send(self.0, Piece::Bytes(bytes.to_vec()))
    }

    fn end(&mut self, _path: &str) -> io::Result<()> {
        send(self.0, Piece::End)
    }
}

/// A running dump.
struct Feed {
    coming: Option<Receiver<Piece>>,
    thread: Option<JoinHandle<()>>,
    is_over: bool,
    /// True if the dump has ended at an error.
    is_broken: bool,
}

impl Feed {
    fn new(coming: Receiver<Piece>, thread: Option<JoinHandle<()>>) -> Feed {
        Feed {
            coming: Some(coming),
            thread,
            is_over: false,
            is_broken: false,
        }
    }

    fn next(&mut self) -> Piece {
        if self.is_over {
            return Piece::Over(None);
        }
        let next = self.coming.as_ref().and_then(|coming| coming.recv().ok());
        // A thread that ended without the last piece has panicked: the file is not complete.
        let next = next.unwrap_or_else(|| {
            let cause = io::Error::other("an internal error ended the stream");
            Piece::Over(Some(cannot_read(cause)))
        });
        if let Piece::Over(end) = &next {
            self.is_over = true;
            self.is_broken = end.is_some();
        }
        next
    }
}

impl Drop for Feed {
    /// Ends the engine, and waits for that.
    fn drop(&mut self) {
        self.coming = None;
        if let Some(thread) = self.thread.take() {
            // A panic has printed its message already.
            thread.join().ok();
        }
    }
}

/// The files of a folder, or of the whole backup, in order.
struct Series {
    folder: String,
    feed: Arc<Mutex<Feed>>,
    /// The last file that was opened.
    passed: Option<String>,
    /// A file that has begun, and was not opened yet.
    next: Option<String>,
}

impl Series {
    /// Returns true if the dump has ended at an error.
    fn is_broken(&self) -> bool {
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        feed.is_broken
    }

    /// Goes on to a file. Returns `None` if that is not possible.
    fn open(&mut self, path: &str) -> io::Result<Option<Body>> {
        let passed = self.passed.as_deref();
        if passed.is_some_and(|passed| walk::order(path, passed).is_le()) {
            return Ok(None);
        }
        loop {
            let next = match self.next.take() {
                Some(next) => next,
                None => {
                    let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
                    match feed.next() {
                        Piece::Begin(next) => next,
                        Piece::Bytes(_) | Piece::End => continue,
                        Piece::Over(Some(e)) if ends_all(&e) => return Err(io_error(e)),
                        Piece::Over(_) => return Ok(None),
                    }
                }
            };
            match walk::order(&next, path) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    self.passed = Some(next);
                    return Ok(Some(Body::new(self.feed.clone())));
                }
                std::cmp::Ordering::Greater => {
                    self.next = Some(next);
                    return Err(io::ErrorKind::NotFound.into());
                }
            }
        }
    }
}

/// The content of a file.
struct Body {
    feed: Arc<Mutex<Feed>>,
    ready: Vec<u8>,
    at: usize,
    is_over: bool,
}

impl Body {
    fn new(feed: Arc<Mutex<Feed>>) -> Body {
        Body {
            feed,
            ready: Vec::new(),
            at: 0,
            is_over: false,
        }
    }

    /// Waits for the next bytes, unless some are left or the file is over.
    fn more(&mut self) -> io::Result<()> {
        while self.at == self.ready.len() && !self.is_over {
            let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
            match feed.next() {
                Piece::Bytes(bytes) => (self.ready, self.at) = (bytes, 0),
                Piece::End | Piece::Over(None) => self.is_over = true,
                Piece::Over(Some(e)) => {
                    self.is_over = true;
                    return Err(io_error(e));
                }
                Piece::Begin(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.more()?;
        let ready = &self.ready[self.at..];
        let length = ready.len().min(out.len());
        out[..length].copy_from_slice(&ready[..length]);
        self.at += length;
        Ok(length)
    }
}

/// Returns true if no other file can be read after this error.
fn ends_all(error: &Error) -> bool {
    let is_of_file = matches!(
        error,
        Error::NoFile(_) | Error::Damaged { .. } | Error::Failed { .. }
    );
    !is_of_file
}

fn io_error(error: Error) -> io::Error {
    if ends_all(&error) {
        return io::Error::other(Broken {
            kind: error.kind(),
            cause: Box::new(error),
        });
    }
    match error {
        Error::NoFile(_) => io::ErrorKind::NotFound.into(),
        e => io::Error::other(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a dump of files whose content is their name, which ends in this way.
    fn series(names: &[&str], end: Option<Error>) -> Series {
        let (pieces, coming) = sync_channel(100);
        for name in names {
            let bytes = Piece::Bytes(name.as_bytes().to_vec());
            for piece in [Piece::Begin((*name).to_owned()), bytes, Piece::End] {
                pieces.send(piece).unwrap();
            }
        }
        pieces.send(Piece::Over(end)).unwrap();
        Series {
            folder: String::new(),
            feed: Arc::new(Mutex::new(Feed::new(coming, None))),
            passed: None,
            next: None,
        }
    }

    #[test]
    fn series_opens_files_in_order() {
        let mut files = series(&["00/a", "00/b", "00/d", "01/e", "Info.plist"], None);
        let mut opened = |path: &str| -> Result<Option<String>, io::ErrorKind> {
            let body = files.open(path).map_err(|e| e.kind())?;
            Ok(body.map(|body| io::read_to_string(body).unwrap()))
        };
        assert_eq!(opened("00/b"), Ok(Some("00/b".to_owned())));
        // What was passed, or is open already, is read by itself.
        assert_eq!(opened("00/a"), Ok(None));
        assert_eq!(opened("00/b"), Ok(None));
        assert_eq!(opened("00/c"), Err(io::ErrorKind::NotFound));
        assert_eq!(opened("00/d"), Ok(Some("00/d".to_owned())));
        assert_eq!(opened("Info.plist"), Ok(Some("Info.plist".to_owned())));
        assert_eq!(opened("zz"), Ok(None));
    }

    #[test]
    fn file_that_is_not_read_is_skipped() {
        let mut files = series(&["00/a", "00/b"], None);
        drop(files.open("00/a").unwrap());
        let next = files.open("00/b").unwrap().unwrap();
        assert_eq!(io::read_to_string(next).unwrap(), "00/b");
    }

    #[test]
    fn stream_without_an_end_is_an_error() {
        let (pieces, coming) = sync_channel(1);
        pieces.send(Piece::Bytes(b"half".to_vec())).unwrap();
        drop(pieces);
        let feed = Feed::new(coming, None);
        let mut body = Body::new(Arc::new(Mutex::new(feed)));
        let mut read = Vec::new();
        assert!(body.read_to_end(&mut read).is_err());
        assert_eq!(read, b"half");
    }

    #[test]
    fn end_of_a_dump_decides_about_the_others() {
        let damaged = Error::Damaged {
            location: "nas".to_owned(),
            said: String::new(),
        };
        let mut files = series(&["00/a"], Some(damaged));
        assert!(files.open("00/b").unwrap().is_none());
        assert!(files.is_broken());
        let lost = Error::Lost {
            location: "nas".to_owned(),
            said: String::new(),
        };
        let mut files = series(&["00/a"], Some(lost));
        let e = files
            .open("00/b")
            .err()
            .unwrap()
            .downcast::<Broken>()
            .unwrap();
        assert_eq!(e.kind, crate::base::failure_kind::FailureKind::Lost);
    }
}
