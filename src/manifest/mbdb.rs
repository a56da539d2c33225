//! Manifest.mbdb: the list of all files of iOS 5 to 9, which had no Manifest.db yet. Read record by record, never written.
//!
//! ```text
//! file    "mbdb" 05 00, then records until the end
//! record  domain, path, link target, digest, encryption key              strings
//!         mode u16, inode u64, user u32, group u32, modified i32,
//!         status changed i32, born i32, size u64, protection class u8,
//!         attributes u8                                                  40 bytes
//!         name, value                                                    strings, for each of the attributes
//! string  length u16, that many bytes; the length ffff stands for "none"
//! ```
//! All numbers are big-endian, times are seconds since 1970. The layout is known from iphonebackupbrowser's wiki
//! (MbdbMbdxFormat), fmartingr.com (2013-11-29) and iphone-dataprotection; they do not agree on the second time (accessed, or
//! status changed), so it is called what it is in the `MBFile` of later lists. Files lie flat in the folder of the backup,
//! without the `xx/` of later ones, and their names stand in no record: [`file_id`] gives them.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::db::{Error, Kind};
use super::record::{FileRecord, MODE_DIR, MODE_FILE, MODE_LINK, file_digest, file_id};
use crate::plain_file;

const MAGIC: &[u8; 6] = b"mbdb\x05\x00";
/// The length that stands for "none".
const NONE: u16 = 0xffff;
/// Longest name. iOS allows a path 1024 bytes.
const NAME_BYTES_MAX: u16 = 4096;
/// Longest of the other strings: the form holds no longer ones.
const BYTES_MAX: u16 = NONE - 1;
/// Records of a list, since a few bytes of each are held.
const RECORDS_MAX: usize = 4 << 20;
/// The bits of a mode that tell what it is.
const MODE_TYPE: u32 = 0o170_000;

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// What the phone noted of it.
    pub file: FileRecord,
    /// Extended attributes: names and values.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Record {
    /// The name under which the backup keeps it.
    pub fn file_id(&self) -> String {
        file_id(&self.domain, &self.file.relative_path)
    }

    /// What it stands for.
    pub fn kind(&self) -> Kind {
        match self.file.mode & MODE_TYPE {
            MODE_FILE => Kind::File,
            MODE_DIR => Kind::Directory,
            MODE_LINK => Kind::Link,
            _ => Kind::Other,
        }
    }
}

/// The records of a list as they come, one in memory at a time.
pub struct Records<R> {
    from: R,
    /// Bytes that were read.
    offset: u64,
    /// Records that were read.
    count: u64,
}

impl<R: BufRead> Records<R> {
    /// Reads the first bytes, which tell that it is such a list.
    pub fn open(from: R) -> Result<Records<R>, Error> {
        let mut records = Records {
            from,
            offset: 0,
            count: 0,
        };
        match records.bytes() {
            Ok(magic) if &magic == MAGIC => Ok(records),
            Ok(_) => Err(Error::Damaged("it is no list of files".to_owned())),
            Err(e) => Err(Error::Damaged(words(&e))),
        }
    }

    /// The next record; `None` where the list ends.
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
        let domain = self.text()?.filter(|domain| !domain.is_empty());
        let domain = domain.ok_or_else(|| invalid("it has no domain"))?;
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
            // As a number with a sign, since "nobody" is -2.
            user_id: i32::from_be_bytes(self.bytes()?).into(),
            group_id: i32::from_be_bytes(self.bytes()?).into(),
            last_modified: i32::from_be_bytes(self.bytes()?).into(),
            last_status_change: i32::from_be_bytes(self.bytes()?).into(),
            birth: i32::from_be_bytes(self.bytes()?).into(),
            size: u64::from_be_bytes(self.bytes()?),
            protection_class: u8::from_be_bytes(self.bytes()?),
        };
        let count = u8::from_be_bytes(self.bytes()?);
        let attributes = (0..count).map(|_| {
            let name = self.string(BYTES_MAX)?.unwrap_or_default();
            let value = self.string(BYTES_MAX)?.unwrap_or_default();
            Ok((name, value))
        });
        Ok(Record {
            attributes: attributes.collect::<io::Result<_>>()?,
            domain,
            file,
        })
    }

    fn text(&mut self) -> io::Result<Option<String>> {
        let bytes = self.string(NAME_BYTES_MAX)?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| invalid("a name is no text"))
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
        io::ErrorKind::UnexpectedEof => "it is cut".to_owned(),
        _ => e.to_string(),
    }
}

/// An open list that was read to its end once, so that it is known to be whole.
///
/// A list has the order of its domains and paths, a check needs that of file ids: 28 bytes of each record are held.
pub struct Mbdb {
    path: PathBuf,
    /// File ids, and where their records begin; in the order of file ids.
    index: Vec<([u8; 20], u64)>,
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
                return Err(Error::Damaged("it is absurdly long".to_owned()));
            }
            let id = file_digest(&record.domain, &record.file.relative_path);
            index.push((id, offset));
            offset = records.offset;
        }
        index.sort_unstable();
        if index.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Damaged("it names a file twice".to_owned()));
        }
        Ok(Mbdb { path, index })
    }

    /// Calls `each` for every record, in the order of file ids, until it answers false.
    pub fn rows(&self, mut each: impl FnMut(Record) -> bool) -> Result<(), Error> {
        let damaged = |e: io::Error| Error::Damaged(words(&e));
        // Each record is read for itself: few bytes ahead are of use.
        let mut file =
            BufReader::with_capacity(512, plain_file::open(&self.path).map_err(damaged)?);
        for &(id, offset) in &self.index {
            file.seek(SeekFrom::Start(offset)).map_err(damaged)?;
            let mut records = Records {
                from: &mut file,
                offset,
                count: 0,
            };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    /// A record by hand: names, mode and size; the rest tells the fields apart.
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
    fn every_field_is_read() {
        let records = read(&list(&[record("HomeDomain", "Library/ä", 0o100_644, 9)])).unwrap();
        let wanted = Record {
            domain: "HomeDomain".into(),
            file: FileRecord {
                relative_path: "Library/ä".into(),
                size: 9,
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
    fn a_record_is_what_its_mode_says() {
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
    fn a_list_cut_anywhere_but_between_records_is_damaged() {
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
    fn names_that_no_phone_writes_are_damage() {
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
    fn records_come_in_the_order_of_their_ids() {
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
    fn a_list_that_names_a_file_twice_or_changes_is_damaged() {
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
