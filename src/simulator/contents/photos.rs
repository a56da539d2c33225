//! The photo library of the simulated phone: Photos.sqlite, and the files of its photos.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use super::rows::{Rows, number, text};
use super::{BEGIN, Contents, Plan, columns_of, database, picture, rfc3339};

const DOMAIN: &str = "CameraRollDomain";
const FOLDER: &str = "DCIM/200APPLE";
/// 4001-01-01 in seconds since 2001.
const FUTURE: i64 = 63_113_904_000;

/// Adds the database, the files and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = json!({});
    let bytes = database(|db| {
        let numbers = Numbers::of(plan.ios);
        create(db, plan.ios, &numbers)?;
        let mut roll = Roll {
            plan,
            rows: Rows::of(
                db,
                &[
                    numbers.table,
                    "ZADDITIONALASSETATTRIBUTES",
                    "ZGENERICALBUM",
                    "ZPERSON",
                    "ZDETECTEDFACE",
                ],
            )?,
            numbers,
            contents,
            photos: Vec::new(),
            albums: Vec::new(),
        };
        roll.fill()?;
        truth = json!({ "photos": roll.photos, "albums": roll.albums });
        Ok(())
    });
    contents.file(DOMAIN, "Media/PhotoData/Photos.sqlite", bytes);
    contents.truth.insert("photos".to_owned(), truth);
}

/// The numbers of the kinds of objects, which differ between versions, and the table of photos.
struct Numbers {
    album: i64,
    asset: i64,
    table: &'static str,
    kind: &'static str,
}

impl Numbers {
    /// Returns the numbers of a version, as osxphotos and iLEAPP found them.
    fn of(ios: u32) -> Numbers {
        let (album, asset) = match ios {
            ..=13 => (26, 34),
            14..=15 => (27, 3),
            16..=17 => (28, 3),
            18..=25 => (30, 3),
            _ => (33, 3),
        };
        Numbers {
            album,
            asset,
            table: if ios < 14 { "ZGENERICASSET" } else { "ZASSET" },
            kind: if ios < 14 { "GenericAsset" } else { "Asset" },
        }
    }
}

/// Returns the columns of ZDETECTEDFACE for the person and the photo.
fn face_columns(ios: u32) -> (&'static str, &'static str) {
    if ios < 17 {
        ("ZPERSON", "ZASSET")
    } else {
        ("ZPERSONFORFACE", "ZASSETFORFACE")
    }
}

fn create(db: &Connection, ios: u32, numbers: &Numbers) -> rusqlite::Result<()> {
    let columns = columns_of(
        ios,
        &[
            (
                9,
                "Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZFAVORITE INTEGER, ZHIDDEN INTEGER,
                 ZHEIGHT INTEGER, ZWIDTH INTEGER, ZKIND INTEGER, ZKINDSUBTYPE INTEGER, ZTRASHEDSTATE INTEGER,
                 ZVISIBILITYSTATE INTEGER, ZADDEDDATE TIMESTAMP, ZDATECREATED TIMESTAMP, ZMODIFICATIONDATE TIMESTAMP,
                 ZDURATION FLOAT, ZLATITUDE FLOAT, ZLONGITUDE FLOAT, ZDIRECTORY VARCHAR, ZFILENAME VARCHAR,
                 ZUUID VARCHAR, ZAVALANCHEUUID VARCHAR",
            ),
            (16, "ZADJUSTMENTSSTATE INTEGER"),
        ],
    );
    let edited = if ios < 16 {
        ", ZHASADJUSTMENTS INTEGER"
    } else {
        ""
    };
    let (album, asset, table) = (numbers.album, numbers.asset, numbers.table);
    let (face, photo) = face_columns(ios);
    db.execute_batch(&format!(
        "CREATE TABLE {table} ({columns}{edited});
         CREATE TABLE ZADDITIONALASSETATTRIBUTES (Z_PK INTEGER PRIMARY KEY, ZASSET INTEGER, ZTIMEZONEOFFSET INTEGER,
            ZORIGINALFILENAME VARCHAR);
         CREATE TABLE ZGENERICALBUM (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZKIND INTEGER, ZPARENTFOLDER INTEGER,
            ZTRASHEDSTATE INTEGER, ZTITLE VARCHAR, ZUUID VARCHAR);
         CREATE TABLE Z_{album}ASSETS (Z_{album}ALBUMS INTEGER, Z_{asset}ASSETS INTEGER, Z_FOK_{asset}ASSETS INTEGER);
         CREATE TABLE ZPERSON (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZDISPLAYNAME VARCHAR, ZFULLNAME VARCHAR);
         CREATE TABLE ZDETECTEDFACE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, {face} INTEGER, {photo} INTEGER);
         CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
         INSERT INTO Z_PRIMARYKEY VALUES ({asset}, '{}', 0, 0), ({}, 'GenericAlbum', 0, 0),
            ({album}, 'Album', {}, 0);",
        numbers.kind,
        album - 1,
        album - 1
    ))
}

struct Roll<'a> {
    plan: Plan,
    rows: Rows<'a>,
    numbers: Numbers,
    contents: &'a mut Contents,
    photos: Vec<Value>,
    albums: Vec<Value>,
}

/// A photo that is to be added.
#[derive(Default)]
struct Shot {
    name: &'static str,
    /// Further files of it, below `Media`.
    more: &'static [&'static str],
    columns: Vec<(&'static str, Sql)>,
    truth: Value,
    original: Option<&'static str>,
    in_icloud: bool,
}

impl Roll<'_> {
    fn fill(&mut self) -> rusqlite::Result<()> {
        let burst = self.plan.uuid(70, 1);
        let is_old = self.plan.ios < 16;
        let edited = if is_old {
            "ZHASADJUSTMENTS"
        } else {
            "ZADJUSTMENTSSTATE"
        };
        let of_burst = |pick: bool| {
            let mut truth = json!({ "burst": burst.clone() });
            if pick {
                truth["burst_pick"] = true.into();
            }
            let visibility = if pick { 0 } else { 2 };
            let columns = vec![
                ("ZAVALANCHEUUID", text(&burst)),
                ("ZVISIBILITYSTATE", number(visibility)),
            ];
            (columns, truth)
        };
        let (picked, picked_truth) = of_burst(true);
        let (other, other_truth) = of_burst(false);
        let shots = vec![
            Shot {
                name: "IMG_0201.PNG",
                columns: vec![
                    ("ZFAVORITE", number(1)),
                    ("ZLATITUDE", Sql::Real(41.8902)),
                    ("ZLONGITUDE", Sql::Real(12.4922)),
                ],
                truth: json!({ "favorite": true, "latitude": 41.8902, "longitude": 12.4922 }),
                original: Some("Colosseum.png"),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0202.HEIC",
                more: &["DCIM/200APPLE/IMG_0202.MOV"],
                columns: vec![("ZKINDSUBTYPE", number(2))],
                truth: json!({ "special": "live" }),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0203.PNG",
                more: &[
                    "PhotoData/Mutations/DCIM/200APPLE/IMG_0203/Adjustments/FullSizeRender.png",
                ],
                columns: vec![(edited, number(1))],
                truth: json!({ "edited": true }),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0204.PNG",
                columns: vec![("ZHIDDEN", number(1))],
                truth: json!({ "hidden": true }),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0205.PNG",
                columns: vec![("ZTRASHEDSTATE", number(1))],
                truth: json!({ "deleted": true }),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0206.PNG",
                columns: picked,
                truth: picked_truth,
                ..Shot::default()
            },
            Shot {
                name: "IMG_0207.PNG",
                columns: other,
                truth: other_truth,
                ..Shot::default()
            },
            Shot {
                name: "IMG_0208.HEIC",
                truth: json!({ "only_in_icloud": true }),
                in_icloud: true,
                ..Shot::default()
            },
            Shot {
                name: "IMG_0209.PNG",
                columns: vec![("ZKINDSUBTYPE", number(10))],
                truth: json!({ "special": "screenshot" }),
                original: Some("../../<b>evil</b>.png"),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0210.MOV",
                columns: vec![("ZKIND", number(1)), ("ZDURATION", Sql::Real(2.5))],
                truth: json!({ "video": true, "seconds": 2.5 }),
                ..Shot::default()
            },
            Shot {
                name: "IMG_0211.PNG",
                columns: vec![("ZDATECREATED", number(FUTURE))],
                truth: json!({
                    "created": "4001-01-01T00:00:00Z",
                    "doubts": ["its date is in the year 4001"],
                }),
                ..Shot::default()
            },
        ];
        for shot in shots {
            self.shot(shot)?;
        }
        let root = self.folder("", 3999, None)?;
        let family = self.folder("Family", 4000, Some(root))?;
        self.album(&["Italy/2024: <Rome>"], Some(root), &[1, 2, 3, 8])?;
        self.album(&["Family", "Birthday 🎂"], Some(family), &[1, 6, 10])?;
        self.album(&["Family", "Empty"], Some(family), &[])?;
        self.album(&["../../evil"], None, &[9])?;
        // An album of the system, and one that was deleted.
        let system = self.folder("progress-sync", 3571, None)?;
        self.member(system, 1)?;
        let deleted = self.folder("Deleted", 2, None)?;
        self.rows.db.execute(
            "UPDATE ZGENERICALBUM SET ZTRASHEDSTATE = 1 WHERE Z_PK = ?1",
            [deleted],
        )?;
        self.member(deleted, 1)?;
        self.person(
            &[("ZFULLNAME", "Ana Größe"), ("ZDISPLAYNAME", "Ana")],
            &[1, 2, 2],
        )?;
        self.person(&[("ZFULLNAME", "<b>Jun</b> 写真")], &[2, 8])?;
        self.person(&[("ZFULLNAME", "")], &[3])?;
        self.person(&[], &[3, 10])?;
        self.albums.sort_by_key(|album| album["names"].to_string());
        Ok(())
    }

    fn shot(&mut self, shot: Shot) -> rusqlite::Result<()> {
        let which = self.photos.len() as u64;
        let taken = BEGIN + 86_400 * (which as i64 * 9);
        let path = format!("Media/{FOLDER}/{}", shot.name);
        let guid = self.plan.uuid(71, which);
        let mut row = vec![
            ("Z_ENT", number(self.numbers.asset)),
            ("ZUUID", text(&guid)),
            ("ZDIRECTORY", text(FOLDER)),
            ("ZFILENAME", text(shot.name)),
            ("ZDATECREATED", Sql::Real(taken as f64)),
            ("ZADDEDDATE", Sql::Real((taken + 5) as f64)),
            ("ZWIDTH", number(24)),
            ("ZHEIGHT", number(24)),
            ("ZKIND", number(0)),
            ("ZKINDSUBTYPE", number(0)),
            ("ZTRASHEDSTATE", number(0)),
            ("ZVISIBILITYSTATE", number(0)),
            ("ZLATITUDE", Sql::Real(-180.0)),
            ("ZLONGITUDE", Sql::Real(-180.0)),
        ];
        for (column, value) in shot.columns {
            row.retain(|(known, _)| *known != column);
            row.push((column, value));
        }
        let photo = self.rows.insert(self.numbers.table, row)?;
        self.rows.insert(
            "ZADDITIONALASSETATTRIBUTES",
            vec![
                ("ZASSET", number(photo)),
                ("ZTIMEZONEOFFSET", number(3600)),
                (
                    "ZORIGINALFILENAME",
                    text(shot.original.unwrap_or(shot.name)),
                ),
            ],
        )?;
        let bytes = picture::png(24, self.plan.pick(&[72, which], u64::MAX));
        if !shot.in_icloud {
            self.contents.file(DOMAIN, &path, bytes.clone());
        }
        for file in shot.more {
            let path = format!("Media/{file}");
            self.contents.file(DOMAIN, &path, bytes.clone());
        }
        let mut truth = json!({
            "guid": guid,
            "path": path,
            "created": rfc3339(taken),
            "added": rfc3339(taken + 5),
            "video": false,
            "width": 24,
            "height": 24,
        });
        if let Some(name) = shot.original {
            truth["original_name"] = name.into();
        }
        for (field, value) in shot.truth.as_object().into_iter().flatten() {
            truth[field] = value.clone();
        }
        self.photos.push(truth);
        Ok(())
    }

    fn folder(&self, title: &str, kind: i64, parent: Option<i64>) -> rusqlite::Result<i64> {
        let mut row = vec![
            ("Z_ENT", number(self.numbers.album)),
            ("ZKIND", number(kind)),
            ("ZTRASHEDSTATE", number(0)),
            ("ZTITLE", text(title)),
        ];
        if let Some(parent) = parent {
            row.push(("ZPARENTFOLDER", number(parent)));
        }
        self.rows.insert("ZGENERICALBUM", row)
    }

    /// Adds an album with these photos, by their rows.
    fn album(
        &mut self,
        names: &[&str],
        parent: Option<i64>,
        photos: &[i64],
    ) -> rusqlite::Result<()> {
        let row = self.folder(names.last().unwrap_or(&""), 2, parent)?;
        for photo in photos {
            self.member(row, *photo)?;
        }
        let paths: Vec<&Value> = photos
            .iter()
            .filter_map(|photo| Some(&self.photos.get(*photo as usize - 1)?["path"]))
            .collect();
        let album = json!({ "names": names, "photos": photos.len(), "paths": paths });
        self.albums.push(album);
        Ok(())
    }

    /// Adds a person whose face is in these photos, by their rows.
    fn person(&mut self, names: &[(&'static str, &str)], photos: &[i64]) -> rusqlite::Result<()> {
        let mut row = vec![("Z_ENT", number(0))];
        row.extend(names.iter().map(|(column, name)| (*column, text(name))));
        let id = self.rows.insert("ZPERSON", row)?;
        let (face, of_photo) = face_columns(self.plan.ios);
        for photo in photos {
            let row = vec![(face, number(id)), (of_photo, number(*photo))];
            self.rows.insert("ZDETECTEDFACE", row)?;
            let name = names.first().map(|(_, name)| *name).unwrap_or_default();
            let truth = self.photos.get_mut(*photo as usize - 1);
            if let Some(truth) = truth.filter(|_| !name.is_empty()) {
                let people = &mut truth["people"];
                if people.is_null() {
                    *people = json!([]);
                }
                if let Some(people) = people.as_array_mut()
                    && !people.contains(&name.into())
                {
                    people.push(name.into());
                    people.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
                }
            }
        }
        Ok(())
    }

    fn member(&self, album: i64, photo: i64) -> rusqlite::Result<()> {
        let table = self.numbers.album;
        let sql = format!("INSERT INTO Z_{table}ASSETS VALUES (?1, ?2, 1024)");
        self.rows.db.execute(&sql, [album, photo]).map(drop)
    }
}
