//! The error type of backup runs.

use std::time::Duration;

use crate::base::failure_kind::FailureKind;
use crate::base::units;
use crate::mobilebackup::error_codes::Refusal;
use crate::{device, history, mobilebackup, reader, store, transport, verify};

/// The reasons that a backup run fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection to the phone, or one of the phone's services, failed.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// The backup dialog with the phone failed.
    #[error(transparent)]
    Dialog(#[from] mobilebackup::Error),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file of the backup could not be written. The phone received an error; this is its cause.
    #[error(transparent)]
    Keeping(store::Error),
    /// The history of the phone could not be read or changed.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The new backup, or the one that it rests on, cannot be read.
    #[error(transparent)]
    Read(#[from] reader::Error),
    /// The new backup, or the one that it rests on, cannot be checked.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// The phone refused the backup.
    #[error("{0}")]
    Refused(Refusal),
    /// The phone reported success, but our own check of the backup failed.
    #[error("the phone reported that the backup is complete, but the check of the files found \
        damage: {}", .0.first_damage())]
    CheckFailed(Box<verify::Report>),
    /// The passcode was not entered on the phone within the time limit.
    #[error("the passcode was not entered on the phone within {}", units::span(*.waited))]
    NoPasscode {
        /// The time limit.
        waited: Duration,
    },
    /// The run was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Device(e) => e.kind(),
            Error::Dialog(e) => e.kind(),
            Error::Store(e) | Error::Keeping(e) => e.kind(),
            Error::History(e) => e.kind(),
            Error::Read(e) => e.kind(),
            Error::Verify(e) => e.kind(),
            Error::Refused(refusal) => refusal.kind,
            Error::CheckFailed(_) => FailureKind::Failed,
            Error::NoPasscode { .. } => FailureKind::Locked,
            Error::Interrupted => FailureKind::Interrupted,
        }
    }
}

impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Error {
        Error::Device(e.into())
    }
}
