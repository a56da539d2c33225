//! Counts hashes by their source.

use serde::{Deserialize, Serialize};

use super::hash_sources::Source;

/// The numbers of a list's hashes by their source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Files hashed while they were received.
    pub received: u64,
    /// Unchanged files, whose hash was computed when they were received for an earlier backup.
    pub carried: u64,
    /// Files whose hash was computed from the file on disk, in this run or in an earlier one.
    pub read_again: u64,
    /// The number of files counted in `read_again` that were read in this run. Their hash does not
    /// prove anything about them yet.
    #[serde(skip)]
    pub fresh: u64,
}

impl Tally {
    /// Counts a hash by its source.
    pub(crate) fn count(&mut self, source: Source) {
        match source {
            Source::Received => self.received += 1,
            Source::Carried => self.carried += 1,
            Source::Read => self.read_again += 1,
        }
    }
}
