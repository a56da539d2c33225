//! Reads the chats of WhatsApp. Conversations and messages have the types of [`messages`], so that
//! they are exported and searched alike.
//!
//! The database is ChatStorage.sqlite in AppDomainGroup-group.net.whatsapp.WhatsApp.shared, which
//! is absent while WhatsApp's own encrypted backup is on. Its tables are described by the project
//! WhatsApp-Chat-Exporter (Whatsapp_Chat_Exporter/ios_handler.py, MIT).
//!
//! ```text
//! ZWACHATSESSION       a conversation: ZSESSIONTYPE 0 with one person, 1 a group, 3 the status
//! ZWAMESSAGE           a message or event: ZMESSAGETYPE says what it is
//! ZWAMEDIAITEM         the file, place or preview of a message; ZMETADATA names the message it
//! answers ZWAGROUPMEMBER       the members of groups Message/Media/…      the files
//! ```
//!
//! [`messages`]: crate::content::messages

mod people;
mod rows;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use self::people::People;
use crate::content::database::Database;
use crate::content::messages::{Chat, Handle, Message, Period, Quote, Which};
use crate::content::{Error, Kind, value};
use crate::reader::backup::Backup;
use crate::reader::paths::Paths;

/// The domain of the databases and of the files.
pub(crate) const DOMAIN: &str = "AppDomainGroup-group.net.whatsapp.WhatsApp.shared";
const PATH: &str = "ChatStorage.sqlite";
/// The folder of the files.
const FILES: &str = "Message";
/// The name of the service of all messages.
const SERVICE: &str = "WhatsApp";
/// The most rows of a table that are remembered, at some 16 bytes each. A crafted database could
/// have any number.
const ROWS_MAX: usize = 4 << 20;
/// The most characters of a message that a reply quotes.
const QUOTE_MAX: usize = 200;
/// The years in which WhatsApp can have sent messages: it began in 2009.
pub(crate) const YEARS: std::ops::RangeInclusive<i16> = 2009..=2100;
/// The numbers of `ZSESSIONTYPE`.
const GROUP: i64 = 1;
const STATUS: i64 = 3;

/// The chats of an open backup.
pub struct WhatsApp {
    db: Database,
    /// The query for messages, up to its condition.
    sql: String,
    chats: Vec<Chat>,
    /// The members of groups, by their rows.
    members: HashMap<i64, Handle>,
    people: People,
    /// The hash of the identifier of a message, and its row; sorted.
    guids: Vec<(u64, i64)>,
    hasher: RandomState,
    files: Paths,
    damage: Vec<Error>,
}

impl WhatsApp {
    /// Opens the chats of a backup.
    pub fn open(backup: &Backup) -> Result<WhatsApp, Error> {
        let db = Database::open(backup, DOMAIN, PATH)?.ok_or(Error::Absent(Kind::WhatsApp))?;
        let sql = rows::query(&db)?;
        db.needed("ZWACHATSESSION", &["Z_PK", "ZCONTACTJID"])?;
        let mut damage = Vec::new();
        let mut whatsapp = WhatsApp {
            people: People::of(&db, backup, &mut damage),
            db,
            sql,
            chats: Vec::new(),
            members: HashMap::new(),
            guids: Vec::new(),
            hasher: RandomState::new(),
            files: Paths::below(backup, DOMAIN, FILES)?,
            damage,
        };
        let read = whatsapp.read_chats();
        whatsapp.damage.extend(read.err());
        let read = whatsapp.read_guids();
        whatsapp.damage.extend(read.err());
        whatsapp.guids.sort_unstable();
        Ok(whatsapp)
    }

    /// Returns the reasons that conversations or quotes are missing, if the database is damaged.
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// Returns the number of messages and events.
    pub fn count(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM ZWAMESSAGE";
        let count = self.db.connection().query_row(sql, [], |row| row.get(0));
        let count: i64 = count.map_err(|e| self.db.failed(e))?;
        Ok(count.unsigned_abs())
    }

    /// Returns all conversations.
    pub fn chats(&self) -> &[Chat] {
        &self.chats
    }

    /// Calls `each` for the messages of a set, oldest first, until it returns false.
    pub fn each(
        &self,
        which: Which<'_>,
        period: &Period,
        each: impl FnMut(Message) -> bool,
    ) -> Result<(), Error> {
        self.each_of(which, period, "", each)
    }

    /// Returns the messages among `take` after the first `skip` of a set, oldest first.
    #[cfg(feature = "web")]
    pub(crate) fn window(
        &self,
        which: Which<'_>,
        skip: u64,
        take: u64,
    ) -> Result<Vec<Message>, Error> {
        self.db.renew();
        let mut messages = Vec::new();
        let part = format!(" LIMIT {take} OFFSET {skip}");
        self.each_of(which, &Period::default(), &part, |message| {
            messages.push(message);
            true
        })?;
        Ok(messages)
    }

    /// Returns the number of messages of a set, and the time of the last one.
    #[cfg(feature = "web")]
    pub(crate) fn extent(
        &self,
        which: Which<'_>,
    ) -> Result<(u64, Option<crate::content::Time>), Error> {
        self.db.renew();
        let condition = self.condition(which);
        let sql =
            format!("SELECT count(*), max(m.ZMESSAGEDATE) FROM ZWAMESSAGE m WHERE {condition}");
        let mut extent = (0, None);
        self.db.rows(&sql, |row| {
            let count = value::integer(row, 0).unwrap_or(0);
            extent = (count.unsigned_abs(), value::time(row, 1));
            false
        })?;
        Ok(extent)
    }

    /// Returns the condition of SQL for the messages of a set.
    fn condition(&self, which: Which<'_>) -> String {
        match which {
            Which::Of(chat) => {
                let ids: Vec<String> = chat.ids.iter().map(i64::to_string).collect();
                format!("m.ZCHATSESSION IN ({})", ids.join(", "))
            }
            Which::WithoutChat => {
                let known: Vec<String> = self
                    .chats
                    .iter()
                    .flat_map(|chat| &chat.ids)
                    .map(i64::to_string)
                    .collect();
                format!(
                    "m.ZCHATSESSION IS NULL OR m.ZCHATSESSION NOT IN ({})",
                    known.join(", ")
                )
            }
        }
    }

    fn each_of(
        &self,
        which: Which<'_>,
        period: &Period,
        part: &str,
        mut each: impl FnMut(Message) -> bool,
    ) -> Result<(), Error> {
        let only_other = match which {
            Which::Of(chat) if !chat.is_group => chat.participants.first(),
            _ => None,
        };
        let failed = |e| self.db.failed(e);
        let by_row = format!("{} WHERE m.Z_PK = ?1", self.sql);
        let mut quoted = self.db.connection().prepare(&by_row).map_err(failed)?;
        let sql = format!(
            "{} WHERE {} ORDER BY m.ZMESSAGEDATE, m.Z_PK{part}",
            self.sql,
            self.condition(which)
        );
        self.db.rows(&sql, |row| {
            let mut message = self.message(row);
            if !period.has(message.time) {
                return true;
            }
            if !message.from_me && message.sender.is_none() {
                message.sender = only_other.cloned();
            }
            if let Some(reply) = &mut message.reply_to {
                let rows = self.rows_of(&reply.guid);
                reply.quote = rows.into_iter().find_map(|id| {
                    let read = quoted.query_row([id], |row| Ok(self.message(row)));
                    let message = read.ok().filter(|message| message.guid == reply.guid)?;
                    Some(Quote {
                        from_me: message.from_me,
                        sender: message.sender.or_else(|| only_other.cloned()),
                        text: message
                            .text
                            .map(|text| text.chars().take(QUOTE_MAX).collect()),
                    })
                });
            }
            each(message)
        })
    }

    fn message(&self, row: &rusqlite::Row<'_>) -> Message {
        rows::message(row, &self.people, &self.members, &self.files)
    }

    /// Returns the rows that may have this identifier.
    fn rows_of(&self, guid: &str) -> Vec<i64> {
        let hash = self.hasher.hash_one(guid);
        let first = self.guids.partition_point(|(other, _)| *other < hash);
        let same = self.guids[first..].iter();
        let same = same.take_while(|(other, _)| *other == hash);
        same.map(|(_, row)| *row).take(8).collect()
    }

    fn read_chats(&mut self) -> Result<(), Error> {
        let table = self.db.table("ZWAGROUPMEMBER")?;
        let mut of_chats: HashMap<i64, Vec<Handle>> = HashMap::new();
        if table.has("ZMEMBERJID") {
            let sql = table.select(&[
                "Z_PK",
                "ZMEMBERJID",
                "ZCONTACTNAME",
                "ZFIRSTNAME",
                "ZCHATSESSION",
                "ZISACTIVE",
            ]);
            let mut count = 0;
            self.db.rows(&sql, |row| {
                let text = |column| value::words(row, column);
                if let (Some(id), Some(jid)) = (value::integer(row, 0), text(1)) {
                    let member = self.people.handle(&jid, text(2).or_else(|| text(3)));
                    let is_active = value::integer(row, 5).is_none_or(|active| active != 0);
                    if let Some(chat) = value::integer(row, 4).filter(|_| is_active) {
                        let members = of_chats.entry(chat).or_default();
                        if !members.contains(&member) {
                            members.push(member.clone());
                        }
                    }
                    self.members.insert(id, member);
                }
                count += 1;
                count < ROWS_MAX / 8
            })?;
        }
        let table = self.db.table("ZWACHATSESSION")?;
        let columns = ["Z_PK", "ZCONTACTJID", "ZPARTNERNAME", "ZSESSIONTYPE"];
        let sql = format!("{} ORDER BY t.Z_PK", table.select(&columns));
        // Conversations with one person, by address: a number and a hidden identity can be one.
        let mut singles: HashMap<String, usize> = HashMap::new();
        let mut chats: Vec<Chat> = Vec::new();
        self.db.rows(&sql, |row| {
            let (Some(id), Some(jid)) = (value::integer(row, 0), value::words(row, 1)) else {
                return true;
            };
            let partner = value::words(row, 2);
            let kind = value::integer(row, 3).unwrap_or_default();
            let is_group = kind == GROUP || jid.ends_with("@g.us");
            let is_single = !is_group && kind != STATUS && !jid.ends_with("@broadcast");
            let mut chat = Chat {
                ids: vec![id],
                guids: vec![jid.clone()],
                identifier: Some(jid.clone()),
                name: partner.clone(),
                is_group: !is_single,
                participants: of_chats.remove(&id).unwrap_or_default(),
                services: vec![SERVICE.to_owned()],
            };
            if kind == STATUS {
                chat.name = Some("Status".to_owned());
            }
            if is_single {
                let other = self.people.handle(&jid, partner);
                chat.identifier = Some(other.address.clone());
                if let Some(at) = singles.get(&other.address) {
                    let known: &mut Chat = &mut chats[*at];
                    known.ids.push(id);
                    known.guids.push(jid);
                    return true;
                }
                singles.insert(other.address.clone(), chats.len());
                chat.name = None;
                chat.participants = vec![other];
            }
            chats.push(chat);
            chats.len() < ROWS_MAX / 8
        })?;
        self.chats = chats;
        Ok(())
    }

    fn read_guids(&mut self) -> Result<(), Error> {
        let table = self.db.table("ZWAMESSAGE")?;
        let sql = table.select(&["Z_PK", "ZSTANZAID"]);
        self.db.rows(&sql, |row| {
            if let (Some(id), Some(guid)) = (value::integer(row, 0), value::words(row, 1)) {
                self.guids.push((self.hasher.hash_one(guid.as_str()), id));
            }
            self.guids.len() < ROWS_MAX
        })
    }
}
