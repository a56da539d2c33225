//! Entries of a folder, as the phone asks for them.

use std::time::SystemTime;

/// Type of an entry in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// A folder, also called directory.
    Directory,
    /// Neither a file nor a folder.
    Unknown,
}

/// Entry in a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name, without the folder's path.
    pub name: String,
    /// The type of the entry.
    pub kind: EntryKind,
    /// The size of a file, in bytes.
    pub size: u64,
    /// The time of the last change.
    pub modified: SystemTime,
}
