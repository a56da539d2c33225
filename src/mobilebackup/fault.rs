//! Failures of single requests: those that we report to the phone, and those that it reports to us.

use std::{fmt, io};

use crate::base::backup_path::BackupPath;

/// Error codes that the phone understands.
///
/// Use [`Fault::NotFound`] only for a file that does not exist: the phone concludes that it is
/// gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An unspecified failure, status -1.
    Generic,
    /// An unsupported request, also status -1, as other computers answer it.
    Unsupported,
    /// A missing file, status -6.
    NotFound,
    /// A failed read or write, status -11.
    Io,
    /// A full disk, status -15.
    NoSpace,
}

impl Fault {
    /// Returns DeviceLink's status and the text that belongs to it.
    pub(crate) fn status(self) -> (i64, &'static str) {
        match self {
            Fault::Generic => (-1, "Operation failed"),
            Fault::Unsupported => (-1, "Operation not supported"),
            Fault::NotFound => (-6, "No such file or directory"),
            Fault::Io => (-11, "Input/output error"),
            Fault::NoSpace => (-15, "No space left on device"),
        }
    }
}

impl From<&io::Error> for Fault {
    fn from(e: &io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NotFound => Fault::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::NoSpace,
            _ => Fault::Io,
        }
    }
}

/// File that the phone could not read for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// The path in the backup at which the phone wanted the file to be stored.
    pub path: BackupPath,
    /// The path on the phone, for display only.
    pub device_path: String,
    /// The phone's error code.
    pub code: u8,
    /// The phone's error text.
    pub text: String,
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the phone could not read its file {}: {} (code {})",
            self.device_path, self.text, self.code
        )
    }
}

impl std::error::Error for DeviceFault {}
