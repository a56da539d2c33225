//! Cancellation: a token that ends every wait of a run, and the error by which it ends them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Cancellation token, shared by the caller that cancels and the connections that wait.
///
/// A cancellation takes effect between two messages of the dialog; in the middle of one, both sides
/// would lose synchronization. But a message can hold files of many gigabytes, or never end, so
/// after a few seconds a cancellation takes effect anywhere.
#[derive(Debug, Default)]
pub struct CancelToken {
    cancel: Arc<AtomicBool>,
    /// Flags of the parent tokens, where this token covers only one phone.
    wider: Vec<Arc<AtomicBool>>,
    between_messages: AtomicBool,
    seen: OnceLock<Instant>,
}

/// Longest time that a cancellation waits for the end of a message.
const GRACE: Duration = Duration::from_secs(3);

impl CancelToken {
    /// Creates a token that is cancelled when `cancel` becomes true.
    pub fn new(cancel: Arc<AtomicBool>) -> Arc<CancelToken> {
        Arc::new(CancelToken {
            cancel,
            wider: Vec::new(),
            between_messages: AtomicBool::new(true),
            seen: OnceLock::new(),
        })
    }

    /// Returns a token with the same cancel flags, for another connection with its own position in
    /// its dialog.
    pub(crate) fn fork(&self) -> Arc<CancelToken> {
        Arc::new(CancelToken {
            cancel: self.cancel.clone(),
            wider: self.wider.clone(),
            between_messages: AtomicBool::new(true),
            seen: OnceLock::new(),
        })
    }

    /// Returns a child token, for one phone among several. Cancelling this token also cancels the
    /// child, but not the other way round.
    pub(crate) fn for_one(&self) -> Arc<CancelToken> {
        let mut wider = self.wider.clone();
        wider.push(self.cancel.clone());
        Arc::new(CancelToken {
            cancel: Arc::default(),
            wider,
            between_messages: AtomicBool::new(true),
            seen: OnceLock::new(),
        })
    }

    /// Cancels the token.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    /// Returns true if the token or one of its parents is cancelled.
    pub fn cancelled(&self) -> bool {
        let set = |flag: &Arc<AtomicBool>| flag.load(Ordering::SeqCst);
        set(&self.cancel) || self.wider.iter().any(set)
    }

    /// Records whether the dialog is between two messages, where a wait may be ended at once.
    pub fn set_between_messages(&self, between: bool) {
        self.between_messages.store(between, Ordering::SeqCst);
    }

    /// Returns the error that a cancelled operation reports.
    pub(crate) fn cancellation(&self) -> io::Error {
        cancelled()
    }

    /// Returns true if the operation under way must end now.
    pub(crate) fn stops(&self) -> bool {
        self.cancelled()
            && (self.between_messages.load(Ordering::SeqCst)
                || self.seen.get_or_init(Instant::now).elapsed() > GRACE)
    }
}

/// Marker of an error that [`CancelToken`] caused.
#[derive(Debug)]
struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Cancelled {}

/// Returns true if `error` means that a wait was cancelled.
pub(crate) fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

/// Returns the error of a cancelled wait.
pub(crate) fn cancelled() -> io::Error {
    io::Error::other(Cancelled)
}
