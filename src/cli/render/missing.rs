//! Says what a backup lacks, and what its owner can do about it.

use idev_backup::base::units::{count, counted, size};
use idev_backup::reader::missing::Gap;
use idev_backup::reader::shrink::Shrunk;

use crate::cli::render::output::one_line;

/// Returns what is missing in a few words, for the summary of a backup.
pub fn briefly(gap: &Gap) -> String {
    match gap {
        Gap::NotEncrypted => {
            "passwords, Health, Home, calls and Safari's history (the backup is not encrypted)"
                .to_owned()
        }
        Gap::PhotosInCloud { count: photos, .. } => {
            format!("{} only in iCloud", counted(*photos, "photo"))
        }
        Gap::NoMessages => "all messages".to_owned(),
        Gap::Attachments {
            count: attachments, ..
        } => format!("{} of messages", counted(*attachments, "attachment")),
        Gap::WhatsAppChats => "WhatsApp's chats".to_owned(),
        Gap::Apps { count: apps, .. } => format!("the data of {}", counted(*apps, "app")),
        Gap::Unreadable { name, .. } => format!("unknown: {} cannot be read", one_line(name)),
        _ => "something that this version cannot name".to_owned(),
    }
}

/// Returns what is missing and what to do about it, in two sentences.
pub fn at_length(gap: &Gap) -> (String, &'static str) {
    match gap {
        Gap::NotEncrypted => (
            "Saved passwords, Health, Home, calls, Safari's history and Wi-Fi passwords: a phone gives them only to encrypted \
             backups."
                .to_owned(),
            "`idev-backup encryption on` turns encryption on",
        ),
        Gap::PhotosInCloud { count: photos, of } => (
            format!(
                "{} of {} photos and videos in the library are only in iCloud.",
                count(*photos),
                count(*of)
            ),
            "choose Settings > Photos > Download and Keep Originals on the phone, or download them from iCloud",
        ),
        Gap::NoMessages => (
            "There are no messages. Messages in iCloud keeps them out of backups.".to_owned(),
            "if messages are missing, look at Settings > your name > iCloud > Messages on the phone",
        ),
        Gap::Attachments {
            count: attachments,
            of,
        } => (
            format!(
                "{} of {} attachments of messages are not in the backup.",
                count(*attachments),
                count(*of)
            ),
            "the phone may keep them only in iCloud; open them on the phone once to download them",
        ),
        Gap::WhatsAppChats => (
            "WhatsApp is installed, and its chats are not in the backup.".to_owned(),
            "WhatsApp leaves them out while its own end-to-end encrypted backup is on (WhatsApp > Settings > Chats)",
        ),
        Gap::Apps { count: apps, first } => (
            format!(
                "{} left no file in the backup (shared folders aside): {}{}.",
                counted(*apps, "app"),
                one_line(&first.join(", ")),
                if *apps > first.len() as u64 { ", …" } else { "" }
            ),
            "look in each app for an export or an account that keeps its data",
        ),
        Gap::Unreadable { name, why } => (
            format!("{} cannot be read: {}.", one_line(name), one_line(why)),
            "`idev-backup verify --deep` checks it",
        ),
        _ => (
            "Something that this version of the program cannot name.".to_owned(),
            "use a newer idev-backup",
        ),
    }
}

/// Returns how much less of a kind of data there is than before.
pub fn shrunk(one: &Shrunk) -> String {
    format!(
        "{}: {} before, {} now",
        one.kind.words(),
        size(one.before_bytes),
        size(one.now_bytes)
    )
}
