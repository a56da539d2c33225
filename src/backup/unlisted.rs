//! Removes files from a draft that the phone's list does not name: an interrupted run received
//! them, and the phone deleted them before the next run resumed the draft.

use std::iter::Peekable;

use crate::backup::Error;
use crate::backup_format::manifest_db::Filter;
use crate::base::backup_path::BackupPath;
use crate::base::progress::Monitor;
use crate::base::units::counted;
use crate::reader::backup::Backup;
use crate::reader::passwords::{Known, NoPasswords, Passwords};
use crate::store::walk::Walk;
use crate::store::{self, Draft, layout};

/// Maximum number of paths held in memory: about 1 MiB. Further files stay in the backup, and its
/// check counts them.
const HELD_MAX: usize = 20_000;

/// Removes the files that the phone's list does not name from a resumed draft. Does nothing if the
/// list cannot be read completely; the check of the backup reports that, and the files.
pub(crate) fn remove(
    draft: &mut Draft,
    password: Option<&Known>,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let passwords: &dyn Passwords = match password {
        Some(known) => known,
        None => &NoPasswords,
    };
    let Ok(opened) = Backup::open(&draft.backup(), passwords) else {
        return Ok(());
    };
    let Some(unlisted) = find(&opened)? else {
        return Ok(());
    };
    for path in &unlisted {
        draft.remove(path)?;
    }
    if !unlisted.is_empty() {
        monitor.note(format!(
            "{} of the interrupted run were removed: the phone's list no longer names them.",
            counted(unlisted.len() as u64, "file")
        ));
    }
    Ok(())
}

/// Returns the files that no row of the list names; `None` if the list cannot be read.
fn find(opened: &Backup) -> Result<Option<Vec<BackupPath>>, Error> {
    let folder = opened.folder();
    let udid = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut files = Files::below(folder)?;
    let mut unlisted = Vec::new();
    let mut add = |path: &str| {
        if unlisted.len() < HELD_MAX {
            unlisted.extend(format!("{udid}/{path}").parse::<BackupPath>());
        }
    };
    let by_id = Filter {
        by_id: true,
        ..Filter::default()
    };
    let mut last = String::new();
    let (mut is_sorted, mut failed) = (true, None);
    let read = opened.each(&by_id, |item| {
        is_sorted &= last <= item.file_id;
        loop {
            match files.next_before(&item.file_id) {
                Ok(Some(path)) => add(&path),
                Ok(None) => break,
                Err(e) => {
                    failed = Some(e);
                    return false;
                }
            }
        }
        last = item.file_id;
        is_sorted
    });
    if let Some(e) = failed {
        return Err(e.into());
    }
    if read.is_err() || !is_sorted {
        return Ok(None);
    }
    while let Some(path) = files.next()? {
        add(&path);
    }
    Ok(Some(unlisted))
}

/// The files of a backup whose names are file ids, in the order of their ids.
struct Files {
    walk: Peekable<Walk>,
}

impl Files {
    fn below(folder: &std::path::Path) -> Result<Files, store::Error> {
        Ok(Files {
            walk: Walk::new(folder)?.peekable(),
        })
    }

    /// Returns the next file if its id comes before `id`. Skips a file with this id.
    fn next_before(&mut self, id: &str) -> Result<Option<String>, store::Error> {
        loop {
            match self.walk.peek() {
                Some(Ok(found)) => {
                    let name = found.path.rsplit('/').next().unwrap_or_default();
                    let is_id = name.len() == 40 && layout::is_part(&found.path);
                    if is_id && name > id {
                        return Ok(None);
                    }
                    let is_unlisted = is_id && name < id;
                    let path = found.path.clone();
                    self.walk.next();
                    if is_unlisted {
                        return Ok(Some(path));
                    }
                }
                _ => return self.next_error(),
            }
        }
    }

    /// Returns the next file, if there is one.
    fn next(&mut self) -> Result<Option<String>, store::Error> {
        // Every id comes before "~", because ids are hex digits.
        self.next_before("~")
    }

    /// Returns the error of the walk, or `None` at its end.
    fn next_error(&mut self) -> Result<Option<String>, store::Error> {
        match self.walk.next() {
            Some(Err(e)) => Err(e),
            _ => Ok(None),
        }
    }
}
