//! Back up an iPhone or iPad to a folder that every tool can read, and prove that the backup is
//! whole.
//!
//! The rooms, in the order of the data (docs/ARCHITECTURE.md has the picture, tests/tidy.rs the
//! rules):
//!
//! * cellar: [`udid`], [`path`], [`secret`], [`sha256`], [`monitor`], [`bounded_plist`],
//!   [`plain_file`], [`units`], [`child`]: words everyone uses
//! * beside the wire: [`trace`], what passes above TLS, recorded
//! * wire: [`transport`] (bytes), `device` (lockdown and small services), `mobilebackup` (the
//!   backup dialog)
//! * disk: `store` (where backups live), [`manifest`] (what a backup holds), [`keybag`] (its keys,
//!   if it is encrypted)
//! * hall: `jobs`, one file per user wish, where the wings meet
//! * [`schedule`], which has the system start a job
//! * guest house: [`sim`], a simulated phone

pub mod bounded_plist;
pub mod child;
pub mod device;
pub mod jobs;
pub mod keybag;
pub mod manifest;
pub mod mobilebackup;
pub mod monitor;
pub mod path;
pub mod plain_file;
pub mod private;
pub mod schedule;
pub mod secret;
pub mod sha256;
pub mod sim;
pub mod store;
pub mod trace;
pub mod transport;
pub mod udid;
pub mod units;
