//! Backups of the simulated phone, made by a small host in this file: the protocol, the files that
//! the phone sends, and its configured faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use idev_backup::simulator::{
    Content, Daemon, Fault, Outcome, Passcode, Phone, PhoneConfig, Trust,
};
use idev_backup::transport::plist_stream::{self, Encoding};
use plist::{Dictionary, Value};

use crate::support::{
    self, Computer, Stream, answer, ask, begin_backup, connect, device_ids, dict, get, hear, mux,
    mux_receive, mux_send, open, pair_request, receive_files, say,
};

pub fn tiny() -> PhoneConfig {
    PhoneConfig {
        content: Content {
            small: 300,
            bulk: 2,
            bulk_size: 300_000,
            changes: 40,
            ..Content::default()
        },
        ..PhoneConfig::default()
    }
}

pub fn plugged(config: PhoneConfig) -> (Daemon, Arc<Phone>) {
    let phone = Phone::new(config);
    let daemon = Daemon::start("127.0.0.1:0", vec![phone.clone()]).unwrap();
    (daemon, phone)
}

pub fn paired(daemon: &Daemon) -> Computer {
    Computer::pair(daemon.address(), device_ids(daemon.address())[0])
}

/// A computer that keeps a backup in memory, and may misbehave.
pub struct Host {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
    free: u64,
    /// The byte counts that the phone asked to purge.
    purges: Vec<u64>,
    /// Payload files in the order of their arrival.
    received: Vec<String>,
    /// Disconnects when this many payload files have arrived.
    leave_after: usize,
    /// Disconnects instead of answering the n-th message of this kind.
    leave_at: Option<(&'static str, usize)>,
    /// Answers uploads with this status.
    upload_status: i64,
    /// Leaves out the fourth element of an answer to CreateDirectory.
    short_answers: bool,
    messages: Vec<String>,
}

impl Host {
    pub fn new() -> Host {
        Host {
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            free: 1 << 40,
            purges: Vec::new(),
            received: Vec::new(),
            leave_after: usize::MAX,
            leave_at: None,
            upload_status: 0,
            short_answers: false,
            messages: Vec::new(),
        }
    }

    pub fn back_up(&mut self, computer: &Computer, phone: &Phone) -> io::Result<(u64, String)> {
        self.run(computer, phone, false)
    }

    fn run(&mut self, computer: &Computer, phone: &Phone, full: bool) -> io::Result<(u64, String)> {
        self.received.clear();
        self.messages.clear();
        let mut stream = begin_backup(computer, phone.udid().as_str(), full)?;
        self.serve(&mut stream)
    }

    /// Answers the phone until it has sent its final response.
    pub fn serve(&mut self, stream: &mut Stream) -> io::Result<(u64, String)> {
        loop {
            let message = hear(stream)?;
            let name = message[0].as_string().unwrap().to_owned();
            self.messages.push(name.clone());
            if let Some((kind, nth)) = self.leave_at
                && self.messages.iter().filter(|m| *m == kind).count() == nth
            {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if name == "DLMessageProcessMessage" {
                let response = message[1].as_dictionary().unwrap();
                let text = response.get("ErrorDescription").and_then(Value::as_string);
                let code = response["ErrorCode"].as_unsigned_integer().unwrap();
                return Ok((code, text.unwrap_or_default().to_owned()));
            }
            self.obey(stream, &name, &message)?;
        }
    }

    fn obey(&mut self, stream: &mut Stream, name: &str, message: &[Value]) -> io::Result<()> {
        let nothing = Value::Dictionary(Dictionary::new());
        let text = |n: usize| message[n].as_string().unwrap().to_owned();
        match name {
            "DLMessageDownloadFiles" => self.send_files(stream, &message[1]),
            "DLContentsOfDirectory" => {
                let list = self.list(&text(1));
                answer(stream, 0, "", Value::Dictionary(list))
            }
            "DLMessageGetFreeDiskSpace" => answer(stream, 0, "", self.free.into()),
            "DLMessagePurgeDiskSpace" => {
                self.purges.push(message[1].as_unsigned_integer().unwrap());
                assert_eq!(message[2].as_unsigned_integer(), Some(4));
                answer(stream, -1, "cannot purge", 0u64.into())
            }
            "DLMessageCreateDirectory" if self.short_answers => say(
                stream,
                vec!["DLMessageStatusResponse".into(), 0u64.into(), "".into()],
            ),
            "DLMessageCreateDirectory" => {
                self.folders.insert(text(1));
                answer(stream, 0, "", nothing)
            }
            "DLMessageUploadFiles" => {
                self.take_files(stream)?;
                answer(stream, self.upload_status, "status", nothing)
            }
            "DLMessageMoveItems" => {
                for (from, to) in message[1].as_dictionary().unwrap() {
                    let Some(bytes) = self.files.remove(from) else {
                        return answer(stream, -6, "No such file or directory", nothing);
                    };
                    self.files.insert(to.as_string().unwrap().to_owned(), bytes);
                }
                answer(stream, 0, "", nothing)
            }
            "DLMessageRemoveItems" => {
                for path in message[1].as_array().unwrap() {
                    let path = path.as_string().unwrap();
                    let below = format!("{path}/");
                    let gone = |p: &String| p == path || p.starts_with(&below);
                    self.files.retain(|p, _| !gone(p));
                    self.folders.retain(|p| !gone(p));
                }
                answer(stream, 0, "", nothing)
            }
            _ => answer(stream, -1, "Operation not supported", nothing),
        }
    }

    fn send_files(&self, stream: &mut Stream, paths: &Value) -> io::Result<()> {
        let mut errors = Dictionary::new();
        for path in paths.as_array().unwrap() {
            let path = path.as_string().unwrap();
            stream.write_all(&(path.len() as u32).to_be_bytes())?;
            stream.write_all(path.as_bytes())?;
            let frame = |stream: &mut Stream, code: u8, data: &[u8]| {
                stream.write_all(&(data.len() as u32 + 1).to_be_bytes())?;
                stream.write_all(&[code])?;
                stream.write_all(data)
            };
            match self.files.get(path) {
                Some(bytes) => {
                    for part in bytes.chunks(32_768) {
                        frame(stream, 12, part)?;
                    }
                    frame(stream, 0, b"")?;
                }
                None => {
                    frame(stream, 6, b"No such file or directory")?;
                    let error = dict([
                        ("DLFileErrorCode", (-6i64).into()),
                        ("DLFileErrorString", "No such file or directory".into()),
                    ]);
                    errors.insert(path.to_owned(), Value::Dictionary(error));
                }
            }
        }
        stream.write_all(&[0; 4])?;
        let code = if errors.is_empty() { 0 } else { -13 };
        answer(stream, code, "Multi status", Value::Dictionary(errors))
    }

    fn take_files(&mut self, stream: &mut Stream) -> io::Result<()> {
        let mut now: Vec<u8> = Vec::new();
        let (files, received) = (&mut self.files, &mut self.received);
        let leave_after = self.leave_after;
        let mut left = false;
        receive_files(stream, &mut Vec::new(), |path, data, code| match data {
            Some(data) => now.extend(data),
            None => {
                let bytes = std::mem::take(&mut now);
                let payload = path.rsplit('/').next().unwrap().len() == 40;
                left |= payload && received.len() >= leave_after;
                if code == 0 && !left {
                    files.insert(path.to_owned(), bytes);
                    if payload {
                        received.push(path.to_owned());
                    }
                }
            }
        })?;
        if left {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> Dictionary {
        let below = format!("{folder}/");
        let child = |path: &str| {
            let rest = path.strip_prefix(&below)?;
            let (name, deeper) = rest
                .split_once('/')
                .map_or((rest, false), |(n, _)| (n, true));
            Some((name.to_owned(), deeper))
        };
        let folders = self.folders.iter().filter_map(|p| child(p));
        let folders = folders.map(|(name, _)| (name, true));
        let files = self.files.keys().filter_map(|p| child(p));
        let kind = |folder| {
            if folder {
                "DLFileTypeDirectory"
            } else {
                "DLFileTypeRegular"
            }
        };
        let entries = files.chain(folders);
        let entries =
            entries.map(|(n, f)| (n, Value::Dictionary(dict([("DLFileType", kind(f).into())]))));
        entries.collect()
    }

    /// Asserts that the host has every file of the phone, byte for byte, and beyond that only the
    /// three files of metadata.
    pub fn assert_holds(&self, phone: &Phone) {
        let root = phone.udid();
        let mut count = 0;
        for file in phone.files() {
            let id = file.file_id();
            let kept = self.files.get(&format!("{root}/{}/{id}", &id[..2]));
            let mut bytes = Vec::new();
            file.bytes().read_to_end(&mut bytes).unwrap();
            assert!(kept == Some(&bytes), "{} {}", file.domain, file.path);
            count += 1;
        }
        assert_eq!(
            self.files.len(),
            count + 3,
            "the files of the phone and of the metadata"
        );
    }
}

/// Waits until the phone has noticed that the computer disconnected, and has recorded the outcome
/// of the backup. Until then the phone is busy.
pub fn noticed(phone: &Phone, backups: usize) {
    let patience = Instant::now() + Duration::from_secs(30);
    while phone.history().len() < backups && Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(phone.history().len(), backups);
}

fn last(phone: &Phone) -> Outcome {
    phone.history().pop().unwrap()
}

#[test]
fn daemon_replies_match_usbmuxd() {
    let (daemon, phone) = plugged(tiny());
    let address = daemon.address();
    let list = mux(address, dict([("MessageType", "ListDevices".into())]));
    let device = list["DeviceList"].as_array().unwrap()[0]
        .as_dictionary()
        .unwrap();
    let properties = device["Properties"].as_dictionary().unwrap();
    assert_eq!(
        properties["SerialNumber"].as_string(),
        Some(phone.udid().as_str())
    );
    let read = dict([
        ("MessageType", "ReadPairRecord".into()),
        ("PairRecordID", phone.udid().as_str().into()),
    ]);
    assert_eq!(
        mux(address, read.clone())["Number"].as_unsigned_integer(),
        Some(2)
    );
    let mut save = read.clone();
    save.insert("MessageType".into(), "SavePairRecord".into());
    save.insert("PairRecordData".into(), Value::Data(vec![1, 2, 3]));
    assert_eq!(mux(address, save)["Number"].as_unsigned_integer(), Some(0));
    assert_eq!(
        mux(address, read.clone())["PairRecordData"].as_data(),
        Some(&[1, 2, 3][..])
    );
    let mut delete = read;
    delete.insert("MessageType".into(), "DeletePairRecord".into());
    assert_eq!(
        mux(address, delete.clone())["Number"].as_unsigned_integer(),
        Some(0)
    );
    assert_eq!(
        mux(address, delete)["Number"].as_unsigned_integer(),
        Some(2)
    );
    let unknown = dict([("MessageType", "Nonsense".into())]);
    assert_eq!(
        mux(address, unknown)["Number"].as_unsigned_integer(),
        Some(1)
    );
    for (device, port, number) in [(999u64, 62_078u16, 2), (1, 1, 3)] {
        let request = dict([
            ("MessageType", "Connect".into()),
            ("DeviceID", device.into()),
            ("PortNumber", i64::from(port.swap_bytes()).into()),
        ]);
        assert_eq!(
            mux(address, request)["Number"].as_unsigned_integer(),
            Some(number)
        );
    }
}

/// Checks that a request in usbmuxd's binary protocol is answered with result 6.
#[test]
fn binary_protocol_is_refused() {
    let (daemon, _) = plugged(tiny());
    let mut stream = open(daemon.address());
    let request: Vec<u8> = [16u32, 0, 3, 9]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    stream.write_all(&request).unwrap();
    let mut reply = [0; 20];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[16], 6);
}

/// Checks that listeners receive Attached and Detached events, and that detaching closes open
/// connections.
#[test]
fn listeners_receive_attach_events() {
    let (daemon, phone) = plugged(tiny());
    let mut stream = open(daemon.address());
    mux_send(&mut stream, dict([("MessageType", "Listen".into())]));
    assert_eq!(mux_receive(&mut stream).0, 7);
    let mut next = || {
        let (tag, event) = mux_receive(&mut stream);
        assert_eq!(tag, 0);
        event["MessageType"].as_string().unwrap().to_owned()
    };
    assert_eq!(next(), "Attached");
    let mut lockdown = connect(daemon.address(), device_ids(daemon.address())[0], 62_078);
    daemon.detach(phone.udid());
    assert_eq!(next(), "Detached");
    assert!(
        lockdown.read(&mut [0]).is_ok_and(|n| n == 0),
        "detaching must close the connection"
    );
    daemon.attach(phone);
    assert_eq!(next(), "Attached");
}

/// Checks that lockdown returns only public values before a session, and the others only in one.
#[test]
fn lockdown_values_require_session() {
    let (daemon, phone) = plugged(tiny());
    let id = device_ids(daemon.address())[0];
    let mut lockdown = connect(daemon.address(), id, 62_078);
    let kind = ask(&mut lockdown, dict([("Request", "QueryType".into())]));
    assert_eq!(kind["Type"].as_string(), Some("com.apple.mobile.lockdown"));
    let udid = get(&mut lockdown, "", "UniqueDeviceID");
    assert_eq!(udid["Value"].as_string(), Some(phone.udid().as_str()));
    for (domain, key) in [
        ("", "PhoneNumber"),
        ("com.apple.mobile.backup", "WillEncrypt"),
    ] {
        let refused = get(&mut lockdown, domain, key);
        assert_eq!(refused["Error"].as_string(), Some("GetProhibited"));
    }
    let unknown = dict([("Request", "StartSession".into()), ("HostID", "?".into())]);
    let refused = ask(&mut lockdown, unknown);
    assert_eq!(refused["Error"].as_string(), Some("InvalidHostID"));

    let computer = paired(&daemon);
    let mut session = computer.session();
    let encrypts = get(&mut session, "com.apple.mobile.backup", "WillEncrypt");
    assert_eq!(encrypts["Value"].as_boolean(), Some(false));
    let missing = get(&mut session, "", "MarketingVersion2");
    assert_eq!(missing["Error"].as_string(), Some("MissingValue"));
}

#[test]
fn pairing_waits_for_user() {
    let (daemon, phone) = plugged(PhoneConfig {
        trust: Trust::Never,
        ..tiny()
    });
    let id = device_ids(daemon.address())[0];
    let (request, _) = pair_request(daemon.address(), id);
    let mut lockdown = connect(daemon.address(), id, 62_078);
    for _ in 0..2 {
        let pending = ask(&mut lockdown, request.clone());
        assert_eq!(
            pending["Error"].as_string(),
            Some("PairingDialogResponsePending")
        );
    }
    phone.tap_trust();
    assert!(ask(&mut lockdown, request)["EscrowBag"].as_data().is_some());

    let (daemon, _) = plugged(PhoneConfig {
        trust: Trust::Deny,
        ..tiny()
    });
    let id = device_ids(daemon.address())[0];
    let (request, _) = pair_request(daemon.address(), id);
    let mut lockdown = connect(daemon.address(), id, 62_078);
    let mut errors = (0..2).map(|_| ask(&mut lockdown, request.clone())["Error"].clone());
    assert_eq!(errors.next(), Some("PairingDialogResponsePending".into()));
    assert_eq!(errors.next(), Some("UserDeniedPairing".into()));
}

#[test]
fn unpaired_host_gets_no_tls() {
    let (daemon, _) = plugged(tiny());
    let known = paired(&daemon);
    let id = device_ids(daemon.address())[0];
    let (_, stranger) = pair_request(daemon.address(), id);
    let port = {
        let request = dict([
            ("Request", "StartService".into()),
            ("Service", "com.apple.afc".into()),
        ]);
        ask(&mut known.session(), request)["Port"]
            .as_unsigned_integer()
            .unwrap()
    };
    let mut stream = stranger.secure(connect(daemon.address(), id, port as u16));
    let request = Value::Dictionary(dict([("Request", "QueryType".into())]));
    let asked = plist_stream::write(&mut stream, &request, Encoding::Xml);
    assert!(asked.is_err() || plist_stream::read(&mut stream, 1000).is_err());
}

/// Checks that a full backup contains every byte and that the next one sends only the changes.
#[test]
fn incremental_backup_sends_only_changes() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let mut host = Host::new();
    assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
    host.assert_holds(&phone);
    let first: BTreeSet<String> = host.files.keys().cloned().collect();
    assert!(last(&phone).full);
    assert_eq!(host.received.len(), phone.files().count());

    assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
    host.assert_holds(&phone);
    let outcome = last(&phone);
    assert!(!outcome.full);
    assert!(
        (30..=40).contains(&host.received.len()),
        "{}",
        host.received.len()
    );
    assert_eq!(outcome.files as usize, host.received.len());
    let gone = first
        .iter()
        .filter(|p| !host.files.contains_key(*p))
        .count();
    assert_eq!((gone, outcome.removed), (5, 5));

    assert_eq!(host.run(&computer, &phone, true).unwrap().0, 0);
    assert!(last(&phone).full);
    host.assert_holds(&phone);
}

#[test]
fn manifest_lists_every_file() {
    let (daemon, phone) = plugged(tiny());
    let mut host = Host::new();
    host.back_up(&paired(&daemon), &phone).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Manifest.db");
    std::fs::write(&path, &host.files[&format!("{}/Manifest.db", phone.udid())]).unwrap();
    let db = rusqlite::Connection::open(path).unwrap();
    for file in phone.files() {
        let query = "SELECT domain, relativePath, flags, file FROM Files WHERE fileID = ?1";
        let row = db.query_row(query, [file.file_id()], |row| {
            let found: (String, String, i64, Vec<u8>) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(found)
        });
        let (domain, path, flags, record) = row.unwrap();
        assert_eq!(
            (domain, path, flags),
            (file.domain.clone(), file.path.clone(), 1)
        );
        let record = idev_backup::backup_format::record::FileRecord::decode(&record).unwrap();
        assert_eq!(record.size, file.size());
    }
    let count = |flags: i64| -> i64 {
        let query = "SELECT count(*) FROM Files WHERE flags = ?1";
        db.query_row(query, [flags], |row| row.get(0)).unwrap()
    };
    assert_eq!((count(1), count(4)), (phone.files().count() as i64, 1));
    assert!(count(2) > 10);
}

#[test]
fn interrupted_backup_is_resumed() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let mut host = Host::new();
    host.leave_after = 130;
    assert!(host.back_up(&computer, &phone).is_err());
    let kept = host.received.len();
    assert_eq!(kept, 130);
    noticed(&phone, 1);
    host.leave_after = usize::MAX;
    assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
    assert_eq!(host.received.len(), phone.files().count() - kept);
    let outcome = last(&phone);
    assert!(outcome.resumed && outcome.full);
    host.assert_holds(&phone);
}

/// Interrupts a backup at messages of every kind. Checks that the next backup succeeds and is
/// complete.
#[test]
fn next_backup_completes_interrupted_one() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let mut host = Host::new();
    host.back_up(&computer, &phone).unwrap();
    let mut cuts = 0;
    for kind in [
        "DLMessageDownloadFiles",
        "DLContentsOfDirectory",
        "DLMessageGetFreeDiskSpace",
        "DLMessageCreateDirectory",
        "DLMessageUploadFiles",
        "DLMessageMoveItems",
        "DLMessageRemoveItems",
    ] {
        for nth in [1, 2, 3, 4, 5, 300] {
            host.leave_at = Some((kind, nth));
            let backups = phone.history().len() + 1;
            if host.back_up(&computer, &phone).is_err() {
                cuts += 1;
                noticed(&phone, backups);
            }
            host.leave_at = None;
            let ended = host.back_up(&computer, &phone).unwrap();
            assert_eq!(ended, (0, String::new()), "{kind} {nth}");
            host.assert_holds(&phone);
        }
    }
    assert!(cuts > 20, "{cuts}");
}

/// Checks that a host with too little free space gets a request to purge the missing bytes plus 2
/// GiB, and then code 105.
#[test]
fn full_disk_reports_required_bytes() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let size: u64 = phone.files().map(|f| f.size()).sum();
    let need = size + (128 << 20);
    let mut host = Host::new();
    for free in [0, 1_000_000, need] {
        host.free = free;
        let (code, text) = host.back_up(&computer, &phone).unwrap();
        assert_eq!(code, 105);
        assert!(text.ends_with("(MBErrorDomain/105)"), "{text}");
        assert_eq!(host.purges.pop(), Some(need - free + (2 << 30)));
    }
    host.free = need + 1;
    assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
}

/// Checks that the phone makes a full backup if the host lacks a file of the previous one.
#[test]
fn missing_host_files_force_full_backup() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let mut host = Host::new();
    host.back_up(&computer, &phone).unwrap();
    let names: Vec<String> = host.files.keys().cloned().collect();
    let payload = names.iter().find(|n| n.len() > 60).unwrap();
    for name in [payload.clone(), format!("{}/Manifest.db", phone.udid())] {
        host.files.remove(&name);
        assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
        assert!(last(&phone).full, "{name}");
        host.assert_holds(&phone);
    }
}

/// Checks that the phone continues an older backup incrementally if the host has returned to it.
#[test]
fn older_backup_continues_incrementally() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let mut host = Host::new();
    host.back_up(&computer, &phone).unwrap();
    let older = host.files.clone();
    host.back_up(&computer, &phone).unwrap();
    host.files = older;
    assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
    assert!(!last(&phone).full);
    host.assert_holds(&phone);
}

#[test]
fn bad_replies_fail_the_backup() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let mut host = Host::new();
    host.short_answers = true;
    let (code, text) = host.back_up(&computer, &phone).unwrap();
    assert!(
        code == 1 && text.starts_with("Too few components"),
        "{text}"
    );
    host.short_answers = false;
    for (status, code) in [(-15, 105), (-13, 104), (-11, 100), (-6, 4)] {
        host.upload_status = status;
        assert_eq!(host.back_up(&computer, &phone).unwrap().0, code);
    }
}

/// Observes the notifications with these names. Returns once the phone has registered them.
fn observe(computer: &Computer, names: &[String]) -> Stream {
    let mut notes = computer.service("com.apple.mobile.notification_proxy");
    let mut tell = |command: &str, name: &str| {
        let note = dict([("Command", command.into()), ("Name", name.into())]);
        plist_stream::write(&mut notes, &Value::Dictionary(note), Encoding::Xml).unwrap();
    };
    for name in names {
        tell("ObserveNotification", name);
    }
    // The phone relays our own notification only after it has registered the others.
    tell("ObserveNotification", "mine");
    tell("PostNotification", "mine");
    let note = plist_stream::read(&mut notes, 10_000).unwrap();
    assert_eq!(
        note.as_dictionary().unwrap()["Name"].as_string(),
        Some("mine")
    );
    notes
}

/// Checks that a backup fails with code 208 if the passcode is not entered in time, and that the
/// passcode sheet is announced.
#[test]
fn backup_requires_passcode_entry() {
    let config = PhoneConfig {
        passcode: Passcode::Never,
        passcode_limit: Duration::from_millis(50),
        ..tiny()
    };
    let (daemon, phone) = plugged(config);
    let computer = paired(&daemon);
    let sheet = "com.apple.LocalAuthentication.ui";
    let names = [format!("{sheet}.presented"), format!("{sheet}.dismissed")];
    let mut notes = observe(&computer, &names);
    let mut next = || {
        let note = plist_stream::read(&mut notes, 10_000).unwrap();
        let note = note.as_dictionary().unwrap().clone();
        note["Name"].as_string().unwrap().to_owned()
    };
    assert_eq!(Host::new().back_up(&computer, &phone).unwrap().0, 208);
    assert!(next().ends_with("presented"));
    assert!(next().ends_with("dismissed"));
    phone.enter_passcode();
    assert_eq!(Host::new().back_up(&computer, &phone).unwrap().0, 0);
}

#[test]
fn disconnect_dismisses_passcode_sheet() {
    let (daemon, phone) = plugged(PhoneConfig {
        passcode: Passcode::Never,
        ..tiny()
    });
    let computer = paired(&daemon);
    let name = "com.apple.LocalAuthentication.ui.dismissed".to_owned();
    let mut notes = observe(&computer, &[name]);
    drop(begin_backup(&computer, phone.udid().as_str(), false).unwrap());
    plist_stream::read(&mut notes, 10_000).unwrap();
}

#[test]
fn refused_service_recovers_after_fault() {
    let service = "com.apple.mobilebackup2";
    let faults = vec![Fault::Refuse(service.into()), Fault::Times(1)];
    let (daemon, _) = plugged(PhoneConfig { faults, ..tiny() });
    let computer = paired(&daemon);
    let request = dict([
        ("Request", "StartService".into()),
        ("Service", service.into()),
    ]);
    assert!(ask(&mut computer.session(), request.clone()).contains_key("Error"));
    assert!(!ask(&mut computer.session(), request).contains_key("Error"));
}

#[test]
fn locked_phone_requires_escrow_bag() {
    let (daemon, phone) = plugged(tiny());
    let computer = paired(&daemon);
    let ask_for = |bag: Option<&[u8]>| {
        let mut request = dict([
            ("Request", "StartService".into()),
            ("Service", "com.apple.mobilebackup2".into()),
        ]);
        if let Some(bag) = bag {
            request.insert("EscrowBag".into(), Value::Data(bag.to_vec()));
        }
        let reply = ask(&mut computer.session(), request);
        let error = reply.get("Error").and_then(Value::as_string);
        error.unwrap_or_default().to_owned()
    };
    assert_eq!(ask_for(None), "");
    phone.lock_screen(true);
    assert_eq!(ask_for(None), "PasswordProtected");
    assert_eq!(ask_for(Some(b"stale")), "EscrowLocked");
    assert_eq!(ask_for(Some(&computer.escrow_bag)), "");
}

#[test]
fn sync_lock_is_exclusive() {
    let (daemon, _) = plugged(tiny());
    let computer = paired(&daemon);
    // Sends an AFC packet with this operation and body. Returns the first number of the reply.
    let afc = |stream: &mut Stream, operation: u64, body: &[u8]| {
        let length = 40 + body.len() as u64;
        let mut packet = b"CFA6LPAA".to_vec();
        for word in [length, length, 1, operation] {
            packet.extend(word.to_le_bytes());
        }
        packet.extend(body);
        stream.write_all(&packet).unwrap();
        stream.flush().unwrap();
        let mut answer = [0; 48];
        stream.read_exact(&mut answer).unwrap();
        u64::from_le_bytes(answer[40..].try_into().unwrap())
    };
    let mut open_file = b"\x02\0\0\0\0\0\0\0".to_vec();
    open_file.extend(b"/com.apple.itunes.lock_sync\0");
    let exclusive = |handle: u64| [handle.to_le_bytes(), 6u64.to_le_bytes()].concat();
    let mut one = computer.service("com.apple.afc");
    let mut other = computer.service("com.apple.afc");
    let (mine, theirs) = (
        afc(&mut one, 13, &open_file),
        afc(&mut other, 13, &open_file),
    );
    assert_eq!(afc(&mut one, 27, &exclusive(mine)), 0);
    assert_eq!(
        afc(&mut other, 27, &exclusive(theirs)),
        19,
        "the second holder must get 'would block'"
    );
    assert_eq!(afc(&mut one, 20, &mine.to_le_bytes()), 0);
    assert_eq!(afc(&mut other, 27, &exclusive(theirs)), 0);
}

#[test]
fn daemon_serves_two_phones() {
    let other = PhoneConfig {
        udid: "00008130-001A2B3C4D5E6F71".parse().unwrap(),
        content: Content {
            seed: 2,
            ..tiny().content
        },
        ..tiny()
    };
    let phones = [Phone::new(tiny()), Phone::new(other)];
    let daemon = Daemon::start("127.0.0.1:0", phones.to_vec()).unwrap();
    let ids = device_ids(daemon.address());
    std::thread::scope(|scope| {
        for (phone, id) in phones.iter().zip(&ids) {
            let address = daemon.address();
            scope.spawn(move || {
                let computer = Computer::pair(address, *id);
                let mut host = Host::new();
                assert_eq!(host.back_up(&computer, phone).unwrap().0, 0);
                host.assert_holds(phone);
            });
        }
    });
}

/// Makes a backup with this fault. The first result is its code, or `None` if the connection broke.
fn with_fault(spec: &str) -> (Option<u64>, Host, Arc<Phone>) {
    let faults = vec![spec.parse::<Fault>().unwrap()];
    let (daemon, phone) = plugged(PhoneConfig { faults, ..tiny() });
    let computer = paired(&daemon);
    let mut host = Host::new();
    let ended = host.back_up(&computer, &phone);
    (ended.ok().map(|(code, _)| code), host, phone)
}

#[test]
fn faults_have_expected_results() {
    for (spec, code) in [
        ("error:212", Some(212)),
        ("error:3", Some(3)),
        ("cut-after:50000", None),
        ("cut-at:20", None),
        ("device-error:10", Some(104)),
        ("file-provider", Some(0)),
        ("missing-file", Some(0)),
        ("bad-manifest", Some(0)),
        ("claim-size:999999999999999", Some(105)),
        ("unknown-message:DLMessageNew", Some(0)),
        ("deep-plist:100000", None),
        ("laughs", None),
        ("message-length:4294967295", None),
        ("length:4294967295", None),
        ("frame-length:4294967295", None),
    ] {
        assert_eq!(with_fault(spec).0, code, "{spec}");
    }
    let (_, host, _) = with_fault("name:../../etc/passwd");
    assert!(host.files.contains_key("../../etc/passwd"));
    let (_, host, phone) = with_fault("missing-file");
    assert_eq!(host.files.len(), phone.files().count() + 3 - 1);
}

#[test]
fn faults_expire_after_count() {
    let faults = vec![Fault::CutAfter(500_000), Fault::Times(2)];
    let (daemon, phone) = plugged(PhoneConfig { faults, ..tiny() });
    let computer = paired(&daemon);
    let mut host = Host::new();
    for backups in 1..=2 {
        assert!(host.back_up(&computer, &phone).is_err());
        noticed(&phone, backups);
    }
    assert_eq!(host.back_up(&computer, &phone).unwrap().0, 0);
    host.assert_holds(&phone);
}

#[test]
fn unsupported_requests_are_refused() {
    let (daemon, _) = plugged(tiny());
    let computer = paired(&daemon);
    let mut stream = begin_backup_less(&computer);
    for name in ["Info", "EraseDevice", "Extract"] {
        support::process(&mut stream, dict([("MessageName", name.into())])).unwrap();
        let reply = hear(&mut stream).unwrap();
        let reply = reply[1].as_dictionary().unwrap();
        assert_eq!(reply["ErrorCode"].as_unsigned_integer(), Some(1));
    }
    let refused = ask(
        &mut computer.session(),
        dict([
            ("Request", "StartService".into()),
            ("Service", "nonsense".into()),
        ]),
    );
    assert_eq!(refused["Error"].as_string(), Some("InvalidService"));
}

/// Completes the greeting without requesting a backup.
fn begin_backup_less(computer: &Computer) -> Stream {
    let mut stream = computer.service("com.apple.mobilebackup2");
    hear(&mut stream).unwrap();
    say(
        &mut stream,
        vec![
            "DLMessageVersionExchange".into(),
            "DLVersionsOk".into(),
            400u64.into(),
        ],
    )
    .unwrap();
    hear(&mut stream).unwrap();
    let versions = Value::Array(vec![2.1.into()]);
    support::process(
        &mut stream,
        dict([
            ("MessageName", "Hello".into()),
            ("SupportedProtocolVersions", versions),
        ]),
    )
    .unwrap();
    hear(&mut stream).unwrap();
    stream
}
