//! `idev-backup udev-rule`

use clap::Args;
use idev_backup::transport::udev_rule;

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
        lines.text(udev_rule::file().as_bytes());
        lines.end(exit::DONE)
    }
}
