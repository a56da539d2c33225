//! Tests the simulated phone on Wi-Fi with the small client of `support`: its switch, heartbeat,
//! services and faults.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use idev_backup::simulator::{AdvertKind, Daemon, Phone, Wifi, WifiConfig, WifiFault};
use idev_backup::transport::plist_stream::{self, Encoding};
use plist::{Dictionary, Value};

use crate::simulate::{Host, noticed, paired, plugged, tiny};
use crate::support::{Computer, Stream, ask, begin_backup, device_ids, dict, get, pair_request};

const DOMAIN: &str = "com.apple.mobile.wireless_lockdown";
const HEARTBEAT: &str = "com.apple.mobile.heartbeat";
const AFC: &str = "com.apple.afc";

/// A phone that is paired by cable, and on Wi-Fi.
struct Lab {
    daemon: Daemon,
    phone: Arc<Phone>,
    wifi: Wifi,
    by_cable: Computer,
}

impl Lab {
    fn new(config: WifiConfig) -> Lab {
        let (daemon, phone) = plugged(tiny());
        let by_cable = paired(&daemon);
        let wifi = Wifi::join(&phone, config).unwrap();
        Lab {
            daemon,
            phone,
            wifi,
            by_cable,
        }
    }

    /// With the switch on, and a heartbeat every second.
    fn on() -> Lab {
        Lab::new(WifiConfig {
            on: true,
            heartbeat: Duration::from_secs(1),
            patience: Duration::from_millis(500),
            ..WifiConfig::default()
        })
    }

    fn address(&self) -> SocketAddr {
        self.wifi.addresses()[0]
    }

    fn computer(&self) -> Computer {
        self.by_cable.on_wifi(self.address())
    }
}

/// A heartbeat that answers on a thread of its own, until it gets the signal to stop or the phone
/// ends it.
struct Heart {
    commands: Receiver<String>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heart {
    /// Begins, and waits for the first whole exchange.
    fn start(computer: &Computer) -> Heart {
        let mut stream = computer.service(HEARTBEAT);
        let (told, commands) = channel();
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            while let Ok(message) = plist_stream::read(&mut stream, 1 << 16) {
                let message = message.into_dictionary().unwrap();
                let command = message["Command"].as_string().unwrap().to_owned();
                let is_marco = command == "Marco";
                if is_marco {
                    assert!(message["Interval"].as_unsigned_integer().unwrap() >= 1);
                }
                // The test may no longer listen.
                drop(told.send(command));
                if stopped.try_recv().is_ok() {
                    // Falls silent, and keeps the connection open.
                    let mut rest = Vec::new();
                    drop(stream.read_to_end(&mut rest));
                    return;
                }
                let polo = Value::Dictionary(dict([("Command", "Polo".into())]));
                if is_marco && plist_stream::write(&mut stream, &polo, Encoding::Xml).is_err() {
                    return;
                }
            }
        });
        let heart = Heart {
            commands,
            stop,
            thread,
        };
        assert_eq!(heart.next(), "Marco");
        heart
    }

    fn next(&self) -> String {
        self.commands
            .recv_timeout(Duration::from_secs(30))
            .expect("a command of the phone")
    }

    fn fall_silent(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.thread
    }
}

/// Opens a service once the phone has noted the heartbeat. Until then it closes the connection.
fn admitted(computer: &Computer, service: &str) -> Stream {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let mut stream = computer.service(service);
        if stream.write_all(b"").and_then(|()| stream.flush()).is_ok() && is_open(&mut stream) {
            return stream;
        }
        assert!(Instant::now() < patience, "{service} is not admitted");
    }
}

/// Asks AFC for device information, which any phone answers.
fn is_open(stream: &mut Stream) -> bool {
    let mut packet = b"CFA6LPAA".to_vec();
    for word in [40u64, 40, 1, 10] {
        packet.extend(word.to_le_bytes());
    }
    let mut head = [0; 16];
    let asked = stream.write_all(&packet).and_then(|()| stream.flush());
    if asked.and_then(|()| stream.read_exact(&mut head)).is_err() {
        return false;
    }
    let length = u64::from_le_bytes(head[8..].try_into().unwrap());
    let mut rest = vec![0; length as usize - head.len()];
    head.starts_with(b"CFA6LPAA") && stream.read_exact(&mut rest).is_ok()
}

fn set_switch(computer: &Computer, on: bool) -> Dictionary {
    ask(
        &mut computer.session(),
        dict([
            ("Request", "SetValue".into()),
            ("Domain", DOMAIN.into()),
            ("Key", "EnableWifiConnections".into()),
            ("Value", on.into()),
        ]),
    )
}

#[test]
fn switch_decides_if_phone_listens() {
    let lab = Lab::new(WifiConfig::default());
    let switch = |computer: &Computer| {
        get(&mut computer.session(), DOMAIN, "EnableWifiConnections")
            .remove("Value")
            .and_then(|value| value.as_boolean())
    };
    assert_eq!(
        switch(&lab.by_cable),
        None,
        "an untouched switch has no key"
    );
    let refused = TcpStream::connect(lab.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    for _ in 0..2 {
        set_switch(&lab.by_cable, true);
        assert_eq!(switch(&lab.by_cable), Some(true));
        assert_eq!(switch(&lab.computer()), Some(true), "read over Wi-Fi");
        set_switch(&lab.by_cable, false);
        assert!(!lab.wifi.listens());
        assert!(TcpStream::connect(lab.address()).is_err());
    }
}

#[test]
fn pairing_over_wifi_is_refused() {
    let lab = Lab::on();
    let (request, _) = pair_request(lab.daemon.address(), device_ids(lab.daemon.address())[0]);
    let mut lockdown: Stream = Box::new(TcpStream::connect(lab.address()).unwrap());
    let reply = ask(&mut lockdown, request);
    let error = reply["Error"].as_string();
    assert_eq!(error, Some("PairingProhibitedOverThisConnection"));
    let reply = ask(
        &mut lockdown,
        dict([
            ("Request", "StartSession".into()),
            ("HostID", "A-STRANGER".into()),
        ]),
    );
    assert_eq!(reply["Error"].as_string(), Some("InvalidHostID"));
}

#[test]
fn services_need_a_heartbeat() {
    let lab = Lab::on();
    let computer = lab.computer();
    assert!(!is_open(&mut computer.service(AFC)), "before a heartbeat");
    let heart = Heart::start(&computer);
    let mut afc = admitted(&computer, AFC);
    // Beyond the first interval and its patience.
    assert_eq!([heart.next(), heart.next()], ["Marco", "Marco"]);
    assert!(is_open(&mut afc), "while the heart beats");

    let silent = heart.fall_silent();
    let mut rest = Vec::new();
    let ended = afc.read_to_end(&mut rest);
    assert!(ended.is_err() || rest.is_empty(), "the phone closed it");
    assert!(!is_open(&mut computer.service(AFC)), "after the heartbeat");
    assert!(computer.session().write_all(b"").is_ok(), "lockdown stays");
    drop(lab.wifi);
    silent.join().unwrap();
}

#[test]
fn services_without_required_heartbeat() {
    let lab = Lab::new(WifiConfig {
        on: true,
        heartbeat_first: false,
        ..WifiConfig::default()
    });
    assert!(is_open(&mut lab.computer().service(AFC)));
}

#[test]
fn service_port_takes_one_connection() {
    let lab = Lab::on();
    let reply = ask(
        &mut lab.computer().session(),
        dict([("Request", "StartService".into()), ("Service", AFC.into())]),
    );
    let mut port = lab.address();
    port.set_port(reply["Port"].as_unsigned_integer().unwrap() as u16);
    let first = TcpStream::connect(port).unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(port).is_ok() {
        assert!(Instant::now() < patience, "the port stays open");
    }
    drop(first);
}

#[test]
fn backup_over_wifi_is_whole() {
    let lab = Lab::on();
    let computer = lab.computer();
    let heart = Heart::start(&computer);
    drop(admitted(&computer, AFC));
    let mut host = Host::new();
    assert_eq!(host.back_up(&computer, &lab.phone).unwrap().0, 0);
    host.assert_holds(&lab.phone);
    drop(heart);
}

#[test]
fn assertion_is_held_with_its_connection() {
    let lab = Lab::on();
    let mut agent = lab.by_cable.service("com.apple.mobile.assertion_agent");
    let reply = ask(
        &mut agent,
        dict([
            ("CommandKey", "CommandCreateAssertion".into()),
            (
                "AssertionTypeKey",
                "AMDPowerAssertionTypeWirelessSync".into(),
            ),
            ("AssertionNameKey", "test".into()),
            ("AssertionTimeoutKey", 600u64.into()),
        ]),
    );
    assert!(reply.is_empty(), "{reply:?}");
    let held = lab.phone.assertions();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].kind, "AMDPowerAssertionTypeWirelessSync");
    drop(agent);
    let patience = Instant::now() + Duration::from_secs(30);
    while !lab.phone.assertions().is_empty() {
        assert!(
            Instant::now() < patience,
            "the assertion outlives its connection"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sleep_is_announced_and_ends() {
    let lab = Lab::on();
    let computer = lab.computer();
    let heart = Heart::start(&computer);
    drop(admitted(&computer, AFC));
    lab.wifi.fail(&WifiFault::Sleep).unwrap();
    while heart.next() != "SleepyTime" {}
    let mut sleeper: Stream = Box::new(TcpStream::connect(lab.address()).unwrap());
    let (answered, answer) = channel();
    let asker = thread::spawn(move || {
        let reply = ask(&mut sleeper, dict([("Request", "QueryType".into())]));
        answered.send(reply).unwrap();
    });
    let quiet = answer.recv_timeout(Duration::from_millis(300));
    assert!(quiet.is_err(), "a phone that sleeps says nothing");
    lab.wifi.wake();
    let reply = answer.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(reply["Type"].as_string(), Some("com.apple.mobile.lockdown"));
    asker.join().unwrap();
}

/// Checks that a backup in which the connections end is resumed by the next one.
#[test]
fn dropped_backup_is_resumed() {
    let lab = Lab::on();
    let computer = lab.computer();
    let heart = Heart::start(&computer);
    drop(admitted(&computer, AFC));
    let mut host = Host::new();
    lab.wifi.fail_after(400_000, WifiFault::Drop);
    host.back_up(&computer, &lab.phone).unwrap_err();
    noticed(&lab.phone, 1);
    drop(heart);
    let _heart = Heart::start(&computer);
    drop(admitted(&computer, AFC));
    assert_eq!(host.back_up(&computer, &lab.phone).unwrap().0, 0);
    assert!(lab.phone.history()[1].resumed);
    host.assert_holds(&lab.phone);
}

/// Checks that a phone that moves in the middle of a backup leaves its computer in silence, and
/// resumes the backup at the new address.
#[test]
fn roaming_leaves_silence_behind() {
    let lab = Lab::on();
    let before = lab.computer();
    let heart = Heart::start(&before);
    drop(admitted(&before, AFC));
    let old = lab.address();
    lab.wifi
        .fail_after(400_000, WifiFault::Roam(vec!["127.0.0.1:0".to_owned()]));
    let mut stream = begin_backup(&before, lab.phone.udid().as_str(), true).unwrap();
    let (heard, last) = channel();
    let abandoned = thread::spawn(move || {
        // Reads what comes, and answers as long as the phone needs answers to send its files.
        let mut host = Host::new();
        let ended = host.serve(&mut stream).is_err();
        heard.send(ended).unwrap();
    });
    noticed(&lab.phone, 1);
    assert_ne!(lab.address(), old);
    assert!(TcpStream::connect(old).is_err());
    let silent = last.recv_timeout(Duration::from_millis(300));
    assert!(silent.is_err(), "the computer must not notice the end");

    let after = lab.computer();
    let _heart = Heart::start(&after);
    drop(admitted(&after, AFC));
    let mut host = Host::new();
    assert_eq!(host.back_up(&after, &lab.phone).unwrap().0, 0);
    host.assert_holds(&lab.phone);
    drop(lab);
    drop(heart);
    abandoned.join().unwrap();
}

/// Asks for phones by multicast on the loopback network, as a client without a full resolver, and
/// returns the first answer that contains `mark`.
fn advert(mark: &[u8]) -> Option<Vec<u8>> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    socket.bind(&any.into()).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let socket: UdpSocket = socket.into();
    let limit = Some(Duration::from_millis(200));
    socket.set_read_timeout(limit).unwrap();
    let mut query = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x0e_apple-mobdev2\x04_tcp\x05local\x00");
    query.extend([0, 12, 0, 1]);
    let mut packet = [0; 9000];
    for _ in 0..5 {
        socket.send_to(&query, "224.0.0.251:5353").unwrap();
        while let Ok((length, _)) = socket.recv_from(&mut packet) {
            if holds(&packet[..length], mark) {
                return Some(packet[..length].to_vec());
            }
        }
    }
    None
}

fn holds(packet: &[u8], mark: &[u8]) -> bool {
    packet.windows(mark.len()).any(|window| window == mark)
}

/// Checks the advert of a phone with its own MAC, and that it exists only while the switch is on.
#[test]
fn advert_follows_switch() {
    let lab = Lab::new(WifiConfig {
        advertise: true,
        ..WifiConfig::default()
    });
    let mac = get(&mut lab.by_cable.session(), "", "WiFiAddress");
    let mark = format!("{}@fe80::", mac["Value"].as_string().unwrap());
    let name = || {
        let value = get(
            &mut lab.by_cable.session(),
            DOMAIN,
            "BonjourFullServiceName",
        );
        value["Value"].as_string().unwrap().to_owned()
    };
    assert_eq!(name(), "");
    set_switch(&lab.by_cable, true);
    let answer = advert(mark.as_bytes()).expect("an answer");
    assert_eq!(answer[..12], [0, 9, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 4]);
    assert!(holds(&answer, b"-supportsRP-"));
    assert!(holds(
        &answer,
        &[0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 127, 0, 0, 1]
    ));
    assert!(!holds(&answer, b"authTag"));
    let full = name();
    assert!(full.starts_with(&mark) && full.ends_with("._apple-mobdev2._tcp.local."));
    set_switch(&lab.by_cable, false);
    assert_eq!(name(), "");
}

/// Checks that a phone with a private MAC tells paired computers by tags, and changes the MAC.
#[test]
fn advert_names_paired_computers() {
    let lab = Lab::new(WifiConfig {
        on: true,
        advertise: true,
        advert: Some(AdvertKind::Tags),
        ..WifiConfig::default()
    });
    let full_name = || {
        let value = get(
            &mut lab.by_cable.session(),
            DOMAIN,
            "BonjourFullServiceName",
        );
        value["Value"].as_string().unwrap().to_owned()
    };
    let instance = |full: &str| full.split("._apple").next().unwrap().to_owned();
    let first = instance(&full_name());
    let answer = advert(first.as_bytes()).expect("an answer");
    assert!(holds(&answer, b"identifier=") && holds(&answer, b"authTag="));
    assert!(!holds(&answer, b"authTag#1="));
    // Another computer.
    paired(&lab.daemon);
    let answer = advert(first.as_bytes()).expect("an answer");
    assert!(holds(&answer, b"authTag#1="));
    lab.wifi.fail(&WifiFault::PrivateAddress).unwrap();
    let second = instance(&full_name());
    assert_ne!(first, second);
    let answer = advert(second.as_bytes()).expect("an answer");
    assert!(!holds(&answer, first.as_bytes()));
}
