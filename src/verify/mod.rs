//! Checks whether a backup is whole. Works for any folder of Apple's layout, made by us or by
//! another program.
//!
//! The check walks once over the folder in the order of file ids (`walk`). Beside the walk it
//! reads the phone's list (Manifest.db, or Manifest.mbdb of iOS 9 and older) and our list of
//! hashes, both in the same order. So it holds only the findings in memory, and their number is
//! capped. Threads read the bytes of the files (`worker`) and open databases and property lists
//! (`content_checks`).

mod check_backup;
mod compared;
mod complaint;
mod content_checks;
mod cross_checks;
mod error;
mod finding;
mod inputs;
mod options;
mod our_files;
mod outcome;
mod property_list;
mod repair;
mod size;
mod walk;
mod words;
mod worker;

pub(crate) use check_backup::look_through;
pub use check_backup::verify;
pub use complaint::Complaint;
pub(crate) use complaint::complaints;
pub use content_checks::Inside;
pub use error::Error;
pub use finding::{Finding, Outcome, Proof, Report, Wrong};
pub use options::{Depth, Options, Sample};
pub use repair::{Repair, Repaired, repair};
