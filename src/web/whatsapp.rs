//! The chats of WhatsApp: the list, and each chat in pages, as those of Messages.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::html;

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, pager, search, t};
use super::messages::{articles, members, steps};
use super::query;
use super::site::{Site, locked, reading};
use crate::base::time;
use crate::base::units::counted;
use crate::content::messages::{Chat, Which};
use crate::content::whatsapp::{DOMAIN, WhatsApp};
use crate::content::{self, Kind, Time};
use crate::export::messages::title;
use crate::reader::backup::Backup;

/// Messages on a page.
const PAGE: u64 = 100;
/// Chats on a page.
const CHATS: usize = 100;

/// The chats of a backup.
pub(super) struct Chats {
    whatsapp: Mutex<WhatsApp>,
    /// The one with the newest message first.
    chats: Vec<OneChat>,
    damage: Vec<String>,
}

struct OneChat {
    chat: Chat,
    title: String,
    count: u64,
    last: Option<Time>,
}

impl Chats {
    /// Reads the list of chats. `None` if the backup has none.
    pub(super) fn read(backup: &Backup) -> Result<Option<Chats>, Fail> {
        let whatsapp = match WhatsApp::open(backup) {
            Err(content::Error::Absent(Kind::WhatsApp)) => return Ok(None),
            opened => opened?,
        };
        let mut chats = Vec::new();
        for chat in whatsapp.chats() {
            let (count, last) = whatsapp.extent(Which::Of(chat))?;
            chats.push(OneChat {
                title: title(chat),
                chat: chat.clone(),
                count,
                last,
            });
        }
        chats.retain(|chat| chat.count > 0);
        chats.sort_by_key(|chat| std::cmp::Reverse(chat.last));
        Ok(Some(Chats {
            damage: whatsapp.damage().iter().map(ToString::to_string).collect(),
            whatsapp: Mutex::new(whatsapp),
            chats,
        }))
    }
}

/// Shows the chats.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let chats = opened.whatsapp()?;
        let query = query.as_deref();
        let wish = query::get(query, "q").unwrap_or_default();
        let number = query::number(query, "page");
        let here = opened.at(&site, "/whatsapp");
        let main = match &*chats {
            None => html! { p { "There are no chats of WhatsApp in this backup." } },
            Some(chats) => {
                let lower = wish.to_lowercase();
                let found = chats.chats.iter().enumerate();
                let found: Vec<_> = found
                    .filter(|(_, chat)| chat.title.to_lowercase().contains(&lower))
                    .collect();
                let first = number.saturating_mul(CHATS).min(found.len());
                let shown = &found[first..(first + CHATS).min(found.len())];
                html! {
                    (search(&here, "Names of chats", &wish))
                    @for why in &chats.damage { p.bad { "Not all can be read: " (t(why)) } }
                    @if found.is_empty() { p { "No chat has such a name." } }
                    ul.rows {
                        @for (number, chat) in shown {
                            li {
                                a href={ (here) "/" (number) } { bdi { (t(&chat.title)) } }
                                span.soft {
                                    (counted(chat.count, "message"))
                                    @if let Some(last) = chat.last { ", " (time::when(&last.to_string())) }
                                }
                            }
                        }
                    }
                    (pager(number, first + shown.len() < found.len(), |page| {
                        format!("{here}?q={}&page={page}", encoded(&wish))
                    }))
                }
            }
        };
        let page = Inside {
            opened: &opened,
            tab: "/more",
            title: "WhatsApp",
            above: vec![(opened.at(&site, "/more"), "More".to_owned())],
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

/// Shows a page of a chat; without a number, the last one.
pub(super) async fn chat(
    State(site): State<Arc<Site>>,
    Path((key, number)): Path<(String, usize)>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let chats = opened.whatsapp()?;
        let nothing = Fail::NotFound("the backup has no such chat");
        let Some(chats) = &*chats else {
            return Err(nothing);
        };
        let one = chats.chats.get(number).ok_or(nothing)?;
        let pages = one.count.div_ceil(PAGE).max(1);
        let page = query::get(query.as_deref(), "page").and_then(|text| text.parse().ok());
        let page: u64 = page.unwrap_or(pages).clamp(1, pages);
        let skip = (page - 1) * PAGE;
        let shown = locked(&chats.whatsapp).window(Which::Of(&one.chat), skip, PAGE)?;
        let to = |page: u64| opened.at(&site, &format!("/whatsapp/{number}?page={page}"));
        let main = html! {
            (members(&one.chat))
            (steps(page, pages, &to))
            div.chat { (articles(shown, one.chat.is_group, DOMAIN)) }
            (steps(page, pages, &to))
        };
        let page = Inside {
            opened: &opened,
            tab: "/more",
            title: &one.title,
            above: vec![
                (opened.at(&site, "/more"), "More".to_owned()),
                (opened.at(&site, "/whatsapp"), "WhatsApp".to_owned()),
            ],
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}
