//! The facts that the findings are based on. Every function here gives up after its `patience`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plist::Value;

use super::check_wifi::WifiFacts;
use super::computer::{OnUsb, Places, Program};
use super::concern::Trouble;
use crate::base::cancel::CancelToken;
use crate::base::udid::Udid;
use crate::device::connector::{self, Connector, Encryption};
use crate::device::sync_lock::SyncLock;
use crate::device::{self, Error, Lockdown};
use crate::doctor::computer;
use crate::history::elsewhere::{Elsewhere, elsewhere};
use crate::history::{last_good, list};
use crate::store::capabilities::Abilities;
use crate::store::notes::Notes;
use crate::store::{self, Snapshot, Store, snapshot};
use crate::transport::Attached;

/// The connection between this computer and its phones.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionFacts {
    /// The address of the daemon; `None` if phones are used over USB without a daemon.
    pub address: Option<String>,
    /// True if a daemon is running but the user chose not to use it.
    pub passed_over: bool,
    /// The phones that are reachable this way, each listed once.
    pub phones: Result<Vec<Attached>, Trouble>,
    /// The facts about finding phones over Wi-Fi.
    pub wifi: WifiFacts,
    /// The phones on the USB bus; `None` if the system does not tell.
    pub on_usb: Option<Vec<OnUsb>>,
    /// The programs that may be using a phone, and the daemons; `None` if the system does not tell.
    pub programs: Option<(Vec<Program>, Vec<Program>)>,
}

impl ConnectionFacts {
    /// Returns the reason for not using a daemon, in words.
    pub(crate) fn without(&self) -> &'static str {
        if self.passed_over {
            "usbmuxd is running here and holds the phones that it knows, but the options exclude it"
        } else {
            "usbmuxd is not running here"
        }
    }

    /// Gathers these facts, waiting at most `patience` for the daemon. Fails only if the user
    /// interrupts.
    pub(crate) fn look(
        connector: &Connector,
        places: &Places,
        patience: Duration,
    ) -> Result<ConnectionFacts, Error> {
        let address = connector.daemon.daemon().map(|d| d.address().to_string());
        let found = match within(connector, patience, Connector::found) {
            Err(e) if is_cancelled(&e) && connector.token.cancelled() => return Err(e),
            Err(e) if is_cancelled(&e) => Err(Trouble::NoAnswer {
                address: address.clone(),
            }),
            other => other.map_err(|e| Trouble::List {
                cause: Arc::new(e),
                by_daemon: address.is_some(),
            }),
        };
        let (phones, wifi) = match found {
            Ok(found) => {
                let wifi = WifiFacts::look(connector, &found.phones, found.troubled, found.others);
                (Ok(found.phones), wifi)
            }
            Err(trouble) => {
                let wifi = WifiFacts::look(connector, &[], Vec::new(), 0);
                (Err(trouble), wifi)
            }
        };
        Ok(ConnectionFacts {
            wifi,
            address,
            passed_over: connector.daemon.passes_over_a_daemon(),
            phones,
            on_usb: computer::phones_on_usb(places),
            programs: computer::programs(places),
        })
    }
}

impl WifiFacts {
    /// Gathers the facts, for phones that were switched on for Wi-Fi. Listens to the network only
    /// if one of them is not connected.
    fn look(
        connector: &Connector,
        phones: &[Attached],
        troubled: Vec<(Option<Udid>, Error)>,
        others: usize,
    ) -> WifiFacts {
        let Some(network) = connector.daemon.network() else {
            return WifiFacts::default();
        };
        let mut contacts = Vec::new();
        for known in connector.records.known() {
            if let Some(contact) = connector.records.last_contact(&known.udid)
                && contact.wifi
            {
                contacts.push((known.udid, contact));
            }
        }
        let is_connected = |udid: &Udid| phones.iter().any(|phone| phone.udid == *udid);
        let is_missed = contacts.iter().any(|(udid, _)| !is_connected(udid));
        let troubled = troubled.into_iter();
        WifiFacts {
            air: is_missed.then(|| network.air()).flatten(),
            others,
            troubled: troubled.map(|(udid, e)| (udid, Trouble::from(e))).collect(),
            connected: phones.iter().map(|phone| phone.udid.clone()).collect(),
            contacts,
        }
    }
}

/// Calls `ask` with a connector whose waits are all cancelled after `patience`.
fn within<T>(connector: &Connector, patience: Duration, ask: impl FnOnce(&Connector) -> T) -> T {
    let token = connector.token.for_one();
    let own = connector.with_token(token.clone());
    let (done, waiting) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                token.cancel();
            }
        });
        let asked = ask(&own);
        drop(done);
        asked
    })
}

fn is_cancelled(e: &Error) -> bool {
    matches!(e, Error::Cancelled)
}

/// The facts about one phone, as far as it answered.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// The phone, and how it is connected.
    pub phone: Attached,
    /// True if the phone stopped answering, after which no more questions were asked.
    pub silent: bool,
    /// The facts that a phone tells without trusting this computer.
    pub facts: Option<Result<connector::Facts, Trouble>>,
    /// True if the phone is locked now.
    pub locked: Option<bool>,
    /// True if the pair record has the escrow bag, which opens a locked phone's files. An error if
    /// the record is missing or cannot be read.
    pub record: Option<Result<bool, Trouble>>,
    /// The result of opening a session: an error if the phone no longer trusts this computer.
    pub session: Option<Result<(), Trouble>>,
    /// The phone's settings for backup encryption.
    pub encryption: Encryption,
    /// Battery charge, in percent.
    pub battery: Option<u64>,
    /// True if the phone is charging or has external power.
    pub charging: bool,
    /// Capacity for user data, in bytes.
    pub capacity_bytes: Option<u64>,
    /// Free space, in bytes.
    pub free_bytes: Option<u64>,
    /// Seconds by which the phone's clock is ahead of the computer's.
    pub clock_ahead: Option<f64>,
    /// True if the phone's initial setup was finished.
    pub set_up: Option<bool>,
    /// True if no other program holds the phone's sync lock.
    pub sync_free: Option<Result<bool, Trouble>>,
    /// The result of starting the backup service.
    pub service: Option<Result<(), Trouble>>,
}

impl Health {
    /// Creates a record in which nothing is known yet.
    pub(crate) fn of(phone: Attached) -> Health {
        Health {
            phone,
            silent: false,
            facts: None,
            locked: None,
            record: None,
            session: None,
            encryption: Encryption::default(),
            battery: None,
            charging: false,
            capacity_bytes: None,
            free_bytes: None,
            clock_ahead: None,
            set_up: None,
            sync_free: None,
            service: None,
        }
    }

    /// Asks a phone for all of these facts, for at most `patience`. Fails only if the user
    /// interrupts.
    pub(crate) fn ask(
        connector: &Connector,
        phone: Attached,
        patience: Duration,
    ) -> Result<Health, Error> {
        let mut health = Health::of(phone);
        let asked = within(connector, patience, |connector| health.ask_all(connector));
        match asked {
            Err(e) if is_cancelled(&e) && connector.token.cancelled() => Err(e),
            Err(e) if is_cancelled(&e) => {
                health.silent = true;
                Ok(health)
            }
            // The error was already recorded in the field that it belongs to.
            Ok(()) | Err(_) => Ok(health),
        }
    }

    fn ask_all(&mut self, connector: &Connector) -> Result<(), Error> {
        let opened = connector.lockdown(&self.phone).and_then(|mut lockdown| {
            let facts = connector::Facts::ask(&mut lockdown)?;
            let locked = lockdown.value(None, Some("PasswordProtected"))?;
            Ok((facts, locked))
        });
        self.locked = match &opened {
            Ok((_, locked)) => connector::flag(locked.clone()),
            Err(_) => None,
        };
        self.facts = Some(noted(opened.map(|(facts, _)| facts))?);
        if let Some(Err(_)) = self.facts {
            return Ok(());
        }
        let record = noted(connector.records.load(&self.phone.udid))?;
        self.record = Some(record.map(|record| record.escrow_bag.is_some()));
        if let Some(Err(_)) = self.record {
            return Ok(());
        }
        let mut session = match connector.session(&self.phone) {
            Ok(session) => session,
            Err(e) => {
                self.session = Some(noted(Err(e))?);
                return Ok(());
            }
        };
        self.session = Some(Ok(()));
        self.ask_values(session.lockdown())?;
        let free = noted(SyncLock::is_free(&mut session, &connector.token))?;
        let is_free = matches!(free, Ok(true));
        self.sync_free = Some(free);
        if is_free {
            // Starting the service does not start a backup. Skipped if another program holds the
            // sync lock and may be using the service.
            let started = session.service(BACKUP_SERVICE, &connector.token, SERVICE_SILENCE_MAX);
            self.service = Some(noted(started)?.map(drop));
        }
        Ok(())
    }

    fn ask_values<S: crate::transport::Stream>(
        &mut self,
        lockdown: &mut Lockdown<S>,
    ) -> Result<(), device::Error> {
        self.encryption = Encryption::ask(lockdown)?;
        let mut value = |domain: Option<&str>, key: &str| lockdown.value(domain, Some(key));
        let number = |value: Option<Value>| value.and_then(|v| v.as_unsigned_integer());
        let battery = Some("com.apple.mobile.battery");
        self.battery = number(value(battery, "BatteryCurrentCapacity")?);
        self.charging = connector::flag(value(battery, "BatteryIsCharging")?).unwrap_or(false)
            || connector::flag(value(battery, "ExternalConnected")?).unwrap_or(false);
        let disk = Some("com.apple.disk_usage");
        self.capacity_bytes = number(value(disk, "TotalDataCapacity")?);
        self.free_bytes = number(value(disk, "TotalDataAvailable")?);
        self.set_up = connector::flag(value(Some("com.apple.purplebuddy"), "SetupDone")?);
        let clock = value(None, "TimeIntervalSince1970")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.clock_ahead = clock
            .and_then(|v| v.as_real())
            .zip(now.ok())
            .map(|(phone, here)| phone - here.as_secs_f64());
        Ok(())
    }
}

const BACKUP_SERVICE: &str = "com.apple.mobilebackup2";
const SERVICE_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Turns an error into a finding, except a cancellation, which is passed on as an error.
fn noted<T>(result: Result<T, device::Error>) -> Result<Result<T, Trouble>, device::Error> {
    match result {
        Err(device::Error::Cancelled) => Err(device::Error::Cancelled),
        other => Ok(other.map_err(Trouble::from)),
    }
}

/// The facts about the store, as far as it can be read.
#[derive(Debug, Clone)]
pub(crate) struct StoreFacts {
    /// The store's folder.
    pub path: PathBuf,
    /// True if the user named the store; false if it is the default one.
    pub is_named: bool,
    /// True if the folder exists.
    pub exists: bool,
    /// The reason that the folder holds no store, if it does not.
    pub absence: Option<Trouble>,
    /// True if the disk did not answer.
    pub silent: bool,
    /// The reason that the store cannot be used, if it cannot.
    pub trouble: Option<Trouble>,
    /// Bytes free on the store's disk, or on the disk where the store would be created.
    pub free_bytes: Option<u64>,
    /// The abilities of the store's disk; `None` if they were not probed.
    pub abilities: Option<Result<Abilities, Trouble>>,
    /// The store's content, by phone.
    pub phones: Vec<StoredPhone>,
    /// The phones that another run of this program is working on.
    pub busy: Vec<Udid>,
}

/// The facts about one phone's part of a store.
#[derive(Debug, Clone)]
pub(crate) struct StoredPhone {
    /// The phone's UDID.
    pub udid: Udid,
    /// The phone's current backup.
    pub current: Option<list::Backup>,
    /// The time of the last good backup.
    pub made: Option<SystemTime>,
    /// True if the last run made a full backup, and the number of bytes that it received.
    pub last_run: Option<(bool, u64)>,
    /// The draft, if any: the time of its last write, and true if a run is working on it.
    pub draft: Option<(SystemTime, bool)>,
    /// The time of the last check that found one of the phone's backups whole, contents included.
    pub verified: Option<SystemTime>,
    /// True if a check found the current backup damaged.
    pub damaged: bool,
    /// True if no further backup of this phone is expected.
    pub retired: bool,
    /// The reason that the phone's notes cannot be read, if they cannot.
    pub unread: Option<Trouble>,
    /// The notes about copies in repositories, or the reason that they cannot be read.
    pub copies: Result<Vec<Elsewhere>, String>,
}

impl StoreFacts {
    /// Returns true if a run of this program is working on this phone.
    pub(crate) fn is_busy_with(&self, udid: &Udid) -> bool {
        self.busy.contains(udid)
    }

    /// Examines the store at `path`, for at most `patience`: a disk that has gone away can block a
    /// program forever. Fails only if the user interrupts.
    pub(crate) fn look(
        path: PathBuf,
        is_named: bool,
        repository: Option<String>,
        patience: Duration,
        token: &CancelToken,
    ) -> Result<StoreFacts, Error> {
        let (done, waiting) = mpsc::channel();
        let begun = Instant::now();
        let there = path.clone();
        // The thread is not joined: it may block forever. If it finishes too late, the receiver is
        // gone and the failed `send` does not matter.
        thread::spawn(move || {
            drop(done.send(StoreFacts::look_at(there, is_named, repository.as_deref())))
        });
        loop {
            match waiting.recv_timeout(Duration::from_millis(50)) {
                Ok(store_facts) => return Ok(store_facts),
                Err(_) if token.cancelled() => return Err(device::Error::Cancelled),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < patience => {}
                Err(_) => {
                    return Ok(StoreFacts {
                        silent: true,
                        exists: true,
                        ..StoreFacts::at(path, is_named)
                    });
                }
            }
        }
    }

    /// Creates a record in which nothing is known yet.
    pub(crate) fn at(path: PathBuf, is_named: bool) -> StoreFacts {
        StoreFacts {
            path,
            is_named,
            exists: false,
            absence: None,
            silent: false,
            trouble: None,
            free_bytes: None,
            abilities: None,
            phones: Vec::new(),
            busy: Vec::new(),
        }
    }

    fn look_at(path: PathBuf, is_named: bool, repository: Option<&str>) -> StoreFacts {
        let mut store_facts = StoreFacts::at(path, is_named);
        store_facts.exists = store_facts.path.exists();
        store_facts.free_bytes = store::disk::free_space_for(&store_facts.path);
        let opened = Store::open(&store_facts.path);
        match opened.and_then(|store| store.holds_something().map(|()| store)) {
            Err(e @ store::Error::NoStore { .. }) => store_facts.absence = Some(Trouble::from(e)),
            Ok(store) => {
                if let Err(e) = store_facts.read(&store, repository) {
                    store_facts.trouble = Some(Trouble::from(e));
                }
                let tried = store.probe().transpose();
                store_facts.abilities = tried.map(|tried| tried.map_err(Trouble::from));
            }
            Err(e) => store_facts.trouble = Some(Trouble::from(e)),
        }
        store_facts
    }

    fn read(&mut self, store: &Store, repository: Option<&str>) -> Result<(), store::Error> {
        let mut udids = store.drafts()?;
        udids.extend(store.snapshots()?.iter().map(|s| s.udid().clone()));
        udids.sort_unstable();
        udids.dedup();
        for udid in udids {
            if store.is_busy(&udid) {
                self.busy.push(udid.clone());
            }
            let current = store.current(&udid)?;
            let report = current
                .as_ref()
                .and_then(|s| snapshot::read_report(&s.report()?));
            let backup = current.as_ref().map(list::describe);
            let made = last_good::last_good(store, &udid);
            let (notes, unread) = match store.notes(&udid) {
                Ok(notes) => (notes, None),
                Err(e) => (Notes::default(), Some(Trouble::from(e))),
            };
            let checked = |s: &Snapshot| {
                let time: jiff::Timestamp = notes.of(s).verified?.time.parse().ok()?;
                Some(SystemTime::from(time))
            };
            self.phones.push(StoredPhone {
                verified: store.snapshots_of(&udid)?.iter().filter_map(checked).max(),
                damaged: (current.as_ref()).is_some_and(|s| notes.of(s).damaged.is_some()),
                retired: last_good::is_retired(store, &udid),
                copies: elsewhere(store, &udid, repository).map_err(|e| e.to_string()),
                unread,
                made,
                last_run: report.and_then(|r| {
                    Some((
                        r.get("full")?.as_bool()?,
                        r.get("received_bytes")?.as_u64()?,
                    ))
                }),
                draft: store.draft_state(&udid),
                current: backup,
                udid,
            });
        }
        Ok(())
    }
}
