//! Backups over Wi-Fi: a phone at an address of the network, without a daemon.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idev_backup::FailureKind;
use idev_backup::backup::create::create;
use idev_backup::backup::{Error, Report};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::{Monitor, Silent};
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::device::{self, listing};
use idev_backup::simulator::PhoneConfig;
use idev_backup::transport::network::{Network, Options};
use idev_backup::transport::{Transport, Usbmuxd, Via};

use crate::rig::air::Air;
use crate::rig::{OTHER_UDID, Recorder, Rig, UDID, config, options};

/// A phone that was paired by cable and is now on the network.
struct Wireless {
    rig: Rig,
    air: Air,
}

impl Wireless {
    fn new() -> Wireless {
        Wireless::with(config())
    }

    fn with(config: PhoneConfig) -> Wireless {
        let rig = Rig::with(config);
        let connector = rig.connector();
        let phone = rig.attached();
        device::trust::pair(&connector, &phone, Duration::from_secs(10), &Silent).unwrap();
        keep_record(&rig);
        let air = Air::to(rig.daemon.address());
        Wireless { rig, air }
    }

    fn pairing(&self) -> PathBuf {
        self.rig.dir.path().join("pairing")
    }

    fn connector(&self) -> Connector {
        connector_at(&self.pairing(), self.air.address())
    }

    fn try_create(&self, monitor: &dyn Monitor) -> Result<Report, Error> {
        let connector = self.connector();
        let phone = connector.phone(None)?;
        assert_eq!(phone.via, Via::Network);
        create(&connector, &phone, &self.rig.store, &options(), monitor)
    }
}

/// Writes the daemon's pair record into our folder, as `wifi on` does.
fn keep_record(rig: &Rig) {
    let token = CancelToken::new(Arc::default());
    let address = idev_backup::transport::usbmuxd::Address::parse(rig.daemon.address());
    let record = Usbmuxd::new(address, token)
        .pair_record(rig.udid())
        .unwrap();
    let folder = rig.dir.path().join("pairing");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}.plist", rig.udid()));
    std::fs::write(path, record.unwrap().expose()).unwrap();
}

fn connector_at(pairing: &std::path::Path, address: SocketAddr) -> Connector {
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
fn dropped_backup_continues_at_new_address() {
    let mut wireless = Wireless::new();
    wireless.air.cut_after(200_000);
    let error = wireless.try_create(&Silent).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert!(wireless.rig.draft().exists());
    // The phone is back under another address.
    wireless.air = Air::to(wireless.rig.daemon.address());
    let monitor = Recorder::default();
    let report = loop {
        match wireless.try_create(&monitor) {
            // The phone has not noticed yet that the run is over.
            Err(Error::Refused(no)) if no.code == 14 => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    assert!(report.draft.contains("continuing"), "{}", report.draft);
    crate::rig::assert_whole(&wireless.rig.current());
    wireless.rig.assert_holds_the_phone(&wireless.rig.current());
}

#[test]
fn cable_wins_over_wifi() {
    let wireless = Wireless::new();
    let token = CancelToken::new(Arc::default());
    let network = wireless.connector().daemon.network().unwrap().clone();
    let address = wireless.rig.daemon.address();
    let usbmuxd = Usbmuxd::new(
        idev_backup::transport::usbmuxd::Address::parse(address),
        token.clone(),
    );
    let both = Transport::Also(Box::new(usbmuxd.into()), network);
    let connector = Connector::new(both, wireless.pairing(), Pin::PairRecord, token);
    let phones = connector.phones().unwrap();
    assert_eq!((phones.len(), phones[0].via), (1, Via::Usb));
    assert_eq!(connector.phone(None).unwrap().via, Via::Usb);
    wireless.rig.daemon.detach(wireless.rig.udid());
    // The bridge needs the daemon's phone too, so nothing is left to be found.
    assert!(connector.phones().unwrap().is_empty());
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
    let error = connector_at(&wireless.pairing(), other.air.address()).phone(None);
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
        passcode: idev_backup::simulator::Passcode::Never,
        ..config()
    });
    let began = Instant::now();
    let monitor = crate::rig::At(idev_backup::base::progress::Phase::Scanning, || {
        wireless.air.silence();
    });
    let error = wireless.try_create(&monitor).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert!(error.to_string().contains("heartbeat"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
}
