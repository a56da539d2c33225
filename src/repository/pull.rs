//! Pulls backups from a repository into a store.

use std::path::{Path, PathBuf};

use super::choose::Choice;
use super::copy::Copy;
use super::engine::{Engine, Stored};
use super::{Error, Restic};
use crate::base::progress::{Monitor, Phase};
use crate::base::udid::Udid;
use crate::base::units::size;
use crate::history::adopt::{self, Came};
use crate::store::pulled::Pulled;
use crate::store::{self, OWN, Snapshot, Store, snapshot};

/// A backup in a snapshot of restic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    udid: Udid,
    /// The backup's folder in the snapshot; empty for the root.
    folder: String,
    /// The folder with our records in the snapshot.
    own: String,
    /// The paths to restore; empty for all.
    only: Vec<String>,
    /// Bytes of the backup, if they are known.
    bytes: Option<u64>,
}

/// Pulls the backups of a snapshot into a store: it restores them into a folder of the store's own,
/// compares every byte with SHA256SUMS, and seals them as `copy` does. A snapshot that restic
/// itself made of a store may hold several backups.
pub fn pull(
    restic: &Restic,
    choice: &Choice,
    store: &Store,
    monitor: &dyn Monitor,
) -> Result<Vec<Came>, Error> {
    store.make(monitor)?;
    let (id, places) = match choice {
        Choice::Ours(copy) => {
            if let Some(came) = is_there(copy, store)? {
                return Ok(vec![came]);
            }
            (&copy.snapshot, vec![ours(copy)?])
        }
        Choice::Other(stored) => (&stored.id, find(restic, stored)?),
    };
    if places.is_empty() {
        return Err(Error::NoBackup(id.clone()));
    }
    let one = |place: &Place| pull_one(restic, id, place, store, monitor);
    places.iter().map(one).collect()
}

/// Returns the backup if the store holds it already.
fn is_there(copy: &Copy, store: &Store) -> Result<Option<Came>, Error> {
    Ok(pulled(copy, store)?.map(|there| Came::There {
        why: format!("it is already in this store, as {}", there.path().display()),
        udid: there.udid().clone(),
    }))
}

/// Returns the backup of which this is a copy, if the store holds it.
pub fn pulled(copy: &Copy, store: &Store) -> Result<Option<Snapshot>, Error> {
    let there = store.snapshots_of(&udid_of(copy)?)?;
    Ok(there.into_iter().find(|snapshot| copy.is_of(snapshot)))
}

fn udid_of(copy: &Copy) -> Result<Udid, Error> {
    let udid = copy.udid.parse();
    udid.map_err(|_| Error::NoBackup(copy.snapshot.clone()))
}

fn ours(copy: &Copy) -> Result<Place, Error> {
    Ok(Place {
        udid: udid_of(copy)?,
        folder: String::new(),
        own: format!("/{OWN}"),
        only: Vec::new(),
        bytes: copy.bytes,
    })
}

fn pull_one(
    restic: &Restic,
    id: &str,
    place: &Place,
    store: &Store,
    monitor: &dyn Monitor,
) -> Result<Came, Error> {
    let pulled = Pulled::begin(store, &place.udid)?;
    // A snapshot may hold several backups of a phone.
    let raw = pulled.raw(&format!("{id}{}", place.folder))?;
    if let Some(bytes) = place.bytes {
        let needed = bytes.saturating_sub(pulled.left_bytes());
        let free = store.free_space()?;
        if needed > free {
            return Err(Error::NoSpace {
                store: store.root().to_path_buf(),
                needed: size(needed),
                free: size(free),
            });
        }
        monitor.note(format!(
            "Pulling {} into {}, where {} are free",
            size(needed),
            store.root().display(),
            size(free)
        ));
    }
    monitor.phase(Phase::Pulling);
    restic.restore(id, &place.only, &raw, monitor)?;
    let of = |path: &str| below(&raw, path);
    let own = of(&place.own);
    let staged = pulled.as_store(&of(&place.folder), Some(&own))?;
    let snapshots = staged.snapshots_of(&place.udid)?;
    let Some(snapshot) = snapshots.into_iter().next() else {
        return Err(Error::NoBackup(id.to_owned()));
    };
    let origin = format!("{}, snapshot {id}", restic.access().location);
    let came = adopt::take_over(store, &snapshot, &origin, monitor)?;
    pulled.empty()?;
    Ok(came)
}

/// Returns the file of a path in a snapshot below the folder into which it was restored.
fn below(raw: &Path, path: &str) -> PathBuf {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.fold(raw.to_path_buf(), |path, part| path.join(part))
}

/// Finds the backups in a snapshot that restic itself made, of a store or of a backup's folder.
fn find(restic: &Restic, stored: &Stored) -> Result<Vec<Place>, Error> {
    for path in &stored.paths {
        for folder in folders(path) {
            let names = names(restic, &stored.id, &folder)?;
            if names.is_empty() {
                continue;
            }
            let is_backup = names.iter().any(|name| name == "Manifest.plist");
            let (parent, backups) = if is_backup {
                let (parent, name) = folder.rsplit_once('/').unwrap_or(("", &folder));
                (parent.to_owned(), vec![name.to_owned()])
            } else {
                (folder, names)
            };
            let mut found = Vec::new();
            for name in backups {
                if let Some(udid) = snapshot::phone_of(Path::new(&name)) {
                    found.push(place(restic, &stored.id, &parent, &name, udid)?);
                }
            }
            if !found.is_empty() {
                // Older backups first: the last one that comes in is the current one.
                found.sort_by_key(|place| (place.udid.clone(), is_current(place)));
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

fn is_current(place: &Place) -> bool {
    place.folder.ends_with(place.udid.as_str())
}

/// Returns the folders of a snapshot under which a pushed path may be stored: an absolute path
/// keeps all its parts, and of a relative one only the last parts are kept.
fn folders(path: &str) -> Vec<String> {
    // `C:\x` is stored as `/C/x`.
    let path = path.replace('\\', "/");
    let parts: Vec<&str> = path
        .split('/')
        .map(|part| part.trim_end_matches(':'))
        .filter(|part| !part.is_empty())
        .collect();
    let all = (0..=parts.len()).map(|from| parts[from..].iter().map(|p| format!("/{p}")).collect());
    all.collect()
}

fn names(restic: &Restic, id: &str, folder: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let folder = if folder.is_empty() { "/" } else { folder };
    restic.files(id, folder, false, &mut |node| {
        names.extend(node.path.rsplit('/').next().map(str::to_owned));
        Ok(())
    })?;
    Ok(names)
}

/// Returns the place of a backup of a store, with the record that belongs to it.
fn place(restic: &Restic, id: &str, parent: &str, name: &str, udid: Udid) -> Result<Place, Error> {
    let own = format!("{parent}/{OWN}");
    let records = format!("{own}/{udid}");
    let mut stamps = names(restic, id, &records)?;
    let of_name = |stamp: &String| name.strip_suffix(stamp.as_str()).is_some();
    stamps.retain(|stamp| store::names_a_record(stamp));
    stamps.sort_unstable();
    // The record of an archived backup has the stamp of its name; the newest is the current one's.
    let stamp = stamps.iter().find(|stamp| of_name(stamp)).or(stamps.last());
    let folder = format!("{parent}/{name}");
    let mut only = vec![folder.clone()];
    only.extend(stamp.map(|stamp| format!("{records}/{stamp}")));
    Ok(Place {
        udid,
        folder,
        own,
        only,
        bytes: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_folders_are_suffixes_of_the_path() {
        assert_eq!(folders("/srv/backups"), ["/srv/backups", "/backups", ""]);
        assert_eq!(folders("C:\\x y"), ["/C/x y", "/x y", ""]);
    }
}
