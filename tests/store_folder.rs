//! A store's folder that is also used by a person: links, FIFOs, files of other programs, damaged
//! or immutable files of ours, folders of another user.

#![cfg(target_os = "linux")] // Other systems have no FIFOs, immutable files or owners like these.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use crate::rig::program::{Ran, ended, program};
use crate::rig::{self, At, Recorder, Rig, UDID, assert_whole, options, tree};
use idev_backup::base::progress::{Event, Monitor, Phase, Silent};
use idev_backup::history::{adopt, change};
use idev_backup::simulator::Fault;
use idev_backup::store::{Store, sums};
use idev_backup::verify::{self, Wrong};
use rusqlite::Connection;

/// Creates a rig with a current backup and an older one.
fn two_backups() -> Rig {
    let rig = Rig::backed_up();
    rig.create();
    rig
}

/// Returns the older backup of [`two_backups`].
fn snapshot(rig: &Rig) -> PathBuf {
    let all = rig.listed();
    PathBuf::from(&all.iter().find(|backup| !backup.current).unwrap().path)
}

/// Returns the program's own folder that belongs to the current backup.
fn beside(rig: &Rig) -> PathBuf {
    let stamp = rig.listed().into_iter().find(|backup| backup.current);
    rig.own().join(stamp.unwrap().stamp.unwrap())
}

/// Runs the program, which must end without being killed.
fn run(rig: &Rig, words: &[&str]) -> Ran {
    let mut command = program(rig);
    command.args(words);
    let (send, ran) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(send.send(ended(&mut command))));
    let limit = std::time::Duration::from_secs(60);
    ran.recv_timeout(limit)
        .unwrap_or_else(|e| panic!("{words:?} does not end: {e}"))
}

/// Commands that read a store, and some that write to it.
const COMMANDS: [&[&str]; 9] = [
    &["list"],
    &["verify", "latest"],
    &["info", "latest"],
    &["ls", "latest"],
    &["usage", "latest"],
    &["prune", "--keep-last", "9"],
    &["pin", "latest"],
    &["verify", "--repair", "latest"],
    &["create", "--quiet"],
];

/// Returns files of a store, one of each purpose, to be replaced by something that is not a file.
fn files(rig: &Rig) -> Vec<PathBuf> {
    let (own, beside, current) = (rig.own(), beside(rig), rig.current());
    let list = sums::Sums::open(&beside.join("SHA256SUMS")).unwrap();
    let mut paths = list.map(|line| line.unwrap().0);
    let one = paths.find(|path| path.len() > 42).unwrap();
    let mut files = vec![
        rig.store.root().join(".idev-backup/store.json"),
        own.join("lock"),
        own.join("notes.json"),
        own.join("notes.lock"),
        current.join(one),
    ];
    for name in [
        "SHA256SUMS",
        "report.json",
        "snapshot.json",
        "snapshot.copy.json",
        "hash-sources.txt",
    ] {
        files.push(beside.join(name));
    }
    for name in [
        "Info.plist",
        "Manifest.db",
        "Manifest.plist",
        "Status.plist",
    ] {
        files.push(beside.join(name));
        files.push(current.join(name));
    }
    files
}

#[test]
fn fifos_block_no_command() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let rig = two_backups();
    assert_eq!(run(&rig, &["pin", "latest"]).code, 0);
    for file in files(&rig) {
        // Keep the changes that a command makes before it meets the FIFO.
        let whole = rig.dir.path().join("whole");
        fs::rename(&file, &whole).unwrap();
        mknodat(CWD, &file, FileType::Fifo, Mode::RWXU, 0).unwrap();
        for command in COMMANDS.into_iter().filter(|words| words[0] != "create") {
            let ran = run(&rig, command);
            let case = format!("{} {command:?}: {}", file.display(), ran.all());
            assert!([0, 1, 3].contains(&ran.code), "{case}");
            let is_told = ran.err.contains("hint") || !ran.err.contains("error");
            assert!(ran.code != 1 || is_told, "{case}");
        }
        fs::remove_file(&file).unwrap();
        fs::rename(&whole, &file).unwrap();
    }
    assert_whole(&rig.current());
    let store = rig.store.root().join(".idev-backup/store.json");
    fs::remove_file(&store).unwrap();
    mknodat(CWD, &store, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let ran = run(&rig, &["create"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("FIFO"), "{}", ran.err);
}

#[test]
fn links_to_files_are_not_followed() {
    let rig = two_backups();
    assert_eq!(run(&rig, &["pin", "latest"]).code, 0);
    for file in files(&rig) {
        // The same bytes, so that only the link is wrong.
        let victim = rig.dir.path().join("victim");
        fs::rename(&file, &victim).unwrap();
        let before = fs::read(&victim).unwrap();
        std::os::unix::fs::symlink(&victim, &file).unwrap();
        for command in COMMANDS.into_iter().filter(|words| words[0] != "create") {
            let ran = run(&rig, command);
            let case = format!("{} {command:?}: {}", file.display(), ran.all());
            assert!([0, 1, 3].contains(&ran.code), "{case}");
            assert!(fs::read(&victim).unwrap() == before, "{case}");
            let is_copied = command.contains(&"--repair") && !file.is_symlink();
            assert!(is_copied || file.is_symlink(), "{case}");
        }
        if file.is_symlink() {
            fs::remove_file(&file).unwrap();
            fs::rename(&victim, &file).unwrap();
        }
    }
}

#[test]
fn links_to_folders_are_refused() {
    for name in [
        ".idev-backup",
        ".idev-backup/UDID",
        ".idev-backup/UDID/draft",
        ".idev-backup/UDID/draft/root",
        ".idev-backup/UDID/draft/root/UDID",
        ".idev-backup/UDID/draft/journal",
        ".idev-backup/UDID/import",
        ".idev-backup/UDID/trash",
        ".idev-backup/UDID/20200101-000000",
    ] {
        let rig = two_backups();
        let link = rig.store.root().join(name.replace("UDID", UDID));
        let victim = rig.dir.path().join("victim");
        if link.exists() {
            fs::rename(&link, &victim).unwrap();
        }
        for file in ["trash/a", "draft/b", "root/c", "seal.json"] {
            fs::create_dir_all(victim.join(file).parent().unwrap()).unwrap();
            fs::write(victim.join(file), "{}").unwrap();
        }
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        let (before, backups) = (tree(&victim), tree(&rig.current()));
        for command in [
            &["create", "--quiet"][..],
            &["create", "--full", "--quiet"],
            &["prune", "--keep-last", "0"],
            &["delete", "latest", "--yes"],
        ] {
            let ran = run(&rig, command);
            let case = format!("{name} {command:?}: {}", ran.all());
            assert_eq!(ran.code, 1, "{case}");
            assert!(ran.err.contains("symbolic link"), "{case}");
            assert!(ran.err.contains(&link.display().to_string()), "{case}");
            assert!(ran.err.contains("hint"), "{case}");
            rig::assert_same(&before, &tree(&victim), &case);
            rig::assert_same(&backups, &tree(&rig.current()), &case);
        }
        run(&rig, &["list"]);
        run(&rig, &["verify", "latest"]);
        rig::assert_same(&before, &tree(&victim), name);
    }
}

#[test]
fn linked_backups_are_only_read() {
    let rig = two_backups();
    let away = rig.dir.path().join("other disk");
    fs::rename(rig.current(), &away).unwrap();
    std::os::unix::fs::symlink(&away, rig.current()).unwrap();
    let before = tree(&away);
    for command in [
        &["list"][..],
        &["info", "latest"],
        &["ls", "latest"],
        &["verify", "latest"],
    ] {
        let ran = run(&rig, command);
        assert!([0, 3].contains(&ran.code), "{command:?}: {}", ran.all());
    }
    for command in [
        &["create", "--quiet"][..],
        &["prune", "--keep-last", "0"],
        &["delete", "latest", "--yes"],
    ] {
        let ran = run(&rig, command);
        assert_eq!(ran.code, 1, "{command:?}: {}", ran.all());
        assert!(ran.err.contains("symbolic link"), "{}", ran.err);
        rig::assert_same(&before, &tree(&away), "the folder that the link leads to");
        assert!(rig.current().is_symlink());
    }
}

#[test]
fn strange_files_are_left_out() {
    let rig = Rig::backed_up();
    let current = rig.current();
    // A program that had the list open in WAL mode was killed.
    let db = Connection::open(current.join("Manifest.db")).unwrap();
    let mode = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get::<_, String>(0));
    assert_eq!(mode.unwrap(), "wal");
    db.execute_batch("PRAGMA wal_autocheckpoint=0; DELETE FROM Files WHERE domain='HomeDomain'")
        .unwrap();
    let wal = fs::read(current.join("Manifest.db-wal")).unwrap();
    drop(db);
    fs::write(current.join("Manifest.db-wal"), wal).unwrap();
    let mut strange = vec!["Manifest.db-shm", ".DS_Store", "00/.DS_Store", "Thumbs.db"];
    if cfg!(unix) {
        strange.extend(["stray\nfile", "00/a\tb\u{1b}[2J", "desktop.ini\r"]);
    }
    for name in &strange {
        fs::write(current.join(name), "x").unwrap();
    }
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"00/\xff\xfe");
        fs::write(current.join(name), "x").unwrap();
    }
    let report = rig.create();
    assert!(
        report
            .draft
            .contains("left out that do not belong to a backup ("),
        "{}",
        report.draft
    );
    assert!(!report.draft.contains(char::is_control), "{}", report.draft);
    let seen = tree(&rig.current());
    for name in strange.iter().chain(&["Manifest.db-wal"]) {
        assert!(!seen.contains_key(*name), "{name}");
    }

    // The strange files prevent neither reading nor dropping the backup that contains them.
    for command in [
        &["list", "--sizes"][..],
        &["verify", UDID],
        &["prune", "--dry-run", "--keep-last", "0"],
    ] {
        let ran = run(&rig, command);
        assert!([0, 3].contains(&ran.code), "{command:?}: {}", ran.all());
    }
    // The folder with the strange files now belongs to another program.
    let foreign = rig.dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    let from = foreign.join(UDID);
    fs::rename(snapshot(&rig), &from).unwrap();
    let store = rig.new_store("adopted");
    let adopted = adopt::adopt(&store, &from, true, &Silent).unwrap();
    assert!(matches!(adopted, adopt::Came::Taken(_)));
    let adopted = store.current(rig.udid()).unwrap().unwrap();
    let names = tree(adopted.path());
    assert!(names.keys().all(|name| !strange.contains(&name.as_str())));
    // Files that were added to one of our backups later are left out as well.
    for name in &strange {
        fs::write(adopted.path().join(name), "x").unwrap();
    }
    let target = rig.new_store("copied");
    let chosen = change::find(
        Ok::<_, idev_backup::history::Error>(store.clone()),
        "latest",
    )
    .unwrap();
    adopt::copy(&chosen, &target, &Silent).unwrap();
    let names = tree(&target.current_path(rig.udid()));
    assert!(names.keys().all(|name| !strange.contains(&name.as_str())));
}

/// Puts files that the phone did not send into a draft, after the phone has given its verdict or
/// has arranged its files.
fn strays(rig: &Rig, count: u32) {
    fs::create_dir_all(rig.draft_backup().join("ab")).unwrap();
    for number in 0..count {
        fs::write(rig.draft_backup().join(format!("ab/ab{number:038x}")), "x").unwrap();
    }
}

#[test]
fn resumed_drafts_drop_unlisted_files() {
    let rig = Rig::backed_up();
    rig.phone.suffer(&[Fault::CutAt(779)]);
    rig.try_create(&options(), &Silent).unwrap_err();
    rig.phone.suffer(&[]);
    // The phone looks for files that it does not name before this phase.
    let at = At(Phase::PhoneChecking, || strays(&rig, 5));
    let report = rig.try_create(&options(), &at).unwrap();
    assert!(report.draft.starts_with("continuing"), "{}", report.draft);
    let names = tree(&rig.current());
    assert!(names.keys().all(|name| !name.starts_with("ab/ab0000")));
    assert_whole(&rig.current());
}

#[test]
fn unlisted_files_share_one_note() {
    let rig = Rig::backed_up();
    let recorder = Recorder::default();
    let both = Both(&recorder, At(Phase::Hashing, || strays(&rig, 5)));
    rig.try_create(&options(), &both).unwrap();
    let report = verify::verify(&rig.current(), &rig::read_all(), &Silent).unwrap();
    let unlisted = report.findings.iter();
    let unlisted = unlisted.filter(|f| f.wrong == Wrong::Orphaned);
    assert_eq!(unlisted.count(), 5);
    let notes = recorder.notes();
    let about = notes.iter();
    let about = about.filter(|note| note.contains("does not name 5 files in the backup"));
    assert_eq!(about.count(), 1, "{notes:?}");
    assert!(
        notes.iter().all(|note| !note.contains("ab/ab0")),
        "{notes:?}"
    );
}

/// Passes each event to two monitors.
struct Both<'a, M: Monitor>(&'a Recorder, M);

impl<M: Monitor> Monitor for Both<'_, M> {
    fn event(&self, event: Event) {
        self.0.event(event.clone());
        self.1.event(event);
    }
}

#[test]
fn concurrent_store_creation_succeeds() {
    const THREADS: usize = 8;
    let dir = rig::room();
    for round in 0..25 {
        let root = dir.path().join(format!("a{round}/store"));
        let begin = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    begin.wait();
                    Store::create(&root).unwrap();
                });
            }
        });
        let own = root.join(".idev-backup");
        let names: Vec<_> = fs::read_dir(own)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["store.json"]);
    }
}

#[test]
fn damaged_seals_block_no_backup() {
    for full in [false, true] {
        let rig = Rig::backed_up();
        let before = tree(&rig.current());
        fs::create_dir_all(rig.draft().join("root")).unwrap();
        fs::write(rig.draft().join("seal.json"), "{\"stamp\":\"2026").unwrap();
        let words: &[&str] = if full {
            &["create", "--full"]
        } else {
            &["create"]
        };
        let ran = run(&rig, words);
        assert_eq!(ran.code, 3, "{}", ran.all());
        assert!(ran.all().contains("damaged-draft-1"), "{}", ran.all());
        assert!(rig.own().join("damaged-draft-1").is_dir());
        rig::assert_same(&before, &tree(&snapshot(&rig)), "the previous backup");
        assert_whole(&rig.current());
        assert_eq!(run(&rig, &["create"]).code, 0);
    }
}

/// Makes a file immutable, where the disk supports it, and reverts that when dropped.
struct Immutable(PathBuf);

impl Immutable {
    fn make(path: &Path) -> Option<Immutable> {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
        let file = fs::File::open(path).unwrap();
        let flags = ioctl_getflags(&file).ok()?;
        ioctl_setflags(&file, flags | IFlags::IMMUTABLE).ok()?;
        // Some disks accept the flag without any effect.
        let is_so = fs::OpenOptions::new().append(true).open(path).is_err();
        is_so.then(|| Immutable(path.to_path_buf()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
        // The file was moved into the trash.
        let name = self.0.file_name().unwrap();
        let store = self.0.ancestors().find(|above| above.ends_with("store"));
        let all = walkdir::WalkDir::new(store.unwrap()).into_iter().flatten();
        for entry in all.filter(|entry| entry.file_name() == name) {
            let file = fs::File::open(entry.path()).unwrap();
            let flags = ioctl_getflags(&file).unwrap();
            ioctl_setflags(&file, flags & !IFlags::IMMUTABLE).unwrap();
        }
    }
}

#[test]
fn immutable_files_block_nothing() {
    let rig = two_backups();
    // The phone has changed the file since, so that only the older backup has it.
    let own_file = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).unwrap().nlink() == 1 && path.to_str().unwrap().len() > 100
    };
    let old = snapshot(&rig);
    let mut all = walkdir::WalkDir::new(&old).into_iter().flatten();
    let file = all.find(|entry| entry.file_type().is_file() && own_file(entry.path()));
    let file = file.unwrap().into_path();
    let Some(held) = Immutable::make(&file) else {
        eprintln!("skipped: no file can be made immutable here");
        return;
    };
    let trash = rig.own().join("trash");
    for round in 0..2 {
        let ran = run(&rig, &["create", "--keep-last", "0"]);
        assert_eq!(ran.code, 3, "{round}: {}", ran.all());
        let told = ran.err.matches("cannot be removed completely").count();
        assert_eq!(told, 1, "{}", ran.err);
        assert_whole(&rig.current());
        assert_eq!(rig.listed().len(), 1);
        let left: Vec<_> = walkdir::WalkDir::new(&trash)
            .into_iter()
            .flatten()
            .collect();
        let left = left.iter().filter(|entry| entry.file_type().is_file());
        assert_eq!(left.count(), 1, "only the immutable file is left");
    }
    let ran = run(&rig, &["prune"]);
    assert_eq!(ran.code, 3, "{}", ran.all());
    let ran = run(&rig, &["delete", "latest", "--yes"]);
    assert_eq!(ran.code, 3, "{}", ran.all());
    drop(held);
    let ran = run(&rig, &["create"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(!trash.exists());
}

/// Runs a copy of the program as user 65534, who has no access to cargo's build folder.
fn as_nobody(rig: &Rig, store: &Path, words: &[&str]) -> Ran {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let copy = rig.dir.path().join("program");
    if !copy.exists() {
        // Another program copies it: a process that a parallel test forks would inherit a handle of
        // ours that is open for writing, and the copy could not be started ("text file busy").
        let mut cp = std::process::Command::new("cp");
        cp.arg(env!("CARGO_BIN_EXE_idev-backup")).arg(&copy);
        assert!(cp.status().unwrap().success());
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(rig.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let home = rig.dir.path().join("nobody");
    fs::create_dir_all(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = std::process::Command::new(&copy);
    command.args(words).arg("--store").arg(store);
    command.env("USBMUXD_SOCKET_ADDRESS", rig.daemon.address());
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, &home);
    }
    command.stdin(std::process::Stdio::null());
    ended(command.uid(NOBODY).gid(NOBODY))
}

const NOBODY: u32 = 65_534;

fn give(folder: &Path, owner: u32) {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
        std::os::unix::fs::lchown(entry.path(), Some(owner), Some(owner)).unwrap();
    }
}

/// Checks that folders of another user are named before the transfer begins.
#[test]
fn root_owned_folders_are_reported_early() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make folders of two users");
        return;
    }
    for (place, mode, word) in [
        (UDID.to_owned(), 0o755, "write to"),
        (UDID.to_owned(), 0o700, "write to"),
        (format!("{UDID}/Status.plist"), 0o600, "read"),
        (format!("{UDID}/00"), 0o700, "read"),
        (format!(".idev-backup/{UDID}"), 0o755, "write to"),
        (format!(".idev-backup/{UDID}/trash"), 0o700, "write to"),
    ] {
        let rig = Rig::backed_up();
        let (store, path) = (rig.store.root(), rig.store.root().join(&place));
        if place.ends_with("trash") {
            fs::create_dir(&path).unwrap();
        }
        give(store, NOBODY);
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let before = tree(&rig.current());
        let backups = rig.phone.history().len();
        let ran = as_nobody(&rig, store, &["create"]);
        let case = format!("{place} {mode:o}: {}", ran.all());
        assert_eq!(ran.code, 1, "{case}");
        assert_eq!(rig.phone.history().len(), backups, "{case}");
        assert!(
            ran.err
                .contains(&format!("cannot {word} {}", path.display())),
            "{case}"
        );
        assert!(ran.err.contains("belongs to root"), "{case}");
        assert!(ran.err.contains("sudo chown -R 65534 "), "{case}");
        rig::assert_same(&before, &tree(&rig.current()), &case);
        // A backup that cannot be read is not reported as unfinished or absent.
        let listed = as_nobody(&rig, store, &["list"]).all();
        let words = format!("{}{listed}", ran.err);
        for word in ["unfinished", "never finished", "no backup of this phone"] {
            assert!(!words.contains(word), "{case} {listed}");
        }
        give(&path, NOBODY);
        let ran = as_nobody(&rig, store, &["create"]);
        assert_eq!(ran.code, 0, "{place}: {}", ran.all());
    }
}

#[test]
fn root_refuses_stores_of_others() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make folders of another user");
        return;
    }
    let rig = two_backups();
    give(rig.store.root(), NOBODY);
    let before = tree(rig.store.root());
    let snapshot = snapshot(&rig);
    for command in [
        &["create", "--quiet"][..],
        &["prune", "--keep-last", "0"],
        &["delete", "latest", "--yes"],
        &["pin", "latest"],
        &["adopt", snapshot.to_str().unwrap()],
    ] {
        let ran = run(&rig, command);
        let case = format!("{command:?}: {}", ran.all());
        assert_eq!(ran.code, 1, "{case}");
        assert!(ran.err.contains("belongs to user 65534"), "{case}");
        assert!(ran.err.contains("without sudo"), "{case}");
    }
    // A check only reads; its result cannot be noted here.
    assert_eq!(run(&rig, &["verify", "latest"]).code, 0);
    assert_eq!(run(&rig, &["list"]).code, 0);
    rig::assert_same(&before, &tree(rig.store.root()), "the store");
    assert_eq!(as_nobody(&rig, rig.store.root(), &["create"]).code, 0);
}
