//! Watches for the phone's passcode sheet during a backup, a restore, or a change of the backup
//! password.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::progress::{Event, Monitor, Wait};
use crate::device::connector::Connector;
use crate::device::notifications::{self, Notifications};
use crate::device::{Error, Session};

/// The longest time that a phone waits for the passcode (iOS 26; iOS 16.1 waits three minutes).
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30 * 60);

/// The passcode sheet will not be noticed.
#[derive(Debug, thiserror::Error)]
#[error("the phone's passcode prompt will not be announced: {0}")]
struct Unannounced(#[source] Error);

/// Listens for the passcode sheet, on a connection and a thread of its own, until it is dropped.
pub(crate) struct Watch<'scope> {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Watch<'scope> {
    /// Starts to listen. Call this before the backup is requested: the phone does not repeat
    /// notifications that it sent earlier.
    pub(crate) fn start<'env: 'scope>(
        session: &mut Session,
        connector: &Connector,
        monitor: &'env dyn Monitor,
        scope: &'scope std::thread::Scope<'scope, 'env>,
    ) -> Watch<'scope> {
        let stop = Arc::new(AtomicBool::new(false));
        let opened = Notifications::open(session, &CancelToken::new(stop.clone())).and_then(
            |mut notifications| {
                for name in [
                    notifications::PASSCODE_SHEET_UP,
                    notifications::PASSCODE_SHEET_GONE,
                    notifications::CANCEL_REQUEST,
                ] {
                    notifications.observe(name)?;
                }
                Ok(notifications)
            },
        );
        let cancel = connector.token.clone();
        let thread = match opened {
            Ok(notifications) => {
                let thread = std::thread::Builder::new().name("passcode".to_owned());
                thread
                    .spawn_scoped(scope, move || watch(notifications, &cancel, monitor))
                    .ok()
            }
            Err(e) => {
                monitor.problem(Unannounced(e).into());
                None
            }
        };
        Watch { stop, thread }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn watch(mut notifications: Notifications, cancel: &CancelToken, monitor: &dyn Monitor) {
    let mut up = false;
    // Ends when the connection does, or when the watch is dropped.
    while let Ok(Some(name)) = notifications.next_name() {
        match name.as_str() {
            notifications::PASSCODE_SHEET_UP if !up => {
                up = true;
                monitor.event(Event::Waiting {
                    what: Wait::Passcode,
                    limit_seconds: WAIT_MAX.as_secs(),
                });
            }
            notifications::PASSCODE_SHEET_GONE if up => {
                up = false;
                monitor.event(Event::WaitOver {
                    what: Wait::Passcode,
                });
            }
            notifications::CANCEL_REQUEST => {
                monitor.note("it was cancelled on the phone".to_owned());
                cancel.cancel();
            }
            _ => {}
        }
    }
    if up {
        monitor.event(Event::WaitOver {
            what: Wait::Passcode,
        });
    }
}
