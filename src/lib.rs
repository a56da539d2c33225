//! Backups of iPhones and iPads: make them, prove that they are whole, read them, restore them.
//!
//! The crate speaks the phone's own protocols, keeps backups in Apple's folder layout, and reads
//! backups of iOS 4 to 26, encrypted or not, whichever program made them. `idev-backup`, the
//! command line program, is built from the same crate.
//!
//! # Example
//!
//! This backs up a simulated phone and reads a file out of the backup. A real phone needs only
//! another [`Connector`](device::connector::Connector).
//!
#![cfg_attr(feature = "simulator", doc = "```")]
#![cfg_attr(not(feature = "simulator"), doc = "```ignore")]
//! use std::io::Read;
//! use std::sync::Arc;
//!
//! use idev_backup::backup::create::{Options, create};
//! use idev_backup::device::connector::Connector;
//! use idev_backup::device::tls::Pin;
//! use idev_backup::reader::Backup;
//! use idev_backup::simulator::{Daemon, Phone, PhoneConfig};
//! use idev_backup::store::Store;
//! use idev_backup::transport::Usbmuxd;
//! use idev_backup::transport::usbmuxd::Address;
//! use idev_backup::{CancelToken, NoPasswords, Silent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let daemon = Daemon::start("127.0.0.1:0", vec![Phone::new(PhoneConfig::default())])?;
//! let token = CancelToken::new(Arc::default());
//! let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
//! let connector = Connector::new(usbmuxd, folder.join("pairing"), Pin::PairRecord, token);
//!
//! let phone = connector.phone(None)?;
//! let store = Store::create(&folder.join("backups"))?;
//! let report = create(&connector, &phone, &store, &Options::default(), &Silent)?;
//!
//! let backup = Backup::open(report.path.as_ref(), &NoPasswords)?;
//! for entry in backup.entries() {
//!     let entry = entry?;
//!     if entry.relative_path.ends_with("sms.db") {
//!         let mut database = Vec::new();
//!         backup.bytes(&entry)?.read_to_end(&mut database)?;
//!         assert!(database.starts_with(b"SQLite format 3"));
//!     }
//! }
//! # Ok(())
//! # }
#![doc = "```"]
//!
//! # Modules
//!
//! Start with [`reader::Backup`] to read a backup and [`reader::cat`] to read one file of it, with
//! [`backup::create`](backup::create::create()) to make one, and with [`verify::verify`] to check
//! one. [`content`] reads messages and contacts as records. The phone's side is [`transport`],
//! [`device`] and [`mobilebackup`]; the disk's side is [`backup_format`], [`reader`], [`content`],
//! [`export`], [`store`], [`verify`] and [`history`]; [`backup`], [`encryption`], [`restore`],
//! [`doctor`], [`automation`] and [`repository`] join them. Each module has its own error type, and
//! [`FailureKind`] names the kinds of failure that a caller can distinguish.
//!
//! All calls block. A [`CancelToken`] ends every wait, and a [`Monitor`] receives progress and
//! problems.
//!
//! # Features
//!
//! * `cli` (default): the program `idev-backup`. An embedded library leaves it out.
//! * `network` (default): finds phones over Wi-Fi by DNS-SD. Without it, a phone is reached over
//!   Wi-Fi at an address that the caller gives.
//! * `usb` (default): phones on USB without a daemon, through libusb.
//! * `simulator` (part of `cli`): the simulated phone, and the rehearsal of a restore.
//! * `web` (default): pages in a browser that show backups.
//! * `keyring`: backup passwords in the system's credential store, for the program.
//!
//! With `default-features = false`, the crate reads, checks and stores backups and talks to phones
//! through usbmuxd or at an address, without the crates of a command line and without libusb.
//!
//! # Stability
//!
//! The crate is at version 0.2: its interface may change with each minor version, and the changelog
//! says how. The layout of a store, the JSON output and the exit codes of the program are
//! documented in docs/format.md and docs/guide/scripts.md, and change only with a number of their
//! own.

// Dead code is found only among items that are not public.
#![warn(unreachable_pub)]

pub mod automation;
pub mod backup;
pub mod backup_format;
pub mod base;
pub mod content;
pub mod device;
pub mod doctor;
pub mod encryption;
pub mod export;
pub mod history;
pub mod mobilebackup;
pub mod reader;
pub mod repository;
pub mod restore;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod store;
pub mod trace;
pub mod transport;
pub mod verify;
#[cfg(feature = "web")]
pub mod web;

pub use base::cancel::CancelToken;
pub use base::failure_kind::FailureKind;
pub use base::progress::{Monitor, Silent};
pub use base::secret::Secret;
pub use base::udid::Udid;
pub use reader::passwords::{Known, NoPasswords, Passwords};
