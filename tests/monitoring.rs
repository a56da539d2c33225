//! Monitoring of a store: metrics, checks of all phones, and what jobs print.

use std::fs;
use std::sync::LazyLock;

use idev_backup::simulator::{Phone, PhoneConfig};
use regex::Regex;

use crate::rig::program::{Ran, ended, program};
use crate::rig::{OTHER_UDID, Rig, UDID, config};

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = ended(program(rig).args(args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

/// Returns a rig with two phones; the name of the second one needs escaping.
fn two_phones() -> Rig {
    let rig = Rig::new();
    rig.daemon.attach(Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen \"iPad\" \\1".into(),
        ..config()
    }));
    rig
}

/// Parses metrics strictly: every line is a comment of a known form or a sample of the family that
/// was declared last. Returns the samples.
fn parsed(text: &str) -> Vec<(String, String, u64)> {
    static SAMPLE: LazyLock<Regex> = LazyLock::new(|| {
        let label = r#"[a-z_]+="(?:[^"\\\n]|\\["\\n])*""#;
        Regex::new(&format!(
            r"^([a-z][a-z_]*)\{{({label}(?:,{label})*)\}} (\d+)$"
        ))
        .unwrap()
    });
    let mut samples = Vec::new();
    let (mut helped, mut family) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{helped} gauge"));
            family = helped.clone();
        } else {
            let found = SAMPLE.captures(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(found[1], family);
            samples.push((
                found[1].to_owned(),
                found[2].to_owned(),
                found[3].parse().unwrap(),
            ));
        }
    }
    samples
}

fn value(samples: &[(String, String, u64)], name: &str, udid: &str) -> Option<u64> {
    let label = format!("udid=\"{udid}\"");
    let of = |s: &&(String, String, u64)| {
        s.0 == format!("idev_backup_{name}") && (udid.is_empty() || s.1.contains(&label))
    };
    samples.iter().find(of).map(|sample| sample.2)
}

#[test]
fn metrics_show_the_state_of_each_phone() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    runs(&rig, &["verify", "Mira"], 0);
    let read = |args: &[&str], code| {
        let ran = runs(&rig, &[&["list", "--metrics"], args].concat(), code);
        parsed(&ran.out)
    };
    let samples = read(&[], 0);
    for udid in [UDID, OTHER_UDID] {
        for (name, expected) in [
            ("overdue", 0),
            ("retired", 0),
            ("damaged", 0),
            ("snapshots", 1),
        ] {
            assert_eq!(value(&samples, name, udid), Some(expected), "{name}");
        }
        assert!(value(&samples, "last_good_age_seconds", udid).is_some_and(|age| age < 3600));
        assert!(value(&samples, "size_bytes", udid).is_some_and(|bytes| bytes > 100_000));
    }
    assert_eq!(value(&samples, "store_up", ""), Some(1));
    assert_eq!(value(&samples, "store_phones", ""), Some(2));
    assert!(value(&samples, "store_free_bytes", "").is_some());
    assert!(value(&samples, "verified_age_seconds", UDID).is_some_and(|age| age < 3600));
    assert_eq!(value(&samples, "verified_age_seconds", OTHER_UDID), None);
    let named = samples.iter().find(|s| s.1.contains(OTHER_UDID)).unwrap();
    let name = r#",name="Kitchen \"iPad\" \\1""#;
    assert!(named.1.ends_with(name), "{named:?}");

    // `--check` only decides the exit code.
    let victim = crate::rig::victim(&rig);
    fs::remove_file(rig.current().join(victim)).unwrap();
    runs(&rig, &["verify", "-q", "Mira"], 1);
    let samples = read(&["--check"], 1);
    assert_eq!(value(&samples, "damaged", UDID), Some(1));
    assert_eq!(value(&samples, "newest_damaged", UDID), Some(1));
    assert_eq!(value(&samples, "overdue", UDID), Some(1));
    assert_eq!(value(&samples, "last_good_timestamp_seconds", UDID), None);
    assert_eq!(value(&read(&[], 0), "damaged", OTHER_UDID), Some(0));
    runs(&rig, &["retire", "Mira"], 0);
    let samples = read(&[], 0);
    assert_eq!(value(&samples, "overdue", UDID), Some(0));
    assert_eq!(value(&samples, "retired", UDID), Some(1));
}

#[test]
fn metrics_file_is_replaced_whole() {
    let rig = Rig::backed_up();
    let file = rig.dir.path().join("idev_backup.prom");
    let to = file.to_str().unwrap();
    fs::write(&file, "old").unwrap();
    let ran = runs(&rig, &["list", "--check", "--metrics", "--output", to], 0);
    assert_eq!(ran.all().trim(), "");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(value(&parsed(&text), "overdue", UDID), Some(0));
    #[cfg(unix)]
    {
        // Another user's program reads this file, so the umask alone decides its permissions.
        use std::os::unix::fs::PermissionsExt;
        let ordinary = rig.dir.path().join("ordinary");
        fs::write(&ordinary, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), mode(&ordinary) & 0o644);
    }
    let folder = rig.dir.path().to_str().unwrap();
    let ran = runs(&rig, &["list", "--metrics", "--output", folder], 1);
    assert!(ran.err.contains("is not a file"), "{}", ran.all());
    runs(&rig, &["list", "--to", to], 2);
    runs(&rig, &["list", "--metrics", "--json"], 2);

    // A store that is away is reported as such, and does not leave the old values in place.
    let gone = rig.dir.path().join("gone");
    let gone = gone.to_str().unwrap();
    let ran = runs(
        &rig,
        &["list", "--metrics", "--output", to, "--store", gone],
        1,
    );
    assert!(ran.err.contains("no store found"), "{}", ran.all());
    let samples = parsed(&fs::read_to_string(&file).unwrap());
    assert_eq!(value(&samples, "store_up", ""), Some(0));
    assert_eq!(value(&samples, "overdue", UDID), None);
    let left: Vec<_> = fs::read_dir(rig.dir.path()).unwrap().flatten().collect();
    let is_temporary = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("tmp");
    assert!(!left.iter().any(is_temporary), "{left:?}");
}

/// Writes the file of a job, as `schedule add` does.
fn job(rig: &Rig, arguments: &[&str]) -> String {
    let folder = rig.dir.path().join("home/config/idev-backup/schedule");
    let folder = if cfg!(windows) {
        rig.dir.path().join("home/roaming/idev-backup/schedule")
    } else {
        folder
    };
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("nightly.json");
    let job = serde_json::json!({
        "version": 1,
        "name": "nightly",
        "when": "daily 22:00",
        "with": "cron",
        "arguments": arguments,
        "folder": rig.dir.path(),
        "environment": {},
    });
    fs::write(&file, job.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn job_prints_only_problems() {
    let rig = two_phones();
    let log = |code| runs(&rig, &["schedule", "log", "nightly"], code).out;
    let file = job(&rig, &["create", "--all"]);
    assert!(log(0).contains("has not run yet"));
    let run = |code| runs(&rig, &["schedule", "run", &file], code);
    let ran = run(0);
    assert_eq!(ran.all().trim(), "");
    let told = log(0);
    for words in [
        "Started by the schedule: idev-backup create --all",
        "Mira's iPhone: Everything",
        "Mira's iPhone: backed up in",
        "2 of 2 phones backed up.",
        "Ended with 0: done",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // `schedule log` shows the last run; the file keeps the earlier ones.
    rig.phone.suffer(&["cut-at:5".parse().unwrap()]);
    let ran = run(8);
    for words in [
        "Mira's iPhone: error: ",
        "  hint: ",
        "is untouched",
        "1 of 2 phones backed up; Mira's iPhone failed: ",
    ] {
        assert!(ran.all().contains(words), "{words}: {}", ran.all());
    }
    for words in ["Receiving", "Kitchen \"iPad\" \\1: backed up", " -> "] {
        assert!(!ran.all().contains(words), "{words}: {}", ran.all());
    }
    let told = log(0);
    assert_eq!(told.matches("Started by the schedule").count(), 1);
    assert!(
        told.contains("Receiving") && told.contains("error: "),
        "{told}"
    );
    let object = runs(&rig, &["schedule", "log", "nightly", "--json"], 0).last_object();
    let all = fs::read_to_string(object["path"].as_str().unwrap()).unwrap();
    assert_eq!(all.matches("Started by the schedule").count(), 2);
    assert!(object["lines"].as_array().unwrap().len() > 10);
    runs(&rig, &["schedule", "log", "other"], 1);

    // A backup that is overdue is a problem, and so is a mistake in the config file.
    job(
        &rig,
        &[
            "create",
            "--all",
            "--if-older-than",
            "30d",
            "--overdue-after",
            "0s",
        ],
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let ran = run(0);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.err);
    assert!(
        lines.iter().all(|line| line.starts_with("OVERDUE: ")),
        "{lines:?}"
    );
    job(&rig, &["create", "--no-such-option"]);
    assert!(run(2).err.contains("--no-such-option"));
}

/// Checks that a command that a hook runs prints as usual, although a job started it.
#[test]
#[cfg(unix)]
fn hook_of_a_job_is_no_job() {
    let rig = Rig::new();
    let listed = rig.dir.path().join("listed");
    let hook = format!(
        "'{}' list > '{}'",
        env!("CARGO_BIN_EXE_idev-backup"),
        listed.display()
    );
    let file = job(&rig, &["create", "--on-success", &hook]);
    runs(&rig, &["schedule", "run", &file], 0);
    let text = fs::read_to_string(&listed).unwrap();
    assert!(text.contains("Mira's iPhone"), "{text}");
}

#[test]
fn several_phones_end_with_one_line() {
    let rig = two_phones();
    let ran = runs(&rig, &["create", "--all"], 0);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert!(lines[0].contains(": backed up in "), "{}", ran.out);
    assert_eq!(lines[2], "2 of 2 phones backed up.");
    assert!(!ran.all().contains(UDID), "{}", ran.all());
    rig.phone.suffer(&["cut-at:5".parse().unwrap()]);
    let ran = runs(&rig, &["create", "--all", "--json"], 8);
    let summary = ran.last_object();
    assert_eq!(summary["event"], "summary");
    let parts = summary["parts"].as_array().unwrap();
    let part = |udid: &str| parts.iter().find(|part| part["udid"] == udid).unwrap();
    assert_eq!(part(UDID)["result"], "failed");
    assert_eq!(part(UDID)["exit_code"], 8);
    assert_eq!(part(OTHER_UDID)["result"], "done");
    let ran = runs(&rig, &["create", "--all", "-q", "--if-older-than", "1d"], 0);
    assert_eq!(ran.all().trim(), "");
    let ran = runs(&rig, &["create", "--all", "--if-older-than", "1d"], 0);
    let told = "0 of 2 phones backed up; nothing to do for ";
    assert!(ran.out.contains(told), "{}", ran.out);
}

#[test]
fn verify_all_checks_every_phone() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    runs(&rig, &["create", "-q", "--device", UDID], 0);
    let ran = runs(&rig, &["verify", "--all"], 0);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("Mira's iPhone: WHOLE. ")),
        "{lines:?}"
    );
    assert_eq!(lines[2], "2 of 2 backups without damage.");
    let list = runs(&rig, &["list", "--json"], 0).last_object();
    let verified: Vec<bool> = list["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| !b["verified"].is_null())
        .collect();
    assert_eq!(verified.iter().filter(|v| **v).count(), 2, "{list}");
    let ran = runs(&rig, &["verify", "--all", "--snapshots"], 0);
    assert!(
        ran.out.contains("3 of 3 backups without damage."),
        "{}",
        ran.out
    );

    let victim = crate::rig::victim(&rig);
    fs::remove_file(rig.current().join(victim)).unwrap();
    let ran = runs(&rig, &["verify", "--all", "--quiet"], 1);
    for words in [
        "Mira's iPhone: DAMAGED. 1 of ",
        "hint: `idev-backup verify ",
        "1 of 2 backups without damage; Mira's iPhone failed: 1 of ",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.all());
    }
    let ran = runs(&rig, &["verify", "--all", "--json"], 1);
    let objects = ran.objects();
    let verdicts: Vec<_> = objects
        .iter()
        .filter(|o| o["event"] == "verified")
        .collect();
    assert_eq!(verdicts.len(), 2);
    assert!(
        verdicts
            .iter()
            .any(|o| o["udid"] == UDID && o["outcome"] == "damaged")
    );
    assert_eq!(ran.last_object()["command"], "verify");
    runs(&rig, &["verify", "--all", "latest"], 2);
    runs(&rig, &["verify", "--snapshots"], 2);
}

#[test]
fn copy_all_mirrors_a_store() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    runs(&rig, &["create", "-q", "--device", UDID], 0);
    let mirror = rig.dir.path().join("mirror");
    let mirror = mirror.to_str().unwrap();
    let ran = runs(&rig, &["copy", "--all", mirror, "--new-store"], 0);
    assert!(ran.out.contains("2 of 2 backups copied."), "{}", ran.out);
    let ran = runs(&rig, &["copy", "--all", "--snapshots", mirror], 0);
    let told = "1 of 3 backups copied; already there: ";
    assert!(ran.out.contains(told), "{}", ran.out);
    let listed = |store: &str| {
        let list = runs(&rig, &["list", "--json", "--store", store], 0).last_object();
        let backups = list["backups"].as_array().unwrap().clone();
        let key = |b: &serde_json::Value| {
            (
                b["stamp"].to_string(),
                b["udid"].to_string(),
                b["current"] == true,
            )
        };
        backups.iter().map(key).collect::<Vec<_>>()
    };
    assert_eq!(listed(mirror), listed(rig.store.root().to_str().unwrap()));
    runs(
        &rig,
        &["verify", "--all", "--snapshots", "-q", "--store", mirror],
        0,
    );
    let ran = runs(&rig, &["copy", "--all", "--snapshots", mirror, "--json"], 0);
    let summary = ran.last_object();
    assert_eq!(summary["parts"][0]["result"], "nothing_to_do");
    runs(&rig, &["copy", "--all", "latest", mirror], 2);
    // Advice about the target names no option for the store that is copied.
    let file = rig.dir.path().join("sentinel");
    let into = file.join("x");
    for args in [&["copy", "--all"][..], &["copy", "Kitchen"]] {
        let args = [args, &[into.to_str().unwrap(), "--new-store"]].concat();
        let ran = runs(&rig, &args, 1);
        assert!(ran.err.contains("as the target"), "{}", ran.all());
        assert!(!ran.err.contains("with --store"), "{}", ran.err);
    }
    // Without a name, `copy` takes the current backup of a store with one phone.
    let ran = runs(&rig, &["copy", mirror], 1);
    assert!(ran.err.contains("Mira's iPhone"), "{}", ran.all());
}

#[test]
fn retired_phone_is_never_overdue() {
    let rig = Rig::backed_up();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let create = ["create", "--if-older-than", "30d", "--overdue-after", "0s"];
    let overdue = "OVERDUE: Mira's iPhone: its last good backup is ";
    assert!(runs(&rig, &create, 0).err.contains(overdue));
    runs(&rig, &["retire", "Mira"], 0);
    let ran = runs(&rig, &create, 0);
    assert!(!ran.err.contains("OVERDUE"), "{}", ran.err);
    let ran = runs(&rig, &["schedule", "status"], 0);
    assert!(ran.out.contains("; retired"), "{}", ran.out);
    rig.daemon.detach(rig.udid());
    let absent = [&create[..], &["--if-present"]].concat();
    let ran = runs(&rig, &absent, 0);
    assert!(!ran.err.contains("OVERDUE"), "{}", ran.err);
    let doctor = ["doctor", "--overdue-after", "0s", "--json"];
    let report = ended(program(&rig).args(doctor)).last_object();
    let lines = report["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["topic"] == "backup").unwrap();
    assert_eq!(line["level"], "ok", "{line}");
}

/// Checks that the names that an ambiguous one suggests work, also if two phones have one name.
#[test]
fn suggested_names_fit_one_backup() {
    let rig = Rig::new();
    rig.daemon.attach(Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        ..config()
    }));
    runs(&rig, &["create", "-q", "--all"], 0);
    let ran = runs(&rig, &["info", "latest"], 1);
    let (_, names) = ran.err.split_once("matches 2 backups: ").unwrap();
    let names: Vec<&str> = names.lines().next().unwrap().split(", ").collect();
    assert_eq!(names.len(), 2);
    for name in names {
        runs(&rig, &["info", name], 0);
    }
    let list = runs(&rig, &["list", "--overdue-after", "0s"], 0).out;
    for name in ["Mira's iPhone (..6F70)", "Mira's iPhone (..002E)"] {
        assert!(list.contains(name), "{list}");
    }
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let list = runs(&rig, &["list", "--overdue-after", "0s"], 0).out;
    assert!(
        list.contains(&format!("Run `idev-backup create -d {OTHER_UDID}`.")),
        "{list}"
    );
}

#[test]
#[cfg(unix)]
fn interrupted_verify_says_so() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    let rig = Rig::backed_up();
    // The command for the password never ends, so the program waits for it.
    let mut child = program(&rig)
        .args(["verify", "--password-command", "echo waiting >&2; cat"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    drop(child.stdin.take());
    let mut told = String::new();
    said.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told}");
    let hint = "  hint: nothing was changed, and the next check begins at the first file\n";
    assert_eq!(told, format!("error: interrupted\n{hint}"));
}
