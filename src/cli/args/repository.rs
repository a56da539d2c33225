//! Options that name a repository, its password and the program that keeps it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::secret::Secret;
use idev_backup::base::units::parse_span;
use idev_backup::repository::{Access, Location, Restic, Waits};

use super::keyring;
use super::password;
use super::store::path_parser;
use super::value_parsers::{self, PATIENCE};
use crate::cli::ctrl_c;
use crate::cli::failure::Failure;

/// Name of the repository's password in the credential store.
const KEYRING_NAME: &str = "repository";

/// Options that select a repository.
#[derive(Args, Clone)]
pub struct RepositoryArgs {
    /// The repository: a folder, or `sftp:`, `rest:`, `s3:`, `b2:`, `azure:`, `gs:`, `swift:`,
    /// `rclone:` and a place there, as restic writes it [default: the variable RESTIC_REPOSITORY]
    #[arg(
        long,
        value_name = "PLACE",
        env = "IDEV_BACKUP_REPOSITORY_LOCATION",
        hide_env_values = true
    )]
    repository: Option<OsString>,
    /// Read the repository's password from the first line of this file; `-` is standard input
    /// [default: the variable RESTIC_PASSWORD_FILE]
    #[arg(long, value_name = "FILE", env = "IDEV_BACKUP_REPOSITORY_PASSWORD_FILE", value_parser = path_parser())]
    repository_password_file: Option<PathBuf>,
    /// Run this command and use the first line that it prints as the repository's password
    /// [default: the variable RESTIC_PASSWORD_COMMAND]
    #[arg(
        long,
        value_name = "COMMAND",
        env = "IDEV_BACKUP_REPOSITORY_PASSWORD_COMMAND"
    )]
    repository_password_command: Option<OsString>,
    /// Read the repository's password of this name from the system's credential store [see
    /// `idev-backup encryption remember`]
    #[arg(
        long,
        value_name = "NAME",
        env = "IDEV_BACKUP_REPOSITORY_PASSWORD_KEYRING",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = KEYRING_NAME
    )]
    repository_password_keyring: Option<String>,
    /// The program restic, by its path or name
    #[arg(
        long,
        value_name = "PROGRAM",
        env = "IDEV_BACKUP_REPOSITORY_RESTIC",
        default_value = "restic"
    )]
    restic: OsString,
    /// An option of a storage for restic's `-o`, such as `sftp.args=-p 2222`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    restic_option: Vec<String>,
    /// Limit uploads to this rate in KiB/s
    #[arg(long, value_name = "RATE", env = "IDEV_BACKUP_REPOSITORY_LIMIT_UPLOAD", value_parser = value_parsers::count)]
    limit_upload: Option<u32>,
    /// Limit downloads to this rate in KiB/s
    #[arg(long, value_name = "RATE", env = "IDEV_BACKUP_REPOSITORY_LIMIT_DOWNLOAD", value_parser = value_parsers::count)]
    limit_download: Option<u32>,
    /// Give up if restic shows no progress for this long
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_REPOSITORY_PATIENCE", default_value = PATIENCE, value_parser = value_parsers::repository_patience)]
    repository_patience: std::time::Duration,
    /// Try again up to N times after a lost connection
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parsers::count)]
    repository_retry: u32,
}

/// Options of a repository for commands that work on one only if the settings say so. The help does
/// not list them there.
#[derive(Clone)]
pub struct RepositorySettings(pub RepositoryArgs);

impl Args for RepositorySettings {
    fn augment_args(command: Command) -> Command {
        let own = RepositoryArgs::augment_args(Command::default());
        let hidden = own.get_arguments().map(|arg| arg.clone().hide(true));
        command.args(hidden)
    }

    fn augment_args_for_update(command: Command) -> Command {
        RepositorySettings::augment_args(command)
    }
}

impl FromArgMatches for RepositorySettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        RepositoryArgs::from_arg_matches(matches).map(RepositorySettings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Options of commands that report the age of the last copy elsewhere.
#[derive(Args, Clone)]
pub struct CopiesArgs {
    /// Report a backup as overdue if it waits longer than this for its push to the repository
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_REPOSITORY_OVERDUE_AFTER", default_value = "7d", value_parser = parse_span)]
    pub copy_overdue_after: Duration,
    #[command(flatten)]
    settings: RepositorySettings,
}

impl CopiesArgs {
    /// Returns the place of the repository that the settings name, if they do.
    pub fn place(&self) -> Result<Option<Location>, Failure> {
        let args = &self.settings.0;
        let is_named = args.repository.is_some()
            || variable("RESTIC_REPOSITORY").is_some()
            || variable("RESTIC_REPOSITORY_FILE").is_some();
        is_named.then(|| args.place()).transpose()
    }

    /// Returns that place without a password, as the store's notes have it.
    pub fn location(&self) -> Result<Option<String>, Failure> {
        Ok(self.place()?.map(|place| place.to_string()))
    }
}

/// Names the options of the repository's password instead of those of a backup's.
fn of_repository(failure: Failure) -> Failure {
    match failure {
        Failure::NoPassword { why } => Failure::NoRepositoryPassword { why },
        other => other,
    }
}

impl RepositoryArgs {
    /// Returns the repository with the password that it has. Prompts for it if nothing gives it.
    pub fn open(&self) -> Result<Restic, Failure> {
        let location = self.place()?;
        let password = match self.given()? {
            Some(password) => password,
            None => password::prompt(&format!("Password of the repository {location}: "))
                .map(|typed| trimmed(&typed))
                .map_err(of_repository)?,
        };
        self.with(location, password)
    }

    /// Returns the repository for a run without a user: fails if nothing gives the password.
    pub fn open_unattended(
        &self,
        waits: &Waits,
        cancel: Arc<CancelToken>,
    ) -> Result<Restic, Failure> {
        let location = self.place()?;
        let none = || Failure::Command {
            what: format!("nothing gives the password of the repository {location}"),
            hint: "name a file that only you can read: `idev-backup config set \
                repository.password-file FILE`"
                .to_owned(),
        };
        let password = self.given()?.ok_or_else(none)?;
        let mut access = self.access(location, password);
        access.cancel = cancel;
        access.waits = Waits {
            silence_max: self.repository_patience,
            ..waits.clone()
        };
        Ok(Restic::new(access)?)
    }

    /// Returns the repository that is about to be made. Prompts twice for its password if nothing
    /// gives it; before that, `explain` tells the user what the password means.
    pub fn planned(&self, explain: impl FnOnce(&Location)) -> Result<Restic, Failure> {
        let location = self.place()?;
        explain(&location);
        let password = match self.given()? {
            Some(password) => password,
            None => password::prompt_twice("New password of the repository")
                .map(|typed| trimmed(&typed))
                .map_err(of_repository)?,
        };
        self.with(location, password)
    }

    fn with(&self, location: Location, password: Secret) -> Result<Restic, Failure> {
        Ok(Restic::new(self.access(location, password))?)
    }

    fn access(&self, location: Location, password: Secret) -> Access {
        let mut access = Access::new(location, password, CancelToken::new(ctrl_c::interrupt()));
        access.program = absolute(&self.restic);
        access.options.clone_from(&self.restic_option);
        access.limit_upload = self.limit_upload;
        access.limit_download = self.limit_download;
        access.waits = Waits {
            silence_max: self.repository_patience,
            retries: self.repository_retry,
            ..Waits::default()
        };
        access
    }

    /// Returns the place of the repository.
    pub fn place(&self) -> Result<Location, Failure> {
        let named = self.repository.clone().filter(|text| !text.is_empty());
        let text = match named.or_else(|| variable("RESTIC_REPOSITORY")) {
            Some(text) => text,
            None => match variable("RESTIC_REPOSITORY_FILE") {
                Some(file) => first_line(Path::new(&file))?,
                None => {
                    return Err(Failure::Command {
                        what: "no repository is named".to_owned(),
                        hint: "name one with --repository, or once for all commands: \
                            `idev-backup config set repository.location PLACE`"
                            .to_owned(),
                    });
                }
            },
        };
        let location = Location::new(text);
        let Some(folder) = location.folder() else {
            return Ok(location);
        };
        // restic works in another folder, so a relative path would mean another place.
        let wrong = |what: String| Failure::Command {
            what,
            hint: "write the absolute path of the folder".to_owned(),
        };
        let folder = super::store::path(folder.into_os_string()).map_err(wrong)?;
        Ok(Location::new(super::store::whole(&folder)?))
    }

    /// Returns the password if it was given by file, command, credential store or environment.
    fn given(&self) -> Result<Option<Secret>, Failure> {
        if let Some(name) = &self.repository_password_keyring {
            return keyring::recall(name).map(Some);
        }
        let file = self.repository_password_file.as_ref();
        let command = self.repository_password_command.as_ref();
        if let Some(password) = password::of(file, command)? {
            return Ok(Some(trimmed(&password)));
        }
        let file = variable("RESTIC_PASSWORD_FILE").map(PathBuf::from);
        let command = variable("RESTIC_PASSWORD_COMMAND");
        match password::of(file.as_ref(), command.as_ref())? {
            Some(password) => Ok(Some(trimmed(&password))),
            None => password::of_environment("RESTIC_PASSWORD"),
        }
    }
}

/// Removes the blanks around a password, as restic does with that of a file or a command. The same
/// password then works with restic, and from each source.
pub fn trimmed(password: &Secret) -> Secret {
    Secret::new(password.expose().trim_ascii().to_vec())
}

/// Returns the value of a variable, unless it is empty.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the absolute path of a program that is named by its path, since restic works in another
/// folder.
fn absolute(program: &OsString) -> OsString {
    let path = Path::new(program);
    if path.components().count() < 2 {
        return program.clone();
    }
    std::path::absolute(path).map_or_else(|_| program.clone(), PathBuf::into_os_string)
}

fn first_line(file: &Path) -> Result<OsString, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::Command {
        what: format!(
            "cannot read RESTIC_REPOSITORY_FILE ({}): {e}",
            file.display()
        ),
        hint: "name the repository with --repository".to_owned(),
    })?;
    Ok(text.lines().next().unwrap_or_default().trim().into())
}
