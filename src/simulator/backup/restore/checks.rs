//! Checks that the phone makes on a backup before it requests files.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};

use plist::{Dictionary, Value};

use super::run::Run;
use crate::backup_format::manifest_db::Kind;
use crate::backup_format::manifest_mbdb::Records;
use crate::backup_format::record::{FileRecord, fast};
use crate::backup_format::temp_db::Scratch;
use crate::base::sha256::Sha256;
use crate::simulator::backup::decide::unhex;
use crate::simulator::dialog::{Fate, Sent, Stop, fails};
use crate::simulator::manifest::{Snapshot, Status, TempFile};
use crate::simulator::unlock::{self, Closed, Decrypted};
use crate::simulator::values;

/// Properties of the backup, and its file list as received.
pub(super) struct Listed {
    properties: Dictionary,
    bytes: TempFile,
    /// SHA-256 of the list as received.
    pub(super) hash: [u8; 32],
}

/// The file list, ready to be read.
pub(super) enum List {
    /// Manifest.db, since iOS 10.
    Database(Scratch),
    /// Manifest.mbdb, before iOS 10.
    Records(File),
}

/// A row of the file list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) domain: String,
    pub(super) path: String,
    pub(super) flags: i64,
    pub(super) record: Stored,
}

/// The file's record in a row.
pub(super) enum Stored {
    Archive(Vec<u8>),
    Record(Box<FileRecord>),
}

impl Stored {
    /// Returns the size of the file in bytes; 0 if the record cannot be read.
    fn size(&self) -> u64 {
        let archive = match self {
            Stored::Archive(archive) => archive,
            Stored::Record(record) => return record.size,
        };
        let long_way = || Some(FileRecord::decode(archive).ok()?.size);
        fast::size(archive).or_else(long_way).unwrap_or(0)
    }

    pub(super) fn read(self) -> Result<FileRecord, Stop> {
        const BAD: &str = "Error decoding a file of the manifest";
        match self {
            Stored::Record(record) => Ok(*record),
            Stored::Archive(archive) => match FileRecord::decode(&archive) {
                Ok(record) => Ok(record),
                Err(_) => fails(205, BAD),
            },
        }
    }
}

const NO_LIST: &str = "Error reading backup database";
const NO_PROPERTIES: &str = "Error reading backup properties";
const ROWS: &str = "SELECT fileID, domain, relativePath, flags, file FROM Files ORDER BY fileID";

impl Run<'_> {
    /// Makes the checks that precede those of the backup's status.
    pub(super) fn preconditions(&mut self) -> Result<(), Stop> {
        let names = ["Manifest.plist", "Manifest.db"].map(|n| self.path(n));
        let sent = self.wire.download(&names, 0.0)?;
        let properties = properties(sent.first())?;
        let mut list = sent.into_iter().nth(1);
        if list.as_ref().is_some_and(|sent| sent.absent) {
            self.old_list = true;
            let names = [self.path("Manifest.mbdb")];
            list = self.wire.download(&names, 0.0)?.pop();
        }
        if list.is_none_or(|sent| sent.absent || sent.size == 0) {
            return fails(205, NO_LIST);
        }
        let config = &self.phone.config;
        self.outcome.system_files = match class_of_backup(&properties) {
            Some(class) => class == class_of(&config.model),
            None => self.outcome.options.system_files,
        };
        if config.forbids_restores {
            // The error code of real phones is not known.
            return fails(1, "Restoring from a backup is not allowed by a profile");
        }
        if config.icloud_restore {
            let text =
                "Restore from iTunes Backup is unavailable while an iCloud Restore is in progress";
            return fails(25, text);
        }
        Ok(())
    }

    /// Checks the state of the backup, and reads its list again, as real phones do.
    pub(super) fn resume(&mut self) -> Result<Listed, Stop> {
        let sent = self.wire.download(&[self.path("Status.plist")], 1.0)?;
        let Some(status) = sent.first().filter(|sent| !sent.absent) else {
            return fails(204, "No status exists in backup");
        };
        let status = match Status::parse(&status.bytes) {
            Ok(status) => status,
            Err((code, text)) => return fails(code, text),
        };
        if status.empty {
            return fails(204, "Backup state is empty");
        }
        if status.old {
            return fails(203, "Backup is in old format");
        }
        let mut folder = "";
        if status.snapshot == Snapshot::Moving && self.look_for_unmoved()? {
            folder = "Snapshot/";
        }
        self.fetch_list(folder)
    }

    /// Finds files not yet moved into place. A backup that was interrupted while it moved its files
    /// is complete, but spread over two folders. Returns true if its lists are still in the first
    /// one.
    fn look_for_unmoved(&mut self) -> Result<bool, Stop> {
        let inner = self.wire.list(&self.path("Snapshot"))?;
        for (part, is_folder) in &inner {
            if *is_folder && part.len() == 2 {
                let names = self.wire.list(&self.path(&format!("Snapshot/{part}")))?;
                let ids = names.iter().filter_map(|(name, _)| unhex(name));
                self.unmoved.extend(ids);
            }
        }
        // Before iOS 10 there were no folders.
        let ids = inner.iter().filter_map(|(name, _)| unhex(name));
        self.unmoved.extend(ids);
        Ok(inner.iter().any(|(name, _)| name == self.list_name()))
    }

    fn list_name(&self) -> &'static str {
        if self.old_list {
            "Manifest.mbdb"
        } else {
            "Manifest.db"
        }
    }

    fn fetch_list(&mut self, folder: &str) -> Result<Listed, Stop> {
        let names = ["Manifest.plist", self.list_name()];
        let paths = names.map(|name| self.path(&format!("{folder}{name}")));
        let sent = self.wire.download(&paths[..1], 2.0)?;
        let properties = properties(sent.first())?;
        let bytes = TempFile::new()?;
        let mut file = File::create_new(bytes.path())?;
        let mut hash = Sha256::new();
        let fates = self.wire.fetch(&paths[1..], 2.0, &mut |_, piece| {
            hash.update(piece);
            file.write_all(piece).map_err(Stop::from)
        })?;
        if fates.iter().any(|fate| *fate != Fate::Whole) {
            return fails(205, NO_LIST);
        }
        Ok(Listed {
            properties,
            bytes,
            hash: hash.finalize(),
        })
    }

    /// Makes the checks that need the list.
    pub(super) fn prepare(&mut self, listed: &Listed) -> Result<(), Stop> {
        self.check_version()?;
        self.open_keys(&listed.properties)?;
        self.add_up(listed)?;
        let config = &self.phone.config;
        let (free, total) = (values::free_bytes(self.phone), self.total);
        if free < total {
            let text =
                format!("Insufficient free disk space on device to restore ({free} < {total})");
            return Err(Stop::Fails(106, text));
        }
        if config.find_my {
            return fails(211, "Find My iPhone must be disabled before restoring");
        }
        if config.setup_unfinished {
            return fails(212, "Unable to restore until Setup is finished");
        }
        Ok(())
    }

    /// Refuses a backup of a newer iOS version than the phone's. A folder without Info.plist gives
    /// no version.
    fn check_version(&mut self) -> Result<(), Stop> {
        let sent = self.wire.download(&[self.path("Info.plist")], 3.0)?;
        let info = sent.first().filter(|sent| !sent.absent);
        let info = info.and_then(|sent| crate::base::bounded_plist::parse(&sent.bytes).ok());
        let info = info.as_ref().and_then(Value::as_dictionary);
        let version = info.and_then(|info| info.get("Product Version")?.as_string());
        match version {
            Some(version) if parts(version) > parts(&self.phone.config.ios) => {
                fails(203, "Backup is from an incompatible OS version")
            }
            _ => Ok(()),
        }
    }

    fn open_keys(&mut self, properties: &Dictionary) -> Result<(), Stop> {
        const WRONG: &str = "Invalid password when restoring encrypted backup";
        let encrypted = properties.get("IsEncrypted").and_then(Value::as_boolean);
        let encrypted = encrypted.unwrap_or(false);
        if encrypted && self.password.is_none() {
            return fails(207, WRONG);
        }
        // Phones write a key bag into every backup, but an unencrypted one does not need it.
        if !encrypted {
            return Ok(());
        }
        let Some(bag) = properties.get("BackupKeyBag").and_then(Value::as_data) else {
            return fails(205, "No keybag in manifest");
        };
        if let Some(password) = &self.password {
            match unlock::open(bag, password.expose()) {
                Ok(keys) => self.keys = Some(keys),
                Err(Closed::Password) => return fails(207, WRONG),
                Err(Closed::Damaged) => return fails(1, "Error decoding keybag"),
            }
        }
        let wrapped = properties.get("ManifestKey").and_then(Value::as_data);
        if let (Some(keys), Some(wrapped)) = (&self.keys, wrapped) {
            self.list_key = keys.key(wrapped);
            if self.list_key.is_none() {
                return fails(205, "Encryption key missing");
            }
        }
        Ok(())
    }

    /// Adds up the sizes of the files in the list.
    fn add_up(&mut self, listed: &Listed) -> Result<(), Stop> {
        let list = self.open_list(listed)?;
        let mut total = 0u64;
        each_row(&list, &mut |row| {
            if row.flags == 1 {
                total = total.saturating_add(row.record.size());
            }
            Ok(())
        })?;
        self.total = total;
        Ok(())
    }

    /// Opens the list, and decrypts it if necessary.
    pub(super) fn open_list(&self, listed: &Listed) -> Result<List, Stop> {
        let file = listed.bytes.open()?;
        if self.old_list {
            return Ok(List::Records(file));
        }
        let made = match &self.list_key {
            Some(key) => Scratch::make(&mut Decrypted::new(&file, key), file.metadata()?.len()),
            None => Scratch::in_place(listed.bytes.path()),
        };
        let made = made.map_err(|_| Stop::Fails(205, NO_LIST.into()));
        made.map(List::Database)
    }
}

/// Passes the rows of a list to `take`: those of Manifest.db in the order of their names, those of
/// older lists in file order.
pub(super) fn each_row(
    list: &List,
    take: &mut dyn FnMut(Row) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let list = match list {
        List::Database(database) => database,
        List::Records(file) => return each_record(file, take),
    };
    let bad = |_| Stop::Fails(205, NO_LIST.into());
    let mut statement = list.connection().prepare(ROWS).map_err(bad)?;
    let mut rows = statement.query([]).map_err(bad)?;
    while let Some(row) = rows.next().map_err(bad)? {
        let read = || {
            Ok(Row {
                id: row.get(0)?,
                domain: row.get(1)?,
                path: row.get(2)?,
                flags: row.get(3)?,
                record: Stored::Archive(row.get(4)?),
            })
        };
        take(read().map_err(bad)?)?;
    }
    Ok(())
}

fn each_record(mut file: &File, take: &mut dyn FnMut(Row) -> Result<(), Stop>) -> Result<(), Stop> {
    let bad = |_| Stop::Fails(205, NO_LIST.into());
    file.seek(SeekFrom::Start(0))?;
    let mut records = Records::open(BufReader::new(file)).map_err(bad)?;
    while let Some(record) = records.read().map_err(bad)? {
        take(Row {
            id: record.file_id(),
            flags: match record.kind() {
                Kind::File => 1,
                Kind::Directory => 2,
                Kind::Link => 4,
                Kind::Other => 0,
            },
            domain: record.domain,
            path: record.file.relative_path.clone(),
            record: Stored::Record(Box::new(record.file)),
        })?;
    }
    Ok(())
}

/// Returns Manifest.plist as a dictionary.
fn properties(sent: Option<&Sent>) -> Result<Dictionary, Stop> {
    let sent = sent.filter(|sent| !sent.absent);
    let parsed = sent.and_then(|sent| crate::base::bounded_plist::parse(&sent.bytes).ok());
    match parsed {
        Some(Value::Dictionary(properties)) => Ok(properties),
        _ => fails(205, NO_PROPERTIES),
    }
}

fn class_of_backup(properties: &Dictionary) -> Option<String> {
    let lockdown = properties.get("Lockdown")?.as_dictionary()?;
    Some(class_of(lockdown.get("ProductType")?.as_string()?))
}

/// Returns the device class of a model: "iPhone" for "iPhone16,1".
fn class_of(model: &str) -> String {
    let letters = model.chars().take_while(char::is_ascii_alphabetic);
    letters.collect()
}

fn parts(version: &str) -> Vec<u32> {
    let parts = version.split('.');
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_numerically() {
        for (newer, older) in [("18.10", "18.9.1"), ("26.0", "18.6.2"), ("18.6.2", "18.6")] {
            assert!(parts(newer) > parts(older), "{newer} {older}");
        }
        assert_eq!(parts("17.0"), parts("17.0"));
        assert_eq!(class_of("iPad14,1"), "iPad");
    }
}
