//! Tells which backups of a phone are in a repository, as the store's notes say.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use crate::base::time;
use crate::base::udid::Udid;
use crate::store::Store;
use crate::store::copies::{FailedPush, Repository};

/// Facts that are known about the copies of one phone in a repository. It may be out of date:
/// nothing asks the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The place of the repository, without a password.
    pub location: String,
    /// Time at which the phone made the newest backup that is there, RFC 3339. Null if none is.
    pub date: Option<String>,
    /// Time at which that backup was last seen there, RFC 3339.
    pub seen: Option<String>,
    /// Time of the oldest backup that is newer and not there, RFC 3339. Null if the newest backup
    /// is there.
    pub waits_since: Option<String>,
    /// The last push to the repository, if it failed.
    pub failed: Option<FailedPush>,
}

impl Elsewhere {
    fn of(store: &Store, udid: &Udid, repository: &Repository) -> Result<Elsewhere, Error> {
        let copy = repository.phones.get(udid.as_str());
        let waits = store.waits_since(udid, copy)?;
        Ok(Elsewhere {
            location: repository.location.clone(),
            date: copy.map(|copy| copy.date.clone()),
            seen: copy.map(|copy| copy.seen.clone()),
            waits_since: waits.map(|time| time.to_string()),
            failed: repository.failed.clone(),
        })
    }

    /// Says which backup of the phone the repository has.
    pub fn words(&self) -> String {
        let place = &self.location;
        match (&self.date, &self.waits_since) {
            (Some(_), None) => format!("the newest backup is in {place}"),
            (Some(date), Some(_)) => format!(
                "{place} has the backup that was made {}, and no newer one",
                time::when(date)
            ),
            (None, _) => format!("no backup was pushed to {place} yet"),
        }
    }

    /// Returns true if a backup has waited longer than `limit` for its push.
    pub fn is_overdue(&self, now: SystemTime, limit: Duration) -> bool {
        let since = self.waits_since.as_ref();
        let since = since.and_then(|time| time.parse::<Timestamp>().ok());
        since.is_some_and(|since| {
            let age = now.duration_since(since.into());
            age.is_ok_and(|age| age > limit)
        })
    }
}

/// Returns what is known about the copies of a phone in each repository that its store was pushed
/// to, and in `configured`, the one that the user has set up.
pub fn elsewhere(
    store: &Store,
    udid: &Udid,
    configured: Option<&str>,
) -> Result<Vec<Elsewhere>, Error> {
    let mut repositories = store.copies()?;
    let is_known = |place: &&str| !repositories.iter().any(|known| known.location == **place);
    if let Some(place) = configured.filter(is_known) {
        repositories.push(Repository {
            location: place.to_owned(),
            ..Repository::default()
        });
    }
    repositories
        .iter()
        .filter(|known| {
            known.phones.contains_key(udid.as_str()) || configured == Some(known.location.as_str())
        })
        .map(|known| Elsewhere::of(store, udid, known))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_backups_are_overdue_after_the_limit() {
        let day = Duration::from_secs(86_400);
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let at = |time: Option<&str>| Elsewhere {
            location: "/nas".to_owned(),
            date: None,
            seen: None,
            waits_since: time.map(str::to_owned),
            failed: None,
        };
        for (since, is_overdue) in [
            (None, false),
            (Some("2026-11-20T11:00:00Z"), false),
            (Some("2026-11-19T11:00:00Z"), true),
            (Some("2026-11-21T11:00:00Z"), false),
        ] {
            assert_eq!(
                at(since).is_overdue(now.into(), day),
                is_overdue,
                "{since:?}"
            );
        }
    }
}
