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

/// Options for the properties of the simulated phones.
#[derive(Debug, clap::Args)]
pub struct PhoneArgs {
    /// The UDID of the first phone; the others count up from it
    #[arg(long)]
    udid: Option<Udid>,
    /// The name of the first phone
    #[arg(long, default_value = "Mira's iPhone")]
    name: String,
    /// The product type
    #[arg(long, default_value = "iPhone16,1")]
    model: String,
    /// The version of iOS
    #[arg(long, value_name = "VERSION", default_value = "18.6.2")]
    ios: String,
    /// The seed from which all contents are generated
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of small files on each phone
    #[arg(long, value_name = "N", default_value_t = 2000)]
    files: u32,
    /// The sizes of the small files
    #[arg(long, value_name = "MIN..MAX", default_value = "2K..20K", value_parser = parse::range)]
    file_size: RangeInclusive<u64>,
    /// The large files on each phone
    #[arg(long, value_name = "COUNTxSIZE", default_value = "3x5M", value_parser = parse::bulk)]
    bulk: (u32, u64),
    /// The number of files that change from one backup to the next [default: 1 %]
    #[arg(long, value_name = "N")]
    changes: Option<u32>,
    /// The number of messages; some 70 of unusual kinds are always there
    #[arg(long, value_name = "N", default_value_t = 150)]
    messages: u32,
    /// The owner's answer when asked to trust a computer: now, after:SECONDS, deny, never
    #[arg(long, default_value = "now", value_parser = parse::trust)]
    trust: Trust,
    /// The passcode is entered: none (not set), after:SECONDS, never
    #[arg(long, default_value = "none", value_parser = parse::passcode)]
    passcode: Passcode,
    /// Wait this long for the passcode
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    passcode_limit: u64,
    /// The phone is locked
    #[arg(long)]
    locked: bool,
    /// The charge of the battery; below 20 the phone is not charging
    #[arg(long, value_name = "PERCENT", default_value_t = 81, value_parser = clap::value_parser!(u8).range(0..=100))]
    battery: u8,
    /// Encrypt backups. The password is the first line of --password-file, else the value of
    /// IDEV_BACKUP_SIM_PASSWORD, else "simulated"
    #[arg(long)]
    will_encrypt: bool,
    /// Read the backup password from the first line of this file, and encrypt backups with it
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    password_file: Option<PathBuf>,
    /// Rounds that derive a key from the password. Real phones use 10000000, which takes seconds
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    key_rounds: u32,
    /// Refuse to turn encryption off, like a phone whose administrator requires encryption
    #[arg(long)]
    requires_encryption: bool,
    /// Use no TLS, unlike any phone since iOS 5
    #[arg(long)]
    plain: bool,
    /// A restore from iCloud is running: backups and restores are refused with 25
    #[arg(long)]
    icloud_restore: bool,
    /// Find My is on: restores are refused with 211
    #[arg(long)]
    find_my: bool,
    /// The phone is not set up yet: restores are refused with 212
    #[arg(long)]
    setup_unfinished: bool,
    /// The administrator of the phone allows no restores
    #[arg(long)]
    forbid_restores: bool,
    /// The phone was not restarted after its last restore: the next one ends with 102
    #[arg(long)]
    unfinished_restore: bool,
    /// The free space on the phone [default: derived from its contents]
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    free_space: Option<u64>,
    /// The phone is away for this long when it restarts after a restore
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse::duration)]
    restart: Duration,
    /// Write the restored files into this SQLite database, one row per file (the first phone only)
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    ledger: Option<PathBuf>,
    /// The DeviceLink version that the phone offers: 400, or 300 as before iOS 14
    #[arg(long, value_name = "VERSION", default_value_t = 400)]
    devicelink: u64,
    /// A fault in backups and restores (repeatable; --help lists all)
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
                messages: self.messages,
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
