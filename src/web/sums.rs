//! Adds up all files of a backup: the space that they use, and what is missing. A thread does it,
//! so that the page need not wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::fail::Fail;
use super::site::{Opened, locked};
use crate::reader::Error;
use crate::reader::backup::Backup;
use crate::reader::missing::{self, Gap};
use crate::reader::passwords::NoPasswords;
use crate::reader::usage::{self, Steps};

/// Time for which a page waits. A list of some ten thousand files takes less.
const WAIT: Duration = Duration::from_millis(150);

/// The sums of a backup, once they are known.
#[derive(Default)]
pub(super) struct Sums {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Unknown,
    /// A thread adds them up.
    Busy,
    Known(Arc<Known>),
    Failed(String),
}

/// The sums of a backup.
pub(super) struct Known {
    /// The space that kinds and apps use.
    pub(super) usage: usage::Report,
    /// Data that the backup lacks.
    pub(super) missing: Vec<Gap>,
}

/// Returns the sums of a backup; `None` if they take longer than a page waits.
pub(super) fn soon(opened: &Arc<Opened>) -> Result<Option<Arc<Known>>, Fail> {
    let sums = opened.sums();
    let mut state = locked(&sums.state);
    if matches!(*state, State::Unknown) {
        *state = State::Busy;
        let opened = opened.clone();
        let work = move || {
            let read = catch_unwind(AssertUnwindSafe(|| read(&opened)));
            let sums = opened.sums();
            *locked(&sums.state) = match read {
                Ok(Ok(known)) => State::Known(Arc::new(known)),
                Ok(Err(e)) => State::Failed(e.to_string()),
                Err(_) => State::Failed("an internal error occurred".to_owned()),
            };
            sums.changed.notify_all();
        };
        let started = thread::Builder::new().name("sums".to_owned()).spawn(work);
        if let Err(e) = started {
            *state = State::Failed(e.to_string());
        }
    }
    let is_busy = |state: &mut State| matches!(state, State::Busy);
    let waited = sums.changed.wait_timeout_while(state, WAIT, is_busy);
    let (state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*state {
        State::Unknown | State::Busy => Ok(None),
        State::Known(known) => Ok(Some(known.clone())),
        State::Failed(why) => Err(Fail::Unreadable(why.clone())),
    }
}

fn read(opened: &Opened) -> Result<Known, Error> {
    if !opened.is_encrypted() {
        // A second look at the list keeps pages from waiting.
        let backup = Backup::open(opened.folder(), &NoPasswords)?;
        return Ok(Known {
            usage: usage::usage(&backup)?,
            missing: missing::missing(&backup)?,
        });
    }
    // The list is decrypted once, and pages use it between the steps.
    let mut steps = Steps::begin();
    while steps.step(&opened.backup())? {}
    let backup = opened.backup();
    Ok(Known {
        usage: steps.report(&backup)?,
        missing: missing::missing(&backup)?,
    })
}
