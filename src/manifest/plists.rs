//! The three property lists at the top of a backup.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use plist::{Dictionary, Value};

pub use super::info::Info;
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

/// Reads one of the property lists of the backup in `folder`. Info.plist can exceed 64 MiB on phones with many apps.
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
        Ok(Status {
            snapshot_state: text(&fields, "SnapshotState").unwrap_or_default(),
            date: date(&fields, "Date"),
            is_full: fields.get("IsFullBackup").and_then(Value::as_boolean),
        })
    }

    /// Whether the phone finished it.
    pub fn is_finished(&self) -> bool {
        self.snapshot_state == "finished"
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
        let encrypted = fields
            .get("IsEncrypted")
            .and_then(Value::as_boolean)
            .unwrap_or(false);
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
        let is_encrypted = fields.get("IsEncrypted").and_then(Value::as_boolean);
        if is_encrypted != Some(true) {
            return Ok(None);
        }
        let data = |key: &str| fields.get(key).and_then(Value::as_data);
        let bag = KeyBag::parse(data("BackupKeyBag").unwrap_or_default());
        Ok(Some(Encryption {
            bag: bag.map_err(|why| Unreadable::Damaged(why.to_string()))?,
            manifest_key: data("ManifestKey").map(<[u8]>::to_vec),
        }))
    }
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
