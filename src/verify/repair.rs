//! Repairs a damaged backup with files from other backups of the phone that have them whole: the
//! same file, with the same hash. Nothing is ever guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::check_backup::look_through;
use super::finding::{Report, Wrong};
use super::options::Options;
use crate::base::backup_path::BackupPath;
use crate::base::progress::{Monitor, Phase};
use crate::store::sums::{Hash, Line, Lines};
use crate::store::{self, Snapshot, Store, snapshot};
use crate::verify::Error;

/// A file that was repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Path of the file in the backup's folder.
    pub file: String,
    /// Place from which the right bytes were taken.
    pub from: String,
}

/// Result of a repair.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// Files that were repaired.
    pub repaired: Vec<Repaired>,
    /// Reasons that other files could not be repaired, though another backup has them.
    pub hindered: Vec<String>,
    /// Report of the check after the repair.
    #[serde(flatten)]
    pub report: Report,
}

/// Checks the backup in `folder`, repairs it with what other backups have whole, and checks it
/// again.
pub fn repair(folder: &Path, options: &Options, monitor: &dyn Monitor) -> Result<Repair, Error> {
    let Some(named) = snapshot::to_repair(folder)? else {
        return Err(Error::NotInStore(folder.to_path_buf()));
    };
    let store = Store::open(named.path().parent().unwrap_or(folder))?;
    let lock = store.lock(named.udid())?;
    // Another run may have sealed a new backup at this path before this run had the lock.
    let is_named = |now: Option<Snapshot>| {
        options.id.is_none() || now.map(|now| now.id().clone()) == options.id
    };
    let there = snapshot::to_repair(folder)?.filter(|there| there.id() == named.id());
    let there = match there {
        Some(there) if is_named(snapshot::look(folder)?) => Some(there),
        _ => None,
    };
    let Some(backup) = there else {
        return Err(store::Error::moved(folder, None).into());
    };
    let Some(sums) = backup.sums() else {
        return Err(Error::NoHashes(folder.to_path_buf()));
    };
    // Name the list of hashes explicitly: if a file that ties it to the backup is lost, a check of
    // the folder alone may not find it.
    let options = &Options {
        id: None,
        sums: options.sums.clone().or_else(|| Some(sums.clone())),
        ..options.clone()
    };
    let mut repaired = Vec::new();
    let mut hindered = Vec::new();
    for (file, from) in store.mend_records(&lock, &backup)? {
        repaired.push(Repaired {
            file: file.display().to_string(),
            from: from.display().to_string(),
        });
    }
    let mut tried = BTreeSet::new();
    loop {
        monitor.phase(Phase::Checking);
        let report = look_through(folder, options, monitor)?;
        let mut taken = 0;
        for (file, hash) in wanted(&report, &sums)? {
            let Ok(path) = file.parse::<BackupPath>() else {
                continue;
            };
            // Try each file once: if it has the right bytes and is still reported as damaged, it
            // was damaged when it was received.
            if !tried.insert(file.clone()) {
                continue;
            }
            match store.take_back(&lock, &backup, &path, &hash) {
                Ok(None) => {}
                Ok(Some(from)) => {
                    taken += 1;
                    let from = from.display().to_string();
                    repaired.push(Repaired { file, from });
                }
                Err(e) if e.is_full() => return Err(e.into()),
                Err(e) => hindered.push(e.to_string()),
            }
        }
        // Check again after each round: the check confirms the repaired files, and finds damage
        // that did not fit into the list of findings.
        if taken == 0 {
            return Ok(Repair {
                repaired,
                hindered,
                report,
            });
        }
    }
}

/// Returns the hashes of the damaged files.
fn wanted(report: &Report, sums: &Path) -> Result<BTreeMap<String, Hash>, Error> {
    let by_bytes = |wrong| {
        matches!(
            wrong,
            Wrong::Missing
                | Wrong::Truncated
                | Wrong::Altered
                | Wrong::Swapped
                | Wrong::Unreadable
                | Wrong::Corrupt
        )
    };
    let damaged: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| by_bytes(finding.wrong))
        .map(|finding| finding.file.as_str())
        .collect();
    let mut wanted = BTreeMap::new();
    if damaged.is_empty() {
        return Ok(wanted);
    }
    for line in Lines::open(sums)? {
        let Line::Good(path, hash) = line? else {
            continue;
        };
        if damaged.contains(&path.as_str()) {
            wanted.insert(path, hash);
        }
    }
    Ok(wanted)
}
