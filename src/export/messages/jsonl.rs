//! Messages as JSON Lines. docs/format.md describes the records.

use serde::Serialize;

use super::{Talk, Writer};
use crate::content::messages::{Chat, Message};
use crate::export::Error;
use crate::export::destination::Target;
use crate::export::record_file::RecordFile;

/// The version of the records.
const VERSION: u32 = 1;

/// Writes `messages.jsonl` and `chats.jsonl`.
pub(super) struct Jsonl {
    messages: RecordFile,
    chats: RecordFile,
}

#[derive(Serialize)]
struct ChatLine<'a> {
    version: u32,
    id: i64,
    title: &'a str,
    #[serde(flatten)]
    chat: &'a Chat,
}

#[derive(Serialize)]
struct MessageLine<'a> {
    version: u32,
    chat: Option<i64>,
    #[serde(flatten)]
    message: &'a Message,
}

impl Jsonl {
    pub(super) fn create(target: &mut Target) -> Result<Jsonl, Error> {
        Ok(Jsonl {
            messages: RecordFile::create(target, &["messages.jsonl".to_owned()])?,
            chats: RecordFile::create(target, &["chats.jsonl".to_owned()])?,
        })
    }
}

impl Writer for Jsonl {
    fn begin(&mut self, _: &mut Target, talk: &Talk<'_>) -> Result<(), Error> {
        let Some(chat) = talk.chat else {
            return Ok(());
        };
        let record = ChatLine {
            version: VERSION,
            id: chat.ids.first().copied().unwrap_or_default(),
            title: &talk.title,
            chat,
        };
        self.chats.json_line(&record)
    }

    fn message(&mut self, _: &mut Target, talk: &Talk<'_>, message: &Message) -> Result<(), Error> {
        let record = MessageLine {
            version: VERSION,
            chat: talk.chat.and_then(|chat| chat.ids.first().copied()),
            message,
        };
        self.messages.json_line(&record)
    }

    fn end(&mut self, _: &mut Target, _: &Talk<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Target) -> Result<(), Error> {
        self.chats.finish()?;
        self.messages.finish()
    }
}
