//! Sealing: makes a complete draft durable and then puts it in its place with renames. A crash may
//! interrupt these at any point.
//!
//! `seal.json` is written once everything else is durable. From then on the draft *is* the new
//! backup: after a crash [`recover`] completes the renames at the next run, whichever of them have
//! already happened.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::plain_file;
use crate::base::time::{self, STAMP, stamp_of};
use crate::base::udid::Udid;
use crate::store::draft::Complete;
use crate::store::identity::{self, Prints};
use crate::store::record::{Record, Sealing};
use crate::store::removal::{self, Removal};
use crate::store::trash::{self, throw_away};
use crate::store::{
    Error, Policy, REPORT, SetAside, Snapshot, Store, disk, import, order, retention, set_aside,
    snapshot,
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The new backup's own stamp, which names the folder of ours that accompanies it.
    pub stamp: String,
    /// The archive name for the previous backup.
    pub archive: Option<String>,
    /// The name of the new backup if it does not become the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// The result of a seal.
pub struct Sealed {
    /// The time spent on making everything durable.
    pub sync: Duration,
    /// The time spent on renames and on dropping old snapshots.
    pub renames: Duration,
    /// The stamps of the snapshots that no rule keeps and that were dropped.
    pub dropped: Vec<String>,
    /// The number of remaining snapshots beside the current backup.
    pub older: u64,
    /// The first error of tidying up after the backup was in its place.
    pub untidy: Option<Error>,
}

impl Complete {
    /// Makes the draft durable and puts it in its place. The previous backup becomes a snapshot,
    /// and snapshots that no rule in `keep` keeps are dropped.
    ///
    /// `now` is the moment of sealing. When this returns, a power failure loses nothing.
    pub fn seal(self, now: Timestamp, report: &[u8], keep: &Policy) -> Result<Sealed, Error> {
        self.seal_and_tell(now, report, Some(keep), &mut |_| ())
    }

    /// Seals the draft as [`Complete::seal`] does. Without `keep` no snapshot is dropped. `step`
    /// receives the progress of removing snapshots.
    pub fn seal_and_tell(
        self,
        now: Timestamp,
        report: &[u8],
        keep: Option<&Policy>,
        step: &mut dyn FnMut(Removal),
    ) -> Result<Sealed, Error> {
        let (store, udid) = (&self.store, &self.udid);
        let own = store.own_of(udid);
        let draft = own.join("draft");
        let begun = Instant::now();
        // The copies of the metadata must match the new backup, and must not match the current one.
        // Otherwise the new record could not be matched to its backup.
        let (beside, current) = (draft.join("beside"), store.current_path(udid));
        if !has_its_copies(&beside, self.backup())? || has_its_copies(&beside, &current)? {
            return Err(Error::Damaged {
                path: self.backup().to_path_buf(),
                why: "its Status.plist and Info.plist are not of this backup".to_owned(),
            });
        }
        disk::write_whole(&beside.join(REPORT), report)?;
        let listing = self.listing.clone();
        let record = Record::new(Sealing {
            udid: udid.as_str(),
            sequence: order::newest(&snapshot::recorded(&own)?),
            sealed: now,
            date: snapshot::status_date(self.backup()).unwrap_or(now),
            report,
            hashes: self.tally(),
            listing,
        });
        record.write(&beside)?;
        disk::sync_tree(&draft)?;
        let sync = begun.elapsed();
        let intent = Intent {
            stamp: free_stamp(&own, &stamp_of(now.into()))?,
            // The phone's current backup is used here, not the draft's base. A full backup has no
            // base, but the current backup must still be kept.
            archive: store
                .current(udid)?
                .map(|current| archive_name(store, udid, &current))
                .transpose()?,
            place: None,
        };
        let text = serde_json::to_vec(&intent)
            .map_err(|e| Error::io("write", &draft, io::Error::other(e)))?;
        disk::write_whole(&draft.join("seal.json"), &text)?;
        let begun = Instant::now();
        finish(store, udid, &draft, &intent)?;
        // From here on the backup exists, whatever else goes wrong.
        let mut sealed = Sealed {
            sync,
            renames: Duration::ZERO,
            dropped: Vec::new(),
            older: 0,
            untidy: throw_away(&own, &draft, &mut || ()).err(),
        };
        if let Err(e) = drop_old(&self, now, keep, &mut sealed, step) {
            sealed.untidy.get_or_insert(e);
        }
        if let Err(e) = trash::sweep(&own) {
            sealed.untidy.get_or_insert(e);
        }
        sealed.renames = begun.elapsed();
        Ok(sealed)
    }
}

/// Completes the seal of a draft or of an import that a crash interrupted, and removes what was
/// being removed. If the intent cannot be read, the folder is set aside, since there is no way to
/// know which of its renames have happened.
pub(crate) fn recover(store: &Store, udid: &Udid) -> Result<Vec<SetAside>, Error> {
    store.check_folders(udid)?;
    let own = store.own_of(udid);
    // The run sweeps again at its end, and reports then what cannot be removed.
    let _told_later = trash::sweep(&own);
    let mut set_aside = Vec::new();
    for folder in [own.join("draft"), import::folder_of(store, udid)] {
        match Intent::read(&folder.join("seal.json"), udid) {
            Ok(None) => {}
            Ok(Some(intent)) => {
                let beside = own.join(&intent.stamp);
                if !folder.join("beside").exists() && !beside.exists() {
                    let why = Error::Damaged {
                        path: folder.join("seal.json"),
                        why: format!("there is no folder {}", beside.display()),
                    };
                    set_aside.push(set_aside::set_aside(store, udid, &folder, why)?);
                    continue;
                }
                finish(store, udid, &folder, &intent)?;
                throw_away(&own, &folder, &mut || ())?;
            }
            Err(e) if e.is_refused() => return Err(e),
            Err(e) => set_aside.push(set_aside::set_aside(store, udid, &folder, e)?),
        }
    }
    Ok(set_aside)
}

impl Intent {
    /// Reads an intent. Returns `None` if there is none. Names that a seal never gives count as
    /// damage.
    fn read(path: &Path, udid: &Udid) -> Result<Option<Intent>, Error> {
        let damaged = |why: String| Error::Damaged {
            path: path.to_path_buf(),
            why,
        };
        let text = match plain_file::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| Error::io("read", path, e))?,
        };
        let intent: Intent = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        let names = [&intent.archive, &intent.place];
        let is_archive = |name: &String| {
            let stamp = name.strip_prefix(udid.as_str());
            let stamp = stamp.and_then(|rest| rest.strip_prefix('-'));
            stamp.is_some_and(snapshot::is_stamp)
        };
        if snapshot::is_stamp(&intent.stamp) && names.into_iter().flatten().all(is_archive) {
            Ok(Some(intent))
        } else {
            Err(damaged("it names what no seal would".to_owned()))
        }
    }
}

/// Returns the archive name for a backup that another program put in the place of a phone's current
/// backup.
fn archive_of(store: &Store, udid: &Udid, folder: &Path) -> Result<String, Error> {
    let other = Snapshot::open(store, udid.clone(), folder.to_path_buf(), None)?;
    archive_name(store, udid, &other)
}

/// Carries out the renames, any of which may have happened already.
pub(crate) fn finish(
    store: &Store,
    udid: &Udid,
    draft: &Path,
    intent: &Intent,
) -> Result<(), Error> {
    let own = store.own_of(udid);
    let root = draft.join("root");
    let new = root.join(udid.as_str());
    let current = match &intent.place {
        Some(name) => store.root().join(name),
        None => store.current_path(udid),
    };
    let beside = own.join(&intent.stamp);
    rename_if_there(&draft.join("beside"), &beside)?;

    // The new backup is checked, since the current one may have been changed by others meanwhile.
    if belongs(&own, &beside, &new)? {
        let moved = if current.exists() {
            if intent.place.is_some() {
                return Err(Error::Damaged {
                    path: current,
                    why: "a backup is to be put there, and something else has been put there meanwhile"
                        .to_owned(),
                });
            }
            match disk::exchange(&new, &current) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let archive = match &intent.archive {
                        Some(named) => named.clone(),
                        // As below, another program made it after this seal was intended.
                        None => archive_of(store, udid, &current)?,
                    };
                    fs::rename(&current, store.root().join(archive))
                        .and_then(|()| fs::rename(&new, &current))
                }
                Err(e) => Err(e),
            }
        } else {
            fs::rename(&new, &current)
        };
        moved.map_err(|e| Error::io("put in place", &current, e))?;
        // A file system may report success for a rename and lose the renamed folder. fusefat 0.1a
        // did so.
        if belongs(&own, &beside, &new)? || !belongs(&own, &beside, &current)? {
            return Err(Error::Damaged {
                path: current,
                why: "it is not the backup that was put there".to_owned(),
            });
        }
    }
    // After an exchange the previous backup is where the draft was.
    let archive = match &intent.archive {
        // Another program made it after this seal was intended. It must not be thrown away with the
        // draft.
        None if new.exists() => Some(archive_of(store, udid, &new)?),
        named => named.clone(),
    };
    if let Some(archive) = archive {
        rename_if_there(&new, &store.root().join(archive))?;
    }
    // The phone itself may have archived a backup during the run (iOS versions with an older
    // layout).
    for name in snapshot::names(&root)? {
        let is_archive = name.starts_with(udid.as_str()) && name != udid.as_str();
        if is_archive && !store.root().join(&name).exists() {
            rename_if_there(&root.join(&name), &store.root().join(&name))?;
        }
    }
    let failed = |e| Error::io("make durable", store.root(), e);
    disk::sync_parent(&current).map_err(failed)?;
    disk::sync_parent(&beside).map_err(failed)
}

/// Renames a file or folder. Returns false if it does not exist.
fn rename_if_there(from: &Path, to: &Path) -> Result<bool, Error> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("rename", from, e)),
    }
}

/// Returns true if `beside`, a folder in `own`, belongs to the backup in `folder`.
pub(crate) fn belongs(own: &Path, beside: &Path, folder: &Path) -> Result<bool, Error> {
    let kept = identity::find(&snapshot::stamped(own)?, Some(beside), &Prints::of(folder));
    Ok(kept.is_some_and(|kept| kept.folder == beside))
}

/// Returns true if the metadata copies in `beside` are the same as the files in `backup`.
pub(crate) fn has_its_copies(beside: &Path, backup: &Path) -> Result<bool, Error> {
    for name in ["Status.plist", "Info.plist"] {
        let same = disk::same_bytes(&beside.join(name), &backup.join(name));
        if !same.map_err(|e| Error::io("compare with the copy beside it", backup, e))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns `stamp`, unless the newest existing stamp is the same or later: then the first free
/// second from that stamp on. This keeps names in the expected order even when summer time ends.
/// The order of backups does not depend on it. Stamps further ahead than [`retention::AHEAD_MAX`]
/// are ignored, since a clock was wrong when they were made.
fn free_stamp(own: &Path, stamp: &str) -> Result<String, Error> {
    let parse = |text: &str| jiff::civil::DateTime::strptime(STAMP, text).ok();
    let stamped = snapshot::stamped(own)?;
    let newest = stamped
        .iter()
        .filter_map(|dir| parse(dir.file_name()?.to_str()?))
        .filter(|newest| {
            parse(stamp).is_some_and(|now| {
                *newest >= now && newest.duration_since(now) <= retention::AHEAD_MAX
            })
        })
        .max()
        .map(|newest| newest.strftime(STAMP).to_string());
    let first = newest.as_deref().unwrap_or(stamp);
    Ok(free_name(first, |candidate| own.join(candidate).exists()))
}

/// Returns Apple's archive name for the previous backup: the UDID and the time of that backup.
pub(crate) fn archive_name(store: &Store, udid: &Udid, base: &Snapshot) -> Result<String, Error> {
    let stamp = match base.stamp() {
        Some(stamp) => stamp,
        None => {
            let status = base.path().join("Status.plist");
            let meta = fs::metadata(&status).or_else(|_| fs::metadata(base.path()));
            let time = meta
                .and_then(|m| m.modified())
                .map_err(|e| Error::io("look at", &status, e))?;
            stamp_of(time)
        }
    };
    let taken = |candidate: &str| store.root().join(format!("{udid}-{candidate}")).exists();
    Ok(format!("{udid}-{}", free_name(&stamp, taken)))
}

pub(crate) fn free_name(stamp: &str, taken: impl Fn(&str) -> bool) -> String {
    let parsed = jiff::civil::DateTime::strptime(STAMP, stamp);
    let mut candidate = stamp.to_owned();
    let mut seconds = 0;
    while taken(&candidate) {
        seconds += 1;
        let later = parsed
            .as_ref()
            .ok()
            .and_then(|t| t.checked_add(jiff::Span::new().seconds(seconds)).ok());
        candidate = match later {
            Some(time) => time.strftime(STAMP).to_string(),
            None => return candidate,
        };
    }
    candidate
}

/// Drops the snapshots of a phone that no rule keeps. Only snapshots that this program made and
/// that are still in their place are ever dropped, not those of others, nor copies of ours under
/// another name.
fn drop_old(
    complete: &Complete,
    now: Timestamp,
    policy: Option<&Policy>,
    sealed: &mut Sealed,
    step: &mut dyn FnMut(Removal),
) -> Result<(), Error> {
    let (store, udid) = (&complete.store, &complete.udid);
    let all = snapshot::of(store, udid)?;
    sealed.older = all.iter().filter(|s| !s.is_current()).count() as u64;
    let Some(policy) = policy else {
        return Ok(());
    };
    let (decisions, mut trouble) = store.plan(&all, policy, time::civil(now));
    // The oldest are dropped first, so that a crash leaves the most wanted ones.
    let goes = all.iter().zip(&decisions).rev();
    let goes: Vec<&Snapshot> = goes.filter(|(_, d)| !d.keeps()).map(|(s, _)| s).collect();
    for (done, old) in goes.iter().enumerate() {
        // A snapshot that cannot be dropped does not stop the others from being dropped.
        match store.remove(
            &complete.lock,
            old,
            removal::By::Rule,
            (done, goes.len()),
            step,
        ) {
            Ok(()) => {
                sealed.older -= 1;
                sealed.dropped.extend(old.stamp());
            }
            Err(e) => {
                trouble.get_or_insert(e);
            }
        }
    }
    trouble.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Draft;

    #[test]
    fn stamps_follow_backup_order() {
        for (there, now, given) in [
            (&[][..], "20261025-023000", "20261025-023000"),
            (&["20261025-022959"], "20261025-023000", "20261025-023000"),
            (&["20261025-023000"], "20261025-023000", "20261025-023001"),
            // The first of two stamps was dropped meanwhile.
            (&["20261025-023001"], "20261025-023000", "20261025-023002"),
            // Summer time ends between the two.
            (&["20261025-025500"], "20261025-021000", "20261025-025501"),
            (&["20261025-235959"], "20261025-235959", "20261026-000000"),
            (&["20261025-043000"], "20261025-023000", "20261025-043001"),
            // The clock was wrong when the newest one was made.
            (&["20261025-043001"], "20261025-023000", "20261025-023000"),
            (&["20361025-023000"], "20261025-023000", "20261025-023000"),
        ] {
            let own = tempfile::tempdir().unwrap();
            for stamp in there {
                fs::create_dir(own.path().join(stamp)).unwrap();
            }
            assert_eq!(free_stamp(own.path(), now).unwrap(), given, "{there:?}");
        }
    }

    const UDID: &str = "00008030-001C195E0A88802E";

    /// Returns a store with a complete draft whose Status.plist contains `status`.
    fn drafted(root: &Path, status: &str) -> (Complete, Store, Udid) {
        let store = Store::create(root).unwrap();
        let udid: Udid = UDID.parse().unwrap();
        let lock = store.lock(&udid).unwrap();
        let mut draft = Draft::fresh(&store, &udid, lock).unwrap();
        for (name, text) in [("Status.plist", status), ("Info.plist", "i"), ("ab/x", "x")] {
            let path = format!("{UDID}/{name}").parse().unwrap();
            draft.keep(&path, &mut text.as_bytes()).unwrap();
        }
        // A phone may write these beside its backup.
        for name in [".b/6", "00008030-001C195E0A88802E-20200101-000000"] {
            let place = draft.place(&format!("{name}/y").parse().unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, status).unwrap();
        }
        (draft.complete(&mut || ()).unwrap(), store, udid)
    }

    fn intend(store: &Store, udid: &Udid, text: &str) {
        fs::write(store.own_of(udid).join("draft/seal.json"), text).unwrap();
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names = snapshot::names(folder).unwrap();
        names.sort_unstable();
        names
    }

    #[test]
    fn interrupted_seal_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let (complete, store, udid) = drafted(dir.path(), "first");
        drop(complete); // As the run that made it.
        let own = store.own_of(&udid);
        // There is no intent: the draft stays, and only the contents of the trash are removed.
        fs::create_dir(own.join("trash")).unwrap();
        recover(&store, &udid).unwrap();
        assert_eq!(names_in(&own), ["draft", "lock"]);

        intend(
            &store,
            &udid,
            r#"{"stamp":"20261120-221401","archive":null}"#,
        );
        recover(&store, &udid).unwrap();
        let archived = format!("{UDID}-20200101-000000");
        assert_eq!(names_in(dir.path()), [".idev-backup", UDID, &archived]);
        assert_eq!(names_in(&own), ["20261120-221401", "lock"]);
        let status =
            |folder: &str| fs::read_to_string(dir.path().join(folder).join("Status.plist"));
        assert_eq!(status(UDID).unwrap(), "first");
        assert_eq!(
            names_in(&own.join("20261120-221401")),
            [
                "Info.plist",
                "SHA256SUMS",
                "Status.plist",
                "hash-sources.txt"
            ]
        );

        drop(drafted(dir.path(), "second"));
        let archive = format!("{UDID}-20261120-221401");
        let intent = format!(r#"{{"stamp":"20261121-000000","archive":"{archive}"}}"#);
        intend(&store, &udid, &intent);
        recover(&store, &udid).unwrap();
        assert_eq!(status(UDID).unwrap(), "second");
        assert_eq!(status(&archive).unwrap(), "first");
        assert_eq!(
            names_in(dir.path()),
            [".idev-backup", UDID, &archived, &archive]
        );
        // A backup that the phone archived under an existing name does not replace that one.
        assert_eq!(
            fs::read(dir.path().join(&archived).join("y")).unwrap(),
            b"first"
        );
        let all = snapshot::of(&store, &udid).unwrap();
        let tied: Vec<_> = all
            .iter()
            .map(|s| (s.is_current(), s.is_where_we_put_it()))
            .collect();
        assert_eq!(tied, [(true, false), (false, true), (false, false)]);
    }

    /// Checks that a backup that another program put in the place of an interrupted seal is kept as
    /// a snapshot.
    #[test]
    fn foreign_backup_becomes_a_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let (_, store, udid) = drafted(dir.path(), "ours");
        intend(
            &store,
            &udid,
            r#"{"stamp":"20261120-221401","archive":null}"#,
        );
        let current = store.current_path(&udid);
        fs::create_dir(&current).unwrap();
        fs::write(current.join("Status.plist"), "theirs").unwrap();
        recover(&store, &udid).unwrap();
        let statuses: Vec<_> = snapshot::of(&store, &udid)
            .unwrap()
            .iter()
            .filter_map(|s| fs::read_to_string(s.path().join("Status.plist")).ok())
            .collect();
        assert_eq!(statuses, ["ours", "theirs"]);
    }

    #[test]
    fn rename_tolerates_only_absent_source() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        rename_if_there(&from, &to).unwrap();
        fs::create_dir_all(from.join("x")).unwrap();
        fs::create_dir_all(to.join("y")).unwrap();
        assert!(rename_if_there(&from, &to).is_err());
        assert!(from.join("x").exists() && to.join("y").exists());
        fs::remove_dir_all(&to).unwrap();
        rename_if_there(&from, &to).unwrap();
        assert!(to.join("x").exists() && !from.exists());
    }

    #[test]
    fn retention_drops_only_our_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let seal = |status: &str, stamp: &str, keep: u32| {
            let (complete, ..) = drafted(dir.path(), status);
            let sealed = complete.seal(moment(stamp), b"{}", &keep.into()).unwrap();
            assert!(sealed.untidy.is_none());
            (sealed.older, sealed.dropped)
        };
        // The backup that the phone archived has no folder of ours, since we did not make it.
        let other = dir.path().join(format!("{UDID}-20200101-000000"));
        assert_eq!(seal("1", "20260101-000000", 2), (1, vec![]));
        assert_eq!(seal("2", "20260102-000000", 2), (2, vec![]));
        assert_eq!(seal("3", "20260103-000000", 2), (3, vec![]));
        let dropped = vec!["20260101-000000".to_owned()];
        assert_eq!(seal("4", "20260104-000000", 2), (3, dropped));
        let own = store_own(dir.path());
        assert_eq!(
            names_in(&own),
            [
                "20260102-000000",
                "20260103-000000",
                "20260104-000000",
                "lock",
                "notes.lock"
            ]
        );
        let dropped = ["20260103-000000", "20260102-000000"].map(str::to_owned);
        let (older, mut gone) = seal("5", "20260105-000000", 1);
        gone.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!((older, gone), (2, dropped.to_vec()));
        assert!(other.exists());
    }

    /// Returns the moment of a stamp in local time.
    fn moment(stamp: &str) -> Timestamp {
        let local = time::parse_stamp(stamp).unwrap();
        local
            .to_zoned(jiff::tz::TimeZone::system())
            .unwrap()
            .timestamp()
    }

    fn store_own(root: &Path) -> std::path::PathBuf {
        root.join(".idev-backup").join(UDID)
    }
}
