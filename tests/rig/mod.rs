//! A simulated phone, a store and a way between them, for tests of whole jobs.

#![allow(dead_code, clippy::unwrap_used)] // Each test program uses a part of it, and stops at what is unexpected.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idev_backup::device::tls::Pin;
use idev_backup::jobs::create::{self, Options, Report};
use idev_backup::jobs::phone::Reach;
use idev_backup::jobs::verify::{self, Outcome};
use idev_backup::jobs::{Error, list};
use idev_backup::monitor::{Event, Monitor, Phase, Silent};
use idev_backup::sim::{Content, Daemon, Phone, PhoneConfig};
use idev_backup::store::Store;
use idev_backup::transport::usbmuxd::Address;
use idev_backup::transport::{Attached, Calm, Usbmuxd};
use idev_backup::udid::Udid;
use tempfile::TempDir;

pub const UDID: &str = "00008130-001A2B3C4D5E6F70";
pub const OTHER_UDID: &str = "00008130-000000000000002E";

/// A phone with few and small files: 13 odd ones, and these.
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

/// What most tests ask for: the defaults, but impatient.
pub fn options() -> Options {
    Options {
        silence_max: Duration::from_secs(30),
        trust_wait: Duration::from_secs(10),
        ..Options::default()
    }
}

/// Everything that a run told.
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

/// Does something at the beginning of a phase.
pub struct At<F: Fn() + Send + Sync>(pub Phase, pub F);

impl<F: Fn() + Send + Sync> Monitor for At<F> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Phase { phase } if phase == self.0) {
            self.1();
        }
    }
}

/// A folder for a rig: in memory where that is large enough, since flushing a disk takes most of a small backup's time.
/// TMPDIR, when set, decides.
fn room() -> TempDir {
    let memory = Path::new("/dev/shm");
    let large = || fs4::available_space(memory).is_ok_and(|free| free > 1 << 30);
    if cfg!(target_os = "linux") && std::env::var_os("TMPDIR").is_none() && large() {
        return tempfile::tempdir_in(memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

/// One phone behind a daemon, and a store in a folder that is watched.
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
        let store = Store::open_or_make(&dir.path().join("store")).unwrap();
        Rig {
            dir,
            phone,
            daemon,
            store,
        }
    }

    /// A rig whose store holds a first backup.
    pub fn backed_up() -> Rig {
        let rig = Rig::new();
        rig.create();
        rig
    }

    pub fn reach_with(&self, calm: Arc<Calm>) -> Reach {
        let daemon = Usbmuxd::new(Address::parse(self.daemon.address()), calm.clone());
        let records = self.dir.path().join("pairing");
        Reach::new(daemon, records, Pin::PairRecord, calm)
    }

    pub fn reach(&self) -> Reach {
        self.reach_with(Calm::new(Arc::new(AtomicBool::new(false))))
    }

    pub fn attached(&self) -> Attached {
        self.reach().phone(Some(self.udid().as_str())).unwrap()
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
        create::create(&self.reach(), &self.attached(), store, options, monitor)
    }

    pub fn try_create(&self, options: &Options, monitor: &dyn Monitor) -> Result<Report, Error> {
        self.try_in(&self.store, options, monitor)
    }

    /// A backup that must succeed and be whole.
    pub fn create(&self) -> Report {
        self.create_in(&self.store, &options())
    }

    pub fn create_with(&self, options: &Options) -> Report {
        self.create_in(&self.store, options)
    }

    pub fn create_in(&self, store: &Store, options: &Options) -> Report {
        let report = loop {
            match self.try_in(store, options, &Silent) {
                // The phone has not yet seen that the run before is over.
                Err(Error::Verdict(no)) if no.code == 14 => std::thread::yield_now(),
                other => break other,
            }
        };
        let report = report.unwrap_or_else(|e| panic!("{e}"));
        let current = store.current_path(self.udid());
        assert_whole(&current);
        self.assert_holds_the_phone(&current);
        report
    }

    /// Every byte is the phone's.
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

    /// The draft's own folder of Apple's layout.
    pub fn draft_backup(&self) -> PathBuf {
        self.draft().join("root").join(UDID)
    }

    /// Everything below the rig's folder that a failed run must leave as it is: all but the draft.
    pub fn untouchable(&self) -> Tree {
        let draft = format!("store/.idev-backup/{UDID}/draft");
        let mut all = tree(self.dir.path());
        all.retain(|path, _| path != &draft && !path.starts_with(&format!("{draft}/")));
        all
    }

    /// The backups that `list` shows.
    pub fn listed(&self) -> Vec<list::Backup> {
        list::list(&self.store).unwrap()
    }

    /// A new, empty store beside the others.
    pub fn new_store(&self, name: &str) -> Store {
        Store::open_or_make(&self.dir.path().join(name)).unwrap()
    }
}

/// What is ours of the phone in a store.
pub fn own(store: &Store) -> PathBuf {
    store.root().join(".idev-backup").join(UDID)
}

pub fn read_all() -> verify::Options {
    verify::Options {
        sums: None,
        fresh_hashes: false,
        read_all: true,
    }
}

/// The backup is whole, to the last byte.
pub fn assert_whole(backup: &Path) {
    let report = verify::verify(backup, &read_all(), &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Whole, "{:#?}", report.findings);
    assert_eq!(report.hashed, report.files);
}

/// Everything below a folder: the bytes of files, `None` for folders.
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

/// Equal trees, or the names of what differs.
pub fn assert_same(before: &Tree, after: &Tree, when: &str) {
    let differing = |(path, bytes): &(&String, &Option<Vec<u8>>)| after.get(*path) != Some(*bytes);
    let gone: Vec<_> = before.iter().filter(differing).map(|(p, _)| p).collect();
    let new: Vec<_> = after.keys().filter(|p| !before.contains_key(*p)).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "{when}: changed or gone {gone:?}, new {new:?}"
    );
}

/// A naive copy of a folder, as other programs would make it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (path, bytes) in tree(from) {
        let target = to.join(&path);
        match bytes {
            None => fs::create_dir_all(&target).unwrap(),
            Some(bytes) => {
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::write(&target, bytes).unwrap();
            }
        }
    }
}
