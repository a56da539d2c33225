//! Lists the contents of a store, and finds a backup by its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::elsewhere::{Elsewhere, elsewhere};
use super::{change, last_good};
use crate::backup_format::plists::{self, Info, ManifestPlist, Status};
use crate::base::phone_names::{head_is, matching};
use crate::base::product_names;
use crate::base::time::rfc3339;
use crate::base::udid::Udid;
use crate::history::Error;
use crate::store::notes::{Notes, Verified};
use crate::store::snapshot::{self, read_report};
use crate::store::{self, Id, Snapshot, Store, sizes};

/// Facts about one backup, from its own property lists, our report and our notes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backup {
    /// UDID of the phone.
    pub udid: String,
    /// The phone's name.
    pub name: Option<String>,
    /// Model of the phone, in words.
    pub model: Option<String>,
    /// Version of iOS on the phone.
    pub ios: Option<String>,
    /// Time at which the backup was made, RFC 3339.
    pub date: Option<String>,
    /// True for the phone's current backup.
    pub current: bool,
    /// The phone finished the backup, and its list of files is there.
    pub complete: bool,
    /// This user may not read the backup, so nothing else is known about it.
    pub refused: bool,
    /// The files of the backup are encrypted.
    pub encrypted: Option<bool>,
    /// Number of files, from our report.
    pub files: Option<u64>,
    /// Size of all files in bytes, from our report.
    pub bytes: Option<u64>,
    /// This tool made the backup, which is unchanged since as far as a quick look shows.
    pub ours: bool,
    /// Identity of the backup: the id of its record, else the SHA-256 of its Status.plist, else the
    /// name of its folder.
    pub id: String,
    /// Number of the backup's record: a later backup has a higher one. Null without a record.
    pub sequence: Option<u64>,
    /// Folder of the backup.
    pub path: String,
    /// Time stamp that names the backup: `YYYYMMDD-HHMMSS`, local time.
    pub stamp: Option<String>,
    /// Bytes that removing this backup alone frees. Null if they were not asked for, or if the
    /// system does not report them.
    pub frees_bytes: Option<u64>,
    /// The backup stays, whatever the retention rules say. Null if the notes cannot be read.
    pub pinned: Option<bool>,
    /// Names that the user gave to the backup.
    pub tags: Vec<String>,
    /// The last check that compared every byte and found the backup whole.
    pub verified: Option<Verified>,
    /// Time at which a check found the backup damaged, RFC 3339; null if there was none, or if a
    /// later check found it whole.
    pub damaged: Option<String>,
}

/// Lists the backups of a store, by phone, newest first.
pub fn list(store: &Store) -> Result<Vec<Backup>, Error> {
    Ok(listed(store, &store.snapshots()?, &mut || ()))
}

/// Describes snapshots, and calls `each` after each of them.
pub(super) fn listed(store: &Store, snapshots: &[Snapshot], each: &mut dyn FnMut()) -> Vec<Backup> {
    let mut phones = BTreeMap::new();
    let mut described = |snapshot: &Snapshot| {
        let notes = phones
            .entry(snapshot.udid().clone())
            .or_insert_with(|| store.notes(snapshot.udid()).ok());
        let described = with_notes(describe(snapshot), snapshot, notes.as_ref());
        each();
        described
    };
    snapshots.iter().map(&mut described).collect()
}

/// Describes a backup of a store, with what is noted about it.
#[cfg(feature = "web")]
pub(crate) fn one(store: &Store, snapshot: &Snapshot) -> Backup {
    let notes = store.notes(snapshot.udid()).ok();
    with_notes(describe(snapshot), snapshot, notes.as_ref())
}

fn with_notes(backup: Backup, snapshot: &Snapshot, notes: Option<&Notes>) -> Backup {
    let Some(notes) = notes else {
        return backup;
    };
    let note = notes.of(snapshot);
    Backup {
        pinned: Some(note.pinned),
        tags: note.tags,
        verified: note.verified,
        damaged: note.damaged,
        ..backup
    }
}

/// Summary of one phone in a store.
#[derive(Debug, Clone, Serialize)]
pub struct Phone {
    /// UDID of the phone.
    pub udid: String,
    /// Name of the phone, from its newest backup that has one.
    pub name: Option<String>,
    /// Number of its backups.
    pub snapshots: u64,
    /// Sum of the sizes of its backups in bytes, as far as they are known.
    pub bytes: u64,
    /// Space on the disk in bytes: a file in several snapshots counts once. Null if it was not
    /// asked for, or if the system does not report it.
    pub disk_bytes: Option<u64>,
    /// Time of the newest backup that is complete and not damaged, RFC 3339.
    pub last_good: Option<String>,
    /// The last good backup is older than the limit, or the phone has no good backup.
    pub overdue: bool,
    /// Time since which no more backups are expected, so that none is overdue, RFC 3339. Null once
    /// there is a newer backup.
    pub retired: Option<String>,
    /// Reason that the notes about the phone cannot be read.
    pub trouble: Option<String>,
    /// What is known about its copies in repositories, see [`Overview::look_elsewhere`].
    pub copies: Vec<Elsewhere>,
    /// A backup waits too long for its push to the repository that the user has set up.
    pub copy_overdue: bool,
}

/// Contents of a store.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overview {
    /// Backups by phone, newest first.
    pub backups: Vec<Backup>,
    /// Totals for each phone.
    pub phones: Vec<Phone>,
    /// Phones with an unfinished backup run, interrupted or still active.
    pub drafts: Vec<String>,
    /// Phones with an unfinished import of a backup, interrupted or still active.
    pub imports: Vec<String>,
    /// Free space on the disk in bytes.
    pub free_bytes: Option<u64>,
    /// Reason that the notes about copies in repositories cannot be read.
    pub copies_trouble: Option<String>,
}

impl Overview {
    /// Adds what the store's notes say about copies in repositories. `repository` is the one that
    /// the user has set up; a backup that waits longer than `limit` for its push there is overdue.
    pub fn look_elsewhere(
        &mut self,
        store: &Store,
        repository: Option<&str>,
        limit: Duration,
        now: SystemTime,
    ) {
        for phone in &mut self.phones {
            let Ok(udid) = phone.udid.parse() else {
                continue;
            };
            match elsewhere(store, &udid, repository) {
                Ok(copies) => {
                    let mut set_up = copies
                        .iter()
                        .filter(|copy| Some(copy.location.as_str()) == repository);
                    phone.copy_overdue = set_up.any(|copy| copy.is_overdue(now, limit));
                    phone.copies = copies;
                }
                Err(e) => self.copies_trouble = Some(e.to_string()),
            }
        }
    }

    /// Leaves only one phone in the overview.
    pub fn retain(&mut self, phone: &Udid) {
        self.backups.retain(|backup| backup.udid == phone.as_str());
        self.phones.retain(|other| other.udid == phone.as_str());
        self.drafts.retain(|udid| udid == phone.as_str());
        self.imports.retain(|udid| udid == phone.as_str());
    }
}

/// Options of an overview.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Walk over all files to determine the space that each snapshot takes alone.
    pub sizes: bool,
    /// Age above which a last good backup is overdue.
    pub overdue: Duration,
    /// Present time, from which the age is counted.
    pub now: SystemTime,
}

/// Lists the contents of a store, with totals.
pub fn overview(store: &Store, look: &Look) -> Result<Overview, Error> {
    let snapshots = store.snapshots()?;
    let mut backups = listed(store, &snapshots, &mut || ());
    if look.sizes {
        for (backup, snapshot) in backups.iter_mut().zip(&snapshots) {
            let size = sizes::of(snapshot, &mut || ())?;
            backup.frees_bytes = size.frees;
            backup.files.get_or_insert(size.files);
            backup.bytes.get_or_insert(size.bytes);
        }
    }
    let mut phones = Vec::new();
    let mut udids: Vec<Udid> = snapshots.iter().map(|s| s.udid().clone()).collect();
    udids.dedup();
    for udid in udids {
        let of_one = || backups.iter().filter(|b| b.udid == udid.as_str());
        let folders: Vec<&Snapshot> = snapshots.iter().filter(|s| s.udid() == &udid).collect();
        let good = of_one().filter(|b| b.complete && b.damaged.is_none());
        let dates = good.filter_map(|b| {
            let made: jiff::Timestamp = b.date.as_ref()?.parse().ok()?;
            Some(SystemTime::from(made))
        });
        let last_good = last_good::newest(dates, look.now);
        let notes = store.notes(&udid);
        let retired = notes.as_ref().ok().and_then(|notes| notes.retired.clone());
        // A phone that was backed up since does not count as retired. Both times are UTC in the
        // same format, so their texts can be compared.
        let retired = retired.filter(|since| last_good.is_none_or(|last| rfc3339(last) <= *since));
        phones.push(Phone {
            name: of_one().find_map(|b| b.name.clone()),
            snapshots: of_one().count() as u64,
            bytes: of_one().filter_map(|b| b.bytes).sum(),
            disk_bytes: if look.sizes {
                sizes::together(&folders)?.frees
            } else {
                None
            },
            overdue: retired.is_none() && last_good::is_overdue(last_good, look.now, look.overdue),
            retired,
            last_good: last_good.map(rfc3339),
            trouble: notes.err().map(|e| e.to_string()),
            copies: Vec::new(),
            copy_overdue: false,
            udid: udid.to_string(),
        });
    }
    Ok(Overview {
        backups,
        phones,
        drafts: (store.drafts()?.iter())
            .filter(|udid| store.draft_state(udid).is_some())
            .map(ToString::to_string)
            .collect(),
        imports: store.imports()?.iter().map(ToString::to_string).collect(),
        free_bytes: store.free_space().ok(),
        copies_trouble: None,
    })
}

/// Minimum length of a stamp's beginning: a whole day, so that a stray digit does not choose what
/// is deleted.
const STAMP_MIN: usize = 8;
/// Minimum length of a UDID's beginning, the same as for `--device`.
const UDID_MIN: usize = 4;

/// Finds a backup by its path, or in the store by any of these: `latest`, its phone's UDID, its
/// stamp, the beginning of either, a name that the user gave it, or its phone's name.
pub fn find<E: From<Error>>(store: Result<Store, E>, name: Option<&str>) -> Result<PathBuf, E> {
    resolve(store, name).map(|named| named.folder)
}

/// A backup that was found by its name.
#[derive(Debug, Clone)]
pub struct Named {
    /// Folder of the backup. A run may put another backup there at any moment.
    pub folder: PathBuf,
    /// Identity of the backup, if it is in a store.
    pub id: Option<Id>,
}

impl Named {
    fn of(snapshot: &Snapshot) -> Named {
        Named {
            folder: snapshot.path().to_path_buf(),
            // The folder is a link that leads out of the store.
            id: (!snapshot.path().is_symlink()).then(|| snapshot.id().clone()),
        }
    }
}

/// Finds a backup as [`find`] does, with its identity.
pub fn resolve<E: From<Error>>(store: Result<Store, E>, name: Option<&str>) -> Result<Named, E> {
    resolve_of(store, name, Of::Any)
}

/// Phone whose backup is meant. A phone is given by its UDID or name, or the beginning of either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Of<'a> {
    /// Any phone of the store.
    #[default]
    Any,
    /// This phone, where the name of the backup fits backups of several phones. The store need not
    /// have backups of it.
    Preferably(&'a str),
    /// This phone only.
    Only(&'a str),
}

impl<'a> Of<'a> {
    /// Returns the phone, if one is given.
    fn phone(self) -> Option<&'a str> {
        match self {
            Of::Any => None,
            Of::Preferably(phone) | Of::Only(phone) => Some(phone),
        }
    }
}

/// Finds a backup as [`resolve`] does, of a certain phone.
pub fn resolve_of<E: From<Error>>(
    store: Result<Store, E>,
    name: Option<&str>,
    of: Of,
) -> Result<Named, E> {
    if let Some(path) = name.map(Path::new)
        && path.is_dir()
    {
        if let Of::Only(phone) = of {
            return Err(Error::FolderOfPhone {
                folder: path.to_path_buf(),
                phone: phone.to_owned(),
            }
            .into());
        }
        return Ok(Named {
            folder: path.to_path_buf(),
            id: snapshot::find(path).map(|found| found.id().clone()),
        });
    }
    if name.is_some_and(|name| name.trim().is_empty()) {
        return Err(Error::EmptyName.into());
    }
    Ok(in_store(&store?, name, of)?)
}

fn in_store(store: &Store, name: Option<&str>, of: Of) -> Result<Named, Error> {
    let snapshots = match of {
        Of::Only(phone) => store.snapshots_of(&change::phone(store, phone)?)?,
        Of::Any | Of::Preferably(_) => store.snapshots()?,
    };
    let has_name = |snapshot: &&Snapshot| {
        // If the notes cannot be read, the backup has no names.
        let notes = store.notes(snapshot.udid()).ok();
        let tags = notes
            .map(|notes| notes.of(snapshot).tags)
            .unwrap_or_default();
        name.is_some_and(|name| tags.iter().any(|tag| tag == name))
    };
    let tagged: Vec<&Snapshot> = snapshots.iter().filter(has_name).collect();
    if snapshots.is_empty() && matches!(name, None | Some("latest")) {
        return Err(Error::NoBackups);
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
                || is_phone(s, name)
                || (name.len() >= STAMP_MIN
                    && s.stamp().is_some_and(|stamp| stamp.starts_with(name)))
                || tagged.iter().any(|other| other.path() == s.path())
                || (name.len() >= UDID_MIN
                    && head_is(folder, name)
                    && (s.is_current() || name.len() > s.udid().as_str().len()))
        }
    };
    let mut found: Vec<&Snapshot> = snapshots.iter().filter(named).collect();
    let wanted = name.unwrap_or("latest");
    if let Some((phone, time)) = wanted.rsplit_once('@').filter(|_| found.is_empty()) {
        found = of_phone_at(store, &snapshots, phone, time)?;
    }
    if let Some(head) = stamp_head(wanted).filter(|_| found.is_empty()) {
        let begins = |s: &&Snapshot| s.stamp().is_some_and(|stamp| stamp.starts_with(&head));
        found = snapshots.iter().filter(begins).collect();
    }
    let current_of = |text: &str| -> Result<Vec<&Snapshot>, Error> {
        let phones = crate::history::list::phones_named(store, text)?;
        let is_one =
            |s: &&Snapshot| s.is_current() && phones.iter().any(|(udid, _)| udid == s.udid());
        Ok(snapshots.iter().filter(is_one).collect())
    };
    if found.is_empty() && wanted != "latest" {
        found = current_of(wanted)?;
    }
    if let Some(phone) = of.phone().filter(|_| found.len() > 1) {
        let phones = phones_named(store, phone)?;
        let is_of = |s: &&&Snapshot| phones.iter().any(|(udid, _)| udid == s.udid());
        let of_phone: Vec<&Snapshot> = found.iter().filter(is_of).copied().collect();
        if !of_phone.is_empty() {
            found = of_phone;
        }
    }
    match found[..] {
        [one] => Ok(Named::of(one)),
        [] => Err(Error::NotFound {
            name: wanted.to_owned(),
            phone: match of {
                Of::Only(phone) => Some(phone.to_owned()),
                Of::Any | Of::Preferably(_) => None,
            },
            is_of_files: is_of_files(wanted),
        }),
        // A complete name outranks the beginnings of stamps.
        _ if tagged.len() == 1 => Ok(Named::of(tagged[0])),
        _ if name.is_none() => Err(Error::WhichPhone {
            phones: phones_of(store, &found),
        }),
        _ => Err(Error::Ambiguous {
            name: wanted.to_owned(),
            count: found.len(),
            candidates: match wanted {
                "latest" => phones_of(store, &found),
                _ => candidates(store, &found)?,
            },
        }),
    }
}

/// Number of names that an error lists.
const NAMED_MAX: usize = 8;

/// Returns names of the first of several backups; each name fits one backup alone. A time stamp
/// suffices if no other backup of the store has it.
fn candidates(store: &Store, found: &[&Snapshot]) -> Result<Vec<String>, Error> {
    let all = store.snapshots()?;
    let count = |stamp: &str| {
        let same = |other: &&Snapshot| other.stamp().as_deref() == Some(stamp);
        all.iter().filter(same).count()
    };
    let name = |snapshot: &&Snapshot| match snapshot.stamp() {
        Some(stamp) if count(&stamp) == 1 => stamp,
        Some(stamp) => format!("{}@{stamp}", clear_name(store, snapshot.udid())),
        None => clear_name(store, snapshot.udid()),
    };
    Ok(found.iter().take(NAMED_MAX).map(name).collect())
}

/// Returns names of the phones of the first of several current backups; each name fits one phone
/// alone.
fn phones_of(store: &Store, found: &[&Snapshot]) -> Vec<String> {
    let name = |snapshot: &&Snapshot| clear_name(store, snapshot.udid());
    found.iter().take(NAMED_MAX).map(name).collect()
}

/// Returns the name of a phone, or its UDID if another phone of the store may be meant by the name.
fn clear_name(store: &Store, udid: &Udid) -> String {
    let is_clear = |name: &String| phones_named(store, name).is_ok_and(|phones| phones.len() == 1);
    let name = phone_name(store, udid).filter(is_clear);
    name.unwrap_or_else(|| udid.to_string())
}

/// Finds the backups of a phone whose time stamps begin with `time`; `latest` is the current one.
fn of_phone_at<'a>(
    store: &Store,
    snapshots: &'a [Snapshot],
    phone: &str,
    time: &str,
) -> Result<Vec<&'a Snapshot>, Error> {
    let phones = phones_named(store, phone)?;
    let head = stamp_head(time);
    let is_at = |s: &&Snapshot| {
        phones.iter().any(|(udid, _)| udid == s.udid())
            && match &head {
                Some(head) => s.stamp().is_some_and(|stamp| stamp.starts_with(head)),
                None => time == "latest" && s.is_current(),
            }
    };
    Ok(snapshots.iter().filter(is_at).collect())
}

/// Converts a date, with or without a time, to the beginning of a stamp: `2026-11-27 22:14` and
/// `20261127-2214` are both `20261127-2214`. Returns `None` for any other text.
fn stamp_head(text: &str) -> Option<String> {
    if !text
        .chars()
        .all(|c| c.is_ascii_digit() || "-: T".contains(c))
    {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        STAMP_MIN => Some(digits),
        9..=14 => Some(format!("{}-{}", &digits[..STAMP_MIN], &digits[STAMP_MIN..])),
        _ => None,
    }
}

/// Returns true if a name is the UDID of the phone whose current backup this is, or its beginning.
/// The folder and the name may spell the UDID in different ways.
fn is_phone(snapshot: &Snapshot, name: &str) -> bool {
    let udid = snapshot.udid().as_str();
    let is_named = match name.parse::<Udid>() {
        Ok(named) => named.as_str().eq_ignore_ascii_case(udid),
        Err(_) => name.len() >= UDID_MIN && head_is(udid, name),
    };
    snapshot.is_current() && is_named
}

/// Returns true if the text selects files of a backup rather than a backup: the user left out the
/// name of the backup before it. A path is never taken for a selection.
fn is_of_files(name: &str) -> bool {
    let is_path = name.starts_with(['/', '\\', '.', '~']) || Path::new(name).is_absolute();
    let names_domain =
        name.contains("Domain/") || name.ends_with("Domain") || name.starts_with("AppDomain");
    !is_path && (names_domain || name.contains(['*', '?', '[', '{']))
}

/// Describes a backup. Facts in our report are not read from Info.plist and Manifest.plist again,
/// since these can have tens of MB.
pub fn describe(snapshot: &Snapshot) -> Backup {
    let folder = snapshot.path();
    let report = snapshot.report().and_then(|path| read_report(&path));
    let value = |keys: &[&str]| -> Option<&Value> {
        let report = report.as_ref()?;
        keys.iter().try_fold(report, |value, key| value.get(key))
    };
    let text = |keys: &[&str]| value(keys)?.as_str().map(str::to_owned);
    let reported = Info {
        device_name: text(&["phone", "name"]),
        product_type: text(&["phone", "product_type"]),
        product_version: text(&["phone", "ios"]),
        ..Info::default()
    };
    let status = Status::read(folder).unwrap_or_default();
    let encrypted = value(&["encrypted"]).and_then(Value::as_bool);
    let is_told = reported.device_name.is_some()
        && reported.product_type.is_some()
        && reported.product_version.is_some()
        && encrypted.is_some()
        && status.date.is_some();
    let (info, manifest) = if is_told {
        (reported, None)
    } else {
        (
            Info::read(folder).unwrap_or_default(),
            ManifestPlist::read(folder).ok(),
        )
    };
    let count = |key: &str| value(&[key]).and_then(Value::as_u64);
    let date = status
        .date
        .or(manifest.as_ref().and_then(|m| m.date))
        .or(info.last_backup);
    // If Info.plist does not describe the phone, Manifest.plist does.
    let lockdown = manifest.clone().unwrap_or_default();
    Backup {
        udid: snapshot.udid().to_string(),
        name: info.device_name.or(lockdown.device_name),
        model: (info.product_type)
            .or(lockdown.product_type)
            .as_deref()
            .map(|t| product_names::name(t).to_owned()),
        ios: info.product_version.or(lockdown.product_version),
        date: date.map(rfc3339),
        current: snapshot.is_current(),
        complete: plists::is_complete(folder, &status),
        refused: store::is_refused(folder),
        encrypted: manifest.map(|m| m.encrypted).or(encrypted),
        files: count("files"),
        bytes: count("bytes"),
        ours: snapshot.beside().is_some(),
        id: snapshot.id().to_string(),
        sequence: snapshot.record().map(|record| record.sequence),
        path: folder.display().to_string(),
        stamp: snapshot.stamp(),
        frees_bytes: None,
        pinned: None,
        tags: Vec::new(),
        verified: None,
        damaged: None,
    }
}

/// Returns the phones that have a current backup in the store and match `wanted`.
pub fn current_phones(store: &Store, wanted: Option<&str>) -> Vec<Udid> {
    let snapshots = store.snapshots().unwrap_or_default();
    let matching = wanted.map(|text| phones_named(store, text).unwrap_or_default());
    let is_meant = |udid: &&Udid| {
        let matching = matching.as_ref();
        matching.is_none_or(|matching| matching.iter().any(|(other, _)| other == *udid))
    };
    let udids = snapshots
        .iter()
        .filter(|s| s.is_current())
        .map(|s| s.udid());
    udids.filter(is_meant).cloned().collect()
}

/// Returns the name of a phone in a store, from its newest backup that has one.
pub fn phone_name(store: &Store, udid: &Udid) -> Option<String> {
    let snapshots = store.snapshots_of(udid).ok()?;
    snapshots
        .iter()
        .find_map(|snapshot| describe(snapshot).name)
}

/// Returns the phones in a store that `text` identifies, each with its name.
pub fn phones_named(store: &Store, text: &str) -> Result<Vec<(Udid, Option<String>)>, Error> {
    let mut phones: Vec<(Udid, Option<String>)> = Vec::new();
    for snapshot in store.snapshots()? {
        if phones.iter().all(|(udid, _)| udid != snapshot.udid()) {
            // The newest snapshot comes first and has the phone's current name.
            phones.push((snapshot.udid().clone(), describe(&snapshot).name));
        }
    }
    let found = matching(text, &phones, |phone| &phone.0, |phone| phone.1.clone());
    Ok(found.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_beginnings_of_stamps() {
        for (text, head) in [
            ("2026-11-27", Some("20261127")),
            ("20261127", Some("20261127")),
            ("2026-11-27 22:14", Some("20261127-2214")),
            ("2026-11-27T22:14:05", Some("20261127-221405")),
            ("20261127-2214", Some("20261127-2214")),
            ("2026-11", None),
            ("Mira", None),
            ("00008130-001A2B3C4D5E6F70", None),
            ("202611272214055", None),
        ] {
            assert_eq!(stamp_head(text).as_deref(), head, "{text}");
        }
    }

    #[test]
    fn paths_do_not_select_files() {
        for (text, is_selection) in [
            ("*.HEIC", true),
            ("HomeDomain", true),
            ("HomeDomain/Library/SMS/sms.db", true),
            ("AppDomainGroup-group.net.example", true),
            ("{SMS,Notes}", true),
            ("sms.db", false),
            ("/media/old/*", false),
            ("./HomeDomain/x", false),
            ("~/backups/*", false),
            ("Mira@2026-11-27", false),
        ] {
            assert_eq!(is_of_files(text), is_selection, "{text}");
        }
    }
}
