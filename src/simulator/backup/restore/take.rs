//! Receives the files of a restore: requests them in batches, decrypts them, compares them with the
//! manifest, and records them.

use sha1::{Digest, Sha1};

use super::checks::{Listed, Row, each_row};
use super::run::Run;
use crate::backup_format::content_match::{Database, HEAD_BYTES, Seen, judge};
use crate::backup_format::leads_out;
use crate::base::sha256::Sha256;
use crate::simulator::backup::decide::unhex;
use crate::simulator::dialog::{Fate, Stop, fails};
use crate::simulator::entry::hex;
use crate::simulator::faults::Fault;
use crate::simulator::ledger::{Restored, RestoredKind};
use crate::simulator::unlock::Decryption;

/// Domains that phones restore only onto a device of the same class. The real list is not public;
/// these domains hold no personal data.
const SYSTEM_DOMAINS: [&str; 7] = [
    "RootDomain",
    "SystemPreferencesDomain",
    "WirelessDomain",
    "DatabaseDomain",
    "InstallDomain",
    "ManagedPreferencesDomain",
    "NetworkDomain",
];

const WRONG_DIGEST: &str = "Digest didn't match for some files";

/// A file that is being received.
struct Incoming {
    row: Restored,
    /// Path under which the phone requests the file.
    place: String,
    size: u64,
    digest: Option<Vec<u8>>,
    opening: Option<Decryption>,
    came: u64,
    head: Vec<u8>,
    sha256: Option<Sha256>,
    sha1: Sha1,
    /// Digest of the encrypted bytes, if the file is encrypted.
    raw_sha1: Option<Sha1>,
}

/// A file that was received.
struct Taken {
    row: Restored,
    /// True if the digest in the list matches the contents; `None` if the list has no digest.
    has_digest: Option<bool>,
}

impl Incoming {
    fn feed(&mut self, piece: &[u8], plain: &mut Vec<u8>) {
        if let Some(digest) = &mut self.raw_sha1 {
            digest.update(piece);
        }
        match &mut self.opening {
            None => self.add(piece),
            Some(opening) => {
                plain.clear();
                opening.feed(piece, plain);
                self.add(plain);
            }
        }
    }

    fn add(&mut self, plain: &[u8]) {
        let head = (HEAD_BYTES - self.head.len()).min(plain.len());
        self.head.extend(&plain[..head]);
        self.came += plain.len() as u64;
        if let Some(hash) = &mut self.sha256 {
            hash.update(plain);
        }
        if self.digest.is_some() {
            self.sha1.update(plain);
        }
    }

    /// Returns the received file if it is what the manifest says, or else an error.
    fn finish(mut self, plain: &mut Vec<u8>) -> Result<Taken, Stop> {
        let is_encrypted = self.opening.is_some();
        let mut is_padded = true;
        if let Some(opening) = self.opening.take() {
            plain.clear();
            is_padded = opening.finish(plain);
            self.add(plain);
        }
        let (digest, raw) = (self.sha1.finalize(), self.raw_sha1.map(Sha1::finalize));
        let has_digest = self
            .digest
            .map(|noted| noted == digest[..] || raw.is_some_and(|raw| noted == raw[..]));
        let seen = Seen {
            length: self.came,
            head: &self.head,
            // It is not known over which bytes phones compute the digests of encrypted files.
            has_digest: has_digest.filter(|is_right| *is_right || !is_encrypted),
        };
        let is_exact = || Database::of(&self.head).is_some_and(|found| found.is_exactly(self.came));
        let is_decrypted = is_padded || self.came == self.size || is_exact();
        if !is_decrypted || !judge(self.size, seen).is_acceptable() {
            return fails(205, WRONG_DIGEST);
        }
        let mut row = self.row;
        row.kind = RestoredKind::File {
            size: self.came,
            sha256: (self.sha256).map_or_else(String::new, |hash| hex(&hash.finalize())),
        };
        Ok(Taken { row, has_digest })
    }
}

impl Run<'_> {
    /// Requests all files in the list.
    pub(super) fn take_all(&mut self, listed: &Listed) -> Result<(), Stop> {
        let list = self.open_list(listed)?;
        let mut batch = Vec::with_capacity(Self::BATCH);
        let mut limit = self.faults.iter().find_map(|f| match f {
            Fault::AsksForOnly(files) => Some(*files),
            _ => None,
        });
        each_row(&list, &mut |row| {
            if !self.outcome.system_files && SYSTEM_DOMAINS.contains(&row.domain.as_str()) {
                self.outcome.passed_over += 1;
                return Ok(());
            }
            if let Some(file) = self.begin(row)? {
                match &mut limit {
                    Some(0) => return Ok(()),
                    Some(left) => *left -= 1,
                    None => {}
                }
                batch.push(file);
            }
            match batch.len() {
                Self::BATCH => self.take_batch(std::mem::take(&mut batch)),
                _ => Ok(()),
            }
        })?;
        if !batch.is_empty() {
            self.take_batch(batch)?;
        }
        // A wrong digest of an encrypted file counts only if the digest of another one in the same
        // backup is right.
        if self.digests_wrong > 0 && self.digests_right > 0 {
            return fails(205, WRONG_DIGEST);
        }
        self.write_down()
    }

    /// Prepares a row. Returns the file to request, or `None` for folders and links, which need
    /// only the row.
    fn begin(&mut self, row: Row) -> Result<Option<Incoming>, Stop> {
        let Some(id) = unhex(&row.id) else {
            return fails(205, "A file in the manifest has no valid name");
        };
        if leads_out(&row.domain, &row.path) {
            return fails(205, "A path in the manifest leads out of its domain");
        }
        let record = row.record.read()?;
        let mut restored = Restored {
            file_id: row.id,
            domain: row.domain,
            path: row.path,
            kind: RestoredKind::Folder,
            mode: record.mode,
            modified: record.last_modified,
        };
        match (row.flags, record.target) {
            (1, _) => {}
            (4, Some(target)) => {
                restored.kind = RestoredKind::Link(target);
                self.outcome.links += 1;
                self.note(restored)?;
                return Ok(None);
            }
            (2, _) => {
                self.outcome.folders += 1;
                self.note(restored)?;
                return Ok(None);
            }
            _ => return fails(205, "A file of the manifest is of no known kind"),
        }
        let opening = match (&self.keys, &record.encryption_key) {
            (None, _) => None,
            (Some(keys), Some(wrapped)) => match keys.key(wrapped) {
                Some(key) => Some(Decryption::new(&key)),
                None => return fails(205, "Encryption key missing"),
            },
            // Empty files have no key.
            (Some(_), None) if record.size == 0 => None,
            (Some(_), None) => return fails(205, "Encryption key missing"),
        };
        Ok(Some(Incoming {
            place: self.place_of(&id),
            row: restored,
            size: record.size,
            raw_sha1: (opening.is_some() && record.digest.is_some()).then(Sha1::new),
            digest: record.digest,
            opening,
            came: 0,
            head: Vec::new(),
            sha256: self.phone.config.ledger_hashes.then(Sha256::new),
            sha1: Sha1::new(),
        }))
    }

    /// Returns the path of a file. Those that an interrupted backup did not move into place are in
    /// another folder.
    fn place_of(&self, id: &[u8; 20]) -> String {
        let name = hex(id);
        let folder = if self.unmoved.contains(id) {
            "Snapshot/"
        } else {
            ""
        };
        if self.old_list {
            self.path(&format!("{folder}{name}"))
        } else {
            self.path(&format!("{folder}{}/{name}", &name[..2]))
        }
    }

    fn take_batch(&mut self, mut batch: Vec<Incoming>) -> Result<(), Stop> {
        let paths: Vec<String> = batch.iter().map(|file| file.place.clone()).collect();
        let mut plain = Vec::new();
        let progress = self.progress();
        let fates = self.wire.fetch(&paths, progress, &mut |n, piece| {
            batch[n].feed(piece, &mut plain);
            Ok(())
        })?;
        if fates.iter().any(|fate| *fate != Fate::Whole) {
            return fails(205, "Multiple errors downloading files");
        }
        for file in batch {
            let size = file.size;
            let Taken { row, has_digest } = file.finish(&mut plain)?;
            match has_digest {
                Some(true) => self.digests_right += 1,
                Some(false) => self.digests_wrong += 1,
                None => {}
            }
            if let RestoredKind::File { size, .. } = row.kind {
                self.outcome.files += 1;
                self.outcome.bytes += size;
            }
            self.done = self.done.saturating_add(size);
            self.note(row)?;
        }
        Ok(())
    }

    fn note(&mut self, row: Restored) -> Result<(), Stop> {
        self.rows.push(row);
        match self.rows.len() {
            Self::BATCH => self.write_down(),
            _ => Ok(()),
        }
    }

    fn write_down(&mut self) -> Result<(), Stop> {
        let rows = std::mem::take(&mut self.rows);
        let Some(ledger) = &self.ledger else {
            return Ok(());
        };
        if ledger.add(&rows)? {
            Ok(())
        } else {
            fails(205, "The manifest names a file twice")
        }
    }
}
