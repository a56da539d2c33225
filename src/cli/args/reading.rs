//! Options of all commands that read a backup: the backup and its password.

use std::path::PathBuf;

use clap::Args;
use idev_backup::history::list::{self, Named};
use idev_backup::reader::backup::Opened;
use idev_backup::reader::passwords::Known;

use super::password::PasswordArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::failure::Failure;

/// Which backup, and how to open it.
#[derive(Args, Clone)]
pub struct ReadArgs {
    /// The backup's folder; or in the store: `latest`, a phone, a time, or the beginning of either
    backup: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

impl ReadArgs {
    /// Returns the backup's folder.
    pub fn folder(&self) -> Result<PathBuf, Failure> {
        self.named_of(None).map(|named| named.folder)
    }

    /// Returns the backup's folder and identity; `latest` means that of this phone, if the store
    /// has one of it.
    pub fn named_of(&self, phone: Option<&str>) -> Result<Named, Failure> {
        // Needed only if the backup is not named by its path.
        list::resolve_of(self.store.open(), Some(&self.backup), phone)
    }

    /// Returns the options for the backup's password.
    pub fn password(&self) -> &PasswordArgs {
        &self.password
    }

    /// Opens the backup. Asks for the password if the backup is encrypted.
    pub fn open(&self) -> Result<Opened, Failure> {
        Ok(Opened::open(&self.folder()?, &self.password)?)
    }

    /// Returns the password if it was given. Never prompts for it.
    pub fn given_password(&self) -> Result<Option<Known>, Failure> {
        Ok(self.password.given()?.map(Known))
    }
}

/// Splits a name such as "HomeDomain/Library/SMS" into domain and path.
pub fn domain_and_path(name: &str) -> (&str, &str) {
    let name = name.trim_end_matches('/');
    name.split_once('/').unwrap_or((name, ""))
}
