//! Copies elsewhere: makes the repository for them.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::secret::Secret;
use idev_backup::repository::{Access, Engine as _, Error, Location, Restic, Waits};

use super::tell_problem;
use crate::cli::args::config::{self, Config};
use crate::cli::args::repository::trimmed;
use crate::cli::args::{password, store};
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, tell};
use crate::cli::{ctrl_c, hints, new_file};

/// The keys that give the password of a repository without a file.
const OTHER_PASSWORDS: [&str; 2] = ["repository.password-command", "repository.password-keyring"];

/// The repository for copies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// The place of the repository; `None` for no copies.
    pub place: Option<String>,
    /// The file for its password; `None` if the config file names another source.
    pub password_file: Option<PathBuf>,
}

impl Copies {
    /// Returns what the config file says. A password that it does not name goes into a file beside
    /// it.
    pub fn of(config: &Config, path: &Path) -> Copies {
        let value = |key: &str| config.values.get(key);
        let is_on = value("repository.push").is_some_and(|push| push == "true");
        Copies {
            place: value("repository.location").filter(|_| is_on).cloned(),
            password_file: match value("repository.password-file") {
                Some(file) => Some(file.into()),
                None if OTHER_PASSWORDS.iter().any(|key| value(key).is_some()) => None,
                None => Some(path.with_file_name("repository-password")),
            },
        }
    }

    /// Returns the keys of the config file that differ, each with its new value.
    pub fn changes(&self, config: &Config) -> Vec<(&'static str, String)> {
        let value = |key: &str| config.values.get(key);
        let is_on = value("repository.push").is_some_and(|push| push == "true");
        let Some(place) = &self.place else {
            let off = is_on.then(|| ("repository.push", "false".to_owned()));
            return off.into_iter().collect();
        };
        if is_on && value("repository.location") == Some(place) {
            return Vec::new();
        }
        let mut changes = vec![
            ("repository.location", place.clone()),
            ("repository.push", "true".to_owned()),
        ];
        if let Some(file) = &self.password_file {
            changes.push(("repository.password-file", file.display().to_string()));
        }
        changes.retain(|(key, wanted)| value(key) != Some(wanted));
        changes
    }
}

/// Parses the place of a repository; `None` for no copies.
pub fn place(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    if ["no", "none", "never"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let Some(folder) = Location::new(text).folder() else {
        return Ok(Some(text.to_owned()));
    };
    let folder = store::path(folder.into_os_string())?;
    if !folder.is_absolute() {
        return Err(format!(
            "{text:?} is neither an absolute path nor a place such as sftp:me@nas:/srv/phones"
        ));
    }
    let folder = folder.to_str().ok_or("the path is not Unicode text")?;
    Ok(Some(folder.to_owned()))
}

/// Returns the program restic that the variables or the config file name.
pub fn program(config: &Config) -> OsString {
    let named = config::set_variable("repository.restic").map(|(_, program)| program);
    let named = named.or_else(|| config.values.get("repository.restic").cloned());
    named.unwrap_or_else(|| "restic".to_owned()).into()
}

/// Says how to install restic if it is missing. Returns true if it is there.
pub fn has_restic(program: &OsString) -> bool {
    match open(program, "", Secret::new(Vec::new())) {
        Ok(_) => true,
        Err(e) => {
            tell("");
            let hint = hints::repository(&e).unwrap_or_default();
            tell(&format!(
                "For encrypted copies of the backups elsewhere, restic is needed. To have them: \
                {hint}, and run `idev-backup setup` again."
            ));
            false
        }
    }
}

fn open(program: &OsString, place: &str, password: Secret) -> Result<Restic, Error> {
    let token = CancelToken::new(ctrl_c::flag());
    let mut access = Access::new(Location::new(place), password, token);
    access.program.clone_from(program);
    access.waits = Waits {
        retries: 0,
        ..access.waits
    };
    Restic::new(access)
}

/// Asks for the password of the repository and makes the repository, unless it is there already. A
/// password that the config file takes from elsewhere is left to `repository init`. Only an
/// interruption is an error; anything else is reported.
pub fn prepare(copies: &Copies, program: &OsString) -> Result<(), Failure> {
    let Some(place) = &copies.place else {
        return Ok(());
    };
    let Some(file) = &copies.password_file else {
        output::line(
            "The config file says where the password of the repository comes from. If there is no \
            repository yet, make it: `idev-backup repository init`.",
        );
        return Ok(());
    };
    let done = made(place, file, program);
    match done {
        Err(Failure::Interrupted | Failure::Repository(Error::Interrupted)) => {
            Err(Failure::Interrupted)
        }
        Err(e) => {
            let hint = hints::of(&e);
            let hint = hint.or(Some("run `idev-backup repository init`".to_owned()));
            tell_problem(&e.to_string(), hint);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn made(place: &str, file: &Path, program: &OsString) -> Result<(), Failure> {
    let location = Location::new(place);
    let known = file.exists();
    let password = if known {
        let read = password::of(Some(&file.to_path_buf()), None)?;
        read.map(|read| trimmed(&read))
            .unwrap_or_else(|| Secret::new(Vec::new()))
    } else {
        tell("");
        tell(&format!(
            "The copies in {location} are encrypted with a password of their own. A lost password \
            cannot be recovered: without it, all copies are lost. Write it down, and keep it apart \
            from this computer."
        ));
        trimmed(&password::prompt_twice("Password of the repository")?)
    };
    let restic = open(program, place, password.clone())?;
    match restic.id() {
        Ok(_) => output::line(&format!("The repository {location} is ready.")),
        Err(Error::NoRepository { .. }) => {
            restic.init()?;
            output::line(&format!("Created the repository {location}."));
        }
        Err(e) => return Err(e.into()),
    }
    if !known {
        new_file::write(file, false, |to| {
            let written = to
                .write_all(password.expose())
                .and_then(|()| to.write_all(b"\n"));
            written.map_err(|e| new_file::cannot(file, &e))
        })?;
        output::line(&format!(
            "Its password is in {}, which only you can read. `idev-backup repository key add` adds \
            a second one, for a sheet of paper.",
            file.display()
        ));
    }
    Ok(())
}
