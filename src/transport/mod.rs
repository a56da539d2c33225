//! How bytes reach a phone: the daemon's socket, and the framing that all of its services share.

pub mod plist_stream;
pub mod usbmuxd;
pub mod wire;

use std::io::{Read, Write};

pub use usbmuxd::{Attached, Error, Usbmuxd, Via};
pub use wire::{Calm, Stream, Wire};

/// A stream whose kind no longer matters.
pub type AnyStream = Box<dyn Stream>;

/// Reads a big-endian u32, the length in front of nearly everything a phone sends.
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
