//! Bodies of the fuzz targets, each with the promises that must hold for any bytes. The fuzz
//! targets use them, and so does `tests/fuzz.rs`, which runs the stored inputs with any compiler.

#![allow(dead_code, clippy::unwrap_used)] // Each target uses one of them, and a broken promise must panic.

use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use idev_backup::backup_format::SCHEMA;
use idev_backup::backup_format::keybag::KeyBag;
use idev_backup::backup_format::manifest_db::{Db, Kind, Row};
use idev_backup::backup_format::manifest_mbdb::{Mbdb, Record, Records};
use idev_backup::backup_format::plists::{Info, ManifestPlist, Status};
use idev_backup::backup_format::record::{FileRecord, MODE_FILE, file_id};
use idev_backup::base::backup_path::BackupPath;
use idev_backup::base::bounded_plist;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::Silent;
use idev_backup::base::secret::Secret;
use idev_backup::content::messages::{Messages, Period, Which};
use idev_backup::content::notes::Notes;
use idev_backup::content::typedstream::attributed_text;
use idev_backup::device::PairRecord;
use idev_backup::export::files;
use idev_backup::mobilebackup::{DeviceFault, Entry, Fault, Host, Request, Session};
use idev_backup::reader::backup::Backup;
use idev_backup::reader::info;
use idev_backup::reader::passwords::NoPasswords;
use idev_backup::store::draft::journal::Replay;
use idev_backup::store::hash_sources::Sources;
use idev_backup::store::sums::{self, Lines, Sums};
use idev_backup::store::walk::order;
use idev_backup::trace::framing::{Framer, Framing};
use idev_backup::trace::line::{Dir, Event, Line, Message};
use idev_backup::trace::redact::Redactor;
use idev_backup::trace::{Trace, json};
use idev_backup::transport::usb::mux::{INPUT_BYTES_MAX, Mux, TRANSFER_BYTES};
use idev_backup::transport::usbmuxd;
use idev_backup::verify;
use plist::Value;

const UDID: &str = "00008130-001A2B3C4D5E6F70";

/// Checks that a property list that is accepted can be written in both forms, and dropped.
pub fn plist(bytes: &[u8]) {
    if let Ok(value) = bounded_plist::parse(bytes) {
        value.to_writer_binary(io::sink()).unwrap();
        // The writer may refuse text that XML cannot hold, but must not panic.
        drop(value.to_writer_xml(io::sink()));
    }
}

/// Runs a whole backup with a phone that sends these bytes after its greetings. No path that the
/// phone names may leave the backup.
pub fn session(bytes: &[u8]) {
    let token = CancelToken::new(Arc::new(AtomicBool::new(false)));
    let far = Far(Cursor::new([&greetings()[..], bytes].concat()));
    let session = Session::open(Box::new(far), token).unwrap();
    drop(session.backup(UDID, true, &mut Nobody));
}

/// Parses a message of the daemon.
pub fn usbmux(bytes: &[u8]) {
    if let Ok((_, length)) = usbmuxd::parse_message(bytes) {
        assert!(length <= bytes.len());
    }
}

/// Feeds a phone's USB packets to a computer that opens, reads, writes and closes connections
/// meanwhile. The computer must never read more than it received, and its buffers must stay
/// bounded.
pub fn mux(bytes: &[u8]) {
    let mut now = Instant::now();
    let mut mux = Mux::new();
    let (mut ports, mut received, mut read) = (vec![1], 0, 0);
    let mut rest = bytes;
    while let [turn, many, tail @ ..] = rest {
        let (mut used, many) = (0, usize::from(*many));
        let port = ports[many % ports.len()];
        match turn % 8 {
            // The bytes of one transfer: a short one, or as many of a full one as are left.
            kind @ 0..=2 => {
                used = tail
                    .len()
                    .min([many, many << 8, TRANSFER_BYTES][usize::from(kind)]);
                received += used;
                if mux.receive(&tail[..used]).is_err() {
                    break;
                }
            }
            3 => ports.extend(mux.connect(many as u16).unwrap_or_default()),
            4 => {
                let mut buffer = vec![0; many << 6];
                let count = mux.read(now, port, &mut buffer);
                read += count.unwrap_or_default();
            }
            5 => drop(mux.write(port, &[7; 70_000][..many << 8])),
            6 => drop(mux.close(port)),
            _ => {
                now += Duration::from_millis(many as u64);
                let due = mux.deadline();
                assert!(
                    mux.tick(now).is_err()
                        || mux.deadline().is_none_or(|at| at > now && due.is_some())
                );
                for _ in 0..many {
                    mux.output();
                }
            }
        }
        rest = &tail[used..];
    }
    for port in ports {
        let mut held = vec![0; INPUT_BYTES_MAX + 1];
        let count = mux.read(now, port, &mut held).unwrap_or_default();
        assert!(count <= INPUT_BYTES_MAX);
        read += count;
    }
    assert!(read <= received);
    let waiting: Vec<_> = std::iter::from_fn(|| mux.output()).collect();
    assert!(waiting.len() <= 1024 && waiting.iter().map(Vec::len).sum::<usize>() < 1 << 20);
}

/// Parses a packet of the file service.
pub fn afc(bytes: &[u8]) {
    drop(idev_backup::device::afc::parse_packet(bytes));
}

/// Reads a trace from an untrusted source. A trace that can be read can be played, and written
/// again unchanged.
pub fn trace(bytes: &[u8]) {
    let Ok(trace) = Trace::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    drop(idev_backup::simulator::Replay::new(&trace));
    for line in &trace.lines {
        let again = Line::parse(&line.to_json().to_string()).unwrap();
        assert_eq!(line.event, again.event);
        if let Event::Message(_, Message::Plist(value)) = &line.event {
            drop(json::to_plist(value));
        }
    }
}

/// Cuts the bytes of a recorded channel into messages. The result must not depend on how the bytes
/// were split on arrival.
pub fn framing(bytes: &[u8]) {
    let [kind, piece, rest @ ..] = bytes else {
        return;
    };
    let framing = match kind % 4 {
        0 => Framing::Usbmux,
        1 => Framing::Plists,
        2 => Framing::DeviceLink,
        _ => Framing::Afc,
    };
    let items = |piece: usize| {
        let mut framer = Framer::new(framing, true);
        let mut items = Vec::new();
        // Turns of 100 bytes, because both ends take turns.
        for (turn, bytes) in rest.chunks(100).enumerate() {
            let dir = [Dir::FromPhone, Dir::ToPhone][turn / 4 % 2];
            for bytes in bytes.chunks(piece) {
                framer.push(dir, bytes, &mut |item| items.push(item));
            }
        }
        for dir in [Dir::FromPhone, Dir::ToPhone] {
            framer.end(dir, &mut |item| items.push(item));
        }
        let mut redactor = Redactor::default();
        let messages: Vec<_> = items
            .into_iter()
            .map(|item| redactor.item(framing, item))
            .collect();
        messages
    };
    assert_eq!(items(usize::from(*piece).max(1)), items(100));
}

/// Parses a pair record that may be damaged or foreign.
pub fn pair_record(bytes: &[u8]) {
    if let Ok(record) = PairRecord::parse(&Secret::new(bytes.to_vec())) {
        drop(record.to_plist());
    }
}

/// Parses the record of a file. The fast paths, to its size alone and to all of it, must agree with
/// the full parser.
pub fn record(bytes: &[u8]) {
    let row = Row {
        file_id: String::new(),
        domain: String::new(),
        relative_path: String::new(),
        kind: Kind::File,
        archive: bytes.to_vec(),
    };
    let long = FileRecord::decode_as_values(bytes);
    if let (Ok(short), Ok(long)) = (row.size(), &long) {
        assert_eq!(short, long.size);
    }
    assert_eq!(row.record(), long);
}

/// Opens a backup whose metadata files all consist of these bytes.
pub fn metadata(bytes: &[u8]) {
    let folder = folder("metadata");
    for name in [
        "Status.plist",
        "Manifest.plist",
        "Info.plist",
        "Manifest.db",
    ] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    drop(Status::read(&folder));
    drop(ManifestPlist::read(&folder));
    drop(Info::read(&folder));
    if let Ok(db) = Db::open(&folder) {
        drop(db.check(true));
        let mut rows = 0;
        drop(db.rows(|row| {
            drop(row.size());
            rows += 1;
            rows < 10_000
        }));
    }
}

/// Reads a list of files of iOS 9 or older. A list that is accepted can be read again in the order
/// of its ids, each record once, and every name stays in the backup's folder.
pub fn mbdb(bytes: &[u8]) {
    let folder = folder("mbdb");
    std::fs::write(folder.join("Manifest.mbdb"), bytes).unwrap();
    let mut records = 0;
    if let Ok(mut list) = Records::open(bytes) {
        while let Ok(Some(_)) = list.read() {
            records += 1;
        }
    }
    assert!(records * 50 <= bytes.len());
    if let Ok(list) = Mbdb::open(&folder) {
        let mut before = String::new();
        let each = |record: Record| {
            let id = record.file_id();
            assert!(id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(id > before, "{id} comes after {before}");
            before = id;
            records -= 1;
            true
        };
        list.rows(each).unwrap();
        assert_eq!(records, 0);
    }
}

/// Parses the keys of an encrypted backup. A bag that is accepted has everything that a password
/// needs, and no more bytes than the input.
pub fn keybag(bytes: &[u8]) {
    if let Ok(bag) = KeyBag::parse(bytes) {
        assert!(bag.iterations > 0 && !bag.salt.is_empty());
        let keys = bag.class_keys.iter().flat_map(|key| &key.wrapped_key);
        let key_bytes: usize = keys.map(|key| key.expose().len()).sum();
        assert!(key_bytes > 0 && key_bytes < bytes.len());
        let first = bag
            .first_derivation
            .as_ref()
            .map_or(0, |first| first.iterations);
        // A wrong password must open nothing. Skipped for the number of rounds that real phones
        // use, which would take seconds.
        if bag.iterations.max(first) < 100 || bag.iterations > 10_000_000 || first > 50_000_000 {
            assert!(bag.unlock(&Secret::new(b"wrong".to_vec())).is_err());
        }
    }
}

/// Decodes an archived body. The ranges must follow one another within the text.
pub fn typedstream(bytes: &[u8]) {
    let Ok(body) = attributed_text(bytes) else {
        return;
    };
    let mut covered = 0;
    for run in body.runs() {
        assert!(body.text[covered..].starts_with(run.text));
        covered += run.text.len();
        run.text("__kIMFileTransferGUIDAttributeName");
        run.integer("__kIMMessagePartAttributeName");
    }
    assert!(covered <= body.text.len() && body.text.len() <= bytes.len() * 3);
}

/// Reads a message whose body, payload and summary are these bytes. The message is there, whatever
/// they are.
pub fn message(bytes: &[u8]) {
    let folder = folder("message");
    let (backup, database) = (folder.join("backup"), folder.join("sms.db"));
    if !backup.exists() {
        list(&backup, &[MESSAGES]);
        let sms = rusqlite::Connection::open(&database).unwrap();
        sms.execute_batch(
            "CREATE TABLE message (guid TEXT UNIQUE, text, attributedBody, date, is_from_me, payload_data,
                balloon_bundle_id, message_summary_info, date_edited);
             CREATE TABLE chat (guid); CREATE TABLE handle (id);
             CREATE TABLE chat_message_join (chat_id, message_id);
             INSERT INTO message (guid, date, is_from_me, balloon_bundle_id, date_edited) VALUES
                ('A', 1, 0, 'com.apple.messages.URLBalloonProvider', 1), ('B', 2, 0, 'org.example.app', 1);",
        )
        .unwrap();
    }
    let sms = rusqlite::Connection::open(&database).unwrap();
    sms.execute(
        "UPDATE message SET attributedBody = ?1, payload_data = ?1, message_summary_info = ?1",
        [bytes],
    )
    .unwrap();
    drop(sms);
    std::fs::copy(&database, stored(&backup, MESSAGES)).unwrap();
    let opened = Backup::open(&backup, &NoPasswords).unwrap();
    let messages = Messages::open(&opened).unwrap();
    let mut count = 0;
    let read = messages.each(Which::WithoutChat, &Period::default(), |message| {
        assert!(message.text.is_none() || message.undecodable.is_none());
        count += 1;
        true
    });
    assert!(read.is_ok() && count == 2);
}

/// Reads a note whose body is these bytes, and in which a table is these bytes too. The note is
/// there, whatever they are, and has a text or a reason.
pub fn note(bytes: &[u8]) {
    const NOTES: (&str, &str) = ("AppDomainGroup-group.com.apple.notes", "NoteStore.sqlite");
    /// A body with a table in it: the text is U+FFFC, the attachment is T.
    const TABLE: &[u8] =
        b"\x12\x1a\x1a\x18\x12\x03\xef\xbf\xbc\x2a\x11\x08\x01\x62\x0d\x0a\x01T\x12\x08a.table!";
    let folder = folder("note");
    let (backup, database) = (folder.join("backup"), folder.join("notes.db"));
    if !backup.exists() {
        list(&backup, &[NOTES]);
        let store = rusqlite::Connection::open(&database).unwrap();
        store
            .execute_batch(
                "CREATE TABLE ZICCLOUDSYNCINGOBJECT (Z_PK INTEGER PRIMARY KEY, Z_ENT, ZIDENTIFIER, ZTITLE1,
                    ZTYPEUTI, ZMERGEABLEDATA1);
                 CREATE TABLE ZICNOTEDATA (Z_PK INTEGER PRIMARY KEY, ZNOTE, ZDATA);
                 CREATE TABLE Z_PRIMARYKEY (Z_ENT, Z_NAME);
                 INSERT INTO Z_PRIMARYKEY VALUES (1, 'ICNote'), (2, 'ICAttachment');
                 INSERT INTO ZICCLOUDSYNCINGOBJECT VALUES (1, 1, 'N', 'a', NULL, NULL), (2, 1, 'M', 'b', NULL, NULL),
                    (3, 2, 'T', NULL, 'com.apple.notes.table', NULL);
                 INSERT INTO ZICNOTEDATA VALUES (1, 1, NULL), (2, 2, NULL);",
            )
            .unwrap();
    }
    let packed = |bytes: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let store = rusqlite::Connection::open(&database).unwrap();
    let sql = "UPDATE ZICNOTEDATA SET ZDATA = CASE Z_PK WHEN 1 THEN ?1 ELSE ?2 END";
    store.execute(sql, [packed(bytes), packed(TABLE)]).unwrap();
    let sql = "UPDATE ZICCLOUDSYNCINGOBJECT SET ZMERGEABLEDATA1 = ?1 WHERE Z_PK = 3";
    store.execute(sql, [packed(bytes)]).unwrap();
    drop(store);
    std::fs::copy(&database, stored(&backup, NOTES)).unwrap();
    let opened = Backup::open(&backup, &NoPasswords).unwrap();
    let mut count = 0;
    let read = Notes::open(&opened).unwrap().each(|mut note| {
        assert!(note.text.is_some() != note.undecodable.is_some());
        if note.guid == "M" {
            let tables = note.attachments_mut().map(|one| {
                assert!(one.table.is_some() != one.undecodable.is_some());
            });
            assert_eq!(tables.count(), 1);
        }
        count += 1;
        true
    });
    assert!(read.is_ok() && count == 2);
}

/// The database of messages, and its write-ahead log, as domains and paths.
const MESSAGES: (&str, &str) = ("HomeDomain", "Library/SMS/sms.db");
const MESSAGES_WAL: (&str, &str) = ("HomeDomain", "Library/SMS/sms.db-wal");

/// Creates a backup whose list names these files.
fn list(backup: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(backup).unwrap();
    let list = rusqlite::Connection::open(backup.join("Manifest.db")).unwrap();
    list.execute_batch(SCHEMA).unwrap();
    for (domain, path) in files {
        let record = FileRecord {
            mode: MODE_FILE | 0o644,
            ..FileRecord::default()
        };
        let id = file_id(domain, path);
        std::fs::create_dir_all(backup.join(&id[..2])).unwrap();
        let sql = "INSERT INTO Files VALUES (?1, ?2, ?3, 1, ?4)";
        list.execute(sql, (&id, domain, path, record.encode()))
            .unwrap();
    }
}

/// Returns the place of a file in a backup.
fn stored(backup: &Path, (domain, path): (&str, &str)) -> PathBuf {
    let id = file_id(domain, path);
    backup.join(&id[..2]).join(&id)
}

/// Reads a small database of messages with this write-ahead log. Reading ends, and finds at most
/// the rows that both together can hold.
pub fn wal(bytes: &[u8]) {
    let folder = folder("wal");
    let backup = folder.join("backup");
    if !backup.exists() {
        list(&backup, &[MESSAGES, MESSAGES_WAL]);
        let sms = rusqlite::Connection::open(stored(&backup, MESSAGES)).unwrap();
        sms.execute_batch(
            "PRAGMA page_size = 512; CREATE TABLE message (guid, text, date);
             CREATE TABLE chat (guid); CREATE TABLE handle (id);
             CREATE TABLE chat_message_join (chat_id, message_id);
             INSERT INTO message VALUES ('A', 'first', 1)",
        )
        .unwrap();
    }
    std::fs::write(stored(&backup, MESSAGES_WAL), bytes).unwrap();
    let opened = Backup::open(&backup, &NoPasswords).unwrap();
    let Ok(messages) = Messages::open(&opened) else {
        return;
    };
    let mut count = 0;
    let each = |_| {
        count += 1;
        true
    };
    // A log can damage the rows, and an error then says so.
    drop(messages.each(Which::WithoutChat, &Period::default(), each));
    assert!(count <= 1000 + bytes.len());
}

/// Checks, reads and extracts a backup with an untrusted list. Each operation must end, and may
/// write only to the target.
pub fn backup(bytes: &[u8]) {
    let folder = folder("backup");
    let backup = folder.join("backup");
    if !backup.join("aa").exists() {
        std::fs::create_dir_all(backup.join("aa")).unwrap();
        std::fs::write(backup.join("aa").join("aa".repeat(20)), b"bplist00").unwrap();
        for name in ["Status.plist", "Manifest.plist", "Info.plist"] {
            let fields =
                plist::Dictionary::from_iter([("IsEncrypted".to_owned(), Value::from(false))]);
            Value::Dictionary(fields)
                .to_file_binary(backup.join(name))
                .unwrap();
        }
    }
    std::fs::write(backup.join("Manifest.db"), bytes).unwrap();
    let options = verify::Options {
        depth: verify::Depth::Deep,
        ..verify::Options::default()
    };
    let report = verify::verify(&backup, &options, &Silent).unwrap();
    assert!(report.findings.len() <= 1000);
    let target = folder.join("target");
    if let Ok(opened) = Backup::open(&backup, &NoPasswords) {
        let never = AtomicBool::new(false);
        drop(files::extract(
            &opened,
            &target,
            &files::Options::default(),
            &never,
            &Silent,
        ));
        drop(info::info(&backup, &info::Options::default()));
    }
    let beside = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    for name in beside {
        assert!(name == "backup" || name == "target", "{name:?} was written");
    }
    assert_eq!(std::fs::read_dir(&backup).unwrap().count(), 5);
    drop(std::fs::remove_dir_all(&target));
}

/// Reads our own lists as a power cut may leave them.
pub fn lists(bytes: &[u8]) {
    let folder = folder("lists");
    let list = folder.join("SHA256SUMS");
    std::fs::write(&list, bytes).unwrap();
    let lines = Sums::open(&list).unwrap();
    for line in lines.take(10_000) {
        if line.is_err() {
            break;
        }
    }
    // The good lines between damaged ones must come in order.
    let mut last: Option<String> = None;
    for line in Lines::open(&list).unwrap().take(10_000) {
        if let sums::Line::Good(path, _) = line.unwrap() {
            let before = last.as_deref().map(|last| order(last, &path));
            assert!(before.is_none_or(std::cmp::Ordering::is_lt), "{path:?}");
            last = Some(path);
        }
    }
    let mut sources = Sources::open(Some(&list));
    for path in ["00/0", "Info.plist", "zz"] {
        sources.of(path);
    }
    std::fs::write(folder.join("00"), bytes).unwrap();
    if let Ok(replay) = Replay::load(&folder, 0) {
        replay.fate("U/00/0000000000000000000000000000000000000000");
    }
}

/// Parses a path from a phone. A path that is accepted stays below any folder that it is joined to.
pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = text.parse::<BackupPath>() {
        let root = Path::new("/root");
        let below = path.below(root);
        assert!(below.starts_with(root) && below != root);
        for part in below.strip_prefix(root).unwrap().components() {
            assert!(matches!(part, std::path::Component::Normal(_)), "{below:?}");
        }
    }
}

/// Removes the files that a target wrote.
pub fn tidy_up(name: &str) {
    std::fs::remove_dir_all(folder(name)).unwrap();
}

fn folder(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_path_buf()
    } else {
        std::env::temp_dir()
    };
    let folder = base.join(format!("idev-backup-fuzz-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Returns the messages that a phone sends before the backup is requested.
fn greetings() -> Vec<u8> {
    let mut response = plist::Dictionary::new();
    response.insert("MessageName".into(), "Response".into());
    response.insert("ErrorCode".into(), 0.into());
    response.insert("ProtocolVersion".into(), Value::Real(2.1));
    let messages: [Vec<Value>; 3] = [
        vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()],
        vec!["DLMessageDeviceReady".into()],
        vec![
            "DLMessageProcessMessage".into(),
            Value::Dictionary(response),
        ],
    ];
    let mut bytes = Vec::new();
    for message in messages {
        let mut body = Vec::new();
        Value::Array(message).to_writer_binary(&mut body).unwrap();
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
    }
    bytes
}

/// The phone's end of a connection: sends the prepared bytes, and ignores everything it receives.
struct Far(Cursor<Vec<u8>>);

impl Read for Far {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Far {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A computer that stores nothing and only checks the paths to which files would be written.
struct Nobody;

fn look(path: &BackupPath) {
    let first = path.first();
    assert!(first == ".b" || first.starts_with(UDID), "{path}");
}

impl Host for Nobody {
    fn begins(&mut self, request: &Request) {
        request.paths().into_iter().for_each(look);
    }

    fn free_space(&mut self) -> Result<u64, Fault> {
        Ok(1 << 40)
    }

    fn purge(&mut self, _amount: u64) -> Result<u64, Fault> {
        Err(Fault::NoSpace)
    }

    fn receive(&mut self, path: &BackupPath, body: &mut dyn Read) -> Result<(), Fault> {
        look(path);
        io::copy(body, &mut io::sink())
            .map(drop)
            .map_err(|_| Fault::Io)
    }

    fn settle(&mut self) -> Vec<(BackupPath, Fault)> {
        Vec::new()
    }

    fn device_fault(&mut self, _fault: DeviceFault) {}

    fn open(&mut self, _path: &BackupPath) -> Result<Box<dyn Read + Send>, Fault> {
        Err(Fault::NotFound)
    }

    fn list(&mut self, _path: &BackupPath) -> Result<Vec<Entry>, Fault> {
        Ok(vec![Entry {
            name: "x".into(),
            kind: idev_backup::mobilebackup::EntryKind::Regular,
            size: 1,
            modified: SystemTime::UNIX_EPOCH,
        }])
    }

    fn make_dir(&mut self, path: &BackupPath) -> Result<(), Fault> {
        look(path);
        Ok(())
    }

    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault> {
        look(from);
        look(to);
        Ok(())
    }

    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault> {
        self.rename(from, to)
    }

    fn remove(&mut self, path: &BackupPath) -> Result<(), Fault> {
        look(path);
        Ok(())
    }
}
