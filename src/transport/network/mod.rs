//! Phones over Wi-Fi without a daemon: finding them by DNS-SD or at a given address, and
//! connections to them.
//!
//! Lockdown listens on port 62078 of the phone's own address, and each service on a port there.
//! Nothing that is found here is proof of anything: `device` offers the pair records to what
//! answers, and [`Network::place`] notes which phone it turned out to be.

mod address;
mod advert;
#[cfg(feature = "network")]
mod discovery;
mod recognise;
mod tag;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::socket::{Socket, Wire};
use super::usbmuxd::{Attached, Via};
use crate::base::cancel::{CancelToken, cancelled};
use crate::base::udid::Udid;
use crate::trace::Recorder;

pub use address::{Address, NotAnAddress};
pub use advert::{Advert, Mac, SERVICE};
pub use recognise::{KnownPhone, Owner};
pub use tag::{Tag, tag};

/// Port of lockdown on every phone.
const LOCKDOWN_PORT: u16 = 62078;
/// Number of addresses of one phone that are tried.
const ADDRESSES_MAX: usize = 8;
/// Longest wait for a connection to one address. A phone that sleeps answers within two seconds or
/// not at all.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// Longest silence of a new connection, until its user sets another limit.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Bit that is set in the numbers of all phones here, so that they never equal those of a daemon or
/// of USB.
const OURS: u64 = 1 << 33;

/// Ways to look for phones.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Addresses that the user gave.
    pub addresses: Vec<Address>,
    /// Look for phones by DNS-SD.
    pub discover: bool,
    /// Also dial addresses of this computer that are advertised, as a simulated phone does.
    pub loopback: bool,
}

/// Signs of life from the network since browsing began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Air {
    /// Number of network interfaces that are listened on; `None` before it is known.
    pub interfaces: Option<usize>,
    /// Another device answered a query, if only for another service.
    pub answered: bool,
    /// Another program holds the port of mDNS, so nothing is listened on.
    pub port_is_held: bool,
    /// Number of times that browsing restarted because of too many records.
    pub restarts: u32,
}

/// A phone that was seen: its advert, or an address that the user gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The advert; `None` at a given address.
    pub advert: Option<Advert>,
    /// The addresses, the most promising first.
    pub addresses: Vec<SocketAddr>,
}

impl Sighting {
    /// Returns the phones that it may be of.
    pub fn owner<'a>(&self, known: &'a [KnownPhone]) -> Owner<'a> {
        self.advert
            .as_ref()
            .map_or(Owner::Unknown, |advert| advert.owner(known))
    }
}

/// All phones over Wi-Fi. Clones share what was found.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
    token: Arc<CancelToken>,
    recorder: Option<Recorder>,
}

struct Shared {
    options: Options,
    #[cfg(feature = "network")]
    browser: Mutex<Option<Arc<discovery::Browser>>>,
    places: Mutex<BTreeMap<Udid, Place>>,
    numbers: AtomicU64,
}

/// The address at which a phone proved to be.
struct Place {
    number: u64,
    /// False after a look in which the phone did not answer.
    is_present: bool,
    address: SocketAddr,
    proved: Instant,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    /// Creates the transport. Nothing is sent until phones are looked for.
    pub fn new(options: Options, token: Arc<CancelToken>) -> Network {
        Network {
            shared: Arc::new(Shared {
                options,
                #[cfg(feature = "network")]
                browser: Mutex::default(),
                places: Mutex::default(),
                numbers: AtomicU64::new(OURS),
            }),
            token,
            recorder: None,
        }
    }

    /// Records all communication with phones.
    pub(crate) fn recorded(mut self, recorder: Recorder) -> Network {
        self.recorder = Some(recorder);
        self
    }

    /// Returns a clone whose waits end when `token` is cancelled.
    pub fn with_token(&self, token: Arc<CancelToken>) -> Network {
        Network {
            token,
            ..self.clone()
        }
    }

    /// Returns true if this transport assigned the phone's number.
    pub fn knows(phone: &Attached) -> bool {
        phone.device_id & OURS != 0
    }

    /// Returns the addresses that the user gave.
    pub fn given(&self) -> &[Address] {
        &self.shared.options.addresses
    }

    /// Returns the addresses that the user gave, as sightings of unknown phones.
    pub(crate) fn given_sightings(&self) -> Vec<Sighting> {
        let mut seen = Vec::new();
        for address in self.given() {
            // An unknown name is a phone that is not there.
            let addresses = address.resolve().unwrap_or_default();
            if !addresses.is_empty() {
                seen.push(Sighting {
                    advert: None,
                    addresses,
                });
            }
        }
        seen
    }

    /// Returns what phones advertise, once `enough` is true of it, or `wait` after the first call
    /// of this function.
    #[cfg(feature = "network")]
    pub(crate) fn heard(
        &self,
        known: &[KnownPhone],
        wait: Duration,
        mut enough: impl FnMut(&[Sighting]) -> bool,
    ) -> Vec<Sighting> {
        let to_sighting = |heard: &discovery::Heard| Sighting {
            advert: Some(heard.advert.clone()),
            addresses: heard.addresses.clone(),
        };
        let heard = self.browser(|browser| {
            browser.know(known);
            browser.wait(wait, |heard| {
                let seen: Vec<Sighting> = heard.iter().map(to_sighting).collect();
                self.token.cancelled() || enough(&seen)
            })
        });
        heard.iter().flatten().map(to_sighting).collect()
    }

    #[cfg(not(feature = "network"))]
    pub(crate) fn heard(
        &self,
        _known: &[KnownPhone],
        _wait: Duration,
        _enough: impl FnMut(&[Sighting]) -> bool,
    ) -> Vec<Sighting> {
        Vec::new()
    }

    /// Calls `ask` with the browser, which is started at the first call.
    #[cfg(feature = "network")]
    fn browser<T>(&self, ask: impl FnOnce(&discovery::Browser) -> T) -> Option<T> {
        if !self.shared.options.discover {
            return None;
        }
        let browser = self.shared.browser.lock();
        let mut browser = browser.unwrap_or_else(PoisonError::into_inner);
        let start = || Arc::new(discovery::Browser::start(self.shared.options.loopback));
        let own = browser.get_or_insert_with(start).clone();
        drop(browser);
        Some(ask(&own))
    }

    /// Returns what was heard on the network at all, or the reason for hearing nothing; `None` if
    /// phones are not looked for by DNS-SD.
    #[cfg(feature = "network")]
    pub fn air(&self) -> Option<Result<Air, String>> {
        self.browser(|browser| browser.trouble().map_or_else(|| Ok(browser.air()), Err))
    }

    /// Returns what was heard on the network at all; never anything without the feature `network`.
    #[cfg(not(feature = "network"))]
    pub fn air(&self) -> Option<Result<Air, String>> {
        None
    }

    /// Notes that a phone proved to be at an address, and returns it as an attached phone. It gets
    /// a new number at each new address, and when it was missed before.
    pub fn place(&self, udid: &Udid, address: SocketAddr) -> Attached {
        let mut places = self.places();
        let number = match places.get(udid) {
            Some(place) if place.address == address && place.is_present => place.number,
            _ => self.shared.numbers.fetch_add(1, Ordering::SeqCst),
        };
        let place = Place {
            number,
            is_present: true,
            address,
            proved: Instant::now(),
        };
        places.insert(udid.clone(), place);
        attached(udid, number)
    }

    /// Notes that a phone does not answer. Its address stays, for connections of a session that is
    /// under way; when the phone answers again, it gets a new number.
    pub fn miss(&self, udid: &Udid) {
        if let Some(place) = self.places().get_mut(udid) {
            place.is_present = false;
        }
    }

    /// Returns a phone that proved to be at one of these addresses less than `age` ago.
    pub fn placed(&self, udid: &Udid, addresses: &[SocketAddr], age: Duration) -> Option<Attached> {
        let places = self.places();
        let place = places.get(udid)?;
        let is_recent =
            place.is_present && place.proved.elapsed() < age && addresses.contains(&place.address);
        is_recent.then(|| attached(udid, place.number))
    }

    /// Returns the address at which a phone proved to be last.
    pub fn address(&self, udid: &Udid) -> Option<SocketAddr> {
        self.places().get(udid).map(|place| place.address)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<Udid, Place>> {
        self.shared
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until cancelled, and returns the error of that.
    pub(super) fn wait_for_nothing(&self) -> Error {
        while !self.token.stops() {
            std::thread::sleep(super::tick::TICK);
        }
        Error::Io {
            doing: "wait for phones",
            cause: cancelled(),
        }
    }

    /// Opens a connection to a port of a phone; `service` names the connection in recordings.
    pub fn connect(&self, phone: &Attached, port: u16, service: &str) -> Result<Wire, Error> {
        let Some(mut address) = self.address(&phone.udid) else {
            return Err(Error::Io {
                doing: "connect to the phone over Wi-Fi",
                cause: io::ErrorKind::NotFound.into(),
            });
        };
        // Lockdown may listen on a port of the user's choice; the others are the phone's.
        if port != LOCKDOWN_PORT {
            address.set_port(port);
        }
        self.dial(address, service, Some(phone.udid.as_str()))
    }

    /// Opens a connection to an address at which a phone may be.
    pub(crate) fn dial(
        &self,
        address: SocketAddr,
        service: &str,
        udid: Option<&str>,
    ) -> Result<Wire, Error> {
        let failed = |cause| Error::Network { address, cause };
        if self.token.stops() {
            return Err(failed(cancelled()));
        }
        let socket = TcpStream::connect_timeout(&address, CONNECT_MAX).map_err(failed)?;
        keep_alive(&socket).map_err(failed)?;
        let wire = Wire::new(Socket::Tcp(socket), self.token.clone(), SILENCE_MAX);
        let mut wire = wire.map_err(failed)?;
        wire.set_over_wifi();
        if let Some(recorder) = &self.recorder {
            wire.record(recorder.open(service, udid));
        }
        Ok(wire)
    }
}

fn attached(udid: &Udid, number: u64) -> Attached {
    Attached {
        device_id: number,
        udid: udid.clone(),
        via: Via::Network,
        is_replayed: false,
    }
}

/// Makes the system end a connection whose other side is gone: lockdown's is idle for hours during
/// a backup.
#[cfg(feature = "network")]
fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    /// Idle time before the first probe, and between two.
    const PROBE_EVERY: Duration = Duration::from_secs(15);
    let keep = socket2::TcpKeepalive::new();
    let keep = keep.with_time(PROBE_EVERY).with_interval(PROBE_EVERY);
    socket2::SockRef::from(socket).set_tcp_keepalive(&keep)
}

#[cfg(not(feature = "network"))]
fn keep_alive(_socket: &TcpStream) -> io::Result<()> {
    Ok(())
}
