//! `export photos`: photos keep their original names and dates, their parts stay together, and no
//! file is lost.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use idev_backup::backup_format::record::{FileRecord, MODE_FILE};
use idev_backup::base::progress::Silent;
use idev_backup::content::photos::Photos;
use idev_backup::export::Error;
use idev_backup::export::destination::Into;
use idev_backup::export::photos::{self, Albums, Options, Report};
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::NoPasswords;
use serde_json::{Value, json};

use crate::content::{VERSIONS, backup_of, phone};
use crate::made::Made;
use crate::rig;

const ROLL: &str = "CameraRollDomain";
/// 2024-05-31 23:43:20 UTC.
const MAY: i64 = 1_717_199_000;
const EPOCH: i64 = 978_307_200;

fn export(backup: &Path, to: &Path, options: Options) -> Report {
    let opened = Backup::open(backup, &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let exported = photos::export(&opened, to, &options, &no, &Silent).unwrap();
    assert!(exported.stopped.is_none());
    exported.report
}

fn photo(backup: &mut Made, path: &str) {
    let record = FileRecord {
        mode: MODE_FILE | 0o644,
        last_modified: MAY,
        ..FileRecord::default()
    };
    backup.file_with(ROLL, path, path.as_bytes(), record);
}

fn library(backup: &mut Made, rows: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Photos.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, ZDIRECTORY, ZFILENAME, ZDATECREATED, ZTRASHEDSTATE);
         CREATE TABLE ZADDITIONALASSETATTRIBUTES (Z_PK INTEGER PRIMARY KEY, ZASSET, ZORIGINALFILENAME, ZTIMEZONEOFFSET);
         {rows}"
    ))
    .unwrap();
    drop(db);
    backup.file(
        ROLL,
        "Media/PhotoData/Photos.sqlite",
        &fs::read(path).unwrap(),
    );
}

fn exported(to: &Path) -> Vec<String> {
    let all = rig::tree(to);
    let files = all.into_iter().filter(|(_, bytes)| bytes.is_some());
    files.map(|(path, _)| path).collect()
}

/// Checks that photos get their original names and dates, and that the parts of a photo (video,
/// edits) stay together.
#[test]
fn export_preserves_names_and_dates() {
    let mut backup = Made::default();
    for path in [
        "Media/DCIM/100APPLE/IMG_0001.HEIC",
        "Media/DCIM/100APPLE/IMG_0001.MOV",
        "Media/DCIM/100APPLE/IMG_0001.AAE",
        "Media/DCIM/100APPLE/IMG_E0001.HEIC",
        "Media/DCIM/100APPLE/IMG_O0001.AAE",
        "Media/DCIM/100APPLE/IMG_0002.JPG",
        "Media/DCIM/100APPLE/.DS_Store",
        "Media/DCIM/101APPLE/IMG_0001.JPG",
        "Media/DCIM/101APPLE/IMG_0001.MOV",
        "Media/DCIM/101APPLE/holiday.jpg",
        "Media/PhotoData/Mutations/DCIM/100APPLE/IMG_0002/Adjustments/FullSizeRender.jpg",
        "Media/PhotoData/Mutations/DCIM/100APPLE/IMG_0002/Adjustments/Adjustments.plist",
        "Media/PhotoData/CPLAssets/group1/5A0.HEIC",
        "Media/PhotoData/Thumbnails/x.jpg",
        "Media/Books/b.epub",
    ] {
        photo(&mut backup, path);
    }
    let taken = MAY - EPOCH;
    library(
        &mut backup,
        &format!(
            "INSERT INTO ZASSET VALUES
                (1, 'DCIM/100APPLE', 'IMG_0001.HEIC', {taken}.25, 0), (2, 'DCIM/100APPLE', 'IMG_0002.JPG', {taken}, 0),
                (3, 'DCIM/101APPLE', 'IMG_0001.JPG', {taken}, 0), (4, 'PhotoData/CPLAssets/group1', '5A0.HEIC', 0, 0),
                (5, 'DCIM/100APPLE', 'IMG_7000.HEIC', {taken}, 0), (6, 'DCIM/100APPLE', 'IMG_7001.HEIC', {taken}, 1),
                (7, 'PhotoData/PhotoCloudSharingData/x', 'IMG_7002.HEIC', {taken}, 0);
             INSERT INTO ZADDITIONALASSETATTRIBUTES VALUES (1, 1, 'IMG_0001.HEIC', 7200), (2, 2, 'Holiday.JPEG', 0),
                (3, 4, '../../evil/name.HEIC', 0);"
        ),
    );
    let dir = rig::room();
    let folder = dir.path().join("backup");
    backup.write(&folder);
    let to = dir.path().join("to");
    let report = export(&folder, &to, Options::default());
    assert_eq!(report.problems.count, 0, "{:?}", report.problems.first);
    assert_eq!(
        exported(&to),
        [
            "2001/2001-01/..%2F..%2Fevil%2Fname.HEIC",
            "2024/2024-05/Holiday (edited).jpg",
            "2024/2024-05/Holiday.JPG",
            "2024/2024-05/IMG_0001.JPG",
            "2024/2024-05/IMG_0001.MOV",
            "2024/2024-05/holiday (2).jpg",
            // In the time zone of the photo, UTC+2, it was already June.
            "2024/2024-06/IMG_0001 (edited).HEIC",
            "2024/2024-06/IMG_0001 (original).AAE",
            "2024/2024-06/IMG_0001.AAE",
            "2024/2024-06/IMG_0001.HEIC",
            "2024/2024-06/IMG_0001.MOV",
        ]
    );
    assert_eq!((report.photos, report.files, report.chosen), (5, 11, 11));
    assert_eq!((report.has_library, report.only_in_icloud), (true, 1));
    let modified = fs::metadata(to.join("2024/2024-06/IMG_0001.MOV"))
        .unwrap()
        .modified();
    let since = modified
        .unwrap()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(since.as_millis(), MAY as u128 * 1000 + 250);
    // In a flat folder, two photos with the same name get distinct names, including all their
    // parts.
    let flat = dir.path().join("flat");
    let options = Options {
        flat: true,
        ..Options::default()
    };
    let report = export(&folder, &flat, options);
    let names = exported(&flat);
    for name in [
        "IMG_0001.HEIC",
        "IMG_0001.MOV",
        "IMG_0001 (2).JPG",
        "IMG_0001 (2).MOV",
    ] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
    assert_eq!((names.len(), report.files), (11, 11));
}

/// Checks that the dates of the files are used if the phone's photo library is missing or damaged.
#[test]
fn missing_library_uses_file_dates() {
    let mut backup = Made::default();
    photo(&mut backup, "Media/DCIM/100APPLE/IMG_0001.HEIC");
    photo(&mut backup, "Media/DCIM/100APPLE/IMG_0001.MOV");
    backup.file("MediaDomain", "Media/DCIM/100APPLE/IMG_0009.JPG", b"old");
    let dir = rig::room();
    let write = |name: &str| {
        let folder = dir.path().join(name);
        backup.write(&folder);
        let to = dir.path().join(format!("{name}-to"));
        let report = export(&folder, &to, Options::default());
        assert!(!report.has_library);
        exported(&to)
    };
    let expected = [
        "2020/2020-09/IMG_0009.JPG",
        "2024/2024-05/IMG_0001.HEIC",
        "2024/2024-05/IMG_0001.MOV",
    ];
    assert_eq!(write("none"), expected);
    backup.file(
        ROLL,
        "Media/PhotoData/Photos.sqlite",
        b"not a database at all, is it? no, it is not",
    );
    let folder = dir.path().join("damaged");
    backup.write(&folder);
    let to = dir.path().join("damaged-to");
    let report = export(&folder, &to, Options::default());
    assert!(!report.has_library);
    assert_eq!(exported(&to), expected);
}

#[test]
fn photo_export_stays_in_target() {
    let mut backup = Made::default();
    for path in [
        "Media/DCIM/../../../evil.HEIC",
        "Media/DCIM/100APPLE/..",
        "Media/DCIM//x/\u{1}.HEIC",
        "Media/DCIM/100APPLE/\u{202e}\n.JPG",
    ] {
        photo(&mut backup, path);
    }
    let dir = rig::room();
    let folder = dir.path().join("backup");
    backup.write(&folder);
    let before = rig::tree(&folder);
    let to = dir.path().join("to");
    let options = Options {
        into: Into {
            dry_run: true,
            ..Into::default()
        },
        ..Options::default()
    };
    let dry = export(&folder, &to, options);
    assert!(!to.exists() && dry.photos == 2);
    let report = export(&folder, &to, Options::default());
    assert_eq!(
        (report.files, report.problems.count),
        (2, 2),
        "{:?}",
        report.problems.first
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    rig::assert_same(&before, &rig::tree(&folder), "the backup");
}

/// Checks that an export into the folder of an earlier one writes only new photos, also into one
/// flat folder, and that a folder of another origin is refused.
#[test]
fn export_adds_only_new_photos() {
    let dir = rig::room();
    let mut backup = Made::default();
    photo(&mut backup, "Media/DCIM/100APPLE/IMG_0001.HEIC");
    photo(&mut backup, "Media/DCIM/101APPLE/IMG_0001.HEIC");
    backup.write(&dir.path().join("before"));
    photo(&mut backup, "Media/DCIM/101APPLE/IMG_0002.HEIC");
    backup.write(&dir.path().join("after"));
    for flat in [false, true] {
        let options = Options {
            flat,
            ..Options::default()
        };
        let to = dir.path().join(format!("to-{flat}"));
        let report = export(&dir.path().join("before"), &to, options);
        assert_eq!((report.files, report.there), (2, 0));
        let report = export(&dir.path().join("after"), &to, options);
        assert_eq!((report.files, report.there, report.photos), (1, 2, 3));
        assert_eq!(report.problems.count, 0, "{:?}", report.problems.first);
        assert_eq!(exported(&to).len(), 3);
    }
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine.txt"), "mine").unwrap();
    let opened = Backup::open(&dir.path().join("after"), &NoPasswords).unwrap();
    let no = AtomicBool::new(false);
    let refused = photos::export(&opened, &other, &Options::default(), &no, &Silent);
    assert!(matches!(refused, Err(Error::NotEmpty(_))));
    assert_eq!(exported(&other), ["mine.txt"]);
}

#[test]
fn photos_of_all_versions_are_true() {
    for ios in VERSIONS {
        let phone = phone(ios);
        let dir = rig::room();
        let backup = Backup::open(&backup_of(&phone, dir.path()), &NoPasswords).unwrap();
        let photos = Photos::open(&backup).unwrap();
        assert!(photos.damage().is_empty(), "{:?}", photos.damage());
        let truth = &phone.truth()["photos"];
        let mut found = Vec::new();
        let mut of_albums = vec![Vec::new(); photos.albums().len()];
        photos
            .each(|photo| {
                for album in &photo.albums {
                    of_albums[*album].push(json!(photo.path));
                }
                let mut value = serde_json::to_value(&photo).unwrap();
                value.as_object_mut().unwrap().remove("id");
                if !photo.people.is_empty() {
                    let people = photo.people.iter().map(|at| &photos.people()[*at]);
                    value["people"] = people.cloned().collect::<Vec<_>>().into();
                }
                found.push(value);
                true
            })
            .unwrap();
        let expected = truth["photos"].as_array().unwrap();
        for (found, truth) in found.iter().zip(expected) {
            assert_eq!(found, truth, "iOS {ios}");
        }
        assert_eq!(found.len(), expected.len());
        let albums = photos.albums().iter().zip(of_albums);
        let albums: Vec<Value> = albums
            .map(|(album, paths)| {
                json!({ "names": album.names, "photos": album.photos, "paths": paths })
            })
            .collect();
        assert_eq!(Value::from(albums), truth["albums"], "iOS {ios}");
    }
}

#[test]
fn albums_become_folders_or_links() {
    let phone = phone("18.6.2");
    let dir = rig::room();
    let backup = backup_of(&phone, dir.path());
    for albums in [Albums::Folders, Albums::Links] {
        if cfg!(windows) && albums == Albums::Links {
            // Windows lets only some users make links.
            continue;
        }
        let options = Options {
            albums,
            index: true,
            hidden: true,
            ..Options::default()
        };
        let to = dir.path().join(format!("{albums:?}"));
        let report = export(&backup, &to, options);
        let counts = report.library;
        assert_eq!((counts.favorites, counts.edited, counts.live), (1, 1, 1));
        assert_eq!((counts.bursts, counts.albums, counts.in_albums), (1, 4, 7));
        // The photo of the year 4001 is named; one album has an edited version and a moving part.
        assert_eq!(
            (report.damage.count, counts.album_files),
            (1, 9),
            "{:?}",
            report.damage
        );
        assert!(report.damage.first[0].contains("IMG_0211.PNG: its date is in the year 4001"));
        let album = to.join("Albums/Family/Birthday 🎂");
        assert_eq!(fs::read_dir(&album).unwrap().count(), 3);
        let one = fs::read(album.join("Colosseum.PNG")).unwrap();
        assert_eq!(
            one,
            fs::read(to.join("2024/2024-01/Colosseum.PNG")).unwrap()
        );
        let is_link = fs::symlink_metadata(album.join("Colosseum.PNG"))
            .unwrap()
            .is_symlink();
        assert_eq!(is_link, albums == Albums::Links);
        // A name from the database is never a path.
        assert!(fs::read_dir(to.join("Albums")).unwrap().count() == 3);
        let records = fs::read_to_string(to.join("photos.jsonl")).unwrap();
        let records: Vec<Value> = records
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            records.len(),
            phone.truth()["photos"]["photos"].as_array().unwrap().len()
        );
        for record in &records {
            for path in record["exported"].as_array().unwrap() {
                assert!(to.join(path.as_str().unwrap()).is_file(), "{record}");
            }
        }
        assert_eq!(
            records[0]["albums"],
            json!([["Italy/2024: <Rome>"], ["Family", "Birthday 🎂"]])
        );
        assert_eq!(
            records[1]["people"],
            json!(["<b>Jun</b> 写真", "Ana Größe"])
        );
        assert_eq!(records[2]["people"], json!([]));
        assert_eq!(records[1]["exported"].as_array().unwrap().len(), 2);
        // The same export changes nothing.
        let before = rig::tree(&to);
        let again = export(&backup, &to, options);
        assert_eq!((again.files, again.damage.count), (0, 1));
        rig::assert_same(&before, &rig::tree(&to), "the export");
    }
}

/// Checks that a library whose albums cannot be read says so, and that its photos are exported.
#[test]
fn unknown_albums_are_named() {
    let mut backup = Made::default();
    photo(&mut backup, "Media/DCIM/100APPLE/IMG_0001.HEIC");
    library(
        &mut backup,
        "INSERT INTO ZASSET VALUES (1, 'DCIM/100APPLE', 'IMG_0001.HEIC', 1, 0);
         CREATE TABLE ZGENERICALBUM (Z_PK, ZKIND, ZTITLE); CREATE TABLE Z_PRIMARYKEY (Z_ENT, Z_NAME);
         INSERT INTO ZGENERICALBUM VALUES (1, 2, 'An album'); INSERT INTO Z_PRIMARYKEY VALUES (30, 'Album');",
    );
    let dir = rig::room();
    let folder = dir.path().join("backup");
    backup.write(&folder);
    let report = export(&folder, &dir.path().join("to"), Options::default());
    assert_eq!((report.files, report.damage.count), (1, 1));
    let why = &report.damage.first[0];
    assert!(
        why.contains("is not known: it has no table Z_30ASSETS"),
        "{why}"
    );
}
