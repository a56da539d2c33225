//! Where pair records are kept: by the daemon, which shares them with every program, else in a folder of ours.

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

    /// Forgets the record of a phone. A daemon that does not run keeps its own: another program may rest on it.
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
                if let Some(buid) = buid_in(&self.daemons_folder) {
                    return Ok(buid);
                }
            }
        }
        if let Some(buid) = buid_in(&self.folder) {
            return Ok(buid);
        }
        let buid = uuid::Uuid::new_v4().to_string().to_uppercase();
        let mut configuration = Dictionary::new();
        configuration.insert(BUID.into(), buid.as_str().into());
        let path = self.folder.join(CONFIGURATION);
        let mut bytes = Vec::new();
        let made = Value::Dictionary(configuration).to_writer_xml(&mut bytes);
        let written = made
            .map_err(io::Error::other)
            .and_then(|()| write_private(&self.folder, &path, &bytes));
        written.map_err(|cause| Error::File {
            doing: format!("write this computer's identifier {}", path.display()),
            cause,
        })?;
        Ok(buid)
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

/// The identifier that a folder of pair records holds, as far as it can be read.
fn buid_in(folder: &Path) -> Option<String> {
    let bytes = fs::read(folder.join(CONFIGURATION)).ok()?;
    let configuration = bounded_plist::parse(&bytes).ok()?;
    let buid = configuration.as_dictionary()?.get(BUID)?.as_string()?;
    (!buid.is_empty()).then(|| buid.to_owned())
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let temporary = path.with_extension("plist.partial");
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}
