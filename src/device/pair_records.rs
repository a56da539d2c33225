//! Storage of pair records: the daemon's, which it shares with every program, else a folder of
//! ours.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plist::{Dictionary, Value};

use super::{Error, PairRecord};
use crate::base::bounded_plist;
use crate::base::secret::Secret;
use crate::base::udid::Udid;
use crate::device::last_contact::{self, Contact};
use crate::transport::network::KnownPhone;
use crate::transport::select::records_of_daemons;
use crate::transport::{self, Attached, Transport, Usbmuxd, Via};

/// Number of records that are read in one folder.
const RECORDS_MAX: usize = 1_000;

/// Pair records of the daemon, and our own for phones that the daemon does not know or if no daemon
/// runs.
#[derive(Debug, Clone)]
pub struct Records {
    daemon: Transport,
    folder: PathBuf,
    /// The folder in which a daemon keeps its records, which may exist although no daemon runs.
    daemons_folder: PathBuf,
}

impl Records {
    /// Uses the records of `daemon` and those in `folder`, which is created when needed.
    pub fn new(daemon: impl Into<Transport>, folder: PathBuf) -> Records {
        Records {
            daemon: daemon.into(),
            folder,
            daemons_folder: records_of_daemons(),
        }
    }

    /// Returns the same records, accessed through `daemon`.
    pub(crate) fn through(&self, daemon: impl Into<Transport>) -> Records {
        Records {
            daemon: daemon.into(),
            ..self.clone()
        }
    }

    /// Returns the same records, with another folder in which to look for a daemon's records.
    pub fn beside(mut self, daemons_folder: PathBuf) -> Records {
        self.daemons_folder = daemons_folder;
        self
    }

    /// Returns the record of a phone, or [`Error::NotPaired`] if none exists.
    pub(crate) fn load(&self, udid: &Udid) -> Result<PairRecord, Error> {
        let daemon = self.daemon.daemon();
        if let Some(daemon) = daemon {
            match daemon.pair_record(udid) {
                Ok(Some(record)) => return PairRecord::parse(&record),
                // Continue if the daemon keeps no records at all, as some simulators do.
                Ok(None) | Err(transport::Error::Refused { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        match fs::read(self.file(udid)) {
            Ok(bytes) => return PairRecord::parse(&Secret::new(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(self.failed("read", udid, cause)),
        }
        if daemon.is_none() {
            // The folder usually belongs to root. A file that we may not read counts as absent.
            let of_daemon = self.daemons_folder.join(format!("{udid}.plist"));
            if let Ok(bytes) = fs::read(of_daemon) {
                return PairRecord::parse(&Secret::new(bytes));
            }
        }
        Err(Error::NotPaired)
    }

    /// Returns the phones whose record can be found: in our folder, and in that of a daemon. A
    /// daemon itself does not list its records.
    fn udids(&self) -> BTreeSet<Udid> {
        let mut udids = BTreeSet::new();
        for folder in [&self.folder, &self.daemons_folder] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            for entry in entries.take(RECORDS_MAX) {
                let name = entry.file_name();
                let stem = name.to_str().and_then(|name| name.strip_suffix(".plist"));
                udids.extend(stem.and_then(|stem| stem.parse::<Udid>().ok()));
            }
        }
        udids
    }

    /// Returns what identifies each phone on the network, for all whose record can be read.
    pub(crate) fn known(&self) -> Vec<KnownPhone> {
        let known = self.udids().into_iter().filter_map(|udid| {
            let record = self.load(&udid).ok()?;
            let mac = record.wifi_mac_address.as_deref();
            Some(KnownPhone {
                udid,
                mac: mac.and_then(|mac| mac.parse().ok()),
                host_id: record.host_id.clone(),
            })
        });
        known.collect()
    }

    /// Returns the error of the first record that cannot be read.
    pub(crate) fn defect(&self) -> Option<Error> {
        self.udids()
            .into_iter()
            .find_map(|udid| self.load(&udid).err())
    }

    /// Keeps a copy of a phone's record in our folder, since a daemon that udev starts does not run
    /// while the phone is reached over Wi-Fi. `wifi_mac` completes a record that lacks the address.
    pub(crate) fn keep_copy(&self, udid: &Udid, wifi_mac: Option<String>) -> Result<(), Error> {
        let mut record = self.load(udid)?;
        record.wifi_mac_address = record.wifi_mac_address.or(wifi_mac);
        let plist = record.to_plist()?;
        let written = write_private(&self.folder, &self.file(udid), plist.expose());
        written.map_err(|cause| self.failed("write", udid, cause))
    }

    /// Returns true if our folder has a record of the phone.
    pub(crate) fn has_copy(&self, udid: &Udid) -> bool {
        self.file(udid).exists()
    }

    /// Returns the last contact with a phone, if it was noted.
    pub(crate) fn last_contact(&self, udid: &Udid) -> Option<Contact> {
        last_contact::last(&self.folder, udid)
    }

    /// Notes a contact with a phone.
    pub(crate) fn note_contact(&self, udid: &Udid, via: Via, now: SystemTime) {
        last_contact::note(&self.folder, udid, via, now);
    }

    /// Notes a contact with a phone, and whether its connections over Wi-Fi are on.
    pub(crate) fn note_switch(&self, udid: &Udid, via: Via, now: SystemTime, on: bool) {
        last_contact::note_switch(&self.folder, udid, via, now, on);
    }

    /// Stores a record in the daemon, or in our folder if the daemon refuses it or none runs.
    pub(crate) fn save(&self, phone: &Attached, record: &PairRecord) -> Result<(), Error> {
        let plist = record.to_plist()?;
        if let Some(daemon) = self.daemon.daemon() {
            match daemon.save_pair_record(phone, &plist) {
                // A copy of ours that is now out of date would be used when no daemon runs.
                Ok(()) if !self.file(&phone.udid).exists() => return Ok(()),
                Ok(()) | Err(transport::Error::Refused { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let written = write_private(&self.folder, &self.file(&phone.udid), plist.expose());
        written.map_err(|cause| self.failed("write", &phone.udid, cause))
    }

    /// Deletes the record of a phone from the running daemon and from our folder. The records of a
    /// daemon that is not running stay, since other programs may need them.
    pub(crate) fn forget(&self, udid: &Udid) -> Result<(), Error> {
        if let Some(daemon) = self.daemon.daemon() {
            match daemon.delete_pair_record(udid) {
                Ok(()) | Err(transport::Error::Refused { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        last_contact::forget(&self.folder, udid);
        match fs::remove_file(self.file(udid)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", udid, cause))
            }
            _ => Ok(()),
        }
    }

    /// Returns the computer's identifier: the daemon's, else one that we create and keep.
    pub fn system_buid(&self) -> Result<String, Error> {
        match self.daemon.daemon().map(Usbmuxd::system_buid) {
            Some(Ok(buid)) => return Ok(buid),
            Some(Err(transport::Error::Refused { .. } | transport::Error::Strange { .. })) => {}
            Some(Err(e)) => return Err(e.into()),
            // Use the identifier of a daemon that is not running now, so that it still matches
            // later.
            None => {
                // Ignore an error: most daemons make the file readable only for themselves.
                if let Ok(Some(buid)) = buid_in(&self.daemons_folder) {
                    return Ok(buid);
                }
            }
        }
        let path = self.folder.join(CONFIGURATION);
        // Pairings depend on the identifier, so one that cannot be read is not replaced.
        let kept = || {
            buid_in(&self.folder).map_err(|cause| Error::File {
                doing: format!("read this computer's identifier {}", path.display()),
                cause,
            })
        };
        if let Some(buid) = kept()? {
            return Ok(buid);
        }
        let buid = uuid::Uuid::new_v4().to_string().to_uppercase();
        let mut configuration = Dictionary::new();
        configuration.insert(BUID.into(), buid.as_str().into());
        let mut bytes = Vec::new();
        let made = Value::Dictionary(configuration).to_writer_xml(&mut bytes);
        let written = made
            .map_err(io::Error::other)
            .and_then(|()| private(&self.folder, &bytes))
            .and_then(|file| match file.persist_noclobber(&path) {
                Ok(_) => Ok(()),
                // Another process has written the file first; use its identifier.
                Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(e) => Err(e.error),
            });
        written.map_err(|cause| Error::File {
            doing: format!("write this computer's identifier {}", path.display()),
            cause,
        })?;
        Ok(kept()?.unwrap_or(buid))
    }

    fn file(&self, udid: &Udid) -> PathBuf {
        self.folder.join(format!("{udid}.plist"))
    }

    fn failed(&self, verb: &str, udid: &Udid, cause: io::Error) -> Error {
        Error::File {
            doing: format!("{verb} the pair record {}", self.file(udid).display()),
            cause,
        }
    }
}

/// Name of the file with this computer's identifier, as in the daemons' folder.
const CONFIGURATION: &str = "SystemConfiguration.plist";
const BUID: &str = "SystemBUID";

/// Returns the identifier stored in a folder of pair records, or `None` if the file does not exist.
fn buid_in(folder: &Path) -> io::Result<Option<String>> {
    let bytes = match fs::read(folder.join(CONFIGURATION)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let configuration = bounded_plist::parse(&bytes).map_err(|e| damaged(e.to_string()))?;
    let buid = configuration
        .as_dictionary()
        .and_then(|configuration| configuration.get(BUID)?.as_string())
        .filter(|buid| !buid.is_empty());
    match buid {
        Some(buid) => Ok(Some(buid.to_owned())),
        None => Err(damaged(format!("it has no {BUID}"))),
    }
}

/// Writes a file that only its owner can read, so that it is either complete or absent.
pub(super) fn write_private(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    private(folder, bytes)?.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Creates a temporary file that only its owner can read, with all bytes flushed to the disk. The
/// caller gives it its final name.
fn private(folder: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".partial")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}
