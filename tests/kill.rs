//! The program is killed at random moments of a backup, of the seal and of dropping old snapshots.
//! Each time the last good backup is there to the last byte, `list` and `verify` say the truth, and
//! the next run succeeds.
//!
//! `IDEV_BACKUP_KILLS` is how often; 30 times without it. The seed picks the moments.

#![cfg(unix)]
// wine keeps connections of killed programs open at times, and the simulated phone then waits for
// one that is gone.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::rig::{self, Random, Rig, Tree, assert_promise, config, options, tree};
use idev_backup::jobs::create::Options;
use idev_backup::sim::{Content, PhoneConfig};

/// Backups that stay beside the current one, so that each seal drops one.
const KEEP: u32 = 1;

fn start(rig: &Rig) -> std::process::Child {
    let mut program = rig.program(&[], rig.store.root(), KEEP);
    program.stderr(Stdio::null()).spawn().unwrap()
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
        Err(_) => 30,
    };
    let begun = Instant::now();
    assert!(start(&rig).wait().unwrap().success());
    let mut takes = begun.elapsed();
    let mut random = Random::new(rig::seed("kills"));
    let (mut interrupted, mut sealed) = (0, 0);
    for round in 0..kills {
        let known: Vec<Tree> = rig.listed().iter().map(|b| tree(b.path.as_ref())).collect();
        let last = tree(&rig.current());
        let mut run = start(&rig);
        // Some runs end before they are killed: the last moments matter most.
        let moment = takes.mul_f64(random.below(1100) as f64 / 1000.0);
        std::thread::sleep(moment);
        run.kill().unwrap();
        let ended = run.wait().unwrap();
        interrupted += u32::from(!ended.success());

        let when = format!("killed in round {round} after {moment:?}");
        let made = [rig.draft_backup(), rig.current()].map(|place| match place.is_dir() {
            true => tree(&place),
            false => Tree::new(),
        });
        sealed += u32::from(made[1] != last);
        let known: Vec<&Tree> = known.iter().chain(&made).collect();
        assert_promise(rig.store.root(), &[&last], &known, &when);
        // What a user does next.
        let begun = Instant::now();
        rig.create_with(&Options {
            keep: KEEP.into(),
            ..options()
        });
        takes = (takes + begun.elapsed()) / 2;
        takes = takes.clamp(Duration::from_millis(50), Duration::from_secs(5));
        let backups = rig.listed();
        assert!(
            backups.len() <= KEEP as usize + 1,
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
