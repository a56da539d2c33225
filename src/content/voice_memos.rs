//! Reads the voice memos of a backup.
//!
//! The recordings are in MediaDomain/Media/Recordings with Recordings.db (iOS 9 to 11) or
//! CloudRecordings.db, and on newer phones in the domain of the group
//! `group.com.apple.VoiceMemos.shared`. Both are stores of Core Data, which the project iLEAPP
//! describes (scripts/artifacts/voiceRecordings.py, MIT): `ZRECORDING`, later `ZCLOUDRECORDING`,
//! with the title in `ZENCRYPTEDTITLE`, which is plain text in spite of its name. A recording can
//! have no row, and a row no recording.

use std::collections::BTreeMap;

use rusqlite::Row;
use serde::Serialize;

use crate::backup_format::manifest_db::{Filter, Kind as FileKind};
use crate::content::calls::seconds;
use crate::content::database::{Database, columns};
use crate::content::{Error, Kind, Time, value};
use crate::reader::backup::Backup;

/// The places of recordings: domain and folder.
const PLACES: [(&str, &str); 2] = [
    ("MediaDomain", "Media/Recordings"),
    (
        "AppDomainGroup-group.com.apple.VoiceMemos.shared",
        "Recordings",
    ),
];
/// The most recordings. A forged list could have any number.
const FILES_MAX: usize = 1 << 20;
/// The endings of recordings.
const ENDINGS: [&str; 4] = [".m4a", ".qta", ".caf", ".wav"];
/// The years in which phones recorded.
const YEARS: std::ops::RangeInclusive<i16> = 2007..=2100;

columns! {
    Id = "Z_PK",
    Uid = "ZUNIQUEID",
    Date = "ZDATE",
    Duration = "ZDURATION",
    Path = "ZPATH",
    Title = "ZENCRYPTEDTITLE",
    Sorting = "ZCUSTOMLABELFORSORTING",
    Label = "ZCUSTOMLABEL",
    Evicted = "ZEVICTIONDATE",
    Folder = "ZFOLDER",
}

/// The voice memos of an open backup.
pub struct VoiceMemos {
    stores: Vec<Store>,
}

/// A folder of recordings, with its database if it has one.
struct Store {
    domain: &'static str,
    db: Option<(Database, String)>,
    /// The paths of the recordings by their names.
    files: BTreeMap<String, String>,
    folders: BTreeMap<i64, String>,
}

/// A voice memo.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memo {
    /// The row in the database; absent for a recording without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The identifier that all devices share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The title, else the name of the file.
    pub title: String,
    /// The time it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The length in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The name of its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// True if it is among the recently deleted.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub deleted: bool,
    /// The domain of the recording.
    #[serde(skip)]
    pub(crate) domain: &'static str,
    /// The path of the recording in its domain; absent if it is only in iCloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The path of the exported file below the target folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
    /// The reasons to doubt the date.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

impl VoiceMemos {
    /// Opens the voice memos of a backup.
    pub fn open(backup: &Backup) -> Result<VoiceMemos, Error> {
        let mut stores = Vec::new();
        for (domain, folder) in PLACES {
            let store = Store::open(backup, domain, folder)?;
            if store.db.is_some() || !store.files.is_empty() {
                stores.push(store);
            }
        }
        if stores.is_empty() {
            return Err(Error::Absent(Kind::VoiceMemos));
        }
        Ok(VoiceMemos { stores })
    }

    /// Returns the number of voice memos.
    pub fn count(&self) -> Result<u64, Error> {
        let mut count = 0;
        self.each(|_| {
            count += 1;
            true
        })?;
        Ok(count)
    }

    /// Calls `each` for all voice memos, oldest first, until it returns false. Recordings without a
    /// row come last.
    pub fn each(&self, mut each: impl FnMut(Memo) -> bool) -> Result<(), Error> {
        for store in &self.stores {
            let mut rest = store.files.clone();
            let mut goes_on = true;
            if let Some((db, select)) = &store.db {
                let sql = format!("{select} ORDER BY t.ZDATE, t.Z_PK");
                db.rows(&sql, |row| {
                    goes_on = each(store.memo(row, &mut rest));
                    goes_on
                })?;
            }
            for (name, path) in rest {
                if !goes_on {
                    return Ok(());
                }
                let title = name
                    .rsplit_once('.')
                    .map_or(name.as_str(), |(title, _)| title);
                goes_on = each(Memo {
                    title: title.to_owned(),
                    domain: store.domain,
                    path: Some(path),
                    ..Memo::default()
                });
            }
        }
        Ok(())
    }
}

impl Store {
    fn open(backup: &Backup, domain: &'static str, folder: &str) -> Result<Store, Error> {
        let mut store = Store {
            domain,
            db: None,
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
        };
        for name in ["CloudRecordings.db", "Recordings.db"] {
            let Some(db) = Database::open(backup, domain, &format!("{folder}/{name}"))? else {
                continue;
            };
            let needed = ["Z_PK", "ZDATE", "ZPATH"];
            let table = if db.table("ZCLOUDRECORDING")?.exists() {
                db.needed("ZCLOUDRECORDING", &needed)?
            } else {
                db.needed("ZRECORDING", &needed)?
            };
            let folders = db.table("ZFOLDER")?;
            if folders.has("ZENCRYPTEDNAME") {
                let names = &mut store.folders;
                db.rows(&folders.select(&["Z_PK", "ZENCRYPTEDNAME"]), |row| {
                    names.extend(value::integer(row, 0).zip(value::words(row, 1)));
                    names.len() < FILES_MAX
                })?;
            }
            store.db = Some((db, table.select(COLUMNS)));
            break;
        }
        let filter = Filter {
            domain: Some(domain),
            below: Some(folder),
            kind: Some(FileKind::File),
            ..Filter::default()
        };
        let files = &mut store.files;
        backup.each(&filter, |item| {
            let name = item.relative_path.rsplit('/').next().unwrap_or_default();
            // Parts of an edited recording are in folders of their own.
            let is_direct = item.relative_path.len() == folder.len() + 1 + name.len();
            if is_direct && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                files.insert(name.to_owned(), item.relative_path);
            }
            files.len() < FILES_MAX
        })?;
        Ok(store)
    }

    fn memo(&self, row: &Row<'_>, rest: &mut BTreeMap<String, String>) -> Memo {
        let text = |column: Column| value::words(row, column as usize);
        let time = value::time(row, Column::Date as usize);
        let column = Column::Date as usize;
        let doubt = value::doubt(row, column, time, "its date", YEARS);
        let file = text(Column::Path);
        let name = file.as_deref().and_then(|path| path.rsplit('/').next());
        // Two rows can name one file.
        let path = name.and_then(|name| {
            rest.remove(name);
            self.files.get(name).cloned()
        });
        let label = text(Column::Label).filter(|label| !is_date(label));
        let title = text(Column::Title)
            .or_else(|| text(Column::Sorting))
            .or(label);
        let of_file = name.map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
        let folder = value::integer(row, Column::Folder as usize);
        Memo {
            id: value::integer(row, Column::Id as usize),
            uid: text(Column::Uid),
            title: title
                .or_else(|| of_file.map(str::to_owned))
                .unwrap_or_else(|| "No title".to_owned()),
            time,
            seconds: Some(seconds(row, Column::Duration as usize)),
            folder: folder.and_then(|id| self.folders.get(&id).cloned()),
            deleted: value::time(row, Column::Evicted as usize).is_some(),
            domain: self.domain,
            path,
            exported: None,
            doubts: doubt.into_iter().collect(),
        }
    }
}

/// Returns true for a time in ISO 8601, which newer phones store as a label.
fn is_date(label: &str) -> bool {
    label.parse::<jiff::Timestamp>().is_ok()
}
