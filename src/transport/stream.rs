//! Byte streams to a phone, and the first steps of reading and writing them.

use std::io::{Read, Write};

/// Bidirectional byte stream.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// A stream of any kind.
pub type AnyStream = Box<dyn Stream>;

/// Reads a big-endian u32, the length prefix of nearly everything a phone sends.
pub(crate) fn read_u32(stream: &mut (impl Read + ?Sized)) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Writes all of `bytes` and flushes.
pub fn send(stream: &mut (impl Write + ?Sized), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}
