//! The backups of each phone in a store: listing, finding, keeping and dropping them, and taking in
//! backups from elsewhere.

pub mod adopt;
pub mod change;
pub mod delete;
pub mod each;
pub mod elsewhere;
mod error;
pub mod everywhere;
pub mod known_stores;
pub mod last_good;
pub mod list;
pub mod places;
mod problem;
pub mod prune;
pub mod retire;
pub mod tag;

pub use error::Error;
pub use problem::Problem;

use crate::base::progress::Monitor;
use crate::store;

/// Reports drafts and imports that could not be finished and were set aside.
pub(crate) fn tell_set_aside(aside: Vec<store::SetAside>, monitor: &dyn Monitor) {
    for aside in aside {
        monitor.problem(aside.into());
    }
}
