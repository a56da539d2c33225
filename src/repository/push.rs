//! Pushes backups of a store to a repository.
//!
//! A backup must not move while restic reads it, and a run that seals a new backup renames the
//! current one. docs/ARCHITECTURE.md explains why that does no harm.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::copy::{Copy, tags};
use super::engine::{Checked, Data, Engine, Pushed, Share};
use super::{Error, Problem, Restic};
use crate::base::progress::{Monitor, Phase};
use crate::base::time;
use crate::history::list::phone_name;
use crate::store::copies::Repository;
use crate::store::{self, Snapshot, Store};

/// Check after a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Do not check.
    Nothing,
    /// The structure, and one part of the data, of this number of parts. Each push reads the next
    /// part.
    Share(NonZeroU32),
}

impl Default for After {
    /// Returns the structure and a thirtieth of the data: with a push a day, all data is read
    /// within a month.
    fn default() -> After {
        const PARTS: NonZeroU32 = NonZeroU32::new(30).unwrap();
        After::Share(PARTS)
    }
}

/// Options of a push.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// The backups; `None` for all of the store.
    pub chosen: Option<Vec<Snapshot>>,
    /// The name of this computer; `None` for that of the system.
    pub host: Option<String>,
    /// Check after the push.
    pub after: After,
    /// Decide, and push nothing.
    pub dry_run: bool,
}

/// A backup that was pushed.
#[derive(Debug, Clone, Serialize)]
pub struct PushedBackup {
    /// UDID of the phone.
    pub udid: String,
    /// The backup, in words.
    pub name: String,
    /// The id of the backup.
    pub backup: String,
    /// The time at which the phone made the backup, RFC 3339.
    pub date: String,
    /// The result; null in a dry run.
    pub pushed: Option<Pushed>,
}

/// A backup that was not pushed.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// UDID of the phone.
    pub udid: String,
    /// The backup, in words.
    pub name: String,
    /// The reason for that.
    pub why: String,
}

/// The result of a push.
#[derive(Debug, Clone, Serialize)]
pub struct PushReport {
    /// The place of the repository.
    pub location: String,
    /// Nothing was pushed: the report shows what would be.
    pub dry_run: bool,
    /// The backups that were pushed, the oldest of each phone first.
    pub pushed: Vec<PushedBackup>,
    /// The number of backups that were in the repository before.
    pub present: u64,
    /// The backups that were left out.
    pub skipped: Vec<Skipped>,
    /// The number of those that could not be pushed and may be later.
    pub failed: u64,
    /// The bytes that were new to the repository.
    pub bytes_added: u64,
    /// The check afterwards, if there was one.
    pub checked: Option<Checked>,
    /// Duration of everything.
    pub seconds: f64,
}

/// Pushes the backups that are not in the repository yet. If one of them cannot be pushed, the
/// others still are.
pub fn push(
    store: &Store,
    restic: &Restic,
    how: &Push,
    monitor: &dyn Monitor,
) -> Result<PushReport, Error> {
    let began = Instant::now();
    let mut candidates = match &how.chosen {
        Some(chosen) => chosen.clone(),
        None => store.snapshots()?,
    };
    // Oldest first: the newer one then finds its parent.
    candidates.sort_by(|a, b| (a.udid(), a.date()).cmp(&(b.udid(), b.date())));
    let location = restic.access().location.to_string();
    let known = store.copies_in(&location);
    let stored = restic.snapshots()?;
    let is_whole = |copy: &Copy| !known.lacks_files(&copy.snapshot);
    let mut work = Work {
        store,
        restic,
        how,
        monitor,
        copies: stored
            .iter()
            .filter_map(Copy::of)
            .filter(is_whole)
            .collect(),
        report: PushReport {
            location,
            dry_run: how.dry_run,
            pushed: Vec::new(),
            present: 0,
            skipped: Vec::new(),
            failed: 0,
            bytes_added: 0,
            checked: None,
            seconds: 0.0,
        },
        newest: Vec::new(),
        known,
    };
    for snapshot in &candidates {
        work.one(snapshot)?;
    }
    if !how.dry_run {
        work.finish()?;
    }
    work.report.seconds = began.elapsed().as_secs_f64();
    Ok(work.report)
}

struct Work<'a> {
    store: &'a Store,
    restic: &'a Restic,
    how: &'a Push,
    monitor: &'a dyn Monitor,
    /// The backups in the repository.
    copies: Vec<Copy>,
    report: PushReport,
    /// The newest backup of each phone that is in the repository.
    newest: Vec<&'a Snapshot>,
    /// What was noted about the repository before.
    known: Repository,
}

impl<'a> Work<'a> {
    fn one(&mut self, snapshot: &'a Snapshot) -> Result<(), Error> {
        let udid = snapshot.udid();
        if self.copies.iter().any(|copy| copy.is_of(snapshot)) {
            self.report.present += 1;
            self.is_there(snapshot);
            return Ok(());
        }
        let phone = phone_name(self.store, udid).unwrap_or_else(|| udid.to_string());
        let name = format!("{phone}, {}", time::when(&snapshot.date().to_string()));
        if snapshot.record().is_none() {
            let why = "another program made it, or its record cannot be read";
            self.skip(snapshot, name, why);
            return Ok(());
        }
        if self.store.notes(udid)?.of(snapshot).damaged.is_some() {
            self.skip(snapshot, name.clone(), "a check found it damaged");
            self.monitor.problem(Problem::DamagedBackup { name }.into());
            return Ok(());
        }
        let mut entry = PushedBackup {
            udid: udid.to_string(),
            name,
            backup: snapshot.id().to_string(),
            date: snapshot.date().to_string(),
            pushed: None,
        };
        if self.how.dry_run {
            self.report.pushed.push(entry);
            return Ok(());
        }
        self.monitor.phase(Phase::Pushing);
        self.monitor.note(format!("Pushing {}", entry.name));
        match self.send(snapshot) {
            Ok(pushed) => {
                self.report.bytes_added += pushed.bytes_added;
                self.copies.push(copied(snapshot, &pushed));
                entry.pushed = Some(pushed);
                self.report.pushed.push(entry);
                self.is_there(snapshot);
                Ok(())
            }
            Err(cause) if cause.is_of_one() => {
                self.remove_incomplete(&cause);
                self.skip(snapshot, entry.name.clone(), &cause.to_string());
                self.report.failed += 1;
                let name = entry.name;
                self.monitor
                    .problem(Problem::NotPushed { name, cause }.into());
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn skip(&mut self, snapshot: &Snapshot, name: String, why: &str) {
        self.report.skipped.push(Skipped {
            udid: snapshot.udid().to_string(),
            name,
            why: why.to_owned(),
        });
    }

    /// Remembers the newest backup of each phone. They come oldest first.
    fn is_there(&mut self, snapshot: &'a Snapshot) {
        self.newest.retain(|other| other.udid() != snapshot.udid());
        self.newest.push(snapshot);
    }

    fn send(&self, snapshot: &Snapshot) -> Result<Pushed, Error> {
        // A run that seals meanwhile renames the current backup once.
        const ATTEMPTS: usize = 3;
        let (udid, id) = (snapshot.udid(), snapshot.id());
        let parent = self.parent(snapshot);
        let mut moved = Error::Moved(snapshot.path().to_path_buf());
        for _ in 0..ATTEMPTS {
            let there = self.store.look_again(udid, id, snapshot.path())?;
            let Some(there) = there else {
                return Err(moved);
            };
            let is_there = || {
                let again = self.store.look_again(udid, id, there.path());
                again.is_ok_and(|again| again.is_some_and(|again| again.path() == there.path()))
            };
            // Windows does not rename the folder in which a program works.
            let _lock = (cfg!(windows) && there.is_current()).then(|| self.store.lock(udid));
            let data = Data {
                folder: there.path(),
                beside: vec![beside(self.store, &there)?],
                host: self.how.host.as_deref(),
                time: there.date(),
                tags: tags(&there),
                parent: parent.as_deref(),
                is_right: &is_there,
            };
            match self.restic.push(&data, self.monitor) {
                Err(e @ Error::Moved(_)) => moved = e,
                // restic 0.18 and later leave out files that vanish, and say nothing. A backup that
                // was removed meanwhile is not in its snapshot as a whole.
                Ok(pushed) if self.store.look_again(udid, id, there.path())?.is_none() => {
                    self.remove(&pushed.id);
                    return Err(moved);
                }
                done => return done,
            }
        }
        Err(moved)
    }

    /// Returns the snapshot whose unchanged files need not be read again: the newest earlier one of
    /// the phone, else any.
    fn parent(&self, snapshot: &Snapshot) -> Option<String> {
        let of_phone = || {
            let udid = snapshot.udid().as_str();
            self.copies.iter().filter(move |copy| copy.udid == udid)
        };
        let earlier = of_phone().filter(|copy| copy.time <= snapshot.date());
        let newest = earlier.max_by_key(|copy| copy.time);
        let parent = newest.or_else(|| of_phone().min_by_key(|copy| copy.time));
        parent.map(|copy| copy.snapshot.clone())
    }

    /// Removes a snapshot that lacks files, which looks like the whole backup.
    fn remove_incomplete(&self, error: &Error) {
        let Error::Incomplete {
            snapshot: Some(snapshot),
            ..
        } = error
        else {
            return;
        };
        self.remove(snapshot);
    }

    /// Removes a snapshot, or notes that it lacks files.
    fn remove(&self, snapshot: &str) {
        let snapshot = snapshot.to_owned();
        let Err(cause) = self.restic.forget(std::slice::from_ref(&snapshot)) else {
            return;
        };
        self.note(self.store.note_incomplete(&self.report.location, &snapshot));
        self.monitor
            .problem(Problem::IncompleteStays { snapshot, cause }.into());
    }

    /// Checks the repository, and notes what is there. Damage that a check finds stays due for the
    /// next push, also if that has nothing to send.
    fn finish(&mut self) -> Result<(), Error> {
        let location = self.report.location.clone();
        let mut checked = None;
        if let After::Share(of) = self.how.after
            && (!self.report.pushed.is_empty() || self.known.check_due)
        {
            self.note(self.store.note_check_due(&location));
            let read = Some(Share::in_turn(self.known.checks, of));
            self.monitor.phase(Phase::CheckingRepository);
            match self.restic.check(read, self.monitor) {
                Ok(done) => {
                    checked = Some(Timestamp::now());
                    self.report.checked = Some(done);
                }
                Err(e @ (Error::Lost { .. } | Error::Locked { .. })) => {
                    self.monitor.problem(Problem::NotChecked(e).into());
                }
                Err(e) => return Err(e),
            }
        }
        if self.how.chosen.is_some() {
            // An older backup that was named does not replace the newest one in the notes.
            let known = &self.known;
            self.newest.retain(|one| known.is_behind(one));
        }
        let noted = self
            .store
            .note_copies(&location, &self.newest, checked, Timestamp::now());
        self.note(noted);
        Ok(())
    }

    fn note(&self, noted: Result<(), store::Error>) {
        if let Err(e) = noted {
            self.monitor.problem(Problem::NotNoted(e).into());
        }
    }
}

/// Returns the copy that a push has made.
fn copied(snapshot: &Snapshot, pushed: &Pushed) -> Copy {
    Copy {
        snapshot: pushed.id.clone(),
        udid: snapshot.udid().to_string(),
        name: None,
        ios: None,
        encrypted: None,
        files: Some(pushed.files),
        bytes: Some(pushed.bytes),
        backup: snapshot.id().to_string(),
        status: None,
        time: snapshot.date(),
        host: String::new(),
    }
}

/// Returns the path of our folder beside a backup, relative to the backup's folder.
fn beside(store: &Store, snapshot: &Snapshot) -> Result<String, Error> {
    let path = snapshot.path();
    // Its `..` is not the store.
    if let Ok(to) = path.read_link() {
        let path = path.to_path_buf();
        return Err(store::Error::Linked { path, to }.into());
    }
    let beside = snapshot.beside().unwrap_or(Path::new(""));
    let parts = beside.strip_prefix(store.root()).unwrap_or(beside);
    let parts = parts
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    let parts: Vec<_> = std::iter::once("..".into()).chain(parts).collect();
    Ok(parts.join("/"))
}
