//! State that the pages share: the store, the backups that are open, and their passwords.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::acting::{Acting, Hands};
use super::away::Stores;
use super::changes::Changes;
use super::contacts::People;
use super::cookie::Secrets;
use super::fail::Fail;
use super::files::Names;
use super::jobs::Jobs;
use super::listen::Hosts;
use super::messages::Talks;
use super::notes::Shelf;
use super::phones::Phones;
use super::photos::Albums;
use super::sums::Sums;
use super::whatsapp::Chats;
use crate::base::secret::Secret;
use crate::base::sha256::Sha256;
use crate::base::udid::Udid;
use crate::export::photo_roll::Roll;
use crate::history::everywhere::Search;
use crate::history::list::{self, Backup as Listed};
use crate::reader;
use crate::reader::backup::{Backup, Item};
use crate::reader::passwords::{Known, NoPasswords, Passwords};
use crate::reader::tables::Tables;
use crate::store::sums::hex;
use crate::store::{Snapshot, Store};

/// Time after which an unused password, and the keys that it opened, are forgotten.
const UNUSED_MAX: Duration = Duration::from_secs(15 * 60);
/// Most backups that stay open. Each has a database open, and its decrypted copy if the list is
/// encrypted.
const OPEN_MAX: usize = 4;
/// Time for which the list of backups is kept. A page of pictures needs it a hundred times.
const LISTED_MAX: Duration = Duration::from_secs(2);

/// Time that a wrong password costs.
const WRONG_WAIT: Duration = Duration::from_secs(1);

/// Options of a server.
pub struct Options {
    /// The places that the page of other backups searches.
    pub search: Search,
    /// Age above which a last good backup is overdue.
    pub overdue: Duration,
    /// The repository for copies elsewhere that the user has set up, without a password.
    pub repository: Option<String>,
    /// Age above which a backup that waits for its push there is overdue.
    pub copy_overdue: Duration,
    /// The means to act; without them the pages only read.
    pub acting: Option<Acting>,
}

/// Most pages that follow jobs at once.
const STREAMS_MAX: usize = 32;

/// The state of a server.
pub(super) struct Site {
    store: Store,
    options: Options,
    hands: Option<Hands>,
    jobs: Arc<Jobs>,
    phones: Phones,
    stores: Stores,
    streams: Arc<Semaphore>,
    secrets: Secrets,
    names: Hosts,
    proxies: Vec<IpAddr>,
    snapshots: Mutex<Option<(Instant, Arc<Vec<Snapshot>>)>>,
    /// Held while a backup is opened: one at a time, also while a password is tried.
    opening: Mutex<()>,
    open: Mutex<HashMap<String, Arc<Opened>>>,
    passwords: Mutex<HashMap<Udid, (Secret, Instant)>>,
}

/// An open backup, and what was read of it.
pub(super) struct Opened {
    /// Key of the backup in addresses.
    pub(super) key: String,
    /// Facts for the head of each page.
    pub(super) listed: Listed,
    folder: PathBuf,
    udid: Udid,
    backup: Mutex<Backup>,
    used: Mutex<Instant>,
    sums: Sums,
    photos: Slot<Roll>,
    albums: Slot<Albums>,
    talks: Slot<Option<Talks>>,
    people: Slot<Option<People>>,
    notes: Slot<Option<Shelf>>,
    changes: Slot<Option<Changes>>,
    names: Mutex<Names>,
    /// The database whose tables were shown last.
    tables: Mutex<Option<(String, Arc<Mutex<Tables>>)>>,
    whatsapp: Slot<Option<Chats>>,
}

/// A value that is read when it is first needed.
struct Slot<T>(Mutex<Option<Arc<T>>>);

impl<T> Slot<T> {
    fn empty() -> Slot<T> {
        Slot(Mutex::new(None))
    }

    /// Returns the value. Others wait while it is read.
    fn get(&self, read: impl FnOnce() -> Result<T, Fail>) -> Result<Arc<T>, Fail> {
        let mut slot = locked(&self.0);
        if let Some(value) = &*slot {
            return Ok(value.clone());
        }
        let value = Arc::new(read()?);
        *slot = Some(value.clone());
        Ok(value)
    }
}

impl Opened {
    /// Returns the backup. Only one page at a time can use it, so hold it briefly.
    pub(super) fn backup(&self) -> MutexGuard<'_, Backup> {
        let backup = locked(&self.backup);
        backup.renew();
        backup
    }

    /// Returns the sums over all files.
    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Returns the camera roll.
    pub(super) fn photos(&self) -> Result<Arc<Roll>, Fail> {
        self.photos.get(|| Ok(Roll::read(&self.backup())?))
    }

    /// Returns the albums of the camera roll.
    pub(super) fn albums(&self) -> Result<Arc<Albums>, Fail> {
        let roll = self.photos()?;
        self.albums.get(|| Albums::read(&self.backup(), &roll))
    }

    /// Returns the messages, if there are any.
    pub(super) fn talks(&self) -> Result<Arc<Option<Talks>>, Fail> {
        self.talks.get(|| Talks::read(&self.backup()))
    }

    /// Returns the contacts, if there are any.
    pub(super) fn people(&self) -> Result<Arc<Option<People>>, Fail> {
        self.people.get(|| People::read(&self.backup()))
    }

    /// Returns what changed since the backup before, if there is one.
    pub(super) fn changes(&self, site: &Site) -> Result<Arc<Option<Changes>>, Fail> {
        self.changes.get(|| Changes::read(site, self))
    }

    /// Returns the names at which pages of folders begin.
    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        locked(&self.names)
    }

    /// Returns the tables of a database. The error says why it cannot be read.
    pub(super) fn tables(&self, item: &Item) -> Result<Arc<Mutex<Tables>>, String> {
        let mut last = locked(&self.tables);
        if let Some((id, tables)) = &*last
            && *id == item.file_id
        {
            return Ok(tables.clone());
        }
        let tables = Tables::open(&self.backup(), item)?;
        let tables = Arc::new(Mutex::new(tables));
        *last = Some((item.file_id.clone(), tables.clone()));
        Ok(tables)
    }

    /// Returns the notes, if there are any.
    pub(super) fn notes(&self) -> Result<Arc<Option<Shelf>>, Fail> {
        self.notes.get(|| Shelf::read(&self.backup()))
    }

    /// Returns the chats of WhatsApp, if there are any.
    pub(super) fn whatsapp(&self) -> Result<Arc<Option<Chats>>, Fail> {
        self.whatsapp.get(|| Chats::read(&self.backup()))
    }

    /// Returns true if the files are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.backup().is_encrypted()
    }

    /// Returns the folder of the backup.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the address of a page of this backup.
    pub(super) fn at(&self, site: &Site, path: &str) -> String {
        site.at(&format!("/b/{}{path}", self.key))
    }
}

impl Site {
    pub(super) fn new(store: Store, mut options: Options, secrets: Secrets, names: Hosts) -> Site {
        // Another program's folder takes no backups, pins or tags.
        let acting = options.acting.take().filter(|_| store.is_marked());
        Site {
            store,
            options,
            hands: acting.map(Hands::new),
            jobs: Arc::new(Jobs::new()),
            phones: Phones::default(),
            stores: Stores::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            secrets,
            names,
            proxies: Vec::new(),
            snapshots: Mutex::default(),
            opening: Mutex::default(),
            open: Mutex::default(),
            passwords: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the means to act, or an error where the pages only read.
    pub(super) fn hands(&self) -> Result<&Hands, Fail> {
        let hands = self.hands.as_ref();
        hands.ok_or(Fail::NotFound("these pages only read"))
    }

    /// Returns true if the pages may act.
    pub(super) fn acts(&self) -> bool {
        self.hands.is_some()
    }

    pub(super) fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
    }

    pub(super) fn phones(&self) -> &Phones {
        &self.phones
    }

    pub(super) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Returns the permits for pages that follow jobs.
    pub(super) fn streams(&self) -> &Arc<Semaphore> {
        &self.streams
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Takes requests from these proxies only.
    pub(super) fn behind(self, proxies: Vec<IpAddr>) -> Site {
        Site { proxies, ..self }
    }

    /// Returns the proxies from which requests are taken; empty without a proxy.
    pub(super) fn proxies(&self) -> &[IpAddr] {
        &self.proxies
    }

    /// Returns the names of this server.
    pub(super) fn names(&self) -> &Hosts {
        &self.names
    }

    /// Returns the address of a page.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.secrets.base())
    }

    /// Returns all backups of the store.
    pub(super) fn snapshots(&self) -> Result<Arc<Vec<Snapshot>>, Fail> {
        let mut kept = locked(&self.snapshots);
        if let Some((at, snapshots)) = &*kept
            && at.elapsed() < LISTED_MAX
        {
            return Ok(snapshots.clone());
        }
        let snapshots = Arc::new(self.store.snapshots()?);
        *kept = Some((Instant::now(), snapshots.clone()));
        Ok(snapshots)
    }

    /// Reads the list of backups again when it is needed next, because an action changed it.
    pub(super) fn look_again(&self) {
        *locked(&self.snapshots) = None;
    }

    /// Returns the password of a phone's backups, if it was given and is not forgotten.
    pub(super) fn kept_password(&self, udid: &Udid) -> Option<Secret> {
        let mut kept = locked(&self.passwords);
        let (password, used) = kept.get_mut(udid)?;
        *used = Instant::now();
        Some(password.clone())
    }

    /// Finds the backup of a key.
    pub(super) fn find(&self, key: &str) -> Result<Snapshot, Fail> {
        let snapshots = self.snapshots()?;
        let found = snapshots.iter().find(|snapshot| self::key(snapshot) == key);
        found
            .cloned()
            .ok_or(Fail::NotFound("the store has no such backup (any more)"))
    }

    /// Opens the backup of a key, or returns it if it is open.
    pub(super) fn open(&self, key: &str) -> Result<Arc<Opened>, Fail> {
        self.open_with(key, None)
    }

    /// Opens the backup of a key with a password, and keeps the password if it is right.
    pub(super) fn open_with(&self, key: &str, given: Option<Secret>) -> Result<Arc<Opened>, Fail> {
        let snapshot = self.find(key)?;
        if let Some(opened) = self.already_open(key, &snapshot) {
            return Ok(opened);
        }
        let _one_at_a_time = locked(&self.opening);
        if let Some(opened) = self.already_open(key, &snapshot) {
            return Ok(opened);
        }
        let udid = snapshot.udid().clone();
        let is_given = given.is_some();
        let kept = locked(&self.passwords);
        let password = given.or_else(|| kept.get(&udid).map(|(secret, _)| secret.clone()));
        drop(kept);
        let known = password.clone().map(Known);
        let passwords: &dyn Passwords = match &known {
            Some(known) => known,
            None => &NoPasswords,
        };
        let backup = match Backup::open(snapshot.path(), passwords) {
            Err(reader::Error::NoPassword { .. }) => {
                return Err(Fail::Locked(self.at(&format!("/b/{key}/unlock"))));
            }
            Err(reader::Error::WrongPassword { .. }) => {
                if is_given {
                    // Others wait too, so that many passwords cannot be tried at once.
                    std::thread::sleep(WRONG_WAIT);
                }
                return Err(Fail::Locked(self.at(&format!("/b/{key}/unlock?wrong=1"))));
            }
            opened => opened?,
        };
        if let Some(password) = password.filter(|_| backup.is_encrypted()) {
            locked(&self.passwords).insert(udid.clone(), (password, Instant::now()));
        }
        let opened = Arc::new(Opened {
            key: key.to_owned(),
            listed: list::one(&self.store, &snapshot),
            folder: snapshot.path().to_path_buf(),
            udid,
            backup: Mutex::new(backup),
            used: Mutex::new(Instant::now()),
            sums: Sums::default(),
            photos: Slot::empty(),
            albums: Slot::empty(),
            talks: Slot::empty(),
            people: Slot::empty(),
            notes: Slot::empty(),
            changes: Slot::empty(),
            names: Mutex::default(),
            tables: Mutex::default(),
            whatsapp: Slot::empty(),
        });
        let mut open = locked(&self.open);
        while open.len() >= OPEN_MAX {
            let oldest = open.iter().min_by_key(|(_, opened)| *locked(&opened.used));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            open.remove(&oldest);
        }
        open.insert(key.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Returns the backup if it is open and still the same: a run may have moved it, and put
    /// another one in its place.
    fn already_open(&self, key: &str, snapshot: &Snapshot) -> Option<Arc<Opened>> {
        let opened = locked(&self.open).get(key).cloned()?;
        if opened.folder != snapshot.path() || opened.backup().is_still_there().is_err() {
            locked(&self.open).remove(key);
            return None;
        }
        let now = Instant::now();
        *locked(&opened.used) = now;
        if let Some((_, used)) = locked(&self.passwords).get_mut(&opened.udid) {
            *used = now;
        }
        Some(opened)
    }

    /// Forgets the password of a phone, and closes its backups.
    pub(super) fn forget(&self, udid: &Udid) {
        locked(&self.passwords).remove(udid);
        locked(&self.open).retain(|_, opened| opened.udid != *udid);
    }

    /// Forgets passwords and closes backups that were not used for a quarter of an hour.
    pub(super) fn forget_unused(&self) {
        locked(&self.passwords).retain(|_, (_, used)| used.elapsed() < UNUSED_MAX);
        locked(&self.open).retain(|_, opened| locked(&opened.used).elapsed() < UNUSED_MAX);
    }
}

/// Returns the key of a backup in addresses. It says nothing about the phone, and it stays the same
/// when the backup becomes an older one.
pub(super) fn key(snapshot: &Snapshot) -> String {
    key_of(snapshot.udid().as_str(), &snapshot.id().to_string())
}

/// Returns the key of a listed backup.
pub(super) fn key_of(udid: &str, id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(udid.as_bytes());
    hash.update(b"/");
    hash.update(id.as_bytes());
    let mut text = hex(&hash.finalize());
    text.truncate(32);
    text
}

/// Runs work that reads disks on a thread for it, and returns its answer.
pub(super) async fn reading<T: IntoResponse + Send + 'static>(
    work: impl FnOnce() -> Result<T, Fail> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => answer.into_response(),
        Ok(Err(fail)) => fail.into_response(),
        Err(_) => Fail::Unreadable("an internal error occurred".to_owned()).into_response(),
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
