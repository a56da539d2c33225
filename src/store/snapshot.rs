//! A sealed backup: a folder of Apple's layout and, where we made it, what we know beside it. Never written again.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Error, OWN, REPORT, SUMS, Store, disk};
use crate::udid::Udid;

/// A backup in a store.
#[derive(Debug, Clone)]
pub struct Snapshot {
    udid: Udid,
    path: PathBuf,
    archived: Option<String>,
    beside: Option<PathBuf>,
}

impl Snapshot {
    pub(super) fn open(
        store: &Store,
        udid: Udid,
        path: PathBuf,
        archived: Option<String>,
    ) -> Result<Snapshot, Error> {
        let own = store.own_of(&udid);
        // The one that it is named by, before all others are read.
        let named = archived.as_ref().map(|stamp| own.join(stamp));
        let beside = match named.filter(|dir| is_tied(dir, &path).unwrap_or(false)) {
            Some(dir) => Some(dir),
            None => beside(&own, &path)?,
        };
        Ok(Snapshot {
            udid,
            path,
            archived,
            beside,
        })
    }

    /// Which phone it is of.
    pub fn udid(&self) -> &Udid {
        &self.udid
    }

    /// Apple's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the phone's current backup.
    pub fn is_current(&self) -> bool {
        self.archived.is_none()
    }

    /// `YYYYMMDD-HHMMSS`, local time: when we sealed it, else from its archive name.
    pub fn stamp(&self) -> Option<String> {
        let ours = self
            .beside
            .as_ref()
            .and_then(|dir| dir.file_name())
            .and_then(|name| name.to_str());
        ours.map(str::to_owned).or_else(|| self.archived.clone())
    }

    /// The folder beside it; `None` for a backup that another program made or has changed since.
    pub fn beside(&self) -> Option<&Path> {
        self.beside.as_deref()
    }

    /// It stands under the name that we gave it: the phone, and the stamp of what we keep beside it.
    pub(super) fn is_where_we_put_it(&self) -> bool {
        let ours = self.beside.as_ref().and_then(|dir| dir.file_name());
        ours.is_some() && ours.and_then(|name| name.to_str()) == self.archived.as_deref()
    }

    /// Its store keeps something for a backup of the phone that is none of those which are there.
    pub fn has_loose_lists(&self) -> Result<bool, Error> {
        let Some(store) = self.path.parent().map(Store::open).transpose()? else {
            return Ok(false);
        };
        let tied: Vec<PathBuf> = of(&store, &self.udid)?
            .into_iter()
            .filter_map(|other| other.beside)
            .collect();
        let all = stamped(&store.own_of(&self.udid))?;
        Ok(all.iter().any(|dir| !tied.contains(dir)))
    }

    /// The list of hashes.
    pub fn sums(&self) -> Option<PathBuf> {
        self.beside
            .as_ref()
            .map(|dir| dir.join(SUMS))
            .filter(|path| path.exists())
    }

    /// The report of the run that made it.
    pub fn report(&self) -> Option<PathBuf> {
        self.beside
            .as_ref()
            .map(|dir| dir.join(REPORT))
            .filter(|path| path.exists())
    }
}

/// Finds what belongs to a backup folder at any path, if it lies in a store and that can be read.
pub fn find(folder: &Path) -> Option<Snapshot> {
    look(folder).ok().flatten()
}

/// The same, where it matters whether there is nothing, or something that cannot be read.
pub fn look(folder: &Path) -> Result<Option<Snapshot>, Error> {
    let folder = fs::canonicalize(folder).map_err(|e| Error::io("find", folder, e))?;
    let named = folder.file_name().and_then(|name| name.to_str());
    let (Some((udid, archived)), Some(parent)) = (named.and_then(parse_name), folder.parent())
    else {
        return Ok(None);
    };
    let store = match Store::open(parent) {
        // A draft's folder, and whatever else is none of a store's backups.
        Err(_) if !parent.join(OWN).exists() => return Ok(None),
        opened => opened?,
    };
    let own = store.own_of(&udid);
    let snapshot = Snapshot::open(&store, udid, folder, archived)?;
    if snapshot.beside.is_none() {
        for dir in stamped(&own)? {
            match is_tied(&dir, &snapshot.path).map_err(|e| Error::io("read", &dir, e)) {
                Err(e) if e.is_refused() => return Err(e),
                _ => {}
            }
        }
    }
    Ok(Some(snapshot))
}

/// The same for a repair, which also knows what is beside it by one half of the tie, where the other half is what is lost.
pub fn to_repair(folder: &Path) -> Result<Option<Snapshot>, Error> {
    let Some(mut snapshot) = look(folder)? else {
        return Ok(None);
    };
    if snapshot.beside.is_none() {
        snapshot.beside = beside_by_half(&snapshot)?;
    }
    Ok(Some(snapshot))
}

/// The one folder that belongs to no other backup and is tied to this one by half; of several nobody knows which.
fn beside_by_half(snapshot: &Snapshot) -> Result<Option<PathBuf>, Error> {
    let Some(store) = snapshot.path.parent().map(Store::open).transpose()? else {
        return Ok(None);
    };
    let others = of(&store, &snapshot.udid)?.into_iter();
    let taken: Vec<PathBuf> = others.filter_map(|other| other.beside).collect();
    let loose = stamped(&store.own_of(&snapshot.udid))?.into_iter();
    let mut halves =
        loose.filter(|dir| !taken.contains(dir) && is_tied_by_half(dir, &snapshot.path));
    match (halves.next(), halves.next()) {
        (Some(dir), None) => Ok(Some(dir)),
        _ => Ok(None),
    }
}

/// Whether one file of the [`TIE`] is the same, and of the other nothing is left in the backup: another backup's would be there.
fn is_tied_by_half(beside: &Path, folder: &Path) -> bool {
    let is_same = |name| disk::same_bytes(&beside.join(name), &folder.join(name)).unwrap_or(false);
    let [one, other] = TIE;
    (is_same(one) && is_lost(&folder.join(other))) || (is_same(other) && is_lost(&folder.join(one)))
}

/// It is gone, empty, no file, or cannot be read.
fn is_lost(path: &Path) -> bool {
    let begins = || fs::File::open(path)?.read_exact(&mut [0]);
    let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    !is_file || begins().is_err()
}

/// The phone that a backup's folder is named by.
pub fn phone_of(folder: &Path) -> Option<Udid> {
    parse_name(folder.file_name()?.to_str()?).map(|(udid, _)| udid)
}

/// What every backup has anew: the phone's Status.plist, with an identifier and a date, and the computer's Info.plist.
const TIE: [&str; 2] = ["Status.plist", "Info.plist"];

/// Whether what we keep in `beside` is of the backup in `folder`: it holds copies of the same [`TIE`]. So the tie survives
/// any crash between two renames, and a backup that another program has changed since has none.
pub(super) fn is_tied(beside: &Path, folder: &Path) -> io::Result<bool> {
    for name in TIE {
        if !disk::same_bytes(&beside.join(name), &folder.join(name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The folder beside a backup.
///
/// A folder that cannot be read has no tie either: one bad folder must not hide all others.
fn beside(own: &Path, backup: &Path) -> Result<Option<PathBuf>, Error> {
    let mut dirs = stamped(own)?.into_iter();
    Ok(dirs.find(|dir| is_tied(dir, backup).unwrap_or(false)))
}

/// The folders in `own` that are named by a stamp, newest first.
pub(super) fn stamped(own: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut dirs: Vec<PathBuf> = names(own)?
        .into_iter()
        .filter(|n| is_stamp(n))
        .map(|n| own.join(n))
        .collect();
    dirs.sort_unstable_by(|a, b| b.cmp(a));
    Ok(dirs)
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| Error::io("list", folder, e))?.file_name();
        names.extend(name.into_string());
    }
    Ok(names)
}

/// `YYYYMMDD-HHMMSS`
pub(super) fn is_stamp(text: &str) -> bool {
    let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(date, time)| digits(date, 8) && digits(time, 6))
}

/// Reads `<UDID>` or `<UDID>-YYYYMMDD-HHMMSS`. Other programs and people write the UDID without its dash, or in other case: it is
/// the same phone.
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

/// Returns a UDID in the case in which phones write it: 40 small digits, or 24 capital ones.
fn as_phones_write(udid: &str) -> String {
    match udid.len() {
        40 => udid.to_ascii_lowercase(),
        _ => udid.to_ascii_uppercase(),
    }
}

/// Those of one phone, the current one first, then newest first.
pub(super) fn of(store: &Store, udid: &Udid) -> Result<Vec<Snapshot>, Error> {
    let mut found = all(store)?;
    found.retain(|s| s.udid() == udid);
    Ok(found)
}

pub(super) fn all(store: &Store) -> Result<Vec<Snapshot>, Error> {
    let mut found = Vec::new();
    for name in names(store.root())? {
        let path = store.root().join(&name);
        if name == OWN || !path.is_dir() {
            continue;
        }
        if let Some((udid, archived)) = parse_name(&name) {
            found.push(Snapshot::open(store, udid, path, archived)?);
        }
    }
    // Of one phone the current one first, then by age.
    found.sort_by(|a, b| {
        (&a.udid, a.archived.is_some(), &b.archived).cmp(&(
            &b.udid,
            b.archived.is_some(),
            &a.archived,
        ))
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apples_archive_names_are_read() {
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
    fn a_stamp_has_a_date_and_a_time() {
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
    fn a_backup_is_ours_by_both_of_its_property_lists() {
        let dir = tempfile::tempdir().unwrap();
        let (beside, backup) = (dir.path().join("a"), dir.path().join("b"));
        for folder in [&beside, &backup] {
            fs::create_dir(folder).unwrap();
            for name in TIE {
                fs::write(folder.join(name), name).unwrap();
            }
        }
        assert!(is_tied(&beside, &backup).unwrap());
        for name in TIE {
            fs::write(backup.join(name), "another").unwrap();
            assert!(!is_tied(&beside, &backup).unwrap(), "{name}");
            fs::remove_file(backup.join(name)).unwrap();
            assert!(!is_tied(&beside, &backup).unwrap(), "{name}");
            fs::write(backup.join(name), name).unwrap();
        }
    }

    #[test]
    fn a_backup_stands_where_we_put_it_only_under_its_own_stamp() {
        let snapshot = |archived: Option<&str>, beside: Option<&str>| Snapshot {
            udid: "00008030-001C195E0A88802E".parse().unwrap(),
            path: PathBuf::new(),
            archived: archived.map(str::to_owned),
            beside: beside.map(PathBuf::from),
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
    fn stamps_come_newest_first_and_alone() {
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
