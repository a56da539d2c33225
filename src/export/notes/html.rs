//! Notes as pages to read: `index.html`, and `TITLE.html` for each note.

use std::collections::BTreeMap;

use super::{Place, Writer, label, remark, title};
use crate::base::units::counted;
use crate::content::notes::{Attachment, Note, Paragraph, ParagraphKind, Piece, Styled};
use crate::export::destination::Target;
use crate::export::record_file::RecordFile;
use crate::export::words::local;
use crate::export::{Error, escape, page};

/// The most characters of a note in the index, which its search finds.
const EXCERPT_MAX: usize = 400;
/// The deepest indentation that the style of the pages has.
const INDENT_MAX: u32 = 8;
/// Hides the notes that do not have the words of the search.
const SCRIPT: &str = "const query = document.getElementById('query');
query.addEventListener('input', () => {
  const words = query.value.trim().toLowerCase();
  for (const item of document.querySelectorAll('li')) item.hidden = !item.textContent.toLowerCase().includes(words);
});
";

/// Writes the pages. The index needs some 500 bytes of memory for each note.
pub(super) struct Html {
    /// The entries of the index, by folder.
    folders: BTreeMap<String, Vec<String>>,
}

impl Html {
    pub(super) fn create(_: &mut Target) -> Result<Html, Error> {
        Ok(Html {
            folders: BTreeMap::new(),
        })
    }
}

impl Writer for Html {
    fn note(&mut self, target: &mut Target, note: &Note, place: &Place) -> Result<(), Error> {
        let parts = place.file("html");
        let path = escape::link(&parts.join("/"));
        let mut file = RecordFile::create(target, &parts)?;
        let up = place.up();
        file.write(&page::head(title(note), false))?;
        file.write(&header(note, &up))?;
        file.write("<main class=\"note\">\n")?;
        file.write(&article(note, &up))?;
        file.write("</main>\n")?;
        file.write(page::foot())?;
        file.finish()?;
        let folder = folder(note);
        // The link has the title already.
        let text = note.text.as_deref().unwrap_or_default();
        let text = text.strip_prefix(title(note)).unwrap_or(text);
        let excerpt: String = text.trim_start().chars().take(EXCERPT_MAX).collect();
        let state = [
            (note.pinned, "pinned"),
            (note.locked, "locked"),
            (note.deleted, "deleted"),
            (note.undecodable.is_some(), "not decodable"),
        ];
        let state = state.into_iter().filter(|(is_set, _)| *is_set);
        let state: String = state.map(|(_, word)| format!(" · {word}")).collect();
        let entry = format!(
            "<li><a href=\"{path}\" dir=\"auto\">{}</a><p class=\"soft\">{}{state}</p>\
             <p class=\"soft excerpt\" dir=\"auto\">{}</p></li>\n",
            escape::html(title(note)),
            note.modified.map(local).unwrap_or_default(),
            escape::html(&excerpt)
        );
        self.folders.entry(folder).or_default().push(entry);
        Ok(())
    }

    fn finish(self: Box<Self>, target: &mut Target) -> Result<(), Error> {
        let mut file = RecordFile::create(target, &["index.html".to_owned()])?;
        let total: usize = self.folders.values().map(Vec::len).sum();
        file.write(&page::head("Notes", true))?;
        file.write(&format!(
            "<header><h1>Notes</h1>\n<p>{}</p>\n<p class=\"search\"><input type=\"search\" id=\"query\" \
             placeholder=\"Titles and beginnings of notes\" aria-label=\"Search\"></p></header>\n<main>\n",
            counted(total as u64, "note")
        ))?;
        for (folder, entries) in &self.folders {
            file.write(&format!(
                "<h2 dir=\"auto\">{}</h2>\n<ul class=\"list\">\n",
                escape::html(folder)
            ))?;
            for entry in entries {
                file.write(entry)?;
            }
            file.write("</ul>\n")?;
        }
        file.write(&format!("</main>\n<script>\n{SCRIPT}</script>\n"))?;
        file.write(page::foot())?;
        file.finish()
    }
}

/// Returns the text of a note, or the reason that it has none. `up` leads to the folder that the
/// paths of attachments begin in.
pub(crate) fn article(note: &Note, up: &str) -> String {
    let remark = remark(note).map(|remark| {
        let bad = if note.locked { "" } else { " class=\"bad\"" };
        format!("<p{bad}>{}</p>\n", escape::html(&remark))
    });
    remark.unwrap_or_default() + &body(note, up)
}

/// Returns the account and the folders of a note.
pub(crate) fn folder(note: &Note) -> String {
    let account = note.account.as_deref().unwrap_or(super::NO_ACCOUNT);
    let names = std::iter::once(account).chain(note.folders.iter().map(String::as_str));
    names.collect::<Vec<_>>().join(" › ")
}

fn header(note: &Note, up: &str) -> String {
    let mut html = format!(
        "<header><p class=\"search\"><a href=\"{up}index.html\">All notes</a></p>\n<h1 dir=\"auto\">{}</h1>\n\
         <p><bdi>{}</bdi></p>\n",
        escape::html(title(note)),
        escape::html(&folder(note))
    );
    for (word, time) in [("Created", note.created), ("Changed", note.modified)] {
        if let Some(time) = time {
            html += &format!("<p>{word} {}</p>\n", local(time));
        }
    }
    if note.deleted {
        html += "<p>Recently deleted</p>\n";
    }
    html + "</header>\n"
}

fn body(note: &Note, up: &str) -> String {
    let mut html = String::new();
    let mut number = 0;
    // The header has the title already.
    let is_title =
        |line: &&Paragraph| line.kind == ParagraphKind::Title && line.text() == title(note);
    let skipped = usize::from(note.paragraphs.first().as_ref().is_some_and(is_title));
    for line in &note.paragraphs[skipped..] {
        number = if line.kind == ParagraphKind::Numbered {
            number + 1
        } else {
            0
        };
        let inner: String = line
            .pieces
            .iter()
            .map(|piece| self::piece(piece, up))
            .collect();
        // The style of the pages indents by class: a policy can forbid styles in the text.
        let indent = match line.indent.min(INDENT_MAX) {
            0 => String::new(),
            depth => format!(" in{depth}"),
        };
        let item = |mark: &str| {
            format!(
                "<div class=\"item{indent}\" dir=\"auto\"><span>{mark}</span><div>{inner}</div></div>\n"
            )
        };
        let block = match line.kind {
            ParagraphKind::Title => format!("<h1 dir=\"auto\">{inner}</h1>\n"),
            ParagraphKind::Heading => format!("<h2 dir=\"auto\">{inner}</h2>\n"),
            ParagraphKind::Subheading => format!("<h3 dir=\"auto\">{inner}</h3>\n"),
            ParagraphKind::Monospaced => format!("<pre>{inner}</pre>\n"),
            ParagraphKind::Dotted => item("•"),
            ParagraphKind::Dashed => item("–"),
            ParagraphKind::Numbered => item(&format!("{number}.")),
            ParagraphKind::Checklist { done: true } => item("☑"),
            ParagraphKind::Checklist { done: false } => item("☐"),
            ParagraphKind::Body if inner.is_empty() => "<p><br></p>\n".to_owned(),
            ParagraphKind::Body => {
                format!("<div class=\"line{indent}\" dir=\"auto\">{inner}</div>\n")
            }
        };
        html += &if line.quote {
            format!("<blockquote>{block}</blockquote>\n")
        } else {
            block
        };
    }
    html
}

fn piece(piece: &Piece, up: &str) -> String {
    match piece {
        Piece::Text(styled) => self::styled(styled),
        Piece::Attachment { attachment } => self::attachment(attachment, up),
    }
}

fn styled(styled: &Styled) -> String {
    let mut html = match &styled.link {
        Some(link) => page::link(link, &styled.text),
        None => escape::html(&styled.text),
    };
    for (is_set, tag) in [
        (styled.bold, "b"),
        (styled.italic, "i"),
        (styled.underline, "u"),
        (styled.strikethrough, "s"),
    ] {
        if is_set {
            html = format!("<{tag}>{html}</{tag}>");
        }
    }
    html
}

fn attachment(attachment: &Attachment, up: &str) -> String {
    if let Some(table) = &attachment.table {
        let dir = if table.right_to_left {
            " dir=\"rtl\""
        } else {
            ""
        };
        let rows = table.rows.iter().map(|row| {
            let cells = row.iter();
            let cells: String = cells
                .map(|cell| format!("<td dir=\"auto\">{}</td>", escape::html(cell)))
                .collect();
            format!("<tr>{cells}</tr>\n")
        });
        let rows: String = rows.collect();
        return format!("<table{dir}>\n{rows}</table>\n");
    }
    if let Some(text) = &attachment.text {
        return format!("<b><bdi>{}</bdi></b>", escape::html(text));
    }
    if let Some(why) = &attachment.undecodable {
        let why = escape::html(why);
        return format!("<span class=\"bad\">A table that cannot be decoded: {why}</span>");
    }
    if !attachment.parts.is_empty() {
        let parts = attachment.parts.iter();
        return parts.map(|part| self::attachment(part, up)).collect();
    }
    let label = self::label(attachment);
    let text = escape::html(&label);
    match &attachment.exported {
        Some(path) => {
            let link = format!("{up}{}", escape::link(path));
            if super::is_picture(path) {
                format!(
                    "<a href=\"{link}\"><img src=\"{link}\" alt=\"{text}\" loading=\"lazy\"></a>"
                )
            } else {
                format!("<a href=\"{link}\"><bdi>{text}</bdi></a>")
            }
        }
        None => match &attachment.url {
            Some(url) => page::link(url, &label),
            None => format!("<span class=\"soft\">[<bdi>{text}</bdi>]</span>"),
        },
    }
}
