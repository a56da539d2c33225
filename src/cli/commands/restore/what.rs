//! Options about what is restored.

use clap::Args;
use idev_backup::restore::Options;

use crate::cli::args::value_parsers;

/// Options that select what is restored.
#[derive(Args)]
pub struct WhatArgs {
    /// Keep the phone's settings instead of those in the backup
    #[arg(long, help_heading = "What is restored")]
    keep_settings: bool,
    /// Leave out system files, and restore only the data of apps
    #[arg(long, help_heading = "What is restored")]
    no_system_files: bool,
    /// Do not have the phone download the backup's apps from the App Store
    #[arg(long, alias = "no-apps", help_heading = "What is restored")]
    no_app_downloads: bool,
    /// Remove everything from the phone that the backup does not have
    #[arg(long, help_heading = "What is restored")]
    remove_others: bool,
    /// Restore only domains that match this pattern, such as 'AppDomain*com.example*'; may be
    /// repeated; needs --partial-at-my-own-risk
    #[arg(long, value_name = "DOMAIN", help_heading = "What is restored", value_parser = domains)]
    only: Vec<String>,
    /// Restore a part of a backup, which is untested with real phones; never on iOS 27 and later
    #[arg(long, requires = "only", help_heading = "What is restored")]
    partial_at_my_own_risk: bool,
}

impl WhatArgs {
    /// Returns the options in the form that a restore takes.
    pub fn options(&self) -> Options {
        Options {
            keep_settings: self.keep_settings,
            system_files: !self.no_system_files,
            apps: !self.no_app_downloads,
            remove_others: self.remove_others,
            only: self.only.clone(),
            partial_at_own_risk: self.partial_at_my_own_risk,
            ..Options::default()
        }
    }
}

/// Parses a pattern of domains, so that a mistake is found before any data is read.
fn domains(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the pattern is empty and matches no domain".to_owned());
    }
    value_parsers::pattern(text)
}
