//! Reads the voicemail of a backup, and the transcripts that the phone made.
//!
//! The database is HomeDomain/Library/Voicemail/voicemail.db; the recordings are beside it, as
//! ROWID.amr, with ROWID.transcript where there is one. Its tables are described by the project
//! iLEAPP (scripts/artifacts/voicemail.py, MIT). A transcript is a keyed archive of Apple's class
//! VMVoicemailTranscript, whose text is `transcriptionString`.

use std::io::Read;

use rusqlite::Row;
use serde::Serialize;

use crate::content::contacts::{Directory, Region};
use crate::content::counts::number;
use crate::content::database::{Database, columns};
use crate::content::keyed_archive::KeyedArchive;
use crate::content::{Error, Kind, Time, calls, value};
use crate::reader::backup::Backup;

/// The domain of the recordings.
pub(crate) const DOMAIN: &str = "HomeDomain";
const FOLDER: &str = "Library/Voicemail";
/// The largest transcript that is read.
const TRANSCRIPT_BYTES_MAX: u64 = 4 << 20;
/// The bits of `flags`: heard, in the trash, and deleted on the server too.
const HEARD: i64 = 1;
const TRASHED: i64 = 8;
/// The years in which phones had voicemail. Visual voicemail began with the first iPhone.
const YEARS: std::ops::RangeInclusive<i16> = 2007..=2100;

columns! {
    Id = "ROWID",
    Date = "date",
    Sender = "sender",
    CallBack = "callback_num",
    Duration = "duration",
    Trashed = "trashed_date",
    Flags = "flags",
    Receiver = "receiver",
}

/// The voicemail of an open backup.
pub struct Voicemail<'a> {
    backup: &'a Backup,
    db: Database,
    select: String,
}

/// A message in the voicemail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recording {
    /// The row in the database.
    pub id: i64,
    /// The time of the call.
    pub time: Option<Time>,
    /// The number of the caller; `None` if it was hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The name of the caller in the contacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number to call back, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_back: Option<String>,
    /// Length in seconds.
    pub seconds: f64,
    /// True if the owner of the phone heard it.
    pub heard: bool,
    /// True if it is among the deleted messages.
    pub deleted: bool,
    /// The time of its deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
    /// The text that the phone understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// The path of the recording in its domain; `None` if the backup does not have the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The path of the exported file below the target folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
    /// The reasons to doubt a date, or why the transcript cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

impl Recording {
    /// Returns the name of the caller, else the number.
    pub fn caller(&self) -> &str {
        let known = self.name.as_deref().or(self.address.as_deref());
        known.unwrap_or("Unknown caller")
    }
}

impl<'a> Voicemail<'a> {
    /// Opens the voicemail of a backup.
    pub fn open(backup: &'a Backup) -> Result<Voicemail<'a>, Error> {
        let db = Database::open(backup, DOMAIN, &format!("{FOLDER}/voicemail.db"))?
            .ok_or(Error::Absent(Kind::Voicemail))?;
        let table = db.needed("voicemail", &["date", "sender"])?;
        Ok(Voicemail {
            backup,
            select: table.select(COLUMNS),
            db,
        })
    }

    /// Returns the country of the owner's number, if the database has it.
    pub fn home(&self) -> Option<Region> {
        let mut home = None;
        let read = self.db.rows(&self.select, |row| {
            let receiver = value::words(row, Column::Receiver as usize);
            home = receiver.and_then(|number| Region::of_number(&number));
            home.is_none()
        });
        // A table that cannot be read is an error of `each`.
        read.ok().and(home)
    }

    /// Returns the number of messages.
    pub fn count(&self) -> Result<u64, Error> {
        number(&self.db, "SELECT count(*) FROM voicemail")
    }

    /// Calls `each` for all messages, oldest first, until it returns false.
    pub fn each(
        &self,
        names: Option<&Directory>,
        mut each: impl FnMut(Recording) -> bool,
    ) -> Result<(), Error> {
        let sql = format!("{} ORDER BY t.date, t.ROWID", self.select);
        let mut failed = None;
        self.db.rows(&sql, |row| match self.recording(row, names) {
            Ok(recording) => each(recording),
            Err(e) => {
                failed = Some(e);
                false
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn recording(&self, row: &Row<'_>, names: Option<&Directory>) -> Result<Recording, Error> {
        let text = |column: Column| value::words(row, column as usize);
        let id = value::integer(row, Column::Id as usize).unwrap_or_default();
        let time = value::time_since_1970(row, Column::Date as usize);
        let address = text(Column::Sender);
        let flags = value::integer(row, Column::Flags as usize).unwrap_or_default();
        let deleted_at = value::time(row, Column::Trashed as usize);
        let name = address
            .as_deref()
            .and_then(|address| names?.name(address, None))
            .map(str::to_owned);
        let mut doubts = Vec::new();
        doubts.extend(value::doubt(
            row,
            Column::Date as usize,
            time,
            "its date",
            YEARS,
        ));
        let path = format!("{FOLDER}/{id}.amr");
        let has_file = self.backup.find(DOMAIN, &path)?.is_some();
        let transcript = match self.transcript(id)? {
            Some(Ok(text)) => Some(text),
            Some(Err(why)) => {
                doubts.push(format!("its transcript cannot be read: {why}"));
                None
            }
            None => None,
        };
        Ok(Recording {
            id,
            time,
            call_back: text(Column::CallBack).filter(|number| Some(number) != address.as_ref()),
            address,
            name,
            seconds: calls::seconds(row, Column::Duration as usize),
            heard: flags & HEARD != 0,
            deleted: deleted_at.is_some() || flags & TRASHED != 0,
            deleted_at,
            transcript,
            path: has_file.then_some(path),
            exported: None,
            doubts,
        })
    }

    /// Reads the transcript of a message: its text, or why it has none; `None` without a file.
    fn transcript(&self, id: i64) -> Result<Option<Result<String, String>>, Error> {
        let path = format!("{FOLDER}/{id}.transcript");
        let Some(item) = self.backup.find(DOMAIN, &path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let opened = self.backup.bytes(&item).map_err(|e| e.to_string());
        let read = opened.and_then(|file| {
            let mut limited = file.take(TRANSCRIPT_BYTES_MAX);
            limited.read_to_end(&mut bytes).map_err(|e| e.to_string())
        });
        if let Err(why) = read {
            return Ok(Some(Err(why)));
        }
        let archive = match KeyedArchive::parse(&bytes) {
            Ok(archive) => archive,
            Err(why) => return Ok(Some(Err(why))),
        };
        let text = archive.root().and_then(|root| {
            let text = |key| archive.text(root, key);
            text("transcriptionString").or_else(|| text("_transcriptionString"))
        });
        Ok(Some(text.ok_or_else(|| "it has no text".to_owned())))
    }
}
