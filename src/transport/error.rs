//! Errors in reaching a phone: answers from the daemon and failures on USB.

use std::{fmt, io};

use crate::transport::usb::mux;

/// Failure to reach a phone, through the daemon or over USB.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No daemon listens on the address.
    NoDaemon {
        /// The address, as shown to the user.
        address: String,
        /// True if the environment sets the address.
        is_from_environment: bool,
        /// The error from opening the socket.
        cause: io::Error,
    },
    /// The daemon closed the connection or stopped answering, or the wait was cancelled.
    Io {
        /// The request or wait that failed; completes "cannot ...".
        doing: &'static str,
        /// The error of the socket.
        cause: io::Error,
    },
    /// The answer does not follow the daemon's protocol.
    Strange {
        /// The request that failed; completes "cannot ...".
        doing: &'static str,
        /// The defect of the answer.
        why: String,
    },
    /// The daemon refused the request: 1 bad command, 2 no such device (or record), 3 connection
    /// refused, 6 bad version.
    Refused {
        /// The request that failed; completes "cannot ...".
        doing: &'static str,
        /// The number in the daemon's answer.
        number: u64,
    },
    /// The phone's address on the network does not accept a connection.
    Network {
        /// The address.
        address: std::net::SocketAddr,
        /// The error of the socket.
        cause: io::Error,
    },
    /// The phone could not be used over USB without a daemon.
    Usb {
        /// The step that failed; completes "cannot ...".
        doing: &'static str,
        /// The cause of the failure.
        trouble: Trouble,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDaemon { address, cause, .. } => {
                write!(f, "usbmuxd does not answer on {address}: {cause}")
            }
            Error::Io { doing, cause } if cause.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "cannot {doing}: usbmuxd closed the connection")
            }
            Error::Io { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Error::Strange { doing, why } => {
                write!(f, "cannot {doing}: usbmuxd's answer is invalid: {why}")
            }
            Error::Refused { doing, number } => {
                let word = match number {
                    1 => "bad command",
                    2 => "no such device",
                    3 => "connection refused",
                    6 => "bad version",
                    _ => "unknown",
                };
                write!(f, "cannot {doing}: usbmuxd answered {number} ({word})")
            }
            Error::Network { address, cause } => {
                write!(f, "cannot connect to the phone at {address}: {cause}")
            }
            Error::Usb { doing, trouble } => write!(f, "cannot {doing}: {trouble}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NoDaemon { cause, .. }
            | Error::Io { cause, .. }
            | Error::Network { cause, .. } => Some(cause),
            Error::Usb { trouble, .. } => Some(trouble),
            _ => None,
        }
    }
}

/// Failure on USB.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The user lacks permission to open the phone's device node.
    NoRights {
        /// The path of the node, or the phone's bus and address where there are no nodes.
        node: String,
    },
    /// Another program uses the phone's interface.
    Busy {
        /// The names and process ids of the programs that may hold it, as far as the system shows
        /// them.
        by: Vec<String>,
    },
    /// USB is not accessible on this computer or in this container.
    NoBus,
    /// The phone is not attached, or no longer.
    Unplugged,
    /// The phone offers no interface for this: it is in recovery mode, or shares only its pictures.
    NoInterface,
    /// On Windows, the phone's driver does not let other programs use it.
    Driver,
    /// The phone does not answer.
    Silent,
    /// The phone violates the protocol.
    Broken(mux::Broken),
    /// The phone refuses the connection, since no service listens on that port.
    Refused {
        /// The text that the phone gave as its reason, if any.
        words: Option<String>,
    },
    /// The limit of open connections to one phone is reached.
    Crowded,
    /// libusb reported another error.
    Library {
        /// The step that failed; completes "libusb failed to ...".
        doing: &'static str,
        /// The error text of libusb.
        why: String,
    },
    /// This program was built without USB support, or this system does not need it.
    NotBuilt,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoRights { node } => write!(f, "this user may not open {node}"),
            Trouble::Busy { by } if by.is_empty() => f.write_str("another program uses the phone"),
            Trouble::Busy { by } => write!(f, "another program uses the phone: {}", by.join(", ")),
            Trouble::NoBus => f.write_str("USB is not available on this computer"),
            Trouble::Unplugged => f.write_str("the phone was unplugged"),
            Trouble::NoInterface => {
                f.write_str("the phone does not offer an interface for backups over USB")
            }
            Trouble::Driver => f.write_str("the phone's driver does not let other programs use it"),
            Trouble::Silent => f.write_str("the phone does not answer over USB"),
            Trouble::Broken(broken) => {
                write!(f, "the phone violated the USB protocol: {broken}")
            }
            Trouble::Refused { words: None } => f.write_str("the phone refuses the connection"),
            Trouble::Refused { words: Some(words) } => {
                write!(f, "the phone refuses the connection: {words:?}")
            }
            Trouble::Crowded => write!(
                f,
                "{} connections to the phone are open",
                mux::CONNECTIONS_MAX
            ),
            Trouble::Library { doing, why } => write!(f, "libusb failed to {doing}: {why}"),
            Trouble::NotBuilt => f.write_str("this program was built without USB support"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<mux::Broken> for Trouble {
    fn from(broken: mux::Broken) -> Trouble {
        Trouble::Broken(broken)
    }
}

/// Wraps the trouble in an error of the stream that it broke.
impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> io::Error {
        let kind = match trouble {
            Trouble::Broken(_) => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::ConnectionReset,
        };
        io::Error::new(kind, trouble)
    }
}
