//! The messages of a backup: the list of conversations, and each conversation in pages.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

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
use crate::content::messages::{Attachment, Chat, Message, Messages, Presence, Which};
use crate::content::{self, Kind};
use crate::export::messages::{article, day, name_people, title};
use crate::reader::backup::Backup;

/// The domain of the files of attachments.
const DOMAIN: &str = "MediaDomain";
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
    /// Number of rows, once a page has needed it.
    rows: OnceLock<u64>,
    last: Option<content::Time>,
}

impl Talk {
    fn which(&self) -> Which<'_> {
        self.chat.as_ref().map_or(Which::WithoutChat, Which::Of)
    }

    fn rows(&self, messages: &Messages) -> Result<u64, Fail> {
        match self.rows.get() {
            Some(rows) => Ok(*rows),
            None => {
                let rows = messages.rows_of(self.which())?;
                Ok(*self.rows.get_or_init(|| rows))
            }
        }
    }
}

impl Talks {
    /// Reads the list of conversations, with the names from the contacts. `None` if the backup has
    /// no messages.
    pub(super) fn read(backup: &Backup) -> Result<Option<Talks>, Fail> {
        let mut messages = match Messages::open_quickly(backup) {
            Err(content::Error::Absent(Kind::Messages)) => return Ok(None),
            opened => opened?,
        };
        let no_names = name_people(&mut messages, backup);
        let mut talks = Vec::new();
        let chats = messages.chats()?;
        let lasts = messages.lasts(&chats)?;
        for (chat, last) in chats.into_iter().zip(lasts) {
            talks.push(Talk {
                title: title(&chat),
                last,
                chat: Some(chat),
                rows: OnceLock::new(),
            });
        }
        talks.retain(|talk| talk.last.is_some() || talk.rows(&messages).is_ok_and(|rows| rows > 0));
        // In a large database, only the page of these messages searches for them.
        let mut others = Talk {
            chat: None,
            title: "Messages without a conversation".to_owned(),
            rows: OnceLock::new(),
            last: None,
        };
        if messages.are_few() {
            others.last = messages.last(Which::WithoutChat)?;
        }
        if !messages.are_few() || others.rows(&messages)? > 0 {
            talks.push(others);
        }
        talks.sort_by_key(|talk| std::cmp::Reverse(talk.last));
        Ok(Some(Talks {
            messages: Mutex::new(messages),
            talks,
            no_names,
        }))
    }
}

impl Talks {
    /// Returns the messages. Only one page at a time can use them, so hold them briefly.
    fn messages(&self) -> MutexGuard<'_, Messages> {
        let messages = locked(&self.messages);
        messages.renew();
        messages
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
            Some(talks) => list(&site, &opened, talks, query.as_deref())?,
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

fn list(site: &Site, opened: &Opened, talks: &Talks, query: Option<&str>) -> Result<Markup, Fail> {
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
    let mut shown = Vec::new();
    for (number, talk) in found {
        // Those without a conversation are counted on their own page, if they are many.
        let is_counted = talk.chat.is_some() || talk.rows.get().is_some();
        let rows = if is_counted {
            Some(talk.rows(&talks.messages())?)
        } else {
            None
        };
        shown.push((number, talk, rows));
    }
    let to = |page: usize| opened.at(site, &format!("/messages?q={}&page={page}", encoded(&wish)));
    Ok(html! {
        (super::layout::search(&opened.at(site, "/messages"), "Names and addresses", &wish))
        @if let Some(why) = &talks.no_names { p.soft { "No names: " (t(why)) } }
        @if shown.is_empty() { p { "No conversation has such a name." } }
        ul.rows {
            @for (number, talk, rows) in shown {
                li {
                    a href=(opened.at(site, &format!("/messages/{number}"))) { bdi { (t(&talk.title)) } }
                    span.soft {
                        @if let Some(rows) = rows { (counted(rows, "message")) }
                        @if let Some(last) = talk.last { ", " (time::when(&last.to_string())) }
                    }
                }
            }
        }
        (super::layout::pager(page, has_next, to))
    })
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
        let messages = talks.messages();
        let rows = talk.rows(&messages)?;
        let pages = rows.div_ceil(PAGE).max(1);
        let page = query::get(query.as_deref(), "page").and_then(|text| text.parse().ok());
        let page: u64 = page.unwrap_or(pages).clamp(1, pages);
        let mut shown = messages.window(talk.which(), (page - 1) * PAGE, PAGE, rows)?;
        drop(messages);
        for attachment in shown.iter_mut().flat_map(Message::attachments_mut) {
            look(&opened.backup(), attachment)?;
        }
        let to = |page: u64| opened.at(&site, &format!("/messages/{number}?page={page}"));
        let main = html! {
            @if let Some(chat) = &talk.chat { (members(chat)) }
            (steps(page, pages, &to))
            @if shown.is_empty() { p { "The backup has no such messages." } }
            div.chat { (articles(shown, talk.chat.as_ref().is_some_and(|chat| chat.is_group), DOMAIN)) }
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

/// Looks for the file of an attachment in the backup.
fn look(backup: &Backup, attachment: &mut Attachment) -> Result<(), Fail> {
    if let Some(path) = &attachment.path
        && backup.find(DOMAIN, path)?.is_none()
    {
        attachment.path = None;
        attachment.file = Presence::Missing;
    }
    Ok(())
}

pub(super) fn members(chat: &Chat) -> Markup {
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

pub(super) fn steps(page: u64, pages: u64, to: &impl Fn(u64) -> String) -> Markup {
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

/// Returns the messages of a page. `domain` has the files of their attachments.
pub(super) fn articles(messages: Vec<Message>, is_group: bool, domain: &str) -> Markup {
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
            let id = file_id(domain, path);
            attachment.exported = Some(format!("raw/{id}.{plain}"));
        }
        text += &article(&message, is_group);
    }
    PreEscaped(text)
}
