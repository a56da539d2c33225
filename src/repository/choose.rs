//! Finds a snapshot of a repository by the name that a user gives.

use super::Error;
use super::copy::Copy;
use super::engine::Stored;
use super::list::Listing;
use crate::base::udid::Udid;
use crate::base::{phone_names, time};

/// Shortest beginning of an id.
const ID_MIN: usize = 4;

/// A snapshot that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A backup that this program pushed.
    Ours(Copy),
    /// A snapshot of another program.
    Other(Stored),
}

/// Finds a snapshot by any of these: the beginning of its id or of the backup's id, `latest`, the
/// beginning of the backup's local time (`2026-11-20 22:14`), or its phone. `phone` restricts the
/// search to one phone.
pub fn choose(listing: &Listing, name: &str, phone: Option<&str>) -> Result<Choice, Error> {
    let phones: Vec<(Udid, Option<String>)> = listing
        .phones
        .iter()
        .filter_map(|phone| Some((phone.udid.parse().ok()?, phone.name.clone())))
        .collect();
    let is_of = |copy: &Copy, text: &str| {
        let matching = phone_names::matching(text, &phones, |of| &of.0, |of| of.1.clone());
        matching.iter().any(|of| of.0.as_str() == copy.udid)
    };
    let ours: Vec<&Copy> = listing
        .copies()
        .filter(|copy| phone.is_none_or(|phone| is_of(copy, phone)))
        .collect();
    if name == "latest" {
        let newest = ours.iter().max_by_key(|copy| copy.time);
        let newest = newest.ok_or_else(|| match phone {
            Some(phone) => Error::NoSnapshot(phone.to_owned()),
            None => Error::Empty {
                location: listing.location.clone(),
            },
        })?;
        return Ok(Choice::Ours((*newest).clone()));
    }
    let is_id = |id: &str| name.len() >= ID_MIN && id.starts_with(name);
    let by_id = ours
        .iter()
        .filter(|copy| is_id(&copy.snapshot) || is_id(&copy.backup));
    let by_id: Vec<&&Copy> = by_id.collect();
    let others: Vec<&Stored> = listing.others.iter().filter(|s| is_id(&s.id)).collect();
    match (&by_id[..], &others[..]) {
        ([], []) => {}
        ([one], []) => return Ok(Choice::Ours((**one).clone())),
        ([], [one]) => return Ok(Choice::Other((*one).clone())),
        _ => {
            let ours = by_id.iter().map(|copy| described(copy));
            let others = others.iter().map(|stored| stored.id.clone());
            return Err(ambiguous(name, ours.chain(others).collect()));
        }
    }
    let at = |copy: &&&Copy| time::when_exactly(&copy.time.to_string()).starts_with(name);
    let by_time: Vec<&&Copy> = ours.iter().filter(at).collect();
    match &by_time[..] {
        [] => {}
        [one] => return Ok(Choice::Ours((**one).clone())),
        several => {
            return Err(ambiguous(
                name,
                several.iter().map(|c| described(c)).collect(),
            ));
        }
    }
    let by_phone: Vec<&&Copy> = ours.iter().filter(|copy| is_of(copy, name)).collect();
    let mut udids: Vec<&str> = by_phone.iter().map(|copy| copy.udid.as_str()).collect();
    udids.dedup();
    match (by_phone.iter().max_by_key(|copy| copy.time), udids.len()) {
        (Some(newest), 1) => Ok(Choice::Ours((**newest).clone())),
        (None, _) => Err(Error::NoSnapshot(name.to_owned())),
        _ => Err(ambiguous(
            name,
            by_phone.iter().map(|copy| described(copy)).collect(),
        )),
    }
}

fn described(copy: &Copy) -> String {
    let name = copy.name.as_deref().unwrap_or(&copy.udid);
    let id: String = copy.snapshot.chars().take(8).collect();
    format!("{id} ({name}, {})", time::when(&copy.time.to_string()))
}

fn ambiguous(name: &str, candidates: Vec<String>) -> Error {
    Error::Ambiguous {
        name: name.to_owned(),
        candidates,
    }
}
