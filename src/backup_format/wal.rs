//! Applies the write-ahead log of a database to a copy of the database.
//!
//! A phone can send a database together with its log, as two files: the newest rows are then only
//! in the log. SQLite itself would need both files under their names, in a folder that it can write
//! to. The format is described at sqlite.org/fileformat2.html#the_write_ahead_log: a header of 32
//! bytes, then frames, each with a header of 24 bytes and a page. A frame counts only up to the
//! last one that ends a transaction, and only while salts and checksums match.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::backup_format::temp_db::MAGIC;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Larger logs are stored in a file without a name.
const MEMORY_BYTES_MAX: usize = 8 << 20;
/// The sizes of a page that SQLite allows.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 512..=65_536;

/// The committed part of a write-ahead log.
pub(crate) struct Wal {
    frames: SpooledTempFile,
    page_bytes: usize,
    /// Number of frames up to the end of the last transaction.
    committed: u64,
    /// Number of pages that the database has after it.
    pages: u64,
}

impl Wal {
    /// Reads a log. Returns `None` if it has no complete transaction: SQLite ignores such a log.
    pub(crate) fn read(from: &mut dyn Read) -> io::Result<Option<Wal>> {
        let mut from = BufReader::new(from);
        let mut header = [0; HEADER];
        if !fill(&mut from, &mut header)? {
            return Ok(None);
        }
        let word = |at: usize| word(&header, at);
        let is_big_endian = match word(0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Ok(None),
        };
        let page_bytes = word(8) as usize;
        let mut sum = Checksum {
            is_big_endian,
            words: (0, 0),
        };
        sum.add(&header[..24]);
        let is_valid = PAGE_BYTES.contains(&page_bytes)
            && page_bytes.is_power_of_two()
            && sum.words == (word(24), word(28));
        if !is_valid {
            return Ok(None);
        }
        let mut wal = Wal {
            frames: tempfile::spooled_tempfile(MEMORY_BYTES_MAX),
            page_bytes,
            committed: 0,
            pages: 0,
        };
        let mut frame = vec![0; FRAME_HEADER + page_bytes];
        let mut number = 0;
        while fill(&mut from, &mut frame)? {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            let is_next = frame[8..16] == header[16..24]
                && sum.words == (self::word(&frame, 16), self::word(&frame, 20))
                && self::word(&frame, 0) > 0;
            if !is_next {
                break;
            }
            number += 1;
            wal.frames.write_all(&frame)?;
            let pages = self::word(&frame, 4);
            if pages > 0 {
                (wal.committed, wal.pages) = (number, pages.into());
            }
        }
        Ok((wal.committed > 0).then_some(wal))
    }

    /// Returns the length of the database with the log applied, in bytes.
    pub(crate) fn database_bytes(&self) -> u64 {
        self.pages * self.page_bytes as u64
    }

    /// Returns an error if the log cannot belong to a database of this length: a log adds no more
    /// pages than it has frames.
    pub(crate) fn check(&self, database_bytes: u64) -> io::Result<()> {
        let pages = database_bytes.div_ceil(self.page_bytes as u64);
        if self.pages > pages.saturating_add(self.committed) {
            return Err(invalid("its write-ahead log belongs to another database"));
        }
        Ok(())
    }

    /// Calls `put` with the offset and the bytes of each page that the log changes.
    pub(crate) fn apply(
        &mut self,
        mut put: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.frames.seek(SeekFrom::Start(0))?;
        let mut frame = vec![0; FRAME_HEADER + self.page_bytes];
        for _ in 0..self.committed {
            self.frames.read_exact(&mut frame)?;
            let page = u64::from(word(&frame, 0));
            let bytes = &frame[FRAME_HEADER..];
            if page == 1 {
                let header = bytes.first_chunk::<18>();
                // The page size in the header is 1 for 65,536.
                let size = header.map_or(0, |h| usize::from(u16::from_be_bytes([h[16], h[17]])));
                let is_same = size == self.page_bytes || (size == 1 && self.page_bytes == 65_536);
                if !bytes.starts_with(MAGIC) || !is_same {
                    return Err(invalid("its write-ahead log has another page size"));
                }
            }
            // Pages behind the end were removed by a later transaction.
            if page <= self.pages {
                put((page - 1) * self.page_bytes as u64, bytes)?;
            }
        }
        Ok(())
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes[at..].first_chunk::<4>();
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

/// Fills the buffer. Returns false if the stream ends before it is full.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// The running checksum over header and frames.
struct Checksum {
    is_big_endian: bool,
    words: (u32, u32),
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let number = |four: &[u8]| {
            let four = [four[0], four[1], four[2], four[3]];
            if self.is_big_endian {
                u32::from_be_bytes(four)
            } else {
                u32::from_le_bytes(four)
            }
        };
        let (mut one, mut two) = self.words;
        for pair in bytes.chunks_exact(8) {
            one = one.wrapping_add(number(&pair[..4])).wrapping_add(two);
            two = two.wrapping_add(number(&pair[4..])).wrapping_add(one);
        }
        self.words = (one, two);
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;
    use crate::backup_format::temp_db::Scratch;

    /// Creates a database whose newest rows are only in its log; returns both files.
    fn made(folder: &Path, rows: u32) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
        let path = folder.join("db");
        let db = Connection::open(&path)?;
        db.execute_batch("CREATE TABLE t (n, text); INSERT INTO t VALUES (0, 'in the database')")?;
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")?;
        for n in 1..=rows {
            let sql = "INSERT INTO t VALUES (?1, printf('%.*c', 900, 'x'))";
            db.execute(sql, [n])?;
        }
        Ok((fs::read(&path)?, fs::read(folder.join("db-wal"))?))
    }

    fn count(db: &[u8], wal: &[u8]) -> Result<i64, Box<dyn Error>> {
        let read = Wal::read(&mut &wal[..])?;
        let scratch = Scratch::with_wal(&mut &db[..], db.len() as u64, read);
        let scratch = scratch.map_err(|e| format!("{e:?}"))?;
        let all = "SELECT count(*) FROM t WHERE length(text) > 1";
        Ok(scratch.connection().query_row(all, [], |row| row.get(0))?)
    }

    #[test]
    fn rows_of_the_log_are_read() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let (db, wal) = made(folder.path(), 30)?;
        assert_eq!(count(&db, &wal)?, 31);
        assert_eq!(count(&db, &[])?, 1);
        Ok(())
    }

    /// Checks that a cut or altered log counts up to its last whole transaction, and that a
    /// database that needs a file is read the same way.
    #[test]
    fn damaged_log_counts_up_to_damage() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let (db, wal) = made(folder.path(), 10)?;
        let whole = count(&db, &wal)?;
        let cut = count(&db, &wal[..wal.len() - 100])?;
        assert!(cut < whole && cut > 1, "{cut}");
        let mut altered = wal.clone();
        altered[HEADER + FRAME_HEADER + 4096 + 40] ^= 1;
        assert!(count(&db, &altered)? < whole);
        let mut other = wal.clone();
        other[0] = 0;
        assert_eq!(count(&db, &other)?, 1);
        let read = Wal::read(&mut &wal[..])?;
        let large = Scratch::with_wal(&mut &db[..], 1 << 30, read).map_err(|e| format!("{e:?}"))?;
        let all = "SELECT count(*) FROM t";
        let rows: i64 = large.connection().query_row(all, [], |row| row.get(0))?;
        assert_eq!(rows, whole);
        Ok(())
    }

    #[test]
    fn log_of_another_database_is_an_error() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let (db, wal) = made(folder.path(), 3)?;
        let mut wal = Wal::read(&mut &wal[..])?.ok_or("no transaction")?;
        wal.pages = 1 << 30;
        let made = Scratch::with_wal(&mut &db[..], db.len() as u64, Some(wal));
        assert!(made.is_err());
        Ok(())
    }
}
