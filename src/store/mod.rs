//! Where backups live. Knows folders and files, no phones.
//!
//! ```text
//! <store>/<UDID>/                       the current backup, in Apple's layout
//! <store>/<UDID>-YYYYMMDD-HHMMSS/       earlier ones, under Apple's archive name
//! <store>/.idev-backup/store.json       says that this is a store, and of which format
//! <store>/.idev-backup/<UDID>/lock      one run per phone at a time
//! <store>/.idev-backup/<UDID>/draft/    a backup being written
//! <store>/.idev-backup/<UDID>/notes.json  what is pinned, named, verified
//! <store>/.idev-backup/<UDID>/<stamp>/  beside each sealed backup: snapshot.json, SHA256SUMS, report.json, copies of its metadata
//! ```
//! docs/format.md tells what a reader may trust.

mod absent;
mod aside;
pub mod audit;
mod clone;
pub mod disk;
pub mod draft;
mod guard;
pub mod history;
mod identity;
pub mod import;
pub mod journal;
mod keeper;
pub mod layout;
mod leftover;
pub mod lock;
mod mend;
mod named;
pub mod notes;
mod order;
pub mod overlay;
pub mod probe;
mod proof;
pub mod record;
pub mod retention;
mod rights;
mod seal;
pub mod sizes;
pub mod snapshot;
pub mod sources;
pub mod sums;
mod trash;
pub mod walk;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use absent::Absence;
pub use aside::SetAside;
pub use draft::{Draft, Origin};
pub use lock::Lock;
pub use record::{Id, Record};
pub use retention::Policy;
pub use rights::is_refused;
pub use seal::stamp_of;
pub use snapshot::Snapshot;

use crate::plain_file;
use crate::udid::Udid;

/// The folder of our own, in which nothing is Apple's.
const OWN: &str = ".idev-backup";
/// The mark of a store.
const MARK: &str = "store.json";
/// The format that this version reads and writes.
const FORMAT: u64 = 2;

/// What the list of hashes is called.
pub const SUMS: &str = "SHA256SUMS";
/// What the report of the run is called.
pub const REPORT: &str = "report.json";
/// The files without which a backup cannot be read.
pub const METADATA: [&str; 4] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.plist",
    "Status.plist",
];
/// The metadata files that a record names, and of which copies stand beside a backup: those of [`METADATA`], and the list of files
/// of iOS 9 and older.
pub const RECORDED: [&str; 5] = [
    "Info.plist",
    "Manifest.db",
    "Manifest.plist",
    "Status.plist",
    "Manifest.mbdb",
];

/// What went wrong on the disk.
#[derive(Debug)]
pub enum Error {
    /// The system refused.
    Io {
        /// "write", "rename", ...
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The folder cannot be a store.
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The store has a format that this version does not know.
    OtherFormat {
        /// The store.
        path: PathBuf,
        /// The number of its format.
        format: u64,
    },
    /// There is no store at this path.
    NoStore {
        /// The path that was named.
        path: PathBuf,
        /// The reason.
        cause: Absence,
    },
    /// Another run works on this phone.
    Busy {
        /// The phone.
        udid: Udid,
        /// The lock that it holds.
        lock: PathBuf,
    },
    /// Something else stands where a folder of our own should be.
    InTheWay {
        /// The folder.
        path: PathBuf,
        /// The kind of thing that stands there.
        what: &'static str,
    },
    /// The phone's current backup is a symbolic link, which is read but never written through.
    Linked {
        /// The link.
        path: PathBuf,
        /// The folder that it leads to.
        to: PathBuf,
    },
    /// A folder or file belongs to another user, who does not let this one use it.
    NotYours {
        /// "write to" or "read".
        doing: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// The number of the user that it belongs to.
        owner: u32,
        /// The number of this user.
        user: u32,
    },
    /// Root was to write into a store of another user.
    AsRoot {
        /// The store.
        path: PathBuf,
        /// The number of the user that it belongs to.
        owner: u32,
    },
    /// A snapshot was pinned, or got a name, after it was decided that it goes.
    Pinned {
        /// The snapshot.
        path: PathBuf,
    },
    /// A part of something that was dropped cannot be removed.
    Stuck {
        /// The file or folder, in the trash.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A file of ours says what it cannot say.
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    /// The system refused `doing` on `path`.
    pub fn io(doing: &'static str, path: &Path, cause: io::Error) -> Error {
        Error::Io {
            doing,
            path: path.to_path_buf(),
            cause,
        }
    }

    /// A file of ours could not be read; one that is no text is damaged.
    fn unreadable(path: &Path, cause: io::Error) -> Error {
        match cause.kind() {
            io::ErrorKind::InvalidData => Error::Damaged {
                path: path.to_path_buf(),
                why: "it is no text".to_owned(),
            },
            _ => Error::io("read", path, cause),
        }
    }

    /// Whether somebody else's rights are in the way: then nothing is known of what lies there.
    pub fn is_refused(&self) -> bool {
        matches!(self, Error::NotYours { .. })
            || matches!(self, Error::Io { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Io { cause, .. }
            if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            e if e.is_full() => Some("free space on that disk, or choose another with --store"),
            Error::Io { cause, doing, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied if cfg!(target_os = "macos") => Some(
                    "give the terminal Full Disk Access (System Settings > Privacy & Security), or choose another \
                     folder with --store",
                ),
                io::ErrorKind::PermissionDenied if ["read", "list", "look at"].contains(doing) => {
                    Some(
                        "run this as the user who made the backup, or have its owner let you read it",
                    )
                }
                io::ErrorKind::PermissionDenied => {
                    Some("choose a folder that you may write, with --store")
                }
                io::ErrorKind::ReadOnlyFilesystem => Some(
                    "the disk is read-only: mount it for writing, or choose another with --store",
                ),
                io::ErrorKind::NotFound => {
                    Some("is the disk connected? Otherwise choose another with --store")
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    Some("something is in the way there: choose another folder with --store")
                }
                io::ErrorKind::FileTooLarge => Some(
                    "the disk cannot hold files over 4 GB (FAT32?): format it as exFAT, APFS, NTFS or ext4, or choose \
                     another with --store",
                ),
                _ => Some("check the disk and how it is connected, or choose another with --store"),
            },
            Error::Busy { .. } => {
                Some("wait for the other run to end, or stop it; a run that died holds no lock")
            }
            Error::InTheWay { .. } => Some(
                "look what put it there, and remove it; a link itself is removed, and never what it leads to",
            ),
            Error::Linked { .. } => Some(
                "back up into the folder that holds the one it leads to, with --store; or put that folder here in the place of \
                 the link",
            ),
            Error::NotYours { .. } => Some(
                "the command above gives it to you; or run idev-backup as the user that it belongs to",
            ),
            Error::AsRoot { .. } => {
                Some("run this without sudo, as the user that the store belongs to")
            }
            Error::Pinned { .. } => {
                Some("take the pin or the name away first: `idev-backup unpin`, `tag --remove`")
            }
            Error::Stuck { .. } => Some(
                "it is in nobody's way, and every run tries again. Close programs that have it open; an immutable file needs \
                 `sudo chattr -i` (Linux) or `chflags nouchg` (macOS)",
            ),
            Error::NoStore { cause, .. } => Some(match cause {
                Absence::NotMounted(_) | Absence::Empty(_) | Absence::DeadLink { .. } => {
                    "connect and mount the disk, and run the same command again. If a new store is to be made there, say so with \
                     `idev-backup create --new-store`"
                }
                Absence::Missing(_) | Absence::NoMark => {
                    "check the path, and whether its disk is connected. If a new store is to be made there, say so with \
                     `idev-backup create --new-store`"
                }
            }),
            Error::NotAStore { .. } => Some(
                "choose an empty folder, or one that idev-backup made, with --store; what is there stays as it is",
            ),
            Error::OtherFormat { format, .. } if *format < FORMAT => Some(
                "choose a new folder with --store; each backup of the old store is a plain folder that `idev-backup adopt` takes into \
                 the new one",
            ),
            Error::OtherFormat { .. } => {
                Some("use the version of idev-backup that made it, or a later one")
            }
            Error::Damaged { path, .. } if path.ends_with(notes::NOTES) => Some(
                "look into that file; without it all pins, names and dates of checks are forgotten",
            ),
            Error::Damaged { path, .. } if path.ends_with(MARK) => Some(
                "remove that one file: `idev-backup create --new-store` makes it anew, and nothing else is touched",
            ),
            Error::Damaged { .. } => Some(
                "check the disk; `idev-backup create --full` makes a backup that rests on nothing that is there",
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, cause } => {
                write!(f, "cannot {doing} {}: {cause}", path.display())
            }
            Error::NotAStore { path, why } => write!(f, "{} is no store: {why}", path.display()),
            Error::OtherFormat { path, format } => {
                let age = if *format < FORMAT {
                    "an older"
                } else {
                    "a newer"
                };
                write!(
                    f,
                    "the store {} has format {format}, made by {age} idev-backup; this version reads and writes format {FORMAT}",
                    path.display()
                )
            }
            Error::NoStore { path, cause } => {
                write!(f, "there is no store at {}: {cause}", path.display())
            }
            Error::Busy { udid, lock } => write!(
                f,
                "another idev-backup is working on phone {udid} in this store (it holds {})",
                lock.display()
            ),
            Error::InTheWay { path, what } => write!(
                f,
                "{} is {what}, where idev-backup keeps a folder of its own: nothing was read or written there",
                path.display()
            ),
            Error::Linked { path, to } => write!(
                f,
                "{} is a symbolic link to {}: a new backup would take the place of the link, on this disk",
                path.display(),
                to.display()
            ),
            Error::NotYours {
                doing,
                path,
                owner,
                user,
            } => write!(
                f,
                "cannot {doing} {}: it belongs to {}, and this is {}. `sudo chown -R {user} {}` gives it to this user",
                path.display(),
                rights::user(*owner),
                rights::user(*user),
                rights::quoted(path)
            ),
            Error::AsRoot { path, owner } => write!(
                f,
                "{} belongs to {}, and this is root: what root writes there its owner could not use",
                path.display(),
                rights::user(*owner)
            ),
            Error::Pinned { path } => write!(f, "{} is pinned, and stays", path.display()),
            Error::Stuck { path, cause } => write!(
                f,
                "what was dropped cannot be removed whole: {}: {cause}",
                path.display()
            ),
            Error::Damaged { path, why } if path.ends_with(MARK) => {
                write!(f, "{} is damaged: {why}", path.display())
            }
            Error::Damaged { path, why } => write!(f, "{} cannot be used: {why}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

/// A folder of backups.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a folder of backups to read them. A folder without the mark of a store is opened too, since other programs'
    /// backups may lie there.
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
                guard::is_real_folder(&store.own())?;
                store.check_mark()?;
                Ok(store)
            }
        }
    }

    /// A store inside of a backup or of another store's own folder would change what is sealed.
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

    /// Opens a store to write to it. Makes none: the disk of the one that is meant may not be mounted.
    pub fn open_made(root: &Path) -> Result<Store, Error> {
        let store = Store::open(root)?;
        if store.is_marked() {
            return Ok(store);
        }
        Err(no_store(root))
    }

    /// Makes a store of a folder, which need not exist; a store that is there is opened.
    pub fn create(root: &Path) -> Result<Store, Error> {
        if !root.exists() {
            // Not even an empty folder inside of a backup.
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
            // Another process may make the same store at this moment.
            disk::write_shared(&mark, text.as_bytes())?;
        }
        Ok(store)
    }

    /// Returns an error if this is an empty folder, or one that holds nothing of ours and no backup of another program.
    pub fn holds_something(&self) -> Result<(), Error> {
        if self.is_marked() || !self.snapshots()?.is_empty() {
            return Ok(());
        }
        Err(no_store(&self.root))
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes free for us on its disk.
    pub fn free_space(&self) -> Result<u64, Error> {
        fs4::available_space(&self.root)
            .map_err(|e| Error::io("ask for the free space of", &self.root, e))
    }

    /// Takes the phone's lock, for as long as it is held.
    pub fn lock(&self, udid: &Udid) -> Result<Lock, Error> {
        self.check_user()?;
        guard::is_real_folder(&self.own_of(udid))?;
        Lock::take(&self.own_of(udid), udid)
    }

    /// Where the current backup of a phone is, or would be.
    pub fn current_path(&self, udid: &Udid) -> PathBuf {
        self.root.join(udid.as_str())
    }

    /// The current backup of a phone.
    pub fn current(&self, udid: &Udid) -> Result<Option<Snapshot>, Error> {
        let path = self.current_path(udid);
        if path.is_dir() {
            Snapshot::open(self, udid.clone(), path, None).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Every backup in the store, by phone, newest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        snapshot::all(self)
    }

    /// Phones of which a run broke off, or goes on.
    pub fn drafts(&self) -> Result<Vec<Udid>, Error> {
        self.phones_with("draft")
    }

    /// Phones of which a backup is being copied in, or was when that broke off.
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

    /// When a draft of a phone was last written to, and whether a run works on it now.
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

    /// Whether a run works on a phone in this store now.
    pub fn is_busy(&self, udid: &Udid) -> bool {
        Lock::is_held(&self.own_of(udid))
    }

    /// What its disk can do, tried in the folder of our own; `None` where that is not there yet.
    pub fn probe(&self) -> Result<Option<probe::Abilities>, Error> {
        let own = self.own();
        if !own.is_dir() {
            return Ok(None);
        }
        probe::probe(&own, self.free_space()?).map(Some)
    }

    fn check_mark(&self) -> Result<(), Error> {
        let mark = self.mark();
        let text = match plain_file::read(&mark) {
            Ok(text) => text,
            // A folder of backups that other programs made may be read, and become a store.
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

    /// Whether it was ever written to; a folder of other programs' backups is read only until then.
    pub fn is_marked(&self) -> bool {
        self.mark().exists()
    }

    fn mark(&self) -> PathBuf {
        self.own().join(MARK)
    }

    fn own(&self) -> PathBuf {
        self.root.join(OWN)
    }

    /// What is ours of one phone.
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

/// Whether a folder is itself a backup.
pub fn is_backup(folder: &Path) -> bool {
    ["Manifest.db", "Manifest.mbdb", "Manifest.plist"]
        .iter()
        .any(|name| folder.join(name).exists())
}
