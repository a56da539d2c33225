//! Words for conversations, people and events, as people read them.

use crate::content::Time;
use crate::content::messages::{
    Attachment, Chat, Event, Handle, Message, Presence, ReactionKind, ReactionState,
};

/// The beginning of the line for a link.
pub(super) const LINK: &str = "link: ";

/// Returns the name of a person, else the address.
pub(super) fn name(handle: &Handle) -> &str {
    handle.shown()
}

/// Returns the title of a conversation.
pub(crate) fn title(chat: &Chat) -> String {
    chat.title()
}

/// Returns true if a conversation fits a wish: a part of its title or of a member's name, or an
/// address. Upper and lower case do not matter.
pub(super) fn fits(chat: &Chat, wish: &str) -> bool {
    let wish = wish.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wish);
    has(&title(chat))
        || chat.identifier.as_deref() == Some(wish.as_str())
        || chat.participants.iter().any(|member| {
            member.name.as_deref().is_some_and(has) || member.address.to_lowercase() == wish
        })
}

/// Returns the sender of a message.
pub(super) fn sender(message: &Message) -> &str {
    match &message.sender {
        _ if message.from_me => "Me",
        Some(handle) => name(handle),
        None => "Unknown",
    }
}

/// Returns the actor of an event: the subject of a sentence.
pub(super) fn actor(message: &Message) -> &str {
    if message.from_me {
        "You"
    } else {
        sender(message)
    }
}

/// Returns a time in the local zone: "2026-11-30 18:04:05".
pub(super) fn local(time: Time) -> String {
    let zoned = time.timestamp().to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Describes an event, without its actor: "added Ana".
pub(super) fn event(event: &Event) -> String {
    let person = |person: &Option<Handle>| match person {
        Some(handle) => name(handle).to_owned(),
        None => "someone".to_owned(),
    };
    match event {
        Event::Added { person: who } => format!("added {}", person(who)),
        Event::Removed { person: who } => format!("removed {}", person(who)),
        Event::Joined => "joined the conversation".to_owned(),
        Event::Left => "left the conversation".to_owned(),
        Event::Renamed { name: Some(name) } => format!("named the conversation “{name}”"),
        Event::Renamed { name: None } => "removed the name of the conversation".to_owned(),
        Event::PhotoSet => "changed the picture of the conversation".to_owned(),
        Event::PhotoRemoved => "removed the picture of the conversation".to_owned(),
        Event::LocationShared => "shared a location".to_owned(),
        Event::AudioKept => "kept a voice message".to_owned(),
        Event::Unknown { item_type } => format!("did something that is not known ({item_type})"),
    }
}

/// Returns the name of an effect: "Confetti" for `com.apple.messages.effect.CKConfettiEffect`.
pub(super) fn effect(id: &str) -> &str {
    let name = id.rsplit('.').next().unwrap_or(id);
    let short = name.strip_prefix("CK").unwrap_or(name);
    short.strip_suffix("Effect").unwrap_or(short)
}

/// Returns a reaction as an emoji or a word.
pub(super) fn reaction(kind: ReactionKind, emoji: Option<&str>) -> &str {
    match kind {
        ReactionKind::Love => "❤️",
        ReactionKind::Like => "👍",
        ReactionKind::Dislike => "👎",
        ReactionKind::Laugh => "😆",
        ReactionKind::Emphasize => "‼️",
        ReactionKind::Question => "❓",
        ReactionKind::Emoji => emoji.unwrap_or("an emoji"),
        ReactionKind::Sticker => "a sticker",
    }
}

/// Describes the reactions that count: "❤️ Ana, 👍 Me".
pub(super) fn reactions(message: &Message) -> String {
    let current = message.reactions.iter();
    let current = current.filter(|one| one.state == ReactionState::Current);
    let words: Vec<String> = current
        .map(|one| {
            let who = match &one.sender {
                _ if one.from_me => "Me",
                Some(handle) => name(handle),
                None => "Unknown",
            };
            format!("{} {who}", reaction(one.reaction, one.emoji.as_deref()))
        })
        .collect();
    words.join(", ")
}

/// Describes an attachment in a line: its name, and the reason why its file is missing.
pub(super) fn attachment(attachment: &Attachment) -> String {
    let name = attachment.name.as_deref().unwrap_or("attachment");
    match attachment.file {
        Presence::InBackup => name.to_owned(),
        Presence::OnlyInIcloud => format!("{name} (only in iCloud)"),
        Presence::Missing => format!("{name} (not in the backup)"),
    }
}

/// Describes in a line what a message is beside its text and its attachments: an event, a link, an
/// application, an unsent message, a body that cannot be decoded.
pub(super) fn more(message: &Message) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(event) = &message.event {
        lines.push(self::event(event));
    }
    if let Some(lost) = &message.reaction_to {
        let what = reaction(lost.reaction.reaction, lost.reaction.emoji.as_deref());
        lines.push(match (&message.text, lost.takes_back) {
            (Some(text), _) => format!("{text} (a message that is gone)"),
            (None, true) => format!("took back {what} from a message that is gone"),
            (None, false) => format!("reacted with {what} to a message that is gone"),
        });
    }
    if let Some(link) = &message.link {
        let parts = [&link.title, &link.summary, &link.url];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        if !parts.is_empty() {
            lines.push(format!("{LINK}{}", parts.join(" — ")));
        }
    }
    if let Some(app) = &message.app {
        let name = app.name.as_deref().unwrap_or(&app.bundle_id);
        let text = app.text.as_deref().map(|text| format!(": {text}"));
        lines.push(format!("{name}{}", text.unwrap_or_default()));
    }
    if message.unsent {
        lines.push("unsent this message".to_owned());
    } else if !message.unsent_parts.is_empty() {
        lines.push("unsent a part of this message".to_owned());
    }
    if let Some(why) = &message.undecodable {
        lines.push(format!("this message cannot be decoded: {why}"));
    }
    lines
}
