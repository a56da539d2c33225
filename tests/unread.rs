//! Reads a backup with one fault: every command returns everything else, names the fault, and exits
//! with code 3.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use idev_backup::backup_format::record::{FileRecord, MODE_DIR, MODE_FILE, file_id};
use idev_backup::base::progress::Silent;
use idev_backup::export::files::{self, Options};
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::NoPasswords;
use rusqlite::Connection;

use crate::made::Made;
use crate::rig::program::{Ran, ended, program};
use crate::rig::{self, Rig, UDID};

const ROLL: &str = "CameraRollDomain";
const FILES: usize = 400;
const PAGE: usize = 4096;

fn photo(number: usize) -> String {
    format!("Media/DCIM/100APPLE/IMG_{number:04}.JPG")
}

/// Creates a backup of 400 photos. The content of each file is its path.
fn photos() -> Made {
    let mut made = Made::default();
    for number in 0..FILES {
        let path = photo(number);
        made.file(ROLL, &path, path.as_bytes());
    }
    made
}

struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new(made: &Made) -> Room {
        let dir = rig::room();
        made.write(&dir.path().join("backup"));
        Room { dir }
    }

    fn backup(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    fn sql(&self, statements: &str) {
        let db = Connection::open(self.backup().join("Manifest.db")).unwrap();
        db.execute_batch(statements).unwrap();
    }

    /// Runs a command; `BACKUP` and `TO` stand for folders.
    fn run(&self, words: &[&str]) -> Ran {
        let word = |word: &&str| {
            word.replace("BACKUP", self.backup().to_str().unwrap())
                .replace("TO/", &format!("{}/", self.dir.path().display()))
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
        command
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).args(words.iter().map(word));
        ended(&mut command)
    }

    fn ends(&self, words: &[&str], code: i32) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.code, code, "{words:?}: {}", ran.all());
        ran
    }
}

fn files_below(folder: &Path) -> usize {
    let all = rig::tree(folder);
    all.values().filter(|bytes| bytes.is_some()).count()
}

/// Checks that every command that reads a list with one bad row names the row, exits with code 3
/// and returns all other files.
#[test]
fn bad_row_spares_other_rows() {
    let bad_name = "UPDATE Files SET relativePath = CAST(replace(relativePath, 'IMG_0100', 'IMG_') || x'ff' AS TEXT)
                    WHERE relativePath LIKE '%IMG_0100%'";
    let bad_record =
        "UPDATE Files SET file = x'62706c69737430300000' WHERE relativePath LIKE '%IMG_0100%'";
    let bad_flags = "UPDATE Files SET flags = 77 WHERE relativePath LIKE '%IMG_0100%'";
    for (statement, listed, said) in [
        (bad_name, FILES - 1, "its name is not UTF-8"),
        (bad_record, FILES, "its record"),
        (bad_flags, FILES - 1, "does not say whether it is a file"),
    ] {
        let room = Room::new(&photos());
        rig::copy_dir(&room.backup(), &room.dir.path().join("whole"));
        room.sql(statement);
        for words in [
            &["ls", "BACKUP"][..],
            &["ls", "BACKUP", ROLL, "-R"],
            &["find", "BACKUP"],
            &["find", "BACKUP", "--json"],
            &["tree", "BACKUP"],
            &["usage", "BACKUP"],
            &["info", "BACKUP"],
            &["diff", "TO/whole", "BACKUP"],
            &["extract", "BACKUP", "--to", "TO/extracted"],
            &["export", "photos", "BACKUP", "--to", "TO/exported"],
        ] {
            let ran = room.ends(words, 3);
            assert!(ran.all().contains(said), "{words:?}: {}", ran.all());
            let is_named = ran.all().contains("IMG_");
            assert!(is_named, "{words:?}: {}", ran.all());
        }
        let found = room.run(&["find", "BACKUP"]).out;
        assert_eq!(found.lines().count(), listed, "{said}");
        for folder in ["extracted", "exported"] {
            let files = files_below(&room.dir.path().join(folder));
            assert_eq!(files, listed, "{said}: {folder}");
        }
        let cat = room.run(&["cat", "BACKUP", &format!("{ROLL}/{}", photo(7))]);
        assert_eq!(cat.out, photo(7), "{said}");
    }
}

/// Zeroes each page of the list in turn and checks that no file is lost: the indexes still hold the
/// names from a zeroed page of the table.
#[test]
fn zeroed_page_loses_no_file() {
    let room = Room::new(&photos());
    let list = room.backup().join("Manifest.db");
    let whole = fs::read(&list).unwrap();
    assert!(whole.len() > 20 * PAGE);
    for page in 0..whole.len() / PAGE {
        let mut bytes = whole.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(&list, bytes).unwrap();
        let to = room.dir.path().join(format!("to-{page}"));
        let opened = Backup::open(&room.backup(), &NoPasswords).unwrap();
        let no = AtomicBool::new(false);
        let extracted = files::extract(&opened, &to, &Options::default(), &no, &Silent).unwrap();
        let report = extracted.report;
        assert_eq!(files_below(&to), FILES, "page {page}: {:?}", report.unread);
    }
    // Through the program, with a page of the table (13 is such a leaf) and one of an index (10).
    for kind in [13, 10] {
        let mut bytes = whole.clone();
        let page = (1..whole.len() / PAGE)
            .find(|page| bytes[page * PAGE] == kind && bytes[page * PAGE + 4] > 3)
            .unwrap();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(&list, bytes).unwrap();
        for words in [
            &["find", "BACKUP"][..],
            &["ls", "BACKUP", ROLL, "-R"],
            &["tree", "BACKUP"],
            &["diff", "BACKUP", "BACKUP"],
            &["usage", "BACKUP"],
            &["cat", "BACKUP", &format!("{ROLL}/{}", photo(7))],
        ] {
            let ran = room.run(words);
            assert!(
                [0, 3].contains(&ran.code),
                "{kind} {words:?}: {}",
                ran.all()
            );
            if ran.code == 3 {
                let says = ran.err.contains("problem: ") && ran.err.contains("hint: ");
                assert!(says, "{words:?}: {}", ran.all());
            } else {
                // A damaged index does not affect a command that does not use it.
                assert!(kind == 10 || words[0] == "cat", "{words:?}: {}", ran.all());
            }
        }
        let found = room.run(&["find", "BACKUP"]).out;
        assert_eq!(found.lines().count(), FILES, "{kind}");
    }
}

/// Checks that rows with flags of 0, an id stored as a blob, or a record without a size are read.
#[test]
fn nonstandard_row_types_are_read() {
    let mut made = Made::default();
    made.file("HomeDomain", "a", b"aaa");
    made.file("HomeDomain", "b", b"bbb");
    let folder = FileRecord {
        mode: MODE_DIR | 0o755,
        ..FileRecord::default()
    };
    made.row("HomeDomain", "folder", 0, folder.encode(), None);
    let unsized_record = FileRecord {
        mode: MODE_FILE | 0o644,
        lacks_size: true,
        last_modified: 1_600_000_000,
        ..FileRecord::default()
    };
    made.row(
        "HomeDomain",
        "c",
        1,
        unsized_record.encode(),
        Some(b"12345"),
    );
    let room = Room::new(&made);
    room.sql(
        "UPDATE Files SET flags = 0 WHERE relativePath = 'a';
         UPDATE Files SET fileID = CAST(fileID AS BLOB) WHERE relativePath = 'b'",
    );
    let info = room.run(&["info", "BACKUP", "--json"]).last_object();
    let contents = &info["contents"];
    assert_eq!(
        (&contents["files"], &contents["bytes"]),
        (&3.into(), &11.into())
    );
    assert_eq!(contents["folders"], 1);
    for (name, bytes) in [("a", "aaa"), ("b", "bbb"), ("c", "12345")] {
        let id = file_id("HomeDomain", name);
        assert_eq!(
            room.ends(&["cat", "BACKUP", &format!("HomeDomain/{name}")], 0)
                .out,
            bytes
        );
        assert_eq!(room.ends(&["cat", "BACKUP", &id], 0).out, bytes);
    }
    room.ends(&["extract", "BACKUP", "--to", "TO/x"], 0);
    let home = room.dir.path().join("x/HomeDomain");
    assert!(home.join("folder").is_dir() && fs::read(home.join("c")).unwrap() == b"12345");
    // `verify` counts them as files too.
    let verified = room.run(&["verify", "--quick", "BACKUP", "--json"]);
    assert!(!verified.all().contains("neither"), "{}", verified.all());
}

#[test]
fn damaged_manifest_plist_is_reported() {
    let room = Room::new(&photos());
    let path = room.backup().join("Manifest.plist");
    let damage: [&dyn Fn(); 3] = [
        &|| fs::write(&path, "").unwrap(),
        &|| fs::write(&path, "<plist><dict>").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
    ];
    for (place, damage) in damage.into_iter().enumerate() {
        damage();
        let to = format!("TO/x{place}");
        let ran = room.ends(&["extract", "BACKUP", "--to", &to], 3);
        assert!(ran.err.contains("Manifest.plist"), "{}", ran.all());
        assert_eq!(
            files_below(&room.dir.path().join(format!("x{place}"))),
            FILES
        );
        room.ends(&["info", "BACKUP"], 3);
        assert_eq!(room.run(&["verify", "BACKUP"]).code, 1);
    }
}

/// Checks that an encrypted backup is read if its Manifest.plist claims that it is not encrypted,
/// omits the flag, or stores it as a number.
#[test]
fn false_encryption_flag_is_detected() {
    let rig = Rig::with(idev_backup::simulator::PhoneConfig {
        backup_password: Some(idev_backup::simulator::Password::new("secret")),
        ..rig::config()
    });
    rig.try_create(&rig::options(), &Silent).unwrap();
    let path = rig.current().join("Manifest.plist");
    let fields = plist::Value::from_file(&path)
        .unwrap()
        .into_dictionary()
        .unwrap();
    let says: [Option<plist::Value>; 4] =
        [Some(false.into()), None, Some(0.into()), Some(1.into())];
    for said in says {
        let mut fields = fields.clone();
        fields.remove("IsEncrypted");
        if let Some(said) = &said {
            fields.insert("IsEncrypted".into(), said.clone());
        }
        fs::remove_file(&path).unwrap();
        plist::Value::Dictionary(fields)
            .to_file_binary(&path)
            .unwrap();
        let mut command = program(&rig);
        command.args(["find", "latest", "--kind", "file"]);
        let ran = ended(command.env("IDEV_BACKUP_PASSWORD", "secret"));
        assert_eq!(ran.code, 0, "{said:?}: {}", ran.all());
        assert_eq!(
            ran.out.lines().count(),
            rig.phone.files().count(),
            "{said:?}"
        );
        let mut command = program(&rig);
        let info = ended(command.args(["info", "latest", "--json"])).last_object();
        assert_eq!(info["encrypted"], true, "{said:?}");
    }
}

#[test]
fn foreign_metadata_is_read() {
    let mut made = Made::default();
    made.file("HomeDomain", "a", b"a");
    let room = Room::new(&made);
    let write = |name: &str, text: &str| {
        let whole =
            format!("<?xml version=\"1.0\"?><plist version=\"1.0\"><dict>{text}</dict></plist>");
        fs::write(room.backup().join(name), whole).unwrap();
    };
    // Only Manifest.plist names the phone, in a CDATA section.
    write(
        "Manifest.plist",
        "<key>IsEncrypted</key><false/><key>Lockdown</key><dict><key>DeviceName</key><string><![CDATA[Mira & Co]]></string>
         <key>ProductVersion</key><string>10.2</string><key>ProductType</key><string>iPhone8,1</string>
         <key>UniqueDeviceID</key><string>0123456789abcdef0123456789abcdef01234567</string></dict>",
    );
    // The first backup protocol used this key.
    write("Status.plist", "<key>Backup Success</key><true/>");
    let info = room.ends(&["info", "BACKUP", "--json"], 3).last_object();
    assert_eq!(info["name"], "Mira & Co");
    assert_eq!(
        (&info["ios"], &info["complete"]),
        (&"10.2".into(), &true.into())
    );
    assert_eq!(info["product_type"], "iPhone8,1");
    // Info.plist in UTF-16 names it too.
    let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><plist version=\"1.0\"><dict><key>Device Name</key><string>Jürgen</string></dict></plist>";
    let bytes: Vec<u8> = [0xfeffu16]
        .into_iter()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(room.backup().join("Info.plist"), bytes).unwrap();
    let info = room.ends(&["info", "BACKUP", "--json"], 0).last_object();
    assert_eq!(info["name"], "Jürgen");
    write("Status.plist", "<key>Version</key><string>2.4</string>");
    let verified = room.run(&["verify", "BACKUP"]).all();
    assert!(
        verified.contains("does not name the phone's last step"),
        "{verified}"
    );
    assert!(!verified.contains("\"\""), "{verified}");
}

/// Checks that a backup folder named with the UDID without its dash, or in lower case, belongs to
/// the phone.
#[test]
fn udid_spellings_are_normalized() {
    let rig = Rig::backed_up();
    for spelled in [UDID.replace('-', ""), UDID.to_ascii_lowercase()] {
        let store = rig.dir.path().join(format!("store of {spelled}"));
        fs::create_dir(&store).unwrap();
        rig::copy_dir(&rig.current(), &store.join(&spelled));
        let run = |words: &[&str]| {
            let mut command = program(&rig);
            let ran = ended(command.env("IDEV_BACKUP_STORE", &store).args(words));
            assert!([0, 3].contains(&ran.code), "{words:?}: {}", ran.all());
            ran
        };
        let listed = run(&["list", "--json"]).last_object();
        assert_eq!(listed["backups"][0]["udid"], UDID, "{spelled}");
        for name in ["latest", UDID, &spelled, &UDID[..12]] {
            assert_eq!(
                run(&["info", name, "--json"]).last_object()["udid"],
                UDID,
                "{name}"
            );
        }
    }
}

#[test]
fn dry_run_counts_existing_files() {
    let room = Room::new(&photos());
    for number in 0..FILES - 3 {
        let id = file_id(ROLL, &photo(number));
        fs::remove_file(room.backup().join(&id[..2]).join(&id)).unwrap();
    }
    for words in [
        &["extract", "BACKUP", "--to", "TO/x", "--dry-run", "--json"][..],
        &[
            "export",
            "photos",
            "BACKUP",
            "--to",
            "TO/x",
            "--dry-run",
            "--json",
        ],
    ] {
        let report = room.ends(words, 3).last_object();
        let missing = FILES as u64 - 3;
        assert_eq!(
            (&report["files"], &report["problems"]["count"]),
            (&3.into(), &missing.into())
        );
        assert!(!room.dir.path().join("x").exists());
    }
}

/// Checks that deleted and hidden photos are left out by default, and exported to folders of their
/// own with `--deleted` and `--hidden`.
#[test]
fn deleted_and_hidden_photos_are_separated() {
    let mut made = photos();
    let dir = rig::room();
    let path = dir.path().join("Photos.sqlite");
    let db = Connection::open(&path).unwrap();
    // Photo 1 is deleted, 2 hidden, 3 both; 4 was taken in the year 4000, 5 in 1601.
    db.execute_batch(
        "CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, ZDIRECTORY, ZFILENAME, ZDATECREATED, ZTRASHEDSTATE, ZHIDDEN);
         INSERT INTO ZASSET VALUES
            (1, 'DCIM/100APPLE', 'IMG_0001.JPG', 7e8, 1, 0), (2, 'DCIM/100APPLE', 'IMG_0002.JPG', 7e8, 0, 1),
            (3, 'DCIM/100APPLE', 'IMG_0003.JPG', 7e8, 1, 1), (4, 'DCIM/100APPLE', 'IMG_0004.JPG', 63082281600, 0, 0),
            (5, 'DCIM/100APPLE', 'IMG_0005.JPG', -12622780800, 0, 0);",
    )
    .unwrap();
    drop(db);
    made.file(
        ROLL,
        "Media/PhotoData/Photos.sqlite",
        &fs::read(path).unwrap(),
    );
    let room = Room::new(&made);
    let export = |to: &str, options: &[&str]| {
        let to = format!("TO/{to}");
        let words = [
            &["export", "photos", "BACKUP", "--json", "--to", &to],
            options,
        ]
        .concat();
        // The impossible dates of 4 and 5 are named.
        let report = room.ends(&words, 3).last_object();
        let all = rig::tree(&room.dir.path().join(&to[3..]));
        let names: Vec<String> = all
            .into_keys()
            .filter(|name| name.ends_with(".JPG"))
            .collect();
        (report, names)
    };
    let (report, names) = export("plain", &[]);
    assert_eq!(
        (&report["deleted_left_out"], &report["hidden_left_out"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (names.len(), &report["only_in_icloud"]),
        (FILES - 3, &0.into())
    );
    // The files' own time is 2020-09-13.
    for number in [4, 5] {
        let name = format!("2020/2020-09/IMG_{number:04}.JPG");
        assert!(names.contains(&name), "{name}");
    }
    let (report, names) = export("deleted", &["--deleted"]);
    assert_eq!(
        (names.len(), &report["hidden_left_out"]),
        (FILES - 1, &1.into())
    );
    assert!(
        names.contains(&"Recently Deleted/2023/2023-03/IMG_0001.JPG".to_owned()),
        "{names:?}"
    );
    let (_, names) = export("all", &["--deleted", "--hidden"]);
    assert_eq!(names.len(), FILES);
    assert!(names.contains(&"Hidden/2023/2023-03/IMG_0002.JPG".to_owned()));
    let told = room
        .ends(&["export", "photos", "BACKUP", "--to", "TO/told"], 3)
        .out;
    assert!(
        told.contains("2 recently deleted photos; --deleted"),
        "{told}"
    );
    assert!(told.contains("1 hidden photo; --hidden"), "{told}");
}

/// Checks that a line break in a name never starts a new line in the output of any command.
#[test]
fn names_cannot_forge_lines() {
    let mut made = Made::default();
    let name = "x\nWHOLE. All is well\r\n  hint: none\u{1b}[2J";
    made.file("HomeDomain", name, b"1");
    made.row(
        "HomeDomain",
        &format!("{name}2"),
        1,
        b"no record".to_vec(),
        None,
    );
    made.row("HomeDomain", &format!("{name}3"), 77, Vec::new(), None);
    made.link("HomeDomain", &format!("{name}4"), "/etc");
    let room = Room::new(&made);
    let other = room.dir.path().join("other");
    Made::default().write(&other);
    for words in [
        &["ls", "BACKUP", "HomeDomain"][..],
        &["ls", "-lR", "BACKUP", "HomeDomain"],
        &["find", "BACKUP"],
        &["tree", "BACKUP"],
        &["usage", "BACKUP"],
        &["info", "BACKUP"],
        &["cat", "BACKUP", "HomeDomain/x\nWHOLE. none"],
        &["cat", "BACKUP", &format!("HomeDomain/{name}2")],
        &["extract", "BACKUP", "--to", "TO/x", "--log-file", "TO/log"],
        &["diff", "TO/other", "BACKUP", "--all"],
        &["verify", "BACKUP"],
        &["verify", "--deep", "BACKUP"],
        &["restore", "BACKUP", "--dry-run"],
        &["info", "no\nWHOLE. such"],
    ] {
        let ran = room.run(words);
        for line in ran.all().lines() {
            assert!(!line.starts_with("WHOLE"), "{words:?}: {}", ran.all());
        }
    }
    let log = fs::read_to_string(room.dir.path().join("log")).unwrap_or_default();
    assert!(
        !log.lines()
            .any(|line| line.contains(" WHOLE") && !line.contains("\\n")),
        "{log}"
    );
    // Scripts get the name unchanged, terminated by a zero byte.
    let mut find = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
    find.arg("find")
        .arg(room.backup())
        .args(["--print0", "--size", "1..1"]);
    let found = find.stdin(Stdio::null()).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.contains(&format!("HomeDomain/{name}\0")), "{found:?}");
}

/// Checks that `cat` prints binary data to a terminal only with `--force`, and that `-o` replaces a
/// file only with `--overwrite`.
#[test]
fn cat_keeps_binary_from_terminal() {
    let mut made = Made::default();
    let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    made.file("HomeDomain", "binary", &bytes);
    made.file("HomeDomain", "text", "plain text\n".repeat(2000).as_bytes());
    let room = Room::new(&made);
    let out = room.dir.path().join("out");
    room.ends(&["cat", "BACKUP", "HomeDomain/binary", "-o", "TO/out"], 0);
    assert_eq!(fs::read(&out).unwrap(), bytes);
    let again = room.ends(&["cat", "BACKUP", "HomeDomain/text", "-o", "TO/out"], 1);
    assert!(again.err.contains("--overwrite"), "{}", again.err);
    assert_eq!(fs::read(&out).unwrap(), bytes);
    room.ends(
        &[
            "cat",
            "BACKUP",
            "HomeDomain/text",
            "-o",
            "TO/out",
            "--overwrite",
        ],
        0,
    );
    assert_eq!(fs::metadata(&out).unwrap().len(), 22_000);
    // `script` provides a terminal.
    let in_terminal = |words: &str| {
        let words = format!(
            "{} cat '{}' {words}",
            env!("CARGO_BIN_EXE_idev-backup"),
            room.backup().display()
        );
        let mut script = Command::new("script");
        script
            .args(["-qec", &words, "/dev/null"])
            .stdin(Stdio::null());
        script.output().ok().filter(|_| cfg!(target_os = "linux"))
    };
    let Some(shown) = in_terminal("HomeDomain/binary") else {
        eprintln!("skipped: no terminal is available");
        return;
    };
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(1), "{text}");
    assert!(text.contains("-o FILE") && !text.contains('\0'), "{text}");
    assert!(
        in_terminal("HomeDomain/binary --force")
            .unwrap()
            .stdout
            .contains(&0)
    );
    let text = in_terminal("HomeDomain/text").unwrap();
    assert_eq!(
        text.stdout.iter().filter(|byte| **byte == b'\n').count(),
        2000
    );
}
