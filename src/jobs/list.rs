//! What a store holds.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::Error;
use crate::device::model;
use crate::manifest::plists::{Info, ManifestPlist, Status};
use crate::store::{self, Snapshot, Store};

/// One backup, as its own property lists and our report tell.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// Which phone.
    pub udid: String,
    /// The phone's name.
    pub name: Option<String>,
    /// In words.
    pub model: Option<String>,
    /// iOS version.
    pub ios: Option<String>,
    /// When it was made, RFC 3339.
    pub date: Option<String>,
    /// It is the phone's current backup.
    pub current: bool,
    /// The phone finished it.
    pub complete: bool,
    /// Its files are encrypted.
    pub encrypted: Option<bool>,
    /// Files, as our report counts them.
    pub files: Option<u64>,
    /// Bytes of all files, as our report counts them.
    pub bytes: Option<u64>,
    /// Made by this tool, and unchanged since as far as a glance tells.
    pub ours: bool,
    /// Where it is.
    pub path: String,
}

/// Lists the backups of a store, by phone, newest first.
pub fn list(store: &Store) -> Result<Vec<Backup>, Error> {
    Ok(store.snapshots()?.iter().map(describe).collect())
}

/// Finds a backup by its path, or in the store by `latest`, by phone, by stamp, or by the beginning of either.
pub fn find(store: Result<Store, store::Error>, name: Option<&str>) -> Result<PathBuf, Error> {
    if let Some(path) = name.map(Path::new)
        && path.is_dir()
    {
        return Ok(path.to_path_buf());
    }
    let snapshots = match store {
        Ok(store) => store.snapshots()?,
        Err(store::Error::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    if snapshots.is_empty() && name.is_none() {
        return Err(Error::Nothing {
            what: "the store holds no backups yet".to_owned(),
            hint: "name a backup's folder, or another store with --store".to_owned(),
        });
    }
    let named = |s: &&Snapshot| match name {
        None | Some("latest") => s.is_current(),
        Some(name) => {
            let folder = s
                .path()
                .file_name()
                .and_then(|f| f.to_str())
                .unwrap_or_default();
            folder == name
                || s.stamp().is_some_and(|stamp| stamp.starts_with(name))
                || (folder.starts_with(name)
                    && (s.is_current() || name.len() > s.udid().as_str().len()))
        }
    };
    let found: Vec<&Snapshot> = snapshots.iter().filter(named).collect();
    let wanted = name.unwrap_or("latest");
    match found[..] {
        [one] => Ok(one.path().to_path_buf()),
        [] => Err(Error::Nothing {
            what: format!("there is no backup {wanted:?}, neither as a folder nor in the store"),
            hint: "`idev-backup list` shows what the store holds".to_owned(),
        }),
        _ if name.is_none() => Err(Error::Nothing {
            what: format!("the store holds backups of {} phones", found.len()),
            hint: "name one of them by its UDID; `idev-backup list` shows them".to_owned(),
        }),
        _ => Err(Error::Nothing {
            what: format!("{} backups are meant by {wanted:?}", found.len()),
            hint: "name one by its phone or its time; `idev-backup list` shows them".to_owned(),
        }),
    }
}

/// One backup.
pub fn describe(snapshot: &Snapshot) -> Backup {
    let folder = snapshot.path();
    let info = Info::read(folder).unwrap_or_default();
    let status = Status::read(folder).unwrap_or_default();
    let manifest = ManifestPlist::read(folder).ok();
    let report = snapshot.report().and_then(|path| read_report(&path));
    let count = |key: &str| report.as_ref().and_then(|r| r.get(key)?.as_u64());
    let date = status
        .date
        .or(manifest.as_ref().and_then(|m| m.date))
        .or(info.last_backup);
    Backup {
        udid: snapshot.udid().to_string(),
        name: info.device_name,
        model: info
            .product_type
            .as_deref()
            .map(|t| model::name(t).to_owned()),
        ios: info.product_version,
        date: date.map(rfc3339),
        current: snapshot.is_current(),
        complete: status.is_finished(),
        encrypted: manifest.map(|m| m.encrypted),
        files: count("files"),
        bytes: count("bytes"),
        ours: snapshot.beside().is_some(),
        path: folder.display().to_string(),
    }
}

pub(super) fn read_report(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// As people want it: local, to the minute.
pub fn local(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or_default();
    let zoned = timestamp.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M").to_string()
}

/// As scripts want it: UTC, whole seconds.
pub fn rfc3339(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same for what a phone notes, seconds since 1970; `None` for what no calendar has.
pub fn rfc3339_seconds(seconds: i64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_second(seconds).ok()?;
    Some(timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
