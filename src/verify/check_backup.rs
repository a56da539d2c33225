//! Prepares the check of a backup and runs it.

use std::path::Path;

use super::complaint::complaints;
use super::error::Error;
use super::finding::Report;
use super::options::Options;
use crate::backup_format::plists::{self, Unreadable};
use crate::base::plain_file;
use crate::base::progress::{Monitor, Phase};
use crate::reader;
use crate::reader::backup::Mark;
use crate::store::{self, snapshot};
use crate::verify::our_files::OurFiles;
use crate::verify::walk::Check;

/// Checks the backup in `folder`.
pub fn verify(folder: &Path, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
    let mark = Mark::of(folder);
    monitor.phase(Phase::Checking);
    let report = look_through(folder, options, monitor)?;
    mark.is_still_in(folder)?;
    Ok(report)
}

/// Checks the backup in `folder` as a part of a phase that has already begun.
pub(crate) fn look_through(
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    if !folder.is_dir() {
        return Err(reader::Error::NoFolder(folder.to_path_buf()).into());
    }
    if !store::is_backup(folder)
        && plists::read(folder, "Status.plist").err() == Some(Unreadable::Absent)
    {
        return Err(reader::Error::NoBackup(folder.to_path_buf()).into());
    }
    may_read(folder)?;
    let known = snapshot::look(folder)?;
    let of = known.clone();
    if let Some(id) = &options.id
        && of.as_ref().is_none_or(|now| now.id() != id)
    {
        return Err(store::Error::moved(folder, None).into());
    }
    let mut options = options.clone();
    let ours = match &known {
        Some(known) => OurFiles::of(known, options.depth)?,
        None => OurFiles::default(),
    };
    options.sums = options
        .sums
        .or_else(|| known.as_ref().and_then(|s| s.sums()))
        // A pipe or folder in its place is reported as damage to our files.
        .filter(|sums| sums.is_file());
    if options.complaints.is_empty() {
        options.complaints = known
            .as_ref()
            .and_then(|s| s.report())
            .map(|path| complaints(&path))
            .unwrap_or_default();
    }
    let report = Check::new(folder, options, known.as_ref(), ours)?.run(monitor)?;
    Ok(Report { of, ..report })
}

/// Fails if we lack the permission to read the metadata: such a backup is not damaged, and nothing
/// can be said about it.
fn may_read(folder: &Path) -> Result<(), Error> {
    for name in store::METADATA.into_iter().chain(["Manifest.mbdb"]) {
        let path = folder.join(name);
        match plain_file::open(&path).map_err(|e| store::Error::io("read", &path, e)) {
            Err(e) if e.is_refused() => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}
