//! Bookmarks, reading list and history in the formats of an export.

use super::Run;
use super::page::Shown;
use super::table::Record;
use crate::content::Time;
use crate::content::safari::{Bookmark, Safari, Saved, Visit};
use crate::export::{Error, words};

pub(super) fn write(safari: &Safari, run: &mut Run<'_, '_>) -> Result<(), Error> {
    run.report.absent.extend(safari.absent());
    if safari.has_bookmarks() {
        let (bookmarks, saved, failed) = match safari.bookmarks() {
            Ok((bookmarks, saved)) => (bookmarks, saved, None),
            Err(e) => (Vec::new(), Vec::new(), Some(e)),
        };
        run.list::<Bookmark>(|each| {
            let all = bookmarks.into_iter().all(each);
            // The error is reported with the first list.
            failed.filter(|_| all).map_or(Ok(()), Err)
        })?;
        run.list::<Saved>(|each| {
            saved.into_iter().all(each);
            Ok(())
        })?;
    }
    if safari.has_history() {
        run.list::<Visit>(|each| safari.visits(each))?;
    }
    Ok(())
}

impl Record for Bookmark {
    const STEM: &'static str = "bookmarks";
    const ONE: &'static str = "bookmark";
    const TITLE: &'static str = "Bookmarks";
    const HEADER: &'static [&'static str] =
        &["folders", "title", "url", "modified", "deleted", "doubts"];

    fn time(&self) -> Option<Time> {
        self.modified
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        format!("{} ({})", self.id, title(self.title.as_ref(), &self.url))
    }

    fn fields(&self) -> Vec<String> {
        vec![
            self.folders.join(" / "),
            self.title.clone().unwrap_or_default(),
            self.url.clone(),
            self.modified.map(words::local).unwrap_or_default(),
            words::yes(self.deleted),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        Shown {
            heading: self.folders.join(" / "),
            title: title(self.title.as_ref(), &self.url).to_owned(),
            url: Some(self.url.clone()),
            facts: vec![self.url.clone()],
            ..Shown::default()
        }
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        Some(self)
    }
}

impl Record for Saved {
    const STEM: &'static str = "reading-list";
    const ONE: &'static str = "saved page";
    const TITLE: &'static str = "Reading list";
    const HEADER: &'static [&'static str] = &["added", "title", "url", "read", "preview", "doubts"];

    fn time(&self) -> Option<Time> {
        self.added
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        format!("{} ({})", self.id, title(self.title.as_ref(), &self.url))
    }

    fn fields(&self) -> Vec<String> {
        vec![
            self.added.map(words::local).unwrap_or_default(),
            self.title.clone().unwrap_or_default(),
            self.url.clone(),
            words::yes(self.read),
            self.preview.clone().unwrap_or_default(),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let state = if self.read { "Read" } else { "Not read" };
        Shown {
            heading: self
                .added
                .map_or_else(|| "Without a date".to_owned(), words::day),
            title: title(self.title.as_ref(), &self.url).to_owned(),
            url: Some(self.url.clone()),
            facts: vec![self.url.clone(), state.to_owned()],
            text: self.preview.clone(),
            ..Shown::default()
        }
    }
}

impl Record for Visit {
    const STEM: &'static str = "history";
    const ONE: &'static str = "visit";
    const TITLE: &'static str = "History";
    const HEADER: &'static [&'static str] = &[
        "time",
        "title",
        "url",
        "visits",
        "profile",
        "elsewhere",
        "redirected",
        "doubts",
    ];

    fn time(&self) -> Option<Time> {
        self.time
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        let url = self.url.as_deref().unwrap_or("no address");
        format!("{} ({})", self.id, title(self.title.as_ref(), url))
    }

    fn fields(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            self.time.map(words::local).unwrap_or_default(),
            text(&self.title),
            text(&self.url),
            self.visits
                .map(|visits| visits.to_string())
                .unwrap_or_default(),
            text(&self.profile),
            words::yes(self.elsewhere),
            words::yes(self.redirected),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let url = self.url.as_deref().unwrap_or("no address");
        let mut facts: Vec<String> = self.time.map(words::clock).into_iter().collect();
        facts.push(url.to_owned());
        if self.elsewhere {
            facts.push("On another device".to_owned());
        }
        Shown {
            heading: self
                .time
                .map_or_else(|| "Without a date".to_owned(), words::day),
            title: title(self.title.as_ref(), url).to_owned(),
            url: self.url.clone(),
            facts,
            ..Shown::default()
        }
    }
}

fn title<'a>(title: Option<&'a String>, url: &'a str) -> &'a str {
    title.map_or(url, String::as_str)
}
