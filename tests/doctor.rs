//! Runs `doctor` with a simulated phone and real folders. Each problem must be a line of the
//! report, and no problem may stop the other checks.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::Silent;
use idev_backup::device::connector::Connector;
use idev_backup::device::trust;
use idev_backup::doctor::computer::Places;
use idev_backup::doctor::{Level, Line, Options, Report, examine};
use idev_backup::history::{change, list};
use idev_backup::simulator::{Password, PhoneConfig, Trust};
use idev_backup::transport::Usbmuxd;
use idev_backup::transport::usbmuxd::Address;
use idev_backup::verify;
use serde_json::Value;

use crate::advice::Advice;
use crate::rig::program::{ended, program};
use crate::rig::*;

const DAY: Duration = Duration::from_secs(86_400);

/// Returns options for the rig that exclude this computer's own USB and programs.
fn options_of(rig: &Rig) -> Options {
    let at = |name: &str| rig.dir.path().join("system").join(name);
    Options {
        device: None,
        store: rig.store.root().to_path_buf(),
        store_is_named: true,
        repository: None,
        age_max: 7 * DAY,
        patience: Duration::from_secs(20),
        now: SystemTime::now(),
        places: Places {
            usb: at("usb"),
            nodes: at("nodes"),
            processes: at("proc"),
        },
    }
}

fn examined(rig: &Rig) -> Report {
    examine(&rig.connector(), &options_of(rig)).unwrap()
}

fn paired(rig: &Rig) {
    trust::pair(
        &rig.connector(),
        &rig.attached(),
        Duration::from_secs(10),
        &Silent,
    )
    .unwrap();
}

/// Returns the line with this topic and level that contains `words`. A warning or problem must have
/// an explanation and a hint.
#[track_caller]
fn told<'a>(report: &'a Report, level: Level, topic: &str, words: &str) -> &'a Line {
    let is_it =
        |l: &&Line| l.level == level && l.topic == topic && format!("{l:?}").contains(words);
    let line = report.lines.iter().find(is_it);
    let line = line.unwrap_or_else(|| panic!("{topic}, {words}: {report:#?}"));
    assert!(
        level == Level::Ok || line.means.is_some() && line.hint().is_some(),
        "{line:#?}"
    );
    line
}

fn phone(change: fn(&mut PhoneConfig)) -> Rig {
    let mut config = config();
    change(&mut config);
    Rig::with(config)
}

fn encrypted() -> Rig {
    phone(|c| c.backup_password = Some(Password::new("secret")))
}

/// Checks that a phone with a backup of today has no problem or warning in any topic, and that
/// `doctor` changes nothing in the store.
#[test]
fn healthy_phone_reports_no_problem() {
    let rig = encrypted();
    rig.try_create(&options(), &Silent).unwrap();
    let before = tree(rig.store.root());
    let report = examined(&rig);
    assert_eq!(report.level, Level::Ok, "{report:#?}");
    assert_same(&before, &tree(rig.store.root()), "doctor");
    for topic in [
        "usbmuxd",
        "phone",
        "ios",
        "trust",
        "lock",
        "encryption",
        "battery",
        "phone_room",
        "clock",
        "sync",
        "service",
        "store",
        "disk",
        "backup",
        "room",
    ] {
        assert!(
            report.lines.iter().any(|l| l.topic == topic),
            "{topic}: {report:#?}"
        );
    }
    assert!(
        report
            .not_looked_at
            .iter()
            .any(|what| what.contains("iCloud"))
    );
    // `doctor` has released the backup service and the sync lock, so the next run works.
    rig.try_create(&options(), &Silent).unwrap();
}

#[test]
fn phone_problems_are_reported() {
    let rig = Rig::new();
    let report = examined(&rig);
    let line = told(&report, Level::Warning, "trust", "not paired");
    let hint = line.hint().unwrap();
    assert!(
        hint.contains("`idev-backup create`, which pairs first"),
        "{hint}"
    );
    told(&report, Level::Warning, "backup", "no backup");
    assert_eq!(report.level, Level::Warning);
    paired(&rig);
    let report = examined(&rig);
    told(&report, Level::Ok, "trust", "trust each other");
    told(&report, Level::Warning, "encryption", "does not encrypt");
    assert_eq!(report.level, Level::Warning);

    let locked = phone(|c| c.locked = true);
    told(
        &examined(&locked),
        Level::Warning,
        "lock",
        "stays locked for 72 hours",
    );
    let older = phone(|c| (c.locked, c.ios) = (true, "18.0.1".to_owned()));
    let report = examined(&older);
    let line = told(&report, Level::Warning, "lock", "is locked");
    assert!(!format!("{line:?}").contains("72 hours"), "{line:?}");
    let empty = phone(|c| c.battery = 9);
    paired(&empty);
    told(&examined(&empty), Level::Ok, "battery", "with power");
    let managed = phone(|c| c.requires_encryption = true);
    paired(&managed);
    told(
        &examined(&managed),
        Level::Problem,
        "encryption",
        "administrator",
    );
    // This problem shows only when a backup begins; the report states this and explains the code.
    let restoring = phone(|c| c.icloud_restore = true);
    paired(&restoring);
    let report = examined(&restoring);
    assert!(
        report
            .not_looked_at
            .iter()
            .any(|what| what.contains("iCloud"))
    );
    let broken = phone(|c| c.faults = vec!["refuse:com.apple.mobilebackup2".parse().unwrap()]);
    paired(&broken);
    told(
        &examined(&broken),
        Level::Problem,
        "service",
        "InvalidService",
    );
    let old = phone(|c| c.ios = "26.0.1".to_owned());
    told(&examined(&old), Level::Warning, "ios", "26.0.1");
}

#[test]
fn forgotten_pairing_is_reported() {
    let rig = Rig::new();
    paired(&rig);
    let twin = PhoneConfig {
        trust: Trust::Never,
        ..config()
    };
    // The same phone, erased.
    let mut rig = rig;
    rig.connect(idev_backup::simulator::Phone::new(twin));
    let report = examined(&rig);
    told(&report, Level::Problem, "trust", "forgotten");
    told(&report, Level::Problem, "trust", "30 days without contact");
    assert!(!report.lines.iter().any(|l| l.topic == "encryption"));
}

/// Checks that `doctor` reports on the store when no phone is connected and when no daemon runs.
#[test]
fn store_is_checked_without_phone() {
    let rig = Rig::backed_up();
    rig.daemon.detach(rig.udid());
    let report = examined(&rig);
    told(
        &report,
        Level::Problem,
        "phone",
        "no iPhone or iPad is connected",
    );
    told(&report, Level::Ok, "backup", "Mira's iPhone");
    let mut options = options_of(&rig);
    options.device = Some("ffff".to_owned());
    let report = examine(&rig.connector(), &options).unwrap();
    told(&report, Level::Problem, "phone", "ffff");
    assert!(!report.lines.iter().any(|l| l.topic == "backup"));

    let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
    let absent = Usbmuxd::new(Address::parse("127.0.0.1:1"), token.clone());
    let connector = Connector {
        daemon: absent.into(),
        token,
        ..rig.connector()
    };
    let report = examine(&connector, &options_of(&rig)).unwrap();
    told(
        &report,
        Level::Problem,
        "usbmuxd",
        "usbmuxd does not answer",
    );
    told(&report, Level::Ok, "backup", "Mira's iPhone");
    assert_eq!(report.level, Level::Problem);
}

/// Checks that a store that does not exist, or is not a folder, is a line of the report, and that
/// `doctor` creates nothing.
#[test]
fn missing_store_is_reported() {
    let rig = Rig::new();
    let looked = |path: PathBuf, named: bool| {
        let mut options = options_of(&rig);
        (options.store, options.store_is_named) = (path, named);
        examine(&rig.connector(), &options).unwrap()
    };
    let absent = rig.dir.path().join("absent/store");
    told(
        &looked(absent.clone(), true),
        Level::Warning,
        "store",
        "no store found",
    );
    told(
        &looked(absent.clone(), false),
        Level::Ok,
        "store",
        "is not a store yet",
    );
    assert!(!absent.exists() && !rig.dir.path().join("absent").exists());
    told(
        &looked(rig.dir.path().join("sentinel"), true),
        Level::Problem,
        "store",
        "no folder",
    );
    // A folder of other programs' backups is read, and nothing is written in it.
    let theirs = rig.dir.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let report = looked(theirs.clone(), true);
    assert!(
        report
            .not_looked_at
            .iter()
            .any(|what| what.contains("store's disk"))
    );
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
}

#[test]
fn interrupted_draft_and_old_backup_reported() {
    let rig = Rig::backed_up();
    rig.phone.suffer(&["cut-after:400000".parse().unwrap()]);
    let full = idev_backup::backup::create::Options {
        full: true,
        ..options()
    };
    rig.try_create(&full, &Silent).unwrap_err();
    let report = examined(&rig);
    told(&report, Level::Warning, "draft", "interrupted");
    told(&report, Level::Ok, "backup", "last good backup");
    let lock = rig.store.lock(rig.udid()).unwrap();
    told(&examined(&rig), Level::Ok, "draft", "is running");
    drop(lock);
    let mut options = options_of(&rig);
    options.now += 9 * DAY;
    let report = examine(&rig.connector(), &options).unwrap();
    told(&report, Level::Warning, "backup", "9 days old");
    options.age_max = 10 * DAY;
    let report = examine(&rig.connector(), &options).unwrap();
    told(&report, Level::Ok, "backup", "last good backup");
}

#[test]
fn unreadable_notes_are_reported() {
    let rig = Rig::backed_up();
    fs::write(rig.own().join("notes.json"), "rubbish").unwrap();
    let report = examined(&rig);
    let line = told(&report, Level::Warning, "notes", "notes.json");
    assert!(line.hint().unwrap().contains("check that file"));
}

/// Checks that a sync lock that one of our own runs holds is not reported as another program's.
#[test]
fn own_sync_lock_is_recognized() {
    use idev_backup::device::sync_lock::SyncLock;
    let rig = Rig::backed_up();
    let connector = rig.connector();
    let mut session = trust::session_or_pair(
        &connector,
        &rig.attached(),
        Duration::from_secs(10),
        &Silent,
    )
    .unwrap();
    let sync = SyncLock::take(&mut session, &connector.token).unwrap();
    let report = examined(&rig);
    let line = told(
        &report,
        Level::Problem,
        "sync",
        "another program is syncing",
    );
    assert!(line.hint().unwrap().contains("idev-backup"), "{line:?}");
    // The lock on the store shows that the run is ours.
    let lock = rig.store.lock(rig.udid()).unwrap();
    let report = examined(&rig);
    told(
        &report,
        Level::Ok,
        "sync",
        "another idev-backup run is backing it up",
    );
    assert!(
        report.lines.iter().all(|l| l.level != Level::Problem),
        "{report:#?}"
    );
    drop((lock, sync));
}

/// Checks that an error in the config file is a line of the report, and that the other checks still
/// run.
#[test]
fn config_error_does_not_stop_checks() {
    let rig = Rig::new();
    let file = rig.dir.path().join("mine.toml");
    fs::write(&file, "[retention]\nkeep-within = \"30x\"\n").unwrap();
    let file = file.to_str().unwrap();
    let out = runs(&rig, &["--config", file], 1);
    assert!(
        out.contains("mine.toml, line 2: retention.keep-within"),
        "{out}"
    );
    assert!(out.contains("not paired"), "{out}");
    let out = runs(&rig, &["explain", "--config", file, "105"], 0);
    assert!(out.contains("MBErrorDomain 105"), "{out}");
}

/// Checks that the report states when the backup was last verified, and what `verify` found.
#[test]
fn last_verification_is_reported() {
    let rig = Rig::backed_up();
    told(&examined(&rig), Level::Ok, "verified", "since it was made");
    let verify = || {
        let options = verify::Options::bytes();
        let report = verify::verify(&rig.current(), &options, &Silent).unwrap();
        change::record(&report, &Silent);
    };
    verify();
    told(&examined(&rig), Level::Ok, "verified", "last verified on");
    let mut options = options_of(&rig);
    options.now += 100 * DAY;
    let report = examine(&rig.connector(), &options).unwrap();
    told(&report, Level::Warning, "verified", "last verified on");
    let victim = rig.phone.files().find(|f| f.size() > 0).unwrap().file_id();
    fs::remove_file(rig.current().join(&victim[..2]).join(&victim)).unwrap();
    verify();
    let report = examined(&rig);
    let line = told(&report, Level::Problem, "backup", "damaged");
    assert!(line.hint().unwrap().contains("--repair"), "{line:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn read_only_disk_is_reported() {
    let rig = Rig::new();
    let place = rig.dir.path().join("disk");
    fs::create_dir(&place).unwrap();
    let mount = |args: &[&str]| {
        let done = Command::new("mount").args(args).arg(&place).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"]) {
        use std::io::stderr;
        writeln!(stderr(), "skipped: no disk can be mounted here").unwrap();
        return;
    }
    idev_backup::store::Store::create(&place.join("store")).unwrap();
    let read_only = mount(&["-o", "remount,ro"]);
    let mut options = options_of(&rig);
    options.store = place.join("store");
    let report = examine(&rig.connector(), &options).unwrap();
    let unmounted = Command::new("umount").arg(&place).status().unwrap();
    assert!(read_only && unmounted.success());
    let line = told(&report, Level::Problem, "store", "Read-only file system");
    assert!(line.hint().unwrap().contains("read-only"), "{line:?}");
}

/// Checks that `doctor` gives up on a daemon that does not answer and still reports on the backup,
/// and that Ctrl-C ends the wait.
#[test]
fn silent_daemon_times_out() {
    let rig = Rig::backed_up();
    // This daemon accepts every connection and answers no request.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cancel = Arc::new(AtomicBool::new(false));
    let token = CancelToken::new(cancel.clone());
    let connector = Connector {
        daemon: Usbmuxd::new(Address::parse(&address), token.clone()).into(),
        token,
        ..rig.connector()
    };
    let mut options = options_of(&rig);
    options.patience = Duration::from_millis(300);
    let begun = Instant::now();
    let report = examine(&connector, &options).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    told(&report, Level::Problem, "usbmuxd", "does not answer");
    told(&report, Level::Ok, "backup", "last good backup");
    // Ctrl-C ends the wait.
    options.patience = Duration::from_secs(600);
    let stop = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancel.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    let error = examine(&connector, &options).unwrap_err();
    assert_eq!(
        error.kind(),
        idev_backup::base::failure_kind::FailureKind::Interrupted
    );
    stop.join().unwrap();
}

fn runs(rig: &Rig, args: &[&str], code: i32) -> String {
    let ran = ended(program(rig).arg("doctor").args(args));
    assert_eq!(ran.code, code, "{}", ran.all());
    assert!(
        !ran.out.is_empty() || ran.err.contains("hint:"),
        "{}",
        ran.err
    );
    ran.out
}

#[test]
fn text_and_json_reports_agree() {
    let rig = Rig::new();
    let run = |args: &[&str], code| runs(&rig, args, code);
    let out = run(&[], 3);
    for words in [
        "ok       ",
        "warning  ",
        "hint: ",
        "not paired",
        "warnings, 0 problems.",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    rig.daemon.detach(rig.udid());
    let out = run(&[], 1);
    assert!(
        out.contains("problem  ") && out.contains("1 problem, "),
        "{out}"
    );
    rig.daemon.attach(rig.phone.clone());
    let quiet = run(&["--quiet"], 3);
    assert!(
        !quiet.contains("ok   ") && quiet.contains("not paired"),
        "{quiet}"
    );
    let json: Value = serde_json::from_str(&run(&["--json"], 3)).unwrap();
    assert_eq!(
        (&json["version"], &json["event"]),
        (&1.into(), &"doctor".into())
    );
    assert_eq!(json["level"], "warning");
    let lines = json["lines"].as_array().unwrap();
    let trust = lines.iter().find(|l| l["topic"] == "trust").unwrap();
    assert_eq!(
        (&trust["level"], &trust["udid"]),
        (&"warning".into(), &UDID.into())
    );
    assert!(trust["hint"].is_string() && trust["means"].is_string());
    paired(&rig);
    run(&["--device", UDID], 3);
    let help = run(&["--help"], 0);
    assert!(
        help.contains("Exit code 0: ") && help.contains("Example:"),
        "{help}"
    );
}

#[test]
fn explain_reads_arguments_and_stdin() {
    let rig = Rig::new();
    let explained = |args: &[&str], code| runs(&rig, &[&["explain"], args].concat(), code);
    let out = explained(&["105"], 0);
    assert!(
        out.contains("MBErrorDomain 105: ") && out.contains("hint: free space"),
        "{out}"
    );
    let out = explained(&["Could not connect to lockdownd, error code", "-17"], 0);
    assert!(out.contains("the phone is locked"), "{out}");
    let out = explained(&["-21"], 0);
    assert!(out.contains("forgotten this computer"), "{out}");
    for args in [["--json", "25"], ["25", "--json"]] {
        let json: Value = serde_json::from_str(&explained(&args, 0)).unwrap();
        assert_eq!(
            (&json["event"], &json["text"]),
            (&"explained".into(), &"25".into())
        );
    }
    let json: Value = serde_json::from_str(&explained(&["--json", "25"], 0)).unwrap();
    assert!(
        json["explanations"][0]["means"]
            .as_str()
            .unwrap()
            .contains("iCloud")
    );
    explained(&["gibberish"], 1);

    let mut child = program(&rig);
    let child = child
        .args(["doctor", "explain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = child.stderr(Stdio::piped()).spawn().unwrap();
    let log = b"Received 193946 files from device.\nBackup Failed (Error Code 104).\n";
    child.stdin.take().unwrap().write_all(log).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("MBErrorDomain 104"), "{out}");
}

/// Checks that ignored findings are counted, are marked in JSON, and do not change the exit code.
#[test]
fn accepted_findings_are_only_counted() {
    let rig = Rig::backed_up();
    let config = rig.dir.path().join("mine.toml");
    let config = config.to_str().unwrap();
    fs::write(config, "[doctor]\nignore = [\"encryption\"]\n").unwrap();
    let out = runs(&rig, &[], 3);
    assert!(out.contains("does not encrypt its backups"), "{out}");
    for args in [
        &["--ignore", "encryption"][..],
        &["--ignore", "encryption,lock"],
        &["--ignore", "lock", "--ignore", "encryption"],
        &["--config", config],
    ] {
        let out = runs(&rig, args, 0);
        assert!(!out.contains("does not encrypt"), "{out}");
        assert!(out.contains("1 finding ignored: encryption"), "{out}");
        assert!(out.contains("All is well."), "{out}");
    }
    // An option outranks the file.
    runs(&rig, &["--config", config, "--ignore", "lock"], 3);
    let mut command = program(&rig);
    command.env("IDEV_BACKUP_DOCTOR_IGNORE", "encryption,lock");
    assert_eq!(ended(command.arg("doctor")).code, 0);
    let json = runs(&rig, &["--ignore", "encryption", "--json"], 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    let lines = json["lines"].as_array().unwrap();
    let line = lines.iter().find(|l| l["topic"] == "encryption").unwrap();
    assert_eq!(
        (&line["ignored"], &line["level"]),
        (&true.into(), &"warning".into())
    );
    assert_eq!(json["level"], "ok");
    let ignored = lines.iter().filter(|l| l["ignored"] == true).count();
    assert_eq!(ignored, 1);

    let ran = ended(program(&rig).args(["doctor", "--ignore", "encrypt"]));
    assert_eq!(ran.code, 2);
    for words in ["\"encrypt\" is not a topic", "phone_room, clock"] {
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    fs::write(config, "[doctor]\nignore = [\"encrypt\"]\n").unwrap();
    let ran = ended(program(&rig).args(["config", "check", "--config", config]));
    assert!(
        ran.err.contains("\"encrypt\" is not a topic"),
        "{}",
        ran.all()
    );
    runs(
        &rig,
        &["--ignore", "encryption,config", "--config", config],
        0,
    );
}

/// Checks that the commands in hints work as they are printed if there are several phones.
#[test]
fn hints_name_the_phone_among_several() {
    let rig = Rig::backed_up();
    let other = "00008130-000000000000002E";
    rig.daemon
        .attach(idev_backup::simulator::Phone::new(PhoneConfig {
            udid: other.parse().unwrap(),
            name: "Kitchen iPad".to_owned(),
            ..config()
        }));
    let args = ["doctor", "--overdue-after", "0s", "--json"];
    std::thread::sleep(Duration::from_millis(1100));
    let report = ended(program(&rig).args(args)).last_object();
    let hint = |topic: &str, udid: &str| {
        let mut lines = report["lines"].as_array().unwrap().iter();
        let line = lines.find(|l| l["topic"] == topic && l["udid"] == udid);
        line.unwrap()["hint"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        hint("backup", UDID),
        "run `idev-backup create -d \"Mira's iPhone\"`"
    );
    assert_eq!(
        hint("encryption", UDID),
        "`idev-backup encryption on -d \"Mira's iPhone\"`"
    );
    let create = hint("trust", other);
    assert!(
        create.starts_with("run `idev-backup create -d 'Kitchen iPad'`"),
        "{create}"
    );
    let devices = ended(program(&rig).arg("devices"));
    assert!(
        devices.out.contains("create -d 'Kitchen iPad'`"),
        "{}",
        devices.out
    );
    if cfg!(unix) {
        let words = "\"$0\" create -q -d 'Kitchen iPad'";
        let template = program(&rig);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", words, env!("CARGO_BIN_EXE_idev-backup")])
            .envs(
                template
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            );
        assert_eq!(ended(&mut shell).code, 0);
    }
    // The commands of a failed backup name the phone too.
    rig.phone.suffer(&["cut-at:5".parse().unwrap()]);
    let ran = ended(program(&rig).args(["create", "--all"]));
    let words = "run `idev-backup create -d \"Mira's iPhone\"` again";
    assert!(ran.err.contains(words), "{}", ran.err);
}

/// Checks that findings tell phones of one name apart.
#[test]
fn phones_of_one_name_are_told_apart() {
    let rig = Rig::backed_up();
    rig.daemon
        .attach(idev_backup::simulator::Phone::new(PhoneConfig {
            udid: "00008130-000000000000002E".parse().unwrap(),
            ..config()
        }));
    let report = examined(&rig);
    told(
        &report,
        Level::Ok,
        "backup",
        "of Mira's iPhone (..6F70) was made",
    );
    told(
        &report,
        Level::Warning,
        "backup",
        "no backup of Mira's iPhone (..002E)",
    );
    told(
        &report,
        Level::Ok,
        "trust",
        "Mira's iPhone (..6F70) and this computer",
    );
    // A text that identifies several phones means all of them.
    let mut options = options_of(&rig);
    options.device = Some("mira".to_owned());
    let report = examine(&rig.connector(), &options).unwrap();
    for udid in ["(..6F70)", "(..002E)"] {
        told(&report, Level::Ok, "phone", udid);
    }
    assert!(
        !(report.lines.iter()).any(|line| line.says.contains("not connected")),
        "{report:#?}"
    );
}

#[test]
fn draft_without_files_is_not_reported() {
    let rig = Rig::backed_up();
    rig.phone.suffer(&["cut-at:1".parse().unwrap()]);
    rig.try_create(&options(), &Silent).unwrap_err();
    let report = examined(&rig);
    assert!(
        !report.lines.iter().any(|line| line.topic == "draft"),
        "{report:#?}"
    );
    let look = list::Look {
        sizes: false,
        overdue: 7 * DAY,
        now: SystemTime::now(),
    };
    let overview = list::overview(&rig.store, &look).unwrap();
    assert!(overview.drafts.is_empty());
}

#[test]
fn guide_lists_every_topic() {
    let guide = include_str!("../docs/guide/troubleshooting.md");
    let (_, table) = guide.split_once("| topic | what doctor checks |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut listed: Vec<&str> = Vec::new();
    for row in table.lines().skip(2) {
        let cell = row.split('|').nth(1).unwrap();
        let names = cell.split(',').map(|name| name.trim().trim_matches('`'));
        listed.extend(names);
    }
    assert_eq!(listed, idev_backup::doctor::TOPICS);
}
