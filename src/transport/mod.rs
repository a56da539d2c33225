//! Transport of bytes to a phone, through a daemon's socket or over USB, and the framing that all
//! of the phone's services share.

pub mod error;
pub mod plist_stream;
pub mod select;
pub mod socket;
pub mod udev_rule;
pub mod usb;
pub mod usbmuxd;

use std::io::{Read, Write};

pub use error::{Error, Trouble};
pub use select::Transport;
pub use socket::{Stream, Wire};
pub use usb::Usb;
pub use usbmuxd::{Attached, Usbmuxd, Via};

/// A stream of any kind.
pub type AnyStream = Box<dyn Stream>;

/// Reads a big-endian u32, the length prefix of nearly everything a phone sends.
pub fn read_u32(stream: &mut (impl Read + ?Sized)) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Writes all of `bytes` and flushes.
pub fn send(stream: &mut (impl Write + ?Sized), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}
