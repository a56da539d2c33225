//! `extract` and `cat`: every file comes out as it was on the phone, and nothing is written outside
//! of the target, whatever the list says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use idev_backup::backup_format::record::{FileRecord, MODE_FILE, file_id};
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::{Event, Monitor, Silent};
use idev_backup::base::secret::Secret;
use idev_backup::export::Error;
use idev_backup::export::Exported;
use idev_backup::export::destination::Into;
use idev_backup::export::files::{self, Options, Report};
use idev_backup::export::outcome::Wrong;
use idev_backup::reader;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::{Known, NoPasswords};
use idev_backup::reader::selection::Wanted;
use idev_backup::simulator::{Content, Password, PhoneConfig};

use crate::made::*;
use crate::rig::{self, Rig, assert_same, tree};

fn try_extract(backup: &Path, to: &Path, options: &Options) -> Result<Exported<Report>, Error> {
    let opened = Backup::open(backup, &NoPasswords)?;
    files::extract(&opened, to, options, &AtomicBool::new(false), &Silent)
}

fn extract_all(backup: &Path, to: &Path) -> Report {
    let extracted = try_extract(backup, to, &Options::default()).unwrap();
    assert!(extracted.stopped.is_none());
    extracted.report
}

fn overwriting() -> Options {
    Options {
        into: Into {
            overwrite: true,
            ..Into::default()
        },
        ..Options::default()
    }
}

fn wanting(patterns: &[&str], domains: &[&str]) -> Options {
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    Options {
        wanted: Wanted {
            patterns: texts(patterns),
            domains: texts(domains),
            ..Wanted::default()
        },
        ..Options::default()
    }
}

fn seconds(path: &Path) -> u64 {
    let modified = fs::symlink_metadata(path).unwrap().modified().unwrap();
    modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn names(report: &Report, wrong: Wrong) -> Vec<String> {
    let problems = report.problems.first.iter().filter(|p| p.wrong == wrong);
    problems
        .map(|p| format!("{}/{}", p.domain, p.relative_path))
        .collect()
}

fn program(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_idev-backup");
    Command::new(program)
        .args(arguments)
        .env_remove("IDEV_BACKUP_PASSWORD")
        .output()
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The working folder of a test. Detects changes to anything in it but the target.
struct Room {
    dir: tempfile::TempDir,
    before: rig::Tree,
}

impl Room {
    fn new(backup: &Made) -> Room {
        let dir = rig::room();
        fs::create_dir(dir.path().join("beside")).unwrap();
        fs::write(dir.path().join("beside/mine"), "not yours").unwrap();
        backup.write(&dir.path().join("backup"));
        let before = tree(dir.path());
        Room { dir, before }
    }

    fn backup(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    fn to(&self) -> PathBuf {
        self.dir.path().join("to")
    }

    /// Returns everything in the target, and asserts that everything outside of it is unchanged.
    fn extracted(&self) -> rig::Tree {
        let mut now = tree(self.dir.path());
        let inside: Vec<String> = now
            .keys()
            .filter(|path| *path == "to" || path.starts_with("to/"))
            .cloned()
            .collect();
        let mut found = rig::Tree::new();
        for path in inside {
            let bytes = now.remove(&path).unwrap();
            if let Some(path) = path.strip_prefix("to/") {
                found.insert(path.to_owned(), bytes);
            }
        }
        assert_same(&self.before, &now, "outside of the target");
        found
    }
}

fn files(tree: &rig::Tree) -> Vec<&str> {
    let files = tree.iter().filter(|(_, bytes)| bytes.is_some());
    files.map(|(path, _)| path.as_str()).collect()
}

/// Checks that `extract` writes every file of the phone, and that a second run over the same target
/// changes nothing.
#[test]
fn extract_returns_all_files() {
    let rig = Rig::backed_up();
    let to = rig.dir.path().join("to");
    let report = extract_all(&rig.current(), &to);
    assert_eq!(report.problems.count, 0, "{:?}", report.problems.first);
    let phone: Vec<_> = rig.phone.files().collect();
    assert_eq!(
        (report.files, report.chosen),
        (phone.len() as u64, report.files)
    );
    let mut bytes = 0;
    for file in &phone {
        bytes += file.size();
    }
    assert_eq!(report.bytes, bytes);
    assert!(report.complete);
    // Extract again: everything is there.
    let before = tree(&to);
    for options in [Options::default(), overwriting()] {
        let again = try_extract(&rig.current(), &to, &options).unwrap().report;
        assert_eq!((again.files, again.there), (0, report.files));
        assert_eq!(again.problems.count, 0, "{:?}", again.problems.first);
        assert_same(&before, &tree(&to), "the second time");
    }
}

/// Ends a run at the first sign of progress.
struct EndsEarly<'a>(&'a AtomicBool);

impl Monitor for EndsEarly<'_> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Progress { .. }) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Checks that a run continues where another was interrupted: it writes only what is missing,
/// reports what differs, and replaces that only with `overwrite`.
#[test]
fn extract_continues_interrupted_run() {
    let password = Secret::new(b"simulated".to_vec());
    for encrypted in [false, true] {
        let rig = Rig::with(PhoneConfig {
            content: Content {
                small: 400,
                bulk: 0,
                ..rig::small()
            },
            backup_password: encrypted.then(|| Password::new("simulated")),
            ..rig::config()
        });
        rig.try_create(&rig::options(), &Silent).unwrap();
        let opened = Backup::open(&rig.current(), &Known(password.clone())).unwrap();
        let extract = |to: &Path, options: &Options, monitor: &dyn Monitor, stop: &AtomicBool| {
            files::extract(&opened, to, options, stop, monitor).unwrap()
        };
        let go = AtomicBool::new(false);
        let (whole, to) = (rig.dir.path().join("whole"), rig.dir.path().join("to"));
        let all = extract(&whole, &Options::default(), &Silent, &go).report;
        let wanted = tree(&whole);

        let stop = AtomicBool::new(false);
        let first = extract(&to, &Options::default(), &EndsEarly(&stop), &stop);
        assert!(first.stopped.is_some(), "the run came to its end");
        let first = first.report;
        let done = tree(&to);
        let written = files(&done);
        assert_eq!(written.len() as u64, first.files, "{written:?}");
        assert!(first.files > 0 && first.files < all.files);
        for path in &written {
            assert_eq!(done[*path], wanted[*path], "{path} is not whole");
        }

        let altered = to.join(written[0]);
        let mut bytes = fs::read(&altered).unwrap();
        match bytes.first_mut() {
            Some(byte) => *byte ^= 1,
            None => bytes.push(0),
        }
        fs::write(&altered, &bytes).unwrap();
        let second = extract(&to, &Options::default(), &Silent, &go).report;
        assert_eq!(names(&second, Wrong::Different), [written[0]]);
        assert_eq!(second.there, first.files - 1);
        assert_eq!(second.files, all.files - first.files);
        assert_eq!(fs::read(&altered).unwrap(), bytes);
        let third = extract(&to, &overwriting(), &Silent, &go).report;
        assert_eq!((third.files, third.there), (1, all.files - 1));
        assert_eq!(third.problems.count, all.problems.count);
        assert_same(&wanted, &tree(&to), "after three runs");
    }
}

/// Checks that a run that is interrupted within a file leaves nothing of it.
#[test]
fn interrupt_within_a_file_leaves_nothing() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "large", &vec![7; 40 << 20]);
    let room = Room::new(&backup);
    let opened = Backup::open(&room.backup(), &NoPasswords).unwrap();
    let stop = AtomicBool::new(false);
    let options = Options::default();
    let ended = files::extract(&opened, &room.to(), &options, &stop, &EndsEarly(&stop)).unwrap();
    assert!(ended.stopped.is_some());
    assert_eq!(files(&room.extracted()).len(), 0);
    assert_eq!(extract_all(&room.backup(), &room.to()).files, 1);
}

/// Checks that a link is left alone if it is the right one, and reported if it is not.
#[test]
#[cfg(unix)]
fn present_links_are_compared() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "a", b"a");
    backup.link("HomeDomain", "right", "a");
    backup.link("HomeDomain", "wrong", "a");
    let room = Room::new(&backup);
    assert_eq!(extract_all(&room.backup(), &room.to()).links, 2);
    let wrong = room.to().join("HomeDomain/wrong");
    fs::remove_file(&wrong).unwrap();
    std::os::unix::fs::symlink("b", &wrong).unwrap();
    let report = extract_all(&room.backup(), &room.to());
    assert_eq!((report.links, report.there), (0, 2));
    assert_eq!(names(&report, Wrong::Different), ["HomeDomain/wrong"]);
    assert_eq!(fs::read_link(&wrong).unwrap(), Path::new("b"));
    let report = try_extract(&room.backup(), &room.to(), &overwriting())
        .unwrap()
        .report;
    assert_eq!(report.links, 1);
    assert_eq!(fs::read_link(&wrong).unwrap(), Path::new("a"));
    room.extracted();
}

#[test]
fn extract_preserves_times_and_modes() {
    let mut backup = Made::default();
    let record = |mode, last_modified| FileRecord {
        mode,
        last_modified,
        ..FileRecord::default()
    };
    backup.folder("HomeDomain", "Library", 1_400_000_000);
    backup.folder("HomeDomain", "Library/Empty", 1_300_000_000);
    backup.file_with(
        "HomeDomain",
        "Library/a",
        b"a",
        record(MODE_FILE | 0o644, 1_500_000_001),
    );
    backup.file_with(
        "HomeDomain",
        "Library/b",
        b"b",
        record(MODE_FILE | 0o6755, -5),
    );
    backup.file_with(
        "HomeDomain",
        "Library/c",
        b"c",
        record(MODE_FILE | 0o077, i64::MAX),
    );
    let room = Room::new(&backup);
    let report = extract_all(&room.backup(), &room.to());
    assert_eq!(report.problems.count, 0, "{:?}", report.problems.first);
    let at = |path: &str| room.to().join("HomeDomain/Library").join(path);
    assert_eq!(seconds(&at("a")), 1_500_000_001);
    assert_eq!(seconds(&at("")), 1_400_000_000);
    assert_eq!(seconds(&at("Empty")), 1_300_000_000);
    let earlier = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
    assert_eq!(fs::metadata(at("b")).unwrap().modified().unwrap(), earlier);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            [mode("a"), mode("b"), mode("c"), mode("")],
            [0o600, 0o700, 0o400, 0o700]
        );
        let options = Options {
            all_modes: true,
            ..overwriting()
        };
        try_extract(&room.backup(), &room.to(), &options).unwrap();
        assert_eq!(
            [mode("a"), mode("b"), mode("c"), mode("")],
            [0o644, 0o755, 0o477, 0o755]
        );
    }
}

/// Checks that `extract` writes only the files that match the patterns and domains.
#[test]
fn extract_applies_filters() {
    let mut backup = Made::default();
    backup.folder("CameraRollDomain", "Media/DCIM/100APPLE", 1_400_000_000);
    backup.folder("CameraRollDomain", "Media/Empty", 1_400_000_000);
    backup.file("CameraRollDomain", "Media/DCIM/100APPLE/IMG_1.HEIC", b"1");
    backup.file("CameraRollDomain", "Media/DCIM/100APPLE/IMG_1.MOV", b"2");
    backup.file("HomeDomain", "Library/x.heic", b"3");
    let wanted = |options: &Options| {
        let room = Room::new(&backup);
        try_extract(&room.backup(), &room.to(), options).unwrap();
        let found = room.extracted();
        assert!(
            !found.contains_key("CameraRollDomain/Media/Empty")
                || options.wanted.patterns.is_empty()
        );
        files(&found).join(" ")
    };
    let photo = "CameraRollDomain/Media/DCIM/100APPLE/IMG_1.HEIC";
    assert_eq!(wanted(&wanting(&["*.HEIC"], &[])), photo);
    let both = format!("{photo} CameraRollDomain/Media/DCIM/100APPLE/IMG_1.MOV");
    assert_eq!(wanted(&wanting(&[], &["Camera*"])), both);
    assert_eq!(
        wanted(&wanting(&["HomeDomain/**"], &[])),
        "HomeDomain/Library/x.heic"
    );
    // A folder that is created only for a file in it gets its time too.
    let room = Room::new(&backup);
    try_extract(&room.backup(), &room.to(), &wanting(&["*.HEIC"], &[])).unwrap();
    assert_eq!(
        seconds(&room.to().join("CameraRollDomain/Media/DCIM/100APPLE")),
        1_400_000_000
    );
    // If no file matches, the result is an error, and the target is not created.
    let room = Room::new(&backup);
    let nothing = try_extract(&room.backup(), &room.to(), &wanting(&["*.PNG"], &[]));
    assert!(matches!(nothing, Err(Error::NothingMatches)));
    let bad = try_extract(&room.backup(), &room.to(), &wanting(&["[a"], &[]));
    assert!(matches!(bad, Err(Error::Read(reader::Error::Pattern(_)))));
    assert!(!room.to().exists());
}

/// Checks that names that lead out of the target are reported and not written, and that names that
/// the disk cannot hold are changed.
#[test]
fn extracted_names_stay_in_target() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "good", b"good");
    let long = format!("{}.HEIC", "n".repeat(300));
    let deep = "d/".repeat(1500) + "x";
    let endless = "e/".repeat(3000) + "x";
    let hostile = [
        ("HomeDomain", "../../beside/mine"),
        ("HomeDomain", "a/../../../beside/mine"),
        ("HomeDomain", "/etc/idev-backup-was-here"),
        ("..", "beside/mine"),
        ("../beside", "mine"),
        ("/tmp", "idev-backup-was-here"),
        ("SysContainerDomain-../../beside", "mine"),
        ("HomeDomain", "nul\0name"),
        ("HomeDomain", ".."),
    ];
    for (domain, path) in hostile {
        backup.file(domain, path, b"evil");
    }
    backup.file("", "x", b"evil");
    backup.file("", "", b"evil");
    backup.file("HomeDomain", &endless, b"evil");
    for (domain, path) in [
        ("HomeDomain", "."),
        ("HomeDomain", "a//b/"),
        ("a/b", "c"),
        ("HomeDomain", "Icon\r"),
        ("HomeDomain", "\u{1b}[2Jx"),
        ("HomeDomain", long.as_str()),
        (".", "x"),
    ] {
        backup.file(domain, path, b"odd");
    }
    backup.file("HomeDomain", &deep, b"deep");
    backup.folder("HomeDomain", "../../made", 0);
    backup.folder("../../made", "", 0);
    backup.link("HomeDomain", "../out", "x");
    let room = Room::new(&backup);
    let report = extract_all(&room.backup(), &room.to());
    let found = room.extracted();
    let expected = [
        "%2E/x",
        "HomeDomain/%1B[2Jx",
        "HomeDomain/%2E",
        "HomeDomain/Icon%0D",
        "HomeDomain/a/b",
        "HomeDomain/good",
        "a%2Fb/c",
    ];
    for name in expected {
        assert!(
            found.get(name).is_some_and(Option::is_some),
            "{name}: {:?}",
            files(&found)
        );
    }
    assert_eq!(names(&report, Wrong::LeadsOut).len(), hostile.len() + 3);
    assert!(names(&report, Wrong::Unwritable).len() >= 3);
    assert_eq!(report.renamed.count, 6, "{:?}", report.renamed.first);
    assert!(
        files(&found)
            .iter()
            .any(|name| name.contains("nnn~") && name.ends_with(".HEIC"))
    );
    assert!(report.files >= 8);
}

/// Checks that only symbolic links that stay inside of their domain are created, and that nothing
/// is written through a link.
#[cfg(unix)]
#[test]
fn symlinks_never_leave_target() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "Library/real", b"real");
    backup.folder("HomeDomain", "a/b/c", 0);
    let good = [
        ("Library/near", "real", "real"),
        ("a/b/up", "../../Library/real", "../../Library/real"),
        ("a/b/c/self", "./.", "."),
        ("dangling", "nowhere/at/all", "nowhere/at/all"),
    ];
    for (path, to, _) in good {
        backup.link("HomeDomain", path, to);
    }
    let bad = [
        ("absolute", "/etc/passwd"),
        ("climbs", "../beside/mine"),
        ("a/climbs", "../../x"),
        ("winds", "a/b/../../../beside"),
        ("empty", ""),
        ("through", "a/b/c/self/../../.."),
        ("nul", "a\0b"),
    ];
    for (path, to) in bad {
        backup.link("HomeDomain", path, to);
    }
    // A file below a link, and links in the place of folders that contain files.
    backup.link("HomeDomain", "trap", "Library");
    backup.file("HomeDomain", "trap/mine", b"below");
    backup.link("HomeDomain", "Library", "a");
    backup.link("HomeDomain", "", "Library");
    backup.link("Sibling", "", "HomeDomain");
    let room = Room::new(&backup);
    let report = extract_all(&room.backup(), &room.to());
    let home = room.to().join("HomeDomain");
    for (path, _, to) in good {
        assert_eq!(
            fs::read_link(home.join(path)).unwrap(),
            Path::new(to),
            "{path}"
        );
    }
    for (path, _) in bad {
        assert!(fs::symlink_metadata(home.join(path)).is_err(), "{path}");
    }
    assert_eq!(fs::read(home.join("trap/mine")).unwrap(), b"below");
    assert!(!home.join("Library/mine").exists());
    assert_eq!(report.links, 4);
    assert_eq!(report.links_left_out.count, bad.len() as u64 + 2);
    assert!(fs::symlink_metadata(room.to().join("Sibling")).is_err());
    // A folder already exists at these two paths.
    let unwritable = names(&report, Wrong::Unwritable);
    assert_eq!(unwritable, ["HomeDomain/trap", "HomeDomain/Library"]);
}

#[cfg(unix)]
#[test]
fn existing_symlinks_are_not_followed() {
    use std::os::unix::fs::symlink;
    let mut backup = Made::default();
    backup.file("HomeDomain", "Library/a", b"a");
    backup.file("HomeDomain", "mine", b"replaced");
    backup.file("Media", "x", b"x");
    let room = Room::new(&backup);
    let (home, beside) = (room.to().join("HomeDomain"), room.dir.path().join("beside"));
    fs::create_dir_all(&home).unwrap();
    symlink(&beside, home.join("Library")).unwrap();
    symlink(beside.join("mine"), home.join("mine")).unwrap();
    symlink(&beside, room.to().join("Media")).unwrap();
    let extracted = try_extract(&room.backup(), &room.to(), &overwriting()).unwrap();
    assert_eq!(names(&extracted.report, Wrong::Unwritable).len(), 2);
    assert_eq!(fs::read(beside.join("mine")).unwrap(), b"not yours");
    assert_eq!(fs::read_dir(&beside).unwrap().count(), 1);
    let mine = fs::symlink_metadata(home.join("mine")).unwrap();
    assert!(mine.is_file());
    assert_eq!(fs::read(home.join("mine")).unwrap(), b"replaced");
}

/// Checks that a target with files of another origin requires `overwrite`, and that the backup's
/// own folder is never a target.
#[test]
fn foreign_target_requires_overwrite() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "a", b"new");
    let room = Room::new(&backup);
    let home = room.to().join("HomeDomain");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("b"), "mine").unwrap();
    let refused = try_extract(&room.backup(), &room.to(), &Options::default());
    assert!(matches!(refused, Err(Error::NotEmpty(_))));
    assert!(!home.join("a").exists());
    fs::write(home.join("a"), "old").unwrap();
    let report = extract_all(&room.backup(), &room.to());
    assert_eq!(names(&report, Wrong::Different), ["HomeDomain/a"]);
    assert_eq!((report.files, report.there), (0, 0));
    assert_eq!(fs::read(home.join("a")).unwrap(), b"old");
    try_extract(&room.backup(), &room.to(), &overwriting()).unwrap();
    assert_eq!(fs::read(home.join("a")).unwrap(), b"new");
    assert_eq!(fs::read(home.join("b")).unwrap(), b"mine");
    for into in [room.backup(), room.backup().join("x")] {
        assert!(try_extract(&room.backup(), &into, &overwriting()).is_err());
    }
}

#[test]
fn extract_dry_run_writes_nothing() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "a\n", b"12345");
    let room = Room::new(&backup);
    let options = Options {
        into: Into {
            dry_run: true,
            ..Into::default()
        },
        ..Options::default()
    };
    let report = try_extract(&room.backup(), &room.to(), &options)
        .unwrap()
        .report;
    assert_eq!(
        (report.files, report.bytes, report.renamed.count),
        (1, 5, 1)
    );
    assert!(!room.to().exists());
    room.extracted();
}

/// Checks that damaged files and rows are reported, with exit code 3, and that all other files are
/// written.
#[test]
fn extract_skips_and_reports_damage() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "good", b"good");
    let sized = |size| FileRecord {
        size,
        mode: MODE_FILE | 0o600,
        ..FileRecord::default()
    };
    backup.row("HomeDomain", "missing", 1, sized(4).encode(), None);
    backup.row("HomeDomain", "short", 1, sized(10).encode(), Some(b"12345"));
    backup.row("HomeDomain", "long", 1, sized(3).encode(), Some(b"12345"));
    backup.row(
        "HomeDomain",
        "no record",
        1,
        b"bplist00".to_vec(),
        Some(b"12345"),
    );
    backup.row("HomeDomain", "flags", 77, sized(1).encode(), Some(b"1"));
    backup.row("HomeDomain", "a link", 4, Vec::new(), None);
    backup.row_with_id(
        "../../../etc/passwd",
        "HomeDomain",
        "bad id",
        sized(1).encode(),
    );
    let folder = file_id("HomeDomain", "a folder");
    backup.row("HomeDomain", "a folder", 1, sized(0).encode(), None);
    let room = Room::new(&backup);
    fs::create_dir_all(room.backup().join(&folder[..2]).join(&folder)).unwrap();
    let report = extract_all(&room.backup(), &room.to());
    let found = tree(&room.to());
    assert_eq!(
        files(&found),
        [
            "HomeDomain/good",
            "HomeDomain/long",
            "HomeDomain/no record",
            "HomeDomain/short"
        ]
    );
    assert_eq!(names(&report, Wrong::Truncated), ["HomeDomain/short"]);
    assert_eq!(names(&report, Wrong::OtherSize), ["HomeDomain/long"]);
    let mut unreadable = names(&report, Wrong::Unreadable);
    unreadable.sort();
    assert_eq!(
        unreadable,
        ["a folder", "a link", "bad id", "missing", "no record"]
            .map(|name| format!("HomeDomain/{name}"))
    );
    let unread: Vec<_> = report.unread.first.iter().map(|row| &*row.name).collect();
    assert_eq!(unread, ["HomeDomain/flags"]);
    let run = program(&[
        "extract",
        text(&room.backup()),
        "--to",
        text(&room.dir.path().join("again")),
    ]);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
}

/// Checks that a pipe or a symbolic link in place of a backup's file is reported as unreadable.
#[cfg(unix)]
#[test]
fn pipes_and_symlinks_are_not_opened() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "pipe", b"");
    backup.file("HomeDomain", "link", b"");
    let room = Room::new(&backup);
    let at = |name: &str| {
        let id = file_id("HomeDomain", name);
        room.backup().join(&id[..2]).join(id)
    };
    for name in ["pipe", "link"] {
        fs::remove_file(at(name)).unwrap();
    }
    let made = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", at("link")).unwrap();
    let report = extract_all(&room.backup(), &room.to());
    assert_eq!(
        (report.files, names(&report, Wrong::Unreadable).len()),
        (0, 2)
    );
}

/// Checks that files whose names become equal when they are changed for the disk get distinct
/// names.
#[test]
fn colliding_names_are_kept_apart() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "a\u{1}.txt", b"1");
    backup.file("HomeDomain", "a%01.txt", b"2");
    backup.file("HomeDomain", "x//y", b"3");
    backup.file("HomeDomain", "x/y", b"4");
    let room = Room::new(&backup);
    let report = extract_all(&room.backup(), &room.to());
    let found = room.extracted();
    let mut bytes: Vec<_> = found.values().flatten().cloned().collect();
    bytes.sort();
    assert_eq!(bytes, [b"1", b"2", b"3", b"4"]);
    assert_eq!((report.files, report.problems.count), (4, 0));
    assert!(
        report
            .renamed
            .first
            .iter()
            .any(|r| r.to.ends_with(" (2).txt") || r.to.ends_with("y (2)"))
    );
}

#[test]
fn interrupt_leaves_no_partial_files() {
    let mut backup = Made::default();
    backup.file("HomeDomain", "a", b"a");
    let room = Room::new(&backup);
    let opened = Backup::open(&room.backup(), &NoPasswords).unwrap();
    let interrupt = AtomicBool::new(true);
    let extracted = files::extract(
        &opened,
        &room.to(),
        &Options::default(),
        &interrupt,
        &Silent,
    );
    let extracted = extracted.unwrap();
    assert!(!extracted.report.complete);
    let stopped = extracted.stopped.unwrap();
    assert_eq!(stopped.kind(), FailureKind::Interrupted);
    assert_eq!(files(&room.extracted()).len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn failed_write_leaves_no_file() {
    // The size limit simulates a disk that cannot hold larger files, such as one with FAT32.
    let mut backup = Made::default();
    backup.file("HomeDomain", "large", &vec![7; 4 << 20]);
    let room = Room::new(&backup);
    let script = format!(
        "trap '' XFSZ; ulimit -f 1024; exec {} extract {} --to {}",
        env!("CARGO_BIN_EXE_idev-backup"),
        text(&room.backup()),
        text(&room.to())
    );
    let run = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert_eq!(
        files(&room.extracted()).len(),
        0,
        "no partial file may remain"
    );
}

/// Checks that any folder, with any metadata, ends with an error or a report.
#[test]
fn extract_survives_any_folder() {
    let dir = rig::room();
    let to = dir.path().join("to");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(try_extract(&empty, &to, &Options::default()).is_err());
    for name in ["Manifest.db", "Manifest.mbdb", "Manifest.plist"] {
        for bytes in [
            &b""[..],
            b"SQLite format 3\0",
            &[0xff; 5000],
            b"mbdb\x05\0\0",
        ] {
            let folder = dir.path().join("odd");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), bytes).unwrap();
            if let Ok(done) = try_extract(&folder, &to, &Options::default()) {
                assert_eq!(done.report.files, 0);
                fs::remove_dir_all(&to).unwrap();
            }
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    assert!(!to.exists());
}

fn data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not here", path.display());
        return None;
    }
    Some(path)
}

/// Checks that TrollRestore's backups, which are made to write elsewhere, write nothing outside of
/// the target.
#[test]
fn hostile_mbdb_stays_in_target() {
    let Some(data) = data("JJTech0130-TrollRestore") else {
        return;
    };
    let dir = rig::room();
    let to = |name: &str| dir.path().join(name).join("to");
    for name in [
        "plain-mbdb",
        "hostile-traversal-mbdb",
        "corrupt-length-mbdb",
    ] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let plain = extract_all(&data.join("plain-mbdb"), &to("plain-mbdb"));
    assert_eq!(plain.problems.count, 0, "{:?}", plain.problems.first);
    assert!(plain.files >= 1 && plain.links_left_out.count == 1);
    let hostile = extract_all(
        &data.join("hostile-traversal-mbdb"),
        &to("hostile-traversal-mbdb"),
    );
    assert!(names(&hostile, Wrong::LeadsOut).len() >= 3);
    let corrupt = try_extract(
        &data.join("corrupt-length-mbdb"),
        &to("corrupt-length-mbdb"),
        &Options::default(),
    );
    // Undamaged files are extracted, and the others are reported.
    let told = match corrupt {
        Ok(extracted) => !extracted.report.unread.is_empty(),
        Err(e) => matches!(e, Error::Read(reader::Error::Metadata { .. })),
    };
    assert!(told);
    for name in [
        "plain-mbdb",
        "hostile-traversal-mbdb",
        "corrupt-length-mbdb",
    ] {
        let around = fs::read_dir(dir.path().join(name)).unwrap();
        assert!(around.count() <= 1, "{name}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

fn inside(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap();
    let mut folders = entries
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_dir());
    folders.next().unwrap()
}

/// Checks that an encrypted backup made by another program is extracted, and that altered and
/// truncated files are reported.
#[test]
fn encrypted_extract_detects_alteration() {
    let Some(data) = data("pmeenan-golemine/e2e/fixtures/generated") else {
        return;
    };
    let dir = rig::room();
    let folder = dir.path().join("backup");
    rig::copy_dir(&inside(&data.join("ios-mini-encrypted-backup")), &folder);
    let password = Known(Secret::new(b"G0lemine-M5!".to_vec()));
    let opened = Backup::open(&folder, &password).unwrap();
    let run = |to: &str| {
        let to = dir.path().join(to);
        let no = AtomicBool::new(false);
        files::extract(&opened, &to, &Options::default(), &no, &Silent)
            .unwrap()
            .report
    };
    let report = run("to");
    assert_eq!(report.problems.count, 0, "{:?}", report.problems.first);
    let sms = dir.path().join("to/HomeDomain/Library/SMS/sms.db");
    assert!(fs::read(&sms).unwrap().starts_with(b"SQLite format 3\0"));
    // The same file is read whole, then altered at its end, then truncated.
    let id = file_id("HomeDomain", "Library/SMS/sms.db");
    let path = folder.join(&id[..2]).join(&id);
    let whole = fs::read(&path).unwrap();
    fs::write(dir.path().join("pw"), "G0lemine-M5!\n").unwrap();
    let pw = dir.path().join("pw");
    let cat = |name: &str| program(&["cat", text(&folder), name, "--password-file", text(&pw)]);
    let printed = cat("HomeDomain/Library/SMS/sms.db");
    assert_eq!(
        (printed.status.code(), &printed.stdout),
        (Some(0), &fs::read(&sms).unwrap())
    );
    assert_eq!(cat(&id).stdout, printed.stdout);
    let mut altered = whole.clone();
    let last = altered.len() - 1;
    altered[last] ^= 0x55;
    fs::write(&path, &altered).unwrap();
    assert_eq!(names(&run("altered"), Wrong::Altered).len(), 1);
    let printed = cat(&id);
    assert_eq!(printed.status.code(), Some(1));
    assert!(
        !printed.stdout.is_empty()
            && String::from_utf8_lossy(&printed.stderr).contains("have changed")
    );
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    assert_eq!(names(&run("cut"), Wrong::Unreadable).len(), 1);
    assert!(
        !dir.path()
            .join("cut/HomeDomain/Library/SMS/sms.db")
            .exists()
    );
    let wrong = program(&[
        "cat",
        text(&folder),
        "HomeDomain/x",
        "--password-command",
        "echo no",
    ]);
    assert_eq!(wrong.status.code(), Some(6), "{wrong:?}");
    let malformed = inside(&data.join("ios-malformed-backup"));
    drop(try_extract(
        &malformed,
        &dir.path().join("malformed"),
        &Options::default(),
    ));
}

/// Checks that `cat` prints exactly the bytes of a file, and that a full disk, a folder, a link or
/// an unknown name is an error.
#[test]
fn cat_prints_exact_bytes() {
    let mut backup = Made::default();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    backup.file("HomeDomain", "Library/x", &bytes);
    backup.folder("HomeDomain", "Library", 0);
    backup.link("HomeDomain", "l", "/x");
    let room = Room::new(&backup);
    let folder = room.backup();
    let cat = |name: &str| program(&["cat", text(&folder), name]);
    let printed = cat("HomeDomain/Library/x");
    assert!(printed.status.success() && printed.stdout == bytes && printed.stderr.is_empty());
    assert_eq!(cat(&file_id("HomeDomain", "Library/x")).stdout, bytes);
    // The shell's size limit simulates a full disk.
    #[cfg(unix)]
    {
        let out = folder.with_file_name("printed");
        let limited = Command::new("sh")
            .args([
                "-c",
                "trap '' XFSZ; ulimit -f 0; exec \"$0\" cat \"$1\" HomeDomain/Library/x > \"$2\"",
            ])
            .arg(env!("CARGO_BIN_EXE_idev-backup"))
            .args([&folder, &out])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&limited.stderr).into_owned();
        assert_eq!(limited.status.code(), Some(1), "{error}");
        assert!(
            error.contains("cannot write the output") && !error.contains("--to"),
            "{error}"
        );
    }
    for (name, said) in [
        ("HomeDomain/Library", "a folder"),
        ("HomeDomain/l", "a link"),
        ("HomeDomain/none", "no HomeDomain/none"),
        (&"ab".repeat(20), "no abab"),
    ] {
        let failed = cat(name);
        let error = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(failed.stdout.is_empty() && error.contains(said), "{error}");
        assert_eq!(failed.status.code(), Some(1), "{name}");
    }
    // A reader that stops after the first byte does not cause an error.
    #[cfg(unix)]
    {
        let script = format!(
            "set -o pipefail; {} cat {} HomeDomain/Library/x | head -c 1 > /dev/null",
            env!("CARGO_BIN_EXE_idev-backup"),
            text(&folder)
        );
        let piped = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(
            piped.status.success() && piped.stderr.is_empty(),
            "{piped:?}"
        );
    }
    let json = program(&["extract", text(&folder), "--to", text(&room.to()), "--json"]);
    let lines = String::from_utf8(json.stdout).unwrap();
    let events: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["files"]),
        (&"extracted".into(), &1.into())
    );
    assert_eq!(last["links_left_out"]["count"], 1);
}
