//! Compares what a phone received with the backup. A rehearsal of a restore proves something only
//! if every byte arrived.
//!
//! Both lists are sorted by file id, so neither has to be held in memory.

use std::io::Read;
use std::iter::Peekable;
use std::path::Path;

use globset::GlobSet;
use serde::Serialize;

use crate::backup_format::manifest_db::{Filter, Kind};
use crate::base::cancel::CancelToken;
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::sha256::Sha256;
use crate::reader::backup::{Backup, Item, Reader};
use crate::reader::passwords::Passwords;
use crate::restore::Error;
use crate::store::sums::hex;

/// Maximum number of differences that are described; all are counted.
const NAMED_MAX: usize = 100;
const BUFFER: usize = 128 << 10;

/// An item that a phone received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The file id, 40 hex digits.
    pub file_id: String,
    /// The domain, for example `HomeDomain`.
    pub domain: String,
    /// Path in the domain.
    pub relative_path: String,
    /// The item's type and content.
    pub what: What,
    /// The type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Last modification, in seconds since 1970.
    pub modified: i64,
}

/// The type and content of an item that a phone received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A file, decrypted if need be.
    File {
        /// Number of bytes.
        size: u64,
        /// SHA-256 of the bytes, in hex.
        sha256: String,
    },
    /// A folder, which has no content of its own.
    Folder,
    /// A symbolic link, with its target.
    Link(String),
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Comparison {
    /// Number of files that arrived unchanged.
    pub files: u64,
    /// Total bytes of these files.
    pub bytes: u64,
    /// Number of folders and links that arrived unchanged.
    pub others: u64,
    /// Number of items in the backup that the phone did not receive.
    pub missing: u64,
    /// Number of items that the phone received and the backup's list does not name.
    pub extra: u64,
    /// Number of items that arrived, but not as they are in the backup.
    pub different: u64,
    /// Descriptions of the first differences.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Returns true if nothing is missing, extra or different.
    pub fn is_same(&self) -> bool {
        self.missing + self.extra + self.different == 0
    }

    fn note(&mut self, what: String) {
        if self.differences.len() < NAMED_MAX {
            self.differences.push(what);
        }
    }
}

/// Options for a comparison.
pub struct How<'a> {
    /// Source of the password of an encrypted backup.
    pub passwords: &'a dyn Passwords,
    /// The domains that the phone was to receive; `None` for all of them.
    pub domains: Option<&'a GlobSet>,
    /// The cancellation token.
    pub token: &'a CancelToken,
}

/// Compares the received items, which must be sorted by file id, with the backup in `folder`.
pub fn compare(
    folder: &Path,
    how: &How<'_>,
    received: impl IntoIterator<Item = Received>,
    monitor: &dyn Monitor,
) -> Result<Comparison, Error> {
    monitor.phase(Phase::Comparing);
    let opened = Backup::open(folder, how.passwords)?;
    let mut merge = Merge {
        reader: opened.reader(),
        received: received.into_iter().peekable(),
        found: Comparison::default(),
        buffer: vec![0; BUFFER],
        token: how.token,
    };
    let by_id = Filter {
        by_id: true,
        ..Filter::default()
    };
    opened.each(&by_id, |item| {
        if how.token.cancelled() {
            return false;
        }
        let is_wanted = (how.domains).is_none_or(|domains| domains.is_match(&item.domain));
        // The meaning of the other kinds is not documented, and no phone is known to restore them.
        if is_wanted && item.kind != Kind::Other {
            merge.item(&item);
            merge.tell(monitor);
        }
        true
    })?;
    if how.token.cancelled() {
        return Err(Error::Interrupted);
    }
    Ok(merge.end())
}

/// The received items, read in step with the backup's list of the same order.
struct Merge<'a, I: Iterator<Item = Received>> {
    reader: Reader<'a>,
    received: Peekable<I>,
    found: Comparison,
    buffer: Vec<u8>,
    token: &'a CancelToken,
}

impl<I: Iterator<Item = Received>> Merge<'_, I> {
    /// Finds the received item that belongs to an item of the backup, and compares the two.
    fn item(&mut self, item: &Item) {
        while let Some(extra) = (self.received).next_if(|next| next.file_id < item.file_id) {
            self.extra(&extra);
        }
        match (self.received).next_if(|next| next.file_id == item.file_id) {
            Some(got) => self.pair(item, &got),
            None => {
                self.found.missing += 1;
                self.found.note(format!("not received: {}", item.name()));
            }
        }
    }

    /// Compares an item of the backup with the received one of the same file id.
    fn pair(&mut self, item: &Item, got: &Received) {
        if let Some(why) = differs(&self.reader, item, got, self.token, &mut self.buffer) {
            self.found.different += 1;
            self.found.note(format!("{}: {why}", item.name()));
        } else if let What::File { size, .. } = got.what {
            self.found.files += 1;
            self.found.bytes += size;
        } else {
            self.found.others += 1;
        }
    }

    /// Counts a received item that no list names.
    fn extra(&mut self, one: &Received) {
        self.found.extra += 1;
        let Received {
            domain,
            relative_path,
            ..
        } = one;
        self.found
            .note(format!("not in the list: {domain}/{relative_path}"));
    }

    /// Reports the progress after every thousandth item.
    fn tell(&self, monitor: &dyn Monitor) {
        let found = &self.found;
        if (found.files + found.others).is_multiple_of(1000) {
            monitor.event(Event::Progress {
                percent: None,
                bytes: found.bytes,
                files: found.files,
                files_total: None,
                bytes_total: None,
            });
        }
    }

    /// Counts the rest of the received items and returns the result.
    fn end(mut self) -> Comparison {
        while let Some(extra) = self.received.next() {
            self.extra(&extra);
        }
        self.found
    }
}

/// Describes how an item in the backup and the received one differ; `None` if they are equal.
fn differs(
    reader: &Reader<'_>,
    item: &Item,
    got: &Received,
    token: &CancelToken,
    buffer: &mut [u8],
) -> Option<String> {
    if (&got.domain, &got.relative_path) != (&item.domain, &item.relative_path) {
        return Some(format!("received as {}/{}", got.domain, got.relative_path));
    }
    let record = match item.record() {
        Ok(record) => Some(record),
        // Other programs write no records for folders.
        Err(_) if item.kind == Kind::Directory => None,
        Err(why) => return Some(format!("its record cannot be read: {why}")),
    };
    let noted = record
        .as_ref()
        .map(|record| (record.mode, record.last_modified));
    if noted.is_some_and(|noted| noted != (got.mode, got.modified)) {
        return Some("received with a different mode or date".to_owned());
    }
    match (item.kind, &got.what) {
        (Kind::Directory, What::Folder) => None,
        (Kind::Link, What::Link(target)) => {
            let wanted = record.and_then(|record| record.target).unwrap_or_default();
            (wanted != *target).then(|| format!("links to {target:?} instead of {wanted:?}"))
        }
        (Kind::File, What::File { size, sha256 }) => {
            let (hash, length) = match hash_of(reader, item, token, buffer) {
                Ok(hashed) => hashed,
                Err(why) => return Some(why),
            };
            if length != *size {
                return Some(format!("received with {size} bytes instead of {length}"));
            }
            (hash != *sha256).then(|| "received with different bytes".to_owned())
        }
        _ => Some("received as a different kind of file".to_owned()),
    }
}

/// Reads a file of the backup, and returns its SHA-256 and its length. The error is in words.
fn hash_of(
    reader: &Reader<'_>,
    item: &Item,
    token: &CancelToken,
    buffer: &mut [u8],
) -> Result<(String, u64), String> {
    let mut bytes = reader.bytes(item).map_err(|e| e.to_string())?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    while !token.cancelled() {
        match bytes.read(buffer) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok((hex(&hash.finalize()), length))
}
