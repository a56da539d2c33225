//! Plays recorded traffic (every scene of fixtures/traffic) to our program. Its answers must mean
//! the same as those of the recorded client, and it must end as a user would expect.
//! fixtures/README.md states where each scene comes from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::Silent;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::device::trust;
use idev_backup::simulator::{
    Daemon, Departure, Password, Phone, PhoneConfig, Replay, Wifi, WifiConfig,
};
use idev_backup::trace::Trace;
use idev_backup::trace::line::Event;
use idev_backup::transport::Usbmuxd;
use idev_backup::transport::usbmuxd::Address;

use crate::rig;

const BACKUP: &str = "com.apple.mobilebackup2";
const CREATE: &[&str] = &["create", "--new-store"];
const FULL: &[&str] = &["create", "--full", "--new-store"];
const ENCRYPT: &[&str] = &["encryption", "on"];
const CHANGE: &[&str] = &["encryption", "change"];
const PAIR: &[&str] = &["pair", "--trust-wait", "20s"];

/// A recorded scene, and the expected outcome for our program.
struct Scene {
    name: &'static str,
    /// The scene to play first, into the same store.
    after: Option<&'static str>,
    /// The scene is played over Wi-Fi, else by cable.
    over_wifi: bool,
    /// The program's arguments, without the store.
    command: &'static [&'static str],
    exit: i32,
    /// Part of the expected output.
    says: &'static str,
    /// The number of bytes that the recorded phone asks to have freed. The space that the backup
    /// needs is this number plus the free space on this computer, less the 2 GiB that a phone
    /// requests beyond its need.
    asked: Option<u64>,
    /// Accepted differences from the recorded client: parts of the messages that describe them.
    departs: &'static [&'static str],
}

const fn scene(name: &'static str, exit: i32, says: &'static str) -> Scene {
    Scene {
        name,
        after: None,
        over_wifi: false,
        command: CREATE,
        exit,
        says,
        asked: None,
        departs: &[],
    }
}

/// Returns the size in bytes that follows `words`, and its maximum rounding error.
fn size_after(printed: &str, words: &str) -> Option<(f64, f64)> {
    let mut told = printed.split_once(words)?.1.split_whitespace();
    let number: f64 = told.next()?.parse().ok()?;
    let unit = match told.next()?.trim_end_matches(',') {
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        _ => return None,
    };
    Some((number * unit, 0.0501 * unit))
}

/// Returns true if the printed need follows from the bytes that the phone asked for and the free
/// space that the computer reported.
fn is_need_right(printed: &str, asked: u64) -> bool {
    let need = size_after(printed, "the backup needs ");
    let free = size_after(printed, "/store has ").or_else(|| size_after(printed, "\\store has "));
    let (Some((need, need_off)), Some((free, free_off))) = (need, free) else {
        return false;
    };
    (asked as f64 + free - 2f64.powi(31) - need).abs() <= need_off + free_off
}

/// idevicebackup2 also sends the source of a backup; no phone asks for it.
const LIMD: &[&str] = &["SourceIdentifier was recorded"];
/// pymobiledevice3 writes a Status.plist and a Manifest.plist of its own where these are missing,
/// and sends them to the phone.
const PMD3: &[&str] = &[
    "Status.plist ended with Whole, and now with Failed",
    "Manifest.plist ended with Whole, and now with Failed",
    "status: 0 was recorded, -13 came",
    "Manifest.plist came, and was not recorded",
    "Manifest.plist was recorded, and did not come",
];
const DONE: &str = "";

#[rustfmt::skip]
const SCENES: &[Scene] = &[
    Scene { command: PAIR, ..scene("18.6.2-pair", 0, "is now paired with this computer") },
    Scene { command: PAIR, ..scene("18.6.2-trust-refused", 5, "\"Don't Trust\" was tapped") },
    scene("18.6.2-full-backup", 0, DONE),
    Scene { after: Some("18.6.2-full-backup"), ..scene("18.6.2-changes-only", 0, DONE) },
    scene("18.6.2-encrypted", 0, "The backup is encrypted"),
    Scene { command: ENCRYPT, ..scene("18.6.2-encryption-on", 0, "encrypts its backups from now on") },
    Scene { command: CHANGE, ..scene("18.6.2-password-changed", 0, "has a new backup password") },
    Scene { command: CHANGE, ..scene("18.6.2-password-wrong", 6, "the backup password is wrong") },
    scene("18.6.2-passcode-entered", 0, "Enter the passcode"),
    scene("18.6.2-passcode-not-entered", 5, "the passcode was not entered"),
    Scene { asked: Some(899_942_072_164_352), ..scene("18.6.2-no-space", 7, "the backup needs") },
    scene("18.6.2-device-file-error", 1, "MBErrorDomain/104"),
    scene("18.6.2-cable-cut", 8, "the connection to the phone was lost while it sent files"),
    scene("18.6.2-trust-removed", 0, DONE),
    scene("13.7-devicelink-300", 0, DONE),
    Scene { over_wifi: true, ..scene("18.6.2-wifi-full-backup", 0, DONE) },

    // idevicebackup2 opens a new connection for each pairing attempt, and no session afterwards.
    Scene { command: PAIR, departs: &["Pair came out of turn", "StartSession has no recorded answer", "DeviceName has no recorded answer"],
            ..scene("18.6.2-pair.idevicebackup2", 0, DONE) },
    Scene { command: PAIR, departs: &["Pair came out of turn"], ..scene("18.6.2-trust-refused.idevicebackup2", 5, "Don't Trust") },
    Scene { departs: LIMD, ..scene("18.6.2-full-backup.idevicebackup2", 0, DONE) },
    Scene { departs: LIMD, after: Some("18.6.2-full-backup.idevicebackup2"), ..scene("18.6.2-changes-only.idevicebackup2", 0, DONE) },
    Scene { departs: LIMD, ..scene("18.6.2-encrypted.idevicebackup2", 0, DONE) },
    // Only the dialog is replayed. The simulated phone answers lockdown's WillEncrypt, and it has
    // no password set.
    Scene { command: ENCRYPT, ..scene("18.6.2-encryption-on.idevicebackup2", 3, "confirmed the change, but reports") },
    Scene { command: CHANGE, ..scene("18.6.2-password-changed.idevicebackup2", 0, DONE) },
    Scene { command: CHANGE, ..scene("18.6.2-password-wrong.idevicebackup2", 6, "the backup password is wrong") },
    Scene { departs: LIMD, ..scene("18.6.2-passcode-entered.idevicebackup2", 0, DONE) },
    Scene { departs: LIMD, ..scene("18.6.2-passcode-not-entered.idevicebackup2", 5, "the passcode was not entered") },
    // idevicebackup2 leaves the request to purge unanswered, and hangs until it is killed.
    Scene { departs: &["SourceIdentifier was recorded", "DLMessageStatusResponse came after the end"],
            ..scene("18.6.2-no-space.idevicebackup2", 8, "lost while it asked for disk space") },
    Scene { departs: LIMD, ..scene("18.6.2-device-file-error.idevicebackup2", 1, "MBErrorDomain/104") },
    Scene { departs: LIMD, ..scene("18.6.2-cable-cut.idevicebackup2", 8, "lost while it sent files") },
    // idevicebackup2 does not pair again. Our program asks the phone to, and the recording has no
    // answer for that.
    Scene { departs: &["lockdown"], ..scene("18.6.2-trust-removed.idevicebackup2", 5, "the phone has forgotten this computer") },
    // idevicebackup2 answers the phone's 300 with its own 400.
    Scene { departs: &["SourceIdentifier was recorded", "400 was recorded, 300 came"], ..scene("13.7-devicelink-300.idevicebackup2", 0, DONE) },

    Scene { command: PAIR, departs: &["lockdown"], ..scene("18.6.2-pair.pymobiledevice3", 0, DONE) },
    Scene { command: PAIR, departs: &["lockdown"], ..scene("18.6.2-trust-refused.pymobiledevice3", 5, "Don't Trust") },
    Scene { departs: PMD3, ..scene("18.6.2-full-backup.pymobiledevice3", 0, DONE) },
    Scene { after: Some("18.6.2-full-backup.pymobiledevice3"), ..scene("18.6.2-changes-only.pymobiledevice3", 0, DONE) },
    Scene { departs: PMD3, ..scene("18.6.2-encrypted.pymobiledevice3", 0, DONE) },
    Scene { command: ENCRYPT, ..scene("18.6.2-encryption-on.pymobiledevice3", 3, "confirmed the change, but reports") },
    Scene { command: CHANGE, ..scene("18.6.2-password-changed.pymobiledevice3", 0, DONE) },
    Scene { command: CHANGE, ..scene("18.6.2-password-wrong.pymobiledevice3", 6, "the backup password is wrong") },
    Scene { departs: PMD3, ..scene("18.6.2-passcode-entered.pymobiledevice3", 0, DONE) },
    scene("18.6.2-passcode-not-entered.pymobiledevice3", 5, "the passcode was not entered"),
    Scene { departs: PMD3, asked: Some(899_942_068_740_096), ..scene("18.6.2-no-space.pymobiledevice3", 7, "the backup needs") },
    Scene { departs: PMD3, ..scene("18.6.2-device-file-error.pymobiledevice3", 1, "MBErrorDomain/104") },
    Scene { departs: PMD3, ..scene("18.6.2-cable-cut.pymobiledevice3", 8, "lost while it sent files") },
    Scene { departs: PMD3, ..scene("18.6.2-trust-removed.pymobiledevice3", 0, DONE) },
    Scene { departs: PMD3, ..scene("13.7-devicelink-300.pymobiledevice3", 0, DONE) },
    Scene { over_wifi: true, departs: PMD3, ..scene("18.6.2-wifi-full-backup.pymobiledevice3", 0, DONE) },

    Scene { command: FULL, ..scene("16.1-passcode-not-entered.limd-1380", 5, "the passcode was not entered") },
    scene("15.6-nothing-to-purge.limd-1071", 7, "the backup needs"),
    scene("26.6-absurd-estimate.pmd3-1879", 7, "exceeds its own capacity"),
    scene("16-status-missing.limd-1412", 8, "the connection to the phone was lost"),
    scene("8-first-backup-order.limd-180", 8, "lost while it sent files"),
    scene("8.1.2-version-300.limd-248", 8, "the connection to the phone was lost"),
    scene("8.2-setup-not-finished.limd-187", 1, "Unable to backup until Setup is finished"),
    scene("6.1.2-keychain-locked.limd-12", 5, "Error copying keychain data"),
    scene("8.0.2-phone-locked.limd-125", 1, "hint: unlock the phone"),
    // The simulated phone answers the other requests.
    Scene { departs: &["has no recorded answer", "StartService com.apple.mobilebackup2 came in other words", "came out of turn"],
            ..scene("18.7.2-service-locked.pmd3-1562", 5, "the phone is locked") },
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traffic")
}

/// The outcome of playing a scene.
struct Played {
    exit: i32,
    printed: String,
    departures: Vec<Departure>,
    unplayed: Vec<String>,
}

/// Reads a scene's trace. Of other programs' traces, keeps only the backup service: their requests
/// to lockdown and to the small services differ from ours.
fn trace(name: &str) -> Trace {
    let text = fs::read_to_string(folder().join(name).join("trace.jsonl")).unwrap();
    let mut trace = Trace::parse(&text).unwrap();
    let is_backup = |event: &Event| matches!(event, Event::Open { name, .. } if name == BACKUP);
    let backups: Vec<u32> = trace
        .lines
        .iter()
        .filter(|line| is_backup(&line.event))
        .map(|line| line.channel)
        .collect();
    if trace.head.at != "computer" && !backups.is_empty() {
        trace.lines.retain(|line| backups.contains(&line.channel));
    }
    trace
}

/// Returns a command of the program, with its files in `dir`.
fn program(dir: &Path, daemon: &str) -> Command {
    let home = dir.join("home");
    let mut command = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
    command
        .env("IDEV_BACKUP_STORE", dir.join("store"))
        .env("USBMUXD_SOCKET_ADDRESS", daemon)
        .envs(["HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"].map(|name| (name, &home)))
        .stdin(Stdio::null());
    command
}

fn play(scene: &Scene, dir: &Path) -> Played {
    let replay = Replay::new(&trace(scene.name)).unwrap();
    let base = PhoneConfig::default();
    let phone = Phone::new(PhoneConfig {
        udid: replay.udid().cloned().unwrap_or(base.udid.clone()),
        plain: replay.is_plain(),
        // Supplies lockdown's answer where another client's recording leaves it to the simulated
        // phone.
        backup_password: (scene.name.contains("-encrypted") || scene.command == CHANGE)
            .then(|| Password::new("simulated")),
        ..base
    });
    let daemon = Daemon::start("127.0.0.1:0", vec![phone.clone()]).unwrap();
    let wifi = scene.over_wifi.then(|| {
        let on = WifiConfig {
            on: true,
            ..WifiConfig::default()
        };
        Wifi::join(&phone, on).unwrap()
    });
    if scene.over_wifi {
        // This program must have the pair record itself.
        let args = ["pair", "--with-wifi", "--quiet"];
        let done = program(dir, daemon.address()).args(args).status().unwrap();
        assert!(done.success(), "{}", scene.name);
    } else if replay.begins_paired() {
        let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
        let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
        let connector = Connector::new(usbmuxd, dir.join("pairing"), Pin::PairRecord, token);
        let attached = connector.phone(None).unwrap();
        trust::pair(&connector, &attached, Duration::from_secs(10), &Silent).unwrap();
    }
    phone.play(replay.clone());
    let passwords = match scene.command.first() {
        Some(&"encryption") => &["IDEV_BACKUP_PASSWORD", "IDEV_BACKUP_NEW_PASSWORD"][..],
        _ => &[],
    };
    let passwords = passwords.iter().map(|name| (name, "simulated"));
    let mut command = program(dir, daemon.address());
    command.args(scene.command);
    if let Some(wifi) = &wifi {
        let address = wifi.addresses()[0].to_string();
        command.args(["--transport", "network", "--address", &address]);
    }
    let done = command
        .envs(passwords)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let done = done.wait_with_output().unwrap();
    let printed = [done.stdout, done.stderr].concat();
    Played {
        exit: done.status.code().unwrap(),
        printed: String::from_utf8(printed).unwrap(),
        departures: replay.departures(),
        unplayed: replay.unplayed(),
    }
}

/// Plays a scene, after the scene that it builds on, and returns the faults found.
fn faults(scene: &Scene) -> Vec<String> {
    let dir = rig::room();
    if let Some(before) = scene.after {
        let before = SCENES.iter().find(|scene| scene.name == before).unwrap();
        assert_eq!(
            play(before, dir.path()).exit,
            before.exit,
            "{}",
            before.name
        );
    }
    let played = play(scene, dir.path());
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{}: {what}", scene.name));
    if played.exit != scene.exit {
        fault(format!(
            "exit code {}, expected {}: {}",
            played.exit, scene.exit, played.printed
        ));
    }
    if !played.printed.contains(scene.says) {
        fault(format!("does not say {:?}: {}", scene.says, played.printed));
    }
    if let Some(asked) = scene.asked
        && !is_need_right(&played.printed, asked)
    {
        fault(format!("prints a wrong need: {}", played.printed));
    }
    let told: Vec<String> = played.departures.iter().map(Departure::to_string).collect();
    for departure in &told {
        if !scene.departs.iter().any(|known| departure.contains(known)) {
            fault(format!("departs: {departure}"));
        }
    }
    for known in scene.departs {
        if !told.iter().any(|departure| departure.contains(known)) {
            fault(format!("no longer departs: {known}"));
        }
    }
    if scene.departs.is_empty() && !played.unplayed.is_empty() {
        fault(format!("leaves out {:?}", played.unplayed));
    }
    faults
}

/// Checks in every scene that the program does what the recorded client did, except for the
/// departures that the scene lists.
#[test]
fn replay_matches_recorded_client() {
    // Under an emulator a scene takes many seconds. Scenes of other programs test the dialog, which
    // is the same on every processor, so they are skipped there.
    let here = |scene: &&Scene| {
        rig::cut_every() == 1 || !scene.name.contains(".idev") && !scene.name.contains(".pymo")
    };
    let next = Mutex::new(SCENES.iter().filter(here));
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(scene) = next.lock().unwrap().next() else {
                        break;
                    };
                    faults.lock().unwrap().extend(self::faults(scene));
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_recorded_scene_is_played() {
    let played: BTreeSet<String> = SCENES.iter().map(|scene| scene.name.to_owned()).collect();
    let recorded: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(recorded, played);
}
