//! `idev-backup restore --rehearse`: a whole restore played to a simulated phone, and every byte that it received compared with the
//! backup.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use idev_backup::device::tls::Pin;
use idev_backup::jobs::Error;
use idev_backup::jobs::password::{Known, NoPasswords, Passwords};
use idev_backup::jobs::phone::Reach;
use idev_backup::jobs::restore::about::Source;
use idev_backup::jobs::restore::compare::{Comparison, Received, What, compare};
use idev_backup::jobs::restore::{self, Options, Report};
use idev_backup::secret::Secret;
use idev_backup::sim::{Content, Daemon, Ledger, Phone, PhoneConfig, Restored, RestoredKind};
use idev_backup::store;
use idev_backup::transport::usbmuxd::Address;
use idev_backup::transport::{Calm, Usbmuxd};
use idev_backup::units::{count, counted, duration, size};
use serde::Serialize;

use super::progress::{Style, Watch};
use super::{exit, interrupt, output};

/// Rows of the ledger that wait to be compared.
const WAITING: usize = 256;
/// More than any phone has, so that room is no part of the play.
const ROOM_BYTES: u64 = 1 << 50;

/// What came of it.
#[derive(Serialize)]
struct Rehearsed<'a> {
    #[serde(flatten)]
    restored: &'a Report,
    compared: &'a Comparison,
}

/// Runs it.
pub fn run(folder: &Path, options: &Options, style: Style, watch: &Watch<'_>) -> Result<u8, Error> {
    let began = Instant::now();
    let phone = Phone::new(stage(&Source::look(folder)?));
    let failed = |e: std::io::Error| Error::Store(store::Error::io("play a phone for", folder, e));
    let daemon = Daemon::start("127.0.0.1:0", vec![phone.clone()]).map_err(failed)?;
    let pairing = tempfile::tempdir().map_err(failed)?;
    let calm = Calm::new(interrupt());
    let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), calm.clone());
    let reach = Reach::new(usbmuxd, pairing.path().to_path_buf(), Pin::PairRecord, calm);
    let attached = reach.phone(None)?;
    let restored = super::restore::ticking(watch, || {
        restore::restore(&reach, &attached, folder, options, watch)
    })?;
    let ledger = phone.ledger().ok_or_else(|| Error::Nothing {
        what: "the simulated phone has no list of what it received".to_owned(),
        hint: "please report this".to_owned(),
    })?;
    let passwords = options.password.clone();
    let passwords = passwords.unwrap_or_else(|| Known(Secret::new(Vec::new())));
    let passwords: &dyn Passwords = match restored.source.encrypted {
        true => &passwords,
        false => &NoPasswords,
    };
    let compared = super::restore::ticking(watch, || {
        against(&ledger, folder, passwords, watch).map_err(|e| e.unwrap_or_else(failed))
    })?;
    watch.finish();
    match style {
        Style::Json => {
            let rehearsed = Rehearsed {
                restored: &restored,
                compared: &compared,
            };
            output::object("rehearsed", restored.source.udid.as_deref(), &rehearsed);
        }
        Style::Quiet if compared.is_same() => {}
        _ => words(&restored, &compared, began.elapsed())
            .iter()
            .for_each(|line| output::line(line)),
    }
    Ok(match (compared.is_same(), restored.problems.is_empty()) {
        (false, _) => exit::FAILED,
        (true, false) => exit::DONE_WITH_PROBLEMS,
        (true, true) => exit::DONE,
    })
}

/// A phone of the backup's kind, with room for anything and nothing on it.
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

/// The ledger against the backup: read on a thread of its own, row by row.
fn against(
    ledger: &Ledger,
    folder: &Path,
    passwords: &dyn Passwords,
    watch: &Watch<'_>,
) -> Result<Comparison, Result<Error, std::io::Error>> {
    let (rows, received) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(ledger, &rows));
        let compared = compare(folder, passwords, received, watch).map_err(Ok)?;
        match reading.join() {
            Ok(Ok(())) => Ok(compared),
            Ok(Err(e)) => Err(Err(e)),
            Err(_) => Err(Err(std::io::Error::other("reading its list failed"))),
        }
    })
}

fn read(ledger: &Ledger, rows: &SyncSender<Received>) -> std::io::Result<()> {
    // Who has stopped listening knows why.
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

fn words(restored: &Report, compared: &Comparison, took: Duration) -> Vec<String> {
    const SHOWN_MAX: usize = 20;
    let mut lines = vec![String::new()];
    let bad = compared.missing + compared.extra + compared.different;
    lines.push(match compared.is_same() {
        true => format!(
            "REHEARSED in {}: a simulated phone took the whole backup, and has every byte of {} ({}), with {} folders and links.",
            duration(took),
            counted(compared.files, "file"),
            size(compared.bytes),
            count(compared.others),
        ),
        false => format!(
            "THE REHEARSAL FAILED: {} did not receive what the backup names.",
            counted(bad, "item")
        ),
    });
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
