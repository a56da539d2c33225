//! `restore` as people and scripts run it: its prompts, its messages and its exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use idev_backup::base::progress::Silent;
use idev_backup::history::change;
use idev_backup::restore::Error;
use idev_backup::restore::{self};
use idev_backup::simulator::{Phone, PhoneConfig};
use idev_backup::store;
use idev_backup::verify::{self, Depth};
use serde_json::Value;

use crate::advice::failure::Failure;
use crate::advice::hints;
use crate::rig::program::{Ran, ended, program};
use crate::rig::{self, *};
use idev_backup::backup;

/// Returns the configuration of a phone that restarts immediately.
fn plain() -> PhoneConfig {
    PhoneConfig {
        restart: Duration::ZERO,
        ..config()
    }
}

/// Creates a rig with a backup in its store and the phone that the backup was made of.
fn backed_up() -> Rig {
    let rig = Rig::with(plain());
    rig.try_create(&rig::options(), &Silent).unwrap();
    rig
}

fn runs(rig: &Rig, args: &[&str]) -> Ran {
    ended(program(rig).arg("restore").args(args))
}

fn other_phone() -> std::sync::Arc<Phone> {
    Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Somebody's iPhone".into(),
        ..plain()
    })
}

/// Checks that `--yes` restores to a phone other than the backup's only if `--device` on the
/// command line names it. The environment and the configuration file do not count.
#[test]
fn different_phone_requires_device_option() {
    let mut rig = backed_up();
    let folder = rig.dir.path().join("old backup");
    copy_dir(&rig.current(), &folder);
    let other = other_phone();
    rig.connect(other.clone());
    let ran = runs(&rig, &["latest", "--yes", "--quick-check"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    for word in [UDID, OTHER_UDID, "Somebody's iPhone", "--device"] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
    assert!(other.restores().is_empty());
    // Without Info.plist, Manifest.plist identifies the phone.
    fs::remove_file(folder.join("Info.plist")).unwrap();
    let ran = runs(&rig, &[folder.to_str().unwrap(), "--yes", "--quick-check"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("is not the phone"), "{}", ran.err);
    // It is also refused if the backup does not identify its phone.
    let manifest = folder.join("Manifest.plist");
    let mut fields = plist::Value::from_file(&manifest).unwrap();
    fields.as_dictionary_mut().unwrap().remove("Lockdown");
    fs::remove_file(&manifest).unwrap();
    fields.to_file_binary(&manifest).unwrap();
    let ran = runs(&rig, &[folder.to_str().unwrap(), "--yes", "--quick-check"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("does not say which phone"), "{}", ran.err);
    assert!(other.restores().is_empty());

    // A device that is set for all commands does not count.
    let mut command = program(&rig);
    command.args(["restore", "latest", "--yes", "--quick-check"]);
    let ran = ended(command.env("IDEV_BACKUP_DEVICE", OTHER_UDID));
    assert_eq!(ran.code, 1, "{}", ran.err);
    let config = rig.dir.path().join("config.toml");
    fs::write(&config, format!("device = \"{OTHER_UDID}\"\n")).unwrap();
    let config = [
        "latest",
        "--yes",
        "--quick-check",
        "--config",
        config.to_str().unwrap(),
    ];
    let ran = runs(&rig, &config);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(other.restores().is_empty());

    let named = ["latest", "--yes", "--quick-check", "--device", OTHER_UDID];
    let ran = runs(&rig, &named);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("warning: Somebody's iPhone") && ran.err.contains("is not the phone"),
        "{}",
        ran.err
    );
    assert_eq!(other.restores().len(), 1);
}

#[test]
fn json_report_includes_warnings() {
    let mut rig = backed_up();
    rig.connect(other_phone());
    let args = ["latest", "--yes", "--quick-check", "--json", "--device"];
    let ran = runs(&rig, &[&args[..], &[OTHER_UDID]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines = ran.object("restored")["lines"].clone();
    let line = |topic: &str| {
        let mut lines = lines.as_array().unwrap().iter();
        lines.find(|line| line["topic"] == topic).cloned().unwrap()
    };
    assert_eq!(line("phone")["level"], "warning");
    assert_eq!(line("encryption")["level"], "warning");
    assert_eq!(line("find_my")["level"], "ok");
}

/// Runs the program at a terminal where this is typed. Returns the exit code and the output, or
/// `None` if no terminal is available.
fn at_a_terminal(rig: &Rig, args: &str, typed: &Path) -> Option<(i32, String)> {
    let words = format!("{} restore {args}", env!("CARGO_BIN_EXE_idev-backup"));
    let mut command = program(rig);
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &words, "/dev/null"])
        .stdin(fs::File::open(typed).unwrap());
    for (name, value) in command.stdin(Stdio::null()).get_envs() {
        if let Some(value) = value {
            terminal.env(name, value);
        }
    }
    let is_there = cfg!(target_os = "linux")
        && Command::new("script")
            .arg("--version")
            .output()
            .is_ok_and(|ran| ran.status.success());
    if !is_there {
        eprintln!("skipped: no terminal is available");
        return None;
    }
    let ran = terminal.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    Some((ran.status.code().unwrap(), said))
}

/// Checks that every answer but `yes` ends with exit code 1, and that nothing is restored.
#[test]
fn declined_confirmation_restores_nothing() {
    let rig = backed_up();
    let typed = rig.dir.path().join("typed");
    for answer in ["no\n", "\n", "y\n"] {
        fs::write(&typed, answer).unwrap();
        let Some((code, said)) = at_a_terminal(&rig, "latest --quick-check --json", &typed) else {
            return;
        };
        assert_eq!(code, 1, "{answer:?}: {said}");
        assert!(said.contains("\"exit_code\":1}"), "{answer:?}: {said}");
    }
    fs::write(&typed, "no\n").unwrap();
    let Some((code, said)) = at_a_terminal(&rig, "latest --quick-check", &typed) else {
        return;
    };
    assert_eq!(code, 1, "{said}");
    assert!(said.trim_end().ends_with("Nothing was restored."), "{said}");
    assert!(!said.contains("interrupted"), "{said}");
    assert!(rig.phone.restores().is_empty());
    fs::write(&typed, "yes\n").unwrap();
    let Some((code, said)) = at_a_terminal(&rig, "latest --quick-check", &typed) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    assert_eq!(rig.phone.restores().len(), 1);
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Checks that the lock on the backup lasts until the caller releases it, not just until the
/// restore ends.
#[test]
fn hold_outlives_the_restore() {
    let rig = backed_up();
    let busy = || matches!(rig.store.lock(rig.udid()), Err(store::Error::Busy { .. }));
    let held = restore::hold(&rig.current()).unwrap();
    let options = restore::Options {
        depth: Depth::Quick,
        ..restore::Options::default()
    };
    let (connector, phone) = (rig.connector(), rig.attached());
    let folder = rig.current();
    restore::restore(&held, &connector, &phone, &folder, &options, &Silent).unwrap();
    assert!(busy());
    drop(held);
    assert!(!busy());
}

/// Checks that a rehearsal with `--quick-check` does not claim to have checked any contents, and
/// that recorded damage is always mentioned.
#[test]
fn quick_rehearsal_claims_no_contents() {
    let rig = backed_up();
    let quick = ["latest", "--rehearse", "--quick-check"];
    let ran = runs(&rig, &quick);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("was not checked"), "{}", ran.out);
    assert!(!ran.out.contains("received every byte"), "{}", ran.out);

    let file = rig.current().join(victim(&rig));
    flip(&file);
    let report = verify::verify(&rig.current(), &verify::Options::bytes(), &Silent);
    change::record(&report.unwrap(), &Silent);
    let ran = runs(&rig, &quick);
    assert_eq!(ran.code, 1, "{} {}", ran.out, ran.err);
    assert!(
        ran.err.contains("found this backup damaged") && ran.err.contains("--quick-check"),
        "{}",
        ran.err
    );
    let ran = runs(&rig, &[&quick[..], &["--force"]].concat());
    assert_eq!(ran.code, 3, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("found this backup damaged"), "{}", ran.out);
    // The warning always appears: in a quiet run, in a real one and in a dry run.
    let ran = runs(&rig, &[&quick[..], &["--force", "--quiet"]].concat());
    assert_eq!(ran.code, 3, "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("found this backup damaged"), "{}", ran.err);
    for (how, code) in [("--yes", 1), ("--dry-run", 1)] {
        let ran = runs(&rig, &["latest", "--quick-check", how]);
        assert_eq!(ran.code, code, "{how}: {}", ran.all());
        let all = ran.all();
        assert!(all.contains("found this backup damaged"), "{how}: {all}");
    }
    assert!(rig.phone.restores().is_empty());
}

/// Checks that the backup stays locked while the password is requested.
#[cfg(unix)]
#[test]
fn password_prompt_holds_the_lock() {
    const PASSWORD: &str = "correct horse";
    let rig = Rig::with(PhoneConfig {
        backup_password: Some(idev_backup::simulator::Password::new(PASSWORD)),
        key_rounds: 10,
        ..plain()
    });
    rig.try_create(&rig::options(), &Silent).unwrap();
    let asked = rig.dir.path().join("asked");
    let question = format!("touch {}; sleep 1; echo {PASSWORD}", asked.display());
    let mut command = program(&rig);
    command.args([
        "restore",
        "latest",
        "--yes",
        "--no-reboot",
        "--password-command",
    ]);
    let run = std::thread::spawn(move || ended(command.arg(question)));
    while !asked.exists() && !run.is_finished() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let taken = rig.store.lock(rig.udid());
    assert!(matches!(taken, Err(store::Error::Busy { .. })), "{taken:?}");
    let ran = run.join().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// Checks that a rehearsal simulates the model that Manifest.plist names if Info.plist does not
/// name one.
#[test]
fn rehearsal_reads_model_from_manifest() {
    let rig = Rig::with(PhoneConfig {
        model: "iPad14,1".into(),
        ..plain()
    });
    rig.try_create(&rig::options(), &Silent).unwrap();
    let folder = rig.dir.path().join(UDID);
    copy_dir(&rig.current(), &folder);
    let info = folder.join("Info.plist");
    let mut fields: plist::Dictionary = plist::from_file(&info).unwrap();
    fields.remove("Product Type").unwrap();
    plist::to_file_xml(&info, &fields).unwrap();
    let ran = runs(&rig, &[folder.to_str().unwrap(), "--rehearse", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(
        ran.object("rehearsed")["source"]["product_type"],
        "iPad14,1"
    );
}

/// Checks that a rehearsal ignores the device in the environment, and refuses `--device` and
/// `--trace`.
#[test]
fn rehearsal_ignores_device_setting() {
    let rig = backed_up();
    let mut command = program(&rig);
    command.args(["restore", "latest", "--rehearse"]);
    let ran = ended(command.env("IDEV_BACKUP_DEVICE", OTHER_UDID));
    assert_eq!(ran.code, 0, "{}", ran.all());
    for refused in [["--device", UDID], ["--trace", "recorded"]] {
        let ran = runs(&rig, &[&["latest", "--rehearse"], &refused[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.all());
    }
}

/// Checks that the error of a rehearsal without a temporary folder names that folder and `TMPDIR`.
#[cfg(unix)]
#[test]
fn rehearsal_names_missing_temp_folder() {
    let rig = backed_up();
    let absent = rig.dir.path().join("no such folder");
    let mut command = program(&rig);
    command.args(["restore", "latest", "--rehearse"]);
    let ran = ended(command.env("TMPDIR", &absent));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains(absent.to_str().unwrap()) && ran.err.contains("TMPDIR"),
        "{}",
        ran.err
    );
    for word in ["--store", "cable", "disk is connected"] {
        assert!(!ran.err.contains(word), "{word}: {}", ran.err);
    }
}

/// Checks that an invalid UDID in Info.plist never reaches the phone, even if `--device` names the
/// phone.
#[test]
fn invalid_udid_never_reaches_phone() {
    let rig = backed_up();
    let folder = rig.dir.path().join("old backup");
    copy_dir(&rig.current(), &folder);
    let file = folder.join("Info.plist");
    let mut info: plist::Dictionary = plist::from_file(&file).unwrap();
    for key in ["Unique Identifier", "Target Identifier"] {
        info.insert(key.into(), "../../x".into());
    }
    plist::to_file_xml(&file, &info).unwrap();
    let folder = folder.to_str().unwrap();
    let ran = runs(&rig, &[folder, "--yes", "--quick-check", "--device", UDID]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(rig.phone.restores().last().unwrap().source, UDID);
}

/// Checks that a partial restore sends the list of only those applications that it contains, and
/// that the output calls it partial.
#[test]
fn partial_restore_sends_own_applications() {
    let rig = backed_up();
    let info: plist::Dictionary = plist::from_file(rig.current().join("Info.plist")).unwrap();
    let apps = info["Applications"].as_dictionary().unwrap();
    assert!(apps.len() > 1);
    let app = apps.keys().next().unwrap();
    let restores = |only: &str| {
        let part = ["latest", "--yes", "--no-reboot", "--partial-at-my-own-risk"];
        let ran = runs(&rig, &[&part[..], &["--only", only]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let said = format!("a part of the backup ({only})");
        assert!(ran.out.contains(&said), "{}", ran.out);
        rig.phone.restart();
        rig.phone.ledger().unwrap().applications().unwrap()
    };
    assert_eq!(restores("HomeDomain"), None);
    let handed = restores(&format!("{{HomeDomain,AppDomain-{app}}}")).unwrap();
    let handed: plist::Dictionary = plist::from_bytes(&handed).unwrap();
    assert_eq!(handed.keys().collect::<Vec<_>>(), [app]);
}

/// Checks that a partial restore can be rehearsed without `--partial-at-my-own-risk`, and that a
/// dry run reports what would block it.
#[test]
fn partial_rehearsal_needs_no_consent() {
    let rig = backed_up();
    let rehearsed = |more: &[&str]| {
        let ran = runs(&rig, &[&["latest", "--rehearse", "--json"], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.object("rehearsed")["compared"].clone()
    };
    let (all, part) = (rehearsed(&[]), rehearsed(&["--only", "HomeDomain"]));
    assert_eq!(
        (&part["missing"], &part["extra"]),
        (&all["missing"], &all["extra"])
    );
    assert_eq!(part["missing"], 0);
    let files = |compared: &Value| compared["files"].as_u64().unwrap();
    assert!(
        files(&part) > 0 && files(&part) < files(&all),
        "{part} {all}"
    );
    let ran = runs(&rig, &["latest", "--rehearse", "--only", "HomeDomain"]);
    let said = "restored a part of the backup (HomeDomain)";
    assert!(ran.out.contains(said), "{}", ran.out);

    let looked = |more: &[&str], code: u8, says: &str| {
        let ran = runs(&rig, &[&["latest", "--dry-run"], more].concat());
        assert_eq!(
            ran.code,
            i32::from(code),
            "{more:?}: {}{}",
            ran.out,
            ran.err
        );
        assert!(ran.out.contains(says), "{more:?}: {}", ran.out);
        ran.out
    };
    looked(&["--only", "HomeDomain"], 1, "--partial-at-my-own-risk");
    let risk = "--partial-at-my-own-risk";
    looked(
        &["--only", "No*", risk],
        1,
        "no domain of the backup matches",
    );
    let counted = format!("HomeDomain: {} files", files(&part));
    looked(&["--only", "HomeDomain", risk], 3, &counted);
    assert!(rig.phone.restores().is_empty());
}

/// Checks that an invalid pattern, a pattern without a match, and a part of a backup of iOS 9 are
/// refused before the backup is checked.
#[test]
fn impossible_selection_is_refused_early() {
    let rig = backed_up();
    let part = ["latest", "--yes", "--json", "--partial-at-my-own-risk"];
    for pattern in ["[", "", " "] {
        let ran = runs(&rig, &[&part[..], &["--only", pattern]].concat());
        assert_eq!(ran.code, 2, "{pattern:?}: {}", ran.err);
    }
    let ran = runs(&rig, &[&part[..], &["--only", "No*"]].concat());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("no domain of the backup"), "{}", ran.err);
    assert!(!ran.out.contains("\"checking\""), "{}", ran.out);

    let folder = rig.dir.path().join(UDID);
    copy_dir(&rig.current(), &folder);
    let list = folder.join("Manifest.db");
    fs::rename(&list, folder.join("Manifest.mbdb")).unwrap();
    let words = [&[folder.to_str().unwrap()], &part[1..], &["--only", "*"]].concat();
    let ran = runs(&rig, &words);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("iOS 9"), "{}", ran.err);
    assert!(rig.phone.restores().is_empty());
}

/// Checks that the hint suggests `verify --repair` only for a backup in a store.
#[test]
fn repair_hint_requires_store() {
    let rig = backed_up();
    let folder = rig.dir.path().join("old backup");
    copy_dir(&rig.current(), &folder);
    for (folder, has_store) in [(folder, false), (rig.current(), true)] {
        fs::remove_file(folder.join(victim(&rig))).unwrap();
        let folder = folder.to_str().unwrap();
        for how in [["--yes", "--quick-check"], ["--dry-run", "--quick-check"]] {
            let ran = runs(&rig, &[&[folder][..], &how].concat());
            assert_eq!(ran.code, 1, "{}", ran.err);
            let said = ran.out + &ran.err;
            assert_eq!(said.contains("verify --repair"), has_store, "{said}");
            assert_eq!(said.contains("choose another backup"), !has_store, "{said}");
        }
    }
}

#[test]
fn restore_dry_run_writes_nothing() {
    let rig = backed_up();
    // Pair first, so that the phone knows this computer.
    rig.connector().session(&rig.attached()).unwrap();
    let before = tree(rig.store.root());
    let ran = runs(&rig, &["latest", "--dry-run"]);
    assert!(
        ran.out.contains("the backup is complete"),
        "{} {}",
        ran.out,
        ran.err
    );
    assert_same(&before, &tree(rig.store.root()), "after a dry run");
    flip(&rig.current().join(victim(&rig)));
    let before = tree(rig.store.root());
    assert_eq!(runs(&rig, &["latest", "--dry-run"]).code, 1);
    assert_same(&before, &tree(rig.store.root()), "after a dry run");
}

#[test]
fn hints_contain_no_double_spaces() {
    let path = "x/../y".parse::<idev_backup::base::backup_path::BackupPath>();
    for error in [
        Failure::from(backup::Error::NoPasscode {
            waited: Duration::from_secs(60),
        }),
        Failure::from(Error::Dialog {
            cause: idev_backup::mobilebackup::Error::Hostile(path.unwrap_err()),
            left: restore::Left::AsItWas,
        }),
    ] {
        let hint = hints::of(&error).unwrap();
        assert!(!hint.contains("  "), "{hint}");
    }
}
