//! Gathers the facts about the backup and the phone that a restore depends on.

use std::path::Path;
use std::time::SystemTime;

use plist::Value;
use serde::Serialize;

use crate::backup_format::plists::{self, Info, ManifestPlist, Status, Unreadable};
use crate::base::{product_names, time};
use crate::device::connector::{self, Encryption, Facts};
use crate::device::{self, Lockdown};
use crate::reader::{self, backup};
use crate::restore::Error;
use crate::store::walk::Walk;
use crate::store::{self, snapshot};
use crate::transport::{Attached, Stream, Via};

/// The facts about a backup that is to be restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The path of its folder.
    pub path: String,
    /// The UDID of the phone that was backed up, if known.
    pub udid: Option<String>,
    /// The name of that phone.
    pub name: Option<String>,
    /// The product type, for example `iPhone16,1`.
    pub product_type: Option<String>,
    /// The model, for example "iPhone 15 Pro".
    pub model: Option<String>,
    /// The iOS version of that phone.
    pub ios: Option<String>,
    /// The time of the backup, as RFC 3339.
    pub date: Option<String>,
    /// True if the phone finished the backup.
    pub complete: bool,
    /// True if the files are encrypted.
    pub encrypted: bool,
    /// Number of files in the backup.
    pub files: u64,
    /// Total bytes of the files on disk.
    pub bytes: u64,
    /// Number of applications that were installed; null if the backup does not say.
    pub apps: Option<u64>,
}

impl Source {
    /// Reads these facts from a backup's folder.
    pub fn look(folder: &Path) -> Result<Source, Error> {
        if !store::is_backup(folder) {
            return Err(backup::no_backup(folder).into());
        }
        let unusable = |name: &str, why: Unreadable| reader::Error::Metadata {
            path: folder.join(name),
            why,
        };
        let manifest = ManifestPlist::read(folder);
        let manifest = manifest.map_err(|why| unusable("Manifest.plist", why))?;
        let status = Status::read(folder).map_err(|why| unusable("Status.plist", why))?;
        // An unreadable Info.plist is tolerated: the phone never reads it, and only the list of
        // applications is found nowhere else.
        let info = Info::read(folder).unwrap_or_default();
        let (files, bytes) = amount(folder)?;
        // Ignores an invalid UDID: the phone would use it as the folder name in its requests.
        let told = info.udid.or(manifest.udid);
        let told = told.and_then(|told| told.parse().ok());
        let udid = snapshot::phone_of(folder).or(told);
        // Manifest.plist comes first because the phone goes by it. The computer wrote Info.plist.
        let product_type = manifest.product_type.or(info.product_type);
        let date = status.date.or(manifest.date).or(info.last_backup);
        Ok(Source {
            path: folder.display().to_string(),
            udid: udid.map(|udid| udid.to_string()),
            name: info.device_name.or(manifest.device_name),
            model: (product_type.as_deref()).map(|t| product_names::name(t).to_owned()),
            product_type,
            ios: manifest.product_version.or(info.product_version),
            date: date.map(time::rfc3339),
            // Backups before iOS 4, and those of other programs, may not record whether they are
            // complete.
            complete: plists::is_complete(folder, &status),
            encrypted: manifest.encrypted,
            files,
            bytes,
            apps: info.installed.map(|number| number as u64),
        })
    }

    /// Returns true if this is a backup of the phone with this UDID.
    pub fn is_of(&self, udid: &str) -> bool {
        let of = self.udid.as_deref();
        of.is_some_and(|of| of.eq_ignore_ascii_case(udid))
    }
}

/// Returns the number of files and their bytes: from the report of the run, else by listing the
/// folder.
fn amount(folder: &Path) -> Result<(u64, u64), Error> {
    let report = snapshot::find(folder).and_then(|found| snapshot::read_report(&found.report()?));
    let number = |key: &str| report.as_ref()?.get(key)?.as_u64();
    if let (Some(files), Some(bytes)) = (number("files"), number("bytes")) {
        return Ok((files, bytes));
    }
    let (mut files, mut bytes) = (0, 0);
    // Errors are skipped here; the check of the backup reports them.
    for found in Walk::new(folder)?.flatten() {
        files += 1;
        bytes += found.meta.len();
    }
    Ok((files, bytes))
}

/// The facts about the phone to restore to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The phone's UDID.
    pub udid: String,
    /// True if the phone is connected over Wi-Fi.
    #[serde(skip)]
    pub over_wifi: bool,
    /// The facts that the phone tells any computer.
    #[serde(flatten)]
    pub facts: Facts,
    /// Free space in bytes, without what the phone reserves for itself.
    pub free_bytes: Option<u64>,
    /// Capacity for user data, in bytes.
    pub capacity_bytes: Option<u64>,
    /// True if Find My is on, according to the phone.
    pub find_my: Option<bool>,
    /// True if the phone's initial setup was finished.
    pub set_up: Option<bool>,
    /// Battery charge, in percent.
    pub battery: Option<u64>,
    /// True if the battery is charging.
    pub charging: bool,
    /// True if the phone is locked with a passcode now.
    pub locked: bool,
    /// True if the phone encrypts its own backups.
    pub will_encrypt: Option<bool>,
    /// True if the phone's administrator requires encryption.
    pub requires_encryption: bool,
}

impl Target {
    /// Asks the phone for these facts.
    pub(crate) fn ask<S: Stream>(
        phone: &Attached,
        lockdown: &mut Lockdown<S>,
    ) -> Result<Target, device::Error> {
        let facts = Facts::ask(lockdown)?;
        let encryption = Encryption::ask(lockdown)?;
        let state = connector::State::ask(lockdown)?;
        let mut value = |domain: &str, key: &str| lockdown.value(Some(domain), Some(key));
        let number = |value: Option<Value>| value.and_then(|v| v.as_unsigned_integer());
        const DISK: &str = "com.apple.disk_usage";
        let free = match value(DISK, "AmountDataAvailable")? {
            None => value(DISK, "TotalDataAvailable")?,
            some => some,
        };
        Ok(Target {
            udid: phone.udid.to_string(),
            over_wifi: phone.via == Via::Network,
            facts,
            free_bytes: number(free),
            capacity_bytes: state.capacity_bytes,
            find_my: connector::flag(value("com.apple.fmip", "IsAssociated")?),
            set_up: connector::flag(value("com.apple.purplebuddy", "SetupDone")?),
            battery: state.battery,
            charging: state.charging,
            locked: state.locked,
            will_encrypt: encryption.is_on,
            requires_encryption: encryption.is_required,
        })
    }

    /// Returns a description such as "Mira's iPhone (iPhone 15 Pro, iOS 18.6.2)".
    pub fn words(&self) -> String {
        let Facts {
            name, model, ios, ..
        } = &self.facts;
        format!("{name} ({model}, iOS {ios})")
    }
}

/// Converts an RFC 3339 time to local time, in the form that is shown to people.
pub(crate) fn local_date(rfc3339: &str) -> Option<String> {
    let time: jiff::Timestamp = rfc3339.parse().ok()?;
    Some(time::local_text(SystemTime::from(time)))
}
