//! The metadata files that the phone writes: Status.plist, Manifest.plist, Manifest.db.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use plist::{Date, Dictionary, Value};
use rusqlite::{Connection, params};

use super::content::Scan;
use super::entry::{Entry, hex};
use super::faults::Fault;
use super::keys::Keys;
use super::phone::{Passcode, Phone};
use super::{apps, values};
use crate::backup_format::SCHEMA;
use crate::base::private_dir::PrivateDir;
use crate::simulator::keys;

/// State of the computer's backup according to `Status.plist`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Snapshot {
    Uploading,
    Moving,
    Removing,
    Finished,
}

impl Snapshot {
    const NAMES: [(&'static str, Snapshot); 4] = [
        ("uploading", Snapshot::Uploading),
        ("moving", Snapshot::Moving),
        ("removing", Snapshot::Removing),
        ("finished", Snapshot::Finished),
    ];
}

/// Contents of `Status.plist` on the computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) uuid: String,
    pub(super) empty: bool,
    /// True for the format used before iOS 4.
    pub(super) old: bool,
    pub(super) snapshot: Snapshot,
}

impl Status {
    /// Parses a file sent by the computer. The error is an MBErrorDomain code and its text.
    pub(super) fn parse(bytes: &[u8]) -> Result<Status, (u64, &'static str)> {
        const BAD: (u64, &str) = (
            11,
            "Error deserializing properties: Cannot parse the status",
        );
        let parsed = crate::base::bounded_plist::parse(bytes).map_err(|_| BAD)?;
        let status = parsed.as_dictionary().ok_or(BAD)?;
        let text = |key: &str| status.get(key).and_then(Value::as_string).ok_or(BAD);
        let version: f64 = text("Version")?.parse().map_err(|_| BAD)?;
        if version != 0.0 && !(2.4..4.0).contains(&version) {
            return Err((203, "Unsupported backup status version"));
        }
        status.get("Date").and_then(Value::as_date).ok_or(BAD)?;
        status
            .get("IsFullBackup")
            .and_then(Value::as_boolean)
            .ok_or(BAD)?;
        let state = text("SnapshotState")?;
        let found = Snapshot::NAMES.iter().find(|(name, _)| *name == state);
        Ok(Status {
            uuid: text("UUID")?.to_owned(),
            empty: match text("BackupState")? {
                "empty" => true,
                "old" | "new" => false,
                _ => return Err(BAD),
            },
            old: text("BackupState")? == "old",
            snapshot: found.ok_or(BAD)?.1,
        })
    }
}

/// Returns `Status.plist` as the phone writes it.
pub(super) fn status(uuid: &str, snapshot: Snapshot, full: bool) -> io::Result<Vec<u8>> {
    let name = Snapshot::NAMES.iter().find(|(_, s)| *s == snapshot);
    binary(super::dict([
        ("BackupState", "new".into()),
        (
            "Date",
            Value::Date(Date::from(crate::base::bounded_plist::writable(
                SystemTime::now(),
            ))),
        ),
        ("IsFullBackup", full.into()),
        ("SnapshotState", name.map_or("", |(name, _)| name).into()),
        ("UUID", uuid.into()),
        ("Version", "3.3".into()),
    ]))
}

/// Returns `Manifest.plist` as the phone writes it.
pub(super) fn plist(phone: &Phone, keys: Option<&Keys>, faults: &[Fault]) -> io::Result<Vec<u8>> {
    let config = &phone.config;
    let empty = || Value::Dictionary(Dictionary::new());
    let lockdown = super::dict([
        ("BuildVersion", values::build_of(&config.ios).into()),
        ("DeviceName", config.name.as_str().into()),
        ("ProductType", config.model.as_str().into()),
        ("ProductVersion", config.ios.as_str().into()),
        ("SerialNumber", values::serial(phone).into()),
        ("UniqueDeviceID", phone.udid().as_str().into()),
        ("com.apple.Accessibility", empty()),
        ("com.apple.MobileDeviceCrashCopy", empty()),
        ("com.apple.TerminalFlashr", empty()),
        ("com.apple.mobile.data_sync", empty()),
        ("com.apple.mobile.iTunes.accessories", empty()),
        ("com.apple.mobile.wireless_lockdown", empty()),
    ]);
    let claimed = faults.iter().find_map(|fault| match fault {
        Fault::KeyRounds(rounds) => Some(*rounds),
        _ => None,
    });
    let bag = match keys {
        Some(keys) => keys.bag(claimed),
        None => keys::bag_without_password(config.content.seed),
    };
    let mut fields = super::dict([
        ("Applications", Value::Dictionary(apps::in_manifest())),
        ("BackupKeyBag", Value::Data(bag)),
        (
            "Date",
            Value::Date(Date::from(crate::base::bounded_plist::writable(
                SystemTime::now(),
            ))),
        ),
        ("IsEncrypted", keys.is_some().into()),
        ("Lockdown", Value::Dictionary(lockdown)),
        ("SystemDomainsVersion", "24.0".into()),
        ("Version", "10.0".into()),
        ("WasPasscodeSet", (config.passcode != Passcode::None).into()),
    ]);
    let key = keys.and_then(Keys::of_manifest);
    if let Some((_, wrapped)) = key.filter(|_| !faults.contains(&Fault::NoManifestKey)) {
        fields.insert("ManifestKey".into(), Value::Data(wrapped));
    }
    binary(fields)
}

fn binary(dictionary: Dictionary) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Value::Dictionary(dictionary)
        .to_writer_binary(&mut bytes)
        .map_err(io::Error::other)?;
    Ok(bytes)
}

/// A file in a private folder, removed when dropped. File lists are private, since they reveal the
/// contents of a phone.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    _folder: PrivateDir,
}

impl TempFile {
    pub(super) fn new() -> io::Result<TempFile> {
        let folder = PrivateDir::new("idev-backup-sim-")?;
        Ok(TempFile {
            path: folder.path().join("list.db"),
            _folder: folder,
        })
    }

    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A `Manifest.db` that is being built, with a row for each file, folder and link. Dropping it
/// cancels the work.
pub(super) struct Database {
    _unwanted_when_dropped: Unwanted,
    thread: JoinHandle<io::Result<TempFile>>,
}

struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Database {
    pub(super) fn begin(scan: &Arc<Scan>, faults: &[Fault]) -> Database {
        let unwanted = Arc::new(AtomicBool::new(false));
        let (scan, stop) = (scan.clone(), unwanted.clone());
        let keyless = faults.contains(&Fault::KeylessFile);
        let thread = std::thread::spawn(move || {
            let file = TempFile::new()?;
            let filled = fill(file.path(), &scan, keyless, &stop);
            filled.map(|()| file).map_err(io::Error::other)
        });
        Database {
            _unwanted_when_dropped: Unwanted(unwanted),
            thread,
        }
    }

    pub(super) fn finish(self) -> io::Result<TempFile> {
        let made = self.thread.join();
        made.map_err(|_| io::Error::other("making Manifest.db failed"))?
    }
}

/// Fills the database. `keyless`: omit the key from the record of one file.
fn fill(path: &Path, scan: &Scan, keyless: bool, unwanted: &AtomicBool) -> rusqlite::Result<()> {
    let db = Connection::open(path)?;
    db.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;",
    )?;
    // Create the indexes at the end, which is faster. The order of the statements in the schema
    // stays the same.
    let (indexes, tables): (Vec<&str>, Vec<&str>) =
        SCHEMA.lines().partition(|line| line.contains("INDEX"));
    db.execute_batch(&tables.concat())?;
    db.execute_batch("BEGIN")?;
    {
        let mut insert = db.prepare("INSERT INTO Files VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut keyless = keyless;
        let mut add = |id: &[u8; 20], entry: &Entry| {
            let mut record = scan.record(entry);
            if keyless && record.encryption_key.take().is_some() {
                keyless = false;
            }
            let row = params![
                hex(id),
                entry.domain,
                entry.path,
                entry.flags(),
                record.encode()
            ];
            insert.execute(row).map(drop)
        };
        for other in &scan.others {
            add(&other.id(), other)?;
        }
        // Insert in the order of the index, so that it is only appended to.
        let mut files = scan.files.clone();
        files.sort_unstable();
        for item in &files {
            if unwanted.load(Ordering::Relaxed) {
                return Ok(());
            }
            add(&item.id, &scan.entry(item))?;
        }
    }
    db.execute(
        "INSERT INTO Properties VALUES ('maxRowId', ?1)",
        params![(scan.files.len() + scan.others.len()).to_string()],
    )?;
    db.execute_batch("COMMIT")?;
    db.execute_batch(&indexes.concat())?;
    db.close().map_err(|(_, e)| e)
}
