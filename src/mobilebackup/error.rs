//! The error type of the dialog.

use std::{fmt, io};

use crate::base::backup_path::BadPath;
use crate::base::cancel::is_cancelled;
use crate::base::failure_kind::FailureKind;
use crate::transport::plist_stream::FrameError;

/// Failure of the dialog before the phone's verdict.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The connection broke, or the phone stopped answering.
    Wire {
        /// The phone's activity at the time; completes "while it ...".
        doing: &'static str,
        /// The error of the connection or of the message.
        cause: FrameError,
    },
    /// The phone named a path that no genuine backup uses. We did not touch any file for the
    /// request.
    Hostile(BadPath),
    /// The phone violated the protocol.
    Strange {
        /// The phone's activity at the time; completes "while it ...".
        doing: &'static str,
        /// The violation of the protocol.
        why: String,
    },
    /// The phone ended the dialog before its verdict.
    HungUp {
        /// The phone's reason; empty if it gave none.
        reason: String,
    },
    /// This computer ended the dialog, because the files that it was sending are not what they
    /// should be. The phone did not receive the end of its request.
    Withheld,
    /// Phone and computer have no version of the protocol in common.
    NoCommonVersion,
    /// The wait was cancelled, and the phone has been informed.
    Cancelled,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Cancelled => FailureKind::Interrupted,
            Error::Wire {
                cause: FrameError::Io(_),
                ..
            }
            | Error::HungUp { .. } => FailureKind::Lost,
            _ => FailureKind::Failed,
        }
    }

    pub(super) fn wire(doing: &'static str, cause: impl Into<FrameError>) -> Error {
        match cause.into() {
            FrameError::Io(e) if is_cancelled(&e) => Error::Cancelled,
            cause => Error::Wire { doing, cause },
        }
    }

    pub(super) fn strange(doing: &'static str, why: impl Into<String>) -> Error {
        Error::Strange {
            doing,
            why: why.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Wire {
                doing,
                cause: FrameError::Io(e),
            } if e.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the connection to the phone was lost while it {doing}")
            }
            Error::Wire { doing, cause } => write!(
                f,
                "the connection to the phone failed while it {doing}: {cause}"
            ),
            Error::Hostile(path) => write!(
                f,
                "the phone asks for a file that backups do not need: {path}"
            ),
            Error::Strange { doing, why } => {
                write!(f, "the phone sent invalid data while it {doing}: {why}")
            }
            Error::HungUp { reason } if reason.is_empty() => {
                f.write_str("the phone closed the connection without a result")
            }
            Error::HungUp { reason } => {
                write!(
                    f,
                    "the phone closed the connection without a result: {reason}"
                )
            }
            Error::NoCommonVersion => {
                f.write_str("the phone does not support a known version of the backup protocol")
            }
            Error::Withheld => f.write_str(
                "this computer ended the transfer, because a file is not what it should be",
            ),
            Error::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Wire { cause, .. } => Some(cause),
            Error::Hostile(path) => Some(path),
            _ => None,
        }
    }
}
