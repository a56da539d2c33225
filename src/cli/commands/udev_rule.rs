//! `idev-backup udev-rule`

use clap::Args;
use idev_backup::transport::udev_rule::{FILE, RULE};

use crate::cli::exit;
use crate::cli::render::output::Lines;

/// Print the udev rule that lets you use phones over USB without a daemon (Linux)
///
/// Example:  idev-backup udev-rule | sudo tee /etc/udev/rules.d/70-idev-backup.rules
///           sudo udevadm control --reload
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct UdevRule {}

impl UdevRule {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let mut lines = Lines::new();
        lines.text(file().as_bytes());
        lines.end(exit::DONE)
    }
}

/// Returns the content of the rule's file, with a comment on its purpose.
fn file() -> String {
    format!(
        "# Gives users access to iPhones and iPads without a daemon (idev-backup): the user who is\n\
         # logged in at this computer (uaccess) and members of the group plugdev, for example over\n\
         # ssh. Install it with\n\
         #   idev-backup udev-rule | sudo tee {FILE}\n\
         #   sudo udevadm control --reload\n\
         # and plug the phone in again. Debian's 39-usbmuxd.rules gives phones to usbmuxd's own user\n\
         # and leaves them unconfigured (bConfigurationValue=0). This rule has a later name and gives\n\
         # them to users instead; idev-backup configures them itself.\n\
         {RULE}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the file has one rule and else only comments: udev reports any other line as an
    /// error.
    #[test]
    fn file_has_comments_and_rule() {
        let file = file();
        let rules: Vec<&str> = file.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(rules, [RULE]);
    }
}
