//! What is damaged, taken back from other backups of the phone that hold it whole: the same file,
//! with the same hash. Nothing is ever guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::finding::{Report, Wrong};
use super::{Options, look_through};
use crate::jobs::{Error, history};
use crate::monitor::{Monitor, Phase};
use crate::path::BackupPath;
use crate::store::sums::{Hash, Line, Lines};
use crate::store::{Snapshot, Store, snapshot};

/// A file that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The file in the backup's folder.
    pub file: String,
    /// Where its bytes were whole.
    pub from: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// Files that were taken back.
    pub repaired: Vec<Repaired>,
    /// Why others could not be put back, though another backup has them.
    pub hindered: Vec<String>,
    /// How the backup is now, looked at anew.
    #[serde(flatten)]
    pub report: Report,
}

/// Checks the backup in `folder`, takes back what other backups hold whole, and checks again.
pub fn repair(folder: &Path, options: &Options, monitor: &dyn Monitor) -> Result<Repair, Error> {
    let nothing = |what: String| Error::Nothing {
        what,
        hint: "make a new one: `idev-backup create --full`".to_owned(),
    };
    let Some(named) = snapshot::to_repair(folder)? else {
        let what = format!(
            "{} lies in no store, so there are no snapshots to take anything from",
            folder.display()
        );
        return Err(nothing(what));
    };
    let store = Store::open(named.path().parent().unwrap_or(folder))?;
    let lock = store.lock(named.udid())?;
    // A run that sealed a new backup may have put it there before this one had the lock.
    let is_named = |now: Option<Snapshot>| {
        options.id.is_none() || now.map(|now| now.id().clone()) == options.id
    };
    let there = snapshot::to_repair(folder)?.filter(|there| there.id() == named.id());
    let there = match there {
        Some(there) if is_named(snapshot::look(folder)?) => Some(there),
        _ => None,
    };
    let Some(backup) = there else {
        return Err(history::moved(folder, None));
    };
    let Some(sums) = backup.sums() else {
        let what = format!(
            "no list of hashes belongs to {}: another program made or changed it, and nothing tells which bytes are right",
            folder.display()
        );
        return Err(nothing(what));
    };
    // A look at the folder alone may not find it, as long as a file of the tie is lost.
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
            // Once: what is still called damaged with the right bytes was so when it was received.
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
        // What was taken back is looked at once more, and so is what did not fit into the list of
        // findings.
        if taken == 0 {
            return Ok(Repair {
                repaired,
                hindered,
                report,
            });
        }
    }
}

/// The hashes of what is damaged.
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
