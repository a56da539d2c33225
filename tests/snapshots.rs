//! Snapshots of what people and scripts read: the help of every command, the reports in text and
//! JSON, error messages, and pages. A change of wording fails here and shows as a diff.
//! `SNAPSHOTS=overwrite cargo test --test all snapshots::` accepts it; read the diff of
//! `tests/snapshots` before you commit it.
//!
//! Values that differ from run to run (times, durations, folders, free space, ports) are replaced
//! by a name in brackets.

#![cfg(target_os = "linux")] // Paths and system messages differ elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::rig::program::{Ran, in_a_terminal, program};
use crate::rig::*;
use idev_backup::simulator::{Phone, PhoneConfig};
use regex::Regex;
use snapbox::Data;
use snapbox::data::DataFormat;

/// The width of the terminal for which help and tables are printed, in columns.
const COLUMNS: &str = "100";

/// Patterns of text that differs from run to run, with their replacements, in the order in which
/// they apply.
const DIFFERS: &[(&str, &str)] = &[
    (r"\b\d{8}-\d{6}\b", "[STAMP]"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "[LOCAL TIME]"),
    (r"\b(today|yesterday) \d\d:\d\d", "[LOCAL TIME]"),
    (r#""seconds":\{[^}]*\}"#, r#""seconds":[SECONDS]"#),
    (r#""seconds":[\d.]+"#, r#""seconds":[SECONDS]"#),
    (
        r#""(free_bytes|frees_bytes|disk_bytes|available)":\d+"#,
        r#""$1":[BYTES]"#,
    ),
    (r#""(id|uuid)":"[0-9A-Fa-f-]{32,36}""#, r#""$1":"[ID]""#),
    (r#""version":"\d+\.\d+\.\d+""#, r#""version":"[VERSION]""#),
    (r"\bidev-backup \d+\.\d+\.\d+", "idev-backup [VERSION]"),
    (
        r"\b\d+(\.\d+)? (KB|MB|GB|TB) (is |are )?free\b",
        "[SIZE] free",
    ),
    (r"\bin \d+:\d\d\b", "in [DURATION]"),
    (r"\b\d+(\.\d+)? s\b", "[DURATION]"),
    (r"\b\d+ seconds? old\b", "[AGE] old"),
    (
        r"(?m)^(idev_backup_\w+_(?:seconds|free_bytes)\{.*\}) \d+$",
        "$1 [NUMBER]",
    ),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
    (
        r"\b(ext4|tmpfs|btrfs|xfs|overlayfs|overlay)\b",
        "[FILE SYSTEM]",
    ),
    (r"\(process \d+\)", "(process [PID])"),
];

/// Replaces the text that differs from run to run.
fn steady(text: &str, folder: &Path) -> String {
    let mut text = text.replace(folder.to_str().unwrap(), "[DIR]");
    for (pattern, name) in DIFFERS {
        text = Regex::new(pattern)
            .unwrap()
            .replace_all(&text, *name)
            .into_owned();
    }
    // Progress lines depend on the speed of the machine.
    let progress = Regex::new(r#"^\[TIME\] [a-z]|"event":"progress""#).unwrap();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !progress.is_match(line))
        .collect();
    lines.dedup();
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// Asserts that the text equals the file tests/snapshots/NAME.
fn assert_snapshot(name: &str, text: String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(name);
    let assert = snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV);
    let expected = if path.exists() {
        Data::read_from(&path, Some(DataFormat::Text))
    } else {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        Data::read_from(&path, Some(DataFormat::Text))
    };
    assert.eq(Data::text(text), expected.raw());
}

fn run(rig: &Rig, args: &[&str]) -> Ran {
    let mut command = program(rig);
    command
        .args(args)
        .env("COLUMNS", COLUMNS)
        .env("TZ", "UTC")
        .env("LANG", "C.UTF-8");
    command
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    crate::rig::program::ended(&mut command)
}

/// Runs commands in turn, and returns each command line with its output and exit code.
fn session(rig: &Rig, commands: &[&[&str]]) -> String {
    let mut all = String::new();
    for args in commands {
        let ran = run(rig, args);
        let shown: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
        all.push_str(&format!("$ idev-backup {}\n{}", shown.join(" "), ran.out));
        if !ran.err.is_empty() {
            all.push_str(&format!("--- on stderr\n{}", ran.err));
        }
        all.push_str(&format!("--- exit code {}\n\n", ran.code));
    }
    steady(&all, rig.dir.path())
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains([' ', '*', '\'']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

/// Returns the commands that the help of `command` lists.
fn subcommands(rig: &Rig, command: &[&str]) -> Vec<String> {
    let help = run(rig, &[command, &["--help"]].concat()).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let rows = listed.filter_map(|line| {
        line.strip_prefix("  ")
            .filter(|rest| !rest.starts_with(' '))
    });
    // The first screen has several commands in a row, after the name of their group.
    let names = rows.flat_map(|row| {
        if command.is_empty() {
            let (_, names) = row.split_at(13);
            names.split_whitespace().collect::<Vec<_>>()
        } else {
            row.split(' ').take(1).collect()
        }
    });
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn help_matches_snapshots() {
    let rig = Rig::new();
    let mut written = BTreeSet::new();
    let mut all = vec![Vec::new()];
    for name in subcommands(&rig, &[]) {
        let below = subcommands(&rig, &[&name]);
        all.extend(below.into_iter().map(|sub| vec![name.clone(), sub]));
        all.push(vec![name]);
    }
    assert!(all.len() > 30, "{all:?}");
    for command in all {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let both = [&["-h"][..], &["--help"]].map(|flag| [&words, flag].concat());
        let both: Vec<&[&str]> = both.iter().map(Vec::as_slice).collect();
        let name = [&["idev-backup"][..], &words].concat().join("-");
        assert_snapshot(&format!("help/{name}.txt"), session(&rig, &both));
        written.insert(PathBuf::from(format!("{name}.txt")));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/help");
    for entry in fs::read_dir(folder).unwrap() {
        let name = PathBuf::from(entry.unwrap().file_name());
        assert!(
            written.contains(&name),
            "{name:?} is not the help of any command"
        );
    }
}

/// Returns a rig with two backups of one phone.
fn stocked() -> Rig {
    let rig = Rig::backed_up();
    rig.create();
    rig
}

#[test]
fn create_reports_match_snapshot() {
    let rig = Rig::new();
    let quiet = session(
        &rig,
        &[
            &["create"],
            &["create"],
            &["create", "--quiet"],
            &["create", "--full", "--keep-last", "1"],
            &["create", "--if-older-than", "1d"],
            &["create", "--json"],
        ],
    );
    assert_snapshot("create.txt", quiet);
}

#[test]
fn store_reports_match_snapshot() {
    let rig = stocked();
    let commands: &[&[&str]] = &[
        &["devices"],
        &["devices", "--json"],
        &["list"],
        &["list", "--json"],
        &["tag", "latest", "before iOS 27"],
        &["pin", "latest"],
        &["unpin", "latest"],
        &["list"],
        &["prune", "--dry-run"],
        &["prune", "--dry-run", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["verify", "--deep"],
        &["verify", "--quick"],
        &["encryption", "status"],
        &["encryption", "check", "latest"],
        &["restore", "latest", "--dry-run"],
        &["restore", "latest", "--dry-run", "--json"],
        &["restore", "latest", "--rehearse"],
        &["config", "path"],
        &["config", "check"],
        &["config", "set", "retention.keep-last", "5"],
        &["config", "set", "retention.keep-lst", "5"],
        &["config", "unset", "retention.keep-last"],
        &["config", "init"],
        &["config", "show"],
        &["setup"],
        &["setup", "--yes", "--schedule", "never"],
        &["list", "--everywhere"],
    ];
    assert_snapshot("store.txt", session(&rig, commands));
}

#[test]
fn backup_reports_match_snapshots() {
    let rig = stocked();
    let target = rig.dir.path().join("out");
    let page = rig.dir.path().join("page.html");
    let (target, page) = (target.to_str().unwrap(), page.to_str().unwrap());
    let commands: &[&[&str]] = &[
        &["info", "latest"],
        &["info", "latest", "--json"],
        &["usage", "latest"],
        &["usage", "latest", "--json"],
        &["usage", "latest", "--html", page],
        &["ls", "latest"],
        &["ls", "latest", "HomeDomain"],
        &["find", "latest", "*.db"],
        &["find", "latest", "*.db", "--json"],
        &["tree", "latest"],
        &["extract", "latest", "--to", target, "--dry-run"],
        &["extract", "latest", "--to", target],
        &["extract", "latest", "--to", target],
        &[
            "export",
            "photos",
            "latest",
            "--to",
            &format!("{target}-photos"),
        ],
        &[
            "export",
            "messages",
            "latest",
            "--to",
            &format!("{target}-messages"),
        ],
        &[
            "export",
            "messages",
            "latest",
            "--to",
            &format!("{target}-messages"),
            "--json",
        ],
        &[
            "export",
            "messages",
            "latest",
            "--to",
            &format!("{target}-ana"),
            "--chat",
            "nobody",
        ],
        &[
            "export",
            "contacts",
            "latest",
            "--to",
            &format!("{target}-contacts"),
        ],
        &[
            "export",
            "notes",
            "latest",
            "--to",
            &format!("{target}-notes"),
        ],
        &[
            "export",
            "whatsapp",
            "latest",
            "--to",
            &format!("{target}-whatsapp"),
        ],
    ];
    assert_snapshot("backup.txt", session(&rig, commands));
    let page = fs::read_to_string(page).unwrap();
    assert_snapshot("usage.html", steady(&page, rig.dir.path()));
}

#[test]
fn reports_of_several_backups_match_snapshot() {
    let rig = stocked();
    let snapshots = rig.store.snapshots().unwrap();
    let older = snapshots[1].path().to_str().unwrap().to_owned();
    let place = |name: &str| rig.dir.path().join(name).to_str().unwrap().to_owned();
    let (copies, adopted) = (place("copies"), place("adopted"));
    let commands: &[&[&str]] = &[
        &["diff", &older, "latest"],
        &["diff", &older, "latest", "--json"],
        &["copy", "latest", &copies, "--new-store"],
        &["copy", "latest", &copies],
        &["copy", &older, &copies, "--json"],
        &["adopt", &older, "--store", &adopted, "--new-store"],
        &["list", "--store", &adopted],
        &["list", "--wide", "--store", &adopted],
        &["delete", "latest", "--store", &copies, "--yes"],
        &["retire", "Mira"],
        &["retire", "Mira", "--undo"],
        &["schedule", "list"],
        &["schedule", "status"],
    ];
    assert_snapshot("stores.txt", session(&rig, commands));
}

#[test]
fn reports_of_several_phones_match_snapshot() {
    let rig = Rig::new();
    rig.daemon.attach(Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen iPad".into(),
        ..config()
    }));
    // Two phones print in any order while they are backed up, so this is not part of the session.
    let ran = run(&rig, &["create", "--all", "-q"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let mirror = rig.dir.path().join("mirror");
    let mirror = mirror.to_str().unwrap();
    let commands: &[&[&str]] = &[
        &["create", "--all", "--if-older-than", "1d"],
        &["create", "--all", "--if-older-than", "1d", "--json"],
        &["create", "-d", "Kitchen"],
        &["verify", "--all"],
        &["verify", "--all", "--snapshots"],
        &["verify", "--all", "--quick", "--json"],
        &["copy", "--all", mirror, "--new-store"],
        &["copy", "--all", "--snapshots", mirror],
        &["verify", "latest"],
        &["list"],
        &["list", "--check", "--metrics"],
        &["schedule", "status"],
    ];
    assert_snapshot("several-phones.txt", session(&rig, commands));
}

#[test]
fn errors_match_snapshots() {
    let mut rig = stocked();
    let nowhere = rig.dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let before: &[&[&str]] = &[
        &["no-such-command"],
        &["create", "--no-such-option"],
        &["create", "--keep-last", "many"],
        &["list", "--store", nowhere],
        &["info", "nothing"],
        &["ls", "latest", "NoDomain"],
        &["cat", "latest", "HomeDomain/no/such/file"],
        &["cat", "latest", "HomeDomain/no/such/file", "--json"],
        &["delete", "latest"],
        &[
            "extract",
            "latest",
            "--to",
            rig.store.root().to_str().unwrap(),
        ],
        &["doctor", "explain", "105"],
        &["doctor", "explain", "no such text"],
        &["verify", nowhere],
        &["schedule", "add", "--daily", "25:00"],
        &[
            "create",
            "--device",
            "0000000000000000000000000000000000000000",
        ],
    ];
    assert_snapshot("errors.txt", session(&rig, before));
    rig.daemon.detach(rig.phone.udid());
    let without: &[&[&str]] = &[&["devices"], &["create"], &["create", "--json"], &["pair"]];
    assert_snapshot("errors-without-a-phone.txt", session(&rig, without));
    let phone = rig.phone.clone();
    rig.connect(phone);
    let faults = [
        "error:1",
        "error:208",
        "error:207",
        "cut-at:779",
        "claim-size:900000000000000000",
    ];
    let mut all = String::new();
    for fault in faults {
        rig.phone.suffer(&[fault.parse().unwrap()]);
        all.push_str(&format!("=== the phone's fault: {fault}\n"));
        all.push_str(&session(&rig, &[&["create"]]));
    }
    assert_snapshot("errors-of-a-phone.txt", all);
}

/// Returns what a terminal shows after this output: later text on a line hides earlier text, and
/// lines can be erased.
fn screen(output: &str) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut chars = output.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                (row, column) = (row + 1, 0);
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                let mut number = String::new();
                while let Some(digit) = chars.next_if(|c| !c.is_ascii_alphabetic()) {
                    number.push(digit);
                }
                let count = number.parse().unwrap_or(1);
                match chars.next() {
                    Some('A') => row = usize::saturating_sub(row, count),
                    Some('K') if number == "2" => lines[row].clear(),
                    Some('K') => lines[row].truncate(column),
                    // Colors, and the cursor that is hidden meanwhile.
                    Some('m' | 'h' | 'l') => {}
                    other => panic!("unknown sequence {number}{other:?}"),
                }
            }
            c => {
                let line = &mut lines[row];
                while line.len() <= column {
                    line.push(' ');
                }
                line[column] = c;
                column += 1;
            }
        }
    }
    let text: Vec<String> = lines.iter().map(|line| line.iter().collect()).collect();
    text.join("\n")
}

/// Returns what a terminal of this width shows of the main reports.
fn on_a_terminal(columns: u16, variables: &[(&str, &str)]) -> String {
    let steady_rig = Steady::new();
    let (rig, store) = (&steady_rig.rig, &steady_rig.store);
    let commands: &[&[&str]] = &[
        &[],
        &["create"],
        &["list"],
        &["info"],
        &["usage"],
        &["verify"],
        &["prune", "-n", "--keep-last", "1"],
        &["list", "-h"],
        &["listt"],
        &["info", "nothing"],
    ];
    let color = Regex::new("\u{1b}\\[[0-9;]+m").unwrap();
    let mut all = String::new();
    for args in commands {
        let mut command = program(rig);
        command.args(*args).env("TZ", "UTC").env("LANG", "C.UTF-8");
        command
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env_remove("LC_ALL");
        command.env("TERM", "xterm").envs(variables.iter().copied());
        command.env("IDEV_BACKUP_STORE", store);
        let (code, shown) = in_a_terminal(&mut command, columns);
        if variables.contains(&("NO_COLOR", "1")) {
            assert!(!color.is_match(&shown), "{shown:?}");
        }
        let shown = screen(&shown);
        all.push_str(&format!("$ idev-backup {}\n{shown}", args.join(" ")));
        all.push_str(&format!("--- exit code {code}\n\n"));
    }
    // A phase that took a second or more has a line with its time, and durations have two forms.
    let phases = Regex::new(r"(?m)^[A-Z][a-z ]+  +(\d+\.\d s|\d+:\d\d).*\n").unwrap();
    steady(&phases.replace_all(&all, ""), store)
}

/// Checks the main reports on narrow, usual and wide terminals, without colors and without UTF-8.
#[test]
fn terminal_reports_match_snapshots() {
    for columns in [40, 80, 120] {
        let text = on_a_terminal(columns, &[]);
        assert_snapshot(&format!("terminal-{columns}.txt"), text);
    }
    let plain = on_a_terminal(80, &[("NO_COLOR", "1")]);
    assert_eq!(plain, on_a_terminal(80, &[]));
    let ascii = on_a_terminal(80, &[("LANG", "C")]);
    // The name of an app stays as it is.
    let strange = |line: &&str| !line.is_ascii() && !line.contains("Größere Notizen");
    assert_eq!(ascii.lines().find(strange), None);
    assert_snapshot("terminal-80-ascii.txt", ascii);
}

/// A rig with one backup, and a path of constant length to its store: lines wrap by it.
struct Steady {
    rig: Rig,
    store: PathBuf,
}

impl Steady {
    fn new() -> Steady {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let rig = Rig::new();
        let store = PathBuf::from(format!("/tmp/ib-{:07}-{count}", std::process::id()));
        std::os::unix::fs::symlink(rig.store.root(), &store).unwrap();
        let ran = run(&rig, &["create", "-q"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        Steady { rig, store }
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        fs::remove_file(&self.store).ok();
    }
}

/// Adds the fields of a JSON value to a list, with their types.
fn add_fields(path: &str, value: &serde_json::Value, fields: &mut Fields) {
    use serde_json::Value;
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            for item in items {
                add_fields(&format!("{path}[]"), item, fields);
            }
            "array"
        }
        Value::Object(object) => {
            for (name, value) in object {
                let is_udid =
                    name.len() >= 25 && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
                let name = if is_udid { "UDID" } else { name };
                let dot = if path.is_empty() { "" } else { "." };
                add_fields(&format!("{path}{dot}{name}"), value, fields);
            }
            "object"
        }
    };
    if !path.is_empty() && !path.ends_with("[]") {
        fields.entry(path.to_owned()).or_default().insert(kind);
    }
}

type Fields = std::collections::BTreeMap<String, BTreeSet<&'static str>>;

/// Returns the fields of every event that these commands give.
fn fields_of_events(rig: &Rig, commands: &[&[&str]]) -> String {
    let mut events = std::collections::BTreeMap::<String, (Fields, BTreeSet<String>)>::new();
    for args in commands {
        let ran = run(rig, &[args, &["--json"][..]].concat());
        for object in ran.objects() {
            let event = object["event"].as_str().unwrap().to_owned();
            // A job that is this short gives such an event only by chance.
            if event == "progress" {
                continue;
            }
            let (fields, of) = events.entry(event).or_default();
            let words = args
                .iter()
                .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
            let words: Vec<&str> = words.copied().take(2).collect();
            of.insert(
                if args[0] == "encryption" || args[0] == "export" || args[0] == "schedule" {
                    words.join(" ")
                } else {
                    args[0].to_owned()
                },
            );
            for name in ["version", "time", "udid", "event"] {
                assert!(name == "udid" || object.get(name).is_some(), "{object}");
            }
            let mut object = object;
            for name in ["version", "time", "udid", "event"] {
                object.as_object_mut().unwrap().remove(name);
            }
            add_fields("", &object, fields);
        }
    }
    let mut text = String::new();
    for (event, (fields, of)) in events {
        let of: Vec<String> = of.iter().map(|name| format!("`{name}`")).collect();
        text.push_str(&format!("\n### {event}\n\nOf {}.\n\n", of.join(", ")));
        if fields.is_empty() {
            text.push_str("It has no fields of its own.\n");
            continue;
        }
        text.push_str("| field | type |\n|---|---|\n");
        for (field, kinds) in fields {
            let kinds: Vec<&str> = kinds.into_iter().collect();
            text.push_str(&format!("| `{field}` | {} |\n", kinds.join(", ")));
        }
    }
    text
}

/// Checks that docs/guide/reference.md is what the program itself says: its commands and options,
/// the keys of the config file, and the fields of the JSON that it prints.
#[test]
fn reference_matches_program() {
    let rig = stocked();
    let place = |name: &str| rig.dir.path().join(name).to_str().unwrap().to_owned();
    let (to, photos, copies, adopted) = (
        place("to"),
        place("photos"),
        place("copies"),
        place("adopted"),
    );
    let mut text = run(&rig, &["__reference"]).out;
    text.push_str(
        "\n## JSON\n\nThe fields of each event, as the commands gave them in a test. Every event has \
        `version`, `time` and\n`event`; one about a phone has `udid`. A field that can be absent or null \
        may be missing here, and so\nis `progress`. [Scripts](scripts.md#json) says what they mean.\n",
    );
    let older = rig.store.snapshots().unwrap()[1]
        .path()
        .to_str()
        .unwrap()
        .to_owned();
    let first: &[&[&str]] = &[
        &["create", "--full"],
        &["create", "--if-older-than", "1d"],
        &["devices"],
        &["list", "--sizes"],
        &["info"],
        &["usage"],
        &["ls"],
        &["ls", "latest", "HomeDomain"],
        &["find", "*.db"],
        &["diff", &older, "latest"],
        &["diff", &older, "latest", "--content"],
        &["search", "first message"],
        &["verify"],
        &["verify", "--deep"],
        &["prune", "-n"],
        &["pin", "latest"],
        &["unpin", "latest"],
        &["extract", "--to", &to],
        &["export", "photos", "--to", &photos],
        &["encryption", "status"],
        &["encryption", "check", "latest"],
        &["restore", "latest", "--dry-run"],
        &["restore", "latest", "--rehearse"],
        &["restore", "latest", "--yes"],
        &["copy", "latest", &copies, "--new-store"],
        &["copy", "latest", &copies],
        &["adopt", &older, "--store", &adopted, "--new-store"],
        &["delete", "latest", "--store", &copies, "--yes"],
        &["retire", "Mira"],
        &["retire", "Mira", "--undo"],
        &["config", "show"],
        &["schedule", "list"],
        &["schedule", "status"],
        &["doctor", "explain", "105"],
        &["info", "nothing"],
    ];
    text.push_str(&fields_of_events(&rig, first));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/reference.md");
    let assert = snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV);
    assert.eq(
        Data::text(text),
        Data::read_from(&page, Some(DataFormat::Text)).raw(),
    );
}
