//! The backups of each phone in a store: listing, finding, keeping and dropping them, and taking in
//! backups from elsewhere.

pub mod adopt;
pub mod change;
pub mod last_good;
pub mod list;
