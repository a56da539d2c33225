//! Phones on USB without a daemon: listing them, and connections to them.
//!
//! A [`Bus`] gives access to the hardware (`libusb.rs`, or a test's own); this module holds what
//! all of them share. A phone is held while it has connections and a little longer, by one `Link`
//! for all of its connections.

#[cfg(all(feature = "usb", not(target_os = "macos")))]
pub(crate) mod bulk;
#[cfg(all(feature = "usb", not(target_os = "macos")))]
pub(crate) mod libusb;
pub mod mux;
pub(crate) mod packet;
pub mod pump;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Error, Trouble};
use super::usbmuxd::{Attached, Change, Via};
use crate::base::cancel::{CancelToken, cancelled};
use crate::base::udid::Udid;
use crate::trace::Recorder;
use crate::transport::socket::{Socket, Wire};
use crate::transport::tick::TICK;
use crate::transport::usb::pump::{Link, Pipe, Wake};

/// Interval between two listings of the phones: libusb reports changes on some systems only.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest silence of a new connection, until its user sets another limit.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Bit that is set in the numbers of all phones here, so that they never equal a daemon's numbers.
const OURS: u64 = 1 << 32;

/// A phone attached to a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bus and address, which are new at every attach.
    pub place: u32,
    /// The serial number, or the reason why it cannot be read.
    pub serial: Result<String, Trouble>,
}

/// Access to the phones of one computer.
pub trait Bus: Send + Sync {
    /// Lists the attached phones.
    fn phones(&self) -> Result<Vec<Found>, Trouble>;

    /// Claims the phone at a place exclusively.
    fn open(&self, place: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble>;
}

/// All phones on USB. Clones share the open phones.
#[derive(Clone)]
pub struct Usb {
    held: Arc<Held>,
    token: Arc<CancelToken>,
    recorder: Option<Recorder>,
}

/// Slot for one phone's link, filled while the link is in use. One thread opens it while others
/// wait on the mutex.
type Slot = Arc<Mutex<Option<Link>>>;

struct Held {
    bus: Box<dyn Bus>,
    links: Mutex<BTreeMap<u64, Slot>>,
}

impl fmt::Debug for Usb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Usb")
    }
}

impl Usb {
    /// Uses the phones of a bus; waits end when `token` is cancelled.
    pub fn new(bus: Box<dyn Bus>, token: Arc<CancelToken>) -> Usb {
        Usb {
            held: Arc::new(Held {
                bus,
                links: Mutex::default(),
            }),
            token,
            recorder: None,
        }
    }

    /// Records all communication with phones.
    pub(crate) fn recorded(mut self, recorder: Recorder) -> Usb {
        self.recorder = Some(recorder);
        self
    }

    /// Returns a clone whose waits end when `token` is cancelled.
    pub fn with_token(&self, token: Arc<CancelToken>) -> Usb {
        Usb {
            token,
            ..self.clone()
        }
    }

    /// Returns true if this transport, not a daemon, assigned the phone's number.
    pub fn knows(phone: &Attached) -> bool {
        phone.device_id & OURS != 0
    }

    /// Lists the attached phones. Fails if there are phones but none of their serial numbers can be
    /// read.
    pub fn devices(&self) -> Result<Vec<Attached>, Error> {
        let found = self.held.bus.phones().map_err(unlisted)?;
        let mut why = None;
        let mut phones = Vec::new();
        for phone in found {
            // A phone in recovery mode, or a device that is not a phone, has another kind of serial
            // number.
            match phone.serial.map(|serial| serial.trim_matches('\0').parse()) {
                Ok(Ok(udid)) => phones.push(Attached {
                    device_id: OURS | u64::from(phone.place),
                    udid,
                    via: Via::Usb,
                    is_replayed: false,
                }),
                Ok(Err(_)) => {}
                Err(trouble) => why = Some(trouble),
            }
        }
        match why {
            Some(trouble) if phones.is_empty() => Err(unlisted(trouble)),
            _ => Ok(phones),
        }
    }

    /// Opens a connection to a port of a phone; `service` names the connection in recordings.
    pub fn connect(&self, phone: &Attached, port: u16, service: &str) -> Result<Wire, Error> {
        const DOING: &str = "connect to the phone over USB";
        let failed = |cause: std::io::Error| match cause.get_ref().and_then(|e| e.downcast_ref()) {
            Some(trouble) => Error::Usb {
                doing: DOING,
                trouble: Trouble::clone(trouble),
            },
            None => Error::Io {
                doing: DOING,
                cause,
            },
        };
        let slot = self.slot(phone);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = 2;
        let connection = loop {
            let link = match slot.take() {
                Some(link) if !link.is_over() => link,
                // Drop the old link first, so that it releases the phone before it is opened again.
                over => {
                    drop(over);
                    self.open(phone).map_err(failed)?
                }
            };
            let link = slot.insert(link);
            match link.connect(port, &self.token).map_err(failed)? {
                Some(connection) => break connection,
                // The link has just released the phone, since it was unused.
                None if tries > 0 => tries -= 1,
                None => return Err(failed(Trouble::Unplugged.into())),
            }
        };
        let wire = Wire::new(Socket::Usb(connection), self.token.clone(), SILENCE_MAX);
        let mut wire = wire.map_err(failed)?;
        if let Some(recorder) = &self.recorder {
            wire.record(recorder.open(service, Some(phone.udid.as_str())));
        }
        Ok(wire)
    }

    fn open(&self, phone: &Attached) -> std::io::Result<Link> {
        let (pipe, wake) = self.held.bus.open((phone.device_id & !OURS) as u32)?;
        Link::start(pipe, wake, &self.token)
    }

    fn slot(&self, phone: &Attached) -> Slot {
        let links = &self.held.links;
        let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
        // Remove the slots of phones that have left, since a watch runs for months. A slot with a
        // second owner is in use, or about to be: it gets that owner under this lock only.
        let mut gone = Vec::new();
        links.retain(|_, slot| {
            let used = Arc::strong_count(slot) > 1
                || match slot.try_lock() {
                    Ok(link) => link.as_ref().is_some_and(|link| !link.is_over()),
                    Err(_) => true,
                };
            if !used {
                gone.push(slot.clone());
            }
            used
        });
        let slot = links.entry(phone.device_id).or_default().clone();
        drop(links);
        // Ending a link may take a moment; other phones need not wait for it.
        drop(gone);
        slot
    }

    /// Subscribes to phones being attached and detached, starting with those already attached.
    pub fn listen(&self) -> Result<Listener, Error> {
        // Fail now if USB is not accessible, since no phone would ever appear.
        self.held.bus.phones().map_err(unlisted)?;
        Ok(Listener {
            usb: self.clone(),
            known: BTreeMap::new(),
            news: Vec::new(),
            looked: None,
        })
    }
}

fn unlisted(trouble: Trouble) -> Error {
    Error::Usb {
        doing: "list phones on USB",
        trouble,
    }
}

/// Stream of changes, found by polling.
pub struct Listener {
    usb: Usb,
    known: BTreeMap<u64, Udid>,
    news: Vec<Change>,
    looked: Option<Instant>,
}

impl Listener {
    /// Waits for the next change. Calls `gone_on` at every poll; an error that it returns ends the
    /// wait.
    pub fn next_change(
        &mut self,
        gone_on: &mut dyn FnMut() -> Option<Error>,
    ) -> Result<Change, Error> {
        loop {
            if let Some(change) = self.news.pop() {
                return Ok(change);
            }
            if self.usb.token.stops() {
                return Err(Error::Io {
                    doing: "wait for phones",
                    cause: cancelled(),
                });
            }
            match self.looked {
                Some(at) if at.elapsed() < LOOK_EVERY => std::thread::sleep(TICK),
                _ => {
                    if let Some(error) = gone_on() {
                        return Err(error);
                    }
                    self.look()?;
                    self.looked = Some(Instant::now());
                }
            }
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        let there = match self.usb.devices() {
            // udev may still be about to grant access to a phone that was just plugged in.
            Err(Error::Usb {
                trouble: Trouble::NoRights { .. } | Trouble::Unplugged,
                ..
            }) => Vec::new(),
            there => there?,
        };
        let went = |id: &u64| !there.iter().any(|phone| phone.device_id == *id);
        let gone: Vec<u64> = self.known.keys().copied().filter(went).collect();
        for phone in there {
            let is_new =
                self.known.insert(phone.device_id, phone.udid.clone()) != Some(phone.udid.clone());
            if is_new {
                self.news.push(Change::Attached(phone));
            }
        }
        for id in gone {
            self.known.remove(&id);
            // `news` is popped from the end, so that detached phones are reported before attached
            // ones.
            self.news.push(Change::Detached(id));
        }
        Ok(())
    }
}
