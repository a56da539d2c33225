//! Counts of the files by what their bytes were compared with.

/// Counts of files by what their bytes were compared with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Compared {
    /// Files whose bytes are compared with a hash.
    pub(super) hashed: u64,
    /// Files whose bytes are read.
    pub(super) read: u64,
    /// Files whose size differs from the phone's list.
    pub(super) other_sizes: u64,
    /// Files of the backup whose hash exists and is not checked.
    pub(super) passed_over: u64,
    /// Files of the backup that are not empty and have no hash.
    pub(super) without_hash: u64,
}

impl Compared {
    /// Counts one file. `counts` is false for empty files, and for files that belong to no backup.
    pub(super) fn count(&mut self, has_hash: bool, is_read: bool, counts: bool) {
        self.without_hash += u64::from(counts && !has_hash);
        self.passed_over += u64::from(counts && has_hash && !is_read);
    }
}
