//! Completes what a killed run left half done: seals of drafts and of imports, and removals.

use super::error::Error;
use super::lock::Lock;
use super::root::Store;
use super::seal::{Intent, finish};
use super::set_aside::{self, SetAside};
use super::trash::{self, throw_away};
use crate::base::udid::Udid;

impl Store {
    /// Finishes what a killed run left half done: a seal, or the removal of a snapshot. Returns
    /// what could not be finished and was set aside.
    pub(crate) fn recover(&self, udid: &Udid, _lock: &Lock) -> Result<Vec<SetAside>, Error> {
        recover(self, udid)
    }
}

/// Completes the seal of a draft or of an import that a crash interrupted, and removes what was
/// being removed. If the intent cannot be read, the folder is set aside, since nothing tells how to
/// know which of its renames have happened.
pub(super) fn recover(store: &Store, udid: &Udid) -> Result<Vec<SetAside>, Error> {
    store.check_folders(udid)?;
    let own = store.own_of(udid);
    // The run sweeps again at its end, and reports then what cannot be removed.
    let _told_later = trash::sweep(&own);
    let mut set_aside = Vec::new();
    for folder in [store.draft_of(udid), store.import_of(udid)] {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::draft::{Complete, Draft};
    use crate::store::{snapshot, walk};
    use std::fs;
    use std::path::Path;

    pub(crate) const UDID: &str = "00008030-001C195E0A88802E";

    /// Returns a store with a complete draft whose Status.plist contains `status`.
    pub(crate) fn drafted(root: &Path, status: &str) -> (Complete, Store, Udid) {
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

    /// Returns the names in a folder, sorted.
    pub(crate) fn names_in(folder: &Path) -> Vec<String> {
        let mut names = walk::names(folder).unwrap();
        names.sort_unstable();
        names
    }

    #[test]
    fn interrupted_seal_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let (complete, store, udid) = drafted(dir.path(), "first");
        drop(complete); // As the run that made it.
        let own = store.own_of(&udid);
        // Without an intent the draft stays, and only the contents of the trash are removed.
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
}
