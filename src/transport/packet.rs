//! The form of packets over USB, and what can be wrong with one. [`super::mux`] has the picture and
//! the meaning.

use std::fmt;

use super::mux::{PACKETS_MAX, WINDOW_BYTES};

/// Longest packet that is taken.
pub const PACKET_BYTES_MAX: usize = 65536;
pub(super) const VERSION: u32 = 0;
pub(super) const CONTROL: u32 = 1;
pub(super) const SETUP: u32 = 2;
pub(super) const TCP: u32 = 6;
pub(super) const MAGIC: u32 = 0xFEED_FACE;
pub(super) const TCP_BYTES: usize = 20;
pub(super) const HEADER_BYTES_MAX: usize = 16 + TCP_BYTES;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// Why a phone cannot be understood. Everything on it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It speaks a version that we do not.
    Version(u32),
    /// It goes on with something else instead of telling its version.
    NoVersion,
    /// A packet's length cannot be.
    Length {
        /// What it says, in bytes.
        said: u32,
        /// The least that its kind has.
        least: usize,
    },
    /// A packet ends before its length.
    Cut {
        /// What of it did not come, in bytes.
        missing: usize,
    },
    /// A packet of version 2 does not begin as one.
    Magic(u32),
    /// A packet of no known kind.
    Protocol(u32),
    /// It takes nothing of what is sent to it, and goes on sending.
    Deaf,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Version(major) => write!(
                f,
                "it speaks version {major} of the USB protocol, not 1 or 2"
            ),
            Broken::NoVersion => {
                f.write_str("it does not tell which version of the USB protocol it speaks")
            }
            Broken::Length { said, least } => write!(
                f,
                "it sent a packet of {said} bytes, where {least} to {PACKET_BYTES_MAX} can be"
            ),
            Broken::Cut { missing } => {
                write!(f, "it sent a packet that lacks {missing} of its bytes")
            }
            Broken::Magic(word) => write!(
                f,
                "it sent a packet that begins with {word:08x} instead of {MAGIC:08x}"
            ),
            Broken::Protocol(number) => write!(f, "it sent a packet of the unknown kind {number}"),
            Broken::Deaf => write!(
                f,
                "it takes none of our packets and goes on sending; {PACKETS_MAX} are waiting"
            ),
        }
    }
}

impl std::error::Error for Broken {}

/// The question for a phone's version, with ours; always in version 1's form.
pub(super) fn version() -> Vec<u8> {
    let mut ask = Vec::with_capacity(20);
    for word in [VERSION, 20, 2, 0, 0] {
        ask.extend_from_slice(&u32::to_be_bytes(word));
    }
    ask
}

/// Which of the two forms is spoken, and where its numbers stand.
#[derive(Debug)]
pub(super) struct Form {
    is_second: bool,
    tx_seq: u16,
    rx_seq: u16,
}

/// What a packet of a connection says beside its payload.
pub(super) struct Segment {
    pub(super) port: u16,
    pub(super) there: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
}

impl Form {
    /// Version 1.
    pub(super) fn first() -> Form {
        Form {
            is_second: false,
            tx_seq: 0,
            rx_seq: 0xFFFF,
        }
    }

    /// Version 2.
    pub(super) fn second() -> Form {
        Form {
            is_second: true,
            ..Form::first()
        }
    }

    /// Bytes of a packet's own header.
    pub(super) fn header_bytes(&self) -> usize {
        if self.is_second { 16 } else { 8 }
    }

    /// Takes note of a header that has come.
    pub(super) fn take(&mut self, header: &[u8]) -> Result<(), Broken> {
        if self.is_second {
            match word(header, 8) {
                MAGIC => self.rx_seq = half(header, 14),
                other => return Err(Broken::Magic(other)),
            }
        }
        Ok(())
    }

    /// A packet's own header, with room for the `rest` that follows it.
    pub(super) fn packet(&mut self, protocol: u32, rest: usize) -> Vec<u8> {
        let length = self.header_bytes() + rest;
        let mut packet = Vec::with_capacity(length);
        packet.extend_from_slice(&protocol.to_be_bytes());
        packet.extend_from_slice(&(length as u32).to_be_bytes());
        if self.is_second {
            packet.extend_from_slice(&MAGIC.to_be_bytes());
            packet.extend_from_slice(&self.tx_seq.to_be_bytes());
            packet.extend_from_slice(&self.rx_seq.to_be_bytes());
            self.tx_seq = self.tx_seq.wrapping_add(1);
        }
        packet
    }

    /// The headers of a connection's packet, with room for its payload.
    pub(super) fn segment(&mut self, told: Segment, payload: usize) -> Vec<u8> {
        let mut packet = self.packet(TCP, TCP_BYTES + payload);
        packet.extend_from_slice(&told.port.to_be_bytes());
        packet.extend_from_slice(&told.there.to_be_bytes());
        packet.extend_from_slice(&told.seq.to_be_bytes());
        packet.extend_from_slice(&told.ack.to_be_bytes());
        packet.extend_from_slice(&[(TCP_BYTES as u8 / 4) << 4, told.flags]);
        packet.extend_from_slice(&((WINDOW_BYTES >> 8) as u16).to_be_bytes());
        // Checksum and urgent pointer: USB has its own checks.
        packet.extend_from_slice(&[0; 4]);
        packet
    }
}

/// A big-endian u32 inside of bytes that are long enough.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A big-endian u16 inside of bytes that are long enough.
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
