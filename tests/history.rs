//! History: which snapshots the rules keep day after day, and what prune, pin, delete, adopt and
//! copy do, also when they are interrupted or meet damage.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use idev_backup::base::udid::Udid;
use idev_backup::store::removal::By;
use idev_backup::store::retention::{Decision, Facts, Policy, Why, plan};
use idev_backup::store::{self, Draft, Lock, Store};
use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::rig::{
    self, OTHER_UDID, Random, Rig, Tree, UDID, assert_same, assert_whole, copy_dir, tree,
};

fn udid(text: &str) -> Udid {
    text.parse().unwrap()
}

fn time(text: &str) -> DateTime {
    text.parse().unwrap()
}

/// Returns the hours since the year 2000.
fn hours(when: DateTime) -> usize {
    let since = when.duration_since(time("2000-01-01T00:00:00"));
    usize::try_from(since.as_hours()).unwrap()
}

/// Returns the facts of a good, archived snapshot made by this program, without any notes.
fn made(when: DateTime) -> Facts {
    Facts {
        udid: udid(UDID),
        made: when,
        // In hours, so that a later snapshot has a higher rank.
        rank: hours(when),
        current: false,
        ours: true,
        good: true,
        pinned: false,
        tagged: false,
        unknown: false,
        verified: None,
    }
}

/// Returns `count` backups, newest first: the current one at `now`, and one on each day before.
fn daily(now: DateTime, count: i32) -> Vec<Facts> {
    let mut all: Vec<Facts> = (0..count)
        .map(|day| made(now.checked_sub(day.days()).unwrap()))
        .collect();
    all[0].current = true;
    all
}

fn kept(all: &[Facts], policy: &Policy, now: DateTime) -> Vec<usize> {
    let decisions = plan(all, policy, now);
    (0..all.len()).filter(|&at| decisions[at].keeps()).collect()
}

fn policy(text: &str) -> Policy {
    serde_json::from_str(text).unwrap()
}

#[test]
fn each_rule_keeps_its_snapshots() {
    // A Sunday.
    let now = time("2026-11-22T22:00:00");
    let all = daily(now, 60);
    for (rules, wanted) in [
        ("{}", vec![0, 1, 2, 3]),
        (r#"{"keep-last": 0}"#, vec![0]),
        (r#"{"keep-last": 2}"#, vec![0, 1, 2]),
        (r#"{"keep-daily": 3}"#, vec![0, 1, 2]),
        (r#"{"keep-weekly": 3}"#, vec![0, 7, 14]),
        // 31 October is 22 days before, 30 September 53.
        (r#"{"keep-monthly": 3}"#, vec![0, 22, 53]),
        (r#"{"keep-yearly": 5}"#, vec![0]),
        (r#"{"keep-within": "2d"}"#, vec![0, 1, 2]),
        (r#"{"keep-within": "25h"}"#, vec![0, 1]),
        (r#"{"keep-within": "65535y"}"#, (0..60).collect()),
        (r#"{"keep-last": 1, "keep-weekly": 2}"#, vec![0, 1, 7]),
    ] {
        assert_eq!(kept(&all, &policy(rules), now), wanted, "{rules}");
    }
}

#[test]
fn protected_snapshots_survive_every_rule() {
    let now = time("2026-11-22T22:00:00");
    let none = Policy::last(0);
    let with = |change: fn(&mut [Facts])| {
        let mut all = daily(now, 6);
        change(&mut all);
        kept(&all, &none, now)
    };
    assert_eq!(with(|_| {}), [0]);
    assert_eq!(with(|all| all[3].pinned = true), [0, 3]);
    assert_eq!(with(|all| all[4].tagged = true), [0, 4]);
    assert_eq!(with(|all| all[5].ours = false), [0, 5]);
    assert_eq!(
        with(|all| all.iter_mut().for_each(|f| f.unknown = true)),
        [0, 1, 2, 3, 4, 5]
    );
    // The newest good one is kept where the current one is damaged or from another program.
    assert_eq!(with(|all| all[0].good = false), [0, 1]);
    assert_eq!(
        with(|all| (0..3).for_each(|at| all[at].good = false)),
        [0, 3]
    );
    // The snapshot verified last is kept, both by its own date and by the date of the check.
    let verified = |all: &mut [Facts]| {
        all[2].verified = Some("2026-11-20T00:00:00Z".parse().unwrap());
        all[5].verified = Some("2026-11-22T00:00:00Z".parse().unwrap());
        all[4].verified = Some("2026-11-19T00:00:00Z".parse().unwrap());
    };
    assert_eq!(with(verified), [0, 2, 5]);
    // A snapshot that was found damaged since does not count as good.
    assert_eq!(
        with(|all| {
            all[2].verified = Some("2026-11-20T00:00:00Z".parse().unwrap());
            all[2].good = false;
        }),
        [0]
    );
}

/// Checks that snapshots made while the clock was ahead are kept and do not count towards a rule.
#[test]
fn future_snapshots_displace_no_others() {
    let now = time("2026-11-22T22:00:00");
    let mut all = daily(now, 6);
    all.extend([1, 2, 3].map(|year| made(now.checked_add(year.years()).unwrap())));
    assert_eq!(kept(&all, &Policy::last(2), now), [0, 1, 2, 6, 7, 8]);
    // The end of summer time does not count as a wrong clock.
    all.truncate(6);
    all.push(made(now.checked_add(1.hours()).unwrap()));
    assert_eq!(kept(&all, &Policy::last(1), now), [0, 6]);
    // The clock jumped back by years: earlier backups now lie in the future, and stay.
    let past = time("2020-01-01T00:00:00");
    assert_eq!(kept(&all, &Policy::last(0), past), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn retention_applies_per_phone() {
    let now = time("2026-11-22T22:00:00");
    let mut all = daily(now, 3);
    let mut others = daily(now.checked_sub(1.years()).unwrap(), 3);
    others.iter_mut().for_each(|f| f.udid = udid(OTHER_UDID));
    all.extend(others);
    assert_eq!(kept(&all, &Policy::last(1), now), [0, 1, 3, 4]);
}

/// Returns pseudo-random facts, rules and a moment.
fn random_case(random: &mut Random) -> (Vec<Facts>, Policy, DateTime) {
    let now = time("2026-11-22T22:00:00");
    let some = |random: &mut Random, of: usize| random.below(of) == 0;
    let mut all = Vec::new();
    for phone in [UDID, OTHER_UDID] {
        let from = all.len();
        for _ in 0..random.below(25) {
            let hours = random.below(24 * 500) as i64 - 48;
            all.push(Facts {
                udid: udid(phone),
                ours: !some(random, 8),
                good: !some(random, 6),
                pinned: some(random, 9),
                tagged: some(random, 12),
                verified: some(random, 5)
                    .then(|| jiff::Timestamp::from_second(random.below(1 << 30) as i64).unwrap()),
                ..made(now.checked_sub(hours.hours()).unwrap())
            });
        }
        if all.len() > from && !some(random, 4) {
            let at = from + random.below(all.len() - from);
            all[at].current = true;
            all[at].ours = false;
        }
    }
    let mut count = || (random.below(2) == 0).then(|| random.below(6) as u32);
    let policy = Policy {
        keep_last: count(),
        keep_daily: count(),
        keep_weekly: count(),
        keep_monthly: count(),
        keep_yearly: count(),
        keep_within: count().map(|n| format!("{}d", n * 9).parse().unwrap()),
    };
    (all, policy, now)
}

/// Checks random histories and rules: required snapshots stay, a second plan drops nothing more,
/// and higher counts keep at least as many snapshots.
#[test]
fn random_plans_keep_required_snapshots() {
    let mut random = Random::new(7);
    for round in 0..3000 {
        let (all, policy, now) = random_case(&mut random);
        let decisions = plan(&all, &policy, now);
        let stays = |at: usize| decisions[at].keeps();
        for phone in [UDID, OTHER_UDID] {
            let of_one = || (0..all.len()).filter(|&at| all[at].udid.as_str() == phone);
            for at in of_one() {
                let facts = &all[at];
                let must = facts.current || facts.pinned || facts.tagged || !facts.ours;
                assert!(stays(at) || !must, "{round}: {facts:?} of {all:#?}");
            }
            let past = |at: &usize| all[*at].made <= now;
            let good = of_one().filter(|&at| all[at].good);
            if let Some(newest) = good.clone().filter(past).max_by_key(|&at| all[at].made) {
                let is_there = good
                    .clone()
                    .any(|at| stays(at) && (all[at].current || all[at].made >= all[newest].made));
                assert!(is_there, "{round}: the newest good snapshot is dropped");
            }
            let verified = || good.clone().filter(|&at| all[at].verified.is_some());
            if let Some(last) = verified().max_by_key(|&at| all[at].verified) {
                let last = all[last].verified;
                assert!(
                    verified().any(|at| stays(at) && all[at].verified == last),
                    "{round}: the snapshot verified last is dropped"
                );
            }
        }
        // Applying the same rules again drops nothing more.
        let left: Vec<Facts> = (0..all.len())
            .filter(|&at| stays(at))
            .map(|at| all[at].clone())
            .collect();
        assert_eq!(
            kept(&left, &policy, now).len(),
            left.len(),
            "{round}: {all:#?}"
        );
        // Raising any of the counts keeps at least what is kept now.
        let more = |count: Option<u32>| count.map(|n| n + 1);
        if policy != Policy::default() {
            let generous = Policy {
                keep_last: more(policy.keep_last).or(Some(1)),
                keep_daily: more(policy.keep_daily),
                keep_weekly: more(policy.keep_weekly),
                keep_monthly: more(policy.keep_monthly),
                keep_yearly: more(policy.keep_yearly),
                keep_within: policy.keep_within,
            };
            let more: BTreeSet<usize> = kept(&all, &generous, now).into_iter().collect();
            let less = kept(&all, &policy, now);
            assert!(less.iter().all(|at| more.contains(at)), "{round}");
        }
    }
}

/// Takes the lock, waiting if needed: a process that another test thread is starting also holds the
/// lock until it has executed its program.
fn lock(store: &Store, udid: &Udid) -> Lock {
    loop {
        match store.lock(udid) {
            Err(store::Error::Busy { .. }) => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    }
}

/// Seals a tiny backup, dated `when`.
fn seal_at(store: &Store, phone: &str, when: DateTime, policy: &Policy) {
    let udid = udid(phone);
    let lock = lock(store, &udid);
    let mut draft = Draft::fresh(store, &udid, lock).unwrap();
    for name in ["Status.plist", "Info.plist", "Manifest.db", "ab/file"] {
        let path = format!("{phone}/{name}").parse().unwrap();
        let text = format!("{name} of {when}");
        draft.keep(&path, &mut text.as_bytes()).unwrap();
    }
    let complete = draft.complete(&mut || ()).unwrap();
    let moment = when.to_zoned(TimeZone::system()).unwrap().timestamp();
    let sealed = complete.seal(moment, b"{}", policy).unwrap();
    assert!(sealed.untidy.is_none());
}

fn stamps(store: &Store, phone: &str) -> Vec<String> {
    let all = store.snapshots_of(&udid(phone)).unwrap();
    all.iter().map(|s| s.stamp().unwrap()).collect()
}

/// Checks that thirty days of backups of two phones, one of them away for two weeks, leave exactly
/// the snapshots that the rules name.
#[test]
fn thirty_days_follow_the_rules() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let rules = policy(r#"{"keep-daily": 4, "keep-weekly": 3, "keep-within": "12h"}"#);
    let start = time("2026-10-24T08:00:00");
    for day in 0..30 {
        let morning = start.checked_add(day.days()).unwrap();
        seal_at(&store, UDID, morning, &rules);
        seal_at(
            &store,
            UDID,
            morning.checked_add(10.hours()).unwrap(),
            &rules,
        );
        // The other phone is away for two weeks.
        if !(10..24).contains(&day) && day % 2 == 0 {
            seal_at(&store, OTHER_UDID, morning, &rules);
        }
        if day == 5 {
            let all = store.snapshots_of(&udid(UDID)).unwrap();
            let pinned = all.iter().find(|s| s.stamp().unwrap() == "20261028-180000");
            store
                .note(pinned.unwrap(), |note| note.pinned = true)
                .unwrap();
        }
    }
    // The last day is Sunday, 22 November.
    assert_eq!(
        stamps(&store, UDID),
        [
            "20261122-180000", // current
            "20261122-080000", // within 12 hours
            "20261121-180000", // daily
            "20261120-180000",
            "20261119-180000",
            "20261115-180000", // weekly
            "20261108-180000",
            "20261028-180000", // pinned
        ]
    );
    // 24, 26, 28, 30 October, 1 November, and then 17, 19, 21.
    assert_eq!(
        stamps(&store, OTHER_UDID),
        [
            "20261121-080000",
            "20261119-080000",
            "20261117-080000",
            "20261101-080000", // the fourth day, and the second week
            "20261024-080000", // the third
        ]
    );
    for phone in [UDID, OTHER_UDID] {
        let own = dir.path().join("store/.idev-backup").join(phone);
        let besides = fs::read_dir(own).unwrap().flatten();
        let besides = besides.filter(|entry| entry.path().is_dir()).count();
        assert_eq!(
            besides,
            stamps(&store, phone).len(),
            "each backup has one folder beside it"
        );
    }
}

#[test]
fn clock_set_back_keeps_snapshots() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let rules = Policy::last(2);
    for when in [
        "2036-01-01T00:00:00",
        "2036-01-02T00:00:00",
        "2036-01-03T00:00:00",
    ] {
        seal_at(&store, UDID, time(when), &rules);
    }
    // The user sets the clock back.
    for day in 1..6 {
        seal_at(
            &store,
            UDID,
            time(&format!("2026-11-0{day}T00:00:00")),
            &rules,
        );
    }
    let found = stamps(&store, UDID);
    for stamp in ["20261105-000000", "20261104-000000", "20261103-000000"] {
        assert!(found.contains(&stamp.to_owned()), "{stamp} of {found:?}");
    }
    assert_eq!(found.iter().filter(|s| s.starts_with("2026")).count(), 3);
    assert_eq!(found.iter().filter(|s| s.starts_with("2036")).count(), 3);
}

#[test]
fn unreadable_notes_prevent_dropping() {
    for text in [
        "",
        "{",
        "[]",
        r#"{"version": 2, "snapshots": {}}"#,
        r#"{"version":1,"snapshots":{"x":{"later":1}}}"#,
    ] {
        let dir = rig::room();
        let store = Store::create(&dir.path().join("store")).unwrap();
        for day in 1..4 {
            seal_at(
                &store,
                UDID,
                time(&format!("2026-11-0{day}T00:00:00")),
                &Policy::last(5),
            );
        }
        let notes = dir
            .path()
            .join("store/.idev-backup")
            .join(UDID)
            .join("notes.json");
        fs::write(&notes, text).unwrap();
        let all = store.snapshots_of(&udid(UDID)).unwrap();
        let (decisions, trouble) = store.plan(&all, &Policy::last(0), time("2026-11-22T00:00:00"));
        assert!(
            trouble.is_some() && decisions.iter().all(Decision::keeps),
            "{text:?}"
        );
        assert!(decisions[1].why.contains(&Why::Unknown));
        assert!(store.note(&all[0], |note| note.pinned = true).is_err());
        assert_eq!(
            fs::read_to_string(&notes).unwrap(),
            text,
            "the unreadable notes stay as they are"
        );
    }
}

/// Checks that the note of a backup stays with it when it is archived, and is removed with it.
#[test]
fn pin_follows_the_archived_backup() {
    let dir = rig::room();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let rules = Policy::last(0);
    seal_at(&store, UDID, time("2026-11-01T00:00:00"), &rules);
    let current = store.current(&udid(UDID)).unwrap().unwrap();
    store.note(&current, |note| note.pinned = true).unwrap();
    for day in 2..5 {
        seal_at(
            &store,
            UDID,
            time(&format!("2026-11-0{day}T00:00:00")),
            &rules,
        );
    }
    assert_eq!(stamps(&store, UDID), ["20261104-000000", "20261101-000000"]);
    let all = store.snapshots_of(&udid(UDID)).unwrap();
    store
        .note(&all[1], |note| note.tags.push("x".to_owned()))
        .unwrap();
    store.note(&all[1], |note| note.pinned = false).unwrap();
    let lock = lock(&store, &udid(UDID));
    store
        .remove(&lock, &all[1], By::Name, (0, 1), &mut |_| ())
        .unwrap();
    let notes = dir
        .path()
        .join("store/.idev-backup")
        .join(UDID)
        .join("notes.json");
    assert!(!fs::read_to_string(notes).unwrap().contains('x'));
}

/// Returns a command that runs the program on a store.
fn program(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
    command
        .args(args)
        .env("IDEV_BACKUP_STORE", store)
        .stdin(Stdio::null());
    command
}

fn run(store: &Path, args: &[&str], code: i32) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program(store, args).output().unwrap();
    let (out, err) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_eq!(status.code(), Some(code), "{args:?}: {out}\n{err}");
    (out, err)
}

fn json(store: &Path, args: &[&str], code: i32) -> Value {
    let (out, _) = run(store, &[args, &["--json"]].concat(), code);
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

/// Creates a store of `count` backups, one a day, the last one yesterday.
fn stocked(store: &Path, count: i32) -> Vec<String> {
    let made = Store::create(store).unwrap();
    let now = jiff::Zoned::now().datetime();
    for day in (1..=count).rev() {
        let when = now.checked_sub(day.days()).unwrap();
        seal_at(&made, UDID, when, &Policy::last(1000));
    }
    stamps(&made, UDID)
}

#[test]
fn prune_does_what_dry_run_shows() {
    let dir = rig::room();
    let store = dir.path().join("store");
    let stamps = stocked(&store, 5);
    run(&store, &["pin", &stamps[4]], 0);
    run(&store, &["tag", &stamps[3], "before iOS 27"], 0);
    run(&store, &["tag", &stamps[3], "latest"], 1);
    let before = tree(&store);
    let (out, _) = run(&store, &["prune", "--keep-last", "1", "--dry-run"], 0);
    for words in [
        "pinned",
        "has a name",
        "keep-last",
        "drop",
        "no rule keeps it",
        "1 snapshot would be dropped",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert_same(&before, &tree(&store), "a dry run");
    let would = json(&store, &["prune", "--keep", "1", "--dry-run"], 0);
    let does = json(&store, &["prune", "--keep", "1"], 0);
    assert_eq!(would["snapshots"], does["snapshots"]);
    assert_eq!(does["dropped"], 1);
    if cfg!(unix) {
        assert!(does["frees_bytes"].as_u64().unwrap() > 50);
    }
    let left = self::stamps(&Store::open(&store).unwrap(), UDID);
    assert_eq!(
        left,
        [&stamps[0], &stamps[1], &stamps[3], &stamps[4]].map(String::clone)
    );
    // Untag by name, after which the rules decide again.
    run(
        &store,
        &["tag", "before iOS 27", "before iOS 27", "--remove"],
        0,
    );
    run(&store, &["unpin", &stamps[4]], 0);
    assert_eq!(json(&store, &["prune", "--keep", "0"], 0)["dropped"], 3);
    let list = json(&store, &["list"], 0);
    assert_eq!(list["backups"].as_array().unwrap().len(), 1);
    for (args, code) in [
        (&["prune", "--keep-within", "soon"][..], 2),
        (&["prune", "--keep-last", "-1"], 2),
        (&["prune", "--device", "ffff"], 1),
        (&["pin", "20990101"], 1),
        (&["pin"], 2),
    ] {
        run(&store, args, code);
    }
}

#[test]
fn prune_reports_its_progress() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    stocked(&store, 3);
    let (_, err) = run(&store, &["prune", "--keep", "0"], 0);
    let at = |words: &str| err.find(words).unwrap_or_else(|| panic!("{words}: {err}"));
    assert!(
        at("Measuring the space to be freed") < at("Removing"),
        "{err}"
    );
    assert!(at("Removing") < at("(1 of "), "{err}");
    let percents = err
        .lines()
        .filter(|line| line.contains("removing  ") && line.ends_with(" %"));
    assert!((1..=4).contains(&percents.count()), "{err}");
    assert!(!err.contains("0 files"), "{err}");
    let events = json(&store, &["list"], 0);
    assert_eq!(events["backups"].as_array().unwrap().len(), 1);
}

/// Checks that `delete` at a terminal names the backup that it deletes and accepts only the answer
/// `yes`.
#[test]
#[cfg(target_os = "linux")]
fn delete_prompt_accepts_only_yes() {
    let is_there = Command::new("script").arg("--version").output();
    if !is_there.is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: `script`, which provides a terminal, is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let stamps = stocked(&store, 2);
    let typed = dir.path().join("typed");
    let words = format!("{} delete {UDID}", env!("CARGO_BIN_EXE_idev-backup"));
    let deleted = |answer: &str, code: i32| {
        fs::write(&typed, answer).unwrap();
        let ran = Command::new("script")
            .args(["-qec", &words, "/dev/null"])
            .env("IDEV_BACKUP_STORE", &store)
            .stdin(fs::File::open(&typed).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(ran.status.code(), Some(code), "{answer:?}: {said}");
        assert!(said.contains("This deletes"), "{said}");
        assert!(said.contains("It is the current backup"), "{said}");
        Store::open(&store).unwrap().snapshots().unwrap().len()
    };
    for answer in ["no\n", "\n", "y\n", "YES\n"] {
        assert_eq!(deleted(answer, 1), stamps.len(), "{answer:?}");
    }
    assert_eq!(deleted("yes\n", 0), stamps.len() - 1);
}

#[test]
fn damaged_store_marker_gives_one_hint() {
    let rig = Rig::backed_up();
    fs::write(rig.store.root().join(".idev-backup/store.json"), "{").unwrap();
    let (_, err) = run(rig.store.root(), &["list"], 1);
    assert!(err.contains("store.json is damaged"), "{err}");
    assert!(err.contains("hint: remove that one file"), "{err}");
    assert!(!err.contains("empty folder"), "{err}");
}

#[test]
fn delete_requires_confirmation() {
    let dir = rig::room();
    let store = dir.path().join("store");
    let stamps = stocked(&store, 3);
    let before = tree(&store);
    let (_, err) = run(&store, &["delete", &stamps[1]], 1);
    assert!(
        err.contains("cannot be undone") && err.contains("--yes"),
        "{err}"
    );
    assert_same(&before, &tree(&store), "delete without confirmation");
    run(&store, &["pin", &stamps[1]], 0);
    // A pinned snapshot is refused before any question.
    for args in [
        &["delete", &stamps[1]][..],
        &["delete", &stamps[1], "--yes"],
    ] {
        let (_, err) = run(&store, args, 1);
        assert!(err.contains("is pinned"), "{err}");
        assert!(!err.contains("cannot be undone"), "{err}");
    }
    run(&store, &["tag", &stamps[1], "before iOS 27"], 0);
    let (out, _) = run(&store, &["unpin", &stamps[1]], 0);
    let stays = "is not pinned any more, and stays because it is tagged \"before iOS 27\"";
    assert!(out.contains(stays), "{out}");
    run(&store, &["tag", &stamps[1], "before iOS 27", "--remove"], 0);
    let (out, _) = run(&store, &["unpin", &stamps[1]], 0);
    assert!(out.contains("was not pinned."), "{out}");
    let deleted = json(&store, &["delete", &stamps[1], "--yes"], 0);
    assert_eq!(
        (&deleted["current"], &deleted["last_of_phone"]),
        (&false.into(), &false.into())
    );
    let left = self::stamps(&Store::open(&store).unwrap(), UDID);
    assert_eq!(left, [&stamps[0], &stamps[2]].map(String::clone));
    // With confirmation, the current backup and one of another program can be deleted.
    run(&store, &["delete", "latest", "-y"], 0);
    let foreign = store.join(format!("{UDID}-20200101-000000"));
    copy_dir(&store.join(format!("{UDID}-{}", stamps[2])), &foreign);
    for name in ["Status.plist", "Info.plist"] {
        fs::write(foreign.join(name), "another").unwrap();
    }
    run(&store, &["prune", "--keep", "0"], 0);
    assert!(foreign.exists());
    // An unset variable in a script, and a mistyped key.
    for name in ["", " ", "2", "2020010"] {
        let (_, err) = run(&store, &["delete", name, "-y"], 1);
        assert!(err.contains("hint: "), "{name:?}: {err}");
    }
    run(&store, &["delete", "20200101", "-y"], 0);
    assert!(!foreign.exists());
}

/// Checks that `verify` notes its result, and that `list` and `prune` use it. `list` also shows
/// overdue phones.
#[test]
fn list_shows_checks_and_overdue_phones() {
    let rig = Rig::backed_up();
    rig.create();
    let store = rig.store.root();
    let archive = rig.listed()[1].stamp.clone().unwrap();
    let of = |at: usize| json(store, &["list", "--sizes"], 0)["backups"][at].clone();
    assert!(of(1)["verified"].is_null());
    for args in [&["verify", "--quick"][..], &["verify", "--sample", "5%"]] {
        run(store, &[args, &[&archive]].concat(), 0);
        assert!(
            of(1)["verified"].is_null(),
            "{args:?} does not read all bytes"
        );
    }
    run(store, &["verify", &archive], 0);
    assert_eq!(of(1)["verified"]["how"], "bytes");
    assert!(of(0)["verified"].is_null());
    run(store, &["verify", "--deep", &archive], 0);
    assert_eq!(of(1)["verified"]["how"], "deep");
    if cfg!(unix) {
        let (seen, frees) = (
            of(1)["bytes"].as_u64().unwrap(),
            of(1)["frees_bytes"].as_u64().unwrap(),
        );
        assert!(frees > 0 && frees < seen, "{frees} of {seen}");
    }
    // The check keeps the snapshot, though no rule does.
    let pruned = json(store, &["prune", "--keep", "0"], 0);
    assert_eq!(pruned["snapshots"][1]["why"][0], "last_verified");
    assert!(rig.listed().len() == 2);
    let (out, _) = run(store, &["list"], 0);
    assert!(
        out.contains("VERIFIED") && out.contains("free.") && !out.contains("OVERDUE"),
        "{out}"
    );
    let (out, _) = run(store, &["list", "--overdue-after", "0s"], 0);
    assert!(
        out.contains("OVERDUE: the last good backup was made"),
        "{out}"
    );
    // A check that finds damage is noted too, and then the other one is the newest good backup.
    let status = rig.current().join("Manifest.db");
    let bytes = fs::read(&status).unwrap();
    fs::remove_file(&status).unwrap();
    fs::write(&status, &bytes[..bytes.len() / 2]).unwrap();
    run(store, &["verify", "latest"], 1);
    assert!(of(0)["damaged"].is_string());
    let fates = json(store, &["prune", "--keep", "0", "--dry-run"], 0);
    assert_eq!(
        fates["snapshots"][1]["why"],
        serde_json::json!(["newest_good", "last_verified"])
    );
    // A repair is noted as well.
    run(store, &["verify", "latest", "--repair"], 0);
    assert!(of(0)["damaged"].is_null() && of(0)["verified"]["how"] == "bytes");
}

#[test]
fn foreign_folder_is_never_written() {
    let rig = Rig::backed_up();
    let folder = rig.dir.path().join("MobileSync");
    copy_dir(&rig.current(), &folder.join(UDID));
    let before = tree(&folder);
    // The folder has no list of hashes to compare the bytes with.
    run(&folder, &["verify"], 3);
    run(&folder, &["list", "--sizes"], 0);
    let (_, err) = run(&folder, &["pin", "latest"], 1);
    assert!(err.contains("no backup was made with it yet"), "{err}");
    run(&folder, &["prune", "--keep", "0"], 0);
    run(&folder, &["delete", "latest", "--yes"], 1);
    let target = rig.dir.path().join("target");
    let (_, err) = run(&folder, &["copy", "latest", target.to_str().unwrap()], 1);
    assert!(err.contains("no store found at"), "{err}");
    assert!(!target.exists());
    let copy = ["copy", "latest", target.to_str().unwrap(), "--new-store"];
    run(&folder, &copy, 0);
    assert_whole(&target.join(UDID));
    // The target may be neither below the store nor around it, however the path is written.
    let below = folder.join("copies");
    let around = rig.dir.path().join("absent/../MobileSync/copies");
    for into in [&folder, &below, &rig.dir.path().to_path_buf(), &around] {
        for which in ["latest", "--all"] {
            let copy = ["copy", which, into.to_str().unwrap(), "--new-store"];
            let (_, err) = run(&folder, &copy, 1);
            assert!(err.contains("is inside the store"), "{into:?}: {err}");
        }
    }
    drop(fs::remove_dir_all(&below));
    assert_same(&before, &tree(&folder), "the folder of another program");
}

/// Kills a program after `moment`, and returns true if it was still running then.
fn kill_after(mut command: Command, moment: Duration) -> bool {
    let mut run = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment);
    drop(run.kill());
    !run.wait().unwrap().success()
}

fn kills() -> usize {
    match std::env::var("IDEV_BACKUP_KILLS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) if cfg!(windows) => 5,
        Err(_) => 25,
    }
}

/// Creates a store that holds one real backup under many dates, each with files of its own.
fn many(rig: &Rig, store: &Path, count: usize) -> Vec<(PathBuf, Tree)> {
    let made = Store::create(store).unwrap();
    let mut trees = Vec::new();
    for n in 0..count {
        let lock = lock(&made, rig.udid());
        let mut draft = Draft::fresh(&made, rig.udid(), lock).unwrap();
        for (path, bytes) in tree(&rig.current()) {
            let Some(mut bytes) = bytes else { continue };
            if path == "Status.plist" {
                let mut status: plist::Dictionary = plist::from_bytes(&bytes).unwrap();
                status.insert("UUID".into(), format!("{n}").into());
                bytes.clear();
                plist::Value::Dictionary(status)
                    .to_writer_binary(&mut bytes)
                    .unwrap();
            }
            let path = format!("{UDID}/{path}").parse().unwrap();
            draft.keep(&path, &mut bytes.as_slice()).unwrap();
        }
        let complete = draft.complete(&mut || ()).unwrap();
        let noon = time(&format!("2026-11-{:02}T12:00:00", n + 1));
        let noon = noon.to_zoned(TimeZone::system()).unwrap().timestamp();
        complete.seal(noon, b"{}", &Policy::last(1000)).unwrap();
    }
    for snapshot in made.snapshots_of(rig.udid()).unwrap() {
        trees.push((snapshot.path().to_path_buf(), tree(snapshot.path())));
    }
    trees
}

/// Checks that a prune that is killed at any moment leaves each snapshot either intact or unlisted,
/// and that the next prune completes.
#[test]
fn killed_prune_leaves_whole_snapshots() {
    let rig = Rig::backed_up();
    let (mut interrupted, mut between) = (0, 0);
    let mut random = Random::new(3);
    let mut takes = Duration::from_millis(60);
    for round in 0..kills() {
        let dir = rig::room();
        let store = dir.path().join("store");
        let before = many(&rig, &store, 5);
        let begun = Instant::now();
        let moment = takes.mul_f64(random.below(1000) as f64 / 1000.0);
        let killed = kill_after(
            program(&store, &["prune", "--keep", "1", "--quiet"]),
            moment,
        );
        if !killed {
            takes = begun
                .elapsed()
                .clamp(Duration::from_millis(5), Duration::from_secs(1));
        }
        interrupted += u32::from(killed);
        let listed = Store::open(&store).unwrap().snapshots().unwrap();
        between += u32::from(listed.len() > 2 && listed.len() < 5);
        assert!(listed.len() >= 2, "round {round}");
        for snapshot in &listed {
            let whole = before.iter().find(|(path, _)| path == snapshot.path());
            assert_same(
                &whole.unwrap().1,
                &tree(snapshot.path()),
                "a listed snapshot",
            );
            assert!(snapshot.beside().is_some(), "round {round}");
            assert_whole(snapshot.path());
        }
        run(&store, &["prune", "--keep", "1", "--quiet"], 0);
        assert_eq!(Store::open(&store).unwrap().snapshots().unwrap().len(), 2);
        assert!(!store.join(".idev-backup").join(UDID).join("trash").exists());
    }
    eprintln!(
        "killed {interrupted} of {} prunes, {between} between two snapshots",
        kills()
    );
}

/// A separate disk, so that no other process changes its free space.
#[cfg(target_os = "linux")]
struct Disk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Disk {
    fn mount(size: &str) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", size, "tmpfs"])
            .arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Disk(dir)),
            other => {
                eprintln!("skipped: no small disk can be mounted here: {other:?}");
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Checks that a backup without enough space drops the snapshots that no rule keeps, if that frees
/// enough.
#[cfg(target_os = "linux")]
#[test]
fn low_space_drops_expendable_snapshots() {
    use idev_backup::backup::create::Options;
    use idev_backup::backup::{Error, Problem};
    use idev_backup::base::failure_kind::FailureKind;
    use idev_backup::base::progress::{Event, Phase};
    use idev_backup::simulator::{Content, PhoneConfig};
    let Some(disk) = Disk::mount("size=240m") else {
        return;
    };
    let rig = Rig::with(PhoneConfig {
        content: Content {
            bulk_size: 6_000_000,
            ..rig::small()
        },
        ..rig::config()
    });
    let store = Store::create(disk.0.path()).unwrap();
    let keep = |count: u32| Options {
        full: true,
        keep: count.into(),
        ..rig::options()
    };
    for _ in 0..4 {
        rig.create_in(&store, &keep(5));
    }
    // The oldest is pinned, so it is not the one to be dropped.
    let before = stamps(&store, UDID);
    let oldest = store.snapshots_of(rig.udid()).unwrap().pop().unwrap();
    store.note(&oldest, |note| note.pinned = true).unwrap();
    let claim = |beyond: u64| {
        let need = store.free_space().unwrap() + beyond - (128 << 20);
        rig.phone
            .suffer(&[format!("claim-size:{need}").parse().unwrap()]);
    };
    // The rule keeps the current backup and one more beside the new one. Dropping the third would
    // not free enough, so it stays.
    claim(90_000_000);
    let options = Options {
        full: false,
        ..keep(2)
    };
    let recorder = rig::Recorder::default();
    let error = rig.try_in(&store, &options, &recorder).unwrap_err();
    assert!(
        matches!(&error, Error::Refused(no) if no.code == 105),
        "{error}"
    );
    assert_eq!(error.kind(), FailureKind::NoSpace);
    assert_eq!(stamps(&store, UDID), before);
    assert!(!recorder.phases().contains(&Phase::Removing));
    // A snapshot that cannot be dropped (here a mount point) does not end the run at once. The
    // program reports a problem and answers the phone that the disk is full.
    let stuck = store.snapshots_of(rig.udid()).unwrap()[2]
        .path()
        .to_path_buf();
    let system = |program: &str, args: &[&std::ffi::OsStr]| {
        assert!(Command::new(program).args(args).status().unwrap().success());
    };
    system(
        "mount",
        &["--bind".as_ref(), stuck.as_ref(), stuck.as_ref()],
    );
    claim(3_000_000);
    let recorder = rig::Recorder::default();
    let error = rig.try_in(&store, &options, &recorder).unwrap_err();
    system("umount", &[stuck.as_ref()]);
    assert!(
        matches!(&error, Error::Refused(no) if no.code == 105),
        "{error}"
    );
    let stays = |event: &Event| {
        let Event::Problem { problem } = event else {
            return false;
        };
        matches!(problem.downcast_ref(), Some(Problem::NotRemoved(_)))
    };
    let events = recorder.events();
    assert!(events.iter().any(stays), "{events:#?}");
    assert_eq!(stamps(&store, UDID), before);
    // If dropping it frees enough, it is dropped and the backup succeeds.
    claim(3_000_000);
    let recorder = rig::Recorder::default();
    let report = rig.try_in(&store, &options, &recorder).unwrap();
    assert_eq!(report.dropped, [before[2].clone()]);
    assert_eq!(
        stamps(&store, UDID)[1..],
        [&before[0], &before[1], &before[3]].map(String::clone)
    );
    assert!(
        recorder.notes().iter().any(|n| n.contains(&before[2])),
        "{:?}",
        recorder.notes()
    );
    // The reason comes before anything is dropped. A long step is reported while it lasts, then the
    // phone's second attempt.
    let events = recorder.events();
    let at = |wanted: &str| {
        events
            .iter()
            .position(|e| format!("{e:?}").contains(wanted))
    };
    let asks = at("The phone asks for more disk space.").expect("the reason is reported");
    assert!(Some(asks) < at("Removing") && at("Removing") < at(&before[2]));
    let phases = recorder.phases();
    let removing = phases.iter().position(|phase| *phase == Phase::Removing);
    let removing = removing.expect("the removal is reported");
    assert_eq!(phases[removing - 1], phases[removing + 1]);
}

/// Makes a copy of the rig's current backup, under any name, that looks like another program's.
fn foreign(rig: &Rig, name: &str) -> PathBuf {
    let folder = rig.dir.path().join(name);
    copy_dir(&rig.current(), &folder);
    folder
}

/// Returns true if two folders have files in common as hard links.
#[cfg(unix)]
fn shares_files(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    tree(one).keys().any(|path| {
        let inode = |root: &Path| {
            fs::metadata(root.join(path))
                .map(|m| (m.dev(), m.ino()))
                .ok()
        };
        one.join(path).is_file() && inode(one) == inode(other)
    })
}

/// Checks that an adopted backup becomes the current one or a snapshot, depending on its date, and
/// that later backups continue from it.
#[test]
fn adopted_backup_is_placed_by_date() {
    let rig = Rig::backed_up();
    let store = rig.dir.path().join("new");
    let old = foreign(&rig, "finder");
    rig.create();
    let new = foreign(&rig, UDID);
    let before = tree(&old);
    let adopted = json(&store, &["adopt", new.to_str().unwrap(), "--new-store"], 0);
    assert_eq!(adopted["current"], true);
    let adopted = json(&store, &["adopt", old.to_str().unwrap()], 0);
    assert_eq!(adopted["current"], false);
    assert_same(&before, &tree(&old), "the source");
    let place = PathBuf::from(adopted["path"].as_str().unwrap());
    assert_same(&before, &tree(&place), "the adopted backup");
    #[cfg(unix)]
    assert!(!shares_files(&old, &place));
    for snapshot in Store::open(&store).unwrap().snapshots().unwrap() {
        assert!(snapshot.sums().is_some());
        assert_whole(snapshot.path());
    }
    let list = json(&store, &["list"], 0);
    for backup in list["backups"].as_array().unwrap() {
        assert_eq!(
            (&backup["pinned"], &backup["ours"], &backup["name"]),
            (&true.into(), &true.into(), &"Mira's iPhone".into())
        );
    }
    // The adopted backup is pinned, so that the rules of a younger history do not drop it.
    assert_eq!(json(&store, &["prune", "--keep", "0"], 0)["dropped"], 0);
    let (_, err) = run(&store, &["adopt", old.to_str().unwrap()], 0);
    assert!(
        err.contains("Nothing to do: ") && err.contains("already in this store"),
        "{err}"
    );
    // The phone continues from the adopted backup.
    let made = rig.create_in(&Store::open(&store).unwrap(), &rig::options());
    assert!(!made.full);
    // A newer one replaces the current backup, which becomes a snapshot.
    let other = rig.dir.path().join("other");
    run(&other, &["adopt", old.to_str().unwrap(), "--new-store"], 0);
    assert_eq!(
        json(&other, &["adopt", new.to_str().unwrap()], 0)["current"],
        true
    );
    assert_eq!(Store::open(&other).unwrap().snapshots().unwrap().len(), 2);
}

/// Checks that `adopt` refuses a damaged backup without `--force`, and a folder that is not a
/// backup even with it.
#[test]
fn adopt_refuses_damaged_or_invalid_folders() {
    let rig = Rig::backed_up();
    let store = rig.dir.path().join("new");
    let damaged = foreign(&rig, "damaged");
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 80_000)
        .unwrap()
        .file_id();
    fs::remove_file(damaged.join(&victim[..2]).join(&victim)).unwrap();
    let path = damaged.to_str().unwrap();
    let (_, err) = run(&store, &["adopt", path, "--new-store"], 1);
    assert!(
        err.contains("is damaged") && err.contains("--force"),
        "{err}"
    );
    assert!(!store.exists(), "a refused backup made a store");
    let (out, err) = run(&store, &["adopt", path, "--force", "--new-store"], 3);
    assert!(err.contains("adopted as it is"), "{out}{err}");
    let list = json(&store, &["list"], 0);
    assert!(list["backups"][0]["damaged"].is_string() && list["phones"][0]["overdue"] == true);
    // A folder that is not a backup, one without Info.plist, and one that does not exist.
    let empty = rig.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let bare = foreign(&rig, "bare");
    fs::remove_file(bare.join("Info.plist")).unwrap();
    for folder in [&empty, &bare, &rig.dir.path().join("absent")] {
        run(&store, &["adopt", folder.to_str().unwrap(), "--force"], 1);
    }
}

/// Checks that `copy` copies a backup with its report, date and tags, and refuses a damaged one.
#[test]
fn copy_preserves_backup_and_notes() {
    let rig = Rig::backed_up();
    rig.create();
    rig.create();
    let (store, target) = (rig.store.root(), rig.dir.path().join("other disk"));
    let to = target.to_str().unwrap();
    let snapshots = rig.listed();
    let oldest = snapshots[2].stamp.clone().unwrap();
    run(store, &["tag", &oldest, "first"], 0);
    let copied = json(store, &["copy", "first", to, "--new-store"], 0);
    assert_eq!(
        (&copied["current"], &copied["shared"]),
        (&true.into(), &0.into())
    );
    let copied = json(store, &["copy", "latest", to], 0);
    assert_eq!(copied["current"], true);
    if cfg!(unix) {
        // Files that the store has already are not copied again.
        assert!(copied["shared"].as_u64() > Some(25), "{copied}");
    }
    run(
        store,
        &["copy", &snapshots[1].stamp.clone().unwrap(), to],
        0,
    );
    let there = Store::open(&target).unwrap();
    let copies = there.snapshots().unwrap();
    assert_eq!(copies.len(), 3);
    for (copy, of) in copies.iter().zip(&snapshots) {
        assert_eq!(
            (copy.stamp(), copy.is_current()),
            (of.stamp.clone(), of.current)
        );
        assert_same(&tree(of.path.as_ref()), &tree(copy.path()), "the copy");
        assert_whole(copy.path());
        #[cfg(unix)]
        assert!(!shares_files(of.path.as_ref(), copy.path()));
        let report = |s: &Path| fs::read(s).unwrap();
        assert!(report(&copy.report().unwrap()).len() > 100);
    }
    assert_eq!(
        there.notes(rig.udid()).unwrap().of(&copies[2]).tags,
        ["first"]
    );
    let (_, err) = run(store, &["copy", "first", to], 0);
    assert!(
        err.contains("Nothing to do: ") && err.contains("already in this store"),
        "{err}"
    );
    // A copy that is known to be damaged does not count as a copy.
    let file = walkdir::WalkDir::new(copies[2].path())
        .min_depth(2)
        .into_iter();
    let file = file
        .map(Result::unwrap)
        .find(|entry| entry.file_type().is_file());
    fs::remove_file(file.unwrap().path()).unwrap();
    let damaged = copies[2].path().to_str().unwrap();
    run(store, &["verify", damaged], 1);
    let (_, err) = run(store, &["copy", "first", to], 1);
    assert!(
        err.contains("which a check found damaged") && err.contains("--repair"),
        "{err}"
    );
    // A backup that changed since it was received is not copied.
    let target = rig.dir.path().join("third disk");
    let victim = rig
        .phone
        .files()
        .find(|f| f.size() > 80_000)
        .unwrap()
        .file_id();
    let victim = rig.current().join(&victim[..2]).join(&victim);
    let mut bytes = fs::read(&victim).unwrap();
    bytes[7] ^= 1;
    fs::remove_file(&victim).unwrap();
    fs::write(&victim, bytes).unwrap();
    let copy = ["copy", "latest", target.to_str().unwrap(), "--new-store"];
    let (_, err) = run(store, &copy, 1);
    assert!(err.contains("not those that were received"), "{err}");
    assert!(
        Store::open(&target)
            .unwrap()
            .snapshots()
            .unwrap()
            .is_empty()
    );
}

/// Checks that `adopt` and `copy` that are killed at any moment list no incomplete backup, and that
/// running them again completes.
#[test]
fn killed_adopt_and_copy_can_resume() {
    let rig = Rig::backed_up();
    rig.create();
    let old = foreign(&rig, "finder");
    rig.create();
    let now = tree(&rig.current());
    let mut random = Random::new(11);
    let (mut interrupted, mut went_on) = (0, 0);
    let mut takes = [Duration::from_millis(150); 2];
    for round in 0..kills() {
        let dir = rig::room();
        let target = dir.path().join("target");
        let is_copy = round % 2;
        let start = || match is_copy {
            1 => program(
                rig.store.root(),
                &[
                    "copy",
                    "latest",
                    target.to_str().unwrap(),
                    "--quiet",
                    "--new-store",
                ],
            ),
            _ => program(
                &target,
                &["adopt", old.to_str().unwrap(), "--quiet", "--new-store"],
            ),
        };
        let wanted = if is_copy == 1 { &now } else { &tree(&old) };
        let begun = Instant::now();
        let moment = takes[is_copy].mul_f64(random.below(1100) as f64 / 1000.0);
        let killed = kill_after(start(), moment);
        interrupted += u32::from(killed);
        if !killed {
            takes[is_copy] = begun
                .elapsed()
                .clamp(Duration::from_millis(20), Duration::from_secs(2));
        }
        if let Ok(store) = Store::open(&target) {
            for snapshot in store.snapshots().unwrap() {
                assert_same(wanted, &tree(snapshot.path()), "a listed backup");
            }
        }
        // Run it again: it completes now, or had completed before.
        let ended = start().output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        let was_done = told.contains("already in this store");
        went_on += u32::from(!was_done);
        assert!(ended.status.success() || was_done, "round {round}: {told}");
        let store = Store::open(&target).unwrap();
        let all = store.snapshots().unwrap();
        assert_eq!(all.len(), 1, "round {round}");
        assert_same(wanted, &tree(all[0].path()), "after the second run");
        assert_whole(all[0].path());
        assert!(all[0].sums().is_some());
        for left in ["import", "trash"] {
            let left = target.join(".idev-backup").join(UDID).join(left);
            assert!(!left.exists(), "round {round}: {}", left.display());
        }
    }
    eprintln!(
        "killed {interrupted} of {}; {went_on} were done by the second run",
        kills()
    );
}

#[test]
fn resumed_copy_skips_copied_files() {
    let rig = Rig::backed_up();
    let target = rig.dir.path().join("target");
    let to = target.to_str().unwrap();
    let import = target.join(".idev-backup").join(UDID).join("import");
    // Leave the state of a copy that was killed half way.
    let store = Store::create(&target).unwrap();
    let current = rig.store.current(rig.udid()).unwrap().unwrap();
    let proven = current.proven().unwrap().unwrap();
    let expected = store::import::Expected {
        sums: proven.sums,
        sources: proven.sources,
        is_proven: true,
    };
    let begun = store::import::Import::begin(
        &store,
        rig.udid(),
        lock(&store, rig.udid()),
        current.path(),
        Some(&expected),
    );
    begun.unwrap().copy(&mut |_| ()).unwrap();
    let root = import.join("root").join(UDID);
    let files: Vec<PathBuf> = tree(&root)
        .into_iter()
        .filter(|f| f.1.is_some())
        .map(|f| root.join(f.0))
        .collect();
    for (n, path) in files.iter().enumerate() {
        match n % 4 {
            0 => fs::remove_file(path).unwrap(),
            // A power cut leaves the name, and a file of the right length filled with zeros.
            1 => fs::write(path, vec![0; fs::metadata(path).unwrap().len() as usize]).unwrap(),
            _ => {}
        }
    }
    let copied = json(rig.store.root(), &["copy", "latest", to], 0);
    let there = copied["there"].as_u64().unwrap() as usize;
    assert!(
        there >= files.len() / 2 - 1 && there < files.len() * 3 / 4,
        "{copied}"
    );
    assert_same(&tree(&rig.current()), &tree(&target.join(UDID)), "the copy");
    assert!(!import.exists());
}

/// Checks that a backup succeeds although the notes cannot be read. It then drops nothing, and
/// commands report the unreadable file.
#[test]
fn unreadable_notes_do_not_stop_backup() {
    let rig = Rig::backed_up();
    rig.create();
    let notes = rig.own().join("notes.json");
    fs::write(&notes, "rubbish").unwrap();
    let options = idev_backup::backup::create::Options {
        keep: 0.into(),
        ..rig::options()
    };
    let report = rig.create_with(&options);
    assert!(
        report.problems[0].contains("notes.json"),
        "{:?}",
        report.problems
    );
    assert_eq!((report.older, report.dropped.len()), (2, 0));
    let (_, err) = run(rig.store.root(), &["prune", "--keep", "0"], 3);
    assert!(err.contains("it is unknown which are pinned"), "{err}");
    for args in [
        &["pin", "latest"][..],
        &["tag", "latest", "x"],
        &["delete", "latest", "-y"],
    ] {
        let (_, err) = run(rig.store.root(), args, 1);
        assert!(err.contains("check that file"), "{args:?}: {err}");
    }
    let (out, _) = run(rig.store.root(), &["list"], 3);
    assert!(
        out.contains("cannot be read, so no backup is dropped"),
        "{out}"
    );
    run(rig.store.root(), &["list", "--json"], 3);
    // A check reports that its result could not be noted, and still succeeds.
    run(rig.store.root(), &["verify"], 0);
    fs::remove_file(&notes).unwrap();
    run(rig.store.root(), &["prune", "--keep", "0"], 0);
    assert_eq!(rig.listed().len(), 1);
}
