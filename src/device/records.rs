//! Where pair records are kept: by the daemon, which shares them with every program, else in a folder of ours.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Error, PairRecord};
use crate::secret::Secret;
use crate::transport::{self, Attached, Usbmuxd};
use crate::udid::Udid;

/// The daemon's records, and ours where the daemon has none.
#[derive(Debug, Clone)]
pub struct Records {
    daemon: Usbmuxd,
    folder: PathBuf,
}

impl Records {
    /// Records of `daemon`, and of `folder` (made when needed).
    pub fn new(daemon: Usbmuxd, folder: PathBuf) -> Records {
        Records { daemon, folder }
    }

    /// The same records, asked for through `daemon`.
    pub fn through(&self, daemon: Usbmuxd) -> Records {
        Records::new(daemon, self.folder.clone())
    }

    /// The record of a phone; [`Error::NotPaired`] when nobody has one.
    pub fn load(&self, udid: &Udid) -> Result<PairRecord, Error> {
        match self.daemon.pair_record(udid) {
            Ok(Some(record)) => return PairRecord::parse(&record),
            // A daemon that keeps no records at all (some simulators) is no reason to give up.
            Ok(None) | Err(transport::Error::Refused { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        match fs::read(self.file(udid)) {
            Ok(bytes) => PairRecord::parse(&Secret::new(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::NotPaired),
            Err(cause) => Err(self.failed("read", udid, cause)),
        }
    }

    /// Keeps a record: the daemon takes it, or else our folder.
    pub fn save(&self, phone: &Attached, record: &PairRecord) -> Result<(), Error> {
        let plist = record.to_plist()?;
        match self.daemon.save_pair_record(phone, &plist) {
            Ok(()) => Ok(()),
            Err(transport::Error::Refused { .. }) => {
                let written = write_private(&self.folder, &self.file(&phone.udid), plist.expose());
                written.map_err(|cause| self.failed("write", &phone.udid, cause))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Forgets the record of a phone, wherever it is.
    pub fn forget(&self, udid: &Udid) -> Result<(), Error> {
        match self.daemon.delete_pair_record(udid) {
            Ok(()) | Err(transport::Error::Refused { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        match fs::remove_file(self.file(udid)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", udid, cause))
            }
            _ => Ok(()),
        }
    }

    /// The computer's identifier: the daemon's, else a new one.
    pub fn system_buid(&self) -> Result<String, Error> {
        match self.daemon.system_buid() {
            Ok(buid) => Ok(buid),
            Err(transport::Error::Refused { .. } | transport::Error::Strange { .. }) => {
                Ok(uuid::Uuid::new_v4().to_string().to_uppercase())
            }
            Err(e) => Err(e.into()),
        }
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
