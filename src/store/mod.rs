//! The folder in which backups are stored. This module deals with folders and files only, and does
//! not talk to phones.
//!
//! ```text
//! <store>/<UDID>/                         the current backup, in Apple's layout
//! <store>/<UDID>-YYYYMMDD-HHMMSS/         earlier backups, under Apple's archive name
//! <store>/.idev-backup/store.json         marks the folder as a store and names its format
//! <store>/.idev-backup/<UDID>/lock        allows one run per phone at a time
//! <store>/.idev-backup/<UDID>/draft/      a backup being written
//! <store>/.idev-backup/<UDID>/notes.json  pins, tags and results of checks
//! <store>/.idev-backup/<UDID>/<stamp>/    accompanies a sealed backup: snapshot.json, SHA256SUMS,
//!                                         report.json and copies of its metadata
//! ```
//! docs/format.md describes what a reader may rely on.

pub mod audit;
mod backup_ref;
pub mod capabilities;
pub mod disk;
pub mod draft;
mod error;
pub mod hash_sources;
mod identity;
pub mod import;
pub mod layout;
pub mod lock;
mod missing_store;
pub mod notes;
mod order;
mod permissions;
mod real_folders;
pub mod record;
pub mod removal;
mod repair_file;
pub mod restore_overlay;
pub mod retention;
mod set_aside;
pub mod sizes;
pub mod snapshot;
pub mod sums;
mod trash;
pub mod walk;

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use crate::base::plain_file;
use crate::base::udid::Udid;

pub use draft::{Draft, Origin};
pub use error::Error;
pub use lock::Lock;
pub use missing_store::Absence;
pub use permissions::is_refused;
pub use record::{Id, Record};
pub use retention::Policy;
pub use set_aside::SetAside;
pub use snapshot::Snapshot;

/// The name of our own folder in a store. Nothing in it belongs to Apple's layout.
const OWN: &str = ".idev-backup";
/// The name of the file that marks a folder as a store.
const MARK: &str = "store.json";
/// The store format that this version reads and writes.
const FORMAT: u64 = 2;

/// The name of a backup's list of hashes.
pub const SUMS: &str = "SHA256SUMS";
/// The name of the report about the run that made a backup.
pub const REPORT: &str = "report.json";
/// The files without which a backup cannot be read.
pub const METADATA: [&str; 4] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.plist",
    "Status.plist",
];
/// The metadata files whose hashes are in a record and whose copies accompany a backup: those of
/// [`METADATA`], and the list of files that iOS 9 and older write.
pub const RECORDED: [&str; 5] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.plist",
    "Status.plist",
    "Manifest.mbdb",
];

/// A folder that holds backups.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a folder of backups for reading. The folder need not be marked as a store, since it
    /// may hold backups made by other programs.
    pub fn open(root: &Path) -> Result<Store, Error> {
        match fs::metadata(root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(no_store(root)),
            Err(e) => Err(Error::io("open the store", root, e)),
            Ok(meta) if !meta.is_dir() => Err(not_a_store(root, "it is no folder")),
            Ok(_) if is_backup(root) => Err(not_a_store(
                root,
                "it is a backup itself. The store is the folder around it",
            )),
            Ok(_) => {
                let store = Store {
                    root: root.to_path_buf(),
                };
                store.check_place()?;
                real_folders::is_real_folder(&store.own())?;
                store.check_mark()?;
                Ok(store)
            }
        }
    }

    /// Returns an error if the store is inside a backup or inside a store's own folder, where
    /// writing would change sealed data.
    fn check_place(&self) -> Result<(), Error> {
        let whole =
            fs::canonicalize(&self.root).map_err(|e| Error::io("open the store", &self.root, e))?;
        for above in whole.ancestors() {
            if above.file_name().is_some_and(|name| name == OWN) {
                return Err(not_a_store(
                    &self.root,
                    "it is a folder that idev-backup keeps for itself",
                ));
            }
            if is_backup(above) {
                let why = format!("it lies inside the backup {}", above.display());
                return Err(not_a_store(&self.root, &why));
            }
        }
        Ok(())
    }

    /// Opens a store for writing. An unmarked folder is an error and is not made into a store,
    /// since the disk with the real store may not be mounted.
    pub fn open_made(root: &Path) -> Result<Store, Error> {
        let store = Store::open(root)?;
        if store.is_marked() {
            return Ok(store);
        }
        Err(no_store(root))
    }

    /// Makes a folder into a store, creating the folder if needed. An existing store is just
    /// opened.
    pub fn create(root: &Path) -> Result<Store, Error> {
        if !root.exists() {
            // The check comes first, so that not even an empty folder is created inside a backup.
            if let Some(above) = root.ancestors().find(|above| above.exists()) {
                let above = Store {
                    root: above.to_path_buf(),
                };
                above.check_place()?;
            }
            disk::make_private_dirs(root)?;
        }
        let store = Store::open(root)?;
        let mark = store.mark();
        if !mark.exists() {
            disk::make_private_dirs(&store.own())?;
            let text = format!("{{\n  \"format\": {FORMAT},\n  \"made_by\": \"idev-backup\"\n}}\n");
            // Another process may be creating the same store at this moment.
            disk::write_shared(&mark, text.as_bytes())?;
        }
        Ok(store)
    }

    /// Returns an error if the folder is not marked as a store and contains no backup of another
    /// program either.
    pub fn holds_something(&self) -> Result<(), Error> {
        if self.is_marked() || !self.snapshots()?.is_empty() {
            return Ok(());
        }
        Err(no_store(&self.root))
    }

    /// Returns the root folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the number of free bytes on the store's disk that this user may use.
    pub fn free_space(&self) -> Result<u64, Error> {
        fs4::available_space(&self.root)
            .map_err(|e| Error::io("ask for the free space of", &self.root, e))
    }

    /// Takes the phone's lock, which is released when the result is dropped.
    pub fn lock(&self, udid: &Udid) -> Result<Lock, Error> {
        self.check_user()?;
        real_folders::is_real_folder(&self.own_of(udid))?;
        Lock::take(&self.own_of(udid), udid)
    }

    /// Returns the path of a phone's current backup, which need not exist.
    pub fn current_path(&self, udid: &Udid) -> PathBuf {
        self.root.join(udid.as_str())
    }

    /// Returns the current backup of a phone, if there is one.
    pub fn current(&self, udid: &Udid) -> Result<Option<Snapshot>, Error> {
        let path = self.current_path(udid);
        if path.is_dir() {
            Snapshot::open(self, udid.clone(), path, None).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns every backup in the store, sorted by phone and then newest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        snapshot::all(self)
    }

    /// Returns the phones that have a draft: a run was interrupted or is still going on.
    pub fn drafts(&self) -> Result<Vec<Udid>, Error> {
        self.phones_with("draft")
    }

    /// Returns the phones that have an unfinished import: it was interrupted or is still going on.
    pub fn imports(&self) -> Result<Vec<Udid>, Error> {
        self.phones_with("import")
    }

    fn phones_with(&self, folder: &str) -> Result<Vec<Udid>, Error> {
        let names = snapshot::names(&self.own())?;
        let phones = names.iter().filter_map(|name| name.parse().ok());
        let mut found: Vec<Udid> = phones
            .filter(|udid| self.own_of(udid).join(folder).is_dir())
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Returns the time of the last write to a phone's draft, and true if a run is working on the
    /// phone now. Returns `None` if there is no draft.
    pub fn draft_state(&self, udid: &Udid) -> Option<(SystemTime, bool)> {
        let own = self.own_of(udid);
        let draft = own.join("draft");
        let changed = |path: PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let journal = fs::read_dir(draft.join("journal")).into_iter().flatten();
        let written = journal.flatten().map(|entry| entry.path());
        let last = written
            .chain([draft.join("incoming"), draft.clone()])
            .filter_map(changed)
            .max()?;
        Some((last, Lock::is_held(&own)))
    }

    /// Returns true if a run is working on a phone in this store now.
    pub fn is_busy(&self, udid: &Udid) -> bool {
        Lock::is_held(&self.own_of(udid))
    }

    /// Tests the abilities of the store's disk in our own folder. Returns `None` if that folder
    /// does not exist yet.
    pub fn probe(&self) -> Result<Option<capabilities::Abilities>, Error> {
        let own = self.own();
        if !own.is_dir() {
            return Ok(None);
        }
        capabilities::probe(&own, self.free_space()?).map(Some)
    }

    fn check_mark(&self) -> Result<(), Error> {
        let mark = self.mark();
        let text = match plain_file::read(&mark) {
            Ok(text) => text,
            // A folder of other programs' backups has no mark. It may be read, and can become a
            // store.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("read", &mark, e)),
        };
        let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
        match format.and_then(|json| json.get("format")?.as_u64()) {
            Some(FORMAT) => Ok(()),
            Some(format) => Err(Error::OtherFormat {
                path: self.root.clone(),
                format,
            }),
            None => Err(Error::Damaged {
                path: self.mark(),
                why: "it names no format".to_owned(),
            }),
        }
    }

    /// Returns true if the folder is marked as a store. Until then, a folder of other programs'
    /// backups is only read.
    pub fn is_marked(&self) -> bool {
        self.mark().exists()
    }

    fn mark(&self) -> PathBuf {
        self.own().join(MARK)
    }

    fn own(&self) -> PathBuf {
        self.root.join(OWN)
    }

    /// Returns our own folder for one phone.
    fn own_of(&self, udid: &Udid) -> PathBuf {
        self.own().join(udid.as_str())
    }
}

fn no_store(path: &Path) -> Error {
    Error::NoStore {
        path: path.to_path_buf(),
        cause: Absence::of(path),
    }
}

fn not_a_store(path: &Path, why: &str) -> Error {
    Error::NotAStore {
        path: path.to_path_buf(),
        why: why.to_owned(),
    }
}

/// Returns true if a folder is itself a backup.
pub fn is_backup(folder: &Path) -> bool {
    ["Manifest.db", "Manifest.mbdb", "Manifest.plist"]
        .iter()
        .any(|name| folder.join(name).exists())
}
