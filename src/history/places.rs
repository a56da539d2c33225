//! The folders in which other programs of this computer keep backups.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// A folder of another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The program that keeps backups there.
    pub program: &'static str,
    /// The folder of its backups.
    pub path: PathBuf,
}

/// The folders of the user, as environment variables and the system give them.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// The folder for the data of programs: `%APPDATA%` on Windows.
    pub app_data: Option<PathBuf>,
}

impl Home {
    /// Reads the folders from the environment.
    pub fn of_environment() -> Home {
        let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        Home {
            home: folder(home).map(PathBuf::from),
            app_data: folder("APPDATA").map(PathBuf::from),
        }
    }
}

/// Returns the folders that other programs use on this system, whether they exist or not.
///
/// Finder, iTunes and Apple Devices: Apple's support article "Locate backups of your iPhone, iPad,
/// and iPod touch". iMazing: its manual, "Backup Location".
pub fn places(home: &Home) -> Vec<Place> {
    let below = |base: &Option<PathBuf>, rest: &str| {
        base.as_deref().map(|base: &Path| {
            rest.split('/')
                .fold(base.to_path_buf(), |path, part| path.join(part))
        })
    };
    let known = if cfg!(target_os = "macos") {
        let library = "Library/Application Support";
        vec![
            (
                "Finder or iTunes",
                below(&home.home, &format!("{library}/MobileSync/Backup")),
            ),
            (
                "iMazing",
                below(&home.home, &format!("{library}/iMazing/Backups")),
            ),
        ]
    } else if cfg!(windows) {
        vec![
            (
                "Apple Devices",
                below(&home.home, "Apple/MobileSync/Backup"),
            ),
            (
                "iTunes",
                below(&home.app_data, "Apple Computer/MobileSync/Backup"),
            ),
            ("iMazing", below(&home.app_data, "iMazing/Backups")),
        ]
    } else {
        Vec::new()
    };
    let place =
        |(program, path): (&'static str, Option<PathBuf>)| path.map(|path| Place { program, path });
    known.into_iter().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_below_home() {
        let home = Home {
            home: Some("/home/mira".into()),
            app_data: Some("/home/mira/AppData/Roaming".into()),
        };
        let found = places(&home);
        let expected = match () {
            () if cfg!(windows) => 3,
            () if cfg!(target_os = "macos") => 2,
            () => 0,
        };
        assert_eq!(found.len(), expected);
        assert!(
            found
                .iter()
                .all(|place| place.path.starts_with("/home/mira"))
        );
        assert!(places(&Home::default()).is_empty());
    }
}
