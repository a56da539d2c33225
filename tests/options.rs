//! Options that all commands share, and refusals of command lines: one name for one thing,
//! `--quiet` everywhere, and errors as JSON where `--json` asks for it.

use std::fs;
#[cfg(unix)]
use std::io::{BufRead, BufReader};
#[cfg(unix)]
use std::process::{Command, Stdio};

use idev_backup::simulator::{Phone, PhoneConfig};
use serde_json::Value;

use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

fn run(rig: &Rig, args: &[&str]) -> Ran {
    ended(program(rig).args(args))
}

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = run(rig, args);
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

/// Checks that `-q` leaves out reports of every kind, and prints problems and requested data.
#[test]
fn quiet_prints_only_problems_and_data() {
    let rig = Rig::backed_up();
    for args in [
        &["list"][..],
        &["list", "--wide", "--sizes"],
        &["info"],
        &["usage"],
        &["devices"],
        &["pair"],
        &["prune", "-n"],
        &["pin", "latest"],
        &["tag", "latest", "before iOS 27"],
        &["retire", "Mira"],
        &["retire", "Mira", "--undo"],
        &["encryption", "status"],
        &["encryption", "check", "latest"],
        &["schedule", "list"],
        &["config", "check"],
        &["restore", "latest", "--rehearse"],
    ] {
        let ran = runs(&rig, &[args, &["-q"]].concat(), 0);
        assert_eq!((&*ran.out, &*ran.err), ("", ""), "{args:?}");
    }
    for (args, words) in [
        (&["ls", "latest"][..], "HomeDomain"),
        (&["find", "latest", "*.db"], "sms.db"),
        (&["tree", "latest", "HomeDomain"], "Library"),
        (&["config", "path"], "config.toml"),
        (&["config", "show"], "retention.keep-last"),
        (&["doctor", "explain", "105"], "105"),
        (&["list", "--overdue-after", "0s"], "Mira's iPhone: OVERDUE"),
        (&["completions", "bash"], "idev-backup"),
    ] {
        let ran = runs(&rig, &[&["-q"][..], args].concat(), 0);
        assert!(ran.out.contains(words), "{args:?}: {}", ran.all());
    }
    let ran = run(&rig, &["doctor", "-q", "--overdue-after", "0s"]);
    let first = ran.out.lines().next().unwrap();
    assert!(
        first.starts_with("warning") || first.starts_with("problem"),
        "{}",
        ran.out
    );
    let ran = runs(&rig, &["list", "-q", "--json"], 0);
    assert_eq!(ran.last_object()["event"], "backups");
}

/// Checks that wrong usage of every kind gives the documented error object with `--json`.
#[test]
fn wrong_usage_is_json_too() {
    let rig = Rig::backed_up();
    let config = rig.dir.path().join("wrong.toml");
    fs::write(&config, "[creat]\nfull = true\n").unwrap();
    let config = config.to_str().unwrap();
    let no_variables: &[(&str, &str)] = &[];
    for (variables, args, text, hint) in [
        (
            no_variables,
            &["list", "--json", "--jsom"][..],
            "--jsom",
            "--json",
        ),
        (no_variables, &["createe", "--json"], "createe", "`create`"),
        (
            no_variables,
            &["create", "--keep-last", "x", "--json"],
            "--keep-last",
            "",
        ),
        (no_variables, &["extract", "--json"], "--to <DIR>", ""),
        (
            no_variables,
            &["create", "--all", "--device", "Mira", "--json"],
            "--all",
            "",
        ),
        (
            no_variables,
            &["list", "--json", "--config", config],
            "creat",
            "[create]",
        ),
        (
            &[("IDEV_BACKUP_STORE", "")],
            &["list", "--json"],
            "IDEV_BACKUP_STORE",
            "unset",
        ),
        (
            &[("IDEV_BACKUP_CREATE_FULL", "yes")],
            &["create", "--json"],
            "yes",
            "IDEV_BACKUP_CREATE_FULL",
        ),
        (
            no_variables,
            &[
                "encryption",
                "change",
                "--password-file",
                "-",
                "--new-password-file",
                "-",
                "--json",
            ],
            "standard input",
            "",
        ),
        (
            no_variables,
            &[
                "schedule", "add", "--daily", "22:00", "--json", "--", "--bogus",
            ],
            "--bogus",
            "",
        ),
    ] {
        let mut command = program(&rig);
        let ran = ended(command.envs(variables.iter().copied()).args(args));
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.all());
        let error = ran.last_object();
        assert_eq!(
            (&error["event"], &error["exit_code"]),
            (&"error".into(), &2.into())
        );
        let said = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        assert!(said("text").contains(text), "{args:?}: {error}");
        assert!(!said("text").starts_with("error"), "{error}");
        assert!(said("hint").contains(hint), "{args:?}: {error}");
        assert!(ran.err.contains("error: "), "{}", ran.err);
    }
    // Without --json, nothing goes to stdout.
    assert_eq!(runs(&rig, &["list", "--bogus"], 2).out, "");
}

/// Checks that a typing mistake gets the most similar command, and a folder where a backup is
/// expected the right command line.
#[test]
fn mistakes_get_the_nearest_advice() {
    let rig = Rig::backed_up();
    let pictures = rig.dir.path().join("Pictures");
    fs::create_dir(&pictures).unwrap();
    let pictures = pictures.to_str().unwrap();
    let to = format!("`idev-backup export photos --to {pictures}`");
    for (args, hint) in [
        (&["createe"][..], "did you mean `create`?"),
        (&["verfy"], "did you mean `verify`?"),
        (&["encryption", "onn"], "did you mean `on`?"),
        (&["encryption", "xyz"], "`idev-backup encryption --help`"),
        (&["messages"], "`idev-backup export messages"),
        (&["export", "photos", pictures], &to),
        (&["extract", "./out"], "`idev-backup extract --to ./out`"),
    ] {
        let ran = runs(&rig, args, 2);
        let hints: Vec<&str> = ran.err.lines().filter(|l| l.contains("hint: ")).collect();
        assert!(
            hints.len() == 1 && hints[0].contains(hint),
            "{args:?}: {}",
            ran.err
        );
    }
    // A backup or a pattern is not taken for the folder.
    for word in ["latest", "HomeDomain/**", rig.current().to_str().unwrap()] {
        let ran = runs(&rig, &["extract", word], 2);
        assert!(
            ran.err.contains("--to <DIR>") && !ran.err.contains("hint: "),
            "{}",
            ran.err
        );
    }
}

/// Checks that the former names of a key and of its variable still set `overdue-after`.
#[test]
fn former_key_and_variable_are_accepted() {
    let rig = Rig::backed_up();
    let key = |variables: &[(&str, &str)]| -> Value {
        let mut command = program(&rig);
        command.envs(variables.iter().copied());
        let shown = ended(command.args(["config", "show", "--json"])).last_object();
        let keys = shown["keys"].as_array().unwrap();
        keys.iter()
            .find(|k| k["key"] == "overdue-after")
            .unwrap()
            .clone()
    };
    assert_eq!(key(&[])["from"], "default");
    let folder = rig.dir.path().join("home/config/idev-backup");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("config.toml"),
        "[watch]\noverdue-after = \"0s\"\n",
    )
    .unwrap();
    assert_eq!(key(&[])["value"], "0s");
    assert!(runs(&rig, &["list"], 0).out.contains("OVERDUE"));
    let former = [("IDEV_BACKUP_WATCH_OVERDUE_AFTER", "9d")];
    let set = key(&former);
    assert_eq!(
        (&set["value"], &set["from"]),
        (&"9d".into(), &"environment".into())
    );
    let both = [former[0], ("IDEV_BACKUP_OVERDUE_AFTER", "8d")];
    assert_eq!(key(&both)["value"], "8d");
    let mut command = program(&rig);
    let ran = ended(command.envs(former).arg("list"));
    assert!(!ran.out.contains("OVERDUE"), "{}", ran.out);
    let mut command = program(&rig);
    command.env("IDEV_BACKUP_WATCH_OVERDUE_AFTER", "9 hours");
    let ran = ended(command.arg("list"));
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(
        ran.err.contains("IDEV_BACKUP_WATCH_OVERDUE_AFTER"),
        "{}",
        ran.err
    );
}

/// Checks that each variable with a value of the wrong kind or unit is named.
#[test]
fn wrong_values_of_variables_are_named() {
    let rig = Rig::backed_up();
    let mut named = 0;
    for command in ["create", "watch", "prune", "list"] {
        let help = runs(&rig, &[command, "--help"], 0).out;
        let variables = help.split("[env: ").skip(1);
        for variable in variables.map(|rest| rest.split(['=', ']']).next().unwrap().to_owned()) {
            let takes_any_text = [
                "HOOKS_ON_",
                "STORE",
                "CONFIG",
                "LOG_FILE",
                "DEVICE",
                "PUSH_IF",
            ]
            .iter()
            .any(|part| variable.contains(part));
            if takes_any_text {
                continue;
            }
            // None of these is a number, a duration with a known unit, a flag, hours or a word of
            // a list.
            let mut program = program(&rig);
            let ran = ended(program.env(&variable, "7 parsecs").arg(command));
            assert_eq!(ran.code, 2, "{variable}: {}", ran.all());
            assert!(ran.err.contains(&variable), "{variable}: {}", ran.err);
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

/// Checks that a time in the place of a job's name leads to the option for it.
#[test]
fn time_without_its_option_is_explained() {
    let rig = Rig::new();
    let ran = runs(&rig, &["schedule", "add", "22:00"], 2);
    let hint = "hint: run `idev-backup schedule add --daily 22:00`";
    assert!(ran.err.contains(hint), "{}", ran.err);
    let ran = runs(&rig, &["schedule", "add", "night!", "--daily", "22:00"], 2);
    assert!(!ran.err.contains("hint: run"), "{}", ran.err);
}

/// Checks that commands which need a backup name the next step in a store without one.
#[test]
fn empty_store_leads_to_create() {
    let rig = Rig::new();
    runs(&rig, &["create", "--new-store", "-q"], 0);
    runs(&rig, &["delete", "latest", "--yes"], 0);
    for args in [
        &["verify"][..],
        &["info", "latest"],
        &["restore", "latest", "-n"],
    ] {
        let ran = runs(&rig, args, 1);
        assert!(
            ran.err.contains("holds no backups yet"),
            "{args:?}: {}",
            ran.err
        );
        assert!(
            ran.err.contains("`idev-backup create`"),
            "{args:?}: {}",
            ran.err
        );
    }
}

/// Returns a rig with two connected phones.
fn two_phones() -> Rig {
    let rig = Rig::new();
    rig.daemon.attach(Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen iPad".into(),
        ..config()
    }));
    rig
}

/// Checks that `--device` selects the phone whose backup a command takes, in a store of two phones.
#[test]
fn device_selects_backups_of_one_phone() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    let to = rig.dir.path().join("to");
    let to = to.to_str().unwrap();
    let copies = rig.dir.path().join("copies");
    let copies = copies.to_str().unwrap();
    let commands = [
        &["info"][..],
        &["info", "latest"],
        &["usage"],
        &["verify", "--quick"],
        &["ls", "HomeDomain"],
        &["find", "latest", "*.db"],
        &["tree", "latest", "HomeDomain"],
        &["diff", "latest", "latest"],
        &["tag", "latest", "before iOS 27"],
        &["pin", "latest"],
        &["unpin", "latest"],
        &["encryption", "check", "latest"],
        &["extract", "*.db", "--to", to],
        &["copy", "latest", copies, "--new-store"],
    ];
    for args in commands {
        let ran = runs(&rig, args, 1);
        assert!(ran.err.contains("Kitchen iPad"), "{args:?}: {}", ran.err);
    }
    for args in commands {
        let ran = ended(program(&rig).args(args).args(["-d", "Kitch"]));
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.all());
    }
    let ran = runs(&rig, &["info", "-d", "Kitch", "--json"], 0);
    assert_eq!(ran.last_object()["udid"], OTHER_UDID);
    let stamp = rig.store.snapshots().unwrap()[0].stamp().unwrap();
    let ran = runs(&rig, &["info", &stamp[..8], "-d", "Mira", "--json"], 0);
    assert_eq!(ran.last_object()["udid"], UDID);
    // Only that phone is listed and checked.
    runs(&rig, &["retire", "Mira"], 0);
    let ran = runs(&rig, &["list", "-d", "Kitchen"], 0);
    assert!(!ran.out.contains("Mira"), "{}", ran.out);
    let overdue = ["list", "--check", "--overdue-after", "0s", "-q"];
    runs(&rig, &[&overdue[..], &["-d", "Mira"]].concat(), 0);
    runs(&rig, &[&overdue[..], &["-d", "Kitchen"]].concat(), 1);
}

/// Checks that `--device` is refused where it contradicts the backup, or no phone has the name.
#[test]
fn device_refuses_other_backups() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    let folder = rig.current();
    for (args, words) in [
        (
            &["info", "Kitchen", "-d", "Mira"][..],
            "of \"Mira\" in the store",
        ),
        (
            &["info", folder.to_str().unwrap(), "-d", "Mira"],
            "leave out --device",
        ),
        (
            &["info", "-d", "Nobody"],
            "holds no backup of a phone Nobody",
        ),
        (
            &["list", "-d", "Nobody"],
            "holds no backup of a phone Nobody",
        ),
        (&["list", "-d", "0000"], "matches 2 phones"),
    ] {
        let ran = runs(&rig, args, 1);
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
    }
    runs(&rig, &["verify", "--all", "-d", "Mira"], 2);
}

/// Checks that `simulate` says what it serves, and removes its socket when a signal ends it.
#[test]
#[cfg(unix)]
fn simulate_removes_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("phone.sock");
    for (signal, quiet) in [("TERM", &[][..]), ("INT", &["-q"])] {
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_idev-backup"))
            .args(["simulate", "--listen", socket.to_str().unwrap()])
            .args(quiet)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut out = BufReader::new(simulate.stdout.take().unwrap());
        out.read_line(&mut address).unwrap();
        assert!(
            address.starts_with("USBMUXD_SOCKET_ADDRESS=UNIX:"),
            "{address}"
        );
        if quiet.is_empty() {
            let mut said = String::new();
            let mut err = BufReader::new(simulate.stderr.take().unwrap());
            err.read_line(&mut said).unwrap();
            assert!(said.contains("1 simulated phone"), "{said}");
        }
        assert!(socket.exists());
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), &simulate.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(simulate.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!socket.exists(), "{signal}");
    }
}
