//! Backup passwords: sets, changes and removes them on the phone, and opens what it then sends.
//! Runs the program as people do, and decrypts every stored byte with code that shares nothing with
//! the phone's.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use idev_backup::backup_format::manifest_db::{Filter, Kind};
use idev_backup::base::secret::Secret;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::Known;
use idev_backup::simulator::{Passcode, Password, PhoneConfig};

use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

const OLD: &str = "correct horse 1";
const NEW: &str = "battery-staple-ü2";

/// Runs the program with passwords in its environment.
fn run(rig: &Rig, password: &str, new: &str, args: &[&str]) -> Ran {
    let mut command = program(rig);
    command.args(args);
    for (name, value) in [
        ("IDEV_BACKUP_PASSWORD", password),
        ("IDEV_BACKUP_NEW_PASSWORD", new),
    ] {
        if !value.is_empty() {
            command.env(name, value);
        }
    }
    ended(&mut command)
}

fn runs(rig: &Rig, password: &str, new: &str, args: &[&str], code: i32) -> String {
    let ran = run(rig, password, new, args);
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran.all()
}

fn encrypting(password: &str) -> PhoneConfig {
    PhoneConfig {
        backup_password: Some(Password::new(password)),
        ..config()
    }
}

fn known(password: &str) -> Known {
    Known(Secret::new(password.as_bytes().to_vec()))
}

/// Asserts that every file of the phone is in the backup, byte for byte once decrypted. Returns the
/// number of files.
fn assert_opens(rig: &Rig, backup: &Path, password: &str) -> usize {
    let open = Backup::open(backup, &known(password)).unwrap_or_else(|e| panic!("{e}"));
    assert!(open.is_encrypted());
    let mut count = 0;
    for file in rig.phone.files() {
        let item = open.find(&file.domain, &file.path).unwrap();
        let item = item.unwrap_or_else(|| panic!("{} {}", file.domain, file.path));
        assert_eq!(
            (item.kind, item.file_id.as_str()),
            (Kind::File, &*file.file_id())
        );
        let (mut plain, mut matching) = (Vec::new(), Vec::new());
        open.bytes(&item).unwrap().read_to_end(&mut plain).unwrap();
        file.bytes().read_to_end(&mut matching).unwrap();
        assert!(plain == matching, "{} {} differs", file.domain, file.path);
        let stored = fs::read(open.path_of(&item).unwrap()).unwrap();
        assert!(
            matching.is_empty() || stored != matching,
            "{} is plain",
            file.path
        );
        count += 1;
    }
    let mut listed = 0;
    let count_files = |item: idev_backup::reader::backup::Item| {
        listed += usize::from(item.kind == Kind::File);
        true
    };
    open.each(&Filter::default(), count_files).unwrap();
    assert_eq!(listed, count);
    count
}

fn opens(backup: &Path, password: &str) -> bool {
    Backup::open(backup, &known(password)).is_ok()
}

/// Checks that `encryption on`, `change` and `off` take effect on the phone, that the next backup
/// is a full one, and that each backup opens with the password it was made with.
#[test]
fn encryption_on_change_off_works() {
    let rig = Rig::backed_up();
    let plain = rig.phone.files().count();
    let said = runs(&rig, "", "", &["encryption", "status"], 0);
    assert!(said.contains("does not encrypt its backups"), "{said}");

    let said = runs(&rig, OLD, "", &["encryption", "on"], 0);
    assert!(said.contains("encrypts its backups from now on"), "{said}");
    assert!(
        said.contains("next backup will then be a full one"),
        "{said}"
    );
    let said = runs(&rig, "", "", &["encryption", "status"], 0);
    assert!(said.contains("encrypts its backups."), "{said}");

    let said = runs(&rig, OLD, "", &["create"], 0);
    assert!(said.contains("and the password opens it"), "{said}");
    assert!(rig.phone.history().last().unwrap().full);
    let encrypted = assert_opens(&rig, &rig.current(), OLD);
    assert_eq!(
        encrypted,
        plain + 6,
        "Health, Home, the history of two profiles of Safari, calls and Wi-Fi"
    );
    assert!(!opens(&rig.current(), NEW));

    let said = runs(&rig, OLD, "", &["create"], 0);
    assert!(said.contains("Encrypted"), "{said}");
    let last = rig.phone.history().pop().unwrap();
    assert!(!last.full && last.files < 30, "{last:?}");
    assert_opens(&rig, &rig.current(), OLD);

    let said = runs(&rig, OLD, NEW, &["encryption", "change"], 0);
    assert!(said.contains("a new backup password"), "{said}");
    assert!(said.contains("2 encrypted backups"), "{said}");
    runs(&rig, NEW, "", &["create"], 0);
    assert!(rig.phone.history().last().unwrap().full);
    assert_opens(&rig, &rig.current(), NEW);
    let by_password = |password| {
        let backups = rig.listed().into_iter();
        backups
            .filter(|b| b.encrypted == Some(true) && opens(b.path.as_ref(), password))
            .count()
    };
    assert_eq!((by_password(OLD), by_password(NEW)), (2, 1));

    let said = runs(&rig, NEW, "", &["encryption", "off"], 0);
    assert!(said.contains("lack saved passwords"), "{said}");
    runs(&rig, "", "", &["create"], 0);
    assert!(rig.phone.history().last().unwrap().full);
    assert_whole(&rig.current());
    rig.assert_holds_the_phone(&rig.current());
}

/// Checks that encrypted backups open for each version of iOS with a key derivation of its own.
#[test]
fn backups_of_every_ios_decrypt() {
    for ios in ["10.1", "10.2", "13.7", "18.6.2", "26.0"] {
        let rig = Rig::with(PhoneConfig {
            ios: ios.to_owned(),
            ..encrypting(OLD)
        });
        runs(&rig, OLD, "", &["create"], 0);
        assert_opens(&rig, &rig.current(), OLD);
        let list = fs::read(rig.current().join("Manifest.db")).unwrap();
        assert_eq!(list.starts_with(b"SQLite"), ios == "10.1", "{ios}");
    }
}

/// Checks that a refused change of encryption has its own exit code and a hint, and leaves the
/// password of the phone unchanged.
#[test]
fn refused_changes_keep_the_password() {
    let demanded = PhoneConfig {
        requires_encryption: true,
        ..encrypting(OLD)
    };
    let unattended = PhoneConfig {
        passcode: Passcode::Never,
        passcode_limit: Duration::from_millis(300),
        ..encrypting(OLD)
    };
    let locked = PhoneConfig {
        locked: true,
        ..encrypting(OLD)
    };
    for (config, password, new, wish, code, says) in [
        (
            encrypting(OLD),
            NEW,
            NEW,
            "change",
            6,
            "the backup password is wrong",
        ),
        (
            encrypting(OLD),
            NEW,
            "",
            "off",
            6,
            "the backup password is wrong",
        ),
        (
            encrypting(OLD),
            OLD,
            "",
            "on",
            1,
            "already encrypts its backups",
        ),
        (config(), OLD, "", "off", 1, "does not encrypt its backups"),
        (
            config(),
            OLD,
            NEW,
            "change",
            1,
            "does not encrypt its backups",
        ),
        (
            demanded,
            OLD,
            "",
            "off",
            1,
            "administrator requires encrypted backups",
        ),
        (
            unattended,
            OLD,
            NEW,
            "change",
            5,
            "passcode was not entered in time",
        ),
        (encrypting(OLD), "", NEW, "change", 6, "without a terminal"),
        (encrypting(OLD), OLD, "", "change", 6, "without a terminal"),
    ] {
        let is_on = config.backup_password.is_some();
        let needs_no_passcode = config.passcode == Passcode::None;
        let rig = Rig::with(config);
        let said = runs(&rig, password, new, &["encryption", wish], code);
        assert!(said.contains(says), "{wish}: {said}");
        assert!(said.contains("hint: "), "{wish}: {said}");
        let status = runs(&rig, "", "", &["encryption", "status"], 0);
        assert_eq!(status.contains("does not"), !is_on, "{wish}: {status}");
        if is_on && needs_no_passcode {
            runs(&rig, "", "", &["create"], 0);
            assert_opens(&rig, &rig.current(), OLD);
        }
    }
    let rig = Rig::with(locked);
    rig.phone.lock_screen(false);
    runs(&rig, "", "", &["pair"], 0);
    rig.phone.lock_screen(true);
    let said = runs(&rig, OLD, NEW, &["encryption", "change"], 5);
    assert!(said.contains("locked"), "{said}");
    rig.phone.lock_screen(false);
    runs(&rig, OLD, "", &["create"], 0);
    assert_opens(&rig, &rig.current(), OLD);
}

/// Checks that the request for the passcode is announced, except on old versions of iOS, which do
/// not ask for it.
#[test]
fn passcode_prompt_is_announced() {
    let rig = Rig::with(PhoneConfig {
        ios: "12.5.7".to_owned(),
        passcode: Passcode::Never,
        ..config()
    });
    let said = runs(&rig, OLD, "", &["encryption", "on"], 0);
    assert!(!said.contains("Enter the passcode"), "{said}");
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::After(Duration::from_millis(700)),
        ..config()
    });
    let said = runs(&rig, OLD, "", &["encryption", "on"], 0);
    assert!(said.contains("Enter the passcode on the phone"), "{said}");
}

/// Checks that, if the connection is lost before the phone's verdict, the error says that it is
/// unknown whether the password was changed.
#[test]
fn lost_connection_reports_unknown_password() {
    // Messages 0 to 2 are the greetings. The cable is cut in place of message 3, the verdict.
    for (fault, says) in [
        (
            "cut-at:3",
            "it is unknown whether the backup password was changed",
        ),
        ("cut-at:1", "cannot open the backup service"),
    ] {
        let rig = Rig::with(encrypting(OLD));
        rig.phone.suffer(&[fault.parse().unwrap()]);
        let said = runs(&rig, OLD, NEW, &["encryption", "change"], 8);
        assert!(said.contains(says), "{fault}: {said}");
        assert!(said.contains("hint: "), "{fault}: {said}");
        rig.phone.suffer(&[]);
        runs(&rig, "", "", &["create"], 0);
        let now = if fault == "cut-at:3" { NEW } else { OLD };
        assert_opens(&rig, &rig.current(), now);
    }
}

/// Checks that `create` tries the password on the new backup and reports a wrong one as a problem,
/// and that `encryption check` does the same.
#[test]
fn wrong_password_is_reported_after_backup() {
    let rig = Rig::with(encrypting(OLD));
    let said = runs(&rig, NEW, "", &["create"], 3);
    assert!(said.contains("DOES NOT OPEN"), "{said}");
    assert_whole_with(&rig.current(), Some(&known(OLD)));
    let said = runs(&rig, "", "", &["create"], 0);
    assert!(said.contains("idev-backup encryption check"), "{said}");
    let out = run(&rig, OLD, "", &["create", "--json"]).out;
    let done: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(done["password_opens"], true);

    let said = runs(&rig, OLD, "", &["encryption", "check", "latest"], 0);
    assert!(said.contains("The password opens"), "{said}");
    runs(&rig, NEW, "", &["encryption", "check", "latest"], 6);
    runs(&rig, "", "", &["encryption", "check", "latest"], 6);
    let plain = Rig::backed_up();
    let said = runs(&plain, OLD, "", &["encryption", "check", "latest"], 0);
    assert!(said.contains("is not encrypted"), "{said}");
    let said = runs(&plain, OLD, "", &["create"], 0);
    assert!(said.contains("The password was not needed"), "{said}");
}

/// Checks that no older backup is dropped if the given password does not open the new one.
#[test]
fn wrong_password_suspends_retention() {
    let rig = Rig::with(encrypting(OLD));
    for _ in 0..3 {
        runs(&rig, "", "", &["create"], 0);
    }
    let said = runs(&rig, NEW, "", &["create", "--keep-last", "0"], 3);
    assert!(said.contains("does not drop older backups"), "{said}");
    assert_eq!(rig.listed().len(), 4);
    // The rules drop nothing where the phone asks for space either.
    let claim = "claim-size:900000000000000";
    rig.phone.suffer(&[claim.parse().unwrap()]);
    let said = runs(&rig, NEW, "", &["create", "--keep-last", "0"], 7);
    assert!(said.contains("does not open the current backup"), "{said}");
    assert_eq!(rig.listed().len(), 4);
    rig.phone.suffer(&[]);
    // With the right password the rules apply again.
    runs(&rig, OLD, "", &["create", "--keep-last", "0"], 0);
    assert_eq!(rig.listed().len(), 1);
}

/// Checks that passwords are read from files and commands, that empty ones are refused, and that a
/// password is not accepted as an argument.
#[test]
fn password_files_and_commands_work() {
    let rig = Rig::new();
    let file = |name: &str, text: &str| {
        let path = rig.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (one, empty) = (
        file("one", &format!("{OLD}\nnot this\n")),
        file("empty", "\n"),
    );
    let on = ["encryption", "on", "--password-file"];
    runs(&rig, "", "", &[&on[..], &[&empty]].concat(), 6);
    runs(&rig, "", "", &[&on[..], &["/no/such/file"]].concat(), 6);
    runs(&rig, "", "", &[&on[..], &[&one]].concat(), 0);
    // Windows shells encode other letters differently.
    let new = "from-a-command-3";
    let command = format!("echo {new}");
    let change = [
        "encryption",
        "change",
        "--password-file",
        &one,
        "--new-password-command",
        &command,
    ];
    runs(&rig, "", "", &change, 0);
    runs(&rig, new, "", &["create"], 0);
    assert_opens(&rig, &rig.current(), new);
    // Reading both from one source would give the same password twice.
    let both = [
        "encryption",
        "change",
        "--password-file",
        "-",
        "--new-password-file",
        "-",
    ];
    let said = runs(&rig, "", "", &both, 2);
    assert!(said.contains("standard input"), "{said}");
    // A password is not accepted as an argument.
    let ran = run(&rig, "", "", &["encryption", "on", NEW]);
    assert_eq!(ran.code, 2);
}

/// Runs the program at a terminal, and types each answer once its question has appeared. Returns
/// the output and the final state of the terminal, or `None` if no terminal is available.
fn at_a_terminal(rig: &Rig, args: &str, typed: &[(&str, &str)]) -> Option<String> {
    let is_there = |name: &str| {
        let tried = Command::new(name).arg("--version").output();
        tried.is_ok_and(|ran| ran.status.success())
    };
    // Under an emulator the moment at which the terminal hides the input is unpredictable.
    let is_emulated = cut_every() > 1;
    if !cfg!(target_os = "linux") || is_emulated || !is_there("script") || !is_there("timeout") {
        eprintln!("skipped: no terminal is available");
        return None;
    }
    let exe = env!("CARGO_BIN_EXE_idev-backup");
    let words = format!("{exe} {args}; echo code=$?; stty -a");
    let mut terminal = Command::new("timeout");
    terminal
        .args(["--foreground", "120", "script", "-qec", &words, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (name, value) in program(rig).get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let mut child = terminal.spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut said, mut seen) = (Vec::new(), 0);
    let mut typed = typed.iter().peekable();
    let mut buffer = [0; 4096];
    loop {
        let length = screen.read(&mut buffer).unwrap();
        said.extend_from_slice(&buffer[..length]);
        if length == 0 {
            break;
        }
        let new = String::from_utf8_lossy(&said[seen..]).into_owned();
        if let Some((_, answer)) = typed.next_if(|(question, _)| new.contains(question)) {
            seen = said.len();
            // The question appears before the terminal hides the input.
            std::thread::sleep(Duration::from_millis(500));
            keys.write_all(answer.as_bytes()).unwrap();
        }
    }
    child.wait().unwrap();
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// Asserts the exit code, and that the terminal is in its original state.
fn assert_ended(said: &str, code: u8) {
    assert!(said.contains(&format!("code={code}\r\n")), "{said}");
    assert!(
        said.contains(" echo ") && said.contains(" icanon"),
        "{said}"
    );
}

/// Checks that Ctrl-C at a password prompt interrupts the program and restores the state of the
/// terminal.
#[test]
fn ctrl_c_restores_the_terminal() {
    let rig = Rig::with(encrypting(OLD));
    runs(&rig, OLD, "", &["create"], 0);
    let plain = Rig::new();
    for (rig, args) in [
        (&rig, "encryption check latest"),
        (&rig, "ls latest"),
        (&rig, "encryption change"),
        (&plain, "encryption on"),
    ] {
        let Some(said) = at_a_terminal(rig, args, &[("assword of", "abc\u{3}")]) else {
            return;
        };
        assert_ended(&said, 130);
        assert!(said.contains("interrupted"), "{args}: {said}");
        assert!(!said.contains("without a terminal"), "{args}: {said}");
    }
    let said = runs(&plain, "", "", &["encryption", "status"], 0);
    assert!(said.contains("does not encrypt"), "{said}");
}

/// Checks that a new password is requested twice, after a note that the next backup will be a full
/// one.
#[test]
fn new_password_is_confirmed() {
    let rig = Rig::new();
    let (first, again) = ("New backup password of", "Repeat the password");
    let wrong = [(first, "one\n"), (again, "two\n")];
    let Some(said) = at_a_terminal(&rig, "encryption on", &wrong.repeat(3)) else {
        return;
    };
    assert_ended(&said, 6);
    assert_eq!(
        said.matches("he passwords do not match").count(),
        3,
        "{said}"
    );
    assert!(!said.contains("run it in a terminal"), "{said}");
    let status = runs(&rig, "", "", &["encryption", "status"], 0);
    assert!(status.contains("does not encrypt"), "{status}");

    let typed = [wrong[0], wrong[1], (first, "three\n"), (again, "three\n")];
    let said = at_a_terminal(&rig, "encryption on", &typed).unwrap();
    assert_ended(&said, 0);
    let room = said.find("next backup will then be a full one").unwrap();
    assert!(room < said.find(first).unwrap(), "{said}");
    assert!(!said.contains("three"), "{said}");
    runs(&rig, "three", "", &["create"], 0);
    assert_opens(&rig, &rig.current(), "three");
}

/// Checks that a build without the feature `keyring` explains how to get it.
#[test]
#[cfg(not(feature = "keyring"))]
fn missing_keyring_feature_has_hint() {
    let rig = Rig::with(encrypting(OLD));
    runs(&rig, OLD, "", &["create"], 0);
    for words in [
        &["encryption", "remember"][..],
        &["encryption", "forget"],
        &["encryption", "check", "latest", "--password-keyring"],
    ] {
        let said = runs(&rig, OLD, "", words, 1);
        assert!(said.contains("--features keyring"), "{words:?}: {said}");
        assert!(said.contains("--password-command"), "{words:?}: {said}");
    }
}

/// Checks that the Windows Credential Manager keeps a password until `encryption forget`. On Linux,
/// tests/peers/keyring.py tests this with a real keyring.
#[test]
#[cfg(all(windows, feature = "keyring"))]
fn credential_manager_remembers_password() {
    let rig = Rig::with(encrypting(OLD));
    runs(&rig, OLD, "", &["create"], 0);
    let name = format!("tried by {}", std::process::id());
    let flag = format!("--password-keyring={name}");
    let check = ["encryption", "check", "latest", &flag];
    let said = runs(&rig, "", "", &check, 6);
    assert!(said.contains("encryption remember"), "{said}");
    runs(&rig, NEW, "", &["encryption", "remember", &name], 0);
    runs(&rig, "", "", &check, 6);
    runs(&rig, OLD, "", &["encryption", "remember", &name], 0);
    runs(&rig, "", "", &check, 0);
    runs(&rig, "", "", &["encryption", "forget", &name], 0);
    runs(&rig, "", "", &check, 6);
}

/// Checks that no output, trace or stored file contains a password.
#[test]
fn passwords_are_never_exposed() {
    let rig = Rig::backed_up();
    let mut seen = String::new();
    let phone_side = rig.dir.path().join("phone.jsonl");
    for (n, (password, new, args)) in [
        (OLD, "", &["encryption", "on"][..]),
        (OLD, "", &["create", "--trace-metadata"]),
        (OLD, NEW, &["encryption", "change"]),
        (OLD, NEW, &["encryption", "off"]),
        (NEW, "", &["encryption", "off", "--json"]),
    ]
    .into_iter()
    .enumerate()
    {
        let trace = rig.dir.path().join(format!("{n}.jsonl"));
        let trace_words = ["--trace", trace.to_str().unwrap()];
        let ran = run(&rig, password, new, &[args, &trace_words].concat());
        seen += &ran.all();
        let text = fs::read_to_string(&trace).unwrap();
        if args[0] == "encryption" {
            assert!(text.contains("ChangePassword"), "{args:?}");
        }
        seen += &text;
    }
    assert!(!phone_side.exists());
    for (path, bytes) in tree(rig.dir.path()) {
        // The phone's files are encrypted, and those sent unencrypted earlier contain no password.
        seen += &path;
        seen += &String::from_utf8_lossy(&bytes.unwrap_or_default());
    }
    for password in [OLD, NEW, "battery-staple", "correct horse"] {
        assert!(!seen.contains(password), "{password} is seen");
    }
}

/// Checks that the errors for an excessive number of derivation rounds, a missing Manifest.db key
/// and a file without a key name the cause.
#[test]
fn key_faults_are_named() {
    for (fault, says) in [
        ("key-rounds:4000000000", "4000000000 rounds"),
        ("no-manifest-key", "Manifest.db"),
    ] {
        let rig = Rig::with(encrypting(OLD));
        rig.phone.suffer(&[fault.parse().unwrap()]);
        let said = runs(&rig, OLD, "", &["create"], 3);
        assert!(said.contains("does not open this backup"), "{said}");
        let said = runs(&rig, OLD, "", &["encryption", "check", "latest"], 1);
        assert!(said.contains(says), "{fault}: {said}");
    }
    let rig = Rig::with(encrypting(OLD));
    rig.phone.suffer(&["keyless-file".parse().unwrap()]);
    runs(&rig, OLD, "", &["create"], 0);
    let open = Backup::open(&rig.current(), &known(OLD)).unwrap();
    let mut keyless = 0;
    for file in rig.phone.files() {
        let item = open.find(&file.domain, &file.path).unwrap().unwrap();
        if let Err(e) = open.bytes(&item) {
            assert!(e.to_string().contains("has no key"), "{e}");
            keyless += 1;
        }
    }
    assert_eq!(keyless, 1);
}
