//! The three property lists at the top of a backup.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use plist::{Dictionary, Value};

use crate::backup_format::keybag::{BadKeyBag, KeyBag};
use crate::backup_format::temp_db;
use crate::base::plain_file;

pub use super::info_plist::Info;
pub use super::plist_file::{Unreadable, length, read};

/// State of a backup that the phone has finished.
const FINISHED: &str = "finished";

/// Status.plist, which shows how far the phone got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The state: `uploading`, `moving`, `removing` or `finished`.
    pub snapshot_state: String,
    /// The time at which the backup was made.
    pub date: Option<SystemTime>,
    /// True if the phone sent everything, not only the changes.
    pub is_full: Option<bool>,
}

impl Status {
    /// Reads the Status.plist of the backup in `folder`.
    pub fn read(folder: &Path) -> Result<Status, Unreadable> {
        let fields = read(folder, "Status.plist")?;
        // The first version of the protocol had only "Backup Success".
        let succeeded = fields.get("Backup Success").and_then(Value::as_boolean);
        let snapshot_state = text(&fields, "SnapshotState")
            .or_else(|| succeeded.map(|good| if good { FINISHED } else { "failed" }.to_owned()));
        Ok(Status {
            snapshot_state: snapshot_state.unwrap_or_default(),
            date: date(&fields, "Date"),
            is_full: fields.get("IsFullBackup").and_then(Value::as_boolean),
        })
    }

    /// Returns true if the phone finished the backup.
    pub fn is_finished(&self) -> bool {
        self.snapshot_state == FINISHED
    }

    /// Describes how far the phone got, as the end of a sentence.
    pub(crate) fn words(&self) -> String {
        match self.snapshot_state.as_str() {
            "" => "Status.plist does not name the phone's last step".to_owned(),
            state => format!("it stopped in the state {state:?}"),
        }
    }

    /// Returns true if a phone can resume the backup where it stopped.
    pub fn is_resumable(&self) -> bool {
        matches!(
            self.snapshot_state.as_str(),
            "uploading" | "moving" | "removing"
        )
    }
}

/// Manifest.plist, as far as it can be read without a password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestPlist {
    /// True if the files are encrypted with the backup password.
    pub encrypted: bool,
    /// The time at which the backup was made.
    pub date: Option<SystemTime>,
    /// The version of iOS.
    pub product_version: Option<String>,
    /// The product type, such as "iPhone16,1".
    pub product_type: Option<String>,
    /// The build of iOS, such as "22G100".
    pub build_version: Option<String>,
    /// The phone's name.
    pub device_name: Option<String>,
    /// The phone's serial number.
    pub serial_number: Option<String>,
    /// The phone's UDID.
    pub udid: Option<String>,
    /// The bundle ids of the applications in the backup.
    pub application_ids: BTreeSet<String>,
    /// The reason why the keys of an encrypted backup cannot be read, if so.
    pub unreadable_keys: Option<BadKeyBag>,
}

impl ManifestPlist {
    /// Reads the Manifest.plist of the backup in `folder`.
    pub fn read(folder: &Path) -> Result<ManifestPlist, Unreadable> {
        let fields = read(folder, "Manifest.plist")?;
        let lockdown = fields.get("Lockdown").and_then(Value::as_dictionary);
        let applications = fields.get("Applications").and_then(Value::as_dictionary);
        let encrypted = is_encrypted(folder, &fields);
        let bag = fields
            .get("BackupKeyBag")
            .and_then(Value::as_data)
            .unwrap_or_default();
        Ok(ManifestPlist {
            encrypted,
            unreadable_keys: KeyBag::parse(bag).err().filter(|_| encrypted),
            date: date(&fields, "Date"),
            product_version: lockdown.and_then(|l| text(l, "ProductVersion")),
            product_type: lockdown.and_then(|l| text(l, "ProductType")),
            build_version: lockdown.and_then(|l| text(l, "BuildVersion")),
            device_name: lockdown.and_then(|l| text(l, "DeviceName")),
            serial_number: lockdown.and_then(|l| text(l, "SerialNumber")),
            udid: lockdown.and_then(|l| text(l, "UniqueDeviceID")),
            application_ids: applications
                .map_or_else(BTreeSet::new, |apps| apps.keys().cloned().collect()),
        })
    }
}

/// Fields of Manifest.plist that are used with a password.
pub(crate) struct Encryption {
    /// The keys of the protection classes.
    pub bag: KeyBag,
    /// The wrapped key of Manifest.db; lists before iOS 10.2 are not encrypted.
    pub manifest_key: Option<Vec<u8>>,
}

impl Encryption {
    /// Reads the keys of the backup in `folder`. Returns `None` if the backup is not encrypted.
    pub(crate) fn read(folder: &Path) -> Result<Option<Encryption>, Unreadable> {
        let fields = read(folder, "Manifest.plist")?;
        if is_encrypted(folder, &fields) {
            Encryption::of(&fields).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads the keys even if Manifest.plist says that the backup is not encrypted. Returns `None`
    /// if the file has no keys.
    pub(crate) fn read_anyway(folder: &Path) -> Option<Encryption> {
        let fields = read(folder, "Manifest.plist").ok()?;
        Encryption::of(&fields).ok()
    }

    fn of(fields: &Dictionary) -> Result<Encryption, Unreadable> {
        let bag = KeyBag::parse(data(fields, "BackupKeyBag").unwrap_or_default());
        Ok(Encryption {
            bag: bag.map_err(|why| Unreadable::Damaged(why.to_string()))?,
            manifest_key: data(fields, "ManifestKey").map(<[u8]>::to_vec),
        })
    }
}

/// Returns true if the backup is encrypted. Manifest.plist says so, unless the first bytes of
/// Manifest.db show that it is wrong: for some encrypted backups, Manifest.plist says "no" or
/// nothing.
fn is_encrypted(folder: &Path, fields: &Dictionary) -> bool {
    let said = match fields.get("IsEncrypted") {
        Some(Value::Boolean(said)) => Some(*said),
        Some(Value::Integer(number)) => Some(number.as_signed() != Some(0)),
        _ => None,
    };
    match list_form(folder) {
        // If the list is a plain database and there are no keys, nothing needs decryption.
        ListForm::Plain => said == Some(true) && fields.contains_key("BackupKeyBag"),
        // Unencrypted backups have a key bag too, but no key for the list.
        ListForm::Sealed => {
            let has_keys = data(fields, "ManifestKey").is_some()
                && data(fields, "BackupKeyBag").is_some_and(|bag| KeyBag::parse(bag).is_ok());
            said == Some(true) || has_keys
        }
        ListForm::Unknown => said == Some(true),
    }
}

/// Form of Manifest.db, judging by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListForm {
    /// A SQLite database.
    Plain,
    /// Whole cipher blocks, or a database whose beginning is damaged.
    Sealed,
    /// The file does not exist, or is cut.
    Unknown,
}

/// Determines the form of the Manifest.db of the backup in `folder`.
pub(crate) fn list_form(folder: &Path) -> ListForm {
    let head = || -> std::io::Result<([u8; 16], u64)> {
        let mut file = plain_file::open(&folder.join("Manifest.db"))?;
        let mut head = [0; 16];
        file.read_exact(&mut head)?;
        Ok((head, file.metadata()?.len()))
    };
    match head() {
        Ok((head, _)) if &head == temp_db::MAGIC => ListForm::Plain,
        Ok((_, length)) if length % 16 == 0 => ListForm::Sealed,
        _ => ListForm::Unknown,
    }
}

fn data<'a>(fields: &'a Dictionary, key: &str) -> Option<&'a [u8]> {
    fields.get(key).and_then(Value::as_data)
}

fn text(fields: &Dictionary, key: &str) -> Option<String> {
    fields
        .get(key)
        .and_then(Value::as_string)
        .map(str::to_owned)
}

fn date(fields: &Dictionary, key: &str) -> Option<SystemTime> {
    fields
        .get(key)
        .and_then(Value::as_date)
        .map(SystemTime::from)
}

/// Returns true if the Status.plist in `folder` says that the phone finished the backup, and the
/// list of files is there.
///
/// Other programs leave a Status.plist that says "finished" even if the phone refused at once. The
/// list of files is missing then.
pub fn is_complete(folder: &Path, status: &Status) -> bool {
    let has_list = ["Manifest.db", "Manifest.mbdb"].iter().any(|name| {
        fs::metadata(folder.join(name)).is_ok_and(|meta| meta.is_file() && meta.len() > 0)
    });
    status.is_finished() && has_list
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn finished_without_list_is_incomplete() {
        let folder = tempfile::tempdir().unwrap();
        let status = |state: &str| Status {
            snapshot_state: state.to_owned(),
            ..Status::default()
        };
        assert!(!is_complete(folder.path(), &status("finished")));
        for name in ["Manifest.db", "Manifest.mbdb"] {
            let list = folder.path().join(name);
            fs::write(&list, "").unwrap();
            assert!(!is_complete(folder.path(), &status("finished")), "{name}");
            fs::write(&list, "x").unwrap();
            assert!(is_complete(folder.path(), &status("finished")), "{name}");
            assert!(!is_complete(folder.path(), &status("uploading")), "{name}");
            fs::remove_file(&list).unwrap();
        }
    }
}
