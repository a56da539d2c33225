//! Handles a draft or an import whose `seal.json` cannot be read. Its seal may have been
//! interrupted at any point, so the whole folder is set aside. A sealed backup in it is put back
//! first.
//!
//! Once the folder of ours for the new backup has been moved out of the draft, `root/<UDID>/` in
//! the draft is a sealed backup: the new one before it is exchanged with the current one, or the
//! previous one after that. It is put in the current backup's place if that is free, and otherwise
//! gets its archive name.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use super::{Error, Store, disk, layout, snapshot};
use crate::base::udid::Udid;
use crate::store::free_names::free_name;
use crate::store::{real_folders, seal};

/// A folder that was set aside.
#[derive(Debug)]
pub struct SetAside {
    /// The folder's new path.
    pub to: PathBuf,
    /// The error that made it unusable.
    pub why: Error,
    /// The new path of a sealed backup that was in it.
    pub rescued: Option<PathBuf>,
    /// A backup in it that may be complete and has no folder of ours.
    pub backup: Option<PathBuf>,
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a run was interrupted while it completed its backup, and its progress is unknown \
             ({}). Its folder was set aside as {}",
            self.why,
            self.to.display()
        )?;
        match &self.rescued {
            Some(rescued) => write!(f, "; the backup in it is now {}", rescued.display()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SetAside {}

/// Sets a draft or an import aside under an unused name.
pub(super) fn set_aside(
    store: &Store,
    udid: &Udid,
    folder: &Path,
    why: Error,
) -> Result<SetAside, Error> {
    let own = store.own_of(udid);
    let rescued = rescue(store, udid, &folder.join("root").join(udid.as_str()))?;
    let kind = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 1;
    let to = loop {
        let to = own.join(format!("damaged-{kind}-{number}"));
        if fs::symlink_metadata(&to).is_err() {
            break to;
        }
        number += 1;
    };
    fs::rename(folder, &to).map_err(|e| Error::io("rename", folder, e))?;
    disk::sync_parent(&to).map_err(|e| Error::io("make durable", &own, e))?;
    let backup = to.join("root").join(udid.as_str());
    let backup = layout::is_backup(&backup).then_some(backup);
    Ok(SetAside {
        to,
        why,
        rescued,
        backup,
    })
}

/// Moves a sealed backup in a draft back to the other backups of the store. A clone of the current
/// backup does not count, because its folder of ours also belongs to the current backup.
fn rescue(store: &Store, udid: &Udid, backup: &Path) -> Result<Option<PathBuf>, Error> {
    if !real_folders::is_real_folder(backup)? {
        return Ok(None);
    }
    let current = store.current_path(udid);
    let own = store.own_of(udid);
    for beside in snapshot::stamped(&own)? {
        let belongs = |folder: &Path| seal::belongs(&own, &beside, folder);
        if !belongs(backup)? || belongs(&current)? {
            continue;
        }
        let to = if real_folders::is_real_folder(&current)? {
            let name = |stamp: &str| store.root().join(format!("{udid}-{stamp}"));
            let stamp = beside.file_name().unwrap_or_default().to_string_lossy();
            name(&free_name(&stamp, |stamp| name(stamp).exists()))
        } else {
            current
        };
        fs::rename(backup, &to).map_err(|e| Error::io("rename", backup, e))?;
        let durable = disk::sync_parent(&to).and_then(|()| disk::sync_parent(backup));
        durable.map_err(|e| Error::io("make durable", store.root(), e))?;
        return Ok(Some(to));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Draft;

    const UDID: &str = "00008030-001C195E0A88802E";

    /// A store with a sealed backup and a complete second one that is about to be sealed.
    struct World {
        dir: tempfile::TempDir,
        store: Store,
        udid: Udid,
    }

    impl World {
        fn new(first: bool) -> World {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::create(dir.path()).unwrap();
            let udid: Udid = UDID.parse().unwrap();
            let world = World { dir, store, udid };
            if first {
                let sealed =
                    world
                        .draft("first")
                        .seal(jiff::Timestamp::UNIX_EPOCH, b"{}", &3.into());
                assert!(sealed.unwrap().untidy.is_none());
            }
            drop(world.draft("second"));
            world
        }

        fn draft(&self, status: &str) -> crate::store::draft::Complete {
            let lock = self.store.lock(&self.udid).unwrap();
            let mut draft = Draft::fresh(&self.store, &self.udid, lock).unwrap();
            for (name, text) in [("Status.plist", status), ("Info.plist", "i")] {
                let path = format!("{UDID}/{name}").parse().unwrap();
                draft.keep(&path, &mut text.as_bytes()).unwrap();
            }
            draft.complete(&mut || ()).unwrap()
        }

        fn own(&self, name: &str) -> PathBuf {
            self.store.own_of(&self.udid).join(name)
        }

        /// Renames within the store's folder, as a seal does before it is interrupted.
        fn rename(&self, from: &Path, to: &Path) {
            fs::rename(from, to).unwrap();
        }

        /// Returns the texts of the backups' Status.plist, the current backup first.
        fn backups(&self) -> Vec<String> {
            let all = self.store.snapshots_of(&self.udid).unwrap();
            let status = |folder: &Path| fs::read_to_string(folder.join("Status.plist")).unwrap();
            all.iter().map(|backup| status(backup.path())).collect()
        }
    }

    /// Carries out the first `renames` renames of a seal.
    fn seal_to(world: &World, renames: usize) {
        let (draft, current) = (world.own("draft"), world.dir.path().join(UDID));
        let new = draft.join("root").join(UDID);
        let spare = world.dir.path().join("spare");
        if renames > 0 {
            world.rename(&draft.join("beside"), &world.own("20260102-000000"));
        }
        if renames > 1 && current.exists() {
            world.rename(&current, &spare);
            world.rename(&new, &current);
            world.rename(&spare, &new);
        } else if renames > 1 {
            world.rename(&new, &current);
        }
    }

    #[test]
    fn damaged_intents_lose_no_backup() {
        const DAMAGED: [&str; 4] = [
            "{",
            "",
            r#"{"stamp":"../../../x","archive":null}"#,
            r#"{"stamp":"20260102-000000","archive":"../x"}"#,
        ];
        // The stamp is damaged but well-formed, and no folder has that name.
        let other = r#"{"stamp":"20990102-000000","archive":null}"#;
        for text in DAMAGED.into_iter().chain([other]) {
            for (first, renames, backups) in [
                // The new backup is in the folder that was set aside, and can be adopted.
                (true, 0, &["first"][..]),
                (true, 1, &["first", "second"]),
                (true, 2, &["second", "first"]),
                (false, 0, &[]),
                (false, 1, &["second"]),
                (false, 2, &["second"]),
            ] {
                // Nothing has been renamed yet, so this name is valid.
                if text == other && renames == 0 {
                    continue;
                }
                let world = World::new(first);
                seal_to(&world, renames);
                fs::write(world.own("draft/seal.json"), text).unwrap();
                let lock = world.store.lock(&world.udid).unwrap();
                let aside = world.store.recover(&world.udid, &lock).unwrap();
                let case = format!("{text:?} {first} {renames}");
                assert_eq!(aside.len(), 1, "{case}");
                assert_eq!(world.backups(), backups, "{case}");
                assert!(
                    aside[0].to.exists() && !world.own("draft").exists(),
                    "{case}"
                );
                assert!(aside[0].to_string().contains("damaged-draft-1"), "{case}");
                assert!(world.store.recover(&world.udid, &lock).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn folder_as_intent_is_set_aside() {
        let world = World::new(true);
        fs::create_dir(world.own("draft/seal.json")).unwrap();
        let lock = world.store.lock(&world.udid).unwrap();
        for (folder, name) in [("draft", "damaged-draft-1"), ("import", "damaged-import-1")] {
            fs::create_dir_all(world.own(folder).join("seal.json")).unwrap();
            let aside = world.store.recover(&world.udid, &lock).unwrap();
            assert_eq!(aside.len(), 1);
            assert!(world.own(name).exists(), "{name}");
        }
        assert_eq!(world.backups(), ["first"]);
    }
}
