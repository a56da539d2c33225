//! Counts the entries of all kinds of content, by SQL where the reader would take long.

use serde::Serialize;

use crate::content::calendar::{self, Calendar};
use crate::content::database::Database;
use crate::content::search::Skipped;
use crate::content::{
    Error, calls, contacts, items, messages, notes, photos, reminders, safari, voice_memos,
    voicemail, whatsapp,
};
use crate::reader::backup::Backup;

/// A number of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The name of one entry, such as "message".
    pub one: &'static str,
    /// The number of entries.
    pub count: u64,
    /// The number of those that are locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<u64>,
    /// The number of things that hold them, with the name of one: 412 conversations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<(u64, &'static str)>,
}

impl Count {
    pub(crate) fn of(one: &'static str, count: u64) -> Count {
        Count {
            one,
            count,
            locked: None,
            within: None,
        }
    }
}

/// The numbers of entries of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The numbers, of the kinds that the backup has.
    pub counts: Vec<Count>,
    /// The kinds whose databases cannot be read.
    pub not_counted: Vec<Skipped>,
}

/// Counts the entries of all kinds in a backup.
pub fn counts(backup: &Backup) -> Counts {
    let mut all = Counts::default();
    for (kind, count) in items::counters() {
        match count(backup) {
            Ok(counts) => all.counts.extend(counts),
            Err(Error::Absent(_) | Error::OnlyInEncrypted(_)) => {}
            Err(e) => all.not_counted.push(Skipped {
                kind,
                absent: false,
                why: e.to_string(),
            }),
        }
    }
    all
}

pub(super) fn of_messages(backup: &Backup) -> Result<Vec<Count>, Error> {
    let (messages, chats) = messages::count(backup)?;
    Ok(vec![Count {
        within: Some((chats, "conversation")),
        ..Count::of("message", messages)
    }])
}

pub(super) fn of_whatsapp(backup: &Backup) -> Result<Vec<Count>, Error> {
    let chats = whatsapp::WhatsApp::open(backup)?;
    Ok(vec![Count::of("WhatsApp message", chats.count()?)])
}

pub(super) fn of_contacts(backup: &Backup) -> Result<Vec<Count>, Error> {
    let number = contacts::Contacts::open(backup)?.people().len() as u64;
    Ok(vec![Count::of("contact", number)])
}

pub(super) fn of_notes(backup: &Backup) -> Result<Vec<Count>, Error> {
    let notes = notes::Notes::open(backup)?;
    let locked = notes.locked()?;
    Ok(vec![Count {
        locked: Some(locked).filter(|locked| *locked > 0),
        ..Count::of("note", notes.count())
    }])
}

pub(super) fn of_photos(backup: &Backup) -> Result<Vec<Count>, Error> {
    let (mut pictures, mut videos) = (0, 0);
    photos::Photos::open(backup)?.each(|photo| {
        // The phone counts without its album of deleted photos.
        let number = if photo.video {
            &mut videos
        } else {
            &mut pictures
        };
        *number += u64::from(!photo.deleted);
        true
    })?;
    Ok(vec![
        Count::of("photo", pictures),
        Count::of("video", videos),
    ])
}

pub(super) fn of_calls(backup: &Backup) -> Result<Vec<Count>, Error> {
    Ok(vec![Count::of(
        "call",
        calls::Calls::open(backup)?.count()?,
    )])
}

pub(super) fn of_voicemail(backup: &Backup) -> Result<Vec<Count>, Error> {
    let number = voicemail::Voicemail::open(backup)?.count()?;
    Ok(vec![Count::of("voicemail message", number)])
}

pub(super) fn of_calendar(backup: &Backup) -> Result<Vec<Count>, Error> {
    let db = calendar::open(backup)?.ok_or(Error::Absent(crate::content::Kind::Calendar))?;
    Ok(vec![Count::of("event", Calendar::count(&db)?)])
}

pub(super) fn of_reminders(backup: &Backup) -> Result<Vec<Count>, Error> {
    let number = reminders::Reminders::open(backup)?.count()?;
    Ok(vec![Count::of("reminder", number)])
}

pub(super) fn of_safari(backup: &Backup) -> Result<Vec<Count>, Error> {
    let (bookmarks, saved, visits) = safari::Safari::open(backup)?.count()?;
    let mut counts = vec![Count::of("bookmark", bookmarks)];
    if saved > 0 {
        counts.push(Count::of("saved page", saved));
    }
    if visits > 0 {
        counts.push(Count::of("visit", visits));
    }
    Ok(counts)
}

pub(super) fn of_voice_memos(backup: &Backup) -> Result<Vec<Count>, Error> {
    let number = voice_memos::VoiceMemos::open(backup)?.count()?;
    Ok(vec![Count::of("voice memo", number)])
}

/// Counts the rows that a query counts.
pub(crate) fn number(db: &Database, sql: &str) -> Result<u64, Error> {
    let count = db
        .connection()
        .query_row(sql, [], |row| row.get::<_, i64>(0));
    count.map(i64::unsigned_abs).map_err(|e| db.failed(e))
}
