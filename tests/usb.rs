//! Runs whole jobs over USB without a daemon and without hardware. The test's own bus has a phone
//! whose USB protocol is implemented here and which passes each connection to the simulated phone's
//! services. tests/mux.rs tests the protocol itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::advice::Advice as _;
use crate::rig::{At, OTHER_UDID, Rig, config, options, small};
use idev_backup::backup::Error;
use idev_backup::backup::create;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::{Phase, Silent};
use idev_backup::base::secret::Secret;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::device::{self, listing, trust};
use idev_backup::encryption::{self, Wish};
use idev_backup::simulator::Phone;
use idev_backup::transport::usb::mux::{Broken, TRANSFER_BYTES, WINDOW_BYTES};
use idev_backup::transport::usb::pump::{Pipe, Wake};
use idev_backup::transport::usb::{Bus, Found, Usb};
use idev_backup::transport::usbmuxd::{Address, Change};
use idev_backup::transport::{self, Transport, Trouble, Usbmuxd};

// ---- a bus ----

/// Events that the reader of a pipe receives.
enum Event {
    Transfer(Vec<u8>),
    Sent,
    Wake,
    Gone,
}

/// Inputs of the phone's end.
enum Input {
    Packet(Vec<u8>),
    FromService(u16, Vec<u8>),
    GivenBack,
}

/// A phone that is plugged in.
struct Plug {
    place: u32,
    udid: String,
    serial: Result<String, Trouble>,
    /// The error that opening the phone returns, instead of a pipe.
    trouble: Option<Trouble>,
    /// Packets that the phone sends instead of its version.
    instead: Vec<Vec<u8>>,
    held: Arc<AtomicBool>,
    events: Option<Sender<Event>>,
}

#[derive(Clone)]
struct FakeBus {
    /// The address of the daemon behind which the simulated phones are.
    daemon: String,
    plugs: Arc<Mutex<Vec<Plug>>>,
    places: Arc<AtomicU32>,
    opened: Arc<AtomicUsize>,
    resets: Arc<AtomicUsize>,
}

impl FakeBus {
    fn new(rig: &Rig) -> FakeBus {
        let bus = FakeBus {
            daemon: rig.daemon.address().to_owned(),
            plugs: Arc::default(),
            places: Arc::default(),
            opened: Arc::default(),
            resets: Arc::default(),
        };
        bus.plug(rig.udid().as_str());
        bus
    }

    fn plug(&self, udid: &str) {
        self.plugs.lock().unwrap().push(Plug {
            place: self.places.fetch_add(1, Ordering::SeqCst) + 0x0102,
            udid: udid.to_owned(),
            // As on USB: without the dash, and padded.
            serial: Ok(format!("{}\0\0", udid.replace('-', ""))),
            trouble: None,
            instead: Vec::new(),
            held: Arc::default(),
            events: None,
        });
    }

    fn unplug(&self) {
        for plug in self.plugs.lock().unwrap().drain(..) {
            if let Some(events) = plug.events {
                drop(events.send(Event::Gone));
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Plug)) {
        change(&mut self.plugs.lock().unwrap()[0]);
    }

    fn is_held(&self) -> bool {
        let plugs = self.plugs.lock().unwrap();
        plugs.iter().any(|plug| plug.held.load(Ordering::SeqCst))
    }

    fn usb(&self) -> Usb {
        Usb::new(Box::new(self.clone()), token())
    }

    fn connector(&self, rig: &Rig) -> Connector {
        let folder = rig.dir.path().join("our own/pairing");
        let mut connector = Connector::new(self.usb(), folder, Pin::PairRecord, token());
        // Keep this machine's own pair records out of the test.
        connector.records = connector.records.beside(rig.dir.path().join("lockdown"));
        connector
    }
}

fn token() -> Arc<CancelToken> {
    CancelToken::new(Arc::default())
}

impl Bus for FakeBus {
    fn phones(&self) -> Result<Vec<Found>, Trouble> {
        let plugs = self.plugs.lock().unwrap();
        let found = plugs.iter().map(|plug| Found {
            place: plug.place,
            serial: plug.serial.clone(),
        });
        Ok(found.collect())
    }

    fn open(&self, place: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble> {
        let mut plugs = self.plugs.lock().unwrap();
        let plug = plugs
            .iter_mut()
            .find(|plug| plug.place == place)
            .ok_or(Trouble::Unplugged)?;
        if let Some(trouble) = &plug.trouble {
            return Err(trouble.clone());
        }
        if plug.held.swap(true, Ordering::SeqCst) {
            return Err(Trouble::Busy {
                by: vec!["this very program".to_owned()],
            });
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (events, heard) = channel();
        let (inputs, phone) = channel();
        plug.events = Some(events.clone());
        let end = PhonesEnd {
            daemon: self.daemon.clone(),
            udid: plug.udid.clone(),
            instead: plug.instead.clone(),
            events: events.clone(),
            inputs: inputs.clone(),
            resets: self.resets.clone(),
            connections: BTreeMap::new(),
            sent: 0,
        };
        std::thread::spawn(move || end.run(&phone));
        let pipe = FakePipe {
            inputs,
            events: events.clone(),
            heard,
            held: plug.held.clone(),
        };
        let waker = Mutex::new(events);
        let wake = move || drop(waker.lock().unwrap().send(Event::Wake));
        Ok((Box::new(pipe), Arc::new(wake)))
    }
}

struct FakePipe {
    inputs: Sender<Input>,
    events: Sender<Event>,
    heard: Receiver<Event>,
    held: Arc<AtomicBool>,
}

impl Pipe for FakePipe {
    fn has_room(&self) -> bool {
        true
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn send(&mut self, packet: Vec<u8>) -> Result<(), Trouble> {
        drop(self.events.send(Event::Sent));
        self.inputs
            .send(Input::Packet(packet))
            .map_err(|_| Trouble::Unplugged)
    }

    fn wait(
        &mut self,
        patience: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        match self.heard.recv_timeout(patience) {
            Ok(Event::Transfer(bytes)) => take(&bytes),
            Ok(Event::Sent | Event::Wake) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => Err(Trouble::Unplugged),
        }
    }
}

impl Drop for FakePipe {
    fn drop(&mut self) {
        drop(self.inputs.send(Input::GivenBack));
        self.held.store(false, Ordering::SeqCst);
    }
}

/// The phone's end of the bus, written from protocol.md, section 8, without the program's code.
struct PhonesEnd {
    daemon: String,
    udid: String,
    instead: Vec<Vec<u8>>,
    events: Sender<Event>,
    inputs: Sender<Input>,
    resets: Arc<AtomicUsize>,
    /// The open connections, by the computer's port.
    connections: BTreeMap<u16, ServiceConnection>,
    sent: u16,
}

struct ServiceConnection {
    port: u16,
    socket: TcpStream,
    /// The next byte that we send, and the first that is not yet acknowledged.
    seq: u32,
    acked: u32,
    /// The number of bytes received so far.
    taken: u32,
    backlog: Vec<u8>,
    is_over: bool,
}

impl PhonesEnd {
    fn run(mut self, inputs: &Receiver<Input>) {
        while let Ok(input) = inputs.recv() {
            match input {
                Input::Packet(packet) => self.packet(&packet),
                Input::FromService(port, bytes) => {
                    if let Some(connection) = self.connections.get_mut(&port) {
                        connection.is_over |= bytes.is_empty();
                        connection.backlog.extend(bytes);
                    }
                    self.pass_on(port);
                }
                Input::GivenBack => break,
            }
        }
        for connection in self.connections.values() {
            drop(connection.socket.shutdown(Shutdown::Both));
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        match word(packet, 0) {
            0 => {
                assert_eq!(packet.len(), 20);
                if self.instead.is_empty() {
                    self.transfer(words(&[0, 20, 2, 0, 0]));
                }
                for transfer in std::mem::take(&mut self.instead) {
                    self.transfer(transfer);
                }
            }
            2 => assert_eq!(packet[16..], [7]),
            6 => self.segment(&packet[16..]),
            other => panic!("protocol {other}"),
        }
    }

    fn segment(&mut self, segment: &[u8]) {
        let half = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let (from, to, ack, flags) = (half(0), half(2), word(segment, 8), segment[13]);
        if flags == 2 {
            match self.connect(from, to) {
                Some(connection) => {
                    self.connections.insert(from, connection);
                    self.send(from, to, 0, 1, 0x12, &[]);
                }
                None => self.send(from, to, 0, 1, 0x14, b"nobody listens there"),
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(&from) else {
            return; // The computer has already reset the connection.
        };
        if flags & 4 != 0 {
            self.resets.fetch_add(1, Ordering::SeqCst);
            drop(connection.socket.shutdown(Shutdown::Both));
            self.connections.remove(&from);
            return;
        }
        assert_eq!((flags, word(segment, 4)), (0x10, connection.taken));
        connection.acked = ack;
        let payload = &segment[20..];
        connection.taken = connection.taken.wrapping_add(payload.len() as u32);
        if connection.socket.write_all(payload).is_err() {
            connection.is_over = true;
        }
        let (seq, taken) = (connection.seq, connection.taken);
        if !payload.is_empty() {
            self.send(from, to, seq, taken, 0x10, &[]);
        }
        self.pass_on(from);
    }

    /// Sends as much as the computer's window allows.
    fn pass_on(&mut self, port: u16) {
        loop {
            let Some(connection) = self.connections.get_mut(&port) else {
                return;
            };
            let under_way = connection.seq.wrapping_sub(connection.acked) as usize;
            let count = (WINDOW_BYTES - under_way)
                .min(connection.backlog.len())
                .min(65536 - 36);
            let (there, seq, taken) = (connection.port, connection.seq, connection.taken);
            if count == 0 {
                if connection.is_over && connection.backlog.is_empty() {
                    self.connections.remove(&port);
                    self.send(port, there, seq, taken, 4, &[]);
                }
                return;
            }
            connection.seq = seq.wrapping_add(count as u32);
            let payload: Vec<u8> = connection.backlog.drain(..count).collect();
            self.send(port, there, seq, taken, 0x10, &payload);
        }
    }

    fn send(&mut self, here: u16, there: u16, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        let mut packet = words(&[
            6,
            36 + payload.len() as u32,
            0xFEED_FACE,
            u32::from(self.sent) << 16,
        ]);
        self.sent = self.sent.wrapping_add(1);
        packet.extend(there.to_be_bytes());
        packet.extend(here.to_be_bytes());
        packet.extend(words(&[seq, ack]));
        packet.extend([0x50, flags, 2, 0, 0, 0, 0, 0]);
        packet.extend(payload);
        let is_full = packet.len().is_multiple_of(512);
        for part in packet.chunks(TRANSFER_BYTES) {
            self.transfer(part.to_vec());
        }
        if is_full {
            self.transfer(Vec::new());
        }
    }

    fn transfer(&self, bytes: Vec<u8>) {
        drop(self.events.send(Event::Transfer(bytes)));
    }

    /// Connects to the simulated phone's service through its daemon. The bytes from there arrive as
    /// inputs.
    fn connect(&self, here: u16, there: u16) -> Option<ServiceConnection> {
        let phones = Usbmuxd::new(Address::parse(&self.daemon), token())
            .devices()
            .ok()?;
        let phone = phones
            .iter()
            .find(|phone| phone.udid.as_str() == self.udid)?;
        let plist = format!(
            "<plist version=\"1.0\"><dict><key>MessageType</key><string>Connect</string><key>DeviceID</key>\
             <integer>{}</integer><key>PortNumber</key><integer>{}</integer></dict></plist>",
            phone.device_id,
            there.swap_bytes()
        );
        let mut socket = TcpStream::connect(&self.daemon).unwrap();
        let mut message = Vec::new();
        for word in [16 + plist.len() as u32, 1, 8, 1] {
            message.extend(word.to_le_bytes());
        }
        message.extend(plist.as_bytes());
        socket.write_all(&message).unwrap();
        let mut header = [0; 16];
        socket.read_exact(&mut header).ok()?;
        let mut answer = vec![0; u32::from_le_bytes(header[..4].try_into().unwrap()) as usize - 16];
        socket.read_exact(&mut answer).ok()?;
        if !String::from_utf8_lossy(&answer).contains("<integer>0</integer>") {
            return None;
        }
        let mut from = socket.try_clone().unwrap();
        let inputs = self.inputs.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 20_000];
            loop {
                let count = from.read(&mut buffer).unwrap_or(0);
                let sent = inputs.send(Input::FromService(here, buffer[..count].to_vec()));
                if count == 0 || sent.is_err() {
                    return;
                }
            }
        });
        let (seq, acked, taken) = (1, 1, 1);
        Some(ServiceConnection {
            port: there,
            socket,
            seq,
            acked,
            taken,
            backlog: Vec::new(),
            is_over: false,
        })
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn create(rig: &Rig, connector: &Connector) -> Result<create::Report, Error> {
    let phone = connector.phone(Some(rig.udid().as_str()))?;
    create::create(connector, &phone, &rig.store, &options(), &Silent)
}

// ---- jobs ----

#[test]
fn usb_backup_equals_phone_content() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let connector = bus.connector(&rig);
    create(&rig, &connector).unwrap();
    rig.assert_holds_the_phone(&rig.current());
    create(&rig, &connector).unwrap();
    rig.assert_holds_the_phone(&rig.current());
    // The phone is opened once for all of it, and released when the program ends.
    assert_eq!(bus.opened.load(Ordering::SeqCst), 1);
    assert!(bus.is_held());
    drop(connector);
    assert!(!bus.is_held());
    assert!(bus.resets.load(Ordering::SeqCst) > 0);
}

/// Checks that pairing over USB stores the pair record and this computer's BUID only in the
/// program's own folder, readable only by its owner, and does not pass the record to usbmuxd.
#[test]
fn usb_pairing_keeps_record_private() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let connector = bus.connector(&rig);
    let phone = connector.phone(None).unwrap();
    let paired = |connector: &Connector| {
        trust::pair(connector, &phone, Duration::from_secs(10), &Silent).unwrap()
    };
    assert_eq!(paired(&connector), trust::Outcome::Paired);
    assert_eq!(paired(&connector), trust::Outcome::Already);
    let folder = rig.dir.path().join("our own/pairing");
    let record = folder.join(format!("{}.plist", rig.udid()));
    let name = folder.join("SystemConfiguration.plist");
    #[cfg(unix)]
    for (path, mode) in [(&folder, 0o700), (&record, 0o600), (&name, 0o600)] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            mode,
            "{path:?}"
        );
    }
    let buid = connector.records.system_buid().unwrap();
    assert!(fs::read_to_string(&name).unwrap().contains(&buid));
    assert!(fs::read_to_string(&record).unwrap().contains(&buid));
    // The daemon did not receive the pair record.
    assert!(
        Usbmuxd::new(Address::parse(rig.daemon.address()), token())
            .pair_record(rig.udid())
            .unwrap()
            .is_none()
    );
    trust::unpair(&connector, &phone).unwrap();
    assert!(!record.exists());
    assert_eq!(connector.records.system_buid().unwrap(), buid);
}

/// Checks that pair records of a usbmuxd that does not run are used if they can be read, and that
/// `unpair` does not remove them.
#[test]
fn stopped_daemons_records_are_used() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let connector = bus.connector(&rig);
    let phone = connector.phone(None).unwrap();
    trust::pair(&connector, &phone, Duration::from_secs(10), &Silent).unwrap();
    let (ours, theirs) = (
        rig.dir.path().join("our own/pairing"),
        rig.dir.path().join("lockdown"),
    );
    fs::rename(&ours, &theirs).unwrap();
    connector.session(&phone).unwrap();
    let buid = connector.records.system_buid().unwrap();
    assert!(
        fs::read_to_string(theirs.join("SystemConfiguration.plist"))
            .unwrap()
            .contains(&buid)
    );
    assert!(!ours.exists());
    // The records belong to that daemon, so we do not remove them.
    trust::unpair(&connector, &phone).unwrap();
    assert!(theirs.join(format!("{}.plist", rig.udid())).exists());
}

#[test]
fn devices_and_encryption_work_over_usb() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let connector = bus.connector(&rig);
    create(&rig, &connector).unwrap();
    let found = listing::devices(&connector, |_| Some("2026-01-01T00:00:00Z".to_owned())).unwrap();
    assert_eq!(
        (found.len(), found[0].udid.as_str(), found[0].via.as_str()),
        (1, rig.udid().as_str(), "USB")
    );
    assert!(found[0].paired && found[0].trouble.is_none() && found[0].last_backup.is_some());
    let wish = Wish::On {
        new: Secret::new(b"over usb".to_vec()),
    };
    let phone = connector.phone(None).unwrap();
    let settings = encryption::Options {
        silence_max: Duration::from_secs(30),
        trust_wait: Duration::from_secs(10),
    };
    encryption::change(&connector, &phone, None, &wish, &settings, &Silent).unwrap();
    assert_eq!(
        listing::devices(&connector, |_| None).unwrap()[0].encrypted,
        Some(true)
    );
}

#[test]
fn two_phones_back_up_concurrently() {
    let rig = Rig::new();
    let other = Phone::new(idev_backup::simulator::PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        content: idev_backup::simulator::Content { seed: 7, ..small() },
        ..config()
    });
    rig.daemon.attach(other);
    let bus = FakeBus::new(&rig);
    bus.plug(OTHER_UDID);
    let connector = bus.connector(&rig);
    let phones = connector.phones().unwrap();
    assert_eq!(phones.len(), 2);
    std::thread::scope(|scope| {
        for phone in &phones {
            scope.spawn(|| {
                create::create(&connector, phone, &rig.store, &options(), &Silent).unwrap()
            });
        }
    });
    rig.assert_holds_the_phone(&rig.current());
    assert_eq!(
        (
            bus.opened.load(Ordering::SeqCst),
            rig.store.snapshots().unwrap().len()
        ),
        (2, 2)
    );
}

// ---- trouble ----

/// Checks that an unplugged cable ends the run as a lost connection with a hint about the cable,
/// and that the next run succeeds.
#[test]
fn next_run_succeeds_after_unplug() {
    let rig = Rig::backed_up();
    let bus = FakeBus::new(&rig);
    let connector = bus.connector(&rig);
    for phase in [Phase::Scanning, Phase::Receiving] {
        let phone = connector.phone(None).unwrap();
        let pull = At(phase, || bus.unplug());
        let error = create::create(&connector, &phone, &rig.store, &options(), &pull).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Lost, "{phase:?}: {error}");
        assert!(
            error.to_string().contains("unplugged"),
            "{phase:?}: {error}"
        );
        assert!(error.hint().unwrap().contains("cable"), "{phase:?}");
        let none = connector.phone(None).unwrap_err();
        assert_eq!(none.kind(), FailureKind::NoDevice);
        bus.plug(rig.udid().as_str());
    }
    let last = loop {
        match create(&rig, &connector) {
            // The simulated phone has not noticed yet that the previous run is over.
            Err(Error::Refused(no)) if no.code == 14 => std::thread::yield_now(),
            other => break other,
        }
    };
    last.unwrap();
    rig.assert_holds_the_phone(&rig.current());
}

/// Checks the class, message and hint of each kind of USB trouble, and that `devices` still lists
/// the phone.
#[test]
fn each_usb_trouble_has_hint() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let node = "/dev/bus/usb/001/007".to_owned();
    let cases: [(Trouble, FailureKind, &str, &str); 7] = [
        (
            Trouble::NoRights { node },
            FailureKind::Failed,
            "/dev/bus/usb/001/007",
            "TAG+=\"uaccess\"",
        ),
        (
            Trouble::Busy {
                by: vec!["usbmuxd (process 7)".into()],
            },
            FailureKind::Failed,
            "usbmuxd (process 7)",
            "usbmuxd is running",
        ),
        (
            Trouble::NoInterface,
            FailureKind::Failed,
            "does not offer an interface",
            "restart it",
        ),
        (
            Trouble::Silent,
            FailureKind::Lost,
            "does not answer",
            "restart it",
        ),
        (
            Trouble::Driver,
            FailureKind::Failed,
            "driver",
            "Apple Devices",
        ),
        (
            Trouble::Unplugged,
            FailureKind::NoDevice,
            "unplugged",
            "cable",
        ),
        (
            Trouble::Broken(Broken::Deaf),
            FailureKind::Lost,
            "does not accept packets",
            "restart it",
        ),
    ];
    for (trouble, class, words, hint) in cases {
        bus.change(|plug| plug.trouble = Some(trouble.clone()));
        let error = create(&rig, &bus.connector(&rig)).unwrap_err();
        assert_eq!(error.kind(), class, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        // `devices` still lists the phone, together with the trouble.
        let found = &listing::devices(&bus.connector(&rig), |_| None).unwrap()[0];
        assert!(found.trouble.as_ref().unwrap().contains(words) && found.hint().is_some());
    }
}

/// Checks that a phone whose serial number cannot be read for lack of rights gives a hint about the
/// udev rule, and that other phones are still found.
#[test]
fn unreadable_serial_suggests_udev_rule() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    bus.change(|plug| {
        plug.serial = Err(Trouble::NoRights {
            node: "the node".to_owned(),
        })
    });
    let error = bus.connector(&rig).phone(None).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Failed);
    assert!(error.hint().unwrap().contains("udev-rule"), "{error}");
    bus.plug(OTHER_UDID);
    assert_eq!(
        bus.connector(&rig).phone(None).unwrap().udid.as_str(),
        OTHER_UDID
    );
    // A phone in recovery mode has another kind of serial number.
    bus.change(|plug| plug.serial = Ok("CPID:8015 CPRV:11".to_owned()));
    assert_eq!(bus.connector(&rig).phones().unwrap().len(), 1);
}

/// Checks that each kind of malformed packet ends the connection with an error that names it, and
/// releases the phone.
#[test]
fn malformed_packets_end_connection() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    for (instead, words) in [
        (vec![words(&[0, 20, 9, 0, 0])], "version 9"),
        (
            vec![words(&[0, 20, 2, 0, 0]), words(&[77, 20, 0xFEED_FACE, 0])],
            "unknown kind 77",
        ),
        (
            vec![
                words(&[0, 20, 2, 0, 0]),
                words(&[6, 70_000, 0xFEED_FACE, 0]),
            ],
            "70000 bytes",
        ),
        (
            vec![words(&[0, 20, 2, 0, 0]), words(&[6, 36, 0xFEED_FACE])],
            "lacks",
        ),
    ] {
        bus.change(|plug| plug.instead = instead);
        let error = create(&rig, &bus.connector(&rig)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), FailureKind::Lost, "{error}");
        assert!(!bus.is_held());
    }
}

#[test]
fn closed_port_is_refused() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let usb = bus.usb();
    let phone = usb.devices().unwrap().remove(0);
    let error = usb.connect(&phone, 1, "nothing").unwrap_err();
    let transport::Error::Usb {
        trouble: Trouble::Refused { words },
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(
        words.as_ref().unwrap().contains("nobody listens there"),
        "{error}"
    );
}

#[test]
fn cancellation_ends_connect_wait() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    // The phone answers, but with something that was not asked for.
    bus.change(|plug| plug.instead = vec![vec![1; 10]]);
    let token = token();
    let usb = bus.usb().with_token(token.clone());
    let phone = usb.devices().unwrap().remove(0);
    token.cancel();
    let begun = Instant::now();
    let error = usb.connect(&phone, 62078, "lockdown").unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Checks that a phone without connections is released after a while and opened again when needed.
#[test]
fn idle_phone_is_released() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let usb = bus.usb();
    let phone = usb.devices().unwrap().remove(0);
    drop(usb.connect(&phone, 62078, "lockdown").unwrap());
    let begun = Instant::now();
    while bus.is_held() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    drop(usb.connect(&phone, 62078, "lockdown").unwrap());
    assert_eq!(bus.opened.load(Ordering::SeqCst), 2);
}

/// Checks that a daemon that answers takes precedence over USB, that USB is used without one, and
/// that a phone stays on the way on which it was found.
#[test]
fn running_daemon_is_preferred() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let daemon = Usbmuxd::new(Address::parse(rig.daemon.address()), token());
    let both = Transport::Either(daemon.clone(), bus.usb());
    assert_eq!(both.devices().unwrap(), daemon.devices().unwrap());
    assert!(both.daemon().is_some());
    let absent = Usbmuxd::new(Address::parse("127.0.0.1:1"), token());
    let both = Transport::Either(absent, bus.usb());
    let phone = both.devices().unwrap().remove(0);
    assert!(both.daemon().is_none() && Usb::knows(&phone));
    // The device number shows how the phone was found, whatever is reachable now.
    let late = Transport::Either(daemon.clone(), bus.usb());
    drop(late.connect(&phone, 62078, "lockdown").unwrap());
    assert_eq!(bus.opened.load(Ordering::SeqCst), 1);
    let through_daemon = daemon.devices().unwrap().remove(0);
    drop(late.connect(&through_daemon, 62078, "lockdown").unwrap());
    assert_eq!(bus.opened.load(Ordering::SeqCst), 1);
    // A watch over USB ends when a daemon appears, so that the caller can start again with the
    // daemon.
    let mut watch = Transport::Either(daemon, bus.usb()).listen().unwrap();
    assert!(matches!(watch.next_change().unwrap(), Change::Attached(p) if !Usb::knows(&p)));
    let mut alone = bus.usb().listen().unwrap();
    let over = alone.next_change(&mut || {
        Some(transport::Error::Refused {
            doing: "go on",
            number: 1,
        })
    });
    assert!(over.is_err());
}

/// Checks the output of `udev-rule`, and that an unknown transport is a usage error that names the
/// known ones.
#[test]
fn program_prints_udev_rule() {
    let ran = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_idev-backup"));
        command
            .args(words)
            .env_remove("IDEV_BACKUP_TRANSPORT")
            .output()
            .unwrap()
    };
    let rule = ran(&["udev-rule"]);
    let text = String::from_utf8(rule.stdout).unwrap();
    assert!(
        rule.status.success() && text.contains(transport::udev_rule::RULE),
        "{text}"
    );
    let wrong = ran(&["devices", "--transport", "pigeon"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        String::from_utf8(wrong.stderr)
            .unwrap()
            .contains("usbmuxd, usb or network")
    );
}

// ---- a watch ----

/// A computer without USB.
struct NoBus;

impl Bus for NoBus {
    fn phones(&self) -> Result<Vec<Found>, Trouble> {
        Err(Trouble::NoBus)
    }

    fn open(&self, _: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble> {
        Err(Trouble::NoBus)
    }
}

#[test]
fn watch_fails_without_bus() {
    let usb = Usb::new(Box::new(NoBus), token());
    let error = device::Error::from(usb.listen().err().unwrap());
    assert!(error.hint().is_some(), "{error}");
}

/// Checks that a watch reports phones that are attached and detached, also between two polls, and
/// that it ends when a daemon appears.
#[test]
fn watch_reports_attach_and_detach() {
    let rig = Rig::new();
    let bus = FakeBus::new(&rig);
    let mut listener = bus.usb().listen().unwrap();
    let mut next = || listener.next_change(&mut || None).unwrap();
    let Change::Attached(first) = next() else {
        panic!("not attached");
    };
    assert_eq!(first.udid, *rig.udid());
    // Unplugged and plugged in again between two polls: it gets another place.
    bus.unplug();
    bus.plug(rig.udid().as_str());
    assert_eq!(next(), Change::Detached(first.device_id));
    let Change::Attached(again) = next() else {
        panic!("not attached");
    };
    assert!(again.udid == first.udid && again.device_id != first.device_id);
    // A watch switches to a daemon that has appeared.
    let daemon = || {
        Some(transport::Error::Refused {
            doing: "stop",
            number: 1,
        })
    };
    bus.unplug();
    let mut listener = bus.usb().listen().unwrap();
    assert!(listener.next_change(&mut { daemon }).is_err());
}
