//! The environment of a command: variables, names of phones, other programs that it starts, and
//! files that it writes beside the store.

use std::fs;

use idev_backup::simulator::{Phone, PhoneConfig};

use crate::rig::program::{Ran, ended, program};
use crate::rig::{Rig, config};

const OTHER_UDID: &str = "00008110-001A2B3C4D5E002E";

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = ended(program(rig).args(args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

fn two_phones() -> Rig {
    let rig = Rig::new();
    let other = Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen iPad".into(),
        ..config()
    });
    rig.daemon.attach(other);
    rig
}

#[test]
fn mistaken_variables_are_refused_by_name() {
    let rig = Rig::backed_up();
    let with = |name: &str, value: &str, args: &[&str]| {
        let mut command = program(&rig);
        ended(command.env(name, value).args(args))
    };
    for (name, value, words) in [
        ("IDEV_BACKUP_RETENTION_KEEP_LST", "9", "KEEP_LAST?"),
        ("IDEV_BACKUP_STORE", "", "is empty"),
        ("IDEV_BACKUP_PASSWORD", "", "is empty"),
        ("IDEV_BACKUP_STORE", "backups", "not an absolute path"),
    ] {
        for args in [&["create"][..], &["list"], &["prune"], &["config", "check"]] {
            let ran = with(name, value, args);
            assert_eq!(ran.code, 2, "{name} {args:?}: {}", ran.all());
            for words in [words, name, "hint: "] {
                assert!(ran.err.contains(words), "{name} {args:?}: {}", ran.all());
            }
        }
        let ran = with(name, value, &["completions", "bash"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
    }
    let ran = with("IDEV_BACKUP_RETENTION_KEEP_LST", "9", &["doctor"]);
    assert!(ran.out.contains("KEEP_LST"), "{}", ran.all());
    assert_eq!(rig.phone.history().len(), 1);
}

#[test]
fn tilde_expands_to_home_folder() {
    let rig = Rig::new();
    let home = rig.dir.path().join("home");
    let folder = rig.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let run = |command: &mut std::process::Command| {
        let ran = ended(command.current_dir(&folder));
        assert_eq!(ran.code, 0, "{}", ran.all());
    };
    let mut by_option = program(&rig);
    by_option.args(["create", "-q", "--new-store", "--store", "~/one"]);
    run(&mut by_option);
    let mut by_variable = program(&rig);
    by_variable.env("IDEV_BACKUP_STORE", "~/two");
    run(by_variable.args(["create", "-q", "--new-store"]));
    let config = rig.dir.path().join("config.toml");
    fs::write(&config, "store = \"~/three\"\n").unwrap();
    let mut by_file = program(&rig);
    by_file.env_remove("IDEV_BACKUP_STORE");
    by_file.env("IDEV_BACKUP_CONFIG", &config);
    run(by_file.args(["create", "-q", "--new-store"]));
    for name in ["one", "two", "three"] {
        assert!(home.join(name).join(rig.udid().as_str()).is_dir(), "{name}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// Checks that a stopped daemon is an error even with `--if-present`. Nothing is known about phones
/// then, and a job must not seem to succeed.
#[test]
fn stopped_daemon_is_an_error() {
    let rig = Rig::new();
    let mut command = program(&rig);
    command.env("USBMUXD_SOCKET_ADDRESS", "127.0.0.1:1");
    let ran = ended(command.args(["create", "--all", "--if-present"]));
    assert_eq!(ran.code, 4, "{}", ran.all());
    assert!(ran.err.contains("USBMUXD_SOCKET_ADDRESS"), "{}", ran.all());
}

#[test]
fn phones_are_selected_by_name() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--device", "kitchen"], 0);
    runs(&rig, &["create", "-q", "--device", "Kitchen iPad"], 0);
    let list = runs(&rig, &["list", "--json"], 0).last_object();
    assert_eq!(list["phones"].as_array().unwrap().len(), 1);
    assert_eq!(list["phones"][0]["udid"], OTHER_UDID);
    runs(&rig, &["create", "-q", "--device", "Mira's iPhone"], 0);
    runs(&rig, &["info", "Kitchen iPad"], 0);
    runs(&rig, &["prune", "-d", "Kitchen", "--keep", "0"], 0);
    let ran = runs(&rig, &["create", "--device", "Garage"], 4);
    assert!(ran.err.contains("Garage"), "{}", ran.all());
    let third = Phone::new(PhoneConfig {
        udid: "00008110-001A2B3C4D5E003E".parse().unwrap(),
        name: "Kitchen iPhone".into(),
        ..config()
    });
    rig.daemon.attach(third);
    let ran = runs(&rig, &["create", "--device", "kitchen"], 4);
    for words in ["Kitchen iPad", "Kitchen iPhone", OTHER_UDID, "hint: "] {
        assert!(ran.err.contains(words), "{words}: {}", ran.all());
    }
}

#[test]
fn latest_respects_the_named_phone() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    let restore = |args: &[&str]| {
        let base = ["restore", "latest", "--dry-run", "--quick-check", "--json"];
        ended(program(&rig).args([&base[..], args].concat()))
    };
    for phone in [OTHER_UDID, "Kitchen"] {
        let ran = restore(&["--device", phone]);
        assert!(ran.out.contains(OTHER_UDID), "{}", ran.all());
        assert!(!ran.err.contains("matches 2 backups"), "{}", ran.all());
    }
    assert!(restore(&[]).err.contains("matches 2 backups"));
}

#[test]
fn list_check_fails_on_problems() {
    let rig = Rig::backed_up();
    runs(&rig, &["list", "--check"], 0);
    let overdue = ["list", "--check", "--overdue-after", "0s"];
    std::thread::sleep(std::time::Duration::from_millis(1100));
    runs(&rig, &overdue, 1);
    runs(&rig, &overdue[..1], 0);
    // A retired phone is not overdue until it is backed up again.
    let ran = runs(&rig, &["retire", "Mira's iPhone"], 0);
    assert!(ran.out.contains("is retired"), "{}", ran.all());
    let ran = runs(&rig, &overdue, 0);
    assert!(ran.out.contains("Retired since"), "{}", ran.all());
    let told = runs(&rig, &["list", "--json", "--overdue-after", "0s"], 0).last_object();
    assert_eq!(told["phones"][0]["overdue"], false);
    assert!(told["phones"][0]["retired"].is_string());
    let doctor = ended(program(&rig).args(["doctor", "--overdue-after", "0s"]));
    assert!(
        doctor.out.contains("the phone is retired"),
        "{}",
        doctor.all()
    );
    runs(&rig, &["retire", rig.udid().as_str(), "--undo"], 0);
    runs(&rig, &overdue, 1);
    runs(&rig, &["retire", rig.udid().as_str()], 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    runs(&rig, &["create", "-q"], 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    runs(&rig, &overdue, 1);
    // Damage of the newest backup counts, even if an older one is good.
    let victim = crate::rig::victim(&rig);
    fs::remove_file(rig.current().join(victim)).unwrap();
    runs(&rig, &["verify"], 1);
    runs(&rig, &["list", "--check"], 1);
    runs(&rig, &["retire", "nobody"], 1);
}

#[test]
fn existing_trace_is_not_overwritten() {
    let rig = Rig::new();
    let trace = rig.dir.path().join("run.trace");
    let create = ["create", "-q", "--trace", trace.to_str().unwrap()];
    runs(&rig, &create, 0);
    let before = fs::read(&trace).unwrap();
    let ran = runs(&rig, &create, 1);
    for words in ["is not replaced", "hint: name a new file with --trace"] {
        assert!(ran.err.contains(words), "{}", ran.all());
    }
    assert!(!before.is_empty() && fs::read(&trace).unwrap() == before);
    assert_eq!(rig.phone.history().len(), 1);
}

#[test]
#[cfg(unix)]
fn log_permissions_are_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let log = rig.dir.path().join("run.log");
    let mut command = std::process::Command::new("sh");
    for (key, value) in program(&rig).get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_idev-backup"));
    command.args(["create", "--log-file"]).arg(&log);
    assert_eq!(ended(&mut command).code, 0);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&log), 0o600);
    // The new file after a rotation has the same mode.
    fs::write(&log, vec![b'x'; 1_100_000]).unwrap();
    assert_eq!(ended(&mut command).code, 0);
    assert!(log.with_extension("log.1").exists());
    assert_eq!(mode(&log), 0o600);
}

/// Checks that no program that a command starts receives a secret. Substitutes for these programs
/// write down their environment.
#[test]
#[cfg(target_os = "linux")]
fn child_processes_get_no_secrets() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let bin = rig.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let noted = rig.dir.path().join("noted");
    for name in ["systemd-inhibit", "notify-send", "crontab"] {
        let script =
            format!("#!/bin/sh\n{{ echo program {name}; env; }} >>{noted:?}\ncat >/dev/null\n");
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let hook = format!("{{ echo program hook; env; }} >>{noted:?}");
    let password = format!("{{ echo program password-command; env; }} >>{noted:?}; echo word");
    let with_secrets = |args: &[&str]| {
        let mut command = program(&rig);
        command.env("PATH", &path);
        for secret in idev_backup::base::child::SECRETS {
            command.env(secret, "hunter2");
        }
        ended(command.args(args))
    };
    let create = ["create", "-q", "--notify", "--on-start", &hook];
    with_secrets(&[&create[..], &["--password-command", &password]].concat());
    with_secrets(&[
        "create",
        "-q",
        "--notify",
        "--on-failure",
        &hook,
        "--device",
        "nobody",
    ]);
    with_secrets(&["schedule", "add", "--daily", "22:00", "--with", "cron"]);
    let noted = fs::read_to_string(&noted).unwrap();
    for program in [
        "systemd-inhibit",
        "notify-send",
        "crontab",
        "hook",
        "password-command",
    ] {
        assert!(
            noted.contains(&format!("program {program}\n")),
            "{program}: {noted}"
        );
    }
    assert!(!noted.contains("hunter2"), "{noted}");
}

#[test]
#[cfg(unix)]
fn job_path_with_newline_is_refused() {
    let rig = Rig::new();
    let home = rig.dir.path().join("home\n* * * * * x");
    fs::create_dir(&home).unwrap();
    let mut command = program(&rig);
    command.env("HOME", &home).env("XDG_CONFIG_HOME", &home);
    let add = ["schedule", "add", "--daily", "22:00", "--with", "cron"];
    let ran = ended(command.args(add));
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains("control character"), "{}", ran.all());
    assert!(ran.err.contains("hint: "), "{}", ran.all());
}
