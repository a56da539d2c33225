//! Options of commands that read a backup in the store or in the repository.

use clap::Args;
use idev_backup::base::time;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::Known;
use idev_backup::repository::{self, Choice, Copy, Lists, Restic, choose};

use super::reading::ReadArgs;
use super::repository::RepositorySettings;
use crate::cli::ctrl_c;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// The option that selects the place of a backup.
#[derive(Args, Clone)]
pub struct FromArgs {
    /// The place of the backup, `store` or `repository`. In a repository, the first word is the
    /// backup's id, its time, `latest` or a phone [default: latest]
    #[arg(long, value_name = "PLACE", value_parser = ["store", "repository"], default_value = "store", hide_default_value = true)]
    from: String,
    #[command(flatten)]
    repository: RepositorySettings,
}

impl FromArgs {
    /// Returns true if the backup is in the repository.
    pub fn is_repository(&self) -> bool {
        self.from == "repository"
    }

    /// Finds a backup in the repository, by its name there and its phone.
    pub fn copy(&self, name: Option<&str>, phone: Option<&str>) -> Result<(Restic, Copy), Failure> {
        let restic = self.repository.0.open()?;
        let listing = repository::list(&restic)?;
        match choose(&listing, name.unwrap_or("latest"), phone)? {
            Choice::Ours(copy) => Ok((restic, copy)),
            Choice::Other(stored) => Err(repository::Error::NotPushed(stored.id).into()),
        }
    }
}

/// Fetches the lists of a backup in the repository.
pub fn lists(restic: Restic, copy: &Copy) -> Result<Lists, Failure> {
    let location = restic.access().location.to_string();
    if output::is_terminal() && !output::is_quiet() {
        let name = copy.name.as_ref().unwrap_or(&copy.udid);
        let time = time::when(&copy.time.to_string());
        output::tell(&output::one_line(&format!(
            "Reading the lists of {name}, {time}, from {location}"
        )));
    }
    let lists = repository::lists(restic, &location, copy)?;
    if ctrl_c::is_pressed() {
        return Err(Failure::Interrupted);
    }
    Ok(lists)
}

/// Options that select a backup, wherever it is, and open it.
#[derive(Args, Clone)]
pub struct AnywhereArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    from: FromArgs,
}

impl AnywhereArgs {
    /// Returns the options for a backup in the store, if it is there.
    pub fn in_store(&self) -> Option<&ReadArgs> {
        (!self.from.is_repository()).then_some(&self.read)
    }

    /// Takes the first word away if it names no backup of the store, as
    /// [`ReadArgs::take_word`] does. To find out what a repository holds would need the password
    /// and the network, so there only a word that must be of a file is taken away.
    pub fn take_word(&mut self, rest: &[String]) -> Option<String> {
        match self.in_store() {
            Some(_) => self.read.take_word(rest),
            None => self.read.take_word_if(is_of_files),
        }
    }

    /// Opens the backup. Asks for the password if the backup is encrypted.
    pub fn open(&self) -> Result<Backup, Failure> {
        match self.in_store() {
            Some(read) => read.open(),
            None => Ok(self.lists()?.1.open(self.read.password())?),
        }
    }

    /// Opens the backup for a job that reads only its lists.
    pub fn open_briefly(&self) -> Result<Backup, Failure> {
        let opened = self.open()?;
        // The job does not check if Ctrl-C was pressed.
        ctrl_c::release();
        Ok(opened)
    }

    /// Finds the backup in the repository, and fetches its lists.
    pub fn lists(&self) -> Result<(Copy, Lists), Failure> {
        let (restic, copy) = self.from.copy(self.read.word(), self.read.phone())?;
        let lists = lists(restic, &copy)?;
        Ok((copy, lists))
    }

    /// Returns the backup's password if it was given. Never prompts for it.
    pub fn given_password(&self) -> Result<Option<Known>, Failure> {
        self.read.given_password()
    }
}

/// Returns true if a word is a pattern, a path or a domain, and so never names a backup in a
/// repository.
fn is_of_files(word: &str) -> bool {
    word.contains(['*', '?', '[', '{', '/']) || word.contains("Domain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_domains_name_no_backup() {
        for word in [
            "*.HEIC",
            "HomeDomain",
            "AppDomain-org.videolan.vlc-ios",
            "DCIM/IMG_1.HEIC",
        ] {
            assert!(is_of_files(word), "{word}");
        }
        for word in ["latest", "1a2b3c4d", "2026-11-27 22:14", "Mira's iPhone"] {
            assert!(!is_of_files(word), "{word}");
        }
    }
}
