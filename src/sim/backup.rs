//! mobilebackup2: greets, takes requests, and backs up in the order of a real phone.
//!
//! The computer may fail or go away at any message. A lost connection leaves the phone's cache, and the next backup goes
//! on; an error deletes it, and the next backup sends everything.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use plist::{Dictionary, Value};
use sha2::{Digest, Sha256};

use super::content::{Entry, Item, Scan, hex};
use super::dialog::{Stop, fails};
use super::faults::{self, Fault};
use super::manifest::{self, Snapshot, Status, TempFile};
use super::phone::{Outcome, Phone};
use super::tls::Link;
use super::wire::{CODE_IO_ERROR, CODE_OK, FRAME_BYTES, Wire};

/// Files in one message.
const BATCH: usize = 128;
/// What must stay free on the computer.
const HEADROOM: u64 = 128 << 20;
/// What the phone asks for beyond its need when it asks the computer to make room.
const OVERSHOOT: u64 = 2 << 30;

/// What the phone remembers of its backups.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The state of its contents.
    pub(super) generation: u32,
    /// This generation is in a finished backup: the next one sees changes.
    kept: bool,
    /// The backups that it sent, on whatever computer.
    sent: Vec<Kept>,
    /// The backup that was cut.
    cache: Option<Cache>,
    started: u32,
    busy: bool,
}

/// A backup on some computer, known by the hash of its Manifest.db.
#[derive(Debug, Clone)]
struct Kept {
    generation: u32,
    database: [u8; 32],
}

/// What survives a lost connection.
#[derive(Debug, Clone)]
struct Cache {
    uuid: String,
    full: bool,
    base: Option<Kept>,
    database: Option<[u8; 32]>,
}

/// Serves one client until it goes away.
pub(super) fn serve(phone: &Arc<Phone>, link: Link) -> io::Result<()> {
    let mut wire = Wire::new(link);
    let number = super::lock(&phone.memory).started + 1;
    let faults = faults::of_backup(&phone.config.faults, number);
    wire.suffer(&faults);
    let version = greet(phone, &mut wire, &faults)?;
    loop {
        let message = wire.receive()?;
        let parts = message.into_array().unwrap_or_default();
        match parts.first().and_then(Value::as_string) {
            Some("DLMessageProcessMessage") => {}
            Some("DLMessagePing") => {
                wire.message(vec!["DLMessagePing".into()])?;
                continue;
            }
            _ => break,
        }
        let Some(Value::Dictionary(request)) = parts.into_iter().nth(1) else {
            break;
        };
        let name = request.get("MessageName").and_then(Value::as_string);
        match name.unwrap_or_default() {
            "Backup" => {
                back_up(phone, &mut wire, &faults, &request, version)?;
                wire.message(vec!["DLMessageDisconnect".into(), "Bye".into()])?;
                break;
            }
            "Remove" => wire.respond(1, "Remove action is no longer supported")?,
            other @ ("Restore" | "ChangePassword" | "Extract" | "Info" | "List" | "Unback"
            | "EnableCloudBackup" | "EraseDevice") => {
                wire.respond(
                    1,
                    &format!("{other} is not supported by the simulated phone"),
                )?;
            }
            _ => break,
        }
    }
    wire.close();
    Ok(())
}

/// Agrees on versions; returns that of DeviceLink.
fn greet(phone: &Phone, wire: &mut Wire, faults: &[Fault]) -> io::Result<u64> {
    let bad = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
    let offer = phone.config.device_link;
    wire.message(vec![
        "DLMessageVersionExchange".into(),
        offer.into(),
        0u64.into(),
    ])?;
    let answer = wire.receive()?.into_array().unwrap_or_default();
    if answer.get(1).and_then(Value::as_string) != Some("DLVersionsOk") {
        return bad("the computer refuses the version");
    }
    let agreed = answer.get(2).and_then(Value::as_unsigned_integer);
    let agreed = agreed.map_or(offer, |wanted| wanted.min(offer));
    wire.message(vec!["DLMessageDeviceReady".into()])?;
    if faults.contains(&Fault::Disorder) {
        wire.message(vec![
            "DLMessageUploadFiles".into(),
            Value::Dictionary(Dictionary::new()),
            0.0.into(),
            0u64.into(),
        ])?;
        wire.stall()?;
    }
    let hello = wire.receive()?.into_array().unwrap_or_default();
    let hello = hello.get(1).and_then(Value::as_dictionary);
    let versions = hello.and_then(|h| h.get("SupportedProtocolVersions")?.as_array());
    let Some(versions) = versions else {
        return bad("no Hello");
    };
    let reals = || versions.iter().filter_map(Value::as_real);
    let common = [2.1, 2.0]
        .into_iter()
        .find(|v| reals().any(|o| (o - v).abs() < 0.01));
    let Some(version) = common else {
        wire.respond(1, "No common supported protocol version")?;
        return bad("no common version");
    };
    let response = super::dict([
        ("MessageName", "Response".into()),
        ("ErrorCode", 0u64.into()),
        ("ProtocolVersion", version.into()),
    ]);
    wire.message(vec![
        "DLMessageProcessMessage".into(),
        Value::Dictionary(response),
    ])?;
    Ok(agreed)
}

/// One backup with its verdict, noted down in the phone's history before the computer hears it.
fn back_up(
    phone: &Arc<Phone>,
    wire: &mut Wire,
    faults: &[Fault],
    request: &Dictionary,
    version: u64,
) -> io::Result<()> {
    {
        let mut memory = super::lock(&phone.memory);
        if memory.busy {
            return wire.respond(14, "A backup is already in progress");
        }
        memory.busy = true;
        memory.started += 1;
    }
    let options = request.get("Options").and_then(Value::as_dictionary);
    let forced = options.and_then(|o| o.get("ForceFullBackup")?.as_boolean());
    let target = request.get("TargetIdentifier").and_then(Value::as_string);
    let mut run = Run {
        phone,
        wire,
        faults,
        version,
        root: target.unwrap_or(phone.udid().as_str()).to_owned(),
        forced: forced.unwrap_or(false),
        outcome: Outcome::default(),
        step: Cache {
            uuid: super::new_uuid(),
            full: true,
            base: None,
            database: None,
        },
        total: 0,
        done: 0,
    };
    let ended = run.all();
    let mut outcome = std::mem::take(&mut run.outcome);
    let mut memory = super::lock(&phone.memory);
    memory.busy = false;
    match &ended {
        Ok(()) => {
            memory.cache = None;
            memory.kept = true;
            outcome.code = Some(0);
        }
        Err(Stop::Fails(code, text)) => {
            memory.cache = None;
            outcome.code = Some(*code);
            outcome.text.clone_from(text);
        }
        Err(Stop::Lost(e)) => outcome.text = e.to_string(),
    }
    drop(memory);
    phone.record(outcome);
    match ended {
        Ok(()) if faults.contains(&Fault::NoFinalResponse) => wire.stall(),
        Ok(()) => wire.respond(0, ""),
        Err(Stop::Fails(code, text)) => wire.respond(code, &text),
        Err(Stop::Lost(e)) => Err(e),
    }
}

/// One backup in progress.
struct Run<'a> {
    phone: &'a Phone,
    wire: &'a mut Wire,
    faults: &'a [Fault],
    /// Of DeviceLink.
    version: u64,
    /// The folder on the computer.
    root: String,
    forced: bool,
    outcome: Outcome,
    /// What is remembered if the connection is lost.
    step: Cache,
    /// Bytes to send.
    total: u64,
    done: u64,
}

/// What the computer holds, as far as names tell.
#[derive(Default)]
struct Listing {
    /// Sorted.
    files: Vec<[u8; 20]>,
    snapshot: Vec<[u8; 20]>,
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), Stop> {
        self.misbehave()?;
        if !self.phone.await_passcode() {
            return fails(208, "Device locked");
        }
        if self.phone.config.icloud_restore {
            let text = "iTunes Backup is unavailable while an iCloud Restore is in progress";
            return fails(25, text);
        }
        let code = self.faults.iter().find_map(|f| match f {
            Fault::Error(code) => Some(*code),
            _ => None,
        });
        if let Some(code) = code {
            return fails(code, text_of(code));
        }
        let resumes = self.decide()?;
        let listing = self.listing()?;
        let scan = self.scan();
        if let Some(base) = self.step.base.clone()
            && !self.holds_all(&listing, base.generation)
        {
            // Something is missing that the manifest names: everything is sent again.
            self.step = Cache {
                uuid: super::new_uuid(),
                full: true,
                base: None,
                database: None,
            };
            return self.send(&scan, &listing, None);
        }
        self.send(&scan, &listing, resumes)
    }

    /// Faults that come instead of, or before, the first request.
    fn misbehave(&mut self) -> Result<(), Stop> {
        for fault in self.faults {
            let (length, bytes) = match fault {
                Fault::MessageLength(length) => (*length, vec![b'x'; 64 << 10]),
                Fault::DeepPlist(depth) => {
                    let bytes = faults::nested(*depth, 1);
                    (bytes.len() as u32, bytes)
                }
                Fault::Laughs => {
                    let bytes = faults::nested(40, 10);
                    (bytes.len() as u32, bytes)
                }
                Fault::UnknownMessage(name) => {
                    let options = Value::Dictionary(Dictionary::new());
                    self.wire.message(vec![name.as_str().into(), options])?;
                    // Refused, but answered.
                    self.wire.reply()?;
                    continue;
                }
                _ => continue,
            };
            self.wire.raw_message(length, &bytes)?;
            self.wire.stall()?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    fn file_path(&self, folder: &str, id: &[u8; 20]) -> String {
        let name = hex(id);
        format!("{}/{folder}{}/{name}", self.root, &name[..2])
    }

    /// Full, changes only, or going on with a cut backup: sets up `step`, and says from which state to go on.
    fn decide(&mut self) -> Result<Option<Snapshot>, Stop> {
        let sent = self.wire.download(&[self.path("Status.plist")], 0.0)?;
        let status = match sent.first() {
            Some(sent) if !sent.absent && sent.size > 0 => match Status::parse(&sent.bytes) {
                Ok(status) => Some(status),
                Err((code, text)) => return fails(code, text),
            },
            _ => None,
        };
        let status = status.filter(|s| !self.forced && !s.empty);
        let cache = super::lock(&self.phone.memory).cache.clone();
        let found = match (&status, cache) {
            (Some(s), Some(cache)) if s.snapshot != Snapshot::Finished && s.uuid == cache.uuid => {
                Some((cache, s.snapshot))
            }
            _ => None,
        };
        let finished = status.is_some_and(|s| s.snapshot == Snapshot::Finished);
        let mut base = found.as_ref().and_then(|(cache, _)| cache.base.clone());
        // Once moving began, the manifests in place may be the old or the new ones.
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

    /// Which of the phone's backups the computer has the manifest of, if of any.
    fn held_manifest(&mut self) -> Result<Option<Kept>, Stop> {
        let names = [self.path("Manifest.plist"), self.path("Manifest.db")];
        let sent = self.wire.download(&names, 0.0)?;
        if sent.iter().any(|s| s.absent || s.size == 0) {
            return Ok(None);
        }
        let database = sent.get(1).map(|s| s.hash);
        let memory = super::lock(&self.phone.memory);
        let known = memory.sent.iter().find(|k| Some(k.database) == database);
        Ok(known.cloned())
    }

    /// The next generation, and nothing that is known of the computer.
    fn begin_anew(&mut self) {
        let mut memory = super::lock(&self.phone.memory);
        memory.cache = None;
        if memory.kept {
            memory.generation += 1;
            memory.kept = false;
        }
        self.step = Cache {
            uuid: super::new_uuid(),
            full: true,
            base: None,
            database: None,
        };
        self.outcome.full = true;
    }

    fn listing(&mut self) -> Result<Listing, Stop> {
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

    fn names(&mut self, folder: &str, parts: &HashSet<String>) -> Result<Vec<[u8; 20]>, Stop> {
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

    fn scan(&self) -> Scan {
        let generation = super::lock(&self.phone.memory).generation;
        self.phone.scan(generation)
    }

    fn holds_all(&self, listing: &Listing, generation: u32) -> bool {
        let held = |item: &Item| {
            let found = |ids: &Vec<[u8; 20]>| ids.binary_search(&item.id).is_ok();
            // In the middle of moving, a file may be in either place.
            found(&listing.files) || self.outcome.resumed && found(&listing.snapshot)
        };
        let scan = self.phone.scan(generation);
        let gone = |item: &Item| self.outcome.resumed && self.is_gone(item);
        scan.files.iter().all(|item| held(item) || gone(item))
    }

    /// The file was removed since the base: a cut backup may have removed it already.
    fn is_gone(&self, item: &Item) -> bool {
        let now = super::lock(&self.phone.memory).generation;
        !self.phone.config.content.has(item, now)
    }

    /// Everything after the decision.
    fn send(
        &mut self,
        scan: &Scan,
        listing: &Listing,
        resumes: Option<Snapshot>,
    ) -> Result<(), Stop> {
        self.outcome.full = self.step.full;
        let mut changed = self.changed(scan);
        let forgotten = self.forgotten(&mut changed);
        let database = manifest::database(scan)?;
        let properties = manifest::plist(self.phone)?;
        if matches!(resumes, None | Some(Snapshot::Uploading)) {
            let uploads: Vec<Item> = changed
                .iter()
                .filter(|i| resumes.is_none() || listing.snapshot.binary_search(&i.id).is_err())
                .copied()
                .collect();
            self.total = uploads.iter().map(|i| scan.entry(i).size()).sum();
            self.make_room()?;
            self.make_folders()?;
            super::lock(&self.phone.memory).cache = Some(self.step.clone());
            self.put_status(Snapshot::Uploading)?;
            self.upload(scan, &uploads)?;
            self.put_manifests(&properties, &database)?;
            self.put_status(Snapshot::Moving)?;
            super::lock(&self.phone.memory).cache = Some(self.step.clone());
        }
        if resumes != Some(Snapshot::Removing) {
            // What was moved before the cut is not there any more.
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
        if let Some(database) = self.step.database {
            let mut memory = super::lock(&self.phone.memory);
            let generation = memory.generation;
            memory.sent.push(Kept {
                generation,
                database,
            });
        }
        self.verify(scan, forgotten)
    }

    /// Files that the base does not have in this form.
    fn changed(&self, scan: &Scan) -> Vec<Item> {
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

    fn forgotten(&self, changed: &mut Vec<Item>) -> Option<[u8; 20]> {
        if self.faults.contains(&Fault::MissingFile) {
            changed.pop().map(|item| item.id)
        } else {
            None
        }
    }

    fn make_room(&mut self) -> Result<(), Stop> {
        let claim = self.faults.iter().find_map(|f| match f {
            Fault::ClaimSize(bytes) => Some(*bytes),
            _ => None,
        });
        let need = claim.unwrap_or(self.total).saturating_add(HEADROOM);
        let free = self.wire.free_space()?;
        if free > need {
            return Ok(());
        }
        // Before DeviceLink 400 there is no such request.
        if self.version >= 400
            && self.wire.purge((need - free).saturating_add(OVERSHOOT))?
            && self.wire.free_space()? > need
        {
            return Ok(());
        }
        fails(105, "Insufficient free disk space on drive to back up")
    }

    fn make_folders(&mut self) -> Result<(), Stop> {
        for folder in [self.root.clone(), self.path("Snapshot")] {
            self.wire.make_folder(&folder, 0.0)?;
            for part in 0..=255u8 {
                self.wire
                    .make_folder(&format!("{folder}/{part:02x}"), 0.0)?;
            }
        }
        Ok(())
    }

    fn progress(&self) -> f64 {
        match self.total {
            0 => 90.0,
            total => self.done as f64 / total as f64 * 90.0,
        }
    }

    fn put_status(&mut self, snapshot: Snapshot) -> Result<(), Stop> {
        let bytes = manifest::status(&self.step.uuid, snapshot, self.step.full)?;
        self.wire.begin_upload(0, self.progress())?;
        self.put_small("/var/tmp/tmp.2.5YnM5D", &self.path("Status.plist"), &bytes)?;
        self.wire.end_upload()
    }

    fn put_small(&mut self, on_phone: &str, on_host: &str, bytes: &[u8]) -> io::Result<()> {
        self.wire.name_file(on_phone, on_host)?;
        for part in bytes.chunks(FRAME_BYTES) {
            self.wire.frame(part.len(), |room| {
                room.copy_from_slice(part);
                Ok(part.len())
            })?;
        }
        self.wire.end_of_file(CODE_OK, "")
    }

    fn upload(&mut self, scan: &Scan, uploads: &[Item]) -> Result<(), Stop> {
        let every = self.faults.iter().find_map(|f| match f {
            Fault::DeviceError(every) => Some((*every).max(1)),
            _ => None,
        });
        let mut failed = 0u64;
        let mut count = 0u64;
        for (number, batch) in uploads.chunks(BATCH).enumerate() {
            let entries: Vec<Entry> = batch.iter().map(|item| scan.entry(item)).collect();
            let bytes = entries.iter().map(Entry::size).sum();
            self.done += bytes;
            self.wire.begin_upload(bytes, self.progress())?;
            for (item, entry) in batch.iter().zip(&entries) {
                count += 1;
                let fails = every.is_some_and(|every| count.is_multiple_of(every));
                failed += u64::from(fails);
                let mut path = self.file_path("Snapshot/", &item.id);
                if count == 1 {
                    path = self.bad_name(path)?;
                }
                self.put_file(entry, &path, fails)?;
                if !fails {
                    self.outcome.files += 1;
                    self.outcome.bytes += entry.size();
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

    /// Faults in the name of the first file.
    fn bad_name(&mut self, path: String) -> Result<String, Stop> {
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

    fn put_file(&mut self, entry: &Entry, path: &str, fails: bool) -> Result<(), Stop> {
        self.wire.name_file(&entry.device_path(), path)?;
        let mut bytes = entry.bytes();
        let mut left = entry.size();
        if fails {
            left /= 2;
        }
        while left > 0 {
            let length = left.min(FRAME_BYTES as u64) as usize;
            self.wire.frame(length, |room| Ok(bytes.fill(room)))?;
            left -= length as u64;
        }
        match fails {
            true => self
                .wire
                .end_of_file(CODE_IO_ERROR, "Input/output error (5)")?,
            false => self.wire.end_of_file(CODE_OK, "")?,
        }
        Ok(())
    }

    /// The file that iOS 17 never manages to read.
    fn put_unreadable(&mut self) -> Result<(), Stop> {
        let path = "/var/mobile/Library/Application Support/FileProvider/backup/backup_manifest.db";
        let id = unhex("49128ab470583769cf58eb2e9fe2eb47983afac3").unwrap_or_default();
        let host = self.file_path("Snapshot/", &id);
        self.wire.name_file(path, &host)?;
        self.wire
            .end_of_file(CODE_IO_ERROR, "Input/output error (5)")?;
        Ok(())
    }

    fn put_manifests(&mut self, properties: &[u8], database: &TempFile) -> Result<(), Stop> {
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
            self.wire.name_file("/var/tmp/tmp.4.Manifest.db", &path)?;
            loop {
                let count = self.wire.frame(FRAME_BYTES, |room| {
                    let mut filled = 0;
                    while filled < room.len() {
                        match file.read(&mut room[filled..])? {
                            0 => break,
                            n => filled += n,
                        }
                    }
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

    fn move_into_place(&mut self, items: &[Item], again: bool) -> Result<(), Stop> {
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
            // The cut may have come after they were moved.
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

    /// Removes what is listed but not on the phone any more, then the snapshot folder.
    fn remove_old(&mut self, scan: &Scan, listing: &Listing) -> Result<(), Stop> {
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

    /// Reads the metadata again and looks for every file by its name.
    fn verify(&mut self, scan: &Scan, forgotten: Option<[u8; 20]>) -> Result<(), Stop> {
        let names = ["Status.plist", "Manifest.plist", "Manifest.db"].map(|n| self.path(n));
        let sent = self.wire.download(&names, 99.0)?;
        let [status, properties, database] = <[_; 3]>::try_from(sent)
            .map_err(|_| Stop::Fails(205, "Backup metadata is missing".into()))?;
        let state = Status::parse(&status.bytes).ok();
        let finished =
            state.is_some_and(|s| s.uuid == self.step.uuid && s.snapshot == Snapshot::Finished);
        let described = crate::bounded_plist::parse(&properties.bytes).is_ok();
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

fn unhex(name: &str) -> Option<[u8; 20]> {
    let mut id = [0; 20];
    if name.len() != 40 || !name.is_ascii() {
        return None;
    }
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(id)
}

fn text_of(code: u64) -> &'static str {
    match code {
        3 => "Failed to create snapshot: File exists (17) at path \"/private/var\"",
        13 | 208 => "Device locked",
        14 => "A backup is already in progress",
        25 => "iTunes Backup is unavailable while an iCloud Restore is in progress",
        100 => "Input/output error (5)",
        104 => "Multiple errors uploading files",
        105 => "Insufficient free disk space on drive to back up",
        106 => "No space left on device",
        202 => "Backup cancelled",
        203 => "Backup is from an incompatible OS version",
        205 => "Manifest references files not in backup",
        207 => "Invalid password",
        212 => "Unable to backup until Setup is finished",
        _ => "The phone was told to fail",
    }
}
