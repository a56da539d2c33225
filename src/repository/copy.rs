//! Describes the backup in a snapshot, by the tags of the snapshot.

use jiff::Timestamp;
use serde::Serialize;

use super::engine::{Stored, as_text};
use crate::backup_format::plists::ManifestPlist;
use crate::store::Snapshot;

/// Marks the snapshots that this program pushed.
const MARK: &str = "idev-backup";

/// A backup in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// The id of the snapshot in the repository.
    pub snapshot: String,
    /// UDID of the phone.
    pub udid: String,
    /// The phone's name at that time.
    pub name: Option<String>,
    /// Version of iOS.
    pub ios: Option<String>,
    /// True if the backup itself is encrypted; the repository always is.
    pub encrypted: Option<bool>,
    /// Number of files.
    pub files: Option<u64>,
    /// Bytes of all files together.
    pub bytes: Option<u64>,
    /// The id of the backup in the store that it was pushed from.
    pub backup: String,
    /// SHA-256 of its Status.plist. The phone writes a new one at each backup, so it tells the
    /// backup even from another store.
    pub status: Option<String>,
    /// The time at which the phone made the backup, RFC 3339.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The computer that pushed it.
    pub host: String,
}

impl Copy {
    /// Reads the tags of a snapshot. Returns `None` if another program made it.
    pub fn of(stored: &Stored) -> Option<Copy> {
        if !stored.tags.iter().any(|tag| tag == MARK) {
            return None;
        }
        let field = |name: &str| {
            let values = stored.tags.iter();
            let mut values = values.filter_map(|tag| tag.strip_prefix(name)?.strip_prefix(':'));
            values.next().map(decoded)
        };
        let number = |name: &str| field(name)?.parse().ok();
        Some(Copy {
            snapshot: stored.id.clone(),
            udid: field("udid")?,
            name: field("name"),
            ios: field("ios"),
            encrypted: field("encrypted").map(|text| text == "yes"),
            files: number("files"),
            bytes: number("bytes"),
            backup: field("id")?,
            status: field("status"),
            time: stored.time,
            host: stored.host.clone(),
        })
    }

    /// Returns true if this is a copy of the backup.
    pub fn is_of(&self, snapshot: &Snapshot) -> bool {
        self.backup == snapshot.id().as_str()
            || (self.status.is_some() && self.status.as_deref() == status_of(snapshot))
    }
}

/// Returns the SHA-256 of a backup's Status.plist, from its record.
fn status_of(snapshot: &Snapshot) -> Option<&str> {
    let print = snapshot.record()?.metadata.get("Status.plist")?;
    Some(print.sha256.as_str())
}

/// Returns the tags for a backup.
pub(super) fn tags(snapshot: &Snapshot) -> Vec<String> {
    let encrypted = ManifestPlist::read(snapshot.path()).ok();
    let encrypted = encrypted.map(|manifest| if manifest.encrypted { "yes" } else { "no" });
    let record = snapshot.record();
    let phone = record.map(|record| &record.phone);
    let fields = [
        ("id", Some(snapshot.id().to_string())),
        ("status", status_of(snapshot).map(str::to_owned)),
        ("udid", Some(snapshot.udid().to_string())),
        ("name", phone.and_then(|phone| phone.name.clone())),
        ("ios", phone.and_then(|phone| phone.ios.clone())),
        ("encrypted", encrypted.map(str::to_owned)),
        ("files", record.map(|record| record.files.to_string())),
        ("bytes", record.map(|record| record.bytes.to_string())),
    ];
    let fields = fields.into_iter();
    let fields = fields.filter_map(|(name, value)| Some(format!("{name}:{}", encoded(&value?))));
    std::iter::once(MARK.to_owned()).chain(fields).collect()
}

/// Replaces the characters with a meaning in restic's lists of tags, and those that a terminal
/// would obey.
fn encoded(text: &str) -> String {
    let each = |c: char| {
        if c == ',' || c == '%' || c.is_control() {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            bytes.map(|byte| format!("%{byte:02X}")).collect()
        } else {
            c.to_string()
        }
    };
    text.chars().map(each).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_as_tags() {
        for name in ["Mira's iPhone", "a,b", "100 %", "%2C", "\u{1b}[31m", "é 📱"] {
            let tag = encoded(name);
            assert!(!tag.contains(',') && !tag.contains('\u{1b}'), "{tag}");
            assert_eq!(decoded(&tag), name);
        }
        assert_eq!(decoded("50 % off"), "50 % off");
    }

    #[test]
    fn tags_of_others_are_no_copies() {
        let mut stored = Stored {
            id: "d165044e".to_owned(),
            time: "2026-11-20T21:14:01Z".parse().unwrap(),
            host: "nas".to_owned(),
            paths: Vec::new(),
            tags: vec![
                "udid:00008030-001C195E0A88802E".to_owned(),
                "id:0c5d".to_owned(),
            ],
        };
        assert_eq!(Copy::of(&stored), None);
        stored.tags.push("idev-backup".to_owned());
        let copy = Copy::of(&stored).unwrap();
        assert_eq!((copy.backup.as_str(), copy.status), ("0c5d", None));
    }
}
