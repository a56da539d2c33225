//! Makes a backup: from a phone to a sealed and checked folder.

use std::time::{Instant, SystemTime};

use super::host::{Course, DraftHost};
use super::plan::Begun;
use super::unlisted;
use crate::backup::problem_log::Noted;
use crate::backup::{Error, baseline, info_plist_writer, plan};
use crate::backup_format::plists::Status;
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::time;
use crate::base::udid::Udid;
use crate::base::units::counted;
use crate::device::connector::{Connector, Facts, State};
use crate::device::sync_lock::SyncLock;
use crate::device::{Session, passcode_prompt, trust};
use crate::mobilebackup::error_codes::{self, Refusal};
use crate::mobilebackup::{self, Verdict};
use crate::reader::passwords::Known;
use crate::reader::{self, password_check};
use crate::store::draft::Complete;
use crate::store::{Draft, Origin, Policy, Store, disk};
use crate::transport::{Attached, Via};
use crate::verify::{self, Complaint, Depth, Outcome, Wrong};

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
    let started = (SystemTime::now(), Instant::now());
    // "Stop" on one phone does not stop the backups of the others.
    let connector = &Connector {
        token: connector.token.for_one(),
        ..connector.clone()
    };
    let noted = Noted::new(monitor);
    let monitor: &dyn Monitor = &noted;
    // Checked now, so that missing rights do not show only after an hour of receiving.
    store.check_rights(&phone.udid)?;
    // The disk may have been removed since the store was opened. Its mount point is then an empty
    // folder.
    Store::open_made(store.root())?;
    let lock = store.lock(&phone.udid)?;
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    let facts = Facts::ask(session.lockdown())?;
    let state = State::ask(session.lockdown())?;
    precheck(store, phone.via, &state, monitor)?;

    let clock = Instant::now();
    let begun = plan::begin(store, &phone.udid, options, lock, &connector.token, monitor)?;
    let mut seconds = Seconds {
        clone: clock.elapsed().as_secs_f64(),
        ..Seconds::default()
    };
    plan::announce(&begun, &facts, &state, options, store, monitor);
    let Begun {
        mut draft, origin, ..
    } = begun;

    let dialog = Dialog {
        connector,
        state: &state,
        options,
        store,
        monitor,
    };
    let course = dialog.hold(&mut session, &mut draft, &mut seconds)?;
    if matches!(origin, Origin::Resumed { .. }) {
        unlisted::remove(&mut draft, options.password.as_ref(), monitor)?;
    }
    let clock = Instant::now();
    monitor.phase(Phase::Hashing);
    let mut hashed = 0;
    let complete = draft.complete(&mut || {
        hashed += 1;
        if hashed % 1000 == 0 {
            monitor.event(Event::Progress {
                percent: None,
                bytes: 0,
                files: hashed,
                files_total: None,
            });
        }
    })?;
    seconds.hashes = clock.elapsed().as_secs_f64();
    if complete.has_lost_list() {
        baseline::tell_lost_list(monitor);
    }
    let clock = Instant::now();
    monitor.phase(Phase::Checking);
    let password_opens = prove(&complete, options.password.as_ref(), monitor);
    let complaints = complaints(&course);
    let how = verify::Options {
        sums: Some(complete.sums().to_path_buf()),
        fresh_hashes: complete.tally().fresh > 0,
        depth: if options.read_again {
            Depth::Bytes
        } else {
            Depth::Quick
        },
        // A wrong password was reported already. It does not make the backup itself worse.
        passwords: (options.password.as_ref())
            .filter(|_| password_opens == Some(true))
            .map(|known| known as _),
        complaints: complaints.clone(),
        ..verify::Options::default()
    };
    let checked = check(&complete, &how, state.will_encrypt, monitor)?;
    seconds.check = clock.elapsed().as_secs_f64();

    let mut report = Report {
        version: 1,
        udid: phone.udid.to_string(),
        phone: facts,
        made_by: concat!("idev-backup ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: time::rfc3339(started.0),
        finished: String::new(),
        path: store.current_path(&phone.udid).display().to_string(),
        full: options.full || origin == Origin::Fresh,
        draft: plan::origin_words(&origin),
        encrypted: checked.encrypted,
        password_opens,
        files: checked.files,
        bytes: checked.bytes,
        listed: checked.listed,
        other_sizes: checked.other_sizes,
        received_files: course.received_files,
        received_bytes: course.received_bytes,
        removed_files: course.removed_files,
        hashes: complete.tally(),
        contents: checked.contents,
        problems: noted.problems(),
        complaints,
        seconds,
        older: 0,
        dropped: course.dropped,
    };
    // A backup that cannot be read must not cost one that can.
    if password_opens == Some(false) {
        monitor.note("This run does not drop older backups.".to_owned());
    }
    let keep = Some(options.keep_of(&phone.udid)).filter(|_| password_opens != Some(false));
    seal(complete, &mut report, keep, started.1, monitor)?;
    Ok(report)
}

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
        let text = format!("the backup is complete, but cleaning up afterwards failed: {e}");
        report.problems.push(text.clone());
        monitor.problem(text, e.hint().map(str::to_owned));
    }
    Ok(())
}

/// Reports what may hinder the backup and is known before the phone is asked for it.
fn precheck(store: &Store, via: Via, state: &State, monitor: &dyn Monitor) -> Result<(), Error> {
    let free = store.free_space()?;
    if disk::holds_large_files(store.root(), free) == Some(false) {
        monitor.problem(
            "this disk cannot hold files over 4 GB, such as long videos or large apps".to_owned(),
            Some(
                "format it as exFAT, APFS, NTFS or ext4, or use another disk with --store"
                    .to_owned(),
            ),
        );
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

/// Everything that the dialog with the phone needs.
struct Dialog<'a> {
    connector: &'a Connector,
    state: &'a State,
    options: &'a Options,
    store: &'a Store,
    monitor: &'a dyn Monitor,
}

impl Dialog<'_> {
    /// Runs the dialog inside a sync session, and returns its course.
    fn hold(
        &self,
        session: &mut Session,
        draft: &mut Draft,
        seconds: &mut Seconds,
    ) -> Result<Course, Error> {
        let sync = SyncLock::take(session, &self.connector.token)?;
        self.monitor.phase(Phase::Describing);
        let clock = Instant::now();
        let info = info_plist_writer::make(
            session,
            &self.connector.token,
            self.options.apps,
            self.monitor,
        )?;
        let name = format!("{}/Info.plist", draft.udid());
        let path = name
            .parse()
            .map_err(|e| Error::Dialog(mobilebackup::Error::Hostile(e)))?;
        draft
            .keep(&path, &mut info.as_slice())
            .map_err(|e| store_error(self.store, e))?;
        if let Some((_, e)) = draft.settle()?.into_iter().next() {
            return Err(Error::Store(e));
        }
        seconds.describe = clock.elapsed().as_secs_f64();

        let udid = draft.udid().clone();
        std::thread::scope(|scope| {
            // Start the watch first: the phone does not say when it starts to report its passcode
            // sheet.
            let watch = passcode_prompt::Watch::start(session, self.connector, self.monitor, scope);
            let token = self.connector.token.fork();
            let stream =
                session.service(mobilebackup::SERVICE, &token, self.options.silence_max)?;
            let dialog = mobilebackup::Session::open(stream, token)?;
            let keep = self.options.keep_of(&udid);
            let may_drop = || !self.is_password_wrong_now(&udid);
            let mut host = DraftHost::new(draft, keep, &may_drop, self.monitor);
            let verdict = dialog.backup(udid.as_str(), self.options.full, &mut host);
            let course = host.finish();
            drop(watch);
            // If the phone is gone, its lock is gone as well. The verdict tells what matters.
            drop(sync.release());
            seconds.scan = course.scanning.as_secs_f64();
            seconds.receive = course.receiving.as_secs_f64();
            seconds.finish = course.finishing.as_secs_f64();
            self.judge(verdict, course, draft)
        })
    }

    /// Returns true if the given password is known not to open the current backup. It will then
    /// hardly open the new one.
    fn is_password_wrong_now(&self, udid: &Udid) -> bool {
        let current = self.store.current_path(udid);
        self.options.password.as_ref().is_some_and(|password| {
            let tried = password_check::check(&current, password);
            matches!(tried, Err(reader::Error::WrongPassword { .. }))
        })
    }

    /// Decides whether the draft is now a backup, from the phone's verdict and the draft's
    /// contents.
    fn judge(
        &self,
        verdict: Result<Verdict, mobilebackup::Error>,
        course: Course,
        draft: &Draft,
    ) -> Result<Course, Error> {
        // The clone of the old Status.plist says "finished" too. A resumed draft may hold a new one
        // that the phone sent in the interrupted run.
        let is_new = course.status_came || draft.has_new_status()?;
        let finished = || is_new && Status::read(&draft.backup()).is_ok_and(|s| s.is_finished());
        match verdict {
            Ok(Verdict { code: 0, .. }) => match course.disk_error {
                // The phone did not heed the error that we reported to it.
                Some(e) => Err(Error::Keeping(e)),
                None if is_new => Ok(course),
                None => Err(Error::Dialog(mobilebackup::Error::Strange {
                    doing: "reported that the backup is complete",
                    why: "it has not sent a new Status.plist, so nothing was backed up".to_owned(),
                })),
            },
            Ok(verdict) => Err(refused(&verdict, course, self.state, self.store)),
            Err(mobilebackup::Error::Wire { .. } | mobilebackup::Error::HungUp { .. })
                if finished() && course.disk_error.is_none() && course.arranged =>
            {
                // iOS 26.0.1 was seen to finish the backup and never say so (limd#1735).
                self.monitor.problem(
                    "the connection ended before the phone confirmed the backup; the check of the \
                     received files decides"
                        .to_owned(),
                    None,
                );
                Ok(course)
            }
            // A full disk makes the phone end the dialog in many ways; the cause is ours.
            Err(e) => match course.disk_error {
                Some(cause) if !matches!(e, mobilebackup::Error::Cancelled) => {
                    Err(Error::Keeping(cause))
                }
                _ => Err(Error::Dialog(e)),
            },
        }
    }
}

fn store_error(store: &Store, e: std::io::Error) -> Error {
    Error::Store(crate::store::Error::io("write to", store.root(), e))
}

/// Returns the files that the phone could not read, by their paths in the backup.
fn complaints(course: &Course) -> Vec<Complaint> {
    let complaint = |fault: &mobilebackup::DeviceFault| {
        let below = fault
            .path
            .components()
            .skip(1)
            .filter(|part| *part != "Snapshot");
        Complaint {
            file: below.collect::<Vec<_>>().join("/"),
            device_path: fault.device_path.clone(),
            code: fault.code,
            text: fault.text.clone(),
        }
    };
    course.device_faults.iter().map(complaint).collect()
}

fn refused(verdict: &Verdict, course: Course, state: &State, store: &Store) -> Error {
    if let Some(e) = course.disk_error {
        return Error::Keeping(e);
    }
    let place = store.root().display().to_string();
    let mut refusal: Refusal =
        error_codes::explain(verdict, course.shortage, state.capacity_bytes, &place);
    if !course.device_faults.is_empty() {
        let named: Vec<String> = course
            .device_faults
            .iter()
            .take(5)
            .map(ToString::to_string)
            .collect();
        refusal.evidence = format!("{}\n  {}", refusal.evidence, named.join("\n  "));
    }
    Error::Refused(refusal)
}

/// Checks the backup before it is sealed. Damage is an error, so the backup is not sealed.
fn check(
    complete: &Complete,
    how: &verify::Options,
    will_encrypt: Option<bool>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    let report = verify::look_through(complete.backup(), how, monitor)?;
    if report.outcome == Outcome::Damaged {
        return Err(Error::CheckFailed(Box::new(report)));
    }
    if will_encrypt.is_some_and(|will| will != report.encrypted) {
        let (will, is) = if report.encrypted {
            ("does not encrypt", "is encrypted")
        } else {
            ("encrypts", "is not encrypted")
        };
        monitor.problem(
            format!("the phone reports that it {will} its backups, but this one {is}"),
            Some("check the backup settings in Finder, iTunes or Apple Devices".to_owned()),
        );
    }
    let unlisted = report.findings.iter();
    let unlisted = unlisted.filter(|f| f.wrong == Wrong::Orphaned).count();
    if unlisted > 0 {
        monitor.note(format!(
            "The phone's list does not name {} in the backup; they use disk space but are \
             harmless.",
            counted(unlisted as u64, "file")
        ));
    }
    for finding in report.findings.iter().filter(|f| !f.wrong.is_damage()) {
        let text = format!("{}: {}", finding.name(), finding.detail);
        match finding.wrong {
            Wrong::OtherSize | Wrong::Orphaned => {}
            Wrong::Short => monitor.problem(
                text,
                Some(
                    "check whether it opens on the phone; `idev-backup create --full` asks the \
                     phone for it again"
                        .to_owned(),
                ),
            ),
            _ => monitor.note(text),
        }
    }
    Ok(report)
}

/// Tries the password on the backup. A wrong password is reported as a problem and does not fail
/// the run: the backup holds what the phone sent.
fn prove(complete: &Complete, password: Option<&Known>, monitor: &dyn Monitor) -> Option<bool> {
    const FULL_AGAIN: &str = "restart the phone and run `idev-backup create --full`";
    let (why, hint) = match password_check::check(complete.backup(), password?) {
        Ok(proof) if !proof.encrypted => {
            monitor.note("The password was not needed: this backup is not encrypted.".to_owned());
            return None;
        }
        Ok(proof) if proof.closed_classes.is_empty() => return Some(true),
        Ok(proof) => (
            format!(
                "it does not open the keys of the classes {:?}",
                proof.closed_classes
            ),
            FULL_AGAIN,
        ),
        Err(reader::Error::WrongPassword { .. }) => (
            "the backup is complete, but encrypted with another password".to_owned(),
            "try other passwords with `idev-backup encryption check latest`; if none opens it, \
             set a new one with `idev-backup encryption change` or reset all settings on the \
             phone",
        ),
        // The draft's path no longer exists by the time that the user reads this.
        Err(reader::Error::Metadata { path, why }) => (
            format!("{}: {why}", path.file_name().unwrap_or_default().display()),
            FULL_AGAIN,
        ),
        Err(e) => (e.to_string(), FULL_AGAIN),
    };
    let text = format!("the given password does not open this backup: {why}");
    monitor.problem(text, Some(hint.to_owned()));
    Some(false)
}
