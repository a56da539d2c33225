//! mobilebackup2: greets the computer, accepts requests, and backs up in the order of a real phone.
//!
//! The computer may fail or disconnect at any message. After a lost connection the phone keeps its
//! cache, and the next backup continues; an error deletes the cache, and the next backup sends
//! everything.

mod decide;
mod password;
pub(super) mod restore;
mod run;
mod upload;

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Value};

use super::dialog::{Stop, fails};
use super::faults::Fault;
use super::phone::{Outcome, Passed, Phone};
use super::tls::Link;
use super::wire::Wire;
use crate::simulator::backup::run::Run;
use crate::simulator::faults;

/// Number of files in one message.
const BATCH: usize = 128;
/// Space in bytes that must stay free on the computer.
const HEADROOM: u64 = 128 << 20;
/// Additional bytes that the phone requests when it asks the computer to free space.
const OVERSHOOT: u64 = 2 << 30;

/// The phone's memory of its backups and restores.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// Current generation of the contents.
    pub(super) generation: u32,
    /// True if a finished backup holds this generation, so that the next one sees changes.
    kept: bool,
    /// Finished backups, on any computer.
    sent: Vec<Kept>,
    /// State of an interrupted backup.
    cache: Option<Cache>,
    started: u32,
    busy: bool,
    /// A restore that the phone puts into place at its next reboot.
    staged: Option<restore::Staged>,
}

impl Memory {
    /// Creates the memory of a new phone, with or without a restore that still waits for a reboot.
    pub(super) fn of(unfinished_restore: bool) -> Memory {
        Memory {
            staged: unfinished_restore.then(restore::Staged::unknown),
            ..Memory::default()
        }
    }

    /// Forgets all previous backups. They cannot serve as a base, since other keys encrypt them.
    pub(super) fn forget_backups(&mut self) {
        self.sent.clear();
        self.cache = None;
    }

    /// Returns a copy of the memory as if the current backup had just been interrupted.
    pub(super) fn after_a_cut(&self) -> Memory {
        Memory {
            busy: false,
            ..self.clone()
        }
    }
}

/// A backup on some computer, identified by the SHA-256 of its Manifest.db.
#[derive(Debug, Clone)]
struct Kept {
    generation: u32,
    database: [u8; 32],
}

/// State that survives a lost connection.
#[derive(Debug, Clone)]
struct Cache {
    uuid: String,
    full: bool,
    base: Option<Kept>,
    database: Option<[u8; 32]>,
}

impl Cache {
    /// Begins a full backup with a new UUID.
    fn anew() -> Cache {
        Cache {
            uuid: super::new_uuid(),
            full: true,
            base: None,
            database: None,
        }
    }
}

/// Serves one client until it disconnects.
pub(super) fn serve(phone: &Arc<Phone>, link: Link) -> io::Result<()> {
    let mut wire = Wire::new(link);
    let number = super::lock(&phone.memory).started + 1;
    let faults = faults::of_backup(&phone.faults(), number);
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
            "ChangePassword" => password::change(phone, &mut wire, &faults, &request)?,
            "Restore" => {
                restore::restore(phone, &mut wire, &faults, &request)?;
                break;
            }
            other @ ("Extract" | "Info" | "List" | "Unback" | "EnableCloudBackup"
            | "EraseDevice") => {
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

/// Negotiates protocol versions. Returns the DeviceLink version.
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
        super::lock(&phone.memory).started += 1;
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

/// Runs one backup. The phone's history records the result before the computer receives it.
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
        step: Cache::anew(),
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
    conclude(wire, faults, ended)
}

/// Sends the final result of a request.
fn conclude(wire: &mut Wire, faults: &[Fault], ended: Result<(), Stop>) -> io::Result<()> {
    match ended {
        Ok(()) if faults.contains(&Fault::NoFinalResponse) => wire.stall(),
        Ok(()) => wire.respond(0, ""),
        Err(Stop::Fails(code, text)) => wire.respond(code, &text),
        Err(Stop::Lost(e)) => Err(e),
    }
}

/// Waits until the owner has entered the passcode.
fn passcode(phone: &Phone, wire: &mut Wire) -> Result<(), Stop> {
    match phone.await_passcode(|wait| wire.gone_within(wait)) {
        Passed::Yes => Ok(()),
        Passed::No => fails(208, text_of(208)),
        Passed::Gone => {
            let kind = io::ErrorKind::ConnectionAborted;
            Err(Stop::Lost(io::Error::new(kind, "the computer left")))
        }
    }
}

/// Fails with the error code that an injected fault demands, if any.
fn told_to_fail(faults: &[Fault]) -> Result<(), Stop> {
    let code = faults.iter().find_map(|fault| match fault {
        Fault::Error(code) => Some(*code),
        _ => None,
    });
    code.map_or(Ok(()), |code| fails(code, text_of(code)))
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
        209 => "Missing encryption key for a file",
        212 => "Unable to backup until Setup is finished",
        _ => "The phone was told to fail",
    }
}
