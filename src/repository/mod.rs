//! Copies of backups elsewhere: an encrypted, deduplicated repository on any storage.
//!
//! The format and the engine are restic's. It runs as a child process behind the trait [`Engine`],
//! and anyone can list, check and restore everything with restic alone.
//!
//! Each backup is one snapshot of restic. At its root it holds the backup's folder in Apple's
//! layout, and in `.idev-backup/<UDID>/<stamp>/` our record of it, as beside a sealed backup in a
//! store. Its tags identify the backup; [`struct@Copy`] holds them as fields.

mod access;
mod choose;
mod copy;
mod engine;
mod error;
mod forget;
mod list;
mod problem;
mod proof;
mod pull;
mod push;
mod reading;
mod restic;
mod tar;

pub use access::{Access, Location, Waits};
pub use choose::{Choice, choose};
pub use copy::Copy;
pub use engine::{Checked, Data, Engine, Key, Node, Pushed, Share, Stored};
pub use error::Error;
pub use forget::{Fate, Forget, Forgotten, forget};
pub use list::{Listing, OfPhone, list};
pub use problem::Problem;
pub use proof::{CopyFinding, Proof, Wrong, prove};
pub use pull::{pull, pulled};
pub use push::{After, Push, PushReport, PushedBackup, Skipped, push};
pub use reading::{Lists, lists};
pub use restic::{OLDEST, Restic, Version};
