//! The names and the format of our own files in a store.

/// The name of our own folder in a store. Nothing in it belongs to Apple's layout.
pub(crate) const OWN: &str = ".idev-backup";

/// The name of the file that marks a folder as a store.
pub const MARK: &str = "store.json";

/// The store format that this version reads and writes.
pub const FORMAT: u64 = 2;

/// The name of a backup's list of hashes.
pub const SUMS: &str = "SHA256SUMS";

/// The name of the report about the run that made a backup.
pub const REPORT: &str = "report.json";

/// The files without which a backup cannot be read.
pub const METADATA: [&str; 4] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.plist",
    "Status.plist",
];

/// The metadata files whose hashes are in a record and whose copies accompany a backup: those of
/// [`METADATA`], and the list of files that iOS 9 and older write.
pub const RECORDED: [&str; 5] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.plist",
    "Status.plist",
    "Manifest.mbdb",
];

/// The name of the notes file in a phone's own folder.
pub const NOTES: &str = "notes.json";

/// The name of the trash in a phone's own folder.
pub(super) const TRASH: &str = "trash";
