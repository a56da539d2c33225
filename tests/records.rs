//! Records of backups: their identity and order, the proof that their hashes give, and the effects
//! of damage to the store's own files.

use std::fs;
use std::path::{Path, PathBuf};

use idev_backup::base::progress::{Event, Phase, Silent};
use idev_backup::history::adopt;
use idev_backup::history::change::{self, Chosen};
use idev_backup::store::hash_sources::SOURCES;
use idev_backup::store::{self, Draft, Policy, RECORDED, REPORT, SUMS, Snapshot, Store};
use idev_backup::verify::{self, Outcome, Wrong};
use jiff::Timestamp;

use crate::advice::Advice;
use crate::rig::{self, At, Recorder, Rig, UDID, assert_whole, copy_dir, tree, victim};

fn current(rig: &Rig) -> Snapshot {
    rig.store.current(rig.udid()).unwrap().unwrap()
}

/// Changes a file as a failing disk would. Writes a new file, so that hard links to the old one
/// keep their bytes.
fn replace(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path) {
    replace(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

/// Truncates a list after `lines` lines.
fn cut(path: &Path, lines: usize) {
    replace(path, |bytes| {
        let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let end = ends.map(|(at, _)| at).nth(lines - 1).unwrap();
        bytes.truncate(end + 1);
    });
}

fn check(folder: &Path) -> verify::Report {
    verify::verify(folder, &verify::Options::bytes(), &Silent).unwrap()
}

/// Returns the names of the files that the store keeps beside a backup.
fn our_files() -> Vec<&'static str> {
    let metadata = RECORDED.into_iter().filter(|name| *name != "Manifest.mbdb");
    [SUMS, SOURCES, REPORT, "snapshot.json", "snapshot.copy.json"]
        .into_iter()
        .chain(metadata)
        .collect()
}

/// Checks that a damaged file is either replaced from the phone or reported by `verify` after the
/// next backup, even if the records that prove the damage are damaged too.
#[test]
fn damaged_file_never_passes_as_whole() {
    type Damage = fn(beside: &Path, backup: &Path);
    let damages: [(&str, Damage); 12] = [
        ("a letter of the list", |beside, _| {
            replace(&beside.join(SUMS), |bytes| bytes[0] = b'x');
        }),
        ("a bit of the list", |beside, _| flip(&beside.join(SUMS))),
        ("the list is cut", |beside, _| cut(&beside.join(SUMS), 5)),
        ("the list is gone", |beside, _| {
            fs::remove_file(beside.join(SUMS)).unwrap();
        }),
        ("the list is empty", |beside, _| {
            replace(&beside.join(SUMS), Vec::clear);
        }),
        ("the sources are gone", |beside, _| {
            fs::remove_file(beside.join(SOURCES)).unwrap();
        }),
        ("both records", |beside, _| {
            flip(&beside.join("snapshot.json"));
            flip(&beside.join("snapshot.copy.json"));
        }),
        ("one record", |beside, _| {
            flip(&beside.join("snapshot.json"))
        }),
        ("Info.plist", |_, backup| flip(&backup.join("Info.plist"))),
        ("Status.plist", |_, backup| {
            flip(&backup.join("Status.plist"))
        }),
        ("Manifest.plist", |_, backup| {
            flip(&backup.join("Manifest.plist"))
        }),
        ("Manifest.db", |_, backup| flip(&backup.join("Manifest.db"))),
    ];
    for (what, damage) in damages {
        let rig = Rig::backed_up();
        let before = current(&rig);
        let file = rig.current().join(victim(&rig));
        let sent = fs::read(&file).unwrap();
        flip(&file);
        damage(before.beside().unwrap(), before.path());
        assert_eq!(current(&rig).beside(), before.beside(), "{what}");
        let report = rig.try_create(&rig::options(), &Silent).unwrap();
        assert!(
            !report.problems.is_empty(),
            "{what}: no problem was reported"
        );
        let checked = check(&rig.current());
        if fs::read(&file).is_ok_and(|now| now == sent) {
            assert_eq!(checked.outcome, Outcome::Whole, "{what}");
            assert_eq!(report.hashes.received, report.files, "{what}");
        } else {
            assert_eq!(checked.outcome, Outcome::Damaged, "{what}");
        }
        // The previous backup stays as a snapshot.
        assert_eq!(rig.listed().len(), 2, "{what}");
    }
}

#[test]
fn hash_list_damaged_midrun_is_ignored() {
    let rig = Rig::backed_up();
    let file = rig.current().join(victim(&rig));
    flip(&file);
    let list = current(&rig).sums().unwrap();
    let once = std::sync::Once::new();
    let damages = At(Phase::Scanning, || {
        once.call_once(|| replace(&list, |bytes| bytes[0] = b'x'));
    });
    let report = rig.try_create(&rig::options(), &damages).unwrap();
    assert_eq!(report.hashes.carried, 0);
    assert!(report.hashes.read_again > 0);
    assert!(report.problems[0].contains("during this run"));
    let checked = check(&rig.current());
    assert_eq!(checked.proof.read_later, report.hashes.read_again);
    assert_eq!(checked.proof.received, report.hashes.received);
}

#[test]
fn damaged_store_files_are_named() {
    for name in our_files() {
        for gone in [false, true] {
            let rig = Rig::backed_up();
            let before = current(&rig);
            let path = before.beside().unwrap().join(name);
            if gone {
                fs::remove_file(&path).unwrap();
            } else {
                flip(&path);
            }
            let now = current(&rig);
            assert_eq!(
                (now.id(), now.beside()),
                (before.id(), before.beside()),
                "{name}"
            );
            let report = check(&rig.current());
            let is_list = name == SUMS;
            let outcome = if is_list {
                Outcome::Unchecked
            } else {
                Outcome::WholeWithRemarks
            };
            assert_eq!(report.outcome, outcome, "{name} {gone}");
            assert_eq!(
                (report.has_damaged_list, report.damage),
                (is_list, 0),
                "{name}"
            );
            let named = report.findings.iter().any(|f| f.file.starts_with(name));
            assert!(named, "{name} {gone}: {:?}", report.findings);
            let recorder = Recorder::default();
            rig.try_create(&rig::options(), &recorder).unwrap();
            let told = recorder.events().into_iter().any(|event| {
                matches!(event, Event::Problem { problem } if problem.to_string().contains(&*path.to_string_lossy()))
            });
            assert!(told, "{name} {gone}");
            assert_whole(&rig.current());
        }
    }
}

#[test]
fn repair_restores_store_files() {
    for name in our_files() {
        let rig = Rig::backed_up();
        let path = current(&rig).beside().unwrap().join(name);
        let whole = fs::read(&path).unwrap();
        flip(&path);
        let repair = verify::repair(&rig.current(), &verify::Options::bytes(), &Silent).unwrap();
        let can_be_mended = ![SUMS, SOURCES, REPORT].contains(&name);
        assert_eq!(repair.repaired.len(), usize::from(can_be_mended), "{name}");
        assert_eq!(fs::read(&path).unwrap() == whole, can_be_mended, "{name}");
        assert_eq!(
            repair.report.outcome == Outcome::Whole,
            can_be_mended,
            "{name}"
        );
    }
}

#[test]
fn damaged_list_keeps_damage_note() {
    let rig = Rig::backed_up();
    let folder = rig.current();
    let noted = || rig.store.notes(rig.udid()).unwrap().of(&current(&rig));
    let verify = || {
        let report = check(&folder);
        change::record(&report, &Silent);
        report.outcome
    };
    flip(&folder.join(victim(&rig)));
    assert_eq!(verify(), Outcome::Damaged);
    assert!(noted().damaged.is_some());
    cut(&current(&rig).sums().unwrap(), 1);
    assert_eq!(verify(), Outcome::Unchecked);
    assert!(noted().damaged.is_some() && noted().verified.is_none());
}

#[test]
fn damaged_line_hides_no_missing_file() {
    let rig = Rig::backed_up();
    let file = victim(&rig);
    fs::remove_file(rig.current().join(&file)).unwrap();
    replace(&current(&rig).sums().unwrap(), |bytes| bytes[0] = b'x');
    let report = check(&rig.current());
    assert_eq!(report.outcome, Outcome::Damaged);
    let has = |wrong, file: &str| {
        let mut findings = report.findings.iter();
        findings.any(|f| f.wrong == wrong && f.file == file)
    };
    assert!(has(Wrong::Missing, &file.to_string_lossy()));
    assert!(has(Wrong::Records, SUMS), "{:?}", report.findings);
}

#[test]
fn notes_follow_the_snapshot_id() {
    let rig = Rig::backed_up();
    let first = current(&rig);
    rig.store.note(&first, |note| note.pinned = true).unwrap();
    flip(&rig.current().join("Status.plist"));
    assert_eq!(current(&rig).id(), first.id());
    rig.try_create(&rig::options(), &Silent).unwrap();
    let all = rig.store.snapshots_of(rig.udid()).unwrap();
    let notes = rig.store.notes(rig.udid()).unwrap();
    assert_eq!((all[1].id(), notes.of(&all[1]).pinned), (first.id(), true));
    assert_ne!(all[0].id(), first.id());
    assert!(!notes.of(&all[0]).pinned);
    let listed = rig.listed();
    assert_eq!(listed[1].id, first.id().to_string());
    assert_eq!((listed[0].sequence, listed[1].sequence), (Some(2), Some(1)));
}

#[test]
fn hashes_are_counted_by_their_source() {
    let rig = Rig::backed_up();
    let first = check(&rig.current());
    assert_eq!(
        (first.proof.received, first.proof.read_later),
        (first.files, 0)
    );
    let report = rig.create();
    assert!(report.hashes.carried > 0);
    let second = check(&rig.current());
    assert_eq!(
        (second.proof.received, second.proof.read_later),
        (second.files, 0)
    );
    let record = current(&rig).record().unwrap().clone();
    assert_eq!(record.hashes, report.hashes);
    assert_eq!((record.files, record.bytes), (report.files, report.bytes));
    assert_eq!(record.phone.name, Some(report.phone.name.clone()));

    // An adopted backup has no record of the bytes that the phone sent. The next backup must keep
    // that information.
    let other = rig.dir.path().join("other").join(UDID);
    copy_dir(&rig.current(), &other);
    let store = rig.new_store("adopted");
    adopt::adopt(&store, &other, false, &Silent).unwrap();
    let adopted = check(&store.current_path(rig.udid()));
    assert_eq!(
        (adopted.proof.received, adopted.proof.read_later),
        (0, adopted.files)
    );
    let report = rig.create_in(&store, &rig::options());
    assert!(report.hashes.received > 0 && report.hashes.read_again > 0);
    assert_eq!(report.hashes.carried, 0);
    let next = check(&store.current_path(rig.udid()));
    assert_eq!(next.proof.read_later, report.hashes.read_again);
    // A copy carries over what the list says.
    let copy = rig.new_store("copy");
    let snapshot = store.current(rig.udid()).unwrap().unwrap();
    adopt::copy(&Chosen { store, snapshot }, &copy, &Silent).unwrap();
    let copied = check(&copy.current_path(rig.udid()));
    assert_eq!(copied.proof, next.proof);
}

#[test]
fn copy_with_damaged_list_is_complete() {
    type Damage = fn(&Path);
    let damages: [Damage; 3] = [
        |list| replace(list, |bytes| bytes[3] = b'x'),
        |list| cut(list, 4),
        |list| replace(list, Vec::clear),
    ];
    for damage in damages {
        let rig = Rig::backed_up();
        damage(&current(&rig).sums().unwrap());
        let store = rig.new_store("copy");
        let recorder = Recorder::default();
        let chosen = Chosen {
            store: rig.store.clone(),
            snapshot: current(&rig),
        };
        adopt::copy(&chosen, &store, &recorder).unwrap();
        let told = recorder
            .events()
            .into_iter()
            .filter(|event| matches!(event, Event::Problem { .. }));
        assert!(told.count() > 0);
        let copied = store.current_path(rig.udid());
        assert_eq!(tree(&copied), tree(&rig.current()));
        assert_eq!(check(&copied).proof.received, 0);
    }
}

/// Seals a tiny backup with `phone_date` in its Status.plist while this computer's clock shows
/// `now`. Returns its id and the snapshots that were dropped.
fn seal(store: &Store, phone_date: &str, now: &str, keep: u32) -> (store::Id, Vec<String>) {
    let udid = UDID.parse().unwrap();
    let lock = store.lock(&udid).unwrap();
    let mut draft = Draft::fresh(store, &udid, lock).unwrap();
    let mut status = plist::Dictionary::new();
    let date = plist::Date::from_xml_format(phone_date).unwrap();
    status.insert("Date".into(), date.into());
    status.insert("UUID".into(), format!("{phone_date} {now}").into());
    let mut bytes = Vec::new();
    let status = plist::Value::Dictionary(status);
    status.to_writer_binary(&mut bytes).unwrap();
    for (name, bytes) in [("Status.plist", &bytes), ("Info.plist", &b"info".to_vec())] {
        let path = format!("{UDID}/{name}").parse().unwrap();
        draft.keep(&path, &mut bytes.as_slice()).unwrap();
    }
    let complete = draft.complete(&mut || ()).unwrap();
    let moment: Timestamp = now.parse().unwrap();
    let sealed = complete.seal(moment, b"{}", &Policy::last(keep)).unwrap();
    assert!(sealed.untidy.is_none());
    let id = store.current(&udid).unwrap().unwrap().id().clone();
    (id, sealed.dropped)
}

fn ids(store: &Store) -> Vec<store::Id> {
    let all = store.snapshots_of(&UDID.parse().unwrap()).unwrap();
    all.iter().map(|snapshot| snapshot.id().clone()).collect()
}

#[test]
fn order_depends_on_no_clock() {
    // The dates in the phone's Status.plist, and the moments of this computer's clock.
    for (what, dates) in [
        (
            "the repeated hour at the end of summer time",
            [
                ("2026-10-25T00:55:00Z", "2026-10-25T00:55:00Z"),
                ("2026-10-25T01:05:00Z", "2026-10-25T01:05:00Z"),
                ("2026-10-25T01:59:00Z", "2026-10-25T01:59:00Z"),
                ("2026-10-25T02:01:00Z", "2026-10-25T02:01:00Z"),
            ],
        ),
        (
            "this computer's clock was behind by years",
            [
                ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
                ("2026-11-21T10:00:00Z", "2019-01-01T00:00:00Z"),
                ("2026-11-22T10:00:00Z", "2019-01-02T00:00:00Z"),
                ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ],
        ),
        (
            "both clocks were behind by years",
            [
                ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
                ("2019-01-01T00:00:00Z", "2019-01-01T00:00:00Z"),
                ("2019-01-02T00:00:00Z", "2019-01-02T00:00:00Z"),
                ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ],
        ),
    ] {
        let dir = rig::room();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let mut newest_first = Vec::new();
        for (date, now) in dates {
            newest_first.insert(0, seal(&store, date, now, 9).0);
            assert_eq!(ids(&store), newest_first, "{what}");
        }
        let (last, _) = seal(&store, "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z", 1);
        assert_eq!(ids(&store), [last, newest_first[0].clone()], "{what}");
    }
}

#[test]
fn folder_names_decide_no_order() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let days = ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"];
    let sealed = days.map(|day| {
        seal(
            &store,
            &format!("{day}T10:00:00Z"),
            &format!("{day}T10:00:00Z"),
            9,
        )
        .0
    });
    let own = dir.path().join("store/.idev-backup").join(UDID);
    // Rename the snapshots so that the oldest has the latest time in its name.
    let mut all = store.snapshots_of(&UDID.parse().unwrap()).unwrap();
    all.retain(|snapshot| !snapshot.is_current());
    for (at, snapshot) in all.iter().enumerate() {
        let stamp = format!("2030010{}-000000", at + 1);
        fs::rename(snapshot.beside().unwrap(), own.join(&stamp)).unwrap();
        let name: PathBuf = store.root().join(format!("{UDID}-{stamp}"));
        fs::rename(snapshot.path(), name).unwrap();
    }
    let mut newest_first = sealed.to_vec();
    newest_first.reverse();
    assert_eq!(ids(&store), newest_first);
    let (last, dropped) = seal(&store, "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z", 2);
    assert_eq!(ids(&store), [last, sealed[3].clone(), sealed[2].clone()]);
    // The oldest is dropped first.
    assert_eq!(dropped, ["20300103-000000", "20300102-000000"]);
}

#[test]
fn adopted_backups_sort_by_date() {
    let rig = Rig::backed_up();
    let folder = rig.dir.path().join("older").join(UDID);
    copy_dir(&rig.current(), &folder);
    for _ in 0..2 {
        rig.create();
    }
    // Adopt two other backups of the phone: one made between the existing ones, and one before
    // them.
    let all = rig.store.snapshots_of(rig.udid()).unwrap();
    let between = all[1].date() - jiff::SignedDuration::from_millis(1);
    let before: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    for date in [between, before] {
        for name in ["Status.plist", "Info.plist"] {
            let path = folder.join(name);
            let mut fields: plist::Dictionary = plist::from_file(&path).unwrap();
            let moment = std::time::SystemTime::from(date);
            fields.insert("Date".into(), plist::Date::from(moment).into());
            fields.insert("UUID".into(), date.to_string().into());
            plist::to_file_binary(&path, &fields).unwrap();
        }
        adopt::adopt(&rig.store, &folder, false, &Silent).unwrap();
    }
    let dates: Vec<Timestamp> = (rig.store.snapshots_of(rig.udid()).unwrap().iter())
        .map(Snapshot::date)
        .collect();
    assert_eq!(dates.len(), 5);
    assert!(
        dates.is_sorted_by(|newer, older| newer >= older),
        "{dates:?}"
    );
    let sequences: Vec<_> = rig.listed().iter().map(|backup| backup.sequence).collect();
    let mut sorted = sequences.clone();
    sorted.sort_unstable();
    sorted.reverse();
    assert_eq!(sequences, sorted);
}

#[test]
fn format_1_backups_can_be_adopted() {
    let rig = Rig::backed_up();
    let mark = rig.store.root().join(".idev-backup/store.json");
    fs::write(&mark, "{ \"format\": 1, \"made_by\": \"idev-backup\" }").unwrap();
    for name in ["snapshot.json", "snapshot.copy.json", SOURCES] {
        fs::remove_file(current(&rig).beside().unwrap().join(name)).unwrap();
    }
    let before = tree(rig.store.root());
    let refused = Store::open(rig.store.root()).unwrap_err();
    assert!(refused.to_string().contains("format 1"), "{refused}");
    assert!(refused.hint().unwrap().contains("adopt"), "{refused}");
    let store = rig.new_store("format-2");
    adopt::adopt(&store, &rig.current(), false, &Silent).unwrap();
    let adopted = store.current(rig.udid()).unwrap().unwrap();
    assert_eq!(adopted.record().unwrap().sequence, 1);
    assert_whole(adopted.path());
    assert_eq!(tree(rig.store.root()), before);
}

#[test]
fn backup_without_record_is_never_dropped() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    for day in ["2026-11-20", "2026-11-21"] {
        let moment = format!("{day}T10:00:00Z");
        seal(&store, &moment, &moment, 9);
    }
    let old = &store.snapshots_of(&UDID.parse().unwrap()).unwrap()[1];
    for name in ["snapshot.json", "snapshot.copy.json"] {
        flip(&old.beside().unwrap().join(name));
    }
    let (_, dropped) = seal(&store, "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z", 0);
    assert_eq!(dropped.len(), 1);
    assert!(old.path().exists(), "it may be pinned");
}
