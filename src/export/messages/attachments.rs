//! Exports the files of attachments beside the messages.

use std::fs;
use std::path::Path;

use crate::content::messages::{Attachment, Presence};
use crate::export::Error;
use crate::export::destination::{Target, no_place};
use crate::export::file_names::Place;
use crate::export::messages::{Attachments, Counts};
use crate::export::outcome::{Tally, Wrong};
use crate::export::record_file;
use crate::export::workers::Task;
use crate::reader::backup::{Backup, Item};

/// The domain of attachments.
const DOMAIN: &str = "MediaDomain";
/// The folder of attachments in the target.
const FOLDER: &str = "attachments";
/// Places the files of attachments in the target.
pub(super) struct Files<'a> {
    backup: &'a Backup,
    how: Attachments,
    dry_run: bool,
}

impl<'a> Files<'a> {
    pub(super) fn new(backup: &'a Backup, how: Attachments, dry_run: bool) -> Files<'a> {
        Files {
            backup,
            how,
            dry_run,
        }
    }

    /// Returns a name for the files of a conversation that no other one has.
    pub(super) fn name_of(&self, target: &mut Target, title: &str) -> String {
        let name = record_file::name_of(title);
        let mut place = Place {
            parts: vec![target.rules().held(&name).unwrap_or(name)],
            is_altered: false,
        };
        target.take(&mut place);
        place.path()
    }

    /// Exports the file of an attachment, and notes its place in the record.
    pub(super) fn export(
        &self,
        attachment: &mut Attachment,
        folder: &str,
        target: &mut Target,
        tally: &Tally<'_>,
        give: &dyn Fn(Task) -> bool,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        match attachment.file {
            Presence::OnlyInIcloud => counts.only_in_icloud += 1,
            Presence::Missing => counts.missing += 1,
            Presence::InBackup => {}
        }
        let Some(path) = &attachment.path else {
            return Ok(());
        };
        if self.how == Attachments::None {
            return Ok(());
        }
        let Some(item) = self.backup.find(DOMAIN, path)? else {
            return Ok(());
        };
        if item.leads_out() {
            let why = "its path leads out of the folder, so it was not written";
            tally.problem(&item, Wrong::LeadsOut, why.to_owned());
            return Ok(());
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = attachment.name.as_deref().unwrap_or(last);
        let Some(mut place) = target.rules().below([FOLDER, folder, name].into_iter()) else {
            return Ok(());
        };
        if let Err(why) = target.folder(&place.parts[..place.parts.len() - 1]) {
            tally.no_place(&item, why);
            return Ok(());
        }
        if target.take(&mut place) || place.is_altered {
            tally.renamed(&item, place.path());
        }
        let to = target.path_of(&place);
        attachment.exported = Some(place.path());
        if self.how == Attachments::Link {
            self.link(&item, &to, tally);
        } else {
            give(Task {
                item,
                to,
                modified: None,
            });
        }
        Ok(())
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

fn make_link(from: &Path, to: &Path) -> std::io::Result<()> {
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
