//! Notes when backups of this store were last pushed to a repository, so that a list and a
//! diagnosis can tell the age of the last copy elsewhere without asking for a password or using the
//! network.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, Snapshot, Store, disk, notes};
use crate::base::plain_file;
use crate::base::udid::Udid;

/// The name of the file.
const COPIES: &str = "copies.json";

const VERSION: u32 = 1;

/// The newest backup of a phone in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCopy {
    /// The id of the backup.
    pub backup: String,
    /// RFC 3339: the time at which the phone made the backup.
    pub date: String,
    /// RFC 3339: the time at which the backup was last seen in the repository.
    pub seen: String,
}

/// A repository that this store was pushed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repository {
    /// The place of the repository, without a password.
    pub location: String,
    /// RFC 3339: the last time at which a check after a push found no damage.
    pub checked: Option<String>,
    /// True from a push until a check of the repository has ended without damage.
    #[serde(skip_serializing_if = "is_false")]
    pub check_due: bool,
    /// Number of checks after pushes that found no damage.
    pub checks: u64,
    /// Snapshots that lack files of their backups, because a push could not remove them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// The last push, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedPush>,
    /// The newest backup of each phone there, by UDID.
    pub phones: BTreeMap<String, LastCopy>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Repository {
    /// Returns true if a snapshot is noted as one that lacks files. Its id may be shortened.
    pub fn lacks_files(&self, snapshot: &str) -> bool {
        let mut incomplete = self.incomplete.iter();
        incomplete
            .any(|id| !id.is_empty() && (snapshot.starts_with(id) || id.starts_with(snapshot)))
    }

    /// Returns true if a backup is newer than the noted copy of its phone, or that copy itself.
    pub fn is_behind(&self, snapshot: &Snapshot) -> bool {
        let copy = self.phones.get(snapshot.udid().as_str());
        let date = copy.and_then(|copy| copy.date.parse::<Timestamp>().ok());
        date.is_none_or(|date| snapshot.date() >= date)
    }
}

/// A push that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedPush {
    /// RFC 3339: the time of the failure.
    pub time: String,
    /// The reason, in words.
    pub why: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    repositories: Vec<Repository>,
}

impl Store {
    /// Returns what is noted about the repositories that this store was pushed to.
    pub fn copies(&self) -> Result<Vec<Repository>, Error> {
        let path = self.own().join(COPIES);
        let damaged = |why: String| Error::Damaged {
            path: path.clone(),
            why,
        };
        let text = match plain_file::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(|e| Error::io("read", &path, e))?,
        };
        let file: File = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if file.version != VERSION {
            return Err(damaged(format!(
                "its version is {}, and this program knows {VERSION}",
                file.version
            )));
        }
        Ok(file.repositories)
    }

    /// Notes which of these backups, the newest of their phones in the repository, were seen there,
    /// and the time of a check. Waits while another process is noting something.
    pub fn note_copies(
        &self,
        location: &str,
        newest: &[&Snapshot],
        checked: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.change_copies(location, |known| {
            for snapshot in newest {
                let copy = LastCopy {
                    backup: snapshot.id().to_string(),
                    date: snapshot.date().to_string(),
                    seen: now.to_string(),
                };
                known.phones.insert(snapshot.udid().to_string(), copy);
            }
            known.failed = None;
            if let Some(time) = checked {
                known.checked = Some(time.to_string());
                known.check_due = false;
                known.checks += 1;
            }
        })
    }

    /// Notes that something was pushed and has not been checked yet.
    pub fn note_check_due(&self, location: &str) -> Result<(), Error> {
        self.change_copies(location, |known| known.check_due = true)
    }

    /// Notes that a snapshot lacks files of its backup and could not be removed.
    pub fn note_incomplete(&self, location: &str, snapshot: &str) -> Result<(), Error> {
        self.change_copies(location, |known| {
            if !known.incomplete.iter().any(|id| id == snapshot) {
                known.incomplete.push(snapshot.to_owned());
            }
        })
    }

    /// Returns what is noted about one repository. Notes that cannot be read hold nothing that the
    /// next push does not find out again.
    pub fn copies_in(&self, location: &str) -> Repository {
        let all = self.copies().unwrap_or_default();
        let known = all.into_iter().find(|known| known.location == location);
        known.unwrap_or_default()
    }

    /// Notes that a push failed. The next one that succeeds removes the note.
    pub fn note_failed_push(
        &self,
        location: &str,
        why: String,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.change_copies(location, |known| {
            known.failed = Some(FailedPush {
                time: now.to_string(),
                why,
            });
        })
    }

    /// Returns the phones whose newest backup that can be pushed is not noted as seen in a
    /// repository. Uses no network.
    pub fn not_copied(&self, location: &str) -> Result<Vec<Udid>, Error> {
        let copies = self.copies()?;
        let known = copies.iter().find(|known| known.location == location);
        let mut behind = Vec::new();
        for udid in self.phones()? {
            let copy = known.and_then(|known| known.phones.get(udid.as_str()));
            if self.waits_since(&udid, copy)?.is_some() {
                behind.push(udid);
            }
        }
        Ok(behind)
    }

    /// Returns the time of the oldest backup of a phone that is newer than its copy and could be
    /// pushed; `None` if the newest one that could is there.
    pub fn waits_since(
        &self,
        udid: &Udid,
        copy: Option<&LastCopy>,
    ) -> Result<Option<Timestamp>, Error> {
        let notes = self.notes(udid)?;
        let mut snapshots = self.snapshots_of(udid)?;
        snapshots.retain(|one| one.record().is_some() && notes.of(one).damaged.is_none());
        let Some(newest) = snapshots.iter().max_by_key(|one| one.date()) else {
            return Ok(None);
        };
        let Some(copy) = copy else {
            return Ok(snapshots.iter().map(Snapshot::date).min());
        };
        if copy.backup == newest.id().as_str() {
            return Ok(None);
        }
        let date: Option<Timestamp> = copy.date.parse().ok();
        let later = snapshots.iter().map(Snapshot::date);
        let later = later.filter(|made| date.is_none_or(|date| *made > date));
        Ok(Some(later.min().unwrap_or(newest.date())))
    }

    /// Changes what is noted about a repository. Waits while another process is noting something.
    fn change_copies(
        &self,
        location: &str,
        change: impl FnOnce(&mut Repository),
    ) -> Result<(), Error> {
        self.check_user()?;
        let own = self.own();
        disk::make_private_dirs(&own)?;
        let _held = notes::wait_for(&own.join("copies.lock"))?;
        // A file that cannot be read holds nothing that the next push does not find out again.
        let mut repositories = self.copies().unwrap_or_default();
        let at = repositories
            .iter()
            .position(|known| known.location == location);
        let at = at.unwrap_or_else(|| {
            repositories.push(Repository {
                location: location.to_owned(),
                ..Repository::default()
            });
            repositories.len() - 1
        });
        let known = &mut repositories[at];
        change(known);
        let path = own.join(COPIES);
        let file = File {
            version: VERSION,
            repositories,
        };
        let text = serde_json::to_vec_pretty(&file);
        let text = text.map_err(|e| Error::io("write", &path, io::Error::other(e)))?;
        disk::write_whole(&path, &text)
    }
}
