//! Options of the requests that begin a dialog.

/// Old and new backup password of a password change, as UTF-8.
#[derive(Clone, Copy)]
pub struct Passwords<'a> {
    /// The current password; `None` while backups are not encrypted.
    pub old: Option<&'a str>,
    /// The new password; `None` to turn encryption off.
    pub new: Option<&'a str>,
}

/// Options of a restore. We never ask the phone to copy the existing backup: it would write that
/// copy into a backup that must not change any more.
#[derive(Clone, Copy)]
pub struct RestoreOptions<'a> {
    /// Restore the system's own files too, such as messages, calls and accounts. The phone decides
    /// for itself if the backup comes from another class of device.
    pub system_files: bool,
    /// Restart the phone at the end. Restored content appears only after a restart.
    pub reboot: bool,
    /// Keep the phone's own settings.
    pub keep_settings: bool,
    /// Remove content that the backup does not have.
    pub remove_others: bool,
    /// The password of an encrypted backup.
    pub password: Option<&'a str>,
}
