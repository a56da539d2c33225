//! Backups over Wi-Fi: a phone at an address of the network, without a daemon.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use idev_backup::FailureKind;
use idev_backup::automation::policy::Outcome;
use idev_backup::automation::watch::{Happening, Watcher, watch};
use idev_backup::backup::create::create;
use idev_backup::backup::{Error, Report};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::{Monitor, Phase, Silent};
use idev_backup::base::udid::Udid;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::device::{self, listing, wifi};
use idev_backup::simulator::{Passcode, PhoneConfig, Wifi, WifiConfig, WifiFault};
use idev_backup::transport::network::{Network, Options};
use idev_backup::transport::usbmuxd::Address;
use idev_backup::transport::{Attached, Transport, Usbmuxd, Via};

use crate::rig::{At, OTHER_UDID, Rig, UDID, config, options};

/// A phone that was paired by cable, was switched on for Wi-Fi and is on the network.
pub struct Wireless {
    pub rig: Rig,
    pub wifi: Wifi,
}

impl Wireless {
    pub fn new() -> Wireless {
        Wireless::with(config())
    }

    pub fn with(config: PhoneConfig) -> Wireless {
        let rig = Rig::with(config);
        let lively = WifiConfig {
            heartbeat: Duration::from_secs(1),
            patience: Duration::from_millis(500),
            ..WifiConfig::default()
        };
        let joined = Wifi::join(&rig.phone, lively).unwrap();
        let connector = rig.connector();
        let phone = rig.attached();
        device::trust::pair(&connector, &phone, Duration::from_secs(10), &Silent).unwrap();
        assert!(!joined.listens());
        wifi::set(&connector, &phone, true).unwrap();
        assert!(joined.listens());
        Wireless { rig, wifi: joined }
    }

    fn pairing(&self) -> PathBuf {
        self.rig.dir.path().join("pairing")
    }

    fn address(&self) -> SocketAddr {
        self.wifi.addresses()[0]
    }

    fn connector(&self) -> Connector {
        connector_at(&self.pairing(), self.address())
    }

    /// Connects by cable too, as the program does without options.
    pub fn connector_both(&self) -> Connector {
        let network = self.connector().daemon.network().unwrap().clone();
        let token = CancelToken::new(Arc::default());
        let usbmuxd = Usbmuxd::new(Address::parse(self.rig.daemon.address()), token.clone());
        let both = Transport::Also(Box::new(usbmuxd.into()), network);
        Connector::new(both, self.pairing(), Pin::PairRecord, token)
    }

    fn try_create(&self, monitor: &dyn Monitor) -> Result<Report, Error> {
        let connector = self.connector();
        let phone = connector.phone(None)?;
        assert_eq!(phone.via, Via::Network);
        create(&connector, &phone, &self.rig.store, &options(), monitor)
    }

    /// Makes a backup, which must continue an interrupted one.
    fn create_again(&self) {
        let report = loop {
            match self.try_create(&Silent) {
                // The phone has not noticed yet that the run is over.
                Err(Error::Refused(no)) if no.code == 14 => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        assert!(report.draft.contains("continuing"), "{}", report.draft);
        crate::rig::assert_whole(&self.rig.current());
        self.rig.assert_holds_the_phone(&self.rig.current());
    }

    /// Runs the program without a daemon's address, or with that of the rig's.
    fn run(&self, args: &[&str], by_cable: bool) -> Output {
        let home = self.rig.dir.path().join("home");
        let mut command = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
        command
            .args(args)
            .envs(["HOME", "LOCALAPPDATA", "APPDATA"].map(|name| (name, &home)))
            .env_remove("USBMUXD_SOCKET_ADDRESS");
        if by_cable {
            command.env("USBMUXD_SOCKET_ADDRESS", self.rig.daemon.address());
        }
        command.output().unwrap()
    }
}

fn connector_at(pairing: &Path, address: SocketAddr) -> Connector {
    let token = CancelToken::new(Arc::default());
    let network = Network::new(
        Options {
            addresses: vec![address.to_string().parse().unwrap()],
            ..Options::default()
        },
        token.clone(),
    );
    Connector::new(network, pairing.to_owned(), Pin::PairRecord, token)
}

#[test]
fn backup_over_wifi_is_whole() {
    let wireless = Wireless::new();
    let report = wireless.try_create(&Silent).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    crate::rig::assert_whole(&wireless.rig.current());
    wireless.rig.assert_holds_the_phone(&wireless.rig.current());
    // The next one is incremental.
    let next = wireless.try_create(&Silent).unwrap();
    assert!(next.received_files < report.received_files);
    wireless.rig.assert_holds_the_phone(&wireless.rig.current());
}

/// Checks that a drop ends the run as a lost connection, leaves the draft, and that the next run
/// continues with it.
#[test]
fn dropped_backup_is_continued() {
    let wireless = Wireless::new();
    wireless.wifi.fail_after(200_000, WifiFault::Drop);
    let error = wireless.try_create(&Silent).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert!(wireless.rig.draft().exists());
    wireless.create_again();
}

/// Checks that a phone that moves to another address during a backup is noticed although its old
/// connections stay open, and that the next run finds it at the new address.
#[test]
fn roaming_backup_continues_at_new_address() {
    let wireless = Wireless::new();
    let roam = WifiFault::Roam(vec!["127.0.0.1:0".to_owned()]);
    let before = wireless.address();
    wireless.wifi.fail_after(200_000, roam);
    let error = wireless.try_create(&Silent).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert_ne!(wireless.address(), before);
    wireless.create_again();
}

/// Checks that a phone that announces its sleep is named as the reason.
#[test]
fn sleeping_phone_is_named_as_reason() {
    let wireless = Wireless::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let sleep = At(Phase::Scanning, || {
        wireless.wifi.fail(&WifiFault::Sleep).unwrap();
    });
    let error = wireless.try_create(&sleep).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
}

#[test]
fn cable_wins_over_wifi() {
    let wireless = Wireless::new();
    let connector = wireless.connector_both();
    let phones = connector.phones().unwrap();
    assert_eq!((phones.len(), phones[0].via), (1, Via::Usb));
    assert_eq!(connector.phone(None).unwrap().via, Via::Usb);
    wireless.rig.daemon.detach(wireless.rig.udid());
    let phones = connector.phones().unwrap();
    assert_eq!((phones.len(), phones[0].via), (1, Via::Network));
    assert_eq!(connector.phone(None).unwrap().via, Via::Network);
}

/// Checks that the power assertion is held during a backup over Wi-Fi, and only then.
#[test]
fn phone_is_kept_awake_during_backup() {
    let wireless = Wireless::new();
    let held = std::sync::Mutex::new(Vec::new());
    let phone = wireless.rig.phone.clone();
    let look = At(Phase::Scanning, || {
        held.lock().unwrap().extend(phone.assertions());
    });
    wireless.try_create(&look).unwrap();
    let held = held.into_inner().unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(format!("{held:?}").contains("AMDPowerAssertionTypeWirelessSync"));
    let began = Instant::now();
    while !phone.assertions().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
}

#[test]
fn listing_shows_wifi() {
    let wireless = Wireless::new();
    let found = listing::devices(&wireless.connector(), |_| None).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].via.as_str(), found[0].paired), ("Wi-Fi", true));
    assert_eq!(found[0].udid, UDID);
}

/// Checks that a phone that accepts a record stored under another name is refused: its backup would
/// be mixed with the other phone's.
#[test]
fn phone_of_another_udid_is_refused() {
    let wireless = Wireless::new();
    let pairing = wireless.pairing();
    let record = pairing.join(format!("{UDID}.plist"));
    std::fs::rename(record, pairing.join(format!("{OTHER_UDID}.plist"))).unwrap();
    let error = wireless.connector().phone(None).unwrap_err();
    assert!(matches!(error, device::Error::OtherPhone { .. }), "{error}");
}

/// Checks that a program that answers in the phone's place learns nothing but the identifiers of
/// the pairing, and that it is not taken for the phone.
#[test]
fn impostor_gets_no_questions() {
    let wireless = Wireless::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let (mut socket, _) = listener.accept().unwrap();
        for answer in [
            "<plist><dict><key>Request</key><string>QueryType</string><key>Type</key>\
             <string>com.apple.mobile.lockdown</string></dict></plist>",
            "<plist><dict><key>Request</key><string>StartSession</string><key>SessionID</key>\
             <string>x</string><key>EnableSessionSSL</key><false/></dict></plist>",
        ] {
            let mut length = [0; 4];
            socket.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            socket.read_exact(&mut request).unwrap();
            heard.push(plist::from_bytes::<plist::Dictionary>(&request).unwrap());
            let length = (answer.len() as u32).to_be_bytes();
            socket
                .write_all(&[&length, answer.as_bytes()].concat())
                .unwrap();
        }
        let mut rest = Vec::new();
        // A reset is as good as an end.
        drop(socket.read_to_end(&mut rest));
        (heard, rest)
    });
    let error = connector_at(&wireless.pairing(), address).phone(None);
    assert!(
        matches!(error, Err(device::Error::NoEncryption)),
        "{error:?}"
    );
    let (heard, rest) = heard.join().unwrap();
    assert_eq!(rest, b"");
    let keys = |n: usize| {
        let mut keys: Vec<&String> = heard[n].keys().collect();
        keys.sort();
        keys.iter()
            .map(|key| key.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(keys(0), "Label ProtocolVersion Request");
    assert_eq!(keys(1), "HostID Label ProtocolVersion Request SystemBUID");
}

/// Checks that the phone of another owner, which does not know the HostID, is not ours.
#[test]
fn foreign_phone_is_not_ours() {
    let wireless = Wireless::new();
    let other = Wireless::with(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        ..config()
    });
    let error = connector_at(&wireless.pairing(), other.address()).phone(None);
    let code = |e: &device::Error| match e {
        device::Error::Lockdown { code, .. } => code.clone(),
        other => other.to_string(),
    };
    assert_eq!(
        error.as_ref().map_err(code).err().as_deref(),
        Some("InvalidHostID")
    );
}

/// Checks that a phone out of reach, whose connections stay open in silence, is noticed by its
/// heartbeat and not only after minutes.
#[test]
fn silent_phone_is_noticed_by_heartbeat() {
    let wireless = Wireless::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let began = Instant::now();
    let silence = At(Phase::Scanning, || {
        wireless.wifi.fail(&WifiFault::Silence).unwrap();
    });
    let error = wireless.try_create(&silence).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert!(error.to_string().contains("heartbeat"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// A watcher for one phone that is always due, which reports what it hears.
pub struct Heard {
    pub texts: std::sync::Mutex<Sender<String>>,
}

impl Heard {
    fn say(&self, text: String) {
        // The test may have ended.
        drop(self.texts.lock().unwrap().send(text));
    }
}

impl Watcher for Heard {
    fn wants(&self, _: &Udid) -> bool {
        true
    }

    fn not_due(&self, _: &Udid) -> Option<String> {
        None
    }

    fn back_up(&self, phone: &Attached) -> Result<Outcome, Error> {
        Ok(Outcome::Skipped(format!("backup over {}", phone.via)))
    }

    fn hear(&self, happening: Happening<'_>) {
        match happening {
            Happening::Attached(_, via) => self.say(format!("attached over {via}")),
            Happening::Detached(_, via) => self.say(format!("detached over {via}")),
            // What happens next in a test then finds no backup running.
            Happening::Ended(_, Ok(Outcome::Skipped(text))) => self.say(text.clone()),
            _ => {}
        }
    }

    fn tick(&self) {}
}

/// Runs a part of a test while a watch runs, which ends with it, also if the test fails.
pub fn while_watching(connector: &Connector, watcher: &Heard, test: impl FnOnce()) {
    struct Cancels<'a>(&'a CancelToken);

    impl Drop for Cancels<'_> {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }

    std::thread::scope(|scope| {
        scope.spawn(|| watch(connector, Duration::from_secs(3600), watcher));
        let _cancels = Cancels(&connector.token);
        test();
    });
}

/// Checks that a watch backs up a phone that appears over Wi-Fi, and not while it has a cable.
#[test]
fn watch_backs_up_over_wifi() {
    let wireless = Wireless::new();
    let connector = wireless.connector_both();
    let (texts, heard) = channel();
    let watcher = Heard {
        texts: std::sync::Mutex::new(texts),
    };
    let next = |wanted: &[&str]| {
        let mut texts = Vec::new();
        while !wanted
            .iter()
            .all(|wanted| texts.iter().any(|text| text == wanted))
        {
            let text = heard.recv_timeout(Duration::from_secs(60));
            texts.push(text.unwrap_or_else(|_| panic!("{wanted:?} are not among {texts:?}")));
        }
        texts
    };
    while_watching(&connector, &watcher, || {
        let all = [
            "attached over USB",
            "attached over Wi-Fi",
            "backup over USB",
        ];
        let texts = next(&all);
        assert!(
            !texts.contains(&"backup over Wi-Fi".to_owned()),
            "{texts:?}"
        );
    });
    // Without a cable.
    wireless.rig.daemon.detach(wireless.rig.udid());
    let connector = wireless.connector_both();
    while_watching(&connector, &watcher, || {
        next(&["attached over Wi-Fi", "backup over Wi-Fi"]);
        wireless
            .wifi
            .fail(&WifiFault::Roam(vec!["127.0.0.1:0".to_owned()]))
            .unwrap();
    });
}

/// Checks that a record without the Wi-Fi address is offered nevertheless, and that one without the
/// HostID is named.
#[test]
fn incomplete_pair_records_are_used_or_named() {
    let wireless = Wireless::new();
    let file = wireless.pairing().join(format!("{UDID}.plist"));
    let drop_key = |key: &str| {
        let mut record: plist::Dictionary = plist::from_file(&file).unwrap();
        assert!(record.remove(key).is_some(), "{key}");
        plist::to_file_xml(&file, &record).unwrap();
    };
    drop_key("WiFiMACAddress");
    assert_eq!(wireless.connector().phone(None).unwrap().via, Via::Network);
    drop_key("HostID");
    let e = wireless.connector().phone(None).unwrap_err();
    assert!(matches!(&e, device::Error::BadRecord { .. }), "{e}");
    assert!(e.to_string().contains("HostID"), "{e}");
}

/// Checks the whole way with the program: pair and switch on by cable, and back up over Wi-Fi.
#[test]
fn program_backs_up_over_wifi() {
    let wireless = Wireless::new();
    let ran = |args: &[&str], by_cable: bool, code: i32| {
        let output = wireless.run(args, by_cable);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        text
    };
    let address = wireless.address().to_string();
    let over_wifi = ["--transport", "network", "--address", &address];
    let store = wireless.rig.dir.path().join("over-wifi");
    let store = ["--new-store", "--store", store.to_str().unwrap()];
    // Without the pair record, nothing is found.
    ran(&[&["devices"], &over_wifi[..]].concat(), false, 4);
    let said = ran(
        &[&["create"], &store[..], &over_wifi[..]].concat(),
        false,
        4,
    );
    assert!(
        said.contains("keeps no pair record") && said.contains("`idev-backup wifi on"),
        "{said}"
    );
    let said = ran(&["wifi", "off"], true, 0);
    assert!(
        said.contains("by cable only") && !wireless.wifi.listens(),
        "{said}"
    );
    let said = ran(&["wifi", "status"], true, 0);
    assert!(said.contains("does not accept connections"), "{said}");
    let said = ran(&["pair", "--with-wifi"], true, 0);
    assert!(
        said.contains("over Wi-Fi from now on") && wireless.wifi.listens(),
        "{said}"
    );
    let said = ran(&[&["devices"], &over_wifi[..]].concat(), false, 0);
    assert!(said.contains("Wi-Fi") && said.contains(UDID), "{said}");
    let trace = wireless.rig.dir.path().join("wifi.jsonl");
    let traced = ["--trace", trace.to_str().unwrap()];
    ran(
        &[&["create"], &store[..], &over_wifi[..], &traced[..]].concat(),
        false,
        0,
    );
    // The trace has the services that only Wi-Fi needs, and their words in plain.
    let trace = std::fs::read_to_string(trace).unwrap();
    for words in [
        "\"Command\":\"Marco\",\"Interval\":",
        "\"CommandKey\":\"CommandCreateAssertion\"",
        "\"AssertionNameKey\":\"idev-backup\"",
        "\"Label\":\"idev-backup\"",
    ] {
        assert!(trace.contains(words), "{words}");
    }
    for secret in [UDID, &config().name, &address] {
        assert!(!trace.contains(secret), "{secret}");
    }
    let said = ran(&[&["wifi", "status"], &over_wifi[..]].concat(), false, 0);
    assert!(said.contains("Seen over Wi-Fi at 127.0.0.1"), "{said}");
    assert!(said.contains("Last contact: today"), "{said}");
    // What needs a cable says so.
    let said = ran(&[&["wifi", "off"], &over_wifi[..]].concat(), false, 4);
    assert!(
        said.contains("needs a cable") && wireless.wifi.listens(),
        "{said}"
    );
    let restore = ["restore", "latest", "--yes", "--store", store[2]];
    let said = ran(&[&restore[..], &over_wifi[..]].concat(), false, 1);
    assert!(
        said.contains("connected over Wi-Fi") && said.contains("with its cable"),
        "{said}"
    );
    assert!(!said.contains("idev-backup pair"), "{said}");
}
