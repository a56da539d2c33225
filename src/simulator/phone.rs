//! A simulated phone: its configuration and its state.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use plist::Value;
use rustls::ServerConfig;

use super::afc::Media;
use super::assertions::Assertion;
use super::backup::Memory;
use super::backup::restore::RestoreOutcome;
use super::content::{Content, Scan};
use super::contents::Plan;
use super::entry::Entry;
use super::faults::Fault;
use super::keys::{Keys, Password};
use super::ledger::Ledger;
use super::lockdown::{Pairing, Way};
use super::notify::Hub;
use super::replay::Replay;
use super::services;
use super::socket::Socket;
use crate::base::udid::Udid;
use crate::simulator::{faults, lockdown, wifi};

/// First port handed out to services. Ports above 32767 make sure that clients meet both signs of
/// the byte-swapped, signed form.
const PORT_FIRST: u16 = 49_152;

/// Longest wait on the connection before the phone checks again whether its owner has acted.
const PASSCODE_LOOK: Duration = Duration::from_millis(50);

/// Result of showing the passcode sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    Yes,
    No,
    /// The computer disconnected before the owner answered.
    Gone,
}

/// Owner's answer when the phone asks whether to trust a computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Taps "Trust" at once.
    Now,
    /// Taps "Trust" this long after being asked.
    After(Duration),
    /// Taps "Don't Trust".
    Deny,
    /// Does nothing until [`Phone::tap_trust`] is called.
    Never,
}

/// Owner's answer when a backup asks for the passcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passcode {
    /// The phone has no passcode and does not ask.
    None,
    /// Enters it this long after being asked.
    After(Duration),
    /// Does nothing until [`Phone::enter_passcode`] is called.
    Never,
}

/// Configuration of a simulated phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneConfig {
    /// Permanent identifier of the phone.
    pub udid: Udid,
    /// Name that the owner gave the phone.
    pub name: String,
    /// Model identifier, for example "iPhone16,1".
    pub model: String,
    /// iOS version, for example "18.6.2".
    pub ios: String,
    /// Files on the phone.
    pub content: Content,
    /// Owner's answer when asked to trust a computer.
    pub trust: Trust,
    /// Owner's answer when a backup asks for the passcode.
    pub passcode: Passcode,
    /// Time that a backup waits for the passcode before it gives up with error 208.
    pub passcode_limit: Duration,
    /// Locks the phone: it refuses to pair, and refuses backups without the escrow bag.
    pub locked: bool,
    /// Battery charge in percent.
    pub battery: u8,
    /// Password with which the phone encrypts its backups; `None` leaves them unencrypted.
    pub backup_password: Option<Password>,
    /// Rounds of the first key derivation of an encrypted backup. Real phones use 10,000,000, which
    /// take seconds.
    pub key_rounds: u32,
    /// Requires encrypted backups, as an administrator's policy can.
    pub requires_encryption: bool,
    /// Turns TLS off. No phone since iOS 5 does so, but some simulators do.
    pub plain: bool,
    /// Simulates a running iCloud restore: the phone refuses backups and restores with error 25.
    pub icloud_restore: bool,
    /// Turns Find My on: the phone refuses restores with error 211.
    pub find_my: bool,
    /// Leaves the phone's setup unfinished: it refuses restores with error 212.
    pub setup_unfinished: bool,
    /// Forbids restores, as an administrator's policy can.
    pub forbids_restores: bool,
    /// Simulates a phone that has not rebooted since its last restore: the next restore ends with
    /// error 102.
    pub unfinished_restore: bool,
    /// Free space in bytes; `None` derives it from the content. A restore that needs more ends with
    /// error 106.
    pub free_bytes: Option<u64>,
    /// Time that the phone is disconnected while it reboots after a restore.
    pub restart: Duration,
    /// File that receives the list of what a restore brought; a temporary file if `None`.
    pub ledger: Option<PathBuf>,
    /// Includes the hash of each file in that list. Without the hashes, restores are faster.
    pub ledger_hashes: bool,
    /// DeviceLink version that the phone offers: 400, or 300 as before iOS 14.
    pub device_link: u64,
    /// Faults to inject into the phone's backups.
    pub faults: Vec<Fault>,
}

impl Default for PhoneConfig {
    fn default() -> Self {
        let udid = "00008130-001A2B3C4D5E6F70".parse();
        PhoneConfig {
            udid: udid.unwrap_or_else(|_| unreachable!("a constant of the right form")),
            name: "Mira's iPhone".into(),
            model: "iPhone16,1".into(),
            ios: "18.6.2".into(),
            content: Content::default(),
            trust: Trust::Now,
            passcode: Passcode::None,
            passcode_limit: Duration::from_secs(180),
            locked: false,
            battery: 81,
            backup_password: None,
            key_rounds: 10_000,
            requires_encryption: false,
            plain: false,
            icloud_restore: false,
            find_my: false,
            setup_unfinished: false,
            forbids_restores: false,
            unfinished_restore: false,
            free_bytes: None,
            restart: Duration::from_millis(200),
            ledger: None,
            ledger_hashes: true,
            device_link: 400,
            faults: Vec::new(),
        }
    }
}

/// Result of one backup, as the phone saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Final ErrorCode; `None` if the computer disconnected before it was sent.
    pub code: Option<u64>,
    /// Last error that the phone reported or observed; empty on success.
    pub text: String,
    /// True for a full backup, in which the phone sends every file.
    pub full: bool,
    /// True if the backup continued where an interrupted one had stopped.
    pub resumed: bool,
    /// Number of files sent completely, not counting the metadata.
    pub files: u64,
    /// Size of those files in bytes.
    pub bytes: u64,
    /// Number of files that the phone asked the computer to move into place.
    pub moved: u64,
    /// Number of files that the phone asked the computer to remove.
    pub removed: u64,
}

/// A simulated phone. It outlives the daemons to which it is attached.
#[derive(Debug)]
pub struct Phone {
    pub(super) config: PhoneConfig,
    pub(super) hub: Hub,
    pub(super) media: Media,
    pub(super) memory: Mutex<Memory>,
    pub(super) state: Mutex<State>,
    /// The phone's presence on Wi-Fi, if it has one.
    pub(super) wifi: Mutex<Weak<wifi::Shared>>,
}

/// State of a phone that can change at any time, apart from its backups.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) trust_asked: Option<Instant>,
    pub(super) trusted: bool,
    pub(super) pairings: HashMap<String, Pairing>,
    pub(super) values: HashMap<(String, String), Value>,
    pub(super) assertions: HashMap<String, Assertion>,
    ports: HashMap<u16, (String, Arc<ServerConfig>)>,
    ports_given: u16,
    passcode_entered: bool,
    refused: u32,
    locked: Option<bool>,
    /// Keys that belong to the backup password, if there is one.
    keys: Option<Arc<Keys>>,
    passwords: u64,
    /// Faults that replace the configured ones.
    faults: Option<Vec<Fault>>,
    replay: Option<Arc<Replay>>,
    history: Vec<Outcome>,
    pub(super) restores: Vec<RestoreOutcome>,
    pub(super) ledger: Option<Ledger>,
    /// A restore has asked the phone to reboot.
    pub(super) restart_asked: bool,
}

impl Phone {
    /// Creates a phone that has not been paired with any computer.
    pub fn new(config: PhoneConfig) -> Arc<Phone> {
        let password = config.backup_password.clone();
        let memory = Memory::of(config.unfinished_restore);
        let phone = Phone {
            config,
            hub: Hub::default(),
            media: Media::default(),
            memory: Mutex::new(memory),
            state: Mutex::default(),
            wifi: Mutex::default(),
        };
        if let Some(password) = password {
            phone.encrypt_with(Some(password));
        }
        Arc::new(phone)
    }

    /// Creates a second phone in the current state of this one, including its memory of past
    /// backups. Tests use it to continue one history in several ways.
    pub fn twin(&self) -> Arc<Phone> {
        Arc::new(Phone {
            config: self.config.clone(),
            hub: Hub::default(),
            media: Media::default(),
            memory: Mutex::new(super::lock(&self.memory).after_a_cut()),
            state: Mutex::new(super::lock(&self.state).clone()),
            wifi: Mutex::default(),
        })
    }

    /// Returns the permanent identifier of the phone.
    pub fn udid(&self) -> &Udid {
        &self.config.udid
    }

    /// Returns the files that are on the phone now. After a successful backup these are the files
    /// of that backup: contents change only when the next backup begins.
    pub fn files(&self) -> impl Iterator<Item = Entry> + use<> {
        let generation = super::lock(&self.memory).generation;
        let scan = self.scan(generation);
        (0..scan.files.len()).map(move |n| scan.entry(&scan.files[n]))
    }

    /// Returns the truth about the contents of the phone's applications, as JSON.
    pub fn truth(&self) -> serde_json::Value {
        let config = &self.config;
        let plan = Plan::new(config.content.seed, &config.ios, config.content.messages);
        plan.contents().truth.clone().into()
    }

    pub(super) fn scan(&self, generation: u32) -> Scan {
        let config = &self.config;
        config.content.scan(generation, &config.ios, self.keys())
    }

    /// Returns the keys that belong to the backup password, if there is one.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        super::lock(&self.state).keys.clone()
    }

    /// Sets or removes the backup password. The next backup will be a full one.
    pub(super) fn encrypt_with(&self, password: Option<Password>) {
        let config = &self.config;
        let mut state = super::lock(&self.state);
        state.passwords += 1;
        let (ios, seed, rounds) = (&config.ios, config.content.seed, config.key_rounds);
        state.keys = password.map(|p| Arc::new(Keys::new(ios, seed, state.passwords, rounds, p)));
        drop(state);
        super::lock(&self.memory).forget_backups();
    }

    /// Returns true if FileProvider's `backup_manifest.db` cannot be read. On iOS 17 this is always
    /// so, and harmless.
    pub(super) fn file_provider_fails(&self, faults: &[Fault]) -> bool {
        self.config.ios.starts_with("17") || faults.contains(&Fault::FileProvider)
    }

    /// Returns the results of the phone's backups, oldest first.
    pub fn history(&self) -> Vec<Outcome> {
        super::lock(&self.state).history.clone()
    }

    /// Locks or unlocks the phone, as its owner would.
    pub fn lock_screen(&self, locked: bool) {
        super::lock(&self.state).locked = Some(locked);
    }

    /// Replaces the phone's faults: from now on exactly these occur in its backups.
    pub fn suffer(&self, faults: &[Fault]) {
        super::lock(&self.state).faults = Some(faults.to_vec());
    }

    /// Replays a trace: from now on the phone answers as recorded, until the trace ends.
    pub fn play(&self, replay: Arc<Replay>) {
        super::lock(&self.state).replay = Some(replay);
    }

    pub(super) fn replay(&self) -> Option<Arc<Replay>> {
        super::lock(&self.state).replay.clone()
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        let changed = super::lock(&self.state).faults.clone();
        changed.unwrap_or_else(|| self.config.faults.clone())
    }

    /// Returns true if this service does not start: always, or as often as the fault demands.
    pub(super) fn refuses(&self, service: &str) -> bool {
        let faults = self.faults();
        let is_it = |f: &Fault| matches!(f, Fault::Refuse(name) if name == service);
        if !faults.iter().any(is_it) {
            return false;
        }
        let mut state = super::lock(&self.state);
        state.refused += 1;
        !faults::of_backup(&faults, state.refused).is_empty()
    }

    pub(super) fn is_locked(&self) -> bool {
        super::lock(&self.state)
            .locked
            .unwrap_or(self.config.locked)
    }

    /// Taps "Trust", as the owner would.
    pub fn tap_trust(&self) {
        super::lock(&self.state).trusted = true;
    }

    /// Enters the passcode on the sheet that a backup shows, as the owner would.
    pub fn enter_passcode(&self) {
        super::lock(&self.state).passcode_entered = true;
    }

    pub(super) fn record(&self, outcome: Outcome) {
        super::lock(&self.state).history.push(outcome);
    }

    /// Shows the passcode sheet and waits. `gone` waits for the given time and returns true if the
    /// computer disconnected.
    pub(super) fn await_passcode(&self, mut gone: impl FnMut(Duration) -> bool) -> Passed {
        let wait = match self.config.passcode {
            Passcode::None => return Passed::Yes,
            Passcode::After(wait) => wait,
            Passcode::Never => Duration::MAX,
        };
        self.hub.post("com.apple.LocalAuthentication.ui.presented");
        let asked = Instant::now();
        let passed = loop {
            let waited = asked.elapsed();
            let mut state = super::lock(&self.state);
            if std::mem::take(&mut state.passcode_entered) || waited >= wait {
                break Passed::Yes;
            }
            if waited >= self.config.passcode_limit {
                break Passed::No;
            }
            drop(state);
            let left = wait.min(self.config.passcode_limit) - waited;
            if gone(left.clamp(Duration::from_millis(1), PASSCODE_LOOK)) {
                break Passed::Gone;
            }
        };
        self.hub.post("com.apple.LocalAuthentication.ui.dismissed");
        passed
    }

    /// Tells the phone's Wi-Fi that its switch or its pairings may have changed.
    pub(super) fn refresh_wifi(&self) -> io::Result<()> {
        let wifi = super::lock(&self.wifi).upgrade();
        wifi.map_or(Ok(()), |wifi| wifi.refresh())
    }

    /// Returns the address of lockdown over Wi-Fi, while the phone listens there.
    pub(super) fn wifi_address(&self) -> Option<SocketAddr> {
        super::lock(&self.wifi).upgrade()?.address()
    }

    /// Opens a port for one connection to a service.
    pub(super) fn open_port(&self, service: &str, tls: &Arc<ServerConfig>) -> u16 {
        let mut state = super::lock(&self.state);
        let port = PORT_FIRST + state.ports_given % 16_000;
        // The step changes both bytes of the port number.
        state.ports_given = state.ports_given.wrapping_add(97);
        let service = (service.to_owned(), Arc::clone(tls));
        state.ports.insert(port, service);
        port
    }

    pub(super) fn listens_on(&self, port: u16) -> bool {
        port == lockdown::PORT || super::lock(&self.state).ports.contains_key(&port)
    }

    /// Returns the name of the service that listens on a port.
    pub(super) fn service_on(&self, port: u16) -> String {
        if port == lockdown::PORT {
            return "lockdown".to_owned();
        }
        let state = super::lock(&self.state);
        let service = state.ports.get(&port).map(|(name, _)| name.clone());
        service.unwrap_or_default()
    }

    /// Serves one connection until it ends.
    pub(super) fn serve(self: &Arc<Self>, port: u16, socket: Socket) {
        if port == lockdown::PORT {
            lockdown::serve(self, socket, &Way::Cable);
            return;
        }
        let service = super::lock(&self.state).ports.remove(&port);
        if let Some((name, tls)) = service {
            services::serve(self, &name, &tls, socket, None);
        }
    }
}
