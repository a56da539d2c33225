//! `idev-backup restore --rehearse`: runs a complete restore to a simulated phone, and compares
//! every byte that it received with the backup.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::private_dir::PrivateDir;
use idev_backup::base::secret::Secret;
use idev_backup::base::units::{count, counted, duration, size};
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::error::{Class, Error};
use idev_backup::reader::passwords::{Known, NoPasswords, Passwords};
use idev_backup::restore::compare::{Comparison, How, Received, What, compare};
use idev_backup::restore::rehearse::{ELSEWHERE, REPORT, no_place, simulated};
use idev_backup::restore::subject::Source;
use idev_backup::restore::{self, Held, Options, Report, partial};
use idev_backup::simulator::{Content, Daemon, Ledger, Phone, PhoneConfig, Restored, RestoredKind};
use idev_backup::transport::Usbmuxd;
use idev_backup::transport::usbmuxd::Address;
use idev_backup::verify::Depth;
use serde::Serialize;

use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::progress::{Style, Watch};

/// Number of ledger rows that may wait to be compared.
const WAITING: usize = 256;
/// Free space of the simulated phone: more than any real phone has, so that space never matters.
const ROOM_BYTES: u64 = 1 << 50;

/// Result of a rehearsal.
#[derive(Serialize)]
struct Rehearsed<'a> {
    #[serde(flatten)]
    restored: &'a Report,
    /// Patterns given with `--only`.
    only: &'a [String],
    compared: &'a Comparison,
}

/// Runs the command and returns its exit code.
pub fn run(
    held: &Held,
    folder: &Path,
    options: &Options,
    style: Style,
    watch: &Watch<'_>,
) -> Result<u8, Error> {
    let began = Instant::now();
    let options = &Options {
        // Nothing is at risk: the phone is a simulated one.
        partial_at_own_risk: true,
        ..options.clone()
    };
    let domains = partial::domains(options)?;
    let source = Source::look(folder)?;
    let place = std::env::temp_dir();
    room(&place, folder, &source)?;
    let failed = |e: std::io::Error| no_place(&place, &e);
    let private = private().map_err(failed)?;
    let phone = Phone::new(stage(&source));
    let daemon = listen(&private, &phone).map_err(failed)?;
    let pairing = private.path().join("pairing");
    let token = CancelToken::new(interrupt());
    let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
    let connector = Connector::new(usbmuxd, pairing, Pin::PairRecord, token.clone());
    let attached = connector.phone(None).map_err(|e| simulated(e, &place))?;
    let restored = super::restore::ticking(watch, || {
        restore::restore(held, &connector, &attached, folder, options, watch)
    });
    let restored = restored.map_err(|e| simulated(e, &place))?;
    let ledger = phone.ledger().ok_or_else(|| Error::Rehearsal {
        why: "the simulated phone has no list of what it received".to_owned(),
        hint: REPORT.to_owned(),
        class: Class::Failed,
    })?;
    let passwords = options.password.clone();
    let passwords = passwords.unwrap_or_else(|| Known(Secret::new(Vec::new())));
    let passwords: &dyn Passwords = if restored.source.encrypted {
        &passwords
    } else {
        &NoPasswords
    };
    let compared = super::restore::ticking(watch, || {
        let how = How {
            passwords,
            domains: domains.as_ref(),
            token: &token,
        };
        against(&ledger, folder, &how, watch).map_err(|e| e.unwrap_or_else(failed))
    })?;
    watch.finish();
    match style {
        Style::Json => {
            let rehearsed = Rehearsed {
                restored: &restored,
                only: &options.only,
                compared: &compared,
            };
            output::object("rehearsed", restored.source.udid.as_deref(), &rehearsed);
        }
        Style::Quiet if compared.is_same() => {}
        _ => words(&restored, &compared, options, began.elapsed())
            .iter()
            .for_each(|line| output::line(line)),
    }
    Ok(match (compared.is_same(), restored.problems.is_empty()) {
        (false, _) => exit::FAILED,
        (true, false) => exit::DONE_WITH_PROBLEMS,
        (true, true) => exit::DONE,
    })
}

/// Returns an error if the folder for temporary files lacks space for the data of the simulated
/// phone and of the comparison.
fn room(place: &Path, folder: &Path, source: &Source) -> Result<(), Error> {
    /// Copies of the file list: the phone's own, and a decrypted one on either side if the backup
    /// is encrypted.
    const LISTS: u64 = 3;
    /// Size of a ledger row in bytes: a domain, a path and a hash.
    const ROW_BYTES: u64 = 400;
    const SPARE_BYTES: u64 = 1 << 20;
    let length = |name| std::fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
    let list = length("Manifest.db").max(length("Manifest.mbdb"));
    let need = list * LISTS + source.files.saturating_mul(ROW_BYTES) + SPARE_BYTES;
    let free = fs4::available_space(place).map_err(|e| no_place(place, &e))?;
    if free < need {
        Err(Error::Rehearsal {
            why: format!(
                "its lists take up to {}, and {} has room for {}",
                size(need),
                place.display(),
                size(free)
            ),
            hint: ELSEWHERE.to_owned(),
            class: Class::NoSpace,
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
        free_bytes: Some(ROOM_BYTES),
        restart: Duration::ZERO,
        ..PhoneConfig::default()
    }
}

/// Compares the ledger with the backup. A separate thread reads the ledger row by row.
fn against(
    ledger: &Ledger,
    folder: &Path,
    how: &How<'_>,
    watch: &Watch<'_>,
) -> Result<Comparison, Result<Error, std::io::Error>> {
    let (rows, received) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(ledger, &rows));
        let compared = compare(folder, how, received, watch).map_err(Ok)?;
        match reading.join() {
            Ok(Ok(())) => Ok(compared),
            Ok(Err(e)) => Err(Err(e)),
            Err(_) => Err(Err(std::io::Error::other("reading its list failed"))),
        }
    })
}

fn read(ledger: &Ledger, rows: &SyncSender<Received>) -> std::io::Result<()> {
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

fn words(
    restored: &Report,
    compared: &Comparison,
    options: &Options,
    took: Duration,
) -> Vec<String> {
    const SHOWN_MAX: usize = 20;
    let mut lines = vec![String::new()];
    let bad = compared.missing + compared.extra + compared.different;
    lines.push(if compared.is_same() {
            let what = if options.only.is_empty() {
"the whole backup".to_owned()
} else {
format!("a part of the backup ({})", output::one_line(&options.only.join(", ")))
};
            let has = match options.depth {
                Depth::Quick => "what arrived is what lies here of",
                _ => "has every byte of",
            };
            format!(
                "REHEARSED in {}: a simulated phone took {what}, and {has} {} ({}), with {} folders and links.",
                duration(took),
                counted(compared.files, "file"),
                size(compared.bytes),
                count(compared.others),
            )

} else {
format!(
            "THE REHEARSAL FAILED: what the phone received is not what the backup names, in {}.",
            counted(bad, "place")
        )
});
    if options.depth == Depth::Quick && compared.is_same() {
        lines.push(
            "  Whether that is still what the phone once gave was not checked: leave --quick-check out."
                .to_owned(),
        );
    }
    for difference in compared.differences.iter().take(SHOWN_MAX) {
        lines.push(format!("  {}", output::one_line(difference)));
    }
    if bad > SHOWN_MAX as u64 {
        lines.push(format!("  ... and {} more", bad - SHOWN_MAX as u64));
    }
    if !compared.is_same() {
        lines.push("  hint: `idev-backup verify --deep` tells whether the backup is whole; if it is, please report this".to_owned());
    }
    for problem in &restored.problems {
        lines.push(format!("  problem: {problem}"));
    }
    lines.push(
        "  What a real phone would say besides - Find My, room, its iOS - is told by `--dry-run` with the phone connected."
            .to_owned(),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_room_is_named_before_anything_begins() {
        let place = std::env::temp_dir();
        let source = Source {
            files: 1 << 50,
            ..Source::default()
        };
        let error = room(&place, Path::new("absent"), &source).err();
        let error = error.unwrap_or(Error::Interrupted);
        assert_eq!(error.class(), Class::NoSpace, "{error}");
        assert!(error.to_string().contains(&place.display().to_string()));
        assert!(error.hint().is_some_and(|hint| hint.contains("TMPDIR")));
        assert!(room(&place, Path::new("absent"), &Source::default()).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reaches_the_simulated_phone() -> io::Result<()> {
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
}
