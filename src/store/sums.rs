//! The list of hashes, as `sha256sum -c` reads it, in the order of [`super::walk`].
//!
//! ```text
//! <64 hex digits, lower case><two blanks><path below the backup's folder>\n
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::{Error, disk};
use crate::plain_file;
use crate::sha256::Sha256;

/// A SHA-256.
pub type Hash = [u8; 32];

/// As 64 hex digits.
pub fn hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in hash {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// From 64 hex digits.
pub fn unhex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let value = |d: u8| char::from(d).to_digit(16);
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
    }
    Some(hash)
}

/// Hashes all that `file` holds; answers its length too.
pub fn hash(mut file: impl Read) -> io::Result<(Hash, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hash.finalize(), length)),
            Ok(n) => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Hashes the file at a path. A pipe or device is an error: to open one can wait for ever.
pub fn hash_file(path: &Path) -> Result<(Hash, u64), Error> {
    plain_file::open(path)
        .and_then(hash)
        .map_err(|e| Error::io("read", path, e))
}

/// Reads a list, line by line.
pub struct Sums {
    path: PathBuf,
    lines: BufReader<File>,
}

impl Sums {
    /// Opens a list.
    pub fn open(path: &Path) -> Result<Sums, Error> {
        let file = plain_file::open(path).map_err(|e| Error::io("read", path, e))?;
        Ok(Sums {
            path: path.to_path_buf(),
            lines: BufReader::with_capacity(64 << 10, file),
        })
    }

    fn step(&mut self) -> Result<Option<(String, Hash)>, Error> {
        const LINE_BYTES_MAX: u64 = 8 << 10;
        let mut line = String::new();
        let read = (&mut self.lines).take(LINE_BYTES_MAX).read_line(&mut line);
        read.map_err(|e| Error::unreadable(&self.path, e))?;
        if line.is_empty() {
            return Ok(None);
        }
        let parsed = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once("  "));
        match parsed.and_then(|(digits, path)| Some((path.to_owned(), unhex(digits)?))) {
            Some(found) => Ok(Some(found)),
            None => Err(Error::Damaged {
                path: self.path.clone(),
                why: "a line is no hash with a path".to_owned(),
            }),
        }
    }
}

impl Iterator for Sums {
    type Item = Result<(String, Hash), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Writes a list.
pub struct SumsWriter {
    path: PathBuf,
    lines: BufWriter<File>,
}

impl SumsWriter {
    /// A new list.
    pub fn create(path: &Path) -> Result<SumsWriter, Error> {
        let file = disk::remove_if_there(path).and_then(|()| disk::create_private(path));
        let file = file.map_err(|e| Error::io("write", path, e))?;
        Ok(SumsWriter {
            path: path.to_path_buf(),
            lines: BufWriter::with_capacity(64 << 10, file),
        })
    }

    /// The next line; lines come in the order of [`super::walk::order`].
    pub fn add(&mut self, path: &str, hash: &Hash) -> Result<(), Error> {
        writeln!(self.lines, "{}  {path}", hex(hash)).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Everything is written and durable.
    pub fn finish(self) -> Result<(), Error> {
        let path = self.path;
        let synced = self
            .lines
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|f| f.sync_all());
        synced.map_err(|e| Error::io("write", &path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let (hash, length) = hash(&b"abc"[..]).unwrap();
        assert_eq!(length, 3);
        assert_eq!(
            hex(&hash),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        assert_eq!(unhex("zz"), None);
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SUMS");
        std::fs::write(&path, "of an earlier run").unwrap();
        let mut list = SumsWriter::create(&path).unwrap();
        let lines = [("00/x  y", [7; 32]), ("Info.plist", [0xab; 32])];
        for (name, hash) in &lines {
            list.add(name, hash).unwrap();
        }
        list.finish().unwrap();
        let read: Vec<_> = Sums::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, lines.map(|(name, hash)| (name.to_owned(), hash)));
        // A line that is cut is no line.
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 1]).unwrap();
        let mut cut = Sums::open(&path).unwrap();
        assert!(cut.next().unwrap().is_ok() && cut.next().unwrap().is_err());
    }

    /// Gives its bytes one by one, and is interrupted before each.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            match self.1 {
                true => Err(io::ErrorKind::Interrupted.into()),
                false => self.0.read(&mut buffer[..1]),
            }
        }
    }

    #[test]
    fn a_hash_is_of_all_bytes_however_they_come() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        let whole = hash(&bytes[..]).unwrap();
        assert_eq!(whole.1, 1000);
        assert_eq!(hash(Slow(&bytes, false)).unwrap(), whole);
        let broken = io::Read::chain(&bytes[..], Broken);
        assert!(hash(broken).is_err());
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    #[test]
    fn a_damaged_list_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SUMS");
        std::fs::write(&path, "deadbeef  x\n").unwrap();
        assert!(Sums::open(&path).unwrap().next().unwrap().is_err());
    }
}
