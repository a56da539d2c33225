//! What is restored, and onto what: as far as the backup and the phone tell by themselves.

use std::path::Path;
use std::time::SystemTime;

use plist::Value;
use serde::Serialize;

use crate::device::{self, Lockdown, model};
use crate::jobs::phone::{self, Encryption, Facts};
use crate::jobs::{Error, last_good, list, opened};
use crate::manifest::plists::{Info, ManifestPlist, Status, Unreadable};
use crate::store::walk::Walk;
use crate::store::{self, snapshot};
use crate::transport::{Attached, Stream};

/// A backup, before it is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its folder.
    pub path: String,
    /// The phone that it is of, where anything says so.
    pub udid: Option<String>,
    /// That phone's name.
    pub name: Option<String>,
    /// `iPhone16,1`
    pub product_type: Option<String>,
    /// "iPhone 15 Pro"
    pub model: Option<String>,
    /// iOS version.
    pub ios: Option<String>,
    /// When it was made, RFC 3339.
    pub date: Option<String>,
    /// The phone finished it.
    pub complete: bool,
    /// Its files are encrypted.
    pub encrypted: bool,
    /// Files in it.
    pub files: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// Applications that were installed; null where it does not say.
    pub apps: Option<u64>,
}

impl Source {
    /// Looks at a folder.
    pub fn look(folder: &Path) -> Result<Source, Error> {
        if !store::is_backup(folder) {
            return Err(opened::no_backup(folder));
        }
        let unusable = |name: &str, why: Unreadable| Error::Backup {
            path: folder.join(name),
            why,
        };
        let manifest = ManifestPlist::read(folder);
        let manifest = manifest.map_err(|why| unusable("Manifest.plist", why))?;
        let status = Status::read(folder).map_err(|why| unusable("Status.plist", why))?;
        // The phone never reads it; only the list of applications is in it.
        let info = Info::read(folder).unwrap_or_default();
        let (files, bytes) = amount(folder)?;
        // What is none would be told to the phone, which then asks for files of such a name.
        let told = info.udid.or(manifest.udid);
        let told = told.and_then(|told| told.parse().ok());
        let udid = snapshot::phone_of(folder).or(told);
        // The phone goes by this one: Info.plist is the computer's.
        let product_type = manifest.product_type.or(info.product_type);
        let date = status.date.or(manifest.date).or(info.last_backup);
        Ok(Source {
            path: folder.display().to_string(),
            udid: udid.map(|udid| udid.to_string()),
            name: info.device_name.or(manifest.device_name),
            model: (product_type.as_deref()).map(|t| model::name(t).to_owned()),
            product_type,
            ios: manifest.product_version.or(info.product_version),
            date: date.map(list::rfc3339),
            // Before iOS 4 nothing said so, and what another program writes need not either.
            complete: last_good::is_complete(folder, &status),
            encrypted: manifest.encrypted,
            files,
            bytes,
            apps: info.installed.map(|number| number as u64),
        })
    }

    /// Whether it is of this phone.
    pub fn is_of(&self, udid: &str) -> bool {
        let of = self.udid.as_deref();
        of.is_some_and(|of| of.eq_ignore_ascii_case(udid))
    }
}

/// Files and their bytes: as the report of the run counts them, or as they lie there.
fn amount(folder: &Path) -> Result<(u64, u64), Error> {
    let report = snapshot::find(folder).and_then(|found| list::read_report(&found.report()?));
    let number = |key: &str| report.as_ref()?.get(key)?.as_u64();
    if let (Some(files), Some(bytes)) = (number("files"), number("bytes")) {
        return Ok((files, bytes));
    }
    let (mut files, mut bytes) = (0, 0);
    // What cannot be looked at is for the check to tell.
    for found in Walk::new(folder)?.flatten() {
        files += 1;
        bytes += found.meta.len();
    }
    Ok((files, bytes))
}

/// A phone, before anything is restored onto it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Which.
    pub udid: String,
    /// What it tells about itself.
    #[serde(flatten)]
    pub facts: Facts,
    /// Bytes free on it, without what it reserves for itself.
    pub free_bytes: Option<u64>,
    /// Bytes that it can hold.
    pub capacity_bytes: Option<u64>,
    /// Find My is on, by its word.
    pub find_my: Option<bool>,
    /// Its setup was finished.
    pub set_up: Option<bool>,
    /// Percent.
    pub battery: Option<u64>,
    /// It has power.
    pub charging: bool,
    /// It is locked with a passcode now.
    pub locked: bool,
    /// It encrypts its own backups.
    pub will_encrypt: Option<bool>,
    /// Its administrator demands that.
    pub requires_encryption: bool,
}

impl Target {
    /// Asks.
    pub fn ask<S: Stream>(
        phone: &Attached,
        lockdown: &mut Lockdown<S>,
    ) -> Result<Target, device::Error> {
        let facts = Facts::ask(lockdown)?;
        let encryption = Encryption::ask(lockdown)?;
        let state = phone::State::ask(lockdown)?;
        let mut value = |domain: &str, key: &str| lockdown.value(Some(domain), Some(key));
        let number = |value: Option<Value>| value.and_then(|v| v.as_unsigned_integer());
        const DISK: &str = "com.apple.disk_usage";
        let free = match value(DISK, "AmountDataAvailable")? {
            None => value(DISK, "TotalDataAvailable")?,
            some => some,
        };
        Ok(Target {
            udid: phone.udid.to_string(),
            facts,
            free_bytes: number(free),
            capacity_bytes: state.capacity_bytes,
            find_my: phone::flag(value("com.apple.fmip", "IsAssociated")?),
            set_up: phone::flag(value("com.apple.purplebuddy", "SetupDone")?),
            battery: state.battery,
            charging: state.charging,
            locked: state.locked,
            will_encrypt: encryption.is_on,
            requires_encryption: encryption.is_required,
        })
    }

    /// "Mira's iPhone (iPhone 15 Pro, iOS 18.6.2)"
    pub fn words(&self) -> String {
        let Facts {
            name, model, ios, ..
        } = &self.facts;
        format!("{name} ({model}, iOS {ios})")
    }
}

/// When a backup was made, as people want it.
pub fn local_date(rfc3339: &str) -> Option<String> {
    let time: jiff::Timestamp = rfc3339.parse().ok()?;
    Some(list::local(SystemTime::from(time)))
}
