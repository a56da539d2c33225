//! `list --everywhere`: all backups of the computer, and the memory of stores that were used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = ended(program(rig).args(args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

fn places(rig: &Rig, code: i32) -> Vec<Value> {
    let ran = runs(rig, &["list", "--everywhere", "--json"], code);
    ran.last_object()["places"].as_array().unwrap().clone()
}

fn of_program<'a>(places: &'a [Value], program: &str) -> &'a Value {
    let found = places.iter().find(|place| place["program"] == program);
    found.unwrap_or_else(|| panic!("no {program}: {places:#?}"))
}

/// Returns the folder of another program below the user's home folder, with a copy of the phone's
/// current backup.
fn with_backup(rig: &Rig, folder: &str) -> PathBuf {
    let folder = rig.dir.path().join("home").join(folder);
    copy_dir(&rig.current(), &folder.join(UDID));
    folder
}

const FINDER: &str = "Library/Application Support/MobileSync/Backup";

/// Checks that the backups of all programs are found, each with commands that work.
#[test]
fn backups_of_every_program_are_found() {
    let rig = Rig::backed_up();
    with_backup(&rig, FINDER);
    with_backup(&rig, "Library/Application Support/iMazing/Backups");
    with_backup(&rig, "Apple/MobileSync/Backup");
    let itunes = with_backup(&rig, "roaming/Apple Computer/MobileSync/Backup");
    // iTunes archives a backup under its UDID and time. A backup without Status.plist is
    // unfinished.
    copy_dir(
        &rig.current(),
        &itunes.join(format!("{UDID}-20251120-221401")),
    );
    fs::remove_file(itunes.join(UDID).join("Status.plist")).unwrap();
    fs::create_dir(itunes.join("not a backup")).unwrap();

    let found = places(&rig, 0);
    assert_eq!(found.len(), 5, "{found:#?}");
    let own = of_program(&found, "idev-backup");
    assert_eq!(
        (&own["current"], &own["state"]),
        (&true.into(), &"here".into())
    );
    assert!(own["backups"][0]["bytes"].is_u64() && own["backups"][0]["adopt"].is_null());
    for (program, count) in [
        ("Finder or iTunes", 1),
        ("iMazing", 1),
        ("Apple Devices or iTunes", 1),
        ("iTunes", 2),
    ] {
        let backups = of_program(&found, program)["backups"].as_array().unwrap();
        assert_eq!(backups.len(), count, "{program}: {backups:#?}");
        assert_eq!(backups[0]["name"], "Mira's iPhone", "{program}");
        assert_eq!(backups[0]["encrypted"], false, "{program}");
    }
    let itunes = &of_program(&found, "iTunes")["backups"];
    assert_eq!(
        (&itunes[0]["complete"], &itunes[0]["adopt"]),
        (&false.into(), &Value::Null)
    );
    // The commands run as they are printed.
    let text = runs(&rig, &["list", "--everywhere"], 0).out;
    let adopt = of_program(&found, "Finder or iTunes")["backups"][0]["adopt"]
        .as_str()
        .unwrap();
    assert!(text.contains(&format!("`{adopt}`")), "{text}");
    if cfg!(unix) {
        let directory = Path::new(env!("CARGO_BIN_EXE_idev-backup"))
            .parent()
            .unwrap();
        let set = program(&rig);
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("PATH='{}':$PATH; {adopt}", directory.display()),
        ]);
        for (key, value) in set.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        let ran = ended(&mut shell);
        assert!(
            ran.err.contains("already in this store"),
            "{adopt}: {}",
            ran.all()
        );
    }
}

/// Checks that a store whose disk is away is named with what it held, and is not an error.
#[test]
fn store_that_is_away_is_remembered() {
    let rig = Rig::new();
    let (disk, away) = (rig.dir.path().join("disk"), rig.dir.path().join("away"));
    let store = disk.join("backups");
    let path = store.to_str().unwrap().to_owned();
    runs(&rig, &["create", "-q", "--new-store", "--store", &path], 0);
    let here = places(&rig, 0);
    assert_eq!(here.len(), 2, "{here:#?}");
    fs::rename(&disk, &away).unwrap();
    // A mount point without its disk is an empty folder.
    for make_mount_point in [false, true] {
        if make_mount_point {
            fs::create_dir(&disk).unwrap();
        }
        let found = places(&rig, 0);
        let offline = found
            .iter()
            .find(|place| place["path"] == path.as_str())
            .unwrap();
        assert_eq!(offline["state"], "offline", "{found:#?}");
        let phone = &offline["phones"][0];
        assert_eq!(phone["name"], "Mira's iPhone", "{offline}");
        assert!(
            phone["newest"].is_string() && offline["seen"].is_string(),
            "{offline}"
        );
        let text = runs(&rig, &["list", "--everywhere"], 0).out;
        for words in ["offline since today", "Mira's iPhone: newest backup today"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    fs::remove_dir(&disk).unwrap();
    fs::rename(&away, &disk).unwrap();
    assert_eq!(places(&rig, 0).len(), here.len());
}

/// Checks that the memory of stores is private, and that damage to it stops nothing.
#[test]
fn damaged_memory_stops_nothing() {
    let rig = Rig::backed_up();
    runs(&rig, &["list"], 0);
    let home = rig.dir.path().join("home");
    let files = tree(&home);
    let file = files.keys().find(|name| name.ends_with("stores.json"));
    let file = home.join(file.unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let good = fs::read(&file).unwrap();
    for damage in [&b"{"[..], b"", b"\xff\xfe", &vec![b'['; 3 << 20]] {
        fs::write(&file, damage).unwrap();
        assert_eq!(places(&rig, 0).len(), 1);
        runs(&rig, &["list"], 0);
        assert_eq!(fs::read(&file).unwrap().len(), good.len());
    }
    // It cannot be written, and is not read either.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let ran = runs(&rig, &["list"], 0);
    assert!(ran.err.is_empty(), "{}", ran.err);
}

/// Checks that links to folders are followed, that a dead one is named, and that a folder with two
/// names is listed once.
#[test]
#[cfg(unix)]
fn links_to_folders_are_followed() {
    use std::os::unix::fs::symlink;
    let rig = Rig::backed_up();
    let finder = with_backup(&rig, FINDER);
    let moved = rig.dir.path().join("external disk");
    fs::rename(&finder, &moved).unwrap();
    symlink(&moved, &finder).unwrap();
    let linked = rig.dir.path().join("link to the store");
    symlink(rig.store.root(), &linked).unwrap();
    runs(&rig, &["list", "--store", linked.to_str().unwrap()], 0);
    let found = places(&rig, 0);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        of_program(&found, "Finder or iTunes")["backups"][0]["name"],
        "Mira's iPhone"
    );
    fs::rename(&moved, rig.dir.path().join("away")).unwrap();
    let found = places(&rig, 0);
    let finder = of_program(&found, "Finder or iTunes");
    assert_eq!(finder["state"], "offline");
    assert!(
        finder["why"].as_str().unwrap().contains("external disk"),
        "{finder}"
    );
}

/// Checks that a folder without permission is a problem that does not hide the others.
#[test]
#[cfg(target_os = "linux")]
fn folder_without_permission_is_a_problem() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::backed_up();
    let finder = with_backup(&rig, FINDER);
    let mode = |mode: u32| {
        fs::set_permissions(&finder, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o000);
    let mut command = crate::rig::program::without_root_privileges(&rig);
    let ran = ended(command.args(["list", "--everywhere"]));
    mode(0o700);
    assert_eq!(ran.code, 3, "{}", ran.all());
    assert!(ran.out.contains("Mira's iPhone"), "{}", ran.out);
    for words in ["ermission denied", "hint: run this as the user who owns"] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
}

/// Checks that a folder with very many backups is listed.
#[test]
fn thousands_of_folders_are_listed() {
    const COUNT: usize = 3000;
    let rig = Rig::backed_up();
    let finder = rig.dir.path().join("home").join(FINDER);
    for number in 0..COUNT {
        let folder = finder.join(format!("00008130-{number:016X}"));
        fs::create_dir_all(&folder).unwrap();
        for name in ["Info.plist", "Status.plist", "Manifest.plist"] {
            let from = rig.current().join(name);
            fs::hard_link(from, folder.join(name)).unwrap();
        }
    }
    let found = places(&rig, 0);
    let backups = of_program(&found, "Finder or iTunes")["backups"]
        .as_array()
        .unwrap();
    assert_eq!(backups.len(), COUNT);
}
