//! Judges the current backup before a run reuses files from it.
//!
//! A reused file keeps its hash from the list of hashes. If that list is not the one that was
//! sealed, its hashes prove nothing, and new hashes would make damage look like what the phone
//! sent. So a run reuses nothing if the list is damaged.

use std::sync::Arc;

use crate::backup::{Error, Problem};
use crate::backup_format::plists::{Status, is_complete};
use crate::base::cancel::CancelToken;
use crate::base::progress::{Monitor, Phase};
use crate::store::audit::{Extent, has_damaged_list};
use crate::store::{Snapshot, Store};
use crate::verify::{self, Outcome};

/// Extent to which a run may reuse the current backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// The whole backup may be reused.
    Sound,
    /// All may be reused but some metadata files, which are restored from the copies beside the
    /// backup. A draft of an earlier run may hold the damaged ones, and is not used.
    Mended,
    /// Nothing may be reused: the phone has to send everything.
    Spoilt,
}

/// Judges the current backup, and reports what is wrong with it.
pub(crate) fn judge(
    store: &Store,
    current: &Snapshot,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<Base, Error> {
    let ours = judge_our_files(current, monitor)?;
    if ours != Base::Spoilt && is_damaged(store, current, token, monitor)? {
        return Ok(Base::Spoilt);
    }
    Ok(ours)
}

/// Compares the store's own files about a backup, and the backup's metadata, with their record.
fn judge_our_files(current: &Snapshot, monitor: &dyn Monitor) -> Result<Base, Error> {
    let Some(beside) = current.beside() else {
        // Another program made the backup: none of its hashes is reused.
        return Ok(Base::Sound);
    };
    let problem = |problem: Problem| monitor.problem(problem.into());
    let faults = current.audit(Extent::All)?;
    for fault in &faults {
        problem(Problem::Damaged {
            path: beside.join(&fault.file),
            why: fault.why.clone(),
        });
    }
    if has_damaged_list(current, &faults) {
        problem(Problem::DamagedList);
        return Ok(Base::Spoilt);
    }
    let altered = current.altered_metadata()?;
    for name in &altered {
        problem(Problem::Damaged {
            path: current.path().join(name),
            why: "it has changed since the backup was completed".to_owned(),
        });
    }
    match (altered.is_empty(), current.can_mend(&altered)?) {
        (true, _) => Ok(Base::Sound),
        (false, true) => Ok(Base::Mended),
        (false, false) => {
            problem(Problem::NoCopy);
            Ok(Base::Spoilt)
        }
    }
}

/// Returns true if a check found the current backup damaged and its bytes still differ from those
/// that were received. Damage that the phone itself causes does not count: a new backup would have
/// it too.
fn is_damaged(
    store: &Store,
    current: &Snapshot,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<bool, Error> {
    // Unreadable notes are reported when the backup is sealed.
    let notes = store.notes(current.udid()).unwrap_or_default();
    let is_finished = |status: Status| is_complete(current.path(), &status);
    if notes.of(current).damaged.is_none() || !Status::read(current.path()).is_ok_and(is_finished) {
        return Ok(false);
    }
    monitor.note("A check found the current backup damaged, so it is read again.".to_owned());
    monitor.phase(Phase::Checking);
    let how = verify::Options {
        token: Some(token.clone()),
        ..verify::Options::bytes()
    };
    match verify::look_through(current.path(), &how, monitor) {
        // Bytes that could be compared with nothing may be the damaged ones.
        Ok(report) => Ok(report.outcome == Outcome::Damaged || report.not_compared > 0),
        Err(verify::Error::Interrupted) => Err(Error::Interrupted),
        // A backup that cannot be checked is not reused either.
        Err(_) => Ok(true),
    }
}
