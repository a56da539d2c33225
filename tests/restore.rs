//! Restores to the simulated phone. Every byte arrives, the sealed backup stays unchanged whatever
//! the phone or the cable does, and each error states the phone's state.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::{Monitor, Phase, Silent};
use idev_backup::base::secret::Secret;
use idev_backup::device::connector::Connector;
use idev_backup::doctor::Level;
use idev_backup::reader::passwords::{Known, NoPasswords, Passwords};
use idev_backup::restore::Error;
use idev_backup::restore::compare::{Comparison, How, Received, What, compare};
use idev_backup::restore::{self, Left, Options, Report};
use idev_backup::simulator::{
    Fault, Ledger, Passcode, Password, Phone, PhoneConfig, RestoreOutcome, RestoredKind,
};
use idev_backup::transport::Attached;
use idev_backup::verify::Depth;
use sha2::{Digest, Sha256};

use crate::advice::Advice as _;
use crate::rig::program::{ended, program};
use crate::rig::{self, *};

const PASSWORD: &str = "correct horse";

fn how() -> Options {
    Options {
        silence_max: Duration::from_secs(30),
        trust_wait: Duration::from_secs(10),
        ..Options::default()
    }
}

/// Returns options that check only names and sizes, for tests in which the check does not matter.
fn quick() -> Options {
    Options {
        depth: Depth::Quick,
        ..how()
    }
}

fn known(password: &str) -> Option<Known> {
    Some(Known(Secret::new(password.as_bytes().to_vec())))
}

/// Returns options for consecutive restores: the test restarts the phone itself, which avoids the
/// wait for a reboot.
fn staying() -> Options {
    Options {
        reboot: false,
        ..quick()
    }
}

/// Changes the configuration of a phone.
type Change = fn(&mut PhoneConfig);

/// Returns the configuration of a phone that restarts immediately.
fn plain() -> PhoneConfig {
    PhoneConfig {
        restart: Duration::ZERO,
        ..config()
    }
}

fn encrypting() -> PhoneConfig {
    PhoneConfig {
        backup_password: Some(Password::new(PASSWORD)),
        key_rounds: 10,
        ..plain()
    }
}

/// Creates a rig with a backup in its store and the phone that the backup was made of.
fn backed_up(config: PhoneConfig) -> Rig {
    let rig = Rig::with(config);
    rig.try_create(&rig::options(), &Silent).unwrap();
    rig
}

/// Returns the rig's phone, waiting while it restarts.
fn attached(rig: &Rig) -> Attached {
    loop {
        if let Ok(phone) = rig.connector().phone(Some(rig.udid().as_str())) {
            return phone;
        }
        std::thread::yield_now();
    }
}

fn restores_on(
    rig: &Rig,
    connector: &Connector,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let held = restore::hold(folder)?;
    restore::restore(&held, connector, &attached(rig), folder, options, monitor)
}

fn try_restore(
    rig: &Rig,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    loop {
        match restores_on(rig, &rig.connector(), folder, options, monitor) {
            // The phone has not noticed yet that the previous run is over, or is restarting.
            Err(Error::Refused { refusal, .. }) if refusal.code == 14 => {}
            Err(Error::Device(e)) if format!("{e}").contains("not connected") => {}
            other => return other,
        }
        std::thread::yield_now();
    }
}

fn restores(rig: &Rig, folder: &Path, options: &Options) -> Report {
    try_restore(rig, folder, options, &Silent).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a restore that must fail, and returns its error, which must have a hint.
fn fails(rig: &Rig, folder: &Path, options: &Options) -> Error {
    let error = try_restore(rig, folder, options, &Silent).unwrap_err();
    assert!(
        error.hint().is_some_and(|hint| !hint.is_empty()),
        "no hint for: {error}"
    );
    error
}

fn last(phone: &Phone) -> RestoreOutcome {
    phone.restores().last().unwrap().clone()
}

/// Returns everything in the store except the notes and the lock, which a check may change.
fn sealed(rig: &Rig) -> Tree {
    let mut all = tree(rig.store.root());
    all.retain(|path, _| !path.ends_with("notes.json") && !path.ends_with("lock"));
    all
}

fn faults(specs: &[&str]) -> Vec<Fault> {
    specs.iter().map(|s| s.parse().unwrap()).collect()
}

/// Returns the files that the phone recorded as received.
fn received(ledger: &Ledger) -> Vec<Received> {
    let mut rows = Vec::new();
    let each = ledger.each(|row| {
        rows.push(Received {
            file_id: row.file_id,
            domain: row.domain,
            relative_path: row.path,
            what: match row.kind {
                RestoredKind::File { size, sha256 } => What::File { size, sha256 },
                RestoredKind::Folder => What::Folder,
                RestoredKind::Link(target) => What::Link(target),
            },
            mode: row.mode,
            modified: row.modified,
        });
        true
    });
    each.unwrap();
    rows
}

fn compared(phone: &Phone, folder: &Path, passwords: &dyn Passwords) -> Comparison {
    compared_with(folder, passwords, received(&phone.ledger().unwrap()))
}

fn compared_with(folder: &Path, passwords: &dyn Passwords, rows: Vec<Received>) -> Comparison {
    let how = How {
        passwords,
        domains: None,
        token: &CancelToken::new(Arc::default()),
    };
    compare(folder, &how, rows, &Silent).unwrap()
}

/// Asserts that the ledger has exactly these bytes of each file that the phone had at the time of
/// the backup. The hashes are computed here, not by our reader.
fn assert_has_the_files_of(ledger: &Ledger, phone: &Phone) {
    let rows = received(ledger);
    let mut files = 0;
    for file in phone.files() {
        let mut bytes = Vec::new();
        file.bytes().read_to_end(&mut bytes).unwrap();
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let row = rows.iter().find(|row| row.file_id == file.file_id());
        let row = row.unwrap_or_else(|| panic!("{} was not received", file.path));
        let wanted = What::File {
            size: bytes.len() as u64,
            sha256,
        };
        assert_eq!(row.what, wanted, "{}", file.path);
        files += 1;
    }
    assert!(files > 20);
    let received = rows
        .iter()
        .filter(|row| matches!(row.what, What::File { .. }));
    assert_eq!(received.count(), files);
}

/// Checks that a restore sends every byte of the backup, and that the report, the phone's record
/// and the sealed backup agree afterwards.
#[test]
fn restore_returns_every_byte() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    let recorder = Recorder::default();
    let report = try_restore(&rig, &rig.current(), &how(), &recorder).unwrap();
    assert_has_the_files_of(&rig.phone.ledger().unwrap(), &rig.phone);
    let compared = compared(&rig.phone, &rig.current(), &NoPasswords);
    assert!(compared.is_same(), "{compared:#?}");
    assert!(compared.others > 0);

    let outcome = last(&rig.phone);
    assert_eq!(outcome.code, Some(0));
    assert_eq!(
        (report.sent_files, compared.files),
        (outcome.files, outcome.files)
    );
    assert_eq!(report.sent_bytes, outcome.bytes);
    assert_eq!(outcome.source, UDID);
    assert!(
        outcome.longest_frame <= 32 << 10,
        "{}",
        outcome.longest_frame
    );
    assert!(report.apps && outcome.applications.is_some());
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let asked = outcome.options;
    assert!(asked.system_files && asked.reboot);
    assert!(!asked.copy && !asked.preserve_settings && !asked.remove_items && !asked.password);
    assert_eq!(
        recorder.phases(),
        [Phase::Checking, Phase::Preparing, Phase::Sending]
    );
    assert_same(&before, &sealed(&rig), "after a restore");
}

/// Checks that the phone receives every option as requested, and that no restore asks the phone to
/// copy the existing backup.
#[test]
fn restore_options_reach_phone() {
    let rig = backed_up(plain());
    let wanted = Options {
        keep_settings: true,
        system_files: false,
        apps: false,
        remove_others: true,
        ..quick()
    };
    let report = restores(&rig, &rig.current(), &wanted);
    let outcome = last(&rig.phone);
    let asked = outcome.options;
    assert!(asked.preserve_settings && asked.remove_items && !asked.system_files && !asked.copy);
    assert_eq!(outcome.applications, None);
    assert!(!report.apps && report.kept_settings && report.removed_others && !report.system_files);
}

/// Checks that no restore begins if the password is missing or wrong, and that the right password
/// restores the plaintext.
#[test]
fn encrypted_restore_requires_password() {
    let rig = backed_up(encrypting());
    let before = sealed(&rig);
    for (password, class) in [
        (None, FailureKind::WrongPassword),
        (known("wrong"), FailureKind::WrongPassword),
    ] {
        let wanted = Options {
            password,
            ..quick()
        };
        assert_eq!(fails(&rig, &rig.current(), &wanted).kind(), class);
    }
    assert!(
        rig.phone.restores().is_empty(),
        "a wrong password must not reach the phone"
    );
    let wanted = Options {
        password: known(PASSWORD),
        ..how()
    };
    let report = restores(&rig, &rig.current(), &wanted);
    assert!(report.source.encrypted);
    let password = known(PASSWORD).unwrap();
    let compared = compared(&rig.phone, &rig.current(), &password);
    assert!(compared.is_same() && compared.files > 20, "{compared:#?}");
    assert_has_the_files_of(&rig.phone.ledger().unwrap(), &rig.phone);
    assert_same(&before, &sealed(&rig), "after a restore");
}

/// Checks that a different phone is asked to restore from the UDID of the phone that the backup was
/// made of.
#[test]
fn restore_to_different_phone_names_source() {
    let mut rig = backed_up(plain());
    let (folder, old) = (rig.current(), rig.phone.clone());
    let new = Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "New iPhone".into(),
        ios: "26.0".into(),
        ..plain()
    });
    rig.connect(new.clone());
    let report = restores(&rig, &folder, &how());
    assert_eq!(report.target.udid, OTHER_UDID);
    assert_eq!(last(&new).source, UDID);
    assert_has_the_files_of(&new.ledger().unwrap(), &old);
}

#[test]
fn older_snapshot_restores_unchanged() {
    let rig = backed_up(plain());
    let first = tree(&rig.current());
    rig.create();
    let older = rig
        .listed()
        .into_iter()
        .find(|backup| !backup.current)
        .unwrap();
    let folder = PathBuf::from(&older.path);
    assert_same(&first, &tree(&folder), "the snapshot");
    restores(&rig, &folder, &how());
    let compared = compared(&rig.phone, &folder, &NoPasswords);
    assert!(compared.is_same() && compared.files > 20, "{compared:#?}");
    // It differs from the other backup.
    let other = self::compared(&rig.phone, &rig.current(), &NoPasswords);
    assert!(!other.is_same());
}

#[test]
fn restore_accepts_any_folder_name() {
    let rig = backed_up(plain());
    let folder = rig.dir.path().join("old backup");
    copy_dir(&rig.current(), &folder);
    let report = restores(&rig, &folder, &how());
    // Info.plist identifies the phone.
    assert_eq!(report.source.udid.as_deref(), Some(UDID));
    assert_eq!(last(&rig.phone).source, UDID);
}

/// Checks that each refusal code of the phone has an error class, a hint and a statement of the
/// phone's state, and that the list of applications is removed again.
#[test]
fn refusal_codes_map_to_error_classes() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    for (code, class) in [
        (1, FailureKind::Failed),
        (13, FailureKind::Locked),
        (25, FailureKind::Failed),
        (102, FailureKind::Failed),
        (106, FailureKind::NoSpace),
        (202, FailureKind::Interrupted),
        (203, FailureKind::Failed),
        (204, FailureKind::Failed),
        (205, FailureKind::Failed),
        (207, FailureKind::WrongPassword),
        (208, FailureKind::Locked),
        (211, FailureKind::Failed),
        (212, FailureKind::Failed),
    ] {
        rig.phone.suffer(&faults(&[&format!("error:{code}")]));
        let error = fails(&rig, &rig.current(), &quick());
        assert_eq!(error.kind(), class, "{code}: {error}");
        let Error::Refused { refusal, left } = &error else {
            panic!("{code}: {error}")
        };
        assert_eq!((refusal.code, *left), (code, Left::AsItWas));
        // The list of applications sent earlier is removed again.
        assert!(last(&rig.phone).applications.is_some(), "{code}");
        assert_eq!(rig.phone.applications(), None, "{code}");
    }
    assert_same(&before, &sealed(&rig), "after all refusals");
}

/// Checks that a phone that reports success without requesting any file causes an error. If it
/// requested only some of the files, the report lists a problem.
#[test]
fn incomplete_restore_is_not_success() {
    let rig = backed_up(plain());
    rig.phone.suffer(&faults(&["error:0"]));
    let error = fails(&rig, &rig.current(), &staying());
    assert_eq!(error.kind(), FailureKind::Failed);
    assert!(error.to_string().contains("did not ask for any"), "{error}");
    assert_eq!(rig.phone.applications(), None);

    rig.phone.suffer(&faults(&["asks-for-only:5"]));
    let report = restores(&rig, &rig.current(), &staying());
    let all = rig.phone.files().count() as u64;
    assert_eq!((report.sent_files, report.listed_files), (5, Some(all)));
    let told = report.problems.concat();
    assert!(
        told.contains(&format!("only 5 of the {all} files")),
        "{told}"
    );
    rig.phone.restart();

    // Receiving less is not a problem if less was requested.
    let recorder = Recorder::default();
    let less = Options {
        system_files: false,
        ..staying()
    };
    let report = try_restore(&rig, &rig.current(), &less, &recorder).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(
        recorder.notes().concat().contains("asked for 5 of the"),
        "{:?}",
        recorder.notes()
    );
}

/// Checks that no list of applications remains on the phone if writing it failed, or if the restore
/// excludes applications.
#[test]
fn unused_application_list_is_removed() {
    let rig = backed_up(plain());
    rig.phone.suffer(&faults(&["refuses-writes:18"]));
    let report = restores(&rig, &rig.current(), &staying());
    assert!(!report.apps);
    assert!(report.problems[0].contains("list of applications"));
    assert_eq!(
        last(&rig.phone).applications,
        None,
        "an unwritten list must not remain"
    );
    rig.phone.suffer(&[]);
    rig.phone.restart();

    restores(&rig, &rig.current(), &staying());
    assert!(rig.phone.applications().is_some());
    let none = Options {
        apps: false,
        ..staying()
    };
    // The phone waits for its restart; the state that the previous run left is the one that counts.
    fails(&rig, &rig.current(), &none);
    assert_eq!(last(&rig.phone).applications, None);
}

/// Checks that an undamaged backup whose Manifest.plist lacks the iOS version is refused, and that
/// `--force` restores it.
#[test]
fn missing_ios_version_requires_force() {
    let rig = backed_up(plain());
    let folder = rig.dir.path().join("old backup");
    copy_dir(&rig.current(), &folder);
    let manifest = folder.join("Manifest.plist");
    let mut fields: plist::Dictionary = plist::from_file(&manifest).unwrap();
    let lockdown = fields.get_mut("Lockdown").unwrap();
    lockdown
        .as_dictionary_mut()
        .unwrap()
        .remove("ProductVersion")
        .unwrap();
    plist::to_file_binary(&manifest, &fields).unwrap();
    let error = fails(&rig, &folder, &how());
    assert!(matches!(error, Error::NotReady(_)), "{error}");
    assert!(error.to_string().contains("Manifest.plist"), "{error}");
    assert!(error.hint().unwrap().contains("--force"));
    assert!(rig.phone.restores().is_empty());
    let phone = rig.connector().phone(Some(UDID)).map_err(Error::from);
    let report = restore::dry_run(&rig.connector(), phone, &folder, &how(), &Silent).unwrap();
    let line = report.lines.iter().find(|line| line.topic == "check");
    assert_eq!(line.unwrap().level, Level::Problem);
    let forced = Options {
        force: true,
        ..how()
    };
    let report = restores(&rig, &folder, &forced);
    assert!(
        report.problems[0].contains("as requested"),
        "{:?}",
        report.problems
    );
}

/// Checks that an invalid UDID in Info.plist never reaches the phone, which would use it as a
/// folder name.
#[test]
fn invalid_source_udid_is_ignored() {
    let rig = backed_up(plain());
    let folder = rig.dir.path().join("old backup");
    copy_dir(&rig.current(), &folder);
    let info = folder.join("Info.plist");
    let mut fields: plist::Dictionary = plist::from_file(&info).unwrap();
    for key in ["Target Identifier", "Unique Identifier"] {
        fields.insert(key.into(), "../../x".into());
    }
    plist::to_file_xml(&info, &fields).unwrap();
    let report = restores(&rig, &folder, &how());
    assert_eq!(report.source.udid, None);
    assert_eq!(last(&rig.phone).source, UDID);
}

/// Checks that cancelling the wait for the restart ends the restore without a problem in its
/// report.
#[test]
fn cancelled_restart_wait_is_success() {
    let rig = backed_up(plain());
    let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
    let connector = rig.connector_with(token.clone());
    let stop = At(Phase::Restarting, || token.cancel());
    let waiting = Options {
        wait_back: Some(Duration::from_secs(60)),
        ..quick()
    };
    let report = restores_on(&rig, &connector, &rig.current(), &waiting, &stop);
    let report = report.unwrap();
    assert_eq!(report.is_back, None);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// Checks that a refusal caused by the state of the phone keeps its code and has a fitting hint.
#[test]
fn phone_state_refusals_have_hints() {
    let table: [(Change, i64, &str); 5] = [
        (|c| c.icloud_restore = true, 25, "iCloud"),
        (|c| c.unfinished_restore = true, 102, "restart"),
        (|c| c.free_bytes = Some(1000), 106, "free at least "),
        (|c| c.setup_unfinished = true, 212, "setup"),
        (|c| c.forbids_restores = true, 1, "profile"),
    ];
    let mut rig = backed_up(plain());
    for (change, code, hint) in table {
        let mut config = plain();
        change(&mut config);
        rig.connect(Phone::new(config));
        let error = fails(&rig, &rig.current(), &quick());
        let Error::Refused { refusal, .. } = &error else {
            panic!("{code}: {error}")
        };
        assert_eq!(refusal.code, code);
        assert!(
            error.hint().unwrap().contains(hint),
            "{code}: {:?}",
            error.hint()
        );
    }
}

/// Checks that a restore does not begin if Find My is on, the phone's iOS is older than the
/// backup's, or an administrator demands encrypted backups.
#[test]
fn preflight_blocks_impossible_restores() {
    let table: [(Change, &str); 3] = [
        (|c| c.find_my = true, "Find My"),
        (|c| c.ios = "17.0".into(), "newer"),
        (|c| c.requires_encryption = true, "administrator"),
    ];
    let mut rig = backed_up(plain());
    for (change, word) in table {
        let mut config = plain();
        change(&mut config);
        let phone = Phone::new(config);
        rig.connect(phone.clone());
        let error = fails(&rig, &rig.current(), &quick());
        assert!(matches!(error, Error::NotReady(_)), "{word}: {error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert!(phone.restores().is_empty(), "{word}");
    }
}

/// Checks that a phone that has not restarted after a restore refuses the next one with code 102,
/// and that the error says that all files are staged on the phone.
#[test]
fn unrestarted_phone_refuses_next_restore() {
    let rig = backed_up(plain());
    let report = restores(&rig, &rig.current(), &staying());
    assert!(!report.reboot);
    let Error::Refused { refusal, left } = fails(&rig, &rig.current(), &quick()) else {
        panic!("the phone did not refuse")
    };
    assert_eq!(refusal.code, 102);
    assert!(matches!(left, Left::All { .. }), "{left:?}");
    assert!(refusal.hint().unwrap().contains("restart"));
    rig.phone.restart();
    restores(&rig, &rig.current(), &quick());
}

#[test]
fn restore_waits_for_restart() {
    let rig = backed_up(plain());
    let waiting = Options {
        wait_back: Some(Duration::from_secs(60)),
        ..quick()
    };
    let report = restores(&rig, &rig.current(), &waiting);
    assert_eq!(report.is_back, Some(true));
}

/// Checks that a request for a path outside of the phone's own backup ends the restore before any
/// file is sent.
#[test]
fn hostile_path_requests_abort_restore() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    for path in [
        "../../etc/passwd",
        "etc/passwd",
        ".idev-backup/store.json",
        "/etc/passwd",
        "00008130-000000000000002E/Manifest.db",
        "00008130-001A2B3C4D5E6F70/../sentinel",
    ] {
        rig.phone.suffer(&faults(&[&format!("asks-for:{path}")]));
        let error = fails(&rig, &rig.current(), &quick());
        let Error::Dialog { cause, left } = &error else {
            panic!("{path}: {error}")
        };
        assert!(
            matches!(cause, idev_backup::mobilebackup::Error::Hostile(_)),
            "{path}: {error}"
        );
        assert_eq!((error.kind(), *left), (FailureKind::Failed, Left::AsItWas));
        assert!(error.hint().unwrap().contains("do not trust"), "{path}");
        let told = last(&rig.phone);
        assert!(told.text.contains("No such file"), "{path}: {told:?}");
        assert_eq!(told.files, 0);
    }
    assert_same(&before, &sealed(&rig), "after a hostile phone");
}

/// Checks that a phone that asks to rename, remove and write files leaves the sealed backup
/// unchanged.
#[test]
fn phone_cannot_modify_backup() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    rig.phone.suffer(&faults(&["meddles"]));
    restores(&rig, &rig.current(), &how());
    rig.phone.suffer(&[]);
    assert_eq!(last(&rig.phone).code, Some(0));
    assert!(compared(&rig.phone, &rig.current(), &NoPasswords).is_same());
    assert_same(&before, &sealed(&rig), "after a meddling phone");
}

/// Asserts that the state in the error matches the phone's actual state.
fn assert_told(rig: &Rig, error: &Error, when: &str) {
    assert_eq!(error.kind(), FailureKind::Lost, "{when}: {error}");
    let files = last(&rig.phone).files;
    let Error::Dialog { left, .. } = error else {
        panic!("{when}: {error}")
    };
    match left {
        Left::AsItWas => assert_eq!(files, 0, "{when}"),
        Left::Partly { files: sent } => assert!(*sent >= files, "{when}: {sent} {files}"),
        Left::All { .. } => {}
    }
    assert!(
        error.to_string().contains(&left.to_string()),
        "{when}: {error}"
    );
}

/// Cuts the connection at each message in turn. Checks that the backup stays unchanged and that
/// each error states the phone's actual state.
#[test]
fn cut_at_every_message_preserves_backup() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    let (mut cuts, mut unheard) = (0, 0);
    loop {
        let when = format!("cut at message {cuts}");
        rig.phone.suffer(&faults(&[&format!("cut-at:{cuts}")]));
        let told = rig.phone.restores().len();
        let ended = try_restore(&rig, &rig.current(), &staying(), &Silent);
        if let Err(Error::Dialog { left, .. }) = &ended {
            // If the phone may have accepted the backup, it needs the list of applications.
            let is_unheard = matches!(left, Left::All { .. });
            unheard += usize::from(is_unheard);
            assert_eq!(rig.phone.applications().is_some(), is_unheard, "{when}");
        }
        // As the hint says, a restart either puts staged files in place or discards them.
        rig.phone.restart();
        match ended {
            Ok(_) => break,
            // Cut during the greetings, before any restore had begun.
            Err(e) if rig.phone.restores().len() == told => {
                assert_eq!(e.kind(), FailureKind::Lost, "{when}: {e}");
            }
            Err(e) => assert_told(&rig, &e, &when),
        }
        cuts += 1;
        assert!(cuts < 100, "the restore still fails after 100 cuts");
    }
    assert!(
        cuts > 8 && unheard > 0,
        "{cuts} messages, {unheard} unheard"
    );
    assert_same(&before, &sealed(&rig), "after all cuts");
    assert!(compared(&rig.phone, &rig.current(), &NoPasswords).is_same());
}

/// Cuts the connection after random numbers of bytes. `IDEV_BACKUP_CABLE_CUTS` sets the number of
/// cuts.
#[test]
fn cut_at_random_bytes_preserves_backup() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    let mut random = Random::new(rig::seed("cables pulled in restores"));
    let (mut cut, mut whole) = (0, 0);
    let cuts = match std::env::var("IDEV_BACKUP_CABLE_CUTS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 80 / cut_every(),
    };
    for number in 0..cuts {
        // The phone's requests are few bytes; the files are many.
        let (fault, all) = match number % 2 {
            0 => ("cut-after", 14_000),
            _ => ("cut-after-taken", 400_000),
        };
        let place = random.below(all);
        let when = format!("cut {number}: {fault}:{place}");
        rig.phone.suffer(&faults(&[&format!("{fault}:{place}")]));
        let told = rig.phone.restores().len();
        let ended = try_restore(&rig, &rig.current(), &staying(), &Silent);
        rig.phone.restart();
        match ended {
            Ok(_) => whole += 1,
            Err(e) => {
                cut += 1;
                if rig.phone.restores().len() == told {
                    assert_eq!(e.kind(), FailureKind::Lost, "{when}: {e}")
                } else {
                    assert_told(&rig, &e, &when)
                }
            }
        }
    }
    assert!(cut > cuts / 4, "{cut} cuts, {whole} whole");
    assert_same(&before, &sealed(&rig), "after all cuts");
    rig.phone.suffer(&[]);
    restores(&rig, &rig.current(), &quick());
    assert!(compared(&rig.phone, &rig.current(), &NoPasswords).is_same());
}

/// Returns options that compare the contents of files while they are sent.
fn while_sending() -> Options {
    Options {
        compare_while_sending: true,
        ..how()
    }
}

/// Checks that a restore that compares while it sends brings every byte, compares every file, and
/// counts as a check of every byte.
#[test]
fn files_are_compared_while_sent() {
    for config in [plain(), encrypting()] {
        let password = config.backup_password.is_some().then_some(PASSWORD);
        let rig = backed_up(config);
        let before = sealed(&rig);
        let options = Options {
            password: password.and_then(known),
            ..while_sending()
        };
        let report = restores(&rig, &rig.current(), &options);
        assert_has_the_files_of(&rig.phone.ledger().unwrap(), &rig.phone);
        // The phone's lists and property lists are compared too.
        assert!(
            report.compared_files.unwrap() > report.sent_files,
            "{report:?}"
        );
        assert_eq!(Some(report.sent_files), report.listed_files);
        let current = rig.store.current(rig.udid()).unwrap().unwrap();
        let note = rig.store.notes(rig.udid()).unwrap().of(&current);
        assert_eq!(note.verified.unwrap().how, "bytes");
        assert_same(&before, &sealed(&rig), "after a restore");
    }
}

/// Checks that altered contents end a restore before the phone accepts anything, that the damage is
/// noted, and that the next restore then checks everything first. Other damage is found before
/// anything is sent.
#[test]
fn damage_ends_restore_while_sending() {
    type Damage = fn(&Path, &Path);
    let table: [(&str, Damage, bool); 5] = [
        ("altered", flip, true),
        ("two altered", flip_two, true),
        ("one with a digest altered", flip_digested, true),
        ("missing", |_, file| fs::remove_file(file).unwrap(), false),
        ("truncated", |_, file| fs::write(file, "x").unwrap(), false),
    ];
    for (name, damage, reaches_phone) in table {
        let rig = backed_up(plain());
        let victim = rig.current().join(victim(&rig));
        damage(&rig.current(), &victim);
        let error = fails(&rig, &rig.current(), &while_sending());
        assert_eq!(error.kind(), FailureKind::Failed, "{name}: {error}");
        assert_eq!(rig.phone.restores().len(), usize::from(reaches_phone));
        if !reaches_phone {
            assert!(matches!(error, Error::SourceDamaged(_)), "{name}: {error}");
            continue;
        }
        let Error::Altered { report, left } = &error else {
            panic!("{name}: {error}");
        };
        assert!(
            matches!(left, Left::Partly { .. } | Left::AsItWas),
            "{name}"
        );
        assert!(report.damage > 0 && error.to_string().contains("altered"));
        assert!(error.hint().unwrap().contains("--repair"), "{name}");
        assert_ne!(last(&rig.phone).code, Some(0), "{name}");
        let current = rig.store.current(rig.udid()).unwrap().unwrap();
        let note = rig.store.notes(rig.udid()).unwrap().of(&current);
        assert!(note.damaged.is_some(), "{name}");

        rig.phone.restart();
        let error = fails(&rig, &rig.current(), &while_sending());
        assert!(matches!(error, Error::SourceDamaged(_)), "{name}: {error}");
        assert_eq!(rig.phone.restores().len(), 1, "{name}");
    }
}

/// Checks that a backup without a list of hashes is checked completely before anything is sent.
#[test]
fn backup_without_hashes_is_checked_first() {
    let rig = backed_up(plain());
    let folder = rig.dir.path().join("elsewhere").join(UDID);
    copy_dir(&rig.current(), &folder);
    let report = restores(&rig, &folder, &while_sending());
    assert_eq!(report.compared_files, None);
    fs::write(folder.join("Manifest.db"), "x").unwrap();
    rig.phone.restart();
    let error = fails(&rig, &folder, &while_sending());
    assert!(matches!(error, Error::SourceDamaged(_)), "{error}");
}

/// Checks that damage is found before the restore begins. `--force` overrides only altered bytes.
#[test]
fn damaged_backup_is_refused() {
    type Damage = fn(&Path, &Path);
    let table: [(&str, Damage, bool); 13] = [
        ("two altered", flip_two, true),
        // Damage that the phone itself would notice, and refuse after everything was sent.
        ("one with a digest altered", flip_digested, false),
        ("lengthened", lengthen, false),
        ("swapped with a smaller one", swap, false),
        // The list can still be read, but the files that it names now are unknown.
        ("list altered", flip_list, false),
        ("missing", |_, file| fs::remove_file(file).unwrap(), false),
        ("truncated", |_, file| fs::write(file, "x").unwrap(), false),
        ("altered", flip, true),
        (
            "no list",
            |b, _| fs::remove_file(b.join("Manifest.db")).unwrap(),
            false,
        ),
        (
            "list cut",
            |b, _| fs::write(b.join("Manifest.db"), "x").unwrap(),
            false,
        ),
        (
            "no properties",
            |b, _| fs::write(b.join("Manifest.plist"), "").unwrap(),
            false,
        ),
        (
            "no status",
            |b, _| fs::remove_file(b.join("Status.plist")).unwrap(),
            false,
        ),
        ("unfinished", unfinish, false),
    ];
    let rig = backed_up(plain());
    let victim = victim(&rig);
    let whole = rig.dir.path().join("whole");
    copy_dir(&rig.current(), &whole);
    for (name, damage, tolerated) in table {
        // Damage the backup in its place, so that it is compared with the list of hashes beside it.
        fs::remove_dir_all(rig.current()).unwrap();
        copy_dir(&whole, &rig.current());
        damage(&rig.current(), &rig.current().join(&victim));
        let reached = rig.phone.restores().len();
        let error = fails(&rig, &rig.current(), &how());
        assert_eq!(error.kind(), FailureKind::Failed, "{name}: {error}");
        assert_eq!(
            rig.phone.restores().len(),
            reached,
            "{name}: it reached the phone"
        );
        let forced = Options {
            force: true,
            ..how()
        };
        if tolerated {
            assert!(error.hint().unwrap().contains("--force"), "{name}");
            let report = restores(&rig, &rig.current(), &forced);
            assert!(
                report.problems[0].contains("altered"),
                "{:?}",
                report.problems
            );
            let named = report.problems[0].matches(" is altered").count();
            assert_eq!(
                named,
                if name == "two altered" { 2 } else { 1 },
                "{report:?}"
            );
        } else {
            fails(&rig, &rig.current(), &forced);
            assert_eq!(rig.phone.restores().len(), reached, "{name}");
        }
    }
}

fn flip(_: &Path, file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Alters the file, and another one that is neither a list nor a property list.
fn flip_two(backup: &Path, file: &Path) {
    flip(backup, file);
    let parts = fs::read_dir(backup)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files = parts.filter(|part| part.is_dir()).flat_map(|part| {
        fs::read_dir(part)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    });
    let is_other = |other: &PathBuf| {
        let head = fs::read(other).unwrap();
        // Skip property lists and databases: altering those would make them corrupt.
        other != file
            && head.len() > 64
            && !head.starts_with(b"bplist")
            && !head.starts_with(b"SQLite")
            && !head.starts_with(b"<")
    };
    flip(backup, &files.find(is_other).unwrap());
}

/// Alters a system file, for which the phone's list holds a digest.
fn flip_digested(backup: &Path, _: &Path) {
    let list = rusqlite::Connection::open(backup.join("Manifest.db")).unwrap();
    let id: String = list
        .query_row(
            "SELECT fileID FROM Files WHERE relativePath = 'Library/SpringBoard/IconState.bin'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    flip(backup, &backup.join(&id[..2]).join(id));
}

fn lengthen(_: &Path, file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, [bytes, b"more".to_vec()].concat()).unwrap();
}

/// Exchanges the file with a smaller one, so that each has the other's bytes.
fn swap(backup: &Path, file: &Path) {
    let other = backup.join(file.parent().unwrap().parent().unwrap());
    let length = fs::metadata(file).unwrap().len();
    let other = walkdir::WalkDir::new(other)
        .min_depth(2)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .find(|other| (100..length).contains(&fs::metadata(other).unwrap().len()))
        .unwrap();
    let (mine, theirs) = (fs::read(file).unwrap(), fs::read(&other).unwrap());
    fs::write(file, theirs).unwrap();
    fs::write(other, mine).unwrap();
}

/// Makes the list name a file by an id that does not belong to its path. Without our hashes, only
/// the id reveals this.
fn misname(backup: &Path) {
    let list = rusqlite::Connection::open(backup.join("Manifest.db")).unwrap();
    let renamed = list.execute(
        "UPDATE Files SET relativePath = 'Library/SpringBoard/Other.bin' WHERE relativePath = 'Library/SpringBoard/IconState.bin'",
        [],
    );
    assert_eq!(renamed.unwrap(), 1);
}

/// Checks that the restore is refused, even with `--force`, if a file's id does not match its path
/// or a file has no key.
#[test]
fn misnamed_or_keyless_files_are_refused() {
    // Outside of a store, so without our hashes.
    let rig = backed_up(plain());
    let alone = rig.dir.path().join("alone");
    copy_dir(&rig.current(), &alone);
    misname(&alone);
    // The phone leaves out the key of one file; its backup is complete in every other way.
    let keyless = Rig::with(encrypting());
    keyless.phone.suffer(&faults(&["keyless-file"]));
    keyless.try_create(&rig::options(), &Silent).unwrap();
    keyless.phone.suffer(&[]);
    for force in [false, true] {
        let options = Options { force, ..how() };
        let error = fails(&rig, &alone, &options);
        assert!(error.to_string().contains("not the SHA-1"), "{error}");
        let options = Options {
            password: known(PASSWORD),
            ..options
        };
        let error = fails(&keyless, &keyless.current(), &options);
        assert!(error.to_string().contains("key"), "{error}");
    }
    assert!(rig.phone.restores().is_empty() && keyless.phone.restores().is_empty());
}

/// Alters the application id in the database header of the list.
fn flip_list(backup: &Path, _: &Path) {
    let list = backup.join("Manifest.db");
    let mut bytes = fs::read(&list).unwrap();
    bytes[71] ^= 1;
    fs::write(list, bytes).unwrap();
}

fn unfinish(backup: &Path, _: &Path) {
    let status = backup.join("Status.plist");
    let mut fields: plist::Dictionary = plist::from_file(&status).unwrap();
    fields.insert("SnapshotState".into(), "uploading".into());
    plist::to_file_binary(&status, &fields).unwrap();
}

#[test]
fn cancellation_reports_phone_state() {
    let rig = backed_up(plain());
    let before = sealed(&rig);
    for (phase, left) in [
        (Phase::Checking, None),
        (Phase::Preparing, Some(Left::AsItWas)),
        (Phase::Sending, None),
    ] {
        let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
        let connector = rig.connector_with(token.clone());
        let stop = At(phase, || token.cancel());
        let ended = restores_on(&rig, &connector, &rig.current(), &quick(), &stop);
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Interrupted, "{phase:?}: {error}");
        if let (Some(left), Error::Dialog { left: told, .. }) = (left, &error) {
            assert_eq!(*told, left, "{phase:?}");
        }
        if phase == Phase::Sending {
            // The phone has some files, but no confirmation that they are complete. A restart
            // returns it to its previous state.
            let Error::Dialog { left, .. } = &error else {
                panic!("{error}");
            };
            assert!(matches!(left, Left::Partly { .. }), "{left:?}");
            assert!(
                rig.phone.applications().is_none(),
                "the list of applications stayed on the phone"
            );
            rig.phone.restart();
        }
    }
    assert_same(&before, &sealed(&rig), "after a cancel");
    restores(&rig, &rig.current(), &quick());
}

/// Checks that a cancelled dry run and a cancelled comparison return an error instead of a report.
#[test]
fn cancellation_ends_checks_without_verdict() {
    let rig = backed_up(plain());
    restores(&rig, &rig.current(), &quick());
    let token = CancelToken::new(Arc::default());
    let connector = rig.connector_with(token.clone());
    let stop = At(Phase::Checking, || token.cancel());
    let phone = Ok(attached(&rig));
    let looked = restore::dry_run(&connector, phone, &rig.current(), &how(), &stop);
    assert_eq!(looked.unwrap_err().kind(), FailureKind::Interrupted);

    let how = How {
        passwords: &NoPasswords,
        domains: None,
        token: &token,
    };
    let rows = received(&rig.phone.ledger().unwrap());
    let compared = compare(&rig.current(), &how, rows, &Silent);
    assert_eq!(compared.unwrap_err().kind(), FailureKind::Interrupted);
}

/// Checks that a restore waits until the passcode is entered, and fails with code 208 if it never
/// is.
#[test]
fn restore_waits_for_passcode() {
    let mut rig = backed_up(plain());
    for (passcode, code) in [
        (Passcode::After(Duration::from_millis(50)), Some(0)),
        (Passcode::Never, Some(208)),
    ] {
        let phone = Phone::new(PhoneConfig {
            passcode,
            passcode_limit: Duration::from_millis(300),
            ..plain()
        });
        rig.connect(phone.clone());
        let ended = try_restore(&rig, &rig.current(), &quick(), &Silent);
        assert_eq!(last(&phone).code, code);
        match ended {
            Ok(_) => assert_eq!(code, Some(0)),
            Err(e) => assert_eq!((e.kind(), code), (FailureKind::Locked, Some(208)), "{e}"),
        }
    }
}

/// Checks that a dry run lists everything that would block the restore, and starts neither a
/// restore nor a trust dialog.
#[test]
fn dry_run_reports_obstacles() {
    let mut rig = backed_up(plain());
    let connector = rig.connector();
    let level = |rig: &Rig, topic: &str| {
        let phone = rig.connector().phone(Some(UDID)).map_err(Error::from);
        let report = restore::dry_run(&rig.connector(), phone, &rig.current(), &how(), &Silent);
        let report = report.unwrap();
        let line = report.lines.iter().find(|line| line.topic == topic);
        (report.level, line.map(|line| line.level))
    };
    // The backup is not encrypted, so this is a warning.
    assert_eq!(level(&rig, "check"), (Level::Warning, Some(Level::Ok)));
    assert_eq!(level(&rig, "find_my"), (Level::Warning, Some(Level::Ok)));
    assert!(rig.phone.restores().is_empty());
    let phone = Phone::new(PhoneConfig {
        find_my: true,
        free_bytes: Some(5),
        ..plain()
    });
    rig.connect(phone.clone());
    // The phone does not know this computer yet, and a dry run does not ask for trust.
    assert_eq!(level(&rig, "phone"), (Level::Problem, Some(Level::Problem)));
    idev_backup::device::trust::pair(
        &connector,
        &attached(&rig),
        Duration::from_secs(10),
        &Silent,
    )
    .unwrap();
    for topic in ["find_my", "phone_room"] {
        assert_eq!(
            level(&rig, topic),
            (Level::Problem, Some(Level::Problem)),
            "{topic}"
        );
    }
    flip(&rig.current(), &rig.current().join(victim(&rig)));
    assert_eq!(level(&rig, "check"), (Level::Problem, Some(Level::Problem)));
    assert!(phone.restores().is_empty());
}

/// Checks that a partial restore requires `--partial-at-my-own-risk`. It is always refused on iOS
/// 27 or later, from an encrypted backup, and together with `--remove-others`.
#[test]
fn partial_restore_requires_accepted_risk() {
    let part = |only: &str| Options {
        only: vec![only.to_owned()],
        partial_at_own_risk: true,
        ..staying()
    };
    let rig = backed_up(plain());
    let before = sealed(&rig);
    restores(&rig, &rig.current(), &part("HomeDomain"));
    let rows = received(&rig.phone.ledger().unwrap());
    assert!(!rows.is_empty() && rows.iter().all(|row| row.domain == "HomeDomain"));
    let all = compared(&rig.phone, &rig.current(), &NoPasswords);
    assert_eq!((all.extra, all.different), (0, 0), "{all:#?}");
    assert!(all.missing > 0 && all.files > 0);
    assert_same(&before, &sealed(&rig), "after a part");
    rig.phone.restart();

    let told = rig.phone.restores().len();
    let without_consent = Options {
        partial_at_own_risk: false,
        ..part("HomeDomain")
    };
    let all_else = Options {
        remove_others: true,
        ..part("HomeDomain")
    };
    for (wanted, word) in [
        (without_consent, "at-my-own-risk"),
        (all_else, "remove-others"),
        (part("No*"), "ls"),
    ] {
        let error = fails(&rig, &rig.current(), &wanted);
        assert!(error.hint().unwrap().contains(word), "{error}");
    }
    assert_eq!(rig.phone.restores().len(), told);

    let mut rig = rig;
    let new = Phone::new(PhoneConfig {
        ios: "27.0".into(),
        ..plain()
    });
    rig.connect(new.clone());
    let error = fails(&rig, &rig.current(), &part("HomeDomain"));
    assert!(error.to_string().contains("iOS 27"), "{error}");
    assert!(new.restores().is_empty());

    let rig = backed_up(encrypting());
    let wanted = Options {
        password: known(PASSWORD),
        ..part("HomeDomain")
    };
    let error = fails(&rig, &rig.current(), &wanted);
    assert!(error.to_string().contains("encrypted"), "{error}");
    assert!(rig.phone.restores().is_empty());
}

#[test]
fn restore_locks_the_backup() {
    let rig = backed_up(plain());
    let busy = |result: Result<idev_backup::store::Lock, idev_backup::store::Error>| {
        matches!(result, Err(idev_backup::store::Error::Busy { .. }))
    };
    let tried = AtomicBool::new(false);
    let other = At(Phase::Sending, || {
        assert!(busy(rig.store.lock(rig.udid())));
        tried.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    try_restore(&rig, &rig.current(), &staying(), &other).unwrap();
    assert!(tried.into_inner());
    rig.phone.restart();
    let lock = rig.store.lock(rig.udid()).unwrap();
    let told = rig.phone.restores().len();
    let error = fails(&rig, &rig.current(), &staying());
    assert!(error.to_string().contains("another idev-backup"), "{error}");
    assert_eq!(rig.phone.restores().len(), told);
    drop(lock);
    restores(&rig, &rig.current(), &staying());
}

/// Checks that a trace contains the options of the restore, but no password, name or UDID.
#[test]
fn restore_trace_omits_secrets() {
    let rig = backed_up(encrypting());
    let file = rig.dir.path().join("trace.jsonl");
    let (code, said) = restore_by_program(
        &rig,
        &["latest", "--yes", "--trace", file.to_str().unwrap()],
    );
    assert_eq!(code, 0, "{said}");
    let trace = fs::read_to_string(&file).unwrap();
    assert!(trace.contains("RestoreDontCopyBackup") && trace.contains("RestoreShouldReboot"));
    for secret in [PASSWORD, "Mira", UDID] {
        assert!(
            !trace.contains(secret) && !said.contains(PASSWORD),
            "{secret}"
        );
    }
}

/// Runs the program as people do, without a terminal.
fn restore_by_program(rig: &Rig, args: &[&str]) -> (i32, String) {
    let mut command = program(rig);
    command.arg("restore").args(args);
    let ran = ended(command.env("IDEV_BACKUP_PASSWORD", PASSWORD));
    (ran.code, ran.all())
}

/// Checks that the program, without a terminal, refuses a restore without `--yes` and a partial
/// restore without `--partial-at-my-own-risk`.
#[test]
fn unattended_restore_requires_consent() {
    let rig = backed_up(plain());
    let (code, said) = restore_by_program(&rig, &["latest"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("--yes") && said.contains("Mira's iPhone"),
        "{said}"
    );
    let (code, said) = restore_by_program(&rig, &["latest", "--yes", "--only", "HomeDomain"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("--partial-at-my-own-risk") && said.contains("extract"),
        "{said}"
    );
    assert!(rig.phone.restores().is_empty());
    let (code, said) = restore_by_program(&rig, &["latest", "--yes", "--no-reboot"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("NOTHING OF IT APPEARS YET"), "{said}");
    assert_eq!(last(&rig.phone).code, Some(0));
}

/// Checks that a rehearsal does not contact the phone, compares every file, and fails if the backup
/// is damaged.
#[test]
fn rehearsal_needs_no_phone() {
    for config in [plain(), encrypting()] {
        let rig = backed_up(config);
        let before = sealed(&rig);
        let (code, said) = restore_by_program(&rig, &["latest", "--rehearse"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("REHEARSED"), "{said}");
        let (code, said) = restore_by_program(&rig, &["latest", "--rehearse", "--json"]);
        assert_eq!(code, 0, "{said}");
        let line = said
            .lines()
            .find(|l| l.contains("\"event\":\"rehearsed\""))
            .unwrap();
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let files = rig.phone.files().count() as u64;
        assert_eq!(json["compared"]["files"].as_u64(), Some(files));
        assert_eq!(json["compared"]["different"].as_u64(), Some(0));
        assert!(
            rig.phone.restores().is_empty(),
            "a rehearsal must not contact the real phone"
        );
        assert_same(&before, &sealed(&rig), "after a rehearsal");
        fs::remove_file(rig.current().join(victim(&rig))).unwrap();
        let (code, said) = restore_by_program(&rig, &["latest", "--rehearse"]);
        assert_eq!(code, 1, "{said}");
    }
}

/// Checks that a comparison counts missing, extra and different items.
#[test]
fn comparison_counts_every_difference() {
    let rig = backed_up(plain());
    restores(&rig, &rig.current(), &quick());
    let rows = received(&rig.phone.ledger().unwrap());
    let found = |rows: Vec<Received>| compared_with(&rig.current(), &NoPasswords, rows);
    assert!(found(rows.clone()).is_same());
    let counts = |c: &Comparison| (c.missing, c.extra, c.different);

    let mut fewer = rows.clone();
    fewer.remove(3);
    assert_eq!(counts(&found(fewer)), (1, 0, 0));
    let mut more = rows.clone();
    let mut one = rows[3].clone();
    one.file_id.push('0');
    more.insert(4, one);
    assert_eq!(counts(&found(more)), (0, 1, 0));
    assert_eq!(counts(&found(Vec::new())), (rows.len() as u64, 0, 0));
    let file = rows
        .iter()
        .position(|row| matches!(row.what, What::File { .. }));
    let folder = rows.iter().position(|row| row.what == What::Folder);
    let link = rows
        .iter()
        .position(|row| matches!(row.what, What::Link(_)));
    type Change = fn(&mut Received);
    let changes: [(usize, Change); 6] = [
        (file.unwrap(), |row| {
            if let What::File { sha256, .. } = &mut row.what {
                *sha256 = "0".repeat(64);
            }
        }),
        (file.unwrap(), |row| {
            if let What::File { size, .. } = &mut row.what {
                *size += 1;
            }
        }),
        (file.unwrap(), |row| row.mode ^= 1),
        (file.unwrap(), |row| row.relative_path.push('x')),
        (folder.unwrap(), |row| row.what = What::Link("x".into())),
        (link.unwrap(), |row| {
            row.what = What::Link("elsewhere".into())
        }),
    ];
    for (place, change) in changes {
        let mut rows = rows.clone();
        change(&mut rows[place]);
        assert_eq!(counts(&found(rows.clone())), (0, 0, 1), "{:?}", rows[place]);
    }
}
