//! A daemon that speaks usbmuxd's protocol, with simulated phones behind it.
//!
//! ```text
//! [length u32 LE, with the header][version u32 LE = 1][message u32 LE = 8][tag u32 LE]
//! [XML property list]
//! ```
//! After a successful Connect the socket is the raw stream to the phone's port. A phone that is
//! listed over Wi-Fi, as Apple's usbmuxd and netmuxd list phones, is reached at its address.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plist::{Dictionary, Value};

use super::Phone;
use super::lockdown;
use super::socket::{Listener, Socket};
use crate::base::bounded_plist;
use crate::base::cancel::CancelToken;
use crate::base::udid::Udid;
use crate::trace::Recorder;
use crate::transport::Via;
use crate::transport::usbmuxd::REPLAYED;

/// Longest message accepted from a client, in bytes; a pair record has about 13 KB.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;
const RESULT_OK: u64 = 0;
const RESULT_BAD_COMMAND: u64 = 1;
const RESULT_BAD_DEVICE: u64 = 2;
const RESULT_REFUSED: u64 = 3;
const RESULT_BAD_VERSION: u32 = 6;
/// Length of a NetworkAddress, in bytes.
const SOCKET_ADDRESS_BYTES: usize = 128;

/// A running daemon. Dropping it ends the daemon and all of its connections.
#[derive(Debug)]
pub struct Daemon {
    shared: Arc<Shared>,
    address: String,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    phones: Mutex<Vec<Entry>>,
    records: Mutex<HashMap<String, Vec<u8>>>,
    /// Connections that asked for notifications about phones that come and go.
    listeners: Mutex<HashMap<u64, Socket>>,
    /// All open connections, with the entry of the phone that each one reaches.
    connections: Mutex<HashMap<u64, (Option<u64>, Socket)>>,
    /// The phones that have an entry over Wi-Fi while they listen there.
    followed: Mutex<Vec<Arc<Phone>>>,
    buid: String,
    next: AtomicU64,
    stopping: AtomicBool,
    recorder: Mutex<Option<Recorder>>,
}

/// A phone in the list. One that has a cable and is on Wi-Fi has two entries.
#[derive(Debug, Clone)]
struct Entry {
    id: u64,
    phone: Arc<Phone>,
    via: Via,
}

impl Daemon {
    /// Starts a daemon that listens on `UNIX:/path` or `host:port` (port 0: any free one), with
    /// these phones attached.
    pub fn start(listen: &str, phones: Vec<Arc<Phone>>) -> io::Result<Daemon> {
        let listener = Listener::bind(listen)?;
        let address = listener.address()?;
        let shared = Arc::new(Shared {
            phones: Mutex::default(),
            records: Mutex::default(),
            listeners: Mutex::default(),
            connections: Mutex::default(),
            followed: Mutex::default(),
            buid: super::new_uuid(),
            next: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            recorder: Mutex::default(),
        });
        let daemon_side = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("sim-accept".into())
            .spawn(move || accept(&listener, &daemon_side))?;
        let daemon = Daemon {
            shared,
            address,
            acceptor: Some(acceptor),
        };
        for phone in phones {
            daemon.attach(phone);
        }
        Ok(daemon)
    }

    /// Returns the value of `USBMUXD_SOCKET_ADDRESS` for clients of this daemon.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Records all messages to and from clients from now on.
    pub fn record(&self, recorder: Recorder) {
        *super::lock(&self.shared.recorder) = Some(recorder);
    }

    /// Plugs a phone in, and notifies the clients that listen.
    pub fn attach(&self, phone: Arc<Phone>) {
        self.shared.attach(phone, Via::Usb);
    }

    /// Pulls a phone's cable, which ends all connections through it.
    pub fn detach(&self, udid: &Udid) {
        self.shared.detach(udid, Via::Usb);
    }

    /// Lists a phone that has joined Wi-Fi as reachable there, and notifies the clients that
    /// listen.
    pub fn attach_over_wifi(&self, phone: Arc<Phone>) {
        self.shared.attach(phone, Via::Network);
    }

    /// Removes a phone's entry over Wi-Fi, which ends all connections through it.
    pub fn detach_over_wifi(&self, udid: &Udid) {
        self.shared.detach(udid, Via::Network);
    }

    /// Lists a phone over Wi-Fi while it listens there, as long as [`Daemon::serve`] runs.
    pub fn follow_over_wifi(&self, phone: Arc<Phone>) {
        super::lock(&self.shared.followed).push(phone);
    }

    /// Waits until `token` is cancelled or the listener fails. Used by a command that only serves.
    pub fn serve(&self, token: &CancelToken) {
        /// Interval between looks at the token.
        const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
        let has_ended = || self.acceptor.as_ref().is_none_or(JoinHandle::is_finished);
        while !token.cancelled() && !has_ended() {
            self.shared.follow();
            thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            Listener::wake(&self.address);
            if acceptor.join().is_err() {
                // The acceptor panicked, so it has ended, as intended.
            }
        }
        for (_, socket) in super::lock(&self.shared.connections).values() {
            socket.cut();
        }
    }
}

fn accept(listener: &Listener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        // The client disconnected before it was accepted.
        let Ok(mut socket) = accepted else { continue };
        let Ok(handle) = socket.try_clone() else {
            continue;
        };
        let recorder = super::lock(&shared.recorder).clone();
        socket.record(recorder.map(|recorder| recorder.open("usbmux", None)));
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        super::lock(&shared.connections).insert(id, (None, handle));
        let client_side = Arc::clone(shared);
        let spawned = thread::Builder::new()
            .name("sim-client".into())
            .spawn(move || {
                client_side.serve(id, socket);
                super::lock(&client_side.listeners).remove(&id);
                super::lock(&client_side.connections).remove(&id);
            });
        if spawned.is_err() {
            super::lock(&shared.connections).remove(&id);
        }
    }
}

impl Shared {
    fn attach(&self, phone: Arc<Phone>, via: Via) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { id, phone, via };
        let mut phones = super::lock(&self.phones);
        let event = attached(&entry);
        phones.push(entry);
        self.announce(event);
    }

    /// Removes a phone's entries of one kind. Returns true if there was one.
    fn detach(&self, udid: &Udid, via: Via) -> bool {
        let mut phones = super::lock(&self.phones);
        let mut gone = Vec::new();
        phones.retain(|entry| {
            let stays = entry.phone.udid() != udid || entry.via != via;
            if !stays {
                gone.push(entry.id);
            }
            stays
        });
        for id in &gone {
            self.announce(message("Detached", [("DeviceID", (*id).into())]));
        }
        for (of, socket) in super::lock(&self.connections).values() {
            if of.is_some_and(|id| gone.contains(&id)) {
                socket.cut();
            }
        }
        !gone.is_empty()
    }

    /// Detaches the phone and attaches it again, as a reboot after a restore does.
    fn restart(&self, phone: &Arc<Phone>) {
        if self.detach(phone.udid(), Via::Usb) {
            thread::sleep(phone.config.restart);
            phone.restart();
            self.attach(Arc::clone(phone), Via::Usb);
        }
    }

    /// Adds and removes the entries of phones that are listed while they listen on Wi-Fi.
    fn follow(&self) {
        let followed = super::lock(&self.followed).clone();
        for phone in followed {
            let is_entry =
                |entry: &Entry| entry.via == Via::Network && entry.phone.udid() == phone.udid();
            let is_listed = super::lock(&self.phones).iter().any(is_entry);
            let listens = phone.wifi_address().is_some();
            if listens && !is_listed {
                self.attach(phone, Via::Network);
            } else if is_listed && !listens {
                self.detach(phone.udid(), Via::Network);
            }
        }
    }

    /// Answers one client until it disconnects or is connected to a phone. An error ends the
    /// connection.
    fn serve(&self, id: u64, mut socket: Socket) {
        while let Ok(request) = Request::read(&mut socket) {
            let Some(request) = request else {
                // An old client: refuse it with a result in the old form.
                let mut refusal = Vec::new();
                for word in [20u32, 0, 1, 0, RESULT_BAD_VERSION] {
                    refusal.extend(word.to_le_bytes());
                }
                if socket.write_all(&refusal).is_err() {
                    return;
                }
                continue;
            };
            if request.name() == "Connect" {
                match self.route(&request) {
                    Ok((entry, port)) => {
                        super::lock(&self.connections)
                            .entry(id)
                            .and_modify(|(of, _)| *of = Some(entry.id));
                        self.connect(&entry, port, socket, request.tag);
                        return;
                    }
                    Err(number) => {
                        if send(&mut socket, request.tag, &result(number)).is_err() {
                            return;
                        }
                    }
                }
            } else if request.name() == "Listen" {
                // Keep the phones locked, so that none is missed or announced twice.
                let phones = super::lock(&self.phones);
                if send(&mut socket, request.tag, &result(RESULT_OK)).is_err() {
                    return;
                }
                for entry in phones.iter() {
                    if send(&mut socket, 0, &attached(entry)).is_err() {
                        return;
                    }
                }
                let Ok(writer) = socket.try_clone() else {
                    return;
                };
                super::lock(&self.listeners).insert(id, writer);
            } else if send(&mut socket, request.tag, &self.answer(&request)).is_err() {
                return;
            }
        }
    }

    /// Accepts a client's Connect, and serves the connection until it ends.
    fn connect(&self, entry: &Entry, port: u16, mut socket: Socket, tag: u32) {
        let phone = &entry.phone;
        if entry.via == Via::Network {
            // The phone itself records what passes over Wi-Fi.
            let Some(far) = over_wifi(phone, port) else {
                // The client may have disconnected.
                drop(send(&mut socket, tag, &result(RESULT_REFUSED)));
                return;
            };
            if send(&mut socket, tag, &result(RESULT_OK)).is_ok() {
                socket.record(None);
                relay(socket, far);
            }
            return;
        }
        if send(&mut socket, tag, &result(RESULT_OK)).is_ok() {
            let tap = socket.record(None);
            let name = phone.service_on(port);
            let udid = phone.udid().as_str();
            socket.record(tap.map(|tap| tap.becomes(&name, Some(udid))));
            phone.serve(port, socket);
            if phone.is_to_restart() {
                self.restart(phone);
            }
        }
    }

    fn route(&self, request: &Request) -> Result<(Entry, u16), u64> {
        let entry = self
            .entry(request.number("DeviceID"))
            .ok_or(RESULT_BAD_DEVICE)?;
        // Apple's clients send the byte-swapped port as a signed 16-bit number, others as an
        // unsigned one.
        let swapped = request
            .body
            .get("PortNumber")
            .and_then(Value::as_signed_integer);
        let swapped = swapped.ok_or(RESULT_BAD_COMMAND)?;
        let port = (swapped as u16).swap_bytes();
        if entry.via == Via::Network || entry.phone.listens_on(port) {
            Ok((entry, port))
        } else {
            Err(RESULT_REFUSED)
        }
    }

    fn entry(&self, device_id: Option<u64>) -> Option<Entry> {
        let phones = super::lock(&self.phones);
        let found = phones.iter().find(|entry| Some(entry.id) == device_id);
        found.cloned()
    }

    fn answer(&self, request: &Request) -> Value {
        let record_id = || {
            let id = request.body.get("PairRecordID").and_then(Value::as_string);
            id.map(str::to_owned)
        };
        match request.name() {
            "ListDevices" => {
                let phones = super::lock(&self.phones);
                let list = phones.iter().map(attached).collect();
                dictionary([("DeviceList", Value::Array(list))])
            }
            "ListListeners" => dictionary([("ListenerList", Value::Array(Vec::new()))]),
            "ReadBUID" => dictionary([("BUID", self.buid.as_str().into())]),
            "ReadPairRecord" => {
                let records = super::lock(&self.records);
                match record_id().and_then(|id| records.get(&id).cloned()) {
                    Some(data) => dictionary([("PairRecordData", Value::Data(data))]),
                    None => result(RESULT_BAD_DEVICE),
                }
            }
            "SavePairRecord" => {
                let data = request.body.get("PairRecordData").and_then(Value::as_data);
                let (Some(id), Some(data)) = (record_id(), data) else {
                    return result(RESULT_BAD_COMMAND);
                };
                super::lock(&self.records).insert(id, data.to_vec());
                if let Some(device) = request.number("DeviceID") {
                    self.announce(message("Paired", [("DeviceID", device.into())]));
                }
                result(RESULT_OK)
            }
            "DeletePairRecord" => {
                let removed = record_id().and_then(|id| super::lock(&self.records).remove(&id));
                result(removed.map_or(RESULT_BAD_DEVICE, |_| RESULT_OK))
            }
            _ => result(RESULT_BAD_COMMAND),
        }
    }

    /// Sends an event to all listeners, and drops those that have disconnected.
    fn announce(&self, event: Value) {
        super::lock(&self.listeners).retain(|_, socket| send(socket, 0, &event).is_ok());
    }
}

struct Request {
    tag: u32,
    body: Dictionary,
}

impl Request {
    /// Reads one message. Returns `None` for the binary form, which ended with usbmuxd 1.0.
    fn read(socket: &mut Socket) -> io::Result<Option<Request>> {
        let mut header = [0; 16];
        socket.read_exact(&mut header)?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (length, version, tag) = (word(0), word(4), word(12));
        let body = match length.checked_sub(16) {
            Some(body) if length <= MESSAGE_BYTES_MAX => body,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let mut bytes = vec![0; body as usize];
        socket.read_exact(&mut bytes)?;
        if version == 0 {
            return Ok(None);
        }
        let body = match bounded_plist::parse(&bytes) {
            Ok(Value::Dictionary(body)) => body,
            // The answer will be that of an unknown request.
            Ok(_) | Err(_) => Dictionary::new(),
        };
        Ok(Some(Request { tag, body }))
    }

    fn name(&self) -> &str {
        let name = self.body.get("MessageType").and_then(Value::as_string);
        name.unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.body.get(key).and_then(Value::as_unsigned_integer)
    }
}

fn send(socket: &mut Socket, tag: u32, body: &Value) -> io::Result<()> {
    let mut bytes = vec![0; 16];
    body.to_writer_xml(&mut bytes).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    for (at, word) in [length, 1, 8, tag].into_iter().enumerate() {
        bytes[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    socket.write_all(&bytes)
}

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(super::dict(entries))
}

fn message<const N: usize>(name: &str, entries: [(&str, Value); N]) -> Value {
    let mut body = super::dict(entries);
    body.insert("MessageType".into(), name.into());
    Value::Dictionary(body)
}

fn result(number: u64) -> Value {
    message("Result", [("Number", number.into())])
}

/// Connects to a port of a phone over Wi-Fi, if it listens there.
fn over_wifi(phone: &Phone, port: u16) -> Option<Socket> {
    let mut address = phone.wifi_address()?;
    // The simulated phone may have its lockdown elsewhere.
    if port != lockdown::PORT {
        address.set_port(port);
    }
    Socket::connect(&address.to_string()).ok()
}

/// Passes bytes on in both directions until either side ends the connection.
fn relay(mut client: Socket, mut phone: Socket) {
    let (Ok(mut from_client), Ok(mut to_phone)) = (client.try_clone(), phone.try_clone()) else {
        return;
    };
    let upward = thread::Builder::new()
        .name("sim-relay".into())
        .spawn(move || {
            // An error ends the connection as its end does.
            drop(io::copy(&mut from_client, &mut to_phone));
            to_phone.cut();
        });
    if let Ok(upward) = upward {
        drop(io::copy(&mut phone, &mut client));
        client.cut();
        drop(upward.join());
    }
}

/// Returns an address as a sockaddr of macOS, whose first bytes are its length and its family.
/// Clients read that layout on all systems (libimobiledevice, `idevice_connect`).
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address {
        SocketAddr::V4(v4) => [&[0x10, 2, 0, 0][..], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [
            &[0x1c, 0x1e, 0, 0, 0, 0, 0, 0][..],
            &v6.ip().octets(),
            &v6.scope_id().to_le_bytes(),
        ]
        .concat(),
    };
    bytes.resize(SOCKET_ADDRESS_BYTES, 0);
    bytes
}

fn attached(entry: &Entry) -> Value {
    let (id, phone) = (entry.id, &entry.phone);
    let udid = phone.udid().as_str();
    let mut properties = super::dict([("DeviceID", id.into()), ("SerialNumber", udid.into())]);
    let more = match entry.via {
        Via::Usb => vec![
            ("ConnectionSpeed", 480_000_000u64.into()),
            ("ConnectionType", "USB".into()),
            ("LocationID", (0x0100_0000 + id).into()),
            ("ProductID", 4776u64.into()),
            ("UDID", udid.into()),
            ("USBSerialNumber", udid.replace('-', "").as_str().into()),
        ],
        // As Apple's usbmuxd and netmuxd list them (netmuxd, src/devices.rs).
        Via::Network => {
            let address = phone.wifi_address();
            let name = format!("{}@fe80::1", super::values::wifi_mac(phone));
            vec![
                ("ConnectionType", "Network".into()),
                (
                    "EscapedFullServiceName",
                    format!("{name}._apple-mobdev2._tcp.local.").into(),
                ),
                ("InterfaceIndex", 0u64.into()),
                (
                    "NetworkAddress",
                    Value::Data(address.map_or_else(Vec::new, socket_address)),
                ),
            ]
        }
    };
    properties.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    if phone.replay().is_some() {
        properties.insert(REPLAYED.into(), true.into());
    }
    message(
        "Attached",
        [
            ("DeviceID", id.into()),
            ("Properties", Value::Dictionary(properties)),
        ],
    )
}
