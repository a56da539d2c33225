//! Protocol violations that the simulated phone detects in a computer's USB traffic.

use std::fmt;

/// A violation of the USB mux protocol by a client. The phone reports it and ignores the offending
/// message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misstep {
    /// A message exceeds the maximum length.
    MessageTooLong {
        /// Bytes received so far.
        bytes: usize,
    },
    /// A zero-length packet arrived although no message had to be ended.
    EmptyMessage,
    /// A message is shorter than its headers.
    TooShort {
        /// Number of bytes received.
        bytes: usize,
    },
    /// The length in the header differs from the bytes received. The sender may have forgotten a
    /// zero-length packet earlier.
    WrongLength {
        /// Length according to the header.
        claimed: u32,
        /// Number of bytes received.
        bytes: usize,
    },
    /// A version 2 header begins with the wrong magic number.
    WrongMagic {
        /// Magic number found in the header.
        magic: u32,
    },
    /// A packet does not have the next packet number.
    OutOfOrder {
        /// Expected packet number.
        expected: u16,
        /// Packet number found.
        found: u16,
    },
    /// The protocol is neither version, setup nor TCP.
    UnknownProtocol {
        /// Protocol number found.
        protocol: u32,
    },
    /// The requested version does not exist on any phone.
    WrongVersion {
        /// Major version requested.
        major: u32,
    },
    /// A message arrived before the version exchange, or TCP before SETUP.
    TooEarly {
        /// Protocol number of the message.
        protocol: u32,
    },
    /// SETUP does not consist of the single byte 7.
    WrongSetup,
    /// The TCP header has options, or its length field is too small.
    WrongTcpHeader {
        /// First byte of the fifth word: the data offset.
        offset: u8,
    },
    /// The flags are not a valid combination of SYN, ACK and RST.
    WrongFlags {
        /// All flags of the packet.
        flags: u8,
    },
    /// The sequence number is not the next one.
    WrongSequence {
        /// Expected sequence number.
        expected: u32,
        /// Sequence number found.
        found: u32,
    },
    /// An acknowledgement covers bytes that the phone never sent.
    WrongAcknowledgement {
        /// Last sequence number sent.
        sent: u32,
        /// Acknowledgement number found.
        found: u32,
    },
    /// The sender exceeded the receive window.
    WindowOverrun {
        /// Number of bytes in excess.
        bytes: u32,
    },
    /// The computer opened more connections at once than a phone allows.
    TooManyConnections,
    /// Answers pile up because the computer does not read them.
    NobodyReads,
    /// A read is not a multiple of the packet size and too small for the incoming data. Real
    /// hardware reports this as babble.
    Babble {
        /// Requested length in bytes.
        length: u32,
    },
}

impl fmt::Display for Misstep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misstep::MessageTooLong { bytes } => {
                write!(f, "a message has {bytes} bytes and no end")
            }
            Misstep::EmptyMessage => f.write_str("a zero-length packet that ends no message"),
            Misstep::TooShort { bytes } => {
                write!(f, "a message of {bytes} bytes is shorter than its headers")
            }
            Misstep::WrongLength { claimed, bytes } => write!(
                f,
                "a message of {bytes} bytes says that it has {claimed}: was a zero-length packet forgotten?"
            ),
            Misstep::WrongMagic { magic } => write!(f, "{magic:#010x} in place of 0xfeedface"),
            Misstep::OutOfOrder { expected, found } => {
                write!(f, "packet {found} where {expected} is the next")
            }
            Misstep::UnknownProtocol { protocol } => write!(f, "protocol {protocol} is unknown"),
            Misstep::WrongVersion { major } => write!(f, "version {major} of the mux is unknown"),
            Misstep::TooEarly { protocol } => {
                write!(f, "protocol {protocol} before version exchange and setup")
            }
            Misstep::WrongSetup => f.write_str("a setup that is not the byte 7"),
            Misstep::WrongTcpHeader { offset } => {
                write!(f, "a TCP header with offset {offset:#04x}")
            }
            Misstep::WrongFlags { flags } => write!(f, "TCP flags {flags:#04x}"),
            Misstep::WrongSequence { expected, found } => {
                write!(f, "TCP sequence {found} where {expected} is the next")
            }
            Misstep::WrongAcknowledgement { sent, found } => {
                write!(f, "{found} is acknowledged where {sent} was the last sent")
            }
            Misstep::WindowOverrun { bytes } => write!(f, "{bytes} bytes beyond the window"),
            Misstep::TooManyConnections => f.write_str("too many connections"),
            Misstep::NobodyReads => f.write_str("answers pile up that nobody reads"),
            Misstep::Babble { length } => {
                write!(
                    f,
                    "a read of {length} bytes, no multiple of 512, is too small"
                )
            }
        }
    }
}

impl std::error::Error for Misstep {}
