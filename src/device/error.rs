//! The error type of the communication with a phone.

use std::{fmt, io};

use crate::base::failure_kind::FailureKind;
use crate::device::lockdown_codes;
use crate::transport::plist_stream::FrameError;
use crate::transport::{self, Trouble};

/// Failure to communicate with a phone.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No phone is connected, or not the requested one.
    NoDevice {
        /// The requested phone, if any.
        wanted: Option<String>,
        /// The phones that are connected.
        present: Vec<String>,
    },
    /// Several phones are connected and none was requested, or the request matches several.
    WhichDevice {
        /// The requested phone, if any.
        wanted: Option<String>,
        /// The candidates, each with its name.
        present: Vec<String>,
    },
    /// The daemon or the connection to it failed.
    Transport(transport::Error),
    /// The connection to the phone broke, or the phone sent a malformed message.
    Wire {
        /// The step that failed; completes "cannot ...".
        doing: String,
        /// The error of the connection or of the message.
        cause: FrameError,
    },
    /// Lockdown refused a request.
    Lockdown {
        /// The request that failed; completes "cannot ...".
        request: String,
        /// The error code, such as `PasswordProtected` or `InvalidHostID`.
        code: String,
    },
    /// An answer lacks a required value, or a service violated its own protocol.
    Strange {
        /// The step that failed; completes "cannot ...".
        doing: String,
        /// The defect of the answer.
        why: String,
    },
    /// This computer holds no pair record of the phone.
    NotPaired,
    /// A pair record is unusable.
    BadRecord {
        /// The defect of the record.
        why: String,
    },
    /// The TLS handshake failed.
    Tls {
        /// The error text of rustls, or a description of the phone's behaviour.
        why: String,
    },
    /// The phone presented a different key from the one it was paired with.
    OtherKey,
    /// The phone that accepted a pair record is not the one that the record names.
    OtherPhone {
        /// The phone of the record.
        udid: String,
        /// The UDID that the phone states.
        says: String,
    },
    /// Only Wi-Fi may be used, and no pair record is kept that a phone could be recognised by.
    NoneKnown,
    /// The step is possible by cable only.
    NeedsCable {
        /// The step; completes "cannot ...".
        doing: String,
    },
    /// The phone asked for a session without TLS.
    NoEncryption,
    /// The owner tapped "Don't Trust".
    TrustDenied,
    /// The owner did not answer the trust dialog, or did not unlock the phone for it, in time.
    TrustTimeout {
        /// The time that we waited, in seconds.
        seconds: u64,
    },
    /// A file of this program could not be read or written.
    File {
        /// The step that failed, with the path; completes "cannot ...".
        doing: String,
        /// The error of the file system.
        cause: io::Error,
    },
    /// Another program holds the phone's sync lock.
    SyncLocked,
    /// The wait was cancelled.
    Cancelled,
}

impl Error {
    /// Wraps an error of the stream; `doing` names the step that failed.
    pub(crate) fn wire(doing: impl Into<String>, cause: impl Into<FrameError>) -> Error {
        match cause.into() {
            FrameError::Io(e) if crate::base::cancel::is_cancelled(&e) => Error::Cancelled,
            cause => Error::Wire {
                doing: doing.into(),
                cause,
            },
        }
    }

    pub(super) fn strange(doing: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Strange {
            doing: doing.into(),
            why: why.into(),
        }
    }

    /// Returns true if lockdown answered with exactly this error code.
    pub(crate) fn is_lockdown(&self, word: &str) -> bool {
        matches!(self, Error::Lockdown { code, .. } if code == word)
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::NoDevice { .. }
            | Error::NoneKnown
            | Error::WhichDevice { .. }
            | Error::NeedsCable { .. } => FailureKind::NoDevice,
            Error::Cancelled => FailureKind::Interrupted,
            Error::NotPaired | Error::TrustDenied | Error::TrustTimeout { .. } => {
                FailureKind::Locked
            }
            Error::Lockdown { code, .. } => match code.as_str() {
                "PasswordProtected"
                | "InvalidHostID"
                | "MissingHostID"
                | "UserDeniedPairing"
                | "EscrowLocked"
                | "DeviceLocked"
                | "PairingDialogResponsePending"
                | "MCChallengeRequired"
                | "MCProtected" => FailureKind::Locked,
                _ => FailureKind::Failed,
            },
            Error::Transport(transport::Error::Refused { number: 2, .. }) => FailureKind::NoDevice,
            Error::Transport(transport::Error::NoDaemon { .. }) => FailureKind::NoDevice,
            Error::Transport(transport::Error::Usb { trouble, .. }) => match trouble {
                Trouble::NoBus | Trouble::Unplugged => FailureKind::NoDevice,
                Trouble::Silent | Trouble::Broken(_) | Trouble::Library { .. } => FailureKind::Lost,
                // The phone is connected, but the user has to act.
                _ => FailureKind::Failed,
            },
            Error::Transport(transport::Error::Io { .. } | transport::Error::Network { .. })
            | Error::Wire {
                cause: FrameError::Io(_),
                ..
            } => FailureKind::Lost,
            _ => FailureKind::Failed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDevice { wanted: None, .. } => f.write_str("no iPhone or iPad is connected"),
            Error::NoDevice {
                wanted: Some(udid),
                present,
            } if present.is_empty() => {
                write!(
                    f,
                    "phone {udid} is not connected, and neither is another one"
                )
            }
            Error::NoDevice {
                wanted: Some(udid),
                present,
            } => {
                write!(
                    f,
                    "phone {udid} is not connected; connected: {}",
                    present.join(", ")
                )
            }
            Error::WhichDevice {
                wanted: None,
                present,
            } => {
                write!(
                    f,
                    "{} phones are connected: {}",
                    present.len(),
                    present.join(", ")
                )
            }
            Error::WhichDevice {
                wanted: Some(wanted),
                present,
            } => {
                write!(
                    f,
                    "{wanted:?} matches {} phones: {}",
                    present.len(),
                    present.join(", ")
                )
            }
            Error::Transport(e) => write!(f, "{e}"),
            Error::Wire { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Error::Lockdown { request, code } => match lockdown_codes::meaning(code) {
                Some(words) => write!(f, "cannot {request}: {words} ({code})"),
                None => write!(f, "cannot {request}: the phone answered {code:?}"),
            },
            Error::Strange { doing, why } => write!(f, "cannot {doing}: {why}"),
            Error::NotPaired => f.write_str("this computer is not paired with the phone"),
            Error::BadRecord { why } => {
                write!(f, "the pair record of this phone cannot be used: {why}")
            }
            Error::Tls { why } => write!(f, "cannot secure the connection to the phone: {why}"),
            Error::NoEncryption => f.write_str(
                "the phone asks for an unencrypted connection, which iPhones have not done since \
                 iOS 5",
            ),
            Error::NoneKnown => f.write_str(
                "no phone can be recognised over Wi-Fi, because this program keeps no pair record",
            ),
            Error::NeedsCable { doing } => {
                write!(
                    f,
                    "cannot {doing}: the phone is connected over Wi-Fi, and this needs a cable"
                )
            }
            Error::OtherPhone { udid, says } => {
                write!(
                    f,
                    "the phone that accepted the pair record of {udid} says it is {says:?}"
                )
            }
            Error::OtherKey => f.write_str(
                "the phone has a different key than when it was paired, so it may be another \
                 phone, or another device intercepts the connection",
            ),
            Error::TrustDenied => f.write_str("\"Don't Trust\" was tapped on the phone"),
            Error::TrustTimeout { seconds } => {
                write!(f, "Trust was not tapped on the phone within {seconds} s")
            }
            Error::File { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Error::SyncLocked => f.write_str("another program is syncing this phone"),
            Error::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Transport(e) => Some(e),
            Error::Wire { cause, .. } => Some(cause),
            Error::File { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Self {
        match e {
            transport::Error::Io { cause, .. } if crate::base::cancel::is_cancelled(&cause) => {
                Error::Cancelled
            }
            e => Error::Transport(e),
        }
    }
}
