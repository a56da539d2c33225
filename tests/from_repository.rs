//! Reading a backup in a repository, which is not pulled for that.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use idev_backup::base::progress::Silent;
use idev_backup::simulator::{Password, PhoneConfig};

use crate::rig::program::{Ran, ended, program};
use crate::rig::{restic, *};

const RIGHT: &str = "correct horse 1";
const SMS: &str = "HomeDomain/Library/SMS/sms.db";

/// A rig whose backup was pushed.
struct Pushed {
    rig: Rig,
    repository: PathBuf,
    password: PathBuf,
    temporary: PathBuf,
}

impl Pushed {
    /// Returns `None` if restic is not installed.
    fn new(password: Option<&str>) -> Option<Pushed> {
        if !restic::is_there() {
            return None;
        }
        let rig = Rig::with(PhoneConfig {
            backup_password: password.map(Password::new),
            ..config()
        });
        rig.try_create(&options(), &Silent).unwrap();
        let of = |name: &str| rig.dir.path().join(name);
        let pushed = Pushed {
            repository: of("repository"),
            password: of("password"),
            temporary: of("temporary"),
            rig,
        };
        fs::write(&pushed.password, "correct horse, battery\n").unwrap();
        fs::create_dir(&pushed.temporary).unwrap();
        for args in [
            &["repository", "init"][..],
            &["repository", "push", "--no-check"],
        ] {
            let ran = ended(&mut pushed.command(args));
            assert_eq!(ran.code, 0, "{}", ran.all());
        }
        Some(pushed)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(&self.rig);
        command
            .args(args)
            .env("IDEV_BACKUP_REPOSITORY_LOCATION", &self.repository)
            .env("IDEV_BACKUP_REPOSITORY_PASSWORD_FILE", &self.password)
            .env("TMPDIR", &self.temporary)
            .env("TMP", &self.temporary);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ended(&mut self.command(args))
    }

    /// Runs a command from the repository. Nothing of it stays in the folder for temporary files.
    fn there(&self, args: &[&str]) -> Ran {
        let (command, rest) = args.split_first().unwrap();
        let ran = self.run(&[&[*command, "--from", "repository"], rest].concat());
        self.assert_tidy();
        ran
    }

    fn assert_tidy(&self) {
        let left = fs::read_dir(&self.temporary).unwrap();
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    fn to(&self, name: &str) -> String {
        self.rig.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Compares what commands print and write of a backup in the store with what they do of its copy.
/// The copy has no parent folder with the files any more.
fn assert_alike(pushed: &Pushed, password: &[&str]) {
    for args in [
        &["ls", "latest"][..],
        &["ls", "latest", "HomeDomain/Library", "-lR"],
        &["find", "latest", "*.db"],
        // Words of files, which leave the backup out.
        &["find", "*.db"],
        &["ls", "HomeDomain"],
        &["cat", "latest", SMS],
    ] {
        let args = [args, password].concat();
        let mut here = pushed.command(&args);
        let mut there = pushed.command(&args);
        there.args(["--from", "repository"]);
        let (here, there) = (here.output().unwrap(), there.output().unwrap());
        let said = String::from_utf8_lossy(&there.stderr);
        assert_eq!(here.status.code(), Some(0), "{args:?}");
        assert_eq!(there.status.code(), Some(0), "{args:?}: {said}");
        assert!(
            here.stdout == there.stdout && !here.stdout.is_empty(),
            "{args:?}"
        );
        pushed.assert_tidy();
    }
    let (here, there) = (pushed.to("here"), pushed.to("there"));
    let extract = |to: &str, more: &[&str]| {
        let args = [&["extract", "latest", "--to", to][..], more, password].concat();
        let ran = pushed.run(&args);
        pushed.assert_tidy();
        assert_eq!(ran.code, 0, "{}", ran.all());
        ran
    };
    let from = ["--from", "repository"];
    extract(&here, &[]);
    extract(&there, &from);
    let whole = tree(here.as_ref());
    assert_same(&whole, &tree(there.as_ref()), "extracted");
    // Further runs compare what is there, and write what is missing.
    fs::remove_file(PathBuf::from(&there).join(SMS)).unwrap();
    let again = extract(&there, &[&from[..], &["--json"]].concat()).object("extracted");
    assert_eq!(again["files"], 1, "{again}");
    fs::write(PathBuf::from(&there).join(SMS), "other").unwrap();
    extract(&there, &[&from[..], &["--overwrite"]].concat());
    assert_same(&whole, &tree(there.as_ref()), "extracted again");
    let few = pushed.to("few");
    extract(&few, &[&from[..], &["sms.db"]].concat());
    assert!(PathBuf::from(&few).join(SMS).is_file());
    let dry = pushed.to("dry");
    extract(&dry, &[&from[..], &["--dry-run"]].concat());
    assert!(!PathBuf::from(&dry).exists());
}

#[test]
fn copies_are_read_like_backups() {
    let Some(pushed) = Pushed::new(None) else {
        return;
    };
    assert_alike(&pushed, &[]);
    let here = pushed.run(&["info", "latest", "--json"]).last_object();
    let there = pushed.there(&["info", "--json"]).last_object();
    for fact in [
        "name",
        "ios",
        "date",
        "complete",
        "encrypted",
        "ours",
        "stored",
        "contents",
    ] {
        assert_eq!(here[fact], there[fact], "{fact}");
    }
    let path = there["path"].as_str().unwrap();
    assert!(path.contains("repository, snapshot "), "{path}");

    let missing = pushed.there(&["cat", "latest", "HomeDomain/nothing"]);
    assert_eq!(missing.code, 1, "{}", missing.all());
    let unknown = pushed.there(&["ls", "nobody"]);
    assert!(unknown.err.contains("has no snapshot"), "{}", unknown.err);
    fs::write(&pushed.password, "wrong\n").unwrap();
    let wrong = pushed.there(&["ls"]);
    assert_eq!(wrong.code, 6, "{}", wrong.all());
}

#[test]
fn encrypted_copies_need_their_own_password() {
    let Some(pushed) = Pushed::new(Some(RIGHT)) else {
        return;
    };
    let file = pushed.to("backup-password");
    fs::write(&file, RIGHT).unwrap();
    assert_alike(&pushed, &["--password-file", &file]);
    let info = pushed.there(&["info"]);
    assert!(info.out.contains("give the password"), "{}", info.all());
    let info = pushed.there(&["info", "--password-file", &file]);
    assert!(info.out.contains("Contents"), "{}", info.all());
    fs::write(&file, "wrong").unwrap();
    let wrong = pushed.there(&["ls", "--password-file", &file]);
    assert_eq!(wrong.code, 6, "{}", wrong.all());
    assert!(wrong.err.contains("snapshot "), "{}", wrong.err);
    assert!(!wrong.err.contains("idev-backup-lists"), "{}", wrong.err);
}

/// Checks that a dry run changes nothing, that a rehearsal pulls the backup, and that the next one
/// finds it in the store.
#[test]
fn restore_pulls_the_backup_first() {
    let Some(pushed) = Pushed::new(None) else {
        return;
    };
    let other = pushed.to("other");
    let restore = |more: &[&str]| {
        let args = [
            &["restore", "latest", "--json", "--store", &other][..],
            more,
        ]
        .concat();
        pushed.there(&args)
    };
    let dry = restore(&["--dry-run"]);
    assert_eq!(dry.code, 3, "{}", dry.all());
    let dry = dry.object("dry_run");
    let lines = dry["lines"].as_array().unwrap();
    let line = |name: &str| lines.iter().find(|line| line["topic"] == name).unwrap();
    assert_eq!(line("store_space")["level"], "ok", "{dry}");
    assert_eq!(line("check")["level"], "warning", "{dry}");
    assert!(dry["path"].as_str().unwrap().contains("snapshot "), "{dry}");
    assert!(!PathBuf::from(&other).exists());

    // Only a user at a terminal, or an option, makes a store.
    assert_eq!(restore(&["--rehearse"]).code, 1);
    let ran = restore(&["--rehearse", "--new-store"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let pulled = PathBuf::from(&other).join(UDID);
    assert_same(&tree(&pushed.rig.current()), &tree(&pulled), "pulled");
    assert_whole(&pulled);
    let path = ran.object("rehearsed")["source"]["path"].clone();
    assert_eq!(path, pulled.to_str().unwrap());
    fs::rename(pushed.repository.join("data"), pushed.to("data")).unwrap();
    let ran = restore(&["--rehearse"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let dry = restore(&["--dry-run"]).object("dry_run");
    assert_eq!(dry["path"], pulled.to_str().unwrap());
}

#[test]
fn pull_needs_the_space_for_the_backup() {
    let Some(pushed) = Pushed::new(None) else {
        return;
    };
    // The size that the tags say, so that no disk has the space.
    let restic = |args: &[&str]| restic::run(&pushed.repository, &pushed.password, args);
    let stored: serde_json::Value =
        serde_json::from_str(&restic(&["snapshots", "--json"])).unwrap();
    let tags: Vec<String> = serde_json::from_value(stored[0]["tags"].clone()).unwrap();
    let tags: Vec<String> = (tags.into_iter())
        .map(|tag| {
            if tag.starts_with("bytes:") {
                "bytes:9000000000000000".to_owned()
            } else {
                tag
            }
        })
        .collect();
    restic(&["tag", "--set", &tags.join(",")]);
    let other = pushed.to("other");
    let named = ["--store", &other, "--new-store"];
    let pull = [&["repository", "pull", "latest"][..], &named].concat();
    let restore = ["restore", "--from", "repository", "--rehearse"];
    for args in [pull, [&restore[..], &named].concat()] {
        let ran = pushed.run(&args);
        assert_eq!(ran.code, 7, "{}", ran.all());
        assert!(ran.err.contains("takes 9.0 PB"), "{}", ran.err);
    }
    let dry = [
        "restore",
        "--from",
        "repository",
        "--dry-run",
        "--store",
        &other,
    ];
    let dry = pushed.run(&dry);
    assert_eq!(dry.code, 1, "{}", dry.all());
    assert!(dry.all().contains("where only"), "{}", dry.all());
}

#[cfg(unix)]
mod faults {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::*;

    /// Puts a program before restic: it does `body` at a dump, and is restic otherwise.
    fn at_dumps(pushed: &Pushed, body: &str) -> PathBuf {
        at(pushed, "dump", body)
    }

    fn at(pushed: &Pushed, call: &str, body: &str) -> PathBuf {
        let path = pushed.rig.dir.path().join("before-restic");
        let script = format!(
            "#!/bin/sh\nfor word; do if [ \"$word\" = {call} ]; then {body}\nfi; done\n\
            exec restic \"$@\"\n"
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The connection breaks in the middle of the first attempt. The second one prints the same
    /// bytes, of which the first half is known.
    #[test]
    fn cut_stream_goes_on_where_it_was() {
        let Some(pushed) = Pushed::new(None) else {
            return;
        };
        let mark = pushed.to("mark");
        let cut = format!(
            "if [ ! -e {mark} ]; then touch {mark}; restic \"$@\" | head -c 3000; \
            echo 'read tcp: connection reset by peer' >&2; exit 1; fi;"
        );
        let restic = at_dumps(&pushed, &cut);
        let mut there = pushed.command(&["cat", "latest", SMS, "--from", "repository"]);
        let there = there
            .env("IDEV_BACKUP_REPOSITORY_RESTIC", &restic)
            .output()
            .unwrap();
        let here = pushed.command(&["cat", "latest", SMS]).output().unwrap();
        let said = String::from_utf8_lossy(&there.stderr);
        assert!(
            there.status.success() && fs::exists(&mark).unwrap(),
            "{said}"
        );
        assert!(here.stdout.len() > 3000 && here.stdout == there.stdout);
    }

    #[test]
    fn lost_repository_ends_the_extraction() {
        let Some(pushed) = Pushed::new(None) else {
            return;
        };
        let log = pushed.to("log");
        let body = format!("echo dump >> {log}; echo 'dial tcp: connection refused' >&2; exit 1");
        let restic = at_dumps(&pushed, &body);
        let to = pushed.to("to");
        for args in [
            &["extract", "latest", "--to", &to][..],
            &["cat", "latest", SMS],
        ] {
            let mut command = pushed.command(args);
            command.args(["--from", "repository", "--repository-retry", "0"]);
            let ran = ended(command.env("IDEV_BACKUP_REPOSITORY_RESTIC", &restic));
            pushed.assert_tidy();
            assert_eq!(ran.code, 8, "{}", ran.all());
            assert!(
                ran.err.contains("connection refused") && ran.err.contains("check the network"),
                "{}",
                ran.err
            );
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "dump\ndump\n");
    }

    /// A pack with a flipped byte costs the file in it.
    #[test]
    fn damaged_data_costs_one_file() {
        let Some(pushed) = Pushed::new(None) else {
            return;
        };
        let (here, there) = (pushed.to("here"), pushed.to("there"));
        let ran = pushed.run(&["extract", "latest", "--to", &here]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        let packs = tree(&pushed.repository.join("data"));
        let packs = packs
            .iter()
            .filter_map(|(path, bytes)| Some((path, bytes.as_ref()?)));
        let (largest, whole) = packs.max_by_key(|(_, bytes)| bytes.len()).unwrap();
        let pack = pushed.repository.join("data").join(largest);
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
        // Some places in the pack belong to the lists, without which nothing can be read.
        let report = (1..8).find_map(|eighth| {
            let mut bytes = whole.clone();
            bytes[whole.len() / 8 * eighth] ^= 1;
            fs::write(&pack, bytes).unwrap();
            let ran = pushed.there(&["extract", "latest", "--to", &there, "--json"]);
            (ran.code == 3).then(|| ran.object("extracted"))
        });
        let report = report.unwrap();
        assert_eq!(report["problems"]["count"], 1, "{report}");
        let problem = &report["problems"]["first"][0];
        let lost = format!(
            "{}/{}",
            problem["domain"].as_str().unwrap(),
            problem["relative_path"].as_str().unwrap()
        );
        let mut wanted = tree(here.as_ref());
        assert!(wanted.remove(&lost).is_some(), "{lost}");
        assert_same(&wanted, &tree(there.as_ref()), "all but one");
    }

    #[test]
    fn interruption_removes_the_lists() {
        let Some(pushed) = Pushed::new(None) else {
            return;
        };
        let mark = pushed.rig.dir.path().join("mark");
        let restic = at_dumps(
            &pushed,
            &format!("touch {}; exec sleep 60;", mark.display()),
        );
        let mut command = pushed.command(&["cat", "latest", SMS, "--from", "repository"]);
        command.env("IDEV_BACKUP_REPOSITORY_RESTIC", &restic);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !mark.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let lists = fs::read_dir(&pushed.temporary)
            .unwrap()
            .flatten()
            .next()
            .unwrap();
        assert_eq!(
            lists.metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
        let kill = ["-INT", &child.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        pushed.assert_tidy();
    }
    /// Ctrl-C during the pull of a restore: the store has no backup yet, and a second run pulls it.
    #[test]
    fn interrupted_restore_is_run_again() {
        let Some(pushed) = Pushed::new(None) else {
            return;
        };
        let mark = pushed.rig.dir.path().join("mark");
        let body = format!(
            "if [ ! -e {0} ]; then restic \"$@\"; touch {0}; exec sleep 60; fi;",
            mark.display()
        );
        let restic = at(&pushed, "restore", &body);
        let other = pushed.to("other");
        let args = [
            "restore",
            "--from",
            "repository",
            "--rehearse",
            "--new-store",
        ];
        let command = || {
            let mut command = pushed.command(&args);
            command.args(["--store", &other]);
            command.env("IDEV_BACKUP_REPOSITORY_RESTIC", &restic);
            command
        };
        let quiet = || Stdio::null();
        let mut child = command().stdout(quiet()).stderr(quiet()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !mark.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let kill = ["-INT", &child.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let pulled = PathBuf::from(&other).join(UDID);
        assert!(!pulled.exists());
        let ran = ended(&mut command());
        assert_eq!(ran.code, 0, "{}", ran.all());
        assert_same(&tree(&pushed.rig.current()), &tree(&pulled), "pulled");
    }
}
