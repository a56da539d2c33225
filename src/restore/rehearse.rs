//! Rehearses a restore: runs it completely to a simulated phone, and compares every byte that the
//! phone received with the backup.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::failure_kind::FailureKind;
use crate::base::private_dir::PrivateDir;
use crate::base::progress::Monitor;
use crate::base::secret::Secret;
use crate::device::connector::Connector;
use crate::device::tls::Pin;
use crate::reader::passwords::{Known, NoPasswords, Passwords};
use crate::restore::compare::{Comparison, How, Received, What, compare};
use crate::restore::subject::Source;
use crate::restore::{self, Error, Held, Options, Report, partial};
use crate::simulator::{Content, Daemon, Ledger, Phone, PhoneConfig, Restored, RestoredKind};
use crate::transport::Usbmuxd;
use crate::transport::usbmuxd::Address;

/// Number of ledger rows that may wait to be compared.
const WAITING: usize = 256;
/// Free space of the simulated phone: more than any real phone has, so that space never matters.
const FREE_BYTES: u64 = 1 << 50;

/// Result of a rehearsal.
#[derive(Debug)]
pub struct Rehearsal {
    /// Report of the restore to the simulated phone.
    pub restored: Report,
    /// Comparison of what the phone received with the backup.
    pub compared: Comparison,
}

/// Restores the backup in `folder` to a simulated phone, and compares what the phone received with
/// the backup.
pub fn rehearse(
    held: &Held,
    folder: &Path,
    options: &Options,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<Rehearsal, Error> {
    let options = &Options {
        // Nothing is at risk: the phone is a simulated one.
        partial_at_own_risk: true,
        ..options.clone()
    };
    let domains = partial::domains(options)?;
    let source = Source::look(folder)?;
    let place = std::env::temp_dir();
    check_space(&place, folder, &source)?;
    let failed = |e: io::Error| no_place(&place, e);
    let private = private().map_err(failed)?;
    let phone = Phone::new(stage(&source));
    let daemon = listen(&private, &phone).map_err(failed)?;
    let pairing = private.path().join("pairing");
    let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
    let connector = Connector::new(usbmuxd, pairing, Pin::PairRecord, token.clone());
    let attached = connector.phone(None);
    let attached = attached.map_err(|e| simulated(e.into(), &place))?;
    let restored = restore::restore(held, &connector, &attached, folder, options, monitor);
    let restored = restored.map_err(|e| simulated(e, &place))?;
    let ledger = phone.ledger().ok_or(Error::NoLedger)?;
    let passwords = options.password.clone();
    let passwords = passwords.unwrap_or_else(|| Known(Secret::new(Vec::new())));
    let passwords: &dyn Passwords = if restored.source.encrypted {
        &passwords
    } else {
        &NoPasswords
    };
    let how = How {
        passwords,
        domains: domains.as_ref(),
        token,
    };
    let compared = against(&ledger, folder, &how, monitor);
    let compared = compared.map_err(|e| e.unwrap_or_else(failed))?;
    Ok(Rehearsal { restored, compared })
}

/// Returns the error for a folder for temporary files that cannot be used.
fn no_place(place: &Path, cause: io::Error) -> Error {
    Error::NoPlaceForRehearsal {
        place: place.to_path_buf(),
        cause,
    }
}

/// Marks an error as one of the simulated phone, so that the user does not look for a cable. Errors
/// of the backup, of its password or of its disk stay as they are.
fn simulated(error: Error, place: &Path) -> Error {
    const LEAST_BYTES: u64 = 1 << 20;
    if error.kind() == FailureKind::Interrupted {
        return Error::Interrupted;
    }
    if !matches!(
        error,
        Error::Dialog { .. } | Error::Refused { .. } | Error::Device(_)
    ) {
        return error;
    }
    match fs4::available_space(place) {
        Ok(free) if free < LEAST_BYTES => no_place(place, io::ErrorKind::StorageFull.into()),
        Ok(_) => Error::SimulatedPhone(Box::new(error)),
        Err(e) => no_place(place, e),
    }
}

/// Returns an error if the folder for temporary files lacks space for the data of the simulated
/// phone and of the comparison.
fn check_space(place: &Path, folder: &Path, source: &Source) -> Result<(), Error> {
    /// Copies of the file list: the phone's own, and a decrypted one on either side if the backup
    /// is encrypted.
    const LISTS: u64 = 3;
    /// Size of a ledger row in bytes: a domain, a path and a hash.
    const ROW_BYTES: u64 = 400;
    const SPARE_BYTES: u64 = 1 << 20;
    let length = |name| std::fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
    let list = length("Manifest.db").max(length("Manifest.mbdb"));
    let need = list * LISTS + source.files.saturating_mul(ROW_BYTES) + SPARE_BYTES;
    let free = fs4::available_space(place).map_err(|e| no_place(place, e))?;
    if free < need {
        Err(Error::NoSpaceForRehearsal {
            place: place.to_path_buf(),
            need_bytes: need,
            free_bytes: free,
        })
    } else {
        Ok(())
    }
}

/// Creates a folder that only this user can access.
fn private() -> io::Result<PrivateDir> {
    // A socket's path has a length limit (macOS: 104 bytes); subtract the part that is added here.
    const FOLDER_BYTES_MAX: usize = 80;
    const PREFIX: &str = "idev-";
    if cfg!(unix) && std::env::temp_dir().as_os_str().len() > FOLDER_BYTES_MAX {
        PrivateDir::new_in(PREFIX, Path::new("/tmp"))
    } else {
        PrivateDir::new(PREFIX)
    }
}

/// Starts the simulated phone's daemon. Any user of the computer may connect to a TCP port, and so
/// to a phone that receives a whole backup. A socket in a private folder is accessible only to this
/// user.
#[cfg(unix)]
fn listen(private: &PrivateDir, phone: &Arc<Phone>) -> io::Result<Daemon> {
    let socket = private.path().join("mux");
    Daemon::start(&format!("UNIX:{}", socket.display()), vec![phone.clone()])
}

#[cfg(not(unix))]
fn listen(_: &PrivateDir, phone: &Arc<Phone>) -> io::Result<Daemon> {
    Daemon::start("127.0.0.1:0", vec![phone.clone()])
}

/// Configures a phone of the backup's model that is empty and has space for any backup.
fn stage(source: &Source) -> PhoneConfig {
    let plain = PhoneConfig::default();
    PhoneConfig {
        name: "Rehearsal".to_owned(),
        model: source.product_type.clone().unwrap_or(plain.model),
        ios: source.ios.clone().unwrap_or(plain.ios),
        content: Content {
            small: 0,
            bulk: 0,
            changes: 0,
            ..Content::default()
        },
        free_bytes: Some(FREE_BYTES),
        restart: Duration::ZERO,
        ..PhoneConfig::default()
    }
}

/// Compares the ledger with the backup. A separate thread reads the ledger row by row.
fn against(
    ledger: &Ledger,
    folder: &Path,
    how: &How<'_>,
    monitor: &dyn Monitor,
) -> Result<Comparison, Result<Error, io::Error>> {
    let (rows, received) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(ledger, &rows));
        let compared = compare(folder, how, received, monitor).map_err(Ok)?;
        match reading.join() {
            Ok(Ok(())) => Ok(compared),
            Ok(Err(e)) => Err(Err(e)),
            Err(_) => Err(Err(io::Error::other("reading its list failed"))),
        }
    })
}

fn read(ledger: &Ledger, rows: &SyncSender<Received>) -> io::Result<()> {
    // The send fails only after the receiver has stopped, for a reason that it knows.
    ledger.each(|row| rows.send(received(row)).is_ok())
}

fn received(row: Restored) -> Received {
    Received {
        file_id: row.file_id,
        domain: row.domain,
        relative_path: row.path,
        what: match row.kind {
            RestoredKind::File { size, sha256 } => What::File { size, sha256 },
            RestoredKind::Folder => What::Folder,
            RestoredKind::Link(target) => What::Link(target),
        },
        mode: row.mode,
        modified: row.modified,
    }
}

#[cfg(test)]
mod tests {
    use crate::mobilebackup;

    use super::*;

    /// Checks that a full temporary folder is reported by name. The check runs before the rehearsal
    /// writes anything.
    #[test]
    fn rehearsal_needs_free_space() {
        let place = std::env::temp_dir();
        let source = Source {
            files: 1 << 50,
            ..Source::default()
        };
        let error = check_space(&place, Path::new("absent"), &source).err();
        let error = error.unwrap_or(Error::Interrupted);
        assert_eq!(error.kind(), FailureKind::NoSpace, "{error}");
        assert!(error.to_string().contains(&place.display().to_string()));
        assert!(check_space(&place, Path::new("absent"), &Source::default()).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn simulated_phone_socket_is_private() -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let private = private()?;
        let mode = std::fs::metadata(private.path())?.permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let daemon = listen(&private, &Phone::new(PhoneConfig::default()))?;
        let inside = format!("UNIX:{}/", private.path().display());
        assert!(
            daemon.address().starts_with(&inside),
            "{}",
            daemon.address()
        );
        Ok(())
    }

    /// Checks that errors of a rehearsal name the simulated phone, and that errors of the backup
    /// stay as they are.
    #[test]
    fn errors_name_simulated_phone() {
        let place = std::env::temp_dir();
        let broken = |cause| Error::Dialog {
            cause,
            left: restore::Left::Partly { files: 4864 },
        };
        let cancelled = simulated(broken(mobilebackup::Error::Cancelled), &place);
        assert!(matches!(cancelled, Error::Interrupted), "{cancelled}");
        let hostile = "x/../y".parse::<crate::base::backup_path::BackupPath>();
        let hostile = hostile.err().map(mobilebackup::Error::Hostile);
        let error = hostile.map(|cause| simulated(broken(cause), &place).to_string());
        let said = error.unwrap_or_default();
        assert!(said.contains("the simulated phone"), "{said}");
        for word in ["cable", "restart the phone", "4,864", "do not trust"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
        let damaged = Error::NoDomain(Vec::new());
        assert!(matches!(simulated(damaged, &place), Error::NoDomain(_)));
    }
}
