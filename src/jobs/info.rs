//! What a backup is: which phone, when, how much. What the property lists tell needs no password.

use std::path::Path;

use serde::Serialize;

use super::Error;
use super::last_good::is_complete;
use super::list::{describe, rfc3339};
use super::opened::Opened;
use super::password::Passwords;
use super::totals::{Sum, Totals};
use crate::device::model;
use crate::manifest::kinds::Amount;
use crate::manifest::plists::{Info, ManifestPlist, Status, Unreadable};
use crate::manifest::unread::Unread;
use crate::store;
use crate::store::snapshot;

/// How a backup is looked at.
#[derive(Default)]
pub struct Options<'a> {
    /// The password, where there is one. Nobody is asked for it.
    pub password: Option<&'a dyn Passwords>,
}

/// A backup. What is `None` is not known.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Where it is.
    pub path: String,
    /// The phone's name.
    pub name: Option<String>,
    /// The phone's UDID.
    #[serde(skip)]
    pub udid: Option<String>,
    /// In words.
    pub model: Option<String>,
    /// `iPhone16,1`
    pub product_type: Option<String>,
    /// The phone's serial number.
    pub serial: Option<String>,
    /// iOS version.
    pub ios: Option<String>,
    /// And its build.
    pub build: Option<String>,
    /// When it was made, RFC 3339.
    pub date: Option<String>,
    /// The phone finished it.
    pub complete: Option<bool>,
    /// The phone sent everything for it, and not only what had changed.
    pub full: Option<bool>,
    /// Its files are encrypted.
    pub encrypted: Option<bool>,
    /// Made by this tool, and unchanged since as far as a glance tells.
    pub ours: bool,
    /// Applications that were installed.
    pub apps: Option<u64>,
    /// What it weighs on the disk, as our report of its making has it.
    pub stored: Option<Sum>,
    /// What is in it; `None` where its list cannot be read.
    pub contents: Option<Contents>,
    /// It is encrypted, and there was no password to read its list with.
    pub needs_password: bool,
    /// What cannot be read of it, each as a sentence.
    pub problems: Vec<String>,
    /// What could not be read of its list.
    pub unread: Unread,
}

/// What is in a backup, by its list.
#[derive(Debug, Clone, Serialize)]
pub struct Contents {
    /// `Manifest.db`, or `Manifest.mbdb` of iOS 9 and older.
    pub list: &'static str,
    /// Files, and their bytes.
    #[serde(flatten)]
    pub all: Sum,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// Domains.
    pub domains: u64,
    /// By what the files are to their owner.
    pub kinds: Vec<Amount>,
    /// Files whose records cannot be read.
    pub unreadable: u64,
}

/// Looks at the backup in `folder`.
pub fn info(folder: &Path, options: &Options) -> Result<Report, Error> {
    let mut report = of_property_lists(folder)?;
    if let Some(snapshot) = snapshot::find(folder) {
        let known = describe(&snapshot);
        report.ours = known.ours;
        report.stored = (known.files.zip(known.bytes)).map(|(files, bytes)| Sum { files, bytes });
    }
    if report.encrypted == Some(true) && options.password.is_none() {
        report.needs_password = true;
        return Ok(report);
    }
    let passwords = options.password.unwrap_or(&super::password::NoPasswords);
    let read = Opened::open(folder, passwords).and_then(|opened| {
        let totals = Totals::of(&opened)?;
        Ok((opened, totals))
    });
    match read {
        Ok((opened, totals)) => {
            report.contents = Some(contents(opened.list().name(), &totals));
            report.encrypted = Some(opened.is_encrypted());
            report.unread = opened.unread();
            // The problem with Manifest.plist was told once already.
            let is_told = !report.problems.is_empty();
            (report.unread.notes).retain(|note| !is_told || !note.starts_with("Manifest.plist:"));
        }
        Err(Error::Backup { path, why }) => {
            let problem = format!("cannot read {}: {why}", path.display());
            report.problems.push(problem);
        }
        Err(e) => return Err(e),
    }
    Ok(report)
}

fn contents(list: &'static str, totals: &Totals) -> Contents {
    Contents {
        list,
        all: totals.all,
        folders: totals.folders,
        links: totals.links,
        domains: totals.domains.len() as u64,
        kinds: totals.kinds.list(),
        unreadable: totals.unreadable,
    }
}

/// What needs no password.
pub(super) fn of_property_lists(folder: &Path) -> Result<Report, Error> {
    if !store::is_backup(folder) {
        return Err(super::opened::no_backup(folder));
    }
    let mut problems = Vec::new();
    let info = or_default(Info::read(folder), "Info.plist", &mut problems);
    let status = or_default(Status::read(folder), "Status.plist", &mut problems);
    let manifest = ManifestPlist::read(folder);
    // iOS 4 and 5 wrote it only where it was needed.
    let is_old = folder.join("Manifest.mbdb").exists();
    let encrypted = match &manifest {
        Ok(manifest) => Some(manifest.encrypted),
        Err(Unreadable::Absent) if is_old => Some(false),
        Err(_) => None,
    };
    let manifest = match manifest {
        Err(Unreadable::Absent) if is_old => ManifestPlist::default(),
        other => or_default(other, "Manifest.plist", &mut problems),
    };
    let apps = info.installed.unwrap_or(manifest.application_ids.len()) as u64;
    let date = status.date.or(manifest.date).or(info.last_backup);
    // Manifest.plist knows the phone too.
    let product_type = info.product_type.or(manifest.product_type);
    Ok(Report {
        path: folder.display().to_string(),
        name: info.device_name.or(manifest.device_name),
        udid: info.udid.or(manifest.udid),
        model: (product_type.as_deref()).map(|t| model::name(t).to_owned()),
        product_type,
        serial: info.serial_number.or(manifest.serial_number),
        ios: info.product_version.or(manifest.product_version),
        build: info.build_version.or(manifest.build_version),
        date: date.map(rfc3339),
        complete: Some(is_complete(folder, &status)).filter(|_| !status.snapshot_state.is_empty()),
        full: status.is_full,
        encrypted,
        apps: Some(apps).filter(|apps| *apps > 0),
        problems,
        ..Report::default()
    })
}

fn or_default<T: Default>(
    read: Result<T, Unreadable>,
    name: &str,
    problems: &mut Vec<String>,
) -> T {
    read.unwrap_or_else(|why| {
        problems.push(format!("cannot read {name}: {why}"));
        T::default()
    })
}
