//! The option that selects a phone.

use clap::Args;

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
