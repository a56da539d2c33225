//! Writes the page of a list: entries under headings, with a search.

use crate::export::record_file::RecordFile;
use crate::export::{Error, escape, page};

/// Hides the entries that do not have the words of the search, and headings without entries.
const SCRIPT: &str = "const query = document.getElementById('query');
query.addEventListener('input', () => {
  const words = query.value.trim().toLowerCase();
  for (const item of document.querySelectorAll('li')) item.hidden = !item.textContent.toLowerCase().includes(words);
  for (const part of document.querySelectorAll('section')) part.hidden = !part.querySelector('li:not([hidden])');
});
";

/// An entry of a page. All texts are as the phone has them; the page escapes them.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// The heading above it and its neighbours, such as its day.
    pub(crate) heading: String,
    /// The first line.
    pub(crate) title: String,
    /// The address that the title links to.
    pub(crate) url: Option<String>,
    /// True if the title is to stand out, as missed calls do.
    pub(crate) is_marked: bool,
    /// Facts, in one line.
    pub(crate) facts: Vec<String>,
    /// A longer text.
    pub(crate) text: Option<String>,
    /// The path of its recording below the folder of the page.
    pub(crate) audio: Option<String>,
}

/// A page that is being written.
pub(super) struct Page {
    file: RecordFile,
    heading: Option<String>,
}

impl Page {
    pub(super) fn begin(mut file: RecordFile, title: &str) -> Result<Page, Error> {
        file.write(&page::head(title, true))?;
        file.write(&format!(
            "<header><h1>{}</h1>\n<p class=\"search\"><input type=\"search\" id=\"query\" \
             placeholder=\"Search\" aria-label=\"Search\"></p></header>\n<main>\n",
            escape::html(title)
        ))?;
        Ok(Page {
            file,
            heading: None,
        })
    }

    pub(super) fn add(&mut self, entry: &Shown, doubts: &[String]) -> Result<(), Error> {
        let mut html = String::new();
        if self.heading.as_ref() != Some(&entry.heading) {
            if self.heading.is_some() {
                html += "</ul></section>\n";
            }
            let heading = escape::html(&entry.heading);
            html += &format!("<section><h2><bdi>{heading}</bdi></h2>\n<ul class=\"list\">\n");
            self.heading = Some(entry.heading.clone());
        }
        let title = match &entry.url {
            Some(url) => page::link(url, &entry.title),
            None => escape::html(&entry.title),
        };
        let class = if entry.is_marked {
            " class=\"bad\""
        } else {
            ""
        };
        html += &format!("<li><b{class}><bdi>{title}</bdi></b>");
        if !entry.facts.is_empty() {
            let facts: Vec<String> = entry
                .facts
                .iter()
                .map(|fact| format!("<bdi>{}</bdi>", escape::html(fact)))
                .collect();
            html += &format!("<div class=\"soft\">{}</div>", facts.join(" · "));
        }
        if let Some(text) = &entry.text {
            html += &format!(
                "<div class=\"pre\" dir=\"auto\">{}</div>",
                escape::html(text)
            );
        }
        if let Some(path) = &entry.audio {
            let link = escape::link(path);
            html += &format!(
                "<div><audio controls preload=\"none\" src=\"{link}\"></audio> \
                 <a href=\"{link}\">{}</a></div>",
                escape::html(path)
            );
        }
        for doubt in doubts {
            html += &format!("<div class=\"bad\">Doubtful: {}</div>", escape::html(doubt));
        }
        html += "</li>\n";
        self.file.write(&html)
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        if self.heading.is_some() {
            self.file.write("</ul></section>\n")?;
        } else {
            self.file.write("<p class=\"soft\">None.</p>\n")?;
        }
        self.file
            .write(&format!("</main>\n<script>\n{SCRIPT}</script>\n"))?;
        self.file.write(page::foot())?;
        self.file.finish()
    }
}
