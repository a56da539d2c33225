//! The kinds of failure that a caller can distinguish.

use std::io::{self, ErrorKind};

/// Kind of a failure. The command line program has an exit code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Any failure without a kind of its own.
    Failed,
    /// The phone is not connected.
    NoDevice,
    /// The phone is locked, does not trust this computer, or did not get its passcode in time.
    Locked,
    /// The backup password is wrong or missing.
    WrongPassword,
    /// The disk is full.
    NoSpace,
    /// The connection was lost.
    Lost,
    /// The user interrupted the work.
    Interrupted,
}

impl FailureKind {
    /// Returns the kind of an error of a disk.
    pub fn of_disk(error: &io::Error) -> FailureKind {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FailureKind::NoSpace,
            _ => FailureKind::Failed,
        }
    }
}
