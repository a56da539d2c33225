//! The dialog of a backup: from the sync lock to the phone's verdict.

use std::time::Instant;

use super::error::Error;
use super::host::{Course, DraftHost};
use super::info_plist_writer;
use super::options::Options;
use super::problem::Problem;
use super::report::Seconds;
use crate::backup_format::plists::Status;
use crate::base::progress::{Monitor, Phase};
use crate::base::udid::Udid;
use crate::device::connector::{Connector, State};
use crate::device::power_assertion::PowerAssertion;
use crate::device::sync_lock::SyncLock;
use crate::device::{self, Session, passcode_prompt};
use crate::mobilebackup::error_codes::{self, Refusal};
use crate::mobilebackup::{self, Verdict};
use crate::reader::{self, password_check};
use crate::store::{Draft, Store};
use crate::transport::Via;

/// Everything that the dialog with the phone needs.
pub(super) struct Dialog<'a> {
    pub(super) connector: &'a Connector,
    pub(super) state: &'a State,
    pub(super) options: &'a Options,
    pub(super) store: &'a Store,
    /// Size of the files that the phone is expected to send, in bytes.
    pub(super) expected: Option<u64>,
    pub(super) monitor: &'a dyn Monitor,
}

impl Dialog<'_> {
    /// Runs the dialog inside a sync session, and returns its course.
    pub(super) fn hold(
        &self,
        session: &mut Session,
        draft: &mut Draft,
        seconds: &mut Seconds,
    ) -> Result<Course, Error> {
        // Held until the phone's verdict: over Wi-Fi, a phone that sleeps leaves the network.
        let _awake = self.keep_awake(session)?;
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
            let host = DraftHost::new(draft, keep, &may_drop, self.monitor);
            let mut host = host.expecting(self.expected);
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

    /// Keeps a phone awake that is reached over Wi-Fi. A refusal is only reported: a phone on power
    /// stays awake without it.
    fn keep_awake(&self, session: &mut Session) -> Result<Option<PowerAssertion>, Error> {
        if session.phone().via != Via::Network {
            return Ok(None);
        }
        match PowerAssertion::hold(session, &self.connector.token) {
            Ok(held) => Ok(Some(held)),
            Err(device::Error::Cancelled) => Err(device::Error::Cancelled.into()),
            Err(e) => {
                self.monitor.problem(Problem::MaySleep(e).into());
                Ok(None)
            }
        }
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
        // that the phone sent in the run that broke off.
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
                self.monitor.problem(Problem::Unconfirmed.into());
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
