//! The types of the items in a backup.

/// Type of item that a row describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, stored at `xx/<fileID>`.
    File,
    /// A folder; the backup stores nothing for it.
    Directory,
    /// A symbolic link, whose target is in the record.
    Link,
    /// Flags of unknown meaning.
    Other,
}
