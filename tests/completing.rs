//! Shell completion, in real shells: they complete names of phones and backups, domains and paths
//! inside a backup, and stay silent if anything fails.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use idev_backup::base::progress::Silent;
use idev_backup::simulator::{Password, Phone, PhoneConfig};

use crate::made::Made;
use crate::rig::program::{ended, program, typing};
use crate::rig::*;

/// Returns true if a shell is installed; prints a note if it is not.
fn has(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {shell} is not installed");
    }
    found
}

/// Returns the completion script of a shell, in a file.
fn script(rig: &Rig, shell: &str) -> String {
    let ran = ended(program(rig).args(["completions", shell]));
    assert_eq!(ran.code, 0, "{}", ran.all());
    let path = rig.dir.path().join(format!("completions.{shell}"));
    fs::write(&path, ran.out).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Returns a shell with the environment of a rig, in which `idev-backup` is the built program.
fn shell(rig: &Rig, name: &str) -> Command {
    let mut command = Command::new(name);
    for (name, value) in program(rig).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let program = Path::new(env!("CARGO_BIN_EXE_idev-backup"));
    let path = std::env::var("PATH").unwrap();
    command.env(
        "PATH",
        format!("{}:{path}", program.parent().unwrap().display()),
    );
    command.env("TERM", "dumb").env("HISTFILE", "");
    command
}

/// Types a line and Tab into an interactive shell, waits for `shown`, and returns the words of the
/// completed line as the shell then reads them.
fn completed(rig: &Rig, name: &str, line: &str, shown: &str) -> Vec<String> {
    let script = script(rig, name);
    let mut command = shell(rig, name);
    let start = match name {
        "bash" => {
            command
                .args(["--norc", "--noprofile", "-i"])
                .env("PS1", "ready> ");
            format!("source '{script}'\n")
        }
        "zsh" => {
            command.args(["-f", "-i"]).env("PS1", "ready> ");
            format!(
                "unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source '{script}'\n"
            )
        }
        other => panic!("{other}"),
    };
    let tab = format!("{line}\t");
    let texts = [
        ("ready> ", start.as_str()),
        ("ready> ", &tab),
        (shown, "\u{1}printf '<%s>' BEGIN \u{5} END\n"),
        ("<END>", "exit\n"),
    ];
    let (_, screen) = typing(&mut command, 2000, &texts);
    let begin = screen
        .rfind("<BEGIN>")
        .unwrap_or_else(|| panic!("{screen}"));
    let (words, _) = screen[begin + 7..].split_once("<END>").unwrap();
    let words = words
        .trim_start_matches('<')
        .trim_end_matches('>')
        .split("><");
    words.map(str::to_owned).collect()
}

/// Returns a rig with two backups of one phone and one of another.
fn stocked() -> Rig {
    let rig = Rig::backed_up();
    rig.daemon.attach(Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen iPad".to_owned(),
        ..config()
    }));
    let ran = ended(program(&rig).args(["create", "-q", "--all"]));
    assert_eq!(ran.code, 0, "{}", ran.all());
    rig
}

/// Checks that bash and zsh insert names with blanks and quotes so that they are one word, continue
/// them behind `@`, and walk into the folders of a backup.
#[test]
fn shells_complete_names_and_paths() {
    let rig = stocked();
    let year = jiff::Zoned::now().year().to_string();
    for name in ["bash", "zsh"].into_iter().filter(|name| has(name)) {
        for (line, shown, word) in [
            ("idev-backup create -d Kit", "iPad", "Kitchen iPad"),
            ("idev-backup info Kit", "iPad", "Kitchen iPad@"),
            ("idev-backup info Kitchen\\ iPad@", &year, "Kitchen iPad@20"),
            (
                "idev-backup ls Kitchen\\ iPad HomeDomain/Library/SM",
                "SMS/",
                "HomeDomain/Library/SMS/",
            ),
            (
                "idev-backup cat Kitchen\\ iPad HomeDomain/Library/SMS/sm",
                "sms.db",
                "HomeDomain/Library/SMS/sms.db",
            ),
            (
                "idev-backup find Kitchen\\ iPad --domain CameraR",
                "RollDomain",
                "CameraRollDomain",
            ),
            ("idev-backup verif", "verify", "verify"),
            (
                "idev-backup list --overd",
                "--overdue-after",
                "--overdue-after",
            ),
        ] {
            let words = completed(&rig, name, line, shown);
            let last = words.last().unwrap();
            let is_whole = word.ends_with(['@', '0']);
            let is_right = if is_whole {
                last.starts_with(word.trim_end_matches('@'))
            } else {
                last == word
            };
            assert!(is_right, "{name}: {line}: {words:?}");
        }
    }
    if has("bash") {
        // Within quotes, and with the apostrophe of the first phone.
        for (line, word) in [
            ("idev-backup create -d \"Mir", "Mira's iPhone"),
            ("idev-backup create -d Mir", "Mira's iPhone"),
            ("idev-backup create --device=Mir", "--device=Mira's iPhone"),
        ] {
            let words = completed(&rig, "bash", line, "iPhone");
            assert_eq!(words.last().unwrap(), word, "{line}");
        }
    }
}

/// Checks that fish gets the candidates with their descriptions.
#[test]
fn fish_gets_descriptions() {
    if !has("fish") {
        return;
    }
    let rig = stocked();
    let script = script(&rig, "fish");
    let complete = |line: &str| {
        let mut command = shell(&rig, "fish");
        command.args(["--no-config", "-c"]);
        command.arg(format!("source '{script}'; complete -C '{line}'"));
        let ran = ended(&mut command);
        assert_eq!(ran.err, "", "{line}");
        ran.out
    };
    assert!(complete("idev-backup create -d Kit").starts_with("Kitchen iPad\tlast backup "));
    let dated = complete("idev-backup info \"Kitchen iPad@");
    assert!(
        dated.contains("@20") && dated.contains("current"),
        "{dated}"
    );
    let folders = complete("idev-backup ls Kitchen HomeDomain/Library/SM");
    assert_eq!(folders.trim(), "HomeDomain/Library/SMS/");
    assert!(complete("idev-backup verif").contains("verify\tVerify that"));
}

/// Returns the candidates that the program gives to zsh.
fn candidates(rig: &Rig, words: &[&str]) -> Vec<String> {
    let mut command = program(rig);
    let ran = ended(command.args(["__complete", "zsh", "--"]).args(words));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{words:?}");
    let value = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    ran.out.lines().map(value).collect()
}

/// Checks which names are offered in which place.
#[test]
fn candidates_fit_their_place() {
    let rig = stocked();
    let of = |words: &[&str]| candidates(&rig, &[&["idev-backup"], words].concat());
    assert_eq!(of(&["create", "-d", ""]), ["Kitchen iPad", "Mira's iPhone"]);
    assert_eq!(of(&["retire", "K"]), ["Kitchen iPad"]);
    // With several phones, `latest` is ambiguous.
    assert_eq!(of(&["info", ""]), ["Kitchen iPad", "Mira's iPhone"]);
    // One day has two backups of this phone, so their names have the time.
    let dated = of(&["verify", "Mira's iPhone@"]);
    assert_eq!(dated.len(), 2, "{dated:?}");
    for name in &dated {
        let ran = ended(program(&rig).args(["info", name]));
        assert_eq!(ran.code, 0, "{name}: {}", ran.all());
    }
    let dated = of(&["pin", "Kitchen iPad@"]);
    assert_eq!(dated.len(), 1);
    assert_eq!(dated[0].len(), "Kitchen iPad@2026-11-27".len(), "{dated:?}");
    let ran = ended(program(&rig).args(["tag", &dated[0], "before iOS 27"]));
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(of(&["diff", "before"]), ["before iOS 27"]);
    let domains = of(&["ls", "Kitchen iPad", ""]);
    assert!(domains.contains(&"HomeDomain/".to_owned()), "{domains:?}");
    assert!(domains.len() > 3 && domains.iter().all(|one| one.ends_with('/')));
    assert_eq!(
        of(&["restore", "Kitchen iPad", "--only", "CameraR"]),
        ["CameraRollDomain"]
    );
    // Options are offered where they are begun.
    let options = of(&["list", "--w"]);
    assert_eq!(options, ["--wide"]);
    assert!(of(&["list", ""]).contains(&"--sizes".to_owned()));
    assert!(!of(&["info", ""]).iter().any(|one| one.starts_with('-')));
    let commands = of(&[""]);
    assert!(commands.contains(&"create".to_owned()), "{commands:?}");
    assert!(!commands.iter().any(|one| one.starts_with("__")));
    // An alias of a command is offered only where it was begun.
    assert!(!commands.contains(&"backup".to_owned()), "{commands:?}");
    assert_eq!(of(&["bac"]), ["backup"]);
    assert_eq!(of(&["completions", "po"]), ["powershell"]);
    // The store is the one on the line.
    let other = rig.dir.path().join("other");
    assert!(
        of(&["info", "--store", other.to_str().unwrap(), ""])
            .iter()
            .all(|one| one.starts_with('-'))
    );
}

/// Checks that an only phone's backup need not be named before a path, and that `latest` is
/// offered.
#[test]
fn only_phone_needs_no_name() {
    let rig = Rig::backed_up();
    let of = |words: &[&str]| candidates(&rig, &[&["idev-backup"], words].concat());
    assert_eq!(of(&["info", ""]), ["latest", "Mira's iPhone"]);
    assert_eq!(of(&["ls", "Home"]), ["HomeDomain/"]);
    assert_eq!(
        of(&["tree", "HomeDomain/Library/SM"]),
        ["HomeDomain/Library/SMS/"]
    );
    assert_eq!(
        of(&["extract", "latest", "HomeDomain/Library/SMS/sms"]),
        ["HomeDomain/Library/SMS/sms.db"]
    );
}

/// Checks that nothing is offered or printed where names cannot be read: without a store,
/// with a damaged config file, in an encrypted backup.
#[test]
fn failures_are_silent() {
    let rig = Rig::with(PhoneConfig {
        backup_password: Some(Password::new("correct horse 1")),
        ..config()
    });
    rig.try_create(&options(), &Silent).unwrap();
    let none: [&str; 0] = [];
    assert_eq!(
        candidates(&rig, &["idev-backup", "ls", "latest", "Home"]),
        none
    );
    assert_eq!(
        candidates(&rig, &["idev-backup", "ls", "latest", "HomeDomain/"]),
        none
    );
    assert_eq!(
        candidates(&rig, &["idev-backup", "create", "-d", "Mir"]),
        ["Mira's iPhone"]
    );
    assert_eq!(candidates(&rig, &["idev-backup", "no-such", "x"]), none);
    let folder = rig.dir.path().join("home/config/idev-backup");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), "stroe = [").unwrap();
    assert_eq!(
        candidates(&rig, &["idev-backup", "create", "-d", "Mir"]),
        ["Mira's iPhone"]
    );
    fs::remove_dir_all(rig.store.root()).unwrap();
    assert_eq!(
        candidates(&rig, &["idev-backup", "create", "-d", "Mir"]),
        none
    );
    let mut bare = program(&rig);
    assert_eq!(
        ended(bare.args(["__complete", "bash", "--"])).all().trim(),
        ""
    );
}

/// Checks that a path in a backup of a hundred thousand files is completed while one types.
#[test]
fn large_backups_complete_fast() {
    let mut made = Made::default();
    for at in 0..100_000 {
        let folder = at % 500;
        made.row(
            "AppDomain-net.example",
            &format!("Documents/{folder:03}/{at:06}"),
            1,
            Vec::new(),
            None,
        );
    }
    made.file("HomeDomain", "Library/a", b"a");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("backup");
    made.write(&folder);
    let complete = |place: &str| {
        let began = Instant::now();
        let ran = ended(Command::new(env!("CARGO_BIN_EXE_idev-backup")).args([
            "__complete",
            "zsh",
            "--",
            "idev-backup",
            "ls",
            folder.to_str().unwrap(),
            place,
        ]));
        (ran.out, began.elapsed())
    };
    for (place, wanted) in [
        ("App", "AppDomain-net.example/"),
        (
            "AppDomain-net.example/Doc",
            "AppDomain-net.example/Documents/",
        ),
        (
            "AppDomain-net.example/Documents/49",
            "AppDomain-net.example/Documents/499/",
        ),
        (
            "AppDomain-net.example/Documents/499/09",
            "AppDomain-net.example/Documents/499/099999",
        ),
    ] {
        let (out, took) = complete(place);
        assert!(out.contains(wanted), "{place}: {out}");
        eprintln!("{place}: {} ms", took.as_millis());
        assert!(took < Duration::from_secs(5), "{place}: {took:?}");
    }
}
