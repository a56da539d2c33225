//! Back up an iPhone or iPad to a folder that every tool can read, and prove that the backup is
//! whole.
//!
//! The modules, in the order of the data (docs/ARCHITECTURE.md has the diagram, tests/tidy.rs the
//! rules):
//!
//! * foundation: [`udid`], [`path`], [`secret`], [`sha256`], [`monitor`], [`bounded_plist`],
//!   [`plain_file`], [`units`], [`child`]: types and functions that all other modules use
//! * [`trace`]: recordings of the communication with a phone, as plaintext above TLS
//! * communication: [`transport`] (bytes), `device` (lockdown and small services), `mobilebackup`
//!   (the backup dialog)
//! * storage: `store` (the place of backups), [`manifest`] (the metadata of a backup), [`keybag`]
//!   (the keys of an encrypted backup)
//! * `jobs`: one file for each task of a user, which combines communication and storage
//! * [`schedule`]: jobs that the system starts
//! * [`sim`]: a simulated phone

pub mod automation;
pub mod backup;
pub mod backup_format;
pub mod base;
pub mod device;
pub mod doctor;
pub mod encryption;
pub mod export;
pub mod history;
pub mod mobilebackup;
pub mod reader;
pub mod restore;
pub mod simulator;
pub mod store;
pub mod trace;
pub mod transport;
pub mod verify;
