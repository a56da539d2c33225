//! The phone's advert by multicast DNS: `_apple-mobdev2._tcp`, as pymobiledevice3 and netmuxd read
//! it.
//!
//! The instance is `<MAC>@<IPv6>`, since iOS 17 with `-supportsRP-<number>`. Until iOS 26.3 the MAC
//! is the `WiFiAddress` of lockdown. From 26.4 it is a private one, and TXT names the computers
//! that the phone knows: `identifier`, and for each pairing `authTag`, `authTag#1` and so on
//! (pymobiledevice3's issues 1969 to 1975). The port of the SRV record is not lockdown's.
//!
//! The phone does not probe for its name before it announces it, because no other phone has its
//! MAC.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use socket2::{Domain, Protocol, Socket, Type};

use super::super::lock;
use super::air::Air;
use super::dns::{self, Data, Name, Query, Record, same_name};
use super::tag;

const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const SERVICE: [&str; 3] = ["_apple-mobdev2", "_tcp", "local"];
const ALL_SERVICES: [&str; 4] = ["_services", "_dns-sd", "_udp", "local"];
/// Port in the SRV record of current phones, on which lockdown does not listen.
const SRV_PORT: u16 = 32_498;
/// Number in the names of current phones.
const SUPPORTS_RP: u32 = 24;
/// Lifetimes in seconds, as RFC 6762 recommends them.
const TTL_OTHER: u32 = 4500;
const TTL_HOST: u32 = 120;
/// Times of the announcements after a change.
const ANNOUNCE_AT: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];
/// Interval between looks for changes and for the end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const PACKET_BYTES_MAX: usize = 9000;

/// Identification of the phone in its advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvertKind {
    /// The MAC that pair records contain, until iOS 26.3.
    Mac,
    /// A private MAC, and tags for the paired computers, from iOS 26.4 on.
    Tags,
}

impl AdvertKind {
    /// Returns the kind that a version of iOS uses.
    pub(super) fn of_ios(ios: &str) -> AdvertKind {
        if version(ios) >= (26, 4) {
            AdvertKind::Tags
        } else {
            AdvertKind::Mac
        }
    }
}

fn version(ios: &str) -> (u32, u32) {
    let mut parts = ios.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Parts of the advert.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) ios: String,
    pub(super) device_name: String,
    pub(super) mac: String,
    /// Identifier and HostIDs, for [`AdvertKind::Tags`].
    pub(super) tags: Option<(String, Vec<String>)>,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Facts {
    /// Returns the name of the instance.
    fn instance(&self) -> String {
        let mut name = format!("{}@{}", self.mac, self.link_local());
        if version(&self.ios) >= (17, 0) {
            name.push_str(&format!("-supportsRP-{SUPPORTS_RP}"));
        }
        name
    }

    /// Returns the phone's link-local address: one that it has, else the one that belongs to its
    /// MAC.
    fn link_local(&self) -> Ipv6Addr {
        let own = self.addresses.iter().find_map(|address| match address {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => Some(*v6.ip()),
            _ => None,
        });
        own.unwrap_or_else(|| {
            let bytes: Vec<u16> = self
                .mac
                .split(':')
                .map(|byte| u16::from_str_radix(byte, 16).unwrap_or(0))
                .collect();
            let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
            Ipv6Addr::new(
                0xfe80,
                0,
                0,
                0,
                (byte(0) ^ 2) << 8 | byte(1),
                byte(2) << 8 | 0xff,
                0xfe00 | byte(3),
                byte(4) << 8 | byte(5),
            )
        })
    }

    fn records(&self) -> Vec<Record> {
        let service = labels(&SERVICE);
        let mut instance = vec![self.instance()];
        instance.extend(labels(&SERVICE));
        let letters = self.device_name.chars().filter_map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => Some(letter),
            ' ' | '-' => Some('-'),
            _ => None,
        });
        let host = vec![letters.take(40).collect::<String>(), "local".to_owned()];
        let record = |name: &Name, ttl, data| Record {
            name: name.clone(),
            ttl,
            data,
        };
        let mut records = vec![
            record(&service, TTL_OTHER, Data::Pointer(instance.clone())),
            record(
                &labels(&ALL_SERVICES),
                TTL_OTHER,
                Data::Pointer(service.clone()),
            ),
            record(
                &instance,
                TTL_HOST,
                Data::Service {
                    port: SRV_PORT,
                    host: host.clone(),
                },
            ),
            record(&instance, TTL_OTHER, Data::Text(self.texts())),
        ];
        for address in &self.addresses {
            records.push(record(&host, TTL_HOST, Data::Address(address.ip())));
        }
        records
    }

    fn texts(&self) -> Vec<Vec<u8>> {
        let Some((identifier, hosts)) = &self.tags else {
            return Vec::new();
        };
        let mut texts = vec![format!("identifier={identifier}").into_bytes()];
        for (number, host) in hosts.iter().enumerate() {
            let key = match number {
                0 => "authTag".to_owned(),
                number => format!("authTag#{number}"),
            };
            let tag = BASE64_STANDARD.encode(tag::tag(host, identifier.as_bytes()));
            texts.push(format!("{key}={tag}").into_bytes());
        }
        texts
    }
}

fn labels(words: &[&str]) -> Name {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A running advert. Dropping it says goodbye.
#[derive(Debug)]
pub(super) struct Advert {
    shown: Arc<Shown>,
    threads: Vec<JoinHandle<()>>,
}

/// Present contents of the advert.
#[derive(Debug)]
struct Shown {
    records: Mutex<Vec<Record>>,
    /// Number of changes of the records.
    changes: AtomicU64,
    over: AtomicBool,
    air: Arc<Air>,
}

impl Advert {
    /// Begins to advertise on the networks of the phone's addresses.
    pub(super) fn begin(facts: &Facts, air: &Arc<Air>) -> io::Result<Advert> {
        let mut advert = Advert {
            shown: Arc::new(Shown {
                records: Mutex::new(facts.records()),
                changes: AtomicU64::new(0),
                over: AtomicBool::new(false),
                air: Arc::clone(air),
            }),
            threads: Vec::new(),
        };
        for address in &facts.addresses {
            let Some(network) = Network::join(*address)? else {
                continue;
            };
            let shown = Arc::clone(&advert.shown);
            let thread = thread::Builder::new()
                .name("sim-advert".into())
                .spawn(move || network.serve(&shown))?;
            advert.threads.push(thread);
        }
        Ok(advert)
    }

    /// Replaces the records by those of `facts`, and announces them if they differ.
    pub(super) fn show(&self, facts: &Facts) {
        let records = facts.records();
        let mut shown = lock(&self.shown.records);
        if *shown != records {
            *shown = records;
            self.shown.changes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns the full name of the instance, without escapes.
    pub(super) fn name(&self) -> String {
        let records = lock(&self.shown.records);
        let service = labels(&SERVICE);
        let pointer = records.iter().find_map(|record| match &record.data {
            Data::Pointer(name) if same_name(&record.name, &service) => Some(name.join(".")),
            _ => None,
        });
        pointer.unwrap_or_default() + "."
    }
}

impl Drop for Advert {
    fn drop(&mut self) {
        self.shown.over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                // The thread panicked, so it has ended, as intended.
            }
        }
    }
}

/// A network in which the phone advertises itself.
#[derive(Debug)]
struct Network {
    socket: UdpSocket,
    group: SocketAddr,
}

impl Network {
    /// Joins the group of multicast DNS on the network of an address. Returns `None` for an IPv6
    /// address that does not name its interface.
    fn join(address: SocketAddr) -> io::Result<Option<Network>> {
        let named = |e: io::Error| {
            io::Error::new(e.kind(), format!("multicast DNS on {}: {e}", address.ip()))
        };
        let network = match address {
            SocketAddr::V4(v4) => Network::join_v4(*v4.ip()).map_err(named)?,
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                Network::join_v6(v6.scope_id()).map_err(named)?
            }
            SocketAddr::V6(_) => return Ok(None),
        };
        network.socket.set_read_timeout(Some(BETWEEN_LOOKS))?;
        Ok(Some(network))
    }

    fn join_v4(interface: Ipv4Addr) -> io::Result<Network> {
        let socket = shared_socket(Domain::IPV4)?;
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        socket.bind(&any.into())?;
        socket.join_multicast_v4(&GROUP_V4, &interface)?;
        socket.set_multicast_if_v4(&interface)?;
        socket.set_multicast_ttl_v4(255)?;
        socket.set_multicast_loop_v4(true)?;
        Ok(Network {
            socket: socket.into(),
            group: SocketAddrV4::new(GROUP_V4, PORT).into(),
        })
    }

    fn join_v6(interface: u32) -> io::Result<Network> {
        let socket = shared_socket(Domain::IPV6)?;
        socket.set_only_v6(true)?;
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0);
        socket.bind(&any.into())?;
        socket.join_multicast_v6(&GROUP_V6, interface)?;
        socket.set_multicast_if_v6(interface)?;
        socket.set_multicast_hops_v6(255)?;
        socket.set_multicast_loop_v6(true)?;
        Ok(Network {
            socket: socket.into(),
            group: SocketAddrV6::new(GROUP_V6, PORT, 0, interface).into(),
        })
    }

    /// Announces the phone and answers questions, until the advert ends.
    fn serve(&self, shown: &Shown) {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        let mut seen = shown.changes.load(Ordering::SeqCst);
        let mut changed = Instant::now();
        let mut announced = 0;
        while !shown.over.load(Ordering::SeqCst) {
            let changes = shown.changes.load(Ordering::SeqCst);
            if changes != seen {
                (seen, changed, announced) = (changes, Instant::now(), 0);
            }
            let is_due = |at: &Duration| changed.elapsed() >= *at;
            if shown.air.is_open() && ANNOUNCE_AT.get(announced).is_some_and(is_due) {
                announced += 1;
                self.announce(&lock(&shown.records).clone());
            }
            let Ok((length, from)) = self.socket.recv_from(&mut packet) else {
                continue;
            };
            if shown.air.is_open()
                && let Some(query) = Query::parse(&packet[..length])
            {
                self.answer(&query, from, &lock(&shown.records).clone());
            }
        }
        if shown.air.is_open() {
            let mut goodbye = lock(&shown.records).clone();
            for record in &mut goodbye {
                record.ttl = 0;
            }
            self.announce(&goodbye);
        }
    }

    fn announce(&self, records: &[Record]) {
        let records: Vec<&Record> = records.iter().collect();
        self.send(&dns::answer(0, None, &records, &[]), self.group);
    }

    fn answer(&self, query: &Query, from: SocketAddr, records: &[Record]) {
        let is_asked = |record: &Record| {
            query.questions.iter().any(|question| {
                same_name(&question.name, &record.name)
                    && (question.kind == record.kind() || question.kind == dns::TYPE_ANY)
            })
        };
        // What the computer knows for more than half of its lifetime needs no answer.
        let is_known = |record: &Record| match &record.data {
            Data::Pointer(name) => {
                let fresh = record.ttl / 2;
                query
                    .known
                    .iter()
                    .any(|(known, ttl)| same_name(known, name) && *ttl >= fresh)
            }
            _ => false,
        };
        let (answers, rest): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(|record| is_asked(record));
        let answers: Vec<&Record> = answers.into_iter().filter(|r| !is_known(r)).collect();
        if answers.is_empty() {
            return;
        }
        if from.port() == PORT {
            self.send(&dns::answer(0, None, &answers, &rest), self.group);
        } else {
            let question = query.questions.first();
            self.send(&dns::answer(query.id, question, &answers, &rest), from);
        }
    }

    /// Sends a packet. A network that is down for the moment loses it, as it would on the air.
    fn send(&self, packet: &[u8], to: SocketAddr) {
        match self.socket.send_to(packet, to) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// Creates a socket whose port other programs can use too.
fn shared_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            ios: "18.6.2".to_owned(),
            device_name: "Mira's iPhone".to_owned(),
            mac: "a4:83:e7:01:02:03".to_owned(),
            tags: None,
            addresses: vec!["10.77.0.2:62078".parse().unwrap()],
        }
    }

    #[test]
    fn names_follow_ios_version() {
        let base = "a4:83:e7:01:02:03@fe80::a683:e7ff:fe01:203";
        for (ios, expected) in [
            ("16.7", base.to_owned()),
            ("18.6.2", format!("{base}-supportsRP-24")),
        ] {
            let facts = Facts {
                ios: ios.to_owned(),
                ..facts()
            };
            assert_eq!(facts.instance(), expected);
            assert!(expected.len() < 64, "a label has at most 63 bytes");
        }
        for (ios, kind) in [
            ("9.3.5", AdvertKind::Mac),
            ("26.3.1", AdvertKind::Mac),
            ("26.4", AdvertKind::Tags),
            ("27.0", AdvertKind::Tags),
        ] {
            assert_eq!(AdvertKind::of_ios(ios), kind, "{ios}");
        }
    }

    #[test]
    fn tags_are_numbered() {
        let facts = Facts {
            tags: Some((
                "2BE6E510-0325-4365-923E-B14C6F57DB3A".to_owned(),
                vec![
                    "11111111-2222-3333-4444-555555555555".to_owned(),
                    "7B1F0C52-9C2E-4D43-8A6B-0D5E7F3A9C11".to_owned(),
                ],
            )),
            ..facts()
        };
        let texts: Vec<String> = facts
            .texts()
            .into_iter()
            .map(|text| String::from_utf8(text).unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "identifier=2BE6E510-0325-4365-923E-B14C6F57DB3A",
                "authTag=DNKInlok1wk=",
                "authTag#1=wZ1elcCN5RA=",
            ]
        );
    }

    #[test]
    fn records_hold_all_addresses() {
        let mut facts = facts();
        facts.addresses.push("[fe80::9%2]:62078".parse().unwrap());
        assert!(facts.instance().contains("@fe80::9-"));
        let records = facts.records();
        let kinds: Vec<u16> = records.iter().map(Record::kind).collect();
        assert_eq!(kinds, [12, 12, 33, 16, 1, 28]);
        assert_eq!(records[4].name, ["Miras-iPhone", "local"]);
    }
}
