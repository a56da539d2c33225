//! `setup`: asks, shows what it will do, and does it; with `--yes` without a question.

#![cfg(target_os = "linux")] // The substitute for crontab, and terminals that can be typed on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use idev_backup::simulator::{Phone, PhoneConfig, Trust};

use crate::rig::program::{Ran, ended, typing, with_crontab};
use crate::rig::{restic, *};

/// Returns `setup`, with a scheduler and without a variable that names a store.
fn setup(rig: &Rig, args: &[&str]) -> Command {
    let mut command = with_crontab(rig);
    command
        .env_remove("IDEV_BACKUP_STORE")
        .env_remove("DISPLAY");
    command.env_remove("WAYLAND_DISPLAY").args(args);
    // The dialog is the same with and without restic.
    command.env("IDEV_BACKUP_REPOSITORY_RESTIC", "no-such-restic");
    command
}

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = ended(&mut setup(rig, args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

fn config(rig: &Rig) -> PathBuf {
    runs(rig, &["config", "path"], 0).out.trim().into()
}

fn read(path: impl AsRef<std::path::Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns the lines of a config file that set something.
fn set_lines(rig: &Rig) -> Vec<String> {
    let text = read(config(rig));
    let is_set = |line: &&str| !line.starts_with('#') && line.contains('=');
    text.lines().filter(is_set).map(str::to_owned).collect()
}

fn crontab(rig: &Rig) -> String {
    read(rig.dir.path().join("home/crontab"))
}

#[test]
fn setup_needs_a_terminal_or_yes() {
    let rig = Rig::new();
    let before = tree(&rig.dir.path().join("store"));
    let ran = runs(&rig, &["setup"], 1);
    assert!(
        ran.err.contains("needs a terminal") && ran.err.contains("hint: "),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    for option in [
        ["--schedule", "25:00"],
        ["--keep-last", "-1"],
        ["--notifications", ""],
    ] {
        runs(&rig, &[&["setup", "--yes"][..], &option].concat(), 2);
    }
    let inside = rig.dir.path().join("store/.idev-backup/x");
    runs(
        &rig,
        &["setup", "--yes", "--store", inside.to_str().unwrap()],
        1,
    );
    assert!(!config(&rig).exists());
    assert_same(
        &before,
        &tree(&rig.dir.path().join("store")),
        "after refusals",
    );
}

/// Checks that after `setup --yes` nothing needs `--store`, and that a second run changes nothing.
#[test]
fn setup_makes_everything_agree() {
    let rig = Rig::new();
    let store = rig.dir.path().join("my backups");
    let path = store.to_str().unwrap();
    let options = [
        "--schedule",
        "Sun 21:05",
        "--keep-last",
        "5",
        "--notifications",
        "tell me",
    ];
    let args = [&["setup", "--yes", "--store", path][..], &options].concat();
    let ran = runs(&rig, &args, 0);
    assert!(
        ran.out.contains("is now paired") && ran.out.contains("Setup is complete"),
        "{}",
        ran.out
    );
    assert!(!ran.all().contains("--store"), "{}", ran.all());
    assert_eq!(
        set_lines(&rig),
        [
            &format!("store = \"{path}\""),
            "overdue-after = \"7d\"",
            "keep-last = 5",
            "on-failure = \"tell me\"",
            "on-overdue = \"tell me\"",
        ]
    );
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(config(&rig)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        crontab(&rig).starts_with("5 21 * * 0 "),
        "{}",
        crontab(&rig)
    );
    let jobs = runs(&rig, &["schedule", "list", "--json"], 0).last_object();
    let words = ["create", "--all", "--if-present"].map(serde_json::Value::from);
    assert_eq!(
        jobs["jobs"][0]["arguments"],
        serde_json::Value::from(words.to_vec())
    );
    // The first backup, the list and the job use the same store.
    assert!(store.join(UDID).is_dir());
    assert!(runs(&rig, &["list"], 0).out.contains("Mira's iPhone"));
    runs(&rig, &["schedule", "run"], 0);
    assert_eq!(rig.phone.history().len(), 2);

    let (text, table) = (read(config(&rig)), crontab(&rig));
    let ran = runs(&rig, &["setup", "--yes"], 0);
    assert!(ran.err.contains("leave"), "{}", ran.err);
    assert_eq!((text, table), (read(config(&rig)), crontab(&rig)));
    assert_eq!(rig.phone.history().len(), 2, "there is a backup already");

    // Other answers change what they are about, and keep the rest.
    let mine = read(config(&rig)).replace("#full = false", "full = true   # mine");
    fs::write(config(&rig), &mine).unwrap();
    runs(
        &rig,
        &["setup", "--yes", "--schedule", "never", "--keep-last", "1"],
        0,
    );
    assert_eq!(
        read(config(&rig)),
        mine.replace("keep-last = 5", "keep-last = 1")
    );
    assert_eq!(crontab(&rig), "");
}

/// Checks that an existing job keeps its options, and writes to the new store.
#[test]
fn setup_moves_an_existing_job() {
    let rig = Rig::backed_up();
    let old = rig.store.root().to_str().unwrap();
    let add = [
        "schedule", "add", "--daily", "20:00", "--", "--all", "--retry", "2", "--store", old,
    ];
    runs(&rig, &add, 0);
    let store = rig.dir.path().join("new");
    let args = [
        "setup",
        "--yes",
        "--no-backup",
        "--store",
        store.to_str().unwrap(),
    ];
    runs(&rig, &args, 0);
    let jobs = runs(&rig, &["schedule", "list", "--json"], 0).last_object();
    let arguments = ["create", "--all", "--retry", "2"].map(serde_json::Value::from);
    assert_eq!(
        jobs["jobs"][0]["arguments"],
        serde_json::Value::from(arguments.to_vec())
    );
    assert_eq!(jobs["jobs"][0]["when"], "daily 20:00");
    assert!(!store.join(UDID).exists());
    runs(&rig, &["schedule", "run"], 0);
    assert!(store.join(UDID).is_dir());
}

/// Checks that without a phone everything else is done, and the next step is named.
#[test]
fn setup_works_without_a_phone() {
    let rig = Rig::new();
    rig.daemon.detach(rig.phone.udid());
    let store = rig.dir.path().join("new");
    let args = [
        "setup",
        "--yes",
        "--store",
        store.to_str().unwrap(),
        "--schedule",
        "plugged",
    ];
    let ran = runs(&rig, &args, 0);
    assert!(ran.err.contains("no phone is connected"), "{}", ran.err);
    assert!(ran.out.contains("Next: connect a phone"), "{}", ran.out);
    assert!(crontab(&rig).starts_with("@reboot"), "{}", crontab(&rig));
    assert!(
        runs(&rig, &["list"], 0)
            .out
            .contains("holds no backups yet")
    );
    // A daemon that does not answer is the same.
    let mut command = setup(&rig, &["setup", "--yes"]);
    let ran = ended(command.env("USBMUXD_SOCKET_ADDRESS", "127.0.0.1:1"));
    assert_eq!(ran.code, 0, "{}", ran.all());
}

/// Checks that a second run makes no new store where the disk of the old one is not mounted.
#[test]
fn setup_makes_no_store_beside_a_known_one() {
    let rig = Rig::new();
    let (disk, away) = (rig.dir.path().join("disk"), rig.dir.path().join("away"));
    let store = disk.join("new");
    let args = ["setup", "--yes", "--no-backup", "--schedule", "never"];
    let named = [&args[..], &["--store", store.to_str().unwrap()]].concat();
    runs(&rig, &named, 0);
    fs::rename(&disk, &away).unwrap();
    fs::create_dir(&disk).unwrap();
    for args in [&args[..], &named] {
        let ran = runs(&rig, args, 1);
        assert!(ran.err.contains("was used before"), "{}", ran.err);
        assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    }
}

/// Checks that a step that fails is a problem, and does not stop the others.
#[test]
fn failed_steps_do_not_stop_setup() {
    let mut rig = Rig::new();
    let stranger = PhoneConfig {
        trust: Trust::Deny,
        ..crate::rig::config()
    };
    rig.connect(Phone::new(stranger));
    let store = rig.dir.path().join("new");
    fs::create_dir_all(rig.dir.path().join("home")).unwrap();
    fs::write(rig.dir.path().join("home/full"), "").unwrap();
    let ran = runs(
        &rig,
        &["setup", "--yes", "--store", store.to_str().unwrap()],
        3,
    );
    for words in [
        "Don't Trust",
        "problem: cannot write your crontab",
        "hint: ",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert!(
        set_lines(&rig)
            .iter()
            .any(|line| line.starts_with("store = "))
    );
    assert!(!store.join(UDID).exists());
}

#[test]
fn variable_that_names_another_store_is_refused() {
    let rig = Rig::new();
    let mut command = with_crontab(&rig);
    command.args(["setup", "--yes", "--schedule", "never", "--no-backup"]);
    // The variable is the default answer.
    assert_eq!(ended(&mut command).code, 0);
    let store = rig.store.root().to_str().unwrap();
    assert!(set_lines(&rig).contains(&format!("store = \"{store}\"")));
    let ran = ended(command.args(["--store", "/elsewhere"]));
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains("unset IDEV_BACKUP_STORE"), "{}", ran.err);
}

const COLUMNS: u16 = 200;

/// Checks the dialog: defaults, answers that are not accepted, and a password that is asked twice.
#[test]
fn setup_asks_on_a_terminal() {
    let rig = Rig::new();
    let papers = rig.dir.path().join("papers");
    fs::create_dir(&papers).unwrap();
    fs::write(papers.join("letter"), "dear").unwrap();
    let own = papers.join("idev-backup");
    let papers = format!("{}\n", papers.display());
    let (code, shown) = typing(
        &mut setup(&rig, &["setup"]),
        COLUMNS,
        &[
            ("Folder [", &papers),
            ("holds other files", "\n"),
            ("Number [3]:", "many\n"),
            ("is not a whole number", "4\n"),
            ("When [21:30]:", "25:00\n"),
            ("is not a time", "22:15\n"),
            ("Notify [none]:", "\n"),
            ("Go on? [Y/n]", "\n"),
            ("encryption? [y/N]", "y\n"),
            ("New backup password of Mira's iPhone:", "secret\n"),
            ("Repeat the password:", "secret\n"),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    let set = set_lines(&rig);
    let expected = [
        format!("store = \"{}\"", own.display()),
        "keep-last = 4".to_owned(),
        "notify = false".to_owned(),
    ];
    assert_eq!(set, expected, "{shown}");
    assert!(
        crontab(&rig).starts_with("15 22 * * * "),
        "{}",
        crontab(&rig)
    );
    assert!(!shown.contains("secret"), "{shown}");
    let (before, _) = shown.split_once("Turn on backup encryption?").unwrap();
    assert!(before.contains("cannot be recovered"), "{shown}");
    assert!(
        shown.contains("restic is needed") && !shown.contains("Copies ["),
        "{shown}"
    );
    let listed = runs(&rig, &["list", "--json"], 0).last_object();
    assert_eq!(listed["backups"][0]["encrypted"], true);

    // The second time, the present values are the defaults.
    let (code, shown) = typing(
        &mut setup(&rig, &["setup"]),
        COLUMNS,
        &[
            (&format!("Folder [{}]:", own.display()), "\n"),
            ("Number [4]:", "\n"),
            ("When [22:15]:", "\n"),
            ("Notify [none]:", "\n"),
            ("Go on?", "n\n"),
        ],
    );
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("Nothing was changed"), "{shown}");
    assert_eq!(set_lines(&rig), set);
}

/// Checks that the repository is made and gets the first backup, and that its password is private.
#[test]
fn setup_makes_a_repository_for_copies() {
    use std::os::unix::fs::PermissionsExt;
    if !restic::is_there() {
        return;
    }
    let rig = Rig::new();
    let (store, place) = (rig.dir.path().join("new"), rig.dir.path().join("copies"));
    let args = ["setup", "--store", store.to_str().unwrap()];
    let with_restic = || {
        let mut command = setup(&rig, &args);
        command.env_remove("IDEV_BACKUP_REPOSITORY_RESTIC");
        command
    };
    let typed = format!("{}\n", place.display());
    let (code, shown) = typing(
        &mut with_restic(),
        COLUMNS,
        &[
            ("Number [3]:", "\n"),
            ("When [21:30]:", "\n"),
            ("Notify [none]:", "\n"),
            ("Copies [no]:", "yes\n"),
            ("neither an absolute path", &typed),
            ("Go on? [Y/n]", "\n"),
            ("Password of the repository:", "to the nas\n"),
            ("Repeat the password:", "to the nas\n"),
            ("encryption? [y/N]", "\n"),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    let (before, _) = shown.split_once("Password of the repository:").unwrap();
    assert!(before.contains("cannot be recovered"), "{shown}");
    assert!(!shown.contains("to the nas"), "{shown}");
    let file = config(&rig).with_file_name("repository-password");
    assert_eq!(read(&file), "to the nas\n");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let set = set_lines(&rig);
    for line in [
        format!("location = \"{}\"", place.display()),
        "push = true".to_owned(),
        format!("password-file = \"{}\"", file.display()),
    ] {
        assert!(set.contains(&line), "{line}: {set:?}");
    }
    let snapshots = restic::run(&place, &file, &["snapshots", "--json"]);
    assert_eq!(
        snapshots.matches("\"idev-backup\"").count(),
        1,
        "{snapshots}"
    );

    // The second time it is the default, and nothing is asked for it.
    let default = format!("Copies [{}]:", place.display());
    let again = [
        ("Number [3]:", "\n"),
        ("When [21:30]:", "\n"),
        ("Notify [none]:", "\n"),
        (&default, "no\n"),
        ("Go on? [Y/n]", "\n"),
        ("encryption? [y/N]", "\n"),
    ];
    let (code, shown) = typing(&mut with_restic(), COLUMNS, &again);
    assert_eq!(code, 0, "{shown}");
    assert!(set_lines(&rig).contains(&"push = false".to_owned()));
}

/// Checks that setup asks for no password of a repository that a command gives, and writes none.
#[test]
fn setup_leaves_a_password_command_alone() {
    if !restic::is_there() {
        return;
    }
    let rig = Rig::new();
    let file = config(&rig);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[repository]\npassword-command = \"echo right\"\n").unwrap();
    let (store, place) = (rig.dir.path().join("new"), rig.dir.path().join("copies"));
    let mut command = setup(&rig, &["setup", "--store", store.to_str().unwrap()]);
    command.env_remove("IDEV_BACKUP_REPOSITORY_RESTIC");
    let typed = format!("{}\n", place.display());
    let (_, shown) = typing(
        &mut command,
        COLUMNS,
        &[
            ("Number [3]:", "\n"),
            ("When [21:30]:", "\n"),
            ("Notify [none]:", "\n"),
            ("Copies [no]:", &typed),
            ("Go on? [Y/n]", "\n"),
            ("encryption? [y/N]", "\n"),
        ],
    );
    assert!(!shown.contains("Password of the repository"), "{shown}");
    assert!(shown.contains("idev-backup repository init"), "{shown}");
    assert!(!file.with_file_name("repository-password").exists());
    let set = set_lines(&rig);
    assert!(set.contains(&"push = true".to_owned()), "{set:?}");
    assert!(
        !set.iter().any(|line| line.starts_with("password-file")),
        "{set:?}"
    );
    // The repository that the user makes then has the password that pushes use.
    for words in [&["init"][..], &["push", "--store", store.to_str().unwrap()]] {
        let mut command = setup(&rig, &[&["repository"], words].concat());
        command.env_remove("IDEV_BACKUP_REPOSITORY_RESTIC");
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {said}");
    }
}

/// Checks that Ctrl-C at any question leaves nothing half written.
#[test]
fn interrupted_setup_leaves_nothing_half_written() {
    const CTRL_C: &str = "\u{3}";
    let rig = Rig::new();
    let store = rig.dir.path().join("new");
    let args = ["setup", "--store", store.to_str().unwrap()];
    let answers = ["Number [", "When [", "Notify [", "Go on?"];
    for stop in 0..answers.len() {
        let typed: Vec<(&str, &str)> = (0..=stop)
            .map(|at| (answers[at], if at == stop { CTRL_C } else { "\n" }))
            .collect();
        let (code, shown) = typing(&mut setup(&rig, &args), COLUMNS, &typed);
        assert_eq!(code, 130, "{}: {shown}", answers[stop]);
        assert!(!config(&rig).exists() && !store.exists(), "{shown}");
    }
    let mut typed: Vec<(&str, &str)> = answers.iter().map(|words| (*words, "\n")).collect();
    typed.push(("Turn on backup encryption?", CTRL_C));
    let (code, shown) = typing(&mut setup(&rig, &args), COLUMNS, &typed);
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("run `idev-backup setup` again"), "{shown}");
    runs(&rig, &["config", "check"], 0);
    assert!(
        set_lines(&rig)
            .iter()
            .any(|line| line.starts_with("store = "))
    );
    assert_eq!(crontab(&rig), "");
}

/// Checks that the commands which README shows use one store, in the order in which they stand
/// there, and that the scheduled job uses it too.
#[test]
fn readme_commands_use_one_store() {
    let rig = Rig::new();
    let readme = include_str!("../README.md");
    let use_it = readme.split("\n## Use it\n").nth(1).unwrap();
    let use_it = use_it.split("\n## ").next().unwrap();
    // `open` runs until Ctrl-C; tests/web.rs runs it.
    let lines = use_it
        .lines()
        .filter(|line| line.starts_with("idev-backup ") && !line.starts_with("idev-backup open "));
    let commands: Vec<&str> = lines.map(|line| line.split('#').next().unwrap()).collect();
    assert!(commands.len() > 7, "{commands:?}");
    let home = rig.dir.path().join("home");
    fs::create_dir_all(&home).unwrap();
    for command in &commands {
        let words = command.replace('~', home.to_str().unwrap());
        let mut words: Vec<&str> = words.split_whitespace().skip(1).collect();
        if words == ["setup"] {
            words.push("--yes");
        }
        let ran = ended(setup(&rig, &words).current_dir(&home));
        // `doctor` and `--dry-run` may find something to warn of.
        let accepted: &[i32] = if words.contains(&"doctor") {
            &[0, 1, 3]
        } else {
            &[0, 3]
        };
        assert!(accepted.contains(&ran.code), "{command}: {}", ran.all());
    }
    let backups = rig.phone.history().len();
    runs(&rig, &["schedule", "run"], 0);
    assert_eq!(rig.phone.history().len(), backups + 1);
    let store = home.join("data/idev-backup");
    assert!(store.join(UDID).is_dir());
    let all = tree(&home);
    let of_phone = |name: &&String| name.ends_with(UDID) && !name.contains(".idev-backup");
    assert_eq!(all.keys().filter(of_phone).count(), 1, "two stores");
}
