//! Checks the folders of ours in which a run for a phone writes.

use std::fs;

use super::error::Error;
use super::names::TRASH;
use super::real_folders::is_real_folder;
use super::root::Store;
use crate::base::udid::Udid;

/// The folders in a phone's own folder in which a run writes or removes files.
const WRITTEN: [&str; 9] = [
    "draft",
    "draft/root",
    "draft/incoming",
    "draft/journal",
    "draft/beside",
    "import",
    "import/root",
    "import/beside",
    TRASH,
];

impl Store {
    /// Checks all of our own folders in which a run for this phone will write.
    pub(super) fn check_folders(&self, udid: &Udid) -> Result<(), Error> {
        let own = self.own_of(udid);
        is_real_folder(&self.own())?;
        is_real_folder(&own)?;
        for name in WRITTEN {
            is_real_folder(&own.join(name))?;
        }
        for folder in ["draft", "import"] {
            is_real_folder(&own.join(folder).join("root").join(udid.as_str()))?;
        }
        self.check_current(udid)
    }

    /// Checks that the phone's current backup is not a link. A new backup would replace the link on
    /// this disk, and not the folder that the link points to.
    fn check_current(&self, udid: &Udid) -> Result<(), Error> {
        let path = self.current_path(udid);
        match fs::read_link(&path) {
            Ok(to) => Err(Error::Linked { path, to }),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const UDID: &str = "00008030-001C195E0A88802E";

    #[test]
    fn links_are_refused_by_name() {
        let udid: Udid = UDID.parse().unwrap();
        let own = format!(".idev-backup/{UDID}");
        let below = WRITTEN.map(|name| format!("{own}/{name}"));
        let roots = ["draft", "import"].map(|name| format!("{own}/{name}/root/{UDID}"));
        let all = [".idev-backup".to_owned(), own.clone(), UDID.to_owned()];
        for name in all.iter().chain(&below).chain(&roots) {
            let dir = tempfile::tempdir().unwrap();
            let (store, victim) = (dir.path().join("store"), dir.path().join("victim"));
            fs::create_dir_all(&victim).unwrap();
            let link = store.join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(&victim, &link).unwrap();
            let error = match Store::open(&store) {
                Ok(store) => store.check_folders(&udid).unwrap_err(),
                Err(e) => e,
            };
            let text = error.to_string();
            assert!(text.contains(&format!("{}", link.display())), "{text}");
            assert!(text.contains("symbolic link"), "{text}");
        }
    }

    #[test]
    fn real_folders_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let udid: Udid = UDID.parse().unwrap();
        let own = dir.path().join(".idev-backup").join(UDID);
        let store = Store::open(dir.path()).unwrap();
        store.check_folders(&udid).unwrap();
        for name in WRITTEN {
            fs::create_dir_all(own.join(name)).unwrap();
        }
        store.check_folders(&udid).unwrap();
        fs::remove_dir(own.join("trash")).unwrap();
        fs::write(own.join("trash"), "x").unwrap();
        assert!(store.check_folders(&udid).is_err());
    }
}
