//! The time of the last contact with each phone, kept beside our pair records.
//!
//! A phone forgets a computer after 30 days without contact (Apple Platform Security, "Pairing
//! model security for iPhone and iPad"), and over Wi-Fi its owner notices only when it is too late.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::base::time::{self, age};
use crate::base::udid::Udid;
use crate::transport::Via;

/// Time without contact after which a phone forgets a computer.
pub const TRUST_ENDS_AFTER: Duration = Duration::from_secs(30 * DAY_SECONDS);
/// Time without contact after which a warning is due.
pub const WARN_AFTER: Duration = Duration::from_secs(20 * DAY_SECONDS);
const DAY_SECONDS: u64 = 86_400;
/// A note that is younger than this is not written again.
const WRITE_EVERY: Duration = Duration::from_secs(600);
/// Longest file that is read.
const BYTES_MAX: u64 = 4096;

/// The last contact with a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The time, RFC 3339.
    pub time: String,
    /// The way: "USB" or "Wi-Fi".
    pub via: String,
    /// True if the phone's connections over Wi-Fi are on, as far as this computer knows.
    #[serde(default)]
    pub wifi: bool,
}

impl Contact {
    /// Returns the time without contact until `now`. `None` if the note is dated in the future.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let then = self.time.parse::<jiff::Timestamp>().ok()?;
        age(now, then.into())
    }

    /// Returns the number of whole days until the phone forgets this computer.
    pub fn days_left(&self, now: SystemTime) -> Option<u64> {
        let left = TRUST_ENDS_AFTER.saturating_sub(self.age(now)?);
        Some(left.as_secs() / DAY_SECONDS)
    }

    /// Returns true if a warning is due: the phone will soon forget this computer.
    pub fn is_long_ago(&self, now: SystemTime) -> bool {
        self.age(now).is_some_and(|age| age >= WARN_AFTER)
    }
}

/// Returns the last contact with a phone, as noted in `folder`.
pub(super) fn last(folder: &Path, udid: &Udid) -> Option<Contact> {
    let path = folder.join(name(udid));
    if std::fs::metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Notes a contact in `folder`, if that exists. Ignores errors: without the note, only the warning
/// about the end of trust is lost.
pub(super) fn note(folder: &Path, udid: &Udid, via: Via, now: SystemTime) {
    let wifi = via == Via::Network || last(folder, udid).is_some_and(|last| last.wifi);
    note_switch(folder, udid, via, now, wifi);
}

/// Notes a contact, and whether the phone's connections over Wi-Fi are on.
pub(super) fn note_switch(folder: &Path, udid: &Udid, via: Via, now: SystemTime, wifi: bool) {
    let contact = Contact {
        time: time::rfc3339(now),
        via: via.to_string(),
        wifi,
    };
    let is_recent = |last: &Contact| {
        (&last.via, last.wifi) == (&contact.via, wifi)
            && last.age(now).is_some_and(|age| age < WRITE_EVERY)
    };
    if !folder.is_dir() || last(folder, udid).as_ref().is_some_and(is_recent) {
        return;
    }
    let written = serde_json::to_vec(&contact)
        .map_err(std::io::Error::other)
        .and_then(|bytes| {
            super::pair_records::write_private(folder, &folder.join(name(udid)), &bytes)
        });
    match written {
        Ok(()) | Err(_) => {}
    }
}

/// Removes the note about a phone, if there is one.
pub(super) fn forget(folder: &Path, udid: &Udid) {
    match std::fs::remove_file(folder.join(name(udid))) {
        Ok(()) | Err(_) => {}
    }
}

fn name(udid: &Udid) -> String {
    format!("{udid}.contact.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_age_is_counted_in_days() {
        let day = Duration::from_secs(DAY_SECONDS);
        let now = SystemTime::UNIX_EPOCH + 20_000 * day;
        let contact = |days: u32| Contact {
            time: time::rfc3339(now - days * day),
            via: "Wi-Fi".to_owned(),
            wifi: true,
        };
        for (days, left, warns) in [
            (0, 30, false),
            (19, 11, false),
            (20, 10, true),
            (30, 0, true),
            (400, 0, true),
        ] {
            let contact = contact(days);
            assert_eq!(contact.days_left(now), Some(left), "{days}");
            assert_eq!(contact.is_long_ago(now), warns, "{days}");
        }
        let future = Contact {
            time: time::rfc3339(now + day),
            via: "USB".to_owned(),
            wifi: false,
        };
        assert_eq!(
            (future.days_left(now), future.is_long_ago(now)),
            (None, false)
        );
    }

    #[test]
    fn contact_is_noted_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let udid: Udid = "00008130-001A2B3C4D5E6F70".parse().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(last(folder.path(), &udid), None);
        note(folder.path(), &udid, Via::Network, now);
        let noted = last(folder.path(), &udid).unwrap();
        assert_eq!(
            (noted.via.as_str(), noted.days_left(now)),
            ("Wi-Fi", Some(30))
        );
        // A younger note replaces it only after a while.
        note(
            folder.path(),
            &udid,
            Via::Network,
            now + Duration::from_secs(60),
        );
        assert_eq!(last(folder.path(), &udid).as_ref(), Some(&noted));
        note(folder.path(), &udid, Via::Network, now + WRITE_EVERY);
        assert_ne!(last(folder.path(), &udid).as_ref(), Some(&noted));
        std::fs::write(folder.path().join(name(&udid)), "{\"time\":1}").unwrap();
        assert_eq!(last(folder.path(), &udid), None);
        forget(folder.path(), &udid);
        assert!(!folder.path().join(name(&udid)).exists());
        note(&folder.path().join("absent"), &udid, Via::Usb, now);
        assert!(!folder.path().join("absent").exists());
    }
}
