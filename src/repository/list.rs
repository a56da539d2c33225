//! Lists the backups in a repository.

use serde::Serialize;

use super::copy::Copy;
use super::engine::{Engine, Stored};
use super::{Error, Restic};

/// The backups in a repository.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// The place of the repository.
    pub location: String,
    /// The phones, by UDID.
    pub phones: Vec<OfPhone>,
    /// Snapshots that this program did not push; some may hold a store.
    pub others: Vec<Stored>,
}

/// The backups of one phone.
#[derive(Debug, Clone, Serialize)]
pub struct OfPhone {
    /// UDID of the phone.
    pub udid: String,
    /// The phone's name in its newest backup.
    pub name: Option<String>,
    /// The backups, newest first.
    pub copies: Vec<Copy>,
}

impl Listing {
    /// Returns all backups.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.phones.iter().flat_map(|phone| &phone.copies)
    }
}

/// Lists a repository.
pub fn list(restic: &Restic) -> Result<Listing, Error> {
    let stored = restic.snapshots()?;
    Ok(sorted(restic.access().location.to_string(), stored))
}

fn sorted(location: String, stored: Vec<Stored>) -> Listing {
    let mut phones: Vec<OfPhone> = Vec::new();
    let mut others = Vec::new();
    // Newest first.
    for stored in stored.into_iter().rev() {
        let Some(copy) = Copy::of(&stored) else {
            others.push(stored);
            continue;
        };
        let known = phones.iter_mut().find(|phone| phone.udid == copy.udid);
        match known {
            Some(phone) => phone.copies.push(copy),
            None => phones.push(OfPhone {
                udid: copy.udid.clone(),
                name: copy.name.clone(),
                copies: vec![copy],
            }),
        }
    }
    phones.sort_by(|a, b| a.udid.cmp(&b.udid));
    Listing {
        location,
        phones,
        others,
    }
}
