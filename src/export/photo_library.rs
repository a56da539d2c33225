//! Reads Photos.sqlite, the library that the phone's Photos app keeps.
//!
//! ```text
//! ZASSET (ZGENERICASSET before iOS 14)
//!   ZDIRECTORY "DCIM/100APPLE", ZFILENAME "IMG_0001.HEIC",
//!   ZTRASHEDSTATE (1 in "Recently Deleted"), ZHIDDEN, ZDATECREATED seconds since 2001-01-01 UTC
//! ZADDITIONALASSETATTRIBUTES
//!   ZASSET (its Z_PK), ZORIGINALFILENAME, ZTIMEZONEOFFSET seconds
//! ```
//! The tables are described by osxphotos, and by theforensicscooter.com for iOS 11 to 18. Any
//! column may be absent.

use std::hash::{BuildHasher, RandomState};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::export::file_names;
use crate::reader::backup::Backup;
use crate::reader::database::{self, column_or_null, columns};

/// The path of the library in its domain.
const PATH: &str = "Media/PhotoData/Photos.sqlite";
/// 2001-01-01 in seconds since 1970.
const EPOCH: f64 = 978_307_200.0;
/// The range of plausible times of a photo, in seconds since 1970: from 1826, when the first photo
/// was taken, to 2100. Libraries contain dates such as 1601 and 4000, which are meaningless.
pub(crate) const TAKEN: std::ops::Range<f64> = -4_544_208_000.0..4_102_444_800.0;
/// Maximum number of rows to read. A crafted database can join its tables into any number of rows.
const ROWS_MAX: usize = 2 << 20;
/// Maximum total bytes of all original names.
const NAMES_MAX: usize = 32 << 20;

/// The library's facts about all photos.
pub(crate) struct Library {
    /// The photos, sorted by key.
    assets: Vec<Asset>,
    names: String,
    hasher: RandomState,
}

/// The library's facts about a photo or video. Its parts (HEIC and MOV) share one entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    key: u64,
    /// The time it was taken, in seconds since 1970.
    pub created: Option<f64>,
    /// The offset from UTC where it was taken, in seconds.
    pub zone: i32,
    /// The number among photos of the same name; 0 until the photo has a name.
    pub number: u32,
    name: (u32, u16),
    /// True if the photo should have a file in the backup, unless that is only in iCloud.
    has_file: bool,
    /// The album that Photos shows it in.
    pub album: Album,
    /// True for a favorite.
    #[cfg(feature = "web")]
    pub favorite: bool,
    /// The row in the database.
    #[cfg(feature = "web")]
    pub row: i64,
}

/// The albums that Photos keeps apart from the ordinary library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Album {
    /// The ordinary library.
    Library,
    /// The album "Recently Deleted", which keeps photos for some 30 days.
    Deleted,
    /// The album "Hidden", which Photos does not show by default.
    Hidden,
}

impl Library {
    /// Creates a library without photos.
    pub(crate) fn empty() -> Library {
        Library {
            assets: Vec::new(),
            names: String::new(),
            hasher: RandomState::new(),
        }
    }

    /// Reads the library of a backup; `None` if it has none.
    pub(crate) fn read(backup: &Backup, domain: &str) -> Result<Option<Library>, String> {
        let Some(scratch) = database::open(backup, domain, PATH)? else {
            return Ok(None);
        };
        let read = Library::of(scratch.connection());
        read.map(Some).map_err(|e| e.to_string())
    }

    fn of(db: &Connection) -> rusqlite::Result<Library> {
        let mut library = Library::empty();
        let mut tables = ["ZASSET", "ZGENERICASSET"].into_iter();
        let Some(table) = tables.find(|table| columns(db, table).is_ok_and(|c| !c.is_empty()))
        else {
            return Ok(library);
        };
        let assets = columns(db, table)?;
        let more = columns(db, "ZADDITIONALASSETATTRIBUTES")?;
        let join = if more.iter().any(|c| c == "ZASSET") && assets.iter().any(|c| c == "Z_PK") {
            "LEFT JOIN ZADDITIONALASSETATTRIBUTES m ON m.ZASSET = a.Z_PK"
        } else {
            ""
        };
        let more = if join.is_empty() { Vec::new() } else { more };
        let mut statement = db.prepare(&format!(
            "SELECT {}, {}, {}, {}, {}, {}, {}, {}, {} FROM {table} a {join}",
            column_or_null(&assets, "a", "ZDIRECTORY"),
            column_or_null(&assets, "a", "ZFILENAME"),
            column_or_null(&assets, "a", "ZDATECREATED"),
            column_or_null(&assets, "a", "ZTRASHEDSTATE"),
            column_or_null(&more, "m", "ZORIGINALFILENAME"),
            column_or_null(&more, "m", "ZTIMEZONEOFFSET"),
            column_or_null(&assets, "a", "ZHIDDEN"),
            column_or_null(&assets, "a", "ZFAVORITE"),
            column_or_null(&assets, "a", "Z_PK"),
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if library.assets.len() == ROWS_MAX {
                break;
            }
            let text = |column| match row.get_ref(column) {
                Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).ok(),
                _ => None,
            };
            let number = |column| match row.get_ref(column) {
                Ok(ValueRef::Integer(number)) => Some(number as f64),
                Ok(ValueRef::Real(number)) => Some(number),
                _ => None,
            };
            let (Some(folder), Some(file)) = (text(0), text(1)) else {
                continue;
            };
            let (stem, ..) = file_names::parts(file);
            let original = text(4).map_or("", |name| file_names::parts(name).0);
            let name = if original != stem && (1..=255).contains(&original.len()) {
                library.keep(original)
            } else {
                (0, 0)
            };
            library.assets.push(Asset {
                key: library.key(&format!("{folder}/{stem}")),
                created: number(2)
                    .map(|seconds| seconds + EPOCH)
                    .filter(|seconds| TAKEN.contains(seconds)),
                album: match (number(3), number(6)) {
                    (Some(trashed), _) if trashed != 0.0 => Album::Deleted,
                    (_, Some(hidden)) if hidden != 0.0 => Album::Hidden,
                    _ => Album::Library,
                },
                // No place on earth is farther from UTC than this.
                zone: number(5)
                    .filter(|zone| zone.abs() <= 86_400.0)
                    .unwrap_or(0.0) as i32,
                number: 0,
                name,
                #[cfg(feature = "web")]
                favorite: number(7).unwrap_or(0.0) != 0.0,
                #[cfg(feature = "web")]
                row: number(8).unwrap_or(0.0) as i64,
                has_file: number(3).unwrap_or(0.0) == 0.0
                    && (folder.starts_with("DCIM/") || folder.starts_with("PhotoData/CPLAssets")),
            });
        }
        library.assets.sort_unstable_by_key(|asset| asset.key);
        library.assets.dedup_by_key(|asset| asset.key);
        Ok(library)
    }

    fn keep(&mut self, name: &str) -> (u32, u16) {
        if self.names.len() + name.len() > NAMES_MAX {
            return (0, 0);
        }
        let place = (self.names.len() as u32, name.len() as u16);
        self.names.push_str(name);
        place
    }

    /// Returns the key of a photo, given its folder and the stem of its files:
    /// "DCIM/100APPLE/IMG_0001".
    pub(crate) fn key(&self, place: &str) -> u64 {
        self.hasher.hash_one(place)
    }

    /// Returns the entry of a photo.
    pub(crate) fn asset(&mut self, key: u64) -> Option<&mut Asset> {
        let at = self.assets.binary_search_by_key(&key, |asset| asset.key);
        self.assets.get_mut(at.ok()?)
    }

    /// Returns the entry of a photo, for reading.
    #[cfg(feature = "web")]
    pub(crate) fn find(&self, key: u64) -> Option<&Asset> {
        let at = self.assets.binary_search_by_key(&key, |asset| asset.key);
        self.assets.get(at.ok()?)
    }

    /// Returns the name that the photo had on the camera that took it, without extension, if it
    /// differs from its name on the phone.
    pub(crate) fn original_name(&self, asset: &Asset) -> Option<&str> {
        let (start, length) = (asset.name.0 as usize, usize::from(asset.name.1));
        self.names
            .get(start..start + length)
            .filter(|name| !name.is_empty())
    }

    /// Counts the photos without a file in the backup. Call it last: these are the ones that never
    /// got a number.
    pub(crate) fn without_file(&self) -> u64 {
        let without = |asset: &&Asset| asset.has_file && asset.number == 0;
        self.assets.iter().filter(without).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(sql: &str) -> Library {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(sql).unwrap();
        Library::of(&db).unwrap()
    }

    #[test]
    fn old_and_new_tables_are_read() {
        for table in ["ZASSET", "ZGENERICASSET"] {
            let mut library = library(&format!(
                "CREATE TABLE {table} (Z_PK INTEGER PRIMARY KEY, ZDIRECTORY, ZFILENAME, ZDATECREATED, ZTRASHEDSTATE);
                 CREATE TABLE ZADDITIONALASSETATTRIBUTES (Z_PK, ZASSET, ZORIGINALFILENAME, ZTIMEZONEOFFSET);
                 INSERT INTO {table} VALUES (1, 'DCIM/100APPLE', 'IMG_0001.HEIC', 1.5, 0), (2, 'DCIM/100APPLE', 'b.JPG', 'x', 1),
                     (3, 'DCIM/100APPLE', 'c.JPG', 2, 0), (4, NULL, 7, 2, 0);
                 INSERT INTO ZADDITIONALASSETATTRIBUTES VALUES (1, 1, 'Holiday.heic', 7200), (2, 3, 'c.png', 1e9);"
            ));
            let key = library.key("DCIM/100APPLE/IMG_0001");
            let asset = *library.asset(key).unwrap();
            assert_eq!((asset.created, asset.zone), (Some(EPOCH + 1.5), 7200));
            assert_eq!(library.original_name(&asset), Some("Holiday"));
            let key = library.key("DCIM/100APPLE/c");
            let asset = *library.asset(key).unwrap();
            assert_eq!((asset.zone, library.original_name(&asset)), (0, None));
            assert_eq!(library.without_file(), 2);
            library.asset(key).unwrap().number = 1;
            assert_eq!(library.without_file(), 1);
        }
    }

    #[test]
    fn impossible_photo_dates_are_ignored() {
        // The years 1601, 1826, 2100 and 4000.
        for (seconds, is_date) in [
            (-12_622_780_800i64, false),
            (-5_522_515_200, true),
            (3_124_137_600, false),
            (63_082_281_600, false),
        ] {
            let mut library = library(&format!(
                "CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, ZDIRECTORY, ZFILENAME, ZDATECREATED);
                 INSERT INTO ZASSET VALUES (1, 'DCIM/100APPLE', 'a.JPG', {seconds});"
            ));
            let key = library.key("DCIM/100APPLE/a");
            let created = library.asset(key).unwrap().created;
            assert_eq!(created.is_some(), is_date, "{seconds}");
        }
    }

    #[test]
    fn unexpected_tables_are_ignored() {
        for sql in [
            "",
            "CREATE VIEW ZASSET AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS Z_PK FROM n;",
            "CREATE TABLE ZASSET (ZFILENAME); INSERT INTO ZASSET VALUES ('a');",
            "CREATE TABLE ZASSET (Z_PK, ZFILENAME, ZDIRECTORY); INSERT INTO ZASSET VALUES (1, x'ff', 1);
             CREATE TABLE ZADDITIONALASSETATTRIBUTES (ZASSET);",
        ] {
            assert_eq!(library(sql).without_file(), 0, "{sql}");
        }
    }
}
