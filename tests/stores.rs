//! The location of the store: a new one is created only on request, and a path means a single
//! place.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rig::Rig;
#[cfg(unix)]
use crate::rig::program::in_a_terminal;
use crate::rig::program::{Ran, ended, program};

fn runs(rig: &Rig, store: &Path, args: &[&str], code: i32) -> Ran {
    let mut command = program(rig);
    let ran = ended(command.env("IDEV_BACKUP_STORE", store).args(args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

/// Returns paths without a store, each with the expected explanation.
fn places_without_a_store(rig: &Rig) -> Vec<(PathBuf, &'static str)> {
    let at = |name: &str| rig.dir.path().join("places").join(name);
    fs::create_dir_all(at("mount point")).unwrap();
    fs::create_dir_all(at("papers")).unwrap();
    fs::write(at("papers").join("letter"), "dear").unwrap();
    let links: Vec<(PathBuf, &'static str)> = if cfg!(unix) {
        link(&at("nowhere"), &at("link"));
        vec![
            (at("link"), "is a link to"),
            (at("link").join("backups"), "is a link to"),
        ]
    } else {
        Vec::new()
    };
    let places = [
        (at("mount point"), "an empty folder"),
        (at("mount point").join("a/b"), "an empty folder"),
        (at("papers"), "store.json"),
        (at("gone").join("backups"), "does not exist"),
    ];
    places.into_iter().chain(links).collect()
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) {}

/// Checks that commands explain why they find no store, and do not create one.
#[test]
fn no_command_makes_a_store_unasked() {
    let rig = Rig::backed_up();
    let foreign = rig.dir.path().join("foreign").join(rig.udid().as_str());
    crate::rig::copy_dir(&rig.current(), &foreign);
    let foreign = foreign.to_str().unwrap().to_owned();
    let places = places_without_a_store(&rig);
    let root = rig.dir.path().join("places");
    let entries = || walkdir::WalkDir::new(&root).into_iter().count();
    let before = entries();
    for (place, cause) in &places {
        let path = place.to_str().unwrap();
        for args in [
            &["create"][..],
            &["create", "--store", path],
            &["create", "--if-older-than", "20h", "--if-present"],
            &["watch"],
            &["adopt", &foreign],
            &["list"],
            &["list", "--store", path],
            &["verify"],
            &["info", "latest"],
            &["prune"],
            &["pin", "latest"],
        ] {
            let ran = runs(&rig, place, args, 1);
            for words in ["no store found at", cause, "hint: ", "--new-store"] {
                assert!(ran.err.contains(words), "{args:?}, {words}: {}", ran.all());
            }
        }
        let ran = runs(&rig, rig.store.root(), &["copy", "latest", path], 1);
        assert!(ran.err.contains(cause), "{}", ran.all());
    }
    assert_eq!(before, entries(), "something was written");
}

#[test]
fn new_store_option_creates_store() {
    let rig = Rig::backed_up();
    for (number, (place, cause)) in places_without_a_store(&rig).into_iter().enumerate() {
        let path = place.to_str().unwrap();
        if cause.contains("link") {
            // No folder can be made in the place of a link.
            let args = ["create", "-q", "--store", path, "--new-store"];
            let ran = runs(&rig, &place, &args, 1);
            assert!(ran.err.contains(cause), "{}", ran.all());
            continue;
        }
        let args = match number % 3 {
            0 => &["create", "-q", "--new-store"][..],
            1 => &["copy", "latest", path, "--new-store"],
            _ => &["create", "-q", "--store", path, "--new-store"],
        };
        let store = match number % 3 {
            1 => rig.store.root(),
            _ => &place,
        };
        runs(&rig, store, args, 0);
        runs(&rig, &place, &["create", "-q"], 0);
        runs(&rig, &place, &["list"], 0);
    }
}

/// Checks that naming the store of jobs in the config file is not enough to create it.
#[test]
fn config_and_jobs_make_no_store() {
    let rig = Rig::new();
    let mount_point = rig.dir.path().join("mount point");
    fs::create_dir(&mount_point).unwrap();
    let config = rig.dir.path().join("config.toml");
    let text = format!("store = {:?}\n", mount_point.join("backups"));
    fs::write(&config, text).unwrap();
    let with_config = |args: &[&str]| {
        let mut command = program(&rig);
        command.env_remove("IDEV_BACKUP_STORE");
        ended(command.env("IDEV_BACKUP_CONFIG", &config).args(args))
    };
    for args in [
        &["create"][..],
        &["schedule", "add", "--daily", "22:00", "--with", "cron"],
        &["schedule", "add", "--watch", "--with", "cron"],
    ] {
        let ran = with_config(args);
        assert_eq!(ran.code, 1, "{args:?}: {}", ran.all());
        assert!(ran.err.contains("an empty folder"), "{}", ran.all());
    }
    let add = ["schedule", "add", "--daily", "22:00", "--with", "cron"];
    let ran = with_config(&[&add[..], &["--", "--new-store"]].concat());
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(
        ran.err.contains("a job cannot create a store"),
        "{}",
        ran.all()
    );
    let mut job = program(&rig);
    job.env("IDEV_BACKUP_JOB", rig.dir.path().join("job.lock"));
    job.args(["create", "--new-store", "--store"])
        .arg(&mount_point);
    let ran = ended(&mut job);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert_eq!(fs::read_dir(&mount_point).unwrap().count(), 0);
}

/// Checks that `watch` creates no new store if the disk disappears while it waits for phones.
#[test]
fn removed_disk_gets_no_store() {
    let rig = Rig::backed_up();
    let root = rig.store.root();
    fs::rename(root, rig.dir.path().join("away")).unwrap();
    fs::create_dir(root).unwrap();
    let monitor = idev_backup::base::progress::Silent;
    let error = rig
        .try_create(&crate::rig::options(), &monitor)
        .unwrap_err();
    assert!(error.to_string().contains("an empty folder"), "{error}");
    assert_eq!(fs::read_dir(root).unwrap().count(), 0);
}

/// Checks that `--store` typed at a terminal creates a store without `--new-store`. A variable and
/// a job do not.
#[test]
#[cfg(unix)]
fn store_typed_at_terminal_is_created() {
    let rig = Rig::new();
    let place = |name: &str| rig.dir.path().join(name);
    let create = |store: &Path| {
        let mut command = program(&rig);
        command.env("IDEV_BACKUP_STORE", store).arg("create");
        command
    };
    assert_eq!(in_a_terminal(&mut create(&place("by variable")), 80).0, 1);
    assert!(!place("by variable").exists());
    let mut job = create(&place("x"));
    job.arg("--store").arg(place("by a job"));
    job.env("IDEV_BACKUP_JOB", place("job.lock"));
    assert_eq!(in_a_terminal(&mut job, 80).0, 1);
    assert!(!place("by a job").exists());
    let mut typed = create(&place("x"));
    typed.arg("--store").arg(place("typed"));
    assert_eq!(in_a_terminal(&mut typed, 80).0, 0);
    assert!(place("typed").join(rig.udid().as_str()).is_dir());
}

/// Checks that `--new-store` leaves nothing behind if no backup begins: without a phone, and with
/// one whose owner does not trust the computer.
#[test]
fn new_store_waits_for_a_backup() {
    let mut rig = Rig::new();
    let place = rig.dir.path().join("new");
    rig.daemon.detach(rig.phone.udid());
    runs(&rig, &place, &["create", "--new-store"], 4);
    assert!(!place.exists());
    let stranger = idev_backup::simulator::PhoneConfig {
        trust: idev_backup::simulator::Trust::Deny,
        ..crate::rig::config()
    };
    rig.connect(idev_backup::simulator::Phone::new(stranger));
    runs(&rig, &place, &["create", "--new-store"], 5);
    runs(&rig, &place, &["adopt", "/nowhere", "--new-store"], 1);
    assert!(!place.exists());
    rig.connect(idev_backup::simulator::Phone::new(crate::rig::config()));
    let ran = runs(&rig, &place, &["create", "--new-store"], 0);
    assert!(ran.err.contains("Created a new store: "), "{}", ran.err);
}

/// Checks that the commands which read a store agree about the default store before it exists.
#[test]
fn first_use_names_the_next_step() {
    let rig = Rig::new();
    for args in [&["list"][..], &["list", "--check"], &["verify"], &["info"]] {
        let mut command = program(&rig);
        let ran = ended(command.env_remove("IDEV_BACKUP_STORE").args(args));
        assert_eq!(ran.code, 1, "{args:?}: {}", ran.all());
        assert!(ran.err.contains("no store yet at"), "{}", ran.err);
        assert!(ran.err.contains("`idev-backup setup`"), "{}", ran.err);
    }
    // An empty home is no mount point without its disk.
    for args in [&["create"][..], &["watch"], &["create", "--all"]] {
        let mut command = program(&rig);
        let ran = ended(command.env_remove("IDEV_BACKUP_STORE").args(args));
        assert_eq!(ran.code, 1, "{args:?}: {}", ran.all());
        assert!(ran.err.contains("no store yet at"), "{}", ran.err);
        assert!(
            ran.err.contains("`idev-backup create --new-store`"),
            "{}",
            ran.err
        );
    }
    let mut command = program(&rig);
    let ran = ended(
        command
            .env_remove("IDEV_BACKUP_STORE")
            .args(["list", "--everywhere"]),
    );
    assert_eq!(
        (ran.code, ran.out.trim()),
        (0, "No backups were found on this computer.")
    );
}

/// Checks that a default store which was used before and is gone does not count as never made.
#[test]
#[cfg(target_os = "linux")]
fn lost_default_store_is_not_new() {
    let rig = Rig::new();
    let default = |args: &[&str], code: i32| {
        let mut command = program(&rig);
        let ran = ended(command.env_remove("IDEV_BACKUP_STORE").args(args));
        assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
        ran
    };
    default(&["create", "--new-store"], 0);
    let store = rig.dir.path().join("home/data/idev-backup");
    fs::rename(&store, rig.dir.path().join("away")).unwrap();
    for args in [&["list"][..], &["create"]] {
        let ran = default(args, 1);
        assert!(
            ran.err.contains("no store found at"),
            "{args:?}: {}",
            ran.err
        );
    }
    let ran = default(&["list", "--everywhere"], 0);
    assert!(ran.out.contains("offline since today"), "{}", ran.out);
}

/// Checks that suggested commands repeat a store that was typed, and no other.
#[test]
fn hints_repeat_a_typed_store() {
    let rig = Rig::backed_up();
    let store = rig.store.root().to_str().unwrap();
    let option = format!(" --store {store}");
    for args in [&["info", "nothing"][..], &["ls", "latest", "NoDomain"]] {
        let ran = runs(&rig, rig.store.root(), args, 1);
        assert!(!ran.all().contains(&option), "{}", ran.all());
        for form in [&["--store", store][..], &["--json", "--store", store]] {
            let args = [args, form].concat();
            let mut ran = runs(&rig, Path::new("/nowhere"), &args, 1);
            if form.contains(&"--json") {
                ran.err = ran.last_object()["hint"].to_string();
            }
            assert!(ran.err.contains(&option), "{args:?}: {}", ran.all());
        }
    }
}
