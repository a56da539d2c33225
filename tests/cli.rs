//! The built program, as users and scripts run it: exit codes, output on stdout and stderr, and
//! JSON.

use std::fs;
use std::path::Path;

use idev_backup::simulator::{Phone, PhoneConfig, Trust};
use serde_json::Value;

#[cfg(unix)]
use crate::rig::program::in_a_terminal;
use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

fn run(rig: &Rig, args: &[&str]) -> Ran {
    ended(program(rig).args(args))
}

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = run(rig, args);
    assert_eq!(ran.code, code, "{args:?}: {}\n{}", ran.out, ran.err);
    ran
}

fn suffer(rig: &Rig, spec: &str) {
    rig.phone.suffer(&[spec.parse().unwrap()]);
}

#[test]
fn errors_set_exit_code_and_hint() {
    let rig = Rig::backed_up();
    let table = [
        ("error:1", 1),
        ("missing-file", 1),
        ("name:../../etc/passwd", 1),
        ("error:208", 5),
        ("error:207", 6),
        ("claim-size:900000000000000000", 7),
        ("cut-at:779", 8),
        ("file-provider", 0),
    ];
    for (fault, code) in table {
        suffer(&rig, fault);
        let ran = run(&rig, &["create"]);
        assert_eq!(ran.code, code, "{fault}: {}", ran.err);
        if code == 0 {
            continue;
        }
        let (error, hint) = (ran.err.find("error: "), ran.err.find("  hint: "));
        assert!(error.is_some() && error < hint, "{fault}: {}", ran.err);
        assert!(ran.err.contains("untouched"), "{fault}: {}", ran.err);
        assert_eq!(ran.out, "", "{fault}");
        let ran = run(&rig, &["create", "--json"]);
        assert_eq!(ran.code, code, "{fault}: {}", ran.err);
        let last = ran.objects().pop().unwrap();
        assert_eq!(last["event"], "error", "{fault}");
        assert_eq!(last["exit_code"], code, "{fault}");
        assert!(last["hint"].is_string() && last["text"].is_string());
    }
}

#[test]
fn problems_set_exit_code_three() {
    let rig = Rig::backed_up();
    // Cut the connection when only the phone's last check and its verdict are left.
    suffer(&rig, "cut-at:787");
    let ran = runs(&rig, &["create"], 3);
    assert!(ran.err.contains("problem: "), "{}", ran.err);
    assert!(ran.out.contains("Done, with 1 problem"), "{}", ran.out);
    assert_whole(&rig.current());
    suffer(&rig, "cut-at:787");
    let ran = runs(&rig, &["create", "--quiet"], 3);
    assert!(ran.err.contains("problem: ") && ran.out.is_empty());
}

/// Checks that wrong usage exits with 2, and that the help of each command has an example.
#[test]
fn usage_errors_exit_with_two() {
    let rig = Rig::new();
    for args in [
        &["frobnicate"][..],
        &["create", "--frobnicate"],
        &["create", "--keep", "many"],
        &["create", "--device", " "],
        &["create", "--device", UDID, "--all"],
        &["create", "--patience", "1"],
        &[],
    ] {
        let ran = run(&rig, args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.is_empty());
    }
    for command in [
        "create", "devices", "doctor", "pair", "unpair", "list", "verify", "demo", "simulate",
    ] {
        let ran = runs(&rig, &[command, "--help"], 0);
        assert!(ran.out.contains("Example:"), "{}", ran.out);
    }
}

/// Checks that `-V` prints one line, and that `--version` adds what the program was built from.
#[test]
fn long_version_names_the_build() {
    let rig = Rig::new();
    let short = runs(&rig, &["-V"], 0).out;
    let expected = concat!("idev-backup ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(short, expected);
    let long = runs(&rig, &["--version"], 0).out;
    assert!(long.starts_with(&short), "{long}");
    let value = |name: &str| {
        let line = long.lines().find_map(|line| line.trim().strip_prefix(name));
        let value = line.map(str::trim).filter(|value| !value.is_empty());
        value
            .unwrap_or_else(|| panic!("no {name}: {long}"))
            .to_owned()
    };
    assert!(value("commit").starts_with("unknown") || value("commit").len() >= 12);
    assert!(value("target").contains(std::env::consts::ARCH), "{long}");
    let has_usb = cfg!(all(feature = "usb", not(target_os = "macos")));
    assert_eq!(value("features").contains("usb"), cfg!(feature = "usb"));
    assert!(value("SQLite").starts_with("3."), "{long}");
    assert_eq!(value("libusb").starts_with("1.0."), has_usb, "{long}");
    let verbose = runs(&rig, &["--version", "--verbose"], 0).out;
    assert_eq!(verbose, long);
}

/// Checks that commands exit with 4 if they find no phone or no daemon.
#[test]
fn missing_phone_exits_with_four() {
    let rig = Rig::new();
    rig.daemon.detach(rig.udid());
    for command in [
        &["create"][..],
        &["create", "--all"],
        &["pair"],
        &["unpair"],
        &["devices"],
    ] {
        let ran = runs(&rig, command, 4);
        assert!(
            ran.err.contains("no iPhone or iPad is connected"),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("hint: "), "{}", ran.err);
    }
    let ran = runs(&rig, &["create", "--device", OTHER_UDID], 4);
    assert!(ran.err.contains(OTHER_UDID), "{}", ran.err);
    let ran = runs(&rig, &["devices", "--json"], 4);
    assert_eq!(ran.objects().last().unwrap()["event"], "error");

    // No process listens on this port.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    for args in [
        &["create"][..],
        &["devices"],
        &["pair"],
        &["create", "--json"],
        &["devices", "--json"],
    ] {
        let mut command = program(&rig);
        command.env("USBMUXD_SOCKET_ADDRESS", &address).args(args);
        let ran = ended(&mut command);
        assert_eq!(ran.code, 4, "{args:?}: {}", ran.err);
        assert!(ran.err.contains("hint: "), "{}", ran.err);
        if args.contains(&"--json") {
            assert_eq!(ran.objects().last().unwrap()["event"], "error");
        }
    }
}

#[test]
fn json_lines_end_with_the_report() {
    let rig = Rig::new();
    for full in [true, false] {
        let ran = runs(&rig, &["create", "--json"], 0);
        let lines = ran.objects();
        for line in &lines {
            assert_eq!(line["version"], 1, "{line}");
            assert_eq!(line["udid"], UDID, "{line}");
            for field in ["event", "time"] {
                assert!(line[field].is_string(), "{line}");
            }
        }
        let (last, events) = lines.split_last().unwrap();
        assert_eq!(last["event"], "done");
        assert_eq!(last["full"], full);
        assert_eq!(last["path"], rig.current().display().to_string());
        assert!(last["files"].as_u64().unwrap() > 50);
        assert!(
            events
                .iter()
                .all(|e| e["event"] != "done" && e["time"].is_string())
        );
        assert!(events.iter().any(|e| e["event"] == "plan"));
        assert!(events.iter().any(|e| e["phase"] == "receiving"));
        assert_eq!(ran.err, "");
    }
    assert_whole(&rig.current());
}

#[test]
fn quiet_prints_nothing_on_success() {
    let rig = Rig::new();
    for args in [
        &["create", "--quiet"][..],
        &["create", "-q"],
        &["verify", "--quiet"],
    ] {
        let ran = runs(&rig, args, 0);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "{args:?}");
    }
    suffer(&rig, "error:208");
    let ran = runs(&rig, &["create", "--quiet"], 5);
    assert!(
        ran.out.is_empty() && ran.err.starts_with("error: "),
        "{}",
        ran.err
    );
}

/// Checks that the text output says what the backup contains, what it lacks, and which snapshots
/// are kept or dropped.
#[test]
fn text_output_summarizes_the_backup() {
    let rig = Rig::new();
    let ran = runs(&rig, &["create", "--no-apps", "--read-again"], 0);
    for words in [
        "Checked ",
        "Done in ",
        "Missing: ",
        "Photos",
        &rig.current().display().to_string(),
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    for words in [
        "Mira's iPhone (iPhone 15 Pro, iOS 18.6.2) -> ",
        "Everything, because",
        "Receiving",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let ran = runs(&rig, &["create", "--keep", "0"], 0);
    assert!(ran.err.contains("Changes only, since"), "{}", ran.err);
    assert!(ran.out.contains("1 dropped"), "{}", ran.out);
    let ran = runs(&rig, &["create", "--full"], 0);
    assert!(ran.err.contains("Everything, as requested"), "{}", ran.err);
    assert!(ran.out.contains("1 older snapshot"), "{}", ran.out);
}

#[test]
fn phones_are_listed_paired_and_forgotten() {
    let rig = Rig::new();
    let seen = |wanted: &[&str]| {
        let ran = runs(&rig, &["devices"], 0);
        for words in wanted {
            assert!(ran.out.contains(words), "{words}: {}", ran.out);
        }
    };
    seen(&[
        "Mira's iPhone",
        "iPhone 15 Pro",
        "18.6.2",
        "USB",
        "no",
        "never",
        UDID,
        "hint: run `idev-backup create`, which pairs first",
    ]);
    let ran = runs(&rig, &["pair"], 0);
    assert!(
        ran.out.contains("is now paired with this computer"),
        "{}",
        ran.out
    );
    let ran = runs(&rig, &["pair", "--device", UDID], 0);
    assert!(ran.out.contains("already"), "{}", ran.out);
    seen(&["yes", "off", "81 %"]);
    runs(&rig, &["create", "-q"], 0);
    seen(&["today"]);
    let json = runs(&rig, &["devices", "--json"], 0).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["version"], &json["event"]),
        (&1.into(), &"devices".into())
    );
    let device = &json["devices"][0];
    assert_eq!(device["udid"], UDID);
    assert_eq!(device["facts"]["name"], "Mira's iPhone");
    assert_eq!(
        (&device["paired"], &device["encrypted"]),
        (&true.into(), &false.into())
    );
    assert_eq!(device["battery"], 81);
    assert!(device["last_backup"].as_str().unwrap().ends_with('Z'));
    let ran = runs(&rig, &["unpair"], 0);
    assert!(
        ran.out.contains("now unpaired from this computer"),
        "{}",
        ran.out
    );
    runs(&rig, &["unpair"], 5);
    let json = runs(&rig, &["devices", "--json"], 0).out;
    assert!(json.contains("\"paired\":false"), "{json}");
}

#[test]
fn refused_trust_exits_with_five() {
    let rig = Rig::with(PhoneConfig {
        trust: Trust::Deny,
        ..config()
    });
    for args in [&["pair"][..], &["create"]] {
        let ran = runs(&rig, args, 5);
        assert!(ran.err.contains("Don't Trust"), "{}", ran.err);
        assert!(
            ran.err.contains("tap Trust and enter its passcode"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn verify_accepts_every_backup_name() {
    let rig = Rig::new();
    let ran = runs(&rig, &["list"], 0);
    assert!(ran.out.contains("holds no backups yet"), "{}", ran.out);
    let nothing: Value = serde_json::from_str(&runs(&rig, &["list", "--json"], 0).out).unwrap();
    assert_eq!(nothing["backups"], Value::Array(Vec::new()));
    runs(&rig, &["verify"], 1);
    rig.create();
    rig.create();
    let ran = runs(&rig, &["list"], 0);
    for words in ["Mira's iPhone", "current", "snapshot", "VERIFIED"] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let wide = runs(&rig, &["list", "--wide"], 0).out;
    assert!(
        wide.contains("iPhone 15 Pro") && wide.contains(UDID),
        "{wide}"
    );
    let json: Value = serde_json::from_str(&runs(&rig, &["list", "--json"], 0).out).unwrap();
    let backups = json["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    assert_eq!(
        (&backups[0]["current"], &backups[1]["current"]),
        (&true.into(), &false.into())
    );
    for backup in backups {
        assert_eq!(
            (&backup["complete"], &backup["ours"]),
            (&true.into(), &true.into())
        );
        assert!(backup["files"].as_u64().unwrap() > 50);
    }

    let archive = Path::new(backups[1]["path"].as_str().unwrap()).to_path_buf();
    let folder = archive.file_name().unwrap().to_str().unwrap().to_owned();
    let stamp = folder.strip_prefix(&format!("{UDID}-")).unwrap();
    let current = rig.current().display().to_string();
    for (name, path) in [
        (None, rig.current()),
        (Some("latest"), rig.current()),
        (Some(UDID), rig.current()),
        (Some(&UDID[..12]), rig.current()),
        (Some(current.as_str()), rig.current()),
        (Some(folder.as_str()), archive.clone()),
    ] {
        let mut args = vec!["verify", "--json"];
        args.extend(name);
        let ran = runs(&rig, &args, 0);
        let report = ran.objects().pop().unwrap();
        assert_eq!(report["event"], "verified", "{args:?}");
        assert_eq!(report["outcome"], "whole", "{args:?}");
        assert_eq!(report["path"], path.display().to_string(), "{args:?}");
        assert_eq!(report["hashed"], report["files"], "{args:?}");
    }
    // The newest backup may have the same time, which makes the name ambiguous.
    let ran = run(&rig, &["verify", stamp]);
    assert!(
        ran.code == 0 || ran.err.contains(" matches "),
        "{}",
        ran.err
    );
    let ran = runs(&rig, &["verify", "nobody"], 1);
    assert!(
        ran.err.contains("\"nobody\" is neither a folder"),
        "{}",
        ran.err
    );
    let ran = runs(&rig, &["verify", "--quick"], 0);
    assert!(
        ran.out.starts_with("NO DAMAGE FOUND ") && ran.out.contains("not read"),
        "{}",
        ran.out
    );

    let file = rig
        .phone
        .files()
        .find(|f| f.size() > 80_000)
        .unwrap()
        .file_id();
    fs::remove_file(rig.current().join(&file[..2]).join(&file)).unwrap();
    let ran = runs(&rig, &["verify"], 1);
    assert!(ran.out.starts_with("DAMAGED. 1 of "), "{}", ran.out);
    assert!(
        ran.out.contains("missing") && ran.out.contains(&file),
        "{}",
        ran.out
    );
    assert!(runs(&rig, &["verify", "-q"], 1).out.contains("DAMAGED"));
    fs::write(archive.join("stranger"), "x").unwrap();
    runs(&rig, &["verify", &folder], 3);
}

/// Checks that `create` with several phones names them and needs `--device` or `--all`, and that a
/// failure of one phone does not affect the others.
#[test]
fn multiple_phones_require_a_choice() {
    let rig = Rig::new();
    let other = Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen iPad".into(),
        ..config()
    });
    rig.daemon.attach(other.clone());
    let ran = runs(&rig, &["create"], 4);
    for words in [
        "2 phones are connected",
        "Mira's iPhone",
        "Kitchen iPad",
        UDID,
        OTHER_UDID,
        "--all",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    // The variable names a phone for every command that takes one, and --all overrides it.
    let mut all = program(&rig);
    all.args(["create", "--all"]);
    let ran = ended(all.env("IDEV_BACKUP_DEVICE", UDID));
    assert_eq!(ran.code, 0, "{}", ran.all());
    for phone in ["Mira's iPhone", "Kitchen iPad"] {
        let (plan, done) = (
            format!("{phone}: iPhone 15 Pro, iOS "),
            format!("{phone}: backed up in "),
        );
        assert!(ran.err.contains(&plan), "{}", ran.err);
        assert!(ran.out.contains(&done), "{}", ran.out);
    }
    runs(&rig, &["create", "--device", OTHER_UDID], 0);
    assert_eq!((rig.phone.history().len(), other.history().len()), (1, 2));

    // If one phone fails, the other is still backed up, and the failure decides the exit code.
    suffer(&rig, "error:208");
    let ran = runs(&rig, &["create", "--all", "--json"], 5);
    let ends: Vec<_> = ran
        .objects()
        .into_iter()
        .filter(|l| l["event"] == "done" || l["event"] == "error")
        .collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(other.history().len(), 3);
    assert!(rig.listed().iter().filter(|b| b.current).count() == 2);
}

#[test]
fn default_store_uses_platform_data_folder() {
    let rig = Rig::new();
    let mut command = program(&rig);
    command
        .env_remove("IDEV_BACKUP_STORE")
        .args(["create", "-q"]);
    assert_eq!(ended(&mut command).code, 1);
    assert_eq!(ended(command.arg("--new-store")).code, 0);
    let home = rig.dir.path().join("home");
    let places = [
        "data",
        "local",
        "Library/Application Support",
        ".local/share",
    ];
    let kept = |place: &&&str| home.join(place).join("idev-backup").join(UDID).is_dir();
    assert_eq!(
        places.iter().filter(kept).count(),
        1,
        "{:?}",
        tree(&home).keys().take(20)
    );
    assert!(rig.listed().is_empty());
}

/// Checks that the demo needs neither a phone nor a daemon, and leaves no temporary files.
#[test]
fn demo_leaves_no_files() {
    let rig = Rig::new();
    let temporary = rig.dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = program(&rig);
    for key in ["TMPDIR", "TMP", "TEMP"] {
        command.env(key, &temporary);
    }
    command.env("USBMUXD_SOCKET_ADDRESS", "127.0.0.1:1");
    let ran = ended(command.arg("demo"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("WHOLE. "), "{}", ran.out);
    assert!(tree(&temporary).is_empty());
}

/// Checks that a word which cannot be a file's name is never taken for one: a mistyped backup ends
/// the command, and the files of the current backup are not given instead.
#[test]
fn mistyped_backup_is_an_error() {
    let rig = Rig::new();
    rig.create();
    let out = rig.dir.path().join("out");
    let to = out.to_str().unwrap();
    for backup in [
        "/no/such/backup",
        "./backup",
        "2001-02-03",
        "Nadia@2001-02-03",
    ] {
        let ran = runs(&rig, &["extract", backup, "*.HEIC", "--to", to], 1);
        assert!(
            ran.err.contains("neither a folder") && !out.exists(),
            "{}",
            ran.err
        );
        runs(&rig, &["find", backup, "*.HEIC"], 1);
        runs(&rig, &["find", backup], 1);
    }
    // Without a backup's name, the first word says what is wanted of the current one.
    for (short, long) in [
        (&["find", "*.HEIC"][..], &["find", "latest", "*.HEIC"][..]),
        (&["ls", "HomeDomain"], &["ls", "latest", "HomeDomain"]),
        (&["info"], &["info", "latest"]),
        (&["usage"], &["usage", "latest"]),
        (&["tree"], &["tree", "latest"]),
    ] {
        let ran = runs(&rig, short, 0);
        assert_eq!(ran.out, runs(&rig, long, 0).out, "{short:?}");
        assert!(!ran.out.is_empty(), "{short:?}");
    }
}

/// Checks that a narrow terminal gets reports wrapped between words, and JSON in one line.
#[test]
#[cfg(unix)]
fn terminal_wraps_reports_and_not_data() {
    let rig = Rig::new();
    rig.create();
    let (code, shown) = in_a_terminal(program(&rig).arg("info"), 60);
    assert_eq!(code, 0, "{shown}");
    let folder = rig.current().display().to_string();
    let prose = shown.lines().filter(|line| !line.contains(&folder));
    for line in prose {
        assert!(line.chars().count() <= 60, "{line}");
    }
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let piped = runs(&rig, &["info"], 0).out;
    assert_eq!(words(&shown), words(&piped));
    assert!(shown.lines().count() > piped.lines().count(), "{shown}");
    let (_, json) = in_a_terminal(program(&rig).args(["info", "--json"]), 60);
    for line in json.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

/// Checks that the table of `list` fits 80 columns with everything that it can show, and that a
/// terminal that is too narrow for it gets a block for each backup with the whole name.
#[test]
#[cfg(unix)]
fn list_fits_its_terminal() {
    let rig = Rig::new();
    rig.create();
    rig.create();
    runs(&rig, &["pin", "latest"], 0);
    runs(&rig, &["verify"], 0);
    for (columns, is_table) in [(120, true), (80, true), (40, false)] {
        let (code, shown) = in_a_terminal(program(&rig).arg("list"), columns);
        assert_eq!(code, 0, "{shown}");
        let table = shown.lines().take_while(|line| line.contains("  "));
        assert_eq!(table.count() == 3, is_table, "{shown}");
        assert_eq!(shown.starts_with("NAME "), is_table, "{shown}");
        assert!(is_table || !shown.contains('…'), "{shown}");
        for line in shown.lines().take(3) {
            assert!(line.chars().count() <= usize::from(columns), "{line}");
        }
    }
}

/// Checks that a terminal of 40 columns without UTF-8 gets progress in ASCII, and that no number
/// there loses its unit.
#[test]
#[cfg(target_os = "linux")]
fn narrow_ascii_terminal_shows_whole_numbers() {
    use idev_backup::simulator::Content;
    let rig = Rig::with(PhoneConfig {
        content: Content {
            small: 2000,
            bulk: 6,
            bulk_size: 30 << 20,
            ..small()
        },
        ..config()
    });
    let mut command = program(&rig);
    command.args(["create", "--new-store"]).env("LANG", "C");
    command.env_remove("LC_ALL").env_remove("LC_CTYPE");
    let (code, shown) = in_a_terminal(&mut command, 40);
    assert_eq!(code, 0, "{shown}");
    let strange: Vec<&str> = shown.lines().filter(|line| !line.is_ascii()).collect();
    assert!(strange.is_empty(), "{strange:?}");
    // A line of progress is drawn over the one before.
    let drawn = shown
        .split(['\r', '\n'])
        .filter(|line| line.contains("Receiving  "));
    let mut count = 0;
    for line in drawn {
        let line = console::strip_ansi_codes(line);
        let line = line.trim_end();
        assert!(line.chars().count() <= 40, "{line:?}");
        if line.contains('%') {
            let ends = ["%", "MB", "GB", "KB", "bytes", "left", "files", "/s"];
            assert!(ends.iter().any(|end| line.ends_with(end)), "{line:?}");
            count += 1;
        }
    }
    assert!(count > 0, "{shown:?}");
}
