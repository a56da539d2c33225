//! Choice of the transport to phones: a daemon, USB, or the one that is available.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Error;
use super::usb::Usb;
use super::usbmuxd::{Address, Attached, Change, Usbmuxd};
use crate::base::cancel::CancelToken;
use crate::trace::Recorder;
use crate::transport::network::{self, Network};
use crate::transport::socket::Wire;
use crate::transport::{usb, usbmuxd};

/// Transport that the user may request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The daemon only.
    Usbmuxd,
    /// USB only, even if a daemon runs.
    Usb,
    /// Wi-Fi only, even if a cable is connected, and without a daemon.
    Network,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        match text {
            "usbmuxd" => Ok(Wanted::Usbmuxd),
            "usb" => Ok(Wanted::Usb),
            "network" => Ok(Wanted::Network),
            _ => Err("it must be usbmuxd, usb or network".to_owned()),
        }
    }
}

/// Transport to phones.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Through a daemon.
    Daemon(Usbmuxd),
    /// Over USB, without a daemon.
    Usb(Usb),
    /// Through the daemon while one answers, else over USB. Checked again for each call, since udev
    /// starts and stops daemons as phones are attached and detached.
    Either(Usbmuxd, Usb),
    /// Over Wi-Fi, without a daemon.
    Network(Network),
    /// Through another transport, and over Wi-Fi for phones that it does not list.
    Also(Box<Transport>, Network),
}

impl From<Network> for Transport {
    fn from(network: Network) -> Transport {
        Transport::Network(network)
    }
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

/// The transport in use for one call.
enum Now<'a> {
    Daemon(&'a Usbmuxd),
    Usb(&'a Usb),
    Network(&'a Network),
}

impl Transport {
    /// Returns the requested transport. Without a request, uses a daemon whose address the
    /// environment gives, else whichever transport is available, and Wi-Fi besides. A daemon of the
    /// environment is used alone, unless `network` has addresses.
    pub fn choose(
        wanted: Option<Wanted>,
        network: network::Options,
        token: Arc<CancelToken>,
    ) -> Result<Transport, Error> {
        let daemon = Usbmuxd::new(Address::from_environment(), token.clone());
        let is_asked = !network.addresses.is_empty();
        let over_wifi = Network::new(network, token.clone());
        let attached = match wanted {
            Some(Wanted::Usbmuxd) => return Ok(Transport::Daemon(daemon)),
            Some(Wanted::Usb) => return Ok(Transport::Usb(on_this_computer(token)?)),
            Some(Wanted::Network) => return Ok(Transport::Network(over_wifi)),
            None if usbmuxd::from_variable().is_some() && !is_asked => {
                return Ok(Transport::Daemon(daemon));
            }
            None if usbmuxd::from_variable().is_some() => Transport::Daemon(daemon),
            None if is_usable() => Transport::Either(daemon, on_this_computer(token)?),
            None => Transport::Daemon(daemon),
        };
        Ok(Transport::Also(Box::new(attached), over_wifi))
    }

    /// Records all communication with the daemon and with phones.
    pub fn recorded(self, recorder: Recorder) -> Transport {
        match self {
            Transport::Daemon(daemon) => Transport::Daemon(daemon.recorded(recorder)),
            Transport::Usb(usb) => Transport::Usb(usb.recorded(recorder)),
            Transport::Either(daemon, usb) => {
                Transport::Either(daemon.recorded(recorder.clone()), usb.recorded(recorder))
            }
            Transport::Network(network) => Transport::Network(network.recorded(recorder)),
            Transport::Also(other, network) => Transport::Also(
                Box::new(other.recorded(recorder.clone())),
                network.recorded(recorder),
            ),
        }
    }

    /// Returns a clone whose waits end when `token` is cancelled.
    pub(crate) fn with_token(&self, token: Arc<CancelToken>) -> Transport {
        match self {
            Transport::Daemon(daemon) => Transport::Daemon(daemon.with_token(token)),
            Transport::Usb(usb) => Transport::Usb(usb.with_token(token)),
            Transport::Either(daemon, usb) => {
                Transport::Either(daemon.with_token(token.clone()), usb.with_token(token))
            }
            Transport::Network(network) => Transport::Network(network.with_token(token)),
            Transport::Also(other, network) => Transport::Also(
                Box::new(other.with_token(token.clone())),
                network.with_token(token),
            ),
        }
    }

    fn now(&self) -> Now<'_> {
        match self {
            Transport::Daemon(daemon) => Now::Daemon(daemon),
            Transport::Usb(usb) => Now::Usb(usb),
            Transport::Either(daemon, _) if daemon.answers() => Now::Daemon(daemon),
            Transport::Either(_, usb) => Now::Usb(usb),
            Transport::Network(network) => Now::Network(network),
            Transport::Also(other, _) => other.now(),
        }
    }

    /// Returns the transport over Wi-Fi, if this one includes it.
    pub fn network(&self) -> Option<&Network> {
        match self {
            Transport::Network(network) | Transport::Also(_, network) => Some(network),
            _ => None,
        }
    }

    /// Returns the daemon, if it is the transport in use now.
    pub fn daemon(&self) -> Option<&Usbmuxd> {
        match self.now() {
            Now::Daemon(daemon) => Some(daemon),
            Now::Usb(_) | Now::Network(_) => None,
        }
    }

    /// Returns true if USB or Wi-Fi was requested although a daemon answers: the daemon holds the
    /// phones that it knows.
    pub(crate) fn passes_over_a_daemon(&self) -> bool {
        matches!(self, Transport::Usb(_) | Transport::Network(_))
            && Address::from_environment().answers()
    }

    /// Lists the attached phones, except those that only [`Transport::network`] reaches. A phone
    /// that a daemon lists by cable and by Wi-Fi has two entries.
    pub fn devices(&self) -> Result<Vec<Attached>, Error> {
        if let Transport::Also(other, _) = self {
            return other.devices();
        }
        match self.now() {
            Now::Network(_) => Ok(Vec::new()),
            Now::Daemon(daemon) => daemon.devices(),
            Now::Usb(usb) => match (self, usb.devices()?) {
                // On Windows, Apple's service is the usual transport, and libusb sees little
                // without it. Ask the service, so that the error says that it is missing.
                (Transport::Either(daemon, _), phones) if cfg!(windows) && phones.is_empty() => {
                    daemon.devices()
                }
                (_, phones) => Ok(phones),
            },
        }
    }

    /// Opens a connection to a port of a phone, through the transport by which the phone was found.
    /// `service` names the connection in recordings.
    pub fn connect(&self, phone: &Attached, port: u16, service: &str) -> Result<Wire, Error> {
        match self {
            Transport::Daemon(daemon) => daemon.connect(phone, port, service),
            Transport::Either(daemon, _) if !Usb::knows(phone) => {
                daemon.connect(phone, port, service)
            }
            Transport::Usb(usb) | Transport::Either(_, usb) => usb.connect(phone, port, service),
            Transport::Also(other, _) if !Network::knows(phone) => {
                other.connect(phone, port, service)
            }
            Transport::Network(network) | Transport::Also(_, network) => {
                network.connect(phone, port, service)
            }
        }
    }

    /// Subscribes to phones being attached and detached, starting with those already attached,
    /// except those that only [`Transport::network`] reaches.
    pub fn listen(&self) -> Result<Listener, Error> {
        if let Transport::Also(other, _) = self {
            return other.listen();
        }
        Ok(match self.now() {
            Now::Network(network) => Listener::Nothing(network.clone()),
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

/// Stream of changes.
pub enum Listener {
    /// The daemon reports the changes.
    Daemon(usbmuxd::Listener),
    /// The changes are found by polling USB, until a daemon answers.
    Usb(usb::Listener, Option<Usbmuxd>),
    /// No changes are reported: phones over Wi-Fi have to be looked for.
    Nothing(Network),
}

impl Listener {
    /// Waits for the next change.
    pub fn next_change(&mut self) -> Result<Change, Error> {
        match self {
            Listener::Nothing(network) => Err(network.wait_for_nothing()),
            Listener::Daemon(listener) => listener.next_change(),
            Listener::Usb(listener, rival) => listener.next_change(&mut || {
                let has_come = rival.as_ref().is_some_and(Usbmuxd::answers);
                has_come.then(|| Error::Io {
                    doing: "continue watching USB",
                    cause: std::io::Error::other("usbmuxd has started and is used from now on"),
                })
            }),
        }
    }
}

/// Returns the folder in which usbmuxd, or Apple's own daemon, keeps its pair records.
pub(crate) fn records_of_daemons() -> PathBuf {
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
fn on_this_computer(token: Arc<CancelToken>) -> Result<Usb, Error> {
    Ok(Usb::new(
        Box::new(crate::transport::usb::libusb::Libusb),
        token,
    ))
}

/// Returns true if USB can be used without a daemon; in most containers it cannot.
#[cfg(all(feature = "usb", not(target_os = "macos")))]
fn is_usable() -> bool {
    crate::transport::usb::libusb::Libusb::is_here()
}

#[cfg(not(all(feature = "usb", not(target_os = "macos"))))]
fn is_usable() -> bool {
    false
}

#[cfg(not(all(feature = "usb", not(target_os = "macos"))))]
fn on_this_computer(_token: Arc<CancelToken>) -> Result<Usb, Error> {
    Err(Error::Usb {
        doing: "reach phones over USB",
        trouble: super::error::Trouble::NotBuilt,
    })
}
