//! What people and checks have said of snapshots: pinned, named, verified, damaged. It stands in
//! one small file of each phone, since a sealed backup is not written, and other programs' backups
//! have no folder of ours.
//!
//! A backup is known by its [`Id`]: that of its record, or for other programs' backups the SHA-256
//! of its Status.plist, which the phone makes anew for each. So what is noted follows it from the
//! current place to its archive name, and does not hold any more for what another program has made
//! of it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Id, Snapshot, Store, disk, guard};
use crate::plain_file;
use crate::udid::Udid;

/// The file, in what is ours of a phone.
pub const NOTES: &str = "notes.json";
const VERSION: u32 = 1;

/// A check that found a snapshot whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// RFC 3339.
    pub time: String,
    /// `bytes` or `deep`.
    pub how: String,
}

/// What is noted of one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Note {
    /// Somebody wants it kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Its names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The last check that found it whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// RFC 3339: a check found it damaged, and none has found it whole since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// RFC 3339: since then nobody expects another backup of the phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<String>,
    snapshots: BTreeMap<String, Note>,
}

/// What is noted of a phone and its snapshots.
#[derive(Debug, Default)]
pub struct Notes {
    /// RFC 3339: since then nobody expects another backup of the phone.
    pub retired: Option<String>,
    snapshots: BTreeMap<String, Note>,
}

impl Notes {
    /// Of one snapshot.
    pub fn of(&self, snapshot: &Snapshot) -> Note {
        let noted = self.snapshots.get(snapshot.id().as_str());
        noted.cloned().unwrap_or_default()
    }
}

impl Store {
    /// Reads what is noted of a phone's snapshots. One that is damaged, or of a newer version, is
    /// an error: nothing is known then, and nothing must be dropped.
    pub fn notes(&self, udid: &Udid) -> Result<Notes, Error> {
        let path = self.own_of(udid).join(NOTES);
        let damaged = |why: String| Error::Damaged {
            path: path.clone(),
            why,
        };
        guard::is_real_folder(&self.own_of(udid))?;
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

    /// Changes what is noted of one snapshot; answers how it is noted now. Waits for whoever writes
    /// there at the moment.
    pub fn note(&self, snapshot: &Snapshot, change: impl FnOnce(&mut Note)) -> Result<Note, Error> {
        let held = self.hold_notes(snapshot.udid())?;
        self.note_id(&held, snapshot.udid(), snapshot.id(), change)
    }

    /// The same by the id of a backup, for whoever holds the notes.
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

    /// Notes since when no other backup of a phone is expected; `None` takes that back.
    pub fn retire(&self, udid: &Udid, since: Option<String>) -> Result<(), Error> {
        let held = self.hold_notes(udid)?;
        self.rewrite(&held, udid, |notes| notes.retired = since)
    }

    /// Forgets what was noted of a snapshot that is gone.
    pub(super) fn forget(&self, udid: &Udid, id: &Id) -> Result<(), Error> {
        let key = id.as_str();
        if !self.notes(udid)?.snapshots.contains_key(key) {
            return Ok(());
        }
        let held = self.hold_notes(udid)?;
        self.rewrite(&held, udid, |notes| drop(notes.snapshots.remove(key)))
    }

    /// Waits until nobody else writes the notes of a phone, and keeps others from it.
    pub(super) fn hold_notes(&self, udid: &Udid) -> Result<Held, Error> {
        if !self.is_marked() {
            return Err(Error::NotAStore {
                path: self.root().to_path_buf(),
                why: "no backup was made with it yet, so nothing is written there".to_owned(),
            });
        }
        self.check_user()?;
        let own = self.own_of(udid);
        guard::is_real_folder(&own)?;
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

/// As long as this is held, nobody else writes the notes of the phone.
pub(super) struct Held(#[expect(dead_code, reason = "held, and never looked at")] fs::File);

/// Held while the file is read and written again, and by no backup: a check may note something
/// while one runs.
fn wait_for(path: &Path) -> Result<fs::File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = plain_file::open_with(&mut options, path).map_err(|e| Error::io("open", path, e))?;
    file.lock().map_err(|e| Error::io("lock", path, e))?;
    Ok(file)
}
