//! Finds what would keep the next backup from succeeding, and explains error codes.
//!
//! Facts are gathered first (`facts`, `computer`), with a time limit. Their meaning is judged
//! separately, so that each judgment can be tested alone (`check_connection`, `check_phone`,
//! `check_store`, `ios_notes`).

mod check_connection;
mod check_copies;
mod check_phone;
pub mod check_schedule;
mod check_store;
mod check_wifi;
pub mod computer;
mod concern;
mod examine;
pub mod explain;
mod facts;
pub(crate) mod ios_notes;
mod line;
mod messages;

pub use check_copies::{Repository, Storage};
pub use concern::{Concern, Trouble};
pub use examine::{Options, Report, examine};
pub use line::{Level, Line, TOPICS};
