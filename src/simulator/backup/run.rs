//! Runs one backup: its messages in order, from the passcode to the verification.

use std::sync::Arc;

use super::decide::Listing;
use super::{BATCH, Cache, HEADROOM, Kept, OVERSHOOT, passcode, told_to_fail};
use crate::simulator::content::{Item, Scan};
use crate::simulator::dialog::{Stop, fails};
use crate::simulator::entry::hex;
use crate::simulator::faults::Fault;
use crate::simulator::lock;
use crate::simulator::manifest::{self, Database, Snapshot, Status};
use crate::simulator::phone::{Outcome, Phone};
use crate::simulator::wire::Wire;

/// State of a backup in progress.
pub(super) struct Run<'a> {
    pub(super) phone: &'a Phone,
    pub(super) wire: &'a mut Wire,
    pub(super) faults: &'a [Fault],
    /// Negotiated version of DeviceLink.
    pub(super) version: u64,
    /// Name of the backup's folder on the computer.
    pub(super) root: String,
    pub(super) forced: bool,
    pub(super) outcome: Outcome,
    /// State that the phone keeps if the connection is lost.
    pub(super) step: Cache,
    /// Number of bytes to send.
    pub(super) total: u64,
    pub(super) done: u64,
}

impl Run<'_> {
    pub(super) fn all(&mut self) -> Result<(), Stop> {
        self.wire.misbehave(self.faults)?;
        passcode(self.phone, self.wire)?;
        if self.phone.config.icloud_restore {
            let text = "iTunes Backup is unavailable while an iCloud Restore is in progress";
            return fails(25, text);
        }
        told_to_fail(self.faults)?;
        let resumes = self.decide()?;
        let listing = self.listing()?;
        let scan = Arc::new(self.scan());
        if let Some(base) = self.step.base.clone()
            && !self.holds_all(&listing, base.generation)
        {
            // A file of the manifest is missing, so send everything again.
            self.step = Cache::anew();
            return self.send(&scan, &listing, None);
        }
        self.send(&scan, &listing, resumes)
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    pub(super) fn file_path(&self, folder: &str, id: &[u8; 20]) -> String {
        let name = hex(id);
        format!("{}/{folder}{}/{name}", self.root, &name[..2])
    }
    pub(super) fn scan(&self) -> Scan {
        let generation = lock(&self.phone.memory).generation;
        self.phone.scan(generation)
    }
    /// Runs everything after the decision on what to send.
    pub(super) fn send(
        &mut self,
        scan: &Arc<Scan>,
        listing: &Listing,
        resumes: Option<Snapshot>,
    ) -> Result<(), Stop> {
        self.outcome.full = self.step.full;
        let mut changed = self.changed(scan);
        let forgotten = self.forgotten(&mut changed);
        // Built while the files are being sent, since it is sent after them.
        let database = Database::begin(scan, self.faults);
        let properties = manifest::plist(self.phone, scan.keys.as_deref(), self.faults)?;
        if matches!(resumes, None | Some(Snapshot::Uploading)) {
            let uploads: Vec<Item> = changed
                .iter()
                .filter(|i| resumes.is_none() || listing.snapshot.binary_search(&i.id).is_err())
                .copied()
                .collect();
            self.total = uploads.iter().map(|i| scan.sent_size(&scan.entry(i))).sum();
            self.make_room()?;
            self.make_folders()?;
            lock(&self.phone.memory).cache = Some(self.step.clone());
            self.put_status(Snapshot::Uploading)?;
            self.upload(scan, &uploads)?;
            self.put_manifests(scan, &properties, &database.finish()?)?;
            self.put_status(Snapshot::Moving)?;
            lock(&self.phone.memory).cache = Some(self.step.clone());
        }
        if resumes != Some(Snapshot::Removing) {
            // Files moved before the interruption are no longer in the snapshot folder.
            let left: Vec<Item> = changed
                .iter()
                .filter(|i| {
                    resumes != Some(Snapshot::Moving)
                        || listing.snapshot.binary_search(&i.id).is_ok()
                })
                .copied()
                .collect();
            self.move_into_place(&left, resumes == Some(Snapshot::Moving))?;
            self.put_status(Snapshot::Removing)?;
        }
        self.remove_old(scan, listing)?;
        self.put_status(Snapshot::Finished)?;
        // A damaged manifest cannot be the base of the next backup.
        let sound = !self.faults.contains(&Fault::BadManifest);
        if let Some(database) = self.step.database.filter(|_| sound) {
            let mut memory = lock(&self.phone.memory);
            let generation = memory.generation;
            memory.sent.push(Kept {
                generation,
                database,
            });
        }
        self.verify(scan, forgotten)
    }
    pub(super) fn make_room(&mut self) -> Result<(), Stop> {
        let claim = self.faults.iter().find_map(|f| match f {
            Fault::ClaimSize(bytes) => Some(*bytes),
            _ => None,
        });
        let need = claim.unwrap_or(self.total).saturating_add(HEADROOM);
        let free = self.wire.free_space()?;
        if free > need {
            return Ok(());
        }
        // This request does not exist before DeviceLink 400.
        if self.version >= 400
            && self.wire.purge((need - free).saturating_add(OVERSHOOT))?
            && self.wire.free_space()? > need
        {
            return Ok(());
        }
        fails(105, "Insufficient free disk space on drive to back up")
    }

    pub(super) fn make_folders(&mut self) -> Result<(), Stop> {
        for folder in [self.root.clone(), self.path("Snapshot")] {
            self.wire.make_folder(&folder, 0.0)?;
            for part in 0..=255u8 {
                self.wire
                    .make_folder(&format!("{folder}/{part:02x}"), 0.0)?;
            }
        }
        Ok(())
    }

    pub(super) fn progress(&self) -> f64 {
        match self.total {
            0 => 90.0,
            total => self.done as f64 / total as f64 * 90.0,
        }
    }
    pub(super) fn move_into_place(&mut self, items: &[Item], again: bool) -> Result<(), Stop> {
        for batch in items.chunks(BATCH) {
            let pairs = batch.iter().map(|item| {
                (
                    self.file_path("Snapshot/", &item.id),
                    self.file_path("", &item.id),
                )
            });
            let pairs = pairs.collect();
            self.wire.move_items(pairs, 96.0)?;
            self.outcome.moved += batch.len() as u64;
        }
        let mut manifests = vec!["Manifest.plist", "Manifest.db"];
        if again {
            // The interruption may have come after they were moved.
            let left = self.wire.list(&self.path("Snapshot"))?;
            manifests.retain(|name| left.iter().any(|(found, _)| found == name));
            if manifests.is_empty() {
                return Ok(());
            }
        }
        let pairs = manifests
            .into_iter()
            .map(|name| (self.path(&format!("Snapshot/{name}")), self.path(name)));
        let pairs = pairs.collect();
        self.wire.move_items(pairs, 97.0)
    }

    /// Removes files that are listed but no longer on the phone, then the snapshot folder.
    pub(super) fn remove_old(&mut self, scan: &Scan, listing: &Listing) -> Result<(), Stop> {
        let mut now: Vec<[u8; 20]> = scan.files.iter().map(|i| i.id).collect();
        now.sort_unstable();
        let old: Vec<&[u8; 20]> = listing
            .files
            .iter()
            .filter(|id| now.binary_search(id).is_err())
            .collect();
        for batch in old.chunks(BATCH) {
            let paths = batch.iter().map(|id| self.file_path("", id)).collect();
            self.wire.remove_items(paths, 98.0)?;
            self.outcome.removed += batch.len() as u64;
        }
        let snapshot = self.path("Snapshot");
        self.wire.remove_items(vec![snapshot], 98.5)
    }

    /// Reads the metadata again, and checks that every file exists by name.
    pub(super) fn verify(&mut self, scan: &Scan, forgotten: Option<[u8; 20]>) -> Result<(), Stop> {
        let names = ["Status.plist", "Manifest.plist", "Manifest.db"].map(|n| self.path(n));
        let sent = self.wire.download(&names, 99.0)?;
        let [status, properties, database] = <[_; 3]>::try_from(sent)
            .map_err(|_| Stop::Fails(205, "Backup metadata is missing".into()))?;
        let state = Status::parse(&status.bytes).ok();
        let finished =
            state.is_some_and(|s| s.uuid == self.step.uuid && s.snapshot == Snapshot::Finished);
        let described = crate::base::bounded_plist::parse(&properties.bytes).is_ok();
        if !finished || !described || Some(database.hash) != self.step.database {
            return fails(205, "Backup metadata is not what was sent");
        }
        let listing = self.listing()?;
        let held = |item: &&Item| listing.files.binary_search(&item.id).is_ok();
        let missing = scan.files.iter().filter(|i| Some(i.id) != forgotten);
        match missing.filter(|i| !held(i)).count() {
            0 => Ok(()),
            _ => fails(205, "Manifest references files not in backup"),
        }
    }
}
