//! Types and functions that every other module may use. This module imports no other.

pub mod backup_path;
pub mod bounded_plist;
pub mod cancel;
pub mod child;
pub mod failure_kind;
pub(crate) mod keep_awake;
pub(crate) mod meter;
pub mod pace;
pub(crate) mod phases;
pub mod phone_names;
pub mod plain_file;
pub mod private_dir;
pub mod problem;
pub mod product_names;
pub mod progress;
pub mod secret;
pub(crate) mod sha256;
pub mod time;
pub mod udid;
pub mod units;
