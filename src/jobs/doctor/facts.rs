//! What is found out before anything is judged. Nothing here waits for longer than its patience.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plist::Value;

use super::computer::{self, OnUsb, Places, Program};
use crate::device::sync::SyncLock;
use crate::device::{self, Lockdown};
use crate::jobs::phone::{self, Encryption, Reach};
use crate::jobs::{Error, last_good, list, unattended};
use crate::store::notes::Notes;
use crate::store::probe::Abilities;
use crate::store::{self, Snapshot, Store};
use crate::transport::{Attached, Calm};
use crate::udid::Udid;

/// What went wrong, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
}

impl From<&device::Error> for Trouble {
    fn from(e: &device::Error) -> Trouble {
        Trouble {
            text: e.to_string(),
            hint: e.hint(),
        }
    }
}

impl From<&Error> for Trouble {
    fn from(e: &Error) -> Trouble {
        Trouble {
            text: e.to_string(),
            hint: e.hint(),
        }
    }
}

impl From<&store::Error> for Trouble {
    fn from(e: &store::Error) -> Trouble {
        Trouble {
            text: e.to_string(),
            hint: e.hint().map(str::to_owned),
        }
    }
}

/// The way to phones.
#[derive(Debug, Clone)]
pub struct Way {
    /// Where the daemon is asked; `None` where phones are used over USB, without one.
    pub address: Option<String>,
    /// A daemon would be there, and is not to be used.
    pub passed_over: bool,
    /// The phones that it sees, each once.
    pub phones: Result<Vec<Attached>, Trouble>,
    /// What hangs on USB; `None` where the system does not tell.
    pub on_usb: Option<Vec<OnUsb>>,
    /// Programs that hold phones, and daemons; `None` where the system does not tell.
    pub programs: Option<(Vec<Program>, Vec<Program>)>,
}

impl Way {
    /// Why no daemon is asked.
    pub fn without(&self) -> &'static str {
        match self.passed_over {
            true => "usbmuxd runs here, holds the phones that it knows, and is not used, as wanted",
            false => "no usbmuxd runs here",
        }
    }

    /// Looks at it; the daemon has `patience` to answer. Fails only if the user interrupts.
    pub fn look(reach: &Reach, places: &Places, patience: Duration) -> Result<Way, Error> {
        let address = reach.daemon.daemon().map(|d| d.address().to_string());
        let phones = match within(reach, patience, Reach::phones) {
            Err(e) if is_cancelled(&e) && reach.calm.cancelled() => return Err(e),
            Err(e) if is_cancelled(&e) => Err(Trouble {
                text: match &address {
                    Some(at) => format!("usbmuxd on {at} takes the question and does not answer"),
                    None => "this computer's USB does not answer".to_owned(),
                },
                hint: Some(
                    match &address {
                        Some(_) => "restart it: `sudo systemctl restart usbmuxd`, or the computer",
                        None => "restart the computer",
                    }
                    .to_owned(),
                ),
            }),
            other => other.map_err(|e| Trouble {
                hint: e.hint().or(Some(
                    match &address {
                        Some(_) => "restart usbmuxd, or the computer",
                        None => "restart the computer",
                    }
                    .to_owned(),
                )),
                text: e.to_string(),
            }),
        };
        Ok(Way {
            address,
            passed_over: reach.daemon.passes_over_a_daemon(),
            phones,
            on_usb: computer::phones_on_usb(places),
            programs: computer::programs(places),
        })
    }
}

/// Does something with a reach whose waits end after `patience`, whatever is being waited for.
fn within<T>(reach: &Reach, patience: Duration, ask: impl FnOnce(&Reach) -> T) -> T {
    let calm = reach.calm.for_one();
    let own = reach.with_calm(calm.clone());
    let (done, waiting) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                calm.cancel();
            }
        });
        let asked = ask(&own);
        drop(done);
        asked
    })
}

fn is_cancelled(e: &Error) -> bool {
    matches!(e, Error::Device(device::Error::Cancelled))
}

/// One phone, as far as it told.
#[derive(Debug, Clone)]
pub struct Health {
    /// Which, and how it is connected.
    pub phone: Attached,
    /// It fell silent, and nothing more was asked.
    pub silent: bool,
    /// What anybody may ask it.
    pub facts: Option<Result<phone::Facts, Trouble>>,
    /// It is locked now.
    pub locked: Option<bool>,
    /// There is a pair record, and whether that has what opens a locked phone's files.
    pub record: Option<Result<bool, Trouble>>,
    /// It still trusts this computer.
    pub session: Option<Result<(), Trouble>>,
    /// Of its backups.
    pub encryption: Encryption,
    /// Percent.
    pub battery: Option<u64>,
    /// It has power.
    pub charging: bool,
    /// Bytes that it can hold.
    pub capacity_bytes: Option<u64>,
    /// Bytes free on it.
    pub free_bytes: Option<u64>,
    /// Seconds that its clock is ahead of the computer's.
    pub clock_ahead: Option<f64>,
    /// Its setup was finished.
    pub set_up: Option<bool>,
    /// No other program syncs it.
    pub sync_free: Option<Result<bool, Trouble>>,
    /// Its backup service starts.
    pub service: Option<Result<(), Trouble>>,
}

impl Health {
    /// Nothing is known yet.
    pub fn of(phone: Attached) -> Health {
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

    /// Asks a phone everything, for `patience` at most. Fails only if the user interrupts.
    pub fn ask(reach: &Reach, phone: Attached, patience: Duration) -> Result<Health, Error> {
        let mut health = Health::of(phone);
        let asked = within(reach, patience, |reach| health.ask_all(reach));
        match asked {
            Err(e) if is_cancelled(&e) && reach.calm.cancelled() => Err(e),
            Err(e) if is_cancelled(&e) => {
                health.silent = true;
                Ok(health)
            }
            // What went wrong is noted where it happened.
            Ok(()) | Err(_) => Ok(health),
        }
    }

    fn ask_all(&mut self, reach: &Reach) -> Result<(), Error> {
        let opened =
            Lockdown::open(&reach.daemon, &self.phone, &reach.calm).and_then(|mut lockdown| {
                let facts = phone::Facts::ask(&mut lockdown)?;
                let locked = lockdown.value(None, Some("PasswordProtected"))?;
                Ok((facts, locked))
            });
        self.locked = match &opened {
            Ok((_, locked)) => phone::flag(locked.clone()),
            Err(_) => None,
        };
        self.facts = Some(noted(opened.map(|(facts, _)| facts))?);
        if let Some(Err(_)) = self.facts {
            return Ok(());
        }
        let record = noted(reach.records.load(&self.phone.udid))?;
        self.record = Some(record.map(|record| record.escrow_bag.is_some()));
        if let Some(Err(_)) = self.record {
            return Ok(());
        }
        let mut session = match reach.session(&self.phone) {
            Ok(session) => session,
            Err(Error::Device(e)) => {
                self.session = Some(noted(Err(e))?);
                return Ok(());
            }
            Err(e) => {
                self.session = Some(Err(Trouble::from(&e)));
                return Ok(());
            }
        };
        self.session = Some(Ok(()));
        self.ask_values(session.lockdown())?;
        let free = noted(SyncLock::is_free(&mut session, &reach.calm))?;
        let is_free = free == Ok(true);
        self.sync_free = Some(free);
        if is_free {
            // Only started: no backup begins before it is asked for. Not while somebody else may be
            // using it.
            let started = session.service(BACKUP_SERVICE, &reach.calm, SERVICE_SILENCE_MAX);
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
        self.charging = phone::flag(value(battery, "BatteryIsCharging")?).unwrap_or(false)
            || phone::flag(value(battery, "ExternalConnected")?).unwrap_or(false);
        let disk = Some("com.apple.disk_usage");
        self.capacity_bytes = number(value(disk, "TotalDataCapacity")?);
        self.free_bytes = number(value(disk, "TotalDataAvailable")?);
        self.set_up = phone::flag(value(Some("com.apple.purplebuddy"), "SetupDone")?);
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

/// Trouble is a finding, and a cancel is not.
fn noted<T>(result: Result<T, device::Error>) -> Result<Result<T, Trouble>, device::Error> {
    match result {
        Err(device::Error::Cancelled) => Err(device::Error::Cancelled),
        other => Ok(other.map_err(|e| Trouble::from(&e))),
    }
}

/// The store, as far as it can be read.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Its folder.
    pub path: PathBuf,
    /// The user named it, rather than to rest on the default.
    pub is_named: bool,
    /// Something is there.
    pub exists: bool,
    /// Why there is no store, if there is none.
    pub absence: Option<Trouble>,
    /// Its disk did not answer.
    pub silent: bool,
    /// Why it cannot be used, if so.
    pub trouble: Option<Trouble>,
    /// Bytes free on its disk, or on the one where it would be made.
    pub free_bytes: Option<u64>,
    /// What its disk can do; none where it was not tried.
    pub abilities: Option<Result<Abilities, Trouble>>,
    /// What it holds, by phone.
    pub kept: Vec<Kept>,
    /// The phones that runs of ours work on now.
    pub busy: Vec<Udid>,
}

/// What a store holds of one phone.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Which phone.
    pub udid: Udid,
    /// Its current backup.
    pub current: Option<list::Backup>,
    /// When the last good backup was made.
    pub made: Option<SystemTime>,
    /// Everything was asked for in that run, and bytes that came.
    pub last_run: Option<(bool, u64)>,
    /// A draft: when it was last written to, and whether a run works on it now.
    pub draft: Option<(SystemTime, bool)>,
    /// The last check that found one of its backups whole, to the last byte.
    pub verified: Option<SystemTime>,
    /// A check found the current one damaged.
    pub damaged: bool,
    /// No other backup of it is expected.
    pub retired: bool,
    /// Why its notes cannot be read, if they cannot.
    pub unread: Option<Trouble>,
}

impl Shelf {
    /// A run of ours works on this phone now.
    pub fn is_busy_with(&self, udid: &Udid) -> bool {
        self.busy.contains(udid)
    }

    /// Looks at the store at `path`, for `patience` at most: a disk that is gone can keep a program
    /// waiting for ever. Fails only if the user interrupts.
    pub fn look(
        path: PathBuf,
        is_named: bool,
        patience: Duration,
        calm: &Calm,
    ) -> Result<Shelf, Error> {
        let (done, waiting) = mpsc::channel();
        let begun = Instant::now();
        let there = path.clone();
        // Not joined: it may wait for ever, and then nobody is left to hear of it.
        thread::spawn(move || drop(done.send(Shelf::look_at(there, is_named))));
        loop {
            match waiting.recv_timeout(Duration::from_millis(50)) {
                Ok(shelf) => return Ok(shelf),
                Err(_) if calm.cancelled() => return Err(device::Error::Cancelled.into()),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < patience => {}
                Err(_) => {
                    return Ok(Shelf {
                        silent: true,
                        exists: true,
                        ..Shelf::at(path, is_named)
                    });
                }
            }
        }
    }

    /// Nothing is known of it yet.
    pub fn at(path: PathBuf, is_named: bool) -> Shelf {
        Shelf {
            path,
            is_named,
            exists: false,
            absence: None,
            silent: false,
            trouble: None,
            free_bytes: None,
            abilities: None,
            kept: Vec::new(),
            busy: Vec::new(),
        }
    }

    fn look_at(path: PathBuf, is_named: bool) -> Shelf {
        let mut shelf = Shelf::at(path, is_named);
        shelf.exists = shelf.path.exists();
        let place = shelf.path.ancestors().find(|above| above.exists());
        shelf.free_bytes = place.and_then(|place| fs4::available_space(place).ok());
        let opened = Store::open(&shelf.path);
        match opened.and_then(|store| store.holds_something().map(|()| store)) {
            Err(e @ store::Error::NoStore { .. }) => shelf.absence = Some(Trouble::from(&e)),
            Ok(store) => {
                if let Err(e) = shelf.read(&store) {
                    shelf.trouble = Some(Trouble::from(&e));
                }
                let tried = store.probe().transpose();
                shelf.abilities = tried.map(|tried| tried.map_err(|e| Trouble::from(&e)));
            }
            Err(e) => shelf.trouble = Some(Trouble::from(&e)),
        }
        shelf
    }

    fn read(&mut self, store: &Store) -> Result<(), store::Error> {
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
                .and_then(|s| list::read_report(&s.report()?));
            let backup = current.as_ref().map(list::describe);
            let made = last_good::last_good(store, &udid);
            let (notes, unread) = match store.notes(&udid) {
                Ok(notes) => (notes, None),
                Err(e) => (Notes::default(), Some(Trouble::from(&e))),
            };
            let checked = |s: &Snapshot| {
                let time: jiff::Timestamp = notes.of(s).verified?.time.parse().ok()?;
                Some(SystemTime::from(time))
            };
            self.kept.push(Kept {
                verified: store.snapshots_of(&udid)?.iter().filter_map(checked).max(),
                damaged: (current.as_ref()).is_some_and(|s| notes.of(s).damaged.is_some()),
                retired: unattended::is_retired(store, &udid),
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
