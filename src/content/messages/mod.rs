//! Reads the messages of a backup: conversations, and the messages of each one in their order.
//!
//! The database is HomeDomain/Library/SMS/sms.db. Its tables are described by the projects
//! ios-backup-parser (docs/schemas/messages.md) and iLEAPP (scripts/artifacts/sms.py), both MIT.
//! Columns that came after iOS 9 may be absent.
//!
//! ```text
//! message    a row for each message, reaction and event
//! chat       a conversation; chat_handle_join: its members; chat_message_join: its messages
//! chat_recoverable_message_join   messages that were deleted within some 30 days (iOS 16)
//! handle     an address: a number or a mail address
//! attachment, message_attachment_join
//! ```

mod body;
mod chats;
mod find;
mod payload;
mod reactions;
mod record;
mod rows;
mod summary;
#[cfg(feature = "web")]
mod window;

pub(crate) use find::count;
pub use record::{
    AppMessage, Attachment, Chat, Edit, Event, Handle, LinkPreview, Look, LostReaction, Message,
    Part, Presence, Quote, Reaction, ReactionKind, ReactionState, Reply, Style, Target, Version,
};

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use rusqlite::types::ValueRef;

use self::rows::{OpenRows, Row, Rows};
use crate::content::contacts::Region;
use crate::content::database::Database;
use crate::content::{Error, Kind, Time, value};
use crate::reader::backup::Backup;

const DOMAIN: &str = "HomeDomain";
const PATH: &str = "Library/SMS/sms.db";
/// The most rows of a table that are remembered: 16 bytes for each reaction and attachment. A
/// crafted database could have any number.
const ROWS_MAX: usize = 4 << 20;
/// The most characters of a message that a reply quotes.
const QUOTE_MAX: usize = 200;
/// The years in which a phone can have sent messages: the first iPhone is from 2007.
pub(crate) const YEARS: std::ops::RangeInclusive<i16> = 2007..=2100;

/// The messages of an open backup.
pub struct Messages {
    db: Database,
    rows: Rows,
    handles: HashMap<i64, Handle>,
    /// The hash of the identifier of a message, and a row that reacts to it; sorted. They are read
    /// when they are first needed.
    reactions: OnceCell<Vec<(u64, i64)>>,
    hasher: RandomState,
    /// True if the database has a table of recently deleted messages.
    has_deleted: bool,
    /// The parts of the database that cannot be read.
    damage: Vec<Error>,
}

/// A period: from `since`, up to but not including `until`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// The beginning.
    pub since: Option<Time>,
    /// The end.
    pub until: Option<Time>,
}

impl Period {
    /// Returns true if the period includes the time. A message without a time is only in a period
    /// without limits.
    pub fn has(&self, time: Option<Time>) -> bool {
        match time {
            Some(time) => {
                self.since.is_none_or(|since| time >= since)
                    && self.until.is_none_or(|until| time < until)
            }
            None => self.since.is_none() && self.until.is_none(),
        }
    }
}

/// A set of messages to read.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Messages of a conversation.
    Of(&'a Chat),
    /// Messages that belong to no conversation.
    WithoutChat,
}

/// A row of a set, in its order.
struct Ordered {
    id: i64,
    time: Option<Time>,
    /// The time of its deletion, if it was deleted.
    deleted: Option<Option<Time>>,
}

impl Ordered {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Ordered> {
        Ok(Ordered {
            id: row.get(0)?,
            time: value::time(row, 1),
            deleted: match row.get_ref(2)? {
                ValueRef::Null => None,
                when => Some(Time::since_2001(when)),
            },
        })
    }
}

impl Messages {
    /// Opens the messages of a backup.
    pub fn open(backup: &Backup) -> Result<Messages, Error> {
        let mut messages = Messages::open_with(backup, Some(backup))?;
        let mut found = Vec::new();
        if let Err(e) = messages.find_reactions(&mut found) {
            messages.damage.push(e);
        }
        found.sort_unstable();
        messages.reactions = found.into();
        Ok(messages)
    }

    /// Opens the messages of a backup. Without `files`, an attachment counts as in the backup if
    /// the database names its file.
    fn open_with(backup: &Backup, files: Option<&Backup>) -> Result<Messages, Error> {
        let db = Database::open(backup, DOMAIN, PATH)?.ok_or(Error::Absent(Kind::Messages))?;
        let mut damage = Vec::new();
        let rows = Rows::of(&db, files, &mut damage)?;
        let handles = chats::handles(&db)?;
        let has_deleted = db.table("chat_recoverable_message_join")?.has("message_id");
        Ok(Messages {
            db,
            rows,
            handles,
            reactions: OnceCell::new(),
            hasher: RandomState::new(),
            has_deleted,
            damage,
        })
    }

    /// Returns the reasons that reactions or attachments are missing, if the database is damaged.
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// Returns the number of rows: messages, reactions and events.
    pub fn count(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM message";
        let count = self.db.connection().query_row(sql, [], |row| row.get(0));
        let count: i64 = count.map_err(|e| self.db.failed(e))?;
        Ok(count.unsigned_abs())
    }

    /// Returns all conversations, in the order in which they began on the phone.
    pub fn chats(&self) -> Result<Vec<Chat>, Error> {
        chats::chats(&self.db, &self.handles)
    }

    /// Names the people, by a function that returns the name for an address, if it is known.
    pub fn name_people(&mut self, name: impl Fn(&Handle) -> Option<String>) {
        for handle in self.handles.values_mut() {
            handle.name = name(handle);
        }
    }

    /// Returns the country of the owner's number, or that of most other numbers: it is the country
    /// of numbers without a country code.
    pub fn home(&self) -> Option<Region> {
        let sql = "SELECT account_login FROM chat WHERE account_login LIKE 'P:+%'
                   GROUP BY account_login ORDER BY count(*) DESC LIMIT 1";
        let owner = self.db.connection().query_row(sql, [], |row| row.get(0));
        // A database without the column names no owner.
        let owner: Option<String> = owner.ok();
        let of_owner = owner.and_then(|owner| Region::of_number(owner.strip_prefix("P:")?));
        of_owner.or_else(|| {
            let mut counts: HashMap<&str, u32> = HashMap::new();
            for handle in self.handles.values() {
                if let Some(country) = &handle.country {
                    *counts.entry(country).or_default() += 1;
                }
            }
            // Of two countries with the same count, the first in the alphabet.
            let most = counts
                .into_iter()
                .max_by_key(|(name, count)| (*count, Reverse(*name)));
            most.and_then(|(country, _)| Region::of_country(country))
        })
    }

    /// Returns the total size of all attachments, as the database says.
    pub fn attachment_bytes(&self) -> u64 {
        let sql = "SELECT sum(total_bytes) FROM attachment WHERE total_bytes > 0";
        let sum = self.db.connection().query_row(sql, [], |row| row.get(0));
        // Used for the progress only; a database without the column has no sum.
        sum.map_or(0, |sum: i64| sum.unsigned_abs())
    }

    /// Calls `each` for the messages of a set, oldest first, until it returns false. Reactions are
    /// with the messages that they belong to. A message whose row cannot be read is marked as
    /// undecodable.
    pub fn each(
        &self,
        which: Which<'_>,
        period: &Period,
        each: impl FnMut(Message) -> bool,
    ) -> Result<(), Error> {
        self.each_of(which, period, each)
    }

    fn each_of(
        &self,
        which: Which<'_>,
        period: &Period,
        mut each: impl FnMut(Message) -> bool,
    ) -> Result<(), Error> {
        let failed = |e| self.db.failed(e);
        let mut rows = self.rows.open(&self.db, &self.handles)?;
        let sql = self.order_of(which);
        let mut statement = self.db.connection().prepare(&sql).map_err(failed)?;
        let mut found = statement.query([]).map_err(failed)?;
        let mut last = None;
        while let Some(row) = found.next().map_err(failed)? {
            let place = Ordered::of(row).map_err(failed)?;
            // A message can be in two chats of one conversation.
            if last == Some(place.id) || !period.has(place.time) {
                continue;
            }
            last = Some(place.id);
            if let Some(message) = self.message(which, &place, &mut rows)
                && !each(message)
            {
                break;
            }
        }
        Ok(())
    }

    /// Reads a message of a set. Returns `None` for a reaction whose message exists, and for a row
    /// that does not exist.
    fn message(
        &self,
        which: Which<'_>,
        place: &Ordered,
        rows: &mut OpenRows<'_>,
    ) -> Option<Message> {
        let only_other = match which {
            Which::Of(chat) if !chat.is_group => chat.participants.first(),
            _ => None,
        };
        let message = match rows.message(place.id) {
            Ok(Some(row)) => {
                let mut message = self.complete(row, rows)?;
                if !message.from_me && message.sender.is_none() {
                    message.sender = only_other.cloned();
                }
                message
            }
            Ok(None) => return None,
            Err(why) => Message {
                id: place.id,
                time: place.time,
                undecodable: Some(format!("its row cannot be read: {why}")),
                ..Message::default()
            },
        };
        Some(Message {
            deleted: place.deleted.is_some(),
            deleted_at: place.deleted.flatten(),
            ..message
        })
    }

    /// Adds to a message its reactions and the message that it answers. Returns `None` for a
    /// reaction whose message exists, since that message shows it.
    fn complete(&self, row: Row, rows: &mut OpenRows<'_>) -> Option<Message> {
        let mut message = row.message;
        if let Some(change) = row.change {
            if rows.id_of(&change.target.guid).is_some() {
                return None;
            }
            message.reaction_to = Some(Box::new(LostReaction {
                target: change.target,
                takes_back: change.takes_back,
                reaction: change.reaction,
            }));
            return Some(message);
        }
        if let Some(reply) = &mut message.reply_to {
            let id = rows.id_of(&reply.guid);
            let quoted = id.and_then(|id| rows.message(id).ok().flatten());
            reply.quote = quoted.map(|row| Quote {
                from_me: row.message.from_me,
                sender: row.message.sender,
                text: row
                    .message
                    .text
                    .map(|text| text.chars().take(QUOTE_MAX).collect()),
            });
        }
        let hash = self.hasher.hash_one(&message.guid);
        let reactions = self.reactions.get_or_init(|| {
            // Reactions that cannot be read are missing; the messages count.
            let mut found = Vec::new();
            self.find_reactions(&mut found).ok();
            found.sort_unstable();
            found
        });
        let first = reactions.partition_point(|(target, _)| *target < hash);
        let changed = reactions[first..]
            .iter()
            .take_while(|(target, _)| *target == hash);
        let mut changes = Vec::new();
        for (_, id) in changed {
            // A reaction that cannot be read is missing here; the message counts.
            if let Ok(Some(row)) = rows.message(*id)
                && let Some(change) = row.change
                && change.target.guid == message.guid
            {
                changes.push(change);
            }
        }
        changes.sort_by_key(|change| change.reaction.time);
        message.reactions = reactions::settle(changes);
        Some(message)
    }

    /// Returns a query for the rows of a set, their dates, and the dates of their deletion.
    fn order_of(&self, which: Which<'_>) -> String {
        let deleted = |select: String| {
            if self.has_deleted {
                format!(" UNION ALL {select}")
            } else {
                String::new()
            }
        };
        match which {
            Which::Of(chat) => {
                let ids: Vec<String> = chat.ids.iter().map(i64::to_string).collect();
                let ids = ids.join(", ");
                let join = |table, date| {
                    format!(
                        "SELECT m.ROWID, m.date, {date} FROM {table} j
                         JOIN message m ON m.ROWID = j.message_id WHERE j.chat_id IN ({ids})"
                    )
                };
                format!(
                    "{}{} ORDER BY 2, 1, 3",
                    join("chat_message_join", "NULL"),
                    deleted(join(
                        "chat_recoverable_message_join",
                        "coalesce(j.delete_date, 0)"
                    ))
                )
            }
            Which::WithoutChat => {
                let of =
                    |table| format!("SELECT message_id FROM {table} WHERE message_id IS NOT NULL");
                format!(
                    "SELECT m.ROWID, m.date, NULL FROM message m WHERE m.ROWID NOT IN ({}{})
                     ORDER BY 2, 1",
                    of("chat_message_join"),
                    deleted(of("chat_recoverable_message_join"))
                )
            }
        }
    }

    fn find_reactions(&self, found: &mut Vec<(u64, i64)>) -> Result<(), Error> {
        let failed = |e| self.db.failed(e);
        let Some(sql) = self.rows.reactions_sql() else {
            return Ok(());
        };
        let mut statement = self.db.connection().prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (Some(id), Some(target)) = (value::integer(row, 0), value::text(row, 1)) else {
                continue;
            };
            let target = reactions::target_of(&target);
            found.push((self.hasher.hash_one(&target.guid), id));
            if found.len() == ROWS_MAX {
                break;
            }
        }
        Ok(())
    }
}
