//! The option that selects a phone.

use clap::Args;
use idev_backup::history::list::Of;

/// Parses a phone's UDID or name.
pub(crate) fn phone_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err("expected a phone's UDID or name, or the beginning of either".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// The option that selects a phone.
#[derive(Args, Clone)]
pub(crate) struct DeviceArgs {
    /// The phone: its UDID or name, or the beginning of either; not needed if only one is connected
    #[arg(long, short, value_name = "PHONE", env = "IDEV_BACKUP_DEVICE", value_parser = phone_text)]
    pub(crate) device: Option<String>,
}

/// The option that selects the phone whose backup is meant. Neither a variable nor the config file
/// sets it: those name the phone to connect to.
#[derive(Args, Clone)]
pub(crate) struct OfPhoneArgs {
    /// The phone whose backups are meant: its UDID or name, or the beginning of either
    #[arg(long, short, value_name = "PHONE", value_parser = phone_text)]
    pub(crate) device: Option<String>,
}

impl OfPhoneArgs {
    /// Returns the phone for a search.
    pub(crate) fn of(&self) -> Of<'_> {
        self.device.as_deref().map_or(Of::Any, Of::Only)
    }
}
