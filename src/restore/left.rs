//! The state in which a failed restore leaves the phone.

use std::fmt;

use crate::base::units::counted;

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
