//! Commands that write the config file: `config init`, `set`, `unset` and `edit`.

use std::fs;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
use crate::rig::program::typing;
use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let mut command = program(rig);
    let ran = ended(command.env_remove("IDEV_BACKUP_STORE").args(args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

fn file(rig: &Rig) -> PathBuf {
    runs(rig, &["config", "path"], 0).out.trim().into()
}

#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_writes_a_private_template() {
    let rig = Rig::new();
    let path = file(&rig);
    runs(&rig, &["config", "init"], 0);
    let template = fs::read_to_string(&path).unwrap();
    assert!(template.contains("\n#keep-last = 3\n"), "{template}");
    #[cfg(unix)]
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    runs(&rig, &["config", "check"], 0);
    fs::write(&path, "store = '/mine'\n").unwrap();
    let ran = runs(&rig, &["config", "init"], 1);
    assert!(ran.err.contains("already exists") && ran.err.contains("--overwrite"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "store = '/mine'\n");
    runs(&rig, &["config", "init", "--force"], 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), template);
}

/// Checks that `set` and `unset` change one line, that `show` agrees, and that a mistake changes
/// nothing.
#[test]
fn set_and_unset_change_one_line() {
    let rig = Rig::new();
    let path = file(&rig);
    let text = || fs::read_to_string(&path).unwrap();
    let set = |key: &str, value: &str, code: i32| runs(&rig, &["config", "set", key, value], code);
    // The first `set` writes the template with the key.
    set("retention.keep-last", "5", 0);
    assert!(text().contains("\nkeep-last = 5\n"), "{}", text());
    let mine = "# mine\n[retention]\nkeep-last = 5   # few\n\n# the end\n";
    fs::write(&path, mine).unwrap();
    set("retention.keep-last", "7", 0);
    assert_eq!(text(), mine.replace('5', "7"));
    let shown = runs(&rig, &["config", "show"], 0).out;
    let keep_last = shown.lines().find(|line| line.contains("keep-last"));
    assert_eq!(keep_last, Some("retention.keep-last = 7   (file)"));
    for (key, value, says) in [
        ("retention.keep-last", "-1", "from 0 to 100000"),
        ("retention.keep-lst", "1", "did you mean"),
        ("create.full", "perhaps", "true or false"),
        ("store", "backups", "absolute path"),
    ] {
        let ran = set(key, value, 2);
        assert!(ran.err.contains(says), "{key}: {}", ran.err);
    }
    assert_eq!(text(), mine.replace('5', "7"));
    let ran = runs(
        &rig,
        &["config", "unset", "retention.keep-last", "--json"],
        0,
    );
    assert_eq!(ran.last_object()["event"], "config_changed");
    assert_eq!(text(), mine.replace("keep-last = 5", "#keep-last = 7"));
    assert!(
        runs(&rig, &["config", "unset", "create.full"], 0)
            .out
            .contains("was not set")
    );
    // A mistake can be corrected while another one is left, which is reported.
    fs::write(&path, "[create]\nfull = 1\nno-apps = 1\n").unwrap();
    assert!(
        set("create.full", "true", 2)
            .err
            .contains("line 3: create.no-apps")
    );
    runs(&rig, &["config", "unset", "create.no-apps"], 0);
    assert_eq!(text(), "[create]\nfull = true\n#no-apps = 1\n");
    set("store", rig.store.root().to_str().unwrap(), 0);
    rig.create();
    assert!(runs(&rig, &["list"], 0).out.contains("Mira's iPhone"));
}

#[test]
fn variable_that_outranks_a_key_is_named() {
    let rig = Rig::new();
    let mut command = program(&rig);
    let ran = ended(command.args(["config", "set", "store", "~/elsewhere"]));
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(
        ran.err.contains("the variable IDEV_BACKUP_STORE is"),
        "{}",
        ran.err
    );
}

/// Checks that the config file may be a link to a file elsewhere, which keeps its permissions.
#[test]
#[cfg(unix)]
fn linked_config_file_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let rig = Rig::new();
    let (path, real) = (file(&rig), rig.dir.path().join("dotfiles.toml"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&real, "").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &path).unwrap();
    runs(&rig, &["config", "set", "create.full", "true"], 0);
    assert!(path.is_symlink());
    assert_eq!(
        fs::read_to_string(&real).unwrap(),
        "[create]\nfull = true\n"
    );
    assert_eq!(mode(&real), 0o640);
    fs::remove_file(&real).unwrap();
    runs(&rig, &["config", "set", "create.full", "true"], 1);
    assert!(!real.exists());
}

/// Returns the command `config edit` with an editor that runs this shell script on the file `$1`.
#[cfg(unix)]
fn edit(rig: &Rig, script: &str) -> std::process::Command {
    use std::os::unix::fs::PermissionsExt;
    let editor = rig.dir.path().join("my editor");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = program(rig);
    command
        .args(["config", "edit"])
        .env("VISUAL", format!("'{}'", editor.display()))
        .env("TMPDIR", rig.dir.path());
    command
}

/// Checks that `edit` never leaves a broken file in place, and loses no text of the user.
#[test]
#[cfg(unix)]
fn edit_saves_only_valid_text() {
    let rig = Rig::new();
    let path = file(&rig);
    let run = |script: &str, code: i32| {
        let ran = ended(&mut edit(&rig, script));
        assert_eq!(ran.code, code, "{script}: {}", ran.all());
        ran
    };
    assert!(run("true", 0).out.contains("was not changed"));
    assert!(!path.exists());
    run("echo 'keep-last = 9' >> \"$1\"", 2);
    assert!(
        !path.exists(),
        "the last section is [log], which has no such key"
    );
    run("sed -i 's/^#keep-last = 3/keep-last = 9/' \"$1\"", 0);
    assert_eq!(mode(&path), 0o600);
    let good = fs::read_to_string(&path).unwrap();
    assert!(good.contains("\nkeep-last = 9\n"), "{good}");
    let ran = run("echo 'a = ' > \"$1\"", 2);
    assert!(ran.err.contains("line 1: not TOML"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), good);
    let rejected = path.with_file_name("config.toml.rejected");
    assert!(ran.err.contains(rejected.to_str().unwrap()), "{}", ran.err);
    assert_eq!(fs::read_to_string(&rejected).unwrap(), "a = \n");
    assert_eq!(mode(&rejected), 0o600);
    assert!(run("exit 1", 1).err.contains("VISUAL or EDITOR"));
    // Another program changes the file while the editor is open.
    let meanwhile = format!(
        "echo 'store = \"/b\"' > \"$1\"; echo > '{}'",
        path.display()
    );
    assert!(run(&meanwhile, 1).err.contains("changed meanwhile"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "\n");
    let left = tree(rig.dir.path());
    assert!(!left.keys().any(|name| name.contains("idev-backup-config-")));
}

/// Checks that a terminal offers to edit again, with the text as the user left it.
#[test]
#[cfg(target_os = "linux")]
fn edit_offers_another_try() {
    let rig = Rig::new();
    let path = file(&rig);
    let twice = "if grep -q 'full = maybe' \"$1\"; then sed -i s/maybe/true/ \"$1\"\n\
        else sed -i 's/^#full = false/full = maybe/' \"$1\"; fi";
    let (code, shown) = typing(
        &mut edit(&rig, twice),
        80,
        &[("Edit it again? [Y/n]", "\n")],
    );
    assert_eq!(code, 0, "{shown}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\nfull = true\n"), "{text}");
    let broken = "sed -i 's/^full = true/full = maybe/' \"$1\"";
    let (code, shown) = typing(&mut edit(&rig, broken), 80, &[("again?", "n\n")]);
    assert_eq!(code, 2, "{shown}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
