//! Checks whether a backup is whole. Works for any folder of Apple's layout, made by us or by
//! another program.
//!
//! The check walks once over the folder in the order of file ids (`walk`). Beside the walk it
//! reads the phone's list (Manifest.db, or Manifest.mbdb of iOS 9 and older) and our list of
//! hashes, both in the same order. So it holds only the findings in memory, and their number is
//! capped. Threads read the bytes of the files (`worker`) and open databases and property lists
//! (`content_checks`).

mod content_checks;
mod cross_checks;
mod error;
mod finding;
mod inputs;
mod our_files;
mod outcome;
mod property_list;
mod repair;
mod size;
mod walk;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::backup_format::plists::{self, Unreadable};
use crate::base::cancel::CancelToken;
use crate::base::plain_file;
use crate::base::progress::{Monitor, Phase};
use crate::reader;
use crate::reader::backup::Mark;
use crate::reader::passwords::Passwords;
use crate::store::{self, Id, snapshot};
use crate::verify::our_files::OurFiles;
use crate::verify::walk::Check;

pub use content_checks::Inside;
pub use error::Error;
pub use finding::{Finding, Outcome, Report, Wrong};
pub use our_files::Proof;
pub use repair::{Repair, Repaired, repair};

/// Level of a check. Each level includes the ones before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Checks that every required file is present, with the right name and size.
    #[default]
    Quick,
    /// Compares every byte with what was received, if there is a list of hashes.
    Bytes,
    /// Decrypts and opens every file: *could this be restored?*
    Deep,
}

/// Restricts a check to a sample of the files.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Share of the files to read: 0.05 for one in twenty.
    pub fraction: f64,
    /// Seed of the sample: another number selects other files.
    pub salt: u64,
}

impl Sample {
    /// Returns true if this file is in the sample. The same salt always selects the same files.
    fn has(self, path: &str) -> bool {
        // FNV-1a, then a multiplication that spreads the result over all bits.
        let hash = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let sum = path.bytes().fold(0xcbf2_9ce4_8422_2325 ^ self.salt, hash);
        let mixed = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 11) as f64) < self.fraction * (1u64 << 53) as f64
    }
}

/// A file that the phone could not read when the backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Path that the file would have in the backup's folder.
    pub file: String,
    /// Path of the file on the phone.
    pub device_path: String,
    /// Error code of the phone.
    pub code: u8,
    /// Error message of the phone.
    pub text: String,
}

/// Options of a check.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// The list of hashes; by default the folder's own, which the store keeps beside it.
    pub sums: Option<PathBuf>,
    /// Some of the hashes were made just now from the files themselves, so they prove nothing about
    /// these files.
    pub fresh_hashes: bool,
    /// Level of the check.
    pub depth: Depth,
    /// Read only a sample of the files.
    pub sample: Option<Sample>,
    /// Source of the password of an encrypted backup. Without it, only names, sizes and hashes can
    /// be checked.
    pub passwords: Option<&'a dyn Passwords>,
    /// The password may belong to another backup: if it does not open this one, that is a remark
    /// and not an error.
    pub password_is_a_guess: bool,
    /// Identity of the backup that the user named. A different backup in its place is an error.
    pub id: Option<Id>,
    /// Cancellation token: a cancelled check ends with [`Error::Interrupted`].
    pub token: Option<Arc<CancelToken>>,
    /// Files that the phone could not read; by default those in the run's report beside the backup.
    pub complaints: Vec<Complaint>,
}

impl Options<'_> {
    fn is_cancelled(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.cancelled())
    }

    /// Returns the options for a check of every byte.
    pub fn bytes() -> Options<'static> {
        Options {
            depth: Depth::Bytes,
            ..Options::default()
        }
    }
}

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

/// Reads the files that the phone could not read from the report of a run.
pub(crate) fn complaints(report: &Path) -> Vec<Complaint> {
    let read = || -> Option<Vec<Complaint>> {
        let report: serde_json::Value =
            serde_json::from_slice(&plain_file::read(report).ok()?).ok()?;
        let list = report.get("complaints")?.as_array()?;
        let complaint = |entry: &serde_json::Value| {
            let text = |key: &str| Some(entry.get(key)?.as_str()?.to_owned());
            Some(Complaint {
                file: text("file")?,
                device_path: text("device_path")?,
                code: u8::try_from(entry.get("code")?.as_u64()?).ok()?,
                text: text("text")?,
            })
        };
        Some(list.iter().filter_map(complaint).collect())
    };
    read().unwrap_or_default()
}
