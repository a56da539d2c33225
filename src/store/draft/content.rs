//! The content of a draft: the files that the phone sends, moves and removes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::complete::Complete;
use super::origin::Origin;
use crate::base::backup_path::BackupPath;
use crate::base::plain_file;
use crate::base::udid::Udid;
use crate::store::draft::clone::clone_backup;
use crate::store::draft::early_flush::EarlyFlush;
use crate::store::draft::hash_list::{prove, write_sums};
use crate::store::draft::hashing_writers::WriterPool;
use crate::store::draft::journal::Journal;
use crate::store::draft::leftover::Leftover;
use crate::store::draft::note::{NOTE, Note, PendingNote};
use crate::store::error::Error;
use crate::store::lock::Lock;
use crate::store::names::{RECORDED, SUMS};
use crate::store::root::Store;
use crate::store::snapshot::Snapshot;
use crate::store::walk::Walk;
use crate::store::{disk, trash};

/// A draft. If it is dropped unsealed, it stays on the disk so that the next run can resume or
/// discard it.
pub struct Draft {
    pub(super) store: Store,
    pub(super) udid: Udid,
    folder: PathBuf,
    base: Option<Snapshot>,
    journal: Arc<Mutex<Journal>>,
    writers: WriterPool,
    flush: EarlyFlush,
    /// Dropped before the lock, so that no other run finds a draft whose note is still written.
    note: PendingNote,
    pub(super) lock: Lock,
}

impl Draft {
    /// Begins an empty draft.
    pub fn fresh(store: &Store, udid: &Udid, lock: Lock) -> Result<Draft, Error> {
        Draft::begin(store, udid, lock, None).map(|(draft, _)| draft)
    }

    /// Begins a draft as a clone of the current backup, or an empty draft without a current
    /// backup.
    pub(crate) fn begin(
        store: &Store,
        udid: &Udid,
        lock: Lock,
        current: Option<Snapshot>,
    ) -> Result<(Draft, Origin), Error> {
        let folder = store.draft_of(udid);
        trash::throw_away(&store.own_of(udid), &folder, &mut || ())?;
        let backup = folder.join("root").join(udid.as_str());
        disk::make_private_dirs(&backup)?;
        let origin = match &current {
            None => Origin::Fresh,
            Some(base) => {
                let origin = clone_backup(base, &backup)?;
                base.mend_clone(&backup)?;
                origin
            }
        };
        let note = PendingNote::begin(&folder, &Note::of(current.as_ref())?)?;
        let mut draft = Draft::open(store, udid, lock, current)?;
        draft.note = note;
        Ok((draft, origin))
    }

    /// Resumes what an earlier run left. This requires that the draft was cloned from the same
    /// backup, and that everything in it either comes from that backup or is proved by the journal.
    /// Otherwise returns the lock, unused.
    pub(crate) fn resume(
        store: &Store,
        leftover: Leftover,
        udid: &Udid,
        lock: Lock,
        current: Option<Snapshot>,
    ) -> Result<Result<(Draft, Origin), Lock>, Error> {
        let note = plain_file::read(&leftover.folder().join(NOTE)).ok();
        let note: Option<Note> = note.and_then(|text| serde_json::from_slice(&text).ok());
        if note != Some(Note::of(current.as_ref())?) {
            return Ok(Err(lock));
        }
        match prove(
            leftover.backup(),
            &leftover.folder().join("journal"),
            udid,
            current.as_ref(),
        ) {
            // After a power failure the journal may contain anything, so it proves nothing.
            Ok(None) | Err(Error::Damaged { .. }) => Ok(Err(lock)),
            Err(e) => Err(e),
            Ok(Some(dropped)) => Draft::open(store, udid, lock, current)
                .map(|draft| Ok((draft, Origin::Resumed { dropped }))),
        }
    }

    fn open(
        store: &Store,
        udid: &Udid,
        lock: Lock,
        base: Option<Snapshot>,
    ) -> Result<Draft, Error> {
        let folder = store.draft_of(udid);
        let journal = Arc::new(Mutex::new(Journal::open(&folder.join("journal"))?));
        let flush = EarlyFlush::start(&folder)?;
        let (root, incoming) = (folder.join("root"), folder.join("incoming"));
        let writers = WriterPool::start(&root, &incoming, &journal, &flush)?;
        Ok(Draft {
            store: store.clone(),
            udid: udid.clone(),
            folder,
            base,
            journal,
            writers,
            flush,
            note: PendingNote::default(),
            lock,
        })
    }

    /// Returns the UDID of the draft's phone.
    pub(crate) fn udid(&self) -> &Udid {
        &self.udid
    }

    /// Returns true if the phone has written a Status.plist that differs from the previous
    /// backup's.
    pub(crate) fn has_new_status(&self) -> Result<bool, Error> {
        let status = self.backup().join("Status.plist");
        let before = self.store.current_path(&self.udid).join("Status.plist");
        let same = disk::same_bytes(&status, &before).map_err(|e| Error::io("read", &status, e))?;
        Ok(status.exists() && !same)
    }

    /// Returns true if the draft is based on an existing backup.
    pub(crate) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// Returns the folder with the draft's files, in Apple's layout.
    pub(crate) fn backup(&self) -> PathBuf {
        self.root().join(self.udid.as_str())
    }

    /// Returns the number of free bytes on the draft's disk.
    pub(crate) fn free_space(&self) -> Result<u64, Error> {
        self.store.free_space()
    }

    /// Stores a file: afterwards it is either complete under its name or absent. Errors come from
    /// reading `body`; `Draft::settle` reports files that could not be written.
    pub fn keep(&mut self, path: &BackupPath, body: &mut dyn Read) -> io::Result<()> {
        self.writers.keep(path, body)
    }

    /// Waits until all stored files are in their places. Returns those that could not be written.
    pub(crate) fn settle(&mut self) -> Result<Vec<(BackupPath, Error)>, Error> {
        let failed = self
            .writers
            .settle()
            .map_err(|e| Error::io("write to", &self.folder, e))?;
        self.journal().flush()?;
        Ok(failed)
    }

    /// Opens a file for reading.
    pub fn read(&self, path: &BackupPath) -> Result<File, Error> {
        let place = path.below(&self.root());
        plain_file::open(&place).map_err(|e| Error::io("read", &place, e))
    }

    /// Returns the location on disk of a path that the phone uses.
    pub(crate) fn place(&self, path: &BackupPath) -> PathBuf {
        path.below(&self.root())
    }

    /// Makes a folder.
    pub(crate) fn make_dir(&self, path: &BackupPath) -> Result<(), Error> {
        disk::make_private_dirs(&self.place(path))
    }

    /// Moves a file or folder, replacing whatever is at the new path.
    pub(crate) fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Error> {
        let (source, target) = (self.place(from), self.place(to));
        let failed = |e| Error::io("move", &source, e);
        let meta = fs::symlink_metadata(&source).map_err(failed)?;
        if source != target && is_one_in_the_other(&source, &target) {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        self.journal().moved(from, to, meta.is_dir())?;
        let moved = match fs::rename(&source, &target) {
            Err(first)
                if target.is_dir() || first.kind() == io::ErrorKind::NotFound || meta.is_dir() =>
            {
                make_way(&target).and_then(|()| fs::rename(&source, &target))
            }
            other => other,
        };
        moved.map_err(failed)
    }

    /// Copies a file or folder, replacing whatever is at the new path.
    pub(crate) fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Error> {
        let (source, target) = (self.place(from), self.place(to));
        let failed = |e| Error::io("copy", &source, e);
        // The target is removed first, so it must not contain the source. A folder copied into
        // itself would never end.
        if is_one_in_the_other(&source, &target) {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        let meta = fs::symlink_metadata(&source).map_err(failed)?;
        self.journal().copied(from, to, meta.is_dir())?;
        make_way(&target).map_err(failed)?;
        if !meta.is_dir() {
            return disk::copy_file(&source, &target).map_err(failed);
        }
        disk::make_private_dirs(&target)?;
        for found in Walk::new(&source)? {
            let found = found?;
            let place = target.join(&found.path);
            if let Some(parent) = place.parent() {
                disk::make_private_dirs(parent)?;
            }
            disk::copy_file(&source.join(&found.path), &place).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes a file or folder. Does nothing if it does not exist.
    pub(crate) fn remove(&mut self, path: &BackupPath) -> Result<(), Error> {
        let place = self.place(path);
        let is_dir = place.is_dir();
        self.journal().removed(path, is_dir)?;
        disk::remove_all(&place).map_err(|e| Error::io("remove", &place, e))
    }

    /// Ends the writing: makes the list of hashes and copies the metadata. Calls `step` for each
    /// file.
    pub fn complete(mut self, step: &mut dyn FnMut()) -> Result<Complete, Error> {
        if let Some((_, error)) = self.settle()?.into_iter().next() {
            return Err(error);
        }
        self.note.finish()?;
        // The rest is written to the disk while the lists are made and checked.
        self.flush.begin();
        let beside = self.folder.join("beside");
        disk::remove_all(&beside).map_err(|e| Error::io("empty", &beside, e))?;
        disk::make_private_dirs(&beside)?;
        let backup = self.backup();
        // The list is checked again, since hours may have passed. If it has been damaged meanwhile,
        // it proves nothing.
        let carried = self
            .base
            .as_ref()
            .map(Snapshot::proven)
            .transpose()?
            .flatten();
        let journal = self.folder.join("journal");
        let (tally, listing) = write_sums(
            &backup,
            &self.udid,
            &journal,
            carried.as_ref(),
            &beside,
            step,
        )?;
        for name in RECORDED {
            let (from, to) = (backup.join(name), beside.join(name));
            if from.exists() {
                disk::copy_file(&from, &to).map_err(|e| Error::io("copy", &from, e))?;
            }
        }
        Ok(Complete {
            store: self.store,
            udid: self.udid,
            backup,
            sums: beside.join(SUMS),
            tally,
            listing,
            flush: self.flush,
            has_lost_list: carried.is_none()
                && self.base.is_some_and(|base| base.beside().is_some()),
            lock: self.lock,
        })
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_one_in_the_other(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Removes whatever is at `target`, and creates the folder above it.
fn make_way(target: &Path) -> io::Result<()> {
    disk::remove_all(target)?;
    match target.parent() {
        Some(parent) => disk::make_private_dirs(parent).map_err(|e| match e {
            Error::Io { cause, .. } => cause,
            other => io::Error::other(other),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sums;
    use crate::store::tally::Tally;
    use std::time::Duration;

    const UDID: &str = "00008030-001C195E0A88802E";
    /// The date of the drafts' Status.plist.
    const MADE: &str = "2026-11-20T21:14:01Z";

    fn draft(dir: &tempfile::TempDir) -> Draft {
        let store = Store::create(&dir.path().join("store")).unwrap();
        let udid: Udid = UDID.parse().unwrap();
        let lock = store.lock(&udid).unwrap();
        Draft::fresh(&store, &udid, lock).unwrap()
    }

    fn path(name: &str) -> BackupPath {
        format!("{UDID}/{name}").parse().unwrap()
    }

    /// Returns all files in the draft, with their text.
    fn all(draft: &Draft) -> Vec<(String, String)> {
        let found = Walk::new(&draft.backup()).unwrap().map(Result::unwrap);
        let text = |path: &str| fs::read_to_string(draft.backup().join(path)).unwrap();
        found.map(|f| (f.path.clone(), text(&f.path))).collect()
    }

    fn assert_holds(draft: &Draft, files: &[(&str, &str)]) {
        let files = files.iter().map(|(p, t)| ((*p).into(), (*t).into()));
        assert_eq!(all(draft), files.collect::<Vec<_>>());
    }

    fn keep(draft: &mut Draft, files: &[&str]) {
        for name in files {
            draft.keep(&path(name), &mut name.as_bytes()).unwrap();
        }
        assert!(draft.settle().unwrap().is_empty());
    }

    #[test]
    fn move_replaces_existing_target() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = draft(&dir);
        keep(&mut draft, &["a", "b", "c", "d/e", "f/g", "h/i", "k"]);
        draft.rename(&path("a"), &path("b")).unwrap();
        draft.rename(&path("c"), &path("d")).unwrap();
        draft.rename(&path("f"), &path("h")).unwrap();
        draft.rename(&path("k"), &path("new/k")).unwrap();
        draft.rename(&path("h"), &path("b")).unwrap();
        assert_holds(&draft, &[("b/g", "f/g"), ("d", "c"), ("new/k", "k")]);
        assert!(draft.rename(&path("absent"), &path("d")).is_err());
        assert_holds(&draft, &[("b/g", "f/g"), ("d", "c"), ("new/k", "k")]);
    }

    #[test]
    fn copy_is_independent_of_source() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = draft(&dir);
        keep(&mut draft, &["a", "b", "d/e", "d/f/g"]);
        draft.copy(&path("a"), &path("b")).unwrap();
        draft.copy(&path("d"), &path("n/d")).unwrap();
        draft.copy(&path("a"), &path("d")).unwrap();
        fs::write(draft.place(&path("a")), "changed").unwrap();
        let wanted = [
            ("a", "changed"),
            ("b", "a"),
            ("d", "a"),
            ("n/d/e", "d/e"),
            ("n/d/f/g", "d/f/g"),
        ];
        assert_holds(&draft, &wanted);
        assert!(draft.copy(&path("absent"), &path("a")).is_err());
    }

    #[test]
    fn folder_cannot_go_into_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = draft(&dir);
        keep(&mut draft, &["d/e", "d/f/g"]);
        for (from, to) in [("d", "d/n"), ("d", "d"), ("d/f", "d"), ("d/e", "d/e")] {
            assert!(draft.copy(&path(from), &path(to)).is_err(), "{from} {to}");
            let moved = draft.rename(&path(from), &path(to));
            assert_eq!(moved.is_ok(), from == to, "{from} {to}");
            assert_holds(&draft, &[("d/e", "d/e"), ("d/f/g", "d/f/g")]);
        }
    }

    #[test]
    fn removal_includes_folder_contents() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = draft(&dir);
        keep(&mut draft, &["a", "d/e", "d/f/g", "h"]);
        draft.remove(&path("a")).unwrap();
        draft.remove(&path("d")).unwrap();
        draft.remove(&path("absent")).unwrap();
        assert_holds(&draft, &[("h", "h")]);
        let mut text = String::new();
        draft
            .read(&path("h"))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "h");
        assert!(draft.read(&path("a")).is_err());
        draft.make_dir(&path("new/folder")).unwrap();
        assert!(draft.place(&path("new/folder")).is_dir());
    }

    #[test]
    fn status_is_new_only_when_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = draft(&dir);
        assert!(!draft.has_new_status().unwrap());
        keep(&mut draft, &["Status.plist"]);
        assert!(draft.has_new_status().unwrap());
        let current = dir.path().join("store").join(UDID);
        fs::create_dir(&current).unwrap();
        fs::write(current.join("Status.plist"), "Status.plist").unwrap();
        assert!(!draft.has_new_status().unwrap());
        fs::write(current.join("Status.plist"), "older").unwrap();
        assert!(draft.has_new_status().unwrap());
        assert!(!draft.has_base() && draft.udid().as_str() == UDID);
        assert!(draft.free_space().unwrap() > 1 << 20);
    }

    #[test]
    fn changed_draft_is_not_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let complete = |names: &[&str]| {
            let mut draft = draft(&dir);
            keep(&mut draft, names);
            fs::write(draft.place(&path("strange")), "not received").unwrap();
            let mut steps = 0;
            let complete = draft.complete(&mut || steps += 1).unwrap();
            assert_eq!(steps, names.len() + 1);
            complete
        };
        let names = ["ab/x", "Info.plist", "Manifest.db", "Status.plist"];
        let first = complete(&names);
        let tally = Tally {
            received: 4,
            carried: 0,
            read_again: 1,
            fresh: 1,
        };
        assert_eq!(first.tally(), tally);
        for (name, hash) in sums::Sums::open(first.sums()).unwrap().map(Result::unwrap) {
            assert_eq!(sums::hash_file(&first.backup().join(name)).unwrap().0, hash);
        }
        // The change happens between the check and the seal.
        fs::write(first.backup().join("Status.plist"), "another").unwrap();
        let refused = first
            .seal(MADE.parse().unwrap(), b"{}", &3.into())
            .err()
            .unwrap();
        assert!(
            refused.to_string().contains("not of this backup"),
            "{refused}"
        );
        let current = dir.path().join("store").join(UDID);
        assert!(!current.exists());

        let second = complete(&names);
        fs::create_dir(&current).unwrap();
        for name in ["Info.plist", "Status.plist"] {
            fs::copy(second.backup().join(name), current.join(name)).unwrap();
        }
        let refused = second
            .seal(MADE.parse().unwrap(), b"{}", &3.into())
            .err()
            .unwrap();
        assert!(
            refused.to_string().contains("not of this backup"),
            "{refused}"
        );

        fs::write(current.join("Status.plist"), "older").unwrap();
        let sealed = complete(&names)
            .seal(MADE.parse().unwrap(), b"{}", &3.into())
            .unwrap();
        assert!(sealed.untidy.is_none() && sealed.sync > Duration::ZERO);
        assert_eq!((sealed.older, sealed.dropped.len()), (1, 0));
        assert_eq!(
            fs::read(current.join("Status.plist")).unwrap(),
            b"Status.plist"
        );
        let beside =
            dir.path()
                .join("store/.idev-backup")
                .join(UDID)
                .join(crate::base::time::stamp_of(
                    MADE.parse::<jiff::Timestamp>().unwrap().into(),
                ));
        assert_eq!(fs::read(beside.join("report.json")).unwrap(), b"{}");
    }
}
