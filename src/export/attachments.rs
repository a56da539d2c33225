//! Exports the files of attachments beside the content that has them.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::content::Presence;
use crate::export::Error;
use crate::export::destination::{Target, no_place};
use crate::export::file_names::Place;
use crate::export::outcome::{Tally, Wrong};
use crate::export::record_file;
use crate::export::workers::Task;
use crate::reader::backup::{Backup, Item};

/// The folder of attachments in the target.
const FOLDER: &str = "attachments";

/// The ways to treat attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachments {
    /// Copy their files.
    #[default]
    Copy,
    /// Make symbolic links to the files in the backup, which must not be encrypted.
    Link,
    /// Leave their files out.
    None,
}

/// Counts of attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Number of files that were written.
    pub exported: u64,
    /// Number of files that were there already, with the right contents.
    pub there: u64,
    /// Total bytes of the files that were written.
    pub bytes: u64,
    /// Number of attachments whose files are only in iCloud, or were never received.
    pub only_in_icloud: u64,
    /// Number of attachments whose files the database names and the backup does not have.
    pub missing: u64,
}

/// A file that is to be exported.
pub(crate) struct Wanted<'a> {
    /// The domain of the file.
    pub(crate) domain: &'static str,
    /// The path of the file in its domain; `None` if the backup does not have it.
    pub(crate) path: Option<&'a str>,
    /// The name that people know.
    pub(crate) name: Option<&'a str>,
    /// The state of the file.
    pub(crate) file: Presence,
    /// The folder for the file: the name of its conversation or note.
    pub(crate) folder: &'a str,
}

/// Places the files of attachments in the target.
pub(crate) struct Files<'a> {
    backup: &'a Backup,
    how: Attachments,
    dry_run: bool,
    tally: &'a Tally<'a>,
    give: &'a dyn Fn(Task) -> bool,
}

impl<'a> Files<'a> {
    /// `give` passes a file on to the threads that write.
    pub(crate) fn new(
        backup: &'a Backup,
        how: Attachments,
        dry_run: bool,
        tally: &'a Tally<'a>,
        give: &'a dyn Fn(Task) -> bool,
    ) -> Files<'a> {
        Files {
            backup,
            how,
            dry_run,
            tally,
            give,
        }
    }

    /// Returns a name for the files of a conversation that no other one has.
    pub(crate) fn name_of(&self, target: &mut Target, title: &str) -> String {
        let name = record_file::name_of(title);
        let mut place = Place {
            parts: vec![target.rules().held(&name).unwrap_or(name)],
            is_altered: false,
        };
        target.take(&mut place);
        place.path()
    }

    /// Exports a file. Returns its path below the target folder; `None` if it is not exported.
    pub(crate) fn export(
        &self,
        wanted: &Wanted<'_>,
        target: &mut Target,
        counts: &mut Counts,
    ) -> Result<Option<String>, Error> {
        match wanted.file {
            Presence::OnlyInIcloud => counts.only_in_icloud += 1,
            Presence::Missing => counts.missing += 1,
            Presence::InBackup => {}
        }
        let Some(path) = wanted.path.filter(|_| self.how != Attachments::None) else {
            return Ok(None);
        };
        let Some(item) = self.backup.find(wanted.domain, path)? else {
            return Ok(None);
        };
        if item.leads_out() {
            let why = "its path leads out of the folder, so it was not written";
            self.tally.problem(&item, Wrong::LeadsOut, why.to_owned());
            return Ok(None);
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = wanted.name.unwrap_or(last);
        let parts = [FOLDER, wanted.folder, name];
        let Some(mut place) = target.rules().below(parts.into_iter()) else {
            return Ok(None);
        };
        if let Err(why) = target.folder(&place.parts[..place.parts.len() - 1]) {
            self.tally.no_place(&item, why);
            return Ok(None);
        }
        if target.take(&mut place) || place.is_altered {
            self.tally.renamed(&item, place.path());
        }
        let to = target.path_of(&place);
        if self.how == Attachments::Link {
            self.link(&item, &to, self.tally);
        } else {
            (self.give)(Task {
                item,
                to,
                modified: None,
            });
        }
        Ok(Some(place.path()))
    }

    fn link(&self, item: &Item, to: &Path, tally: &Tally<'_>) {
        let from = match self.backup.reader().look(item) {
            Ok(_) => self.backup.path_of(item),
            Err(e) => Err(e),
        };
        let from = match from.map(|path| std::path::absolute(&path).unwrap_or(path)) {
            Ok(from) => from,
            Err(e) => return tally.problem(item, Wrong::Unreadable, e.to_string()),
        };
        if fs::read_link(to).is_ok_and(|present| present == from) {
            return tally.found();
        }
        if self.dry_run {
            return tally.wrote(0);
        }
        let is_link = fs::symlink_metadata(to).is_ok_and(|meta| meta.is_symlink());
        let made = if is_link {
            fs::remove_file(to).and_then(|()| make_link(&from, to))
        } else {
            make_link(&from, to)
        };
        match made {
            Ok(()) => tally.wrote(0),
            Err(e) => tally.no_place(item, no_place(to, "make the link", e)),
        }
    }
}

/// Makes a symbolic link to a file.
pub(crate) fn make_link(from: &Path, to: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(from, to);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(from, to);
    #[cfg(not(any(unix, windows)))]
    {
        let _unused = (from, to);
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
