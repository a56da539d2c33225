//! The three property lists at the top of a backup.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use plist::{Dictionary, Value};

pub use super::info::Info;
use super::scratch;
use crate::bounded_plist;
use crate::keybag::{BadKeyBag, KeyBag};
use crate::plain_file;

/// Why a property list of a backup cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// There is none.
    Absent,
    /// It cannot be read, or parsed; why.
    Damaged(String),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Absent => f.write_str("it is missing"),
            Unreadable::Damaged(why) => f.write_str(why),
        }
    }
}

/// Reads one of the property lists of the backup in `folder`. Info.plist can exceed 64 MiB on
/// phones with many apps.
pub fn read(folder: &Path, name: &str) -> Result<Dictionary, Unreadable> {
    let damaged = |e: &dyn std::fmt::Display| Unreadable::Damaged(e.to_string());
    length(folder, name)?;
    let bytes = plain_file::read(&folder.join(name)).map_err(|e| damaged(&e))?;
    let value = bounded_plist::parse(&bytes).map_err(|e| damaged(&e))?;
    value
        .into_dictionary()
        .ok_or_else(|| Unreadable::Damaged("it is no dictionary".to_owned()))
}

/// How many bytes one of them has, if it is there and not absurd.
pub fn length(folder: &Path, name: &str) -> Result<u64, Unreadable> {
    const BYTES_MAX: u64 = 512 << 20;
    let damaged = |why: String| Err(Unreadable::Damaged(why));
    match fs::symlink_metadata(folder.join(name)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Unreadable::Absent),
        Err(e) => damaged(e.to_string()),
        Ok(meta) if !meta.is_file() => damaged("it is no file".to_owned()),
        Ok(meta) if meta.len() == 0 => damaged("it is empty".to_owned()),
        Ok(meta) if meta.len() > BYTES_MAX => damaged("it is absurdly large".to_owned()),
        Ok(meta) => Ok(meta.len()),
    }
}

/// The state of a backup that the phone has finished.
const FINISHED: &str = "finished";

/// Status.plist: how far the phone got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `uploading`, `moving`, `removing` or `finished`.
    pub snapshot_state: String,
    /// When the backup was made.
    pub date: Option<SystemTime>,
    /// The phone sent everything, and not only what had changed.
    pub is_full: Option<bool>,
}

impl Status {
    /// Reads it.
    pub fn read(folder: &Path) -> Result<Status, Unreadable> {
        let fields = read(folder, "Status.plist")?;
        // The first protocol had nothing but "Backup Success".
        let succeeded = fields.get("Backup Success").and_then(Value::as_boolean);
        let snapshot_state = text(&fields, "SnapshotState")
            .or_else(|| succeeded.map(|good| if good { FINISHED } else { "failed" }.to_owned()));
        Ok(Status {
            snapshot_state: snapshot_state.unwrap_or_default(),
            date: date(&fields, "Date"),
            is_full: fields.get("IsFullBackup").and_then(Value::as_boolean),
        })
    }

    /// Whether the phone finished it.
    pub fn is_finished(&self) -> bool {
        self.snapshot_state == FINISHED
    }

    /// Says how far the phone got, as the end of a sentence.
    pub fn words(&self) -> String {
        match self.snapshot_state.as_str() {
            "" => "Status.plist does not say how far the phone got".to_owned(),
            state => format!("it stopped while {state:?}"),
        }
    }

    /// Whether a phone may go on where it stopped.
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
    /// The files are encrypted with the backup password.
    pub encrypted: bool,
    /// When the backup was made.
    pub date: Option<SystemTime>,
    /// iOS version.
    pub product_version: Option<String>,
    /// Kind of device, as in "iPhone16,1".
    pub product_type: Option<String>,
    /// Build of iOS, as in "22G100".
    pub build_version: Option<String>,
    /// The phone's name.
    pub device_name: Option<String>,
    /// The phone's serial number.
    pub serial_number: Option<String>,
    /// The phone's UDID.
    pub udid: Option<String>,
    /// Applications that the backup knows of.
    pub application_ids: BTreeSet<String>,
    /// Why the keys of an encrypted backup cannot be read, if they cannot.
    pub unreadable_keys: Option<BadKeyBag>,
}

impl ManifestPlist {
    /// Reads it.
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

/// What of Manifest.plist a password is needed for.
pub struct Encryption {
    /// The keys of the protection classes.
    pub bag: KeyBag,
    /// The key of Manifest.db, wrapped; lists before iOS 10.2 are not encrypted.
    pub manifest_key: Option<Vec<u8>>,
}

impl Encryption {
    /// Reads it; `None` where the backup is not encrypted.
    pub fn read(folder: &Path) -> Result<Option<Encryption>, Unreadable> {
        let fields = read(folder, "Manifest.plist")?;
        match is_encrypted(folder, &fields) {
            true => Encryption::of(&fields).map(Some),
            false => Ok(None),
        }
    }

    /// Reads it from a Manifest.plist that says that the backup is not encrypted; `None` where
    /// there are no keys.
    pub fn read_anyway(folder: &Path) -> Option<Encryption> {
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

/// Returns true if the backup is encrypted. Manifest.plist says so, unless the bytes beside it show
/// that it is wrong: there are encrypted backups whose Manifest.plist says "no", or says nothing.
fn is_encrypted(folder: &Path, fields: &Dictionary) -> bool {
    let said = match fields.get("IsEncrypted") {
        Some(Value::Boolean(said)) => Some(*said),
        Some(Value::Integer(number)) => Some(number.as_signed() != Some(0)),
        _ => None,
    };
    match list_form(folder) {
        // A backup whose list is plain and that has no keys has nothing to decrypt.
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

/// The form of Manifest.db, as its first bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// A SQLite database.
    Plain,
    /// Whole blocks of a cipher, or a database whose beginning is damaged.
    Sealed,
    /// There is none, or it is cut.
    Unknown,
}

/// Looks at the first bytes of the Manifest.db of the backup in `folder`.
pub fn list_form(folder: &Path) -> ListForm {
    let head = || -> std::io::Result<([u8; 16], u64)> {
        let mut file = plain_file::open(&folder.join("Manifest.db"))?;
        let mut head = [0; 16];
        file.read_exact(&mut head)?;
        Ok((head, file.metadata()?.len()))
    };
    match head() {
        Ok((head, _)) if &head == scratch::MAGIC => ListForm::Plain,
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
