//! Options of a restore.

use std::path::PathBuf;
use std::time::Duration;

use crate::device::passcode_prompt;
use crate::reader::passwords::Known;
use crate::verify::Depth;

/// The transfer that a restore needs first, of a backup whose files are elsewhere.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Number of files of the backup.
    pub files: u64,
    /// Number of bytes of these files.
    pub bytes: u64,
    /// The folder that receives them.
    pub into: PathBuf,
    /// The bytes that are free there, if the system tells.
    pub free_bytes: Option<u64>,
}

/// Options of a restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep the phone's own settings instead of applying those of the backup.
    pub keep_settings: bool,
    /// Also restore system files: messages, calls, accounts and the like.
    pub system_files: bool,
    /// Send the phone the list of applications, so that it installs them again.
    pub apps: bool,
    /// Remove from the phone what the backup does not have.
    pub remove_others: bool,
    /// Restart the phone at the end. Nothing from the backup appears before that.
    pub reboot: bool,
    /// Wait at most this long for the phone to come back after the restart.
    pub wait_back: Option<Duration>,
    /// Restore only domains that match one of these patterns; empty for all domains.
    pub only: Vec<String>,
    /// Allow a partial restore, although its effect on a real phone is unknown.
    pub partial_at_own_risk: bool,
    /// The depth of the check of the backup before anything is sent.
    pub depth: Depth,
    /// Compare the contents of files with the list of hashes while they are sent, instead of
    /// reading everything before; structure, names and sizes are still checked before. Has no
    /// effect on a backup without a proven list of hashes, on one that an earlier check found
    /// damaged, with [`force`](Options::force), and with [`Depth::Quick`].
    pub compare_while_sending: bool,
    /// Only the lists of the backup are in its folder, so that a dry run cannot check its files.
    pub transfer: Option<Transfer>,
    /// Continue in spite of damage that the phone does not notice
    /// ([`tolerated`](super::tolerated)).
    pub force: bool,
    /// The backup password, if the backup is encrypted.
    pub password: Option<Known>,
    /// Keep the computer awake meanwhile.
    pub stay_awake: bool,
    /// Give up if the phone sends nothing for this long.
    pub silence_max: Duration,
    /// Time to wait for the user to tap "Trust".
    pub trust_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep_settings: false,
            system_files: true,
            apps: true,
            remove_others: false,
            reboot: true,
            wait_back: None,
            only: Vec::new(),
            partial_at_own_risk: false,
            depth: Depth::Deep,
            compare_while_sending: false,
            transfer: None,
            force: false,
            password: None,
            stay_awake: false,
            silence_max: passcode_prompt::WAIT_MAX + Duration::from_secs(60),
            trust_wait: Duration::from_secs(120),
        }
    }
}
