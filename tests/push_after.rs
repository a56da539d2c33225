//! Pushes to a repository after backups, without a user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::program::{Ran, ended, program};
use crate::rig::{restic, *};

/// A rig whose config file names a repository.
struct Elsewhere {
    rig: Rig,
    repository: PathBuf,
    password: PathBuf,
}

impl Elsewhere {
    /// Returns a rig with an empty repository, or `None` if restic is not installed.
    fn new() -> Option<Elsewhere> {
        if !restic::is_there() {
            return None;
        }
        let rig = Rig::new();
        let elsewhere = Elsewhere {
            repository: rig.dir.path().join("repository"),
            password: rig.dir.path().join("password"),
            rig,
        };
        fs::write(&elsewhere.password, "correct horse, battery\n").unwrap();
        for (key, value) in [
            ("repository.location", &elsewhere.repository),
            ("repository.password-file", &elsewhere.password),
        ] {
            elsewhere.set(key, value.to_str().unwrap());
        }
        let init = elsewhere.run(&["repository", "init"], 0);
        assert!(init.out.contains("Created"), "{}", init.all());
        elsewhere.set("repository.push", "true");
        elsewhere.set("repository.retry", "0");
        Some(elsewhere)
    }

    fn set(&self, key: &str, value: &str) {
        self.run(&["config", "set", key, value], 0);
    }

    fn run(&self, args: &[&str], code: i32) -> Ran {
        let ran = ended(program(&self.rig).args(args));
        assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
        ran
    }

    fn restic(&self, args: &[&str]) -> String {
        restic::run(&self.repository, &self.password, args)
    }

    fn number(&self) -> usize {
        let all: Vec<Value> = serde_json::from_str(&self.restic(&["snapshots", "--json"])).unwrap();
        all.len()
    }

    /// Returns a hook that appends its object to a file, and the file.
    fn hook(&self) -> (String, PathBuf) {
        let file = self.rig.dir.path().join("noted");
        let hook = if cfg!(windows) {
            format!("findstr \"^\" >> \"{}\"", file.display())
        } else {
            format!("cat >> '{0}'; echo >> '{0}'", file.display())
        };
        (hook, file)
    }
}

fn objects(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn create_pushes_the_new_backup() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    let ran = elsewhere.run(&["create"], 0);
    assert!(ran.out.contains("1 backup pushed to"), "{}", ran.all());
    let check = elsewhere.restic(&["check", "--read-data"]);
    assert!(check.contains("no errors were found"), "{check}");
    assert_eq!(elsewhere.number(), 1);
    let place = elsewhere.repository.to_str().unwrap();
    assert_eq!(elsewhere.rig.store.not_copied(place).unwrap(), []);

    // One object for the backup, one for the push.
    let ran = elsewhere.run(&["create", "--json"], 0);
    assert_eq!(ran.object("done")["udid"], UDID);
    assert_eq!(ran.last_object()["event"], "pushed");
    assert_eq!(ran.last_object()["present"], 1);
    assert_eq!(elsewhere.number(), 2);

    // A flag switches it off for once; the next run sends both backups.
    elsewhere.run(&["create", "--push=false"], 0);
    assert_eq!(elsewhere.number(), 2);
    assert_eq!(elsewhere.rig.store.not_copied(place).unwrap().len(), 1);
    elsewhere.run(&["create"], 0);
    assert_eq!(elsewhere.number(), 4);
    // A run that makes no backup asks the repository for nothing.
    fs::rename(&elsewhere.repository, elsewhere.rig.dir.path().join("away")).unwrap();
    let ran = elsewhere.run(&["create", "--if-older-than", "20h"], 0);
    assert!(ran.err.contains("Nothing to do"), "{}", ran.all());
}

/// Makes a backup from the pages of the program, which pushes it as the settings say.
#[cfg(all(unix, feature = "web"))]
#[test]
fn pages_push_the_new_backup() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    elsewhere.run(&["create", "--push=false"], 0);
    let mut command = program(&elsewhere.rig);
    command
        .args(["open", "--no-browser"])
        .stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut link = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut link).unwrap();
    let browser = crate::web::Browser::start(link.trim());
    let home = browser.page(&browser.home);
    let place = elsewhere.repository.display();
    assert!(
        home.contains(&format!("no backup was pushed to {place} yet")),
        "{home}"
    );
    let phone = format!("{}phone/{UDID}", browser.home);
    let check = crate::web_acting::check(&browser.page(&phone));
    let origin = format!("http://{}", browser.address);
    let started = browser.post(
        &format!("{phone}/back-up"),
        &format!("check={check}"),
        &origin,
    );
    assert_eq!(started.status, 303, "{}", started.text());
    let job = started.header("location");
    let begun = Instant::now();
    let page = loop {
        let page = browser.page(job);
        if page.contains("Done in ") {
            break page;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{page}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(
        page.contains(&format!("Pushed to {place}: 2 backups")),
        "{page}"
    );
    assert_eq!(elsewhere.number(), 2);
    let home = browser.page(&browser.home);
    assert!(
        home.contains(&format!("the newest backup is in {place}")),
        "{home}"
    );
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn failed_push_is_a_problem() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    let away = elsewhere.rig.dir.path().join("away");
    fs::rename(&elsewhere.repository, &away).unwrap();
    let (hook, file) = elsewhere.hook();
    let args = ["create", "--on-push-failure", &hook, "--json"];
    let ran = elsewhere.run(&args, 3);
    assert_eq!(ran.object("done")["udid"], UDID);
    let problem = ran.object("problem");
    let text = problem["text"].as_str().unwrap();
    assert!(
        text.contains("the push to the repository failed") && text.contains("no repository"),
        "{text}"
    );
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .contains("check the place")
    );
    let told = &objects(&file)[0];
    assert_eq!(
        (&told["event"], &told["exit_code"]),
        (&"on_push_failure".into(), &3.into())
    );
    assert!(
        told["text"]
            .as_str()
            .unwrap()
            .contains("the push to the repository failed"),
        "{told}"
    );
    assert!(told["hint"].is_string());
    assert_whole(&elsewhere.rig.current());
    let noted = elsewhere.rig.store.copies().unwrap();
    assert!(
        noted[0]
            .failed
            .as_ref()
            .unwrap()
            .why
            .contains("no repository")
    );

    // A later run pushes, even though it makes no backup, and forgets the failure.
    fs::rename(&away, &elsewhere.repository).unwrap();
    let ran = elsewhere.run(&["create", "--if-older-than", "20h"], 0);
    assert!(ran.out.contains("1 backup pushed to"), "{}", ran.all());
    assert_eq!(elsewhere.rig.store.copies().unwrap()[0].failed, None);
}

/// Checks that a wrong password, or none, fails the push and prompts for nothing.
#[test]
fn unattended_push_never_prompts() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    fs::write(&elsewhere.password, "wrong\n").unwrap();
    let ran = elsewhere.run(&["create"], 3);
    assert!(
        ran.err
            .contains("the password does not open the repository"),
        "{}",
        ran.all()
    );
    elsewhere.run(&["config", "unset", "repository.password-file"], 0);
    let ran = elsewhere.run(&["create"], 3);
    assert!(
        ran.err.contains("nothing gives the password"),
        "{}",
        ran.all()
    );
    assert!(
        ran.err.contains("config set repository.password-file"),
        "{}",
        ran.err
    );
    elsewhere.run(&["config", "unset", "repository.location"], 0);
    let ran = elsewhere.run(&["create"], 3);
    assert!(ran.err.contains("no repository is named"), "{}", ran.all());
    assert_eq!(elsewhere.rig.store.snapshots().unwrap().len(), 3);
}

#[test]
fn conditions_hold_a_push_back() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    let hour = jiff::Zoned::now().hour();
    let quiet = format!("{:02}:00-{:02}:00", (hour + 23) % 24, (hour + 2) % 24);
    let ran = elsewhere.run(&["create", "--push-quiet-hours", &quiet], 0);
    assert!(ran.err.contains("now are the quiet hours"), "{}", ran.all());
    assert_eq!(elsewhere.number(), 0);
    let ran = elsewhere.run(
        &["create", "--push-if", "echo metered&& exit 1", "--json"],
        0,
    );
    let object = ran.last_object();
    assert_eq!(object["event"], "push_skipped");
    assert!(
        object["why"].as_str().unwrap().contains("metered"),
        "{object}"
    );
    elsewhere.run(&["create", "--push-if", "exit 0"], 0);
    assert_eq!(elsewhere.number(), 3);
}

fn until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "it did not happen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn watch_pushes_what_it_backs_up() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    let mut child = program(&elsewhere.rig).arg("watch").spawn().unwrap();
    let place = elsewhere.repository.to_str().unwrap();
    let is_there = || {
        let phones = elsewhere.rig.store.phones().unwrap();
        let behind = elsewhere.rig.store.not_copied(place).unwrap();
        phones.len() == 1 && behind.is_empty() && elsewhere.rig.store.copies().unwrap().len() == 1
    };
    until(is_there);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(elsewhere.number(), 1);
}

#[test]
fn age_of_last_copy_is_reported() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    let check = ["list", "--check", "--copy-overdue-after", "0s"];
    let doctor = |topic: &str| -> Vec<Value> {
        let ran = ended(program(&elsewhere.rig).args(["doctor", "--json"]));
        let lines = ran.object("doctor")["lines"].as_array().unwrap().clone();
        lines
            .into_iter()
            .filter(|line| line["topic"] == topic)
            .collect()
    };
    elsewhere.run(&["create", "--push=false"], 0);
    let ran = elsewhere.run(&check, 1);
    assert!(
        ran.out
            .contains("OVERDUE: Elsewhere: no backup was pushed to"),
        "{}",
        ran.all()
    );
    elsewhere.run(&["list", "--check"], 0);
    assert_eq!(doctor("copies")[0]["level"], "ok");

    elsewhere.run(&["create"], 0);
    let ran = elsewhere.run(&check, 0);
    assert!(
        ran.out.contains("Elsewhere: the newest backup is in"),
        "{}",
        ran.all()
    );
    let ran = elsewhere.run(&["list", "--metrics"], 0);
    for words in [
        "idev_backup_copy_timestamp_seconds{",
        "idev_backup_copy_overdue{",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let says = doctor("copies")[0]["says"].as_str().unwrap().to_owned();
    assert!(
        says.contains("the newest backup of Mira's iPhone is in"),
        "{says}"
    );
    let wipe = &doctor("wipe")[0];
    assert_eq!(wipe["level"], "warning");
    assert!(
        wipe["hint"].as_str().unwrap().contains("Ransomware"),
        "{wipe}"
    );

    // A push that failed is a warning, however young the backup is.
    fs::rename(&elsewhere.repository, elsewhere.rig.dir.path().join("away")).unwrap();
    elsewhere.run(&["create"], 3);
    let ran = elsewhere.run(&["list"], 0);
    assert!(ran.out.contains("The push failed today"), "{}", ran.all());
    let copies = elsewhere.run(&["list", "--json"], 0).last_object();
    let copy = &copies["phones"][0]["copies"][0];
    assert!(
        copy["waits_since"].is_string() && copy["date"].is_string(),
        "{copy}"
    );
    let line = &doctor("copies")[0];
    assert_eq!(line["level"], "warning");
    assert!(
        line["means"].as_str().unwrap().contains("the push failed"),
        "{line}"
    );
    // The disk of the repository is away.
    assert_eq!(doctor("wipe")[0]["level"], "ok");

    // Notes that cannot be read are named.
    let notes = elsewhere.rig.store.root().join(".idev-backup/copies.json");
    fs::write(notes, "{").unwrap();
    let ran = elsewhere.run(&["list"], 3);
    assert!(
        ran.all().contains("copies elsewhere cannot be read"),
        "{}",
        ran.all()
    );
}

#[test]
fn verify_reads_a_copy_in_the_repository() {
    let Some(elsewhere) = Elsewhere::new() else {
        return;
    };
    elsewhere.run(&["create"], 0);
    let verify = ["verify", "--from", "repository", "--json"];
    let proof = elsewhere.run(&verify, 0).object("copy_verified");
    let backup = &elsewhere.rig.store.snapshots().unwrap()[0];
    assert_eq!(proof["damage"], 0);
    assert_eq!(proof["backup"], backup.id().as_str());
    let sums = fs::read_to_string(backup.sums().unwrap()).unwrap();
    assert_eq!(proof["read_files"], sums.lines().count());

    // restic pushes a backup again in which one file was altered, one removed and one added.
    let to = elsewhere.rig.dir.path().join("altered");
    elsewhere.restic(&["restore", "latest", "--target", to.to_str().unwrap()]);
    let paths: Vec<&str> = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    fs::write(to.join(paths[0]), "altered").unwrap();
    fs::remove_file(to.join(paths[1])).unwrap();
    fs::write(to.join("zz"), "added").unwrap();
    let stored: Value = serde_json::from_str(&elsewhere.restic(&["snapshots", "--json"])).unwrap();
    let tags: Vec<String> = serde_json::from_value(stored[0]["tags"].clone()).unwrap();
    let id = stored[0]["id"].as_str().unwrap();
    let output = Command::new("restic")
        .current_dir(&to)
        .args(["--no-cache", "-r"])
        .arg(&elsewhere.repository)
        .arg("--password-file")
        .arg(&elsewhere.password)
        .args(["backup", ".", "--tag", &tags.join(",")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    elsewhere.restic(&["forget", id]);
    let proof = elsewhere.run(&verify, 1).object("copy_verified");
    let found: Vec<(&str, &str)> = (proof["findings"].as_array().unwrap().iter())
        .map(|one| {
            (
                one["wrong"].as_str().unwrap(),
                one["file"].as_str().unwrap(),
            )
        })
        .collect();
    let wanted = [
        ("different", paths[0]),
        ("missing", paths[1]),
        ("unlisted", "zz"),
    ];
    assert_eq!(found, wanted);
    let ran = elsewhere.run(&["verify", "--from", "repository"], 1);
    assert!(ran.out.contains("DAMAGED"), "{}", ran.all());
}
