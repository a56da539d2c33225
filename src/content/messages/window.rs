//! Reads a few messages out of the middle of a conversation, for pages that show some at a time.
//!
//! `chat_message_join` has the date of each message since iOS 11, and an index over chat and date.
//! Published dumps of sms.db and of chat.db of macOS have it as
//! `chat_message_join_idx_message_date_id_chat_id`. Where it is, no other message is read.

use rusqlite::OptionalExtension;

use crate::content::messages::{Chat, Message, Messages, Ordered, Which};
use crate::content::{Error, Time, value};
use crate::reader::backup::Backup;

/// Up to this number of rows in a database, all queries are fast.
const FEW: i64 = 50_000;

impl Messages {
    /// Counts the steps of queries from zero again, for a database that stays open for long.
    pub(crate) fn renew(&self) {
        self.db.renew();
    }

    /// Returns true if the database has so few messages that all queries are fast.
    pub(crate) fn are_few(&self) -> bool {
        let sql = "SELECT max(ROWID) FROM message";
        let last = self
            .db
            .connection()
            .query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        last.is_ok_and(|last| last.unwrap_or(0) <= FEW)
    }

    /// Opens the messages of a backup without a look at the files of their attachments and at the
    /// reactions, which takes long for many. An attachment counts as in the backup if the database
    /// names its file.
    pub(crate) fn open_quickly(backup: &Backup) -> Result<Messages, Error> {
        Messages::open_with(backup, None)
    }

    /// Returns the times of the last messages of conversations. A recently deleted message counts
    /// only in a conversation without others.
    pub(crate) fn lasts(&self, chats: &[Chat]) -> Result<Vec<Option<Time>>, Error> {
        let failed = |e| self.db.failed(e);
        let mut lasts = vec![None; chats.len()];
        let mut slow = Vec::new();
        if self.has_index()? {
            // Any text, which a damaged row can have, sorts behind all numbers.
            let edge = |order| {
                let sql = format!(
                    "SELECT message_date FROM chat_message_join
                     WHERE chat_id = ?1 AND message_date < '' ORDER BY message_date {order} LIMIT 1"
                );
                self.db.connection().prepare(&sql).map_err(failed)
            };
            let (mut first, mut last) = (edge("ASC")?, edge("DESC")?);
            for (at, chat) in chats.iter().enumerate() {
                for id in &chat.ids {
                    let is_dated = first.query_row([id], |row| Ok(value::integer(row, 0)));
                    match is_dated.optional().map_err(failed)? {
                        None => continue,
                        Some(date) if date.unwrap_or(0) <= 0 => slow.push(at),
                        Some(_) => {
                            let time = last.query_row([id], |row| Ok(value::time(row, 0)));
                            lasts[at] = lasts[at].max(time.map_err(failed)?);
                        }
                    }
                }
                if self.has_deleted {
                    slow.extend(lasts[at].is_none().then_some(at));
                }
            }
        } else {
            slow.extend(0..chats.len());
        }
        for at in slow {
            lasts[at] = self.last(Which::Of(&chats[at]))?;
        }
        Ok(lasts)
    }

    /// Returns the time of the last message of a set.
    pub(crate) fn last(&self, which: Which<'_>) -> Result<Option<Time>, Error> {
        let sql = format!("SELECT NULL, max(date) FROM ({})", self.named(which));
        let mut last = None;
        self.db.rows(&sql, |row| {
            last = value::time(row, 1);
            false
        })?;
        Ok(last)
    }

    /// Returns the number of rows of a set. Reactions and events are rows too.
    pub(crate) fn rows_of(&self, which: Which<'_>) -> Result<u64, Error> {
        let sql = match self.fast_order(which)? {
            Some(sql) => format!("SELECT count(*) FROM ({sql})"),
            // A message can be in two chats of one conversation.
            None => format!("SELECT count(DISTINCT id) FROM ({})", self.named(which)),
        };
        let mut count = 0;
        self.db.rows(&sql, |row| {
            count = value::integer(row, 0).unwrap_or(0).unsigned_abs();
            false
        })?;
        Ok(count)
    }

    /// Returns the messages among `take` rows after the first `skip` rows of a set that has `of`
    /// rows, oldest first.
    pub(crate) fn window(
        &self,
        which: Which<'_>,
        skip: u64,
        take: u64,
        of: u64,
    ) -> Result<Vec<Message>, Error> {
        // The rows of the second half are counted from the end.
        let is_reverse = skip > of / 2;
        let take = take.min(of.saturating_sub(skip));
        let (order, skip) = if is_reverse {
            ("2 DESC, 1 DESC", of - skip - take)
        } else {
            ("2, 1", skip)
        };
        let sql = match self.fast_order(which)? {
            Some(sql) => sql,
            None => format!(
                "SELECT id, date, max(gone) FROM ({}) GROUP BY id",
                self.named(which)
            ),
        };
        let mut places = Vec::new();
        self.db.rows(
            &format!("{sql} ORDER BY {order} LIMIT {take} OFFSET {skip}"),
            |row| {
                places.extend(Ordered::of(row));
                true
            },
        )?;
        if is_reverse {
            places.reverse();
        }
        let mut rows = self.rows.open(&self.db, &self.handles)?;
        let messages = places
            .iter()
            .filter_map(|place| self.message(which, place, &mut rows));
        Ok(messages.collect())
    }

    /// Returns the rows of a set as a table with the columns `id`, `date` and `gone`.
    fn named(&self, which: Which<'_>) -> String {
        format!(
            "WITH r(id, date, gone) AS ({}) SELECT * FROM r",
            self.order_of(which)
        )
    }

    /// Returns a query for the rows of a conversation that reads them in the order of their dates;
    /// `None` if the database has no dates beside the conversations.
    fn fast_order(&self, which: Which<'_>) -> Result<Option<String>, Error> {
        let Which::Of(chat) = which else {
            return Ok(None);
        };
        if !self.has_dates(chat)? {
            return Ok(None);
        }
        let mut parts: Vec<String> = (chat.ids.iter())
            .map(|id| {
                format!(
                    "SELECT message_id, message_date, NULL FROM chat_message_join WHERE chat_id = {id}"
                )
            })
            .collect();
        if self.has_deleted {
            let ids: Vec<String> = chat.ids.iter().map(i64::to_string).collect();
            parts.push(format!(
                "SELECT m.ROWID, m.date, coalesce(j.delete_date, 0) FROM chat_recoverable_message_join j
                 JOIN message m ON m.ROWID = j.message_id WHERE j.chat_id IN ({})",
                ids.join(", ")
            ));
        }
        Ok(Some(parts.join(" UNION ALL ")))
    }

    /// Returns true if the index of dates exists and all rows of the conversation have a date.
    fn has_dates(&self, chat: &Chat) -> Result<bool, Error> {
        if !self.has_index()? {
            return Ok(false);
        }
        let mut has_dates = true;
        for id in &chat.ids {
            let sql = format!(
                "SELECT message_date FROM chat_message_join WHERE chat_id = {id}
                 ORDER BY message_date LIMIT 1"
            );
            self.db.rows(&sql, |row| {
                has_dates &= value::integer(row, 0).unwrap_or(0) > 0;
                false
            })?;
        }
        Ok(has_dates)
    }

    /// Returns true if the dates of messages are in an index, by conversations.
    fn has_index(&self) -> Result<bool, Error> {
        if !self.db.table("chat_message_join")?.has("message_date") {
            return Ok(false);
        }
        let sql = "SELECT count(*) FROM pragma_index_list('chat_message_join') l
                   JOIN pragma_index_info(l.name) a ON a.seqno = 0 AND a.name = 'chat_id'
                   JOIN pragma_index_info(l.name) b ON b.seqno = 1 AND b.name = 'message_date'
                   WHERE l.partial = 0";
        let count = self.db.connection().query_row(sql, [], |row| row.get(0));
        let count: i64 = count.map_err(|e| self.db.failed(e))?;
        Ok(count > 0)
    }
}
