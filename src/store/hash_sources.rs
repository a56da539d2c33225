//! The source of each hash in SHA256SUMS: the list of sources, `hash-sources.txt`, beside it.
//!
//! ```text
//! received  00/00a1...
//! carried  00/00b7...
//! ```
//! A line gives the source of the hashes from its path on, in the order of SHA256SUMS, until the
//! next line. The list is therefore short if many files in a row have the same source. It is read
//! as a stream in step with SHA256SUMS.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::prints::{ListPrint, Print};
use super::sums::{Hash, hex};
use super::walk::order;
use super::{Error, RECORDED, SUMS, disk};
use crate::base::plain_file;
use crate::base::sha256::Sha256;

/// The name of the list of sources.
pub const SOURCES: &str = "hash-sources.txt";

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 8 << 10;

/// The source of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Computed while the phone sent the file.
    Received,
    /// Computed while the phone sent the file for an earlier backup, and copied from that backup's
    /// list after the list had passed its own check.
    Carried,
    /// Computed at a later time from the file on disk.
    Read,
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Source::Received => "received",
            Source::Carried => "carried",
            Source::Read => "read",
        }
    }

    fn of_word(word: &str) -> Option<Source> {
        [Source::Received, Source::Carried, Source::Read]
            .into_iter()
            .find(|source| source.word() == word)
    }

    /// Returns the source of the same hash in the next backup. A hash that was read from the disk
    /// keeps that source.
    pub(crate) fn in_next(self) -> Source {
        match self {
            Source::Received | Source::Carried => Source::Carried,
            Source::Read => Source::Read,
        }
    }
}

/// A file whose contents are hashed while they are written.
struct Hashed {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    lines: u64,
}

impl Hashed {
    fn create(path: &Path) -> Result<Hashed, Error> {
        let file = disk::remove_if_there(path).and_then(|()| disk::create_private(path));
        Ok(Hashed {
            path: path.to_path_buf(),
            file: BufWriter::with_capacity(
                64 << 10,
                file.map_err(|e| Error::io("write", path, e))?,
            ),
            hash: Sha256::new(),
            bytes: 0,
            lines: 0,
        })
    }

    fn line(&mut self, line: &str) -> Result<(), Error> {
        self.hash.update(line.as_bytes());
        self.bytes += line.len() as u64;
        self.lines += 1;
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|e| Error::io("write", &self.path, e))
    }

    /// Makes the file durable and returns its print.
    fn finish(self) -> Result<ListPrint, Error> {
        let path = self.path;
        let synced = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|f| f.sync_all());
        synced.map_err(|e| Error::io("write", &path, e))?;
        Ok(ListPrint {
            sha256: hex(&self.hash.finalize()),
            bytes: self.bytes,
            lines: self.lines,
        })
    }
}

/// Writes SHA256SUMS and the list of sources together.
pub(crate) struct Lists {
    sums: Hashed,
    sources: Hashed,
    last: Option<Source>,
    metadata: BTreeMap<String, Print>,
}

/// The prints of the written lists and of the metadata, as they go into the record.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// The print of SHA256SUMS.
    pub sums: ListPrint,
    /// The print of the list of sources.
    pub sources: ListPrint,
    /// The prints of the metadata files, by name.
    pub metadata: BTreeMap<String, Print>,
}

impl Lists {
    /// Begins both lists in a folder.
    pub(crate) fn create(folder: &Path) -> Result<Lists, Error> {
        Ok(Lists {
            sums: Hashed::create(&folder.join(SUMS))?,
            sources: Hashed::create(&folder.join(SOURCES))?,
            last: None,
            metadata: BTreeMap::new(),
        })
    }

    /// Adds a file. Files must be added in the order of [`super::walk::order`]. `bytes` is the
    /// length.
    pub(crate) fn add(
        &mut self,
        path: &str,
        hash: &Hash,
        bytes: u64,
        source: Source,
    ) -> Result<(), Error> {
        self.sums.line(&format!("{}  {path}\n", hex(hash)))?;
        if self.last != Some(source) {
            self.sources.line(&format!("{}  {path}\n", source.word()))?;
            self.last = Some(source);
        }
        if RECORDED.contains(&path) {
            let print = Print::new(hash, bytes);
            self.metadata.insert(path.to_owned(), print);
        }
        Ok(())
    }

    /// Completes both lists durably.
    pub(crate) fn finish(self) -> Result<Listing, Error> {
        Ok(Listing {
            sums: self.sums.finish()?,
            sources: self.sources.finish()?,
            metadata: self.metadata,
        })
    }
}

/// Reads a list of sources in step with the walk of a backup.
pub struct Sources {
    lines: Option<BufReader<File>>,
    now: Option<Source>,
    ahead: Option<(Source, String)>,
}

impl Sources {
    /// Opens a list of sources. Without a list, all sources are unknown.
    pub fn open(path: Option<&Path>) -> Sources {
        let file = path.and_then(|path| plain_file::open(path).ok());
        Sources {
            lines: file.map(|file| BufReader::with_capacity(64 << 10, file)),
            now: None,
            ahead: None,
        }
    }

    /// Returns the source of a path's hash, or `None` if it is unknown. Paths must be requested in
    /// the order of the list.
    pub fn of(&mut self, path: &str) -> Option<Source> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.next_line();
            }
            match &self.ahead {
                Some((source, from)) if order(from, path).is_le() => {
                    self.now = Some(*source);
                    self.ahead = None;
                }
                _ => return self.now,
            }
        }
    }

    fn next_line(&mut self) -> Option<(Source, String)> {
        let mut line = String::new();
        let read = self
            .lines
            .as_mut()?
            .take(LINE_BYTES_MAX)
            .read_line(&mut line);
        let parsed = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once("  "))
            .and_then(|(word, path)| Some((Source::of_word(word)?, path.to_owned())));
        if read.is_err() || (parsed.is_none() && !line.is_empty()) {
            // After a damaged line all sources are unknown.
            self.now = None;
        }
        if parsed.is_none() {
            self.lines = None;
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::sums::{self, Sums};

    #[test]
    fn hash_sources_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("00/a", Source::Received),
            ("00/b", Source::Received),
            ("00/c", Source::Carried),
            ("Info.plist", Source::Read),
            ("ab/x", Source::Carried),
        ];
        let mut lists = Lists::create(dir.path()).unwrap();
        for (at, (path, source)) in (0..).zip(files) {
            lists.add(path, &[at; 32], u64::from(at), source).unwrap();
        }
        let listing = lists.finish().unwrap();
        assert_eq!((listing.sums.lines, listing.sources.lines), (5, 4));
        assert_eq!(
            listing.metadata.into_iter().collect::<Vec<_>>(),
            [("Info.plist".to_owned(), Print::new(&[3; 32], 3))]
        );
        for (name, print) in [(SUMS, listing.sums), (SOURCES, listing.sources)] {
            let (hash, bytes) = sums::hash_file(&dir.path().join(name)).unwrap();
            assert_eq!((hex(&hash), bytes), (print.sha256, print.bytes), "{name}");
        }
        let mut sources = Sources::open(Some(&dir.path().join(SOURCES)));
        let listed = Sums::open(&dir.path().join(SUMS)).unwrap();
        for (line, (path, source)) in listed.zip(files) {
            assert_eq!(line.unwrap().0, path);
            assert_eq!(sources.of(path), Some(source), "{path}");
        }
        // A file that is not listed has the source of the file before it. No file before the first
        // is requested.
        let mut sources = Sources::open(Some(&dir.path().join(SOURCES)));
        assert_eq!(sources.of("00/0"), None);
        assert_eq!(sources.of("zz"), Some(Source::Carried));
    }

    #[test]
    fn damaged_source_list_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOURCES);
        for text in ["received  a\nrubbish\n", "received  a\ncarried  c"] {
            fs::write(&path, text).unwrap();
            let mut sources = Sources::open(Some(&path));
            assert_eq!(sources.of("b"), None, "{text}");
            assert_eq!(sources.of("d"), None, "{text}");
        }
        assert_eq!(Sources::open(None).of("a"), None);
        assert_eq!(Sources::open(Some(dir.path())).of("a"), None);
    }

    #[test]
    fn read_hash_never_becomes_received() {
        for (source, next) in [
            (Source::Received, Source::Carried),
            (Source::Carried, Source::Carried),
            (Source::Read, Source::Read),
        ] {
            assert_eq!(source.in_next(), next);
            assert_eq!(Source::of_word(source.word()), Some(source));
        }
    }
}
