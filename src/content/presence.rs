//! The state of a file that a database names.

use serde::Serialize;

/// The state of a file that a database names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The backup has it.
    InBackup,
    /// The phone did not have it: it is only in iCloud, or was never received.
    OnlyInIcloud,
    /// The database names it, and the backup does not have it.
    #[default]
    Missing,
}
