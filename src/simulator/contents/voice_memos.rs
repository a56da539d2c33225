//! The voice memos of the simulated phone: recordings and their database.
//!
//! The columns are those that the project iLEAPP reads (scripts/artifacts/voiceRecordings.py). The
//! recordings are as small as an MPEG-4 file can be: they hold no sound.

use rusqlite::params;
use serde_json::{Value, json};

use super::{BEGIN, Contents, Plan, database, rfc3339};

/// A voice memo that is to be written.
struct Draft {
    title: Option<&'static str>,
    file: &'static str,
    has_file: bool,
    has_row: bool,
    deleted: bool,
    in_folder: bool,
}

/// Adds the database, the recordings and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let draft = |title, file| Draft {
        title: Some(title),
        file,
        has_file: true,
        has_row: true,
        deleted: false,
        in_folder: false,
    };
    let drafts = [
        draft("Choir, second voice 🎶", "20240102 080000.m4a"),
        Draft {
            in_folder: true,
            ..draft(
                "../../escape: <script>alert('memo')</script>",
                "20240103 090000.m4a",
            )
        },
        Draft {
            has_file: false,
            ..draft("Only in the cloud", "20240104 100000.m4a")
        },
        Draft {
            deleted: true,
            ..draft("=SUM(1)", "20240105 110000.m4a")
        },
        Draft {
            title: None,
            has_row: false,
            ..draft("", "20240106 120000.m4a")
        },
    ];
    let has_cloud = plan.ios >= 12;
    let (domain, folder) = if plan.ios >= 17 {
        (
            "AppDomainGroup-group.com.apple.VoiceMemos.shared",
            "Recordings",
        )
    } else {
        ("MediaDomain", "Media/Recordings")
    };
    let mut truth = Vec::new();
    let bytes = database(|db| {
        let of_all = "Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZDATE TIMESTAMP, ZDURATION FLOAT, ZPATH VARCHAR, \
            ZCUSTOMLABEL VARCHAR";
        if has_cloud {
            db.execute_batch(&format!(
                "CREATE TABLE ZCLOUDRECORDING ({of_all}, ZEVICTIONDATE TIMESTAMP, ZFOLDER INTEGER, ZENCRYPTEDTITLE VARCHAR,
                    ZCUSTOMLABELFORSORTING VARCHAR, ZUNIQUEID VARCHAR, ZLOCALDURATION FLOAT);
                 CREATE TABLE ZFOLDER (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZENCRYPTEDNAME VARCHAR);
                 INSERT INTO ZFOLDER VALUES (1, 2, 1, 'Interviews');"
            ))?;
        } else {
            db.execute_batch(&format!("CREATE TABLE ZRECORDING ({of_all})"))?;
        }
        for (id, draft) in (1i64..).zip(&drafts) {
            let at = BEGIN + id * 86_400;
            let path = format!("{folder}/{}", draft.file);
            let mut record = match draft.title {
                Some(title) => json!({ "title": title }),
                None => json!({ "title": draft.file.trim_end_matches(".m4a") }),
            };
            if draft.has_file {
                record["path"] = path.into();
            }
            if draft.has_row {
                let seconds = 30.5 * id as f64;
                record["id"] = id.into();
                record["time"] = rfc3339(at);
                record["seconds"] = seconds.into();
                let (table, label) = if has_cloud {
                    ("ZCLOUDRECORDING", rfc3339(at).as_str().map(str::to_owned))
                } else {
                    ("ZRECORDING", draft.title.map(str::to_owned))
                };
                let name = if has_cloud {
                    draft.file.to_owned()
                } else {
                    format!("/var/mobile/Media/Recordings/{}", draft.file)
                };
                let sql = format!(
                    "INSERT INTO {table} (Z_PK, ZDATE, ZDURATION, ZPATH, ZCUSTOMLABEL) VALUES (?1, ?2, ?3, ?4, ?5)"
                );
                db.execute(&sql, params![id, at as f64, seconds, name, label])?;
                if has_cloud {
                    write_newer(plan, db, id, draft, &mut record)?;
                }
            }
            truth.push(record);
        }
        Ok(())
    });
    let name = if has_cloud {
        "CloudRecordings.db"
    } else {
        "Recordings.db"
    };
    contents.file(domain, &format!("{folder}/{name}"), bytes);
    for (number, draft) in (1u8..).zip(&drafts) {
        if draft.has_file {
            contents.file(domain, &format!("{folder}/{}", draft.file), m4a(number));
        }
    }
    contents
        .truth
        .insert("voice_memos".to_owned(), truth.into());
}

/// Writes the columns of iOS 12 and later.
fn write_newer(
    plan: Plan,
    db: &rusqlite::Connection,
    id: i64,
    draft: &Draft,
    record: &mut Value,
) -> rusqlite::Result<()> {
    let uid = plan.uuid(85, id.unsigned_abs());
    // Older versions have the title in another column.
    let title = if plan.ios >= 14 {
        "ZENCRYPTEDTITLE"
    } else {
        "ZCUSTOMLABELFORSORTING"
    };
    let deleted = draft.deleted.then_some((BEGIN + 90 * 86_400) as f64);
    let sql = format!(
        "UPDATE ZCLOUDRECORDING SET {title} = ?2, ZUNIQUEID = ?3, ZEVICTIONDATE = ?4, ZFOLDER = ?5 WHERE Z_PK = ?1"
    );
    db.execute(
        &sql,
        params![id, draft.title, uid, deleted, draft.in_folder.then_some(1)],
    )?;
    record["uid"] = uid.into();
    if draft.deleted {
        record["deleted"] = true.into();
    }
    if draft.in_folder {
        record["folder"] = "Interviews".into();
    }
    Ok(())
}

/// Returns an MPEG-4 file with its type, and a box that differs.
fn m4a(number: u8) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom\0\0\0\x09free".to_vec();
    bytes.push(number);
    bytes
}
