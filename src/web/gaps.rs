//! Words for what a backup lacks.

use crate::base::units::{count, counted};
use crate::reader::missing::Gap;

/// Says what is missing and why, in one or two sentences.
pub(super) fn words(gap: &Gap) -> String {
    match gap {
        Gap::NotEncrypted => "Saved passwords, Health, Home, calls, Safari's history and Wi-Fi \
                              passwords: a phone gives them only to encrypted backups."
            .to_owned(),
        Gap::PhotosInCloud { count: photos, of } => format!(
            "{} of {} photos and videos in the library are only in iCloud.",
            count(*photos),
            count(*of)
        ),
        Gap::NoMessages => {
            "There are no messages. Messages in iCloud keeps them out of backups.".to_owned()
        }
        Gap::Attachments {
            count: attachments,
            of,
        } => format!(
            "{} of {} attachments of messages.",
            count(*attachments),
            count(*of)
        ),
        Gap::WhatsAppChats => "WhatsApp's chats. WhatsApp leaves them out while its own \
                               end-to-end encrypted backup is on."
            .to_owned(),
        Gap::Apps { count: apps, first } => format!(
            "The data of {}: {}{}.",
            counted(*apps, "app"),
            first.join(", "),
            if *apps > first.len() as u64 {
                ", …"
            } else {
                ""
            }
        ),
        Gap::Unreadable { name, why } => format!("Not known: {name} cannot be read ({why})."),
    }
}
