//! Reads the library of the app Photos: photos and videos with their albums, dates and places.
//!
//! The database is Media/PhotoData/Photos.sqlite in CameraRollDomain. Its tables are described by
//! osxphotos (MIT), which has libraries of macOS 10.15 to 26 with the same model, and for iOS by
//! iLEAPP (scripts/artifacts/photosMetadata.py, MIT).
//!
//! ```text
//! ZASSET (ZGENERICASSET up to iOS 13)   a row for each photo and video
//! ZADDITIONALASSETATTRIBUTES            more about it: its original name
//! ZGENERICALBUM                         albums, and folders of albums
//! Z_nASSETS                             the photos of albums; n is the number of the kind Album
//! ZPERSON                               people; the owner gave a name to few of them
//! ZDETECTEDFACE                         the people in photos
//! ```

use std::collections::HashMap;

use rusqlite::Row;
use serde::Serialize;

use crate::content::database::{Database, Table, columns};
use crate::content::{Error, Kind, Time, core_data, value};
use crate::reader;
use crate::reader::backup::Backup;
use crate::reader::paths::Paths;

/// The domains that hold the library: since iOS 4, and before.
const DOMAINS: [&str; 2] = ["CameraRollDomain", "MediaDomain"];
const PATH: &str = "Media/PhotoData/Photos.sqlite";
/// The most photos in albums that are remembered, at 16 bytes each. A crafted database could have
/// any number.
const MEMBERS_MAX: usize = 2 << 20;
/// The most albums. Photos has no limit, and people have some hundred.
const ALBUMS_MAX: usize = 1 << 16;
/// The most named people. Photos has no limit, and people name some hundred.
const PEOPLE_MAX: usize = 1 << 16;
/// The most faces of named people that are remembered.
const FACES_MAX: usize = 2 << 20;
/// The most folders inside each other. Those of a damaged database could contain each other.
const DEPTH_MAX: usize = 32;
/// The numbers of `ZKIND` of an album that the owner made, and of a folder of albums.
const ALBUM: i64 = 2;
const FOLDER: i64 = 4000;
/// The years in which photos can have been taken: the first one was taken in 1826.
const YEARS: std::ops::RangeInclusive<i16> = 1826..=2100;

columns! {
    Id = "Z_PK",
    Guid = "ZUUID",
    Directory = "ZDIRECTORY",
    FileName = "ZFILENAME",
    Created = "ZDATECREATED",
    Added = "ZADDEDDATE",
    Modified = "ZMODIFICATIONDATE",
    KindOf = "ZKIND",
    Subtype = "ZKINDSUBTYPE",
    Favorite = "ZFAVORITE",
    Hidden = "ZHIDDEN",
    Trashed = "ZTRASHEDSTATE",
    HasAdjustments = "ZHASADJUSTMENTS",
    AdjustmentsState = "ZADJUSTMENTSSTATE",
    Burst = "ZAVALANCHEUUID",
    Visibility = "ZVISIBILITYSTATE",
    Width = "ZWIDTH",
    Height = "ZHEIGHT",
    Duration = "ZDURATION",
    Latitude = "ZLATITUDE",
    Longitude = "ZLONGITUDE",
}

/// A photo or video.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Photo {
    /// The row in the database.
    pub id: i64,
    /// The phone's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// The path of its file in the domain, such as `Media/DCIM/100APPLE/IMG_0001.HEIC`.
    pub path: String,
    /// The name that it had on the camera that took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
    /// The time at which it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// The time at which it came to the library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<Time>,
    /// The time of its last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<Time>,
    /// True for a video.
    pub video: bool,
    /// The special kind of photo or video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub special: Option<Special>,
    /// True for a favorite.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub favorite: bool,
    /// True if it is in the album "Hidden".
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub hidden: bool,
    /// True if it is in the album "Recently Deleted".
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub deleted: bool,
    /// True if it was edited.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub edited: bool,
    /// The identifier of its burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<String>,
    /// True for the photo that Photos shows for its burst.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub burst_pick: bool,
    /// The width and height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<i64>,
    /// See `width`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<i64>,
    /// The length of a video in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The place: degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// The place: degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// The numbers of its albums in [`Photos::albums`].
    #[serde(skip)]
    pub albums: Vec<usize>,
    /// The numbers of the people in it in [`Photos::people`].
    #[serde(skip)]
    pub people: Vec<usize>,
    /// True if the backup does not have its file, which is only in iCloud.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub only_in_icloud: bool,
    /// The reasons to doubt a date.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// The special kinds of photos and videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Special {
    /// A photo in several directions.
    Panorama,
    /// A photo with a moving part.
    Live,
    /// A picture of the screen.
    Screenshot,
    /// A slow-motion video.
    SlowMotion,
    /// A time-lapse video.
    TimeLapse,
    /// A video of the screen.
    ScreenRecording,
}

/// An album that the owner made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Album {
    /// The phone's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// The names of the folders around it and its own.
    pub names: Vec<String>,
    /// Number of its photos.
    pub photos: u64,
}

/// The photo library of an open backup.
pub struct Photos {
    db: Database,
    sql: String,
    albums: Vec<Album>,
    /// The albums of photos, by the rows of the photos.
    members: Members,
    people: Vec<String>,
    /// The people in photos, by the rows of the photos.
    faces: HashMap<i64, Vec<u16>>,
    files: Paths,
    damage: Vec<Error>,
}

impl Photos {
    /// Opens the photo library of a backup.
    pub fn open(backup: &Backup) -> Result<Photos, Error> {
        let (db, domain) = library(backup)?;
        let needed = ["Z_PK", "ZDIRECTORY", "ZFILENAME"];
        let assets = match db.table("ZGENERICASSET")? {
            old if old.exists() => db.needed("ZGENERICASSET", &needed)?,
            _ => db.needed("ZASSET", &needed)?,
        };
        let more = db.table("ZADDITIONALASSETATTRIBUTES")?;
        let join = if more.has("ZASSET") {
            "LEFT JOIN ZADDITIONALASSETATTRIBUTES m ON m.ZASSET = t.Z_PK"
        } else {
            ""
        };
        let name = if more.has("ZASSET") && more.has("ZORIGINALFILENAME") {
            "m.ZORIGINALFILENAME"
        } else {
            "NULL"
        };
        let sql = format!(
            "SELECT {}, {name} FROM {} t {join} ORDER BY t.Z_PK",
            assets.list("t", COLUMNS),
            assets.name()
        );
        let mut photos = Photos {
            db,
            sql,
            albums: Vec::new(),
            members: HashMap::new(),
            people: Vec::new(),
            faces: HashMap::new(),
            files: Paths::below(backup, domain, "Media")?,
            damage: Vec::new(),
        };
        if let Err(e) = photos.read_albums() {
            photos.damage.push(e);
        }
        if let Err(e) = photos.read_people() {
            photos.damage.push(e);
        }
        Ok(photos)
    }

    /// Returns the reasons that albums or people are missing, if the database is damaged.
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// Returns the albums that the owner made, in the order of their names.
    pub fn albums(&self) -> &[Album] {
        &self.albums
    }

    /// Returns the names of the people to whom the owner gave names, in their order.
    pub fn people(&self) -> &[String] {
        &self.people
    }

    /// Calls `each` for all photos and videos, until it returns false.
    pub fn each(&self, mut each: impl FnMut(Photo) -> bool) -> Result<(), Error> {
        let mut last = None;
        self.db.rows(&self.sql, |row| match self.photo(row) {
            // Two rows of attributes would show a photo twice.
            Some(photo) if last == Some(photo.id) => true,
            Some(photo) => {
                last = Some(photo.id);
                each(photo)
            }
            None => true,
        })
    }

    fn photo(&self, row: &Row<'_>) -> Option<Photo> {
        let text = |column: Column| value::words(row, column as usize);
        let number = |column: Column| value::integer(row, column as usize);
        let flag = |column: Column| value::flag(row, column as usize);
        let time = |column: Column| value::time(row, column as usize);
        let real = |column: Column| value::real(row, column as usize);
        let id = number(Column::Id)?;
        let path = format!(
            "Media/{}/{}",
            text(Column::Directory)?,
            text(Column::FileName)?
        );
        let created = time(Column::Created);
        let doubt = value::doubt(row, Column::Created as usize, created, "its date", YEARS);
        let deleted = flag(Column::Trashed);
        let is_here = ["Media/DCIM/", "Media/PhotoData/CPLAssets/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        let burst = text(Column::Burst);
        // Photos stores -180 for both for a photo without a place.
        let place = real(Column::Latitude).zip(real(Column::Longitude));
        let place = place.filter(|(north, east)| {
            (-90.0..=90.0).contains(north) && (-180.0..=180.0).contains(east)
        });
        let original = value::words(row, COLUMNS.len());
        let numbers = |of: &HashMap<i64, Vec<u16>>| {
            let numbers = of.get(&id).into_iter().flatten();
            numbers.map(|number| usize::from(*number)).collect()
        };
        Some(Photo {
            id,
            guid: text(Column::Guid),
            original_name: original.filter(|name| !path.ends_with(&format!("/{name}"))),
            created,
            added: time(Column::Added),
            modified: time(Column::Modified),
            video: number(Column::KindOf) == Some(1),
            special: match number(Column::Subtype) {
                Some(1) => Some(Special::Panorama),
                Some(2) => Some(Special::Live),
                Some(10) => Some(Special::Screenshot),
                Some(101) => Some(Special::SlowMotion),
                Some(102) => Some(Special::TimeLapse),
                Some(103) => Some(Special::ScreenRecording),
                _ => None,
            },
            favorite: flag(Column::Favorite),
            hidden: flag(Column::Hidden),
            deleted,
            edited: flag(Column::HasAdjustments)
                || number(Column::AdjustmentsState).is_some_and(|state| state > 0),
            burst_pick: burst.is_some() && number(Column::Visibility) == Some(0),
            burst,
            width: number(Column::Width).filter(|pixels| *pixels > 0),
            height: number(Column::Height).filter(|pixels| *pixels > 0),
            seconds: real(Column::Duration).filter(|seconds| *seconds > 0.0),
            latitude: place.map(|(north, _)| north),
            longitude: place.map(|(_, east)| east),
            albums: numbers(&self.members),
            people: numbers(&self.faces),
            only_in_icloud: is_here && !deleted && !self.files.have(&path),
            path,
            doubts: doubt.into_iter().collect(),
        })
    }

    fn read_albums(&mut self) -> Result<(), Error> {
        read_albums(&self.db, &mut self.albums, &mut self.members)
    }
}

/// Opens the database of the photo library, and returns its domain.
fn library(backup: &Backup) -> Result<(Database, &'static str), Error> {
    for domain in DOMAINS {
        if let Some(db) = Database::open(backup, domain, PATH)? {
            return Ok((db, domain));
        }
    }
    Err(Error::Absent(Kind::Photos))
}

/// The numbers of the albums of photos, by the rows of the photos.
type Members = HashMap<i64, Vec<u16>>;

/// Reads only the albums of a backup, and which photos are in them.
#[cfg(feature = "web")]
pub(crate) fn albums(backup: &Backup) -> Result<(Vec<Album>, Members), Error> {
    let (db, _) = library(backup)?;
    let (mut albums, mut members) = (Vec::new(), HashMap::new());
    read_albums(&db, &mut albums, &mut members)?;
    Ok((albums, members))
}

fn read_albums(db: &Database, albums: &mut Vec<Album>, members: &mut Members) -> Result<(), Error> {
    let table = db.table("ZGENERICALBUM")?;
    if !table.exists() {
        return Ok(());
    }
    let rows = album_rows(db, &table)?;
    let entities = core_data::entities(db)?;
    let album = entities.get("Album").copied();
    let lacks = || db.unknown("its table Z_PRIMARYKEY has no Album".to_owned());
    let (table, album_column, photo_column) = join(db, album.ok_or_else(lacks)?)?;
    let mut listed: Vec<(i64, Album)> = Vec::new();
    for (id, row) in &rows {
        if row.kind == ALBUM && !row.is_trashed {
            let names = names(&rows, *id);
            let guid = row.guid.clone();
            let photos = 0;
            listed.push((
                *id,
                Album {
                    guid,
                    names,
                    photos,
                },
            ));
        }
    }
    listed.sort_by(|one, other| (&one.1.names, one.0).cmp(&(&other.1.names, other.0)));
    let numbers: HashMap<i64, u16> = listed.iter().map(|(id, _)| *id).zip(0..=u16::MAX).collect();
    *albums = listed.into_iter().map(|(_, album)| album).collect();
    let mut count = 0;
    let sql = format!("SELECT {album_column}, {photo_column} FROM {table} ORDER BY 2, 1");
    db.rows(&sql, |row| {
        let album = value::integer(row, 0).and_then(|id| numbers.get(&id));
        if let (Some(album), Some(photo)) = (album, value::integer(row, 1)) {
            let of_photo: &mut Vec<u16> = members.entry(photo).or_default();
            // Rows of the same photo and album follow each other.
            if of_photo.last() != Some(album) {
                of_photo.push(*album);
                albums[usize::from(*album)].photos += 1;
            }
            count += 1;
        }
        count < MEMBERS_MAX
    })
}

impl Photos {
    /// Reads the named people, and who is in which photo. osxphotos has both forms of the columns
    /// of ZDETECTEDFACE: the shorter ones up to iOS 16, the longer ones since.
    fn read_people(&mut self) -> Result<(), Error> {
        let (persons, faces) = (self.db.table("ZPERSON")?, self.db.table("ZDETECTEDFACE")?);
        let first = |names: [&'static str; 2]| names.into_iter().find(|name| faces.has(name));
        let columns = (
            first(["ZPERSONFORFACE", "ZPERSON"]),
            first(["ZASSETFORFACE", "ZASSET"]),
        );
        // Libraries without these tables are those of phones that look for no faces.
        let (Some(person), Some(photo)) = columns else {
            return Ok(());
        };
        let mut named: Vec<(String, i64)> = Vec::new();
        let sql = persons.select(&["Z_PK", "ZFULLNAME", "ZDISPLAYNAME"]);
        self.db.rows(&sql, |row| {
            let name = value::words(row, 1).or_else(|| value::words(row, 2));
            let name = name.filter(|name| !name.trim().is_empty());
            named.extend(name.zip(value::integer(row, 0)));
            named.len() < PEOPLE_MAX
        })?;
        named.sort_unstable();
        let numbers: HashMap<i64, u16> =
            named.iter().map(|(_, id)| *id).zip(0..=u16::MAX).collect();
        self.people = named.into_iter().map(|(name, _)| name).collect();
        let in_photos = &mut self.faces;
        let mut count = 0;
        let sql = format!("SELECT {person}, {photo} FROM ZDETECTEDFACE");
        self.db.rows(&sql, |row| {
            let person = value::integer(row, 0).and_then(|id| numbers.get(&id));
            if let (Some(person), Some(photo)) = (person, value::integer(row, 1)) {
                let of_photo: &mut Vec<u16> = in_photos.entry(photo).or_default();
                // A person can be in a photo twice, in a mirror.
                if !of_photo.contains(person) {
                    of_photo.push(*person);
                }
                count += 1;
            }
            count < FACES_MAX
        })?;
        for of_photo in in_photos.values_mut() {
            of_photo.sort_unstable();
        }
        Ok(())
    }
}

/// A row of an album or a folder.
struct AlbumRow {
    guid: Option<String>,
    title: Option<String>,
    kind: i64,
    parent: Option<i64>,
    is_trashed: bool,
}

fn album_rows(db: &Database, table: &Table) -> Result<HashMap<i64, AlbumRow>, Error> {
    let mut rows = HashMap::new();
    let sql = table.select(&[
        "Z_PK",
        "ZUUID",
        "ZTITLE",
        "ZKIND",
        "ZPARENTFOLDER",
        "ZTRASHEDSTATE",
    ]);
    db.rows(&sql, |row| {
        if let (Some(id), Some(kind)) = (value::integer(row, 0), value::integer(row, 3)) {
            let album = AlbumRow {
                guid: value::words(row, 1),
                title: value::words(row, 2),
                kind,
                parent: value::integer(row, 4),
                is_trashed: value::flag(row, 5),
            };
            rows.insert(id, album);
        }
        rows.len() < ALBUMS_MAX
    })?;
    Ok(rows)
}

/// Returns the names of the folders around an album and its own.
fn names(rows: &HashMap<i64, AlbumRow>, album: i64) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(album);
    while let Some(row) = next.and_then(|id| rows.get(&id)) {
        // The library's own folder is around all others, and has another number.
        if ![ALBUM, FOLDER].contains(&row.kind) {
            break;
        }
        let title = row.title.clone();
        names.push(title.unwrap_or_else(|| "Untitled".to_owned()));
        next = row.parent;
        if names.len() == DEPTH_MAX {
            break;
        }
    }
    names.reverse();
    names
}

/// Returns the table of the photos of albums, and its columns for albums and for photos.
fn join(db: &Database, album: i64) -> Result<(String, String, String), Error> {
    let table = format!("Z_{album}ASSETS");
    let columns = reader::database::columns(db.connection(), &table);
    let columns = columns.map_err(|e| db.failed(e))?;
    let ends = |column: &&String, end: &str| {
        let number = column
            .strip_prefix("Z_")
            .and_then(|name| name.strip_suffix(end));
        number
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let of = |end| columns.iter().find(|column| ends(column, end)).cloned();
    match (of("ALBUMS"), of("ASSETS")) {
        (Some(albums), Some(photos)) => Ok((table, albums, photos)),
        _ => Err(db.unknown(format!("it has no table {table} with the photos of albums"))),
    }
}
