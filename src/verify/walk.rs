//! Walks over the folder, and in the same order through the phone's list and our list of hashes.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::compared::Compared;
use super::finding::{Finding, Findings, Report, Wrong};
use super::options::{Depth, Options};
use super::our_files::{OurFiles, OurList};
use super::size::OtherSize;
use crate::backup_format::plists::ManifestPlist;
use crate::base::meter::Meter;
use crate::base::progress::Monitor;
use crate::reader::backup::Unlocked;
use crate::reader::manifest_feed::{self, Handfuls, List, Listed, Records, Summary};
use crate::store::sums::Hash;
use crate::store::walk::{Found, Walk, order};
use crate::store::{self, METADATA, Snapshot, snapshot};
use crate::verify::worker::{Bench, Noted, Task, Yield};
use crate::verify::{Error, cross_checks};

/// Largest number of files with another size that wait until the list is free to give their
/// digests. Each takes a few hundred bytes of memory.
const WAITING_MAX: usize = 10_000;

pub(super) struct Check<'a> {
    pub(super) folder: &'a Path,
    pub(super) options: Options<'a>,
    pub(super) sums: Option<OurList>,
    /// Faults of our own files.
    pub(super) ours: OurFiles,
    /// Folder of the files that we keep beside the backup, if we made it.
    pub(super) beside: Option<PathBuf>,
    /// The store has lists of hashes that no longer belong to any backup.
    pub(super) has_loose_lists: bool,
    pub(super) manifest: ManifestPlist,
    /// Keys of an encrypted backup, if the password is known.
    pub(super) unlocked: Option<Unlocked>,
    pub(super) findings: Findings,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) compared: Compared,
    pub(super) has_list: bool,
    /// The keys were found, so every file can be opened.
    pub(super) has_keys: bool,
    /// Files with another size whose records have not been read from the list yet.
    waiting: Vec<Task>,
    /// All files are directly in the backup's folder, as before iOS 10.
    pub(super) is_flat: bool,
    pub(super) listed: Option<u64>,
    pub(super) summary: Summary,
    /// The list has rows without a file, through no fault of the disk, or rows of an unknown kind.
    pub(super) lacks_something: bool,
    pub(super) yield_: Yield,
    shared: cross_checks::Shared,
    /// First error for lack of permission: then nothing is known about the backup.
    refused: Option<store::Error>,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        folder: &'a Path,
        options: Options<'a>,
        known: Option<&Snapshot>,
        ours: OurFiles,
    ) -> Result<Check<'a>, Error> {
        let beside = known.and_then(|known| known.beside().map(Path::to_path_buf));
        let has_loose_lists = match known {
            Some(known) if beside.is_none() => known.has_loose_lists()?,
            _ => false,
        };
        Ok(Check {
            folder,
            sums: (options.sums.as_deref())
                .map(|sums| OurList::open(sums, !ours.has_damaged_list))
                .transpose()?,
            ours,
            shared: cross_checks::Shared::of(folder, beside.is_some()),
            beside,
            has_loose_lists,
            options,
            manifest: ManifestPlist::default(),
            unlocked: None,
            findings: Findings::default(),
            files: 0,
            bytes: 0,
            compared: Compared::default(),
            has_list: false,
            has_keys: false,
            waiting: Vec::new(),
            is_flat: false,
            listed: None,
            summary: Summary::default(),
            lacks_something: false,
            yield_: Yield::default(),
            refused: None,
        })
    }

    pub(super) fn run(mut self, monitor: &dyn Monitor) -> Result<Report, Error> {
        self.our_list();
        self.property_lists();
        self.working_folder();
        self.unlock()?;
        self.files(monitor)?;
        Ok(self.report())
    }

    /// Returns true if the contents of few or no files are read, so that progress is that of the
    /// walk.
    fn reads_little(&self) -> bool {
        self.options.depth == Depth::Quick || self.options.sample.is_some()
    }

    /// Returns a meter that expects what the report about the run says.
    fn meter<'m>(&self, monitor: &'m dyn Monitor) -> Meter<'m> {
        let snapshot = snapshot::find(self.folder);
        let files = snapshot.as_ref().and_then(Snapshot::reported_files);
        let bytes = snapshot.as_ref().and_then(Snapshot::reported_size);
        Meter::new(monitor, files, bytes.filter(|_| !self.reads_little()))
    }

    pub(super) fn find(&mut self, wrong: Wrong, file: &str, detail: impl Into<String>) {
        self.findings.add(Finding {
            wrong,
            domain: None,
            relative_path: None,
            file: file.to_owned(),
            detail: detail.into(),
            hash: None,
            shows_on_phone: false,
        });
    }

    fn find_row(&mut self, wrong: Wrong, row: &Listed, detail: impl Into<String>) {
        self.findings.add(Finding {
            wrong,
            domain: Some(row.domain.to_owned()),
            relative_path: Some(row.relative_path.to_owned()),
            file: self.place(row.file_id),
            detail: detail.into(),
            hash: None,
            shows_on_phone: false,
        });
    }

    fn files(&mut self, monitor: &dyn Monitor) -> Result<(), Error> {
        let list = self.list();
        let name = list.as_ref().map_or("", List::name);
        let records = match self.options.depth {
            Depth::Quick => Records::Size,
            Depth::Bytes | Depth::Deep => Records::Whole,
        };
        let encrypted = self.manifest.encrypted;
        let reader = list.map(|list| manifest_feed::reader(list, records, encrypted));
        let (reader, list) = reader.unzip();
        // Taken out of self, because the walk needs self mutably.
        let keys = self.unlocked.take().map(|unlocked| unlocked.keys);
        self.has_keys = keys.is_some();
        let meter = self.meter(monitor);
        let bench = Bench {
            meter: &meter,
            counts_files: !self.reads_little(),
            folder: self.folder,
            keys: keys.as_ref(),
            encrypted,
            hashes_prove: !self.options.fresh_hashes,
            token: self.options.token.clone(),
            yield_: Mutex::default(),
        };
        // Hashing is the slow part. It runs beside the walk, on one thread per core.
        let (queue, waiting) = sync_channel::<Task>(256);
        let waiting = Mutex::new(waiting);
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let list = thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| bench.work(&waiting));
            }
            // Reading the phone's list takes as long as the walk, so it runs beside it too.
            let reader = reader.map(|reader| scope.spawn(|| reader.read()));
            let walked = self.walk(list, &queue, &meter);
            let list = match reader.map(thread::ScopedJoinHandle::join) {
                None => None,
                Some(Ok((summary, read, list))) => {
                    self.summary = summary;
                    if let Err(why) = read {
                        self.find(Wrong::Unreadable, name, why.to_string());
                    }
                    Some(list)
                }
                Some(Err(_)) => {
                    self.find(Wrong::Unreadable, name, "reading it failed");
                    None
                }
            };
            for mut task in std::mem::take(&mut self.waiting) {
                let id = task.path.rsplit('/').next().unwrap_or_default();
                if let (Some(list), Some(noted)) = (&list, &mut task.noted) {
                    noted.sealed = list.sealed_of(id);
                }
                // Sending cannot fail: the receivers live until the queue is closed.
                drop(queue.send(task));
            }
            drop(queue);
            walked.map(|()| list)
        })?;
        if self.options.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let yield_ = bench.yield_.into_inner();
        self.yield_ = yield_.unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = self.refused.take().or(self.yield_.refused.take()) {
            return Err(refused.into());
        }
        let mut found = std::mem::take(&mut self.yield_.findings);
        found.append(&mut cross_checks::other_digests(&mut self.yield_));
        cross_checks::name_swapped(&mut found, self.options.sums.as_deref())?;
        let suspects = std::mem::take(&mut self.yield_.suspects);
        let inside = &mut self.yield_.inside;
        found.extend(cross_checks::look_again(
            self.folder,
            suspects,
            list,
            keys,
            inside,
        ));
        for finding in found {
            self.findings.add(finding);
        }
        self.names_that_lead_out(name);
        self.findings_of_all();
        Ok(())
    }

    /// Adds the findings that cover all files at once.
    fn findings_of_all(&mut self) {
        for (wrong, strange, what) in [
            (
                Wrong::Unreadable,
                std::mem::take(&mut self.summary.unreadable),
                "records of folders or links cannot be read",
            ),
            (
                Wrong::Misnamed,
                std::mem::take(&mut self.summary.misnamed),
                "folders or links have ids that are not the SHA-1 of domain and path",
            ),
            (
                Wrong::NotRestored,
                std::mem::take(&mut self.summary.strange),
                "rows are not files, folders or links, so they cannot be checked",
            ),
        ] {
            let (domain, relative_path) = strange.first.unzip();
            self.lacks_something |= strange.count > 0;
            if strange.count > 0 {
                self.findings.add(Finding {
                    wrong,
                    domain,
                    relative_path,
                    file: "Manifest.db".to_owned(),
                    detail: format!("{} {what}", crate::base::units::count(strange.count)),
                    hash: None,
                    shows_on_phone: false,
                });
            }
        }
        for (file, detail) in self.shared.told() {
            self.find(Wrong::Shared, &file, detail);
        }
        if self.options.depth == Depth::Deep {
            for detail in cross_checks::not_restored(&self.manifest, &self.summary.apps) {
                self.find(Wrong::NotRestored, "Manifest.plist", detail);
            }
        }
    }

    /// Adds one finding for all names that lead out of where they belong.
    fn names_that_lead_out(&mut self, list: &str) {
        let Some((domain, relative_path)) = self.summary.first_leading_out.take() else {
            return;
        };
        let detail = format!(
            "it has paths that lead out of their folders ({}), which phones do not write: do not \
             restore it",
            self.summary.leading_out
        );
        self.findings.add(Finding {
            wrong: Wrong::Misnamed,
            domain: Some(domain),
            relative_path: Some(relative_path),
            file: list.to_owned(),
            detail,
            hash: None,
            shows_on_phone: false,
        });
    }

    fn walk(
        &mut self,
        list: Option<Handfuls>,
        queue: &SyncSender<Task>,
        meter: &Meter<'_>,
    ) -> Result<(), Error> {
        let mut walk = Walk::new(self.folder)?.peekable();
        if let Some(list) = list {
            self.has_list = true;
            let mut listed = 0;
            for handful in list {
                for row in handful.files() {
                    listed += 1;
                    self.row(&row, &mut walk, queue, meter)?;
                }
            }
            self.listed = Some(listed);
        }
        while let Some(found) = self.next(&mut walk) {
            self.met(found, None, queue, meter)?;
        }
        self.rest_of_sums()
    }

    /// Returns the next entry of the folder. Entries that cannot be read are reported and skipped.
    fn next(&mut self, walk: &mut std::iter::Peekable<Walk>) -> Option<Found> {
        loop {
            match walk.next()? {
                Ok(found) => return Some(found),
                Err(e) => self.trouble(e),
            }
        }
    }

    /// Reports an entry that the walk could not read.
    fn trouble(&mut self, e: store::Error) {
        match e {
            e if e.is_refused() => self.refused = Some(e),
            // No phone gives such a name, so the backup has lost nothing by it.
            store::Error::Damaged { path, why } => {
                let below = path.strip_prefix(self.folder).unwrap_or(&path);
                self.find(Wrong::Extra, &below.display().to_string(), why);
            }
            e => self.find(Wrong::Unreadable, ".", e.to_string()),
        }
    }

    /// Handles one row of the phone's list. Files on the disk that come before it are in no row.
    fn row(
        &mut self,
        row: &Listed,
        walk: &mut std::iter::Peekable<Walk>,
        queue: &SyncSender<Task>,
        meter: &Meter<'_>,
    ) -> Result<(), Error> {
        let id = row.file_id;
        if !is_file_id(id) {
            self.find_row(Wrong::Misnamed, row, "the list gives it an invalid file ID");
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
            if let Some(Err(e)) = walk.next_if(Result::is_err) {
                self.trouble(e);
                continue;
            }
            let before = match walk.peek() {
                Some(Ok(found)) => order(&found.path, &wanted),
                _ => std::cmp::Ordering::Greater,
            };
            match before {
                std::cmp::Ordering::Less => {
                    if let Some(found) = self.next(walk) {
                        self.met(found, None, queue, meter)?;
                    }
                }
                std::cmp::Ordering::Equal => {
                    if let Some(found) = self.next(walk) {
                        self.met(found, Some(row), queue, meter)?;
                    }
                    return Ok(());
                }
                std::cmp::Ordering::Greater => {
                    // Skip our own list's line for this file too, so that the file is reported
                    // once.
                    self.hash_of(&wanted)?;
                    self.missing(row);
                    return Ok(());
                }
            }
        }
    }

    fn missing(&mut self, row: &Listed) {
        let place = self.place(row.file_id);
        let size = crate::base::units::size(*row.size.as_ref().unwrap_or(&0));
        let complaints = &self.options.complaints;
        match complaints.iter().find(|complaint| complaint.file == place) {
            None => self.find_row(Wrong::Missing, row, format!("it should have {size}")),
            Some(complaint) => {
                let detail = format!(
                    "the phone could not read it when this backup was made: {} (code {})",
                    complaint.text, complaint.code
                );
                self.lacks_something = true;
                self.find_row(Wrong::PhoneFault, row, detail);
            }
        }
    }

    /// Handles one file on the disk, with its row of the phone's list if there is one.
    fn met(
        &mut self,
        found: Found,
        row: Option<&Listed>,
        queue: &SyncSender<Task>,
        meter: &Meter<'_>,
    ) -> Result<(), Error> {
        if !found.is_file() {
            let detail = "it is neither a file nor a folder";
            match row {
                // The target of a link is not what was backed up.
                Some(row) => self.find_row(Wrong::Unreadable, row, detail),
                None => self.find(Wrong::Extra, &found.path, detail),
            }
            return Ok(());
        }
        if self.options.is_cancelled() {
            return Err(Error::Interrupted);
        }
        self.files += 1;
        self.bytes += found.meta.len();
        self.shared.look(&found);
        if self.reads_little() {
            meter.add_file();
        }
        let hash = self.hash_of(&found.path)?;
        let on_disk = found.meta.len();
        let size = match row {
            Some(row) => self.listed_size(row),
            None => {
                self.unlisted(&found, hash.is_some());
                None
            }
        };
        let mut other_size = row
            .zip(size)
            .and_then(|(row, size)| OtherSize::of(on_disk, size, row.is_padded));
        if let (Some(row), Some(other)) = (row, other_size) {
            self.compared.other_sizes += 1;
            let is_proven = hash.is_some() && !self.options.fresh_hashes;
            if other.is_surely_cut(row.is_padded) && !is_proven {
                self.find_row(Wrong::Truncated, row, other.words());
                other_size = None;
            }
        }
        if hash.is_none() && row.is_some() && self.sums.is_some() {
            self.find(
                Wrong::Unchecked,
                &found.path,
                "the list of hashes does not name it",
            );
        }
        // Read at least one file, however small the sample is.
        let is_first = self.compared.read == 0;
        let is_read = self.options.depth >= Depth::Bytes
            && (self.options.sample).is_none_or(|sample| is_first || sample.has(&found.path));
        let is_known = row.is_some() || METADATA.contains(&&*found.path) || !self.has_list;
        self.compared
            .count(hash.is_some(), is_read, is_known && on_disk > 0);
        let looks_inside = is_read && self.options.depth == Depth::Deep;
        let noted = row.zip(size).and_then(|(row, size)| {
            let wants = looks_inside || other_size.is_some();
            wants.then(|| Noted {
                size,
                sealed: row.sealed.cloned(),
                looks_inside,
            })
        });
        let hash = hash.filter(|_| is_read || other_size.is_some());
        self.compared.hashed += u64::from(hash.is_some());
        if let (Some(list), Some(_)) = (&mut self.sums, hash) {
            list.count(&found.path);
        }
        if hash.is_none() && noted.is_none() {
            return Ok(());
        }
        self.compared.read += 1;
        let lacks_record = noted.as_ref().is_some_and(|noted| noted.sealed.is_none());
        let task = Task {
            path: found.path,
            on_disk,
            hash,
            name: row.map(|row| (row.domain.to_owned(), row.relative_path.to_owned())),
            other_size,
            noted,
        };
        if lacks_record && self.waiting.len() < WAITING_MAX {
            self.waiting.push(task);
        } else {
            // Sending cannot fail: the receivers live until the walk ends.
            drop(queue.send(task));
        }
        Ok(())
    }

    /// Returns the size in the phone's list. Reports a record that cannot be read.
    fn listed_size(&mut self, row: &Listed) -> Option<u64> {
        match &row.size {
            Ok(size) => Some(*size),
            Err(why) => {
                let detail = format!("its record in the phone's list cannot be read: {why}");
                self.find_row(Wrong::Unreadable, row, detail);
                None
            }
        }
    }

    /// Judges a file that is not in the phone's list: either one of the few that never are, or one
    /// that does not belong here.
    fn unlisted(&mut self, found: &Found, has_hash: bool) {
        let path = found.path.as_str();
        if METADATA.contains(&path) || matches!(path, "Manifest.mbdb" | "Manifest.mbdx") {
            if !has_hash && self.sums.is_some() {
                self.find(
                    Wrong::Unchecked,
                    path,
                    "the list of hashes does not name it",
                );
            }
        } else if path.starts_with("Snapshot/") {
            self.find(
                Wrong::Unfinished,
                path,
                "left over from an interrupted backup",
            );
        } else if !self.has_list {
            if !has_hash && self.sums.is_some() {
                self.find(Wrong::Extra, path, "the list of hashes does not name it");
            }
        } else if has_hash || is_file_id(path.rsplit('/').next().unwrap_or_default()) {
            self.find(Wrong::Orphaned, path, "the phone's list does not name it");
        } else {
            self.find(Wrong::Extra, path, "none of the lists name it");
        }
    }

    /// Returns the hash that our list has for a path. Lines before it have no file, and are
    /// reported.
    fn hash_of(&mut self, path: &str) -> Result<Option<Hash>, Error> {
        self.list_up_to(Some(path))
    }

    fn rest_of_sums(&mut self) -> Result<(), Error> {
        self.list_up_to(None).map(drop)
    }

    /// Returns the path of a file in the backup's folder.
    fn place(&self, file_id: &str) -> String {
        if self.is_flat {
            file_id.to_owned()
        } else {
            format!("{}/{file_id}", file_id.get(..2).unwrap_or_default())
        }
    }
}

fn is_file_id(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
