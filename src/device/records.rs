//! Where pair records are kept: by the daemon, which shares them with every program, else in a
//! folder of ours.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plist::{Dictionary, Value};

use super::{Error, PairRecord};
use crate::bounded_plist;
use crate::secret::Secret;
use crate::transport::way::records_of_daemons;
use crate::transport::{self, Attached, Transport, Usbmuxd};
use crate::udid::Udid;

/// The daemon's records, and ours where the daemon has none or there is none.
#[derive(Debug, Clone)]
pub struct Records {
    daemon: Transport,
    folder: PathBuf,
    /// Where a daemon keeps its own, which may be there though it does not run.
    daemons_folder: PathBuf,
}

impl Records {
    /// Records of `daemon`, and of `folder` (made when needed).
    pub fn new(daemon: impl Into<Transport>, folder: PathBuf) -> Records {
        Records {
            daemon: daemon.into(),
            folder,
            daemons_folder: records_of_daemons(),
        }
    }

    /// The same records, asked for through `daemon`.
    pub fn through(&self, daemon: impl Into<Transport>) -> Records {
        Records {
            daemon: daemon.into(),
            ..self.clone()
        }
    }

    /// The same, with another folder in which to look for a daemon's records.
    pub fn beside(mut self, daemons_folder: PathBuf) -> Records {
        self.daemons_folder = daemons_folder;
        self
    }

    /// The record of a phone; [`Error::NotPaired`] when nobody has one.
    pub fn load(&self, udid: &Udid) -> Result<PairRecord, Error> {
        let daemon = self.daemon.daemon();
        if let Some(daemon) = daemon {
            match daemon.pair_record(udid) {
                Ok(Some(record)) => return PairRecord::parse(&record),
                // A daemon that keeps no records at all (some simulators) is no reason to give up.
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
            // Root's, mostly: what we may not read is as good as none.
            let of_daemon = self.daemons_folder.join(format!("{udid}.plist"));
            if let Ok(bytes) = fs::read(of_daemon) {
                return PairRecord::parse(&Secret::new(bytes));
            }
        }
        Err(Error::NotPaired)
    }

    /// Keeps a record: the daemon takes it, or else our folder.
    pub fn save(&self, phone: &Attached, record: &PairRecord) -> Result<(), Error> {
        let plist = record.to_plist()?;
        if let Some(daemon) = self.daemon.daemon() {
            match daemon.save_pair_record(phone, &plist) {
                Ok(()) => return Ok(()),
                Err(transport::Error::Refused { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let written = write_private(&self.folder, &self.file(&phone.udid), plist.expose());
        written.map_err(|cause| self.failed("write", &phone.udid, cause))
    }

    /// Forgets the record of a phone. A daemon that does not run keeps its own: another program may
    /// rest on it.
    pub fn forget(&self, udid: &Udid) -> Result<(), Error> {
        if let Some(daemon) = self.daemon.daemon() {
            match daemon.delete_pair_record(udid) {
                Ok(()) | Err(transport::Error::Refused { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        match fs::remove_file(self.file(udid)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", udid, cause))
            }
            _ => Ok(()),
        }
    }

    /// The computer's identifier: the daemon's, else one of our own, which is kept.
    pub fn system_buid(&self) -> Result<String, Error> {
        match self.daemon.daemon().map(Usbmuxd::system_buid) {
            Some(Ok(buid)) => return Ok(buid),
            Some(Err(transport::Error::Refused { .. } | transport::Error::Strange { .. })) => {}
            Some(Err(e)) => return Err(e.into()),
            // A daemon that does not run now is to find its own again.
            None => {
                // Most daemons let nobody else read it.
                if let Ok(Some(buid)) = buid_in(&self.daemons_folder) {
                    return Ok(buid);
                }
            }
        }
        let path = self.folder.join(CONFIGURATION);
        // Pairings are bound to it: one that cannot be read is not replaced.
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
                // Somebody else was quicker, and theirs counts.
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

/// The file of this computer's identifier, as daemons name it.
const CONFIGURATION: &str = "SystemConfiguration.plist";
const BUID: &str = "SystemBUID";

/// The identifier that a folder of pair records holds; nothing where there is no such file.
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

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    private(folder, bytes)?.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// A file that only its owner can read, with all of its bytes on the disk and no name yet that
/// anybody looks for.
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
