//! Access to a phone: lockdown, pairing, TLS and the small services that a backup needs.

pub mod afc;
pub mod connector;
mod error;
mod heartbeat;
pub(crate) mod installed_apps;
pub mod last_contact;
pub mod listing;
pub mod lockdown;
pub mod lockdown_codes;
pub(crate) mod nearby;
pub mod notifications;
mod pair_record;
pub mod pair_records;
pub(crate) mod pairing;
pub(crate) mod passcode_prompt;
pub(crate) mod power_assertion;
mod service_stream;
pub mod sync_lock;
pub mod tls;
pub mod trust;
pub mod wifi;

pub use error::Error;
pub use lockdown::{Lockdown, Session};
pub use pair_record::PairRecord;
