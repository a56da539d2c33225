//! The files of a backup: its domains, their folders, and a page for each file with a preview.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::backup::Inside;
use super::layout::{encoded, pager, t};
use super::media::{self, Media};
use super::site::{Opened, Site, locked, reading};
use super::{preview, query, raw};
use crate::backup_format::info_plist::application_names;
use crate::base::time;
use crate::base::units::size;
use crate::reader::browse::{self, Entry, Part};
use crate::reader::usage::bundle_id;

/// Entries on a page.
const PAGE: usize = 200;
/// Bytes of a text that are shown.
const TEXT_BYTES: usize = 64 << 10;

/// Shows the domains, or with the parameters `d` and `p` the folder at that path of a domain.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let query = query.as_deref();
        let number = query::number(query, "page");
        match query::get(query, "d") {
            None => domains(&site, &opened),
            Some(domain) => {
                let path = query::get(query, "p").unwrap_or_default();
                folder(&site, &opened, &domain, &path, number)
            }
        }
    })
    .await
}

fn domains(site: &Site, opened: &Opened) -> Result<Response, super::fail::Fail> {
    let names = application_names(opened.folder());
    let domains = opened.backup().domain_names()?;
    let (apps, system): (Vec<_>, Vec<_>) = domains
        .iter()
        .partition(|domain| bundle_id(domain).is_some());
    let mut apps: Vec<(&str, &str)> = apps
        .into_iter()
        .map(|domain| {
            let name = bundle_id(domain).and_then(|id| names.get(id));
            (domain.as_str(), name.map_or("", String::as_str))
        })
        .collect();
    apps.sort_by_key(|(domain, name)| (name.is_empty(), name.to_lowercase(), *domain));
    let to = |domain: &str| folder_link(site, opened, domain, "", 0);
    let main = html! {
        section aria-labelledby="system" {
            h2 id="system" { "The system and Apple's apps" }
            ul.rows {
                @for domain in system {
                    li { a href=(to(domain)) { bdi { (t(domain)) } } }
                }
            }
        }
        section aria-labelledby="apps" {
            h2 id="apps" { "Apps" }
            ul.rows {
                @for (domain, name) in apps {
                    li {
                        a href=(to(domain)) {
                            @if name.is_empty() { bdi { (t(domain)) } }
                            @else { bdi { (t(name)) } " " span.soft { bdi { (t(domain)) } } }
                        }
                    }
                }
            }
        }
    };
    let page = Inside {
        opened,
        tab: "/files",
        title: "Files",
        above: Vec::new(),
        main,
        wide: false,
    };
    Ok(page.answer(site))
}

fn folder(
    site: &Site,
    opened: &Opened,
    domain: &str,
    path: &str,
    number: usize,
) -> Result<Response, super::fail::Fail> {
    // The page begins after the last name of the nearest page before it that was shown.
    let (known, after) = opened.names().before(domain, path, number);
    let skip = (number - known) * PAGE;
    let part = Part {
        recursive: false,
        after: after.as_deref(),
    };
    let mut entries = Vec::new();
    let mut seen = 0;
    browse::list_after(&opened.backup(), domain, path, part, |entry| {
        if seen >= skip {
            entries.push(entry);
        }
        seen += 1;
        entries.len() <= PAGE
    })?;
    let has_next = entries.len() > PAGE;
    entries.truncate(PAGE);
    if let Some(last) = entries.last().filter(|_| has_next) {
        let name = last.path.rsplit('/').next().unwrap_or_default();
        opened.names().note(domain, path, number + 1, name);
    }
    let main = html! {
        @if entries.is_empty() { p { "This folder is empty." } }
        ul.rows {
            @for entry in &entries { li { (row(site, opened, entry, path)) } }
        }
        (pager(number, has_next, |page| folder_link(site, opened, domain, path, page)))
    };
    let title = path.rsplit('/').next().filter(|name| !name.is_empty());
    let page = Inside {
        opened,
        tab: "/files",
        title: title.unwrap_or(domain),
        above: above(site, opened, domain, path),
        main,
        wide: false,
    };
    Ok(page.answer(site))
}

/// Names at which pages of folders begin, so that a later page need not read those before it.
#[derive(Default)]
pub(super) struct Names(HashMap<(String, String), BTreeMap<usize, String>>);

impl Names {
    /// Folders and pages whose names are kept.
    const FOLDERS_MAX: usize = 64;
    const PAGES_MAX: usize = 8_192;

    /// Returns the nearest page up to this one whose beginning is known, and the name before it.
    fn before(&self, domain: &str, path: &str, page: usize) -> (usize, Option<String>) {
        let pages = self.0.get(&(domain.to_owned(), path.to_owned()));
        let nearest = pages.and_then(|pages| pages.range(..=page).next_back());
        nearest.map_or((0, None), |(page, name)| (*page, Some(name.clone())))
    }

    /// Keeps the name before a page.
    fn note(&mut self, domain: &str, path: &str, page: usize, name: &str) {
        let folder = (domain.to_owned(), path.to_owned());
        if self.0.len() >= Names::FOLDERS_MAX && !self.0.contains_key(&folder) {
            self.0.clear();
        }
        let pages = self.0.entry(folder).or_default();
        if pages.len() < Names::PAGES_MAX {
            pages.insert(page, name.to_owned());
        }
    }
}

/// Returns the links to the folders around a path.
fn above(site: &Site, opened: &Opened, domain: &str, path: &str) -> Vec<(String, String)> {
    let mut above = vec![(opened.at(site, "/files"), "Files".to_owned())];
    if path.is_empty() {
        return above;
    }
    above.push((folder_link(site, opened, domain, "", 0), domain.to_owned()));
    for (at, _) in path.match_indices('/') {
        let folder = &path[..at];
        let name = folder.rsplit('/').next().unwrap_or_default();
        above.push((
            folder_link(site, opened, domain, folder, 0),
            name.to_owned(),
        ));
    }
    above
}

fn folder_link(site: &Site, opened: &Opened, domain: &str, path: &str, page: usize) -> String {
    let mut to = opened.at(site, "/files?d=");
    to += &encoded(domain);
    if !path.is_empty() {
        to += "&p=";
        to += &encoded(path);
    }
    if page > 0 {
        to += &format!("&page={page}");
    }
    to
}

fn row(site: &Site, opened: &Opened, entry: &Entry, folder: &str) -> Markup {
    let name = entry.path.strip_prefix(folder).unwrap_or(&entry.path);
    let name = name.trim_start_matches('/');
    let date = entry.modified.as_deref().map(time::when);
    html! {
        @match (entry.kind, &entry.file_id) {
            ("folder", _) => {
                a.folder href=(folder_link(site, opened, &entry.domain, &entry.path, 0)) {
                    bdi { (t(name)) } "/"
                }
            },
            ("file", Some(id)) => {
                a href=(opened.at(site, &format!("/file/{}", encoded(id)))) { bdi { (t(name)) } }
                span.soft {
                    @if let Some(bytes) = entry.size { (size(bytes)) }
                    @if let Some(date) = date { ", " (date) }
                }
            },
            _ => {
                span { bdi { (t(name)) } }
                span.soft { "link to " bdi { (t(entry.target.as_deref().unwrap_or("nowhere"))) } }
            },
        }
    }
}

/// Shows a file: its facts, a preview, and a link to download it.
pub(super) async fn file(
    State(site): State<Arc<Site>>,
    Path((key, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let item = raw::find(&opened, &id)?;
        let entry = Entry::of(&opened.backup(), &item);
        let head = raw::head(&opened, &item, TEXT_BYTES);
        let raw = opened.at(&site, &format!("/raw/{}", item.file_id));
        let name = item.relative_path.rsplit('/').next().unwrap_or_default();
        let preview = match &head {
            Err(fail) => html! { p.bad { (t(&fail.to_string())) } },
            Ok(head) if preview::is_database(head) => {
                let table = query::get(query.as_deref(), "table").and_then(|text| text.parse().ok());
                let page = query::number(query.as_deref(), "page");
                let to = |table: usize, page: usize| {
                    let page = if page > 0 { format!("&page={page}") } else { String::new() };
                    opened.at(&site, &format!("/file/{}?table={table}{page}", item.file_id))
                };
                match opened.tables(&item) {
                    Ok(tables) => preview::database(&locked(&tables), table, page, to)?,
                    Err(why) => html! { p.bad { "The database cannot be read: " (t(&why)) } },
                }
            }
            Ok(head) if preview::may_be_plist(head) => {
                let tree = raw::head(&opened, &item, preview::PLIST_BYTES);
                let tree = tree.ok().and_then(|bytes| preview::plist(&bytes));
                tree.unwrap_or_else(|| self::preview(head, &raw, name, entry.size.unwrap_or(0)))
            }
            Ok(head) => self::preview(head, &raw, name, entry.size.unwrap_or(0)),
        };
        let main = html! {
            p.links {
                a.button href=(opened.at(&site, &format!("/download/{}", item.file_id))) { "Download" }
                @if let Some(bytes) = entry.size { " " (size(bytes)) }
                @if let Some(date) = &entry.modified { span.soft { "changed " (time::when(date)) } }
            }
            (preview)
            dl.facts {
                dt { "Domain" } dd { bdi { (t(&item.domain)) } }
                dt { "Path" } dd { bdi { (t(&item.relative_path)) } }
                dt { "File ID" } dd { (t(&item.file_id)) }
            }
        };
        let mut above = above(&site, &opened, &item.domain, &item.relative_path);
        if !item.relative_path.contains('/') {
            above.truncate(2);
        }
        let page = Inside {
            opened: &opened,
            tab: "/files",
            title: name,
            above,
            main,
            wide: query::get(query.as_deref(), "table").is_some(),
        };
        Ok(page.answer(&site))
    })
    .await
}

fn preview(head: &[u8], raw: &str, name: &str, bytes: u64) -> Markup {
    match Media::of(head) {
        Some(Media::Image(_)) => html! {
            p.preview { img src=(raw) alt={ "Picture " (t(name)) }; }
        },
        Some(Media::Video(_)) => html! {
            p.preview { video controls preload="metadata" src=(raw) {} }
        },
        Some(Media::Audio(_)) => html! {
            p.preview { audio controls preload="metadata" src=(raw) {} }
        },
        None => match media::text(head) {
            Some("") => html! { p.soft { "The file is empty." } },
            Some(text) => html! {
                pre.preview tabindex="0" dir="auto" { (t(text)) }
                @if bytes > head.len() as u64 {
                    p.soft { "This is the beginning, " (size(head.len() as u64)) " of " (size(bytes)) "." }
                }
            },
            None => html! { p.soft { "This kind of file has no preview." } },
        },
    }
}
