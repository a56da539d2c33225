//! Opens a backup for reading: its list, and the plaintext of its files, encrypted or not, of iOS 4
//! to 26.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher};
#[cfg(feature = "web")]
use std::io::Seek as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opening::{bad_list, has_plain_list, no_manifest_plist, open_list, unlock_with};
use crate::backup_format::keybag::{Ending, Keys, Plain};
use crate::backup_format::leads_out;
use crate::backup_format::manifest_db::{self, Child, Filter, Kind, Outline, Outlined};
use crate::backup_format::manifest_mbdb::Mbdb;
use crate::backup_format::plists::{self, Encryption, ListForm, Unreadable};
use crate::backup_format::record::fast::{self, Facts};
use crate::backup_format::record::{BadRecord, FileRecord};
use crate::backup_format::unreadable_rows::BadRow;
use crate::base::plain_file;
use crate::reader::manifest_feed::List;
use crate::reader::passwords::Passwords;
use crate::reader::source::{Needs, Source, Stored, Stream};
use crate::reader::{Entries, Error};
use crate::store;
use crate::store::sums::{self, Hash};

pub(crate) use super::opening::{Unlocked, no_backup, unlock};
pub use crate::backup_format::unreadable_rows::Unread;

/// An open backup: its list and, if it is encrypted, its keys.
pub struct Backup {
    folder: PathBuf,
    mark: Mark,
    list: List,
    keys: Option<Keys>,
    /// The errors found while reading the backup, except those that the list itself records.
    unread: RefCell<Unread>,
    /// The place of the files, if they are not in the folder. Declared last: it may own the folder,
    /// in which the list is open.
    source: Option<Arc<dyn Source>>,
}

/// A file, folder or link in a backup.
#[derive(Debug, Clone)]
pub struct Item {
    /// The file id: 40 hex digits, unless the list is damaged or forged.
    pub file_id: String,
    /// `HomeDomain`, `AppDomain-com.example`, ...
    pub domain: String,
    /// Path inside the domain; empty for the domain's own folder.
    pub relative_path: String,
    /// File, folder or link.
    pub kind: Kind,
    noted: Noted,
    /// The size of a file, once it was looked up. If the record has none, the length of its bytes
    /// in the backup.
    known_size: Option<u64>,
}

#[derive(Debug, Clone)]
enum Noted {
    Archive(Vec<u8>),
    Record(Box<FileRecord>),
}

/// A hash of Status.plist, which distinguishes a backup from the next one in the same folder: a run
/// puts its new backup there when it finishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark(Option<Hash>);

impl Mark {
    pub(crate) fn of(folder: &Path) -> Mark {
        const STATUS: &str = "Status.plist";
        // A file that is too large to be read is not hashed either.
        let is_sane = plists::length(folder, STATUS).is_ok();
        let hash = is_sane.then(|| sums::hash_file(&folder.join(STATUS)));
        Mark(hash.and_then(Result::ok).map(|(hash, _)| hash))
    }

    pub(crate) fn is_still_in(&self, folder: &Path) -> Result<(), Error> {
        let now = Mark::of(folder);
        match now.0 {
            _ if now == *self => Ok(()),
            Some(_) => Err(Error::Replaced(folder.to_path_buf())),
            None => Err(Error::Removed(folder.to_path_buf())),
        }
    }
}

impl Item {
    /// Decodes the record that the phone wrote for this item.
    pub fn record(&self) -> Result<FileRecord, BadRecord> {
        match &self.noted {
            Noted::Archive(bytes) => FileRecord::decode(bytes),
            Noted::Record(record) => Ok((**record).clone()),
        }
    }

    /// Returns true if both items have identical records. Much faster than decoding both.
    pub(crate) fn is_noted_as(&self, other: &Item) -> bool {
        match (&self.noted, &other.noted) {
            (Noted::Archive(one), Noted::Archive(other)) => one == other,
            (Noted::Record(one), Noted::Record(other)) => one == other,
            _ => false,
        }
    }

    /// Returns the size. Much faster than decoding the whole record.
    pub fn size(&self) -> Result<u64, BadRecord> {
        if let Some(size) = self.known_size {
            return Ok(size);
        }
        match &self.noted {
            Noted::Archive(bytes) => match fast::size(bytes) {
                Some(size) => Ok(size),
                None => Ok(self.record()?.size),
            },
            Noted::Record(record) => Ok(record.size),
        }
    }

    /// Returns the facts that a listing shows. Faster than decoding the whole record.
    pub fn facts(&self) -> Result<Facts, BadRecord> {
        if let Noted::Archive(bytes) = &self.noted
            && let Some(facts) = fast::facts(bytes)
        {
            return Ok(facts);
        }
        let record = self.record()?;
        Ok(Facts {
            size: self.known_size.unwrap_or(record.size),
            mode: record.mode,
            modified: record.last_modified,
        })
    }

    /// Looks up the size of a file. `stored` returns the length of its bytes in the backup and is
    /// called if the record has no size.
    fn look_up_size(&mut self, stored: impl FnOnce(&Item) -> Option<u64>) {
        self.known_size = match &self.noted {
            Noted::Record(record) => Some(record.size),
            Noted::Archive(bytes) => fast::size(bytes).or_else(|| match self.record() {
                Ok(record) if record.lacks_size => stored(self),
                record => record.ok().map(|record| record.size),
            }),
        };
    }

    /// Returns true if the name would lead out of the folder where the item belongs. No phone
    /// writes such a name.
    pub fn leads_out(&self) -> bool {
        leads_out(&self.domain, &self.relative_path)
    }

    /// Returns domain and path, as shown to people.
    pub fn name(&self) -> String {
        if self.relative_path.is_empty() {
            self.domain.clone()
        } else {
            format!("{}/{}", self.domain, self.relative_path)
        }
    }
}

impl From<manifest_db::Row> for Item {
    fn from(row: manifest_db::Row) -> Item {
        Item {
            file_id: row.file_id,
            domain: row.domain,
            relative_path: row.relative_path,
            kind: row.kind,
            noted: Noted::Archive(row.archive),
            known_size: None,
        }
    }
}

impl Backup {
    /// Opens the backup in `folder`. Asks for the password only if the backup is encrypted.
    pub fn open(folder: &Path, passwords: &dyn Passwords) -> Result<Backup, Error> {
        Backup::open_with(folder, None, passwords)
    }

    /// Opens a backup whose lists are in `folder` and whose files are elsewhere.
    pub fn open_from(
        folder: &Path,
        source: Arc<dyn Source>,
        passwords: &dyn Passwords,
    ) -> Result<Backup, Error> {
        let name = source.name();
        let opened = Backup::open_with(folder, Some(source), passwords);
        // Name the backup and not the temporary folder.
        opened.map_err(|e| match e {
            Error::WrongPassword { .. } => Error::WrongPassword { of: name },
            Error::Metadata { path, why } => Error::Metadata {
                path: match path.file_name() {
                    Some(file) => Path::new(&name).join(file),
                    None => path,
                },
                why,
            },
            e => e,
        })
    }

    fn open_with(
        folder: &Path,
        source: Option<Arc<dyn Source>>,
        passwords: &dyn Passwords,
    ) -> Result<Backup, Error> {
        if !store::is_backup(folder) {
            return Err(no_backup(folder));
        }
        // Taken before anything of the backup is read.
        let mark = Mark::of(folder);
        let mut unread = Unread::default();
        let unlocked = match unlock(folder, passwords) {
            // An unencrypted list can be read without Manifest.plist. If the files are encrypted,
            // their records show that below.
            Err(Error::Metadata { why, .. }) if has_plain_list(folder) => {
                unread.note(no_manifest_plist(&why));
                None
            }
            unlocked => unlocked?,
        };
        if unlocked.is_none() && plists::list_form(folder) != ListForm::Unknown {
            // Only backups of iOS 4 and 5 are complete without Manifest.plist.
            if let Err(why @ Unreadable::Absent) = plists::length(folder, "Manifest.plist") {
                unread.note(no_manifest_plist(&why));
            }
        }
        let list = open_list(folder, unlocked.as_ref())?;
        let mut opened = Backup {
            folder: folder.to_path_buf(),
            mark,
            list,
            keys: unlocked.map(|unlocked| unlocked.keys),
            unread: RefCell::new(unread),
            source,
        };
        if opened.keys.is_none() && opened.has_encrypted_files()? {
            let encryption = Encryption::read_anyway(folder).ok_or_else(|| Error::Metadata {
                path: folder.join("Manifest.plist"),
                why: Unreadable::Damaged(
                    "the files of this backup are encrypted, but their keys cannot be read"
                        .to_owned(),
                ),
            })?;
            opened.keys = Some(unlock_with(folder, encryption, passwords)?.keys);
        }
        Ok(opened)
    }

    /// Returns true if the first files of the list all have keys, so that they are encrypted
    /// whatever Manifest.plist says.
    fn has_encrypted_files(&self) -> Result<bool, Error> {
        const FILES: u64 = 20;
        let (mut files, mut with_key) = (0, 0);
        self.each(&Filter::default(), |item| {
            if item.kind == Kind::File
                && let Ok(record) = item.record()
                && record.size > 0
            {
                files += 1;
                with_key += u64::from(record.encryption_key.is_some());
            }
            files < FILES
        })?;
        Ok(files > 0 && files == with_key)
    }

    /// Wraps a list and keys that are already open.
    pub(crate) fn of(folder: &Path, list: List, keys: Option<Keys>) -> Backup {
        Backup {
            folder: folder.to_path_buf(),
            mark: Mark::of(folder),
            list,
            keys,
            unread: RefCell::default(),
            source: None,
        }
    }

    /// Returns the errors found so far while reading the backup.
    pub fn unread(&self) -> Unread {
        let mut unread = self.unread.borrow().clone();
        match &self.list {
            List::Db(db) => unread.join(&db.unread()),
            List::Mbdb(mbdb) => unread.join(mbdb.unread()),
        }
        unread
    }

    /// Records that an item's record cannot be read.
    pub(crate) fn note_record(&self, item: &Item, why: &BadRecord) {
        self.note(item, format!("its record cannot be read: {why}"));
    }

    fn note(&self, item: &Item, why: String) {
        let mut key = DefaultHasher::new();
        (&item.file_id, &item.domain, &item.relative_path).hash(&mut key);
        let name = item.name();
        let row = || BadRow { name, why };
        self.unread.borrow_mut().add(key.finish(), row);
    }

    /// Completes an item for the caller. Returns `None`, and notes the error, if the list does not
    /// say whether it is a file.
    pub(super) fn prepared(&self, mut item: Item) -> Option<Item> {
        match item.kind {
            Kind::Other => {
                let why = "the list does not say whether it is a file".to_owned();
                self.note(&item, why);
                return None;
            }
            Kind::File => item.look_up_size(|item| {
                let path = self.path_of(item).ok()?;
                path.symlink_metadata().ok().map(|meta| meta.len())
            }),
            _ => {}
        }
        Some(item)
    }

    /// Fails if another backup has replaced this one since it was opened. The list and the files
    /// read would then belong to different backups.
    pub fn is_still_there(&self) -> Result<(), Error> {
        self.mark.is_still_in(&self.folder)
    }

    /// Returns the folder of the backup.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a text that differs from one backup to the next: a hash of Status.plist.
    pub fn identity(&self) -> String {
        match &self.mark.0 {
            Some(hash) => sums::hex(hash),
            None => self.folder.display().to_string(),
        }
    }

    /// Returns true if the files are not in the backup's folder.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.source.is_some()
    }

    /// Tells the source of the files that those for which `is_wanted` is true will be opened in the
    /// order of their ids.
    pub(crate) fn expect(&self, is_wanted: impl Fn(&Item) -> bool) -> Result<(), Error> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        let is_flat = matches!(self.list, List::Mbdb(_));
        let mut needs = Needs::default();
        let filter = Filter {
            kind: Some(Kind::File),
            ..Filter::default()
        };
        self.each(&filter, |item| {
            // A forged id can have any length.
            let folder = item.file_id.get(..2).filter(|_| !is_flat);
            let size = item.size().unwrap_or(0);
            needs.add(folder.unwrap_or_default(), size, is_wanted(&item));
            true
        })?;
        let folders = needs.whole_folders();
        folders.iter().for_each(|folder| source.expect(folder));
        Ok(())
    }

    /// Returns true if the files are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.keys.is_some()
    }

    /// Returns the backup's list of files.
    pub(crate) fn list(&self) -> &List {
        &self.list
    }

    /// Returns the keys, if the backup is encrypted.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// Returns an iterator over all entries of the backup's list.
    pub fn entries(&self) -> Entries<'_> {
        Entries::of(self)
    }

    /// Returns the error for a list that cannot be read.
    pub(super) fn bad_list(&self, e: &manifest_db::Error) -> Error {
        bad_list(&self.folder, self.list.name(), e)
    }

    /// Calls `each` for every item that the filter admits, until it returns false.
    pub fn each(&self, filter: &Filter, mut each: impl FnMut(Item) -> bool) -> Result<(), Error> {
        let mut each = |item| self.prepared(item).is_none_or(&mut each);
        let read = match &self.list {
            List::Db(db) => db.select(filter, |row| each(row.into())),
            List::Mbdb(mbdb) => each_of_mbdb(mbdb, filter, &mut each),
        };
        read.map_err(|e| bad_list(&self.folder, self.list.name(), &e))
    }

    /// Returns the names of all domains.
    pub fn domain_names(&self) -> Result<Vec<String>, Error> {
        let read = match &self.list {
            List::Db(db) => db.domains(),
            List::Mbdb(mbdb) => {
                let mut names = BTreeSet::new();
                let read = mbdb.rows(|record| {
                    names.insert(record.domain);
                    true
                });
                read.map(|()| names.into_iter().collect())
            }
        };
        read.map_err(|e| bad_list(&self.folder, self.list.name(), &e))
    }

    /// Calls `each` like [`Backup::tree`], with the name, the type and the size of each item. This
    /// is faster for a whole backup. Notes files whose size cannot be read, which count as no
    /// bytes.
    pub(crate) fn outlines(
        &self,
        domain: Option<&str>,
        below: &str,
        mut each: impl FnMut(Outline) -> bool,
    ) -> Result<(), Error> {
        let of_item = |item: Item, each: &mut dyn FnMut(Outline) -> bool| {
            let size = match (item.kind, item.size()) {
                (Kind::File, Ok(size)) => size,
                (Kind::File, Err(why)) => {
                    self.note_record(&item, &why);
                    0
                }
                _ => 0,
            };
            each(Outline {
                domain: item.domain,
                relative_path: item.relative_path,
                kind: item.kind,
                size,
            })
        };
        match &self.list {
            List::Db(db) => {
                let read = db.outlines(domain, below, |row| match row {
                    Outlined::Outline(outline) => each(outline),
                    Outlined::Row(row) => {
                        let item = self.prepared(row.into());
                        item.is_none_or(|item| of_item(item, &mut each))
                    }
                });
                read.map_err(|e| bad_list(&self.folder, self.list.name(), &e))
            }
            List::Mbdb(_) => self.tree(domain, below, |item| of_item(item, &mut each)),
        }
    }

    /// Calls `each` for the item at the path `below` and everything under it, in one domain or in
    /// all of them in turn, until it returns false. Items are sorted by name, each folder before
    /// its content.
    pub fn tree(
        &self,
        domain: Option<&str>,
        below: &str,
        mut each: impl FnMut(Item) -> bool,
    ) -> Result<(), Error> {
        let mut each = |item| self.prepared(item).is_none_or(&mut each);
        let read = match &self.list {
            List::Db(db) => db.tree(domain, below, |row| each(row.into())),
            List::Mbdb(mbdb) => {
                let filter = Filter {
                    domain,
                    below: Some(below).filter(|path| !path.is_empty()),
                    ..Filter::default()
                };
                let mut items = Vec::new();
                let read = each_of_mbdb(mbdb, &filter, &mut |item| {
                    items.push(item);
                    true
                });
                items.sort_by(|a, b| {
                    let names = |item: &Item| item.relative_path.replace('/', "\u{1}");
                    (a.domain.cmp(&b.domain)).then_with(|| names(a).cmp(&names(b)))
                });
                items.into_iter().all(each);
                read
            }
        };
        read.map_err(|e| bad_list(&self.folder, self.list.name(), &e))
    }

    /// Calls `each` for the contents of a folder, in the order of their names and after the name
    /// `after`, until it returns false: with the item, or with the path of a folder that appears
    /// only in other paths. Returns false without a call if the list cannot be read in this way.
    pub(super) fn children(
        &self,
        domain: &str,
        folder: &str,
        after: Option<&str>,
        mut each: impl FnMut(Result<Item, String>) -> bool,
    ) -> Result<bool, Error> {
        let List::Db(db) = &self.list else {
            return Ok(false);
        };
        let read = db.children(domain, folder, after, |child| match child {
            Child::Row(row) => {
                let item = self.prepared(row.into());
                item.is_none_or(|item| each(Ok(item)))
            }
            Child::Implied(path) => each(Err(path)),
        });
        read.map_err(|e| self.bad_list(&e))
    }

    /// Calls `each` for the paths of all files of a domain that are below a folder, until it
    /// returns false. This is much faster than reading the items.
    pub(crate) fn file_paths(
        &self,
        domain: &str,
        folder: &str,
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<(), Error> {
        if let List::Db(db) = &self.list {
            let read = db.file_paths(domain, folder, &mut each);
            if read.map_err(|e| self.bad_list(&e))? {
                return Ok(());
            }
        }
        let filter = Filter {
            domain: Some(domain),
            below: Some(folder).filter(|folder| !folder.is_empty()),
            kind: Some(Kind::File),
            ..Filter::default()
        };
        self.each(&filter, |item| each(&item.relative_path))
    }

    /// Calls `each` for the items of a domain whose paths begin with a prefix that ends in a dot or
    /// a slash, until it returns false.
    #[cfg(feature = "web")]
    pub(crate) fn with_prefix(
        &self,
        domain: &str,
        prefix: &str,
        mut each: impl FnMut(Item) -> bool,
    ) -> Result<(), Error> {
        if let List::Db(db) = &self.list {
            let read = db.with_prefix(domain, prefix, |row| {
                self.prepared(row.into()).is_none_or(&mut each)
            });
            if read.map_err(|e| self.bad_list(&e))? {
                return Ok(());
            }
        }
        let filter = Filter {
            domain: Some(domain),
            ..Filter::default()
        };
        self.each(&filter, |item| {
            !item.relative_path.starts_with(prefix) || each(item)
        })
    }

    /// Counts the steps of queries from zero again, for a backup that stays open for long.
    #[cfg(feature = "web")]
    pub(crate) fn renew(&self) {
        if let List::Db(db) = &self.list {
            db.renew();
        }
    }

    /// Finds the item with this domain and path.
    pub fn find(&self, domain: &str, relative_path: &str) -> Result<Option<Item>, Error> {
        let filter = Filter {
            domain: Some(domain),
            below: Some(relative_path),
            only_itself: true,
            ..Filter::default()
        };
        let mut found = None;
        self.each(&filter, |item| {
            found = Some(item);
            false
        })?;
        Ok(found)
    }

    /// Finds the item with this file id.
    pub fn find_id(&self, file_id: &str) -> Result<Option<Item>, Error> {
        let filter = Filter {
            file_id: Some(file_id),
            ..Filter::default()
        };
        let mut found = None;
        self.each(&filter, |item| {
            found = Some(item);
            false
        })?;
        Ok(found)
    }

    /// Returns the path of the item's bytes as stored, possibly encrypted.
    pub fn path_of(&self, item: &Item) -> Result<PathBuf, Error> {
        self.reader().path_of(item)
    }

    /// Opens the item's plaintext.
    pub fn bytes(&self, item: &Item) -> Result<Bytes, Error> {
        self.reader().bytes(item)
    }

    /// Returns a reader that any thread can use. The list itself can be used by only one thread at
    /// a time.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            folder: &self.folder,
            is_flat: matches!(self.list, List::Mbdb(_)),
            keys: self.keys.as_ref(),
            source: self.source.as_deref(),
        }
    }
}

/// Reads the files of a backup. Usable from any thread.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    folder: &'a Path,
    /// True if the files are not in subfolders `xx`, as in backups before iOS 10.
    is_flat: bool,
    keys: Option<&'a Keys>,
    /// The place of the files, if they are not in the folder.
    source: Option<&'a dyn Source>,
}

impl Reader<'_> {
    /// Returns true if the files are not in the backup's folder.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.source.is_some()
    }

    /// Returns the path of an item's bytes as stored, possibly encrypted.
    pub fn path_of(&self, item: &Item) -> Result<PathBuf, Error> {
        let id = valid_id(item)?;
        Ok(if self.is_flat {
            self.folder.join(id)
        } else {
            self.folder.join(&id[..2]).join(id)
        })
    }

    /// Opens an item's plaintext.
    pub fn bytes(&self, item: &Item) -> Result<Bytes, Error> {
        if self.keys.is_none() {
            return Ok(match self.open(item)? {
                Stored::File(file) => Bytes::AsItIs(file),
                Stored::Stream(stream) => Bytes::Elsewhere(stream),
            });
        }
        let record = item.record();
        let record = record.map_err(|why| unreadable(item, &format!("its record: {why}")))?;
        self.bytes_of(item, &record)
    }

    /// Opens an item's plaintext, using a record that was already decoded.
    pub fn bytes_of(&self, item: &Item, record: &FileRecord) -> Result<Bytes, Error> {
        let Some(keys) = self.keys else {
            return self.bytes(item);
        };
        let file = self.open(item)?;
        let Some(wrapped) = &record.encryption_key else {
            // An empty file has nothing to encrypt.
            let empty = match file {
                Stored::File(file) => {
                    let is_empty = file.metadata().is_ok_and(|meta| meta.len() == 0);
                    is_empty.then_some(Bytes::AsItIs(file))
                }
                Stored::Stream(mut stream) => {
                    let read = stream.read(&mut [0]);
                    let is_empty = read.map_err(|e| Error::of_read(item.name(), e))? == 0;
                    is_empty.then_some(Bytes::Elsewhere(stream))
                }
            };
            return empty.ok_or_else(|| unreadable(item, "the phone's list has no key for it"));
        };
        let key = keys.open(wrapped);
        let key = key.map_err(|why| unreadable(item, &why.to_string()))?;
        let plain = key.decrypt(file, (!record.lacks_size).then_some(record.size));
        Ok(Bytes::Decrypted(Box::new(plain)))
    }

    /// Checks that an item's bytes exist, and returns their stored length. If they are elsewhere,
    /// returns the size in the list instead.
    pub(crate) fn look(&self, item: &Item) -> Result<u64, Error> {
        if self.is_elsewhere() {
            return Ok(item.size().unwrap_or(0));
        }
        self.place(item).map(|(_, meta)| meta.len())
    }

    fn open(&self, item: &Item) -> Result<Stored, Error> {
        if let Some(source) = self.source {
            let id = valid_id(item)?;
            let path = if self.is_flat {
                id.to_owned()
            } else {
                format!("{}/{id}", &id[..2])
            };
            let opened = source.open(&path).map_err(|e| lacking(item, e))?;
            return Ok(Stored::Stream(opened));
        }
        let (path, _) = self.place(item)?;
        let opened = plain_file::open(&path).map_err(|e| lacking(item, e))?;
        Ok(Stored::File(opened))
    }

    fn place(&self, item: &Item) -> Result<(PathBuf, Metadata), Error> {
        let path = self.path_of(item)?;
        // A backup from another source can hold links to anywhere, also instead of its own folders,
        // or a pipe without a writer, which would block.
        let is_link = |path: &Path| path.is_symlink();
        if !self.is_flat && path.parent().is_some_and(is_link) {
            return Err(unreadable(item, "its folder is a link"));
        }
        let meta = path.symlink_metadata().map_err(|e| lacking(item, e))?;
        if meta.is_file() {
            Ok((path, meta))
        } else {
            Err(unreadable(
                item,
                "the backup has something else than a file at its place",
            ))
        }
    }
}

/// Returns the item's id. The list may be forged, so only a well-formed id becomes part of a path.
fn valid_id(item: &Item) -> Result<&str, Error> {
    let id = &item.file_id;
    if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unreadable(item, "the list gives it an invalid file ID"));
    }
    Ok(id)
}

fn lacking(item: &Item, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => unreadable(item, "it is missing from the backup"),
        _ => Error::of_read(item.name(), e),
    }
}

/// A reader of a file's plaintext.
pub enum Bytes {
    /// The file as stored, in a backup that is not encrypted (or an empty file).
    AsItIs(File),
    /// The same for a file that is not in the backup's folder.
    Elsewhere(Stream),
    /// The file decrypted while reading.
    Decrypted(Box<Plain<Stored>>),
}

impl Bytes {
    /// Goes to a place in the plaintext, if nothing was read yet.
    #[cfg(feature = "web")]
    pub(crate) fn begin_at(&mut self, offset: u64) -> io::Result<()> {
        match self {
            Bytes::AsItIs(file) => file.seek(io::SeekFrom::Start(offset)).map(|_| ()),
            Bytes::Elsewhere(_) => Err(io::ErrorKind::NotSeekable.into()),
            Bytes::Decrypted(plain) => plain.begin_at(offset),
        }
    }

    /// Returns how the decryption of a file ended, once it was read to the end.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            Bytes::AsItIs(_) | Bytes::Elsewhere(_) => None,
            Bytes::Decrypted(plain) => plain.ending(),
        }
    }
}

impl Read for Bytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Bytes::AsItIs(file) => file.read(out),
            Bytes::Elsewhere(stream) => stream.read(out),
            Bytes::Decrypted(plain) => plain.read(out),
        }
    }
}

fn each_of_mbdb(
    mbdb: &Mbdb,
    filter: &Filter,
    each: &mut impl FnMut(Item) -> bool,
) -> Result<(), manifest_db::Error> {
    let mut sorted = Vec::new();
    mbdb.rows(|record| {
        let is_meant = filter.admits(&record.domain, &record.file.relative_path)
            && filter.kind.is_none_or(|kind| kind == record.kind())
            && filter.file_id.is_none_or(|id| id == record.file_id());
        if !is_meant {
            return true;
        }
        let item = Item {
            file_id: record.file_id(),
            kind: record.kind(),
            relative_path: record.file.relative_path.clone(),
            domain: record.domain,
            noted: Noted::Record(Box::new(record.file)),
            known_size: None,
        };
        if filter.sorted || filter.by_id {
            // Sorting in memory is fine: a phone of that time had some thousands of files.
            sorted.push(item);
            true
        } else {
            each(item)
        }
    })?;
    if filter.sorted {
        sorted.sort_by(|a, b| (&a.domain, &a.relative_path).cmp(&(&b.domain, &b.relative_path)));
    } else {
        sorted.sort_by(|a, b| a.file_id.cmp(&b.file_id));
    }
    for item in sorted {
        if !each(item) {
            break;
        }
    }
    Ok(())
}

fn unreadable(item: &Item, why: &str) -> Error {
    Error::File {
        name: item.name(),
        why: why.to_owned(),
    }
}
