//! Repositories: what restic itself says of what was pushed, and what happens when restic is
//! missing, old or broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::rig::program::{Ran, ended, program};
use crate::rig::{restic, *};

const PASSWORD: &str = "correct horse, battery";

/// A rig with a place for a repository and a file with its password.
struct Off {
    rig: Rig,
    repository: PathBuf,
    password: PathBuf,
}

impl Off {
    fn with(rig: Rig) -> Off {
        let repository = rig.dir.path().join("repository");
        let password = rig.dir.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        Off {
            rig,
            repository,
            password,
        }
    }

    /// Returns a rig with a backup, and a repository that is empty.
    fn made(backups: usize) -> Off {
        let off = Off::with(Rig::new());
        for number in 0..backups {
            if number > 0 {
                // Backups of the same second have no order in a repository.
                std::thread::sleep(Duration::from_millis(1010));
            }
            off.rig.create();
        }
        let init = off.run(&["init"]);
        assert_eq!(init.code, 0, "{}", init.all());
        off
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(&self.rig);
        command
            .arg("repository")
            .args(args)
            .env("IDEV_BACKUP_REPOSITORY_LOCATION", &self.repository)
            .env("IDEV_BACKUP_REPOSITORY_PASSWORD_FILE", &self.password);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ended(&mut self.command(args))
    }

    fn restic(&self, args: &[&str]) -> String {
        restic::run(&self.repository, &self.password, args)
    }

    fn snapshots(&self) -> Vec<Value> {
        let all = self.restic(&["snapshots", "--json"]);
        serde_json::from_str(&all).unwrap()
    }

    /// Restores a snapshot with restic, and asserts that it is the backup and our record of it.
    fn assert_restores(&self, id: &str, backup: &Path, beside: &Path) {
        let to = tempfile::tempdir_in(self.rig.dir.path()).unwrap();
        self.restic(&["restore", id, "--target", to.path().to_str().unwrap()]);
        let record = to.path().join(".idev-backup").join(UDID);
        let record = record.join(beside.file_name().unwrap());
        assert_same(&tree(beside), &tree(&record), "the record");
        fs::remove_dir_all(to.path().join(".idev-backup")).unwrap();
        assert_same(&tree(backup), &tree(to.path()), "the backup");
    }
}

#[test]
fn restic_restores_what_was_pushed() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(3);
    let ran = off.run(&["push", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let report = ran.object("pushed");
    assert_eq!(report["pushed"].as_array().unwrap().len(), 3);
    assert_eq!(report["checked"]["read"]["of"], 30);
    let check = off.restic(&["check", "--read-data"]);
    assert!(check.contains("no errors were found"), "{check}");

    let stored = off.snapshots();
    let all = off.rig.store.snapshots().unwrap();
    assert_eq!(stored.len(), all.len());
    for snapshot in &all {
        let tags = |stored: &Value| -> BTreeSet<String> {
            serde_json::from_value(stored["tags"].clone()).unwrap()
        };
        let id = format!("id:{}", snapshot.id());
        let of_it = stored.iter().find(|stored| tags(stored).contains(&id));
        let of_it = of_it.unwrap_or_else(|| panic!("{id}: {stored:?}"));
        for tag in ["idev-backup".to_owned(), format!("udid:{UDID}")] {
            assert!(tags(of_it).contains(&tag), "{tag}: {of_it}");
        }
        // The list of restic counts whole seconds.
        let time: jiff::Timestamp = of_it["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(time.as_second(), snapshot.date().as_second());
        let id = of_it["id"].as_str().unwrap();
        off.assert_restores(id, snapshot.path(), snapshot.beside().unwrap());
    }

    // A second push sends nothing.
    let again = off.run(&["push", "--json"]).object("pushed");
    assert_eq!(
        (&again["present"], &again["bytes_added"]),
        (&3.into(), &0.into())
    );
    assert_eq!(off.snapshots().len(), 3);
    // The next backup is read only where it has changed.
    off.rig.create();
    let next = off.run(&["push", "--json"]).object("pushed");
    let next = &next["pushed"][0]["pushed"];
    let (bytes, added) = (
        next["bytes"].as_u64().unwrap(),
        next["bytes_added"].as_u64().unwrap(),
    );
    assert!(added < bytes, "{next}");
}

#[test]
fn list_and_check_report_the_repository() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(2);
    let empty = off.run(&["list"]);
    assert_eq!(empty.code, 0, "{}", empty.all());
    assert!(empty.out.contains("holds no backups yet"), "{}", empty.out);
    let latest = off.run(&["push", "latest"]);
    assert_eq!(latest.code, 0, "{}", latest.all());
    assert!(latest.out.contains("1 backup pushed"), "{}", latest.out);
    let list = off.run(&["list", "--json"]).object("repository");
    let copy = &list["phones"][0]["copies"][0];
    let newest = &off.rig.store.snapshots().unwrap()[0];
    assert_eq!(copy["backup"], newest.id().as_str());
    assert_eq!(copy["files"], newest.reported_files().unwrap());
    assert_eq!(copy["encrypted"], false);
    assert!(off.run(&["list"]).out.contains("iPhone"));
    let noted = off.rig.store.copies().unwrap();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].phones[UDID].backup, newest.id().as_str());
    assert!(noted[0].checked.is_some());
    let check = off.run(&["check", "--read-data"]);
    assert!(check.out.contains("all data matches"), "{}", check.all());

    // A flipped byte in the data is found, and named.
    let pack = largest(&off.repository.join("data"));
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    writable(&pack);
    fs::write(&pack, bytes).unwrap();
    let check = off.run(&["check", "--read-data"]);
    assert_eq!(check.code, 1, "{}", check.all());
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert!(
        check.err.contains("is damaged") && check.err.contains(&name[..8]),
        "{}",
        check.err
    );
}

#[test]
fn pulled_backup_is_whole_and_sealed() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(2);
    assert_eq!(off.run(&["push", "--no-check"]).code, 0);
    let target = off.rig.dir.path().join("elsewhere");
    let to = target.to_str().unwrap();
    let pull = |name: &str| off.run(&["pull", name, "--store", to, "--new-store", "--json"]);
    let all = off.rig.store.snapshots().unwrap();
    for (at, snapshot) in all.iter().enumerate() {
        let ran = pull(snapshot.id().as_str());
        assert_eq!(ran.code, 0, "{}", ran.all());
        let taken = ran.object("pulled");
        assert_eq!(taken["current"], at == 0, "{taken}");
        let path = PathBuf::from(taken["path"].as_str().unwrap());
        assert_same(&tree(snapshot.path()), &tree(&path), "the pulled backup");
        assert_whole(&path);
    }
    let store = idev_backup::store::Store::open(&target).unwrap();
    let pulled = store.snapshots().unwrap();
    assert!(pulled.iter().all(|snapshot| snapshot.record().is_some()));
    // Nothing that was restored is left beside the backups.
    let left = target.join(".idev-backup").join(UDID).join("pull");
    let left: Vec<_> = fs::read_dir(left)
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
    let again = pull("latest");
    assert_eq!(again.code, 0, "{}", again.all());
    assert!(again.out.contains("already in this store"), "{}", again.out);
    // The repository knows these backups, although they have other ids in this store.
    let push = off.run(&["push", "--store", to, "--json"]).object("pushed");
    assert_eq!(push["present"], 2, "{push}");
    for (name, code) in [("0123456789abcdef", 1), ("nobody", 1)] {
        let ran = pull(name);
        assert_eq!(ran.code, code, "{}", ran.all());
        assert!(ran.err.contains("has no snapshot"), "{}", ran.err);
    }
}

#[test]
fn backups_pushed_by_restic_are_pulled() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(2);
    off.restic(&["backup", "--quiet", off.rig.store.root().to_str().unwrap()]);
    let id = off.snapshots()[0]["id"].as_str().unwrap().to_owned();
    let list = off.run(&["list"]);
    assert!(
        list.out.contains("1 snapshot there of other programs"),
        "{}",
        list.out
    );
    let target = off.rig.dir.path().join("elsewhere");
    let to = target.to_str().unwrap();
    let ran = off.run(&["pull", &id[..8], "--store", to, "--new-store"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let store = idev_backup::store::Store::open(&target).unwrap();
    let trees = |store: &idev_backup::store::Store| -> Vec<_> {
        store
            .snapshots()
            .unwrap()
            .iter()
            .map(|s| tree(s.path()))
            .collect()
    };
    let (here, there) = (trees(&off.rig.store), trees(&store));
    assert_eq!(here.len(), there.len());
    for (here, there) in here.iter().zip(&there) {
        assert_same(here, there, "pulled");
    }
}

#[test]
fn damaged_pull_leaves_the_store_unchanged() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(1);
    // One byte of a file changes before restic reads it, so the list of hashes contradicts it.
    let victim = off.rig.current().join(victim(&off.rig));
    let mut bytes = fs::read(&victim).unwrap();
    bytes[0] ^= 1;
    fs::write(&victim, bytes).unwrap();
    assert_eq!(off.run(&["push", "--no-check"]).code, 0);
    let target = off.rig.dir.path().join("elsewhere");
    let ran = off.run(&[
        "pull",
        "latest",
        "--store",
        target.to_str().unwrap(),
        "--new-store",
    ]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains("SHA256SUMS"), "{}", ran.err);
    let store = idev_backup::store::Store::open(&target).unwrap();
    assert!(store.snapshots().unwrap().is_empty());
}

#[test]
fn forget_keeps_newest_and_pinned_copies() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(4);
    assert_eq!(off.run(&["push", "--no-check"]).code, 0);
    let all = off.rig.store.snapshots().unwrap();
    off.rig
        .store
        .note(&all[3], |note| note.pinned = true)
        .unwrap();
    let dry = off
        .run(&["forget", "--keep-last", "0", "--dry-run", "--json"])
        .object("forgotten");
    assert_eq!(dry["forgotten"], 2, "{dry}");
    assert_eq!(off.snapshots().len(), 4);
    let done = off
        .run(&["forget", "--keep-last", "0", "--json"])
        .object("forgotten");
    let kept = done["copies"].as_array().unwrap().iter();
    let kept: BTreeSet<_> = kept
        .filter(|c| c["keep"] == true)
        .map(|c| c["backup"].to_string())
        .collect();
    assert_eq!(
        kept,
        [&all[0], &all[3]].map(|s| format!("\"{}\"", s.id())).into()
    );
    assert_eq!(off.snapshots().len(), 2);
    off.restic(&["check", "--read-data"]);
    // What was forgotten is pushed again.
    let push = off.run(&["push", "--json"]).object("pushed");
    assert_eq!(
        (
            push["present"].clone(),
            push["pushed"].as_array().unwrap().len()
        ),
        (2.into(), 2)
    );
}

/// Checks that damage which a check after a push finds is not forgotten by the next push.
#[test]
fn damage_fails_every_push_until_mended() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(1);
    let push = ["push", "--read-back", "1", "--json"];
    let checked = || off.rig.store.copies().unwrap()[0].clone();
    assert_eq!(off.run(&push).code, 0);
    assert_eq!((checked().checks, checked().check_due), (1, false));
    let pack = largest(&off.repository.join("data"));
    let whole = fs::read(&pack).unwrap();
    writable(&pack);
    fs::write(&pack, &whole[..whole.len() / 2]).unwrap();
    off.rig.create();
    for _ in 0..2 {
        let damaged = off.run(&push);
        assert_eq!(damaged.code, 1, "{}", damaged.all());
        assert!(damaged.all().contains("is damaged"), "{}", damaged.all());
        assert!(checked().check_due);
    }
    fs::write(&pack, &whole).unwrap();
    let mended = off.run(&push).object("pushed");
    assert_eq!(mended["pushed"].as_array().unwrap().len(), 0);
    assert_eq!(mended["checked"]["read"]["of"], 1);
    assert_eq!((checked().checks, checked().check_due), (2, false));
}

#[test]
fn forget_needs_the_pins_and_frees_space_later() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(3);
    assert_eq!(off.run(&["push", "--no-check"]).code, 0);
    let all = off.rig.store.snapshots().unwrap();
    // A store that cannot be read may hold pins.
    let away = off.rig.dir.path().join("away");
    let store = ["--store", away.to_str().unwrap()];
    let forget = ["forget", "--keep-last", "0"];
    let ran = off.run(&[&forget[..], &store[..]].concat());
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert_eq!(off.snapshots().len(), 3);
    // An older backup that is named does not replace the newest one in the notes.
    let newest = || {
        let known = &off.rig.store.copies().unwrap()[0];
        known.phones[UDID].backup.clone()
    };
    assert_eq!(newest(), all[0].id().as_str());
    let older = ["push", all[2].path().to_str().unwrap(), "--no-check"];
    let mut command = off.command(&older);
    // The variable does not stand in the way of the option.
    let ran = ended(command.env("IDEV_BACKUP_REPOSITORY_READ_BACK", "7"));
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(newest(), all[0].id().as_str());
    let packs = || tree(&off.repository.join("data")).len();
    assert_eq!(off.run(&[&forget[..], &["--keep-data"]].concat()).code, 0);
    assert_eq!(off.snapshots().len(), 1);
    let before = packs();
    assert_eq!(off.run(&forget).code, 0);
    assert!(packs() < before, "{before} {}", packs());
    off.restic(&["check", "--read-data"]);
}

#[test]
fn second_key_opens_the_repository() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(1);
    let paper = off.rig.dir.path().join("paper");
    fs::write(&paper, "written on paper\n").unwrap();
    let added = off.run(&["key", "add", "--new-password-file", paper.to_str().unwrap()]);
    assert_eq!(added.code, 0, "{}", added.all());
    let keys = off
        .run(&["key", "list", "--json"])
        .object("repository_keys");
    let keys = keys["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2);
    let with = |file: &Path| {
        let mut command = off.command(&["list"]);
        ended(command.env("IDEV_BACKUP_REPOSITORY_PASSWORD_FILE", file)).code
    };
    assert_eq!((with(&paper), with(&off.password)), (0, 0));
    let added = keys.iter().find(|key| key["current"] == false).unwrap();
    let removed = off.run(&["key", "remove", added["id"].as_str().unwrap()]);
    assert_eq!(removed.code, 0, "{}", removed.all());
    assert_eq!((with(&paper), with(&off.password)), (6, 0));
    assert_eq!(off.run(&["unlock"]).code, 0);
}

#[test]
fn errors_of_restic_have_exit_codes() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(1);
    let again = off.run(&["init"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("already"), "{}", again.err);
    let nowhere = |mut command: Command| {
        ended(command.env(
            "IDEV_BACKUP_REPOSITORY_LOCATION",
            off.rig.dir.path().join("none"),
        ))
    };
    let none = nowhere(off.command(&["push"]));
    assert_eq!(none.code, 1);
    assert!(
        none.err.contains("there is no repository at"),
        "{}",
        none.err
    );
    assert!(none.err.contains("repository init"), "{}", none.err);
    let empty = off.run(&["pull", "latest"]);
    assert_eq!(empty.code, 1, "{}", empty.all());
    for words in ["holds no backups yet", "`idev-backup repository push`"] {
        assert!(empty.err.contains(words), "{}", empty.err);
    }
    let mut unasked = off.command(&["list"]);
    let unasked = ended(unasked.env_remove("IDEV_BACKUP_REPOSITORY_PASSWORD_FILE"));
    assert_eq!(unasked.code, 6, "{}", unasked.all());
    let option = "--repository-password-file";
    assert!(unasked.err.contains(option), "{}", unasked.err);
    fs::write(&off.password, "wrong").unwrap();
    let wrong = off.run(&["push"]);
    assert_eq!(wrong.code, 6, "{}", wrong.all());
    assert!(!wrong.err.contains("wrong"), "{}", wrong.err);
    let mut gone = off.command(&["list", "--repository-retry", "0"]);
    let gone = ended(gone.env(
        "IDEV_BACKUP_REPOSITORY_LOCATION",
        "rest:http://me:pw@127.0.0.1:9/",
    ));
    assert_eq!(gone.code, 8, "{}", gone.all());
    assert!(gone.err.contains("the connection failed"), "{}", gone.err);
    assert!(!gone.all().contains("me:pw"), "{}", gone.all());
}

/// Substitutes for restic, which misbehave.
#[cfg(unix)]
mod broken {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Stdio;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use idev_backup::base::cancel::CancelToken;
    use idev_backup::base::secret::Secret;
    use idev_backup::repository::{
        self, Access, After, Location, Push, PushReport, Restic, Waits, push,
    };

    use super::*;

    /// Writes a substitute for restic, and returns its path. It answers the question for its
    /// version; `body` is what it does otherwise.
    fn substitute(off: &Off, body: &str) -> PathBuf {
        let path = off.rig.dir.path().join("fake-restic");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = version ]; then echo 'restic 0.16.4 compiled with go1.21'; \
            exit; fi\n{body}\n"
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn with(off: &Off, body: &str, args: &[&str]) -> Command {
        let mut command = off.command(args);
        command.env("IDEV_BACKUP_REPOSITORY_RESTIC", substitute(off, body));
        command
    }

    #[test]
    fn every_class_of_error_has_its_code() {
        let off = Off::with(Rig::backed_up());
        for (said, status, code, words) in [
            (
                "Fatal: wrong password or no key found",
                1,
                6,
                "does not open",
            ),
            ("", 12, 6, "does not open"),
            (
                "Fatal: unable to open config file: Stat: The specified bucket does not exist",
                1,
                1,
                "no such bucket",
            ),
            (
                "Fatal: Stat: The provided token has expired (ExpiredToken)",
                1,
                1,
                "refuses the login",
            ),
            (
                "Fatal: RequestTimeTooSkewed: The difference between",
                1,
                1,
                "clock",
            ),
            (
                "Fatal: write /x: no space left on device",
                1,
                7,
                "storage is full",
            ),
            (
                "Fatal: config: unsupported repository version",
                1,
                1,
                "cannot read the repository",
            ),
            (
                "Fatal: tree 12ab: ciphertext verification failed",
                1,
                1,
                "is damaged",
            ),
            ("Fatal: something new", 1, 1, "something new"),
            ("", 2, 1, "exit code 2"),
        ] {
            let body = format!("cat > /dev/null\necho '{said}' >&2\nexit {status}");
            let ran = ended(&mut with(&off, &body, &["push"]));
            assert_eq!(ran.code, code, "{said}: {}", ran.all());
            assert!(ran.err.contains(words), "{said}: {}", ran.err);
        }
    }

    #[test]
    fn rubbish_is_quoted() {
        let off = Off::with(Rig::backed_up());
        let long = "printf 'x%.0s' $(seq 5000); echo";
        for body in [
            "echo hello",
            "echo '{}'",
            "echo '[{\"id\": 1}]'",
            "printf '\\377\\376\\n'",
            long,
        ] {
            let ran = ended(&mut with(
                &off,
                &format!("cat > /dev/null\n{body}"),
                &["list"],
            ));
            assert_eq!(ran.code, 1, "{body}: {}", ran.all());
            assert!(ran.err.contains("is not understood"), "{body}: {}", ran.err);
            assert!(ran.err.len() < 1000, "{}", ran.err);
        }
        let mut command = off.command(&["list"]);
        let path = substitute(&off, "");
        for (script, words) in [
            (
                "echo 'restic 0.12.1 compiled with go1.16'",
                "0.14.0 or newer",
            ),
            ("echo 'GNU tar 1.34'", "GNU tar"),
            ("exit 3", "does not say which version"),
            ("kill -9 $$", "does not say which version"),
        ] {
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            let ran = ended(command.env("IDEV_BACKUP_REPOSITORY_RESTIC", &path));
            assert_eq!(ran.code, 1, "{}", ran.all());
            assert!(ran.err.contains(words), "{}", ran.err);
        }
        let ran = ended(command.env("IDEV_BACKUP_REPOSITORY_RESTIC", "no-such-restic"));
        assert!(ran.err.contains("is not installed"), "{}", ran.err);
    }

    #[test]
    fn hanging_and_dying_restic_end() {
        let off = Off::with(Rig::backed_up());
        let patience = ["push", "--repository-patience", "1s"];
        let ran = ended(&mut with(&off, "exec sleep 60", &patience));
        assert_eq!(ran.code, 8, "{}", ran.all());
        assert!(ran.err.contains("no progress for 1"), "{}", ran.err);
        let ran = ended(&mut with(&off, "kill -9 $$", &["push"]));
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("signal 9"), "{}", ran.err);
    }

    /// Ctrl-C reaches the substitute once, and the program waits for its end.
    #[test]
    fn interruption_reaches_restic_once() {
        let off = Off::with(Rig::backed_up());
        let log = off.rig.dir.path().join("log");
        let body = format!(
            "echo started >> {0}\ntrap 'echo INT >> {0}; sleep 1; echo cleaned >> {0}; exit 130' INT\n\
            while :; do sleep 0.1; done",
            log.display()
        );
        let mut command = with(&off, &body, &["list"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !log.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(300));
        let kill = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130));
        assert_eq!(fs::read_to_string(&log).unwrap(), "started\nINT\ncleaned\n");
    }

    /// The substitute records its environment and its arguments.
    #[test]
    fn password_comes_by_pipe_alone() {
        let off = Off::with(Rig::backed_up());
        let log = off.rig.dir.path().join("log");
        let body = format!(
            "{{ echo \"$@\"; env; }} > {0}; head -n 1 > {0}.in; echo 'Fatal: x' >&2; exit 1",
            log.display()
        );
        let mut command = with(&off, &body, &["list"]);
        command
            .env("AWS_SECRET_ACCESS_KEY", "kept")
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("IDEV_BACKUP_PASSWORD", PASSWORD)
            .env("SOME_TOKEN", "not kept");
        let ran = ended(&mut command);
        assert!(!ran.all().contains(PASSWORD));
        let seen = fs::read_to_string(&log).unwrap();
        assert!(seen.contains("AWS_SECRET_ACCESS_KEY=kept"), "{seen}");
        assert!(
            seen.contains("TZ=UTC") && seen.contains("RESTIC_REPOSITORY="),
            "{seen}"
        );
        for secret in [PASSWORD, "not kept", "IDEV_BACKUP", "USBMUXD"] {
            assert!(!seen.contains(secret), "{secret}: {seen}");
        }
        let read = fs::read_to_string(log.with_extension("in")).unwrap();
        assert_eq!(read.trim_end(), PASSWORD);
    }

    /// Pushes with a substitute whose pushes fail with the words of `said`, one after the other,
    /// and then succeed. Returns the result, the number of pushes, and what was noted.
    fn pushed(
        off: &Off,
        said: &[&str],
        waits: Waits,
    ) -> (Result<PushReport, repository::Error>, usize, Vec<String>) {
        let log = off.rig.dir.path().join("log");
        fs::write(&log, "").unwrap();
        let cases: String = (said.iter().enumerate())
            .map(|(at, said)| format!("{}) echo 'Fatal: {said}' >&2; exit 1 ;;\n", at + 1))
            .collect();
        let body = format!(
            r#"cat > /dev/null
case "$1" in
  snapshots) echo null ;;
  cat) echo '{{"id": "0123"}}' ;;
  backup)
    echo backup >> {0}
    case $(($(wc -l < {0}))) in
    {cases}*) echo '{{"message_type":"summary","total_files_processed":1,"total_bytes_processed":1,"data_added":1,"snapshot_id":"feedbeef"}}' ;;
    esac ;;
esac"#,
            log.display()
        );
        let cancel = CancelToken::new(Arc::new(AtomicBool::new(false)));
        let password = Secret::new(PASSWORD.into());
        let mut access = Access::new(Location::new(&off.repository), password, cancel);
        access.program = substitute(off, &body).into();
        access.waits = waits;
        let restic = Restic::new(access).unwrap();
        let wish = Push {
            chosen: None,
            host: None,
            after: After::Nothing,
            dry_run: false,
        };
        let recorder = Recorder::default();
        let report = push(&off.rig.store, &restic, &wish, &recorder);
        let pushes = fs::read_to_string(&log).unwrap().lines().count();
        (report, pushes, recorder.notes())
    }

    #[test]
    fn lost_connection_is_tried_again() {
        let off = Off::with(Rig::backed_up());
        let waits = |retries| Waits {
            retries,
            retry_wait: Duration::from_millis(10),
            ..Waits::default()
        };
        let lost = ["read tcp: connection reset by peer"; 2];
        let (report, pushes, notes) = pushed(&off, &lost, waits(2));
        assert_eq!(report.unwrap().pushed.len(), 1);
        assert_eq!(pushes, 3);
        let again = notes
            .iter()
            .filter(|note| note.starts_with("Trying again in"));
        assert_eq!(again.count(), 2, "{notes:?}");
        let (report, pushes, _) = pushed(&off, &lost, waits(1));
        assert!(
            matches!(report, Err(repository::Error::Lost { .. })),
            "{report:?}"
        );
        assert_eq!(pushes, 2);
        // Another error is not tried again.
        let (report, pushes, _) = pushed(&off, &["no space left on device"], waits(2));
        assert!(
            matches!(report, Err(repository::Error::Full { .. })),
            "{report:?}"
        );
        assert_eq!(pushes, 1);
    }

    #[test]
    fn held_lock_is_waited_for() {
        let off = Off::with(Rig::backed_up());
        let waits = |lock_max| Waits {
            lock_max,
            retries: 0,
            ..Waits::default()
        };
        let locked = ["repository is already locked exclusively by PID 7 on nas"; 2];
        let (report, pushes, notes) = pushed(&off, &locked, waits(Duration::from_secs(60)));
        assert_eq!(report.unwrap().pushed.len(), 1);
        assert_eq!(pushes, 3);
        // One note is enough for a wait that may be long.
        let again = notes.iter().filter(|note| note.contains("PID 7 on nas"));
        assert_eq!(again.count(), 1, "{notes:?}");
        let (report, pushes, _) = pushed(&off, &locked, waits(Duration::ZERO));
        assert!(
            matches!(report, Err(repository::Error::Locked { .. })),
            "{report:?}"
        );
        assert_eq!(pushes, 1);
    }

    /// restic ends with 3 if it could not read some files, although it made a snapshot.
    #[test]
    fn incomplete_snapshot_is_removed_again() {
        let off = Off::with(Rig::backed_up());
        let log = off.rig.dir.path().join("log");
        let body = format!(
            r#"cat > /dev/null; echo "$@" >> {}
case "$1" in
  snapshots) echo null ;;
  backup)
    echo '{{"message_type":"error","error":{{"message":"open 00/00ab: denied"}},"item":"/00/00ab"}}' >&2
    echo '{{"message_type":"summary","total_files_processed":1,"total_bytes_processed":1,"data_added":1,"snapshot_id":"feedbeef"}}'
    exit 3 ;;
esac"#,
            log.display()
        );
        let ran = ended(&mut with(&off, &body, &["push"]));
        assert_eq!(ran.code, 3, "{}", ran.all());
        assert!(
            ran.err.contains("/00/00ab") && ran.err.contains("1 file"),
            "{}",
            ran.err
        );
        let calls = fs::read_to_string(&log).unwrap();
        assert!(calls.contains("forget -- feedbeef"), "{calls}");
        assert!(off.rig.store.copies().unwrap()[0].phones.is_empty());
    }

    /// A backup is sealed, and renames the one that is being pushed, before restic reads any of it.
    #[test]
    fn seal_during_a_push_does_no_harm() {
        if !restic::is_there() {
            return;
        }
        let off = Off::made(1);
        let (started, go) = (
            off.rig.dir.path().join("started"),
            off.rig.dir.path().join("go"),
        );
        let body = format!(
            "if [ \"$1\" = backup ]; then touch {}; while [ ! -e {} ]; do sleep 0.05; done; fi\n\
            exec restic \"$@\"",
            started.display(),
            go.display()
        );
        let before = off.rig.store.snapshots().unwrap().remove(0);
        let expected = tree(before.path());
        let mut command = with(&off, &body, &["push", "--json"]);
        let push = std::thread::spawn(move || ended(&mut command));
        let until = Instant::now() + Duration::from_secs(120);
        while !started.exists() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(20));
        }
        off.rig.create();
        fs::write(&go, "").unwrap();
        let ran = push.join().unwrap();
        assert_eq!(ran.code, 0, "{}", ran.all());
        let all = off.rig.store.snapshots().unwrap();
        let archived = all.iter().find(|s| s.id() == before.id()).unwrap();
        assert!(!archived.is_current());
        assert_same(&expected, &tree(archived.path()), "the archived backup");
        let stored = off.snapshots();
        assert_eq!(stored.len(), 1);
        let id = stored[0]["id"].as_str().unwrap();
        off.assert_restores(id, archived.path(), archived.beside().unwrap());
        off.restic(&["check", "--read-data"]);
    }
}

#[test]
fn damaged_backups_are_left_out() {
    if !restic::is_there() {
        return;
    }
    let off = Off::made(2);
    let all = off.rig.store.snapshots().unwrap();
    let when = Some("2026-11-22T21:14:03Z".to_owned());
    off.rig
        .store
        .note(&all[1], |note| note.damaged = when)
        .unwrap();
    let ran = off.run(&["push", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.all());
    let report = ran.object("pushed");
    assert_eq!(report["pushed"][0]["backup"], all[0].id().as_str());
    assert_eq!(report["skipped"].as_array().unwrap().len(), 1);
    assert!(ran.out.contains("a check found it damaged"), "{}", ran.out);
}

/// Returns the largest file below a folder.
fn largest(folder: &Path) -> PathBuf {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    let files = files.filter(|entry| entry.file_type().is_file());
    let largest = files.max_by_key(|entry| entry.metadata().unwrap().len());
    largest.unwrap().into_path()
}

/// restic makes its files read-only.
fn writable(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "a file of the test's own"
    )]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
}
