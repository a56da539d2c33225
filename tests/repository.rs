//! Repositories: what restic itself says of what was pushed, and what happens when restic is
//! missing, old or broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::rig::program::{Ran, ended, program};
use crate::rig::*;

const PASSWORD: &str = "correct horse, battery";

/// Returns true if restic is installed; says so if it is not.
fn restic_is_there() -> bool {
    let is_there = Command::new("restic").arg("version").output().is_ok();
    if !is_there {
        eprintln!("skipped: restic is not installed");
    }
    is_there
}

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
        for _ in 0..backups {
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

    /// Runs restic itself, which must succeed, and returns what it prints.
    fn restic(&self, args: &[&str]) -> String {
        let output = Command::new("restic")
            .args(["--no-cache", "-r"])
            .arg(&self.repository)
            .arg("--password-file")
            .arg(&self.password)
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {text}{complaint}");
        text
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
    if !restic_is_there() {
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
    if !restic_is_there() {
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
