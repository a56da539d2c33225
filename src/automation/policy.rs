//! Makes unattended backups: decides when to make one, runs the user's hooks, limits waits, and
//! retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::conditions::Conditions;
use super::hooks::{Hooks, Told, Turn};
use crate::backup::Error;
use crate::backup::create::{self, Options, Report};
use crate::base::cancel::CancelToken;
use crate::base::failure_kind::FailureKind;
use crate::base::keep_awake::Awake;
use crate::base::progress::{Event, Monitor, Wait};
use crate::base::time;
use crate::base::udid::Udid;
use crate::base::units::span;
use crate::device::connector::{Connector, Facts, State};
use crate::device::{self, trust};
use crate::history::last_good::{is_overdue, is_retired};
use crate::history::list;
use crate::mobilebackup;
use crate::store::{self, Store};
use crate::transport::{self, Attached};

pub use crate::history::last_good::{last_good, rests_on};

/// Time between two checks for a phone that is not connected yet.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Options of an unattended backup. The default is to make it at once, without retries.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The conditions under which a backup is made.
    pub conditions: Conditions,
    /// Number of retries after a backup that failed.
    pub retries: u32,
    /// Time to wait before each retry.
    pub retry_wait: Duration,
    /// Time limit for entering the passcode; `None` waits as long as the phone does.
    pub passcode_wait: Option<Duration>,
    /// Time between reminders to enter the passcode; `None` for only the first notice.
    pub remind_every: Option<Duration>,
    /// Age of the last good backup from which it counts as overdue and the user is notified.
    pub overdue_after: Option<Duration>,
    /// The user's commands for notifications.
    pub hooks: Hooks,
    /// Allow the computer to fall asleep during a backup.
    pub may_sleep: bool,
    /// Describes a failure for the hooks. Without it, they get neither exit code nor advice.
    pub describe: Option<fn(&Error) -> Described>,
    /// Skip a phone that another run of this program is working on, instead of failing: an
    /// unattended run has no user to whom an error would be useful.
    pub yields: bool,
}

/// Description of a failure in the terms of the program that runs the hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The error message.
    pub text: String,
    /// The program's exit code for the failure.
    pub exit_code: u8,
    /// The program's advice.
    pub hint: Option<String>,
}

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

/// Backs up one phone if the plan's conditions allow it now.
pub fn back_up(
    connector: &Connector,
    phone: &Attached,
    store: &Store,
    options: &Options,
    plan: &Plan,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    let last = last_good(store, &phone.udid);
    let now = SystemTime::now();
    let teller = Teller {
        plan,
        udid: Some(phone.udid.as_str()),
        name: name(connector, phone, plan),
        last: last.map(time::rfc3339),
        token: &connector.token,
        monitor,
        problems: Mutex::default(),
    };
    const BUSY: &str = "another idev-backup run is backing up this phone";
    if plan.yields && store.is_busy(&phone.udid) {
        // The other run may hang, so an overdue backup is still reported.
        teller.overdue(now, last);
        return Ok(Outcome::Skipped(BUSY.to_owned()));
    }
    let held_off = match not_now(plan, now, rests_on(store, &phone.udid)) {
        None if plan.conditions.need_the_phone() => {
            asked(connector, phone, options, monitor).map(|s| plan.conditions.against_the_phone(&s))
        }
        decided => Ok(decided),
    };
    match held_off {
        Ok(None) => {}
        Ok(Some(why)) => {
            teller.overdue(now, last);
            return Ok(Outcome::Skipped(why));
        }
        Err(e) => return Err(teller.failed(e, last)),
    }
    let awake = (!plan.may_sleep).then(Awake::keep);
    teller.tell(Turn::OnStart, "its backup begins".to_owned(), |_| {});
    let result = if connector.token.cancelled() {
        Err(Error::Interrupted)
    } else {
        repeatedly(connector, phone, store, options, plan, &teller)
    };
    drop(awake);
    match result {
        Ok(mut report) => {
            let text = "its backup is done".to_owned();
            let copy = report.clone();
            teller.tell(Turn::OnSuccess, text, |told| told.report = Some(&copy));
            report.problems.extend(teller.problems());
            Ok(Outcome::Done(Box::new(report)))
        }
        // The other run began after the check above.
        Err(Error::Store(store::Error::Busy { .. })) if plan.yields => {
            teller.overdue(now, last);
            Ok(Outcome::Skipped(BUSY.to_owned()))
        }
        Err(e) => Err(teller.failed(e, last)),
    }
}

/// Asks the phone for the facts that the conditions need, before anything begins.
fn asked(
    connector: &Connector,
    phone: &Attached,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<State, Error> {
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    Ok(State::ask(session.lockdown())?)
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
    let teller = Teller {
        plan,
        udid: wanted,
        name: match wanted {
            Some(udid) => format!("Phone {udid}"),
            None => "No phone was reached".to_owned(),
        },
        last: None,
        token,
        monitor,
        problems: Mutex::default(),
    };
    let text = match wanted {
        Some(_) => format!("its backup failed: {}", failure.text),
        None => format!("the backup failed: {}", failure.text),
    };
    teller.failure(Some(failure), text);
}

/// Returns the reason that no backup is made now, as far as the time and the store determine it.
pub fn not_now(plan: &Plan, now: SystemTime, last: Option<SystemTime>) -> Option<String> {
    plan.conditions
        .against_the_time(now, local_minute(now), last)
}

/// Returns the phone's name for the hooks. Asks the phone only if there is a hook that uses the
/// name.
fn name(connector: &Connector, phone: &Attached, plan: &Plan) -> String {
    let hooks = &plan.hooks;
    let said = hooks.notify || hooks.any();
    let asked = said.then(|| {
        device::Lockdown::open(&connector.daemon, phone, &connector.token)
            .and_then(|mut l| Facts::ask(&mut l))
    });
    match asked {
        Some(Ok(facts)) => facts.name,
        _ => format!("Phone {}", phone.udid),
    }
}

fn repeatedly(
    connector: &Connector,
    phone: &Attached,
    store: &Store,
    options: &Options,
    plan: &Plan,
    teller: &Teller<'_>,
) -> Result<Report, Error> {
    let mut phone = phone.clone();
    let mut attempt = 0;
    loop {
        let result = once(connector, &phone, store, options, plan, teller);
        let Err(e) = result else { return result };
        let worth_it = matches!(
            e.kind(),
            FailureKind::Failed | FailureKind::Lost | FailureKind::NoDevice
        );
        if attempt >= plan.retries || !worth_it || connector.token.cancelled() {
            return Err(e);
        }
        attempt += 1;
        teller.monitor.note(format!(
            "It failed: {e}. Trying again in {} ({attempt} of {})",
            span(plan.retry_wait),
            plan.retries
        ));
        pause(plan.retry_wait, &connector.token)?;
        // If the phone was reconnected, the daemon has given it another number.
        match connector.phone(Some(phone.udid.as_str())) {
            Ok(found) => phone = found,
            Err(e) if may_come(&e) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn once(
    connector: &Connector,
    phone: &Attached,
    store: &Store,
    options: &Options,
    plan: &Plan,
    teller: &Teller<'_>,
) -> Result<Report, Error> {
    // Giving up on one phone's passcode does not cancel the work on the others.
    let connector = Connector {
        token: connector.token.for_one(),
        ..connector.clone()
    };
    let given_up = AtomicBool::new(false);
    let (changes, changed) = channel();
    let result = std::thread::scope(|scope| {
        let warden = Warden {
            token: connector.token.clone(),
            plan,
            teller,
            given_up: &given_up,
        };
        scope.spawn(move || warden.mind(&changed));
        let watched = Watched {
            inner: teller.monitor,
            passcode_wait: plan.passcode_wait,
            changes: Mutex::new(changes),
        };
        create::create(&connector, phone, store, options, &watched)
    });
    match result {
        Err(
            Error::Dialog(mobilebackup::Error::Cancelled) | Error::Device(device::Error::Cancelled),
        ) if given_up.load(Ordering::SeqCst) => Err(Error::NoPasscode {
            waited: plan.passcode_wait.unwrap_or_default(),
        }),
        other => other,
    }
}

/// A change in the phone's wait for its passcode: begun or over.
enum Change {
    Waits,
    Over,
}

/// A monitor that passes all events on and informs the warden about waits for the passcode.
struct Watched<'a> {
    inner: &'a dyn Monitor,
    passcode_wait: Option<Duration>,
    changes: Mutex<Sender<Change>>,
}

impl Monitor for Watched<'_> {
    fn event(&self, mut event: Event) {
        // Shows the shorter limit: the phone's or ours.
        if let Event::Waiting {
            what: Wait::Passcode,
            limit_seconds,
        } = &mut event
        {
            let ours = self.passcode_wait.map_or(u64::MAX, |wait| wait.as_secs());
            *limit_seconds = ours.min(*limit_seconds);
        }
        let change = match &event {
            Event::Waiting {
                what: Wait::Passcode,
                ..
            } => Some(Change::Waits),
            Event::WaitOver {
                what: Wait::Passcode,
            } => Some(Change::Over),
            _ => None,
        };
        if let Some(change) = change {
            let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            // Fails only if the warden is gone, and the warden lives as long as this monitor.
            drop(changes.send(change));
        }
        self.inner.event(event);
    }
}

/// Reminds the user to enter the passcode, and gives up after the time limit.
struct Warden<'a> {
    token: Arc<CancelToken>,
    plan: &'a Plan,
    teller: &'a Teller<'a>,
    given_up: &'a AtomicBool,
}

impl Warden<'_> {
    fn mind(&self, changed: &Receiver<Change>) {
        let mut since: Option<Instant> = None;
        let mut reminded = Instant::now();
        loop {
            let next = since.and_then(|since| self.next(since, reminded));
            let change = match next {
                None => changed.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => changed.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match (change, since) {
                (Ok(Change::Waits), None) => {
                    since = Some(Instant::now());
                    reminded = Instant::now();
                    self.remind("enter the passcode on the phone to begin the backup");
                }
                (Ok(Change::Waits), Some(_)) => {}
                (Ok(Change::Over), _) => since = None,
                (Err(RecvTimeoutError::Timeout), Some(began)) => {
                    let waited = began.elapsed();
                    if self.plan.passcode_wait.is_some_and(|max| waited >= max) {
                        self.given_up.store(true, Ordering::SeqCst);
                        self.token.cancel();
                        since = None;
                    } else {
                        reminded = Instant::now();
                        let text =
                            format!("it has been waiting for its passcode for {}", span(waited));
                        self.teller.monitor.note(format!(
                            "The phone has been waiting for its passcode for {}",
                            span(waited)
                        ));
                        self.remind(&text);
                    }
                }
                (Err(RecvTimeoutError::Timeout), None) => {}
                (Err(RecvTimeoutError::Disconnected), _) => return,
            }
        }
    }

    /// Returns the time of the next reminder or of giving up, whichever is first.
    fn next(&self, since: Instant, reminded: Instant) -> Option<Instant> {
        let end = self.plan.passcode_wait.map(|wait| since + wait);
        let reminder = self.plan.remind_every.filter(|every| !every.is_zero());
        let reminder = reminder.map(|every| reminded + every);
        end.into_iter().chain(reminder).min()
    }

    fn remind(&self, text: &str) {
        self.teller
            .tell(Turn::OnWaitingForPasscode, text.to_owned(), |_| {});
    }
}

/// Runs the user's hooks about one phone.
struct Teller<'a> {
    plan: &'a Plan,
    udid: Option<&'a str>,
    name: String,
    last: Option<String>,
    token: &'a CancelToken,
    monitor: &'a dyn Monitor,
    problems: Mutex<Vec<String>>,
}

impl Teller<'_> {
    fn tell<'b>(&'b self, turn: Turn, text: String, more: impl FnOnce(&mut Told<'b>)) {
        let mut told = Told {
            version: 1,
            time: time::rfc3339(SystemTime::now()),
            udid: self.udid,
            event: turn.name(),
            text: format!("{}: {text}", self.name),
            last_backup: self.last.clone(),
            exit_code: None,
            hint: None,
            report: None,
        };
        more(&mut told);
        for (problem, hint) in self.plan.hooks.at(turn, &told, self.token) {
            let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
            problems.push(problem.clone());
            self.monitor.problem(problem, hint.map(str::to_owned));
        }
    }

    /// Runs the hooks for a failure, and returns the error.
    fn failed(&self, error: Error, last: Option<SystemTime>) -> Error {
        let described = self.plan.describe.map(|describe| describe(&error));
        self.failure(described, format!("its backup failed: {error}"));
        self.overdue(SystemTime::now(), last);
        error
    }

    fn failure(&self, described: Option<Described>, text: String) {
        self.tell(Turn::OnFailure, text, |told| {
            if let Some(described) = described {
                told.exit_code = Some(described.exit_code);
                told.hint = described.hint;
            }
        });
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.problems.lock();
        problems.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn overdue(&self, now: SystemTime, last: Option<SystemTime>) {
        if let Some(text) = overdue(now, last, self.plan.overdue_after) {
            self.monitor.note(format!("{}: {text}", self.name));
            self.tell(Turn::OnOverdue, text, |_| {});
        }
    }
}

/// Returns a message if the last good backup is older than `limit`, or does not exist.
pub fn overdue(
    now: SystemTime,
    last: Option<SystemTime>,
    limit: Option<Duration>,
) -> Option<String> {
    let limit = limit?;
    let Some(last) = last else {
        return Some("it has no good backup".to_owned());
    };
    if !is_overdue(Some(last), now, limit) {
        return None;
    }
    let age = time::age(now, last)?;
    Some(format!("its last good backup is {} old", span(age)))
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
    if is_retired(store, udid) {
        return;
    }
    let last = last_good(store, udid);
    let name = store.current(udid).ok().flatten();
    let name = name.and_then(|snapshot| list::describe(&snapshot).name);
    let teller = Teller {
        plan,
        udid: Some(udid.as_str()),
        name: name.unwrap_or_else(|| format!("Phone {udid}")),
        last: last.map(time::rfc3339),
        token,
        monitor,
        problems: Mutex::default(),
    };
    teller.overdue(SystemTime::now(), last);
}

/// Returns the minute of the day in the computer's time zone.
fn local_minute(now: SystemTime) -> u16 {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    let now = now.to_zoned(jiff::tz::TimeZone::system());
    u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs())
}

/// Waits for `time`. Fails at once if the token is cancelled.
pub fn pause(time: Duration, token: &CancelToken) -> Result<(), device::Error> {
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
