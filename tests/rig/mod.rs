//! Provides a simulated phone, a store and a connection between them for integration tests.

#![allow(dead_code)] // Some helpers are used on some systems only.

#[cfg(target_os = "linux")]
pub mod crash;
pub mod program;
pub mod restic;
#[cfg(target_os = "linux")]
pub mod strace;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use idev_backup::backup::Error;
use idev_backup::backup::create::{self, Options, Report};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::{Event, Monitor, Phase, Silent};
use idev_backup::base::udid::Udid;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::history::list;
use idev_backup::reader::passwords::Known;
use idev_backup::simulator::{Content, Daemon, Phone, PhoneConfig};
use idev_backup::store::Store;
use idev_backup::transport::usbmuxd::Address;
use idev_backup::transport::{Attached, Usbmuxd};
use idev_backup::verify::{self, Outcome, Wrong};
use tempfile::TempDir;

/// Limit on the time for which a phone may still report a run as active after that run was killed.
const BUSY_MAX: Duration = Duration::from_secs(60);

pub const UDID: &str = "00008130-001A2B3C4D5E6F70";
pub const OTHER_UDID: &str = "00008130-000000000000002E";

/// Returns the folder `name` of test data from other projects: below `data` in the folder that
/// `IDEV_BACKUP_SHARED` names, else in `../shared`. Prints a note and returns `None` if it is
/// absent.
pub fn others(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("IDEV_BACKUP_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("data").join(name);
    if !folder.exists() {
        eprintln!("skipped: there is no folder {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Describes a phone with few and small files: the 18 files of unusual kinds that every simulated
/// phone has, and those below.
pub fn small() -> Content {
    Content {
        small: 40,
        small_size: 1..=3000,
        bulk: 1,
        bulk_size: 90_000,
        changes: 16,
        ..Content::default()
    }
}

pub fn config() -> PhoneConfig {
    PhoneConfig {
        content: small(),
        ..PhoneConfig::default()
    }
}

/// Returns the options that most tests use: the defaults with shorter time limits.
pub fn options() -> Options {
    Options {
        silence_max: Duration::from_secs(30),
        trust_wait: Duration::from_secs(10),
        ..Options::default()
    }
}

/// Records every event of a run.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Monitor for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn phases(&self) -> Vec<Phase> {
        let events = self.events().into_iter();
        let phase = |e| match e {
            Event::Phase { phase } => Some(phase),
            _ => None,
        };
        events.filter_map(phase).collect()
    }

    pub fn notes(&self) -> Vec<String> {
        let events = self.events().into_iter();
        let note = |e| match e {
            Event::Note { text } => Some(text),
            _ => None,
        };
        events.filter_map(note).collect()
    }
}

/// Calls a function at the beginning of a phase.
pub struct At<F: Fn() + Send + Sync>(pub Phase, pub F);

impl<F: Fn() + Send + Sync> Monitor for At<F> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Phase { phase } if phase == self.0) {
            self.1();
        }
    }
}

/// Creates a temporary folder for a rig. Prefers memory if enough is free there, because flushing a
/// disk takes most of a small backup's time. TMPDIR, when set, takes precedence.
pub fn room() -> TempDir {
    let memory = Path::new("/dev/shm");
    let large = || fs4::available_space(memory).is_ok_and(|free| free > 1 << 30);
    if cfg!(target_os = "linux") && std::env::var_os("TMPDIR").is_none() && large() {
        return tempfile::tempdir_in(memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

/// Returns N: tests that interrupt a run at many places try only every Nth place. Read from
/// `IDEV_BACKUP_CUT_EVERY`, default 1. Under an emulator a backup of 512 folders takes seconds, and
/// an interruption there behaves no differently.
pub fn cut_every() -> usize {
    let every = std::env::var("IDEV_BACKUP_CUT_EVERY");
    every.map_or(1, |text| text.parse::<usize>().unwrap().max(1))
}

/// Prints and returns the seed for a test's random samples: `IDEV_BACKUP_TEST_SEED`, default 1. The
/// same seed selects the same samples again.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("IDEV_BACKUP_TEST_SEED").map_or(1, |text| text.parse().unwrap());
    eprintln!("{test}: IDEV_BACKUP_TEST_SEED={seed}");
    seed
}

/// Holds a phone behind a daemon, and a store in a temporary folder that the tests can inspect.
pub struct Rig {
    pub dir: TempDir,
    pub phone: Arc<Phone>,
    pub daemon: Daemon,
    pub store: Store,
}

impl Rig {
    pub fn new() -> Rig {
        Rig::with(config())
    }

    pub fn with(config: PhoneConfig) -> Rig {
        let dir = room();
        let phone = Phone::new(config);
        let daemon = Daemon::start("127.0.0.1:0", vec![phone.clone()]).unwrap();
        for sentinel in ["etc/passwd", "store.d/x", "sentinel"] {
            let path = dir.path().join(sentinel);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "not yours").unwrap();
        }
        let store = Store::create(&dir.path().join("store")).unwrap();
        Rig {
            dir,
            phone,
            daemon,
            store,
        }
    }

    /// Creates a rig whose store holds a first backup.
    pub fn backed_up() -> Rig {
        let rig = Rig::new();
        rig.create();
        rig
    }

    pub fn connector_with(&self, token: Arc<CancelToken>) -> Connector {
        let daemon = Usbmuxd::new(Address::parse(self.daemon.address()), token.clone());
        let records = self.dir.path().join("pairing");
        Connector::new(daemon, records, Pin::PairRecord, token)
    }

    pub fn connector(&self) -> Connector {
        self.connector_with(CancelToken::new(Arc::new(AtomicBool::new(false))))
    }

    pub fn attached(&self) -> Attached {
        self.connector().phone(Some(self.udid().as_str())).unwrap()
    }

    pub fn udid(&self) -> &Udid {
        self.phone.udid()
    }

    pub fn try_in(
        &self,
        store: &Store,
        options: &Options,
        monitor: &dyn Monitor,
    ) -> Result<Report, Error> {
        create::create(&self.connector(), &self.attached(), store, options, monitor)
    }

    pub fn try_create(&self, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
        self.try_in(&self.store, options, monitor)
    }

    /// Makes a backup, which must succeed and be whole.
    pub fn create(&self) -> Report {
        self.create_in(&self.store, &options())
    }

    pub fn create_with(&self, options: &Options) -> Report {
        self.create_in(&self.store, options)
    }

    pub fn create_in(&self, store: &Store, options: &Options) -> Report {
        let asked = Instant::now();
        let report = loop {
            match self.try_in(store, options, &Silent) {
                // The phone has not noticed yet that the previous run is over.
                Err(Error::Refused(no)) if no.code == 14 => {
                    assert!(asked.elapsed() < BUSY_MAX, "the phone stays busy");
                    std::thread::yield_now();
                }
                other => break other,
            }
        };
        let report = report.unwrap_or_else(|e| panic!("{e}"));
        let current = store.current_path(self.udid());
        assert_whole(&current);
        self.assert_holds_the_phone(&current);
        report
    }

    /// Returns the command `idev-backup create --quiet`, as an argument of the command `around` if
    /// that is not empty.
    pub fn program(&self, around: &[OsString], store: &Path, keep: u32) -> Command {
        let mut words = around.to_vec();
        words.push(env!("CARGO_BIN_EXE_idev-backup").into());
        let home = self.dir.path().join("home");
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args([
                "create",
                "--new-store",
                "--quiet",
                "--keep",
                &keep.to_string(),
            ])
            .arg("--store")
            .arg(store)
            .env("USBMUXD_SOCKET_ADDRESS", self.daemon.address())
            .envs(["HOME", "LOCALAPPDATA", "APPDATA"].map(|name| (name, &home)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Disconnects the present phone and connects this one.
    pub fn connect(&mut self, phone: Arc<Phone>) {
        self.daemon.detach(self.phone.udid());
        self.daemon.attach(phone.clone());
        self.phone = phone;
    }

    /// Makes another backup, as a user would do next, after anything that may have happened to the
    /// store. The backup must succeed, and the good backups `kept` must still exist.
    pub fn assert_goes_on(&self, store: &Path, kept: &[&Tree], when: &str) {
        let store = Store::create(store).unwrap_or_else(|e| panic!("{when}: {e}"));
        let report = self.try_in(&store, &options(), &Silent);
        report.unwrap_or_else(|e| panic!("{when}: the next run: {e}"));
        self.assert_holds_the_phone(&store.current_path(self.udid()));
        for backup in list::list(&store).unwrap() {
            assert!(backup.complete && backup.ours, "{when}: {backup:#?}");
            assert_whole(backup.path.as_ref());
        }
        for backup in kept {
            assert!(holds(store.root(), backup), "{when}: a good backup is gone");
        }
        for left in ["draft", "trash"] {
            assert!(!own(&store).join(left).exists(), "{when}: {left} is left");
        }
    }

    /// Asserts that the backup holds every file of the phone, byte for byte.
    pub fn assert_holds_the_phone(&self, backup: &Path) {
        let mut files = 0;
        for file in self.phone.files() {
            let id = file.file_id();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file.bytes(), &mut bytes).unwrap();
            let kept = fs::read(backup.join(&id[..2]).join(&id)).unwrap();
            assert!(kept == bytes, "{id} ({}) differs", file.path);
            files += 1;
        }
        assert!(files > 20);
    }

    pub fn current(&self) -> PathBuf {
        self.store.current_path(self.udid())
    }

    pub fn own(&self) -> PathBuf {
        own(&self.store)
    }

    pub fn draft(&self) -> PathBuf {
        self.own().join("draft")
    }

    /// Returns the draft's backup folder, which has Apple's layout.
    pub fn draft_backup(&self) -> PathBuf {
        self.draft().join("root").join(UDID)
    }

    /// Returns everything below the rig's folder that a failed run must not change: all but the
    /// draft, and the memory of the stores that were used.
    pub fn untouchable(&self) -> Tree {
        let draft = format!("store/.idev-backup/{UDID}/draft");
        let mut all = tree(self.dir.path());
        all.retain(|path, _| path != &draft && !path.starts_with(&format!("{draft}/")));
        all.retain(|path, _| !path.starts_with("home/state"));
        all
    }

    /// Returns the backups that `list` shows.
    pub fn listed(&self) -> Vec<list::Backup> {
        list::list(&self.store).unwrap()
    }

    /// Creates a new, empty store beside the others.
    pub fn new_store(&self, name: &str) -> Store {
        Store::create(&self.dir.path().join(name)).unwrap()
    }
}

/// Returns the program's own folder for the phone in a store.
pub fn own(store: &Store) -> PathBuf {
    store.root().join(".idev-backup").join(UDID)
}

pub fn read_all() -> verify::Options<'static> {
    verify::Options::bytes()
}

/// Asserts that the backup is whole, checking every byte.
pub fn assert_whole(backup: &Path) {
    assert_whole_with(backup, None);
}

/// Asserts that a backup that may be encrypted is whole, reading its list with the password.
pub fn assert_whole_with(backup: &Path, password: Option<&Known>) {
    let options = verify::Options {
        passwords: password.map(|known| known as _),
        ..read_all()
    };
    let report = verify::verify(backup, &options, &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Whole, "{:#?}", report.findings);
    assert_eq!(report.hashed, report.files);
}

/// Asserts the guarantees of a store after any interruption: all backups in `kept` exist, and every
/// backup that is listed as complete or verifies as whole is one of `known`.
pub fn assert_promise(store: &Path, kept: &[&Tree], known: &[&Tree], when: &str) {
    for backup in kept {
        assert!(holds(store, backup), "{when}: a good backup is gone");
    }
    if !store.exists() {
        return;
    }
    let store = Store::open(store).unwrap_or_else(|e| panic!("{when}: {e}"));
    for backup in list::list(&store).unwrap() {
        let path = Path::new(&backup.path);
        let report = verify::verify(path, &read_all(), &Silent);
        // Until the next run completes an interrupted seal, the list of hashes is not in its final
        // place.
        let is_whole = report.is_ok_and(|report| {
            let mut findings = report.findings.iter();
            report.outcome != Outcome::Damaged && findings.all(|f| f.wrong == Wrong::Unchecked)
        });
        assert!(
            is_whole || !backup.complete,
            "{when}: {backup:#?} is not whole"
        );
        let is_known = || known.contains(&&tree(path));
        assert!(!is_whole || is_known(), "{when}: {backup:#?} is no backup");
    }
}

/// Returns true if the backup is at one of the places through which sealing moves it.
pub fn holds(store: &Path, backup: &Tree) -> bool {
    let draft = store.join(".idev-backup").join(UDID).join("draft");
    let mut places = vec![draft.join("root").join(UDID)];
    for entry in fs::read_dir(store).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with(UDID) {
            places.push(entry.path());
        }
    }
    places
        .iter()
        .any(|place| place.is_dir() && &tree(place) == backup)
}

/// Everything below a folder: the bytes of each file, and `None` for a folder.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

pub fn tree(root: &Path) -> Tree {
    fn walk(folder: &Path, name: &str, found: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let leaf = entry.file_name().into_string().unwrap();
            let name = if name.is_empty() {
                leaf
            } else {
                format!("{name}/{leaf}")
            };
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &name, found);
                found.insert(name, None);
            } else {
                found.insert(name, Some(fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut found = Tree::new();
    walk(root, "", &mut found);
    found
}

/// Asserts that two trees are equal; the failure names the paths that differ.
pub fn assert_same(before: &Tree, after: &Tree, when: &str) {
    let differing = |(path, bytes): &(&String, &Option<Vec<u8>>)| after.get(*path) != Some(*bytes);
    let gone: Vec<_> = before.iter().filter(differing).map(|(p, _)| p).collect();
    let new: Vec<_> = after.keys().filter(|p| !before.contains_key(*p)).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "{when}: changed or gone {gone:?}, new {new:?}"
    );
}

/// Returns the path of a backed-up file that has no digest in the phone's list and is large enough
/// to be truncated.
pub fn victim(rig: &Rig) -> PathBuf {
    let file = rig
        .phone
        .files()
        .find(|file| file.path.ends_with(".HEIC") || file.size() > 80_000)
        .unwrap();
    let id = file.file_id();
    PathBuf::from(&id[..2]).join(id)
}

/// Copies a folder file by file, as a simple program would.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (path, bytes) in tree(from) {
        let target = to.join(&path);
        match bytes {
            None => fs::create_dir_all(&target).unwrap(),
            Some(bytes) => {
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::write(&target, bytes).unwrap();
                let mode = fs::metadata(from.join(&path)).unwrap().permissions();
                fs::set_permissions(&target, mode).unwrap();
            }
        }
    }
}

/// A generator of pseudo-random numbers that are the same in every run.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Creates a generator. Similar seeds give unrelated numbers.
    pub fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d);
        random.below(2);
        random
    }

    /// Returns a number from 0 to `limit - 1`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 33) * limit as u64) >> 31) as usize
    }
}
