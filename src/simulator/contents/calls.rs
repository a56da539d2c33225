//! The calls of the simulated phone: CallHistory.storedata.
//!
//! The columns are those of a phone with iOS 18, as the project ios-backup-parser lists them
//! (docs/schemas/calls.md). Up to iOS 12 addresses are bytes, as in the store that the same project
//! and others saw.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::people::{ANA, JOERG, JUN, NUR, ROBERT, STRANGER};
use super::{AppFile, BEGIN, Contents, Plan, columns_of, database, rfc3339};

const CALL: &[(u32, &str)] = &[
    (
        0,
        "Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZANSWERED INTEGER, ZCALLTYPE INTEGER, \
         ZDISCONNECTED_CAUSE INTEGER, ZFACE_TIME_DATA INTEGER, ZNUMBER_AVAILABILITY INTEGER, ZORIGINATED INTEGER, \
         ZREAD INTEGER, ZDATE TIMESTAMP, ZDURATION FLOAT, ZDEVICE_ID VARCHAR, ZISO_COUNTRY_CODE VARCHAR, \
         ZNAME VARCHAR, ZUNIQUE_ID VARCHAR",
    ),
    (
        10,
        "ZCALL_CATEGORY INTEGER, ZHANDLE_TYPE INTEGER, ZLOCATION VARCHAR, ZSERVICE_PROVIDER VARCHAR",
    ),
    (
        13,
        "ZFILTERED_OUT_REASON INTEGER, ZJUNKCONFIDENCE INTEGER, ZWASEMERGENCYCALL INTEGER",
    ),
    (
        16,
        "ZHASMESSAGE INTEGER, ZJUNKIDENTIFICATIONCATEGORY VARCHAR",
    ),
    (18, "ZCOMMUNICATIONTRUSTSCORE INTEGER"),
];

/// A number in London that is not in the contacts.
const LONDON: &str = "+442079460018";
/// Calls that the script does not describe one by one.
const USUAL: u64 = 60;

/// A call that is to be written.
#[derive(Default)]
struct Draft<'a> {
    address: Option<&'a str>,
    members: &'a [&'a str],
    outgoing: bool,
    answered: bool,
    seconds: f64,
    kind: i64,
    app: Option<&'a str>,
    noted_name: Option<&'a str>,
    country: Option<&'a str>,
    place: Option<&'a str>,
    junk: bool,
    emergency: bool,
}

/// Adds the database and the truth about it.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = Vec::new();
    let bytes = database(|db| {
        let handle = if plan.ios >= 18 { 4 } else { 3 };
        db.execute_batch(&format!(
            "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
             INSERT INTO Z_PRIMARYKEY VALUES (1, 'CallDBProperties', 0, 1), (2, 'CallRecord', 0, 0), ({handle}, 'Handle', 0, 0);
             CREATE TABLE ZCALLRECORD ({}, ZADDRESS {});",
            columns_of(plan.ios, CALL),
            if plan.ios <= 12 { "BLOB" } else { "VARCHAR" },
        ))?;
        if plan.ios >= 13 {
            db.execute_batch(&format!(
                "CREATE TABLE ZHANDLE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZTYPE INTEGER,
                    ZNORMALIZEDVALUE VARCHAR, ZVALUE VARCHAR);
                 CREATE TABLE Z_2REMOTEPARTICIPANTHANDLES (Z_2REMOTEPARTICIPANTCALLS INTEGER,
                    Z_{handle}REMOTEPARTICIPANTHANDLES INTEGER,
                    PRIMARY KEY (Z_2REMOTEPARTICIPANTCALLS, Z_{handle}REMOTEPARTICIPANTHANDLES));"
            ))?;
        }
        truth = tell(plan, db)?;
        Ok(())
    });
    contents.files.push(AppFile {
        domain: "HomeDomain",
        path: "Library/CallHistoryDB/CallHistory.storedata".to_owned(),
        bytes: bytes.into(),
        needs_encryption: true,
    });
    contents.truth.insert("calls".to_owned(), truth.into());
}

fn tell(plan: Plan, db: &Connection) -> rusqlite::Result<Vec<Value>> {
    let phone = Draft {
        kind: 1,
        country: Some("gb"),
        ..Draft::default()
    };
    let group = [JUN.address, ANA.address, JOERG.address];
    let mut drafts = vec![
        Draft {
            address: Some(ANA.address),
            outgoing: true,
            seconds: 61.5,
            ..phone
        },
        // A number that is typed without its country.
        Draft {
            address: Some("07700 900456"),
            ..phone
        },
        // A hidden number.
        Draft { ..phone },
        Draft {
            address: Some(JOERG.address),
            answered: true,
            seconds: 3_723.0,
            country: Some("de"),
            ..phone
        },
        Draft {
            address: Some(ROBERT.address),
            answered: true,
            seconds: 12.0,
            country: Some("us"),
            ..phone
        },
        Draft {
            address: Some(JUN.address),
            kind: 8,
            outgoing: true,
            seconds: 900.25,
            ..Draft::default()
        },
        Draft {
            address: Some(JUN.address),
            kind: 16,
            ..Draft::default()
        },
        Draft {
            address: Some(LONDON),
            noted_name: Some("Dentist, \"=1+1\" <b>"),
            outgoing: true,
            ..phone
        },
        Draft {
            address: Some("112"),
            outgoing: true,
            seconds: 35.0,
            emergency: plan.ios >= 13,
            ..phone
        },
        Draft {
            address: Some(STRANGER.address),
            place: Some("Basingstoke").filter(|_| plan.ios >= 10),
            junk: plan.ios >= 13,
            ..phone
        },
    ];
    if plan.ios >= 13 {
        drafts.push(Draft {
            members: &group,
            kind: 8,
            answered: true,
            seconds: 1_800.0,
            ..Draft::default()
        });
    }
    if plan.ios >= 10 {
        drafts.push(Draft {
            address: Some("447700900123@s.whatsapp.net"),
            noted_name: Some("Ana"),
            app: Some("net.whatsapp.WhatsApp"),
            answered: true,
            seconds: 240.0,
            ..Draft::default()
        });
    }
    for number in 0..USUAL {
        let pick = |what, limit| plan.pick(&[60, what, number], limit);
        let people = [ANA.address, NUR.address, STRANGER.address, LONDON];
        let outgoing = pick(1, 2) == 0;
        let answered = !outgoing && pick(2, 3) > 0;
        drafts.push(Draft {
            address: Some(people[pick(3, 4) as usize]),
            outgoing,
            answered,
            seconds: if outgoing || answered {
                pick(4, 1200) as f64
            } else {
                0.0
            },
            ..phone
        });
    }
    let mut clock = BEGIN;
    let mut truth = Vec::new();
    for (number, draft) in (1..).zip(&drafts) {
        clock += 600 + plan.pick(&[61, number], 86_400) as i64;
        write(plan, db, number as i64, clock, draft)?;
        truth.push(truth_of(plan, number as i64, clock, draft));
    }
    Ok(truth)
}

fn write(
    plan: Plan,
    db: &Connection,
    id: i64,
    clock: i64,
    draft: &Draft<'_>,
) -> rusqlite::Result<()> {
    let address = draft.address.map(|address| {
        if plan.ios <= 12 {
            Sql::Blob(address.as_bytes().to_vec())
        } else {
            Sql::Text(address.to_owned())
        }
    });
    db.execute(
        "INSERT INTO ZCALLRECORD (Z_PK, Z_ENT, Z_OPT, ZANSWERED, ZCALLTYPE, ZORIGINATED, ZREAD, ZDATE, ZDURATION, ZADDRESS,
            ZISO_COUNTRY_CODE, ZNAME, ZUNIQUE_ID) VALUES (?1, 2, 1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            id,
            draft.answered,
            draft.kind,
            draft.outgoing,
            clock as f64,
            draft.seconds,
            address,
            draft.country,
            draft.noted_name,
            guid(plan, id),
        ],
    )?;
    if plan.ios >= 10 {
        let provider = draft.app.unwrap_or(if draft.kind == 1 {
            "com.apple.Telephony"
        } else {
            "com.apple.FaceTime"
        });
        let sql = "UPDATE ZCALLRECORD SET ZSERVICE_PROVIDER = ?2, ZLOCATION = ?3 WHERE Z_PK = ?1";
        db.execute(sql, params![id, provider, draft.place])?;
    }
    if plan.ios >= 13 {
        let sql =
            "UPDATE ZCALLRECORD SET ZJUNKCONFIDENCE = ?2, ZWASEMERGENCYCALL = ?3 WHERE Z_PK = ?1";
        db.execute(sql, params![id, draft.junk, draft.emergency])?;
        for member in draft.members {
            db.execute(
                "INSERT INTO ZHANDLE (Z_ENT, ZTYPE, ZVALUE, ZNORMALIZEDVALUE) VALUES (3, 2, ?1, ?1)",
                [member],
            )?;
            let sql = "INSERT INTO Z_2REMOTEPARTICIPANTHANDLES VALUES (?1, last_insert_rowid())";
            db.execute(sql, [id])?;
        }
    }
    Ok(())
}

fn guid(plan: Plan, id: i64) -> String {
    plan.uuid(62, id.unsigned_abs())
}

fn truth_of(plan: Plan, id: i64, clock: i64, draft: &Draft<'_>) -> Value {
    let addresses = draft.address.iter().chain(draft.members);
    let people: Vec<Value> = addresses
        .map(|address| {
            let known = [ANA, JUN, NUR, ROBERT, JOERG];
            let person = known.iter().find(|person| person.address == *address);
            let name = match (person, *address) {
                (Some(person), _) => Some(person.name),
                (None, "07700 900456") => Some(NUR.name),
                _ => draft.noted_name,
            };
            match name {
                Some(name) => json!({ "address": address, "name": name }),
                None => json!({ "address": address }),
            }
        })
        .collect();
    let mut truth = json!({
        "id": id,
        "guid": guid(plan, id),
        "time": rfc3339(clock),
        "direction": if draft.outgoing { "outgoing" } else { "incoming" },
        "missed": !draft.outgoing && !draft.answered,
        "seconds": draft.seconds,
        "service": match draft.kind {
            1 => "phone",
            8 => "facetime_video",
            16 => "facetime_audio",
            _ => "app",
        },
        "people": people,
    });
    for (field, value) in [
        ("country", draft.country),
        ("place", draft.place),
        ("app", draft.app),
    ] {
        if let Some(value) = value {
            truth[field] = value.into();
        }
    }
    for (field, flag) in [("junk", draft.junk), ("emergency", draft.emergency)] {
        if flag {
            truth[field] = true.into();
        }
    }
    truth
}
