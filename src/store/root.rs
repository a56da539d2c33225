//! A folder that holds backups.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use std::{fs, io};

use super::draft::journal;
use super::error::Error;
use super::layout::is_backup;
use super::lock::Lock;
use super::missing_store::Absence;
use super::names::{FORMAT, MARK, OWN};
use super::{capabilities, disk, real_folders, walk};
use crate::base::plain_file;
use crate::base::progress::Monitor;
use crate::base::udid::Udid;

/// A folder that holds backups.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// True until the store is made, for a store that was only planned.
    planned: Option<Arc<AtomicBool>>,
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
                let store = Store::at(root);
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
            check_above(root)?;
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

    /// Returns a store that is made when its first backup begins. Nothing is written until then.
    /// An existing store is just opened.
    pub fn planned(root: &Path) -> Result<Store, Error> {
        let store = if root.exists() {
            Store::open(root)?
        } else {
            check_above(root)?;
            Store::at(root)
        };
        let planned = (!store.is_marked()).then(|| Arc::new(AtomicBool::new(true)));
        Ok(Store { planned, ..store })
    }

    /// Returns true if the store was planned and is not made yet.
    pub(crate) fn is_planned(&self) -> bool {
        let planned = self.planned.as_ref();
        planned.is_some_and(|planned| planned.load(Ordering::SeqCst))
    }

    /// Makes a planned store, and reports that. A store that was made and is gone again is not
    /// made a second time: its disk may have been removed.
    pub fn make(&self, monitor: &dyn Monitor) -> Result<(), Error> {
        let Some(planned) = self.planned.as_ref().filter(|_| self.is_planned()) else {
            return Ok(());
        };
        Store::create(&self.root)?;
        if planned.swap(false, Ordering::SeqCst) {
            monitor.note(format!("Created a new store: {}", self.root.display()));
        }
        Ok(())
    }

    pub(super) fn at(root: &Path) -> Store {
        Store {
            root: root.to_path_buf(),
            planned: None,
        }
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

    /// Returns the phones that have a draft: a run was interrupted or is still going on.
    pub(crate) fn drafts(&self) -> Result<Vec<Udid>, Error> {
        self.phones_with("draft")
    }

    /// Returns the phones that have an unfinished import: it was interrupted or is still going on.
    pub(crate) fn imports(&self) -> Result<Vec<Udid>, Error> {
        self.phones_with("import")
    }

    fn phones_with(&self, folder: &str) -> Result<Vec<Udid>, Error> {
        let names = walk::names(&self.own())?;
        let phones = names.iter().filter_map(|name| name.parse().ok());
        let mut found: Vec<Udid> = phones
            .filter(|udid| self.own_of(udid).join(folder).is_dir())
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Returns the time of the last write to a phone's draft, and true if a run is working on the
    /// phone now. Returns `None` without a draft, and for one without a file from the phone that no
    /// run is working on: it holds nothing to continue with.
    pub(crate) fn draft_state(&self, udid: &Udid) -> Option<(SystemTime, bool)> {
        let own = self.own_of(udid);
        let draft = own.join("draft");
        let changed = |path: PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let journal = fs::read_dir(draft.join("journal")).into_iter().flatten();
        let written = journal.flatten().map(|entry| entry.path());
        let last = written
            .chain([draft.join("incoming"), draft.clone()])
            .filter_map(changed)
            .max()?;
        let is_running = Lock::is_held(&own);
        let is_worth_it = is_running || journal::holds_files(&draft.join("journal"));
        is_worth_it.then_some((last, is_running))
    }

    /// Returns true if a run is working on a phone in this store now.
    pub(crate) fn is_busy(&self, udid: &Udid) -> bool {
        Lock::is_held(&self.own_of(udid))
    }

    /// Tests the abilities of the store's disk in our own folder. Returns `None` if that folder
    /// does not exist yet.
    pub(crate) fn probe(&self) -> Result<Option<capabilities::Abilities>, Error> {
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

    /// Returns the path of the file that marks the store.
    fn mark(&self) -> PathBuf {
        self.own().join(MARK)
    }

    /// Returns our own folder.
    pub(super) fn own(&self) -> PathBuf {
        self.root.join(OWN)
    }

    /// Returns our own folder for one phone.
    pub(super) fn own_of(&self, udid: &Udid) -> PathBuf {
        self.own().join(udid.as_str())
    }

    /// Returns the folder of a phone's draft.
    pub(super) fn draft_of(&self, udid: &Udid) -> PathBuf {
        self.own_of(udid).join("draft")
    }

    /// Returns the folder in which a phone's import is made.
    pub(super) fn import_of(&self, udid: &Udid) -> PathBuf {
        self.own_of(udid).join("import")
    }
}

/// Returns an error if a folder that does not exist yet would be inside a backup, or is a link
/// whose target does not exist.
fn check_above(root: &Path) -> Result<(), Error> {
    let cause = Absence::of(root);
    if matches!(cause, Absence::DeadLink { .. }) {
        let path = root.to_path_buf();
        return Err(Error::NoStore { path, cause });
    }
    match root.ancestors().find(|above| above.exists()) {
        Some(above) => Store::at(above).check_place(),
        None => Ok(()),
    }
}

pub(super) fn no_store(path: &Path) -> Error {
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
