//! The format of packets over USB, and the errors of malformed ones. [`super::mux`] shows the
//! layout and explains the meaning.

use std::fmt;

use super::mux::{PACKETS_MAX, WINDOW_BYTES};

/// Longest packet that we accept, in bytes.
pub const PACKET_BYTES_MAX: usize = 65536;
pub(crate) const VERSION: u32 = 0;
pub(crate) const CONTROL: u32 = 1;
pub(crate) const SETUP: u32 = 2;
pub(crate) const TCP: u32 = 6;
pub(crate) const MAGIC: u32 = 0xFEED_FACE;
pub(crate) const TCP_BYTES: usize = 20;
pub(crate) const HEADER_BYTES_MAX: usize = 16 + TCP_BYTES;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// Violation of the protocol by a phone. All of its connections end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The phone speaks an unsupported version of the protocol.
    Version(u32),
    /// The phone keeps sending other bytes instead of its version.
    NoVersion,
    /// A packet states an impossible length.
    Length {
        /// The length that the packet states, in bytes.
        said: u32,
        /// The least length of a packet of its kind.
        least: usize,
    },
    /// A packet ends before its stated length.
    Cut {
        /// The number of missing bytes.
        missing: usize,
    },
    /// A packet of version 2 does not start with FEEDFACE.
    Magic(u32),
    /// A packet has an unknown kind.
    Protocol(u32),
    /// The phone takes none of our packets, but keeps sending.
    Deaf,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Version(major) => write!(
                f,
                "it speaks version {major} of the USB protocol, not 1 or 2"
            ),
            Broken::NoVersion => f.write_str("it does not report its version of the USB protocol"),
            Broken::Length { said, least } => write!(
                f,
                "it sent a packet of {said} bytes, but {least} to {PACKET_BYTES_MAX} are allowed"
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
                "it keeps sending but does not accept packets; {PACKETS_MAX} are waiting"
            ),
        }
    }
}

impl std::error::Error for Broken {}

/// Builds the packet that states our version and asks for the phone's; always in version 1's
/// format.
pub(crate) fn version() -> Vec<u8> {
    let mut ask = Vec::with_capacity(20);
    for word in [VERSION, 20, 2, 0, 0] {
        ask.extend_from_slice(&u32::to_be_bytes(word));
    }
    ask
}

/// The packet format in use (version 1 or 2), with its sequence numbers.
#[derive(Debug)]
pub(crate) struct Form {
    is_second: bool,
    tx_seq: u16,
    rx_seq: u16,
}

/// Header fields of a connection's packet.
pub(crate) struct Segment {
    pub(crate) port: u16,
    pub(crate) there: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
}

impl Form {
    /// Returns the format of version 1.
    pub(crate) fn first() -> Form {
        Form {
            is_second: false,
            tx_seq: 0,
            rx_seq: 0xFFFF,
        }
    }

    /// Returns the format of version 2, with sequence numbers.
    pub(crate) fn second() -> Form {
        Form {
            is_second: true,
            ..Form::first()
        }
    }

    /// Returns the length of a packet's own header, in bytes.
    pub(crate) fn header_bytes(&self) -> usize {
        if self.is_second { 16 } else { 8 }
    }

    /// Checks a received header and remembers its sequence number.
    pub(crate) fn take(&mut self, header: &[u8]) -> Result<(), Broken> {
        if self.is_second {
            match word(header, 8) {
                MAGIC => self.rx_seq = half(header, 14),
                other => return Err(Broken::Magic(other)),
            }
        }
        Ok(())
    }

    /// Builds a packet's own header, with capacity for the `rest` that follows it.
    pub(crate) fn packet(&mut self, protocol: u32, rest: usize) -> Vec<u8> {
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

    /// Builds the headers of a connection's packet, with capacity for its payload.
    pub(crate) fn segment(&mut self, told: Segment, payload: usize) -> Vec<u8> {
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

/// Reads a big-endian u32 at `at`; `bytes` must be long enough.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads a big-endian u16 at `at`; `bytes` must be long enough.
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
