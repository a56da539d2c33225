//! The list of hashes, in the format of `sha256sum -c` and in the order of [`super::walk`].
//!
//! ```text
//! <64 hex digits, lower case><two blanks><path below the backup's folder>\n
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::Error;
use crate::base::plain_file;
use crate::base::sha256::Sha256;

/// A SHA-256 hash as bytes.
pub type Hash = [u8; 32];

/// Returns a hash as 64 lower-case hex digits.
pub fn hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in hash {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Parses a hash from 64 hex digits.
pub(crate) fn unhex(text: &str) -> Option<Hash> {
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

/// Hashes everything that `file` contains. Returns the length in bytes too.
pub(crate) fn hash(mut file: impl Read) -> io::Result<(Hash, u64)> {
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

/// Hashes the file at a path. A pipe or device is an error, since opening one may wait forever.
pub fn hash_file(path: &Path) -> Result<(Hash, u64), Error> {
    plain_file::open(path)
        .and_then(hash)
        .map_err(|e| Error::io("read", path, e))
}

/// Reads a list of hashes, line by line.
pub struct Sums {
    path: PathBuf,
    lines: BufReader<File>,
    number: u64,
}

impl Sums {
    /// Opens a list of hashes.
    pub fn open(path: &Path) -> Result<Sums, Error> {
        let file = plain_file::open(path).map_err(|e| Error::io("read", path, e))?;
        Ok(Sums {
            path: path.to_path_buf(),
            lines: BufReader::with_capacity(64 << 10, file),
            number: 0,
        })
    }

    fn step(&mut self) -> Result<Option<(String, Hash)>, Error> {
        const LINE_BYTES_MAX: u64 = 8 << 10;
        let mut line = String::new();
        let read = (&mut self.lines).take(LINE_BYTES_MAX).read_line(&mut line);
        self.number += 1;
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
                why: format!("line {} is no hash with a path", self.number),
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

/// A line of a list of hashes that may be damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A path and its hash.
    Good(String, Hash),
    /// The number of a line that cannot be parsed, or whose path breaks the order of the list.
    Bad(u64),
}

/// The number of a line, with its path and hash if the line can be parsed.
type Numbered = (u64, Option<(String, Hash)>);

/// Reads a list of hashes that may be damaged. Bad lines are returned as such, and the others are
/// in the order of [`super::walk::order`].
pub struct Lines {
    sums: Sums,
    /// The line after the one being judged.
    ahead: Option<Numbered>,
    last: Option<String>,
}

impl Lines {
    /// Opens a list of hashes.
    pub fn open(path: &Path) -> Result<Lines, Error> {
        Ok(Lines {
            sums: Sums::open(path)?,
            ahead: None,
            last: None,
        })
    }

    fn read(&mut self) -> Result<Option<Numbered>, Error> {
        let line = match self.sums.next() {
            None => return Ok(None),
            Some(Ok(line)) => Some(line),
            Some(Err(Error::Damaged { .. })) => None,
            Some(Err(e)) => return Err(e),
        };
        Ok(Some((self.sums.number, line)))
    }

    fn step(&mut self) -> Result<Option<Line>, Error> {
        let line = match self.ahead.take() {
            Some(line) => Some(line),
            None => self.read()?,
        };
        let Some((number, line)) = line else {
            return Ok(None);
        };
        self.ahead = self.read()?;
        let Some((path, hash)) = line else {
            return Ok(Some(Line::Bad(number)));
        };
        let is_after = |path: &str, last: Option<&str>| {
            last.is_none_or(|last| super::walk::order(last, path).is_lt())
        };
        let is_in_order = is_after(&path, self.last.as_deref());
        // If two lines are in the wrong order, the bad one is the one whose removal restores the
        // order.
        let is_too_great = matches!(&self.ahead, Some((_, Some((next, _))))
            if !is_after(next, Some(&path)) && is_after(next, self.last.as_deref()));
        if !is_in_order || is_too_great {
            return Ok(Some(Line::Bad(number)));
        }
        self.last = Some(path.clone());
        Ok(Some(Line::Good(path, hash)))
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_encoding_round_trips() {
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
    fn hash_list_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SUMS");
        let lines = [("00/x  y", [7; 32]), ("Info.plist", [0xab; 32])];
        let text = lines.map(|(name, hash)| format!("{}  {name}\n", hex(&hash)));
        std::fs::write(&path, text.concat()).unwrap();
        let read: Vec<_> = Sums::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, lines.map(|(name, hash)| (name.to_owned(), hash)));
        // An incomplete last line is an error.
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 1]).unwrap();
        let mut cut = Sums::open(&path).unwrap();
        assert!(cut.next().unwrap().is_ok() && cut.next().unwrap().is_err());
    }

    #[test]
    fn bad_lines_are_reported_and_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SUMS");
        let names = ["00/a", "00/b", "Info.plist", "ab/x"];
        let line = |name: &str| format!("{}  {name}\n", hex(&[7; 32]));
        let whole = names.map(line);
        let read = |lines: &[String]| {
            std::fs::write(&path, lines.concat()).unwrap();
            let mut bad = Vec::new();
            let mut good = Vec::new();
            for line in Lines::open(&path).unwrap() {
                match line.unwrap() {
                    Line::Bad(number) => bad.push(number),
                    Line::Good(name, _) => good.push(name),
                }
            }
            (bad, good)
        };
        assert_eq!(read(&whole), (vec![], names.map(str::to_owned).to_vec()));
        for at in 0..names.len() {
            let others = names.iter().enumerate().filter(|(n, _)| *n != at);
            let others: Vec<_> = others.map(|(_, name)| (*name).to_owned()).collect();
            for damaged in [
                "x".to_owned() + &whole[at][1..],
                line("zz/z"),
                "\n".to_owned(),
            ] {
                let mut lines = whole.clone();
                lines[at] = damaged.clone();
                let is_last = at == names.len() - 1 && damaged.ends_with("zz/z\n");
                let wanted = if is_last {
                    // No line after the last one contradicts it.
                    (vec![], [&others[..], &["zz/z".to_owned()]].concat())
                } else {
                    (vec![at as u64 + 1], others.clone())
                };
                assert_eq!(read(&lines), wanted, "{damaged}");
            }
        }
    }

    /// A reader that returns its bytes one by one, and is interrupted before each.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                Err(io::ErrorKind::Interrupted.into())
            } else {
                self.0.read(&mut buffer[..1])
            }
        }
    }

    #[test]
    fn hash_is_independent_of_read_sizes() {
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
    fn damaged_hash_list_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SUMS");
        std::fs::write(&path, "deadbeef  x\n").unwrap();
        assert!(Sums::open(&path).unwrap().next().unwrap().is_err());
    }
}
