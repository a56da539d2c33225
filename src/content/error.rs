//! The error type of the content readers.

use std::fmt;

use serde::Serialize;

use crate::base::failure_kind::FailureKind;
use crate::reader;
use crate::reader::backup::Backup;

/// A kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The messages of the app Messages: iMessage, SMS, MMS and RCS.
    Messages,
    /// The contacts.
    Contacts,
    /// The notes of the app Notes.
    Notes,
    /// The photos and videos of the app Photos.
    Photos,
    /// The chats of WhatsApp.
    WhatsApp,
    /// The calls of telephone, FaceTime and other applications.
    Calls,
    /// The voicemail.
    Voicemail,
    /// The events of the calendars.
    Calendar,
    /// The reminders of all lists.
    Reminders,
    /// Bookmarks, reading list and history of Safari.
    Safari,
    /// The voice memos.
    VoiceMemos,
}

impl Kind {
    /// Returns the kind as a word in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Messages => "messages",
            Kind::Contacts => "contacts",
            Kind::Notes => "notes",
            Kind::Photos => "photos",
            Kind::WhatsApp => "WhatsApp chats",
            Kind::Calls => "calls",
            Kind::Voicemail => "voicemail",
            Kind::Calendar => "calendar",
            Kind::Reminders => "reminders",
            Kind::Safari => "bookmarks and history of Safari",
            Kind::VoiceMemos => "voice memos",
        }
    }

    /// Returns the kind as a word of the command line and of JSON: lower case, with hyphens.
    pub fn name(self) -> String {
        match self {
            Kind::Safari => "safari".to_owned(),
            Kind::WhatsApp => "whatsapp".to_owned(),
            kind => kind.word().replace(' ', "-"),
        }
    }

    /// Returns the name of one entry.
    pub fn one(self) -> &'static str {
        match self {
            Kind::Messages => "message",
            Kind::Contacts => "contact",
            Kind::Notes => "note",
            Kind::Photos => "photo",
            Kind::WhatsApp => "WhatsApp message",
            Kind::Calls => "call",
            Kind::Voicemail => "voicemail",
            Kind::Calendar => "event",
            Kind::Reminders => "reminder",
            Kind::Safari => "page",
            Kind::VoiceMemos => "voice memo",
        }
    }

    /// Explains why a backup can lack the database of this kind.
    fn reason(self) -> &'static str {
        match self {
            Kind::Messages => "phones leave them out of backups while Messages in iCloud is on",
            Kind::Contacts => "its address book is not in the list of files",
            Kind::WhatsApp => {
                "WhatsApp leaves them out while its own end-to-end encrypted backup is on, or it is not installed"
            }
            Kind::Photos => "the library of the app Photos is not in the list of files",
            Kind::Notes => "the database of the app Notes is not in the list of files",
            Kind::Calls => "its call history is not in the list of files",
            Kind::Voicemail => "phones have it only where the carrier offers visual voicemail",
            Kind::Calendar => "its calendars are not in the list of files",
            Kind::Reminders => "its reminders are not in the list of files",
            Kind::Safari => "Safari's files are not in the list of files",
            Kind::VoiceMemos => "phones have none until one is recorded",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The reasons that content cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backup has no database of this kind.
    #[error("the backup has no {0}: {why}", why = .0.reason())]
    Absent(Kind),
    /// The backup has no database of this kind, because phones include it only in encrypted
    /// backups.
    #[error(
        "the backup has no {0}: phones include them only in encrypted backups, and this one is \
         not encrypted"
    )]
    OnlyInEncrypted(Kind),
    /// A database, or a part of it, cannot be read.
    #[error("cannot read {place}: {why}")]
    Unreadable {
        /// Domain and path of the database.
        place: String,
        /// The reason.
        why: String,
    },
    /// The tables of a database are not those of any known version.
    #[error("the schema of {place} is not known: {lacks}")]
    UnknownSchema {
        /// Domain and path of the database.
        place: String,
        /// The table or columns that are missing, as a whole clause.
        lacks: String,
    },
    /// The backup cannot be read.
    #[error(transparent)]
    Read(#[from] reader::Error),
}

impl Error {
    /// Returns the error for a backup without the database of a kind that phones include only in
    /// encrypted backups.
    pub(crate) fn absent_private(kind: Kind, backup: &Backup) -> Error {
        if backup.is_encrypted() {
            Error::Absent(kind)
        } else {
            Error::OnlyInEncrypted(kind)
        }
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Read(e) => e.kind(),
            _ => FailureKind::Failed,
        }
    }
}
