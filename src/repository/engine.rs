//! The operations on a repository, whatever program carries them out.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Error;
use crate::base::progress::Monitor;
use crate::base::secret::Secret;

/// A snapshot in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The id of the snapshot, 64 hexadecimal digits.
    pub id: String,
    /// The time of the data.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The computer that pushed it.
    pub host: String,
    /// The folders that were pushed, as paths of that computer.
    pub paths: Vec<String>,
    /// The tags of the snapshot.
    pub tags: Vec<String>,
}

/// Writes a time as RFC 3339.
pub(super) fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Something to push as one snapshot.
pub struct Data<'a> {
    /// The folder whose content becomes the root of the snapshot.
    pub folder: &'a Path,
    /// Paths relative to that folder, which may begin with `..`. They keep their names.
    pub beside: Vec<String>,
    /// The computer's name; `None` for that of this computer.
    pub host: Option<&'a str>,
    /// The time of the data.
    pub time: Timestamp,
    /// The tags that the snapshot gets.
    pub tags: Vec<String>,
    /// The id of the snapshot whose unchanged files are not read again.
    pub parent: Option<&'a str>,
    /// Checks, once the engine works in the folder and before it reads any of it, that the folder
    /// is the right one. Another program may have renamed it meanwhile.
    pub is_right: &'a dyn Fn() -> bool,
}

/// The result of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The id of the new snapshot; it may be shortened.
    pub id: String,
    /// The number of files in it.
    pub files: u64,
    /// The bytes of these files.
    pub bytes: u64,
    /// The bytes that were new to the repository.
    pub bytes_added: u64,
}

/// A part of a repository's data: group `group` of `of` groups, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The number of the group.
    pub group: u32,
    /// The number of groups.
    pub of: NonZeroU32,
}

impl Share {
    /// All the data.
    pub const ALL: Share = Share {
        group: 1,
        of: NonZeroU32::MIN,
    };

    /// Returns one of `of` parts. As `turn` grows, each part has its turn.
    pub fn in_turn(turn: u64, of: NonZeroU32) -> Share {
        let group = turn % u64::from(of.get()) + 1;
        Share {
            group: u32::try_from(group).unwrap_or(1),
            of,
        }
    }
}

/// The result of a check that found no damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The part of the data that was read; `None` if only the structure was checked.
    pub read: Option<Share>,
    /// Remarks that are not damage, such as data that no snapshot uses.
    pub remarks: Vec<String>,
}

/// A key of a repository: each has its own password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// The id of the key.
    pub id: String,
    /// True for the key that opened the repository.
    pub current: bool,
    /// The user who added it.
    pub user: String,
    /// The computer on which it was added.
    pub host: String,
    /// The time at which it was added, in the engine's words.
    pub created: String,
}

/// An entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The path in the snapshot, which begins with `/`.
    pub path: String,
}

/// A program that keeps a repository.
pub trait Engine {
    /// Creates the repository.
    fn init(&self) -> Result<(), Error>;

    /// Returns the id of the repository, which stays the same wherever it is copied.
    fn id(&self) -> Result<String, Error>;

    /// Returns all snapshots, oldest first.
    fn snapshots(&self) -> Result<Vec<Stored>, Error>;

    /// Pushes a folder as one snapshot.
    fn push(&self, data: &Data<'_>, monitor: &dyn Monitor) -> Result<Pushed, Error>;

    /// Checks the structure, and reads a part of the data back.
    fn check(&self, read: Option<Share>, monitor: &dyn Monitor) -> Result<Checked, Error>;

    /// Passes the entries of a folder of a snapshot, or with `is_deep` all entries below it.
    fn files(
        &self,
        snapshot: &str,
        folder: &str,
        is_deep: bool,
        each: &mut dyn FnMut(Node) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Writes the content of one file of a snapshot.
    fn dump(&self, snapshot: &str, path: &str, to: &mut dyn Write) -> Result<(), Error>;

    /// Restores files of a snapshot, named by their paths, into a folder. Ignores those that the
    /// snapshot lacks. Works on storage that is read-only, too.
    fn fetch(&self, snapshot: &str, files: &[String], to: &Path) -> Result<(), Error>;

    /// Restores a snapshot into a folder; with `only`, these paths and what is below them.
    fn restore(
        &self,
        snapshot: &str,
        only: &[String],
        to: &Path,
        monitor: &dyn Monitor,
    ) -> Result<(), Error>;

    /// Removes snapshots. Their data stays until [`prune`](Engine::prune).
    fn forget(&self, snapshots: &[String]) -> Result<(), Error>;

    /// Removes the data that no snapshot uses.
    fn prune(&self, monitor: &dyn Monitor) -> Result<(), Error>;

    /// Removes the locks of programs that do not run any more.
    fn unlock(&self) -> Result<(), Error>;

    /// Returns the keys.
    fn keys(&self) -> Result<Vec<Key>, Error>;

    /// Adds a key with a password of its own.
    fn add_key(&self, password: &Secret) -> Result<(), Error>;

    /// Removes a key.
    fn remove_key(&self, id: &str) -> Result<(), Error>;

    /// Shows the snapshots as folders below `at`, until it is cancelled.
    fn mount(&self, at: &Path, monitor: &dyn Monitor) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_has_its_turn() {
        let of = NonZeroU32::new(3).unwrap();
        let groups: Vec<u32> = (7..11).map(|turn| Share::in_turn(turn, of).group).collect();
        assert_eq!(groups, [2, 3, 1, 2]);
        assert_eq!(Share::in_turn(9, NonZeroU32::MIN), Share::ALL);
    }
}
