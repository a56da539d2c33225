//! A line of a trace: a JSON object that holds a message or an event of a channel. docs/format.md
//! describes the format for users.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

pub use super::direction::Dir;
use super::framing::FileEnd;

/// Version of the trace format.
pub const VERSION: u32 = 1;

/// The first line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Format version of the trace; see [`VERSION`].
    pub trace: u32,
    /// Program that wrote the trace.
    pub by: String,
    /// Place of the recording: "computer", "simulated phone", or "transcribed" if written down by
    /// hand.
    pub at: String,
    /// Start time of the trace (RFC 3339).
    #[serde(default)]
    pub time: String,
    /// True if the trace includes the contents of [`super::framing::METADATA`].
    #[serde(default)]
    pub metadata: bool,
}

/// Any line of a trace but the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Seconds since the trace began.
    pub seconds: f64,
    /// Channel number, counted from 1.
    pub channel: u32,
    /// Event on the channel.
    pub event: Event,
}

/// Event on a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The channel begins.
    Open {
        /// "usbmux", "lockdown" or a service's name.
        name: String,
        /// The phone's UDID, or its placeholder.
        phone: Option<String>,
        /// Channel whose connection this one continues: that of the daemon, after Connect.
        on: Option<u32>,
    },
    /// A message passed.
    Message(Dir, Message),
    /// The channel was closed by the side that sends in this direction.
    Close(Dir),
}

/// A message, with all secrets removed.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A property list; see [`super::redact`] for its form in JSON.
    Plist(Json),
    /// A file and its contents.
    File {
        /// Placeholder for the path on the phone.
        from: Option<String>,
        /// Path of the file in the backup.
        to: String,
        /// Size in bytes.
        size: u64,
        /// SHA-256 in hexadecimal; empty if unknown.
        sha256: String,
        /// Contents of the file, if the trace kept them.
        body: Option<Vec<u8>>,
        /// End of the transfer: complete, failed or cut.
        end: FileEnd,
    },
    /// The end of a list of files.
    FilesEnd,
    /// A packet of AFC.
    Afc(Packet),
    /// Number of bytes that did not form a message.
    Raw(u64),
}

/// An AFC packet, split into its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Packet number, counted by the sender.
    pub number: u64,
    /// Operation: a name, or the number if it has none.
    pub operation: String,
    /// Numeric arguments of the operation.
    pub words: Vec<u64>,
    /// Path arguments; in an answer to GetFileInfo, the keys and values that describe the file.
    pub paths: Vec<String>,
    /// Number of data bytes that follow.
    pub data: u64,
}

/// AFC operations: number, name, count of leading numeric arguments, and whether paths follow
/// (otherwise data bytes do).
pub(crate) const AFC_OPERATIONS: [(u64, &str, usize, bool); 21] = [
    (1, "Status", 1, false),
    (2, "Data", 0, false),
    (3, "ReadDir", 0, true),
    (7, "Truncate", 1, true),
    (8, "RemovePath", 0, true),
    (9, "MakeDir", 0, true),
    (10, "GetFileInfo", 0, true),
    (11, "GetDeviceInfo", 0, false),
    (13, "FileOpen", 1, true),
    (14, "FileOpenResult", 1, false),
    (15, "FileRead", 2, false),
    (16, "FileWrite", 1, false),
    (17, "FileSeek", 3, false),
    (18, "FileTell", 1, false),
    (19, "FileTellResult", 1, false),
    (20, "FileClose", 1, false),
    (21, "FileSetSize", 2, false),
    (24, "RenamePath", 0, true),
    (27, "FileLock", 2, false),
    (28, "MakeLink", 1, true),
    (30, "SetFileTime", 1, true),
];

/// Error: a line could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotALine(String);

impl std::fmt::Display for NotALine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotALine {}

impl Head {
    /// Returns the line as JSON.
    pub(crate) fn to_json(&self) -> Json {
        json!(self)
    }

    /// Parses the first line of a trace.
    pub(crate) fn parse(line: &str) -> Result<Head, NotALine> {
        let head: Head = serde_json::from_str(line)
            .map_err(|e| NotALine(format!("this is no trace of idev-backup: {e}")))?;
        match head.trace {
            VERSION => Ok(head),
            other => Err(NotALine(format!(
                "this trace has version {other}, and {VERSION} is known here"
            ))),
        }
    }
}

impl Line {
    /// Returns the line as JSON.
    pub fn to_json(&self) -> Json {
        let mut fields = Map::new();
        // Millisecond precision is enough, and keeps lines short.
        fields.insert("t".into(), json!((self.seconds * 1e3).round() / 1e3));
        fields.insert("ch".into(), self.channel.into());
        match &self.event {
            Event::Open { name, phone, on } => {
                fields.insert("open".into(), name.as_str().into());
                let rest = [
                    ("phone", phone.as_deref().map(Json::from)),
                    ("on", on.map(Json::from)),
                ];
                insert(&mut fields, rest);
            }
            Event::Close(by) => {
                fields.insert("close".into(), by.sign().into());
            }
            Event::Message(dir, message) => {
                fields.insert("dir".into(), dir.sign().into());
                let (key, value) = message.to_json();
                fields.insert(key.into(), value);
            }
        }
        Json::Object(fields)
    }

    /// Parses any line but the first.
    pub fn parse(line: &str) -> Result<Line, NotALine> {
        let bad = |what: &str| NotALine(format!("it has no {what}"));
        let fields: Map<String, Json> =
            serde_json::from_str(line).map_err(|e| NotALine(format!("it is no line: {e}")))?;
        let channel = fields.get("ch").and_then(Json::as_u64);
        let channel = channel.and_then(|n| u32::try_from(n).ok());
        let event = if let Some(name) = fields.get("open").and_then(Json::as_str) {
            let phone = fields.get("phone").and_then(Json::as_str);
            let on = fields.get("on").and_then(Json::as_u64);
            Event::Open {
                name: name.to_owned(),
                phone: phone.map(str::to_owned),
                on: on.and_then(|n| u32::try_from(n).ok()),
            }
        } else if let Some(by) = fields.get("close").and_then(dir_of) {
            Event::Close(by)
        } else {
            let dir = fields.get("dir").and_then(dir_of);
            let message = Message::parse(&fields).ok_or_else(|| bad("message"))?;
            Event::Message(dir.ok_or_else(|| bad("direction"))?, message)
        };
        Ok(Line {
            seconds: fields.get("t").and_then(Json::as_f64).unwrap_or_default(),
            channel: channel.ok_or_else(|| bad("channel"))?,
            event,
        })
    }
}

impl Message {
    fn to_json(&self) -> (&'static str, Json) {
        match self {
            Message::Plist(value) => ("plist", value.clone()),
            Message::FilesEnd => ("files", "end".into()),
            Message::Raw(bytes) => ("raw", (*bytes).into()),
            Message::Afc(packet) => ("afc", packet.to_json()),
            Message::File {
                from,
                to,
                size,
                sha256,
                body,
                end,
            } => {
                let mut fields = Map::new();
                let end = match end {
                    FileEnd::Whole => None,
                    FileEnd::Cut => Some("cut".into()),
                    FileEnd::Failed(code, text) => Some(json!([code, text])),
                };
                let known = Some(sha256).filter(|hash| !hash.is_empty());
                insert(
                    &mut fields,
                    [
                        ("from", from.as_deref().map(Json::from)),
                        ("to", Some(to.as_str().into())),
                        ("bytes", Some((*size).into())),
                        ("sha256", known.map(|hash| hash.as_str().into())),
                        (
                            "body",
                            body.as_ref().map(|b| BASE64_STANDARD.encode(b).into()),
                        ),
                        ("end", end),
                    ],
                );
                ("file", Json::Object(fields))
            }
        }
    }

    fn parse(fields: &Map<String, Json>) -> Option<Message> {
        if let Some(value) = fields.get("plist") {
            return Some(Message::Plist(value.clone()));
        }
        if fields.contains_key("files") {
            return Some(Message::FilesEnd);
        }
        if let Some(bytes) = fields.get("raw") {
            return bytes.as_u64().map(Message::Raw);
        }
        if let Some(packet) = fields.get("afc") {
            return Packet::parse(packet).map(Message::Afc);
        }
        let file = fields.get("file")?.as_object()?;
        let text = |key: &str| file.get(key).and_then(Json::as_str).map(str::to_owned);
        let end = match file.get("end") {
            None => FileEnd::Whole,
            Some(Json::Array(parts)) => {
                let code = u8::try_from(parts.first()?.as_u64()?).ok()?;
                FileEnd::Failed(code, parts.get(1)?.as_str()?.to_owned())
            }
            Some(_) => FileEnd::Cut,
        };
        let body = match text("body") {
            Some(body) => Some(BASE64_STANDARD.decode(body).ok()?),
            None => None,
        };
        Some(Message::File {
            from: text("from"),
            to: text("to")?,
            size: file.get("bytes")?.as_u64()?,
            sha256: text("sha256").unwrap_or_default(),
            body,
            end,
        })
    }
}

impl Packet {
    fn to_json(&self) -> Json {
        let mut fields = Map::new();
        let list = |empty: bool, list: Json| (!empty).then_some(list);
        insert(
            &mut fields,
            [
                ("number", Some(self.number.into())),
                ("op", Some(self.operation.as_str().into())),
                ("words", list(self.words.is_empty(), json!(self.words))),
                ("paths", list(self.paths.is_empty(), json!(self.paths))),
                ("data", (self.data > 0).then(|| self.data.into())),
            ],
        );
        Json::Object(fields)
    }

    fn parse(packet: &Json) -> Option<Packet> {
        let list = |key: &str| {
            packet
                .get(key)
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
        };
        Some(Packet {
            number: packet.get("number")?.as_u64()?,
            operation: packet.get("op")?.as_str()?.to_owned(),
            words: list("words").filter_map(Json::as_u64).collect(),
            paths: list("paths")
                .filter_map(|path| path.as_str().map(str::to_owned))
                .collect(),
            data: packet.get("data").and_then(Json::as_u64).unwrap_or(0),
        })
    }
}

fn insert<const N: usize>(fields: &mut Map<String, Json>, values: [(&str, Option<Json>); N]) {
    for (key, value) in values {
        if let Some(value) = value {
            fields.insert(key.into(), value);
        }
    }
}

/// Returns the direction whose sign the value is.
fn dir_of(sign: &Json) -> Option<Dir> {
    Dir::parse(sign.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trace_line_round_trips() {
        let file = |end, body| Message::File {
            from: Some("path-1".into()),
            to: "U/a".into(),
            size: 3,
            sha256: "ab".into(),
            body,
            end,
        };
        let packet = Packet {
            number: 2,
            operation: "FileOpen".into(),
            words: vec![1],
            paths: vec!["/a".into()],
            data: 0,
        };
        let messages = [
            Message::Plist(json!({"b": 1, "a": [2.0, null]})),
            file(FileEnd::Whole, Some(b"abc".to_vec())),
            file(FileEnd::Cut, None),
            file(FileEnd::Failed(11, "Input/output error".into()), None),
            Message::FilesEnd,
            Message::Afc(packet),
            Message::Raw(17),
        ];
        let mut events: Vec<Event> = messages
            .into_iter()
            .map(|message| Event::Message(Dir::FromPhone, message))
            .collect();
        events.push(Event::Close(Dir::ToPhone));
        events.push(Event::Open {
            name: "lockdown".into(),
            phone: Some("U".into()),
            on: Some(3),
        });
        for event in events {
            let line = Line {
                seconds: 1.25,
                channel: 4,
                event,
            };
            let text = line.to_json().to_string();
            assert_eq!(Line::parse(&text), Ok(line), "{text}");
        }
    }

    #[test]
    fn incomplete_line_names_missing_part() {
        for (line, why) in [
            ("{\"ch\":1,\"dir\":\">\"}", "message"),
            ("{\"ch\":1,\"files\":\"end\"}", "direction"),
            ("{\"dir\":\"<\",\"raw\":1}", "channel"),
            ("x", "no line"),
        ] {
            let error = Line::parse(line).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Head::parse("{\"trace\":99,\"by\":\"\",\"at\":\"\"}").is_err());
    }
}
