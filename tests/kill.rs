//! The program is killed at random moments of a backup, of the seal and of dropping old snapshots. Each time the last good
//! backup is there to the last byte, `list` and `verify` say the truth, and the next run succeeds.
//!
//! `IDEV_BACKUP_KILLS` says how often; 60 times without it.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Tests stop at what is unexpected, and this one has figures.

mod rig;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use idev_backup::jobs::create::Options;
use idev_backup::sim::{Content, PhoneConfig};
use rig::{Rig, Tree, UDID, assert_same, assert_whole, config, options, tree};

/// Backups that stay beside the current one, so that each seal drops one.
const KEEP: usize = 1;

fn start(rig: &Rig) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_idev-backup"))
        .args(["create", "--quiet", "--keep", &KEEP.to_string(), "--store"])
        .arg(rig.store.root())
        .env("USBMUXD_SOCKET_ADDRESS", rig.daemon.address())
        .env("HOME", rig.dir.path().join("home"))
        .env("LOCALAPPDATA", rig.dir.path().join("home"))
        .env("APPDATA", rig.dir.path().join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every folder that may hold a backup, wherever a seal has brought it so far.
fn places(rig: &Rig) -> Vec<PathBuf> {
    let mut found = vec![
        rig.draft_backup(),
        rig.own().join("trash").join("root").join(UDID),
    ];
    for entry in std::fs::read_dir(rig.store.root()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with(UDID) {
            found.push(entry.path());
        }
    }
    found
}

fn holds(rig: &Rig, backup: &Tree) -> bool {
    places(rig)
        .iter()
        .any(|place| place.is_dir() && &tree(place) == backup)
}

#[test]
fn a_run_that_is_killed_at_any_moment_loses_nothing() {
    let content = Content {
        small: 120,
        ..rig::small()
    };
    let rig = Rig::with(PhoneConfig {
        content,
        ..config()
    });
    let kills: u32 = match std::env::var("IDEV_BACKUP_KILLS") {
        Ok(text) => text.parse().unwrap(),
        // Programs start slowly there.
        Err(_) if cfg!(windows) => 10,
        Err(_) => 60,
    };
    let begun = Instant::now();
    assert!(start(&rig).wait().unwrap().success());
    let mut takes = begun.elapsed();
    let (mut random, mut interrupted, mut sealed) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    for round in 0..kills {
        let last = tree(&rig.current());
        let mut run = start(&rig);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Some runs end before they are killed: the last moments matter most.
        let moment = takes.mul_f64((random >> 40) as f64 / f64::from(1 << 24) * 1.1);
        std::thread::sleep(moment);
        run.kill().unwrap();
        let ended = run.wait().unwrap();
        interrupted += u32::from(!ended.success());

        let when = format!("killed in round {round} after {moment:?}");
        assert!(holds(&rig, &last), "{when}: the last good backup is gone");
        for backup in rig.listed().iter().filter(|b| b.complete) {
            assert_whole(backup.path.as_ref());
        }
        let current = rig.current();
        if current.is_dir() {
            let now = tree(&current);
            sealed += u32::from(now != last);
            if now == last {
                assert_same(&last, &now, &when);
            }
        }
        // What a user does next.
        let begun = Instant::now();
        rig.create_with(&Options {
            keep: KEEP,
            ..options()
        });
        takes = (takes + begun.elapsed()) / 2;
        takes = takes.clamp(Duration::from_millis(50), Duration::from_secs(5));
        let backups = rig.listed();
        assert!(
            backups.len() <= KEEP + 1,
            "{when}: {} backups",
            backups.len()
        );
        assert!(backups.iter().all(|b| b.complete && b.ours), "{when}");
        assert!(!rig.draft().exists(), "{when}: a draft is left");
    }
    eprintln!("killed {interrupted} of {kills} runs; {sealed} had put their backup in its place");
    assert!(
        interrupted > kills / 3,
        "{interrupted} of {kills} were killed"
    );
}
