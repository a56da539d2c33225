//! Reads Safari's bookmarks, reading list and history.
//!
//! The databases are Bookmarks.db and History.db in HomeDomain/Library/Safari, and from iOS 17 on a
//! History.db for each profile. Their tables are described by the projects ios-backup-parser
//! (docs/schemas/safari.md) and iLEAPP (scripts/artifacts/safariHistory.py), both MIT. Phones
//! include the history only in encrypted backups.
//!
//! ```text
//! bookmarks        folders (type 1) and bookmarks, by parent; `read` is set in the reading list
//! history_visits   a row for each visit; history_items: its address
//! ```

use std::collections::{HashMap, HashSet};

use plist::Value as Plist;
use rusqlite::Row;
use serde::Serialize;

use crate::backup_format::manifest_db::{Filter, Kind as FileKind};
use crate::base::bounded_plist;
use crate::content::counts::number;
use crate::content::database::{Database, columns};
use crate::content::{Error, Kind, Time, value};
use crate::reader::backup::Backup;

const DOMAIN: &str = "HomeDomain";
const FOLDER: &str = "Library/Safari";
const HISTORY: &str = "History.db";
/// The most bookmarks. A crafted database could have any number.
const ROWS_MAX: usize = 1 << 20;
/// The most folders around a bookmark, and the most profiles.
const DEPTH_MAX: usize = 64;
/// The years of visits: the Web is older than the phone, and no history is.
const YEARS: std::ops::RangeInclusive<i16> = 1990..=2100;
/// The number of a folder in `bookmarks.type`.
const FOLDER_TYPE: i64 = 1;

columns! {
    Id = "id",
    Uid = "external_uuid",
    Parent = "parent",
    Type = "type",
    Special = "special_id",
    Title = "title",
    Url = "url",
    Read = "read",
    Modified = "last_modified",
    Deleted = "deleted",
    Attributes = "extra_attributes",
}

/// A bookmark in one of the folders.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Bookmark {
    /// The row in the database.
    pub id: i64,
    /// The identifier that all devices share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The title of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The address of the page.
    pub url: String,
    /// The names of the folders around it, the outermost first.
    pub folders: Vec<String>,
    /// The time of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<Time>,
    /// True if it was deleted, and is still in the database.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub deleted: bool,
    /// The reasons to doubt a date or its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// A page in the reading list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Saved {
    /// The row in the database.
    pub id: i64,
    /// The identifier that all devices share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The title of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The address of the page.
    pub url: String,
    /// The beginning of its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The time it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<Time>,
    /// True if it was read.
    pub read: bool,
    /// The reasons to doubt a date, or why the preview cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// A visit of a page.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Visit {
    /// The row in the database.
    pub id: i64,
    /// The profile, unless it is the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The time of the visit.
    pub time: Option<Time>,
    /// The address; absent if the database lost it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The title of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Number of all visits of this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visits: Option<i64>,
    /// True if it took place on another device with the same iCloud account.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub elsewhere: bool,
    /// True if another visit led here by a redirect.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub redirected: bool,
    /// The reasons to doubt the date.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// Safari's databases in an open backup.
pub struct Safari {
    bookmarks: Option<Database>,
    /// The histories, each with its profile.
    histories: Vec<(Option<String>, Database)>,
    is_encrypted: bool,
}

impl Safari {
    /// Opens the databases of a backup. Fails if it has neither bookmarks nor a history.
    pub fn open(backup: &Backup) -> Result<Safari, Error> {
        let bookmarks = Database::open(backup, DOMAIN, &format!("{FOLDER}/Bookmarks.db"))?;
        if let Some(db) = &bookmarks {
            db.needed("bookmarks", &["id", "parent", "type", "title", "url"])?;
        }
        let mut histories = Vec::new();
        for path in history_paths(backup)? {
            if let Some(db) = Database::open(backup, DOMAIN, &path)? {
                db.needed("history_visits", &["visit_time", "history_item"])?;
                db.needed("history_items", &["id", "url"])?;
                let profile = path.strip_prefix(&format!("{FOLDER}/Profiles/"));
                let profile = profile.and_then(|path| path.split('/').next());
                histories.push((profile.map(str::to_owned), db));
            }
        }
        if bookmarks.is_none() && histories.is_empty() {
            return Err(Error::absent_private(Kind::Safari, backup));
        }
        Ok(Safari {
            bookmarks,
            histories,
            is_encrypted: backup.is_encrypted(),
        })
    }

    /// Explains what the backup does not have: bookmarks or a history.
    pub fn absent(&self) -> Vec<String> {
        let mut absent = Vec::new();
        if self.bookmarks.is_none() {
            absent.push("the backup has no bookmarks of Safari".to_owned());
        }
        if self.histories.is_empty() {
            let why = if self.is_encrypted {
                ""
            } else {
                ": phones include it only in encrypted backups, and this one is not encrypted"
            };
            absent.push(format!("the backup has no history of Safari{why}"));
        }
        absent
    }

    /// Returns true if the backup has bookmarks.
    pub fn has_bookmarks(&self) -> bool {
        self.bookmarks.is_some()
    }

    /// Returns true if the backup has a history.
    pub fn has_history(&self) -> bool {
        !self.histories.is_empty()
    }

    /// Returns the numbers of bookmarks, of pages in the reading list, and of visits.
    pub fn count(&self) -> Result<(u64, u64, u64), Error> {
        let (mut bookmarks, mut saved, mut visits) = (0, 0, 0);
        if let Some(db) = &self.bookmarks {
            let has_read = db.table("bookmarks")?.has("read");
            let read = if has_read { "read" } else { "NULL" };
            let of = |state| {
                format!(
                    "SELECT count(*) FROM bookmarks WHERE type != {FOLDER_TYPE} AND {read} {state}"
                )
            };
            bookmarks = number(db, &of("IS NULL"))?;
            saved = number(db, &of("IS NOT NULL"))?;
        }
        for (_, db) in &self.histories {
            visits += number(db, "SELECT count(*) FROM history_visits")?;
        }
        Ok((bookmarks, saved, visits))
    }

    /// Reads the bookmarks and the reading list: bookmarks in the order in which Safari shows them.
    pub fn bookmarks(&self) -> Result<(Vec<Bookmark>, Vec<Saved>), Error> {
        let (mut tree, mut saved) = (Tree::default(), Vec::new());
        let Some(db) = &self.bookmarks else {
            return Ok((Vec::new(), saved));
        };
        let table = db.table("bookmarks")?;
        let order = if table.has("order_index") {
            "t.order_index, t.id"
        } else {
            "t.id"
        };
        let sql = format!("{} ORDER BY {order}", table.select(COLUMNS));
        let mut count = 0;
        db.rows(&sql, |row| {
            if value::integer(row, Column::Read as usize).is_some() {
                saved.push(saved_of(row));
            } else {
                tree.add(row);
            }
            count += 1;
            count < ROWS_MAX
        })?;
        saved.sort_by_key(|one| (one.added, one.id));
        Ok((tree.bookmarks(), saved))
    }

    /// Calls `each` for all visits, a profile after the other and oldest first, until it returns
    /// false.
    pub fn visits(&self, mut each: impl FnMut(Visit) -> bool) -> Result<(), Error> {
        let mut goes_on = true;
        for (profile, db) in &self.histories {
            let visits = db.table("history_visits")?;
            let items = db.table("history_items")?;
            let of_visit = ["id", "visit_time", "title", "origin", "redirect_source"];
            let sql = format!(
                "SELECT {}, {} FROM history_visits t LEFT JOIN history_items i ON i.id = t.history_item
                 ORDER BY t.visit_time, t.id",
                visits.list("t", &of_visit),
                items.list("i", &["url", "visit_count"])
            );
            db.rows(&sql, |row| {
                let time = value::time(row, 1);
                let doubt = value::doubt(row, 1, time, "its date", YEARS);
                goes_on = each(Visit {
                    id: value::integer(row, 0).unwrap_or_default(),
                    profile: profile.clone(),
                    time,
                    title: value::words(row, 2),
                    elsewhere: value::flag(row, 3),
                    redirected: value::flag(row, 4),
                    url: value::words(row, 5),
                    visits: value::integer(row, 6),
                    doubts: doubt.into_iter().collect(),
                });
                goes_on
            })?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the paths of the histories: the usual one, then those of profiles.
fn history_paths(backup: &Backup) -> Result<Vec<String>, Error> {
    let mut paths = vec![format!("{FOLDER}/{HISTORY}")];
    let profiles = format!("{FOLDER}/Profiles");
    let filter = Filter {
        domain: Some(DOMAIN),
        below: Some(&profiles),
        kind: Some(FileKind::File),
        ..Filter::default()
    };
    backup.each(&filter, |item| {
        if item.relative_path.rsplit('/').next() == Some(HISTORY) {
            paths.push(item.relative_path);
        }
        paths.len() < DEPTH_MAX
    })?;
    paths[1..].sort();
    Ok(paths)
}

fn saved_of(row: &Row<'_>) -> Saved {
    let text = |column: Column| value::words(row, column as usize);
    let mut doubts = Vec::new();
    let modified = value::time_since_1970(row, Column::Modified as usize);
    let (mut preview, mut added) = (None, None);
    if let Some(bytes) = value::bytes(row, Column::Attributes as usize) {
        match bounded_plist::parse(bytes) {
            Ok(list) => {
                let details = list.as_dictionary();
                let details = details
                    .and_then(|list| list.get("com.apple.ReadingList"))
                    .and_then(Plist::as_dictionary);
                preview = details
                    .and_then(|details| details.get("PreviewText")?.as_string())
                    .map(str::to_owned);
                let date = details.and_then(|details| details.get("DateAdded")?.as_date());
                added = date.and_then(time_of);
            }
            Err(e) => doubts.push(format!("its preview cannot be read: {e}")),
        }
    }
    let added = added.or(modified);
    let column = Column::Modified as usize;
    doubts.extend(value::doubt(row, column, added, "its date", YEARS));
    Saved {
        id: value::integer(row, Column::Id as usize).unwrap_or_default(),
        uid: text(Column::Uid),
        title: text(Column::Title),
        url: text(Column::Url).unwrap_or_default(),
        preview: preview.filter(|text| !text.is_empty()),
        added,
        read: value::flag(row, Column::Read as usize),
        doubts,
    }
}

fn time_of(date: plist::Date) -> Option<Time> {
    let time = std::time::SystemTime::from(date);
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Time::since_1970(i64::try_from(since.as_secs()).ok()?)
}

/// The folders and bookmarks, in the order of their rows.
#[derive(Default)]
struct Tree {
    /// The names of folders.
    folders: HashMap<i64, String>,
    /// The entries of each folder. Folders have no bookmark.
    inside: HashMap<Option<i64>, Vec<(i64, Option<Bookmark>)>>,
    parents: HashMap<i64, Option<i64>>,
}

impl Tree {
    fn add(&mut self, row: &Row<'_>) {
        let text = |column: Column| value::words(row, column as usize);
        let number = |column: Column| value::integer(row, column as usize);
        let id = number(Column::Id).unwrap_or_default();
        let parent = number(Column::Parent);
        self.parents.insert(id, parent);
        let inside = self.inside.entry(parent).or_default();
        if number(Column::Type) == Some(FOLDER_TYPE) {
            inside.push((id, None));
            let name = match (number(Column::Special), text(Column::Title)) {
                (Some(1), _) => "Favourites".to_owned(),
                (Some(2), _) => "Bookmarks Menu".to_owned(),
                (_, Some(title)) if parent.is_some() => title,
                (_, _) if parent.is_none() => String::new(),
                _ => "No name".to_owned(),
            };
            self.folders.insert(id, name);
            return;
        }
        let modified = value::time_since_1970(row, Column::Modified as usize);
        let column = Column::Modified as usize;
        let doubt = value::doubt(row, column, modified, "its date", YEARS);
        let bookmark = Bookmark {
            id,
            uid: text(Column::Uid),
            title: text(Column::Title),
            url: text(Column::Url).unwrap_or_default(),
            modified,
            deleted: value::flag(row, Column::Deleted as usize),
            doubts: doubt.into_iter().collect(),
            ..Bookmark::default()
        };
        inside.push((id, Some(bookmark)));
    }

    /// Returns the bookmarks, each after those above it. Entries whose folders contain each other,
    /// or are missing, come last.
    fn bookmarks(mut self) -> Vec<Bookmark> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        self.visit(None, &mut Vec::new(), &mut seen, &mut found);
        // The rest is in no folder that can be reached from the top.
        let mut rest: Vec<Option<i64>> = self.inside.keys().copied().collect();
        rest.sort_unstable();
        for folder in rest {
            for (_, bookmark) in self.inside.remove(&folder).into_iter().flatten() {
                if let Some(mut bookmark) = bookmark {
                    let is_lost = folder.is_some_and(|id| !self.parents.contains_key(&id));
                    bookmark.doubts.push(if is_lost {
                        "its folder is missing".to_owned()
                    } else {
                        "its folders contain each other, or are too deep".to_owned()
                    });
                    found.push(bookmark);
                }
            }
        }
        found
    }

    fn visit(
        &mut self,
        folder: Option<i64>,
        names: &mut Vec<String>,
        seen: &mut HashSet<i64>,
        found: &mut Vec<Bookmark>,
    ) {
        if names.len() > DEPTH_MAX {
            return;
        }
        for (id, bookmark) in self.inside.remove(&folder).into_iter().flatten() {
            match bookmark {
                Some(bookmark) => found.push(Bookmark {
                    folders: names
                        .iter()
                        .filter(|name| !name.is_empty())
                        .cloned()
                        .collect(),
                    ..bookmark
                }),
                None if seen.insert(id) => {
                    names.push(self.folders.get(&id).cloned().unwrap_or_default());
                    self.visit(Some(id), names, seen, found);
                    names.pop();
                }
                None => {}
            }
        }
    }
}
