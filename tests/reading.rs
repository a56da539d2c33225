//! Backups as their readers see them: `info`, `usage`, `ls`, `find` and `tree` on backups of the
//! simulated phone, of other programs and from untrusted sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use idev_backup::backup_format::SCHEMA;
use idev_backup::backup_format::record::{FileRecord, file_id};
use serde_json::Value;

use crate::rig::*;

/// The output and the exit code of a run.
struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// Returns the lines of the output as JSON objects. Every line must be one.
    fn objects(&self) -> Vec<Value> {
        let object = |line: &str| -> Value {
            assert!(!line.contains(char::is_control), "{line:?}");
            let object: Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["version"], 1, "{line}");
            object
        };
        self.text().lines().map(object).collect()
    }
}

/// Returns a command that runs the program without a home or a terminal.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
    for variable in ["IDEV_BACKUP_STORE", "IDEV_BACKUP_PASSWORD"] {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command.stdin(Stdio::null()).args(args);
    command
}

fn run(args: &[&str]) -> Ran {
    let output = program(args).output().unwrap();
    let ran = Ran {
        code: output.status.code().unwrap(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "{args:?}: {:?}", ran.err);
    if ran.code == 1 {
        assert!(ran.err.contains("error: "), "{args:?}: {}", ran.err);
        assert!(ran.err.contains("hint: "), "{args:?}: {}", ran.err);
    }
    ran
}

fn runs(args: &[&str]) -> Ran {
    let ran = run(args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    ran
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns a folder of other people's test data beside the checkout, or `None` if it is absent, as
/// in a user's clone.
fn shared(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("IDEV_BACKUP_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("data").join(name);
    if !folder.exists() {
        eprintln!("skipped: {} is not here", folder.display());
        return None;
    }
    Some(folder)
}

const GOLEMINE: &str = "pmeenan-golemine/e2e/fixtures/generated";

/// Returns the only folder in a folder.
fn within(folder: &Path) -> PathBuf {
    let mut inside = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    inside.find(|path| path.is_dir()).unwrap()
}

/// Creates a backup of iOS 10 or later that consists only of its list.
fn list_of(rows: &[(&str, &str, i64, Vec<u8>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(dir.path().join("Manifest.db")).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    for (domain, path, flags, blob) in rows {
        let row = (file_id(domain, path), domain, path, flags, blob);
        db.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", row)
            .unwrap();
    }
    write_plist(dir.path(), "Manifest.plist", "IsEncrypted", false.into());
    write_plist(
        dir.path(),
        "Status.plist",
        "SnapshotState",
        "finished".into(),
    );
    write_plist(dir.path(), "Info.plist", "Device Name", "Mira".into());
    dir
}

fn write_plist(folder: &Path, name: &str, key: &str, value: plist::Value) {
    let mut fields = plist::Dictionary::new();
    fields.insert(key.into(), value);
    let value = plist::Value::Dictionary(fields);
    value.to_file_binary(folder.join(name)).unwrap();
}

fn record(size: u64, modified: i64) -> Vec<u8> {
    FileRecord {
        size,
        mode: 0o100_640,
        last_modified: modified,
        ..FileRecord::default()
    }
    .encode()
}

const NEW_YEAR: i64 = 1_767_225_600; // 2026-01-01

/// Creates a list of files of a phone that covers every condition of a search.
fn sample() -> tempfile::TempDir {
    let link = FileRecord {
        mode: 0o120_755,
        target: Some("/etc".to_owned()),
        ..FileRecord::default()
    };
    let folder = FileRecord {
        mode: 0o040_755,
        ..FileRecord::default()
    };
    list_of(&[
        ("CameraRollDomain", "", 2, folder.encode()),
        ("CameraRollDomain", "Media", 2, folder.encode()),
        (
            "CameraRollDomain",
            "Media/IMG_1.HEIC",
            1,
            record(3_000_000, NEW_YEAR),
        ),
        (
            "CameraRollDomain",
            "Media/IMG_2.heic",
            1,
            record(10_000_000, NEW_YEAR + 86_400),
        ),
        (
            "CameraRollDomain",
            "Media-2/a.mov",
            1,
            record(500, NEW_YEAR - 1),
        ),
        (
            "HomeDomain",
            "Library/SMS/sms.db",
            1,
            record(7_000, NEW_YEAR),
        ),
        ("HomeDomain", "l", 4, link.encode()),
        (
            "AppDomain-com.example.chat",
            "Documents/x",
            1,
            record(1_000, 0),
        ),
        (
            "AppDomainPlugin-com.example.chat.share",
            "y",
            1,
            record(2_000, 0),
        ),
    ])
}

/// Checks that `info`, `usage`, `ls`, `find` and `tree` agree with the files of the simulated
/// phone.
#[test]
fn readers_show_all_phone_files() {
    let rig = Rig::backed_up();
    let backup = rig.current();
    let backup = text(&backup);
    let files: Vec<_> = rig.phone.files().filter(|file| file.is_file()).collect();
    let bytes: u64 = files.iter().map(|file| file.size()).sum();
    let name = |domain: &str, path: &str| format!("{domain}/{path}");
    let wanted: BTreeSet<String> = files.iter().map(|f| name(&f.domain, &f.path)).collect();

    for args in [&["info", backup, "--json"], &["usage", backup, "--json"]] {
        let report = &runs(args).objects()[0];
        let sums = report.get("contents").unwrap_or(report);
        assert_eq!(
            (sums["files"].as_u64(), sums["bytes"].as_u64()),
            (Some(files.len() as u64), Some(bytes))
        );
        let kinds = sums["kinds"].as_array().unwrap().iter();
        assert_eq!(
            kinds.map(|k| k["bytes"].as_u64().unwrap()).sum::<u64>(),
            bytes
        );
    }
    let info = &runs(&["info", backup, "--json"]).objects()[0];
    for (key, value) in [("complete", true), ("encrypted", false), ("ours", true)] {
        assert_eq!(info[key], value, "{key}");
    }
    assert_eq!(
        (info["event"].as_str(), info["udid"].as_str()),
        (Some("info"), Some(UDID))
    );

    let mut domains = BTreeMap::new();
    for file in &files {
        let (count, sum) = domains.entry(file.domain.clone()).or_insert((0, 0));
        (*count, *sum) = (*count + 1, *sum + file.size());
    }
    let ls = &runs(&["ls", backup, "--json"]).objects()[0];
    let listed = ls["domains"].as_array().unwrap().iter();
    let listed = listed.map(|d| {
        let number = |key: &str| d[key].as_u64().unwrap();
        let domain = d["domain"].as_str().unwrap().to_owned();
        (domain, (number("files"), number("bytes")))
    });
    let listed: BTreeMap<_, _> = listed.filter(|(_, (files, _))| *files > 0).collect();
    assert_eq!(listed, domains);

    let found = runs(&["find", backup, "--kind", "file", "-0"]);
    assert_eq!(found.out.last(), Some(&0));
    let names = found.out.split(|b| *b == 0).filter(|name| !name.is_empty());
    let names = names.map(|name| String::from_utf8(name.to_vec()).unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), wanted);

    // Listing each folder in turn gives the same files.
    let mut seen = BTreeSet::new();
    for domain in domains.keys() {
        let objects = runs(&["ls", backup, domain, "-R", "--json"]).objects();
        let (last, entries) = objects.split_last().unwrap();
        assert_eq!(last["entries"].as_u64(), Some(entries.len() as u64));
        for entry in entries.iter().filter(|entry| entry["kind"] == "file") {
            seen.insert(name(domain, entry["path"].as_str().unwrap()));
        }
    }
    assert_eq!(seen, wanted);
    let tree = runs(&["tree", backup]).text();
    for file in &files {
        // A name never contains a line break in the output, not even in a pipe.
        let name = file.path.rsplit('/').next().unwrap();
        let shown: String = (name.chars())
            .map(|c| {
                if c.is_control() {
                    c.escape_default().to_string()
                } else {
                    c.to_string()
                }
            })
            .collect();
        assert!(tree.contains(&shown), "{}", file.path);
    }
}

/// Checks the exact output of `ls` and `tree` for a folder, and that a name that does not exist is
/// an error.
#[test]
fn ls_and_tree_list_folders() {
    let backup = sample();
    let backup = text(backup.path());
    let lines = |args: &[&str]| {
        runs(args)
            .text()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&["ls", backup, "CameraRollDomain"]),
        ["Media", "Media-2"]
    );
    assert_eq!(
        lines(&["ls", backup, "CameraRollDomain/Media/"]),
        ["IMG_1.HEIC", "IMG_2.heic"]
    );
    assert_eq!(
        lines(&["ls", "-R", backup, "CameraRollDomain"]),
        [
            "Media",
            "Media/IMG_1.HEIC",
            "Media/IMG_2.heic",
            "Media-2/a.mov"
        ]
    );
    assert_eq!(
        lines(&["ls", backup, "HomeDomain/Library/SMS/sms.db"]),
        ["sms.db"]
    );
    assert_eq!(
        lines(&["ls", "-l", backup, "HomeDomain"]),
        [
            // The list has no row for this folder.
            "d?????????             -  ?                 Library/",
            "lrwxr-xr-x             -  1970-01-01 00:00  l -> /etc",
        ]
    );
    assert_eq!(
        lines(&["ls", "-l", backup, "CameraRollDomain/Media/IMG_1.HEIC"]),
        ["-rw-r-----        3.0 MB  2026-01-01 00:00  IMG_1.HEIC"]
    );
    assert_eq!(
        lines(&["tree", backup, "CameraRollDomain"]),
        [
            "CameraRollDomain/  (3 files, 13.0 MB)",
            "├── Media/  (2 files, 13.0 MB)",
            "│   ├── IMG_1.HEIC  (3.0 MB)",
            "│   └── IMG_2.heic  (10.0 MB)",
            "└── Media-2/  (1 file, 500 bytes)",
            "    └── a.mov  (500 bytes)",
        ]
    );
    assert_eq!(
        lines(&["tree", backup, "HomeDomain", "--depth", "1"]),
        [
            "HomeDomain/  (1 file, 7.0 KB)",
            "├── Library/  (1 file, 7.0 KB)",
            "└── l"
        ]
    );
    for place in [
        "NoDomain",
        "HomeDomain/nothing",
        "CameraRollDomain/Med",
        "",
        "/",
        "//",
    ] {
        for command in ["ls", "tree"] {
            let ran = run(&[command, backup, place]);
            assert_eq!((ran.code, ran.out.len()), (1, 0), "{command} {place:?}");
        }
    }
}

#[test]
fn find_applies_every_filter() {
    let backup = sample();
    let (one, two, mov) = ("Media/IMG_1.HEIC", "Media/IMG_2.heic", "Media-2/a.mov");
    let table: &[(&[&str], &[&str])] = &[
        (&["*.HEIC"], &[one]),
        (&["*.heic", "-i"], &[one, two]),
        (&["*.HEIC", "*.mov"], &[one, mov]),
        (&["CameraRollDomain/Media/*"], &[one, two]),
        (&["--domain", "Camera*", "--size", "+3M"], &[one, two]),
        (
            &["--domain", "CameraRollDomain", "--size", "-3M"],
            &[one, mov],
        ),
        (&["--size", "400..600"], &[mov]),
        (&["--newer", "2026-01-02"], &[two]),
        (
            &[
                "--domain",
                "CameraRollDomain",
                "--kind",
                "file",
                "--older",
                "2026-01-01",
            ],
            &[mov],
        ),
        (
            &[
                "--newer",
                "2026-01-01T00:00:00Z",
                "--older",
                "2026-01-01T00:00:01Z",
                "*.HEIC",
            ],
            &[one],
        ),
        (&["nothing"], &[]),
    ];
    for (args, wanted) in table {
        let args = [&["find", text(backup.path())][..], args].concat();
        let found = runs(&args).text();
        let wanted = wanted
            .iter()
            .map(|path| format!("CameraRollDomain/{path}\n"));
        assert_eq!(found, wanted.collect::<String>(), "{args:?}");
        let objects = runs(&[&args[..], &["--json"]].concat()).objects();
        let count = objects.last().unwrap()["found"].as_u64().unwrap();
        assert_eq!(count as usize, objects.len() - 1, "{args:?}");
        assert_eq!(count as usize, found.lines().count(), "{args:?}");
    }
    let link = runs(&["find", text(backup.path()), "--kind", "link", "--json"]).objects();
    assert_eq!(
        (link[0]["path"].as_str(), link[0]["target"].as_str()),
        (Some("l"), Some("/etc"))
    );
    for args in [
        &["--size", "much"][..],
        &["--newer", "then"],
        &["-0", "--json"],
    ] {
        assert_eq!(
            run(&[&["find", text(backup.path())], args].concat()).code,
            2
        );
    }
    assert_eq!(run(&["find", text(backup.path()), "["]).code, 2);
}

/// Checks that `usage` adds the extensions of an app to the app and shows its name. The HTML page
/// escapes that name, loads nothing, and replaces an existing file only with `--overwrite`.
#[test]
fn usage_reports_apps_with_extensions() {
    let backup = sample();
    let mut metadata = Vec::new();
    let mut app = plist::Dictionary::new();
    app.insert("itemName".into(), "<b>Chat</b> & \"co\"".into());
    plist::Value::Dictionary(app)
        .to_writer_binary(&mut metadata)
        .unwrap();
    let mut app = plist::Dictionary::new();
    app.insert("iTunesMetadata".into(), plist::Value::Data(metadata));
    let mut apps = plist::Dictionary::new();
    apps.insert("com.example.chat".into(), plist::Value::Dictionary(app));
    write_plist(
        backup.path(),
        "Info.plist",
        "Applications",
        plist::Value::Dictionary(apps),
    );
    let folder = text(backup.path());

    let usage = &runs(&["usage", folder, "--json"]).objects()[0];
    let app = &usage["apps"][0];
    assert_eq!(
        (app["id"].as_str(), app["bytes"].as_u64()),
        (Some("com.example.chat"), Some(3000))
    );
    assert_eq!(usage["kinds"][0]["kind"], "photos");
    let shown = runs(&["usage", folder]).text();
    assert!(
        shown.contains("<b>Chat</b>") && shown.contains("Photos and videos"),
        "{shown}"
    );
    assert!(runs(&["ls", folder]).text().contains("<b>Chat</b>"));
    assert!(
        !runs(&["usage", folder, "--by", "kind"])
            .text()
            .contains("Chat")
    );
    assert!(
        !runs(&["usage", folder, "--by", "app"])
            .text()
            .contains("Photos")
    );

    let page = backup.path().join("page.html");
    let ran = runs(&["usage", folder, "--html", text(&page)]);
    assert!(ran.out.is_empty() && ran.err.contains("page.html"));
    let html = fs::read_to_string(&page).unwrap();
    assert!(
        html.contains("&lt;b&gt;Chat&lt;/b&gt; &amp; &quot;co&quot;"),
        "{html}"
    );
    for stranger in ["<b>", "http:", "https:", "src=", "href=", "<script", "url("] {
        assert!(!html.contains(stranger), "{stranger}");
    }
    let title = html.split("</title>").next().unwrap();
    assert!(!title.contains("<bdi>"), "{title}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&page).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // An existing file is replaced only with --overwrite.
    fs::write(&page, "mine").unwrap();
    assert_eq!(run(&["usage", folder, "--html", text(&page)]).code, 1);
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
    runs(&["usage", folder, "--html", text(&page), "--overwrite"]);
    assert_eq!(fs::read_to_string(&page).unwrap(), html);
    let nowhere = backup.path().join("no/page.html");
    assert_eq!(run(&["usage", folder, "--html", text(&nowhere)]).code, 1);
    // A folder is not replaced, and the page is not printed instead.
    fs::create_dir(nowhere.parent().unwrap()).unwrap();
    let said = run(&[
        "usage",
        folder,
        "--html",
        text(nowhere.parent().unwrap()),
        "--overwrite",
    ]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("is not a file"), "{}", said.err);
    let mut dash = program(&["usage", folder, "--html", "-", "--overwrite"]);
    let dash = dash.current_dir(backup.path()).output().unwrap();
    assert_eq!((dash.status.code(), dash.stdout.len()), (Some(2), 0));
    assert!(!backup.path().join("-").exists());
}

/// Checks that `usage --html` never replaces a symbolic link or a pipe, even with `--overwrite`.
#[cfg(unix)]
#[test]
fn html_report_replaces_only_files() {
    use std::os::unix::fs::FileTypeExt;
    let backup = list_of(&[("HomeDomain", "a", 1, record(5, 0))]);
    let folder = text(backup.path());
    let mine = backup.path().join("mine");
    fs::write(&mine, "mine").unwrap();
    let (link, pipe) = (backup.path().join("link"), backup.path().join("pipe"));
    std::os::unix::fs::symlink(&mine, &link).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for place in [&link, &pipe] {
        for force in [&["--overwrite"][..], &[]] {
            let args = [&["usage", folder, "--html", text(place)], force].concat();
            assert_eq!(run(&args).code, 1, "{args:?}");
        }
    }
    assert_eq!(fs::read_link(&link).unwrap(), mine);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

/// Checks that an invalid pattern ends with exit code 2, and that a path without a domain has its
/// own error message.
#[test]
fn invalid_patterns_are_usage_errors() {
    let backup = list_of(&[("HomeDomain", "a", 1, record(5, 0))]);
    let folder = text(backup.path());
    let to = backup.path().join("to");
    for args in [
        &["find", folder, "["][..],
        &["find", folder, "--domain", "["],
        &["extract", folder, "--to", text(&to), "["],
        &["extract", folder, "--to", text(&to), "--domain", "["],
    ] {
        let ran = run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(ran.err.contains("pattern"), "{args:?}: {}", ran.err);
    }
    let ran = run(&["ls", folder, "/HomeDomain"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("the domain before \"/HomeDomain\" is missing"),
        "{}",
        ran.err
    );
}

/// Every command that reads a backup, with its arguments after the backup.
const WAYS: [&[&str]; 10] = [
    &["info"],
    &["info", "--json"],
    &["usage"],
    &["usage", "--json"],
    &["ls"],
    &["ls", "--json"],
    &["find"],
    &["find", "--json"],
    &["find", "-0", "--size", "+0", "--newer", "2000-01-01"],
    &["tree"],
];

/// Runs every reading command on a folder; each must end with one of these codes.
fn read_in_every_way(folder: &Path, codes: &[i32]) {
    for way in WAYS {
        let args = [&way[..1], &[text(folder)], &way[1..]].concat();
        let ran = run(&args);
        assert!(
            codes.contains(&ran.code),
            "{args:?}: {}\n{}",
            ran.code,
            ran.err
        );
        if way.contains(&"--json") {
            assert!(!ran.objects().is_empty());
        }
    }
}

/// Checks that hostile names, such as control sequences, `..` and a megabyte of letters, break no
/// command. A terminal gets them escaped; a pipe gets them unchanged.
#[test]
fn hostile_names_are_escaped() {
    let long = "x".repeat(1_000_000);
    let deep = format!("{}f", "d/".repeat(400_000));
    let odd = "a\u{1b}[2J\nb\u{7f}\u{9b}\u{7}";
    let backup = list_of(&[
        ("HomeDomain", "../../x", 1, record(1, 0)),
        ("HomeDomain", "/abs//x/", 1, record(1, 0)),
        ("HomeDomain", odd, 1, record(1, i64::MAX)),
        ("HomeDomain", &long, 1, record(1, i64::MIN)),
        ("HomeDomain", "n\0n", 1, record(i64::MAX as u64, 0)),
        ("HomeDomain", "again", 1, record(i64::MAX as u64, 0)),
        ("HomeDomain", "and again", 1, record(i64::MAX as u64, 0)),
        ("AppDomain-com.a", &deep, 1, record(1, 0)),
        ("Dom\u{1b}]0;x\u{7}/..", "p", 1, record(1, 0)),
        ("", "", 2, record(0, 0)),
    ]);
    read_in_every_way(backup.path(), &[0]);
    let folder = text(backup.path());
    for args in [
        &["ls", folder, "HomeDomain"][..],
        &["ls", "-lR", folder, "HomeDomain"],
        &["ls", "-lR", folder, "AppDomain-com.a"],
    ] {
        runs(args);
    }
    // A pipe receives the name unchanged.
    let found = runs(&["find", folder, "-0", "HomeDomain/a*"]).out;
    let wanted = format!("HomeDomain/{odd}\0HomeDomain/again\0HomeDomain/and again\0");
    assert_eq!(found, wanted.as_bytes());
    let listed = runs(&["find", folder, "HomeDomain/a?*b*", "--json"]).objects();
    assert_eq!(listed[0]["path"], odd);
    // A terminal does not receive it unchanged; `script` provides one.
    let words = format!(
        "{} find '{folder}' 'HomeDomain/a*'",
        env!("CARGO_BIN_EXE_idev-backup")
    );
    let terminal = Command::new("script")
        .args(["-qec", &words, "/dev/null"])
        .stdin(Stdio::null())
        .output();
    match terminal {
        Ok(shown) if cfg!(target_os = "linux") && shown.status.success() => {
            let shown = String::from_utf8(shown.stdout).unwrap();
            assert!(
                shown.contains("HomeDomain/a\\u{1b}[2J\\nb\\u{7f}\\u{9b}\\u{7}"),
                "{shown:?}"
            );
            assert!(!shown.contains('\u{1b}'), "{shown:?}");
        }
        _ => eprintln!("skipped: no terminal is available"),
    }
}

/// Checks that every command reports unreadable records with exit code 3 and shows the other files.
#[test]
fn unreadable_records_are_reported() {
    let backup = list_of(&[
        ("HomeDomain", "a", 1, record(5, 0)),
        ("HomeDomain", "b", 1, vec![]),
        ("HomeDomain", "c", 1, b"bplist00 and no more".to_vec()),
    ]);
    let folder = text(backup.path());
    let usage = run(&["usage", folder, "--json"]);
    assert_eq!(
        (usage.code, &usage.objects()[0]["unreadable"]),
        (3, &2.into())
    );
    for name in ["HomeDomain/b", "HomeDomain/c"] {
        assert!(
            usage.err.contains(&format!("problem: {name}: ")),
            "{}",
            usage.err
        );
    }
    assert_eq!(run(&["ls", folder]).code, 3);
    let reads = |args: &[&str]| {
        let ran = run(args);
        assert_eq!(ran.code, 3, "{args:?}: {}", ran.err);
        ran
    };
    let info = reads(&["info", folder, "--json"]).objects();
    assert_eq!(info[0]["contents"]["unreadable"], 2);
    let entries = reads(&["ls", folder, "HomeDomain", "--json"]).objects();
    assert_eq!(
        (entries.len(), &entries[3]["unread"]["count"]),
        (4, &2.into())
    );
    assert!(entries[1]["size"].is_null());
    assert_eq!(reads(&["find", folder]).text().lines().count(), 3);
    assert!(reads(&["tree", folder]).text().contains("(3 files"));
    assert!(
        reads(&["ls", "-l", folder, "HomeDomain"])
            .text()
            .contains("-?????????             ?  ?                 b")
    );
}

/// Checks that no folder, however damaged its metadata is, makes a reading command panic.
#[test]
fn any_folder_yields_report_or_error() {
    let rig = Rig::backed_up();
    let whole = rig.current();
    let empty = tempfile::tempdir().unwrap();
    read_in_every_way(empty.path(), &[1]);
    read_in_every_way(&whole.join("ab"), &[1]);
    read_in_every_way(&whole.join("Manifest.db"), &[1]);

    type Damage = fn(&Path);
    let table: [(&str, Damage, &[i32]); 12] = [
        (
            "a list without end",
            |f| {
                let status = fs::File::options().write(true).open(f.join("Status.plist"));
                let status = status.unwrap();
                // Some disks cannot hold a file of that size; the smaller size also exceeds the
                // limit.
                if status.set_len(300 << 30).is_err() {
                    status.set_len(1 << 30).unwrap();
                }
            },
            &[0, 3],
        ),
        (
            "no lists",
            |f| {
                ["Info.plist", "Status.plist"]
                    .iter()
                    .for_each(|n| fs::remove_file(f.join(n)).unwrap())
            },
            &[0, 3],
        ),
        (
            "empty lists",
            |f| {
                [
                    "Info.plist",
                    "Status.plist",
                    "Manifest.plist",
                    "Manifest.db",
                ]
                .iter()
                .for_each(|n| fs::write(f.join(n), "").unwrap())
            },
            &[1, 3],
        ),
        (
            "no Manifest.db",
            |f| fs::remove_file(f.join("Manifest.db")).unwrap(),
            &[1, 3],
        ),
        (
            "a text for a list",
            |f| fs::write(f.join("Manifest.db"), [b'x'; 5000]).unwrap(),
            &[1, 3],
        ),
        (
            "a folder for a list",
            |f| {
                fs::remove_file(f.join("Manifest.db")).unwrap();
                fs::create_dir(f.join("Manifest.db")).unwrap()
            },
            &[1, 3],
        ),
        (
            "folders for lists",
            |f| {
                for n in ["Info.plist", "Status.plist"] {
                    fs::remove_file(f.join(n)).unwrap();
                    fs::create_dir(f.join(n)).unwrap()
                }
            },
            &[0, 3],
        ),
        (
            "half of a list",
            |f| {
                let all = fs::read(f.join("Manifest.db")).unwrap();
                fs::write(f.join("Manifest.db"), &all[..all.len() / 2]).unwrap()
            },
            &[1, 3],
        ),
        (
            "another table",
            |f| sql(f, "ALTER TABLE Files RENAME TO Others"),
            &[1, 3],
        ),
        (
            "a table without a column",
            |f| {
                sql(
                    f,
                    "DROP INDEX FilesDomainIdx; ALTER TABLE Files DROP COLUMN domain",
                )
            },
            &[1, 3],
        ),
        (
            "values of other types",
            |f| {
                sql(
                    f,
                    "UPDATE Files SET flags = 'many', relativePath = 7, domain = x'ff'",
                )
            },
            &[1, 3],
        ),
        (
            "no indexes",
            |f| {
                sql(
                    f,
                    "DROP INDEX FilesDomainIdx; DROP INDEX FilesRelativePathIdx; DROP INDEX FilesFlagsIdx",
                )
            },
            &[0],
        ),
    ];
    for (name, damage, codes) in table {
        let folder = rig.dir.path().join(name);
        copy_dir(&whole, &folder);
        damage(&folder);
        read_in_every_way(&folder, codes);
    }
    let endless = rig.dir.path().join("a list without end");
    let checked = program(&["verify", text(&endless)]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(said.contains("Status.plist: it is too large"), "{said}");
    let wrong_types = rig.dir.path().join("wrong types");
    copy_dir(&whole, &wrong_types);
    for (name, keys) in [
        (
            "Info.plist",
            &[
                "Device Name",
                "Product Type",
                "Applications",
                "Installed Applications",
                "Last Backup Date",
            ][..],
        ),
        ("Status.plist", &["SnapshotState", "Date", "IsFullBackup"]),
        (
            "Manifest.plist",
            &[
                "IsEncrypted",
                "Applications",
                "Lockdown",
                "Date",
                "BackupKeyBag",
            ],
        ),
    ] {
        let path = wrong_types.join(name);
        let mut fields: plist::Dictionary = plist::from_file(&path).unwrap();
        for key in keys {
            fields.insert((*key).into(), plist::Value::Array(vec![7.into()]));
        }
        plist::Value::Dictionary(fields)
            .to_file_binary(&path)
            .unwrap();
    }
    read_in_every_way(&wrong_types, &[0]);
}

fn sql(folder: &Path, statements: &str) {
    let database = rusqlite::Connection::open(folder.join("Manifest.db")).unwrap();
    database.execute_batch(statements).unwrap();
}

/// Checks that a list of 20 pages with 300^18 rows is an error. Each page but the last names the
/// next one 300 times.
#[test]
fn endless_file_list_is_rejected() {
    const PAGE: usize = 4096;
    const TIMES: u16 = 300;
    let backup = list_of(&[]);
    let path = backup.path().join("Manifest.db");
    fs::remove_file(&path).unwrap();
    let statements = "CREATE TABLE Files (fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
        INSERT INTO Files VALUES ('a', 'HomeDomain', 'x', 1, x'00')";
    sql(backup.path(), statements);
    let bytes = fs::read(&path).unwrap();
    let (first, leaf) = bytes.split_at(PAGE);
    assert_eq!(leaf.len(), PAGE);
    let mut endless = first.to_vec();
    for next in 3..=20u32 {
        // The layout of each page: kind, free space, number of cells, start of the cells, last
        // child; then the position of each cell.
        let cell = [&next.to_be_bytes()[..], &[1]].concat();
        let cells = PAGE - usize::from(TIMES) * cell.len();
        let mut page = vec![5, 0, 0];
        page.extend(TIMES.to_be_bytes());
        page.extend((cells as u16).to_be_bytes());
        page.push(0);
        page.extend(next.to_be_bytes());
        (0..usize::from(TIMES)).for_each(|n| page.extend(((cells + n * 5) as u16).to_be_bytes()));
        page.resize(cells, 0);
        (0..TIMES).for_each(|_| page.extend(&cell));
        endless.extend(page);
    }
    endless.extend(leaf);
    let pages = (endless.len() / PAGE) as u32;
    endless[28..32].copy_from_slice(&pages.to_be_bytes());
    fs::write(&path, endless).unwrap();
    for (command, code) in [("info", 3), ("tree", 1)] {
        let ran = run(&[command, text(backup.path())]);
        assert_eq!(ran.code, code, "{command}: {}", ran.err);
        assert!(
            ran.err.contains("far longer than its size"),
            "{command}: {}",
            ran.err
        );
    }
}

/// Checks that backups made by other programs are read: unencrypted, encrypted, hostile and damaged
/// ones.
#[test]
fn foreign_backups_are_read() {
    if let Some(folder) = shared("JJTech0130-TrollRestore") {
        read_in_every_way(&folder.join("plain-mbdb"), &[0]);
        read_in_every_way(&folder.join("hostile-traversal-mbdb"), &[0]);
        read_in_every_way(&folder.join("corrupt-length-mbdb"), &[1, 3]);
        let plain = folder.join("plain-mbdb");
        let listed = runs(&["ls", text(&plain), "HomeDomain/Library"]).text();
        assert_eq!(listed, "Preferences\nabslink\nlink\n");
    }
    let Some(folder) = shared(GOLEMINE) else {
        return;
    };
    let plain = within(&folder.join("ios-mini-backup"));
    read_in_every_way(&plain, &[0]);
    read_in_every_way(&within(&folder.join("ios-malformed-backup")), &[0]);

    // Without the password, the property lists still show the owner and the date, and no password
    // is requested.
    let encrypted = within(&folder.join("ios-mini-encrypted-backup"));
    let info = &runs(&["info", text(&encrypted), "--json"]).objects()[0];
    assert_eq!(
        (&info["encrypted"], &info["needs_password"]),
        (&true.into(), &true.into())
    );
    assert!(info["contents"].is_null() && info["name"].is_string());
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "G0lemine-M5!\n").unwrap();
    let with = ["--password-file", text(&password)];
    let contents = |folder: &Path| {
        let args = [&["info", text(folder), "--json"][..], &with].concat();
        runs(&args).objects()[0]["contents"]["files"].clone()
    };
    assert!(contents(&plain).as_u64() > Some(0));
    assert_eq!(contents(&encrypted), contents(&plain));
    fs::write(&password, "another\n").unwrap();
    for command in ["info", "usage", "ls", "find", "tree"] {
        let ran = run(&[&[command, text(&encrypted)][..], &with].concat());
        assert_eq!(ran.code, 6, "{command}: {}", ran.err);
    }
}

#[test]
fn completions_and_man_pages_exist() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = runs(&["completions", shell]).text();
        assert!(script.contains("idev-backup"), "{shell}");
        assert_eq!(script.contains("__complete"), shell != "elvish", "{shell}");
    }
    let page = runs(&["man"]).text();
    assert!(page.contains(".TH idev"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man/man1");
    runs(&["man", "--to", text(&pages)]);
    for name in [
        "", "-create", "-info", "-usage", "-ls", "-find", "-tree", "-man",
    ] {
        let page = pages.join(format!("idev-backup{name}.1"));
        assert!(
            fs::metadata(&page).unwrap().len() > 200,
            "{}",
            page.display()
        );
    }
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    assert_eq!(run(&["man", "--to", text(&in_the_way)]).code, 1);
    for command in ["info", "usage", "ls", "find", "tree", "completions", "man"] {
        assert!(
            runs(&[command, "--help"]).text().contains("Example:"),
            "{command}"
        );
    }
}

/// Checks that a command fails, with one message, if its output cannot be written.
#[cfg(target_os = "linux")]
#[test]
fn lost_output_is_an_error() {
    let backup = sample();
    let folder = text(backup.path());
    let full = || fs::OpenOptions::new().write(true).open("/dev/full");
    let to = backup.path().with_extension("to");
    let store = tempfile::tempdir().unwrap();
    idev_backup::store::Store::create(store.path()).unwrap();
    let store = text(store.path());
    for args in [
        &["list", "--store", store][..],
        &["info", "--json", folder],
        &["usage", "--json", folder],
        &["ls", "--json", folder],
        &["extract", "--json", "-n", "--to", text(&to), folder],
    ] {
        let output = program(args).stdout(full().unwrap()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {err}");
        let told = err.matches("cannot write the output").count();
        assert!(told == 1, "{args:?}: {err}");
    }
}

/// Checks that the hint for a file name in place of a backup suggests `find`, and the hint for a
/// folder in `cat` suggests `ls`.
#[test]
fn errors_suggest_intended_command() {
    let backup = sample();
    let folder = text(backup.path());
    let store = tempfile::tempdir().unwrap();
    idev_backup::store::Store::create(store.path()).unwrap();
    let store = text(store.path());
    for name in [
        "*.sqlite",
        "HomeDomain",
        "HomeDomain/Library",
        "AppDomain-x",
    ] {
        let ran = run(&["info", "--store", store, name]);
        let hint = format!("`idev-backup find latest '{name}' --store {store}`");
        assert!(ran.code == 1 && ran.err.contains(&hint), "{}", ran.err);
    }
    let ran = run(&["cat", folder, "CameraRollDomain/Media"]);
    assert!(
        ran.code == 1
            && ran
                .err
                .contains("idev-backup ls BACKUP 'CameraRollDomain/Media'"),
        "{}",
        ran.err
    );
}

/// Checks that `extract` refuses a dangling symbolic link as its target, and that `cat` does not
/// follow a symbolic link inside of a backup.
#[cfg(unix)]
#[test]
fn symlinks_are_not_followed() {
    let backup = sample();
    let folder = text(backup.path());
    let outside = tempfile::tempdir().unwrap();
    let to = outside.path().join("to");
    std::os::unix::fs::symlink(outside.path().join("gone"), &to).unwrap();
    let ran = run(&["extract", folder, "--to", text(&to)]);
    assert!(
        ran.code == 1 && ran.err.contains("--to") && !ran.err.contains("--store"),
        "{}",
        ran.err
    );
    let id = file_id("HomeDomain", "Library/SMS/sms.db");
    let bytes = outside.path().join(&id[..2]);
    fs::create_dir(&bytes).unwrap();
    fs::write(bytes.join(&id), "secret").unwrap();
    std::os::unix::fs::symlink(&bytes, backup.path().join(&id[..2])).unwrap();
    let ran = run(&["cat", folder, "HomeDomain/Library/SMS/sms.db"]);
    assert!(ran.code == 1 && ran.out.is_empty(), "{}", ran.text());
    assert!(ran.err.contains("its folder is a link"), "{}", ran.err);
}

/// Lists folders of a domain with many files, which are found by the index of paths, and compares
/// them with the same list without that index. Covers folders without a row of their own, names
/// that sort around "/", another domain with the same paths, and every place to go on from.
#[test]
fn large_folders_are_found_by_path() {
    use idev_backup::reader::Backup;
    use idev_backup::reader::browse::{self, Part};
    use idev_backup::reader::passwords::NoPasswords;

    let dir = room();
    let mut made = crate::made::Made::default();
    let archive = || FileRecord::default().encode();
    made.folder("HomeDomain", "Library", 0);
    for path in [
        "Library/a",
        "Library/a-b/x",
        "Library/a b",
        "Library/a.c/d/e",
        "Library/a/b",
        "Library/a!/y",
        "Library/a0",
        "Library/ä/ö",
        "Library/a-b-c",
        "Library/z-1/2",
        "Library/z/1",
        "top/x",
        "t-1",
    ] {
        made.row("HomeDomain", path, 1, archive(), None);
        made.row("MediaDomain", &format!("{path}-other"), 1, archive(), None);
    }
    made.row("MediaDomain", "Library/only/there", 1, archive(), None);
    for number in 0..3_000 {
        made.row(
            "HomeDomain",
            &format!("Library/many/{number:05}"),
            1,
            archive(),
            None,
        );
    }
    let (fast, slow) = (dir.path().join("fast"), dir.path().join("slow"));
    made.write(&fast);
    made.write(&slow);
    let db = rusqlite::Connection::open(slow.join("Manifest.db")).unwrap();
    db.execute("DROP INDEX FilesRelativePathIdx", ()).unwrap();
    drop(db);
    let open = |folder: &Path| Backup::open(folder, &NoPasswords).unwrap();
    let (fast, slow) = (open(&fast), open(&slow));
    let list = |backup: &Backup, path: &str, after: Option<&str>, most: usize| {
        let part = Part {
            recursive: false,
            after,
        };
        let mut found = Vec::new();
        let listed = browse::list_after(backup, "HomeDomain", path, part, |entry| {
            found.push((entry.path, entry.kind));
            found.len() < most
        });
        listed
            .map(|count| (count, found))
            .map_err(|e| e.to_string())
    };
    for path in [
        "",
        "Library",
        "Library/a-b",
        "Library/a.c",
        "Library/many",
        "Library/none",
        "t-1",
        "top",
    ] {
        let all = list(&slow, path, None, usize::MAX);
        assert_eq!(list(&fast, path, None, usize::MAX), all, "{path}");
        // A path of a file has no place to go on from.
        let Ok((_, all)) = all.and_then(|all| {
            if path == "t-1" {
                Err(String::new())
            } else {
                Ok(all)
            }
        }) else {
            continue;
        };
        for at in (0..all.len()).step_by(all.len() / 20 + 1) {
            let name = all[at].0.rsplit('/').next().unwrap();
            let rest = list(&fast, path, Some(name), 7).unwrap().1;
            assert_eq!(
                rest[..],
                all[at + 1..(at + 8).min(all.len())],
                "{path} after {name}"
            );
        }
    }
    let (_, top) = list(&fast, "Library", None, usize::MAX).unwrap();
    let names: Vec<&str> = top
        .iter()
        .map(|(path, _)| path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "a", "a b", "a!", "a-b", "a-b-c", "a.c", "a0", "many", "z", "z-1", "ä"
        ]
    );
}
