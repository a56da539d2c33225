//! The voicemail of the simulated phone: voicemail.db, recordings and transcripts.
//!
//! The columns are those that the project iLEAPP reads (scripts/artifacts/voicemail.py), with
//! `receiver` and the table `map` on newer phones. Recordings are AMR files (RFC 4867, section 5)
//! of silence. Transcripts are archives of Apple's class VMVoicemailTranscript.

use rusqlite::params;
use serde_json::json;

use super::keyed_archive::{Node, archive};
use super::people::{ANA, ROBERT, STRANGER};
use super::{BEGIN, Contents, EPOCH, Plan, database, rfc3339};

const OWNER: &str = "+447700900999";

/// A message that is to be written.
struct Draft {
    address: Option<&'static str>,
    name: Option<&'static str>,
    seconds: u32,
    flags: i64,
    /// Days after which it was deleted.
    deleted: Option<i64>,
    transcript: Option<&'static str>,
    has_file: bool,
}

/// Adds the database, the files and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let has_transcripts = plan.ios >= 10;
    let draft = |address, name, transcript| Draft {
        address,
        name,
        seconds: 12,
        flags: 1 | 2,
        deleted: None,
        transcript,
        has_file: true,
    };
    let drafts = [
        draft(
            Some(ANA.address),
            Some(ANA.name),
            Some("Hello, it’s Ana. Call me back about Saturday, please."),
        ),
        Draft {
            flags: 2,
            seconds: 31,
            ..draft(
                Some(ROBERT.address),
                Some(ROBERT.name),
                Some("=HYPERLINK(\"http://example.com/\")\n<script>alert('voicemail')</script>"),
            )
        },
        Draft {
            has_file: false,
            ..draft(None, None, None)
        },
        Draft {
            flags: 1 | 2 | 8,
            deleted: Some(3),
            ..draft(Some(STRANGER.address), None, None)
        },
    ];
    let mut truth = Vec::new();
    let mut files = Vec::new();
    let bytes = database(|db| {
        let more = if plan.ios >= 11 {
            ", label TEXT, uuid TEXT, receiver TEXT"
        } else {
            ""
        };
        db.execute_batch(&format!(
            "CREATE TABLE _SqliteDatabaseProperties (key TEXT, value TEXT, UNIQUE(key));
             CREATE TABLE voicemail (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, remote_uid INTEGER, date INTEGER, token TEXT,
                sender TEXT, callback_num TEXT, duration INTEGER, expiration INTEGER, trashed_date INTEGER, flags INTEGER{more});
             CREATE INDEX date_index ON voicemail(date);"
        ))?;
        if plan.ios >= 11 {
            db.execute_batch("CREATE TABLE map (label TEXT, account TEXT)")?;
        }
        for (id, draft) in (1i64..).zip(&drafts) {
            let at = BEGIN + id * 86_400 + plan.pick(&[63, id.unsigned_abs()], 50_000) as i64;
            let deleted = draft.deleted.map(|days| at + days * 86_400);
            db.execute(
                "INSERT INTO voicemail (ROWID, remote_uid, date, token, sender, callback_num, duration, expiration,
                    trashed_date, flags) VALUES (?1, ?1, ?2, 'Complete', ?3, ?3, ?4, 0, ?5, ?6)",
                params![
                    id,
                    at + EPOCH,
                    draft.address,
                    draft.seconds,
                    deleted.unwrap_or(0),
                    draft.flags
                ],
            )?;
            if plan.ios >= 11 {
                db.execute("UPDATE voicemail SET receiver = ?1", [OWNER])?;
            }
            let path = format!("Library/Voicemail/{id}.amr");
            let mut record = json!({
                "id": id,
                "time": rfc3339(at),
                "seconds": f64::from(draft.seconds),
                "heard": draft.flags & 1 != 0,
                "deleted": draft.deleted.is_some(),
            });
            let transcript = draft.transcript.filter(|_| has_transcripts);
            for (field, value) in [
                ("address", draft.address),
                ("name", draft.name),
                ("transcript", transcript),
                ("path", Some(path.as_str()).filter(|_| draft.has_file)),
            ] {
                if let Some(value) = value {
                    record[field] = value.into();
                }
            }
            if let Some(deleted) = deleted {
                record["deleted_at"] = rfc3339(deleted);
            }
            truth.push(record);
            if draft.has_file {
                files.push((path, amr(draft.seconds)));
            }
            if let Some(text) = transcript {
                let node = Node::Object(
                    "VMVoicemailTranscript",
                    vec![("transcriptionString", Node::Text(text.to_owned()))],
                );
                files.push((format!("Library/Voicemail/{id}.transcript"), archive(&node)));
            }
        }
        Ok(())
    });
    contents.file("HomeDomain", "Library/Voicemail/voicemail.db", bytes);
    for (path, bytes) in files {
        contents.file("HomeDomain", &path, bytes);
    }
    contents.truth.insert("voicemail".to_owned(), truth.into());
}

/// Returns an AMR file of silence: 50 frames without data for each second.
fn amr(seconds: u32) -> Vec<u8> {
    const NO_DATA: u8 = 0x7c;
    let mut bytes = b"#!AMR\n".to_vec();
    bytes.resize(bytes.len() + 50 * seconds as usize, NO_DATA);
    bytes
}
