//! The platform's folders for data and for configuration, and those of scheduled jobs.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use idev_backup::automation::schedule::install::Places;
use idev_backup::automation::schedule::job_state::Jobs;

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
