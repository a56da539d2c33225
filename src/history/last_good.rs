//! Decides which backup of a phone is its last good one, and how old that is. `list`, `doctor`,
//! `watch`, `schedule`, and `create --if-older-than` all ask here, so that none of them contradicts
//! another.

use std::time::{Duration, SystemTime};

use crate::backup_format::plists::{Info, ManifestPlist, Status, is_complete};
use crate::base::time;
use crate::base::udid::Udid;
use crate::store::notes::Notes;
use crate::store::{Snapshot, Store};

/// Returns the time at which a good backup was made; `None` if the backup is incomplete or a check
/// found it damaged.
fn made(notes: &Notes, snapshot: &Snapshot) -> Option<SystemTime> {
    let folder = snapshot.path();
    let status = Status::read(folder).ok()?;
    if !is_complete(folder, &status) || notes.of(snapshot).damaged.is_some() {
        return None;
    }
    // Other programs write a date into only one of the three files.
    let manifest = || ManifestPlist::read(folder).ok()?.date;
    let info = || Info::read(folder).ok()?.last_backup;
    status.date.or_else(manifest).or_else(info)
}

/// Returns the newest of several dates. A date in the future is returned only if all are in the
/// future: otherwise it would stay the newest for ever.
pub(crate) fn newest(
    dates: impl IntoIterator<Item = SystemTime>,
    now: SystemTime,
) -> Option<SystemTime> {
    let dates = dates.into_iter();
    dates.max_by_key(|date| (time::age(now, *date).is_some(), *date))
}

/// Returns the time at which the phone's last good backup was made.
pub fn last_good(store: &Store, udid: &Udid) -> Option<SystemTime> {
    let notes = store.notes(udid).unwrap_or_default();
    let all = store.snapshots_of(udid).ok()?;
    let good = all.iter().filter_map(|snapshot| made(&notes, snapshot));
    newest(good, SystemTime::now())
}

/// Returns the time at which the current backup was made, if it is good. This time decides whether
/// another backup is due: the next run builds on the current backup, so an older good one does not
/// replace it.
pub fn rests_on(store: &Store, udid: &Udid) -> Option<SystemTime> {
    let notes = store.notes(udid).unwrap_or_default();
    made(&notes, &store.current(udid).ok()??)
}

/// Returns true if the last good backup is older than `limit`, or if `last` is `None`. Returns
/// false for a date in the future, whose age is unknown.
pub(crate) fn is_overdue(last: Option<SystemTime>, now: SystemTime, limit: Duration) -> bool {
    last.is_none_or(|last| time::age(now, last).is_some_and(|age| age > limit))
}

/// Returns true if no further backup of the phone is expected: the user retired it, and it has not
/// been backed up since.
pub fn is_retired(store: &Store, udid: &Udid) -> bool {
    let since = store.notes(udid).ok().and_then(|notes| notes.retired);
    let last = last_good(store, udid).map(time::rfc3339);
    since.is_some_and(|since| last.is_none_or(|last| last <= since))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn future_dates_rank_last() {
        let now = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
        let (old, young, ahead) = (now - 9 * HOUR, now - HOUR, now + HOUR);
        assert_eq!(newest([old, ahead, young], now), Some(young));
        assert_eq!(newest([ahead], now), Some(ahead));
        for (last, is_due) in [
            (None, true),
            (Some(old), true),
            (Some(young), false),
            (Some(ahead), false),
        ] {
            assert_eq!(is_overdue(last, now, 8 * HOUR), is_due, "{last:?}");
        }
    }
}
