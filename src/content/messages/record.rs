//! The records of conversations and messages.

use serde::Serialize;

pub use crate::content::Presence;
use crate::content::Time;

/// The address of a person: a number, a mail address, or the name of a company that sends SMS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Handle {
    /// The address as Messages uses it: `+447700900123`, `ana@example.com`.
    pub address: String,
    /// The country in which a number was typed, as two letters of ISO 3166 in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The name of the person in the contacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A conversation. The same people can have one chat for each service on the phone, which Messages
/// shows as one conversation, and so do the readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chat {
    /// The rows of its chats in the database. The first names the conversation.
    pub ids: Vec<i64>,
    /// The phone's identifiers of its chats.
    pub guids: Vec<String>,
    /// The address of the other person, or the phone's identifier of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The name that its members gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// True for a group.
    pub is_group: bool,
    /// The other members.
    pub participants: Vec<Handle>,
    /// The services of its chats: iMessage, SMS, RCS.
    pub services: Vec<String>,
}

impl Handle {
    /// Returns the name of the person, else the address.
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }
}

/// The most members that the title of a group names.
const TITLE_MEMBERS: usize = 4;

impl Chat {
    /// Returns the title: the name of the conversation, else those of its members.
    pub fn title(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let members: Vec<&str> = self.participants.iter().map(Handle::shown).collect();
        match (members.as_slice(), &self.identifier) {
            ([], Some(identifier)) => identifier.clone(),
            ([], None) => "Unknown".to_owned(),
            (members, _) if members.len() > TITLE_MEMBERS => {
                let more = members.len() - TITLE_MEMBERS;
                format!("{} and {more} more", members[..TITLE_MEMBERS].join(", "))
            }
            (members, _) => members.join(", "),
        }
    }
}

/// A message, or an event in a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Message {
    /// The row in the database.
    pub id: i64,
    /// The phone's identifier of the message.
    pub guid: String,
    /// The time it was sent or received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// True if the owner of the phone sent it.
    pub from_me: bool,
    /// The sender of a received message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Handle>,
    /// iMessage, SMS or RCS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The subject line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text of all parts, without the places of attachments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Texts and attachments in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The reason that the body cannot be decoded. The text is then unknown, not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<String>,
    /// The time a sent message was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Time>,
    /// The time it was read: by the owner, or for a sent message by the recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Time>,
    /// The number of the error if it was not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<i64>,
    /// The message that this one answers in a thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Reply>,
    /// Reactions to it, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// The reaction that this row is, if the message that it belongs to is gone. Other reactions
    /// are with their messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction_to: Option<Box<LostReaction>>,
    /// Earlier texts of parts that were edited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// The numbers of parts that were unsent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsent_parts: Vec<u64>,
    /// True if all of it was unsent.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub unsent: bool,
    /// An event in the conversation instead of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// The preview of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkPreview>,
    /// The content of another application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppMessage>,
    /// The effect with which it was sent, as the phone names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// True if it is among the recently deleted messages.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub deleted: bool,
    /// The time it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
}

impl Message {
    /// Returns the attachments, and the stickers of reactions.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        let of_parts = self.parts.iter().filter_map(|part| match part {
            Part::Attachment(attachment) => Some(attachment),
            Part::Text { .. } => None,
        });
        let stickers = self.reactions.iter().filter_map(|one| one.sticker.as_ref());
        of_parts.chain(stickers)
    }

    /// Returns the attachments, and the stickers of reactions.
    pub fn attachments_mut(&mut self) -> impl Iterator<Item = &mut Attachment> {
        let of_parts = self.parts.iter_mut().filter_map(|part| match part {
            Part::Attachment(attachment) => Some(attachment),
            Part::Text { .. } => None,
        });
        let stickers = self.reactions.iter_mut();
        of_parts.chain(stickers.filter_map(|one| one.sticker.as_mut()))
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// Ranges with a style or a meaning.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        styles: Vec<Style>,
    },
    /// An attachment.
    Attachment(Attachment),
}

/// A range of a text with a style or a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Style {
    /// Start of the range, in characters (Unicode scalar values).
    pub start: usize,
    /// Length of the range in characters.
    pub length: usize,
    /// The style.
    #[serde(flatten)]
    pub look: Look,
}

/// The style or meaning of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "style", content = "value", rename_all = "snake_case")]
pub enum Look {
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Underlined.
    Underline,
    /// Struck through.
    Strikethrough,
    /// An animation, as the phone names or numbers it.
    Effect(String),
    /// A link to this address.
    Link(String),
    /// A mention of the person with this address.
    Mention(String),
}

/// An attachment of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The phone's identifier of the attachment.
    pub guid: String,
    /// The name that people know. Another person may have chosen it, and it is not a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The MIME type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Apple's name of the type, such as `public.heic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uti: Option<String>,
    /// The size in bytes that the database says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The state of its file.
    pub file: Presence,
    /// The path of its file in MediaDomain, if the backup has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The path of the copy below the folder of an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
    /// True for a sticker.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub sticker: bool,
    /// The description of a picture that the phone made from an emoji or a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The text of a voice message, as the phone understood it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcription: Option<String>,
}

/// A message, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The phone's identifier of the message, which need not exist any more.
    pub guid: String,
    /// The number of the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
}

/// The message that a reply answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// The phone's identifier of the message, which need not exist any more.
    pub guid: String,
    /// The number of the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// The message, if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
}

/// The beginning of a message that another one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// True if the owner of the phone sent it.
    pub from_me: bool,
    /// The sender of a received message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Handle>,
    /// The beginning of its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reaction {
    /// The kind of reaction.
    pub reaction: ReactionKind,
    /// The emoji of a reaction of the kind `emoji`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// The sticker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticker: Option<Attachment>,
    /// True if the owner of the phone reacted.
    pub from_me: bool,
    /// The person that reacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Handle>,
    /// The time of the reaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The part of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// State of the reaction: it counts, or a later one replaced it.
    pub state: ReactionState,
}

/// A reaction without its message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LostReaction {
    /// The message that is gone.
    pub target: Target,
    /// True if the row takes a reaction back.
    pub takes_back: bool,
    /// The reaction.
    #[serde(flatten)]
    pub reaction: Reaction,
}

/// The kinds of reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReactionKind {
    /// A heart.
    Love,
    /// Thumbs up.
    Like,
    /// Thumbs down.
    Dislike,
    /// "Ha ha".
    Laugh,
    /// Two exclamation marks.
    Emphasize,
    /// A question mark.
    Question,
    /// Any emoji.
    Emoji,
    /// A sticker.
    Sticker,
}

/// The state of a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReactionState {
    /// It counts.
    Current,
    /// Replaced: this person reacted in another way later.
    Replaced,
    /// The person took it back.
    Removed,
}

/// The texts that a part had before it was edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The number of the part.
    pub part: u64,
    /// Texts, oldest first. The last one is the present text.
    pub versions: Vec<Version>,
}

/// A text of an edited part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The time from which the part had this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The text; absent if it cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// An event in a conversation. Its actor is the sender of the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A person was added.
    Added {
        /// The person.
        #[serde(skip_serializing_if = "Option::is_none")]
        person: Option<Handle>,
    },
    /// The sender joined.
    Joined,
    /// A person was removed.
    Removed {
        /// The person.
        #[serde(skip_serializing_if = "Option::is_none")]
        person: Option<Handle>,
    },
    /// The sender left.
    Left,
    /// The conversation got a name, or lost it.
    Renamed {
        /// The new name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The conversation got a picture.
    PhotoSet,
    /// The picture was removed.
    PhotoRemoved,
    /// The sender began or ended to share a location.
    LocationShared,
    /// A voice message was kept.
    AudioKept,
    /// An event that is not known.
    Unknown {
        /// The phone's number of the event.
        item_type: i64,
    },
}

/// The preview of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LinkPreview {
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The title of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The summary of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// The content of another application: a game, a payment, a poll.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AppMessage {
    /// The bundle id of the application.
    pub bundle_id: String,
    /// The name of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The text that stands for the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
