//! Backups without supervision: the config file, conditions, the user's commands, the passcode,
//! schedules and `watch`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use idev_backup::automation::policy;
use idev_backup::simulator::PhoneConfig;

use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

#[cfg(unix)]
use std::sync::Arc;

#[cfg(unix)]
use idev_backup::simulator::{Daemon, Passcode, Phone};
#[cfg(unix)]
use serde_json::Value;

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = ended(program(rig).args(args));
    assert_eq!(ran.code, code, "{args:?}: {}\n{}", ran.out, ran.err);
    ran
}

fn config_file(rig: &Rig) -> std::path::PathBuf {
    let ran = runs(rig, &["config", "path"], 0);
    let path = Path::new(ran.out.trim()).to_path_buf();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

/// Checks that variables override the config file, and that flags override both.
#[test]
fn flags_override_variables_and_config_file() {
    let rig = Rig::new();
    let path = config_file(&rig);
    let shown = |command: &mut Command, key: &str| {
        let ran = ended(command.args(["config", "show", "--json"]));
        let keys = ran.last_object()["keys"].as_array().unwrap().clone();
        let found = keys.iter().find(|k| k["key"] == key).unwrap().clone();
        (found["value"].clone(), found["from"].clone())
    };
    assert_eq!(
        shown(&mut program(&rig), "create.patience"),
        ("31m".into(), "default".into())
    );
    fs::write(
        &path,
        "[retention]\nkeep-last = 7\n[conditions]\nif-older-than = \"20h\"\n",
    )
    .unwrap();
    assert_eq!(
        shown(&mut program(&rig), "retention.keep-last"),
        ("7".into(), "file".into())
    );
    let mut command = program(&rig);
    command.env("IDEV_BACKUP_RETENTION_KEEP_LAST", "5");
    assert_eq!(
        shown(&mut command, "retention.keep-last"),
        ("5".into(), "environment".into())
    );

    // The condition in the file prevents the second backup; a flag or a variable overrides it.
    runs(&rig, &["create", "-q"], 0);
    let ran = runs(&rig, &["create"], 0);
    assert!(
        ran.err.contains("Nothing to do: the last backup is "),
        "{}",
        ran.err
    );
    assert_eq!(rig.phone.history().len(), 1);
    let object = runs(&rig, &["create", "--json"], 0).last_object();
    assert_eq!(
        (&object["event"], &object["udid"]),
        (&"skipped".into(), &UDID.into())
    );
    runs(&rig, &["create", "-q", "--if-older-than", "0s"], 0);
    let mut command = program(&rig);
    command.env("IDEV_BACKUP_CONDITIONS_IF_OLDER_THAN", "0s");
    assert_eq!(ended(command.args(["create", "-q"])).code, 0);
    assert_eq!(rig.phone.history().len(), 3);
    runs(&rig, &["config", "check"], 0);
}

/// Checks that the config file may not name the store by a path that depends on the current folder.
#[test]
fn relative_store_path_is_refused() {
    let rig = Rig::new();
    let path = config_file(&rig);
    for place in ["backups", "~mira/backups"] {
        fs::write(&path, format!("store = \"{place}\"\n")).unwrap();
        let ran = runs(&rig, &["config", "check"], 2);
        assert!(ran.all().contains("an absolute path"), "{}", ran.all());
    }
}

/// Checks that a backup that `verify` found damaged does not count as good, so that a new one is
/// due.
#[test]
fn damaged_backup_does_not_count() {
    let rig = Rig::backed_up();
    let last = || policy::last_good(&rig.store, rig.udid());
    assert!(last().is_some());
    let file = rig.current().join("Manifest.db");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&file, bytes).unwrap();
    runs(&rig, &["verify", "--quiet"], 1);
    assert_eq!(last(), None);
    // An older backup counts as good, and the damage does not spread to the next one.
    let ran = runs(
        &rig,
        &["create", "--if-older-than", "20h", "--keep-last", "0"],
        3,
    );
    assert!(
        ran.err
            .contains("it has changed since the backup was completed"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("Everything, because the current backup"),
        "{}",
        ran.err
    );
    assert!(rig.phone.history().last().unwrap().full);
    runs(&rig, &["verify", "--quiet"], 0);
    assert!(last().is_some());
    runs(&rig, &["create", "-q"], 0);
    assert!(!rig.phone.history().last().unwrap().full);
}

/// Checks that damage on the disk makes the next backup a full one. A damage note for files that
/// still match their hashes does not.
#[test]
fn damage_on_disk_forces_full_backup() {
    let rig = Rig::backed_up();
    let full = || rig.phone.history().iter().filter(|b| b.full).count();
    let file = || rig.current().join(victim(&rig));
    // Replace the file rather than write in place: older backups may share it.
    let flip = || {
        let (mut bytes, meta) = (fs::read(file()).unwrap(), fs::metadata(file()).unwrap());
        bytes[0] ^= 1;
        fs::remove_file(file()).unwrap();
        fs::write(file(), bytes).unwrap();
        fs::set_permissions(file(), meta.permissions()).unwrap();
    };
    for times in [2, 3] {
        flip();
        runs(&rig, &["verify", "--quiet"], 1);
        let ran = runs(&rig, &["create", "--keep-last", "0"], 0);
        assert!(ran.err.contains("Everything, because"), "{}", ran.err);
        assert_eq!(full(), times);
        runs(&rig, &["verify"], 0);
    }
    // As if a deep check had found damage that the phone itself had made.
    flip();
    runs(&rig, &["verify", "--quiet"], 1);
    flip();
    runs(&rig, &["create", "--if-older-than", "20h"], 0);
    assert_eq!(full(), 3);
    runs(&rig, &["verify"], 0);
}

/// Checks that an older backup with a date in the future does not make a new backup due.
#[test]
fn snapshot_from_future_is_ignored() {
    let rig = Rig::backed_up();
    rig.create();
    let last = || policy::last_good(&rig.store, rig.udid());
    let before = last().unwrap();
    let all = rig.store.snapshots_of(rig.udid()).unwrap();
    let status = all[1].path().join("Status.plist");
    let mut fields: plist::Dictionary = plist::from_file(&status).unwrap();
    let ahead = std::time::SystemTime::now() + Duration::from_secs(86_400 * 900);
    fields.insert("Date".into(), plist::Value::Date(ahead.into()));
    plist::to_file_binary(&status, &fields).unwrap();
    assert_eq!(last(), Some(before));
    let ran = runs(&rig, &["create", "--if-older-than", "20h"], 0);
    assert!(ran.all().contains("the last backup is"), "{}", ran.all());
    assert_eq!(rig.phone.history().len(), 2);
}

#[test]
#[cfg(unix)]
fn phone_without_good_backup_is_overdue() {
    let rig = Rig::backed_up();
    fs::write(rig.current().join("Manifest.db"), "no database").unwrap();
    runs(&rig, &["verify", "--quiet"], 1);
    rig.daemon.detach(rig.udid());
    let file = rig.dir.path().join("noted");
    let note = noting(&file);
    let args = ["--on-overdue", &note, "--overdue-after", "400d"];
    runs(&rig, &[&["create", "--if-present"], &args[..]].concat(), 0);
    let told = noted(&file).pop().unwrap();
    assert_eq!(told["event"], "on_overdue");
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("no good backup"), "{text}");
}

/// Checks that a mistake in the config file stops every command except `config path`.
#[test]
fn config_error_stops_commands() {
    let rig = Rig::new();
    fs::write(config_file(&rig), "# mine\r\n[create]\r\nful = true\r\n").unwrap();
    for args in [
        &["create"][..],
        &["list"],
        &["config", "check"],
        &["config", "show"],
    ] {
        let ran = runs(&rig, args, 2);
        assert!(
            ran.err.contains("line 3: unknown key \"create.ful\""),
            "{}",
            ran.err
        );
        assert!(
            ran.err.contains("hint: did you mean \"full\"?"),
            "{}",
            ran.err
        );
    }
    let object = runs(&rig, &["config", "check", "--json"], 2).last_object();
    assert_eq!(object["mistakes"][0]["line"], 3);
    runs(&rig, &["config", "path"], 0);
    let other = rig.dir.path().join("other.toml");
    let named = other.to_str().unwrap();
    let ran = runs(&rig, &["--config", named, "list"], 2);
    assert!(
        ran.err.contains("other.toml: cannot read it"),
        "{}",
        ran.err
    );
    fs::write(&other, "").unwrap();
    runs(&rig, &["list", "--config", named], 0);
}

/// Checks that `create` without a phone exits with 4, succeeds with `--if-present`, and waits with
/// `--wait-for-device`.
#[test]
fn absent_phone_fails_skips_or_waits() {
    let rig = Rig::backed_up();
    rig.daemon.detach(rig.udid());
    runs(&rig, &["create"], 4);
    let ran = runs(&rig, &["create", "--if-present"], 0);
    assert!(
        ran.err.contains("Nothing to do: no iPhone or iPad"),
        "{}",
        ran.err
    );
    let mut command = program(&rig);
    command.env("USBMUXD_SOCKET_ADDRESS", "127.0.0.1:1");
    assert_eq!(ended(command.args(["create", "--if-present"])).code, 4);
    let start = Instant::now();
    runs(&rig, &["create", "--wait-for-device", "1s"], 4);
    assert!(start.elapsed() >= Duration::from_secs(1));

    let mut command = program(&rig);
    command
        .args(["create", "--wait-for-device", "2m"])
        .stderr(Stdio::piped());
    let (mut child, lines) = told(&mut command);
    wait_for(&lines, "waiting for it for up to");
    rig.daemon.attach(rig.phone.clone());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(rig.phone.history().len(), 2);
}

#[test]
fn battery_and_quiet_hours_defer_backup() {
    let rig = Rig::with(PhoneConfig {
        battery: 15,
        ..config()
    });
    for (args, why) in [
        (&["--if-charging"][..], "not charging"),
        (&["--min-battery", "30"], "15 %"),
    ] {
        let args = [&["create"][..], args].concat();
        let ran = ended(program(&rig).args(&args));
        assert!(ran.err.contains(why), "{args:?}: {}", ran.err);
    }
    // The quiet hours cover the whole day except one minute; a backup is made only in that minute.
    let ran = runs(&rig, &["create", "--quiet-hours", "12:01-12:00"], 0);
    assert!(ran.err.contains("quiet hours (12:01-12:00)") || ran.out.contains("Done"));
    runs(&rig, &["create", "--quiet-hours", "7-8"], 2);
    runs(&rig, &["create", "-q", "--min-battery", "15"], 0);
}

#[test]
fn interrupted_backup_is_retried() {
    let rig = Rig::new();
    rig.phone
        .suffer(&["cut-at:60".parse().unwrap(), "times:1".parse().unwrap()]);
    let args = ["create", "--retry", "2", "--retry-wait", "1s"];
    let ran = runs(&rig, &args, 0);
    assert!(
        ran.err.contains("Trying again in 1 second (1 of 2)"),
        "{}",
        ran.err
    );
    assert_whole(&rig.current());
    rig.phone.suffer(&["cut-at:60".parse().unwrap()]);
    let ran = runs(&rig, &args, 8);
    assert!(ran.err.contains("(2 of 2)"), "{}", ran.err);
    // A wrong password stays wrong, so the program does not try again.
    rig.phone.suffer(&["error:207".parse().unwrap()]);
    let ran = runs(&rig, &args, 6);
    assert!(!ran.err.contains("Trying again"), "{}", ran.err);
}

/// Returns a command that appends its standard input, one line, to a file.
#[cfg(unix)]
fn noting(file: &Path) -> String {
    format!("cat >> '{0}'; echo >> '{0}'", file.display())
}

#[cfg(unix)]
fn noted(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Checks that hooks receive the report on their standard input but not the password, and that a
/// failing hook does not prevent the backup.
#[test]
#[cfg(unix)]
fn hooks_receive_the_report() {
    let rig = Rig::new();
    let file = rig.dir.path().join("noted");
    let note = noting(&file);
    runs(
        &rig,
        &["create", "-q", "--on-start", &note, "--on-success", &note],
        0,
    );
    let objects = noted(&file);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["event"], "on_start");
    assert_eq!(objects[0]["last_backup"], Value::Null);
    assert_eq!(objects[1]["event"], "on_success");
    assert_eq!(objects[1]["udid"], UDID);
    assert!(
        objects[1]["text"]
            .as_str()
            .unwrap()
            .contains("Mira's iPhone")
    );
    assert!(objects[1]["report"]["files"].as_u64().unwrap() > 50);

    // The user's commands do not receive the backup password.
    let mut command = program(&rig);
    command.env("IDEV_BACKUP_PASSWORD", "secret").args([
        "create",
        "--on-start",
        "test -z \"$IDEV_BACKUP_PASSWORD\"",
    ]);
    assert_eq!(ended(&mut command).code, 0);

    let ran = runs(
        &rig,
        &[
            "create",
            "--on-start",
            "echo a reason >&2; exit 7",
            "--on-success",
            "exit 1",
        ],
        3,
    );
    assert!(
        ran.err
            .contains("problem: the command on_start failed (exit status: 7): a reason"),
        "{}",
        ran.err
    );
    assert!(ran.out.contains("Done, with 2 problems"), "{}", ran.out);
    assert_whole(&rig.current());

    fs::remove_file(&file).unwrap();
    rig.phone.suffer(&["error:105".parse().unwrap()]);
    runs(
        &rig,
        &[
            "create",
            "--on-failure",
            &note,
            "--on-overdue",
            &note,
            "--overdue-after",
            "0s",
        ],
        7,
    );
    let objects = noted(&file);
    assert_eq!(objects[0]["event"], "on_failure");
    assert_eq!(objects[0]["exit_code"], 7);
    assert!(objects[0]["hint"].is_string());
    rig.daemon.detach(rig.udid());
    std::thread::sleep(Duration::from_millis(1100));
    runs(
        &rig,
        &[
            "create",
            "--if-present",
            "--on-overdue",
            &note,
            "--overdue-after",
            "1s",
        ],
        0,
    );
    assert_eq!(noted(&file).last().unwrap()["event"], "on_overdue");
}

/// Checks that `--on-failure` also runs if the program fails before it reaches a phone.
#[test]
#[cfg(unix)]
fn early_failure_runs_failure_hook() {
    let rig = Rig::backed_up();
    rig.daemon.detach(rig.udid());
    let file = rig.dir.path().join("noted");
    let note = noting(&file);
    let nowhere = rig.dir.path().join("sentinel");
    let nowhere = nowhere.to_str().unwrap();
    let told = |args: &[&str], code: i32| {
        drop(fs::remove_file(&file));
        runs(&rig, &[args, &["--on-failure", &note]].concat(), code);
        noted(&file)
    };
    for (args, code, udid) in [
        (&["create"][..], 4, Value::Null),
        (&["create", "--device", UDID], 4, UDID.into()),
        (&["create", "--store", nowhere], 1, Value::Null),
        (&["watch", "--store", nowhere], 1, Value::Null),
        (
            &["watch", "--store", nowhere, "--device", UDID],
            1,
            UDID.into(),
        ),
    ] {
        let objects = told(args, code);
        assert_eq!(objects.len(), 1, "{args:?}: {objects:?}");
        let object = &objects[0];
        assert_eq!(object["event"], "on_failure", "{args:?}");
        assert_eq!(object["udid"], udid, "{args:?}");
        assert_eq!(object["exit_code"], code, "{args:?}");
        assert!(object["hint"].is_string(), "{args:?}: {object}");
        assert!(object["text"].as_str().unwrap().contains("backup failed: "));
    }
    assert!(told(&["create", "--if-present"], 0).is_empty());
    let mut command = program(&rig);
    command.env("USBMUXD_SOCKET_ADDRESS", "127.0.0.1:1");
    assert_eq!(
        ended(command.args(["create", "--on-failure", &note])).code,
        4
    );
    assert_eq!(noted(&file).len(), 1);

    // A failure is also reported if the phone does not answer the question that a condition asks.
    let locked = Rig::with(PhoneConfig {
        trust: idev_backup::simulator::Trust::Deny,
        ..config()
    });
    drop(fs::remove_file(&file));
    let args = ["create", "--if-charging", "--on-failure", &note];
    let ran = ended(program(&locked).args(args));
    assert_eq!(ran.code, 5, "{}", ran.all());
    assert_eq!(noted(&file)[0]["exit_code"], 5);
}

/// Checks that an unattended run succeeds with nothing to do while another run holds the lock.
#[test]
#[cfg(unix)]
fn concurrent_unattended_run_is_skipped() {
    let rig = Rig::backed_up();
    let file = rig.dir.path().join("noted");
    let note = noting(&file);
    let lock = rig.store.lock(rig.udid()).unwrap();
    for args in [
        &["create", "--on-start", &note, "--on-failure", &note][..],
        &["create", "--if-present"],
        &["create", "--retry", "1"],
    ] {
        let ran = runs(&rig, args, 0);
        let told = ran
            .err
            .contains("Nothing to do: another idev-backup run is backing up this phone");
        assert!(told, "{args:?}: {}", ran.err);
    }
    assert!(noted(&file).is_empty());
    // The other run may hang, so the overdue command still runs.
    let overdue = ["create", "--overdue-after", "0s", "--on-overdue", &note];
    runs(&rig, &overdue, 0);
    assert_eq!(noted(&file)[0]["event"], "on_overdue");
    let mut command = program(&rig);
    command.env("IDEV_BACKUP_JOB", rig.dir.path().join("job.lock"));
    assert_eq!(ended(command.arg("create")).code, 0);
    // A user who typed the command gets the error.
    let ran = runs(&rig, &["create"], 1);
    assert!(
        ran.err.contains("another idev-backup is working"),
        "{}",
        ran.err
    );
    drop(lock);
    runs(&rig, &["create", "-q", "--if-present"], 0);
    assert_eq!(rig.phone.history().len(), 2);
}

/// Installs a substitute for notify-send that appends its arguments to a file.
#[cfg(target_os = "linux")]
fn with_notify_send(rig: &Rig) -> (String, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let bin = rig.dir.path().join("desktop");
    fs::create_dir_all(&bin).unwrap();
    let shown = rig.dir.path().join("shown");
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n", shown.display());
    fs::write(bin.join("notify-send"), script).unwrap();
    fs::set_permissions(bin.join("notify-send"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    (path, shown)
}

/// Checks that `--notify` shows a desktop notification for each failure, and none for a success.
#[test]
#[cfg(target_os = "linux")]
fn failures_show_a_notification() {
    let rig = Rig::new();
    let (path, shown) = with_notify_send(&rig);
    let run = |rig: &Rig, args: &[&str]| {
        let mut command = program(rig);
        ended(
            command
                .env("PATH", &path)
                .args(["create", "--notify"])
                .args(args),
        )
        .code
    };
    let lines = || fs::read_to_string(&shown).unwrap_or_default();
    assert_eq!(run(&rig, &[]), 0);
    assert_eq!(lines(), "");
    rig.phone.suffer(&["error:105".parse().unwrap()]);
    assert_eq!(run(&rig, &[]), 7);
    let told = lines();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.starts_with("--app-name idev-backup -- idev-backup Mira's iPhone: its backup failed"),
        "{told}"
    );
    rig.daemon.detach(rig.udid());
    assert_eq!(run(&rig, &[]), 4);
    assert!(lines().contains("the backup failed: no iPhone or iPad is connected"));
}

/// Checks that the report of a failed notification appears once and names the missing program.
#[test]
#[cfg(target_os = "linux")]
fn failed_notification_is_reported_once() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::After(Duration::from_secs(4)),
        ..config()
    });
    let mut command = program(&rig);
    command.env("PATH", rig.dir.path().join("nowhere"));
    let ran = ended(command.args(["create", "--notify", "--remind-every", "1s"]));
    assert_eq!(ran.code, 3, "{}", ran.all());
    let told = "desktop notifications cannot be shown: notify-send could not be run";
    assert_eq!(ran.err.matches(told).count(), 1, "{}", ran.err);
    assert!(ran.err.contains("libnotify-bin"), "{}", ran.err);
}

#[test]
fn help_headings_match_their_options() {
    let rig = Rig::new();
    for command in ["create", "watch"] {
        let help = runs(&rig, &[command, "--help"], 0).out;
        let (before, log) = help.split_once("\nLog:").unwrap();
        assert!(log.contains("--log-file") && log.contains("--log-level"));
        for option in ["--store", "--json", "--quiet", "--transport", "--device"] {
            assert!(before.contains(option), "{command} {option}: {help}");
            assert!(
                !log.contains(&format!("{option} ")),
                "{command} {option}: {log}"
            );
        }
    }
}

#[test]
fn invalid_variables_are_named() {
    let rig = Rig::backed_up();
    let prune = |value: &str, code: i32| {
        let mut command = program(&rig);
        command.env("IDEV_BACKUP_RETENTION_KEEP_LAST", value);
        let ran = ended(command.args(["prune", "--dry-run"]));
        assert_eq!(ran.code, code, "{}", ran.all());
        ran.all()
    };
    assert!(prune("", 2).contains("IDEV_BACKUP_RETENTION_KEEP_LAST is empty"));
    assert!(prune("7", 0).contains("keep-last 7"));
    let told = prune("many", 2);
    assert!(
        told.contains("variable IDEV_BACKUP_RETENTION_KEEP_LAST"),
        "{told}"
    );
}

#[test]
fn phone_section_overrides_retention() {
    let rig = Rig::backed_up();
    let small = UDID.to_lowercase();
    let own = |udid: &str| format!("[phone.{udid}.retention]\nkeep-last = 1\n");
    let twice = format!("{}{}", own(UDID), own(&small));
    fs::write(config_file(&rig), twice).unwrap();
    let ran = runs(&rig, &["config", "check"], 2);
    assert!(ran.all().contains("appears twice"), "{}", ran.all());
    // Some programs show UDIDs in lower case.
    let rules = format!("[retention]\nkeep-last = 9\n{}", own(&small));
    fs::write(config_file(&rig), rules).unwrap();
    runs(&rig, &["config", "check"], 0);
    let shown = runs(&rig, &["config", "show"], 0).out;
    assert!(
        shown.contains(&format!("phone.{small}.retention.keep-last")),
        "{shown}"
    );
    for _ in 0..2 {
        runs(&rig, &["create", "-q"], 0);
    }
    let count = || rig.store.snapshots_of(rig.udid()).unwrap().len();
    assert_eq!(count(), 2);
    // A flag overrides them, and a phone without rules of its own uses the general ones.
    runs(&rig, &["create", "-q", "--keep", "5"], 0);
    assert_eq!(count(), 3);
    let pruned = runs(&rig, &["prune", "--dry-run"], 0).out;
    assert!(pruned.contains("1 snapshot would be dropped"), "{pruned}");
    assert!(pruned.contains("rules of its own: keep-last 1"), "{pruned}");
    let other =
        format!("[retention]\nkeep-last = 9\n[phone.{OTHER_UDID}.retention]\nkeep-last = 1\n");
    fs::write(config_file(&rig), other).unwrap();
    runs(&rig, &["prune"], 0);
    assert_eq!(count(), 3);
}

#[test]
fn overdue_limit_comes_from_config() {
    let rig = Rig::backed_up();
    fs::write(config_file(&rig), "overdue-after = \"0s\"\n").unwrap();
    assert!(runs(&rig, &["list"], 0).out.contains("OVERDUE"));
    let ran = runs(&rig, &["list", "--overdue-after", "7d"], 0);
    assert!(!ran.out.contains("OVERDUE"), "{}", ran.out);
    let out = ended(program(&rig).arg("doctor")).out;
    let overdue = "warning  the last good backup of Mira's iPhone is ";
    assert!(out.contains(overdue), "{out}");
}

/// Checks that a hook that exceeds its time limit is killed together with its child processes.
#[test]
#[cfg(target_os = "linux")]
fn hanging_hook_is_killed() {
    let rig = Rig::new();
    let file = rig.dir.path().join("child");
    let hangs = format!("sleep 600 & echo $! > '{}'; wait", file.display());
    let ran = runs(
        &rig,
        &["create", "--on-start", &hangs, "--hook-time-limit", "1s"],
        3,
    );
    assert!(
        ran.err
            .contains("on_start did not end within 1 s and was killed"),
        "{}",
        ran.err
    );
    assert_whole(&rig.current());
    let child = fs::read_to_string(&file).unwrap();
    let gone = || {
        let status =
            fs::read_to_string(format!("/proc/{}/status", child.trim())).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    };
    until(gone);
}

/// Checks that SIGTERM stops the hook `on_start`, and that no backup begins afterwards.
#[test]
#[cfg(unix)]
fn sigterm_stops_hook_and_run() {
    let rig = Rig::new();
    let file = rig.dir.path().join("begun");
    let hangs = format!("echo > '{}'; sleep 600", file.display());
    let (mut child, lines) = told(program(&rig).args(["create", "--on-start", &hangs]));
    until(|| file.exists());
    let start = Instant::now();
    assert_eq!(terminate(&mut child), Some(130));
    assert!(start.elapsed() < Duration::from_secs(30));
    wait_for(&lines, "the command on_start was stopped");
    assert!(rig.phone.history().is_empty() && !rig.current().exists());
}

#[cfg(unix)]
fn until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it did not happen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[cfg(unix)]
fn passcode_wait_reminds_and_expires() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let file = rig.dir.path().join("noted");
    let note = noting(&file);
    let start = Instant::now();
    let args = [
        "create",
        "--on-waiting-for-passcode",
        &note,
        "--passcode-wait",
        "3s",
        "--remind-every",
        "1s",
        "--retry",
        "3",
    ];
    let ran = runs(&rig, &args, 5);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(ran.err.contains("waiting up to 3 s"), "{}", ran.err);
    assert!(
        ran.err
            .contains("was not entered on the phone within 3 seconds"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("hint: ") && !ran.err.contains("Trying again"),
        "{}",
        ran.err
    );
    let objects = noted(&file);
    assert!((2..=4).contains(&objects.len()), "{objects:?}");
    assert!(
        objects
            .iter()
            .all(|o| o["event"] == "on_waiting_for_passcode")
    );

    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::After(Duration::from_secs(1)),
        ..config()
    });
    runs(&rig, &["create", "-q", "--passcode-wait", "30s"], 0);
}

#[test]
fn log_file_is_complete_and_rotated() {
    let rig = Rig::new();
    let file = rig.dir.path().join("log");
    let log = file.to_str().unwrap();
    fs::write(&file, "x".repeat(1_000_001)).unwrap();
    runs(&rig, &["create", "--log-file", log], 0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("Mira's iPhone") && text.contains("Done: "),
        "{text}"
    );
    assert!(text.lines().all(|line| line.starts_with("20")), "{text}");
    assert_eq!(
        fs::read(rig.dir.path().join("log.1")).unwrap().len(),
        1_000_001
    );
    fs::remove_file(&file).unwrap();
    rig.phone.suffer(&["error:105".parse().unwrap()]);
    runs(
        &rig,
        &["create", "--log-file", log, "--log-level", "error"],
        7,
    );
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("error: ") && !text.contains("Mira"), "{text}");
    let ran = runs(&rig, &["create", "--log-file", "/nowhere/at/all"], 7);
    assert!(ran.err.contains("cannot write the log"), "{}", ran.err);
    rig.phone.suffer(&[]);
    runs(&rig, &["create", "--log-file", "/nowhere/at/all"], 3);
}

/// Starts a child whose stderr is read line by line.
fn told(command: &mut Command) -> (Child, Receiver<String>) {
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (lines, told) = channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    (child, told)
}

fn wait_for(lines: &Receiver<String>, words: &str) {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) if line.contains(words) => return,
            Ok(line) => seen.push(line),
            Err(_) => panic!("{words:?} was not printed: {seen:#?}"),
        }
    }
}

#[cfg(unix)]
fn terminate(child: &mut Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap().code()
}

/// Checks that `watch` backs up a phone that is plugged in if a backup is due, and ends cleanly on
/// SIGTERM.
#[test]
#[cfg(unix)]
fn watch_backs_up_due_phones() {
    let rig = Rig::new();
    rig.daemon.detach(rig.udid());
    let (mut child, lines) = told(program(&rig).arg("watch"));
    wait_for(&lines, "Waiting for phones");
    rig.daemon.attach(rig.phone.clone());
    wait_for(&lines, "plugged in");
    until(|| rig.phone.history().len() == 1 && !rig.draft().exists() && rig.current().exists());
    rig.daemon.detach(rig.udid());
    wait_for(&lines, "unplugged");
    rig.daemon.attach(rig.phone.clone());
    wait_for(&lines, "nothing to do: the last backup is");
    assert_eq!(terminate(&mut child), Some(0));
    assert_whole(&rig.current());
    assert_eq!(rig.phone.history().len(), 1);
}

#[test]
#[cfg(unix)]
fn watch_reports_overdue_phones() {
    let rig = Rig::backed_up();
    rig.daemon.detach(rig.udid());
    let file = rig.dir.path().join("noted");
    let note = noting(&file);
    let args = ["watch", "--overdue-after", "0s", "--on-overdue", &note];
    let (mut child, lines) = told(program(&rig).args(args));
    wait_for(&lines, "its last good backup is");
    until(|| fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    assert_eq!(terminate(&mut child), Some(0));
    let objects = noted(&file);
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(objects[0]["event"], "on_overdue");
    assert_eq!(objects[0]["udid"], UDID);
}

/// Checks that the computer is kept awake while a backup runs, not longer, and not with
/// `--may-sleep`.
#[test]
#[cfg(target_os = "linux")]
fn sleep_is_inhibited_during_backup() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let bin = rig.dir.path().join("awake");
    let file = rig.dir.path().join("holders");
    fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$$ $*\" >> '{}'\nexec cat\n",
        file.display()
    );
    fs::write(bin.join("systemd-inhibit"), script).unwrap();
    let rights = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bin.join("systemd-inhibit"), rights).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let create = |more: &[&str]| {
        let mut command = program(&rig);
        let command = command.env("PATH", &path).args(["create", "-q"]);
        assert_eq!(ended(command.args(more)).code, 0);
    };
    create(&["--may-sleep"]);
    assert!(!file.exists());
    create(&[
        "--on-start",
        &format!("until [ -s '{}' ]; do sleep 0.1; done", file.display()),
    ]);
    let text = fs::read_to_string(&file).unwrap();
    let (process, words) = text.trim().split_once(' ').unwrap();
    assert!(
        words.contains("--what=sleep:idle") && words.ends_with(" cat"),
        "{words}"
    );
    assert!(!Path::new("/proc").join(process).exists());
}

#[test]
#[cfg(unix)]
fn watch_asks_again_after_replugging() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let (mut child, lines) = told(program(&rig).args(["watch", "--passcode-wait", "1s"]));
    wait_for(&lines, "was not entered on the phone within 1 second");
    rig.daemon.detach(rig.udid());
    wait_for(&lines, "unplugged");
    rig.daemon.attach(rig.phone.clone());
    wait_for(&lines, "was not entered on the phone within 1 second");
    assert_eq!(terminate(&mut child), Some(0));
}

#[test]
#[cfg(unix)]
fn watch_survives_daemon_restart() {
    let mut rig = Rig::new();
    let socket = rig.dir.path().join("mux");
    let address = format!("UNIX:{}", socket.display());
    let start = |phones: Vec<Arc<Phone>>| {
        // Remove the old daemon's socket, which blocks the next daemon, as with the real one.
        drop(fs::remove_file(&socket));
        Daemon::start(&address, phones).unwrap()
    };
    rig.daemon = start(Vec::new());
    let (mut child, lines) = told(
        program(&rig)
            .env("USBMUXD_SOCKET_ADDRESS", &address)
            .arg("watch"),
    );
    wait_for(&lines, "Waiting for phones");
    rig.daemon = Daemon::start("127.0.0.1:0", Vec::new()).unwrap();
    wait_for(&lines, "Phones are not visible");
    let phone = rig.phone.clone();
    rig.daemon = start(vec![phone]);
    wait_for(&lines, "Waiting for phones");
    wait_for(&lines, "plugged in");
    until(|| rig.current().exists());
    assert_eq!(terminate(&mut child), Some(0));
    // End the daemon before its socket's folder is removed, because it needs the folder to stop.
    rig.daemon = Daemon::start("127.0.0.1:0", Vec::new()).unwrap();
}

/// Checks that ten thousand phones that come and go do not increase the memory of `watch`, and that
/// it uses no processor time while it waits.
#[test]
#[cfg(target_os = "linux")]
fn watch_neither_leaks_nor_spins() {
    let rig = Rig::backed_up();
    rig.daemon.detach(rig.udid());
    let (mut child, lines) = told(program(&rig).arg("watch"));
    wait_for(&lines, "Waiting for phones");
    // Keep reading, so that a full pipe does not block the program.
    let counted = std::thread::spawn(move || {
        lines
            .iter()
            .filter(|line| line.contains("unplugged"))
            .count()
    });
    let resident_kb = |child: &Child| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let come_and_go = |times: u32| {
        for _ in 0..times {
            rig.daemon.attach(rig.phone.clone());
            rig.daemon.detach(rig.udid());
        }
    };
    come_and_go(1000);
    std::thread::sleep(Duration::from_secs(1));
    let before = resident_kb(&child);
    come_and_go(10_000);
    std::thread::sleep(Duration::from_secs(2));
    let after = resident_kb(&child);
    assert!(after < before + 1024, "{before} KB, then {after} KB");
    let ticks = |child: &Child| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let busy = ticks(&child);
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        ticks(&child) <= busy + 6,
        "watch uses the processor while it waits"
    );
    assert_eq!(terminate(&mut child), Some(0));
    assert_eq!(counted.join().unwrap(), 11_000);
    assert_eq!(rig.phone.history().len(), 1);
}

#[cfg(unix)]
fn with_crontab(rig: &Rig, args: &[&str]) -> Ran {
    ended(crate::rig::program::with_crontab(rig).args(args))
}

/// Checks that a job is one line of the crontab, that `status` reports how its last run ended, and
/// that a failed change leaves the old schedule.
#[test]
#[cfg(unix)]
fn cron_job_is_one_line() {
    let rig = Rig::new();
    let crontab = rig.dir.path().join("home/crontab");
    let scheduled = |args: &[&str], code: i32| {
        let ran = with_crontab(&rig, &[&["schedule"], args].concat());
        assert_eq!(ran.code, code, "{args:?}: {}\n{}", ran.out, ran.err);
        ran
    };
    scheduled(&["list"], 0);
    let others = "MAILTO=\"\"\n\n# odd\r\n5 4 * * * echo 100\\%   # no final newline";
    fs::create_dir_all(crontab.parent().unwrap()).unwrap();
    fs::write(&crontab, others).unwrap();
    scheduled(
        &[
            "add",
            "nightly",
            "--daily",
            "22:00",
            "--with",
            "cron",
            "--",
            "--all",
            "--if-present",
        ],
        0,
    );
    let text = fs::read_to_string(&crontab).unwrap();
    assert!(text.starts_with(others), "{text}");
    assert_eq!(text.matches("# idev-backup:nightly").count(), 1, "{text}");
    scheduled(
        &[
            "add", "nightly", "--every", "6h", "--with", "cron", "--", "--all",
        ],
        0,
    );
    let text = fs::read_to_string(&crontab).unwrap();
    let line = text
        .lines()
        .find(|l| l.contains("# idev-backup:nightly"))
        .unwrap();
    assert!(line.starts_with("0 */6 * * * '"), "{line}");
    assert!(scheduled(&["list"], 0).out.contains("every 6h"));
    assert!(
        scheduled(&["status"], 0)
            .out
            .contains("has not run yet; next")
    );

    // As cron does, without our environment except for the variable that an emulator of another
    // processor needs to start programs.
    let command = line.splitn(6, ' ').nth(5).unwrap().replace("\\%", "%");
    let emulator = std::env::vars_os().filter(|(name, _)| name == "QEMU_LD_PREFIX");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &command])
        .env_clear()
        .envs(emulator)
        .current_dir("/")
        .env("PATH", "/usr/bin:/bin");
    let ran = ended(&mut shell);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_whole(&rig.current());
    let out = scheduled(&["status"], 0).out;
    assert!(
        out.contains("done, or nothing to do")
            && out.contains("Mira's iPhone: ")
            && out.contains(" old"),
        "{out}"
    );
    // If the new schedule cannot be installed, the old one remains.
    let full = rig.dir.path().join("home/full");
    fs::write(&full, "").unwrap();
    scheduled(&["add", "nightly", "--every", "12h", "--with", "cron"], 1);
    fs::remove_file(&full).unwrap();
    assert!(scheduled(&["list"], 0).out.contains("every 6h"));
    // No other scheduler takes the job unless its installation succeeds.
    scheduled(
        &["add", "nightly", "--every", "12h", "--with", "systemd"],
        1,
    );
    let started = || {
        let text = fs::read_to_string(&crontab).unwrap();
        text.contains("# idev-backup:nightly")
    };
    assert!(started());
    let ran = scheduled(&["list"], 0);
    assert!(
        ran.out.contains("every 6h") && ran.out.contains("cron"),
        "{}",
        ran.out
    );
    let units = tree(&rig.dir.path().join("home"));
    let units: Vec<_> = units
        .keys()
        .filter(|path| path.ends_with(".timer"))
        .collect();
    assert!(units.is_empty(), "{units:?}");
    // A job that cannot be removed from one scheduler is not added to another.
    let session = rig.dir.path().join("home/session");
    fs::write(&session, "").unwrap();
    scheduled(
        &["add", "other", "--daily", "03:00", "--with", "systemd"],
        0,
    );
    fs::remove_file(&session).unwrap();
    scheduled(&["add", "other", "--daily", "04:00", "--with", "cron"], 1);
    let text = fs::read_to_string(&crontab).unwrap();
    assert!(!text.contains("# idev-backup:other"), "{text}");
    assert!(scheduled(&["list"], 0).out.contains("daily 03:00"));
    fs::write(&session, "").unwrap();
    scheduled(&["remove", "other"], 0);
    fs::remove_file(&session).unwrap();
    // A damaged note of one job does not prevent access to the others, nor its own removal.
    let notes = tree(&rig.dir.path().join("home"));
    let note = notes.keys().find(|path| path.ends_with("nightly.json"));
    let note = rig.dir.path().join("home").join(note.unwrap());
    fs::write(note.with_file_name("broken.json"), "{").unwrap();
    let ran = scheduled(&["list"], 0);
    assert!(ran.out.contains("every 6h") && ran.err.contains("broken.json"));
    fs::write(&full, "").unwrap();
    fs::copy(&note, note.with_file_name("kept.json")).unwrap();
    fs::write(&note, "{").unwrap();
    scheduled(&["remove", "nightly"], 1);
    assert!(note.exists() && started());
    fs::rename(note.with_file_name("kept.json"), &note).unwrap();
    fs::remove_file(&full).unwrap();
    scheduled(&["remove", "broken"], 0);
    assert!(!scheduled(&["list"], 0).err.contains("broken"));

    rig.phone.suffer(&["error:208".parse().unwrap()]);
    scheduled(&["run", "nightly"], 5);
    let object = scheduled(&["status", "--json"], 0).last_object();
    assert_eq!(object["jobs"][0]["last"]["exit_code"], 5);
    assert!(object["jobs"][0]["next"].is_string());
    assert_eq!(object["phones"][0]["udid"], UDID);

    scheduled(&["remove", "nightly"], 0);
    assert_eq!(fs::read_to_string(&crontab).unwrap(), format!("{others}\n"));
    assert!(scheduled(&["list"], 0).out.contains("no jobs"));
    scheduled(&["remove", "nightly"], 1);
}

/// Checks that `schedule status` and `doctor` report a job that no longer runs, and the cause.
#[test]
#[cfg(unix)]
fn stopped_job_is_reported_with_cause() {
    let rig = Rig::new();
    let add = [
        "schedule", "add", "nightly", "--daily", "22:00", "--with", "cron",
    ];
    assert_eq!(with_crontab(&rig, &add).code, 0);
    let notes = tree(&rig.dir.path().join("home"));
    let file = notes.keys().find(|path| path.ends_with("nightly.json"));
    let file = rig.dir.path().join("home").join(file.unwrap());
    let state = file.with_extension("state.json");
    let crontab = rig.dir.path().join("home/crontab");
    #[track_caller]
    fn told(rig: &Rig, words: &str, is_well: bool) {
        let status = with_crontab(rig, &["schedule", "status"]);
        let doctor = with_crontab(rig, &["doctor"]).out;
        let lines: Vec<&str> = doctor
            .lines()
            .filter(|l| l.contains("the job nightly"))
            .collect();
        assert!(status.out.contains(words), "{words}: {}", status.out);
        assert_eq!(
            !status.out.contains("warning"),
            is_well,
            "{words}: {}",
            status.out
        );
        assert!(lines.iter().any(|l| l.contains(words)), "{words}: {doctor}");
        assert_eq!(
            lines.iter().all(|l| l.starts_with("ok ")),
            is_well,
            "{lines:?}"
        );
    }
    told(&rig, "has not run yet", true);
    let now = jiff::Timestamp::now();
    let at = |hours: i64| {
        (now - jiff::SignedDuration::from_hours(hours))
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    let ran = |hours: i64, code: &str| {
        let started = at(hours);
        let text =
            format!("{{\"started\": \"{started}\", \"finished\": null, \"exit_code\": {code}}}");
        fs::write(&state, text).unwrap();
    };
    // The next run is not due yet.
    ran(0, "0");
    with_crontab(&rig, &["schedule", "status"]);
    told(&rig, "ran ", true);
    ran(80, "0");
    // The job was added just now, so no run was missed yet.
    told(&rig, "ran ", true);
    let added = std::time::SystemTime::from(now) - Duration::from_secs(90 * 3600);
    let job = fs::OpenOptions::new().append(true).open(&file).unwrap();
    job.set_modified(added).unwrap();
    told(&rig, "it was to run ", false);
    ran(0, "5");
    let doctor = with_crontab(&rig, &["doctor"]).out;
    assert!(
        doctor.contains("`idev-backup schedule log nightly`"),
        "{doctor}"
    );
    // A run that has begun, whose process still exists or is gone.
    ran(1, "null");
    told(&rig, "was ended before it could say how", false);
    let lock = fs::File::create(file.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    told(&rig, "runs since ", true);
    ran(30, "null");
    told(&rig, "does not end", false);
    // A second run does not touch the state of the first.
    let before = fs::read(&state).unwrap();
    let second = with_crontab(&rig, &["schedule", "run", "nightly"]);
    assert_eq!(second.code, 0, "{}", second.all());
    assert_eq!(second.all().trim(), "");
    let log = fs::read_to_string(file.with_extension("log")).unwrap();
    assert!(log.contains("is already running"), "{log}");
    assert_eq!(fs::read(&state).unwrap(), before);
    drop(lock);
    fs::write(&state, "{").unwrap();
    told(&rig, "cannot be read from ", false);
    fs::remove_file(&state).unwrap();
    // The job was added long ago and has never run.
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(80 * 3600);
    let open = fs::File::options().append(true).open(&file).unwrap();
    open.set_modified(long_ago).unwrap();
    told(&rig, "it was to run ", false);
    open.set_modified(std::time::SystemTime::now()).unwrap();
    fs::write(&crontab, "# nothing of ours\n").unwrap();
    told(&rig, "nothing starts it any more", false);
}

#[test]
#[cfg(unix)]
fn watch_job_holds_job_lock() {
    let rig = Rig::new();
    let add = ["schedule", "add", "plugged", "--watch", "--with", "cron"];
    assert_eq!(with_crontab(&rig, &add).code, 0);
    let (mut child, _lines) = told(program(&rig).args(["schedule", "run", "plugged"]));
    let log = || with_crontab(&rig, &["schedule", "log", "plugged"]).out;
    until(|| log().contains("Waiting for phones"));
    let running = || with_crontab(&rig, &["schedule", "status", "--json"]).last_object();
    assert_eq!(running()["jobs"][0]["running"], true);
    assert_eq!(terminate(&mut child), Some(0));
    assert_eq!(running()["jobs"][0]["running"], false);
}

/// Checks that a crontab that cannot be read is not replaced, and that `schedule add` refuses
/// invalid arguments.
#[test]
#[cfg(unix)]
fn unreadable_crontab_is_not_replaced() {
    let rig = Rig::new();
    let home = rig.dir.path().join("home");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("crontab"), "mine\n").unwrap();
    fs::write(home.join("denied"), "").unwrap();
    let ran = with_crontab(
        &rig,
        &["schedule", "add", "--daily", "22:00", "--with", "cron"],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("cannot read your crontab") && ran.err.contains("hint: "),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_to_string(home.join("crontab")).unwrap(), "mine\n");
    assert!(runs(&rig, &["schedule", "list"], 0).out.contains("no jobs"));
    for args in [
        &["add"][..],
        &["add", "--daily", "25:00"],
        &["add", "--daily", "22:00", "--every", "6h"],
        &["add", "../x", "--daily", "22:00"],
        &["add", "--every", "5h"],
        &["add", "--daily", "22:00", "--with", "at"],
        &[
            "add", "--daily", "22:00", "--with", "cron", "--", "--keep", "many",
        ],
    ] {
        let ran = with_crontab(&rig, &[&["schedule"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
    }
}

#[test]
#[cfg(unix)]
fn job_stores_no_password() {
    let rig = Rig::new();
    let bin = rig.dir.path().join("bin");
    with_crontab(&rig, &["config", "path"]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = program(&rig);
    command
        .env("PATH", path)
        .env("IDEV_BACKUP_PASSWORD", "hunter2")
        .env("IDEV_BACKUP_RETENTION_KEEP_LAST", "9");
    command.args([
        "schedule",
        "add",
        "--weekly",
        "Sun 22:00",
        "--with",
        "cron",
        "--",
        "--all",
    ]);
    assert_eq!(ended(&mut command).code, 0);
    let all: Vec<u8> = tree(&rig.dir.path().join("home"))
        .into_values()
        .flatten()
        .flatten()
        .collect();
    let text = String::from_utf8_lossy(&all);
    assert!(!text.contains("hunter2") && text.contains("IDEV_BACKUP_RETENTION_KEEP_LAST"));
}
