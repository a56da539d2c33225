//! The phone's end of the backup stream: sends messages and file frames through one large buffer,
//! and injects faults of the cable.

use std::io::{self, Read, Write};
use std::time::Duration;

use plist::Value;

use super::faults::Fault;
use super::tls::Link;
use crate::transport::plist_stream;

/// Data bytes in one frame, as phones send them.
pub(super) const FRAME_BYTES: usize = 32 << 10;
/// Buffer size in bytes: data is collected up to this size before it is encrypted and sent.
const BUFFER_BYTES: usize = 256 << 10;
pub(super) const CODE_OK: u8 = 0;
pub(super) const CODE_DATA: u8 = 0x0c;
pub(super) const CODE_IO_ERROR: u8 = 0x0b;

/// A buffered stream that counts bytes and messages, and breaks where a fault demands it.
pub(super) struct Wire {
    link: Link,
    buffer: Vec<u8>,
    filled: usize,
    /// Number of bytes sent.
    sent: u64,
    /// Number of bytes received.
    pub(super) taken: u64,
    /// Number of messages sent.
    messages: u64,
    /// Data bytes of the longest frame that the computer sent.
    pub(super) longest_frame: u32,
    faults: Vec<Fault>,
}

impl Wire {
    pub(super) fn new(link: Link) -> Wire {
        Wire {
            link,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            sent: 0,
            taken: 0,
            messages: 0,
            longest_frame: 0,
            faults: Vec::new(),
        }
    }

    /// Sets the faults of the cable from now on.
    pub(super) fn suffer(&mut self, faults: &[Fault]) {
        self.faults = faults.to_vec();
    }

    /// Sends one message. Its length prefix is sent in a TLS record of its own.
    pub(super) fn message(&mut self, parts: Vec<Value>) -> io::Result<()> {
        let mut bytes = Vec::new();
        Value::Array(parts)
            .to_writer_binary(&mut bytes)
            .map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.raw_message(length, &bytes)
    }

    /// Sends bytes as a message with the given length prefix.
    pub(super) fn raw_message(&mut self, length: u32, bytes: &[u8]) -> io::Result<()> {
        let index = self.messages;
        if self.faults.contains(&Fault::CutAt(index)) {
            return self.cut();
        }
        if self.faults.contains(&Fault::StallAt(index)) {
            return self.stall();
        }
        self.messages += 1;
        self.put(&length.to_be_bytes())?;
        self.flush()?;
        self.put(bytes)?;
        self.flush()
    }

    /// Appends bytes to the buffer.
    pub(super) fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room(1)?;
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Appends a frame. `fill` writes the data directly into the buffer and returns its length.
    pub(super) fn frame(
        &mut self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let room = self.room(5 + length)?;
        let count = fill(&mut room[5..5 + length])?;
        if count == 0 {
            // The file ended with the previous block. Phones never send an empty block, and
            // pymobiledevice3 rejects them.
            return Ok(0);
        }
        let prefix = u32::try_from(count + 1).map_err(io::Error::other)?;
        room[..4].copy_from_slice(&prefix.to_be_bytes());
        room[4] = CODE_DATA;
        self.filled += 5 + count;
        Ok(count)
    }

    /// Ends a file with success, or with an error and its text.
    pub(super) fn end_of_file(&mut self, code: u8, text: &str) -> io::Result<()> {
        let length = u32::try_from(text.len() + 1).map_err(io::Error::other)?;
        self.put(&length.to_be_bytes())?;
        self.put(&[code])?;
        self.put(text.as_bytes())
    }

    /// Returns the free part of the buffer, which has at least `least` bytes.
    fn room(&mut self, least: usize) -> io::Result<&mut [u8]> {
        if self.buffer.len() - self.filled < least {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// Sends the buffered data.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let end = self.sent + self.filled as u64;
        let broken = self.faults.iter().find_map(|f| match f {
            Fault::CutAfter(at) if *at <= end => Some((*at, false)),
            Fault::StallAfter(at) if *at <= end => Some((*at, true)),
            _ => None,
        });
        let count = match broken {
            Some((at, _)) => usize::try_from(at.saturating_sub(self.sent)).unwrap_or(0),
            None => self.filled,
        };
        self.link.write_all(&self.buffer[..count])?;
        self.link.flush()?;
        self.sent += count as u64;
        self.filled = 0;
        match broken {
            None => Ok(()),
            Some((_, false)) => self.cut(),
            Some((_, true)) => self.stall(),
        }
    }

    fn cut(&self) -> io::Result<()> {
        self.link.socket().cut();
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the cable was cut",
        ))
    }

    /// Sends nothing more, and waits until the computer disconnects.
    pub(super) fn stall(&mut self) -> io::Result<()> {
        let mut ignored = [0; 4096];
        while self.link.read(&mut ignored)? > 0 {}
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits for the given time, and returns true if the computer disconnected. The computer has
    /// nothing to send meanwhile, so receiving a byte also counts as its goodbye.
    pub(super) fn gone_within(&mut self, wait: Duration) -> bool {
        let looked = self
            .link
            .socket()
            .set_read_timeout(Some(wait))
            .and_then(|()| {
                let read = self.link.read(&mut [0]);
                self.link.socket().set_read_timeout(None)?;
                read
            });
        let quiet = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        !looked.is_err_and(|e| quiet.contains(&e.kind()))
    }

    /// Receives one message.
    pub(super) fn receive(&mut self) -> io::Result<Value> {
        plist_stream::read(self, plist_stream::MESSAGE_BYTES_MAX).map_err(super::frame_error)
    }

    /// Receives a length.
    pub(super) fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Receives exactly as many bytes as the buffer holds.
    pub(super) fn exactly(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact(bytes)
    }

    /// Closes the connection properly.
    pub(super) fn close(self) {
        self.link.close();
    }
}

/// Reads from the computer, up to the byte at which a fault cuts the cable.
impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let end = self.faults.iter().find_map(|fault| match fault {
            Fault::CutAfterTaken(at) => Some(*at),
            _ => None,
        });
        let left = end.map_or(u64::MAX, |end| end.saturating_sub(self.taken));
        if left == 0 {
            self.cut()?;
        }
        let length = usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left));
        let count = self.link.read(&mut buf[..length])?;
        self.taken += count as u64;
        Ok(count)
    }
}
