//! Sealing: makes a complete draft durable and then puts it in its place with renames. A crash may
//! interrupt these at any point.
//!
//! `seal.json` is written once everything else is durable. From then on the draft *is* the new
//! backup: after a crash [`Store::recover`] completes the renames at the next run, whichever of
//! them have already happened.

use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::complete::Complete;
use crate::base::time::{self, stamp_of};
use crate::store::error::Error;
use crate::store::free_names::{archive_name, free_stamp};
use crate::store::names::REPORT;
use crate::store::record::{Record, Sealing};
use crate::store::removal::{By, Removal};
use crate::store::retention::Policy;
use crate::store::seal::{Intent, finish, has_its_copies};
use crate::store::snapshot::{self, Snapshot};
use crate::store::trash::{self, throw_away};
use crate::store::{disk, order};

/// The result of a seal.
pub struct Sealed {
    /// The time spent on making everything durable.
    pub sync: Duration,
    /// The time spent on renames and on dropping old snapshots.
    pub renames: Duration,
    /// The stamps of the snapshots that no rule keeps and that were dropped.
    pub dropped: Vec<String>,
    /// The number of remaining snapshots beside the current backup.
    pub older: u64,
    /// The first error of tidying up after the backup was in its place.
    pub untidy: Option<Error>,
}

impl Complete {
    /// Makes the draft durable and puts it in its place. The previous backup becomes a snapshot,
    /// and snapshots that no rule in `keep` keeps are dropped.
    ///
    /// `now` is the moment of sealing. When this returns, a power failure loses nothing.
    pub fn seal(self, now: Timestamp, report: &[u8], keep: &Policy) -> Result<Sealed, Error> {
        self.seal_and_tell(now, report, Some(keep), &mut |_| ())
    }

    /// Seals the draft as [`Complete::seal`] does. Without `keep` no snapshot is dropped. `step`
    /// receives the progress of removing snapshots.
    pub(crate) fn seal_and_tell(
        mut self,
        now: Timestamp,
        report: &[u8],
        keep: Option<&Policy>,
        step: &mut dyn FnMut(Removal),
    ) -> Result<Sealed, Error> {
        let (store, udid) = (&self.store, &self.udid);
        let own = store.own_of(udid);
        let draft = store.draft_of(udid);
        let begun = Instant::now();
        // The copies of the metadata must match the new backup, and must not match the current one.
        // Otherwise the new record could not be matched to its backup.
        let (beside, current) = (draft.join("beside"), store.current_path(udid));
        if !has_its_copies(&beside, self.backup())? || has_its_copies(&beside, &current)? {
            return Err(Error::Damaged {
                path: self.backup().to_path_buf(),
                why: "its Status.plist and Info.plist are not of this backup".to_owned(),
            });
        }
        disk::write_whole(&beside.join(REPORT), report)?;
        let listing = self.listing.clone();
        let record = Record::new(Sealing {
            udid: udid.as_str(),
            sequence: order::newest(&snapshot::recorded(&own)?),
            sealed: now,
            date: snapshot::status_date(self.backup()).unwrap_or(now),
            report,
            hashes: self.tally(),
            listing,
        });
        record.write(&beside)?;
        let flushed = self.flush.finish();
        flushed.map_err(|e| Error::io("make durable", &draft, e))?;
        disk::sync_tree(&draft)?;
        let sync = begun.elapsed();
        let intent = Intent {
            stamp: free_stamp(&own, &stamp_of(now.into()))?,
            // The phone's current backup is used here, not the draft's base. A full backup has no
            // base, but the current backup must still be kept.
            archive: store
                .current(udid)?
                .map(|current| archive_name(store, udid, &current))
                .transpose()?,
            place: None,
        };
        let text = serde_json::to_vec(&intent)
            .map_err(|e| Error::io("write", &draft, io::Error::other(e)))?;
        disk::write_whole(&draft.join("seal.json"), &text)?;
        let begun = Instant::now();
        finish(store, udid, &draft, &intent)?;
        // From here on the backup exists, whatever else goes wrong.
        let mut sealed = Sealed {
            sync,
            renames: Duration::ZERO,
            dropped: Vec::new(),
            older: 0,
            untidy: throw_away(&own, &draft, &mut || ()).err(),
        };
        if let Err(e) = drop_old(&self, now, keep, &mut sealed, step) {
            sealed.untidy.get_or_insert(e);
        }
        if let Err(e) = trash::sweep(&own) {
            sealed.untidy.get_or_insert(e);
        }
        sealed.renames = begun.elapsed();
        Ok(sealed)
    }
}

/// Drops the snapshots of a phone that no rule keeps. Only snapshots that this program made and
/// that are still in their place are ever dropped, not those of others, nor copies of ours under
/// another name.
fn drop_old(
    complete: &Complete,
    now: Timestamp,
    policy: Option<&Policy>,
    sealed: &mut Sealed,
    step: &mut dyn FnMut(Removal),
) -> Result<(), Error> {
    let (store, udid) = (&complete.store, &complete.udid);
    let all = snapshot::of(store, udid)?;
    sealed.older = all.iter().filter(|s| !s.is_current()).count() as u64;
    let Some(policy) = policy else {
        return Ok(());
    };
    let (decisions, mut trouble) = store.plan(&all, policy, time::civil(now));
    // The oldest are dropped first, so that a crash leaves the most wanted ones.
    let goes = all.iter().zip(&decisions).rev();
    let goes: Vec<&Snapshot> = goes.filter(|(_, d)| !d.keeps()).map(|(s, _)| s).collect();
    for (done, old) in goes.iter().enumerate() {
        // A snapshot that cannot be dropped does not stop the others from being dropped.
        match store.remove(&complete.lock, old, By::Rule, (done, goes.len()), step) {
            Ok(()) => {
                sealed.older -= 1;
                sealed.dropped.extend(old.stamp());
            }
            Err(e) => {
                trouble.get_or_insert(e);
            }
        }
    }
    trouble.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::recovery::tests::{UDID, drafted, names_in};

    #[test]
    fn retention_drops_only_our_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let seal = |status: &str, stamp: &str, keep: u32| {
            let (complete, ..) = drafted(dir.path(), status);
            let sealed = complete.seal(moment(stamp), b"{}", &keep.into()).unwrap();
            assert!(sealed.untidy.is_none());
            (sealed.older, sealed.dropped)
        };
        // The backup that the phone archived has no folder of ours, since we did not make it.
        let other = dir.path().join(format!("{UDID}-20200101-000000"));
        assert_eq!(seal("1", "20260101-000000", 2), (1, vec![]));
        assert_eq!(seal("2", "20260102-000000", 2), (2, vec![]));
        assert_eq!(seal("3", "20260103-000000", 2), (3, vec![]));
        let dropped = vec!["20260101-000000".to_owned()];
        assert_eq!(seal("4", "20260104-000000", 2), (3, dropped));
        let own = store_own(dir.path());
        assert_eq!(
            names_in(&own),
            [
                "20260102-000000",
                "20260103-000000",
                "20260104-000000",
                "lock",
                "notes.lock"
            ]
        );
        let dropped = ["20260103-000000", "20260102-000000"].map(str::to_owned);
        let (older, mut gone) = seal("5", "20260105-000000", 1);
        gone.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!((older, gone), (2, dropped.to_vec()));
        assert!(other.exists());
    }

    /// Returns the moment of a stamp in local time.
    fn moment(stamp: &str) -> Timestamp {
        let local = time::parse_stamp(stamp).unwrap();
        local
            .to_zoned(jiff::tz::TimeZone::system())
            .unwrap()
            .timestamp()
    }

    fn store_own(root: &Path) -> std::path::PathBuf {
        root.join(".idev-backup").join(UDID)
    }
}
