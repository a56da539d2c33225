//! Length-prefixed property lists, as lockdown, the small services and DeviceLink send them.
//!
//! ```text
//! [length u32 BE][property list, XML or binary, `length` bytes]
//! ```
//! The prefix travels in its own TLS record on real phones, so a read may hold any part of it.

use std::io::{self, Read, Write};

use plist::Value;
use zeroize::Zeroizing;

use crate::base::bounded_plist::{self, NotAPlist};

/// Default limit of a message's length, in bytes. Directory listings of a whole backup are the
/// largest.
pub const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// Failure to read or write a message.
#[derive(Debug)]
pub enum FrameError {
    /// The stream ended or failed.
    Io(io::Error),
    /// The length prefix is over the limit.
    TooLong {
        /// The length that the prefix states, in bytes.
        length: u32,
        /// The limit that applies here, in bytes.
        limit: u32,
    },
    /// The bytes are not a property list.
    NotAPlist(NotAPlist),
}

impl From<io::Error> for FrameError {
    fn from(e: io::Error) -> Self {
        FrameError::Io(e)
    }
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Io(e) => write!(f, "{e}"),
            FrameError::TooLong { length, limit } => {
                write!(
                    f,
                    "a message of {length} bytes where at most {limit} are allowed"
                )
            }
            FrameError::NotAPlist(why) => write!(f, "a message that is {why}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Encoding of a property list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// XML, for lockdown and the small services.
    Xml,
    /// Binary, for DeviceLink.
    Binary,
}

/// Reads one message of at most `limit` bytes.
pub fn read(stream: &mut dyn Read, limit: u32) -> Result<Value, FrameError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    read_body(stream, u32::from_be_bytes(prefix), limit)
}

/// Reads the body of a message whose length is known.
pub(crate) fn read_body(
    stream: &mut dyn Read,
    length: u32,
    limit: u32,
) -> Result<Value, FrameError> {
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    // Grow the buffer as bytes arrive, so that a prefix alone reserves no memory.
    let mut body = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() != length as usize {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    bounded_plist::parse(&body).map_err(FrameError::NotAPlist)
}

/// Writes one message and flushes.
pub fn write(
    stream: &mut dyn Write,
    message: &Value,
    encoding: Encoding,
) -> Result<(), FrameError> {
    // Some messages hold keys and passwords.
    let mut bytes = Zeroizing::new(vec![0; 4]);
    let written = match encoding {
        Encoding::Xml => message.to_writer_xml(&mut *bytes),
        Encoding::Binary => message.to_writer_binary(&mut *bytes),
    };
    written.map_err(|e| FrameError::Io(io::Error::other(e)))?;
    let length = u32::try_from(bytes.len() - 4).map_err(|_| FrameError::TooLong {
        length: u32::MAX,
        limit: u32::MAX,
    })?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&bytes)?;
    stream.flush()?;
    Ok(())
}
