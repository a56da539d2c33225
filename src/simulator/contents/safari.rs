//! Safari on the simulated phone: Bookmarks.db, History.db, and a profile from iOS 17 on.
//!
//! The columns are those that the project ios-backup-parser lists (docs/schemas/safari.md).

use plist::Value as Plist;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{AppFile, BEGIN, Contents, EPOCH, Plan, database, rfc3339};
use crate::simulator::dict;

const BOOKMARKS: &str = "
    CREATE TABLE bookmarks (id INTEGER PRIMARY KEY AUTOINCREMENT, special_id INTEGER DEFAULT 0, parent INTEGER, type INTEGER,
        title TEXT, url TEXT COLLATE NOCASE, num_children INTEGER DEFAULT 0, editable INTEGER DEFAULT 1, deletable INTEGER DEFAULT 1,
        hidden INTEGER DEFAULT 0, hidden_ancestor_count INTEGER DEFAULT 0, order_index INTEGER NOT NULL, external_uuid TEXT UNIQUE,
        read INTEGER DEFAULT NULL, last_modified REAL DEFAULT NULL, server_id TEXT, sync_key TEXT, added INTEGER DEFAULT 1,
        deleted INTEGER DEFAULT 0, extra_attributes BLOB DEFAULT NULL, local_attributes BLOB DEFAULT NULL,
        fetched_icon BOOL DEFAULT 0, icon BLOB DEFAULT NULL, dav_generation INTEGER DEFAULT 0);
    CREATE TABLE folder_ancestors (id INTEGER PRIMARY KEY AUTOINCREMENT, folder_id INTEGER NOT NULL, ancestor_id INTEGER NOT NULL);
    INSERT INTO bookmarks (id, special_id, parent, type, title, order_index) VALUES (0, 0, NULL, 1, 'Root', 0),
        (1, 1, 0, 1, 'BookmarksBar', 0), (2, 2, 0, 1, 'BookmarksMenu', 1), (3, 3, 0, 1, 'com.apple.ReadingList', 2),
        (4, 0, 1, 1, 'Recipes & more', 1), (5, 0, 4, 1, 'Cakes', 0);";

const HISTORY: &str = "
    CREATE TABLE history_items (id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL UNIQUE, domain_expansion TEXT NULL,
        visit_count INTEGER NOT NULL, daily_visit_counts BLOB, weekly_visit_counts BLOB NULL, autocomplete_triggers BLOB NULL,
        should_recompute_derived_visit_counts INTEGER NOT NULL DEFAULT 0, visit_count_score INTEGER NOT NULL DEFAULT 0,
        status_code INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE history_visits (id INTEGER PRIMARY KEY AUTOINCREMENT, history_item INTEGER NOT NULL, visit_time REAL NOT NULL,
        title TEXT NULL, load_successful BOOLEAN NOT NULL DEFAULT 1, http_non_get BOOLEAN NOT NULL DEFAULT 0,
        synthesized BOOLEAN NOT NULL DEFAULT 0, redirect_source INTEGER NULL, redirect_destination INTEGER NULL,
        origin INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0, attributes INTEGER NOT NULL DEFAULT 0,
        score INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE history_tombstones (id INTEGER PRIMARY KEY AUTOINCREMENT, start_time REAL NOT NULL, end_time REAL NOT NULL,
        url TEXT, generation INTEGER NOT NULL DEFAULT 0);";

/// Folder, title, address, in the order in which Safari shows them.
const MARKS: [(i64, &str, &str); 6] = [
    (1, "Example 🏔️", "https://example.com/"),
    (
        5,
        "Apple cake",
        "https://example.org/cakes?kind=apple&size=2",
    ),
    (5, "كعكة", "https://example.org/ar"),
    (
        4,
        "<script>alert('bookmark')</script>",
        "javascript:alert('bookmark')",
    ),
    (
        4,
        "=HYPERLINK(\"http://example.com/\")",
        "https://example.net/\"><b>",
    ),
    (2, "Timetable", "https://example.org/timetable"),
];
/// Pages of the history.
const PAGES: [(&str, &str); 5] = [
    ("https://example.com/", "Example"),
    ("https://example.org/timetable", "Times"),
    (
        "https://example.org/search?q=ladder%20hire",
        "ladder hire – Search",
    ),
    (
        "https://example.net/\"><script>alert('visit')</script>",
        "<script>alert('visit')</script>",
    ),
    ("https://example.jp/写真", "写真"),
];
/// Number of visits.
const VISITS: u64 = 60;

/// Adds the databases and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let (mut marks, mut saved) = (Vec::new(), Vec::new());
    let bytes = database(|db| {
        db.execute_batch(BOOKMARKS)?;
        marks = tell_bookmarks(plan, db)?;
        saved = tell_saved(plan, db)?;
        Ok(())
    });
    contents.file("HomeDomain", "Library/Safari/Bookmarks.db", bytes);
    let mut visits = Vec::new();
    let mut paths = vec![("Library/Safari/History.db".to_owned(), None)];
    if plan.ios >= 17 {
        let profile = plan.uuid(80, 0);
        let path = format!("Library/Safari/Profiles/{profile}/History.db");
        paths.push((path, Some(profile)));
    }
    for (number, (path, profile)) in (0..).zip(paths) {
        let bytes = database(|db| {
            db.execute_batch(HISTORY)?;
            visits.extend(tell_visits(plan, db, number, profile.as_deref())?);
            Ok(())
        });
        contents.files.push(AppFile {
            domain: "HomeDomain",
            path,
            bytes: bytes.into(),
            needs_encryption: true,
        });
    }
    let truth = json!({ "bookmarks": marks, "reading_list": saved, "history": visits });
    contents.truth.insert("safari".to_owned(), truth);
}

fn tell_bookmarks(plan: Plan, db: &Connection) -> rusqlite::Result<Vec<Value>> {
    let folders = |folder: i64| match folder {
        1 => vec!["Favourites"],
        2 => vec!["Bookmarks Menu"],
        4 => vec!["Favourites", "Recipes & more"],
        _ => vec!["Favourites", "Recipes & more", "Cakes"],
    };
    let mut truth = Vec::new();
    for (number, (folder, title, url)) in (0i64..).zip(MARKS) {
        let id = 20 + number;
        let at = BEGIN + number * 1000;
        let uid = plan.uuid(81, number.unsigned_abs());
        // Cakes is the first entry of its folder, and Recipes the second of the favourites.
        let order = match folder {
            1 => 0,
            4 => 1 + number,
            _ => number,
        };
        db.execute(
            "INSERT INTO bookmarks (id, parent, type, title, url, order_index, external_uuid, last_modified)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7)",
            params![id, folder, title, url, order, uid, (at + EPOCH) as f64],
        )?;
        truth.push(json!({
            "id": id,
            "uid": uid,
            "title": title,
            "url": url,
            "folders": folders(folder),
            "modified": rfc3339(at),
        }));
    }
    Ok(truth)
}

fn tell_saved(plan: Plan, db: &Connection) -> rusqlite::Result<Vec<Value>> {
    let mut truth = Vec::new();
    for (number, title) in (0i64..).zip(["A long article", "Another one, <b>bold</b>"]) {
        let id = 40 + number;
        let at = BEGIN + 5000 + number * 60;
        let uid = plan.uuid(82, number.unsigned_abs());
        let url = format!("https://example.com/articles/{number}");
        let preview = (number == 0).then_some("It begins with a quiet sentence.");
        let time =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs((at + EPOCH).unsigned_abs());
        let mut list = dict([("DateAdded", Plist::Date(time.into()))]);
        if let Some(preview) = preview {
            list.insert("PreviewText".to_owned(), preview.into());
        }
        let mut bytes = Vec::new();
        let all = dict([("com.apple.ReadingList", Plist::Dictionary(list))]);
        if Plist::Dictionary(all).to_writer_binary(&mut bytes).is_err() {
            bytes.clear();
        }
        db.execute(
            "INSERT INTO bookmarks (id, parent, type, title, url, order_index, external_uuid, read, last_modified, extra_attributes)
             VALUES (?1, 3, 0, ?2, ?3, ?4, ?5, ?4, ?6, ?7)",
            params![id, title, url, number, uid, (at + EPOCH) as f64, bytes],
        )?;
        let mut record = json!({
            "id": id,
            "uid": uid,
            "title": title,
            "url": url,
            "added": rfc3339(at),
            "read": number == 1,
        });
        if let Some(preview) = preview {
            record["preview"] = preview.into();
        }
        truth.push(record);
    }
    Ok(truth)
}

fn tell_visits(
    plan: Plan,
    db: &Connection,
    database: u64,
    profile: Option<&str>,
) -> rusqlite::Result<Vec<Value>> {
    let picked: Vec<usize> = (0..VISITS)
        .map(|number| plan.pick(&[83, database, number], PAGES.len() as u64) as usize)
        .collect();
    let count = |page: usize| picked.iter().filter(|one| **one == page).count() as i64;
    for (page, (url, _)) in PAGES.iter().enumerate() {
        let sql = "INSERT INTO history_items (id, url, visit_count) VALUES (?1, ?2, ?3)";
        db.execute(sql, params![page as i64 + 1, url, count(page)])?;
    }
    let mut truth = Vec::new();
    let mut clock = BEGIN;
    for (id, page) in (1i64..).zip(&picked) {
        clock += 60 + plan.pick(&[84, database, id.unsigned_abs()], 20_000) as i64;
        let (url, title) = PAGES[*page];
        let elsewhere = id % 7 == 0;
        let source = (id % 10 == 0).then_some(id - 1);
        db.execute(
            "INSERT INTO history_visits (id, history_item, visit_time, title, origin, redirect_source) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![id, *page as i64 + 1, clock as f64, title, elsewhere, source],
        )?;
        let mut record = json!({
            "id": id,
            "time": rfc3339(clock),
            "url": url,
            "title": title,
            "visits": count(*page),
        });
        if let Some(profile) = profile {
            record["profile"] = profile.into();
        }
        if elsewhere {
            record["elsewhere"] = true.into();
        }
        if source.is_some() {
            record["redirected"] = true.into();
        }
        truth.push(record);
    }
    Ok(truth)
}
