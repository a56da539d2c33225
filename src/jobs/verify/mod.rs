//! Is a backup whole? For any folder of Apple's layout, ours or another program's.
//!
//! One walk over the folder in the order of file ids (`check`), beside it the phone's list
//! (Manifest.db, or Manifest.mbdb of iOS 9 and older) and our list of hashes, both in the same
//! order: nothing is held in memory but the findings, and those are capped. Threads read the files'
//! bytes (`contents`) and look into databases and property lists (`inside`).

mod after;
mod check;
mod contents;
mod finding;
mod inside;
mod open;
mod our_files;
mod outcome;
mod property_list;
mod repair;
mod size;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::opened::Mark;
use super::password::Passwords;
use super::{Error, history};
use crate::manifest::plists::{self, Unreadable};
use crate::monitor::{Monitor, Phase};
use crate::plain_file;
use crate::store::{self, Id, snapshot};
use crate::transport::Calm;
use check::Check;
pub use finding::{Finding, Outcome, Report, Wrong};
pub use inside::Inside;
use our_files::OurFiles;
pub use our_files::Proof;
pub use repair::{Repair, Repaired, repair};

/// How much is looked at. Each level does all that the one before does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// What must be there is there, with the right name and size.
    #[default]
    Quick,
    /// Every byte of it is what was received, where there is a list of hashes.
    Bytes,
    /// Every file can be decrypted and used: *could this be restored?*
    Deep,
}

/// Reads only some of the files.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// How many of them: 0.05 for one in twenty.
    pub fraction: f64,
    /// Another number chooses other files.
    pub salt: u64,
}

impl Sample {
    /// Whether this file is among them: the same salt chooses the same files.
    fn has(self, path: &str) -> bool {
        // FNV-1a, then a multiplication that spreads it over all bits.
        let hash = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let sum = path.bytes().fold(0xcbf2_9ce4_8422_2325 ^ self.salt, hash);
        let mixed = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 11) as f64) < self.fraction * (1u64 << 53) as f64
    }
}

/// A file that the phone could not read when the backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Where it would lie in the backup's folder.
    pub file: String,
    /// Its path on the phone.
    pub device_path: String,
    /// The phone's code.
    pub code: u8,
    /// The phone's words.
    pub text: String,
}

/// How to check.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// The list of hashes; without one the folder's own is looked for beside it.
    pub sums: Option<PathBuf>,
    /// Some of its hashes were made of the files just now, so that they prove nothing about them.
    pub fresh_hashes: bool,
    /// How much is looked at.
    pub depth: Depth,
    /// Reads only some of the files.
    pub sample: Option<Sample>,
    /// Knows the password of an encrypted backup. Without it only names, sizes and hashes can be
    /// checked.
    pub passwords: Option<&'a dyn Passwords>,
    /// The password may be of another backup: one that does not open this one is a remark.
    pub password_is_a_guess: bool,
    /// The identity of the backup that was named: another one in its place is an error.
    pub id: Option<Id>,
    /// Says when to stop: then the check ends as interrupted.
    pub calm: Option<Arc<Calm>>,
    /// What the phone could not read; without any, those of the run's report beside the backup.
    pub complaints: Vec<Complaint>,
}

impl Options<'_> {
    fn is_cancelled(&self) -> bool {
        self.calm.as_ref().is_some_and(|calm| calm.cancelled())
    }

    /// Every byte.
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

/// The same, as a part of a phase that has begun.
pub(super) fn look_through(
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    if !folder.is_dir() {
        return Err(Error::Nothing {
            what: format!("there is no folder {}", folder.display()),
            hint: "`idev-backup list` shows the backups of the store".to_owned(),
        });
    }
    if !store::is_backup(folder)
        && plists::read(folder, "Status.plist").err() == Some(Unreadable::Absent)
    {
        return Err(Error::Nothing {
            what: format!("{} is no backup of an iPhone or iPad", folder.display()),
            hint: "name the folder that holds Manifest.db; `idev-backup list` shows the backups of the store".to_owned(),
        });
    }
    may_read(folder)?;
    let known = snapshot::look(folder)?;
    let of = known.clone();
    if let Some(id) = &options.id
        && of.as_ref().is_none_or(|now| now.id() != id)
    {
        return Err(history::moved(folder, None));
    }
    let mut options = options.clone();
    let ours = match &known {
        Some(known) => OurFiles::of(known, options.depth)?,
        None => OurFiles::default(),
    };
    options.sums = options
        .sums
        .or_else(|| known.as_ref().and_then(|s| s.sums()))
        // A pipe or a folder in its place is told of as damage to our files.
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

/// What we may not read is not damaged, and nothing can be said of it.
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

/// What the report of a run says of files that the phone could not read.
pub(super) fn complaints(report: &Path) -> Vec<Complaint> {
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
