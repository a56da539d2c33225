//! The tables of sms.db by version of iOS.
//!
//! The columns of iOS 14 are those of a database of the competition UIUCTF 2021, those of iOS 16 of
//! a published description of a backup (idevicebackup2, 2023), those of iOS 18 and 26 of macOS 15
//! and 26, which share the schema. The versions between them come from iLEAPP's queries.

use rusqlite::Connection;

use super::super::columns_of;

/// Columns of `message`, with the version of iOS that added them.
const MESSAGE: &[(u32, &str)] = &[
    (
        0,
        "ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, text TEXT, replace INTEGER DEFAULT 0, \
         service_center TEXT, handle_id INTEGER DEFAULT 0, subject TEXT, country TEXT, attributedBody BLOB, \
         version INTEGER DEFAULT 0, type INTEGER DEFAULT 0, service TEXT, account TEXT, account_guid TEXT, \
         error INTEGER DEFAULT 0, date INTEGER, date_read INTEGER, date_delivered INTEGER, is_delivered INTEGER DEFAULT 0, \
         is_finished INTEGER DEFAULT 0, is_emote INTEGER DEFAULT 0, is_from_me INTEGER DEFAULT 0, is_empty INTEGER DEFAULT 0, \
         is_delayed INTEGER DEFAULT 0, is_auto_reply INTEGER DEFAULT 0, is_prepared INTEGER DEFAULT 0, \
         is_read INTEGER DEFAULT 0, is_system_message INTEGER DEFAULT 0, is_sent INTEGER DEFAULT 0, \
         has_dd_results INTEGER DEFAULT 0, is_service_message INTEGER DEFAULT 0, is_forward INTEGER DEFAULT 0, \
         was_downgraded INTEGER DEFAULT 0, is_archive INTEGER DEFAULT 0, cache_has_attachments INTEGER DEFAULT 0, \
         cache_roomnames TEXT, was_data_detected INTEGER DEFAULT 0, was_deduplicated INTEGER DEFAULT 0, \
         is_audio_message INTEGER DEFAULT 0, is_played INTEGER DEFAULT 0, date_played INTEGER, item_type INTEGER DEFAULT 0, \
         other_handle INTEGER DEFAULT 0, group_title TEXT, group_action_type INTEGER DEFAULT 0, share_status INTEGER DEFAULT 0, \
         share_direction INTEGER DEFAULT 0, is_expirable INTEGER DEFAULT 0, expire_state INTEGER DEFAULT 0, \
         message_action_type INTEGER DEFAULT 0, message_source INTEGER DEFAULT 0",
    ),
    (
        10,
        "associated_message_guid TEXT, associated_message_type INTEGER DEFAULT 0, balloon_bundle_id TEXT, \
         payload_data BLOB, expressive_send_style_id TEXT, associated_message_range_location INTEGER DEFAULT 0, \
         associated_message_range_length INTEGER DEFAULT 0, time_expressive_send_played INTEGER, message_summary_info BLOB",
    ),
    (
        12,
        "ck_sync_state INTEGER DEFAULT 0, ck_record_id TEXT, ck_record_change_tag TEXT, destination_caller_id TEXT, \
         sr_ck_sync_state INTEGER DEFAULT 0, sr_ck_record_id TEXT, sr_ck_record_change_tag TEXT, is_corrupt INTEGER DEFAULT 0",
    ),
    (
        14,
        "reply_to_guid TEXT, sort_id INTEGER, is_spam INTEGER DEFAULT 0, has_unseen_mention INTEGER DEFAULT 0, \
         thread_originator_guid TEXT, thread_originator_part TEXT",
    ),
    (
        15,
        "syndication_ranges TEXT, was_delivered_quietly INTEGER DEFAULT 0, did_notify_recipient INTEGER DEFAULT 0",
    ),
    (
        16,
        "synced_syndication_ranges TEXT, date_retracted INTEGER DEFAULT 0, date_edited INTEGER DEFAULT 0, \
         was_detonated INTEGER DEFAULT 0, part_count INTEGER, is_stewie INTEGER DEFAULT 0, is_kt_verified INTEGER DEFAULT 0",
    ),
    (
        17,
        "is_sos INTEGER DEFAULT 0, is_critical INTEGER DEFAULT 0, bia_reference_id TEXT, fallback_hash TEXT",
    ),
    (
        18,
        "associated_message_emoji TEXT, is_pending_satellite_send INTEGER DEFAULT 0, needs_relay INTEGER DEFAULT 0, \
         schedule_type INTEGER DEFAULT 0, schedule_state INTEGER DEFAULT 0, sent_or_received_off_grid INTEGER DEFAULT 0, \
         date_recovered INTEGER DEFAULT 0",
    ),
    (
        26,
        "is_time_sensitive INTEGER DEFAULT 0, ck_chat_id TEXT, index_state INTEGER DEFAULT 0",
    ),
];

const CHAT: &[(u32, &str)] = &[
    (
        0,
        "ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, style INTEGER, state INTEGER, account_id TEXT, \
         properties BLOB, chat_identifier TEXT, service_name TEXT, room_name TEXT, account_login TEXT, \
         is_archived INTEGER DEFAULT 0, last_addressed_handle TEXT, display_name TEXT, group_id TEXT, \
         is_filtered INTEGER DEFAULT 0, successful_query INTEGER",
    ),
    (
        12,
        "engram_id TEXT, server_change_token TEXT, ck_sync_state INTEGER DEFAULT 0, last_read_message_timestamp INTEGER \
         DEFAULT 0, original_group_id TEXT, cloudkit_record_id TEXT, last_addressed_sim_id TEXT",
    ),
    (
        15,
        "is_blackholed INTEGER DEFAULT 0, syndication_date INTEGER DEFAULT 0, syndication_type INTEGER DEFAULT 0",
    ),
    (
        16,
        "is_recovered INTEGER DEFAULT 0, is_deleting_incoming_messages INTEGER DEFAULT 0",
    ),
    (26, "is_pending_review INTEGER DEFAULT 0"),
];

const HANDLE: &[(u32, &str)] = &[
    (
        0,
        "ROWID INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, id TEXT NOT NULL, country TEXT, service TEXT NOT NULL, \
         uncanonicalized_id TEXT",
    ),
    (13, "person_centric_id TEXT"),
];

const ATTACHMENT: &[(u32, &str)] = &[
    (
        0,
        "ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, created_date INTEGER DEFAULT 0, \
         start_date INTEGER DEFAULT 0, filename TEXT, uti TEXT, mime_type TEXT, transfer_state INTEGER DEFAULT 0, \
         is_outgoing INTEGER DEFAULT 0, user_info BLOB, transfer_name TEXT, total_bytes INTEGER DEFAULT 0",
    ),
    (
        10,
        "is_sticker INTEGER DEFAULT 0, sticker_user_info BLOB, attribution_info BLOB, hide_attachment INTEGER DEFAULT 0",
    ),
    (
        12,
        "ck_sync_state INTEGER DEFAULT 0, ck_server_change_token_blob BLOB, ck_record_id TEXT, original_guid TEXT",
    ),
    (16, "is_commsafety_sensitive INTEGER DEFAULT 0"),
    (
        18,
        "emoji_image_content_identifier TEXT, emoji_image_short_description TEXT, preview_generation_state INTEGER DEFAULT 0",
    ),
];

const CHAT_MESSAGE: &[(u32, &str)] = &[
    (
        0,
        "chat_id INTEGER REFERENCES chat (ROWID) ON DELETE CASCADE, message_id INTEGER REFERENCES message (ROWID) \
         ON DELETE CASCADE",
    ),
    (11, "message_date INTEGER DEFAULT 0"),
    (26, "index_state INTEGER NOT NULL DEFAULT 0"),
];

/// Creates the tables and the indexes that readers need.
pub(super) fn create(db: &Connection, ios: u32) -> rusqlite::Result<()> {
    for (table, columns, constraint) in [
        ("message", MESSAGE, ""),
        ("chat", CHAT, ""),
        ("handle", HANDLE, ", UNIQUE (id, service)"),
        ("attachment", ATTACHMENT, ""),
        (
            "chat_message_join",
            CHAT_MESSAGE,
            ", PRIMARY KEY (chat_id, message_id)",
        ),
    ] {
        let columns = columns_of(ios, columns);
        db.execute_batch(&format!("CREATE TABLE {table} ({columns}{constraint})"))?;
    }
    db.execute_batch(
        "CREATE TABLE _SqliteDatabaseProperties (key TEXT, value TEXT, UNIQUE(key));
         CREATE TABLE chat_handle_join (chat_id INTEGER REFERENCES chat (ROWID) ON DELETE CASCADE,
            handle_id INTEGER REFERENCES handle (ROWID) ON DELETE CASCADE, UNIQUE(chat_id, handle_id));
         CREATE TABLE message_attachment_join (message_id INTEGER REFERENCES message (ROWID) ON DELETE CASCADE,
            attachment_id INTEGER REFERENCES attachment (ROWID) ON DELETE CASCADE, UNIQUE(message_id, attachment_id));
         CREATE INDEX message_idx_date ON message(date);
         CREATE INDEX message_idx_handle ON message(handle_id, date);
         CREATE INDEX chat_message_join_idx_message_id_only ON chat_message_join(message_id);",
    )?;
    if ios >= 16 {
        db.execute_batch(
            "CREATE TABLE chat_recoverable_message_join (chat_id INTEGER REFERENCES chat (ROWID) ON DELETE CASCADE,
                message_id INTEGER REFERENCES message (ROWID) ON DELETE CASCADE, delete_date INTEGER,
                ck_sync_state INTEGER DEFAULT 0, PRIMARY KEY (chat_id, message_id), CHECK (delete_date != 0));
             CREATE TABLE recoverable_message_part (chat_id INTEGER REFERENCES chat (ROWID) ON DELETE CASCADE,
                message_id INTEGER REFERENCES message (ROWID) ON DELETE CASCADE, part_index INTEGER, delete_date INTEGER,
                part_text BLOB NOT NULL, ck_sync_state INTEGER DEFAULT 0,
                PRIMARY KEY (chat_id, message_id, part_index), CHECK (delete_date != 0));",
        )?;
    }
    Ok(())
}
