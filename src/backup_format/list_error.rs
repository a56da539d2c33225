//! The error of reading the list of files, whichever form the list has.

use std::io;

use rusqlite::ErrorCode;

use crate::backup_format::temp_db;

/// Failure to use the list of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The backup has no list of files.
    Absent,
    /// SQLite cannot read the list.
    Damaged(String),
    /// The decrypted list cannot be stored temporarily.
    NoPlace(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Absent => f.write_str("it is missing"),
            Error::Damaged(why) => write!(f, "it is damaged: {why}"),
            Error::NoPlace(why) => write!(
                f,
                "its decrypted copy cannot be written to {}: {why}",
                std::env::temp_dir().display()
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<temp_db::Error> for Error {
    fn from(e: temp_db::Error) -> Self {
        match e {
            temp_db::Error::Read(e) if e.kind() == io::ErrorKind::NotFound => Error::Absent,
            temp_db::Error::Read(e) => Error::Damaged(e.to_string()),
            temp_db::Error::Write(e) => Error::NoPlace(e.to_string()),
            temp_db::Error::NoDatabase => {
                Error::Damaged("it is not a database, or it is truncated".to_owned())
            }
            temp_db::Error::Sqlite(e) => e.into(),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        let is_endless = e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
        Error::Damaged(if is_endless {
            "it is far longer than its size says".to_owned()
        } else {
            e.to_string()
        })
    }
}

/// Returns true if SQLite reports damage to the file, rather than another problem.
pub(super) fn is_damage(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
