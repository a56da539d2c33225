//! The state in which a failed restore leaves the phone.

use std::fmt;

use crate::base::units::counted;
use crate::mobilebackup;
use crate::transport::plist_stream::FrameError;

/// The state in which a failed restore left the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The phone had received no file of the backup.
    AsItWas,
    /// The phone had received some of the files.
    Partly {
        /// The number sent, an upper limit: the last ones may not have arrived.
        files: u64,
    },
    /// The phone had received all files, and sent no verdict.
    All {
        /// True if the phone was to restart when it is done.
        reboots: bool,
    },
}

impl Left {
    /// Returns advice on what to do after this error.
    pub fn hint_after(self, cause: &mobilebackup::Error) -> &'static str {
        use mobilebackup::Error::{Cancelled, HungUp, Wire};
        match (self, cause) {
            (Left::AsItWas, Cancelled) => "run the same command again at any time",
            (Left::AsItWas, HungUp { .. }) => {
                "look at the phone's screen, because it ended the restore itself. Restart it and \
                 run the same command again"
            }
            (
                Left::AsItWas,
                Wire {
                    cause: FrameError::Io(_),
                    ..
                },
            ) => self.hint(),
            (Left::AsItWas, _) => {
                "unplug the phone, restart it and run the same command again; if it happens again, please report it"
            }
            _ => self.hint(),
        }
    }

    /// Returns advice for a phone in this state.
    pub fn hint(self) -> &'static str {
        match self {
            Left::AsItWas => "check the cable, unlock the phone, and run the same command again",
            Left::Partly { .. } => {
                "restart the phone, which discards the received files, and run the same command \
                 again; the backup is untouched"
            }
            Left::All { reboots: true } => {
                "wait until the phone has restarted and look at it: if the backup's data is \
                 missing, run the same command again"
            }
            Left::All { reboots: false } => {
                "restart the phone and look at it: if the backup's data is missing, run the same \
                 command again"
            }
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Left::AsItWas => f.write_str(
                "The phone had not received any of the backup's files: it is unchanged.",
            ),
            Left::Partly { files } => write!(
                f,
                "The phone had received up to {}. It keeps them apart until it has all files, so \
                 it is unchanged.",
                counted(*files, "file")
            ),
            Left::All { .. } => f.write_str(
                "The phone had received all files that it asked for, but did not report whether \
                 it accepted them.",
            ),
        }
    }
}
