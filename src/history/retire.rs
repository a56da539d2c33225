//! Marks a phone as retired, so that no more backups of it are expected.

use std::time::SystemTime;

use serde::Serialize;

use crate::base::time;
use crate::history::change::phone;
use crate::history::{Error, list};
use crate::store::Store;

/// Note that a phone is retired, or is in use again.
#[derive(Debug, Clone, Serialize)]
pub struct Retired {
    /// UDID of the phone.
    pub udid: String,
    /// Name of the phone, from its newest backup.
    pub name: Option<String>,
    /// Time since which no more backups are expected, RFC 3339. Null if the note was withdrawn.
    pub retired: Option<String>,
}

/// Notes that no more backups of a phone are expected, or withdraws that note. The phone's backups
/// stay in either case.
pub fn retire(store: &Store, text: &str, is_undone: bool) -> Result<Retired, Error> {
    let udid = phone(store, text)?;
    let now = time::rfc3339(SystemTime::now());
    let retired = (!is_undone).then_some(now);
    store.retire(&udid, retired.clone())?;
    Ok(Retired {
        name: list::phone_name(store, &udid),
        udid: udid.to_string(),
        retired,
    })
}
