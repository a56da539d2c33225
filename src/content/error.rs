//! The error type of the content readers.

use std::fmt;

use crate::base::failure_kind::FailureKind;
use crate::reader;

/// A kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The messages of the app Messages: iMessage, SMS, MMS and RCS.
    Messages,
    /// The contacts.
    Contacts,
}

impl Kind {
    /// Returns the kind as a word in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Messages => "messages",
            Kind::Contacts => "contacts",
        }
    }

    /// Explains why a backup can lack the database of this kind.
    fn reason(self) -> &'static str {
        match self {
            Kind::Messages => "phones leave them out of backups while Messages in iCloud is on",
            Kind::Contacts => "its address book is not in the list of files",
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
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Read(e) => e.kind(),
            _ => FailureKind::Failed,
        }
    }
}
