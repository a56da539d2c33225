//! The phone's list of files as a check needs it, read and decoded beside the check on a thread of
//! its own.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::manifest::db::{self, Db, Filter, Kind, Row};
use crate::manifest::kinds::Amounts;
use crate::manifest::leads_out;
use crate::manifest::mbdb::Mbdb;
use crate::manifest::record::BadRecord;

/// Files that are handed over at a time.
const HANDFUL: usize = 256;
/// How many such handfuls wait at most.
const WAITING: usize = 4;

/// An open list.
pub enum List {
    /// Manifest.db, since iOS 10.
    Db(Db),
    /// Manifest.mbdb, before.
    Mbdb(Mbdb),
}

impl List {
    /// Reads the key and the digest of one file; `None` where the list does not name it, or its
    /// record cannot be read.
    pub fn sealed_of(&self, file_id: &str) -> Option<Sealed> {
        // The records of the older list are handed over whole.
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

    /// Its file in the backup's folder.
    pub fn name(&self) -> &'static str {
        match self {
            List::Db(_) => "Manifest.db",
            List::Mbdb(_) => "Manifest.mbdb",
        }
    }
}

/// One file of the phone's list.
pub struct Listed<'a> {
    /// 40 hex digits, in an honest list.
    pub file_id: &'a str,
    /// The phone's name of it: the domain ...
    pub domain: &'a str,
    /// ... and the path in it.
    pub relative_path: &'a str,
    /// Its length, or why its record cannot be read.
    pub size: Result<u64, BadRecord>,
    /// It is longer on the disk: encrypted, in whole blocks. `None` where only the whole record
    /// would tell.
    pub is_padded: Option<bool>,
    /// Its id is what its domain and path give.
    pub is_named_right: bool,
    /// Its key and its digest, where they were asked for.
    pub sealed: Option<&'a Sealed>,
}

/// What opens a file, and what its bytes give.
#[derive(Debug, Clone, Default)]
pub struct Sealed {
    /// Its wrapped key, in an encrypted backup.
    pub key: Option<Vec<u8>>,
    /// SHA-1 of its bytes; phones note it in system domains only.
    pub digest: Option<Vec<u8>>,
}

/// Some files, all their texts in one: a text of its own for each would be given back on the other
/// thread, and two threads that share an allocator wait for each other.
#[derive(Default)]
pub struct Handful {
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

    /// The files in it.
    pub fn files(&self) -> impl Iterator<Item = Listed<'_>> {
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

/// Where the files come out, in the order of their ids.
pub type Handfuls = Receiver<Handful>;

/// What is known of a list when it was read.
#[derive(Default)]
pub struct Summary {
    /// How much of each kind there is.
    pub amounts: Amounts,
    /// Names that lead out of where they belong, of files, folders and links, ...
    pub leading_out: u64,
    /// ... and the first of them, as domain and path.
    pub first_leading_out: Option<(String, String)>,
    /// Applications of which there is data, up to a limit.
    pub apps: BTreeSet<String>,
    /// Rows that are neither of files, folders nor links.
    pub strange: Strange,
    /// Rows of folders and links whose record cannot be read.
    pub unreadable: Strange,
    /// The same, whose id is not what domain and path give.
    pub misnamed: Strange,
}

/// Rows that have something in common: how many, and the name of the first.
#[derive(Default)]
pub struct Strange {
    /// How many.
    pub count: u64,
    /// Domain and path of the first.
    pub first: Option<(String, String)>,
}

impl Strange {
    fn add(&mut self, domain: &str, relative_path: &str) {
        self.count += 1;
        (self.first).get_or_insert_with(|| (domain.to_owned(), relative_path.to_owned()));
    }
}

/// Applications that are noted; phones have some hundreds.
const APPS_MAX: usize = 20_000;

/// How much of each record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Records {
    /// Only the size, which is much faster.
    Size,
    /// All of it, so that what cannot be read is seen. Keys and digests are handed over.
    Whole,
}

/// The thread's side.
pub struct Reader {
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

/// A reader of an open list, and where its files come out. Those of an `encrypted` backup are
/// longer on the disk.
pub fn reader(list: List, records: Records, encrypted: bool) -> (Reader, Handfuls) {
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
    /// Reads until the end of the list, or until nobody takes it any more. Gives the list back.
    pub fn read(self) -> (Summary, Result<(), db::Error>, List) {
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
        // Who has stopped listening knows why.
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

    /// A folder or a link, of which nothing lies in the backup but this row; or what nobody has
    /// described.
    fn no_file(&mut self, row: &Row, records: Records) {
        let (domain, path) = (&row.domain, &row.relative_path);
        if row.kind == Kind::Other {
            self.summary.strange.add(domain, path);
        }
        // Other people's programs write none for folders.
        if records > Records::Size && !row.archive.is_empty() && row.record().is_err() {
            self.summary.unreadable.add(domain, path);
        }
        if !row.is_named_right() {
            self.summary.misnamed.add(domain, path);
        }
    }

    /// Whether somebody still takes them.
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
