//! A daemon that speaks usbmuxd's protocol, with simulated phones behind it.
//!
//! ```text
//! [length u32 LE, with the header][version u32 LE = 1][message u32 LE = 8][tag u32 LE]
//! [XML property list]
//! ```
//! After a successful Connect the socket is the raw stream to the phone's port.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plist::{Dictionary, Value};

use super::Phone;
use super::socket::{Listener, Socket};
use crate::base::bounded_plist;
use crate::base::cancel::CancelToken;
use crate::base::udid::Udid;
use crate::trace::Recorder;
use crate::transport::usbmuxd::REPLAYED;

/// Longest message accepted from a client, in bytes; a pair record has about 13 KB.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;
const RESULT_OK: u64 = 0;
const RESULT_BAD_COMMAND: u64 = 1;
const RESULT_BAD_DEVICE: u64 = 2;
const RESULT_REFUSED: u64 = 3;
const RESULT_BAD_VERSION: u32 = 6;

/// A running daemon. Dropping it ends the daemon and all of its connections.
#[derive(Debug)]
pub struct Daemon {
    shared: Arc<Shared>,
    address: String,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    phones: Mutex<Vec<(u64, Arc<Phone>)>>,
    records: Mutex<HashMap<String, Vec<u8>>>,
    /// Connections that asked for notifications about phones that come and go.
    listeners: Mutex<HashMap<u64, Socket>>,
    /// All open connections, with the phone that each one reaches.
    connections: Mutex<HashMap<u64, (Option<Udid>, Socket)>>,
    buid: String,
    next: AtomicU64,
    stopping: AtomicBool,
    recorder: Mutex<Option<Recorder>>,
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
        self.shared.attach(phone);
    }

    /// Pulls a phone's cable, which ends all connections to it.
    pub fn detach(&self, udid: &Udid) {
        self.shared.detach(udid);
    }

    /// Waits until `token` is cancelled or the listener fails. Used by a command that only serves.
    pub fn serve(self, token: &CancelToken) {
        /// Interval between looks at the token.
        const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
        let has_ended = || self.acceptor.as_ref().is_none_or(JoinHandle::is_finished);
        while !token.cancelled() && !has_ended() {
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
    fn attach(&self, phone: Arc<Phone>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut phones = super::lock(&self.phones);
        let event = attached(id, &phone);
        phones.push((id, phone));
        self.announce(event);
    }

    /// Unplugs a phone. Returns true if it was attached.
    fn detach(&self, udid: &Udid) -> bool {
        let mut phones = super::lock(&self.phones);
        let mut gone = Vec::new();
        phones.retain(|(id, phone)| {
            let stays = phone.udid() != udid;
            if !stays {
                gone.push(*id);
            }
            stays
        });
        for id in &gone {
            self.announce(message("Detached", [("DeviceID", (*id).into())]));
        }
        for (of, socket) in super::lock(&self.connections).values() {
            if of.as_ref() == Some(udid) {
                socket.cut();
            }
        }
        !gone.is_empty()
    }

    /// Detaches the phone and attaches it again, as a reboot after a restore does.
    fn restart(&self, phone: &Arc<Phone>) {
        if self.detach(phone.udid()) {
            thread::sleep(phone.config.restart);
            phone.restart();
            self.attach(Arc::clone(phone));
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
                    Ok((phone, port)) => {
                        super::lock(&self.connections)
                            .entry(id)
                            .and_modify(|(of, _)| *of = Some(phone.udid().clone()));
                        if send(&mut socket, request.tag, &result(RESULT_OK)).is_ok() {
                            let tap = socket.record(None);
                            let name = phone.service_on(port);
                            let udid = phone.udid().as_str();
                            socket.record(tap.map(|tap| tap.becomes(&name, Some(udid))));
                            phone.serve(port, socket);
                            if phone.is_to_restart() {
                                self.restart(&phone);
                            }
                        }
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
                for (id, phone) in phones.iter() {
                    if send(&mut socket, 0, &attached(*id, phone)).is_err() {
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

    fn route(&self, request: &Request) -> Result<(Arc<Phone>, u16), u64> {
        let phone = self
            .phone(request.number("DeviceID"))
            .ok_or(RESULT_BAD_DEVICE)?;
        // Apple's clients send the byte-swapped port as a signed 16-bit number, others as an
        // unsigned one.
        let swapped = request
            .body
            .get("PortNumber")
            .and_then(Value::as_signed_integer);
        let swapped = swapped.ok_or(RESULT_BAD_COMMAND)?;
        let port = (swapped as u16).swap_bytes();
        if phone.listens_on(port) {
            Ok((phone, port))
        } else {
            Err(RESULT_REFUSED)
        }
    }

    fn phone(&self, device_id: Option<u64>) -> Option<Arc<Phone>> {
        let phones = super::lock(&self.phones);
        let found = phones.iter().find(|(id, _)| Some(*id) == device_id);
        found.map(|(_, phone)| Arc::clone(phone))
    }

    fn answer(&self, request: &Request) -> Value {
        let record_id = || {
            let id = request.body.get("PairRecordID").and_then(Value::as_string);
            id.map(str::to_owned)
        };
        match request.name() {
            "ListDevices" => {
                let phones = super::lock(&self.phones);
                let list = phones.iter().map(|(id, p)| attached(*id, p)).collect();
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

fn attached(id: u64, phone: &Phone) -> Value {
    let udid = phone.udid().as_str();
    let mut properties = super::dict([
        ("ConnectionSpeed", 480_000_000u64.into()),
        ("ConnectionType", "USB".into()),
        ("DeviceID", id.into()),
        ("LocationID", (0x0100_0000 + id).into()),
        ("ProductID", 4776u64.into()),
        ("SerialNumber", udid.into()),
        ("UDID", udid.into()),
        ("USBSerialNumber", udid.replace('-', "").as_str().into()),
    ]);
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
