//! The usbredir protocol, on the side that has the device: parses bytes into packets, and writes
//! answers. Pure.
//!
//! ```text
//! [type u32][length of fields and data u32][id u32; u64 if both sides are capable of it]
//! [fields of the type][data]
//! ```
//! All numbers are little-endian. The peer is QEMU's `usb-redir`; spice's usbredir documentation
//! describes the protocol.

use std::fmt;

/// Our capabilities: device versions, packet sizes of endpoints, 64-bit ids, bulk packets beyond 64
/// KiB.
pub(super) const OUR_CAPABILITIES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6;
const WIDE_IDS: u32 = 1 << 5;
const LONG_BULK: u32 = 1 << 6;
/// Longest accepted packet in bytes. QEMU sends nothing nearly this long to this phone.
const LENGTH_MAX: u32 = 4 << 20;
const VERSION_BYTES: usize = 64;

pub(super) const OK: u8 = 0;
pub(super) const CANCELLED: u8 = 1;
pub(super) const INVALID: u8 = 2;
pub(super) const STALL: u8 = 4;
pub(super) const BABBLE: u8 = 6;

/// A control transfer on endpoint 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) endpoint: u8,
    pub(super) request: u8,
    pub(super) request_type: u8,
    pub(super) value: u16,
    pub(super) index: u16,
    pub(super) length: u16,
    pub(super) data: Vec<u8>,
}

/// A packet from the computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// Capabilities of the computer; must come first, and only once.
    Hello(u32),
    Reset,
    SetConfiguration(u8),
    GetConfiguration,
    SetAlternate {
        interface: u8,
        alternate: u8,
    },
    GetAlternate {
        interface: u8,
    },
    StartInterrupt(u8),
    StopInterrupt(u8),
    /// Cancels the transfer with this packet's id.
    Cancel,
    Control(Control),
    /// Bulk transfer: OUT carries data, IN requests at most `length` bytes.
    Bulk {
        endpoint: u8,
        length: u32,
        data: Vec<u8>,
    },
    /// A packet that this phone need not answer.
    Other(u32),
}

/// Error: the bytes are not valid usbredir.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirError {
    /// Another packet arrived before the hello.
    NoHello {
        /// Type of that packet.
        kind: u32,
    },
    /// A second hello arrived.
    HelloAgain,
    /// A packet claims to be longer than the limit.
    TooLong {
        /// Type of the packet.
        kind: u32,
        /// Length that the packet claims, in bytes.
        length: u32,
    },
    /// A packet is shorter than the fields of its type.
    TooShort {
        /// Type of the packet.
        kind: u32,
        /// Length of the packet in bytes.
        length: u32,
    },
}

impl fmt::Display for RedirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedirError::NoHello { kind } => {
                write!(f, "usbredir packet of type {kind} before the hello")
            }
            RedirError::HelloAgain => f.write_str("a second usbredir hello"),
            RedirError::TooLong { kind, length } => {
                write!(
                    f,
                    "usbredir packet of type {kind} claims {length} bytes, at most {LENGTH_MAX} are taken"
                )
            }
            RedirError::TooShort { kind, length } => {
                write!(
                    f,
                    "usbredir packet of type {kind} has only {length} bytes, fewer than its fields"
                )
            }
        }
    }
}

impl std::error::Error for RedirError {}

/// Capabilities that both sides have, known once both have said hello.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Agreed {
    wide_ids: bool,
    long_bulk: bool,
}

/// Collects incoming bytes and parses them into packets.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    at: usize,
    agreed: Option<Agreed>,
}

impl Parser {
    /// Appends received bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next packet and its id, if it has arrived completely.
    pub(super) fn take(&mut self) -> Result<Option<(u64, Packet)>, RedirError> {
        let wide = self.agreed.is_some_and(|agreed| agreed.wide_ids);
        let mut fields = Fields(&self.buffer[self.at..]);
        let header = fields.u32().zip(fields.u32());
        let Some((kind, length)) = header else {
            return Ok(None);
        };
        if length > LENGTH_MAX {
            return Err(RedirError::TooLong { kind, length });
        }
        let id = if wide {
            fields.u64()
        } else {
            fields.u32().map(u64::from)
        };
        let Some((id, body)) = id.zip(fields.bytes(length as usize)) else {
            return Ok(None);
        };
        match (kind, self.agreed) {
            (0, None) | (1.., Some(_)) => {}
            (0, Some(_)) => return Err(RedirError::HelloAgain),
            (kind, None) => return Err(RedirError::NoHello { kind }),
        }
        let agreed = self.agreed.unwrap_or_default();
        let packet =
            packet(kind, Fields(body), agreed).ok_or(RedirError::TooShort { kind, length })?;
        self.at += if wide { 16 } else { 12 } + length as usize;
        if let Packet::Hello(theirs) = packet {
            let both = theirs & OUR_CAPABILITIES;
            self.agreed = Some(Agreed {
                wide_ids: both & WIDE_IDS != 0,
                long_bulk: both & LONG_BULK != 0,
            });
        }
        Ok(Some((id, packet)))
    }

    /// Returns a writer that uses the capabilities on which both sides agreed.
    pub(super) fn writer(&self) -> Writer {
        Writer(self.agreed.unwrap_or_default())
    }
}

fn packet(kind: u32, mut fields: Fields<'_>, agreed: Agreed) -> Option<Packet> {
    Some(match kind {
        0 => {
            fields.bytes(VERSION_BYTES)?;
            // An old peer sends no capabilities.
            Packet::Hello(fields.u32().unwrap_or(0))
        }
        3 => Packet::Reset,
        6 => Packet::SetConfiguration(fields.u8()?),
        7 => Packet::GetConfiguration,
        9 => Packet::SetAlternate {
            interface: fields.u8()?,
            alternate: fields.u8()?,
        },
        10 => Packet::GetAlternate {
            interface: fields.u8()?,
        },
        15 => Packet::StartInterrupt(fields.u8()?),
        16 => Packet::StopInterrupt(fields.u8()?),
        21 => Packet::Cancel,
        100 => {
            let (endpoint, request, request_type) = (fields.u8()?, fields.u8()?, fields.u8()?);
            fields.u8()?; // a status, which only answers have
            Packet::Control(Control {
                endpoint,
                request,
                request_type,
                value: fields.u16()?,
                index: fields.u16()?,
                length: fields.u16()?,
                data: fields.0.to_vec(),
            })
        }
        101 => {
            let endpoint = fields.u8()?;
            fields.u8()?;
            let low = u32::from(fields.u16()?);
            fields.u32()?; // the stream, which USB 2 has not
            let high = if agreed.long_bulk {
                u32::from(fields.u16()?)
            } else {
                0
            };
            Packet::Bulk {
                endpoint,
                length: high << 16 | low,
                data: fields.0.to_vec(),
            }
        }
        other => Packet::Other(other),
    })
}

/// Type of an endpoint in one direction, as reported in `ep_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Endpoint number, with the direction in its highest bit.
    pub(super) address: u8,
    /// Transfer type: 0 control, 2 bulk, 3 interrupt.
    pub(super) kind: u8,
    pub(super) interval: u8,
    pub(super) interface: u8,
    pub(super) packet_bytes_max: u16,
}

/// An interface as reported in `interface_info`: number, class, subclass, protocol.
pub(super) type Interface = [u8; 4];

/// Writes packets in the agreed format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer(Agreed);

impl Writer {
    /// Writes the first packet, which always has a short id.
    pub(super) fn hello(out: &mut Vec<u8>) {
        let mut version = [0; VERSION_BYTES];
        let name = b"idev-backup simulator";
        version[..name.len()].copy_from_slice(name);
        let narrow = Writer(Agreed::default());
        narrow.packet(out, 0, 0, &[&version, &OUR_CAPABILITIES.to_le_bytes()]);
    }

    fn packet(self, out: &mut Vec<u8>, kind: u32, id: u64, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        out.extend(kind.to_le_bytes());
        out.extend((length as u32).to_le_bytes());
        if self.0.wide_ids {
            out.extend(id.to_le_bytes())
        } else {
            out.extend((id as u32).to_le_bytes())
        }
        for part in parts {
            out.extend_from_slice(part);
        }
    }

    /// Writes the interfaces and endpoints of the active configuration.
    pub(super) fn layout(self, out: &mut Vec<u8>, interfaces: &[Interface], ends: &[Endpoint]) {
        let mut info = (interfaces.len() as u32).to_le_bytes().to_vec();
        for field in 0..4 {
            let mut column = [0; 32];
            for (at, interface) in interfaces.iter().enumerate().take(32) {
                column[at] = interface[field];
            }
            info.extend(column);
        }
        self.packet(out, 4, 0, &[&info]);

        let place = |address: u8| usize::from((address & 0x80) >> 3 | address & 0x0f);
        let (mut kinds, mut intervals, mut of) = ([255; 32], [0; 32], [0; 32]);
        let mut sizes = [0; 64];
        for end in ends {
            let at = place(end.address);
            (kinds[at], intervals[at], of[at]) = (end.kind, end.interval, end.interface);
            sizes[2 * at..2 * at + 2].copy_from_slice(&end.packet_bytes_max.to_le_bytes());
        }
        self.packet(out, 5, 0, &[&kinds, &intervals, &of, &sizes]);
    }

    /// Reports that a device has been connected at 480 Mb/s.
    pub(super) fn connect(self, out: &mut Vec<u8>, vendor: u16, product: u16, version: u16) {
        let mut body = vec![2, 0, 0, 0];
        for number in [vendor, product, version] {
            body.extend(number.to_le_bytes());
        }
        self.packet(out, 1, 0, &[&body]);
    }

    pub(super) fn disconnect(self, out: &mut Vec<u8>) {
        self.packet(out, 2, 0, &[]);
    }

    pub(super) fn configuration(self, out: &mut Vec<u8>, id: u64, status: u8, number: u8) {
        self.packet(out, 8, id, &[&[status, number]]);
    }

    pub(super) fn alternate(self, out: &mut Vec<u8>, id: u64, status: u8, place: [u8; 2]) {
        self.packet(out, 11, id, &[&[status, place[0], place[1]]]);
    }

    pub(super) fn interrupt(self, out: &mut Vec<u8>, id: u64, status: u8, endpoint: u8) {
        self.packet(out, 17, id, &[&[status, endpoint]]);
    }

    /// Answers a control transfer: with `data` for IN, with the number of bytes taken for OUT.
    pub(super) fn control(
        self,
        out: &mut Vec<u8>,
        id: u64,
        of: &Control,
        status: u8,
        data: &[u8],
        taken: u16,
    ) {
        let mut body = vec![of.endpoint, of.request, of.request_type, status];
        for number in [of.value, of.index, taken] {
            body.extend(number.to_le_bytes());
        }
        self.packet(out, 100, id, &[&body, data]);
    }

    /// Answers a bulk transfer: with `data` for IN, with the number of bytes taken for OUT.
    pub(super) fn bulk(
        self,
        out: &mut Vec<u8>,
        id: u64,
        endpoint: u8,
        status: u8,
        data: &[u8],
        taken: u32,
    ) {
        let mut body = vec![endpoint, status];
        body.extend((taken as u16).to_le_bytes());
        body.extend(0u32.to_le_bytes());
        if self.0.long_bulk {
            body.extend(((taken >> 16) as u16).to_le_bytes());
        }
        self.packet(out, 101, id, &[&body, data]);
    }
}

/// Reads numbers from the remaining bytes of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(capabilities: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [0, 68, 0] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend([b'q'; VERSION_BYTES]);
        bytes.extend(capabilities.to_le_bytes());
        bytes
    }

    fn bulk_out(data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [101, 10 + data.len() as u32, 7, 0] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend([4, 0]);
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn packets_reassemble_from_any_pieces() {
        let mut bytes = hello(u32::MAX);
        bytes.extend(bulk_out(b"hello, phone"));
        for piece in [1, 3, 7, 12, 1000] {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                parser.push(part);
                while let Some((id, packet)) = parser.take().unwrap() {
                    found.push((id, packet));
                }
            }
            let bulk = Packet::Bulk {
                endpoint: 4,
                length: 12,
                data: b"hello, phone".to_vec(),
            };
            assert_eq!(found, [(0, Packet::Hello(u32::MAX)), (7, bulk)], "{piece}");
        }
    }

    #[test]
    fn peer_without_capabilities_uses_short_ids() {
        let mut parser = Parser::default();
        parser.push(&hello(0));
        for word in [101u32, 8 + 2, 9] {
            parser.push(&word.to_le_bytes());
        }
        parser.push(&[4, 0, 2, 0, 0, 0, 0, 0, b'h', b'i']);
        parser.take().unwrap();
        let (id, packet) = parser.take().unwrap().unwrap();
        let bulk = Packet::Bulk {
            endpoint: 4,
            length: 2,
            data: b"hi".to_vec(),
        };
        assert_eq!((id, packet), (9, bulk));
        let mut out = Vec::new();
        parser.writer().bulk(&mut out, 9, 4, OK, &[], 2);
        assert_eq!(out.len(), 12 + 8);
    }

    #[test]
    fn invalid_usbredir_packets_are_errors() {
        let packet = |kind: u32, length: u32, body: &[u8]| {
            let mut bytes = kind.to_le_bytes().to_vec();
            bytes.extend(length.to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(body);
            bytes
        };
        let early = RedirError::NoHello { kind: 101 };
        let long = RedirError::TooLong {
            kind: 101,
            length: u32::MAX,
        };
        let short = RedirError::TooShort {
            kind: 100,
            length: 3,
        };
        let greeted = hello(u32::MAX);
        for (bytes, error) in [
            (bulk_out(b""), early),
            (
                [&greeted[..], &hello(0), &[0; 4]].concat(),
                RedirError::HelloAgain,
            ),
            ([&greeted[..], &packet(101, u32::MAX, &[])].concat(), long),
            ([&greeted[..], &packet(100, 3, &[0; 3])].concat(), short),
        ] {
            let mut parser = Parser::default();
            parser.push(&bytes);
            let met = loop {
                match parser.take() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("no error where {error} was to come"),
                    Err(e) => break e,
                }
            };
            assert_eq!(met, error);
        }
    }
}
