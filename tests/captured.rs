//! Reads captures of real programs and real phones with our own codecs.
//!
//! The captured bytes belong to other projects and are not in this repository. The tests read them
//! from the folder `data` below the one that `IDEV_BACKUP_SHARED` names, or below `../shared` if it
//! is unset. Tests whose data is absent print a note to stderr and pass. The messages in the tests
//! at the end are quoted from public threads and need no data.
//!
//! Thread names: limd#N is libimobiledevice/libimobiledevice, pmd3#N doronz88/pymobiledevice3,
//! net#N libimobiledevice-win32/imobiledevice-net.

use std::io::{self, Cursor, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fs, thread};

use idev_backup::backup_format::SCHEMA;
use idev_backup::backup_format::keybag::KeyBag;
use idev_backup::backup_format::manifest_db::{self, Db};
use idev_backup::backup_format::manifest_mbdb::Mbdb;
use idev_backup::backup_format::plists::{Info, ManifestPlist, Status};
use idev_backup::backup_format::record::FileRecord;
use idev_backup::base::bounded_plist;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::Silent;
use idev_backup::device::{Lockdown, afc};
use idev_backup::mobilebackup::error_codes::{self, Shortage};
use idev_backup::mobilebackup::file_stream::Outgoing;
use idev_backup::mobilebackup::message::{self, Reply};
use idev_backup::mobilebackup::{Fault, Kind, Request, Verdict};
use idev_backup::transport::plist_stream::{self, MESSAGE_BYTES_MAX};
use idev_backup::transport::usbmuxd::{self, Address, Change};
use idev_backup::transport::{Attached, Usbmuxd, Via};
use idev_backup::verify::{self, Outcome, Wrong};
use plist::{Dictionary, Uid, Value};

const APPIUM: &str = "appium-ios-device/test/fixtures";
const GO_IOS: &str = "danielpaulus-go-ios/ios/test-fixture";
const KAPONATA: &str = "filipnavara-kaponata/src/Kaponata.iOS.Tests";
const GOLEMINE: &str = "pmeenan-golemine/e2e/fixtures/generated";
const TROLL: &str = "JJTech0130-TrollRestore";

/// Returns the folder of captured bytes. Prints a note and returns `None` if it is absent.
fn data() -> Option<PathBuf> {
    let shared = match std::env::var_os("IDEV_BACKUP_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let data = shared.join("data");
    if !data.is_dir() {
        let test = thread::current().name().unwrap_or_default().to_owned();
        eprintln!("{test}: skipped, {} is absent", data.display());
        return None;
    }
    Some(data)
}

fn read(data: &Path, folder: &str, name: &str) -> Vec<u8> {
    let path = data.join(folder).join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn text<'a>(dict: &'a Dictionary, key: &str) -> &'a str {
    dict.get(key).and_then(Value::as_string).unwrap_or_default()
}

/// Returns every length-prefixed property list of a capture, whose last message must be complete.
fn frames(bytes: &[u8]) -> Vec<Dictionary> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let message = plist_stream::read(&mut rest, MESSAGE_BYTES_MAX).unwrap();
        found.push(message.into_dictionary().unwrap());
    }
    found
}

/// Starts a daemon that answers one connection with these bytes, in one write.
fn daemon(answer: Vec<u8>) -> Usbmuxd {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        client.read_exact(&mut length).unwrap();
        let mut request = vec![0; u32::from_le_bytes(length) as usize - 4];
        client.read_exact(&mut request).unwrap();
        client.write_all(&answer).unwrap();
        // Wait until the client has read everything and disconnects.
        drop(client.read(&mut [0]));
    });
    let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
    Usbmuxd::new(Address::Tcp(address), token)
}

/// Returns the property list with usbmuxd's header before it.
fn muxed(xml: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [xml.len() as u32 + 16, 1, 8, 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(xml);
    bytes
}

/// A stream whose other end has already sent everything.
struct Recorded {
    said: Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

impl Recorded {
    fn new(said: Vec<u8>) -> Recorded {
        Recorded {
            said: Cursor::new(said),
            heard: Vec::new(),
        }
    }
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.said.read(buffer)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// ---- the daemon ----

fn a_phone() -> Attached {
    Attached {
        device_id: 1,
        udid: "00008030-001C195E0A88802E".parse().unwrap(),
        via: Via::Usb,
        is_replayed: false,
    }
}

#[test]
fn usbmuxd_connect_success_is_parsed() {
    let Some(data) = data() else { return };
    let bytes = read(&data, APPIUM, "usbmuxconnectmessage.bin");
    let (answer, end) = usbmuxd::parse_message(&bytes).unwrap();
    assert_eq!(end, bytes.len());
    assert_eq!(text(&answer, "MessageType"), "Result");
    assert_eq!(answer.get("Number"), Some(&Value::Integer(0.into())));
    assert_eq!(bytes[12..16], 1u32.to_le_bytes(), "the tag");
    daemon(bytes)
        .connect(&a_phone(), 62078, "lockdown")
        .unwrap();
}

/// Checks that the phone's first bytes are kept if they arrive in the same read as the daemon's
/// reply.
#[test]
fn coalesced_connect_reply_is_split() {
    let Some(data) = data() else { return };
    let bytes = read(&data, APPIUM, "usbmuxconnectandlockdown.bin");
    let (answer, end) = usbmuxd::parse_message(&bytes).unwrap();
    assert_eq!(answer.get("Number"), Some(&Value::Integer(0.into())));
    assert_eq!(frames(&bytes[end..]).len(), 1);

    let mut wire = daemon(bytes)
        .connect(&a_phone(), 62078, "lockdown")
        .unwrap();
    let message = plist_stream::read(&mut wire, MESSAGE_BYTES_MAX).unwrap();
    let message = message.into_dictionary().unwrap();
    assert_eq!(text(&message, "Key"), "TimeIntervalSince1970");
}

/// Checks that ListDevices requests of other clients have the same form as ours.
#[test]
fn foreign_client_requests_are_parsed() {
    let Some(data) = data() else { return };
    for (folder, name, program) in [
        (GO_IOS.to_owned(), "readdevices.bin", "go-usbmux"),
        (format!("{KAPONATA}/Muxer"), "list-request.bin", "iTunes"),
    ] {
        let bytes = read(&data, &folder, name);
        let (request, end) = usbmuxd::parse_message(&bytes).unwrap();
        assert_eq!(end, bytes.len(), "{name}");
        assert_eq!(text(&request, "MessageType"), "ListDevices", "{name}");
        assert_eq!(text(&request, "ProgName"), program, "{name}");
    }
}

#[test]
fn device_lists_are_parsed() {
    let Some(data) = data() else { return };
    let muxer = format!("{KAPONATA}/Muxer");
    let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
    let two = vec![(5, a, Via::Usb), (6, b, Via::Usb)];
    // The daemon reports a serial number of 24 characters; the UDID has a dash in it.
    let serial = "00000000-0000000000000000".to_owned();
    for (name, answer, wanted) in [
        (
            "list-response.bin",
            read(&data, &muxer, "list-response.bin"),
            two.clone(),
        ),
        (
            "devicelist.xml",
            muxed(&read(&data, &muxer, "devicelist.xml")),
            two,
        ),
        (
            "devicelist-wifi.xml",
            muxed(&read(&data, &muxer, "devicelist-wifi.xml")),
            vec![(2, c, Via::Network)],
        ),
        (
            "devicelist-udid2.xml",
            muxed(&read(&data, &muxer, "devicelist-udid2.xml")),
            vec![(5, serial, Via::Usb)],
        ),
    ] {
        let found = daemon(answer).devices().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|p| (p.device_id, p.udid.to_string(), p.via))
            .collect();
        assert_eq!(found, wanted, "{name}");
    }
}

/// Checks that the events for attached, paired and detached phones are parsed.
#[test]
fn device_events_are_parsed() {
    let Some(data) = data() else { return };
    let muxer = format!("{KAPONATA}/Muxer");
    let said: Vec<u8> = ["result.xml", "attached.xml", "paired.xml", "detached.xml"]
        .iter()
        .flat_map(|name| muxed(&read(&data, &muxer, name)))
        .collect();
    let mut listener = daemon(said).listen().unwrap();
    match listener.next_change().unwrap() {
        Change::Attached(phone) => assert_eq!((phone.device_id, phone.via), (2, Via::Usb)),
        other => panic!("{other:?}"),
    }
    assert_eq!(listener.next_change().unwrap(), Change::Paired(3));
    assert_eq!(listener.next_change().unwrap(), Change::Detached(2));
}

/// Checks that the computer's identifier (BUID) is read from a reply without a MessageType.
#[test]
fn buid_reply_lacks_message_type() {
    let Some(data) = data() else { return };
    let answer = muxed(&read(&data, &format!("{KAPONATA}/Muxer"), "buid.xml"));
    assert_eq!(
        daemon(answer).system_buid().unwrap(),
        "32B5AAD2-16AE-7B85-DEBE-11DC865B9E32"
    );
}

#[test]
fn refused_connect_is_an_error() {
    let Some(data) = data() else { return };
    let answer = muxed(&read(&data, GO_IOS, "usbmuxresponse.plist"));
    let refused = daemon(answer)
        .connect(&a_phone(), 62078, "lockdown")
        .unwrap_err();
    assert!(
        matches!(refused, usbmuxd::Error::Refused { number: 5, .. }),
        "{refused}"
    );
}

#[test]
fn foreign_property_lists_are_parsed() {
    let Some(data) = data() else { return };
    let primitives = read_plist(&data, GO_IOS, "sample-plist-primitives.plist");
    assert_eq!(primitives.get("FloatValue"), Some(&Value::Real(0.2)));
    assert_eq!(primitives.get("IntValue"), Some(&Value::Integer(4.into())));
    assert_eq!(text(&primitives, "StringValue"), "d");
    let listen = read_plist(&data, &format!("{KAPONATA}/Muxer"), "listen.xml");
    assert_eq!(text(&listen, "MessageType"), "Listen");
    // This capture still has its length prefix.
    let framed = "sample-plist-plistcodec-basebandkeyhashinfotype.plist";
    let hash = frames(&read(&data, GO_IOS, framed)).remove(0);
    assert_eq!(hash.get("SKeyHash"), Some(&Value::Data(vec![0])));
}

fn read_plist(data: &Path, folder: &str, name: &str) -> Dictionary {
    let value = bounded_plist::parse(&read(data, folder, name)).unwrap();
    value.into_dictionary().unwrap()
}

// ---- lockdown and the small services ----

#[test]
fn lockdown_replies_are_parsed() {
    let Some(data) = data() else { return };
    for (name, request, value) in [
        ("lockdownquerytypemessage.bin", "QueryType", None),
        (
            "lockdowngetvaluemessage.bin",
            "GetValue",
            Some(Value::String("12.3.1".into())),
        ),
        (
            "lockdowngettimemessage.bin",
            "GetValue",
            Some(Value::Real(1_561_317_733.062_099)),
        ),
    ] {
        let answer = frames(&read(&data, APPIUM, name)).remove(0);
        assert_eq!(text(&answer, "Request"), request, "{name}");
        assert_eq!(answer.get("Value"), value.as_ref(), "{name}");
        assert!(!answer.contains_key("Result"), "{name}: absent since iOS 5");
    }
}

#[test]
fn captured_lockdown_value_is_read() {
    let Some(data) = data() else { return };
    let said = [
        "lockdownquerytypemessage.bin",
        "lockdowngetvaluemessage.bin",
    ];
    let said = said
        .iter()
        .flat_map(|name| read(&data, APPIUM, name))
        .collect();
    let mut lockdown = Lockdown::over(Recorded::new(said)).unwrap();
    let version = lockdown.text("ProductVersion").unwrap();
    assert_eq!(version.as_deref(), Some("12.3.1"));
}

/// Checks that a service is refused if the type that it reports is not lockdown's.
#[test]
fn lockdown_rejects_other_services() {
    let Some(data) = data() else { return };
    let folder = format!("{KAPONATA}/Lockdown");
    let over = |name: &str| Lockdown::over(Recorded::new(read(&data, &folder, name)));
    assert!(over("connect-device.bin").is_ok());
    let why = over("connect-device-invalid.bin").err().unwrap();
    assert!(why.to_string().contains("io.kaponata.ios.unknown"), "{why}");
}

/// Checks that captured messages of hosts and devices to lockdown and the notification proxy are
/// parsed.
#[test]
fn service_messages_are_parsed() {
    let Some(data) = data() else { return };
    for (name, key, value) in [
        ("Lockdown/connect-host.bin", "Request", "QueryType"),
        ("PropertyLists/message.bin", "Request", "QueryType"),
        (
            "NotificationProxy/notificationproxy-host.bin",
            "Command",
            "ObserveNotification",
        ),
        (
            "NotificationProxy/notificationproxy-device.bin",
            "Command",
            "RelayNotification",
        ),
    ] {
        let messages = frames(&read(&data, KAPONATA, name));
        assert_eq!(messages.len(), 1, "{name}");
        assert_eq!(text(&messages[0], key), value, "{name}");
    }
}

/// Checks that replies of services are parsed, whether they are XML or binary property lists.
#[test]
fn service_replies_parse_both_encodings() {
    let Some(data) = data() else { return };
    let install = frames(&read(&data, APPIUM, "installationproxyinstallmessage.bin"));
    assert!(install.len() > 1);
    assert_eq!(text(&install[0], "Status"), "CreatingStagingDirectory");
    assert_eq!(text(install.last().unwrap(), "Status"), "Complete");
    for name in [
        "imageLookupResponse.bin",
        "mountImageAlreadyMountedResponse.bin",
        "noImagesResponse.bin",
    ] {
        // These captures have no length prefix.
        let answer = read_plist(&data, &format!("{KAPONATA}/MobileImageMounter"), name);
        assert!(!answer.is_empty(), "{name}");
    }
}

/// Checks that a captured message is an error if it is truncated, at any byte.
#[test]
fn truncated_messages_are_errors() {
    let Some(data) = data() else { return };
    let framed = read(&data, APPIUM, "lockdowngetvaluemessage.bin");
    for cut in 0..framed.len() {
        assert!(plist_stream::read(&mut &framed[..cut], MESSAGE_BYTES_MAX).is_err());
    }
    let muxed = read(&data, APPIUM, "usbmuxconnectmessage.bin");
    for cut in 0..muxed.len() {
        assert!(usbmuxd::parse_message(&muxed[..cut]).is_err());
    }
    let packet = read(&data, APPIUM, "afclistdirresponse.bin");
    for cut in 0..packet.len() {
        assert!(afc::parse_packet(&packet[..cut]).is_err());
    }
}

#[test]
fn afc_replies_are_parsed() {
    let Some(data) = data() else { return };
    let parse = |name: &str| afc::parse_packet(&read(&data, APPIUM, name)).unwrap();
    assert_eq!(parse("afcsuccessresponse.bin"), (1, vec![0; 8]));

    let texts = |bytes: &[u8]| {
        let all = bytes.strip_suffix(&[0]).unwrap().split(|b| *b == 0);
        all.map(|t| String::from_utf8(t.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    let (operation, names) = parse("afclistdirresponse.bin");
    assert_eq!(operation, 2);
    let names = texts(&names);
    assert_eq!(names[..3], [".", "..", "AirFair"]);
    assert_eq!(names.last().unwrap(), "iTunes_Control");

    let (operation, pairs) = parse("afcfileinforesponse.bin");
    assert_eq!(operation, 2);
    let pairs = texts(&pairs);
    assert_eq!(pairs[..2], ["st_size", "64"]);
    let kind = pairs.iter().position(|t| t == "st_ifmt").unwrap();
    assert_eq!(pairs[kind + 1], "S_IFDIR");
}

// ---- backups ----

#[test]
fn manifest_schema_matches_real_phones() {
    let Some(data) = data() else { return };
    let words = |sql: &str| {
        let all = sql.split_whitespace().map(str::to_owned);
        all.collect::<Vec<_>>()
    };
    for version in ["10.3.3", "11.1.2", "11.2"] {
        let folder = "richinfante-iphonebackuptools/schemas/manifest-db";
        let sql = read(&data, folder, &format!("manifestdb_{version}.sql"));
        assert_eq!(
            words(&String::from_utf8(sql).unwrap()),
            words(SCHEMA),
            "{version}"
        );
    }
}

/// Checks that a real phone's com.apple.MobileBackup.plist, its own backup settings, is parsed.
#[test]
fn mobilebackup_settings_are_parsed() {
    let Some(data) = data() else { return };
    let folder = "log2timeline-plaso/test_data/ios";
    let bytes = read(&data, folder, "com.apple.MobileBackup.plist");
    let settings = bounded_plist::parse(&bytes).unwrap();
    let settings = settings.as_dictionary().unwrap();
    let sizes = settings.get("PreflightSizing").unwrap();
    assert_eq!(sizes.as_dictionary().unwrap().len(), 65);
    let events = settings.get("LastOnConditionEvents").unwrap();
    assert_eq!(events.as_array().unwrap().len(), 10);
}

/// Checks that the property lists of golemine's generated backups are read.
#[test]
fn golemine_metadata_is_read() {
    let Some(data) = data() else { return };
    for (name, udid, encrypted) in [
        ("ios-mini-backup", "00008030-001C195E0A88802E", false),
        ("ios-malformed-backup", "00008030-001C195E0A88807E", false),
        (
            "ios-mini-encrypted-backup",
            "00008030-001C195E0A88805E",
            true,
        ),
    ] {
        let folder = data.join(GOLEMINE).join(name).join(udid);
        assert!(Status::read(&folder).unwrap().is_finished(), "{name}");
        let manifest = ManifestPlist::read(&folder).unwrap();
        assert_eq!(manifest.encrypted, encrypted, "{name}");
        assert!(manifest.date.is_some(), "{name}");
        assert!(Info::read(&folder).unwrap().device_name.is_some(), "{name}");
    }
}

/// Checks that the rows and records of golemine's generated file lists are read.
#[test]
fn golemine_file_lists_are_read() {
    let Some(data) = data() else { return };
    for (name, udid) in [
        ("ios-mini-backup", "00008030-001C195E0A88802E"),
        ("ios-malformed-backup", "00008030-001C195E0A88807E"),
    ] {
        let folder = data.join(GOLEMINE).join(name).join(udid);
        let db = Db::open(&folder).unwrap();
        db.check(false).unwrap();
        let mut paths = Vec::new();
        db.rows(|row| {
            assert!(row.is_named_right(), "{name}: {}", row.relative_path);
            assert_eq!(row.kind, manifest_db::Kind::File);
            // The generator writes the fields as a plain dictionary, not as an archive.
            let record = row.record().unwrap();
            assert_eq!(record.mode, 0o100_644);
            let stored = folder.join(&row.file_id[..2]).join(&row.file_id);
            assert_eq!(record.size, fs::metadata(stored).unwrap().len());
            paths.push(row.relative_path);
            true
        })
        .unwrap();
        assert_eq!(paths.len(), 6, "{name}");
        assert!(paths.contains(&"Library/SMS/sms.db".to_owned()), "{name}");
    }
}

/// Checks that an encrypted Manifest.db, opened without its key, is reported as damaged.
#[test]
fn encrypted_manifest_is_not_database() {
    let Some(data) = data() else { return };
    let folder = "ios-mini-encrypted-backup/00008030-001C195E0A88805E";
    let folder = data.join(GOLEMINE).join(folder);
    assert!(matches!(
        Db::open(&folder),
        Err(manifest_db::Error::Damaged(_))
    ));
}

/// Checks that `verify` finds no damage in backups made by other programs, and calls them
/// unchecked.
#[test]
fn foreign_backups_are_verified() {
    let Some(data) = data() else { return };
    let check = |folder: &str| {
        let options = verify::Options::bytes();
        verify::verify(&data.join(folder), &options, &Silent).unwrap()
    };
    let mini = check(&format!(
        "{GOLEMINE}/ios-mini-backup/00008030-001C195E0A88802E"
    ));
    // The folder has no hashes to compare the bytes with.
    assert_eq!((mini.outcome, mini.listed), (Outcome::Unchecked, Some(6)));
    assert!(mini.findings.is_empty(), "{:?}", mini.findings);
    // Files that cannot be checked without the password are reported, but not as damage.
    let encrypted = check(&format!(
        "{GOLEMINE}/ios-mini-encrypted-backup/00008030-001C195E0A88805E"
    ));
    assert_eq!(encrypted.outcome, Outcome::Unchecked);
    assert_eq!(encrypted.findings[0].wrong, Wrong::Unchecked);
    let old = check(&format!("{TROLL}/plain-mbdb"));
    assert_eq!(old.outcome, Outcome::Unchecked, "{:?}", old.findings);
    assert!(old.findings.is_empty(), "{:?}", old.findings);
    assert_eq!((old.listed, old.files), (Some(3), 7));
}

/// Checks that `verify` reports a Manifest.mbdb that leads out of its domains, and one with wrong
/// lengths, as damage.
#[test]
fn hostile_mbdb_lists_are_damage() {
    let Some(data) = data() else { return };
    let check = |name: &str| {
        let folder = data.join(TROLL).join(name);
        let report = verify::verify(&folder, &verify::Options::default(), &Silent).unwrap();
        assert_eq!(report.outcome, Outcome::Damaged, "{name}");
        let [finding] = &report.findings[..] else {
            panic!("{name}: {:#?}", report.findings);
        };
        assert_eq!(finding.file, "Manifest.mbdb", "{name}");
        (report.listed, finding.wrong, finding.detail.clone())
    };
    // Every file that the list names exists, but a restore would write outside of their
    // domains.
    let (listed, wrong, detail) = check("hostile-traversal-mbdb");
    assert_eq!((listed, wrong), (Some(4), Wrong::Misnamed));
    assert!(detail.contains("lead out of their folders (4)"), "{detail}");
    // The lengths count characters instead of bytes, so the first name that is not ASCII is wrong.
    let (listed, wrong, detail) = check("corrupt-length-mbdb");
    assert_eq!((listed, wrong), (None, Wrong::Unreadable));
    assert!(detail.contains("record 5, at byte 434"), "{detail}");
}

/// Checks that the records of a Manifest.mbdb (iOS 9 or older) are read.
#[test]
fn mbdb_records_are_read() {
    let Some(data) = data() else { return };
    let mut records = Vec::new();
    let each = |record| {
        records.push(record);
        true
    };
    let list = Mbdb::open(&data.join(TROLL).join("plain-mbdb")).unwrap();
    list.rows(each).unwrap();
    assert_eq!(records.len(), 9);
    let find = |path: &str| {
        let mut found = records.iter().filter(|r| r.file.relative_path == path);
        found.next().unwrap()
    };
    let file = find("Documents/a.bin");
    assert_eq!(file.domain, "AppDomain-com.example.app");
    assert_eq!(
        (file.kind(), file.file.mode),
        (manifest_db::Kind::File, 0o100_755)
    );
    assert_eq!((file.file.size, file.file.user_id), (10240, 501));
    assert_eq!(file.file.protection_class, 4);
    assert_eq!(file.file.digest.as_ref().map(Vec::len), Some(20));
    assert_eq!(file.file.last_modified, 0x6b02_edbe);
    let link = find("Library/abslink");
    assert_eq!(link.kind(), manifest_db::Kind::Link);
    assert_eq!(link.file.target.as_deref(), Some("/etc/passwd"));
    let folders = records
        .iter()
        .filter(|r| r.kind() == manifest_db::Kind::Directory);
    assert_eq!(folders.count(), 4);
}

#[test]
fn foreign_keybags_are_parsed() {
    let Some(data) = data() else { return };
    let encrypted = format!("{GOLEMINE}/ios-mini-encrypted-backup/00008030-001C195E0A88805E");
    for (folder, version, first_rounds, classes) in [
        (encrypted, 3, Some(100_000), &[2, 4][..]),
        (
            format!("{TROLL}/plain-mbdb"),
            5,
            None,
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
    ] {
        let manifest = read_plist(&data, &folder, "Manifest.plist");
        let bag = manifest.get("BackupKeyBag").and_then(Value::as_data);
        let bag = KeyBag::parse(bag.unwrap()).unwrap();
        assert_eq!((bag.version, bag.kind), (version, 1), "{folder}");
        assert_eq!((bag.salt.len(), bag.iterations), (20, 10_000), "{folder}");
        let first = bag.first_derivation.map(|first| first.iterations);
        assert_eq!(first, first_rounds, "{folder}");
        let found: Vec<_> = bag.class_keys.iter().map(|key| key.class).collect();
        assert_eq!(found, classes, "{folder}");
        for key in &bag.class_keys {
            let wrapped = key.wrapped_key.as_ref().unwrap();
            assert_eq!(wrapped.expose().len(), 40, "{folder}");
        }
        let manifest = ManifestPlist::read(&data.join(&folder)).unwrap();
        assert_eq!(manifest.unreadable_keys, None, "{folder}");
    }
}

/// Checks that published keys of real phones' keybags are read back unchanged, each from a keybag
/// that is built around it.
#[test]
fn published_keys_survive_keybag_parsing() {
    let Some(data) = data() else { return };
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    };
    let rounds = |text: &str| text.parse::<u32>().unwrap().to_be_bytes().to_vec();
    let table = read(&data, "openwall-john+hashcat", "keybag-vectors.tsv");
    let table = String::from_utf8(table).unwrap();
    let mut keys = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, key, iterations, salt, first_iterations, first_salt, ..] = columns[..] else {
            panic!("{line}");
        };
        let mut fields = vec![("UUID", vec![1; 16]), ("SALT", bytes(salt))];
        fields.push(("ITER", rounds(iterations)));
        if !first_salt.is_empty() {
            fields.push(("DPIC", rounds(first_iterations)));
            fields.push(("DPSL", bytes(first_salt)));
        }
        fields.push(("UUID", vec![2; 16]));
        fields.push(("WRAP", vec![0, 0, 0, 2]));
        fields.push(("WPKY", bytes(key)));
        let field = |(tag, value): &(&str, Vec<u8>)| {
            [tag.as_bytes(), &(value.len() as u32).to_be_bytes(), value].concat()
        };
        let bag = KeyBag::parse(&fields.iter().flat_map(field).collect::<Vec<_>>()).unwrap();
        let wrapped = bag.class_keys[0].wrapped_key.as_ref().unwrap();
        assert_eq!(wrapped.expose(), bytes(key));
        assert_eq!(bag.first_derivation.is_some(), !first_salt.is_empty());
        keys += 1;
    }
    assert_eq!(keys, 7);
}

/// Checks that a record is found through the references in `$top`, as real phones write it. The
/// generator of the encrypted backup writes this form too, inside of the encrypted list. The
/// archive is built by hand so that the test does not depend on our own writer.
#[test]
fn archived_record_follows_top_references() {
    let uid = |n| Value::Uid(Uid::new(n));
    let dict = |pairs: Vec<(&str, Value)>| {
        let pairs = pairs.into_iter().map(|(k, v)| (k.to_owned(), v));
        Value::Dictionary(pairs.collect())
    };
    let class = |name: &str| dict(vec![("$classname", name.into())]);
    // The record is not the first object; only `$top` refers to it.
    let objects = vec![
        "$null".into(),
        class("MBFile"),
        "Library/SMS/sms.db".into(),
        dict(vec![
            ("NS.data", Value::Data(vec![4; 44])),
            ("$class", uid(4)),
        ]),
        class("NSMutableData"),
        dict(vec![
            ("$class", uid(1)),
            ("RelativePath", uid(2)),
            ("EncryptionKey", uid(3)),
            ("Target", uid(0)),
            ("Size", Value::Integer(32768.into())),
            ("Mode", Value::Integer(0o100_644.into())),
            ("ProtectionClass", Value::Integer(4.into())),
            ("UserID", Value::Integer((-2).into())),
        ]),
    ];
    let archive = dict(vec![
        ("$version", Value::Integer(100_000.into())),
        ("$archiver", "NSKeyedArchiver".into()),
        ("$top", dict(vec![("root", uid(5))])),
        ("$objects", Value::Array(objects)),
    ]);
    let mut bytes = Vec::new();
    archive.to_writer_binary(&mut bytes).unwrap();
    let wanted = FileRecord {
        relative_path: "Library/SMS/sms.db".into(),
        size: 32768,
        mode: 0o100_644,
        protection_class: 4,
        user_id: -2,
        encryption_key: Some(vec![4; 44]),
        ..FileRecord::default()
    };
    assert_eq!(FileRecord::decode(&bytes).unwrap(), wanted);
}

/// Checks that the property lists of backups with a Manifest.mbdb (iOS 9 or older) are read.
#[test]
fn legacy_property_lists_are_read() {
    let Some(data) = data() else { return };
    for name in [
        "plain-mbdb",
        "hostile-traversal-mbdb",
        "corrupt-length-mbdb",
    ] {
        let folder = data.join(TROLL).join(name);
        assert!(Status::read(&folder).unwrap().is_finished(), "{name}");
        assert!(!ManifestPlist::read(&folder).unwrap().encrypted, "{name}");
        assert_eq!(Info::read(&folder).unwrap(), Info::default(), "{name}");
        assert_eq!(
            Db::open(&folder).unwrap_err(),
            manifest_db::Error::Absent,
            "{name}"
        );
    }
}

// ---- dialogs: the forms of messages, from public threads ----

fn plist(xml: &str) -> Value {
    bounded_plist::parse(format!("<plist version=\"1.0\">{xml}</plist>").as_bytes()).unwrap()
}

fn array(xml: &str) -> Value {
    plist(&format!("<array>{xml}</array>"))
}

fn request(xml: &str) -> Request {
    Request::parse(&array(xml)).unwrap()
}

fn at(path: &str) -> idev_backup::base::backup_path::BackupPath {
    path.parse().unwrap()
}

#[test]
fn version_exchange_accepts_offer() {
    // limd#248: 300 on iOS 8; limd#998 and limd#1540: 400 since iOS 14.
    for version in [300, 400] {
        let offer = array(&format!(
            "<string>DLMessageVersionExchange</string><integer>{version}</integer><integer>0</integer>"
        ));
        assert_eq!(message::offered_version(&offer).unwrap(), version);
        let accept = array(&format!(
            "<string>DLMessageVersionExchange</string><string>DLVersionsOk</string><integer>{version}</integer>"
        ));
        assert_eq!(message::accept_version(version), accept);
    }
    let ready = array("<string>DLMessageDeviceReady</string>");
    assert!(message::is_ready(&ready));
}

/// Checks that Hello offers two protocol versions, and that ErrorCode 0 in the response is success.
#[test]
fn hello_response_code_zero_succeeds() {
    // net#81: iOS 12.1.1. The author of the thread mistook ErrorCode 0 for an error.
    let hello = array(
        "<string>DLMessageProcessMessage</string><dict><key>MessageName</key><string>Hello</string>\
         <key>SupportedProtocolVersions</key><array><real>2.0</real><real>2.1</real></array></dict>",
    );
    assert_eq!(message::hello(), hello);
    let response = request(
        "<string>DLMessageProcessMessage</string><dict><key>ErrorCode</key><integer>0</integer>\
         <key>ProtocolVersion</key><real>2.1</real><key>MessageName</key><string>Response</string></dict>",
    );
    let success = Verdict {
        code: 0,
        description: String::new(),
    };
    assert_eq!(response.kind, Kind::Verdict(success));
}

/// Checks that our request for a full backup equals that of other clients.
#[test]
fn full_backup_request_matches_others() {
    // limd#1380
    let asked = array(
        "<string>DLMessageProcessMessage</string><dict><key>MessageName</key><string>Backup</string>\
         <key>Options</key><dict><key>ForceFullBackup</key><true/></dict>\
         <key>TargetIdentifier</key><string>X</string></dict>",
    );
    assert_eq!(message::backup("X", true), asked);
}

/// Checks that the reply to a request for an absent Status.plist equals that of a Mac.
#[test]
fn missing_file_reply_matches_mac() {
    // limd#1412: the first request of every backup, and the reply of a Mac.
    let path = "00008030-001C195E0A88802E/Status.plist";
    let asked = request(&format!(
        "<string>DLMessageDownloadFiles</string><array><string>{path}</string></array>\
         <dict><key>DLDeviceIOCallbacks</key><integer>7</integer></dict><real>0.5</real><integer>0</integer>"
    ));
    assert_eq!(asked.kind, Kind::SendFiles(vec![at(path)]));

    let mut wire = Cursor::new(Vec::new());
    let token = CancelToken::default();
    let mut outgoing = Outgoing::new(&mut wire, &token);
    let fault = outgoing.send(&at(path), Err(Fault::NotFound)).unwrap();
    assert_eq!(fault, Some(Fault::NotFound));
    outgoing.finish().unwrap();
    let why = b"No such file or directory";
    let mut frame = (path.len() as u32).to_be_bytes().to_vec();
    frame.extend(path.as_bytes());
    frame.extend((why.len() as u32 + 1).to_be_bytes());
    frame.push(6);
    frame.extend(why);
    frame.extend([0; 4]);
    assert_eq!(wire.into_inner(), frame);

    let answer = array(&format!(
        "<string>DLMessageStatusResponse</string><integer>-13</integer><string>Multi status</string>\
         <dict><key>{path}</key><dict><key>DLFileErrorString</key><string>No such file or directory</string>\
         <key>DLFileErrorCode</key><integer>-6</integer></dict></dict>"
    ));
    let reply = Reply::Several(vec![(at(path), Fault::NotFound)]);
    assert_eq!(reply.to_plist(), answer);
}

#[test]
fn upload_requests_parse_both_forms() {
    // limd#437 (iOS 7 and later), limd#180 (iOS 8). The real is the progress after the batch; it
    // may exceed 100.
    for (xml, bytes, percent) in [
        (
            "<dict/><real>0.97970221454610817</real><integer>0</integer>",
            0,
            0.979_702_214_546_108_2,
        ),
        (
            "<dict><key>DLDeviceIOCallbacks</key><integer>392695960</integer></dict>\
             <real>1.1107738280575556</real><integer>6878833</integer>",
            6_878_833,
            1.110_773_828_057_555_6,
        ),
        ("<dict/><real>104.5</real><integer>1</integer>", 1, 104.5),
    ] {
        let upload = request(&format!("<string>DLMessageUploadFiles</string>{xml}"));
        assert_eq!(upload.kind, Kind::ReceiveFiles(bytes));
        assert_eq!(upload.percent, Some(percent));
    }
}

#[test]
fn empty_download_list_is_answered() {
    // limd#112: if the host sends no reply, the phone repeats the request forever.
    let asked = request(
        "<string>DLMessageDownloadFiles</string><array></array>\
         <dict><key>DLDeviceIOCallbacks</key><integer>400508120</integer></dict>\
         <real>97.010055</real><integer>0</integer>",
    );
    assert_eq!(asked.kind, Kind::SendFiles(vec![]));
    assert_eq!(asked.percent, Some(97.010_055));
    let done = array(
        "<string>DLMessageStatusResponse</string><integer>0</integer>\
         <string>___EmptyParameterString___</string><dict/>",
    );
    assert_eq!(Reply::Several(vec![]).to_plist(), done);
}

/// Checks the requests for free and for purged disk space and our replies, and that the required
/// space is computed from them.
#[test]
fn disk_space_messages_are_parsed() {
    // limd#1071: 10,000,000 bytes free were not enough.
    let space = request("<string>DLMessageGetFreeDiskSpace</string>");
    assert_eq!(space.kind, Kind::FreeSpace);
    let free = array(
        "<string>DLMessageStatusResponse</string><integer>0</integer>\
         <string>___EmptyParameterString___</string><integer>10000000</integer>",
    );
    assert_eq!(Reply::Number(10_000_000).to_plist(), free);
    let purge = request(
        "<string>DLMessagePurgeDiskSpace</string><integer>26418026591</integer><integer>4</integer>",
    );
    assert_eq!(purge.kind, Kind::Purge(26_418_026_591));
    // pmd3#1884: Apple's own host answers -1 and 0, and keeps serving. The text is arbitrary.
    let reply = Reply::NotPurged.to_plist();
    let reply = reply.as_array().unwrap();
    assert_eq!(reply[1], Value::Integer((-1).into()));
    assert_eq!(reply[3], Value::Integer(0.into()));
    // pmd3#1879: the requested and the free bytes add up to the phone's estimate in the thread.
    // pmd3#1886: the estimate exceeds the need by 2 GiB.
    let shortage = Shortage {
        asked_bytes: 667_490_157_139,
        free_bytes: 302_044_200_960,
    };
    assert_eq!(shortage.required_bytes(), 969_534_358_099 - (2 << 30));
}

#[test]
fn real_error_codes_are_classified() {
    for (code, description, class) in [
        // limd#1380: the passcode was not entered for about three minutes, iOS 16.1.
        (
            208,
            "Device locked (MBErrorDomain/208)",
            FailureKind::Locked,
        ),
        // limd#1384, pmd3#1879
        (
            105,
            "Insufficient free disk space on drive to back up (MBErrorDomain/105)",
            FailureKind::NoSpace,
        ),
        // limd#1361
        (
            104,
            "Multiple errors uploading files (MBErrorDomain/104)",
            FailureKind::Failed,
        ),
        // limd#187
        (
            212,
            "Unable to backup until Setup is finished (MBErrorDomain/212)",
            FailureKind::Failed,
        ),
        // limd#996
        (
            207,
            "Invalid password (MBErrorDomain/207)",
            FailureKind::WrongPassword,
        ),
    ] {
        let verdict = request(&format!(
            "<string>DLMessageProcessMessage</string><dict><key>ErrorCode</key><integer>{code}</integer>\
             <key>ErrorDescription</key><string>{description}</string>\
             <key>MessageName</key><string>Response</string></dict>"
        ));
        let Kind::Verdict(verdict) = verdict.kind else {
            panic!("{code}")
        };
        let refusal = error_codes::explain(&verdict, None, None, "/srv");
        assert_eq!((refusal.code, refusal.kind), (code, class), "{description}");
        assert!(refusal.to_string().contains(description), "{code}");
    }
}

/// Checks that the requests of a first backup are parsed, in the order in which a phone sent them.
#[test]
fn first_backup_messages_are_parsed() {
    // limd#180: iOS 8, the first messages of a first backup.
    const U: &str = "0123456789abcdef0123456789abcdef01234567";
    let path = |rest: &str| at(&format!("{U}{rest}"));
    for (xml, wanted) in [
        (
            format!(
                "<string>DLMessageDownloadFiles</string><array><string>{U}/Status.plist</string></array>"
            ),
            Kind::SendFiles(vec![path("/Status.plist")]),
        ),
        (
            format!("<string>DLContentsOfDirectory</string><string>{U}/Snapshot</string>"),
            Kind::List(path("/Snapshot")),
        ),
        (
            format!("<string>DLContentsOfDirectory</string><string>{U}</string>"),
            Kind::List(path("")),
        ),
        (
            "<string>DLMessageGetFreeDiskSpace</string>".to_owned(),
            Kind::FreeSpace,
        ),
        (
            format!("<string>DLMessageCreateDirectory</string><string>{U}</string>"),
            Kind::MakeDir(path("")),
        ),
        (
            format!("<string>DLMessageCreateDirectory</string><string>{U}/Snapshot</string>"),
            Kind::MakeDir(path("/Snapshot")),
        ),
        (
            "<string>DLMessageUploadFiles</string><dict/><real>13.061936</real><integer>6878833</integer>"
                .to_owned(),
            Kind::ReceiveFiles(6_878_833),
        ),
    ] {
        assert_eq!(request(&xml).kind, wanted, "{xml}");
    }
}

/// Checks that a request to create a folder below `_unback_` is parsed together with its progress.
#[test]
fn unback_directory_request_has_progress() {
    // limd#311: iOS 9.3. The fourth element is a progress of 0.0.
    let folder = "_unback_/00000000-0000-0000-0000-000000000000/var/mobile/Applications/com.apple.TestFlight/Library";
    let asked = request(&format!(
        "<string>DLMessageCreateDirectory</string><string>{folder}</string><dict/><real>0.0</real>"
    ));
    assert_eq!(asked.kind, Kind::MakeDir(at(folder)));
    assert_eq!(asked.percent, Some(0.0));
}
