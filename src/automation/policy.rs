//! Makes unattended backups: decides when to make one, runs the user's hooks, limits waits, and
//! retries.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use super::hook_runner::HookRunner;
use super::hooks::{Hooks, Turn};
use super::passcode_timer::{PasscodeTimer, Watched};
use crate::backup::{self, Error, Options, Report};
use crate::base::cancel::CancelToken;
use crate::base::failure_kind::FailureKind;
use crate::base::keep_awake::Awake;
use crate::base::progress::Monitor;
use crate::base::time;
use crate::base::udid::Udid;
use crate::base::units::span;
use crate::device::connector::{Connector, State};
use crate::device::{self, trust};
use crate::history::last_good::is_retired;
use crate::history::list;
use crate::mobilebackup;
use crate::store::{self, Store};
use crate::transport::{self, Attached};

pub use super::hook_runner::overdue;
pub use super::plan::{Described, Plan};
pub use crate::history::last_good::{last_good, rests_on};

/// Time between two checks for a phone that is not connected yet.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The result of an unattended backup that did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// A new backup was made.
    Done(Box<Report>),
    /// No backup was due or allowed now, with the reason.
    Skipped(String),
}

/// Returns the requested phones. Waits up to `wait` for the first to be connected.
pub fn phones(
    connector: &Connector,
    wanted: Option<&str>,
    all: bool,
    wait: Duration,
    monitor: &dyn Monitor,
) -> Result<Vec<Attached>, device::Error> {
    let start = Instant::now();
    let mut told = false;
    loop {
        let found = if all {
            connector.phones().and_then(|phones| {
                if phones.is_empty() {
                    Err(device::Error::NoDevice {
                        wanted: None,
                        present: Vec::new(),
                    })
                } else {
                    Ok(phones)
                }
            })
        } else {
            connector.phone(wanted).map(|phone| vec![phone])
        };
        let left = wait.saturating_sub(start.elapsed());
        match found {
            Err(e) if may_come(&e) && !left.is_zero() => {
                if !told {
                    monitor.note(format!("{e}; waiting for it for up to {}", span(wait)));
                    told = true;
                }
                pause(LOOK_EVERY.min(left), &connector.token)?;
            }
            other => return other,
        }
    }
}

/// Returns true if the phone is not connected. If udev starts usbmuxd, the daemon is absent too
/// until a phone is plugged in. But if the address of a daemon was given and it does not answer,
/// that is a fault, because nothing is known about phones then.
pub fn is_absent(error: &device::Error) -> bool {
    match error {
        device::Error::Transport(transport::Error::NoDaemon { .. }) => {
            transport::usbmuxd::from_variable().is_none()
        }
        error => may_come(error),
    }
}

/// Returns true if waiting may help: the phone is not connected, or no daemon answers yet.
fn may_come(error: &device::Error) -> bool {
    matches!(
        error,
        device::Error::NoDevice { .. }
            | device::Error::Transport(
                transport::Error::NoDaemon { .. }
                    | transport::Error::Refused { number: 2, .. }
                    | transport::Error::Usb {
                        trouble: transport::Trouble::Unplugged,
                        ..
                    }
            )
    )
}

/// Reason for skipping a phone that another run works on.
const BUSY: &str = "another idev-backup run is backing up this phone";

/// An unattended run: everything but the phone that its backups need.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The connection to the phones.
    pub connector: &'a Connector,
    /// The store that receives the backups.
    pub store: &'a Store,
    /// The options of each backup.
    pub options: &'a Options,
    /// The conditions, retries, waits and hooks.
    pub plan: &'a Plan,
    /// The monitor that gets events, notes and problems.
    pub monitor: &'a dyn Monitor,
}

impl Run<'_> {
    /// Backs up one phone if the plan's conditions allow it now.
    pub fn back_up(&self, phone: &Attached) -> Result<Outcome, Error> {
        let hooks = &self.plan.hooks;
        let has_hooks = hooks.any() || hooks.notify;
        if phone.is_replayed && (has_hooks || self.plan.overdue_after.is_some()) {
            if has_hooks {
                self.monitor
                    .note("The phone is the replay of a trace, so no hooks run.".to_owned());
            }
            let plan = Plan {
                hooks: Hooks::default(),
                overdue_after: None,
                ..self.plan.clone()
            };
            return Run {
                plan: &plan,
                ..*self
            }
            .back_up(phone);
        }
        let last = last_good(self.store, &phone.udid);
        let now = SystemTime::now();
        let hooks = HookRunner {
            plan: self.plan,
            udid: Some(phone.udid.as_str()),
            name: self.name_of(phone),
            last: last.map(time::rfc3339),
            is_retired: is_retired(self.store, &phone.udid),
            token: &self.connector.token,
            monitor: self.monitor,
            problems: Mutex::default(),
        };
        match self.held_off(phone, now) {
            Ok(None) => {}
            Ok(Some(why)) => {
                hooks.overdue(now, last);
                return Ok(Outcome::Skipped(why));
            }
            Err(e) => return Err(hooks.failed(e, last)),
        }
        let awake = (!self.plan.may_sleep).then(Awake::keep);
        hooks.tell(Turn::OnStart, "its backup begins".to_owned(), |_| {});
        let result = if self.connector.token.cancelled() {
            Err(Error::Interrupted)
        } else {
            self.repeatedly(phone, &hooks)
        };
        drop(awake);
        match result {
            Ok(mut report) => {
                let text = "its backup is done".to_owned();
                let copy = report.clone();
                hooks.tell(Turn::OnSuccess, text, |told| told.report = Some(&copy));
                report.problems.extend(hooks.problems());
                Ok(Outcome::Done(Box::new(report)))
            }
            // The other run began after the check above.
            Err(Error::Store(store::Error::Busy { .. })) if self.plan.yields => {
                hooks.overdue(now, last);
                Ok(Outcome::Skipped(BUSY.to_owned()))
            }
            Err(e) => Err(hooks.failed(e, last)),
        }
    }

    /// Returns the phone's name for the hooks. Asks the phone only if the name is used; the store
    /// may know it too.
    fn name_of(&self, phone: &Attached) -> String {
        let hooks = &self.plan.hooks;
        let is_used = hooks.notify || hooks.any() || self.plan.overdue_after.is_some();
        let asked = is_used.then(|| self.connector.name(phone)).flatten();
        let name = asked.or_else(|| list::phone_name(self.store, &phone.udid));
        name.unwrap_or_else(|| format!("Phone {}", phone.udid))
    }

    /// Returns the reason that no backup of the phone is made now, if there is one. The phone is
    /// asked only if time and store allow a backup.
    fn held_off(&self, phone: &Attached, now: SystemTime) -> Result<Option<String>, Error> {
        let conditions = &self.plan.conditions;
        if self.plan.yields && self.store.is_busy(&phone.udid) {
            // The other run may hang, so an overdue backup is still reported.
            return Ok(Some(BUSY.to_owned()));
        }
        let why = not_now(self.plan, now, rests_on(self.store, &phone.udid));
        if why.is_some() || !conditions.need_the_phone() {
            return Ok(why);
        }
        Ok(conditions.against_the_phone(&self.state_of(phone)?))
    }

    /// Asks the phone for the facts that the conditions need, before anything begins.
    fn state_of(&self, phone: &Attached) -> Result<State, Error> {
        let wait = self.options.trust_wait;
        let mut session = trust::session_or_pair(self.connector, phone, wait, self.monitor)?;
        Ok(State::ask(session.lockdown())?)
    }

    /// Makes the backup, and tries again after failures that may pass.
    fn repeatedly(&self, phone: &Attached, hooks: &HookRunner<'_>) -> Result<Report, Error> {
        let (plan, token) = (self.plan, &self.connector.token);
        let mut phone = phone.clone();
        let mut attempt = 0;
        loop {
            let result = self.once(&phone, hooks);
            let Err(e) = result else { return result };
            let worth_it = matches!(
                e.kind(),
                FailureKind::Failed | FailureKind::Lost | FailureKind::NoDevice
            );
            if attempt >= plan.retries || !worth_it || token.cancelled() {
                return Err(e);
            }
            attempt += 1;
            self.monitor.note(format!(
                "It failed: {e}. Trying again in {} ({attempt} of {})",
                span(plan.retry_wait),
                plan.retries
            ));
            pause(plan.retry_wait, token)?;
            // If the phone was reconnected, the daemon has given it another number.
            match self.connector.phone(Some(phone.udid.as_str())) {
                Ok(found) => phone = found,
                Err(e) if may_come(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Makes the backup once, with the plan's limit for entering the passcode.
    fn once(&self, phone: &Attached, hooks: &HookRunner<'_>) -> Result<Report, Error> {
        // Giving up on one phone's passcode does not cancel the work on the others.
        let connector = Connector {
            token: self.connector.token.for_one(),
            ..self.connector.clone()
        };
        let given_up = AtomicBool::new(false);
        let (changes, changed) = channel();
        let result = std::thread::scope(|scope| {
            let timer = PasscodeTimer {
                token: connector.token.clone(),
                plan: self.plan,
                hooks,
                given_up: &given_up,
            };
            scope.spawn(move || timer.run(&changed));
            let watched = Watched {
                inner: self.monitor,
                passcode_wait: self.plan.passcode_wait,
                changes: Mutex::new(changes),
            };
            backup::create::create(&connector, phone, self.store, self.options, &watched)
        });
        match result {
            Err(
                Error::Dialog(mobilebackup::Error::Cancelled)
                | Error::Device(device::Error::Cancelled),
            ) if given_up.load(Ordering::SeqCst) => Err(Error::NoPasscode {
                waited: self.plan.passcode_wait.unwrap_or_default(),
            }),
            other => other,
        }
    }
}

/// Runs the hooks for a failure that occurred before a phone was found. `wanted` is the requested
/// phone, if any.
pub fn tell_failed(
    failure: Described,
    wanted: Option<&str>,
    plan: &Plan,
    token: &CancelToken,
    monitor: &dyn Monitor,
) {
    let hooks = HookRunner {
        plan,
        udid: wanted,
        name: match wanted {
            Some(text) if text.parse::<Udid>().is_err() => text.to_owned(),
            Some(udid) => format!("Phone {udid}"),
            None => "No phone was reached".to_owned(),
        },
        last: None,
        is_retired: false,
        token,
        monitor,
        problems: Mutex::default(),
    };
    let text = match wanted {
        Some(_) => format!("its backup failed: {}", failure.text),
        None => format!("the backup failed: {}", failure.text),
    };
    hooks.failure(Some(failure), text);
}

/// Returns the reason that no backup is made now, as far as the time and the store determine it.
pub fn not_now(plan: &Plan, now: SystemTime, last: Option<SystemTime>) -> Option<String> {
    plan.conditions
        .against_the_time(now, local_minute(now), last)
}

/// Runs the hooks if the backup of a phone that is not connected is overdue, according to the
/// store.
pub fn tell_overdue(
    store: &Store,
    udid: &Udid,
    plan: &Plan,
    token: &CancelToken,
    monitor: &dyn Monitor,
) {
    let last = last_good(store, udid);
    let name = list::phone_name(store, udid);
    let hooks = HookRunner {
        plan,
        udid: Some(udid.as_str()),
        name: name.unwrap_or_else(|| format!("Phone {udid}")),
        last: last.map(time::rfc3339),
        is_retired: is_retired(store, udid),
        token,
        monitor,
        problems: Mutex::default(),
    };
    hooks.overdue(SystemTime::now(), last);
}

/// Runs the hooks for a push to a repository that failed after the backups. The text of `failure`
/// is a whole sentence.
pub fn tell_push_failed(
    failure: Described,
    plan: &Plan,
    token: &CancelToken,
    monitor: &dyn Monitor,
) {
    let text = failure.text.clone();
    let hooks = HookRunner {
        plan,
        udid: None,
        name: "Copies elsewhere".to_owned(),
        last: None,
        is_retired: false,
        token,
        monitor,
        problems: Mutex::default(),
    };
    hooks.tell(Turn::OnPushFailure, text, |told| {
        told.exit_code = Some(failure.exit_code);
        told.hint = failure.hint;
    });
}

/// Returns the minute of the day in the computer's time zone.
pub(super) fn local_minute(now: SystemTime) -> u16 {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    let now = now.to_zoned(jiff::tz::TimeZone::system());
    u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs())
}

/// Waits for `time`. Fails at once if the token is cancelled.
pub(crate) fn pause(time: Duration, token: &CancelToken) -> Result<(), device::Error> {
    let start = Instant::now();
    loop {
        if token.cancelled() {
            return Err(device::Error::Cancelled);
        }
        match time.saturating_sub(start.elapsed()) {
            left if left.is_zero() => return Ok(()),
            left => std::thread::sleep(left.min(Duration::from_millis(250))),
        }
    }
}
