//! The cable is pulled at random places of a backup. Each time the last good backup is there to the
//! last byte, `list` and `verify` say the truth, and the next run succeeds.
//!
//! `IDEV_BACKUP_CABLE_CUTS` is how often; 8 times without it, at places that the seed picks. With
//! it, a short session is cut after every byte.

use std::fs;

use idev_backup::backup::create::Options;
use idev_backup::base::progress::Silent;
use idev_backup::error::Class;
use idev_backup::simulator::{Content, Fault, PhoneConfig};

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

/// Bytes that the phone sends to ask for the folders of a backup, and to look into them.
const ASKING_BYTES: u64 = 165_000;

/// Pulls the cable at random places of backups, each beside the one before.
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
                assert_eq!(e.class(), Class::Lost, "{when}: {e}");
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
        "{name}: the cable pulled {} times, {cut} of them before the end; {resumed} went on where they were; none lost a backup",
        cuts()
    );
    assert!(cut > cuts() / 2, "{cut} were cut");
}

#[test]
fn a_long_backup_cut_anywhere_loses_no_backup() {
    let content = Content {
        small: 400,
        small_size: 1000..=20_000,
        bulk: 2,
        bulk_size: 1_500_000,
        changes: 160,
        ..Content::default()
    };
    pull("everything of a long backup", content.clone(), true);
    pull("changes of a long backup", content, false);
}

#[test]
fn a_short_backup_cut_anywhere_loses_no_backup() {
    pull("everything of a short backup", rig::small(), true);
    pull("changes of a short backup", rig::small(), false);
}

/// A short session: the phone finds that it lacks room, and says so. Every byte of it fits into a
/// test.
#[test]
fn a_short_session_cut_after_every_byte_loses_no_backup() {
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
        match error.class() {
            Class::Lost => cut += 1,
            Class::NoSpace => break,
            other => panic!("cut at {place}: {other:?}: {error}"),
        }
        if cut % 100 == 0 {
            assert_promise(rig.store.root(), &[&last], &[&last], "in between");
        }
        place += every;
    }
    eprintln!("a session of some {place} bytes: the cable pulled {cut} times; none lost a backup");
    rig.phone.suffer(&[]);
    rig.create();
    assert!(place > 300, "{place}");
}
