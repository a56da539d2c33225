//! The simulated phone on Wi-Fi: lockdown and its services on TCP, and the heartbeat without which
//! the phone closes them.
//!
//! The phone listens only while the switch `EnableWifiConnections` is on, which a computer sets by
//! cable ([quince]'s notes and pymobiledevice3's `lockdown wifi-connections`). StartService answers
//! with a port on the same address, which accepts one connection. A computer must first complete an
//! exchange with `com.apple.mobile.heartbeat` (SideStore's pull request 1406) and continue it: the
//! phone ends all services of a computer that falls silent.
//!
//! [quince]: https://github.com/novkostya/quince

mod advert;
mod air;
mod dns;
mod fault;
mod tag;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use plist::Value;
use rustls::ServerConfig;

pub use self::advert::AdvertKind;
use self::advert::{Advert, Facts};
use self::air::Air;
pub(super) use self::air::Radio;
use self::fault::Pending;
pub use self::fault::WifiFault;
use super::lockdown::{self, Pairing, Way};
use super::phone::Phone;
use super::socket::Socket;
use super::{heartbeat, lock, services, values};
use crate::trace::Recorder;

/// Domain and key of the switch for connections over Wi-Fi.
pub(super) const SWITCH: (&str, &str) = (
    "com.apple.mobile.wireless_lockdown",
    "EnableWifiConnections",
);
/// Time in which a computer must connect to the port of a service that it started.
const SERVICE_WAIT: Duration = Duration::from_secs(30);
/// Time that the answer in a heartbeat may need to arrive behind a connection to a service.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Interval between looks for a new connection, and for the end of the listener.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Configuration of a simulated phone's Wi-Fi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WifiConfig {
    /// Addresses of the phone, each as `host` or `host:port`, for example `10.77.0.2`,
    /// `127.0.0.1:0` (any free port) or `[fe80::1%en0]:62078`. The default port is that of
    /// lockdown, 62078.
    pub addresses: Vec<String>,
    /// Turns connections over Wi-Fi on from the start. By default they are off, as on a new phone.
    pub on: bool,
    /// Interval that the phone announces in its heartbeats, at least 1 s.
    pub heartbeat: Duration,
    /// Time beyond the interval after which a silent computer counts as gone.
    pub patience: Duration,
    /// Closes connections to services until the computer has completed a heartbeat exchange.
    pub heartbeat_first: bool,
    /// Advertises the phone by multicast DNS while connections over Wi-Fi are on. That needs the
    /// phone's addresses to be those of network interfaces.
    pub advertise: bool,
    /// Identification of the phone in its advert; `None` for what its version of iOS uses.
    pub advert: Option<AdvertKind>,
}

impl Default for WifiConfig {
    fn default() -> Self {
        WifiConfig {
            addresses: vec!["127.0.0.1:0".to_owned()],
            on: false,
            heartbeat: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            heartbeat_first: true,
            advertise: false,
            advert: None,
        }
    }
}

/// A simulated phone's presence on Wi-Fi. Dropping it ends all of its connections.
#[derive(Debug)]
pub struct Wifi {
    shared: Arc<Shared>,
}

impl Wifi {
    /// Joins a network. The phone listens at once if its switch is on, else as soon as it is.
    pub fn join(phone: &Arc<Phone>, config: WifiConfig) -> io::Result<Wifi> {
        let addresses = fault::resolved(&config.addresses)?;
        let on = config.on;
        let shared = Arc::new(Shared {
            phone: Arc::clone(phone),
            config,
            net: Mutex::new(Net {
                addresses,
                air: Air::new(),
                listening: None,
                advert: None,
                private: Private::new(),
            }),
            connections: Mutex::default(),
            hearts: Mutex::default(),
            sleepy: AtomicBool::new(false),
            next: AtomicU64::new(1),
            pending: Mutex::default(),
            recorder: Mutex::default(),
        });
        *lock(&phone.wifi) = Arc::downgrade(&shared);
        let wifi = Wifi { shared };
        if on {
            let (domain, key) = SWITCH;
            let place = (domain.to_owned(), key.to_owned());
            lock(&phone.state).values.insert(place, true.into());
        }
        wifi.shared.refresh()?;
        Ok(wifi)
    }

    /// Returns the addresses of lockdown. The phone listens there while its switch is on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.shared.net).addresses.clone()
    }

    /// Returns true while the phone listens.
    pub fn listens(&self) -> bool {
        lock(&self.shared.net).listening.is_some()
    }

    /// Records the messages of all connections from now on.
    pub fn record(&self, recorder: Recorder) {
        *lock(&self.shared.recorder) = Some(recorder);
    }

    /// Lets a fault occur now.
    pub fn fail(&self, fault: &WifiFault) -> io::Result<()> {
        self.shared.fail(fault)
    }

    /// Lets a fault occur when the phone has sent this many more bytes. It replaces an earlier
    /// fault that has not occurred yet.
    pub fn fail_after(&self, bytes: u64, fault: WifiFault) {
        *lock(&self.shared.pending) = Some(Pending { bytes, fault });
    }

    /// Wakes a phone that sleeps or is silent.
    pub fn wake(&self) {
        self.shared.wake();
    }
}

impl Drop for Wifi {
    fn drop(&mut self) {
        let shared = &self.shared;
        let (listening, advert, air) = {
            let mut net = lock(&shared.net);
            (
                net.listening.take(),
                net.advert.take(),
                Arc::clone(&net.air),
            )
        };
        drop((listening, advert));
        air.wake();
        for connection in lock(&shared.connections).values() {
            connection.end();
        }
    }
}

/// State that the connections of one phone share.
#[derive(Debug)]
pub(super) struct Shared {
    phone: Arc<Phone>,
    config: WifiConfig,
    net: Mutex<Net>,
    connections: Mutex<HashMap<u64, Connection>>,
    hearts: Mutex<HashMap<u64, Beating>>,
    /// The phone is about to sleep, and says so in its heartbeats.
    sleepy: AtomicBool,
    next: AtomicU64,
    /// Fault that occurs after a number of bytes.
    pending: Mutex<Option<Pending>>,
    recorder: Mutex<Option<Recorder>>,
}

/// A heartbeat.
#[derive(Debug)]
struct Beating {
    /// HostID of the computer.
    host: String,
    /// A whole exchange is complete.
    proven: bool,
    /// The computer knows that the phone is about to sleep.
    told: bool,
}

/// The phone's place in the network.
#[derive(Debug)]
struct Net {
    addresses: Vec<SocketAddr>,
    air: Arc<Air>,
    /// Present while the switch is on.
    listening: Option<Listening>,
    /// Present while the switch is on, if the phone advertises itself.
    advert: Option<Advert>,
    private: Private,
}

/// Address that an advert shows instead of the phone's own MAC.
#[derive(Debug)]
struct Private {
    mac: String,
    identifier: String,
}

impl Private {
    fn new() -> Private {
        let random = uuid::Uuid::new_v4().into_bytes();
        // Locally administered, for one device.
        let first = random[0] & 0xfc | 2;
        let rest: Vec<String> = random[1..6].iter().map(|b| format!("{b:02x}")).collect();
        Private {
            mac: format!("{first:02x}:{}", rest.join(":")),
            identifier: super::new_uuid(),
        }
    }
}

/// Running listeners. Dropping it ends them.
#[derive(Debug)]
struct Listening {
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                // The thread panicked, so it has ended, as intended.
            }
        }
    }
}

/// A handle to an open connection.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    air: Arc<Air>,
    /// HostID of the computer, for connections to a service.
    host: Option<String>,
    /// Connections for heartbeats survive the end of another heartbeat.
    heartbeat: bool,
}

impl Connection {
    fn end(&self) {
        // The computer may have disconnected already.
        match self.stream.shutdown(std::net::Shutdown::Both) {
            Ok(()) | Err(_) => {}
        }
    }
}

impl Shared {
    /// Begins or ends to listen, according to the switch.
    pub(super) fn refresh(self: &Arc<Self>) -> io::Result<()> {
        let wanted = switched_on(&self.phone);
        let mut net = lock(&self.net);
        if !wanted {
            let ended = (net.listening.take(), net.advert.take());
            drop(net);
            drop(ended);
            return Ok(());
        }
        if net.listening.is_none() {
            net.listening = Some(self.listen(&net)?);
        }
        if self.config.advertise {
            let facts = self.facts(&net);
            match &net.advert {
                Some(advert) => advert.show(&facts),
                None => net.advert = Some(Advert::begin(&facts, &net.air)?),
            }
        }
        Ok(())
    }

    /// Returns the first address of lockdown, while the phone listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let net = lock(&self.net);
        net.listening.as_ref()?;
        net.addresses.first().copied()
    }

    fn facts(&self, net: &Net) -> Facts {
        let config = &self.phone.config;
        let kind = self.config.advert;
        let (mac, tags) = match kind.unwrap_or_else(|| AdvertKind::of_ios(&config.ios)) {
            AdvertKind::Mac => (values::wifi_mac(&self.phone), None),
            AdvertKind::Tags => {
                let mut hosts: Vec<String> =
                    lock(&self.phone.state).pairings.keys().cloned().collect();
                hosts.sort();
                let identifier = net.private.identifier.clone();
                (net.private.mac.clone(), Some((identifier, hosts)))
            }
        };
        Facts {
            ios: config.ios.clone(),
            device_name: config.name.clone(),
            mac,
            tags,
            addresses: net.addresses.clone(),
        }
    }

    /// Returns the full name of the advert.
    pub(super) fn advert_name(&self) -> String {
        let net = lock(&self.net);
        net.advert.as_ref().map(Advert::name).unwrap_or_default()
    }

    fn listen(self: &Arc<Self>, net: &Net) -> io::Result<Listening> {
        let mut listening = Listening {
            over: Arc::default(),
            threads: Vec::new(),
        };
        for address in &net.addresses {
            let listener = bind(*address)?;
            let (shared, air) = (Arc::clone(self), Arc::clone(&net.air));
            let over = Arc::clone(&listening.over);
            let thread = thread::Builder::new()
                .name("sim-wifi".into())
                .spawn(move || {
                    while let Some(stream) = accept(&listener, None, || over.load(Ordering::SeqCst))
                    {
                        shared.serve_lockdown(stream, &air);
                    }
                })?;
            listening.threads.push(thread);
        }
        Ok(listening)
    }

    /// Serves a connection to lockdown on a thread of its own.
    fn serve_lockdown(self: &Arc<Self>, stream: TcpStream, air: &Arc<Air>) {
        let visit = Visit {
            shared: Arc::clone(self),
            air: Arc::clone(air),
            local: match stream.local_addr() {
                Ok(local) => local,
                Err(_) => return,
            },
        };
        let served = self.spawn(stream, air, None, "lockdown", move |socket| {
            lockdown::serve(&visit.shared.phone, socket, &Way::Wifi(&visit));
        });
        // If no thread could start, the connection has ended with its handle.
        match served {
            Ok(()) | Err(_) => {}
        }
    }

    /// Serves a connection on a thread of its own, and keeps a handle to it until it has ended.
    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        air: &Arc<Air>,
        host: Option<String>,
        name: &str,
        serve: impl FnOnce(Socket) + Send + 'static,
    ) -> io::Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            stream: stream.try_clone()?,
            air: Arc::clone(air),
            host,
            heartbeat: name == heartbeat::NAME,
        };
        lock(&self.connections).insert(id, connection);
        let mut socket = Socket::over_air(Radio::new(stream, air, self));
        let recorder = lock(&self.recorder).clone();
        let udid = self.phone.udid().as_str();
        socket.record(recorder.map(|recorder| recorder.open(name, Some(udid))));
        let (shared, air) = (Arc::clone(self), Arc::clone(air));
        let spawned = thread::Builder::new()
            .name(format!("sim-{name}"))
            .spawn(move || {
                serve(socket);
                // The computer must not notice the end of a connection to an address that the phone
                // has left, so its handle stays until the phone leaves the network.
                if !air.has_left() {
                    lock(&shared.connections).remove(&id);
                }
                if shared.phone.is_to_restart() {
                    shared.restart();
                }
            });
        if spawned.is_err() {
            lock(&self.connections).remove(&id);
        }
        spawned.map(drop)
    }

    /// Ends all connections and stays away for a while, as a reboot after a restore does.
    fn restart(&self) {
        let air = Arc::clone(&lock(&self.net).air);
        self.drop_connections();
        air.sleep();
        thread::sleep(self.phone.config.restart);
        self.phone.restart();
        air.wake();
    }

    /// Returns true if this computer may use services.
    fn admits(&self, host: &str) -> bool {
        let proven = |beating: &Beating| beating.host == host && beating.proven;
        !self.config.heartbeat_first || lock(&self.hearts).values().any(proven)
    }

    /// Does the same as [`admits`](Self::admits), but waits for the answer in a heartbeat that has
    /// begun: it may be on its way.
    fn admits_soon(&self, host: &str) -> bool {
        let deadline = Instant::now() + ANSWER_WAIT;
        let is_of_host = |beating: &Beating| beating.host == host;
        while !self.admits(host) {
            let has_begun = lock(&self.hearts).values().any(is_of_host);
            if !has_begun || Instant::now() >= deadline {
                return false;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        true
    }

    /// Ends the services of a computer whose last heartbeat has ended.
    fn close_services_of(&self, host: &str) {
        for connection in lock(&self.connections).values() {
            let of = connection.host.as_deref();
            if of == Some(host) && !connection.heartbeat && !connection.air.has_left() {
                connection.end();
            }
        }
    }

    fn drop_connections(&self) {
        for connection in lock(&self.connections).values() {
            if !connection.air.has_left() {
                connection.end();
            }
        }
    }
}

/// A computer's connection to lockdown over Wi-Fi, through which it starts services.
#[derive(Debug)]
pub(super) struct Visit {
    shared: Arc<Shared>,
    air: Arc<Air>,
    /// The phone's address on this connection.
    local: SocketAddr,
}

impl Visit {
    /// Opens a port for one connection to a service, on the address of this connection.
    pub(super) fn open_port(&self, service: &str, pairing: &Pairing) -> io::Result<u16> {
        let mut address = self.local;
        address.set_port(0);
        let listener = bind(address)?;
        let port = listener.local_addr()?.port();
        let (shared, air) = (Arc::clone(&self.shared), Arc::clone(&self.air));
        let (name, host) = (service.to_owned(), pairing.host.clone());
        let tls = Arc::clone(&pairing.tls);
        let deadline = Instant::now() + SERVICE_WAIT;
        thread::Builder::new()
            .name("sim-wifi-port".into())
            .spawn(move || {
                let stream = accept(&listener, Some(deadline), || air.has_left());
                drop(listener);
                if let Some(stream) = stream {
                    let served = shared.serve_service(stream, &air, name, host, tls);
                    match served {
                        Ok(()) | Err(_) => {}
                    }
                }
            })?;
        Ok(port)
    }
}

impl Shared {
    fn serve_service(
        self: &Arc<Self>,
        stream: TcpStream,
        air: &Arc<Air>,
        name: String,
        host: String,
        tls: Arc<ServerConfig>,
    ) -> io::Result<()> {
        let shared = Arc::clone(self);
        let computer = Some(host.clone());
        self.spawn(stream, air, computer, &name.clone(), move |socket| {
            if name == heartbeat::NAME {
                let heart = Heart::start(&shared, host);
                services::serve(&shared.phone, &name, &tls, socket, Some(&heart));
                heart.stop();
            } else if shared.admits_soon(&host) {
                services::serve(&shared.phone, &name, &tls, socket, None);
            } else {
                socket.cut();
            }
        })
    }
}

/// A computer's heartbeat over Wi-Fi, from its connection to its end.
#[derive(Debug)]
pub(super) struct Heart {
    id: u64,
    shared: Arc<Shared>,
    host: String,
}

impl Heart {
    fn start(shared: &Arc<Shared>, host: String) -> Heart {
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let beating = Beating {
            host: host.clone(),
            proven: false,
            told: false,
        };
        lock(&shared.hearts).insert(id, beating);
        Heart {
            id,
            shared: Arc::clone(shared),
            host,
        }
    }

    /// Returns the interval to announce, and the patience beyond it.
    pub(super) fn timing(&self) -> (Duration, Duration) {
        let config = &self.shared.config;
        (config.heartbeat, config.patience)
    }

    /// Notes that the computer has answered.
    pub(super) fn beat(&self) {
        if let Some(beating) = lock(&self.shared.hearts).get_mut(&self.id) {
            beating.proven = true;
        }
    }

    /// Returns true if the phone is about to sleep, and this computer does not know it yet.
    pub(super) fn is_to_say_goodnight(&self) -> bool {
        self.shared.sleepy.load(Ordering::SeqCst)
            && lock(&self.shared.hearts)
                .get(&self.id)
                .is_some_and(|beating| beating.proven && !beating.told)
    }

    /// Notes that this computer knows that the phone is about to sleep.
    pub(super) fn said_goodnight(&self) {
        if let Some(beating) = lock(&self.shared.hearts).get_mut(&self.id) {
            beating.told = true;
        }
    }

    /// Notes the end of the connection.
    fn stop(&self) {
        lock(&self.shared.hearts).remove(&self.id);
        if !self.shared.admits(&self.host) {
            self.shared.close_services_of(&self.host);
        }
    }
}

/// Returns true if the phone's switch for connections over Wi-Fi is on. An absent key means off.
fn switched_on(phone: &Phone) -> bool {
    let (domain, key) = SWITCH;
    values::read(phone, true, domain, Some(key)).is_ok_and(|value| value == Value::Boolean(true))
}

/// Resolves `host` or `host:port`, also with the name of an interface as in `fe80::1%en0`.
fn resolve(address: &str) -> io::Result<SocketAddr> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let is_bare_ipv6 = bare.matches(':').count() > 1 && !address.contains("]:");
    let found = if is_bare_ipv6 || !address.contains(':') {
        (bare, lockdown::PORT).to_socket_addrs()
    } else {
        address.to_socket_addrs()
    };
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
    let first = found.map_err(named)?.next();
    first.ok_or_else(|| named(io::ErrorKind::AddrNotAvailable.into()))
}

/// Replaces port 0 by a free port, which stays the same when the switch goes off and on.
fn fixed_port(mut address: SocketAddr) -> io::Result<SocketAddr> {
    if address.port() == 0 {
        address.set_port(bind(address)?.local_addr()?.port());
    }
    Ok(address)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
    let listener = TcpListener::bind(address).map_err(named)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Waits for a connection until `deadline`, or until `over` returns true.
fn accept(
    listener: &TcpListener,
    deadline: Option<Instant>,
    over: impl Fn() -> bool,
) -> Option<TcpStream> {
    loop {
        if over() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        // Any failure concerns one connection that has ended again.
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(BETWEEN_LOOKS);
            continue;
        };
        if stream.set_nonblocking(false).is_ok() && stream.set_nodelay(true).is_ok() {
            return Some(stream);
        }
    }
}
