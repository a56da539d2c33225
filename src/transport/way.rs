//! Which way to phones: through a daemon, over USB, or whichever there is.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Error;
use super::usb::{self, Usb};
use super::usbmuxd::{self, Address, Attached, Change, Usbmuxd};
use super::wire::{Calm, Wire};
use crate::trace::Recorder;

/// What a user may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The daemon and nothing else.
    Usbmuxd,
    /// USB and nothing else.
    Usb,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        match text {
            "usbmuxd" => Ok(Wanted::Usbmuxd),
            "usb" => Ok(Wanted::Usb),
            _ => Err("it is usbmuxd or usb".to_owned()),
        }
    }
}

/// The way to phones.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Through a daemon.
    Daemon(Usbmuxd),
    /// Over USB.
    Usb(Usb),
    /// Through the daemon while one answers, else over USB. Asked anew each time: udev starts and
    /// stops daemons with phones.
    Either(Usbmuxd, Usb),
}

impl From<Usbmuxd> for Transport {
    fn from(daemon: Usbmuxd) -> Transport {
        Transport::Daemon(daemon)
    }
}

impl From<Usb> for Transport {
    fn from(usb: Usb) -> Transport {
        Transport::Usb(usb)
    }
}

/// The one that serves now.
enum Now<'a> {
    Daemon(&'a Usbmuxd),
    Usb(&'a Usb),
}

impl Transport {
    /// What is wanted, or what is best here: a daemon whose address was given, else whichever there
    /// is.
    pub fn choose(wanted: Option<Wanted>, calm: Arc<Calm>) -> Result<Transport, Error> {
        let daemon = Usbmuxd::new(Address::from_environment(), calm.clone());
        match wanted {
            Some(Wanted::Usbmuxd) => Ok(Transport::Daemon(daemon)),
            Some(Wanted::Usb) => Ok(Transport::Usb(on_this_computer(calm)?)),
            None if usbmuxd::from_variable().is_some() => Ok(Transport::Daemon(daemon)),
            None if is_usable() => Ok(Transport::Either(daemon, on_this_computer(calm)?)),
            None => Ok(Transport::Daemon(daemon)),
        }
    }

    /// Has everything recorded that is said to the daemon and to phones.
    pub fn recorded(self, recorder: Recorder) -> Transport {
        match self {
            Transport::Daemon(daemon) => Transport::Daemon(daemon.recorded(recorder)),
            Transport::Usb(usb) => Transport::Usb(usb.recorded(recorder)),
            Transport::Either(daemon, usb) => {
                Transport::Either(daemon.recorded(recorder.clone()), usb.recorded(recorder))
            }
        }
    }

    /// The same way, with waits that end with `calm`.
    pub fn with_calm(&self, calm: Arc<Calm>) -> Transport {
        match self {
            Transport::Daemon(daemon) => Transport::Daemon(daemon.with_calm(calm)),
            Transport::Usb(usb) => Transport::Usb(usb.with_calm(calm)),
            Transport::Either(daemon, usb) => {
                Transport::Either(daemon.with_calm(calm.clone()), usb.with_calm(calm))
            }
        }
    }

    fn now(&self) -> Now<'_> {
        match self {
            Transport::Daemon(daemon) => Now::Daemon(daemon),
            Transport::Usb(usb) => Now::Usb(usb),
            Transport::Either(daemon, _) if daemon.answers() => Now::Daemon(daemon),
            Transport::Either(_, usb) => Now::Usb(usb),
        }
    }

    /// The daemon, if it is that which serves now.
    pub fn daemon(&self) -> Option<&Usbmuxd> {
        match self.now() {
            Now::Daemon(daemon) => Some(daemon),
            Now::Usb(_) => None,
        }
    }

    /// USB was asked for, and a daemon is there all the same: it holds the phones that it knows.
    pub fn passes_over_a_daemon(&self) -> bool {
        matches!(self, Transport::Usb(_)) && Address::from_environment().answers()
    }

    /// The phones that are there, each by its own entries.
    pub fn devices(&self) -> Result<Vec<Attached>, Error> {
        match self.now() {
            Now::Daemon(daemon) => daemon.devices(),
            Now::Usb(usb) => match (self, usb.devices()?) {
                // There Apple's service is the way, and libusb sees little without it: that it is
                // missing is what to tell.
                (Transport::Either(daemon, _), phones) if cfg!(windows) && phones.is_empty() => {
                    daemon.devices()
                }
                (_, phones) => Ok(phones),
            },
        }
    }

    /// Opens a connection to a port of a phone, where `service` is: the way by which the phone was
    /// found.
    pub fn connect(&self, phone: &Attached, port: u16, service: &str) -> Result<Wire, Error> {
        match self {
            Transport::Daemon(daemon) => daemon.connect(phone, port, service),
            Transport::Either(daemon, _) if !Usb::knows(phone) => {
                daemon.connect(phone, port, service)
            }
            Transport::Usb(usb) | Transport::Either(_, usb) => usb.connect(phone, port, service),
        }
    }

    /// Asks to be told of every phone that comes and goes; those that are there come first.
    pub fn listen(&self) -> Result<Listener, Error> {
        Ok(match self.now() {
            Now::Daemon(daemon) => Listener::Daemon(daemon.listen()?),
            Now::Usb(usb) => {
                // A daemon that starts later takes the phones.
                let rival = match self {
                    Transport::Either(daemon, _) => Some(daemon.clone()),
                    _ => None,
                };
                Listener::Usb(usb.listen()?, rival)
            }
        })
    }
}

/// The changes, as they happen.
pub enum Listener {
    /// The daemon tells them.
    Daemon(usbmuxd::Listener),
    /// They are looked for, until a daemon answers.
    Usb(usb::Listener, Option<Usbmuxd>),
}

impl Listener {
    /// Waits for the next change.
    pub fn next_change(&mut self) -> Result<Change, Error> {
        match self {
            Listener::Daemon(listener) => listener.next_change(),
            Listener::Usb(listener, rival) => listener.next_change(&mut || {
                let has_come = rival.as_ref().is_some_and(Usbmuxd::answers);
                has_come.then(|| Error::Io {
                    doing: "watch USB any longer",
                    cause: std::io::Error::other("usbmuxd has started, and is asked from now on"),
                })
            }),
        }
    }
}

/// Where usbmuxd, or Apple's own daemon, keeps its pair records.
pub fn records_of_daemons() -> PathBuf {
    if cfg!(windows) {
        let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
        PathBuf::from(data).join("Apple").join("Lockdown")
    } else if cfg!(target_os = "macos") {
        "/var/db/lockdown".into()
    } else {
        "/var/lib/lockdown".into()
    }
}

#[cfg(all(feature = "usb", not(target_os = "macos")))]
fn on_this_computer(calm: Arc<Calm>) -> Result<Usb, Error> {
    Ok(Usb::new(Box::new(super::libusb::Libusb), calm))
}

/// Whether there is any USB to do without a daemon with: containers mostly have none.
#[cfg(all(feature = "usb", not(target_os = "macos")))]
fn is_usable() -> bool {
    super::libusb::Libusb::is_here()
}

#[cfg(not(all(feature = "usb", not(target_os = "macos"))))]
fn is_usable() -> bool {
    false
}

#[cfg(not(all(feature = "usb", not(target_os = "macos"))))]
fn on_this_computer(_calm: Arc<Calm>) -> Result<Usb, Error> {
    Err(Error::Usb {
        doing: "reach phones over USB",
        trouble: super::error::Trouble::NotBuilt,
    })
}
