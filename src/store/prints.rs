//! The fingerprints of files and lists that a record contains.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::sums::{self, Hash, hex};

/// The SHA-256 and the length of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// 64 hex digits.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

impl Print {
    /// Returns the print of a file with this hash and length.
    pub(crate) fn new(hash: &Hash, bytes: u64) -> Print {
        Print {
            sha256: hex(hash),
            bytes,
        }
    }

    /// Hashes a file.
    pub(crate) fn of(path: &Path) -> Result<Print, Error> {
        sums::hash_file(path).map(|(hash, bytes)| Print::new(&hash, bytes))
    }
}

/// The SHA-256, the length and the number of lines of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPrint {
    /// 64 hex digits.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of lines.
    pub lines: u64,
}
