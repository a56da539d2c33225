//! Unused names for backups and for our folders that accompany them.

use std::fs;
use std::path::Path;

use super::error::Error;
use super::retention;
use super::root::Store;
use super::snapshot::{self, Snapshot};
use crate::base::time::{STAMP, stamp_of};
use crate::base::udid::Udid;

/// Returns `stamp`, unless the newest existing stamp is the same or later: then the first free
/// second from that stamp on. This keeps names in the expected order even when summer time ends.
/// The order of backups does not depend on it. Stamps further ahead than [`retention::AHEAD_MAX`]
/// are ignored, since a clock was wrong when they were made.
pub(super) fn free_stamp(own: &Path, stamp: &str) -> Result<String, Error> {
    let parse = |text: &str| jiff::civil::DateTime::strptime(STAMP, text).ok();
    let stamped = snapshot::stamped(own)?;
    let newest = stamped
        .iter()
        .filter_map(|dir| parse(dir.file_name()?.to_str()?))
        .filter(|newest| {
            parse(stamp).is_some_and(|now| {
                *newest >= now && newest.duration_since(now) <= retention::AHEAD_MAX
            })
        })
        .max()
        .map(|newest| newest.strftime(STAMP).to_string());
    let first = newest.as_deref().unwrap_or(stamp);
    Ok(free_name(first, |candidate| own.join(candidate).exists()))
}

/// Returns Apple's archive name for the previous backup: the UDID and the time of that backup.
pub(super) fn archive_name(store: &Store, udid: &Udid, base: &Snapshot) -> Result<String, Error> {
    let stamp = match base.stamp() {
        Some(stamp) => stamp,
        None => {
            let status = base.path().join("Status.plist");
            let meta = fs::metadata(&status).or_else(|_| fs::metadata(base.path()));
            let time = meta
                .and_then(|m| m.modified())
                .map_err(|e| Error::io("look at", &status, e))?;
            stamp_of(time)
        }
    };
    let taken = |candidate: &str| store.root().join(format!("{udid}-{candidate}")).exists();
    Ok(format!("{udid}-{}", free_name(&stamp, taken)))
}

/// Returns `stamp`, or the first later second that is not taken.
pub(super) fn free_name(stamp: &str, taken: impl Fn(&str) -> bool) -> String {
    let parsed = jiff::civil::DateTime::strptime(STAMP, stamp);
    let mut candidate = stamp.to_owned();
    let mut seconds = 0;
    while taken(&candidate) {
        seconds += 1;
        let later = parsed
            .as_ref()
            .ok()
            .and_then(|t| t.checked_add(jiff::Span::new().seconds(seconds)).ok());
        candidate = match later {
            Some(time) => time.strftime(STAMP).to_string(),
            None => return candidate,
        };
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_backup_order() {
        for (there, now, given) in [
            (&[][..], "20261025-023000", "20261025-023000"),
            (&["20261025-022959"], "20261025-023000", "20261025-023000"),
            (&["20261025-023000"], "20261025-023000", "20261025-023001"),
            // The first of two stamps was dropped meanwhile.
            (&["20261025-023001"], "20261025-023000", "20261025-023002"),
            // Summer time ends between the two.
            (&["20261025-025500"], "20261025-021000", "20261025-025501"),
            (&["20261025-235959"], "20261025-235959", "20261026-000000"),
            (&["20261025-043000"], "20261025-023000", "20261025-043001"),
            // The clock was wrong when the newest one was made.
            (&["20261025-043001"], "20261025-023000", "20261025-023000"),
            (&["20361025-023000"], "20261025-023000", "20261025-023000"),
        ] {
            let own = tempfile::tempdir().unwrap();
            for stamp in there {
                fs::create_dir(own.path().join(stamp)).unwrap();
            }
            assert_eq!(free_stamp(own.path(), now).unwrap(), given, "{there:?}");
        }
    }
}
