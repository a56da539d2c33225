//! Makes a backup: from a phone to a sealed and checked folder.

use std::time::{Instant, SystemTime};

use super::dialog::Dialog;
use super::host::Course;
use super::plan::{self, Begun};
use super::problem_log::Noted;
use super::{Error, Problem, check, unlisted};
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::time;
use crate::device::connector::{Connector, Facts, State};
use crate::device::{Session, trust};
use crate::reader::missing::Gap;
use crate::reader::shrink::Shrunk;
use crate::store::draft::{Complete, Tally};
use crate::store::{Draft, Lock, Origin, Policy, Store, disk};
use crate::transport::{Attached, Via};
use crate::verify::{self, Complaint, Depth};

pub use super::options::Options;
pub use super::report::{Report, Seconds};
pub use crate::backup_format::categories::{Amount, Kind};

/// Battery level, in percent, below which a phone that is not charging may run out of power before
/// the backup ends.
pub(crate) const BATTERY_LOW_PERCENT: u64 = 20;

/// Backs up one phone.
pub fn create(
    connector: &Connector,
    phone: &Attached,
    store: &Store,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let noted = Noted::new(monitor);
    let mut run = Run {
        // "Stop" on one phone does not stop the backups of the others.
        connector: &Connector {
            token: connector.token.for_one(),
            ..connector.clone()
        },
        phone,
        store,
        options,
        monitor: &noted,
        started: (SystemTime::now(), Instant::now()),
        seconds: Seconds::default(),
        expected: None,
    };
    let wait = options.trust_wait;
    let open = || trust::session_or_pair(run.connector, phone, wait, run.monitor);
    // A phone that refuses the connection must not leave an empty store behind.
    let early = store.is_planned().then(open).transpose()?;
    store.make(run.monitor)?;
    let lock = run.lock()?;
    let mut session = early.map_or_else(open, Ok)?;
    let facts = Facts::ask(session.lockdown())?;
    let state = State::ask(session.lockdown())?;
    precheck(store, phone.via, &state, run.monitor)?;

    let (mut draft, origin) = run.begin(lock, &facts, &state)?;
    let course = run.receive(&mut session, &mut draft, &state)?;
    if matches!(origin, Origin::Resumed { .. }) {
        unlisted::remove(&mut draft, options.password.as_ref(), run.monitor)?;
    }
    let complete = run.complete(draft)?;
    let checked = run.check(&complete, &course, &state)?;

    let password_opens = checked.password_opens;
    let mut report = run.report(facts, &origin, course, complete.tally(), checked);
    report.problems = noted.problems();
    // A backup that cannot be read must not cost one that can.
    if password_opens == Some(false) {
        noted.note("This run does not drop older backups.".to_owned());
    }
    let keep = Some(options.keep_of(&phone.udid)).filter(|_| password_opens != Some(false));
    seal(complete, &mut report, keep, run.started.1, run.monitor)?;
    Ok(report)
}

/// The parts of a run, and what they share.
struct Run<'a> {
    connector: &'a Connector,
    phone: &'a Attached,
    store: &'a Store,
    options: &'a Options,
    monitor: &'a dyn Monitor,
    started: (SystemTime, Instant),
    seconds: Seconds,
    /// Size of the files that the phone is expected to send, in bytes.
    expected: Option<u64>,
}

/// The result of our own check.
struct Checked {
    /// True if the given password opens the backup; `None` if none was given or none is needed.
    password_opens: Option<bool>,
    /// The files that the phone could not read.
    complaints: Vec<Complaint>,
    /// Data that the backup lacks.
    missing: Vec<Gap>,
    /// Kinds of data that the previous backup held far more of.
    shrunk: Vec<Shrunk>,
    /// The report of the check.
    report: verify::Report,
}

impl Run<'_> {
    /// Checks the store and takes the phone's lock.
    fn lock(&self) -> Result<Lock, Error> {
        // Checked now, so that missing rights do not show only after an hour of receiving.
        self.store.check_rights(&self.phone.udid)?;
        // The disk may have been removed since the store was opened. Its mount point is then an
        // empty folder.
        Store::open_made(self.store.root())?;
        Ok(self.store.lock(&self.phone.udid)?)
    }

    /// Begins the draft, and announces what the run will do.
    fn begin(
        &mut self,
        lock: Lock,
        facts: &Facts,
        state: &State,
    ) -> Result<(Draft, Origin), Error> {
        let (store, options, monitor) = (self.store, self.options, self.monitor);
        let (udid, token) = (&self.phone.udid, &self.connector.token);
        let clock = Instant::now();
        let begun = plan::begin(store, udid, options, lock, token, monitor)?;
        self.seconds.clone = clock.elapsed().as_secs_f64();
        let is_full = plan::announce(&begun, facts, state, options, store, monitor);
        let Begun { draft, origin, .. } = begun;
        if is_full && !matches!(origin, Origin::Resumed { .. }) {
            let previous = store.current(udid).ok().flatten();
            self.expected = previous.and_then(|previous| previous.reported_size());
        }
        Ok((draft, origin))
    }

    /// Lets the phone fill the draft.
    fn receive(
        &mut self,
        session: &mut Session,
        draft: &mut Draft,
        state: &State,
    ) -> Result<Course, Error> {
        let dialog = Dialog {
            connector: self.connector,
            state,
            options: self.options,
            store: self.store,
            expected: self.expected,
            monitor: self.monitor,
        };
        dialog.hold(session, draft, &mut self.seconds)
    }

    /// Ends the writing, and makes the list of hashes.
    fn complete(&mut self, draft: Draft) -> Result<Complete, Error> {
        let clock = Instant::now();
        self.monitor.phase(Phase::Hashing);
        let mut hashed = 0;
        let complete = draft.complete(&mut || {
            hashed += 1;
            if hashed % 1000 == 0 {
                self.monitor.event(Event::Progress {
                    percent: None,
                    bytes: 0,
                    files: hashed,
                    files_total: None,
                    bytes_total: None,
                });
            }
        })?;
        self.seconds.hashes = clock.elapsed().as_secs_f64();
        if complete.has_lost_list() {
            self.monitor.problem(Problem::LostList.into());
        }
        Ok(complete)
    }

    /// Checks the backup, and tries the password on it.
    fn check(
        &mut self,
        complete: &Complete,
        course: &Course,
        state: &State,
    ) -> Result<Checked, Error> {
        let clock = Instant::now();
        self.monitor.phase(Phase::Checking);
        let password = self.options.password.as_ref();
        let password_opens = check::prove(complete, password, self.monitor);
        let complaints = check::complaints(course);
        let how = verify::Options {
            sums: Some(complete.sums().to_path_buf()),
            fresh_hashes: complete.tally().fresh > 0,
            depth: if self.options.read_again {
                Depth::Bytes
            } else {
                Depth::Quick
            },
            // A wrong password was reported already. It does not make the backup itself worse.
            passwords: password
                .filter(|_| password_opens == Some(true))
                .map(|known| known as _),
            complaints: complaints.clone(),
            ..verify::Options::default()
        };
        let report = check::check(complete, &how, state.will_encrypt, self.monitor)?;
        let opens = password.filter(|_| password_opens == Some(true));
        let missing = check::missing(complete.backup(), report.encrypted, opens);
        let shrunk = check::shrunk(self.store, &self.phone.udid, &report.contents);
        self.seconds.check = clock.elapsed().as_secs_f64();
        Ok(Checked {
            password_opens,
            complaints,
            missing,
            shrunk,
            report,
        })
    }

    /// Makes the report, without the problems and without what only the seal knows.
    fn report(
        &self,
        facts: Facts,
        origin: &Origin,
        course: Course,
        hashes: Tally,
        checked: Checked,
    ) -> Report {
        let udid = &self.phone.udid;
        Report {
            version: 1,
            udid: udid.to_string(),
            phone: facts,
            made_by: concat!("idev-backup ", env!("CARGO_PKG_VERSION")).to_owned(),
            started: time::rfc3339(self.started.0),
            finished: String::new(),
            path: self.store.current_path(udid).display().to_string(),
            full: self.options.full || *origin == Origin::Fresh,
            draft: plan::origin_words(origin),
            encrypted: checked.report.encrypted,
            password_opens: checked.password_opens,
            files: checked.report.files,
            bytes: checked.report.bytes,
            listed: checked.report.listed,
            other_sizes: checked.report.other_sizes,
            received_files: course.received_files,
            received_bytes: course.received_bytes,
            removed_files: course.removed_files,
            hashes,
            contents: checked.report.contents,
            missing: checked.missing,
            shrunk: checked.shrunk,
            problems: Vec::new(),
            complaints: checked.complaints,
            seconds: self.seconds.clone(),
            older: 0,
            dropped: course.dropped,
        }
    }
}

/// Seals the backup, and completes the report.
fn seal(
    complete: Complete,
    report: &mut Report,
    keep: Option<&Policy>,
    started: Instant,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    monitor.phase(Phase::Sealing);
    let now = SystemTime::now();
    report.finished = time::rfc3339(now);
    report.seconds.total = started.elapsed().as_secs_f64();
    let text = serde_json::to_vec_pretty(&report).unwrap_or_default();
    let mut removes = false;
    let moment = jiff::Timestamp::try_from(now).unwrap_or_default();
    let sealed = complete.seal_and_tell(moment, &text, keep, &mut |removal| {
        if !std::mem::replace(&mut removes, true) {
            monitor.phase(Phase::Removing);
        }
        monitor.event(crate::history::change::removing(removal));
    })?;
    report.seconds.sync = sealed.sync.as_secs_f64();
    report.seconds.seal = sealed.renames.as_secs_f64();
    report.seconds.total = started.elapsed().as_secs_f64();
    report.dropped.extend(sealed.dropped);
    report.older = sealed.older;
    if let Some(e) = sealed.untidy {
        let problem = Problem::NotTidied(e);
        report.problems.push(problem.to_string());
        monitor.problem(problem.into());
    }
    Ok(())
}

/// Reports what may hinder the backup and is known before the phone is asked for it.
fn precheck(store: &Store, via: Via, state: &State, monitor: &dyn Monitor) -> Result<(), Error> {
    let free = store.free_space()?;
    if disk::holds_large_files(store.root(), free) == Some(false) {
        monitor.problem(Problem::NoLargeFiles.into());
    }
    if via == Via::Network {
        monitor.note(
            "the phone is connected over Wi-Fi: a cable is faster and stays connected when the \
             phone sleeps"
                .to_owned(),
        );
    }
    if let Some(battery) = state.battery
        && battery < BATTERY_LOW_PERCENT
        && !state.charging
    {
        monitor.note(format!(
            "the phone's battery is at {battery} % and not charging: connect it to power"
        ));
    }
    if state.locked {
        monitor.note(
            "the phone is locked: unlock it, and keep it unlocked until the backup has begun"
                .to_owned(),
        );
    }
    Ok(())
}
