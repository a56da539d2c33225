//! The chats of WhatsApp on the simulated phone: ChatStorage.sqlite, ContactsV2.sqlite, LID.sqlite
//! and the files of messages.

use std::collections::HashMap;

use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use super::people::{ANA, JOERG, NUR, Person, ROBERT, STRANGER};
use super::rows::{Rows, number, text};
use super::{BEGIN, Contents, Plan, database, picture, rfc3339};

const DOMAIN: &str = "AppDomainGroup-group.net.whatsapp.WhatsApp.shared";
/// 4001-01-01 in seconds since 2001.
const FUTURE: i64 = 63_113_904_000;
/// The hidden identity of Nur, and of a user whose number is not known.
const NUR_LID: &str = "98765432101234@lid";
const HIDDEN_LID: &str = "11112222333344@lid";
const TABLES: [&str; 4] = [
    "ZWACHATSESSION",
    "ZWAMESSAGE",
    "ZWAMEDIAITEM",
    "ZWAGROUPMEMBER",
];

/// Adds the databases, the files and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = json!({});
    let bytes = database(|db| {
        db.execute_batch(SCHEMA)?;
        let mut talk = Talk {
            plan,
            rows: Rows::of(db, &TABLES)?,
            contents,
            chats: Vec::new(),
            messages: Vec::new(),
            numbers: HashMap::new(),
            clock: BEGIN,
        };
        talk.tell()?;
        truth = json!({ "chats": talk.chats, "messages": talk.messages });
        Ok(())
    });
    contents.file(DOMAIN, "ChatStorage.sqlite", bytes);
    let (nur, joerg) = (digits(NUR), digits(JOERG));
    let bytes = database(|db| {
        db.execute_batch(&format!(
            "CREATE TABLE ZWAADDRESSBOOKCONTACT (Z_PK INTEGER PRIMARY KEY, ZFULLNAME VARCHAR, ZWHATSAPPID VARCHAR,
                ZPHONENUMBER VARCHAR, ZLID VARCHAR, ZABOUTTEXT VARCHAR);
             INSERT INTO ZWAADDRESSBOOKCONTACT (ZFULLNAME, ZWHATSAPPID, ZPHONENUMBER, ZABOUTTEXT)
                VALUES ('Jörg (Praxis)', '{joerg}@s.whatsapp.net', '+{joerg}', 'Busy');"
        ))
    });
    contents.file(DOMAIN, "ContactsV2.sqlite", bytes);
    let bytes = database(|db| {
        db.execute_batch(&format!(
            "CREATE TABLE ZWAPHONENUMBERLIDPAIR (Z_PK INTEGER PRIMARY KEY, ZLID VARCHAR, ZPHONENUMBER VARCHAR);
             INSERT INTO ZWAPHONENUMBERLIDPAIR (ZLID, ZPHONENUMBER) VALUES ('{NUR_LID}', '{nur}@s.whatsapp.net');"
        ))
    });
    contents.file(DOMAIN, "LID.sqlite", bytes);
    contents.truth.insert("whatsapp".to_owned(), truth);
}

/// The tables, with the columns that WhatsApp-Chat-Exporter and ours use.
const SCHEMA: &str = "
    CREATE TABLE ZWACHATSESSION (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZSESSIONTYPE INTEGER, ZGROUPINFO INTEGER,
        ZLASTMESSAGEDATE TIMESTAMP, ZCONTACTJID VARCHAR, ZPARTNERNAME VARCHAR);
    CREATE TABLE ZWAMESSAGE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZGROUPEVENTTYPE INTEGER, ZISFROMME INTEGER,
        ZMESSAGETYPE INTEGER, ZSTARRED INTEGER, ZCHATSESSION INTEGER, ZGROUPMEMBER INTEGER, ZMEDIAITEM INTEGER,
        ZMESSAGEINFO INTEGER, ZMESSAGEDATE TIMESTAMP, ZFROMJID VARCHAR, ZPUSHNAME VARCHAR, ZSTANZAID VARCHAR,
        ZTEXT VARCHAR, ZTOJID VARCHAR);
    CREATE TABLE ZWAMEDIAITEM (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZFILESIZE INTEGER, ZMOVIEDURATION INTEGER,
        ZMESSAGE INTEGER, ZLATITUDE FLOAT, ZLONGITUDE FLOAT, ZMEDIALOCALPATH VARCHAR, ZMEDIAURL VARCHAR,
        ZTITLE VARCHAR, ZVCARDNAME VARCHAR, ZVCARDSTRING VARCHAR, ZMEDIAKEY BLOB, ZMETADATA BLOB);
    CREATE TABLE ZWAGROUPMEMBER (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZISACTIVE INTEGER, ZISADMIN INTEGER,
        ZCHATSESSION INTEGER, ZCONTACTNAME VARCHAR, ZFIRSTNAME VARCHAR, ZMEMBERJID VARCHAR);
    CREATE TABLE ZWAGROUPINFO (Z_PK INTEGER PRIMARY KEY, ZCHATSESSION INTEGER, ZCREATIONDATE TIMESTAMP);
    CREATE TABLE ZWAPROFILEPUSHNAME (Z_PK INTEGER PRIMARY KEY, ZJID VARCHAR, ZPUSHNAME VARCHAR);
    CREATE TABLE ZWAVCARDMENTION (Z_PK INTEGER PRIMARY KEY, ZMEDIAITEM INTEGER, ZVCARDNAME VARCHAR,
        ZVCARDSTRING VARCHAR, ZSENDERJID VARCHAR);
    CREATE INDEX ZWAMESSAGE_ZCHATSESSION_INDEX ON ZWAMESSAGE (ZCHATSESSION);
    CREATE INDEX ZWAMEDIAITEM_ZMESSAGE_INDEX ON ZWAMEDIAITEM (ZMESSAGE);";

fn digits(person: &Person) -> &str {
    person.address.trim_start_matches('+')
}

fn jid(person: &Person) -> String {
    format!("{}@s.whatsapp.net", digits(person))
}

/// A conversation.
#[derive(Clone)]
struct Chat {
    row: i64,
    number: usize,
    jid: String,
    is_group: bool,
    members: HashMap<String, i64>,
}

/// A message that is to be written.
#[derive(Default)]
struct Draft<'a> {
    /// The jid of the sender; `None` for the owner of the phone.
    from: Option<String>,
    text: Option<&'a str>,
    kind: i64,
    columns: Vec<(&'static str, Sql)>,
    /// The columns of its file, place or preview.
    media: Vec<(&'static str, Sql)>,
    truth: Value,
}

impl<'a> Draft<'a> {
    fn of(from: Option<String>, text: &'a str) -> Draft<'a> {
        Draft {
            from,
            text: Some(text),
            truth: json!({ "text": text }),
            ..Draft::default()
        }
    }
}

struct Talk<'a> {
    plan: Plan,
    rows: Rows<'a>,
    contents: &'a mut Contents,
    chats: Vec<Value>,
    messages: Vec<Value>,
    /// The numbers of hidden identities.
    numbers: HashMap<String, String>,
    /// Seconds since 2001 of the last message.
    clock: i64,
}

impl Talk<'_> {
    fn tell(&mut self) -> rusqlite::Result<()> {
        self.numbers
            .insert(NUR_LID.to_owned(), NUR.address.to_owned());
        let ana = self.chat(&jid(ANA), "Ana Größe", ANA.address)?;
        let hello = self.send(&ana, Draft::of(Some(jid(ANA)), "Hello from WhatsApp 👋"))?;
        self.send(&ana, Draft::of(None, "Hi Ana!\nHow are you?"))?;
        self.reply(&ana, &hello, "Hello from WhatsApp 👋", ANA)?;
        self.reply(&ana, "3EB0GONE00000000GONE", "", ANA)?;
        self.files(&ana)?;
        self.other(&ana)?;
        let names = [
            (jid(ANA), "", Some("Ana Größe")),
            (jid(ROBERT), "", None),
            (jid(STRANGER), "", Some("Sam 🦊")),
            (NUR_LID.to_owned(), "", None),
            (HIDDEN_LID.to_owned(), "Kim", Some("Kim")),
        ];
        let group = self.group("Choir <script>alert('wa')</script>", &names)?;
        for (jid, text) in [
            (jid(ROBERT), "<img src=x onerror=alert(1)> =1+1"),
            (jid(STRANGER), "Who is this?"),
            (NUR_LID.to_owned(), "أنا نور"),
            (HIDDEN_LID.to_owned(), "I hide my number"),
        ] {
            self.send(&group, Draft::of(Some(jid), text))?;
        }
        self.events(&group)?;
        // A chat under a hidden identity, and one under the number: the same person.
        let nur = self.chat(NUR_LID, "نور", NUR.address)?;
        self.send(
            &nur,
            Draft::of(Some(NUR_LID.to_owned()), "under a hidden identity"),
        )?;
        let again = Chat {
            row: self.session(&jid(NUR), "+44 7700 900456", 0)?,
            jid: jid(NUR),
            ..nur.clone()
        };
        self.send(&again, Draft::of(Some(jid(NUR)), "under the number"))?;
        let joerg = self.chat(&jid(JOERG), "0171 39200", JOERG.address)?;
        self.send(
            &joerg,
            Draft {
                columns: vec![("ZMESSAGEDATE", number(FUTURE))],
                truth: json!({ "text": "from the year 4001", "time": "4001-01-01T00:00:00Z" }),
                ..Draft::of(Some(jid(JOERG)), "from the year 4001")
            },
        )?;
        Ok(())
    }

    /// Adds events of a group: a name as older and as newer versions store it, people who join and
    /// leave, a picture, and numbers that are not known.
    fn events(&mut self, group: &Chat) -> rusqlite::Result<()> {
        let robert = jid(ROBERT);
        let renamed = |name| json!({ "event": "renamed", "name": name });
        let of_json = r#"{"author":"447700900123@s.whatsapp.net","subject":"Choir 🎶"}"#;
        let events = [
            (None, Some("Choir, new name"), renamed("Choir, new name")),
            (Some(1), Some(of_json), renamed("Choir 🎶")),
            (Some(2), Some(robert.as_str()), json!({ "event": "joined" })),
            (Some(2), None, json!({ "event": "joined" })),
            (Some(3), None, json!({ "event": "left" })),
            (Some(4), None, json!({ "event": "photo_set" })),
            (
                Some(51),
                Some("Parents"),
                json!({ "event": "unknown", "item_type": 51 }),
            ),
        ];
        for (kind, text, event) in events {
            let mut truth = json!({ "event": event });
            if text == Some(robert.as_str()) {
                truth["sender"] = ROBERT.address.into();
            }
            if kind == Some(51) {
                truth["text"] = text.into();
            }
            let draft = Draft {
                from: Some(jid(ANA)),
                text,
                kind: 6,
                columns: kind
                    .map(|kind| ("ZGROUPEVENTTYPE", number(kind)))
                    .into_iter()
                    .collect(),
                truth,
                ..Draft::default()
            };
            self.send(group, draft)?;
        }
        Ok(())
    }

    /// Messages with files: there, missing, and never received.
    fn files(&mut self, chat: &Chat) -> rusqlite::Result<()> {
        let png = picture::png(32, self.plan.pick(&[80], u64::MAX));
        let folder = format!("Media/{}/a/b", chat.jid);
        let files: [(i64, &str, &str, Option<&str>, bool); 5] = [
            (1, "photo-1.png", "image/png", Some("Look at <this>"), true),
            (
                8,
                "uuid-2.pdf",
                "application/pdf",
                Some("../../Ticket.pdf"),
                true,
            ),
            (3, "voice-3.opus", "audio/ogg; codecs=opus", None, true),
            (15, "sticker-4.png", "image/png", None, true),
            (2, "video-5.mp4", "video/mp4", None, false),
        ];
        for (kind, file, mime, title, is_there) in files {
            let local = format!("{folder}/{file}");
            let path = format!("Message/{local}");
            let mut media = vec![
                ("ZMEDIALOCALPATH", text(&local)),
                ("ZVCARDSTRING", text(mime)),
                ("ZFILESIZE", number(png.len() as i64)),
            ];
            media.extend(title.map(|title| ("ZTITLE", text(title))));
            let is_document = kind == 8;
            let mut attachment = json!({
                "name": title.filter(|_| is_document).unwrap_or(file),
                "mime_type": mime,
                "file": if is_there { "in_backup" } else { "missing" },
            });
            if kind == 15 {
                attachment["sticker"] = true.into();
            }
            if is_there {
                attachment["path"] = path.clone().into();
                self.contents.file(DOMAIN, &path, png.clone());
            }
            let mut truth = json!({ "attachments": [attachment] });
            if let Some(title) = title.filter(|_| !is_document) {
                truth["text"] = title.into();
            }
            self.send(
                chat,
                Draft {
                    from: Some(chat.jid.clone()),
                    kind,
                    media,
                    truth,
                    ..Draft::default()
                },
            )?;
        }
        let media = vec![("ZVCARDSTRING", text("image/jpeg"))];
        let truth = json!({ "attachments": [{ "file": "only_in_icloud" }] });
        self.send(
            chat,
            Draft {
                from: Some(chat.jid.clone()),
                kind: 1,
                media,
                truth,
                ..Draft::default()
            },
        )?;
        Ok(())
    }

    /// A link, a place, a contact, a deleted message, and one of an unknown type.
    fn other(&mut self, chat: &Chat) -> rusqlite::Result<()> {
        let from = Some(chat.jid.clone());
        let url = "See https://example.org/wa?a=1 for more";
        let drafts = [
            Draft {
                kind: 7,
                media: vec![("ZTITLE", text("An example"))],
                truth: json!({
                    "text": url,
                    "link": { "url": "https://example.org/wa?a=1", "title": "An example" },
                }),
                ..Draft::of(from.clone(), url)
            },
            Draft {
                from: from.clone(),
                kind: 5,
                media: vec![
                    ("ZLATITUDE", Sql::Real(51.5)),
                    ("ZLONGITUDE", Sql::Real(-0.125)),
                    ("ZTITLE", text("Example Square")),
                ],
                truth: json!({ "app": { "name": "Place", "text": "Example Square: 51.5, -0.125" } }),
                ..Draft::default()
            },
            Draft {
                from: from.clone(),
                kind: 4,
                media: vec![("ZVCARDNAME", text("Jun 写真"))],
                truth: json!({ "app": { "name": "Contact", "text": "Jun 写真" } }),
                ..Draft::default()
            },
            Draft {
                from: from.clone(),
                kind: 14,
                truth: json!({ "unsent": true }),
                ..Draft::default()
            },
            Draft {
                from,
                kind: 99,
                truth: json!({
                    "app": { "name": "WhatsApp", "text": "a message of a type that is not known (99)" },
                }),
                ..Draft::default()
            },
        ];
        for draft in drafts {
            self.send(chat, draft)?;
        }
        Ok(())
    }

    /// Sends an answer to a message.
    fn reply(
        &mut self,
        chat: &Chat,
        guid: &str,
        quoted: &str,
        sender: &Person,
    ) -> rusqlite::Result<()> {
        let mut metadata = vec![0x2a, guid.len() as u8];
        metadata.extend(guid.as_bytes());
        let words = "An answer";
        let mut truth = json!({ "text": words, "reply_to": { "guid": guid } });
        if !quoted.is_empty() {
            truth["reply_to"]["quote"] = json!({ "from_me": false, "sender": { "address": sender.address }, "text": quoted });
        }
        self.send(
            chat,
            Draft {
                media: vec![("ZMETADATA", Sql::Blob(metadata))],
                truth,
                ..Draft::of(None, words)
            },
        )?;
        Ok(())
    }

    fn session(&self, jid: &str, name: &str, kind: i64) -> rusqlite::Result<i64> {
        self.rows.insert(
            "ZWACHATSESSION",
            vec![
                ("ZSESSIONTYPE", number(kind)),
                ("ZCONTACTJID", text(jid)),
                ("ZPARTNERNAME", text(name)),
            ],
        )
    }

    fn chat(&mut self, jid: &str, name: &str, address: &str) -> rusqlite::Result<Chat> {
        let row = self.session(jid, name, 0)?;
        let chat = json!({ "identifier": address, "is_group": false, "participants": [address] });
        self.chats.push(chat);
        Ok(Chat {
            row,
            number: self.chats.len() - 1,
            jid: jid.to_owned(),
            is_group: false,
            members: HashMap::new(),
        })
    }

    /// Creates a group with members: their jids, names in the group, and names that they gave
    /// themselves.
    fn group(
        &mut self,
        name: &str,
        people: &[(String, &str, Option<&str>)],
    ) -> rusqlite::Result<Chat> {
        let jid = format!("120363{}@g.us", self.plan.pick(&[81], 1 << 30));
        let row = self.session(&jid, name, 1)?;
        let sql = "UPDATE ZWACHATSESSION SET ZGROUPINFO = 1 WHERE Z_PK = ?1";
        self.rows.db.execute(sql, [row])?;
        let sql = "INSERT INTO ZWAGROUPINFO VALUES (1, ?1, ?2)";
        self.rows.db.execute(sql, [row, BEGIN])?;
        let mut members = HashMap::new();
        let mut addresses = Vec::new();
        for (jid, name, pushed) in people {
            let member = self.rows.insert(
                "ZWAGROUPMEMBER",
                vec![
                    ("ZCHATSESSION", number(row)),
                    ("ZMEMBERJID", text(jid)),
                    ("ZCONTACTNAME", text(name)),
                    ("ZISACTIVE", number(1)),
                ],
            )?;
            members.insert(jid.clone(), member);
            addresses.push(self.address(jid));
            if let Some(pushed) = pushed {
                let sql = "INSERT INTO ZWAPROFILEPUSHNAME (ZJID, ZPUSHNAME) VALUES (?1, ?2)";
                self.rows.db.execute(sql, [jid.as_str(), pushed])?;
            }
        }
        self.chats.push(json!({
            "identifier": jid,
            "name": name,
            "is_group": true,
            "participants": addresses,
        }));
        Ok(Chat {
            row,
            number: self.chats.len() - 1,
            jid,
            is_group: true,
            members,
        })
    }

    /// Returns the address by which a reader must know a user.
    fn address(&self, jid: &str) -> String {
        match (self.numbers.get(jid), jid.strip_suffix("@s.whatsapp.net")) {
            (Some(address), _) => address.clone(),
            (None, Some(digits)) => format!("+{digits}"),
            (None, None) => jid.to_owned(),
        }
    }

    /// Writes a message some minutes after the last one, and returns its identifier.
    fn send(&mut self, chat: &Chat, draft: Draft<'_>) -> rusqlite::Result<String> {
        let which = self.messages.len() as u64;
        self.clock += 60 + self.plan.pick(&[82, which], 7200) as i64;
        let random = self.plan.pick(&[83, which], u64::MAX);
        let guid = format!("3EB0{random:016X}");
        let is_from_me = draft.from.is_none();
        let mut row = vec![
            ("ZCHATSESSION", number(chat.row)),
            ("ZISFROMME", number(is_from_me.into())),
            ("ZMESSAGEDATE", number(self.clock)),
            ("ZMESSAGETYPE", number(draft.kind)),
            ("ZSTANZAID", text(&guid)),
            // It is a jid, although the column is called a name.
            ("ZPUSHNAME", text("CIGF/dMGIABIAZABAPABAtgC")),
        ];
        row.extend(draft.text.map(|words| ("ZTEXT", text(words))));
        if let Some(from) = &draft.from {
            let from_jid = if chat.is_group { &chat.jid } else { from };
            row.push(("ZFROMJID", text(from_jid)));
            let member = chat.members.get(from);
            row.extend(member.map(|member| ("ZGROUPMEMBER", number(*member))));
        } else {
            row.push(("ZTOJID", text(&chat.jid)));
        }
        for (column, value) in draft.columns {
            row.retain(|(known, _)| *known != column);
            row.push((column, value));
        }
        let message = self.rows.insert("ZWAMESSAGE", row)?;
        if !draft.media.is_empty() {
            let mut media = draft.media;
            media.push(("ZMESSAGE", number(message)));
            let media = self.rows.insert("ZWAMEDIAITEM", media)?;
            let sql = "UPDATE ZWAMESSAGE SET ZMEDIAITEM = ?1 WHERE Z_PK = ?2";
            self.rows.db.execute(sql, [media, message])?;
        }
        let mut truth = json!({
            "chat": chat.number,
            "guid": guid,
            "from_me": is_from_me,
            "time": rfc3339(self.clock),
            "service": "WhatsApp",
        });
        if let Some(from) = &draft.from {
            truth["sender"] = self.address(from).into();
        }
        for (field, value) in draft.truth.as_object().into_iter().flatten() {
            truth[field] = value.clone();
        }
        self.messages.push(truth);
        Ok(guid)
    }
}
