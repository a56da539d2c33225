//! Options of all commands that read a backup: the backup and its password.

use std::path::PathBuf;

use clap::Args;
use idev_backup::base::time;
use idev_backup::history;
use idev_backup::history::list::{self, Named, Of};
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::Known;
use idev_backup::store::{Snapshot, snapshot};

use super::password::PasswordArgs;
use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::failure::Failure;

/// Options that select a backup and open it.
#[derive(Args, Clone)]
pub struct ReadArgs {
    #[command(flatten)]
    named: NamedArgs,
    #[command(flatten)]
    phone: OfPhoneArgs,
}

impl ReadArgs {
    /// Returns the backup's folder.
    pub fn folder(&self) -> Result<PathBuf, Failure> {
        let named = self.named.find(self.phone.of())?;
        Ok(named.folder)
    }

    /// Returns the folders of all backups of the phone whose backup is named, newest first, each
    /// with its time.
    pub fn snapshots(&self) -> Result<Vec<(PathBuf, Option<String>)>, Failure> {
        let folder = self.folder()?;
        let Some(snapshot) = snapshot::find(&folder) else {
            return Err(history::Error::NotInStore(folder).into());
        };
        let backups = self.named.store.open()?.snapshots_of(snapshot.udid())?;
        let named = |backup: &Snapshot| {
            let date = list::describe(backup).date;
            (
                backup.path().to_path_buf(),
                date.map(|date| time::when(&date)),
            )
        };
        Ok(backups.iter().map(named).collect())
    }

    /// Takes the first word away if it names no backup: it then belongs to `rest`, the words that
    /// follow, and the backup is the current one. A word that could be a mistyped backup stays, so
    /// that the command fails instead of using another backup.
    pub fn take_word(&mut self, rest: &[String]) -> Option<String> {
        let word = self.named.backup.as_deref()?;
        match self.named.find(self.phone.of()) {
            Err(Failure::History(history::Error::NotFound { is_of_files, .. }))
                if is_of_files || (rest.is_empty() && is_plain_name(word)) =>
            {
                self.named.backup.take()
            }
            _ => None,
        }
    }

    /// Takes the first word away if the test says so.
    pub fn take_word_if(&mut self, test: impl FnOnce(&str) -> bool) -> Option<String> {
        self.named.backup.take_if(|word| test(word))
    }

    /// Returns the word that names the backup.
    pub fn word(&self) -> Option<&str> {
        self.named.word()
    }

    /// Returns the phone whose backup is meant, if it is named by an option.
    pub fn phone(&self) -> Option<&str> {
        self.phone.device.as_deref()
    }

    /// Returns the options for the backup's password.
    pub fn password(&self) -> &PasswordArgs {
        &self.named.password
    }

    /// Opens the backup. Asks for the password if the backup is encrypted.
    pub fn open(&self) -> Result<Backup, Failure> {
        Ok(Backup::open(&self.folder()?, self.password())?)
    }

    /// Returns the password if it was given. Never prompts for it.
    pub fn given_password(&self) -> Result<Option<Known>, Failure> {
        self.named.given_password()
    }
}

/// Options that select a backup and its password, for commands that connect to a phone too.
#[derive(Args, Clone)]
pub struct NamedArgs {
    /// The backup: a folder, or in the store a phone's name, `latest`, a date (2026-11-27) or
    /// PHONE@DATE [default: the current backup, if the store has one phone]
    backup: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

impl NamedArgs {
    /// Returns the backup's folder and identity.
    pub fn find(&self, of: Of) -> Result<Named, Failure> {
        // The store is needed only if the backup is not named by its path.
        list::resolve_of(self.store.open(), self.backup.as_deref(), of)
    }

    /// Returns the word that names the backup.
    pub fn word(&self) -> Option<&str> {
        self.backup.as_deref()
    }

    /// Returns the option that names the store.
    pub fn store(&self) -> &StoreArgs {
        &self.store
    }

    /// Returns the options for the backup's password.
    pub fn password(&self) -> &PasswordArgs {
        &self.password
    }

    /// Returns the password if it was given. Never prompts for it.
    pub fn given_password(&self) -> Result<Option<Known>, Failure> {
        Ok(self.password.given()?.map(Known))
    }
}

/// Returns true if a word may be the name of a file or its id, and cannot be a mistyped path, time
/// or phone of a backup.
fn is_plain_name(word: &str) -> bool {
    let is_time = word.chars().all(|c| c.is_ascii_digit() || "-:".contains(c));
    !is_time && word != "latest" && !word.contains(['/', '\\', '@', '~'])
}

/// Splits a name such as "HomeDomain/Library/SMS" into domain and path.
pub fn domain_and_path(name: &str) -> (&str, &str) {
    let name = name.trim_end_matches('/');
    name.split_once('/').unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_paths_are_not_plain_names() {
        for name in [
            "sms.db",
            "IMG_0001.HEIC",
            "3d0d7e5fb2ce288813306e4d4636395e047a3d28",
        ] {
            assert!(is_plain_name(name), "{name}");
        }
        for word in [
            "latest",
            "2026-11-27",
            "20261127-2214",
            "Mira@2026-11-27",
            "/media/old/backup",
            "backups/old",
            "~mira",
        ] {
            assert!(!is_plain_name(word), "{word}");
        }
    }
}
