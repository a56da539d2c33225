//! The folders in which other programs keep backups.

use std::path::{Path, PathBuf};

/// A folder of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFolder {
    /// The program that keeps backups there.
    pub program: &'static str,
    /// The folder.
    pub path: PathBuf,
}

/// The folders of a user below which programs keep their data.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// The folder for the data of programs: `%APPDATA%` on Windows.
    pub app_data: Option<PathBuf>,
}

/// Returns the folders that other programs use, whether they exist or not. A home folder may have
/// been copied from another system, so the folders of all systems count.
///
/// Finder, iTunes and Apple Devices: Apple's article "Locate backups of your iPhone, iPad, and iPod
/// touch" (support.apple.com/108809), and for the second folder on Windows, which the apps of
/// Microsoft's store use, the search of iLEAPP and of pymobiledevice3. iMazing: its guide
/// "Understanding the iMazing.Versions folder in iMazing backup locations", which also says that
/// the folder has one folder for each UDID.
pub fn places(home: &Home) -> Vec<ProgramFolder> {
    const OF_HOME: &[(&str, &str)] = &[
        (
            "Finder or iTunes",
            "Library/Application Support/MobileSync/Backup",
        ),
        ("iMazing", "Library/Application Support/iMazing/Backups"),
        ("Apple Devices or iTunes", "Apple/MobileSync/Backup"),
    ];
    const OF_APP_DATA: &[(&str, &str)] = &[
        ("iTunes", "Apple Computer/MobileSync/Backup"),
        ("iMazing", "iMazing/Backups"),
    ];
    let below = |base: &Option<PathBuf>, folders: &[(&'static str, &str)]| {
        let folder = |base: &Path, (program, rest): &(&'static str, &str)| ProgramFolder {
            program,
            path: rest
                .split('/')
                .fold(base.to_path_buf(), |path, part| path.join(part)),
        };
        let all = base
            .iter()
            .flat_map(|base| folders.iter().map(|one| folder(base, one)));
        all.collect::<Vec<_>>()
    };
    let mut all = below(&home.home, OF_HOME);
    all.extend(below(&home.app_data, OF_APP_DATA));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_below_known_folders() {
        let home = Home {
            home: Some("/home/mira".into()),
            app_data: Some("/home/mira/AppData/Roaming".into()),
        };
        let found = places(&home);
        assert_eq!(found.len(), 5);
        assert!(
            found
                .iter()
                .all(|place| place.path.starts_with("/home/mira"))
        );
        let app_data = "/home/mira/AppData/Roaming/Apple Computer/MobileSync/Backup";
        assert!(found.iter().any(|place| place.path == Path::new(app_data)));
        assert!(places(&Home::default()).is_empty());
    }
}
