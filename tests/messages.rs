//! `export messages`: every message of the phone is in every format, its files are beside it, and
//! nothing that another person wrote does harm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use idev_backup::base::progress::Silent;
use idev_backup::content::Time;
use idev_backup::export::destination::Into;
use idev_backup::export::messages::{self, Attachments, Format, Options, Report};
use idev_backup::export::{Error, messages::Counts};
use idev_backup::reader::Backup;
use idev_backup::reader::passwords::NoPasswords;
use idev_backup::simulator::{Password, PhoneConfig};
use serde_json::Value;

use crate::content::{backup_of, phone};
use crate::made::Made;
use crate::rig::program::{ended, program};
use crate::rig::{self, Rig, small};

const ALL: [Format; 4] = [Format::Html, Format::Jsonl, Format::Csv, Format::Text];

fn options() -> Options {
    Options {
        formats: ALL.to_vec(),
        ..Options::default()
    }
}

fn export(backup: &Path, to: &Path, options: &Options) -> Result<Report, Error> {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let exported = messages::export(&opened, to, options, &no, &Silent)?;
    assert!(exported.stopped.is_none(), "{:?}", exported.stopped);
    Ok(exported.report)
}

fn lines(to: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(to.join(name)).unwrap();
    // Some programs take these for the end of a line.
    assert!(!text.contains(['\u{85}', '\u{2028}', '\u{2029}']));
    let line = |line| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

/// Returns the identifiers of the messages in the truth, without reactions.
fn true_guids(truth: &Value) -> BTreeSet<String> {
    let all = truth["messages"]["messages"].as_array().unwrap();
    let shown = all.iter().filter(|message| message["is_reaction"] != true);
    shown
        .map(|message| message["guid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_message_is_in_every_format() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, &options()).unwrap();
    let truth = phone.truth();
    let guids = true_guids(&truth);
    let records = lines(&to, "messages.jsonl");
    let found: BTreeSet<String> = records
        .iter()
        .map(|record| record["guid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, guids);
    assert_eq!(records.len(), guids.len());
    assert_eq!(report.messages, records.len() as u64);
    assert_eq!((report.undecodable, report.deleted), (1, 2));
    // The messages of the years 4001 and 1601 are exported and named.
    let whys: Vec<&str> = (report.doubtful.first.iter().map(|one| one.why.as_str())).collect();
    assert!(
        whys.len() == 2
            && ["4001", "1601"]
                .iter()
                .all(|year| whys.iter().any(|why| why.ends_with(year))),
        "{whys:?}"
    );
    let chats = lines(&to, "chats.jsonl");
    assert_eq!(chats.len() + 1, report.chats as usize);
    let ids: Vec<&Value> = chats.iter().map(|chat| &chat["id"]).collect();
    assert!(
        records
            .iter()
            .all(|one| one["chat"].is_null() || ids.contains(&&one["chat"]))
    );
    // Each text is in the table and in a text file, but for line breaks and control characters.
    let table = fs::read_to_string(to.join("messages.csv")).unwrap();
    let mut texts = String::new();
    for (path, bytes) in rig::tree(&to.join("text")) {
        assert!(path.ends_with(".txt"), "{path}");
        texts += &String::from_utf8(bytes.unwrap()).unwrap();
    }
    for record in &records {
        let Some(text) = record["text"].as_str() else {
            continue;
        };
        let first = text
            .split(['\n', '\r', '\u{2028}', '\0', '\u{202e}', '"'])
            .next()
            .unwrap();
        assert!(table.contains(first) && texts.contains(first), "{text}");
    }
}

#[test]
fn attachments_are_beside_the_messages() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let report = export(&backup, &to, &options()).unwrap();
    let files: BTreeMap<String, Vec<u8>> = phone
        .files()
        .filter(|file| file.path.starts_with("Library/SMS/Attachments/"))
        .map(|file| {
            let mut bytes = Vec::new();
            std::io::copy(&mut file.bytes(), &mut bytes).unwrap();
            (file.path.clone(), bytes)
        })
        .collect();
    let mut exported = 0;
    for record in lines(&to, "messages.jsonl") {
        let parts = record["parts"].as_array().into_iter().flatten();
        let stickers = record["reactions"].as_array().into_iter().flatten();
        let stickers = stickers
            .map(|one| &one["sticker"])
            .filter(|one| !one.is_null());
        for part in parts
            .filter(|part| part["kind"] == "attachment")
            .chain(stickers)
        {
            let Some(path) = part["exported"].as_str() else {
                assert_ne!(part["file"], "in_backup");
                continue;
            };
            let bytes = fs::read(to.join(path)).unwrap();
            assert_eq!(bytes, files[part["path"].as_str().unwrap()], "{path}");
            exported += 1;
        }
    }
    // The picture of a link preview is not an attachment.
    assert_eq!(exported + 1, files.len() as u64);
    let counts = report.attachments;
    let expected = Counts {
        exported,
        there: 0,
        bytes: counts.bytes,
        only_in_icloud: 1,
        missing: 1,
    };
    assert_eq!(counts, expected);
    // Names that other people chose lead nowhere.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    #[cfg(unix)]
    for entry in walkdir::WalkDir::new(&to) {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let expected = if entry.file_type().is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(mode, expected, "{}", entry.path().display());
    }
}

#[test]
fn conversations_and_periods_are_chosen() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let titles = |chats: &[&str]| {
        let to = tempfile::tempdir_in(dir.path()).unwrap();
        let options = Options {
            chats: chats.iter().map(ToString::to_string).collect(),
            attachments: Attachments::None,
            ..options()
        };
        let report = export(&backup, to.path(), &options)?;
        assert_eq!(report.attachments.exported, 0);
        let titles = lines(to.path(), "chats.jsonl").into_iter();
        Ok::<Vec<String>, Error>(
            titles
                .map(|chat| chat["title"].as_str().unwrap().to_owned())
                .collect(),
        )
    };
    assert_eq!(titles(&["hiking"]).unwrap(), ["Hiking 🏔️"]);
    assert_eq!(
        titles(&["ana"]).unwrap(),
        ["Ana Größe", "Hiking 🏔️", "Choir"]
    );
    assert_eq!(
        titles(&["EXAMPLE-CO", "choir"]).unwrap(),
        ["EXAMPLE-CO", "Choir"]
    );
    let e = titles(&["nobody at all"]).unwrap_err();
    assert!(matches!(e, Error::NoChat(_)), "{e}");
    let to = dir.path().join("period");
    let mut options = options();
    options.period.since = Time::since_1970(1_704_200_000);
    options.period.until = Time::since_1970(1_704_300_000);
    export(&backup, &to, &options).unwrap();
    let times = lines(&to, "messages.jsonl").into_iter();
    let times: Vec<String> = times
        .map(|one| one["time"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.len() > 5);
    assert!(
        times
            .iter()
            .all(|time| ("2024-01-02T12:53:20Z".."2024-01-03T16:40:00Z").contains(&time.as_str()))
    );
}

/// Checks that an export that was interrupted goes on in its folder, and that no other one does.
#[test]
fn interrupted_export_goes_on() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let opened = Backup::open(&backup, &NoPasswords).unwrap();
    let yes = AtomicBool::new(true);
    let exported = messages::export(&opened, &to, &options(), &yes, &Silent).unwrap();
    assert!(matches!(exported.stopped, Some(Error::Interrupted)));
    assert!(!exported.report.complete);
    let other = Options {
        formats: vec![Format::Csv],
        ..options()
    };
    let refused = export(&backup, &to, &other).unwrap_err();
    assert!(matches!(refused, Error::OtherExport(_)), "{refused}");
    let report = export(&backup, &to, &options()).unwrap();
    assert!(report.resumed && report.complete && report.attachments.there == 0);
    let whole = rig::tree(&to);
    let fresh = dir.path().join("fresh");
    export(&backup, &fresh, &options()).unwrap();
    rig::assert_same(&whole, &rig::tree(&fresh), "the export");
    // A file that an earlier run completed stays.
    let again = export(&backup, &to, &options()).unwrap();
    assert_eq!(again.attachments.there, report.attachments.exported);
    assert_eq!(
        (again.attachments.exported, again.messages),
        (0, report.messages)
    );
    rig::assert_same(&whole, &rig::tree(&to), "the export");
}

#[test]
fn dry_run_writes_nothing() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let options = Options {
        into: Into {
            dry_run: true,
            ..Into::default()
        },
        ..options()
    };
    let report = export(&backup, &to, &options).unwrap();
    assert!(report.dry_run && report.messages > 100 && !to.exists());
}

#[cfg(unix)]
#[test]
fn links_lead_to_the_backup() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let options = Options {
        attachments: Attachments::Link,
        ..options()
    };
    let report = export(&backup, &to, &options).unwrap();
    let mut links = 0;
    for entry in walkdir::WalkDir::new(to.join("attachments")) {
        let entry = entry.unwrap();
        if entry.file_type().is_symlink() {
            let leads_to = fs::canonicalize(entry.path()).unwrap();
            assert!(leads_to.starts_with(fs::canonicalize(&backup).unwrap()));
            links += 1;
        }
    }
    assert!(links > 5 && report.attachments.exported == links && report.attachments.bytes == 0);
}

/// Returns the attribute values with this name in a page.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let start = format!(" {name}=\"");
    let found = page.split(&start).skip(1);
    found.map(|rest| rest.split('"').next().unwrap()).collect()
}

pub fn decoded(link: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = link.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Checks that every link of every page leads to a file that is there, that every message has its
/// place, and that no text becomes markup.
#[test]
fn pages_are_whole_and_harmless() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    let to = dir.path().join("to");
    let options = Options {
        formats: vec![Format::Html],
        ..options()
    };
    export(&backup, &to, &options).unwrap();
    let mut ids = BTreeSet::new();
    let mut pages = 0;
    for entry in walkdir::WalkDir::new(&to) {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|extension| extension != "html")
            || path.starts_with(to.join("attachments"))
        {
            continue;
        }
        pages += 1;
        let page = fs::read_to_string(&path).unwrap();
        assert!(page.contains("Content-Security-Policy") && page.ends_with("</html>\n"));
        for evil in ["<script>alert", "<img src=x", "<b>evil", "\u{202e}", "\0"] {
            assert!(!page.contains(evil), "{}: {evil}", path.display());
        }
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, usize::from(path.ends_with("index.html")));
        ids.extend(attributes(&page, "id").into_iter().map(str::to_owned));
        let links = attributes(&page, "href")
            .into_iter()
            .chain(attributes(&page, "src"));
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            let leads_to = path.parent().unwrap().join(decoded(file));
            assert!(leads_to.is_file(), "{}: {link}", path.display());
        }
        for link in attributes(&page, "href")
            .into_iter()
            .filter(|link| link.starts_with("http"))
        {
            assert!(link.starts_with("https://example.org/"), "{link}");
        }
    }
    assert!(pages > 5);
    let page = fs::read_to_string(to.join("chats/Ana Größe.html")).unwrap();
    assert!(page.contains(" · with effect Confetti<"));
    let guids = true_guids(&phone.truth());
    assert!(ids.is_superset(&guids), "{:?}", guids.difference(&ids));
    let search = fs::read_to_string(to.join("search/1.js")).unwrap();
    assert!(search.starts_with("look([") && !search.contains("<script>"));
    let rows = search
        .trim_start_matches("look(")
        .trim_end()
        .trim_end_matches(");");
    let rows = rows.replace(",\n]", "]");
    let rows: Vec<[String; 4]> = serde_json::from_str(&rows).unwrap();
    assert!(rows.len() > 100);
    assert!(rows.iter().any(|row| row[1] == "Ana Größe"));
    for row in &rows {
        let (page, id) = row[0].split_once('#').unwrap();
        let page = fs::read_to_string(to.join(decoded(page))).unwrap();
        assert!(page.contains(&format!(" id=\"{id}\"")), "{}", row[0]);
    }
}

/// Checks the program on an encrypted backup: the messages are those of the plain one, and nothing
/// of them stays behind.
#[test]
fn program_exports_encrypted_backup() {
    let config = PhoneConfig {
        backup_password: Some(Password::new("simulated")),
        key_rounds: 1000,
        content: small(),
        ..PhoneConfig::default()
    };
    let rig = Rig::with(config);
    rig.try_create(&rig::options(), &Silent).unwrap();
    let file = rig.dir.path().join("password");
    fs::write(&file, "simulated\n").unwrap();
    let to = rig.dir.path().join("out");
    let temporary = rig.dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let ran = ended(
        program(&rig)
            .args([
                "export",
                "messages",
                "latest",
                "--format",
                "jsonl,html",
                "--to",
            ])
            .arg(&to)
            .arg("--password-file")
            .arg(&file)
            .env("TMPDIR", &temporary),
    );
    assert_eq!(ran.code, 3, "{}", ran.all());
    assert!(
        ran.out
            .contains("1 message cannot be decoded; it is marked."),
        "{}",
        ran.out
    );
    let found: BTreeSet<String> = lines(&to, "messages.jsonl")
        .iter()
        .map(|record| record["guid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, true_guids(&rig.phone.truth()));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    let refused = ended(
        program(&rig)
            .args([
                "export",
                "messages",
                "latest",
                "--attachments",
                "link",
                "--to",
            ])
            .arg(rig.dir.path().join("links"))
            .arg("--password-file")
            .arg(&file),
    );
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("hint: use `--attachments copy`"),
        "{}",
        refused.err
    );
}

/// Checks that a database that is cut or damaged anywhere is an error that names it, or gives what
/// can be read and says that messages are missing.
#[test]
fn damaged_database_gives_the_rest() {
    let phone = phone("18.6.2");
    let entry = phone
        .files()
        .find(|file| file.path.ends_with("sms.db"))
        .unwrap();
    let mut whole = Vec::new();
    std::io::copy(&mut entry.bytes(), &mut whole).unwrap();
    let dir = rig::room();
    let pages = whole.len() / 4096;
    let (mut refused, mut partial) = (0, 0);
    for page in (1..pages).step_by(3) {
        let mut bytes = whole.clone();
        if page % 2 == 0 {
            bytes.truncate(page * 4096 + 100);
        } else {
            bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        }
        let mut made = Made::default();
        made.file("HomeDomain", "Library/SMS/sms.db", &bytes);
        let folder = dir.path().join(format!("backup-{page}"));
        made.write(&folder);
        let to = dir.path().join(format!("to-{page}"));
        match export(&folder, &to, &options()) {
            Err(e) => {
                assert!(
                    e.to_string().contains("HomeDomain/Library/SMS/sms.db"),
                    "{e}"
                );
                refused += 1;
            }
            Ok(report) if report.damage.count > 0 || report.undecodable > 1 => partial += 1,
            // The page held nothing that messages need.
            Ok(_) => {}
        }
    }
    assert!(partial > 5 && refused > 0, "{partial} {refused} of {pages}");
}
