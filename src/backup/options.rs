//! Options of a backup run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::udid::Udid;
use crate::device::passcode_prompt;
use crate::reader::passwords::Known;
use crate::store::{Policy, retention};

/// Options of a backup run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Asks the phone for a full backup, ignoring any existing one.
    pub full: bool,
    /// Retention rules: they decide which snapshots stay beside the current backup.
    pub keep: Policy,
    /// Retention rules of single phones, which replace `keep` for them.
    pub keep_of: BTreeMap<Udid, Policy>,
    /// List the applications in Info.plist.
    pub apps: bool,
    /// Read every byte of the finished backup once more before it is sealed.
    pub read_again: bool,
    /// Give up if the phone sends nothing for this long.
    pub silence_max: Duration,
    /// Longest wait for the owner to tap "Trust" on the phone.
    pub trust_wait: Duration,
    /// The backup password. It is tried on the new backup before that is sealed.
    pub password: Option<Known>,
}

impl Options {
    /// Returns the retention rules that apply to this phone.
    pub(super) fn keep_of(&self, udid: &Udid) -> &Policy {
        retention::own(&self.keep_of, udid).unwrap_or(&self.keep)
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            full: false,
            keep: Policy::default(),
            keep_of: BTreeMap::new(),
            apps: true,
            read_again: false,
            // The phone may wait this long for a passcode, and may send nothing for 15 minutes when
            // no passcode is needed.
            silence_max: passcode_prompt::WAIT_MAX + Duration::from_secs(60),
            trust_wait: Duration::from_secs(120),
            password: None,
        }
    }
}
