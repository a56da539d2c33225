//! The records of notes.

use serde::Serialize;

use crate::content::{Presence, Time};

/// A note.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Note {
    /// The row in the database.
    pub id: i64,
    /// The phone's identifier.
    pub guid: String,
    /// The title: the first line, as Notes stores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The name of its account, such as iCloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The names of its folders, the outermost first.
    pub folders: Vec<String>,
    /// The time at which it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// The time of its last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<Time>,
    /// True if it stays at the top of its folder.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub pinned: bool,
    /// True if it is locked with a password. Its text is encrypted, and not here.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub locked: bool,
    /// The hint for the password, which the owner wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hint: Option<String>,
    /// True if it was deleted, and is not yet gone.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub deleted: bool,
    /// The tags in its text, without `#`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The whole text, without styles and attachments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text and its attachments, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paragraphs: Vec<Paragraph>,
    /// The reason that its text is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<String>,
    /// The reasons to doubt a date.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// A line of a note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Paragraph {
    /// The kind of line.
    #[serde(flatten)]
    pub kind: ParagraphKind,
    /// The depth of the indentation; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub indent: u32,
    /// True in a block quote.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub quote: bool,
    /// The text and its attachments, in order.
    pub pieces: Vec<Piece>,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// The kinds of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ParagraphKind {
    /// Plain text.
    #[default]
    Body,
    /// The title of the note.
    Title,
    /// A heading.
    Heading,
    /// A smaller heading.
    Subheading,
    /// A line in a font whose characters have one width.
    Monospaced,
    /// An item of a list with dots.
    Dotted,
    /// An item of a list with dashes.
    Dashed,
    /// An item of a list with numbers.
    Numbered,
    /// An item of a checklist.
    Checklist {
        /// True if it is ticked.
        done: bool,
    },
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Piece {
    /// Text with one style.
    Text(Styled),
    /// An attachment, a table, a tag or a mention.
    Attachment {
        /// The attachment.
        attachment: Box<Attachment>,
    },
}

/// Text with one style.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Styled {
    /// The text.
    pub text: String,
    /// True for bold text.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub bold: bool,
    /// True for text in italics.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub italic: bool,
    /// True for underlined text.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub underline: bool,
    /// True for text that is struck through.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub strikethrough: bool,
    /// The address of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Styled {
    /// Returns true if both have the same style.
    pub(super) fn looks_like(&self, other: &Styled) -> bool {
        let style = |one: &Styled| (one.bold, one.italic, one.underline, one.strikethrough);
        style(self) == style(other) && self.link == other.link
    }
}

/// An attachment of a note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The phone's identifier.
    pub guid: String,
    /// Apple's name of its type, such as `public.jpeg` or `com.apple.notes.table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uti: Option<String>,
    /// The name to show: of the file, or the title of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The text in the line: a tag, a mention, a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The address of a linked page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The cells of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// The reason that a table is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<String>,
    /// The state of its file; `None` if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Presence>,
    /// The path of its file in the domain of Notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The path of its file below the folder of an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
    /// The attachments that it groups, such as the pages of a scan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Attachment>,
}

/// The text of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The cells of each row. All rows have the same length.
    pub rows: Vec<Vec<String>>,
    /// True if the first column is on the right.
    #[serde(skip_serializing_if = "crate::content::value::is_false")]
    pub right_to_left: bool,
}

impl Note {
    /// Returns all attachments, without those that others group.
    pub fn attachments_mut(&mut self) -> impl Iterator<Item = &mut Attachment> {
        let pieces = self.paragraphs.iter_mut().flat_map(|line| &mut line.pieces);
        pieces.filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Attachment { attachment } => Some(attachment.as_mut()),
        })
    }
}

impl Paragraph {
    /// Returns the text, without styles and attachments.
    pub fn text(&self) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(styled) => styled.text.as_str(),
            Piece::Attachment { attachment } => attachment.text.as_deref().unwrap_or_default(),
        });
        pieces.collect()
    }
}
