//! Notes about snapshots from users and checks: pinned, tagged, verified, damaged. Each phone has
//! one small file for them, because a sealed backup is never changed and other programs' backups
//! have no folder of ours beside them.
//!
//! Notes refer to a backup by its [`Id`]. This is the id in its record or, for other programs'
//! backups, the SHA-256 of its Status.plist, which the phone rewrites for each backup. The notes
//! therefore stay with a backup when it is renamed from the current place to its archive name, and
//! no longer apply once another program has continued it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names::NOTES;
use super::{Error, Id, Snapshot, Store, disk};
use crate::base::plain_file;
use crate::base::udid::Udid;
use crate::store::real_folders;

const VERSION: u32 = 1;

/// A check that found a snapshot intact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// RFC 3339: the time of the check.
    pub time: String,
    /// The kind of check: `bytes` or `deep`.
    pub how: String,
}

/// The notes about one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Note {
    /// True if the user wants it kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The names that the user gave it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The last check that found it intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// RFC 3339: the time of a check that found it damaged. Cleared when a later check finds it
    /// intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// RFC 3339: the time since which no further backups of the phone are expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<String>,
    snapshots: BTreeMap<String, Note>,
}

/// The notes about a phone and its snapshots.
#[derive(Debug, Default)]
pub struct Notes {
    /// RFC 3339: the time since which no further backups of the phone are expected.
    pub retired: Option<String>,
    snapshots: BTreeMap<String, Note>,
}

impl Notes {
    /// Returns the notes about one snapshot.
    pub fn of(&self, snapshot: &Snapshot) -> Note {
        let noted = self.snapshots.get(snapshot.id().as_str());
        noted.cloned().unwrap_or_default()
    }
}

impl Store {
    /// Reads the notes about a phone and its snapshots. A file that is damaged or has another
    /// version is an error. Nothing must be dropped then, since any snapshot may be pinned.
    pub fn notes(&self, udid: &Udid) -> Result<Notes, Error> {
        let path = self.own_of(udid).join(NOTES);
        let damaged = |why: String| Error::Damaged {
            path: path.clone(),
            why,
        };
        real_folders::is_real_folder(&self.own_of(udid))?;
        let text = match plain_file::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Notes::default()),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let file: File = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        match file.version {
            VERSION => Ok(Notes {
                retired: file.retired,
                snapshots: file.snapshots,
            }),
            newer => Err(damaged(format!(
                "its version is {newer}, and this program knows {VERSION}"
            ))),
        }
    }

    /// Changes the notes about one snapshot and returns the new ones. Waits while another process
    /// is changing them.
    pub fn note(&self, snapshot: &Snapshot, change: impl FnOnce(&mut Note)) -> Result<Note, Error> {
        let held = self.hold_notes(snapshot.udid())?;
        self.note_id(&held, snapshot.udid(), snapshot.id(), change)
    }

    /// Changes the notes about the backup with this id and returns the new ones. The caller holds
    /// the lock.
    pub(super) fn note_id(
        &self,
        held: &Held,
        udid: &Udid,
        id: &Id,
        change: impl FnOnce(&mut Note),
    ) -> Result<Note, Error> {
        let key = id.as_str();
        self.rewrite(held, udid, |Notes { snapshots, .. }| {
            let note = snapshots.entry(key.to_owned()).or_default();
            change(note);
            let note = note.clone();
            if note == Note::default() {
                snapshots.remove(key);
            }
            note
        })
    }

    /// Records since when no further backups of a phone are expected; `None` removes that.
    pub(crate) fn retire(&self, udid: &Udid, since: Option<String>) -> Result<(), Error> {
        let held = self.hold_notes(udid)?;
        self.rewrite(&held, udid, |notes| notes.retired = since)
    }

    /// Removes the notes about a snapshot that is gone.
    pub(super) fn forget(&self, udid: &Udid, id: &Id) -> Result<(), Error> {
        let key = id.as_str();
        if !self.notes(udid)?.snapshots.contains_key(key) {
            return Ok(());
        }
        let held = self.hold_notes(udid)?;
        self.rewrite(&held, udid, |notes| drop(notes.snapshots.remove(key)))
    }

    /// Takes the lock on a phone's notes, waiting until it is free.
    pub(super) fn hold_notes(&self, udid: &Udid) -> Result<Held, Error> {
        if !self.is_marked() {
            return Err(Error::NotAStore {
                path: self.root().to_path_buf(),
                why: "no backup was made with it yet, so nothing is written there".to_owned(),
            });
        }
        self.check_user()?;
        let own = self.own_of(udid);
        real_folders::is_real_folder(&own)?;
        disk::make_private_dirs(&own)?;
        wait_for(&own.join("notes.lock")).map(Held)
    }

    fn rewrite<T>(
        &self,
        _held: &Held,
        udid: &Udid,
        change: impl FnOnce(&mut Notes) -> T,
    ) -> Result<T, Error> {
        let mut notes = self.notes(udid)?;
        let result = change(&mut notes);
        let file = File {
            version: VERSION,
            retired: notes.retired,
            snapshots: notes.snapshots,
        };
        let path = self.own_of(udid).join(NOTES);
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|e| Error::io("write", &path, io::Error::other(e)))?;
        disk::write_whole(&path, &text)?;
        Ok(result)
    }
}

/// The lock on a phone's notes. No other process changes them while this is held.
pub(super) struct Held(#[expect(dead_code, reason = "held, and never looked at")] fs::File);

/// Waits for the lock on the notes. It is held only while the file is read and rewritten, never
/// during a backup, so that a check can write notes while a backup runs.
pub(super) fn wait_for(path: &Path) -> Result<fs::File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = plain_file::open_with(&mut options, path).map_err(|e| Error::io("open", path, e))?;
    file.lock().map_err(|e| Error::io("lock", path, e))?;
    Ok(file)
}
