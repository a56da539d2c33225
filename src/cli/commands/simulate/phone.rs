//! Options of the simulated phones.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use idev_backup::base::udid::Udid;
use idev_backup::simulator::{Content, Fault, Passcode, Password, PhoneConfig, Trust};

use super::parse;

/// Password of a phone that encrypts its backups, if none is given.
const PASSWORD: &str = "simulated";
/// Environment variable that holds the password of the simulated phones.
const PASSWORD_VARIABLE: &str = "IDEV_BACKUP_SIM_PASSWORD";

/// What a simulated phone is like.
#[derive(Debug, clap::Args)]
pub struct PhoneArgs {
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
    #[arg(long, value_name = "MIN..MAX", default_value = "2K..20K", value_parser = parse::range)]
    file_size: RangeInclusive<u64>,
    /// Large files on each phone.
    #[arg(long, value_name = "COUNTxSIZE", default_value = "3x5M", value_parser = parse::bulk)]
    bulk: (u32, u64),
    /// Files that differ from one backup to the next; 1 % if not given.
    #[arg(long, value_name = "N")]
    changes: Option<u32>,
    /// What the owner does when asked to trust a computer: now, after:SECONDS, deny, never.
    #[arg(long, default_value = "now", value_parser = parse::trust)]
    trust: Trust,
    /// When a backup asks for the passcode: none (not set), after:SECONDS, never.
    #[arg(long, default_value = "none", value_parser = parse::passcode)]
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
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    free_space: Option<u64>,
    /// How long it is away when it starts again after a restore.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse::duration)]
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
}

impl PhoneArgs {
    /// Returns the configuration of a phone; `number` counts the phones from 0.
    pub fn config(&self, number: u32) -> io::Result<PhoneConfig> {
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
