//! What a computer does wrong on the wire, by name.

use std::fmt;

/// Something that a client of the USB mux must not do. The phone tells of it and goes on without
/// what was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misstep {
    /// A message goes on beyond the longest one.
    MessageTooLong {
        /// What has come of it.
        bytes: usize,
    },
    /// A zero-length packet where no message was to be ended.
    EmptyMessage,
    /// Shorter than the headers that it must have.
    TooShort {
        /// What came.
        bytes: usize,
    },
    /// The header tells another length than what came: a zero-length packet may have been forgotten
    /// before.
    WrongLength {
        /// By the header.
        claimed: u32,
        /// What came.
        bytes: usize,
    },
    /// The second version's header begins with another number.
    WrongMagic {
        /// What stands there.
        magic: u32,
    },
    /// Packets are numbered; this one has another number than the next.
    OutOfOrder {
        /// The next one.
        expected: u16,
        /// What it has.
        found: u16,
    },
    /// Neither version, setup nor TCP.
    UnknownProtocol {
        /// What it is.
        protocol: u32,
    },
    /// A version that no phone has.
    WrongVersion {
        /// What was asked for.
        major: u32,
    },
    /// Before the version exchange, or TCP before SETUP.
    TooEarly {
        /// What came.
        protocol: u32,
    },
    /// SETUP is one byte, 7.
    WrongSetup,
    /// The TCP header has options, or claims to be shorter than it is.
    WrongTcpHeader {
        /// Its fifth word's first byte.
        offset: u8,
    },
    /// Other flags than SYN, ACK and RST in the ways that they are used.
    WrongFlags {
        /// All of them.
        flags: u8,
    },
    /// A number of a byte that is not the next one.
    WrongSequence {
        /// The next one.
        expected: u32,
        /// What it has.
        found: u32,
    },
    /// Bytes are acknowledged that were never sent.
    WrongAcknowledgement {
        /// The last that was sent.
        sent: u32,
        /// What is acknowledged.
        found: u32,
    },
    /// More than the window takes.
    WindowOverrun {
        /// So many bytes more.
        bytes: u32,
    },
    /// More connections at once than a phone takes.
    TooManyConnections,
    /// Answers pile up, since nobody reads them.
    NobodyReads,
    /// A read that is no multiple of the packet size, and too small for what comes: real hardware
    /// reports babble.
    Babble {
        /// What was asked for.
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
