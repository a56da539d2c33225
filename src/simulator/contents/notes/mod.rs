//! The notes of the simulated phone: NoteStore.sqlite, and the files of attachments.

mod encode;
mod script;

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use super::rows::{Rows, number, text};
use super::{BEGIN, Contents, Plan, columns_of, database, rfc3339};

const DOMAIN: &str = "AppDomainGroup-group.com.apple.notes";
const OBJECTS: &str = "ZICCLOUDSYNCINGOBJECT";

/// Adds the database, the files and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = Vec::new();
    let bytes = database(|db| {
        create(db, plan.ios)?;
        let mut store = Store {
            plan,
            rows: Rows::of(db, &[OBJECTS, "ZICNOTEDATA"])?,
            contents,
            truth: Vec::new(),
            clock: BEGIN,
        };
        script::tell(&mut store)?;
        truth = store.truth;
        Ok(())
    });
    contents.file(DOMAIN, "NoteStore.sqlite", bytes);
    contents.truth.insert("notes".to_owned(), truth.into());
}

/// The kinds of objects, in the order of their numbers. The numbers differ between versions.
const ENTITIES: [&str; 8] = [
    "ICCloudSyncingObject",
    "ICBaseAttachment",
    "ICAttachment",
    "ICInlineAttachment",
    "ICMedia",
    "ICNote",
    "ICAccount",
    "ICFolder",
];

/// Returns the number of a kind of object.
fn entity(ios: u32, name: &str) -> i64 {
    let place = ENTITIES.iter().position(|known| *known == name);
    let first = if ios >= 15 { 3 } else { 1 };
    first + place.unwrap_or_default() as i64
}

/// Returns the columns of a note for its account and for the time of its creation.
fn note_columns(ios: u32) -> (&'static str, &'static str) {
    match ios {
        ..=12 => ("ZACCOUNT2", "ZCREATIONDATE1"),
        13..=14 => ("ZACCOUNT3", "ZCREATIONDATE1"),
        15 => ("ZACCOUNT4", "ZCREATIONDATE3"),
        _ => ("ZACCOUNT7", "ZCREATIONDATE3"),
    }
}

/// Creates the tables, with the columns that the readers of other projects use.
fn create(db: &Connection, ios: u32) -> rusqlite::Result<()> {
    let columns = columns_of(
        ios,
        &[
            (
                9,
                "Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZISPASSWORDPROTECTED INTEGER,
                 ZMARKEDFORDELETION INTEGER, ZFOLDERTYPE INTEGER, ZPARENT INTEGER, ZNOTE INTEGER,
                 ZNOTE1 INTEGER, ZNOTEDATA INTEGER, ZMEDIA INTEGER, ZATTACHMENT INTEGER, ZACCOUNT INTEGER,
                 ZACCOUNT1 INTEGER, ZACCOUNT2 INTEGER, ZCREATIONDATE TIMESTAMP, ZCREATIONDATE1 TIMESTAMP,
                 ZMODIFICATIONDATE TIMESTAMP, ZMODIFICATIONDATE1 TIMESTAMP, ZIDENTIFIER VARCHAR,
                 ZTITLE VARCHAR, ZTITLE1 VARCHAR, ZTITLE2 VARCHAR, ZSNIPPET VARCHAR, ZNAME VARCHAR,
                 ZTYPEUTI VARCHAR, ZURLSTRING VARCHAR, ZFILENAME VARCHAR, ZPASSWORDHINT VARCHAR,
                 ZMERGEABLEDATA BLOB, ZOWNER INTEGER, ZFILESIZE INTEGER, ZUSERRECORDNAME VARCHAR,
                 ZREMOTEFILEURLSTRING VARCHAR",
            ),
            (
                11,
                "ZFOLDER INTEGER, ZISPINNED INTEGER, ZPARENTATTACHMENT INTEGER",
            ),
            (13, "ZACCOUNT3 INTEGER, ZMERGEABLEDATA1 BLOB"),
            (
                15,
                "ZACCOUNT4 INTEGER, ZCREATIONDATE3 TIMESTAMP, ZTYPEUTI1 VARCHAR, ZALTTEXT VARCHAR,
                 ZUSERTITLE VARCHAR, ZTOKENCONTENTIDENTIFIER VARCHAR",
            ),
            (
                16,
                "ZACCOUNT5 INTEGER, ZACCOUNT6 INTEGER, ZACCOUNT7 INTEGER, ZACCOUNT8 INTEGER, ZATTACHMENT1 INTEGER,
                 ZMERGEABLEDATA2 BLOB",
            ),
            (
                17,
                "ZGENERATION1 VARCHAR, ZFALLBACKIMAGEGENERATION VARCHAR, ZFALLBACKPDFGENERATION VARCHAR",
            ),
        ],
    );
    db.execute_batch(&format!(
        "CREATE TABLE {OBJECTS} ({columns});
         CREATE TABLE ZICNOTEDATA (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZNOTE INTEGER,
            ZCRYPTOINITIALIZATIONVECTOR BLOB, ZCRYPTOTAG BLOB, ZDATA BLOB);
         CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
         CREATE TABLE Z_METADATA (Z_VERSION INTEGER PRIMARY KEY, Z_UUID VARCHAR(255), Z_PLIST BLOB);"
    ))?;
    for name in ENTITIES {
        let sql = "INSERT INTO Z_PRIMARYKEY VALUES (?1, ?2, 0, 0)";
        db.execute(sql, (entity(ios, name), name))?;
    }
    if ios < 12 {
        let (folder, note) = (entity(ios, "ICFolder"), entity(ios, "ICNote"));
        db.execute_batch(&format!(
            "CREATE TABLE Z_{folder}NOTES (Z_{folder}FOLDERS INTEGER, Z_{note}NOTES INTEGER,
                PRIMARY KEY (Z_{folder}FOLDERS, Z_{note}NOTES))"
        ))?;
    }
    Ok(())
}

/// A line of a note.
struct Line {
    kind: &'static str,
    style: i64,
    indent: u64,
    quote: bool,
    done: Option<bool>,
    bits: Vec<Bit>,
}

/// A part of a line.
enum Bit {
    Text(String, Look),
    Place(Place),
}

/// The style of a text.
#[derive(Clone, Copy, Default)]
struct Look {
    bold: bool,
    italic: bool,
    underline: bool,
    strikethrough: bool,
    link: Option<&'static str>,
}

/// The place of an attachment in a text.
struct Place {
    guid: String,
    uti: &'static str,
    truth: Value,
}

/// Returns a line of a kind, which the number of a style stands for.
fn line(kind: &'static str, bits: Vec<Bit>) -> Line {
    let style = match kind {
        "title" => 0,
        "heading" => 1,
        "subheading" => 2,
        "monospaced" => 4,
        "dotted" => 100,
        "dashed" => 101,
        "numbered" => 102,
        "checklist" => 103,
        _ => -1,
    };
    Line {
        kind,
        style,
        indent: 0,
        quote: false,
        done: None,
        bits,
    }
}

/// Returns a line of plain text.
fn plain(kind: &'static str, text: &str) -> Line {
    let bits = if text.is_empty() {
        Vec::new()
    } else {
        vec![Bit::Text(text.to_owned(), Look::default())]
    };
    line(kind, bits)
}

impl Line {
    fn at(mut self, indent: u64) -> Line {
        self.indent = indent;
        self
    }

    fn ticked(mut self, done: bool) -> Line {
        self.done = Some(done);
        self
    }

    fn quoted(mut self) -> Line {
        self.quote = true;
        self
    }

    fn text(&self) -> String {
        let bits = self.bits.iter().map(|bit| match bit {
            Bit::Text(text, _) => text.as_str(),
            Bit::Place(place) => place.truth["text"].as_str().unwrap_or_default(),
        });
        bits.collect()
    }

    fn truth(&self) -> Value {
        let mut truth = json!({ "kind": self.kind });
        if let Some(done) = self.done {
            truth["done"] = done.into();
        }
        if self.indent > 0 {
            truth["indent"] = self.indent.into();
        }
        if self.quote {
            truth["quote"] = true.into();
        }
        let bits = self.bits.iter().map(|bit| match bit {
            Bit::Place(place) => json!({ "attachment": place.truth }),
            Bit::Text(text, look) => {
                let mut truth = json!({ "text": text });
                for (name, is_set) in [
                    ("bold", look.bold),
                    ("italic", look.italic),
                    ("underline", look.underline),
                    ("strikethrough", look.strikethrough),
                ] {
                    if is_set {
                        truth[name] = true.into();
                    }
                }
                if let Some(link) = look.link {
                    truth["link"] = link.into();
                }
                truth
            }
        });
        truth["pieces"] = bits.collect();
        truth
    }
}

/// An account.
struct Account {
    row: i64,
    guid: String,
    name: &'static str,
}

/// A folder, with its names from the outermost.
struct Folder {
    row: i64,
    account: usize,
    names: Vec<&'static str>,
    is_trash: bool,
}

/// The body of a note.
enum Body {
    Lines(Vec<Line>),
    /// A note in which nothing was written.
    Empty,
    /// Bytes that are no body.
    Bytes(&'static [u8]),
    /// The cipher text of a locked note, and the hint for its password.
    Locked(&'static str),
}

/// Fills the database and notes the truth.
struct Store<'a> {
    plan: Plan,
    rows: Rows<'a>,
    contents: &'a mut Contents,
    truth: Vec<Value>,
    /// Seconds since 2001 of the last note.
    clock: i64,
}

impl Store<'_> {
    fn object(&self, kind: &str, more: Vec<(&str, Sql)>) -> rusqlite::Result<i64> {
        let mut row = vec![("Z_ENT", number(entity(self.plan.ios, kind)))];
        row.extend(more);
        self.rows.insert(OBJECTS, row)
    }

    fn account(&self, name: &'static str, which: u64) -> rusqlite::Result<Account> {
        let guid = self.plan.uuid(60, which);
        let row = self.object(
            "ICAccount",
            vec![("ZIDENTIFIER", text(&guid)), ("ZNAME", text(name))],
        )?;
        Ok(Account { row, guid, name })
    }

    fn folder(
        &self,
        accounts: &[Account],
        account: usize,
        name: &'static str,
        parent: Option<&Folder>,
    ) -> rusqlite::Result<Folder> {
        let is_trash = name == "Recently Deleted";
        let mut names = parent.map_or(Vec::new(), |parent| parent.names.clone());
        names.push(name);
        let mut row = vec![
            (
                "ZIDENTIFIER",
                text(&self.plan.uuid(
                    61,
                    accounts[account].row.cast_unsigned() * 100 + names.len() as u64,
                )),
            ),
            ("ZTITLE2", text(name)),
            ("ZFOLDERTYPE", number(is_trash.into())),
            ("ZMARKEDFORDELETION", number(0)),
            // Folders have a column of their own.
            ("ZOWNER", number(accounts[account].row)),
        ];
        if let Some(parent) = parent {
            row.push(("ZPARENT", number(parent.row)));
        }
        Ok(Folder {
            row: self.object("ICFolder", row)?,
            account,
            names,
            is_trash,
        })
    }

    /// Adds a note some hours after the last one. `truth` has more fields of the truth.
    fn note(
        &mut self,
        account: &Account,
        folder: &Folder,
        title: &str,
        body: Body,
        more: Vec<(&'static str, Sql)>,
        truth: Value,
    ) -> rusqlite::Result<()> {
        let which = self.truth.len() as u64;
        self.clock += 3600 + self.plan.pick(&[62, which], 90_000) as i64;
        let guid = self.plan.uuid(63, which);
        let (account_column, created_column) = note_columns(self.plan.ios);
        let mut row = vec![
            ("ZIDENTIFIER", text(&guid)),
            ("ZTITLE1", text(title)),
            (account_column, number(account.row)),
            (created_column, number(self.clock)),
            ("ZMODIFICATIONDATE1", Sql::Real(self.clock as f64 + 60.5)),
            (
                "ZISPASSWORDPROTECTED",
                number(matches!(body, Body::Locked(_)).into()),
            ),
        ];
        if self.plan.ios >= 12 {
            row.push(("ZFOLDER", number(folder.row)));
        }
        let mut known = json!({
            "guid": guid,
            "title": title,
            "account": account.name,
            "folders": folder.names,
            "created": rfc3339(self.clock),
            "modified": rfc3339(self.clock + 60),
        });
        // The fraction of the second.
        if let Some(time) = known["modified"].as_str() {
            known["modified"] = time.replace('Z', ".5Z").into();
        }
        if folder.is_trash {
            known["deleted"] = true.into();
        }
        let data = match &body {
            Body::Lines(lines) => {
                known["paragraphs"] = lines.iter().map(Line::truth).collect();
                let lines_of: Vec<String> = lines.iter().map(Line::text).collect();
                known["text"] = lines_of.join("\n").into();
                Sql::Blob(encode::body(lines))
            }
            Body::Empty => Sql::Null,
            Body::Bytes(bytes) => {
                known["undecodable"] = true.into();
                Sql::Blob(bytes.to_vec())
            }
            Body::Locked(hint) => {
                row.push(("ZPASSWORDHINT", text(hint)));
                known["locked"] = true.into();
                known["password_hint"] = (*hint).into();
                Sql::Blob(b"\x80\x11\x22\x33 cipher text of a locked note".to_vec())
            }
        };
        for (column, value) in more {
            row.retain(|(known, _)| *known != column);
            row.push((column, value));
        }
        for (field, value) in truth.as_object().into_iter().flatten() {
            known[field] = value.clone();
        }
        let note = self.object("ICNote", row)?;
        let body = self.rows.insert(
            "ZICNOTEDATA",
            vec![("ZNOTE", number(note)), ("ZDATA", data)],
        )?;
        let sql = format!("UPDATE {OBJECTS} SET ZNOTEDATA = ?1 WHERE Z_PK = ?2");
        self.rows.db.execute(&sql, [body, note])?;
        if self.plan.ios < 12 {
            let table = entity(self.plan.ios, "ICFolder");
            let sql = format!("INSERT INTO Z_{table}NOTES VALUES (?1, ?2)");
            self.rows.db.execute(&sql, [folder.row, note])?;
        }
        self.truth.push(known);
        Ok(())
    }

    /// Adds an attachment with a file, and returns its place. `bytes` are those of the file, if the
    /// backup has it.
    fn file(
        &mut self,
        account: &Account,
        uti: &'static str,
        name: &str,
        bytes: Option<Vec<u8>>,
        parent: Option<i64>,
    ) -> rusqlite::Result<Place> {
        let (guid, media) = (self.new_guid()?, self.new_guid()?);
        let generation = format!("1_{media}");
        let mut row = vec![("ZIDENTIFIER", text(&guid)), ("ZTYPEUTI", text(uti))];
        if let Some(parent) = parent {
            row.push(("ZPARENTATTACHMENT", number(parent)));
        }
        let attachment = self.object("ICAttachment", row)?;
        // Some versions link the file from the attachment, others the other way round.
        let media_row = self.object(
            "ICMedia",
            vec![
                ("ZIDENTIFIER", text(&media)),
                ("ZFILENAME", text(name)),
                ("ZGENERATION1", text(&generation)),
                ("ZATTACHMENT1", number(attachment)),
            ],
        )?;
        if self.plan.ios < 16 {
            let sql = format!("UPDATE {OBJECTS} SET ZMEDIA = ?1 WHERE Z_PK = ?2");
            self.rows.db.execute(&sql, [media_row, attachment])?;
        }
        let folder = format!("Accounts/{}/Media/{media}", account.guid);
        let path = if self.plan.ios >= 17 {
            format!("{folder}/{generation}/{name}")
        } else {
            format!("{folder}/{name}")
        };
        let mut truth = json!({ "guid": guid, "uti": uti, "name": name, "file": "missing" });
        if let Some(bytes) = bytes {
            truth["file"] = "in_backup".into();
            truth["path"] = path.clone().into();
            self.contents.file(DOMAIN, &path, bytes);
        }
        Ok(Place { guid, uti, truth })
    }

    /// Adds an attachment without a file, and returns its place and its row.
    fn attachment(
        &self,
        kind: &str,
        uti: &'static str,
        more: Vec<(&str, Sql)>,
        truth: Value,
    ) -> rusqlite::Result<(Place, i64)> {
        let guid = self.new_guid()?;
        let column = if kind == "ICInlineAttachment" {
            "ZTYPEUTI1"
        } else {
            "ZTYPEUTI"
        };
        let mut row = vec![("ZIDENTIFIER", text(&guid)), (column, text(uti))];
        row.extend(more);
        let row = self.object(kind, row)?;
        let mut known = json!({ "guid": guid, "uti": uti });
        for (field, value) in truth.as_object().into_iter().flatten() {
            known[field] = value.clone();
        }
        let truth = known;
        Ok((Place { guid, uti, truth }, row))
    }

    /// Adds a table, and returns its place.
    fn table(&self, rows: &[&[&str]], right_to_left: bool) -> rusqlite::Result<Place> {
        let data = Sql::Blob(encode::table(rows, right_to_left));
        let column = if self.plan.ios >= 13 {
            "ZMERGEABLEDATA1"
        } else {
            "ZMERGEABLEDATA"
        };
        let mut truth = json!({ "table": { "rows": rows } });
        if right_to_left {
            truth["table"]["right_to_left"] = true.into();
        }
        let uti = "com.apple.notes.table";
        let made = self.attachment("ICAttachment", uti, vec![(column, data)], truth);
        made.map(|(place, _)| place)
    }

    /// Returns an identifier that no other object has.
    fn new_guid(&self) -> rusqlite::Result<String> {
        let sql = format!("SELECT count(*) FROM {OBJECTS}");
        let count: i64 = self.rows.db.query_row(&sql, [], |row| row.get(0))?;
        let random = self.plan.pick(&[64, count.cast_unsigned()], 1 << 40);
        Ok(self.plan.uuid(65, random))
    }
}
