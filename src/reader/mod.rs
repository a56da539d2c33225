//! An open backup: its files in plaintext, what it holds, and how two backups differ. This module
//! only reads, and needs no phone.

pub mod backup;
pub mod browse;
pub mod cat;
pub(crate) mod database;
pub mod diff;
mod entries;
mod error;
pub mod info;
pub mod manifest_feed;
pub mod missing;
pub(crate) mod opening;
pub mod password_check;
pub mod passwords;
pub(crate) mod paths;
pub mod selection;
pub mod shrink;
pub mod source;
#[cfg(feature = "web")]
pub(crate) mod tables;
pub mod totals;
pub mod usage;

pub use backup::Backup;
pub use entries::Entries;
pub use error::Error;
