//! Is a backup whole? For any folder of Apple's layout, ours or another program's.
//!
//! One walk over the folder in the order of file ids, beside it the phone's list (Manifest.db) and our list of hashes,
//! both in the same order: nothing is held in memory but the findings, and those are capped.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Error;
use super::finding::Findings;
pub use super::finding::{Finding, Outcome, Report, Wrong};
use super::listed::{self, Handfuls, Listed};
use crate::manifest::db::Db;
use crate::manifest::kinds::Amounts;
use crate::manifest::plists::{self, ManifestPlist, Status, Unreadable};
use crate::monitor::{Event, Monitor, Phase};
use crate::store::sums::{self, Hash, Sums};
use crate::store::walk::{Found, Walk, order};
use crate::store::{self, METADATA, snapshot};

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The list of hashes; without one the folder's own is looked for beside it.
    pub sums: Option<PathBuf>,
    /// Read every byte and compare it with the list.
    pub read_all: bool,
}

/// Checks the backup in `folder`.
pub fn verify(folder: &Path, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    monitor.phase(Phase::Checking);
    look_through(folder, options, monitor)
}

/// The same, as a part of a phase that has begun.
pub(super) fn look_through(
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    if !folder.is_dir() {
        return Err(Error::Nothing {
            what: format!("there is no folder {}", folder.display()),
            hint: "`idev-backup list` shows the backups of the store".to_owned(),
        });
    }
    if !store::is_backup(folder)
        && plists::read(folder, "Status.plist").err() == Some(Unreadable::Absent)
    {
        return Err(Error::Nothing {
            what: format!("{} is no backup of an iPhone or iPad", folder.display()),
            hint: "name the folder that holds Manifest.db; `idev-backup list` shows the backups of the store".to_owned(),
        });
    }
    let sums = options
        .sums
        .clone()
        .or_else(|| snapshot::find(folder).and_then(|s| s.sums()));
    let mut check = Check::new(folder, sums.as_deref(), options.read_all)?;
    check.property_lists();
    check.files(monitor)?;
    Ok(check.report())
}

/// A file whose bytes are to be compared.
struct Compare {
    path: String,
    hash: Hash,
}

struct Check<'a> {
    folder: &'a Path,
    sums: Option<Sums>,
    read_all: bool,
    ahead: Option<(String, Hash)>,
    encrypted: bool,
    findings: Findings,
    files: u64,
    bytes: u64,
    hashed: u64,
    listed: Option<u64>,
    contents: Amounts,
}

impl<'a> Check<'a> {
    fn new(folder: &'a Path, sums: Option<&Path>, read_all: bool) -> Result<Check<'a>, Error> {
        Ok(Check {
            folder,
            sums: sums.map(Sums::open).transpose()?,
            read_all,
            ahead: None,
            encrypted: false,
            findings: Findings::default(),
            files: 0,
            bytes: 0,
            hashed: 0,
            listed: None,
            contents: Amounts::default(),
        })
    }

    fn find(&mut self, wrong: Wrong, file: &str, detail: impl Into<String>) {
        self.findings.add(Finding {
            wrong,
            domain: None,
            relative_path: None,
            file: file.to_owned(),
            detail: detail.into(),
        });
    }

    fn find_row(&mut self, wrong: Wrong, row: &Listed, detail: impl Into<String>) {
        self.findings.add(Finding {
            wrong,
            domain: Some(row.domain.to_owned()),
            relative_path: Some(row.relative_path.to_owned()),
            file: place(row.file_id),
            detail: detail.into(),
        });
    }

    fn property_lists(&mut self) {
        match Status::read(self.folder) {
            Ok(status) if status.is_finished() => {}
            Ok(status) => {
                let detail = format!(
                    "the phone never finished it; it stopped while {:?}",
                    status.snapshot_state
                );
                self.find(Wrong::Unfinished, "Status.plist", detail);
            }
            Err(why) => self.find(Wrong::Unreadable, "Status.plist", why.to_string()),
        }
        match ManifestPlist::read(self.folder) {
            Ok(manifest) => self.encrypted = manifest.encrypted,
            Err(why) => self.find(Wrong::Unreadable, "Manifest.plist", why.to_string()),
        }
        if let Err(why) = plists::read(self.folder, "Info.plist") {
            self.find(Wrong::Unreadable, "Info.plist", why.to_string());
        }
    }

    /// The phone's list, checked as a database; `None` where it cannot be read, for the reason that is noted.
    fn database(&mut self) -> Option<Db> {
        if self.encrypted {
            if self.sums.is_none() {
                let detail =
                    "the phone's list of files is encrypted, so what must be here is not known";
                self.find(Wrong::Unchecked, "Manifest.db", detail);
            }
            return None;
        }
        if self.folder.join("Manifest.mbdb").exists() && !self.folder.join("Manifest.db").exists() {
            self.find(
                Wrong::Unchecked,
                "Manifest.mbdb",
                "the list of files is of iOS 9 or older, which is not read",
            );
            return None;
        }
        let opened = Db::open(self.folder).and_then(|db| db.check(true).map(|()| db));
        match opened {
            Ok(db) => Some(db),
            Err(why) => {
                self.find(Wrong::Unreadable, "Manifest.db", why.to_string());
                None
            }
        }
    }

    fn files(&mut self, monitor: &dyn Monitor) -> Result<(), Error> {
        let db = self.database();
        let (reader, list) = db.map(|db| listed::reader(db, self.read_all)).unzip();
        let folder = self.folder;
        // Hashing is the slow part; it runs beside the walk, on as many threads as there are cores.
        let (queue, waiting) = sync_channel::<Compare>(256);
        let waiting = Mutex::new(waiting);
        let different = Mutex::new(Vec::new());
        let threads = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            if self.read_all {
                for _ in 0..threads {
                    scope.spawn(|| compare(folder, &waiting, &different));
                }
            }
            // Reading the phone's list is as much work as the walk, and runs beside it too.
            let reader = reader.map(|reader| scope.spawn(|| reader.read()));
            let walked = self.walk(list, &queue, monitor);
            drop(queue);
            if let Some(Ok((amounts, read))) = reader.map(thread::ScopedJoinHandle::join) {
                self.contents = amounts;
                if let Err(why) = read {
                    self.find(Wrong::Unreadable, "Manifest.db", why.to_string());
                }
            }
            walked
        })?;
        for finding in different
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            self.findings.add(finding);
        }
        Ok(())
    }

    fn walk(
        &mut self,
        list: Option<Handfuls>,
        queue: &SyncSender<Compare>,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(self.folder)?.peekable();
        if let Some(list) = list {
            let mut listed = 0;
            for handful in list {
                for row in handful.files() {
                    listed += 1;
                    self.row(&row, &mut walk, queue, monitor)?;
                }
            }
            self.listed = Some(listed);
        }
        while let Some(found) = walk.next().transpose()? {
            self.met(found, None, queue, monitor)?;
        }
        self.rest_of_sums()
    }

    /// One row of the phone's list: everything on the disk before it is in no list.
    fn row(
        &mut self,
        row: &Listed,
        walk: &mut std::iter::Peekable<Walk>,
        queue: &SyncSender<Compare>,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let id = row.file_id;
        if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.find_row(Wrong::Misnamed, row, "the list names it by no file id");
            return Ok(());
        }
        if !row.is_named_right {
            self.find_row(
                Wrong::Misnamed,
                row,
                "its name is not the SHA-1 of its domain and path",
            );
        }
        let wanted = place(id);
        loop {
            let before = match walk.peek() {
                Some(Ok(found)) => order(&found.path, &wanted),
                Some(Err(_)) => std::cmp::Ordering::Less,
                None => std::cmp::Ordering::Greater,
            };
            match before {
                std::cmp::Ordering::Less => {
                    if let Some(found) = walk.next().transpose()? {
                        self.met(found, None, queue, monitor)?;
                    }
                }
                std::cmp::Ordering::Equal => {
                    if let Some(found) = walk.next().transpose()? {
                        self.met(found, Some(row), queue, monitor)?;
                    }
                    return Ok(());
                }
                std::cmp::Ordering::Greater => {
                    let size = *row.size.as_ref().unwrap_or(&0);
                    self.find_row(
                        Wrong::Missing,
                        row,
                        format!("of {}", crate::units::size(size)),
                    );
                    return Ok(());
                }
            }
        }
    }

    /// One file on the disk, with its row of the phone's list.
    fn met(
        &mut self,
        found: Found,
        row: Option<&Listed>,
        queue: &SyncSender<Compare>,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        if !found.is_file() {
            self.find(
                Wrong::Extra,
                &found.path,
                "it is neither a file nor a folder",
            );
            return Ok(());
        }
        self.files += 1;
        self.bytes += found.meta.len();
        if self.files.is_multiple_of(1000) {
            monitor.event(Event::Progress {
                percent: None,
                bytes: self.bytes,
                files: self.files,
                files_total: None,
            });
        }
        let listed_hash = self.hash_of(&found.path)?;
        match row {
            Some(row) => self.size(row, found.meta.len(), listed_hash.is_some()),
            None => self.unlisted(&found, listed_hash.is_some()),
        }
        if let Some(hash) = listed_hash
            && self.read_all
        {
            self.hashed += 1;
            // The receivers live until the walk ends.
            drop(queue.send(Compare {
                path: found.path,
                hash,
            }));
        }
        Ok(())
    }

    fn size(&mut self, row: &Listed, on_disk: u64, has_hash: bool) {
        let size_listed = match *row.size {
            Ok(size) => size,
            Err(ref why) => {
                let detail = format!("its record in the phone's list cannot be read: {why}");
                return self.find_row(Wrong::Unreadable, row, detail);
            }
        };
        if on_disk == size_listed {
            return;
        }
        let size = crate::units::size;
        let detail = format!(
            "it has {}, the phone's list says {}",
            size(on_disk),
            size(size_listed)
        );
        // iOS compacts databases before it sends them, so the list alone is no proof; what was received is.
        let is_database =
            row.relative_path.ends_with("db") || row.relative_path.ends_with(".sqlite");
        if has_hash && on_disk > 0 {
            return;
        }
        let wrong = if on_disk > size_listed || (is_database && on_disk > 0) {
            Wrong::OtherSize
        } else {
            Wrong::Truncated
        };
        self.find_row(wrong, row, detail);
    }

    /// A file that is not in the phone's list: one of the few that never are, or one that has no business here.
    fn unlisted(&mut self, found: &Found, has_hash: bool) {
        let path = found.path.as_str();
        if METADATA.contains(&path) || path == "Manifest.mbdb" {
            if !has_hash && self.sums.is_some() {
                self.find(Wrong::Unchecked, path, "it is not in the list of hashes");
            }
        } else if path.starts_with("Snapshot/") {
            self.find(
                Wrong::Unfinished,
                path,
                "left over from a backup that broke off",
            );
        } else if self.listed.is_none()
            && (self.encrypted || !self.folder.join("Manifest.db").exists())
        {
            if !has_hash && self.sums.is_some() {
                self.find(Wrong::Extra, path, "it is not in the list of hashes");
            }
        } else {
            self.find(Wrong::Extra, path, "the phone's list does not name it");
        }
    }

    /// The hash that the list has for a path; lines before it have no file.
    fn hash_of(&mut self, path: &str) -> Result<Option<Hash>, Error> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.sums.as_mut().and_then(Iterator::next).transpose()?;
            }
            match self.ahead.take() {
                None => return Ok(None),
                Some((listed, hash)) => match order(&listed, path) {
                    std::cmp::Ordering::Less => self.gone(&listed),
                    std::cmp::Ordering::Equal => return Ok(Some(hash)),
                    std::cmp::Ordering::Greater => {
                        self.ahead = Some((listed, hash));
                        return Ok(None);
                    }
                },
            }
        }
    }

    fn rest_of_sums(&mut self) -> Result<(), Error> {
        while let Some((listed, _)) = self
            .ahead
            .take()
            .map(Ok)
            .or_else(|| self.sums.as_mut().and_then(Iterator::next))
            .transpose()?
        {
            self.gone(&listed);
        }
        Ok(())
    }

    fn gone(&mut self, listed: &str) {
        self.find(Wrong::Missing, listed, "the list of hashes names it");
    }

    fn report(self) -> Report {
        let outcome = match (self.findings.damage, self.findings.remarks) {
            (0, 0) => Outcome::Whole,
            (0, _) => Outcome::WholeWithRemarks,
            _ => Outcome::Damaged,
        };
        Report {
            path: self.folder.display().to_string(),
            outcome,
            files: self.files,
            bytes: self.bytes,
            listed: self.listed,
            hashed: self.hashed,
            has_sums: self.sums.is_some(),
            encrypted: self.encrypted,
            damage: self.findings.damage,
            remarks: self.findings.remarks,
            findings: self.findings.listed,
            contents: self.contents.list(),
        }
    }
}

/// Where a file lies in the folder.
fn place(file_id: &str) -> String {
    format!("{}/{file_id}", file_id.get(..2).unwrap_or_default())
}

fn compare(folder: &Path, waiting: &Mutex<Receiver<Compare>>, different: &Mutex<Vec<Finding>>) {
    // A few at a time: small files are compared faster than a lock changes hands.
    let mut batch = VecDeque::new();
    loop {
        if batch.is_empty() {
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(first) = waiting.recv() else { return };
            batch.push_back(first);
            batch.extend(waiting.try_iter().take(15));
        }
        let Some(Compare { path, hash }) = batch.pop_front() else {
            continue;
        };
        let (wrong, detail) = match sums::hash_file(&folder.join(&path)) {
            Ok((found, _)) if found == hash => continue,
            Ok(_) => (
                Wrong::Altered,
                "its bytes are not those that were received".to_owned(),
            ),
            Err(e) => (Wrong::Unreadable, e.to_string()),
        };
        different
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Finding {
                wrong,
                domain: None,
                relative_path: None,
                file: path,
                detail,
            });
    }
}
