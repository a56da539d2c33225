//! The program restic, as a judge of what was pushed.

use std::path::Path;
use std::process::Command;

/// Returns true if restic is installed; else says that a test is skipped.
pub fn is_there() -> bool {
    let is_there = Command::new("restic").arg("version").output().is_ok();
    if !is_there {
        eprintln!("skipped: restic is not installed");
    }
    is_there
}

/// Runs restic on a repository, which must succeed, and returns what it prints.
pub fn run(repository: &Path, password: &Path, args: &[&str]) -> String {
    let output = Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(repository)
        .arg("--password-file")
        .arg(password)
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{complaint}");
    text
}
