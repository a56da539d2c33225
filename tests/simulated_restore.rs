//! Restores of the simulated phone, served by a small host in this file that keeps a backup in
//! memory and may misbehave.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idev_backup::backup_format::record::file_id;
use idev_backup::simulator::{
    Daemon, Fault, Passcode, Password, Phone, PhoneConfig, RestoreOutcome, Restored, RestoredKind,
};
use plist::{Dictionary, Value};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::rig::{self, OTHER_UDID, Rig, UDID, config};
use crate::support::{
    Computer, Stream, answer, device_ids, dict, greet, hear, process, receive_files, say,
};

type Change = fn(&mut PhoneConfig);
type Harm = fn(&mut Host);

const PASSWORD: &str = "correct horse 1";

fn encrypting() -> PhoneConfig {
    PhoneConfig {
        backup_password: Some(Password::new(PASSWORD)),
        ..config()
    }
}

/// A computer that serves a backup from memory.
#[derive(Clone, Default)]
struct Host {
    files: BTreeMap<String, Vec<u8>>,
    /// Names of the messages from the phone.
    messages: Vec<String>,
    /// Paths that the phone requested.
    asked: Vec<String>,
    /// Source and target of each copy that the phone requested.
    copied: Vec<(String, String)>,
    /// Disconnects instead of answering the message with this index.
    leave_at: Option<usize>,
    /// Number of data bytes in one frame.
    frame: usize,
    /// Reports that this file cannot be read.
    unreadable: Option<String>,
}

impl Host {
    fn of(backup: &Path) -> Host {
        let mut host = Host {
            frame: 32_768,
            ..Host::default()
        };
        for (name, entry) in rig::tree(backup) {
            if let Some(bytes) = entry {
                host.files.insert(format!("{UDID}/{name}"), bytes);
            }
        }
        assert!(host.files.len() > 5);
        host
    }

    fn edit(&mut self, name: &str, change: impl FnOnce(&mut Dictionary)) {
        let bytes = self.files.get_mut(&format!("{UDID}/{name}")).unwrap();
        let mut value: Value = plist::from_bytes(bytes).unwrap();
        change(value.as_dictionary_mut().unwrap());
        bytes.clear();
        value.to_writer_binary(bytes).unwrap();
    }

    /// Runs this SQL statement on the list of files.
    fn edit_list(&mut self, statement: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Manifest.db");
        let bytes = self.files.get_mut(&format!("{UDID}/Manifest.db")).unwrap();
        std::fs::write(&path, &*bytes).unwrap();
        let db = Connection::open(&path).unwrap();
        assert!(db.execute(statement, []).unwrap() > 0, "{statement}");
        drop(db);
        *bytes = std::fs::read(&path).unwrap();
    }

    fn payload(&mut self, nth: usize) -> (&String, &mut Vec<u8>) {
        let mut files = self.files.iter_mut();
        let is_payload = |name: &str| name.rsplit('/').next().unwrap().len() == 40;
        files
            .by_ref()
            .filter(|(n, b)| is_payload(n) && b.len() > 100)
            .nth(nth)
            .unwrap()
    }

    fn restore(
        &mut self,
        computer: &Computer,
        target: &str,
        options: Dictionary,
    ) -> io::Result<(u64, String)> {
        self.messages.clear();
        self.asked.clear();
        let mut stream = greet(computer)?;
        let request = dict([
            ("MessageName", "Restore".into()),
            ("TargetIdentifier", target.into()),
            ("SourceIdentifier", UDID.into()),
            ("Options", Value::Dictionary(options)),
        ]);
        process(&mut stream, request)?;
        loop {
            let message = hear(&mut stream)?;
            let name = message[0].as_string().unwrap().to_owned();
            if self.leave_at == Some(self.messages.len()) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.messages.push(name.clone());
            if name == "DLMessageProcessMessage" {
                let response = message[1].as_dictionary().unwrap();
                let text = response.get("ErrorDescription").and_then(Value::as_string);
                let code = response["ErrorCode"].as_unsigned_integer().unwrap();
                return Ok((code, text.unwrap_or_default().to_owned()));
            }
            self.obey(&mut stream, &name, &message)?;
        }
    }

    fn obey(&mut self, stream: &mut Stream, name: &str, message: &[Value]) -> io::Result<()> {
        let nothing = || Value::Dictionary(Dictionary::new());
        let text = |n: usize| message[n].as_string().unwrap().to_owned();
        let is_below =
            |path: &str, folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
        match name {
            "DLMessageDownloadFiles" => return self.send_files(stream, &message[1]),
            "DLContentsOfDirectory" => {
                let list = self.list(&text(1));
                return answer(stream, 0, "", Value::Dictionary(list));
            }
            "DLMessageGetFreeDiskSpace" => return answer(stream, 0, "", (1u64 << 40).into()),
            "DLMessageCreateDirectory" => {}
            "DLMessageCopyItem" => {
                let (from, to) = (text(1), text(2));
                let below = self.files.iter().filter(|(path, _)| is_below(path, &from));
                let copies: Vec<_> = below
                    .map(|(path, bytes)| (path.replacen(&from, &to, 1), bytes.clone()))
                    .collect();
                self.files.extend(copies);
                self.copied.push((from, to));
            }
            "DLMessageUploadFiles" => {
                let mut now = Vec::new();
                let files = &mut self.files;
                receive_files(stream, &mut Vec::new(), |path, data, _| match data {
                    Some(data) => now.extend(data),
                    None => {
                        files.insert(path.to_owned(), std::mem::take(&mut now));
                    }
                })?;
            }
            "DLMessageMoveItems" => {
                for (from, to) in message[1].as_dictionary().unwrap() {
                    let bytes = self.files.remove(from).unwrap();
                    self.files.insert(to.as_string().unwrap().to_owned(), bytes);
                }
            }
            "DLMessageRemoveItems" => {
                for path in message[1].as_array().unwrap() {
                    let path = path.as_string().unwrap();
                    self.files.retain(|name, _| !is_below(name, path));
                }
            }
            _ => return answer(stream, -1, "Operation not supported", nothing()),
        }
        answer(stream, 0, "", nothing())
    }

    fn send_files(&mut self, stream: &mut Stream, paths: &Value) -> io::Result<()> {
        let mut errors = Dictionary::new();
        let frame = |stream: &mut Stream, code: u8, data: &[u8]| {
            stream.write_all(&(data.len() as u32 + 1).to_be_bytes())?;
            stream.write_all(&[code])?;
            stream.write_all(data)
        };
        for path in paths.as_array().unwrap() {
            let path = path.as_string().unwrap();
            self.asked.push(path.to_owned());
            stream.write_all(&(path.len() as u32).to_be_bytes())?;
            stream.write_all(path.as_bytes())?;
            let error = match self.files.get(path) {
                None => Some((-6i64, 6)),
                Some(_) if self.unreadable.as_deref() == Some(path) => Some((-11, 11)),
                Some(_) => None,
            };
            if let Some((code, in_frame)) = error {
                frame(stream, in_frame, b"cannot be read")?;
                let error = dict([
                    ("DLFileErrorCode", code.into()),
                    ("DLFileErrorString", "cannot be read".into()),
                ]);
                errors.insert(path.to_owned(), Value::Dictionary(error));
                continue;
            }
            for part in self.files[path].chunks(self.frame) {
                frame(stream, 12, part)?;
            }
            frame(stream, 0, b"")?;
        }
        stream.write_all(&[0; 4])?;
        let code = if errors.is_empty() { 0 } else { -13i64 };
        say(
            stream,
            vec![
                "DLMessageStatusResponse".into(),
                code.into(),
                "Multi status".into(),
                Value::Dictionary(errors),
            ],
        )
    }

    fn list(&self, folder: &str) -> Dictionary {
        let below = format!("{folder}/");
        let mut found = Dictionary::new();
        for (path, bytes) in &self.files {
            let Some(rest) = path.strip_prefix(&below) else {
                continue;
            };
            let (name, kind) = match rest.split_once('/') {
                Some((name, _)) => (name, "DLFileTypeDirectory"),
                None => (rest, "DLFileTypeRegular"),
            };
            let about = dict([
                ("DLFileType", kind.into()),
                ("DLFileSize", (bytes.len() as u64).into()),
            ]);
            found.insert(name.to_owned(), Value::Dictionary(about));
        }
        found
    }
}

/// A phone behind a daemon, and a computer that it trusts.
struct Bench {
    phone: Arc<Phone>,
    daemon: Daemon,
    computer: Computer,
}

impl Bench {
    fn with(config: PhoneConfig) -> Bench {
        let phone = Phone::new(PhoneConfig {
            restart: Duration::from_millis(1),
            ..config
        });
        let daemon = Daemon::start("127.0.0.1:0", vec![phone.clone()]).unwrap();
        let computer = Computer::pair(daemon.address(), device_ids(daemon.address())[0]);
        Bench {
            phone,
            daemon,
            computer,
        }
    }

    fn restore(&self, host: &mut Host, options: Dictionary) -> (u64, String) {
        let target = self.phone.udid().as_str();
        loop {
            match host
                .restore(&self.computer, target, options.clone())
                .unwrap()
            {
                // The phone has not noticed yet that the previous run is over.
                (14, _) => std::thread::yield_now(),
                said => return said,
            }
        }
    }

    fn last(&self) -> RestoreOutcome {
        self.phone.restores().pop().unwrap()
    }

    fn rows(&self) -> Vec<Restored> {
        let mut rows = Vec::new();
        let ledger = self.phone.ledger().unwrap();
        ledger
            .each(|row| {
                rows.push(row);
                true
            })
            .unwrap();
        rows
    }

    /// Waits for something that the phone does unprompted.
    fn sees(&self, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the phone did not do it within 20 seconds"
            );
            std::thread::yield_now();
        }
    }
}

fn no_reboot() -> Dictionary {
    dict([
        ("RestoreShouldReboot", false.into()),
        ("RestoreDontCopyBackup", true.into()),
    ])
}

fn with_password(password: &str) -> Dictionary {
    let mut options = no_reboot();
    options.insert("Password".into(), password.into());
    options
}

/// Asserts that the ledger holds every file of the phone that made the backup, byte for byte, and
/// its folders and links.
fn assert_got_all(bench: &Bench, maker: &Phone) {
    let rows = bench.rows();
    let mut files = 0;
    for file in maker.files() {
        let id = file.file_id();
        let row = rows.iter().find(|row| row.file_id == id).unwrap();
        let mut bytes = Vec::new();
        file.bytes().read_to_end(&mut bytes).unwrap();
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let size = bytes.len() as u64;
        assert_eq!(
            row.kind,
            RestoredKind::File { size, sha256 },
            "{}",
            file.path
        );
        assert_eq!((&row.domain, &row.path), (&file.domain, &file.path));
        assert_eq!(row.mode, 0o100_644);
        assert!(row.modified >= 1_704_067_200);
        files += 1;
    }
    let count = |wanted: fn(&RestoredKind) -> bool| {
        rows.iter().filter(|row| wanted(&row.kind)).count() as u64
    };
    let outcome = bench.last();
    assert_eq!(outcome.files, files);
    assert_eq!(
        count(|kind| matches!(kind, RestoredKind::File { .. })),
        files
    );
    assert_eq!(count(|kind| *kind == RestoredKind::Folder), outcome.folders);
    assert!(outcome.folders > 5);
    let link = RestoredKind::Link("/private/var/mobile/Library/Somewhere".into());
    assert!(rows.iter().any(|row| row.kind == link));
}

/// Checks that the phone receives every file, and requests the metadata first, in the order of a
/// real phone.
#[test]
fn restore_requests_files_in_order() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()), (0, String::new()));
    let outcome = bench.last();
    assert_eq!((outcome.code, outcome.longest_frame), (Some(0), 32_768));
    assert_got_all(&bench, &rig.phone);
    let names: Vec<&str> = host.asked.iter().map(|p| &p[UDID.len() + 1..]).collect();
    let metadata = [
        "Manifest.plist",
        "Manifest.db",
        "Status.plist",
        "Manifest.plist",
        "Manifest.db",
        "Info.plist",
    ];
    assert_eq!(names[..6], metadata);
    assert_eq!(names.len() as u64, 6 + outcome.files);
    assert!(
        host.messages
            .iter()
            .all(|m| m == "DLMessageDownloadFiles" || m == "DLMessageProcessMessage")
    );
}

#[test]
fn ledger_without_hashes_lists_files() {
    let rig = Rig::backed_up();
    let rows_of = |ledger_hashes| {
        let bench = Bench::with(PhoneConfig {
            ledger_hashes,
            ..config()
        });
        let mut host = Host::of(&rig.current());
        assert_eq!(bench.restore(&mut host, no_reboot()), (0, String::new()));
        bench.rows()
    };
    let mut hashed = rows_of(true);
    for row in &mut hashed {
        if let RestoredKind::File { sha256, .. } = &mut row.kind {
            assert_eq!(std::mem::take(sha256).len(), 64);
        }
    }
    assert_eq!(rows_of(false), hashed);
}

/// Checks that the phone decrypts a backup with the password from the options, and answers a wrong
/// or missing one with code 207.
#[test]
fn phone_decrypts_encrypted_backup() {
    for ios in ["10.1", "18.6.2"] {
        let rig = Rig::with(PhoneConfig {
            ios: ios.into(),
            ..encrypting()
        });
        rig.try_create(&rig::options(), &idev_backup::base::progress::Silent)
            .unwrap();
        let mut host = Host::of(&rig.current());
        let bench = Bench::with(config());
        let said = bench.restore(&mut host, with_password(PASSWORD));
        assert_eq!(said, (0, String::new()), "{ios}");
        assert_got_all(&bench, &rig.phone);
        for options in [with_password("wrong"), with_password(""), no_reboot()] {
            let (code, text) = bench.restore(&mut host, options);
            assert_eq!(code, 207, "{ios} {text}");
        }
        assert!(bench.rows().is_empty());
    }
}

/// Checks that a phone that has not restarted after a restore refuses the next one with code 102.
#[test]
fn pending_restore_blocks_the_next() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    let (code, text) = bench.restore(&mut host, no_reboot());
    assert_eq!(code, 102, "{text}");
    assert!(text.contains("/var/.backup.i"), "{text}");
    assert!(
        bench.last().files > 40,
        "the code must come after all files were sent"
    );
    bench.phone.restart();
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    let begun_so = Bench::with(PhoneConfig {
        unfinished_restore: true,
        ..config()
    });
    assert_eq!(begun_so.restore(&mut host, no_reboot()).0, 102);
}

/// Checks that the phone disconnects and reconnects under a new id if the options ask for a reboot.
#[test]
fn phone_reboots_when_requested() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    let before = device_ids(bench.daemon.address());
    let mut options = no_reboot();
    options.insert("RestoreShouldReboot".into(), true.into());
    assert_eq!(bench.restore(&mut host, options).0, 0);
    bench.sees(|| {
        let now = device_ids(bench.daemon.address());
        now.len() == 1 && now != before
    });
}

/// Checks that a restore of the phone's own backup returns its content to that backup once it has
/// restarted.
#[test]
fn restore_reverts_phone_content() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let held = |phone: &Phone| -> Vec<_> { phone.files().collect() };
    let first = held(&rig.phone);
    rig.create();
    assert_ne!(held(&rig.phone), first);
    let computer = Computer::pair(rig.daemon.address(), device_ids(rig.daemon.address())[0]);
    let (code, text) = host.restore(&computer, UDID, no_reboot()).unwrap();
    assert_eq!(code, 0, "{text}");
    assert_ne!(
        held(&rig.phone),
        first,
        "the content must not change before the restart"
    );
    rig.phone.restart();
    assert_eq!(held(&rig.phone), first);
    let mut next = Vec::new();
    rig.create();
    next.extend(held(&rig.phone));
    assert_eq!(
        next, first,
        "the next backup must hold the restored content"
    );
}

/// Checks that each failed check ends with its own code, that the phone requests only metadata, and
/// that it changes nothing on the host.
#[test]
fn failed_checks_return_their_code() {
    let rig = Rig::backed_up();
    let whole = Host::of(&rig.current());
    let none: (Change, Harm) = (|_| {}, |_| {});
    let table: [(&str, u64, Change, Harm); 15] = [
        (
            "an iCloud restore is running",
            25,
            |c| c.icloud_restore = true,
            none.1,
        ),
        ("Find My is on", 211, |c| c.find_my = true, none.1),
        (
            "setup is not finished",
            212,
            |c| c.setup_unfinished = true,
            none.1,
        ),
        (
            "an administrator forbids it",
            1,
            |c| c.forbids_restores = true,
            none.1,
        ),
        (
            "the phone is full",
            106,
            |c| c.free_bytes = Some(90_000),
            none.1,
        ),
        (
            "the phone's iOS is older",
            203,
            |c| c.ios = "18.6.1".into(),
            none.1,
        ),
        (
            "a configured error code",
            17,
            |c| c.faults.push(Fault::Error(17)),
            none.1,
        ),
        ("no Manifest.plist", 205, none.0, |h| {
            gone(h, "Manifest.plist")
        }),
        ("no Manifest.db", 205, none.0, |h| gone(h, "Manifest.db")),
        ("an empty Manifest.plist", 205, none.0, |h| {
            emptied(h, "Manifest.plist")
        }),
        ("Manifest.db is rubbish", 205, none.0, |h| {
            rubbish(h, "Manifest.db")
        }),
        ("no Status.plist", 204, none.0, |h| gone(h, "Status.plist")),
        ("an empty backup", 204, none.0, |h| {
            status(h, "BackupState", "empty")
        }),
        ("a backup in old form", 203, none.0, |h| {
            status(h, "BackupState", "old")
        }),
        ("a status of the future", 203, none.0, |h| {
            status(h, "Version", "4.0")
        }),
    ];
    for (what, wanted, change, harm) in table {
        let mut config = config();
        change(&mut config);
        let (bench, mut host) = (Bench::with(config), whole.clone());
        harm(&mut host);
        let before = host.files.clone();
        let (code, text) = bench.restore(&mut host, no_reboot());
        assert_eq!(code, wanted, "{what}: {text}");
        assert!(
            text.ends_with(&format!("(MBErrorDomain/{wanted})")),
            "{what}: {text}"
        );
        assert!(host.asked.len() <= 6, "{what}: {:?}", host.asked);
        assert!(host.files == before, "{what}");
        assert_eq!(bench.last().code, Some(wanted), "{what}");
    }
}

/// Checks that an unencrypted backup is restored without a keybag: nothing in it needs a key.
#[test]
fn unencrypted_backup_needs_no_keybag() {
    let rig = Rig::backed_up();
    let (bench, mut host) = (Bench::with(config()), Host::of(&rig.current()));
    host.edit("Manifest.plist", |d| drop(d.remove("BackupKeyBag")));
    let (code, text) = bench.restore(&mut host, no_reboot());
    assert_eq!(code, 0, "{text}");
}

fn gone(host: &mut Host, name: &str) {
    host.files.remove(&format!("{UDID}/{name}")).unwrap();
}

fn emptied(host: &mut Host, name: &str) {
    host.files.insert(format!("{UDID}/{name}"), Vec::new());
}

fn rubbish(host: &mut Host, name: &str) {
    host.files
        .insert(format!("{UDID}/{name}"), vec![b'x'; 5000]);
}

fn status(host: &mut Host, key: &str, value: &str) {
    host.edit("Status.plist", |d| {
        d.insert(key.into(), value.into());
    });
}

#[test]
fn restore_requires_passcode_entry() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let never = PhoneConfig {
        passcode: Passcode::Never,
        passcode_limit: Duration::from_millis(1),
        ..config()
    };
    let bench = Bench::with(never);
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 208);
    assert!(
        host.asked.is_empty(),
        "the phone must not request files before the passcode"
    );
    let bench = Bench::with(PhoneConfig {
        passcode: Passcode::After(Duration::from_millis(1)),
        ..config()
    });
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
}

/// Checks that a file or row that does not fit the manifest fails the restore with code 205, and
/// does not block the next one.
#[test]
fn manifest_mismatches_fail_restore() {
    let rig = Rig::backed_up();
    let whole = Host::of(&rig.current());
    let table: [(&str, Harm); 9] = [
        ("a file is missing", |h| {
            let name = h.payload(3).0.clone();
            h.files.remove(&name);
        }),
        ("a file cannot be read", |h| {
            h.unreadable = Some(h.payload(3).0.clone());
        }),
        ("a file is shorter", |h| h.payload(3).1.truncate(99)),
        ("a file is longer", |h| h.payload(3).1.push(0)),
        ("the digest differs", |h| {
            // Only small files have a digest.
            let path = "Library/Preferences/com.apple.preferences.datetime.plist";
            let id = file_id("HomeDomain", path);
            let name = format!("{UDID}/{}/{id}", &id[..2]);
            h.files.get_mut(&name).unwrap()[20] ^= 1;
        }),
        ("a path leads out of its domain", |h| {
            h.edit_list("UPDATE Files SET relativePath = '../../etc/passwd' WHERE relativePath = 'Library/SMS/sms.db'");
        }),
        ("a file id is invalid", |h| {
            h.edit_list(
                "UPDATE Files SET fileID = '../x' WHERE relativePath = 'Library/SMS/sms.db'",
            );
        }),
        ("a record is rubbish", |h| {
            h.edit_list("UPDATE Files SET file = x'00' WHERE relativePath = 'Library/SMS/sms.db'");
        }),
        ("a kind is unknown", |h| {
            h.edit_list("UPDATE Files SET flags = 16 WHERE relativePath = 'Library/SMS/sms.db'");
        }),
    ];
    for (what, harm) in table {
        let (bench, mut host) = (Bench::with(config()), whole.clone());
        harm(&mut host);
        let (code, text) = bench.restore(&mut host, no_reboot());
        assert_eq!(code, 205, "{what}: {text}");
        assert!(!host.asked.iter().any(|path| path.contains("..")), "{what}");
        // A failed restore leaves nothing behind that would make the next one fail.
        assert_eq!(
            bench.restore(&mut whole.clone(), no_reboot()).0,
            0,
            "{what}"
        );
    }
}

/// Checks that a shorter database whose digest is in the list fails with code 205, and that the
/// restore succeeds once its row is deleted.
#[test]
fn truncated_database_fails_digest() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let sms = format!("{UDID}/3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28");
    let bytes = host.files.get_mut(&sms).unwrap();
    let shorter = bytes.len() - 4096;
    bytes.truncate(shorter);
    // The list still has the digest of the original bytes.
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 205);
    host.edit_list("DELETE FROM Files WHERE relativePath = 'Library/SMS/sms.db'");
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
}

/// Checks that a backup whose final move was interrupted is read from its own folder and from
/// Snapshot.
#[test]
fn interrupted_move_reads_both_folders() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let mut names: Vec<String> = host.files.keys().cloned().collect();
    names.retain(|name| name.rsplit('/').next().unwrap().len() == 40);
    for name in names.iter().step_by(3) {
        let bytes = host.files.remove(name).unwrap();
        host.files
            .insert(name.replacen('/', "/Snapshot/", 1), bytes);
    }
    for name in ["Manifest.plist", "Manifest.db"] {
        let bytes = host.files[&format!("{UDID}/{name}")].clone();
        host.files.insert(format!("{UDID}/Snapshot/{name}"), bytes);
    }
    status(&mut host, "SnapshotState", "moving");
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()), (0, String::new()));
    assert_got_all(&bench, &rig.phone);
    status(&mut host, "SnapshotState", "finished");
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 205);
}

/// Checks that the phone restores TrollRestore's plain backup, as real phones did, and rejects the
/// one whose paths lead out of their domains and the corrupt one.
#[test]
fn phone_rejects_hostile_mbdb_backups() {
    let Some(folders) = rig::others("JJTech0130-TrollRestore") else {
        return;
    };
    let table = [
        ("plain-mbdb", 0, 9),
        ("hostile-traversal-mbdb", 205, 0),
        ("corrupt-length-mbdb", 205, 0),
    ];
    for (name, wanted, rows) in table {
        let mut host = Host::of(&folders.join(name));
        let bench = Bench::with(config());
        let (code, text) = bench.restore(&mut host, no_reboot());
        assert_eq!(code, wanted, "{name}: {text}");
        if wanted == 0 {
            assert_eq!(bench.rows().len(), rows, "{name}");
        }
        assert!(!host.asked.iter().any(|path| path.contains("..")), "{name}");
    }
}

#[test]
fn restore_options_take_effect() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    let mut options = no_reboot();
    options.insert("RestoreDontCopyBackup".into(), false.into());
    options.insert("RestorePreserveSettings".into(), true.into());
    options.insert("RemoveItemsNotRestored".into(), true.into());
    assert_eq!(bench.restore(&mut host, options).0, 0);
    let outcome = bench.last();
    assert!(outcome.options.copy && outcome.options.preserve_settings);
    assert!(outcome.options.remove_items && !outcome.options.reboot);
    assert!(
        !outcome.options.system_files && outcome.system_files,
        "the phone decides about system files"
    );
    assert_eq!(
        outcome.removed, 0,
        "the phone must have no files that the backup lacks"
    );
    let [(from, to)] = &host.copied[..] else {
        panic!("{:?}", host.copied)
    };
    assert_eq!(
        (from.as_str(), Some(to)),
        (UDID, outcome.copied_to.as_ref())
    );
    assert!(
        to.starts_with(&format!("{UDID}-")) && to.len() == UDID.len() + 16,
        "{to}"
    );
    let info = plist::from_bytes::<Value>(&host.files[&format!("{to}/Info.plist")]).unwrap();
    let named = info.as_dictionary().unwrap()["Target Identifier"].as_string();
    assert_eq!(named, Some(to.as_str()));
    assert_eq!(
        Host::of(&rig.current()).files[&format!("{UDID}/Info.plist")],
        host.files[&format!("{UDID}/Info.plist")]
    );

    // Restore onto another phone: it has no backup of its own to copy from, and holds other files.
    let mut content = config().content;
    content.small += 8;
    let other = Bench::with(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        content,
        ..config()
    });
    let mut options = no_reboot();
    options.insert("RestoreDontCopyBackup".into(), false.into());
    options.insert("RemoveItemsNotRestored".into(), true.into());
    let mut host = Host::of(&rig.current());
    assert_eq!(other.restore(&mut host, options).0, 0);
    assert_eq!((other.last().removed, host.copied.len()), (8, 0));
    assert_got_all(&other, &rig.phone);
}

#[test]
fn different_device_class_skips_system_files() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(PhoneConfig {
        model: "iPad14,1".into(),
        ..config()
    });
    let mut options = no_reboot();
    options.insert("RestoreSystemFiles".into(), true.into());
    assert_eq!(bench.restore(&mut host, options).0, 0);
    let outcome = bench.last();
    assert!(!outcome.system_files && outcome.passed_over > 0);
    assert!(bench.rows().iter().all(|row| row.domain != "RootDomain"));
    assert!(
        bench
            .rows()
            .iter()
            .any(|row| row.domain == "CameraRollDomain")
    );
}

/// Checks that the faults `meddles` and `asks-for` take effect: the phone changes the host's backup
/// and requests a path outside of it.
#[test]
fn hostile_restore_faults_take_effect() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(PhoneConfig {
        faults: vec![Fault::AsksFor("../../etc/passwd".into()), Fault::Meddles],
        ..config()
    });
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    assert!(host.asked.iter().any(|path| path == "../../etc/passwd"));
    for name in ["Info.plist", "Manifest.db", "Manifest.plist"] {
        assert!(
            !host.files.contains_key(&format!("{UDID}/{name}")),
            "{name}"
        );
    }
    for message in [
        "DLMessageMoveItems",
        "DLMessageRemoveItems",
        "DLMessageUploadFiles",
    ] {
        assert!(host.messages.iter().any(|m| m == message), "{message}");
    }
    assert_got_all(&bench, &rig.phone);
}

/// Disconnects the host at each message in turn. Checks that no unfinished restore remains on the
/// phone.
#[test]
fn disconnected_host_leaves_phone_unchanged() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    bench.phone.restart();
    let messages = host.messages.len();
    assert!(messages > 6);
    for at in 0..messages - 1 {
        host.leave_at = Some(at);
        let count = bench.phone.restores().len();
        loop {
            let left = host.restore(&bench.computer, UDID, no_reboot());
            match left {
                Ok((14, _)) => std::thread::yield_now(),
                Ok(said) => panic!("at {at}: {said:?}"),
                Err(_) => break,
            }
        }
        bench.sees(|| bench.phone.restores().len() > count);
        assert_eq!(bench.last().code, None, "at {at}");
    }
    host.leave_at = None;
    assert_eq!(
        bench.restore(&mut host, no_reboot()).0,
        0,
        "no unfinished restore (102) may remain"
    );
}

/// Checks that the fault `cut-at` ends the dialog at each message of the phone in turn.
#[test]
fn cut_at_message_ends_dialog() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    bench.phone.restart();
    // Version exchange, "ready" and the answer to Hello come first, the goodbye last.
    let messages = 3 + host.messages.len() as u64;
    for at in 3..messages {
        bench.phone.suffer(&[Fault::CutAt(at)]);
        let cut = loop {
            match host.restore(&bench.computer, UDID, no_reboot()) {
                // The phone has not noticed yet that the previous run is over.
                Ok((14, _)) => std::thread::yield_now(),
                cut => break cut,
            }
        };
        assert!(cut.is_err(), "at {at}: {cut:?}");
    }
    bench.phone.suffer(&[]);
    // The last cut suppressed only the verdict; the phone had completed the restore.
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 102);
}

/// Checks that the fault `cut-after-taken` ends the restore after exactly that many bytes from the
/// computer.
#[test]
fn cut_after_received_bytes_aborts_restore() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    bench.phone.restart();
    let taken = bench.last().taken;
    let size: usize = host.files.values().map(Vec::len).sum();
    assert!(taken > size as u64, "{taken} of {size}");
    let mut random = rig::Random::new(7);
    // The first 2,000 bytes are only the greeting, which the host in this file expects to succeed.
    for round in 0..40 {
        let at = 2000 + random.below(taken as usize - 2000) as u64;
        bench.phone.suffer(&[Fault::CutAfterTaken(at)]);
        let count = bench.phone.restores().len();
        let cut = host.restore(&bench.computer, UDID, no_reboot());
        assert!(cut.is_err(), "at {at}: {cut:?}");
        bench.sees(|| bench.phone.restores().len() > count);
        let outcome = bench.last();
        assert_eq!((outcome.code, outcome.taken), (None, at), "round {round}");
    }
    bench.phone.suffer(&[]);
    assert_eq!(
        bench.restore(&mut host, no_reboot()).0,
        0,
        "no unfinished restore (102) may remain"
    );
}

/// Checks that the phone records the length of the longest frame, so that tests can compare it with
/// the 32 KiB that our host sends.
#[test]
fn oversized_frames_are_recorded() {
    let rig = Rig::backed_up();
    let mut host = Host::of(&rig.current());
    host.frame = 1 << 20;
    let bench = Bench::with(config());
    assert_eq!(bench.restore(&mut host, no_reboot()).0, 0);
    assert!(
        bench.last().longest_frame > 32_768,
        "the phone must record the length of the frame"
    );
}
