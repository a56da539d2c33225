//! How a complete draft takes its place: durable first, then by renames that any crash can interrupt.
//!
//! `seal.json` is written once everything else is durable. From then on the draft *is* the new backup: [`recover`] brings
//! the renames to their end at the next run, and each of them may have happened or not.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::draft::Complete;
use super::history::Removal;
use super::{Error, Policy, REPORT, Snapshot, Store, disk, history, import, retention, snapshot};
use crate::udid::Udid;

/// `YYYYMMDD-HHMMSS`, local time.
pub(super) const STAMP: &str = "%Y%m%d-%H%M%S";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The new backup's own stamp: the folder beside it.
    pub stamp: String,
    /// The name that the backup before gets.
    pub archive: Option<String>,
    /// The name that the new one gets, if it does not become the current backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// How a seal went.
pub struct Sealed {
    /// Making everything durable.
    pub sync: Duration,
    /// The renames, and dropping old snapshots.
    pub renames: Duration,
    /// Snapshots dropped, since no rule keeps them.
    pub dropped: Vec<String>,
    /// Snapshots that stand beside it.
    pub older: u64,
    /// What could not be tidied up after the backup was in its place.
    pub untidy: Option<Error>,
}

impl Complete {
    /// Makes the draft durable and puts it in its place; the backup before becomes a snapshot, and those go that
    /// no rule keeps.
    ///
    /// `stamp` is local time, `YYYYMMDD-HHMMSS`. When this returns, a power cut loses nothing.
    pub fn seal(self, stamp: &str, report: &[u8], keep: &Policy) -> Result<Sealed, Error> {
        self.seal_and_tell(stamp, report, keep, &mut |_| ())
    }

    /// The same; `step` hears how far the removal is of what no rule keeps.
    pub fn seal_and_tell(
        self,
        stamp: &str,
        report: &[u8],
        keep: &Policy,
        step: &mut dyn FnMut(Removal),
    ) -> Result<Sealed, Error> {
        let (store, udid) = (&self.store, &self.udid);
        let own = store.own_of(udid);
        let draft = own.join("draft");
        let begun = Instant::now();
        // The tie between a backup and what we know of it.
        let (beside, current) = (draft.join("beside"), store.current_path(udid));
        if !is_of(&beside, self.backup())? || is_of(&beside, &current)? {
            return Err(Error::Damaged {
                path: self.backup().to_path_buf(),
                why: "its Status.plist and Info.plist are not of this backup".to_owned(),
            });
        }
        disk::write_whole(&beside.join(REPORT), report)?;
        disk::sync_tree(&draft)?;
        let sync = begun.elapsed();
        let intent = Intent {
            stamp: free_stamp(&own, stamp)?,
            // Not the draft's base: a full backup has none, and yet what stands there must not be lost.
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
        // From here on there is a backup, whatever else goes wrong.
        let mut sealed = Sealed {
            sync,
            renames: Duration::ZERO,
            dropped: Vec::new(),
            older: 0,
            untidy: throw_away(&own, &draft, &mut || ()).err(),
        };
        if let Err(e) = drop_old(&self, stamp, keep, &mut sealed, step) {
            sealed.untidy.get_or_insert(e);
        }
        sealed.renames = begun.elapsed();
        Ok(sealed)
    }
}

/// Brings a seal to its end that a crash interrupted, of a draft or of an import, and removes what was being removed.
pub(super) fn recover(store: &Store, udid: &Udid) -> Result<(), Error> {
    let own = store.own_of(udid);
    let trash = own.join("trash");
    disk::remove_all(&trash).map_err(|e| Error::io("remove", &trash, e))?;
    for folder in [own.join("draft"), import::folder_of(store, udid)] {
        let path = folder.join("seal.json");
        let text = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("read", &path, e)),
            Ok(text) => text,
        };
        let intent = serde_json::from_slice(&text).map_err(|e| Error::Damaged {
            path: path.clone(),
            why: e.to_string(),
        })?;
        finish(store, udid, &folder, &intent)?;
        throw_away(&own, &folder, &mut || ())?;
    }
    Ok(())
}

/// The archive name of what another program put in the place of a phone's current backup.
fn archive_of(store: &Store, udid: &Udid, folder: &Path) -> Result<String, Error> {
    let other = Snapshot::open(store, udid.clone(), folder.to_path_buf(), None)?;
    archive_name(store, udid, &other)
}

/// The renames, each of which may have happened already.
pub(super) fn finish(
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

    // Asked of the new one: what stands in its place may have been changed by others since.
    if is_of(&beside, &new)? {
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
                        // As below: another program made it since.
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
        // A disk may say that it renamed and have lost what it renamed: fusefat 0.1a was seen to.
        if is_of(&beside, &new)? || !is_of(&beside, &current)? {
            return Err(Error::Damaged {
                path: current,
                why: "it is not the backup that was put there".to_owned(),
            });
        }
    }
    // After an exchange the backup before stands where the draft was.
    let archive = match &intent.archive {
        // Another program made it after this seal was intended: it is not ours to throw away with the draft.
        None if new.exists() => Some(archive_of(store, udid, &new)?),
        named => named.clone(),
    };
    if let Some(archive) = archive {
        rename_if_there(&new, &store.root().join(archive))?;
    }
    // What the phone itself archived while it ran (backups of iOS versions with an older layout).
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

/// Renames out of the way in one step, then removes: a crash leaves trash, never half a thing under its name. The rename is
/// durable first, since a power cut may otherwise undo it and keep what was removed after it. `step` hears of each folder in it.
pub(super) fn throw_away(own: &Path, folder: &Path, step: &mut dyn FnMut()) -> Result<(), Error> {
    let trash = own.join("trash");
    disk::remove_all(&trash).map_err(|e| Error::io("remove", &trash, e))?;
    if !rename_if_there(folder, &trash)? {
        return Ok(());
    }
    let synced = disk::sync_parent(folder).and_then(|()| disk::sync_parent(&trash));
    synced.map_err(|e| Error::io("make durable", own, e))?;
    // What a link leads to is not ours.
    let is_folder = fs::symlink_metadata(&trash).is_ok_and(|meta| meta.is_dir());
    let names = if is_folder {
        snapshot::names(&trash)?
    } else {
        Vec::new()
    };
    for name in names {
        let part = trash.join(name);
        disk::remove_all(&part).map_err(|e| Error::io("remove", &part, e))?;
        step();
    }
    disk::remove_all(&trash).map_err(|e| Error::io("remove", &trash, e))
}

/// False where there was nothing to rename.
fn rename_if_there(from: &Path, to: &Path) -> Result<bool, Error> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("rename", from, e)),
    }
}

/// Whether a folder holds the backup of which copies are beside it.
pub(super) fn is_of(beside: &Path, backup: &Path) -> Result<bool, Error> {
    snapshot::is_tied(beside, backup)
        .map_err(|e| Error::io("compare with the copy beside it", backup, e))
}

/// `stamp`, or the second after the newest backup's where that is not later: stamps are in the order of the backups even
/// when several are made in a second, or when summer time ends. A newest one from far ahead is a clock that was wrong.
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

/// Apple's archive name for the backup before: the phone, and when that backup was made.
pub(super) fn archive_name(store: &Store, udid: &Udid, base: &Snapshot) -> Result<String, Error> {
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

/// Local time as Apple writes it into archive names.
pub fn stamp_of(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or_default();
    timestamp
        .to_zoned(jiff::tz::TimeZone::system())
        .strftime(STAMP)
        .to_string()
}

pub(super) fn free_name(stamp: &str, taken: impl Fn(&str) -> bool) -> String {
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

/// Drops the snapshots of a phone that no rule keeps. Only what this tool put where it stands is ever dropped: not what others
/// made, nor copies of ours under another name.
fn drop_old(
    complete: &Complete,
    stamp: &str,
    policy: &Policy,
    sealed: &mut Sealed,
    step: &mut dyn FnMut(Removal),
) -> Result<(), Error> {
    let (store, udid) = (&complete.store, &complete.udid);
    let all = snapshot::of(store, udid)?;
    sealed.older = all.iter().filter(|s| !s.is_current()).count() as u64;
    let Some(now) = history::parse_stamp(stamp) else {
        return Ok(());
    };
    let (decisions, trouble) = store.plan(&all, policy, now);
    // The oldest first, so that a crash leaves those that are wanted most.
    let goes = all.iter().zip(&decisions).rev();
    let goes: Vec<&Snapshot> = goes.filter(|(_, d)| !d.keeps()).map(|(s, _)| s).collect();
    for (done, old) in goes.iter().enumerate() {
        store.remove(&complete.lock, old, (done, goes.len()), step)?;
        sealed.older -= 1;
        sealed.dropped.extend(old.stamp());
    }
    trouble.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Draft;

    #[test]
    fn stamps_are_in_the_order_of_the_backups() {
        for (there, now, given) in [
            (&[][..], "20261025-023000", "20261025-023000"),
            (&["20261025-022959"], "20261025-023000", "20261025-023000"),
            (&["20261025-023000"], "20261025-023000", "20261025-023001"),
            // The first of them was dropped meanwhile.
            (&["20261025-023001"], "20261025-023000", "20261025-023002"),
            // The end of summer time.
            (&["20261025-025500"], "20261025-021000", "20261025-025501"),
            (&["20261025-235959"], "20261025-235959", "20261026-000000"),
            (&["20261025-043000"], "20261025-023000", "20261025-043001"),
            // A clock that was wrong.
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

    /// A store with a whole draft, whose Status.plist says `status`.
    fn drafted(root: &Path, status: &str) -> (Complete, Store, Udid) {
        let store = Store::create(root).unwrap();
        let udid: Udid = UDID.parse().unwrap();
        let lock = store.lock(&udid).unwrap();
        let mut draft = Draft::fresh(&store, &udid, lock).unwrap();
        for (name, text) in [("Status.plist", status), ("Info.plist", "i"), ("ab/x", "x")] {
            let path = format!("{UDID}/{name}").parse().unwrap();
            draft.keep(&path, &mut text.as_bytes()).unwrap();
        }
        // What a phone may have put beside its backup.
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
    fn a_seal_that_broke_off_is_brought_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (complete, store, udid) = drafted(dir.path(), "first");
        drop(complete); // As the run that made it.
        let own = store.own_of(&udid);
        // Nothing was intended: the draft stays, and only what was thrown away goes.
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
            ["Info.plist", "SHA256SUMS", "Status.plist"]
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
        // What the phone archived under a name that is taken is not put over it.
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

    #[test]
    fn what_others_put_in_the_place_of_an_interrupted_seal_becomes_a_snapshot() {
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
    fn a_rename_that_fails_is_told_unless_there_is_nothing() {
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
    fn an_intent_that_cannot_be_read_is_told_and_nothing_is_moved() {
        let dir = tempfile::tempdir().unwrap();
        let (_, store, udid) = drafted(dir.path(), "first");
        intend(&store, &udid, "{");
        assert!(matches!(recover(&store, &udid), Err(Error::Damaged { .. })));
        let path = store.own_of(&udid).join("draft/seal.json");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(recover(&store, &udid), Err(Error::Io { .. })));
        assert_eq!(names_in(dir.path()), [".idev-backup"]);
        assert_eq!(names_in(&store.own_of(&udid)), ["draft", "lock"]);
    }

    #[test]
    fn as_many_snapshots_of_ours_stay_as_are_kept_and_all_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let seal = |status: &str, stamp: &str, keep: u32| {
            let (complete, ..) = drafted(dir.path(), status);
            let sealed = complete.seal(stamp, b"{}", &keep.into()).unwrap();
            assert!(sealed.untidy.is_none());
            (sealed.older, sealed.dropped)
        };
        // What the phone archived is not of our making: it has no folder beside it.
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
                "lock"
            ]
        );
        let dropped = ["20260103-000000", "20260102-000000"].map(str::to_owned);
        let (older, mut gone) = seal("5", "20260105-000000", 1);
        gone.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!((older, gone), (2, dropped.to_vec()));
        assert!(other.exists());
    }

    fn store_own(root: &Path) -> std::path::PathBuf {
        root.join(".idev-backup").join(UDID)
    }
}
