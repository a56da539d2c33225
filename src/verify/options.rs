//! Options of a check.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::complaint::Complaint;
use crate::base::cancel::CancelToken;
use crate::reader::passwords::Passwords;
use crate::store::Id;

/// Level of a check. Each level includes the ones before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Checks that every required file is present, with the right name and size.
    #[default]
    Quick,
    /// Compares every byte with what was received, if there is a list of hashes.
    Bytes,
    /// Decrypts and opens every file: *could this be restored?*
    Deep,
}

/// Restricts a check to a sample of the files.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Share of the files to read: 0.05 for one in twenty.
    pub fraction: f64,
    /// Seed of the sample: another number selects other files.
    pub salt: u64,
}

impl Sample {
    /// Returns true if this file is in the sample. The same salt always selects the same files.
    pub(super) fn has(self, path: &str) -> bool {
        // FNV-1a, then a multiplication that spreads the result over all bits.
        let hash = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let sum = path.bytes().fold(0xcbf2_9ce4_8422_2325 ^ self.salt, hash);
        let mixed = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 11) as f64) < self.fraction * (1u64 << 53) as f64
    }
}

/// Options of a check.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// The list of hashes; by default the folder's own, which the store keeps beside it.
    pub sums: Option<PathBuf>,
    /// Some of the hashes were made just now from the files themselves, so they prove nothing about
    /// these files.
    pub fresh_hashes: bool,
    /// Level of the check.
    pub depth: Depth,
    /// Read only a sample of the files.
    pub sample: Option<Sample>,
    /// Source of the password of an encrypted backup. Without it, only names, sizes and hashes can
    /// be checked.
    pub passwords: Option<&'a dyn Passwords>,
    /// The password may belong to another backup: if it does not open this one, that is a remark
    /// and not an error.
    pub password_is_a_guess: bool,
    /// Identity of the backup that the user named. A different backup in its place is an error.
    pub id: Option<Id>,
    /// Cancellation token: a cancelled check ends with
    /// [`Interrupted`](crate::verify::Error::Interrupted).
    pub token: Option<Arc<CancelToken>>,
    /// Files that the phone could not read; by default those in the run's report beside the backup.
    pub complaints: Vec<Complaint>,
}

impl Options<'_> {
    pub(super) fn is_cancelled(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.cancelled())
    }

    /// Returns the options for a check of every byte.
    pub fn bytes() -> Options<'static> {
        Options {
            depth: Depth::Bytes,
            ..Options::default()
        }
    }
}
