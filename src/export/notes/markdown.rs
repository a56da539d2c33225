//! Notes as Markdown (CommonMark, with the tables and task lists of GitHub): `TITLE.md`. The facts
//! of a note stand before it as YAML, as Obsidian and others expect.

use super::{Place, Writer, label, remark};
use crate::content::notes::{Attachment, Note, Paragraph, ParagraphKind, Piece, Styled};
use crate::export::destination::Target;
use crate::export::record_file::RecordFile;
use crate::export::{Error, escape};

/// Writes a file for each note.
pub(super) struct Markdown;

impl Writer for Markdown {
    fn note(&mut self, target: &mut Target, note: &Note, place: &Place) -> Result<(), Error> {
        let mut file = RecordFile::create(target, &place.file("md"))?;
        file.write(&matter(note))?;
        if let Some(remark) = remark(note) {
            file.write(&format!("*{}*\n", escaped(&remark)))?;
        }
        file.write(&body(note, &place.up()))?;
        file.finish()
    }

    fn finish(self: Box<Self>, _: &mut Target) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns the facts of a note as YAML. Texts are written as in JSON, which YAML includes.
fn matter(note: &Note) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let folders = note.folders.join("/");
    let mut yaml = "---\n".to_owned();
    for (name, value) in [
        ("title", note.title.as_deref()),
        ("account", note.account.as_deref()),
        (
            "folder",
            Some(folders.as_str()).filter(|folder| !folder.is_empty()),
        ),
        ("password_hint", note.password_hint.as_deref()),
        ("undecodable", note.undecodable.as_deref()),
    ] {
        if let Some(value) = value {
            yaml += &format!("{name}: {}\n", text(value));
        }
    }
    for (name, time) in [("created", note.created), ("modified", note.modified)] {
        if let Some(time) = time {
            yaml += &format!("{name}: {time}\n");
        }
    }
    if !note.tags.is_empty() {
        let tags: Vec<String> = note.tags.iter().map(|tag| text(tag)).collect();
        yaml += &format!("tags: [{}]\n", tags.join(", "));
    }
    for (name, is_set) in [
        ("pinned", note.pinned),
        ("locked", note.locked),
        ("deleted", note.deleted),
    ] {
        if is_set {
            yaml += &format!("{name}: true\n");
        }
    }
    yaml + "---\n\n"
}

fn body(note: &Note, up: &str) -> String {
    let mut text = String::new();
    let mut lines = note.paragraphs.iter().peekable();
    let mut number = 0;
    while let Some(line) = lines.next() {
        number = if line.kind == ParagraphKind::Numbered {
            number + 1
        } else {
            0
        };
        if line.kind == ParagraphKind::Monospaced {
            let mut code = vec![line.text()];
            while let Some(next) = lines.next_if(|next| next.kind == line.kind) {
                code.push(next.text());
            }
            text += &fenced(&code);
            text += "\n";
            continue;
        }
        let quote = if line.quote { "> " } else { "" };
        let indent = "    ".repeat(line.indent as usize);
        let inner = pieces(line, up);
        let is_table = line.pieces.iter().any(
            |piece| matches!(piece, Piece::Attachment { attachment } if attachment.table.is_some()),
        );
        let (mark, content) = match line.kind {
            ParagraphKind::Title => ("# ".to_owned(), inner),
            ParagraphKind::Heading => ("## ".to_owned(), inner),
            ParagraphKind::Subheading => ("### ".to_owned(), inner),
            ParagraphKind::Dotted => (format!("{indent}* "), inner),
            ParagraphKind::Dashed => (format!("{indent}- "), inner),
            ParagraphKind::Numbered => (format!("{indent}{number}. "), inner),
            ParagraphKind::Checklist { done: true } => (format!("{indent}- [x] "), inner),
            ParagraphKind::Checklist { done: false } => (format!("{indent}- [ ] "), inner),
            ParagraphKind::Monospaced | ParagraphKind::Body => (String::new(), inner),
        };
        text += &format!("{quote}{mark}{content}");
        let next = lines.peek();
        let is_item = |kind: ParagraphKind| {
            matches!(
                kind,
                ParagraphKind::Dotted
                    | ParagraphKind::Dashed
                    | ParagraphKind::Numbered
                    | ParagraphKind::Checklist { .. }
            )
        };
        // Items of a list follow each other, and lines of a text are broken by two spaces.
        text += match next {
            Some(next) if is_item(line.kind) && is_item(next.kind) => "\n",
            Some(next)
                if line.kind == ParagraphKind::Body
                    && next.kind == line.kind
                    && next.quote == line.quote
                    && !is_table
                    && !line.pieces.is_empty()
                    && !next.pieces.is_empty() =>
            {
                "  \n"
            }
            _ => "\n\n",
        };
    }
    text
}

/// Returns lines of code between fences that are longer than any of its own.
fn fenced(lines: &[String]) -> String {
    let code = lines.join("\n");
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}\n", visible(&code))
}

fn pieces(line: &Paragraph, up: &str) -> String {
    let mut text = String::new();
    let count = line.pieces.len();
    for piece in &line.pieces {
        match piece {
            Piece::Text(styled) => text += &self::styled(styled),
            Piece::Attachment { attachment } => {
                text += &self::attachment(attachment, up, count == 1)
            }
        }
    }
    // What begins a line must not make it a heading or an item of a list.
    let trimmed = text.trim_start();
    let digits = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
    if trimmed.starts_with(['#', '+', '-', '=', ':']) {
        return format!("\\{trimmed}");
    }
    if digits.len() < trimmed.len() && digits.starts_with(['.', ')']) {
        let number = &trimmed[..trimmed.len() - digits.len()];
        return format!("{number}\\{digits}");
    }
    trimmed.to_owned()
}

fn styled(styled: &Styled) -> String {
    let inner = styled.text.trim_matches(' ');
    if inner.is_empty() {
        return styled.text.clone();
    }
    // Marks with spaces inside of them are no marks.
    let start = styled.text.len() - styled.text.trim_start_matches(' ').len();
    let before = " ".repeat(start);
    let after = " ".repeat(styled.text.len() - start - inner.len());
    let mut text = escaped(inner);
    if let Some(link) = styled.link.as_deref().and_then(address) {
        text = format!("[{text}](<{link}>)");
    }
    if styled.underline {
        text = format!("<u>{text}</u>");
    }
    if styled.strikethrough {
        text = format!("~~{text}~~");
    }
    text = match (styled.bold, styled.italic) {
        (true, true) => format!("***{text}***"),
        (true, false) => format!("**{text}**"),
        (false, true) => format!("*{text}*"),
        (false, false) => text,
    };
    format!("{before}{text}{after}")
}

/// Returns an address that may be followed, in a form that cannot end a link.
fn address(link: &str) -> Option<String> {
    if !crate::export::page::is_followed(link) {
        return None;
    }
    let plain = link.trim().chars().filter(|c| !c.is_control());
    Some(
        plain
            .map(|c| match c {
                '<' => "%3C".to_owned(),
                '>' => "%3E".to_owned(),
                '\\' => "%5C".to_owned(),
                ' ' => "%20".to_owned(),
                c => c.to_string(),
            })
            .collect(),
    )
}

/// `alone`: the line has nothing else, so it may become a table.
fn attachment(attachment: &Attachment, up: &str, alone: bool) -> String {
    if let Some(table) = &attachment.table {
        let rows = table.rows.iter().map(|row| {
            let cells: Vec<String> = row.iter().map(|cell| self::cell(cell)).collect();
            format!("| {} |", cells.join(" | "))
        });
        let mut rows: Vec<String> = rows.collect();
        if let Some(first) = table.rows.first() {
            rows.insert(1, format!("|{}", " --- |".repeat(first.len())));
        }
        let before = if alone { "" } else { "\n\n" };
        return format!("{before}{}", rows.join("\n"));
    }
    if let Some(text) = &attachment.text {
        return escaped(text);
    }
    if let Some(why) = &attachment.undecodable {
        return format!(
            "*{}*",
            escaped(&format!("[a table that cannot be decoded: {why}]"))
        );
    }
    if !attachment.parts.is_empty() {
        let parts = attachment.parts.iter();
        let parts: Vec<String> = parts
            .map(|part| self::attachment(part, up, false))
            .collect();
        return parts.join(" ");
    }
    let label = escaped(&label(attachment));
    if let Some(path) = &attachment.exported {
        let picture = if super::is_picture(path) { "!" } else { "" };
        return format!("{picture}[{label}]({up}{})", escape::link(path));
    }
    match attachment.url.as_deref().and_then(address) {
        Some(url) => format!("[{label}](<{url}>)"),
        None => format!("\\[{label}\\]"),
    }
}

fn cell(text: &str) -> String {
    escaped(text.trim()).replace("  \n", "<br>")
}

/// Escapes a text, so that a reader of Markdown shows it as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '\n' => escaped.push_str("  \n"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' | '|' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Returns a text without characters that move the cursor or turn the text. All line breaks within
/// a line of a note become `\n`.
fn visible(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .map(|c| match c {
            '\u{2028}' | '\u{2029}' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' => '\n',
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_markdown_are_escaped() {
        assert_eq!(
            escaped("*a* [b](c) <d> `e` f|g\u{2028}h"),
            "\\*a\\* \\[b\\](c) \\<d\\> \\`e\\` f\\|g  \nh"
        );
        let line = |text: &str| Paragraph {
            pieces: vec![Piece::Text(Styled {
                text: text.to_owned(),
                ..Styled::default()
            })],
            ..Paragraph::default()
        };
        for (text, expected) in [
            ("# a", "\\# a"),
            ("12. a", "12\\. a"),
            ("12 a", "12 a"),
            ("---", "\\---"),
            ("    code", "code"),
        ] {
            assert_eq!(pieces(&line(text), ""), expected);
        }
        let code = fenced(&["a ``` b".to_owned()]);
        assert_eq!(code, "````\na ``` b\n````\n");
    }

    #[test]
    fn links_stay_within_their_brackets() {
        let linked = |link: &str| {
            styled(&Styled {
                text: " a ".to_owned(),
                bold: true,
                link: Some(link.to_owned()),
                ..Styled::default()
            })
        };
        assert_eq!(
            linked("https://example.org/a b>c"),
            " **[a](<https://example.org/a%20b%3Ec>)** "
        );
        assert_eq!(linked("javascript:alert(1)"), " **a** ");
    }
}
