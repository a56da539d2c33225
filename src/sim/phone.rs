//! One simulated phone: how it is set up, and what it remembers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plist::Value;
use rustls::ServerConfig;

use super::afc::Media;
use super::backup::Memory;
use super::backup::restore::RestoreOutcome;
use super::content::{Content, Scan};
use super::entry::Entry;
use super::faults::{self, Fault};
use super::keys::{Keys, Password};
use super::ledger::Ledger;
use super::lockdown::{self, Pairing};
use super::notify::Hub;
use super::replay::Replay;
use super::services;
use super::socket::Socket;
use crate::udid::Udid;

/// The first port that services get; beyond 32767, so that the swapped signed form is met in both
/// signs.
const PORT_FIRST: u16 = 49_152;

/// How long the phone looks at the connection before it looks at its owner again.
const PASSCODE_LOOK: Duration = Duration::from_millis(50);

/// What became of the passcode sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    Yes,
    No,
    /// The computer went away meanwhile.
    Gone,
}

/// What the owner does when the phone asks whether to trust a computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Taps "Trust" at once.
    Now,
    /// Taps "Trust" this long after being asked.
    After(Duration),
    /// Taps "Don't Trust".
    Deny,
    /// Does nothing, until [`Phone::tap_trust`].
    Never,
}

/// What the owner does when a backup asks for the passcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passcode {
    /// The phone has none and does not ask.
    None,
    /// Enters it this long after being asked.
    After(Duration),
    /// Does nothing, until [`Phone::enter_passcode`].
    Never,
}

/// How a phone is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneConfig {
    /// Its name for life.
    pub udid: Udid,
    /// The name that its owner gave it.
    pub name: String,
    /// For example "iPhone16,1".
    pub model: String,
    /// For example "18.6.2".
    pub ios: String,
    /// What is on it.
    pub content: Content,
    /// What its owner does when asked to trust a computer.
    pub trust: Trust,
    /// What its owner does when a backup asks for the passcode.
    pub passcode: Passcode,
    /// How long a backup waits for the passcode before it gives up with 208.
    pub passcode_limit: Duration,
    /// It is locked: no pairing, and no backup without the escrow bag.
    pub locked: bool,
    /// Percent.
    pub battery: u8,
    /// It encrypts its backups with this password.
    pub backup_password: Option<Password>,
    /// Rounds of the first derivation of a backup's keys. Real phones take 10,000,000, which take
    /// seconds.
    pub key_rounds: u32,
    /// Its administrator demands encrypted backups.
    pub requires_encryption: bool,
    /// Nothing is secured, as on no phone since iOS 5, but on some simulators.
    pub plain: bool,
    /// It restores from iCloud just now, and refuses backups and restores with 25.
    pub icloud_restore: bool,
    /// Find My is on, and restores are refused with 211.
    pub find_my: bool,
    /// It is not set up yet, and refuses restores with 212.
    pub setup_unfinished: bool,
    /// Its administrator allows no restores.
    pub forbids_restores: bool,
    /// It was not started again after its last restore, and the next one ends with 102.
    pub unfinished_restore: bool,
    /// What is free on it, if that does not follow from its content. A restore that needs more ends
    /// with 106.
    pub free_bytes: Option<u64>,
    /// How long it is away when it starts again after a restore.
    pub restart: Duration,
    /// Where the list of what a restore brought is written; a temporary file if not given.
    pub ledger: Option<PathBuf>,
    /// That list has the hash of each file. A phone whose list nobody reads restores faster
    /// without.
    pub ledger_hashes: bool,
    /// The DeviceLink version that it offers: 400, or 300 as before iOS 14.
    pub device_link: u64,
    /// What goes wrong in its backups.
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

/// How one backup ended, as the phone saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The final ErrorCode; `None` if the computer went away before.
    pub code: Option<u64>,
    /// What the phone said or saw at the end; empty on success.
    pub text: String,
    /// Everything was to be sent.
    pub full: bool,
    /// It went on where a cut backup had stopped.
    pub resumed: bool,
    /// Files sent whole, without the metadata.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the computer was asked to move into place.
    pub moved: u64,
    /// Files that the computer was asked to remove.
    pub removed: u64,
}

/// A simulated phone. It outlives the daemons that it is attached to.
#[derive(Debug)]
pub struct Phone {
    pub(super) config: PhoneConfig,
    pub(super) hub: Hub,
    pub(super) media: Media,
    pub(super) memory: Mutex<Memory>,
    pub(super) state: Mutex<State>,
}

/// What changes in the life of a phone, apart from its backups.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) trust_asked: Option<Instant>,
    pub(super) trusted: bool,
    pub(super) pairings: HashMap<String, Pairing>,
    pub(super) values: HashMap<(String, String), Value>,
    ports: HashMap<u16, (String, Arc<ServerConfig>)>,
    ports_given: u16,
    passcode_entered: bool,
    refused: u32,
    locked: Option<bool>,
    /// Those of the backup password, if there is one.
    keys: Option<Arc<Keys>>,
    passwords: u64,
    /// Other faults than it was set up with.
    faults: Option<Vec<Fault>>,
    replay: Option<Arc<Replay>>,
    history: Vec<Outcome>,
    pub(super) restores: Vec<RestoreOutcome>,
    pub(super) ledger: Option<Ledger>,
    /// A restore wants the phone to start again.
    pub(super) restart_asked: bool,
}

impl Phone {
    /// A phone that nobody has paired with yet.
    pub fn new(config: PhoneConfig) -> Arc<Phone> {
        let password = config.backup_password.clone();
        let memory = Memory::of(config.unfinished_restore);
        let phone = Phone {
            config,
            hub: Hub::default(),
            media: Media::default(),
            memory: Mutex::new(memory),
            state: Mutex::default(),
        };
        if let Some(password) = password {
            phone.encrypt_with(Some(password));
        }
        Arc::new(phone)
    }

    /// Another phone that is what this one is now, down to what it remembers: so that several ends
    /// of one story can be told.
    pub fn twin(&self) -> Arc<Phone> {
        Arc::new(Phone {
            config: self.config.clone(),
            hub: Hub::default(),
            media: Media::default(),
            memory: Mutex::new(super::lock(&self.memory).after_a_cut()),
            state: Mutex::new(super::lock(&self.state).clone()),
        })
    }

    /// Its name for life.
    pub fn udid(&self) -> &Udid {
        &self.config.udid
    }

    /// The files that are on the phone now. After a successful backup these are the files of that
    /// backup: contents change when the next one begins.
    pub fn files(&self) -> impl Iterator<Item = Entry> + use<> {
        let generation = super::lock(&self.memory).generation;
        let scan = self.scan(generation);
        (0..scan.files.len()).map(move |n| scan.entry(&scan.files[n]))
    }

    pub(super) fn scan(&self, generation: u32) -> Scan {
        self.config.content.scan(generation, self.keys())
    }

    /// Those of its backup password, if it has one.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        super::lock(&self.state).keys.clone()
    }

    /// It has this backup password now, or none; its next backup is a full one.
    pub(super) fn encrypt_with(&self, password: Option<Password>) {
        let config = &self.config;
        let mut state = super::lock(&self.state);
        state.passwords += 1;
        let (ios, seed, rounds) = (&config.ios, config.content.seed, config.key_rounds);
        state.keys = password.map(|p| Arc::new(Keys::new(ios, seed, state.passwords, rounds, p)));
        drop(state);
        super::lock(&self.memory).forget_backups();
    }

    /// FileProvider's `backup_manifest.db` cannot be read: always so on iOS 17, and harmless.
    pub(super) fn file_provider_fails(&self, faults: &[Fault]) -> bool {
        self.config.ios.starts_with("17") || faults.contains(&Fault::FileProvider)
    }

    /// How its backups ended, oldest first.
    pub fn history(&self) -> Vec<Outcome> {
        super::lock(&self.state).history.clone()
    }

    /// The owner locks the phone, or unlocks it.
    pub fn lock_screen(&self, locked: bool) {
        super::lock(&self.state).locked = Some(locked);
    }

    /// From now on these things go wrong in its backups, and no others.
    pub fn suffer(&self, faults: &[Fault]) {
        super::lock(&self.state).faults = Some(faults.to_vec());
    }

    /// From now on it says what a trace has, as far as that goes.
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

    /// This service does not start: always, or for as many times as told.
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

    /// The owner taps "Trust".
    pub fn tap_trust(&self) {
        super::lock(&self.state).trusted = true;
    }

    /// The owner enters the passcode on the sheet of a backup.
    pub fn enter_passcode(&self) {
        super::lock(&self.state).passcode_entered = true;
    }

    pub(super) fn record(&self, outcome: Outcome) {
        super::lock(&self.state).history.push(outcome);
    }

    /// Shows the passcode sheet and waits. `gone` looks for so long whether the computer went away.
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

    /// Opens a port for one connection to a service.
    pub(super) fn open_port(&self, service: &str, tls: &Arc<ServerConfig>) -> u16 {
        let mut state = super::lock(&self.state);
        let port = PORT_FIRST + state.ports_given % 16_000;
        // Steps that reach both bytes of the number.
        state.ports_given = state.ports_given.wrapping_add(97);
        let service = (service.to_owned(), Arc::clone(tls));
        state.ports.insert(port, service);
        port
    }

    pub(super) fn listens_on(&self, port: u16) -> bool {
        port == lockdown::PORT || super::lock(&self.state).ports.contains_key(&port)
    }

    /// What listens on a port.
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
            lockdown::serve(self, socket);
            return;
        }
        let service = super::lock(&self.state).ports.remove(&port);
        if let Some((name, tls)) = service {
            services::serve(self, &name, &tls, socket);
        }
    }
}
