//! The page of a backup: what it is, what uses its space, and what it lacks. Also the frame of all
//! pages within a backup.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{HeaderValue, REFRESH};
use axum::response::Response;
use maud::{Markup, html};

use super::gaps;
use super::home::checked;
use super::layout::{Page, answer, bar, encoded, t};
use super::site::{Opened, Site, reading};
use super::sums::{self, Known};
use super::treemap;
use crate::base::time;
use crate::base::units::{count, counted, size};
use crate::history::list;
use crate::reader::{info, usage};

/// Most apps that the page shows.
const APPS_SHOWN: usize = 20;

/// The pages of a backup: path and name.
const TABS: &[(&str, &str)] = &[
    ("", "Overview"),
    ("/photos", "Photos"),
    ("/messages", "Messages"),
    ("/contacts", "Contacts"),
    ("/notes", "Notes"),
    ("/more", "More"),
    ("/files", "Files"),
    ("/search", "Search"),
];

/// A page within a backup.
pub(super) struct Inside<'a> {
    /// The backup itself.
    pub opened: &'a Opened,
    /// Path of the page's tab.
    pub tab: &'static str,
    /// Title of the page.
    pub title: &'a str,
    /// Pages of the tab above this one: address and name.
    pub above: Vec<(String, String)>,
    /// Content of the page.
    pub main: Markup,
    /// True if the page uses the whole width.
    pub wide: bool,
}

impl Inside<'_> {
    /// Returns the page as an answer.
    pub(super) fn answer(self, site: &Site) -> Response {
        answer(self.markup(site))
    }

    /// Returns the whole page.
    pub(super) fn markup(self, site: &Site) -> Markup {
        let listed = &self.opened.listed;
        let phone = listed.name.as_deref().unwrap_or("A phone without a name");
        let date = listed.date.as_deref();
        let mut above = vec![
            (
                site.at(&format!("/phone/{}", encoded(&listed.udid))),
                phone.to_owned(),
            ),
            (
                self.opened.at(site, ""),
                date.map_or("No date".to_owned(), time::when),
            ),
        ];
        above.extend(self.above);
        let tabs = html! {
            nav.tabs aria-label="Backup" {
                @for (path, name) in TABS {
                    a href=(self.opened.at(site, path))
                        aria-current=[(*path == self.tab).then_some("page")] { (name) }
                }
            }
        };
        let page = Page {
            base: site.secrets().base(),
            title: self.title,
            above,
            tabs: Some(tabs),
            main: self.main,
            wide: self.wide,
            is_first: false,
        };
        page.markup()
    }
}

/// Shows a backup.
pub(super) async fn page(State(site): State<Arc<Site>>, Path(key): Path<String>) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let info = info::of_property_lists(opened.folder())?;
        let sums = sums::soon(&opened)?;
        // A check may have finished since the backup was opened.
        let listed = &list::one(site.store(), &site.find(&key)?);
        let with = |text: Option<String>, more: Option<String>| match (text, more) {
            (Some(text), Some(more)) if text != more => Some(format!("{text} ({more})")),
            (text, more) => text.or(more),
        };
        let facts = [
            ("Model", with(info.model, info.product_type)),
            ("iOS", with(info.ios, info.build)),
            ("Serial number", info.serial),
            ("UDID", Some(listed.udid.clone())),
            ("Apps", info.apps.map(count)),
            ("Contents", sums.as_ref().map(|sums| contents(&sums.usage))),
            ("Folder", Some(opened.folder().display().to_string())),
        ];
        let main = html! {
            dl.facts {
                dt { "State" }
                dd { (state(listed)) }
                dt { "Checked" }
                dd { (checked(listed)) }
                dt { "Encrypted" }
                dd {
                    @if opened.is_encrypted() {
                        "yes"
                        form.inline method="post" action=(opened.at(&site, "/lock")) {
                            button { "Forget the password" }
                        }
                    } @else { "no" }
                }
                @for (name, fact) in facts {
                    @if let Some(fact) = fact {
                        dt { (name) }
                        dd { bdi { (t(&fact)) } }
                    }
                }
            }
            p.links {
                a href=(opened.at(&site, "/changes")) { "What changed since the backup before" }
                a href=(opened.at(&site, "/report")) { "Report and check" }
            }
            @match &sums {
                Some(sums) => (whole(sums)),
                None => p role="status" {
                    "The program adds up the files of this backup. The page loads itself again."
                },
            }
        };
        let title = title(listed);
        let page = Inside {
            opened: &opened,
            tab: "",
            title: &title,
            above: Vec::new(),
            main,
            wide: false,
        };
        let mut response = page.answer(&site);
        super::unlock::allow_form(&mut response);
        if sums.is_none() {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(REFRESH, soon);
        }
        Ok(response)
    })
    .await
}

fn contents(usage: &usage::Report) -> String {
    format!(
        "{}, {}",
        counted(usage.all.files, "file"),
        size(usage.all.bytes)
    )
}

/// Shows what is missing, and what uses the space.
fn whole(sums: &Known) -> Markup {
    let Known { usage, missing } = sums;
    let whole = usage.all.bytes;
    html! {
            @if usage.unread.count > 0 {
                p.bad { (counted(usage.unread.count, "entry")) " of the list cannot be read." }
            }
            section aria-labelledby="missing" {
                h2 id="missing" { "Missing in this backup" }
                @if missing.is_empty() {
                    p { "Nothing that this program knows of." }
                } @else {
                    ul { @for gap in missing.iter() { li { (t(&gaps::words(gap))) } } }
                }
            }
            (treemap::picture(usage, APPS_SHOWN))
            section aria-labelledby="kinds" {
                h2 id="kinds" { "By kind" }
                table.bars {
                    thead { tr { th scope="col" { "Kind" } th scope="col" { "Size" } th scope="col" { "Files" } } }
                    tbody {
                        @for kind in &usage.kinds {
                            tr {
                                th scope="row" { (kind.kind.words()) (bar(kind.bytes, whole)) }
                                td { (size(kind.bytes)) }
                                td { (count(kind.files)) }
                            }
                        }
                    }
                }
            }
            @if !usage.apps.is_empty() {
                section aria-labelledby="apps" {
                    h2 id="apps" { "By app" }
                    table.bars {
                        thead { tr { th scope="col" { "App" } th scope="col" { "Size" } th scope="col" { "Files" } } }
                        tbody {
                            @for app in usage.apps.iter().take(APPS_SHOWN) {
                                tr {
                                    th scope="row" {
                                        bdi { (t(app.name.as_deref().unwrap_or(&app.id))) }
                                        (bar(app.sum.bytes, whole))
                                    }
                                    td { (size(app.sum.bytes)) }
                                    td { (count(app.sum.files)) }
                                }
                            }
                        }
                    }
                    @if usage.apps.len() > APPS_SHOWN {
                        @let others = &usage.apps[APPS_SHOWN..];
                        p.soft {
                            "and " (counted(others.len() as u64, "smaller app")) ", "
                            (size(others.iter().map(|app| app.sum.bytes).sum()))
                        }
                    }
                }
            }
    }
}

/// Returns the title of a backup: its phone and its time.
pub(super) fn title(listed: &list::Backup) -> String {
    let phone = listed.name.as_deref().unwrap_or("A phone without a name");
    match listed.date.as_deref() {
        Some(date) => format!("{phone}, {}", time::when(date)),
        None => phone.to_owned(),
    }
}

fn state(listed: &list::Backup) -> &'static str {
    match (listed.complete, listed.current) {
        (true, true) => "complete, the current backup",
        (true, false) => "complete, an older snapshot",
        (false, _) => "unfinished: the phone did not complete it",
    }
}
