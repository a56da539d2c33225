//! Opens the property lists, the keys and the phone's list before the walk.

use super::finding::Wrong;
use super::our_files::{self, OurList, Step};
use crate::backup_format::manifest_db::{self, Db};
use crate::backup_format::manifest_mbdb::Mbdb;
use crate::backup_format::plists::{self, ManifestPlist, Status};
use crate::reader;
use crate::reader::backup::{self, Unlocked};
use crate::reader::manifest_feed::List;
use crate::store;
use crate::store::sums::Hash;
use crate::store::walk::Walk;
use crate::verify::Error;
use crate::verify::walk::Check;

impl Check<'_> {
    /// Opens the keys if the backup is encrypted and the password is known.
    pub(super) fn unlock(&mut self) -> Result<(), Error> {
        let Some(passwords) = self.options.passwords else {
            return Ok(());
        };
        if !self.manifest.encrypted || self.manifest.unreadable_keys.is_some() {
            return Ok(());
        }
        self.unlocked = match backup::unlock(self.folder, passwords) {
            Err(reader::Error::WrongPassword { .. }) if self.options.password_is_a_guess => {
                let detail = "the given password belongs to another backup, so this one is \
                    checked without a password";
                self.find(Wrong::Unchecked, "Manifest.plist", detail);
                None
            }
            unlocked => unlocked?,
        };
        let unopened = self
            .unlocked
            .as_ref()
            .map_or(&[][..], |unlocked| unlocked.keys.unopened());
        if !unopened.is_empty() {
            let detail = format!(
                "the keys of protection classes {unopened:?} are damaged: files of these classes \
                 cannot be decrypted"
            );
            self.find(Wrong::NoKey, "Manifest.plist", detail);
        }
        Ok(())
    }

    /// Reports the phone's working folder if it was left empty. Nothing is lost with it. The walk
    /// reports a working folder that holds files.
    pub(super) fn working_folder(&mut self) {
        const NAME: &str = "Snapshot";
        let folder = self.folder.join(NAME);
        let is_there = std::fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir());
        let is_empty = |mut walk: Walk| walk.next().is_none();
        if is_there && Walk::new(&folder).is_ok_and(is_empty) {
            self.find(
                Wrong::Extra,
                NAME,
                "the phone's working folder remains and is empty",
            );
        }
    }

    /// Reports the faults of our own files, and a list of hashes that is lost or proves nothing.
    pub(super) fn our_list(&mut self) {
        let mut why_list = None;
        for fault in std::mem::take(&mut self.ours.faults) {
            if fault.file == store::SUMS {
                why_list = Some(fault.why);
                continue;
            }
            let detail = format!("damaged; the backup itself is not affected: {}", fault.why);
            self.find(Wrong::Records, &our_files::name_of(&fault), detail);
        }
        if self.ours.has_damaged_list {
            let why = why_list.unwrap_or_else(|| "the record of this backup is missing".to_owned());
            let detail = match self.sums {
                Some(_) => format!("the list of hashes cannot be trusted: {why}"),
                None => "the list of hashes of this backup is missing".to_owned(),
            };
            self.find(Wrong::Unchecked, store::SUMS, detail);
        }
        if self.has_loose_lists {
            self.find(
                Wrong::Unchecked,
                store::SUMS,
                "the list of hashes does not belong to this backup: Status.plist or Info.plist \
                 have changed since they were received, or another program has written here",
            );
        }
    }

    pub(super) fn property_lists(&mut self) {
        match Status::read(self.folder) {
            Ok(status) if status.is_finished() => {}
            Ok(status) => {
                let detail = format!("the phone did not finish it; {}", status.words());
                self.find(Wrong::Unfinished, "Status.plist", detail);
            }
            Err(why) => self.find(Wrong::Unreadable, "Status.plist", why.to_string()),
        }
        match ManifestPlist::read(self.folder) {
            Ok(manifest) => {
                if let Some(why) = &manifest.unreadable_keys {
                    let detail = format!(
                        "the keys of this encrypted backup cannot be read ({why}): its files \
                         cannot be decrypted"
                    );
                    self.find(Wrong::Unreadable, "Manifest.plist", detail);
                }
                self.manifest = manifest;
            }
            Err(why) => self.find(Wrong::Unreadable, "Manifest.plist", why.to_string()),
        }
        if let Err(why) = plists::read(self.folder, "Info.plist") {
            self.find(Wrong::Unreadable, "Info.plist", why.to_string());
        }
    }

    /// Opens the phone's list and checks its structure. Returns `None` if it cannot be read, and
    /// reports the reason.
    pub(super) fn list(&mut self) -> Option<List> {
        let holds = |name| self.folder.join(name).exists();
        if holds("Manifest.mbdb") && !holds("Manifest.db") {
            self.is_flat = true;
            // Unlike Manifest.db, this list is never encrypted as a whole.
            let opened = Mbdb::open(self.folder);
            let noted = opened
                .map_err(|why| self.find(Wrong::Unreadable, "Manifest.mbdb", why.to_string()));
            return noted.ok().map(List::Mbdb);
        }
        self.database().map(List::Db)
    }

    fn database(&mut self) -> Option<Db> {
        let opened = match &self.unlocked {
            Some(Unlocked {
                keys,
                manifest_key: Some(wrapped),
            }) => match keys.open(wrapped) {
                Ok(key) => Some(Db::decrypt(self.folder, &key)),
                Err(why) => {
                    let detail = format!("the key of the phone's list of files: {why}");
                    self.find(Wrong::NoKey, "Manifest.plist", detail);
                    return None;
                }
            },
            // Before iOS 10.2 the list of an encrypted backup was not encrypted.
            Some(_) => Some(Db::open(self.folder)),
            None if self.manifest.encrypted => None,
            None => Some(Db::open(self.folder)),
        };
        let Some(opened) = opened else {
            if std::fs::metadata(self.folder.join("Manifest.db")).map_or(0, |m| m.len()) == 0 {
                let detail = "without the phone's list of files, this backup cannot be restored";
                self.find(Wrong::Missing, "Manifest.db", detail);
            } else if self.sums.is_none() {
                let detail =
                    "the phone's list of files is encrypted, so the expected files are unknown";
                self.find(Wrong::Unchecked, "Manifest.db", detail);
            }
            return None;
        };
        match opened.and_then(|db| db.check(true).map(|()| db)) {
            Ok(db) => Some(db),
            Err(why @ manifest_db::Error::NoPlace(_)) => {
                self.find(Wrong::Unchecked, "Manifest.db", why.to_string());
                None
            }
            Err(why) => {
                let copy = self.beside.as_ref().map(|dir| dir.join("Manifest.db"));
                let copy = copy
                    .filter(|copy| copy.exists())
                    .map_or_else(String::new, |copy| {
                        format!("; there is a copy of it: {}", copy.display())
                    });
                self.find(Wrong::Unreadable, "Manifest.db", format!("{why}{copy}"));
                None
            }
        }
    }

    /// Reads the list of hashes up to `path`, or to its end if `path` is `None`. Reports the lines
    /// that it passes.
    pub(super) fn list_up_to(&mut self, path: Option<&str>) -> Result<Option<Hash>, Error> {
        loop {
            let step = self.sums.as_mut().map(|list| list.step(path));
            match step.transpose()? {
                None | Some(Step::Nothing) => return Ok(None),
                Some(Step::Hash(hash)) => return Ok(Some(hash)),
                Some(Step::Gone(listed)) => self.gone(&listed),
                Some(Step::Bad(number)) => self.find(
                    Wrong::Records,
                    store::SUMS,
                    format!("line {number} is damaged, so a hash is unknown"),
                ),
            }
        }
    }

    fn gone(&mut self, listed: &str) {
        if self.sums.as_ref().is_some_and(OurList::is_proven) {
            self.find(Wrong::Missing, listed, "the list of hashes names it");
        } else {
            let detail = "the damaged list of hashes names it, but the file does not exist";
            self.find(Wrong::Unchecked, listed, detail);
        }
    }
}
