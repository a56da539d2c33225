//! Runs the part of a restore that the phone controls: from the request to its verdict, and to the
//! end of its restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::host::{Course, SnapshotHost};
use super::left::Left;
use super::options::Options;
use super::problem::Problem;
use super::sent_hashes::SentHashes;
use crate::base::cancel::CancelToken;
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::units::{count, counted};
use crate::device::connector::{Connector, Facts};
use crate::device::sync_lock::SyncLock;
use crate::device::{self, Session, passcode_prompt};
use crate::mobilebackup::{self, RestoreOptions, Verdict, error_codes};
use crate::reader;
use crate::restore::subject::Source;
use crate::restore::{Error, app_list, partial};
use crate::store::restore_overlay::Overlay;
use crate::store::sums_index::SumsIndex;
use crate::transport::Attached;

/// Time between two checks for a phone that restarts.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// Time limit for removing the list of applications from the phone.
const TAKE_BACK_MAX: Duration = Duration::from_secs(5);
/// A phone that is still connected after this time is not restarting.
const GONE_AFTER: Duration = Duration::from_secs(120);

/// The arguments of a restore dialog.
pub(super) struct Job<'a> {
    pub(super) connector: &'a Connector,
    pub(super) phone: &'a Attached,
    pub(super) folder: &'a Path,
    pub(super) source: &'a Source,
    /// Free space in bytes that the phone reported beforehand.
    pub(super) free_bytes: Option<u64>,
    pub(super) options: &'a Options,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) files_total: Option<u64>,
    /// True if the phone is not expected to ask for all files.
    pub(super) takes_less: bool,
    /// The list to show the phone instead of the backup's own.
    pub(super) list: Option<&'a Path>,
    /// The index of the hashes to compare the files with while they are sent.
    pub(super) index: Option<SumsIndex>,
}

impl Job<'_> {
    /// Runs the restore inside a sync session. Returns what happened, and true if the list of
    /// applications was sent.
    pub(super) fn run(
        mut self,
        session: &mut Session,
        problems: &mut Vec<String>,
    ) -> Result<(Course, bool), Error> {
        self.monitor.phase(Phase::Preparing);
        let sync = SyncLock::take(session, &self.connector.token)?;
        let has_apps = self.hand_apps_over(session, problems)?;
        let index = self.index.take();
        let ended = self.dialog(session, index);
        let judged = ended.and_then(|(verdict, course)| self.judge(verdict, course, problems));
        match &judged {
            Err(e) if has_apps && may_have_taken(e) => self.monitor.note(
                "The list of applications stays on the phone, because the phone may have accepted \
                 the backup; the next restore replaces or removes it."
                    .to_owned(),
            ),
            Err(_) if has_apps => self.take_apps_back(),
            _ => {}
        }
        // If the phone is gone, there is nothing to unlock. The verdict is what matters.
        drop(sync.release());
        judged.map(|course| (course, has_apps))
    }

    fn dialog(
        &self,
        session: &mut Session,
        index: Option<SumsIndex>,
    ) -> Result<(Result<Verdict, mobilebackup::Error>, Course), Error> {
        let target = self.phone.udid.as_str();
        // A backup that does not tell its phone is assumed to be of this one.
        let source = self.source.udid.as_deref().unwrap_or(target);
        let password = self.options.password.as_ref();
        let password = password
            .filter(|_| self.source.encrypted)
            .map(|known| std::str::from_utf8(known.0.expose()))
            .transpose()
            .map_err(|_| reader::Error::NoPassword {
                why: "the password is not valid UTF-8, and phones do not accept others".to_owned(),
            })?;
        let how = RestoreOptions {
            system_files: self.options.system_files,
            reboot: self.options.reboot,
            keep_settings: self.options.keep_settings,
            remove_others: self.options.remove_others,
            password,
        };
        std::thread::scope(|scope| {
            // Started first, because the phone does not confirm when it begins to announce its
            // passcode sheet.
            let watch = passcode_prompt::Watch::start(session, self.connector, self.monitor, scope);
            let token = self.connector.token.fork();
            let silence_max = self.options.silence_max;
            let stream = session.service(mobilebackup::SERVICE, &token, silence_max)?;
            let dialog =
                mobilebackup::Session::open(stream, token).map_err(|cause| Error::Dialog {
                    cause,
                    left: Left::AsItWas,
                })?;
            let mut overlay = Overlay::new(self.folder, source);
            if let Some(list) = self.list {
                let shown = format!("{source}/Manifest.db").parse();
                let shown = shown.map_err(|e| Error::Dialog {
                    cause: mobilebackup::Error::Hostile(e),
                    left: Left::AsItWas,
                })?;
                let place = overlay.show(&shown, list.to_path_buf());
                place.map_err(|e| Error::Store(crate::store::Error::io("show", list, e)))?;
            }
            let hashes = index.map(SentHashes::new);
            let takes_all = !self.takes_less && self.list.is_none();
            let bytes = Some(self.source.bytes).filter(|bytes| takes_all && *bytes > 0);
            let mut host =
                SnapshotHost::new(overlay, self.files_total, hashes, self.monitor).expecting(bytes);
            let verdict = dialog.restore(source, target, &how, &mut host);
            let course = host.finish();
            drop(watch);
            Ok((verdict, course))
        })
    }

    /// Turns the verdict into a result. Only the phone's word counts as success.
    fn judge(
        &self,
        verdict: Result<Verdict, mobilebackup::Error>,
        course: Course,
        problems: &mut Vec<String>,
    ) -> Result<Course, Error> {
        let left = left_after(&course, self.options.reboot);
        if course
            .sent
            .as_ref()
            .is_some_and(|sent| !sent.altered.is_empty())
        {
            // Whatever the phone answered, the backup is damaged. The caller reports that.
            return Ok(course);
        }
        match verdict {
            Ok(Verdict { code: 0, .. }) => {
                // The phone received an error for each of these files and ignored it.
                for (names, is_absent) in [(&course.unread, false), (&course.absent, true)] {
                    if let Some(first) = names.first() {
                        let problem = Problem::NotSent {
                            files: names.len(),
                            is_absent,
                            first: first.clone(),
                        };
                        self.problem(problem, problems);
                    }
                }
                self.judge_amount(&course, problems)?;
                Ok(course)
            }
            Ok(verdict) => {
                let need = error_codes::Need {
                    backup_bytes: self.source.bytes,
                    free_bytes: self.free_bytes,
                };
                let mut refusal = error_codes::explain_restore(&verdict, need);
                let named = course.unread.iter().chain(&course.absent).take(5);
                for name in named {
                    refusal
                        .evidence
                        .push_str(&format!("\n  it asked for {name}"));
                }
                Err(Error::Refused { refusal, left })
            }
            Err(cause) => Err(Error::Dialog { cause, left }),
        }
    }

    /// Checks that a phone that reports success has asked for the files that the list names.
    fn judge_amount(&self, course: &Course, problems: &mut Vec<String>) -> Result<(), Error> {
        let listed = self.files_total.unwrap_or(0);
        if listed > 0 && course.sent_files == 0 {
            return Err(Error::NothingTaken { listed });
        }
        // The caller has already reported the files that could not be sent.
        let told = (course.unread.len() + course.absent.len()) as u64;
        if course.sent_files.saturating_add(told) >= listed {
            return Ok(());
        }
        if self.takes_less {
            self.monitor.note(format!(
                "The phone asked for {} of the {} that the backup's list names: system files were \
                 left out.",
                count(course.sent_files),
                counted(listed, "file")
            ));
            return Ok(());
        }
        let sent = course.sent_files;
        self.problem(Problem::FewerAsked { sent, listed }, problems);
        Ok(())
    }

    /// Sends the list of applications and returns true if the phone has it. Otherwise removes any
    /// list from the phone: a truncated one, or one from an earlier run.
    fn hand_apps_over(
        &self,
        session: &mut Session,
        problems: &mut Vec<String>,
    ) -> Result<bool, Error> {
        // A partial restore lists only the applications whose data it contains.
        let domains = partial::domains(self.options)?;
        let is_wanted = |domain: &str| domains.as_ref().is_none_or(|set| set.is_match(domain));
        let list = if self.options.apps {
            app_list::list(self.folder, is_wanted)
        } else {
            Ok(None)
        };
        let handed = match list {
            Ok(None) => {
                return match app_list::take_back(session, &self.connector.token) {
                    Ok(()) => Ok(false),
                    Err(device::Error::Cancelled) => Err(Error::Interrupted),
                    Err(e) => {
                        self.monitor.note(format!(
                            "It is unknown whether the phone still has a list of applications of \
                             an earlier restore: {e}"
                        ));
                        Ok(false)
                    }
                };
            }
            Ok(Some(list)) => match app_list::hand_over(session, &self.connector.token, &list) {
                Ok(()) => return Ok(true),
                Err(device::Error::Cancelled) => {
                    self.take_apps_back();
                    return Err(Error::Interrupted);
                }
                Err(e) => e.to_string(),
            },
            Err(why) => format!("Info.plist: {why}"),
        };
        self.take_apps_back();
        self.problem(Problem::NoApps { why: handed }, problems);
        Ok(false)
    }

    /// Reports a problem that does not make the restore fail.
    fn problem(&self, problem: Problem, problems: &mut Vec<String>) {
        problems.push(problem.to_string());
        self.monitor.problem(problem.into());
    }

    /// Removes the list of applications, in a new session: the old one may have been lost with the
    /// connection, and its waits fail once the user has interrupted.
    fn take_apps_back(&self) {
        self.monitor
            .note("Removing the list of applications from the phone.".to_owned());
        let token = CancelToken::new(Arc::default());
        let connector = self.connector.with_token(token.clone());
        let taken = within(TAKE_BACK_MAX, &token, || {
            let mut session = connector.session(self.phone)?;
            app_list::take_back(&mut session, &token).map_err(Error::from)
        });
        if taken.is_err() {
            self.monitor.note(
                "The list of applications on the phone could not be removed. It has no effect \
                 until a restore is complete, and the next restore replaces or removes it."
                    .to_owned(),
            );
        }
    }
}

/// Returns true if the phone may have accepted the backup without its verdict reaching us.
fn may_have_taken(error: &Error) -> bool {
    matches!(
        error,
        Error::Dialog {
            left: Left::All { .. },
            ..
        }
    )
}

/// Calls `job`, and cancels `token` after `limit`, so that the job ends whatever the phone does.
fn within<T>(limit: Duration, token: &CancelToken, job: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let (end, ended) = channel::<()>();
        scope.spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                token.cancel();
            }
        });
        let done = job();
        drop(end);
        done
    })
}

/// Waits until a restarting phone is connected again and answers. Returns `None` if the user
/// interrupts the wait.
pub(super) fn await_return(
    connector: &Connector,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<Option<bool>, Error> {
    monitor.phase(Phase::Restarting);
    let began = Instant::now();
    let mut is_gone = false;
    while began.elapsed() < limit {
        if connector.token.cancelled() {
            // The restore itself is done, and nothing is lost by not waiting.
            monitor.note("The program stops waiting; the phone continues on its own.".to_owned());
            return Ok(None);
        }
        let now = connector.phones().unwrap_or_default();
        let now = now.into_iter().find(|p| p.udid == phone.udid);
        match now {
            None => is_gone = true,
            // The daemon assigns a new number whenever a phone is connected.
            Some(now) if is_gone || now.device_id != phone.device_id => {
                let answers = connector
                    .lockdown(&now)
                    .and_then(|mut lockdown| Facts::ask(&mut lockdown));
                if answers.is_ok() {
                    return Ok(Some(true));
                }
            }
            Some(_) if began.elapsed() > GONE_AFTER => return Ok(Some(false)),
            Some(_) => {}
        }
        monitor.event(Event::Progress {
            percent: None,
            bytes: 0,
            files: 0,
            files_total: None,
            bytes_total: None,
        });
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(Some(false))
}

/// Returns the state in which the phone is left after this course of the dialog.
pub(super) fn left_after(course: &Course, reboots: bool) -> Left {
    match course.sent_files {
        0 => Left::AsItWas,
        _ if course.asked_all => Left::All { reboots },
        files => Left::Partly { files },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_determines_phone_state() {
        for (sent_files, asked_all, left) in [
            (0, false, Left::AsItWas),
            (0, true, Left::AsItWas),
            (9, false, Left::Partly { files: 9 }),
            (10, true, Left::All { reboots: true }),
        ] {
            let course = Course {
                sent_files,
                asked_all,
                ..Course::default()
            };
            assert_eq!(left_after(&course, true), left);
            assert!(!left.to_string().is_empty());
        }
    }

    /// Checks that the job is cancelled after the limit, and that a job that ends earlier is not
    /// cancelled.
    #[test]
    fn wait_for_silent_phone_ends() {
        let token = CancelToken::new(Arc::default());
        within(Duration::from_millis(20), &token, || {
            while !token.stops() {
                std::thread::yield_now();
            }
        });
        let token = CancelToken::new(Arc::default());
        within(Duration::from_secs(3600), &token, || ());
        assert!(!token.cancelled());
    }
}
