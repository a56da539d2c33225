//! Plants a set of secrets and identities and searches traces for them in every form in which they
//! could leak. Also checks that a trace holds whole messages, equally from both ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use idev_backup::base::bounded_plist;
use idev_backup::device::connector;
use idev_backup::simulator::PhoneConfig;
use idev_backup::trace::line::{Dir, Event, Message};
use idev_backup::trace::{At, Recorder, Trace};
use idev_backup::transport::plist_stream::{self, Encoding};
use plist::{Dictionary, Value};

use crate::rig::{self, Rig, config};

/// A sink that can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Returns the forms in which a trace could show these bytes. Long values are cut into pieces,
/// because any piece would be a leak.
fn forms(bytes: &[u8]) -> Vec<String> {
    let mut forms = vec![BASE64_STANDARD.encode(bytes)];
    for piece in bytes.chunks(24).filter(|piece| piece.len() > 4) {
        let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.extend([hex.to_uppercase(), hex]);
        forms.extend(String::from_utf8(piece.to_vec()));
        forms.push(BASE64_STANDARD.encode(piece));
    }
    forms
}

fn assert_absent(trace: &str, secrets: &[Vec<u8>]) {
    assert!(secrets.len() > 5);
    for secret in secrets {
        for form in forms(secret) {
            let line = trace.lines().find(|line| line.contains(&form));
            assert!(line.is_none(), "{form:?} is in {}", line.unwrap());
        }
    }
}

/// Collects every value in a property list that could identify a person: all data, and all texts
/// except those that are `harmless`.
fn secrets_of(value: &Value, harmless: &[&str], found: &mut Vec<Vec<u8>>) {
    match value {
        Value::Data(bytes) => found.push(bytes.clone()),
        Value::String(text) if text.len() > 4 => found.push(text.as_bytes().to_vec()),
        Value::Array(items) => items
            .iter()
            .for_each(|item| secrets_of(item, harmless, found)),
        Value::Dictionary(fields) => {
            for (_, value) in fields
                .iter()
                .filter(|(key, _)| !harmless.contains(&key.as_str()))
            {
                match value.as_unsigned_integer() {
                    Some(number) if number > 10_000_000 => found.push(number.to_string().into()),
                    _ => secrets_of(value, harmless, found),
                }
            }
        }
        _ => {}
    }
}

/// Returns the secrets of this rig's pairing that a trace must not contain.
fn planted(rig: &Rig) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    let connector = rig.connector();
    let record = connector
        .daemon
        .daemon()
        .unwrap()
        .pair_record(rig.udid())
        .unwrap()
        .unwrap();
    let record = bounded_plist::parse(record.expose()).unwrap();
    secrets_of(&record, &[], &mut secrets);
    let mut session = connector.session(&rig.attached()).unwrap();
    let values = connector::values(session.lockdown(), None).unwrap();
    // Values that Apple assigned, and that identify neither a phone nor a person.
    let harmless = [
        "ActivationState",
        "BuildVersion",
        "CPUArchitecture",
        "DeviceClass",
        "HardwareModel",
        "HardwarePlatform",
        "HumanReadableProductVersionString",
        "MobileDeviceMinimumVersion",
        "ProductName",
        "ProductType",
        "ProductVersion",
        "ProtocolVersion",
    ];
    secrets_of(&Value::Dictionary(values), &harmless, &mut secrets);
    for file in rig.phone.files() {
        let name = file.path.rsplit('/').next().unwrap();
        if name.len() > 6 {
            secrets.push(name.as_bytes().to_vec());
        }
    }
    secrets.push(b"net.whatsapp.WhatsApp".to_vec());
    secrets.push(rig.udid().as_str().replace('-', "").into());
    secrets
}

fn zaphods() -> Rig {
    Rig::with(PhoneConfig {
        name: "Zaphod Beeblebrox".to_owned(),
        ..config()
    })
}

/// Checks that traces of a backup, recorded by the program and by the phone, contain no secret and
/// no identity, and that both contain the same messages.
#[test]
fn backup_trace_leaks_no_secrets() {
    let rig = zaphods();
    let at_the_phone = Shared::default();
    let recorder = Recorder::new(
        Box::new(at_the_phone.clone()),
        At::Phone,
        false,
        String::new(),
    );
    rig.daemon.record(recorder.unwrap());
    let file = rig.dir.path().join("trace.jsonl");
    let home = rig.dir.path().join("home");
    let done = Command::new(env!("CARGO_BIN_EXE_idev-backup"))
        .args(["create", "--new-store", "--quiet", "--store"])
        .arg(rig.store.root())
        .arg("--trace")
        .arg(&file)
        .env("USBMUXD_SOCKET_ADDRESS", rig.daemon.address())
        .env("HOME", &home)
        .env("XDG_CONFIG_HOME", &home)
        .env("LOCALAPPDATA", &home)
        .env("APPDATA", &home)
        .status()
        .unwrap();
    assert_eq!(done.code(), Some(0));
    let (ours, theirs) = (fs::read_to_string(&file).unwrap(), at_the_phone.text());
    let secrets = planted(&rig);
    for trace in [&ours, &theirs] {
        assert_absent(trace, &secrets);
        assert!(trace.contains("device-name-1"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    // Both ends must have seen the same messages of the backup, in the same order. Disconnects are
    // left out, because both ends may send one at the same time.
    let messages = |text: &str| {
        let trace = Trace::parse(text).unwrap();
        let is_backup = |event: &Event| match event {
            Event::Open { name, .. } => name == "com.apple.mobilebackup2",
            _ => false,
        };
        let backup = trace
            .lines
            .iter()
            .find(|line| is_backup(&line.event))
            .unwrap()
            .channel;
        let all = trace
            .lines
            .into_iter()
            .filter(|line| line.channel == backup);
        all.filter_map(|line| match line.event {
            Event::Message(_, Message::Plist(value)) if value[0] == "DLMessageDisconnect" => None,
            Event::Message(dir, Message::Plist(value)) => Some((dir, value[0].clone())),
            Event::Message(dir, Message::File { size, sha256, .. }) => {
                Some((dir, format!("{size} {sha256}").into()))
            }
            _ => None,
        })
        .collect::<Vec<(Dir, serde_json::Value)>>()
    };
    let (ours, theirs) = (messages(&ours), messages(&theirs));
    assert!(ours.len() > 500, "{}", ours.len());
    let differs = ours
        .iter()
        .zip(&theirs)
        .position(|(one, other)| one != other);
    assert_eq!(
        differs,
        None,
        "{:?}",
        differs.map(|n| (&ours[n], &theirs[n]))
    );
    // The phone may have closed the connection before it received our last message.
    assert!(
        ours.len() - theirs.len() <= 1,
        "{} {}",
        ours.len(),
        theirs.len()
    );
}

fn dictionary(fields: &[(&str, Value)]) -> Value {
    let fields = fields.iter().cloned();
    Value::Dictionary(
        fields
            .map(|(k, v)| (k.to_owned(), v))
            .collect::<Dictionary>(),
    )
}

fn framed(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    plist_stream::write(&mut bytes, value, Encoding::Binary).unwrap();
    bytes
}

/// Checks that planted values do not reach the trace from any place of any kind of message.
#[test]
fn planted_values_are_always_redacted() {
    const PLANTED: [&str; 17] = [
        "hunter2-the-password",
        "C39ZQ1ABCD12",
        "353879234252633",
        "+44 7700 900123",
        "a4:83:e7:12:34:56",
        "Zaphod Beeblebrox",
        "8944110068012345678",
        "2E3A5C9B-77F1-4E6D-9B0A-0123456789AB",
        "00008030-001C195E0A88802E",
        "zaphod@example.org",
        "net.example.secret-app",
        "Letter to Trillian.pdf",
        "1234567890123",
        "Magrathea",
        "Betelgeuse Five",
        "Europe/Zurich",
        "/Users/zaphod/Backups",
    ];
    let sink = Shared::default();
    let recorder =
        Recorder::new(Box::new(sink.clone()), At::Computer, false, String::new()).unwrap();
    let text = |n: usize| Value::from(PLANTED[n]);
    let nested = |n: usize| {
        Value::Array(vec![dictionary(&[
            ("Unheard", text(n)),
            (PLANTED[n], text(n)),
        ])])
    };

    // In the first round no value is known to be a name yet; in the second one they are known.
    for _ in 0..2 {
        for name in [
            "lockdown",
            "com.apple.mobile.notification_proxy",
            "com.example.other",
        ] {
            let tap = recorder.open(name, Some(PLANTED[8]));
            for (n, &planted) in PLANTED.iter().enumerate() {
                for key in [
                    "DeviceName",
                    "Value",
                    "Anything",
                    "PhoneNumber",
                    "Name",
                    "Password",
                    "ErrorString",
                ] {
                    tap.wrote(&framed(&dictionary(&[
                        ("Request", "SetValue".into()),
                        (key, text(n)),
                    ])));
                    tap.read(&framed(&dictionary(&[
                        ("Key", "DeviceName".into()),
                        (key, nested(n)),
                    ])));
                }
                tap.read(&framed(&dictionary(&[(
                    "Data",
                    Value::Data(planted.into()),
                )])));
                if let Ok(number) = planted.parse::<u64>() {
                    tap.read(&framed(&dictionary(&[(
                        "UniqueChipID",
                        Value::Integer(number.into()),
                    )])));
                }
            }
        }
        let tap = recorder.open("com.apple.mobilebackup2", None);
        let say = |parts: Vec<Value>| framed(&Value::Array(parts));
        for (n, &planted) in PLANTED.iter().enumerate() {
            let process = |fields: &[(&str, Value)]| {
                say(vec!["DLMessageProcessMessage".into(), dictionary(fields)])
            };
            tap.wrote(&process(&[
                ("MessageName", "ChangePassword".into()),
                ("OldPassword", text(n)),
                ("NewPassword", text(n)),
            ]));
            let words = format!(
                "Error at \"/var/{planted}\" of {}: '{planted}' (MBErrorDomain/1)",
                PLANTED[5]
            );
            tap.read(&process(&[
                ("MessageName", "Response".into()),
                ("ErrorDescription", words.as_str().into()),
            ]));
            tap.read(&say(vec![
                "DLMessageMoveItems".into(),
                dictionary(&[(planted, text(n))]),
                dictionary(&[]),
                1.0.into(),
            ]));
            tap.wrote(&say(vec![
                "DLMessageStatusResponse".into(),
                0.into(),
                format!("no '{planted}'").as_str().into(),
                nested(n),
            ]));
            tap.read(&say(vec![
                "DLMessageUploadFiles".into(),
                dictionary(&[]),
                1.0.into(),
                1.into(),
            ]));
            let mut file = Vec::new();
            for name in [planted, planted] {
                file.extend((name.len() as u32).to_be_bytes());
                file.extend(name.as_bytes());
            }
            let body = planted.as_bytes();
            file.extend((body.len() as u32 + 1).to_be_bytes());
            file.push(0x0c);
            file.extend(body);
            let error = format!("\"{planted}\"");
            file.extend((error.len() as u32 + 1).to_be_bytes());
            file.push(0x0b);
            file.extend(error.as_bytes());
            file.extend([0; 4]);
            tap.read(&file);
        }
        let tap = recorder.open("com.apple.afc", None);
        for (operation, words) in [(13u64, 1), (3, 0), (16, 1), (24, 0), (99, 0)] {
            for secret in PLANTED {
                let mut packet = b"CFA6LPAA".to_vec();
                let length = 40 + words * 8 + secret.len() as u64 + 1;
                packet.extend(
                    [length, length, 1, operation]
                        .iter()
                        .flat_map(|n| n.to_le_bytes()),
                );
                packet.extend(vec![0; words as usize * 8]);
                packet.extend(secret.as_bytes());
                packet.push(0);
                tap.wrote(&packet);
            }
        }
    }
    let secrets: Vec<Vec<u8>> = PLANTED
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let trace = sink.text();
    assert!(Trace::parse(&trace).unwrap().lines.len() > 1000);
    assert_absent(&trace, &secrets);
}

#[test]
fn trace_never_overwrites_files() {
    let rig = Rig::new();
    let precious = rig.dir.path().join("precious.jpg");
    fs::write(&precious, "pixels").unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_idev-backup"))
        .args(["devices", "--trace"])
        .arg(&precious)
        .env("USBMUXD_SOCKET_ADDRESS", rig.daemon.address())
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        String::from_utf8(done.stderr)
            .unwrap()
            .contains("is not replaced")
    );
    assert_eq!(fs::read(&precious).unwrap(), b"pixels");
}

/// Checks that a full disk under the trace is reported when the trace ends, and that the backup
/// succeeds.
#[test]
fn full_trace_disk_spares_backup() {
    struct Full(u32);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                // Accepts the head, which arrives in several pieces, and some lines.
                0..40 => Ok(bytes.len()),
                _ => Err(std::io::ErrorKind::StorageFull.into()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let rig = Rig::new();
    let recorder = Recorder::new(Box::new(Full(0)), At::Computer, false, String::new()).unwrap();
    let mut connector = rig.connector();
    connector.daemon = connector.daemon.recorded(recorder.clone());
    let options = rig::options();
    let made = idev_backup::backup::create::create(
        &connector,
        &rig.attached(),
        &rig.store,
        &options,
        &idev_backup::base::progress::Silent,
    );
    made.unwrap();
    assert!(recorder.finish().is_err());
}

fn fixture(name: &str) -> PathBuf {
    let traffic = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traffic");
    traffic.join(name).join("trace.jsonl")
}

/// Plays a scene with `trace replay` to `create`. Returns the exit codes of both, and the output of
/// the replay.
fn replayed(scene: &str, options: &[&str]) -> (i32, i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_idev-backup"))
        .args(["trace", "replay", "--idle", "1"])
        .arg(fixture(scene))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(replay.stdout.take().unwrap());
    let mut address = String::new();
    said.read_line(&mut address).unwrap();
    let address = address
        .trim()
        .strip_prefix("USBMUXD_SOCKET_ADDRESS=")
        .unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_idev-backup"))
        .args(["create", "--new-store", "--quiet"])
        .args(options)
        .env("IDEV_BACKUP_STORE", dir.path().join("store"))
        .env("USBMUXD_SOCKET_ADDRESS", address)
        .env("HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path())
        .env("LOCALAPPDATA", dir.path())
        .env("APPDATA", dir.path())
        .output()
        .unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let code = replay.wait().unwrap().code().unwrap();
    (code, made.status.code().unwrap(), rest)
}

/// Checks that `trace replay` reports whether the client did what was recorded, and that its exit
/// code agrees.
#[test]
fn replay_reports_client_departures() {
    let (replay, create, said) = replayed("18.6.2-full-backup", &[]);
    assert_eq!((replay, create), (0, 0), "{said}");
    assert!(said.contains("the client did what was recorded"), "{said}");
    let (replay, create, said) = replayed("18.6.2-full-backup", &["--no-apps"]);
    assert_eq!((replay, create), (3, 0), "{said}");
    assert!(
        said.contains("installation_proxy was recorded, but not opened"),
        "{said}"
    );
}

/// Checks that the user's hooks do not run for the replay of a trace.
#[test]
#[cfg(unix)]
fn replays_run_no_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let hook = format!("touch '{}'", ran.display());
    let options = [
        "--on-start",
        &hook,
        "--on-success",
        &hook,
        "--on-overdue",
        &hook,
        "--overdue-after",
        "1s",
    ];
    let (_, create, _) = replayed("18.6.2-full-backup", &options);
    assert_eq!(create, 0);
    assert!(!ran.exists());
}

/// Checks that a client that begins with another backup than the recorded one gets a summary of
/// its many departures.
#[test]
fn many_departures_are_summarised() {
    let (replay, _, said) = replayed("18.6.2-changes-only", &[]);
    assert_eq!(replay, 3, "{said}");
    let shown = said.lines().filter(|l| l.starts_with("departs: ")).count();
    let more = said
        .lines()
        .find(|line| line.starts_with("departs: ... and "));
    assert!(shown <= 21 && more.is_some(), "{said}");
    assert!(said.contains("copy of the store as it was then"), "{said}");
}

/// Checks that `trace show` prints one line for each message, and that a file that is not a trace
/// is an error with a hint.
#[test]
fn trace_show_prints_every_message() {
    let show = |path: &Path| {
        Command::new(env!("CARGO_BIN_EXE_idev-backup"))
            .args(["trace", "show"])
            .arg(path)
            .output()
            .unwrap()
    };
    let path = fixture("16.1-passcode-not-entered.limd-1380");
    let shown = String::from_utf8(show(&path).stdout).unwrap();
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!(shown.lines().count(), lines);
    assert!(
        shown.contains("mobilebackup2          < Response"),
        "{shown}"
    );
    assert!(
        shown.contains("Device locked (MBErrorDomain/208)"),
        "{shown}"
    );

    let none = show(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("Cargo.toml")
            .as_path(),
    );
    assert_eq!(none.status.code(), Some(1));
    let told = String::from_utf8(none.stderr).unwrap();
    assert!(
        told.contains("line 1: this is no trace") && told.contains("hint:"),
        "{told}"
    );
}
