//! Manifest.mbdb, the list of all files in iOS 5 to 9, which did not have Manifest.db yet. It is
//! read record by record and never written.
//!
//! ```text
//! file    "mbdb" 05 00, then records until the end
//! record  domain, path, link target, digest, encryption key              strings
//!         mode u16, inode u64, user u32, group u32, modified i32,
//!         status changed i32, born i32, size u64, protection class u8,
//!         attributes u8                                                  40 bytes
//!         name, value of each of the attributes                          strings
//! string  length u16, that many bytes; the length ffff stands for "none"
//! ```
//! All numbers are big-endian, times are seconds since 1970. The layout is known from
//! iphonebackupbrowser's wiki (MbdbMbdxFormat), fmartingr.com (2013-11-29) and
//! iphone-dataprotection. They do not agree on the second time (accessed, or status changed), so we
//! use the name that it has in the `MBFile` of later lists. Files are stored directly in the folder
//! of the backup, without the `xx/` of later ones. The records do not contain the file names:
//! [`file_id`] computes them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::{FileRecord, file_digest, file_id, kind_of_mode};
use crate::backup_format::kind::Kind;
use crate::backup_format::list_error::Error;
use crate::backup_format::unreadable_rows::{BadRow, Unread};
use crate::base::plain_file;

const MAGIC: &[u8; 6] = b"mbdb\x05\x00";
/// Length that stands for "none".
const NONE: u16 = 0xffff;
/// Longest name, in bytes. iOS allows a path 1024 bytes.
const NAME_BYTES_MAX: u16 = 4096;
/// Longest of the other strings, in bytes: the format cannot hold longer ones.
const BYTES_MAX: u16 = NONE - 1;
/// Most records in a list, since 28 bytes of each are kept in memory.
const RECORDS_MAX: usize = 4 << 20;

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The domain: `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// The phone's metadata of the file.
    pub file: FileRecord,
    /// The extended attributes, as names and values.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Record {
    /// Returns the name under which the backup stores the file.
    pub fn file_id(&self) -> String {
        file_id(&self.domain, &self.file.relative_path)
    }

    /// Returns the type of the item, according to its mode.
    pub fn kind(&self) -> Kind {
        kind_of_mode(self.file.mode)
    }
}

/// Reader of the records of a list, with one in memory at a time.
pub struct Records<R> {
    from: R,
    /// The lossy text of a name in the current record that is not UTF-8.
    bad_name: Option<String>,
    /// The number of bytes read.
    offset: u64,
    /// The number of records read.
    count: u64,
}

impl<R: BufRead> Records<R> {
    fn at(from: R, offset: u64) -> Records<R> {
        Records {
            from,
            bad_name: None,
            offset,
            count: 0,
        }
    }

    /// Reads the first bytes and checks that they begin such a list.
    pub fn open(from: R) -> Result<Records<R>, Error> {
        let mut records = Records::at(from, 0);
        match records.bytes() {
            Ok(magic) if &magic == MAGIC => Ok(records),
            Ok(_) => Err(Error::Damaged("it is not a list of files".to_owned())),
            Err(e) => Err(Error::Damaged(words(&e))),
        }
    }

    /// Reads the next record. Returns `None` at the end of the list.
    pub fn read(&mut self) -> Result<Option<Record>, Error> {
        let start = self.offset;
        let read = match self.from.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(_) => self.record(),
            Err(e) => Err(e),
        };
        let count = self.count;
        self.count += 1;
        let place = |e| Error::Damaged(format!("record {count}, at byte {start}: {}", words(&e)));
        read.map(Some).map_err(place)
    }

    fn record(&mut self) -> io::Result<Record> {
        self.bad_name = None;
        let domain = self.text()?.filter(|domain| !domain.is_empty());
        let domain = domain.ok_or_else(|| invalid("its domain is missing"))?;
        let relative_path = self.text()?.unwrap_or_default();
        let target = self.text()?.filter(|target| !target.is_empty());
        let digest = self.string(BYTES_MAX)?.filter(|bytes| !bytes.is_empty());
        let encryption_key = self.string(BYTES_MAX)?.filter(|bytes| !bytes.is_empty());
        let file = FileRecord {
            relative_path,
            target,
            digest,
            encryption_key,
            mode: u16::from_be_bytes(self.bytes()?).into(),
            inode: u64::from_be_bytes(self.bytes()?),
            // The ids are signed, since "nobody" is -2.
            user_id: i32::from_be_bytes(self.bytes()?).into(),
            group_id: i32::from_be_bytes(self.bytes()?).into(),
            last_modified: i32::from_be_bytes(self.bytes()?).into(),
            last_status_change: i32::from_be_bytes(self.bytes()?).into(),
            birth: i32::from_be_bytes(self.bytes()?).into(),
            size: u64::from_be_bytes(self.bytes()?),
            lacks_size: false,
            protection_class: u8::from_be_bytes(self.bytes()?),
        };
        let count = u8::from_be_bytes(self.bytes()?);
        let attributes = (0..count).map(|_| {
            let name = self.string(BYTES_MAX)?.unwrap_or_default();
            let value = self.string(BYTES_MAX)?.unwrap_or_default();
            Ok((name, value))
        });
        let record = Record {
            attributes: attributes.collect::<io::Result<_>>()?,
            domain,
            file,
        };
        // Fail only at the end of the record, so that the caller can continue after it.
        if self.bad_name.is_some() {
            self.bad_name = Some(format!("{}/{}", record.domain, record.file.relative_path));
            return Err(invalid("a name is not a text"));
        }
        Ok(record)
    }

    fn text(&mut self) -> io::Result<Option<String>> {
        let bytes = self.string(NAME_BYTES_MAX)?;
        Ok(bytes.map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(bad) => {
                let text = String::from_utf8_lossy(bad.as_bytes()).into_owned();
                self.bad_name.insert(text).clone()
            }
        }))
    }

    fn string(&mut self, bytes_max: u16) -> io::Result<Option<Vec<u8>>> {
        let length = u16::from_be_bytes(self.bytes()?);
        if length == NONE {
            return Ok(None);
        }
        if length > bytes_max {
            return Err(invalid("a name is longer than any path"));
        }
        let mut bytes = vec![0; length.into()];
        self.from.read_exact(&mut bytes)?;
        self.offset += u64::from(length);
        Ok(Some(bytes))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.offset += N as u64;
        Ok(bytes)
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn words(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => "it is truncated".to_owned(),
        _ => e.to_string(),
    }
}

/// An open list that has been read to its end once and is known to be complete.
///
/// A list is sorted by domain and path, but a check needs the order of file ids, so 28 bytes of
/// each record are kept in memory.
pub struct Mbdb {
    path: PathBuf,
    /// File ids with the offsets of their records, sorted by file id.
    index: Vec<([u8; 20], u64)>,
    unread: Unread,
}

impl Mbdb {
    /// Opens the Manifest.mbdb of the backup in `folder`.
    pub fn open(folder: &Path) -> Result<Mbdb, Error> {
        let path = folder.join("Manifest.mbdb");
        let file = match plain_file::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::Absent),
            opened => opened.map_err(|e| Error::Damaged(e.to_string()))?,
        };
        let mut records = Records::open(BufReader::new(file))?;
        let mut index = Vec::new();
        let mut offset = records.offset;
        while let Some(record) = records.read()? {
            if index.len() == RECORDS_MAX {
                return Err(Error::Damaged("it is too long".to_owned()));
            }
            let id = file_digest(&record.domain, &record.file.relative_path);
            index.push((id, offset));
            offset = records.offset;
        }
        index.sort_unstable();
        if index.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Damaged("it names a file twice".to_owned()));
        }
        Ok(Mbdb {
            path,
            index,
            unread: Unread::default(),
        })
    }

    /// Opens a damaged list with all records that can be read. After a damaged record, searches for
    /// the next one.
    pub(crate) fn salvage(folder: &Path) -> Result<Mbdb, Error> {
        let path = folder.join("Manifest.mbdb");
        let damaged = |e: io::Error| Error::Damaged(words(&e));
        let mut file = BufReader::new(plain_file::open(&path).map_err(damaged)?);
        let length = file.get_ref().metadata().map_err(damaged)?.len();
        let mut unread = Unread::default();
        let mut index = Vec::new();
        let mut at = MAGIC.len() as u64;
        while at < length && index.len() < RECORDS_MAX {
            file.seek(SeekFrom::Start(at)).map_err(damaged)?;
            let mut records = Records::at(&mut file, at);
            let read = records.record();
            let (end, bad_name) = (records.offset, records.bad_name.take());
            let mut next = end;
            if read.is_err() && bad_name.is_none()
                || !begins_record(&mut file, end, length).map_err(damaged)?
            {
                next = next_record(&mut file, at + 1)
                    .map_err(damaged)?
                    .unwrap_or(length);
            }
            match (read, bad_name) {
                // Discard a record whose damaged length extends over later records.
                (Ok(record), _) if next >= end => {
                    let id = file_digest(&record.domain, &record.file.relative_path);
                    index.push((id, at));
                }
                (_, Some(name)) if next >= end => {
                    let why = "its name is not UTF-8".to_owned();
                    unread.add(at, || BadRow { name, why });
                }
                (read, _) => {
                    let why =
                        read.map_or_else(|e| words(&e), |_| "its lengths are damaged".to_owned());
                    let name = format!("the record at byte {at}");
                    unread.add(at, || BadRow { name, why });
                }
            }
            at = next;
        }
        index.sort_unstable();
        index.dedup_by_key(|entry| entry.0);
        if index.is_empty() {
            return Err(Error::Damaged("none of its records can be read".to_owned()));
        }
        unread.note(
            "the list of files is damaged; records behind damaged ones may be missing".to_owned(),
        );
        Ok(Mbdb {
            path,
            index,
            unread,
        })
    }

    /// Returns the records that cannot be read.
    pub(crate) fn unread(&self) -> &Unread {
        &self.unread
    }

    /// Calls `each` for every record, in the order of file ids, until it returns false.
    pub fn rows(&self, mut each: impl FnMut(Record) -> bool) -> Result<(), Error> {
        let damaged = |e: io::Error| Error::Damaged(words(&e));
        // Each record is read at its own offset, so reading far ahead is useless.
        let mut file =
            BufReader::with_capacity(512, plain_file::open(&self.path).map_err(damaged)?);
        for &(id, offset) in &self.index {
            file.seek(SeekFrom::Start(offset)).map_err(damaged)?;
            let mut records = Records::at(&mut file, offset);
            let record = records.record().map_err(damaged)?;
            if file_digest(&record.domain, &record.file.relative_path) != id {
                return Err(Error::Damaged("it changed while it was read".to_owned()));
            }
            if !each(record) {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the first offset from `at` at which a record begins, judging by its domain, its path and
/// its mode.
fn next_record(file: &mut BufReader<File>, mut at: u64) -> io::Result<Option<u64>> {
    /// Bytes searched at a time.
    const WINDOW: u64 = 64 << 10;
    /// Longest domain that the search finds, including the two bytes of its length.
    const DOMAIN_BYTES_MAX: usize = 2 + 255;
    let mut window = Vec::new();
    loop {
        window.clear();
        file.seek(SeekFrom::Start(at))?;
        file.by_ref().take(WINDOW).read_to_end(&mut window)?;
        let is_last = (window.len() as u64) < WINDOW;
        let places = if is_last {
            window.len()
        } else {
            window.len() - DOMAIN_BYTES_MAX
        };
        for place in 0..places {
            if !is_domain(&window[place..]) {
                continue;
            }
            let offset = at + place as u64;
            file.seek(SeekFrom::Start(offset))?;
            let mut records = Records::at(&mut *file, offset);
            let read = records.record();
            let is_record = match read {
                Ok(record) => record.kind() != Kind::Other,
                Err(_) => records.bad_name.is_some(),
            };
            if is_record {
                return Ok(Some(offset));
            }
        }
        if is_last {
            return Ok(None);
        }
        at += places as u64;
    }
}

/// Returns true if a record can begin at an offset, or the list ends there.
fn begins_record(file: &mut BufReader<File>, at: u64, length: u64) -> io::Result<bool> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.by_ref().take(2 + 255).read_to_end(&mut head)?;
    Ok(at >= length || is_domain(&head))
}

/// Returns true if `bytes` begin with a string that can be the name of a domain; all such names
/// contain "Domain".
fn is_domain(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    let name = rest.get(..length).filter(|_| (6..256).contains(&length));
    name.is_some_and(|name| {
        name.iter().all(u8::is_ascii_graphic) && name.windows(6).any(|part| part == b"Domain")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    /// Builds a record with these names, mode and size; the other fields have distinct values.
    fn record(domain: &str, path: &str, mode: u16, size: u64) -> Vec<u8> {
        let none = NONE.to_be_bytes();
        let mut bytes = [string(domain.as_bytes()), string(path.as_bytes())].concat();
        bytes.extend(none);
        bytes.extend(string(&[7; 20]));
        bytes.extend(none);
        bytes.extend(mode.to_be_bytes());
        bytes.extend(77u64.to_be_bytes());
        for number in [-2, 501, 1_400_000_000, 1_400_000_001, 1_400_000_002] {
            bytes.extend(i32::to_be_bytes(number));
        }
        bytes.extend(size.to_be_bytes());
        bytes.extend([4, 1]);
        bytes.extend([string(b"com.example.note"), string(&[0xff, 0])].concat());
        bytes
    }

    fn list(records: &[Vec<u8>]) -> Vec<u8> {
        [MAGIC.to_vec(), records.concat()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>, Error> {
        let mut records = Records::open(bytes)?;
        std::iter::from_fn(|| records.read().transpose()).collect()
    }

    fn folder(bytes: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Manifest.mbdb"), bytes).unwrap();
        folder
    }

    #[test]
    fn mbdb_record_fields_are_parsed() {
        let records = read(&list(&[record("HomeDomain", "Library/ä", 0o100_644, 9)])).unwrap();
        let wanted = Record {
            domain: "HomeDomain".into(),
            file: FileRecord {
                relative_path: "Library/ä".into(),
                size: 9,
                lacks_size: false,
                mode: 0o100_644,
                last_modified: 1_400_000_000,
                last_status_change: 1_400_000_001,
                birth: 1_400_000_002,
                inode: 77,
                user_id: -2,
                group_id: 501,
                protection_class: 4,
                digest: Some(vec![7; 20]),
                target: None,
                encryption_key: None,
            },
            attributes: vec![(b"com.example.note".to_vec(), vec![0xff, 0])],
        };
        assert_eq!(records, [wanted]);
    }

    #[test]
    fn record_kind_follows_file_mode() {
        for (mode, kind) in [
            (0o100_755, Kind::File),
            (0o040_755, Kind::Directory),
            (0o120_755, Kind::Link),
            (0o010_644, Kind::Other),
        ] {
            let records = read(&list(&[record("D", "p", mode, 0)])).unwrap();
            assert_eq!(records[0].kind(), kind, "{mode:o}");
        }
    }

    #[test]
    fn list_truncated_inside_record_is_damaged() {
        let first = list(&[record("HomeDomain", "a", 0o100_644, 9)]);
        let whole = list(&[
            record("HomeDomain", "a", 0o100_644, 9),
            record("HomeDomain", "b", 0o100_644, 9),
        ]);
        for cut in 0..whole.len() {
            let is_between = cut == MAGIC.len() || cut == first.len();
            assert_eq!(read(&whole[..cut]).is_ok(), is_between, "cut at {cut}");
        }
        assert_eq!(read(&whole).unwrap().len(), 2);
        let cut = read(&whole[..whole.len() - 1]).unwrap_err().to_string();
        assert!(cut.contains("record 1, at byte"), "{cut}");
    }

    #[test]
    fn invalid_record_names_are_damage() {
        let long = "x".repeat(usize::from(NAME_BYTES_MAX) + 1);
        let mut no_text = list(&[record("HomeDomain", "a", 0o100_644, 9)]);
        no_text[8] = 0xff;
        for bytes in [
            list(&[record("", "a", 0o100_644, 0)]),
            list(&[record("D", &long, 0o100_644, 0)]),
            no_text,
            b"mbdb\x06\x00".to_vec(),
            vec![0; 4096],
        ] {
            assert!(matches!(read(&bytes), Err(Error::Damaged(_))));
        }
        let longest = &long[1..];
        assert!(read(&list(&[record("D", longest, 0o100_644, 0)])).is_ok());
    }

    #[test]
    fn mbdb_records_are_sorted_by_id() {
        let names: Vec<String> = (0..50).map(|n| format!("Library/{n}")).collect();
        let records: Vec<_> = (0..)
            .zip(&names)
            .map(|(size, name)| record("HomeDomain", name, 0o100_644, size))
            .collect();
        let folder = folder(&list(&records));
        let opened = Mbdb::open(folder.path()).unwrap();
        let mut ids = Vec::new();
        let each = |record: Record| {
            assert_eq!(
                record.file.relative_path,
                format!("Library/{}", record.file.size)
            );
            ids.push(record.file_id());
            true
        };
        opened.rows(each).unwrap();
        assert!(ids.len() == 50 && ids.is_sorted());
        let mut some = 0;
        let until_two = |_| {
            some += 1;
            some < 2
        };
        opened.rows(until_two).unwrap();
        assert_eq!(some, 2);
    }

    #[test]
    fn salvage_keeps_records_around_damage() {
        let names: Vec<String> = (0..40).map(|n| format!("Library/{n}")).collect();
        let records: Vec<_> = (names.iter())
            .map(|name| record("HomeDomain", name, 0o100_644, 1))
            .collect();
        let whole = list(&records);
        let start = MAGIC.len() + records[..10].concat().len();
        // One byte of record 10 is damaged: in the lengths of its strings, in its names, or in its
        // numbers.
        for (at, is_lost) in [
            (0, true),
            (1, true),
            (3, false),
            (12, true),
            (15, true),
            (23, true),
        ] {
            for flip in [0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[start + at] ^= flip;
                let folder = folder(&bytes);
                let Ok(saved) = Mbdb::open(folder.path()).or_else(|_| Mbdb::salvage(folder.path()))
                else {
                    panic!("byte {at}: nothing was saved");
                };
                let mut found = 0;
                let each = |record: Record| {
                    found += usize::from(names.contains(&record.file.relative_path));
                    true
                };
                saved.rows(each).unwrap();
                // Only the damaged record, and at most the one that is merged with it, may be lost.
                assert!(found >= 38, "byte {at} ^ {flip:#x}: {found}");
                assert!(
                    !is_lost || !saved.unread().is_empty() || found >= 39,
                    "byte {at}"
                );
            }
        }
        let folder = folder(&[0; 4096]);
        assert!(Mbdb::salvage(folder.path()).is_err());
    }

    #[test]
    fn duplicate_or_changed_list_is_damaged() {
        let one = record("HomeDomain", "a", 0o100_644, 9);
        let twice = folder(&list(&[one.clone(), one.clone()]));
        assert!(matches!(
            Mbdb::open(twice.path()),
            Err(Error::Damaged(why)) if why.contains("twice")
        ));
        let changed = folder(&list(&[one]));
        let opened = Mbdb::open(changed.path()).unwrap();
        let other = list(&[record("HomeDomain", "b", 0o100_644, 9)]);
        std::fs::write(changed.path().join("Manifest.mbdb"), other).unwrap();
        assert!(opened.rows(|_| true).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Mbdb::open(empty.path()).err(), Some(Error::Absent));
    }
}
