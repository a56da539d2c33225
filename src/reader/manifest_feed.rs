//! Reads and decodes the phone's list of files for a check, on a separate thread beside the check.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::backup_format::categories::Amounts;
use crate::backup_format::leads_out;
use crate::backup_format::manifest_db::{self, Db, Filter, Kind, Row};
use crate::backup_format::manifest_mbdb::Mbdb;
use crate::backup_format::record::BadRecord;

/// Number of files in a batch that is handed over.
const HANDFUL: usize = 256;
/// Number of batches that wait at most.
const WAITING: usize = 4;

/// An open list.
pub(crate) enum List {
    /// Manifest.db, used since iOS 10.
    Db(Db),
    /// Manifest.mbdb, used before iOS 10.
    Mbdb(Mbdb),
}

impl List {
    /// Reads the key and the digest of one file; `None` if the list does not name the file, or if
    /// its record cannot be read.
    pub(crate) fn sealed_of(&self, file_id: &str) -> Option<Sealed> {
        // Rows of the older list always come with key and digest.
        let List::Db(db) = self else { return None };
        let filter = Filter {
            file_id: Some(file_id),
            ..Filter::default()
        };
        let mut found = None;
        let read = db.select(&filter, |row| {
            found = row.record().ok();
            false
        });
        let record = found.filter(|_| read.is_ok())?;
        Some(Sealed {
            key: record.encryption_key,
            digest: record.digest,
        })
    }

    /// Returns the name of the list's file in the backup's folder.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            List::Db(_) => "Manifest.db",
            List::Mbdb(_) => "Manifest.mbdb",
        }
    }
}

/// A file of the phone's list.
pub(crate) struct Listed<'a> {
    /// File id: 40 hex digits, unless the list is damaged or forged.
    pub file_id: &'a str,
    /// Domain of the file on the phone.
    pub domain: &'a str,
    /// Path of the file in the domain.
    pub relative_path: &'a str,
    /// Size in bytes, or the reason that the record cannot be read.
    pub size: Result<u64, BadRecord>,
    /// True if the file is longer on the disk, because it is encrypted in whole blocks. `None` if
    /// only the whole record would tell.
    pub is_padded: Option<bool>,
    /// The id is the one that results from domain and path.
    pub is_named_right: bool,
    /// Key and digest, if they were asked for.
    pub sealed: Option<&'a Sealed>,
}

/// Key of a file, and digest of its bytes.
#[derive(Debug, Clone, Default)]
pub struct Sealed {
    /// Wrapped key, in an encrypted backup.
    pub key: Option<Vec<u8>>,
    /// SHA-1 of the bytes. Phones note it in system domains only.
    pub digest: Option<Vec<u8>>,
}

/// A batch of files that keeps all their texts in one string. Separate strings would be freed on
/// the other thread, and two threads that share an allocator wait for each other.
#[derive(Default)]
pub(crate) struct Handful {
    text: String,
    files: Vec<Entry>,
}

struct Entry {
    file_id: Range<usize>,
    domain: Range<usize>,
    relative_path: Range<usize>,
    size: Result<u64, BadRecord>,
    is_padded: Option<bool>,
    is_named_right: bool,
    sealed: Option<Box<Sealed>>,
}

impl Handful {
    fn add(&mut self, row: Listed) {
        let mut put = |part: &str| {
            let start = self.text.len();
            self.text.push_str(part);
            start..self.text.len()
        };
        self.files.push(Entry {
            file_id: put(row.file_id),
            domain: put(row.domain),
            relative_path: put(row.relative_path),
            size: row.size,
            is_padded: row.is_padded,
            is_named_right: row.is_named_right,
            sealed: row.sealed.cloned().map(Box::new),
        });
    }

    /// Returns the files of the batch.
    pub(crate) fn files(&self) -> impl Iterator<Item = Listed<'_>> {
        self.files.iter().map(|entry| Listed {
            file_id: &self.text[entry.file_id.clone()],
            domain: &self.text[entry.domain.clone()],
            relative_path: &self.text[entry.relative_path.clone()],
            size: entry.size.clone(),
            is_padded: entry.is_padded,
            is_named_right: entry.is_named_right,
            sealed: entry.sealed.as_deref(),
        })
    }
}

/// Receiving end of the batches. The files come in the order of their ids.
pub(crate) type Handfuls = Receiver<Handful>;

/// Facts about a list, known when it was read.
#[derive(Default)]
pub(crate) struct Summary {
    /// Number and size of the files, by kind.
    pub amounts: Amounts,
    /// Number of names of files, folders and links that lead out of where they belong.
    pub leading_out: u64,
    /// Domain and path of the first such name.
    pub first_leading_out: Option<(String, String)>,
    /// Applications that have data in the backup, up to a limit.
    pub apps: BTreeSet<String>,
    /// Rows that are neither files, folders nor links.
    pub strange: Strange,
    /// Rows of folders and links whose record cannot be read.
    pub unreadable: Strange,
    /// Rows of folders and links whose id is not the one that results from domain and path.
    pub misnamed: Strange,
}

/// Rows that have something in common: their number, and the name of the first.
#[derive(Default)]
pub(crate) struct Strange {
    /// Number of rows.
    pub count: u64,
    /// Domain and path of the first row.
    pub first: Option<(String, String)>,
}

impl Strange {
    fn add(&mut self, domain: &str, relative_path: &str) {
        self.count += 1;
        (self.first).get_or_insert_with(|| (domain.to_owned(), relative_path.to_owned()));
    }
}

/// Largest number of applications that are noted; phones have a few hundred.
const APPS_MAX: usize = 20_000;

/// Extent to which each record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Records {
    /// Only the size, which is much faster.
    Size,
    /// The whole record, to detect records that cannot be read. Keys and digests are handed over.
    Whole,
}

/// The end that reads the list, for its thread.
pub(crate) struct Reader {
    list: List,
    records: Records,
    encrypted: bool,
    out: Out,
}

struct Out {
    handfuls: SyncSender<Handful>,
    handful: Handful,
    summary: Summary,
}

/// Returns a reader of an open list, and the receiving end of its files. `encrypted` says that
/// files may be longer on the disk than in the list.
pub(crate) fn reader(list: List, records: Records, encrypted: bool) -> (Reader, Handfuls) {
    let (handfuls, files) = sync_channel(WAITING);
    let out = Out {
        handfuls,
        handful: Handful::default(),
        summary: Summary::default(),
    };
    let reader = Reader {
        list,
        records,
        encrypted,
        out,
    };
    (reader, files)
}

impl Reader {
    /// Reads until the end of the list, or until the receiver is gone. Returns the list, too.
    pub(crate) fn read(self) -> (Summary, Result<(), manifest_db::Error>, List) {
        let Reader {
            list,
            records,
            encrypted,
            mut out,
        } = self;
        let read = match &list {
            List::Db(db) => db.rows(|row| {
                out.name(&row.domain, &row.relative_path);
                if row.kind != Kind::File {
                    out.no_file(&row, records);
                    return true;
                }
                let record = (records > Records::Size).then(|| row.record());
                let size = match &record {
                    Some(record) => record
                        .as_ref()
                        .map(|record| record.size)
                        .map_err(Clone::clone),
                    None => row.size(),
                };
                let sealed = record.and_then(Result::ok).map(|record| Sealed {
                    key: record.encryption_key,
                    digest: record.digest,
                });
                out.file(Listed {
                    file_id: &row.file_id,
                    domain: &row.domain,
                    relative_path: &row.relative_path,
                    size,
                    is_padded: match (encrypted, &sealed) {
                        (false, _) => Some(false),
                        (true, Some(sealed)) => Some(sealed.key.is_some()),
                        (true, None) => None,
                    },
                    is_named_right: row.is_named_right(),
                    sealed: sealed.as_ref(),
                })
            }),
            List::Mbdb(mbdb) => mbdb.rows(|record| {
                out.name(&record.domain, &record.file.relative_path);
                if record.kind() != Kind::File {
                    return true;
                }
                let sealed = Sealed {
                    key: record.file.encryption_key.clone(),
                    digest: record.file.digest.clone(),
                };
                out.file(Listed {
                    file_id: &record.file_id(),
                    domain: &record.domain,
                    relative_path: &record.file.relative_path,
                    size: Ok(record.file.size),
                    is_padded: Some(record.file.encryption_key.is_some()),
                    is_named_right: true,
                    sealed: Some(&sealed),
                })
            }),
        };
        // If the receiver is gone, it has its reasons, and nothing is left to do here.
        drop(out.handfuls.send(out.handful));
        (out.summary, read, list)
    }
}

impl Out {
    fn name(&mut self, domain: &str, relative_path: &str) {
        if leads_out(domain, relative_path) {
            let first = &mut self.summary.first_leading_out;
            first.get_or_insert_with(|| (domain.to_owned(), relative_path.to_owned()));
            self.summary.leading_out += 1;
        }
        if let Some(app) = domain.strip_prefix("AppDomain-")
            && !self.summary.apps.contains(app)
            && self.summary.apps.len() < APPS_MAX
        {
            self.summary.apps.insert(app.to_owned());
        }
    }

    /// Checks a row that is not a file: a folder or link, which has only this row in the backup, or
    /// a row of an unknown kind.
    fn no_file(&mut self, row: &Row, records: Records) {
        let (domain, path) = (&row.domain, &row.relative_path);
        if row.kind == Kind::Other {
            self.summary.strange.add(domain, path);
        }
        // Other programs write no record for folders.
        if records > Records::Size && !row.archive.is_empty() && row.record().is_err() {
            self.summary.unreadable.add(domain, path);
        }
        if !row.is_named_right() {
            self.summary.misnamed.add(domain, path);
        }
    }

    /// Adds a file to the batch, and sends a full batch. Returns false if the receiver is gone.
    fn file(&mut self, row: Listed) -> bool {
        if let Ok(size) = row.size {
            self.summary
                .amounts
                .add(row.domain, row.relative_path, size);
        }
        self.handful.add(row);
        self.handful.files.len() < HANDFUL
            || (self.handfuls)
                .send(std::mem::take(&mut self.handful))
                .is_ok()
    }
}
