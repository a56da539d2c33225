//! A sealed backup: a folder in Apple's layout and, if we made the backup, a folder of ours with
//! our records about it. It is never changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use jiff::Timestamp;
use serde_json::Value;

use super::identity::{Kept, Prints};
use super::names::{OWN, REPORT, SUMS};
use super::order::Place;
use super::record::{Flaw, Id, Record};
use super::{Error, Store};
use crate::base::udid::Udid;
use crate::base::{bounded_plist, plain_file};
use crate::store::{identity, order, real_folders, walk};

/// A backup in a store.
#[derive(Debug, Clone)]
pub struct Snapshot {
    udid: Udid,
    path: PathBuf,
    archived: Option<String>,
    beside: Option<Beside>,
    id: Id,
    place: Place,
}

/// The folder of ours that accompanies a backup.
#[derive(Debug, Clone)]
struct Beside {
    folder: PathBuf,
    record: Option<Record>,
    flaws: Vec<(&'static str, Flaw)>,
}

impl Beside {
    fn of(kept: Kept) -> Beside {
        Beside {
            folder: kept.folder,
            record: kept.found.record,
            flaws: kept.found.flaws,
        }
    }
}

impl Snapshot {
    pub(super) fn open(
        store: &Store,
        udid: Udid,
        path: PathBuf,
        archived: Option<String>,
    ) -> Result<Snapshot, Error> {
        let own = store.own_of(&udid);
        let prints = Prints::of(&path);
        let named = archived.as_ref().map(|stamp| own.join(stamp));
        let kept = identity::find(&stamped(&own)?, named.as_deref(), &prints);
        Ok(Snapshot::made_of(udid, path, archived, kept, &prints))
    }

    fn made_of(
        udid: Udid,
        path: PathBuf,
        archived: Option<String>,
        kept: Option<Kept>,
        prints: &Prints,
    ) -> Snapshot {
        let record = kept.as_ref().and_then(Kept::record);
        // If the record cannot be read, the copy of Status.plist still identifies the backup.
        let status = || {
            let copy = kept.as_ref().and_then(Kept::status);
            copy.or_else(|| prints.status())
        };
        let id = match (record, status()) {
            (Some(record), _) => record.id.clone(),
            (None, Some(status)) => Id::of_status(&status),
            (None, None) => {
                let name = path.file_name().unwrap_or_default();
                Id::of_folder(&name.to_string_lossy())
            }
        };
        let place = match record {
            Some(record) => Place {
                sequence: record.sequence,
                date: record.date,
            },
            None => Place {
                sequence: 0,
                date: date_of(&path),
            },
        };
        Snapshot {
            udid,
            path,
            archived,
            beside: kept.map(Beside::of),
            id,
            place,
        }
    }

    /// Returns the UDID of the phone from which the backup was made.
    pub fn udid(&self) -> &Udid {
        &self.udid
    }

    /// Returns the backup's folder, in Apple's layout.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the id of this backup, which does not depend on its path.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Returns the backup's record. `None` if another program made the backup, or if both copies of
    /// the record are damaged.
    pub fn record(&self) -> Option<&Record> {
        self.beside.as_ref()?.record.as_ref()
    }

    /// Returns the flaws of the two copies of the record, with their file names.
    pub(crate) fn flaws(&self) -> &[(&'static str, Flaw)] {
        self.beside.as_ref().map_or(&[], |beside| &beside.flaws)
    }

    /// Returns the time at which the phone made the backup: the date in its record or Status.plist,
    /// else the modification time of its files.
    pub fn date(&self) -> Timestamp {
        self.place.date
    }

    /// Returns true if this is the phone's current backup.
    pub fn is_current(&self) -> bool {
        self.archived.is_none()
    }

    /// Returns the backup's stamp in local time, `YYYYMMDD-HHMMSS`: the name of the folder of ours
    /// that accompanies it, else the one in its archive name. Stamps do not determine the order of
    /// backups.
    pub fn stamp(&self) -> Option<String> {
        let ours = self.beside().and_then(Path::file_name);
        let ours = ours.and_then(|name| name.to_str());
        ours.map(str::to_owned).or_else(|| self.archived.clone())
    }

    /// Returns the folder of ours that accompanies the backup. `None` for a backup that another
    /// program made, or has continued since.
    pub fn beside(&self) -> Option<&Path> {
        self.beside.as_ref().map(|beside| beside.folder.as_path())
    }

    /// Returns true if the backup still has the name that we gave it: the UDID with the same stamp
    /// as the folder of ours that accompanies it.
    pub(super) fn is_where_we_put_it(&self) -> bool {
        // The folder was moved elsewhere and replaced by a link.
        if self.path.is_symlink() {
            return false;
        }
        let ours = self.beside().and_then(Path::file_name);
        ours.is_some() && ours.and_then(|name| name.to_str()) == self.archived.as_deref()
    }

    /// Returns true if the store has a folder of ours for this phone that belongs to none of the
    /// existing backups.
    pub(crate) fn has_loose_lists(&self) -> Result<bool, Error> {
        let Some(store) = self.path.parent().map(Store::open).transpose()? else {
            return Ok(false);
        };
        let tied: Vec<PathBuf> = of(&store, &self.udid)?
            .into_iter()
            .filter_map(|other| other.beside().map(Path::to_path_buf))
            .collect();
        let all = stamped(&store.own_of(&self.udid))?;
        Ok(all.iter().any(|dir| !tied.contains(dir)))
    }

    /// Returns the path of the list of hashes, if it exists.
    pub fn sums(&self) -> Option<PathBuf> {
        self.kept_file(SUMS)
    }

    /// Returns the path of the report about the run that made the backup, if it exists.
    pub fn report(&self) -> Option<PathBuf> {
        self.kept_file(REPORT)
    }

    /// Returns the size of the backup's files in bytes, from the report about the run that made it.
    pub fn reported_size(&self) -> Option<u64> {
        read_report(&self.report()?)?.get("bytes")?.as_u64()
    }

    /// Returns the number of the backup's files, from the report about the run that made it.
    pub fn reported_files(&self) -> Option<u64> {
        read_report(&self.report()?)?.get("files")?.as_u64()
    }

    /// Returns the path of a file in the folder of ours, if it exists.
    pub(super) fn kept_file(&self, name: &str) -> Option<PathBuf> {
        let path = self.beside()?.join(name);
        path.exists().then_some(path)
    }
}

/// Returns the date in a backup's Status.plist.
pub(super) fn status_date(folder: &Path) -> Option<Timestamp> {
    const BYTES_MAX: u64 = 1 << 20;
    let status = folder.join("Status.plist");
    let meta = fs::symlink_metadata(&status).ok()?;
    if !meta.is_file() || meta.len() > BYTES_MAX {
        return None;
    }
    let fields = bounded_plist::parse(&plain_file::read(&status).ok()?).ok()?;
    let date = fields.as_dictionary()?.get("Date")?.as_date()?;
    Timestamp::try_from(SystemTime::from(date)).ok()
}

/// Returns the date in a backup's Status.plist, else the modification time of that file or of the
/// folder.
fn date_of(folder: &Path) -> Timestamp {
    let written = |path: &Path| {
        let time = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
        Timestamp::try_from(time).ok()
    };
    status_date(folder)
        .or_else(|| written(&folder.join("Status.plist")))
        .or_else(|| written(folder))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Finds the snapshot for a backup folder at any path. Returns `None` if the folder is not in a
/// store, or cannot be read.
pub fn find(folder: &Path) -> Option<Snapshot> {
    look(folder).ok().flatten()
}

/// Finds the snapshot for a backup folder at any path. Returns `None` if the folder is not in a
/// store, and an error if something cannot be read.
pub(crate) fn look(folder: &Path) -> Result<Option<Snapshot>, Error> {
    let folder = fs::canonicalize(folder).map_err(|e| Error::io("find", folder, e))?;
    let named = folder.file_name().and_then(|name| name.to_str());
    let (Some((udid, archived)), Some(parent)) = (named.and_then(parse_name), folder.parent())
    else {
        return Ok(None);
    };
    let store = match Store::open(parent) {
        // The folder around it is not a store, for example the one in which a draft is written.
        Err(_) if !parent.join(OWN).exists() => return Ok(None),
        // The store has another format. For this version its backups are plain folders.
        Err(Error::OtherFormat { .. }) => return Ok(None),
        opened => opened?,
    };
    let own = store.own_of(&udid);
    let snapshot = Snapshot::open(&store, udid, folder, archived)?;
    if snapshot.beside.is_none() {
        let refused = |path: &Path| Error::io("read", path, io::ErrorKind::PermissionDenied.into());
        for dir in stamped(&own)? {
            if Kept::read(&dir).found.is_refused() {
                return Err(refused(&dir));
            }
        }
        if Prints::of(&snapshot.path).is_refused() {
            return Err(refused(&snapshot.path));
        }
    }
    Ok(Some(snapshot))
}

/// Finds the snapshot for a backup folder, for a repair. In contrast to [`look`], this also finds
/// the folder of ours if most of the backup's metadata is lost.
pub(crate) fn to_repair(folder: &Path) -> Result<Option<Snapshot>, Error> {
    let Some(mut snapshot) = look(folder)? else {
        return Ok(None);
    };
    if snapshot.beside.is_none()
        && let Some(kept) = beside_by_part(&snapshot)?
    {
        let prints = Prints::of(&snapshot.path);
        let Snapshot {
            udid,
            path,
            archived,
            ..
        } = snapshot;
        snapshot = Snapshot::made_of(udid, path, archived, Some(kept), &prints);
    }
    Ok(Some(snapshot))
}

/// Finds the folder of ours that belongs to no other backup and matches the remaining metadata of
/// this one. Returns `None` if several do.
fn beside_by_part(snapshot: &Snapshot) -> Result<Option<Kept>, Error> {
    let Some(store) = snapshot.path.parent().map(Store::open).transpose()? else {
        return Ok(None);
    };
    let others = of(&store, &snapshot.udid)?.into_iter();
    let taken: Vec<PathBuf> = others
        .filter_map(|other| other.beside().map(Path::to_path_buf))
        .collect();
    let loose = stamped(&store.own_of(&snapshot.udid))?.into_iter();
    let prints = Prints::of(&snapshot.path);
    let mut parts = loose
        .filter(|dir| !taken.contains(dir))
        .map(|dir| Kept::read(&dir))
        .filter(|kept| kept.belonged_to(&prints));
    match (parts.next(), parts.next()) {
        (Some(kept), None) => Ok(Some(kept)),
        _ => Ok(None),
    }
}

/// Returns the phone whose UDID is in the name of a backup's folder.
pub(crate) fn phone_of(folder: &Path) -> Option<Udid> {
    parse_name(folder.file_name()?.to_str()?).map(|(udid, _)| udid)
}

/// Returns the places in the order of backups that a phone's records contain.
pub(super) fn recorded(own: &Path) -> Result<Vec<Place>, Error> {
    let kept = stamped(own)?.into_iter().map(|dir| Kept::read(&dir));
    let places = kept.filter_map(|kept| {
        kept.record().map(|record| Place {
            sequence: record.sequence,
            date: record.date,
        })
    });
    Ok(places.collect())
}

/// Returns the folders in `own` whose names are stamps, newest first.
pub(super) fn stamped(own: &Path) -> Result<Vec<PathBuf>, Error> {
    real_folders::is_real_folder(own)?;
    let mut dirs = Vec::new();
    for name in walk::names(own)?.into_iter().filter(|name| is_stamp(name)) {
        let dir = own.join(name);
        if real_folders::is_real_folder(&dir)? {
            dirs.push(dir);
        }
    }
    dirs.sort_unstable_by(|a, b| b.cmp(a));
    Ok(dirs)
}

/// Returns true for text of the form `YYYYMMDD-HHMMSS`.
pub(crate) fn is_stamp(text: &str) -> bool {
    let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(date, time)| digits(date, 8) && digits(time, 6))
}

/// Parses `<UDID>` or `<UDID>-YYYYMMDD-HHMMSS`. Other programs and people may write the UDID
/// without its dash or in a different case, which is accepted.
fn parse_name(name: &str) -> Option<(Udid, Option<String>)> {
    if let Ok(udid) = as_phones_write(name).parse() {
        return Some((udid, None));
    }
    const STAMP_BYTES: usize = 15;
    let cut = name.len().checked_sub(STAMP_BYTES + 1)?;
    let (udid, stamp) = (name.get(..cut)?, name.get(cut..)?.strip_prefix('-')?);
    is_stamp(stamp).then_some(())?;
    Some((as_phones_write(udid).parse().ok()?, Some(stamp.to_owned())))
}

/// Returns a UDID in the case that phones use: 40 lower-case digits, or 24 upper-case ones.
fn as_phones_write(udid: &str) -> String {
    match udid.len() {
        40 => udid.to_ascii_lowercase(),
        _ => udid.to_ascii_uppercase(),
    }
}

/// Returns the snapshots of one phone: the current backup, then the others, newest first.
pub(super) fn of(store: &Store, udid: &Udid) -> Result<Vec<Snapshot>, Error> {
    let mut found = all(store)?;
    found.retain(|s| s.udid() == udid);
    Ok(found)
}

pub(super) fn all(store: &Store) -> Result<Vec<Snapshot>, Error> {
    let mut found = Vec::new();
    for name in walk::names(store.root())? {
        let path = store.root().join(&name);
        if name == OWN || !path.is_dir() {
            continue;
        }
        if let Some((udid, archived)) = parse_name(&name) {
            found.push(Snapshot::open(store, udid, path, archived)?);
        }
    }
    let mut recorded: BTreeMap<Udid, Vec<Place>> = BTreeMap::new();
    for snapshot in found.iter().filter(|s| s.record().is_some()) {
        let of_phone = recorded.entry(snapshot.udid.clone()).or_default();
        of_phone.push(snapshot.place);
    }
    for snapshot in found.iter_mut().filter(|s| s.record().is_none()) {
        if let Some(of_phone) = recorded.get(&snapshot.udid) {
            snapshot.place.sequence = order::by_date(of_phone, snapshot.place.date);
        }
    }
    // The snapshots are sorted by phone. For each phone the current backup comes first, then the
    // newest.
    found.sort_by(|a, b| {
        let key = |s: &Snapshot| (s.archived.is_some(), std::cmp::Reverse(s.place));
        (a.udid.cmp(&b.udid))
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(|| b.archived.cmp(&a.archived))
    });
    Ok(found)
}

pub(crate) fn read_report(path: &Path) -> Option<Value> {
    serde_json::from_slice(&plain_file::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_archive_names_are_parsed() {
        let (udid, stamp) = parse_name("00008030-001C195E0A88802E-20261120-221401").unwrap();
        assert_eq!(udid.as_str(), "00008030-001C195E0A88802E");
        assert_eq!(stamp.as_deref(), Some("20261120-221401"));
        let (_, stamp) = parse_name("0123456789abcdef0123456789abcdef01234567").unwrap();
        assert_eq!(stamp, None);
        for spelled in [
            "00008030001C195E0A88802E",
            "00008030-001c195e0a88802e",
            "00008030001c195e0a88802e-20261120-221401",
        ] {
            let (udid, _) = parse_name(spelled).unwrap();
            assert_eq!(udid.as_str(), "00008030-001C195E0A88802E", "{spelled}");
        }
        for other in [
            "Downloads",
            ".idev-backup",
            "00008030-001C195E0A88802E-2026",
            "é-20261120-221401",
        ] {
            assert!(parse_name(other).is_none(), "{other}");
        }
    }

    #[test]
    fn stamps_need_date_and_time() {
        assert!(is_stamp("20261120-221401"));
        for text in [
            "",
            "20261120",
            "2026112-221401",
            "202611200-221401",
            "20261120-22140",
            "20261120-2214011",
            "2026112x-221401",
            "20261120-22140x",
            "20261120221401",
            "20261120-221401-x",
        ] {
            assert!(!is_stamp(text), "{text}");
        }
    }

    #[test]
    fn own_place_requires_matching_stamp() {
        let snapshot = |archived: Option<&str>, beside: Option<&str>| Snapshot {
            udid: "00008030-001C195E0A88802E".parse().unwrap(),
            path: PathBuf::new(),
            archived: archived.map(str::to_owned),
            beside: beside.map(|folder| Beside {
                folder: PathBuf::from(folder),
                record: None,
                flaws: Vec::new(),
            }),
            id: Id::of_folder("x"),
            place: Place {
                sequence: 0,
                date: Timestamp::UNIX_EPOCH,
            },
        };
        let (one, other) = ("20261120-221401", "20261121-000000");
        for (archived, beside, is_there, stamp) in [
            (Some(one), Some("own/20261120-221401"), true, Some(one)),
            (Some(other), Some("own/20261120-221401"), false, Some(one)),
            (Some(one), None, false, Some(one)),
            (None, Some("own/20261120-221401"), false, Some(one)),
            (None, None, false, None),
        ] {
            let snapshot = snapshot(archived, beside);
            assert_eq!(snapshot.is_where_we_put_it(), is_there, "{snapshot:?}");
            assert_eq!(snapshot.stamp().as_deref(), stamp, "{snapshot:?}");
            assert_eq!(snapshot.is_current(), archived.is_none());
        }
    }

    #[test]
    fn stamped_folders_sort_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "20261120-221401",
            "draft",
            "20261121-000000",
            "trash",
            "20251231-000000",
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = stamped(dir.path()).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(
            found,
            ["20261121-000000", "20261120-221401", "20251231-000000"]
        );
        assert!(stamped(&dir.path().join("absent")).unwrap().is_empty());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(stamped(&dir.path().join("file")).is_err());
    }
}
