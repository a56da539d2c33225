//! The platform's folders for data and for configuration, those of scheduled jobs, and the stores
//! that were used.

use std::path::PathBuf;
use std::time::SystemTime;

use etcetera::BaseStrategy;
use idev_backup::automation::schedule::install::Places;
use idev_backup::automation::schedule::job_state::Jobs;
use idev_backup::history::known_stores::{self, Known};
use idev_backup::history::places::Home;
use idev_backup::store::Store;

use crate::cli::failure::Failure;

/// Returns the platform's folders for data and for configuration.
pub(crate) fn home() -> Result<(PathBuf, PathBuf), Failure> {
    match etcetera::base_strategy::choose_native_strategy() {
        // On Windows, the data folder would roam through the network with its user; a backup must
        // not.
        Ok(place) if cfg!(windows) => Ok((place.cache_dir(), place.config_dir())),
        Ok(place) => Ok((place.data_dir(), place.config_dir())),
        Err(_) => Err(Failure::Command {
            what: "your home folder is not known".to_owned(),
            hint: "name the store with --store".to_owned(),
        }),
    }
}

/// Returns the jobs of this user.
pub(crate) fn jobs() -> Result<Jobs, Failure> {
    let (_, config) = home()?;
    let home = etcetera::home_dir().map_err(|_| Failure::Command {
        what: "your home folder is not known".to_owned(),
        hint: "set HOME".to_owned(),
    })?;
    Ok(Jobs {
        folder: config.join("idev-backup").join("schedule"),
        places: Places { home, config },
    })
}

/// Returns the file that remembers the stores that were used.
fn stores_file() -> Option<PathBuf> {
    let native = etcetera::base_strategy::choose_native_strategy().ok()?;
    let folder = native.state_dir().unwrap_or_else(|| native.config_dir());
    Some(folder.join("idev-backup").join("stores.json"))
}

/// Returns the stores that were used before.
pub(crate) fn known_stores() -> Vec<Known> {
    stores_file().map_or_else(Vec::new, |file| known_stores::known(&file))
}

/// Remembers that a store is used. A failure is not reported: it would appear at each command, and
/// only a later search misses the store.
pub(crate) fn remember(store: &Store) {
    if let Some(file) = stores_file() {
        known_stores::remember(&file, store, SystemTime::now()).ok();
    }
}

/// Remembers what a store holds after a backup was added. A failure is not reported, as by
/// [`remember`].
pub(crate) fn remember_contents(store: &Store) {
    if let Some(file) = stores_file() {
        known_stores::refresh(&file, store, SystemTime::now()).ok();
    }
}

/// Returns the folders of the user in which other programs keep backups.
pub(crate) fn user() -> Home {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    Home {
        home: etcetera::home_dir().ok(),
        app_data: folder("APPDATA").map(PathBuf::from),
    }
}
