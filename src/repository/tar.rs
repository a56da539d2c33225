//! Reads a tar archive as it arrives. The format is that of POSIX.1-2008, pax: blocks of 512 bytes,
//! where a header names the path and size of the file behind it, and an extended header ("x")
//! replaces values that do not fit.

use std::io::{self, Write};

/// Size of a block.
const BLOCK: usize = 512;
/// Longest extended header, in bytes.
const EXTENDED_MAX: u64 = 64 << 10;

/// Receives the files of an archive.
pub(super) trait Entries {
    /// A regular file begins.
    fn begin(&mut self, path: &str) -> io::Result<()>;
    /// The next bytes of the file.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// The file is complete.
    fn end(&mut self, path: &str) -> io::Result<()>;
}

/// The part of an entry that is being read.
enum Part {
    Header(Vec<u8>),
    File {
        path: String,
        left: u64,
        pad: usize,
    },
    Extended {
        text: Vec<u8>,
        left: u64,
        pad: usize,
    },
    Skipped {
        left: u64,
    },
}

/// An archive that is written to it piece by piece.
pub(super) struct Untar<'a> {
    entries: &'a mut dyn Entries,
    part: Part,
    path: Option<String>,
    size: Option<u64>,
    has_ended: bool,
}

impl<'a> Untar<'a> {
    pub(super) fn new(entries: &'a mut dyn Entries) -> Untar<'a> {
        Untar {
            entries,
            part: Part::Header(Vec::new()),
            path: None,
            size: None,
            has_ended: false,
        }
    }

    /// Fails if the archive was cut off.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.part {
            Part::Header(bytes) if bytes.is_empty() && self.has_ended => Ok(()),
            _ => Err(invalid("the archive ends too early")),
        }
    }

    /// Takes some of the bytes, and returns their number.
    fn step(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.part {
            Part::Header(block) => {
                let taken = bytes.len().min(BLOCK - block.len());
                block.extend_from_slice(&bytes[..taken]);
                if block.len() == BLOCK {
                    let block = std::mem::take(block);
                    self.part = self.header(&block)?;
                }
                Ok(taken)
            }
            Part::File { path, left, pad } => {
                let taken = most(bytes, *left);
                self.entries.bytes(&bytes[..taken])?;
                *left -= taken as u64;
                if *left == 0 {
                    self.entries.end(path)?;
                    self.part = Part::Skipped { left: *pad as u64 };
                    self.settle();
                }
                Ok(taken)
            }
            Part::Extended { text, left, pad } => {
                let taken = most(bytes, *left);
                text.extend_from_slice(&bytes[..taken]);
                *left -= taken as u64;
                if *left == 0 {
                    let (text, pad) = (std::mem::take(text), *pad);
                    self.extended(&text)?;
                    self.part = Part::Skipped { left: pad as u64 };
                    self.settle();
                }
                Ok(taken)
            }
            Part::Skipped { left } => {
                let taken = most(bytes, *left);
                *left -= taken as u64;
                self.settle();
                Ok(taken)
            }
        }
    }

    /// Goes on to the next header if nothing is left to skip.
    fn settle(&mut self) {
        if matches!(self.part, Part::Skipped { left: 0 }) {
            self.part = Part::Header(Vec::new());
        }
    }

    fn header(&mut self, block: &[u8]) -> io::Result<Part> {
        if block.iter().all(|byte| *byte == 0) {
            self.has_ended = true;
            return Ok(Part::Header(Vec::new()));
        }
        let kind = block[156];
        let own_size = number(&block[124..136])?;
        let pad = |size: u64| (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        if kind == b'x' {
            if own_size > EXTENDED_MAX {
                return Err(invalid("an extended header is too long"));
            }
            return Ok(Part::Extended {
                text: Vec::new(),
                left: own_size,
                pad: pad(own_size),
            });
        }
        let size = self.size.take().unwrap_or(own_size);
        let path = self.path.take().unwrap_or_else(|| name(block));
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if !matches!(kind, b'0' | 0) {
            let left = size + pad(size) as u64;
            return Ok(match left {
                0 => Part::Header(Vec::new()),
                left => Part::Skipped { left },
            });
        }
        self.entries.begin(path)?;
        if size == 0 {
            self.entries.end(path)?;
            return Ok(Part::Header(Vec::new()));
        }
        Ok(Part::File {
            path: path.to_owned(),
            left: size,
            pad: pad(size),
        })
    }

    /// Reads the records "LENGTH KEY=VALUE\n" of an extended header.
    fn extended(&mut self, text: &[u8]) -> io::Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let bad = || invalid("an extended header is damaged");
            let blank = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length = std::str::from_utf8(&rest[..blank]).ok();
            let length: usize = length.and_then(|text| text.parse().ok()).ok_or_else(bad)?;
            let record = rest.get(blank + 1..length).ok_or_else(bad)?;
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let text = String::from_utf8_lossy(record);
            match text.split_once('=') {
                Some(("path", path)) => self.path = Some(path.to_owned()),
                Some(("size", size)) => self.size = Some(size.parse().map_err(|_| bad())?),
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

impl Write for Untar<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            taken += self.step(&bytes[taken..])?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn most(bytes: &[u8], left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads a number: octal digits, or with the highest bit set a binary one.
fn number(field: &[u8]) -> io::Result<u64> {
    let bad = || invalid("a header has no valid size");
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        if high[0] != 0x80 || high[1..].iter().any(|byte| *byte != 0) {
            return Err(bad());
        }
        return Ok(low.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).map_err(|_| bad())?;
    let text = text.trim_matches(|c| c == '\0' || c == ' ');
    if text.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(text, 8).map_err(|_| bad())
}

/// Returns the path in a header.
fn name(block: &[u8]) -> String {
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
    };
    let (name, before) = (text(&block[..100]), text(&block[345..500]));
    if &block[257..263] == b"ustar\0" && !before.is_empty() {
        format!("{before}/{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(String, Vec<u8>)>);

    impl Entries for Seen {
        fn begin(&mut self, path: &str) -> io::Result<()> {
            self.0.push((path.to_owned(), Vec::new()));
            Ok(())
        }

        fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.last_mut().unwrap().1.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self, path: &str) -> io::Result<()> {
            assert_eq!(self.0.last().unwrap().0, path);
            Ok(())
        }
    }

    fn entry(kind: u8, path: &str, body: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..path.len()].copy_from_slice(path.as_bytes());
        let size = format!("{:011o}\0", body.len());
        block[124..136].copy_from_slice(size.as_bytes());
        block[156] = kind;
        block[257..263].copy_from_slice(b"ustar\0");
        block.extend_from_slice(body);
        block.resize(block.len().div_ceil(BLOCK) * BLOCK, 0);
        block
    }

    #[test]
    fn files_are_read_in_any_pieces() {
        let long = "a/".repeat(90) + "end";
        let record = format!("path={long}\n");
        let length = record.len() + 4;
        let archive = [
            entry(b'5', "00/", b""),
            entry(b'0', "/00/a", &[7; 700]),
            entry(b'0', "00/empty", b""),
            entry(b'x', "PaxHeaders", format!("{length} {record}").as_bytes()),
            entry(b'0', "short", b"x"),
            entry(b'2', "link", b""),
            vec![0; 2 * BLOCK],
        ]
        .concat();
        for piece in [1, 511, 512, 4096] {
            let mut seen = Seen::default();
            let mut untar = Untar::new(&mut seen);
            for bytes in archive.chunks(piece) {
                untar.write_all(bytes).unwrap();
            }
            untar.finish().unwrap();
            let paths: Vec<&str> = seen.0.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(paths, ["00/a", "00/empty", long.as_str()]);
            assert_eq!(seen.0[0].1, [7; 700]);
            assert_eq!(seen.0[2].1, b"x");
        }
    }

    #[test]
    fn cut_archives_are_errors() {
        let archive = entry(b'0', "00/a", &[7; 700]);
        for end in [100, 600, archive.len()] {
            let mut seen = Seen::default();
            let mut untar = Untar::new(&mut seen);
            untar.write_all(&archive[..end]).unwrap();
            assert!(untar.finish().is_err(), "{end}");
        }
        let mut seen = Seen::default();
        let mut bad = entry(b'0', "a", b"");
        bad[124] = b'9';
        assert!(Untar::new(&mut seen).write_all(&bad).is_err());
    }
}
