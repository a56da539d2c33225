//! The phone's list of files as a check needs it, read and decoded beside the check on a thread of its own.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::manifest::db::{self, Db, Kind, Row};
use crate::manifest::kinds::Amounts;
use crate::manifest::record::BadRecord;

/// Files that are handed over at a time.
const HANDFUL: usize = 256;
/// How many such handfuls wait at most.
const WAITING: usize = 4;

/// One file of the phone's list.
pub struct Listed<'a> {
    /// 40 hex digits, in an honest list.
    pub file_id: &'a str,
    /// The phone's name of it: the domain ...
    pub domain: &'a str,
    /// ... and the path in it.
    pub relative_path: &'a str,
    /// Its length, or why its record cannot be read.
    pub size: &'a Result<u64, BadRecord>,
    /// Its id is what its domain and path give.
    pub is_named_right: bool,
}

/// Some files, all their texts in one: a text of its own for each would be given back on the other thread, and two
/// threads that share an allocator wait for each other.
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
    is_named_right: bool,
}

impl Handful {
    fn add(&mut self, row: &Row, size: Result<u64, BadRecord>) {
        let is_named_right = row.is_named_right();
        let mut put = |part: &str| {
            let start = self.text.len();
            self.text.push_str(part);
            start..self.text.len()
        };
        self.files.push(Entry {
            file_id: put(&row.file_id),
            domain: put(&row.domain),
            relative_path: put(&row.relative_path),
            size,
            is_named_right,
        });
    }

    /// The files in it.
    pub fn files(&self) -> impl Iterator<Item = Listed<'_>> {
        self.files.iter().map(|entry| Listed {
            file_id: &self.text[entry.file_id.clone()],
            domain: &self.text[entry.domain.clone()],
            relative_path: &self.text[entry.relative_path.clone()],
            size: &entry.size,
            is_named_right: entry.is_named_right,
        })
    }
}

/// Where the files come out, in the order of their ids.
pub type Handfuls = Receiver<Handful>;

/// The thread's side.
pub struct Reader {
    db: Db,
    whole_records: bool,
    handfuls: SyncSender<Handful>,
}

/// A reader of an open list, and where its files come out. `whole_records` reads all of each record, not only its size.
pub fn reader(db: Db, whole_records: bool) -> (Reader, Handfuls) {
    let (handfuls, out) = sync_channel(WAITING);
    let reader = Reader {
        db,
        whole_records,
        handfuls,
    };
    (reader, out)
}

impl Reader {
    /// Reads until the end of the list, or until nobody takes it any more. Answers how much of each kind there is.
    pub fn read(self) -> (Amounts, Result<(), db::Error>) {
        let (mut handful, mut amounts) = (Handful::default(), Amounts::default());
        let read = self.db.rows(|row| {
            if row.kind != Kind::File {
                return true;
            }
            let size = match self.whole_records {
                true => row.record().map(|record| record.size),
                false => row.size(),
            };
            if let Ok(size) = size {
                amounts.add(&row.domain, &row.relative_path, size);
            }
            handful.add(&row, size);
            handful.files.len() < HANDFUL
                || self.handfuls.send(std::mem::take(&mut handful)).is_ok()
        });
        // Who has stopped listening knows why.
        drop(self.handfuls.send(handful));
        (amounts, read)
    }
}
