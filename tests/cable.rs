//! Pulls the cable at random places of a backup. Each time the last good backup must be unchanged,
//! `list` and `verify` must report the truth, and the next run must succeed.
//!
//! `IDEV_BACKUP_CABLE_CUTS` is the number of cuts; the default is 8. The seed selects their places.
//! If the variable is set, a short session is also cut after every byte.

use std::fs;

use idev_backup::backup::create::Options;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::Silent;
use idev_backup::simulator::{Content, Fault, PhoneConfig};

use crate::advice::Advice as _;
use crate::rig::{
    self, Random, Rig, Tree, assert_promise, assert_same, assert_whole, config, cut_every, options,
    tree,
};

fn cuts() -> usize {
    match std::env::var("IDEV_BACKUP_CABLE_CUTS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 8_usize.div_ceil(cut_every()),
    }
}

/// The number of bytes in which the phone asks to create the folders of a backup and to list them.
const ASKING_BYTES: u64 = 165_000;

/// Makes backups one after the other, and pulls the cable at a random place of each. With `full`,
/// the phone sends everything each time, otherwise only the changes.
fn pull(name: &str, content: Content, full: bool) {
    let rig = Rig::with(PhoneConfig {
        content,
        ..config()
    });
    rig.create();
    let wanted = Options {
        full,
        keep: 1.into(),
        ..options()
    };
    if !full {
        rig.create();
    }
    let sent = rig.phone.history().last().unwrap().bytes;
    let manifest = fs::metadata(rig.current().join("Manifest.db"))
        .unwrap()
        .len();
    let all = usize::try_from(ASKING_BYTES + sent + manifest).unwrap();
    let mut random = Random::new(rig::seed(name) + all as u64);
    let (mut cut, mut resumed) = (0, 0);
    for number in 0..cuts() {
        let place = random.below(all) as u64;
        let when = format!("{name}, cut {number} after {place} bytes");
        let last = tree(&rig.current());
        rig.phone.suffer(&[Fault::CutAfter(place)]);
        let made = match rig.try_create(&wanted, &Silent) {
            Ok(_) => tree(&rig.current()),
            Err(e) => {
                cut += 1;
                assert_eq!(e.kind(), FailureKind::Lost, "{when}: {e}");
                assert!(e.hint().is_some(), "{when}: {e}");
                assert_same(&last, &tree(&rig.current()), &when);
                Tree::new()
            }
        };
        rig.phone.suffer(&[]);
        assert_whole(&rig.current());
        let older = rig.listed();
        let older: Vec<Tree> = older.iter().map(|b| tree(b.path.as_ref())).collect();
        let known: Vec<&Tree> = older.iter().chain([&last, &made]).collect();
        assert_promise(rig.store.root(), &[&last], &known, &when);
        rig.create_with(&Options {
            keep: 1.into(),
            ..options()
        });
        resumed += u32::from(rig.phone.history().last().unwrap().resumed);
    }
    eprintln!(
        "{name}: the cable was pulled {} times, {cut} of them before the end; {resumed} drafts were resumed; no backup was lost",
        cuts()
    );
    assert!(cut > cuts() / 2, "only {cut} were cut");
}

#[test]
fn long_backup_cuts_lose_nothing() {
    let content = Content {
        small: 400,
        small_size: 1000..=20_000,
        bulk: 2,
        bulk_size: 1_500_000,
        changes: 160,
        ..Content::default()
    };
    pull("a full long backup", content.clone(), true);
    pull("an incremental long backup", content, false);
}

#[test]
fn short_backup_cuts_lose_nothing() {
    pull("a full short backup", rig::small(), true);
    pull("an incremental short backup", rig::small(), false);
}

/// Cuts a session after every byte, or after every 37th by default. The session is short, because
/// the phone states a size for which the computer lacks room.
#[test]
fn session_cuts_lose_nothing() {
    let every = match std::env::var("IDEV_BACKUP_CABLE_CUTS") {
        Ok(_) => 1,
        Err(_) => 37 * cut_every() as u64,
    };
    let rig = Rig::backed_up();
    let last = tree(&rig.current());
    let lacks_room = Fault::ClaimSize(1 << 60);
    let (mut cut, mut place) = (0, 0);
    loop {
        rig.phone
            .suffer(&[lacks_room.clone(), Fault::CutAfter(place)]);
        let full = Options {
            full: true,
            ..options()
        };
        let error = rig.try_create(&full, &Silent).unwrap_err();
        assert!(error.hint().is_some(), "{place}: {error}");
        assert_same(&last, &tree(&rig.current()), &format!("cut at {place}"));
        match error.kind() {
            FailureKind::Lost => cut += 1,
            FailureKind::NoSpace => break,
            other => panic!("cut at {place}: {other:?}: {error}"),
        }
        if cut % 100 == 0 {
            assert_promise(rig.store.root(), &[&last], &[&last], "in between");
        }
        place += every;
    }
    eprintln!(
        "a session of about {place} bytes: the cable was pulled {cut} times; no backup was lost"
    );
    rig.phone.suffer(&[]);
    rig.create();
    assert!(place > 300, "{place}");
}
