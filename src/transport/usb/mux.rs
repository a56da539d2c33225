//! The protocol that phones speak over USB: many connections, each like TCP, in packets over one
//! pair of bulk endpoints.
//!
//! ```text
//! version 1:  [protocol u32 BE][length u32 BE, headers included]
//! version 2:  the same, then [FEEDFACE][tx_seq u16][rx_seq u16]
//! protocol 6: then a TCP header of 20 bytes; its window counts 256 bytes
//! ```
//! The module does no I/O: bytes and the time go in, packets come out.
//! [`crate::transport::usb::pump`] moves them. A received byte is copied once when it is received
//! and once when it is read; a sent byte is copied once. Source: protocol.md, section 8.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read};
use std::time::{Duration, Instant};

use super::packet::{
    ACK, CONTROL, FIN, Form, HEADER_BYTES_MAX, PSH, RST, SETUP, SYN, Segment, TCP, TCP_BYTES,
    VERSION, half, word,
};
use crate::transport::usb::packet;

pub use super::packet::{Broken, PACKET_BYTES_MAX};

/// Size of each transfer that we request from a phone, in bytes. A shorter one ends a packet.
pub const TRANSFER_BYTES: usize = 16384;
/// Longest payload of a packet that we send. The limit is three transfers; 4 bytes less ensure that
/// a full packet is not a multiple of any endpoint's packet size and needs no empty one behind it.
pub const PAYLOAD_BYTES_MAX: usize = 3 * TRANSFER_BYTES - HEADER_BYTES_MAX - 4;
/// Receive window: bytes that a phone may send before we acknowledge them.
pub const WINDOW_BYTES: usize = 131_072;
/// Longest input buffered for a connection whose phone sends more than the window. Other hosts also
/// buffer this much before they hang up.
pub const INPUT_BYTES_MAX: usize = 2 * WINDOW_BYTES;
/// Longest delay before we acknowledge bytes that were read.
pub const ACK_WITHIN: Duration = Duration::from_millis(30);
/// Bytes read after which we acknowledge at once: a quarter of the window.
const ACK_BYTES: u32 = WINDOW_BYTES as u32 / 4;
/// Bytes that may be queued for sending.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Packets that may be queued for sending. Only a phone that keeps sending and takes nothing
/// reaches this limit.
pub(crate) const PACKETS_MAX: usize = 1024;
/// Connections that may be open at once. A backup needs five.
pub const CONNECTIONS_MAX: usize = 64;
/// Longest leftover of a previous program's conversation that we skip while waiting for the phone's
/// version, in bytes.
const STALE_BYTES_MAX: usize = 16 << 20;
/// Longest text kept of a message from the phone, in bytes.
const WORDS_BYTES_MAX: usize = 200;

/// State of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The phone has not answered yet.
    Opening,
    /// Bytes may go both ways.
    Open,
    /// The phone refused the connection, since no service listens on that port.
    Refused,
    /// The phone ended it.
    Ended,
    /// The phone violated the protocol on this connection, so we ended it.
    Faulty(&'static str),
}

struct Connection {
    there: u16,
    standing: Standing,
    /// The number of the next byte that we send.
    tx_next: u32,
    /// The number of the next byte that the phone has not acknowledged.
    tx_acked: u32,
    /// The send window: bytes that the phone has room for.
    tx_window: u32,
    /// The number of the next byte to be read here, which the next packet acknowledges.
    read: u32,
    /// The number that the last packet acknowledged.
    told: u32,
    /// The time since which bytes have been read but not acknowledged.
    untold_since: Option<Instant>,
    input: VecDeque<u8>,
}

/// The expected part of a packet.
enum Next {
    /// Headers, with the number of their bytes received so far.
    Header(usize),
    /// Payload, with the number of bytes to come and their recipient.
    Payload(usize, For),
}

#[derive(Clone, Copy)]
enum For {
    Connection(u16),
    Words,
    Nobody,
}

/// All of one phone's connections.
pub struct Mux {
    /// The packet format; set once the phone has sent its version.
    form: Option<Form>,
    stale: usize,
    header: [u8; HEADER_BYTES_MAX],
    next: Next,
    connections: BTreeMap<u16, Connection>,
    last_port: u16,
    output: VecDeque<Vec<u8>>,
    output_bytes: usize,
    words: Vec<u8>,
}

impl Default for Mux {
    fn default() -> Mux {
        Mux::new()
    }
}

impl Mux {
    /// Creates the state and queues the first packet, which asks for the phone's version.
    pub fn new() -> Mux {
        let ask = packet::version();
        Mux {
            form: None,
            stale: 0,
            header: [0; HEADER_BYTES_MAX],
            next: Next::Header(0),
            connections: BTreeMap::new(),
            last_port: 0,
            output_bytes: ask.len(),
            output: VecDeque::from([ask]),
            words: Vec::new(),
        }
    }

    /// Returns true if the phone has sent its version.
    pub fn is_ready(&self) -> bool {
        self.form.is_some()
    }

    /// Returns true if no connection exists.
    pub fn is_unused(&self) -> bool {
        self.connections.is_empty()
    }

    /// Returns the last complaint that the phone sent as text, if any.
    pub fn words(&self) -> Option<String> {
        (!self.words.is_empty()).then(|| String::from_utf8_lossy(&self.words).trim().to_owned())
    }

    /// Processes the bytes of one transfer. An empty transfer only marks the end of a packet.
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        let is_short = bytes.len() < TRANSFER_BYTES;
        if self.form.is_none() {
            return self.agree(bytes);
        }
        while !bytes.is_empty() {
            match self.next {
                Next::Header(have) => {
                    let need = self.header_bytes(have)?;
                    let part = bytes.len().min(need - have);
                    self.header[have..have + part].copy_from_slice(&bytes[..part]);
                    bytes = &bytes[part..];
                    self.next = Next::Header(have + part);
                    if have + part == self.header_bytes(have + part)? {
                        self.begin(have + part)?;
                    }
                }
                Next::Payload(left, whose) => {
                    let part = bytes.len().min(left);
                    self.deliver(whose, &bytes[..part])?;
                    bytes = &bytes[part..];
                    self.next = match left - part {
                        0 => Next::Header(0),
                        left => Next::Payload(left, whose),
                    };
                }
            }
        }
        match self.next {
            Next::Header(0) => Ok(()),
            _ if !is_short => Ok(()),
            Next::Payload(missing, _) => Err(Broken::Cut { missing }),
            Next::Header(have) => {
                let said = if have < 8 { 8 } else { word(&self.header, 4) };
                let missing = (said as usize).saturating_sub(have);
                Err(Broken::Cut { missing })
            }
        }
    }

    /// Processes the answer to our version. Any bytes before the answer are left over from a
    /// program that used the phone before us.
    fn agree(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let is_answer = bytes.len() == 20 && word(bytes, 0) == VERSION && word(bytes, 4) == 20;
        if !is_answer {
            self.stale += bytes.len().max(1);
            return if self.stale > STALE_BYTES_MAX {
                Err(Broken::NoVersion)
            } else {
                Ok(())
            };
        }
        match word(bytes, 8) {
            1 => self.form = Some(Form::first()),
            2 => {
                let mut form = Form::second();
                let mut setup = form.packet(SETUP, 1);
                setup.push(7);
                self.form = Some(form);
                self.push(setup)?;
            }
            major => return Err(Broken::Version(major)),
        }
        Ok(())
    }

    /// Returns the length of the headers, judging by their first `have` bytes. An impossible kind
    /// or length is rejected as soon as it is known.
    fn header_bytes(&self, have: usize) -> Result<usize, Broken> {
        if have < 8 {
            return Ok(8);
        }
        let plain = self.form.as_ref().map_or(8, Form::header_bytes);
        let need = match word(&self.header, 0) {
            TCP => plain + TCP_BYTES,
            VERSION | CONTROL | SETUP => plain,
            other => return Err(Broken::Protocol(other)),
        };
        let said = word(&self.header, 4);
        match said as usize {
            length if (need..=PACKET_BYTES_MAX).contains(&length) => Ok(need),
            _ => Err(Broken::Length { said, least: need }),
        }
    }

    /// Processes complete headers.
    fn begin(&mut self, header_bytes: usize) -> Result<(), Broken> {
        let payload = word(&self.header, 4) as usize - header_bytes;
        if let Some(form) = &mut self.form {
            form.take(&self.header)?;
        }
        let whose = match word(&self.header, 0) {
            TCP => self.tcp(header_bytes - TCP_BYTES)?,
            CONTROL => {
                self.words.clear();
                For::Words
            }
            _ => For::Nobody,
        };
        self.next = match payload {
            0 => Next::Header(0),
            left => Next::Payload(left, whose),
        };
        Ok(())
    }

    /// Processes the header of a connection's packet and returns the recipient of its payload. Like
    /// other hosts, it ignores sequence numbers: USB neither loses nor reorders packets.
    fn tcp(&mut self, at: usize) -> Result<For, Broken> {
        let header = &self.header[at..at + TCP_BYTES];
        let (there, port, seq, ack) = (
            half(header, 0),
            half(header, 2),
            word(header, 4),
            word(header, 8),
        );
        let (flags, window) = (header[13], u32::from(half(header, 14)) << 8);
        let known = self.connections.get_mut(&port).filter(|c| c.there == there);
        let Some(connection) = known else {
            if flags & RST == 0 {
                self.reset(port, there, 0, seq)?;
            }
            return Ok(For::Nobody);
        };
        match connection.standing {
            Standing::Opening if flags == SYN | ACK => {
                connection.standing = Standing::Open;
                (
                    connection.tx_next,
                    connection.tx_acked,
                    connection.tx_window,
                ) = (1, 1, window);
                (connection.read, connection.told) = (1, 0);
                self.acknowledge(port)?;
                Ok(For::Nobody)
            }
            Standing::Opening if flags & RST != 0 => {
                connection.standing = Standing::Refused;
                // The payload is the phone's reason, as text.
                self.words.clear();
                Ok(For::Words)
            }
            Standing::Opening => {
                self.fault(port, "it neither accepts nor refuses a new connection")
            }
            Standing::Open if flags & (RST | FIN) != 0 => {
                connection.standing = Standing::Ended;
                Ok(For::Nobody)
            }
            Standing::Open if flags & SYN != 0 => {
                self.fault(port, "it opens a connection that is already open")
            }
            Standing::Open if flags & !PSH != ACK => {
                self.fault(port, "its flags are invalid on an open connection")
            }
            Standing::Open => {
                let unacked = connection.tx_next.wrapping_sub(ack);
                if unacked > connection.tx_next.wrapping_sub(connection.tx_acked) {
                    return self.fault(port, "it acknowledges data that was not sent");
                }
                (connection.tx_acked, connection.tx_window) = (ack, window);
                Ok(For::Connection(port))
            }
            _ => Ok(For::Nobody),
        }
    }

    fn deliver(&mut self, whose: For, bytes: &[u8]) -> Result<(), Broken> {
        match whose {
            For::Nobody => {}
            For::Words => {
                let room = WORDS_BYTES_MAX - self.words.len();
                // The first byte of a control message is its kind, not text.
                let text = bytes.iter().filter(|byte| **byte >= b' ');
                self.words.extend(text.take(room));
            }
            For::Connection(port) => {
                let Some(connection) = self.connections.get_mut(&port) else {
                    return Ok(());
                };
                if connection.standing != Standing::Open {
                    return Ok(());
                }
                if connection.input.len() + bytes.len() > INPUT_BYTES_MAX {
                    self.fault(port, "it sends more data than it was allowed to")?;
                    return Ok(());
                }
                connection.input.extend(bytes);
            }
        }
        Ok(())
    }

    /// Ends one connection whose rules the phone violated. The other connections continue.
    fn fault(&mut self, port: u16, why: &'static str) -> Result<For, Broken> {
        if let Some(connection) = self.connections.get_mut(&port) {
            connection.standing = Standing::Faulty(why);
            let (there, tx_next, read) = (connection.there, connection.tx_next, connection.read);
            self.reset(port, there, tx_next, read)?;
        }
        Ok(For::Nobody)
    }

    /// Opens a connection to a port of the phone and returns its local port number. Returns `None`
    /// if too many connections are open, or if the phone has not sent its version.
    pub fn connect(&mut self, there: u16) -> Result<Option<u16>, Broken> {
        if self.connections.len() >= CONNECTIONS_MAX || !self.is_ready() {
            return Ok(None);
        }
        let port = loop {
            self.last_port = self.last_port.wrapping_add(1);
            if self.last_port != 0 && !self.connections.contains_key(&self.last_port) {
                break self.last_port;
            }
        };
        self.connections.insert(
            port,
            Connection {
                there,
                standing: Standing::Opening,
                tx_next: 0,
                tx_acked: 0,
                tx_window: 0,
                read: 0,
                told: 0,
                untold_since: None,
                input: VecDeque::new(),
            },
        );
        let syn = self.segment(
            Segment {
                port,
                there,
                seq: 0,
                ack: 0,
                flags: SYN,
            },
            0,
        );
        if let Err(broken) = self.push(syn) {
            self.connections.remove(&port);
            return Err(broken);
        }
        Ok(Some(port))
    }

    /// Returns the state of a connection. A closed connection counts as ended.
    pub fn standing(&self, port: u16) -> Standing {
        match self.connections.get(&port) {
            Some(connection) => connection.standing.clone(),
            None => Standing::Ended,
        }
    }

    /// Reads the bytes that are available. Fails with `WouldBlock` if no bytes are, returns 0 if
    /// the phone ended the connection, and fails with another error if we ended it.
    pub fn read(&mut self, now: Instant, port: u16, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = self.connections.get_mut(&port) else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        let mut count = connection.input.read(buffer)?;
        if count < buffer.len() {
            // The input is a ring buffer: its rest is at the beginning.
            count += connection.input.read(&mut buffer[count..])?;
        }
        if count == 0 && !buffer.is_empty() {
            return match connection.standing {
                Standing::Opening | Standing::Open => Err(io::ErrorKind::WouldBlock.into()),
                Standing::Refused | Standing::Ended => Ok(0),
                Standing::Faulty(why) => Err(faulty(why)),
            };
        }
        connection.read = connection.read.wrapping_add(count as u32);
        if connection.standing == Standing::Open && count > 0 {
            if connection.read.wrapping_sub(connection.told) >= ACK_BYTES {
                self.acknowledge(port).map_err(io::Error::other)?;
            } else {
                connection.untold_since.get_or_insert(now);
            }
        }
        Ok(count)
    }

    /// Sends as much of `bytes` as the phone has room for. Fails with `WouldBlock` if it has none.
    pub fn write(&mut self, port: u16, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(port, &[IoSlice::new(bytes)])
    }

    /// Sends several slices like [`Mux::write`], in one packet.
    pub(crate) fn write_vectored(
        &mut self,
        port: u16,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let Some(connection) = self.connections.get_mut(&port) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        match connection.standing {
            Standing::Open => {}
            Standing::Opening => return Err(io::ErrorKind::WouldBlock.into()),
            Standing::Faulty(why) => return Err(faulty(why)),
            Standing::Refused | Standing::Ended => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        let under_way = connection.tx_next.wrapping_sub(connection.tx_acked);
        let room = connection.tx_window.saturating_sub(under_way) as usize;
        let whole: usize = pieces.iter().map(|piece| piece.len()).sum();
        let count = whole.min(room).min(PAYLOAD_BYTES_MAX);
        if whole == 0 {
            return Ok(0);
        }
        if count == 0 || self.output_bytes >= OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let seq = connection.tx_next;
        connection.tx_next = seq.wrapping_add(count as u32);
        connection.told = connection.read;
        connection.untold_since = None;
        let (there, read) = (connection.there, connection.read);
        let mut packet = self.segment(
            Segment {
                port,
                there,
                seq,
                ack: read,
                flags: ACK,
            },
            count,
        );
        let mut left = count;
        for piece in pieces {
            let fits = piece.len().min(left);
            packet.extend_from_slice(&piece[..fits]);
            left -= fits;
        }
        self.push(packet).map_err(io::Error::other)?;
        Ok(count)
    }

    /// Closes a connection and discards its unread input.
    pub fn close(&mut self, port: u16) -> Result<(), Broken> {
        match self.connections.remove(&port) {
            Some(connection)
                if matches!(connection.standing, Standing::Opening | Standing::Open) =>
            {
                self.reset(port, connection.there, connection.tx_next, connection.read)
            }
            _ => Ok(()),
        }
    }

    /// Closes all connections.
    pub fn close_all(&mut self) -> Result<(), Broken> {
        while let Some(port) = self.connections.keys().next().copied() {
            self.close(port)?;
        }
        Ok(())
    }

    /// Acknowledges bytes whose acknowledgement is due.
    pub fn tick(&mut self, now: Instant) -> Result<(), Broken> {
        let is_due = |c: &Connection| {
            c.untold_since
                .is_some_and(|since| now >= since + ACK_WITHIN)
        };
        let due: Vec<u16> = self
            .connections
            .iter()
            .filter(|(_, c)| is_due(c))
            .map(|(port, _)| *port)
            .collect();
        due.into_iter().try_for_each(|port| self.acknowledge(port))
    }

    /// Returns the time at which [`Mux::tick`] has something to do, if any.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.connections.values().filter_map(|c| c.untold_since);
        waiting.min().map(|since| since + ACK_WITHIN)
    }

    /// Removes and returns the next packet to send.
    pub fn output(&mut self) -> Option<Vec<u8>> {
        let packet = self.output.pop_front()?;
        self.output_bytes -= packet.len();
        Some(packet)
    }

    /// Returns true if packets are queued for sending.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn acknowledge(&mut self, port: u16) -> Result<(), Broken> {
        let Some(connection) = self.connections.get_mut(&port) else {
            return Ok(());
        };
        connection.untold_since = None;
        if connection.standing != Standing::Open {
            return Ok(());
        }
        connection.told = connection.read;
        let (there, seq, read) = (connection.there, connection.tx_next, connection.read);
        let packet = self.segment(
            Segment {
                port,
                there,
                seq,
                ack: read,
                flags: ACK,
            },
            0,
        );
        self.push(packet)
    }

    fn reset(&mut self, port: u16, there: u16, seq: u32, ack: u32) -> Result<(), Broken> {
        let packet = self.segment(
            Segment {
                port,
                there,
                seq,
                ack,
                flags: RST,
            },
            0,
        );
        self.push(packet)
    }

    fn push(&mut self, packet: Vec<u8>) -> Result<(), Broken> {
        if self.output.len() >= PACKETS_MAX {
            return Err(Broken::Deaf);
        }
        self.output_bytes += packet.len();
        self.output.push_back(packet);
        Ok(())
    }

    /// Builds the headers of a connection's packet. No connection exists before the phone has sent
    /// its version.
    fn segment(&mut self, told: Segment, payload: usize) -> Vec<u8> {
        let form = self.form.get_or_insert_with(Form::first);
        form.segment(told, payload)
    }
}

fn faulty(why: &'static str) -> io::Error {
    let why = format!("the phone violated the USB protocol: {why}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}
