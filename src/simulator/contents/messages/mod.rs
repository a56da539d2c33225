//! The messages of the simulated phone: sms.db, and the files of its attachments.

mod filler;
mod schema;
mod script;

use std::collections::{HashMap, HashSet};

use plist::Value as Plist;
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Map, Value, json};

use super::people::Person;
use super::typedstream::{Attr, Run, attributed_string};
use super::{Contents, Plan, database, picture, rfc3339};
use crate::simulator::dict;

/// Nanoseconds per second: Messages stores times in nanoseconds since iOS 11.
const NANOSECONDS: i64 = 1_000_000_000;
const PART: &str = "__kIMMessagePartAttributeName";
const FILE: &str = "__kIMFileTransferGUIDAttributeName";
/// The number of the owner of the phone.
const OWNER: &str = "+447700900001";

/// Adds the database, the attachments and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = Map::new();
    let bytes = database(|db| {
        schema::create(db, plan.ios)?;
        let mut story = Story::new(plan, db, contents)?;
        script::tell(&mut story)?;
        filler::tell(&mut story)?;
        truth = story.truth();
        Ok(())
    });
    contents.file("HomeDomain", "Library/SMS/sms.db", bytes);
    contents.truth.insert("messages".to_owned(), truth.into());
}

/// Fills the database and notes the truth.
struct Story<'a> {
    plan: Plan,
    db: &'a Connection,
    contents: &'a mut Contents,
    columns: HashMap<&'static str, HashSet<String>>,
    handles: HashMap<(String, String), i64>,
    chats: Vec<Value>,
    /// Conversations with one person, by address.
    singles: HashMap<&'static str, Talk>,
    messages: Vec<Value>,
    attachments: u64,
    /// Seconds since 2001 of the last message.
    clock: i64,
}

/// A conversation, and the row of its chat for each service.
#[derive(Debug, Clone)]
struct Talk {
    /// The index in the truth.
    number: usize,
    rows: HashMap<String, i64>,
}

/// A message that is to be written.
struct Draft<'p> {
    /// The sender; `None` for the owner of the phone.
    from: Option<&'p Person>,
    service: &'static str,
    runs: Vec<Run>,
    /// Further columns of the row.
    columns: Vec<(&'static str, Sql)>,
    /// Further fields of the truth.
    truth: Vec<(&'static str, Value)>,
    attachments: Vec<i64>,
}

/// A range without attributes but its part.
fn run(text: &str, part: i64) -> Run {
    Run {
        text: text.to_owned(),
        attributes: vec![(PART, Attr::Number(part))],
    }
}

impl<'p> Draft<'p> {
    fn text(from: Option<&'p Person>, text: &str) -> Draft<'p> {
        Draft::runs(from, vec![run(text, 0)])
    }

    fn runs(from: Option<&'p Person>, runs: Vec<Run>) -> Draft<'p> {
        Draft {
            from,
            service: "iMessage",
            runs,
            columns: Vec::new(),
            truth: Vec::new(),
            attachments: Vec::new(),
        }
    }

    fn by(mut self, service: &'static str) -> Self {
        self.service = service;
        self
    }

    fn with(mut self, column: &'static str, value: impl Into<Sql>) -> Self {
        self.columns.retain(|(known, _)| *known != column);
        self.columns.push((column, value.into()));
        self
    }

    fn known(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.truth.push((field, value.into()));
        self
    }
}

impl<'a> Story<'a> {
    fn new(plan: Plan, db: &'a Connection, contents: &'a mut Contents) -> rusqlite::Result<Self> {
        let mut columns = HashMap::new();
        for table in ["message", "chat", "attachment", "chat_message_join"] {
            let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
            let names = statement.query_map([table], |row| row.get(0))?;
            columns.insert(table, names.collect::<rusqlite::Result<_>>()?);
        }
        Ok(Story {
            plan,
            db,
            contents,
            columns,
            handles: HashMap::new(),
            chats: Vec::new(),
            singles: HashMap::new(),
            messages: Vec::new(),
            attachments: 0,
            clock: super::BEGIN,
        })
    }

    fn truth(self) -> Map<String, Value> {
        let truth = json!({ "chats": self.chats, "messages": self.messages });
        truth.as_object().cloned().unwrap_or_default()
    }

    /// Inserts a row with the columns that this version of iOS has, and returns its number.
    fn insert(&self, table: &'static str, row: &[(&str, Sql)]) -> rusqlite::Result<i64> {
        let has = |column: &str| match self.columns.get(table) {
            Some(known) => known.contains(column),
            None => true,
        };
        let row: Vec<&(&str, Sql)> = row.iter().filter(|(column, _)| has(column)).collect();
        let names: Vec<&str> = row.iter().map(|(column, _)| *column).collect();
        let places = vec!["?"; row.len()].join(", ");
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({places})",
            names.join(", ")
        );
        let values = row.iter().map(|(_, value)| value);
        self.db.execute(&sql, rusqlite::params_from_iter(values))?;
        Ok(self.db.last_insert_rowid())
    }

    /// Returns the row of a person's address for a service.
    fn handle(&mut self, person: &Person, service: &str) -> rusqlite::Result<i64> {
        let key = (person.address.to_owned(), service.to_owned());
        if let Some(row) = self.handles.get(&key) {
            return Ok(*row);
        }
        let row = self.insert(
            "handle",
            &[
                ("id", person.address.to_owned().into()),
                ("country", person.country.to_owned().into()),
                ("service", service.to_owned().into()),
            ],
        )?;
        self.handles.insert(key, row);
        Ok(row)
    }

    /// Creates a conversation. From iOS 26 on, one chat serves all services; before that, there is
    /// one for each.
    fn talk(
        &mut self,
        others: &[&Person],
        name: Option<&str>,
        services: &[&str],
    ) -> rusqlite::Result<Talk> {
        if let [other] = others
            && let Some(talk) = self.singles.get(other.address)
        {
            return Ok(talk.clone());
        }
        let number = self.chats.len();
        let is_group = others.len() > 1;
        let identifier = if is_group {
            format!(
                "chat{}",
                100_000_000 + self.plan.pick(&[20, number as u64], 1 << 30)
            )
        } else {
            others[0].address.to_owned()
        };
        let style = if is_group { 43 } else { 45 };
        let mut rows = HashMap::new();
        let is_joined = self.plan.ios >= 26;
        for (at, service) in services.iter().enumerate() {
            if is_joined && at > 0 {
                let first = rows[services[0]];
                rows.insert((*service).to_owned(), first);
                for other in others {
                    let handle = self.handle(other, service)?;
                    self.member(first, handle)?;
                }
                continue;
            }
            let kind = if is_group { "+" } else { "-" };
            let prefix = if is_joined { "any" } else { service };
            let row = self.insert(
                "chat",
                &[
                    ("guid", format!("{prefix};{kind};{identifier}").into()),
                    ("style", Sql::Integer(style)),
                    ("state", Sql::Integer(3)),
                    ("chat_identifier", identifier.clone().into()),
                    ("service_name", (*service).to_owned().into()),
                    ("display_name", name.unwrap_or_default().to_owned().into()),
                    ("group_id", self.plan.uuid(21, number as u64).into()),
                    ("account_login", format!("P:{OWNER}").into()),
                ],
            )?;
            for other in others {
                let handle = self.handle(other, service)?;
                self.member(row, handle)?;
            }
            rows.insert((*service).to_owned(), row);
        }
        let addresses: Vec<&str> = others.iter().map(|other| other.address).collect();
        self.chats.push(json!({
            "identifier": identifier,
            "name": name,
            "is_group": is_group,
            "participants": addresses,
        }));
        let talk = Talk { number, rows };
        if let [other] = others {
            self.singles.insert(other.address, talk.clone());
        }
        Ok(talk)
    }

    fn member(&self, chat: i64, handle: i64) -> rusqlite::Result<()> {
        let sql = "INSERT OR IGNORE INTO chat_handle_join VALUES (?1, ?2)";
        self.db.execute(sql, [chat, handle]).map(drop)
    }

    /// Returns the value of a date column.
    fn date(&self, since_2001: i64) -> Sql {
        Sql::Integer(if self.plan.ios >= 11 {
            since_2001 * NANOSECONDS
        } else {
            since_2001
        })
    }

    /// Writes a message some minutes after the last one, and returns its identifier.
    fn send(&mut self, talk: Option<&Talk>, draft: Draft<'_>) -> rusqlite::Result<String> {
        let number = self.messages.len() as u64;
        self.clock += 60 + self.plan.pick(&[22, number], 7200) as i64;
        let guid = self.plan.uuid(23, number);
        let handle = match draft.from {
            Some(person) => self.handle(person, draft.service)?,
            None => 0,
        };
        let text: String = draft.runs.iter().map(|run| run.text.as_str()).collect();
        let is_sent = draft.from.is_none();
        let archive = (!text.is_empty()).then(|| attributed_string(&draft.runs, is_sent));
        // From iOS 16 on, most texts are only in the archive.
        let is_in_text = self.plan.ios < 16 || number.is_multiple_of(5);
        let text_column =
            Sql::from(Some(text.clone()).filter(|text| is_in_text && !text.is_empty()));
        let has_files = !draft.attachments.is_empty();
        let mut row = vec![
            ("guid", guid.clone().into()),
            ("text", text_column),
            ("attributedBody", archive.into()),
            ("handle_id", Sql::Integer(handle)),
            ("service", draft.service.to_owned().into()),
            ("account", format!("P:{OWNER}").into()),
            ("date", self.date(self.clock)),
            ("is_from_me", Sql::Integer(is_sent.into())),
            ("is_sent", Sql::Integer(is_sent.into())),
            ("is_finished", Sql::Integer(1)),
            ("is_read", Sql::Integer((!is_sent).into())),
            ("cache_has_attachments", Sql::Integer(has_files.into())),
            ("destination_caller_id", OWNER.to_owned().into()),
            ("part_count", Sql::Integer(1)),
        ];
        for (column, value) in draft.columns {
            row.retain(|(known, _)| *known != column);
            row.push((column, value));
        }
        let id = self.insert("message", &row)?;
        for attachment in draft.attachments {
            let sql = "INSERT INTO message_attachment_join VALUES (?1, ?2)";
            self.db.execute(sql, [id, attachment])?;
        }
        if let Some(talk) = talk {
            let chat = talk.rows.get(draft.service).or(talk.rows.values().next());
            let date = self.date(self.clock);
            self.insert(
                "chat_message_join",
                &[
                    ("chat_id", Sql::Integer(chat.copied().unwrap_or(1))),
                    ("message_id", Sql::Integer(id)),
                    ("message_date", date),
                ],
            )?;
        }
        let shown = text.replace('\u{fffc}', "");
        let mut truth = json!({
            "chat": talk.map(|talk| talk.number),
            "guid": guid.clone(),
            "from_me": is_sent,
            "time": rfc3339(self.clock),
            "service": draft.service,
        });
        if let Some(person) = draft.from {
            truth["sender"] = person.address.into();
        }
        if !shown.is_empty() {
            truth["text"] = shown.into();
        }
        for (field, value) in draft.truth {
            truth[field] = value;
        }
        self.messages.push(truth);
        Ok(guid)
    }

    /// Adds a field to the truth about the newest message.
    fn known(&mut self, field: &str, value: Value) {
        if let Some(last) = self.messages.last_mut() {
            last[field] = value;
        }
    }

    /// Returns the row of the newest message.
    fn last_row(&self) -> rusqlite::Result<i64> {
        let sql = "SELECT max(ROWID) FROM message";
        self.db.query_row(sql, [], |row| row.get(0))
    }

    /// Adds an attachment, and returns its row, its identifier and the truth about it. `bytes` are
    /// the contents of its file, if the backup has it; a `path` that is `None` is only in iCloud.
    fn attachment(&mut self, file: &File<'_>) -> rusqlite::Result<(i64, String, Value)> {
        self.attachments += 1;
        let number = self.attachments;
        let guid = self.plan.uuid(25, number);
        let folder = format!(
            "Library/SMS/Attachments/{:02x}/{:02}/{guid}",
            number % 256,
            number % 16
        );
        // The name on the disk is chosen by the phone, the other one by the sender.
        let on_disk = if file.name.contains(['/', '<']) {
            "file.bin"
        } else {
            file.name
        };
        let path = format!("{folder}/{on_disk}");
        let row = self.insert(
            "attachment",
            &[
                ("guid", guid.clone().into()),
                ("original_guid", guid.clone().into()),
                ("created_date", Sql::Integer(self.clock)),
                (
                    "filename",
                    Sql::from((file.state != State::InIcloud).then(|| format!("~/{path}"))),
                ),
                ("uti", file.uti.to_owned().into()),
                ("mime_type", Sql::from(file.mime_type.map(str::to_owned))),
                ("transfer_name", file.name.to_owned().into()),
                ("total_bytes", Sql::Integer(file.bytes.len() as i64)),
                ("is_sticker", Sql::Integer(file.is_sticker.into())),
                ("transfer_state", Sql::Integer(5)),
            ],
        )?;
        if file.state == State::There {
            let bytes = file.bytes.to_vec();
            self.contents.file("MediaDomain", &path, bytes);
        }
        let truth = json!({
            "name": file.name,
            "bytes": file.bytes.len(),
            "file": match file.state {
                State::There => "in_backup",
                State::Missing => "missing",
                State::InIcloud => "only_in_icloud",
            },
        });
        Ok((row, guid, truth))
    }

    /// Returns a picture that browsers show.
    fn picture(&self, number: u64) -> Vec<u8> {
        picture::png(48, self.plan.pick(&[26, number], u64::MAX))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    Missing,
    InIcloud,
}

/// A file that is attached to a message.
struct File<'f> {
    name: &'f str,
    uti: &'f str,
    mime_type: Option<&'f str>,
    bytes: &'f [u8],
    state: State,
    is_sticker: bool,
}

impl<'f> File<'f> {
    fn new(name: &'f str, uti: &'f str, mime_type: &'f str, bytes: &'f [u8]) -> File<'f> {
        File {
            name,
            uti,
            mime_type: Some(mime_type),
            bytes,
            state: State::There,
            is_sticker: false,
        }
    }
}

/// Returns the place of an attachment in a body.
fn place(guid: &str, part: i64) -> Run {
    Run {
        text: "\u{fffc}".to_owned(),
        attributes: vec![
            (FILE, Attr::Text(guid.to_owned())),
            (PART, Attr::Number(part)),
        ],
    }
}

/// Returns a property list for `message_summary_info`.
fn summary(fields: plist::Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    match Plist::Dictionary(fields).to_writer_binary(&mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Returns the versions of an edited part: seconds since 2001 and texts.
fn versions(texts: &[(i64, &str)]) -> Plist {
    let version = |(time, text): &(i64, &str)| {
        let archive = attributed_string(&[run(text, 0)], true);
        Plist::Dictionary(dict([
            ("d", Plist::Real(*time as f64)),
            ("t", Plist::Data(archive)),
        ]))
    };
    Plist::Array(texts.iter().map(version).collect())
}
