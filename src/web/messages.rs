//! The messages of a backup: the list of conversations, and each conversation in pages.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, PreEscaped, html};

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, t};
use super::query;
use super::site::{Opened, Site, locked, reading};
use crate::backup_format::record::file_id;
use crate::base::time;
use crate::base::units::{count, counted};
use crate::content::messages::{Chat, Message, Messages, Which};
use crate::content::{self, Kind};
use crate::export::messages::{article, day, name_people, title};
use crate::reader::backup::Backup;

/// Messages on a page.
const PAGE: u64 = 100;
/// Conversations on a page.
const CHATS: usize = 100;

/// The messages of a backup.
pub(super) struct Talks {
    messages: Mutex<Messages>,
    /// Conversations, the one with the newest message first.
    talks: Vec<Talk>,
    /// Reason that people have their addresses as names.
    no_names: Option<String>,
}

struct Talk {
    /// `None` for the messages that belong to no conversation.
    chat: Option<Chat>,
    title: String,
    rows: u64,
    last: Option<content::Time>,
}

impl Talk {
    fn which(&self) -> Which<'_> {
        self.chat.as_ref().map_or(Which::WithoutChat, Which::Of)
    }
}

impl Talks {
    /// Reads the list of conversations, with the names from the contacts. `None` if the backup has
    /// no messages.
    pub(super) fn read(backup: &Backup) -> Result<Option<Talks>, Fail> {
        let mut messages = match Messages::open(backup) {
            Err(content::Error::Absent(Kind::Messages)) => return Ok(None),
            opened => opened?,
        };
        let no_names = name_people(&mut messages, backup);
        let mut talks = Vec::new();
        for chat in messages.chats()? {
            let (rows, last) = messages.extent(Which::Of(&chat))?;
            talks.push(Talk {
                title: title(&chat),
                chat: Some(chat),
                rows,
                last,
            });
        }
        let (rows, last) = messages.extent(Which::WithoutChat)?;
        talks.push(Talk {
            chat: None,
            title: "Messages without a conversation".to_owned(),
            rows,
            last,
        });
        talks.retain(|talk| talk.rows > 0);
        talks.sort_by_key(|talk| std::cmp::Reverse(talk.last));
        Ok(Some(Talks {
            messages: Mutex::new(messages),
            talks,
            no_names,
        }))
    }
}

/// Shows the conversations.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let talks = opened.talks()?;
        let main = match &*talks {
            None => html! { p { "There are no messages in this backup." } },
            Some(talks) => list(&site, &opened, talks, query.as_deref()),
        };
        let page = Inside {
            opened: &opened,
            tab: "/messages",
            title: "Messages",
            above: Vec::new(),
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn list(site: &Site, opened: &Opened, talks: &Talks, query: Option<&str>) -> Markup {
    let wish = query::get(query, "q").unwrap_or_default();
    let page = query::number(query, "page");
    let lower = wish.to_lowercase();
    let fits = |talk: &Talk| {
        let members = talk.chat.iter().flat_map(|chat| &chat.participants);
        let mut addresses = members.map(|member| member.address.to_lowercase());
        talk.title.to_lowercase().contains(&lower) || addresses.any(|text| text.contains(&lower))
    };
    let found = talks
        .talks
        .iter()
        .enumerate()
        .filter(|(_, talk)| fits(talk));
    let mut found: Vec<_> = found
        .skip(page.saturating_mul(CHATS))
        .take(CHATS + 1)
        .collect();
    let has_next = found.len() > CHATS;
    found.truncate(CHATS);
    let to = |page: usize| opened.at(site, &format!("/messages?q={}&page={page}", encoded(&wish)));
    html! {
        (super::layout::search(&opened.at(site, "/messages"), "Names and addresses", &wish))
        @if let Some(why) = &talks.no_names { p.soft { "No names: " (t(why)) } }
        @if found.is_empty() { p { "No conversation has such a name." } }
        ul.rows {
            @for (number, talk) in found {
                li {
                    a href=(opened.at(site, &format!("/messages/{number}"))) { bdi { (t(&talk.title)) } }
                    span.soft {
                        (counted(talk.rows, "message"))
                        @if let Some(last) = talk.last { ", " (time::when(&last.to_string())) }
                    }
                }
            }
        }
        (super::layout::pager(page, has_next, to))
    }
}

/// Shows a page of a conversation; without a number, the last one.
pub(super) async fn chat(
    State(site): State<Arc<Site>>,
    Path((key, number)): Path<(String, usize)>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let talks = opened.talks()?;
        let nothing = Fail::NotFound("the backup has no such conversation");
        let Some(talks) = &*talks else {
            return Err(nothing);
        };
        let talk = talks.talks.get(number).ok_or(nothing)?;
        let pages = talk.rows.div_ceil(PAGE).max(1);
        let page = query::get(query.as_deref(), "page").and_then(|text| text.parse().ok());
        let page: u64 = page.unwrap_or(pages).clamp(1, pages);
        let mut shown = Vec::new();
        let messages = locked(&talks.messages);
        messages.window(talk.which(), (page - 1) * PAGE, PAGE, |message| {
            shown.push(message);
            true
        })?;
        drop(messages);
        let to = |page: u64| opened.at(&site, &format!("/messages/{number}?page={page}"));
        let main = html! {
            @if let Some(chat) = &talk.chat { (members(chat)) }
            (steps(page, pages, &to))
            div.chat { (articles(shown, talk.chat.as_ref().is_some_and(|chat| chat.is_group))) }
            (steps(page, pages, &to))
        };
        let page = Inside {
            opened: &opened,
            tab: "/messages",
            title: &talk.title,
            above: vec![(opened.at(&site, "/messages"), "Messages".to_owned())],
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn members(chat: &Chat) -> Markup {
    html! {
        p.soft {
            @for (at, member) in chat.participants.iter().enumerate() {
                @if at > 0 { ", " }
                @if let Some(name) = &member.name { bdi { (t(name)) } " · " }
                bdi { (t(&member.address)) }
            }
        }
    }
}

fn steps(page: u64, pages: u64, to: &impl Fn(u64) -> String) -> Markup {
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if page > 1 { a rel="prev" href=(to(page - 1)) { "Earlier" } } @else { span {} }
                span { "Page " (count(page)) " of " (count(pages)) }
                @if page < pages { a rel="next" href=(to(page + 1)) { "Later" } } @else { span {} }
            }
        }
    }
}

fn articles(messages: Vec<Message>, is_group: bool) -> Markup {
    let mut text = String::new();
    let mut last = None;
    for mut message in messages {
        let today = message.time.map(day);
        if today != last {
            let words = today.as_deref().unwrap_or("No date");
            text += &html! { h2 { (words) } }.into_string();
            last = today;
        }
        for attachment in message.attachments_mut() {
            let Some(path) = &attachment.path else {
                continue;
            };
            let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
            let plain: String = extension
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            // The page of a conversation is one level below the page of the backup, as the pages of
            // an export are below their folder.
            let id = file_id("MediaDomain", path);
            attachment.exported = Some(format!("raw/{id}.{plain}"));
        }
        text += &article(&message, is_group);
    }
    PreEscaped(text)
}
