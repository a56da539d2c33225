//! The phone's side of the USB mux: turns messages into connections and back. Pure: no threads, no
//! clock.
//!
//! ```text
//! version 1, and the version exchange itself:
//!     [protocol u32][length u32, all of it]
//! version 2:
//!     [protocol u32][length u32][magic u32 = FEEDFACE][number u16][last seen u16]
//! protocol 6:
//!     [from u16][to u16][sequence u32][acknowledged u32]
//!     [50][flags u8][window u16, in 256 bytes][0 u32] data
//! ```
//! All numbers are big-endian. This module shares no code with `transport`, which implements the
//! computer's side. It is stricter than a real phone: it reports every protocol violation of the
//! computer as a [`Misstep`].

use std::collections::{BTreeMap, VecDeque};

use super::misstep::Misstep;

/// Longest message in either direction, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 65_536;
const MAGIC: u32 = 0xfeed_face;
const VERSION: u32 = 0;
const CONTROL: u32 = 1;
const SETUP: u32 = 2;
const TCP: u32 = 6;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const TCP_BYTES: usize = 20;
/// Receive window in bytes: data that a connection buffers for its service.
const WINDOW: usize = 128 << 10;
/// Send buffer in bytes: data that a service may write before the computer has received it.
const SEND_BYTES_MAX: usize = 256 << 10;
const CONNECTIONS_MAX: usize = 256;
const ANSWERS_MAX: usize = 1024;
/// Usual message length in bytes. Every eighth message uses one of the lengths in `ODD_LENGTHS`, at
/// which computers are prone to bugs.
const MESSAGE_BYTES: usize = 32_768;
const ODD_LENGTHS: [usize; 8] = [16_384, 512, 65_536, 1_024, 16_383, 65_535, 37, 49_152];

/// Event that concerns the rest of the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Both sides agreed on this version; all earlier state is gone.
    Agreed(u32),
    /// A connection to this port was opened.
    Backup { id: u64, port: u16 },
    /// The computer violated the protocol.
    Misstep(Misstep),
}

/// Result of a read or a write on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Number of bytes moved.
    Bytes(usize),
    /// Nothing can be moved yet.
    Wait,
    /// The connection has ended.
    End,
}

/// The mux of one phone, from being plugged in until it is unplugged.
#[derive(Debug)]
pub(super) struct Mux {
    /// Highest version that the phone speaks.
    version_max: u32,
    version: Option<u32>,
    set_up: bool,
    number: u16,
    last_seen: u16,
    answers: VecDeque<(u32, Vec<u8>)>,
    connections: BTreeMap<u64, Connection>,
    next_id: u64,
    turn: u64,
    data_messages: usize,
}

#[derive(Debug)]
struct Connection {
    theirs: u16,
    ours: u16,
    /// True once the last ACK of the three-way handshake has arrived.
    open: bool,
    received: VecDeque<u8>,
    /// Sequence number of the next byte from the computer; `edge` is the first one that it must not
    /// send yet.
    expected: u32,
    edge: u32,
    ack_due: bool,
    to_send: VecDeque<u8>,
    sequence: u32,
    /// First sequence number of ours beyond the computer's receive window.
    their_edge: u32,
    acknowledged: u32,
    /// The service has closed: send the rest of its data, then RST.
    closing: bool,
    /// Reset by either side; kept until the service has noticed.
    gone: bool,
    /// True while a service holds the connection.
    held: bool,
}

impl Mux {
    /// Creates a mux before any contact with a computer. `version_max` is 1 or 2.
    pub(super) fn new(version_max: u32) -> Mux {
        Mux {
            version_max,
            version: None,
            set_up: false,
            number: 0,
            last_seen: 0xffff,
            answers: VecDeque::new(),
            connections: BTreeMap::new(),
            next_id: 1,
            turn: 0,
            data_messages: 0,
        }
    }

    /// Discards all state, as after a reset. Services see their connections end.
    pub(super) fn restart(&mut self) {
        let next_id = self.next_id;
        let mut left = std::mem::take(&mut self.connections);
        for connection in left.values_mut() {
            connection.gone = true;
        }
        *self = Mux::new(self.version_max);
        self.next_id = next_id;
        self.connections = left;
        self.sweep();
    }

    fn sweep(&mut self) {
        self.connections.retain(|_, c| c.held || !c.gone);
    }

    /// Processes a message from the computer.
    pub(super) fn receive(&mut self, message: &[u8], listens: impl Fn(u16) -> bool) -> Vec<Event> {
        match self.take(message, listens) {
            Ok(event) => event.into_iter().collect(),
            Err(misstep) => {
                // Send the complaint as phones do; a daemon writes it to its log.
                if self.version.is_some() {
                    let text = format!("\x03{misstep}");
                    self.answer(CONTROL, text.into_bytes());
                }
                vec![Event::Misstep(misstep)]
            }
        }
    }

    fn answer(&mut self, protocol: u32, body: Vec<u8>) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back((protocol, body));
        }
    }

    fn take(
        &mut self,
        message: &[u8],
        listens: impl Fn(u16) -> bool,
    ) -> Result<Option<Event>, Misstep> {
        let bytes = message.len();
        let short = Misstep::TooShort { bytes };
        let protocol = word(message, 0).ok_or(short)?;
        let claimed = word(message, 4).ok_or(short)?;
        if claimed as usize != bytes {
            return Err(Misstep::WrongLength { claimed, bytes });
        }
        if protocol == VERSION {
            return self.agree(&message[8..]).map(Some);
        }
        let version = self.version.ok_or(Misstep::TooEarly { protocol })?;
        let mut body = &message[8..];
        if version >= 2 {
            self.check_order(message, protocol == SETUP)?;
            body = &message[16..];
        }
        if self.answers.len() >= ANSWERS_MAX {
            return Err(Misstep::NobodyReads);
        }
        match protocol {
            SETUP if version >= 2 && body == [7] => {
                self.set_up = true;
                Ok(None)
            }
            SETUP => Err(Misstep::WrongSetup),
            TCP if version >= 2 && !self.set_up => Err(Misstep::TooEarly { protocol }),
            TCP => self.segment(body, listens),
            _ => Err(Misstep::UnknownProtocol { protocol }),
        }
    }

    fn agree(&mut self, body: &[u8]) -> Result<Event, Misstep> {
        let short = Misstep::TooShort {
            bytes: 8 + body.len(),
        };
        let major = word(body, 0).ok_or(short)?;
        if body.len() != 12 {
            return Err(short);
        }
        if !(1..=2).contains(&major) {
            return Err(Misstep::WrongVersion { major });
        }
        // A new version exchange means that the computer had disconnected.
        self.restart();
        let version = major.min(self.version_max);
        self.version = Some(version);
        let mut reply = version.to_be_bytes().to_vec();
        reply.extend([0; 8]);
        self.answer(VERSION, reply);
        Ok(Event::Agreed(version))
    }

    fn check_order(&mut self, message: &[u8], first: bool) -> Result<(), Misstep> {
        let bytes = message.len();
        let magic = word(message, 8).ok_or(Misstep::TooShort { bytes })?;
        if magic != MAGIC {
            return Err(Misstep::WrongMagic { magic });
        }
        let found = half(message, 12).ok_or(Misstep::TooShort { bytes })?;
        half(message, 14).ok_or(Misstep::TooShort { bytes })?;
        let expected = if first {
            0
        } else {
            self.last_seen.wrapping_add(1)
        };
        self.last_seen = found;
        if found == expected {
            Ok(())
        } else {
            Err(Misstep::OutOfOrder { expected, found })
        }
    }

    fn segment(
        &mut self,
        body: &[u8],
        listens: impl Fn(u16) -> bool,
    ) -> Result<Option<Event>, Misstep> {
        let bytes = body.len();
        let Some((header, data)) = body.split_at_checked(TCP_BYTES) else {
            return Err(Misstep::TooShort { bytes });
        };
        let [theirs, ours] = [0, 2].map(|at| half(header, at).unwrap_or(0));
        let [sequence, acknowledged] = [4, 8].map(|at| word(header, at).unwrap_or(0));
        let window = u32::from(half(header, 14).unwrap_or(0)) << 8;
        let (offset, flags) = (header[12], header[13]);
        if offset != 0x50 {
            return Err(Misstep::WrongTcpHeader { offset });
        }
        let known = self.connections.iter_mut();
        let found = known
            .map(|(id, c)| (*id, c))
            .find(|(_, c)| (c.theirs, c.ours) == (theirs, ours) && !c.gone);
        let Some((id, connection)) = found else {
            return match flags {
                SYN => self.open(theirs, ours, sequence, window, listens),
                // The packet crossed our own RST, or answers it.
                _ if flags & RST != 0 => Ok(None),
                ACK => {
                    self.refuse(theirs, ours, acknowledged, sequence, b"no such connection");
                    Ok(None)
                }
                flags => Err(Misstep::WrongFlags { flags }),
            };
        };
        if flags & RST != 0 {
            connection.gone = true;
            self.sweep();
            return Ok(None);
        }
        let taken = match flags {
            ACK => connection.take(sequence, acknowledged, window, data),
            flags => Err(Misstep::WrongFlags { flags }),
        };
        match taken {
            Ok(false) => Ok(None),
            Ok(true) => {
                connection.held = true;
                Ok(Some(Event::Backup { id, port: ours }))
            }
            Err(misstep) => {
                connection.gone = true;
                let ours_next = connection.sequence;
                self.sweep();
                let reason = misstep.to_string();
                self.refuse(theirs, ours, ours_next, sequence, reason.as_bytes());
                Err(misstep)
            }
        }
    }

    fn open(
        &mut self,
        theirs: u16,
        ours: u16,
        sequence: u32,
        window: u32,
        listens: impl Fn(u16) -> bool,
    ) -> Result<Option<Event>, Misstep> {
        if sequence != 0 {
            let expected = 0;
            let found = sequence;
            return Err(Misstep::WrongSequence { expected, found });
        }
        if !listens(ours) {
            self.refuse(
                theirs,
                ours,
                0,
                1,
                b"Connection refused: nothing listens there",
            );
            return Ok(None);
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            self.refuse(theirs, ours, 0, 1, b"too many connections");
            return Err(Misstep::TooManyConnections);
        }
        let connection = Connection {
            theirs,
            ours,
            open: false,
            received: VecDeque::new(),
            expected: 1,
            edge: 1 + WINDOW as u32,
            ack_due: false,
            to_send: VecDeque::new(),
            sequence: 1,
            their_edge: 1 + window,
            acknowledged: 0,
            closing: false,
            gone: false,
            held: false,
        };
        let reply = tcp(ours, theirs, 0, 1, SYN | ACK, WINDOW as u32, &[]);
        self.connections.insert(self.next_id, connection);
        self.next_id += 1;
        self.answer(TCP, reply);
        Ok(None)
    }

    fn refuse(&mut self, theirs: u16, ours: u16, sequence: u32, next: u32, why: &[u8]) {
        let reply = tcp(ours, theirs, sequence, next, RST | ACK, 0, why);
        self.answer(TCP, reply);
    }

    /// Returns the next message to the computer, if there is one.
    pub(super) fn next_message(&mut self) -> Option<Vec<u8>> {
        if let Some((protocol, body)) = self.answers.pop_front() {
            return Some(self.headed(protocol, &body));
        }
        let after = self.connections.range(self.turn + 1..);
        let before = self.connections.range(..=self.turn);
        let due = |c: &Connection| !c.gone && c.is_due();
        let id = after
            .chain(before)
            .find(|(_, c)| due(c))
            .map(|(id, _)| *id)?;
        self.turn = id;
        let room = self.room();
        let connection = self.connections.get_mut(&id)?;
        let (body, carries) = connection.next_segment(room);
        if carries {
            self.data_messages += 1;
        }
        self.sweep();
        Some(self.headed(TCP, &body))
    }

    /// Returns the maximum number of data bytes in the next message.
    fn room(&self) -> usize {
        let n = self.data_messages;
        let message = match n % 8 {
            7 => ODD_LENGTHS[n / 8 % ODD_LENGTHS.len()],
            _ => MESSAGE_BYTES,
        };
        message - TCP_BYTES - if self.version == Some(2) { 16 } else { 8 }
    }

    fn headed(&mut self, protocol: u32, body: &[u8]) -> Vec<u8> {
        let long = self.version == Some(2) && protocol != VERSION;
        let length = body.len() + if long { 16 } else { 8 };
        let mut message = Vec::with_capacity(length);
        message.extend(protocol.to_be_bytes());
        message.extend((length as u32).to_be_bytes());
        if long {
            message.extend(MAGIC.to_be_bytes());
            message.extend(self.number.to_be_bytes());
            message.extend(self.last_seen.to_be_bytes());
            self.number = self.number.wrapping_add(1);
        }
        message.extend_from_slice(body);
        message
    }

    /// Reads data on behalf of a service.
    pub(super) fn read(&mut self, id: u64, buf: &mut [u8]) -> Moved {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Moved::End;
        };
        let received = &mut connection.received;
        if received.is_empty() {
            let over = connection.gone || connection.closing;
            return if over { Moved::End } else { Moved::Wait };
        }
        let (front, _) = received.as_slices();
        let count = buf.len().min(front.len());
        buf[..count].copy_from_slice(&front[..count]);
        received.drain(..count);
        // Announce a window that was nearly closed and is open again, or the computer would wait
        // forever.
        if connection.edge.wrapping_sub(connection.expected) < (WINDOW / 2) as u32
            && connection.received.len() < WINDOW / 2
        {
            connection.ack_due = true;
        }
        Moved::Bytes(count)
    }

    /// Writes data on behalf of a service.
    pub(super) fn write(&mut self, id: u64, bytes: &[u8]) -> Moved {
        match self.connections.get_mut(&id) {
            Some(connection) if !connection.gone && !connection.closing => {
                let count = bytes.len().min(SEND_BYTES_MAX - connection.to_send.len());
                connection.to_send.extend(&bytes[..count]);
                match count {
                    0 => Moved::Wait,
                    count => Moved::Bytes(count),
                }
            }
            _ => Moved::End,
        }
    }

    /// Closes a connection for its service. Data already written is still sent.
    pub(super) fn close(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.closing = true;
        }
    }

    /// Marks a connection as no longer held by a service.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            (connection.closing, connection.held) = (true, false);
        }
        self.sweep();
    }
}

impl Connection {
    /// Processes a segment. Returns true if it completed the opening of the connection.
    fn take(
        &mut self,
        sequence: u32,
        acknowledged: u32,
        window: u32,
        data: &[u8],
    ) -> Result<bool, Misstep> {
        if sequence != self.expected {
            return Err(Misstep::WrongSequence {
                expected: self.expected,
                found: sequence,
            });
        }
        let outstanding = self.sequence.wrapping_sub(self.acknowledged);
        if acknowledged.wrapping_sub(self.acknowledged) > outstanding {
            return Err(Misstep::WrongAcknowledgement {
                sent: self.sequence,
                found: acknowledged,
            });
        }
        let room = self.edge.wrapping_sub(self.expected);
        let length = data.len() as u32;
        if length > room {
            return Err(Misstep::WindowOverrun {
                bytes: length - room,
            });
        }
        self.acknowledged = acknowledged;
        self.their_edge = acknowledged.wrapping_add(window);
        if !data.is_empty() {
            self.expected = self.expected.wrapping_add(length);
            self.ack_due = true;
            // A closed service reads no more data, which must not fill the window.
            if !self.closing {
                self.received.extend(data);
            }
        }
        Ok(!std::mem::replace(&mut self.open, true))
    }

    /// Returns the number of bytes that the computer's window accepts now.
    fn sendable(&self) -> usize {
        let room = self.their_edge.wrapping_sub(self.sequence) as i32;
        self.to_send.len().min(usize::try_from(room).unwrap_or(0))
    }

    fn is_due(&self) -> bool {
        self.open && (self.ack_due || self.sendable() > 0 || self.is_over())
    }

    /// Returns true if the service has closed and all of its data is sent.
    fn is_over(&self) -> bool {
        self.closing && self.to_send.is_empty()
    }

    /// Returns the next segment, and whether it carries data.
    fn next_segment(&mut self, room: usize) -> (Vec<u8>, bool) {
        let free = (WINDOW - self.received.len()) as u32 & !0xff;
        let edge = self.expected.wrapping_add(free);
        // A window that was announced must not shrink.
        if (edge.wrapping_sub(self.edge) as i32) > 0 {
            self.edge = edge;
        }
        self.ack_due = false;
        let count = self.sendable().min(room);
        let data: Vec<u8> = self.to_send.drain(..count).collect();
        let flags = if count == 0 && self.is_over() {
            RST | ACK
        } else {
            ACK
        };
        self.gone |= flags & RST != 0;
        let (ours, theirs) = (self.ours, self.theirs);
        let segment = tcp(
            ours,
            theirs,
            self.sequence,
            self.expected,
            flags,
            free,
            &data,
        );
        self.sequence = self.sequence.wrapping_add(count as u32);
        (segment, count > 0)
    }
}

fn tcp(from: u16, to: u16, seq: u32, ack: u32, flags: u8, window: u32, data: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(TCP_BYTES + data.len());
    segment.extend(from.to_be_bytes());
    segment.extend(to.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags]);
    segment.extend(((window >> 8) as u16).to_be_bytes());
    segment.extend([0; 4]);
    segment.extend_from_slice(data);
    segment
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*part))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*part))
}

#[cfg(test)]
#[path = "mux_tests.rs"]
mod tests;
