//! Decodes the body of a note: a gzip stream with a message of protocol buffers.
//!
//! The numbers of the fields are those of proto/notestore.proto of the project
//! apple_cloud_notes_parser (MIT).
//!
//! ```text
//! 2.3        the note
//!   2        the whole text; U+FFFC stands for an attachment
//!   5        a run: 1 length in UTF-16 units, 2 kind of line (1 style, 4 indentation, 5.2 ticked,
//!            8 quote), 5 weight (1 bold, 2 italic, 3 both), 6 underlined, 7 struck through,
//!            9 link, 12 attachment (1 identifier, 2 type)
//! ```

use std::io::Read;

use flate2::read::GzDecoder;

use super::record::{Paragraph, ParagraphKind, Piece, Styled};
use crate::content::protobuf::{Fields, Value};

/// The most bytes of an unpacked body. 64 MB of zeros need 64 KB as gzip; a long book has 2 MB.
const BODY_BYTES_MAX: u64 = 16 << 20;
/// The most runs and the most lines of a note. The text behind them has no styles and is one line.
const PARTS_MAX: usize = 1 << 17;
/// The character that represents an attachment in a text.
pub(super) const PLACE: char = '\u{fffc}';

/// Unpacks a body. The error says why that is not possible.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(packed)
        .take(BODY_BYTES_MAX + 1)
        .read_to_end(&mut bytes);
    match read {
        Err(e) => Err(format!("it is not a whole gzip stream: {e}")),
        Ok(_) if bytes.len() as u64 > BODY_BYTES_MAX => {
            Err(format!("it is larger than {} MB", BODY_BYTES_MAX >> 20))
        }
        Ok(_) => Ok(bytes),
    }
}

/// A decoded body, whose attachments are only named.
pub(super) struct Body<'a> {
    pub(super) lines: Vec<Line<'a>>,
}

/// A line of a body.
#[derive(Default)]
pub(super) struct Line<'a> {
    pub(super) paragraph: Paragraph,
    /// The attachments, each with the index of the piece before which it stands.
    pub(super) attachments: Vec<(usize, Named<'a>)>,
}

/// The place of an attachment in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) guid: &'a str,
    pub(super) uti: Option<&'a str>,
}

/// Decodes an unpacked body.
pub(super) fn decode(bytes: &[u8]) -> Result<Body<'_>, String> {
    let note = Fields::of(bytes)
        .message(2)
        .and_then(|document| document.message(3))
        .ok_or("it has no text")?;
    let text = text(note.first(2).and_then(Value::bytes).unwrap_or_default())?;
    let mut lines = vec![Line::default()];
    let mut rest = text;
    let mut runs = 0;
    let mut fields = note;
    for (number, value) in fields.by_ref() {
        if rest.is_empty() || runs == PARTS_MAX {
            break;
        }
        if number != 5 {
            continue;
        }
        runs += 1;
        let run = Fields::of(value.bytes().ok_or("it has a run that is not a message")?);
        let units = run.first(1).and_then(Value::number).unwrap_or(0);
        let (piece, after) = split(rest, units);
        rest = after;
        add(&mut lines, piece, &Run::of(run));
    }
    if !fields.is_whole() {
        return Err("it is cut off".to_owned());
    }
    add(&mut lines, rest, &Run::default());
    // The text of a note ends with a line break, which begins no line.
    if lines.len() > 1
        && lines
            .last()
            .is_some_and(|line| line.paragraph.pieces.is_empty() && line.attachments.is_empty())
    {
        lines.pop();
    }
    Ok(Body { lines })
}

/// Returns the text of a note or of a cell.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "its text is not UTF-8".to_owned())
}

/// Splits a text behind a number of UTF-16 units. A character of two units is never cut.
fn split(text: &str, units: u64) -> (&str, &str) {
    let mut counted = 0;
    let end = text
        .char_indices()
        .find(|(_, c)| {
            let is_end = counted >= units;
            counted += c.len_utf16() as u64;
            is_end
        })
        .map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}

/// The style of a run.
#[derive(Default)]
struct Run<'a> {
    kind: ParagraphKind,
    indent: u32,
    quote: bool,
    style: Styled,
    attachment: Option<Named<'a>>,
}

impl<'a> Run<'a> {
    fn of(run: Fields<'a>) -> Run<'a> {
        let flag = |fields: Fields<'_>, number| {
            let value = fields.first(number).and_then(Value::number);
            value.is_some_and(|value| value != 0)
        };
        let text = |fields: Fields<'a>, number| {
            let bytes = fields.first(number).and_then(Value::bytes)?;
            std::str::from_utf8(bytes).ok()
        };
        let line = run.message(2).unwrap_or(Fields::of(b""));
        let style = line.first(1).and_then(Value::signed).unwrap_or(-1);
        let weight = run.first(5).and_then(Value::number).unwrap_or(0);
        let indent = line.first(4).and_then(Value::number).unwrap_or(0);
        let attachment = run.message(12).and_then(|place| {
            Some(Named {
                guid: text(place, 1)?,
                uti: text(place, 2),
            })
        });
        Run {
            kind: match style {
                0 => ParagraphKind::Title,
                1 => ParagraphKind::Heading,
                2 => ParagraphKind::Subheading,
                4 => ParagraphKind::Monospaced,
                100 => ParagraphKind::Dotted,
                101 => ParagraphKind::Dashed,
                102 => ParagraphKind::Numbered,
                103 => ParagraphKind::Checklist {
                    done: line.message(5).is_some_and(|item| flag(item, 2)),
                },
                _ => ParagraphKind::Body,
            },
            // Notes indents a few steps; a crafted note could have any number.
            indent: u32::try_from(indent).unwrap_or(0).min(20),
            quote: flag(line, 8),
            style: Styled {
                text: String::new(),
                bold: weight & 1 != 0,
                italic: weight & 2 != 0,
                underline: flag(run, 6),
                strikethrough: flag(run, 7),
                link: text(run, 9)
                    .filter(|link| !link.is_empty())
                    .map(str::to_owned),
            },
            attachment,
        }
    }
}

/// Adds the text of a run to the lines.
fn add<'a>(lines: &mut Vec<Line<'a>>, text: &str, run: &Run<'a>) {
    let mut rest = text;
    while !rest.is_empty() {
        let is_full = lines.len() >= PARTS_MAX;
        let (piece, ends) = match rest.split_once('\n').filter(|_| !is_full) {
            Some((piece, after)) => {
                rest = after;
                (piece, true)
            }
            None => (std::mem::take(&mut rest), false),
        };
        let Some(line) = lines.last_mut() else {
            return;
        };
        if line.paragraph.pieces.is_empty() && line.attachments.is_empty() {
            let pieces = Vec::new();
            line.paragraph = Paragraph {
                kind: run.kind,
                indent: run.indent,
                quote: run.quote,
                pieces,
            };
        }
        for (at, shown) in piece.split(PLACE).enumerate() {
            if at > 0
                && let Some(named) = run.attachment
            {
                line.attachments.push((line.paragraph.pieces.len(), named));
            }
            append(line, shown, &run.style);
        }
        if ends {
            lines.push(Line::default());
        }
    }
}

fn append(line: &mut Line<'_>, text: &str, style: &Styled) {
    if text.is_empty() {
        return;
    }
    let at = line.paragraph.pieces.len();
    let is_joined = line.attachments.last().is_none_or(|(place, _)| *place < at);
    match line.paragraph.pieces.last_mut() {
        Some(Piece::Text(last)) if is_joined && last.looks_like(style) => last.text += text,
        _ => line.paragraph.pieces.push(Piece::Text(Styled {
            text: text.to_owned(),
            ..style.clone()
        })),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn large_and_cut_bodies_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        let pack = |bytes: &[u8]| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::best());
            packed.write_all(bytes).and_then(|()| packed.finish())
        };
        let bomb = pack(&vec![0; 64 << 20])?;
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb), Err("it is larger than 16 MB".to_owned()));
        let whole = pack(b"a body")?;
        assert_eq!(unpack(&whole)?, b"a body");
        for bad in [&whole[..whole.len() - 1], b"this is no gzip", b""] {
            let refused = unpack(bad).unwrap_err();
            assert!(refused.starts_with("it is not a whole gzip stream"));
        }
        Ok(())
    }

    #[test]
    fn runs_count_in_utf16() {
        assert_eq!(split("a😀b", 3), ("a😀", "b"));
        // A run that ends within a character has all of it.
        assert_eq!(split("a😀b", 2), ("a😀", "b"));
        assert_eq!(split("a", 9), ("a", ""));
        assert_eq!(split("a", 0), ("", "a"));
    }
}
