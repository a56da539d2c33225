//! Uploads the status, the files in batches, and the manifests.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::BATCH;
use super::decide::unhex;
use super::run::Run;
use crate::simulator::content::{Item, Scan};
use crate::simulator::dialog::{Stop, fails};
use crate::simulator::entry::{Entry, Kind};
use crate::simulator::faults::Fault;
use crate::simulator::keys::{Encrypted, Fill};
use crate::simulator::manifest::{self, Snapshot, TempFile};
use crate::simulator::wire::{CODE_IO_ERROR, CODE_OK, FRAME_BYTES};

/// Manner in which a file is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Whole,
    /// Sends only the first half, as if it were the whole file.
    Cut,
    /// Sends the first half, then an error.
    Fails,
}

/// Returns true for a photo or a file of an application that has no digest in the list.
fn can_be_cut(entry: &Entry) -> bool {
    let is_large = matches!(entry.kind, Kind::File { size, .. } if size > 1000);
    is_large && entry.record().digest.is_none()
}

impl Run<'_> {
    pub(super) fn put_status(&mut self, snapshot: Snapshot) -> Result<(), Stop> {
        let bytes = manifest::status(&self.step.uuid, snapshot, self.step.full)?;
        self.wire.begin_upload(0, self.progress())?;
        self.put_small("/var/tmp/tmp.2.5YnM5D", &self.path("Status.plist"), &bytes)?;
        self.wire.end_upload()
    }

    pub(super) fn put_small(
        &mut self,
        on_phone: &str,
        on_host: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.wire.name_file(on_phone, on_host)?;
        for part in bytes.chunks(FRAME_BYTES) {
            self.wire.frame(part.len(), |room| {
                room.copy_from_slice(part);
                Ok(part.len())
            })?;
        }
        self.wire.end_of_file(CODE_OK, "")
    }

    pub(super) fn upload(&mut self, scan: &Scan, uploads: &[Item]) -> Result<(), Stop> {
        let every = self.faults.iter().find_map(|f| match f {
            Fault::DeviceError(every) => Some((*every).max(1)),
            _ => None,
        });
        let mut failed = 0u64;
        let mut count = 0u64;
        let mut cuts_one = self.faults.contains(&Fault::ShortFile);
        for (number, batch) in uploads.chunks(BATCH).enumerate() {
            let entries: Vec<Entry> = batch.iter().map(|item| scan.entry(item)).collect();
            let bytes = entries.iter().map(|entry| scan.sent_size(entry)).sum();
            self.done += bytes;
            self.wire.begin_upload(bytes, self.progress())?;
            for (item, entry) in batch.iter().zip(&entries) {
                count += 1;
                let fails = every.is_some_and(|every| count.is_multiple_of(every));
                failed += u64::from(fails);
                let cuts = cuts_one && can_be_cut(entry);
                cuts_one &= !cuts;
                let mut path = self.file_path("Snapshot/", &item.id);
                if count == 1 {
                    path = self.bad_name(path)?;
                }
                let manner = match (fails, cuts) {
                    (true, _) => Manner::Fails,
                    (false, true) => Manner::Cut,
                    (false, false) => Manner::Whole,
                };
                self.put_file(scan, entry, &path, manner)?;
                if !fails {
                    self.outcome.files += 1;
                    self.outcome.bytes += scan.sent_size(entry);
                }
            }
            if number == 0 && self.phone.file_provider_fails(self.faults) {
                self.put_unreadable()?;
            }
            self.wire.end_upload()?;
        }
        if failed > 0 {
            return fails(104, "Multiple errors uploading files");
        }
        Ok(())
    }

    /// Injects faults into the name of the first file.
    pub(super) fn bad_name(&mut self, path: String) -> Result<String, Stop> {
        for fault in self.faults {
            match fault {
                Fault::Name(name) => return Ok(name.clone()),
                Fault::NameLength(length) => {
                    self.wire.put(&4u32.to_be_bytes())?;
                    self.wire.put(b"file")?;
                    self.wire.put(&length.to_be_bytes())?;
                    self.wire.put(&[b'x'; 4096])?;
                }
                Fault::FrameLength(length) => {
                    self.wire.name_file("file", &path)?;
                    self.wire.put(&length.to_be_bytes())?;
                    self.wire.put(&[0x0c; 4096])?;
                }
                _ => continue,
            }
            self.wire.flush()?;
            self.wire.stall()?;
        }
        Ok(path)
    }

    pub(super) fn put_file(
        &mut self,
        scan: &Scan,
        entry: &Entry,
        path: &str,
        manner: Manner,
    ) -> Result<(), Stop> {
        self.wire.name_file(&entry.device_path(), path)?;
        let mut bytes = scan.sent_bytes(entry);
        let mut left = scan.sent_size(entry);
        if manner != Manner::Whole {
            left = left / 2 / 16 * 16;
        }
        while left > 0 {
            let length = left.min(FRAME_BYTES as u64) as usize;
            self.wire.frame(length, &mut bytes)?;
            left -= length as u64;
        }
        if manner == Manner::Fails {
            self.wire
                .end_of_file(CODE_IO_ERROR, "Input/output error (5)")?;
        } else {
            self.wire.end_of_file(CODE_OK, "")?;
        }
        Ok(())
    }

    /// Sends the file that iOS 17 always fails to read.
    pub(super) fn put_unreadable(&mut self) -> Result<(), Stop> {
        let path = "/var/mobile/Library/Application Support/FileProvider/backup/backup_manifest.db";
        let id = unhex("49128ab470583769cf58eb2e9fe2eb47983afac3").unwrap_or_default();
        let host = self.file_path("Snapshot/", &id);
        self.wire.name_file(path, &host)?;
        self.wire
            .end_of_file(CODE_IO_ERROR, "Input/output error (5)")?;
        Ok(())
    }

    pub(super) fn put_manifests(
        &mut self,
        scan: &Scan,
        properties: &[u8],
        database: &TempFile,
    ) -> Result<(), Stop> {
        self.wire.begin_upload(0, 95.0)?;
        let path = self.path("Snapshot/Manifest.plist");
        self.put_small("/var/tmp/tmp.3.Manifest.plist", &path, properties)?;
        let path = self.path("Snapshot/Manifest.db");
        let mut hash = Sha256::new();
        if self.faults.contains(&Fault::BadManifest) {
            let rubbish = [0x5a; 12_345];
            hash.update(rubbish);
            self.put_small("/var/tmp/tmp.4.Manifest.db", &path, &rubbish)?;
        } else {
            let mut file = database.open()?;
            let mut plain = move |room: &mut [u8]| fill(&mut file, room);
            let key = scan.keys.as_ref().and_then(|keys| keys.of_manifest());
            let mut bytes: Fill = match key {
                Some((key, _)) => {
                    let mut encrypted = Encrypted::new(key, plain);
                    Box::new(move |room| encrypted.fill(room))
                }
                None => Box::new(move |room| plain(room)),
            };
            self.wire.name_file("/var/tmp/tmp.4.Manifest.db", &path)?;
            loop {
                let count = self.wire.frame(FRAME_BYTES, |room| {
                    let filled = bytes(room)?;
                    hash.update(&room[..filled]);
                    Ok(filled)
                })?;
                if count < FRAME_BYTES {
                    break;
                }
            }
            self.wire.end_of_file(CODE_OK, "")?;
        }
        self.step.database = Some(hash.finalize().into());
        self.wire.end_upload()
    }
}

/// Fills the buffer, or reads all that is left.
fn fill(file: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match file.read(&mut room[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
