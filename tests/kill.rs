//! Kills the program at random moments of a backup, of the seal and of dropping old snapshots. Each
//! time, the last good backup must be there to the last byte, `list` and `verify` must report the
//! truth, and the next run must succeed.
//!
//! `IDEV_BACKUP_KILLS` is the number of kills; the default is 30. The seed selects the moments.

#![cfg(unix)]
// Wine sometimes keeps connections of killed programs open. The simulated phone then waits for a
// program that no longer runs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::rig::program::{ended, program};
use crate::rig::{self, Random, Rig, Tree, assert_promise, config, options, tree};
use idev_backup::backup::create::Options;
use idev_backup::simulator::{Content, PhoneConfig};

/// The number of snapshots to keep, so that each seal drops one.
const KEEP: u32 = 1;

fn start(rig: &Rig) -> std::process::Child {
    let mut program = rig.program(&[], rig.store.root(), KEEP);
    program.stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_run_loses_no_backup() {
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
        // Some runs end before the kill, so that the last moments, which matter most, are covered.
        let moment = takes.mul_f64(random.below(1100) as f64 / 1000.0);
        std::thread::sleep(moment);
        run.kill().unwrap();
        let ended = run.wait().unwrap();
        interrupted += u32::from(!ended.success());

        let when = format!("killed in round {round} after {moment:?}");
        let made = [rig.draft_backup(), rig.current()].map(|place| {
            if place.is_dir() {
                tree(&place)
            } else {
                Tree::new()
            }
        });
        sealed += u32::from(made[1] != last);
        let known: Vec<&Tree> = known.iter().chain(&made).collect();
        assert_promise(rig.store.root(), &[&last], &known, &when);
        // The user's next backup.
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

/// Commands that run beside each other, as their arguments. `OLDEST` stands for the oldest
/// snapshot.
const COMMANDS: &[&[&str]] = &[
    &["create", "--quiet", "--keep", "20"],
    &["prune", "--keep-last", "20"],
    &["delete", "OLDEST", "--yes"],
    &["verify", "latest"],
    &["verify", "latest", "--repair"],
    &["pin", "latest"],
    &["unpin", "latest"],
    &["list", "--sizes"],
    &["restore", "latest", "--dry-run"],
];

/// Kills one of two commands that run on one store at the same time. `IDEV_BACKUP_KILLS` is the
/// number of pairs; the default is 12. Only the snapshot that `delete` names may be gone
/// afterwards.
#[test]
fn killed_concurrent_command_loses_no_backup() {
    let rig = Rig::with(PhoneConfig {
        content: rig::small(),
        ..config()
    });
    let kept = Options {
        keep: 20.into(),
        ..options()
    };
    for _ in 0..3 {
        rig.create_with(&kept);
    }
    let kills: u32 = match std::env::var("IDEV_BACKUP_KILLS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 12,
    };
    let mut random = Random::new(rig::seed("killed pairs of commands"));
    let mut interrupted = 0;
    for round in 0..kills {
        if rig.listed().len() > 6 {
            let mut prune = program(&rig);
            prune.args(["prune", "--keep-last", "2"]);
            assert_eq!(ended(&mut prune).code, 0);
        }
        while rig.listed().len() < 3 {
            rig.create_with(&kept);
        }
        let before: Vec<(String, Tree)> = rig
            .listed()
            .into_iter()
            .map(|backup| (backup.path.clone(), tree(backup.path.as_ref())))
            .collect();
        let (oldest, _) = before.last().unwrap();
        let pair = [(); 2].map(|()| COMMANDS[random.below(COMMANDS.len())]);
        let mut runs = pair.map(|words| {
            let mut command = program(&rig);
            command.args(words.iter().map(|word| match *word {
                "OLDEST" => oldest,
                other => other,
            }));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        });
        // Most commands end within a tenth of a second on such a small store.
        let moment = Duration::from_millis(random.below(50) as u64);
        std::thread::sleep(moment);
        let victim = random.below(2);
        runs[victim].kill().unwrap();
        interrupted += u32::from(runs[victim].wait().unwrap().code().is_none());
        runs[1 - victim].wait().unwrap();

        let when = format!(
            "round {round}: {:?} was killed after {moment:?} beside {:?}",
            pair[victim],
            pair[1 - victim]
        );
        let may_go =
            |path: &String| pair.iter().any(|words| words[0] == "delete") && path == oldest;
        let stay: Vec<&Tree> = before
            .iter()
            .filter(|(path, _)| !may_go(path))
            .map(|(_, tree)| tree)
            .collect();
        for backup in &stay {
            assert!(
                rig::holds(rig.store.root(), backup),
                "{when}: a backup is gone"
            );
        }
        rig.create_with(&kept);
        for backup in &stay {
            assert!(
                rig::holds(rig.store.root(), backup),
                "{when}: the next run lost a backup"
            );
        }
        for backup in rig.listed() {
            assert!(backup.complete && backup.ours, "{when}: {backup:#?}");
            rig::assert_whole(backup.path.as_ref());
        }
        assert!(!rig.draft().exists(), "{when}: a draft is left");
    }
    eprintln!("{interrupted} of {kills} commands were killed beside another; none lost a backup");
    assert!(interrupted > 0);
}
