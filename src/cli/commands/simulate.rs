//! `idev-backup simulate`: runs a daemon with simulated phones until it is stopped, or attaches one
//! phone to the USB of a virtual machine.

use std::io::{self, BufRead, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use idev_backup::base::udid::Udid;
use idev_backup::simulator::{
    Cable, Content, Daemon, Fault, Passcode, Password, Phone, PhoneConfig, Trust, UsbEvent,
};
use idev_backup::trace::At;

use crate::cli::args::trace::TraceArgs;

/// Pretend to be an iPhone behind a usbmuxd-compatible socket.
///
/// Example:  idev-backup simulate --listen 127.0.0.1:27015 --fault cut-after:1000000 --fault times:1
///
/// Prints one line, `USBMUXD_SOCKET_ADDRESS=...`: set that in the environment of any client, and it
/// finds the phones.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    /// Where to listen: UNIX:/path or HOST:PORT (port 0: any free one).
    #[arg(long, value_name = "ADDR", default_value_t = default_address())]
    listen: String,
    /// Be a USB device of a virtual machine instead: connect to the socket of QEMU's usb-redir,
    /// UNIX:/path or HOST:PORT.
    ///
    /// QEMU is started with `-device qemu-xhci -chardev socket,id=c0,path=/path,server=on,wait=off
    /// -device usb-redir,chardev=c0`. Lines on stdin change the cable: `unplug`, `plug`,
    /// `unplug-after BYTES` (to the computer), `replug`; `counts` tells what passed. What the
    /// computer does wrong is printed as `usb: misstep: ...`.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["listen", "phones", "trace"])]
    usbredir: Option<String>,
    /// The version of the USB mux that the phone speaks at most; phones before iOS 7 have 1.
    #[arg(long, value_name = "VERSION", default_value_t = 2, requires = "usbredir", value_parser = clap::value_parser!(u32).range(1..=2))]
    mux_version: u32,
    /// How many phones are attached.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    phones: u32,
    /// The first phone's UDID; those of others are counted up from it.
    #[arg(long)]
    udid: Option<Udid>,
    /// The first phone's name.
    #[arg(long, default_value = "Mira's iPhone")]
    name: String,
    /// The product type.
    #[arg(long, default_value = "iPhone16,1")]
    model: String,
    /// The version of iOS.
    #[arg(long, value_name = "VERSION", default_value = "18.6.2")]
    ios: String,
    /// What the contents follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Small files on each phone.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    files: u32,
    /// Their sizes.
    #[arg(long, value_name = "MIN..MAX", default_value = "2K..20K", value_parser = parse_range)]
    file_size: RangeInclusive<u64>,
    /// Large files on each phone.
    #[arg(long, value_name = "COUNTxSIZE", default_value = "3x5M", value_parser = parse_bulk)]
    bulk: (u32, u64),
    /// Files that differ from one backup to the next; 1 % if not given.
    #[arg(long, value_name = "N")]
    changes: Option<u32>,
    /// What the owner does when asked to trust a computer: now, after:SECONDS, deny, never.
    #[arg(long, default_value = "now", value_parser = parse_trust)]
    trust: Trust,
    /// When a backup asks for the passcode: none (not set), after:SECONDS, never.
    #[arg(long, default_value = "none", value_parser = parse_passcode)]
    passcode: Passcode,
    /// How long a backup waits for the passcode.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    passcode_limit: u64,
    /// The phone is locked.
    #[arg(long)]
    locked: bool,
    /// Percent of charge; below 20 it is not charging.
    #[arg(long, value_name = "PERCENT", default_value_t = 81, value_parser = clap::value_parser!(u8).range(0..=100))]
    battery: u8,
    /// Encrypt backups. The password is the first line of --password-file, or what
    /// IDEV_BACKUP_SIM_PASSWORD holds, or else "simulated".
    #[arg(long)]
    will_encrypt: bool,
    /// Encrypt backups with the password in the first line of this file.
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    password_file: Option<PathBuf>,
    /// Rounds that make a key of the password. Real phones take 10000000, which take seconds.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    key_rounds: u32,
    /// Refuse to switch encryption off, as a phone does whose administrator demands it.
    #[arg(long)]
    requires_encryption: bool,
    /// Secure no connection, as no phone since iOS 5 does.
    #[arg(long)]
    plain: bool,
    /// A restore from iCloud is running: backups and restores are refused with 25.
    #[arg(long)]
    icloud_restore: bool,
    /// Find My is on: restores are refused with 211.
    #[arg(long)]
    find_my: bool,
    /// The phone is not set up yet: restores are refused with 212.
    #[arg(long)]
    setup_unfinished: bool,
    /// Its administrator allows no restores.
    #[arg(long)]
    forbid_restores: bool,
    /// It was not started again after its last restore: the next one ends with 102.
    #[arg(long)]
    unfinished_restore: bool,
    /// What is free on the phone; follows from its content if not given.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    free_space: Option<u64>,
    /// How long it is away when it starts again after a restore.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_duration)]
    restart: Duration,
    /// Write what a restore brought into this SQLite database, a row for each file (the first phone
    /// only).
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    ledger: Option<PathBuf>,
    /// The DeviceLink version offered: 400, or 300 as before iOS 14.
    #[arg(long, value_name = "VERSION", default_value_t = 400)]
    devicelink: u64,
    /// Something that goes wrong in backups and restores (repeatable; --help lists all).
    ///
    /// cut-after:BYTES, cut-after-taken:BYTES (from the computer), cut-at:MESSAGE-INDEX,
    /// stall-after:BYTES, stall-at:MESSAGE-INDEX, refuse:SERVICE, name:TEXT (where the first upload
    /// goes; knows \\0 \\n \\r \\t), length:N, frame-length:N, message-length:N, deep-plist:N,
    /// laughs, unknown-message:NAME, disorder, device-error:N (every N-th file), file-provider,
    /// error:CODE, missing-file, short-file, bad-manifest, no-final-response, claim-size:BYTES,
    /// key-rounds:N (as the key bag claims), no-manifest-key, keyless-file, asks-for:PATH and
    /// asks-for-only:N (in a restore), refuses-writes:STATUS (of AFC), meddles (in the folder that
    /// is restored), times:N (the others happen in the first N backups and restores only).
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,
    #[command(flatten)]
    trace: TraceArgs,
}

impl Simulate {
    /// Serves the phones until the process is killed.
    pub fn run(&self) -> io::Result<()> {
        if let Some(address) = &self.usbredir {
            return self.on_usb(&with_scheme(address));
        }
        let mut phones = Vec::new();
        for number in 0..self.phones {
            phones.push(Phone::new(self.config(number)?));
        }
        let listen = with_scheme(&self.listen);
        let daemon = Daemon::start(&listen, phones).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("cannot listen on {listen}: {e}\n  hint: name another UNIX:/path or HOST:PORT with --listen"),
            )
        })?;
        let recorder = self.trace.begin(At::Phone);
        if let Some(recorder) = recorder.map_err(|e| io::Error::other(e.to_string()))? {
            daemon.record(recorder);
        }
        let mut stdout = io::stdout();
        writeln!(stdout, "USBMUXD_SOCKET_ADDRESS={}", daemon.address())?;
        stdout.flush()?;
        daemon.serve();
        Ok(())
    }

    /// Attaches one phone to the USB of a virtual machine, until that ends.
    fn on_usb(&self, address: &str) -> io::Result<()> {
        let phone = Phone::new(self.config(0)?);
        let (cable, events) = Cable::plug(address, &phone, self.mux_version).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("cannot connect to QEMU's usb-redir at {address}: {e}\n  hint: start QEMU first, with the socket of its -chardev at this address"),
            )
        })?;
        thread::Builder::new().name("cable".into()).spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if let Err(e) = handle(&cable, &line) {
                    crate::cli::render::output::tell(&format!("usb: {line:?}: {e}"));
                }
            }
            // Standard input has ended: no more commands can arrive, and the cable stays as it is.
            loop {
                thread::park();
            }
        })?;
        for event in events {
            say(&event.to_string())?;
            match event {
                UsbEvent::Over => break,
                UsbEvent::Nonsense(e) => {
                    let why = format!(
                        "QEMU at {address} does not speak usbredir: {e}\n  hint: the socket must be that of `-device usb-redir`"
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn backup_password(&self) -> io::Result<Option<Password>> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path).map_err(|e| {
                io::Error::new(e.kind(), format!("cannot read {}: {e}\n  hint: name a file with the password with --password-file", path.display()))
            })?;
            return Ok(Some(Password::new(text.lines().next().unwrap_or_default())));
        }
        let named = std::env::var(PASSWORD_VARIABLE).ok();
        let named = named.filter(|text| !text.is_empty());
        Ok(self
            .will_encrypt
            .then(|| Password::new(named.unwrap_or_else(|| PASSWORD.to_owned()))))
    }

    fn config(&self, number: u32) -> io::Result<PhoneConfig> {
        let base = PhoneConfig::default();
        let udid = self.udid.clone().unwrap_or(base.udid.clone());
        let name = match number {
            0 => self.name.clone(),
            n => format!("{} {}", self.name, n + 1),
        };
        let ledger = self.ledger.clone().filter(|_| number == 0);
        Ok(PhoneConfig {
            udid: counted_up(&udid, number)?,
            name,
            model: self.model.clone(),
            ios: self.ios.clone(),
            content: Content {
                seed: self.seed + u64::from(number),
                small: self.files,
                small_size: self.file_size.clone(),
                bulk: self.bulk.0,
                bulk_size: self.bulk.1,
                changes: self.changes.unwrap_or(self.files.div_ceil(100)),
            },
            trust: self.trust,
            passcode: self.passcode,
            passcode_limit: Duration::from_secs(self.passcode_limit),
            locked: self.locked,
            battery: self.battery,
            backup_password: self.backup_password()?,
            key_rounds: self.key_rounds,
            requires_encryption: self.requires_encryption,
            plain: self.plain,
            icloud_restore: self.icloud_restore,
            find_my: self.find_my,
            setup_unfinished: self.setup_unfinished,
            forbids_restores: self.forbid_restores,
            unfinished_restore: self.unfinished_restore,
            free_bytes: self.free_space,
            restart: self.restart,
            ledger_hashes: ledger.is_some(),
            ledger,
            device_link: self.devicelink,
            faults: self.fault.clone(),
        })
    }
}

fn with_scheme(address: &str) -> String {
    if address.starts_with('/') {
        format!("UNIX:{address}")
    } else {
        address.to_owned()
    }
}

/// Prints a line about the cable.
fn say(what: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "usb: {what}")?;
    stdout.flush()
}

/// Executes a command line from standard input.
fn handle(cable: &Cable, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [] => {}
        ["plug"] => cable.plug_again(),
        ["unplug"] => cable.unplug(),
        ["replug"] => {
            cable.unplug();
            cable.plug_again();
        }
        ["unplug-after", bytes] => cable.unplug_after(parse_size(bytes)?),
        ["counts"] => say(&cable.counts().to_string()).map_err(|e| e.to_string())?,
        _ => return Err("one of plug, unplug, unplug-after BYTES, replug, counts".to_owned()),
    }
    Ok(())
}

const PASSWORD: &str = "simulated";
const PASSWORD_VARIABLE: &str = "IDEV_BACKUP_SIM_PASSWORD";

fn default_address() -> String {
    if cfg!(unix) {
        let path = std::env::temp_dir().join("idev-backup-sim.sock");
        format!("UNIX:{}", path.display())
    } else {
        "127.0.0.1:27015".to_owned()
    }
}

/// Returns the UDID with its last eight digits increased by `number`.
fn counted_up(udid: &Udid, number: u32) -> io::Result<Udid> {
    let (head, tail) = udid.as_str().split_at(udid.as_str().len() - 8);
    let digits = u32::from_str_radix(tail, 16).map_err(io::Error::other)?;
    if number == 0 {
        return Ok(udid.clone());
    }
    let text = format!("{head}{:08X}", digits.wrapping_add(number));
    text.parse().map_err(io::Error::other)
}

fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size (a number with K, M or G)");
    let (digits, shift) = match text.to_ascii_uppercase().chars().last() {
        Some('K') => (&text[..text.len() - 1], 10),
        Some('M') => (&text[..text.len() - 1], 20),
        Some('G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

fn parse_range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let range = parse_size(low)?..=parse_size(high)?;
    if range.is_empty() {
        return Err(format!("{text:?} is no range: its end is below its start"));
    }
    Ok(range)
}

fn parse_bulk(text: &str) -> Result<(u32, u64), String> {
    let (count, size) = text
        .split_once('x')
        .ok_or_else(|| format!("{text:?} is not of the form COUNTxSIZE"))?;
    let count = count
        .parse()
        .map_err(|_| format!("{count:?} is no number"))?;
    Ok((count, parse_size(size)?))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("{text:?} is no number of seconds"))
}

fn parse_seconds(text: &str) -> Option<Duration> {
    parse_duration(text.strip_prefix("after:")?).ok()
}

fn parse_trust(text: &str) -> Result<Trust, String> {
    match text {
        "now" => Ok(Trust::Now),
        "deny" => Ok(Trust::Deny),
        "never" => Ok(Trust::Never),
        _ => match parse_seconds(text) {
            Some(wait) => Ok(Trust::After(wait)),
            None => Err("one of now, after:SECONDS, deny, never".to_owned()),
        },
    }
}

fn parse_passcode(text: &str) -> Result<Passcode, String> {
    match text {
        "none" => Ok(Passcode::None),
        "never" => Ok(Passcode::Never),
        _ => match parse_seconds(text) {
            Some(wait) => Ok(Passcode::After(wait)),
            None => Err("one of none, after:SECONDS, never".to_owned()),
        },
    }
}
