//! Is a backup whole? For any folder of Apple's layout, ours or another program's.
//!
//! One walk over the folder in the order of file ids, beside it the phone's list (Manifest.db, or Manifest.mbdb of iOS 9 and
//! older) and our list of hashes, both in the same order: nothing is held in memory but the findings, and those are capped.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Error;
use super::compare::{Compare, OtherSize, compare};
use super::finding::Findings;
pub use super::finding::{Finding, Outcome, Report, Wrong};
use super::listed::{self, Handfuls, List, Listed, Summary};
use crate::manifest::db::Db;
use crate::manifest::mbdb::Mbdb;
use crate::manifest::plists::{self, ManifestPlist, Status, Unreadable};
use crate::monitor::{Event, Monitor, Phase};
use crate::store::sums::{Hash, Sums};
use crate::store::walk::{Found, Walk, order};
use crate::store::{self, METADATA, snapshot};

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The list of hashes; without one the folder's own is looked for beside it.
    pub sums: Option<PathBuf>,
    /// Some of its hashes were made of the files just now, so that they prove nothing about them.
    pub fresh_hashes: bool,
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
    let known = snapshot::find(folder);
    let beside = known
        .as_ref()
        .and_then(|s| s.beside().map(Path::to_path_buf));
    let sums = options
        .sums
        .clone()
        .or_else(|| known.and_then(|s| s.sums()));
    let mut check = Check::new(folder, sums.as_deref(), options.read_all)?;
    if sums.is_none() && beside.is_some() {
        check.find(
            Wrong::Unchecked,
            store::SUMS,
            "the list of hashes of this backup is gone",
        );
    }
    check.beside = beside;
    check.fresh_hashes = options.fresh_hashes;
    check.property_lists();
    check.files(monitor)?;
    Ok(check.report())
}

struct Check<'a> {
    folder: &'a Path,
    sums: Option<Sums>,
    fresh_hashes: bool,
    /// What we keep beside it, if we made it.
    beside: Option<PathBuf>,
    read_all: bool,
    ahead: Option<(String, Hash)>,
    encrypted: bool,
    findings: Findings,
    files: u64,
    bytes: u64,
    hashed: u64,
    has_list: bool,
    /// Files lie beside each other, as before iOS 10.
    is_flat: bool,
    listed: Option<u64>,
    summary: Summary,
}

impl<'a> Check<'a> {
    fn new(folder: &'a Path, sums: Option<&Path>, read_all: bool) -> Result<Check<'a>, Error> {
        Ok(Check {
            folder,
            sums: sums.map(Sums::open).transpose()?,
            fresh_hashes: false,
            beside: None,
            read_all,
            ahead: None,
            encrypted: false,
            findings: Findings::default(),
            files: 0,
            bytes: 0,
            hashed: 0,
            has_list: false,
            is_flat: false,
            listed: None,
            summary: Summary::default(),
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
            file: self.place(row.file_id),
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
            Ok(manifest) => {
                self.encrypted = manifest.encrypted;
                if let Some(why) = manifest.unreadable_keys {
                    let detail = format!(
                        "the keys of this encrypted backup cannot be read ({why}): nothing in it can ever be opened"
                    );
                    self.find(Wrong::Unreadable, "Manifest.plist", detail);
                }
            }
            Err(why) => self.find(Wrong::Unreadable, "Manifest.plist", why.to_string()),
        }
        if let Err(why) = plists::read(self.folder, "Info.plist") {
            self.find(Wrong::Unreadable, "Info.plist", why.to_string());
        }
    }

    /// The phone's list, checked for itself; `None` where it cannot be read, for the reason that is noted.
    fn list(&mut self) -> Option<List> {
        let holds = |name| self.folder.join(name).exists();
        if holds("Manifest.mbdb") && !holds("Manifest.db") {
            self.is_flat = true;
            // Never encrypted as a whole, other than Manifest.db.
            let opened = Mbdb::open(self.folder);
            let noted = opened
                .map_err(|why| self.find(Wrong::Unreadable, "Manifest.mbdb", why.to_string()));
            return noted.ok().map(List::Mbdb);
        }
        self.database().map(List::Db)
    }

    fn database(&mut self) -> Option<Db> {
        if self.encrypted {
            if std::fs::metadata(self.folder.join("Manifest.db")).map_or(0, |m| m.len()) == 0 {
                let detail = "without the phone's list of files nothing here can be restored";
                self.find(Wrong::Missing, "Manifest.db", detail);
            } else if self.sums.is_none() {
                let detail =
                    "the phone's list of files is encrypted, so what must be here is not known";
                self.find(Wrong::Unchecked, "Manifest.db", detail);
            }
            return None;
        }
        let opened = Db::open(self.folder).and_then(|db| db.check(true).map(|()| db));
        match opened {
            Ok(db) => Some(db),
            Err(why) => {
                let copy = self.beside.as_ref().map(|dir| dir.join("Manifest.db"));
                let copy = copy
                    .filter(|copy| copy.exists())
                    .map_or_else(String::new, |copy| {
                        format!("; a copy of it is {}", copy.display())
                    });
                self.find(Wrong::Unreadable, "Manifest.db", format!("{why}{copy}"));
                None
            }
        }
    }

    fn files(&mut self, monitor: &dyn Monitor) -> Result<(), Error> {
        let list = self.list();
        let name = list.as_ref().map_or("", List::name);
        let (reader, list) = list.map(|list| listed::reader(list, self.read_all)).unzip();
        let folder = self.folder;
        // Hashing is the slow part; it runs beside the walk, on as many threads as there are cores.
        let (queue, waiting) = sync_channel::<Compare>(256);
        let waiting = Mutex::new(waiting);
        let different = Mutex::new(Vec::new());
        let threads = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| compare(folder, &waiting, &different));
            }
            // Reading the phone's list is as much work as the walk, and runs beside it too.
            let reader = reader.map(|reader| scope.spawn(|| reader.read()));
            let walked = self.walk(list, &queue, monitor);
            drop(queue);
            match reader.map(thread::ScopedJoinHandle::join) {
                None => {}
                Some(Ok((summary, read))) => {
                    self.summary = summary;
                    if let Err(why) = read {
                        self.find(Wrong::Unreadable, name, why.to_string());
                    }
                }
                Some(Err(_)) => self.find(Wrong::Unreadable, name, "reading it failed"),
            }
            walked
        })?;
        for finding in different
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            self.findings.add(finding);
        }
        self.names_that_lead_out(name);
        Ok(())
    }

    /// One finding for all of them.
    fn names_that_lead_out(&mut self, list: &str) {
        let Some((domain, relative_path)) = self.summary.first_leading_out.take() else {
            return;
        };
        let detail = format!(
            "it has names that lead out of where they belong ({}); no phone writes that: restore it nowhere",
            self.summary.leading_out
        );
        self.findings.add(Finding {
            wrong: Wrong::Misnamed,
            domain: Some(domain),
            relative_path: Some(relative_path),
            file: list.to_owned(),
            detail,
        });
    }

    fn walk(
        &mut self,
        list: Option<Handfuls>,
        queue: &SyncSender<Compare>,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(self.folder)?.peekable();
        if let Some(list) = list {
            self.has_list = true;
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
        let wanted = self.place(id);
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
                        format!("it should have {}", crate::units::size(size)),
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
        let other_size = match row {
            Some(row) => self.size(row, found.meta.len(), listed_hash.is_some()),
            None => {
                self.unlisted(&found, listed_hash.is_some());
                None
            }
        };
        let Some(hash) = listed_hash else {
            if row.is_some() && self.sums.is_some() {
                self.find(
                    Wrong::Unchecked,
                    &found.path,
                    "it is not in the list of hashes",
                );
            }
            return Ok(());
        };
        // The phone's list may be wrong about a size; what was received is not.
        if self.read_all || other_size.is_some() {
            self.hashed += 1;
            // The receivers live until the walk ends.
            drop(queue.send(Compare {
                path: found.path,
                hash,
                name: row.map(|row| (row.domain.to_owned(), row.relative_path.to_owned())),
                other_size,
            }));
        }
        Ok(())
    }

    /// Compares sizes. What that alone cannot decide is left to the hash, where there is one: answers the difference then.
    fn size(&mut self, row: &Listed, on_disk: u64, has_hash: bool) -> Option<OtherSize> {
        let listed = match &row.size {
            Ok(size) => *size,
            Err(why) => {
                let detail = format!("its record in the phone's list cannot be read: {why}");
                self.find_row(Wrong::Unreadable, row, detail);
                return None;
            }
        };
        let right = match row.is_padded {
            true => padded(listed),
            false => listed..=listed,
        };
        // What is encrypted has whole blocks.
        if right.contains(&on_disk) && (!row.is_padded || on_disk.is_multiple_of(BLOCK)) {
            return None;
        }
        let other = OtherSize {
            on_disk,
            listed,
            is_short: on_disk < *right.start(),
        };
        let is_lost = on_disk == 0;
        if has_hash && !is_lost && !self.fresh_hashes {
            return Some(other);
        }
        // iOS compacts databases before it sends them, so the list alone is no proof.
        let is_database =
            row.relative_path.ends_with("db") || row.relative_path.ends_with(".sqlite");
        let wrong = if !other.is_short || (is_database && !is_lost) {
            Wrong::OtherSize
        } else {
            Wrong::Truncated
        };
        self.find_row(wrong, row, other.words());
        None
    }

    /// A file that is not in the phone's list: one of the few that never are, or one that has no business here.
    fn unlisted(&mut self, found: &Found, has_hash: bool) {
        let path = found.path.as_str();
        if METADATA.contains(&path) || matches!(path, "Manifest.mbdb" | "Manifest.mbdx") {
            if !has_hash && self.sums.is_some() {
                self.find(Wrong::Unchecked, path, "it is not in the list of hashes");
            }
        } else if path.starts_with("Snapshot/") {
            self.find(
                Wrong::Unfinished,
                path,
                "left over from a backup that broke off",
            );
        } else if !self.has_list {
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

    /// Where a file lies in the folder.
    fn place(&self, file_id: &str) -> String {
        match self.is_flat {
            true => file_id.to_owned(),
            false => format!("{}/{file_id}", file_id.get(..2).unwrap_or_default()),
        }
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
            contents: self.summary.amounts.list(),
        }
    }
}

/// What AES encrypts at a time.
const BLOCK: u64 = 16;

/// Sizes on the disk of an encrypted file: filled up to a whole block, or by one more (PKCS#7).
fn padded(size: u64) -> RangeInclusive<u64> {
    let filled = size.div_ceil(BLOCK).saturating_mul(BLOCK);
    filled..=(size / BLOCK + 1).saturating_mul(BLOCK)
}
