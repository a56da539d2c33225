//! Reads single rows of the tables of messages and attachments.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Statement};

use crate::content::database::{self, Database, columns};
use crate::content::messages::payload::{self, Payload};
use crate::content::messages::reactions::{self, Change};
use crate::content::messages::record::{
    Attachment, Event, Handle, Message, Presence, Reaction, ReactionState, Reply,
};
use crate::content::messages::summary::Summary;
use crate::content::messages::{ROWS_MAX, body};
use crate::content::{Error, value};
use crate::reader::backup::Backup;
use crate::reader::paths::{self, Paths};

columns! {
    Id = "ROWID",
    Guid = "guid",
    Text = "text",
    Body = "attributedBody",
    Handle = "handle_id",
    Subject = "subject",
    Service = "service",
    ErrorNumber = "error",
    Date = "date",
    Read = "date_read",
    Delivered = "date_delivered",
    FromMe = "is_from_me",
    ItemType = "item_type",
    OtherHandle = "other_handle",
    GroupTitle = "group_title",
    GroupAction = "group_action_type",
    TargetGuid = "associated_message_guid",
    TargetType = "associated_message_type",
    TargetEmoji = "associated_message_emoji",
    Balloon = "balloon_bundle_id",
    Payload = "payload_data",
    Effect = "expressive_send_style_id",
    Summary = "message_summary_info",
    Edited = "date_edited",
    Retracted = "date_retracted",
    Originator = "thread_originator_guid",
    OriginatorPart = "thread_originator_part",
}

const ATTACHMENT_COLUMNS: &[&str] = &[
    "guid",
    "filename",
    "uti",
    "mime_type",
    "transfer_name",
    "total_bytes",
    "is_sticker",
    "emoji_image_short_description",
];
/// The ending of files that belong to the payload of a message and are no attachments to show.
const OF_PAYLOADS: &str = ".pluginPayloadAttachment";

/// The queries for single rows, and the facts that they need.
pub(super) struct Rows {
    message: String,
    attachment: String,
    has_reactions: bool,
    /// Messages and their attachments, sorted.
    attachments: Vec<(i64, i64)>,
    /// The files of attachments that the backup has; `None` if the caller looks for each itself.
    files: Option<Paths>,
}

/// A row of the table of messages.
pub(super) struct Row {
    pub(super) message: Message,
    /// The change of a reaction that the row is.
    pub(super) change: Option<Change>,
}

impl Rows {
    /// Prepares to read rows. A table of attachments that cannot be read is added to `damage`.
    pub(super) fn of(
        db: &Database,
        backup: Option<&Backup>,
        damage: &mut Vec<Error>,
    ) -> Result<Rows, Error> {
        let message = db.needed("message", &["guid", "text", "date", "is_from_me"])?;
        db.needed("chat_message_join", &["chat_id", "message_id"])?;
        let attachment = db.table("attachment")?;
        let join = db.table("message_attachment_join")?;
        let mut attachments = Vec::new();
        if attachment.exists() && join.has("attachment_id") {
            let sql = join.select(&["message_id", "attachment_id"]);
            damage.extend(joined(db, &sql, &mut attachments).err());
            attachments.sort_unstable();
            attachments.dedup();
        }
        let files = match backup {
            None => None,
            Some(_) if attachments.is_empty() => Some(Paths::default()),
            Some(backup) => Some(Paths::below(backup, paths::MESSAGES.0, paths::MESSAGES.1)?),
        };
        Ok(Rows {
            message: format!("{} WHERE t.ROWID = ?1", message.select(COLUMNS)),
            attachment: format!(
                "{} WHERE t.ROWID = ?1",
                attachment.select(ATTACHMENT_COLUMNS)
            ),
            has_reactions: message.has("associated_message_type")
                && message.has("associated_message_guid"),
            attachments,
            files,
        })
    }

    /// Returns a query for the rows that react to messages, and their targets.
    pub(super) fn reactions_sql(&self) -> Option<String> {
        self.has_reactions.then(|| {
            // The phone's databases have an index of these identifiers. The condition on them lets
            // SQLite use it, so that it does not read all other messages.
            "SELECT ROWID, associated_message_guid FROM message
             WHERE associated_message_guid > '' AND associated_message_type BETWEEN 1000 AND 3999"
                .to_owned()
        })
    }

    /// Returns the messages that have one of these attachments, which are sorted.
    pub(super) fn with_attachments(&self, named: &[i64]) -> impl Iterator<Item = i64> {
        let joined = self.attachments.iter();
        joined.filter_map(|(message, attachment)| {
            named.binary_search(attachment).is_ok().then_some(*message)
        })
    }

    /// Prepares the queries.
    pub(super) fn open<'a>(
        &'a self,
        db: &'a Database,
        handles: &'a HashMap<i64, Handle>,
    ) -> Result<OpenRows<'a>, Error> {
        let prepare = |sql| db.connection().prepare(sql).map_err(|e| db.failed(e));
        Ok(OpenRows {
            rows: self,
            handles,
            message: prepare(&self.message)?,
            id_of: prepare("SELECT ROWID FROM message WHERE guid = ?1")?,
            attachment: if self.attachments.is_empty() {
                None
            } else {
                Some(prepare(&self.attachment)?)
            },
        })
    }

    fn attachment_of(&self, row: &rusqlite::Row<'_>) -> Option<Attachment> {
        let file = value::words(row, 1);
        let name = value::words(row, 4);
        let ends = |name: &Option<String>| name.as_ref().is_some_and(|n| n.ends_with(OF_PAYLOADS));
        if ends(&file) || ends(&name) {
            return None;
        }
        let path = file.as_deref().and_then(paths::of_attachment);
        let path = path.filter(|path| self.files.as_ref().is_none_or(|files| files.have(path)));
        let last = |file: &String| file.rsplit('/').next().map(str::to_owned);
        Some(Attachment {
            guid: value::text(row, 0).unwrap_or_default(),
            name: name.or_else(|| file.as_ref().and_then(last)),
            mime_type: value::words(row, 3),
            uti: value::words(row, 2),
            bytes: value::integer(row, 5).and_then(|bytes| u64::try_from(bytes).ok()),
            file: match (&file, &path) {
                (_, Some(_)) => Presence::InBackup,
                (None, _) => Presence::OnlyInIcloud,
                _ => Presence::Missing,
            },
            path,
            exported: None,
            sticker: value::flag(row, 6),
            description: value::words(row, 7),
            transcription: None,
        })
    }
}

/// Prepared queries for single rows.
pub(super) struct OpenRows<'a> {
    rows: &'a Rows,
    handles: &'a HashMap<i64, Handle>,
    message: Statement<'a>,
    id_of: Statement<'a>,
    attachment: Option<Statement<'a>>,
}

impl OpenRows<'_> {
    /// Finds the row of a message by its identifier. A query that fails finds none.
    pub(super) fn id_of(&mut self, guid: &str) -> Option<i64> {
        self.id_of.query_row([guid], |row| row.get(0)).ok()
    }

    /// Reads a row; `None` if it does not exist. The error says why it cannot be read.
    pub(super) fn message(&mut self, id: i64) -> Result<Option<Row>, String> {
        let attachments = self.attachments(id);
        let read = |row: &rusqlite::Row<'_>| Ok(row_of(row, attachments, self.handles));
        let found = self.message.query_row([id], read).optional();
        found.map_err(|e| database::reason(&e))
    }

    /// Reads the attachments of a message that people see. Rows that cannot be read are left out:
    /// the text of the message is worth more.
    fn attachments(&mut self, message: i64) -> Vec<Attachment> {
        let rows = self.rows;
        let Some(statement) = &mut self.attachment else {
            return Vec::new();
        };
        let first = rows.attachments.partition_point(|(of, _)| *of < message);
        let joined = rows.attachments[first..]
            .iter()
            .take_while(|(of, _)| *of == message);
        let mut found = Vec::new();
        for (_, id) in joined {
            let read = statement.query_row([id], |row| Ok(rows.attachment_of(row)));
            found.extend(read.ok().flatten());
        }
        found
    }
}

/// Reads the pairs of a table that joins two others.
fn joined(db: &Database, sql: &str, pairs: &mut Vec<(i64, i64)>) -> Result<(), Error> {
    let failed = |e| db.failed(e);
    let mut statement = db.connection().prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        pairs.extend(value::integer(row, 0).zip(value::integer(row, 1)));
        if pairs.len() == ROWS_MAX {
            break;
        }
    }
    Ok(())
}

fn row_of(
    row: &rusqlite::Row<'_>,
    attachments: Vec<Attachment>,
    handles: &HashMap<i64, Handle>,
) -> Row {
    let text = |column: Column| value::words(row, column as usize);
    let number = |column: Column| value::integer(row, column as usize);
    let time = |column: Column| value::time(row, column as usize);
    let bytes = |column: Column| value::bytes(row, column as usize);
    let handle = |column| handles.get(&number(column)?).cloned();
    let from_me = value::flag(row, Column::FromMe as usize);
    let mut message = Message {
        id: number(Column::Id).unwrap_or_default(),
        guid: text(Column::Guid).unwrap_or_default(),
        time: time(Column::Date),
        from_me,
        sender: if from_me {
            None
        } else {
            handle(Column::Handle)
        },
        service: text(Column::Service),
        delivered: time(Column::Delivered),
        read: time(Column::Read),
        ..Message::default()
    };
    if let Some(item_type) = number(Column::ItemType).filter(|number| *number != 0) {
        let action = number(Column::GroupAction).unwrap_or_default();
        message.event = Some(match (item_type, action) {
            (1, 0) => Event::Added {
                person: handle(Column::OtherHandle),
            },
            (1, 1) => Event::Removed {
                person: handle(Column::OtherHandle),
            },
            (2, _) => Event::Renamed {
                name: text(Column::GroupTitle),
            },
            (3, 0) => Event::Left,
            (3, 1) => Event::PhotoSet,
            (3, 2) => Event::PhotoRemoved,
            (4, _) => Event::LocationShared,
            (5, _) => Event::AudioKept,
            _ => Event::Unknown { item_type },
        });
        let change = None;
        return Row { message, change };
    }
    if let Some(target) = text(Column::TargetGuid)
        && let Some((kind, takes_back)) = number(Column::TargetType).and_then(reactions::kind_of)
    {
        let target = reactions::target_of(&target);
        // The row describes the reaction in words, which are shown if its message is gone.
        let words = body::decode(text(Column::Text), bytes(Column::Body), Vec::new());
        message.text = words.text;
        let reaction = Reaction {
            reaction: kind,
            emoji: text(Column::TargetEmoji),
            sticker: attachments.into_iter().next(),
            from_me,
            sender: message.sender.clone(),
            time: message.time,
            part: target.part,
            state: ReactionState::Current,
        };
        let change = Some(Change {
            target,
            takes_back,
            reaction,
        });
        return Row { message, change };
    }
    let decoded = body::decode(text(Column::Text), bytes(Column::Body), attachments);
    message.text = decoded.text;
    message.parts = decoded.parts;
    message.undecodable = decoded.undecodable;
    message.subject = text(Column::Subject);
    message.error = number(Column::ErrorNumber).filter(|number| *number != 0);
    message.effect = text(Column::Effect);
    message.reply_to = text(Column::Originator).map(|guid| Reply {
        guid,
        // "PART:START:LENGTH"
        part: text(Column::OriginatorPart).and_then(|part| part.split(':').next()?.parse().ok()),
        quote: None,
    });
    if let Some(balloon) = text(Column::Balloon) {
        match payload::decode(&balloon, bytes(Column::Payload)) {
            Payload::Link(link) => message.link = Some(link),
            Payload::App(app) => message.app = Some(app),
        }
    }
    let is_changed = time(Column::Edited).is_some() || time(Column::Retracted).is_some();
    if is_changed {
        let summary = bytes(Column::Summary).map_or_else(Summary::default, Summary::parse);
        message.unsent = message.parts.is_empty()
            && message.undecodable.is_none()
            && message.link.is_none()
            && message.app.is_none();
        message.edits = summary.edits;
        message.unsent_parts = summary.unsent_parts;
    }
    Row {
        message,
        change: None,
    }
}
