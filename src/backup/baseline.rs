//! Judges the current backup before a run reuses files from it.
//!
//! A reused file keeps its hash from the list of hashes. If that list is not the one that was
//! sealed, its hashes prove nothing, and new hashes would make damage look like what the phone
//! sent. So a run reuses nothing if the list is damaged.

use std::sync::Arc;

use crate::backup::Error;
use crate::backup_format::plists::{Status, is_complete};
use crate::base::cancel::CancelToken;
use crate::base::progress::{Monitor, Phase};
use crate::store::audit::{Extent, has_damaged_list};
use crate::store::{Snapshot, Store};
use crate::verify::{self, Outcome};

/// Extent to which a run may reuse the current backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The whole backup may be reused.
    Sound,
    /// All may be reused but some metadata files, which are restored from the copies beside the
    /// backup. A draft of an earlier run may hold the damaged ones, and is not used.
    Mended,
    /// Nothing may be reused: the phone has to send everything.
    Spoilt,
}

const HINT: &str = "check the disk, and run `idev-backup verify`, which lists other damage";

/// Judges the current backup, and reports what is wrong with it.
pub fn judge(
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
    let problem = |text: String| monitor.problem(text, Some(HINT.to_owned()));
    let faults = current.audit(Extent::All)?;
    for fault in &faults {
        let path = beside.join(&fault.file);
        problem(format!("{} is damaged: {}", path.display(), fault.why));
    }
    if has_damaged_list(current, &faults) {
        problem(
            "the list of hashes of the current backup is damaged, so none of its files are \
             reused: the phone sends everything again, and that backup stays as a snapshot as \
             long as the retention rules keep it"
                .to_owned(),
        );
        return Ok(Base::Spoilt);
    }
    let altered = current.altered_metadata()?;
    for name in &altered {
        let path = current.path().join(name);
        problem(format!(
            "{} is damaged: it has changed since the backup was completed",
            path.display()
        ));
    }
    match (altered.is_empty(), current.can_mend(&altered)?) {
        (true, _) => Ok(Base::Sound),
        (false, true) => Ok(Base::Mended),
        (false, false) => {
            problem(
                "that file has no undamaged copy, so no files are reused: the phone sends \
                 everything again"
                    .to_owned(),
            );
            Ok(Base::Spoilt)
        }
    }
}

/// Reports that the list of hashes was damaged while the backup ran.
pub fn tell_lost_list(monitor: &dyn Monitor) {
    monitor.problem(
        "the list of hashes of the previous backup was damaged during this run: the hashes of \
         reused files were computed from their current contents on the disk, and `verify` \
         compares with those"
            .to_owned(),
        Some(
            "check the disk, and run `idev-backup create --full`, which reuses no existing files"
                .to_owned(),
        ),
    );
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
    monitor.note("`verify` found the current backup damaged, so it is read again.".to_owned());
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
