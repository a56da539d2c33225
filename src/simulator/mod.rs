//! A simulated iPhone behind a usbmuxd-compatible socket.
//!
//! It pairs, secures its services with TLS, and makes backups by the rules of a real phone: it
//! decides what to send, checks the data on the computer, resumes interrupted backups, and rejects
//! invalid data. Its contents are generated from a seed, so that a test can compare every byte of a
//! backup, and a hundred gigabytes take no space.
//!
//! ```no_run
//! use idev_backup::simulator::{Daemon, Phone, PhoneConfig};
//!
//! # fn main() -> std::io::Result<()> {
//! let phone = Phone::new(PhoneConfig::default());
//! let daemon = Daemon::start("127.0.0.1:0", vec![phone.clone()])?;
//! println!("USBMUXD_SOCKET_ADDRESS={}", daemon.address());
//! // ... a client backs up; then:
//! for file in phone.files() {
//!     let kept_as = format!("{}/{}", &file.file_id()[..2], file.file_id());
//!     let mut bytes = file.bytes(); // compare with what was written there
//! }
//! # Ok(())
//! # }
//! ```

mod afc;
mod apps;
mod assertions;
mod backup;
mod content;
mod contents;
mod dialog;
mod entry;
mod faults;
mod files;
mod heartbeat;
mod keys;
mod ledger;
mod lockdown;
mod manifest;
mod mux;
mod notify;
mod phone;
mod replay;
mod services;
mod socket;
mod tls;
mod unlock;
mod usb;
mod values;
mod wifi;
mod wire;

pub use assertions::Assertion;
pub use backup::restore::{RestoreOptions, RestoreOutcome};
pub use content::Content;
pub use entry::{Bytes, Entry, Kind};
pub use faults::{Fault, NotAFault};
pub use keys::Password;
pub use ledger::{Ledger, Restored, RestoredKind};
pub use mux::Daemon;
pub use phone::{Outcome, Passcode, Phone, PhoneConfig, Trust};
pub use replay::{Departure, Replay};
pub use usb::{Cable, Counts, Misstep, RedirError, UsbEvent};
pub use wifi::{AdvertKind, Wifi, WifiConfig, WifiFault};

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plist::{Dictionary, Value};

use crate::transport::plist_stream::FrameError;

/// Locks a mutex. Data that a panicked thread left behind is still good enough for a simulation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string().to_uppercase()
}

fn dict<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn frame_error(e: FrameError) -> io::Error {
    match e {
        FrameError::Io(e) => e,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}
