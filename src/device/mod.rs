//! A phone that we may talk to: lockdown, pairing, TLS and the small services that a backup needs.

pub mod afc;
pub mod apps;
pub mod lockdown;
pub mod model;
pub mod notify;
pub mod pairing;
pub mod records;
pub mod sync;
pub mod tls;

use std::fmt;
use std::io;

use crate::transport;
use crate::transport::plist_stream::FrameError;

pub use lockdown::{Lockdown, Session};
pub use pairing::PairRecord;

/// Why a phone could not be talked to.
#[derive(Debug)]
pub enum Error {
    /// The daemon, or the way to it.
    Transport(transport::Error),
    /// The connection to the phone broke, or it sent what cannot be read.
    Wire {
        /// What we were doing.
        doing: String,
        /// What happened.
        cause: FrameError,
    },
    /// Lockdown said no, in its own word.
    Lockdown {
        /// What it was asked for.
        request: String,
        /// `PasswordProtected`, `InvalidHostID`, ...
        code: String,
    },
    /// An answer lacks what it must hold, or a service's own protocol was broken.
    Strange {
        /// What we were doing.
        doing: String,
        /// What is wrong.
        why: String,
    },
    /// This computer holds no pair record of the phone.
    NotPaired,
    /// A pair record that cannot be used.
    BadRecord {
        /// What is wrong with it.
        why: String,
    },
    /// The TLS handshake failed.
    Tls {
        /// What rustls or the phone says.
        why: String,
    },
    /// The phone showed another key than the one it was paired with.
    OtherKey,
    /// The phone asked for a session without TLS.
    NoEncryption,
    /// The owner tapped "Don't Trust".
    TrustDenied,
    /// Nobody answered the trust dialog, or unlocked the phone for it, in time.
    TrustTimeout {
        /// How long we waited, in seconds.
        seconds: u64,
    },
    /// A file of our own could not be read or written.
    File {
        /// What we were doing, with the path.
        doing: String,
        /// What happened.
        cause: io::Error,
    },
    /// Another program holds the phone's sync lock.
    SyncLocked,
    /// The wait was cancelled.
    Cancelled,
}

impl Error {
    /// An error of the stream while `doing`.
    pub fn wire(doing: impl Into<String>, cause: impl Into<FrameError>) -> Error {
        match cause.into() {
            FrameError::Io(e) if transport::wire::is_cancelled(&e) => Error::Cancelled,
            cause => Error::Wire {
                doing: doing.into(),
                cause,
            },
        }
    }

    fn strange(doing: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Strange {
            doing: doing.into(),
            why: why.into(),
        }
    }

    /// Whether lockdown answered with exactly this word.
    pub fn is_lockdown(&self, word: &str) -> bool {
        matches!(self, Error::Lockdown { code, .. } if code == word)
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Transport(e) => return e.hint().map(str::to_owned),
            Error::Lockdown { code, .. } => return lockdown::hint(code).map(str::to_owned),
            Error::NotPaired => "run `idev-backup pair` and tap Trust on the phone",
            Error::BadRecord { .. } => "pair again: `idev-backup unpair`, then `idev-backup pair`",
            Error::Tls { .. } => {
                "a phone that hangs up here has usually forgotten this computer: `idev-backup unpair`, then \
                 `idev-backup pair`"
            }
            Error::OtherKey => {
                "if the phone was erased or restored, pair again: `idev-backup unpair`, then `idev-backup pair`. If \
                 you are sure that it is your phone, `--any-certificate` goes on without this check"
            }
            Error::NoEncryption => {
                "it is no iPhone or iPad, or somebody is in between. For a simulator, `--any-certificate` goes on"
            }
            Error::TrustDenied => "run `idev-backup pair` again and tap Trust",
            Error::TrustTimeout { .. } => {
                "unlock the phone, keep it awake and run `idev-backup pair` again"
            }
            Error::SyncLocked => {
                "close Finder, iTunes, Apple Devices and other programs that sync this phone"
            }
            Error::Wire { .. } => "check the cable, unlock the phone, and try again",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Transport(e) => write!(f, "{e}"),
            Error::Wire { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Error::Lockdown { request, code } => match lockdown::meaning(code) {
                Some(words) => write!(f, "cannot {request}: {words} ({code})"),
                None => write!(f, "cannot {request}: the phone answers {code:?}"),
            },
            Error::Strange { doing, why } => write!(f, "cannot {doing}: {why}"),
            Error::NotPaired => f.write_str("this computer is not paired with the phone"),
            Error::BadRecord { why } => write!(f, "the pair record of this phone cannot be used: {why}"),
            Error::Tls { why } => write!(f, "cannot secure the connection to the phone: {why}"),
            Error::NoEncryption => f.write_str(
                "the phone wants an unencrypted connection, which no iPhone since iOS 5 does",
            ),
            Error::OtherKey => f.write_str(
                "the phone shows another key than the one it was paired with, so it may be another phone, or somebody \
                 in between",
            ),
            Error::TrustDenied => f.write_str("\"Don't Trust\" was tapped on the phone"),
            Error::TrustTimeout { seconds } => {
                write!(f, "nobody tapped Trust on the phone within {seconds} s")
            }
            Error::File { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Error::SyncLocked => f.write_str("another program is syncing this phone"),
            Error::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Self {
        match e {
            transport::Error::Io { cause, .. } if transport::wire::is_cancelled(&cause) => {
                Error::Cancelled
            }
            e => Error::Transport(e),
        }
    }
}
