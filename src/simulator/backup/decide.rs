//! Decides what to send: everything, changes only, or the rest of an interrupted backup.

use std::collections::HashSet;

use super::run::Run;
use super::{Cache, Kept};
use crate::simulator::content::{Item, Scan};
use crate::simulator::dialog::{Stop, fails};
use crate::simulator::faults::Fault;
use crate::simulator::lock;
use crate::simulator::manifest::{Snapshot, Status};

/// Files on the computer, identified by their names.
#[derive(Default)]
pub(super) struct Listing {
    /// Ids of the files in the backup, sorted.
    pub(super) files: Vec<[u8; 20]>,
    pub(super) snapshot: Vec<[u8; 20]>,
}
impl Run<'_> {
    /// Chooses between a full backup, changes only, and the continuation of an interrupted backup.
    /// Sets up `step`, and returns the state from which to continue, if any.
    pub(super) fn decide(&mut self) -> Result<Option<Snapshot>, Stop> {
        let sent = self.wire.download(&[self.path("Status.plist")], 0.0)?;
        let status = match sent.first() {
            Some(sent) if !sent.absent && sent.size > 0 => match Status::parse(&sent.bytes) {
                Ok(status) => Some(status),
                Err((code, text)) => return fails(code, text),
            },
            _ => None,
        };
        let status = status.filter(|s| !self.forced && !s.empty);
        let cache = lock(&self.phone.memory).cache.clone();
        let found = match (&status, cache) {
            (Some(s), Some(cache)) if s.snapshot != Snapshot::Finished && s.uuid == cache.uuid => {
                Some((cache, s.snapshot))
            }
            _ => None,
        };
        let finished = status.is_some_and(|s| s.snapshot == Snapshot::Finished);
        let mut base = found.as_ref().and_then(|(cache, _)| cache.base.clone());
        // Once moving has begun, the manifests in place may be the old or the new ones.
        let reads = match &found {
            Some((_, snapshot)) => base.is_some() && *snapshot == Snapshot::Uploading,
            None => finished,
        };
        if reads {
            let held = self.held_manifest()?;
            if found.is_none() {
                base = held;
            } else if held.map(|h| h.database) != base.as_ref().map(|b| b.database) {
                self.begin_anew();
                return Ok(None);
            }
        }
        if let Some((cache, snapshot)) = found {
            self.step = cache;
            self.outcome.full = self.step.full;
            self.outcome.resumed = true;
            return Ok(Some(snapshot));
        }
        self.begin_anew();
        self.step.full = base.is_none();
        self.outcome.full = self.step.full;
        self.step.base = base;
        Ok(None)
    }

    /// Returns the phone's earlier backup whose manifest the computer has, if any.
    pub(super) fn held_manifest(&mut self) -> Result<Option<Kept>, Stop> {
        let names = [self.path("Manifest.plist"), self.path("Manifest.db")];
        let sent = self.wire.download(&names, 0.0)?;
        if sent.iter().any(|s| s.absent || s.size == 0) {
            return Ok(None);
        }
        let database = sent.get(1).map(|s| s.hash);
        let memory = lock(&self.phone.memory);
        let known = memory.sent.iter().find(|k| Some(k.database) == database);
        Ok(known.cloned())
    }

    /// Advances to the next generation, and forgets the interrupted backup.
    pub(super) fn begin_anew(&mut self) {
        let mut memory = lock(&self.phone.memory);
        memory.cache = None;
        if memory.kept {
            memory.generation += 1;
            memory.kept = false;
        }
        self.step = Cache::anew();
        self.outcome.full = true;
    }

    pub(super) fn listing(&mut self) -> Result<Listing, Stop> {
        let mut found = Listing::default();
        let root = self.root.clone();
        let top = self.wire.list(&root)?;
        let parts = |names: &[(String, bool)]| -> HashSet<String> {
            let folders = names
                .iter()
                .filter(|(name, folder)| *folder && name.len() == 2);
            folders.map(|(name, _)| name.clone()).collect()
        };
        if top.iter().any(|(name, _)| name == "Snapshot") {
            let inner = self.wire.list(&self.path("Snapshot"))?;
            found.snapshot = self.names("Snapshot/", &parts(&inner))?;
        }
        found.files = self.names("", &parts(&top))?;
        Ok(found)
    }

    pub(super) fn names(
        &mut self,
        folder: &str,
        parts: &HashSet<String>,
    ) -> Result<Vec<[u8; 20]>, Stop> {
        let mut ids = Vec::new();
        for part in (0..=255u8).map(|n| format!("{n:02x}")) {
            if parts.contains(&part) {
                let names = self.wire.list(&self.path(&format!("{folder}{part}")))?;
                ids.extend(names.iter().filter_map(|(name, _)| unhex(name)));
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
    pub(super) fn holds_all(&self, listing: &Listing, generation: u32) -> bool {
        let held = |item: &Item| {
            let found = |ids: &Vec<[u8; 20]>| ids.binary_search(&item.id).is_ok();
            // While files are being moved, each may be in either place.
            found(&listing.files) || self.outcome.resumed && found(&listing.snapshot)
        };
        let scan = self.phone.scan(generation);
        let gone = |item: &Item| self.outcome.resumed && self.is_gone(item);
        scan.files.iter().all(|item| held(item) || gone(item))
    }

    /// Returns true if the file was removed since the base: an interrupted backup may have deleted
    /// it already.
    pub(super) fn is_gone(&self, item: &Item) -> bool {
        let now = lock(&self.phone.memory).generation;
        !self.phone.config.content.has(item, now)
    }
    /// Returns the files that are new or changed since the base.
    pub(super) fn changed(&self, scan: &Scan) -> Vec<Item> {
        let Some(base) = &self.step.base else {
            return scan.files.clone();
        };
        let mut old = self.phone.scan(base.generation).files;
        old.sort_unstable();
        let same = |item: &Item| {
            let found = old.binary_search_by(|o| o.id.cmp(&item.id));
            found.is_ok_and(|at| old[at].version == item.version)
        };
        scan.files.iter().filter(|i| !same(i)).copied().collect()
    }

    pub(super) fn forgotten(&self, changed: &mut Vec<Item>) -> Option<[u8; 20]> {
        if self.faults.contains(&Fault::MissingFile) {
            changed.pop().map(|item| item.id)
        } else {
            None
        }
    }
}

pub(super) fn unhex(name: &str) -> Option<[u8; 20]> {
    let mut id = [0; 20];
    if name.len() != 40 || !name.is_ascii() {
        return None;
    }
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(id)
}
