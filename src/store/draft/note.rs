//! The note that a draft keeps about its base.

use std::path::Path;
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use crate::store::error::Error;
use crate::store::snapshot::Snapshot;
use crate::store::{disk, sums};

/// The name of the note in the draft's folder.
pub(super) const NOTE: &str = "draft.json";

/// The note that a draft keeps about its base.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Note {
    /// The id of the backup from which the draft was cloned; `None` for an empty draft.
    pub(super) base: Option<String>,
    /// SHA-256 of that backup's Status.plist. The draft can only be resumed if this is unchanged.
    base_status: Option<String>,
}

impl Note {
    /// Notes the state of the base.
    pub(crate) fn of(base: Option<&Snapshot>) -> Result<Note, Error> {
        let Some(base) = base else {
            return Ok(Note {
                base: None,
                base_status: None,
            });
        };
        let status = base.path().join("Status.plist");
        let hash = if status.exists() {
            Some(sums::hex(&sums::hash_file(&status)?.0))
        } else {
            None
        };
        Ok(Note {
            base: Some(base.id().to_string()),
            base_status: hash,
        })
    }
}

/// A note that is written once the clone is durable. A clone that was interrupted before has no
/// note, and is never resumed.
///
/// A disk needs seconds to make the clone of a large backup durable. On Linux this happens on a
/// thread of its own while the phone prepares the backup. On other systems each folder has to be
/// flushed, and the phone would change them meanwhile.
#[derive(Debug, Default)]
pub(super) struct PendingNote {
    writing: Option<JoinHandle<Result<(), Error>>>,
}

impl PendingNote {
    /// Begins to make the clone in `folder` durable and to write its note.
    pub(super) fn begin(folder: &Path, note: &Note) -> Result<PendingNote, Error> {
        let text = serde_json::to_vec(note).map_err(|e| Error::Damaged {
            path: folder.to_path_buf(),
            why: e.to_string(),
        })?;
        let (folder, is_clone) = (folder.to_path_buf(), note.base.is_some());
        let failed = folder.clone();
        let write = move || {
            if is_clone {
                disk::sync_tree(&folder)?;
            }
            disk::write_whole(&folder.join(NOTE), &text)
        };
        if !is_clone || !cfg!(target_os = "linux") {
            write()?;
            return Ok(PendingNote::default());
        }
        let thread = thread::Builder::new().name("note".to_owned());
        let writing = thread.spawn(write);
        Ok(PendingNote {
            writing: Some(writing.map_err(|e| Error::io("start writing to", &failed, e))?),
        })
    }

    /// Waits until the note is written.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self.writing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(_)) => Err(Error::Damaged {
                path: NOTE.into(),
                why: "writing it failed".to_owned(),
            }),
        }
    }
}

impl Drop for PendingNote {
    fn drop(&mut self) {
        // Without its note a draft is not resumed, which costs time and no data.
        drop(self.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_is_written_when_pending_ends() {
        let base = || Note {
            base: Some("id".to_owned()),
            base_status: None,
        };
        let fresh = Note {
            base: None,
            base_status: None,
        };
        for note in [base(), fresh] {
            let dir = tempfile::tempdir().unwrap();
            drop(PendingNote::begin(dir.path(), &note).unwrap());
            let written = std::fs::read(dir.path().join(NOTE)).unwrap();
            assert_eq!(serde_json::from_slice::<Note>(&written).unwrap(), note);
        }
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent");
        let begun = PendingNote::begin(&absent, &base());
        assert!(begun.and_then(|mut note| note.finish()).is_err());
    }
}
