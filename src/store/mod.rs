//! The folder in which backups are stored. This module deals with folders and files only, and does
//! not talk to phones.
//!
//! ```text
//! <store>/<UDID>/                         the current backup, in Apple's layout
//! <store>/<UDID>-YYYYMMDD-HHMMSS/         earlier backups, under Apple's archive name
//! <store>/.idev-backup/store.json         marks the folder as a store and names its format
//! <store>/.idev-backup/copies.json        notes when backups were pushed to a repository
//! <store>/.idev-backup/<UDID>/lock        allows one run per phone at a time
//! <store>/.idev-backup/<UDID>/draft/      a backup being written
//! <store>/.idev-backup/<UDID>/notes.json  pins, tags and results of checks
//! <store>/.idev-backup/<UDID>/<stamp>/    accompanies a sealed backup: snapshot.json, SHA256SUMS,
//!                                         report.json and copies of its metadata
//! ```
//! docs/format.md describes what a reader may rely on.

pub mod audit;
mod backup_ref;
pub(crate) mod capabilities;
pub mod copies;
pub mod disk;
pub mod draft;
mod error;
mod free_names;
pub mod hash_sources;
mod identity;
pub mod import;
pub mod layout;
mod listing;
pub mod lock;
mod missing_store;
mod names;
pub mod notes;
mod order;
mod permissions;
mod planning;
mod prints;
pub(crate) mod pulled;
mod real_folders;
pub mod record;
mod recovery;
pub mod removal;
mod repair_file;
pub(crate) mod restore_overlay;
pub mod retention;
mod root;
mod seal;
mod set_aside;
pub(crate) mod sizes;
pub mod snapshot;
pub mod sums;
pub(crate) mod sums_index;
mod tally;
mod trash;
pub mod walk;
mod written_folders;

pub use draft::{Draft, Origin};
pub use error::Error;
pub use layout::is_backup;
pub use lock::Lock;
pub use missing_store::Absence;
pub(crate) use names::OWN;
pub use names::{FORMAT, MARK, METADATA, NOTES, RECORDED, REPORT, SUMS};
pub(crate) use permissions::is_refused;
pub use record::{Id, Record};
pub use retention::Policy;
pub use root::Store;
pub use set_aside::SetAside;
pub use snapshot::Snapshot;
pub(crate) use snapshot::is_stamp as names_a_record;
