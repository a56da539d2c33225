//! Phones on USB without a daemon: which are there, and connections to them.
//!
//! A [`Bus`] knows the hardware (`libusb.rs`, or a test's own); here is what is the same for all of
//! them. A phone is held while somebody uses it and a little longer, by one [`Link`] for all of its
//! connections.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Error, Trouble};
use super::link::{Link, Pipe, Wake};
use super::usbmuxd::{Attached, Change, Via};
use super::wire::{Calm, Socket, TICK, Wire, cancelled};
use crate::trace::Recorder;
use crate::udid::Udid;

/// How often it is looked which phones are there: libusb tells of changes on some systems only.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Until somebody has better patience.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// The numbers of phones here have this bit, so that they are never taken for a daemon's.
const OURS: u64 = 1 << 32;

/// A phone that hangs on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where: bus and address, which are new at every attach.
    pub place: u32,
    /// Its serial number, or why that cannot be read.
    pub serial: Result<String, Trouble>,
}

/// Phones of one computer.
pub trait Bus: Send + Sync {
    /// Those that are there.
    fn phones(&self) -> Result<Vec<Found>, Trouble>;

    /// Takes the phone at a place for us alone.
    fn open(&self, place: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble>;
}

/// All phones on USB. Clones share the phones that are held.
#[derive(Clone)]
pub struct Usb {
    held: Arc<Held>,
    calm: Arc<Calm>,
    recorder: Option<Recorder>,
}

/// One phone's place, and its link while that is used. One thread opens it, others wait for that.
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
    /// The phones of a bus; waits end with `calm`.
    pub fn new(bus: Box<dyn Bus>, calm: Arc<Calm>) -> Usb {
        Usb {
            held: Arc::new(Held {
                bus,
                links: Mutex::default(),
            }),
            calm,
            recorder: None,
        }
    }

    /// Has everything recorded that is said to phones.
    pub fn recorded(mut self, recorder: Recorder) -> Usb {
        self.recorder = Some(recorder);
        self
    }

    /// The same phones, with waits that end with `calm`.
    pub fn with_calm(&self, calm: Arc<Calm>) -> Usb {
        Usb {
            calm,
            ..self.clone()
        }
    }

    /// Whether it is this that gave the phone its number.
    pub fn knows(phone: &Attached) -> bool {
        phone.device_id & OURS != 0
    }

    /// The phones that are there. Fails when there are some and not one of them can be named.
    pub fn devices(&self) -> Result<Vec<Attached>, Error> {
        let found = self.held.bus.phones().map_err(unlisted)?;
        let mut why = None;
        let mut phones = Vec::new();
        for phone in found {
            // What has another kind of serial number is in recovery mode, or no phone.
            match phone.serial.map(|serial| serial.trim_matches('\0').parse()) {
                Ok(Ok(udid)) => phones.push(Attached {
                    device_id: OURS | u64::from(phone.place),
                    udid,
                    via: Via::Usb,
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

    /// Opens a connection to a port of a phone, where `service` is.
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
                // The old one gives the phone back before it is opened anew.
                over => {
                    drop(over);
                    self.open(phone).map_err(failed)?
                }
            };
            let link = slot.insert(link);
            match link.connect(port, &self.calm).map_err(failed)? {
                Some(connection) => break connection,
                // It was given back at this moment, since nobody had used it.
                None if tries > 0 => tries -= 1,
                None => return Err(failed(Trouble::Unplugged.into())),
            }
        };
        let wire = Wire::new(Socket::Usb(connection), self.calm.clone(), SILENCE_MAX);
        let mut wire = wire.map_err(failed)?;
        if let Some(recorder) = &self.recorder {
            wire.record(recorder.open(service, Some(phone.udid.as_str())));
        }
        Ok(wire)
    }

    fn open(&self, phone: &Attached) -> std::io::Result<Link> {
        let (pipe, wake) = self.held.bus.open((phone.device_id & !OURS) as u32)?;
        Link::start(pipe, wake, &self.calm)
    }

    fn slot(&self, phone: &Attached) -> Slot {
        let links = &self.held.links;
        let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
        // A watch goes on for months: phones that went leave nothing behind. What somebody else has
        // at hand is in use, or about to be: a slot gets a second owner under this lock only.
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
        // The end of a link may take a moment, in which other phones need not wait.
        drop(gone);
        slot
    }

    /// Asks to be told of every phone that comes and goes; those that are there come first.
    pub fn listen(&self) -> Result<Listener, Error> {
        // Where USB cannot be looked at, nothing will ever come.
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

/// The changes, as they are seen.
pub struct Listener {
    usb: Usb,
    known: BTreeMap<u64, Udid>,
    news: Vec<Change>,
    looked: Option<Instant>,
}

impl Listener {
    /// Waits for the next change. `gone_on` is asked now and then, and ends the wait when it says
    /// why.
    pub fn next_change(
        &mut self,
        gone_on: &mut dyn FnMut() -> Option<Error>,
    ) -> Result<Change, Error> {
        loop {
            if let Some(change) = self.news.pop() {
                return Ok(change);
            }
            if self.usb.calm.stops() {
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
            // Somebody may still give rights to a phone that was just plugged in: that is udev's
            // work.
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
            // The last is told first: who goes before who comes.
            self.news.push(Change::Detached(id));
        }
        Ok(())
    }
}
