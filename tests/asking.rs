//! Checks what the program asks at a terminal: a wrong password again, a question whose answer may
//! be no, and Ctrl-C at any of them.

use std::fs;
use std::time::Duration;

use idev_backup::base::progress::Silent;
use idev_backup::simulator::{Passcode, Password, PhoneConfig};

use crate::rig::program::{ended, program, typing};
use crate::rig::*;

const RIGHT: &str = "correct horse 1";
const AGAIN: &str = "Wrong password. Try again.";

/// Returns a rig with a backup that is encrypted with [`RIGHT`].
fn encrypted() -> Rig {
    let rig = Rig::with(PhoneConfig {
        backup_password: Some(Password::new(RIGHT)),
        ..config()
    });
    rig.try_create(&options(), &Silent).unwrap();
    rig
}

/// Runs the program at a terminal, and types these answers to its questions for passwords.
fn answering(rig: &Rig, args: &[&str], answers: &[&str]) -> (i32, String) {
    let lines: Vec<String> = answers.iter().map(|answer| format!("{answer}\n")).collect();
    let texts: Vec<(&str, &str)> = lines.iter().map(|line| ("assword", &**line)).collect();
    typing(program(rig).args(args), 200, &texts)
}

/// Checks that every command that asks for a password asks three times in all, and that the right
/// one helps at the second time.
#[test]
fn wrong_password_is_asked_again() {
    let rig = encrypted();
    let to = rig.dir.path().join("to");
    let to = to.to_str().unwrap();
    let path = "HomeDomain/Library/SMS/sms.db";
    for args in [
        &["ls", "latest"][..],
        &["find", "latest", "*.db"],
        &["tree", "latest"],
        &["usage", "latest"],
        &["cat", "latest", path, "--force"],
        &["extract", "latest", "--to", to],
        &["verify", "latest", "--deep"],
        &["encryption", "check", "latest"],
        &["restore", "latest", "--dry-run"],
        &["restore", "latest", "--rehearse"],
    ] {
        let (code, shown) = answering(&rig, args, &["wrong 1", "wrong 2", "wrong 3"]);
        assert_eq!(code, 6, "{args:?}: {shown}");
        assert_eq!(shown.matches(AGAIN).count(), 2, "{args:?}: {shown}");
        let (code, shown) = answering(&rig, args, &["wrong 1", RIGHT]);
        assert!([0, 3].contains(&code), "{args:?}: {code}: {shown}");
        assert_eq!(shown.matches(AGAIN).count(), 1, "{args:?}: {shown}");
    }
}

/// Checks that a wrong password from a file or a variable is not asked for again, even at a
/// terminal.
#[test]
fn given_password_is_tried_once() {
    let rig = encrypted();
    let file = rig.dir.path().join("password");
    fs::write(&file, "wrong\n").unwrap();
    let file = file.to_str().unwrap();
    let mut by_file = program(&rig);
    by_file.args(["ls", "latest", "--password-file", file]);
    let mut by_variable = program(&rig);
    by_variable.args(["ls", "latest"]);
    by_variable.env("IDEV_BACKUP_PASSWORD", "wrong");
    for command in [&mut by_file, &mut by_variable] {
        let (code, shown) = typing(command, 200, &[("", "")]);
        assert_eq!(code, 6, "{shown}");
        assert!(!shown.contains(AGAIN), "{shown}");
    }
}

/// Checks that a password that the phone refuses is asked for again, and the new one only once.
#[test]
fn phone_gets_three_passwords() {
    let rig = encrypted();
    let (code, shown) = answering(&rig, &["encryption", "off"], &["1", "2", "3"]);
    assert_eq!(code, 6, "{shown}");
    assert_eq!(shown.matches(AGAIN).count(), 2, "{shown}");
    let answers = ["wrong", "new one", "new one", RIGHT];
    let (code, shown) = answering(&rig, &["encryption", "change"], &answers);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(shown.matches(AGAIN).count(), 1, "{shown}");
    let (code, shown) = answering(&rig, &["encryption", "off"], &["new one"]);
    assert_eq!(code, 0, "{shown}");
}

/// Checks that `create --ask-password` tries the password on the last backup before the phone
/// sends anything, and takes one that was typed twice.
#[test]
fn create_asks_again_before_it_begins() {
    let rig = encrypted();
    let args = ["create", "--ask-password"];
    let backups = rig.phone.history().len();
    let (code, shown) = answering(&rig, &args, &["wrong 1", "wrong 2", "wrong 3"]);
    assert_eq!(code, 6, "{shown}");
    assert_eq!(rig.phone.history().len(), backups);
    let (code, shown) = answering(&rig, &args, &["wrong 1", RIGHT]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("does not open the last backup"), "{shown}");
    // The phone's password may have changed since the last backup.
    let (code, shown) = answering(&rig, &args, &["wrong 1", "wrong 1"]);
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("DOES NOT OPEN"), "{shown}");
    // Without an encrypted backup there is nothing to try it on.
    let plain = Rig::backed_up();
    let (code, shown) = answering(&plain, &args, &["anything"]);
    assert_eq!(code, 0, "{shown}");
}

/// Checks that "no" is neither an error nor an interruption, and that Ctrl-C at the same question
/// is one.
#[test]
fn no_is_not_an_interruption() {
    let rig = Rig::backed_up();
    for (args, question, declined) in [
        (
            &["restore", "latest", "--quick-check"][..],
            "to overwrite the phone",
            "Nothing was restored.",
        ),
        (
            &["delete", "latest"],
            "to delete it",
            "Nothing was deleted.",
        ),
    ] {
        let (code, shown) = typing(program(&rig).args(args), 200, &[(question, "no\n")]);
        assert_eq!(code, 1, "{shown}");
        let last = shown.trim_end().lines().last().unwrap();
        assert_eq!(last, declined, "{shown}");
        assert!(!shown.contains("error:"), "{shown}");
        let (code, shown) = typing(program(&rig).args(args), 200, &[(question, "\u{3}")]);
        assert_eq!(code, 130, "{shown}");
        assert!(shown.contains("error: interrupted"), "{shown}");
    }
    assert_eq!(rig.phone.restores().len(), 0);
    assert_eq!(rig.listed().len(), 1);
}

/// Checks that Ctrl-C before the phone has sent anything says so, and that the next run does not
/// speak of leftovers.
#[test]
fn empty_draft_goes_unmentioned() {
    let rig = Rig::with(PhoneConfig {
        passcode: Passcode::After(Duration::from_secs(3)),
        ..config()
    });
    let asks = [("Enter the passcode", "\u{3}")];
    let (code, shown) = typing(program(&rig).arg("create"), 200, &asks);
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("nothing was received"), "{shown}");
    assert!(shown.contains("`idev-backup create` again"), "{shown}");
    let ran = ended(program(&rig).arg("create"));
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(
        !ran.err.contains("Leftovers") && !ran.err.contains("ontinuing"),
        "{}",
        ran.err
    );
}

/// Checks that a lost connection says what was received and what the next run does with it.
#[test]
fn received_files_are_counted_after_a_loss() {
    let rig = Rig::new();
    rig.phone.suffer(&["cut-after:200000".parse().unwrap()]);
    let ran = ended(program(&rig).arg("create"));
    assert_eq!(ran.code, 8, "{}", ran.all());
    let line = ran
        .err
        .lines()
        .find(|line| line.contains("received so far"));
    let line = line.unwrap_or_else(|| panic!("{}", ran.err));
    assert!(
        line.contains(" files, ") && line.contains("the next run continues"),
        "{line}"
    );
}
