//! Finds messages by the bytes of their rows, without decoding the others.

use std::collections::HashMap;

use crate::content::counts::number;
use crate::content::database::Database;
use crate::content::messages::{DOMAIN, Message, Messages, PATH, ROWS_MAX, chats};
use crate::content::{Error, Kind, value};
use crate::reader::backup::Backup;

/// The columns whose bytes hold the texts of a message, as they are.
const TEXTS: &[&str] = &["text", "attributedBody", "subject", "message_summary_info"];
/// The column of link previews and other applications, which holds texts in UTF-16 too.
const PAYLOAD: &str = "payload_data";
/// The columns of attachments whose bytes hold what people read of them.
const NAMES: &[&str] = &["transfer_name", "filename", "emoji_image_short_description"];

/// Counts the messages and events of a backup, without reactions, and its conversations.
pub(crate) fn count(backup: &Backup) -> Result<(u64, u64), Error> {
    let db = Database::open(backup, DOMAIN, PATH)?.ok_or(Error::Absent(Kind::Messages))?;
    let table = db.needed("message", &["text"])?;
    let no_reactions = if table.has("associated_message_type") {
        " WHERE coalesce(associated_message_type, 0) NOT BETWEEN 1000 AND 3999"
    } else {
        ""
    };
    let messages = number(&db, &format!("SELECT count(*) FROM message{no_reactions}"))?;
    let chats = chats::chats(&db, &chats::handles(&db)?)?;
    Ok((messages, chats.len() as u64))
}

impl Messages {
    /// Calls `each` for the messages that have bytes which `may` admits, in the order of their
    /// rows, until it returns false. A message comes with the row of one of its chats, and without
    /// its reactions. Fails at the end if the database is damaged.
    pub(crate) fn each_that(
        &self,
        may: &dyn Fn(&[u8]) -> bool,
        mut each: impl FnMut(Message, Option<i64>) -> bool,
    ) -> Result<(), Error> {
        let mut ids = Vec::new();
        let scanned = self.scan(may, &mut ids);
        let scanned = scanned.and(self.scan_attachments(may, &mut ids));
        let chats = self.chats_of(&ids);
        let mut rows = self.rows.open(&self.db, &self.handles)?;
        for id in ids {
            // A row that cannot be read has no text to find.
            let Ok(Some(row)) = rows.message(id) else {
                continue;
            };
            // The text of a reaction is a description that its sender did not write.
            if row.change.is_some() {
                continue;
            }
            let chat = chats.as_ref().ok().and_then(|chats| chats.get(&id));
            if !each(row.message, chat.copied()) {
                return Ok(());
            }
        }
        scanned?;
        chats.map(drop)
    }

    fn scan(&self, may: &dyn Fn(&[u8]) -> bool, ids: &mut Vec<i64>) -> Result<(), Error> {
        let table = self.db.needed("message", &["text"])?;
        let columns = [&["ROWID"], TEXTS, &[PAYLOAD]].concat();
        let sql = format!("{} ORDER BY t.ROWID", table.select(&columns));
        let payload = columns.len() - 1;
        self.db.rows(&sql, |row| {
            let bytes = |column| value::bytes(row, column);
            let matches = bytes(payload).is_some()
                || may(&[])
                || (1..payload).any(|column| bytes(column).is_some_and(may));
            if matches {
                ids.extend(value::integer(row, 0));
            }
            ids.len() < ROWS_MAX
        })
    }

    /// Adds the messages with attachments whose names `may` admits, and sorts all.
    fn scan_attachments(
        &self,
        may: &dyn Fn(&[u8]) -> bool,
        ids: &mut Vec<i64>,
    ) -> Result<(), Error> {
        let table = self.db.table("attachment")?;
        // All messages are found without it.
        if may(&[]) || !table.exists() {
            return Ok(());
        }
        let mut named = Vec::new();
        let sql = table.select(&[&["ROWID"], NAMES].concat());
        let scanned = self.db.rows(&sql, |row| {
            let matches =
                (1..=NAMES.len()).any(|column| value::bytes(row, column).is_some_and(may));
            if matches {
                named.extend(value::integer(row, 0));
            }
            named.len() < ROWS_MAX
        });
        named.sort_unstable();
        ids.extend(self.rows.with_attachments(&named));
        ids.sort_unstable();
        ids.dedup();
        scanned
    }

    /// Returns a chat of each of these messages, which are sorted.
    fn chats_of(&self, ids: &[i64]) -> Result<HashMap<i64, i64>, Error> {
        let mut chats = HashMap::new();
        if ids.is_empty() {
            return Ok(chats);
        }
        for join in ["chat_message_join", "chat_recoverable_message_join"] {
            let table = self.db.table(join)?;
            if !table.has("message_id") || !table.has("chat_id") {
                continue;
            }
            self.db
                .rows(&table.select(&["message_id", "chat_id"]), |row| {
                    if let (Some(message), Some(chat)) =
                        (value::integer(row, 0), value::integer(row, 1))
                        && ids.binary_search(&message).is_ok()
                    {
                        chats.entry(message).or_insert(chat);
                    }
                    true
                })?;
        }
        Ok(chats)
    }
}
