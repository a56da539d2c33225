//! The body of a message: its text, with styles, and the places of its attachments.

use crate::content::messages::record::{Attachment, Look, Part, Style};
use crate::content::typedstream::{self, Attribute, AttributedText, Run};

/// The character that stands for an attachment in a body.
const PLACE: char = '\u{fffc}';
/// Names of attributes, as in the headers of IMSharedUtilities that several projects list.
const ATTACHMENT: &str = "__kIMFileTransferGUIDAttributeName";
const PART: &str = "__kIMMessagePartAttributeName";
const LINK: &str = "__kIMLinkAttributeName";
const MENTION: &str = "__kIMMentionConfirmedMention";
const EFFECT: &str = "__kIMTextEffectAttributeName";
const TRANSCRIPTION: &str = "IMAudioTranscription";
const STYLES: [(&str, Look); 4] = [
    ("__kIMTextBoldAttributeName", Look::Bold),
    ("__kIMTextItalicAttributeName", Look::Italic),
    ("__kIMTextUnderlineAttributeName", Look::Underline),
    ("__kIMTextStrikethroughAttributeName", Look::Strikethrough),
];
/// Animations by the phone's numbers, from the project iblue (MIT).
const EFFECTS: [(i64, &str); 8] = [
    (4, "ripple"),
    (5, "big"),
    (6, "bloom"),
    (8, "nod"),
    (9, "shake"),
    (10, "jitter"),
    (11, "small"),
    (12, "explode"),
];

/// The decoded body of a message.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) text: Option<String>,
    pub(super) parts: Vec<Part>,
    pub(super) undecodable: Option<String>,
}

/// Decodes a body. `text` and `archive` are the columns that can hold it, `attachments` those of
/// the message in the order of the database.
pub(super) fn decode(
    text: Option<String>,
    archive: Option<&[u8]>,
    attachments: Vec<Attachment>,
) -> Body {
    let text = text.filter(|text| !text.is_empty());
    let mut builder = Builder {
        attachments: attachments.into_iter().map(Some).collect(),
        parts: Vec::new(),
        number: None,
    };
    let mut undecodable = None;
    match archive.map(typedstream::attributed_text) {
        Some(Ok(body)) if !body.text.is_empty() => builder.read(&body),
        // An archive of an empty text beside a text was never seen, but the text is there.
        Some(Ok(_)) | None => builder.plain(text.as_deref().unwrap_or_default()),
        Some(Err(why)) => match &text {
            Some(text) => builder.plain(text),
            None => undecodable = Some(why.to_string()),
        },
    }
    let parts = builder.finish();
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        Part::Attachment(_) => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    Body {
        text: Some(text).filter(|text| !text.is_empty()),
        parts,
        undecodable,
    }
}

/// Returns the text of an archived body, without the places of attachments.
pub(super) fn text_of(archive: &[u8]) -> Option<String> {
    let body = typedstream::attributed_text(archive).ok()?;
    Some(body.text.replace(PLACE, ""))
}

struct Builder {
    attachments: Vec<Option<Attachment>>,
    parts: Vec<Part>,
    /// The phone's number of the part that the last text belongs to.
    number: Option<i64>,
}

impl Builder {
    fn read(&mut self, body: &AttributedText<'_>) {
        let mut covered = 0;
        for run in body.runs() {
            covered += run.text.len();
            let number = run.integer(PART);
            for piece in pieces(run.text) {
                if piece == "\u{fffc}" {
                    self.attachment(run.text(ATTACHMENT), run.text(TRANSCRIPTION));
                } else {
                    if number != self.number {
                        self.end_text();
                    }
                    self.number = number;
                    self.text(piece, &looks(&run));
                }
            }
        }
        self.plain(&body.text[covered..]);
    }

    /// Adds a text without attributes, in which each place takes the next attachment.
    fn plain(&mut self, text: &str) {
        for piece in pieces(text) {
            if piece == "\u{fffc}" {
                self.attachment(None, None);
            } else {
                self.text(piece, &[]);
            }
        }
    }

    fn text(&mut self, more: &str, looks: &[Look]) {
        if !matches!(self.parts.last(), Some(Part::Text { .. })) {
            self.parts.push(Part::Text {
                text: String::new(),
                styles: Vec::new(),
            });
        }
        let Some(Part::Text { text, styles }) = self.parts.last_mut() else {
            return;
        };
        if !looks.is_empty() {
            let start = text.chars().count();
            let length = more.chars().count();
            styles.extend(looks.iter().map(|look| Style {
                start,
                length,
                look: look.clone(),
            }));
        }
        text.push_str(more);
    }

    /// Makes sure that the next text begins a part of its own.
    fn end_text(&mut self) {
        if matches!(self.parts.last(), Some(Part::Text { text, .. }) if !text.is_empty()) {
            self.parts.push(Part::Text {
                text: String::new(),
                styles: Vec::new(),
            });
        }
    }

    /// Places an attachment: the one with this identifier, else the next one.
    fn attachment(&mut self, guid: Option<&str>, transcription: Option<&str>) {
        let named = guid.and_then(|guid| {
            self.attachments.iter().position(|one| {
                one.as_ref()
                    .is_some_and(|one| bare(&one.guid) == bare(guid))
            })
        });
        let next = || self.attachments.iter().position(Option::is_some);
        let Some(at) = named.or_else(next) else {
            return;
        };
        if let Some(mut attachment) = self.attachments[at].take() {
            attachment.transcription = transcription.map(str::to_owned);
            self.parts.push(Part::Attachment(attachment));
        }
    }

    fn finish(mut self) -> Vec<Part> {
        // Attachments that the body does not place.
        let left = self.attachments.into_iter().flatten();
        self.parts.extend(left.map(Part::Attachment));
        self.parts
            .retain(|part| !matches!(part, Part::Text { text, .. } if text.is_empty()));
        self.parts
    }
}

/// Returns an attachment's identifier without the number of its place: `at_0_GUID`.
fn bare(guid: &str) -> &str {
    let after_number = |rest: &str| rest.find('_').map(|at| at + 1);
    match guid.strip_prefix("at_") {
        Some(rest) => after_number(rest).map_or(guid, |at| &rest[at..]),
        None => guid,
    }
}

/// Splits a text into texts and single places of attachments.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(PLACE).flat_map(|piece| {
        let (before, place) = match piece.strip_suffix(PLACE) {
            Some(before) => (before, "\u{fffc}"),
            None => (piece, ""),
        };
        [before, place]
            .into_iter()
            .filter(|piece| !piece.is_empty())
    })
}

fn looks(run: &Run<'_>) -> Vec<Look> {
    let is_on = |name| run.integer(name).is_some_and(|number| number != 0);
    let mut looks: Vec<Look> = STYLES
        .iter()
        .filter(|(name, _)| is_on(name))
        .map(|(_, look)| look.clone())
        .collect();
    if let Some(number) = run.integer(EFFECT) {
        let known = EFFECTS.iter().find(|(known, _)| *known == number);
        let name = known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned());
        looks.push(Look::Effect(name));
    }
    match run.get(LINK) {
        Some(Attribute::Url(url)) => looks.push(Look::Link(url.to_string())),
        Some(Attribute::Text(url)) => looks.push(Look::Link((*url).to_owned())),
        _ => {}
    }
    if let Some(person) = run.text(MENTION) {
        looks.push(Look::Mention(person.to_owned()));
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::messages::record::Presence;

    fn attachment(guid: &str) -> Attachment {
        Attachment {
            guid: guid.to_owned(),
            name: None,
            mime_type: None,
            uti: None,
            bytes: None,
            file: Presence::Missing,
            path: None,
            exported: None,
            sticker: false,
            description: None,
            transcription: None,
        }
    }

    fn shown(body: &Body) -> Vec<&str> {
        fn part(part: &Part) -> &str {
            match part {
                Part::Text { text, .. } => text.as_str(),
                Part::Attachment(attachment) => attachment.guid.as_str(),
            }
        }
        body.parts.iter().map(part).collect()
    }

    #[test]
    fn plain_text_places_attachments_in_order() {
        let text = "\u{fffc}between\u{fffc}after".to_owned();
        let attachments = ["a", "b", "c"].map(attachment).to_vec();
        let body = decode(Some(text), None, attachments);
        assert_eq!(shown(&body), ["a", "between", "b", "after", "c"]);
        assert_eq!(body.text.as_deref(), Some("between\nafter"));
    }

    #[test]
    fn broken_body_is_marked_unless_text_is_there() {
        let broken = Some(&b"\x04\x0bstreamtyped\x81"[..]);
        let body = decode(None, broken, vec![attachment("a")]);
        assert_eq!(body.undecodable.as_deref(), Some("it is truncated"));
        assert_eq!((body.text.as_deref(), shown(&body)), (None, vec!["a"]));
        let body = decode(Some("there".to_owned()), broken, Vec::new());
        assert_eq!((&body.undecodable, shown(&body)), (&None, vec!["there"]));
    }

    #[test]
    fn attachment_numbers_do_not_matter() {
        for (one, other) in [("at_0_AB-1", "AB-1"), ("at_12_AB-1", "at_0_AB-1")] {
            assert_eq!(bare(one), bare(other));
        }
        assert_eq!((bare("at_x"), bare("")), ("at_x", ""));
    }
}
