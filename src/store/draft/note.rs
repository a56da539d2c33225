//! The note that a draft keeps about its base.

use serde::{Deserialize, Serialize};

use crate::store::error::Error;
use crate::store::snapshot::Snapshot;
use crate::store::sums;

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
    pub fn of(base: Option<&Snapshot>) -> Result<Note, Error> {
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
