//! Restores a backup to a phone: the one that was backed up, or another.
//!
//! First the preflight gathers and judges the facts (`subject`, `preflight`) and checks the backup
//! (`check_source`); only then is the phone asked to restore. It reads from the sealed backup
//! through a temporary overlay (`host`), each file is compared with the list of hashes while it is
//! sent (`sent_hashes`), and the phone's verdict decides (`run`). `steps` has the whole sequence.

mod app_list;
mod check_source;
pub mod compare;
mod concern;
mod dry_run;
mod error;
mod held;
mod host;
mod left;
mod no_part;
mod options;
pub mod partial;
pub mod preflight;
mod problem;
#[cfg(feature = "simulator")]
pub mod rehearse;
mod report;
mod run;
mod sent_hashes;
mod steps;
pub mod subject;
mod tolerated;

pub use concern::Concern;
pub use dry_run::{Considered, consider, dry_run};
pub use error::Error;
pub use held::{Held, hold, hold_named};
pub use left::Left;
pub use options::{Options, Transfer};
pub use problem::Problem;
pub use report::{Report, Seconds};
pub use sent_hashes::Sent;
pub use steps::restore;
pub use tolerated::tolerated;

/// A line of the preflight.
pub type Line = crate::doctor::Line<Concern>;
