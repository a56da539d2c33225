//! The record of a sealed backup: `snapshot.json`, and a second copy of it, in the folder beside
//! the backup.
//!
//! The record contains the id of the backup, its place in the order of the phone's backups (a
//! sequence number), and the hashes of the files that the store keeps about it. Its last field is a
//! checksum of all bytes before that field's line, so that a reader can detect damage from the
//! record alone.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk;
use super::error::Error;
use super::sums::{Hash, hex};
use super::tally::Tally;
use crate::base::plain_file;
use crate::store::hash_sources::Listing;
use crate::store::sums;

pub use super::prints::{ListPrint, Print};

/// The name of the record.
pub(crate) const RECORD: &str = "snapshot.json";
/// The name of the record's second copy, which is used if the first is damaged.
pub(crate) const RECORD_COPY: &str = "snapshot.copy.json";
/// The version of the record format that this program reads and writes.
const VERSION: u32 = 1;
/// The most bytes that are read of a record. Records have about 2 KB.
const BYTES_MAX: u64 = 1 << 20;

/// Identifies a backup.
///
/// A backup of ours has the random id of its record. Any other backup has the SHA-256 of its
/// Status.plist, which the phone rewrites for each backup, or else the name of its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// Makes a new random id.
    pub(super) fn random() -> Id {
        Id(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Returns the id of a backup that has no record, by the SHA-256 of its Status.plist.
    pub(super) fn of_status(hash: &Hash) -> Id {
        Id(hex(hash))
    }

    /// Returns the id of a backup that has neither a record nor a Status.plist.
    pub(super) fn of_folder(name: &str) -> Id {
        Id(format!("folder {name}"))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The phone from which a backup was made, as it was at that time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phone {
    /// The UDID of the phone.
    pub udid: String,
    /// The name that its owner gave it.
    pub name: Option<String>,
    /// The kind of device, such as "iPhone16,1".
    pub product_type: Option<String>,
    /// The version of iOS.
    pub ios: Option<String>,
}

/// The part of report.json that the record repeats.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    made_by: Option<String>,
    started: Option<String>,
    finished: Option<String>,
    phone: Phone,
    files: u64,
    bytes: u64,
}

impl Summary {
    /// Parses a report. If the report is not a JSON object, the summary is empty.
    pub(crate) fn of(report: &[u8]) -> Summary {
        serde_json::from_slice(report).unwrap_or_default()
    }
}

/// The record of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record format.
    pub version: u32,
    /// The random id of this backup.
    pub id: Id,
    /// The position among this phone's backups in this store. A later backup has a higher number.
    /// Several adopted backups can share the number of the backup before them; their dates order
    /// them.
    pub sequence: u64,
    /// The program and version that made the backup.
    pub made_by: Option<String>,
    /// RFC 3339, UTC: when the run began.
    pub started: Option<String>,
    /// RFC 3339, UTC: when the run ended.
    pub finished: Option<String>,
    /// The time at which the backup was put in its place in this store, UTC.
    #[serde(with = "utc")]
    pub sealed: Timestamp,
    /// The time at which the phone made the backup, UTC, from its Status.plist. If that has no
    /// date, the time of sealing.
    #[serde(with = "utc")]
    pub date: Timestamp,
    /// The phone from which the backup was made.
    pub phone: Phone,
    /// The number of files.
    pub files: u64,
    /// The bytes of all files together.
    pub bytes: u64,
    /// The number of files by the source of their hash.
    pub hashes: Tally,
    /// The print of SHA256SUMS.
    pub list: ListPrint,
    /// The print of the list of sources.
    pub sources: ListPrint,
    /// The prints of the metadata files that the backup has.
    pub metadata: BTreeMap<String, Print>,
    /// The print of report.json.
    pub report: Print,
}

/// The facts known at the time of sealing beside the report: the arguments of [`Record::new`].
pub(super) struct Sealing<'a> {
    pub udid: &'a str,
    pub sequence: u64,
    pub sealed: Timestamp,
    pub date: Timestamp,
    pub report: &'a [u8],
    pub hashes: Tally,
    pub listing: Listing,
}

impl Record {
    /// Makes the record of a backup that is about to be sealed.
    pub(super) fn new(of: Sealing) -> Record {
        let summary = Summary::of(of.report);
        let report = sums::hash(of.report).map(|(hash, bytes)| Print::new(&hash, bytes));
        Record {
            version: VERSION,
            id: Id::random(),
            sequence: of.sequence,
            made_by: summary.made_by,
            started: summary.started,
            finished: summary.finished,
            sealed: of.sealed,
            date: of.date,
            phone: Phone {
                udid: of.udid.to_owned(),
                ..summary.phone
            },
            files: summary.files,
            bytes: summary.bytes,
            hashes: of.hashes,
            list: of.listing.sums,
            sources: of.listing.sources,
            metadata: of.listing.metadata,
            // Reading from memory cannot fail.
            report: report.unwrap_or_else(|_| Print::new(&[0; 32], 0)),
        }
    }

    /// Writes the record and its second copy durably into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD);
        let text = self
            .to_text()
            .map_err(|e| Error::io("write", &path, io::Error::other(e)))?;
        disk::write_whole(&path, text.as_bytes())?;
        disk::write_whole(&folder.join(RECORD_COPY), text.as_bytes())
    }

    fn to_text(&self) -> Result<String, serde_json::Error> {
        let whole = serde_json::to_string_pretty(self)?;
        let body = format!("{},\n", whole.strip_suffix("\n}").unwrap_or(&whole));
        let tail = tail(body.as_bytes());
        Ok(format!("{body}{tail}"))
    }

    /// Reads a record and verifies its checksum.
    fn read(path: &Path) -> Result<Record, Flaw> {
        let mut text = Vec::new();
        let read =
            plain_file::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
        match read {
            Ok(_) => Record::parse(&text),
            Err(e) => Err(Flaw::from(e)),
        }
    }

    fn parse(text: &[u8]) -> Result<Record, Flaw> {
        let damaged = |why: &str| Flaw::Damaged(why.to_owned());
        let body = text
            .len()
            .checked_sub(TAIL_BYTES)
            .ok_or_else(|| damaged("it is too short"))?;
        let (body, found) = text.split_at(body);
        if found != tail(body).as_bytes() {
            return Err(damaged("its checksum is of other bytes"));
        }
        let version = |value: &serde_json::Value| value.get("version")?.as_u64();
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|e| damaged(&e.to_string()))?;
        match version(&value) {
            Some(v) if v == u64::from(VERSION) => {}
            Some(v) => {
                return Err(Flaw::Damaged(format!(
                    "its version is {v}, and this program knows {VERSION}"
                )));
            }
            None => return Err(damaged("it names no version")),
        }
        serde_json::from_value(value).map_err(|e| damaged(&e.to_string()))
    }
}

/// Serializes timestamps as RFC 3339 in UTC.
mod utc {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(moment: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(moment)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The length of the text that [`tail`] returns, in bytes.
const TAIL_BYTES: usize = 83;

/// Returns the end of a record whose other bytes are `body`.
fn tail(body: &[u8]) -> String {
    let mut hash = crate::base::sha256::Sha256::new();
    hash.update(body);
    format!("  \"checksum\": \"{}\"\n}}\n", hex(&hash.finalize()))
}

/// The reason why a file of our own cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The file does not exist.
    Missing,
    /// This user may not read it.
    Refused(String),
    /// The file is damaged, for this reason.
    Damaged(String),
}

impl From<io::Error> for Flaw {
    fn from(e: io::Error) -> Flaw {
        match e.kind() {
            io::ErrorKind::NotFound => Flaw::Missing,
            io::ErrorKind::PermissionDenied => Flaw::Refused(e.to_string()),
            _ => Flaw::Damaged(e.to_string()),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Missing => f.write_str("it is missing"),
            Flaw::Refused(why) | Flaw::Damaged(why) => f.write_str(why),
        }
    }
}

/// The record of a folder, if it can be read, and the flaws of its two copies.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub record: Option<Record>,
    pub flaws: Vec<(&'static str, Flaw)>,
}

impl Found {
    /// Reads both copies of the record. The first one with a valid checksum is used.
    pub(crate) fn in_folder(folder: &Path) -> Found {
        let (mut record, mut flaws) = (None, Vec::new());
        for name in [RECORD, RECORD_COPY] {
            match Record::read(&folder.join(name)) {
                Err(flaw) => flaws.push((name, flaw)),
                Ok(read) => match &record {
                    Some(first) if *first != read => {
                        flaws.push((name, Flaw::Damaged(format!("it differs from {RECORD}"))));
                    }
                    _ => record = Some(read),
                },
            }
        }
        Found { record, flaws }
    }

    /// Returns true if the record is unreadable because this user may not read a copy.
    pub(super) fn is_refused(&self) -> bool {
        let refused = |(_, flaw): &(_, Flaw)| matches!(flaw, Flaw::Refused(_));
        self.record.is_none() && self.flaws.iter().any(refused)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the record of an empty backup.
    pub(crate) fn record(sequence: u64, date: &str) -> Record {
        let list = ListPrint {
            sha256: hex(&[1; 32]),
            bytes: 0,
            lines: 0,
        };
        let report = br#"{"phone": {"name": "A", "ios": "26.0"}, "files": 3, "started": "2026-11-20T21:00:00Z"}"#;
        Record::new(Sealing {
            udid: "00008030-001C195E0A88802E",
            sequence,
            sealed: date.parse().unwrap(),
            date: date.parse().unwrap(),
            report,
            hashes: Tally::default(),
            listing: Listing {
                sums: list.clone(),
                sources: list,
                metadata: BTreeMap::from([("Info.plist".to_owned(), Print::new(&[2; 32], 7))]),
            },
        })
    }

    #[test]
    fn record_is_read_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(7, "2026-11-20T21:14:01Z");
        record.write(dir.path()).unwrap();
        let found = Found::in_folder(dir.path());
        assert_eq!(found.record.as_ref(), Some(&record));
        assert_eq!(found.flaws, []);
        assert_eq!((record.files, record.phone.name.as_deref()), (3, Some("A")));
        assert_eq!(record.id.as_str().len(), 32);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let text = record(7, "2026-11-20T21:14:01Z").to_text().unwrap();
        let whole = Record::parse(text.as_bytes()).unwrap();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(Record::parse(&bytes).is_err(), "byte {at}, bit {bit}");
            }
        }
        for length in [0, 10, TAIL_BYTES, text.len() - 1] {
            assert!(
                Record::parse(&text.as_bytes()[..length]).is_err(),
                "{length}"
            );
        }
        assert_eq!(whole.sequence, 7);
    }

    #[test]
    fn one_damaged_copy_is_named() {
        for (damaged, kept) in [(RECORD, RECORD_COPY), (RECORD_COPY, RECORD)] {
            let dir = tempfile::tempdir().unwrap();
            let record = record(7, "2026-11-20T21:14:01Z");
            record.write(dir.path()).unwrap();
            let mut bytes = std::fs::read(dir.path().join(damaged)).unwrap();
            bytes[100] ^= 1;
            std::fs::write(dir.path().join(damaged), bytes).unwrap();
            let found = Found::in_folder(dir.path());
            assert_eq!(found.record.as_ref(), Some(&record), "{kept}");
            assert_eq!(found.flaws.len(), 1);
            assert_eq!(found.flaws[0].0, damaged);
            std::fs::remove_file(dir.path().join(kept)).unwrap();
            let found = Found::in_folder(dir.path());
            assert!(found.record.is_none() && found.flaws.len() == 2);
        }
    }

    #[test]
    fn newer_record_version_is_refused() {
        let mut later = record(7, "2026-11-20T21:14:01Z");
        later.version = 2;
        let text = later.to_text().unwrap();
        let why = Record::parse(text.as_bytes()).unwrap_err();
        assert!(why.to_string().contains("version is 2"), "{why}");
    }
}
