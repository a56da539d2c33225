//! Makes a backup of a phone: the plan, the computer's side of the dialog, and the sealed folder.

pub(crate) mod baseline;
mod check;
pub mod create;
mod dialog;
mod error;
pub(crate) mod host;
pub(crate) mod info_plist_writer;
mod options;
pub(crate) mod plan;
mod problem;
pub(crate) mod problem_log;
mod report;
pub(crate) mod unlisted;

pub use error::Error;
pub use options::Options;
pub use problem::Problem;
pub use report::{Report, Seconds};
