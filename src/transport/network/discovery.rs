//! Listens for phones by DNS-SD, on a thread of its own.
//!
//! `mdns-sd` answers for the protocol; it holds every record that anybody sends. So the bounds are
//! here: the table has a limit, and browsing restarts when the library holds too much. A phone
//! that may be ours is never displaced by one that is not.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, Receiver, RecvTimeoutError, ScopedIp, ServiceDaemon, ServiceEvent};

use super::address::is_dialable;
use super::advert::{Advert, SERVICE};
use super::recognise::{KnownPhone, Owner};
use super::{ADDRESSES_MAX, Air, LOCKDOWN_PORT};

/// Number of adverts in the table. A large office has dozens of phones.
const ADVERTS_MAX: usize = 256;
/// Number of records that `mdns-sd` may hold before browsing restarts: some 3 MB.
const RECORDS_MAX: i64 = 4_000;
/// Interval at which its records are counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Time that an advert stays in the table after browsing has restarted, without being heard again.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Interval at which the thread looks if it has to end.
const TICK: Duration = Duration::from_millis(200);
/// Query for the types of all services on the network (RFC 6763, section 9). Every device that
/// speaks DNS-SD answers it.
const ALL_TYPES: &str = "_services._dns-sd._udp.local.";

/// An advert, and the addresses under which the phone may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) advert: Advert,
    pub(super) addresses: Vec<SocketAddr>,
}

#[derive(Default)]
struct Table {
    heard: BTreeMap<String, (Heard, u32)>,
    known: Vec<KnownPhone>,
    air: Air,
    trouble: Option<String>,
    /// Number of the present browse, and its beginning.
    browse: u32,
    since: Option<Instant>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that listens, until it is dropped.
pub(super) struct Browser {
    shared: Arc<Shared>,
    began: Instant,
    thread: Option<JoinHandle<()>>,
}

impl Browser {
    /// Starts to listen. `loopback` permits addresses of this computer.
    pub(super) fn start(loopback: bool) -> Browser {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("mdns".to_owned());
        let thread = thread.spawn(move || listen(&own, loopback));
        if let Err(e) = &thread {
            shared.table().trouble = Some(e.to_string());
        }
        Browser {
            shared,
            began: Instant::now(),
            thread: thread.ok(),
        }
    }

    /// Names the phones that matter, which have precedence in the table.
    pub(super) fn know(&self, known: &[KnownPhone]) {
        let mut table = self.shared.table();
        if table.known != known {
            table.known = known.to_vec();
        }
    }

    /// Returns the adverts, once `enough` is true of them, or `wait` after the browser was started.
    pub(super) fn wait(
        &self,
        wait: Duration,
        mut enough: impl FnMut(&[Heard]) -> bool,
    ) -> Vec<Heard> {
        let mut table = self.shared.table();
        loop {
            let heard: Vec<Heard> = table
                .heard
                .values()
                .map(|(heard, _)| heard.clone())
                .collect();
            let left = wait.saturating_sub(self.began.elapsed());
            if left.is_zero() || enough(&heard) {
                return heard;
            }
            let waited = self.shared.changed.wait_timeout(table, left.min(TICK));
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns what was heard at all.
    pub(super) fn air(&self) -> Air {
        let mut air = self.shared.table().air;
        air.port_is_held = air.interfaces == Some(0) && port_is_held();
        air
    }

    /// Returns the reason for which nothing can be heard, if there is one.
    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.table().trouble.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Returns true if another program holds the port of mDNS without sharing it. The library then
/// listens nowhere and reports no error.
fn port_is_held() -> bool {
    let address: SocketAddr = ([0, 0, 0, 0], mdns_sd::MDNS_PORT).into();
    let bind = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())
    };
    matches!(bind(), Err(e) if e.kind() == std::io::ErrorKind::AddrInUse)
}

/// Browses until stopped, and restarts if the library holds too much or ends the subscription.
fn listen(shared: &Shared, loopback: bool) {
    while !shared.stop.load(Ordering::SeqCst) {
        let daemon = match begin(loopback) {
            Ok(daemon) => daemon,
            Err(e) => {
                shared.table().trouble = Some(e.to_string());
                shared.changed.notify_all();
                wait(shared, COUNT_EVERY);
                continue;
            }
        };
        let browsed = daemon.browse(SERVICE);
        let all = daemon.browse(ALL_TYPES);
        match (browsed, all) {
            (Ok(events), Ok(all)) => {
                let mut table = shared.table();
                table.browse += 1;
                table.since = Some(Instant::now());
                table.trouble = None;
                drop(table);
                follow(shared, &daemon, &events, &all, loopback);
            }
            (Err(e), _) | (_, Err(e)) => shared.table().trouble = Some(e.to_string()),
        }
        // Its thread ends without further action, and the answer is not needed.
        drop(daemon.shutdown());
        if !shared.stop.load(Ordering::SeqCst) {
            shared.table().air.restarts += 1;
            wait(shared, TICK);
        }
    }
}

fn wait(shared: &Shared, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until && !shared.stop.load(Ordering::SeqCst) {
        std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
    }
}

fn begin(loopback: bool) -> mdns_sd::Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new()?;
    if !loopback {
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
    }
    Ok(daemon)
}

/// Takes events until stopped, or until the library holds too many records.
fn follow(
    shared: &Shared,
    daemon: &ServiceDaemon,
    events: &Receiver<ServiceEvent>,
    all: &Receiver<ServiceEvent>,
    loopback: bool,
) {
    let mut counted = Instant::now();
    while !shared.stop.load(Ordering::SeqCst) {
        match events.recv_timeout(TICK) {
            Ok(event) => shared.table().take(event, loopback),
            Err(RecvTimeoutError::Timeout) => {}
            // The library ends a subscription whose events are not read fast enough.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // The second channel must not fill up: only its first answer matters.
        for event in all.try_iter() {
            if matches!(event, ServiceEvent::ServiceFound(..)) {
                shared.table().air.answered = true;
            }
        }
        shared.changed.notify_all();
        if counted.elapsed() >= COUNT_EVERY {
            counted = Instant::now();
            shared.table().forget_stale();
            if records(daemon) > RECORDS_MAX {
                return;
            }
        }
    }
}

/// Returns the number of records that the library holds. A library that does not answer counts as
/// full, so that browsing restarts.
fn records(daemon: &ServiceDaemon) -> i64 {
    let metrics = daemon.get_metrics().ok();
    let metrics = metrics.and_then(|answer| answer.recv_timeout(COUNT_EVERY).ok());
    metrics.map_or(i64::MAX, |metrics| {
        let cached = metrics
            .iter()
            .filter(|(name, _)| name.starts_with("cached-"));
        cached.map(|(_, count)| *count).sum()
    })
}

impl Table {
    fn take(&mut self, event: ServiceEvent, loopback: bool) {
        match event {
            ServiceEvent::SearchStarted(text) => {
                // "TYPE on N interfaces [...]"; the library has no other way to tell it.
                let number = text
                    .split(" on ")
                    .nth(1)
                    .and_then(|rest| rest.split(' ').next());
                self.air.interfaces = number.and_then(|number| number.parse().ok());
            }
            ServiceEvent::ServiceResolved(service) => {
                self.air.answered = true;
                let pairs = service
                    .txt_properties
                    .iter()
                    .map(|pair| (pair.key(), pair.val()));
                let Some(advert) = Advert::parse(&service.fullname, pairs) else {
                    return;
                };
                let addresses = addresses(service.addresses.iter(), loopback);
                if !addresses.is_empty() {
                    self.insert(service.fullname, Heard { advert, addresses });
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => drop(self.heard.remove(&name)),
            ServiceEvent::ServiceFound(..) => self.air.answered = true,
            _ => {}
        }
    }

    /// Adds or replaces an advert. In a full table, one of another phone makes room for one of
    /// ours.
    fn insert(&mut self, name: String, heard: Heard) {
        if !self.heard.contains_key(&name) && self.heard.len() >= ADVERTS_MAX {
            if !self.may_be_ours(&heard.advert) {
                return;
            }
            let other = self
                .heard
                .iter()
                .find(|(_, (h, _))| !self.may_be_ours(&h.advert));
            let Some(other) = other.map(|(name, _)| name.clone()) else {
                return;
            };
            self.heard.remove(&other);
        }
        self.heard.insert(name, (heard, self.browse));
    }

    fn may_be_ours(&self, advert: &Advert) -> bool {
        matches!(advert.owner(&self.known), Owner::Named(_))
    }

    /// Removes the adverts of an earlier browse that were not heard in this one.
    fn forget_stale(&mut self) {
        let now = self.browse;
        if self
            .since
            .is_some_and(|since| since.elapsed() >= STALE_AFTER)
        {
            self.heard.retain(|_, (_, browse)| *browse == now);
        }
    }
}

/// Returns the addresses that may be dialled, IPv4 first and link-local IPv6 last. The port in the
/// advert is ignored: phones listen on lockdown's, whatever they advertise (netmuxd).
fn addresses<'a>(found: impl Iterator<Item = &'a ScopedIp>, loopback: bool) -> Vec<SocketAddr> {
    let of = |ip: &ScopedIp| match ip {
        ScopedIp::V6(v6) => {
            let scope = if v6.addr().is_unicast_link_local() {
                v6.scope_id().index
            } else {
                0
            };
            SocketAddrV6::new(*v6.addr(), LOCKDOWN_PORT, 0, scope).into()
        }
        other => SocketAddr::new(other.to_ip_addr(), LOCKDOWN_PORT),
    };
    let mut addresses: Vec<SocketAddr> = found.map(of).collect();
    addresses.retain(|address| is_dialable(address, loopback));
    addresses.sort_by_key(|address| match address {
        SocketAddr::V4(_) => (0, *address),
        SocketAddr::V6(v6) if !v6.ip().is_unicast_link_local() => (1, *address),
        SocketAddr::V6(_) => (2, *address),
    });
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(mac: u32) -> (String, Heard) {
        let [a, b, c, d] = mac.to_be_bytes();
        let name = format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}@fe80::1.{SERVICE}");
        let advert = Advert::parse(&name, []).unwrap();
        let addresses = vec!["10.0.0.7:62078".parse().unwrap()];
        (name, Heard { advert, addresses })
    }

    fn known(mac: &str) -> KnownPhone {
        KnownPhone {
            udid: "00008130-001A2B3C4D5E6F70".parse().unwrap(),
            mac: mac.parse().ok(),
            host_id: String::new(),
        }
    }

    #[test]
    fn fake_adverts_displace_no_phone_of_ours() {
        let mut table = Table {
            known: vec![known("02:00:00:00:ff:ff")],
            ..Table::default()
        };
        for mac in 0..10_000 {
            let (name, heard) = heard(mac);
            table.insert(name, heard);
        }
        assert_eq!(table.heard.len(), ADVERTS_MAX);
        let (name, ours) = heard(0xffff);
        table.insert(name.clone(), ours);
        for mac in 20_000..30_000 {
            let (name, heard) = heard(mac);
            table.insert(name, heard);
        }
        assert_eq!(table.heard.len(), ADVERTS_MAX);
        assert!(table.heard.contains_key(&name));
    }

    #[test]
    fn stale_adverts_leave_after_restart() {
        let mut table = Table::default();
        let (name, old) = heard(1);
        table.insert(name, old);
        table.browse = 1;
        let (name, new) = heard(2);
        table.insert(name, new);
        table.since = Some(Instant::now());
        table.forget_stale();
        assert_eq!(table.heard.len(), 2);
        table.since = Instant::now().checked_sub(2 * STALE_AFTER);
        table.forget_stale();
        assert_eq!(table.heard.len(), 1);
    }

    #[test]
    fn interfaces_are_counted() {
        let mut table = Table::default();
        let text = format!("{SERVICE} on 2 interfaces [eth0 (2), wlan0 (3)]");
        table.take(ServiceEvent::SearchStarted(text), false);
        assert_eq!(table.air.interfaces, Some(2));
    }

    /// Sends real packets of multicast, which Linux delivers over the loopback interface.
    /// qemu-user, which runs the tests for other processors, lacks the options of sockets for that.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    mod multicast {
        use super::*;

        /// Returns a DNS name in wire format.
        fn wire_name(labels: &[&str]) -> Vec<u8> {
            let mut bytes = Vec::new();
            for label in labels {
                bytes.push(label.len() as u8);
                bytes.extend(label.as_bytes());
            }
            bytes.push(0);
            bytes
        }

        fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
            let mut bytes = name.to_vec();
            bytes.extend(kind.to_be_bytes());
            // Class IN, valid for two minutes.
            bytes.extend([0, 1, 0, 0, 0, 120]);
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
            bytes
        }

        /// Returns the packet with which a phone announces itself: PTR, SRV, TXT and A.
        fn announcement(mac: u32) -> Vec<u8> {
            let [a, b, c, d] = mac.to_be_bytes();
            let instance = format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}@fe80::1-supportsRP-24");
            let host = wire_name(&[&format!("phone-{mac}"), "local"]);
            let service = wire_name(&["_apple-mobdev2", "_tcp", "local"]);
            let full = wire_name(&[&instance, "_apple-mobdev2", "_tcp", "local"]);
            let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
            packet.extend(record(&service, 12, &full));
            packet.extend(record(
                &full,
                33,
                &[&[0, 0, 0, 0, 0xf2, 0x7e][..], &host].concat(),
            ));
            packet.extend(record(&full, 16, b"\x0eidentifier=abc"));
            packet.extend(record(&host, 1, &[127, 0, 0, 1]));
            packet
        }

        /// Sends packets to this computer's own listeners for multicast.
        fn air() -> std::net::UdpSocket {
            let kind = socket2::Type::DGRAM;
            let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
            let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
            socket.bind(&local.into()).unwrap();
            socket
                .set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST)
                .unwrap();
            socket.set_multicast_loop_v4(true).unwrap();
            socket.into()
        }

        fn is_heard(browser: &Browser, mac: &str) -> bool {
            let mac = mac.parse().unwrap();
            let heard = browser.wait(Duration::ZERO, |_| true);
            assert!(heard.len() <= ADVERTS_MAX);
            heard.iter().any(|heard| heard.advert.mac == mac)
        }

        /// Announces phones of others, thousands of them, and checks that browsing restarts before
        /// the library holds too much, and that a phone of ours is heard afterwards.
        #[test]
        fn flood_of_adverts_is_survived() {
            const GROUP: &str = "224.0.0.251:5353";
            let browser = Browser::start(true);
            browser.know(&[known("02:00:00:00:ff:ff")]);
            let air = air();
            let began = Instant::now();
            let patience = |what: &str| {
                assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "{what}: {:?}",
                    browser.air()
                );
            };
            let mut mac = 0x10_0000;
            while browser.air().restarts == 0 {
                patience("no restart");
                for _ in 0..50 {
                    mac += 1;
                    air.send_to(&announcement(mac), GROUP).unwrap();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(mac > 0x10_0000 + 500, "{mac:#x}");
            while !is_heard(&browser, "02:00:00:00:ff:ff") {
                patience("ours is not heard");
                air.send_to(&announcement(0xffff), GROUP).unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
            assert!(browser.air().answered);
        }

        /// Sends malformed packets, and checks that the thread goes on listening.
        #[test]
        fn malformed_packets_do_not_end_listening() {
            const GROUP: &str = "224.0.0.251:5353";
            let browser = Browser::start(true);
            let air = air();
            let good = announcement(7);
            let began = Instant::now();
            let mut step = 0usize;
            while !is_heard(&browser, "02:00:00:00:00:07") {
                assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "{:?}",
                    browser.air()
                );
                for at in (step % 7..good.len()).step_by(7) {
                    let mut bad = good.clone();
                    bad[at] ^= 0xff;
                    bad.truncate(good.len() - at % 3);
                    air.send_to(&bad, GROUP).unwrap();
                }
                step += 1;
                if step > 5 {
                    air.send_to(&good, GROUP).unwrap();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
