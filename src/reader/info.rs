//! Summarizes a backup: its phone, date and size. The facts from the property lists need no
//! password.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::missing::{Gap, missing};
use super::totals::{Sum, Totals};
use crate::backup_format::categories::Amount;
use crate::backup_format::plists::{Info, ManifestPlist, Status, Unreadable, is_complete};
use crate::backup_format::unreadable_rows::Unread;
use crate::base::product_names;
use crate::base::time::rfc3339;
use crate::reader::Error;
use crate::reader::backup::Backup;
use crate::reader::passwords::Passwords;
use crate::reader::source::Source;
use crate::store;
use crate::store::snapshot::{self, read_report};

/// Options for reading a backup.
#[derive(Default)]
pub struct Options<'a> {
    /// The password, if there is one. The user is not asked for it.
    pub password: Option<&'a dyn Passwords>,
    /// The place of the files, if they are not in the folder.
    pub source: Option<Arc<dyn Source>>,
}

/// Facts about a backup. Unknown facts are `None`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Folder of the backup.
    pub path: String,
    /// The phone's name.
    pub name: Option<String>,
    /// The phone's UDID.
    #[serde(skip)]
    pub udid: Option<String>,
    /// Model of the phone, in words.
    pub model: Option<String>,
    /// Model identifier of the phone, for example `iPhone16,1`.
    pub product_type: Option<String>,
    /// The phone's serial number.
    pub serial: Option<String>,
    /// Version of iOS on the phone.
    pub ios: Option<String>,
    /// Build number of that iOS version.
    pub build: Option<String>,
    /// Time at which the backup was made, RFC 3339.
    pub date: Option<String>,
    /// The phone finished the backup.
    pub complete: Option<bool>,
    /// The phone sent everything for this backup, and not only changes.
    pub full: Option<bool>,
    /// The files of the backup are encrypted.
    pub encrypted: Option<bool>,
    /// This tool made the backup, which is unchanged since as far as a quick look shows.
    pub ours: bool,
    /// Number of applications that were installed.
    pub apps: Option<u64>,
    /// Number of files and size on the disk, from the report of the run that made the backup.
    pub stored: Option<Sum>,
    /// Contents of the backup; `None` if the list of files cannot be read.
    pub contents: Option<Contents>,
    /// The backup is encrypted, and no password was given to read the list with.
    pub needs_password: bool,
    /// Parts of the backup that cannot be read, each as a sentence.
    pub problems: Vec<String>,
    /// Parts of the list that could not be read.
    pub unread: Unread,
}

/// Contents of a backup, from the list of files.
#[derive(Debug, Clone, Serialize)]
pub struct Contents {
    /// Name of the list: `Manifest.db`, or `Manifest.mbdb` from iOS 9 and older.
    pub list: &'static str,
    /// Number of files, and their size in bytes.
    #[serde(flatten)]
    pub all: Sum,
    /// Number of folders.
    pub folders: u64,
    /// Number of symbolic links.
    pub links: u64,
    /// Number of domains.
    pub domains: u64,
    /// Amounts by the kind of file.
    pub kinds: Vec<Amount>,
    /// Data that people expect in a backup and this one lacks.
    pub missing: Vec<Gap>,
    /// Number of files whose records cannot be read.
    pub unreadable: u64,
}

/// Summarizes the backup in `folder`.
pub fn info(folder: &Path, options: &Options) -> Result<Report, Error> {
    let mut report = of_property_lists(folder)?;
    if let Some(snapshot) = snapshot::find(folder) {
        report.ours = snapshot.beside().is_some();
        let run = snapshot.report().and_then(|path| read_report(&path));
        let count = |key: &str| run.as_ref()?.get(key)?.as_u64();
        let stored = count("files").zip(count("bytes"));
        report.stored = stored.map(|(files, bytes)| Sum { files, bytes });
    }
    if report.encrypted == Some(true) && options.password.is_none() {
        report.needs_password = true;
        return Ok(report);
    }
    let passwords = options
        .password
        .unwrap_or(&crate::reader::passwords::NoPasswords);
    let opened = match &options.source {
        None => Backup::open(folder, passwords),
        Some(source) => Backup::open_from(folder, source.clone(), passwords),
    };
    let read = opened.and_then(|opened| {
        let totals = Totals::of(&opened)?;
        let missing = missing(&opened)?;
        Ok((opened, totals, missing))
    });
    match read {
        Ok((opened, totals, missing)) => {
            report.contents = Some(contents(opened.list().name(), &totals, missing));
            report.encrypted = Some(opened.is_encrypted());
            report.unread = opened.unread();
            // The problem with Manifest.plist is among `problems` already.
            let is_told = !report.problems.is_empty();
            (report.unread.notes).retain(|note| !is_told || !note.starts_with("Manifest.plist:"));
        }
        Err(Error::Metadata { path, why }) => {
            let problem = format!("cannot read {}: {why}", path.display());
            report.problems.push(problem);
        }
        Err(e) => return Err(e),
    }
    Ok(report)
}

fn contents(list: &'static str, totals: &Totals, missing: Vec<Gap>) -> Contents {
    Contents {
        list,
        all: totals.all,
        folders: totals.folders,
        links: totals.links,
        domains: totals.domains.len() as u64,
        kinds: totals.kinds.list(),
        missing,
        unreadable: totals.unreadable,
    }
}

/// Reads the facts that need no password.
pub(crate) fn of_property_lists(folder: &Path) -> Result<Report, Error> {
    if !store::is_backup(folder) {
        return Err(crate::reader::backup::no_backup(folder));
    }
    let mut problems = Vec::new();
    let info = or_default(Info::read(folder), "Info.plist", &mut problems);
    let status = or_default(Status::read(folder), "Status.plist", &mut problems);
    let manifest = ManifestPlist::read(folder);
    // iOS 4 and 5 wrote Manifest.plist only when it was needed.
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
    // Manifest.plist describes the phone too.
    let product_type = info.product_type.or(manifest.product_type);
    Ok(Report {
        path: folder.display().to_string(),
        name: info.device_name.or(manifest.device_name),
        udid: info.udid.or(manifest.udid),
        model: (product_type.as_deref()).map(|t| product_names::name(t).to_owned()),
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
