//! Reads the rows of messages.

use std::collections::HashMap;

use rusqlite::Row;

use super::people::People;
use super::{FILES, SERVICE};
use crate::content::database::{Database, columns};
use crate::content::messages::{
    AppMessage, Attachment, Event, Handle, LinkPreview, Message, Part, Presence, Reply,
};
use crate::content::protobuf::{Fields, Value};
use crate::content::{Error, value};
use crate::reader::paths::Paths;

columns! {
    Id = "Z_PK",
    Guid = "ZSTANZAID",
    FromMe = "ZISFROMME",
    Date = "ZMESSAGEDATE",
    Text = "ZTEXT",
    KindOf = "ZMESSAGETYPE",
    Member = "ZGROUPMEMBER",
    From = "ZFROMJID",
    To = "ZTOJID",
    GroupEvent = "ZGROUPEVENTTYPE",
    Metadata = "ZMETADATA",
}

/// The columns of a file, place or preview. They follow those of the message.
const MEDIA_COLUMNS: [&str; 9] = [
    "Z_PK",
    "ZMEDIALOCALPATH",
    "ZVCARDSTRING",
    "ZVCARDNAME",
    "ZTITLE",
    "ZMETADATA",
    "ZFILESIZE",
    "ZLATITUDE",
    "ZLONGITUDE",
];
/// The numbers of `ZMESSAGETYPE`.
const CONTACT: i64 = 4;
const PLACE: i64 = 5;
const EVENT: i64 = 6;
const LINK: i64 = 7;
const DOCUMENT: i64 = 8;
const SYSTEM: i64 = 10;
const DELETED: i64 = 14;
const STICKER: i64 = 15;
/// The numbers of `ZGROUPEVENTTYPE` in groups that tests/test_group_action.py of
/// messagecrate/WhatsApp-Chat-Exporter (MIT) documents; other projects agree.
const RENAMED: i64 = 1;
const JOINED: i64 = 2;
const LEFT: i64 = 3;
const PHOTO_SET: i64 = 4;
const OF_GROUPS: &str = "@g.us";

/// Returns the query for messages with their files, up to its condition.
pub(super) fn query(db: &Database) -> Result<String, Error> {
    let needed = [
        "Z_PK",
        "ZCHATSESSION",
        "ZISFROMME",
        "ZMESSAGEDATE",
        "ZTEXT",
        "ZMESSAGETYPE",
    ];
    let messages = db.needed("ZWAMESSAGE", &needed)?;
    let media = db.table("ZWAMEDIAITEM")?;
    let join = if messages.has("ZMEDIAITEM") && media.has("Z_PK") {
        "LEFT JOIN ZWAMEDIAITEM i ON i.Z_PK = m.ZMEDIAITEM"
    } else if media.has("ZMESSAGE") {
        "LEFT JOIN ZWAMEDIAITEM i ON i.ZMESSAGE = m.Z_PK"
    } else {
        ""
    };
    let of_media = if join.is_empty() {
        vec!["NULL"; MEDIA_COLUMNS.len()].join(", ")
    } else {
        media.list("i", &MEDIA_COLUMNS)
    };
    Ok(format!(
        "SELECT {}, {of_media} FROM ZWAMESSAGE m {join}",
        messages.list("m", COLUMNS)
    ))
}

/// Reads a row of that query.
pub(super) fn message(
    row: &Row<'_>,
    people: &People,
    members: &HashMap<i64, Handle>,
    files: &Paths,
) -> Message {
    let text = |column: Column| value::words(row, column as usize);
    let number = |column: Column| value::integer(row, column as usize);
    let media = |column: usize| value::words(row, COLUMNS.len() + column);
    let from_me = value::flag(row, Column::FromMe as usize);
    let member = number(Column::Member).and_then(|member| members.get(&member).cloned());
    let (from, to) = (text(Column::From), text(Column::To));
    let of_group = |jid: &Option<String>| jid.as_ref().is_some_and(|jid| jid.ends_with(OF_GROUPS));
    let in_group = of_group(&from) || of_group(&to);
    let from = from.filter(|jid| !jid.ends_with(OF_GROUPS));
    let id = number(Column::Id).unwrap_or_default();
    let kind = number(Column::KindOf).unwrap_or_default();
    let mut message = Message {
        id,
        guid: text(Column::Guid).unwrap_or_else(|| format!("row-{id}")),
        time: value::time(row, Column::Date as usize),
        from_me,
        sender: member
            .or_else(|| from.map(|jid| people.handle(&jid, None)))
            .filter(|_| !from_me),
        service: Some(SERVICE.to_owned()),
        ..Message::default()
    };
    let body = text(Column::Text);
    if kind == EVENT || kind == SYSTEM {
        let number = number(Column::GroupEvent).unwrap_or_default();
        // An event outside of a group has other numbers.
        let known = (kind == EVENT && in_group).then_some(number);
        let person = body.as_deref().filter(|text| is_jid(text));
        let person = person.map(|jid| people.handle(jid, None));
        let name = body.as_deref().and_then(new_name);
        message.event = Some(match (known, name, person) {
            (Some(0 | RENAMED), Some(name), _) => Event::Renamed { name: Some(name) },
            (Some(JOINED), _, person) if from_me => Event::Added { person },
            (Some(JOINED), _, person) => {
                message.sender = person.or(message.sender);
                Event::Joined
            }
            (Some(LEFT), ..) => Event::Left,
            (Some(PHOTO_SET), ..) => Event::PhotoSet,
            _ => {
                message.text = body;
                let item_type = if number == 0 { kind } else { number };
                Event::Unknown { item_type }
            }
        });
        return message;
    }
    if kind == DELETED {
        message.unsent = true;
        return message;
    }
    let title = media(4);
    let metadata = value::bytes(row, COLUMNS.len() + 5)
        .or_else(|| value::bytes(row, Column::Metadata as usize));
    message.reply_to = metadata.and_then(answered).map(|guid| Reply {
        guid,
        part: None,
        quote: None,
    });
    let mut caption = None;
    match kind {
        PLACE => {
            let place = [7, 8].map(|column| value::real(row, COLUMNS.len() + column));
            let place = match place {
                [Some(north), Some(east)] => Some(format!("{north}, {east}")),
                _ => None,
            };
            let words: Vec<String> = [title, place].into_iter().flatten().collect();
            message.app = Some(app("place", "Place", words.join(": ")));
        }
        CONTACT => {
            let name = media(3).or(title).unwrap_or_default();
            message.app = Some(app("contact", "Contact", name));
        }
        LINK => {
            let url = body.as_deref().and_then(|text| {
                let mut words = text.split_whitespace();
                words.find(|word| word.starts_with("http://") || word.starts_with("https://"))
            });
            message.link = title.map(|title| LinkPreview {
                url: url.map(str::to_owned),
                title: Some(title),
                summary: None,
            });
        }
        _ => {
            if media(0).is_some() && (media(1).is_some() || kind != 0) {
                let of_document = title.clone().filter(|_| kind == DOCUMENT);
                let attachment = attachment(row, kind, of_document, files);
                message.parts.push(Part::Attachment(attachment));
                caption = title.filter(|_| kind != DOCUMENT);
            }
        }
    }
    if let Some(text) = body.or(caption) {
        message.parts.push(Part::Text {
            text: text.clone(),
            styles: Vec::new(),
        });
        message.text = Some(text);
    }
    if message.parts.is_empty() && message.app.is_none() && message.link.is_none() {
        let text = format!("a message of a type that is not known ({kind})");
        message.app = Some(app("unknown", SERVICE, text));
    }
    message
}

/// Returns true for the identity of one user.
fn is_jid(text: &str) -> bool {
    let user = text.split_once('@');
    user.is_some_and(|(user, domain)| {
        let is_user = |c: char| c.is_ascii_digit() || c == ':' || c == '.';
        !user.is_empty() && user.chars().all(is_user) && matches!(domain, "s.whatsapp.net" | "lid")
    })
}

/// Returns the new name of a group. Newer versions of WhatsApp store it in JSON with its author.
fn new_name(text: &str) -> Option<String> {
    if text.parse::<i64>().is_ok() || is_jid(text) {
        return None;
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(fields)) if fields.contains_key("author") => {
            Some(fields.get("subject")?.as_str()?.to_owned())
        }
        _ => Some(text.to_owned()),
    }
}

fn app(id: &str, name: &str, text: String) -> AppMessage {
    AppMessage {
        bundle_id: format!("net.whatsapp.{id}"),
        name: Some(name.to_owned()),
        text: Some(text).filter(|text| !text.is_empty()),
    }
}

/// Returns the identifier of the message that a message answers: field 5 of a protocol buffer.
fn answered(metadata: &[u8]) -> Option<String> {
    let guid = Fields::of(metadata).first(5).and_then(Value::bytes)?;
    let guid = std::str::from_utf8(guid).ok()?;
    let is_guid = (8..=64).contains(&guid.len()) && guid.bytes().all(|b| b.is_ascii_graphic());
    is_guid.then(|| guid.to_owned())
}

fn attachment(row: &Row<'_>, kind: i64, name: Option<String>, files: &Paths) -> Attachment {
    let media = |column: usize| value::words(row, COLUMNS.len() + column);
    let local = media(1);
    let path = local
        .as_deref()
        .map(|path| format!("{FILES}/{}", path.trim_start_matches('/')));
    let path = path.filter(|path| files.have(path));
    let last = local.as_deref().and_then(|path| path.rsplit('/').next());
    Attachment {
        guid: media(0).unwrap_or_default(),
        name: name.or_else(|| last.map(str::to_owned)),
        mime_type: media(2).filter(|mime| mime.contains('/') && mime.len() < 100),
        uti: None,
        bytes: value::integer(row, COLUMNS.len() + 6).and_then(|bytes| u64::try_from(bytes).ok()),
        file: match (&local, &path) {
            (_, Some(_)) => Presence::InBackup,
            (None, _) => Presence::OnlyInIcloud,
            _ => Presence::Missing,
        },
        path,
        exported: None,
        sticker: kind == STICKER,
        description: None,
        transcription: None,
    }
}
