//! Lists of records: calls, voicemail, events, reminders, voice memos, and Safari's lists.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, PreEscaped, html};

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, pager, search, t};
use super::query;
use super::site::{Opened, Site, reading};
use crate::backup_format::record::file_id;
use crate::base::units::count;
use crate::content;
use crate::content::query::Query;
use crate::export::page;
use crate::export::records::listed::{self, LISTS, Listed, Window};

/// Records on a page.
const PAGE: u64 = 100;

/// Shows a list.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path((key, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let found = LISTS.iter().find(|(_, known, _)| *known == name);
        let (list, name, title) = found.ok_or(Fail::NotFound("no such list"))?;
        let opened = site.open(&key)?;
        let query = query.as_deref();
        let wish = query::get(query, "q").unwrap_or_default();
        let number = query::number(query, "page") as u64;
        let words = Query::new(&wish, true);
        let skip = number.saturating_mul(PAGE);
        let window = listed::window(&opened.backup(), *list, &words, (skip, PAGE));
        let here = opened.at(&site, &format!("/records/{name}"));
        let main = match window {
            Err(e @ (content::Error::Absent(_) | content::Error::OnlyInEncrypted(_))) => html! {
                p { (t(&e.to_string())) "." }
            },
            window => {
                let window = window?;
                let to = |page: usize| format!("{here}?q={}&page={page}", encoded(&wish));
                html! {
                    (search(&here, "Words", &wish))
                    p.soft { (count(window.count)) @if window.count == 1 { " entry" } @else { " entries" } }
                    @if let Some(why) = &window.incomplete { p.bad { "The list is not whole: " (t(why)) } }
                    (groups(&site, &opened, &window))
                    (pager(number as usize, skip + PAGE < window.count, to))
                }
            }
        };
        let page = Inside {
            opened: &opened,
            tab: "/more",
            title,
            above: vec![(opened.at(&site, "/more"), "More".to_owned())],
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn groups(site: &Site, opened: &Opened, window: &Window) -> Markup {
    let groups = window
        .records
        .chunk_by(|a, b| a.shown.heading == b.shown.heading);
    html! {
        @for group in groups {
            section {
                h2 { bdi { (t(&group[0].shown.heading)) } }
                ul.entries { @for record in group { li { (entry(site, opened, record)) } } }
            }
        }
    }
}

fn entry(site: &Site, opened: &Opened, record: &Listed) -> Markup {
    let shown = &record.shown;
    let file = (record.file.as_ref()).map(|(domain, path)| file_id(domain, path));
    html! {
        p.title {
            b.bad[shown.is_marked] dir="auto" {
                @match &shown.url {
                    Some(url) => (PreEscaped(page::link(url, &shown.title))),
                    None => (t(&shown.title)),
                }
            }
        }
        @if !shown.facts.is_empty() {
            p.soft {
                @for (at, fact) in shown.facts.iter().enumerate() {
                    @if at > 0 { " · " }
                    bdi { (t(fact)) }
                }
            }
        }
        @if let Some(text) = &shown.text { p.text dir="auto" { (t(text)) } }
        @if let Some(id) = file {
            p.links {
                audio controls preload="none" aria-label={ "Recording: " (t(&shown.title)) }
                    src=(opened.at(site, &format!("/raw/{id}"))) {}
                a href=(opened.at(site, &format!("/download/{id}"))) { "Download" }
            }
        }
        @for doubt in &record.doubts { p.bad { "Doubtful: " (t(doubt)) } }
    }
}
