//! Client of usbmuxd, the daemon that shares a computer's phones among programs: Apple's own or a
//! compatible one.
//!
//! ```text
//! [length u32 LE, header included][version u32 LE = 1][message u32 LE = 8, a plist]
//! [tag u32 LE][XML property list]
//! ```
//! Source: protocol.md, section 1; checked against captured bytes of Apple's daemon in
//! tests/captured.rs.

use std::fmt;
use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plist::{Dictionary, Value};
use zeroize::Zeroizing;

use crate::base::bounded_plist::{self, NotAPlist};
use crate::base::cancel::{CancelToken, cancelled, is_cancelled};
use crate::base::secret::{self, Secret};
use crate::base::udid::Udid;
use crate::trace::Recorder;
use crate::transport::socket::{Socket, Wire};
use crate::transport::stream;
use crate::transport::tick::TICK;

#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;

pub use super::error::Error;

/// Version in the header of a message that holds a property list.
const VERSION: u32 = 1;
/// Message number in the header of a message that holds a property list.
const MESSAGE_PLIST: u32 = 8;
const HEADER_BYTES: u32 = 16;
/// Initial capacity for a message that may hold a pair record, so that its buffer does not grow and
/// leave copies of the keys in memory.
const RECORD_BYTES: usize = 64 << 10;
/// Longest answer accepted from the daemon, in bytes. Pair records are the largest, under 16 KiB.
const ANSWER_BYTES_MAX: u32 = 4 << 20;
/// Longest wait for an answer: the daemon answers at once or is stuck.
const ANSWER_SILENCE_MAX: Duration = Duration::from_secs(20);

/// Address on which a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The path of a local socket.
    Unix(PathBuf),
    /// TCP, as `host:port`.
    Tcp(String),
}

impl Address {
    /// Returns the address in `USBMUXD_SOCKET_ADDRESS` (`UNIX:/path` or `host:port`), else the
    /// platform's default.
    pub(crate) fn from_environment() -> Address {
        match from_variable() {
            Some(text) => Address::parse(&text),
            _ if cfg!(windows) => Address::Tcp("127.0.0.1:27015".to_owned()),
            _ => Address::Unix("/var/run/usbmuxd".into()),
        }
    }

    /// Reads `UNIX:/path`, `/path` or `host:port`.
    pub fn parse(text: &str) -> Address {
        match text.strip_prefix("UNIX:") {
            Some(path) => Address::Unix(path.into()),
            None if text.starts_with('/') => Address::Unix(text.into()),
            None => Address::Tcp(text.to_owned()),
        }
    }

    /// Returns true if a daemon listens on the address, even if it accepts no connections at
    /// present.
    pub(crate) fn answers(&self) -> bool {
        match self.open() {
            Ok(_) => true,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn open(&self) -> io::Result<Socket> {
        match self {
            #[cfg(unix)]
            Address::Unix(path) => connect_unix(path).map(Socket::Unix),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
            Address::Tcp(address) => connect(address).map(Socket::Tcp),
        }
    }
}

/// Connects without blocking. On Linux a blocking connect waits forever while the backlog of a
/// hanging daemon is full; this one fails with `WouldBlock`.
#[cfg(target_os = "linux")]
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Connects; outside Linux, a full backlog is an error at once.
#[cfg(all(unix, not(target_os = "linux")))]
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

/// Connects to the first address of a host name that answers. The timeout keeps a computer that is
/// switched off from blocking us for minutes.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut why = io::ErrorKind::AddrNotAvailable.into();
    for address in address.to_socket_addrs()? {
        // This computer accepts or refuses at once.
        let connected = if address.ip().is_loopback() {
            TcpStream::connect(address)
        } else {
            TcpStream::connect_timeout(&address, ANSWER_SILENCE_MAX)
        };
        match connected {
            Ok(socket) => return Ok(socket),
            Err(e) => why = e,
        }
    }
    Err(why)
}

/// Returns the address in `USBMUXD_SOCKET_ADDRESS`, if it is set and not empty.
pub(crate) fn from_variable() -> Option<String> {
    let text = std::env::var("USBMUXD_SOCKET_ADDRESS").ok();
    text.filter(|text| !text.is_empty())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(address) => f.write_str(address),
        }
    }
}

/// Kind of attachment of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Attached by cable.
    Usb,
    /// Reachable over Wi-Fi.
    Network,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Via::Usb => "USB",
            Via::Network => "Wi-Fi",
        })
    }
}

/// The property that marks a phone that is the replay of a trace. Other programs ignore it.
pub(crate) const REPLAYED: &str = "Replayed";

/// A phone as the daemon lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The number assigned by the daemon, new at every attach.
    pub device_id: u64,
    /// The phone's UDID.
    pub udid: Udid,
    /// The kind of attachment.
    pub via: Via,
    /// The phone is the replay of a trace, says the daemon that plays it.
    pub is_replayed: bool,
}

impl Attached {
    fn parse(entry: &Value) -> Option<Attached> {
        let entry = entry.as_dictionary()?;
        let properties = entry.get("Properties")?.as_dictionary()?;
        let device_id = entry.get("DeviceID").or_else(|| properties.get("DeviceID"));
        let via = match properties.get("ConnectionType").and_then(Value::as_string) {
            Some("Network") => Via::Network,
            _ => Via::Usb,
        };
        Some(Attached {
            device_id: device_id?.as_unsigned_integer()?,
            udid: properties.get("SerialNumber")?.as_string()?.parse().ok()?,
            via,
            is_replayed: properties.get(REPLAYED).and_then(Value::as_boolean) == Some(true),
        })
    }
}

/// Change in the daemon's list of phones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A phone was attached.
    Attached(Attached),
    /// The phone of this number was detached.
    Detached(u64),
    /// The phone of this number was paired.
    Paired(u64),
}

/// Stream of changes, as the daemon reports them.
pub struct Listener {
    wire: Wire,
}

impl Listener {
    /// Waits for the next change, ignoring phones whose entry cannot be read.
    pub fn next_change(&mut self) -> Result<Change, Error> {
        const DOING: &str = "wait for phones";
        loop {
            let message = receive(&mut self.wire, DOING)?;
            let id = message.get("DeviceID").and_then(Value::as_unsigned_integer);
            match (message.get("MessageType").and_then(Value::as_string), id) {
                (Some("Attached"), _) => {
                    if let Some(attached) = Attached::parse(&Value::Dictionary(message)) {
                        return Ok(Change::Attached(attached));
                    }
                }
                (Some("Detached"), Some(id)) => return Ok(Change::Detached(id)),
                (Some("Paired"), Some(id)) => return Ok(Change::Paired(id)),
                _ => {}
            }
        }
    }
}

/// Client of the daemon. Each request opens a connection of its own, as in Apple's programs.
#[derive(Debug, Clone)]
pub struct Usbmuxd {
    address: Address,
    token: Arc<CancelToken>,
    recorder: Option<Recorder>,
}

impl Usbmuxd {
    /// Uses the daemon at `address`; waits end when `token` is cancelled.
    pub fn new(address: Address, token: Arc<CancelToken>) -> Usbmuxd {
        Usbmuxd {
            address,
            token,
            recorder: None,
        }
    }

    /// Records all communication with the daemon, and through it with phones.
    pub(crate) fn recorded(mut self, recorder: Recorder) -> Usbmuxd {
        self.recorder = Some(recorder);
        self
    }

    /// Returns a clone whose waits end when `token` is cancelled.
    pub(crate) fn with_token(&self, token: Arc<CancelToken>) -> Usbmuxd {
        Usbmuxd {
            token,
            ..self.clone()
        }
    }

    /// Returns true if the daemon is running, even if it accepts no connections at present.
    pub fn answers(&self) -> bool {
        self.address.answers()
    }

    /// Returns the address of the daemon.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Lists the attached phones. A phone that is attached by cable and by Wi-Fi has two entries.
    pub fn devices(&self) -> Result<Vec<Attached>, Error> {
        const DOING: &str = "list phones";
        let answer = self.ask(DOING, "ListDevices", Dictionary::new())?;
        let list = answer.get("DeviceList").and_then(Value::as_array);
        let list = list.ok_or(Error::Strange {
            doing: DOING,
            why: "DeviceList is missing".to_owned(),
        })?;
        Ok(list.iter().filter_map(Attached::parse).collect())
    }

    /// Opens a connection to a port of a phone; `service` names the connection in recordings.
    pub fn connect(&self, phone: &Attached, port: u16, service: &str) -> Result<Wire, Error> {
        const DOING: &str = "connect to the phone";
        let mut request = Dictionary::new();
        request.insert("DeviceID".into(), Value::Integer(phone.device_id.into()));
        // The port is in network byte order. Apple's clients write it as a signed number,
        // libusbmuxd unsigned; daemons accept both.
        request.insert(
            "PortNumber".into(),
            Value::Integer(port.swap_bytes().into()),
        );
        let mut wire = self.open()?;
        let answer = exchange(&mut wire, DOING, "Connect", request)?;
        accepted(&answer, DOING)?;
        if phone.via == Via::Network {
            wire.set_over_wifi();
        }
        if let Some(tap) = wire.take_tap() {
            wire.record(tap.becomes(service, Some(phone.udid.as_str())));
        }
        Ok(wire)
    }

    /// Subscribes to phones being attached and detached, starting with those already attached.
    pub fn listen(&self) -> Result<Listener, Error> {
        const DOING: &str = "wait for phones";
        let mut wire = self.open()?;
        let answer = exchange(&mut wire, DOING, "Listen", Dictionary::new())?;
        accepted(&answer, DOING)?;
        let wire = wire.with_patience(self.token.clone(), Duration::MAX);
        Ok(Listener { wire })
    }

    /// Returns the computer's own identifier, shared by all of its pair records.
    pub fn system_buid(&self) -> Result<String, Error> {
        const DOING: &str = "ask for the computer's identifier";
        let answer = self.ask(DOING, "ReadBUID", Dictionary::new())?;
        let buid = answer.get("BUID").and_then(Value::as_string);
        buid.map(str::to_owned).ok_or(Error::Strange {
            doing: DOING,
            why: "it has no BUID".to_owned(),
        })
    }

    /// Returns the pair record of a phone, a property list, or `None` if the daemon has none.
    pub fn pair_record(&self, udid: &Udid) -> Result<Option<Secret>, Error> {
        const DOING: &str = "read the pair record";
        let mut request = Dictionary::new();
        request.insert("PairRecordID".into(), udid.as_str().into());
        let mut answer = self.ask(DOING, "ReadPairRecord", request)?;
        if let Some(Value::Data(record)) = answer.remove("PairRecordData") {
            return Ok(Some(Secret::new(record)));
        }
        match accepted(&answer, DOING) {
            Ok(()) | Err(Error::Refused { number: 2, .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Stores a pair record in the daemon.
    pub fn save_pair_record(&self, device: &Attached, record: &Secret) -> Result<(), Error> {
        const DOING: &str = "save the pair record";
        let mut request = Dictionary::new();
        request.insert("PairRecordID".into(), device.udid.as_str().into());
        request.insert(
            "PairRecordData".into(),
            Value::Data(record.expose().to_vec()),
        );
        request.insert("DeviceID".into(), Value::Integer(device.device_id.into()));
        accepted(&self.ask(DOING, "SavePairRecord", request)?, DOING)
    }

    /// Deletes a pair record from the daemon.
    pub(crate) fn delete_pair_record(&self, udid: &Udid) -> Result<(), Error> {
        const DOING: &str = "delete the pair record";
        let mut request = Dictionary::new();
        request.insert("PairRecordID".into(), udid.as_str().into());
        accepted(&self.ask(DOING, "DeletePairRecord", request)?, DOING)
    }

    fn open(&self) -> Result<Wire, Error> {
        let opened = self.patiently();
        let mut wire = opened
            .and_then(|socket| Wire::new(socket, self.token.clone(), ANSWER_SILENCE_MAX))
            .map_err(|cause| {
                if is_cancelled(&cause) {
                    Error::Io {
                        doing: "reach usbmuxd",
                        cause,
                    }
                } else {
                    Error::NoDaemon {
                        address: self.address.to_string(),
                        is_from_environment: from_variable().is_some(),
                        cause,
                    }
                }
            })?;
        if let Some(recorder) = &self.recorder {
            wire.record(recorder.open("usbmux", None));
        }
        Ok(wire)
    }

    /// Connects to the daemon, waiting while its backlog is full. Gives up after the same time as
    /// for a daemon that accepts a request but does not answer.
    fn patiently(&self) -> io::Result<Socket> {
        let since = Instant::now();
        loop {
            match self.address.open() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if self.token.stops() {
                        return Err(cancelled());
                    }
                    if since.elapsed() >= ANSWER_SILENCE_MAX {
                        let why = "it does not accept connections (its backlog is full)";
                        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                    }
                    std::thread::sleep(TICK);
                }
                opened => return opened,
            }
        }
    }

    fn ask(
        &self,
        doing: &'static str,
        message: &str,
        request: Dictionary,
    ) -> Result<Dictionary, Error> {
        exchange(&mut self.open()?, doing, message, request)
    }
}

fn exchange(
    wire: &mut Wire,
    doing: &'static str,
    message: &str,
    mut request: Dictionary,
) -> Result<Dictionary, Error> {
    request.insert("MessageType".into(), message.into());
    request.insert(
        "ClientVersionString".into(),
        concat!("idev-backup ", env!("CARGO_PKG_VERSION")).into(),
    );
    request.insert("ProgName".into(), "idev-backup".into());
    request.insert("kLibUSBMuxVersion".into(), Value::Integer(3.into()));
    // The request may hold a pair record.
    let mut body = Zeroizing::new(Vec::with_capacity(RECORD_BYTES));
    body.resize(HEADER_BYTES as usize, 0);
    let failed = |cause| Error::Io { doing, cause };
    let mut request = Value::Dictionary(request);
    let written = request.to_writer_xml(&mut *body);
    secret::wipe(&mut request);
    written.map_err(|e| failed(io::Error::other(e)))?;
    let length = body.len() as u32;
    for (at, word) in [length, VERSION, MESSAGE_PLIST, 1].into_iter().enumerate() {
        body[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    stream::send(wire, &body).map_err(failed)?;
    receive(wire, doing)
}

fn receive(wire: &mut Wire, doing: &'static str) -> Result<Dictionary, Error> {
    let failed = |cause| Error::Io { doing, cause };
    let mut header = [0; HEADER_BYTES as usize];
    wire.read_exact(&mut header).map_err(failed)?;
    let strange = |why: String| Error::Strange { doing, why };
    let length = body_length(&header).map_err(strange)?;
    // Read exactly the answer: after Connect, the phone's own bytes may follow at once.
    let mut body = Zeroizing::new(Vec::with_capacity(RECORD_BYTES));
    wire.take(length.into())
        .read_to_end(&mut body)
        .map_err(failed)?;
    if body.len() != length as usize {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    parse_body(&body).map_err(|e| strange(e.to_string()))
}

/// Returns the length of the property list that follows a header.
fn body_length(header: &[u8; HEADER_BYTES as usize]) -> Result<u32, String> {
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if word(4) != VERSION || word(8) != MESSAGE_PLIST {
        return Err(format!(
            "version {} message {}, not a property list",
            word(4),
            word(8)
        ));
    }
    match word(0).checked_sub(HEADER_BYTES) {
        Some(length) if length <= ANSWER_BYTES_MAX => Ok(length),
        _ => Err(format!("a message of {} bytes", word(0))),
    }
}

fn parse_body(body: &[u8]) -> Result<Dictionary, NotAPlist> {
    // A property list that is not a dictionary has none of the expected keys.
    Ok(bounded_plist::parse(body)?
        .into_dictionary()
        .unwrap_or_default())
}

fn accepted(answer: &Dictionary, doing: &'static str) -> Result<(), Error> {
    match answer.get("Number").and_then(Value::as_unsigned_integer) {
        Some(0) => Ok(()),
        Some(number) => Err(Error::Refused { doing, number }),
        None => Err(Error::Strange {
            doing,
            why: "the result is missing".to_owned(),
        }),
    }
}

/// Parses one whole message from a capture. Returns its property list and its length in bytes.
pub fn parse_message(bytes: &[u8]) -> Result<(Dictionary, usize), Error> {
    const DOING: &str = "read a captured message";
    let strange = |why: String| Error::Strange { doing: DOING, why };
    let header = bytes
        .first_chunk()
        .ok_or_else(|| strange("it is truncated".to_owned()))?;
    let end = HEADER_BYTES as usize + body_length(header).map_err(strange)? as usize;
    let body = bytes
        .get(HEADER_BYTES as usize..end)
        .ok_or_else(|| strange("it is truncated".to_owned()))?;
    Ok((parse_body(body).map_err(|e| strange(e.to_string()))?, end))
}
