//! Exports the files that belong to records.

use super::Run;
use crate::export::Error;
use crate::export::outcome::Wrong;
use crate::export::record_file::name_of;
use crate::export::workers::Task;

/// The file of a record.
pub(super) struct Attached<'a> {
    /// Domain of the file.
    pub(super) domain: &'static str,
    /// Path in the domain; `None` if the backup does not have it.
    pub(super) path: Option<&'a str>,
    /// The reason that the backup does not have it.
    pub(super) is_in_icloud: bool,
    /// The folder in the target.
    pub(super) folder: &'static str,
    /// The name to give it, which anybody may have chosen, and the extension with its dot.
    pub(super) name: String,
    pub(super) extension: &'a str,
    /// The time of its last change in seconds since 1970, if it is not the one that the phone
    /// noted.
    pub(super) modified: Option<f64>,
    /// The place to note the path of the exported file.
    pub(super) exported: &'a mut Option<String>,
}

/// Exports a file, and notes its place in the record.
pub(super) fn export(file: Attached<'_>, run: &mut Run<'_, '_>) -> Result<(), Error> {
    let item = match file.path {
        Some(path) => run.backup.find(file.domain, path)?,
        None => None,
    };
    let Some(item) = item else {
        if file.is_in_icloud {
            run.report.files.only_in_icloud += 1;
        } else {
            run.report.files.missing += 1;
        }
        return Ok(());
    };
    if item.leads_out() {
        let why = "its path leads out of the folder, so it was not written";
        run.tally.problem(&item, Wrong::LeadsOut, why.to_owned());
        return Ok(());
    }
    let name = format!("{}{}", name_of(&file.name), file.extension);
    let rules = run.target.rules();
    let Some(mut place) = rules.below([file.folder, name.as_str()].into_iter()) else {
        return Ok(());
    };
    if let Err(why) = run.target.folder(&place.parts[..place.parts.len() - 1]) {
        run.tally.no_place(&item, why);
        return Ok(());
    }
    run.target.take(&mut place);
    let to = run.target.path_of(&place);
    *file.exported = Some(place.path());
    (run.give)(Task {
        item,
        to,
        modified: file.modified,
    });
    Ok(())
}
