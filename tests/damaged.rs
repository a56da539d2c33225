//! Reads damaged copies of a backup with every command. No command panics or hangs, and `verify`
//! never reports a copy as whole if it reads a changed byte in it.
//!
//! `IDEV_BACKUP_DAMAGED` is the number of copies (12 by default). `IDEV_BACKUP_TEST_SEED` is the
//! seed of the first copy; each further copy uses the next number.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::rig::program::program;
use crate::rig::{self, Random, Rig, Tree, UDID, tree};

/// Time after which a command counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);
const PAGE: usize = 4096;

/// The commands that read a backup. `BACKUP`, `WHOLE` and `TO` stand for folders.
const COMMANDS: [&[&str]; 13] = [
    &["info", "BACKUP"],
    &["usage", "BACKUP"],
    &["ls", "BACKUP"],
    &["ls", "-lR", "BACKUP", "HomeDomain"],
    &["find", "BACKUP", "--size", "+0"],
    &["tree", "BACKUP"],
    &["cat", "BACKUP", "HomeDomain/Library/SMS/sms.db"],
    &["extract", "BACKUP", "--to", "TO/extracted"],
    &["export", "photos", "BACKUP", "--to", "TO/photos"],
    &["diff", "WHOLE", "BACKUP"],
    &["verify", "BACKUP"],
    &["verify", "--deep", "BACKUP"],
    &["restore", "BACKUP", "--dry-run"],
];

#[test]
fn damaged_copies_never_verify_as_whole() {
    let rig = Rig::backed_up();
    let whole = tree(&rig.current());
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let copies = number("IDEV_BACKUP_DAMAGED").unwrap_or(12);
    let first = rig::seed("damaged copies");
    for seed in first..first + copies {
        let dir = rig::room();
        let store = dir.path().join("store");
        rig::copy_dir(rig.store.root(), &store);
        let backup = store.join(UDID);
        let what = damage(&backup, seed);
        let changed = changed(&whole, &tree(&backup));
        for (place, command) in COMMANDS.iter().enumerate() {
            let when = format!("IDEV_BACKUP_TEST_SEED={seed}: {what}: {command:?}");
            let (code, out) = run(&rig, dir.path(), &backup, place, command, &when);
            if command[0] == "verify" && !changed.is_empty() {
                assert!(code == 1, "{when}: {code}: {out}");
                assert!(!out.contains("WHOLE"), "{when}: {out}");
            }
        }
    }
}

/// Damages a copy in one random way. Returns a description of the damage.
fn damage(backup: &Path, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut files: Vec<PathBuf> = (tree(backup).into_iter())
        .filter(|(_, bytes)| bytes.as_ref().is_some_and(|bytes| !bytes.is_empty()))
        .map(|(name, _)| backup.join(name))
        .collect();
    files.sort();
    // Half of the damage is in the lists, which are few files.
    let is_list = |path: &&PathBuf| path.parent() == Some(backup);
    let lists: Vec<PathBuf> = files.iter().filter(is_list).cloned().collect();
    let chosen = match random.below(2) {
        0 => lists[random.below(lists.len())].clone(),
        _ => files[random.below(files.len())].clone(),
    };
    let mut bytes = fs::read(&chosen).unwrap();
    let name = chosen.strip_prefix(backup).unwrap().display().to_string();
    let place = random.below(bytes.len());
    match random.below(6) {
        0 => {
            let bit = random.below(8);
            bytes[place] ^= 1 << bit;
            fs::write(&chosen, bytes).unwrap();
            format!("bit {bit} of byte {place} of {name} is flipped")
        }
        1 => {
            fs::write(&chosen, &bytes[..place]).unwrap();
            format!("{name} is cut at {place}")
        }
        2 => {
            let start = place / PAGE * PAGE;
            let end = bytes.len().min(start + PAGE);
            bytes[start..end].fill(0);
            fs::write(&chosen, bytes).unwrap();
            format!("the page at {start} of {name} is zeroed")
        }
        3 => {
            fs::remove_file(&chosen).unwrap();
            format!("{name} is removed")
        }
        4 => {
            fs::remove_file(&chosen).unwrap();
            fs::create_dir(&chosen).unwrap();
            format!("{name} is a folder")
        }
        _ => {
            let other = files[random.below(files.len())].clone();
            let its = fs::read(&other).unwrap();
            fs::write(&chosen, its).unwrap();
            fs::write(&other, bytes).unwrap();
            let other = other.strip_prefix(backup).unwrap().display().to_string();
            format!("{name} and {other} are swapped")
        }
    }
}

/// Returns the names of the files that differ.
fn changed(whole: &Tree, damaged: &Tree) -> Vec<String> {
    let names = whole.keys().chain(damaged.keys());
    let differ = names.filter(|name| whole.get(*name) != damaged.get(*name));
    differ.cloned().collect()
}

fn run(
    rig: &Rig,
    dir: &Path,
    backup: &Path,
    place: usize,
    words: &[&str],
    when: &str,
) -> (i32, String) {
    let to = dir.join(format!("to-{place}"));
    fs::create_dir(&to).unwrap();
    let word = |word: &&str| {
        word.replace("BACKUP", backup.to_str().unwrap())
            .replace("WHOLE", rig.current().to_str().unwrap())
            .replace("TO/", &format!("{}/", to.display()))
    };
    let [out, err] = ["out", "err"].map(|name| to.join(name));
    let mut child = program(rig)
        .env("IDEV_BACKUP_STORE", dir.join("store"))
        .args(words.iter().map(word))
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{when}: the command hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let (out, err) = (read(&out), read(&err));
    assert!(!err.contains("panicked"), "{when}: {err}");
    let code = status.code().unwrap_or_else(|| panic!("{when}: {status}"));
    assert!([0, 1, 3].contains(&code), "{when}: {code}: {err}");
    (code, format!("{out}{err}"))
}
