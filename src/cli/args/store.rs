//! Options that name a store, and the rules by which a command may create one.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use idev_backup::automation::schedule::job_state;
use idev_backup::store::{self, Absence, Store};

use crate::cli::args::folders::{self, home};
use crate::cli::failure::Failure;

/// The option that names the store.
#[derive(Args, Clone)]
pub struct StoreArgs {
    /// The store, the folder that holds all backups [default: the platform's data folder, e.g.
    /// ~/.local/share/idev-backup]
    #[arg(long, env = "IDEV_BACKUP_STORE", value_name = "DIR", value_parser = path_parser())]
    store: Option<PathBuf>,
}

impl StoreArgs {
    /// Returns true if the user named a store by option, variable or config file.
    pub fn is_named(&self) -> bool {
        self.store.is_some()
    }

    /// Returns the absolute path of the store, since it is printed and written into reports.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        match &self.store {
            Some(path) => whole(path),
            None => Ok(home()?.0.join("idev-backup")),
        }
    }

    /// Opens the store for reading. An empty folder is an error: the disk of the store may not be
    /// mounted.
    pub fn open(&self) -> Result<Store, Failure> {
        let path = self.path()?;
        let opened = Store::open(&path).and_then(|store| {
            store.holds_something()?;
            Ok(store)
        });
        let store = opened.map_err(|e| match e {
            store::Error::NoStore { cause, .. } if self.is_unused(&path, &cause) => {
                let has_others = !folders::known_stores().is_empty();
                Failure::NoStoreYet { path, has_others }
            }
            e => e.into(),
        })?;
        folders::remember(&store);
        Ok(store)
    }

    /// Returns true if no backup was made yet: nothing names a store, the default folder does not
    /// exist or is empty, and no store was used there before.
    fn is_unused(&self, path: &Path, cause: &Absence) -> bool {
        !self.is_named()
            && matches!(cause, Absence::Missing(_) | Absence::Empty(_))
            && folders::known_stores()
                .iter()
                .all(|known| known.path != path)
    }
}

/// The store of a command that writes to it.
#[derive(Args, Clone)]
pub struct WritableStoreArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Create the store if it does not exist [default: in a terminal, for a typed --store or the
    /// default store]
    #[arg(long)]
    new_store: bool,
    /// `--store` was typed, or nothing names a store.
    #[arg(skip)]
    is_typed: bool,
}

impl WritableStoreArgs {
    /// Records whether the user typed the path of the store. Variables, the config file and jobs
    /// always name an existing store.
    pub fn note_source(&mut self, args: &clap::ArgMatches) {
        let source = args.value_source("store");
        self.is_typed = matches!(source, None | Some(ValueSource::CommandLine));
    }

    /// Returns true if `--new-store` was given.
    pub fn is_new(&self) -> bool {
        self.new_store
    }

    /// Opens the store. Plans a new one only if the user asked for it.
    pub fn open(&self) -> Result<Store, Failure> {
        self.plan(self.new_store)
    }

    /// Opens the store for a command that never runs as a job: a typed `--store` may create a new
    /// one, even in a script.
    pub fn open_by_hand(&self) -> Result<Store, Failure> {
        let asked = self.new_store || (self.is_typed && self.store.is_named());
        self.plan(asked)
    }

    fn plan(&self, asked: bool) -> Result<Store, Failure> {
        let path = self.store.path()?;
        open(&path, asked, self.is_typed).map_err(|e| self.explained(e, &path))
    }

    /// Returns the path of the store, or an error if no store exists. Never creates one.
    pub fn check(&self) -> Result<PathBuf, Failure> {
        let path = self.store.path()?;
        Store::open_made(&path).map_err(|e| self.explained(e.into(), &path))?;
        Ok(path)
    }

    /// Explains that the default store was never made, instead of suspecting a disk.
    fn explained(&self, error: Failure, path: &Path) -> Failure {
        match error {
            Failure::Store(store::Error::NoStore { cause, .. })
                if self.store.is_unused(path, &cause) =>
            {
                Failure::NoStoreMade {
                    path: path.to_path_buf(),
                }
            }
            e => e,
        }
    }
}

/// Opens a store for writing. A new one is only planned: it is made when its first backup begins.
/// `asked`: an option asked for a new store. `is_typed`: the user typed the path, so that it does
/// not come from a variable or file.
pub fn open(path: &Path, asked: bool, is_typed: bool) -> Result<Store, Failure> {
    let is_terminal = || std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let may_make = !job_state::runs_as_job() && (asked || (is_typed && is_terminal()));
    match Store::open_made(path) {
        Err(store::Error::NoStore { .. }) if may_make => Ok(Store::planned(path)?),
        opened => {
            let store = opened?;
            folders::remember(&store);
            Ok(store)
        }
    }
}

/// Returns the absolute form of a path.
pub fn whole(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::Store(store::Error::io("find", path, e)))
}

/// Returns the parser for paths of the command line and of variables.
pub fn path_parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(path)
}

/// Parses a path. `~` stands for the home folder, as in a shell. Rejects an empty path, since a
/// script that passes one meant a different place.
pub fn path(text: OsString) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the path is empty".to_owned());
    }
    let path = PathBuf::from(text);
    let Some(first) = path.components().next() else {
        return Ok(path);
    };
    let first = first.as_os_str().as_encoded_bytes();
    if first == b"~" {
        let rest = path.strip_prefix("~").unwrap_or(&path);
        let home = etcetera::home_dir()
            .map_err(|_| "your home folder is not known, so `~` cannot be used")?;
        // Joining an empty path would append a separator.
        return Ok(if rest.as_os_str().is_empty() {
            home
        } else {
            home.join(rest)
        });
    }
    if first.starts_with(b"~") {
        return Err(format!(
            "only `~/` stands for a home folder: write the absolute path, or ./{} for a name that \
            begins with `~`",
            path.display()
        ));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tilde_is_the_home_folder() {
        let home = etcetera::home_dir().unwrap();
        let read = |text: &str| path(text.into());
        assert_eq!(read("~"), Ok(home.clone()));
        assert_eq!(read("~/"), Ok(home.clone()));
        assert_eq!(read("~/a/b"), Ok(home.join("a/b")));
        assert_eq!(read("a/~/b"), Ok("a/~/b".into()));
        assert_eq!(read("./~"), Ok("./~".into()));
        for text in ["", "~mira", "~mira/a"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
