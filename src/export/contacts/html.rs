//! Contacts as a page to read: `contacts.html`.

use super::{Writer, csv};
use crate::content::contacts::{Labeled, Person, Picture};
use crate::export::destination::Target;
use crate::export::record_file::RecordFile;
use crate::export::{Error, escape, page};

/// Hides the people that do not have the words of the search.
const SCRIPT: &str = "const query = document.getElementById('query');
query.addEventListener('input', () => {
  const words = query.value.trim().toLowerCase();
  for (const item of document.querySelectorAll('.person')) item.hidden = !item.textContent.toLowerCase().includes(words);
});
";

/// Writes the page.
pub(super) struct Html(RecordFile);

impl Html {
    pub(super) fn create(target: &mut Target) -> Result<Html, Error> {
        let mut file = RecordFile::create(target, &["contacts.html".to_owned()])?;
        file.write(&page::head("Contacts", true))?;
        file.write(
            "<header><h1>Contacts</h1>\n<p class=\"search\"><input type=\"search\" id=\"query\" \
             placeholder=\"Names, numbers, notes\" aria-label=\"Search\"></p></header>\n<main>\n",
        )?;
        Ok(Html(file))
    }
}

impl Writer for Html {
    fn person(
        &mut self,
        person: &Person,
        picture: Option<&(Picture, String)>,
    ) -> Result<(), Error> {
        let link = picture.map(|(_, path)| escape::link(path));
        self.0.write(&card(person, link.as_deref()))
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.0
            .write(&format!("</main>\n<script>\n{SCRIPT}</script>\n"))?;
        self.0.write(page::foot())?;
        self.0.finish()
    }
}

/// Returns the card of a person. `picture` is a link to the picture.
pub(crate) fn card(person: &Person, picture: Option<&str>) -> String {
    let picture = picture.map(|link| {
        let link = escape::html(link);
        format!("<img src=\"{link}\" alt=\"\" loading=\"lazy\">")
    });
    let mut html = format!(
        "<article class=\"person\"><div>{}</div><div><h2><bdi>{}</bdi></h2>\n<dl>\n",
        picture.unwrap_or_default(),
        escape::html(&person.name)
    );
    let mut row = |label: &str, value: String| {
        html += &format!(
            "<dt>{}</dt><dd dir=\"auto\">{value}</dd>\n",
            escape::html(label)
        );
    };
    for (label, value) in [
        ("Nickname", &person.nickname),
        ("Organisation", &person.organization),
        ("Department", &person.department),
        ("Job title", &person.job_title),
    ] {
        if let Some(value) = value.as_ref().filter(|value| **value != person.name) {
            row(label, escape::html(value));
        }
    }
    let of = |one: &Labeled, kind: &str| one.label.clone().unwrap_or_else(|| kind.to_owned());
    for one in &person.numbers {
        row(&of(one, "Number"), escape::html(&one.value));
    }
    for one in &person.mails {
        let url = format!("mailto:{}", one.value);
        row(&of(one, "Mail"), page::link(&url, &one.value));
    }
    for one in &person.urls {
        row(&of(one, "Page"), page::link(&one.value, &one.value));
    }
    for one in &person.addresses {
        row("Address", escape::html(&csv::address(one)));
    }
    if let Some(day) = person.birthday {
        row("Birthday", csv::day(day));
    }
    for one in &person.dates {
        row(one.label.as_deref().unwrap_or("Date"), csv::day(one.day));
    }
    for one in &person.related {
        row(&of(one, "Related"), escape::html(&one.value));
    }
    for one in person.messengers.iter().chain(&person.profiles) {
        row("Account", escape::html(&csv::account(one)));
    }
    if !person.groups.is_empty() {
        row("Groups", escape::html(&person.groups.join(", ")));
    }
    if let Some(note) = &person.note {
        row("Note", escape::html(note));
    }
    html += "</dl></div></article>\n";
    html
}
